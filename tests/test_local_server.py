"""The embedded store over HTTP: what it answers, and what it refuses from clients that mean no good.

Requests are written to sockets byte by byte, because every client library would repair them first.
"""
from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import pytest

from interactiveai_eval import (
    ArgumentError,
    FakeTransport,
    LocalServer,
    LocalTransport,
    Response,
    StoreError,
    Transport,
)

from . import programs

KEYS = base64.b64encode(b"pk-local:sk-local").decode()


@pytest.fixture
def server():
    with LocalServer() as made:
        yield made


def connect(server):
    host, _, port = server.url[len("http://") :].rpartition(":")
    connection = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def head(server, line="GET /api/public/projects HTTP/1.1", *headers, host=None, authorization=f"Basic {KEYS}"):
    """The bytes of a head; of `host` and `authorization`, "" leaves them out."""
    host = server.url[len("http://") :] if host is None else host
    lines = [line, *([f"host: {host}"] if host else []), *([f"authorization: {authorization}"] if authorization else [])]
    return "".join([each + "\r\n" for each in [*lines, *headers]]).encode("latin-1") + b"\r\n"


def read(connection):
    """(status, headers, body) of the next answer; None where the connection ended instead."""
    with connection.makefile("rb") as file:
        line = file.readline()
        if not line:
            return None
        headers = {}
        while True:
            name, _, value = file.readline().decode().strip().partition(": ")
            if not name:
                break
            headers[name] = value
        body = file.read(int(headers.get("content-length", "0")))
    return int(line.split()[1]), headers, body


def exchange(server, request):
    """The answer to bytes that are sent as they stand, and whether the connection is over then."""
    with connect(server) as connection:
        connection.sendall(request)
        found = read(connection)
        connection.settimeout(0.05)
        try:
            over = connection.recv(1) == b""
        except TimeoutError:
            over = False
        except socket.timeout:  # what it is called on 3.9
            over = False
        except ConnectionError:
            over = True
    return found, over


def status(server, request):
    found, _ = exchange(server, request)
    return found and found[0]


def post(server, path, body, *headers, **more):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    line = f"POST /api/public/{path} HTTP/1.1"
    return head(server, line, "content-type: application/json", f"content-length: {len(body)}", *headers, **more) + body


SCORE = {"id": "s", "traceId": "t", "name": "n", "value": 1}


# -- what it answers ---------------------------------------------------------------------------------------------------


def test_the_store_answers_over_one_kept_connection(server):
    score = post(server, "scores", SCORE)
    with connect(server) as connection:
        answers = []
        for request in (score, head(server, "GET /api/public/v2/scores/s?x=%20&y=a+b HTTP/1.1")):
            connection.sendall(request)
            answers.append(read(connection))

    assert [(code, json.loads(body).get("id")) for code, _, body in answers] == [(200, "s"), (200, "s")]
    assert server.transport.database is not None


def test_requests_that_are_sent_without_waiting_are_answered_in_their_order(server):
    requests = [head(server, f"GET /api/public/{path} HTTP/1.1") for path in ("projects", "nothing", "health")]
    with connect(server) as connection:
        connection.sendall(post(server, "scores", SCORE) + b"".join(requests))
        answers = [read_one(connection) for _ in range(4)]

    assert answers == [200, 200, 404, 200]


