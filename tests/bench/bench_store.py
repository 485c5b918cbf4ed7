"""What the embedded store costs: python tests/bench/bench_store.py [rounds]. Prints a table; CI never runs it."""
from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import deque

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from interactiveai_eval.tracing.otlp import SharedAttributes, encode_export, encode_span
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport
from interactiveai_eval.transports.local.otlp_reader import read_protobuf

SPANS, SCORES = 512, 100
SHARED = {
    "langfuse.environment": "sdk-experiment",
    "langfuse.observation.type": "span",
    "langfuse.experiment.id": "run-86735ebd9638",
    "langfuse.experiment.name": "capitals - 2026-11-22T20:26:08.182000Z",
    "langfuse.experiment.metadata": '{"model": "m"}',
    "langfuse.observation.metadata.experiment_name": "capitals",
}


class Span:
    """What the encoder wants."""

    events = ()
    error_message = None


def export(number: int, spans_in_trace: int) -> bytes:
    """One export of 512 spans with 12 attributes, 6 of them equal on all."""
    shared = (SharedAttributes(SHARED),)
    encoded = []
    for i in range(SPANS):
        span = Span()
        root = i % spans_in_trace == 0
        span.id = os.urandom(8).hex()
        if root:
            trace_id, root_id = os.urandom(16).hex(), span.id
        span.trace_id, span.parent_id = trace_id, None if root else root_id
        span.name = "experiment-item-run" if root else "evaluator"
        span.start_ns = 1_760_000_000_000_000_000 + (number * SPANS + i) * 1_000_000
        span.end_ns = span.start_ns + 5_123_456
        span.shared = shared
        span.attributes = {
            "langfuse.observation.input": f'{{"question": "What is the capital of country {i}?"}}',
            "langfuse.observation.output": f"The capital of country {i} is town {i}.",
            "langfuse.observation.metadata.row": i,
            "langfuse.experiment.item.id": f"item-{number}-{i}",
            "langfuse.experiment.item.expected_output": f"town {i}",
            "langfuse.experiment.item.root_observation_id": root_id,
        }
        encoded.append(encode_span(span))
    resource = {"service.name": "bench", "telemetry.sdk.language": "python"}
    return encode_export(encoded, resource=resource, scope_name="bench", scope_version="1", scope_attributes={})


def score_batch(number: int) -> bytes:
    """One ingestion batch of 100 scores."""
    moment = "2026-11-22T20:25:27.%06dZ"
    events = []
    for i in range(SCORES):
        body = {
            "id": os.urandom(8).hex(), "traceId": os.urandom(16).hex(), "observationId": os.urandom(8).hex(),
            "name": "accuracy", "value": 1.0, "comment": f"as expected {i}", "metadata": {"k": i},
            "dataType": "NUMERIC", "environment": "sdk-experiment", "timestamp": moment % (number * SCORES + i),
        }  # fmt: skip
        event = {"id": os.urandom(16).hex(), "type": "score-create", "timestamp": moment % i, "body": body}
        events.append(event)
    return json.dumps({"batch": events}).encode()


def measured(title: str, unit: str, each: int, bodies: list[bytes], work) -> None:
    """Print the best and the middle time of `work(body)`, in microseconds a unit."""
    times = []
    for body in bodies:
        start = time.process_time()
        work(body)
        times.append((time.process_time() - start) / each * 1e6)
    times.sort()
    print(f"{title:<52} {times[0]:8.2f} {times[len(times) // 2]:8.2f}  us CPU a {unit}")


def posting(store: LocalTransport, path: str, content_type: str):
    """A function that posts a body and expects it to be taken."""

    def post(body: bytes) -> None:
        response = store.send(Request("POST", path, headers={"content-type": content_type}, body=body))
        assert response.status in (200, 207) and b'"status": 400' not in response.body, response.body[:300]

    return post


def reading(store: LocalTransport, path: str, **query: str):
    """A function that gets a list."""

    def get(_: bytes) -> None:
        response = store.send(Request("GET", f"/api/public/{path}", query=tuple(query.items())))
        assert response.status == 200, response.body[:300]

    return get


def main(rounds: int) -> None:
    """Measure in memory, then in a file."""
    print(f"Python {sys.version.split()[0]}{'':<40} {'best':>8} {'middle':>8}")
    flat = [export(i, 1) for i in range(rounds)]
    deep = [export(i, 4) for i in range(rounds)]
    scores = [score_batch(i) for i in range(rounds)]
    measured("decoding alone", "span", SPANS, flat, lambda body: deque(read_protobuf(body), 0))
    with tempfile.TemporaryDirectory() as folder:
        for place in ("memory", "file"):

            def fresh(name: str, place: str = place) -> LocalTransport:
                return LocalTransport(None if place == "memory" else os.path.join(folder, name))

            with fresh("deep") as store:
                spans = posting(store, "/api/public/otel/v1/traces", "application/x-protobuf")
                measured(f"{place}: exports, traces of 4 spans", "span", SPANS, deep, spans)
            with fresh("flat") as store:
                spans = posting(store, "/api/public/otel/v1/traces", "application/x-protobuf")
                measured(f"{place}: exports, every span a trace", "span", SPANS, flat, spans)
                post = posting(store, "/api/public/ingestion", "application/json")
                measured(f"{place}: batches of 100 scores", "score", SCORES, scores, post)
                condition = {"type": "arrayOptions", "column": "tags", "operator": "none of", "value": ["x"]}
                for title, path, query in (
                    ("a page of traces", "traces", {"limit": "100"}),
                    ("a page of traces, core only", "traces", {"limit": "100", "fields": "core"}),
                    ("a page of filtered traces", "traces", {"limit": "100", "filter": json.dumps([condition])}),
                    ("a page of observations", "observations", {"limit": "100"}),
                ):
                    measured(f"{place}: {title}", "row", 100, flat, reading(store, path, **query))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
