"""Data sets, their items and runs, in both dialects of the service."""
from __future__ import annotations

import asyncio
import copy
import datetime
import enum
import json
import logging
import pickle

import pytest

from interactiveai_eval import (
    ApiError,
    ArgumentError,
    Evaluation,
    FakeTransport,
    Interactive,
    LocalTransport,
    NotFoundError,
    Request,
    Response,
    Transport,
    TransportError,
)
from interactiveai_eval.testing import CountingIds, ManualClock, recorded_spans

NAMES = ["plain", "with space", "a/b", "qa set/1 \u00e9\u4e2d", "100%", "?x=1#y", "..a", "a%2Fb", "+", "tab\there"]


@pytest.fixture(params=["public", "platform"])
def dialect(request):
    return request.param


@pytest.fixture
def client(dialect):
    with Interactive.local(dialect=dialect, clock=ManualClock("2026-01-02T03:04:05Z")) as made:
        yield made


def filled(client, n, name="set"):
    client.create_dataset(name=name)
    for number in range(n):
        client.create_dataset_item(
            dataset_name=name, id=f"{name}-{number}", input={"q": number}, expected_output=2 * number
        )
    return client.get_dataset(name)


def ids(dataset):
    return [item.id for item in dataset]


def double(*, item):
    return item.input["q"] * 2


def exact(*, output, expected_output):
    return output == expected_output


# -- making and getting ------------------------------------------------------------------------------------------------


def test_a_data_set_is_made_and_got_with_everything_it_was_given(client):
    made = client.create_dataset(
        name="set",
        description="what for",
        metadata={"k": {"deep": [1]}},
        input_schema={"type": "object"},
        expected_output_schema={"type": "number"},
    )

    assert made.name == "set" and made.description == "what for" and made.metadata == {"k": {"deep": [1]}}
    assert (made.input_schema, made.expected_output_schema) == ({"type": "object"}, {"type": "number"})
    assert made.created_at == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    got = client.get_dataset("set")
    assert (got.id, got.name, got.description, got.metadata) == (made.id, "set", "what for", {"k": {"deep": [1]}})
    assert repr(got) == "DatasetClient(name='set', 0 items)" and len(got) == 0 and list(got) == []


def test_making_a_data_set_again_changes_it(client):
    first = client.create_dataset(name="set", description="old", metadata={"a": 1})
    second = client.create_dataset(name="set", description="new")

    assert second.id == first.id and (second.description, second.metadata) == ("new", {"a": 1})


def test_an_item_is_made_and_got_with_everything_it_was_given(client):
    client.create_dataset(name="set")
    made = client.create_dataset_item(
        dataset_name="set",
        id="item-1",
        input={"q": [1, "\u00e9"]},
        expected_output=["a", None],
        metadata={"k": 1},
        source_trace_id="t" * 32,
        source_observation_id="o" * 16,
        status="ACTIVE",
    )

    (item,) = client.get_dataset("set").items
    assert item == made
    assert {name: item[name] for name in ("id", "input", "expected_output", "metadata", "status", "dataset_name")} == {
        "id": "item-1",
        "input": {"q": [1, "\u00e9"]},
        "expected_output": ["a", None],
        "metadata": {"k": 1},
        "status": "ACTIVE",
        "dataset_name": "set",
    }
    assert (item.source_trace_id, item.source_observation_id) == ("t" * 32, "o" * 16)
    assert item.dataset_id == client.get_dataset("set").id
    assert item.created_at.tzinfo is not None


def test_an_item_of_the_same_id_is_changed_and_keeps_what_is_left_out(client):
    client.create_dataset(name="set")
    client.create_dataset_item(dataset_name="set", id="i", input=1, expected_output=2, metadata={"a": 1})
    client.create_dataset_item(dataset_name="set", id="i", expected_output=3)

    (item,) = client.get_dataset("set")
    assert (item.input, item.expected_output, item.metadata) == (1, 3, {"a": 1})


