"""The figures of a page: the table of all runs, checks, a card for each metric, the comparison, what failed."""
from __future__ import annotations

from .html_plots import histogram, interval_plot, share_bar
from .html_text import escaped, name_html
from .report import numbers_of
from .shown import counted, cut, duration_text, one_line, p_text, score_text, signed_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .comparison import Comparison, MetricComparison
    from .report import FailureGroup, Report
    from .statistics import Estimate
    from .summary import Summary

# Made-up bounds: labels of a metric, kinds of failures.
_LABELS_SHOWN = 8
_LABELS_LISTED = 3
_FAILURES_SHOWN = 8


def overview_html(lines: Sequence[tuple[str, str, str, Summary]]) -> Iterator[str]:
    """A table with a line for each run: (label, address, what else to say in HTML, summary).

    It has a column for each metric that has a mean, a rate or labels in any of them.
    """
    found = [metric for *_, summary in lines for metric in summary.metrics.values()]
    names = list(dict.fromkeys(metric.name for metric in found if metric.value is not None or metric.labels))
    width = 240 if len(names) < 3 else 120
    heads = "".join(f'<th class="metric" scope="col">{name_html(name)}</th>' for name in names)
    more = '<th scope="col"></th>' if any(told for _, _, told, _ in lines) else ""
    many = " many" if len(names) >= 3 else ""
    yield (
        f'<div class="wide"><table class="comparison{many}">\n<thead><tr><th scope="col">Run</th>'
        f'<th class="n" scope="col">Items</th><th class="n" scope="col">Failed</th>{heads}{more}</tr></thead>\n'
        "<tbody>\n"
    )
    for label, address, told, summary in lines:
        cells = "".join(f'<td class="metric">{_figure(summary.metrics.get(name), width)}</td>' for name in names)
        yield (
            f'<tr><th scope="row"><a href="{escaped(address)}">{escaped(label)}</a></th>'
            f'<td class="n">{summary.given:,}</td>'
            f'<td class="n{" bad" if summary.failed else ""}">{summary.failed:,}</td>'
            f"{cells}{f'<td>{told}</td>' if more else ''}</tr>\n"
        )
    yield "</tbody>\n</table></div>\n"
    yield '<p class="note">Means and rates with their 95 % interval; rates are drawn on a scale from 0 to 1.</p>\n'


def checks_html(report: Report) -> Iterator[str]:
    """Each check with its outcome; nothing where there are none."""
    if report.checks is not None:
        yield '<ul class="checks">\n'
        for passed, reason in report.checks.said:
            kind, sign = ("yes", "passed") if passed else ("no", "failed")
            yield (
                f'<li><span class="{kind}"><span class="unseen">{sign}</span></span>'
                f"<span>{escaped(one_line(cut(reason, 500)))}</span></li>\n"
            )
        yield "</ul>\n"


def cards_html(report: Report, place: int, duration: str) -> Iterator[str]:
    """A card about the run, the `place`-th of its page, with what its `duration` is called, and one for each metric."""
    summary, timing = report.summary, report.timing
    failed = f"<b>{summary.failed:,}</b>"
    if summary.failed:
        failed = f'<b class="bad">{summary.failed:,}</b>'
        if report.record.item_failures:
            failed = f'<a href="#run-{place}-failure">{failed}</a>'
    counts = (
        (f"<b>{summary.given:,}</b>", "items"),
        (failed, "failed"),
        (f"<b>{duration_text(timing.duration)}</b>", duration),
    )
    shown = "".join(f"<div>{figure}<span>{name}</span></div>" for figure, name in counts)
    rate = timing.items_per_second
    more = [f"{rate:,.0f} items a second" if rate >= 10 else f"{rate:.2f} items a second"] if rate else []
    if timing.p50 is not None and timing.p90 is not None and timing.p90 >= 0.001:
        more.append(f"task {duration_text(timing.p50)}, p90 {duration_text(timing.p90)}")
    if timing.retries:
        more.append(counted(timing.retries, "more attempt"))
    note = f'<dd class="note">{", ".join(more)}</dd>' if more else ""
    yield f'<div><dt>Run</dt><dd class="counts">{shown}</dd>{note}</div>\n'
    for name, metric in summary.metrics.items():
        if metric.value is None and metric.labels:
            shown = _labels(metric)
        else:
            shown = _estimate(metric)
            if metric.kind != "boolean" and name in report.values:
                shown += histogram(numbers_of(report.values[name]))
        facts = [f"{metric.n:,} values"] if metric.missing else []
        facts += [f"{metric.missing:,} missing"] if metric.missing else []
        facts += [f"{metric.unstable:.0%} unstable"] if metric.unstable is not None else []
        if metric.p50 is not None and metric.p90 is not None and metric.kind == "numeric":
            facts.append(f"median {score_text(metric.p50)}, p90 {score_text(metric.p90)}")
        note = f'<dd class="note">{", ".join(facts)}</dd>' if facts else ""
        yield f"<div><dt>{name_html(name)}</dt><dd>{shown}</dd>{note}</div>\n"


