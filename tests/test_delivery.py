"""Delivery: everything handed in is acknowledged, pending, rejected or skipped, by name; nothing is dropped."""
from __future__ import annotations

import json
import math
import signal
import threading

import pytest

from interactiveai_eval import (
    ApiError,
    Evaluation,
    FakeTransport,
    Interactive,
    RecordTransport,
    Response,
    RetryTransport,
    TransportError,
)
from interactiveai_eval.testing import ManualClock
from interactiveai_eval.transports.base import Transport
from interactiveai_eval.transports.local import LocalTransport

from .programs import run as run_program
from .programs import start


class Store(Transport):
    """An embedded store behind a door: `door(request)` may answer, raise, or let the request through (None)."""

    def __init__(self, door):
        self.inner = LocalTransport()
        self.door = door
        self.requests = []

    def send(self, request):
        self.requests.append(request)
        return self.door(request) or self.inner.send(request)


def numbers(n):
    return [{"input": i, "expected_output": i} for i in range(n)]


def run(transport, n=20, **arguments):
    clock = ManualClock(jumps=True)
    with Interactive(transport=transport, dialect="public", clock=clock) as client:
        given = {"name": "d", "data": numbers(n), "task": lambda item: item["input"], "evaluators": [exact]}
        return client.run_experiment(**{**given, **arguments})


def exact(*, output, expected_output):
    return output == expected_output


def is_spans(request):
    return request.path.endswith("/otel/v1/traces")


def is_scores(request):
    return request.path.endswith("/ingestion")


def totals(report):
    return report.acknowledged, report.pending, report.rejected, report.skipped


@pytest.mark.parametrize("dialect", ["platform", "public"])
@pytest.mark.parametrize("wrapped", ["itself", "retried", "recorded"])
def test_a_transport_that_has_no_more_than_send_and_close_delivers_everything(tmp_path, wrapped, dialect):
    class Bare:
        def __init__(self):
            self.store = LocalTransport()

        def send(self, request):
            return self.store.send(request)

        def close(self):
            self.store.close()

    transport = Bare()
    if wrapped == "retried":
        transport = RetryTransport(transport)
    if wrapped == "recorded":
        transport = RecordTransport(transport, tmp_path / "recording.jsonl")
    with Interactive(transport=transport, dialect=dialect, clock=ManualClock(jumps=True)) as client:
        result = client.run_experiment(
            name="bare", data=numbers(5), task=lambda item: item["input"], evaluators=[exact], experiment_id="e"
        )
        assert totals(result.delivery) == (15, 0, 0, 0)
        assert client.api.scores()["meta"]["totalItems"] == 5
    transport.close()


def test_everything_that_arrives_is_acknowledged_and_counted_by_kind():
    report = run(LocalTransport()).delivery

    assert totals(report) == (60, 0, 0, 0) and report.problems == []
    assert report.by_kind["spans"]["acknowledged"] == 40 and report.by_kind["scores"]["acknowledged"] == 20


def test_a_server_that_answers_never_leaves_everything_pending_with_the_reason():
    def nobody(request):
        raise TransportError("connection refused by example.test:443")

    result = run(Store(nobody))

    assert totals(result.delivery) == (0, 60, 0, 0) and len(result.item_results) == 20
    assert {problem.state for problem in result.delivery.problems} == {"pending"}
    assert len({problem.id for problem in result.delivery.problems}) == 60
    assert result.delivery.problems[0].reason == "connection refused by example.test:443"


@pytest.mark.parametrize("kind", [is_spans, is_scores])
def test_what_is_refused_for_now_is_tried_again_at_the_end(kind):
    refused = []

    def door(request):
        if kind(request) and not refused:
            refused.append(request)
            return Response(503, body=b'{"message": "later"}')
        return None

    assert totals(run(Store(door)).delivery) == (60, 0, 0, 0) and len(refused) == 1


