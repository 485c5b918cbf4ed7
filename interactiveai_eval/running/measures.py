"""What is measured of a run while it goes on: what the evaluators did, and how long an item usually takes."""
from __future__ import annotations

from _thread import allocate_lock
from collections import deque

from ..model import EvaluatorStats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..model import Evaluation, EvaluatorFailure

# How many recent items the guess of "how long does one more take" looks at; a made-up figure.
RECENT_ITEMS = 128


class EvaluatorRun:
    """One call of the evaluator at a position: how long it took, how many scores it gave, or how it failed."""

    __slots__ = ("error_type", "position", "scores", "seconds")

    def __init__(
        self, position: int, seconds: float, evaluations: Sequence[Evaluation], failure: EvaluatorFailure | None
    ) -> None:
        self.position = position
        self.seconds = seconds
        self.scores = 0
        for evaluation in evaluations:
            if evaluation.value is not None:
                self.scores += 1
        self.error_type: str | None = None if failure is None else failure.error_type

    def to_entry(self) -> list[Any]:
        """The form in which a checkpoint keeps it."""
        return [self.position, self.seconds, self.scores, self.error_type]

    @classmethod
    def from_entry(cls, entry: Sequence[Any]) -> EvaluatorRun:
        """What `to_entry` gave."""
        run = cls(entry[0], entry[1], (), None)
        run.scores, run.error_type = entry[2], entry[3]
        return run


class StatsRow:
    """What the runs of one evaluator add up to; not for several threads at once."""

    __slots__ = ("errors", "name", "runs", "scores", "seconds")

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs = 0
        self.scores = 0
        self.seconds = 0.0
        self.errors: dict[str, int] = {}

    def add(self, run: EvaluatorRun) -> None:
        """Count one run."""
        self.runs += 1
        self.scores += run.scores
        self.seconds += run.seconds
        if run.error_type is not None:
            self.errors[run.error_type] = self.errors.get(run.error_type, 0) + 1

    def stats(self) -> EvaluatorStats:
        """The row as it stands."""
        failed = sum(self.errors.values())
        return EvaluatorStats(
            name=self.name,
            total_runs=self.runs,
            successful_runs=self.runs - failed,
            failed_runs=failed,
            total_scores_created=self.scores,
            error_summary=dict(self.errors),
            duration_seconds=self.seconds,
        )


class UsualSeconds:
    """How long items take; safe from many threads."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._recent: deque[float] = deque(maxlen=RECENT_ITEMS)

    def add(self, seconds: float) -> None:
        """Take the whole time of one item, evaluators and waiting included."""
        with self._lock:
            self._recent.append(seconds)

    def guess(self) -> float:
        """How long all but the slowest twentieth of the recent items took; 0.0 before there are any."""
        with self._lock:
            recent = sorted(self._recent)
        return recent[int(len(recent) * 0.95)] if recent else 0.0