@pytest.mark.parametrize("page_size", [1, 2, 50, 100, None])
def test_all_pages_are_read_in_the_servers_order(client, page_size):
    """Newest first, as real servers list them."""
    filled(client, 5)

    dataset = client.get_dataset("set", fetch_items_page_size=page_size)

    assert ids(dataset) == ["set-4", "set-3", "set-2", "set-1", "set-0"] and len(dataset) == 5


@pytest.mark.parametrize("size", [0, -1, 101, 2.5, "50"])
def test_page_sizes_that_no_server_takes_are_refused(client, size):
    with pytest.raises(ArgumentError, match=r"fetch_items_page_size=.*must be from 1 to 100"):
        client.get_dataset("set", fetch_items_page_size=size)


def test_archived_items_are_left_out_unless_asked_for(client):
    """The reference fetches and runs them (D64)."""
    filled(client, 3)
    client.create_dataset_item(dataset_name="set", id="set-1", status="ARCHIVED")

    assert ids(client.get_dataset("set")) == ["set-2", "set-0"]
    everything = client.get_dataset("set", include_archived=True)
    assert [(item.id, item.status) for item in everything] == [
        ("set-2", "ACTIVE"),
        ("set-1", "ARCHIVED"),
        ("set-0", "ACTIVE"),
    ]
    client.create_dataset_item(dataset_name="set", id="set-1", status="ACTIVE")
    assert len(client.get_dataset("set")) == 3


def test_a_server_that_lists_archived_items_all_the_same_is_not_believed(dialect):
    """The platform's own listing has them with their status."""
    rows = [{"id": "a", "status": "ACTIVE"}, {"id": "b", "status": "ARCHIVED"}]
    with served(dialect, rows) as client:
        assert ids(client.get_dataset("set")) == ["a"]
        assert ids(client.get_dataset("set", include_archived=True)) == ["a", "b"]


def test_other_states_of_items_are_refused(client):
    client.create_dataset(name="set")
    with pytest.raises(ArgumentError, match="status='DELETED': must be 'ACTIVE' or 'ARCHIVED'"):
        client.create_dataset_item(dataset_name="set", status="DELETED")


def test_states_may_be_members_of_an_enum(client):
    class Status(str, enum.Enum):
        ARCHIVED = "ARCHIVED"

    client.create_dataset(name="set")
    assert client.create_dataset_item(dataset_name="set", input=1, status=Status.ARCHIVED).status == "ARCHIVED"


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind_lead_to_their_data_set_and_run(client, name):
    dataset = filled(client, 1, name=name)

    result = dataset.run_experiment(name="exp", run_name=name, task=double)

    assert dataset.name == dataset.items[0].dataset_name == name
    assert client.get_dataset_run(dataset_name=name, run_name=name).id == result.dataset_run_id
    assert [run.name for run in client.get_dataset_runs(dataset_name=name).data] == [name]
    client.delete_dataset_run(dataset_name=name, run_name=name)
    assert client.get_dataset_runs(dataset_name=name).data == []


NOT_A_NAME = r"must be a text that is not empty, '\.' or '\.\.'"
NOT_TO_BE_KEPT = "must not have NUL characters or lone surrogates"