def test_one_bad_span_is_rejected_and_takes_no_other_along():
    """The reference drops the whole batch (D45)."""

    def door(request):
        if is_spans(request) and b"poison" in request.body:
            return Response(400, body=b'{"error": "this span cannot be read"}')
        return None

    result = run(Store(door), data=[{"input": "poison" if i == 7 else "fine"} for i in range(20)], evaluators=[])

    assert totals(result.delivery) == (19, 0, 1, 0)
    (problem,) = result.delivery.problems
    assert (problem.kind, problem.state, problem.item_id) == ("spans", "rejected", result.item_results[7].item_id)
    assert "this span cannot be read" in problem.reason


def test_one_bad_score_is_rejected_by_name():
    def judge(*, output):
        return Evaluation(name="bad" if output == 3 else "good", value=1)

    def door(request):
        if not is_scores(request):
            return None
        events = json.loads(request.body)["batch"]
        errors = [{"id": e["id"], "status": 400, "message": "no"} for e in events if e["body"]["name"] == "bad"]
        return Response(207, body=json.dumps({"successes": [], "errors": errors}).encode())

    result = run(Store(door), evaluators=[judge])

    assert result.delivery.by_kind["scores"] == {"acknowledged": 19, "pending": 0, "rejected": 1, "skipped": 0}
    assert result.delivery.problems[0].item_id == result.item_results[3].item_id


def test_an_answer_that_is_not_of_this_service_is_no_acknowledgement():
    """A captive portal answers 200 to everything."""

    def portal(request):
        return Response(200, headers={"content-type": "text/html"}, body=b"<html>Please log in</html>")

    result = run(Store(lambda request: portal(request) if is_scores(request) else None))

    assert result.delivery.by_kind["scores"]["acknowledged"] == 0
    assert "not an answer of this service" in result.delivery.problems[0].reason


@pytest.mark.parametrize(
    "value, reason",
    [
        (math.nan, "value is nan"),
        (math.inf, "value is inf"),
        (-math.inf, "value is -inf"),
        (2**53 + 1, "value 9007199254740993 has no exact form as a double"),
        (10**400, "value is larger than any number that servers take"),
    ],
)
def test_values_that_no_server_keeps_are_skipped_with_the_reason_and_stay_in_the_result(value, reason):
    """In the reference they arrive as the text "NaN", rounded, or not at all, and count as created (D52)."""
    result = run(LocalTransport(), n=1, evaluators=[lambda *, output: Evaluation(name="odd", value=value)])

    assert result.delivery.by_kind["scores"] == {"acknowledged": 0, "pending": 0, "rejected": 0, "skipped": 1}
    assert result.delivery.problems[0].reason == f"odd: {reason}"
    kept = result.item_results[0].evaluations[0].value
    assert kept == value or (kept != kept and value != value)


def test_an_evaluation_without_a_value_is_neither_sent_nor_counted():
    result = run(LocalTransport(), n=3, evaluators=[lambda *, output: Evaluation(name="none", value=None)])

    assert "scores" not in result.delivery.by_kind and result.evaluator_stats[0].total_scores_created == 0


@pytest.mark.parametrize(
    "value, sent, data_type",
    [
        (True, 1.0, "BOOLEAN"),
        (False, 0.0, "BOOLEAN"),
        (0.5, 0.5, "NUMERIC"),
        (3, 3.0, "NUMERIC"),
        (2**60, float(2**60), "NUMERIC"),
        ("good", "good", "CATEGORICAL"),
        ("NaN", "NaN", "CATEGORICAL"),
    ],
)
def test_the_type_of_a_score_is_that_of_its_value(value, sent, data_type):
    store = LocalTransport()
    run(store, n=1, evaluators=[lambda *, output: {"name": "v", "value": value, "comment": "c", "metadata": [1]}])

    with Interactive(transport=store, dialect="public") as client:
        (score,) = client.api.scores()["data"]
    assert (score["stringValue"] if data_type == "CATEGORICAL" else score["value"]) == sent
    assert (score["dataType"], score["comment"], score["metadata"]) == (data_type, "c", {"metadata": [1]})
    assert score["traceId"] and score["observationId"] and score["environment"] == "sdk-experiment"


