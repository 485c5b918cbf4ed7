"""Scores and ingestion batches in the embedded store: what is taken, refused, replaced and listed."""
from __future__ import annotations

import json

import pytest

from interactiveai_eval._clock import Clock
from interactiveai_eval._ids import Ids
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport

NOW = "2025-11-20T10:00:00.000Z"
SCOPED = "/api/platform/v1/organizations/o/projects/p/"


class FixedClock(Clock):
    """A clock that stands still."""

    def time_ns(self):
        return 1_763_632_800_000_000_000


class CountedIds(Ids):
    """Ids that count."""

    drawn = 0

    def trace_id(self):
        self.drawn += 1
        return f"id-{self.drawn}"


@pytest.fixture
def store():
    with LocalTransport(clock=FixedClock(), ids=CountedIds()) as store:
        yield store


def call(store, method, path, body=None, **query):
    """(status, decoded JSON body) of one request."""
    encoded = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    path = path if path.startswith("/") else f"/api/public/{path}"
    response = store.send(Request(method, path, query=tuple(query.items()), body=encoded))
    return response.status, json.loads(response.body)


def score(store, id, path="v2/scores"):
    status, found = call(store, "GET", f"{path}/{id}")
    assert status == 200
    return found


def listed(store, path="v2/scores", **query):
    """The ids of a list."""
    status, found = call(store, "GET", path, **query)
    assert status == 200, found
    return [row["id"] for row in found["data"]]


def ingest(store, *events):
    """(successes, errors) of a batch of (type, body)."""
    batch = [
        {"id": f"e{number}", "timestamp": "2025-11-20T09:00:00Z", "type": kind, "body": body}
        for number, (kind, body) in enumerate(events)
    ]
    status, answer = call(store, "POST", "ingestion", {"batch": batch})
    assert status == 207
    return [each["id"] for each in answer["successes"]], answer["errors"]


BASE = {"name": "n", "value": 1, "traceId": "t", "id": "x"}


def test_a_score_comes_back_with_everything_that_was_said(store):
    posted = {
        "id": "x", "traceId": "t", "observationId": "o", "name": "accuracy", "value": 0.5, "comment": "c",
        "metadata": {"k": [1]}, "dataType": "NUMERIC", "environment": "prod", "configId": "cfg", "queueId": "q",
        "source": "ANNOTATION", "timestamp": "2025-11-19T12:00:00.123456+02:00",
    }  # fmt: skip

    assert call(store, "POST", "scores", posted) == (200, {"id": "x"})
    assert score(store, "x") == {
        **posted,
        "projectId": "local-project",
        "sessionId": None,
        "datasetRunId": None,
        "authorUserId": None,
        "timestamp": "2025-11-19T10:00:00.123Z",
        "createdAt": NOW,
        "updatedAt": NOW,
    }
    assert score(store, "x", "scores") == score(store, "x")


def test_a_score_without_an_id_is_given_one(store):
    assert call(store, "POST", "scores", {**BASE, "id": None}) == (200, {"id": "id-1"})
    assert score(store, "id-1")["timestamp"] == NOW


@pytest.mark.parametrize(
    ("value", "data_type", "read"),
    [
        (1, None, (1.0, None, "NUMERIC")), (0.5, None, (0.5, None, "NUMERIC")), ("good", None, (0, "good", "CATEGORICAL")),
        ("", None, (0, "", "CATEGORICAL")), ("NaN", None, (0, "NaN", "CATEGORICAL")), (-7, "NUMERIC", (-7, None, "NUMERIC")),
        (1, "BOOLEAN", (1, "True", "BOOLEAN")), (0, "BOOLEAN", (0, "False", "BOOLEAN")),
        (1.0, "BOOLEAN", (1, "True", "BOOLEAN")), ("5", "CATEGORICAL", (0, "5", "CATEGORICAL")),
        ("t" * 500, "TEXT", (0, "t" * 500, "TEXT")), ("t" * 900, "CORRECTION", (0, "t" * 900, "CORRECTION")),
        (10**300, None, (1e300, None, "NUMERIC")),
    ],
)  # fmt: skip
def test_values_have_a_type(store, value, data_type, read):
    assert call(store, "POST", "scores", {**BASE, "value": value, "dataType": data_type})[0] == 200

    found = score(store, "x")
    assert (found["value"], found.get("stringValue"), found["dataType"]) == read


