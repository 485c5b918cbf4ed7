"""A report as text for a terminal or a log: the verdict first, then figures, failures, the worst items, timing.

Pure functions of a report: width, signs and colour are arguments, and `terminal_style` looks up what a stream can take.
Texts from outside pass through `shown`, so that no line, colour or direction of the report can be forged.
"""
from __future__ import annotations

import os

from ..model import Value
from .report import failed_items_text
from .shown import (
    counted,
    duration_text,
    item_part,
    name_text,
    one_line,
    p_text,
    places_text,
    score_text,
    signed_text,
    value_text,
    visible,
)
from .text import ascii_signs, display_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from .comparison import Comparison, ItemChange, MetricComparison
    from .report import Report
    from .statistics import Estimate

_BARS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_ASCII_BARS = " .:-=+*#@"
_RATE_WIDTH = 10
_LABELS_SHOWN = 6
_GROUPS_SHOWN = 10
_CHANGES_SHOWN = 5
_SCORES_SHOWN = 20
_COLOURS = {"good": "32", "bad": "31", "soft": "2", "strong": "1"}
_VERDICTS = {
    "passed": ("PASSED", "good"),
    "failed": ("FAILED", "bad"),
    "incomplete": ("INCOMPLETE", "bad"),
    "errors": ("WITH ERRORS", "bad"),
    "done": ("DONE", "good"),
}