def test_a_slow_server_holds_the_run_back_and_loses_nothing():
    """The reference drops spans beyond a queue of 2048 (D44)."""
    opened, blocked = threading.Event(), threading.Event()
    done = []

    def door(request):
        blocked.set()
        assert opened.wait(20)

    def look(outcome):
        done.append(outcome.index)
        if len(done) == 1500:  # far enough: nothing has been delivered, and the run cannot get away
            threading.Timer(0.05, lambda: held.append(len(done)) or opened.set()).start()

    held = []
    result = run(Store(door), n=5000, on_result=look, max_concurrency=8)

    assert blocked.is_set() and held[0] < 2500
    assert totals(result.delivery) == (15000, 0, 0, 0) and len(result.item_results) == 5000


def test_flush_at_bounds_what_goes_out_at_once_and_delivery_begins_while_the_run_goes_on():
    store, first = Store(lambda request: None), []

    def task(*, item):
        if item["input"] == 60:
            first.append(len(store.requests))
        return item["input"]

    with Interactive(transport=store, dialect="public", flush_at=30) as client:
        client.run_experiment(
            name="d", data=numbers(61), task=task, evaluators=[exact], max_concurrency=1, rate_limit=2000
        )

    batches = [len(json.loads(r.body)["batch"]) for r in store.requests if is_scores(r)]
    assert max(batches) == 30 and sum(batches) == 61 and first[0] > 0


def test_large_outputs_are_spread_over_requests():
    """Forty outputs of 300 kB: no request grows without bound."""
    store = Store(lambda request: None)

    result = run(store, n=40, task=lambda item: "x" * 300_000, evaluators=[])

    sizes = [len(request.body) for request in store.requests if is_spans(request)]
    assert totals(result.delivery) == (40, 0, 0, 0) and len(sizes) > 3 and max(sizes) < 4_000_000


def test_a_transport_that_breaks_loses_nothing():
    """Whatever a transport of the user's raises or returns, what it was given is kept and told."""

    def broken(request):
        return {"not": "a response"}

    result = run(Store(broken))

    assert totals(result.delivery) == (0, 60, 0, 0)
    assert "'dict' object has no attribute" in result.delivery.problems[0].reason


# -- links -------------------------------------------------------------------------------------------------------------


def dataset_run(door, n=4, **arguments):
    store = Store(door)
    with Interactive(transport=store, dialect="public", clock=ManualClock(jumps=True)) as client:
        client.create_dataset(name="qa")
        for i in range(n):
            client.create_dataset_item(dataset_name="qa", id=f"i{i}", input=i, expected_output=i)
        return client.get_dataset("qa").run_experiment(
            name="d", run_name="r", task=lambda item: item.input, evaluators=[exact], max_concurrency=1, **arguments
        )


def test_a_link_that_fails_is_tried_again():
    failing = [503, 429]

    def door(request):
        if request.path.endswith("dataset-run-items") and failing:
            return Response(failing.pop(0), body=b"{}")
        return None

    result = dataset_run(door)

    assert result.delivery.by_kind["links"] == {"acknowledged": 4, "pending": 0, "rejected": 0, "skipped": 0}


def test_an_item_that_cannot_be_linked_is_run_and_reported_and_the_run_keeps_its_id():
    """In the reference one failed link of the first item loses the id and all run-level scores (D25)."""

    def door(request):
        if request.path.endswith("dataset-run-items") and b'"i3"' in request.body:
            return Response(400, body=b'{"message": "no such item"}')
        return None

    result = dataset_run(door, run_evaluators=[lambda *, item_results: len(item_results)])

    assert result.item_results[0].item_id == "i3"  # newest first: the server's order
    assert [item.dataset_run_id is None for item in result.item_results] == [True, False, False, False]
    assert result.dataset_run_id is not None and result.dataset_run_url.endswith(result.dataset_run_id)
    assert result.delivery.by_kind["links"] == {"acknowledged": 3, "pending": 0, "rejected": 1, "skipped": 0}
    (problem,) = result.delivery.problems
    assert (problem.kind, problem.item_id) == ("links", "i3") and "no such item" in problem.reason


