"""The embedded store over HTTP on loopback, for programs of any language, the reference SDK included.

One thread waits for connections and looks after their deadlines, and each connection has a thread that reads a request,
has the transport answer it and writes the answer: a small request is one `recv` and one `send`. The server is made for
one machine and yet trusts nobody: any web page that a browser shows can send requests to loopback. So every request
needs the keys, its Host must be ours, and nothing is read of a body that will not be taken.
"""
from __future__ import annotations

import os
import time
from _thread import start_new_thread
from binascii import b2a_base64
from hmac import compare_digest
from threading import Lock, Thread

from .._log import warn
from .._strict_json import to_json
from .._visible import name_text
from ..config import Secret
from ..errors import ArgumentError, FeatureUnavailable, TransportError, error_text, short_repr, traceback_text
from .base import Request, Response, Transport
from .local import LocalTransport
from .local.routes import largest_body
from .request_head import MOST_HEAD_BYTES, BadHead, Head

try:
    import selectors
    import socket
except ImportError as _problem:
    raise FeatureUnavailable("the server of a store", _problem.name or "socket") from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULT_KEYS = ("pk-local", "sk-local")
_MOST_BYTES = 64 * 2**20  # a made-up bound: of a body where real servers have none; their clients drop larger exports
_LINGER_BYTES = 64 * 2**20
_NEVER = float("inf")
_TICK_SECONDS = 0.25  # how late a deadline may be noticed
_PIECE = 65_536
_LONGEST_CLOSE_SECONDS = 5.0
_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 207: "Multi-Status", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 411: "Length Required", 413: "Content Too Large",
    417: "Expectation Failed", 421: "Misdirected Request", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
# What a browser that came here must not do. There are no CORS headers: no page of elsewhere may read an answer.
_ALWAYS = (
    b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
    b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
)
_SCORES = ("/api/public/scores", "/api/public/v2/scores")


