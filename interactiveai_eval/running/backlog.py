"""What waits for delivery, and what is on its way: the lanes, the flights, and the lock that all of it is under."""
from __future__ import annotations

from threading import Condition, RLock

from .back_pressure import BackPressure
from .lanes import Flight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._clock import Clock
    from ..errors import ApiError
    from .lanes import Lane, Pending, Portion
    from .parcels import Parcel


class Backlog:
    """The lanes of an outbox and the flights that have left them; `landed` and `bar` take the lock, the rest is for
    whoever holds it."""

    def __init__(self, spans: Lane, scores: Lane, links: Lane, clock: Clock) -> None:
        self.lock = RLock()  # for `Outbox.report`, which a signal handler may ask for while its thread holds it
        self.work = Condition(self.lock)  # senders wait for something to send
        self.change = Condition(self.lock)  # others wait for room, or for the end
        self.spans = spans
        self.scores = scores
        self.links = links
        self.lanes = (links, spans, scores)
        self.pressure = BackPressure(spans, scores, self.change)
        self.flights: set[Flight] = set()  # batches that are on their way right now
        self.is_roused = False  # whoever is to look for work knows
        self.flushing = 0  # how many wait for the end of all flights
        self.closed = False
        self._clock = clock

    def put(self, parcel: Parcel) -> bool:
        """Queue a parcel, kind by kind; whether a batch is due."""
        spans, scores, links = parcel.spans, parcel.scores, parcel.links
        if spans:
            parcel.open += self.spans.add(parcel, spans, sum([len(encoded) for _, encoded in spans]))
        if scores:
            parcel.open += self.scores.put(parcel, scores)
        if links:
            parcel.open += self.links.put(parcel, links)
        return self.spans.is_due() or self.scores.is_due() or self.links.is_due()

    def make_urgent(self) -> None:
        """Have all that waits due, whatever it is."""
        for lane in self.lanes:
            lane.urgent = lane.count

    def has_work(self) -> bool:
        """Whether a sender has something to do."""
        return self.closed or any([lane.may_fly() for lane in self.lanes])

    def is_empty(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return not self.flights and not any([lane.queue for lane in self.lanes])

    def take(self) -> Flight | None:
        """The next batch that is due, which is on its way from now on."""
        self.is_roused = False
        if self.closed:
            return None
        for lane in self.lanes:
            if lane.may_fly():
                lane.urgent = lane.count  # all that is there by now, a batch at a time
                silence = lane.silence.reason_not_to_ask(self._clock.monotonic()) if lane.silence.requests else None
                flight = Flight(lane, lane.take(), silence)
                lane.flying += 1
                self.flights.add(flight)
                self.pressure.let_in()
                return flight
        return None

    def take_following(self, flight: Flight) -> Portion | None:
        """The next for a flight that is a stream, if it goes on."""
        lane = flight.lane
        if not lane.streams or not lane.queue or self.closed or lane.silence.is_known:
            flight.pull_no_more()
            return None
        lane.puller = flight
        portion = lane.take_one()
        flight.unanswered[id(portion)] = portion
        self.pressure.let_in()
        return portion

    def landed(self, flight: Flight) -> None:
        """All of a flight has its verdict, and whoever had to know of it does."""
        with self.lock:
            self.flights.discard(flight)
            if self.pressure.held_back or (not self.flights and self.flushing):
                self.change.notify_all()

    def pending(self) -> Iterator[Pending]:
        """Everything that waits or is on its way, with the reason."""
        for lane in self.lanes:
            for portion in lane.queue:
                yield lane.kind, portion, "not sent yet"
        for flight in self.flights:
            for portion in flight.unanswered.values():
                yield flight.lane.kind, portion, "not answered yet"

    def give_up(self) -> list[Pending]:
        """What is on its way: somebody else's from now on, whatever the answer will be."""
        left: list[Pending] = []
        for flight in self.flights:
            left += [(flight.lane.kind, portion, "not answered yet") for portion in flight.unanswered.values()]
            flight.unanswered.clear()
        return left

    def bar(self, kind: str, error: ApiError) -> None:
        """Send no more of a kind, or of any after a 401: the server does not take the keys."""
        with self.lock:
            for lane in self.lanes:
                if lane.kind == kind or error.status_code == 401:
                    lane.silence.bar(str(error))

    def barred(self, kind: str) -> str | None:
        """Why nothing of a kind is sent; None if it is."""
        return next((lane.silence.bar_reason for lane in self.lanes if lane.kind == kind), None)