@pytest.mark.parametrize(
    "name, problem",
    [
        *((name, NOT_A_NAME) for name in ("", " ", ".", "..", None, 5)),
        *((name, NOT_TO_BE_KEPT) for name in ("odd \ud800", "nul \0")),
    ],
)
@pytest.mark.parametrize(
    "act",
    [
        lambda client, name: client.create_dataset(name=name),
        lambda client, name: client.get_dataset(name),
        lambda client, name: client.create_dataset_item(dataset_name=name),
        lambda client, name: client.get_dataset_runs(dataset_name=name),
        lambda client, name: client.get_dataset_run(dataset_name=name, run_name="r"),
        lambda client, name: client.get_dataset_run(dataset_name="set", run_name=name),
        lambda client, name: client.delete_dataset_run(dataset_name=name, run_name="r"),
        lambda client, name: client.delete_dataset_run(dataset_name="set", run_name=name),
        lambda client, name: client.get_dataset("set").items[0].run(run_name=name),
    ],
)
def test_names_that_would_change_the_path_or_cannot_be_kept_are_refused(client, act, name, problem):
    """In the reference a data set named `..` changes the path (D65)."""
    filled(client, 1)

    with pytest.raises(ArgumentError, match=problem):
        act(client, name)


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.get_dataset("nowhere"),
        lambda client: client.create_dataset_item(dataset_name="nowhere", input=1),
        lambda client: client.get_dataset_runs(dataset_name="nowhere"),
        lambda client: client.get_dataset_run(dataset_name="set", run_name="nowhere"),
        lambda client: client.delete_dataset_run(dataset_name="set", run_name="nowhere"),
    ],
)
def test_what_is_not_there_is_not_found(client, act):
    filled(client, 1)

    with pytest.raises(NotFoundError, match="answered 404") as refused:
        act(client)

    assert refused.value.status_code == 404 and isinstance(refused.value.body, dict)


@pytest.mark.parametrize("value", [0, False, "", [], {}, "text", 1.5, {"a": {"b": [None, "\u00e9"]}}])
def test_values_of_any_json_kind_are_read_back_from_items(client, value):
    client.create_dataset(name="set")
    client.create_dataset_item(dataset_name="set", input=value, expected_output=value, metadata={"v": value})

    (item,) = client.get_dataset("set")
    assert (item.input, item.expected_output, item.metadata) == (value, value, {"v": value})


def test_values_that_json_has_no_word_for_go_through_the_one_encoder(client):
    """In the reference NaN or a numpy number is an error here, and an item that is not linked (D24)."""
    client.create_dataset(name="set")
    client.create_dataset_item(
        dataset_name="set",
        input={"nan": float("nan"), "set": {2, 1}, "when": datetime.date(2026, 1, 2), "big": 2**60},
        metadata={1: "a", "1": "b"},
    )

    (item,) = client.get_dataset("set")
    assert item.input == {"nan": "NaN", "set": [1, 2], "when": "2026-01-02", "big": str(2**60)}
    assert item.metadata == {"1": "a", "1#2": "b"}


# -- values ------------------------------------------------------------------------------------------------------------


def test_items_read_well_compare_and_travel(client):
    (item,) = filled(client, 1)

    assert repr(item).startswith(
        "DatasetItemClient(id='set-0', input={'q': 0}, expected_output=0, metadata=None, status='ACTIVE', dataset_id='"
    )
    for travelled in (pickle.loads(pickle.dumps(item)), copy.deepcopy(item)):
        assert travelled == item and travelled.raw == item.raw and travelled is not item
        with pytest.raises(ArgumentError, match="is a copy without a client"):
            travelled.run(run_name="r")
    assert item.replaced(input=5).input == 5 and item.replaced(input=5) != item and item.input == {"q": 0}
    assert copy.deepcopy(item.replaced(input=5)).input == 5
    with pytest.raises(AttributeError, match="is a value"):
        item.input = 1
    assert item.to_dict() == {"id": "set-0", "input": {"q": 0}, "expected_output": 0, "metadata": None}


def test_reprs_show_what_matters_first(client):
    dataset = filled(client, 1)
    result = dataset.run_experiment(name="exp", run_name="run", task=double)

    run = client.get_dataset_run(dataset_name="set", run_name="run")
    page = client.get_dataset_runs(dataset_name="set")
    assert repr(client.create_dataset(name="set")).startswith(f"Dataset(id='{dataset.id}', name='set', description=None, ")
    assert repr(run).startswith(f"DatasetRunWithItems(id='{result.dataset_run_id}', name='run', description=None, ")
    assert repr(run.dataset_run_items[0]).startswith(
        f"DatasetRunItem(id='{run.dataset_run_items[0].id}', dataset_run_id='{run.id}', dataset_run_name='run', "
    )
    assert repr(page.meta) == "PageMeta(page=1, limit=50, total_items=1, total_pages=1)"
    assert repr(page).startswith(f"DatasetRunPage(data=[DatasetRun(id='{run.id}', name='run', ")
    assert repr(client.delete_dataset_run(dataset_name="set", run_name="run")) == (
        "DeletedRun(message='Dataset run successfully deleted')"
    )


