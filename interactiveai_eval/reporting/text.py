"""Results as text for people: one result, a line about it, and a table of several.

Every text from outside passes through `shown`, so that no line, colour or direction of the report can be forged.
Values that span lines are indented below their label; nothing of them starts at the left margin.
"""
from __future__ import annotations

from ..model import DELIVERY_STATES
from ..tally import tally_of, undelivered_text
from .shown import counted, item_number, item_part, name_text, one_line, score_text, value_text
from .statistics import estimate_of
from .summary import estimates_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ..item_result import ExperimentItemResult
    from ..model import Evaluation, ExperimentRecord, ItemFailure
    from .statistics import Estimate

RULE = "\u2500" * 50
BULLET = "\u2022"
_CHART = "\U0001f4ca"
_SPEECH = "\U0001f4ad"
_LINK = "\U0001f517"

_VALUE_LIMIT = 1000  # characters of an input or output in the text report; a made-up number, a screen's worth
_FAILURES_SHOWN = 10  # how many failures are listed where the items are not
_LABELS_SHOWN = 8


def format_result(record: ExperimentRecord, *, include_item_results: bool) -> str:
    """The text behind `ExperimentResult.format`. Items are numbered as in the data, from 1 (their index plus one)."""
    lines: list[str] = []
    if include_item_results:
        for index, result in numbered(record.item_results):
            lines += [*_item_lines(index, result), ""]
    lines += _overview_lines(record)
    for title, section in (
        ("Evaluations", [name_text(name) for name in tally_of(record).metrics]),
        ("Average Scores", _average_lines(record)),
        ("Labels", _label_lines(record)),
        ("Run Evaluations", _run_evaluation_lines(record)),
        ("Failed Items", _failure_lines(record.item_failures, every=include_item_results)),
        ("Failed Evaluators", _evaluator_failure_lines(record)),
        ("Delivery", _delivery_lines(record)),
    ):
        if section:
            lines.append(f"{title}:")
            lines += [f"  {BULLET} {line}" for line in section]
    if record.dataset_run_url:
        lines += [f"{_LINK} Dataset Run:", f"   {one_line(record.dataset_run_url)}"]
    return "\n".join(lines)


def headline(record: ExperimentRecord) -> str:
    """One line: the name, how many items came and failed, and the averages."""
    averages = [f"{name_text(estimate.name)} {score_text(estimate.value)}" for estimate in _averages(record)]
    return ", ".join([f"{name_text(record.name)}: {_counts_text(record)}", *averages])


def _counts_text(record: ExperimentRecord) -> str:
    tally = tally_of(record)
    return counted(tally.given, "item") + (f", {tally.failed:,} failed" if tally.failed else "")


def _overview_lines(record: ExperimentRecord) -> Iterator[str]:
    yield RULE
    yield f"{_CHART} {name_text(record.name)}"
    if record.run_name and record.run_name != record.name:
        yield f"Run name: {name_text(record.run_name)}"
    if record.description:
        yield one_line(value_text(record.description, _VALUE_LIMIT))
    yield _counts_text(record)
    if not record.completed:
        yield "Incomplete: the run stopped before all items were done"


def _counted(record: ExperimentRecord) -> list[Estimate]:
    """The figures of `format`: every evaluation counts for itself, as in the reference."""
    return [estimate_of(metric) for metric in tally_of(record).metrics.values()]


def _averages(record: ExperimentRecord) -> list[Estimate]:
    return [estimate for estimate in _counted(record) if estimate.value is not None]


def _average_lines(record: ExperimentRecord) -> list[str]:
    taken = tally_of(record).succeeded
    return [
        f"{name_text(estimate.name)}: {score_text(estimate.value)}"
        # An average over a part of the items says over how many.
        + (f" (of {counted(estimate.n, 'value')})" if estimate.n != taken else "")
        for estimate in _averages(record)
    ]


def _label_lines(record: ExperimentRecord) -> list[str]:
    lines = []
    for metric in _counted(record):
        labels = [f"{score_text(label)} {n:,}" for label, n in metric.labels.items()]
        if len(labels) > _LABELS_SHOWN:
            labels[_LABELS_SHOWN:] = [f"{len(labels) - _LABELS_SHOWN:,} more"]
        if labels:
            lines.append(f"{name_text(metric.name)}: {', '.join(labels)}")
    return lines


def _evaluation_text(evaluation: Evaluation, indent: int) -> str:
    text = f"{name_text(evaluation.name)}: {score_text(evaluation.value)}"
    if evaluation.comment:
        text += f"\n{' ' * indent}{_SPEECH} {_block(evaluation.comment, indent + 3)}"
    return text


def _run_evaluation_lines(record: ExperimentRecord) -> list[str]:
    lines = [_evaluation_text(evaluation, 4) for evaluation in record.run_evaluations]
    return lines + [_error_text(failure.evaluator, failure) for failure in record.run_evaluator_failures]


def _error_text(who: str, failure: Any) -> str:
    return f"{name_text(who)}: {name_text(failure.error_type)}: {one_line(value_text(failure.message, _VALUE_LIMIT))}"


def _failure_lines(failures: Sequence[ItemFailure], *, every: bool) -> list[str]:
    shown = failures if every else failures[:_FAILURES_SHOWN]
    lines = [_error_text(f"Item {item_number(f.index, f.repetition)} ({f.stage})", f) for f in shown]
    if len(shown) < len(failures):
        lines.append(f"{len(failures) - len(shown):,} more")
    return lines


