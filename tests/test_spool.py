"""The spool: what could not be delivered waits in a folder, and is delivered later, or elsewhere, with the same ids."""
from __future__ import annotations

import errno
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from interactiveai_eval import ArgumentError, FakeTransport, Interactive, LocalServer, Response, TransportError
from interactiveai_eval.cli import main
from interactiveai_eval.testing import ManualClock, recorded_spans
from interactiveai_eval.transports.base import Transport
from interactiveai_eval.transports.local import LocalTransport

from .programs import run as run_program
from .test_local_transport import as_nobody

SECRET = "sk-very-secret"


class Server(Transport):
    """An embedded store that can be down."""

    def __init__(self):
        self.inner = LocalTransport()
        self.up = False
        self.calls = 0

    def send(self, request):
        self.calls += 1
        if not self.up:
            raise TransportError("connection refused by example.test:443")
        return self.inner.send(request)


def client_of(server, folder, **settings):
    return Interactive(
        transport=server, dialect="public", spool=folder, clock=ManualClock(jumps=True), secret_key=SECRET, **settings
    )


def keep(folder, server=None, *, scores=3, **settings):
    """Leave a span and some scores in the spool."""
    with client_of(server or Server(), folder, **settings) as client:
        span = client.start_span(name="work").end()
        for i in range(scores):
            client.create_score(name="s", value=i, trace_id=span.trace_id, score_id=f"score-{i}")


def files(folder):
    return sorted(folder.iterdir())


def lines(folder):
    return [json.loads(line) for file in files(folder) for line in file.read_text("ascii").splitlines()]