def read_one(connection):
    """The status of the next answer, read byte by byte so that nothing of the one after it is taken."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, data
        data += byte
    length = int(data.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while length:
        length -= len(connection.recv(length))
    return int(data.split()[1])


def test_a_request_may_come_in_pieces(server):
    request = post(server, "scores", SCORE)
    with connect(server) as connection:
        for byte in range(len(request)):
            connection.send(request[byte : byte + 1])
        code, _, body = read(connection)

    assert (code, json.loads(body)) == (200, {"id": "s"})


def test_many_clients_at_once_lose_nothing(server):
    def work(client):
        with connect(server) as connection:
            for number in range(50):
                connection.sendall(post(server, "scores", {**SCORE, "id": f"{client}-{number}"}))
                assert read_one(connection) == 200

    threads = [threading.Thread(target=work, args=(client,)) for client in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with server.transport.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (400,)


def test_answers_say_what_browsers_must_not_do_and_nothing_about_us(server):
    (_, headers, _), _ = exchange(server, head(server))

    assert headers.pop("date").endswith(" GMT") and headers.pop("content-length").isdecimal()
    assert headers == {
        "content-type": "application/json; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    }


def test_head_requests_have_no_body_in_their_answer(server):
    with connect(server) as connection:
        connection.sendall(head(server, "HEAD /api/public/projects HTTP/1.1", "connection: close"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 405 ") and answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("line", ["GET /api/public/projects HTTP/1.0", "GET /api/public/projects HTTP/1.1"])
def test_a_connection_ends_where_the_client_says_so(server, line):
    (code, headers, _), over = exchange(server, head(server, line, "connection: close"))

    assert (code, headers["connection"], over) == (200, "close", True)


def test_a_body_is_asked_for_where_the_client_waits_for_that(server):
    request = post(server, "scores", SCORE, "expect: 100-continue")
    with connect(server) as connection:
        connection.sendall(request[: request.index(b"\r\n\r\n") + 4])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(request[request.index(b"\r\n\r\n") + 4 :])
        assert read(connection)[0] == 200


def test_compressed_bodies_are_read_where_real_servers_read_them(server):
    export = gzip.compress(b'{"resourceSpans": []}')
    score = gzip.compress(json.dumps(SCORE).encode())

    assert status(server, post(server, "otel/v1/traces", export, "content-encoding: gzip")) == 200
    assert exchange(server, post(server, "scores", score, "content-encoding: gzip"))[0][::2] == (400, b"Invalid JSON")


def test_unknown_routes_are_a_page_and_refusals_are_json(server):
    page, _ = exchange(server, head(server, "GET /api/public/nothing HTTP/1.1"))
    refusal, _ = exchange(server, head(server, "GET /api/public/traces?limit=101 HTTP/1.1"))
    wrong, _ = exchange(server, head(server, "DELETE /api/public/projects HTTP/1.1"))

    assert (page[0], page[1]["content-type"]) == (404, "text/html; charset=utf-8")
    assert (refusal[0], json.loads(refusal[2])["message"]) == (400, "Invalid request data")
    assert wrong[0] == 405


# -- keys --------------------------------------------------------------------------------------------------------------


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (basic("pk-local:sk-local"), 200),
        (f"basic  {KEYS}", 200),
        ("", 401),
        ("Basic", 401),
        (f"Basic {KEYS}=", 401),
        (f"Basic {KEYS[:-1]}", 401),
        (f"Basic {KEYS} {KEYS}", 401),
        (basic("pk-local:sk-loca"), 401),
        (basic("pk-local:sk-locals"), 401),
        (basic("sk-local:pk-local"), 401),
        (basic("pk-local"), 401),
        ("Basic \u00e9\u00ff", 401),
        ("Basic " + "A" * 60_000, 401),
        ("Bearer sk-local", 401),
        ("Bearer pk-local", 403),
        (f"Bearer {KEYS}", 401),
        (KEYS, 401),
    ],
)
def test_only_the_keys_open_the_store(server, authorization, code):
    (found, headers, body), _ = exchange(server, head(server, authorization=authorization))

    assert found == code
    assert "message" in json.loads(body) or code == 200
    assert "www-authenticate" not in headers  # a browser would ask for the keys, and send them for any page then


def test_the_public_key_alone_may_post_scores_and_nothing_else(server):
    bearer = {"authorization": "Bearer pk-local"}

    assert status(server, post(server, "scores", SCORE, **bearer)) == 200
    assert status(server, post(server, "ingestion", {"batch": []}, **bearer)) == 403
    assert status(server, post(server, "otel/v1/traces", {}, **bearer)) == 403
    assert status(server, head(server, "GET /api/public/scores HTTP/1.1", **bearer)) == 403
    assert status(server, head(server, "GET /api/public/health HTTP/1.1", authorization="")) == 200


@pytest.mark.parametrize("path", ["scores", "health"])
def test_a_body_without_keys_is_not_read(server, path):
    line = f"POST /api/public/{path} HTTP/1.1"
    found, over = exchange(server, head(server, line, "content-length: 9", authorization=""))

    assert (found[0], found[1]["connection"], over) == (401, "close", True)


# -- other people's pages ----------------------------------------------------------------------------------------------


def hosts(server):
    port = server.url.rpartition(":")[2]
    good = ["127.0.0.1:{}", "localhost:{}", "LOCALHOST:{}", "[::1]:{}"]
    bad = ["evil.example:{}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{}.evil.example", "evil.example", "127.0.0.2:{}",
           "127.0.0.1:{}:{}", "user@127.0.0.1:{}", "127.0.0.1:{}/", "127.0.0.1 :{}", "localhost.:{}", "::1:{}", "0:{}"]  # fmt: skip
    return [(each.replace("{}", port), 200) for each in good] + [(each.replace("{}", port), 421) for each in bad]


def test_a_name_that_was_made_to_lead_here_is_refused(server):
    """DNS rebinding: the page's own host name resolves to loopback, and its requests carry that name."""
    for host, code in hosts(server):
        assert status(server, head(server, host=host)) == code, host
    assert status(server, head(server, host="")) == 421
    assert status(server, head(server, "GET /api/public/projects HTTP/1.1", f"host: {server.url[7:]}")) == 400  # two


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("origin: https://evil.example", 403),
        ("origin: null", 403),
        ("origin: http://127.0.0.1:1", 403),
        ("sec-fetch-site: cross-site", 403),
        ("sec-fetch-site: same-site", 403),
        ("sec-fetch-site: none", 200),
        ("sec-fetch-mode: cors", 200),  # Node's fetch sends it, and no origin
    ],
)
def test_requests_of_web_pages_are_refused(server, header, code):
    (found, headers, _), _ = exchange(server, head(server, "GET /api/public/projects HTTP/1.1", header))

    assert found == code
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_preflight_gets_no_permission(server):
    line = "OPTIONS /api/public/scores HTTP/1.1"
    (code, headers, _), _ = exchange(server, head(server, line, "origin: https://evil.example", authorization=""))

    assert code == 403 and not [name for name in headers if name.startswith("access-control")]


