"""Results as one HTML file that needs nothing else: no network and no other file.

The policy in its head lets a browser use the one style sheet and the one script, known by their hashes, and nothing
more. Every text goes through `escaped`, which makes it visible and escapes it for element text and quoted attributes
alike, or into a JSON block (`html_data`), so what the data says cannot change the structure of the page. Verdict,
figures and a first part of the items can be read where scripts do not run; the script puts one table over all items in
their place.
"""
from __future__ import annotations

from binascii import b2a_base64

from .._ids import sha256_hex
from .._version import __version__
from ..model import ItemFailure
from .html_data import LONGEST_TEXT, ROWS_MOST, RunRows, text_limit
from .html_plots import histogram, interval_plot, share_bar
from .html_script import SCRIPT
from .html_style import STYLE
from .report import numbers_of, report_of
from .shown import (
    counted,
    cut,
    duration_text,
    item_number,
    item_part,
    name_text,
    one_line,
    p_text,
    score_text,
    signed_text,
    value_text,
    visible,
)
from .text import labels_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from ..model import Evaluation
    from .comparison import Comparison, MetricComparison
    from .html_data import Outcome
    from .report import FailureGroup, Report
    from .statistics import Estimate
    from .summary import Summary

# Made-up bounds of what is there without the script: rows of all runs together, characters of a value, labels, kinds
# of failures.
_STATIC_ROWS = 200
_STATIC_TEXT = 1000
_LABELS_SHOWN = 8
_FAILURES_SHOWN = 8


class Page:
    """What a page shows: reports, with the runs that they are compared with, and what is known beyond these."""

    def __init__(
        self,
        reports: Sequence[Report],
        *,
        title: str = "",
        labels: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        spans: Mapping[str, Sequence[Any]] | None = None,
        links: Sequence[str] = (),
        home: str = "",
        overview: bool | None = None,
    ) -> None:
        """`notes` stand below the labels; `spans` are for `RunRows`; `links` lead to each report's own page, `home` to
        the list of all; `overview` tells whether to begin with a table of all (by default where there are several).
        """
        self.reports = list(reports)
        for report in reports:
            if report.baseline is not None and self._place(report.baseline) is None:
                self.reports.append(report_of(report.baseline))
        self.labels = labels_of([report.record for report in self.reports]) if labels is None else labels
        self.notes = notes or [
            run_name if run_name != label else ""
            for run_name, label in zip((name_text(report.record.run_name) for report in self.reports), self.labels)
        ]
        self.spans = spans
        self.links = links
        self.home = home
        self.overview = len(reports) != 1 if overview is None else overview
        self.title = title or (self.labels[0] if len(reports) == 1 else counted(len(reports), "experiment"))

    def baseline(self, report: Report) -> int | None:
        """The place of the report of what a report is compared with."""
        return None if report.baseline is None else self._place(report.baseline)

    def _place(self, record: Any) -> int | None:
        return next((place for place, known in enumerate(self.reports) if known.record is record), None)


def render_html(reports: Sequence[Report]) -> Iterator[str]:
    """The pieces of the page for one or several reports; several begin with a table of all.

    What would make the file too large is cut, and the page says so: texts, items of a run beyond 20,000.
    """
    return render_page(Page(reports))


def render_page(page: Page) -> Iterator[str]:
    """The pieces of a page; at its end it says how large it is."""
    size = 0
    for piece in _pieces(page):
        size += len(piece) if piece.isascii() else len(piece.encode("utf-8"))
        yield piece
    yield from _end(size)


