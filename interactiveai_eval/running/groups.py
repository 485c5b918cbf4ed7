"""Sends items to the processes behind an executor, several at a time, and takes back what became of them."""
from __future__ import annotations

from _thread import allocate_lock
from collections import deque

from .._contexts import copy_context
from ..errors import is_a, type_name
from .calls import UserFunction
from .elsewhere import Instructions, Outcome, run_group
from .engine import CANCELLED, RETURNED, TIMED_OUT, Call
from .remote import RemoteError, RemoteLane

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ..tracing.spans import Span
    from .batch_plan import BatchPlan
    from .elsewhere import Order
    from .engine import Engine
    from .plan import Plan
    from .recording import ItemTrace

    EndWithin = Callable[[Call, "float | None"], None]
    Done = Callable[[Call, Any, "BaseException | None", float], None]

# How long a group should take, so that the 0.1 to 2.5 ms that an engine costs a task do not count. A made-up figure.
GROUP_SECONDS = 0.05
# Groups on their way for each worker, so that none waits for the next; and for how many workers where nobody tells.
GROUPS_A_WORKER = 2
WORKERS_UNKNOWN = 8
# What a group is given beyond the timeouts of its calls, which are kept where they run: for processes that are still
# starting, and for calls that hold the interpreter there. A made-up figure.
GRACE_SECONDS = 10.0


class ItemCall(Call):
    """An item that is run elsewhere; it stands for the call of its task or mapper, and `rest` has what judged it."""

    __slots__ = ("order", "rest", "trace")

    def __init__(self, order: Order, trace: ItemTrace | None, timeout_seconds: float | None) -> None:
        super().__init__(
            run_group, (), {}, context=copy_context(), is_coroutine=False, timeout_seconds=timeout_seconds
        )
        self.order = order
        self.trace = trace
        self.rest: list[Outcome] | None = None

    def answer(self, calls: Sequence[Call], spans: Sequence[Span] = ()) -> None:
        """Fill in the next calls, which nobody has made here, and their spans, if there are any."""
        assert self.rest is not None
        for place, call in enumerate(calls):
            if not self.rest:
                call.ending = CANCELLED
                continue
            outcome = self.rest.pop(0)
            call.ending, call.value, call.error = RETURNED, outcome.value, error_of(outcome)
            call.start_ns, call.seconds = outcome.start_ns, outcome.seconds
            if self.trace is not None:
                take_over(outcome, self.trace, spans[place])