# -- framing -----------------------------------------------------------------------------------------------------------

GET, POST = "GET /api/public/projects HTTP/1.1", "POST /api/public/scores HTTP/1.1"


@pytest.mark.parametrize(
    ("line", "headers", "code"),
    [
        (POST, ["content-length: 5", "transfer-encoding: chunked"], 400),
        (POST, ["transfer-encoding: chunked"], 411),
        (POST, ["transfer-encoding: identity"], 411),
        (POST, ["content-length: 5", "content-length: 5"], 400),
        (POST, ["content-length: 5, 5"], 400),
        (POST, ["content-length: -5"], 400),
        (POST, ["content-length: +5"], 400),
        (POST, ["content-length: 5 5"], 400),
        (POST, ["content-length: 0x5"], 400),
        (POST, ["content-length: \u00b2"], 400),
        (POST, ["content-length: " + "9" * 30], 400),
        (POST, ["content-length:"], 400),
        (POST, ["content-length : 5"], 400),
        (POST, [" content-length: 5"], 400),
        (POST, ["x: a", "\tfolded"], 400),
        (POST, ["x: a\nb: c"], 400),
        (POST, ["x: a\rb"], 400),
        (POST, ["x: a\x00b"], 400),
        (POST, ["x: a\x1b[31m"], 400),
        (POST, ["no colon"], 400),
        (POST, [": no name"], 400),
        (POST, ["n\u00e4me: x"], 400),
        (POST, ["expect: 200-ok"], 417),
        (POST, ["authorization: Basic x"], 400),
        (POST, ["content-type: a", "content-type: b"], 400),
        (GET, ["x: y"] * 101, 431),
        (GET, ["x: " + "y" * 70_000], 431),
        ("GET  /api/public/projects HTTP/1.1", [], 400),
        ("GET /api/public/projects  HTTP/1.1", [], 400),
        (" GET /api/public/projects HTTP/1.1", [], 400),
        ("get /api/public/projects HTTP/1.1", [], 400),
        ("GET /api/public/projects HTTP/1.2", [], 400),
        ("GET /api/public/projects HTTP/2.0", [], 400),
        ("GET /api/public/projects", [], 400),
        ("GET /api/public/projects#x HTTP/1.1", [], 400),
        ("GET api/public/projects HTTP/1.1", [], 400),
        ("GET http://127.0.0.1/api/public/projects HTTP/1.1", [], 400),
        ("GET http://evil.example/api/public/projects HTTP/1.1", [], 400),
        ("CONNECT 127.0.0.1:80 HTTP/1.1", [], 400),
        ("OPTIONS * HTTP/1.1", [], 400),
        ("GET /api/public/proj\xe9cts HTTP/1.1", [], 400),
        ("G\x00T /api/public/projects HTTP/1.1", [], 400),
        ("GET /api/public/traces?" + "&".join(["a=b"] * 1001) + " HTTP/1.1", [], 400),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_ended(server, line, headers, code):
    """So nothing that follows can pass as a second request: one answer, then the end."""
    smuggled = head(server)
    found, over = exchange(server, head(server, line, *headers) + smuggled)

    assert (found[0], found[1]["connection"], over) == (code, "close", True)


def test_lines_must_end_as_lines_do(server):
    bare = head(server).replace(b"\r\n", b"\n")
    with connect(server) as connection:
        connection.sendall(bare + b"\r\n\r\n")
        assert read(connection)[0] == 400


@pytest.mark.parametrize(
    "path",
    ["/api/public/../../etc/passwd", "/../../../etc/passwd", "/api/public/traces/..", "/api/public/traces/.",
     "/api/public/traces/%2e%2e", "/api/public/traces/%2E%2E", "/api/public/traces/..%2f..%2fprojects",
     "/api/public/datasets/../runs", "/api/public/v2/datasets/%2e", "/api/public//projects", "//evil.example/api/public/projects",
     "/api/public/traces/%00", "/api/public/traces/%ff", "/api/public/traces/%252e%252e", "/", "/index.html",
     "/api/public/projects/", "/API/PUBLIC/PROJECTS", "/api/public/projects%00", "/api/public/projects;x=y"],
)  # fmt: skip
def test_paths_lead_nowhere_but_to_routes(server, path):
    assert status(server, head(server, f"GET {path} HTTP/1.1")) in (400, 404)


def test_whatever_bytes_come_there_is_an_answer_or_an_end_and_no_defect(server, caplog):
    """Requests with a few bytes changed, cut out or put in."""
    rng = random.Random(11)
    good = [post(server, "scores", SCORE), head(server, "GET /api/public/traces?limit=1&filter=%5B%5D HTTP/1.1")]
    for _ in range(300):
        data = bytearray(rng.choice(good))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(3)] = rng.choice([b"", b"\r\n", b"\0", b" ", b":", b"%", b"\xff", bytes([rng.randrange(256)])])
        with connect(server) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert not answer or 200 <= int(answer[9:12]) < 500, (bytes(data), answer)
    assert caplog.records == [] and status(server, good[0]) == 200


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "largest", "text"),
    [("scores", 2**20, b"1mb"), ("ingestion", 4_718_592, b"4.5mb"), ("dataset-items", 4_718_592, b"4.5mb"),
     ("otel/v1/traces", 64 * 2**20, b"64mb")],
)  # fmt: skip
def test_a_body_over_the_limit_is_refused_before_it_is_read(server, path, largest, text):
    line = f"POST /api/public/{path} HTTP/1.1"
    found, over = exchange(server, head(server, line, f"content-length: {largest + 1}"))

    assert (found[0], found[2], over) == (413, b"Body exceeded " + text + b" limit", True)


