"""What happens to one trace or observation: mapper, evaluators, composite, scores. Told once, in order."""
from __future__ import annotations

from _thread import allocate_lock
from functools import partial

from .._ids import parts_text, text_id, usual_parts_text
from ..batch_model import BatchItemFailure, EvaluatorInputs
from ..errors import ApiError, ArgumentError, NotFoundError, TransportError, is_a
from ..model import Evaluation
from ..service.lists import find
from ..service.records import ObservationRecord, TraceRecord
from ..service.scores import Unsendable, score_body
from .book import Outcome
from .collector import own_evaluations
from .engine import CANCELLED, Pause
from .failures import Failed, Failure, cancelled_failure, failure_of, overran, timeout_failure
from .judging import Judges
from .parcels import Parcel
from .scoring import masked_evaluation
from .waits import fetch_wait_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Context
    from typing import Any

    from ..service.api import Api
    from ..service.records import Record
    from ..tracing.spans import Tracer
    from .batch_plan import BatchPlan
    from .book import BatchWork, Book
    from .calls import UserFunction
    from .engine import Call, Engine
    from .groups import GroupLane, ItemCall
    from .measures import UsualSeconds
    from .outbox import Outbox
    from .progress import Progress


class BatchItems:
    """The flows of all items of one run, and what they share."""

    def __init__(
        self,
        plan: BatchPlan,
        *,
        run_id: str,
        engine: Engine,
        api: Api,
        tracer: Tracer,
        outbox: Outbox,
        silence: str,
        context: Context,
        stop: Callable[[BaseException], None],
        environment: str | None,
        book: Book,
        progress: Progress,
        usual: UsualSeconds | None,
        elsewhere: GroupLane | None,
    ) -> None:
        """User code runs in copies of `context`; what leaves this process runs `elsewhere`; `usual` is told, if any."""
        self._plan = plan
        self._id_begins = parts_text(run_id, plan.scope)
        self._engine = engine
        self._api = api
        self._tracer = tracer
        self._outbox = outbox
        self._silence = silence
        self._judges = Judges(context, stop=stop, timeout_seconds=plan.evaluator_timeout_seconds)
        self._stop = stop
        self._environment = environment
        self._book = book
        self._progress = progress
        self._usual = usual
        self._elsewhere = elsewhere
        self._hook_lock = allocate_lock()
        kinds: dict[str, type[Record]] = {"traces": TraceRecord, "observations": ObservationRecord}
        self._record = kinds[plan.scope]
        functions = plan.scoring_functions
        self._item_is_shared = any("item" in (*each.by_position, *each.by_keyword) for each in functions)
        self._known_by = [f"{position}:{function.name}" for position, function in enumerate(functions)]

    async def run(self, work: BatchWork) -> None:
        """The flow of one item: whatever happens, one outcome comes out."""
        outcome, began = Outcome(), 0.0 if self._usual is None else self._engine.clock.monotonic()
        bodies: list[dict[str, Any]] = []
        try:
            await self._go_through(work, outcome, bodies)
        except Failed as problem:
            self._fail(work, outcome, problem)
        except BaseException as error:
            # Values of the user's that run code of their own where we look at them; or, in a run that was left at
            # once, the end of the flow itself.
            if is_a(error, GeneratorExit) and self._engine.stopping:
                raise
            stage = "item"
            if is_a(error, KeyboardInterrupt):
                self._stop(error)
                stage = "cancelled"
            self._fail(work, outcome, Failed(stage, failure_of(error)))
        if self._usual is not None:
            self._usual.add(self._engine.clock.monotonic() - began)
        work.row = None  # thousands may wait for their scores to arrive; what is large has been used
        ending = outcome.ending()
        ends_stretch = self._book.ended(work, outcome, ending)
        self._tell(work, outcome)
        if outcome.failure is None and bodies:
            self._outbox.put(
                Parcel(scores=bodies, item_id=work.id, arrived=partial(self._book.done, work, ending))
            )
        elif outcome.failure is None or outcome.failure.stage != "cancelled":
            self._book.done(work, ending)
        else:
            self._book.cut_off(work)
        if ends_stretch:
            self._outbox.send_soon()

    def _fail(self, work: BatchWork, outcome: Outcome, problem: Failed) -> None:
        """A failed item has no evaluations and no scores, whatever was there when it failed."""
        failure = problem.failure
        outcome.evaluations = []
        outcome.scores = outcome.composite_scores = 0
        for run in outcome.runs:
            run.scores = 0
        outcome.failure = BatchItemFailure(
            item_id=work.id,
            stage=problem.stage,
            error_type=failure.error_type,
            message=failure.message,
            traceback=failure.traceback,
        )

    def _tell(self, work: BatchWork, outcome: Outcome) -> None:
        failed = outcome.failure is not None
        if self._plan.on_item is not None and work.id is not None and not failed:
            try:
                with self._hook_lock:
                    self._plan.on_item(work.id, own_evaluations(outcome.evaluations))
            except BaseException as error:
                # Whoever streams evaluations to a disk that is full must not lose the rest in silence.
                self._stop(error)
        if self._progress.hook is not None:
            try:
                self._progress.item_done(failed=failed, evaluations=outcome.evaluations)
            except KeyboardInterrupt as error:
                self._stop(error)

    async def _go_through(self, work: BatchWork, outcome: Outcome, bodies: list[dict[str, Any]]) -> None:
        if work.problem:
            raise Failed("item", Failure("MalformedItem", work.problem))
        observed, row = self._plan.scope == "observations", work.row
        if row is None or self._plan.full_traces or self._plan.dataset_run is not None:
            row = await self._fetched(work, outcome)
        # Read before the mapper has the row, which may change it.
        trace_id = row.get("traceId") if observed else work.id
        values: dict[str, Any] = {
            "item": self._record(row),
            "trace_id": trace_id,
            "duration_seconds": row.get("latency"),
        }
        made = None if self._elsewhere is None else self._elsewhere.call(values, None)
        # Where no evaluator asks for the item the mapper alone has it, and evaluators have copies of what it returns:
        # the dearest copy of all would be one that nobody can tell from the row itself.
        inputs = await self._inputs(made or self._judges.call(self._plan.mapper, values, copies=self._item_is_shared))
        values.update(inputs.items())
        await self._score(work, outcome, self._plan.evaluators, values, made)
        if self._plan.composite is not None and outcome.evaluations:
            values["evaluations"] = list(outcome.evaluations)
            await self._score(work, outcome, [self._plan.composite], values, made)
        bodies += self._bodies(trace_id, work.id, outcome)

    def _bodies(self, trace_id: str | None, item_id: str | None, outcome: Outcome) -> list[dict[str, Any]]:
        """The scores to send; counts them for whoever gave them."""
        assert item_id is not None
        bodies = []
        id_begins = self._id_begins + parts_text(item_id)
        occurrences: dict[tuple[str, str], int] = {}
        for run, evaluation in zip(outcome.given_by, outcome.evaluations):
            which = self._known_by[run.position], evaluation.name
            number = occurrences[which] = occurrences.get(which, -1) + 1
            score_id = text_id(id_begins + usual_parts_text(*which, str(number)))[:32]
            body = self._body(trace_id, item_id, score_id, evaluation)
            if body is None:
                run.scores -= evaluation.value is not None  # not counted by it as one that was made
                continue
            bodies.append(body)
            if run.position < len(self._plan.evaluators):
                outcome.scores += 1
            else:
                outcome.composite_scores += 1
        return bodies

    async def _fetched(self, work: BatchWork, outcome: Outcome) -> dict[str, Any]:
        """The item by its id, after as many attempts as the plan allows. Raises Failed."""
        assert work.id is not None
        attempt = 0
        while True:
            attempt += 1
            try:
                row = find(self._api, self._plan.scope, work.id)
            except (TransportError, ApiError) as error:
                outcome.gone = isinstance(error, NotFoundError)
                if self._engine.stopping:
                    raise Failed("cancelled", failure_of(error)) from error
                if attempt > self._plan.max_retries or not error.retryable:
                    raise Failed("fetch", failure_of(error)) from error
                await Pause(fetch_wait_seconds(attempt, error))
            except ArgumentError as error:  # what the server gave it as its id can be asked for in no path
                raise Failed("fetch", failure_of(error)) from error
            else:
                self._book.fetched(int(work.row is None))
                return row

    async def _inputs(self, call: Call) -> EvaluatorInputs:
        """What the mapper makes of the item, or has made of it elsewhere. Raises Failed."""
        await call
        if overran(call):
            raise Failed("mapper", timeout_failure("the mapper", call))
        if call.ending == CANCELLED:
            raise Failed("cancelled", cancelled_failure("the mapper"))
        if call.error is not None:
            if is_a(call.error, KeyboardInterrupt):
                self._stop(call.error)
                raise Failed("cancelled", failure_of(call.error))
            raise Failed("mapper", failure_of(call.error))
        try:
            return EvaluatorInputs.of(call.value)
        except Exception as error:
            raise Failed("mapper", failure_of(error)) from error

    async def _score(
        self,
        work: BatchWork,
        outcome: Outcome,
        functions: list[UserFunction],
        values: Mapping[str, Any],
        made: ItemCall | None,
    ) -> None:
        """Call functions side by side, those after the ones that have run, and take what they return."""
        calls = [(function, self._judges.call(function, values)) for function in functions]
        judgements = await self._judges.ask(calls, first=len(outcome.runs), made=made)
        for run, evaluations, failure in judgements:
            outcome.runs.append(run)
            outcome.evaluations += evaluations
            outcome.given_by += [run] * len(evaluations)
            if failure is not None:
                outcome.troubles.append(
                    BatchItemFailure(
                        item_id=work.id,
                        stage="evaluator",
                        error_type=failure.error_type,
                        message=failure.message,
                        traceback=failure.traceback,
                        evaluator=failure.evaluator,
                    )
                )

    def _body(
        self, trace_id: str | None, id: str, score_id: str, evaluation: Evaluation
    ) -> dict[str, Any] | None:
        """The score of an evaluation, None when it is not sent; the reason is counted."""
        counts = self._outbox.counts
        if self._silence:
            counts.problem("scores", "skipped", score_id, self._silence, id)
            return None
        own = evaluation.metadata if evaluation.metadata is not None else {}
        if self._plan.metadata:
            own = {**(own if isinstance(own, dict) else {"metadata": own}), **self._plan.metadata}
            evaluation = evaluation.replaced(metadata=own)
        observed = self._plan.scope == "observations"
        try:
            return score_body(
                masked_evaluation(self._tracer, evaluation),
                id=score_id,
                timestamp_ns=self._engine.clock.time_ns(),
                trace_id=trace_id,
                observation_id=id if observed else None,
                environment=self._environment,
            )
        except Unsendable as reason:
            if evaluation.value is not None:
                counts.problem("scores", "skipped", score_id, f"{evaluation.name}: {reason}", id)
            return None
