"""Traces and observations in the embedded store: made from spans and events, read one by one and in lists."""
from __future__ import annotations

import base64
import gzip
import json
import tracemalloc

import pytest

from interactiveai_eval._clock import Clock
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport

OTLP = "otel/v1/traces"
START = 1_763_632_800_000_000_000  # 2025-11-20T10:00:00Z


class FixedClock(Clock):
    """A clock that stands still until it is moved."""

    ns = START

    def time_ns(self):
        return self.ns


@pytest.fixture
def store():
    with LocalTransport(clock=FixedClock()) as store:
        yield store


def call(store, method, path, body=None, headers=(), **query):
    """(status, decoded JSON body) of one request; a list as value repeats the parameter."""
    pairs = [(name, each) for name, value in query.items() for each in (value if isinstance(value, list) else [value])]
    encoded = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    request = Request(method, f"/api/public/{path}", query=tuple(pairs), headers=dict(headers), body=encoded)
    response = store.send(request)
    return response.status, json.loads(response.body)


def attribute(key, value):
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [{"stringValue": each} for each in value]}}}
    kind = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}[type(value)]
    return {"key": key, "value": {kind: value}}


def span(trace="t1", id="s1", parent="", name="work", start=0, end=1000, status=None, events=(), **attributes):
    """One span; times in milliseconds after `START`, `__` in names of attributes is a dot."""
    return {
        "traceId": trace,
        "spanId": id,
        "parentSpanId": parent,
        "name": name,
        "startTimeUnixNano": str(START + start * 1_000_000),
        "endTimeUnixNano": str(START + end * 1_000_000),
        "attributes": [attribute(key.replace("__", "."), value) for key, value in attributes.items()],
        "status": status or {},
        "events": [{"name": name, "attributes": [attribute(*pair) for pair in said.items()]} for name, said in events],
    }


def export(store, *spans, resource=None, scope="test"):
    body = {
        "resourceSpans": [
            {
                "resource": {"attributes": [attribute(*pair) for pair in (resource or {}).items()]},
                "scopeSpans": [{"scope": {"name": scope, "version": "1"}, "spans": list(spans)}],
            }
        ]
    }
    assert call(store, "POST", OTLP, body, {"content-type": "application/json"}) == (200, {})


def trace(store, id="t1"):
    status, found = call(store, "GET", f"traces/{id}")
    assert status == 200
    return found


def observation(store, id="s1"):
    status, found = call(store, "GET", f"observations/{id}")
    assert status == 200
    return found


def listed(store, path="traces", **query):
    """The ids of a list."""
    status, found = call(store, "GET", path, **query)
    assert status == 200, found
    return [row["id"] for row in found["data"]]


def picked(found, *names):
    return {name: found[name] for name in names}


def test_a_root_span_makes_a_trace_and_an_observation(store):
    export(
        store,
        span(
            langfuse__observation__type="agent",
            langfuse__observation__input='{"q": 1}',
            langfuse__observation__output="done",
            langfuse__observation__metadata__tier="pro",
            langfuse__environment="staging",
            langfuse__version="v2",
            user__id="u",
            session__id="se",
            other="kept",
            number=5,
        ),
        resource={"service.name": "svc", "langfuse.release": "r1"},
    )

    metadata = {
        "tier": "pro",
        "attributes": {"other": "kept", "number": "5"},
        "resourceAttributes": {"service.name": "svc", "langfuse.release": "r1"},
        "scope": {"name": "test", "version": "1", "attributes": {}},
    }
    assert observation(store) == {
        "id": "s1", "traceId": "t1", "projectId": "local-project", "type": "AGENT", "name": "work",
        "startTime": "2025-11-20T10:00:00.000Z", "endTime": "2025-11-20T10:00:01.000Z", "completionStartTime": None,
        "parentObservationId": None, "level": "DEFAULT", "statusMessage": None, "environment": "staging",
        "version": "v2", "input": {"q": 1}, "output": "done", "metadata": metadata, "model": None,
        "modelParameters": None, "modelId": None, "promptId": None, "promptName": None, "promptVersion": None,
        "usage": {"unit": "TOKENS", "input": 0, "output": 0, "total": 0,
                  "inputCost": None, "outputCost": None, "totalCost": None},
        "usageDetails": {}, "costDetails": {}, "inputPrice": None, "outputPrice": None, "totalPrice": None,
        "calculatedInputCost": None, "calculatedOutputCost": None, "calculatedTotalCost": None, "latency": 1.0,
        "timeToFirstToken": None, "createdAt": "2025-11-20T10:00:00.000Z", "updatedAt": "2025-11-20T10:00:00.000Z",
    }  # fmt: skip
    expected = {
        "id": "t1", "timestamp": "2025-11-20T10:00:00.000Z", "name": "work", "input": {"q": 1}, "output": "done",
        "sessionId": "se", "release": "r1", "version": "v2", "userId": "u", "metadata": metadata, "tags": [],
        "public": False, "bookmarked": False, "environment": "staging", "projectId": "local-project",
        "externalId": None, "htmlPath": "/project/local-project/traces/t1", "latency": 1.0, "totalCost": 0.0,
        "observations": ["s1"], "scores": [], "createdAt": "2025-11-20T10:00:00.000Z",
        "updatedAt": "2025-11-20T10:00:00.000Z",
    }  # fmt: skip
    assert call(store, "GET", "traces")[1]["data"] == [expected]
    assert trace(store) == {**expected, "observations": [observation(store)]}


