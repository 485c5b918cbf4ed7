"""Time as a value that is passed in, and the texts that times have on the wire.

`Clock` is the only place that asks the machine for the time; tests pass `testing.ManualClock`.
"""
from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class Clock:
    """The machine's clocks. Subclass it to control time (`testing.ManualClock` does)."""

    # Asked ten times and more for every item: the machine's own functions, with none of ours around them.
    time_ns: Callable[[], int] = staticmethod(time.time_ns)
    """Nanoseconds since 1970 UTC."""

    monotonic: Callable[[], float] = staticmethod(time.perf_counter)
    """Seconds that never go backwards; only differences mean something."""

    def seconds_until(self, deadline: float) -> float:
        """How long to wait, in real seconds, for `monotonic()` to reach `deadline`; 0.0 when it has."""
        return max(0.0, deadline - self.monotonic())

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the clock jumps; whoever waits looks at the time again. Real clocks never jump."""

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Undo `watch`."""


_second_written: tuple[int, str] = (-1, "")


def ns_to_iso(ns: int) -> str:
    """UTC text with microseconds and a `Z`: `2026-11-20T10:00:00.000000Z`."""
    global _second_written
    seconds, rest = divmod(ns, 1_000_000_000)
    last, text = _second_written  # one read, one write: threads may overwrite each other's, never mix them
    if last != seconds:
        t = time.gmtime(seconds)
        text = f"{t[0]:04d}-{t[1]:02d}-{t[2]:02d}T{t[3]:02d}:{t[4]:02d}:{t[5]:02d}"
        _second_written = seconds, text
    return f"{text}.{rest // 1000:06d}Z"


def iso_to_datetime(text: str) -> datetime:
    """The aware datetime of an ISO 8601 text; without a zone it is taken as UTC.

    Reads what servers write and 3.9's `fromisoformat` refuses: `Z`, and fractions of any length
    (cut at microseconds). Raises ValueError.
    """
    from datetime import datetime, timezone

    body = text.strip()
    if body[-1:] in ("Z", "z"):
        body = body[:-1] + "+00:00"
    point = max(body.find("."), body.find(","))
    if point > 0:
        end = point + 1
        while end < len(body) and body[end].isdigit():
            end += 1
        fraction = body[point + 1 : end]
        if not fraction:
            raise ValueError(f"Invalid isoformat string: {text!r}")
        body = f"{body[:point]}.{fraction[:6].ljust(6, '0')}{body[end:]}"
    if len(body) > 4 and body[-5] in "+-" and body[-4:].isdigit() and "T" in body.upper():
        body = f"{body[:-2]}:{body[-2:]}"  # +0200 as +02:00
    found = datetime.fromisoformat(body)
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


def datetime_to_iso(moment: datetime) -> str:
    """ISO 8601 text with a zone: UTC as `Z`, others as an offset; a naive one is local time."""
    if moment.tzinfo is None:
        moment = moment.astimezone()
    text = moment.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def datetime_to_ns(moment: datetime) -> int:
    """Nanoseconds since 1970 UTC, exact to the microsecond; a naive one is local time."""
    from datetime import datetime as datetime_type
    from datetime import timezone

    if moment.tzinfo is None:
        moment = moment.astimezone()
    delta = moment - datetime_type(1970, 1, 1, tzinfo=timezone.utc)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1000
