"""What `run_batched_evaluation` returns: counts, evaluations and failures of a batch, and what can be done with them.

Printing and saving live in `reporting`; nothing of it is loaded before it is asked for.
"""
from __future__ import annotations

from ._log import warn
from .batch_model import BatchEvaluationRecord
from .errors import ArgumentError
from .judged import Judged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from typing import Any

    from .batch_model import BatchEvaluationResumeToken
    from .model import ExperimentRecord


class BatchEvaluationResult(Judged, BatchEvaluationRecord):
    """The outcome of one call; see `BatchEvaluationRecord` for its fields, read as attributes or keys.

    Its lists and dicts are its own: changing those it was made from changes nothing here.
    """

    __slots__ = ()

    def _fill(self, fields: Mapping[str, Any]) -> None:
        super()._fill({name: value.copy() if type(value) in (list, dict) else value for name, value in fields.items()})

    def retry_token(self) -> BatchEvaluationResumeToken | None:
        """The token with which `resume_from` runs the failed items again; None when there is none to run.

        After a run that can be resumed it is `resume_token`, which begins with them. More failed items than a token
        holds: it goes on after the last that it holds, and what had succeeded there lands on the same score ids.
        """
        return self.resume_token if self.retry is None else self.retry

    @classmethod
    def merge(cls, results: Iterable[BatchEvaluationResult]) -> BatchEvaluationResult:
        """One result out of those of disjoint runs, such as all shards of one evaluation.

        Counts are added up, evaluators by position and name; lists follow one another in the order of `results`. The
        duration is the longest: shards run side by side. `completed` only if all are and no shard is missing,
        `has_more_items` if any has; where a result went on with the token of one before, the last one tells.
        `resume_token` and `retry_token()` are None: a token says where one shard stands, so each is resumed with its
        own. An item that failed and was tried again by a later one of `results`, which went on with the first one's
        token, is what came of it last; of a shard of one `run_id` that ran twice from its start, the later result
        counts. Raises ArgumentError for no results, for what is no result, and for any other item of two results: it
        would be counted twice.
        """
        from .merging import added_counts, added_deliveries, added_stats, list_of, missing_shards

        given = _last_of_each_shard(list_of(BatchEvaluationResult, results))
        parts = [_without(part, ids) for part, ids in _tried_again(given)]
        missing, ends = missing_shards(parts), _ends(parts)
        if missing:
            warn(f"merge: the result is incomplete, as these shards are missing: {missing}")
        totals = {name: sum(part[name] for part in parts) for name in cls._fields if name.startswith("total_")}
        return cls(
            **totals,
            evaluator_stats=added_stats(parts),
            resume_token=None,
            completed=not missing and all(end.completed for end in ends),
            duration_seconds=max(part.duration_seconds for part in parts),
            failed_item_ids=[item_id for part in parts for item_id in part.failed_item_ids],
            error_summary=added_counts(part.error_summary for part in parts),
            has_more_items=any(end.has_more_items for end in ends),
            item_evaluations={
                item_id: list(evaluations) for part in parts for item_id, evaluations in part.item_evaluations.items()
            },
            item_failures=[failure for part in parts for failure in part.item_failures],
            delivery=added_deliveries([part.delivery for part in parts]),
        )

    def to_dict(self) -> dict[str, Any]:
        """The result as a document of plain values (what JSON can say), with a schema version."""
        from .reporting.documents import batch_to_document

        return batch_to_document(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> BatchEvaluationResult:
        """The result of a document made by `to_dict`. Raises DataError (a ValueError) that names the field."""
        from .reporting.documents import document_to_batch_fields

        return cls(**document_to_batch_fields(document))

    def save(self, path: str | PathLike[str], **settings: Any) -> None:
        """Write the result to a file, see `Judged.save`; `.json` is what `load` reads all of it from."""
        from ._atomic import write_atomically
        from .reporting.documents import batch_to_json
        from .reporting.files import batch_format

        target, extension = batch_format(path)
        if extension == ".json":
            write_atomically(target, batch_to_json(self))
        else:
            super().save(path, **settings)

    def _record(self) -> ExperimentRecord:
        from .reporting.batch_record import batch_to_record

        return batch_to_record(self)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> BatchEvaluationResult:
        """The result that was saved as `.json`.

        Raises ArgumentError for another extension, DataError (a ValueError) that names file and field, OSError.
        """
        from .reporting.files import read_saved

        return read_saved(path, cls.from_dict)

    def __str__(self) -> str:
        from .reporting.batch_text import batch_summary

        return batch_summary(self)

    def __repr__(self) -> str:
        end = "completed" if self.completed else "incomplete"
        return (
            f"<BatchEvaluationResult: {self.total_items_processed} items processed, {self.total_items_failed} failed, "
            f"{end}{', more items' if self.has_more_items else ''}>"
        )


def _last_of_each_shard(parts: list[BatchEvaluationResult]) -> list[BatchEvaluationResult]:
    """The results without those whose shard has run again, from its start: twice has the effect of once."""
    kept: list[BatchEvaluationResult] = []
    for part in parts:
        kept = [before for before in kept if not _has_run_again(before, part)]
        kept.append(part)
    return kept


def _ends(parts: list[BatchEvaluationResult]) -> Iterable[BatchEvaluationResult]:
    """The last result of each run and shard: it says what is left of all that its calls went through."""
    runs = {(part.run_id or place, part.shard): part for place, part in enumerate(parts)}
    return runs.values()


def _has_run_again(before: BatchEvaluationResult, part: BatchEvaluationResult) -> bool:
    if before.shard is None or before.run_id is None or (before.run_id, before.shard) != (part.run_id, part.shard):
        return False
    done = {*before.item_evaluations, *before.failed_item_ids}
    if before.item_evaluations or not before.total_items_processed:
        return bool(done) and done <= {*part.item_evaluations, *part.failed_item_ids}
    # Nothing was kept but counts: what goes on after a completed run tries its failed items again and no others.
    attempted = part.total_items_processed + part.total_items_failed
    return before.completed and attempted > before.total_items_failed


def _tried_again(parts: list[BatchEvaluationResult]) -> Iterable[tuple[BatchEvaluationResult, set[str]]]:
    """Each result with those of its failed items that a later one of the same run has tried again."""
    again: list[set[str]] = [set() for _ in parts]
    seen: dict[str, int] = {}
    for place, part in enumerate(parts):
        for item_id in [*part.item_evaluations, *part.failed_item_ids]:
            first = seen.get(item_id, place)
            seen[item_id] = place
            if first == place:
                continue
            before = parts[first]
            same_run = before is not part and before.run_id is not None and before.run_id == part.run_id
            if not same_run or item_id in before.item_evaluations:
                raise ArgumentError(
                    "results",
                    [before, part],
                    f"item {item_id!r} is in results {first} and {place}; merge results of disjoint runs, each once, "
                    "and after each the one of its retry_token()",
                )
            again[first].add(item_id)
    return zip(parts, again)


def _without(part: BatchEvaluationResult, ids: set[str]) -> BatchEvaluationResult:
    """The result as if these items, which failed, had not come up in it."""
    if not ids:
        return part
    gone = [each for each in part.item_failures if each.evaluator is None and each.item_id in ids]
    errors = dict(part.error_summary)
    for each in gone:
        errors[each.error_type] -= 1
    found: BatchEvaluationResult = part.replaced(
        total_items_fetched=part.total_items_fetched - len(ids),
        total_items_failed=part.total_items_failed - len(ids),
        failed_item_ids=[item_id for item_id in part.failed_item_ids if item_id not in ids],
        item_failures=[each for each in part.item_failures if each not in gone],
        error_summary={name: count for name, count in errors.items() if count},
    )
    return found
