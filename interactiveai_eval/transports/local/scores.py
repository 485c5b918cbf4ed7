"""Scores: judging what is posted, their rows, and the JSON objects that clients see (WIRE.md section 9.2)."""
from __future__ import annotations

from .exchange import PROJECT_ID, Answer, Refusal, invalid, missing
from .listing import page_of, refuse_too_many
from .schema import SCORES
from .wire_values import columns_of, encode, environment_of, ns_to_text, text_to_ns, text_to_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .exchange import Call, Page, Store

_LONGEST_TEXT = 500  # of a score of type TEXT
_DATA_TYPES = ("NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION")

_SAME = columns_of(
    "id traceId observationId sessionId name value dataType source comment environment configId queueId"
)
_FILTERS = {
    **{
        name: f"s.{column} = ?"
        for name, column in columns_of("name traceId observationId sessionId dataType source configId queueId")
    },
    "datasetRunId": "s.run_id = ?",
    "userId": "t.user_id = ?",
    "fromTimestamp": "s.timestamp_ns >= ?",
    "toTimestamp": "s.timestamp_ns < ?",
}
NEWEST_FIRST = "s.timestamp_ns DESC, s.id DESC"
_SOURCE = "scores s LEFT JOIN traces t ON t.id = s.trace_id"


def score_row(store: Store, fields: Mapping[str, Any], now_ns: int) -> tuple[Any, ...]:
    """The row of a posted score, for `SCORES`. Raises Refusal."""
    name = fields.get("name")
    if type(name) is not str or not name:
        raise invalid("Invalid input: expected a name", "name", code="invalid_type")
    get = fields.get
    trace_id, observation_id = get("traceId"), get("observationId")
    details = (get("sessionId"), get("datasetRunId"), get("configId"), get("queueId"))
    comment, score_id = get("comment"), get("id")
    for text in (trace_id, observation_id, comment, score_id, *details):
        if text is not None and type(text) is not str:
            raise invalid("Invalid input: ids and comments are text", code="invalid_type")
    if bool(trace_id) + bool(details[0]) + bool(details[1]) != 1 or (observation_id and not trace_id):
        raise invalid("Provide exactly one of: traceId (with or without observationId), sessionId, datasetRunId")
    if score_id and len(score_id) > 800:
        raise invalid("Too big: expected at most 800 characters", "id", code="too_big")
    source = get("source") or "API"
    if source not in ("API", "ANNOTATION") or (source == "ANNOTATION" and not details[2]):
        raise invalid("Invalid option: expected API, or ANNOTATION with a configId", "source", code="invalid_value")
    value, string_value, data_type = _typed(get("value"), get("dataType"))
    timestamp_ns = text_to_ns(get("timestamp"))
    metadata = get("metadata")
    core = (
        score_id or store.ids.trace_id(),
        trace_id or None,
        observation_id or None,
        name,
        value,
        string_value,
        data_type,
        source,
        environment_of(get("environment")),
        now_ns if timestamp_ns is None else timestamp_ns,
        now_ns,
        comment,
        None if metadata is None else encode(metadata),
    )
    return core if details == (None, None, None, None) else (*core, *details)


def _typed(value: Any, data_type: Any) -> tuple[float, str | None, str]:
    """(value, text, type) as they are kept. JSON true and false are refused by every server seen."""
    kind = type(value)
    if data_type is None:
        data_type = "CATEGORICAL" if kind is str else "NUMERIC"
    elif data_type not in _DATA_TYPES:
        raise invalid(f"Invalid option: expected one of {'|'.join(_DATA_TYPES)}", "dataType", code="invalid_value")
    if data_type in ("NUMERIC", "BOOLEAN"):
        if kind is int and -(2**1023) < value < 2**1023:
            value = float(value)
        elif kind is not float or value - value != 0.0:
            raise invalid("Invalid input: expected number", "value", code="invalid_type")
        if data_type == "NUMERIC":
            return value, None, data_type
        if value not in (0.0, 1.0):
            raise invalid("Value must be either 0 or 1", "value")
        return value, "True" if value else "False", data_type
    if kind is not str:
        raise invalid("Invalid input: expected string", "value", code="invalid_type")
    if data_type == "TEXT" and not 1 <= len(value) <= _LONGEST_TEXT:
        raise invalid(f"Invalid input: expected 1 to {_LONGEST_TEXT} characters", "value", code="too_big")
    return 0.0, value, data_type


