"""Figures of a metric and how sure they are; pure functions of numbers and tallies.

Sources: Wilson, "Probable inference", JASA 22 (1927); Newcombe, Stat. Med. 17 (1998), method 3. Student's t by the
incomplete beta function and its continued fraction (Abramowitz and Stegun, 26.5.8 and 26.7.1). Quantiles as type 7 of
Hyndman and Fan, The American Statistician 50 (1996).
"""
from __future__ import annotations

from functools import lru_cache
from math import exp, frexp, fsum, inf, ldexp, lgamma, log, log1p, sqrt

from ..model import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..tally import MetricTally

Z_95 = 1.959963984540054  # the 0.975 quantile of the normal distribution


def wilson_interval(successes: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """The interval that holds the true rate behind `successes` of `n` with 95 % confidence; (0, 1) without data.

    It stays inside 0 and 1 and has a width for 0 of n and n of n too.
    """
    if n <= 0:
        return 0.0, 1.0
    rate = successes / n
    spread = z * sqrt(rate * (1.0 - rate) / n + z * z / (4.0 * n * n))
    scale = 1.0 + z * z / n
    middle = rate + z * z / (2.0 * n)
    # At both ends the formula gives the end itself, up to a rounding error.
    low = 0.0 if successes == 0 else (middle - spread) / scale
    high = 1.0 if successes == n else (middle + spread) / scale
    return low, high


def mean_and_stdev(numbers: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the sample standard deviation (None for a single number) of at least one finite number.

    Right to the last digits whatever the size: neither sums nor squares overflow or cancel. Equal numbers have exactly
    their own mean and no deviation.
    """
    least, most = min(numbers), max(numbers)
    if least == most:
        return least, 0.0 if len(numbers) > 1 else None
    # A power of two takes no digit away: all are brought below 1, so that sums and squares stay in range.
    power = frexp(max(-least, most))[1]
    scaled = [ldexp(number, -power) for number in numbers]
    mean = fsum(scaled) / len(scaled)
    deviations = [number - mean for number in scaled]
    rest = fsum(deviations)  # what rounding the mean has left
    largest = max(map(abs, deviations))
    squares = fsum([(deviation / largest) ** 2 for deviation in deviations]) - (rest / largest) ** 2 / len(scaled)
    stdev = largest * sqrt(squares / (len(scaled) - 1))
    return min(max(_unscaled(mean, power), least), most), _unscaled(stdev, power)


def _unscaled(number: float, power: int) -> float:
    try:
        return ldexp(number, power)
    except OverflowError:
        return inf  # a deviation between numbers at both ends of what a float can hold


def t_interval(mean: float, stdev: float | None, n: int) -> tuple[float, float] | None:
    """The 95 % interval of a mean of n numbers by Student's t; None where there is one number only."""
    if stdev is None or n < 2:
        return None
    spread = t_quantile_95(n - 1) * stdev / sqrt(n)
    return mean - spread, mean + spread


@lru_cache(maxsize=256)
def t_quantile_95(degrees: int) -> float:
    """The value that Student's t with so many degrees of freedom stays below with a probability of 0.975."""
    low, high = Z_95, 13.0  # 12.706 for one degree
    while True:
        middle = (low + high) / 2.0
        if middle in (low, high):
            return middle
        if incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + middle * middle)) > 0.05:
            low = middle
        else:
            high = middle


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for positive a and b and x from 0 to 1."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # the fraction converges fast on the other side
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    # Lentz's way through the continued fraction.
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 10_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d, c = 1.0 + factor * d, 1.0 + factor / c
            d, c = 1.0 / (d if abs(d) > tiny else tiny), c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return front * value


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the ordered numbers lie, interpolated between neighbours."""
    place = share * (len(ordered) - 1)
    below = int(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    part = place - below
    return low if low == high or not part else min(low * (1.0 - part) + high * part, high)


def histogram(numbers: Sequence[float], bins: int) -> list[tuple[float, float, int]]:
    """(low, high, how many) of `bins` equally wide parts from the least to the most; one part where all are equal.

    Each part takes its low end, the last one its high end too.
    """
    if not numbers:
        return []
    least, most = min(numbers), max(numbers)
    width = most / bins - least / bins
    edges = [least, *(least + width * place for place in range(1, bins)), most]
    if width <= 0.0 or not all(low < high for low, high in zip(edges, edges[1:])):
        return [(least, most, len(numbers))]
    counts = [0] * bins
    for number in numbers:
        place = min(int(number / width - least / width), bins - 1)
        # Division rounds: the edges decide.
        place += (place + 1 < bins and number >= edges[place + 1]) - (number < edges[place])
        counts[place] += 1
    return list(zip(edges, edges[1:], counts))


class Estimate(Value):
    """What one metric says about a run.

    `kind` is "boolean", "numeric", "categorical", "mixed" or "empty". `value` is the mean over `n` items (a rate where
    all are booleans), None where nothing can be averaged, also where some values are texts (a mean of the others would
    speak of a part). `low` and `high` are its 95 % interval by the method in
    `interval` ("wilson", "t", "bootstrap"), None where there is none. `missing` counts items that went through and have
    no usable value. `labels` maps each label to its count, most frequent first. `unstable` is the share of repeated
    items whose repetitions disagree, None where none was repeated.
    """

    __slots__ = (
        "name",
        "kind",
        "n",
        "missing",
        "value",
        "stdev",
        "stderr",
        "low",
        "high",
        "interval",
        "min",
        "p50",
        "p90",
        "max",
        "labels",
        "unstable",
    )
    name: str
    kind: str
    n: int
    missing: int
    value: float | None
    stdev: float | None
    stderr: float | None
    low: float | None
    high: float | None
    interval: str | None
    min: float | None
    p50: float | None
    p90: float | None
    max: float | None
    labels: dict[str, int]
    unstable: float | None

    def __init__(
        self,
        *,
        name: str,
        kind: str,
        n: int,
        missing: int = 0,
        value: float | None = None,
        stdev: float | None = None,
        bounds: tuple[float, float] | None = None,
        interval: str | None = None,
        min: float | None = None,
        p50: float | None = None,
        p90: float | None = None,
        max: float | None = None,
        labels: Mapping[str, int] | None = None,
        unstable: float | None = None,
    ) -> None:
        self._fill(
            {
                "name": name,
                "kind": kind,
                "n": n,
                "missing": missing,
                "value": value,
                "stdev": stdev,
                "stderr": None if stdev is None else stdev / sqrt(n),
                "low": bounds and bounds[0],
                "high": bounds and bounds[1],
                "interval": interval if bounds else None,
                "min": min,
                "p50": p50,
                "p90": p90,
                "max": max,
                "labels": dict(sorted((labels or {}).items(), key=lambda pair: -pair[1])),
                "unstable": unstable,
            }
        )

    @property
    def is_mixed(self) -> bool:
        """Whether it has texts for some items and numbers for others."""
        return 0 < sum(self.labels.values()) < self.n

    @property
    def shares(self) -> dict[str, float]:
        """Each label's share of the `n` items."""
        return {label: count / self.n for label, count in self.labels.items()}


def estimate_of(metric: MetricTally) -> Estimate:
    """What a tally allows to say, without the values: no quantiles, each evaluation counted for itself."""
    kind, n = metric.kind, metric.true + metric.false + metric.numbers
    mean, stdev = (None, None) if metric.labels else (metric.mean, metric.stdev)
    bounds, interval = None, None
    if kind == "boolean":
        bounds, interval = wilson_interval(metric.true, n), "wilson"
    elif mean is not None and kind != "categorical":
        bounds, interval = t_interval(mean, stdev, n), "t"
    return Estimate(
        name=metric.name,
        kind=kind,
        n=metric.n,
        missing=metric.missing,
        value=mean,
        stdev=stdev,
        bounds=bounds,
        interval=interval,
        min=None if metric.labels else metric.least,
        max=None if metric.labels else metric.most,
        labels=metric.labels,
    )