def deliver(capsys, *arguments):
    code = main(["spool", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_what_could_not_be_delivered_is_in_the_spool_and_pending_in_the_report(tmp_path):
    folder = tmp_path / "spool"
    with client_of(Server(), folder) as client:
        result = client.run_experiment(
            name="away", data=[{"input": i} for i in range(4)], task=lambda item: 1, evaluators=[lambda *, output: output]
        )

    assert (result.delivery.pending, result.delivery.acknowledged) == (12, 0)
    assert {problem.reason for problem in result.delivery.problems} == {
        f"connection refused by example.test:443; kept in the spool {folder}"
    }
    kept = [(line["kind"], line["id"]) for line in lines(folder)[1:]]
    assert sorted(kept) == sorted((problem.kind, problem.id) for problem in result.delivery.problems)


def test_a_file_with_what_a_run_left_goes_once_a_later_flush_has_delivered_it(tmp_path):
    server, folder = Server(), tmp_path / "spool"
    with client_of(server, folder) as client:
        result = client.run_experiment(
            name="away", data=[{"input": 1}], task=lambda item: 1, evaluators=[lambda *, output: output]
        )
        assert result.delivery.pending == 3 and len(files(folder)) == 1
        client.flush()
        assert len(lines(folder)) == 1 + 3  # kept once

        server.up = True
        report = client.flush()

        assert (report.acknowledged, report.pending, files(folder)) == (3, 0, [])


def test_a_spool_file_can_be_read_by_people_and_by_its_owner_alone(tmp_path):
    keep(tmp_path, environment="staging", release="v7", scores=1)

    (file,) = files(tmp_path)
    header, span, score = lines(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.suffix == ".jsonl"
    assert header == {
        "format": "interactiveai_eval spool",
        "version": 1,
        "made": header["made"],
        "server": "https://app.interactive.ai",
        "environment": "staging",
        "release": "v7",
        "events": 2,
    }
    assert span["kind"] == "spans" and len(span["id"]) == 16 and len(span["trace_id"]) == 32
    assert (score["kind"], score["id"]) == ("scores", "score-0") and score["body"]["value"] == 0


def test_what_is_said_at_the_end_tells_where_it_is(tmp_path, caplog):
    keep(tmp_path)

    assert caplog.messages == [
        f"Interactive('https://app.interactive.ai', closed): 4 scores and spans could not be delivered; they are in the spool {tmp_path}"
    ]


def test_a_folder_that_a_spool_makes_is_its_owners_alone(tmp_path):
    keep(tmp_path / "deep" / "spool")

    assert stat.S_IMODE((tmp_path / "deep" / "spool").stat().st_mode) == 0o700


def test_no_secret_is_in_a_spool(tmp_path):
    keep(tmp_path, additional_headers={"x-token": "very-secret-token"})

    text = "".join(file.read_text() for file in files(tmp_path))
    assert SECRET not in text and "very-secret-token" not in text


def test_a_spool_is_delivered_elsewhere_with_the_ids_that_it_has(tmp_path, capsys):
    """The air gap: the folder is carried to another machine. What is there afterwards is what would have been."""
    folder, store = tmp_path / "spool", tmp_path / "store.db"
    run = {
        "name": "away",
        "data": [{"input": i} for i in range(4)],
        "task": lambda item: item["input"],
        "evaluators": [lambda *, output: output],
        "experiment_id": "e" * 32,
    }
    with client_of(Server(), folder, environment="staging") as client:
        client.run_experiment(**run)
        client.start_span(name="beside").end()
    with Interactive.local(clock=ManualClock(jumps=True), environment="staging") as undisturbed:
        undisturbed.run_experiment(**run)
        expected = sorted(score["id"] for score in undisturbed.api.scores(limit=100)["data"])
        traces = sorted(trace["id"] for trace in undisturbed.api.traces(limit=100)["data"])

    code, out, _ = deliver(capsys, "send", folder, "--store", store)

    assert (code, out) == (0, "delivered 9 spans, 4 scores, 0 links\n")
    assert files(folder) == []
    with Interactive.local(store) as client:
        assert sorted(score["id"] for score in client.api.scores(limit=100)["data"]) == expected
        assert set(traces) < {trace["id"] for trace in client.api.traces(limit=100)["data"]}
        assert {span["environment"] for span in recorded_spans(client)} == {"sdk-experiment", "staging"}


def test_delivering_twice_lands_once(tmp_path, capsys):
    keep(tmp_path / "spool")
    copy = files(tmp_path / "spool")[0].read_bytes()
    for _ in range(2):
        (tmp_path / "spool" / "1-copy.jsonl").write_bytes(copy)
        assert deliver(capsys, "send", tmp_path / "spool", "--store", tmp_path / "store.db")[0] == 0

    with Interactive.local(tmp_path / "store.db") as client:
        assert client.api.scores()["meta"]["totalItems"] == 3 and len(recorded_spans(client)) == 1


def test_what_a_later_flush_delivers_leaves_the_spool(tmp_path):
    server = Server()
    with client_of(server, tmp_path) as client:
        client.create_score(name="s", value=1, trace_id="a" * 32)
        before = client.flush()
        kept = len(files(tmp_path))
        server.up = True
        after = client.flush()

    assert (before.pending, kept) == (1, 1)
    assert (after.acknowledged, after.pending) == (1, 0) and files(tmp_path) == []


def test_a_call_that_returns_has_everything_delivered_or_on_disk(tmp_path):
    """A function's sandbox freezes when it returns, and may never wake: what hangs then is in the spool, too."""
    opened = threading.Event()
    server = FakeTransport(lambda request: Response(200 if opened.wait(20) else 500))
    client = Interactive(transport=server, dialect="public", spool=tmp_path)
    client.start_span(name="hangs").end()
    client.create_score(name="s", value=1, trace_id="a" * 32)
    report = client.flush(timeout=0.05)

    kept = [line["kind"] for line in lines(tmp_path) if "kind" in line]
    opened.set()
    client.close()

    assert report.pending == 2 and sorted(kept) == ["scores", "spans"]
    assert files(tmp_path) == []  # it did wake


def test_a_link_that_could_not_be_made_is_in_the_spool(tmp_path, capsys):
    class NoLinks(Server):
        def send(self, request):
            if request.path.endswith("dataset-run-items") and not self.up:
                raise TransportError("gone")
            return self.inner.send(request)

    server = NoLinks()
    with client_of(server, tmp_path) as client:
        client.create_dataset(name="qa")
        client.create_dataset_item(dataset_name="qa", id="i1", input=1)
        result = client.get_dataset("qa").run_experiment(name="d", run_name="r", task=lambda item: 1)

        assert result.delivery.by_kind["links"] == {"acknowledged": 0, "pending": 1, "rejected": 0, "skipped": 0}
        assert [line["kind"] for line in lines(tmp_path)[1:]] == ["links"]
        server.up = True
        from interactiveai_eval.running.spool_delivery import send_spool

        sent = send_spool(str(tmp_path), client._delivery.new_outbox, client.clock)
        run = client.get_dataset_run(dataset_name="qa", run_name="r")

    assert sent.delivered == {"spans": 0, "scores": 0, "links": 1} and files(tmp_path) == []
    assert [item.trace_id for item in run.dataset_run_items] == [result.item_results[0].trace_id]


def test_listing_a_spool_shows_what_is_in_it_and_takes_nothing_out(tmp_path, capsys):
    keep(tmp_path)

    code, out, _ = deliver(capsys, "list", tmp_path)
    document = json.loads(deliver(capsys, "list", tmp_path, "--json")[1])

    (file,) = files(tmp_path)
    assert code == 0 and out == f"{file}  2026-01-01T00:00:00.000000Z  1 spans, 3 scores\n"
    assert document["problems"] == []
    assert document["files"] == [
        {
            "file": str(file),
            "made": "2026-01-01T00:00:00.000000Z",
            "server": "https://app.interactive.ai",
            "spans": 1,
            "scores": 3,
            "links": 0,
        }
    ]


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", "line 1 is not JSON"),
        (b"hello\n", "line 1 is not JSON"),
        (b"[]\n", "line 1 is not the beginning of a spool file"),
        (b'{"format": "something else"}\n', "line 1 is not the beginning of a spool file"),
        (b'{"format": "interactiveai_eval spool", "version": 2, "events": 0}\n', "is of version 2"),
        (b'{"format": "interactiveai_eval spool", "version": 1, "events": 2}\n{}\n', "is torn: it holds 1 whole events of 2"),
        (b'{"format": "interactiveai_eval spool", "version": 1, "events": 1}\n{"kind"', "is torn"),
        (b'{"format": "interactiveai_eval spool", "version": 1, "events": 1}\n{"kind"\n', "line 2 is not JSON"),
        (b'{"format": "interactiveai_eval spool", "version": 1, "events": 1}\n7\n', "line 2 is no event"),
        (
            b'{"format": "interactiveai_eval spool", "version": 1, "events": 1}\n{"kind": "spans", "id": "a", "span": "?"}\n',
            "line 2 is no event",
        ),
        (
            b'{"format": "interactiveai_eval spool", "version": 1, "events": 1}\n{"kind": "scores", "id": "a", "body": {}}\n',
            "line 2 is not one of the scores: it needs id, name, timestamp",
        ),
    ],
)
def test_files_that_are_torn_or_none_of_ours_are_named_and_stay(tmp_path, capsys, content, problem):
    keep(tmp_path / "spool")
    bad = tmp_path / "spool" / "0-bad.jsonl"
    bad.write_bytes(content)

    code, out, err = deliver(capsys, "send", tmp_path / "spool", "--store", tmp_path / "store.db")
    listed = deliver(capsys, "list", tmp_path / "spool")

    assert code == 3 and out == "delivered 1 spans, 3 scores, 0 links\n"
    assert f"error: {bad}: {problem}" in err and f"error: {bad}: {problem}" in listed[2]
    assert files(tmp_path / "spool") == [bad] and bad.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name")
def test_what_is_no_regular_file_is_named_and_not_opened(tmp_path, capsys):
    """S52. Whoever opens a pipe waits for somebody to write."""
    keep(tmp_path / "spool")
    pipe = tmp_path / "spool" / "0.jsonl"
    os.mkfifo(pipe)

    sent = deliver(capsys, "send", tmp_path / "spool", "--store", tmp_path / "store.db")
    listed = deliver(capsys, "list", tmp_path / "spool")

    assert sent[:2] == (3, "delivered 1 spans, 3 scores, 0 links\n") and listed[:2] == (3, "")
    assert sent[2] == listed[2] == f"error: {pipe}: is no regular file; it is left alone\n"
    assert files(tmp_path / "spool") == [pipe]


def test_nothing_of_a_spool_or_a_server_moves_the_terminal(tmp_path, capsys, monkeypatch):
    """S45, S46: no control character, and no line that the command did not write."""
    folder, evil = tmp_path / "spool", "\x1b[31m\x07\nerror: forged"
    spool_file(folder / f"1{evil}.jsonl", ["a"])
    spool_file(folder / "2.jsonl", ["b"])
    text = (folder / "2.jsonl").read_text()
    (folder / "2.jsonl").write_text(text.replace('"made": "-"', f'"made": {json.dumps(evil)}'))
    (folder / f"3{evil}.jsonl").write_text("torn")
    shown = "<U+001B>[31m<U+0007> error: forged"

    def refusing(request):
        bad = [{"id": event["id"], "status": 400, "message": evil} for event in json.loads(request.body)["batch"]]
        return Response(207, body=json.dumps({"errors": bad, "successes": []}).encode())

    listed = deliver(capsys, "list", folder)
    with LocalServer(FakeTransport(refusing)) as server:
        for name, value in (("BASE_URL", server.url), ("PUBLIC_KEY", "pk-local"), ("SECRET_KEY", "sk-local")):
            monkeypatch.setenv(f"INTERACTIVEAI_{name}", value)
        sent = deliver(capsys, "send", folder, "--dialect", "public")

    torn = f"error: {folder}/3{shown}.jsonl: line 1 is not JSON: "
    rows = [f"{folder}/1{shown}.jsonl  -  1 scores", f"{folder}/2.jsonl  {shown}  1 scores"]
    assert (listed[0], listed[1].splitlines()) == (3, rows) and listed[2].startswith(torn)
    assert sent[:2] == (3, "delivered 0 spans, 0 scores, 0 links\n")
    assert [line[: len(torn)] for line in sent[2].splitlines()] == [
        f"error: score a is rejected: {shown}", f"error: score b is rejected: {shown}", torn
    ]  # fmt: skip
    assert listed[2].count("\n") == 1


def test_a_file_that_is_being_written_is_no_file_yet(tmp_path, capsys):
    keep(tmp_path)
    (file,) = files(tmp_path)
    file.rename(tmp_path / f".{file.stem}.tmp")

    assert deliver(capsys, "list", tmp_path) == (0, "", "")


def test_what_is_refused_stays_in_the_spool_and_what_was_taken_does_not(tmp_path):
    from interactiveai_eval.running.spool_delivery import send_spool

    keep(tmp_path)

    def answer(request):
        if not request.path.endswith("ingestion"):
            return Response(200)
        events = json.loads(request.body)["batch"]
        bad = [{"id": event["id"], "status": 400, "message": "no"} for event in events if event["id"] == "score-1"]
        return Response(207, body=json.dumps({"errors": bad, "successes": []}).encode())

    with Interactive(transport=FakeTransport(answer), dialect="public") as client:
        sent = send_spool(str(tmp_path), client._delivery.new_outbox, client.clock)

    assert sent.delivered == {"spans": 1, "scores": 2, "links": 0}
    assert [(problem["id"], problem["state"], problem["reason"]) for problem in sent.problems] == [
        ("score-1", "rejected", "no")
    ]
    assert [line.get("id") for line in lines(tmp_path)] == [None, "score-1"]
    assert lines(tmp_path)[0]["server"] == "https://app.interactive.ai"


def spool_file(path, ids, body_ids=None):
    """A spool file of scores as somebody else might have written it."""
    header = {"format": "interactiveai_eval spool", "version": 1, "made": "-", "server": "-", "events": len(ids)}
    body = {"name": "n", "value": 1, "traceId": "a" * 32, "timestamp": "2026-01-01T00:00:00.000Z"}
    scores = [
        {"kind": "scores", "id": id, "body": {"id": body_id, **body}}
        for id, body_id in zip(ids, body_ids or ids)
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *scores)))