def test_a_body_of_the_largest_size_is_taken(server):
    body = json.dumps({**SCORE, "comment": ""}).encode()
    body = body.replace(b'"comment": ""', b'"comment": "' + b"x" * (2**20 - len(body)) + b'"')

    assert len(body) == 2**20 and status(server, post(server, "scores", body)) == 200


def test_a_client_that_sends_on_after_a_refusal_still_reads_it(server):
    """Without that, it would see a broken pipe and not the reason, and send everything again."""
    body = b"x" * (30 * 2**20)  # more than the buffers between them hold
    with connect(server) as connection:
        connection.sendall(post(server, "scores", body))
        assert read(connection)[0] == 413


# -- slow, silent and too many clients ---------------------------------------------------------------------------------


@pytest.fixture
def impatient():
    with LocalServer(head_seconds=0.1) as made:
        yield made


@pytest.mark.parametrize("sent", [b"", b"GET /api", b"GET / HTTP/1.1\r\nx: y\r\n"])
def test_a_client_that_does_not_come_to_the_point_is_cut_off(impatient, sent):
    with connect(impatient) as connection:
        connection.sendall(sent)
        assert read(connection) is None


def test_a_client_that_drips_is_cut_off_like_a_silent_one(impatient):
    """The time is for the whole head, not for each byte."""
    with connect(impatient) as connection:
        connection.settimeout(0.02)
        begun = time.monotonic()
        with pytest.raises(OSError):  # the end of the connection, seen when writing
            while time.monotonic() < begun + 10:
                connection.send(b"G")
                try:
                    if connection.recv(1) == b"":
                        raise ConnectionResetError
                except (TimeoutError, socket.timeout):
                    continue
    assert time.monotonic() < begun + 5


