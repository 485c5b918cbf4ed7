"""What comes from outside as HTML: made visible, escaped for element text and quoted attributes alike, and cut."""
from __future__ import annotations

from .shown import name_text, score_text, value_text, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..model import Evaluation

STATIC_TEXT = 1000  # characters of a value where the script is not at work; a made-up bound

_escapes = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def escaped(text: str) -> str:
    """`text` made visible, for element text and quoted attributes."""
    return visible(text).translate(_escapes)


def name_html(text: str) -> str:
    """A name on one line, cut where no table could hold it."""
    return escaped(name_text(text))


def value_html(value: Any) -> str:
    """A value of the user's own in a box that scrolls when it is long; what is not a text is shown as data."""
    kind = "value" if isinstance(value, str) else "value data"
    return f'<div class="{kind}">{value_text(value, STATIC_TEXT, indent=2).translate(_escapes)}</div>'


def error_html(who: str, failure: Any) -> str:
    """An error with its message, and the traceback behind a fold."""
    return (
        f'<div class="problem"><p class="error"><b>{name_html(who)}</b> {name_html(failure.error_type)}</p>'
        f"{value_html(failure.message)}<details><summary>Traceback</summary>{value_html(failure.traceback)}</details></div>"
    )


def scores_html(evaluations: Iterable[Evaluation]) -> str:
    """A list of evaluations with their comments."""
    rows = []
    for evaluation in evaluations:
        kind = {True: " yes", False: " no"}.get(evaluation.value, "") if isinstance(evaluation.value, bool) else ""
        comment = f'<div class="comment">{value_html(evaluation.comment)}</div>' if evaluation.comment else ""
        rows.append(
            f'<li><span class="name">{name_html(evaluation.name)}</span>'
            f'<span class="score{kind}">{escaped(score_text(evaluation.value))}</span>{comment}</li>'
        )
    return f'<ul class="scores">{"".join(rows)}</ul>'


def link_html(url: str) -> str:
    """A link where the address is one of the web; anything else (`javascript:` ...) stays text."""
    if url.lower().startswith(("https://", "http://")):
        return f'<a href="{escaped(url)}" rel="noopener noreferrer">{escaped(url)}</a>'
    return escaped(url)
