"""User code that misbehaves in ways that are not plain errors (FAULTS section H)."""
from __future__ import annotations

import asyncio
import functools
import itertools
import os
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from interactiveai_eval import ArgumentError, Evaluation, Interactive, RunStopped, observe
from interactiveai_eval.testing import recorded_spans

from .programs import run, start


def numbers(n):
    return [{"input": i} for i in range(n)]


class Huge(Exception):
    def __str__(self):
        return "x" * 50_000_000


class Hostile(Exception):
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


def chained():
    try:
        raise ValueError("one")
    except ValueError as one:
        two = KeyError("two")
        two.__context__ = one
        one.__context__ = two  # a cycle, as frameworks that re-raise sometimes make it
        raise two from one


def test_an_error_of_fifty_megabytes_is_cut(client):
    def task(*, item):
        raise Huge

    failure = client.run_experiment(name="h", data=numbers(1), task=task).item_failures[0]

    assert len(failure.message) == 10_000 and len(failure.traceback) <= 20_000


def test_an_error_whose_text_interrupts_is_a_failure_all_the_same(client):
    def task(*, item):
        raise Hostile

    result = client.run_experiment(name="h", data=numbers(2), task=task)

    assert [failure.error_type for failure in result.item_failures] == ["Hostile", "Hostile"]


def test_causes_that_refer_to_each_other_end(client):
    failure = client.run_experiment(name="h", data=numbers(1), task=lambda item: chained()).item_failures[0]

    assert failure.error_type == "KeyError" and "ValueError: one" in failure.traceback


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_a_group_of_errors_is_shown_with_its_members(client):
    def task(*, item):
        raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])  # noqa: F821

    failure = client.run_experiment(name="h", data=numbers(1), task=task).item_failures[0]

    assert failure.error_type == "ExceptionGroup" and "ValueError: one" in failure.traceback


def test_a_recursion_without_end_is_a_failure_of_its_item(client):
    def task(*, item):
        return task(item=item) if item["input"] == 1 else item["input"]

    result = client.run_experiment(name="h", data=numbers(3), task=task)

    assert [failure.error_type for failure in result.item_failures] == ["RecursionError"]
    assert [item.output for item in result.item_results] == [0, 2]


def test_a_task_that_changes_the_process_does_not_change_the_results(tmp_path):
    """It moves to another folder, closes stdout, lowers the recursion limit; the store and the result stay where they were."""
    program = """
    import os, sys
    from interactiveai_eval import Interactive

    def task(*, item):
        os.chdir("/")
        sys.stdout.close()
        sys.setrecursionlimit(300)
        return item["input"]

    with Interactive.local("here.db") as client:
        result = client.run_experiment(name="p", data=[{"input": i} for i in range(5)], task=task, progress=True)
        os.write(1, b"%d %d" % (len(result.item_results), client.api.traces()["meta"]["totalItems"]))
    os._exit(0)
    """
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert run(program) == "5 5"
    finally:
        os.chdir(before)
    assert (tmp_path / "here.db").exists()


def test_threads_that_outlive_their_task_report_to_the_right_trace(client):
    """A span that is ended after its item is done is delivered all the same, below its own item."""
    release, threads = threading.Event(), []

    def task(*, item):
        span = client.start_span(name=f"late {item['input']}")

        def later():
            release.wait(10)
            span.update(output=item["input"]).end()

        threads.append(threading.Thread(target=later))
        threads[-1].start()
        return client.get_current_trace_id()

    result = client.run_experiment(name="late", data=numbers(3), task=task)
    release.set()
    for thread in threads:
        thread.join()

    late = {span["name"]: span["traceId"] for span in recorded_spans(client) if span["name"].startswith("late")}
    assert late == {f"late {item.index}": item.trace_id for item in result.item_results}
    assert [item.output for item in result.item_results] == [item.trace_id for item in result.item_results]


@pytest.mark.parametrize("settings", [{"tracing_enabled": False}, {"sample_rate": 0.0}])
def test_what_comes_late_of_an_item_that_is_not_sent_is_not_sent_either(settings):
    """The run still goes on when the span of its first item ends."""
    late = threading.Event()

    def task(*, item):
        if item["input"] == 1:
            assert late.wait(10)
            return
        span = client.start_span(name="late")

        def later(_):
            span.score(name="late", value=1.0)
            span.end()
            late.set()

        ended.append(later)

    def on_result(outcome):
        for later in ended:
            later(outcome)
        ended.clear()

    ended = []
    with Interactive.local(**settings) as client:
        result = client.run_experiment(name="late", data=numbers(2), task=task, on_result=on_result)
        client.flush()
        sent = recorded_spans(client)

    assert sent == []
    # Two items with a span each, one of them with a span and a score more.
    assert [(kind, row["skipped"], sum(row.values())) for kind, row in sorted(result.delivery.by_kind.items())] == [
        ("scores", 1, 1),
        ("spans", 3, 3),
    ]


