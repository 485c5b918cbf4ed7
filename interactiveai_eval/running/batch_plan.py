"""The arguments of a batch evaluation, checked before anything happens, in the form in which the run uses them."""
from __future__ import annotations

from ..batch_model import BatchEvaluationResumeToken
from ..errors import ArgumentError
from .arguments import (
    executor,
    flag,
    hook,
    known,
    mapping,
    optional_id,
    path,
    positive_number,
    progress_hook,
    shard,
    time_budget,
    whole_number,
)
from .calls import EVALUATOR_MORE, EVALUATOR_VALUES, UserFunction, bind, bind_all, bind_composite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

SCOPES = ("traces", "observations")
REQUIRED = ("scope", "mapper", "evaluators")
DEFAULTS: dict[str, Any] = {
    "filter": None,
    "fetch_batch_size": 50,
    "max_items": None,
    "max_retries": 3,
    "composite_evaluator": None,
    "max_concurrency": 50,
    "metadata": None,
    "resume_from": None,
    "verbose": False,
    "checkpoint": None,
    "time_budget": None,
    "executor": None,
    "executor_group": None,
    "rate_limit": None,
    "evaluator_timeout": None,
    "progress": False,
    "run_id": None,
    "shard": None,
    "dataset_run": None,
    "full_traces": False,
    "keep_evaluations": True,
    "on_item": None,
}


class BatchPlan:
    """What a batch evaluation is to do; see `Interactive.run_batched_evaluation` for what each field means."""

    __slots__ = (
        "checkpoint",
        "composite",
        "conditions",
        "dataset_run",
        "evaluator_timeout_seconds",
        "evaluators",
        "executor",
        "executor_group",
        "filter_given",
        "full_traces",
        "keep_evaluations",
        "mapper",
        "max_concurrency",
        "max_items",
        "max_retries",
        "metadata",
        "on_item",
        "page_size",
        "progress",
        "rate_limit",
        "resume_from",
        "run_id",
        "scope",
        "shard",
        "time_budget_seconds",
    )

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        """Raises ArgumentError for what cannot be used, TypeError for names that are no arguments or are missing."""
        given = known("run_batched_evaluation", arguments, REQUIRED, DEFAULTS)
        if given["scope"] not in SCOPES:
            raise ArgumentError("scope", given["scope"], "must be 'traces' or 'observations'")
        self.scope: str = given["scope"]
        self.mapper: UserFunction = bind("mapper", given["mapper"], offered=("item",), sole_positional="item")
        self.evaluators: list[UserFunction] = bind_all(
            "evaluators", given["evaluators"], offered=EVALUATOR_VALUES, only_if_named=EVALUATOR_MORE
        )
        self.composite: UserFunction | None = bind_composite(
            given["composite_evaluator"], self.evaluators, offered=(*EVALUATOR_VALUES, "evaluations", "item")
        )
        self.filter_given: Any = given["filter"]
        self.conditions: list[dict[str, Any]] = _conditions(self.scope, given["filter"])
        self.dataset_run: tuple[str, str] | None = _dataset_run(given["dataset_run"])
        if self.dataset_run is not None and (self.scope != "traces" or self.conditions):
            raise ArgumentError("dataset_run", self.dataset_run, "is for scope='traces' without a filter")
        self.page_size: int = min(100, whole_number("fetch_batch_size", given["fetch_batch_size"], least=1))
        most = given["max_items"]
        self.max_items: int | None = None if most is None else whole_number("max_items", most, least=0)
        self.max_retries: int = whole_number("max_retries", given["max_retries"], least=0)
        self.max_concurrency: int = whole_number("max_concurrency", given["max_concurrency"], least=1)
        self.metadata: dict[str, Any] = mapping("metadata", given["metadata"])
        self.resume_from: BatchEvaluationResumeToken | None = given["resume_from"]
        if self.resume_from is not None and not isinstance(self.resume_from, BatchEvaluationResumeToken):
            raise ArgumentError("resume_from", self.resume_from, "must be a BatchEvaluationResumeToken")
        self.checkpoint: str | None = path("checkpoint", given["checkpoint"])
        if self.checkpoint is not None and self.resume_from is not None:
            raise ArgumentError("resume_from", self.resume_from, "the checkpoint has a token of its own")
        self.time_budget_seconds: float | None = time_budget(given["time_budget"])
        self.executor: Any = executor(given["executor"])
        size = given["executor_group"]
        self.executor_group: int | None = None if size is None else whole_number("executor_group", size, least=1)
        self.rate_limit: float | None = positive_number("rate_limit", given["rate_limit"])
        self.evaluator_timeout_seconds: float | None = positive_number("evaluator_timeout", given["evaluator_timeout"])
        self.progress: Any = progress_hook("progress", given["progress"]) or flag("verbose", given["verbose"])
        self.run_id: str | None = optional_id("run_id", given["run_id"])
        self.shard: tuple[int, int] | None = shard(given["shard"])
        self.full_traces: bool = flag("full_traces", given["full_traces"])
        if self.full_traces and self.scope != "traces":
            raise ArgumentError("full_traces", True, "is for scope='traces'")
        self.keep_evaluations: bool = flag("keep_evaluations", given["keep_evaluations"])
        self.on_item: Callable[[str, Any], Any] | None = hook(
            "on_item", given["on_item"], "an item's id and its evaluations", count=2
        )

    @property
    def scoring_names(self) -> list[str]:
        """The names of the evaluators by position, then the composite's."""
        return [function.name for function in self.scoring_functions]

    @property
    def scoring_functions(self) -> list[UserFunction]:
        """The evaluators by position, then the composite."""
        return [*self.evaluators, *([self.composite] if self.composite else [])]


def _conditions(scope: str, filter: Any) -> list[dict[str, Any]]:
    """Those of a filter, in array form; the language of filters is loaded for who has one."""
    if filter is None:
        return []
    from ..service.filters import read_filter

    return read_filter(scope, filter)


def _dataset_run(value: Any) -> tuple[str, str] | None:
    """(data set name, run name), or None."""
    if value is None:
        return None
    from ..service.datasets import check_name

    if not isinstance(value, (tuple, list)) or len(value) != 2 or not all(isinstance(each, str) for each in value):
        raise ArgumentError("dataset_run", value, "must be (data set name, run name)")
    return check_name("dataset_run", value[0]), check_name("dataset_run", value[1])
