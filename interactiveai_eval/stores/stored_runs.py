"""Runs as a store holds them, read back into results: experiments by their id, and runs of data sets.

Only the API is used. What a store does not hold is not there: the order of the data (items come by time, those of data
sets by id), the stage at which an item failed, and evaluations of a whole run that belongs to no data set.
"""
from __future__ import annotations

import re

from .._clock import iso_to_datetime
from ..errors import NotFoundError
from ..item_result import ExperimentItemResult
from ..model import Evaluation, EvaluatorFailure, ExperimentRecord, ItemFailure, Value
from ..running.recording import EXPERIMENT_ENVIRONMENT
from ..service.datasets import all_pages, run_item_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from ..service.api import Api

    Span = tuple[str, str, int, float, float, str]

_PREFIX = "langfuse.experiment."
# What recording adds to the metadata of an item's root span.
_NOT_THE_ITEMS = frozenset(
    "attributes resourceAttributes scope events experiment_name experiment_run_name dataset_id dataset_item_id".split()
)


class StoredRun(Value):
    """One run: the ids of its traces, oldest first, by item id where that is known.

    `dataset_name` is None for runs that belong to no data set; `started` is an ISO 8601 text.
    """

    __slots__ = ("id", "name", "run_name", "description", "dataset_name", "started", "traces")
    id: str
    name: str
    run_name: str
    description: str | None
    dataset_name: str | None
    started: str
    traces: list[tuple[str, str | None]]

    def __init__(self, **fields: Any) -> None:
        self._fill(fields)


def stored_runs(api: Api) -> list[StoredRun]:
    """The runs in a store, newest first."""
    datasets = {row["id"]: row["name"] for row in all_pages(lambda page: api.datasets(page=page, limit=100))}
    found = {run.id: run for run in _experiments(api, datasets)}
    for run in _dataset_runs(api, datasets.values()):
        known = found.get(run.id)
        found[run.id] = run if known is None else run.replaced(name=known.name, started=known.started)
    return sorted(found.values(), key=lambda run: run.started, reverse=True)


def _experiments(api: Api, datasets: Mapping[str, str]) -> Iterator[StoredRun]:
    """Runs that are known by what the root spans of their items say; some servers keep those of `datasets` only so."""
    fields: dict[str, dict[str, Any]] = {}
    for trace in all_pages(lambda page: _experiment_traces(api, page)):
        told = _attributes(trace)
        run_id = told.get(_PREFIX + "id")
        if not isinstance(run_id, str):
            continue
        run_name = str(told.get(_PREFIX + "name", run_id))
        run = fields.setdefault(
            run_id,
            {
                "id": run_id,
                "name": str(trace["metadata"].get("experiment_name", run_name)),
                "run_name": str(trace["metadata"].get("experiment_run_name", run_name)),
                "description": told.get(_PREFIX + "description"),
                "dataset_name": datasets.get(str(told.get(_PREFIX + "dataset.id"))),
                "started": str(trace["timestamp"]),
                "traces": [],
            },
        )
        run["traces"].append((trace["id"], told.get(_PREFIX + "item.id")))
    return (StoredRun(**run) for run in fields.values())


def _experiment_traces(api: Api, page: int) -> dict[str, Any]:
    return api.traces(page=page, limit=100, environment=EXPERIMENT_ENVIRONMENT, orderBy="timestamp.asc")


def _dataset_runs(api: Api, datasets: Iterable[str]) -> Iterator[StoredRun]:
    for name in datasets:
        for row in list(all_pages(lambda page: api.dataset_runs(name, page=page, limit=100))):  # noqa: B023
            run = api.dataset_run(name, row["name"])
            items = sorted(run_item_rows(api, run, name, row["name"]), key=lambda item: str(item["createdAt"]))
            yield StoredRun(
                id=row["id"],
                name=name,
                run_name=row["name"],
                description=row.get("description"),
                dataset_name=name,
                started=str(row["createdAt"]),
                traces=[(item["traceId"], item["datasetItemId"]) for item in items],
            )


def read_run(api: Api, run: StoredRun) -> tuple[ExperimentRecord, dict[str, list[Span]]]:
    """A run's record, and for each of its traces the spans: (name, type, depth, start ms, end ms, error)."""
    results: list[ExperimentItemResult] = []
    failures: list[ItemFailure] = []
    spans: dict[str, list[Span]] = {}
    ends: list[float] = []
    seen: dict[str, int] = {}
    keys = dict.fromkeys(item_id or trace_id for trace_id, item_id in run.traces)
    # Items of a data set have the same numbers in all its runs.
    ordered = keys if run.dataset_name is None else sorted(keys, key=_natural)
    indices = {key: place for place, key in enumerate(ordered)}
    for trace_id, item_id in run.traces:
        key = item_id or trace_id
        index, repetition = indices[key], seen.get(key, 0)
        seen[key] = repetition + 1
        known: dict[str, Any] = {"index": index, "repetition": repetition, "item_id": item_id, "trace_id": trace_id}
        try:
            trace = api.trace(trace_id)
        except NotFoundError:
            message = "The trace of this item is not in the store."
            failures.append(ItemFailure(item={}, stage="task", error_type="NotFoundError", message=message, **known))
            continue
        root = _root(trace)
        spans[trace_id] = _spans(trace["observations"])
        ends += [_ms(each.get("endTime") or each["startTime"]) for each in trace["observations"]]
        known["duration_seconds"] = float(root.get("latency") or 0.0)
        outcome = _outcome(trace, root, known)
        if isinstance(outcome, ItemFailure):
            failures.append(outcome)
        else:
            results.append(outcome)
    record = ExperimentRecord(
        name=run.name,
        run_name=run.run_name,
        description=run.description,
        item_results=results,
        item_failures=failures,
        run_evaluations=[] if run.dataset_name is None else _run_evaluations(api, run.id),
        dataset_run_id=None if run.dataset_name is None else run.id,
        experiment_id=run.id,
        duration_seconds=max(0.0, max(ends) - _ms(run.started)) / 1000 if ends else 0.0,
    )
    return record, spans


