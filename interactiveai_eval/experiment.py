"""`run_experiment`: run a task over items, evaluate what comes out, and give back one result.

The story is in `_Run.go`: open what is needed, let every item through, evaluate the run, deliver, build the result.
What happens to one item is told in `running.item_run`.
"""
from __future__ import annotations

from ._clock import ns_to_iso
from ._contexts import copy_context
from ._log import warn
from ._visible import name_text
from .errors import ApiError, RunStopped, TooManyFailuresError, TransportError, error_text, is_a, short_repr, type_name
from .item_result import ExperimentItemResult
from .model import Evaluation, EvaluatorFailure
from .result import ExperimentResult
from .running.calls import chosen
from .running.collector import Collector, own_copy
from .running.driver import Driver, run_here, run_on_loop, with_result
from .running.engine import Call, Calls
from .running.item_run import ItemRuns
from .running.items import item_source
from .running.judging import judged
from .running.parcels import Parcel
from .running.plan import Plan
from .running.progress import Progress
from .running.recording import EXPERIMENT_ENVIRONMENT, Recorder, experiment_score, run_score_id
from .running.remote import RemoteLane, shares_memory
from .running.schedule import Schedule
from .running.scoring import create_evaluator_from_autoevals
from .running.services import ALWAYS_SAMPLED
from .running.waits import Rhythm
from .service.scores import Unsendable
from .tracing.context import current, propagated

# How long run-level scores wait for a data set run that no item could be linked to before; a made-up figure.
LAST_LINKS_SECONDS = 10.0
_NAMES_TOLD = 10  # evaluators in a line of the log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .running.calls import UserFunction
    from .running.checkpoint import Checkpoint
    from .running.groups import GroupLane
    from .running.loops import Lane
    from .running.services import Services
    from .types import (
        EvaluatorFunction,
        ExperimentData,
        ExperimentItem,
        LocalExperimentItem,
        RunEvaluatorFunction,
        TaskFunction,
    )

__all__ = [
    "Evaluation",
    "EvaluatorFunction",
    "ExperimentData",
    "ExperimentItem",
    "ExperimentItemResult",
    "ExperimentResult",
    "LocalExperimentItem",
    "RunEvaluatorFunction",
    "TaskFunction",
    "create_evaluator_from_autoevals",
]