def test_everything_of_a_generation_is_read(store):
    export(
        store,
        span(
            langfuse__observation__type="generation",
            langfuse__observation__model__name="m-1",
            langfuse__observation__model__parameters='{"temperature": 0.5}',
            langfuse__observation__usage_details='{"input": 3, "input_cached": 2, "output": 4}',
            langfuse__observation__cost_details='{"input": 0.25, "output": 0.5}',
            langfuse__observation__prompt__name="p",
            langfuse__observation__prompt__version=7,
            langfuse__observation__completion_start_time='"2025-11-20T10:00:00.250Z"',
            langfuse__observation__level="WARNING",
            langfuse__observation__status_message="slow",
        ),
    )

    found = observation(store)
    assert picked(found, "type", "model", "modelParameters", "promptName", "promptVersion") == {
        "type": "GENERATION",
        "model": "m-1",
        "modelParameters": {"temperature": 0.5},
        "promptName": "p",
        "promptVersion": 7,
    }
    assert found["usageDetails"] == {"input": 3, "input_cached": 2, "output": 4, "total": 9}
    assert found["costDetails"] == {"input": 0.25, "output": 0.5, "total": 0.75}
    assert found["usage"] == {
        "unit": "TOKENS", "input": 5, "output": 4, "total": 9, "inputCost": 0.25, "outputCost": 0.5, "totalCost": 0.75,
    }  # fmt: skip
    assert (found["completionStartTime"], found["timeToFirstToken"]) == ("2025-11-20T10:00:00.250Z", 0.25)
    assert (found["level"], found["statusMessage"]) == ("WARNING", "slow")
    assert trace(store)["totalCost"] == 0.75


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({}, "SPAN"), ({"langfuse.observation.type": "tool"}, "TOOL"), ({"langfuse.observation.type": "nonsense"}, "SPAN"),
        ({"langfuse.observation.type": ["tool"]}, "SPAN"), ({"openinference.span.kind": "LLM"}, "GENERATION"),
        ({"openinference.span.kind": "RETRIEVER"}, "RETRIEVER"), ({"gen_ai.operation.name": "chat"}, "GENERATION"),
        ({"gen_ai.operation.name": "execute_tool"}, "TOOL"), ({"gen_ai.request.model": "m"}, "GENERATION"),
        ({"langfuse.observation.type": "chain", "gen_ai.request.model": "m"}, "CHAIN"),
    ],
)  # fmt: skip
def test_the_type_comes_from_whoever_names_it(store, attributes, kind):
    export(store, span(**attributes))

    assert observation(store)["type"] == kind


def test_attributes_of_other_conventions_are_understood(store):
    export(
        store,
        span(**{
            "gen_ai.response.model": "m-2", "gen_ai.request.model": "m", "input.value": "in", "output.value": "out",
            "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": "4", "gen_ai.conversation.id": "c",
            "deployment.environment.name": "prod",
        }),
    )  # fmt: skip

    found = observation(store)
    assert picked(found, "model", "input", "output", "environment") == {
        "model": "m-2", "input": "in", "output": "out", "environment": "prod",
    }  # fmt: skip
    assert found["usageDetails"] == {"input": 3, "output": 4, "total": 7}
    assert trace(store)["sessionId"] == "c"
    assert found["metadata"]["attributes"]["gen_ai.request.model"] == "m"


def test_a_child_says_nothing_about_the_trace_but_its_time(store):
    export(
        store,
        span(id="child", parent="s1", name="child", start=-500, langfuse__observation__input="c", langfuse__version="9"),
        span(name="root", langfuse__observation__input="r"),
    )

    found = trace(store)
    assert picked(found, "name", "input", "version", "timestamp", "latency") == {
        "name": "root",
        "input": "r",
        "version": None,
        "timestamp": "2025-11-20T09:59:59.500Z",
        "latency": 1.5,
    }
    assert [each["id"] for each in found["observations"]] == ["child", "s1"]


TRACE_LEVEL = {
    "langfuse.trace.name": "given",
    "langfuse.trace.input": "tin",
    "langfuse.trace.output": "tout",
    "langfuse.trace.tags": ["b", "a", "b"],
    "langfuse.trace.public": True,
    "langfuse.trace.metadata.k": "v",
    "user.id": "u",
    "session.id": "se",
    "langfuse.release": "r",
}
SAID = {
    "name": "given", "input": "tin", "output": "tout", "tags": ["a", "b"], "public": True, "userId": "u",
    "sessionId": "se", "release": "r",
}  # fmt: skip


