"""`progress=`: how far a run is, told to a function or on stderr, never at the cost of the run."""
from __future__ import annotations

import sys

import pytest

from interactiveai_eval import Interactive
from interactiveai_eval.running.progress import ProgressDetails
from interactiveai_eval.testing import ManualClock

from .programs import run


def numbers(n):
    return [{"input": i} for i in range(n)]


def fails_at_one(*, item):
    if item["input"] == 1:
        raise ValueError


def test_a_function_is_called_after_every_item(client):
    seen = []

    client.run_experiment(name="p", data=numbers(3), task=fails_at_one, progress=seen.append, max_concurrency=1)

    assert [(d.name, d.done, d.failed, d.total) for d in seen] == [("p", 1, 0, 3), ("p", 2, 1, 3), ("p", 3, 1, 3)]


def test_the_total_counts_repetitions_and_is_unknown_for_generators(client):
    seen = []

    client.run_experiment(name="p", data=numbers(2), task=fails_at_one, repetitions=2, progress=seen.append)
    client.run_experiment(name="p", data=iter(numbers(1)), task=fails_at_one, progress=seen.append)

    assert [details.total for details in seen] == [4, 4, 4, 4, None]


def test_a_hook_that_raises_is_told_once_and_the_run_goes_on(client, caplog):
    calls = []

    def hook(details):
        calls.append(details)
        raise RuntimeError("no display")

    result = client.run_experiment(name="p", data=numbers(5), task=lambda item: 1, progress=hook)

    assert len(result.item_results) == 5 and len(calls) == 1
    assert caplog.messages == ["progress hook raised RuntimeError: no display; it is not called again"]


def test_true_writes_lines_on_stderr_where_that_is_no_terminal(client, capsys):
    client.run_experiment(name="night\x1b[31m\u00e9", data=numbers(4), task=fails_at_one, progress=True)

    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and lines[-1].startswith("night?[31m?: 4/4 items, 1 failed, ")
    assert len(lines) == 2  # the first, and the last


def test_a_line_is_made_of_what_can_be_seen_and_has_an_end(client, capsys):
    """SECURITY S45 and S46."""
    client.run_experiment(name="\x7f\x9b\r\n" + "n" * 20_000, data=numbers(1), task=fails_at_one, progress=True)

    _, last = capsys.readouterr().err.splitlines()
    assert last.startswith("????nnn") and last.isprintable() and len(last) < 8 * 1024


class Terminal:
    """A stream that says it is a terminal."""

    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_on_a_terminal_one_line_is_rewritten(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    clock = ManualClock()

    with Interactive.local(clock=clock) as client:
        client.run_experiment(
            name="p", data=numbers(3), task=lambda item: clock.advance(1), progress=True, max_concurrency=1
        )

    assert terminal.text == (
        "\rp: 1/3 items, 1.0/s, 0:02 left\rp: 2/3 items, 1.0/s, 0:01 left"
        "\rp: 3/3 items, 1.0/s           \rp: 3/3 items, 1.0/s\n"
    )


def test_the_line_has_running_means(client, capsys):
    client.run_experiment(
        name="p",
        data=numbers(4),
        task=fails_at_one,
        evaluators=[lambda *, input: {"name": "even", "value": input % 2 == 0}, lambda: {"name": "tone", "value": "warm"}],
        progress=True,
    )

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("p: 4/4 items, 1 failed, ") and last.endswith("/s, even 0.667")


def test_a_long_line_is_cut_so_that_it_can_be_written_over(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Interactive.local() as client:
        client.run_experiment(name="p" * 200, data=numbers(1), task=fails_at_one, progress=True)

    assert [len(line) for line in sys.stderr.text.strip("\r\n").split("\r")] == [79, 79]


@pytest.mark.parametrize(
    ("total", "done", "elapsed", "rest"),
    [(None, 3, 2.0, ""), (10, 0, 2.0, ""), (10, 1, 0.0, ""), (8, 2, 1.0, ", 0:03 left"), (100, 1, 100.0, ", 2:45:00 left")],
)
def test_the_rest_is_guessed_from_the_pace(total, done, elapsed, rest):
    details = ProgressDetails(name="x", done=done, failed=0, total=total, elapsed_seconds=elapsed)

    assert str(details).partition("/s")[2] == rest


@pytest.mark.parametrize("stream", ["sys.stderr = None", "sys.stderr.close()"])
def test_a_missing_stderr_is_no_error(stream):
    program = f"""
    import sys
    from interactiveai_eval import Interactive

    {stream}
    with Interactive.local() as client:
        result = client.run_experiment(name="p", data=[{{"input": 1}}] * 3, task=lambda item: 1, progress=True)
    print(len(result.item_results))
    """
    assert run(program) == "3\n"


def test_details_read_as_one_line():
    details = ProgressDetails(name="x", done=3, failed=0, total=None, elapsed_seconds=2.0)

    assert str(details) == "x: 3 items, 1.5/s"


def test_data_that_cannot_tell_its_length_has_no_total(client):
    class Data(list):
        def __len__(self):
            raise ConnectionError("no count without the server")

    told = []
    client.run_experiment(
        name="n", data=Data([{"input": 1}]), task=lambda item: 1, progress=lambda details: told.append(details.total)
    )

    assert told == [None]