def send_all(folder, answer):
    from interactiveai_eval.running.spool_delivery import send_spool

    with Interactive(transport=FakeTransport(answer), dialect="public", clock=ManualClock(jumps=True)) as client:
        return send_spool(str(folder), client._delivery.new_outbox, client.clock)


@pytest.mark.parametrize("refusal", [503, 400])
def test_nothing_leaves_that_was_not_acknowledged_however_much_there_is(tmp_path, refusal):
    """A report names 10,000 problems at most."""
    ids = [f"s{i}" for i in range(10_500)]
    spool_file(tmp_path / "spool" / "1.jsonl", ids)

    sent = send_all(tmp_path / "spool", lambda request: Response(refusal))

    assert sent.delivered == {"spans": 0, "scores": 0, "links": 0}
    assert [line["id"] for line in lines(tmp_path / "spool") if "id" in line] == ids


def test_the_end_of_a_server_in_the_middle_of_a_large_file_is_where_the_rest_stays(tmp_path):
    ids = [f"s{i}" for i in range(10_500)]
    spool_file(tmp_path / "spool" / "1.jsonl", ids)
    taken = []

    def answer(request):
        if len(taken) >= 5_000:
            return Response(503)
        taken.extend(event["body"]["id"] for event in json.loads(request.body)["batch"])
        return Response(200)

    sent = send_all(tmp_path / "spool", answer)

    left = [line["id"] for line in lines(tmp_path / "spool") if "id" in line]
    assert sent.delivered["scores"] == len(taken) == 5_000
    assert sorted([*taken, *left]) == sorted(ids)
    assert sent.problems[-1]["reason"] == "its last 500 events were not tried: nothing before them was taken"