def served(dialect, rows, **settings):
    """A client of a server that has one data set with these rows, in one page unless `pages` says more."""
    pages = settings.pop("pages", [rows])

    def handler(request):
        page = int(dict(request.query).get("page", 1))
        meta = {"page": page, "limit": 50, "totalItems": len(rows), "totalPages": len(pages)}
        if request.path.endswith("projects"):
            return answer({"data": [{"id": "p", "orgId": "o"}]})
        if request.path.endswith("dataset-items"):
            found = pages[page - 1] if page <= len(pages) else []
            if dialect == "public":
                return answer({"data": found, "meta": meta})
            return answer({"data": {"items": found, "meta": {"total_pages": len(pages), "page": page}}})
        dataset = {"id": "d", "name": "set"}
        return answer(dataset if dialect == "public" else {"data": {"dataset": dataset}})

    def answer(value):
        return Response(200, body=json.dumps(value).encode())

    return Interactive(transport=FakeTransport(handler), dialect=dialect, **settings)


def test_fields_may_come_in_either_spelling_and_unknown_ones_are_kept(dialect):
    rows = [
        {"id": "a", "expectedOutput": 1, "datasetId": "d", "createdAt": "2026-01-02T03:04:05.678Z", "newField": {"x": 1}},
        {"id": "b", "expected_output": 2, "dataset_id": "d", "created_at": "not a time"},
        {"id": "c"},
    ]
    with served(dialect, rows) as client:
        first, second, third = client.get_dataset("set")

    assert (first.expected_output, first.dataset_id, first.raw["newField"]) == (1, "d", {"x": 1})
    assert first.created_at == datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, datetime.timezone.utc)
    assert (second.expected_output, second.created_at) == (2, "not a time")
    assert (third.input, third.status, third.created_at) == (None, None, None)


def test_an_item_that_moves_to_the_next_page_while_we_read_comes_once(dialect):
    """Somebody adds an item in between: everything moves down by one."""
    pages = [[{"id": "c"}, {"id": "b"}], [{"id": "b"}, {"id": "a"}]]
    with served(dialect, [1, 2, 3], pages=pages) as client:
        assert ids(client.get_dataset("set")) == ["c", "b", "a"]


def test_a_server_that_promises_pages_it_does_not_have_is_not_asked_for_ever(dialect):
    with served(dialect, [1], pages=[[{"id": "a"}], *([[]] * 1000)]) as client:
        assert ids(client.get_dataset("set")) == ["a"]


@pytest.mark.parametrize("body", [{"data": [5]}, {"data": {}}, {"data": []}, [], {"meta": {}}])
def test_a_page_that_is_none_is_an_error(body):
    def handler(request):
        return Response(200, body=json.dumps(body if "items" in request.path else {"id": "d", "name": "set"}).encode())

    with Interactive(transport=FakeTransport(handler), dialect="public") as client:
        with pytest.raises(ApiError):
            client.get_dataset("set")


