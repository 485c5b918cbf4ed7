"""The result of a batch evaluation as a record of items and evaluations: the same reports and checks serve it."""
from __future__ import annotations

from ..item_result import ExperimentItemResult
from ..model import EvaluatorFailure, ExperimentRecord, ItemFailure
from ..tally import RunTally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..batch_model import BatchEvaluationRecord


def batch_to_record(result: BatchEvaluationRecord) -> ExperimentRecord:
    """The record: evaluated items in the result's order, then those that failed; inputs and outputs are not in it.

    Where not all of them were kept, the counts of the run are in its tally.
    """
    troubles: dict[str | None, list[EvaluatorFailure]] = {}
    failures: list[ItemFailure] = []
    for failure in result.item_failures:
        if failure.evaluator is not None:
            told = {name: failure[name] for name in ("evaluator", "error_type", "message", "traceback")}
            troubles.setdefault(failure.item_id, []).append(EvaluatorFailure(**told))
        elif failure.stage != "fetch":  # a page that could not be read is no item
            told = {name: failure[name] for name in ("item_id", "stage", "error_type", "message", "traceback")}
            failures.append(ItemFailure(index=len(result.item_evaluations) + len(failures), item={}, **told))
    rows = [
        ExperimentItemResult(
            index=index,
            item_id=item_id,
            item={},
            output=None,
            evaluations=evaluations,
            evaluator_failures=troubles.get(item_id),
            trace_id=None,
            dataset_run_id=None,
        )
        for index, (item_id, evaluations) in enumerate(result.item_evaluations.items())
    ]
    tally = None
    if (len(rows), len(failures)) != (result.total_items_processed, result.total_items_failed):
        tally = RunTally()
        tally.succeeded, tally.failed = result.total_items_processed, result.total_items_failed
    return ExperimentRecord(
        name="batch evaluation",
        run_name="batch evaluation",
        item_results=rows,
        item_failures=failures,
        run_evaluations=[],
        evaluator_stats=result.evaluator_stats,
        delivery=result.delivery,
        duration_seconds=result.duration_seconds,
        completed=result.completed,
        tally=tally,
    )
