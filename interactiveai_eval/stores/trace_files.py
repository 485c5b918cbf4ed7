"""Traces in files, for machines that no network reaches: one trace with its observations and scores a line.

A line is JSON in the shape of GET traces/{id}, but only what a server takes back is written and read: no project, no
times of arrival, nothing that is worked out (latency, prices). Times have milliseconds, as the API gives them. Only the
API is used, so that any two servers can be at the two ends.
"""
from __future__ import annotations

import os
import re
from collections import namedtuple

from .._atomic import write_atomically
from .._clock import iso_to_datetime
from .._strict_json import JSONError, from_json, to_json
from ..data_files import check_is_file, checked, read_json_lines
from ..errors import ApiError, NotFoundError, short_repr
from ..running.counts import Counts
from ..service.filters import read_filter
from ..tracing.spans import LEVELS, OBSERVATION_TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TextIO

    from ..model import DeliveryReport
    from ..service.api import Api

_PAGE = 100  # the most that servers give at once
# A request of ingestion may have 4.5 MiB; batches stay far below, as each is held several times on its way.
_MOST_BYTES = 4_718_592 - 100
_BATCH_BYTES = 1_000_000
_BATCH_EVENTS = 500
_WORDS = ("CATEGORICAL", "TEXT", "CORRECTION")  # data types whose value is a text, which is read as `stringValue`
_LONGEST_TEXT = 500  # of a score of type TEXT


# -- writing -----------------------------------------------------------------------------------------------------------


def export_traces(api: Api, file: str | os.PathLike[str] | TextIO, filter: Any = None) -> int:
    """Write the traces that match, oldest first (ties by id), and return how many they are.

    `file` is a path, which appears whole or not at all (mode 0600), or a text stream. `filter` is one of traces, in
    any notation of `run_batched_evaluation`; None takes all. The traces are read by key, one at a time; only the ids of
    one millisecond are held. What is deleted meanwhile may be left out; scores of sessions and of runs, and
    observations without a trace, belong to no trace and are not written.

    Raises: ArgumentError for a filter that is none; ApiError also for a server that does not keep the order.
    """
    written = 0

    def lines() -> Iterator[str]:
        nonlocal written
        for trace in _matching(api, read_filter("traces", filter)):
            yield to_json(_written(trace)) + "\n"
            written += 1

    if isinstance(file, (str, os.PathLike)):
        write_atomically(os.fsdecode(file), lines())
    else:
        file.writelines(lines())
    return written


def _matching(api: Api, conditions: list[Any]) -> Iterator[dict[str, Any]]:
    for trace_id in _ids(api, conditions):
        try:
            yield api.trace(trace_id)
        except NotFoundError:
            continue  # deleted since it was listed


def _ids(api: Api, conditions: list[Any]) -> Iterator[str]:
    """Ids in the order of (timestamp, id): page 1 of what is not older than the last row, again and again."""
    moment, page = "", 1
    held: set[str] = set()
    while True:
        since = {"type": "datetime", "column": "timestamp", "operator": ">=", "value": moment}
        query = to_json([*conditions, since] if moment else conditions)
        found = api.traces(page=page, limit=_PAGE, orderBy="timestamp.asc", fields="core", filter=query)
        before = moment
        for row in found["data"]:
            if row["timestamp"] < moment:
                raise ApiError("the server ignores the order or the filter of traces", status_code=200, body=row)
            if row["timestamp"] > moment:
                yield from sorted(held)
                moment, held = row["timestamp"], set()
            held.add(row["id"])
        if not found["data"] or page >= found["meta"]["totalPages"]:
            break
        # More rows at one moment than a page has: only then is a second page needed.
        page = page + 1 if moment == before else 1
    yield from sorted(held)


def _written(trace: dict[str, Any]) -> dict[str, Any]:
    """What is written of a trace; fields stand in the order of the tables below."""
    row = {field: trace.get(field) for field in _TRACE}
    for part, (fields, time) in _PARTS.items():
        rows = sorted(trace.get(part) or (), key=lambda each, time=time: (each[time], each["id"]))
        row[part] = [{field: each.get(field) for field in fields} for each in rows]
    return row


# -- reading -----------------------------------------------------------------------------------------------------------


def import_traces(api: Api, path: str | os.PathLike[str]) -> DeliveryReport:
    """Send the traces of a file; what was taken and refused, by "traces", "observations" and "scores".

    The whole file is checked first. Ids are kept: importing again replaces observations and scores, and adds to what a
    trace has. A score from a source that servers accept from nobody (EVAL) becomes one of the API.

    Raises: DataError before anything is sent. After any other error the same call can be made again.
    """
    return send_traces(api, read_traces(path))