def post_score(call: Call) -> Any:
    """POST scores: one score, or an array of them (which newer clients send)."""
    body, now_ns = call.body(), call.store.now_ns()
    if type(body) is not list:
        fields = call.as_fields(body)
        if call.platform and fields.get("observationId") and not fields.get("traceId"):
            fields["traceId"] = _trace_of(call, fields["observationId"])
        row = score_row(call.store, fields, now_ns)
        with call.store.database.write() as connection:
            SCORES.save(connection, [row])
        return {"id": row[0]}
    rows, errors = [], []
    for each in body:
        try:
            rows.append(score_row(call.store, call.as_fields(each), now_ns))
        except Refusal as refusal:
            errors.append({"message": refusal.body["error"][0]["message"]})
    with call.store.database.write() as connection:
        SCORES.save(connection, rows)
    if not errors:
        return Answer(202, {"message": "Accepted"})
    return Answer(207, {"accepted": len(rows), "rejected": len(errors), "errors": errors})


def _trace_of(call: Call, observation_id: Any) -> str | None:
    """The trace of an observation: the reference scores observations without naming it, and only in its own dialect."""
    with call.store.database.read() as connection:
        found = connection.execute("SELECT trace_id FROM observations WHERE id = ?", (str(observation_id),)).fetchone()
    return None if found is None else found[0]


def delete_score(call: Call) -> dict[str, Any]:
    """DELETE scores/{id}."""
    with call.store.database.write() as connection:
        connection.execute("DELETE FROM scores WHERE id = ?", (call.names[0],))
    return {"message": "Score deleted"}


def load(connection: Any, column: str, value: str) -> list[dict[str, Any]]:
    """The rows whose `column` is `value`, newest first."""
    sql = f"SELECT {SCORES.select} FROM scores s WHERE s.{column} = ? ORDER BY {NEWEST_FIRST}"
    return [SCORES.named(row) for row in connection.execute(sql, (value,))]


def get_score(call: Call) -> dict[str, Any]:
    """GET scores/{id}, v2/scores/{id}: also a score whose trace is not there."""
    with call.store.database.read() as connection:
        found = load(connection, "id", call.names[0])
    if not found:
        raise missing("Score")
    return shown(found[0])


def list_scores(call: Call) -> Page:
    """GET scores: scores of traces that are there."""
    return _list(call, "t.id IS NOT NULL")


def list_scores_v2(call: Call) -> Page:
    """GET v2/scores: also those of sessions and data set runs."""
    return _list(call, "(s.trace_id IS NULL OR t.id IS NOT NULL)")


def _list(call: Call, condition: str) -> Page:
    parts, parameters = [condition], []
    for name, sql in _FILTERS.items():
        value: Any = call.one(name)
        if value is None:
            continue
        if name.endswith("Timestamp"):
            value = text_to_ns(value)
            if value is None:
                raise invalid("Invalid ISO datetime", name, code="invalid_format")
        if name == "dataType" and value not in _DATA_TYPES:
            raise invalid(f"Invalid option: expected one of {'|'.join(_DATA_TYPES)}", name, code="invalid_value")
        parts.append(sql)
        parameters.append(value)
    for name, column in (("environment", "s.environment"), ("scoreIds", "s.id")):
        values = call.many(name)
        if values is not None:
            parts.append(f"{column} IN ({', '.join('?' * len(values))})")
            parameters += values
            refuse_too_many(parameters, name)
    number, limit = call.page_and_limit()
    columns = f"{SCORES.select}, t.id, t.user_id, t.tags, t.environment, t.session_id"
    source = f"{_SOURCE} WHERE {' AND '.join(parts)}"
    with call.store.database.read() as connection:
        rows, page = page_of(connection, source, parameters, columns, NEWEST_FIRST, number, limit)
    for row in rows:
        trace_id, user_id, tags, environment, session_id = row[-5:]
        trace = {"userId": user_id, "tags": text_to_value(tags) or [], "environment": environment}
        trace["sessionId"] = session_id
        page.data.append({**shown(SCORES.named(row)), "trace": None if trace_id is None else trace})
    return page


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """The JSON object of a row."""
    found = {
        **{name: row[column] for name, column in _SAME},
        "projectId": PROJECT_ID,
        "datasetRunId": row["run_id"],
        "authorUserId": None,
        "metadata": {} if row["metadata"] is None else text_to_value(row["metadata"]),
        "timestamp": ns_to_text(row["timestamp_ns"]),
        "createdAt": ns_to_text(row["created_ns"]),
        "updatedAt": ns_to_text(row["created_ns"]),
    }
    return found if row["string_value"] is None else {**found, "stringValue": row["string_value"]}
