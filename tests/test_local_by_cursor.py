"""What the store has of newer servers: scores by cursor, and experiments that live in the attributes of their spans."""
from __future__ import annotations

import json

import pytest

from interactiveai_eval import EvaluatorInputs, FakeTransport, Interactive, Response
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport

from .test_local_traces import FixedClock, call, export, span

FROM = "2025-11-20T00:00:00Z"


@pytest.fixture
def store():
    with LocalTransport(clock=FixedClock()) as store:
        yield store


# -- GET v3/scores -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(store):
    """Five scores, oldest first; of the third no trace is there."""
    for second, body in enumerate(
        [
            {"id": "1", "traceId": "t1", "name": "n", "value": 0.5, "comment": "c", "metadata": {"k": 1}},
            {"id": "2", "traceId": "t1", "observationId": "o", "name": "b", "value": 1, "dataType": "BOOLEAN"},
            {"id": "3", "traceId": "t2", "name": "c", "value": "good"},
            {"id": "4", "sessionId": "s", "name": "n", "value": 2, "environment": "prod"},
            {"id": "5", "datasetRunId": "r", "name": "n", "value": 3},
        ]
    ):
        assert call(store, "POST", "scores", {**body, "timestamp": f"2025-11-20T10:00:0{second}Z"})[0] == 200
    return store


def v3(store, **query):
    status, answer = call(store, "GET", "v3/scores", **query)
    assert status == 200, answer
    return answer


def ids(answer):
    return "".join([row["id"] for row in answer["data"]])


def test_scores_come_newest_first_and_page_by_page(scored):
    first = v3(scored, limit="2")
    second = v3(scored, limit="2", cursor=first["meta"]["cursor"])
    last = v3(scored, limit="2", cursor=second["meta"]["cursor"])

    assert (ids(first), ids(second), ids(last)) == ("54", "32", "1")
    assert last["meta"] == {"limit": 2}


def test_values_are_of_their_type(scored):
    assert [(row["dataType"], row["value"]) for row in v3(scored)["data"]] == [
        ("NUMERIC", 3.0), ("NUMERIC", 2.0), ("CATEGORICAL", "good"), ("BOOLEAN", True), ("NUMERIC", 0.5),
    ]  # fmt: skip