class GroupLane:
    """Items on `executor`, whose workers share no memory with us. A group runs one item after the other.

    A group that its engine loses (a worker died, the future was cancelled, something in it cannot be pickled) is run
    once more, item by item; an item that is lost again is a failure with the engine's error.
    """

    def __init__(self, plan: Plan | BatchPlan, instructions: Instructions) -> None:
        self._remote = RemoteLane(plan.executor)
        self._instructions = instructions
        self._size_given = plan.executor_group
        self._limit = plan.max_concurrency
        self._judges = len(plan.evaluators) + (plan.composite is not None)
        self._lock = allocate_lock()
        self._waiting: deque[ItemCall] = deque()
        self._groups = 0  # on their way
        self._item_seconds: float | None = None
        self._done: Done | None = None
        self._end_within: EndWithin | None = None
        self.engine: Engine | None = None  # set before the first call

    def check(self, functions: Sequence[UserFunction]) -> None:
        """Raise ArgumentError unless the executor can carry these functions, and the mask, to where it runs them."""
        mask = self._instructions.mask
        masks = [] if mask is None else [UserFunction(mask, "the mask", (), ())]
        self._remote.check([*functions, *masks], coroutines=True)

    def call(self, values: Mapping[str, Any], trace: ItemTrace | None) -> ItemCall:
        """The call that runs an item elsewhere, evaluators included; `values` are what there is to give them."""
        order: Order = values, None, ()
        if trace is not None:
            span_ids = [trace.span_id, *map(trace.evaluator_span_id, range(self._judges))]
            order = values, trace.trace_id, span_ids
        return ItemCall(order, trace, self._instructions.task_timeout_seconds)

    def begin(self, call: Call, end_within: EndWithin, done: Done) -> None:
        """See `engine.Elsewhere.begin`: items wait for their group here, groups go to the executor."""
        if type(call) is not ItemCall:
            self._remote.begin(call, end_within, done)
            return
        with self._lock:
            self._end_within, self._done = end_within, done
            self._waiting.append(call)
        self._pump()

    def cancel(self, call: Call) -> None:
        """Nobody waits for this call any more."""
        if type(call) is not ItemCall:
            self._remote.cancel(call)
            return
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)

    def _pump(self) -> None:
        """Put those that wait on their way, as far as workers are there for them."""
        while True:
            with self._lock:
                size = self._size()
                workers = self._remote.workers
                most = workers * GROUPS_A_WORKER if workers else max(WORKERS_UNKNOWN, self._limit // size)
                if not self._waiting or self._groups >= most:
                    return
                group = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
                self._groups += 1
            assert self.engine is not None
            self.engine.start(self._carry(group), self._carried)

    def _size(self) -> int:
        """How many items travel together: as measured, but so few that there are groups for all workers."""
        if self._size_given is not None:
            return self._size_given
        if self._item_seconds is None:
            return 1
        fair = max(1, self._limit // ((self._remote.workers or WORKERS_UNKNOWN) * GROUPS_A_WORKER))
        return max(1, min(fair, int(GROUP_SECONDS / max(self._item_seconds, 1e-9))))

    def _carried(self, error: BaseException | None) -> None:
        with self._lock:
            self._groups -= 1
        self._pump()

    async def _carry(self, group: list[ItemCall]) -> None:
        """The flow of a group: whatever happens, all its calls end."""
        try:
            carrier = await self._sent(group)
            if carrier.ending == RETURNED and _is_worth_another(carrier.error, len(group)):
                for call in group:
                    self._take(await self._sent([call]), [call])
            else:
                self._take(carrier, group)
        except BaseException as error:  # an executor that gives back something else than it was given
            assert self._done is not None
            for call in group:
                self._done(call, None, error, 0.0)
            raise

    async def _sent(self, group: list[ItemCall]) -> Call:
        limit = self._instructions.seconds_for_one()
        carrier = Call(
            run_group,
            (self._instructions, [call.order for call in group]),
            {},
            context=group[0].context,
            is_coroutine=False,
            timeout_seconds=None if limit is None else limit * len(group) + GRACE_SECONDS,
        )
        await carrier
        return carrier

    def _take(self, carrier: Call, group: list[ItemCall]) -> None:
        """Tell the items of a group what became of them."""
        assert self._done is not None and self._end_within is not None
        if carrier.ending == RETURNED and carrier.error is None:
            seconds = carrier.seconds / len(group)
            known = self._item_seconds
            self._item_seconds = seconds if known is None else 0.8 * known + 0.2 * seconds
            for call, answer in zip(group, carrier.value):
                first, *call.rest = answer
                if call.ending is not None:
                    continue  # the run was stopped meanwhile
                call.start_ns = first.start_ns
                if call.trace is not None:
                    take_over(first, call.trace, call.trace.span)
                self._done(call, first.value, error_of(first), first.seconds)
            return
        for call in group:
            if carrier.ending == TIMED_OUT:
                call.start_ns = carrier.start_ns
                self._end_within(call, 0.0)
            elif carrier.ending == RETURNED:
                call.start_ns = carrier.start_ns
                self._done(call, None, carrier.error, 0.0)


def error_of(outcome: Outcome) -> BaseException | None:
    """The error of a call elsewhere; an interrupt stops a run from wherever it comes."""
    error = outcome.error
    if type(error) is RemoteError and "builtins.KeyboardInterrupt" in error.type_names:
        return KeyboardInterrupt(str(error))
    return error


def _is_worth_another(error: BaseException | None, items: int) -> bool:
    """Whether a group that ended in `error` is run again: not an item alone that cannot travel there or back."""
    if error is None or is_a(error, KeyboardInterrupt):
        return False
    return items > 1 or type_name(error) not in ("PicklingError", "TypeError", "AttributeError")


def take_over(outcome: Outcome, trace: ItemTrace, span: Span) -> None:
    """Record here what was recorded there: changes to the call's own span, spans below it, scores."""
    name, attributes, events, error_message = outcome.changes
    if name is not None:
        span.name = name
    span.attributes.update(attributes)
    span.events = [*span.events, *events]
    if error_message is not None:
        span.error_message = error_message
    shared = b"".join([each.encoded for each in trace.span.inherited])
    carried = [(id, encoded + shared if nested else encoded) for id, encoded, nested in outcome.spans]
    trace.carried = [*trace.carried, *carried]
    for body in outcome.scores:
        trace.add_score(body)
    for score_id, reason in outcome.skipped:
        trace.skip_score(score_id, reason)
