"""Gathers what becomes of the items: results, failures, counts by evaluator, and the streams to the user's hooks."""
from __future__ import annotations

from _thread import allocate_lock
from operator import attrgetter

from .._copies import private_copy
from ..item_result import ExperimentItemResult, PackedResults, packed_copy
from ..model import Evaluation, EvaluatorStats, ItemFailure
from ..tally import RunTally
from .measures import EvaluatorRun, StatsRow, UsualSeconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from .plan import Plan
    from .progress import Progress

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
        self._has_hooks = plan.on_result is not None or progress.hook is not None
        self._rows = [StatsRow(name) for name in plan.scoring_names]
        self._results = PackedResults()
        self._failures: list[ItemFailure] = []
        self._usual = UsualSeconds()
        self.tally: RunTally | None = None if plan.keep_results else RunTally()
        self.given = 0
        self.failed = 0
        self.cancelled = 0  # of those: nobody waited for them

    def add_result(
        self,
        result: ExperimentItemResult,
        evaluations: Sequence[Evaluation],
        runs: Sequence[EvaluatorRun],
        seconds: float,
    ) -> None:
        """Take an item that went through; `seconds` is its whole time, evaluators and waiting included.

        `evaluations` are those of `result`, which is packed.
        """
        if self._plan.time_budget_seconds is not None:  # who has no budget does not ask
            self._usual.add(seconds)
        with self._lock:
            self.given += 1
            for run in runs:
                self._rows[run.position].add(run)
            if self.tally is None:
                self._results.add(result)
            else:
                self.tally.add_result(evaluations)
        if self._has_hooks:
            self._tell(result, evaluations, failed=False)

    def add_failure(self, failure: ItemFailure, *, told: bool = True) -> None:
        """Take an item that did not go through; `told=False` when the hooks, which may hang, are not asked any more."""
        with self._lock:
            self.given += 1
            self.failed += 1
            self.cancelled += failure.stage == "cancelled"
            if self.tally is None:
                self._failures.append(failure)
            else:
                self.tally.add_failure()
            counts = self.failed, self.given
        if told and self._has_hooks:
            self._tell(failure, (), failed=True)
        self._count_failure(*counts)

    def usual_seconds(self) -> float:
        """How long all but the slowest twentieth of the recent items took, by a budget; 0.0 before there are any."""
        return self._usual.guess()

    def results(self) -> list[ExperimentItemResult]:
        """What went through, in the order of the data."""
        with self._lock:
            return self._results.in_order()

    def failures(self) -> list[ItemFailure]:
        """What did not go through, in the order of the data."""
        return sorted(self._failures, key=attrgetter("index", "repetition"))

    def stats(self) -> list[EvaluatorStats]:
        """One row an evaluator by position, then the composite's."""
        return [row.stats() for row in self._rows]

    def _tell(self, outcome: Any, evaluations: Sequence[Evaluation], *, failed: bool) -> None:
        on_result = self._plan.on_result
        if on_result is not None:
            try:
                with self._hook_lock:
                    on_result(own_copy(outcome))
            except BaseException as error:
                # Whoever streams results to a disk that is full must not lose the rest in silence.
                self._stop(error)
        if self._progress.hook is not None:
            try:
                self._progress.item_done(failed=failed, evaluations=evaluations)
            except KeyboardInterrupt as error:
                self._stop(error)


def own_copy(outcome: Any) -> Any:
    """A result or failure for user code, which can change nothing in it that anybody else sees."""
    if type(outcome) is ItemFailure:
        return outcome.replaced(item=private_copy(outcome.item))
    copy = packed_copy(outcome, private_copy)
    if copy is not None:
        return copy
    return outcome.replaced(
        item=private_copy(outcome.item),
        output=private_copy(outcome.output),
        evaluations=own_evaluations(outcome.evaluations),
        evaluator_failures=list(outcome.evaluator_failures),
    )


def own_evaluations(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """The same for evaluations: their metadata can be changed."""
    return [evaluation.replaced(metadata=private_copy(evaluation.metadata)) for evaluation in evaluations]
