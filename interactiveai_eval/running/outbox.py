"""Delivers spans, scores and links while the run goes on, holds the run back instead of dropping, and counts.

What belongs to one item comes as one `Parcel`, so that the checkpoint can tell when all of it has arrived. It is
divided into lanes, one for each kind; threads of ours take batches from them, as many as have something to wait for;
without threads, whoever hands in a full batch sends it.
"""
from __future__ import annotations

from _thread import allocate_lock
from threading import Condition, Thread, current_thread

from .._log import warn
from ..errors import ApiError
from ..model import DELIVERY_STATES, DeliveryProblem, DeliveryReport
from .lanes import Flight, Lane, event_id, singly, size_of
from .parcels import Parcel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from .._clock import Clock
    from .lanes import Portion, Send, SendEach
    from .spool import Spool

    Pending = tuple[str, Portion, str]  # kind, what waits, why

# Made-up figures: a batch is large enough that its overhead does not count and small enough to send in a blink.
BATCH_EVENTS = 512
BATCH_SECONDS = 1.0
BATCH_BYTES = 2_000_000
# Of what has piled up, a request takes more.
SPANS_A_REQUEST = 4 * BATCH_EVENTS
SCORES_A_REQUEST = 100
# How much may wait before whoever hands in more has to wait too.
WAITING_EVENTS = 8 * BATCH_EVENTS
WAITING_BYTES = 32_000_000
# The same for a run that sends nothing but scores, one by one: some thirty are on their way, and a second's worth is
# behind them.
WAITING_SINGLES = 2 * BATCH_EVENTS
# How much of what was tried in vain is held in memory where there is a spool.
PARKED_BYTES = 16_000_000
PROBLEMS_KEPT = 10_000
LOOK_SECONDS = 0.5  # how often whoever waits for the senders looks at the clock
# So many requests in a row that nobody answers mean that nobody will, for a while: the rest is kept without asking,
# but for one request in so many seconds. Made-up figures.
SILENT_REQUESTS, PROBE_SECONDS = 8, 1.0


