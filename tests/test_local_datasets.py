"""Data sets, items, runs and run items in the embedded store, in both dialects."""
from __future__ import annotations

import json

import pytest

from interactiveai_eval._clock import Clock
from interactiveai_eval._ids import Ids, derived_id
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport

NOW = "2025-11-20T10:00:00.000Z"
SCOPED = "/api/platform/v1/organizations/o/projects/p/"


class MovedClock(Clock):
    """A clock that moves when it is told to."""

    ns = 1_763_632_800_000_000_000

    def time_ns(self):
        return self.ns


class CountedIds(Ids):
    """Ids that count."""

    drawn = 0

    def trace_id(self):
        self.drawn += 1
        return f"id-{self.drawn}"


@pytest.fixture
def clock():
    return MovedClock()


@pytest.fixture
def store(clock):
    with LocalTransport(clock=clock, ids=CountedIds()) as store:
        yield store


def call(store, method, path, body=None, **query):
    """(status, decoded JSON body) of one request."""
    path = path if path.startswith("/") else f"/api/public/{path}"
    encoded = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    response = store.send(Request(method, path, query=tuple(query.items()), body=encoded))
    is_json = response.headers["content-type"].startswith("application/json")
    return response.status, json.loads(response.body) if is_json else response.body.decode()


def made(store, path, **body):
    status, answer = call(store, "POST", path, body)
    assert status == 200, answer
    return answer


def listed(store, path, field="id", **query):
    status, answer = call(store, "GET", path, **query)
    assert status == 200, answer
    return [row[field] for row in answer["data"]]


@pytest.fixture
def qa(store):
    """The data set "qa" (id-1) with the items "one", "two", "three"."""
    made(store, "v2/datasets", name="qa")
    for name in ("one", "two", "three"):
        made(store, "dataset-items", datasetName="qa", id=name, input={"q": name}, expectedOutput="z")
    return store


def test_a_data_set_comes_back_by_its_name(store):
    posted = {"name": "qa", "description": "d", "metadata": {"a_b": 1}, "inputSchema": {"type": "object"},
              "expectedOutputSchema": None}  # fmt: skip
    dataset = {**posted, "id": "id-1", "projectId": "local-project", "createdAt": NOW, "updatedAt": NOW}

    assert call(store, "POST", "v2/datasets", posted) == (200, dataset)
    assert call(store, "GET", "v2/datasets/qa") == (200, dataset)
    assert call(store, "GET", "v2/datasets")[1]["data"] == [dataset]


def test_the_platform_dialect_says_the_same_in_snake_case(store):
    posted = {"name": "qa", "description": None, "metadata": {"camelCase": 1}, "input_schema": {"inType": 1},
              "expected_output_schema": None}  # fmt: skip
    dataset = {**posted, "id": "id-1", "project_id": "local-project", "created_at": NOW, "updated_at": NOW}

    assert call(store, "POST", f"{SCOPED}datasets", posted) == (201, {"data": {"dataset": dataset}})
    assert call(store, "GET", f"{SCOPED}datasets/qa") == (200, {"data": {"dataset": dataset}})
    assert call(store, "GET", f"{SCOPED}datasets", page="1", limit="2") == (
        200,
        {"data": {"datasets": [dataset], "meta": {"page": 1, "limit": 2, "total_items": 1, "total_pages": 1}}},
    )


def test_posting_a_data_set_again_changes_what_is_given(store, clock):
    made(store, "v2/datasets", name="qa", description="d", metadata={"a": 1})
    clock.ns += 10**9
    changed = made(store, "v2/datasets", name="qa", metadata={"b": 2}, description=None)

    assert (changed["id"], changed["description"], changed["metadata"]) == ("id-1", "d", {"b": 2})
    assert (changed["createdAt"], changed["updatedAt"]) == (NOW, "2025-11-20T10:00:01.000Z")
    assert listed(store, "v2/datasets", "name") == ["qa"]


