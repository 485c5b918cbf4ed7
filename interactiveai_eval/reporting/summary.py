"""A result in figures: one value for each item and metric first, then one estimate for each metric.

An item that was run several times counts once: its repetitions are reduced to one value, because they are not as
independent as items are.
"""
from __future__ import annotations

import re
from math import comb

from ..errors import ArgumentError
from ..model import Value
from ..tally import RunTally, tally_of
from .statistics import Estimate, estimate_of, mean_and_stdev, quantile, t_interval, wilson_interval

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Union

    from ..model import ExperimentRecord

    Score = Union[bool, float, str]
    Reduce = Callable[[Sequence[Score]], Union[Score, None]]

INTERVALS = ("t", "bootstrap")


class Summary(Value):
    """What a run says in figures: `metrics` maps names to `Estimate`, in first-seen order.

    `given` counts items taken (times repetitions), `failed` those that failed; `reduce` tells how repetitions became
    one value. `failure_rate` is 0 for a run without items.
    """

    __slots__ = ("given", "failed", "failure_rate", "reduce", "metrics")
    given: int
    failed: int
    failure_rate: float
    reduce: str
    metrics: dict[str, Estimate]

    def __init__(self, *, given: int, failed: int, reduce: str, metrics: dict[str, Estimate]) -> None:
        counts = {"given": given, "failed": failed, "failure_rate": failed / given if given else 0.0}
        self._fill({**counts, "reduce": reduce, "metrics": metrics})


class ItemValues:
    """One metric's values: one for each item, by the item's place; what was missing, and how steady they are."""

    __slots__ = ("kind", "missing", "name", "repeated", "unstable", "values")

    def __init__(self, name: str) -> None:
        self.name = name
        self.kind = "empty"
        self.values: dict[int, Score] = {}
        self.missing = 0
        self.repeated = 0
        self.unstable = 0


def summarize(record: ExperimentRecord, *, reduce: str = "mean", interval: str = "t", seed: int = 0) -> Summary:
    """The summary of a result; `interval="bootstrap"` draws the intervals of means that are no plain rates.

    A run whose results were not kept is summarized from its tally: without quantiles, repetitions counting singly.
    Raises ArgumentError for another `interval` or `reduce` than `reduction` knows.
    """
    if interval not in INTERVALS:
        raise ArgumentError("interval", interval, "must be " + " or ".join(map(repr, INTERVALS)))
    columns = item_values(record, reduce)
    tally = tally_of(record)
    if record.tally is not None and not record.item_results:
        metrics = {name: estimate_of(metric) for name, metric in tally.metrics.items()}
    else:
        metrics = {name: _estimate(column, interval, seed) for name, column in columns.items()}
    return Summary(given=tally.given, failed=tally.failed, reduce=reduce, metrics=metrics)


def estimates_of(record: ExperimentRecord) -> list[Estimate]:
    """One estimate for each metric of a run, in first-seen order."""
    return list(summarize(record).metrics.values())


def item_values(record: ExperimentRecord, reduce: str = "mean") -> dict[str, ItemValues]:
    """One value for each item and metric: what `reduce` makes of the values that its repetitions have."""
    reduced = reduction(reduce)
    found: dict[str, dict[int, list[Any]]] = {}
    tallies = RunTally()
    places = item_places(record)[0]
    for place, result in zip(places, record.item_results):
        tallies.add_result(result.evaluations)
        for evaluation in result.evaluations:
            value = usable(evaluation.value)
            column = found.setdefault(evaluation.name, {}).setdefault(place, [])
            if value is not None:
                column.append(value)
    columns, items = {}, len(set(places))
    for name, by_place in found.items():
        columns[name] = made = ItemValues(name)
        made.kind = tallies.metrics[name].kind
        for place, values in by_place.items():
            value = reduced(values) if values else None
            if value is not None:
                made.values[place] = value
            if len(values) > 1:
                made.repeated += 1
                made.unstable += any(each != values[0] for each in values)
        made.missing = items - len(made.values)
    return columns


def item_places(record: ExperimentRecord) -> tuple[list[int], list[int]]:
    """For each result and each failure the place of its item: its index in the data.

    Those that were made by hand know no index; they are told apart by where they stand.
    """
    rows: list[Any] = [*record.item_results, *record.item_failures]
    known = len({(row.index, row.repetition) for row in rows}) == len(rows)
    places = [row.index for row in rows] if known else list(range(len(rows)))
    return places[: len(record.item_results)], places[len(record.item_results) :]


