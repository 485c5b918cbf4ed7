"""Runs the programs in `programs/` against a server of their own, under the reference or under us.

    IAE_SDK_PYTHON_REFERENCE=/path/to/python python -m tests.dropin.runs

records anew what the reference leaves; that Python has `interactiveai==1.1.9`.
"""
from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from interactiveai_eval import LocalServer, LocalTransport

from ..programs import environment, foreign_environment
from .held import held, in_order

PROGRAMS = sorted([path.stem for path in (Path(__file__).parent / "programs").glob("*.py")])
RECORDED = Path(__file__).parent.parent / "data" / "reference_leaves.json.gz"
REFERENCE = os.environ.get("IAE_SDK_PYTHON_REFERENCE")


def left_by(program, python=None):
    """What the program leaves under `python`, which has the reference; None stands for this one and for us."""
    source = (Path(__file__).parent / "programs" / f"{program}.py").read_text(encoding="utf-8")
    written, settings = source, foreign_environment()
    if python is None:
        written = re.sub(r"(?m)^(from|import) interactiveai\b", r"\1 interactiveai_eval", source)
        settings = environment()
    with LocalTransport() as store, LocalServer(store) as server:
        settings.update(
            INTERACTIVEAI_PUBLIC_KEY=server.public_key,
            INTERACTIVEAI_SECRET_KEY=server.secret_key,
            INTERACTIVEAI_BASE_URL=server.base_url,
            PYTHONIOENCODING="utf-8",
        )
        done = subprocess.run(
            [python or sys.executable, "-"], input=written, capture_output=True, encoding="utf-8", env=settings, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return held(store, source)


def recorded():
    """What the reference left when it was recorded, by program."""
    return json.loads(gzip.decompress(RECORDED.read_bytes()))


def record():
    """Run all programs under the reference and keep what they leave."""
    found = {program: in_order(left_by(program, REFERENCE)) for program in PROGRAMS}
    RECORDED.write_bytes(gzip.compress(json.dumps(found, sort_keys=True).encode(), mtime=0))


if __name__ == "__main__":
    record()
