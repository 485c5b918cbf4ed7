"""The lists of newer servers: no page numbers and no totals, groups of fields, experiments that live in their spans.

A cursor is the key of the last row shown, so that rows which come or go in between repeat and hide nothing.
Source: WIRE.md sections 2.8, 9.1 and 9.2, and what the SDK of these servers (langfuse 5.0.4) asks for.
"""
from __future__ import annotations

from ..._strict_json import from_json, well_formed
from . import scores, traces
from .exchange import invalid
from .listing import conditions_of, refuse_too_many, source_of
from .observations import NEWEST_FIRST
from .observations import shown as shown_observation
from .schema import OBSERVATIONS, SCORES
from .wire_values import LAST_NS, encode, metadata_value, ns_to_text, text_to_ns, text_to_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .exchange import Call

    Groups = dict[str, tuple[str, ...]]


def _groups(**names: str) -> Groups:
    return {group: tuple(fields.split()) for group, fields in names.items()}


_OBSERVATION = _groups(
    core="id traceId startTime endTime projectId parentObservationId type",
    basic="name level statusMessage version environment bookmarked public userId sessionId isRootObservation",
    time="completionStartTime createdAt updatedAt",
    io="input output",
    metadata="metadata",
    model="model providedModelName internalModelId modelParameters",
    usage="usageDetails costDetails totalCost usagePricingTierName",
    prompt="promptId promptName promptVersion",
    metrics="latency timeToFirstToken",
    trace_context="tags release traceName",
)
_SCORE = _groups(
    core="id projectId name value dataType source timestamp environment createdAt updatedAt",
    details="comment configId metadata",
    subject="subject",
    annotation="authorUserId queueId",
)
_EXPERIMENT = _groups(
    core="id name description startTime endTime itemCount datasetId", metadata="metadata", scores="scores"
)
_ITEM = _groups(
    core="id traceId startTime endTime level environment experimentId experimentName experimentItemId",
    dataset="experimentDatasetId experimentItemVersion",
    io="input output expectedOutput",
    metadata="metadata",
    itemMetadata="experimentItemMetadata",
    experimentMetadata="experimentMetadata experimentDescription",
    scores="scores",
)


def list_observations(call: Call) -> dict[str, Any]:
    """GET v2/observations: newest first; input and output are the texts that they were sent as, unless
    `parseIoAsJson` is "true". Unlike those of real servers, metadata are never cut off.
    """
    conditions = conditions_of(call, "observations", "v2/observations")
    names = _asked(call, _OBSERVATION, "core,basic")
    limit, key = _limit_and_key(call, 1000)
    parsed = call.one("parseIoAsJson") == "true"
    with call.store.database.read() as connection:
        source, parameters = source_of(connection, "observations", conditions)
        if key:
            source += " AND (o.start_ns, o.id) < (?, ?)"
        sql = f"SELECT {OBSERVATIONS.select} FROM {source} ORDER BY {NEWEST_FIRST} LIMIT ?"
        found = [OBSERVATIONS.named(row) for row in connection.execute(sql, [*parameters, *key, limit + 1])]
        owners = traces.load(connection, {row["trace_id"] for row in found if row["trace_id"]})

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        whole = {**shown_observation(row), "isRootObservation": row["parent_id"] is None, "bookmarked": False}
        whole.update(providedModelName=row["model"], totalCost=row["total_cost"])
        if not parsed:
            whole.update(input=row["input"], output=row["output"])
        owner = owners.get(row["trace_id"])
        if owner is not None:
            whole.update(userId=owner.user_id, sessionId=owner.session_id, public=bool(owner.public))
            whole.update(tags=sorted(owner.tags or ()), release=owner.release, traceName=owner.name)
        return _chosen(whole, names)

    return _answer([(row["start_ns"], row["id"], row) for row in found], limit, shown)


def list_scores(call: Call) -> dict[str, Any]:
    """GET v3/scores: newest first; booleans are booleans here."""
    asked = (call.one("fields") or "core").split(",")
    for group in asked:
        if group not in _SCORE:
            raise invalid(f"Invalid option: expected {'|'.join(_SCORE)}", "fields", code="invalid_value")
    names = _asked(call, _SCORE, "core")
    limit, key = _limit_and_key(call, 100)
    if call.one("observationId") and not call.one("traceId"):
        raise invalid("observationId needs traceId, as ids of observations are those of a trace", "observationId")
    parts: list[str] = []
    parameters: list[Any] = []
    for name, column in _SCORE_FILTERS.items():
        values = (call.one(name) or "").split(",")
        if values != [""]:
            parts.append(f"s.{column} IN ({', '.join('?' * len(values))})")
            parameters += [value.upper() for value in values] if name in ("source", "dataType") else values
            refuse_too_many(parameters, name)
    _add_values(call, parts, parameters)
    _add_times(call, "s.timestamp_ns", "Timestamp", parts, parameters)
    if key:
        parts.append("(s.timestamp_ns, s.id) < (?, ?)")
        parameters += key
    where = " AND ".join(parts) or "1"
    with call.store.database.read() as connection:
        found = _scores(connection, where, parameters, limit + 1)
    rows = [(row["timestamp_ns"], row["id"], row) for row in found]
    answer = _answer(rows, limit, lambda row: _chosen(_shown_score(row), names))
    answer["meta"]["limit"] = limit
    return answer


