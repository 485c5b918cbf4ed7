"""Runs Python programs in processes of their own, for what only a process can show: signals, exits, missing modules."""
from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment(**more: str) -> dict[str, str]:
    """The environment of a test program: nothing of ours from outside, the package importable."""
    return {**foreign_environment(), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **more}


def foreign_environment(**more: str) -> dict[str, str]:
    """The environment of a program of another package's, under a Python of its own: ours is not there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INTERACTIVEAI_", "PYTHON"))}
    return {**kept, **more}


def start(source: str, *arguments: str, flags: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
    """Start a program; its output comes through pipes."""
    return subprocess.Popen(
        [sys.executable, *flags, "-c", textwrap.dedent(source), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
    )


def run(source: str, *arguments: str, flags: tuple[str, ...] = (), **more: str) -> str:
    """What a program prints; it must end well within half a minute."""
    program = start(source, *arguments, flags=flags, **more)
    out, err = program.communicate(timeout=30)
    assert program.returncode == 0, err
    return out
