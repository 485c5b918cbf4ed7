"""Results as one HTML file that needs nothing else: no network, no script, no other file.

The policy in its head lets a browser use the one style sheet, known by its hash, and nothing more. Every text goes
through `_e`, which makes it visible and escapes it for element text and quoted attributes alike, so what the data says
cannot change the structure of the page.
"""
from __future__ import annotations

from binascii import b2a_base64

from .._ids import sha256_hex
from ..model import ItemFailure
from ..tally import tally_of
from .shown import (
    counted,
    cut,
    duration_text,
    item_number,
    item_part,
    name_text,
    one_line,
    score_text,
    value_text,
    visible,
)
from .summary import estimates_of
from .text import labels_of, numbered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from ..model import Evaluation, ExperimentItemResult, ExperimentRecord
    from .statistics import Estimate

# Made-up bounds that keep a file usable in a browser: rows of a result, characters of a value, labels of a metric.
_ROWS = 2000
_VALUE_LIMIT = 4000
_LABELS_SHOWN = 12


def render_html(results: Sequence[ExperimentRecord]) -> Iterator[str]:
    """The pieces of the page for one or several results; several begin with a comparison.

    Where a result has more than 2,000 items the failed ones are kept first; the page says how many are left out.
    """
    labels = labels_of(results)
    title = labels[0] if len(results) == 1 else counted(len(results), "experiment")
    digest = b2a_base64(bytes.fromhex(sha256_hex(_STYLE.encode("ascii"))), newline=False).decode("ascii")
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        f"content=\"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{_e(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        '<p class="kicker">Evaluation report</p>\n'
    )
    if len(results) != 1:
        yield f"<h1>{_e(title)}</h1>\n"
        yield from _comparison(results, labels)
    for place, (record, label) in enumerate(zip(results, labels), 1):
        yield from _section(record, label, place, alone=len(results) == 1)
    yield "</main>\n</body>\n</html>\n"


_escapes = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def _e(text: str) -> str:
    return visible(text).translate(_escapes)


def _value(value: Any) -> str:
    """A value of the user's own in a box that scrolls when it is long; what is not a text is shown as data."""
    kind = "value" if isinstance(value, str) else "value data"
    return f'<div class="{kind}">{value_text(value, _VALUE_LIMIT, indent=2).translate(_escapes)}</div>'


def _comparison(results: Sequence[ExperimentRecord], labels: Sequence[str]) -> Iterator[str]:
    estimates = [{estimate.name: estimate for estimate in estimates_of(record)} for record in results]
    names = list(dict.fromkeys(name for row in estimates for name, found in row.items() if found.value is not None))
    width = 240 if len(names) < 3 else 120
    heads = "".join(f'<th class="metric" scope="col">{_e(name_text(name))}</th>' for name in names)
    yield (
        '<table class="comparison">\n<thead><tr><th scope="col">Experiment</th><th class="n" scope="col">Items</th>'
        f'<th class="n" scope="col">Failed</th>{heads}</tr></thead>\n<tbody>\n'
    )
    for place, (record, label, row) in enumerate(zip(results, labels, estimates), 1):
        tally = tally_of(record)
        cells = "".join(f'<td class="metric">{_estimate(row.get(name), width)}</td>' for name in names)
        yield (
            f'<tr><th scope="row"><a href="#run-{place}">{_e(label)}</a></th><td class="n">{tally.given:,}</td>'
            f'<td class="n{" bad" if tally.failed else ""}">{tally.failed:,}</td>{cells}</tr>\n'
        )
    yield "</tbody>\n</table>\n"
    yield '<p class="note">Rates with their 95 % interval (Wilson), drawn on a scale from 0 to 1.</p>\n'


def _estimate(estimate: Estimate | None, width: int = 120) -> str:
    """A mean or rate in numbers, with its interval in numbers and drawn where there is one (`width` in pixels)."""
    if estimate is None or estimate.value is None:
        return '<span class="note">\u2013</span>'
    shown = f"<b>{score_text(estimate.value)}</b>"
    if estimate.low is None or estimate.high is None:
        return shown
    interval = f"{estimate.low:.3f}\u2013{estimate.high:.3f}"
    left, dot, right = (f"{4 + (width - 8) * x:.1f}" for x in (estimate.low, estimate.value, estimate.high))
    end, middle = width - 4, width // 2
    return (
        f'{shown} <span class="note">{interval}</span><svg class="plot" viewBox="0 0 {width} 12" width="{width}" '
        f'height="12" role="img" aria-label="95 % interval {interval}">'
        f'<path class="axis" d="M4 6H{end}M4 3V9M{middle} 4.5V7.5M{end} 3V9"/>'
        f'<path class="span" d="M{left} 6H{right}"/><circle cx="{dot}" cy="6" r="3.5"/></svg>'
    )