@pytest.mark.parametrize(
    ("value", "data_type"),
    [
        (True, None), (False, "BOOLEAN"), (True, "NUMERIC"), (None, None), ([], None), ({}, None), ("1", "NUMERIC"),
        ("True", "BOOLEAN"), (2, "BOOLEAN"), (0.5, "BOOLEAN"), (1, "CATEGORICAL"), (1, "TEXT"), ("", "TEXT"),
        ("t" * 501, "TEXT"), (1, "numeric"), (1, "OTHER"), (1, 5), (10**400, None),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_their_type_are_refused(store, value, data_type):
    status, answer = call(store, "POST", "scores", {**BASE, "value": value, "dataType": data_type})

    assert status == 400
    assert answer["message"] == "Invalid request data"
    assert answer["error"][0]["path"] in (["value"], ["dataType"])
    assert listed(store) == []


def test_numbers_that_no_double_holds_are_refused(store):
    assert call(store, "POST", "scores", b'{"name": "n", "traceId": "t", "value": 1e999}')[0] == 400


@pytest.mark.parametrize(
    ("targets", "status"),
    [
        ({"traceId": "t"}, 200), ({"traceId": "t", "observationId": "o"}, 200), ({"sessionId": "s"}, 200),
        ({"datasetRunId": "r"}, 200), ({}, 400), ({"observationId": "o"}, 400), ({"traceId": ""}, 400),
        ({"traceId": "t", "sessionId": "s"}, 400), ({"traceId": "t", "datasetRunId": "r"}, 400),
        ({"sessionId": "s", "datasetRunId": "r"}, 400), ({"sessionId": "s", "observationId": "o"}, 400),
        ({"traceId": 5}, 400), ({"traceId": "t", "observationId": 5}, 400), ({"traceId": None, "sessionId": "s"}, 200),
    ],
)  # fmt: skip
def test_a_score_has_exactly_one_target(store, targets, status):
    assert call(store, "POST", "scores", {"name": "n", "value": 1, **targets})[0] == status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": ""}, 400), ({"name": None}, 400), ({"name": 5}, 400), ({"name": "n" * 300}, 200), ({"id": "i" * 800}, 200),
        ({"id": "i" * 801}, 400), ({"id": 5}, 400), ({"comment": 5}, 400), ({"comment": None}, 200), ({"source": "API"}, 200),
        ({"source": "EVAL"}, 400), ({"source": "ANNOTATION"}, 400), ({"source": "ANNOTATION", "configId": "c"}, 200),
        ({"metadata": "text"}, 200), ({"metadata": [1, None]}, 200), ({"configId": 5}, 400), ({"unknown": {"a": 1}}, 200),
    ],
)  # fmt: skip
def test_the_other_fields_are_checked_too(store, fields, status):
    assert call(store, "POST", "scores", {**BASE, **fields})[0] == status


@pytest.mark.parametrize(
    ("metadata", "read"),
    [(None, {}), ({}, {}), ("text", "text"), ("5", "5"), (0, 0), ([], []), ({"a": "5"}, {"a": "5"})],
)
def test_metadata_is_any_json(store, metadata, read):
    call(store, "POST", "scores", {**BASE, "metadata": metadata})

    assert score(store, "x")["metadata"] == read


@pytest.mark.parametrize("fields", [{"environment": "Not Valid"}, {"environment": 5}, {}])
def test_an_invalid_environment_becomes_default(store, fields):
    call(store, "POST", "scores", {**BASE, **fields})

    assert score(store, "x")["environment"] == "default"


@pytest.mark.parametrize("timestamp", ["yesterday", "2025-11-20", 5, None, "2025-11-20T10:00:00"])
def test_a_bad_timestamp_is_ignored(store, timestamp):
    call(store, "POST", "scores", {**BASE, "timestamp": timestamp})

    assert score(store, "x")["timestamp"] == NOW