def _natural(id: str) -> str:
    """A text by which ids are in the order of their numbers: q2 before q10."""
    return re.sub(r"[0-9]+", lambda found: found[0].zfill(20), id)


def _run_evaluations(api: Api, run_id: str) -> list[Evaluation]:
    return _evaluations(all_pages(lambda page: api.scores(datasetRunId=run_id, page=page, limit=100)))


def _root(trace: Mapping[str, Any]) -> Mapping[str, Any]:
    """The span that stands for the item, or the trace itself where it has none."""
    ids = {each["id"] for each in trace["observations"]}
    named = _attributes(trace).get(_PREFIX + "item.root_observation_id")
    roots = [each for each in trace["observations"] if each.get("parentObservationId") not in ids]
    return next((each for each in roots if each["id"] == named), roots[0] if roots else trace)


def _attributes(thing: Mapping[str, Any]) -> Mapping[str, Any]:
    """What spans say that servers have no field for."""
    metadata = thing.get("metadata")
    found = metadata.get("attributes") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def _outcome(
    trace: Mapping[str, Any], root: Mapping[str, Any], known: dict[str, Any]
) -> ExperimentItemResult | ItemFailure:
    metadata = root.get("metadata")
    if isinstance(metadata, dict):
        metadata = {name: value for name, value in metadata.items() if name not in _NOT_THE_ITEMS} or None
    item = {
        "input": root.get("input"),
        "expected_output": _attributes(root).get(_PREFIX + "item.expected_output"),
        "metadata": metadata,
    }
    errors = _errors(root)
    if root.get("level") == "ERROR":
        message = str(root.get("statusMessage") or "")
        last: dict[str, Any] = errors[-1] if errors else {"error_type": "Error", "message": message}
        return ItemFailure(item=item, stage="task", attempts=max(1, len(errors)), **last, **known)
    # Runs of ours score the item's span; what stands on its trace was given afterwards, by a batch evaluation say.
    is_ours = _attributes(trace).get(_PREFIX + "item.root_observation_id") == root.get("id")
    evaluators = [each for each in trace["observations"] if each.get("type") == "EVALUATOR"]
    return ExperimentItemResult(
        item=item,
        output=root.get("output"),
        evaluations=_evaluations(
            score if score.get("observationId") or not is_ours else {**score, "name": f"{score['name']} (on the trace)"}
            for score in trace["scores"]
            if score.get("observationId") in (None, root.get("id"))
        ),
        evaluator_failures=[
            EvaluatorFailure(evaluator=str(each["name"]), **error)
            for each in evaluators
            if each.get("level") == "ERROR"
            for error in _errors(each)[-1:]
        ],
        attempts=1 + len(errors),
        dataset_run_id=None,
        **known,
    )


def _errors(span: Mapping[str, Any]) -> list[dict[str, str]]:
    """The exceptions that a span tells of: one for each attempt that failed."""
    metadata = span.get("metadata")
    events = metadata.get("events") if isinstance(metadata, dict) else None
    found = []
    for event in events if isinstance(events, list) else []:
        told = event.get("attributes") if isinstance(event, dict) else None
        if isinstance(told, dict) and event.get("name") == "exception":
            names = {"error_type": "type", "message": "message", "traceback": "stacktrace"}
            found.append({name: str(told.get(f"exception.{key}", "")) for name, key in names.items()})
    return found


def _evaluations(scores: Iterable[Mapping[str, Any]]) -> list[Evaluation]:
    found = []
    for score in sorted(scores, key=lambda score: (str(score.get("timestamp")), str(score["name"]), str(score["id"]))):
        kind, value = score.get("dataType"), score.get("value")
        if kind == "BOOLEAN":
            value = bool(value)
        elif kind != "NUMERIC":
            value = score.get("stringValue", value)
        found.append(
            Evaluation(
                name=str(score["name"]),
                value=value,
                comment=score.get("comment") or None,
                metadata=score.get("metadata") or None,
            )
        )
    return found


def _spans(observations: Iterable[Mapping[str, Any]]) -> list[Span]:
    """Each span after the one above it, in the order in which they began."""
    below: dict[str | None, list[Mapping[str, Any]]] = {}
    rows = sorted(observations, key=lambda each: str(each["startTime"]))
    ids = {each["id"] for each in rows}
    for each in rows:
        parent = each.get("parentObservationId")
        below.setdefault(parent if parent in ids else None, []).append(each)
    found: list[Span] = []
    waiting = [(each, 0) for each in reversed(below.get(None, []))]
    first = _ms(rows[0]["startTime"]) if rows else 0.0
    while waiting:
        each, depth = waiting.pop()
        start = _ms(each["startTime"]) - first
        end = start + float(each.get("latency") or 0.0) * 1000
        error = str(each.get("statusMessage") or "ERROR") if each.get("level") == "ERROR" else ""
        found.append((str(each.get("name") or ""), str(each.get("type") or ""), depth, start, end, error))
        waiting += [(child, depth + 1) for child in reversed(below.get(each["id"], []))]
    return found


def _ms(time: Any) -> float:
    return iso_to_datetime(str(time)).timestamp() * 1000
