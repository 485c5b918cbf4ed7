"""A result as a piece of HTML for a notebook's cell: no styles, no scripts, no links, which notebooks filter anyway."""
from __future__ import annotations

from .report import report_of
from .shown import name_text, score_text, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..model import ExperimentRecord

_escapes = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def render_notebook(record: ExperimentRecord) -> str:
    """The verdict, a table of the metrics, and what failed."""
    report = report_of(record)
    metrics = [
        [
            name_text(each.name),
            f"{each.n:,}",
            score_text(each.value)
            if each.value is not None
            else ", ".join(f"{score_text(label)} {share:.1%}" for label, share in list(each.shares.items())[:6]),
            "" if each.low is None else f"{score_text(each.low)} \u2013 {score_text(each.high)}",
        ]
        for each in report.summary.metrics.values()
    ]
    failures = [
        [f"{group.count:,}", group.evaluator or group.stage, name_text(group.error_type), name_text(group.message)]
        for group in report.failures[:10]
    ]
    return "".join(
        [
            f"<p><b>{_e(name_text(record.name))}</b>: {_e(report.verdict.text)}</p>",
            _table(["Metric", "n", "Mean", "95 % interval"], metrics),
            _table(["Failures", "Where", "Error", "First message"], failures),
        ]
    )


def _table(heads: Iterable[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{_e(cell)}</th>" for cell in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_e(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _e(text: str) -> str:
    return visible(text).translate(_escapes)