def test_on_the_platform_requests_are_routed_and_their_keys_in_snake_case():
    """WIRE.md 2.1 to 2.5, as recorded from the reference; nested keys stay as they are."""
    with LocalTransport() as store, Interactive(
        transport=(transport := FakeTransport(store.send)), project=("org", "proj")
    ) as client:
        client.create_dataset(name="qa set/1", metadata={"camelCase": 1}, input_schema={})
        client.create_dataset_item(dataset_name="qa set/1", expected_output={"camelCase": 1}, source_trace_id="t")
        client.get_dataset("qa set/1", fetch_items_page_size=2)
        client.get_dataset_runs(dataset_name="qa set/1", page=1, limit=10)

    base = "/api/platform/v1/organizations/org/projects/proj/"
    assert [(r.method, r.path, list(r.query), json.loads(r.body or b"null")) for r in transport.requests] == [
        ("POST", base + "datasets", [], {"name": "qa set/1", "metadata": {"camelCase": 1}, "input_schema": {}}),
        (
            "POST",
            base + "dataset-items",
            [],
            {"dataset_name": "qa set/1", "expected_output": {"camelCase": 1}, "source_trace_id": "t"},
        ),
        ("GET", base + "datasets/qa%20set%2F1", [], None),
        ("GET", base + "dataset-items", [("dataset_name", "qa set/1"), ("page", "1"), ("limit", "2")], None),
        ("GET", base + "datasets/qa%20set%2F1/runs", [("page", "1"), ("limit", "10")], None),
    ]
    assert not any("content-type" in r.headers for r in transport.requests if r.method == "GET")  # and no body (D71)


# -- runs --------------------------------------------------------------------------------------------------------------


def test_an_experiment_on_a_data_set_is_a_run_with_linked_items(client):
    dataset = filled(client, 3)

    result = dataset.run_experiment(
        name="exp", run_name="run 1", description="what for", metadata={"model": "m"}, task=double, evaluators=[exact]
    )

    assert [item.output for item in result.item_results] == [4, 2, 0]
    assert [e.value for item in result.item_results for e in item.evaluations] == [True, True, True]
    run = client.get_dataset_run(dataset_name="set", run_name="run 1")
    assert (run.id, run.name, run.dataset_name) == (result.dataset_run_id, "run 1", "set")
    assert (run.description, run.metadata) == ("what for", {"model": "m"})
    spans = {span["id"]: span for span in recorded_spans(client)}
    assert {(row.dataset_item_id, row.trace_id) for row in run.dataset_run_items} == {
        (item.item_id, item.trace_id) for item in result.item_results
    }
    for row in run.dataset_run_items:
        assert (row.dataset_run_id, row.dataset_run_name) == (run.id, "run 1")
        assert spans[row.observation_id]["traceId"] == row.trace_id
    assert {item.dataset_run_id for item in result.item_results} == {run.id}
    assert result.dataset_run_url.endswith(f"/project/local-project/datasets/{dataset.id}/runs/{run.id}")
    assert result.delivery.by_kind["links"] == {"acknowledged": 3, "pending": 0, "rejected": 0, "skipped": 0}


def test_run_level_scores_belong_to_the_run(client):
    dataset = filled(client, 2)

    result = dataset.run_experiment(
        name="exp", task=double, run_evaluators=[lambda *, item_results: {"name": "n", "value": len(item_results)}]
    )

    (score,) = client.api.scores(datasetRunId=result.dataset_run_id)["data"]
    assert (score["name"], score["value"]) == ("n", 2.0)
    assert result.run_evaluations == [Evaluation(name="n", value=2)]


def test_the_awaitable_form_of_a_data_sets_experiment(client):
    dataset = filled(client, 2)

    result = asyncio.run(dataset.run_experiment_async(name="exp", task=double))

    assert len(result.item_results) == 2 and result.dataset_run_id is not None


def test_a_data_set_its_items_and_a_generator_of_them_are_data(client):
    """In the reference `data` must have a length and be a list (D63)."""
    dataset = filled(client, 2)

    for number, data in enumerate([dataset, dataset.items, iter(dataset), (item for item in dataset)]):
        result = client.run_experiment(name="exp", run_name=f"run {number}", data=data, task=double)
        run = client.get_dataset_run(dataset_name="set", run_name=f"run {number}")
        assert len(result.item_results) == len(run.dataset_run_items) == 2


