"""How delivery keeps pace: many requests at once where they wait, batches of bounded size, and no end of patience."""
from __future__ import annotations

import json
import threading
import time
import tracemalloc

import pytest

from interactiveai_eval import FakeTransport, Interactive, Response, TransportError
from interactiveai_eval.running.parcels import Parcel
from interactiveai_eval.service.export_answers import read_export_answer
from interactiveai_eval.testing import ManualClock
from interactiveai_eval.transports.base import Transport
from interactiveai_eval.transports.local import LocalTransport

from .programs import run as run_program
from .programs import start as start_program

TRACE = "a" * 32


class Platform(Transport):
    """Answers as the platform does, each request after `seconds`; counts how many are on their way at once."""

    def __init__(self, seconds=0.0, answer=None):
        self.seconds = seconds
        self.answer = answer
        self.requests = []
        self.most = self._now = 0
        self._lock = threading.Lock()

    def send(self, request):
        with self._lock:
            self.requests.append(request)
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            time.sleep(self.seconds)
            found = self.answer(request) if self.answer is not None else None
            if found is not None:
                return found
            if request.method == "GET":
                return Response(200, body=b'{"data": [{"id": "proj", "orgId": "org"}]}')
            return Response(201, body=b'{"data": {}}')
        finally:
            with self._lock:
                self._now -= 1

    def paths(self):
        return [request.path.rpartition("/")[2] for request in self.requests]


def score(client, n, first=0):
    for i in range(first, first + n):
        client.create_score(name="s", value=i, trace_id=TRACE, score_id=f"score-{i}")


def is_spans(request):
    return request.path.endswith("/otel/v1/traces")


# -- pace --------------------------------------------------------------------------------------------------------------


def test_scores_that_go_one_by_one_go_many_at_a_time_but_not_more_than_32():
    """The reference has one request on its way: 300 scores at 10 ms would take it 3 seconds (D36)."""
    server = Platform(0.01)
    with Interactive(transport=server) as client:
        began = time.perf_counter()
        score(client, 300)
        report = client.flush()
        seconds = time.perf_counter() - began

    assert report.acknowledged == 300 and len(server.requests) == 301
    assert 8 < server.most <= 32 and seconds < 2.5


def test_a_server_that_answers_at_once_is_not_beset():
    """More connections would only take turns on the processor."""
    server = Platform()
    with Interactive(transport=server, clock=ManualClock()) as client:  # no time passes
        score(client, 50)
        client.flush()
        server.most = 0
        score(client, 200)
        report = client.flush()

    assert report.acknowledged == 250 and server.most == 1


def test_flush_does_not_wait_for_a_batch_to_fill():
    """In the reference a few scores wait for up to a second more, and `flush` does not wake the sender (D36)."""
    with Interactive(transport=Platform(), dialect="public", flush_interval=60) as client:
        began = time.perf_counter()
        score(client, 3)
        report = client.flush()

    assert report.acknowledged == 3 and time.perf_counter() - began < 5


def test_a_flush_without_patience_has_all_sent_and_waits_for_none_of_it():
    server = Platform()
    with Interactive(transport=server, dialect="public", flush_interval=60) as client:
        score(client, 3)
        report = client.flush(timeout=0)
        wait_until(lambda: server.requests)

    assert report.acknowledged + report.pending == 3


def test_a_trace_endpoint_that_is_slow_is_sent_to_several_times_at_once():
    server = Platform(answer=lambda request: time.sleep(0.1) if is_spans(request) else None)
    with Interactive(transport=server, dialect="public", flush_at=100) as client:
        result = client.run_experiment(name="slow", data=[{"input": i} for i in range(1000)], task=lambda item: 1)

    sent = [request for request in server.requests if is_spans(request)]
    assert result.delivery.acknowledged == 1000 and len(sent) >= 10 and 2 <= server.most <= 9


def test_asyncio_is_loaded_while_the_first_items_are_being_linked():
    """For runs that will need it: one after the other, the two would cost a short run a tenth of its time."""
    program = """
    import sys, time
    from interactiveai_eval import FakeTransport, Interactive

    loaded = []

    def answer(request):
        if request.path.endswith("/dataset-run-items"):
            until = time.monotonic() + 5
            while "asyncio" not in sys.modules and time.monotonic() < until:
                time.sleep(0.001)
            loaded.append("asyncio" in sys.modules)
        return store._transport.send(request)

    async def task(*, item):
        return 1

    with Interactive.local() as store, Interactive(transport=FakeTransport(answer), dialect="public") as client:
        client.create_dataset(name="d")
        client.create_dataset_item(dataset_name="d", input=1)
        result = client.get_dataset("d").run_experiment(name="e", task=task)
    print(loaded, len(result.item_results))
    """
    assert run_program(program) == "[True] 1\n"


def test_a_data_set_is_linked_by_as_many_threads_as_items_run():
    """The reference links with a thread or two a processor, whatever `max_concurrency` is (D33)."""
    store, links = LocalTransport(), Platform(0.02)

    class Linking(Transport):
        def send(self, request):
            if request.path.endswith("dataset-run-items"):
                links.send(request)
            return store.send(request)

    with Interactive(transport=Linking(), dialect="public") as client:
        client.create_dataset(name="qa")
        for i in range(60):
            client.create_dataset_item(dataset_name="qa", id=f"i{i}", input=i)
        result = client.get_dataset("qa").run_experiment(name="d", task=lambda item: 1, max_concurrency=30)

    assert result.delivery.by_kind["links"]["acknowledged"] == 60 and links.most > 10


