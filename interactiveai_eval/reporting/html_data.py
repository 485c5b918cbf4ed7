"""What the script of the HTML report reads: one JSON block a run, safe inside a page, of a bounded size.

The columns of a row are those that `html_script` lists as FIELDS. All texts are made visible here and cut to one
length, the longest for which all runs of the page together stay below a bound.
"""
from __future__ import annotations

import json
from math import inf

from .._strict_json import to_plain
from ..model import ItemFailure
from .shown import cut, item_number, item_part, name_text, score_text, value_text, visible
from .text import numbered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from ..item_result import ExperimentItemResult
    from ..model import Evaluation, ExperimentRecord
    from .comparison import Comparison

    Outcome = ExperimentItemResult | ItemFailure

# Made-up bounds: what a browser shows quickly and a mail server lets through.
ROWS_MOST = 20_000  # of a run
TEXT_MOST = 8_000_000  # characters of all values of a page
LONGEST_TEXT = 4000  # characters of one value
_TEXT_LIMITS = (LONGEST_TEXT, 2000, 1000, 500, 250, 120, 0)
_SPANS_MOST = 200  # of one item

_safe = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


class RunRows:
    """The rows of one run, in input order, and how many results are `left_out`; those that failed are kept first."""

    def __init__(
        self, record: ExperimentRecord, spans: Mapping[str, Sequence[Any]] | None = None, most: int = ROWS_MOST
    ) -> None:
        """`spans` maps trace ids to what `html_script` draws: (name, type, depth, start ms, end ms, error)."""
        rows: list[tuple[int, int, Outcome]] = [
            (failure.index, failure.repetition, failure) for failure in record.item_failures[:most]
        ]
        room = most - len(rows)
        rows += [(index, row.repetition, row) for index, row in list(numbered(record.item_results))[:room]]
        rows.sort(key=lambda row: row[:2])
        self.rows = rows
        self.left_out = len(record.item_failures) + len(record.item_results) - len(rows)
        self._texts = [
            [_whole_text(each) for each in (item_part(row.item, "input"), item_part(row.item, "expected_output"))]
            + [None if isinstance(row, ItemFailure) else _whole_text(row.output)]
            for _, _, row in rows
        ]
        self._spans = spans or {}

    def text_lengths(self) -> Iterator[int]:
        """The lengths of all inputs, expected and actual outputs."""
        return (len(text) for texts in self._texts for text in texts if text)

    def block(self, limit: int, comparison: Comparison | None, **about: Any) -> Iterator[str]:
        """The pieces of the JSON block; texts have up to `limit` characters (0 leaves them out), `about` are fields of
        the run, `comparison` says which metrics are better when they are lower, and which differences count.
        """
        metrics: dict[str, int] = {}
        before = "\n"
        yield '{"rows": ['
        keys: dict[str, int] = {}
        for (index, repetition, row), texts in zip(self.rows, self._texts):
            id = row.item_id or str(index)
            keys[id] = keys.get(id, 0) + 1
            cells = [
                item_number(index, repetition),
                # Repetitions, and equal items without ids, are told apart by their order.
                name_text(id) if keys[id] == 1 else f"{name_text(id)}#{keys[id]}",
                row.item_id and name_text(row.item_id),
                name_text(row.stage) if isinstance(row, ItemFailure) else None,
                *(visible(cut(text, limit)) if text is not None and limit else None for text in texts),
                *self._about(row, metrics, limit or _TEXT_LIMITS[-2], bool(limit)),
            ]
            while cells[-1] is None:
                cells.pop()
            yield before + _json(cells)
            before = ",\n"
        compared = {} if comparison is None else comparison.metrics
        about["metrics"] = [name_text(name) for name in metrics]
        about["lower"] = [name in compared and compared[name].lower_is_better for name in metrics]
        about["tolerance"] = 0 if comparison is None else comparison.tolerance
        about["left_out"] = self.left_out
        yield "\n],\n" + _json(about)[1:]

    def _about(self, row: Outcome, metrics: dict[str, int], limit: int, texts: bool) -> list[Any]:
        failures = getattr(row, "evaluator_failures", ())
        errors = [_error(failure.evaluator, failure, limit) for failure in failures]
        if isinstance(row, ItemFailure):
            errors = [_error(row.stage, row, limit)]
        evaluations = [
            _evaluation(metrics.setdefault(evaluation.name, len(metrics)), evaluation, limit)
            for evaluation in getattr(row, "evaluations", ())
        ]
        metadata = item_part(row.item, "metadata")
        return [
            evaluations or None,
            round(row.duration_seconds, 7),
            row.attempts,
            row.trace_id and name_text(row.trace_id),
            errors or None,
            None if metadata is None or not texts else value_text(metadata, limit, indent=2),
            [
                [name_text(name), name_text(kind), depth, round(start, 3), round(end, 3), name_text(error)]
                for name, kind, depth, start, end, error in self._spans.get(row.trace_id or "", ())[:_SPANS_MOST]
            ]
            or None,
        ]


def text_limit(lengths: Sequence[int]) -> int:
    """How long one text may be so that all of these together keep the bound, or nearly so."""
    for limit in _TEXT_LIMITS:
        if sum(min(length, limit) for length in lengths) <= TEXT_MOST:
            break
    return limit


def _whole_text(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    return json.dumps(to_plain(value), ensure_ascii=False, indent=2)


def _json(value: Any) -> str:
    """A value as JSON in which no character means anything to HTML."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_safe)


def _error(who: str, failure: Any, limit: int) -> list[str]:
    texts = (visible(cut(text, limit)) for text in (failure.message, failure.traceback))
    return [name_text(who), name_text(failure.error_type), *texts]


def _evaluation(metric: int, evaluation: Evaluation, limit: int) -> list[Any]:
    found = [metric, _plain_score(evaluation.value)]
    if evaluation.comment or evaluation.metadata is not None:
        found.append(value_text(evaluation.comment, limit) if evaluation.comment else "")
    if evaluation.metadata is not None:
        found.append(value_text(evaluation.metadata, limit, indent=2))
    return found


def _plain_score(value: Any) -> bool | float | str | None:
    """The value as JSON can say it: numbers that no browser reads as what they are become texts."""
    if value is None or isinstance(value, (bool, str)):
        return name_text(value) if isinstance(value, str) else value
    if isinstance(value, int) and abs(value) < 2**53:
        return int(value)
    number = float(value) if not isinstance(value, int) else inf
    return number if abs(number) < inf else score_text(value)
