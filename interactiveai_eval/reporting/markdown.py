"""A report as Markdown for a pull request: short, with the details folded.

All texts from outside stand in code spans, where no markup, mention or link of theirs has an effect.
"""
from __future__ import annotations

from .report import failed_items_text
from .shown import (
    counted,
    cut,
    duration_text,
    item_part,
    one_line,
    p_text,
    places_text,
    score_text,
    signed_text,
    value_text,
    visible,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .checks import CheckOutcome
    from .comparison import Comparison
    from .report import Report
    from .statistics import Estimate

_YES, _NO, _CAREFUL = "\u2705", "\u274c", "\u26a0\ufe0f"
_MARKS = {"passed": _YES, "failed": _NO, "incomplete": _CAREFUL, "errors": _CAREFUL, "done": _YES}
_VALUE_LIMIT = 300
_ROWS = 20  # of failures, labels and changed items; a comment holds 65,536 characters


def render_markdown(reports: Sequence[Report]) -> Iterator[str]:
    """The pieces of the document: one part for each report."""
    for place, report in enumerate(reports):
        yield "\n".join([*(["---", ""] if place else []), *_lines(report), ""])


def _lines(report: Report) -> Iterator[str]:
    record = report.record
    yield f"### {_MARKS[report.verdict.status]} {_code(record.name)}: {report.verdict.text}"
    if report.undelivered is not None:
        yield from ["", _code(report.undelivered)]
    if report.checks is not None:
        yield from _table(
            ["", "Check", "Found"],
            [
                [_YES if each.passed else _NO, _code(each.check.expression), _found(each)]
                for each in report.checks.outcomes
            ],
        )
        if report.checks.of_the_run:
            yield ""
        for reason in report.checks.of_the_run:
            yield f"- {_NO} {_code(reason) if reason in report.objections else reason}"
    yield from _metrics(report)
    if report.comparison is not None:
        yield from ["", *_comparison(report.comparison)]
    yield from _failures(report)
    yield from _worst(report)
    yield ""
    rate = report.timing.items_per_second
    facts = [duration_text(report.timing.duration) + (f" ({rate:,.1f} items/s)" if rate is not None else "")]
    if record.run_name and record.run_name != record.name:
        facts.insert(0, f"Run {_code(record.run_name)}")
    if record.dataset_run_url:
        facts.append(_code(record.dataset_run_url))
    if report.resume is not None:
        facts.append(f"To go on: {_code(report.resume)}")
    yield ". ".join(facts) + "."


def _found(outcome: CheckOutcome) -> str:
    return outcome.found if outcome.value is not None else _code(outcome.reason.rpartition(": ")[2])


def _metrics(report: Report) -> Iterator[str]:
    estimates = report.summary.metrics.values()
    rows = [
        [
            _code(each.name),
            f"{each.n:,}" + (f" ({each.missing:,} missing)" if each.missing else ""),
            f"**{score_text(each.value)}**",
            "" if each.low is None else f"{score_text(each.low)} \u2013 {score_text(each.high)}",
            *("" if figure is None else score_text(figure) for figure in (each.stdev, each.p50, each.p90)),
        ]
        for each in estimates
        if each.value is not None
    ]
    yield from _table(["Metric", "n", "Mean", "95 % interval", "SD", "p50", "p90"], rows, numbers_from=1)
    yield from _table(
        ["Metric", "Labels"], [[_code(each.name), _labels(each)] for each in estimates if each.labels]
    )
    yield from _table(
        ["Run metric", "Value", "Comment"],
        [
            [_code(each.name), _code(each.value) if isinstance(each.value, str) else score_text(each.value),
             _code(each.comment) if each.comment else ""]
            for each in report.record.run_evaluations
        ],
    )  # fmt: skip


def _labels(estimate: Estimate) -> str:
    shown = [f"{_code(label)} {share:.1%}" for label, share in list(estimate.shares.items())[:_ROWS]]
    more = len(estimate.labels) - len(shown)
    return ", ".join([*shown, f"{more:,} more"] if more else shown)


def _comparison(comparison: Comparison) -> Iterator[str]:
    name = comparison.baseline_run_name if comparison.baseline_name == comparison.name else comparison.baseline_name
    yield f"Compared with {_code(name)}: {counted(comparison.paired, 'item')} in both."
    rows = []
    for metric in comparison.metrics.values():
        if metric.delta is not None:
            interval = "" if metric.low is None else f"{signed_text(metric.low)} to {signed_text(metric.high)}"
            figures = [score_text(metric.baseline), score_text(metric.value), f"**{signed_text(metric.delta)}**"]
            counts = [f"{metric.improved:,}", f"{metric.regressed:,}", f"{metric.equal:,}"]
            rows.append([_code(metric.name), *figures, interval, p_text(metric.p), *counts, metric.verdict])
    heads = ["Metric", "Baseline", "Now", "Delta", "95 % interval", "p", "Better", "Worse", "Equal", ""]
    yield from _table(heads, rows, numbers_from=1)
    rows = []
    for metric in comparison.metrics.values():
        if metric.changed:
            shifts = [f"{_code(label)} {share:+.1%}" for label, share in metric.labels.items() if share]
            rows.append([_code(metric.name), f"{metric.changed:,} of {metric.n:,}", ", ".join(shifts[:_ROWS])])
    yield from _table(["Metric", "Changed", "Shares"], rows)
    lines = []
    for status in ("newly failing", "regressed", "removed", "added", "recovered", "improved"):
        changes = comparison.with_status(status)
        if changes:
            numbers = [(c.baseline_place if c.place is None else c.place) or 0 for c in changes]
            lines.append(f"- {len(changes):,} {status}: {places_text([number + 1 for number in numbers], _ROWS)}")
    yield from _folded("What changed, item by item", lines)


def _failures(report: Report) -> Iterator[str]:
    rows = [
        [
            f"{group.count:,}",
            group.stage if group.evaluator is None else f"evaluator {_code(group.evaluator)}",
            _code(group.error_type),
            _code(cut(group.message, _VALUE_LIMIT)) if group.message else "",
            failed_items_text(group) if group.places else "",
        ]
        for group in report.failures[:_ROWS]
    ]
    yield from _table(["Failures", "Stage", "Error", "First message", "Where"], rows)


def _worst(report: Report) -> Iterator[str]:
    rows = []
    for item in report.worst:
        scores = ", ".join(f"{_code(each.name)} {_score(each.value)}" for each in item.result.evaluations[:_ROWS])
        given = item.result.item
        before = None if item.baseline is None else item.baseline.output
        parts = (item_part(given, "input"), item_part(given, "expected_output"), item.result.output, before)
        rows.append([f"{item.place + 1:,}", scores, *(_value(part) for part in parts)])
    yield from _folded("Worst items", list(_table(["Item", "Scores", "Input", "Expected", "Output", "Before"], rows)))


def _score(value: object) -> str:
    return _code(value) if isinstance(value, str) else score_text(value)


def _value(value: object) -> str:
    return "" if value is None else _code(value_text(value, _VALUE_LIMIT))


def _folded(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield from ["", f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]


def _table(heads: list[str], rows: list[list[str]], numbers_from: int | None = None) -> Iterator[str]:
    """A table with an empty line before it; nothing where there are no rows. Columns that are empty are left out."""
    kept = [place for place in range(len(heads)) if any(row[place] for row in rows)]
    if not kept:
        return
    yield ""
    right = "---:" if numbers_from is not None else "---"
    yield f"| {' | '.join(heads[place] for place in kept)} |"
    yield f"| {' | '.join('---' if numbers_from is None or place < numbers_from else right for place in kept)} |"
    for row in rows:
        yield f"| {' | '.join(row[place] for place in kept)} |"


def _code(text: str) -> str:
    """A text of others as a code span, on one line, safe in a table too."""
    text = one_line(visible(cut(text, 4 * _VALUE_LIMIT))).replace("|", "\\|") or " "
    fence = "`"
    while fence in text:
        fence += "`"
    room = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{fence}{room}{text}{room}{fence}"
