"""Options whose text is read as a value."""
from __future__ import annotations

import argparse
import os
import sys
from contextlib import contextmanager

from ..errors import ArgumentError, DataError, FeatureUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def declare_shard(parser: argparse.ArgumentParser) -> None:
    """The option that takes one part of the items."""
    what = "only part K (from 0) of N disjoint parts; K may name an environment variable (default: INTERACTIVEAI_SHARD)"
    parser.add_argument("--shard", metavar="K/N", type=_shard, help=what)


def shard_from(options: argparse.Namespace) -> tuple[int, int] | None:
    """The shard that the option says, or else INTERACTIVEAI_SHARD. Raises ArgumentError."""
    text = os.environ.get("INTERACTIVEAI_SHARD")
    if options.shard is not None or not text:
        found: tuple[int, int] | None = options.shard
        return found
    try:
        return _shard(text)
    except argparse.ArgumentTypeError as error:
        raise ArgumentError("INTERACTIVEAI_SHARD", text, str(error)) from None


def _shard(text: str) -> tuple[int, int]:
    """The part and the number of parts; argparse reports what is no shard."""
    part, _, parts = text.partition("/")
    try:
        # A name stands for the index that the engine of a job tells each of its processes, JOB_COMPLETION_INDEX say.
        shard = int(os.environ.get(part, part)), int(parts)
    except ValueError:
        shard = 0, 0
    if not 0 <= shard[0] < shard[1]:
        told = f" ({part} is {os.environ[part]!r})" if part in os.environ else ""
        fix = "must be K/N, the part K (from 0, or the variable that has it) of N parts, such as 0/3"
        raise argparse.ArgumentTypeError(f"{text!r}: {fix}{told}")
    return shard


@contextmanager
def stdin_file(name: str) -> Iterator[str]:
    """A file called `name`, for as long as the context lasts, with what comes from stdin and is read twice.

    Raises DataError where stdin is closed.
    """
    if sys.stdin is None:
        raise DataError("<stdin>: standard input is closed; name a file, or send it the lines")
    try:
        from shutil import copyfileobj
        from tempfile import TemporaryDirectory
    except ImportError as error:
        raise FeatureUnavailable("reading stdin", error.name or "tempfile") from None
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        with open(path, "wb") as copy:
            copyfileobj(sys.stdin.buffer, copy)
        yield path


def metadata_from(text: str | None) -> Any:
    """What --metadata says in JSON, None where it was not given. Raises ArgumentError."""
    from .._strict_json import JSONError, from_json

    try:
        return None if text is None else from_json(text)
    except JSONError as error:
        raise ArgumentError("--metadata", text, f"is no JSON: {error}") from None
