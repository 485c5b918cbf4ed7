"""Runs inside loops, inside runs, on executors, and on Pythons without threads or asyncio."""
from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from interactiveai_eval import ArgumentError, Interactive
from interactiveai_eval.running import groups, remote
from interactiveai_eval.testing import ManualClock

from .programs import run

person = contextvars.ContextVar("person", default="nobody")


def numbers(n):
    return [{"input": i} for i in range(n)]


def outputs(result):
    return [item.output for item in result.item_results]


# -- loops -------------------------------------------------------------------------------------------------------------


def test_the_awaitable_form_leaves_the_callers_loop_alone(client):
    """The reference blocks it for the whole run (D37)."""

    async def main():
        beats = 0
        release = threading.Event()

        async def heart():
            nonlocal beats
            while not release.is_set():
                beats += 1
                if beats == 50:
                    release.set()
                await asyncio.sleep(0)

        beating = asyncio.ensure_future(heart())
        result = await client.run_experiment_async(
            name="beat", data=numbers(3), task=lambda *, item: release.wait(10) and item["input"]
        )
        await beating
        return result

    assert outputs(asyncio.run(main())) == [0, 1, 2]


def test_coroutines_of_the_awaitable_form_run_on_the_callers_loop(client):
    async def main():
        loop = asyncio.get_running_loop()
        shared = asyncio.Event()

        async def task(*, item):
            if item["input"] == 1:
                shared.set()
            await shared.wait()
            return asyncio.get_running_loop() is loop

        return await client.run_experiment_async(name="here", data=numbers(2), task=task)

    assert outputs(asyncio.run(main())) == [True, True]


def test_the_plain_form_works_inside_a_running_loop_and_takes_the_context_along(client):
    """A notebook cell: reference and others need care, ours does not."""

    async def cell():
        person.set("ada")

        async def task(*, item):
            await asyncio.sleep(0)
            return person.get(), item["input"]

        return client.run_experiment(name="cell", data=numbers(2), task=task)

    assert outputs(asyncio.run(cell())) == [("ada", 0), ("ada", 1)]


def test_exceptions_come_out_of_the_plain_form_inside_a_running_loop(client):
    async def cell():
        client.run_experiment(name="cell", data=numbers(2), task=lambda item: 1 / 0, fail_on_error=True)

    with pytest.raises(Exception, match="of the items failed"):
        asyncio.run(cell())


def test_context_variables_reach_plain_tasks_and_evaluators_and_do_not_leak(client):
    person.set("grace")

    def task(*, item):
        before = person.get()
        person.set("changed by a task")
        return before

    result = client.run_experiment(
        name="context", data=numbers(20), task=task, evaluators=[lambda *, output: person.get()]
    )

    assert set(outputs(result)) == {"grace"} and person.get() == "grace"
    assert {item.evaluations[0].value for item in result.item_results} == {"grace"}


def test_coroutines_of_the_plain_form_run_in_the_callers_thread(client):
    async def task(*, item):
        return threading.current_thread() is threading.main_thread()

    assert outputs(client.run_experiment(name="here", data=numbers(2), task=task)) == [True, True]


# -- runs in runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "coroutine", "plain in coroutine"])
def test_a_run_inside_a_task_of_another_run(client, kind):
    """Three deep, with one place each: nothing waits for a place that it holds itself."""

    def plain(*, item, depth=0):
        if depth == 2:
            return item["input"]
        inner = client.run_experiment(
            name="inner", data=numbers(2), task=lambda item: plain(item=item, depth=depth + 1), max_concurrency=1
        )
        return outputs(inner)

    async def coroutine(*, item, depth=0):
        if depth == 2:
            return item["input"]
        inner = await client.run_experiment_async(
            name="inner", data=numbers(2), task=lambda item: coroutine(item=item, depth=depth + 1), max_concurrency=1
        )
        return outputs(inner)

    async def mixed(*, item):
        return plain(item=item)

    task = {"plain": plain, "coroutine": coroutine, "plain in coroutine": mixed}[kind]
    result = client.run_experiment(name="outer", data=numbers(2), task=task, max_concurrency=1)

    assert outputs(result) == [[[0, 1], [0, 1]], [[0, 1], [0, 1]]]


