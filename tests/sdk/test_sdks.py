"""The real SDKs of this family against LocalServer. What the reference does is in `tests/dropin`.

Each runs under a Python of its own that an environment variable names, where its package is installed.
"""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from interactiveai_eval import LocalServer, LocalTransport

from ..programs import foreign_environment


@pytest.mark.parametrize("major", ["3", "4", "5"])
def test_langfuse_runs_experiments_and_batches_and_reads_them_back(major):
    python = os.environ.get(f"IAE_SDK_PYTHON_LANGFUSE_{major}")
    if not python:
        pytest.skip(f"IAE_SDK_PYTHON_LANGFUSE_{major} names no Python that has langfuse {major}")
    settings = foreign_environment(PYTHONIOENCODING="utf-8")
    with LocalTransport() as store, LocalServer(store) as server:
        settings.update(
            LANGFUSE_PUBLIC_KEY=server.public_key,
            LANGFUSE_SECRET_KEY=server.secret_key,
            LANGFUSE_BASE_URL=server.base_url,
            LANGFUSE_HOST=server.base_url,
        )
        program = Path(__file__).parent / "langfuse_program.py"
        done = subprocess.run([python, "-W", "ignore", str(program)], env=settings, capture_output=True, encoding="utf-8", timeout=120)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{major}.")
    assert "rror" not in done.stderr, done.stderr