@pytest.mark.parametrize("carrier", ["root", "child"])
@pytest.mark.parametrize("order", ["root first", "child first", "together"])
def test_what_is_said_of_the_trace_beats_its_root_span_in_any_order(store, carrier, order):
    root = span(id="root", name="root", langfuse__observation__input="r", **(TRACE_LEVEL if carrier == "root" else {}))
    child = span(id="child", parent="root", name="child", **(TRACE_LEVEL if carrier == "child" else {}))
    if order == "together":
        export(store, child, root)
    else:
        for each in (root, child) if order == "root first" else (child, root):
            export(store, each)

    found = trace(store)
    assert picked(found, *SAID) == SAID
    assert found["metadata"]["k"] == "v"
    assert listed(store, tags="a") == ["t1"]


def test_a_trace_without_its_root_has_what_is_known(store):
    export(
        store,
        span(parent="elsewhere", start=10, langfuse__environment="prod"),
        resource={"langfuse.release": "r"},
    )

    assert picked(trace(store), "name", "environment", "release", "timestamp") == {
        "name": None,
        "environment": "prod",
        "release": "r",
        "timestamp": "2025-11-20T10:00:00.010Z",
    }


def test_a_span_can_be_the_root_although_it_has_a_parent(store):
    export(store, span(parent="remote", name="entry", langfuse__internal__as_root=True))

    assert trace(store)["name"] == "entry"
    assert observation(store)["parentObservationId"] == "remote"


def test_the_same_span_again_replaces_the_observation(store):
    first = span(name="old", langfuse__observation__output="1", langfuse__observation__model__name="m", k="old")
    export(store, first)
    export(store, span(name="new", langfuse__observation__input="2"))

    found = observation(store)
    assert picked(found, "name", "input", "output", "model") == {
        "name": "new", "input": 2, "output": None, "model": None,
    }  # fmt: skip
    assert "attributes" not in found["metadata"]
    assert picked(trace(store), "name", "input", "output") == {"name": "new", "input": 2, "output": 1}
    assert call(store, "GET", "observations")[1]["meta"]["totalItems"] == 1


def test_an_export_that_is_sent_twice_changes_nothing(store):
    spans = [span(id="root", **TRACE_LEVEL), span(id="child", parent="root", k="v")]
    export(store, *spans)
    before = trace(store)
    export(store, *spans)

    assert trace(store) == before


def test_twice_the_same_span_in_one_export_is_the_later_one(store):
    export(store, span(name="first", langfuse__observation__model__name="m"), span(name="second"))

    assert picked(observation(store), "name", "model") == {"name": "second", "model": None}


@pytest.mark.parametrize(
    ("tags", "read"),
    [(["b", "a", "a"], ["a", "b"]), ('["x", "w"]', ["w", "x"]), ("one", ["one"]), ("b, a", ["a", "b"]), ([], [])],
)
def test_tags_come_in_several_notations_and_are_sorted_and_unique(store, tags, read):
    export(store, span(langfuse__trace__tags=tags))

    assert trace(store)["tags"] == read


def test_tags_and_metadata_of_later_spans_are_added(store):
    export(store, span(id="a", langfuse__trace__tags=["x"], langfuse__trace__metadata__one="1"))
    export(store, span(id="b", parent="a", langfuse__trace__tags=["y"], langfuse__trace__metadata__two="2"))

    found = trace(store)
    assert found["tags"] == ["x", "y"]
    assert picked(found["metadata"], "one", "two") == {"one": 1, "two": 2}


def test_a_failed_span_is_an_error_with_its_exception(store):
    said = {"exception.type": "ValueError", "exception.message": "boo"}
    export(store, span(status={"code": 2, "message": "ValueError: boo"}, events=[("exception", said), ("other", {})]))

    found = observation(store)
    assert (found["level"], found["statusMessage"]) == ("ERROR", "ValueError: boo")
    assert found["metadata"]["events"] == [{"name": "exception", "attributes": said}]


EXPERIMENT = {
    "langfuse.experiment.id": "run-1", "langfuse.experiment.name": "n", "langfuse.experiment.item.id": "7",
    "langfuse.experiment.metadata": '{"m": 1}', "langfuse.experiment.item.expected_output": "5",
}  # fmt: skip


@pytest.mark.parametrize(("scope", "others"), [("ours", {"k": "v"}), ("langfuse-sdk", {}), ("langfuse-sdk-js", {})])
def test_experiments_stay_readable_in_every_scope_other_attributes_not_in_all(store, scope, others):
    export(store, span(**EXPERIMENT, k="v"), scope=scope)

    assert observation(store)["metadata"]["attributes"] == {**EXPERIMENT, **others}
    assert trace(store)["metadata"]["attributes"] == {**EXPERIMENT, **others}


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("true", True), ("null", None), ('{"j":1}', {"j": 1}), ("[1]", [1]), ('"quoted"', "quoted"), ("1.5", 1.5),
     ("plain", "plain"), ("{broken", "{broken"), ("007", "007"), ("NaN", "NaN"), ("", ""), (" 7 ", 7), ("-", "-"),
     ("12345678901234567890", "12345678901234567890"), ("1e999", "1e999"), ("[" * 300, "[" * 300)],
)  # fmt: skip
def test_text_that_looks_like_json_changes_its_type(store, text, value):
    export(store, span(langfuse__observation__input=text, langfuse__observation__metadata__m=text))

    for found in (observation(store), trace(store), call(store, "GET", "traces")[1]["data"][0]):
        assert found["input"] == value
        assert found["metadata"]["m"] == value


