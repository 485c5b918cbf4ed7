"""Runs flows: small coroutines of ours that say what happens to one item, call after call.

A flow awaits a `Call` of a user function, several `Calls`, or a `Pause`. Between two awaits it runs on a thread of the
pool, never on an event loop; plain functions run on the pool too, and what is awaitable runs on the lane's loop. No
event loop drives a flow: whoever ends its last open call hands it back to the pool. That keeps asyncio out of runs that
need none, and makes an item with plain functions one uninterrupted stretch of work on one thread.
"""
from __future__ import annotations

from _thread import RLock, allocate_lock
from collections import deque
from contextlib import suppress
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import repeat

from ..errors import is_a, type_name
from .loops import Lane
from .threads import Threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
    from contextvars import Context
    from typing import Any, Protocol

    Flow = Coroutine["Call | Calls | Pause", None, None]

    class Elsewhere(Protocol):
        """Where plain functions run if not on the pool; `remote.RemoteLane` is one."""

        def begin(
            self,
            call: Call,
            end_within: Callable[[Call, float | None], None],
            done: Callable[[Call, Any, BaseException | None, float], None],
        ) -> None:
            """Start a call; `done(call, value, error, seconds)` is called once, on any thread.

            Until then `end_within(call, seconds)` may say when to give it up, again and again (None: not).
            """

        def cancel(self, call: Call) -> None:
            """Nobody waits for this call any more."""

# How a call ended: its function returned or raised, or somebody ended it without waiting for that.
RETURNED = "returned"
TIMED_OUT = "timed out"
CANCELLED = "cancelled"

# For one page that is fetched, one checkpoint that is written and one errand of the run's own, each of which may hang.
ASIDE_THREADS = 3
# A made-up figure: how many alarms are set before the cancelled ones among them are thrown out.
ALARMS_SWEPT_EVERY = 1024


class Call:
    """One call of a user function, and what became of it. Awaiting it runs it.

    After it was awaited, `ending` is RETURNED (with `value` or `error`), TIMED_OUT or CANCELLED. `start_ns` is
    wall-clock time (0: never started), `seconds` how long the function ran.
    """

    __slots__ = (
        "_alarm",
        "_flow",
        "_task",
        "arguments",
        "context",
        "ending",
        "error",
        "function",
        "is_coroutine",
        "keywords",
        "seconds",
        "start_ns",
        "stays_here",
        "timeout_seconds",
        "value",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        context: Context,
        is_coroutine: bool,
        timeout_seconds: float | None = None,
        *,
        stays_here: bool = False,
    ) -> None:
        """`stays_here` keeps a plain function on the pool where there is an executor."""
        self.function = function
        self.arguments = arguments
        self.keywords = keywords
        self.context = context
        self.is_coroutine = is_coroutine
        self.timeout_seconds = timeout_seconds
        self.stays_here = stays_here
        self.value: Any = None
        self.error: BaseException | None = None
        self.ending: str | None = None
        self.start_ns = 0
        self.seconds = 0.0
        self._flow: _RunningFlow | None = None
        self._task: Any = None
        self._alarm: Alarm | None = None

    def __await__(self) -> Generator[Call, None, None]:
        return repeat(self, 1)  # type: ignore[return-value]  # what a generator would do, at a quarter of its cost


class Alarm:
    """Something to do at a time; `cancel` it when it has lost its point, so that it holds nothing alive."""

    __slots__ = ("action", "deadline", "number")

    def __init__(self, deadline: float, number: int, action: Callable[[], None]) -> None:
        self.deadline = deadline
        self.number = number
        self.action: Callable[[], None] | None = action

    def __lt__(self, other: Alarm) -> bool:
        return (self.deadline, self.number) < (other.deadline, other.number)

    def cancel(self) -> None:
        """Make sure that nothing happens."""
        self.action = None


class Calls:
    """Calls that run side by side when this is awaited; afterwards each has its outcome."""

    __slots__ = ("calls",)

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls

    def __await__(self) -> Generator[Calls, None, None]:
        return repeat(self, 1 if self.calls else 0)  # type: ignore[return-value]