def read_traces(path: str | os.PathLike[str], name: str | None = None) -> Iterator[dict[str, Any]]:
    """The traces of a file, checked to its end before the first one is handed out; `name` is how errors call the file.

    Empty lines are passed over, unknown fields ignored. Raises DataError with file, line, reason and fix.
    """
    place = os.fsdecode(path)
    shown = place if name is None else name
    check_is_file(place)
    for _ in checked(read_json_lines(place, shown), shown, _problem):
        pass
    return checked(read_json_lines(place, shown), shown, _problem)


def send_traces(api: Api, traces: Iterable[dict[str, Any]]) -> DeliveryReport:
    """Like `import_traces`, of traces that `read_traces` has checked."""
    counts = Counts()
    for batch in _batches(event for trace in traces for event in _events(trace)):
        refused = {each.id: each.reason for each in api.send_events(batch)}
        if "" in refused:  # nothing is lost by sending all of it again
            told = f"the server refuses some of {len(batch)} events and does not say which: {refused['']}"
            raise ApiError(told, status_code=207)
        for event in batch:
            noun, _, id = event["id"].partition(":")
            if event["id"] in refused:
                counts.problem(f"{noun}s", "rejected", id, refused[event["id"]])
            else:
                counts.add(f"{noun}s", "acknowledged")
    return counts.report()