def test_data_sets_and_items_are_listed_newest_first(qa):
    made(qa, "v2/datasets", name="later")

    assert listed(qa, "v2/datasets", "name") == ["later", "qa"]
    assert listed(qa, "dataset-items", datasetName="qa") == ["three", "two", "one"]
    assert listed(qa, "dataset-items", datasetName="qa", page="2", limit="2") == ["one"]
    made(qa, "dataset-items", datasetName="qa", id="one", input="changed")
    assert listed(qa, "dataset-items", datasetName="qa") == ["three", "two", "one"]


NAMES = ["a b", "a/b", "caf\u00e9", "a%2Fb", "?", "#", "..a", "...", "a&b=c", "+", "*", "\u65e5\u672c", " ", "a'\"b", "x" * 500]


def encoded(name):
    return "".join(f"%{byte:02X}" for byte in name.encode())


@pytest.mark.parametrize("name", NAMES)
def test_any_name_works_when_it_is_percent_encoded(store, name):
    made(store, "v2/datasets", name=name)
    made(store, "dataset-items", datasetName=name, id="i")
    made(store, "dataset-run-items", datasetItemId="i", traceId="t", runName=name)
    path = f"datasets/{encoded(name)}/runs"

    assert call(store, "GET", f"v2/datasets/{encoded(name)}")[1]["name"] == name
    assert listed(store, "dataset-items", datasetName=name) == ["i"]
    assert listed(store, path, "name") == [name]
    assert call(store, "GET", f"{path}/{encoded(name)}")[1]["name"] == name
    assert call(store, "GET", f"{SCOPED}{path}/{encoded(name)}")[1]["data"]["run"]["name"] == name
    assert call(store, "DELETE", f"{path}/{encoded(name)}")[0] == 200


@pytest.mark.parametrize("name", ["", ".", "..", None, 5, ["x"]])
def test_names_that_cannot_stand_in_a_path_are_refused(qa, name):
    run_item = {"datasetItemId": "one", "traceId": "t"}

    assert call(qa, "POST", "v2/datasets", {"name": name})[0] == 400
    assert call(qa, "POST", f"{SCOPED}datasets", {"name": name})[0] == 400
    assert call(qa, "POST", "dataset-run-items", {**run_item, "runName": name})[0] == 400
    assert call(qa, "POST", f"{SCOPED}dataset-run-items", {"dataset_item_id": "one", "run_name": name})[0] == 400


@pytest.mark.parametrize("segment", [".", "..", "%2E", "%2e%2e"])
def test_dots_in_a_path_are_refused(qa, segment):
    for path in (f"v2/datasets/{segment}", f"datasets/qa/runs/{segment}", f"datasets/{segment}/runs"):
        assert call(qa, "GET", path)[0] == 400


def test_an_unencoded_slash_is_another_route(store):
    made(store, "v2/datasets", name="a/b")

    assert call(store, "GET", "v2/datasets/a/b")[0] == 404
    assert call(store, "GET", "v2/datasets/a/b")[1].startswith("<!DOCTYPE html>")


def test_data_sets_cannot_be_deleted(qa):
    assert call(qa, "DELETE", "v2/datasets/qa")[0] == 405


def test_an_item_comes_back_with_everything(store):
    made(store, "v2/datasets", name="qa")
    posted = {"id": "i", "input": {"q": [1]}, "expectedOutput": "text", "metadata": {"k": "1"}, "sourceTraceId": "t",
              "sourceObservationId": "o", "status": "ARCHIVED", "datasetName": "qa"}  # fmt: skip
    item = {**posted, "datasetId": "id-1", "createdAt": NOW, "updatedAt": NOW, "mediaReferences": []}

    assert call(store, "POST", "dataset-items", posted) == (200, item)
    assert call(store, "GET", "dataset-items/i") == (200, item)
    snaked = {"id": "i", "input": {"q": [1]}, "expected_output": "text", "metadata": {"k": "1"}, "source_trace_id": "t",
              "source_observation_id": "o", "status": "ARCHIVED", "dataset_name": "qa", "dataset_id": "id-1",
              "created_at": NOW, "updated_at": NOW, "media_references": []}  # fmt: skip
    assert call(store, "GET", f"{SCOPED}dataset-items/i") == (200, {"data": {"item": snaked}})


