"""One result out of those of the shards of a run, as the run would have given it in one piece."""
from __future__ import annotations

from .errors import ArgumentError
from .model import DELIVERY_STATES, DeliveryReport, EvaluatorStats
from .tally import RunTally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, TypeVar

    from .model import ExperimentRecord

    Result = TypeVar("Result")
    Record = TypeVar("Record", bound=ExperimentRecord)

# What is the same in all shards of a run. Of those in the second row a shard without any linked item says nothing.
_SHARED = ("name", "run_name", "experiment_id", "description", "metadata")
_SHARED_IF_SAID = ("dataset_run_id", "dataset_run_url")


def merge_experiments(kind: type[Record], results: Any) -> Record:
    """See `result.ExperimentResult.merge`; `kind` is that class."""
    parts = list_of(kind, results)
    by_shard: dict[int, tuple[int, Record]] = {}
    for place, part in enumerate(parts):
        if part.shard is None or parts[0].shard is None:
            unsharded = place if part.shard is None else 0
            raise ArgumentError("results", parts, f"results[{unsharded}] is of a whole run: its shard is None")
        if part.shard[1] != parts[0].shard[1]:
            raise _differ(parts, 0, place, "shard", parts[0].shard, part.shard)
        _check_alike(parts, place)
        before = by_shard.get(part.shard[0])
        if before is None or part.completed or not before[1].completed:
            by_shard[part.shard[0]] = place, part
    chosen = [by_shard[shard][1] for shard in sorted(by_shard)]
    _check_disjoint(parts, [by_shard[shard] for shard in sorted(by_shard)])
    assert parts[0].shard is not None
    said = {name: next((part[name] for part in chosen if part[name] is not None), None) for name in _SHARED_IF_SAID}
    merged: Record = chosen[0].replaced(
        **said,
        item_results=sorted((each for part in chosen for each in part.item_results), key=_place),
        item_failures=sorted((each for part in chosen for each in part.item_failures), key=_place),
        run_evaluations=[],
        run_evaluator_failures=[],
        evaluator_stats=added_stats(chosen),
        duration_seconds=max(part.duration_seconds for part in chosen),
        delivery=added_deliveries([part.delivery for part in chosen]),
        completed=len(chosen) == parts[0].shard[1] and all(part.completed for part in chosen),
        resume_token=None,
        tally=_added_tallies([part.tally for part in chosen if part.tally is not None]),
        shard=None,
    )
    return merged


def list_of(kind: type[Result], results: Any) -> list[Result]:
    """`results` as a list of at least one of that kind. Raises ArgumentError."""
    try:
        parts = [] if isinstance(results, kind) else list(results)
    except TypeError:
        parts = []  # what cannot be iterated over is refused like an empty list
    if not parts or not all(isinstance(part, kind) for part in parts):
        raise ArgumentError("results", results, f"must be a list of at least one {kind.__name__}")
    return parts


def missing_shards(parts: Iterable[Any]) -> str:
    """The shards that none of the results is of, such as "1/3, 2/3"; results of whole runs need none."""
    there: dict[int, set[int]] = {}
    for part in parts:
        if part.shard is not None:
            there.setdefault(part.shard[1], set()).add(part.shard[0])
    return ", ".join(f"{k}/{n}" for n, found in sorted(there.items()) for k in range(n) if k not in found)


def _check_alike(parts: Sequence[ExperimentRecord], place: int) -> None:
    first, part = parts[0], parts[place]
    for name in _SHARED:
        if part[name] != first[name]:
            raise _differ(parts, 0, place, name, first[name], part[name])
    for name in _SHARED_IF_SAID:
        said = [each for each in range(place + 1) if parts[each][name] is not None]
        if said and parts[said[0]][name] != parts[said[-1]][name]:
            raise _differ(parts, said[0], said[-1], name, parts[said[0]][name], parts[said[-1]][name])
    names = [[row.name for row in each.evaluator_stats] for each in (first, part)]
    if names[0] != names[1]:
        raise _differ(parts, 0, place, "evaluator_stats", *names)
    if (first.tally is None) != (part.tally is None):
        raise _differ(parts, 0, place, "tally", first.tally, part.tally)


def _differ(parts: Any, first: int, other: int, field: str, *values: Any) -> ArgumentError:
    said = f"{field} is {values[0]!r} in results[{first}] and {values[1]!r} in results[{other}]"
    return ArgumentError("results", parts, f"{said}; merge the shards of one run")


def _check_disjoint(parts: Any, chosen: Iterable[tuple[int, ExperimentRecord]]) -> None:
    """Shards that were cut from other data, or in other ways, may overlap."""
    seen: dict[tuple[int, int], int] = {}
    for number, part in chosen:
        outcomes: list[Any] = [*part.item_results, *part.item_failures]
        for each in outcomes:
            first = seen.setdefault(_place(each), number)
            if first != number:
                told = f"index {each.index} is in results[{first}] and results[{number}]"
                raise ArgumentError("results", parts, f"{told}, which are other shards; give all shards the same data")


def _place(outcome: Any) -> tuple[int, int]:
    return outcome.index, outcome.repetition


def _added_tallies(tallies: Sequence[RunTally]) -> RunTally | None:
    if not tallies:
        return None
    total = RunTally()
    for tally in tallies:
        total.add_tally(tally)
    return total


def added_counts(several: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by name, added up."""
    total: dict[str, int] = {}
    for counts in several:
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
    return total


def added_stats(parts: Iterable[Any]) -> list[EvaluatorStats]:
    """The `evaluator_stats` of several results, added up by position and name."""
    rows: dict[tuple[int, str], list[EvaluatorStats]] = {}
    for part in parts:
        for place, row in enumerate(part.evaluator_stats):
            rows.setdefault((place, row.name), []).append(row)
    counts = ("total_runs", "successful_runs", "failed_runs", "total_scores_created", "duration_seconds")
    return [
        EvaluatorStats(
            name=name,
            **{field: sum(row[field] for row in same) for field in counts},
            error_summary=added_counts(row.error_summary for row in same),
        )
        for (_, name), same in sorted(rows.items(), key=lambda found: found[0][0])
    ]


def added_deliveries(reports: Sequence[DeliveryReport]) -> DeliveryReport:
    """Several reports, added up by kind; their problems follow one another."""
    by_kind: dict[str, dict[str, int]] = {}
    for report in reports:
        for kind, row in report.by_kind.items():
            total = by_kind.setdefault(kind, dict.fromkeys(DELIVERY_STATES, 0))
            for state in DELIVERY_STATES:
                total[state] += row.get(state, 0)
    return DeliveryReport(by_kind=by_kind, problems=[problem for report in reports for problem in report.problems])