def test_local_items_among_those_of_a_data_set_are_not_linked(client):
    """And the run's id does not depend on who comes first (D63)."""
    dataset = filled(client, 1)
    data = [{"input": {"q": 5}}, dataset.items[0], {"input": {"q": 6}}]

    result = client.run_experiment(
        name="exp", data=data, task=lambda *, item: (item["input"] if isinstance(item, dict) else item.input)["q"]
    )

    assert [item.output for item in result.item_results] == [5, 0, 6]
    run_id = result.dataset_run_id
    assert run_id is not None and [item.dataset_run_id for item in result.item_results] == [None, run_id, None]
    assert len(client.get_dataset_run(dataset_name="set", run_name=result.run_name).dataset_run_items) == 1


def test_a_failing_item_is_linked_too_and_the_result_says_that_it_failed(client):
    dataset = filled(client, 2)

    def task(*, item):
        if item.id == "set-0":
            raise ValueError("boo")
        return 1

    result = dataset.run_experiment(name="exp", run_name="run", task=task)

    run = client.get_dataset_run(dataset_name="set", run_name="run")
    assert {row.trace_id for row in run.dataset_run_items} == {
        result.item_results[0].trace_id,
        result.item_failures[0].trace_id,
    }
    assert result.item_failures[0].item_id == "set-0" and result.dataset_run_id == run.id


def test_running_again_under_the_same_name_replaces_the_links(client):
    dataset = filled(client, 2)
    first = dataset.run_experiment(name="exp", run_name="run", task=double)
    second = dataset.run_experiment(name="exp", run_name="run", task=double)

    run = client.get_dataset_run(dataset_name="set", run_name="run")
    assert first.dataset_run_id == second.dataset_run_id == run.id
    assert {row.trace_id for row in run.dataset_run_items} == {item.trace_id for item in second.item_results}


def test_what_a_task_changes_in_an_item_nobody_else_sees(client):
    dataset = filled(client, 1)
    before = copy.deepcopy(dataset.items[0])

    def vandal(*, item):
        item.input["q"] = "changed"
        item.raw.clear()
        return item.input

    def witness(*, input, item):
        return input == {"q": 0} and item.input == {"q": 0} and item.raw == before.raw

    result = dataset.run_experiment(name="exp", task=vandal, evaluators=[witness], repetitions=2)

    assert [e.value for item in result.item_results for e in item.evaluations] == [True, True]
    assert dataset.items[0] == before and result.item_results[0].output == {"q": "changed"}


def test_a_run_of_repetitions_shows_one_row_an_item_and_all_traces_have_its_id(client):
    """The server keeps the last link of an item; each is acknowledged."""
    dataset = filled(client, 2)

    result = dataset.run_experiment(name="exp", task=double, repetitions=3)
    rows = client.get_dataset_run(dataset_name="set", run_name=result.run_name).dataset_run_items
    traces = {item.trace_id: item.item_id for item in result.item_results}

    assert result.delivery.by_kind["links"]["acknowledged"] == len(traces) == 6
    assert sorted(traces[row.trace_id] for row in rows) == ["set-0", "set-1"]
    assert {item.dataset_run_id for item in result.item_results} == {result.dataset_run_id}


