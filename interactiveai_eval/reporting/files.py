"""Saved reports: which file name gets which format, and how a file is replaced in one step."""
from __future__ import annotations

import os

from ..errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ..model import ExperimentRecord

    Render = Callable[[Sequence[ExperimentRecord]], Iterable[str]]


def _json(results: Sequence[ExperimentRecord]) -> Iterable[str]:
    from .documents import record_to_json

    return record_to_json(results[0])


def _html(results: Sequence[ExperimentRecord]) -> Iterable[str]:
    from .html import render_html

    return render_html(results)


# Extension: how it is rendered, and whether one file can hold several results.
FORMATS: dict[str, tuple[Render, bool]] = {".json": (_json, False), ".html": (_html, True)}


def format_for(path: Any, *, several: bool = False) -> tuple[str, Render]:
    """The path as text, and what renders results for its extension.

    Raises ArgumentError for anything that is not the path of a file that can be written in a known format.
    """
    try:
        text = os.fsdecode(path)
    except (TypeError, UnicodeDecodeError):
        raise ArgumentError("path", path, "must be a text or a path") from None
    known = [extension for extension, (_, holds_several) in FORMATS.items() if holds_several or not several]
    extension = os.path.splitext(text)[1].lower()
    if extension not in known:
        what = "several results can be saved" if several else "a result can be saved"
        raise ArgumentError("path", text, f"{what} as {' or '.join(known)}; end the file name with that")
    return text, FORMATS[extension][0]


def write_atomically(path: str, pieces: Iterable[str]) -> None:
    """Write a file of mode 0600 that appears in one step: whatever fails, `path` holds the old content or the new.

    A link at `path` is replaced, not followed. Raises OSError, and whatever making the pieces raises.
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
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