class SideBySide(Platform):
    """Has up to `width` requests under way at once, on the thread of whoever asks, as a real transport may."""

    def __init__(self, answer=None, width=8):
        super().__init__(answer=answer)
        self.width = width
        self.threads = set()
        self.widest = 0

    def send_each(self, requests):
        self.threads.add(threading.get_ident())
        source, under_way, more = iter(requests), [], True
        while more or under_way:
            while more and len(under_way) < self.width:
                request = next(source, None)
                more = request is not None
                if more:
                    under_way.append(request)
            self.widest = max(self.widest, len(under_way))
            if under_way:
                request = under_way.pop()  # the last is answered first
                try:
                    yield request, self.send(request)
                except TransportError as error:
                    yield request, error


def test_a_transport_that_has_many_requests_under_way_gets_all_scores_from_one_thread_at_a_time():
    server = SideBySide()
    with Interactive(transport=server, project=("o", "p")) as client:
        score(client, 400)
        report = client.flush()

    sent = [json.loads(request.body)["id"] for request in server.requests]
    assert report.acknowledged == 400 == len(set(sent)) == len(sent)
    assert server.widest == 8 and len(server.threads) <= 6


def test_the_first_stream_finds_out_whether_there_may_be_many():
    """Until a transport has taken a second score before it answered the first, no other thread begins a stream."""
    begun, counted = threading.Semaphore(0), threading.Event()

    class Late(SideBySide):
        def send_each(self, requests):
            begun.release()
            assert counted.wait(20)
            yield from super().send_each(requests)

    evaluators = [lambda *, output, n=n: {"name": f"e{n}", "value": output} for n in range(9)]
    with Interactive(transport=Late(), project=("o", "p")) as client:
        run = threading.Thread(target=lambda: results.append(client.run_experiment(
            name="r", data=[{"input": 1}], task=lambda item: 1, evaluators=evaluators
        )))  # fmt: skip
        results = []
        run.start()
        assert begun.acquire(timeout=20)
        another = begun.acquire(timeout=0.1)
        counted.set()
        run.join(20)

    assert not another and results[0].delivery.by_kind["scores"]["acknowledged"] == 9


def test_each_score_of_a_stream_has_its_own_verdict():
    def answer(request):
        number = int(json.loads(request.body)["id"].partition("-")[2])
        if number % 10 == 1:
            return Response(400, body=b'{"message": "no"}')
        if number % 10 == 2:
            raise TransportError("cut off")
        if number % 10 == 3:
            return Response(200, body=b'{"data": {"id": "of somebody else"}}')
        if number % 10 == 4:
            return Response(404, body=b'{"message": "no such trace"}')
        return None

    with Interactive(transport=SideBySide(answer), project=("o", "p"), clock=ManualClock()) as client:
        score(client, 100)
        report = client.flush()

        assert (report.acknowledged, report.rejected, report.pending) == (60, 20, 20)
        assert {(int(problem.id[6:]) % 10, problem.state) for problem in report.problems} == {
            (1, "rejected"),
            (2, "pending"),
            (3, "pending"),
            (4, "rejected"),
        }


@pytest.mark.parametrize("broken_after", [1, 20])
def test_a_stream_that_breaks_loses_nothing_and_the_next_one_goes_on(broken_after):
    breaks = [True]

    class Breaking(SideBySide):
        def send_each(self, requests):
            for number, outcome in enumerate(super().send_each(requests), 1):
                yield outcome
                if breaks and number == broken_after:
                    breaks.clear()
                    raise RuntimeError("a defect")

    with Interactive(transport=Breaking(), project=("o", "p")) as client:
        score(client, 100)
        report = client.flush(timeout=20)

    assert (report.acknowledged, report.pending) == (100, 0) and not breaks


def test_a_stream_asks_nobody_for_ever_when_nobody_answers():
    calls = []

    def nobody(request):
        calls.append(request)
        raise TransportError("connection refused by example.test:443")

    with Interactive(transport=SideBySide(nobody), project=("o", "p"), clock=ManualClock()) as client:
        score(client, 500)

        assert client.flush().pending == 500 and len(calls) < 100


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_batch_of_scores_stays_below_what_servers_take():
    """Forty comments of 300 kB: the ingestion endpoint takes 4.5 MB at once (D45 is the same for spans)."""
    server = FakeTransport(lambda request: Response(207, body=b'{"successes": [], "errors": []}'))
    with Interactive(transport=server, dialect="public") as client:
        for i in range(40):
            client.create_score(name="s", value=1, trace_id=TRACE, comment=f"{i}" * 150_000)
        report = client.flush()

    assert report.acknowledged == 40 and len(server.requests) > 2
    assert max(len(request.body) for request in server.requests) < 4_718_592


