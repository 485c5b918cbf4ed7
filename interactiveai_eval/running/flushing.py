"""Sends all that waits, and once more what was tried in vain; ends at a deadline, whatever is left then."""
from __future__ import annotations

from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._clock import Clock
    from .backlog import Backlog
    from .dispatch import Dispatch
    from .parking import Parking
    from .senders import Senders

LOOK_SECONDS = 0.5  # how often whoever waits for the senders looks at the clock


class End:
    """When the last delivery ends: what is sent for it wants no answer after that. None as long as it is not known."""

    __slots__ = ("_clock", "_lock", "at")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = allocate_lock()
        self.at: float | None = None

    def moment(self) -> float | None:
        return self.at

    def by(self, deadline: float | None) -> float | None:
        """Have it at `deadline` at the latest; when it was to be before, for `back_to`."""
        with self._lock:
            before = self.at
            if deadline is not None and (before is None or deadline < before):
                self.at = deadline
        return before

    def back_to(self, before: float | None, deadline: float | None) -> None:
        """Take a `deadline` back, unless another was set meanwhile."""
        with self._lock:
            if self.at is deadline:
                self.at = before

    def seconds_left(self, deadline: float | None) -> float:
        """How long a flush may still take, by its own deadline and by that of `hurry`."""
        ends = [end for end in (deadline, self.at) if end is not None]
        return min(ends) - self._clock.monotonic() if ends else LOOK_SECONDS

    def is_late(self, deadline: float | None) -> bool:
        return self.seconds_left(deadline) <= 0


class Flushing:
    """Empties a backlog: by its senders where there are threads, else on the thread of whoever asks."""

    def __init__(self, backlog: Backlog, senders: Senders, dispatch: Dispatch, parking: Parking, end: End) -> None:
        self._backlog = backlog
        self._senders = senders
        self._dispatch = dispatch
        self._parking = parking
        self._end = end

    def flush(self, deadline: float | None) -> None:
        """Send all that waits, then what was tried in vain."""
        self.send_all(deadline)
        if self._end.is_late(deadline):
            return
        with self._backlog.lock:
            for lane in self._backlog.lanes:
                lane.silence.try_again()
            again = self._parking.queue_again()
        if again:
            self.send_all(deadline)

    def send_all(self, deadline: float | None) -> None:
        """Have the lanes emptied, by senders or here; returns when they are, or at `deadline`."""
        backlog, senders = self._backlog, self._senders
        with backlog.lock:
            backlog.flushing += 1
        try:
            while True:
                with backlog.lock:
                    backlog.make_urgent()
                    senders.rouse()  # who comes first brings others
                senders.start_wanted()
                with backlog.lock:
                    if backlog.is_empty():
                        return
                    if not (senders.threads or senders.coming) or self._end.is_late(deadline):
                        break
                    if not backlog.change.wait(max(0.0, min(LOOK_SECONDS, self._end.seconds_left(deadline)))):
                        senders.forget_unborn()
        finally:
            with backlog.lock:
                backlog.flushing -= 1
        self.send_here(deadline)

    def send_here(self, deadline: float | None, *, all_of_it: bool = True) -> None:
        """Send what is due, or all that waits, on this thread."""
        before = self._end.by(deadline)  # nobody else is there who could give up what is on its way
        try:
            while not self._end.is_late(deadline):
                with self._backlog.lock:
                    if all_of_it:
                        self._backlog.make_urgent()
                    flight = self._backlog.take()
                if flight is None:
                    return
                self._dispatch.deliver(flight)
        finally:
            self._end.back_to(before, deadline)