def test_the_same_id_again_replaces_the_score(store):
    call(store, "POST", "scores", {**BASE, "comment": "first", "configId": "c"})
    call(store, "POST", "scores", {**BASE, "value": "second"})

    found = score(store, "x")
    assert (found["stringValue"], found["comment"], found["configId"]) == ("second", None, None)


def test_a_deleted_score_is_gone(store):
    call(store, "POST", "scores", BASE)

    assert call(store, "DELETE", "scores/x") == (200, {"message": "Score deleted"})
    assert call(store, "GET", "v2/scores/x")[0] == 404
    assert call(store, "DELETE", "scores/x")[0] == 200


def test_the_platform_dialect_has_other_names_and_an_envelope(store):
    posted = {"name": "n", "value": 1, "trace_id": "t", "observation_id": "o", "data_type": "BOOLEAN", "id": "x",
              "metadata": {"camelCase": 1, "snake_case": 2}}  # fmt: skip

    assert call(store, "POST", f"{SCOPED}scores", posted) == (201, {"data": {"id": "x"}})
    found = score(store, "x")
    assert (found["traceId"], found["observationId"], found["dataType"]) == ("t", "o", "BOOLEAN")
    assert found["metadata"] == {"camelCase": 1, "snake_case": 2}
    assert call(store, "POST", f"{SCOPED}scores", {**posted, "value": True})[0] == 400
    assert call(store, "DELETE", f"{SCOPED}scores/x") == (200, {"data": {"message": "Score deleted"}})


def test_an_array_of_scores_is_taken_as_newer_clients_send_it(store):
    fine = [{**BASE, "id": "1"}, {**BASE, "id": "2"}]

    assert call(store, "POST", "scores", fine) == (202, {"message": "Accepted"})
    status, answer = call(store, "POST", "scores", [{**BASE, "id": "3"}, {**BASE, "value": True}, 5])
    assert (status, answer["accepted"], answer["rejected"], len(answer["errors"])) == (207, 1, 2, 2)
    assert set(answer["errors"][0]) == {"message"}
    assert [score(store, id)["id"] for id in "123"] == ["1", "2", "3"]


def test_lists_leave_out_scores_whose_trace_is_not_there_yet(store):
    for id, target in (("t", {"traceId": "t"}), ("s", {"sessionId": "s"}), ("r", {"datasetRunId": "r"})):
        call(store, "POST", "scores", {"name": "n", "value": 1, "id": id, **target})

    assert listed(store, "scores") == []
    assert sorted(listed(store)) == ["r", "s"]
    assert score(store, "t")["traceId"] == "t"
    ingest(store, ("trace-create", {"id": "t", "userId": "u", "tags": ["a"], "sessionId": "se", "environment": "prod"}))
    _, found = call(store, "GET", "scores")
    assert [row["id"] for row in found["data"]] == ["t"]
    assert found["data"][0]["trace"] == {"userId": "u", "tags": ["a"], "environment": "prod", "sessionId": "se"}
    assert sorted(listed(store)) == ["r", "s", "t"]


