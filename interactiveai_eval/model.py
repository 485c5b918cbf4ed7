"""The nouns: small values that flow from items to results. They hold data, never clients.

All are keyword-only, compare by value, print readably and can be read by attribute or by key (`e.name`, `e["name"]`).
They cannot be changed after they are made, so the same value can be handed to many functions.
"""
from __future__ import annotations

from .errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .item_result import ExperimentItemResult
    from .tally import RunTally

_NOTHING: Mapping[str, Any] = {}
SCORE_DATA_TYPES = ("NUMERIC", "CATEGORICAL", "BOOLEAN")


class Value:
    """What all nouns share; subclasses list their fields in `__slots__` and set them in `__init__`.

    A slot whose name begins with an underscore is no field: it is neither compared nor shown nor copied.
    """

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        slots = [name for kind in reversed(cls.__mro__) for name in kind.__dict__.get("__slots__", ())]
        cls._fields = tuple([name for name in slots if name[0] != "_"])

    def _fill(self, fields: Mapping[str, Any]) -> None:
        put = object.__setattr__
        for name, value in fields.items():
            put(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is a value: make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is a value: {name!r} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields)

    __hash__ = None  # type: ignore[assignment]  # fields may hold lists and the user's own values

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"

    def __getitem__(self, key: str) -> Any:
        if key in self._fields:
            return getattr(self, key)
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)  # as a dict does, which it can be read like

    def __contains__(self, key: object) -> bool:
        return key in self._fields

    def get(self, key: str, default: Any = None) -> Any:
        """The field named `key`, or `default` where there is no such field."""
        return getattr(self, key) if key in self._fields else default

    def keys(self) -> tuple[str, ...]:
        """The names of the fields."""
        return self._fields

    def items(self) -> list[tuple[str, Any]]:
        """(name, value) of every field."""
        return [(name, getattr(self, name)) for name in self._fields]

    def values(self) -> list[Any]:
        """The value of every field."""
        return [getattr(self, name) for name in self._fields]

    def __len__(self) -> int:
        return len(self._fields)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self.items()), _more(self))

    def __copy__(self) -> Value:
        return self

    def replaced(self, **changes: Any) -> Any:
        """The same value with some fields changed."""
        unknown = [name for name in changes if name not in self._fields]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {unknown[0]!r}")
        return _rebuild(type(self), {**dict(self.items()), **changes}, _more(self))


def _more(value: Value) -> dict[str, Any]:
    """What an instance of a user's own type has beside its fields."""
    return getattr(value, "__dict__", {})


def _rebuild(kind: type[Value], fields: Mapping[str, Any], more: Mapping[str, Any] = _NOTHING) -> Value:
    made = kind.__new__(kind)
    made._fill({**fields, **more})
    return made


class Evaluation(Value):
    """One judgement: a name and a value, with an optional comment.

    `value` is a number, a text, a bool, or None for "evaluated, but no score" (kept in the result, not sent).
    `data_type` is inferred where it is None: bool BOOLEAN, str CATEGORICAL, numbers NUMERIC. `metadata` is any value.
    Raises ArgumentError for a name that is not a text, a value that is none of these, a data type that does not fit.
    """

    __slots__ = ("name", "value", "comment", "metadata", "data_type", "config_id")

    name: str
    value: bool | int | float | str | None
    comment: str | None
    metadata: Any
    data_type: str | None
    config_id: str | None

    def __init__(
        self,
        *,
        name: str,
        value: bool | int | float | str | None,
        comment: str | None = None,
        metadata: Any = None,
        data_type: str | None = None,
        config_id: str | None = None,
    ) -> None:
        if type(name) is not str:
            name = _plain_name(name)
        if not name or name.isspace():
            raise ArgumentError("name", name, "an evaluation needs a name, such as 'accuracy'")
        if type(value) not in _SCORE_TYPES:
            value = plain_score_value(value)
        if data_type is not None:
            data_type, value = _fitting_type(data_type, value)
        if comment is not None and type(comment) is not str:
            comment = str(comment)
        _set_name(self, name)
        _set_value(self, value)
        _set_comment(self, comment)
        _set_metadata(self, metadata)
        _set_data_type(self, data_type)
        _set_config_id(self, config_id)

    def replaced(self, **changes: Any) -> Any:
        """The same evaluation with some fields changed, checked like a new one."""
        fields = {**dict(self.items()), **changes}
        checked = Evaluation(**{name: field for name, field in fields.items() if name in Evaluation._fields})
        if type(self) is Evaluation and len(fields) == len(checked):
            return checked
        return super().replaced(**{**changes, **{name: getattr(checked, name) for name in changes if name in checked}})

    def __repr__(self) -> str:
        more = "".join(
            f", {name}={getattr(self, name)!r}"
            for name in ("comment", "metadata", "data_type", "config_id")
            if getattr(self, name) is not None
        )
        return f"Evaluation(name={self.name!r}, value={self.value!r}{more})"


