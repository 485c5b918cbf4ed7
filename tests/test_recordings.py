"""Exchanges written down, played back, and gone wrong on purpose."""
from __future__ import annotations

import html
import json
import os
import re
import stat
import threading
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from interactiveai_eval import (
    ArgumentError,
    ClosedError,
    FakeTransport,
    FaultTransport,
    Interactive,
    RecordTransport,
    ReplayError,
    ReplayTransport,
    Request,
    Response,
    TransportError,
)
from interactiveai_eval.testing import CountingIds, ManualClock


def recorded(path, *exchanges):
    """A recording of these (request, answer) pairs, by way of the transport."""
    answers = [answer for _, answer in exchanges]

    def handler(request):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with RecordTransport(FakeTransport(handler), path) as transport:
        for request, answer in exchanges:
            if isinstance(answer, Exception):
                with pytest.raises(TransportError):
                    transport.send(request)
            else:
                transport.send(request)
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_recording_is_lines_that_people_can_read(tmp_path):
    path = recorded(
        tmp_path / "r.jsonl",
        (
            Request("POST", "/a", query=(("q", "1"),), headers={"content-type": "application/json", "x-own": "x"}, body=b'{"b":1.0}'),
            Response(201, headers={"content-type": "application/json", "x-served-by": "host"}, body=b'{"id": "1"}'),
        ),
        (Request("GET", "/b"), Response(404, body="caf\u00e9".encode())),
        (Request("GET", "/c", body=b"\xff\0"), TransportError("no way", retryable=False)),
        (Request("GET", "/d"), Response(200, body=b'{"big": 123456789012345678901234567890}')),
    )

    assert lines(path) == [
        {"format": "interactiveai_eval recording", "version": 1},
        {
            "request": {"method": "POST", "path": "/a", "query": [["q", "1"]], "headers": {"content-type": "application/json"}, "json": {"b": 1.0}},
            "response": {"status": 201, "headers": {"content-type": "application/json"}, "json": {"id": "1"}},
        },
        {"request": {"method": "GET", "path": "/b"}, "response": {"status": 404, "text": "caf\u00e9"}},
        {"request": {"method": "GET", "path": "/c", "base64": "/wA="}, "response": {"error": "no way", "retryable": False}},
        {"request": {"method": "GET", "path": "/d"}, "response": {"status": 200, "text": '{"big": 123456789012345678901234567890}'}},
    ]
    assert path.read_bytes().isascii() and stat.S_IMODE(os.stat(path).st_mode) == 0o600


SECRET = "sk-geheim-4711"
BASIC = "Basic " + b64encode(f"pk-known:{SECRET}".encode()).decode()


def test_no_secret_is_written_wherever_it_turns_up(tmp_path):
    """S05, S06: what is written is chosen by name, and what a server echoes is found by value."""
    headers = {
        "authorization": BASIC, "Cookie": "sid=cookie-4711; b=2", "x-api-key": "api-key-4711", "proxy-authorization": "Basic cHJveHk6cHJveHktNDcxMQ==",
        "x-interactiveai-public-key": "pk-known", "x-unknown": "unknown-4711",
    }  # fmt: skip
    places = "|".join([BASIC, SECRET, b64encode(SECRET.encode()).decode(), "cookie-4711", "api-key-4711", "proxy-4711"])
    path = recorded(
        tmp_path / "r.jsonl",
        (
            Request("POST", "/x/" + SECRET, query=(("k", places),), headers=headers, body=places.encode()),
            Response(200, headers={"set-cookie": "sid=answer-4711", "location": places, "content-type": places}, body=json.dumps({"e": places}).encode()),
        ),
        (Request("GET", "/x", headers=headers), Response(200, body=b"\xff" + places.encode())),
        (Request("GET", "/x", headers=headers), TransportError(f"failed: {places}")),
    )

    text = path.read_text() + "".join(str(row) for row in lines(path))
    assert "4711" not in text and BASIC not in text and b64encode(SECRET.encode()).decode()[:-4] not in text
    assert "***" in text
    replay = ReplayTransport(path)
    again = Request("POST", "/x/" + SECRET, query=(("k", places),), headers=headers, body=places.encode())
    assert replay.send(again).status == 200