def test_a_next_head_that_has_begun_has_the_time_of_a_head(impatient):
    """Without keys anybody could hold a connection that is not idle for as long as an idle one may last."""
    with connect(impatient) as connection:
        connection.sendall(head(impatient, "GET /api/public/health HTTP/1.1", authorization="") + b"G")
        assert read_one(connection) == 200
        assert connection.recv(1) == b""


def test_a_body_that_does_not_come_ends_the_connection():
    with LocalServer(body_seconds=0.1) as server, connect(server) as connection:
        connection.sendall(head(server, POST, "content-length: 100") + b"{")
        assert read(connection) is None


def test_an_idle_connection_ends_after_its_time():
    with LocalServer(idle_seconds=0.1) as server, connect(server) as connection:
        connection.sendall(head(server))
        assert read_one(connection) == 200
        assert connection.recv(1) == b""


def test_a_client_that_never_reads_ends_with_its_answer():
    size = 32 * 2**20
    large = FakeTransport(lambda request: Response(200, body=bytes(size)))
    with LocalServer(large, body_seconds=0.1) as server, connect(server) as connection:
        connection.sendall(head(server))
        last = time.monotonic() + 5
        while not large.requests or server._connections:
            assert time.monotonic() < last
            time.sleep(0.01)
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(2**20):
                taken += len(more)

    assert taken < size


def test_a_thousand_silent_clients_leave_room_for_one_that_speaks():
    silent = []
    with LocalServer(max_connections=20) as server:
        try:
            silent += [connect(server) for _ in range(1000)]
            assert status(server, head(server)) == 200
            assert len(server._connections) <= 20
        finally:
            for each in silent:
                each.close()