# -- outside of runs ---------------------------------------------------------------------------------------------------


def test_flush_reports_what_was_queued_outside_of_runs():
    with Interactive.local() as client:
        for i in range(130):
            client.create_score(name="s", value=i, trace_id="a" * 32)
        client.create_score(name="s", value=math.nan, trace_id="a" * 32)
        with client.start_as_current_span(name="work"):
            pass

        report = client.flush(timeout=10)

    assert totals(report) == (131, 0, 0, 1)


def test_flush_ends_in_time_when_the_server_does_not_answer():
    release = threading.Event()
    server = FakeTransport(lambda request: Response(200 if release.wait(20) else 500, body=b'{"errors": []}'))
    client = Interactive(transport=server, dialect="public")
    for i in range(600):
        client.create_score(name="s", value=i, trace_id="a" * 32)

    report = client.flush(timeout=0.05)
    release.set()
    client.close()

    assert report.pending > 0


def test_a_flush_that_runs_out_of_time_counts_what_is_on_its_way():
    release, begun = threading.Event(), threading.Event()

    def answer(request):
        begun.set()
        return Response(200 if release.wait(20) else 500, body=b'{"errors": []}')

    client = Interactive(transport=FakeTransport(answer), dialect="public", flush_at=2)
    for i in range(2):
        client.create_score(name="s", value=i, trace_id="a" * 32)
    assert begun.wait(10)
    client.create_score(name="s", value=2, trace_id="a" * 32)

    report = client.flush(timeout=0.05)
    release.set()
    client.close()

    assert totals(report) == (0, 3, 0, 0) and len(report.problems) == 3


def answering(body, status=207):
    """A store whose score endpoint says `body` to everything."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Store(lambda request: Response(status, body=payload) if is_scores(request) else None)


@pytest.mark.parametrize(
    "answer, state",
    [
        (b"", "acknowledged"),
        ({}, "acknowledged"),
        ({"anything": "else"}, "acknowledged"),
        ({"successes": [], "errors": []}, "acknowledged"),
        ({"successes": [], "errors": [{"id": None, "message": "no"}]}, "pending"),
        ({"successes": [], "errors": [{"id": 5, "message": "no"}]}, "pending"),
        ({"successes": [{"id": "of somebody else", "status": 201}], "errors": []}, "pending"),
        (b"[]", "pending"),
        (b"<html>", "pending"),
    ],
)
def test_what_a_batch_of_scores_is_answered_decides_what_has_arrived(answer, state):
    """Any 2xx without a word or with an object is an acknowledgement, unless it is about something else."""
    result = run(answering(answer), 3)

    counts = dict.fromkeys(("acknowledged", "pending", "rejected", "skipped"), 0)
    assert result.delivery.by_kind["scores"] == {**counts, state: 3}


@pytest.mark.parametrize(
    "answer, state",
    [(b"", "acknowledged"), (b"{}", "acknowledged"), (b'{"data": {"id": "another"}}', "pending"), (b"[]", "pending")],
)
def test_on_the_platform_a_score_that_is_answered_with_another_id_has_not_arrived(answer, state):
    def platform(request):
        if request.method == "GET":
            return Response(200, body=b'{"data": [{"id": "proj", "orgId": "org"}]}')
        return Response(200, body=answer)

    with Interactive(transport=FakeTransport(platform)) as client:
        client.create_score(name="s", value=1, trace_id="t", score_id="mine")
        report = client.flush()

    counts = dict.fromkeys(("acknowledged", "pending", "rejected", "skipped"), 0)
    assert report.by_kind == {"scores": {**counts, state: 1}}


def test_a_web_page_is_no_acknowledgement_of_spans():
    result = run(Store(lambda request: Response(200, body=b" <!DOCTYPE html>") if is_spans(request) else None))

    assert result.delivery.by_kind["spans"]["acknowledged"] == 0
    assert "a web page, not an answer of this service" in result.delivery.problems[0].reason


def test_a_refusal_tells_all_that_the_server_said():
    with Interactive.local() as client:
        with pytest.raises(ApiError, match=r"Invalid request data: limit: .*expected a whole number from 1 to 100"):
            client.api.traces(limit=101)


WORKER = """
    import multiprocessing, sys
    from interactiveai_eval import Interactive

    def work(path):
        client = Interactive.local(path)
        client.start_span(name="in the worker").end()
        global kept
        kept = client  # nobody closes or flushes it

    if __name__ == "__main__":
        process = multiprocessing.get_context("fork").Process(target=work, args=(sys.argv[1],))
        process.start()
        process.join()
        print([trace["name"] for trace in Interactive.local(sys.argv[1]).api.traces()["data"]])