def test_typed_attributes_keep_their_type_as_input(store):
    export(store, span(langfuse__observation__input=5, langfuse__observation__output=True))

    assert picked(observation(store), "input", "output") == {"input": 5, "output": True}


@pytest.mark.parametrize(("metadata", "read"), [('{"a": 1, "b": "2"}', {"a": 1, "b": 2}), ("text", {"metadata": "text"})])
def test_metadata_in_one_attribute_is_an_object(store, metadata, read):
    export(store, span(langfuse__observation__metadata=metadata, langfuse__observation__metadata__b="x"))

    found = observation(store)["metadata"]
    assert {key: value for key, value in found.items() if key not in ("resourceAttributes", "scope")} == {**read, "b": "x"}


def test_metadata_of_the_trace_can_stand_in_one_attribute_too(store):
    export(store, span(id="child", parent="x", langfuse__trace__metadata='{"a": 1}', langfuse__trace__metadata__b="2"))

    assert picked(trace(store)["metadata"], "a", "b") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("prod", "prod"), ("sdk-experiment", "sdk-experiment"), ("Prod", "default"), ("a b", "default"), ("", "default"),
     ("langfuse-x", "default"), ("x" * 40, "x" * 40), ("x" * 41, "default"), (["prod"], "default")],
)  # fmt: skip
def test_invalid_environments_become_default(store, given, kept):
    export(store, span(langfuse__environment=given))

    assert observation(store)["environment"] == kept
    assert trace(store)["environment"] == kept


def test_a_nested_span_tells_the_version_of_its_trace_beside_another_update(store):
    """Alone, `langfuse.version` is the version of the span."""
    for trace_id, said in (("t1", {}), ("t2", {"user__id": "ann"}), ("t3", {"langfuse__trace__metadata__k": "v"})):
        export(store, span(trace_id, f"{trace_id}-nested", parent="root", langfuse__version="2", **said))
        export(store, span(trace_id, f"{trace_id}-root"))

    assert [trace(store, name)["version"] for name in ("t1", "t2", "t3")] == [None, "2", "2"]


def test_ids_of_spans_are_those_of_the_whole_store(store):
    """Real servers know an observation by its id and the project, too."""
    export(store, span("t1", "same", name="first"), span("t2", "same", name="second"))

    assert picked(observation(store, "same"), "name", "traceId") == {"name": "second", "traceId": "t2"}
    assert [trace(store, name)["name"] for name in ("t1", "t2")] == ["first", "second"]


def test_spans_without_times_have_the_time_of_arrival(store):
    for start, end in (("0", "0"), ("0", str(START + 10**9)), (str(START + 2 * 10**9), "0")):
        one = {**span(id=start + end), "startTimeUnixNano": start, "endTimeUnixNano": end}
        export(store, one)

    found = [picked(each, "startTime", "latency") for each in trace(store)["observations"]]
    assert found == [
        {"startTime": "2025-11-20T10:00:00.000Z", "latency": 0.0},
        {"startTime": "2025-11-20T10:00:01.000Z", "latency": 0.0},
        {"startTime": "2025-11-20T10:00:02.000Z", "latency": 0.0},
    ]


def test_latencies_are_exact_although_times_are_shown_in_milliseconds(store):
    one = {**span(), "startTimeUnixNano": str(START + 1), "endTimeUnixNano": str(START + 1_500_001)}
    export(store, one)

    assert picked(observation(store), "startTime", "endTime", "latency") == {
        "startTime": "2025-11-20T10:00:00.000Z",
        "endTime": "2025-11-20T10:00:00.001Z",
        "latency": 0.0015,
    }


JSON_EXPORT = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span()]}]}]}).encode()
# The same span in protobuf, written down once by the official classes.
PROTOBUF_EXPORT = base64.b64decode("CjgSNhI0ChCrq6urq6urq6urq6urq6urEgjNzc3Nzc3NzSoEd29yazkAQDr+r655GEEACtU5sK55GA==")


@pytest.mark.parametrize(
    ("content_type", "encoding", "body", "status"),
    [
        ("application/json", "", JSON_EXPORT, 200),
        ("application/json; charset=utf-8", "", JSON_EXPORT, 200),
        ("APPLICATION/JSON", "", JSON_EXPORT, 200),
        ("application/x-protobuf", "", PROTOBUF_EXPORT, 200),
        ("application/x-protobuf", "gzip", gzip.compress(PROTOBUF_EXPORT), 200),
        ("application/json", "gzip", gzip.compress(JSON_EXPORT), 200),
        ("application/json", "gzip", gzip.compress(JSON_EXPORT[:9]) + gzip.compress(JSON_EXPORT[9:]), 200),
        ("application/json", "gzip", gzip.compress(JSON_EXPORT)[:-9], 400),
        ("application/json", "gzip", JSON_EXPORT, 400),
        ("application/json", "deflate", gzip.compress(JSON_EXPORT), 400),
        ("application/x-protobuf", "gzip", PROTOBUF_EXPORT, 400),
        ("application/protobuf", "", PROTOBUF_EXPORT, 400),
        ("application/octet-stream", "", PROTOBUF_EXPORT, 400),
        ("text/plain", "", JSON_EXPORT, 400),
        ("", "", JSON_EXPORT, 400),
        ("application/json", "", PROTOBUF_EXPORT, 400),
        ("application/x-protobuf", "", JSON_EXPORT, 400),
        ("application/json", "", b"{}", 200),
        ("application/x-protobuf", "", b"", 200),
    ],
)
def test_exports_come_as_json_or_protobuf_plain_or_gzipped(store, content_type, encoding, body, status):
    headers = {"content-type": content_type, "content-encoding": encoding}

    found, answer = call(store, "POST", OTLP, body, headers)

    assert found == status
    assert answer == {} if status == 200 else list(answer) == ["error"]
    count = 1 if status == 200 and len(body) > 2 else 0
    assert call(store, "GET", "observations")[1]["meta"]["totalItems"] == count


