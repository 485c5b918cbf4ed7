"""What a server or a network can do to the HTTP transport, played byte by byte (FAULTS.md A, B, C, F; SECURITY_CASES.md)."""
from __future__ import annotations

import gc
import gzip
import os
import random
import socket
import subprocess
import sys
import threading
import time
import traceback
import tracemalloc
import zlib

import pytest

from interactiveai_eval import ClosedError, HTTPTransport, Request, RetryTransport, TransportError
from interactiveai_eval._clock import Clock
from interactiveai_eval.testing import ManualClock

from .sockets import ScriptedServer, always, answer, read_request, replies, reset

SECRET = "geheim-4711-geheim"


def get(transport, path="/x", **fields):
    return transport.send(Request("GET", path, **fields))


def failure(script, request=None, **settings):
    """The error that a request ends in with a server of that script; a second request must not be matched with leftovers."""
    with ScriptedServer(script) as server, HTTPTransport(server.url, **settings) as transport:
        with pytest.raises(TransportError) as caught:
            transport.send(request or Request("GET", "/x"))
    return caught.value


# -- one request, both ways of sending -----------------------------------------------------------------------------------


@pytest.fixture(params=["send", "send_each"])
def send(request):
    """One request by `send`, and the same by `send_each`: what goes for one goes for the other."""
    if request.param == "send":
        return lambda transport, asked: transport.send(asked)

    def by_send_each(transport, asked):
        ((back, outcome),) = transport.send_each([asked])
        assert back is asked
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return by_send_each


# -- framing -------------------------------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
REFUSED = {
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "the same length twice": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\n{}",
    "length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\n{}",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": OK + b"Content-Length: -1\r\n\r\n{}",
    "signed length": OK + b"Content-Length: +2\r\n\r\n{}",
    "length of another alphabet": OK + "Content-Length: \u00b2\r\n\r\n{}".encode("latin-1"),
    "no digits": OK + b"Content-Length: two\r\n\r\n{}",
    "empty length": OK + b"Content-Length:\r\n\r\n{}",
    "hexadecimal length": OK + b"Content-Length: 0x2\r\n\r\n{}",
    "a length of 30 digits": OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}",
    "space before the colon": OK + b"Content-Length : 2\r\n\r\n{}",
    "folded header": OK + b"A: 1\r\n 2\r\nContent-Length: 2\r\n\r\n{}",
    "header without a colon": OK + b"A\r\nContent-Length: 2\r\n\r\n{}",
    "header without a name": OK + b": 1\r\nContent-Length: 2\r\n\r\n{}",
    "NUL in a header": OK + b"A: 1\0\r\nContent-Length: 2\r\n\r\n{}",
    "CR in a header": OK + b"A: 1\r2\r\nContent-Length: 2\r\n\r\n{}",
    "line feeds alone": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    "one line feed alone": OK + b"A: 1\nContent-Length: 2\r\n\r\n{}",
    "101 headers": OK + b"".join(b"A%d: 1\r\n" % n for n in range(101)) + b"\r\n{}",
    "a line of 8 KiB": OK + b"A: " + b"x" * 8192 + b"\r\n\r\n{}",
    "a head without end": OK + b"A: " + b"x" * 70_000,
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "nothing like it": b"\0" * 100,
    "status 600": b"HTTP/1.1 600 What\r\n\r\n",
    "status 099": b"HTTP/1.1 099 What\r\n\r\n",
    "status abc": b"HTTP/1.1 abc What\r\n\r\n",
    "status 0": b"HTTP/1.1 0 What\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "bad chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "negative chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "huge chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
    "chunk over the limit": OK + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n",
    "chunk size with 0x": OK + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n",
    "chunk longer than it says": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n",
    "chunk line without end": OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 300,
    "chunk line with a bare line feed": OK + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    "trailers without end": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"x" * 9000,
    "a bad trailer": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA b: 1\r\n\r\n",
    "unknown encoding": OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
    "two encodings": OK + b"Content-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\n{}",
    "encoding twice": OK + b"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "junk behind gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 24\r\n\r\n" + gzip.compress(b"{}")[:22].ljust(24, b"x"),
    "declared too large": OK + b"Content-Length: 10000000000\r\n\r\n{}",
    "switching protocols": b"HTTP/1.1 101 Switching\r\n\r\n",
    "interim answers without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
}  # fmt: skip


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_with_it(raw, send):
    """B21-B24, A28, A30, C08, C09, S28-S31. Not to be tried again: the next answer would be the same."""
    given = [raw, answer(b"clean")]

    def script(server, peer, number):
        if server.read(peer) is not None:
            peer.sendall(given[number])
            server.read(peer)

    with ScriptedServer(script) as server, HTTPTransport(server.url, timeout_seconds=2) as transport:
        with pytest.raises(TransportError, match=r"^GET /x on http://127.0.0.1:\d+: ") as caught:
            send(transport, Request("GET", "/x"))
        assert not caught.value.retryable
        assert send(transport, Request("GET", "/x")).body == b"clean" and server.connections == 2


