"""Waiting in a transport: until a moment of its clock, or until it is closed."""
from __future__ import annotations

from threading import Condition, Lock

from ..errors import ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._clock import Clock


# What the rounding of a clock may leave of a wait that is over.
NO_TIME_SECONDS = 1e-6


class Pauses:
    """All pauses of one transport."""

    def __init__(self, clock: Clock, what: str) -> None:
        self._clock = clock
        self._what = what
        self._state = Condition(Lock())
        self._ended = False

    def until(self, moment: float) -> None:
        """Wait until `moment` on the clock. Raises ClosedError when the transport is closed meanwhile."""
        self._clock.watch(self._look)
        try:
            left = self._clock.seconds_until(moment)
            with self._state:
                while left > NO_TIME_SECONDS and not self._ended:
                    self._state.wait(left)
                    left = moment - self._clock.monotonic()
        finally:
            self._clock.unwatch(self._look)
        if self._ended:
            raise ClosedError(f"this {self._what} was closed while a request waited")

    def end(self) -> None:
        """End all pauses, now and from now on."""
        self._ended = True
        self._look()

    def _look(self) -> None:
        with self._state:
            self._state.notify_all()
