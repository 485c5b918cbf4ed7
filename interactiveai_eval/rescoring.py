"""`rescore`: judge the outputs of a finished experiment again, with other evaluators and without its task."""
from __future__ import annotations

from ._clock import Clock
from ._contexts import copy_context
from ._ids import derived_id
from .errors import ArgumentError, error_text
from .item_result import ExperimentItemResult
from .merging import added_deliveries
from .model import Evaluation, EvaluatorFailure, ItemFailure
from .result import ExperimentResult
from .running.arguments import executor as checked_executor
from .running.arguments import positive_number, progress_hook, whole_number
from .running.calls import EVALUATOR_MORE, EVALUATOR_VALUES, bind_all, bind_composite
from .running.driver import Driver, run_here, with_result
from .running.failures import Failed, cancelled_failure
from .running.items import Item
from .running.judging import Judges
from .running.measures import StatsRow
from .running.outbox import Outbox
from .running.parcels import Parcel
from .running.progress import Progress
from .running.recording import experiment_score, run_score_id
from .running.remote import RemoteLane
from .running.schedule import END, Schedule, Source
from .running.services import ALWAYS_SAMPLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike
    from typing import Any

    from .client import Interactive
    from .running.calls import UserFunction
    from .running.loops import Lane
    from .running.measures import EvaluatorRun
    from .running.services import Services


def rescore(
    saved_result: ExperimentResult | str | PathLike[str],
    evaluators: Sequence[Any] | None,
    *,
    composite_evaluator: Any = None,
    run_evaluators: Sequence[Any] = (),
    max_concurrency: int = 50,
    evaluator_timeout: float | None = None,
    executor: Any = None,
    progress: Any = False,
    client: Interactive | None = None,
) -> ExperimentResult:
    """The result of an experiment with its recorded outputs judged anew; the task does not run.

    `saved_result` is a result, or the path of one that was saved as `.json`: then items and outputs are what JSON made
    of them. Evaluations, evaluator failures, statistics and run evaluations are those of this call; items, outputs,
    trace ids, times and names stay, and so do failed items, which have no output to judge. The functions are called
    as in `run_experiment`, with the `trace_id` and `duration_seconds` that were recorded.

    `evaluators=None` keeps what is said of the items, and only the run is judged, if it is completed: for a run in
    shards, whose results `ExperimentResult.merge` has put together. Its scores then have the ids of those of a run.

    With a `client`, scores go to the recorded traces, beside those of the experiment, and those of run evaluators to
    its run; calling again with evaluators of the same names and order replaces them. Without one nothing is sent.

    Raises ArgumentError before anything is called, DataError or OSError for a file that cannot be read; stopped by
    Ctrl-C or SIGTERM like a run: the exception's `result` has what was judged, the other items as cancelled failures.
    """
    plan = _Plan(
        saved_result, evaluators, composite_evaluator, run_evaluators, max_concurrency, evaluator_timeout, executor
    )
    hook = progress_hook("progress", progress)
    services = _services_of(client)
    clock = Clock() if services is None else services.clock
    result: ExperimentResult = run_here(lambda lane: _Rescoring(plan, services, lane, clock, hook), clock)
    return result


def _services_of(client: Any) -> Services | None:
    if client is None:
        return None
    from .client import Interactive

    if not isinstance(client, Interactive):
        raise ArgumentError("client", client, "must be an Interactive client")
    return client._services()


class _Plan:
    """The checked arguments."""

    def __init__(
        self,
        saved_result: Any,
        evaluators: Any,
        composite: Any,
        run_evaluators: Any,
        max_concurrency: Any,
        timeout: Any,
        executor: Any,
    ) -> None:
        self.items = evaluators is not None  # or only the run is judged
        if not self.items and composite is not None:
            raise ArgumentError("composite_evaluator", composite, "judges items: name evaluators, too")
        self.evaluators = bind_all(
            "evaluators", evaluators if self.items else (), offered=EVALUATOR_VALUES, only_if_named=EVALUATOR_MORE
        )
        self.composite = bind_composite(
            composite, self.evaluators, offered=(*EVALUATOR_VALUES, "evaluations", "item")
        )
        self.run_evaluators = bind_all(
            "run_evaluators", run_evaluators, offered=("item_results",), only_if_named=("item_failures",)
        )
        self.max_concurrency = whole_number("max_concurrency", max_concurrency, least=1)
        self.timeout_seconds = positive_number("evaluator_timeout", timeout)
        self.executor = checked_executor(executor)
        self.recorded = _recorded(saved_result)

    @property
    def functions(self) -> list[UserFunction]:
        """The evaluators by position, then the composite."""
        return [*self.evaluators, *([self.composite] if self.composite else [])]


