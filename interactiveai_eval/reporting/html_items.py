"""The items of a run as they are shown where the script is not at work: the first ones, but failures before others."""
from __future__ import annotations

from ..model import ItemFailure
from .html_data import ROWS_MOST
from .html_text import error_html, scores_html, value_html
from .shown import counted, item_number, item_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .html_data import Outcome, RunRows
    from .report import Report


def items_html(report: Report, place: int, table: RunRows, rows: int) -> Iterator[str]:
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
        kind, output = ' class="failed"', error_html(row.stage, row)
        judged = f'<span class="bad">failed after {counted(row.attempts, "attempt")}</span>'
    else:
        kind, output = "", value_html(row.output)
        failures = "".join(error_html(failure.evaluator, failure) for failure in row.evaluator_failures)
        judged = scores_html(row.evaluations) + failures
    return (
        f'<tr{where}{kind}><th class="place" scope="row">{item_number(index, repetition)}</th>'
        f'<td data-label="Input">{_value_or_nothing(item_part(row.item, "input"))}</td>'
        f'<td data-label="Expected">{_value_or_nothing(item_part(row.item, "expected_output"))}</td>'
        f'<td data-label="Output">{output}</td><td data-label="Metrics">{judged}</td></tr>\n'
    )


def _value_or_nothing(value: Any) -> str:
    return value_html("" if value is None else value)