def __getattr__(name: str) -> Any:
    # The types that other places import from here; `typing` is loaded only for those who ask.
    if name in __all__:
        from . import types

        return getattr(types, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run_experiment(plan: Plan, services: Services) -> ExperimentResult:
    """Run a checked plan and wait for it; works inside a running loop too."""
    result: ExperimentResult = run_here(lambda lane: _Run(plan, services, lane), services.clock)
    return result


async def run_experiment_async(plan: Plan, services: Services) -> ExperimentResult:
    """Run a checked plan from a coroutine, whose loop goes on."""
    result: ExperimentResult = await run_on_loop(lambda lane: _Run(plan, services, lane), services.clock)
    return result


class _Run:
    """One experiment under way."""

    def __init__(self, plan: Plan, services: Services, lane: Lane) -> None:
        self._plan = plan
        self._services = services
        self._clock = services.clock
        self._context = copy_context()  # the caller's
        self._groups = self._groups_elsewhere()
        self._remote = self._groups or (None if plan.executor is None else RemoteLane(plan.executor))
        self._outbox = services.make_outbox()
        self.driver = Driver(lane, self._outbox, threads=plan.max_concurrency, remote=self._remote)
        self._engine = self.driver.engine
        if self._groups is not None:
            self._groups.engine = self._engine
        self._schedule: Schedule | None = None
        self._checkpoint: Checkpoint | None = None
        self._counted = 0, 0  # items given and failed, once all is over
        # The names and ids of the run: given, or drawn now; or taken over from the checkpoint.
        self._run_name: str = plan.run_name or f"{plan.name} - {ns_to_iso(self._clock.time_ns())}"
        self._experiment_id: str = plan.experiment_id or services.tracer.ids.trace_id()

    async def go(self) -> ExperimentResult:
        """The whole run."""
        plan, stop = self._plan, self.driver.stop
        deadline = self.driver.set_time_budget(plan.time_budget_seconds)
        try:
            if plan.executor is not None or plan.checkpoint is not None:
                self._checkpoint = await self.driver.in_thread(self._prepare, late=_close_if_any)
            if self._checkpoint is not None:
                self._run_name = self._checkpoint.header["run_name"]
                self._experiment_id = self._checkpoint.header["experiment_id"]
            self._services.warn_of_silence()
            progress = Progress(plan.progress, name=plan.name, total=plan.total, clock=self._clock)
            collector = Collector(plan, progress, stop=stop, failed=self._failed)
            recorder = self._recorder()
            rhythm = None if plan.rate_limit is None else Rhythm(self._clock, plan.rate_limit)
            items = self._item_runs(recorder, collector, rhythm)
            self._schedule = Schedule(
                self._engine,
                item_source(plan.data, plan.repetitions, self._context, plan.shard),
                items.run,
                limit=plan.max_concurrency,
                rhythm=rhythm,
                may_start=None if deadline is None else lambda: self._is_time_for(collector, deadline),
                total=plan.total,
                interrupted=stop,
            )
            # A loop is made, and asyncio loaded, while the first items are being linked.
            self._engine.lane.expects_coroutines = any([each.is_coroutine for each in plan.item_functions])
            await self.driver.let_through(self._schedule)
            items.leave_behind()
            progress.end()
            run_evaluations, run_failures = await self._evaluate_run(collector)
            recorder.close()
            return await self._finish(items, collector, run_evaluations, run_failures)
        finally:
            _close_if_any(self._checkpoint)

    # -- the way there ---------------------------------------------------------------------------------------------

    def _prepare(self) -> Checkpoint | None:
        """Ask the executor and open the checkpoint, either of which may take its time."""
        plan = self._plan
        if self._remote is not None:
            self._remote.check(plan.item_functions)
        if plan.checkpoint is None:
            return None
        from .running.checkpoint import Checkpoint, known_as

        fixed = {
            "name": plan.name,
            "run_name": plan.run_name,
            "experiment_id": plan.experiment_id,
            "evaluators": plan.scoring_names,
            "task": known_as(plan.task.function),
            "evaluator_functions": [known_as(function.function) for function in plan.item_functions[1:]],
        }
        return Checkpoint(plan.checkpoint, fixed, {"run_name": self._run_name, "experiment_id": self._experiment_id})

    def _groups_elsewhere(self) -> GroupLane | None:
        """Where items run that leave this process."""
        if self._plan.executor is None or shares_memory(self._plan.executor):
            return None
        from .running.elsewhere import Instructions
        from .running.groups import GroupLane

        plan = self._plan
        instructions = Instructions(
            task=plan.task,
            maps=False,
            evaluators=plan.evaluators,
            composite=plan.composite,
            task_timeout_seconds=plan.task_timeout_seconds,
            evaluator_timeout_seconds=plan.evaluator_timeout_seconds,
            mask=self._services.tracer.mask,
            propagated=dict(self._context.run(propagated.get)),
            environment=EXPERIMENT_ENVIRONMENT,
        )
        return GroupLane(plan, instructions)

    def _recorder(self) -> Recorder:
        services = self._services
        return Recorder(
            self._plan,
            tracer=services.tracer,
            outbox=self._outbox,
            experiment_id=self._experiment_id,
            run_name=self._run_name,
            propagated=self._context.run(services.tracer.propagated),
            silence=services.silence,
        )

    def _item_runs(self, recorder: Recorder, collector: Collector, rhythm: Rhythm | None) -> ItemRuns:
        plan = self._plan
        return ItemRuns(
            plan,
            engine=self._engine,
            recorder=recorder,
            outbox=self._outbox,
            collector=collector,
            checkpoint=self._checkpoint,
            rhythm=rhythm,
            link=self._services.api.used_by(self.driver.patience_ends, repeats=True).create_dataset_run_item,
            link_body={
                "runName": self._run_name,
                "runDescription": self._services.tracer.masked(plan.description),
                "metadata": self._services.tracer.masked(plan.metadata) or None,
            },
            base_context=self._context,
            elsewhere=self._groups,
            stop=self.driver.stop,
        )

    def _is_time_for(self, collector: Collector, deadline: float) -> bool:
        """Whether another item would probably end before `deadline`."""
        return self._clock.monotonic() + collector.usual_seconds() < deadline

    def _failed(self, failed: int, given: int) -> None:
        """Stop the run when failures have become too many; a share is judged when the number of items is known."""
        limit, total = self._plan.fail_on_error, self._plan.total
        if limit is None or self.driver.stopped is not None:
            return
        is_share = isinstance(limit, float)
        if (not is_share and failed >= limit) or (is_share and total is not None and failed >= limit * total):
            self.driver.stop(_too_many(failed, limit))

    # -- the way back ----------------------------------------------------------------------------------------------

    async def _evaluate_run(self, collector: Collector) -> tuple[list[Evaluation], list[EvaluatorFailure]]:
        """What the run evaluators say; they are asked only about complete runs."""
        evaluations: list[Evaluation] = []
        problems: list[EvaluatorFailure] = []

        async def flow() -> None:
            calls = [self._run_call(function, collector) for function in self._plan.run_evaluators]
            await Calls(calls)
            for function, call in zip(self._plan.run_evaluators, calls):
                found, failure = judged(function, call)
                if call.error is not None and is_a(call.error, KeyboardInterrupt):
                    self.driver.stop(call.error)
                if failure is not None:
                    problems.append(failure)
                evaluations.extend(found)

        if self._plan.run_evaluators and self._is_complete():
            await self.driver.flow(flow())
        return list(evaluations), list(problems)

    def _run_call(self, function: UserFunction, collector: Collector) -> Call:
        """The call of a run evaluator, with copies of its own of all that there is to see."""
        values = {
            "item_results": [own_copy(result) for result in collector.results()],
            "item_failures": [own_copy(failure) for failure in collector.failures()],
        }
        context = self._context.copy()
        context.run(current.set, None)
        arguments, keywords = chosen(function, values)
        return Call(
            function.function,
            arguments,
            keywords,
            context=context,
            is_coroutine=function.is_coroutine,
            timeout_seconds=self._plan.evaluator_timeout_seconds,
            stays_here=True,  # executors get items; what looks at the whole run stays
        )

    async def _finish(
        self,
        items: ItemRuns,
        collector: Collector,
        run_evaluations: list[Evaluation],
        run_failures: list[EvaluatorFailure],
    ) -> ExperimentResult:
        """Deliver what is left, in bounded time, and put the result together."""
        complete = self._is_complete()  # a stop from here on shortens the delivery and takes nothing from the run
        if run_evaluations and items.has_parked_links and items.dataset_run_id is None:
            deadline = self._clock.monotonic() + LAST_LINKS_SECONDS
            await self.driver.in_thread(lambda: self._outbox.flush_links(deadline))
        self._queue_run_scores(items.dataset_run_id, run_evaluations)
        delivery = await self.driver.deliver()
        url = await self.driver.in_thread(lambda: self._run_url(items))
        results, failures = collector.results(), collector.failures()
        _say_what_failed(self._plan.name, collector)
        self._counted = collector.given, collector.failed
        return ExperimentResult(
            name=self._plan.name,
            run_name=self._run_name,
            description=self._plan.description,
            item_results=results,
            item_failures=failures,
            run_evaluations=run_evaluations,
            run_evaluator_failures=run_failures,
            dataset_run_id=items.dataset_run_id,
            dataset_run_url=url,
            experiment_id=self._experiment_id,
            evaluator_stats=collector.stats(),
            metadata=dict(self._plan.metadata),
            duration_seconds=self._clock.monotonic() - self.driver.began,
            delivery=delivery,
            completed=complete,
            resume_token=None if complete else self._resume_token(),
            tally=collector.tally,
            shard=self._plan.shard,
        )

    def _queue_run_scores(self, dataset_run_id: str | None, evaluations: list[Evaluation]) -> None:
        """Run-level scores belong to the data set run, or to the experiment when there is none."""
        counts, tracer = self._outbox.counts, self._services.tracer
        silence = self._services.silence(ALWAYS_SAMPLED)
        bodies = []
        for number, evaluation in enumerate(evaluations):
            score_id = run_score_id(self._experiment_id, number, evaluation.name)
            if evaluation.value is None:
                continue
            if silence:
                counts.problem("scores", "skipped", score_id, silence)
                continue
            try:
                target = dataset_run_id or self._experiment_id
                bodies.append(experiment_score(tracer, evaluation, score_id, dataset_run_id=target))
            except Unsendable as reason:
                counts.problem("scores", "skipped", score_id, f"{evaluation.name}: {reason}")
        if bodies:
            self._outbox.put(Parcel(scores=bodies), may_wait=False)

    def _run_url(self, items: ItemRuns) -> str | None:
        """Where the run can be looked at; None for local data, and when the server does not tell its project."""
        if items.dataset_run_id is None:
            return None
        try:
            project = self._services.api.project_id()
        except (TransportError, ApiError) as error:
            warn(f"the URL of run {short_repr(self._run_name)} is unknown: {error}")
            return None
        place = f"{items.dataset_id}/runs/{items.dataset_run_id}"
        return f"{self._services.base_url}/project/{project}/datasets/{place}"

    def _is_complete(self) -> bool:
        assert self._schedule is not None
        return self._schedule.exhausted and not self._schedule.halted and self._schedule.source_error is None

    def _resume_token(self) -> dict[str, Any]:
        """What a later call passes on to go on with this run."""
        if self._plan.checkpoint is not None and self._checkpoint is None:
            # It could not be opened in time: the names in it count, and they are not known.
            names = {"run_name": self._plan.run_name, "experiment_id": self._plan.experiment_id}
        else:
            names = {"run_name": self._run_name, "experiment_id": self._experiment_id}
        return {**names, "checkpoint": self._plan.checkpoint}

    def outcome(self, result: ExperimentResult) -> ExperimentResult:
        """The result, or what ended the run early raised with the result on it."""
        assert self._schedule is not None
        stopped, source_error = self.driver.stopped, self._schedule.source_error
        if stopped is None and source_error is not None:
            raise RunStopped(
                f"data raised {type_name(source_error)}: {error_text(source_error)}, "
                f"after {self._counted[0]} items; this exception's result has them",
                result=result,
            ) from source_error
        limit = self._plan.fail_on_error
        if stopped is None and isinstance(limit, float):
            given, failed = self._counted
            stopped = _too_many(failed, limit) if failed and failed >= limit * given else None
        if stopped is None:
            return result
        raise with_result(stopped, result)


def _close_if_any(checkpoint: Checkpoint | None) -> None:
    if checkpoint is not None:
        checkpoint.close()


def _too_many(failed: int, limit: float) -> TooManyFailuresError:
    bound = f"a share of {limit!r}" if isinstance(limit, float) else str(limit)
    return TooManyFailuresError(f"{failed} of the items failed; fail_on_error ends the run at {bound}", result=None)


def _say_what_failed(name: str, collector: Collector) -> None:
    """One line for the log, whatever failed and how often; ids and reasons are in the result."""
    counts = {"failed": collector.failed - collector.cancelled, "were cancelled": collector.cancelled}
    if collector.failed:
        ends = ", ".join(f"{count} of {collector.given} items {end}" for end, count in counts.items() if count)
        warn(f"experiment {short_repr(name)}: {ends}; see result.item_failures")
    failed = [f"{name_text(row.name)} {row.failed_runs}x" for row in collector.stats() if row.failed_runs]
    if failed:
        more = f" and {len(failed) - _NAMES_TOLD} more" if len(failed) > _NAMES_TOLD else ""
        told = ", ".join(failed[:_NAMES_TOLD]) + more
        warn(f"experiment {short_repr(name)}: evaluators failed: {told}; see evaluator_failures of the items")