def test_the_platform_dialect_makes_and_lists_items(qa):
    posted = {"dataset_name": "qa", "input": {"aB": 1}, "expected_output": "z", "metadata": None, "source_trace_id": None,
              "source_observation_id": None, "id": None, "status": None}  # fmt: skip

    status, answer = call(qa, "POST", f"{SCOPED}dataset-items", posted)
    _, page = call(qa, "GET", f"{SCOPED}dataset-items", dataset_name="qa", page="1", limit="1")

    assert (status, answer["data"]["item"]["status"], answer["data"]["item"]["input"]) == (201, "ACTIVE", {"aB": 1})
    assert page["data"]["items"] == [answer["data"]["item"]]
    assert page["data"]["meta"] == {"page": 1, "limit": 1, "total_items": 4, "total_pages": 4}


@pytest.mark.parametrize("omitted", [{}, dict.fromkeys(("input", "expectedOutput", "metadata", "status", "sourceTraceId"))])
def test_posting_an_item_again_keeps_what_is_omitted(store, omitted):
    made(store, "v2/datasets", name="qa")
    first = {"datasetName": "qa", "id": "i", "input": "a", "expectedOutput": "b", "metadata": {"m": 1},
             "status": "ARCHIVED", "sourceTraceId": "t"}  # fmt: skip
    made(store, "dataset-items", **first)

    assert {name: made(store, "dataset-items", datasetName="qa", id="i", **omitted)[name] for name in first} == first
    assert made(store, "dataset-items", datasetName="qa", id="i", status="ACTIVE", input=0)["input"] == 0
    assert call(store, "GET", "dataset-items/i")[1]["status"] == "ACTIVE"


def test_an_item_stays_in_its_data_set(qa):
    made(qa, "v2/datasets", name="other")

    assert call(qa, "POST", "dataset-items", {"datasetName": "other", "id": "one"})[0] == 404
    assert call(qa, "GET", "dataset-items/one")[1]["datasetName"] == "qa"


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("true", True), ('{"j":1}', {"j": 1}), ("plain", "plain"), ('"quoted"', "quoted"), ("", ""), ("007", "007"),
     ("12345678901234567890", "12345678901234567890"), ("null", None), ("[1, 2", "[1, 2")],
)  # fmt: skip
def test_text_that_looks_like_json_changes_its_type(store, text, value):
    made(store, "v2/datasets", name="qa")
    made(store, "dataset-items", datasetName="qa", id="i", input=text, expectedOutput=text)

    _, item = call(store, "GET", "dataset-items/i")
    assert (item["input"], item["expectedOutput"]) == (value, value)


@pytest.mark.parametrize("value", [0, False, [], {}, 1.5, [{"a": None}], "caf\u00e9", {"k": "2"}, -1, 10**15])
def test_other_values_come_back_as_they_were(store, value):
    made(store, "v2/datasets", name="qa")

    assert made(store, "dataset-items", datasetName="qa", id="i", input=value)["input"] == value


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"datasetName": ""}, 400), ({"datasetName": 5}, 400), ({"datasetName": "none"}, 404),
     ({"datasetName": "qa", "status": "DONE"}, 400), ({"datasetName": "qa", "id": 5}, 400), ({"datasetName": "qa"}, 200),
     ({"datasetName": "qa", "sourceTraceId": 5}, 400)],
)  # fmt: skip
def test_items_are_checked(qa, body, status):
    assert call(qa, "POST", "dataset-items", body)[0] == status


