"""Ctrl-C, SIGTERM, cancellation: a run that is stopped gives back what it has."""
from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import threading
from concurrent.futures import Future

import pytest

from interactiveai_eval import Interactive, RunStopped
from interactiveai_eval.transports.local import LocalTransport

from .programs import run, start

INTERRUPTED = """
    import sys, threading, time
    from interactiveai_eval import Interactive

    def task(*, item):
        if item["input"] >= 3:
            print("hanging", flush=True)
            threading.Event().wait(60)
        return item["input"]

    async def coroutine(*, item):
        import asyncio
        if item["input"] >= 3:
            print("hanging", flush=True)
            await asyncio.sleep(60)
        return item["input"]

    client = Interactive.local(sys.argv[2])
    try:
        client.run_experiment(
            name="stop",
            run_name="r",
            data=[{"input": i} for i in range(100)],
            task=coroutine if sys.argv[1] == "coroutine" else task,
            evaluators=[lambda *, output: output],
            max_concurrency=1,
        )
    except BaseException as error:
        result = error.result
        outputs = [item.output for item in result.item_results]
        failures = [(failure.index, failure.stage) for failure in result.item_failures]
        print(type(error).__name__, getattr(error, "code", None), outputs, failures, result.completed, flush=True)
        print(client.api.traces()["meta"]["totalItems"], client.api.scores()["meta"]["totalItems"], flush=True)
        print([t.name for t in threading.enumerate() if "worker" in t.name], flush=True)
"""


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize(
    "number, ending", [(signal.SIGINT, "KeyboardInterrupt None"), (signal.SIGTERM, "SystemExit 143")]
)
def test_a_signal_ends_the_run_with_the_result_so_far(tmp_path, kind, number, ending):
    program = start(INTERRUPTED, kind, str(tmp_path / "eval.db"))
    assert program.stdout.readline() == "hanging\n"
    program.send_signal(number)

    out, err = program.communicate(timeout=20)

    left = "['interactiveai_eval-worker']" if kind == "plain" else "[]"  # a thread in user code cannot be killed
    assert out == f"{ending} [0, 1, 2] [(3, 'cancelled')] False\n4 3\n{left}\n", err
    assert program.returncode == 0


def test_a_second_interrupt_leaves_at_once(tmp_path):
    """Also when the run is stuck in code that nothing can interrupt: here, a coroutine that blocks its loop."""
    program = start(
        """
        import time
        from interactiveai_eval import Interactive

        async def task(*, item):
            print("blocking", flush=True)
            end = time.monotonic() + 60
            while time.monotonic() < end:
                time.sleep(0.01)

        try:
            Interactive.local().run_experiment(name="stuck", data=[{"input": 1}], task=task)
        except KeyboardInterrupt:
            print("left", flush=True)
        """
    )
    assert program.stdout.readline() == "blocking\n"
    program.send_signal(signal.SIGINT)
    threading.Event().wait(0.3)  # two signals at once are one: the second must come after the first was heard
    program.send_signal(signal.SIGINT)

    out, err = program.communicate(timeout=20)

    assert out == "left\n", err


def test_an_application_that_handles_sigterm_keeps_its_handler():
    program = start(
        """
        import os, signal, threading
        from interactiveai_eval import Interactive

        heard = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: heard.set())

        def task(*, item):
            os.kill(os.getpid(), signal.SIGTERM)
            heard.wait(10)
            return heard.is_set()

        result = Interactive.local().run_experiment(name="own", data=[{"input": 1}], task=task)
        print(result.item_results[0].output, result.completed)
        """
    )
    out, err = program.communicate(timeout=20)

    assert out == "True True\n", err


