"""What became of everything that was to be delivered: acknowledged, pending, rejected or skipped, and why."""
from __future__ import annotations

from threading import RLock

from ..model import DELIVERY_STATES, DeliveryProblem, DeliveryReport
from .lanes import event_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .lanes import Pending

PROBLEMS_KEPT = 10_000


class Counts:
    """What became of everything handed in, by kind; safe from many threads."""

    def __init__(self) -> None:
        self._lock = RLock()  # like that of the backlog
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