@pytest.mark.parametrize(
    ("query", "ids"),
    [({"datasetName": "qa"}, ["three", "two", "one"]), ({}, ["elsewhere", "three", "two", "one"]),
     ({"sourceTraceId": "t"}, ["elsewhere"]), ({"sourceObservationId": "o", "datasetName": "qa"}, [])],
)  # fmt: skip
def test_items_can_be_asked_for_by_where_they_come_from(qa, query, ids):
    made(qa, "v2/datasets", name="other")
    made(qa, "dataset-items", datasetName="other", id="elsewhere", sourceTraceId="t", sourceObservationId="o")

    assert listed(qa, "dataset-items", **query) == ids


def test_archived_items_are_listed_only_when_asked_for(qa):
    made(qa, "dataset-items", datasetName="qa", id="two", status="ARCHIVED")

    assert listed(qa, "dataset-items", datasetName="qa") == ["three", "one"]
    assert listed(qa, "dataset-items", datasetName="qa", includeArchived="true") == ["three", "two", "one"]
    assert listed(qa, "dataset-items", datasetName="qa", includeArchived="false") == ["three", "one"]
    _, answer = call(qa, "GET", f"{SCOPED}dataset-items", dataset_name="qa", include_archived="true")
    assert [item["status"] for item in answer["data"]["items"]] == ["ACTIVE", "ARCHIVED", "ACTIVE"]
    assert call(qa, "GET", "dataset-items/two")[1]["status"] == "ARCHIVED"


def test_an_archived_item_cannot_be_used_in_a_run(qa):
    made(qa, "dataset-items", datasetName="qa", id="two", status="ARCHIVED")

    assert call(qa, "POST", "dataset-run-items", {"runName": "r", "datasetItemId": "two", "traceId": "t"})[0] == 404
    assert listed(qa, "datasets/qa/runs") == []


def test_a_deleted_item_is_gone(qa):
    assert call(qa, "DELETE", "dataset-items/two") == (200, {"message": "Dataset item successfully deleted"})
    assert call(qa, "GET", "dataset-items/two")[0] == 404
    assert call(qa, "DELETE", "dataset-items/two")[0] == 404
    assert listed(qa, "dataset-items", datasetName="qa") == ["three", "one"]
    assert call(qa, "DELETE", f"{SCOPED}dataset-items/one")[1] == {
        "data": {"message": "Dataset item successfully deleted"}
    }


@pytest.mark.parametrize("path", ["v2/datasets/none", "datasets/none/runs", "datasets/none/runs/r", "datasets/qa/runs/none",
                                  "dataset-items/none", "v2/datasets/QA"])  # fmt: skip
def test_what_is_not_there_is_not_found(qa, path):
    status, answer = call(qa, "GET", path)

    assert (status, answer["error"]) == (404, "LangfuseNotFoundError")
    assert call(qa, "GET", SCOPED + path.replace("v2/", ""))[0] == 404


def test_items_of_an_unknown_data_set_are_not_found(qa):
    assert call(qa, "GET", "dataset-items", datasetName="none")[0] == 404


RUN_ID = derived_id("id-1", "r 1")


def test_a_run_is_made_at_the_first_use_of_its_name(qa, clock):
    posted = {"runName": "r 1", "runDescription": "d", "metadata": {"m": 1}, "datasetItemId": "one", "traceId": "t1",
              "observationId": "o1"}  # fmt: skip
    linked = made(qa, "dataset-run-items", **posted)
    clock.ns += 10**9
    made(qa, "dataset-run-items", runName="r 1", datasetItemId="two", traceId="t2")

    assert linked == {
        "id": linked["id"], "datasetRunId": RUN_ID, "datasetRunName": "r 1", "datasetItemId": "one", "traceId": "t1",
        "observationId": "o1", "createdAt": NOW, "updatedAt": NOW,
    }  # fmt: skip
    run = {"id": RUN_ID, "name": "r 1", "description": "d", "metadata": {"m": 1}, "datasetId": "id-1",
           "datasetName": "qa", "createdAt": NOW, "updatedAt": "2025-11-20T10:00:01.000Z"}  # fmt: skip
    assert call(qa, "GET", "datasets/qa/runs") == (
        200,
        {"data": [run], "meta": {"page": 1, "limit": 50, "totalItems": 1, "totalPages": 1}},
    )
    _, found = call(qa, "GET", "datasets/qa/runs/r%201")
    assert [each["datasetItemId"] for each in found.pop("datasetRunItems")] == ["two", "one"]
    assert found == run


