"""Runs read back from a store are what they were when they ran."""

from __future__ import annotations

import pytest

from interactiveai_eval import Evaluation, Interactive
from interactiveai_eval.stores.stored_runs import read_run, stored_runs
from interactiveai_eval.testing import CountingIds, ManualClock


@pytest.fixture
def clock():
    return ManualClock("2026-01-01T00:00:00Z")


@pytest.fixture
def client(clock):
    with Interactive.local(clock=clock, ids=CountingIds()) as made:
        yield made


def exact(*, output, expected_output):
    return Evaluation(name="exact", value=output == expected_output, comment=f"got {output}")


def length(*, output):
    return len(output)


def tone(*, output):
    return Evaluation(name="tone", value="calm", metadata={"by": "rule"})


def picky(*, output):
    if output == "Emma":
        raise ValueError("not this one")


def test_an_experiment_comes_back_as_it_ran(client):
    def task(*, item):
        if item["input"] == "bad":
            raise KeyError("no such title")
        return item["input"].title()

    data = [
        {"id": "a", "input": "war", "expected_output": "War", "metadata": {"shelf": 1}},
        {"id": "b", "input": "emma", "expected_output": "Ema"},
        {"id": "c", "input": "bad"},
    ]
    result = client.run_experiment(
        name="titles",
        run_name="titles 1",
        description="all of them",
        data=data,
        task=task,
        evaluators=[exact, length, tone, picky],
        max_concurrency=1,
    )
    [run] = stored_runs(client.api)
    record, spans = read_run(client.api, run)

    assert (run.name, run.run_name, run.dataset_name, run.started) == (
        "titles", "titles 1", None, "2026-01-01T00:00:00.000Z",
    )  # fmt: skip
    assert (record.description, record.experiment_id) == ("all of them", result.experiment_id)
    results = sorted(record.item_results, key=lambda read: read.item_id)  # they began at one time
    for read, ran in zip(results, result.item_results):
        assert (read.item_id, read.output, read.trace_id, read.attempts) == (
            ran.item_id, ran.output, ran.trace_id, ran.attempts,
        )  # fmt: skip
        assert sorted(read.evaluations, key=lambda e: e.name) == sorted(
            (e.replaced(value=float(e.value)) if e.name == "length" else e for e in ran.evaluations),
            key=lambda e: e.name,
        )
        assert [f.error_type for f in read.evaluator_failures] == [f.error_type for f in ran.evaluator_failures]
    assert results[0].item == {"input": "war", "expected_output": "War", "metadata": {"shelf": 1}}
    [failure], [failed] = record.item_failures, result.item_failures
    assert (failure.item_id, failure.error_type, failure.message, failure.traceback, failure.attempts) == (
        "c", failed.error_type, failed.message, failed.traceback, 1,
    )  # fmt: skip
    names = [(name, kind, depth) for name, kind, depth, *_ in spans[result.item_results[0].trace_id]]
    assert names[0] == ("experiment-item-run", "SPAN", 0)
    assert sorted(names[1:]) == [(name, "EVALUATOR", 1) for name in ("exact", "length", "picky", "tone")]


def test_spans_tell_when_they_began_and_how_long_they_took(client, clock):
    def task(*, item):
        clock.advance(0.25)
        with client.start_as_current_span(name="outer"):
            clock.advance(1)
            with client.start_as_current_span(name="inner", as_type="tool"):
                clock.advance(0.5)
        return 1

    client.run_experiment(name="timed", data=[{"input": 1}], task=task)
    [run] = stored_runs(client.api)
    record, spans = read_run(client.api, run)

    assert list(spans.values()) == [
        [
            ("experiment-item-run", "SPAN", 0, 0.0, 1750.0, ""),
            ("outer", "SPAN", 1, 250.0, 1750.0, ""),
            ("inner", "TOOL", 2, 1250.0, 1750.0, ""),
        ]
    ]
    assert record.duration_seconds == record.item_results[0].duration_seconds == 1.75


def test_runs_of_data_sets_come_with_their_name_and_their_evaluations(client, clock):
    client.create_dataset(name="capitals")
    client.create_dataset_item(dataset_name="capitals", id="fr", input="France", expected_output="Paris")

    def share(*, item_results):
        return 0.5

    for name in ("v1", "v2"):
        clock.advance(60)
        client.get_dataset("capitals").run_experiment(
            name="cap", run_name=name, task=lambda item: "Paris", evaluators=[exact], run_evaluators=[share]
        )
    runs = stored_runs(client.api)
    record, _ = read_run(client.api, runs[0])

    assert [(run.name, run.run_name, run.dataset_name) for run in runs] == [
        ("cap", "v2", "capitals"),
        ("cap", "v1", "capitals"),
    ]
    assert [(e.name, e.value) for e in record.run_evaluations] == [("share", 0.5)]
    assert [(r.item_id, r.item["expected_output"], r.output) for r in record.item_results] == [("fr", "Paris", "Paris")]


