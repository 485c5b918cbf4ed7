"""What every column, type and operator of the filter language finds in the embedded store."""
from __future__ import annotations

import json

import pytest

from interactiveai_eval.filter_language import COLUMNS, TYPES
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport
from interactiveai_eval.transports.local.totals import Totals

START = 1_763_632_800_000  # 2025-11-20T10:00:00Z, in milliseconds


def call(store, method, path, body=None, headers=(), **query):
    encoded = b"" if body is None else json.dumps(body).encode()
    pairs = tuple(query.items())
    response = store.send(
        Request(method, f"/api/public/{path}", query=pairs, headers=dict(headers), body=encoded)
    )
    return response.status, json.loads(response.body)


def span(trace, id, parent="", name="work", start=0, length=1000, attributes=()):
    def value(content):
        if isinstance(content, list):
            return {"arrayValue": {"values": [{"stringValue": each} for each in content]}}
        return {"intValue": content} if isinstance(content, int) else {"stringValue": content}

    return {
        "traceId": trace,
        "spanId": id,
        "parentSpanId": parent,
        "name": name,
        "startTimeUnixNano": (START + start) * 1_000_000,
        "endTimeUnixNano": (START + start + length) * 1_000_000 if length is not None else 0,
        "attributes": [{"key": key, "value": value(content)} for key, content in dict(attributes).items()],
    }


SPANS = [
    span("a", "a1", name="chat", start=0, length=2000, attributes={
        "user.id": "ann", "session.id": "s-1", "langfuse.version": "1.0", "langfuse.release": "r1",
        "langfuse.environment": "prod", "langfuse.trace.tags": ["x", "y"], "langfuse.observation.metadata.tier": "pro",
        "langfuse.observation.metadata.n": 5, "langfuse.observation.level": "WARNING",
        "langfuse.observation.status_message": "careful",
    }),
    span("a", "a2", parent="a1", name="llm", start=100, length=500, attributes={
        "langfuse.observation.type": "generation", "langfuse.observation.model.name": "m-1",
        "langfuse.observation.usage_details": '{"input": 10, "output": 20}',
        "langfuse.observation.cost_details": '{"input": 0.5, "output": 1.5}',
        "langfuse.observation.prompt.name": "p", "langfuse.observation.prompt.version": 3,
        "langfuse.observation.completion_start_time": "2025-11-20T10:00:00.350Z",
        "langfuse.observation.level": "ERROR", "langfuse.environment": "prod", "langfuse.version": "1.0",
    }),
    span("b", "b1", name="chat bot", start=5000, length=100, attributes={
        "user.id": "bob", "langfuse.trace.tags": ["x"], "langfuse.environment": "staging",
        "langfuse.observation.metadata.tier": "free", "langfuse.observation.metadata.n": 7,
    }),
    span("c", "c1", name="batch", start=9000, length=50, attributes={
        "langfuse.observation.level": "DEBUG", "langfuse.observation.metadata.deep": '{"k":[1,2]}',
    }),
]  # fmt: skip
SCORES = [
    {"traceId": "a", "name": "acc", "value": 0.25},
    {"traceId": "a", "observationId": "a2", "name": "acc", "value": 0.75},
    {"traceId": "b", "name": "acc", "value": 1},
    {"traceId": "a", "observationId": "a2", "name": "mood", "value": "good"},
    {"traceId": "b", "name": "mood", "value": "bad"},
    {"traceId": "a", "observationId": "a2", "name": "ok", "value": 1, "dataType": "BOOLEAN"},
    {"traceId": "b", "name": "ok", "value": 0, "dataType": "BOOLEAN"},
]


@pytest.fixture(scope="module")
def store():
    with LocalTransport() as store:
        export = {"resourceSpans": [{"scopeSpans": [{"spans": SPANS}]}]}
        assert call(store, "POST", "otel/v1/traces", export, {"content-type": "application/json"})[0] == 200
        for score in SCORES:
            assert call(store, "POST", "scores", score)[0] == 200
        yield store