def test_hints_name_the_likely_mistake():
    assert "is not HTTP/1.x (TLS; does the base URL need https://?)" in str(failure(always(REFUSED["TLS"])))
    assert "is not HTTP/1.x (is this an HTTP server?)" in str(failure(always(REFUSED["another protocol"])))
    assert "ask for fewer rows at once" in str(failure(always(REFUSED["declared too large"])))


ACCEPTED = {
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n{}", b"{}"),
    "empty reason": (b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\n{}", b"{}"),
    "reason of other letters": ("HTTP/1.1 200 Gr\u00fcn\r\ncontent-length: 2\r\n\r\n{}".encode("latin-1"), b"{}"),
    "no space behind the colon": (OK + b"Content-Length:2\r\n\r\n{}", b"{}"),
    "tabs around the value": (OK + b"Content-Length:\t2 \t\r\n\r\n{}", b"{}"),
    "interim answers": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + answer(b"{}"), b"{}"),
    "an empty body": (answer(b""), b""),
    "leading zeros": (OK + b"Content-Length: 002\r\n\r\n{}", b"{}"),
    "CHUNKED": (OK + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"{}"),
    "gzip": (answer(gzip.compress(b"{}"), headers=["Content-Encoding: gzip"]), b"{}"),
    "x-gzip": (answer(gzip.compress(b"{}"), headers=["Content-Encoding: X-GZIP"]), b"{}"),
    "deflate": (answer(zlib.compress(b"{}"), headers=["Content-Encoding: deflate"]), b"{}"),
    "bare deflate": (answer(zlib.compress(b"{}")[2:-4], headers=["Content-Encoding: deflate"]), b"{}"),
    "identity": (answer(b"{}", headers=["Content-Encoding: identity"]), b"{}"),
    "204 with a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b""),
    "a status of no name": (answer(b"{}", "299 What"), b"{}"),
}  # fmt: skip


@pytest.mark.parametrize("raw, body", ACCEPTED.values(), ids=ACCEPTED)
def test_whatever_is_right_is_taken_and_the_connection_kept(raw, body, send):
    with ScriptedServer(always(raw)) as server, HTTPTransport(server.url) as transport:
        assert [send(transport, Request("GET", "/x")).body for _ in range(2)] == [body] * 2
        assert server.connections == 1


def test_an_answer_may_come_byte_by_byte(send):
    raw = answer(b"hello", headers=["x-a: 1"])

    def script(server, peer, number):
        server.read(peer)
        for byte in raw:
            peer.sendall(bytes((byte,)))

    with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
        assert send(transport, Request("GET", "/x")).body == b"hello"