class Style(Value):
    """How a text may look: its `width` in columns, whether it may have signs beyond ASCII, and colours."""

    __slots__ = ("width", "signs", "colour")
    width: int
    signs: bool
    colour: bool

    def __init__(self, *, width: int = 100, signs: bool = True, colour: bool = False) -> None:
        self._fill({"width": max(width, 40), "signs": signs, "colour": colour})

    def paint(self, text: str, colour: str) -> str:
        """`text` in a colour, where there are colours."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.colour and colour else text


def terminal_style(stream: Any, environment: Mapping[str, str]) -> Style:
    """What a stream can take: colours only on a terminal that knows them and without NO_COLOR in the environment."""
    try:
        terminal = bool(stream.isatty())
    except (AttributeError, ValueError):
        terminal = False
    width = 100
    if terminal:
        from shutil import get_terminal_size

        width = get_terminal_size((100, 24)).columns
    try:
        _BARS.encode(getattr(stream, "encoding", None) or "ascii")
        signs = True
    except (UnicodeEncodeError, LookupError):
        signs = False
    plain = environment.get("NO_COLOR") or environment.get("TERM", "dumb" if os.name != "nt" else "") == "dumb"
    return Style(width=width, signs=signs, colour=terminal and not plain)


def render_text(report: Report, style: Style | None = None, *, checks_only: bool = False) -> str:
    """The report, or verdict and checks alone; without a line feed at its end."""
    style = Style() if style is None else style
    sections = [_head(report, style), _checks(report, style)] if checks_only else [
        _head(report, style),
        _checks(report, style),
        _metrics(report, style),
        _comparison(report, style),
        _failures(report, style),
        _worst(report, style),
        _timing(report, style),
    ]
    if report.resume is not None:
        sections.append(["Go on", *_wrapped("  ", one_line(report.resume), style, indent=4)])
    lines = "\n\n".join("\n".join(_titled(section, style)) for section in sections if section)
    return lines if style.signs else ascii_signs(lines)


def _titled(section: Sequence[str], style: Style) -> list[str]:
    return list(section) if "\x1b" in section[0] else [style.paint(section[0], "strong"), *section[1:]]


def _head(report: Report, style: Style) -> list[str]:
    word, colour = _VERDICTS[report.verdict.status]
    record = report.record
    said = f"{name_text(record.name)}: {report.verdict.text}"
    lines = _wrapped(f"{style.paint(word, colour)}  ", said, style, indent=2)
    if record.run_name and record.run_name != record.name:
        lines += _wrapped("  ", f"run {name_text(record.run_name)}", style, indent=4)
    if report.undelivered is not None:
        lines += _wrapped("  ", one_line(report.undelivered), style, indent=4)
    if record.dataset_run_url:
        lines.append(f"  {one_line(record.dataset_run_url)}")
    return lines


def _checks(report: Report, style: Style) -> list[str]:
    if report.checks is None:
        return []
    lines = ["Checks"]
    for passed, reason in report.checks.said:
        mark = style.paint("\u2713", "good") if passed else style.paint("\u2717", "bad")
        lines += _wrapped(f"  {mark} ", reason, style, indent=4)
    return lines


def _metrics(report: Report, style: Style) -> list[str]:
    estimates = [estimate for estimate in report.summary.metrics.values() if estimate.value is not None]
    rows = [_metric_row(estimate, report, style) for estimate in estimates]
    lines = []
    if rows:
        heads = ["Metric", "n", "mean", "95 % interval", "sd", "p50", "p90", "distribution"]
        lines = _table([heads, *rows], style, left=(0, 7))
    labels = [estimate for estimate in report.summary.metrics.values() if estimate.labels]
    for estimate in labels:
        lines += _wrapped("", _labels_text(estimate), style, indent=2)
    for note in filter(None, map(_note, report.summary.metrics.values())):
        lines += _wrapped("", note, style, indent=2)
    for evaluation in report.record.run_evaluations:
        comment = f"  {_cut(one_line(visible(evaluation.comment)), 4 * style.width)}" if evaluation.comment else ""
        lines += _wrapped("", f"{name_text(evaluation.name)} (run): {score_text(evaluation.value)}{comment}", style, 2)
    if lines and not rows:
        lines.insert(0, "Metrics")
    return lines


def _metric_row(estimate: Estimate, report: Report, style: Style) -> list[str]:
    interval = "-" if estimate.low is None else f"{score_text(estimate.low)} - {score_text(estimate.high)}"
    return [
        name_text(estimate.name),
        f"{estimate.n:,}",
        score_text(estimate.value),
        interval,
        *("-" if figure is None else score_text(figure) for figure in (estimate.stdev, estimate.p50, estimate.p90)),
        _distribution(estimate, report, style),
    ]


def _distribution(estimate: Estimate, report: Report, style: Style) -> str:
    """A bar filled up to a rate, or a column for each tenth of the range with its least and greatest value."""
    if estimate.kind == "boolean" and estimate.value is not None:
        full = round(estimate.value * _RATE_WIDTH)
        return ("\u2588" * full + "\u2591" * (_RATE_WIDTH - full)) if style.signs else "#" * full + "." * (10 - full)
    bins = report.histograms.get(estimate.name, [])
    if len(bins) < 2:
        return ""
    most, bars = max(count for _, _, count in bins), _BARS if style.signs else _ASCII_BARS
    columns = "".join(bars[-(-count * 8 // most)] for _, _, count in bins)
    return f"{score_text(bins[0][0])} {columns} {score_text(bins[-1][1])}"


def _labels_text(estimate: Estimate) -> str:
    counts = estimate.labels.items()
    shares = [f"{score_text(label)} {share:.1%} ({n:,})" for (label, n), share in zip(counts, estimate.shares.values())]
    if len(shares) > _LABELS_SHOWN:
        shares[_LABELS_SHOWN:] = [f"{len(shares) - _LABELS_SHOWN:,} more labels"]
    return f"{name_text(estimate.name)}: {', '.join(shares)}"


def _note(estimate: Estimate) -> str:
    parts = [f"{estimate.missing:,} without a value"] if estimate.missing else []
    if estimate.is_mixed:
        numbers = counted(estimate.n - sum(estimate.labels.values()), "number")
        parts.append(f"{numbers} beside the texts, so that there is no mean")
    if estimate.unstable:
        parts.append(f"{estimate.unstable:.1%} of repeated items unstable")
    return f"{name_text(estimate.name)}: {', '.join(parts)}" if parts else ""


def _comparison(report: Report, style: Style) -> list[str]:
    return [] if report.comparison is None else _comparison_lines(report.comparison, style)


def _comparison_lines(comparison: Comparison, style: Style) -> list[str]:
    against = name_text(comparison.baseline_name)
    if comparison.baseline_name == comparison.name:
        against = name_text(comparison.baseline_run_name)
    lines = _wrapped("", f"Compared with {against}: {counted(comparison.paired, 'item')} in both", style, indent=2)
    rows = [_comparison_row(metric) for metric in comparison.metrics.values() if metric.delta is not None]
    if rows:
        heads = ["Metric", "baseline", "now", "delta", "95 % interval", "p", "better", "worse", "equal", ""]
        table = _table([heads, *rows], style, left=(0, 9))
        marks = {"better": "good", "worse": "bad"}
        lines += [f"  {line}" for line in table[:1]]
        lines += [
            "  " + (style.paint(line, marks.get(metric.verdict, "")))
            for line, metric in zip(table[1:], (m for m in comparison.metrics.values() if m.delta is not None))
        ]
    for metric in comparison.metrics.values():
        if metric.changed:
            shifts = [f"{score_text(label)} {share:+.1%}" for label, share in metric.labels.items() if share]
            text = f"{name_text(metric.name)}: {metric.changed:,} of {metric.n:,} changed"
            lines += _wrapped("  ", ", ".join([text, *shifts[:_LABELS_SHOWN]]), style, indent=4)
        elif not metric.n:
            side = "the baseline" if metric.lost else "this run"
            lines += _wrapped("  ", f"{name_text(metric.name)}: only {side} has it", style, indent=4)
    counts = [f"{n:,} {status}" for status, n in comparison.counts.items() if status != "equal"]
    if counts:
        lines += _wrapped("  ", f"Items: {', '.join(counts)}", style, indent=4)
    for status in ("newly failing", "regressed", "removed", "added"):
        lines += _changed_items(status, comparison.with_status(status), style)
    return lines


def _comparison_row(metric: MetricComparison) -> list[str]:
    interval = "-" if metric.low is None else f"{signed_text(metric.low)} - {signed_text(metric.high)}"
    return [
        name_text(metric.name),
        score_text(metric.baseline),
        score_text(metric.value),
        signed_text(metric.delta),
        interval.replace(" - ", " to "),
        p_text(metric.p),
        *(f"{count:,}" for count in (metric.improved, metric.regressed, metric.equal)),
        metric.verdict or "unclear",
    ]


def _changed_items(status: str, changes: Sequence[ItemChange], style: Style) -> list[str]:
    if not changes:
        return []
    numbers = [place + 1 for place in (_place(change) for change in changes) if place is not None]
    return _wrapped("  ", f"{status}: {places_text(numbers, _CHANGES_SHOWN)}", style, indent=4)


def _place(change: ItemChange) -> int | None:
    return change.baseline_place if change.place is None else change.place


def _failures(report: Report, style: Style) -> list[str]:
    lines = ["Failures"] if report.failures else []
    for group in report.failures[:_GROUPS_SHOWN]:
        where = group.stage if group.evaluator is None else f"evaluator {name_text(group.evaluator)}"
        items = f" ({failed_items_text(group)})" if group.places else ""
        text = f"{where}: {name_text(group.error_type)}{items}"
        lines += _wrapped(f"  {group.count:>5,} {style.paint(chr(0xD7), 'soft')} ", text, style, indent=10)
        if group.message:
            lines += _wrapped(" " * 10, _cut(one_line(group.message), 4 * style.width), style, indent=10)
    if len(report.failures) > _GROUPS_SHOWN:
        lines.append(f"  {len(report.failures) - _GROUPS_SHOWN:,} more kinds of failures")
    return lines


def _worst(report: Report, style: Style) -> list[str]:
    lines = ["Worst items"] if report.worst else []
    for item in report.worst:
        shown = item.result.evaluations[:_SCORES_SHOWN]
        scores = [f"{name_text(each.name)} {score_text(each.value)}" for each in shown]
        lines += _wrapped("  ", f"{item.place + 1}. {', '.join(scores)}", style, indent=5)
        for label, value in (
            ("input", item_part(item.result.item, "input")),
            ("expected", item_part(item.result.item, "expected_output")),
            ("output", item.result.output),
            ("before", None if item.baseline is None else item.baseline.output),
        ):
            if value is not None:
                text = one_line(value_text(value, 2 * style.width))
                lines.append(f"     {style.paint(f'{label:<9}', 'soft')}{_cut(text, style.width - 14)}")
    return lines


def _timing(report: Report, style: Style) -> list[str]:
    timing = report.timing
    parts = [duration_text(timing.duration)]
    if timing.items_per_second is not None:
        parts.append(f"{timing.items_per_second:,.1f} items/s")
    if timing.p50 is not None and timing.p90 is not None and timing.max is not None:
        spread = "/".join(duration_text(seconds) for seconds in (timing.p50, timing.p90, timing.max))
        parts.append(f"task p50/p90/max {spread}")
    if timing.retries:
        parts.append(counted(timing.retries, "retry").replace("retrys", "retries"))
    slow = {name: seconds / calls for name, (calls, seconds) in timing.evaluators.items() if calls}
    if slow:
        name = max(slow, key=lambda each: slow[each])
        parts.append(f"slowest evaluator {name_text(name)} {duration_text(slow[name])} a call")
    return _wrapped("Time  ", ", ".join(parts), style, indent=6) if timing.duration or timing.max else []


def _table(rows: list[list[str]], style: Style, left: Iterable[int]) -> list[str]:
    """Aligned columns; those that are empty are left out, and the last ones where the width is not enough."""
    room = max(style.width // 3, 12)
    rows = [[_cut(cells[0], room), *cells[1:]] for cells in rows]
    columns = list(zip(*rows))
    widths = [max(map(display_width, column)) for column in columns]
    kept = [place for place, column in enumerate(columns) if any(cell not in ("", "-") for cell in column[1:])]
    while len(kept) > 4 and sum(widths[place] + 2 for place in kept) - 2 > style.width - 2:
        kept.pop(-2 if 0 in kept and len(kept) > 5 else -1)
    lines = []
    for cells in rows:
        shown = []
        for place in kept:
            room = widths[place] - display_width(cells[place])
            shown.append(cells[place] + " " * room if place in left else " " * room + cells[place])
        lines.append("  ".join(shown).rstrip())
    return lines


def _wrapped(first: str, text: str, style: Style, indent: int) -> list[str]:
    """`first` and `text` in lines of at most the width, broken at spaces; later lines are indented."""
    lines, line = [], first
    used = display_width(_uncoloured(first))
    for word in text.split(" "):
        size = display_width(word)
        if used + size > style.width and used > indent:
            lines.append(line.rstrip())
            line, used = " " * indent, indent
        line, used = f"{line}{word} ", used + size + 1
    return [*lines, line.rstrip()]


def _uncoloured(text: str) -> str:
    import re

    return re.sub("\x1b\\[[0-9]*m", "", text)


def _cut(text: str, width: int) -> str:
    """As much of `text` as `width` columns take, with an ellipsis where there was more."""
    if display_width(text) <= width:
        return text
    kept: list[str] = []
    room = width - 1
    for sign in text:
        room -= display_width(sign)
        if room < 0:
            break
        kept.append(sign)
    return "".join(kept) + "\u2026"