def found(store, scope, *conditions, **query):
    """The ids that match, in order of their letters, as one text."""
    status, answer = call(store, "GET", scope, filter=json.dumps(conditions), limit="100", **query)
    assert status == 200, answer
    ids = sorted(row["id"] for row in answer["data"])
    assert answer["meta"]["totalItems"] == len(ids)
    return " ".join(ids)


def condition(row, column):
    kind, operator, value, *key = row
    return {"type": kind, "column": column, "operator": operator, "value": value, **({"key": key[0]} if key else {})}


# column: [(type, operator, value[, key], ids)]
TRACES = {
    "id": [
        ("string", "=", "a", "a"), ("string", "contains", "", "a b c"), ("stringOptions", "any of", ["a", "c", "z"], "a c"),
        ("stringOptions", "none of", ["a"], "b c"), ("null", "is null", "", ""), ("null", "is not null", "", "a b c"),
    ],
    "name": [
        ("string", "=", "chat", "a"), ("string", "=", "Chat", ""), ("string", "contains", "hat", "a b"),
        ("string", "contains", "%", ""), ("string", "contains", "_", ""), ("string", "does not contain", "bot", "a c"),
        ("string", "starts with", "chat", "a b"), ("string", "starts with", "hat", ""),
        ("string", "ends with", "t", "a b"), ("string", "ends with", "", "a b c"), ("string", "ends with", "chat bot!", ""),
        ("stringOptions", "any of", ["chat", "batch"], "a c"), ("stringOptions", "none of", ["chat", "batch"], "b"),
    ],
    "environment": [
        ("string", "=", "default", "c"), ("stringOptions", "any of", ["prod", "staging"], "a b"),
        ("stringOptions", "none of", ["prod"], "b c"), ("null", "is null", "", ""),
    ],
    "userId": [
        ("string", "=", "ann", "a"), ("string", "contains", "b", "b"), ("string", "does not contain", "b", "a"),
        ("stringOptions", "any of", ["ann", "bob"], "a b"), ("stringOptions", "none of", ["ann"], "b"),
        ("null", "is null", "", "c"), ("null", "is not null", "", "a b"),
    ],
    "sessionId": [("string", "starts with", "s-", "a"), ("null", "is null", "", "b c")],
    "version": [("string", "=", "1.0", "a"), ("null", "is not null", "", "a")],
    "release": [("string", "=", "r1", "a"), ("string", "ends with", "2", ""), ("null", "is null", "", "b c")],
    "timestamp": [
        ("datetime", ">", "2025-11-20T10:00:05Z", "c"), ("datetime", ">=", "2025-11-20T10:00:05Z", "b c"),
        ("datetime", "<", "2025-11-20T10:00:05.000Z", "a"), ("datetime", "<=", "2025-11-20T10:00:05Z", "a b"),
        ("datetime", ">", "2025-11-20T10:00:04.999999Z", "b c"), ("datetime", ">=", "2025-11-20", "a b c"),
        ("datetime", "<", "2025-11-20T12:00:05+02:00", "a"), ("datetime", "<", "9999-01-01", "a b c"),
        ("datetime", "<", "0001-01-01", ""), ("null", "is null", "", ""),
    ],
    "tags": [
        ("arrayOptions", "any of", ["y", "z"], "a"), ("arrayOptions", "any of", ["x"], "a b"),
        ("arrayOptions", "none of", ["x"], "c"), ("arrayOptions", "none of", ["y"], "b c"),
        ("arrayOptions", "none of", [], "a b c"), ("arrayOptions", "all of", ["x", "y"], "a"),
        ("arrayOptions", "all of", ["x", "x"], "a b"), ("arrayOptions", "all of", ["x", "z"], ""),
        ("arrayOptions", "all of", [], "a b c"), ("null", "is null", "", "c"), ("null", "is not null", "", "a b"),
    ],
    "bookmarked": [
        ("boolean", "=", False, "a b c"), ("boolean", "=", True, ""), ("boolean", "<>", True, "a b c"),
        ("boolean", "<>", False, ""),
    ],
    "level": [
        ("string", "=", "ERROR", "a"), ("string", "=", "DEFAULT", "b"), ("stringOptions", "any of", ["DEBUG"], "c"),
        ("stringOptions", "none of", ["ERROR"], "b c"),
    ],
    "warningCount": [("number", "=", 1, "a"), ("number", "=", 0, "b c"), ("number", ">", 0.5, "a")],
    "errorCount": [("number", ">=", 1, "a"), ("number", "<", 1, "b c")],
    "defaultCount": [("number", "=", 1, "b")],
    "debugCount": [("number", "<=", 1, "a b c"), ("number", ">", 0, "c")],
    "latency": [
        ("number", ">", 1, "a"), ("number", "=", 0.1, "b"), ("number", "<", 0.1, "c"), ("number", "<=", 0.1, "b c"),
        ("number", "<", 10**30, "a b c"), ("number", ">", -(10**400), "a b c"), ("null", "is null", "", ""),
    ],
    "inputTokens": [("number", "=", 10, "a"), ("number", "<", 10, "b c")],
    "outputTokens": [("number", ">=", 20, "a")],
    "totalTokens": [("number", "=", 30, "a"), ("number", ">", 30, "")],
    "inputCost": [("number", "=", 0.5, "a")],
    "outputCost": [("number", ">", 1, "a")],
    "totalCost": [("number", ">=", 2, "a"), ("number", ">", 2.0, "")],
    "metadata": [
        ("stringObject", "=", "pro", "tier", "a"), ("stringObject", "contains", "r", "tier", "a b"),
        ("stringObject", "does not contain", "pro", "tier", "b c"), ("stringObject", "starts with", "f", "tier", "b"),
        ("stringObject", "ends with", "o", "tier", "a"), ("stringObject", "=", "5", "n", "a"),
        ("stringObject", "=", "", "tier", "c"), ("stringObject", "=", '{"k":[1,2]}', "deep", "c"),
        ("stringObject", "=", "x", 'ti"er', ""), ("numberObject", ">", 5, "n", "b"), ("numberObject", "=", 5, "n", "a"),
        ("numberObject", "<", 0, "tier", ""), ("categoryOptions", "any of", ["pro", "free"], "tier", "a b"),
        ("categoryOptions", "none of", ["pro"], "tier", "b c"), ("null", "is null", "", ""),
    ],
    "scores_avg": [
        ("numberObject", "=", 0.5, "acc", "a"), ("numberObject", ">", 0.5, "acc", "b"),
        ("numberObject", ">=", 0.5, "acc", "a b"), ("numberObject", "<", 0.5, "acc", ""),
        ("numberObject", "<=", 10, "none", ""), ("numberObject", "=", 1, "ok", "a"), ("null", "is null", "", ""),
    ],
    "score_categories": [
        ("categoryOptions", "any of", ["good", "bad"], "mood", "a b"), ("categoryOptions", "any of", ["good"], "mood", "a"),
        ("categoryOptions", "none of", ["good"], "mood", "b c"), ("categoryOptions", "any of", ["good"], "acc", ""),
        ("categoryOptions", "any of", [], "mood", ""), ("null", "is not null", "", "a b c"),
    ],
    "score_booleans": [
        ("booleanObject", "=", True, "ok", "a"), ("booleanObject", "=", False, "ok", "b"),
        ("booleanObject", "<>", True, "ok", "b"), ("booleanObject", "=", True, "acc", ""), ("null", "is null", "", ""),
    ],
}  # fmt: skip
OBSERVATIONS = {
    "id": [("string", "=", "a2", "a2"), ("stringOptions", "none of", ["a1", "b1"], "a2 c1")],
    "type": [("string", "=", "GENERATION", "a2"), ("stringOptions", "any of", ["SPAN"], "a1 b1 c1")],
    "name": [("string", "starts with", "chat", "a1 b1"), ("string", "ends with", "m", "a2")],
    "environment": [("string", "=", "prod", "a1 a2"), ("stringOptions", "none of", ["prod"], "b1 c1")],
    "userId": [("string", "=", "ann", "a1 a2"), ("null", "is null", "", "c1")],
    "sessionId": [("string", "=", "s-1", "a1 a2"), ("null", "is null", "", "b1 c1")],
    "version": [("string", "=", "1.0", "a1 a2"), ("null", "is null", "", "b1 c1")],
    "level": [("string", "=", "WARNING", "a1"), ("stringOptions", "any of", ["ERROR", "DEBUG"], "a2 c1")],
    "metadata": [
        ("stringObject", "=", "free", "tier", "b1"), ("stringObject", "does not contain", "r", "tier", "a2 c1"),
        ("numberObject", ">=", 5, "n", "a1 b1"), ("categoryOptions", "any of", ["pro"], "tier", "a1"),
    ],
    "latency": [("number", ">", 0.1, "a1 a2"), ("number", "=", 0.5, "a2"), ("number", "<=", 0.05, "c1")],
    "inputTokens": [("number", "=", 10, "a2"), ("null", "is null", "", "a1 b1 c1")],
    "outputTokens": [("number", "<", 21, "a2")],
    "totalTokens": [("number", ">=", 30, "a2")],
    "inputCost": [("number", "<=", 0.5, "a2")],
    "outputCost": [("number", "=", 1.5, "a2")],
    "totalCost": [("number", ">", 1.99, "a2")],
    "scores_avg": [("numberObject", "=", 0.75, "acc", "a2"), ("numberObject", "<", 0.75, "acc", "")],
    "score_categories": [
        ("categoryOptions", "any of", ["good", "bad"], "mood", "a2"),
        ("categoryOptions", "none of", ["good"], "mood", "a1 b1 c1"),
    ],
    "score_booleans": [("booleanObject", "=", True, "ok", "a2"), ("booleanObject", "<>", True, "ok", "")],
    "traceId": [("string", "=", "a", "a1 a2"), ("stringOptions", "any of", ["b", "c"], "b1 c1")],
    "traceName": [("string", "=", "chat", "a1 a2"), ("string", "contains", "bot", "b1")],
    "traceEnvironment": [("stringOptions", "any of", ["staging"], "b1")],
    "traceTags": [
        ("arrayOptions", "any of", ["x"], "a1 a2 b1"), ("arrayOptions", "all of", ["x", "y"], "a1 a2"),
        ("arrayOptions", "none of", ["y"], "b1 c1"), ("null", "is null", "", "c1"),
        ("null", "is not null", "", "a1 a2 b1"),
    ],
    "parentObservationId": [("string", "=", "a1", "a2"), ("null", "is null", "", "a1 b1 c1")],
    "startTime": [("datetime", ">", "2025-11-20T10:00:00Z", "a2 b1 c1"), ("datetime", "<=", "2025-11-20T10:00:00.1Z", "a1 a2")],
    "endTime": [("datetime", "<", "2025-11-20T10:00:01Z", "a2"), ("datetime", ">=", "2025-11-20T10:00:09.050Z", "c1")],
    "timeToFirstToken": [("number", "=", 0.25, "a2"), ("null", "is null", "", "a1 b1 c1")],
    "tokensPerSecond": [("number", "=", 40, "a2")],
    "statusMessage": [("string", "contains", "care", "a1"), ("null", "is not null", "", "a1")],
    "model": [("string", "=", "m-1", "a2"), ("string", "starts with", "m", "a2"), ("null", "is null", "", "a1 b1 c1")],
    "modelId": [("string", "=", "m-1", ""), ("null", "is null", "", "a1 a2 b1 c1")],
    "promptName": [("string", "=", "p", "a2")],
    "promptVersion": [("number", "=", 3, "a2"), ("number", "<", 3, "")],
    "toolDefinitions": [("number", "=", 0, "a1 a2 b1 c1")],
    "toolCalls": [("number", ">", 0, "")],
    "toolNames": [("arrayOptions", "any of", ["x"], ""), ("arrayOptions", "none of", ["x"], "a1 a2 b1 c1")],
    "calledToolNames": [("arrayOptions", "all of", ["x"], ""), ("arrayOptions", "all of", [], "a1 a2 b1 c1")],
}  # fmt: skip
CASES = [
    (scope, column, row)
    for scope, table in (("traces", TRACES), ("observations", OBSERVATIONS))
    for column, rows in table.items()
    for row in rows
]


