"""Serverless: a function that is frozen when it returns, is told how long it has, and may get an event twice."""
from __future__ import annotations

import os
import threading

import pytest

from interactiveai_eval import ArgumentError, Interactive
from interactiveai_eval.testing import ManualClock

from .programs import run
from .sockets import ScriptedServer
from .test_run_anywhere import NO_THREADS

SIMULATED = int(os.environ.get("SIMULATED_DEADLINES", "100"))


def numbers(n):
    return [{"input": i} for i in range(n)]


def traces(client, n):
    """`n` recorded traces to evaluate."""
    for number in range(n):
        client.start_span(name="made", input=number, output=number).end()
    client.flush()


def evaluate(client, **more):
    return client.run_batched_evaluation(
        scope="traces",
        mapper=lambda item: {"input": item.input, "output": item.output},
        evaluators=[lambda *, output: output],
        **more,
    )


# -- how long there is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [60, lambda: 60_000, lambda: 60_000.0])
def test_a_time_budget_is_seconds_or_a_function_of_the_milliseconds_that_are_left(budget):
    clock = ManualClock()

    def task(*, item):
        clock.advance(10)
        return clock.monotonic()

    with Interactive.local(clock=clock) as client:
        result = client.run_experiment(name="b", data=numbers(100), task=task, time_budget=budget, max_concurrency=1)

    assert not result.completed and [item.output for item in result.item_results] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("left", [0, -5])
def test_where_nothing_is_left_a_run_ends_at_once_with_its_token(client, left):
    """The platform was slow to begin: that is no mistake in the arguments."""
    traces(client, 3)

    first = evaluate(client, time_budget=lambda: left)
    second = evaluate(client, resume_from=first.resume_token)

    assert (first.completed, first.total_items_processed) == (False, 0) and second.completed
    assert second.total_items_processed == 3
    result = client.run_experiment(name="b", data=numbers(3), task=lambda item: 1, time_budget=lambda: left)
    assert not result.completed and result.item_results == []


@pytest.mark.parametrize("left", [None, "60000", True, float("nan"), float("inf"), 10**400])
def test_a_function_that_gives_no_milliseconds_is_refused_before_any_work(client, left):
    for call in (evaluate, lambda client, **more: client.run_experiment(name="b", data=[], task=len, **more)):
        with pytest.raises(ArgumentError, match=r"time_budget=.*a function that gives milliseconds; it gave"):
            call(client, time_budget=lambda: left)


