"""Fixtures that most tests use."""
from __future__ import annotations

import pytest

from interactiveai_eval import Interactive


@pytest.fixture
def client():
    """A client of an embedded store in memory."""
    with Interactive.local() as made:
        yield made


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    """Tests see no INTERACTIVEAI_* variable and no commit id of a build system."""
    import os

    for name in list(os.environ):
        if name.startswith("INTERACTIVEAI_") or name.endswith(("_COMMIT", "_SHA")):
            monkeypatch.delenv(name)