@pytest.mark.parametrize(("scope", "column", "row"), CASES)
def test_a_condition_finds_what_it_says(store, scope, column, row):
    *what, ids = row

    assert found(store, scope, condition(what, column)) == ids


def test_the_tables_above_have_every_column_type_and_operator():
    assert {scope: set(table) for scope, table in (("traces", TRACES), ("observations", OBSERVATIONS))} == {
        scope: set(columns) for scope, columns in COLUMNS.items()
    }
    used = {(row[0], row[1]) for _, _, row in CASES}
    assert used == {(kind, operator) for kind, row in TYPES.items() for operator in row[0] if kind != "positionInTrace"}
    for scope, table in (("traces", TRACES), ("observations", OBSERVATIONS)):
        fitting = {column: {row[0] for row in rows} - {"null"} for column, rows in table.items()}
        for column, kinds in fitting.items():
            assert all(COLUMNS[scope][column] in TYPES[kind][3] for kind in kinds)


def test_all_conditions_must_hold(store):
    chat = {"type": "string", "column": "name", "operator": "contains", "value": "chat"}
    bob = {"type": "string", "column": "userId", "operator": "=", "value": "bob"}

    assert found(store, "traces", chat, bob) == "b"
    assert found(store, "traces", chat, chat) == "a b"


