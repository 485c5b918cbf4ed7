"""Delivers spans, scores and links while the run goes on, holds the run back instead of dropping, and counts.

What belongs to one item comes as one `Parcel`, so that the checkpoint can tell when all of it has arrived. It comes in
by the `entrance` and waits in the `backlog`, divided into `lanes`, one for each kind, while `back_pressure` holds back
whoever hands in too much. Threads of ours, the `senders`, take batches from there, and `dispatch` sends them; without
threads, whoever hands in a full batch sends it. `verdicts` counts what was taken or refused, `parking` keeps what got
no answer, and `flushing` ends it all.
"""
from __future__ import annotations

from functools import partial
from threading import current_thread

from .._log import warn
from .back_pressure import WAITING_EVENTS
from .backlog import Backlog
from .counts import Counts
from .dispatch import Dispatch
from .entrance import Entrance
from .flushing import LOOK_SECONDS, End, Flushing
from .lanes import BATCH_BYTES, BATCH_EVENTS, SCORES_A_REQUEST, SPANS_A_REQUEST, Lane, event_id, size_of
from .parcels import Parcel
from .parking import Parking
from .senders import BATCH_SECONDS, Senders
from .verdicts import Verdicts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from .._clock import Clock
    from ..errors import ApiError
    from ..model import DeliveryReport
    from .lanes import Pending, Send, SendEach
    from .spool import Spool


