"""The report of a run as values: what text, Markdown, HTML, JUnit and JSON all show, worked out once.

A report is made of a result, and of a baseline and checks where there are any; the renderers only choose words.
"""
from __future__ import annotations

from .._strict_json import to_plain
from ..model import Value
from ..tally import tally_of, undelivered_text
from .checks import check, evaluator_failures, parse_checks
from .comparison import compare, knows_its_items
from .shown import counted, places_text
from .statistics import histogram, quantile
from .summary import item_places, item_values, summarize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Any

    from ..item_result import ExperimentItemResult
    from ..model import ExperimentRecord
    from .checks import CheckReport
    from .comparison import Comparison
    from .summary import ItemValues, Summary

SCHEMA = "interactiveai_eval/report"
SCHEMA_VERSION = 1
BINS = 10  # parts of a distribution: what fits into a line of text
_WORST = 5
_EXAMPLES = 5


class Verdict(Value):
    """The first thing to say. `text` is a sentence without its stop, `status` the first that is true of "incomplete"
    (the run was stopped), "failed" (a check, failures that no check speaks of, or an objection), "errors" (something
    failed that no check could judge, or was not delivered and no check says how much may), "passed" (all checks) and
    "done" (none).
    """

    __slots__ = ("status", "text")
    status: str
    text: str

    def __init__(self, *, status: str, text: str) -> None:
        self._fill({"status": status, "text": text})


class FailureGroup(Value):
    """Failures of one kind: `count` of them, the first one's `message`, and the places of the first few items.

    `stage` is the item's ("input", "task", "timeout", "cancelled") with `evaluator` None, or "evaluator".
    """

    __slots__ = ("stage", "evaluator", "error_type", "count", "message", "places")
    stage: str
    evaluator: str | None
    error_type: str
    count: int
    message: str
    places: list[int]

    def __init__(self, **fields: Any) -> None:
        self._fill(fields)


def failed_items_text(group: FailureGroup) -> str:
    """`items 3, 5, 8, ...`: the first items of a group of failures."""
    shown = places_text([place + 1 for place in group.places], len(group.places))
    return shown + (", ..." if group.count > len(group.places) else "")


class ScoredItem(Value):
    """One of the worst items: its place, its `score` from 0 to 1 over all metrics, and its (first) result.

    `baseline` is the baseline's result where that was better, else None.
    """

    __slots__ = ("place", "score", "result", "baseline")
    place: int
    score: float
    result: ExperimentItemResult
    baseline: ExperimentItemResult | None

    def __init__(
        self, *, place: int, score: float, result: ExperimentItemResult, baseline: ExperimentItemResult | None = None
    ) -> None:
        self._fill({"place": place, "score": score, "result": result, "baseline": baseline})


class Timing(Value):
    """How long things took, in seconds: the run, and the task's calls by quantile (None without any).

    `retries` counts attempts beyond the first; `evaluators` maps names to (calls, seconds of all of them together).
    """

    __slots__ = ("duration", "items_per_second", "p50", "p90", "max", "retries", "evaluators")
    duration: float
    items_per_second: float | None
    p50: float | None
    p90: float | None
    max: float | None
    retries: int
    evaluators: dict[str, tuple[int, float]]

    def __init__(self, **fields: Any) -> None:
        self._fill(fields)


class Report(Value):
    """All that a report shows of one run.

    `record` is the run itself; `values` has one value for each metric and item, by the item's place in the data;
    `histograms` maps metrics to their distribution (see `statistics.histogram`). `comparison` and `checks` are None
    where no baseline and no checks were given; `baseline` is the other run. `objections`, which are among the reasons
    of `checks`, say in words of the caller's why the run fails whatever the checks found. `failures` are grouped,
    largest group first; `worst` are the items with the lowest scores. `undelivered` says what has not arrived, and
    why; `resume` how to go on with a run that was stopped. Both are None where there is nothing to say.
    """

    __slots__ = (
        "record",
        "verdict",
        "summary",
        "values",
        "histograms",
        "baseline",
        "comparison",
        "checks",
        "objections",
        "failures",
        "worst",
        "timing",
        "undelivered",
        "resume",
    )
    record: ExperimentRecord
    verdict: Verdict
    summary: Summary
    values: dict[str, ItemValues]  # type: ignore[assignment]  # a field of that name, here alone
    histograms: dict[str, list[tuple[float, float, int]]]
    baseline: ExperimentRecord | None
    comparison: Comparison | None
    checks: CheckReport | None
    objections: Sequence[str]
    failures: list[FailureGroup]
    worst: list[ScoredItem]
    timing: Timing
    undelivered: str | None
    resume: str | None

    def __init__(self, **fields: Any) -> None:
        self._fill(fields)