class Pause:
    """Awaiting it lets `seconds` of the clock pass without holding a thread; cut short when the run stops."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator[Pause, None, None]:
        if self.seconds > 0:
            yield self


class _RunningFlow:
    """A flow on its way: what it waits for, and how many calls of that are open."""

    __slots__ = ("awaited", "coroutine", "ended", "open")

    def __init__(self, coroutine: Flow, ended: Callable[[BaseException | None], None]) -> None:
        self.coroutine = coroutine
        self.ended = ended
        self.awaited: Call | Calls | None = None
        self.open = 0


class Engine:
    """Flows, threads, a lane for coroutines and alarms, together; its owner calls `attend` until it is done."""

    def __init__(self, threads: Threads, lane: Lane, *, remote: Elsewhere | None = None) -> None:
        self.threads = threads
        # For what is done beside the items and waits for a server or a disk: it holds up none of them, takes none of
        # the threads that plain functions were promised, and what it reads, large and of short life, leaves its traces
        # in the memory of few threads.
        self.aside = Threads(ASIDE_THREADS, watches=False)
        self.lane = lane
        self.clock = lane.clock
        threads.remind = lane.remind
        threads.call_owner = self.aside.call_owner = lane.wake
        # Have `function(argument)` called on a pool thread; see `Threads.submit`.
        self.submit: Callable[[Callable[[Any], bool | None], Any], None] = threads.submit
        self._remote = remote
        self._flows: set[_RunningFlow] = set()
        self._alarms: list[Alarm] = []
        self._alarms_set = 0
        self._requests: deque[Callable[[], None]] = deque()
        self._lock = allocate_lock()
        # Under it exactly one ending of each call counts. One for all flows, as it is held for a few steps only; and to
        # be taken twice, as the collector of garbage may come in between and end a coroutine that nobody waits for.
        self._endings = RLock()
        self.stopping = False  # whether `stop` was called, or is about to be
        # Bound once: each place in a queue would hold one more object.
        self._go_on, lane.begin = self._advance, self._begin

    def start(
        self, coroutine: Flow, ended: Callable[[BaseException | None], None], *, aside: bool = False
    ) -> None:
        """Run a flow; `ended(error)` is called on a pool thread when it is over (an error is a defect of ours).

        `aside`: it begins on a thread beside the pool; see `submit_aside`.
        """
        flow = _RunningFlow(coroutine, ended)
        self._flows.add(flow)  # as every step of a set's, in one step
        (self.submit_aside if aside else self.submit)(self._go_on, flow)

    def submit_aside(self, function: Callable[[Any], bool | None], argument: Any) -> None:
        """Have `function(argument)` called on a thread beside the pool, for what is no function of an item."""
        self.aside.submit(function, argument)
        if self.aside.is_closed:
            self.aside.run_next()  # nobody is left there, while one of the pool that is no longer waited for goes on

    def alarm(self, deadline: float, action: Callable[[], None]) -> Alarm:
        """Have `action()`, which does not block or raise, called on the owner's thread once `deadline` is reached."""
        with self._lock:
            self._alarms_set += 1
            alarm = Alarm(deadline, self._alarms_set, action)
            if self._alarms_set % ALARMS_SWEPT_EVERY == 0:
                self._alarms = [waiting for waiting in self._alarms if waiting.action is not None]
                heapify(self._alarms)
            heappush(self._alarms, alarm)
            first = self._alarms[0] is alarm
        if first:
            self.lane.wake()
        return alarm

    def request(self, action: Callable[[], None]) -> None:
        """Have `action()` called on the owner's thread soon. Takes no lock of ours: made for signal handlers."""
        self._requests.append(action)
        self.lane.wake()

    def hear(self) -> None:
        """Do what was requested."""
        while self._requests:
            self._requests.popleft()()

    async def attend(self) -> None:
        """Do what was requested, fire the alarms that are due, else wait for a `wake` or for the next alarm."""
        if self._requests:
            self.hear()
        for threads in (self.threads, self.aside):
            if threads.inline and threads.run_next():
                self.lane.wake()  # there may be more, but first what was requested and what is due
        due = []
        with self._lock:
            now = self.clock.monotonic()
            while self._alarms and (self._alarms[0].deadline <= now or self._alarms[0].action is None):
                due.append(heappop(self._alarms))
            deadline = self._alarms[0].deadline if self._alarms else None
        for alarm in due:
            if alarm.action is not None:
                alarm.action()
        if not due:
            await self.lane.wait(deadline)

    def begin_no_more(self) -> None:
        """Have no call begun from here on, without ending any: takes no lock, and `stop` is to follow.

        The loop's thread, which is to hear of a stop, may be held by a coroutine that blocks, with many more posted.
        """
        self.stopping = True

    def stop(self) -> None:
        """End every open call as CANCELLED, now and from now on; threads in user code are left to finish alone."""
        self.stopping = True  # what starts from here on sees it: see `_advance`
        for flow in list(self._flows):
            with self._endings:
                awaited = flow.awaited
            for call in _calls_of(awaited):
                self._end_early(call, CANCELLED)

    # -- driving a flow: on pool threads ---------------------------------------------------------------------------

    def _advance(self, flow: _RunningFlow) -> bool | None:
        """Run a flow until it waits for somebody else; True when this thread was abandoned on the way."""
        while True:
            flow.awaited = None
            try:
                awaited = flow.coroutine.send(None)
            except StopIteration:
                self._finish(flow, None)
                return None
            except BaseException as error:
                self._finish(flow, error)
                return None
            if isinstance(awaited, Call):
                calls: Sequence[Call] = (awaited,)
            elif isinstance(awaited, Calls):
                calls = awaited.calls
            else:
                self._pause(flow, awaited.seconds)
                return None
            with self._endings:  # `stop` looks at the calls under it: either it ends them, or they are not begun
                flow.awaited = awaited
                flow.open = len(calls)
                stopping = self.stopping
                for call in calls:
                    call._flow = flow
                    if stopping:
                        call.ending = CANCELLED
            if stopping:
                continue
            mine = self._hand_out(calls)
            verdict = None if mine is None else self._run_plain(mine)
            if verdict is not flow:
                return verdict  # type: ignore[return-value]

    def _hand_out(self, calls: Sequence[Call]) -> Call | None:
        """Start all calls but one plain one, which the calling thread takes itself."""
        mine, has_posted = None, False
        for call in calls:
            if call.is_coroutine:
                self.lane.post_call(call)
                has_posted = True
            elif self._remote is not None and not call.stays_here:
                self._remote.begin(call, self._end_within, self._end_and_advance)
            elif mine is None:
                mine = call
            else:
                self.submit(self._run_plain_and_advance, call)
        # While more jobs wait, they may have coroutines to begin as well; each switch of threads costs as much as an
        # item. Asked after the post: who stops watching looks at what was posted afterwards.
        if has_posted and not self.threads.is_watched:
            self.lane.remind()
        return mine

    def _set_timeout(self, call: Call) -> None:
        """Have the call ended when it has run for too long; what it waited for a thread before does not count."""
        assert call.timeout_seconds is not None
        if call._alarm is None and call.ending is None:
            call._alarm = self.alarm(
                self.clock.monotonic() + call.timeout_seconds, partial(self._end_early, call, TIMED_OUT)
            )

    def _end_within(self, call: Call, seconds: float | None) -> None:
        """Have the call ended as TIMED_OUT so many seconds from now, whatever was said of it before; None: never."""
        if call._alarm is not None:
            call._alarm.cancel()
            call._alarm = None
        if seconds is not None and call.ending is None:
            call._alarm = self.alarm(self.clock.monotonic() + seconds, partial(self._end_early, call, TIMED_OUT))

    def _run_plain(self, call: Call) -> _RunningFlow | bool | None:
        """Run a plain function here. Its flow when that may go on on this thread, else what a job returns."""
        flow = call._flow
        assert flow is not None
        if self.stopping:
            self._end_early(call, CANCELLED)
        clock = self.clock
        with self._endings:
            if call.ending is not None:
                return None  # ended while it waited in the queue
            call.start_ns = clock.time_ns()
        if call.timeout_seconds is not None:
            self._set_timeout(call)
        started = clock.monotonic()
        try:
            value = call.context.run(call.function, *call.arguments, **call.keywords)
            if id(type(value)) not in _known_values:
                if _is_awaitable(value):
                    return self._hand_over(call, value, clock.monotonic() - started)
                if type_has(value, "gi_code"):
                    value = call.context.run(list, value)
        except BaseException as error:
            return self._ended(call, None, error, clock.monotonic() - started)
        return self._ended(call, value, None, clock.monotonic() - started)

    def _hand_over(self, call: Call, awaitable: Any, seconds: float) -> bool | None:
        """A plain function has returned something awaitable: the loop takes over the call."""
        flow = call._flow
        assert flow is not None
        with self._endings:
            call.seconds = seconds
            call.is_coroutine = True
            too_late = call.ending is not None
        self.lane.post(self._begin_awaiting, (call, awaitable))
        return too_late

    def _run_plain_and_advance(self, call: Call) -> bool | None:
        verdict = self._run_plain(call)
        return self._advance(verdict) if type(verdict) is _RunningFlow else verdict  # type: ignore[return-value]

    def _ended(
        self, call: Call, value: Any, error: BaseException | None, seconds: float
    ) -> _RunningFlow | bool | None:
        """Note how a call ended. Its flow when it was the last open one of that; True when it had ended early."""
        flow = call._flow
        if flow is None:
            return True
        with self._endings:
            if call.ending is not None:
                return True
            call.ending = RETURNED
            call.value, call.error = value, error
            call.seconds += seconds
            call._flow = None  # without a cycle, all of an item is freed as it ends
            flow.open -= 1
            last = not flow.open
        if call._alarm is not None:
            call._alarm.cancel()
        return flow if last else None

    def _end_and_advance(self, call: Call, value: Any, error: BaseException | None, seconds: float) -> None:
        """The same from outside the pool: the flow goes on on a pool thread."""
        if error is None and not call.is_coroutine and id(type(value)) not in _known_values and _is_awaitable(value):
            self._hand_over(call, value, seconds)  # an executor's function returned something awaitable
        else:
            flow = self._ended(call, value, error, seconds)
            if type(flow) is _RunningFlow:
                self.submit(self._go_on, flow)

    def _end_early(self, call: Call, ending: str) -> None:
        """End an open call without waiting for its function."""
        flow = call._flow
        if flow is None:
            return
        with self._endings:
            if call.ending is not None:
                return
            call.ending = ending
            flow.open -= 1
            last = not flow.open
            on_loop, on_thread = call.is_coroutine, call.start_ns > 0
        if on_loop:
            self.lane.post(_cancel_task, call)
        elif self._remote is not None and not call.stays_here:
            self._remote.cancel(call)
        elif on_thread:
            self.threads.abandon()
        if last:
            self.submit(self._go_on, flow)

    def _pause(self, flow: _RunningFlow, seconds: float) -> None:
        # A pause is a call that nobody runs: time ends it, or `stop` does.
        call = Call(_nothing, (), {}, context=None, is_coroutine=False)  # type: ignore[arg-type]
        call._flow = flow
        flow.awaited, flow.open = call, 1
        if self.stopping:
            self._end_early(call, CANCELLED)
        else:
            call._alarm = self.alarm(self.clock.monotonic() + seconds, partial(self._end_early, call, TIMED_OUT))

    def _finish(self, flow: _RunningFlow, error: BaseException | None) -> None:
        self._flows.discard(flow)
        ended = flow.ended
        del flow.ended, flow.coroutine
        ended(error)

    # -- awaitables: on the loop's thread --------------------------------------------------------------------------

    def _begin_awaiting(self, posted: tuple[Call, Any]) -> None:
        self._begin(*posted)

    def _begin(self, call: Call, awaitable: Any = None) -> None:
        """Begin a call, or go on with what it has come to that is awaitable."""
        if self.stopping:
            self._end_early(call, CANCELLED)
        if call.ending is not None:
            if awaitable is not None and hasattr(awaitable, "close"):
                awaitable.close()
            return
        if call.timeout_seconds is not None:
            self._set_timeout(call)
        running = self._await(call, awaitable)
        try:
            if self.lane.start_at_once is not None:
                call._task = self.lane.start_at_once(running, call.context)
            else:
                call._task = self.lane.start(running, call.context)
                call._task.add_done_callback(partial(self._task_ended, call, running, awaitable))
        except BaseException as error:
            self._take_back(call, running, awaitable, error)
            if not is_a(error, Exception):
                raise

    def _take_back(self, call: Call, running: Any, awaitable: Any, error: BaseException) -> None:
        """End a call that got no task: a signal came first, or the caller's loop refused to make one."""
        if self.stopping:
            self._end_early(call, CANCELLED)
        self._end_and_advance(call, None, error, 0.0)
        # A task whose first step was to be made at once makes none by itself.
        is_left = self.lane.start_at_once is not None and running.cr_await is None
        if is_left or not self.lane.has_task_of(running):
            running.close()
            if type(awaitable) is _Coroutine:
                awaitable.close()

    def _task_ended(self, call: Call, running: Any, awaitable: Any, task: Any) -> None:
        """See to it that a call ends with its task: one that was cancelled before its first step has run nothing, and
        one that a factory of the caller's loop made may have kept `running` from it."""
        if type(awaitable) is _Coroutine:
            awaitable.close()  # it may not have begun
        if call.ending is not None:
            return
        running.close()
        self.lane.ended(task)
        error: BaseException | None = None
        if not task.cancelled():
            error = task.exception() or RuntimeError("the loop's task ended before it had run the coroutine")
        if error is None:
            from asyncio import CancelledError

            error = CancelledError()
        # Whoever cancels all tasks of a loop, as `asyncio.run` does at Ctrl-C, cancels the run, too, which goes first.
        self.lane.post(self._end_failed, (call, error))

    def _end_failed(self, ended: tuple[Call, BaseException]) -> None:
        call, error = ended
        self._end_and_advance(call, None, error, 0.0)

    async def _await(self, call: Call, awaitable: Any) -> None:
        """Run one awaitable to its end; never raises, so that no error of the user's reaches the loop."""
        started = self.clock.monotonic()
        value: Any = awaitable
        error: BaseException | None = None
        try:
            if self.stopping:
                raise KeyboardInterrupt  # it ends below, as what a signal interrupts does
            if not call.start_ns:
                call.start_ns = self.clock.time_ns()
            started = self.clock.monotonic()  # its turn on the loop may have been long in coming
            if awaitable is None:
                value = call.function(*call.arguments, **call.keywords)
            if type(value) is _Coroutine:
                value = await value
            while id(type(value)) not in _known_values and _is_awaitable(value):
                # What streams can be read only once, but many functions want it: it becomes a list.
                value = [item async for item in value] if type_has(value, "ag_code") else await value
        except BaseException as raised:
            error = raised
            if type(awaitable) is _Coroutine:
                awaitable.close()  # it may not have begun
            if type_name(raised) == "CancelledError" and call.ending is None:
                # Whoever cancels all tasks of a loop, as `asyncio.run` does at Ctrl-C, cancels the run, too. That one
                # goes first and ends this call, which then is no failure of the user's function.
                with suppress(BaseException):
                    await _HERE
            if self.stopping and is_a(raised, KeyboardInterrupt, SystemExit):
                self._end_early(call, CANCELLED)  # what a second signal raised here was meant for the run
        if call._task is not None:
            self.lane.ended(call._task)
        self._end_and_advance(call, value, error, self.clock.monotonic() - started)