def document_head(title: str) -> str:
    """The head of a document, with the policy that a browser enforces."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src {_digest(SCRIPT)}; "
        f"style-src {_digest(STYLE)}; base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
    )


def document_end(note: str) -> str:
    """What ends a document: a footer, and the script."""
    told = f"interactiveai_eval {__version__}" + (f". {note}" if note else "")
    return f"<footer>{escaped(told)}</footer>\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"


def page_top(kicker: str, link: str = "") -> str:
    """The line above the title."""
    shown = f'<a href="{escaped(link)}">{escaped(kicker)}</a>' if link else escaped(kicker)
    return f'<header class="top"><p class="kicker">{shown}</p></header>\n'


def _digest(text: str) -> str:
    digest = b2a_base64(bytes.fromhex(sha256_hex(text.encode("ascii"))), newline=False).decode("ascii")
    return f"'sha256-{digest}'"


_escapes = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def escaped(text: str) -> str:
    """`text` made visible, for element text and quoted attributes."""
    return visible(text).translate(_escapes)


def _name(text: str) -> str:
    return escaped(name_text(text))


def _value(value: Any) -> str:
    """A value of the user's own in a box that scrolls when it is long; what is not a text is shown as data."""
    kind = "value" if isinstance(value, str) else "value data"
    return f'<div class="{kind}">{value_text(value, _STATIC_TEXT, indent=2).translate(_escapes)}</div>'


def _pieces(page: Page) -> Iterator[str]:
    yield document_head(page.title)
    yield "<body>\n<main>\n" + page_top("All runs" if page.home else "Evaluation report", page.home)
    if len(page.reports) == 1 or not page.overview:
        level = "h1"
    else:
        level = "h2"
        yield f"<h1>{escaped(page.title)}</h1>\n"
        lines = zip(page.labels, (report.summary for report in page.reports))
        yield from overview([(label, f"#run-{n}", "", summary) for n, (label, summary) in enumerate(lines, 1)])
    tables = [RunRows(report.record, page.spans) for report in page.reports]
    rows = _STATIC_ROWS // max(1, len(tables))
    limit = text_limit([length for table in tables for length in table.text_lengths()])
    for place, table in enumerate(tables):
        yield from _section(page, place, table, level if not place else "h2", rows if rows >= 10 else 0)
    if limit < LONGEST_TEXT:
        told = f"cut at {limit:,} characters" if limit else "left out"
        yield f'<p class="note">To keep this file usable, inputs and outputs are {told}.</p>\n'
    for place, (report, label, table) in enumerate(zip(page.reports, page.labels, tables)):
        link = page.links[place] if page.links else ""
        yield f'<script type="application/json" class="run-data" data-name="{escaped(label)}">'
        yield from table.block(limit, report.comparison, name=name_text(label), page=link)
        yield "</script>\n"


def _end(size: int) -> Iterator[str]:
    whole = size + len(SCRIPT) + 200
    yield document_end(f"One file of {size_text(whole)}; it loads nothing and sends nothing.")