def test_a_link_that_fails_is_tried_again_then_reported_and_the_item_still_runs(dialect):
    """In the reference one 429 loses the link, and may lose the run's id and its scores (D25)."""

    class Unwilling(Transport):
        refusals = 2

        def send(self, request):
            if request.method == "POST" and request.path.endswith("dataset-run-items"):
                body = json.loads(request.body)
                item_id = body.get("datasetItemId", body.get("dataset_item_id"))
                if item_id == "set-1" and self.refusals:
                    self.refusals -= 1
                    return Response(429, body=b'{"message": "slow down"}')
                if item_id == "set-0":
                    raise TransportError("cut", request=request)
            return store.send(request)

    with LocalTransport() as store, Interactive(
        transport=Unwilling(), dialect=dialect, clock=ManualClock(jumps=True)
    ) as client:
        result = filled(client, 3).run_experiment(name="exp", task=double, run_evaluators=[lambda *, item_results: 1])
        assert len(client.get_dataset_run(dataset_name="set", run_name=result.run_name).dataset_run_items) == 2
        assert client.api.scores(datasetRunId=result.dataset_run_id)["meta"]["totalItems"] == 1

    assert len(result.item_results) == 3 and result.dataset_run_id is not None
    assert result.delivery.by_kind["links"] == {"acknowledged": 2, "pending": 1, "rejected": 0, "skipped": 0}
    (problem,) = [problem for problem in result.delivery.problems if problem.kind == "links"]
    assert (problem.item_id, problem.state, problem.reason) == ("set-0", "pending", "cut")


@pytest.mark.parametrize("asked, waited", [("3", 3.0), ("0", 0.5), ("3600", 0.0)])
def test_a_link_waits_for_as_long_as_the_server_asks_but_holds_no_item_up_for_an_hour(dialect, asked, waited):
    clock, begun, linked = ManualClock(jumps=True), [], []

    class Busy(Transport):
        def send(self, request):
            if request.method == "POST" and request.path.endswith("dataset-run-items"):
                linked.append(clock.monotonic())
                if len(linked) == 1:
                    return Response(429, headers={"retry-after": asked}, body=b'{"message": "slow down"}')
            return store.send(request)

    def task(*, item):
        begun.append(clock.monotonic())
        return item.input

    with LocalTransport() as store, Interactive(transport=Busy(), dialect=dialect, clock=clock) as client:
        result = filled(client, 1).run_experiment(name="busy", task=task)

    assert [round(moment - linked[0], 3) for moment in begun] == [waited]
    assert result.delivery.by_kind["links"]["acknowledged"] == 1  # the last one at the end of the run


def test_metadata_that_json_has_no_word_for_links_all_the_same(client):
    """In the reference nothing is linked then, and there is no run (D24)."""
    dataset = filled(client, 2)

    result = dataset.run_experiment(
        name="exp", run_name="run", task=double, metadata={"t": float("inf"), "s": {1}, 5: object()}
    )

    run = client.get_dataset_run(dataset_name="set", run_name="run")
    assert len(run.dataset_run_items) == 2 and result.dataset_run_id == run.id
    assert run.metadata == {"t": "Infinity", "s": [1], "5": "<object>"}


def test_runs_are_listed_newest_first_by_page(client):
    dataset = filled(client, 1)
    for number in range(3):
        dataset.run_experiment(name="exp", run_name=f"run {number}", task=double)

    first = client.get_dataset_runs(dataset_name="set", page=1, limit=2)
    second = client.get_dataset_runs(dataset_name="set", page=2, limit=2)

    assert [run.name for run in (*first.data, *second.data)] == ["run 2", "run 1", "run 0"]
    assert (first.meta.page, first.meta.limit, first.meta.total_items, first.meta.total_pages) == (1, 2, 3, 2)
    assert len(client.get_dataset_runs(dataset_name="set").data) == 3
    with pytest.raises(ApiError, match="answered 400"):
        client.get_dataset_runs(dataset_name="set", limit=101)


def test_a_run_of_more_items_than_a_page_is_whole(client):
    dataset = filled(client, 120)

    dataset.run_experiment(name="exp", run_name="run", task=double)

    run = client.get_dataset_run(dataset_name="set", run_name="run")
    assert {row.dataset_item_id for row in run.dataset_run_items} == set(ids(dataset))


def test_deleting_a_run_leaves_its_traces(client):
    dataset = filled(client, 1)
    result = dataset.run_experiment(name="exp", run_name="run", task=double)

    deleted = client.delete_dataset_run(dataset_name="set", run_name="run")

    assert deleted.message == "Dataset run successfully deleted"
    with pytest.raises(NotFoundError):
        client.get_dataset_run(dataset_name="set", run_name="run")
    assert client.api.trace(result.item_results[0].trace_id)["id"] == result.item_results[0].trace_id


