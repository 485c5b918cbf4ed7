"""The arguments of an experiment, checked before anything happens, in the form in which the run uses them."""
from __future__ import annotations

from ..errors import ArgumentError, is_a
from ..service.datasets import check_name
from .arguments import (
    executor,
    flag,
    hook,
    known,
    mapping,
    optional_text,
    path,
    positive_number,
    progress_hook,
    shard,
    text,
    time_budget,
    whole_number,
)
from .calls import UserFunction, bind, bind_all, bind_composite
from .items import check_data, length_of
from .remote import RemoteError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

EVALUATOR_VALUES = ("input", "output", "expected_output", "metadata")
EVALUATOR_MORE = ("item", "trace_id", "duration_seconds")

REQUIRED = ("name", "data", "task")
DEFAULTS: dict[str, Any] = {
    "run_name": None,
    "description": None,
    "evaluators": (),
    "composite_evaluator": None,
    "run_evaluators": (),
    "max_concurrency": 50,
    "metadata": None,
    "repetitions": 1,
    "task_timeout": None,
    "evaluator_timeout": None,
    "task_retries": 0,
    "retry_on": None,
    "rate_limit": None,
    "fail_on_error": None,
    "checkpoint": None,
    "time_budget": None,
    "executor": None,
    "executor_group": None,
    "progress": False,
    "experiment_id": None,
    "keep_results": True,
    "on_result": None,
    "shard": None,
}


class Plan:
    """What an experiment is to do; see `Interactive.run_experiment` for what each field means."""

    __slots__ = (
        "checkpoint",
        "composite",
        "data",
        "description",
        "evaluator_timeout_seconds",
        "evaluators",
        "executor",
        "executor_group",
        "experiment_id",
        "fail_on_error",
        "keep_results",
        "max_concurrency",
        "metadata",
        "name",
        "on_result",
        "progress",
        "rate_limit",
        "repetitions",
        "retry_on",
        "run_evaluators",
        "run_name",
        "shard",
        "task",
        "task_retries",
        "task_timeout_seconds",
        "time_budget_seconds",
        "total",
    )

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        """Raises ArgumentError for what cannot be used, TypeError for names that are no arguments or are missing."""
        given = known("run_experiment", arguments, REQUIRED, DEFAULTS)
        self.name: str = text("name", given["name"])
        run_name = given["run_name"]
        self.run_name: str | None = None if run_name is None else check_name("run_name", run_name)
        self.description: str | None = optional_text("description", given["description"])
        self.metadata: dict[str, Any] = mapping("metadata", given["metadata"])
        check_data(given["data"])
        self.data: Any = given["data"]
        self.repetitions: int = whole_number("repetitions", given["repetitions"], least=1)
        length = length_of(self.data)
        self.shard: tuple[int, int] | None = shard(given["shard"])
        # How much of the data is a shard's is seen when it has been read.
        self.total: int | None = None if length is None or self.shard else length * self.repetitions
        self.max_concurrency: int = whole_number("max_concurrency", given["max_concurrency"], least=1)
        self.task: UserFunction = bind("task", given["task"], offered=("item",), sole_positional="item")
        self.evaluators: list[UserFunction] = bind_all(
            "evaluators", given["evaluators"], offered=EVALUATOR_VALUES, only_if_named=EVALUATOR_MORE
        )
        self.composite: UserFunction | None = bind_composite(
            given["composite_evaluator"], self.evaluators, offered=(*EVALUATOR_VALUES, "evaluations", "item")
        )
        self.run_evaluators: list[UserFunction] = bind_all(
            "run_evaluators", given["run_evaluators"], offered=("item_results",), only_if_named=("item_failures",)
        )
        self.task_timeout_seconds: float | None = positive_number("task_timeout", given["task_timeout"])
        self.evaluator_timeout_seconds: float | None = positive_number("evaluator_timeout", given["evaluator_timeout"])
        self.task_retries: int = whole_number("task_retries", given["task_retries"], least=0)
        self.retry_on: Callable[[BaseException], bool] = _retry_rule(given["retry_on"])
        self.rate_limit: float | None = positive_number("rate_limit", given["rate_limit"])
        self.fail_on_error: float | None = _failure_limit(given["fail_on_error"])
        self.checkpoint: str | None = path("checkpoint", given["checkpoint"])
        self.time_budget_seconds: float | None = time_budget(given["time_budget"])
        self.executor: Any = executor(given["executor"])
        size = given["executor_group"]
        self.executor_group: int | None = None if size is None else whole_number("executor_group", size, least=1)
        self.progress: Any = progress_hook("progress", given["progress"])
        self.experiment_id: str | None = optional_text("experiment_id", given["experiment_id"])
        self.keep_results: bool = flag("keep_results", given["keep_results"])
        self.on_result: Callable[[Any], Any] | None = hook(
            "on_result", given["on_result"], "one item result or item failure"
        )
        if not self.keep_results and self.run_evaluators:
            raise ArgumentError("keep_results", False, "run evaluators need kept results; use one or the other")
        if self.shard is not None:
            self._check_shard()

    def _check_shard(self) -> None:
        """What all shards of a run share must be known before any of them runs."""
        if self.experiment_id is None:
            fix = "is what the shards of a run have in common: give each shard the same text, a new one for a new run"
            raise ArgumentError("experiment_id", None, fix)
        if self.run_evaluators:
            fix = "judge whole runs, not shards: rescore(ExperimentResult.merge(results), None, run_evaluators=[...])"
            raise ArgumentError("run_evaluators", [each.name for each in self.run_evaluators], fix)
        if self.run_name is None:  # a time would be another for each of them
            self.run_name = f"{self.name} - {self.experiment_id}"

    @property
    def scoring_names(self) -> list[str]:
        """The names of the evaluators and of the composite, in order: what a checkpoint must agree with."""
        return [function.name for function in self.item_functions[1:]]

    @property
    def item_functions(self) -> list[UserFunction]:
        """What is called for each item: the task, the evaluators and the composite, in order."""
        return [self.task, *self.evaluators, *([self.composite] if self.composite else [])]


def _failure_limit(value: Any) -> float | None:
    """None, a count (an int from 1), or a share of all items (a float up to 1.0, which is all of them)."""
    if value is None or value is False:
        return None
    if (isinstance(value, int) and value >= 1) or (isinstance(value, float) and 0.0 < value <= 1.0):
        return int(value) if isinstance(value, int) else float(value)
    fix = "must be True (the first failure), a whole number of failures, or a share of the items up to 1.0 (of all)"
    raise ArgumentError("fail_on_error", value, fix)


def _retry_rule(value: Any) -> Callable[[BaseException], bool]:
    """Whether a failed attempt is worth another, from exception types or a predicate; None: every exception is."""
    if value is None:
        return lambda error: True
    types = value if isinstance(value, (tuple, list, set, frozenset)) else (value,)
    if types and all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in types):
        names = {f"{kind.__module__}.{kind.__qualname__}" for kind in types}
        kinds = tuple(types)
        # An error from another process comes as the names of its types (see `remote.RemoteError`).
        return lambda error: is_a(error, *kinds) or (
            type(error) is RemoteError and not names.isdisjoint(error.type_names)
        )
    if callable(value) and not isinstance(value, type):
        says = hook("retry_on", value, "the exception")
        return lambda error: bool(says(error))
    raise ArgumentError("retry_on", value, "must be exception types or a function of the exception")