@pytest.mark.parametrize("part", range(SIMULATED // 100))
def test_no_simulated_deadline_is_overrun_and_the_time_is_used(part):
    """L49: calls of 1 to 900 s, items of every length, some of which hang; .ci/anywhere has 10,000 of them.

    One thread and one clock, which goes to whatever comes next once nothing else is to do: a sleep of an item's ends, or
    what the run waits for. What a run keeps back is a tenth of its time, at most 3 s: over a minute, nine tenths are used.
    """
    program = NO_THREADS + f"""
    import asyncio, heapq, random
    from interactiveai_eval import FakeTransport, Interactive
    from interactiveai_eval.testing import ManualClock

    class Simulation(ManualClock):
        idle, sleeping, number = 0, (), 0

        async def sleep(self, seconds):
            self.idle, self.number = 0, self.number + 1
            ends = asyncio.get_running_loop().create_future()
            heapq.heappush(self.sleeping, (self.monotonic() + seconds, self.number, ends))
            await ends

        def seconds_until(self, deadline):
            self.idle += 1
            if self.idle < 4:
                return 0.0  # what was begun may be about to sleep
            self.idle = 0
            while self.sleeping and self.sleeping[0][2].cancelled():
                heapq.heappop(self.sleeping)
            if self.sleeping and self.sleeping[0][0] <= deadline:
                moment, _, ends = heapq.heappop(self.sleeping)
                self.advance(max(0.0, moment - self.monotonic()))
                ends.set_result(None)
            else:
                self.advance(max(0.0, deadline - self.monotonic()) + 1e-9)
            return 0.0

    draw = random.Random({part})
    overrun, given, used, whole = 0, 0.0, 0.0, 0
    for _ in range(100):
        clock = Simulation()
        clock.sleeping = []
        budget = draw.choice((1, 10, 60, 300, 900)) * draw.uniform(1, 1.5)
        usual = budget / draw.uniform(12, 20)

        async def task(item):
            await clock.sleep(usual * draw.lognormvariate(0, 0.5) * (1000 if draw.random() < 0.01 else 1))
            ended.append(clock.monotonic())

        ended = [0.0]
        with Interactive(transport=FakeTransport(print), clock=clock, tracing_enabled=False) as client:
            settings = {{"name": "s", "data": ({{"input": n}} for n in range(1000)), "task": task, "max_concurrency": 2}}
            result = client.run_experiment(**settings, time_budget=lambda: budget * 1000)
        overrun += clock.monotonic() > budget
        whole += not result.completed and len(result.item_results) == len(ended) - 1
        if budget >= 60:
            given, used = given + budget, used + clock.monotonic()
    print(overrun, whole == 100, round(used / given, 3))
    """

    overrun, whole, share = run(program).split()

    assert (overrun, whole) == ("0", "True") and float(share) >= 0.9


# -- what is left behind -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_when_a_call_returns_nothing_is_pending_and_no_thread_is_left(client, kind):
    """L48, L55: what a thread still had to send would be frozen with it."""
    before = set(threading.enumerate())

    async def coroutine(*, item):
        return item["input"]

    task = coroutine if kind == "coroutine" else lambda item: item["input"]
    result = client.run_experiment(name="f", data=numbers(20), task=task, evaluators=[lambda *, output: output])

    assert set(threading.enumerate()) == before
    assert (result.delivery.acknowledged, result.delivery.pending) == (60, 0)
    assert client.api.scores()["meta"]["totalItems"] == client.api.traces()["meta"]["totalItems"] == 20


def silent(server, peer, number):
    server.read(peer)
    server.ended.wait(20)


@pytest.mark.parametrize("dialect", ["platform", "public"])
@pytest.mark.parametrize("kind", ["experiment", "batch"])
def test_no_thread_is_left_of_a_call_whose_server_says_nothing_at_all(kind, dialect):
    """L48: a thread waited for its answer, seconds beyond the budget, as the request for the project knew of none."""
    with ScriptedServer(silent) as server:
        with Interactive(public_key="pk", secret_key="sk", base_url=server.url, dialect=dialect, flush_at=1) as client:
            if kind == "experiment":
                judges = [lambda *, output: output]
                client.run_experiment(
                    name="f", data=numbers(3), task=lambda item: 1, evaluators=judges, time_budget=0.4
                )
            else:
                assert not evaluate(client, time_budget=0.4).completed
            own = [each for each in threading.enumerate() if each.name.startswith("interactiveai_eval")]
            for thread in own:  # on a busy machine a thread that is through may still be counted
                thread.join(1)

    assert not any(thread.is_alive() for thread in own)


def test_the_same_event_twice_has_one_effect(client):
    """L51: what is sent twice has the same ids when the event's id is the run's."""
    traces(client, 4)
    for _ in range(2):
        evaluate(client, run_id="event-1")
    for _ in range(2):
        client.run_experiment(
            name="f", data=numbers(5), task=lambda item: 1, evaluators=[lambda *, output: 1], experiment_id="event-2"
        )

    totals = [client.api.scores()["meta"]["totalItems"], client.api.traces()["meta"]["totalItems"]]
    assert totals == [4 + 5, 4 + 5]


def test_nothing_is_drawn_when_the_package_is_imported():
    """L54: a snapshot of a started process runs many times, and each copy draws ids of its own."""
    program = """
    import os
    from interactiveai_eval import Interactive

    client = Interactive.local()
    for _ in range(2):
        read, write = os.pipe()
        if os.fork() == 0:
            result = client.run_experiment(name="x", data=[{"input": 1}], task=len, evaluators=[])
            os.write(write, (result.experiment_id + result.item_results[0].trace_id).encode())
            os._exit(0)
        os.wait()
        print(os.read(read, 100).decode())
    """
    one, two = run(program, flags=("-W", "ignore")).split()

    assert len(one) == len(two) == 64 and one[:32] != two[:32] and one[32:] != two[32:]