@pytest.mark.parametrize("scope", ["traces", "observations"])
def test_as_many_conditions_as_are_allowed_work(store, scope):
    one = {"type": "stringObject", "column": "metadata", "key": "tier", "operator": "=", "value": "pro"}
    many = {"type": "stringOptions", "column": "id", "operator": "any of", "value": [str(i) for i in range(140)]}

    assert found(store, scope, *[one] * 200) == ("a" if scope == "traces" else "a1")
    assert found(store, scope, *[many] * 200) == ""


def test_the_latency_that_is_shown_is_the_one_that_is_compared():
    """An observation without an end counts with its start."""
    with LocalTransport() as store:
        times = [
            {"startTime": "2025-11-20T10:00:00Z", "endTime": "2025-11-20T10:00:01Z"},
            {"startTime": "2025-11-20T10:00:09Z"},
        ]
        bodies = [("trace-create", {"id": "t"})]
        bodies += [("span-create", {"id": f"o{n}", "traceId": "t", **each}) for n, each in enumerate(times)]
        now = "2025-11-20T10:00:00Z"
        batch = [{"id": body["id"], "timestamp": now, "type": kind, "body": body} for kind, body in bodies]
        assert call(store, "POST", "ingestion", {"batch": batch})[0] == 207

        assert call(store, "GET", "traces/t")[1]["latency"] == 9.0
        assert found(store, "traces", {"type": "number", "column": "latency", "operator": "=", "value": 9}) == "t"