def test_what_is_too_large_for_a_server_is_divided_until_it_fits_and_keeps_order_and_ids():
    taken = []

    def small(request):
        if len(request.body) > 1500:
            return Response(413, body=b"Body exceeded 1500 bytes limit")
        taken.extend(event["id"] for event in json.loads(request.body)["batch"])
        return Response(207, body=b'{"successes": [], "errors": []}')

    with Interactive(transport=FakeTransport(small), dialect="public") as client:
        score(client, 40)
        report = client.flush()

    assert report.acknowledged == 40 and taken == [f"score-{i}" for i in range(40)]


def test_one_score_that_is_too_large_alone_is_rejected_with_its_size():
    def small(request):
        if len(request.body) > 5000:
            return Response(413, body=b"Body exceeded 5kb limit")
        return Response(207, body=b'{"successes": [], "errors": []}')

    with Interactive(transport=FakeTransport(small), dialect="public") as client:
        score(client, 5)
        client.create_score(name="s", value=1, trace_id=TRACE, score_id="large", comment="x" * 10_000)
        report = client.flush()

    assert (report.acknowledged, report.rejected) == (5, 1)
    (problem,) = report.problems
    assert problem.id == "large" and "5kb limit" in problem.reason and "10400 bytes" in problem.reason


def test_a_span_that_is_larger_than_any_batch_goes_alone_and_is_judged_alone():
    """A server that takes 5 MB: the span is rejected with its size, the others do not suffer (A14)."""
    server = FakeTransport(lambda request: Response(413 if len(request.body) > 5_000_000 else 200))
    with Interactive(transport=server, dialect="public") as client:
        for size in (1, 6_000_000, 2, 4_000_000):
            client.start_span(name=f"of {size}", input="x" * size).end()
        report = client.flush()

    assert (report.acknowledged, report.rejected) == (3, 1) and "(it has about 6000" in report.problems[0].reason


# -- answers -----------------------------------------------------------------------------------------------------------


def varint(number):
    found = b""
    while number > 127:
        found += bytes((number & 127 | 128,))
        number >>= 7
    return found + bytes((number,))


def partial(refused, message):
    inner = (b"\x08" + varint(refused) if refused else b"") + b"\x12" + varint(len(message)) + message.encode()
    return b"\x0a" + varint(len(inner)) + inner


@pytest.mark.parametrize(
    "body, found",
    [
        (b"", (0, "")),
        (b" \r\n", (0, "")),
        (b"{}", (0, "")),
        (b'\n{"job": {"id": 1}}', (0, "")),
        (partial(3, "too old"), (3, "too old")),
        (partial(300, ""), (300, "")),
        (partial(0, "deprecated"), (0, "deprecated")),
        (b"\x0a\x00", (0, "")),
        (b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}', (3, "too old")),
        (b'{"partialSuccess": {"rejectedSpans": 3}}', (3, "")),
        (b'{"partialSuccess": null}', (0, "")),
    ],
)
def test_an_answer_to_spans_is_protobuf_or_json_or_nothing(body, found):
    assert read_export_answer(body) == found


@pytest.mark.parametrize(
    "body",
    [
        b"ok",
        b"[]",
        b"null",
        b"7",
        b"<html>",
        b" <!DOCTYPE html>",
        b"\x0a\x05\x08",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b'{"partialSuccess": {"rejectedSpans": -1}}',
        b'{"partialSuccess": {"rejectedSpans": true}}',
        b'{"partialSuccess": {"rejectedSpans": "many"}}',
        b'{"partialSuccess": {"rejectedSpans": "1_0"}}',
    ],
)
def test_anything_else_is_no_acknowledgement_of_spans(body):
    with Interactive(transport=FakeTransport(lambda request: Response(200, body=body)), dialect="public") as client:
        client.start_span(name="one").end()
        report = client.flush()

        assert (report.acknowledged, report.pending) == (0, 1)
        assert "not an answer of this service" in report.problems[0].reason


@pytest.mark.parametrize("refused", [30_000_000, 2**63 - 1])
def test_a_server_that_refuses_more_spans_than_it_was_sent_costs_no_memory(refused):
    server = FakeTransport(lambda request: Response(200, body=partial(refused, "no")))
    tracemalloc.start()
    try:
        with Interactive(transport=server, dialect="public") as client:
            client.start_span(name="one").end()
            report = client.flush()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert report.by_kind["spans"] == {"acknowledged": 0, "pending": 0, "rejected": 1, "skipped": 0}
    assert peak < 20_000_000


STORED = {"id": "score-0", "name": "s", "value": 0, "traceId": TRACE, "observationId": None}


@pytest.mark.parametrize(
    "stored, state, reason",
    [
        (STORED, "acknowledged", None),
        ({**STORED, "value": 1}, "rejected", "another score has its id"),
        ({**STORED, "traceId": "0" * 32}, "rejected", "another score has its id"),
        (None, "rejected", "answered 409"),
    ],
)
def test_a_score_that_is_in_the_way_of_itself_has_arrived(stored, state, reason):
    """A server without upserts says 409 to what it has (A19): it is read back, and is the same or is refused."""

    def answer(request):
        if request.method == "POST":
            return Response(409, body=b'{"message": "there is one"}')
        if request.path.endswith("v2/scores/score-0"):
            return Response(404, body=b"{}") if stored is None else Response(200, body=json.dumps(stored).encode())
        return None

    with Interactive(transport=Platform(answer=answer)) as client:
        score(client, 1)
        report = client.flush()

    assert report.by_kind["scores"][state] == 1
    assert reason is None or reason in report.problems[0].reason