def _figure(metric: Estimate | None, width: int) -> str:
    """A metric in a table of runs: its mean or rate, or else its most frequent labels."""
    if metric is None or metric.value is not None or not metric.labels:
        return _estimate(metric, width)
    shares = [f"{escaped(score_text(label))} {share:.0%}" for label, share in metric.shares.items()]
    return ", ".join([*shares[:_LABELS_LISTED], "\u2026"] if len(shares) > _LABELS_LISTED else shares)


def _estimate(estimate: Estimate | None, width: int = 240) -> str:
    """A mean or rate in numbers, with its interval in numbers and, for a rate, drawn (`width` in pixels)."""
    if estimate is None or estimate.value is None:
        return '<span class="note">\u2013</span>'
    shown = f"<b>{score_text(estimate.value)}</b>"
    if estimate.low is None or estimate.high is None:
        return shown
    shown += f' <span class="note">{score_text(estimate.low)}\u2013{score_text(estimate.high)}</span>'
    if estimate.kind != "boolean":
        return shown
    return shown + interval_plot(estimate.low, estimate.value, estimate.high, width)


def _labels(metric: Estimate) -> str:
    labels = list(metric.labels.items())
    shown = "".join(
        f"<li><span>{escaped(score_text(label))}</span><b>{n:,}</b>{share_bar(n, metric.n)}</li>"
        for label, n in labels[:_LABELS_SHOWN]
    )
    more = len(labels) - _LABELS_SHOWN
    return f'<ul class="labels">{shown}{f"<li>{more:,} more</li>" if more > 0 else ""}</ul>'


def comparison_html(comparison: Comparison, label: str, pair: str) -> Iterator[str]:
    """The comparison with the baseline, over the items that both have; the script draws the last column."""
    facts = [f"{counted(comparison.paired, 'item')} in both"]
    facts += [
        f"{n:,} {status}"
        for status, n in comparison.counts.items()
        if status in ("added", "removed", "newly failing", "recovered", "failing")
    ]
    yield (
        f'<div class="pair" data-pair="{pair}">\n<h3>Against {escaped(label)}</h3>\n<p class="note">'
        f"{', '.join(facts)}. "
        "Means over the items that both have, their paired 95 % interval, the p value of a permutation test.</p>\n"
    )
    heads = ("Here", "There", "Difference", "95 % interval", "p", "Better", "Worse", "Equal")
    cells = "".join(f'<th class="value-column" scope="col">{head}</th>' for head in heads)
    yield f'<div class="wide"><table class="pairs"><thead><tr><th scope="col">Metric</th>{cells}<th scope="col">Changes'
    yield "</th></tr></thead>\n<tbody>\n"
    for metric in comparison.metrics.values():
        yield _paired_line(metric)
    yield "</tbody></table></div>\n</div>\n"


def _paired_line(metric: MetricComparison) -> str:
    name = name_html(metric.name)
    difference, interval = "\u2013", "\u2013"
    if metric.delta is not None:
        sign = "\u25b2" if metric.delta > 0 else "\u25bc" if metric.delta < 0 else "="
        gain = metric.delta * (-1 if metric.lower_is_better else 1)
        kind = "better" if gain > 0 else "worse" if gain < 0 else "same"
        difference = f'<span class="delta {kind}">{sign} {_signed(metric.delta)}</span>'
        if metric.delta:
            difference += f'<div class="note">{metric.verdict or "unclear"}</div>'
    if metric.low is not None and metric.high is not None:
        interval = f"{_signed(metric.low)} to {_signed(metric.high)}"
    counts = [
        f'<span class="{kind}">{n:,}</span>' if n and kind else f"{n:,}"
        for n, kind in ((metric.improved, "better"), (metric.regressed, "worse"), (metric.equal, ""))
    ]
    means = score_text(metric.value), score_text(metric.baseline)
    cells = [*means, difference, interval, escaped(p_text(metric.p)), *counts]
    shown = "".join(f'<td class="value-column">{cell}</td>' for cell in cells)
    changed = f'<span class="note">{metric.changed:,} changed</span>' if metric.changed else ""
    return f'<tr><th scope="row">{name}</th>{shown}<td class="changes" data-metric="{name}">{changed}</td></tr>\n'


def _signed(number: float) -> str:
    text = signed_text(number)
    return "\u2212" + text[1:] if text[0] == "-" else text


def failures_html(groups: Sequence[FailureGroup]) -> Iterator[str]:
    """What failed, by kind."""
    if groups:
        yield '<h3>What failed</h3>\n<ul class="failures">\n'
        for group in groups[:_FAILURES_SHOWN]:
            who, noun = (group.stage, "item") if group.evaluator is None else (group.evaluator, "call")
            yield (
                f"<li><b>{name_html(who)}</b> {name_html(group.error_type)}, {counted(group.count, noun)}"
                f"{': ' if group.message else ''}{escaped(one_line(cut(group.message, 300)))}</li>\n"
            )
        if len(groups) > _FAILURES_SHOWN:
            yield f"<li>{counted(len(groups) - _FAILURES_SHOWN, 'more kind')}</li>\n"
        yield "</ul>\n"