def usable(value: Any) -> Score | None:
    """A score that can be counted: a bool, a finite number as a float, a label; None for everything else."""
    if value is None or isinstance(value, (bool, str)):
        return value
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number - number == 0.0 else None


def reduction(text: Any) -> Reduce:
    """How the values of an item's repetitions become one, by name.

    "mean" and "median" are of numbers, booleans counting 0 and 1; "majority" is the most frequent value, False for a
    draw of booleans, else the first seen. "pass_at(k)" estimates without bias how likely one of k repetitions passes,
    "pass_all(k)" that all k do: for values that are all true or false, with k of them or more (else missing). Labels
    always go by majority, and what "pass_..." cannot count by the mean.
    """
    found = re.fullmatch(r"\s*(?:(mean|median|majority)|(pass_at|pass_all)\(\s*(\d{1,6})\s*\))\s*", str(text))
    if found is None or (found[3] is not None and int(found[3]) < 1):
        fix = "must be 'mean', 'median', 'majority', 'pass_at(k)' or 'pass_all(k)' with k from 1"
        raise ArgumentError("reduce", text, fix)
    of_numbers = {"median": _median, "majority": _majority}.get(found[1], _mean)
    k = 1 if found[3] is None else int(found[3])

    def reduced(values: Sequence[Score]) -> Score | None:
        if len(values) == k == 1:
            return values[0]
        if any(isinstance(value, str) for value in values):
            return _majority(values)
        if found[2] is not None and all(value in (0, 1) for value in values):
            return _passing(values, k, every=found[2] == "pass_all")
        return values[0] if len(values) == 1 else of_numbers(values)

    return reduced


def _mean(values: Sequence[Any]) -> Score:
    return values[0] if _agree(values) else mean_and_stdev([float(value) for value in values])[0]


def _median(values: Sequence[Any]) -> Score:
    return values[0] if _agree(values) else quantile(sorted([float(value) for value in values]), 0.5)


def _agree(values: Sequence[Any]) -> bool:
    """Whether all are one value, which then keeps its type: three times True is True."""
    return all(value is values[0] or (type(value), value) == (type(values[0]), values[0]) for value in values)


def _majority(values: Sequence[Any]) -> Score:
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    most = max(counts.values())
    first: list[Score] = [value for value, count in counts.items() if count == most]
    return False if len(first) > 1 and all(isinstance(value, bool) for value in first) else first[0]


def _passing(values: Sequence[Any], k: int, *, every: bool) -> Score | None:
    """Source: Chen et al., "Evaluating large language models trained on code" (2021), section 2.1."""
    n, passed = len(values), sum(map(int, values))
    if n < k:
        return None
    share = comb(passed, k) / comb(n, k) if every else 1.0 - comb(n - passed, k) / comb(n, k)
    return bool(share) if share in (0.0, 1.0) else share


def _estimate(column: ItemValues, interval: str, seed: int) -> Estimate:
    values = list(column.values.values())
    numbers = sorted([float(value) for value in values if not isinstance(value, str)])
    labels: dict[str, int] = {}
    for value in values:
        if isinstance(value, str):
            labels[value] = labels.get(value, 0) + 1
    figures: dict[str, Any] = {}
    if numbers and not labels:
        mean, stdev = mean_and_stdev(numbers)
        figures.update(value=mean, stdev=stdev, min=numbers[0], max=numbers[-1])
        figures.update(p50=quantile(numbers, 0.5), p90=quantile(numbers, 0.9))
        figures["interval"], figures["bounds"] = _bounds(column.kind, numbers, mean, stdev, interval, seed)
    return Estimate(
        name=column.name,
        kind=column.kind,
        n=len(values),
        missing=column.missing,
        labels=labels,
        unstable=column.unstable / column.repeated if column.repeated else None,
        **figures,
    )


def _bounds(
    kind: str, numbers: Sequence[float], mean: float, stdev: float | None, interval: str, seed: int
) -> tuple[str, tuple[float, float] | None]:
    if kind == "boolean" and all(number in (0.0, 1.0) for number in numbers):
        return "wilson", wilson_interval(round(sum(numbers)), len(numbers))
    if interval == "bootstrap":
        from .resampling import bootstrap_interval

        return interval, bootstrap_interval(numbers, seed=seed)
    bounds = t_interval(mean, stdev, len(numbers))
    if bounds and kind == "boolean":  # rates of repeated items
        bounds = max(bounds[0], 0.0), min(bounds[1], 1.0)
    return "t", bounds
