"""Inline drawings of the HTML report: pure functions from numbers to SVG, which classes of the style sheet colour."""
from __future__ import annotations

from .shown import counted, score_text
from .statistics import histogram as binned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_BINS = 24  # bars of a histogram; a made-up number that fits a card
_WIDTH = 240
_HEIGHT = 44


def interval_plot(low: float, value: float, high: float, width: int = _WIDTH) -> str:
    """A rate and its interval on a scale from 0 to 1."""
    left, dot, right = (f"{4 + (width - 8) * x:.1f}" for x in (low, value, high))
    end, middle = width - 4, width // 2
    return (
        f'<svg class="plot" viewBox="0 0 {width} 12" width="{width}" height="12" role="img" '
        f'aria-label="95 % interval {low:.3f} to {high:.3f}"><path class="axis" '
        f'd="M4 6H{end}M4 3V9M{middle} 4.5V7.5M{end} 3V9"/><path class="span" d="M{left} 6H{right}"/>'
        f'<circle cx="{dot}" cy="6" r="3.5"/></svg>'
    )


def share_bar(part: int, whole: int) -> str:
    """How much of `whole` is `part`, as one bar of two lengths."""
    length = _WIDTH * part / whole if whole else 0
    return (
        f'<svg class="bars" viewBox="0 0 {_WIDTH} 10" width="{_WIDTH}" height="10" '
        f'preserveAspectRatio="none" role="img" aria-label="{part:,} of {whole:,}">'
        f'<path class="rest" d="M0 0H{_WIDTH}V10H0z"/>'
        f'<path class="bar" d="M0 0H{length:.1f}V10H0z"/></svg>'
    )


def histogram(values: Sequence[float]) -> str:
    """How finite numbers are spread, with their least and greatest below; empty without any."""
    bins = binned(values, _BINS)
    if not bins:
        return ""
    most, step = max(n for _, _, n in bins), _WIDTH / len(bins)
    low, high = score_text(bins[0][0]), score_text(bins[-1][1])
    bars = "".join(
        f"M{place * step + 0.5:.1f} {_HEIGHT}v{-max(1.5, _HEIGHT * n / most):.1f}h{step - 1:.1f}V{_HEIGHT}z"
        for place, (_, _, n) in enumerate(bins)
        if n
    )
    return (
        f'<svg class="bars" viewBox="0 0 {_WIDTH} {_HEIGHT + 1}" width="{_WIDTH}" height="{_HEIGHT + 1}" role="img" '
        f'aria-label="{counted(len(values), "value")} from {low} to {high}"><path class="bar" d="{bars}"/>'
        f'<path class="axis" d="M0 {_HEIGHT + 0.5}H{_WIDTH}"/></svg>'
        f'<div class="ends"><span>{low}</span><span>{high}</span></div>'
    )