def escaped(secret):
    """A secret as servers may write it back to those who sent it."""
    quoted = json.dumps(secret)[1:-1]
    every = re.sub("(..)(..)", r"\\u\1\2", secret.encode("utf-16-be").hex())
    percent = quote(secret, safe="")
    return {
        "as JSON": quoted,
        "as JSON, slashes too": quoted.replace("/", "\\/"),
        "as JSON, every sign": every,
        "as JSON in JSON": json.dumps(json.dumps({"key": every}))[1:-1],
        "percent-encoded": percent,
        "every sign percent-encoded": "".join(f"%{byte:02x}" for byte in secret.encode()),
        "twice percent-encoded": quote(percent, safe=""),
        "as HTML": html.escape(secret).replace("s", "&#115;"),
        "in more base64": b64encode(f"u=1;{secret}".encode()).decode(),
        "in base64 for addresses": urlsafe_b64encode(f"k={secret}!".encode()).decode(),
    }


@pytest.mark.parametrize("secret", ["sk-lf-abc/def+geheim4711", 'sk-"quoted"-4711', "sk-back\\slash-4711", "sk-caf\u00e9-\U0001f511-4711"])
def test_a_secret_is_found_in_every_spelling_that_a_server_may_echo(tmp_path, secret):
    basic = b64encode(f"pk-known:{secret}".encode()).decode()
    headers = {"authorization": f"Basic {basic}"}
    echoes = [f"bad key {text}!" for each in (secret, basic) for text in escaped(each).values()]
    bodies = [
        *[form for echo in echoes for form in (f'{{"message": "{echo}"}}', f'{{"{echo}": 1}}', f"<p>{echo}</p>", json.dumps([echo]))],
        *[json.dumps({"message": each}, ensure_ascii=False) for each in (secret, basic)],
        *[f"\udcff{echo}" for echo in echoes],
    ]
    exchanges = [
        (Request("GET", f"/{n}", headers=headers), Response(401, headers={"content-type": body}, body=body.encode("utf-8", "surrogateescape")))
        for n, body in enumerate(bodies)
    ]
    for n, echo in enumerate(echoes):
        asked = Request("POST", f"/{n}/{quote(echo)}", query=((echo, echo),), headers=headers, body=json.dumps({"key": echo}).encode())
        exchanges.append((asked, TransportError(f"failed: {echo}")))
    path = recorded(tmp_path / "r.jsonl", *exchanges)

    known = (secret, basic, *escaped(secret).values(), *escaped(basic).values())
    written = path.read_text() + json.dumps(lines(path), ensure_ascii=False)
    assert [each for each in known if each in written or json.dumps(each)[1:-1] in written] == []
    replay = ReplayTransport(path)
    assert all(replay.send(request).status == 401 for request, answer in exchanges if isinstance(answer, Response))
    for request, answer in exchanges:
        if isinstance(answer, TransportError):
            with pytest.raises(TransportError, match=r"\*\*\*"):
                replay.send(request)


def test_what_only_looks_like_an_escape_is_written_as_it_came(tmp_path):
    told = {"path": "C:\\users\\%41", "html": "&amp;", "deep": [{"n": 1.5, "sk": None}], "sk-geheim": "4711"}
    asked = Request("POST", "/a%20b", query=(("q", "%25"),), headers={"authorization": BASIC}, body=json.dumps(told).encode())
    path = recorded(tmp_path / "r.jsonl", (asked, Response(200, body=b"100 % & \\u0041")))

    assert lines(path)[1] == {
        "request": {"method": "POST", "path": "/a%20b", "query": [["q", "%25"]], "json": told},
        "response": {"status": 200, "text": "100 % & \\u0041"},
    }