_SCORE_FILTERS = {
    "id": "id", "name": "name", "source": "source", "dataType": "data_type", "environment": "environment",
    "configId": "config_id", "queueId": "queue_id", "traceId": "trace_id", "sessionId": "session_id",
    "observationId": "observation_id", "experimentId": "run_id",
}  # fmt: skip


def _add_values(call: Call, parts: list[str], parameters: list[Any]) -> None:
    """The conditions on values, which need to know of what type these are."""
    kind = (call.one("dataType") or "").upper()
    asked = call.one("value")
    if asked:
        if kind not in ("NUMERIC", "BOOLEAN", "CATEGORICAL"):
            raise invalid("value needs one dataType: NUMERIC, BOOLEAN or CATEGORICAL", "value")
        values: list[Any] = asked.split(",")
        if kind == "BOOLEAN":
            values = [{"true": 1.0, "false": 0.0}.get(value) for value in values]
        elif kind == "NUMERIC":
            values = [_number(value) for value in values]
        if None in values:
            raise invalid(f"Invalid value for dataType {kind}", "value")
        column = "string_value" if kind == "CATEGORICAL" else "value"
        parts.append(f"s.{column} IN ({', '.join('?' * len(values))})")
        parameters += values
    for name, operator in (("valueMin", ">="), ("valueMax", "<=")):
        text = call.one(name)
        if text:
            number = _number(text)
            if number is None or kind != "NUMERIC":
                raise invalid(f"{name} needs a number, and dataType NUMERIC", name)
            parts.append(f"s.value {operator} ?")
            parameters.append(number)


def _number(text: str) -> float | None:
    value = text_to_value(text)
    return float(value) if type(value) in (int, float) else None


def list_experiments(call: Call) -> dict[str, Any]:
    """GET experiments: the latest activity first."""
    names = _asked(call, _EXPERIMENT, "core")
    limit, key = _limit_and_key(call, 100)
    found: dict[str, dict[str, Any]] = {}
    with call.store.database.read() as connection:
        for row, said in _item_rows(connection, call, {"id": "id", "name": "name", "datasetId": "dataset.id"}):
            end_ns = row["end_ns"] or row["start_ns"]
            new = {"start": row["start_ns"], "end": end_ns, "items": set(), **said}
            one = found.setdefault(said.get("id", ""), new)
            one.update(start=min(one["start"], row["start_ns"]), end=max(one["end"], end_ns))
            one["items"].add(said.get("item.id"))
        rows = sorted([(one["end"], id, one) for id, one in found.items()], key=lambda each: each[:2], reverse=True)
        rows = [row for row in rows if not key or row[:2] < key][: limit + 1]

        def shown(one: dict[str, Any]) -> dict[str, Any]:
            of_run = _scores(connection, "s.run_id = ?", [one["id"]], 50) if "scores" in names else []
            whole = {
                **{name: one.get(name) for name in ("id", "name", "description")},
                "startTime": ns_to_text(one["start"]),
                "endTime": ns_to_text(one["end"]),
                "itemCount": len(one["items"]),
                "datasetId": one.get("dataset.id"),
                "metadata": _metadata(one, "metadata"),
                "scores": [_shown_score(score) for score in of_run],
            }
            return _chosen(whole, names)

        return _answer(rows, limit, shown)


def list_experiment_items(call: Call) -> dict[str, Any]:
    """GET experiment-items: newest first; the root observations of the items of experiments."""
    names = _asked(call, _ITEM, "core,dataset")
    limit, key = _limit_and_key(call, 100)
    filters = {"experimentId": "id", "experimentName": "name", "experimentItemId": "item.id", "datasetId": "dataset.id"}
    with call.store.database.read() as connection:
        found = [(row["start_ns"], row["id"], (row, said)) for row, said in _item_rows(connection, call, filters)]
        rows = [row for row in found if not key or row[:2] < key][: limit + 1]

        def shown(item: tuple[dict[str, Any], dict[str, str]]) -> dict[str, Any]:
            row, said = item
            of_item = _scores(connection, "s.trace_id = ?", [row["trace_id"]], 50) if "scores" in names else []
            whole = {
                **shown_observation(row),
                "input": row["input"],
                "output": row["output"],
                "expectedOutput": said.get("item.expected_output"),
                "experimentId": said.get("id"),
                "experimentName": said.get("name", ""),
                "experimentItemId": said.get("item.id"),
                "experimentDatasetId": said.get("dataset.id"),
                "experimentItemVersion": said.get("item.version"),
                "experimentItemMetadata": _metadata(said, "item.metadata"),
                "experimentMetadata": _metadata(said, "metadata"),
                "experimentDescription": said.get("description"),
                "scores": [_shown_score(score) for score in of_item],
            }
            return _chosen(whole, names)

        return _answer(rows, limit, shown)


