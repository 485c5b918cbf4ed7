"""Code of the user's that begins in the middle of a delivery: garbage that is collected, signals that are handled."""
from __future__ import annotations

import json

import pytest

from interactiveai_eval import FakeTransport, Interactive, Response
from interactiveai_eval.running.parcels import Parcel

from .programs import run

TRACE = "0af7651916cd43dd8448eb211c80319c"

# A client whose server keeps the ids of all scores. A hang ends in a traceback.
BEGIN = f"""
import faulthandler, gc, json, signal, sys, threading
faulthandler.dump_traceback_later(20, exit=True)
from interactiveai_eval import FakeTransport, Interactive, Response, observe
TRACE = {TRACE!r}
arrived = []

def answer(request):
    arrived.extend(event["id"] for event in json.loads(request.body)["batch"])
    return Response(200, body=b"{{}}")

class Node:
    "Garbage: in a cycle, so that only a collection finds it."
    def __init__(self):
        self.me = self

def collect_elsewhere(n):
    "Each time another number of steps later."
    gc.set_threshold(5 + n % 97, 1, 1)
"""


def test_a_generator_that_ends_as_garbage_ends_its_span_wherever_that_happens():
    """On a thread that is handing in another span, or sends: it neither waits for itself nor is lost."""
    out = run(
        BEGIN
        + """
with Interactive.local() as client:
    @observe()
    def stream():
        while True:
            yield 1

    for n in range(3000):
        with client.start_as_current_span(name="request"):
            node = Node()
            node.stream = stream()
            next(node.stream)
            del node
    ended = 0
    while ended < 6000:  # a collection does nothing while another thread collects
        gc.collect()
        ended = client.flush().acknowledged
    print(ended)
"""
    )

    assert out == "6000\n"


@pytest.mark.parametrize("deed", ["pass", "n % 20 or client.flush()"])
def test_what_is_scored_as_it_is_destroyed_arrives(deed):
    out = run(
        BEGIN
        + f"""
with Interactive(transport=FakeTransport(answer), dialect="public") as client:
    gone = []

    class Resource(Node):
        def __del__(self):
            gone.append(1)
            client.create_score(name="dropped", value=1, trace_id=TRACE)
            {deed}

    for n in range(1000):
        collect_elsewhere(n)
        Resource()
        client.create_score(name="made", value=n, trace_id=TRACE)
    gc.set_threshold(700, 10, 10)
    while len(gone) < 1000:
        gc.collect()  # does nothing while another thread collects
    report = client.flush()
    print(report.acknowledged, report.pending, len(set(arrived)))
"""
    )

    assert out == "2000 0 2000\n"


def test_a_client_that_is_closed_by_garbage_on_a_thread_that_sends_for_it_delivers_all():
    out = run(
        BEGIN
        + """
client = Interactive(transport=FakeTransport(lambda request: close_it() or answer(request)), dialect="public")
closed = threading.Event()

def close_it():
    if not closed.is_set():
        closed.set()
        client.close()  # as the `__del__` of what owns the client would

client.create_score(name="first", value=1, trace_id=TRACE)
client.create_score(name="second", value=2, trace_id=TRACE)
client.flush()
threads = [each for each in threading.enumerate() if each.name.endswith("-sender")]
for each in threads:
    each.join()
print(len(set(arrived)))
"""
    )

    assert out == "2\n"


def test_a_signal_handler_may_flush_and_close_in_the_middle_of_a_score():
    """It gets the report as it is; what it interrupted goes on, and everything arrives."""
    out = run(
        BEGIN
        + """
client = Interactive(transport=FakeTransport(answer), dialect="public")
state = {"handled": 0, "inside": 0}

def inside():
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.endswith("outbox.py"):
            return True
        frame = frame.f_back
    return False

def handler(*_):
    state["handled"] += 1
    state["inside"] += inside()
    client.flush(timeout=60)

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
made = 0
while state["inside"] < 5:
    client.create_score(name="made", value=made, trace_id=TRACE)
    made += 1
signal.signal(signal.SIGALRM, lambda *_: client.close())
try:
    while True:
        client.create_score(name="made", value=made, trace_id=TRACE)
        made += 1
except Exception as closed:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(type(closed).__name__)
client.close()
print(made - len(set(arrived)))
"""
    )

    closed, missing = out.split()
    assert closed == "ClosedError" and int(missing) in (0, 1)  # the one that the last signal interrupted


def test_what_comes_as_an_outbox_is_closed_is_delivered_by_its_heir_or_said_to_be_lost(caplog):
    sent = []

    def answer(request):
        sent.extend(event["id"] for event in json.loads(request.body)["batch"])
        return Response(200, body=b"{}")

    def late(id):
        body = {"id": id, "traceId": TRACE, "name": "s", "value": 1, "timestamp": "2026-01-01T00:00:00Z"}
        return Parcel(scores=[body])

    with Interactive(transport=FakeTransport(answer), dialect="public") as client:
        of_run = client._delivery.outbox_of_run()
        of_run.close()
        of_run.put(late("inherited"))
        assert client.flush().acknowledged == 1

        alone = client._delivery.new_outbox()
        alone.close()
        alone.put(late("too late"))

    assert sent == ["inherited"]
    assert "a client was closed before one of its scores ended: too late is not delivered" in caplog.text