def _evaluator_failure_lines(record: ExperimentRecord) -> list[str]:
    every = [failure for result in record.item_results for failure in result.evaluator_failures]
    firsts = {failure.evaluator: failure for failure in reversed(every)}
    lines = []
    for row in record.evaluator_stats:
        if row.failed_runs:
            kinds = ", ".join(f"{name_text(kind)} {n:,}" for kind, n in row.error_summary.items())
            of = f"{row.failed_runs:,} of {counted(row.total_runs, 'call')}"
            first = [_error_text("first", firsts[row.name])] if row.name in firsts else []
            lines.append("; ".join([f"{name_text(row.name)}: {of}" + (f" ({kinds})" if kinds else ""), *first]))
    return lines


def _delivery_lines(record: ExperimentRecord) -> list[str]:
    """What became of scores, spans and links, and why something did not arrive; nothing where all of them arrived."""
    told = undelivered_text(record.delivery)
    if told is None:
        return []
    return [", ".join(f"{record.delivery[state]:,} {state}" for state in DELIVERY_STATES), one_line(told)]


def numbered(results: Sequence[ExperimentItemResult]) -> Iterator[tuple[int, ExperimentItemResult]]:
    """Each result with its index in the data, or its place in the list where results do not know their index."""
    known = len({(result.index, result.repetition) for result in results}) == len(results)
    for place, result in enumerate(results):
        yield (result.index if known else place), result


def _item_lines(index: int, result: ExperimentItemResult) -> Iterator[str]:
    yield f"{index + 1}. Item {item_number(index, result.repetition)}:"
    for label, value in (
        ("Input:   ", item_part(result.item, "input")),
        ("Expected:", item_part(result.item, "expected_output")),
    ):
        if value is not None:
            yield f"   {label} {_block(value, 13)}"
    yield f"   Actual:   {_block(result.output, 13)}"
    if result.evaluations:
        yield "   Scores:"
        for evaluation in result.evaluations:
            yield f"     {BULLET} {_evaluation_text(evaluation, 7)}"
    if result.evaluator_failures:
        yield "   Failed Evaluators:"
        for failure in result.evaluator_failures:
            yield f"     {BULLET} {_error_text(failure.evaluator, failure)}"
    if result.trace_id:
        yield f"   Trace:    {one_line(result.trace_id)}"


def _block(value: Any, indent: int) -> str:
    """A value whose second and later lines stand below its first."""
    return ("\n" + " " * indent).join(value_text(value, _VALUE_LIMIT).split("\n"))


def comparison_table(results: Sequence[ExperimentRecord]) -> str:
    """One row for each result: items, failures, and each metric's mean or rate with its 95 % interval."""
    headers = ["Experiment", "n", "failed"]
    estimates = [{found.name: found for found in estimates_of(record) if found.value is not None} for record in results]
    names = list(dict.fromkeys(name for row in estimates for name in row))
    with_interval = {name for row in estimates for name, estimate in row.items() if estimate.low is not None}
    for name in names:
        headers += [name_text(name)] + (["95 % interval"] if name in with_interval else [])
    rows = []
    for label, record, row in zip(labels_of(results), results, estimates):
        tally = tally_of(record)
        cells = [label, f"{tally.given:,}", f"{tally.failed:,}"]
        for name in names:
            estimate = row.get(name)
            cells.append("-" if estimate is None else score_text(estimate.value))
            if name in with_interval:
                cells.append("-" if estimate is None else interval_text(estimate))
        rows.append(cells)
    return _aligned([headers, *rows])


def interval_text(estimate: Estimate) -> str:
    """`0.114 - 0.372`, or a dash where there is no interval."""
    return "-" if estimate.low is None else f"{estimate.low:.3f} - {estimate.high:.3f}"


def labels_of(results: Sequence[ExperimentRecord]) -> list[str]:
    """A name for each result: the experiment's, or the run's where experiments share a name."""
    names = [name_text(record.name) for record in results]
    times: dict[str, int] = {}
    for name in names:
        times[name] = times.get(name, 0) + 1
    return [name if times[name] == 1 else name_text(record.run_name or name) for name, record in zip(names, results)]


def _aligned(rows: list[list[str]]) -> str:
    """Columns padded to the width that terminals show; the first to the left, the others to the right."""
    widths = [max(map(display_width, column)) for column in zip(*rows)]
    rows.insert(1, ["\u2500" * width for width in widths])
    return "\n".join(
        "  ".join(_padded(cell, width, left=not place) for place, (cell, width) in enumerate(zip(row, widths)))
        for row in rows
    )


def _padded(cell: str, width: int, *, left: bool) -> str:
    space = " " * (width - display_width(cell))
    return cell + space if left else space + cell


def display_width(text: str) -> int:
    """How many columns a terminal uses for `text`."""
    if text.isascii():
        return len(text)
    try:
        from unicodedata import combining, east_asian_width
    except ImportError:
        return len(text)  # columns may stand a little apart

    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


_ascii_signs = {
    "\u2500": "-",
    BULLET: "*",
    "\u2013": "-",
    "\u2026": "...",
    "\u2713": "+",
    "\u2717": "x",
    "\xd7": "x",
    _CHART: "#",
    _SPEECH: '"',
    _LINK: "->",
}


def ascii_signs(text: str) -> str:
    """`text` with an ASCII sign for each of ours."""
    for sign, plain in _ascii_signs.items():
        text = text.replace(sign, plain)
    return text


def encodable(text: str, encoding: str | None) -> str:
    """`text` as a stream of this encoding can take it: what it lacks as an ASCII sign or a `\\u` escape."""
    encoding = encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return ascii_signs(text).encode(encoding, "backslashreplace").decode(encoding)
    return text