def report_of(
    record: ExperimentRecord,
    *,
    baseline: ExperimentRecord | None = None,
    checks: Iterable[Any] = (),
    tolerance: float = 0.0,
    lower_is_better: Collection[str] = (),
    reduce: str = "mean",
    objections: Sequence[str] = (),
) -> Report:
    """The report of a run. Raises ArgumentError for checks and settings that cannot be used.

    Checks that need a baseline fail where it, or the run, has counts only; without such checks that is an error.
    """
    parsed = parse_checks(checks)
    summary = summarize(record, reduce=reduce)
    comparison, checked = None, None
    can_be_compared = baseline is not None and knows_its_items(record) and knows_its_items(baseline)
    if baseline is not None and (can_be_compared or not any(each.needs_baseline for each in parsed)):
        comparison = compare(record, baseline, tolerance=tolerance, lower_is_better=lower_is_better, reduce=reduce)
    if parsed or objections:
        checked = check(
            record, parsed, baseline=baseline, summary=summary, comparison=comparison, objections=objections
        )
    values = item_values(record, reduce)
    numbers = {name: numbers_of(column) for name, column in values.items()}
    return Report(
        record=record,
        verdict=_verdict(record, checked, objections),
        summary=summary,
        values=values,
        histograms={name: histogram(found, BINS) for name, found in numbers.items() if found},
        baseline=baseline,
        comparison=comparison,
        checks=checked,
        objections=objections,
        failures=_failure_groups(record),
        worst=_worst(record, values, lower_is_better, comparison, baseline),
        timing=_timing(record),
        undelivered=undelivered_text(record.delivery),
        resume=_resume(record),
    )


def numbers_of(column: ItemValues) -> list[float]:
    """The numbers and booleans (as 0 and 1) of a metric, in the order of the items."""
    return [float(value) for value in column.values.values() if not isinstance(value, str)]


def _verdict(record: ExperimentRecord, checks: CheckReport | None, objections: Sequence[str]) -> Verdict:
    tally = tally_of(record)
    troubles = []
    if tally.failed:
        troubles.append(f"{tally.failed:,} of {counted(tally.given, 'item')} failed")
    calls = evaluator_failures(record)
    if calls:
        troubles.append(f"{counted(calls, 'evaluator call')} failed")
    if record.completed and checks is not None and len(checks.of_the_run) > len(objections):
        troubles.append("and no check says how many may")
    if objections:
        troubles.append(counted(len(objections), "objection"))
    undelivered = record.delivery.pending + record.delivery.rejected
    if undelivered:
        troubles.append(f"{undelivered:,} not delivered")
    if not record.completed:
        status, first = "incomplete", f"stopped after {counted(tally.given, 'item')}"
    elif checks is not None and checks.outcomes:
        failed = sum(not outcome.passed for outcome in checks.outcomes)
        total = counted(len(checks.outcomes), "check")
        first = f"{failed:,} of {total} failed" if failed else f"{total} passed"
        lost = undelivered and not any(outcome.check.speaks_of("undelivered") for outcome in checks.outcomes)
        status = "failed" if checks.reasons else "errors" if lost else "passed"
    else:
        status = "failed" if objections else "errors" if troubles else "done"
        first = f"{counted(tally.succeeded, 'item')} went through"
    return Verdict(status=status, text=", ".join([first, *troubles]))


def _failure_groups(record: ExperimentRecord) -> list[FailureGroup]:
    places, failed_places = item_places(record)
    found: dict[tuple[str, str | None, str], list[Any]] = {}
    for place, failure in zip(failed_places, record.item_failures):
        found.setdefault((failure.stage, None, failure.error_type), []).append((place, failure))
    for place, result in zip(places, record.item_results):
        for each in result.evaluator_failures:
            found.setdefault(("evaluator", each.evaluator, each.error_type), []).append((place, each))
    for each in record.run_evaluator_failures:
        found.setdefault(("evaluator", each.evaluator, each.error_type), []).append((None, each))
    counts = {kind: len(members) for kind, members in found.items()}
    for row in record.evaluator_stats:  # they know of results that were not kept, too
        for error_type, count in row.error_summary.items():
            counts["evaluator", row.name, error_type] = max(counts.get(("evaluator", row.name, error_type), 0), count)
    groups = []
    for key, count in sorted(counts.items(), key=lambda pair: -pair[1]):
        members = found.get(key, [])
        groups.append(
            FailureGroup(
                stage=key[0],
                evaluator=key[1],
                error_type=key[2],
                count=count,
                message=members[0][1].message if members else "",
                places=[place for place, _ in members if place is not None][:_EXAMPLES],
            )
        )
    return groups