@pytest.mark.parametrize("settings", [{"tracing_enabled": False}, {"sample_rate": 0.0}])
def test_what_comes_after_the_run_of_an_item_that_is_not_sent_is_counted_by_the_client(settings):
    spans = []
    with Interactive.local(**settings) as client:
        result = client.run_experiment(
            name="late", data=numbers(1), task=lambda *, item: spans.append(client.start_span(name="late"))
        )
        spans[0].score(name="late", value=1.0)
        spans[0].end()
        report = client.flush()

    assert {kind: row["skipped"] for kind, row in result.delivery.by_kind.items()} == {"spans": 1}
    assert {kind: row["skipped"] for kind, row in report.by_kind.items()} == {"spans": 1, "scores": 1}


@pytest.mark.parametrize("settings", [{}, {"tracing_enabled": False}])
@pytest.mark.parametrize("when", ["in its task", "while the run goes on", "after the run"])
def test_a_score_that_cannot_be_sent_is_told_whenever_it_is_made(settings, when):
    spans = []

    def task(*, item):
        if item["input"] == 0:
            spans.append(client.start_span(name="s"))
            if when == "in its task":
                spans[0].score(name="n", value=float("nan"))

    def on_result(outcome):
        if outcome.index == 0 and when == "while the run goes on":
            spans[0].score(name="n", value=float("nan"))

    with Interactive.local(**settings) as client:
        result = client.run_experiment(name="nan", data=numbers(2), task=task, on_result=on_result)
        report = result.delivery
        if when == "after the run":
            spans[0].score(name="n", value=float("nan"))
            report = client.flush()

    told = [problem.reason for problem in report.problems if problem.kind == "scores"]
    assert report.by_kind["scores"]["skipped"] == 1 and len(told) == 1 and "nan" in told[0].lower()


