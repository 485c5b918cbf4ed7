"""`run_experiment`: what goes in, what comes out, and that nothing is lost on the way."""
from __future__ import annotations

import asyncio
import functools
import json
import sys
import threading
import time

import pytest

from interactiveai_eval import (
    ArgumentError,
    Evaluation,
    Interactive,
    RunStopped,
    TooManyFailuresError,
)
from interactiveai_eval.testing import CountingIds, ManualClock


def doubled(*, item):
    return item["input"] * 2


def exact(*, output, expected_output, **kwargs):
    return Evaluation(name="exact", value=output == expected_output)


def numbers(n):
    return [{"input": i, "expected_output": 2 * i} for i in range(n)]


def outputs(result):
    return [item.output for item in result.item_results]


def evaluations_of(client, evaluator, item=None):
    result = client.run_experiment(
        name="one", data=[item or {"input": 1}], task=lambda *, item: "out", evaluators=[evaluator]
    )
    (found,) = result.item_results
    return [(e.name, e.value, e.comment) for e in found.evaluations], found.evaluator_failures


# -- results -----------------------------------------------------------------------------------------------------------


def test_every_item_is_run_and_judged_in_the_order_of_the_data(client):
    result = client.run_experiment(name="double", data=numbers(200), task=doubled, evaluators=[exact])

    assert outputs(result) == [2 * i for i in range(200)]
    assert [item.index for item in result.item_results] == list(range(200))
    assert all(item.evaluations == [Evaluation(name="exact", value=True)] for item in result.item_results)
    assert result.item_failures == [] and result.completed and result.resume_token is None


def test_results_keep_the_order_of_the_data_when_later_items_finish_first(client):
    gates = [threading.Event() for _ in range(4)]

    def task(*, item):
        place = item["input"]
        if place < 3:
            gates[place + 1].wait(5)
        gates[place].set()
        return place

    result = client.run_experiment(name="reverse", data=[{"input": i} for i in range(4)], task=task)

    assert outputs(result) == [0, 1, 2, 3]


def test_the_result_can_be_read_by_attribute_and_by_key(client):
    """As the reference's documentation does, and the reference does not (D05)."""
    result = client.run_experiment(name="keys", run_name="run 7", data=numbers(1), task=doubled, evaluators=[exact])

    assert result["run_name"] == result.run_name == "run 7"
    assert result["item_results"][0]["evaluations"][0]["value"] is True
    assert result["dataset_run_url"] is None


def test_the_default_run_name_is_the_name_and_the_time_of_the_start():
    with Interactive.local(clock=ManualClock("2026-11-23T10:20:30.000004Z")) as client:
        result = client.run_experiment(name="nightly", data=[], task=doubled)

    assert result.run_name == "nightly - 2026-11-23T10:20:30.000004Z"


def test_no_items_are_a_run_and_its_run_evaluators_are_called(client):
    result = client.run_experiment(
        name="empty", data=[], task=doubled, run_evaluators=[lambda *, item_results: len(item_results)]
    )

    assert (result.item_results, result.item_failures, result.completed) == ([], [], True)
    assert [e.value for e in result.run_evaluations] == [0]


def test_repetitions_run_each_item_so_often_and_say_which_is_which(client):
    result = client.run_experiment(name="often", data=numbers(2), task=doubled, repetitions=3)

    assert [(r.index, r.repetition) for r in result.item_results] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert len({r.trace_id for r in result.item_results}) == 6


def test_local_items_share_one_experiment_id_and_it_is_in_the_result(client):
    """The reference draws one for every item, so that items of one run cannot be found again (D53)."""
    result = client.run_experiment(name="grouped", data=numbers(3), task=doubled, experiment_id="exp-1")

    ids = {
        client.api.trace(item.trace_id)["metadata"]["attributes"]["langfuse.experiment.id"]
        for item in result.item_results
    }
    assert ids == {"exp-1"} and result.experiment_id == "exp-1"


def test_durations_are_of_the_task_alone():
    clock = ManualClock()

    def task(*, item):
        clock.advance(2)

    def slow(*, output):
        clock.advance(50)
        return 1

    with Interactive.local(clock=clock) as client:
        result = client.run_experiment(name="timed", data=numbers(1), task=task, evaluators=[slow])

    assert result.item_results[0].duration_seconds == 2.0
    assert result.evaluator_stats[0].duration_seconds == 50.0


# -- data --------------------------------------------------------------------------------------------------------------


def test_a_generator_is_pulled_lazily(client):
    """Never more items out of the source than are being worked on, and one that waits for its place."""
    pulled, finished = [], []

    def source():
        for i in range(30):
            pulled.append(i)
            assert len(pulled) - len(finished) <= 3
            yield {"input": i}

    def task(*, item):
        return item["input"]

    result = client.run_experiment(
        name="lazy",
        data=source(),
        task=task,
        max_concurrency=2,
        on_result=lambda item: finished.append(item.index),
    )

    assert outputs(result) == list(range(30))


def test_an_async_iterable_is_data(client):
    async def source():
        for i in range(5):
            await asyncio.sleep(0)
            yield {"input": i}

    result = client.run_experiment(name="async data", data=source(), task=doubled, max_concurrency=2)

    assert outputs(result) == [0, 2, 4, 6, 8]


def test_items_may_be_dicts_and_objects_mixed(client):
    class Case:
        input = 5
        expected_output = 10
        metadata = None

    result = client.run_experiment(
        name="mixed",
        data=[{"input": 1, "expected_output": 2}, Case()],
        task=lambda item: 2 * (item["input"] if isinstance(item, dict) else item.input),
        evaluators=[exact],
    )

    assert [e.value for item in result.item_results for e in item.evaluations] == [True, True]


@pytest.mark.parametrize(
    "item, reason",
    [
        ({"expected_output": 1}, "the item has no input"),
        ({"input": None}, "the item has no input"),
        ("just text", "the item has no input"),
        (object(), "the item has no input"),
    ],
)
def test_an_item_without_input_is_a_failure_of_that_item(client, item, reason):
    result = client.run_experiment(name="gap", data=[{"input": 1}, item, {"input": 2}], task=doubled)

    assert outputs(result) == [2, 4]
    (failure,) = result.item_failures
    assert (failure.index, failure.stage, failure.error_type, failure.attempts) == (1, "input", "MissingInput", 0)
    assert failure.message.startswith(reason) and failure.item is item


def test_an_item_whose_attributes_raise_is_a_failure_of_that_item(client):
    class Broken:
        @property
        def input(self):
            raise OSError("gone")

    result = client.run_experiment(name="broken", data=[Broken(), {"input": 1}], task=doubled)

    assert outputs(result) == [2]
    assert result.item_failures[0].message == "reading the item failed: OSError: gone"