"""


def test_a_worker_of_multiprocessing_delivers_at_its_end(tmp_path):
    """Such processes end without their `atexit` functions."""
    assert run_program(WORKER, str(tmp_path / "eval.db")) == "['in the worker']\n"


@pytest.mark.parametrize("ending", ["time budget", "interrupt"])
def test_a_run_that_is_held_back_by_a_server_that_hangs_can_be_ended(ending):
    """Items wait for room in the queue, which nobody empties; the end of the run lets them go."""
    opened, stopped, late = threading.Event(), threading.Event(), []
    stopper = threading.Timer(1.0, stopped.set)

    def door(request):
        if is_spans(request) and not opened.wait(25):
            late.append(request)

    def task(*, item):
        if ending == "interrupt" and item["input"] == 1000:
            stopper.start()
        return item["input"]

    def evaluator(*, output):
        if ending == "interrupt" and output == 500:  # one that is under way while the others wait for room
            assert stopped.wait(20)
            raise KeyboardInterrupt
        return 1

    budget = 1.5 if ending == "time budget" else None
    with Interactive(transport=Store(door), dialect="public") as client:
        try:
            result = client.run_experiment(
                name="held",
                data=numbers(20_000),
                task=task,
                evaluators=[evaluator],
                max_concurrency=8,
                time_budget=budget,
            )
        except KeyboardInterrupt as interrupted:
            result = interrupted.result
        opened.set()

    assert not late and not result.completed and result.delivery.pending > 0
    assert len(result.item_results) + len(result.item_failures) < 20_000


INTERRUPTED_FLUSH = """
    import threading
    from interactiveai_eval import Interactive
    from interactiveai_eval.transports.base import Transport
    from interactiveai_eval.transports.local import LocalTransport

    class Hanging(Transport):
        def __init__(self):
            self.inner = LocalTransport()

        def send(self, request):
            if "otel" in request.path:
                print("flushing", flush=True)
                threading.Event().wait(100)
            return self.inner.send(request)

    client = Interactive(transport=Hanging(), dialect="public")
    try:
        client.run_experiment(name="flush", data=[{"input": 1}], task=lambda item: 1)
    except KeyboardInterrupt as stop:
        print(len(stop.result.item_results), stop.result.completed, stop.result.delivery.pending, flush=True)
    import os
    os._exit(0)
"""


def test_an_interrupt_during_the_last_delivery_shortens_it():
    program = start(INTERRUPTED_FLUSH)
    assert program.stdout.readline() == "flushing\n"
    threading.Event().wait(0.3)  # the item's span is on its way; the run is over but for that
    program.send_signal(signal.SIGINT)

    try:
        out, err = program.communicate(timeout=20)
    finally:
        program.kill()

    assert out == "1 True 1\n", err