@pytest.fixture
def many(store):
    """Scores that differ in everything that a list can be asked for."""
    ingest(store, ("trace-create", {"id": "t1", "userId": "u1"}), ("trace-create", {"id": "t2"}))
    scores = [
        {"id": "1", "traceId": "t1", "name": "a", "value": 1, "environment": "prod", "timestamp": "2025-11-20T01:00:00Z"},
        {"id": "2", "traceId": "t1", "observationId": "o", "name": "b", "value": "x", "timestamp": "2025-11-20T02:00:00Z"},
        {"id": "3", "traceId": "t2", "name": "a", "value": 1, "dataType": "BOOLEAN", "timestamp": "2025-11-20T03:00:00Z"},
        {"id": "4", "sessionId": "s", "name": "c", "value": 2, "timestamp": "2025-11-20T04:00:00Z"},
        {"id": "5", "datasetRunId": "r", "name": "c", "value": 2, "source": "ANNOTATION", "configId": "cfg", "queueId": "q",
         "timestamp": "2025-11-20T05:00:00Z"},
    ]  # fmt: skip
    for each in scores:
        assert call(store, "POST", "scores", each)[0] == 200
    return store


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "54321"), ({"name": "a"}, "31"), ({"traceId": "t1"}, "21"), ({"observationId": "o"}, "2"),
        ({"sessionId": "s"}, "4"), ({"datasetRunId": "r"}, "5"), ({"userId": "u1"}, "21"), ({"dataType": "BOOLEAN"}, "3"),
        ({"environment": "prod"}, "1"), ({"source": "ANNOTATION"}, "5"), ({"configId": "cfg"}, "5"), ({"queueId": "q"}, "5"),
        ({"scoreIds": "1,4,9"}, "41"), ({"fromTimestamp": "2025-11-20T03:00:00Z"}, "543"),
        ({"toTimestamp": "2025-11-20T03:00:00Z"}, "21"), ({"name": "a", "traceId": "t2"}, "3"), ({"limit": "2"}, "54"),
        ({"limit": "2", "page": "2"}, "32"), ({"name": ""}, ""), ({"unknown": "x"}, "54321"),
    ],
)  # fmt: skip
def test_lists_are_newest_first_and_can_be_narrowed(many, query, ids):
    assert listed(many, **query) == list(ids)
    assert listed(many, "scores", **{**query, "limit": "100", "page": "1"}) == [
        id for id in listed(many, **{**query, "limit": "100", "page": "1"}) if id in "123"
    ]


@pytest.mark.parametrize(("name", "value"), [("dataType", "numeric"), ("fromTimestamp", "2025-11-20"), ("limit", "101")])
def test_lists_refuse_what_they_do_not_understand(many, name, value):
    assert call(many, "GET", "v2/scores", **{name: value})[0] == 400


def test_a_trace_lists_its_scores(many):
    _, found = call(many, "GET", "traces/t1")

    assert [each["id"] for each in found["scores"]] == ["2", "1"]
    assert {row["id"]: sorted(row["scores"]) for row in call(many, "GET", "traces")[1]["data"]} == {
        "t1": ["1", "2"],
        "t2": ["3"],
    }


def test_one_bad_event_does_not_hurt_the_others(store):
    successes, errors = ingest(
        store,
        ("score-create", {**BASE, "id": "1"}),
        ("score-create", {**BASE, "value": True}),
        ("sdk-log", {"log": "x"}),
        ("nonsense", {}),
        ("span-create", {"name": "no id"}),
        ("trace-create", {"id": "t", "tags": "text"}),
        ("trace-create", {"id": "t"}),
        ("score-create", 5),
    )

    assert successes == ["e0", "e6"]
    assert [(each["id"], each["status"], each["message"]) for each in errors] == [
        (id, 400, "Invalid request data") for id in ("e1", "e3", "e4", "e5", "e7")
    ]
    assert listed(store) == ["1"]


@pytest.mark.parametrize(
    "event",
    [5, None, {}, {"id": "1", "type": "score-create", "body": BASE}, {"timestamp": "2025-11-20T09:00:00Z", "body": BASE},
     {"id": 5, "timestamp": "2025-11-20T09:00:00Z", "type": "score-create", "body": BASE},
     {"id": "1", "timestamp": "2025-11-20T09:00:00", "type": "score-create", "body": BASE},
     {"id": "1", "timestamp": "2025-11-20T09:00:00Z", "type": "score-create"},
     {"id": "1", "timestamp": "2025-11-20T09:00:00Z", "type": ["x"], "body": {}},
     {"id": "1", "timestamp": "2025-11-20T09:00:00Z", "type": "span-delete", "body": {"id": "s"}}],
)  # fmt: skip
def test_an_event_of_another_shape_is_an_error_in_the_answer(store, event):
    status, answer = call(store, "POST", "ingestion", {"batch": [event]})

    assert (status, answer["successes"], len(answer["errors"])) == (207, [], 1)