def test_handlers_are_back_after_a_run():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    during = []

    async def task(*, item):
        during.append(signal.getsignal(signal.SIGINT) is before[0])

    with Interactive.local() as client:
        client.run_experiment(name="handlers", data=[{"input": 1}], task=task)

    assert during == [False] and (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("where", ["task", "evaluator", "run evaluator"])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_an_interrupt_raised_by_user_code_stops_the_run(client, where, kind):
    """In the reference, inside a running loop, the call then returns None (D38)."""

    def interrupt():
        raise KeyboardInterrupt

    def plain(*, here, value):
        return interrupt() if where == here else value

    async def later(*, here, value):
        return plain(here=here, value=value)

    call = plain if kind == "plain" else later
    with pytest.raises(KeyboardInterrupt) as stopped:
        client.run_experiment(
            name="interrupt",
            data=[{"input": i} for i in range(3)],
            task=lambda *, item: call(here="task", value=item["input"]),
            evaluators=[lambda *, output: call(here="evaluator", value=1)],
            run_evaluators=[lambda *, item_results: call(here="run evaluator", value=1)],
            max_concurrency=1,
        )

    done = {"task": 0, "evaluator": 1, "run evaluator": 3}[where]
    assert len(stopped.value.result.item_results) == done


def test_an_outer_cancellation_goes_through_after_cleaning_up(client):
    started = []

    async def main():
        async def task(*, item):
            started.append(item["input"])
            if item["input"] == 2:
                run.cancel()
                await asyncio.sleep(60)
            return item["input"]

        run = asyncio.ensure_future(
            client.run_experiment_async(
                name="cancel", data=[{"input": i} for i in range(9)], task=task, max_concurrency=1
            )
        )
        try:
            await run
        except asyncio.CancelledError as error:
            return error

    error = asyncio.run(main())

    assert isinstance(error, asyncio.CancelledError) and started == [0, 1, 2]
    assert client.api.traces()["meta"]["totalItems"] == 3


def test_nothing_of_a_run_is_left_when_it_has_ended(client):
    before = set(threading.enumerate())

    client.run_experiment(
        name="clean", data=[{"input": i} for i in range(50)], task=lambda item: 1, evaluators=[lambda *, output: 1]
    )

    assert set(threading.enumerate()) == before


HEARD_ELSEWHERE = """
    import asyncio, signal, sys, threading
    from interactiveai_eval import Interactive

    released = threading.Event()
    numbers = [{"input": 1}, {"input": 2}, {"input": 3}]

    def interrupt():
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    def plain(*, item):
        interrupt()
        released.wait(20)

    async def coroutine(*, item):
        worker = threading.Thread(target=interrupt)
        worker.start()
        await asyncio.sleep(20)

    async def awaited(client):
        return client.run_experiment(name="beside", data=numbers, task=plain, max_concurrency=1)

    client = Interactive.local()
    try:
        if sys.argv[1] == "beside":
            asyncio.new_event_loop().run_until_complete(awaited(client))
        else:
            client.run_experiment(name="stop", data=numbers, task=globals()[sys.argv[1]], max_concurrency=1)
    except KeyboardInterrupt as stop:
        print([failure.stage for failure in stop.result.item_failures])
    released.set()
"""


@pytest.mark.parametrize("kind", ["plain", "coroutine", "beside"])
def test_a_signal_that_the_system_hands_to_another_thread_ends_the_run_too(kind):
    """Python runs its handlers in the main thread, which a signal in another thread does not wake."""
    assert run(HEARD_ELSEWHERE, kind) == "['cancelled']\n"


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_interrupt_out_of_the_data_ends_the_run_and_what_is_under_way(client, kind):
    started = threading.Event()

    def task(*, item):
        started.set()
        threading.Event().wait(15)

    def data():
        yield {"input": 1}
        started.wait(15)
        raise KeyboardInterrupt

    async def async_data():
        for item in data():
            yield item

    with pytest.raises(KeyboardInterrupt) as stopped:
        client.run_experiment(name="data", data=data() if kind == "plain" else async_data(), task=task)

    assert [failure.stage for failure in stopped.value.result.item_failures] == ["cancelled"]


def test_a_result_hook_that_raises_stop_iteration_ends_the_run_with_its_result(client):
    def hook(outcome):
        raise StopIteration

    with pytest.raises(RunStopped, match="the run ended in StopIteration") as stopped:
        client.run_experiment(name="h", data=[{"input": 1}], task=lambda item: 1, on_result=hook)

    assert len(stopped.value.result.item_results) == 1


@pytest.mark.parametrize("where", ["run evaluator", "delivery", "data", "executor"])
def test_an_outer_cancellation_has_the_result_wherever_the_run_is(where):
    """On 3.9 and 3.10 the exception that a task's awaiter sees is another, with ours as its context."""
    reached, released = threading.Event(), threading.Event()

    class Slow(LocalTransport):
        def send(self, request):
            if where == "delivery" and request.method == "POST":
                hang()
            return super().send(request)

    class Data(list):
        def __iter__(self):
            if where == "data":
                hang()
            return super().__iter__()

    def hang():
        reached.set()
        released.wait(20)

    def run_evaluator(*, item_results):
        if where == "run evaluator":
            hang()
        return 1.0

    class Executor:
        def submit(self, function, *arguments):
            hang()
            return Future()

    async def main(client):
        loop = asyncio.get_running_loop()
        run = loop.create_task(
            client.run_experiment_async(
                name="cancel",
                data=Data([{"input": 1}, {"input": 2}]),
                task=lambda *, item: item["input"],
                run_evaluators=[run_evaluator],
                executor=Executor() if where == "executor" else None,
            )
        )
        await loop.run_in_executor(None, reached.wait, 20)  # the loop is free meanwhile, or this hangs
        run.cancel()
        try:
            await run
        except asyncio.CancelledError as error:
            return error if hasattr(error, "result") else error.__context__

    with Interactive(transport=Slow(), dialect="public") as client:
        try:
            result = asyncio.run(main(client)).result
        finally:
            released.set()

    done = {"run evaluator": 2, "delivery": 2, "data": 0, "executor": 0}[where]
    assert [len(result.item_results), len(result.item_failures)] == [done, 0]


LEFT_TWICE = """
    import asyncio, signal, sys, time
    from interactiveai_eval import Interactive

    async def stubborn(*, item):
        print("running", flush=True)
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("cancelled", flush=True)

    async def quick(*, item):
        return 1

    def evaluator(*, item_results):
        print("running", flush=True)
        time.sleep(60)

    client = Interactive.local()
    more = {"run_evaluators": [evaluator]} if sys.argv[1] == "quick" else {}
    try:
        if sys.argv[2] == "beside":
            async def main():
                return client.run_experiment(name="n", data=[{"input": 1}], task=globals()[sys.argv[1]], **more)
            asyncio.run(main())
        else:
            client.run_experiment(name="n", data=[{"input": 1}], task=globals()[sys.argv[1]], **more)
    except KeyboardInterrupt as stop:
        print(len(stop.result.item_results), [failure.stage for failure in stop.result.item_failures])
"""


@pytest.mark.parametrize("form", ["alone", "beside"])
def test_a_second_interrupt_over_a_coroutine_that_cannot_be_cancelled_has_the_result(form):
    program = start(LEFT_TWICE, "stubborn", form)
    assert program.stdout.readline() == "running\n"
    program.send_signal(signal.SIGINT)
    assert program.stdout.readline() == "cancelled\n"
    program.send_signal(signal.SIGINT)

    out, err = program.communicate(timeout=20)

    assert out.splitlines()[-1] == "0 ['cancelled']", err


@pytest.mark.parametrize("form", ["alone", "beside"])
def test_an_interrupt_during_a_run_evaluator_ends_the_run_and_keeps_its_items(form):
    """Inside `asyncio.run`, whose own handler would be heard when the run is over."""
    program = start(LEFT_TWICE, "quick", form)
    assert program.stdout.readline() == "running\n"
    program.send_signal(signal.SIGINT)

    out, err = program.communicate(timeout=20)

    assert out == "1 []\n", err


def test_an_interrupt_while_an_executor_is_asked_ends_the_run(client):
    """Its workers may never come up."""

    class Dead:
        def submit(self, function, *arguments):
            os.kill(os.getpid(), signal.SIGINT)
            return Future()

    with pytest.raises(KeyboardInterrupt) as stopped:
        client.run_experiment(name="dead", data=[{"input": 1}], task=len, executor=Dead())

    result = stopped.value.result
    assert (result.item_results, result.item_failures, result.completed) == ([], [], False)


def test_a_time_budget_ends_run_evaluators_too(client):
    released = threading.Event()

    result = client.run_experiment(
        name="budget",
        data=[{"input": 1}],
        task=lambda *, item: 1,
        run_evaluators=[lambda *, item_results: released.wait(20)],
        time_budget=0.3,
    )
    released.set()

    assert [failure.error_type for failure in result.run_evaluator_failures] == ["Cancelled"]
    assert not result.completed and len(result.item_results) == 1


HANGING_HOOK = """
    import os, sys, time
    from interactiveai_eval import Interactive

    def hook(_):
        print("hanging", flush=True)
        time.sleep(60)

    def task(*, item):
        if sys.argv[1] == "retry_on":
            raise ValueError
        return 1

    try:
        Interactive.local().run_experiment(
            name="hook", data=[{"input": 1}] * 3, task=task, task_retries=1, max_concurrency=1, **{sys.argv[1]: hook}
        )
    except KeyboardInterrupt as stop:
        result = stop.result
        print(len(result.item_results), len(result.item_failures), result.completed, flush=True)
        os._exit(0)  # threads in user code are daemons, but the interpreter's end may wait for its output
"""


def test_an_interrupt_during_a_hook_that_hangs_ends_the_run_with_its_result():
    hooks = {"on_result": "1 0 False\n", "progress": "1 0 False\n", "retry_on": "0 1 False\n"}
    programs = {hook: start(HANGING_HOOK, hook) for hook in hooks}
    for program in programs.values():
        assert program.stdout.readline() == "hanging\n"
        program.send_signal(signal.SIGINT)

    ends = {hook: program.communicate(timeout=20) for hook, program in programs.items()}

    assert {hook: out for hook, (out, _) in ends.items()} == hooks, ends


def test_a_time_budget_ends_the_wait_for_async_data(client):
    """What the data's coroutine is told when the run closes is no error of the data."""

    async def data():
        yield {"input": 1}
        await asyncio.sleep(60)
        yield {"input": 2}

    result = client.run_experiment(name="budget", data=data(), task=lambda *, item: item["input"], time_budget=0.3)

    assert [item.output for item in result.item_results] == [1]
    assert not result.completed


@pytest.mark.parametrize("where", ["executor", "link"])
def test_a_time_budget_does_not_wait_for_what_never_answers(where):
    released = threading.Event()

    class Dead:
        def submit(self, function, *arguments):
            return Future()

    class Slow(LocalTransport):
        def send(self, request):
            if request.path.endswith("/dataset-run-items"):
                released.wait(20)
            return super().send(request)

    with Interactive(transport=Slow(), dialect="public") as client:
        client.create_dataset(name="d")
        client.create_dataset_item(dataset_name="d", input=1)
        more = {"executor": Dead()} if where == "executor" else {}
        result = client.run_experiment(
            name="budget", data=client.get_dataset("d"), task=len, time_budget=0.5, **more
        )
        hung = not released.is_set()
        released.set()

    assert hung and not result.completed
    assert [failure.stage for failure in result.item_failures] == ([] if where == "executor" else ["cancelled"])


def test_who_cancels_twice_finds_the_item_that_hangs_in_a_request_among_the_failures():
    reached, released = threading.Event(), threading.Event()

    class Slow(LocalTransport):
        def send(self, request):
            if request.path.endswith("/dataset-run-items"):
                reached.set()
                released.wait(20)
            return super().send(request)

    async def main(client):
        loop = asyncio.get_running_loop()
        run = loop.create_task(
            client.run_experiment_async(name="cancel", data=client.get_dataset("d"), task=lambda *, item: 1)
        )
        await loop.run_in_executor(None, reached.wait, 20)
        run.cancel()
        await asyncio.sleep(0)
        run.cancel()
        try:
            await run
        except asyncio.CancelledError as error:
            return error if hasattr(error, "result") else error.__context__

    with Interactive(transport=Slow(), dialect="public") as client:
        client.create_dataset(name="d")
        client.create_dataset_item(dataset_name="d", input=1)
        try:
            result = asyncio.run(main(client)).result
        finally:
            released.set()

    assert [failure.stage for failure in result.item_failures] == ["cancelled"]
    assert result.item_results == []


def test_an_async_generator_that_will_not_close_does_not_hold_the_run(client):
    closing = []

    async def stubborn():
        try:
            yield 1
            yield 2
        finally:
            closing.append(True)
            await asyncio.sleep(60)

    kept = []

    async def task(*, item):
        kept.append(stubborn())
        return await kept[0].__anext__()

    result = client.run_experiment(name="stubborn", data=[{"input": 1}], task=task)

    assert result.item_results[0].output == 1 and closing == [True]


def test_tasks_that_user_code_leaves_on_the_runs_loop_are_cancelled():
    """Not forgotten with a line on the error output, as a loop does that is closed over them."""
    program = """
        import asyncio
        from interactiveai_eval import Interactive

        async def left():
            try:
                await asyncio.sleep(60)
            finally:
                print("cancelled")

        kept = []

        async def task(*, item):
            kept.append(asyncio.ensure_future(left()))
            await asyncio.sleep(0)

        Interactive.local().run_experiment(name="left", data=[{"input": 1}], task=task)
        kept.clear()
        print("over")
    """

    assert run(program).splitlines() == ["cancelled", "over"]


class Frozen(Exception):
    def __setattr__(self, name, value):
        raise AttributeError(name)


class Silent(Exception):
    def __setattr__(self, name, value):
        pass


class Leaving(Exception):
    def __setattr__(self, name, value):
        raise SystemExit(name)


class Fixed(Exception):
    result = property(lambda self: None)


class FrozenInterrupt(KeyboardInterrupt):
    result = property(lambda self: None)


@pytest.mark.parametrize("kind", [Frozen, Silent, Leaving, Fixed, FrozenInterrupt])
def test_an_exception_that_takes_no_attributes_is_the_cause_of_one_that_has_the_result(client, kind):
    def on_result(outcome):
        raise kind

    ending = KeyboardInterrupt if issubclass(kind, KeyboardInterrupt) else RunStopped
    with pytest.raises(ending, match=f"the run ended in {kind.__name__}") as stopped:
        client.run_experiment(name="frozen", data=[{"input": 1}], task=lambda *, item: 1, on_result=on_result)

    assert len(stopped.value.result.item_results) == 1
    assert isinstance(stopped.value.__cause__, kind)


def test_a_system_exit_in_a_task_of_a_coroutine_is_for_those_that_await_it(client, caplog):
    """asyncio keeps it in the task and lets it end the loop too."""
    left = []

    async def leaves():
        raise SystemExit(4)

    async def leaves_when_cancelled():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise SystemExit(5) from None

    async def task(*, item):
        left.append(asyncio.ensure_future(leaves_when_cancelled()))
        exiting = asyncio.ensure_future(leaves())
        if item["input"] == 1:
            await exiting
        await asyncio.sleep(0)
        return exiting.done() and type(exiting.exception()).__name__

    result = client.run_experiment(name="exit", data=[{"input": number} for number in range(3)], task=task)

    assert [item.output for item in result.item_results] == ["SystemExit"] * 2 and result.completed
    (failure,) = result.item_failures
    assert (failure.index, failure.stage, failure.error_type, failure.message) == (1, "task", "SystemExit", "4")
    assert [type(one.exception()) for one in left] == [SystemExit] * 3


EXITING_HANDLER = """
    import asyncio, os, signal, sys
    from interactiveai_eval import Interactive

    def handler(number, frame):
        sys.exit(9)

    async def blocks():
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10_000_000):
            pass

    async def task(*, item):
        try:
            await asyncio.ensure_future(blocks())
        except SystemExit:
            return "swallowed"

    signal.signal(signal.SIGTERM, handler)
    try:
        Interactive.local().run_experiment(name="exit", data=[{"input": 1}], task=task)
    except SystemExit as stop:
        print(stop.code, stop.result.item_results)
"""


def test_a_handler_of_the_application_that_exits_in_a_task_of_a_coroutine_ends_the_run():
    assert run(EXITING_HANDLER) == "9 []\n"


UNDER_ASYNCIO_RUN = """
    import asyncio, os, signal, threading
    from interactiveai_eval import Interactive

    async def task(*, item):
        if item["input"] == 2:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.sleep(30)
        return item["input"]

    async def main():
        data = [{"input": number} for number in range(5)]
        try:
            await Interactive.local().run_experiment_async(name="stop", data=data, task=task, max_concurrency=1)
        except asyncio.CancelledError as stop:
            print([item.output for item in stop.result.item_results])
            raise

    try:
        asyncio.run(main())
    except KeyboardInterrupt as stop:
        print(hasattr(stop, "result"))
"""


def test_an_interrupt_under_asyncio_run_has_its_result_where_the_run_is_awaited():
    """The README says so: what leaves `asyncio.run` is an exception of its own."""
    assert run(UNDER_ASYNCIO_RUN) == "[0, 1]\nFalse\n"


HELD = """
    import signal, sys, time
    from interactiveai_eval import Interactive

    async def task(*, item):
        print("begun", flush=True)
        time.sleep(float(sys.argv[1]))

    def data():
        yield from [{"input": n} for n in range(30)]

    async def async_data():
        for item in data():
            yield item

    try:
        Interactive.local().run_experiment(
            name="held", data=async_data() if sys.argv[2] == "async" else data(), task=task, max_concurrency=10
        )
    except BaseException as stop:
        stages = {failure.stage for failure in stop.result.item_failures}
        print(type(stop).__name__, getattr(stop, "code", None), stages, len(stop.result.item_results), flush=True)
"""


@pytest.mark.parametrize("data", ["plain", "async"])
def test_after_a_signal_no_coroutine_begins_however_many_are_posted(data):
    """Each blocks the loop, whose thread would hear of the stop between two of them."""
    program = start(HELD, "0.5", data)
    assert program.stdout.readline() == "begun\n"
    program.send_signal(signal.SIGINT)

    out, err = program.communicate(timeout=20)

    lines = out.splitlines()
    assert lines[:-1] == [] and lines[-1].startswith("KeyboardInterrupt None {"), (out, err)


BETWEEN = """
    import gc, sys, warnings
    from interactiveai_eval import Interactive

    async def work(*, item):
        return 1

    def interrupted(task, step):
        steps, stages = [], []

        def look(frame, event, argument):
            if frame.f_code.co_name not in ("start_at_once", "ask"):
                return None
            steps.append(event)
            if len(steps) == step:
                raise KeyboardInterrupt  # as a signal's handler would
            return look

        sys.settrace(look)
        try:
            client.run_experiment(name="n", data=[{"input": 1}], task=task)
        except KeyboardInterrupt as stop:
            stages = [failure.stage for failure in stop.result.item_failures]
        finally:
            sys.settrace(None)
        return stages

    client = Interactive.local()
    for task, most in ((work, 5), (lambda *, item: work(item=item), 10)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            stages = [interrupted(task, step) for step in range(1, most + 1)]
            gc.collect()
        print(stages[0], {tuple(each) for each in stages} <= {("cancelled",), ()}, [str(each.message) for each in said])
"""


def test_a_signal_before_a_coroutine_has_its_task_leaves_no_coroutine_behind():
    """It was never awaited, as Python said on stderr; on Python 3.9 to 3.11 one step was such that the loop never ended."""
    assert run(BETWEEN) == 2 * "['cancelled'] True []\n"


async def run_on_a_loop_whose_tasks_come_from(factory, client, **arguments):
    run = asyncio.ensure_future(client.run_experiment_async(name="n", **arguments))
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    await asyncio.wait([run], timeout=10)
    loop.set_task_factory(None)
    run.cancel()  # where it would go on for ever
    return await run


@pytest.mark.parametrize("kind", ["a coroutine function", "a function that returns a coroutine"])
@pytest.mark.parametrize("made_first", [False, True])
def test_a_loop_that_gives_back_no_task_for_a_call_fails_its_item(client, caplog, kind, made_first):
    """The run waited for it for ever, and for those that were posted after it."""
    async def work(*, item):
        await asyncio.sleep(0)

    made = []

    def factory(loop, coroutine, **more):
        made.append(asyncio.Task(coroutine, loop=loop, **more) if made_first or len(made) != 1 else None)
        if len(made) == 2:
            raise RuntimeError("no more tasks")
        return made[-1]

    data = [{"input": n} for n in range(4)]
    task = work if kind == "a coroutine function" else lambda *, item: work(item=item)
    gc.collect()  # what asyncio says of the tasks of other tests
    caplog.clear()
    result = asyncio.run(run_on_a_loop_whose_tasks_come_from(factory, client, data=data, task=task))
    made.clear()

    assert [(failure.stage, failure.error_type) for failure in result.item_failures] == [("task", "RuntimeError")]
    assert len(result.item_results) == 3
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def later(*, item):
    await asyncio.sleep(0)
    return item["input"]


@pytest.mark.parametrize(
    "task",
    [later, lambda *, item: later(item=item), lambda *, item: item["input"]],
    ids=["a coroutine function", "a function that returns a coroutine", "a plain function"],
)
def test_a_loop_that_wraps_coroutines_runs_them(client, task):
    """As error trackers have theirs do; the run waited for ever."""

    def factory(loop, coroutine, **more):
        async def wrapped():
            return await coroutine

        return asyncio.Task(wrapped(), loop=loop, **more)

    async def judge(*, output):
        await asyncio.sleep(0)
        return output

    data = [{"input": n} for n in range(4)]
    arguments = {"data": data, "task": task, "evaluators": [judge], "max_concurrency": 2}
    result = asyncio.run(run_on_a_loop_whose_tasks_come_from(factory, client, **arguments))

    assert [(each.output, each.evaluations[0].value) for each in result.item_results] == [(n, n) for n in range(4)]


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_a_loop_whose_tasks_never_run_their_coroutine_fails_the_items(client, how):
    def factory(loop, coroutine, **more):
        async def wrapped():
            coroutine.close()
            if how == "raises":
                raise OSError("not today")

        return asyncio.Task(wrapped(), loop=loop, **more)

    data = [{"input": n} for n in range(3)]
    result = asyncio.run(run_on_a_loop_whose_tasks_come_from(factory, client, data=data, task=later))

    told = "OSError: not today" if how == "raises" else "RuntimeError: the loop's task ended before it had run the coroutine"
    assert [f"{failure.error_type}: {failure.message}" for failure in result.item_failures] == [told] * 3


def test_a_loop_that_makes_no_task_for_the_data_ends_it(client, caplog):
    """The run waited for it for ever."""

    async def data():
        for n in range(4):
            yield {"input": n}

    numbers = itertools.count()

    def factory(loop, coroutine, **more):
        if next(numbers) == 2:
            raise RuntimeError("no more tasks")
        return asyncio.Task(coroutine, loop=loop, **more)

    gc.collect()  # what asyncio says of the tasks of other tests
    caplog.clear()
    with pytest.raises(RunStopped, match="data raised RuntimeError: no more tasks") as caught:
        asyncio.run(run_on_a_loop_whose_tasks_come_from(factory, client, data=data(), task=lambda *, item: item))

    assert [item.index for item in caught.value.result.item_results] == [0, 1]
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize(
    "number, ending", [(signal.SIGINT, "KeyboardInterrupt None"), (signal.SIGTERM, "SystemExit 143")]
)
def test_a_second_signal_ends_the_coroutine_that_blocks_and_the_run(number, ending):
    program = start(HELD, "60", "plain")
    assert program.stdout.readline() == "begun\n"
    program.send_signal(number)
    threading.Event().wait(0.3)  # two signals at once are one: the second must come after the first was heard
    program.send_signal(number)

    out, err = program.communicate(timeout=20)

    assert out == f"{ending} {{'cancelled'}} 0\n", err
