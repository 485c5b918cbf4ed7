"""A result as CSV, one row for each item, for spreadsheets and data frames."""
from __future__ import annotations

import re

from .._strict_json import EXACT_INTEGER, to_json, to_plain, well_formed
from .shown import item_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ..model import ExperimentRecord

_BEFORE = ("index", "repetition", "item_id", "status", "input", "expected_output", "output")
_AFTER = ("error_type", "error_message", "attempts", "duration_seconds", "trace_id")
# What spreadsheet programs take for the start of a formula, the full-width forms too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_WITHIN = re.compile("([;\t] *)(?=[=+\\-@\uff1d\uff0b\uff0d\uff20])")


def render_csv(record: ExperimentRecord, *, raw: bool = False) -> Iterator[str]:
    """A head and one row for each item, failed ones last; a column for each metric.

    A text that a spreadsheet program would take for a formula gets an apostrophe before it, unless `raw`; numbers stay
    numbers. Values that are no texts are JSON. There are programs for which semicolons and tabs part cells, too, in
    quotes or not: what follows one in a text is taken for a cell of its own, and gets an apostrophe like one.
    """
    names = list(dict.fromkeys(each.name for row in record.item_results for each in row.evaluations))
    fixed = {*_BEFORE, *_AFTER}
    heads = [*_BEFORE, *(f"{name} (score)" if name in fixed else name for name in names), *_AFTER]
    yield _row(heads, raw)
    for result in record.item_results:
        scores = {each.name: each.value for each in reversed(result.evaluations)}
        trouble = result.evaluator_failures[0] if result.evaluator_failures else None
        cells = (
            *_start(result, "evaluator" if trouble else "ok"),
            result.output,
            *(scores.get(name) for name in names),
            trouble and trouble.error_type,
            trouble and f"{trouble.evaluator}: {trouble.message}",
            *_end(result),
        )
        yield _row(cells, raw)
    for failure in record.item_failures:
        cells = (*_start(failure, failure.stage), None, *[None] * len(names), failure.error_type, failure.message)
        yield _row((*cells, *_end(failure)), raw)


def _start(row: Any, status: str) -> tuple[Any, ...]:
    parts = (item_part(row.item, "input"), item_part(row.item, "expected_output"))
    return row.index, row.repetition, row.item_id, status, *parts


def _end(row: Any) -> tuple[Any, ...]:
    return row.attempts, row.duration_seconds, row.trace_id


def _row(values: Iterable[Any], raw: bool) -> str:
    return ",".join([_cell(value, raw) for value in values]) + "\r\n"


def _cell(value: Any, raw: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        value = to_plain(value, largest=EXACT_INTEGER)
        if not isinstance(value, str):
            return to_json(value, largest=EXACT_INTEGER)
    elif not isinstance(value, str):
        value = to_json(value, largest=EXACT_INTEGER)
    text = well_formed(value).replace("\x00", "\ufffd").replace('"', '""')
    if raw:
        return f'"{text}"'
    text = _WITHIN.sub(r"\1'", text)
    return f"\"'{text}\"" if text.lstrip(" ").startswith(_FORMULA) else f'"{text}"'