def test_spans_that_a_server_refuses_without_saying_which_are_counted_and_not_sent_again():
    """A partial success (A26): so many of the batch are refused, the others have arrived."""
    server = FakeTransport(lambda request: Response(200, body=partial(3, "too old")))
    with Interactive(transport=server, dialect="public") as client:
        result = client.run_experiment(name="p", data=[{"input": i} for i in range(10)], task=lambda item: 1)

    assert result.delivery.by_kind["spans"] == {"acknowledged": 7, "pending": 0, "rejected": 3, "skipped": 0}
    assert [problem.reason for problem in result.delivery.problems] == [
        "one of 10, the server does not say which: too old"
    ] * 3
    assert len(server.requests) == 1


def test_a_warning_of_a_server_that_took_all_spans_is_passed_on(caplog):
    with Interactive(transport=FakeTransport(lambda r: Response(200, body=partial(0, "old api"))), dialect="public") as client:
        client.start_span(name="one").end()
        assert client.flush().acknowledged == 1

    assert "took all spans and says: 'old api'" in caplog.text


@pytest.mark.parametrize(
    "answer, rejected",
    [
        ([{"id": "score-0", "status": 201}, {"id": "score-1", "status": 400, "message": "no"}, {"id": "score-2"}], 1),
        ([{"status": 201}, {"status": 400, "error": "no"}, {"status": 201}], 1),
        ({"accepted": 2, "rejected": 1, "errors": [{"id": "score-1", "message": "no"}]}, 1),
        ({"accepted": 2, "rejected": 1, "errors": [{"index": 1, "message": "no"}]}, 1),
        ({"accepted": 3, "rejected": 0, "errors": []}, 0),
        ({"successes": [{"id": f"score-{i}", "status": 201} for i in (0, 2)], "errors": [{"id": "score-1", "message": "no"}]}, 1),
    ],
)
def test_servers_old_and_new_say_in_their_own_ways_what_became_of_scores(answer, rejected):
    server = FakeTransport(lambda request: Response(207, body=json.dumps(answer).encode()))
    with Interactive(transport=server, dialect="public") as client:
        score(client, 3)
        report = client.flush()

    assert (report.acknowledged, report.rejected, report.pending) == (3 - rejected, rejected, 0)
    assert [problem.id for problem in report.problems] == ["score-1"] * rejected


@pytest.mark.parametrize(
    "answer",
    [
        [{"id": "score-0", "status": 201}],
        {"accepted": 2, "errors": []},
        {"accepted": 0, "rejected": 2},
        {"successes": ["score-0"], "errors": []},
        {"successes": [{"id": ["score-0"]}], "errors": []},
        {"errors": ["no", "no"]},
        {"errors": [{"message": "no"}]},
        {"errors": [{"id": "of somebody else"}]},
    ],
)
def test_an_answer_that_is_silent_about_some_leaves_them_pending(answer):
    server = FakeTransport(lambda request: Response(207, body=json.dumps(answer).encode()))
    with Interactive(transport=server, dialect="public") as client:
        score(client, 3)
        report = client.flush()

    assert (report.acknowledged, report.pending) == (0, 3)
    assert all("POST ingestion on " in problem.reason and "answer " in problem.reason for problem in report.problems)


@pytest.mark.parametrize(
    "answer, acknowledged, named",
    [
        ({"accepted": 0, "rejected": 3}, 0, []),
        ({"accepted": 1, "rejected": 2, "errors": []}, 1, []),
        ({"accepted": 1, "rejected": 2, "errors": ["no", "no"]}, 1, []),
        ({"accepted": 1, "rejected": 2, "errors": [{"id": "score-1", "message": "no"}]}, 1, ["score-1"]),
        ({"accepted": 0, "rejected": 10**9}, 0, []),
        ({"accepted": 2, "rejected": 1, "errors": {"score-1": "no"}}, 2, ["score-1"]),
        ({"errors": {"score-1": "no", "score-2": {"message": "never"}}}, 1, ["score-1", "score-2"]),
        ({"successes": ["score-0", "score-2"], "errors": ["score-1"]}, 2, ["score-1"]),
    ],
)
def test_figures_of_what_was_refused_count_also_where_nothing_is_named(answer, acknowledged, named):
    server = FakeTransport(lambda request: Response(207, body=json.dumps(answer).encode()))
    with Interactive(transport=server, dialect="public") as client:
        score(client, 3)
        report = client.flush()

    assert (report.acknowledged, report.rejected, report.pending) == (acknowledged, 3 - acknowledged, 0)
    assert sorted(problem.id for problem in report.problems if problem.id) == named