def test_two_clients_run_at_once_from_two_threads():
    def go(name, found):
        with Interactive.local() as client:
            result = client.run_experiment(name=name, data=numbers(200), task=lambda item: name)
            found[name] = (set(outputs(result)), client.api.traces()["meta"]["totalItems"])

    found = {}
    threads = [threading.Thread(target=go, args=(name, found)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {"a": ({"a"}, 200), "b": ({"b"}, 200)}


# -- executors ---------------------------------------------------------------------------------------------------------


def square(*, item):
    return item["input"] ** 2


def is_even(*, output):
    return output % 2 == 0


def fails_far_away(*, item):
    raise LookupError(f"no {item['input']}")


class NeverUnpickled(Exception):
    def __init__(self, one, two):
        super().__init__(one)


def fails_unpicklably(*, item):
    raise NeverUnpickled(1, 2)


def dies(*, item):
    import os

    os._exit(3)


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2) as pool:
        yield pool


def test_plain_functions_run_in_other_processes(client, processes):
    result = client.run_experiment(
        name="far", data=numbers(10), task=square, evaluators=[is_even], executor=processes
    )

    assert outputs(result) == [i**2 for i in range(10)]
    assert [item.evaluations[0].value for item in result.item_results] == [i % 2 == 0 for i in range(10)]
    assert client.api.scores()["meta"]["totalItems"] == 10


def test_errors_from_other_processes_come_with_type_message_and_traceback(client, processes):
    result = client.run_experiment(
        name="far", data=numbers(1), task=fails_far_away, executor=processes, task_retries=1, retry_on=LookupError
    )

    (failure,) = result.item_failures
    assert (failure.error_type, failure.message, failure.attempts) == ("LookupError", "no 0", 2)
    assert "in fails_far_away" in failure.traceback


def test_an_error_that_cannot_travel_does_not_break_the_pool(client, processes):
    result = client.run_experiment(name="far", data=numbers(2), task=fails_unpicklably, executor=processes)

    assert [failure.error_type for failure in result.item_failures] == ["NeverUnpickled"] * 2
    assert outputs(client.run_experiment(name="again", data=numbers(2), task=square, executor=processes)) == [0, 1]


def test_functions_that_cannot_travel_are_refused_before_any_work(client, processes):
    local = 5

    with pytest.raises(ArgumentError, match=r"cannot carry <lambda> to its workers .*top level of an importable module"):
        client.run_experiment(name="far", data=numbers(1), task=lambda item: local, executor=processes)


def test_a_composite_that_cannot_travel_is_refused_before_any_work(client, processes):
    with pytest.raises(ArgumentError, match="cannot carry <lambda> to its workers"):
        client.run_experiment(
            name="far",
            data=numbers(1),
            task=square,
            evaluators=[fails_far_away],
            composite_evaluator=lambda *, evaluations: 1,
            executor=processes,
        )


def test_a_worker_that_dies_is_a_failure_of_its_items(client):
    with ProcessPoolExecutor(1) as pool:
        result = client.run_experiment(name="die", data=numbers(1), task=dies, executor=pool)

    assert [failure.error_type for failure in result.item_failures] == ["BrokenProcessPool"]


def test_an_executor_of_threads_keeps_context_and_spans(client):
    person.set("joan")

    def task(*, item):
        with client.start_as_current_span(name="inner") as span:
            return person.get(), span.trace_id == client.get_current_trace_id()

    with ThreadPoolExecutor(3, thread_name_prefix="mine") as pool:
        result = client.run_experiment(
            name="pool",
            data=numbers(5),
            task=task,
            evaluators=[lambda *, output: threading.current_thread().name],
            executor=pool,
        )

    assert set(outputs(result)) == {("joan", True)}
    assert all(item.evaluations[0].value.startswith("mine") for item in result.item_results)


async def number_of(*, item):
    await asyncio.sleep(0)
    return item["input"]


def test_coroutines_stay_on_the_loop_beside_an_executor_of_threads(client):
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        result = client.run_experiment(
            name="both", data=numbers(3), task=number_of, evaluators=[is_even], executor=pool
        )

    assert [item.evaluations[0].value for item in result.item_results] == [True, False, True]


# -- Pythons that lack something ---------------------------------------------------------------------------------------

PLAIN_RUN = """
    from interactiveai_eval import Interactive

    with Interactive.local() as client:
        result = client.run_experiment(
            name="plain",
            data=({"input": i} for i in range(20)),
            task=lambda item: item["input"],
            evaluators=[lambda *, output: output % 2 == 0, lambda *, output: 1],
            task_retries=1,
        )
        print(len(result.item_results), client.api.scores()["meta"]["totalItems"], result.delivery.acknowledged)
"""

NO_THREADS = """
    import _thread, threading

    def refuse(*args, **kwargs):
        raise RuntimeError("can't start new thread")

    _thread.start_new_thread = threading._start_new_thread = refuse
    if hasattr(threading, "_start_joinable_thread"):
        threading._start_joinable_thread = refuse
"""


def test_plain_functions_run_without_threads():
    assert run(NO_THREADS + PLAIN_RUN) == "20 40 100\n"


def test_a_time_budget_is_kept_between_two_calls_without_threads():
    program = NO_THREADS + """
    import time
    from interactiveai_eval import Interactive

    called = []

    def evaluator(*, output):
        time.sleep(0.1)
        called.append(output)

    result = Interactive.local().run_experiment(
        name="b", data=[{"input": 1}], task=lambda item: 1, evaluators=[evaluator] * 30, time_budget=0.5
    )
    print(len(called) < 30, [failure.stage for failure in result.item_failures], result.completed)
    """
    assert run(program) == "True ['cancelled'] False\n"


def test_coroutines_run_without_threads():
    program = NO_THREADS + """
    import asyncio
    from interactiveai_eval import Interactive

    async def task(*, item):
        await asyncio.sleep(0.001)
        return item["input"]

    async def source():
        for i in range(10):
            yield {"input": i}

    async def main(client):
        return await client.run_experiment_async(
            name="x", data=source(), task=task, evaluators=[lambda *, output: 1], task_timeout=5
        )

    client = Interactive.local()
    print([r.output for r in client.run_experiment(name="x", data=source(), task=task, max_concurrency=3).item_results])
    result = asyncio.run(main(client))
    print([r.output for r in result.item_results], result.delivery.acknowledged)
    """
    assert run(program) == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n" * 1 + "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9] 30\n"


