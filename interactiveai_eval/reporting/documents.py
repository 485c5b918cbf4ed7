"""A result as a plain document (dicts, lists, texts, numbers, booleans, None), and back.

The tables at the end are the format: each noun's fields in written order, with what each may hold. A document says
which schema it follows and in which version; a reader refuses what it cannot understand instead of guessing, but
passes over fields that it does not know.
"""
from __future__ import annotations

import json

from .._strict_json import EXACT_INTEGER, JSONError, from_json, number_to_text, text_to_number, to_plain
from ..batch_model import BatchEvaluationResumeToken, BatchItemFailure
from ..errors import ArgumentError, DataError, short_repr
from ..item_result import ExperimentItemResult
from ..model import (
    DELIVERY_STATES,
    DeliveryProblem,
    DeliveryReport,
    Evaluation,
    EvaluatorFailure,
    EvaluatorStats,
    ExperimentRecord,
    ItemFailure,
)
from ..running.arguments import shard as checked_shard
from ..tally import MetricTally, RunTally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from ..batch_model import BatchEvaluationRecord

SCHEMA = "interactiveai_eval/experiment-result"
SCHEMA_VERSION = 1
BATCH_SCHEMA = "interactiveai_eval/batch-result"
BATCH_SCHEMA_VERSION = 1


def record_to_document(record: ExperimentRecord) -> dict[str, Any]:
    """The document of a result; nothing in it is shared with the result."""
    return {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **_RECORD.to_plain(record)}


def record_to_json(record: ExperimentRecord) -> Iterator[str]:
    """The text of `record_to_document` in pieces: one field a line, and one line for each member of a list."""
    return _pieces(SCHEMA, SCHEMA_VERSION, _RECORD, record)


# Lists that are one line for each member in JSON lines, and the key of such a line.
_LINES = {"item_failures": "item_failure", "item_results": "item_result"}
_END = "end"  # the key of the last line, without which a file that was cut between two lines would be a smaller run