@pytest.mark.parametrize("busy_for", [1, 10])
@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_an_event_that_a_busy_server_could_not_take_goes_out_again_alone(status, busy_for):
    """It holds up none of those that were sent along with it, however long that goes on."""
    sent = []

    def answer(request):
        ids = [event["id"] for event in json.loads(request.body)["batch"]]
        sent.append(ids)
        errors = [{"id": "score-1", "status": status, "message": "not now"}] if len(sent) <= busy_for else []
        successes = [{"id": id, "status": 201} for id in ids if id != "score-1" or not errors]
        return Response(207, body=json.dumps({"successes": successes, "errors": errors}).encode())

    with Interactive(transport=FakeTransport(answer), dialect="public") as client:
        score(client, 3)
        report = client.flush()

    assert sent[:2] == [["score-0", "score-1", "score-2"], ["score-1"]]
    assert (report.acknowledged, report.pending, report.rejected) == ((3, 0, 0) if busy_for == 1 else (2, 1, 0))
    assert [(problem.id, problem.reason) for problem in report.problems] == [("score-1", "not now")] * report.pending


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_acknowledges_a_score(status):
    """In the reference 202 and 204 are sent three times and reported lost (D48)."""
    server = Platform(answer=lambda request: Response(status) if request.method == "POST" else None)
    with Interactive(transport=server) as client:
        score(client, 1)

        assert client.flush().acknowledged == 1 and server.paths() == ["projects", "scores"]


@pytest.mark.parametrize("status, state", [(302, "pending"), (400, "rejected"), (401, "pending"), (403, "pending"), (422, "rejected"), (500, "pending"), (503, "pending")])
def test_what_a_server_says_to_a_score_is_in_the_report(status, state):
    """The reference counts it as created, whatever is answered (D47)."""
    server = Platform(answer=lambda request: Response(status, body=b'{"message": "no"}') if request.method == "POST" else None)
    with Interactive(transport=server) as client:
        score(client, 2)
        report = client.flush()

    assert report.by_kind["scores"] == {**dict.fromkeys(("acknowledged", "pending", "rejected", "skipped"), 0), state: 2}
    assert {problem.id for problem in report.problems} == {"score-0", "score-1"}
    assert all(str(status) in problem.reason for problem in report.problems)


@pytest.mark.parametrize("body, state", [(b'{"message": "Trace not found"}', "rejected"), (b"<html>404</html>", "pending")])
def test_a_score_on_a_trace_that_is_gone_is_rejected_but_a_place_without_a_service_is_no_verdict(body, state):
    server = Platform(answer=lambda request: Response(404, body=body) if request.method == "POST" else None)
    with Interactive(transport=server) as client:
        score(client, 1)

        assert client.flush().by_kind["scores"][state] == 1


def test_a_span_batch_that_is_answered_500_is_parked_and_goes_out_again_at_flush():
    """OTLP forbids to repeat it at once; the reference drops the batch (D45)."""
    answers = [500]
    server = Platform(answer=lambda request: Response(answers.pop(), body=b"oops") if is_spans(request) and answers else None)
    with Interactive(transport=server, dialect="public", flush_at=1) as client:
        client.start_span(name="first").end()
        client.start_span(name="second").end()
        report = client.flush()

    assert report.by_kind["spans"]["acknowledged"] == 2
    assert len(server.requests) == 3 and len({request.body for request in server.requests}) == 2


def test_what_is_sent_again_is_the_same_to_the_byte():
    answers = [503, 503]
    server = Platform(answer=lambda r: Response(answers.pop()) if r.method == "POST" and answers else None)
    with Interactive(transport=server) as client:
        client.create_score(name="s", value=0.5, trace_id=TRACE, comment="c", metadata={"k": 1})
        client.flush()
        client.flush()

    bodies = [request.body for request in server.requests if request.method == "POST"]
    assert len(bodies) == 3 and len(set(bodies)) == 1


# -- outages -----------------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_not_asked_for_every_score():
    """In the reference 30 scores hold `flush` up for 20 seconds (D49)."""
    calls = []

    def nobody(request):
        calls.append(request)
        raise TransportError("connection refused by example.test:443")

    with Interactive(transport=FakeTransport(nobody), project=("o", "p"), clock=ManualClock()) as client:
        score(client, 500)
        report = client.flush()

        assert (report.pending, len(report.problems)) == (500, 500) and len(calls) < 150
        assert {problem.reason for problem in report.problems} == {"connection refused by example.test:443"}


def test_a_server_that_comes_back_is_noticed_while_the_run_goes_on():
    clock, down = ManualClock(), [True]
    server = Platform(answer=lambda request: Response(503) if down[0] and request.method == "POST" else None)
    with Interactive(transport=server, project=("o", "p"), clock=clock) as client:
        for asked in range(1, 21):  # one by one, until nobody is asked any more
            score(client, 1, first=asked - 1)
            wait_until(lambda asked=asked: len(server.requests) == min(asked, 8))
        silent = len(server.requests)
        down[0] = False
        clock.advance(2)
        score(client, 1, first=20)
        wait_until(lambda: len(server.requests) > silent)
        score(client, 1, first=21)
        wait_until(lambda: len(server.requests) > silent + 1)

        assert silent == 8 and client.flush().acknowledged == 22


def wait_until(true):
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert true()