def test_an_empty_batch_is_fine_and_no_batch_is_not(store):
    assert call(store, "POST", "ingestion", {"batch": []}) == (207, {"successes": [], "errors": []})
    for body in ({}, {"batch": {}}, {"batch": None}):
        status, answer = call(store, "POST", "ingestion", body)
        assert status == 400
        assert answer["errors"][0]["path"] == ["batch"]


def test_of_equal_ids_in_a_batch_the_last_one_stays(store):
    ingest(
        store,
        ("score-create", {**BASE, "value": "first", "configId": "c"}),
        ("score-create", {**BASE, "value": "last"}),
        ("score-create", {**BASE, "id": "y", "value": "first"}),
        ("score-create", {**BASE, "id": "y", "value": "last", "configId": "c"}),
    )

    assert [score(store, id)["stringValue"] for id in "xy"] == ["last", "last"]


def test_a_trace_event_makes_and_then_changes_a_trace(store):
    first = {
        "id": "t", "timestamp": "2025-11-19T00:00:00Z", "name": "n", "userId": "u", "sessionId": "s", "release": "r",
        "version": "v", "environment": "prod", "public": True, "tags": ["b", "a", "b"], "input": {"q": 1}, "output": "7",
        "metadata": {"k": "1", "l": 2},
    }  # fmt: skip
    ingest(store, ("trace-create", first))
    ingest(store, ("trace-create", {"id": "t", "output": "new", "tags": ["c"], "metadata": {"k": "3"}}))

    _, found = call(store, "GET", "traces/t")
    expected = {**first, "timestamp": "2025-11-19T00:00:00.000Z", "tags": ["a", "b", "c"], "output": "new",
                "metadata": {"k": 3, "l": 2}}  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_a_trace_event_without_an_id_or_a_time_gets_both(store):
    ingest(store, ("trace-create", {"name": "n", "metadata": "text", "environment": "Not Valid"}))

    (found,) = call(store, "GET", "traces")[1]["data"]
    assert (found["id"], found["timestamp"]) == ("id-1", "2025-11-20T09:00:00.000Z")
    assert (found["metadata"], found["environment"]) == ({"metadata": "text"}, "default")


@pytest.mark.parametrize(
    "body", [{"id": 5}, {"id": "t", "name": 5}, {"id": "t", "tags": [5]}, {"id": "t", "userId": {}}]
)
def test_a_trace_event_of_another_shape_is_refused(store, body):
    assert ingest(store, ("trace-create", body))[0] == []