def test_an_experiment_is_played_back_without_a_server(tmp_path):
    def run(transport):
        settings = {"transport": transport, "dialect": "public", "clock": ManualClock(), "ids": CountingIds()}
        with Interactive(public_key="pk", secret_key=SECRET, **settings) as client:
            client.create_dataset(name="d")
            for n in range(3):
                client.create_dataset_item(dataset_name="d", id=f"i{n}", input=n)
            found = client.get_dataset("d")
            return [item.input for item in found.items], client.auth_check()

    with Interactive.local() as store, RecordTransport(store._transport, tmp_path / "r.jsonl") as recording:
        told = run(recording)

    assert run(ReplayTransport(tmp_path / "r.jsonl")) == told and SECRET not in (tmp_path / "r.jsonl").read_text()


def test_order_does_not_matter_save_among_requests_that_are_alike(tmp_path):
    path = recorded(
        tmp_path / "r.jsonl",
        (Request("GET", "/a"), Response(200, body=b"1")),
        (Request("GET", "/b", query=(("x", "1"), ("y", "2"))), Response(200, body=b"b")),
        (Request("GET", "/a"), Response(200, body=b"2")),
        (Request("POST", "/j", body=b'{"a": 1, "b": [true]}'), Response(200, body=b"j")),
        (Request("POST", "/e"), TransportError("cut", retryable=False)),
    )
    replay = ReplayTransport(path)

    assert replay.send(Request("POST", "/j", body=b'{"b":[true],"a":1}')).body == b"j"
    assert replay.send(Request("GET", "/b", query=(("y", "2"), ("x", "1")))).body == b"b"
    assert [replay.send(Request("GET", "/a")).body for _ in range(2)] == [b"1", b"2"]
    with pytest.raises(TransportError, match="cut") as caught:
        replay.send(Request("POST", "/e"))
    assert not caught.value.retryable
    with pytest.raises(ReplayError, match=r"r.jsonl' has 2 answers to this GET /a, and it was sent once more"):
        replay.send(Request("GET", "/a"))
    with pytest.raises(ReplayError, match=r"has no answer to this POST /j \(1 with another query or body\); record it again, or give a key="):
        replay.send(Request("POST", "/j", body=b'{"b":[1],"a":1}'))
    with pytest.raises(ReplayError, match=r"has no answer to this GET /z \(none for this method and path\)") as caught:
        replay.send(Request("GET", "/z"))
    assert not caught.value.retryable
    replay.close()
    with pytest.raises(ClosedError):
        replay.send(Request("GET", "/a"))


def test_what_is_alike_can_be_said(tmp_path):
    path = recorded(tmp_path / "r.jsonl", (Request("POST", "/a", body=b'{"timestamp": 1}'), Response(200, body=b"1")))
    replay = ReplayTransport(path, key=lambda request: (request.method, request.path))

    assert replay.send(Request("POST", "/a", body=b'{"timestamp": 2}')).body == b"1"


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "is empty, and so no recording"),
        ("{}\n", "line 1: no recorded exchange .it is not interactiveai_eval recording, version 1"),
        ('{"format": "interactiveai_eval recording", "version": 2}\n', "line 1: no recorded exchange"),
        ("HEAD{\n", "line 2: no recorded exchange"),
        ("HEAD[]\n", "line 2: no recorded exchange"),
        ('HEAD{"request": {}}\n', "line 2: no recorded exchange .there is no 'response'"),
        ('HEAD{"request": {"method": "GET", "path": "/"}, "response": {"status": "x"}}\n', "line 2"),
        ('HEAD{"request": {"method": "GET", "path": "/", "base64": "?"}, "response": {"status": 200, "base64": "a"}}\n', "line 2"),
        ('HEAD{"request": {"method": "GET", "path": "/", "query": 5}, "response": {"status": 200}}\n', "line 2"),
    ],
)
def test_a_file_that_is_no_recording_says_where(tmp_path, text, reason):
    path = tmp_path / "r.jsonl"
    path.write_text(text.replace("HEAD", '{"format": "interactiveai_eval recording", "version": 1}\n'))

    with pytest.raises(ReplayError, match=reason):
        ReplayTransport(path)
    with pytest.raises(ReplayError, match=r"cannot be read \(No such file or directory\)"):
        ReplayTransport(tmp_path / "nowhere")


