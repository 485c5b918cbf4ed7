"""Sends one batch; one that is refused for what is in it is cut in halves until the bad events stand alone."""
from __future__ import annotations

from ..errors import ApiError
from .lanes import event_id, singly
from .streams import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._clock import Clock
    from .backlog import Backlog
    from .lanes import Flight, Portion, SendEach
    from .parking import Parking
    from .verdicts import Verdicts


class Dispatch:
    """Takes flights to their end, on the thread of whoever asks."""

    def __init__(self, backlog: Backlog, verdicts: Verdicts, parking: Parking, clock: Clock) -> None:
        self._backlog = backlog
        self._lock = backlog.lock
        self._verdicts = verdicts
        self._parking = parking
        self._clock = clock

    def deliver(self, flight: Flight) -> None:
        """Send a batch; what gets no answer is parked, what has its verdict is counted."""
        began = self._clock.monotonic()
        lane = flight.lane
        try:
            if flight.silence is not None:
                self._verdicts.leave(flight, list(flight.unanswered.values()), flight.silence)
            elif lane.streams is False or lane.send_each is None:
                self._send(flight, list(flight.unanswered.values()))
            else:
                self._stream(flight, lane.send_each)
        finally:
            with self._lock:
                if not lane.silence.requests and not lane.streams:
                    lane.answered(self._clock.monotonic() - began)
                lane.flying -= 1
                # Only an exception that ends the thread leaves any.
                self._parking.park(lane, flight.unanswered.values(), "its delivery was interrupted")
                flight.unanswered.clear()
            try:
                self._parking.spill()
                _tell(flight)  # before a flush that waits for it returns
            finally:
                self._backlog.landed(flight)

    def _stream(self, flight: Flight, send_each: SendEach) -> None:
        """Send one by one what a flight has and, as long as the transport asks for more, what comes after it."""
        verdicts, stream = self._verdicts, Stream(flight, self._backlog)
        try:
            for body, verdict in send_each(stream.bodies()):
                portion = stream.answered(body)
                if verdict is None:
                    verdicts.settle_one(flight, portion)
                elif isinstance(verdict, Exception):
                    self._judge(flight, [portion], verdict)
                else:
                    verdicts.settle(flight, [portion], {verdict.id: verdict.reason})
                if flight.arrived:  # a stream may last as long as the run
                    _tell(flight)
        except Exception as error:
            self._judge(flight, list(flight.unanswered.values()), error)
        finally:
            stream.close()

    def _send(self, flight: Flight, portions: list[Portion]) -> None:
        kind = flight.lane.kind
        contents = [event for _, events, _ in portions for event in events]
        try:
            refused = flight.lane.send([encoded for _, encoded in contents] if kind == "spans" else contents)
        except Exception as error:
            self._judge(flight, portions, error)
        else:
            later = {each.id: each.reason for each in refused if each.may_pass}
            if later:
                portions = self._left_for_later(flight, portions, later)
            unnamed = [each.reason for each in refused if not each.id]
            named = {each.id: each.reason for each in refused if each.id}
            self._verdicts.settle(flight, portions, named, unnamed)

    def _left_for_later(self, flight: Flight, portions: list[Portion], later: dict[str, str]) -> list[Portion]:
        """Leave the events that the server was too busy for, by id and reason; the portions of the others."""
        others = []
        for portion in [each for whole in portions for each in self._apart(flight, whole)]:
            reason = later.get(event_id(portion[1][0]))
            if reason is None:
                others.append(portion)
            else:
                self._verdicts.leave(flight, [portion], reason)
        return others

    def _judge(self, flight: Flight, portions: list[Portion], error: Exception) -> None:
        """Tell an error about the content from one that is not: no answer, or a broken transport of the user's."""
        if isinstance(error, ApiError) and error.status_code in (401, 403):
            self._verdicts.leave(flight, portions, str(error))
            self._backlog.bar(flight.lane.kind, error)
        elif not isinstance(error, ApiError) or not _is_about_content(error):
            self._verdicts.leave(flight, portions, str(error) or type(error).__name__, is_silence=True)
        elif sum([len(events) for _, events, _ in portions]) > 1:
            self._send_halves(flight, portions)  # one bad event must not take the others along
        else:
            size = f" (it has about {portions[0][2]} bytes)" if error.status_code == 413 else ""
            self._verdicts.settle(flight, portions, {event_id(portions[0][1][0]): f"{error}{size}"})

    def _send_halves(self, flight: Flight, portions: list[Portion]) -> None:
        if len(portions) == 1:
            portions = self._apart(flight, portions[0])
        middle = len(portions) // 2
        for half in (portions[:middle], portions[middle:]):
            if half:
                self._send(flight, half)

    def _apart(self, flight: Flight, portion: Portion) -> list[Portion]:
        """The events of a portion, each by itself; none when they are the heir's by now."""
        with self._lock:
            if flight.unanswered.pop(id(portion), None) is None:
                return []
            portions = singly(portion)
            flight.unanswered.update({id(each): each for each in portions})
            portion[0].open += len(portions) - 1
            return portions


def _tell(flight: Flight) -> None:
    """Tell the owners of what has arrived; without the lock, as a checkpoint may be written."""
    told, flight.arrived = flight.arrived, []
    for arrived in told:
        arrived()


def _is_about_content(error: ApiError) -> bool:
    """Whether the server judged what was sent, rather than who sent it, where to or when."""
    return 400 <= error.status_code < 500 and error.status_code not in _NOT_ABOUT_CONTENT


_NOT_ABOUT_CONTENT = (401, 403, 404, 405, 407, 408, 415, 421, 425, 429)
