"""Which requests are repeated, when, and when no more: FAULTS.md section 3, on a clock that jumps."""
from __future__ import annotations

import os
import threading

import pytest

from interactiveai_eval import (
    ApiError,
    ArgumentError,
    ClosedError,
    FakeTransport,
    HTTPTransport,
    Interactive,
    Request,
    Response,
    RetryTransport,
    TransportError,
)
from interactiveai_eval.testing import ManualClock
from interactiveai_eval.transports.local import LocalTransport
from interactiveai_eval.transports.retry_after import retry_after_seconds

from .sockets import ScriptedServer

SCORE = ("POST", "/api/public/scores")
SPANS = ("POST", "/api/public/otel/v1/traces")
ITEMS = ("GET", "/api/public/dataset-items")
TRACES = ("GET", "/api/public/traces")
LINK = ("POST", "/api/platform/v1/organizations/o/projects/p/dataset-run-items")


class Server:
    """Answers from a list, the last one for ever; `times` has the moments at which requests came."""

    def __init__(self, *outcomes, **settings):
        self.clock = ManualClock(jumps=True)
        self.times = []
        self._outcomes = list(outcomes)
        settings.setdefault("draw", lambda: 1.0)
        self.transport = RetryTransport(FakeTransport(self._answer), clock=self.clock, **settings)

    def _answer(self, request):
        self.times.append(self.clock.monotonic())
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if isinstance(outcome, Response) else Response(outcome)

    def send(self, kind=SCORE, **fields):
        return self.transport.send(Request(*kind, **fields))


def said(status, **headers):
    return Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


OFF = TransportError("off")


@pytest.mark.parametrize(
    "kind, again, not_again",
    [
        (SCORE, (408, 425, 429, 500, 502, 503, 504, 507), (200, 207, 301, 400, 401, 403, 404, 409, 413, 422, 501, 505)),
        (ITEMS, (408, 425, 429, 500, 502, 503, 504), (200, 304, 400, 401, 403, 404, 409, 501, 505)),
        (SPANS, (429, 502, 503, 504), (200, 302, 400, 401, 403, 404, 408, 413, 425, 500, 501, 505)),
        (TRACES, (408, 429, 500, 502, 503), (400, 404)),
        (LINK, (429, 500), (400, 404)),
    ],
)
def test_which_statuses_are_repeated(kind, again, not_again):
    for status in again:
        server = Server(status, status, 200)
        assert (server.send(kind).status, len(server.times)) == (200, 3), status
    for status in not_again:
        server = Server(status, 200)
        assert (server.send(kind).status, len(server.times)) == (status, 1), status
    for status in again:
        server = Server(status, 200)
        assert (server.send(kind, is_repeated=True).status, len(server.times)) == (status, 1), status


def test_no_answer_is_repeated_if_that_may_help():
    server = Server(OFF, OFF, 200)
    assert server.send().status == 200 and len(server.times) == 3
    hopeless = TransportError("bad certificate", retryable=False)
    server = Server(hopeless)
    with pytest.raises(TransportError, match="bad certificate"):
        server.send()
    assert len(server.times) == 1
    server = Server(OFF)
    with pytest.raises(TransportError, match="off"):
        server.send(TRACES, is_repeated=True)
    assert len(server.times) == 1


def test_a_server_that_is_not_there_is_found_out_in_ten_seconds_and_then_asked_once_a_request():
    """The patience of a minute is for servers that answer."""
    server = Server(OFF)
    for _ in range(3):
        with pytest.raises(TransportError, match="off"):
            server.send()
    asked = len(server.times)
    assert 5 < server.clock.monotonic() < 10 and asked < 20
    server.clock.advance(10 - server.clock.monotonic())
    for _ in range(10):
        with pytest.raises(TransportError, match="off"):
            server.send()
        server.clock.advance(1)
    assert len(server.times) == asked + 10

    server._outcomes = [503, OFF, OFF, 200]  # it answers again
    assert server.send().status == 200
    server.clock.advance(3600)  # what was an hour ago says nothing
    server._outcomes = [OFF, OFF, 200]
    assert server.send().status == 200


def test_waits_are_drawn_from_zero_to_twice_as_much_each_time():
    """Full jitter: the share that is drawn is of the whole."""
    for kind, status, first in ((SCORE, 503, 0.05), (SCORE, 429, 1.0)):
        server = Server(*[status] * 5, 200, draw=lambda: 0.5)
        server.send(kind)
        waits = [b - a for a, b in zip(server.times, server.times[1:])]
        assert waits == pytest.approx([first * 2**n * 0.5 for n in range(5)])


def test_waits_stop_growing():
    server = Server(*[429] * 8, 200, patience_seconds=1000)
    server.send()
    assert server.times[-1] - server.times[-2] == 20.0


