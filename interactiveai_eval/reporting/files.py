"""Saved reports: which file name gets which format, and how a file is read again."""
from __future__ import annotations

import os

from .._strict_json import JSONError, from_json
from ..errors import ArgumentError, DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVar

    from ..model import ExperimentRecord
    from .report import Report

    Render = Callable[..., Iterable[str]]
    Result = TypeVar("Result")


def _json(records: Sequence[ExperimentRecord], **settings: Any) -> Iterable[str]:
    from .documents import record_to_json

    return record_to_json(records[0])


def _jsonl(records: Sequence[ExperimentRecord], **settings: Any) -> Iterable[str]:
    from .documents import record_to_lines

    return record_to_lines(records[0])


def _csv(records: Sequence[ExperimentRecord], *, raw: bool = False, **settings: Any) -> Iterable[str]:
    from .csv_table import render_csv

    return render_csv(records[0], raw=raw)


def _markdown(records: Sequence[ExperimentRecord], **settings: Any) -> Iterable[str]:
    from .markdown import render_markdown

    return render_markdown(_reports(records, settings))


def _junit(records: Sequence[ExperimentRecord], **settings: Any) -> Iterable[str]:
    from .junit import render_junit

    return render_junit(_reports(records, settings))


def _text(records: Sequence[ExperimentRecord], **settings: Any) -> Iterable[str]:
    from .report_text import render_text

    return ["\n\n".join(map(render_text, _reports(records, settings))), "\n"]


def _html(records: Sequence[ExperimentRecord], **settings: Any) -> Iterable[str]:
    from .html import render_html

    return render_html(_reports(records, settings))


def _reports(records: Sequence[ExperimentRecord], settings: dict[str, Any]) -> list[Report]:
    from .report import report_of

    settings.pop("raw", None)
    return [report_of(record, **settings) for record in records]


# Extension: how it is rendered (records, and what `report_of` takes), and whether one file can hold several results.
FORMATS: dict[str, tuple[Render, bool]] = {
    ".json": (_json, False),
    ".jsonl": (_jsonl, False),
    ".csv": (_csv, False),
    ".md": (_markdown, True),
    ".html": (_html, True),
    ".xml": (_junit, True),
    ".txt": (_text, True),
}


def format_for(path: Any, *, several: bool = False) -> tuple[str, Render]:
    """The path as text, and what renders results for its extension.

    Raises ArgumentError for anything that is not the path of a file that can be written in a known format.
    """
    known = [extension for extension, (_, holds_several) in FORMATS.items() if holds_several or not several]
    text, extension = _target(path, known, "several results can be saved" if several else "a result can be saved")
    return text, FORMATS[extension][0]


def batch_format(path: Any) -> tuple[str, str]:
    """The path as text and its extension, for the result of a batch. Raises ArgumentError like `format_for`."""
    known = [extension for extension in FORMATS if extension != ".jsonl"]
    return _target(path, known, "the result of a batch evaluation can be saved")


def _target(path: Any, known: Sequence[str], what: str) -> tuple[str, str]:
    try:
        text = os.fsdecode(path)
    except (TypeError, UnicodeDecodeError):
        raise ArgumentError("path", path, "must be a text or a path") from None
    extension = os.path.splitext(text)[1].lower()
    if extension not in known:
        raise ArgumentError("path", text, f"{what} as {', '.join(known)}; end the file name with that")
    return text, extension


def read_saved(path: str | os.PathLike[str], read: Callable[[Any], Result], *, lines: bool = False) -> Result:
    """What `read` makes of the document in a `.json` file, or in a `.jsonl` file where `lines` are known.

    Raises ArgumentError for another extension, DataError that names the file, OSError.
    """
    from .documents import lines_to_document

    source = os.fsdecode(path)
    extension = os.path.splitext(source)[1].lower()
    if extension != ".json" and not (lines and extension == ".jsonl"):
        known = ".json or .jsonl" if lines else ".json"
        raise ArgumentError("path", source, f"a result can be loaded from {known}; save it as that")
    with open(source, "rb") as file:
        try:
            return read(lines_to_document(file) if extension == ".jsonl" else from_json(file.read()))
        except (JSONError, DataError) as error:
            raise DataError(f"{source}: {error}") from None