def _batches(events: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for event in events:
        length = len(to_json(event))
        if batch and (len(batch) == _BATCH_EVENTS or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += length
    if batch:
        yield batch


def _events(trace: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events of ingestion that make a trace and what belongs to it."""
    yield _event("trace", "trace-create", trace["timestamp"], _body(trace, _TRACE))
    of_trace = {"traceId": trace["id"]}
    for row in trace.get("observations") or ():
        body = {**_body(row, _OBSERVATION), **of_trace}
        yield _event("observation", f"{body.pop('type').lower()}-create", row["startTime"], body)
    for row in trace.get("scores") or ():
        yield _event("score", "score-create", row["timestamp"], {**_score_body(row), **of_trace})


def _event(noun: str, kind: str, timestamp: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"{noun}:{body['id']}", "timestamp": timestamp, "type": kind, "body": body}


def _body(row: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    body = {field: row[field] for field in fields if row.get(field) is not None}
    for field in ("input", "output", "modelParameters"):
        if field in body:
            body[field] = _unread(body[field])
    if type(body.get("metadata")) is dict:
        body["metadata"] = {key: _unread(value) for key, value in body["metadata"].items()}
    return body


def _unread(value: Any) -> Any:
    """What has to be sent so that `value` is read: servers read the text "7" as a number, and '"7"' as a text."""
    if type(value) is not str:
        return value
    try:
        from_json(value)
    except JSONError:
        return value
    return to_json(value)


def _score_body(row: dict[str, Any]) -> dict[str, Any]:
    body = {field: row[field] for field in _SCORE if row.get(field) is not None}
    word = body.pop("stringValue", None)
    if word is not None and row.get("dataType") in _WORDS:
        body["value"] = word
    if body.get("source") not in ("API", "ANNOTATION") or (body["source"] == "ANNOTATION" and "configId" not in body):
        body.pop("source", None)
    return body


# -- what a line may hold ----------------------------------------------------------------------------------------------


# `shape` completes "... is not ..."; fields that are not needed may be null or missing.
_Field = namedtuple("_Field", "shape fits needed")


_moment = re.compile(r"[0-9-]{10}[T ][0-9:]{5,8}(\.[0-9]+)?(Z|z|[+-][0-9]{2}:[0-9]{2})").fullmatch


def _is_time(value: Any) -> bool:
    try:
        return type(value) is str and _moment(value) is not None and bool(iso_to_datetime(value))
    except (ValueError, OverflowError):
        return False


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value - value == 0


def _is_amounts(value: Any) -> bool:
    return type(value) is dict and all(map(_is_number, value.values()))


def _is_tags(value: Any) -> bool:
    return type(value) is list and all(type(tag) is str for tag in value)


_TYPES = tuple(name.upper() for name in OBSERVATION_TYPES)
_DATA_TYPES = ("NUMERIC", "BOOLEAN", *_WORDS)
_NAME = _Field("a text, at least one character", lambda value: type(value) is str and value != "", True)
_SCORE_ID = _Field("a text of 1 to 800 characters", lambda value: type(value) is str and 1 <= len(value) <= 800, True)
_TEXT = _Field("a text", lambda value: type(value) is str, False)
_TIME = _Field("a time with a zone, such as 2026-01-31T10:00:00.000Z", _is_time, False)
_START = _TIME._replace(needed=True)
_ANY = _Field("JSON", lambda value: True, False)
_AMOUNTS = _Field("an object of numbers", _is_amounts, False)

_COMMON = {
    "environment": _TEXT, "version": _TEXT, "input": _ANY, "output": _ANY, "metadata": _ANY,
}  # fmt: skip
_TRACE: dict[str, _Field] = {
    "id": _NAME, "timestamp": _START, "name": _TEXT, "userId": _TEXT, "sessionId": _TEXT, "release": _TEXT,
    "tags": _Field("a list of texts", _is_tags, False),
    "public": _Field("true or false", lambda value: type(value) is bool, False),
    **_COMMON,
}  # fmt: skip
_OBSERVATION: dict[str, _Field] = {
    "id": _NAME, "traceId": _TEXT,
    "type": _Field(f"one of {', '.join(_TYPES)}", lambda value: value in _TYPES, True),
    "name": _TEXT, "startTime": _START, "endTime": _TIME, "completionStartTime": _TIME, "parentObservationId": _TEXT,
    "level": _Field(f"one of {', '.join(LEVELS)}", lambda value: value in LEVELS, False),
    "statusMessage": _TEXT,
    **_COMMON,
    "model": _TEXT, "modelParameters": _ANY, "usageDetails": _AMOUNTS, "costDetails": _AMOUNTS, "promptName": _TEXT,
    "promptVersion": _Field("a whole number", lambda value: type(value) is int, False),
}  # fmt: skip
_SCORE: dict[str, _Field] = {
    "id": _SCORE_ID, "traceId": _TEXT, "observationId": _TEXT, "name": _NAME, "value": _ANY, "stringValue": _TEXT,
    "dataType": _Field(f"one of {', '.join(_DATA_TYPES)}", lambda value: value in _DATA_TYPES, False),
    "source": _TEXT, "environment": _TEXT, "timestamp": _START, "comment": _TEXT, "metadata": _ANY, "configId": _TEXT,
    "queueId": _TEXT,
}  # fmt: skip
_PARTS = {"observations": (_OBSERVATION, "startTime"), "scores": (_SCORE, "timestamp")}


def _problem(row: Any) -> str | None:
    """What is wrong with a line, None if nothing is."""
    found = _field_problem(row, _TRACE)
    if found:
        return f"{found}; a line is a trace as GET traces/{{id}} gives it"
    for part, (fields, _) in _PARTS.items():
        rows = row.get(part)
        if rows is not None and type(rows) is not list:
            return f"{part}: {short_repr(rows, 40)} is not a list; write the {part} of the trace, or []"
        for position, each in enumerate(rows or ()):
            found = _field_problem(each, fields) or _other_problem(each, row["id"], fields is _SCORE)
            if found:
                return f"{part}[{position}]: {found}"
    for event in _events(row):
        length = len(to_json(event))
        if length > _MOST_BYTES:
            return f"{event['id']} takes {length} bytes, servers take {_MOST_BYTES}; shorten its input or output"
    return None


def _field_problem(row: Any, fields: dict[str, _Field]) -> str | None:
    if type(row) is not dict:
        return f"{short_repr(row, 40)} is not an object"
    for name, field in fields.items():
        value = row.get(name)
        if value is None and field.needed:
            return f"no {name!r}"
        if value is not None and not field.fits(value):
            return f"{name}: {short_repr(value, 40)} is not {field.shape}"
    return None


def _other_problem(row: dict[str, Any], trace_id: str, is_score: bool) -> str | None:
    if row.get("traceId") not in (None, trace_id):
        return f"traceId: {short_repr(row['traceId'], 40)} is another trace"
    return _value_problem(_score_body(row)) if is_score else None


def _value_problem(body: dict[str, Any]) -> str | None:
    value, data_type = body.get("value"), body.get("dataType")
    if data_type in _WORDS or (data_type is None and type(value) is str):
        fits = type(value) is str and (data_type != "TEXT" or 1 <= len(value) <= _LONGEST_TEXT)
        shape = f"a text of 1 to {_LONGEST_TEXT} characters" if data_type == "TEXT" else "a text"
    elif data_type == "BOOLEAN":
        fits, shape = _is_number(value) and value in (0, 1), "0 or 1"
    else:
        fits, shape = _is_number(value), "a number"
    return None if fits else f"value: {short_repr(value, 40)} is not {shape}"
