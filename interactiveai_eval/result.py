"""What `run_experiment` returns: the record of a run, and what can be done with it.

Reading, printing and saving live in `reporting`; nothing of it is loaded before it is asked for.
"""
from __future__ import annotations

from .judged import Judged
from .model import ExperimentRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from typing import Any


class ExperimentResult(Judged, ExperimentRecord):
    """The outcome of one run; see `ExperimentRecord` for its fields, read as attributes or keys.

    Its lists and dicts are its own: changing those it was made from, or those of a document, changes nothing here.
    """

    __slots__ = ()

    def _fill(self, fields: Mapping[str, Any]) -> None:
        super()._fill({name: value.copy() if type(value) in (list, dict) else value for name, value in fields.items()})

    def format(self, *, include_item_results: bool = False) -> str:
        """The result as text of several lines: counts, averages, failures, run evaluations; every item on request.

        Control and invisible characters of names, values and comments are shown as marks such as <U+001B>.
        """
        from .reporting.text import format_result

        return format_result(self, include_item_results=include_item_results)

    @classmethod
    def merge(cls, results: Iterable[ExperimentResult]) -> ExperimentResult:
        """What one run would have given, out of the results of its shards (`run_experiment(shard=(k, n))`).

        Items in the order of the data; counts, statistics and deliveries added up; the duration is the longest, as
        shards run side by side. A shard given twice counts once: the last one that is completed, else the last.
        `completed` only if all n are there and completed; `resume_token` is None: each shard goes on with its own
        checkpoint. Run evaluators judge the merge: `rescore(merged, None, run_evaluators=[...], client=client)`.

        Raises ArgumentError for no results, for results that are of no shard, and for those that are not of one run,
        which names the field.
        """
        from .merging import merge_experiments

        return merge_experiments(cls, results)

    def to_dict(self) -> dict[str, Any]:
        """The result as a document of plain values (what JSON can say), with a schema version."""
        from .reporting.documents import record_to_document

        return record_to_document(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ExperimentResult:
        """The result of a document made by `to_dict`, in this or an earlier version.

        Items and outputs are what JSON made of them. Raises DataError (a ValueError) that names the field.
        """
        from .reporting.documents import document_to_fields

        return cls(**document_to_fields(document))

    def _record(self) -> ExperimentRecord:
        return self

    @classmethod
    def load(cls, path: str | PathLike[str]) -> ExperimentResult:
        """The result that was saved as `.json` or `.jsonl`.

        Raises ArgumentError for another extension, DataError (a ValueError) that names file and field, OSError.
        """
        from .reporting.files import read_saved

        return read_saved(path, cls.from_dict, lines=True)

    def model_dump(self) -> dict[str, Any]:
        """The result as the CI action of the Langfuse family takes it; that is the method which it looks for."""
        from .reporting.action import result_to_action

        return result_to_action(self)

    def __str__(self) -> str:
        from .reporting.text import headline

        return headline(self)

    def __repr__(self) -> str:
        counts = f"{len(self.item_results)} item results, {len(self.item_failures)} item failures"
        if self.tally is not None:
            counts = f"{self.tally.succeeded} items went through, {self.tally.failed} failed"
        return f"<ExperimentResult {self.name!r}, run {self.run_name!r}: {counts}>"