def test_data_that_raises_in_the_middle_keeps_what_came_before(client):
    def source():
        yield {"input": 1}
        yield {"input": 2}
        raise OSError("the file ends here")

    with pytest.raises(RunStopped, match="data raised OSError: the file ends here, after 2 items") as stopped:
        client.run_experiment(name="cut", data=source(), task=doubled)

    assert outputs(stopped.value.result) == [2, 4]
    assert isinstance(stopped.value.__cause__, OSError) and not stopped.value.result.completed


# -- failures ----------------------------------------------------------------------------------------------------------


class OddlyFailing(BaseException):
    pass


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")


@pytest.mark.parametrize(
    "error, error_type, message",
    [
        (ValueError("boo"), "ValueError", "boo"),
        (SystemExit(3), "SystemExit", "3"),
        (asyncio.CancelledError(), "CancelledError", ""),
        (GeneratorExit(), "GeneratorExit", ""),
        (StopIteration(1), "StopIteration", "1"),
        (OddlyFailing("x"), "OddlyFailing", "x"),
        (RecursionError("deep"), "RecursionError", "deep"),
        (MemoryError(), "MemoryError", ""),
        (Unprintable(), "Unprintable", "<Unprintable whose text cannot be had>"),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_whatever_a_task_raises_is_a_failure_of_its_item(client, error, error_type, message, kind):
    """Threads and event loops each lose or hang on some of these (FAULTS H01-H07, D38, D39)."""

    def plain(*, item):
        if item["input"] == 1:
            raise error
        return item["input"]

    async def coroutine(*, item):
        return plain(item=item)

    result = client.run_experiment(
        name="raise", data=[{"input": i} for i in range(3)], task=plain if kind == "plain" else coroutine
    )

    (failure,) = result.item_failures
    if kind == "coroutine" and error_type == "StopIteration":
        error_type, message = "RuntimeError", "coroutine raised StopIteration"  # Python's own rule (PEP 479)
    assert (failure.index, failure.stage, failure.error_type, failure.message) == (1, "task", error_type, message)
    assert outputs(result) == [0, 2]


def test_results_and_failures_add_up_to_the_items_given(client):
    def task(*, item):
        if item["input"] % 3 == 0:
            raise ValueError(item["input"])
        return 1

    result = client.run_experiment(name="sum", data=[{"input": i} for i in range(100)], task=task, repetitions=2)

    assert (len(result.item_results), len(result.item_failures)) == (132, 68)
    assert [f.index for f in result.item_failures] == sorted(2 * [i for i in range(100) if i % 3 == 0])


def test_a_failure_tells_all_and_its_traceback_begins_in_the_users_code(client):
    """And no "no running event loop" chain stands before it (D69)."""

    def fails(*, item):
        raise KeyError("k")

    failure = client.run_experiment(name="f", data=[{"input": "x"}], task=fails).item_failures[0]

    assert (failure.item, failure.item_id, failure.repetition, failure.attempts) == (
        {"input": "x"},
        "2d711642b726b044",
        0,
        1,
    )
    first, second, *_ = failure.traceback.splitlines()
    assert first == "Traceback (most recent call last):" and "in fails" in second
    assert "event loop" not in failure.traceback and len(failure.trace_id) == 32


def test_fail_on_error_true_stops_at_the_first_failure(client):
    def task(*, item):
        raise ValueError("bad")

    with pytest.raises(TooManyFailuresError, match="1 of the items failed") as stopped:
        client.run_experiment(name="strict", data=numbers(50), task=task, fail_on_error=True, max_concurrency=1)

    assert len(stopped.value.result.item_failures) == 1 and not stopped.value.result.completed


@pytest.mark.parametrize(
    "limit, failing, stops",
    [
        (3, 2, False), (3, 3, True), (0.5, 4, False), (0.5, 5, True),
        (1, 1, True), (1.0, 9, False), (1.0, 10, True), (False, 10, False),
    ],
)  # fmt: skip
def test_fail_on_error_as_count_and_as_share(client, limit, failing, stops):
    def task(*, item):
        if item["input"] < failing:
            raise ValueError

    def run():
        return client.run_experiment(
            name="limit", data=[{"input": i} for i in range(10)], task=task, fail_on_error=limit, max_concurrency=1
        )

    if stops:
        with pytest.raises(TooManyFailuresError) as stopped:
            run()
        assert len(stopped.value.result.item_failures) == failing
    else:
        assert len(run().item_failures) == failing


def test_a_share_of_failures_in_data_of_unknown_length_is_judged_at_the_end(client):
    def task(*, item):
        if item["input"] % 2:
            raise ValueError

    with pytest.raises(TooManyFailuresError, match=r"5 of the items failed; fail_on_error ends .* a share of 0\.5"):
        client.run_experiment(
            name="share", data=iter([{"input": i} for i in range(10)]), task=task, fail_on_error=0.5
        )


# -- evaluators --------------------------------------------------------------------------------------------------------


class AutoevalsScore:
    name = "Levenshtein"
    score = 0.75
    metadata = None


class Scalar:
    """As numpy's scalars are."""

    dtype = "float64"

    def item(self):
        return 0.25


def test_evaluations_of_every_documented_shape(client):
    shapes = {
        "evaluation": (Evaluation(name="e", value=1, comment="c"), [("e", 1, "c")]),
        "mapping": ({"name": "m", "value": 0.5, "comment": "why"}, [("m", 0.5, "why")]),
        "number": (0.5, [("judge", 0.5, None)]),
        "integer": (3, [("judge", 3, None)]),
        "bool": (True, [("judge", True, None)]),
        "text": ("good", [("judge", "good", None)]),
        "pair": ((0.5, "half"), [("judge", 0.5, "half")]),
        "pair without comment": ((True, None), [("judge", True, None)]),
        "pair without value": ((None, "nothing to judge"), [("judge", None, "nothing to judge")]),
        "list": ([0.5, {"name": "m", "value": 1}, Evaluation(name="e", value="x")],
                 [("judge", 0.5, None), ("m", 1, None), ("e", "x", None)]),
        "generator": ((v for v in (1, 2)), [("judge", 1, None), ("judge", 2, None)]),
        "autoevals": (AutoevalsScore(), [("Levenshtein", 0.75, None)]),
        "numpy-like": (Scalar(), [("judge", 0.25, None)]),
        "no score": (Evaluation(name="e", value=None), [("e", None, None)]),
        "nothing": (None, []),
        "empty": ([], []),
    }

    for shape, (returned, expected) in shapes.items():

        def judge(*, output, returned=returned):
            return returned

        assert evaluations_of(client, judge) == (expected, []), shape


@pytest.mark.parametrize(
    "returned, message",
    [
        (object(), "returned <object object"),
        (b"bytes", "returned b'bytes' (bytes); return an Evaluation"),
        ({"name": "x"}, "returned a mapping with no key 'value'"),
        ({"value": 1}, "returned a mapping with no key 'name'"),
        ({"name": "x", "value": 1, "coment": "typo"}, "returned a mapping with unknown key 'coment'"),
        ({"name": "x", "value": [1]}, "value=[1]: must be a number, a text, a bool or None"),
        ({"name": None, "value": 1}, "name=None: the name of an evaluation must be a text"),
        ({"name": " ", "value": 1}, "name=' ': an evaluation needs a name"),
        ({"name": "x", "value": 0.5, "data_type": "BOOLEAN"}, "value=0.5: does not fit data_type='BOOLEAN'"),
        ({"name": "x", "value": 1, "data_type": "SOME"}, "data_type='SOME': must be one of"),
        ([1, object()], "returned <object object"),
    ],
)
def test_what_is_no_evaluation_is_a_failure_of_that_evaluator_and_not_of_the_item(client, returned, message):
    """The reference shows some of these as scores that are never sent, and takes others as success (D02, D29)."""

    def judge(*, output):
        return returned

    found, failures = evaluations_of(client, judge)

    assert found == [] and [f.evaluator for f in failures] == ["judge"]
    assert failures[0].message.startswith(message)


def test_an_evaluator_that_fails_leaves_item_and_other_evaluators_alone(client):
    def broken(*, output):
        raise ZeroDivisionError("oh")

    result = client.run_experiment(name="one broken", data=numbers(3), task=doubled, evaluators=[broken, exact])

    assert [len(item.evaluations) for item in result.item_results] == [1, 1, 1]
    assert result.item_results[0].evaluator_failures[0].message == "oh"
    broken_row, exact_row = result.evaluator_stats
    assert (broken_row.total_runs, broken_row.failed_runs, broken_row.error_summary) == (3, 3, {"ZeroDivisionError": 3})
    assert (exact_row.successful_runs, exact_row.total_scores_created) == (3, 3)


def test_evaluators_of_the_same_name_have_rows_of_their_own(client):
    """Two lambdas share one row in the reference (D26)."""
    result = client.run_experiment(
        name="lambdas", data=numbers(2), task=doubled, evaluators=[lambda *, output: 1, lambda *, output: None]
    )

    assert [(row.name, row.total_scores_created) for row in result.evaluator_stats] == [
        ("<lambda>", 2),
        ("<lambda>#2", 0),
    ]


def test_evaluators_of_one_item_run_side_by_side_and_keep_their_order(client):
    """Each waits for the other: one after the other, they would never end (D34)."""
    meeting = threading.Barrier(2, timeout=5)

    def first(*, output):
        meeting.wait()
        return 1

    def second(*, output):
        meeting.wait()
        return 2

    result = client.run_experiment(name="meet", data=numbers(1), task=doubled, evaluators=[first, second])

    assert [e.name for e in result.item_results[0].evaluations] == ["first", "second"]


def test_plain_tasks_run_side_by_side(client):
    """The reference runs them one after the other on its event loop (D32)."""
    meeting = threading.Barrier(20, timeout=5)

    def task(*, item):
        meeting.wait()
        return threading.current_thread() is threading.main_thread()

    result = client.run_experiment(name="crowd", data=numbers(20), task=task, max_concurrency=20)

    assert outputs(result) == [False] * 20


def test_never_more_items_than_max_concurrency_are_under_way(client):
    """Nor does an item cost a task of the loop before its turn (D42: the reference makes one for each at once)."""
    lock, now, most, tasks = threading.Lock(), [0], [0], set()

    async def task(*, item):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        tasks.add(len(asyncio.all_tasks()))
        await asyncio.sleep(0.001)
        with lock:
            now[0] -= 1

    client.run_experiment(name="few", data=numbers(60), task=task, max_concurrency=7)

    assert most[0] == max(tasks) == 7


def test_no_score_is_kept_and_not_sent_and_any_metadata_is_wrapped(client):
    """The reference counts the first as created and fails the item for the second (D30)."""

    def judge(*, output):
        return [Evaluation(name="none", value=None), Evaluation(name="listed", value=1, metadata=["why", {"n": 1}])]

    result = client.run_experiment(name="odd", data=numbers(1), task=doubled, evaluators=[judge])

    assert [evaluation.name for evaluation in result.item_results[0].evaluations] == ["none", "listed"]
    assert result.evaluator_stats[0].total_scores_created == 1 and result.delivery.skipped == 0
    (score,) = client.api.scores()["data"]
    assert (score["name"], score["metadata"]) == ("listed", {"metadata": ["why", {"n": 1}]})


def test_an_evaluator_is_offered_more_if_it_asks(client):
    seen = {}

    def curious(*, item, trace_id, duration_seconds, metadata):
        seen.update(item=item, trace_id=trace_id, duration=duration_seconds, metadata=metadata)
        return 1

    result = client.run_experiment(
        name="more", data=[{"input": 1, "metadata": {"a": 1}}], task=doubled, evaluators=[curious]
    )

    assert seen == {
        "item": {"input": 1, "metadata": {"a": 1}},
        "trace_id": result.item_results[0].trace_id,
        "duration": result.item_results[0].duration_seconds,
        "metadata": {"a": 1},
    }


def test_bare_keyword_arguments_are_not_flooded(client):
    """A `**kwargs` gets the four that the reference gives, so that it can be passed on."""
    seen = []

    def judge(**kwargs):
        seen.append(sorted(kwargs))

    client.run_experiment(name="kwargs", data=numbers(1), task=lambda **kwargs: sorted(kwargs), evaluators=[judge])

    assert seen == [["expected_output", "input", "metadata", "output"]]


class Multiplier:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, case):
        return case["input"] * self.factor

    def method(self, item):
        return item["input"] * self.factor

    async def coroutine(self, *, item):
        return item["input"] * self.factor


def positional_only(case, /):
    return case["input"] * 2


def default_before_keyword(factor=2, /, *, item):
    return item["input"] * factor


@functools.singledispatch
def dispatched(item):
    return item["input"] * 2


class Static:
    @staticmethod
    def __call__(item):
        return item["input"] * 2


class OfClass:
    factor = 2

    @classmethod
    def __call__(cls, *, item):
        return item["input"] * cls.factor


@pytest.mark.parametrize(
    "task",
    [
        doubled,
        lambda item: item["input"] * 2,
        lambda case: case["input"] * 2,
        lambda *args: args[0]["input"] * 2,
        lambda **kwargs: kwargs["item"]["input"] * 2,
        lambda case, factor=2: case["input"] * factor,
        positional_only,
        default_before_keyword,
        dispatched,
        Static(),
        OfClass(),
        Multiplier(2),
        Multiplier(2).method,
        Multiplier(2).coroutine,
        functools.partial(Multiplier.method, Multiplier(2)),
        functools.partial(lambda factor, item: item["input"] * factor, 2),
        lambda item: asyncio.ensure_future(asyncio.sleep(0, item["input"] * 2)) if False else coroutine_of(item),
    ],
)
def test_tasks_of_every_calling_style(client, task):
    result = client.run_experiment(name="style", data=numbers(3), task=task)

    assert outputs(result) == [0, 2, 4]


def test_evaluators_of_every_calling_style(client):
    def before_keyword(scale=3, /, *, output):
        return output * scale

    def before_positional(scale=3, input=5, /, *, output):
        return output * scale * input

    @functools.singledispatch
    def dispatched_output(output, *, input):
        return "other"

    @dispatched_output.register
    def _(output: int, *, input):
        return output + input

    class OfNothing:
        @staticmethod
        def __call__(*, output):
            return output

    evaluators = [before_keyword, before_positional, dispatched_output, OfNothing()]
    result = client.run_experiment(name="style", data=[{"input": 2}], task=doubled, evaluators=evaluators)

    assert [evaluation.value for evaluation in result.item_results[0].evaluations] == [12, 60, 6, 4]


def test_mappers_of_every_calling_style(client):
    def before_keyword(unused=1, /, *, item):
        return {"input": item.input, "output": unused}

    with client.start_as_current_span(name="s") as span:
        span.update_trace(input=1)
    client.flush()
    for mapper in (before_keyword, functools.singledispatch(lambda item: {"input": item.input, "output": 1})):
        result = client.run_batched_evaluation(scope="traces", mapper=mapper, evaluators=[lambda *, output: output])

        assert [[evaluation.value for evaluation in each] for each in result.item_evaluations.values()] == [[1]]


def coroutine_of(item):
    async def later():
        return item["input"] * 2

    return later()


class Awaitable:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return "awaited"


def test_whatever_is_awaitable_is_awaited(client):
    """The reference awaits coroutines only (D61)."""
    result = client.run_experiment(
        name="await", data=numbers(1), task=lambda *, item: Awaitable(), evaluators=[lambda *, output: Awaitable()]
    )

    assert outputs(result) == ["awaited"] and result.item_results[0].evaluations[0].value == "awaited"


def test_what_a_task_streams_becomes_a_list(client):
    def stream(*, item):
        yield "a"
        yield "b"

    async def stream_async(*, item):
        yield "c"
        await asyncio.sleep(0)
        yield "d"

    assert outputs(client.run_experiment(name="s", data=numbers(1), task=stream)) == [["a", "b"]]
    assert outputs(client.run_experiment(name="s", data=numbers(1), task=stream_async)) == [["c", "d"]]


# -- the composite and the run evaluators ------------------------------------------------------------------------------


def test_the_composite_gets_the_evaluations_and_its_own_come_last(client):
    def both(*, input, output, expected_output, metadata, evaluations):
        return {"name": "all", "value": all(e.value for e in evaluations)}

    result = client.run_experiment(
        name="composite",
        data=numbers(2),
        task=doubled,
        evaluators=[exact, lambda *, output: output == 2],
        composite_evaluator=both,
    )

    assert [[e.value for e in item.evaluations] for item in result.item_results] == [
        [True, False, False],
        [True, True, True],
    ]
    assert [row.name for row in result.evaluator_stats] == ["exact", "<lambda>", "both"]


def test_the_composite_of_the_batch_documentation_works(client):
    """`(*, item, evaluations)`; in the reference it fails on every item, uncounted (D04)."""

    def composite(*, item, evaluations):
        return Evaluation(name="n", value=len(evaluations) + item["input"])

    result = client.run_experiment(
        name="c", data=numbers(1), task=doubled, evaluators=[exact], composite_evaluator=composite
    )

    assert result.item_results[0].evaluations[-1] == Evaluation(name="n", value=1)


def test_the_composite_is_not_called_for_an_item_without_evaluations(client):
    called = []

    result = client.run_experiment(
        name="c",
        data=numbers(1),
        task=doubled,
        evaluators=[lambda *, output: None],
        composite_evaluator=lambda *, evaluations: called.append(1),
    )

    assert called == [] and result.evaluator_stats[-1].total_runs == 0


def test_run_evaluators_see_all_results_and_failures_and_their_failures_are_kept(client):
    def task(*, item):
        if item["input"] == 2:
            raise ValueError
        return item["input"]

    def shares(*, item_results, item_failures):
        return [{"name": "ok", "value": len(item_results)}, {"name": "failed", "value": len(item_failures)}]

    async def broken(*, item_results):
        raise ValueError("no")

    result = client.run_experiment(
        name="run level", data=[{"input": i} for i in range(4)], task=task, run_evaluators=[shares, broken]
    )

    assert [(e.name, e.value) for e in result.run_evaluations] == [("ok", 3), ("failed", 1)]
    assert [(f.evaluator, f.message) for f in result.run_evaluator_failures] == [("broken", "no")]


# -- isolation ---------------------------------------------------------------------------------------------------------


def test_what_a_hook_changes_no_other_sees(client):
    """Not the result, not the run evaluators, and not the caller's data."""

    def judge(*, output):
        return Evaluation(name="e", value=1, metadata={"why": ["so"]})

    def task(*, item):
        if item["input"] == ["fails"]:
            raise ValueError
        return {"n": 1}

    def on_result(outcome):
        outcome.item["input"].append("changed")
        if not hasattr(outcome, "stage"):
            outcome.output["n"] = 99
            outcome.evaluations[0].metadata["why"].append("changed")
            outcome.evaluations.clear()
            outcome.evaluator_failures.append("changed")

    def on_item(item_id, evaluations):
        evaluations[0].metadata["why"].append("changed")

    data = [{"input": [1]}, {"input": ["fails"]}]
    result = client.run_experiment(
        name="h",
        data=data,
        task=task,
        evaluators=[judge],
        on_result=on_result,
        run_evaluators=[lambda *, item_results: item_results[0].output["n"]],
    )
    client.flush()
    batch = client.run_batched_evaluation(
        scope="traces",
        max_items=1,
        mapper=lambda item: {"input": 1, "output": 1},
        evaluators=[judge],
        on_item=on_item,
    )

    assert data == [{"input": [1]}, {"input": ["fails"]}] == [result.item_results[0].item, result.item_failures[0].item]
    assert (outputs(result), result.run_evaluations[0].value) == ([{"n": 1}], 1)
    for evaluations in (result.item_results[0].evaluations, *batch.item_evaluations.values()):
        assert [evaluation.metadata for evaluation in evaluations] == [{"why": ["so"]}]
    assert result.item_results[0].evaluator_failures == []


def test_what_one_function_changes_no_other_sees(client):
    """In the reference an evaluator can change the caller's data, and a run evaluator empty the result (D62)."""
    data = [{"input": {"q": [1]}, "metadata": {"k": [1]}, "expected_output": {"a": 1}}, {"input": {"fails": [1]}}]

    def task(*, item):
        if "fails" in item["input"]:
            raise ValueError
        item["input"]["q"].append("task")
        return {"out": [1]}

    def vandal(*, input, output, expected_output, metadata, item):
        input["q"].append("vandal")
        output["out"].clear()
        metadata.clear()
        expected_output["a"] = 2
        item.clear()
        return 0

    def witness(*, input, output, expected_output, metadata, item):
        assert (input, output, expected_output) == ({"q": [1]}, {"out": [1]}, {"a": 1})
        assert (metadata, item) == ({"k": [1]}, data[0])
        return Evaluation(name="witness", value=1, metadata={"seen": [1]})

    def run_vandal(*, item_results, item_failures):
        item_failures[0].item.clear()
        item_results[0].evaluations[1].metadata.clear()
        item_results[0].evaluations.clear()
        item_results[0].output.clear()
        item_results.clear()

    result = client.run_experiment(
        name="vandals", data=data, task=task, evaluators=[vandal, witness], run_evaluators=[run_vandal]
    )

    whole = {"input": {"q": [1]}, "metadata": {"k": [1]}, "expected_output": {"a": 1}}
    assert data == [whole, {"input": {"fails": [1]}}] and result.run_evaluator_failures == []
    (item,) = result.item_results
    assert (item.output, [e.value for e in item.evaluations]) == ({"out": [1]}, [0, 1])
    assert item.evaluations[1].metadata == {"seen": [1]}


def test_evaluations_cannot_be_changed():
    evaluation = Evaluation(name="e", value=1)

    with pytest.raises(AttributeError, match="make a new one"):
        evaluation.value = 2

    assert evaluation == Evaluation(name="e", value=1) and dict(evaluation.items())["value"] == 1


def test_what_cannot_be_copied_is_shared(client):
    lock = threading.Lock()

    result = client.run_experiment(name="lock", data=[{"input": lock}], task=lambda item: item["input"] is lock)

    assert outputs(result) == [True]


# -- retries, timeouts, pace -------------------------------------------------------------------------------------------


def test_a_failing_task_is_tried_again_after_growing_waits():
    clock = ManualClock(jumps=True)
    starts = []

    def flaky(*, item):
        starts.append(clock.monotonic())
        if len(starts) < 4:
            raise ConnectionError("again")
        return "at last"

    with Interactive.local(clock=clock) as client:
        result = client.run_experiment(name="flaky", data=numbers(1), task=flaky, task_retries=3)

    assert outputs(result) == ["at last"] and result.item_results[0].attempts == 4
    assert [round(start - starts[0], 3) for start in starts] == [0.0, 0.5, 1.5, 3.5]


def test_an_item_may_be_tried_thousands_of_times_and_its_last_error_is_told():
    """Waits that double are larger than any number by then; they are bounded long before."""
    with Interactive.local(clock=ManualClock(jumps=True)) as client:
        result = client.run_experiment(name="r", data=numbers(1), task=lambda item: 1 / 0, task_retries=1100)

    assert [(failure.error_type, failure.attempts) for failure in result.item_failures] == [("ZeroDivisionError", 1101)]


@pytest.mark.parametrize(
    "retry_on, attempts",
    [
        (ValueError, 3),
        ((KeyError, ValueError), 3),
        (KeyError, 1),
        (lambda error: "try" in str(error), 3),
        (lambda error: False, 1),
        (None, 3),
    ],
)
def test_retry_on_says_which_errors_are_tried_again(retry_on, attempts):
    def fails(*, item):
        raise ValueError("try me")

    with Interactive.local(clock=ManualClock(jumps=True)) as client:
        result = client.run_experiment(name="r", data=numbers(1), task=fails, task_retries=2, retry_on=retry_on)

    assert result.item_failures[0].attempts == attempts


def test_a_plain_task_that_hangs_is_timed_out_and_its_place_is_filled():
    release = threading.Event()

    def task(*, item):
        if item["input"] < 2:
            release.wait(20)
        return item["input"]

    with Interactive.local(clock=ManualClock(jumps=True)) as client:
        result = client.run_experiment(
            name="hang", data=[{"input": i} for i in range(6)], task=task, task_timeout=30, max_concurrency=2
        )
    release.set()

    assert [(f.index, f.stage, f.error_type) for f in result.item_failures] == [
        (0, "timeout", "TimeoutError"),
        (1, "timeout", "TimeoutError"),
    ]
    assert result.item_failures[0].message == "the task did not finish within 30 s"
    assert outputs(result) == [2, 3, 4, 5]


def test_a_coroutine_that_hangs_is_timed_out_even_if_it_ignores_that():
    async def stubborn(*, item):
        if item["input"]:
            return "fine"
        while True:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                if stubborn.ignored:
                    raise
                stubborn.ignored = True

    stubborn.ignored = False
    with Interactive.local() as client:
        result = client.run_experiment(
            name="hang", data=[{"input": 0}, {"input": 1}], task=stubborn, task_timeout=0.05
        )

    assert [f.stage for f in result.item_failures] == ["timeout"] and outputs(result) == ["fine"]
    assert stubborn.ignored


def test_an_evaluator_that_hangs_is_a_failure_of_that_evaluator():
    release = threading.Event()
    with Interactive.local(clock=ManualClock(jumps=True)) as client:
        result = client.run_experiment(
            name="hang",
            data=numbers(1),
            task=doubled,
            evaluators=[lambda *, output: release.wait(20), exact],
            evaluator_timeout=5,
        )
    release.set()

    assert [e.name for e in result.item_results[0].evaluations] == ["exact"]
    assert result.item_results[0].evaluator_failures[0].message == "<lambda> did not finish within 5 s"


@pytest.mark.parametrize("form", ["plain form", "awaitable form"])
def test_a_coroutine_that_blocks_past_its_timeout_has_timed_out(client, form):
    """Nobody could end it, since it held the loop; that its value came in the end makes it no success."""

    async def blocks(*, item):
        time.sleep(0.2 if item["input"] else 0.0)
        return item["input"]

    async def judge(*, output):
        time.sleep(0.2)

    settings = {"name": "block", "data": numbers(2), "task": blocks, "evaluators": [judge], "max_concurrency": 1}
    settings |= {"task_timeout": 0.15, "evaluator_timeout": 0.15}
    if form == "plain form":
        result = client.run_experiment(**settings)
    else:
        result = asyncio.run(client.run_experiment_async(**settings))

    (failure,) = result.item_failures
    assert (failure.index, failure.stage, failure.message) == (1, "timeout", "the task did not finish within 0.15 s")
    (missed,) = result.item_results[0].evaluator_failures
    assert (missed.error_type, missed.message) == ("TimeoutError", "judge did not finish within 0.15 s")


def test_a_coroutine_that_another_one_kept_from_the_loop_has_not_timed_out(client):
    """Its time begins with its first step."""
    both = []

    async def task(*, item):
        both.append(item["input"])
        if len(both) == 1:
            time.sleep(0.3)
        return item["input"]

    async def judge(*, output):
        return True

    result = client.run_experiment(name="kept", data=numbers(2), task=task, evaluators=[judge] * 2, task_timeout=0.2)

    assert len(result.item_results) == len(result.item_failures) == 1


def test_the_rate_limit_spaces_the_starts():
    clock = ManualClock(jumps=True)
    clock.advance(100)
    starts = []

    def task(*, item):
        starts.append(clock.monotonic())

    with Interactive.local(clock=clock) as client:
        # One at a time: with more of them the clock could jump on while a started task has not looked at it yet.
        client.run_experiment(name="slow", data=numbers(5), task=task, rate_limit=4, max_concurrency=1)

    assert [round(start - starts[0], 6) for start in starts] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_the_rate_limit_counts_retries():
    clock = ManualClock(jumps=True)
    tried = set()

    def task(*, item):
        if item["input"] not in tried:
            tried.add(item["input"])
            raise ConnectionError("again")

    with Interactive.local(clock=clock) as client:
        client.run_experiment(name="slow", data=numbers(6), task=task, rate_limit=1, task_retries=1)

    assert 11 <= clock.monotonic() <= 14  # twelve attempts; six items and a retry are over after 5.5 s


def test_items_out_of_a_checkpoint_do_not_wait_for_the_rate_limit(tmp_path):
    def run(items):
        clock = ManualClock(jumps=True)
        settings = {"name": "slow", "task": doubled, "rate_limit": 1, "checkpoint": tmp_path / "journal"}
        with Interactive.local(clock=clock) as client:
            return len(client.run_experiment(data=numbers(items), **settings).item_results), clock.monotonic() <= 2

    assert run(5) == (5, False)
    assert run(7) == (7, True)


def test_a_time_budget_ends_the_run_with_what_there_is():
    clock = ManualClock()

    def task(*, item):
        clock.advance(10)
        return item["input"]

    with Interactive.local(clock=clock) as client:
        result = client.run_experiment(
            name="budget", data=[{"input": i} for i in range(100)], task=task, time_budget=60, max_concurrency=1
        )

    assert outputs(result) == [0, 1, 2, 3, 4] and not result.completed
    assert result.resume_token == {
        "run_name": result.run_name,
        "experiment_id": result.experiment_id,
        "checkpoint": None,
    }


def test_a_time_budget_cuts_off_what_hangs():
    clock, release = ManualClock(), threading.Event()
    both = threading.Barrier(2, action=lambda: clock.advance(5), timeout=5)

    def task(*, item):
        both.wait()
        release.wait(20)

    with Interactive.local(clock=clock) as client:
        result = client.run_experiment(name="budget", data=numbers(3), task=task, time_budget=5, max_concurrency=2)
    release.set()

    assert [(f.index, f.stage) for f in result.item_failures] == [(0, "cancelled"), (1, "cancelled")]
    assert not result.completed


# -- streaming ---------------------------------------------------------------------------------------------------------


def test_results_can_be_streamed_instead_of_kept(client):
    seen = []

    def task(*, item):
        if item["input"] == 3:
            raise ValueError
        return item["input"]

    result = client.run_experiment(
        name="stream",
        data=({"input": i, "expected_output": i} for i in range(5)),
        task=task,
        evaluators=[exact],
        on_result=seen.append,
        keep_results=False,
    )

    assert sorted((outcome.index, type(outcome).__name__) for outcome in seen) == [
        (0, "ExperimentItemResult"),
        (1, "ExperimentItemResult"),
        (2, "ExperimentItemResult"),
        (3, "ItemFailure"),
        (4, "ExperimentItemResult"),
    ]
    assert (result.item_results, result.item_failures) == ([], [])
    assert (result.tally.given, result.tally.failed, result.tally.metrics["exact"].mean) == (5, 1, 1.0)


def test_a_hook_that_cannot_take_results_stops_the_run(client):
    """A full disk behind `on_result` must not lose the rest in silence."""

    def full(outcome):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left") as stopped:
        client.run_experiment(name="full", data=numbers(100), task=doubled, on_result=full, max_concurrency=1)

    assert 1 <= len(stopped.value.result.item_results) < 100


# -- arguments ---------------------------------------------------------------------------------------------------------


def needs_more(*, item, model):
    return 1


def takes_nothing():
    return 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": ""}, "name='': must be a text that is not empty"),
        ({"name": 5}, "name=5: must be a text"),
        ({"run_name": ".."}, "run_name='..': must be a text that is not empty, '.' or '..'"),
        ({"run_name": ""}, "run_name='': must be a text"),
        ({"task": "no function"}, "task='no function': must be a function"),
        ({"task": None}, "task=None: must be a function"),
        ({"task": needs_more}, "needs_more needs 'model', which is not offered; offered are item"),
        ({"task": takes_nothing}, "takes_nothing takes no item: write it as takes_nothing"),
        ({"evaluators": [lambda *, prediction: 1]}, "needs 'prediction', which is not offered"),
        ({"evaluators": ["exact"]}, "evaluators[0]='exact': must be a function"),
        ({"evaluators": exact}, "must be a list of functions"),
        ({"run_evaluators": [lambda *, results: 1]}, "needs 'results', which is not offered; offered are item_results"),
        ({"composite_evaluator": lambda *, scores: 1}, "needs 'scores', which is not offered"),
        ({"max_concurrency": 0}, "max_concurrency=0: must be a whole number of at least 1"),
        ({"max_concurrency": -1}, "max_concurrency=-1: must be a whole number of at least 1"),
        ({"max_concurrency": "5"}, "max_concurrency='5': must be a whole number of at least 1"),
        ({"max_concurrency": True}, "max_concurrency=True: must be a whole number"),
        ({"repetitions": 0}, "repetitions=0: must be a whole number of at least 1"),
        ({"data": "text"}, "data='text': must be an iterable of items"),
        ({"data": None}, "data=None: must be an iterable of items"),
        ({"data": {"input": 1}}, "must be an iterable of items"),
        ({"data": 7}, "data=7: must be an iterable of items"),
        ({"metadata": 5}, "metadata=5: must be a dict"),
        ({"task_timeout": 0}, "task_timeout=0: must be a number above 0"),
        ({"time_budget": 10**400}, "must be a number above 0"),
        ({"evaluator_timeout": -1}, "evaluator_timeout=-1: must be a number above 0"),
        ({"task_retries": -1}, "task_retries=-1: must be a whole number of at least 0"),
        ({"retry_on": "ValueError"}, "retry_on='ValueError': must be exception types or a function"),
        ({"rate_limit": 0}, "rate_limit=0: must be a number above 0"),
        ({"fail_on_error": -1}, "fail_on_error=-1: must be True (the first failure), a whole number of failures, or a sha"),
        ({"fail_on_error": 1.5}, "fail_on_error=1.5: must be True"),
        ({"data": Evaluation(name="e", value=1)}, "must be an iterable of items"),
        ({"fail_on_error": 2.0}, "or a share of the items up to 1.0 (of all)"),
        ({"fail_on_error": 0}, "fail_on_error=0: must be True"),
        ({"fail_on_error": 0.0}, "fail_on_error=0.0: must be True"),
        ({"checkpoint": 5}, "checkpoint=5: must be a path"),
        ({"checkpoint": "a\0b"}, "checkpoint='a\\x00b': must be a path; no system has names with a NUL character"),
        ({"experiment_id": ""}, "experiment_id='': must be a text that is not empty"),
        ({"time_budget": lambda: 1 / 0}, "for the milliseconds left; it raised ZeroDivisionError: division by zero"),
        ({"time_budget": lambda now: 1}, "is called without arguments for the milliseconds left; it raised TypeError: "),
        ({"time_budget": sys.exit}, "it raised SystemExit: "),
        ({"time_budget": float("nan")}, "time_budget=nan: must be a number above 0"),
        ({"executor": "pool"}, "executor='pool': must be a concurrent.futures.Executor"),
        ({"progress": 1}, "progress=1: must be True, False or a function"),
        ({"on_result": "x"}, "on_result='x': must be a function"),
        ({"on_result": asyncio.sleep}, "must be a plain function: what is async would not be awaited"),
        ({"progress": asyncio.sleep}, "must be a plain function: what is async would not be awaited"),
        ({"keep_results": False, "run_evaluators": [lambda *, item_results: 1]}, "run evaluators need kept results"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_work(client, arguments, message):
    called = []
    usable = {"name": "x", "data": numbers(1), "task": lambda *, item: called.append(1)}

    with pytest.raises(ArgumentError) as refused:
        client.run_experiment(**{**usable, **arguments})

    assert message in str(refused.value) and isinstance(refused.value, ValueError)
    assert called == [] and client.api.traces()["meta"]["totalItems"] == 0


def test_neighbours_in_the_data_have_neighbouring_ids_so_that_a_batch_touches_few_pages_of_a_store(client):
    def run(experiment_id):
        result = client.run_experiment(
            name="x", data=numbers(40), task=doubled, evaluators=[exact, exact], experiment_id=experiment_id
        )
        return [item.trace_id for item in result.item_results]

    ids, others = run("run-1"), run("run-2")

    first = int(ids[0][:4], 16)
    assert [(int(id[:4], 16) - first) % 2**16 for id in ids] == [number // 16 for number in range(40)]
    assert len({id[4:16] for id in ids}) == len({id[16:] for id in ids}) == 40
    assert others[0][:4] != ids[0][:4]  # runs begin at places of their own
    for id in ids:
        trace = client.api.trace(id)
        below = [row["id"] for part in ("observations", "scores") for row in trace[part]]
        assert len(set(below)) == 5 and {each[:4] for each in below} == {id[:4]}


def test_ids_are_derived_from_the_run_so_that_the_same_run_lands_once():
    """Run twice under one experiment id, the store holds each trace, observation and score once."""
    with Interactive.local(ids=CountingIds()) as client:
        for _ in range(2):
            client.run_experiment(name="x", data=numbers(3), task=doubled, evaluators=[exact], experiment_id="run-1")

        assert client.api.traces()["meta"]["totalItems"] == 3
        assert client.api.observations()["meta"]["totalItems"] == 6
        assert client.api.scores()["meta"]["totalItems"] == 3


def test_metadata_with_keys_that_read_the_same_is_refused(client):
    """`{1: ..., "1": ...}` would lose one of them in every report."""
    with pytest.raises(ArgumentError, match="must be a dict whose keys are distinct texts"):
        client.run_experiment(name="m", data=[], task=doubled, metadata={1: "a", "1": "b"})


def test_an_output_that_interrupts_when_it_is_recorded_leaves_the_result(client):
    """What is no ordinary exception passes through the encoder; the run ends with it, and with what it has."""

    class Bomb:
        def model_dump(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        client.run_experiment(
            name="b", data=numbers(3), task=lambda item: Bomb() if item["input"] == 2 else 1, max_concurrency=1
        )

    assert outputs(stopped.value.result) == [1, 1]


def test_a_run_that_used_its_time_but_took_every_item_is_complete():
    clock = ManualClock()

    def slow(*, item):
        clock.advance(4)
        return item["input"]

    with Interactive.local(clock=clock) as client:
        result = client.run_experiment(name="b", data=numbers(2), task=slow, max_concurrency=1, time_budget=10)

    assert (outputs(result), result.completed, result.resume_token) == ([0, 1], True, None)


def test_too_many_failures_say_how_many_and_where_the_limit_is(client):
    def failing(*, item):
        raise ValueError("no")

    with pytest.raises(TooManyFailuresError, match="1 of the items failed; fail_on_error ends the run at 1"):
        client.run_experiment(name="b", data=numbers(6), task=failing, max_concurrency=1, fail_on_error=True)


@pytest.mark.needs("patience")
def test_a_text_that_stands_in_an_output_a_hundred_times_is_cut_not_a_failure(client):
    """The value weighs 10 MB, its JSON would weigh a gigabyte."""
    text = "x" * 10_000_000
    result = client.run_experiment(name="large", data=numbers(1), task=lambda item: [text] * 100)

    (trace,) = client.api.traces()["data"]
    assert result.completed and trace["output"].count("<too large>") == 80


def test_an_open_file_is_not_data_but_its_decoded_lines_are(client, tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text('{"input": 1}\n{"input": 2}\n')
    with open(path) as file:
        with pytest.raises(ArgumentError, match="is an open file, not items; for JSON lines pass map"):
            client.run_experiment(name="f", data=file, task=doubled)
        result = client.run_experiment(name="f", data=map(json.loads, file), task=doubled)

    assert outputs(result) == [2, 4]


@pytest.mark.needs("patience")
@pytest.mark.parametrize("concurrency", [1, 2])
def test_what_an_evaluator_waits_for_a_free_thread_is_not_its_time(client, concurrency):
    """Six evaluators take turns on the few threads there are; each is well within its time, the last waits beyond it."""

    def evaluator(*, output):
        threading.Event().wait(0.2)
        return 1

    result = client.run_experiment(
        name="q",
        data=numbers(1),
        task=doubled,
        evaluators=[evaluator] * 6,
        max_concurrency=concurrency,
        evaluator_timeout=0.35,
    )

    assert result.item_results[0].evaluator_failures == [] and len(result.item_results[0].evaluations) == 6


# -- what the counts and names say -------------------------------------------------------------------------------------


def test_an_item_that_is_cut_off_between_two_attempts_tells_those_it_had_and_their_last_error():
    calls = []

    def task(item):
        calls.append(item)
        raise ValueError("no")

    with Interactive.local() as client:  # by the real clock: one that jumps is past the budget before the first call
        result = client.run_experiment(name="cut", data=numbers(1), task=task, task_retries=9, time_budget=0.3)

    (failure,) = result.item_failures
    assert failure.attempts == len(calls) == 1 and (failure.stage, failure.error_type) == ("cancelled", "Cancelled")
    assert failure.message.endswith("; its last attempt failed with ValueError: no") and "raise ValueError" in failure.traceback


def test_scores_that_cannot_be_sent_are_not_counted_as_created(client):
    evaluators = [lambda *, output: float("nan"), lambda *, output: output, lambda *, output: None]
    result = client.run_experiment(name="odd", data=numbers(3), task=lambda item: 1, evaluators=evaluators)

    assert [row.total_scores_created for row in result.evaluator_stats] == [0, 3, 0]
    assert result.delivery.by_kind["scores"] == {"acknowledged": 3, "pending": 0, "rejected": 0, "skipped": 3}


@pytest.mark.parametrize(
    "settings, reason",
    [({"tracing_enabled": False}, "tracing is off"), ({"sample_rate": 0.0}, "the trace is not sampled")],
)
def test_what_is_left_out_on_purpose_is_told_with_the_reason(settings, reason):
    with Interactive.local(**settings) as client:
        client.create_dataset(name="d")
        client.create_dataset_item(dataset_name="d", id="i", input=1)
        result = client.get_dataset("d").run_experiment(
            name="silent",
            task=lambda item: 1,
            evaluators=[lambda *, output: output],
            run_evaluators=[lambda *, item_results: Evaluation(name="run", value=1)],
        )
        assert client.api.scores()["meta"]["totalItems"] == 0

    assert {kind: row["skipped"] for kind, row in result.delivery.by_kind.items()} == {"links": 1, "spans": 2, "scores": 2}
    assert result.delivery.acknowledged == 0 and result.evaluator_stats[0].total_scores_created == 0
    told = [(each.kind, each.item_id, each.state, each.reason) for each in result.delivery.problems]
    assert len(told) == 4 and set(told) == {
        ("links", "i", "skipped", reason),
        ("scores", None, "skipped", reason),  # that of the run
        ("scores", None, "skipped", f"{reason} (1 scores in all)"),
        ("spans", None, "skipped", f"{reason} (2 spans in all)"),
    }


def test_evaluators_and_composite_of_one_name_are_numbered(client):
    result = client.run_experiment(
        name="n",
        data=numbers(1),
        task=lambda item: 1,
        evaluators=[lambda *, output: 1, lambda *, output: 2],
        composite_evaluator=lambda *, evaluations: 3,
    )

    assert [row.name for row in result.evaluator_stats] == ["<lambda>", "<lambda>#2", "<lambda>#3"]


@pytest.mark.parametrize(
    "name, hook",
    [
        ("on_result", lambda: None),
        ("on_result", lambda index, result: None),
        ("on_result", lambda result, *, file: None),
        ("progress", lambda: None),
        ("retry_on", lambda: True),
    ],
)
def test_a_hook_that_cannot_be_called_is_refused_before_any_work(client, name, hook):
    calls = []
    with pytest.raises(ArgumentError, match=f"{name}=.*: is called with "):
        client.run_experiment(name="h", data=[{"input": 1}], task=lambda item: calls.append(1), **{name: hook})
    assert calls == []


def test_what_was_cancelled_is_not_said_to_have_failed(client, caplog):
    def task(*, item):
        if item["input"] == 1:
            raise ValueError
        if item["input"] == 2:
            raise KeyboardInterrupt
        return 1

    with pytest.raises(KeyboardInterrupt):
        client.run_experiment(name="c", data=[{"input": n} for n in range(4)], task=task, max_concurrency=1)

    assert caplog.messages == [
        "experiment 'c': 1 of 3 items failed, 1 of 3 items were cancelled; see result.item_failures"
    ]


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_plain_functions_run_at_once_than_was_said(at_once):
    """Evaluators of one item run side by side, on the threads that there are; with one thread nothing meets anything."""
    lock, now, most = threading.Lock(), [0], [0]

    def counted(**_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.01)
        with lock:
            now[0] -= 1
        return 1.0

    def evaluator(*, output):
        return counted()

    with Interactive.local() as client:
        settings = {"evaluators": [evaluator] * 4, "max_concurrency": at_once}
        client.run_experiment(name="n", data=[{"input": n} for n in range(5)], task=lambda item: counted(), **settings)
        after_experiment = most[0]
        most[0] = 0
        client.run_batched_evaluation(scope="traces", mapper=lambda item: {"input": 1, "output": 1}, **settings)

    assert 1 <= after_experiment <= at_once and 1 <= most[0] <= at_once