def test_an_event_whose_two_ids_differ_stays_until_it_was_acknowledged(tmp_path):
    spool_file(tmp_path / "spool" / "1.jsonl", ["a", "b"], ["x", "y"])

    kept = [send_all(tmp_path / "spool", lambda request, status=status: Response(status)) for status in (503, 400)]
    left = len(lines(tmp_path / "spool"))
    sent = send_all(tmp_path / "spool", lambda request: Response(200))

    assert [each.delivered["scores"] for each in kept] == [0, 0] and left == 1 + 2
    assert sent.delivered["scores"] == 2 and files(tmp_path / "spool") == []


def test_a_server_that_takes_nothing_is_not_asked_file_by_file(tmp_path):
    from interactiveai_eval.running.spool_delivery import send_spool

    for _ in range(5):
        keep(tmp_path, scores=1)
    kept = [file.read_bytes() for file in files(tmp_path)]
    server = Server()
    with Interactive(transport=server, dialect="public") as client:
        sent = send_spool(str(tmp_path), client._delivery.new_outbox, client.clock)

    assert server.calls <= 4 and [file.read_bytes() for file in files(tmp_path)] == kept
    assert [problem["reason"].partition(":")[0] for problem in sent.problems] == [
        *["connection refused by example.test"] * 2,
        *["not tried"] * 4,
    ]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_spool_that_can_only_be_read_is_delivered_whole_and_said_to_be_there_still(tmp_path, capsys):
    with as_nobody() as place:
        folder, store = Path(place, "spool"), Path(place, "store.db")
        for name in ("1", "2"):
            spool_file(folder / f"{name}.jsonl", [f"s{name}"])
        spool_file(folder.with_name("other") / "1.jsonl", ["other"])
        first = deliver(capsys, "send", folder.with_name("other"), "--store", store)
        kept = [file.read_bytes() for file in files(folder)]
        folder.chmod(0o555)
        code, out, err = deliver(capsys, "send", folder, "--store", store)
        folder.chmod(0o755)

        assert first[:2] == (0, "delivered 0 spans, 1 scores, 0 links\n")
        assert (code, out) == (0, "delivered 0 spans, 2 scores, 0 links\n")
        assert [line.partition(" (")[0] for line in err.splitlines()] == [
            f"note: {folder}/{name}.jsonl cannot be removed, and what it holds was sent" for name in ("1", "2")
        ]
        assert [file.read_bytes() for file in files(folder)] == kept


