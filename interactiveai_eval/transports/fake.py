"""A transport for tests: a function answers, every request is remembered."""
from __future__ import annotations

from ..errors import ClosedError
from .base import Request, Response, Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class FakeTransport(Transport):
    """Answers with `handler(request)`; `requests` lists all that came, in order of arrival."""

    def __init__(self, handler: Callable[[Request], Response]) -> None:
        self._handler = handler
        self._closed = False
        self.requests: list[Request] = []

    def send(self, request: Request) -> Response:
        if self._closed:
            raise ClosedError("this FakeTransport is closed")
        self.requests.append(request)
        return self._handler(request)

    def close(self) -> None:
        self._closed = True
