"""What happens to one item: link, task, evaluators, composite, delivery, result. Told once, in order.

What is recorded of it is in `recording`.
"""
from __future__ import annotations

from _thread import allocate_lock

from .._log import warn
from ..errors import ApiError, CheckpointError, TransportError, error_text, is_a, short_repr, type_name
from ..item_result import packed, packed_result
from ..model import ItemFailure
from ..tracing.context import current
from ..tracing.spans import Span
from .calls import UserFunction, own_arguments
from .engine import CANCELLED, RETURNED, TIMED_OUT, Call, Calls, Pause
from .failures import Failed, Failure, cancelled_failure, failure_of, never_began, overran, timeout_failure
from .judging import judged
from .measures import EvaluatorRun
from .parcels import Parcel
from .waits import LONGEST_FETCH_SECONDS, wait_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextvars import Context
    from typing import Any

    from ..item_result import ExperimentItemResult
    from ..model import Evaluation, EvaluatorFailure
    from .checkpoint import Checkpoint, Finished
    from .collector import Collector
    from .engine import Engine
    from .groups import GroupLane, ItemCall
    from .items import Item, Work
    from .outbox import Outbox
    from .plan import Plan
    from .recording import ItemTrace, Recorder
    from .waits import Rhythm

LINK_ATTEMPTS = 3