@pytest.mark.parametrize("status", [401, 403])
def test_keys_that_are_not_taken_are_shown_once_and_everything_is_kept(status):
    """A15, A16: 403 says nothing about other kinds; a flush asks again whether they are taken by now."""
    refused = [True]
    said = Response(status, body=b'{"message": "no"}')
    server = Platform(answer=lambda r: said if refused[0] and r.method == "POST" and (status == 401 or not is_spans(r)) else None)
    with Interactive(transport=server, project=("o", "p"), public_key="pk-1", secret_key="sk-1", clock=ManualClock()) as client:
        for i in range(50):
            score(client, 1, first=i)
            wait_until(lambda: "scores" in server.paths())
        assert server.paths() == ["scores"]
        client.start_span(name="s").end()
        report = client.flush()
        again = client.flush()
        assert server.paths().count("scores") < 50
        refused[0] = False
        last = client.flush()

    assert report.by_kind["scores"]["pending"] == again.by_kind["scores"]["pending"] == 50
    assert report.by_kind["spans"]["acknowledged"] == (status == 403)
    reasons = {problem.reason for problem in report.problems if problem.kind == "scores"}  # after a 401 anybody's will do
    told = f" on https://app.interactive.ai was answered {status}: 'no'"
    told += "; are these its keys? The public key is pk-1" if status == 401 else ""
    assert reasons <= {f"POST {what}{told}" for what in (["scores"] if status == 403 else ["scores", "otel/v1/traces"])}
    assert (last.acknowledged, last.pending) == (51, 0)


@pytest.mark.parametrize("status", [401, 403])
def test_links_that_the_keys_may_not_make_are_kept_after_one_refusal(status):
    store, asked = LocalTransport(), []

    def answer(request):
        if not request.path.endswith("/dataset-run-items"):
            return store.send(request)
        asked.append(request)
        return Response(status, body=b'{"message": "no"}')

    with Interactive(transport=FakeTransport(answer), dialect="public") as client:
        client.create_dataset(name="d")
        for i in range(10):
            client.create_dataset_item(dataset_name="d", input=i)
        result = client.get_dataset("d").run_experiment(name="e", task=lambda item: 1, max_concurrency=1)
        asked_by_run = len(asked)

    assert asked_by_run == 1 and result.delivery.by_kind["links"]["pending"] == 10


def test_spans_that_nobody_takes_do_not_stop_the_scores():
    server = Platform(answer=lambda request: Response(503) if is_spans(request) else None)
    with Interactive(transport=server, dialect="public", flush_at=1, clock=ManualClock()) as client:
        for _ in range(30):
            span = client.start_span(name="one").end()
            client.create_score(name="s", value=1, trace_id=span.trace_id)
        report = client.flush()

    assert report.by_kind["scores"]["acknowledged"] == 30 and report.by_kind["spans"]["pending"] == 30


def moody_about_links(failing):
    """A client with a data set of two items, whose server answers links with `failing` as long as there are any."""
    store = LocalTransport()

    def answer(request):
        if request.path.endswith("dataset-run-items") and failing:
            return Response(failing.pop(), body=b"{}")
        return store.send(request)

    client = Interactive(transport=FakeTransport(answer), dialect="public", clock=ManualClock(jumps=True))
    client.create_dataset(name="qa")
    for i in range(2):
        client.create_dataset_item(dataset_name="qa", id=f"i{i}", input=i)
    return client


def test_a_link_that_could_not_be_made_is_made_at_the_end():
    """A server that was away for a moment: the run has all its items after all (D25)."""
    failing = [503] * 5
    with moody_about_links(failing) as client:
        result = client.get_dataset("qa").run_experiment(name="d", run_name="r", task=lambda item: 1, max_concurrency=1)
        run = client.get_dataset_run(dataset_name="qa", run_name="r")

    assert not failing and result.delivery.by_kind["links"]["acknowledged"] == 2
    assert {item.dataset_item_id for item in run.dataset_run_items} == {"i0", "i1"}


def test_a_run_that_is_linked_only_in_the_end_is_named_in_its_result_and_its_scores():
    failing = [503] * 6
    with moody_about_links(failing) as client:
        result = client.get_dataset("qa").run_experiment(
            name="d", run_name="r", task=lambda item: 1, run_evaluators=[lambda item_results: {"name": "of", "value": 1}]
        )
        run = client.get_dataset_runs(dataset_name="qa").data[0]
        (score,) = client.api.scores()["data"]

    assert not failing and result.delivery.by_kind["links"]["acknowledged"] == 2
    assert result.dataset_run_id == run.id == score["datasetRunId"]
    assert result.dataset_run_url.endswith(f"/runs/{run.id}")


def run_away(client, **more):
    """A run that delivers nothing, of two spans and a score."""
    return client.run_experiment(
        name="away", data=[{"input": 1}], task=lambda item: 1, evaluators=[lambda *, output: output], **more
    )


@pytest.mark.parametrize("end", ["flush", "close", "at_exit"])
def test_what_a_run_could_not_deliver_is_tried_again_by_its_client(end):
    store, up = LocalTransport(), []

    class Away(Transport):
        def send(self, request):
            if not up:
                raise TransportError("connection refused")
            return store.send(request)

    with Interactive(transport=Away(), dialect="public", clock=ManualClock(jumps=True)) as client:
        result = run_away(client)
        assert client.flush().pending == 3  # a server that is still away: nothing is lost
        up.append(True)
        if end == "flush":
            report = client.flush()
            assert (report.acknowledged, report.pending) == (3, 0)
        elif end == "at_exit":
            client._delivery.flush_at_exit()
        else:
            client.close()

    assert result.delivery.pending == 3  # as of its end
    with Interactive(transport=store, dialect="public") as reader:
        assert [row["name"] for row in reader.api.scores()["data"]] == ["<lambda>"]
        assert len(reader.api.observations()["data"]) == 2


