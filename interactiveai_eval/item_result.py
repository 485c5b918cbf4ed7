"""The result of one item, and the form in which a run keeps thousands of them: packed, until they are read.

What the collector of garbage must follow it follows again and again, the more often the more results are kept. So a run
keeps what belongs to an item in one tuple of plain values, which it does not follow; whoever reads a result finds what
it holds as if it had never been packed.
"""
from __future__ import annotations

from .model import Evaluation, Value, checked_evaluation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .model import EvaluatorFailure


class ExperimentItemResult(Value):
    """One item that went through: its output, evaluations and ids.

    `item` is the caller's own item; `index` its place in `data` (from 0), `repetition` counts from 0.
    `duration_seconds` is the task alone; `attempts` counts calls of the task. `evaluations` ends with the composite's.
    """

    __slots__ = (
        "index",
        "item_id",
        "item",
        "repetition",
        "output",
        "evaluations",
        "evaluator_failures",
        "attempts",
        "trace_id",
        "dataset_run_id",
        "duration_seconds",
        "_packed",
    )

    index: int
    item_id: str | None
    item: Any
    repetition: int
    output: Any
    evaluations: list[Evaluation]
    evaluator_failures: list[EvaluatorFailure]
    attempts: int
    trace_id: str | None
    dataset_run_id: str | None
    duration_seconds: float

    def __init__(
        self,
        *,
        item: Any,
        output: Any,
        evaluations: list[Evaluation],
        trace_id: str | None,
        dataset_run_id: str | None,
        index: int = 0,
        repetition: int = 0,
        item_id: str | None = None,
        duration_seconds: float = 0.0,
        attempts: int = 1,
        evaluator_failures: list[EvaluatorFailure] | None = None,
    ) -> None:
        _set_index(self, index)
        _set_item_id(self, item_id)
        _set_item(self, item)
        _set_repetition(self, repetition)
        _set_output(self, output)
        _set_evaluations(self, evaluations)
        _set_failures(self, [] if evaluator_failures is None else evaluator_failures)
        _set_attempts(self, attempts)
        _set_trace_id(self, trace_id)
        _set_dataset_run_id(self, dataset_run_id)
        _set_duration(self, duration_seconds)

    def __getattr__(self, name: str) -> Any:
        """A field of a result that is packed: see `packed_result`."""
        if name in self._fields and not _is_empty(_get_packed, self):
            told = _get_packed(self)
            if told and name in _PACKED:
                return told[_PACKED.index(name)]
            _unpack(self)
        return object.__getattribute__(self, name)  # or the error that led here


_setters: list[Any] = [vars(ExperimentItemResult)[field].__set__ for field in ExperimentItemResult._fields]
_set_index, _set_item_id, _set_item, _set_repetition, _set_output, _set_evaluations, *_setters = _setters
_set_failures, _set_attempts, _set_trace_id, _set_dataset_run_id, _set_duration = _setters
_get_item, _get_output, _get_evaluations, _get_failures, _get_packed = [
    vars(ExperimentItemResult)[slot].__get__
    for slot in ("item", "output", "evaluations", "evaluator_failures", "_packed")
]
_set_packed = vars(ExperimentItemResult)["_packed"].__set__
_new = object.__new__
# What is packed of a result. There follow whether that is all but its item and output, and then the fields of its
# evaluations, one after the other.
_PACKED = ("index", "repetition", "item_id", "attempts", "trace_id", "dataset_run_id", "duration_seconds")
_IS_ALL = len(_PACKED)