def test_long_lists_of_options_work_up_to_a_bound(store):
    options = [str(number) for number in range(29_000)]
    some = {"type": "stringOptions", "column": "id", "operator": "any of", "value": ["a", *options]}

    assert found(store, "traces", some) == "a"
    status, answer = call(store, "GET", "traces", filter=json.dumps([{**some, "value": options * 2}]))
    assert (status, answer["error"][0]["code"]) == (400, "too_big")


def test_a_filter_beats_the_plain_parameter_of_its_column_only(store):
    bot = {"type": "string", "column": "name", "operator": "=", "value": "chat bot"}
    late = {"type": "datetime", "column": "timestamp", "operator": ">", "value": "2025-11-20T10:00:04Z"}

    assert found(store, "traces", bot, name="chat") == "b"
    assert found(store, "traces", bot, userId="ann") == ""
    assert found(store, "traces", late, toTimestamp="2025-11-20T10:00:00Z") == "b c"
    assert found(store, "traces", {**bot, "column": "Name"}, name="chat") == "b"


def test_filtered_pages_count_what_matches(store):
    chat = json.dumps([{"type": "string", "column": "name", "operator": "contains", "value": "chat"}])

    _, answer = call(store, "GET", "traces", filter=chat, limit="1", page="2")

    assert [row["id"] for row in answer["data"]] == ["a"]
    assert answer["meta"] == {"page": 2, "limit": 1, "totalItems": 2, "totalPages": 2}