class LocalServer:
    """Serves `transport` (by default a `LocalTransport` in memory) until `close`; a context manager.

    `url` (= `base_url`) is where; with port 0 the system chooses one that is free. Requests need the two keys: as Basic
    credentials, or the public key alone as a Bearer token to post scores. Beyond loopback the secret key must be one of
    your own. A transport that is given stays open when the server closes. Clients that need longer than
    `head_seconds` for a head or `body_seconds` for a body or for taking an answer are cut off, idle connections after
    `idle_seconds`, or as soon as more than `max_connections` are there.

    Raises: ArgumentError when host, port or keys cannot be used.
    """

    def __init__(
        self,
        transport: Transport | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        public_key: str = DEFAULT_KEYS[0],
        secret_key: str = DEFAULT_KEYS[1],
        max_connections: int = 128,
        head_seconds: float = 5.0,
        body_seconds: float = 30.0,
        idle_seconds: float = 120.0,
    ) -> None:
        secret = Secret(secret_key)
        del secret_key  # from here on no traceback can show it
        _check(host, port, public_key, secret)
        self.public_key = public_key
        self._secret = secret
        self.max_connections = max_connections
        self.head_seconds = head_seconds
        self.body_seconds = body_seconds
        self.idle_seconds = idle_seconds
        self._basic = Secret(b2a_base64(f"{public_key}:{secret.reveal()}".encode(), newline=False).decode("ascii"))
        self._bearer = public_key.encode()
        self._listener = _listening(host, port)
        try:
            port = self._listener.getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            self.url = self.base_url = f"http://{shown}:{port}"
            names = {shown.lower(), *(["localhost", "127.0.0.1", "[::1]"] if host in LOOPBACK else [])}
            self._any_address = host in ("0.0.0.0", "::", "")
            self._hosts = {f"{name}:{port}" for name in names} | (names if port == 80 else set())
            self._owned = transport is None
            self.transport = LocalTransport() if transport is None else transport
        except BaseException:
            self._listener.close()
            raise
        self._pid = os.getpid()
        self._closed = False
        self._closing = Lock()
        self._connections: set[_Connection] = set()
        self._bell, self._ringer = socket.socketpair()
        self._thread = Thread(target=self._accept, name="interactiveai_eval-server", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"LocalServer({getattr(self, 'url', 'not open')})"  # a traceback may show one that is being built

    @property
    def secret_key(self) -> str:
        """The key that clients need beside the public one."""
        return self._secret.reveal()

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()

    def close(self) -> None:
        """Stop: requests that are being answered get a few seconds, then all connections end. Again: nothing.

        A forked child has only copies of the sockets: there, closing lets go of these and ends nothing.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
            if self._pid != os.getpid():
                for copy in (self._listener, self._bell, self._ringer):
                    copy.close()
                for connection in self._connections:
                    connection.close()
                return
            self._ringer.send(b"!")
            self._thread.join()
            until = time.monotonic() + _LONGEST_CLOSE_SECONDS
            left = list(self._connections)
            for connection in left:
                if connection.idle:
                    connection.cut()
            for connection in left:
                if not connection.ended(max(0.0, until - time.monotonic())):
                    connection.cut()
            self._bell.close()
            self._ringer.close()
            if self._owned:
                self.transport.close()

    # -- the thread that accepts ---------------------------------------------------------------------------------------

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener as listener:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while not self._closed:
                ready = selector.select(_TICK_SECONDS if self._connections else None)
                self._cut_late_ones()
                if ready and not self._closed:
                    self._take(listener)

    def _take(self, listener: socket.socket) -> None:
        try:
            taken, _ = listener.accept()
        except BlockingIOError:
            return  # it is gone again
        except OSError:
            # No descriptor is left: one that idles gives us its own. Without a pause this would be a busy loop.
            self._make_room()
            time.sleep(0.02)
            return
        try:
            if not self._begin(taken):
                taken.setblocking(False)
                taken.send(_response_bytes(_refusal(503, "too many connections"), keep_alive=False))
                taken.close()
        except OSError:  # it is gone already
            taken.close()

    def _begin(self, taken: socket.socket) -> bool:
        """Talk with a client on a thread of its own; False where there is no room, or can be no more threads."""
        taken.setblocking(True)
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self._connections) >= self.max_connections and not self._make_room():
            return False
        connection = _Connection(self, taken)
        self._connections.add(connection)
        try:
            connection.start()
        except RuntimeError:
            self.forget(connection)
            return False
        return True

    def _make_room(self) -> bool:
        """Cut the connection that has idled longest; False where none idles."""
        idle = [each for each in list(self._connections) if each.idle and each.deadline > 0.0]
        if not idle:
            return False
        oldest = min(idle, key=lambda each: each.since)
        oldest.deadline = 0.0
        oldest.cut()
        self._connections.discard(oldest)
        return True

    def _cut_late_ones(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            if connection.deadline < now:
                connection.cut()

    # -- judging a request ---------------------------------------------------------------------------------------------

    def judge(self, head: Head) -> Response | None:
        """The refusal of a request by its head alone; None where its body may be read."""
        headers = head.headers
        if not self._is_ours(headers.get("host", "")):
            return _refusal(421, "this server is not at that host")
        origin = headers.get("origin")
        if origin is not None and not self._is_ours(origin.partition("://")[2]):
            return _refusal(403, "requests of web pages are not served")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _refusal(403, "requests of web pages are not served")
        refusal = self._unauthorized(head, headers.get("authorization", ""))
        if refusal is None:
            largest, shown = largest_body(head.path, _MOST_BYTES)
            if head.length > largest:
                return _text(413, f"Body exceeded {shown} limit")
        return refusal

    def _is_ours(self, host: str) -> bool:
        """Whether a request to `host` is meant for us: a name that is not ours has been made to lead here."""
        if host.lower() in self._hosts:
            return True
        name, _, port = host.rpartition(":")
        return self._any_address and port == self.url.rpartition(":")[2] and _is_address(name.strip("[]"))

    def _unauthorized(self, head: Head, authorization: str) -> Response | None:
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode("latin-1")
        kind = scheme.lower()
        if kind == "basic" and compare_digest(given, self._basic.reveal().encode("ascii")):
            return None
        if head.path == "/api/public/health" and not head.length:
            return None
        if not authorization:
            return _refusal(401, "No authorization header", error=False)
        if kind == "bearer" and compare_digest(given, self._bearer):
            if head.method == "POST" and head.path in _SCORES:
                return None
            return _refusal(403, "Access denied: this needs the secret key too")
        return _refusal(401, "Invalid credentials: check the keys and the host", error=False)

    def answer(self, head: Head, body: bytes) -> Response:
        """The transport's answer, or what tells the client that it has none."""
        try:
            return self.transport.send(
                Request(head.method, head.path, query=head.query, headers=head.headers, body=body)
            )
        except TransportError as error:
            return _refusal(503 if error.retryable else 500, error_text(error))
        except Exception as error:
            # A defect of ours, or the transport was closed: the client learns no more than that there is one.
            warn(f"{head.method} {name_text(head.path)} failed: {short_repr(error)}: {traceback_text(error)}")
            return _refusal(500, "Internal Server Error")

    @property
    def closing(self) -> bool:
        return self._closed

    def forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)


