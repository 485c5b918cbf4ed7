"""What waits for delivery, kind by kind, and how much of it goes out at a time: a lane has a queue and its measure."""
from __future__ import annotations

from collections import deque

from .._strict_json import to_json
from .silence import Silence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from ..service.api import Rejection
    from .parcels import Parcel

    Send = Callable[[list[Any]], list[Rejection]]
    SendEach = Callable[[Iterable[Any]], Iterator[tuple[Any, Rejection | Exception | None]]]
    # What goes out together: events of one kind of one parcel, and about how many bytes they take. An event is
    # (id, encoded) for a span, its body for a score or link.
    Portion = tuple[Parcel, Sequence[Any], int]
    Pending = tuple[str, Portion, str]  # kind, what waits, why

# Made-up figures: a batch is large enough that its overhead does not count and small enough to send in a blink.
BATCH_EVENTS = 512
BATCH_BYTES = 2_000_000
# Of what has piled up, a request takes more.
SPANS_A_REQUEST = 4 * BATCH_EVENTS
SCORES_A_REQUEST = 100
# A lane has as many requests on their way as one processor can attend to: one for each `*_WORK_SECONDS` of the time
# that a request waits for its answer. Made-up figures, of the size that was measured; more connections help nobody.
SINGLE_WORK_SECONDS, SINGLES_MOST = 0.0001, 32
BATCH_WORK_SECONDS, BATCHES_MOST = 0.02, 8
STREAMS_MOST = 4  # one that takes what comes, and some whose last answers are awaited


class Lane:
    """What waits of one kind, and how it goes out.

    A batch is due with `batch_events` events or `batch_bytes` bytes, and takes up to `most_events`; `urgent` of those
    that wait are due whatever they are. `flying` requests are on their way, at most `most`; `silence` tells whether
    they are answered.

    With `send_each`, events of which each is a request may go out in one stream: a sender asks for the next as long as
    the transport takes more before it has answered the first. `streams` is whether it does, None until it is known.
    """

    __slots__ = (
        "answers",
        "batch_bytes",
        "batch_events",
        "bytes",
        "count",
        "flying",
        "kind",
        "most",
        "most_events",
        "puller",
        "queue",
        "send",
        "send_each",
        "silence",
        "streams",
        "urgent",
        "wait_seconds",
        "work_seconds",
    )

    def __init__(
        self,
        kind: str,
        send: Send,
        send_each: SendEach | None = None,
        *,
        batch_events: int,
        most_events: int,
        batch_bytes: int,
    ) -> None:
        self.kind = kind
        self.send = send
        self.send_each = send_each
        self.streams = None if send_each is not None and most_events == 1 else False
        self.puller: Flight | None = None  # the stream that takes what comes
        self.batch_events = batch_events
        self.most_events = most_events
        self.batch_bytes = batch_bytes
        self.queue: deque[Portion] = deque()
        self.count = 0  # events that wait
        self.bytes = 0
        self.urgent = 0
        self.flying = 0
        single = most_events == 1
        self.work_seconds = SINGLE_WORK_SECONDS if single else BATCH_WORK_SECONDS
        self.most = SINGLES_MOST if single else BATCHES_MOST
        self.wait_seconds = (SINGLES_MOST if single else 1) * self.work_seconds  # until it is known
        self.answers = 0
        self.silence = Silence()

    def put(self, parcel: Parcel, events: Sequence[Any]) -> int:
        """Queue scores or links of a parcel; how many portions they are."""
        if self.most_events > 1:
            return self.add(parcel, events, sum(map(size_of, events)))
        for event in events:
            size = size_of(event)
            self.bytes += size
            self.queue.append((parcel, [event], size))
        self.count += len(events)
        return len(events)

    def add(self, parcel: Parcel, events: Sequence[Any], size: int) -> int:
        """Queue events of a parcel; how many portions they are."""
        count = len(events)
        self.count += count
        self.bytes += size
        if count <= self.most_events and size <= self.batch_bytes:
            self.queue.append((parcel, events, size))
            return 1
        portions = singly((parcel, events, size))
        self.queue.extend(portions)
        return len(portions)

    def is_due(self) -> bool:
        return self.urgent > 0 or self.count >= self.batch_events or self.bytes >= self.batch_bytes

    def may_fly(self) -> bool:
        """Whether a batch is due and another request is worth its while."""
        return self.is_due() and bool(self.queue) and self.puller is None and self.flying < self.width()

    def width(self) -> int:
        if self.streams is None:
            return 1  # the first one finds out
        if self.streams:
            return STREAMS_MOST
        return min(self.most, 1 + int(self.wait_seconds / self.work_seconds))

    def wanted(self) -> int:
        """How many senders have something to wait for here, beside the one that attends to all lanes."""
        waiting = self.count // self.most_events if self.is_due() and self.puller is None else 0
        return min(self.width() - 1, self.flying + waiting)

    def take(self) -> list[Portion]:
        """The oldest, up to a batch."""
        batch: list[Portion] = []
        count = size = 0
        queue = self.queue
        while queue:
            _, events, following = queue[0]
            if batch and (count + len(events) > self.most_events or size + following > self.batch_bytes):
                break
            batch.append(queue.popleft())
            count += len(events)
            size += following
        self.count -= count
        self.bytes -= size
        self.urgent = max(0, self.urgent - count)
        return batch

    def take_one(self) -> Portion:
        """The oldest, for a lane in which each goes out by itself."""
        portion = self.queue.popleft()
        self.count -= 1
        self.bytes -= portion[2]
        if self.urgent:
            self.urgent -= 1
        return portion

    def take_all(self) -> list[Portion]:
        """Everything that waits."""
        left = list(self.queue)
        self.queue.clear()
        self.count = self.bytes = self.urgent = 0
        return left

    def answered(self, seconds: float) -> None:
        """Learn from a request how long requests wait, beyond the time that those beside it took of the processor."""
        waited = max(0.0, seconds - self.flying * self.work_seconds)
        if self.answers:  # one that was slow for reasons of its own shows little
            waited = min(waited, 1.25 * self.wait_seconds + 4 * self.work_seconds)
        self.wait_seconds = waited
        self.answers += 1


class Flight:
    """A batch on its way: what of it is unanswered, and whom to tell that all of an item has arrived.

    `silence` is why it is not worth sending just now.
    """

    __slots__ = ("arrived", "lane", "silence", "unanswered")

    def __init__(self, lane: Lane, portions: list[Portion], silence: str | None) -> None:
        self.lane = lane
        self.silence = silence
        self.unanswered = {id(portion): portion for portion in portions}
        self.arrived: list[Callable[[], None]] = []

    def pull_no_more(self) -> None:
        """Let another stream take what comes; the lock is held."""
        if self.lane.puller is self:
            self.lane.puller = None


def singly(portion: Portion) -> list[Portion]:
    """The same events, each a portion of its own."""
    parcel, events, _ = portion
    return [(parcel, [event], size_of(event)) for event in events]


def event_id(event: Any) -> str:
    """The id by which an event is known: of the span or score itself, of the trace for a link."""
    return str(event[0] if type(event) is tuple else event.get("id") or event["traceId"])


def size_of(event: Any) -> int:
    """About how many bytes an event takes; the rest is judged by the server."""
    if type(event) is tuple:
        return len(event[1])
    size = 400
    for name in ("comment", "value", "metadata", "runDescription"):
        value = event.get(name)
        if type(value) is str:
            size += len(value) if value.isascii() else 6 * len(value)
        elif type(value) is dict and value:
            size += len(to_json(value))
    return size