# The slots' own setters: they pass by the refusal in `Value.__setattr__` at a third of `object.__setattr__`'s cost,
# and evaluations are made twice or more for every item.
_setters: list[Any] = [vars(Evaluation)[field].__set__ for field in Evaluation._fields]
_set_name, _set_value, _set_comment, _set_metadata, _set_data_type, _set_config_id = _setters


def checked_evaluation(
    name: str, value: Any, comment: str | None, metadata: Any, data_type: str | None, config_id: str | None
) -> Evaluation:
    """The evaluation of fields that were those of another one, in their order: they are not checked again."""
    made = object.__new__(Evaluation)
    _set_name(made, name)
    _set_value(made, value)
    _set_comment(made, comment)
    _set_metadata(made, metadata)
    _set_data_type(made, data_type)
    _set_config_id(made, config_id)
    return made


_SCORE_TYPES = frozenset((bool, int, float, str, type(None)))


def _plain_name(name: Any) -> str:
    if isinstance(name, str):
        return str.__str__(getattr(name, "_value_", name))
    raise ArgumentError("name", name, "the name of an evaluation must be a text, such as 'accuracy'")


def plain_score_value(value: Any) -> bool | int | float | str | None:
    """`value` as a plain bool, int, float, str or None; numpy scalars, decimals and enum members are converted.

    Raises ArgumentError for everything else.
    """
    if type(value) in _SCORE_TYPES:
        return value  # type: ignore[no-any-return]
    inner = getattr(value, "_value_", None)  # a member of an Enum
    if inner is not None and type(inner) in _SCORE_TYPES:
        return inner  # type: ignore[no-any-return]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if callable(getattr(type(value), "item", None)) and not isinstance(value, (dict, list)):
        try:
            scalar = value.item()  # numpy scalars and arrays of one element
        except (TypeError, ValueError):
            scalar = value
        if type(scalar) in _SCORE_TYPES:
            return scalar  # type: ignore[no-any-return]
    if type(value).__name__ in ("Decimal", "Fraction"):
        return float(value)
    raise ArgumentError("value", value, "must be a number, a text, a bool or None")


def _fitting_type(data_type: Any, value: Any) -> tuple[str, Any]:
    """The data type as plain text, and the value in the form that this type wants."""
    name = str(getattr(data_type, "value", data_type)).upper()
    if name not in SCORE_DATA_TYPES:
        raise ArgumentError("data_type", data_type, "must be one of " + ", ".join(SCORE_DATA_TYPES))
    if value is None:
        return name, value
    if name == "CATEGORICAL":
        return name, value if isinstance(value, str) else str(value)
    if name == "NUMERIC" and not isinstance(value, str):
        return name, value
    if name == "BOOLEAN" and value in (0, 1):
        return name, bool(value)
    raise ArgumentError("value", value, f"does not fit data_type={name!r}")