def _section(record: ExperimentRecord, label: str, place: int, *, alone: bool) -> Iterator[str]:
    level = "h1" if alone else "h2"
    yield f'<section id="run-{place}">\n<{level}>{_e(label)}</{level}>\n'
    yield f'<p class="run">{_e(name_text(record.run_name))}</p>\n'
    if record.description:
        yield f'<p class="lead">{_e(cut(record.description, _VALUE_LIMIT))}</p>\n'
    if not record.completed:
        yield '<p class="bad">Incomplete: the run stopped before all items were done.</p>\n'
    if record.dataset_run_url:
        yield f"<p>{_link(one_line(record.dataset_run_url))}</p>\n"
    yield '<dl class="figures">\n'
    yield from _figures(record, place)
    yield "</dl>\n"
    yield from _run_evaluations(record)
    yield from _evaluator_failures(record)
    yield from _items(record, place, alone=alone)
    yield "</section>\n"


def _figures(record: ExperimentRecord, place: int) -> Iterator[str]:
    tally = tally_of(record)
    failed = f"{tally.failed:,}"
    if record.item_failures:
        failed = f'<a class="bad" href="#run-{place}-failure">{failed}</a>'
    figures = [("Items", f"<b>{tally.given:,}</b>"), ("Failed", f"<b>{failed}</b>")]
    for metric in estimates_of(record):
        shown = _labels(metric) if metric.value is None and metric.labels else _estimate(metric)
        if metric.missing:
            shown += f' <span class="note">{metric.missing:,} missing</span>'
        figures.append((_e(name_text(metric.name)), shown))
    figures.append(("Duration", f"<b>{duration_text(record.duration_seconds)}</b>"))
    undelivered = record.delivery.pending + record.delivery.rejected
    if undelivered:
        figures.append(("Not delivered", f'<b class="bad">{undelivered:,}</b>'))
    for name, shown in figures:
        yield f"<div><dt>{name}</dt><dd>{shown}</dd></div>\n"


def _labels(metric: Estimate) -> str:
    labels = list(metric.labels.items())
    shown = "".join(f"<li>{_e(score_text(label))} <b>{n:,}</b></li>" for label, n in labels[:_LABELS_SHOWN])
    more = f"<li>{len(labels) - _LABELS_SHOWN:,} more</li>" if len(labels) > _LABELS_SHOWN else ""
    return f'<ul class="labels">{shown}{more}</ul>'


def _run_evaluations(record: ExperimentRecord) -> Iterator[str]:
    if record.run_evaluations:
        yield f"<h3>Run evaluations</h3>\n{_scores(record.run_evaluations)}\n"


def _evaluator_failures(record: ExperimentRecord) -> Iterator[str]:
    rows = [
        f"<li>{_e(name_text(row.name))}: {row.failed_runs:,} of {counted(row.total_runs, 'call')} failed</li>\n"
        for row in record.evaluator_stats
        if row.failed_runs
    ]
    rows += [f"<li>{_error(failure.evaluator, failure)}</li>\n" for failure in record.run_evaluator_failures]
    if rows:
        yield '<h3>Failed evaluators</h3>\n<ul class="errors">\n' + "".join(rows) + "</ul>\n"


def _items(record: ExperimentRecord, place: int, *, alone: bool) -> Iterator[str]:
    given = tally_of(record).given
    if record.tally is not None:
        yield '<p class="note">The results of single items were not kept.</p>\n'
        return
    rows, left_out = _rows(record)
    opened = " open" if alone or record.item_failures else ""
    yield f'<details class="all"{opened}>\n<summary>{counted(given, "item")}</summary>\n'
    if left_out:
        yield f'<p class="note">{counted(left_out, "more item")} not shown.</p>\n'
    yield (
        '<table class="items">\n<thead><tr><th class="place" scope="col">#</th><th scope="col">Input</th>'
        '<th class="expected" scope="col">Expected</th><th scope="col">Output</th>'
        '<th class="judged" scope="col">Scores</th></tr></thead>\n<tbody>\n'
    )
    anchor = f' id="run-{place}-failure"'
    for index, repetition, row in rows:
        where = ""
        if isinstance(row, ItemFailure):
            where, anchor = anchor, ""
        yield _row(index, repetition, row, where)
    yield "</tbody>\n</table>\n</details>\n"


