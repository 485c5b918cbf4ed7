"""Gathers what becomes of the items: results, failures, counts by evaluator, and the streams to the user's hooks."""
from __future__ import annotations

from _thread import allocate_lock
from collections import deque

from ..model import EvaluatorStats, ExperimentItemResult, ItemFailure
from ..tally import RunTally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..model import Evaluation, EvaluatorFailure
    from .plan import Plan
    from .progress import Progress

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
        self.scores = sum([evaluation.value is not None for evaluation in evaluations])
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


class _Row:
    __slots__ = ("errors", "name", "runs", "scores", "seconds")

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs = 0
        self.scores = 0
        self.seconds = 0.0
        self.errors: dict[str, int] = {}

    def add(self, run: EvaluatorRun) -> None:
        self.runs += 1
        self.scores += run.scores
        self.seconds += run.seconds
        if run.error_type is not None:
            self.errors[run.error_type] = self.errors.get(run.error_type, 0) + 1

    def stats(self) -> EvaluatorStats:
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


class Collector:
    """Takes results from many threads.

    `stop(error)` is called when `on_result` raises, `failed(failures, items)` after every failure.
    """

    def __init__(
        self,
        plan: Plan,
        progress: Progress,
        *,
        stop: Callable[[BaseException], None],
        failed: Callable[[int, int], None],
    ) -> None:
        self._plan = plan
        self._progress = progress
        self._stop = stop
        self._count_failure = failed
        self._lock = allocate_lock()
        self._hook_lock = allocate_lock()
        self._rows = [_Row(name) for name in plan.scoring_names]
        self._results: list[ExperimentItemResult] = []
        self._failures: list[ItemFailure] = []
        self._recent: deque[float] = deque(maxlen=RECENT_ITEMS)
        self.tally: RunTally | None = None if plan.keep_results else RunTally()
        self.given = 0
        self.failed = 0

    def add_result(self, result: ExperimentItemResult, runs: list[EvaluatorRun], seconds: float) -> None:
        """Take an item that went through; `seconds` is its whole time, evaluators and waiting included."""
        with self._lock:
            self.given += 1
            for run in runs:
                self._rows[run.position].add(run)
            self._recent.append(seconds)
            if self.tally is None:
                self._results.append(result)
            else:
                self.tally.add_result(result.evaluations)
        self._tell(result, failed=False)

    def add_failure(self, failure: ItemFailure, *, told: bool = True) -> None:
        """Take an item that did not go through; `told=False` when the hooks, which may hang, are not asked any more."""
        with self._lock:
            self.given += 1
            self.failed += 1
            if self.tally is None:
                self._failures.append(failure)
            else:
                self.tally.add_failure()
            counts = self.failed, self.given
        if told:
            self._tell(failure, failed=True)
        self._count_failure(*counts)

    def usual_seconds(self) -> float:
        """How long all but the slowest twentieth of the recent items took; 0.0 before there are any."""
        with self._lock:
            recent = sorted(self._recent)
        return recent[int(len(recent) * 0.95)] if recent else 0.0

    def results(self) -> list[ExperimentItemResult]:
        """What went through, in the order of the data."""
        return sorted(self._results, key=_place)

    def failures(self) -> list[ItemFailure]:
        """What did not go through, in the order of the data."""
        return sorted(self._failures, key=_place)

    def stats(self) -> list[EvaluatorStats]:
        """One row an evaluator by position, then the composite's."""
        return [row.stats() for row in self._rows]

    def _tell(self, outcome: Any, *, failed: bool) -> None:
        on_result = self._plan.on_result
        if on_result is not None:
            try:
                with self._hook_lock:
                    on_result(outcome)
            except BaseException as error:
                # Whoever streams results to a disk that is full must not lose the rest in silence.
                self._stop(error)
        if self._progress.hook is not None:
            try:
                self._progress.item_done(failed=failed)
            except KeyboardInterrupt as error:
                self._stop(error)


def _place(outcome: Any) -> tuple[int, int]:
    return outcome.index, outcome.repetition
