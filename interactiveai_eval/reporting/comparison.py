"""A result against a baseline, item by item: what changed, by how much, and whether chance would do as much.

Items are paired by their id: the data set's, the item's own "id", or what was derived from its input. Items of equal
id are told apart by their order; results that were made by hand and have no ids are paired by place.
"""
from __future__ import annotations

from math import inf
from sys import float_info

from ..errors import ArgumentError
from ..model import Value
from ..tally import tally_of
from .resampling import permutation_p
from .statistics import mean_and_stdev, t_interval
from .summary import item_places, item_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

    from ..model import ExperimentRecord
    from .summary import ItemValues, Score

# Below this a difference is called one: the usual figure, and no more than a convention.
SIGNIFICANT = 0.05
UNKNOWN_ITEMS = "has counts only, its items were not kept: which of them changed cannot be found out"


class MetricComparison(Value):
    """One metric over the `n` items that have a value of it on both sides.

    `value` and `baseline` are the two means, `delta` their difference (None for labels), `low` and `high` its paired
    95 % interval by Student's t (None for less than two pairs; of rates within -1 and 1), `p` the permutation test's
    (for labels None). `improved`, `regressed` and `equal` count items, where more is better, or less for metrics said
    to be so; labels are `equal` or `changed`. `labels` maps each label to how its share has changed. `lost` and
    `gained` count items with a value on the baseline's side only, and on the candidate's.
    """

    __slots__ = (
        "name",
        "kind",
        "n",
        "value",
        "baseline",
        "delta",
        "low",
        "high",
        "p",
        "improved",
        "regressed",
        "equal",
        "changed",
        "labels",
        "lost",
        "gained",
        "lower_is_better",
    )
    name: str
    kind: str
    n: int
    value: float | None
    baseline: float | None
    delta: float | None
    low: float | None
    high: float | None
    p: float | None
    improved: int
    regressed: int
    equal: int
    changed: int
    labels: dict[str, float]
    lost: int
    gained: int
    lower_is_better: bool

    def __init__(self, **fields: Any) -> None:
        self._fill({**dict.fromkeys(("value", "baseline", "delta", "low", "high", "p")), **fields})

    @property
    def verdict(self) -> str:
        """ "better" or "worse" where the p value is below 0.05, "changed" for labels that did, else "" ."""
        if self.p is None or not self.delta:
            return "changed" if self.kind == "categorical" and self.changed else ""
        if self.p >= SIGNIFICANT:
            return ""
        return "better" if (self.delta > 0) is not self.lower_is_better else "worse"


class ItemChange(Value):
    """What became of one item, with its place in the candidate and in the baseline (None where it is not there).

    `status` is the first that is true of "added", "removed", "newly failing", "recovered", "failing", "regressed",
    "improved", "changed" and "equal"; an item that is better by one metric and worse by another counts as regressed.
    `deltas` maps metrics to differences; `changes` maps metrics to (baseline's value, candidate's value) where those
    differ.
    """

    __slots__ = ("item_id", "place", "baseline_place", "status", "deltas", "changes")
    item_id: str | None
    place: int | None
    baseline_place: int | None
    status: str
    deltas: dict[str, float]
    changes: dict[str, tuple[Score, Score]]

    def __init__(
        self,
        *,
        item_id: str | None,
        place: int | None,
        baseline_place: int | None,
        status: str,
        deltas: dict[str, float],
        changes: dict[str, tuple[Score, Score]],
    ) -> None:
        places = {"item_id": item_id, "place": place, "baseline_place": baseline_place}
        self._fill({**places, "status": status, "deltas": deltas, "changes": changes})


class Comparison(Value):
    """A candidate against a baseline: `metrics` by name, and `changes`, one for each item of either side.

    Items come in the candidate's order, those that it lacks last. The failure rates are of all items of each side.
    """

    __slots__ = (
        "name",
        "run_name",
        "baseline_name",
        "baseline_run_name",
        "paired",
        "failure_rate",
        "baseline_failure_rate",
        "metrics",
        "changes",
        "tolerance",
    )
    name: str
    run_name: str
    baseline_name: str
    baseline_run_name: str
    paired: int
    failure_rate: float
    baseline_failure_rate: float
    metrics: dict[str, MetricComparison]
    changes: list[ItemChange]
    tolerance: float

    def __init__(self, **fields: Any) -> None:
        self._fill(fields)

    def with_status(self, *statuses: str) -> list[ItemChange]:
        """The items of one status, or of several."""
        return [change for change in self.changes if change.status in statuses]

    @property
    def counts(self) -> dict[str, int]:
        """How many items have each status that occurs."""
        found: dict[str, int] = {}
        for change in self.changes:
            found[change.status] = found.get(change.status, 0) + 1
        return found

    def __repr__(self) -> str:
        deltas = {name: metric.delta for name, metric in self.metrics.items() if metric.delta is not None}
        return f"<Comparison of {self.run_name!r} with {self.baseline_run_name!r}: deltas {deltas}, {self.counts}>"