def test_what_is_unanswered_when_a_run_ends_is_sent_again_by_its_client_and_counted_once():
    """An answer that comes after that changes nothing."""
    store, stuck, answer = LocalTransport(), threading.Event(), threading.Event()

    class Stuck(Transport):
        def send(self, request):
            if request.path.endswith("/ingestion") and not stuck.is_set():
                stuck.set()
                answer.wait(20)
            return store.send(request)

    with Interactive(transport=Stuck(), dialect="public") as client:
        outbox = client._delivery.outbox_of_run()
        arrived = []
        body = {"id": "s1", "name": "s", "value": 1, "traceId": TRACE, "timestamp": "2026-01-01T00:00:00.000Z"}
        outbox.put(Parcel(scores=[body], arrived=lambda: arrived.append(True)))
        outbox.send_soon()
        assert stuck.wait(10)
        assert outbox.close(client.clock.monotonic()).pending == 1
        assert client.flush().acknowledged == 1 and arrived == [True]
        answer.set()
        wait_until(lambda: not outbox._backlog.flights)
        assert client.flush().acknowledged == 1 and arrived == [True]
        assert outbox.close().pending == 1  # and the report of the run is what it was


def test_a_transport_that_ends_the_thread_loses_nothing_and_hangs_nobody():
    """`sys.exit` somewhere below `send`: what the sender had is kept."""
    ended = []

    def leave(request):
        if not ended:
            ended.append(request)
            raise SystemExit(3)
        return Response(200)

    with Interactive(transport=FakeTransport(leave), dialect="public") as client:
        score(client, 5)
        report = client.flush()

    assert report.acknowledged == 5


# -- processes ---------------------------------------------------------------------------------------------------------

FORK = """
    import os, sys, threading, warnings
    from interactiveai_eval import Interactive, Response
    from interactiveai_eval.transports.base import Transport

    warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
    asked, go_on = threading.Event(), threading.Event()

    class Slow(Transport):
        def send(self, request):
            if request.method == "GET" and os.getpid() == parent:
                asked.set()
                go_on.wait(20)
            return Response(200, body=b'{"data": [{"id": "proj", "orgId": "org"}]}' if request.method == "GET" else b"{}")

    parent = os.getpid()
    client = Interactive(transport=Slow())
    client.create_score(name="s", value=1, trace_id="a" * 32)
    assert asked.wait(20)  # a thread asks for the project, and holds the lock that others wait for
    child = os.fork()
    if child == 0:
        client.create_score(name="s", value=2, trace_id="a" * 32)
        print("child", client.flush().acknowledged, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    go_on.set()
    print("parent", client.flush().acknowledged)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this platform does not fork")
def test_a_child_that_is_forked_while_a_thread_is_in_a_request_is_not_locked_out():
    """Inherited locks stay locked (F12): nobody in the child will ever open them."""
    assert run_program(FORK) == "child 1\nparent 1\n"


EXIT = """
    import sys, time
    from interactiveai_eval import Interactive, Response
    from interactiveai_eval.transports.base import Transport

    class Slow(Transport):
        taken = 0

        def send(self, request):
            time.sleep(0.01)
            Slow.taken += request.method == "POST"
            return Response(200, body=b'{"data": [{"id": "proj", "orgId": "org"}]}' if request.method == "GET" else b"{}")

    import atexit
    atexit.register(lambda: print(Slow.taken))  # runs after ours
    client = Interactive(transport=Slow())
    for i in range(200):
        client.create_score(name="s", value=i, trace_id="a" * 32)
"""


def test_a_script_that_ends_with_many_scores_on_their_way_delivers_them_all():
    assert run_program(EXIT) == "200\n"


AT_EXIT = """
    import atexit, sys
    from interactiveai_eval import Interactive

    def say_goodbye():
        client.start_span(name="goodbye").end()
        print("said")

    atexit.register(say_goodbye)  # called after whatever is registered later
    client = Interactive.local(sys.argv[1])
    if sys.argv[2] == "used":
        client.start_span(name="hello").end()
"""


@pytest.mark.parametrize("before, names", [("used", ["goodbye", "hello"]), ("unused", ["goodbye"])])
def test_what_is_recorded_as_the_interpreter_ends_is_delivered(tmp_path, before, names):
    """No thread can be started there, and the functions of `atexit` that deliver have been called already (F08)."""
    assert run_program(AT_EXIT, str(tmp_path / "store.db"), before) == "said\n"

    with Interactive.local(tmp_path / "store.db") as client:
        assert sorted(row["name"] for row in client.api.observations()["data"]) == names


AWAY = """
    from interactiveai_eval import Interactive, TransportError
    from interactiveai_eval.transports.base import Transport

    class Down(Transport):
        def send(self, request):
            raise TransportError("nobody there")

    client = Interactive(transport=Down(), base_url="https://example.test")
    for i in range(7):
        client.create_score(name="s", value=i, trace_id="a" * 32)
