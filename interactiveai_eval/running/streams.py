"""Events of which each is a request, sent in one stream: the next as long as the transport asks for more."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .backlog import Backlog
    from .lanes import Flight, Portion


class Stream:
    """What a flight has, one by one, and what comes after it; which portion each body is of."""

    __slots__ = ("_answers", "_backlog", "_first", "_flight", "_pulled")

    def __init__(self, flight: Flight, backlog: Backlog) -> None:
        self._flight = flight
        self._backlog = backlog
        (self._first,) = flight.unanswered.values()
        self._pulled: dict[int, Portion] = {}
        self._answers = 0

    def bodies(self) -> Iterator[Any]:
        """What the transport asks for; there is more when it asks before the first answer is there."""
        lane = self._flight.lane
        portion: Portion | None = self._first
        while portion is not None:
            self._pulled[id(portion[1][0])] = portion
            yield portion[1][0]
            with self._backlog.lock:
                if lane.streams is None:
                    lane.streams = not self._answers  # one that answers first has one under way at a time
                portion = self._backlog.take_following(self._flight)

    def answered(self, body: Any) -> Portion:
        """The portion of a body that has got its answer."""
        self._answers += 1
        return self._pulled.pop(id(body))

    def close(self) -> None:
        """Let another stream take what comes."""
        with self._backlog.lock:
            self._flight.pull_no_more()
