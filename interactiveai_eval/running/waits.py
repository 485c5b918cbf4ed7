"""How long to wait: between attempts, and for a rate."""
from __future__ import annotations

import os
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._clock import Clock

# Between attempts of a task or a link: 0.5, 1, 2 ... seconds, at most 8. Made-up figures.
FIRST_SECONDS = 0.5
LONGEST_SECONDS = 8.0
# Between attempts of a fetch: 1, 2, 4 ... seconds, as the page says, at most a minute (a made-up figure).
FIRST_FETCH_SECONDS = 1.0
LONGEST_FETCH_SECONDS = 60.0
JITTER_SHARE = 0.1  # downwards only: the documented waits are never exceeded


def wait_seconds(attempt: int) -> float:
    """How long to wait after the `attempt`th attempt (from 1) of a task or a link."""
    return min(FIRST_SECONDS * 2.0 ** min(attempt - 1, 30), LONGEST_SECONDS)  # 2.0 ** 1024 is too large


def fetch_wait_seconds(attempt: int, error: BaseException) -> float:
    """How long to wait after the `attempt`th attempt (from 1) of a fetch that ended in `error`.

    What the server asks for (`error.retry_after_seconds`) wins when it is longer.
    """
    usual = min(FIRST_FETCH_SECONDS * 2.0 ** min(attempt - 1, 30), LONGEST_FETCH_SECONDS)
    asked = getattr(error, "retry_after_seconds", None) or 0.0
    return max(usual * (1.0 - JITTER_SHARE * int.from_bytes(os.urandom(2), "big") / 65_536), asked)


class Rhythm:
    """Turns at an even pace: no two are closer than `1 / rate` seconds, and none is made up for."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock = clock
        self._seconds_between = 1.0 / rate
        self._lock = allocate_lock()
        self.next_turn = 0.0  # when it may begin, by the clock's monotonic time

    def take_turn(self) -> float:
        """Take the next turn that is free; in how many seconds it begins."""
        with self._lock:
            now = self._clock.monotonic()
            turn = max(self.next_turn, now)
            self.next_turn = turn + self._seconds_between
            return turn - now

    def give_back(self) -> None:
        """Let the next one have the turn that was not used."""
        with self._lock:
            self.next_turn -= self._seconds_between
