"""What the package logs: a line a record, of a bounded length, that no text from outside can forge or steer."""
from __future__ import annotations

import io
import logging

import pytest

from interactiveai_eval import propagate_attributes
from interactiveai_eval.transports.server import LocalServer

from .test_local_server import Failing, exchange, head

CONTROLS = "".join(map(chr, [*range(32), *range(127, 160)]))  # C0, DEL and C1
STEERS = "\x1b]0;title\x07\x9b31m\u202eevil\u2066\u200b\u2028\ud800"
HOSTILE = f"{CONTROLS}{STEERS}\r\nERROR:root:the disk is on fire"


@pytest.fixture
def log():
    """The lines that a handler has written so far, and the records behind them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    logger = logging.getLogger("interactiveai_eval")
    logger.addHandler(handler)
    yield lambda: stream.getvalue().split("\n")[:-1]
    logger.removeHandler(handler)


def named(name):
    def evaluator():
        raise ValueError(HOSTILE)

    evaluator.__name__ = name
    return evaluator


def raises(*_):
    raise RuntimeError(HOSTILE * 500)


def task(*, item):
    if item["input"] == 2:
        raise ValueError
    return HOSTILE


def assert_lines(lines, n):
    assert len(lines) == n
    for line in lines:
        assert line.startswith("WARNING:interactiveai_eval:") and len(line.encode()) <= 8 * 1024
        assert not set(line) & set(CONTROLS + "\u202e\u2066\u200b\u2028\ud800")


def test_what_failed_is_said_in_one_line_each_whatever_it_is_called(client, log):
    """SECURITY S45 and S46."""
    client.run_experiment(
        name=f"long {'n' * 20_000}{HOSTILE}",
        data=[{"input": 1}, {"input": 2}],
        task=task,
        task_retries=1,
        retry_on=raises,
        evaluators=[named(f"{number} {HOSTILE} {'e' * 1_000}") for number in range(30)],
        progress=raises,
    )
    with propagate_attributes(user_id="u" * 201 + HOSTILE):
        client.start_span(name=HOSTILE).end()

    lines = log()
    assert_lines(lines, 6)
    assert "failed; see result.item_failures" in lines[-3]
    assert lines[-2].endswith(" 1x and 20 more; see evaluator_failures of the items")


def test_a_defect_behind_the_local_server_is_one_line(log):
    with LocalServer(Failing(RuntimeError(HOSTILE * 500))) as server:
        exchange(server, head(server, f"GET /{'p' * 3_000} HTTP/1.1"))

    assert_lines(log(), 1)
    assert "more characters] failed: RuntimeError(" in log()[0]