@pytest.mark.parametrize(
    "task, said",
    [
        ("lambda item: item['input']", "[1, 2] True"),
        ("coroutine", "inside a running loop (await the form that ends in _async instead) needs the standard module '_thread'"),
    ],
)
def test_the_plain_form_inside_a_loop_without_threads_runs_plain_functions(task, said):
    """Wasm: its loop always runs, and there are no threads. What needs a loop of its own says what to do."""
    program = NO_THREADS + f"""
    import asyncio
    from interactiveai_eval import FeatureUnavailable, Interactive

    async def coroutine(item):
        return 1

    async def main():
        client = Interactive.local()
        result = client.run_experiment(name="x", data=[{{"input": 1}}, {{"input": 2}}], task={task})
        print([item.output for item in result.item_results], result.delivery.pending == 0 < result.delivery.acknowledged)

    try:
        asyncio.run(main())
    except FeatureUnavailable as error:
        print(error)
    """
    assert said in run(program)


def test_a_run_of_plain_functions_needs_no_asyncio():
    """asyncio is the dearest import of all, and needs modules that hardened Pythons lack."""
    program = """
    import sys
    for name in ("asyncio", "_socket", "select", "ssl"):
        sys.modules[name] = None
    """
    assert run(program + PLAIN_RUN) == "20 40 100\n"