class EvaluatorFailure(Value):
    """An evaluator that failed on one item (or on the run): which one, and the error it raised."""

    __slots__ = ("evaluator", "error_type", "message", "traceback")

    evaluator: str
    error_type: str
    message: str
    traceback: str

    def __init__(self, *, evaluator: str, error_type: str, message: str, traceback: str = "") -> None:
        self._fill({"evaluator": evaluator, "error_type": error_type, "message": message, "traceback": traceback})


class ItemFailure(Value):
    """One item that did not go through.

    `stage` is "input" (nothing to run on), "task", "timeout" or "cancelled"; `traceback` is text.
    """

    __slots__ = (
        "index",
        "item_id",
        "item",
        "repetition",
        "stage",
        "error_type",
        "message",
        "traceback",
        "attempts",
        "trace_id",
        "duration_seconds",
    )

    index: int
    item_id: str | None
    item: Any
    repetition: int
    stage: str
    error_type: str
    message: str
    traceback: str
    attempts: int
    trace_id: str | None
    duration_seconds: float

    def __init__(
        self,
        *,
        index: int,
        item: Any,
        stage: str,
        error_type: str,
        message: str,
        traceback: str = "",
        repetition: int = 0,
        item_id: str | None = None,
        attempts: int = 0,
        trace_id: str | None = None,
        duration_seconds: float = 0.0,
    ) -> None:
        self._fill(
            {
                "index": index,
                "item": item,
                "stage": stage,
                "error_type": error_type,
                "message": message,
                "traceback": traceback,
                "repetition": repetition,
                "item_id": item_id,
                "attempts": attempts,
                "trace_id": trace_id,
                "duration_seconds": duration_seconds,
            }
        )


class EvaluatorStats(Value):
    """What one evaluator did over a run; one row for each evaluator by position, names made unique.

    `total_scores_created` counts the evaluations it returned that have a value; `error_summary` counts its failures
    by error type; `duration_seconds` adds up its calls.
    """

    __slots__ = (
        "name",
        "total_runs",
        "successful_runs",
        "failed_runs",
        "total_scores_created",
        "error_summary",
        "duration_seconds",
    )

    name: str
    total_runs: int
    successful_runs: int
    failed_runs: int
    total_scores_created: int
    error_summary: dict[str, int]
    duration_seconds: float

    def __init__(
        self,
        *,
        name: str,
        total_runs: int = 0,
        successful_runs: int = 0,
        failed_runs: int = 0,
        total_scores_created: int = 0,
        error_summary: dict[str, int] | None = None,
        duration_seconds: float = 0.0,
    ) -> None:
        self._fill(
            {
                "name": name,
                "total_runs": total_runs,
                "successful_runs": successful_runs,
                "failed_runs": failed_runs,
                "total_scores_created": total_scores_created,
                "error_summary": {} if error_summary is None else error_summary,
                "duration_seconds": duration_seconds,
            }
        )


class DeliveryProblem(Value):
    """One score, span or link that has not arrived: `state` is "pending", "rejected" or "skipped"."""

    __slots__ = ("kind", "id", "item_id", "state", "reason")

    kind: str
    id: str
    item_id: str | None
    state: str
    reason: str

    def __init__(self, *, kind: str, id: str, state: str, reason: str, item_id: str | None = None) -> None:
        self._fill({"kind": kind, "id": id, "item_id": item_id, "state": state, "reason": reason})


