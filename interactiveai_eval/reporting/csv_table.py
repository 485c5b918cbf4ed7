"""A result as CSV, one row for each item, for spreadsheets and data frames."""
from __future__ import annotations

import csv
import io

from .._strict_json import to_json, well_formed
from .shown import item_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..model import ExperimentRecord

_BEFORE = ("index", "repetition", "item_id", "status", "input", "expected_output", "output")
_AFTER = ("error_type", "error_message", "attempts", "duration_seconds", "trace_id")
# What spreadsheet programs take for the start of a formula, the full-width forms too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def render_csv(record: ExperimentRecord, *, raw: bool = False) -> Iterator[str]:
    """A head and one row for each item, failed ones last; a column for each metric.

    A text that a spreadsheet program would take for a formula gets an apostrophe before it, unless `raw`; numbers stay
    numbers. Values that are no texts are JSON.
    """
    names = list(dict.fromkeys(each.name for row in record.item_results for each in row.evaluations))
    fixed = {*_BEFORE, *_AFTER}
    heads = [*_BEFORE, *(f"{name} (score)" if name in fixed else name for name in names), *_AFTER]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([_cell(head, raw) for head in heads])
    for result in record.item_results:
        scores = {each.name: each.value for each in reversed(result.evaluations)}
        trouble = result.evaluator_failures[0] if result.evaluator_failures else None
        writer.writerow(
            _cell(value, raw)
            for value in (
                *_start(result, "evaluator" if trouble else "ok"),
                result.output,
                *(scores.get(name) for name in names),
                trouble and trouble.error_type,
                trouble and f"{trouble.evaluator}: {trouble.message}",
                *_end(result),
            )
        )
        if buffer.tell() > 65_536:
            yield _taken(buffer)
    for failure in record.item_failures:
        cells = (*_start(failure, failure.stage), None, *[None] * len(names), failure.error_type, failure.message)
        writer.writerow(_cell(value, raw) for value in (*cells, *_end(failure)))
    yield _taken(buffer)


def _start(row: Any, status: str) -> tuple[Any, ...]:
    parts = (item_part(row.item, "input"), item_part(row.item, "expected_output"))
    return row.index, row.repetition, row.item_id, status, *parts


def _end(row: Any) -> tuple[Any, ...]:
    return row.attempts, row.duration_seconds, row.trace_id


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _cell(value: Any, raw: bool) -> Any:
    if value is None:
        return ""
    if not isinstance(value, str):
        return value if type(value) is float else to_json(value)
    text = well_formed(value).replace("\x00", "\ufffd")
    return "'" + text if not raw and text.lstrip(" ").startswith(_FORMULA) else text