class _Connection:
    """One client's connection and the thread that talks to it. The accepting thread cuts it at its `deadline`.

    It is `idle` when nothing would be lost by that: no byte of a request has come, or it was refused.
    """

    def __init__(self, server: LocalServer, taken: socket.socket) -> None:
        self._server = server
        self._socket = taken
        self.since = time.monotonic()
        self.deadline = self.since + server.head_seconds
        self.idle = True
        self._talks = Lock()

    def cut(self) -> None:
        """End it from another thread: what waits for a byte, or for room to write one, returns."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is over already

    def start(self) -> None:
        """Begin to talk. Not with `Thread.start`, which waits for the new thread: clients would come in one by one."""
        self._talks.acquire()
        start_new_thread(self._run, ())

    def close(self) -> None:
        """Let go of the socket, which stays open in the process that serves."""
        self._socket.close()

    def ended(self, wait_seconds: float) -> bool:
        """Whether it is over, now or within the time."""
        return self._talks.acquire(timeout=wait_seconds)

    def _run(self) -> None:
        try:
            with self._socket:
                try:
                    self._converse()
                except BadHead as bad:
                    self._refuse(_text(bad.status, bad.text))
        except OSError:
            return  # the client is gone, or was cut off
        finally:
            self._server.forget(self)
            self._talks.release()

    def _converse(self) -> None:
        """Answer requests until the client goes or one is refused. Raises BadHead for one that cannot be read."""
        server, send = self._server, self._socket.sendall
        data = b""
        while not server.closing:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                data, end = self._more(data)
                if not end:
                    return
            self.idle = False
            head = Head(data[:end])
            refusal = server.judge(head)
            if refusal is not None:
                return self._refuse(refusal, bodiless=head.method == "HEAD")
            body = data[end : end + head.length]
            data = data[end + head.length :]
            if len(body) < head.length:
                if head.expects:
                    send(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = self._rest(body, head.length)
                if len(body) < head.length:
                    return
            self.deadline = _NEVER
            response = server.answer(head, body)
            keep_alive = head.keep_alive and not server.closing
            self.since = time.monotonic()
            self.deadline = self.since + server.body_seconds
            send(_response_bytes(response, keep_alive=keep_alive, bodiless=head.method == "HEAD"))
            if not keep_alive:
                return
            self.idle = not data  # else the next head has begun
            self.deadline = self.since + (server.idle_seconds if self.idle else server.head_seconds)

    def _more(self, data: bytes) -> tuple[bytes, int]:
        """What has come when a head is complete, and where that ends; 0 where the client went away."""
        while True:
            piece = self._socket.recv(_PIECE)
            if not piece:
                return b"", 0
            data += piece
            end = data.find(b"\r\n\r\n", max(0, len(data) - len(piece) - 3)) + 4
            if end >= 4:
                return data, end
            if len(data) > MOST_HEAD_BYTES:
                raise BadHead(431, "Request Header Fields Too Large")
            if self.idle:
                self.idle, self.deadline = False, time.monotonic() + self._server.head_seconds

    def _rest(self, body: bytes, length: int) -> bytes:
        """The whole body; shorter where the client went away."""
        self.deadline = time.monotonic() + self._server.body_seconds
        pieces, left = [body], length - len(body)
        while left:
            piece = self._socket.recv(min(left, 2**20))
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _refuse(self, refusal: Response, *, bodiless: bool = False) -> None:
        """Say no without reading the rest, and wait a little for the client to read that before it is taken back: a
        connection that is closed with bytes unread is reset."""
        self.deadline, self.idle = time.monotonic() + self._server.head_seconds, True
        self._socket.sendall(_response_bytes(refusal, keep_alive=False, bodiless=bodiless))
        self._socket.shutdown(socket.SHUT_WR)
        left = _LINGER_BYTES
        while left > 0:
            piece = self._socket.recv(_PIECE)
            if not piece:
                return
            left -= len(piece)


def _check(host: str, port: int, public_key: str, secret_key: Secret) -> None:
    for name, key in (("public_key", Secret(public_key)), ("secret_key", secret_key)):
        if not _is_key(key.reveal()):
            raise ArgumentError(name, "***", "must be visible ASCII characters")
    if ":" in public_key:
        raise ArgumentError("public_key", public_key, "must not contain a colon, which ends it in a request")
    if host not in LOOPBACK and secret_key.reveal() == DEFAULT_KEYS[1]:
        raise ArgumentError("host", host, "can be reached from elsewhere: pass a secret_key of your own")
    if type(port) is not int or not 0 <= port <= 65_535:
        raise ArgumentError("port", port, "must be from 0 (any that is free) to 65535")


def _is_key(key: str) -> bool:
    return bool(key) and key.isascii() and key.isprintable() and " " not in key


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where SO_REUSEADDR would share the port with others
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        fix = f"cannot be listened on at host {host!r} ({error.strerror or error}); pass another one, or port 0"
        raise ArgumentError("port", port, fix) from None
    return listener


def _is_address(name: str) -> bool:
    """Whether a host is a number: nobody can make a number lead elsewhere."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in name else socket.AF_INET, name)
    except OSError:
        return False
    return True


