"""How values of the user's own look in a report: short, on safe characters, never raising.

Texts from outside pass through `_visible`, wherever a report shows one.
"""
from __future__ import annotations

import json

from .._strict_json import to_plain
from .._visible import cut as cut
from .._visible import name_text as name_text
from .._visible import one_line as one_line
from .._visible import visible as visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def value_text(value: Any, limit: int, indent: int | None = None) -> str:
    """Any value as text for a reader, cut and made visible: texts as they are, everything else as JSON."""
    if type(value) is not str:
        value = json.dumps(to_plain(value), ensure_ascii=False, indent=indent)
    return visible(cut(value, limit))


def score_text(value: Any) -> str:
    """An evaluation's value: True or False, a number with three decimals, a label, or a dash for no score.

    Numbers that three decimals cannot show are in scientific notation.
    """
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return name_text(value)
    try:
        size = abs(float(value))
    except OverflowError:
        # An integer beyond all floats: only its size can be read anyway.
        return f"{'-' if value < 0 else ''}1e{abs(value).bit_length() * 30103 // 100000}"
    return f"{value:.3f}" if size == 0 or 0.0005 <= size < 1e15 or size != size else f"{float(value):.3g}"


def signed_text(value: float | None) -> str:
    """A difference with its sign: `+0.172`, `-3.400`, `0.000`; a dash for none."""
    text = score_text(value)
    return f"+{text}" if value is not None and value > 0 else text


def p_text(p: float | None) -> str:
    """A p value with three decimals, `<0.001` for a smaller one, a dash for none."""
    return "\u2013" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def places_text(numbers: Sequence[int], limit: int) -> str:
    """`items 3, 5, 8 and 12 more`: the first `limit` of some numbers."""
    shown = ", ".join(f"{number:,}" for number in numbers[:limit])
    more = f" and {len(numbers) - limit:,} more" if len(numbers) > limit else ""
    return f"item{'s' if len(numbers) > 1 else ''} {shown}{more}"


def item_part(item: Any, name: str) -> Any:
    """`input`, `expected_output` or `metadata` of an item, which is a mapping or an object; None where it has none."""
    try:
        return item.get(name) if hasattr(type(item), "get") else getattr(item, name, None)
    except Exception:
        # The item's own code failed; a report shows the rest.
        return None


def item_number(index: int, repetition: int) -> str:
    """How people count items: from 1, with the repetition where it is not the first."""
    return f"{index + 1}, repetition {repetition + 1}" if repetition else f"{index + 1}"


def counted(n: int, noun: str) -> str:
    """`1 item`, `1,200 items`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def duration_text(seconds: float) -> str:
    """`3 ms`, `4.2 s`, `2 min 5 s`, `3 h 20 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