def test_a_coroutine_where_there_is_no_asyncio_is_an_error_that_names_it():
    program = """
    import sys
    sys.modules["asyncio"] = None
    from interactiveai_eval import FeatureUnavailable, Interactive

    async def task(*, item):
        return 1

    try:
        Interactive.local().run_experiment(name="x", data=[{"input": 1}], task=task)
    except FeatureUnavailable as error:
        print(error)
    """
    assert run(program) == "running coroutines needs the standard module 'asyncio', which this Python lacks\n"


# -- threads -----------------------------------------------------------------------------------------------------------


def test_functions_that_return_at_once_do_not_wake_a_crowd(client):
    """Two thousand trivial calls are the work of a few threads, whatever the limit."""
    seen = set()

    client.run_experiment(
        name="fast",
        data=numbers(1000),
        task=lambda item: seen.add(threading.get_ident()),
        evaluators=[lambda *, output: seen.add(threading.get_ident())],
        max_concurrency=50,
    )

    assert len(seen) <= 10


def test_many_threads_that_switch_all_the_time_lose_nothing(client):
    import sys

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        result = client.run_experiment(
            name="stress",
            data=numbers(300),
            task=lambda item: time.sleep(0.001) or item["input"],
            evaluators=[lambda *, output: output, lambda *, output: 1],
            max_concurrency=64,
        )
    finally:
        sys.setswitchinterval(before)

    assert outputs(result) == list(range(300)) and result.delivery.acknowledged == 300 * 5


@pytest.mark.parametrize("form", ["plain", "awaitable"])
def test_what_a_coroutine_left_in_a_thread_does_not_hold_the_run(client, form):
    """asyncio would wait for it, and so would the interpreter at its end."""
    released = threading.Event()

    async def task(*, item):
        loop = asyncio.get_running_loop()
        quick = await loop.run_in_executor(None, threading.current_thread)
        await loop.run_in_executor(None, released.wait, 30)
        return quick

    arguments = {"name": "left", "data": [{"input": 1}], "task": task, "task_timeout": 0.2}
    try:
        if form == "plain":
            result = client.run_experiment(**arguments)
        else:
            loop = asyncio.new_event_loop()
            result = loop.run_until_complete(client.run_experiment_async(**arguments))
        assert not released.is_set() and [failure.stage for failure in result.item_failures] == ["timeout"]
    finally:
        released.set()
        if form == "awaitable":
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()


def test_threads_of_coroutines_return_values_errors_and_are_gone_afterwards(client):
    before = set(threading.enumerate())

    async def task(*, item):
        return await asyncio.get_running_loop().run_in_executor(None, divmod, 7, item["input"])

    result = client.run_experiment(name="threads", data=[{"input": 2}, {"input": 0}], task=task)

    assert [item.output for item in result.item_results] == [(3, 1)]
    assert [failure.error_type for failure in result.item_failures] == ["ZeroDivisionError"]
    assert set(threading.enumerate()) == before


def test_a_coroutine_may_give_the_loop_threads_of_its_own(client):
    async def task(*, item):
        loop = asyncio.get_running_loop()
        if item["input"] == 1:
            loop.set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="own"))
        return (await loop.run_in_executor(None, threading.current_thread)).name

    result = client.run_experiment(name="own", data=[{"input": 1}, {"input": 2}], task=task, max_concurrency=1)

    assert [item.output for item in result.item_results] == ["own_0", "own_0"]


LOADED = """
    import asyncio, sys
    from interactiveai_eval import Interactive

    async def task(*, item):
        if item["input"]:
            await asyncio.get_running_loop().run_in_executor(None, int)

    with Interactive.local() as client:
        for wanted in (0, 1):
            client.run_experiment(name="x", data=[{"input": wanted}], task=task)
            print("concurrent.futures.thread" in sys.modules)
"""


def test_threads_for_a_loop_are_loaded_when_a_coroutine_asks_for_some():
    assert run(LOADED).split() == ["False", "True"]