def test_one_too_many_at_work_is_told_to_come_later():
    entered, leave = threading.Semaphore(0), threading.Event()

    def work(request):
        entered.release()
        leave.wait(10)
        return Response(200)

    with LocalServer(FakeTransport(work), max_connections=2) as server:
        busy = [connect(server) for _ in range(2)]
        for each in busy:
            each.sendall(head(server))
            entered.acquire()
        with connect(server) as late:
            assert read(late)[0] == 503
        leave.set()
        assert [read(each)[0] for each in busy] == [200, 200]
        for each in busy:
            each.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_server_without_a_free_descriptor_takes_that_of_an_idle_client():
    """Clients that do nothing must not keep out those that work, nor may the server spin meanwhile."""
    source = """if True:
        import resource, sys, time
        from interactiveai_eval import LocalServer

        server = LocalServer(max_connections=1000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        print(server.url, flush=True)
        sys.stdin.read()
        print(time.process_time() < 2)
        server.close()
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    program = subprocess.Popen([sys.executable, "-c", source], text=True, env=programs.environment(), **pipes)

    class Served:
        url = program.stdout.readline().strip()

    idle = [connect(Served) for _ in range(40)]
    assert status(Served, head(Served)) == 200
    for each in idle:
        each.close()
    assert program.communicate(timeout=10) == ("True\n", "") and program.returncode == 0


def test_a_client_for_whom_there_is_no_thread_is_turned_away_and_forgotten():
    """It must count no longer, nor hold up the end of the server, which waits for all that are there."""
    source = """if True:
        import _thread, socket, threading, time

        start, refusals = _thread.start_new_thread, [True, False]

        def start_or_refuse(*arguments):
            if refusals.pop(0):
                raise RuntimeError("can't start new thread")
            return start(*arguments)

        _thread.start_new_thread = start_or_refuse
        from interactiveai_eval import LocalServer

        server = LocalServer()
        place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(place) as client:
            print(client.recv(100)[:12].decode())
        with socket.create_connection(place) as client:
            client.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost:%d\\r\\n\\r\\n" % place[1])
            print(client.recv(100)[:12].decode())
        began = time.monotonic()
        server.close()
        print(time.monotonic() - began < 4)
    """

    assert programs.run(source) == "HTTP/1.1 503\nHTTP/1.1 401\nTrue\n"


# -- what stands behind ------------------------------------------------------------------------------------------------


class Failing(Transport):
    def __init__(self, error):
        self.error = error

    def send(self, request):
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (StoreError("the disk is full", retryable=True), 503, "the disk is full"),
        (StoreError("it is damaged", retryable=False), 500, "it is damaged"),
        (ZeroDivisionError("secret"), 500, "Internal Server Error"),
    ],
)
def test_a_failure_behind_the_server_is_an_answer(error, code, message, caplog):
    with LocalServer(Failing(error)) as server:
        found, over = exchange(server, head(server))

    assert (found[0], json.loads(found[2])["message"], over) == (code, message, False)
    assert len(caplog.records) == (message == "Internal Server Error")


def test_any_transport_can_be_served_and_stays_open():
    fake = FakeTransport(lambda request: Response(207, headers={"retry-after": "1", "content-length": "99"}, body=b"x"))
    with LocalServer(fake) as server:
        found, _ = exchange(server, head(server, "PUT /any?a=b&a=&%C3%A9=%2B+ HTTP/1.1", "X-Y:  z ", "x-y: 2"))

    (request,) = fake.requests
    assert (found[0], found[1]["retry-after"], found[2]) == (207, "1", b"x")
    assert (request.method, request.path, request.query) == ("PUT", "/any", (("a", "b"), ("a", ""), ("\u00e9", "+ ")))
    assert request.headers["x-y"] == "z, 2"
    fake.send(request)


def test_what_the_server_stored_is_there_without_it(tmp_path):
    with LocalTransport(tmp_path / "store.db") as store:
        with LocalServer(store) as server:
            assert status(server, post(server, "scores", SCORE)) == 200
        with store.database.read() as connection:
            assert connection.execute("SELECT id FROM scores").fetchall() == [("s",)]


# -- beginning and end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"public_key": ""}, "public_key"),
        ({"public_key": "a:b"}, "public_key"),
        ({"secret_key": "\u00e9"}, "secret_key"),
        ({"secret_key": "a\nb"}, "secret_key"),
        ({"port": -1}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "80"}, "port"),
        ({"host": "0.0.0.0"}, "host"),
        ({"host": "::"}, "host"),
        ({"host": "198.51.100.1", "secret_key": "own"}, "port"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_is_opened(given, name):
    with pytest.raises(ArgumentError) as caught:
        LocalServer(**given)

    assert caught.value.argument == name and "sk-" not in str(caught.value)


def test_a_port_in_use_is_named(server):
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(ArgumentError, match=f"port={port}: cannot be listened on"):
        LocalServer(port=port)


def test_a_server_beyond_loopback_answers_to_addresses_not_to_names():
    """Nobody else can make an address lead elsewhere, as can be done with a name of one's own."""
    with LocalServer(host="0.0.0.0", secret_key="own") as made:
        port = made.url.rpartition(":")[2]
        made.url = f"http://127.0.0.1:{port}"
        keys = {"authorization": basic("pk-local:own")}

        assert status(made, head(made, host=f"127.0.0.1:{port}", **keys)) == 200
        assert status(made, head(made, host=f"192.0.2.7:{port}", **keys)) == 200
        assert status(made, head(made, host=f"evil.example:{port}", **keys)) == 421


def test_closing_ends_idle_connections_and_lets_the_last_answer_out():
    entered, leave = threading.Event(), threading.Event()

    def work(request):
        entered.set()
        leave.wait(10)
        return Response(200)

    server = LocalServer(FakeTransport(work))
    with connect(server) as idle, connect(server) as busy:
        busy.sendall(head(server))
        entered.wait(10)
        closing = threading.Thread(target=server.close)
        closing.start()
        assert idle.recv(1) == b""
        leave.set()
        code, headers, _ = read(busy)
        closing.join()

    server.close()
    assert (code, headers["connection"]) == (200, "close")
    with pytest.raises(OSError):
        connect(server).close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12 and newer: it has threads