HELD = """
    import os, threading
    from interactiveai_eval import Interactive

    held, go_on = threading.Event(), threading.Event()

    def look(frame, event, argument):
        if not frame.f_code.co_filename.endswith("counts.py"):
            return None
        def line(frame, event, argument):
            if event == "line" and frame.f_lineno > frame.f_code.co_firstlineno + 2 and not held.is_set():
                held.set()
                go_on.wait(10)  # with the lock
            return line
        return line

    def task(*, item):
        if item["input"]:
            held.wait(10)
            span = client.start_span(name="s")
            child = os.fork()
            if child == 0:
                span.end()
                os._exit(0)
            go_on.set()
            for _ in range(200):
                if os.waitpid(child, os.WNOHANG)[0]:
                    return "ended"
                threading.Event().wait(0.02)
            os.kill(child, 9)
            return "hangs"

    threading.settrace(look)
    with Interactive.local(tracing_enabled=False) as client:
        result = client.run_experiment(name="f", data=[{"input": 0}, {"input": 1}], task=task)
    print(result.item_results[1].output)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_span_ends_in_a_forked_child_while_another_item_is_counted():
    assert run(HELD, PYTHONWARNINGS="ignore") == "ended\n"


def test_outputs_of_ten_megabytes_and_values_that_are_no_json_are_recorded(client):
    values = {0: "x" * 10_000_000, 1: {1, 2}, 2: object, 3: float("nan"), 4: "\ud800", 5: 2**80, 6: b"\xff"}

    result = client.run_experiment(name="odd", data=numbers(7), task=lambda item: values[item["input"]])

    recorded = [client.api.trace(item.trace_id)["output"] for item in result.item_results]
    assert recorded == ["x" * 10_000_000, [1, 2], "<object>", "NaN", "\ufffd", "1208925819614629174706176", "base64:/w=="]
    assert result.item_results[2].output is object and result.delivery.pending == 0


def test_an_input_with_a_lone_surrogate_is_run_and_recorded(client):
    """In the reference the item fails in the hash of its input (D73)."""
    result = client.run_experiment(name="s", data=[{"input": "a\udc80b"}], task=lambda item: item["input"])

    assert result.item_results[0].output == "a\udc80b"
    assert client.api.trace(result.item_results[0].trace_id)["input"] == "a\ufffdb"


def test_a_value_that_changes_while_it_is_recorded_does_not_break_the_run(client):
    stop = threading.Event()
    shared = {str(i): i for i in range(1000)}

    def churn():
        while not stop.is_set():
            for i in range(1000, 1100):
                shared[str(i)] = i
                shared.pop(str(i - 50), None)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        result = client.run_experiment(name="c", data=numbers(30), task=lambda item: shared)
    finally:
        stop.set()
        thread.join()

    assert len(result.item_results) == 30 and result.delivery.pending == 0


def test_when_threads_run_out_the_run_goes_on_with_those_there_are():
    program = """
    import threading
    from interactiveai_eval import Interactive

    started = []
    for name in ("_start_new_thread", "_start_joinable_thread"):
        real = getattr(threading, name, None)
        if real is not None:
            def limited(*args, real=real, **kwargs):
                if len(started) >= 3:
                    raise RuntimeError("can't start new thread")
                started.append(1)
                return real(*args, **kwargs)
            setattr(threading, name, limited)

    with Interactive.local() as client:
        result = client.run_experiment(
            name="few", data=[{"input": i} for i in range(40)],
            task=lambda item: threading.Event().wait(0.002) or item["input"],
            evaluators=[lambda *, output: 1],
        )
    print(len(result.item_results), result.delivery.acknowledged)
    """
    assert run(program) == "40 120\n"


def test_a_client_in_a_forked_child_works():
    program = """
    import os, sys
    from interactiveai_eval import Interactive

    client = Interactive.local(sys.argv[1])
    client.run_experiment(name="parent", data=[{"input": 1}], task=lambda item: 1)
    child = os.fork()
    result = client.run_experiment(name="either", data=[{"input": i} for i in range(20)], task=lambda item: 1)
    if not child:
        os._exit(0 if result.delivery.acknowledged == 20 else 1)
    print(os.waitpid(child, 0)[1], result.delivery.acknowledged, client.api.traces()["meta"]["totalItems"])
    client.close()
    """
    import tempfile

    if not hasattr(os, "fork"):
        pytest.skip("this platform does not fork")
    with tempfile.TemporaryDirectory() as folder:
        assert run(program, os.path.join(folder, "eval.db"), PYTHONWARNINGS="ignore") == "0 20 41\n"


def test_a_run_while_the_interpreter_ends():
    """In an `atexit` handler some Pythons start no threads any more."""
    program = """
    import atexit
    from interactiveai_eval import Interactive

    def last():
        with Interactive.local() as client:
            result = client.run_experiment(
                name="x", data=[{"input": 1}] * 5, task=lambda item: 1, evaluators=[lambda *, output: 1]
            )
        print(len(result.item_results), result.delivery.acknowledged)

    atexit.register(last)
    """
    assert run(program) == "5 15\n"


def test_what_is_left_open_does_not_keep_the_interpreter_from_ending():
    program = """
    import threading
    from interactiveai_eval import Interactive

    client = Interactive.local()
    client.create_score(name="x", value=1, trace_id="a" * 32)
    result = client.run_experiment(
        name="x", data=[{"input": 1}], task=lambda item: threading.Event().wait(), task_timeout=0.05
    )
    print(result.item_failures[0].stage)
    """
    assert run(program, PYTHONWARNINGS="ignore") == "timeout\n"


def test_a_coroutine_that_swallows_its_cancellation_is_a_timeout_and_nothing_on_stderr():
    program = start(
        """
        import asyncio
        from interactiveai_eval import Interactive

        async def task(*, item):
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass

        with Interactive.local() as client:
            result = client.run_experiment(name="s", data=[{"input": 1}], task=task, task_timeout=0.01, fail_on_error=None)
            print(result.item_failures[0].stage)
        """
    )

    out, err = program.communicate(timeout=30)
    assert out == "timeout\n"
    assert err == "experiment 's': 1 of 1 items failed; see result.item_failures\n"


def test_garbage_collection_at_every_step_changes_nothing():
    import gc

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        with Interactive.local() as client:
            result = client.run_experiment(
                name="gc", data=numbers(20), task=lambda item: item["input"], evaluators=[lambda *, output: 1]
            )
    finally:
        gc.set_threshold(*before)

    assert len(result.item_results) == 20 and result.delivery.acknowledged == 60


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, asyncio.CancelledError, StopIteration])
@pytest.mark.parametrize("hook", ["retry_on", "progress"])
def test_a_hook_that_raises_whatever_it_likes_does_not_end_the_run(client, error, hook):
    def raising(_):
        raise error("hook")

    def failing(*, item):
        raise ValueError("task")

    settings = {"retry_on": {"retry_on": raising, "task_retries": 1}, "progress": {"progress": raising}}
    items = [{"input": 1}, {"input": 2}]
    result = client.run_experiment(name="hook", data=items, task=failing, **settings[hook])

    assert [(failure.error_type, failure.attempts) for failure in result.item_failures] == [("ValueError", 1)] * 2


class AsyncCallable:
    async def __call__(self, details):
        raise AssertionError("called")


async def async_hook(details):
    raise AssertionError("called")


async def async_generator_hook(details):
    yield details


def generator_hook(details):
    yield details


ASYNC = "must be a plain function: what is async would not be awaited"


@pytest.mark.parametrize("name", ["on_result", "progress", "retry_on"])
@pytest.mark.parametrize("hook", [async_hook, AsyncCallable(), functools.partial(async_hook), AsyncCallable().__call__])
def test_hooks_that_are_async_are_refused_before_any_work(client, name, hook):
    called = []
    settings = {"name": "hook", "data": [{"input": 1}], "task": called.append, name: hook}

    with pytest.raises(ArgumentError, match=ASYNC):
        client.run_experiment(**settings)
    with pytest.raises(ArgumentError, match=ASYNC):
        asyncio.run(client.run_experiment_async(**settings))

    assert called == []


@pytest.mark.parametrize("hook", [lambda details: async_hook(details), async_generator_hook, generator_hook])
def test_a_hook_that_turns_out_to_be_async_is_told_at_its_first_call(client, hook, caplog):
    """A decorator hides what it wraps; nothing of it would ever run."""

    def failing(*, item):
        raise ValueError("task")

    settings = {"name": "hook", "data": [{"input": 1}]}
    with pytest.raises(ArgumentError, match=ASYNC) as stopped:
        client.run_experiment(**settings, task=lambda item: 1, on_result=hook)
    assert len(stopped.value.result.item_results) == 1
    assert client.run_experiment(**settings, task=lambda item: 1, progress=hook).completed
    assert ASYNC in caplog.text
    caplog.clear()
    result = client.run_experiment(**settings, task=failing, retry_on=hook, task_retries=3)

    assert result.item_failures[0].attempts == 1 and ASYNC in caplog.text


def test_what_goes_wrong_with_every_item_is_told_once(client, caplog):
    def rule(error):
        raise KeyError("rule")

    def judge(*, output):
        client.score_current_trace(name="late", value=1)  # there is no current span in a batch
        return 1

    @observe(transform_to_string=lambda parts: parts.missing)
    def stream():
        yield "part"

    def task(*, item):
        list(stream())
        raise ValueError

    result = client.run_experiment(name="r", data=numbers(50), task=task, task_retries=1, retry_on=rule)
    client.flush()
    batch = client.run_batched_evaluation(
        scope="traces", mapper=lambda item: {"input": 1, "output": 1}, evaluators=[judge]
    )

    assert [failure.attempts for failure in result.item_failures] == [1] * 50 and batch.total_items_processed == 50
    told = [message.partition(":")[0] for message in caplog.messages]
    assert told == ["@observe", "retry_on", "experiment 'r'", "score_current_trace"]


# -- values that run code of their own when they are looked at ---------------------------------------------------------

ENDINGS = [RuntimeError, SystemExit, GeneratorExit, asyncio.CancelledError, StopIteration]


class Snare:
    """A value whose `where` raises `error`: what a lazy proxy of a dead connection does."""

    def __init__(self, where, error):
        def spring(*_, **__):
            raise error("snare")

        body = {where: property(spring)} if not where.startswith("__") else {where: spring}
        self.__class__ = type("Snare", (Snare,), body)


@pytest.mark.parametrize("error", ENDINGS)
@pytest.mark.parametrize("where", ["__iter__", "keys", "name", "value", "__float__"])
def test_what_an_evaluator_returns_fails_that_evaluator_only(client, where, error):
    def returning(*, output):
        snare = Snare(where, error)
        if where == "value":
            type(snare).name = "named"
        if where == "keys":
            type(snare).__getitem__ = lambda self, key: key
        if where == "__float__":
            type(snare).dtype, type(snare).item = "float", property(lambda self: float(self))
        return snare

    result = client.run_experiment(
        name="s", data=numbers(2), task=lambda item: 1, evaluators=[returning, lambda *, output: 1.0]
    )

    assert [len(item.evaluator_failures) for item in result.item_results] == [1, 1]
    assert [len(item.evaluations) for item in result.item_results] == [1, 1]


@pytest.mark.parametrize("error", ENDINGS)
@pytest.mark.parametrize("where", ["__repr__", "__deepcopy__", "__iter__", "model_dump", "__len__", "__getattribute__"])
def test_an_output_that_raises_when_it_is_looked_at_is_a_result_or_a_failure(client, where, error):
    def task(*, item):
        return Snare(where, error) if item["input"] == 1 else 1

    result = client.run_experiment(name="s", data=numbers(3), task=task, evaluators=[lambda *, output: 1])

    assert len(result.item_results) + len(result.item_failures) == 3 and result.completed
    assert {item.index for item in result.item_results} >= {0, 2}


@pytest.mark.parametrize("error", ENDINGS)
@pytest.mark.parametrize("where", ["input", "id", "dataset_id", "metadata", "__getattribute__"])
def test_an_item_that_raises_when_it_is_read_is_a_failure_of_that_item(client, where, error):
    class Whole:
        input, expected_output, metadata = 7, None, None

    snared = Snare(where, error)
    for name in ("input", "expected_output", "metadata"):
        if name != where:
            setattr(type(snared), name, 1)

    result = client.run_experiment(name="s", data=[Whole(), snared, Whole()], task=lambda item: 1)

    assert [item.index for item in result.item_results] == [0, 2] and result.completed
    assert [(failure.index, failure.stage) for failure in result.item_failures] == [(1, "input")]


@pytest.mark.parametrize("error", ENDINGS)
def test_a_dict_that_raises_when_it_is_asked_is_a_failure_of_that_item(client, error):
    class Asked(dict):
        def get(self, *_):
            raise error("asked")

    result = client.run_experiment(name="s", data=[{"input": 1}, Asked(input=2)], task=lambda item: 1)

    assert len(result.item_results) == 1 and [failure.stage for failure in result.item_failures] == ["input"]


class Shy:
    """A function of which some attributes raise; `where` is one of those that we look at."""

    def __init__(self, where):
        self.__class__ = type("Shy", (Shy,), {where: property(lambda self: sys.exit(where))})

    def __call__(self, item=None, *, output=None):
        return 1


@pytest.mark.parametrize("where", ["__name__", "__module__", "__signature__", "__func__", "__code__"])
def test_a_function_whose_attributes_raise_is_called_or_refused_by_name(client, tmp_path, where):
    """A task is called with its item in any case; an evaluator where it is to be seen what that takes."""
    task, evaluator = Shy(where), Shy(where)
    given = {"name": "shy", "data": numbers(1), "task": task, "checkpoint": tmp_path / "run.checkpoint"}

    if where == "__module__":
        result = client.run_experiment(**given, evaluators=[evaluator])
        assert [row.name for row in result.evaluator_stats] == ["Shy"]
    else:
        with pytest.raises(ArgumentError, match=r"evaluators\[0\]=.*: does not tell its parameters; wrap it in a func"):
            client.run_experiment(**given, evaluators=[evaluator])
        result = client.run_experiment(**given)
    assert [item.output for item in result.item_results] == [1]


def test_data_whose_length_raises_is_data_of_no_known_length(client):
    class Endless:
        def __len__(self):
            raise SystemExit("length")

        def __iter__(self):
            return iter(numbers(2))

    assert len(client.run_experiment(name="l", data=Endless(), task=lambda item: 1).item_results) == 2


class Secretive(type):
    """Its classes compare and cannot be hashed; some let nobody look."""

    def __eq__(cls, other):
        return cls is other

    __hash__ = None

    def __getattribute__(cls, name):
        if name in type.__getattribute__(cls, "HIDDEN"):
            raise SystemExit(name)
        return type.__getattribute__(cls, name)


def secretive(*hidden):
    return Secretive("Unseen", (), {"HIDDEN": hidden})


@pytest.mark.parametrize("hidden", [(), ("__await__", "ag_code", "gi_code")])
@pytest.mark.parametrize("where", ["plain", "async", "executor"])
def test_a_task_may_return_what_has_a_class_that_cannot_be_hashed_or_looked_at(client, hidden, where):
    kind = secretive(*hidden)

    async def on_loop(*, item):
        return kind()

    with ThreadPoolExecutor(1) as executor:
        result = client.run_experiment(
            name="s",
            data=numbers(2),
            task=on_loop if where == "async" else lambda item: kind(),
            task_timeout=10.0,  # what hangs fails
            evaluators=[lambda *, output: isinstance(output, kind)],
            executor=executor if where == "executor" else None,
        )

    assert [[evaluation.value for evaluation in item.evaluations] for item in result.item_results] == [[True], [True]]


def test_values_of_classes_that_cannot_be_hashed_are_values_like_others(client):
    """And what lies beside them is copied all the same, so that no function sees what another has done to it."""
    beside, unhashable = [1], secretive()

    def task(*, item):
        item["input"][1].append(2)
        return [unhashable(), {"deep": unhashable()}]

    async def judge(*, input, metadata):
        return unhashable() if metadata["late"] else input[1] == [1]

    result = client.run_experiment(
        name="s",
        data=[{"input": [unhashable(), beside], "metadata": {"late": late, "of": unhashable()}} for late in (0, 1)],
        task=task,
        evaluators=[judge],
        evaluator_timeout=10.0,
        run_evaluators=[lambda *, item_results: len(item_results)],
    )

    assert [[evaluation.value for evaluation in item.evaluations] for item in result.item_results] == [[True], []]
    assert [failure.error_type for failure in result.item_results[1].evaluator_failures] == ["UnreadableEvaluation"]
    assert beside == [1] and result.run_evaluations[0].value == 2


@pytest.mark.parametrize("attribute", ["error_type", "traceback", "type_names", "__str__", "with_traceback"])
@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_an_exception_that_raises_when_it_is_read_is_a_failure_of_its_item(client, attribute, error):
    def spring(*_):
        raise error("snare")

    body = {attribute: spring if attribute in ("__str__", "with_traceback") else property(spring)}
    kind = type("Trapped", (Exception,), body)

    def task(*, item):
        raise kind("text")

    result = client.run_experiment(name="s", data=numbers(2), task=task, retry_on=ValueError, task_retries=1)

    assert [failure.error_type for failure in result.item_failures] == ["Trapped", "Trapped"]


class Nameless(type):
    """A metaclass that tells nothing of its classes."""

    def __getattribute__(cls, name):
        if name in ("__name__", "__qualname__", "__module__", "__mro__"):
            raise SystemExit(name)
        return type.__getattribute__(cls, name)


class Words(str):
    def __getitem__(self, _):
        raise SystemExit("cut")


def veiled(where):
    """An error whose `where` raises when it is asked for."""
    if where == "name":
        return Nameless("Veiled", (Exception,), {})()
    body = {"__str__": lambda self: Words("text")} if where == "text" else {where: property(lambda self: sys.exit(1))}
    return type("Veiled", (Exception,), body)()


@pytest.mark.parametrize("where", ["name", "text", "__traceback__", "__class__", "__cause__"])
def test_an_error_that_cannot_be_looked_at_fails_what_has_raised_it_and_nothing_else(client, where):
    def plain(**_):
        raise veiled(where)

    async def on_loop(**_):
        raise veiled(where)

    class Unread:
        input = property(lambda self: plain())

    def of(data, **functions):
        functions = {"task": lambda *, item: 1, "task_timeout": 10.0, "evaluator_timeout": 10.0, **functions}
        return client.run_experiment(name="v", data=data, **functions)  # the timeouts: what hangs fails

    with client.start_as_current_span(name="s") as span:
        span.update_trace(input=1)
    client.flush()
    unread = of([Unread(), *numbers(1)])
    assert [(failure.index, failure.stage) for failure in unread.item_failures] == [(0, "input")]
    for raising in (plain, on_loop):
        retried = of(numbers(2), task=raising, task_retries=1, retry_on=ValueError)
        assert [(failure.error_type, failure.attempts) for failure in retried.item_failures] == [("Veiled", 1)] * 2
        judged = of(numbers(1), evaluators=[raising, lambda *, output: True], run_evaluators=[raising])
        assert [failure.error_type for failure in judged.item_results[0].evaluator_failures] == ["Veiled"]
        assert [failure.error_type for failure in judged.run_evaluator_failures] == ["Veiled"]
        assert [evaluation.value for evaluation in judged.item_results[0].evaluations] == [True]
        batch = client.run_batched_evaluation(
            scope="traces", max_items=1, mapper=lambda item: {"input": 1, "output": 1}, evaluators=[raising]
        )
        assert (batch.total_items_processed, batch.total_evaluations_failed) == (1, 1)
        batch = client.run_batched_evaluation(
            scope="traces", max_items=1, mapper=lambda item, go=raising: go(), evaluators=[lambda *, output: 1]
        )
        assert [(failure.stage, failure.error_type) for failure in batch.item_failures] == [("mapper", "Veiled")]
    with ThreadPoolExecutor(1) as executor:
        assert of(numbers(1), task=plain, executor=executor).item_failures[0].error_type == "Veiled"


def test_an_error_of_code_without_a_module_is_told_with_its_place(client):
    """`exec` with globals of its own, as notebooks and templates do."""
    space = {"__name__": None}
    exec("def task(item):\n    raise ValueError('mine')", space)

    failure = client.run_experiment(name="v", data=numbers(1), task=space["task"]).item_failures[0]

    assert (failure.error_type, failure.message) == ("ValueError", "mine")
    assert failure.traceback.splitlines()[1] == '  File "<string>", line 2, in task'


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_mask_that_raises_whatever_it_likes_loses_no_item(error):
    """Nothing of such an item can be recorded, as all of it would go through the mask."""

    def mask(*, data):
        if data == 1:
            raise error("mask")
        return data

    with Interactive.local(mask=mask) as client:
        try:
            result = client.run_experiment(name="m", data=numbers(3), task=lambda item: 5, max_concurrency=1)
        except KeyboardInterrupt as stopped:
            result = stopped.result

    assert [item.index for item in result.item_results][:1] == [0]
    assert error is KeyboardInterrupt or len(result.item_results) == 3


def test_an_evaluator_that_returns_nothing_without_end_is_a_failure(client):
    result = client.run_experiment(
        name="s", data=numbers(1), task=lambda item: 1, evaluators=[lambda *, output: itertools.repeat(None)]
    )

    assert "more than 10000" in result.item_results[0].evaluator_failures[0].message


def test_an_interrupt_in_the_progress_hook_ends_the_run_and_what_is_under_way(client):
    def hook(details):
        raise KeyboardInterrupt

    def task(*, item):
        if item["input"]:
            threading.Event().wait(20)

    with pytest.raises(KeyboardInterrupt) as stopped:
        client.run_experiment(name="p", data=numbers(2), task=task, progress=hook)

    result = stopped.value.result
    assert [item.index for item in result.item_results] == [0]
    assert [failure.stage for failure in result.item_failures] in (["cancelled"], [])


def test_a_dict_that_another_thread_changes_can_be_copied(client):
    """One thread adds keys while the items' metadata, which is that dict, is copied for every call."""
    shared, over = {str(i): {"deep": [i]} for i in range(200)}, threading.Event()

    def change():
        number = 0
        while not over.is_set():
            shared[f"new {number % 1000}"] = {"deep": [number]}
            shared.pop(f"new {(number + 500) % 1000}", None)
            number += 1

    changer = threading.Thread(target=change)
    changer.start()
    try:
        items = [{"input": i, "metadata": shared} for i in range(100)]
        result = client.run_experiment(
            name="c", data=items, task=lambda item: 1, evaluators=[lambda *, metadata: len(metadata) >= 200]
        )
    finally:
        over.set()
        changer.join()

    assert len(result.item_results) == 100 and not result.item_failures
    assert all(not item.evaluator_failures for item in result.item_results)