# -- runs by hand ------------------------------------------------------------------------------------------------------


def test_an_item_is_run_by_hand_in_a_span_of_its_own_trace(client):
    (item,) = filled(client, 1)
    with client.start_as_current_span(name="outer") as outer:
        with item.run(run_name="by hand", run_metadata={"m": 1}, run_description="d") as span:
            client.start_span(name="nested").end()
            span.update(output="answer")
            span.score_trace(name="ok", value=True)

    run = client.get_dataset_run(dataset_name="set", run_name="by hand")
    spans = {each["name"]: each for each in recorded_spans(client)}
    recorded = spans["Dataset run: by hand"]
    assert [(row.dataset_item_id, row.trace_id) for row in run.dataset_run_items] == [("set-0", span.trace_id)]
    assert (run.metadata, run.description) == ({"m": 1}, "d")
    assert (recorded["input"], recorded["output"], recorded["parentObservationId"]) == ({"q": 0}, "answer", None)
    assert spans["nested"]["parentObservationId"] == span.id and span.trace_id != outer.trace_id
    assert [score["name"] for score in client.api.trace(span.trace_id)["scores"]] == ["ok"]


def test_a_run_by_hand_that_cannot_be_linked_says_so_before_the_work(client):
    (item,) = filled(client, 1)
    client.create_dataset_item(dataset_name="set", id="set-0", status="ARCHIVED")

    with pytest.raises(NotFoundError), item.run(run_name="by hand"):
        raise AssertionError("not reached")

    (span,) = recorded_spans(client)
    (problem,) = client.flush().problems
    assert client.get_current_trace_id() is None and span["level"] == "ERROR"
    assert (problem.kind, problem.state, problem.id, problem.item_id) == ("links", "rejected", span["traceId"], "set-0")


def test_an_error_in_a_run_by_hand_is_recorded_and_goes_on(client):
    (item,) = filled(client, 1)
    with pytest.raises(ValueError), item.run(run_name="by hand"):
        raise ValueError("boo")

    (span,) = recorded_spans(client)
    assert (span["level"], span["statusMessage"]) == ("ERROR", "ValueError: boo")


def test_two_dialects_are_one_store():
    """What one writes the other reads; the platform form is names and an envelope."""
    with LocalTransport() as store:
        public = Interactive(transport=store, dialect="public")
        platform = Interactive(transport=store, dialect="platform", ids=CountingIds())
        dataset = filled(public, 2)
        result = platform.get_dataset("set").run_experiment(name="exp", run_name="run", task=double)

        assert [item.raw["id"] for item in platform.get_dataset("set")] == ids(dataset)
        assert public.get_dataset_run(dataset_name="set", run_name="run").id == result.dataset_run_id
        assert store.send(Request("GET", "/api/public/v2/datasets/set")).status == 200
        public.close(), platform.close()


def test_nothing_is_said_in_the_log_when_all_is_well(client, caplog):
    filled(client, 2).run_experiment(name="exp", task=double, evaluators=[exact])

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_data_set_is_its_own_data(client):
    client.create_dataset(name="set")
    with pytest.raises(ArgumentError, match=r"data=.* is this data set; leave it out"):
        client.get_dataset("set").run_experiment(name="e", task=lambda item: 1, data=[])


def test_the_trace_of_a_run_by_hand_says_what_it_is_of(client):
    (item,) = filled(client, 1)
    with item.run(run_name="by hand") as span:
        pass
    client.flush()

    trace = client.api.trace(span.trace_id)
    assert trace["name"] == "Dataset run: by hand"
    where = {"dataset_item_id": item.id, "run_name": "by hand", "dataset_id": item.dataset_id}
    assert {key: trace["metadata"].get(key) for key in where} == where