def record_to_lines(record: ExperimentRecord) -> Iterator[str]:
    """The document of a result as JSON lines: the run first, one line for each item, at last how many there are."""
    encode: Callable[[Any], str] = json.JSONEncoder(allow_nan=False).encode
    fields = {name: kind for name, kind in _RECORD.fields.items() if name not in _LINES}
    head = {name: kind.to_plain(getattr(record, name)) for name, kind in fields.items()}
    yield encode({"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **head}) + "\n"
    for name, key in _LINES.items():
        member = _LIST_OF[name]
        for each in getattr(record, name):
            yield encode({key: member.to_plain(each)}) + "\n"
    yield encode({_END: {name: len(getattr(record, name)) for name in _LINES}}) + "\n"


def lines_to_document(lines: Iterable[bytes]) -> Any:
    """The document behind `record_to_lines`. Raises DataError that names the line."""
    document: Any = None
    end: Any = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = from_json(line)
        except JSONError as error:
            raise DataError(f"line {number}: {error}") from None
        if document is None:
            _check_schema(SCHEMA, SCHEMA_VERSION, value)
            document = {**value, **{name: [] for name in _LINES}}
            continue
        if end is not None:
            raise DataError(f"line {number}: comes after the end line")
        if isinstance(value, dict) and _END in value:
            end = value[_END]
            continue
        name = next((name for name, key in _LINES.items() if isinstance(value, dict) and key in value), None)
        if name is None:
            raise DataError(f"line {number}: is neither an item_result nor an item_failure")
        document[name].append(value[_LINES[name]])
    found = document and {name: len(document[name]) for name in _LINES}
    if found != end:
        said = "its end line is missing" if end is None else f"its end line says {short_repr(end, 80)}"
        raise DataError(f"not all of the result is there: {said}, and there are {found}; copy or save the file again")
    return document


def document_to_fields(document: Any) -> dict[str, Any]:
    """The arguments of `ExperimentRecord` from its document.

    Raises DataError, which names the field, for another schema, a newer version, and whatever is not as written here.
    """
    return _read(SCHEMA, SCHEMA_VERSION, _RECORD, document)


def batch_to_document(result: BatchEvaluationRecord) -> dict[str, Any]:
    """The document of a batch evaluation's result; nothing in it is shared with the result."""
    return {"schema": BATCH_SCHEMA, "schema_version": BATCH_SCHEMA_VERSION, **_BATCH.to_plain(result)}


def batch_to_json(result: BatchEvaluationRecord) -> Iterator[str]:
    """The text of `batch_to_document` in pieces, like `record_to_json`."""
    return _pieces(BATCH_SCHEMA, BATCH_SCHEMA_VERSION, _BATCH, result)


def document_to_batch_fields(document: Any) -> dict[str, Any]:
    """The arguments of `BatchEvaluationRecord` from its document. Raises DataError like `document_to_fields`."""
    return _read(BATCH_SCHEMA, BATCH_SCHEMA_VERSION, _BATCH, document)


def _pieces(schema: str, version: int, table: _Noun, noun: Any) -> Iterator[str]:
    encode: Callable[[Any], str] = json.JSONEncoder(allow_nan=False).encode
    yield f'{{\n"schema": {encode(schema)},\n"schema_version": {version}'
    for name, kind in table.fields.items():
        value = getattr(noun, name)
        yield f",\n{encode(name)}: "
        if isinstance(kind, _List) and value:
            before = "[\n  "
            for member in value:
                yield before + encode(kind.member.to_plain(member))
                before = ",\n  "
            yield "\n]"
        elif isinstance(kind, _ByName) and value:
            before = "{\n  "
            for key, member in value.items():
                yield f"{before}{encode(to_plain(key))}: {encode(kind.member.to_plain(member))}"
                before = ",\n  "
            yield "\n}"
        else:
            yield encode(kind.to_plain(value))
    yield "\n}\n"


def _read(schema: str, newest: int, table: _Noun, document: Any) -> dict[str, Any]:
    _check_schema(schema, newest, document)
    return table.read_fields(document, "")


def _check_schema(schema: str, newest: int, document: Any) -> None:
    if not isinstance(document, dict):
        raise DataError(f"not a saved result: {short_repr(document, 40)} instead of an object")
    if document.get("schema") != schema:
        raise DataError(f"not a saved result: schema is {short_repr(document.get('schema'), 60)} instead of {schema!r}")
    version = document.get("schema_version")
    if type(version) is not int or version < 1:
        raise DataError(f"schema_version: {short_repr(version, 40)} is not a whole number from 1")
    if version > newest:
        raise DataError(
            f"schema_version: the result was saved in version {version}, this package reads up to {newest}; "
            "update the package"
        )


class _Any:
    """A value of the user's own: made plain when written, taken as it is when read."""

    def to_plain(self, value: Any) -> Any:
        return to_plain(value, largest=EXACT_INTEGER)

    def read(self, value: Any, where: str) -> Any:
        return to_plain(value, largest=EXACT_INTEGER)  # a copy: what was read belongs to the result alone


class _Plain(_Any):
    """A value of certain types, which are named in `wanted`."""

    def __init__(self, wanted: str, *types: type) -> None:
        self.wanted = wanted
        self.types = types

    def read(self, value: Any, where: str) -> Any:
        if type(value) not in self.types:
            raise DataError(f"{where}: {short_repr(value, 40)} is not {self.wanted}")
        return super().read(value, where) if type(value) is dict else value


class _Score(_Any):
    """An evaluation's value; numbers that JSON cannot say are written as {"number": "NaN"}.

    As texts they would come back as labels.
    """

    def to_plain(self, value: Any) -> Any:
        plain = to_plain(value)
        if isinstance(plain, str) and not isinstance(value, str):
            return {"number": number_to_text(value) if isinstance(value, int) else plain}
        return plain

    def read(self, value: Any, where: str) -> Any:
        if type(value) in (str, bool, int, float, type(None)):
            return value
        text = value.get("number") if isinstance(value, dict) else None
        try:
            return text_to_number(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise DataError(
                f'{where}: {short_repr(value, 40)} is not a number, a text, true, false, null or {{"number": ...}}'
            ) from None


class _Number(_Score):
    """A number, written like a score."""

    def read(self, value: Any, where: str) -> Any:
        found = super().read(value, where)
        if type(found) not in (int, float):
            raise DataError(f"{where}: {short_repr(value, 40)} is not a number")
        return found


def _name(key: Any, where: str) -> str:
    if type(key) is not str:  # no JSON has it: somebody made this document
        raise DataError(f"{where}: the key {short_repr(key, 40)} is not a text")
    return key


class _Counts(_Any):
    """Names and how often each was counted."""

    def read(self, value: Any, where: str) -> dict[str, int]:
        _OBJECT.read(value, where)
        return {_name(name, where): _COUNT.read(count, f"{where}.{name}") for name, count in value.items()}


class _List(_Any):
    """A list of one kind."""

    def __init__(self, member: _Any) -> None:
        self.member = member

    def to_plain(self, value: Any) -> list[Any]:
        return [self.member.to_plain(member) for member in value]

    def read(self, value: Any, where: str) -> list[Any]:
        if type(value) is not list:
            raise DataError(f"{where}: {short_repr(value, 40)} is not a list")
        return [self.member.read(member, f"{where}[{index}]") for index, member in enumerate(value)]


class _ByName(_Any):
    """An object whose members are of one kind."""

    def __init__(self, member: _Any) -> None:
        self.member = member

    def to_plain(self, value: Any) -> dict[str, Any]:
        return {to_plain(name): self.member.to_plain(member) for name, member in value.items()}

    def read(self, value: Any, where: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise DataError(f"{where}: {short_repr(value, 40)} is not an object")
        return {_name(name, where): self.member.read(member, f"{where}[{name!r}]") for name, member in value.items()}


class _Noun(_Any):
    """One of our own values: an object with known fields, in this order; those in `optional` may be missing."""

    def __init__(self, make: Callable[..., Any], optional: str, /, **fields: _Any) -> None:
        self.make = make
        self.fields = fields
        self.optional = frozenset(optional.split())

    def to_plain(self, value: Any) -> dict[str, Any]:
        return {name: kind.to_plain(getattr(value, name)) for name, kind in self.fields.items()}

    def read_fields(self, value: Any, where: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise DataError(f"{where}: {short_repr(value, 40)} is not an object")
        prefix = where + "." if where else ""
        missing = [name for name in self.fields if name not in value and name not in self.optional]
        if missing:
            raise DataError(f"{prefix}{missing[0]}: is missing")
        return {name: kind.read(value[name], prefix + name) for name, kind in self.fields.items() if name in value}

    def read(self, value: Any, where: str) -> Any:
        fields = self.read_fields(value, where)
        try:
            return self.make(**fields)
        except ArgumentError as error:
            raise DataError(f"{where}.{error.argument}: {error}") from None


class _SparseNoun(_Noun):
    """The same for values that are many and mostly empty: optional fields that are None are not written."""

    def to_plain(self, value: Any) -> dict[str, Any]:
        plain = super().to_plain(value)
        return {name: held for name, held in plain.items() if held is not None or name not in self.optional}


class _OrNull(_Any):
    """Another kind, or null."""

    def __init__(self, kind: _Any) -> None:
        self.kind = kind

    def to_plain(self, value: Any) -> Any:
        return None if value is None else self.kind.to_plain(value)

    def read(self, value: Any, where: str) -> Any:
        return None if value is None else self.kind.read(value, where)


def _delivery(by_kind: dict[str, Any], problems: list[DeliveryProblem], **totals: int) -> DeliveryReport:
    counts = {kind: _COUNTS.read(row, f"delivery.by_kind.{kind}") for kind, row in by_kind.items()}
    return DeliveryReport(by_kind=counts, problems=problems)


class _Token(_Any):
    """A resume token, which has a document of its own."""

    def to_plain(self, value: BatchEvaluationResumeToken) -> dict[str, Any]:
        return value.to_dict()

    def read(self, value: Any, where: str) -> BatchEvaluationResumeToken:
        try:
            return BatchEvaluationResumeToken.from_dict(value)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None


def _metric_tally(name: str, **counts: Any) -> MetricTally:
    metric = MetricTally(name)
    for field, value in counts.items():
        setattr(metric, field, value)
    return metric


class _Tally(_Any):
    """A `RunTally`, whose metrics are a dict by name in memory and a list in the document."""

    def to_plain(self, value: RunTally) -> dict[str, Any]:
        metrics = [_METRIC.to_plain(metric) for metric in value.metrics.values()]
        return {"succeeded": value.succeeded, "failed": value.failed, "metrics": metrics}

    def read(self, value: Any, where: str) -> RunTally:
        fields = _TALLY.read_fields(value, where)
        tally = RunTally()
        tally.succeeded = fields["succeeded"]
        tally.failed = fields["failed"]
        tally.metrics = {metric.name: metric for metric in fields["metrics"]}
        return tally


class _Shard(_Any):
    """Which part of how many: two whole numbers."""

    def to_plain(self, value: tuple[int, int]) -> list[int]:
        return list(value)

    def read(self, value: Any, where: str) -> tuple[int, int]:
        try:
            shard = checked_shard(value)
        except ArgumentError as error:
            raise DataError(f"{where}: {error}") from None
        assert shard is not None
        return shard


_ANY = _Any()
_TEXT = _Plain("a text", str)
_COUNT = _Plain("a whole number", int)
_NUMBER = _Number()
_FLAG = _Plain("true or false", bool)
_OBJECT = _Plain("an object", dict)
_TEXT_OR_NULL = _OrNull(_TEXT)
_COUNTS = _Counts()

_EVALUATION = _SparseNoun(
    Evaluation,
    "comment metadata data_type config_id",
    name=_TEXT,
    value=_Score(),
    comment=_TEXT_OR_NULL,
    metadata=_ANY,
    data_type=_TEXT_OR_NULL,
    config_id=_TEXT_OR_NULL,
)
_EVALUATOR_FAILURE = _Noun(
    EvaluatorFailure, "traceback", evaluator=_TEXT, error_type=_TEXT, message=_TEXT, traceback=_TEXT
)
_PLACE = {"index": _COUNT, "repetition": _COUNT, "item_id": _TEXT_OR_NULL, "item": _ANY}
_COST = {"trace_id": _TEXT_OR_NULL, "duration_seconds": _NUMBER, "attempts": _COUNT}
_ITEM_RESULT = _Noun(
    ExperimentItemResult,
    "repetition item_id evaluator_failures duration_seconds attempts",
    **_PLACE,
    output=_ANY,
    evaluations=_List(_EVALUATION),
    evaluator_failures=_List(_EVALUATOR_FAILURE),
    dataset_run_id=_TEXT_OR_NULL,
    **_COST,
)
_ITEM_FAILURE = _Noun(
    ItemFailure,
    "repetition item_id traceback attempts trace_id duration_seconds",
    **_PLACE,
    stage=_TEXT,
    error_type=_TEXT,
    message=_TEXT,
    traceback=_TEXT,
    **_COST,
)
_STATS = _Noun(
    EvaluatorStats,
    "total_runs successful_runs failed_runs total_scores_created error_summary duration_seconds",
    name=_TEXT,
    **dict.fromkeys(("total_runs", "successful_runs", "failed_runs", "total_scores_created"), _COUNT),
    error_summary=_COUNTS,
    duration_seconds=_NUMBER,
)
_PROBLEM = _Noun(
    DeliveryProblem, "item_id", kind=_TEXT, id=_TEXT, item_id=_TEXT_OR_NULL, state=_TEXT, reason=_TEXT
)
_DELIVERY = _Noun(
    _delivery,
    " ".join(DELIVERY_STATES),
    **dict.fromkeys(DELIVERY_STATES, _COUNT),
    by_kind=_OBJECT,
    problems=_List(_PROBLEM),
)
_METRIC = _Noun(
    _metric_tally,
    "first squares least most",
    name=_TEXT,
    **dict.fromkeys(("true", "false", "numbers", "missing"), _COUNT),
    total=_NUMBER,
    squares=_NUMBER,
    **dict.fromkeys(("first", "least", "most"), _OrNull(_NUMBER)),
    labels=_COUNTS,
)
_TALLY = _Noun(RunTally, "", succeeded=_COUNT, failed=_COUNT, metrics=_List(_METRIC))
_RECORD = _Noun(
    ExperimentRecord,
    "description experiment_id dataset_run_id dataset_run_url metadata completed duration_seconds "
    "run_evaluator_failures evaluator_stats delivery resume_token tally shard item_failures",
    name=_TEXT,
    run_name=_TEXT,
    **dict.fromkeys(("description", "experiment_id", "dataset_run_id", "dataset_run_url"), _TEXT_OR_NULL),
    metadata=_OBJECT,
    completed=_FLAG,
    duration_seconds=_NUMBER,
    run_evaluations=_List(_EVALUATION),
    run_evaluator_failures=_List(_EVALUATOR_FAILURE),
    evaluator_stats=_List(_STATS),
    delivery=_DELIVERY,
    resume_token=_OrNull(_OBJECT),
    tally=_OrNull(_Tally()),
    shard=_OrNull(_Shard()),
    item_failures=_List(_ITEM_FAILURE),
    item_results=_List(_ITEM_RESULT),
)
_LIST_OF = {"item_failures": _ITEM_FAILURE, "item_results": _ITEM_RESULT}
_BATCH_FAILURE = _Noun(
    BatchItemFailure,
    "traceback evaluator",
    item_id=_TEXT_OR_NULL,
    stage=_TEXT,
    error_type=_TEXT,
    message=_TEXT,
    traceback=_TEXT,
    evaluator=_TEXT_OR_NULL,
)
_BATCH = _Noun(
    dict,
    "resume_token retry run_id shard item_failures delivery",
    completed=_FLAG,
    has_more_items=_FLAG,
    duration_seconds=_NUMBER,
    **dict.fromkeys(("total_items_fetched", "total_items_processed", "total_items_failed"), _COUNT),
    **dict.fromkeys(("total_scores_created", "total_composite_scores_created", "total_evaluations_failed"), _COUNT),
    error_summary=_COUNTS,
    evaluator_stats=_List(_STATS),
    resume_token=_OrNull(_Token()),
    retry=_OrNull(_Token()),
    run_id=_TEXT_OR_NULL,
    shard=_OrNull(_Shard()),
    delivery=_DELIVERY,
    failed_item_ids=_List(_TEXT),
    item_failures=_List(_BATCH_FAILURE),
    item_evaluations=_ByName(_List(_EVALUATION)),
)
