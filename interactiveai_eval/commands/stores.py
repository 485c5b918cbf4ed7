"""`import` and `export`: traces between files and stores."""
from __future__ import annotations

import os
import sys
from contextlib import contextmanager, nullcontext

from ..errors import ArgumentError
from .console import check_place, open_output, print_json, print_text, say, writing
from .endings import NOT_COMPLETED, PASSED
from .options import stdin_file
from .places import reading_client, store_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

_NOTES = """\
A line of the file is one trace with its observations and scores, as GET /api/public/traces/{id} gives it. A file is
checked to its end before anything is stored, and may be imported again: ids are kept. An export appears whole or not at
all, oldest trace first.
"""


def _declare_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the traces, one a line as export writes them; - reads stdin")
    parser.add_argument("--store", metavar="PATH", required=True, help="put them into this SQLite file, old or new")


def _import(options: argparse.Namespace) -> int:
    from ..stores.trace_files import send_traces

    with _traces_in(options.file) as traces, store_client(options.store) as client:
        report = send_traces(client.api, traces)
    if options.json:
        print_json({"imported": report.by_kind, "problems": [dict(problem.items()) for problem in report.problems]})
    else:
        taken = [f"{report.by_kind[kind]['acknowledged']} {kind}" for kind in report.by_kind]
        print_text(f"imported {', '.join(taken) or 'nothing'}", sys.stdout)
        for problem in report.problems:
            say(f"error: {problem.kind[:-1]} {problem.id} was refused: {problem.reason}")
    return NOT_COMPLETED if report.rejected else PASSED


@contextmanager
def _traces_in(file: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The checked traces of a file, or of stdin, which is kept in a file meanwhile because it is read twice."""
    from ..stores.trace_files import read_traces

    if file != "-":
        yield read_traces(file)
        return
    with stdin_file("stdin") as path:
        yield read_traces(path, "<stdin>")


def _declare_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="PATH", required=True, help="the SQLite file that has the traces")
    parser.add_argument("--output", metavar="FILE", default="-", help="where to; - is stdout (default: -)")
    parser.add_argument("--filter", metavar="JSON", help="only traces that match: a list of conditions, or an object")


def _export(options: argparse.Namespace) -> int:
    from ..stores.trace_files import export_traces

    to_stdout = options.output == "-"
    if to_stdout and options.json:
        raise ArgumentError("--output", "-", "--json takes stdout; name a file")
    target = open_output() if to_stdout else options.output
    if not to_stdout:
        check_place(target)
    with reading_client(options.store) as client:
        with writing() if to_stdout else nullcontext():
            exported = export_traces(client.api, target, options.filter)
    if options.json:
        print_json({"exported": exported, "output": os.path.abspath(options.output)})
    else:
        say(f"exported {exported} traces")
    return PASSED


COMMANDS = {
    "import": (_NOTES, _declare_import, _import),
    "export": (_NOTES, _declare_export, _export),
}