def test_what_the_server_asks_for_is_waited_out():
    """A04, A07: and a little more, so that not everybody comes back at once."""
    for status in (429, 503):
        for drawn, least, most in ((0.0, 7.0, 7.0), (1.0, 7.25, 7.25)):
            server = Server(said(status, retry_after="7"), 200, draw=lambda drawn=drawn: drawn)
            server.send()
            assert least <= server.times[1] - server.times[0] <= most


def test_what_the_server_asks_for_goes_for_all_requests():
    """A07: for the server, not for one request; also when it was said to somebody who does not wait here."""
    server = Server(said(429, retry_after="7"), 200)
    assert server.send(TRACES, is_repeated=True).status == 429
    server.send(ITEMS)
    assert 7.0 <= server.times[1] - server.times[0] <= 7.25
    server.send(ITEMS)
    assert server.times[2] == server.times[1]

    server = Server(said(429, retry_after="7"), 200)
    server.send(TRACES, is_repeated=True)
    assert [outcome.status for _, outcome in server.transport.send_each([Request(*SCORE)] * 1)] == [200]
    assert 7.0 <= server.times[1] - server.times[0] <= 7.25


def test_a_longer_wait_than_there_is_patience_ends_at_once():
    """A11: the answer says how long the server wants, and whoever comes next is told what is left."""
    server = Server(said(429, retry_after="3600"), 200)
    assert server.send().status == 429 and server.times == [0.0]
    with pytest.raises(TransportError, match=r"the server asks to be left alone for 3600.0 s more, and 60.0 s are left") as caught:
        server.send()
    assert caught.value.retry_after_seconds == 3600 and caught.value.retryable and len(server.times) == 1
    ((_, outcome),) = server.transport.send_each([Request(*SCORE)])
    assert "3600.0 s more" in str(outcome) and len(server.times) == 1


