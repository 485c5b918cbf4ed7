"""A batch evaluation's result as text for people, in the reference's layout.

Like all reports, it shows texts from outside through `shown`.
"""
from __future__ import annotations

from ..model import DELIVERY_STATES
from ..tally import undelivered_text
from .shown import name_text, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..batch_model import BatchEvaluationRecord
    from ..model import EvaluatorStats

_RULE = "=" * 60


def batch_summary(result: BatchEvaluationRecord) -> str:
    """The text behind `str(result)`: sections that are parted by an empty line, between two rules.

    Rates are of attempted items: what was fetched but not attempted (beyond `max_items`) has not failed (TRAPS D23).
    """
    sections = (
        [f"Status: {'Completed' if result.completed else 'Incomplete'}", f"Duration: {result.duration_seconds:.2f}s"],
        _item_lines(result),
        _score_lines(result),
        _titled("Evaluator Performance:", [line for row in result.evaluator_stats for line in _stats_lines(row)]),
        _titled("Performance:", _performance_lines(result)),
        _titled("Errors encountered:", [f"{name_text(kind)}: {n}" for kind, n in result.error_summary.items()]),
        _titled("Delivery:", _delivery_lines(result)),
        list(_what_is_left_lines(result)),
    )
    lines = [_RULE, "Batch Evaluation Results", _RULE]
    for section in sections:
        if section:
            lines += ["", *section]
    return "\n".join([*lines, _RULE])


def _titled(title: str, lines: list[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _item_lines(result: BatchEvaluationRecord) -> list[str]:
    lines = [f"Items fetched: {result.total_items_fetched}", f"Items processed: {result.total_items_processed}"]
    if result.total_items_failed:
        lines.append(f"Items failed: {result.total_items_failed}")
    attempted = result.total_items_processed + result.total_items_failed
    return [*lines, f"Success rate: {_percent(result.total_items_processed, attempted)}"] if attempted else lines


def _percent(part: int, whole: int) -> str:
    """A share with one decimal; only all of it is 100.0%, and only nothing 0.0%."""
    shown = f"{part / whole * 100:.1f}"
    if shown == "100.0" and part < whole:
        return "99.9%"
    return "0.1%" if shown == "0.0" and part else f"{shown}%"


def _score_lines(result: BatchEvaluationRecord) -> list[str]:
    composite = result.total_composite_scores_created
    return [
        f"Scores created: {result.total_scores_created}",
        *([f"Composite scores: {composite}"] if composite else []),
        f"Total scores: {result.total_scores_created + composite}",
    ]


def _stats_lines(row: EvaluatorStats) -> Iterator[str]:
    yield f"{name_text(row.name)}:"
    if not row.total_runs:
        yield "  Runs: 0"
        return
    yield f"  Runs: {row.successful_runs}/{row.total_runs} ({_percent(row.successful_runs, row.total_runs)} success)"
    yield f"  Scores created: {row.total_scores_created}"
    if row.failed_runs:
        yield f"  Failed runs: {row.failed_runs}"


def _performance_lines(result: BatchEvaluationRecord) -> list[str]:
    items = result.total_items_processed
    if not items or result.duration_seconds <= 0:
        return []
    lines = [f"Throughput: {items / result.duration_seconds:.2f} items/second"]
    if result.total_scores_created:
        lines.append(f"Avg scores per item: {result.total_scores_created / items:.2f}")
    return lines


def _delivery_lines(result: BatchEvaluationRecord) -> list[str]:
    """What became of the scores, and why some did not arrive; nothing where all of them arrived."""
    told = undelivered_text(result.delivery)
    if told is None:
        return []
    return [", ".join(f"{result.delivery[state]} {state}" for state in DELIVERY_STATES), one_line(told)]


def _what_is_left_lines(result: BatchEvaluationRecord) -> Iterator[str]:
    """How far an incomplete or limited run came, and how to go on."""
    if result.completed and not result.has_more_items:
        return
    token = result.resume_token
    if result.completed:
        yield "Note: More items available beyond max_items limit"
    else:
        yield "Warning: Evaluation incomplete"
        if token is not None and token.last_processed_timestamp:
            yield f"  Last processed: {name_text(str(token.last_processed_timestamp))}"
        if token is not None:
            yield f"  Items processed: {token.items_processed}"
    if token is not None:
        yield "  Use resume_from parameter to continue"