class Counted:
    """What is copied with an item; knows how many copies there are."""

    alive: weakref.WeakSet = weakref.WeakSet()

    def __deepcopy__(self, memo):
        copy = Counted()
        self.alive.add(copy)
        return copy


def test_the_copy_that_a_task_got_is_gone_when_its_evaluators_run(client):
    alive = []
    evaluators = [lambda *, output: alive.append(len(Counted.alive)) for _ in range(2)]
    client.run_experiment(name="c", data=[{"input": Counted()}], task=lambda *, item: 1, evaluators=evaluators)

    assert alive == [0, 0]


def test_an_item_that_cannot_be_encoded_is_counted_with_the_reason(client):
    def task(*, item):
        span = client.start_span(name="s")
        span.attributes[1] = "no text for a name"
        span.end()

    result = client.run_experiment(name="e", data=numbers(1), task=task)

    (failure,) = result.item_failures
    assert result.delivery.by_kind["spans"] == {"acknowledged": 0, "pending": 0, "rejected": 0, "skipped": 1}
    assert result.delivery.problems[0].reason == f"recording it raised {failure.error_type}: {failure.message}"
    assert "encode" in failure.message


class Reasoned(Evaluation):
    def __init__(self, reason, **fields):
        super().__init__(**fields)
        object.__setattr__(self, "reason", reason)

    def __repr__(self):
        return f"Reasoned({self.reason!r})"


