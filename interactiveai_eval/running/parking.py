"""What was tried in vain: kept in memory until it is tried again, in the spool when it is too much or the end comes."""
from __future__ import annotations

from .._log import warn
from .lanes import event_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from threading import RLock

    from .counts import Counts
    from .lanes import Lane, Pending, Portion
    from .spool import Spool

# How much of what was tried in vain is held in memory where there is a spool.
PARKED_BYTES = 16_000_000


class Parking:
    """The parked portions of an outbox, and the files of its `spool`, if there is one, that hold what is pending."""

    def __init__(self, lock: RLock, counts: Counts, spool: Spool | None) -> None:
        self._lock = lock
        self._counts = counts
        self._spool = spool
        self._parked: list[tuple[Lane, Portion, str]] = []  # tried in vain; tried again at flush
        self._parked_bytes = 0
        self._spilling: list[tuple[Lane, Portion, str]] = []  # on its way to the spool, for good
        self._spill_at = PARKED_BYTES
        self._spool_failed = False
        self._kept_files: list[str] = []  # in the spool, with what was pending at the last flush

    def park(self, lane: Lane, portions: Iterable[Portion], reason: str) -> None:
        """Keep for later; the lock is held."""
        for portion in portions:
            self._parked.append((lane, portion, reason))
            self._parked_bytes += portion[2]

    def queue_again(self, only: Lane | None = None) -> bool:
        """Put what is parked, or what is of one lane, back into its lane; whether there was any. The lock is held."""
        again = [each for each in self._parked if only is None or each[0] is only]
        self._parked = [] if only is None else [each for each in self._parked if each[0] is not only]
        for lane, (parcel, events, size), _ in again:
            self._parked_bytes -= size
            parcel.open += lane.add(parcel, events, size) - 1
        return bool(again)

    def pending(self) -> Iterator[Pending]:
        """Everything that is parked, with the reason; the lock is held."""
        for lane, portion, reason in [*self._parked, *self._spilling]:
            yield lane.kind, portion, reason

    def whereabouts(self) -> str:
        """Where what is pending is kept, as the end of a reason."""
        return f"; kept in the spool {self._spool.folder}" if self._spool is not None and self._kept_files else ""

    def give_up(self) -> tuple[list[Pending], list[str]]:
        """All that is parked, and the files with what is pending: somebody else's from now on. The lock is held."""
        left = [(lane.kind, portion, reason) for lane, portion, reason in self._parked]
        self._parked, self._parked_bytes = [], 0
        files, self._kept_files = self._kept_files, []
        return left, files

    def take_over_files(self, files: list[str]) -> None:
        """Take files that hold what is pending; the lock is held."""
        self._kept_files += files

    def keep(self, pending: Iterable[Pending]) -> None:
        """Have everything that is pending in the spool, and in memory as well: a later flush may deliver it yet.

        `pending` is gone through with the lock held.
        """
        if self._spool is None:
            return
        with self._lock:
            found = list(pending)
            old, self._kept_files = self._kept_files, []
        files = self._spooled(found)
        with self._lock:
            self._kept_files += old if files is None else files  # better what was there than nothing
        for file in () if files is None else old:
            self._spool.remove(file)

    def spill(self) -> None:
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
                    self.park(lane, (portion,), reason)
                    self._spill_at = 2 * self._parked_bytes
                    continue
                parcel, events, _ = portion
                for event in events:
                    kept = f"{reason}; kept in the spool {self._spool.folder}"
                    self._counts.problem(lane.kind, "pending", event_id(event), kept, parcel.item_id)

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