KINDS = ["span", "generation", "event", "agent", "tool", "chain", "retriever", "evaluator", "guardrail", "embedding"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_observation_can_be_made_and_changed(store, kind):
    ingest(store, (f"{kind}-create", {"id": "o", "traceId": "t", "name": "first"}))
    ingest(store, (f"{kind}-update", {"id": "o", "output": "done", "endTime": "2025-11-20T09:00:01Z"}))

    _, found = call(store, "GET", "observations/o")
    assert (found["type"], found["traceId"], found["name"], found["output"]) == (kind.upper(), "t", "first", "done")
    assert (found["startTime"], found["latency"]) == ("2025-11-20T09:00:00.000Z", 1.0)


@pytest.mark.parametrize(("kind", "path"), [("trace", "traces/x"), ("span", "observations/x")])
def test_an_environment_of_null_keeps_the_old_one(store, kind, path):
    for environment in ("prod", None):
        ingest(store, (f"{kind}-create", {"id": "x", "environment": environment}))

    assert call(store, "GET", path)[1]["environment"] == "prod"


def test_everything_of_an_observation_event_is_read(store):
    body = {
        "id": "o", "traceId": "t", "parentObservationId": "p", "name": "n", "startTime": "2025-11-20T08:00:00Z",
        "endTime": "2025-11-20T08:00:02Z", "completionStartTime": "2025-11-20T08:00:01Z", "level": "WARNING",
        "statusMessage": "m", "version": "v", "environment": "prod", "model": "gpt", "promptName": "pn",
        "promptVersion": 2, "input": {"a": 1}, "output": "[1]", "metadata": {"k": "v"}, "modelParameters": {"t": 0.5},
        "usage": {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7},
    }  # fmt: skip
    ingest(store, ("generation-create", body))

    _, found = call(store, "GET", "observations/o")
    same = ("traceId", "parentObservationId", "name", "level", "statusMessage", "version", "environment", "model",
            "promptName", "promptVersion", "input", "metadata", "modelParameters")  # fmt: skip
    assert {name: found[name] for name in same} == {name: body[name] for name in same}
    assert (found["output"], found["latency"], found["timeToFirstToken"]) == ([1], 2.0, 1.0)
    assert found["usageDetails"] == {"input": 3, "output": 4, "total": 7}


@pytest.mark.parametrize(
    ("fields", "usage", "cost"),
    [
        ({"usageDetails": {"input": 1, "x": 2}}, {"input": 1, "x": 2, "total": 3}, {}),
        ({"usage": {"input": 1, "output": 2, "total": 5, "unit": "TOKENS"}}, {"input": 1, "output": 2, "total": 5}, {}),
        ({"usage": {"inputCost": 0.5, "totalCost": 2}}, {}, {"input": 0.5, "total": 2}),
        ({"costDetails": {"input": 1}}, {}, {"input": 1, "total": 1}),
        ({"usage": "nonsense", "usageDetails": {"input": "x", "output": True, "a": 10**30, "b": None}}, {}, {}),
        ({"usageDetails": {str(i): 2**53 - 1 for i in range(1200)}}, None, {}),
    ],
)
def test_usage_and_cost_are_numbers_by_name(store, fields, usage, cost):
    assert ingest(store, ("generation-create", {"id": "o", **fields}))[0] == ["e0"]

    _, found = call(store, "GET", "observations/o")
    assert found["costDetails"] == cost
    if usage is not None:
        assert found["usageDetails"] == usage


def test_an_update_keeps_what_it_does_not_name(store):
    ingest(store, ("generation-create", {"id": "o", "traceId": "t", "input": "i", "level": "ERROR", "environment": "prod",
                                         "usageDetails": {"input": 1}, "metadata": {"a": 1, "b": 1}}))  # fmt: skip
    ingest(store, ("observation-update", {"id": "o", "type": "GENERATION", "name": "n", "metadata": {"b": 2}}))

    _, found = call(store, "GET", "observations/o")
    assert (found["input"], found["level"], found["environment"], found["name"]) == ("i", "ERROR", "prod", "n")
    assert (found["metadata"], found["usageDetails"]) == ({"a": 1, "b": 2}, {"input": 1, "total": 1})


def test_an_update_of_what_is_not_there_makes_it(store):
    ingest(store, ("span-update", {"id": "o", "name": "n"}))

    assert call(store, "GET", "observations/o")[1]["name"] == "n"


@pytest.mark.parametrize(
    ("kind", "body"),
    [("span-create", {"id": ""}), ("span-create", {"id": 5}), ("span-create", {"id": "o", "level": "BAD"}),
     ("span-create", {"id": "o", "name": 5}), ("observation-create", {"id": "o"}), ("-create", {"id": "o"}),
     ("observation-create", {"id": "o", "type": "OTHER"}), ("spancreate", {"id": "o"}), ("SPAN-create2", {"id": "o"})],
)  # fmt: skip
def test_an_observation_event_of_another_shape_is_refused(store, kind, body):
    assert ingest(store, (kind, body))[0] == []
    assert call(store, "GET", "observations")[1]["data"] == []


def test_scores_are_asked_for_by_many_ids_up_to_a_bound(store):
    assert call(store, "POST", "scores", {**BASE, "traceId": None, "sessionId": "s"})[0] == 200
    ids = ",".join(str(number) for number in range(29_000))

    assert call(store, "GET", "v2/scores", scoreIds=f"{ids},x")[1]["meta"]["totalItems"] == 1
    status, answer = call(store, "GET", "v2/scores", scoreIds=f"{ids},{ids}")
    assert (status, answer["error"][0]["code"], answer["error"][0]["path"]) == (400, "too_big", ["scoreIds"])