class ItemRuns:
    """The flows of all items of one run, and what they share."""

    def __init__(
        self,
        plan: Plan,
        *,
        engine: Engine,
        recorder: Recorder,
        outbox: Outbox,
        collector: Collector,
        checkpoint: Checkpoint | None,
        rhythm: Rhythm | None,
        link: Callable[[dict[str, Any]], str],
        link_body: Mapping[str, Any],
        base_context: Context,
        stop: Callable[[BaseException], None],
        elsewhere: GroupLane | None = None,
    ) -> None:
        """`link(body)` links a data set item to its trace and returns the data set run's id.

        `link_body` is what all links say of the run. User code runs in copies of `base_context`. The first attempt of
        an item has the turn of `rhythm` that its start took; others take one. What leaves this process runs
        `elsewhere`.
        """
        self._plan = plan
        self._engine = engine
        self._clock = engine.clock
        self._recorder = recorder
        self._outbox = outbox
        self._collector = collector
        self._checkpoint = checkpoint
        self._rhythm = rhythm
        self._link_item = link
        self._link_body = link_body
        self._context = base_context
        self._stop = stop
        self._elsewhere = elsewhere
        self._lock = allocate_lock()
        self._under_way: set[_OneRun] = set()  # whose result or failure is not with the collector yet
        self._told: set[str] = set()
        self.has_parked_links = False
        self.dataset_run_id: str | None = None
        self.dataset_id: str | None = None  # of the items that were linked

    async def run(self, work: Work) -> None:
        """The flow of one item, once: whatever happens, one result or one failure comes out.

        It is one coroutine as far as most items go: others for its parts would be more objects for every item that is
        under way, and the collector of garbage looks at them again and again.
        """
        item = work.item
        run = _OneRun(work, self._recorder.begin(work.index, work.repetition, item.id))
        del work
        self._under_way.add(run)
        try:
            if self._checkpoint is not None and await self._is_restored(run, self._checkpoint):
                return
            began = self._clock.monotonic()
            if item.dataset_id is not None and item.missing is None:
                await self._link(run)
            self._recorder.open_item(run.trace, item, run.dataset_run_id)
            if item.missing is not None:
                raise Failed("input", Failure("MissingInput", item.missing))
            call = self._task_call(run)
            await call
            while not self._has_returned(run, call):
                await self._before_another_attempt(run)
                call = self._task_call(run)
                await call
            output = call.value
            del call  # and with it the task's own copy of the item
            if run.trace.sent:
                self._recorder.end_item(run.trace, output, run.task_end_ns)
            asked = self._ask_evaluators(run, output)
            while asked is not None:
                await asked
                asked = self._judge(run, asked)
            self._end(run, output, began)
        except Failed as problem:
            self._fail(run, problem)
        except BaseException as error:
            # Values of the user's that run code of their own where we look at them; or, in a run that was left at
            # once, the end of the flow itself.
            if run not in self._under_way or (is_a(error, GeneratorExit) and self._engine.stopping):
                raise
            stage = "task"
            if is_a(error, KeyboardInterrupt):
                self._stop(error)
                stage = "cancelled"
            self._fail(run, Failed(stage, failure_of(error)))

    def leave_behind(self) -> None:
        """Take items that nobody waits for any more as cancelled; what becomes of them later is not in the result."""
        for run in list(self._under_way):
            if self._ends(run):
                failure = self._item_failure(run, Failed("cancelled", cancelled_failure("the item", run.last)))
                self._collector.add_failure(failure, told=False)

    def _ends(self, run: _OneRun) -> bool:
        """Whether the caller is the first who knows what became of an item, and so the one to tell."""
        try:
            self._under_way.remove(run)  # one step: of all who try, one finds it
        except KeyError:
            return False
        return True

    # -- the checkpoint --------------------------------------------------------------------------------------------

    async def _is_restored(self, run: _OneRun, checkpoint: Checkpoint) -> bool:
        """Whether an earlier process has finished the item, which then is taken over from the checkpoint."""
        key = self._key(run.item)
        if key is None:
            return False
        # Ids that another process finds again, wherever the item is in the data by then.
        run.key = key
        run.number, finished = checkpoint.take(key, run.repetition, run.index)
        run.trace = self._recorder.begin(run.number, run.repetition, key)
        if finished is None:
            return False
        if self._rhythm is not None:
            self._rhythm.give_back()
        await self._restore(run, finished)
        return True

    def _key(self, item: Item) -> str | None:
        """What the checkpoint knows an item by; None when an item that differs may look the same to it."""
        key = item.key()
        if key is None and item.missing is None:
            self._warn_once(
                "checkpoint",
                f"item {short_repr(item.given)} holds what cannot be told apart in another process; such items are run "
                "again on resume (give them values of plain types, or objects that pickle takes)",
            )
        return key

    def _warn_once(self, what: str, problem: str) -> None:
        """Tell of what may be wrong with every item, the first time."""
        with self._lock:
            first = what not in self._told
            self._told.add(what)
        if first:
            warn(f"{what}: {problem}")

    # -- the data set run ------------------------------------------------------------------------------------------

    async def _link(self, run: _OneRun) -> None:
        """Link the item to its trace, before its task; a link that fails is retried, then counted and gone without."""
        counts, trace_id, item_id = self._outbox.counts, run.trace.trace_id, run.item.id
        if not run.trace.sent:
            counts.problem("links", "skipped", trace_id, run.trace.silence, item_id)
            return
        body = {
            **self._link_body,
            "datasetItemId": item_id,
            "observationId": run.trace.span_id,
            "traceId": trace_id,
        }
        barred = self._outbox.barred("links")
        if barred is not None:
            self._park_link(run, body, barred)
            return
        for attempt in range(1, LINK_ATTEMPTS + 1):
            try:
                run.dataset_run_id = self._link_item(body)
            except (TransportError, ApiError) as error:
                status = getattr(error, "status_code", 0)
                final = 400 <= status < 500 and status not in (401, 403, 408, 409, 425, 429)
                if isinstance(error, ApiError) and status in (401, 403):
                    self._outbox.bar("links", error)
                    self._park_link(run, body, str(error))
                    return
                wait = max(wait_seconds(attempt), getattr(error, "retry_after_seconds", None) or 0.0)
                if final or attempt == LINK_ATTEMPTS or self._engine.stopping or wait > LONGEST_FETCH_SECONDS:
                    if final:
                        counts.problem("links", "rejected", trace_id, str(error), item_id)
                    else:
                        self._park_link(run, body, str(error))
                    return
                await Pause(wait)
            else:
                counts.add("links", "acknowledged")
                self._linked(run.dataset_run_id, run.item)
                return

    def _park_link(self, run: _OneRun, body: dict[str, Any], reason: str) -> None:
        item = run.item
        self.has_parked_links = True
        self._outbox.park_link(body, reason, item.id, lambda run_id: self._linked(run_id, item))

    def _linked(self, dataset_run_id: str | None, item: Item) -> None:
        with self._lock:
            if self.dataset_run_id is None:
                self.dataset_run_id, self.dataset_id = dataset_run_id, item.dataset_id

    # -- the task --------------------------------------------------------------------------------------------------

    def _has_returned(self, run: _OneRun, call: Call) -> bool:
        """Whether a call of the task has come to an output; False when another attempt is to follow. Raises Failed."""
        plan, span = self._plan, run.trace.span
        if run.attempts == 1 and call.start_ns:
            span.start_ns = call.start_ns
        if call.ending == RETURNED:
            run.seconds = call.seconds
            if call.error is None and (call.timeout_seconds is None or not overran(call)):
                run.task_end_ns = call.start_ns + int(call.seconds * 1e9)
                return True
        else:
            run.seconds = plan.task_timeout_seconds or 0.0
        failed = self._failed_call(call, run.last)
        if call.ending == CANCELLED and plan.executor is None and never_began(call):  # executors do not tell
            run.attempts -= 1
        if call.ending == TIMED_OUT and never_began(call):
            run.attempts, run.seconds = run.attempts - 1, 0.0
            raise failed
        if failed.stage == "cancelled" or run.attempts > plan.task_retries or not self._may_retry(call):
            raise failed
        span.note_error(failed.failure.error_type, failed.failure.message, traceback=failed.failure.traceback)
        run.last = failed.failure
        return False

    async def _before_another_attempt(self, run: _OneRun) -> None:
        """Wait until it is time for one. Raises Failed when there is to be none."""
        await Pause(wait_seconds(run.attempts))
        if self._rhythm is not None and not self._engine.stopping:
            await Pause(self._rhythm.take_turn())
        if self._engine.stopping:
            raise Failed("cancelled", cancelled_failure("the task", run.last))

    def _task_call(self, run: _OneRun) -> Call:
        plan, item = self._plan, run.item
        run.attempts += 1
        if self._elsewhere is not None:
            values = {
                "input": item.input,
                "expected_output": item.expected_output,
                "metadata": item.metadata,
                "item": item.given,
                "trace_id": run.trace.trace_id,
            }
            run.elsewhere = self._elsewhere.call(values, run.trace)
            return run.elsewhere
        arguments = own_arguments(plan.task, {"item": item.given})
        return self._call(run, plan.task, arguments, run.trace.span, plan.task_timeout_seconds)

    def _failed_call(self, call: Call, last: Failure | None) -> Failed:
        if overran(call):
            return Failed("task" if never_began(call) else "timeout", timeout_failure("the task", call))
        if call.ending == CANCELLED:
            return Failed("cancelled", cancelled_failure("the task", last))
        error = call.error
        assert error is not None
        if is_a(error, KeyboardInterrupt):
            self._stop(error)
            return Failed("cancelled", failure_of(error))
        return Failed("task", failure_of(error))

    def _may_retry(self, call: Call) -> bool:
        error = call.error if call.error is not None else TimeoutError("the task took too long")
        try:
            return self._plan.retry_on(error)
        except KeyboardInterrupt as stop:
            self._stop(stop)
            return False
        except BaseException as broken:  # a SystemExit of user code ends its item, not the run
            problem = f"{type_name(broken)}: {error_text(broken)}"
            self._warn_once("retry_on", f"it raised {problem}; an item of which it raises is not tried again")
            return False

    # -- evaluators ------------------------------------------------------------------------------------------------

    def _ask_evaluators(self, run: _OneRun, output: Any) -> _Asked | None:
        """All evaluators, to be awaited side by side; their failures are theirs, never the item's."""
        item, functions = run.item, self._plan.evaluators
        if not functions:
            return None
        values = {
            "input": item.input,
            "output": output,
            "expected_output": item.expected_output,
            "metadata": item.metadata,
            "item": item.given,
            "trace_id": run.trace.trace_id,
            "duration_seconds": run.seconds,
        }
        return self._ask(run, functions, 0, values)

    def _ask(self, run: _OneRun, functions: list[UserFunction], first: int, values: dict[str, Any]) -> _Asked:
        """The calls of some evaluators, the first of which is at position `first`, and their spans."""
        timeout = self._plan.evaluator_timeout_seconds
        trace = run.trace
        if trace.sent:
            spans = [self._recorder.open_evaluator(trace, f, position) for position, f in enumerate(functions, first)]
        else:
            spans = [trace.span] * len(functions)  # what evaluators open has a parent all the same
        calls: list[Call] = []
        for function, span in zip(functions, spans):
            # Who has called it elsewhere has made its arguments there.
            arguments = own_arguments(function, values) if run.elsewhere is None else ((), {})
            calls.append(self._call(run, function, arguments, span, timeout))
        if run.elsewhere is None:
            return _Asked(calls, functions, first, values, spans, calls)
        run.elsewhere.answer(calls, spans)
        return _Asked((), functions, first, values, spans, calls)

    def _judge(self, run: _OneRun, asked: _Asked) -> _Asked | None:
        """Take what evaluators returned; whom to ask next: the composite. Raises Failed when the run was stopped."""
        position = asked.first
        said = run.evaluations = [*run.evaluations]
        runs = run.evaluator_runs = [*run.evaluator_runs]
        for function, call, span in zip(asked.functions, asked.answers, asked.spans):
            if call.ending == CANCELLED:
                raise Failed("cancelled", cancelled_failure("its evaluators"))
            evaluations, failure = judged(function, call)
            if call.error is not None and is_a(call.error, KeyboardInterrupt):
                self._stop(call.error)
            if failure is not None:
                run.failures = [*run.failures, failure]
            said += evaluations
            ran = EvaluatorRun(position, call.seconds, evaluations, failure)
            runs.append(ran)
            if run.trace.sent:
                self._recorder.end_evaluator(run.trace, span, call, function, evaluations, ran, failure)
            position += 1
        composite = self._plan.composite
        if composite is None or asked.first or not said:
            return None
        values = {**asked.values, "evaluations": list(said)}
        return self._ask(run, [composite], position, values)

    def _call(
        self,
        run: _OneRun,
        function: UserFunction,
        arguments: tuple[Sequence[Any], dict[str, Any]],
        span: Span,
        timeout: float | None,
    ) -> Call:
        """A call in a context of its own, in which `span` is current."""
        if run.context is not None and span is run.trace.span:
            context = run.context.copy()
        else:
            context = self._context.copy()
            context.run(current.set, span)
            if span is run.trace.span:
                run.context = context.copy()
        return Call(function.function, arguments[0], arguments[1], context, function.is_coroutine, timeout)

    # -- the end of an item ----------------------------------------------------------------------------------------

    def _end(self, run: _OneRun, output: Any, began: float) -> None:
        result = packed_result(
            run.index,
            run.item.id,
            run.item.given,
            run.repetition,
            output,
            run.evaluations,
            run.failures,
            run.attempts,
            run.trace.trace_id,
            run.dataset_run_id,
            run.seconds,
        )
        self._deliver(run, result)
        if run.key:  # the checkpoint has read it
            result = packed(result)
        if self._ends(run):
            self._collector.add_result(result, run.evaluations, run.evaluator_runs, self._clock.monotonic() - began)

    def _fail(self, run: _OneRun, problem: Failed) -> None:
        told = None
        if run.trace.closed:  # the failure is that of recording it
            told = f"{problem.failure.error_type}: {problem.failure.message}"
        else:
            try:
                self._recorder.fail_item(run.trace, problem.failure)
                self._deliver(run, None)
            except BaseException as error:
                told = f"{type_name(error)}: {error_text(error)}"
        if told is not None:
            # It cannot be recorded (a mask that raises what no mask should): counted, and still in the result.
            reason = f"recording it raised {told}"
            self._outbox.counts.problem("spans", "skipped", run.trace.span_id, reason, run.item.id)
        if self._ends(run):
            self._collector.add_failure(self._item_failure(run, problem))

    @staticmethod
    def _item_failure(run: _OneRun, problem: Failed) -> ItemFailure:
        failure = problem.failure
        return ItemFailure(
            index=run.index,
            item=run.item.given,
            stage=problem.stage,
            error_type=failure.error_type,
            message=failure.message,
            traceback=failure.traceback,
            repetition=run.repetition,
            item_id=run.item.id,
            attempts=run.attempts,
            trace_id=run.trace.trace_id,
            duration_seconds=run.seconds,
        )

    def _deliver(self, run: _OneRun, result: ExperimentItemResult | None) -> None:
        """Hand everything of the item to the outbox; a result is written to the checkpoint first."""
        parcel = self._recorder.finish(run.trace, run.item.id, run.evaluator_runs)
        if run.key and result is not None:
            parcel = parcel or Parcel()
            parcel.arrived = self._write_down(run, result, parcel)
        if parcel is not None and parcel.events:
            self._outbox.put(parcel)
        elif parcel is not None and parcel.arrived is not None:
            parcel.arrived()

    def _write_down(self, run: _OneRun, result: ExperimentItemResult, parcel: Parcel) -> Callable[[], None] | None:
        """Write the result and its deliveries to the checkpoint; what comes back says that they have arrived.

        A checkpoint that cannot be written ends the run, which keeps this result and delivers it.
        """
        from binascii import b2a_base64

        from .checkpoint import result_to_entry

        checkpoint = self._checkpoint
        assert checkpoint is not None
        place = (run.key, run.repetition, run.number)
        entry = result_to_entry(result)
        entry["evaluator_runs"] = [ran.to_entry() for ran in run.evaluator_runs]
        entry["spans"] = [[id, b2a_base64(encoded, newline=False).decode("ascii")] for id, encoded in parcel.spans]
        entry["scores"] = parcel.scores
        try:
            checkpoint.add(*place, entry)
        except CheckpointError as error:
            self._stop(error)
            return None
        return lambda: checkpoint.mark_delivered(*place)

    async def _restore(self, run: _OneRun, finished: Finished) -> None:
        """Take over an item that an earlier process has finished; link and deliver what may not have arrived."""
        from binascii import a2b_base64

        from .checkpoint import entry_to_result

        entry, item = finished.entry, run.item
        result = entry_to_result(entry, item.given, run.index)
        if result.dataset_run_id is not None:
            self._linked(result.dataset_run_id, item)
        elif item.dataset_id is not None:
            await self._link(run)
            result = result.replaced(dataset_run_id=run.dataset_run_id)
        if not finished.delivered and self._checkpoint is not None:
            place = (entry["key"], entry["repetition"], entry["number"])
            checkpoint = self._checkpoint
            parcel = Parcel(
                spans=[(id, a2b_base64(text)) for id, text in entry["spans"]],
                scores=entry["scores"],
                item_id=result.item_id,
                arrived=lambda: checkpoint.mark_delivered(*place),
            )
            self._outbox.put(parcel)
        if self._ends(run):
            runs = [EvaluatorRun.from_entry(ran) for ran in entry["evaluator_runs"]]
            self._collector.add_result(packed(result), result.evaluations, runs, 0.0)