def test_the_platform_dialect_links_and_reads_runs(qa):
    posted = {"run_name": "r 1", "run_description": None, "metadata": None, "dataset_item_id": "one", "trace_id": "t1"}
    status, answer = call(qa, "POST", f"{SCOPED}dataset-run-items", posted)
    item = answer["data"]["run_item"]

    assert status == 201
    assert item == {
        "id": item["id"], "dataset_run_id": RUN_ID, "dataset_run_name": "r 1", "dataset_item_id": "one",
        "trace_id": "t1", "observation_id": None, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    run = {"id": RUN_ID, "name": "r 1", "description": None, "metadata": None, "dataset_id": "id-1",
           "dataset_name": "qa", "created_at": NOW, "updated_at": NOW}  # fmt: skip
    assert call(qa, "GET", f"{SCOPED}datasets/qa/runs/r%201") == (200, {"data": {"run": run}})
    _, runs = call(qa, "GET", f"{SCOPED}datasets/qa/runs", limit="10")
    assert runs["data"]["runs"] == [run]
    assert runs["data"]["meta"] == {"page": 1, "limit": 10, "total_items": 1, "total_pages": 1}
    for query in ({"dataset_name": "qa"}, {"dataset_id": "id-1"}):
        _, items = call(qa, "GET", f"{SCOPED}dataset-run-items", run_name="r 1", limit="100", page="1", **query)
        assert items["data"]["run_items"] == [item]
    assert call(qa, "DELETE", f"{SCOPED}datasets/qa/runs/r%201") == (
        200,
        {"data": {"message": "Dataset run successfully deleted"}},
    )


def test_an_item_stands_in_a_run_once_with_its_latest_trace(qa):
    first = made(qa, "dataset-run-items", runName="r 1", datasetItemId="one", traceId="t1")
    made(qa, "dataset-run-items", runName="r 1", datasetItemId="two", traceId="t2")
    second = made(qa, "dataset-run-items", runName="r 1", datasetItemId="one", traceId="t3")

    assert first["id"] != second["id"]
    assert listed(qa, "dataset-run-items", "traceId", datasetId="id-1", runName="r 1") == ["t3", "t2"]


def test_a_link_that_is_sent_twice_is_answered_alike(qa):
    link = {"runName": "r 1", "datasetItemId": "one", "traceId": "t1", "observationId": "o"}

    assert made(qa, "dataset-run-items", **link) == made(qa, "dataset-run-items", **link)
    assert listed(qa, "datasets/qa/runs") == [RUN_ID]


def test_later_links_change_what_they_say_of_the_run(qa):
    link = {"runName": "r 1", "datasetItemId": "one", "traceId": "t1"}
    made(qa, "dataset-run-items", **link, metadata={"m": 1}, runDescription="d")
    made(qa, "dataset-run-items", **link, metadata={"m": 2})

    _, run = call(qa, "GET", "datasets/qa/runs/r%201")
    assert (run["metadata"], run["description"]) == ({"m": 2}, "d")


def test_equal_run_names_in_two_data_sets_are_two_runs(qa):
    made(qa, "v2/datasets", name="other")
    made(qa, "dataset-items", datasetName="other", id="o")
    ids = [made(qa, "dataset-run-items", runName="r", datasetItemId=i, traceId="t")["datasetRunId"] for i in ("one", "o")]

    assert len(set(ids)) == 2
    assert listed(qa, "datasets/qa/runs") == ids[:1]


def test_an_observation_leads_to_its_trace(qa):
    span = {"id": "o1", "traceId": "t9"}
    event = {"id": "e", "timestamp": "2025-11-20T09:00:00Z", "type": "span-create", "body": span}
    call(qa, "POST", "ingestion", {"batch": [event]})
    link = {"runName": "r", "datasetItemId": "one"}

    assert made(qa, "dataset-run-items", **link, observationId="o1")["traceId"] == "t9"
    assert call(qa, "POST", "dataset-run-items", {**link, "observationId": "none"})[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"runName": "r"}, 400), ({"runName": "r", "datasetItemId": "one"}, 400),
     ({"runName": "r", "datasetItemId": "none", "traceId": "t"}, 404), ({"datasetItemId": "one", "traceId": "t"}, 400),
     ({"runName": "r", "datasetItemId": "one", "traceId": 5}, 400),
     ({"runName": "r", "datasetItemId": "one", "traceId": "t", "runDescription": 5}, 400),
     ({"runName": "r", "datasetItemId": "one", "traceId": "", "observationId": ""}, 400)],
)  # fmt: skip
def test_links_are_checked(qa, body, status):
    assert call(qa, "POST", "dataset-run-items", body)[0] == status
    assert listed(qa, "datasets/qa/runs") == []