def _worst(
    record: ExperimentRecord,
    values: dict[str, ItemValues],
    lower_is_better: Collection[str],
    comparison: Comparison | None,
    baseline: ExperimentRecord | None,
) -> list[ScoredItem]:
    """The items with the lowest mean of what all metrics say, of those that are not as good as the best.

    Of equally bad ones those come first that were better in the baseline.
    Metrics that stay from 0 to 1 are taken as they are; others are stretched to that only where there is no such.
    """
    columns = {name: column for name, column in values.items() if numbers_of(column)}
    ranges = {name: (min(numbers_of(column)), max(numbers_of(column))) for name, column in columns.items()}
    shares = [name for name, (least, most) in ranges.items() if 0.0 <= least and most <= 1.0]
    lower = {lower_is_better} if isinstance(lower_is_better, str) else set(lower_is_better)
    scores: dict[int, list[float]] = {}
    for name in shares or ranges:
        least, most = (0.0, 1.0) if shares else ranges[name]
        for place, value in columns[name].values.items():
            if not isinstance(value, str):
                score = (value / 2 - least / 2) / (most / 2 - least / 2) if most > least else 1.0
                scores.setdefault(place, []).append(1.0 - score if name in lower else score)
    means = {place: sum(found) / len(found) for place, found in scores.items()}
    best = max(means.values(), default=0.0)
    better = {c.place: c.baseline_place for c in comparison.with_status("regressed")} if comparison else {}
    bad = [place for place, mean in means.items() if mean < best]
    chosen = sorted(bad, key=lambda place: (means[place], place not in better, place))
    ours, theirs = _first_results(record), {} if baseline is None else _first_results(baseline)
    return [
        ScoredItem(place=place, score=means[place], result=ours[place], baseline=theirs.get(better.get(place)))
        for place in chosen[:_WORST]
    ]


def _first_results(record: ExperimentRecord) -> dict[int | None, ExperimentItemResult]:
    """The result of each item's first repetition that went through, by the item's place."""
    found: dict[int | None, ExperimentItemResult] = {}
    for place, result in zip(item_places(record)[0], record.item_results):
        found.setdefault(place, result)
    return found


def _timing(record: ExperimentRecord) -> Timing:
    rows: list[Any] = [*record.item_results, *record.item_failures]
    seconds = sorted([result.duration_seconds for result in record.item_results])
    given, duration = tally_of(record).given, record.duration_seconds
    p50, p90, most = (quantile(seconds, share) for share in (0.5, 0.9, 1.0)) if seconds else (None, None, None)
    return Timing(
        duration=duration,
        items_per_second=given / duration if given and duration > 0 else None,
        p50=p50,
        p90=p90,
        max=most,
        retries=sum(max(row.attempts - 1, 0) for row in rows),
        evaluators={row.name: (row.total_runs, row.duration_seconds) for row in record.evaluator_stats},
    )


def _resume(record: ExperimentRecord) -> str | None:
    if record.completed:
        return None
    checkpoint = (record.resume_token or {}).get("checkpoint")
    if checkpoint is None:
        return "nothing was noted to go on from; with checkpoint=PATH (--checkpoint PATH) the same call continues"
    return f"the same call with checkpoint={str(checkpoint)!r} continues where it was"


def report_to_document(report: Report) -> dict[str, Any]:
    """The report as plain values with a schema version: all but items, outputs and the baseline itself."""
    record = report.record
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "name": to_plain(record.name),
        "run_name": to_plain(record.run_name),
        "experiment_id": to_plain(record.experiment_id),
        "dataset_run_url": to_plain(record.dataset_run_url),
        "completed": record.completed,
        "verdict": plain_value(report.verdict),
        "summary": plain_value(report.summary),
        "run_evaluations": plain_value(record.run_evaluations),
        "checks": checks_to_document(report.checks),
        "comparison": comparison_to_document(report.comparison),
        "failures": plain_value(report.failures),
        "worst": [
            {"place": item.place, "item_id": to_plain(item.result.item_id), "score": item.score}
            for item in report.worst
        ],
        "timing": plain_value(report.timing),
        "undelivered": to_plain(report.undelivered),
        "resume": report.resume,
    }


def checks_to_document(checks: CheckReport | None) -> dict[str, Any] | None:
    """`passed`, `reasons`, and each check with its value."""
    if checks is None:
        return None
    outcomes = [
        {
            **plain_value(outcome.check),
            "value": plain_value(outcome.value),
            "passed": outcome.passed,
            "reason": to_plain(outcome.reason),
        }
        for outcome in checks.outcomes
    ]
    return {"passed": checks.passed, "reasons": to_plain(checks.reasons), "outcomes": outcomes}


def comparison_to_document(comparison: Comparison | None) -> dict[str, Any] | None:
    """The comparison's fields, with each metric's verdict and the counts of the items' statuses."""
    if comparison is None:
        return None
    metrics = {
        to_plain(name): {**plain_value(metric), "verdict": metric.verdict}
        for name, metric in comparison.metrics.items()
    }
    return {**plain_value(comparison), "metrics": metrics, "counts": comparison.counts}


def plain_value(value: Any) -> Any:
    """One of our own values as plain ones, field by field."""
    if isinstance(value, Value):
        return {name: plain_value(held) for name, held in value.items()}
    if isinstance(value, dict):
        return {to_plain(name): plain_value(held) for name, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(each) for each in value]
    return to_plain(value)