def _recorded(saved_result: Any) -> ExperimentResult:
    if isinstance(saved_result, ExperimentResult):
        recorded = saved_result
    elif isinstance(saved_result, str) or hasattr(saved_result, "__fspath__"):
        recorded = ExperimentResult.load(saved_result)
    else:
        raise ArgumentError("saved_result", saved_result, "must be an ExperimentResult or the path of a saved one")
    if recorded.tally is not None and recorded.tally.succeeded > len(recorded.item_results):
        raise ArgumentError(
            "saved_result", recorded, "has counts only, no outputs: it was run with keep_results=False; keep them"
        )
    return recorded


class _Results(Source):
    """The recorded results, one after the other."""

    def __init__(self, results: Sequence[ExperimentItemResult]) -> None:
        self._results: Iterator[tuple[int, ExperimentItemResult]] = iter(enumerate(results))

    def take(self) -> Any:
        return next(self._results, END)


class _Rescoring:
    """One call under way."""

    def __init__(self, plan: _Plan, services: Services | None, lane: Lane, clock: Clock, hook: Any) -> None:
        self._plan = plan
        self._services = services
        self._remote = None if plan.executor is None else RemoteLane(plan.executor)
        self._outbox = _unused_outbox(clock) if services is None else services.make_outbox()
        self.driver = Driver(lane, self._outbox, threads=plan.max_concurrency, remote=self._remote)
        self._judges = Judges(copy_context(), stop=self.driver.stop, timeout_seconds=plan.timeout_seconds)
        self._rows = [StatsRow(function.name) for function in plan.functions]
        self._progress = Progress(
            hook, name=f"rescoring {plan.recorded.name}", total=len(plan.recorded.item_results), clock=clock
        )
        # By place, since several threads come to their end at once; what is None at the end was not judged.
        self._judged: list[ExperimentItemResult | None] = (
            [None] * len(plan.recorded.item_results) if plan.items else [*plan.recorded.item_results]
        )

    async def go(self) -> ExperimentResult:
        plan, driver = self._plan, self.driver
        if self._remote is not None:
            remote = self._remote
            await driver.in_thread(lambda: remote.check(plan.functions))
        if self._services is not None:
            self._services.warn_of_silence()
        if plan.items:
            schedule = Schedule(
                driver.engine, _Results(plan.recorded.item_results), self._judge, limit=plan.max_concurrency
            )
            await driver.let_through(schedule)
        self._progress.end()
        results = [result for result in self._judged if result is not None]
        failures = [*plan.recorded.item_failures]
        failures += [
            _not_judged(recorded) for recorded, found in zip(plan.recorded.item_results, self._judged) if found is None
        ]
        failures.sort(key=lambda failure: (failure.index, failure.repetition))
        said: list[Evaluation] = []
        problems: list[EvaluatorFailure] = []
        whole = len(results) == len(self._judged) and (plan.items or plan.recorded.completed)
        if plan.run_evaluators and whole and driver.stopped is None:
            await driver.flow(self._judge_run(results, failures, said, problems))
        delivery = await driver.deliver()
        if not plan.items:
            known: ExperimentResult = plan.recorded.replaced(
                run_evaluations=said,
                run_evaluator_failures=problems,
                delivery=added_deliveries([plan.recorded.delivery, delivery]),
            )
            return known
        result: ExperimentResult = plan.recorded.replaced(
            item_results=results,
            item_failures=failures,
            run_evaluations=said,
            run_evaluator_failures=problems,
            evaluator_stats=[row.stats() for row in self._rows],
            duration_seconds=driver.clock.monotonic() - driver.began,
            completed=plan.recorded.completed and whole,
            delivery=delivery,
        )
        return result

    async def _judge(self, work: tuple[int, ExperimentItemResult]) -> None:
        """The flow of one item."""
        place, recorded = work
        item = Item(recorded.item)
        values = {
            "input": item.input,
            "output": recorded.output,
            "expected_output": item.expected_output,
            "metadata": item.metadata,
            "item": recorded.item,
            "trace_id": recorded.trace_id,
            "duration_seconds": recorded.duration_seconds,
        }
        plan = self._plan
        evaluations: list[Evaluation] = []
        failures: list[EvaluatorFailure] = []
        runs: list[EvaluatorRun] = []
        bodies: list[dict[str, Any]] = []
        for functions in (plan.evaluators, [plan.composite] if plan.composite else []):
            if runs and not evaluations:
                break  # nothing for a composite to combine
            values["evaluations"] = list(evaluations)
            first = len(runs)
            calls = [(function, self._judges.call(function, values)) for function in functions]
            try:
                judgements = await self._judges.ask(calls, first=first)
            except Failed:
                return  # the run was stopped
            for run, found, failure in judgements:
                runs.append(run)
                evaluations += found
                failures += [] if failure is None else [failure]
                bodies += self._bodies(f"{run.position}:{plan.functions[run.position].name}", found, recorded)
        self._judged[place] = recorded.replaced(evaluations=evaluations, evaluator_failures=failures)
        for run in runs:
            self._rows[run.position].add(run)
        if bodies:
            self._outbox.put(Parcel(scores=bodies, item_id=recorded.item_id))
        try:
            self._progress.item_done(failed=False)
        except KeyboardInterrupt as error:
            self.driver.stop(error)

    async def _judge_run(
        self,
        results: list[ExperimentItemResult],
        failures: list[ItemFailure],
        said: list[Evaluation],
        problems: list[EvaluatorFailure],
    ) -> None:
        values = {"item_results": results, "item_failures": failures}
        functions = self._plan.run_evaluators
        calls = [(each, self._judges.call(each, values, stays_here=True)) for each in functions]
        try:
            judgements = await self._judges.ask(calls)
        except Failed:
            return  # the run was stopped
        for run, found, failure in judgements:
            bodies = self._bodies(f"run:{functions[run.position].name}", found, None, first=len(said))
            said += found
            problems += [] if failure is None else [failure]
            if bodies:
                self._outbox.put(Parcel(scores=bodies))

    def _bodies(
        self, judge: str, evaluations: list[Evaluation], of: ExperimentItemResult | None, *, first: int = 0
    ) -> list[dict[str, Any]]:
        """The scores to send of what one evaluator said of one result, or of the run; counts those that are not.

        `first` counts what the evaluators before it said.
        """
        services, recorded = self._services, self._plan.recorded
        if services is None:
            return []
        bodies = []
        trace_id, item_id = (None, None) if of is None else (of.trace_id, of.item_id)
        target = trace_id or recorded.dataset_run_id or recorded.experiment_id or recorded.run_name
        numbers: dict[str, int] = {}
        for place, evaluation in enumerate(evaluations, first):
            if evaluation.value is None:
                continue
            number = numbers[evaluation.name] = numbers.get(evaluation.name, -1) + 1
            score_id = derived_id("rescore", target, judge, evaluation.name, str(number))[:32]
            if not self._plan.items:
                score_id = run_score_id(recorded.experiment_id or target, place, evaluation.name)
            reason = services.silence(ALWAYS_SAMPLED if of is None else trace_id)
            if not reason and of is not None and trace_id is None:
                reason = "the result has no trace"
            try:
                scored = {"dataset_run_id": target} if of is None else {"trace_id": trace_id}
                body = experiment_score(services.tracer, evaluation, score_id, **scored)
            except Exception as problem:  # Unsendable, or what a mask of the user's raises
                reason = f"{evaluation.name}: {error_text(problem)}"
            if reason:
                self._outbox.counts.problem("scores", "skipped", score_id, reason, item_id)
            else:
                bodies.append(body)
        return bodies

    def outcome(self, result: ExperimentResult) -> ExperimentResult:
        """The result, or what ended the call early raised with the result on it."""
        if self.driver.stopped is None:
            return result
        raise with_result(self.driver.stopped, result)


def _not_judged(recorded: ExperimentItemResult) -> ItemFailure:
    failure = cancelled_failure("its evaluators")
    return ItemFailure(
        index=recorded.index,
        item=recorded.item,
        stage="cancelled",
        error_type=failure.error_type,
        message=failure.message,
        repetition=recorded.repetition,
        item_id=recorded.item_id,
        attempts=recorded.attempts,
        trace_id=recorded.trace_id,
        duration_seconds=recorded.duration_seconds,
    )


def _unused_outbox(clock: Clock) -> Outbox:
    """One for a call without a client: nothing is ever put into it."""
    return Outbox(lambda spans: [], lambda bodies: [], lambda bodies: [], clock)