class _Asked(Calls):
    """Evaluators that are asked side by side, from position `first` on; their answers are there once it is awaited."""

    __slots__ = ("answers", "first", "functions", "spans", "values")

    def __init__(
        self,
        open_calls: Sequence[Call],
        functions: list[UserFunction],
        first: int,
        values: dict[str, Any],
        spans: list[Span],
        answers: list[Call],
    ) -> None:
        """`open_calls` are those of the `answers` that are not there yet."""
        self.calls = open_calls
        self.functions = functions
        self.first = first
        self.values = values
        self.spans = spans
        self.answers = answers


class _OneRun:
    """One item on its way through `ItemRuns.run`."""

    __slots__ = (
        "attempts",
        "context",
        "dataset_run_id",
        "elsewhere",
        "evaluations",
        "evaluator_runs",
        "failures",
        "index",
        "item",
        "key",
        "last",
        "number",
        "repetition",
        "seconds",
        "task_end_ns",
        "trace",
    )

    def __init__(self, work: Work, trace: ItemTrace) -> None:
        self.index = work.index
        self.repetition = work.repetition
        self.item = work.item
        self.trace = trace
        self.key, self.number = "", work.index  # what the checkpoint knows the item by, if it does
        self.context: Context | None = None  # of the user's code: the base context with the item span as current
        self.dataset_run_id: str | None = None
        self.elsewhere: ItemCall | None = None  # the last call of its task, if that leaves this process
        self.attempts = 0
        self.last: Failure | None = None  # of an attempt that another one follows
        self.seconds = 0.0
        self.task_end_ns = 0
        # What its evaluators say; few are asked at a time, of all items that are under way.
        self.evaluations: Sequence[Evaluation] = ()
        self.evaluator_runs: Sequence[EvaluatorRun] = ()
        self.failures: Sequence[EvaluatorFailure] = ()