def test_two_processes_may_send_one_spool(tmp_path):
    """What the other has delivered meanwhile is gone, and no trouble."""
    from interactiveai_eval.running.spool_delivery import send_spool

    for _ in range(2):
        keep(tmp_path, scores=1)

    def answer(request):
        for file in files(tmp_path):
            file.unlink()
        return Response(200)

    with Interactive(transport=FakeTransport(answer), dialect="public") as client:
        sent = send_spool(str(tmp_path), client._delivery.new_outbox, client.clock)

    assert sent.delivered == {"spans": 1, "scores": 1, "links": 0} and sent.problems == []


def test_sending_without_a_place_to_send_to_is_refused_and_takes_nothing(tmp_path, capsys):
    """A store in memory would swallow it all."""
    keep(tmp_path)
    before = files(tmp_path)

    code, _, err = deliver(capsys, "send", tmp_path)

    assert code == 2 and "where to?" in err and files(tmp_path) == before


def test_a_spool_that_is_not_there_is_an_error(tmp_path, capsys):
    code, _, err = deliver(capsys, "list", tmp_path / "none")

    assert code == 2 and err == f"error: spool {tmp_path / 'none'}: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("value", ["", 7, b"folder", "nul\0l", True])
def test_a_spool_that_is_no_folder_is_refused(value):
    with pytest.raises(ArgumentError, match=r"spool=.*must name a folder"):
        Interactive.local(spool=value)