@pytest.mark.parametrize("asked", ["9" * 20, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_an_absurd_wait_is_as_good_as_none_and_silences_nobody(asked):
    """A09."""
    server = Server(said(429, retry_after=asked), 200)

    assert server.send().status == 200 and server.times[1] <= 1.0


def test_a_deadline_of_the_request_bounds_its_repetitions():
    server = Server(503, patience_seconds=1000)
    assert server.send(deadline=server.clock.monotonic() + 2).status == 503
    assert server.times[-1] <= 2.0 and len(server.times) > 3
    server = Server(OFF, patience_seconds=0)
    with pytest.raises(TransportError):
        server.send()
    assert len(server.times) == 1


def test_a_server_that_is_down_is_asked_36_times_and_then_only_once_a_request():
    """K05: one purse for all, as in the AWS SDKs."""
    server = Server(503, patience_seconds=10**6)
    for _ in range(100):
        assert server.send().status == 503
    assert len(server.times) - 100 == 35

    server._outcomes = [200]
    for _ in range(100):
        server.send()
    before, server._outcomes = len(server.times), [503]
    server.send()
    assert len(server.times) - before == 1 + 100 // 14  # each success put 1 back


def test_a_repetition_that_helped_costs_nothing():
    server = Server(*[503, 503, 200] * 100)
    for _ in range(100):
        assert server.send().status == 200
    assert len(server.times) == 300


@pytest.mark.parametrize("share", [0.05, 0.4])
def test_a_server_that_often_fails_gets_everything_in_the_end(share):
    """Where the reference loses 5 % of the scores at 40 % 503."""
    import random

    clock, rng, held = ManualClock(jumps=True), random.Random(1), []

    def answer(request):
        if rng.random() < share:
            return Response(503)
        held.append(request.body)
        return Response(200)

    transport = RetryTransport(FakeTransport(answer), clock=clock, draw=rng.random)
    requests = [Request(*SCORE, body=b"%d" % n) for n in range(1000)]
    outcomes = list(transport.send_each(iter(requests)))

    assert len(outcomes) == 1000 and {outcome.status for _, outcome in outcomes} == {200}
    assert sorted(held) == sorted(request.body for request in requests)
    assert clock.monotonic() < 60


def test_one_request_may_be_given_many_times():
    server = Server(503, 200, 503, 200)
    request = Request(*SCORE)
    assert [(back is request, outcome.status) for back, outcome in server.transport.send_each([request] * 5)] == [(True, 200)] * 5
    assert len(server.times) == 7


def test_many_requests_stop_going_out_while_many_wait():
    """A server that is down does not have to refuse all of a million."""
    server = Server(*[503] * 20, 200)
    pulled = []

    def endless():
        while True:
            pulled.append(1)
            yield Request(*SCORE)

    outcomes = server.transport.send_each(endless())
    assert next(outcomes)[1].status == 200 and len(pulled) < 20
    outcomes.close()


def test_closing_ends_the_waits():
    class Standing(ManualClock):
        def watch(self, callback):
            super().watch(callback)
            waits.set()

    waits, outcomes = threading.Event(), []
    transport = RetryTransport(FakeTransport(lambda request: Response(503, headers={"retry-after": "50"})), clock=Standing())

    def work():
        try:
            transport.send(Request(*SCORE))
        except ClosedError as error:
            outcomes.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    waits.wait(5)
    transport.close()
    thread.join(5)

    assert outcomes == ["this RetryTransport was closed while a request waited"]


def test_moving_the_clock_ends_a_wait():
    class Standing(ManualClock):
        def watch(self, callback):
            super().watch(callback)
            waits.set()

    waits, clock, outcomes = threading.Event(), Standing(), []
    answers = [Response(503, headers={"retry-after": "50"}), Response(200)]
    transport = RetryTransport(FakeTransport(lambda request: answers.pop(0)), clock=clock)
    thread = threading.Thread(target=lambda: outcomes.append(transport.send(Request(*SCORE)).status))
    thread.start()
    waits.wait(5)
    clock.advance(51)
    thread.join(5)

    assert outcomes == [200]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_is_not_held_up_by_a_lock_of_its_parent():
    transport = RetryTransport(FakeTransport(lambda request: Response(200)))
    with transport._lock:
        child = os.fork()
        if not child:
            try:
                transport._purse = 1.0
                os._exit(0 if transport.send(Request(*SCORE)).status == 200 else 1)
            finally:
                os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_settings_are_checked():
    for bad in (-1, float("inf"), float("nan"), "5"):
        with pytest.raises(ArgumentError, match="patience_seconds"):
            RetryTransport(FakeTransport(Response), patience_seconds=bad)


# -- Retry-After -----------------------------------------------------------------------------------------------------------

NOW = "Fri, 20 Nov 2026 10:00:00 GMT"
NOW_NS = 1_795_168_800 * 10**9


@pytest.mark.parametrize(
    "headers, seconds",
    [
        ({"retry-after": "7"}, 7.0), ({"retry-after": "0"}, 0.0), ({"retry-after": " 7 "}, 7.0), ({"retry-after": "1.5"}, 1.5), ({"retry-after": "007"}, 7.0),
        ({"retry-after-ms": "1500"}, 1.5), ({"retry-after-ms": "250", "retry-after": "7"}, 0.25), ({"retry-after-ms": "x", "retry-after": "7"}, 7.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": NOW}, 30.0), ({"retry-after": "Friday, 20-Nov-26 10:00:30 GMT", "date": NOW}, 30.0),
        ({"retry-after": "Fri Nov 20 10:00:30 2026", "date": NOW}, 30.0), ({"retry-after": "Fri, 20 Nov 2026 11:00:30 +0100", "date": NOW}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, 30.0), ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": "nonsense"}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:30 GMT", "date": "Fri, 20 Nov 2026 11:00:00 GMT"}, 30.0),  # the clock here is an hour slow
        ({"retry-after": "Fri, 20 Nov 2026 09:00:30 GMT", "date": NOW}, 0.0),
        ({}, None), ({"retry-after": ""}, None), ({"retry-after": "-5"}, None), ({"retry-after": "NaN"}, None), ({"retry-after": "inf"}, None),
        ({"retry-after": "1e400"}, None), ({"retry-after": "1" + "0" * 30}, None), ({"retry-after": "soon"}, None), ({"retry-after": "7 s"}, None),
        ({"retry-after": "\u0667"}, None), ({"retry-after": "7, 8"}, None), ({"retry-after": "+7"}, None), ({"retry-after": "0x7"}, None),
        ({"retry-after": "Fri, 99 Nov 2026 10:00:30 GMT", "date": NOW}, None), ({"retry-after": "x" * 100_000}, None), ({"retry-after": "."}, None),
        ({"retry-after": "Fri, 20 Nov 99999999999 10:00:30 GMT", "date": NOW}, None),
        ({"retry-after": "86400"}, 86_400.0), ({"retry-after": "86401"}, None), ({"retry-after": "9" * 20}, None), ({"retry-after-ms": "9" * 20}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT", "date": NOW}, None),
    ],
)  # fmt: skip
def test_all_forms_of_retry_after(headers, seconds):
    """A08, A09, D48: counted from the answer's own date; nonsense is as good as nothing, and never raises."""
    assert retry_after_seconds(headers, NOW_NS) == seconds


def test_an_error_says_how_long_the_server_wants_to_be_left_alone_whatever_the_form():
    """By the one reading there is: the same that the waits go by."""
    for asked, seconds in (({"retry-after-ms": "1500"}, 1.5), ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT"}, 30.0)):
        server = FakeTransport(lambda request, asked=asked: Response(400, headers=asked))
        with Interactive(transport=server, clock=ManualClock("2026-11-20T10:00:00Z")) as client, pytest.raises(ApiError) as caught:
            client.api.projects()
        assert caught.value.retry_after_seconds == seconds


# -- through a client ------------------------------------------------------------------------------------------------------


def test_one_503_on_the_way_to_a_data_set_costs_nothing_but_a_moment():
    """D72: in the reference discovery, data set and items are asked for once."""
    clock = ManualClock(jumps=True)
    with Interactive.local() as store:
        store.create_dataset(name="d")
        for n in range(3):
            store.create_dataset_item(dataset_name="d", input=n)
        failed = set()

        def answer(request):
            key = request.path, request.query
            if key not in failed:
                failed.add(key)
                return Response(503)
            return store._transport.send(request)

        with Interactive(transport=RetryTransport(FakeTransport(answer), clock=clock), dialect="platform") as client:
            dataset = client.get_dataset("d", fetch_items_page_size=1)

    assert sorted(item.input for item in dataset.items) == [0, 1, 2] and len(failed) == 5


@pytest.mark.parametrize(
    "read",
    [
        lambda client: client.api.trace("t"),
        lambda client: client.api.traces(page=1, limit=1),
        lambda client: client.api.observations_by_cursor(limit=1),
        lambda client: client.get_dataset("d").items[0].run(run_name="r").__enter__().end(),
    ],
)
def test_what_no_run_asks_for_is_repeated_as_all_else_is(read):
    """D72 for what is read, and linked, by hand; batch runs and experiments repeat these themselves."""
    store, failed = LocalTransport(), set()

    def answer(request):
        if request.path not in failed:
            failed.add(request.path)
            return Response(503)
        return store.send(request)

    transport = RetryTransport(FakeTransport(answer), clock=ManualClock(jumps=True))
    with Interactive(transport=transport, dialect="public") as client:
        client.create_dataset(name="d")
        client.create_dataset_item(dataset_name="d", input=1)
        trace = {"id": "t", "timestamp": "2026-01-01T00:00:00Z"}
        event = {"id": "e", "timestamp": "2026-01-01T00:00:00Z", "type": "trace-create", "body": trace}
        client.api.send_events([event])
        before = set(failed)
        read(client)

    assert failed > before  # it was refused once, and went through all the same


def test_a_fetch_of_a_batch_wants_no_answer_after_the_time_budget():
    store, deadlines, clock = LocalTransport(), set(), ManualClock()

    def answer(request):
        deadlines.add((request.method, request.deadline, request.is_repeated))
        return store.send(request)

    with Interactive(transport=FakeTransport(answer), dialect="public", clock=clock) as client:
        client.run_batched_evaluation(scope="traces", mapper=lambda item: None, evaluators=[], time_budget=20)
    # Of the reserve of a tenth, the second half is for delivery and for threads to end.
    assert deadlines == {("GET", 19.0, True)}


def test_what_is_delivered_last_wants_no_answer_after_the_end():
    """A minute for a run, half of one for a client that is closed."""
    store, deadlines, clock = LocalTransport(), [], ManualClock()

    def answer(request):
        deadlines.append(request.deadline)
        return store.send(request)

    with Interactive(transport=FakeTransport(answer), dialect="public", clock=clock, flush_interval=1000) as client:
        client.run_experiment(name="e", data=[{"input": 1}], task=lambda *, item: 1)
        client.create_score(name="s", value=1, trace_id="a" * 32)
    assert deadlines == [60.0, 30.0]


def test_where_no_thread_can_be_started_a_flush_bounds_what_it_sends_itself(monkeypatch):
    """Nobody else could give up a request for which the transport would wait a minute."""
    store, deadlines, clock = LocalTransport(), [], ManualClock()

    def answer(request):
        deadlines.append(request.deadline)
        return store.send(request)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Interactive(transport=FakeTransport(answer), dialect="public", clock=clock) as client:
        for timeout in (3, None):
            client.create_score(name="s", value=1, trace_id="a" * 32)
            client.flush(timeout)
    assert deadlines == [3.0, None]


def test_a_small_run_against_a_port_that_nobody_listens_to_ends_in_time_and_names_what_is_pending():
    """It took a minute, and the whole of it, to find that out."""
    refusing = ScriptedServer(lambda *_: None)
    with refusing as server:
        url = server.url
    clock = ManualClock(jumps=True)
    with RetryTransport(HTTPTransport(url, clock=clock), clock=clock) as transport:
        client = Interactive(transport=transport, dialect="public", clock=clock)
        result = client.run_experiment(
            name="e", data=[{"input": n} for n in range(20)], task=lambda *, item: 1, evaluators=[lambda *, output: output]
        )
        client.close()

    assert clock.monotonic() < 11 and (result.delivery.acknowledged, result.delivery.pending) == (0, 60)
    assert all("refused" in problem.reason and problem.id for problem in result.delivery.problems)