@pytest.mark.parametrize("scope", ["traces", "observations"])
def test_positions_in_a_trace_are_taken_and_change_nothing(store, scope):
    """As on the servers seen: their public lists read the condition and leave it out."""
    position = {"type": "positionInTrace", "column": "x", "operator": "=", "key": "root"}

    assert found(store, scope, position) == found(store, scope)


@pytest.mark.parametrize("scope", ["traces", "observations"])
@pytest.mark.parametrize(
    "text", ['{"tags": ["production"]}', "null", "{", '"x"', '[{"type":"string"}]',
             '[{"type":"string","column":"input","operator":"=","value":"x"}]',
             '[{"type":"string","column":"tags","operator":"=","value":"x"}]',
             '[{"type":"null","column":"name","operator":"is null"}]'],
)  # fmt: skip
def test_a_filter_that_is_no_filter_is_a_400_and_never_a_wider_list(store, scope, text):
    status, answer = call(store, "GET", scope, filter=text)

    assert status == 400
    assert set(answer) == {"message", "error"}


def test_a_filter_that_is_given_twice_is_refused(store):
    request = Request("GET", "/api/public/traces", query=(("filter", "[]"), ("filter", "[]")))

    assert store.send(request).status == 400


@pytest.mark.parametrize("value", ["\ud800", "a\0b", "'; DROP TABLE traces; --", "\U0001f600"])
def test_any_text_can_be_asked_for(store, value):
    for kind in ("=", "contains", "ends with"):
        assert found(store, "traces", condition(("string", kind, value), "name")) == ""
    assert found(store, "traces", condition(("stringObject", "=", "x", value), "metadata")) == ""


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({}, "traces_by_start"),
        ({"filter": [("datetime", ">", "2025-11-20T10:00:05Z", "timestamp")]}, "traces_by_start"),
        ({"filter": [("string", "=", "chat", "name")]}, "traces_by_name"),
        ({"filter": [("string", "=", "a", "id")]}, "sqlite_autoindex_traces_1"),
        ({"filter": [("stringOptions", "any of", ["a", "b"], "id")]}, "sqlite_autoindex_traces_1"),
        ({"filter": [("arrayOptions", "all of", ["x"], "tags")]}, "sqlite_autoindex_traces_1"),
    ],
)
def test_common_lists_use_an_index_and_no_sorting_of_all(store, query, index):
    conditions = [condition(row[:3], row[3]) for row in query.get("filter", ())]
    statements = []
    store.totals = Totals()  # other tests left totals that need no counting
    store.database._connection.set_trace_callback(statements.append)
    found(store, "traces", *conditions)
    store.database._connection.set_trace_callback(None)
    plans = []
    for statement in statements:
        if "FROM traces t" in statement:
            plan = store.database._connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            plans.append(" / ".join(row[-1] for row in plan))

    counting, reading = plans
    assert "INDEX" in counting
    assert index in reading
    if index in ("traces_by_start", "traces_by_name"):
        assert "USE TEMP B-TREE FOR ORDER BY" not in reading
