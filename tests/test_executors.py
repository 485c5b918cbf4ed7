"""Items on executors whose workers share no memory with us: whole items there, and here all that comes back."""
from __future__ import annotations

import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import pytest

from interactiveai_eval import ArgumentError, Interactive
from interactiveai_eval.running import elsewhere

from . import far


def numbers(n):
    return [{"input": i} for i in range(n)]


def outputs(result):
    return [item.output for item in result.item_results]


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2) as pool:
        yield pool


class Engine:
    """An executor in this process that keeps what it was given; `lose(orders)` says whether a group is lost."""

    def __init__(self, lose=lambda orders: False, workers=None):
        self.groups = []
        self.lose = lose
        if workers is not None:
            self._max_workers = workers

    def submit(self, function, *arguments):
        future = Future()
        if arguments and arguments[0] is elsewhere.run_group:
            orders = arguments[1][1]
            self.groups.append(len(orders))
            if self.lose(orders):
                future.set_exception(BrokenProcessPool("a worker was lost"))
                return future
        future.set_result(function(*arguments))
        return future


def test_items_come_back_as_if_they_had_run_here(processes):
    """Evaluation by evaluation and span by span: nested spans, marks on the item's span, scores, failures, counts."""
    items = [*far.gsm8k(5), {"input": "no metadata"}, {"metadata": {}}]
    with Interactive.local() as near, near.propagate_attributes(session_id="s", metadata={"team": "blue"}):
        here = near.run_experiment(data=items, **far.SOLVING)
        shown = far.picture(near)
    with Interactive.local() as client, client.propagate_attributes(session_id="s", metadata={"team": "blue"}):
        there = client.run_experiment(data=items, executor=processes, **far.SOLVING)

        assert far.told(there) == far.told(here)
        assert far.picture(client) == shown
    assert [failure.stage for failure in here.item_failures] == ["task", "input"]
    assert max(len(observations) for _, observations, _ in shown.values()) == 9


def test_a_worker_that_inherits_nothing_finds_a_client_too():
    """Spawned: no client in memory, no credentials. What `get_client` finds there sends nothing by itself."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, Interactive.local() as client:
        result = client.run_experiment(data=far.gsm8k(1), executor=pool, **far.SOLVING)
        names = {row["name"] for row in client.api.observations(limit=100)["data"]}

    assert len(result.item_results) == 4 and {"model", "look_up", "measure"} <= names


def test_the_mask_of_the_client_hides_what_is_recorded_there(processes):
    with Interactive.local(mask=far.hides) as client:
        client.run_experiment(data=far.gsm8k(1), executor=processes, **far.SOLVING)
        rows = client.api.observations(limit=100)["data"]

    found = {(row["name"], row["input"], row["output"]) for row in rows if row["name"] == "model"}
    assert found == {("model", "hidden", "hidden")}


def test_a_mask_that_cannot_travel_is_refused_before_any_work(processes):
    with Interactive.local(mask=lambda *, data: data) as client:
        with pytest.raises(ArgumentError, match="cannot carry the mask to its workers"):
            client.run_experiment(name="m", data=numbers(1), task=far.square, executor=processes)


def test_what_an_unsampled_item_records_there_is_counted_as_left_out(processes):
    def skipped(executor):
        with Interactive.local(sample_rate=0.0) as client:
            return client.run_experiment(data=far.gsm8k(1), executor=executor, **far.SOLVING).delivery.by_kind

    assert skipped(processes) == skipped(None)


def test_what_cannot_travel_back_or_there_fails_its_item_alone(client, processes):
    items = [*numbers(3), {"input": threading.Lock()}]
    result = client.run_experiment(name="l", data=items, task=far.gives_a_lock, executor=processes, executor_group=4)

    assert outputs(result) == [0, 2]
    assert [(f.index, f.stage, f.error_type) for f in result.item_failures] == [
        (1, "task", "TypeError"),
        (3, "task", "TypeError"),
    ]
    assert {f.message for f in result.item_failures} == {"cannot pickle '_thread.lock' object"}


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_call_that_overruns_there_is_given_up_and_its_worker_goes_on(client):
    items = [{"input": 0.0}, {"input": 30.0}, {"input": 0.0}]
    with ProcessPoolExecutor(1) as pool:
        result = client.run_experiment(name="t", data=items, task=far.sleeps, task_timeout=0.5, executor=pool)

    assert outputs(result) == [0.0, 0.0]
    (failure,) = result.item_failures
    told = (failure.index, failure.stage, failure.error_type, failure.message, failure.attempts)
    assert told == (1, "timeout", "TimeoutError", "the task did not finish within 0.5 s", 1)


def test_an_evaluator_that_overruns_there_is_a_failure_of_its_own(client):
    items = [{"input": 0}, {"input": 5}]
    with ProcessPoolExecutor(1) as pool:
        result = client.run_experiment(
            name="t",
            data=items,
            task=far.square,
            evaluators=[far.sleeps_over, far.is_even],
            evaluator_timeout=0.5,
            executor=pool,
        )

    slow = result.item_results[1]
    assert [(f.evaluator, f.error_type) for f in slow.evaluator_failures] == [("sleeps_over", "TimeoutError")]
    assert [evaluation.name for evaluation in slow.evaluations] == ["is_even"]


# -- groups ------------------------------------------------------------------------------------------------------------


def test_quick_items_travel_together_and_slow_ones_alone(client):
    quick, slow = Engine(workers=2), Engine(workers=2)

    client.run_experiment(name="q", data=numbers(300), task=far.square, executor=quick, max_concurrency=64)
    items = [{"input": 0.06}] * 6
    client.run_experiment(name="s", data=items, task=far.sleeps, executor=slow, max_concurrency=64)

    assert sum(quick.groups) == 300 and 1 < max(quick.groups) <= 16
    assert slow.groups == [1] * 6


def test_the_size_of_groups_can_be_given(client):
    engine = Engine(workers=1)

    result = client.run_experiment(
        name="g", data=numbers(40), task=far.square, executor=engine, executor_group=10, max_concurrency=40
    )

    assert sum(engine.groups) == 40 and max(engine.groups) == 10 and outputs(result) == [i**2 for i in range(40)]
    with pytest.raises(ArgumentError, match="executor_group=0"):
        client.run_experiment(name="g", data=numbers(1), task=far.square, executor=engine, executor_group=0)


def test_an_executor_of_interpreters_is_none_of_threads(client):
    """Python 3.14's is a subclass of ThreadPoolExecutor, but what it runs must be able to travel."""
    submitted = []

    class InterpreterPoolExecutor(ThreadPoolExecutor):
        def submit(self, function, /, *arguments):
            submitted.append(arguments[0])
            return super().submit(function, *arguments)

    with InterpreterPoolExecutor(1) as pool:
        result = client.run_experiment(name="i", data=numbers(3), task=far.square, executor=pool)

    assert outputs(result) == [0, 1, 4] and submitted[1:] == [elsewhere.run_group] * len(submitted[1:])