def test_one_bad_span_refuses_the_whole_export(store):
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span(), {**span(), "traceId": 5}]}]}]}

    assert call(store, "POST", OTLP, body, {"content-type": "application/json"})[0] == 400
    assert listed(store) == []


@pytest.mark.parametrize(("version", "status"), [("4", 200), ("1", 200), ("5", 400), ("new", 400), ("", 200)])
def test_newer_ingestion_versions_are_refused(store, version, status):
    headers = {"content-type": "application/json", "x-langfuse-ingestion-version": version}

    assert call(store, "POST", OTLP, JSON_EXPORT, headers)[0] == status
    assert call(store, "POST", OTLP, b"{}", headers)[0] == 200


def test_many_gzip_members_do_not_each_copy_what_follows(store):
    """S71: what was copied for each of them grew with the square of the body."""
    body = gzip.compress(b"") * 20_000 + gzip.compress(JSON_EXPORT)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    tracemalloc.start()
    try:
        status, _ = call(store, "POST", OTLP, body, headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert status == 200 and peak < len(body) / 2


def test_a_gzip_bomb_takes_no_more_memory_than_an_export_may(store, monkeypatch):
    limit = 12 * 2**20
    monkeypatch.setattr("interactiveai_eval.transports.local.ingestion._LARGEST_INFLATED_BYTES", limit)
    body = gzip.compress(bytes(4 * limit), 1)
    tracemalloc.start()
    try:
        status, answer = call(store, "POST", OTLP, body, {"content-type": "application/json", "content-encoding": "gzip"})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert status == 400 and "too large" in str(answer) and peak < limit + 8 * 2**20


def test_a_gzip_bomb_is_refused(store, monkeypatch):
    monkeypatch.setattr("interactiveai_eval.transports.local.ingestion._LARGEST_INFLATED_BYTES", 10_000)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}

    status, answer = call(store, "POST", OTLP, gzip.compress(b" " * 100_000), headers)

    assert (status, list(answer)) == (400, ["error"])


@pytest.mark.parametrize("path", ["traces/none", "observations/none"])
def test_what_is_not_there_is_not_found(store, path):
    status, answer = call(store, "GET", path)

    assert status == 404
    assert answer["error"] == "LangfuseNotFoundError"


@pytest.fixture
def seven(store):
    """Traces t0 to t6, a second apart, each with one span; t0 is the oldest."""
    export(store, *[span(f"t{i}", f"s{i}", name=f"n{6 - i}", start=1000 * i, end=1000 * i + 10 * i) for i in range(7)])
    return store


@pytest.mark.parametrize(("path", "letter"), [("traces", "t"), ("observations", "s")])
def test_lists_are_newest_first_and_in_pages(seven, path, letter):
    _, first = call(seven, "GET", path, page="1", limit="3")
    _, third = call(seven, "GET", path, page="3", limit="3")

    assert [row["id"] for row in first["data"]] == [f"{letter}6", f"{letter}5", f"{letter}4"]
    assert first["meta"] == {"page": 1, "limit": 3, "totalItems": 7, "totalPages": 3}
    assert [row["id"] for row in third["data"]] == [f"{letter}0"]
    assert call(seven, "GET", path, page="4", limit="3")[1] == {
        "data": [],
        "meta": {"page": 4, "limit": 3, "totalItems": 7, "totalPages": 3},
    }


@pytest.mark.parametrize("path", ["traces", "observations", "scores", "v2/scores", "v2/datasets", "dataset-items"])
def test_an_empty_list_has_no_pages(store, path):
    assert call(store, "GET", path) == (
        200,
        {"data": [], "meta": {"page": 1, "limit": 50, "totalItems": 0, "totalPages": 0}},
    )


@pytest.mark.parametrize("path", ["traces", "observations", "scores", "v2/scores", "v2/datasets", "dataset-items"])
@pytest.mark.parametrize(
    ("name", "value", "read"),
    [("limit", "100", 100), ("limit", "1", 1), ("limit", "", 50), ("page", "", 1), ("page", "9007199254740992", 2**53)],
)
def test_pages_and_limits_in_bounds_are_taken(store, path, name, value, read):
    status, answer = call(store, "GET", path, **{name: value})

    assert (status, answer["meta"][name]) == (200, read)


