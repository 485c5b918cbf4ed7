"""Saved reports: which file name gets which format, how a file is replaced in one step, and how it is read again."""
from __future__ import annotations

import os

from .._strict_json import JSONError, from_json
from ..errors import ArgumentError, DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVar

    from .report import Report

    Render = Callable[[Sequence[Report]], Iterable[str]]
    Result = TypeVar("Result")


def _json(reports: Sequence[Report]) -> Iterable[str]:
    from .documents import record_to_json

    return record_to_json(reports[0].record)


def _html(reports: Sequence[Report]) -> Iterable[str]:
    from .html import render_html

    return render_html([report.record for report in reports])


# Extension: how it is rendered, and whether one file can hold several results.
FORMATS: dict[str, tuple[Render, bool]] = {".json": (_json, False), ".html": (_html, True)}


def format_for(path: Any, *, several: bool = False) -> tuple[str, Render]:
    """The path as text, and what renders results for its extension.

    Raises ArgumentError for anything that is not the path of a file that can be written in a known format.
    """
    known = [extension for extension, (_, holds_several) in FORMATS.items() if holds_several or not several]
    text, extension = _target(path, known, "several results can be saved" if several else "a result can be saved")
    return text, FORMATS[extension][0]


def json_path(path: Any) -> str:
    """The path as text, of a result that can be saved as `.json` only. Raises ArgumentError like `format_for`."""
    return _target(path, [".json"], "the result of a batch evaluation can be saved")[0]


def _target(path: Any, known: Sequence[str], what: str) -> tuple[str, str]:
    try:
        text = os.fsdecode(path)
    except (TypeError, UnicodeDecodeError):
        raise ArgumentError("path", path, "must be a text or a path") from None
    extension = os.path.splitext(text)[1].lower()
    if extension not in known:
        raise ArgumentError("path", text, f"{what} as {' or '.join(known)}; end the file name with that")
    return text, extension


def read_saved(path: str | os.PathLike[str], read: Callable[[Any], Result]) -> Result:
    """What `read` makes of the document in a `.json` file.

    Raises ArgumentError for another extension, DataError that names the file, OSError.
    """
    source = os.fsdecode(path)
    if not source.lower().endswith(".json"):
        raise ArgumentError("path", source, "a result can be loaded from .json; save it as that")
    with open(source, "rb") as file:
        text = file.read()
    try:
        return read(from_json(text))
    except (JSONError, DataError) as error:
        raise DataError(f"{source}: {error}") from None


def write_atomically(
    path: str, pieces: Iterable[str], *, place: Callable[[str, str], None] = os.replace
) -> None:
    """Write a file of mode 0600 that appears in one step: whatever fails, `path` holds the old content or the new.

    A link at `path` is replaced, not followed. `place(written, path)` puts it there. Raises OSError, and whatever
    making the pieces raises.
    """
    # The name says nothing of the target: together they could be too long for the file system.
    temporary = os.path.join(os.path.dirname(path), f".{os.urandom(12).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for extra in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, extra, 0)
    try:
        descriptor = os.open(temporary, flags, 0o600)
    except OSError as error:
        raise type(error)(error.errno, f"{error.strerror} (where the file is to be made)", path) from None
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(descriptor)
        place(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
