"""Figures found by drawing again and again: the bootstrap and the permutation test. The same seed, the same figure."""
from __future__ import annotations

from math import erfc, fsum, sqrt

from ..errors import FeatureUnavailable
from .statistics import incomplete_beta, quantile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

RESAMPLES = 10_000  # a made-up number: the p value's own error is then below 0.005
_EXACT = 16  # so many differences have 65,536 ways to be signed, all of which are looked at
_WHOLE_NUMBERS = 1_000  # up to so many steps the ways are counted in whole numbers: 1/16 is 0.0625 and not beside it
_NORMAL = 5_000  # beyond so many the sum of random signs is normal, to less than what drawing would be off


def _random(seed: int) -> Random:
    try:
        from random import Random
    except ImportError as error:
        raise FeatureUnavailable("drawing samples", error.name or "random") from None
    return Random(seed)


def bootstrap_interval(numbers: Sequence[float], *, seed: int, resamples: int = 2_000) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean; None where there is one number only."""
    n = len(numbers)
    if n < 2:
        return None
    choices = _random(seed).choices
    scaled = [number / n / 2.0 for number in numbers]  # half, so that rounding cannot overflow
    halves = sorted([fsum(choices(scaled, k=n)) for _ in range(resamples)])
    least, most = min(numbers), max(numbers)
    low, high = (min(max(2.0 * quantile(halves, share), least), most) for share in (0.025, 0.975))
    return low, high


def permutation_p(differences: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> float:
    """How likely a mean difference at least as large, either way, is when the two sides of each pair are exchangeable.

    Exact for at most 16 pairs that differ, and where all differ by the same amount (as passes and failures do); else
    from `resamples` random exchanges; from the normal distribution for more than 5,000 pairs, none of which outweighs
    the others.
    """
    largest = max(map(abs, differences), default=0.0)
    # Pairs that do not differ change no sum.
    changes = [difference / largest for difference in differences if difference] if largest else []
    if not changes:
        return 1.0
    # Sums that are equal but for rounding count as equal.
    observed = abs(fsum(changes)) * (1.0 - 1e-12) - 1e-12
    if all(abs(change) > 1.0 - 1e-12 for change in changes):
        return _equal_steps_p(sum(change > 0 for change in changes), len(changes))
    if len(changes) <= _EXACT:
        sums = [0.0]
        for change in changes:
            sums = [total + sign for total in sums for sign in (change, -change)]
        return sum(abs(total) >= observed for total in sums) / len(sums)
    squares = fsum([change * change for change in changes])
    if len(changes) > _NORMAL and squares > _NORMAL / 50:
        return erfc(observed / sqrt(2.0 * squares))
    # Eight pairs at a time: a random byte picks one of their 256 sums.
    tables = []
    for start in range(0, len(changes), 8):
        table = [0.0]
        for change in changes[start : start + 8]:
            table = [total + change for total in table] + [total - change for total in table]
        tables.append((table * 256)[:256])
    source, pick, width = _random(seed), list.__getitem__, len(tables)
    hits = 0
    for _ in range(resamples):
        signs = source.getrandbits(8 * width).to_bytes(width, "big")
        hits += abs(sum(map(pick, tables, signs))) >= observed
    return (hits + 1) / (resamples + 1)


def _equal_steps_p(up: int, n: int) -> float:
    """The exact sign test (for passes and failures: McNemar's), `up` of n having gone up."""
    fewer = min(up, n - up)
    if n > _WHOLE_NUMBERS:
        return 1.0 if 2 * fewer == n else min(2.0 * incomplete_beta(n - fewer, fewer + 1.0, 0.5), 1.0)
    ways = total = 1
    for k in range(fewer):
        ways = ways * (n - k) // (k + 1)
        total += ways
    share: float = total / 2 ** (n - 1)
    return min(share, 1.0)
