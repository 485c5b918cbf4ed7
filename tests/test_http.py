"""The HTTP transport against scripted sockets: what it sends, what it takes, what it refuses, and when it gives up."""
from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from interactiveai_eval import ArgumentError, ClosedError, HTTPTransport, Request, TransportError

from .sockets import ScriptedServer, always, answer, replies


def get(transport, path="/x", **fields):
    return transport.send(Request("GET", path, **fields))


# -- what goes out -----------------------------------------------------------------------------------------------------


def test_a_request_on_the_wire():
    request = Request(
        "POST", "/api/a%20b", query=(("q", "a&b\u00e9"), ("r", "")), headers={"X-Own": "one two"}, body=b'{"a": 1}'
    )
    with ScriptedServer(always(answer())) as server, HTTPTransport(server.url) as transport:
        transport.send(request)

        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        assert first == "POST /api/a%20b?q=a%26b%C3%A9&r= HTTP/1.1"
        assert lines[0] == f"host: 127.0.0.1:{server.port}"
        assert sorted(lines[1:]) == [
            "accept-encoding: gzip, deflate", "accept: */*", "content-length: 8", "user-agent: interactiveai_eval/0.1.0", "x-own: one two",
        ]  # fmt: skip
        assert body == b'{"a": 1}'


def test_a_get_has_no_body_and_says_nothing_of_one():
    """D71: some proxies refuse a GET with a body."""
    with ScriptedServer(always(answer())) as server, HTTPTransport(server.url) as transport:
        get(transport)
        transport.send(Request("DELETE", "/x"))
        transport.send(Request("POST", "/x"))

        assert [b"content-length" in request for request in server.requests] == [False, False, True]


def test_one_connection_carries_many_requests():
    with ScriptedServer(always(answer(b'{"a": 1}', headers=["X-Many: 1", "x-many: 2"]))) as server:
        with HTTPTransport(server.url) as transport:
            answers = [get(transport) for _ in range(5)]

        assert {(a.status, a.body, a.headers["x-many"]) for a in answers} == {(200, b'{"a": 1}', "1, 2")}
        assert server.connections == 1 and len(server.requests) == 5


def test_after_close_it_says_so():
    with ScriptedServer(always(answer())) as server:
        transport = HTTPTransport(server.url)
        get(transport)
        transport.close()
        with pytest.raises(ClosedError, match="closed"):
            get(transport)


def test_a_refused_connection_names_request_server_and_reason():
    with ScriptedServer(always(answer())) as server:
        url = server.url
    with HTTPTransport(url) as transport, pytest.raises(TransportError) as caught:
        get(transport, "/api/public/projects", headers={"authorization": "Basic geheim"})

    assert str(caught.value) == (
        f"GET /api/public/projects on {url}: {url[7:]} cannot be reached (Connection refused)"
    )
    assert caught.value.retryable


def test_header_injection_is_refused_and_the_value_not_shown():
    with ScriptedServer(always(answer())) as server, HTTPTransport(server.url) as transport:
        for headers in ({"a": "geheim\r\nb: c"}, {"a": "geheim\n b"}, {"a": "geheim\0"}, {"a": "geheim\u00e9"}):
            with pytest.raises(ArgumentError, match="headers='a': must have a value of visible ASCII") as caught:
                get(transport, headers=headers)
            assert "geheim" not in str(caught.value)
        for name in ("", "a b", "a:", "a\r\nb", "\u00e9"):
            with pytest.raises(ArgumentError, match="is not a header's name"):
                get(transport, headers={name: "x"})
        for name in ("Host", "content-length", "Transfer-Encoding", "connection"):
            with pytest.raises(ArgumentError, match="is set by the transport"):
                get(transport, headers={name: "x"})
        with pytest.raises(ArgumentError, match="method"):
            transport.send(Request("GET /evil", "/"))
        with pytest.raises(ArgumentError, match="path"):
            get(transport, "/a\r\nb: c")

        assert server.connections == 0


def test_chunks_are_put_together_however_they_are_cut():
    whole = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n1;a=b\r\n \r\nA \r\nworldworld\r\n000\r\nx-after: 1\r\n\r\n"
    )

    def script(server, peer, number):
        for size in (1, 2, 3, 7, 1000):
            server.read(peer)
            for at in range(0, len(whole), size):
                peer.sendall(whole[at : at + size])

    with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
        for _ in range(5):
            assert get(transport).body == b"hello worldworld"
        assert server.connections == 1


def test_answers_of_two_kinds_on_one_connection():
    given = [answer(b"one"), answer(b"", "204 No Content"), answer(b"two", "503 Busy")]
    with ScriptedServer(replies(*given)) as server, HTTPTransport(server.url) as transport:
        assert [get(transport).body for _ in range(3)] == [b"one", b"", b"two"]
        assert server.connections == 1


@pytest.mark.parametrize("missing, named", [("_socket", "_socket"), ("select", "select")])
def test_without_sockets_a_client_of_a_server_says_what_is_missing(missing, named):
    """J05: hardened Pythons lack modules; importing the package is fine without."""
    source = f"""
import sys
sys.modules[{missing!r}] = None
from interactiveai_eval import FeatureUnavailable, Interactive
try:
    Interactive(public_key="pk", secret_key="sk", base_url="https://h")
except FeatureUnavailable as error:
    print(error)
"""
    root = pathlib.Path(__file__).parent.parent
    said = subprocess.run([sys.executable, "-c", source], cwd=root, capture_output=True, text=True, timeout=30)
    assert said.stdout == f"HTTP needs the standard module {named!r}, which this Python lacks\n", said.stderr


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e10, "5"])
def test_a_timeout_that_no_clock_can_wait_for_is_refused_at_once(seconds):
    with pytest.raises(ArgumentError, match=r"timeout_seconds=.*must be a finite number > 0 and <= 1e\+06"):
        HTTPTransport("http://127.0.0.1:9", timeout_seconds=seconds)