@pytest.mark.parametrize(
    ("query", "status"),
    [({}, 400), ({"datasetId": "id-1"}, 400), ({"runName": "r 1"}, 400), ({"datasetName": "qa", "runName": "r 1"}, 400),
     ({"datasetId": "id-1", "runName": "none"}, 404), ({"datasetId": "none", "runName": "r 1"}, 404),
     ({"datasetId": "id-1", "runName": "r 1"}, 200)],
)  # fmt: skip
def test_run_items_need_the_id_of_the_data_set_and_the_name_of_the_run(qa, query, status):
    made(qa, "dataset-run-items", runName="r 1", datasetItemId="one", traceId="t1")

    assert call(qa, "GET", "dataset-run-items", **query)[0] == status


def test_a_deleted_run_is_gone_with_its_items_and_scores_and_can_be_made_again(qa):
    link = {"runName": "r 1", "datasetItemId": "one", "traceId": "t1"}
    made(qa, "dataset-run-items", **link)
    made(qa, "scores", name="s", value=1, datasetRunId=RUN_ID, id="of the run")
    made(qa, "scores", name="s", value=1, traceId="t1", id="of its trace")

    assert call(qa, "DELETE", "datasets/qa/runs/r%201") == (200, {"message": "Dataset run successfully deleted"})
    assert call(qa, "GET", "datasets/qa/runs/r%201")[0] == 404
    assert call(qa, "DELETE", "datasets/qa/runs/r%201")[0] == 404
    assert call(qa, "GET", "v2/scores/of%20its%20trace")[0] == 200
    assert made(qa, "dataset-run-items", **{**link, "datasetItemId": "two"})["datasetRunId"] == RUN_ID
    assert listed(qa, "dataset-run-items", "datasetItemId", datasetId="id-1", runName="r 1") == ["two"]
    assert call(qa, "GET", "v2/scores/of%20the%20run")[0] == 404


def test_run_items_come_in_pages(qa):
    for item in ("one", "two", "three"):
        made(qa, "dataset-run-items", runName="r 1", datasetItemId=item, traceId=f"t-{item}")

    query = {"datasetId": "id-1", "runName": "r 1", "limit": "2"}
    assert listed(qa, "dataset-run-items", "traceId", **query) == ["t-three", "t-two"]
    assert listed(qa, "dataset-run-items", "traceId", page="2", **query) == ["t-one"]
