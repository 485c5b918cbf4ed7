"""The only seam between this package and the outside: a request goes in, a response comes out.

Everything above builds requests and reads responses; everything that speaks to a server, to the embedded store or to
nothing at all is a `Transport`. Behaviour is added by wrapping one transport in another.
"""
from __future__ import annotations

from ..errors import TransportError
from .sealed_headers import SealedHeaders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any


class Request:
    """One HTTP request as a plain value.

    `path` is absolute and percent-encoded, without query; `query` holds decoded (name, value) pairs in order;
    header names are lower case. `deadline` is when the answer is of no more use, on the clock that the transport was
    given (`Clock.monotonic`); None leaves it to the transport how long it takes. `is_repeated` tells that whoever sends
    it repeats it if need be, so that no transport does.
    """

    __slots__ = ("body", "deadline", "is_repeated", "method", "path", "query", "sealed_headers")

    def __init__(
        self,
        method: str,
        path: str,
        *,
        query: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str] | SealedHeaders | None = None,
        body: bytes = b"",
        deadline: float | None = None,
        is_repeated: bool = False,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.sealed_headers = {} if headers is None else headers
        self.body = body
        self.deadline = deadline
        self.is_repeated = is_repeated

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, secrets included: not for a local variable, which tools show beside a traceback."""
        sealed = self.sealed_headers
        return sealed.reveal() if isinstance(sealed, SealedHeaders) else sealed

    def __repr__(self) -> str:
        # Headers carry credentials and bodies carry user data: neither belongs in a log.
        return f"Request({self.method} {self.path}, {len(self.body)} bytes)"


class Response:
    """One HTTP response as a plain value; header names are lower case, `body` is decoded (not compressed)."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.status = status
        self.headers = {} if headers is None else headers
        self.body = body

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"


class Transport:
    """Answers requests. Subclass it and write `send`; `close` only if there is something to close."""

    def send(self, request: Request) -> Response:
        """The answer to `request`, whatever its status. May be called from many threads at once.

        Raises: TransportError when no answer came; ClosedError after `close`.
        """
        raise TypeError(f"{type(self).__name__} must define send(request)")

    def send_each(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Response | TransportError]]:
        """Each request with its answer, or with the error in its place, as they come; requests are pulled lazily.

        A transport that can has several under way at once, on the thread of whoever iterates; here it is one by one.
        Raises ClosedError after `close`.
        """
        return _one_by_one(self, requests)

    def close(self) -> None:
        """Give back what the transport holds. Calling it again does nothing."""

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()


def send_each(transport: Any, requests: Iterable[Request]) -> Iterator[tuple[Request, Response | TransportError]]:
    """`Transport.send_each` of any transport, also of one that is no subclass and has only `send`."""
    own = getattr(transport, "send_each", None)
    return _one_by_one(transport, requests) if own is None else own(requests)


def _one_by_one(
    transport: Transport, requests: Iterable[Request]
) -> Iterator[tuple[Request, Response | TransportError]]:
    for request in requests:
        try:
            answer: Response | TransportError = transport.send(request)
        except TransportError as error:
            answer = error
        yield request, answer