class End:
    """When the last delivery ends: what is sent for it wants no answer after that. None as long as it is not known."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at: float | None = None

    def moment(self) -> float | None:
        return self.at


class Counts:
    """What became of everything handed in, by kind; safe from many threads."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._by_kind: dict[str, dict[str, int]] = {}
        self._problems: list[DeliveryProblem] = []
        self._skipped: dict[str, dict[str, int]] = {}  # by reason and kind, where ids were never made

    def add(self, kind: str, state: str, n: int = 1) -> None:
        """Count `n` of a kind ("spans", "scores", "links") as acknowledged, pending, rejected or skipped."""
        with self._lock:
            self._row(kind)[state] += n

    def skip(self, reason: str, spans: int, scores: int) -> None:
        """Count what one item would have sent, had it not been left out on purpose."""
        with self._lock:
            skipped = self._skipped.get(reason)
            if skipped is None:
                self._skipped[reason] = {"spans": spans, "scores": scores}
            else:
                skipped["spans"] += spans
                skipped["scores"] += scores

    def _row(self, kind: str) -> dict[str, int]:
        row = self._by_kind.get(kind)
        if row is None:
            row = self._by_kind[kind] = dict.fromkeys(DELIVERY_STATES, 0)
        return row

    def problem(self, kind: str, state: str, id: str, reason: str, item_id: str | None = None) -> None:
        """Count one that did not arrive, and keep why."""
        with self._lock:
            self._row(kind)[state] += 1
            if len(self._problems) < PROBLEMS_KEPT:
                self._problems.append(
                    DeliveryProblem(kind=kind, id=id, state=state, reason=reason[:500], item_id=item_id)
                )

    def report(self, pending: Iterable[Pending] = ()) -> DeliveryReport:
        """The counts so far; `pending` still waits, with the reason."""
        with self._lock:
            by_kind = {kind: dict(row) for kind, row in self._by_kind.items()}
            problems = list(self._problems)
            for why, skipped in self._skipped.items():
                for kind, n in skipped.items():
                    if n:
                        by_kind.setdefault(kind, dict.fromkeys(DELIVERY_STATES, 0))["skipped"] += n
                        told = f"{why} ({n} {kind} in all)"
                        problems.append(DeliveryProblem(kind=kind, id="", state="skipped", reason=told))
        for kind, (parcel, events, _), reason in pending:
            by_kind.setdefault(kind, dict.fromkeys(DELIVERY_STATES, 0))["pending"] += len(events)
            problems += [
                DeliveryProblem(
                    kind=kind, id=event_id(event), state="pending", reason=reason[:500], item_id=parcel.item_id
                )
                for event in events[: max(0, PROBLEMS_KEPT - len(problems))]
            ]
        return DeliveryReport(by_kind=by_kind, problems=problems)


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
        self._clock = clock
        self._spool = spool
        self._heir = heir
        self._final: DeliveryReport | None = None  # once what is left has passed to the heir
        at = min(flush_at or BATCH_EVENTS, WAITING_EVENTS // 2)
        most_scores = min(at, scores_a_request or SCORES_A_REQUEST)
        most_spans = at if flush_at else SPANS_A_REQUEST
        bound = max_bytes or BATCH_BYTES
        self._spans = Lane("spans", send_spans, batch_events=at, most_events=most_spans, batch_bytes=bound)
        self._scores = Lane(
            "scores",
            send_scores,
            send_each_score,
            # One by one, they wait for nothing; together they wait for each other.
            batch_events=1 if most_scores == 1 else at,
            most_events=most_scores,
            batch_bytes=bound,
        )
        self._links = Lane("links", send_links, batch_events=1, most_events=1, batch_bytes=bound)
        self._lanes = (self._links, self._spans, self._scores)
        self._flush_interval = flush_interval_seconds or BATCH_SECONDS
        self._lock = allocate_lock()
        self._work = Condition(self._lock)  # senders wait for something to send
        self._change = Condition(self._lock)  # others wait for room, or for the end
        self._held_back = 0  # how many wait for room
        self._parked: list[tuple[Lane, Portion, str]] = []  # tried in vain; tried again at flush
        self._parked_bytes = 0
        self._spilling: list[tuple[Lane, Portion, str]] = []  # on its way to the spool, for good
        self._spill_at = PARKED_BYTES
        self._spool_failed = False
        self._awaited_links: dict[str, Callable[[str], None]] = {}  # by trace id
        self._kept_files: list[str] = []  # in the spool, with what was pending at the last flush
        self._flights: set[Flight] = set()  # batches that are on their way right now
        self._senders: set[Thread] = set()
        self._idle = 0  # senders that wait for more
        self._is_roused = False  # whoever is to look for work knows
        self._is_timed = False  # one of them sends what waits when the interval is over
        self._threads = True
        self._flushing = 0
        self._closed = False
        self._holds_back = True  # whoever hands in more than there is room for
        self._most_waiting = WAITING_EVENTS
        self._end = end or End()

    # -- handing in ------------------------------------------------------------------------------------------------

    def put(self, parcel: Parcel, *, may_wait: bool = True) -> None:
        """Hand in a parcel; blocks while too much waits, unless `may_wait` is False (on an event loop)."""
        spans, scores, links = parcel.spans, parcel.scores, parcel.links
        if not (spans or scores or links) and parcel.arrived is not None:
            parcel.arrived()
        with self._lock:
            if spans:
                parcel.open += self._spans.add(parcel, spans, sum([len(encoded) for _, encoded in spans]))
            if scores:
                parcel.open += self._scores.put(parcel, scores)
            if links:
                parcel.open += self._links.put(parcel, links)
            is_due = self._spans.is_due() or self._scores.is_due() or self._links.is_due()
            if (is_due and not self._is_roused) or not self._senders:
                self._rouse()
            if self._threads and may_wait and not self._has_room():
                self._held_back += 1
                try:
                    self._change.wait_for(self._has_room)
                finally:
                    self._held_back -= 1
            sends_here = is_due and not self._threads and not self._closed
        if sends_here:
            self._send_here(None, all_of_it=False)

    def park_link(
        self, body: dict[str, Any], reason: str, item_id: str | None, linked: Callable[[str], None] | None = None
    ) -> None:
        """Keep a link that was tried in vain; it is tried again at the end. `linked` is told the id of its run then."""
        parcel = Parcel(links=[body], item_id=item_id)
        parcel.open = 1
        with self._lock:
            if linked is not None:
                self._awaited_links[body["traceId"]] = linked
            self._park(self._links, [(parcel, parcel.links, size_of(body))], reason)

    def note_link(self, body: Mapping[str, Any], run_id: str) -> None:
        """Pass on the id of the run that a link went to."""
        linked = self._awaited_links.pop(body["traceId"], None)
        if linked is not None:
            linked(run_id)

    def flush_links(self, deadline: float) -> None:
        """Try parked links once more, ahead of the final delivery: what follows wants to know the id of their run."""
        with self._lock:
            again = [each for each in self._parked if each[0] is self._links]
            self._parked = [each for each in self._parked if each[0] is not self._links]
            for lane, (parcel, events, size), _ in again:
                self._parked_bytes -= size
                parcel.open += lane.add(parcel, events, size) - 1
        self._send_all(deadline)

    def send_soon(self) -> None:
        """Have what waits sent without waiting for more; does not block where there are threads."""
        with self._lock:
            self._make_urgent()
            self._rouse()
            here = not self._threads
        if here:
            self._send_here(None)

    def flush(self, deadline: float | None = None) -> DeliveryReport:
        """Send all that waits, and once more what was tried in vain; the report afterwards. Stops at `deadline`.

        Where no thread can be started (at the end of the interpreter, too) the calling thread sends.
        """
        with self._lock:
            for lane in self._lanes:
                if lane.probe_at == float("inf"):  # the keys may have been given their rights meanwhile
                    lane.silent, lane.probe_at = 0, 0.0
        self._flush(deadline)
        self._keep()
        return self.report()

    def report(self) -> DeliveryReport:
        """The counts so far."""
        kept = f"; kept in the spool {self._spool.folder}" if self._spool is not None and self._kept_files else ""
        with self._lock:
            return self.counts.report((kind, portion, reason + kept) for kind, portion, reason in self._pending())

    def close(self, deadline: float | None = None) -> DeliveryReport:
        """`flush`, then let the threads go; the final report. What is not there by then is left, or in the spool."""
        self._end_by(deadline)
        self._flush(deadline)
        with self._lock:
            self._closed = True
            for lane in self._lanes:
                self._park(lane, lane.take_all(), "not sent yet")
            self._work.notify_all()
            self._change.notify_all()
            senders = list(self._senders)
        self._keep()
        for sender in senders:
            left = LOOK_SECONDS if deadline is None else deadline - self._clock.monotonic()
            sender.join(max(0.0, min(LOOK_SECONDS, left)))
        return self.report() if self._heir is None else self._bequeath(self._heir)

    def _bequeath(self, heir: Callable[[], Outbox]) -> DeliveryReport:
        """Pass on what is pending; the report as of then, whatever becomes of it later.

        That takes in what is on its way: an answer that comes yet finds nothing of it here, and it is sent once more.
        """
        report = self.report()
        with self._lock:
            if self._final is not None:
                return self._final
            self._final = report
            left = [(lane.kind, portion, reason) for lane, portion, reason in self._parked]
            for flight in self._flights:
                left += [(flight.lane.kind, portion, "not answered yet") for portion in flight.unanswered.values()]
                flight.unanswered.clear()
            self._parked, self._parked_bytes = [], 0
            files, self._kept_files = self._kept_files, []
        if left or files:
            heir()._inherit(left, files)
        return report

    def _inherit(self, pending: list[Pending], files: list[str]) -> None:
        """Take over what another could not deliver, and the files of the spool that hold it."""
        lanes = {lane.kind: lane for lane in self._lanes}
        with self._lock:
            for kind, portion, reason in pending:
                self._park(lanes[kind], (portion,), reason)
            self._kept_files += files
        self._spill()

    def expect_scores_alone(self) -> None:
        """Hold less in memory: who sends nothing but scores, one by one, gains nothing by being far ahead of them."""
        if self._scores.most_events == 1:
            self._most_waiting = WAITING_SINGLES

    def hold_nobody_back(self) -> None:
        """Let everyone in from now on, room or no room: the run is about to end."""
        with self._lock:
            self._holds_back = False
            self._change.notify_all()

    def hurry(self, latest: float) -> None:
        """Have a flush under way, and each to come, end by `latest` on the clock."""
        with self._lock:
            self._end.at = latest
            self._change.notify_all()

    def _let_in(self) -> None:
        """Wake whoever is held back once half of what may wait is gone; the lock is held.

        At the brim each item would be a change from the thread that sends to one that evaluates and back, which costs
        more than sending it.
        """
        if self._held_back and self._has_room(0.5):
            self._change.notify_all()

    def _has_room(self, share: float = 1.0) -> bool:
        if not self._holds_back or self._closed or not self._threads:
            return True
        spans, scores = self._spans, self._scores  # links come from the spool alone
        waiting, size = spans.count + scores.count, spans.bytes + scores.bytes
        return waiting < share * self._most_waiting and size < share * WAITING_BYTES

    def _end_by(self, deadline: float | None) -> None:
        with self._lock:
            if deadline is not None and (self._end.at is None or deadline < self._end.at):
                self._end.at = deadline

    def _seconds_left(self, deadline: float | None) -> float:
        """How long a flush may still take, by its own deadline and by that of `hurry`."""
        ends = [end for end in (deadline, self._end.at) if end is not None]
        return min(ends) - self._clock.monotonic() if ends else LOOK_SECONDS

    def _is_late(self, deadline: float | None) -> bool:
        return self._seconds_left(deadline) <= 0

    def _pending(self) -> Iterable[Pending]:
        """Everything that waits, with the reason; the lock is held."""
        for lane, portion, reason in [*self._parked, *self._spilling]:
            yield lane.kind, portion, reason
        for lane in self._lanes:
            for portion in lane.queue:
                yield lane.kind, portion, "not sent yet"
        for flight in self._flights:
            for portion in flight.unanswered.values():
                yield flight.lane.kind, portion, "not answered yet"

    # -- senders ---------------------------------------------------------------------------------------------------

    def _rouse(self) -> None:
        """Have as many senders as there is work for; the lock is held."""
        if self._closed or not self._threads:
            return
        self._is_roused = True  # until a sender looks for work; it rouses the next one
        if not any([lane.is_due() for lane in self._lanes]):
            if not self._senders and any([lane.queue for lane in self._lanes]):
                self._start_sender()
        elif self._idle:
            self._work.notify()
        elif len(self._senders) < 1 + sum([lane.wanted() for lane in self._lanes]):
            self._start_sender()

    def _start_sender(self) -> None:
        sender = Thread(target=self._run_sender, name="interactiveai_eval-sender", daemon=True)
        try:
            sender.start()
        except RuntimeError:
            self._threads = bool(self._senders)  # none here, or no more: callers send if nobody else does
        else:
            self._senders.add(sender)

    def _run_sender(self) -> None:
        """Send batches as they are due, the rest when the interval is over; leave when there is nothing to do."""
        try:
            while True:
                with self._lock:
                    flight = self._take() or self._wait_for_work()
                    if flight is None:
                        return
                    self._rouse()
                try:
                    self._deliver(flight)
                except SystemExit:  # of a transport: what it had is kept
                    continue
        finally:
            with self._lock:
                self._senders.discard(current_thread())
                self._rouse()  # there may be work again
                self._change.notify_all()

    def _wait_for_work(self) -> Flight | None:
        """What is due within the interval, or waits at its end; the lock is held."""
        is_timer = not self._is_timed
        self._is_timed = True
        self._idle += 1
        try:
            roused = self._work.wait_for(self._has_work, self._flush_interval)
        finally:
            self._idle -= 1
            if is_timer:
                self._is_timed = False
        if not roused and not self._is_timed:
            self._make_urgent()
        return self._take()

    def _make_urgent(self) -> None:
        for lane in self._lanes:
            lane.urgent = lane.count

    def _has_work(self) -> bool:
        return self._closed or any([lane.may_fly() for lane in self._lanes])

    def _take(self) -> Flight | None:
        """The next batch that is due, which is on its way from now on; the lock is held."""
        self._is_roused = False
        if self._closed:
            return None
        for lane in self._lanes:
            if lane.may_fly():
                lane.urgent = lane.count  # all that is there by now, a batch at a time
                flight = Flight(lane, lane.take(), self._known_silence(lane) if lane.silent else None)
                lane.flying += 1
                self._flights.add(flight)
                self._let_in()
                return flight
        return None

    def bar(self, kind: str, error: ApiError) -> None:
        """Send no more of a kind, or of any after a 401, until the next `flush`: the server does not take the keys."""
        with self._lock:
            self._bar(kind, error)

    def _bar(self, kind: str, error: ApiError) -> None:
        for lane in self._lanes:
            if lane.kind == kind or error.status_code == 401:
                lane.silent, lane.silence, lane.probe_at = SILENT_REQUESTS, str(error), float("inf")

    def barred(self, kind: str) -> str | None:
        """Why nothing of a kind is sent; None if it is."""
        for lane in self._lanes:
            if lane.kind == kind and lane.silent and lane.probe_at == float("inf"):
                return lane.silence
        return None

    def _flush(self, deadline: float | None) -> None:
        self._send_all(deadline)
        if self._is_late(deadline):
            return
        with self._lock:
            again, self._parked, self._parked_bytes = self._parked, [], 0
            for lane in self._lanes:
                if lane.probe_at < float("inf"):
                    lane.silent = 0
            for lane, (parcel, events, size), _ in again:
                parcel.open += lane.add(parcel, events, size) - 1
        if again:
            self._send_all(deadline)

    def _send_all(self, deadline: float | None) -> None:
        """Have the lanes emptied, by senders or here; returns when they are, or at `deadline`."""
        with self._lock:
            self._flushing += 1
            try:
                while True:
                    self._make_urgent()
                    if not self._flights and not any([lane.queue for lane in self._lanes]):
                        return
                    self._rouse()  # who comes first brings others
                    if not self._senders or self._is_late(deadline):
                        break
                    self._change.wait(max(0.0, min(LOOK_SECONDS, self._seconds_left(deadline))))
            finally:
                self._flushing -= 1
        self._send_here(deadline)

    def _send_here(self, deadline: float | None, *, all_of_it: bool = True) -> None:
        before = self._end.at
        self._end_by(deadline)  # nobody else is there who could give up what is on its way
        try:
            while not self._is_late(deadline):
                with self._lock:
                    if all_of_it:
                        self._make_urgent()
                    flight = self._take()
                if flight is None:
                    return
                self._deliver(flight)
        finally:
            with self._lock:
                if self._end.at is deadline:
                    self._end.at = before

    # -- sending one batch -----------------------------------------------------------------------------------------

    def _deliver(self, flight: Flight) -> None:
        """Send a batch; what gets no answer is parked, what has its verdict is counted."""
        began = self._clock.monotonic()
        lane = flight.lane
        try:
            if flight.silence is not None:
                self._leave(flight, list(flight.unanswered.values()), flight.silence)
            elif lane.streams is False or lane.send_each is None:
                self._send(flight, list(flight.unanswered.values()))
            else:
                self._stream(flight, lane.send_each)
        finally:
            with self._lock:
                if not lane.silent and not lane.streams:
                    lane.answered(self._clock.monotonic() - began)
                lane.flying -= 1
                # Only an exception that ends the thread leaves any.
                self._park(lane, flight.unanswered.values(), "its delivery was interrupted")
                flight.unanswered.clear()
            try:
                self._spill()
                self._tell(flight)  # before a flush that waits for it returns
            finally:
                with self._lock:
                    self._flights.discard(flight)
                    if self._held_back or (not self._flights and self._flushing):
                        self._change.notify_all()

    @staticmethod
    def _tell(flight: Flight) -> None:
        """Tell the owners of what has arrived; without the lock, as a checkpoint may be written."""
        told, flight.arrived = flight.arrived, []
        for arrived in told:
            arrived()

    def _stream(self, flight: Flight, send_each: SendEach) -> None:
        """Send one by one what a flight has and, as long as the transport asks for more, what comes after it."""
        lane, (first,) = flight.lane, flight.unanswered.values()
        pulled: dict[int, Portion] = {}
        answers = 0

        def bodies() -> Iterator[Any]:
            portion: Portion | None = first
            while portion is not None:
                pulled[id(portion[1][0])] = portion
                yield portion[1][0]
                with self._lock:
                    if lane.streams is None:
                        lane.streams = not answers  # one that answers first has one under way at a time
                    portion = self._following(flight)

        try:
            for body, verdict in send_each(bodies()):
                answers += 1
                portion = pulled.pop(id(body))
                if verdict is None:
                    self._settle_one(flight, portion)
                elif isinstance(verdict, Exception):
                    self._judge(flight, [portion], verdict)
                else:
                    self._settle(flight, [portion], {verdict.id: verdict.reason})
                if flight.arrived:  # a stream may last as long as the run
                    self._tell(flight)
        except Exception as error:
            self._judge(flight, list(flight.unanswered.values()), error)
        finally:
            with self._lock:
                self._pull_no_more(flight)

    def _pull_no_more(self, flight: Flight) -> None:
        """Let another stream take what comes; the lock is held."""
        if flight.lane.puller is flight:
            flight.lane.puller = None

    def _following(self, flight: Flight) -> Portion | None:
        """The next for a stream, if it goes on; the lock is held."""
        lane = flight.lane
        if not lane.streams or not lane.queue or self._closed or lane.silent >= SILENT_REQUESTS:
            self._pull_no_more(flight)
            return None
        lane.puller = flight
        portion = lane.take_one()
        flight.unanswered[id(portion)] = portion
        self._let_in()
        return portion

    def _send(self, flight: Flight, portions: list[Portion]) -> None:
        kind = flight.lane.kind
        contents = [event for _, events, _ in portions for event in events]
        try:
            refused = flight.lane.send([encoded for _, encoded in contents] if kind == "spans" else contents)
        except Exception as error:
            self._judge(flight, portions, error)
        else:
            unnamed = [each.reason for each in refused if not each.id]
            self._settle(flight, portions, {each.id: each.reason for each in refused if each.id}, unnamed)

    def _judge(self, flight: Flight, portions: list[Portion], error: Exception) -> None:
        """Tell an error about the content from one that is not: no answer, or a broken transport of the user's."""
        if isinstance(error, ApiError) and error.status_code in (401, 403):
            self._leave(flight, portions, str(error))
            self.bar(flight.lane.kind, error)
        elif not isinstance(error, ApiError) or not _is_about_content(error):
            self._leave(flight, portions, str(error) or type(error).__name__, is_silence=True)
        elif sum([len(events) for _, events, _ in portions]) > 1:
            self._send_halves(flight, portions)  # one bad event must not take the others along
        else:
            size = f" (it has about {portions[0][2]} bytes)" if error.status_code == 413 else ""
            self._settle(flight, portions, {event_id(portions[0][1][0]): f"{error}{size}"})

    def _send_halves(self, flight: Flight, portions: list[Portion]) -> None:
        if len(portions) == 1:
            with self._lock:
                if flight.unanswered.pop(id(portions[0]), None) is None:
                    return  # the heir's by now
                parcel = portions[0][0]
                portions = singly(portions[0])
                flight.unanswered.update({id(portion): portion for portion in portions})
                parcel.open += len(portions) - 1
        middle = len(portions) // 2
        self._send(flight, portions[:middle])
        self._send(flight, portions[middle:])

    def _settle_one(self, flight: Flight, portion: Portion) -> None:
        """Count one event that was taken."""
        parcel = portion[0]
        with self._lock:
            flight.lane.silent = 0
            if flight.unanswered.pop(id(portion), None) is None:
                return  # the heir's by now
            parcel.open -= 1
            if not parcel.open and parcel.arrived is not None:
                flight.arrived.append(parcel.arrived)
            self.counts.add(flight.lane.kind, "acknowledged")

    def _settle(
        self, flight: Flight, portions: list[Portion], refused: dict[str, str], unnamed: Sequence[str] = ()
    ) -> None:
        """Count what was taken and what was refused; of `unnamed` the server only says how many."""
        kind, counts = flight.lane.kind, self.counts
        taken = 0
        with self._lock:
            flight.lane.silent = 0
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

    def _leave(self, flight: Flight, portions: Iterable[Portion], reason: str, *, is_silence: bool = False) -> None:
        """Keep what got no answer for another try."""
        with self._lock:
            for portion in portions:
                if flight.unanswered.pop(id(portion), None) is not None:
                    self._park(flight.lane, (portion,), reason)
            if is_silence:
                flight.lane.silent += 1
                flight.lane.silence = reason
                flight.lane.probe_at = self._clock.monotonic() + PROBE_SECONDS

    def _known_silence(self, lane: Lane) -> str | None:
        """Why there is no use in asking just now, None when there may be; the lock is held."""
        now = self._clock.monotonic()
        if lane.silent < SILENT_REQUESTS:
            return None
        if now < lane.probe_at:
            return lane.silence
        lane.probe_at = now + PROBE_SECONDS
        return None

    def _park(self, lane: Lane, portions: Iterable[Portion], reason: str) -> None:
        """Keep for later; the lock is held."""
        for portion in portions:
            self._parked.append((lane, portion, reason))
            self._parked_bytes += portion[2]

    # -- the spool -------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Have everything that is pending in the spool, and in memory as well: a later flush may deliver it yet."""
        if self._spool is None:
            return
        with self._lock:
            pending = list(self._pending())
            old, self._kept_files = self._kept_files, []
        files = self._spooled(pending)
        with self._lock:
            self._kept_files += old if files is None else files  # better what was there than nothing
        for file in () if files is None else old:
            self._spool.remove(file)

    def _spill(self) -> None:
        """What was tried in vain and has become too much for the memory goes into the spool for good."""
        if self._spool is None or self._parked_bytes < self._spill_at:
            return
        with self._lock:
            spilled, self._parked, self._parked_bytes = self._parked, [], 0
            self._spilling += spilled
        files = self._spooled([(lane.kind, portion, reason) for lane, portion, reason in spilled])
        gone = set(map(id, spilled))
        with self._lock:
            self._spilling = [each for each in self._spilling if id(each) not in gone]
            for lane, portion, reason in spilled:
                if files is None:
                    self._park(lane, (portion,), reason)
                    self._spill_at = 2 * self._parked_bytes
                    continue
                parcel, events, _ = portion
                for event in events:
                    kept = f"{reason}; kept in the spool {self._spool.folder}"
                    self.counts.problem(lane.kind, "pending", event_id(event), kept, parcel.item_id)

    def _spooled(self, pending: list[Pending]) -> list[str] | None:
        """The files that hold it now; None when it cannot be written."""
        assert self._spool is not None
        try:
            return self._spool.write(
                [
                    (kind, event_id(event), parcel.item_id, event[1] if kind == "spans" else event)
                    for kind, (parcel, events, _), _ in pending
                    for event in events
                ]
            )
        except OSError as error:
            if not self._spool_failed:
                self._spool_failed = True
                warn(f"the spool {self._spool.folder} cannot be written: {error}; what is pending waits in memory")
            return None


def _is_about_content(error: ApiError) -> bool:
    """Whether the server judged what was sent, rather than who sent it, where to or when."""
    return 400 <= error.status_code < 500 and error.status_code not in _NOT_ABOUT_CONTENT


_NOT_ABOUT_CONTENT = (401, 403, 404, 405, 407, 408, 415, 421, 425, 429)