class _Side:
    """One result's items by what identifies them: the id and its how-manieth occurrence, or the place without ids."""

    def __init__(self, record: ExperimentRecord, reduce: str) -> None:
        self.columns: dict[str, ItemValues] = item_values(record, reduce)
        results, failures = item_places(record)
        self.failing = set(failures)
        ids = {**dict(zip(failures, (row.item_id for row in record.item_failures)))}
        ids.update(zip(results, (row.item_id for row in record.item_results)))
        seen: dict[str, int] = {}
        self.places: dict[tuple[str | None, int], int] = {}
        for place in sorted(ids):
            item_id = ids[place]
            if item_id is None:
                self.places[None, place] = place
            else:
                self.places[item_id, seen.get(item_id, 0)] = place
                seen[item_id] = seen.get(item_id, 0) + 1
        # Each item's own metrics: there may be as many names as items, so that nothing may try all for each.
        self.scores: dict[int, dict[str, Score]] = {}
        for name, column in self.columns.items():
            for place, value in column.values.items():
                self.scores.setdefault(place, {})[name] = value


def knows_its_items(record: ExperimentRecord) -> bool:
    """Whether all items of a run are in its result; those of a run with keep_results=False are not."""
    tally = record.tally
    return tally is None or tally.given == len(record.item_results) + len(record.item_failures)


def compare(
    candidate: ExperimentRecord,
    baseline: ExperimentRecord,
    *,
    tolerance: float = 0.0,
    lower_is_better: Collection[str] = (),
    reduce: str = "mean",
    seed: int = 0,
) -> Comparison:
    """What `candidate` does better and worse than `baseline` on the items that both have.

    Values that differ by `tolerance` or less count as equal (means and p values take them as they are). `seed` is of
    the permutation test; equal seeds give equal figures. Raises ArgumentError for arguments that cannot be used, also
    for a run without its items: none of them would be the baseline's.
    """
    for argument, record in (("candidate", candidate), ("baseline", baseline)):
        if not knows_its_items(record):
            fix = f"{UNKNOWN_ITEMS}; run it with keep_results=True (a batch: keep_evaluations)"
            raise ArgumentError(argument, record, fix)
    check_tolerance(tolerance)
    if isinstance(lower_is_better, str):
        lower_is_better = [lower_is_better]
    ours, theirs = _Side(candidate, reduce), _Side(baseline, reduce)
    names = dict.fromkeys([*ours.columns, *theirs.columns])
    unknown = [name for name in lower_is_better if name not in names]
    if unknown:
        raise ArgumentError("lower_is_better", unknown[0], f"is no metric; there are {', '.join(names) or 'none'}")
    pairs = [(place, theirs.places[key]) for key, place in ours.places.items() if key in theirs.places]
    both: dict[str, list[tuple[Score | None, Score | None]]] = {name: [] for name in names}
    for place, other in pairs:
        scores, befores = ours.scores.get(place, {}), theirs.scores.get(other, {})
        for name in {**scores, **befores}:
            both[name].append((scores.get(name), befores.get(name)))
    lower = set(lower_is_better)
    metrics = {
        name: _metric(name, _kind(name, ours, theirs), both[name], tolerance, name in lower, seed) for name in names
    }
    changes = [
        _change(key[0], ours, place, theirs, theirs.places.get(key), metrics, tolerance)
        for key, place in ours.places.items()
    ]
    changes += [
        _change(key[0], ours, None, theirs, place, metrics, tolerance)
        for key, place in theirs.places.items()
        if key not in ours.places
    ]
    return Comparison(
        name=candidate.name,
        run_name=candidate.run_name,
        baseline_name=baseline.name,
        baseline_run_name=baseline.run_name,
        paired=len(pairs),
        failure_rate=tally_of(candidate).failure_rate,
        baseline_failure_rate=tally_of(baseline).failure_rate,
        metrics=metrics,
        changes=changes,
        tolerance=tolerance,
    )