def _rows(record: ExperimentRecord) -> tuple[list[tuple[int, int, ExperimentItemResult | ItemFailure]], int]:
    """What the table shows, in input order, and how many results it leaves out."""
    rows: list[tuple[int, int, ExperimentItemResult | ItemFailure]] = [
        (failure.index, failure.repetition, failure) for failure in record.item_failures[:_ROWS]
    ]
    room = max(0, _ROWS - len(rows))
    rows += [(index, row.repetition, row) for index, row in list(numbered(record.item_results))[:room]]
    rows.sort(key=lambda row: row[:2])
    return rows, len(record.item_failures) + len(record.item_results) - len(rows)


def _row(index: int, repetition: int, row: ExperimentItemResult | ItemFailure, where: str) -> str:
    facts = [f"item id {name_text(row.item_id)}"] if row.item_id else []
    facts += [f"trace {name_text(row.trace_id)}"] if row.trace_id else []
    facts += [duration_text(row.duration_seconds), counted(row.attempts, "attempt")]
    if isinstance(row, ItemFailure):
        kind, output, judged = ' class="failed"', *_failure(row)
    else:
        kind, output, judged = "", _value(row.output), _judged(row)
    return (
        f'<tr{where}{kind}><th class="place" scope="row" title="{_e(", ".join(facts))}">'
        f"{item_number(index, repetition)}</th>"
        f'<td data-label="Input">{_value_or_nothing(item_part(row.item, "input"))}</td>'
        f'<td data-label="Expected">{_value_or_nothing(item_part(row.item, "expected_output"))}</td>'
        f'<td data-label="Output">{output}</td><td data-label="Scores">{judged}</td></tr>\n'
    )


def _value_or_nothing(value: Any) -> str:
    return _value("" if value is None else value)


def _failure(failure: ItemFailure) -> tuple[str, str]:
    after = f'<span class="bad">failed after {counted(failure.attempts, "attempt")}</span>'
    return _error(failure.stage, failure), after


def _error(who: str, failure: Any) -> str:
    """An error with its message, and the traceback behind a fold."""
    return (
        f'<p class="error"><b>{_e(name_text(who))}</b> {_e(name_text(failure.error_type))}</p>{_value(failure.message)}'
        f"<details><summary>Traceback</summary>{_value(failure.traceback)}</details>"
    )


def _judged(result: ExperimentItemResult) -> str:
    failures = "".join(f"<li>{_error(failure.evaluator, failure)}</li>" for failure in result.evaluator_failures)
    return _scores(result.evaluations) + (f'<ul class="errors">{failures}</ul>' if failures else "")


def _scores(evaluations: Iterable[Evaluation]) -> str:
    rows = []
    for evaluation in evaluations:
        kind = {True: " yes", False: " no"}.get(evaluation.value, "") if isinstance(evaluation.value, bool) else ""
        comment = f'<div class="comment">{_value(evaluation.comment)}</div>' if evaluation.comment else ""
        rows.append(
            f'<li><span class="name">{_e(name_text(evaluation.name))}</span>'
            f'<span class="score{kind}">{_e(score_text(evaluation.value))}</span>{comment}</li>'
        )
    return f'<ul class="scores">{"".join(rows)}</ul>'


def _link(url: str) -> str:
    """A link where the address is one of the web; anything else (`javascript:` ...) stays text."""
    if url.lower().startswith(("https://", "http://")):
        return f'<a href="{_e(url)}" rel="noopener noreferrer">{_e(url)}</a>'
    return _e(url)


