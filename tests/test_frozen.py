"""Serverless, for real: a process that is stopped the moment its call returns, and goes on when much has changed."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import socket

import pytest

from interactiveai_eval import Interactive, LocalServer, LocalTransport, TransportError
from interactiveai_eval.transports.server import DEFAULT_KEYS

from .programs import start
from .sockets import ScriptedServer, serving

# How many calls of each kind are stopped; by hand there have been a thousand.
STOPS = int(os.environ.get("STOPPED_CALLS", "4"))
ITEMS = 7
PROGRAM = """
import faulthandler, json, os, signal, sys
from interactiveai_eval import Interactive

def experiment(client, event, budget):
    data = [{"input": n} for n in range(7)]
    settings = {"name": "f", "data": data, "task": lambda item: item["input"], "experiment_id": event}
    return client.run_experiment(evaluators=[lambda *, output: output], time_budget=budget, **settings)

def batch(client, event, budget):
    mapper = lambda item: {"input": item.input, "output": item.output}
    settings = {"scope": "traces", "mapper": mapper, "run_id": event}
    return client.run_batched_evaluation(evaluators=[lambda *, output: output], time_budget=budget, **settings)

client = Interactive()
call = {"experiment": experiment, "batch": batch}[sys.argv[1]]
for event, budget in json.loads(sys.argv[2]):
    faulthandler.dump_traceback_later(30, exit=True)  # whoever waits for a stop waits no longer
    result = call(client, event, budget)
    os.kill(os.getpid(), signal.SIGSTOP)
    print(json.dumps([result.delivery.acknowledged, result.delivery.pending, result.completed]), flush=True)
client.close()
"""


class Function:
    """A process that handles events with time budgets, one call each, and is stopped the moment a call returns."""

    def __init__(self, url, kind, events):
        keys = dict(zip(("INTERACTIVEAI_PUBLIC_KEY", "INTERACTIVEAI_SECRET_KEY"), DEFAULT_KEYS))
        self._program = start(PROGRAM, kind, json.dumps(events), INTERACTIVEAI_BASE_URL=url, NO_PROXY="*", **keys)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._program.pid, signal.SIGKILL)
        self._program.communicate()

    def wait_for_stop(self):
        _, status = os.waitpid(self._program.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), self._program.communicate()

    def thaw(self):
        """Let it go on; what it says of the call that it was stopped after."""
        os.kill(self._program.pid, signal.SIGCONT)
        return json.loads(self._program.stdout.readline())


def ledger(transport):
    """How many (traces, scores) have arrived."""
    client = Interactive(transport=transport)
    return tuple(rows["meta"]["totalItems"] for rows in (client.api.traces(), client.api.scores()))


def filled():
    """A store with traces to evaluate."""
    transport = LocalTransport()
    client = Interactive(transport=transport)
    for number in range(ITEMS):
        client.start_span(name="made", input=number, output=number).end()
    assert client.flush().pending == 0
    return transport


@pytest.mark.parametrize(("kind", "traces"), [("experiment", ITEMS), ("batch", 0)])
def test_a_process_that_is_stopped_when_its_call_returns_has_delivered_all(kind, traces):
    """L48, L53: meanwhile the server is another one at the same place; each call works as the first one did."""
    with filled() as transport:
        server = LocalServer(transport)
        port = int(server.url.rpartition(":")[2])
        with Function(server.url, kind, [(f"event-{n}", None) for n in range(STOPS)]) as function:
            for call in range(1, STOPS + 1):
                function.wait_for_stop()
                arrived = ledger(transport)
                server.close()  # and with it the connections, of which the stopped process learns nothing
                server = LocalServer(transport, port=port)
                said = function.thaw()

                assert arrived == (ITEMS + traces * call, ITEMS * call)
                assert said == [2 * traces + ITEMS, 0, True]
            server.close()


@pytest.mark.parametrize(("kind", "traces"), [("experiment", ITEMS), ("batch", 0)])
def test_an_event_that_comes_twice_to_a_stopped_process_has_one_effect_on_a_server(kind, traces):
    """L51: at least once is what platforms promise."""
    with filled() as transport, LocalServer(transport) as server, Function(server.url, kind, [("event", None)] * 3) as function:
        for _ in range(3):
            function.wait_for_stop()

            assert ledger(transport) == (ITEMS + traces, ITEMS)
            assert function.thaw() == [2 * traces + ITEMS, 0, True]


def test_no_byte_is_sent_on_a_connection_that_was_closed_while_the_process_was_stopped():
    """The server has closed its half only, and would see what came."""
    peers, stale, came = [], [], []

    class Watching(ScriptedServer):
        def read(self, peer):
            peers.append(peer)
            found = super().read(peer)
            came.extend([found] if found and peer in stale else [])
            return found

    with filled() as transport, Watching(serving(transport)) as server:
        with Function(server.url, "batch", [("one", None), ("two", None)]) as function:
            function.wait_for_stop()
            stale += peers
            for peer in set(stale):
                peer.shutdown(socket.SHUT_WR)
            function.thaw()
            function.wait_for_stop()

            assert stale and came == []
            assert ledger(transport) == (ITEMS, 2 * ITEMS)


def test_what_a_stopped_process_has_not_delivered_its_result_called_pending():
    """The server takes no score until the thaw: ledger and result add up, and the event's second coming mends it."""
    ill = [True]

    class Ill(LocalTransport):
        def send(self, request):
            if ill and request.method == "POST" and "scores" in request.path:
                raise TransportError("not now", request=request)
            return super().send(request)

    with Ill() as transport, LocalServer(transport) as server:
        with Function(server.url, "experiment", [("event", 0.5), ("event", None)]) as function:
            function.wait_for_stop()
            traces, scores = ledger(transport)
            ill.clear()

            assert scores == 0 < traces and function.thaw()[:2] == [2 * traces, traces]
            function.wait_for_stop()
            assert ledger(transport) == (ITEMS, ITEMS) and function.thaw() == [3 * ITEMS, 0, True]