def check_tolerance(tolerance: Any) -> None:
    """Raise ArgumentError for what cannot be the largest difference that counts as none."""
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance < inf:
        raise ArgumentError("tolerance", tolerance, "must be a number from 0, in the unit of the metrics")


def _kind(name: str, ours: _Side, theirs: _Side) -> str:
    """What a metric is on both sides: "mixed" where it is numbers on one and texts on the other."""
    kinds = [side.columns[name].kind for side in (ours, theirs) if name in side.columns]
    kinds = [kind for kind in kinds if kind != "empty"] or kinds
    return "mixed" if "categorical" in kinds and len(set(kinds)) > 1 else kinds[0]


def _metric(
    name: str,
    kind: str,
    both: Iterable[tuple[Score | None, Score | None]],
    tolerance: float,
    lower_is_better: bool,
    seed: int,
) -> MetricComparison:
    counts = dict.fromkeys(("improved", "regressed", "equal", "changed", "lost", "gained"), 0)
    values, others, deltas = [], [], []
    labels: dict[str, int] = {}
    pairs = 0
    for value, other in both:
        if value is None or other is None:
            counts["lost"] += other is not None
            counts["gained"] += value is not None
            continue
        pairs += 1
        for label, step in ((value, 1), (other, -1)):
            if isinstance(label, str):
                labels[label] = labels.get(label, 0) + step
        delta = _delta(value, other)
        if delta is not None:
            values.append(float(value))
            others.append(float(other))
            deltas.append(delta)
        counts[_direction(value, other, tolerance, lower_is_better)] += 1
    figures: dict[str, Any] = {}
    if deltas and len(deltas) == pairs:  # the numbers alone would tell of a part of the items
        mean, stdev = mean_and_stdev(deltas)
        figures = {"value": mean_and_stdev(values)[0], "baseline": mean_and_stdev(others)[0], "delta": mean}
        bounds = t_interval(mean, stdev, len(deltas))
        if bounds and kind == "boolean" and all(0.0 <= each <= 1.0 for each in (*values, *others)):
            bounds = max(bounds[0], -1.0), min(bounds[1], 1.0)  # a difference of rates is nowhere else
        figures["low"], figures["high"] = bounds or (None, None)
        figures["p"] = permutation_p(deltas, seed=seed)
    return MetricComparison(
        name=name,
        kind=kind,
        n=pairs,
        labels={label: step / pairs for label, step in labels.items()},
        lower_is_better=lower_is_better,
        **counts,
        **figures,
    )


def _delta(value: Score, other: Score) -> float | None:
    if isinstance(value, str) or isinstance(other, str):
        return None
    return max(min(float(value) - float(other), float_info.max), -float_info.max)


def _direction(value: Score, other: Score, tolerance: float, lower_is_better: bool) -> str:
    delta = _delta(value, other)
    if delta is None:
        return "equal" if type(value) is type(other) and value == other else "changed"
    if abs(delta) <= tolerance:
        return "equal"
    return "improved" if (delta > 0) is not lower_is_better else "regressed"


def _change(
    item_id: str | None,
    ours: _Side,
    place: int | None,
    theirs: _Side,
    other: int | None,
    metrics: dict[str, MetricComparison],
    tolerance: float,
) -> ItemChange:
    deltas: dict[str, float] = {}
    changes: dict[str, tuple[Score, Score]] = {}
    directions = set()
    if place is None or other is None:
        status = "added" if other is None else "removed"
    else:
        befores = theirs.scores.get(other, {})
        for name, value in ours.scores.get(place, {}).items():
            before = befores.get(name)
            if before is None:
                continue
            delta = _delta(value, before)
            if delta is not None:
                deltas[name] = delta
            direction = _direction(value, before, tolerance, metrics[name].lower_is_better)
            directions.add(direction)
            if direction != "equal":
                changes[name] = (before, value)
        status = _status(place in ours.failing, other in theirs.failing, directions)
    return ItemChange(
        item_id=item_id, place=place, baseline_place=other, status=status, deltas=deltas, changes=changes
    )


def _status(fails: bool, failed: bool, directions: set[str]) -> str:
    if fails or failed:
        return "failing" if fails and failed else "newly failing" if fails else "recovered"
    return next((each for each in ("regressed", "improved", "changed") if each in directions), "equal")