def test_an_executor_that_answers_nonsense_fails_the_items_and_does_not_hang(client):
    class Nonsense(Engine):
        def submit(self, function, *arguments):
            future = super().submit(function, *arguments)
            answer = future.result()
            future = Future()
            future.set_result(answer if answer is True else (None, None, 0.0))
            return future

    result = client.run_experiment(name="n", data=numbers(2), task=far.square, executor=Nonsense())

    assert [(f.stage, f.error_type) for f in result.item_failures] == [("task", "TypeError")] * 2


# -- lost workers ------------------------------------------------------------------------------------------------------


def test_items_of_a_lost_worker_are_run_once_more_one_by_one(client):
    lost = []
    engine = Engine(lose=lambda orders: len(orders) > 1 and not lost and (lost.append(1) or True), workers=1)

    result = client.run_experiment(
        name="l", data=numbers(30), task=far.square, executor=engine, executor_group=5, max_concurrency=30
    )

    assert lost and outputs(result) == [i**2 for i in range(30)] and result.item_failures == []
    at = next(place for place, size in enumerate(engine.groups) if size > 1)
    assert engine.groups[at + 1 :].count(1) >= engine.groups[at]


def test_an_item_that_is_lost_twice_fails_with_the_error_of_the_executor(client):
    items = [{"input": 1, "metadata": "poison"}, *numbers(9)]
    engine = Engine(lose=lambda orders: any(order[0].get("metadata") == "poison" for order in orders), workers=1)

    result = client.run_experiment(name="l", data=items, task=far.square, executor=engine, executor_group=5)

    assert outputs(result) == [i**2 for i in range(9)]
    (failure,) = result.item_failures
    assert (failure.index, failure.stage, failure.error_type, failure.message) == (
        0,
        "task",
        "BrokenProcessPool",
        "a worker was lost",
    )


def test_retries_send_the_item_again(client, processes, tmp_path):
    result = client.run_experiment(
        name="r", data=[{"input": "a"}], task=far.square, task_retries=1, retry_on=TypeError, executor=processes
    )

    assert [(f.error_type, f.attempts) for f in result.item_failures] == [("TypeError", 2)]


# -- recorded traces ---------------------------------------------------------------------------------------------------


def recorded(client, inputs):
    for number, value in enumerate(inputs):
        place = {"trace_id": f"{number + 1:032x}"}
        client.start_span(name="recorded", input=value, output=value, trace_context=place).end()
    client.flush()


@pytest.mark.parametrize("many", [1, 4])
def test_recorded_traces_are_judged_there_as_they_are_here(processes, many):
    def judged(executor):
        with Interactive.local() as client:
            recorded(client, range(20))
            result = client.run_batched_evaluation(
                scope="traces",
                mapper=far.mapper,
                evaluators=[far.judge, far.is_even],
                composite_evaluator=far.mean,
                run_id="the same",
                executor=executor,
                executor_group=many,
            )
            scores = {(row["id"], row["name"], row["value"]) for row in client.api.scores(limit=100)["data"]}
        failures = sorted(repr(failure.replaced(traceback="")) for failure in result.item_failures)
        stats = [row.replaced(duration_seconds=0.0) for row in result.evaluator_stats]
        return scores, result.item_evaluations, failures, stats, result.delivery.by_kind

    assert judged(processes) == judged(None)


def test_a_mapper_that_overruns_there_fails_its_item_alone(client, processes):
    recorded(client, [0, 30, 0])
    result = client.run_batched_evaluation(
        scope="traces", mapper=far.slow_mapper, evaluators=[far.is_even], evaluator_timeout=0.5, executor=processes
    )

    assert [(f.item_id[-1], f.stage, f.error_type) for f in result.item_failures] == [("2", "mapper", "TimeoutError")]
    assert result.total_items_processed == 2