def test_what_a_user_has_put_on_an_evaluation_is_on_its_copies(client):
    told = []

    def note(evaluations):
        told.append(repr(evaluations))

    client.run_experiment(
        name="w",
        data=numbers(1),
        task=lambda *, item: 1,
        evaluators=[lambda *, output: Reasoned("r", name="w", value=1, metadata={"k": []})],
        composite_evaluator=lambda *, evaluations: note(evaluations),
        on_result=lambda outcome: note(outcome.evaluations),
        run_evaluators=[lambda *, item_results: note(item_results[0].evaluations)],
    )

    assert told == ["[Reasoned('r')]"] * 3


class Weighted(Evaluation):
    __slots__ = ("weight",)

    def __init__(self, weight, **fields):
        super().__init__(**fields)
        object.__setattr__(self, "weight", weight)


def test_evaluations_of_a_type_of_the_users_stay_what_they_are_for_hooks_and_run_evaluators(client):
    weights = []
    client.run_experiment(
        name="w",
        data=numbers(1),
        task=lambda *, item: 1,
        evaluators=[lambda *, output: Weighted(3, name="w", value=1, metadata={"k": []})],
        on_result=lambda outcome: weights.append(outcome.evaluations[0].weight),
        run_evaluators=[lambda *, item_results: weights.append(item_results[0].evaluations[0].weight)],
    )

    assert weights == [3, 3]