def test_a_spool_that_cannot_be_made_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ArgumentError, match=r"spool=.*must be a folder that can be written"):
        Interactive.local(spool=tmp_path / "file")
    with pytest.raises(ArgumentError, match=r"spool=.*must be a folder that can be written"):
        Interactive.local(spool=tmp_path / "file" / "below")


def test_a_spool_that_cannot_be_written_later_keeps_everything_in_memory(tmp_path, caplog):
    folder, server = tmp_path / "spool", Server()
    with client_of(server, folder) as client:
        client.create_score(name="s", value=1, trace_id="a" * 32)
        folder.rmdir()
        before = client.flush()
        server.up = True
        after = client.flush()

    assert before.pending == 1 and before.problems[0].reason == "connection refused by example.test:443"
    assert after.acknowledged == 1
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize("number, lasts", [(errno.EIO, False), (errno.EINVAL, True)])
def test_a_file_whose_name_the_disk_cannot_keep_is_not_said_to_be_in_the_spool(tmp_path, caplog, monkeypatch, number, lasts):
    """Unless it is the system that cannot do so for folders: then the file is all that can be had."""
    sync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with client_of(Server(), tmp_path) as client:
        client.create_score(name="s", value=1, trace_id="a" * 32)
        report = client.flush()

        assert (report.pending, len(files(tmp_path))) == (1, int(lasts))
        assert ("kept in the spool" in report.problems[0].reason, "cannot be written" in caplog.text) == (lasts, not lasts)


def test_large_spools_are_files_of_bounded_size(tmp_path, capsys):
    with client_of(Server(), tmp_path) as client:
        client.run_experiment(name="large", data=[{"input": 1}] * 40, task=lambda item: "x" * 400_000)

    sizes = [file.stat().st_size for file in files(tmp_path)]
    assert len(sizes) == 3 and max(sizes) < 9_000_000


def test_an_outage_does_not_fill_the_memory_where_there_is_a_spool(tmp_path):
    """60 MB of outputs: what is too much to keep is on disk before the run is over."""
    seen = []

    def look(_):
        seen.append(len(files(tmp_path)))

    with client_of(Server(), tmp_path) as client:
        result = client.run_experiment(
            name="large",
            data=[{"input": i} for i in range(150)],
            task=lambda item: "x" * 400_000,
            max_concurrency=1,
            on_result=look,
        )

    kept = [json.loads(line)["id"] for file in files(tmp_path) for line in file.read_text().splitlines()[1:]]
    assert max(seen) > 0 and len(kept) == len(set(kept)) == 150 == result.delivery.pending


PROGRAM = """
    import sys
    from interactiveai_eval import Interactive, TransportError
    from interactiveai_eval.transports.base import Transport

    class Down(Transport):
        def send(self, request):
            raise TransportError("nobody there")

    client = Interactive(transport=Down(), dialect="public", spool=sys.argv[1])
    for i in range(3):
        client.create_score(name="s", value=i, trace_id="a" * 32, score_id=f"{sys.argv[2]}-{i}")
"""


def test_several_processes_share_a_spool_and_a_script_that_ends_leaves_what_it_could_not_deliver_there(tmp_path):
    for name in "ab":
        run_program(PROGRAM, str(tmp_path), name)

    assert len(files(tmp_path)) == 2
    assert sorted(line["id"] for line in lines(tmp_path) if "id" in line) == [f"{n}-{i}" for n in "ab" for i in range(3)]


@pytest.mark.skipif(os.name != "posix", reason="umask is of POSIX")
def test_an_open_umask_opens_nothing(tmp_path):
    before = os.umask(0)
    try:
        keep(tmp_path / "spool")
    finally:
        os.umask(before)

    assert stat.S_IMODE(files(tmp_path / "spool")[0].stat().st_mode) == 0o600
