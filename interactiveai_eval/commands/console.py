"""What commands write: text and JSON to stdout, lines for people to stderr; which files they may write."""
from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from ..errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class OutputLost(Exception):
    """Standard output takes no more: its disk is full, most likely."""


@contextmanager
def writing() -> Iterator[None]:
    """What is written to standard output in here and does not get there raises OutputLost, or BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(error.strerror) from error


def turn_off(stream: Any) -> None:
    """Have what still waits for the stream vanish: closing it at exit must not complain again."""
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
