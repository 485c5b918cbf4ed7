"""What commands write: text and JSON to stdout, lines for people to stderr; which files they may write."""
from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from ..errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

# What the files of a command's arguments are: first those that it reads, then those that it writes.
_READ = {
    **{"data": "the data", "baseline": "the baseline", "saved": "a saved result", "resume": "the token to go on from"},
    **{"file": "the file that is read", "dest": "the copy"},
    **dict.fromkeys(("target", "evaluator", "run_evaluator", "composite", "mapper"), "the code that runs"),
}
_WRITTEN = {
    **{"store": "the store", "checkpoint": "the checkpoint", "output": "what --output names"},
    **{"action_json": "what --action-json names", "sbom": "what --sbom names"},
}
_OF_A_STORE = ("", "-wal", "-shm", "-journal")  # SQLite's side files hold a part of it


class OutputLost(Exception):
    """Standard output takes nothing, or no more: its disk is full, most likely."""


@contextmanager
def writing() -> Iterator[None]:
    """What is written to standard output in here and does not get there raises OutputLost, or BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(error.strerror) from error


def flush() -> None:
    """Have standard output take what was printed, now, where that it does not can still be told."""
    with writing():
        if sys.stdout is not None:
            sys.stdout.flush()


def open_output() -> Any:
    """Standard output for data that are wanted there and nowhere else. Raises OutputLost where it is closed."""
    if sys.stdout is None:
        raise OutputLost("standard output is closed")
    return sys.stdout


def turn_off(stream: Any) -> None:
    """Have what still waits for the stream vanish: closing it at exit must not complain again."""
    if stream is None:
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(message: str) -> None:
    """A line for people, away from the output that machines read. That nobody can read it ends no command.

    It is one line, whatever is in it: names and a server's words come from outside.
    """
    from ..reporting.shown import one_line

    try:
        print_text(one_line(message), sys.stderr)
    except OSError:
        turn_off(sys.stderr)


def print_text(text: str, stream: Any) -> None:
    """A text and a line feed to a stream that may be missing, with the signs that it can take."""
    from ..reporting.text import encodable

    if stream is sys.stdout is not None:
        with writing():
            print(encodable(text, stream.encoding))
    elif stream is not None:
        print(encodable(text, stream.encoding), file=stream)


def print_json(document: Any) -> None:
    """The one document for machines."""
    from .._strict_json import EXACT_INTEGER, to_json

    text = to_json(document, largest=EXACT_INTEGER)
    with writing():
        print(text)


def check_output(path: str, *, several: bool = False) -> None:
    """Raise ArgumentError, before anything runs, where a report could not be saved afterwards."""
    from ..reporting.files import format_for

    try:
        format_for(path, several=several)
    except ArgumentError as error:
        raise ArgumentError("--output", path, error.fix) from None
    check_place(path)


def check_place(path: str, argument: str = "--output") -> None:
    """Raise ArgumentError where a file cannot be written."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise ArgumentError(argument, path, "is a folder; name a file")
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ArgumentError(argument, path, "its folder does not exist or cannot be written to")


def check_apart(options: argparse.Namespace) -> None:
    """Raise ArgumentError where the command would write over a file that it reads, or writes as something else."""
    from .places import store_path

    known: dict[object, str] = {}
    for name, what in {**_READ, **_WRITTEN}.items():
        given = getattr(options, name, None)
        for path in given if isinstance(given, list) else [store_path(given) if name == "store" else given]:
            if path is None or path == "-":
                continue
            if what == "the code that runs":
                path = path if path.endswith(".py") else path.rpartition(":")[0]
                if not path.endswith(".py"):
                    continue  # a module by its name
            marks = {mark for end in (_OF_A_STORE if name == "store" else [""]) for mark in _marks(path + end)}
            taken = next((known[mark] for mark in marks if mark in known), None)
            if taken and name in _WRITTEN:
                raise ArgumentError(f"--{name.replace('_', '-')}", path, f"is also {taken}; name another file")
            known.update(dict.fromkeys(marks, what))


def _marks(path: str) -> list[object]:
    """What two names of one file have in common: where they lead, and what is there."""
    try:
        leads = os.path.normcase(os.path.realpath(path))
        found = os.stat(leads)
    except FileNotFoundError:
        return [leads]
    except (OSError, ValueError):
        return []  # it cannot be used at all, which is said where that is tried
    return [leads, (found.st_dev, found.st_ino)]