@pytest.mark.parametrize("path", ["traces", "observations", "scores", "v2/scores", "v2/datasets", "dataset-items"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "101"), ("limit", "0"), ("limit", "-1"), ("limit", "1.5"), ("limit", "abc"), ("limit", ["5", "5"]),
     ("page", "0"), ("page", "-1"), ("page", "x"), ("page", "9" * 30), ("limit", "\u0661")],
)  # fmt: skip
def test_pages_and_limits_out_of_bounds_are_refused(store, path, name, value):
    status, answer = call(store, "GET", path, **{name: value})

    assert status == 400
    assert answer["message"] == "Invalid request data"
    assert answer["error"][0]["path"] == [name]


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        ("timestamp.asc", "0123456"), ("timestamp.desc", "6543210"), ("timestamp.ASC", "0123456"), ("", "6543210"),
        ("name.asc", "6543210"), ("name.Desc", "0123456"), ("id.asc", "0123456"), ("userId.asc", "0123456"),
        ("release.desc", "6543210"), ("version.asc", "0123456"), ("public.asc", "0123456"),
        ("bookmarked.desc", "6543210"), ("sessionId.asc", "0123456"),
    ],
)  # fmt: skip
def test_traces_come_in_the_order_that_was_asked_for(seven, order, ids):
    assert listed(seven, orderBy=order) == [f"t{each}" for each in ids]


@pytest.mark.parametrize("order", ["timestamp", "timestamp.up", "latency.asc", "totalCost.asc", "createdAt.desc", ".asc",
                                   "timestamp.asc.desc", "start_ns.asc", "id;.asc"])  # fmt: skip
def test_other_orders_are_refused(seven, order):
    status, answer = call(seven, "GET", "traces", orderBy=order)

    assert status == 400
    if order.count(".") == 1 and order.split(".")[1] in ("asc", "desc"):
        assert answer["message"].startswith("Invalid order by column")


def test_observations_ignore_an_order(seven):
    assert listed(seven, "observations", orderBy="startTime.asc")[0] == "s6"
    assert listed(seven, "observations", orderBy="nonsense")[0] == "s6"


def test_unknown_parameters_are_ignored(seven):
    assert len(listed(seven, nonsense="1", more=["a", "b"])) == 7


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (None, {"input", "metadata", "observations", "scores", "metrics"}), ("core", set()), ("core,io", {"input", "metadata"}),
        ("scores", {"scores"}), ("observations,metrics", {"observations", "metrics"}), ("nonsense", set()),
        ("io,nonsense", {"input", "metadata"}), ("", {"input", "metadata", "observations", "scores", "metrics"}),
    ],
)  # fmt: skip
def test_fields_choose_what_is_worked_out(store, fields, expected):
    export(store, span(langfuse__observation__input="i"))
    call(store, "POST", "scores", {"name": "n", "value": 1, "traceId": "t1", "id": "sc"})

    _, answer = call(store, "GET", "traces", **({} if fields is None else {"fields": fields}))

    found = answer["data"][0]
    assert found["input"] == ("i" if "input" in expected else None)
    assert bool(found["metadata"]) == ("metadata" in expected)
    assert found["observations"] == (["s1"] if "observations" in expected else [])
    assert found["scores"] == (["sc"] if "scores" in expected else [])
    assert (found["latency"], found["totalCost"]) == ((1.0, 0.0) if "metrics" in expected else (-1, -1))
    assert found["name"] == "work"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"fromTimestamp": "2025-11-20T10:00:04Z"}, ["t6", "t5", "t4"]),
        ({"toTimestamp": "2025-11-20T10:00:02.000Z"}, ["t1", "t0"]),
        ({"fromTimestamp": "2025-11-20T12:00:02+02:00", "toTimestamp": "2025-11-20T10:00:04Z"}, ["t3", "t2"]),
        ({"fromTimestamp": "9999-12-31T23:59:59Z"}, []),
        ({"toTimestamp": "0001-01-01T00:00:00Z"}, []),
        ({"name": "n1"}, ["t5"]),
        ({"name": ""}, []),
    ],
)
def test_traces_between_two_times(seven, query, ids):
    assert listed(seven, **query) == ids


@pytest.mark.parametrize("value", ["2026-11-20T10:00:00", "2026-11-20", "", "now", "2026-02-31T10:00:00Z", "1763632800000"])
@pytest.mark.parametrize(
    ("path", "name"),
    [("traces", "fromTimestamp"), ("traces", "toTimestamp"), ("observations", "fromStartTime"),
     ("observations", "toStartTime"), ("scores", "fromTimestamp"), ("v2/scores", "toTimestamp")],
)  # fmt: skip
def test_times_need_a_zone(store, path, name, value):
    status, answer = call(store, "GET", path, **{name: value})

    assert status == 400
    assert answer["error"][0]["path"] == [name]


