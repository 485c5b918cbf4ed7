"""The types that users write functions against: protocols, typed dicts and literals. Loaded only on demand."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypedDict, Union

from .item_result import ExperimentItemResult
from .model import Evaluation
from .service.datasets import DatasetItemClient

__all__ = [
    "CompositeEvaluatorFunction",
    "Evaluation",
    "EvaluatorFunction",
    "EvaluatorReturn",
    "ExperimentData",
    "ExperimentItem",
    "LocalExperimentItem",
    "MapperFunction",
    "MaskFunction",
    "ObservationType",
    "RunEvaluatorFunction",
    "ScoreDataType",
    "SpanLevel",
    "TaskFunction",
    "TraceContext",
]

ScoreDataType = Literal["NUMERIC", "CATEGORICAL", "BOOLEAN"]
SpanLevel = Literal["DEBUG", "DEFAULT", "WARNING", "ERROR"]
ObservationType = Literal[
    "span",
    "generation",
    "event",
    "agent",
    "tool",
    "chain",
    "retriever",
    "embedding",
    "evaluator",
    "guardrail",
]


class LocalExperimentItem(TypedDict, total=False):
    """An item of local data; `input` is what the task works on."""

    input: Any
    expected_output: Any
    metadata: dict[str, Any] | None


ExperimentItem = Union[LocalExperimentItem, DatasetItemClient]
ExperimentData = Union[Sequence[LocalExperimentItem], Sequence[DatasetItemClient]]


class TraceContext(TypedDict, total=False):
    """A trace to join: its id (32 hexadecimal digits) and, if known, the span to nest below."""

    trace_id: str
    parent_span_id: str


# What an evaluator may return, or an awaitable of it; see `running.scoring.evaluations_from`.
EvaluatorReturn = Any


class TaskFunction(Protocol):
    """Works on one item; what it returns (or what that awaits to) is the output."""

    def __call__(self, *, item: Any, **kwargs: Any) -> Any:
        """The output for `item`."""


class EvaluatorFunction(Protocol):
    """Judges one output."""

    def __call__(
        self, *, input: Any, output: Any, expected_output: Any, metadata: dict[str, Any] | None, **kwargs: Any
    ) -> EvaluatorReturn:
        """Evaluations of `output`."""


class CompositeEvaluatorFunction(Protocol):
    """Judges one item by the evaluations that it has got."""

    def __call__(
        self,
        *,
        input: Any = None,
        output: Any = None,
        expected_output: Any = None,
        metadata: dict[str, Any] | None = None,
        evaluations: list[Evaluation],
        **kwargs: Any,
    ) -> EvaluatorReturn:
        """Evaluations that go after those of the evaluators."""


class RunEvaluatorFunction(Protocol):
    """Judges a whole run."""

    def __call__(self, *, item_results: list[ExperimentItemResult], **kwargs: Any) -> EvaluatorReturn:
        """Evaluations of the run; `item_failures: list[ItemFailure]` is offered too if named."""


class MapperFunction(Protocol):
    """Says what evaluators get of a recorded trace or observation."""

    def __call__(self, *, item: Any, **kwargs: Any) -> Any:
        """The `EvaluatorInputs` of `item`, or a dict of them, or an awaitable of either."""


class MaskFunction(Protocol):
    """Takes out what must not leave the process."""

    def __call__(self, *, data: Any) -> Any:
        """`data` as it may leave."""