_PREFIX = "langfuse.experiment."


def _item_rows(connection: Any, call: Call, filters: dict[str, str]) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """(row, what it says of its experiment) of the root observations that the request asks for, newest first."""
    if not call.one("fromStartTime"):
        raise invalid("Invalid input: expected a datetime", "fromStartTime", code="invalid_type")
    if call.one("filter"):
        raise invalid("this server knows no filter here; use the plain parameters", "filter")
    parts = [f"""instr(o.metadata, '"{_PREFIX}item.root_observation_id": "' || o.id || '"') > 0"""]
    parameters: list[Any] = []
    _add_times(call, "o.start_ns", "StartTime", parts, parameters)
    sql = f"SELECT {OBSERVATIONS.select} FROM observations o WHERE {' AND '.join(parts)} ORDER BY {NEWEST_FIRST}"
    asked = [(said, (call.one(name) or "").split(",")) for name, said in filters.items() if call.one(name)]
    found = []
    for values in connection.execute(sql, parameters):
        row = OBSERVATIONS.named(values)
        attributes = text_to_value(row["metadata"])["attributes"]
        said = {name[len(_PREFIX) :]: text for name, text in attributes.items() if name.startswith(_PREFIX)}
        if all(said.get(name) in wanted for name, wanted in asked):
            found.append((row, said))
    return found


def _add_times(call: Call, column: str, name: str, parts: list[str], parameters: list[Any]) -> None:
    for field, operator in ((f"from{name}", ">="), (f"to{name}", "<")):
        text = call.one(field)
        if text is not None:
            bound = text_to_ns(text)
            if bound is None:
                raise invalid("Invalid ISO datetime", field, code="invalid_format")
            parts.append(f"{column} {operator} ?")
            parameters.append(bound)


def _scores(connection: Any, where: str, parameters: list[Any], limit: int) -> list[dict[str, Any]]:
    sql = f"SELECT {SCORES.select} FROM scores s WHERE {where} ORDER BY {scores.NEWEST_FIRST} LIMIT {limit:d}"
    return [SCORES.named(row) for row in connection.execute(sql, parameters)]


def _shown_score(row: dict[str, Any]) -> dict[str, Any]:
    whole = scores.shown(row)
    kind, id = "experiment", row["run_id"]
    for other, column in (("session", "session_id"), ("trace", "trace_id"), ("observation", "observation_id")):
        if row[column]:
            kind, id = other, row[column]
    whole["subject"] = {"kind": kind, "id": id, **({"traceId": row["trace_id"]} if kind == "observation" else {})}
    if row["data_type"] == "BOOLEAN":
        whole["value"] = row["value"] != 0.0
    elif row["string_value"] is not None:
        whole["value"] = row["string_value"]
    return whole


def _metadata(said: dict[str, Any], name: str) -> Any:
    """Metadata in one attribute as JSON, or (as some SDKs send them) one attribute a key; None without any."""
    value = metadata_value(said.get(name))
    found = value if type(value) is dict else {}
    prefix = f"{name}."
    found.update({key[len(prefix) :]: text_to_value(text) for key, text in said.items() if key.startswith(prefix)})
    return found or None


def _asked(call: Call, groups: Groups, default: str) -> list[str]:
    """The names of the fields that are asked for by group; unknown groups name none."""
    asked = (call.one("fields") or default).split(",")
    return [name for group, names in groups.items() if group in asked or group == "core" for name in names]


def _chosen(whole: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: whole.get(name) for name in names}


def _answer(rows: list[tuple[int, str, Any]], limit: int, shown: Any) -> dict[str, Any]:
    """The first `limit` of `rows` (time, id, what is shown); `meta.cursor` is there where more follow."""
    meta = {"cursor": encode(rows[limit - 1][:2]).encode().hex()} if len(rows) > limit else {}
    return {"data": [shown(row) for _, _, row in rows[:limit]], "meta": meta}


def _limit_and_key(call: Call, largest: int) -> tuple[int, tuple[Any, ...]]:
    """The checked `limit`, and the key that `cursor` stands for; () without one."""
    limit, cursor = call.number("limit", 50, largest), call.one("cursor")
    if not cursor:
        return limit, ()
    try:
        ns, id = from_json(bytes.fromhex(cursor))
    except (ValueError, TypeError):
        ns = id = None  # no hexadecimal digits, no JSON, or no pair: refused below like a pair of something else
    if type(ns) is not int or not -LAST_NS <= ns <= LAST_NS or type(id) is not str:
        raise invalid("Invalid cursor: expected the meta.cursor of a page", "cursor")
    return limit, (ns, well_formed(id))
