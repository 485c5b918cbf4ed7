"""Repeats requests that may succeed later: in bounded time, politely, and never what somebody above repeats anyway.

Every request of this package may be repeated: ids are derived or drawn before the first try, and what a server has
taken twice it holds once.
"""
from __future__ import annotations

import os
from _thread import allocate_lock

from .._clock import Clock
from ..errors import ArgumentError, TransportError
from .base import Request, Response, Transport, send_each
from .pauses import NO_TIME_SECONDS, Pauses
from .retry_after import retry_after_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# How long a request may take with all its repetitions, and how long while nobody answers any: a server that is busy is
# waited for, one that is not there is found out (made-up figures).
PATIENCE_SECONDS = 60.0
SILENCE_SECONDS = 10.0
# Waits are drawn from 0 to these, doubled each time: shorter for trouble that passes, longer for "not so fast".
TRANSIENT_SECONDS = 0.05
THROTTLED_SECONDS = 1.0
LONGEST_SECONDS = 20.0
# After the time that a server asks for, so that not everybody comes back at the same moment.
AFTER_ASKED_SECONDS = 0.25
# One purse for all requests of a transport, so that a server that is down is not hammered: 35 repetitions and no more,
# until requests succeed again. The figures are those of the AWS SDKs' standard mode.
PURSE = 500.0
TRANSIENT_COST = 14.0
THROTTLED_COST = 5.0

# How many of many requests may wait for another try before no new ones are begun (a made-up figure).
MOST_WAITING = 8

NEVER = float("-inf")
_SPANS_TYPE = "application/x-protobuf"


class _Tries:
    """What has been tried for one request."""

    __slots__ = ("deadline", "failed", "repeats", "request", "spent", "wakes")

    def __init__(self, request: Request, deadline: float) -> None:
        self.request = request
        self.deadline = deadline
        self.repeats = not request.is_repeated
        self.failed = 0
        self.spent = 0.0
        self.wakes = 0.0


