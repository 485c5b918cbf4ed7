"""A transport that goes wrong on purpose, the same way each time: for tests of what stands on top of it."""
from __future__ import annotations

from _thread import allocate_lock

from .._clock import Clock
from .._ids import sha256_hex
from ..config import LONGEST_SECONDS
from ..errors import ArgumentError, ClosedError, TransportError
from .base import Request, Response, Transport
from .pauses import Pauses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class FaultTransport(Transport):
    """Sends through `inner`, save for shares (0 to 1) of the requests: their fates are drawn from `seed`.

    The draw depends on the request and on how often it was sent before, not on what else is sent: threads do not
    change it. `injected` counts the faults by name.
    """

    def __init__(
        self,
        inner: Transport,
        *,
        seed: int = 0,
        errors: float = 0.0,
        cuts: float = 0.0,
        statuses: Mapping[int, float] | None = None,
        retry_after_seconds: float | None = None,
        delays: float = 0.0,
        delay_seconds: float = 0.1,
        only: Callable[[Request], bool] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`errors`: no answer, and nothing reached `inner`. `cuts`: `inner` has got it, and its answer is lost.

        `statuses`: answered with that status, by share, and never sent on; with `Retry-After` if it is given.
        `delays`: sent on after `delay_seconds`, whatever becomes of it then. `only(request)` says which requests may
        meet with a fault. Closing this closes `inner`. Raises ArgumentError.
        """
        shares = {"errors": errors, "cuts": cuts, **{str(key): share for key, share in (statuses or {}).items()}}
        for name, share in {**shares, "delays": delays}.items():
            if not isinstance(share, (int, float)) or not 0 <= share <= 1:
                raise ArgumentError(name, share, "must be a share, from 0 to 1")
        if sum(shares.values()) > 1:
            raise ArgumentError("statuses", statuses, "must leave errors, cuts and statuses together at 1 or less")
        if not all(isinstance(status, int) and 300 <= status <= 599 for status in statuses or {}):
            raise ArgumentError("statuses", statuses, "must map statuses from 300 to 599 to shares")
        for name, seconds in (("delay_seconds", delay_seconds), ("retry_after_seconds", retry_after_seconds or 0.0)):
            if not isinstance(seconds, (int, float)) or not 0 <= seconds <= LONGEST_SECONDS:
                raise ArgumentError(name, seconds, f"must be seconds, from 0 to {LONGEST_SECONDS:g}")
        self._inner = inner
        self._seed = seed
        self._shares = shares
        self._delays = delays
        self._delay_seconds = delay_seconds
        self._headers = {} if retry_after_seconds is None else {"retry-after": f"{retry_after_seconds:g}"}
        self._only = only
        self._clock = clock or Clock()
        self._lock = allocate_lock()
        self._pauses = Pauses(self._clock, "FaultTransport")
        self._closed = False
        self._sent: dict[str, int] = {}
        self.injected: dict[str, int] = dict.fromkeys([*shares, "delays"], 0)

    def __repr__(self) -> str:
        return f"FaultTransport({self._inner!r}, seed={self._seed})"

    def send(self, request: Request) -> Response:
        """The answer of `inner`, or what its fate is. Raises TransportError."""
        if self._closed:
            raise ClosedError("this FaultTransport is closed")
        if self._only is not None and not self._only(request):
            return self._inner.send(request)
        fate, is_delayed = self._fate(request)
        if is_delayed:
            self._pauses.until(self._clock.monotonic() + self._delay_seconds)
        what = f"{request.method} {request.path}"
        if fate == "errors":
            raise TransportError(f"{what}: injected: no connection", request=request)
        if fate == "cuts":
            self._inner.send(request)
            raise TransportError(f"{what}: injected: the connection was cut before the answer", request=request)
        if fate:
            body = b'{"message": "injected"}'
            return Response(int(fate), headers={"content-type": "application/json", **self._headers}, body=body)
        return self._inner.send(request)

    def close(self) -> None:
        self._closed = True
        self._pauses.end()
        self._inner.close()

    def _fate(self, request: Request) -> tuple[str, bool]:
        told = repr((self._seed, request.method, request.path, request.query)).encode() + request.body
        digest = sha256_hex(told)
        with self._lock:
            number = self._sent[digest] = self._sent.get(digest, 0) + 1
            drawn = sha256_hex(f"{digest} {number}".encode())
            is_delayed = int(drawn[:13], 16) / 2**52 < self._delays
            point = int(drawn[13:26], 16) / 2**52
            fate = ""
            for name, share in self._shares.items():
                if point < share:
                    fate = name
                    break
                point -= share
            for name in (fate, "delays" if is_delayed else ""):
                if name:
                    self.injected[name] += 1
        return fate, is_delayed