def test_groups_of_fields_of_a_score(scored):
    core = v3(scored, id="1")["data"][0]
    whole = v3(scored, id="1", fields="details,subject,annotation")["data"][0]
    (of_observation,) = v3(scored, id="2", fields="subject")["data"]
    (of_session, of_run) = (v3(scored, id=id, fields="subject")["data"][0]["subject"] for id in "45")

    assert core == {
        "id": "1", "projectId": "local-project", "name": "n", "value": 0.5, "dataType": "NUMERIC", "source": "API",
        "timestamp": "2025-11-20T10:00:00.000Z", "environment": "default", "createdAt": "2025-11-20T10:00:00.000Z",
        "updatedAt": "2025-11-20T10:00:00.000Z",
    }  # fmt: skip
    assert {name: whole[name] for name in whole if name not in core} == {
        "comment": "c", "configId": None, "metadata": {"k": 1}, "subject": {"kind": "trace", "id": "t1"},
        "authorUserId": None, "queueId": None,
    }  # fmt: skip
    assert of_observation["subject"] == {"kind": "observation", "id": "o", "traceId": "t1"}
    assert (of_session, of_run) == ({"kind": "session", "id": "s"}, {"kind": "experiment", "id": "r"})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"name": "n,b"}, "5421"), ({"traceId": "t1"}, "21"), ({"traceId": "t1", "observationId": "o"}, "2"),
        ({"sessionId": "s"}, "4"), ({"experimentId": "r"}, "5"), ({"environment": "prod"}, "4"),
        ({"dataType": "numeric"}, "541"), ({"dataType": "boolean,CATEGORICAL"}, "32"), ({"source": "api"}, "54321"),
        ({"dataType": "NUMERIC", "value": "2,3"}, "54"), ({"dataType": "BOOLEAN", "value": "true"}, "2"),
        ({"dataType": "BOOLEAN", "value": "false"}, ""), ({"dataType": "CATEGORICAL", "value": "good"}, "3"),
        ({"dataType": "NUMERIC", "valueMin": "2"}, "54"), ({"dataType": "NUMERIC", "valueMax": "2"}, "41"),
        ({"fromTimestamp": "2025-11-20T10:00:03Z"}, "54"), ({"toTimestamp": "2025-11-20T10:00:01Z"}, "1"),
    ],
)  # fmt: skip
def test_scores_are_chosen(scored, query, found):
    assert ids(v3(scored, **query)) == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"fields": "core,other"}, "fields"), ({"observationId": "o"}, "observationId"), ({"limit": "101"}, "limit"),
        ({"value": "1"}, "value"), ({"value": "1", "dataType": "TEXT"}, "value"),
        ({"value": "x", "dataType": "NUMERIC"}, "value"), ({"value": "1", "dataType": "BOOLEAN"}, "value"),
        ({"valueMin": "1"}, "valueMin"), ({"valueMax": "x", "dataType": "NUMERIC"}, "valueMax"),
        ({"fromTimestamp": "2025-11-20"}, "fromTimestamp"), ({"cursor": "zz"}, "cursor"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_is_refused(scored, query, field):
    status, answer = call(scored, "GET", "v3/scores", **query)

    assert (status, answer["error"][0]["path"]) == (400, [field])


# -- GET v2/observations -----------------------------------------------------------------------------------------------


def test_a_server_that_lists_by_cursor_alone_gives_mappers_the_same_values(store):
    """It sends inputs and outputs as the texts they were, where the numbered list has made values of them."""

    def newer(request):
        old = request.path.endswith("/observations") and "/v2/" not in request.path
        return Response(404, body=b"{}") if old else store.send(request)

    said = {"langfuse.observation.input": '{"a": 1}', "langfuse.observation.output": "7"}
    export(store, span("t", "s", **said))
    seen = []
    for transport in (store, FakeTransport(newer)):
        Interactive(transport=transport).run_batched_evaluation(
            scope="observations",
            mapper=lambda item: seen.append((item.input, item.output)) or EvaluatorInputs(input=1, output=1),
            evaluators=[],
        )

    assert seen == [({"a": 1}, 7)] * 2


# -- experiments -------------------------------------------------------------------------------------------------------


def item_span(trace, id, start, experiment="e1", item="i1", **more):
    """The root span of one item, and one below it that names the same experiment."""
    said = {
        "langfuse.experiment.id": experiment, "langfuse.experiment.name": f"name of {experiment}",
        "langfuse.experiment.metadata": '{"model": "m"}', "langfuse.experiment.description": "d",
        "langfuse.experiment.dataset.id": "ds", "langfuse.experiment.item.id": item,
        "langfuse.experiment.item.root_observation_id": id, "langfuse.experiment.item.metadata": '{"row": 0}',
        "langfuse.experiment.item.expected_output": "7", "langfuse.environment": "sdk-experiment",
        "langfuse.observation.input": '{"a": 1}', "langfuse.observation.output": "8", **more,
    }  # fmt: skip
    return [span(trace, id, start=start, end=start + 10, **said), span(trace, f"{id}-below", parent=id, start=start, **said)]


@pytest.fixture
def experiments(store):
    export(
        store,
        *item_span("t1", "a", 0),
        *item_span("t2", "b", 1000, item="i2"),
        *item_span("t3", "c", 500, "e2", **{"langfuse.experiment.dataset.id": "other"}),
        span("t4", "d", start=100, name="of no experiment"),
    )
    call(store, "POST", "scores", {"id": "1", "traceId": "t1", "observationId": "a", "name": "n", "value": 1})
    call(store, "POST", "scores", {"id": "2", "datasetRunId": "e1", "name": "mean", "value": 0.5})
    return store


def listed(store, path, **query):
    status, answer = call(store, "GET", path, fromStartTime=FROM, **query)
    assert status == 200, answer
    return answer


def test_experiments_are_read_from_their_spans(experiments):
    first = listed(experiments, "experiments", limit="1", fields="core,metadata,scores")
    second = listed(experiments, "experiments", limit="1", cursor=first["meta"]["cursor"])

    (found,) = first["data"]
    assert [(each["name"], each["value"], each["subject"]) for each in found.pop("scores")] == [
        ("mean", 0.5, {"kind": "experiment", "id": "e1"})
    ]
    assert found == {
        "id": "e1", "name": "name of e1", "description": "d", "startTime": "2025-11-20T10:00:00.000Z",
        "endTime": "2025-11-20T10:00:01.010Z", "itemCount": 2, "datasetId": "ds", "metadata": {"model": "m"},
    }  # fmt: skip
    assert [(each["id"], each["datasetId"], "scores" in each) for each in second["data"]] == [("e2", "other", False)]
    assert second["meta"] == {}


def test_items_of_experiments_are_read_from_their_spans(experiments):
    fields = "core,dataset,io,metadata,itemMetadata,experimentMetadata,scores"
    first = listed(experiments, "experiment-items", limit="2", fields=fields)
    second = listed(experiments, "experiment-items", limit="2", cursor=first["meta"]["cursor"], fields=fields)

    assert [each["id"] for each in first["data"]] == ["b", "c"]
    (found,) = second["data"]
    assert [each["id"] for each in found.pop("scores")] == ["1"] and found.pop("metadata")["attributes"]
    assert found == {
        "id": "a", "traceId": "t1", "startTime": "2025-11-20T10:00:00.000Z", "endTime": "2025-11-20T10:00:00.010Z",
        "level": "DEFAULT", "environment": "sdk-experiment", "experimentId": "e1", "experimentName": "name of e1",
        "experimentItemId": "i1", "experimentDatasetId": "ds", "experimentItemVersion": None, "input": '{"a": 1}',
        "output": "8", "expectedOutput": "7", "experimentItemMetadata": {"row": 0},
        "experimentMetadata": {"model": "m"}, "experimentDescription": "d",
    }  # fmt: skip


def test_metadata_of_experiments_may_come_one_attribute_a_key(store):
    """As langfuse 4.18 sends them."""
    flat = {"langfuse.experiment.metadata.a.b": "1", "langfuse.experiment.item.metadata.row": "x"}
    export(store, *item_span("t1", "a", 0, **flat))

    assert listed(store, "experiments", fields="metadata")["data"][0]["metadata"] == {"model": "m", "a.b": 1}
    (item,) = listed(store, "experiment-items", fields="itemMetadata")["data"]
    assert item["experimentItemMetadata"] == {"row": "x"}


@pytest.mark.parametrize(
    ("path", "query", "found"),
    [
        ("experiments", {"id": "e2,x"}, "e2"), ("experiments", {"name": "name of e1"}, "e1"),
        ("experiments", {"datasetId": "other"}, "e2"), ("experiments", {"toStartTime": "2025-11-20T10:00:00.400Z"}, "e1"),
        ("experiment-items", {"experimentId": "e1"}, "ba"), ("experiment-items", {"experimentItemId": "i2"}, "b"),
        ("experiment-items", {"experimentName": "name of e2"}, "c"), ("experiment-items", {"datasetId": "ds"}, "ba"),
    ],
)  # fmt: skip
def test_experiments_and_items_are_chosen(experiments, path, query, found):
    assert ids(listed(experiments, path, **query)) == found


@pytest.mark.parametrize("path", ["experiments", "experiment-items"])
@pytest.mark.parametrize(
    ("query", "field"),
    [({}, "fromStartTime"), ({"fromStartTime": "x"}, "fromStartTime"), ({"fromStartTime": FROM, "filter": "[]"}, "filter")],
)
def test_a_list_of_experiments_without_an_end_is_refused(experiments, path, query, field):
    status, answer = call(experiments, "GET", path, **query)

    assert (status, answer["error"][0]["path"]) == (400, [field])


# -- the reference's scores of observations ----------------------------------------------------------------------------


def test_the_platform_dialect_knows_the_trace_of_an_observation(store):
    """The reference posts scores of observations without their traces, and only there."""
    export(store, span("t", "o"))

    def post(observation):
        body = json.dumps({"id": "s", "observation_id": observation, "name": "n", "value": 1.0}).encode()
        return store.send(Request("POST", "/api/platform/v1/organizations/o/projects/p/scores", body=body)).status

    assert (post("o"), post("unknown")) == (201, 400)
    found = call(store, "GET", "v2/scores/s")[1]
    assert (found["traceId"], found["observationId"]) == ("t", "o")