def test_values_that_share_their_parts_are_copied_once_and_keep_their_shape(client):
    """Copied part by part, these 60 lists would be 2**60."""
    doubling = [1]
    for _ in range(60):
        doubling = [doubling, doubling]
    ring = {"name": "ring"}
    ring["self"] = ring
    seen = []

    def evaluator(*, output):
        seen.append((output["doubling"][0] is output["doubling"][1], output["ring"]["self"] is output["ring"]))
        seen.append((output["doubling"] is doubling, output["ring"] is ring))

    outcome = {"doubling": doubling, "ring": ring}
    client.run_experiment(name="c", data=numbers(1), task=lambda item: outcome, evaluators=[evaluator])

    assert seen == [(True, True), (False, False)]


@pytest.mark.parametrize("kind", ["coroutine", "plain function that returns one"])
def test_a_task_that_cancels_all_others_of_the_loop_ends_them_and_not_the_run(client, kind):
    """Those that it cancels before their first step have run nothing; they are failures all the same."""

    async def task(*, item):
        for other in asyncio.all_tasks():
            if other is not asyncio.current_task():
                other.cancel()
        await asyncio.sleep(0)
        return item["input"]

    given = task if kind == "coroutine" else lambda item: task(item=item)
    result = client.run_experiment(name="c", data=numbers(20), task=given)

    assert len(result.item_results) + len(result.item_failures) == 20 and result.completed
    assert {failure.error_type for failure in result.item_failures} == {"CancelledError"}