TURNS = """
    import asyncio
    from interactiveai_eval import Interactive

    class Counting(asyncio.SelectorEventLoop):
        asked = 0

        def call_soon(self, *arguments, **more):
            Counting.asked += 1
            return super().call_soon(*arguments, **more)

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            return Counting()

    asyncio.set_event_loop_policy(Policy())

    async def task(*, item):
        return item["input"]

    with Interactive.local() as client:
        result = client.run_experiment(name="turns", data=[{"input": n} for n in range(200)], task=task)
    assert [item.output for item in result.item_results] == list(range(200))
    print(Counting.asked < 200)
"""


def test_coroutines_that_never_wait_take_no_turn_of_the_loop():
    """A turn costs more than all else that a run does for the coroutine of an item."""
    assert run(TURNS, PYTHONWARNINGS="ignore") == "True\n"


REFUSING = """
    import asyncio
    from interactiveai_eval import Interactive

    class Refusing(asyncio.SelectorEventLoop):
        def __setattr__(self, name, value):
            if name in ("call_soon", "run_in_executor"):
                raise RuntimeError(name)
            super().__setattr__(name, value)

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            return Refusing()

    asyncio.set_event_loop_policy(Policy())

    async def task(*, item):
        return await asyncio.get_running_loop().run_in_executor(None, str, item["input"])

    with Interactive.local() as client:
        result = client.run_experiment(name="r", data=[{"input": n} for n in range(20)], task=task)
    print([item.output for item in result.item_results] == [str(n) for n in range(20)])
"""


def test_coroutines_run_on_a_loop_that_lets_nothing_be_put_in_place_of_its_own():
    assert run(REFUSING, PYTHONWARNINGS="ignore") == "True\n"


