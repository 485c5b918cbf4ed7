"""The way to a real server: HTTP/1.1 over kept connections, on the standard library alone.

What flows: `HTTPTransport.send` has `http1.Writer` make bytes of a request, takes a connection out of a
`connections.Pool` (for which `opening` opens one if need be: `origin` knows where and through which proxy, `tls` with
which certificates), sends, and has `http1.Reply` read the answer; `send_each` has `parallel` do so for many at once.
Retries are another transport's business (`retry`), save for one: a kept connection may have died unseen, so a request
that got no byte back on one is sent again on a new one.
"""
from __future__ import annotations

import os

from ..._clock import Clock
from ..._log import warn
from ...config import LONGEST_SECONDS, Secret
from ...errors import ArgumentError, FeatureUnavailable, TransportError
from ..base import Request, Response, Transport
from .http1 import CAN_COMPRESS, GZIP_FROM_BYTES, BadReply, Reader, Writer, gzipped
from .origin import parse_origin, proxy_for, require_origin
from .tls import Tls, sealed

try:
    from .connections import CAN_POLL, Deadline, Pool, Unanswered
    from .opening import WANTS_CREDENTIALS, Opener
except ImportError as _problem:
    raise FeatureUnavailable("HTTP", _problem.name or "socket") from None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from ssl import SSLContext

    from .http1 import Outgoing
    from .tls import ClientCertificate

REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 3
MAX_BODY_BYTES = 67_108_864
MAX_CONNECTIONS = 32
MAX_STREAMED = 32  # for all that is sent by `send_each`
TIMEOUT_SECONDS = 5.0
_NOT_THE_END = (*REDIRECTS, 407)
SPANS_TYPE = "application/x-protobuf"  # OTLP receivers take these compressed, other endpoints do not