def test_async_data_whose_puller_is_cancelled_ends_the_run_with_what_there_is(client):
    class Data:
        def __init__(self):
            self.number = 0

        def __aiter__(self):
            return self

        async def __anext__(self):
            self.number += 1
            if self.number > 1000:
                raise StopAsyncIteration
            return {"input": self.number}

    cancelled = set()

    async def task(*, item):
        if item["input"] == 3:
            asyncio.get_running_loop().call_soon(cancel_all)
        await asyncio.sleep(0)
        return item["input"]

    def cancel_all():
        """Cancel the third item's task and then, before its first step, the one that pulls the fourth."""
        for other in asyncio.all_tasks():
            other.cancel()
            cancelled.add(other)
        if len(cancelled) < 2:
            asyncio.get_running_loop().call_soon(cancel_all)

    with pytest.raises(RunStopped, match="data raised CancelledError") as stopped:
        client.run_experiment(name="c", data=Data(), task=task, max_concurrency=1)

    result = stopped.value.result
    assert [item.output for item in result.item_results] == [1, 2]
    assert [failure.error_type for failure in result.item_failures] == ["CancelledError"]


@pytest.mark.parametrize("role", ["task", "evaluator"])
def test_a_mock_can_stand_for_a_function(client, role):
    """A mock has every attribute, `func` and `__wrapped__` among them."""
    mock = Mock(return_value=5)
    roles = {"task": lambda item: 1, "evaluators": []}
    roles.update({"task": mock} if role == "task" else {"evaluators": [mock]})

    result = client.run_experiment(name="m", data=numbers(2), **roles)

    assert mock.call_count == 2 and len(result.item_results) == 2


def test_a_decorator_that_takes_other_arguments_than_what_it_wraps_is_called_as_it_is(client):
    def judging(function):
        @functools.wraps(function)
        def wrapper(*, output, expected_output):
            return function(output == expected_output)

        return wrapper

    def passing_on(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @judging
    def exact(same):
        return same

    @passing_on
    def long(output):
        return output > 1

    result = client.run_experiment(
        name="w", data=[{"input": 1, "expected_output": 1}], task=lambda item: 1, evaluators=[exact, long]
    )

    assert [(e.name, e.value) for e in result.item_results[0].evaluations] == [("exact", True), ("long", False)]