_STYLE = """
:root{color-scheme:light dark;--paper:#fbfbf9;--ink:#1c1e21;--soft:#676c74;--line:#e2e2dd;--sunk:#f3f3ef;
--accent:#1f5fa8;--bad:#ad4308}
@media (prefers-color-scheme:dark){:root{--paper:#141619;--ink:#e6e5e1;--soft:#989da5;--line:#2b2f35;--sunk:#1c1f23;
--accent:#86b6f2;--bad:#f29a6b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums lining-nums}
main{max-width:78rem;margin:0 auto;padding:3rem 2rem 6rem}
h1,h2,h3{font-weight:600;letter-spacing:-.012em;line-height:1.2;overflow-wrap:anywhere}
h1{font-size:2rem;margin:0 0 .4rem}
h2{font-size:1.35rem;margin:0 0 .25rem}
h3{font-size:.95rem;margin:2rem 0 .5rem;letter-spacing:0}
p{margin:.4rem 0}
a{color:var(--accent);text-decoration-thickness:1px;text-underline-offset:.18em}
ul{list-style:none;margin:0;padding:0}
b{font-weight:600}
.kicker{margin:0 0 .6rem;color:var(--soft);font-size:.78rem;letter-spacing:.09em;text-transform:uppercase}
.run,.note{color:var(--soft);font-size:.86rem}
.run,.lead{overflow-wrap:anywhere}
.lead{max-width:46rem;white-space:pre-wrap}
.bad{color:var(--bad)}
section{margin-top:4rem;scroll-margin-top:1.5rem}
.kicker+section{margin-top:0}
table{width:100%;border-collapse:collapse;text-align:left}
th{font-weight:400}
thead th{color:var(--soft);font-size:.8rem;border-bottom:1px solid var(--ink);padding:.5rem 1.25rem .4rem 0;
vertical-align:bottom}
td,tbody th{border-bottom:1px solid var(--line);padding:.7rem 1.25rem .7rem 0;vertical-align:top}
.comparison{margin:2rem 0 .6rem}
.comparison td,.comparison tbody th{vertical-align:middle;padding-top:.55rem;padding-bottom:.55rem}
.comparison th{overflow-wrap:anywhere}
.comparison th:first-child{min-width:11rem}
.comparison .n{text-align:right;width:5.5rem;padding-right:2rem}
.comparison td.metric{white-space:nowrap}
.comparison b{display:inline-block;min-width:3.2rem}
.comparison .note{display:inline-block;min-width:7rem}
.plot{overflow:visible;vertical-align:middle;margin-left:.5rem}
.plot path{fill:none;stroke:var(--soft);stroke-width:1;opacity:.45}
.plot .span{opacity:.6;stroke:var(--accent);stroke-width:3;stroke-linecap:round}
.plot circle{fill:var(--accent)}
.figures{display:flex;flex-wrap:wrap;gap:1.2rem 3rem;margin:1.5rem 0 2rem;padding:1.1rem 0;
border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
.figures div{min-width:4.5rem}
.figures dt{color:var(--soft);font-size:.8rem;overflow-wrap:anywhere}
.figures dd{margin:.1rem 0 0}
.figures dd>b{font-size:1.5rem;font-weight:600;letter-spacing:-.015em;line-height:1.3}
.figures .plot{display:block;margin:.25rem 0 0 -.25rem}
.labels{display:flex;flex-wrap:wrap;gap:.1rem 1rem}
summary{cursor:pointer;color:var(--accent);width:max-content;max-width:100%}
.all{margin-top:2rem}
.all>summary{font-size:.95rem;margin-bottom:.5rem}
.items{table-layout:fixed}
.items thead th{position:sticky;top:0;background:var(--paper);z-index:1}
.items .place{width:4rem;color:var(--soft);overflow-wrap:anywhere}
.items .expected{width:15%}
.items .judged{width:22%;padding-right:0}
.items tr>:last-child{padding-right:0}
.value{white-space:pre-wrap;overflow-wrap:anywhere;max-height:17rem;overflow:auto;font-size:.88rem;line-height:1.5}
.data,.error~details .value{font:.78rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
.failed .place{color:var(--bad);box-shadow:inset 3px 0 var(--bad);padding-left:.7rem}
tr:target>*{background:var(--sunk)}
.error{margin:0 0 .2rem;color:var(--bad)}
.error~details>summary{font-size:.82rem}
.error~details .value{margin-top:.35rem;padding:.7rem .9rem;background:var(--sunk)}
.scores li{display:grid;grid-template-columns:1fr auto;gap:0 1rem;padding:0 0 .3rem;font-size:.88rem;max-width:34rem}
.scores .name{color:var(--soft);overflow-wrap:anywhere}
.scores .score{text-align:right;overflow-wrap:anywhere;font-weight:600}
.scores .yes{color:var(--accent)}
.scores .no{color:var(--bad)}
.scores .yes::before{content:"\\2713\\a0"}
.scores .no::before{content:"\\2717\\a0"}
.scores .comment{grid-column:1/-1;color:var(--soft);margin:.1rem 0 .3rem;padding-left:.7rem;
border-left:2px solid var(--line)}
.errors li{padding:.2rem 0 .5rem}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
@media screen and (max-width:50rem){main{padding:1.5rem 1rem 4rem}
.items thead{display:none}
.items tbody,.items tr,.items td,.items tbody th{display:block;width:auto;padding-right:0}
.items td,.items tbody th{border:0;padding:.3rem 0}
.items tr{border-bottom:1px solid var(--line);padding:.8rem 0}
.items td::before{content:attr(data-label);display:block;color:var(--soft);font-size:.78rem}
.items .failed .place{padding-left:.7rem}
.comparison{display:block;overflow-x:auto}}
@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;--sunk:#f4f4f4;--accent:#14406f;--bad:#8f3400}
html{font-size:11px}body{font-size:12px}main{max-width:none;padding:0}a{text-decoration:none}
.items .expected{width:11%}.items .judged{width:17%}.value{max-height:none;overflow:visible}
.items thead th{position:static}tr,.figures{break-inside:avoid}
details::details-content{content-visibility:visible;block-size:auto}}
"""