def test_a_linked_trace_that_is_not_in_the_store_is_a_failure_not_a_gap(client):
    client.create_dataset(name="capitals")
    client.create_dataset_item(dataset_name="capitals", id="fr", input="France")
    client.api.create_dataset_run_item({"runName": "r", "datasetItemId": "fr", "traceId": "elsewhere"})
    [run] = stored_runs(client.api)
    record, _ = read_run(client.api, run)

    assert record.item_results == []
    assert [(f.item_id, f.error_type, f.message) for f in record.item_failures] == [
        ("fr", "NotFoundError", "The trace of this item is not in the store.")
    ]


def test_traces_of_other_programs_are_no_runs_and_linked_ones_are_read_as_they_are(client):
    with client.start_as_current_span(name="alone", input="hello", output="world"):
        pass
    client.flush()
    assert stored_runs(client.api) == []

    client.create_dataset(name="d")
    client.create_dataset_item(dataset_name="d", id="i", input="hello")
    [trace] = client.api.traces(page=1, limit=10)["data"]
    client.api.create_dataset_run_item({"runName": "r", "datasetItemId": "i", "traceId": trace["id"]})
    [run] = stored_runs(client.api)
    record, _ = read_run(client.api, run)
    assert [(r.item_id, r.item["input"], r.output) for r in record.item_results] == [("i", "hello", "world")]


def test_repetitions_are_told_apart_by_their_order(client):
    client.run_experiment(name="twice", data=[{"id": "a", "input": 1}], task=lambda item: 2, repetitions=2)
    [run] = stored_runs(client.api)
    record, _ = read_run(client.api, run)

    assert sorted((r.index, r.repetition) for r in record.item_results) == [(0, 0), (0, 1)]


def test_an_interrupted_run_can_be_read_like_any_other(client):
    def stopping():
        yield {"input": 1}
        raise OSError("the data is gone")

    with pytest.raises(Exception, match="the data is gone"):
        client.run_experiment(name="cut", data=stopping(), task=lambda item: item["input"])
    [run] = stored_runs(client.api)

    assert len(read_run(client.api, run)[0].item_results) == 1


def test_items_of_a_data_set_have_the_same_numbers_in_all_its_runs(client, clock):
    """Each run began with another item, and so the same item had another number on each page."""
    client.create_dataset(name="d")
    for id in ("q2", "q10", "q1"):
        clock.advance(1)
        client.create_dataset_item(dataset_name="d", id=id, input=id)
    items = client.get_dataset("d").items
    for order in (items, items[::-1]):
        clock.advance(60)

        def task(*, item):
            clock.advance(1)
            return item.input

        client.run_experiment(name="e", run_name=f"r {order[0].id}", data=order, task=task, max_concurrency=1)
    runs = [read_run(client.api, run)[0] for run in stored_runs(client.api)]

    assert len(runs) == 2
    for record in runs:
        assert sorted((r.index, r.item_id) for r in record.item_results) == [(0, "q1"), (1, "q2"), (2, "q10")]


def test_scores_given_to_the_trace_of_a_run_afterwards_are_metrics_of_their_own(client):
    client.run_experiment(name="e", data=[{"input": 1}], task=lambda item: 2, evaluators=[length_of_one])
    client.run_batched_evaluation(
        scope="traces",
        mapper=lambda *, item: {"input": 1, "output": 1},
        evaluators=[lambda *, output: {"name": "length_of_one", "value": 7}],
    )
    [run] = stored_runs(client.api)
    [result] = read_run(client.api, run)[0].item_results

    assert sorted((e.name, e.value) for e in result.evaluations) == [
        ("length_of_one", 1.0), ("length_of_one (on the trace)", 7.0),
    ]  # fmt: skip


def length_of_one(*, output):
    return 1.0


def test_a_run_whose_spans_alone_name_its_data_set_is_of_that_data_set(client):
    """Newer servers keep runs of data sets as experiments: there is no run in their list of runs."""
    client.create_dataset(name="capitals")
    dataset = client.api.dataset("capitals")["id"]
    with client.start_as_current_span(name="item", input="fr", output="Paris") as span:
        for name, value in (("id", "e1"), ("name", "v1"), ("dataset.id", dataset), ("item.id", "fr")):
            span.attributes[f"langfuse.experiment.{name}"] = value
        span.attributes["langfuse.environment"] = "sdk-experiment"
    client.flush()
    [run] = stored_runs(client.api)

    assert (run.run_name, run.dataset_name) == ("v1", "capitals")
