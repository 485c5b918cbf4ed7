"""Fixtures that most tests use, and what of the platform each test needs."""
from __future__ import annotations

import pytest

from interactiveai_eval import Interactive

from .needs import NEEDS, lacking, needs_of


def pytest_configure(config):
    for need in NEEDS:
        config.addinivalue_line("markers", f"{need}: what needs {need}; found by itself, see tests/needs.py")
    config.addinivalue_line("markers", "needs(name, ...): what the test needs that its code does not show")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items):
    for item in items:
        needed = needs_of(item)
        for need in sorted(needed):
            item.add_marker(need)
        if needed & lacking():
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(sorted(needed & lacking()))}"))


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