FOREIGN = """
    import asyncio
    from interactiveai_eval import Interactive

    class Foreign(asyncio.AbstractEventLoop):
        # As loops that are written in C: none of asyncio's own classes, and no attribute can be set.
        __slots__ = ("inner",)

        def __init__(self):
            object.__setattr__(self, "inner", asyncio.SelectorEventLoop())

        def __getattribute__(self, name):
            return getattr(object.__getattribute__(self, "inner"), name)

        def __setattr__(self, name, value):
            raise AttributeError(name)

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            return Foreign()

    asyncio.set_event_loop_policy(Policy())

    async def task(*, item):
        await asyncio.sleep(0)
        return item["input"]

    with Interactive.local() as client:
        result = client.run_experiment(name="turns", data=[{"input": n} for n in range(20)], task=task)
    print([item.output for item in result.item_results] == list(range(20)))
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python itself makes first steps at once; it wants its own loop")
def test_coroutines_run_on_a_loop_that_is_none_of_pythons_own():
    assert run(FOREIGN, PYTHONWARNINGS="ignore") == "True\n"


@pytest.mark.parametrize("form", ["plain", "awaitable"])
def test_a_coroutine_has_a_task_and_a_context_of_its_own_from_its_first_step_on(client, form):
    variable = contextvars.ContextVar("variable", default="nobody")
    tasks = []

    async def task(*, item):
        tasks.append(asyncio.current_task())
        met = variable.get()
        variable.set(item["input"])
        if item["input"] % 2:
            await asyncio.wait_for(asyncio.sleep(0), 60)  # looks at the task that it is in
        return met, variable.get()

    arguments = {"name": "own", "data": [{"input": n} for n in range(6)], "task": task}
    if form == "plain":
        result = client.run_experiment(**arguments)
    else:
        result = asyncio.run(client.run_experiment_async(**arguments))

    assert [item.output for item in result.item_results] == [("nobody", n) for n in range(6)]
    assert len(set(tasks)) == 6 and None not in tasks and all(each.done() for each in tasks)


@pytest.mark.parametrize("often", [1, 2, 3, 5])
def test_what_finalizers_ask_of_the_loop_is_done_whenever_they_run(client, often):
    """The collector of garbage may run one while a task is being made."""
    before, heard, made = gc.get_threshold(), [], 100

    class Left:
        def __init__(self, number, loop):
            self.number, self.loop, self.me = number, loop, self

        def __del__(self):
            self.loop.call_soon(heard.append, self.number)

    async def task(*, item):
        Left(item["input"], asyncio.get_running_loop())
        return item["input"]

    async def evaluator(*, output):
        if output == made - 1:
            gc.collect()
        await asyncio.sleep(0)

    gc.set_threshold(often, 1_000_000, 1_000_000)
    try:
        data = [{"input": n} for n in range(made)]
        result = client.run_experiment(name="finalizers", data=data, task=task, evaluators=[evaluator])
    finally:
        gc.set_threshold(*before)

    assert [item.output for item in result.item_results] == list(range(made)) and sorted(heard) == list(range(made))


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("form", ["plain", "awaitable"])
def test_data_sees_the_callers_context(client, kind, form):
    variable = contextvars.ContextVar("variable", default="lost")

    def plain():
        for _ in range(2):
            yield {"input": variable.get()}

    async def later():
        for item in plain():
            yield item

    variable.set("kept")
    data = plain() if kind == "plain" else later()
    arguments = {"name": "context", "data": data, "task": lambda *, item: item["input"]}
    if form == "plain":
        result = client.run_experiment(**arguments)
    else:
        result = asyncio.run(client.run_experiment_async(**arguments))

    assert [item.output for item in result.item_results] == ["kept", "kept"]


# -- executors: time -----------------------------------------------------------------------------------------------


def takes_a_while(*, item):
    time.sleep(0.25)
    return item["input"]


def is_interrupted(*, item):
    raise KeyboardInterrupt("far away")


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_a_call_that_waits_for_a_worker_does_not_use_up_its_timeout(client, kind):
    with kind(1) as pool:
        result = client.run_experiment(
            name="queue", data=numbers(5), task=takes_a_while, task_timeout=1.0, executor=pool
        )

    assert outputs(result) == [0, 1, 2, 3, 4]
    assert all(item.duration_seconds < 1.0 for item in result.item_results)


def told(result):
    """Index, stage, error type and attempts of the failures."""
    return [(f.index, f.stage, f.error_type, f.attempts) for f in result.item_failures]


@pytest.fixture
def hung():
    """An event that hanging calls wait for, and pools that end with it."""
    released, pools = threading.Event(), []
    yield released, lambda workers: pools.append(ThreadPoolExecutor(workers)) or pools[-1]
    released.set()
    for pool in pools:
        pool.shutdown()


def test_a_pool_whose_workers_all_hang_ends_and_says_that_no_worker_was_free(client, hung):
    released, pool = hung

    result = client.run_experiment(
        name="hang", data=numbers(5), task=lambda *, item: released.wait(30), task_timeout=0.1, executor=pool(2)
    )

    found = sorted((f.stage, f.error_type, f.attempts, f.duration_seconds) for f in result.item_failures)
    assert found == [("task", "NoWorkerFree", 0, 0.0)] * 3 + [("timeout", "TimeoutError", 1, 0.1)] * 2
    assert {f.message for f in result.item_failures if f.stage == "task"} == {
        "no worker was free: the task was not called, as all workers are in other calls"
    }


def test_one_hanging_worker_of_several_costs_no_other_item(hung):
    """Item 3 waits beside a worker that is not coming back: its time begins when the other worker takes it."""
    released, pool = hung
    clock = ManualClock()
    hanging, overrun, waiting = threading.Event(), threading.Event(), threading.Event()

    def data():
        yield from numbers(3)
        waiting.set()
        yield {"input": 3}

    def task(*, item):
        number = item["input"]
        if number == 0:
            hanging.set()
            released.wait(30)
        if number == 1:
            assert hanging.wait(30)
            clock.advance(6)
        if number == 2:
            clock.advance(5)
            assert overrun.wait(30) and waiting.wait(30)
            time.sleep(0.05)  # lets item 3 get in line
            clock.advance(4)
        if number == 3:
            clock.advance(7)
            time.sleep(0.05)  # lets a timeout come that should not
        return number

    with Interactive.local(clock=clock) as client:
        result = client.run_experiment(
            name="one",
            data=data(),
            task=task,
            task_timeout=10,
            max_concurrency=2,
            executor=pool(2),
            on_result=lambda outcome: outcome.index == 0 and overrun.set(),
        )

    assert told(result) == [(0, "timeout", "TimeoutError", 1)] and outputs(result) == [1, 2, 3]


def test_items_behind_a_worker_that_overran_and_came_back_are_called(client, hung):
    released, pool = hung

    def task(*, item):
        if item["input"] == 0:
            released.wait(30)
        return item["input"]

    result = client.run_experiment(
        name="back",
        data=numbers(3),
        task=task,
        task_timeout=0.3,
        executor=pool(1),
        on_result=lambda outcome: outcome.index == 0 and released.set(),
    )

    assert (told(result), outputs(result)) == ([(0, "timeout", "TimeoutError", 1)], [1, 2])


def test_an_evaluator_without_a_timeout_does_not_wait_for_ever_for_a_hanging_pool(client, hung):
    released, pool = hung
    second = threading.Event()

    def data():
        yield {"input": 0}
        second.set()
        yield {"input": 1}

    def judge(*, output):
        return True

    def task(*, item):
        if item["input"] == 1:
            released.wait(30)
        assert second.wait(30)
        time.sleep(0.05)  # lets the second item get in line before the judge of the first
        return item["input"]

    result = client.run_experiment(
        name="judge", data=data(), task=task, evaluators=[judge], task_timeout=0.3, executor=pool(1)
    )

    assert told(result) == [(1, "timeout", "TimeoutError", 1)]
    (failure,) = result.item_results[0].evaluator_failures
    assert (failure.evaluator, failure.message[:45]) == ("judge", "no worker was free: judge was not called, as ")


def test_a_call_that_somebody_elses_call_kept_from_its_worker_is_not_called_later(client, hung):
    released, pool = hung
    called = []
    shared = pool(1)
    shared.submit(released.wait, 30)  # not ours: it is not counted

    result = client.run_experiment(
        name="shared", data=numbers(1), task=lambda *, item: called.append(item), task_timeout=0.1, executor=shared
    )
    released.set()
    shared.shutdown()

    assert told(result) == [(0, "task", "NoWorkerFree", 0)] and called == []


def test_an_executor_that_never_answers_does_not_hold_the_run_for_ever(client, monkeypatch):
    """A pool of processes that all hang since an earlier run: even the question whether functions arrive is waited for."""
    monkeypatch.setattr(remote, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(groups, "GRACE_SECONDS", 0.05)

    class Hung:
        _max_workers = 2

        def submit(self, function, *arguments):
            return Future()

    result = client.run_experiment(name="hung", data=numbers(3), task=square, task_timeout=0.1, executor=Hung())

    assert told(result) == [(index, "task", "NoWorkerFree", 0) for index in range(3)]


def test_a_call_that_is_given_up_while_submit_blocks_is_not_run(client):
    let_in, called = threading.Event(), []

    class Reluctant(ThreadPoolExecutor):
        def submit(self, function, /, *arguments, **keywords):
            if called:
                let_in.wait(30)
            return super().submit(function, *arguments, **keywords)

    def task(*, item):
        called.append(item["input"])

    def full(outcome):
        if hasattr(outcome, "output"):
            raise OSError("disk full")
        let_in.set()  # the other item has been told of as cancelled

    with Reluctant(1) as pool, pytest.raises(OSError, match="disk full") as stopped:
        client.run_experiment(name="late", data=numbers(2), task=task, executor=pool, on_result=full)

    assert called == [0] and [failure.stage for failure in stopped.value.result.item_failures] == ["cancelled"]


def test_an_interrupt_in_another_process_stops_the_run(client, processes):
    with pytest.raises(KeyboardInterrupt, match="far away") as stopped:
        client.run_experiment(
            name="far", data=numbers(9), task=is_interrupted, executor=processes, max_concurrency=1
        )

    (failure,) = stopped.value.result.item_failures
    assert (failure.stage, failure.error_type) == ("cancelled", "KeyboardInterrupt")
