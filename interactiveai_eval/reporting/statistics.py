"""Figures of a metric and how sure they are; pure functions of numbers and tallies.

Source of the interval: Wilson, "Probable inference", JASA 22 (1927); Newcombe, Stat. Med. 17 (1998), method 3.
"""
from __future__ import annotations

from math import sqrt

from ..model import Value
from ..tally import tally_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import ExperimentRecord
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


class Estimate(Value):
    """What one metric says about a run.

    `kind` as in `MetricTally.kind`; `value` is the mean (a rate where all values are booleans) of `n` values, or None
    where nothing can be averaged; `low` and `high` are its 95 % interval, None where there is none yet. `missing`
    counts evaluations without a usable value; `labels` maps each label to its count, most frequent first.
    """

    __slots__ = ("high", "kind", "labels", "low", "missing", "n", "name", "value")
    name: str
    kind: str
    n: int
    missing: int
    value: float | None
    low: float | None
    high: float | None
    labels: dict[str, int]

    def __init__(
        self,
        *,
        name: str,
        kind: str,
        n: int,
        missing: int,
        value: float | None,
        low: float | None,
        high: float | None,
        labels: dict[str, int],
    ) -> None:
        counts = {"name": name, "kind": kind, "n": n, "missing": missing}
        self._fill({**counts, "value": value, "low": low, "high": high, "labels": labels})


def estimate_of(metric: MetricTally) -> Estimate:
    """The estimate that a tally allows: an interval for rates, a mean for numbers, counts for labels."""
    kind = metric.kind
    low: float | None = None
    high: float | None = None
    if kind == "boolean":
        low, high = wilson_interval(metric.true, metric.n)
    labels = dict(sorted(metric.labels.items(), key=lambda pair: -pair[1]))
    return Estimate(
        name=metric.name,
        kind=kind,
        n=metric.n,
        missing=metric.missing,
        value=metric.mean,
        low=low,
        high=high,
        labels=labels,
    )


def estimates_of(record: ExperimentRecord) -> list[Estimate]:
    """One estimate for each metric of a run, in first-seen order."""
    return [estimate_of(metric) for metric in tally_of(record).metrics.values()]