def test_a_head_request_has_no_body_whatever_the_length_says(send):
    with ScriptedServer(always(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")) as server:
        with HTTPTransport(server.url) as transport:
            assert [send(transport, Request("HEAD", "/x")).body for _ in range(2)] == [b"", b""]
            assert server.connections == 1


def test_a_body_without_a_length_ends_with_the_connection(send):
    """B17: cut JSON is found by whoever reads it."""

    def script(server, peer, number):
        server.read(peer)
        peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nhel")
        peer.sendall(b"lo")

    with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
        assert [send(transport, Request("GET", "/x")).body for _ in range(2)] == [b"hello"] * 2
        assert server.connections == 2


@pytest.mark.parametrize(
    "first", [answer(b"{}") + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"HTTP/1.1 204 No\r\n\r\nevil" * 2]
)
def test_leftover_bytes_are_never_the_next_answer(first, send):
    """B18, B20."""
    with ScriptedServer(replies(first, answer(b"second"))) as server, HTTPTransport(server.url) as transport:
        send(transport, Request("GET", "/x"))
        assert send(transport, Request("GET", "/x")).body == b"second" and server.connections == 2


def test_bytes_that_come_while_a_connection_rests_are_never_the_next_answer():
    came = threading.Event()

    def script(server, peer, number):
        server.read(peer)
        peer.sendall(answer(b"good"))
        if not number:
            server.go.wait(5)
            peer.sendall(answer(b"evil"))
            came.set()
        server.read(peer)

    with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
        server.go = threading.Event()
        get(transport)
        server.go.set()
        came.wait(5)
        assert get(transport).body == b"good" and server.connections == 2


def test_a_late_answer_is_never_matched_with_the_next_request(send):
    """B19."""
    late = threading.Event()

    def script(server, peer, number):
        server.read(peer)
        if not number:
            late.wait(5)
        peer.sendall(answer(b"late" if not number else b"in time"))
        server.read(peer)

    with ScriptedServer(script) as server, HTTPTransport(server.url, timeout_seconds=0.1) as transport:
        with pytest.raises(TransportError, match=r"no answer within (0.1|0.0\d+) s \(waiting for the answer\)"):
            send(transport, Request("GET", "/first"))
        late.set()
        assert send(transport, Request("GET", "/second", deadline=None)).body == b"in time"


# -- sizes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding, packed", [("gzip", gzip.compress(bytes(8_000_000))), ("deflate", zlib.compress(bytes(8_000_000)))])
def test_a_bomb_stops_at_the_limit(encoding, packed, send):
    """C07, S27: by decoded bytes, not by ratio."""
    raw = answer(packed, headers=[f"content-encoding: {encoding}"])
    with ScriptedServer(always(raw)) as server:
        with HTTPTransport(server.url, max_body_bytes=1_000_000) as transport:
            with pytest.raises(TransportError, match="decodes to more than 1000000 bytes, the limit") as caught:
                send(transport, Request("GET", "/x"))
            assert not caught.value.retryable
        with HTTPTransport(server.url, max_body_bytes=8_000_000) as transport:
            assert len(send(transport, Request("GET", "/x")).body) == 8_000_000


@pytest.mark.parametrize("encoding, bits", [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_a_bomb_takes_no_more_memory_than_an_answer_may(encoding, bits, send):
    """C07: the limit and 8 MiB, not four times the limit."""
    packer, limit = zlib.compressobj(1, zlib.DEFLATED, bits), 12 * 2**20
    packed = b"".join([*(packer.compress(bytes(2**20)) for _ in range(48)), packer.flush()])
    raw = answer(packed, headers=[f"content-encoding: {encoding}"])
    with ScriptedServer(always(raw)) as server, HTTPTransport(server.url, max_body_bytes=limit) as transport:
        tracemalloc.start()
        try:
            with pytest.raises(TransportError, match="decodes to more than"):
                send(transport, Request("GET", "/x"))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak - len(packed) < limit + 8 * 2**20


def test_a_body_without_end_stops_at_the_limit(send):
    def endless(head, piece):
        def script(server, peer, number):
            server.read(peer)
            peer.sendall(OK + head + b"\r\n")
            while True:
                peer.sendall(piece)

        return script

    for head, piece in ((b"", b"x" * 65536), (b"Transfer-Encoding: chunked\r\n", b"1;" + b"e" * 200 + b"\r\nx\r\n")):
        with ScriptedServer(endless(head, piece * 100)) as server:
            with HTTPTransport(server.url, max_body_bytes=100_000) as transport:
                with pytest.raises(TransportError, match="the limit is 100000"):
                    send(transport, Request("GET", "/x"))


def test_nothing_is_set_aside_by_a_declared_length():
    """C09: the interpreter may take 300 MB more; the answer claims that its limit, 2 GB, will be used up."""
    source = """
import resource, sys
from interactiveai_eval import HTTPTransport, Request, TransportError
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
transport = HTTPTransport(sys.argv[1], max_body_bytes=2_000_000_000)
try:
    transport.send(Request("GET", "/x"))
except TransportError as error:
    print(error)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc and a limit of memory")

    def script(server, peer, number):
        server.read(peer)
        peer.sendall(OK + b"Content-Length: 2000000000\r\n\r\n{}")

    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with ScriptedServer(script) as server:
        said = subprocess.run(
            [sys.executable, "-c", source, server.url], cwd=root, capture_output=True, text=True, timeout=30
        )
    assert said.stdout.endswith(": the answer ends in the middle\n"), said.stderr


# -- connections that die --------------------------------------------------------------------------------------------------


def test_a_kept_connection_that_died_costs_one_free_try_on_a_new_one(send):
    """B05, whatever the method: nothing was heard of the first try."""
    died = threading.Event()

    def script(server, peer, number):
        server.read(peer)
        peer.sendall(answer(b"%d" % number))
        if not number:
            reset(peer)
            died.set()
        server.read(peer)

    with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
        assert send(transport, Request("POST", "/x", body=b"{}")).body == b"0"
        died.wait(5)
        assert send(transport, Request("POST", "/x", body=b"{}")).body == b"1"


def test_a_server_that_takes_a_second_request_and_hangs_up_is_tried_once_more_only(send):
    """B06: it reads, so no look at the socket could have told; then fresh connections, and no loop."""

    def script(server, peer, number):
        server.read(peer)
        if number < 3:
            peer.sendall(answer(b"%d" % number))
            server.read(peer)

    with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
        bodies = [send(transport, Request("POST", "/x", body=b"{}")).body for _ in range(3)]
        assert bodies == [b"0", b"1", b"2"] and len(server.requests) == 5
        with pytest.raises(TransportError, match="closed without an answer") as caught:
            send(transport, Request("POST", "/x", body=b"{}"))
        assert caught.value.retryable and server.connections == 4


def test_a_fresh_connection_that_dies_is_an_error(send):
    """B04: whether it is tried again is for others to say."""
    for end in (reset, lambda peer: peer.close()):

        def script(server, peer, number, end=end):
            server.read(peer)
            end(peer)

        with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
            with pytest.raises(TransportError, match=r"the connection was (lost|closed)") as caught:
                send(transport, Request("GET", "/x"))
            assert caught.value.retryable and server.connections == 1


WHOLE = {
    "length": answer(b'{"data": []}', headers=["a: 1"]),
    "chunks": OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "gzip": answer(gzip.compress(b"hello"), headers=["content-encoding: gzip"]),
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("end", [reset, lambda peer: peer.close()], ids=["reset", "closed"])
def test_an_answer_cut_anywhere_is_an_error_that_may_be_tried_again(kind, end):
    """B08, B09, B15, B16: at every byte."""
    whole = WHOLE[kind]

    def script(server, peer, number):
        server.read(peer)
        peer.sendall(whole[:number])
        end(peer)

    with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
        for _ in range(len(whole)):
            with pytest.raises(TransportError) as caught:
                get(transport)
            assert caught.value.retryable, caught.value


def test_whatever_bytes_come_only_errors_of_ours_come_out():
    """10,000 answers with a few bytes changed; K08."""
    rng = random.Random(5)
    wholes = list(WHOLE.values())

    from interactiveai_eval.transports.remote.http1 import BadReply, Reader, Reply

    outcomes = {"answer": 0, "refused": 0, "unfinished": 0}
    for _ in range(10_000):
        raw = bytearray(rng.choice(wholes))
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(len(raw))] = rng.choice(b"\0\r\n :;,-09azAZ\xff")
        reply, at = Reply(Reader(1000), False), 0
        try:
            whole = False
            while not whole and at < len(raw):
                size = rng.randrange(1, 40)
                whole = reply.feed(bytes(raw[at : at + size]))
                at += size
            whole = whole or reply.feed(b"")
            assert len(reply.response().body) <= 1000
            outcomes["answer"] += 1
        except BadReply as problem:
            outcomes["unfinished" if problem.retryable else "refused"] += 1

    assert min(outcomes.values()) > 500, outcomes


@pytest.mark.parametrize("end", ["closed", "reset", "open"])
def test_an_early_answer_is_seen_though_the_body_was_not_taken(send, end):
    """B32: a 413 while the body is still going out, of a server that closes then, or just takes no more."""

    def script(server, peer, number):
        peer.recv(1000)
        peer.sendall(answer(b"too much", "413 Too Large", ["connection: close"]))
        if end == "reset":
            return  # with bytes unread
        peer.shutdown(socket.SHUT_WR)
        server.ended.wait(0.05 if end == "closed" else 10)

    request = Request("POST", "/x", body=b"x" * 30_000_000)
    with ScriptedServer(script) as server, HTTPTransport(server.url, timeout_seconds=0.5 if end == "open" else 5) as transport:
        response = send(transport, request)
        assert (response.status, response.body, server.connections) == (413, b"too much", 1)


# -- time ------------------------------------------------------------------------------------------------------------------


def drip(raw, every=0.02):
    def script(server, peer, number):
        server.read(peer)
        for byte in raw * 1000:
            peer.sendall(bytes((byte,)))
            if server.ended.wait(every):
                return

    return script


def silent(server, peer, number):
    server.read(peer)
    server.ended.wait(10)


NEVER = {
    "silence": silent,
    "a head, byte by byte": drip(b"HTTP/1.1 200 OK\r\nx-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    "interim answers, byte by byte": drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunks, byte by byte": lambda s, p, n: (s.read(p), p.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n"), drip(b"1\r\nx\r\n")(s, p, n)),
}  # fmt: skip


@pytest.mark.parametrize("script", NEVER.values(), ids=NEVER)
def test_one_deadline_bounds_all_reads_together(script, send):
    """B07, B12, B13: each byte comes in time, all of them never."""
    with ScriptedServer(script) as server, HTTPTransport(server.url, timeout_seconds=0.15) as transport:
        begun = time.perf_counter()
        with pytest.raises(TransportError, match=r"no answer within 0.15 s \(waiting for the answer\)") as caught:
            send(transport, Request("GET", "/x"))
        assert 0.14 < time.perf_counter() - begun < 1.15 and caught.value.retryable


def test_a_peer_that_does_not_read_is_given_up(send):
    """B14."""
    with ScriptedServer(lambda s, p, n: s.ended.wait(10)) as server:
        with HTTPTransport(server.url, timeout_seconds=0.3) as transport:
            begun = time.perf_counter()
            with pytest.raises(TransportError, match=r"no answer within 0.3 s \(sending the request\)"):
                send(transport, Request("POST", "/x", body=bytes(20_000_000)))
            assert time.perf_counter() - begun < 1.3


def test_a_request_may_have_a_deadline_of_its_own(send):
    clock = ManualClock()
    with ScriptedServer(silent) as server, HTTPTransport(server.url, clock=clock) as transport:
        with pytest.raises(TransportError, match="no answer within 0 s"):
            send(transport, Request("GET", "/x", deadline=clock.monotonic() - 1))
        with pytest.raises(TransportError, match=r"no answer within 0.05 s"):
            get(transport, deadline=clock.monotonic() + 0.05)


def test_the_wait_for_a_connection_counts():
    taken, over = threading.Event(), threading.Event()

    def script(server, peer, number):
        server.read(peer)
        taken.set()
        over.wait(10)
        peer.sendall(answer())

    clock = Clock()
    with ScriptedServer(script) as server, HTTPTransport(server.url, max_connections=1) as transport:
        other = threading.Thread(target=get, args=(transport,))
        other.start()
        taken.wait(5)
        with pytest.raises(TransportError, match=r"no answer within (0.1|0.0\d+) s \(waiting for one of 1 connections\)"):
            get(transport, deadline=clock.monotonic() + 0.1)
        over.set()
        other.join(5)


def addresses(monkeypatch, *found):
    """Names resolve to these addresses; the resolver of this machine is not asked. Numbers are left alone."""
    real = socket.getaddrinfo

    def look_up(host, port, *rest):
        if host.endswith(b".test"):
            if rest[-1] & socket.AI_NUMERICHOST:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            if callable(found[0]):
                return found[0](port)
            return [entry for address in found for entry in real(address, port, *rest[:-1], 0)]
        return real(host, port, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_all_addresses_are_tried(monkeypatch):
    """B27: the first ones are dead."""
    addresses(monkeypatch, "127.0.0.2", "127.0.0.3", "127.0.0.1")
    with ScriptedServer(always(answer())) as server:
        with HTTPTransport(f"http://many.test:{server.port}", proxy="") as transport:
            assert get(transport).status == 200


def test_a_name_without_an_address_is_named(monkeypatch):
    """B25."""

    def unknown(port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    addresses(monkeypatch, unknown)
    with HTTPTransport("http://nowhere.test", proxy="") as transport, pytest.raises(TransportError) as caught:
        get(transport)
    assert str(caught.value).endswith("the address of nowhere.test cannot be found (Name or service not known)")
    assert caught.value.retryable


def test_a_resolver_that_hangs_is_left_behind(monkeypatch):
    """B26."""
    over = threading.Event()
    addresses(monkeypatch, lambda port: over.wait(10) and [])
    with HTTPTransport("http://slow.test", proxy="", timeout_seconds=0.1) as transport:
        begun = time.perf_counter()
        with pytest.raises(TransportError, match=r"no answer within (0.1|0.0\d+) s \(looking up slow.test\)"):
            get(transport)
        assert time.perf_counter() - begun < 1.1
    over.set()


def test_a_host_that_takes_no_connections_is_given_up_in_time(monkeypatch):
    """B03: a full backlog swallows what knocks, for all eight addresses."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        knocking = [socket.socket() for _ in range(8)]
        for each in knocking:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        addresses(monkeypatch, *["127.0.0.1"] * 8)
        with HTTPTransport(f"http://full.test:{full.getsockname()[1]}", proxy="", timeout_seconds=0.3) as transport:
            begun = time.perf_counter()
            with pytest.raises(TransportError, match=r"cannot be reached|no answer within 0.3 s") as caught:
                get(transport)
            assert time.perf_counter() - begun < 1.3 and caught.value.retryable
        for each in knocking:
            each.close()


def test_a_connection_that_rested_for_long_on_either_clock_is_not_used():
    """B30, F14: after a freeze the monotonic clock may have stood still; servers and boxes in between have not."""

    class TwoClocks(ManualClock):
        wall_moved_ns = 0

        def time_ns(self):
            return super().time_ns() + self.wall_moved_ns

    clock = TwoClocks()
    with ScriptedServer(always(answer())) as server, HTTPTransport(server.url, clock=clock) as transport:
        get(transport)
        clock.advance(29)
        get(transport)
        assert server.connections == 1
        clock.advance(31)
        get(transport)
        assert server.connections == 2
        clock.wall_moved_ns += 31 * 10**9
        get(transport)
        assert server.connections == 3


# -- how many connections ----------------------------------------------------------------------------------------------------


def test_at_most_so_many_connections_and_the_latest_is_used_first():
    arrived, go = threading.Semaphore(0), threading.Event()

    def script(server, peer, number):
        while server.read(peer) is not None:
            arrived.release()
            go.wait(5)
            peer.sendall(answer(b"%d" % number))

    with ScriptedServer(script) as server, HTTPTransport(server.url, max_connections=3) as transport:
        threads = [threading.Thread(target=get, args=(transport,)) for _ in range(10)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            assert arrived.acquire(timeout=5)
        assert server.connections == 3
        go.set()
        for thread in threads:
            thread.join(5)
        used = {get(transport).body for _ in range(5)}

        assert server.connections == 3 and len(server.requests) == 15 and len(used) == 1


def test_many_at_once_use_all_connections_and_no_thread():
    arrived, everyone = [], threading.Event()

    def script(server, peer, number):
        while server.read(peer) is not None:
            arrived.append(number)
            if len(arrived) >= 4:
                everyone.set()
            everyone.wait(5)  # none is answered before four are under way
            peer.sendall(answer(b"%d" % number))

    with ScriptedServer(script) as server, HTTPTransport(server.url, max_connections=4) as transport:
        before = threading.active_count()
        answers = [answer for _, answer in transport.send_each(Request("GET", "/x") for _ in range(40))]

        assert [each.status for each in answers] == [200] * 40 and server.connections == 4
        assert threading.active_count() <= before + 4  # the server's own
        assert get(transport).status == 200 and server.connections == 4


def test_streams_leave_connections_to_those_who_send_one_request():
    """Two streams share 32; what an item asks for does not wait behind the scores of others."""
    goes_on, held = threading.Event(), threading.Semaphore(0)

    def script(server, peer, number):
        while (request := server.read(peer)) is not None:
            if b"/slow" in request:
                held.release()
                goes_on.wait(5)
            peer.sendall(answer(b"1"))

    def stream(outcomes):
        outcomes += [outcome.status for _, outcome in transport.send_each([Request("GET", "/slow")] * 50)]

    with ScriptedServer(script) as server, HTTPTransport(server.url, max_connections=40) as transport:
        found = [], []
        threads = [threading.Thread(target=stream, args=(outcomes,)) for outcomes in found]
        threads[0].start()
        for _ in range(32):
            assert held.acquire(timeout=5)
        threads[1].start()
        assert get(transport).status == 200 and server.connections == 33
        goes_on.set()
        for thread in threads:
            thread.join(5)
        assert [len(outcomes) for outcomes in found] == [50, 50] and server.connections <= 34
        assert get(transport).status == 200


def test_many_at_once_do_not_wait_for_each_others_handshakes(monkeypatch):
    """To a far server connections are opened side by side, while the first one is at work already."""
    opening, together = [], threading.Event()

    def look_up(port):
        opening.append(1)
        if len(opening) == 1:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]
        if len(opening) == 5:
            together.set()
        together.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    addresses(monkeypatch, look_up)

    def script(server, peer, number):
        while server.read(peer) is not None:
            if not number:
                together.wait(5)  # the first request is answered when four more connections are being opened
            peer.sendall(answer(b"%d" % number))

    with ScriptedServer(script) as server:
        with HTTPTransport(f"http://far.test:{server.port}", proxy="", max_connections=5) as transport:
            outcomes = [outcome.status for _, outcome in transport.send_each([Request("GET", "/x")] * 50)]
        assert outcomes == [200] * 50 and together.is_set() and server.connections <= 5


@pytest.mark.parametrize("host", ["far.test", "127.0.0.1"])
def test_many_at_once_to_a_server_that_is_gone_are_errors_one_by_one(monkeypatch, host):
    addresses(monkeypatch, "127.0.0.1")
    with ScriptedServer(always(answer())) as server:
        port = server.port
    with HTTPTransport(f"http://{host}:{port}", proxy="") as transport:
        outcomes = [str(outcome) for _, outcome in transport.send_each([Request("GET", "/x")] * 20)]
    assert len(outcomes) == 20 and all("cannot be reached (Connection refused)" in outcome for outcome in outcomes)


@pytest.mark.parametrize("host", ["far.test", "127.0.0.1"])
def test_a_server_that_goes_away_and_comes_back_gets_each_request_answered_once(monkeypatch, host):
    """Connections die at random; whatever happens, each of many requests has one outcome."""
    addresses(monkeypatch, "127.0.0.1")

    def script(server, peer, number):
        rng = random.Random(number)
        while True:
            request = server.read(peer)
            if request is None:
                return
            if rng.random() < 0.2:
                (reset if rng.random() < 0.5 else socket.socket.close)(peer)
                return
            peer.sendall(answer(request.split(b" ")[1]))

    requests = [Request("GET", f"/{n}") for n in range(300)]
    with ScriptedServer(script) as server:
        with HTTPTransport(f"http://{host}:{server.port}", proxy="", max_connections=6) as transport:
            outcomes = list(transport.send_each(iter(requests)))
            assert host == "far.test" or transport._pool._count == len(transport._pool._idle) <= 6

    assert sorted(request.path for request, _ in outcomes) == sorted(request.path for request in requests)
    assert {outcome.body.decode() == request.path for request, outcome in outcomes if not isinstance(outcome, Exception)} == {True}


def test_one_bad_answer_among_many_is_that_ones_own():
    """V7."""

    def script(server, peer, number):
        while True:
            request = server.read(peer)
            if request is None:
                return
            if b" /bad " in request:
                peer.sendall(b"nonsense\r\n\r\n")
                return
            if b" /cut " in request:
                reset(peer)
                return
            peer.sendall(answer(request.split(b" ")[1]))

    paths = ["/bad" if n % 7 == 3 else "/cut" if n % 11 == 5 else f"/{n}" for n in range(100)]
    with ScriptedServer(script) as server, HTTPTransport(server.url, max_connections=5) as transport:
        outcomes = list(transport.send_each([Request("GET", path) for path in paths]))

    assert sorted(request.path for request, _ in outcomes) == sorted(paths)
    for request, outcome in outcomes:
        if request.path in ("/bad", "/cut"):
            assert isinstance(outcome, TransportError) and outcome.retryable == (request.path == "/cut")
        else:
            assert outcome.body.decode() == request.path


def test_whoever_waits_for_a_connection_gets_one_though_many_are_sent_at_once():
    with ScriptedServer(always(answer())) as server, HTTPTransport(server.url, max_connections=2) as transport:
        got, endless = threading.Event(), iter(lambda: Request("GET", "/many"), None)

        def ask():
            get(transport, "/one")
            got.set()

        outcomes = transport.send_each(endless)
        next(outcomes)
        threading.Thread(target=ask).start()
        while not got.is_set():
            next(outcomes)
        outcomes.close()
        targets = [request.split()[1] for request in server.requests]

    assert targets.count(b"/one") == 1 and len(targets) > 1


def test_closing_gives_back_all_sockets():
    with ScriptedServer(always(answer())) as server:
        transport = HTTPTransport(server.url)
        for _ in transport.send_each([Request("GET", "/x")] * 100):
            pass
        unfinished = transport.send_each([Request("GET", "/x")] * 100)
        next(unfinished)
        transport.close()
        with pytest.raises(ClosedError):
            list(unfinished)
        with pytest.raises(ClosedError):
            list(transport.send_each([Request("GET", "/x")]))
        assert transport._pool._count == 0


# -- redirects -------------------------------------------------------------------------------------------------------------


def test_a_get_follows_three_redirects_on_its_own_server(send):
    given = [
        answer(b"", "302 Found", ["location: /two?a=b%20c&d"]),
        answer(b"", "301 Moved", ["location: http://127.0.0.1:PORT/three"]),
        answer(b"", "308 Moved", ["location: /four#x"]),
        answer(b"there"),
    ]
    with ScriptedServer(lambda *a: replies(*[raw.replace(b"PORT", b"%d" % a[0].port) for raw in given])(*a)) as server:
        with HTTPTransport(server.url) as transport:
            assert send(transport, Request("GET", "/one", headers={"authorization": SECRET})).body == b"there"
        targets = [request.split(b" ")[1] for request in server.requests]
        assert targets == [b"/one", b"/two?a=b%20c&d=", b"/three", b"/four"]
        assert all(SECRET.encode() in request for request in server.requests)


def test_more_redirects_are_an_error(send):
    with ScriptedServer(always(answer(b"", "302 Found", ["location: /again"]))) as server:
        with HTTPTransport(server.url) as transport, pytest.raises(TransportError, match="redirected more than 3 times"):
            send(transport, Request("GET", "/one"))
        assert len(server.requests) == 4


ELSEWHERE = [
    "http://127.0.0.1:OTHER/", "http://localhost:PORT/", "https://127.0.0.1:PORT/", "//127.0.0.1:OTHER/x", "http://user:pw@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@evil/", "\\\\127.0.0.1:OTHER", "http:\\\\127.0.0.1:OTHER", "http://127.0.0.1:PORT@127.0.0.1:OTHER/", "x", "",
    "http://2130706433:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "ftp://127.0.0.1:PORT/",
    "http:///x", "http://127.0.0.1.:PORT/", "javascript:alert(1)", "http://127.0.0.1 :PORT/", "HTTP://127.0.0.1:OTHER", "/x\ty",
]  # fmt: skip


@pytest.mark.parametrize("place", ELSEWHERE)
def test_nothing_goes_to_another_origin(place, send):
    """S11, S12, A21: twenty ways to name one; the other server hears nothing at all."""
    with ScriptedServer(always(answer(b"evil"))) as other:

        def script(server, peer, number):
            named = place.replace("OTHER", str(other.port)).replace("PORT", str(server.port))
            always(answer(b"", "302 Found", [f"location: {named}"]))(server, peer, number)

        with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
            with pytest.raises(TransportError, match="redirected") as caught:
                send(transport, Request("GET", "/x", headers={"authorization": SECRET}))
            assert not caught.value.retryable and SECRET not in str(caught.value) and "pw" not in str(caught.value)
            assert len(server.requests) == 1 or "more than 3" in str(caught.value)
        assert other.connections == 0


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 Moved"])
def test_a_post_is_never_redirected(status, send):
    with ScriptedServer(always(answer(b"", status, ["location: /login"]))) as server:
        with HTTPTransport(server.url) as transport:
            with pytest.raises(TransportError, match=rf"redirected \({status[:3]}\) to {server.url}, and not followed"):
                send(transport, Request("POST", "/x", body=b"{}"))
        assert len(server.requests) == 1


# -- secrets -----------------------------------------------------------------------------------------------------------------


def test_no_secret_in_any_error_or_any_local_of_a_traceback():
    """S02."""
    headers = {"authorization": f"Basic {SECRET}", "x-api-key": SECRET}
    shown = []
    for script in (always(REFUSED["HTTP/0.9"]), lambda s, p, n: (s.read(p), reset(p)), always(REFUSED["two lengths"])):
        with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
            shown.append(repr(transport))
            for request in (Request("POST", "/x", headers=headers), Request("GET", "/x", headers={**headers, "a": "\n"})):
                try:
                    transport.send(request)
                except Exception as error:
                    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
                    # The frame of this test holds the canary; what is told of it starts at our own code.
                    shown.append("".join(frames.format()).split("in send\n", 1)[1])

    assert len(shown) == 9 and not [text for text in shown if SECRET in text]


def test_ctrl_c_while_a_request_is_sent_shows_no_secret(send):
    """S02: wherever it comes; here the clock raises it, at each look of a request that is never taken as a whole."""

    class Breaking(Clock):
        left = 0

        def monotonic(self):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return super().monotonic()

    request = Request("POST", "/x", headers={"authorization": f"Basic {SECRET}"}, body=b"x" * 8_000_000)
    shown = []
    with ScriptedServer(lambda s, p, n: s.ended.wait(10)) as server:
        for looks in range(1, 100):
            clock = Breaking()
            with HTTPTransport(server.url, timeout_seconds=0.05, clock=clock) as transport:
                clock.left = looks
                try:
                    send(transport, request)
                except KeyboardInterrupt as error:
                    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
                    shown.append([(frame.name, frame.locals) for frame in frames if frame.filename != __file__])
                except TransportError:
                    break

    assert "'_send'" in str(shown) and SECRET not in str(shown)


# -- forks, signals ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_has_connections_of_its_own():
    """F11, F12: also when a lock of the parent's was held."""
    with ScriptedServer(lambda s, p, n: always(answer(b"%d" % n))(s, p, n)) as server:
        with HTTPTransport(server.url) as transport:
            assert get(transport).body == b"0"
            reading, writing = os.pipe()
            with transport._pool._lock:
                child = os.fork()
                if not child:
                    try:
                        os.write(writing, get(transport).body)
                    finally:
                        os._exit(0)
            os.waitpid(child, 0)
            assert os.read(reading, 10) == b"1"
            assert get(transport).body == b"0"
            os.close(reading)
            os.close(writing)


@pytest.mark.skipif(not hasattr(__import__("signal"), "setitimer"), reason="no timers")
def test_signals_do_not_disturb_a_request():
    """B29."""
    import signal

    def script(server, peer, number):
        while server.read(peer) is not None:
            for byte in answer(b"x" * 50):
                peer.sendall(bytes((byte,)))

    old = signal.signal(signal.SIGALRM, lambda *ignored: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        with ScriptedServer(script) as server, HTTPTransport(server.url) as transport:
            assert all(get(transport).body == b"x" * 50 for _ in range(20))
            outcomes = transport.send_each([Request("GET", "/x")] * 20)
            assert all(outcome.body == b"x" * 50 for _, outcome in outcomes)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_a_transport_that_was_forgotten_gives_back_its_sockets_without_a_warning():
    """F09; warnings are errors in these tests."""
    ended = threading.Event()

    def script(server, peer, number):
        server.read(peer)
        peer.sendall(answer())
        if server.read(peer) is None:
            ended.set()

    with ScriptedServer(script) as server:
        transport = HTTPTransport(server.url)
        assert get(transport).status == 200 and not ended.is_set()
        del transport
        gc.collect()

        assert ended.wait(5)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_requests_work_at_the_end_of_the_interpreter(host):
    """F08: where no thread can be started any more, and names have to be looked up all the same."""
    source = """
import atexit, sys
from interactiveai_eval import HTTPTransport, Request, RetryTransport
transport = RetryTransport(HTTPTransport(sys.argv[1]))
atexit.register(lambda: print(transport.send(Request("GET", "/x")).status, len(list(transport.send_each([Request("GET", "/x")] * 9)))))
"""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with ScriptedServer(always(answer())) as server:
        url = server.url.replace("127.0.0.1", host)
        said = subprocess.run(
            [sys.executable, "-W", "error", "-c", source, url], cwd=root, capture_output=True, text=True, timeout=30
        )
    assert (said.stdout, said.stderr) == ("200 9\n", "")


@pytest.mark.skipif(not hasattr(__import__("signal"), "setitimer"), reason="no timers")
def test_ctrl_c_in_a_read_or_in_a_pause_leaves_a_transport_that_works():
    """F04, F06."""
    import signal

    def script(server, peer, number):
        while True:
            request = server.read(peer)
            if request is None:
                return
            if b" /busy " in request:
                peer.sendall(answer(b"", "503 Busy", ["retry-after: 30"]))
            elif b" /hangs " in request:
                server.ended.wait(10)
            else:
                peer.sendall(answer(b"fine"))

    def interrupt(*ignored):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        with ScriptedServer(script) as server, HTTPTransport(server.url, max_connections=2) as inner:
            waits = RetryTransport(inner)
            for act in (
                lambda: get(inner, "/hangs"),
                lambda: list(inner.send_each([Request("GET", "/hangs")] * 2)),
                lambda: get(waits, "/busy"),
                lambda: list(waits.send_each([Request("GET", "/busy")])),
            ):
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                with pytest.raises(KeyboardInterrupt):
                    act()
                assert get(inner).body == b"fine" and inner._pool._count == len(inner._pool._idle)
    finally:
        signal.signal(signal.SIGALRM, old)


# -- compressed spans ----------------------------------------------------------------------------------------------------------


def spans(**fields):
    return Request("POST", "/otel", headers={"content-type": "application/x-protobuf"}, body=b"span" * 1000, **fields)


def test_spans_go_out_compressed_where_the_server_takes_it():
    with ScriptedServer(always(answer())) as server, HTTPTransport(server.url, compress_spans=True) as transport:
        transport.send(spans())
        transport.send(Request("POST", "/scores", headers={"content-type": "application/json"}, body=b"{}" * 1000))
        packed, plain = server.requests

        assert b"\r\ncontent-encoding: gzip\r\n" in packed and len(packed) < 500
        assert gzip.decompress(packed.partition(b"\r\n\r\n")[2]) == b"span" * 1000
        assert b"content-encoding" not in plain
    with ScriptedServer(always(answer())) as server, HTTPTransport(server.url) as transport:
        transport.send(spans())
        assert b"content-encoding" not in server.requests[0]  # on this machine bytes cost nothing


def test_a_server_that_knows_no_gzip_gets_them_plain_from_then_on():
    def script(server, peer, number):
        while True:
            found = read_request(peer)
            if found is None:
                return
            server.requests.append(found[0])
            known = b"content-encoding" not in found[0]
            peer.sendall(answer(b"{}") if known else answer(b"what?", "400 Bad Request"))

    with ScriptedServer(script) as server, HTTPTransport(server.url, compress_spans=True) as transport:
        assert [transport.send(spans()).status for _ in range(3)] == [200, 200, 200]
        assert [b"content-encoding" in request for request in server.requests] == [True, False, False, False]