def _refusal(status: int, message: str, *, error: bool = True) -> Response:
    body = {"message": message, **({"error": _REASONS[status]} if error else {})}
    return Response(status, headers={"content-type": "application/json; charset=utf-8"}, body=to_json(body).encode())


def _text(status: int, text: str) -> Response:
    return Response(status, headers={"content-type": "text/plain; charset=utf-8"}, body=text.encode())


def _response_bytes(response: Response, *, keep_alive: bool, bodiless: bool = False) -> bytes:
    """An answer as it goes over the wire."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in response.headers.items() if name not in _FRAMING])
    end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    body = response.body
    head = b"HTTP/1.1 %d %b\r\ncontent-length: %d\r\ndate: %b\r\n%b%b%b" % (
        response.status, _REASONS.get(response.status, "").encode(), len(body), _date(), lines.encode("latin-1"),
        _ALWAYS, end,
    )  # fmt: skip
    return head if bodiless else head + body


_FRAMING = ("content-length", "connection", "transfer-encoding", "date")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_last_date = (0, b"")


def _date() -> bytes:
    """The time as HTTP writes it, whatever the locale; made once a second."""
    global _last_date
    now = int(time.time())
    if _last_date[0] != now:
        year, month, day, hour, minute, second, weekday, *_ = time.gmtime(now)
        text = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
        _last_date = (now, text.encode())
    return _last_date[1]
