"""Delivers spans and scores while the run goes on, holds the run back instead of dropping, and counts what arrives.

What belongs to one item travels as one `Parcel`, so that the checkpoint can tell when all of it has arrived. One
thread sends, as long as there is something to send; without threads, whoever hands in a full batch sends it.
"""
from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from threading import Condition, Thread

from ..errors import ApiError
from ..model import DELIVERY_STATES, DeliveryProblem, DeliveryReport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .._clock import Clock
    from ..service.api import Rejection

# Made-up figures: a batch is large enough that its overhead does not count and small enough to send in a blink.
BATCH_EVENTS = 512
BATCH_SECONDS = 1.0
BATCH_BYTES = 2_000_000
SCORES_A_REQUEST = 100
# How much may wait before whoever hands in more has to wait too.
WAITING_EVENTS = 8 * BATCH_EVENTS
WAITING_BYTES = 32_000_000
PROBLEMS_KEPT = 10_000
LOOK_SECONDS = 0.5  # how often whoever waits for the sender looks at the clock


class Parcel:
    """What one item has to deliver: encoded spans and score bodies, each with its id. `arrived` is called once."""

    __slots__ = ("arrived", "item_id", "scores", "spans")

    def __init__(
        self,
        *,
        spans: list[tuple[str, bytes]] | None = None,
        scores: list[dict[str, Any]] | None = None,
        item_id: str | None = None,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        self.spans = [] if spans is None else spans
        self.scores = [] if scores is None else scores
        self.item_id = item_id
        self.arrived = arrived

    @property
    def events(self) -> int:
        """How many spans and scores it holds."""
        return len(self.spans) + len(self.scores)

    def emptied(self) -> Parcel:
        """A parcel for the same item and the same arrival, without content."""
        return Parcel(item_id=self.item_id, arrived=self.arrived)

    @property
    def bytes(self) -> int:
        """About how many bytes it takes on the wire."""
        return sum([len(span) for _, span in self.spans]) + 400 * len(self.scores)


class Counts:
    """What became of everything handed in, by kind; safe from many threads."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._by_kind: dict[str, dict[str, int]] = {}
        self._problems: list[DeliveryProblem] = []

    def add(self, kind: str, state: str, n: int = 1) -> None:
        """Count `n` of a kind ("spans", "scores", "links") as acknowledged, pending, rejected or skipped."""
        with self._lock:
            self._row(kind)[state] += n

    def skip(self, *, spans: int, scores: int) -> None:
        """Count what one item would have sent, had it not been left out on purpose."""
        with self._lock:
            self._row("spans")["skipped"] += spans
            if scores:
                self._row("scores")["skipped"] += scores

    def _row(self, kind: str) -> dict[str, int]:
        row = self._by_kind.get(kind)
        if row is None:
            row = self._by_kind[kind] = dict.fromkeys(DELIVERY_STATES, 0)
        return row

    def problem(self, kind: str, state: str, id: str, reason: str, item_id: str | None = None) -> None:
        """Count one that did not arrive, and keep why."""
        self.add(kind, state)
        with self._lock:
            if len(self._problems) < PROBLEMS_KEPT:
                self._problems.append(
                    DeliveryProblem(kind=kind, id=id, state=state, reason=reason[:500], item_id=item_id)
                )

    def report(self, pending: Sequence[tuple[Parcel, str]] = ()) -> DeliveryReport:
        """The counts so far; `pending` are parcels that still wait, with the reason."""
        with self._lock:
            by_kind = {kind: dict(row) for kind, row in self._by_kind.items()}
            problems = list(self._problems)
        for parcel, reason in pending:
            for kind, ids in (
                ("spans", [id for id, _ in parcel.spans]),
                ("scores", [body["id"] for body in parcel.scores]),
            ):
                if ids:
                    by_kind.setdefault(kind, dict.fromkeys(DELIVERY_STATES, 0))["pending"] += len(ids)
                problems += [
                    DeliveryProblem(kind=kind, id=id, state="pending", reason=reason, item_id=parcel.item_id)
                    for id in ids[: max(0, PROBLEMS_KEPT - len(problems))]
                ]
        return DeliveryReport(by_kind=by_kind, problems=problems)


class Outbox:
    """A queue of parcels and the thread that sends them.

    `send_spans(encoded)` and `send_scores(bodies) -> rejections` do the sending; an ApiError about the content is
    narrowed down to what is refused, after any other error everything is kept and tried once more at the end.
    """

    def __init__(
        self,
        send_spans: Callable[[list[bytes]], None],
        send_scores: Callable[[list[dict[str, Any]]], list[Rejection]],
        clock: Clock,
        *,
        flush_at: int | None = None,
        flush_interval_seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> None:
        """A batch goes out with `flush_at` events, `max_bytes` bytes, or after the interval, whatever comes first."""
        self.counts = Counts()
        self._send_spans = send_spans
        self._send_scores = send_scores
        self._clock = clock
        self._flush_at = min(flush_at or BATCH_EVENTS, WAITING_EVENTS // 2)
        self._flush_interval = flush_interval_seconds or BATCH_SECONDS
        self._max_bytes = max_bytes or BATCH_BYTES
        self._state = Condition()
        self._queue: deque[Parcel] = deque()
        self._events = 0  # waiting in the queue
        self._bytes = 0
        self._parked: list[tuple[Parcel, str]] = []  # tried in vain; tried again at flush
        self._hurry = False
        self._soon = False  # what waits is wanted there before the batch is full
        self._flights: list[_Flight] = []  # batches that are on their way right now
        self._sender: Thread | None = None
        self._threads = True
        self._closed = False
        self._holds_back = True  # whoever hands in more than there is room for
        self._latest: float | None = None

    def put(self, parcel: Parcel, *, may_wait: bool = True) -> None:
        """Hand in a parcel; blocks while too much waits, unless `may_wait` is False (on an event loop)."""
        with self._state:
            self._enqueue(parcel)
            full = self._is_full()
            if self._sender is None and not self._closed and self._threads:
                self._start_sender()
            elif full and not self._flights:
                self._state.notify_all()
            if self._threads and may_wait:
                self._state.wait_for(self._has_room)
        if full and not self._threads:
            self._send_waiting(None)

    def send_soon(self) -> None:
        """Have what waits sent without waiting for more; does not block where there are threads."""
        with self._state:
            self._soon = bool(self._queue)
            self._state.notify_all()
        if not self._threads:
            self._send_waiting(None)

    def flush(self, deadline: float | None = None) -> DeliveryReport:
        """Send all that waits, and once more what was tried in vain; the report afterwards. Stops at `deadline`.

        Where no thread can be started (at the end of the interpreter, too) the calling thread sends.
        """
        self._send_all(deadline)
        with self._state:
            again, self._parked = [parcel for parcel, _ in self._parked], []
            for parcel in again:
                self._enqueue(parcel)
        if again:
            self._send_all(deadline)
        return self.report()

    def report(self) -> DeliveryReport:
        """The counts so far."""
        with self._state:
            pending = [*self._parked, *((parcel, "not sent yet") for parcel in self._queue)]
            pending += [left for flight in self._flights for left in flight.left]
            pending += [(flight.unanswered(), "not answered yet") for flight in self._flights]
            return self.counts.report(pending)

    def close(self, deadline: float | None = None) -> DeliveryReport:
        """`flush`, then let the thread go; the final report."""
        self.flush(deadline)
        with self._state:
            self._closed = True
            sender = self._sender
            self._state.notify_all()
        if sender is not None:
            sender.join(min(LOOK_SECONDS, self._seconds_left(deadline)))
        return self.report()

    def hold_nobody_back(self) -> None:
        """Let everyone in from now on, room or no room: the run is about to end."""
        with self._state:
            self._holds_back = False
            self._state.notify_all()

    def hurry(self, latest: float) -> None:
        """Have a flush under way, and each to come, end by `latest` on the clock."""
        with self._state:
            self._latest = latest
            self._state.notify_all()

    def _has_room(self) -> bool:
        if not self._holds_back or self._closed or not self._threads:
            return True
        return self._events < WAITING_EVENTS and self._bytes < WAITING_BYTES

    def _seconds_left(self, deadline: float | None) -> float:
        """How long a flush may still take, by its own deadline and by that of `hurry`."""
        ends = [end for end in (deadline, self._latest) if end is not None]
        return min(ends) - self._clock.monotonic() if ends else LOOK_SECONDS

    def _is_late(self, deadline: float | None) -> bool:
        return self._seconds_left(deadline) <= 0

    def _start_sender(self) -> None:
        sender = Thread(target=self._run_sender, name="interactiveai_eval-sender", daemon=True)
        try:
            sender.start()
        except RuntimeError:
            self._threads = False  # no threads here: callers send
        else:
            self._sender = sender

    def _run_sender(self) -> None:
        """Send full batches as they come, the rest when the interval is over; leave when nothing comes any more."""
        while True:
            with self._state:
                if not self._queue and not self._closed:
                    self._state.wait_for(lambda: self._queue or self._closed, self._flush_interval)
                if not self._queue:
                    self._sender = None
                    self._state.notify_all()
                    return
                if not self._is_due():
                    self._state.wait_for(self._is_due, self._flush_interval)
                flight = self._take_batch()
            self._deliver(flight)

    def _is_due(self) -> bool:
        return self._is_full() or self._soon or self._hurry or self._closed

    def _is_full(self) -> bool:
        return self._events >= self._flush_at or self._bytes >= self._max_bytes

    def _take_batch(self) -> _Flight:
        """The oldest parcels, up to a batch; the lock is held, and they are on their way from now on."""
        batch: list[Parcel] = []
        events = size = 0
        while self._queue and (not batch or (events < self._flush_at and size < self._max_bytes)):
            parcel = self._queue.popleft()
            batch.append(parcel)
            events += parcel.events
            size += parcel.bytes
        self._events -= events
        self._bytes -= size
        self._soon = self._soon and bool(self._queue)
        flight = _Flight(batch)
        if batch:
            self._flights.append(flight)
        return flight

    def _enqueue(self, parcel: Parcel) -> None:
        self._queue.append(parcel)
        self._events += parcel.events
        self._bytes += parcel.bytes

    def _send_all(self, deadline: float | None) -> None:
        """Have the queue emptied, by the sender or here; returns when it is, or at `deadline`."""
        with self._state:
            if self._queue and self._sender is None and self._threads and not self._closed:
                self._start_sender()
            self._hurry = True
            self._state.notify_all()
            while self._sender is not None and (self._queue or self._flights) and not self._is_late(deadline):
                self._state.wait(min(LOOK_SECONDS, self._seconds_left(deadline)))
            self._hurry = False
            here = self._sender is None
        if here:
            self._send_waiting(deadline)

    def _send_waiting(self, deadline: float | None) -> None:
        while not self._is_late(deadline):
            with self._state:
                flight = self._take_batch()
            if not flight.parcels:
                return
            self._deliver(flight)

    # -- sending one batch -----------------------------------------------------------------------------------------

    def _deliver(self, flight: _Flight) -> None:
        """Spans first, then the scores on them; what gets no answer is parked."""
        spans = [(parcel, id, encoded) for parcel in flight.parcels for id, encoded in parcel.spans]
        scores = [(parcel, body) for parcel in flight.parcels for body in parcel.scores]
        try:
            if spans:
                self._deliver_spans(flight, spans)
            for first in range(0, len(scores), SCORES_A_REQUEST):
                self._deliver_scores(flight, scores[first : first + SCORES_A_REQUEST])
        finally:
            with self._state:
                self._parked += flight.left
                self._flights.remove(flight)
                self._state.notify_all()
        kept = {id(parcel.arrived) for parcel, _ in flight.left}
        for parcel in flight.parcels:
            if parcel.arrived is not None and id(parcel.arrived) not in kept:
                parcel.arrived()

    def _deliver_spans(self, flight: _Flight, spans: list[tuple[Parcel, str, bytes]]) -> None:
        try:
            self._send_spans([encoded for _, _, encoded in spans])
        except ApiError as error:
            if not _is_about_content(error):
                self._leave(flight, spans, (), str(error))
            elif len(spans) == 1:
                parcel, span_id, _ = spans[0]
                with self._state:
                    flight.spans.pop(span_id, None)
                    self.counts.problem("spans", "rejected", span_id, str(error), parcel.item_id)
            else:  # one bad span must not take the others along: halve until it stands alone
                self._deliver_spans(flight, spans[: len(spans) // 2])
                self._deliver_spans(flight, spans[len(spans) // 2 :])
        except Exception as error:  # no answer came; or a transport of the user's broke, which must lose nothing
            self._leave(flight, spans, (), str(error) or type(error).__name__)
        else:
            with self._state:
                for _, span_id, _ in spans:
                    flight.spans.pop(span_id, None)
                self.counts.add("spans", "acknowledged", len(spans))

    def _deliver_scores(self, flight: _Flight, scores: list[tuple[Parcel, dict[str, Any]]]) -> None:
        try:
            refused = {rejection.id: rejection.reason for rejection in self._send_scores([body for _, body in scores])}
        except ApiError as error:
            if not _is_about_content(error):
                self._leave(flight, (), scores, str(error))
                return
            if len(scores) > 1:
                self._deliver_scores(flight, scores[: len(scores) // 2])
                self._deliver_scores(flight, scores[len(scores) // 2 :])
                return
            refused = {body["id"]: str(error) for _, body in scores}
        except Exception as error:
            self._leave(flight, (), scores, str(error) or type(error).__name__)
            return
        with self._state:
            bad = [(parcel, body["id"]) for parcel, body in scores if body["id"] in refused]
            for parcel, score_id in bad:
                self.counts.problem("scores", "rejected", score_id, refused[score_id], parcel.item_id)
            self.counts.add("scores", "acknowledged", len(scores) - len(bad))
            for _, body in scores:
                flight.scores.pop(body["id"], None)

    def _leave(self, flight: _Flight, spans: Sequence[Any], scores: Sequence[Any], reason: str) -> None:
        """Keep what got no answer, parcel by parcel, for another try."""
        left: dict[int, Parcel] = {}
        for parcel, span_id, encoded in spans:
            left.setdefault(id(parcel), parcel.emptied()).spans.append((span_id, encoded))
        for parcel, body in scores:
            left.setdefault(id(parcel), parcel.emptied()).scores.append(body)
        with self._state:
            for _, span_id, _ in spans:
                flight.spans.pop(span_id, None)
            for _, body in scores:
                flight.scores.pop(body["id"], None)
            flight.left += [(parcel, reason) for parcel in left.values()]


class _Flight:
    """A batch on its way: what of it is unanswered, and what was left over."""

    __slots__ = ("left", "parcels", "scores", "spans")

    def __init__(self, parcels: list[Parcel]) -> None:
        self.parcels = parcels
        self.spans = {id: encoded for parcel in parcels for id, encoded in parcel.spans}
        self.scores = {body["id"]: body for parcel in parcels for body in parcel.scores}
        self.left: list[tuple[Parcel, str]] = []

    def unanswered(self) -> Parcel:
        """What nobody has answered yet, as a parcel for a report."""
        return Parcel(spans=list(self.spans.items()), scores=list(self.scores.values()))


def _is_about_content(error: ApiError) -> bool:
    """Whether the server judged what was sent, rather than who sent it or when."""
    return 400 <= error.status_code < 500 and error.status_code not in (401, 403, 404, 405, 407, 408, 425, 429)