class HTTPTransport(Transport):
    """Sends requests to the server whose origin (scheme, host, port) `base_url` begins with.

    Paths are the requests' own. Safe to use from many threads and after a fork. One try each: for more, wrap it in a
    `RetryTransport`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        max_connections: int = MAX_CONNECTIONS,
        ca_file: str | None = None,
        ssl_context: SSLContext | None = None,
        client_certificate: ClientCertificate | None = None,
        proxy: str | None = None,
        compress_spans: bool | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Clock | None = None,
        variable: Callable[[str], str | None] = os.getenv,
    ) -> None:
        """`timeout_seconds` bounds a request as a whole: waiting for a connection, DNS, TLS, every read.

        At most `max_connections` are open at once. `ca_file` (PEM) takes the place of the system's authorities, else
        `SSL_CERT_FILE` does; `client_certificate` is a PEM file or (certificate, key[, password]); an `ssl_context` of
        one's own takes the place of both, and must verify. `proxy` ("http://[user:password@]host:port", "" for none)
        takes the place of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (see `origin.proxy_for`).
        `compress_spans`: gzip for spans; by default unless the server is on this machine. `max_body_bytes` bounds an
        answer before and after it is decompressed. `variable` reads the environment, once.

        Raises ArgumentError, ConfigError.
        """
        where, via = Secret(str(base_url)), None if proxy is None else Secret(proxy)
        certificate = sealed(client_certificate)
        del base_url, proxy, client_certificate  # from here on no traceback can show what secrets there are in them
        self.origin = require_origin("base_url", where)
        if not isinstance(timeout_seconds, (int, float)) or not 0 < timeout_seconds <= LONGEST_SECONDS:
            fix = f"must be a finite number > 0 and <= {LONGEST_SECONDS:g}"
            raise ArgumentError("timeout_seconds", timeout_seconds, fix)
        if not isinstance(max_connections, int) or max_connections < 1:
            raise ArgumentError("max_connections", max_connections, "must be 1 or more")
        if not isinstance(max_body_bytes, int) or max_body_bytes < 1:
            raise ArgumentError("max_body_bytes", max_body_bytes, "must be 1 or more")
        self._timeout = float(timeout_seconds)
        self._clock = clock or Clock()
        self._proxy = proxy_for(self.origin, via, variable)
        tls = Tls(ssl_context, ca_file, certificate, variable) if self.origin.scheme == "https" else None
        opener = Opener(self.origin, self._proxy, tls, self._clock)
        self._pool = Pool(
            max_connections, opener.open, most_streamed=MAX_STREAMED, opens_slowly=not self.origin.is_loopback
        )
        wants_compressed = not self.origin.is_loopback if compress_spans is None else compress_spans
        self._compresses = wants_compressed and CAN_COMPRESS
        self._reader = Reader(max_body_bytes)
        through = self._proxy if self.origin.scheme == "http" else None
        told = () if through is None or through.authorization is None else (
            ("proxy-authorization", through.authorization.reveal()),
        )  # fmt: skip
        before_path = "" if through is None else str(self.origin)
        self._writer = Writer(self.origin.netloc, before_path=before_path, headers=told)
        self._warned = self.origin.scheme == "https" or self.origin.is_loopback

    def __repr__(self) -> str:
        return f"HTTPTransport({str(getattr(self, 'origin', ''))!r})"  # a traceback may show one that is being built

    def send(self, request: Request) -> Response:
        """The answer to `request`. A GET follows redirects on its own server; any other redirect is an error.

        Raises: TransportError, which names the request, the server and the reason; ArgumentError for a request that
        cannot be sent as it is; ClosedError after `close`.
        """
        self._warn_of_clear_text(request)
        deadline = self._deadline(request)
        return self._followed(request, self._answer(request, deadline), deadline)

    def send_each(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Response | TransportError]]:
        """Each request with its answer or error, as they come; many are under way at once, on this thread."""
        if not CAN_POLL:
            return super().send_each(requests)
        return self._sent_in_parallel(requests)

    def _sent_in_parallel(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Response | TransportError]]:
        from .parallel import Flight, Parallel

        def flight_of(request: Request) -> Flight:
            self._warn_of_clear_text(request)
            return Flight(request, self._writer.outgoing(request), self._deadline(request))

        def failed(request: Request, problem: Unanswered | BadReply) -> TransportError:
            return self._error(request, str(problem), retryable=problem.retryable)

        for request, outcome in Parallel(self._pool, self._reader, requests, flight_of, failed).outcomes():
            if isinstance(outcome, Response) and outcome.status in _NOT_THE_END:
                try:
                    outcome = self._followed(request, outcome, self._deadline(request))
                except TransportError as error:
                    outcome = error
            yield request, outcome

    def close(self) -> None:
        self._pool.close()

    def __del__(self) -> None:
        # One that was forgotten gives back its sockets without a warning: nothing is under way on them.
        if "_pool" in self.__dict__:
            self._pool.close()

    def _warn_of_clear_text(self, request: Request) -> None:
        if not self._warned and "authorization" in request.headers:
            self._warned = True
            warn(f"{self.origin} is not https: keys and data can be read on the way")

    def _deadline(self, request: Request) -> Deadline:
        now = self._clock.monotonic()
        seconds = self._timeout if request.deadline is None else min(self._timeout, max(0.0, request.deadline - now))
        return Deadline(self._clock, now + seconds, seconds)

    def _answer(self, request: Request, deadline: Deadline) -> Response:
        """The answer to `request`, which goes out compressed if that may be."""
        if not (
            self._compresses
            and len(request.body) >= GZIP_FROM_BYTES
            and request.headers.get("content-type") == SPANS_TYPE
            and "content-encoding" not in request.headers
        ):
            return self._exchanged(request, self._writer.outgoing(request), deadline)
        packed = self._writer.outgoing(request, (("content-encoding", "gzip"),), gzipped(request.body))
        response = self._exchanged(request, packed, deadline)
        if response.status in (400, 415):
            # Perhaps it does not know gzip; if the same is fine without, it does not, and is not asked again.
            response = self._exchanged(request, self._writer.outgoing(request), deadline)
            self._compresses = not response.status < 300
        return response

    def _exchanged(self, request: Request, outgoing: Outgoing, deadline: Deadline) -> Response:
        fresh = False
        while True:
            try:
                connection = self._pool.take(deadline, fresh=fresh)
                try:
                    reply = connection.exchange(outgoing, self._reader, deadline)
                    response = reply.response()
                except BaseException:
                    self._pool.drop(connection)
                    raise
            except Unanswered as problem:
                if problem.unheard and not fresh:
                    fresh = True
                    continue
                raise self._error(request, str(problem), retryable=problem.retryable) from None
            except BadReply as problem:
                raise self._error(request, str(problem), retryable=problem.retryable) from None
            if reply.reusable:
                self._pool.put(connection)
            else:
                self._pool.drop(connection)
            return response

    def _followed(self, request: Request, response: Response, deadline: Deadline) -> Response:
        """The server's last word, which `response` may not be. Raises TransportError when there is none."""
        for _ in range(MOST_REDIRECTS):
            if response.status not in _NOT_THE_END:
                return response
            asked = self._redirected(request, response)
            response = self._exchanged(request, self._writer.outgoing(asked), deadline)
        if response.status not in _NOT_THE_END:
            return response
        self._redirected(request, response)
        raise self._error(request, f"redirected more than {MOST_REDIRECTS} times", retryable=False)

    def _redirected(self, request: Request, response: Response) -> Request:
        """The request that a redirect asks for. Raises TransportError unless it is a GET of the same server."""
        if response.status == 407:
            if self._proxy is None:
                raise self._error(request, "answered 407, and no proxy is set here", retryable=False)
            raise self._error(request, f"proxy {self._proxy.origin.address}: {WANTS_CREDENTIALS}", retryable=False)
        place = response.headers.get("location", "")
        is_path = place.startswith("/") and not place.startswith("//")
        target = self.origin if is_path else parse_origin(place)
        if request.method != "GET" or target is None or target != self.origin:
            where = "nowhere" if target is None else str(target)
            raise self._error(
                request,
                f"redirected ({response.status}) to {where}, and not followed; is the base URL right?",
                retryable=False,
            )
        if not is_path:
            _, slash, rest = place.partition("://")[2].partition("/")
            place = slash + rest
        if any(not 32 < ord(character) < 127 or character == "\\" for character in place):
            raise self._error(request, f"redirected ({response.status}) to what is no URL", retryable=False)
        path, _, query = place.partition("#")[0].partition("?")
        from urllib.parse import parse_qsl

        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        return Request("GET", path or "/", query=pairs, headers=request.sealed_headers)

    def _error(self, request: Request, reason: str, *, retryable: bool) -> TransportError:
        return TransportError(
            f"{request.method} {request.path} on {self.origin}: {reason}", request=request, retryable=retryable
        )