"""


def test_a_script_that_could_not_deliver_says_so_once():
    """F07: nothing is lost in silence."""
    program = start_program(AWAY)
    out, err = program.communicate(timeout=20)

    what = "7 scores and spans could not be delivered before the interpreter ended"
    assert (program.returncode, out, err) == (0, "", f"https://example.test: {what}\n")


def test_an_output_of_10_mb_arrives_and_takes_nothing_along():
    """C15: one span may be larger than a batch."""
    store = LocalTransport()
    with Interactive(transport=store, dialect="public") as client:
        result = client.run_experiment(
            name="large", data=[{"input": i} for i in range(5)], task=lambda item: "x" * (10_000_000 if item["input"] == 2 else 1)
        )
        row = client.api.trace(result.item_results[2].trace_id)["observations"][0]

    assert result.delivery.acknowledged == 5 and len(row["output"]) == 10_000_000


def test_large_outputs_hold_the_run_back_before_they_fill_the_memory():
    """C16: a hundred outputs of 1 MB and a server that hangs; about 32 MB of them wait, then the run does."""
    opened, seen, stalled = threading.Event(), [], threading.Event()

    def hang(request):
        assert opened.wait(20)
        return Response(200)

    def look(_):
        seen.append(1)
        if len(seen) == 30:
            threading.Timer(0.1, lambda: (stalled.set(), at_rest.append(len(seen)), opened.set())).start()

    at_rest = []
    with Interactive(transport=FakeTransport(hang), dialect="public") as client:
        result = client.run_experiment(
            name="large",
            data=[{"input": i} for i in range(100)],
            task=lambda item: "x" * 1_000_000,
            max_concurrency=4,
            on_result=look,
        )

    assert stalled.is_set() and at_rest[0] < 60 and result.delivery.acknowledged == 100


def test_items_that_wait_for_room_wake_no_more_threads():
    """More threads would only wait beside the first, each with a stack and memory of its own."""
    opened, seen, workers = threading.Event(), [], []

    def hang(request):
        assert opened.wait(20)
        return Response(200)

    def count():
        workers.append(sum(thread.name == "interactiveai_eval-worker" for thread in threading.enumerate()))
        opened.set()

    def look(_):
        seen.append(1)
        if len(seen) == 30:
            threading.Timer(0.2, count).start()

    with Interactive(transport=FakeTransport(hang), dialect="public") as client:
        result = client.run_experiment(
            name="large",
            data=[{"input": i} for i in range(100)],
            task=lambda item: "x" * 1_000_000,
            max_concurrency=40,
            on_result=look,
        )

    assert workers[0] < 20 and result.delivery.acknowledged == 100


def test_no_thread_of_ours_outlives_its_client():
    """F10: a thread that nobody waits for would keep a process from ending."""
    before = set(threading.enumerate())
    with Interactive(transport=Platform(0.005), project=("o", "p")) as client:
        score(client, 200)
        client.flush()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)

    assert set(threading.enumerate()) <= before


def test_a_client_is_not_pickled():
    """F13: whoever passes one to another process is told at once; its keys do not travel."""
    import pickle

    with Interactive(transport=Platform(), public_key="pk", secret_key="sk") as client:
        with pytest.raises(TypeError):
            pickle.dumps(client)


@pytest.mark.parametrize("scope", ["traces", "observations"])
def test_an_evaluation_that_ends_early_has_delivered_what_it_counts(scope):
    """In the reference it returns with its scores in the queue (D50), and those on observations name no trace (D51)."""
    store = LocalTransport()
    with Interactive(transport=store, dialect="public") as client:
        for _ in range(12):
            client.start_span(name="one").end()
        client.flush()
    listed, sent = [], []

    def door(request):
        if request.method == "GET" and request.path.endswith(scope):
            listed.append(request)
            if len(listed) > 3:
                return Response(400, body=b'{"message": "no more"}')
        if request.path.endswith("ingestion"):
            sent.extend(event["body"] for event in json.loads(request.body)["batch"])
        return store.send(request)

    with Interactive(transport=FakeTransport(door), dialect="public", clock=ManualClock(jumps=True)) as client:
        result = client.run_batched_evaluation(
            scope=scope, mapper=lambda item: {"input": 1, "output": 2}, evaluators=[lambda *, output: output], fetch_batch_size=3
        )

    assert not result.completed and result.total_scores_created == result.delivery.acknowledged == len(sent) > 0
    assert all(body.get("traceId") and bool(body.get("observationId")) is (scope == "observations") for body in sent)


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "\u2028", "\U0001f600"])
def test_text_that_utf_8_or_json_has_no_word_for_is_delivered(text):
    """C14: a lone surrogate must not stop the scores around it."""
    with Interactive.local() as client:
        span = client.start_span(name=f"s{text}", input=text).end()
        client.create_score(name="s", value=1, trace_id=span.trace_id, comment=text)
        client.create_score(name="s", value=text, trace_id=span.trace_id)

        assert client.flush().acknowledged == 3