class RetryTransport(Transport):
    """Sends through `inner`, and again when there was no answer or a busy server's, after growing random waits.

    Statuses: 408, 425, 429 and 5xx save 501 and 505; for spans only what OTLP allows, 429, 502, 503 and 504. What the
    server asks for by `Retry-After` is waited out, by all requests to come. Once nothing at all has been answered for
    `SILENCE_SECONDS`, each request gets one try, until there is an answer. What `is_repeated` by its sender, as runs do
    with what they read and with links, is not repeated here.
    """

    def __init__(
        self,
        inner: Transport,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: Clock | None = None,
        draw: Callable[[], float] = lambda: int.from_bytes(os.urandom(4), "big") / 2**32,
    ) -> None:
        """`patience_seconds` bounds a request with all its repetitions and waits; a wait that would end later is not
        begun. `draw` gives numbers from 0 to 1 for the waits. Closing this closes `inner`. Raises ArgumentError.
        """
        if not isinstance(patience_seconds, (int, float)) or not 0 <= patience_seconds < float("inf"):
            raise ArgumentError("patience_seconds", patience_seconds, "must be a finite number >= 0")
        self._inner = inner
        self._patience = float(patience_seconds)
        self._clock = clock or Clock()
        self._draw = draw
        self._begin()

    def __repr__(self) -> str:
        return f"RetryTransport({self._inner!r})"

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._purse = PURSE
        self._not_before = NEVER  # until when the server wants to be left alone
        self._silent_since = self._silent_at = NEVER  # the first and the last request that nobody answered
        self._lock = allocate_lock()
        self._pauses = Pauses(self._clock, "RetryTransport")

    def send(self, request: Request) -> Response:
        """The answer of `inner`; the last one, or the last error, when repeating did not help."""
        tries = self._tries(request)
        while True:
            answer: Response | TransportError
            try:
                self._wait_for_the_server(tries)
                answer = self._inner.send(request)
            except TransportError as error:
                answer = error
            if self._goes_again(tries, answer):
                self._pauses.until(tries.wakes)
            elif isinstance(answer, TransportError):
                raise answer
            else:
                return answer

    def send_each(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Response | TransportError]]:
        """Each request with what became of it in the end. While many wait for another try, no new ones are begun."""
        source = iter(requests)
        under_way: dict[int, list[_Tries]] = {}  # those begun again, by the identity of the request
        waiting: list[_Tries] = []
        due: list[_Tries] = []

        def begun() -> Iterator[Request]:
            for each in due:
                under_way.setdefault(id(each.request), []).append(each)
                yield each.request
            while len(waiting) < MOST_WAITING and (
                self._not_before == NEVER or self._not_before <= self._clock.monotonic()
            ):
                request = next(source, None)
                if request is None:
                    return
                yield request

        while True:
            if waiting:
                self._pauses.until(min([each.wakes for each in waiting]))
                now = self._clock.monotonic() + NO_TIME_SECONDS
                due = [each for each in waiting if each.wakes <= now]
                waiting = [each for each in waiting if each.wakes > now]
            else:
                request = next(source, None)
                if request is None:
                    return
                due = [self._tries(request)]
                try:
                    self._wait_for_the_server(due[0])
                except TransportError as error:
                    yield request, error
                    continue
            for request, answer in send_each(self._inner, begun()):
                same = under_way.pop(id(request), None) if under_way else None
                if same is None and isinstance(answer, Response) and answer.status < 400:
                    self._heard()
                    yield request, answer
                    continue
                each = self._tries(request) if same is None else same.pop()
                if same:
                    under_way[id(request)] = same
                if self._goes_again(each, answer):
                    waiting.append(each)
                else:
                    yield request, answer

    def close(self) -> None:
        """Close `inner`, and end all waits with a ClosedError."""
        if self._pid == os.getpid():
            self._pauses.end()
        self._inner.close()

    def _judged(self, request: Request, answer: Response | TransportError) -> tuple[float, float, float | None]:
        """What repeating costs (0 for never), the longest first wait, and the wait that the server asks for."""
        if isinstance(answer, TransportError):
            return TRANSIENT_COST if answer.retryable else 0.0, TRANSIENT_SECONDS, answer.retry_after_seconds
        status = answer.status
        if status < 400:
            return 0.0, 0.0, None
        if status == 429:
            return THROTTLED_COST, THROTTLED_SECONDS, retry_after_seconds(answer.headers, self._clock.time_ns())
        if request.headers.get("content-type") == _SPANS_TYPE or request.path.endswith("/otel/v1/traces"):
            again = status in (502, 503, 504)
        else:
            again = status in (408, 425) or (status >= 500 and status not in (501, 505))
        asked = retry_after_seconds(answer.headers, self._clock.time_ns()) if again else None
        return TRANSIENT_COST if again else 0.0, TRANSIENT_SECONDS, asked

    def _tries(self, request: Request) -> _Tries:
        if self._pid != os.getpid():
            self._begin()  # a lock may have been held during the fork
        deadline = self._clock.monotonic() + self._patience
        return _Tries(request, deadline if request.deadline is None else min(deadline, request.deadline))

    def _goes_again(self, tries: _Tries, answer: Response | TransportError) -> bool:
        """Whether there is another try, when it `wakes`; if not, `answer` is the last word."""
        cost, longest, asked = self._judged(tries.request, answer)
        now = self._clock.monotonic()
        deadline = tries.deadline
        if isinstance(answer, TransportError) and asked is None:
            deadline = min(deadline, self._silence_ends(now))
        if asked is not None:
            self._not_before = max(self._not_before, now + asked)
        if not cost:
            self._heard(tries.spent or 1.0)
            return False
        if not isinstance(answer, TransportError):
            self._silent_at = NEVER
        wait = self._draw() * min(longest * 2.0 ** min(tries.failed, 30), LONGEST_SECONDS)
        if asked is not None:
            wait = asked + self._draw() * AFTER_ASKED_SECONDS
        if not tries.repeats or now + wait >= deadline or not self._pay(cost):
            return False
        tries.spent += cost
        tries.failed += 1
        tries.wakes = now + wait
        return True

    def _wait_for_the_server(self, tries: _Tries) -> None:
        """Wait as long as the server wants to be left alone. Raises TransportError when that is too long."""
        if tries.failed or not tries.repeats or self._not_before <= self._clock.monotonic():
            return
        now = self._clock.monotonic()
        if self._not_before >= tries.deadline:
            raise TransportError(
                f"{tries.request.method} {tries.request.path}: the server asks to be left alone for "
                f"{self._not_before - now:.1f} s more, and {max(0.0, tries.deadline - now):.1f} s are left",
                request=tries.request,
                retry_after_seconds=self._not_before - now,
            )
        self._pauses.until(self._not_before + self._draw() * AFTER_ASKED_SECONDS)

    def _silence_ends(self, now: float) -> float:
        """Until when no answer, as just now, is a reason to ask again; one that was missing long ago says nothing."""
        if now - self._silent_at > SILENCE_SECONDS:
            self._silent_since = now
        self._silent_at = now
        return self._silent_since + SILENCE_SECONDS

    def _pay(self, cost: float) -> bool:
        with self._lock:
            if self._purse < cost:
                return False
            self._purse -= cost
            return True

    def _heard(self, amount: float = 1.0) -> None:
        """Take note that asking again has no use: put what it cost back into the purse."""
        self._silent_at = NEVER
        if self._purse < PURSE:
            with self._lock:
                self._purse = min(PURSE, self._purse + amount)