def test_a_forked_child_that_closes_its_copy_ends_nothing(server):
    with connect(server) as connection:
        connection.sendall(head(server))
        assert read_one(connection) == 200
        child = os.fork()
        if not child:
            server.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

        connection.sendall(head(server))
        assert read_one(connection) == 200
        assert status(server, head(server)) == 200


def test_a_server_shows_its_address_and_no_secret(server):
    assert repr(server) == f"LocalServer({server.url})"
    assert server.base_url == server.url and server.url.startswith("http://127.0.0.1:")
    assert (server.public_key, server.secret_key) == ("pk-local", "sk-local")


def serve(*arguments, **more):
    command = [sys.executable, "-m", "interactiveai_eval", "serve", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=programs.environment(**more))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that can be handled")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_where_and_ends_well(tmp_path, number):
    with serve("--store", str(tmp_path / "s.db"), "--public-key", "pk-1", "--secret-key", "sk-1") as program:
        line = program.stdout.readline()

        class Served:
            url = line[len("Serving ") :].strip()

        keys = {"authorization": basic("pk-1:sk-1")}
        code = status(Served, post(Served, "scores", SCORE, **keys))
        program.send_signal(number)
        out, err = program.communicate(timeout=10)

    assert line.startswith("Serving http://127.0.0.1:")
    assert (code, program.returncode, out, err) == (200, 0, "", "")
    with LocalTransport(tmp_path / "s.db") as store, store.database.read() as connection:
        assert connection.execute("SELECT id FROM scores").fetchall() == [("s",)]


def test_serve_ends_wherever_a_signal_comes():
    """SIGTERM, then SIGINT, at each line that the main thread runs from the first line of output on."""
    program = programs.start(
        """
        import signal, sys
        from interactiveai_eval.cli import main

        numbers = [signal.SIGTERM, signal.SIGINT]

        class Told:
            encoding, begun = "utf-8", False
            def write(self, text):
                self.begun = True
            def flush(self):
                pass

        def look(frame, event, argument):
            if sys.stdout.begun:
                numbers.append(numbers.pop(0))
                signal.raise_signal(numbers[0])
            return look

        sys.stdout = Told()
        sys.settrace(look)
        try:
            code = main(["serve"])
        finally:
            sys.settrace(None)
        print(code, file=sys.__stdout__)
        """
    )
    try:
        out, err = program.communicate(timeout=20)
    finally:
        program.kill()

    assert (program.returncode, out, err) == (0, "0\n", "")


@pytest.mark.parametrize(
    "arguments, variables, keys",
    [
        ((), {}, "pk-local:sk-local"),
        ((), {"INTERACTIVEAI_PUBLIC_KEY": "pk-1", "INTERACTIVEAI_SECRET_KEY": "sk-1"}, "pk-1:sk-1"),
        (("--public-key", "pk-2", "--secret-key", "sk-2"), {"INTERACTIVEAI_SECRET_KEY": "sk-1"}, "pk-2:sk-2"),
    ],
)
def test_serve_takes_its_keys_from_the_environment_too_and_says_whether_the_secret_is_the_default(arguments, variables, keys):
    """Options are seen by everybody who may list processes."""
    with serve("--json", *arguments, **variables) as program:
        told = json.loads(program.stdout.readline())

        class Served:
            url = told["url"]

        code = status(Served, post(Served, "scores", SCORE, authorization=basic(keys)))
        program.terminate()
        program.communicate(timeout=10)

    assert code == 200
    assert (told["public_key"], told["default_secret"]) == (keys.partition(":")[0], keys == "pk-local:sk-local")


def test_serve_refuses_what_it_cannot_use(tmp_path):
    for arguments, name in ((("--store", str(tmp_path)), "--store"), (("--host", "0.0.0.0"), "host")):
        with serve(*arguments) as program:
            out, err = program.communicate(timeout=10)
        assert (program.returncode, out, err.count("\n")) == (2, "", 1) and name in err


def test_serving_leaves_no_thread_and_no_warning():
    before = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with LocalServer() as server:
            status(server, head(server))

    assert threading.active_count() == before