def test_a_recording_never_writes_over_a_file(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "target")

    with pytest.raises(ArgumentError, match="must name a file that is not there yet"):
        RecordTransport(FakeTransport(Response), path)
    with pytest.raises(ArgumentError, match="path="):
        RecordTransport(FakeTransport(Response), tmp_path / "link")
    with pytest.raises(ArgumentError, match=r"cannot be written \(No such file or directory\)"):
        RecordTransport(FakeTransport(Response), tmp_path / "no" / "r.jsonl")
    assert path.read_text() == "precious" and not (tmp_path / "target").exists()


def test_many_threads_record_whole_lines(tmp_path):
    with RecordTransport(FakeTransport(lambda request: Response(200, body=request.body)), tmp_path / "r.jsonl") as transport:
        threads = [
            threading.Thread(target=lambda n=n: [transport.send(Request("POST", f"/{n}", body=b"x" * 5000)) for _ in range(20)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(lines(tmp_path / "r.jsonl")) == 161


# -- faults ----------------------------------------------------------------------------------------------------------------


def fates(seed=3, order=range(300), **settings):
    """What became of requests 0 to 299, sent in that order; and which of them reached the other side."""
    came = []

    def answer(request):
        came.append(request.path)
        return Response(200)

    transport = FaultTransport(FakeTransport(answer), seed=seed, **settings)
    outcomes = {}
    for n in order:
        ((request, outcome),) = transport.send_each([Request("GET", f"/{n}")])
        outcomes[request.path] = str(outcome).partition(": ")[2] if isinstance(outcome, Exception) else outcome.status
    return outcomes, came, transport.injected


def test_faults_come_by_share_and_by_seed():
    settings = {"errors": 0.2, "cuts": 0.1, "statuses": {503: 0.2, 429: 0.1}}
    outcomes, came, injected = fates(**settings)

    values = list(outcomes.values())
    assert injected == {"errors": values.count("injected: no connection"), "503": values.count(503), "429": values.count(429), "delays": 0,
                        "cuts": values.count("injected: the connection was cut before the answer")}  # fmt: skip
    assert 40 < injected["errors"] < 80 and 15 < injected["cuts"] < 45 and 40 < injected["503"] < 80 and 15 < injected["429"] < 45
    assert sorted(came) == sorted(path for path, value in outcomes.items() if value == 200 or "cut" in str(value))
    assert fates(**settings)[0] == outcomes != fates(seed=4, **settings)[0]
    assert fates(order=range(299, -1, -1), **settings)[0] == outcomes  # threads do not change it


def test_a_request_that_is_repeated_has_another_fate():
    transport = FaultTransport(FakeTransport(lambda request: Response(200)), statuses={503: 0.5}, retry_after_seconds=2)
    answers = [transport.send(Request("GET", "/same")) for _ in range(50)]

    assert {answer.status for answer in answers} == {200, 503}
    assert {answer.headers.get("retry-after") for answer in answers if answer.status == 503} == {"2"}


def test_delays_pass_on_the_clock_and_some_requests_are_left_alone():
    clock = ManualClock(jumps=True)
    transport = FaultTransport(
        FakeTransport(lambda request: Response(200)), delays=1.0, delay_seconds=5, errors=1.0, clock=clock, only=lambda request: request.method == "POST"
    )

    assert transport.send(Request("GET", "/")).status == 200 and clock.monotonic() == 0
    with pytest.raises(TransportError, match="POST /: injected: no connection") as caught:
        transport.send(Request("POST", "/"))
    assert clock.monotonic() == 5 and caught.value.retryable


def test_shares_are_checked():
    inner = FakeTransport(Response)
    for settings in ({"errors": -0.1}, {"cuts": 1.1}, {"delays": "x"}, {"errors": float("nan")}, {"statuses": {503: 2}}):
        with pytest.raises(ArgumentError, match="must be a share, from 0 to 1"):
            FaultTransport(inner, **settings)
    with pytest.raises(ArgumentError, match="together at 1 or less"):
        FaultTransport(inner, errors=0.6, statuses={503: 0.6})
    with pytest.raises(ArgumentError, match="must map statuses from 300 to 599"):
        FaultTransport(inner, statuses={200: 0.1})
