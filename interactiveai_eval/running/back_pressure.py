"""Holds whoever hands in more than there is room for, instead of dropping anything."""
from __future__ import annotations

from .lanes import BATCH_EVENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Condition

    from .lanes import Lane

# How much may wait before whoever hands in more has to wait too.
WAITING_EVENTS = 8 * BATCH_EVENTS
WAITING_BYTES = 32_000_000
# The same for a run that sends nothing but scores, one by one: some thirty are on their way, and a second's worth is
# behind them.
WAITING_SINGLES = 2 * BATCH_EVENTS


class BackPressure:
    """Who waits for room in two lanes (links come from the spool alone); for whoever holds the lock of `change`."""

    __slots__ = ("_change", "_holds_back", "_most_waiting", "_scores", "_spans", "held_back")

    def __init__(self, spans: Lane, scores: Lane, change: Condition) -> None:
        self._spans = spans
        self._scores = scores
        self._change = change
        self._most_waiting = WAITING_EVENTS
        self._holds_back = True
        self.held_back = 0  # how many wait for room

    def has_room(self, share: float = 1.0) -> bool:
        """Whether less than this share of what may wait does."""
        if not self._holds_back:
            return True
        spans, scores = self._spans, self._scores
        waiting, size = spans.count + scores.count, spans.bytes + scores.bytes
        return waiting < share * self._most_waiting and size < share * WAITING_BYTES

    def wait_for_room(self) -> None:
        """Block the caller until there is room; the lock is released meanwhile."""
        self.held_back += 1
        try:
            self._change.wait_for(self.has_room)
        finally:
            self.held_back -= 1

    def let_in(self) -> None:
        """Wake whoever is held back once half of what may wait is gone.

        At the brim each item would be a change from the thread that sends to one that evaluates and back, which costs
        more than sending it.
        """
        if self.held_back and self.has_room(0.5):
            self._change.notify_all()

    def expect_scores_alone(self) -> None:
        """Hold less in memory: who sends nothing but scores, one by one, gains nothing by being far ahead of them."""
        if self._scores.most_events == 1:
            self._most_waiting = WAITING_SINGLES

    def hold_nobody_back(self) -> None:
        """Let everyone in from now on, room or no room."""
        self._holds_back = False
        self._change.notify_all()
