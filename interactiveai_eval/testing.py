"""Helpers for tests of code that uses this package: time that moves when told, ids that count, spans to look at."""
from __future__ import annotations

from _thread import allocate_lock
from math import ceil, inf

from ._clock import Clock, datetime_to_ns, iso_to_datetime
from ._ids import Ids
from .errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .client import Interactive


class ManualClock(Clock):
    """A clock that stands still until `advance` moves it: `Interactive.local(clock=ManualClock())`.

    With `jumps=True` it moves by itself to whatever the run waits for next, so that pauses, rate limits and timeouts
    pass at once; only for functions that hang or return at once, since a slow one would seem to take for ever. Without
    it a run that pauses, retries or has a rate limit waits until another thread advances the clock: for ever, if none
    does.
    """

    def __init__(self, start: str = "2026-01-01T00:00:00Z", *, jumps: bool = False) -> None:
        try:
            self._wall_ns = datetime_to_ns(iso_to_datetime(start))
        except (AttributeError, ValueError):
            raise ArgumentError("start", start, "must be a time like 2026-01-01T00:00:00Z") from None
        self._passed_ns = 0
        self._jumps = jumps
        self._lock = allocate_lock()
        self._watchers: list[Callable[[], None]] = []

    def time_ns(self) -> int:
        return self._wall_ns + self._passed_ns

    def monotonic(self) -> float:
        return self._passed_ns / 1e9

    def seconds_until(self, deadline: float) -> float:
        if self._jumps:
            self._move_to(max(self._passed_ns, ceil(deadline * 1e9)))
        return super().seconds_until(deadline)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; whatever waits for that moment goes on."""
        if not 0.0 <= seconds < inf:
            raise ArgumentError("seconds", seconds, "must be a finite number >= 0; no clock goes back")
        self._move_to(self._passed_ns + round(seconds * 1e9))

    def _move_to(self, passed_ns: int) -> None:
        with self._lock:
            self._passed_ns = passed_ns
            watchers = list(self._watchers)
        for callback in watchers:
            callback()

    def watch(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._watchers.append(callback)

    def unwatch(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if callback in self._watchers:
                self._watchers.remove(callback)


class CountingIds(Ids):
    """Ids that count from 1, so that they can stand in a test: `...0001`, `...0002`."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._count = 0

    def trace_id(self) -> str:
        return f"{self._next():032x}"

    def span_id(self) -> str:
        return f"{self._next():016x}"

    def _next(self) -> int:
        with self._lock:
            self._count += 1
            return self._count


def recorded_spans(client: Interactive) -> list[dict[str, Any]]:
    """All observations that the client's server holds, oldest first, as the API gives them."""
    client.flush()
    found: list[dict[str, Any]] = []
    page = 1
    while True:
        answer = client.api.observations(page=page, limit=100)
        found += answer["data"]
        if page >= answer["meta"]["totalPages"]:
            return found[::-1]
        page += 1