def packed_result(
    index: int,
    item_id: str | None,
    item: Any,
    repetition: int,
    output: Any,
    evaluations: Sequence[Evaluation],
    evaluator_failures: Sequence[EvaluatorFailure],
    attempts: int,
    trace_id: str | None,
    dataset_run_id: str | None,
    duration_seconds: float,
) -> ExperimentItemResult:
    """An `ExperimentItemResult` of its fields in their order, in as few objects as there can be until it is read.

    Of a run of 50,000 items, following them otherwise took a fifth of the time.
    """
    made = _new(ExperimentItemResult)
    told = [index, repetition, item_id, attempts, trace_id, dataset_run_id, duration_seconds, not evaluator_failures]
    for each in evaluations:
        if type(each) is not Evaluation:  # what a user has derived from it stays what it is
            _set_evaluations(made, list(evaluations))
            told[_IS_ALL:] = (False,)
            break
        told += each.name, each.value, each.comment, each.metadata, each.data_type, each.config_id
    if evaluator_failures:
        _set_failures(made, list(evaluator_failures))
    _set_item(made, item)
    _set_output(made, output)
    _set_packed(made, tuple(told))
    return made


def packed(result: ExperimentItemResult) -> ExperimentItemResult:
    """The same result, packed."""
    return packed_result(*result.values())


def packed_copy(result: ExperimentItemResult, copy: Callable[[Any], Any]) -> ExperimentItemResult | None:
    """A packed result with a `copy` of all in it that can be changed; None for one that is not packed as a whole."""
    told = () if _is_empty(_get_packed, result) else _get_packed(result)
    if not told or not told[_IS_ALL]:
        return None
    first = _IS_ALL + 1 + Evaluation._fields.index("metadata")
    if any([metadata is not None for metadata in told[first :: len(Evaluation._fields)]]):
        fields = list(told)
        fields[first :: len(Evaluation._fields)] = map(copy, told[first :: len(Evaluation._fields)])
        told = tuple(fields)
    return _made(copy(_get_item(result)), copy(_get_output(result)), told)


def _made(item: Any, output: Any, told: tuple[Any, ...]) -> ExperimentItemResult:
    made = _new(ExperimentItemResult)
    _set_item(made, item)
    _set_output(made, output)
    _set_packed(made, told)
    return made


# By the id of a result that is being read for the first time: the result, so that its id is not given away meanwhile,
# and its fields. No lock: what the collector of garbage runs may read the same result, on the same thread.
_first_read: dict[int, tuple[ExperimentItemResult, dict[str, Any]]] = {}


def _unpack(result: ExperimentItemResult) -> None:
    """Give a packed result all of its fields; who reads it at the same time gets the same ones."""
    told = _get_packed(result)
    fields = dict(zip(_PACKED, told))
    if told and (told[_IS_ALL] or _is_empty(_get_evaluations, result)):
        left = iter(told[_IS_ALL + 1 :])
        fields["evaluations"] = [checked_evaluation(*each) for each in zip(*[left] * len(Evaluation._fields))]
    if told and (told[_IS_ALL] or _is_empty(_get_failures, result)):
        fields["evaluator_failures"] = []
    fields = _first_read.setdefault(id(result), (result, fields))[1]
    if _get_packed(result):
        result._fill(fields)
        _set_packed(result, ())
    # Whoever is late notes fields of its own from here on, and finds the first ones in their places.
    _first_read.pop(id(result), None)


def _is_empty(get: Callable[[Any], Any], result: ExperimentItemResult) -> bool:
    try:
        get(result)
    except AttributeError:
        return True
    return False


class PackedResults:
    """The results of a run while it goes on: of each, what a packed one holds, and no object around it."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._outputs: list[Any] = []
        self._packed: list[tuple[Any, ...]] = []
        self._others: list[ExperimentItemResult] = []  # which hold more than that

    def add(self, result: ExperimentItemResult) -> None:
        """Take one that is packed; not for several threads at once."""
        told = _get_packed(result)
        if told and told[_IS_ALL]:
            self._items.append(_get_item(result))
            self._outputs.append(_get_output(result))
            self._packed.append(told)
        else:
            self._others.append(result)

    def in_order(self) -> list[ExperimentItemResult]:
        """All of them, packed, in the order of the data."""
        packed, others = len(self._packed), self._others
        places = [*self._packed, *[(other.index, other.repetition) for other in others]]
        return [
            _made(self._items[number], self._outputs[number], self._packed[number])
            if number < packed
            else others[number - packed]
            for number in sorted(range(len(places)), key=places.__getitem__)
        ]