def size_text(size: int) -> str:
    """`340 KB`, `1.2 MB`."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3)):,} KB"


def overview(lines: Sequence[tuple[str, str, str, Summary]]) -> Iterator[str]:
    """A table with a line for each run: (label, address, what else to say in HTML, summary).

    It has a column for each metric that has a mean or rate in any of them.
    """
    found = [metric for *_, summary in lines for metric in summary.metrics.values()]
    names = list(dict.fromkeys(metric.name for metric in found if metric.value is not None))
    width = 240 if len(names) < 3 else 120
    heads = "".join(f'<th class="metric" scope="col">{_name(name)}</th>' for name in names)
    more = '<th scope="col"></th>' if any(told for _, _, told, _ in lines) else ""
    yield (
        '<div class="wide"><table class="comparison">\n<thead><tr><th scope="col">Run</th>'
        f'<th class="n" scope="col">Items</th><th class="n" scope="col">Failed</th>{heads}{more}</tr></thead>\n'
        "<tbody>\n"
    )
    for label, address, told, summary in lines:
        cells = "".join(f'<td class="metric">{_estimate(summary.metrics.get(name), width)}</td>' for name in names)
        yield (
            f'<tr><th scope="row"><a href="{escaped(address)}">{escaped(label)}</a></th>'
            f'<td class="n">{summary.given:,}</td>'
            f'<td class="n{" bad" if summary.failed else ""}">{summary.failed:,}</td>'
            f"{cells}{f'<td>{told}</td>' if more else ''}</tr>\n"
        )
    yield "</tbody>\n</table></div>\n"
    yield '<p class="note">Means and rates with their 95 % interval; rates are drawn on a scale from 0 to 1.</p>\n'


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


def _section(page: Page, place: int, table: RunRows, level: str, rows: int) -> Iterator[str]:
    report, label = page.reports[place], page.labels[place]
    record, base = report.record, page.baseline(report)
    chosen = f' data-base="{base + 1}"' if base is not None else ""
    yield f'<section class="run" id="run-{place + 1}"{chosen}>\n<{level}>{escaped(label)}</{level}>\n'
    if page.notes[place]:
        yield f'<p class="run-name">{escaped(page.notes[place])}</p>\n'
    if record.description:
        yield f'<p class="lead">{escaped(cut(record.description, _STATIC_TEXT))}</p>\n'
    if record.dataset_run_url:
        yield f"<p>{_link(one_line(record.dataset_run_url))}</p>\n"
    good = " poor" if report.verdict.status in ("failed", "incomplete", "errors") else ""
    yield f'<p class="verdict{good}">{escaped(report.verdict.text[:1].upper() + report.verdict.text[1:])}.</p>\n'
    if report.resume:
        yield f'<p class="note">To go on: {escaped(report.resume)}.</p>\n'
    yield from _checks(report)
    yield '<dl class="cards">\n'
    yield from _cards(report, place + 1)
    yield "</dl>\n"
    if report.comparison is not None and base is not None:
        yield from _paired(report.comparison, page.labels[base], f"{place + 1}-{base + 1}")
    if record.run_evaluations:
        yield f"<h3>Run evaluations</h3>\n{_scores(record.run_evaluations)}\n"
    yield from _failures(report.failures)
    yield from _items(report, place + 1, table, rows)
    yield "</section>\n"


def _checks(report: Report) -> Iterator[str]:
    if report.checks is not None:
        yield '<ul class="checks">\n'
        for outcome in report.checks.outcomes:
            kind, sign = ("yes", "passed") if outcome.passed else ("no", "failed")
            yield (
                f'<li><span class="{kind}"><span class="unseen">{sign}</span></span>'
                f"<span>{escaped(one_line(cut(outcome.reason, 500)))}</span></li>\n"
            )
        yield "</ul>\n"


def _cards(report: Report, place: int) -> Iterator[str]:
    summary, timing = report.summary, report.timing
    failed = f"<b>{summary.failed:,}</b>"
    if summary.failed:
        failed = f'<b class="bad">{summary.failed:,}</b>'
        if report.record.item_failures:
            failed = f'<a href="#run-{place}-failure">{failed}</a>'
    counts = (
        (f"<b>{summary.given:,}</b>", "items"),
        (failed, "failed"),
        (f"<b>{duration_text(timing.duration)}</b>", "duration"),
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
        yield f"<div><dt>{_name(name)}</dt><dd>{shown}</dd>{note}</div>\n"


def _paired(comparison: Comparison, label: str, pair: str) -> Iterator[str]:
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
    name = _name(metric.name)
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


def _labels(metric: Estimate) -> str:
    labels = list(metric.labels.items())
    shown = "".join(
        f"<li><span>{escaped(score_text(label))}</span><b>{n:,}</b>{share_bar(n, metric.n)}</li>"
        for label, n in labels[:_LABELS_SHOWN]
    )
    more = len(labels) - _LABELS_SHOWN
    return f'<ul class="labels">{shown}{f"<li>{more:,} more</li>" if more > 0 else ""}</ul>'


def _failures(groups: Sequence[FailureGroup]) -> Iterator[str]:
    if groups:
        yield '<h3>What failed</h3>\n<ul class="failures">\n'
        for group in groups[:_FAILURES_SHOWN]:
            who, noun = (group.stage, "item") if group.evaluator is None else (group.evaluator, "call")
            yield (
                f"<li><b>{_name(who)}</b> {_name(group.error_type)}, {counted(group.count, noun)}"
                f"{': ' if group.message else ''}{escaped(one_line(cut(group.message, 300)))}</li>\n"
            )
        if len(groups) > _FAILURES_SHOWN:
            yield f"<li>{counted(len(groups) - _FAILURES_SHOWN, 'more kind')}</li>\n"
        yield "</ul>\n"


def _items(report: Report, place: int, table: RunRows, rows: int) -> Iterator[str]:
    """The items as they are without a script."""
    if report.record.tally is not None:
        yield '<p class="note">The results of single items were not kept.</p>\n'
        return
    shown = sorted(table.rows, key=lambda row: not isinstance(row[2], ItemFailure))[:rows]
    shown.sort(key=lambda row: row[:2])
    yield f'<div class="static">\n<h3>{counted(len(table.rows) + table.left_out, "item")}</h3>\n'
    if len(shown) < len(table.rows):
        yield f'<p class="note">Without its script this page shows {len(shown):,} of them.</p>\n'
    if shown:
        yield (
            '<table class="items">\n<thead><tr><th class="place" scope="col">#</th><th scope="col">Input</th>'
            '<th class="expected" scope="col">Expected</th><th scope="col">Output</th>'
            '<th class="judged" scope="col">Metrics</th></tr></thead>\n<tbody>\n'
        )
        anchor = f' id="run-{place}-failure"'
        for index, repetition, row in shown:
            where = ""
            if isinstance(row, ItemFailure):
                where, anchor = anchor, ""
            yield _row(index, repetition, row, where)
        yield "</tbody>\n</table>\n"
    yield "</div>\n"
    if table.left_out:
        yield (
            f'<p class="note">{counted(table.left_out, "item")} of this run are not in this file: '
            f"it takes {ROWS_MOST:,}, those that failed first.</p>\n"
        )


def _row(index: int, repetition: int, row: Outcome, where: str) -> str:
    if isinstance(row, ItemFailure):
        kind, output = ' class="failed"', _error(row.stage, row)
        judged = f'<span class="bad">failed after {counted(row.attempts, "attempt")}</span>'
    else:
        kind, output = "", _value(row.output)
        failures = "".join(_error(failure.evaluator, failure) for failure in row.evaluator_failures)
        judged = _scores(row.evaluations) + failures
    return (
        f'<tr{where}{kind}><th class="place" scope="row">{item_number(index, repetition)}</th>'
        f'<td data-label="Input">{_value_or_nothing(item_part(row.item, "input"))}</td>'
        f'<td data-label="Expected">{_value_or_nothing(item_part(row.item, "expected_output"))}</td>'
        f'<td data-label="Output">{output}</td><td data-label="Metrics">{judged}</td></tr>\n'
    )


def _value_or_nothing(value: Any) -> str:
    return _value("" if value is None else value)


def _error(who: str, failure: Any) -> str:
    """An error with its message, and the traceback behind a fold."""
    return (
        f'<div class="problem"><p class="error"><b>{_name(who)}</b> {_name(failure.error_type)}</p>'
        f"{_value(failure.message)}<details><summary>Traceback</summary>{_value(failure.traceback)}</details></div>"
    )


def _scores(evaluations: Iterable[Evaluation]) -> str:
    rows = []
    for evaluation in evaluations:
        kind = {True: " yes", False: " no"}.get(evaluation.value, "") if isinstance(evaluation.value, bool) else ""
        comment = f'<div class="comment">{_value(evaluation.comment)}</div>' if evaluation.comment else ""
        rows.append(
            f'<li><span class="name">{_name(evaluation.name)}</span>'
            f'<span class="score{kind}">{escaped(score_text(evaluation.value))}</span>{comment}</li>'
        )
    return f'<ul class="scores">{"".join(rows)}</ul>'


def _link(url: str) -> str:
    """A link where the address is one of the web; anything else (`javascript:` ...) stays text."""
    if url.lower().startswith(("https://", "http://")):
        return f'<a href="{escaped(url)}" rel="noopener noreferrer">{escaped(url)}</a>'
    return escaped(url)