class DeliveryReport(Value):
    """What became of everything that was handed in for delivery.

    `acknowledged` (the server took it), `pending` (kept, not yet taken), `rejected` (refused for good) and `skipped`
    (left out on purpose) add up to what was handed in. `by_kind` splits the four by "scores", "spans" and "links" (one
    a repetition of an item; a data set run keeps the last); `problems` lists everything that is not acknowledged, at
    most 10,000; what items of an experiment leave out because tracing is off or their traces are not sampled is one
    entry a kind, without an id, as their ids are never made.
    """

    __slots__ = ("acknowledged", "pending", "rejected", "skipped", "by_kind", "problems")

    acknowledged: int
    pending: int
    rejected: int
    skipped: int
    by_kind: dict[str, dict[str, int]]
    problems: list[DeliveryProblem]

    def __init__(
        self, *, by_kind: dict[str, dict[str, int]] | None = None, problems: list[DeliveryProblem] | None = None
    ) -> None:
        by_kind = {} if by_kind is None else by_kind
        totals = {state: sum(row.get(state, 0) for row in by_kind.values()) for state in DELIVERY_STATES}
        self._fill({**totals, "by_kind": by_kind, "problems": [] if problems is None else problems})


DELIVERY_STATES = ("acknowledged", "pending", "rejected", "skipped")


class ExperimentRecord(Value):
    """All that a run leaves behind, as plain fields; `result.ExperimentResult` adds what can be done with it.

    `item_results` are the successes and `item_failures` everything else, both in input order; together they are the
    items taken from `data`, times repetitions. `completed` is False when the run stopped before `data` was used up.
    `tally` stands in for both lists where the caller asked not to keep them, else it is None. `shard` is (k, n) when
    only the k-th of n parts of `data` was run, and `item_results` are that part.
    """

    __slots__ = (
        "name",
        "run_name",
        "description",
        "item_results",
        "item_failures",
        "run_evaluations",
        "run_evaluator_failures",
        "evaluator_stats",
        "dataset_run_id",
        "dataset_run_url",
        "experiment_id",
        "metadata",
        "duration_seconds",
        "completed",
        "delivery",
        "resume_token",
        "tally",
        "shard",
    )

    name: str
    run_name: str
    description: str | None
    item_results: list[ExperimentItemResult]
    item_failures: list[ItemFailure]
    run_evaluations: list[Evaluation]
    run_evaluator_failures: list[EvaluatorFailure]
    evaluator_stats: list[EvaluatorStats]
    dataset_run_id: str | None
    dataset_run_url: str | None
    experiment_id: str | None
    metadata: dict[str, Any]
    duration_seconds: float
    completed: bool
    delivery: DeliveryReport
    resume_token: dict[str, Any] | None
    tally: RunTally | None
    shard: tuple[int, int] | None

    def __init__(
        self,
        *,
        name: str,
        run_name: str,
        description: str | None = None,
        item_results: list[ExperimentItemResult],
        run_evaluations: list[Evaluation],
        dataset_run_id: str | None = None,
        dataset_run_url: str | None = None,
        experiment_id: str | None = None,
        item_failures: list[ItemFailure] | None = None,
        run_evaluator_failures: list[EvaluatorFailure] | None = None,
        evaluator_stats: list[EvaluatorStats] | None = None,
        metadata: dict[str, Any] | None = None,
        duration_seconds: float = 0.0,
        delivery: DeliveryReport | None = None,
        completed: bool = True,
        resume_token: dict[str, Any] | None = None,
        tally: RunTally | None = None,
        shard: tuple[int, int] | None = None,
    ) -> None:
        self._fill(
            {
                "name": name,
                "run_name": run_name,
                "description": description,
                "item_results": item_results,
                "run_evaluations": run_evaluations,
                "dataset_run_id": dataset_run_id,
                "dataset_run_url": dataset_run_url,
                "experiment_id": experiment_id,
                "item_failures": [] if item_failures is None else item_failures,
                "run_evaluator_failures": [] if run_evaluator_failures is None else run_evaluator_failures,
                "evaluator_stats": [] if evaluator_stats is None else evaluator_stats,
                "metadata": {} if metadata is None else metadata,
                "duration_seconds": duration_seconds,
                "delivery": DeliveryReport() if delivery is None else delivery,
                "completed": completed,
                "resume_token": resume_token,
                "tally": tally,
                "shard": shard,
            }
        )
