"""What became of portions that were sent: their events are counted as taken or refused, or kept for another try."""
from __future__ import annotations

from .lanes import event_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from threading import RLock

    from .._clock import Clock
    from .counts import Counts
    from .lanes import Flight, Portion
    from .parking import Parking


class Verdicts:
    """Takes portions out of their flights, each once: what is not there any more is the heir's by now."""

    def __init__(self, lock: RLock, counts: Counts, parking: Parking, clock: Clock) -> None:
        self._lock = lock
        self._counts = counts
        self._parking = parking
        self._clock = clock

    def settle_one(self, flight: Flight, portion: Portion) -> None:
        """Count one event that was taken."""
        parcel = portion[0]
        with self._lock:
            flight.lane.silence.requests = 0
            if flight.unanswered.pop(id(portion), None) is None:
                return  # the heir's by now
            parcel.open -= 1
            if not parcel.open and parcel.arrived is not None:
                flight.arrived.append(parcel.arrived)
            self._counts.add(flight.lane.kind, "acknowledged")

    def settle(
        self, flight: Flight, portions: list[Portion], refused: dict[str, str], unnamed: Sequence[str] = ()
    ) -> None:
        """Count what was taken and what was refused; of `unnamed` the server only says how many."""
        kind, counts = flight.lane.kind, self._counts
        taken = 0
        with self._lock:
            flight.lane.silence.requests = 0
            for portion in portions:
                if flight.unanswered.pop(id(portion), None) is None:
                    continue  # the heir's by now
                parcel, events, _ = portion
                parcel.open -= 1
                if not parcel.open and parcel.arrived is not None:
                    flight.arrived.append(parcel.arrived)
                taken += len(events)
                for event in events if refused else ():
                    if event_id(event) in refused:
                        taken -= 1
                        reason = refused[event_id(event)]
                        counts.problem(kind, "rejected", event_id(event), reason, parcel.item_id)
            unknown = unnamed[:taken]
            for reason in unknown:
                counts.problem(kind, "rejected", "", f"one of {taken}, the server does not say which: {reason}")
            counts.add(kind, "acknowledged", taken - len(unknown))

    def leave(self, flight: Flight, portions: Iterable[Portion], reason: str, *, is_silence: bool = False) -> None:
        """Keep what got no answer for another try."""
        with self._lock:
            for portion in portions:
                if flight.unanswered.pop(id(portion), None) is not None:
                    self._parking.park(flight.lane, (portion,), reason)
            if is_silence:
                flight.lane.silence.goes_on(reason, self._clock.monotonic())