@pytest.fixture
def mixed(store):
    """Traces and observations that differ in everything that plain parameters can ask for."""
    export(
        store,
        span("a", "a1", name="one", user__id="u1", session__id="s1", langfuse__version="1", langfuse__release="r1",
             langfuse__trace__tags=["x", "y"], langfuse__environment="prod", start=0),
        span("b", "b1", name="two", user__id="u2", session__id="s2", langfuse__version="2", langfuse__release="r2",
             langfuse__trace__tags=["x"], langfuse__environment="staging", start=10),
        span("c", "c1", name="two", start=20),
        span("c", "c2", name="inner", parent="c1", start=30, langfuse__observation__type="tool",
             langfuse__observation__level="ERROR"),
    )  # fmt: skip
    return store


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"userId": "u1"}, "a"), ({"sessionId": "s2"}, "b"), ({"version": "1"}, "a"), ({"release": "r2"}, "b"),
        ({"name": "two"}, "cb"), ({"name": "two", "userId": "u2"}, "b"), ({"tags": "x"}, "ba"), ({"tags": "x,y"}, "a"),
        ({"tags": ["x", "y"]}, "a"), ({"tags": "z"}, ""), ({"environment": "prod"}, "a"),
        ({"environment": ["prod", "staging"]}, "ba"), ({"environment": "default,prod"}, "ca"), ({"userId": "U1"}, ""),
        ({"name": "%"}, ""), ({"userId": "' OR 1=1 --"}, ""),
    ],
)  # fmt: skip
def test_plain_parameters_of_traces(mixed, query, ids):
    assert listed(mixed, **query) == list(ids)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"traceId": "c"}, ["c2", "c1"]), ({"name": "two"}, ["c1", "b1"]), ({"type": "TOOL"}, ["c2"]),
        ({"level": "ERROR"}, ["c2"]), ({"parentObservationId": "c1"}, ["c2"]), ({"userId": "u1"}, ["a1"]),
        ({"version": "2"}, ["b1"]), ({"environment": "staging"}, ["b1"]),
        ({"fromStartTime": "2025-11-20T10:00:00.020Z"}, ["c2", "c1"]), ({"toStartTime": "2025-11-20T10:00:00.010Z"}, ["a1"]),
        ({"traceId": "c", "level": "DEFAULT"}, ["c1"]),
    ],
)  # fmt: skip
def test_plain_parameters_of_observations(mixed, query, ids):
    assert listed(mixed, "observations", **query) == ids


@pytest.mark.parametrize(("name", "value"), [("type", "tool"), ("type", "X"), ("level", "error"), ("level", "")])
def test_types_and_levels_are_words_that_servers_know(mixed, name, value):
    assert call(mixed, "GET", "observations", **{name: value})[0] == 400


# -- GET v2/observations -----------------------------------------------------------------------------------------------


def by_cursor(store, **query):
    """(ids, cursor) of one page."""
    status, found = call(store, "GET", "v2/observations", **query)
    assert status == 200, found
    return [row["id"] for row in found["data"]], found["meta"].get("cursor")


def test_a_cursor_leads_from_page_to_page_and_is_absent_on_the_last(seven):
    first, cursor = by_cursor(seven, limit="3")
    second, next_cursor = by_cursor(seven, limit="3", cursor=cursor)

    assert (first, second) == (["s6", "s5", "s4"], ["s3", "s2", "s1"])
    assert by_cursor(seven, limit="1", cursor=next_cursor) == (["s0"], None)
    assert by_cursor(seven, limit="7") == (["s6", "s5", "s4", "s3", "s2", "s1", "s0"], None)
    assert by_cursor(seven, cursor="") == (["s6", "s5", "s4", "s3", "s2", "s1", "s0"], None)


def test_rows_that_come_between_two_pages_repeat_and_hide_nothing(store):
    """Ties are told apart by their id; what comes before the cursor belongs to a page that was read."""
    export(store, *[span("t", id, start=0) for id in ("a", "c", "e", "g")])
    first, cursor = by_cursor(store, limit="2")
    export(store, span("t", "newer", start=1), span("t", "f", start=0), span("t", "b", start=0), span("t", "e", start=5))
    second, cursor = by_cursor(store, limit="2", cursor=cursor)

    assert (first, second) == (["g", "e"], ["c", "b"])
    assert by_cursor(store, limit="2", cursor=cursor) == (["a"], None)


def test_pages_by_cursor_are_filtered_like_pages_by_number(mixed):
    tools = json.dumps([{"type": "stringOptions", "column": "type", "operator": "any of", "value": ["TOOL"]}])

    assert by_cursor(mixed, filter=tools) == (["c2"], None)
    assert by_cursor(mixed, traceId="c", level="DEFAULT") == (["c1"], None)
    assert by_cursor(mixed, fromStartTime="2025-11-20T10:00:00.020Z") == (["c2", "c1"], None)
    first, cursor = by_cursor(mixed, traceId="c", limit="1")
    assert (first, *by_cursor(mixed, traceId="c", limit="1", cursor=cursor)) == (["c2"], ["c1"], None)


EVERY_GROUP = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context,unknown"