class Outbox:
    """The lanes and the threads that send from them.

    `send_spans(encoded)`, `send_scores(bodies)` and `send_links(bodies)` return what was refused. An ApiError about
    the content is narrowed down to the events that are refused; after any other error everything is kept and tried
    once more at the end. What is left then goes into the `spool`, if there is one.
    """

    def __init__(
        self,
        send_spans: Send,
        send_scores: Send,
        send_links: Send,
        clock: Clock,
        *,
        end: End | None = None,
        send_each_score: SendEach | None = None,
        scores_a_request: int | None = None,
        flush_at: int | None = None,
        flush_interval_seconds: float | None = None,
        max_bytes: int | None = None,
        spool: Spool | None = None,
        heir: Callable[[], Outbox] | None = None,
    ) -> None:
        """A batch goes out with `flush_at` events, `max_bytes` bytes, or after the interval, whatever comes first.

        `end` is set to the deadline of `close` or `hurry`. What is pending when this is closed passes to the `heir`.
        """
        self.counts = Counts()
        self._entrance = Entrance()
        self._clock = clock
        self._heir = heir
        self._final: DeliveryReport | None = None  # once what is left has passed to the heir
        at = min(flush_at or BATCH_EVENTS, WAITING_EVENTS // 2)
        most_scores = min(at, scores_a_request or SCORES_A_REQUEST)
        most_spans = at if flush_at else SPANS_A_REQUEST
        bound = max_bytes or BATCH_BYTES
        spans = Lane("spans", send_spans, batch_events=at, most_events=most_spans, batch_bytes=bound)
        scores = Lane(
            "scores",
            send_scores,
            send_each_score,
            # One by one, they wait for nothing; together they wait for each other.
            batch_events=1 if most_scores == 1 else at,
            most_events=most_scores,
            batch_bytes=bound,
        )
        links = Lane("links", send_links, batch_events=1, most_events=1, batch_bytes=bound)
        self._awaited_links: dict[str, Callable[[str], None]] = {}  # by trace id
        self._end = end or End(clock)
        self._backlog = backlog = Backlog(spans, scores, links, clock)
        self._lock = backlog.lock
        self._parking = Parking(self._lock, self.counts, spool)
        dispatch = Dispatch(backlog, Verdicts(self._lock, self.counts, self._parking, clock), self._parking, clock)
        self._senders = Senders(backlog, dispatch.deliver, self._entrance, flush_interval_seconds or BATCH_SECONDS)
        self._flushing = Flushing(backlog, self._senders, dispatch, self._parking, self._end)

    # -- handing in ------------------------------------------------------------------------------------------------

    def put(self, parcel: Parcel, *, may_wait: bool = True) -> None:
        """Hand in a parcel; blocks while too much waits, unless `may_wait` is False (on an event loop)."""
        if not (parcel.spans or parcel.scores or parcel.links) and parcel.arrived is not None:
            parcel.arrived()
        self._entrance.do(self._take_in_or_wait if may_wait else self._take_in, parcel, self._take_in)

    def _take_in_or_wait(self, parcel: Parcel) -> None:
        self._take_in(parcel)
        pressure = self._backlog.pressure
        if not pressure.has_room():
            with self._lock:
                pressure.wait_for_room()

    def _take_in(self, parcel: Parcel) -> None:
        backlog, senders = self._backlog, self._senders
        with self._lock:
            is_open = not backlog.closed
            is_due = is_open and backlog.put(parcel)
            if (is_due and not backlog.is_roused) or not senders.threads:
                senders.rouse()
        senders.start_wanted()
        if is_due and not senders.can_start and not backlog.closed:
            self._flushing.send_here(None, all_of_it=False)
        if not is_open:
            self._turn_away(parcel)

    def _turn_away(self, parcel: Parcel) -> None:
        """What comes after the end passes to the heir; where there is none, it is said that nobody delivers it."""
        backlog = self._backlog
        with self._lock:
            backlog.put(parcel)
            left = [(lane.kind, each, "it came after the end") for lane in backlog.lanes for each in lane.take_all()]
        if self._heir is not None:
            self._heir()._inherit(left, [])
            return
        for kind, (_, events, _), _ in left:
            for event in events:
                warn_of_end(kind, event_id(event))

    def count(self, kind: str, state: str, id: str, reason: str, item_id: str | None = None) -> None:
        """Count what is not handed in at all; from any thread, at any moment."""
        tell = partial(self.counts.problem, kind, state, id, reason)
        self._entrance.do(tell, item_id, tell)

    def park_link(
        self, body: dict[str, Any], reason: str, item_id: str | None, linked: Callable[[str], None] | None = None
    ) -> None:
        """Keep a link that was tried in vain; it is tried again at the end. `linked` is told the id of its run then."""
        parcel = Parcel(links=[body], item_id=item_id)
        parcel.open = 1
        with self._lock:
            if linked is not None:
                self._awaited_links[body["traceId"]] = linked
            self._parking.park(self._backlog.links, [(parcel, parcel.links, size_of(body))], reason)

    def note_link(self, body: Mapping[str, Any], run_id: str) -> None:
        """Pass on the id of the run that a link went to."""
        linked = self._awaited_links.pop(body["traceId"], None)
        if linked is not None:
            linked(run_id)

    def flush_links(self, deadline: float) -> None:
        """Try parked links once more, ahead of the final delivery: what follows wants to know the id of their run."""
        with self._lock:
            self._parking.queue_again(self._backlog.links)
        self._flushing.send_all(deadline)

    def send_soon(self) -> None:
        """Have what waits sent without waiting for more; does not block where there are threads."""
        with self._lock:
            self._backlog.make_urgent()
            self._senders.rouse()
        self._senders.start_wanted()
        if not self._senders.can_start:
            self._flushing.send_here(None)

    def bar(self, kind: str, error: ApiError) -> None:
        """Send no more of a kind, or of any after a 401, until the next `flush`: the server does not take the keys."""
        self._backlog.bar(kind, error)

    def barred(self, kind: str) -> str | None:
        """Why nothing of a kind is sent; None if it is."""
        return self._backlog.barred(kind)

    def expect_scores_alone(self) -> None:
        """Hold less in memory: who sends nothing but scores, one by one, gains nothing by being far ahead of them."""
        self._backlog.pressure.expect_scores_alone()

    def is_holding_back(self) -> bool:
        """Whether somebody waits in `put` for room."""
        return self._backlog.pressure.held_back > 0

    # -- the end ---------------------------------------------------------------------------------------------------

    def hold_nobody_back(self) -> None:
        """Let everyone in from now on, room or no room: the run is about to end."""
        with self._lock:
            self._backlog.pressure.hold_nobody_back()

    def hurry(self, latest: float) -> None:
        """Have a flush under way, and each to come, end by `latest` on the clock."""
        with self._lock:
            self._end.at = latest
            self._backlog.change.notify_all()

    def flush(self, deadline: float | None = None) -> DeliveryReport:
        """Send all that waits, and once more what was tried in vain; the report afterwards. Stops at `deadline`.

        Where no thread can be started (at the end of the interpreter, too) the calling thread sends. In a signal
        handler that has interrupted the outbox itself, it all goes out soon after that has returned.
        """
        # For a signal handler, whose thread is needed for that, no more can be done than to ask for it.
        return self._entrance.do(self._flush, deadline, lambda _: self.send_soon()) or self.report()

    def _flush(self, deadline: float | None) -> DeliveryReport:
        self._entrance.work_off()
        with self._lock:
            for lane in self._backlog.lanes:
                lane.silence.lift()  # the keys may have been given their rights meanwhile
        self._flushing.flush(deadline)
        self._parking.keep(self._pending())
        return self.report()

    def report(self) -> DeliveryReport:
        """The counts so far."""
        kept = self._parking.whereabouts()
        with self._lock:
            return self.counts.report((kind, portion, reason + kept) for kind, portion, reason in self._pending())

    def close(self, deadline: float | None = None) -> DeliveryReport:
        """`flush`, then let the threads go; the final report. What is not there by then is left, or in the spool."""
        return self._entrance.do(self._close, deadline, self._close) or self.report()

    def _close(self, deadline: float | None) -> DeliveryReport:
        self._entrance.work_off()
        with self._lock:
            self._senders.threads.discard(current_thread())  # one on which garbage closes the client waits for others
        self._end.by(deadline)
        self._flushing.flush(deadline)
        backlog = self._backlog
        with self._lock:
            backlog.closed = True
            for lane in backlog.lanes:
                self._parking.park(lane, lane.take_all(), "not sent yet")
            backlog.work.notify_all()
            backlog.pressure.hold_nobody_back()
            senders = [*self._senders.threads, *self._senders.coming]
        self._parking.keep(self._pending())
        for sender in senders:
            left = LOOK_SECONDS if deadline is None else deadline - self._clock.monotonic()
            if sender.is_alive():  # one that is not yet, finds all closed
                sender.join(max(0.0, min(LOOK_SECONDS, left)))
        return self.report() if self._heir is None else self._bequeath(self._heir)

    def _pending(self) -> Iterator[Pending]:
        """Everything that waits, with the reason; the lock is held."""
        yield from self._parking.pending()
        yield from self._backlog.pending()

    def _bequeath(self, heir: Callable[[], Outbox]) -> DeliveryReport:
        """Pass on what is pending; the report as of then, whatever becomes of it later.

        That takes in what is on its way: an answer that comes yet finds nothing of it here, and it is sent once more.
        """
        report = self.report()
        with self._lock:
            if self._final is not None:
                return self._final
            self._final = report
            left, files = self._parking.give_up()
            left += self._backlog.give_up()
        if left or files:
            heir()._inherit(left, files)
        return report

    def _inherit(self, pending: list[Pending], files: list[str]) -> None:
        """Take over what another could not deliver, and the files of the spool that hold it."""
        lanes = {lane.kind: lane for lane in self._backlog.lanes}
        with self._lock:
            for kind, portion, reason in pending:
                self._parking.park(lanes[kind], (portion,), reason)
            self._parking.take_over_files(files)
        self._parking.spill()


def warn_of_end(kind: str, id: str) -> None:
    """Say that something came when its client was closed."""
    warn(f"a client was closed before one of its {kind} ended: {id} is not delivered")
