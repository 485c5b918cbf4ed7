"""Counts of a run that need no results: what is left when a million item results are streamed instead of kept.

The same counting serves kept results (`tally_of`), so that both print the same figures.
"""
from __future__ import annotations

from math import sqrt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .model import DeliveryReport


def undelivered_text(delivery: DeliveryReport) -> str | None:
    """What has not arrived, by kind, and why the first of it has not: `3 not delivered (2 spans, 1 score): REASON`.

    None where nothing is pending or rejected. The reason may be a server's: it is for `shown` or `short_repr` to mend.
    """
    lost = delivery.pending + delivery.rejected
    if not lost:
        return None
    counts = {kind: row.get("pending", 0) + row.get("rejected", 0) for kind, row in delivery.by_kind.items()}
    kinds = ", ".join(f"{n:,} {kind[:-1] if n == 1 else kind}" for kind, n in counts.items() if n)
    reason = next((each.reason for each in delivery.problems if each.state in ("pending", "rejected")), "")
    return f"{lost:,} not delivered ({kinds}){': ' if reason else ''}{reason}"


class MetricTally:
    """One metric (an evaluation name) over a run, in constant space for everything but distinct labels."""

    __slots__ = ("false", "first", "labels", "least", "missing", "most", "name", "numbers", "squares", "total", "true")

    def __init__(self, name: str) -> None:
        self.name = name
        self.true = 0
        self.false = 0
        self.numbers = 0
        self.total = 0.0
        # For the spread: squared distances from the first number, which keeps the digits of numbers that lie close.
        self.first: float | None = None
        self.squares = 0.0
        self.least: float | None = None
        self.most: float | None = None
        self.labels: dict[str, int] = {}
        self.missing = 0

    def add(self, value: Any) -> None:
        """Count one value; None, NaN and infinities are `missing`."""
        if value is None:
            self.missing += 1
        elif value is True:
            self.true += 1
        elif value is False:
            self.false += 1
        elif isinstance(value, str):
            self.labels[value] = self.labels.get(value, 0) + 1
        else:
            try:
                number = float(value)
            except OverflowError:
                number = float("inf")
            if number - number == 0.0:
                self.numbers += 1
                self.total += number
                if self.first is None or self.least is None or self.most is None:
                    self.first = self.least = self.most = number
                self.squares += (number - self.first) * (number - self.first)
                if number < self.least:
                    self.least = number
                elif number > self.most:
                    self.most = number
            else:
                self.missing += 1

    def add_tally(self, other: MetricTally) -> None:
        """Count all that `other` has counted."""
        for field in ("true", "false", "missing"):
            setattr(self, field, getattr(self, field) + getattr(other, field))
        for label, count in other.labels.items():
            self.labels[label] = self.labels.get(label, 0) + count
        if other.first is None or other.least is None or other.most is None:
            return
        if self.first is None or self.least is None or self.most is None:
            self.first, self.least, self.most = other.first, other.least, other.most
        shift = other.first - self.first
        self.squares += other.squares + 2 * shift * (other.total - other.numbers * other.first)
        self.squares += other.numbers * shift * shift
        self.numbers += other.numbers
        self.total += other.total
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)

    @property
    def n(self) -> int:
        """How many values there are (missing ones left out)."""
        return self.true + self.false + self.numbers + sum(self.labels.values())

    @property
    def kind(self) -> str:
        """"boolean", "numeric", "categorical", "mixed", or "empty" when every value is missing."""
        kinds = [
            kind
            for kind, n in (
                ("boolean", self.true + self.false),
                ("numeric", self.numbers),
                ("categorical", len(self.labels)),
            )
            if n
        ]
        return kinds[0] if len(kinds) == 1 else "mixed" if kinds else "empty"

    @property
    def mean(self) -> float | None:
        """The mean of numbers and booleans together (a boolean counts 1 or 0); None without any."""
        n = self.true + self.false + self.numbers
        return (self.total + self.true) / n if n else None

    @property
    def stdev(self) -> float | None:
        """The sample standard deviation, of booleans or of numbers.

        None for less than two, for both kinds together, and beyond what a float can hold.
        """
        n = self.numbers or self.true + self.false
        if n < 2 or (self.numbers and (self.true or self.false or self.first is None)):
            return None
        if self.first is None:
            return sqrt(self.true * self.false / (n * (n - 1)))
        shifted = self.total - n * self.first
        spread = self.squares - shifted * shifted / n
        return sqrt(max(spread, 0.0) / (n - 1)) if spread - spread == 0.0 else None


class RunTally:
    """How many items came, went through and failed, and one `MetricTally` a metric, in first-seen order."""

    __slots__ = ("failed", "metrics", "succeeded")

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0
        self.metrics: dict[str, MetricTally] = {}

    @property
    def given(self) -> int:
        """Items taken from the data, times repetitions."""
        return self.succeeded + self.failed

    @property
    def failure_rate(self) -> float:
        """The share of items that failed; 0.0 without any item."""
        return self.failed / self.given if self.given else 0.0

    def add_result(self, evaluations: Iterable[Any]) -> None:
        """Count one item that went through."""
        self.succeeded += 1
        for evaluation in evaluations:
            metric = self.metrics.get(evaluation.name)
            if metric is None:
                metric = self.metrics[evaluation.name] = MetricTally(evaluation.name)
            metric.add(evaluation.value)

    def add_failure(self) -> None:
        """Count one item that failed."""
        self.failed += 1

    def add_tally(self, other: RunTally) -> None:
        """Count all that `other` has counted."""
        self.succeeded += other.succeeded
        self.failed += other.failed
        for name, metric in other.metrics.items():
            self.metrics.setdefault(name, MetricTally(name)).add_tally(metric)


def tally_of(record: Any) -> RunTally:
    """The tally of a run (a `model.ExperimentRecord`): the one that it carries, else counted from its kept results."""
    if record.tally is not None:
        kept: RunTally = record.tally
        return kept
    tally = RunTally()
    for result in record.item_results:
        tally.add_result(result.evaluations)
    for _ in record.item_failures:
        tally.add_failure()
    return tally