def test_groups_of_fields_are_given_that_were_asked_for(store):
    """Source: the parameters of the SDK for these servers (langfuse 5.0.4); unknown groups are dropped in silence."""
    said = {"langfuse.observation.input": '{"a": 1}', "langfuse.observation.output": "7", "user.id": "u", "session.id": "s"}
    export(store, span("t", "s1", **said, **{"langfuse.trace.tags": ["b", "a"], "langfuse.observation.model.name": "m"}))

    def only(**query):
        return call(store, "GET", "v2/observations", **query)[1]["data"][0]

    old = observation(store, "s1")
    core = {name: old[name] for name in ("id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type")}
    basic = {name: old[name] for name in ("name", "level", "statusMessage", "version", "environment")}
    basic.update(bookmarked=False, public=False, userId="u", sessionId="s", isRootObservation=True)
    assert only(fields="core") == core
    assert only() == only(fields="basic") == {**core, **basic}
    assert only(fields="io") == {**core, "input": '{"a": 1}', "output": "7"}
    assert only(fields="io", parseIoAsJson="true") == {**core, "input": {"a": 1}, "output": 7}
    assert only(fields="trace_context") == {**core, "tags": ["a", "b"], "release": None, "traceName": "work"}
    whole = only(fields=EVERY_GROUP)
    assert (whole["model"], whole["providedModelName"], whole["metadata"]) == ("m", "m", old["metadata"])
    assert (whole["usageDetails"], whole["latency"], whole["createdAt"]) == ({}, 1.0, old["createdAt"])


@pytest.mark.parametrize(("column", "ids"), [("tags", ["s1"]), ("traceTags", ["s1"])])
def test_a_filter_may_call_the_tags_of_the_trace_tags(store, column, ids):
    export(store, span("t", "s1", **{"langfuse.trace.tags": ["x"]}), span("u", "s2"))
    condition = {"type": "arrayOptions", "column": column, "operator": "any of", "value": ["x"]}

    assert by_cursor(store, filter=json.dumps([condition])) == (ids, None)


@pytest.mark.parametrize(("limit", "status"), [("1", 200), ("1000", 200), ("", 200), ("1001", 400), ("0", 400), ("x", 400)])
def test_pages_by_cursor_have_up_to_a_thousand_rows(seven, limit, status):
    assert call(seven, "GET", "v2/observations", limit=limit)[0] == status


@pytest.mark.parametrize(
    "text", ["x", "5b5d", "31", '["a", "b"]', "[1, 2]", '[1e999, "a"]', '[9223372036854775808, "a"]', '[1, "a", 2]', "\u00e9"]
)
def test_a_cursor_that_is_none_is_refused(seven, text):
    for cursor in (text, text.encode().hex()):
        status, answer = call(seven, "GET", "v2/observations", cursor=cursor)
        assert (status, answer["error"][0]["path"]) == (400, ["cursor"])


def test_a_cursor_may_be_any_text_inside(store):
    """Ids are whatever clients send; halves of surrogate pairs have no place in a database."""
    cursor = json.dumps([START, "\ud800\u00e9"]).encode().hex()

    assert by_cursor(store, cursor=cursor) == ([], None)


# -- sessions, and events one by one -----------------------------------------------------------------------------------


def test_sessions_are_those_of_their_traces(store):
    for number, session in enumerate(("a", "b", "a")):
        store.now_ns = lambda number=number: START + number * 1_000_000_000
        export(store, span(f"t{number}", f"s{number}", start=number, **{"session.id": session}))

    status, answer = call(store, "GET", "sessions", limit="1")
    assert status == 200 and [each["id"] for each in answer["data"]] == ["b"]
    assert answer["meta"] == {"page": 1, "limit": 1, "totalItems": 2, "totalPages": 2}
    status, found = call(store, "GET", "sessions/a")
    assert [trace["id"] for trace in found.pop("traces")] == ["t2", "t0"]
    assert found == {
        "id": "a", "createdAt": "2025-11-20T10:00:00.000Z", "projectId": "local-project", "environment": "default",
    }  # fmt: skip
    assert call(store, "GET", "sessions/c")[0] == 404


def test_events_may_come_one_by_one(store):
    """As clients sent them before there were batches. Spans and generations need no id, events do."""
    assert call(store, "POST", "traces", {"id": "t", "name": "trace", "tags": ["x"]}) == (200, {"id": "t"})
    assert call(store, "POST", "spans", {"id": "s", "traceId": "t", "name": "span"}) == (200, {"id": "s"})
    assert call(store, "PATCH", "spans", {"spanId": "s", "output": 7}) == (200, {"id": "s"})
    _, made = call(store, "POST", "generations", {"traceId": "t", "name": "g", "model": "m"})
    assert call(store, "PATCH", "generations", {"generationId": made["id"], "output": "o"})[0] == 200
    assert call(store, "POST", "events", {"id": "e", "traceId": "t"}) == (200, {"id": "e"})
    assert [call(store, method, path, {"traceId": "t"})[0] for method, path in (("POST", "events"), ("PATCH", "spans"))] == [400] * 2

    trace = call(store, "GET", "traces/t")[1]
    assert (trace["name"], trace["tags"]) == ("trace", ["x"])
    rows = {row["id"]: (row["type"], row["name"], row["output"]) for row in trace["observations"]}
    assert rows == {"s": ("SPAN", "span", 7), made["id"]: ("GENERATION", "g", "o"), "e": ("EVENT", None, None)}