# Types whose values are what they are: nothing to await, nothing to read out. Evaluations and the user's own classes
# join as they are met, by id, since some cannot be hashed; the bound keeps a program that makes classes on the fly from
# filling it.
_known_values: dict[int, type] = {id(kind): kind for kind in (str, int, float, bool, type(None), dict, list, tuple)}
_KNOWN_MOST = 500


class _Here:
    """Awaiting it suspends once, for whoever drives the coroutine by hand."""

    def __await__(self) -> Generator[None, None, None]:
        yield


_HERE = _Here()


async def _nothing_awaited() -> None:
    return None


_sample: Any = _nothing_awaited()
_Coroutine = type(_sample)
_sample.close()


def _calls_of(awaited: Call | Calls | None) -> Sequence[Call]:
    """The calls that a flow waits for."""
    if awaited is None:
        return ()
    return awaited.calls if isinstance(awaited, Calls) else (awaited,)


def _cancel_task(call: Call) -> None:
    if call._task is not None:
        call._task.cancel()


def _nothing() -> None:
    return None


def _is_awaitable(value: Any) -> bool:
    """Whether only a loop can get at what `value` stands for: awaitables and async generators."""
    if type_has(value, "__await__") or type_has(value, "ag_code"):
        return True
    if type_has(value, "gi_code"):
        return bool(value.gi_code.co_flags & 0x100)  # a generator marked by types.coroutine
    if len(_known_values) < _KNOWN_MOST:
        _known_values[id(type(value))] = type(value)
    return False


def type_has(value: Any, name: str) -> bool:
    """Whether the type of `value` has an attribute, by all that its metaclass lets us see; never raises."""
    try:
        return hasattr(type(value), name)
    except BaseException:
        return False
