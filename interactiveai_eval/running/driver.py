"""How the owner of a run waits for it, and how a run is stopped: by its own rules, by a signal, from outside.

What is stopped ends in a result: items under way end as cancelled, what waits is delivered in bounded time, and the
exception that ended the run carries the result. Whoever asks a second time is let go at once, with what there is.
"""
from __future__ import annotations

from _thread import allocate_lock

from .._contexts import copy_context
from .._log import warn
from ..errors import RunStopped, is_a, short_repr, type_name
from ..tally import undelivered_text
from .engine import Engine
from .loops import LOOK_SECONDS, CallersLoop, OwnLoop, run_to_end, running_loop
from .stops import Signals
from .threads import LEAVE_SECONDS as THREADS_SECONDS
from .threads import Threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Protocol

    from .._clock import Clock
    from ..model import DeliveryReport
    from .engine import Elsewhere, Flow
    from .loops import Lane
    from .outbox import Outbox
    from .schedule import Schedule

    class Story(Protocol):
        """A run as this module sees it."""

        driver: Driver

        def go(self) -> Coroutine[Any, Any, Any]:
            """The whole run: waits by its driver alone, and returns a result however it was stopped."""

        def outcome(self, result: Any) -> Any:
            """Return what `go` returned, or raise what ended the run early, with the result on it."""

    MakeStory = Callable[[Lane], Story]

# How long the delivery at the end of a run may take: normally, and when somebody waits for the process to end.
# Made-up figures.
FINAL_FLUSH_SECONDS = 60.0
HURRIED_FLUSH_SECONDS = 3.0
# What a time budget leaves for the end: this share of it, at most so many seconds.
BUDGET_RESERVE_SHARE = 0.1
BUDGET_RESERVE_SECONDS = 3.0
# How long a run that somebody waits for waits for what cannot be stopped: a hook or a request of an item.
HURRIED_SECONDS = 3.0
# How long items that were cancelled have to get into the result of a run that is left at once.
LAST_LOOK_SECONDS = 0.5
# How long a run in a helper thread has to come back after a second Ctrl-C.
LEAVE_SECONDS = 2.0


class Driver:
    """Threads, a lane and an outbox under one hand; `stopped` is what the run is to end in, None for its result.

    `hurried` tells that somebody waits for the run to end, `at_once` that nobody waits any more.
    """

    def __init__(self, lane: Lane, outbox: Outbox, *, threads: int, remote: Elsewhere | None = None) -> None:
        self.engine = Engine(Threads(threads), lane, remote=remote)
        self.clock: Clock = lane.clock
        self.began = self.clock.monotonic()
        self.stopped: BaseException | None = None
        self.hurried = False
        self.at_once = False
        self._outbox = outbox
        self.engine.threads.is_held_back = outbox.is_holding_back
        self._schedule: Schedule | None = None
        self._cut_off = False
        self._impatient = False
        self._latest: float | None = None  # when all is to be over by the time budget
        self._patience_ends: float | None = None
        self._delivery_ends = float("inf")
        self._patient_until: float | None = None  # set once the run is hurried

    # -- stopping --------------------------------------------------------------------------------------------------

    def stop(self, error: BaseException | None) -> None:
        """End the run early, in `error` if there is one; from any thread. The first error counts, but for Ctrl-C."""
        if is_a(error, KeyboardInterrupt, SystemExit) and not self.hurried:
            self.hurried = True
            self.stopped = error
        elif self.stopped is None:
            self.stopped = error
        self._cut_off = True
        if self._schedule is not None:
            self._schedule.halt()
        self.engine.stop()
        self._outbox.hold_nobody_back()
        if self.hurried:
            if self._patient_until is None:
                self._patient_until = self.clock.monotonic() + HURRIED_SECONDS
                self.engine.alarm(self._patient_until, self._lose_patience)
            self._outbox.hurry(self.clock.monotonic() + (0.0 if self.at_once else HURRIED_FLUSH_SECONDS))

    def request_stop(self, error: BaseException) -> None:
        """Like `stop`, for signal handlers: takes no lock that the interrupted code may hold."""
        self.engine.begin_no_more()
        self.engine.request(lambda: self.stop(error))

    def request_leave(self, error: BaseException) -> bool:
        """Like `leave`, for signal handlers; False in a coroutine of the user's, which only an exception interrupts."""
        self.engine.request(lambda: self.leave(error))
        return not self.engine.lane.is_running

    def leave(self, error: BaseException) -> None:
        """Take what came out of waiting: cancelled from outside, or a second Ctrl-C. Who comes twice waits no more."""
        self.at_once = self.at_once or self.hurried or is_a(error, KeyboardInterrupt, SystemExit, GeneratorExit)
        self.hurried = True
        self.stop(error)
        self.stopped = error

    def set_time_budget(self, seconds: float | None) -> float | None:
        """Have the run cut off, without an error, so that all is over in `seconds` from its start; when it will be.

        What is kept back is half for what cannot be stopped (a request of an item, an errand), half for delivery; of
        that, a half again is for its threads to end, once no answer is waited for.
        """
        if seconds is None:
            return None
        deadline = self.began + seconds - min(BUDGET_RESERVE_SECONDS, seconds * BUDGET_RESERVE_SHARE)
        self._latest = self.began + seconds
        self.engine.alarm(deadline, lambda: self.stop(None))
        self._patience_ends = (deadline + self._latest) / 2
        self._delivery_ends = (self._patience_ends + self._latest) / 2
        self._outbox.hurry(self._delivery_ends)  # what is sent before the end, too, wants no answer after it
        self.engine.alarm(self._patience_ends, self._lose_patience)
        return deadline

    def patience_ends(self) -> float | None:
        """From when on no answer to an item's request is waited for, by the time budget; None without one."""
        return self._patience_ends

    # -- waiting ---------------------------------------------------------------------------------------------------

    async def wait_until(self, over: Callable[[], Any]) -> None:
        """Attend to the run until `over()`, or until it is left at once; whatever interrupts that stops the run."""
        while not over() and not self.at_once:
            try:
                await self.engine.attend()
            except BaseException as error:
                self.leave(error)

    async def let_through(self, schedule: Schedule) -> None:
        """Return when the work of `schedule` is done, or it is stopped and what was on its way has ended."""
        self._schedule = schedule
        if self._cut_off:  # before there was anything to halt
            schedule.halt()
        if self._impatient:
            schedule.give_up()
        schedule.start()
        await self.wait_until(schedule.is_over)
        if self.at_once:
            await self._last_look(schedule)
        schedule.leave()
        if schedule.defect is not None and self.stopped is None:
            self.stopped = schedule.defect  # ours, or user code that ends more than its item

    async def _last_look(self, schedule: Schedule) -> None:
        """Give what was cancelled a moment to get into the result; whoever interrupts that too ends it."""
        over: list[bool] = []
        self.engine.alarm(self.clock.monotonic() + LAST_LOOK_SECONDS, lambda: over.append(True))
        while not over and not schedule.is_over() and not is_a(self.stopped, GeneratorExit):
            try:
                await self.engine.attend()
            except BaseException as error:
                self.leave(error)
                return

    def _lose_patience(self) -> None:
        self._impatient = True
        if self._schedule is not None:
            self._schedule.give_up()

    async def flow(self, flow: Flow) -> None:
        """Return when one flow has ended, or patience with it has; raises its error."""
        ended: list[BaseException | None] = []

        def flow_ended(error: BaseException | None) -> None:
            ended.append(error)
            self.engine.lane.wake()

        self.engine.start(flow, flow_ended)
        await self.wait_until(lambda: ended or self._impatient)
        if ended and ended[0] is not None:
            raise ended[0]

    async def in_thread(self, function: Callable[[], Any], late: Callable[[Any], None] | None = None) -> Any:
        """The value of a function that may block, from a thread beside the pool, or what it raises.

        None when nobody waits any more: the run is hurried, or its time budget is over.

        A value that comes when nobody waits for it any more goes to `late`.
        """
        errand = _Errand(function, late, self.engine.lane.wake)
        self.engine.submit_aside(errand.run, None)
        await self.wait_until(lambda: errand.ended or self.hurried or self._impatient)
        if errand.give_up():
            self.engine.aside.abandon()
        if errand.error is not None:
            raise errand.error
        return errand.value

    async def deliver(self) -> DeliveryReport:
        """Deliver what is left, in bounded time, and close the outbox; what became of all, warning of what is lost."""
        report = await self._delivered()
        told = undelivered_text(report)
        if told is not None:
            warn(f"a run ended with {short_repr(told, 600)[1:-1]}; see result.delivery")
        return report

    async def _delivered(self) -> DeliveryReport:
        now = self.clock.monotonic()
        deadline = now + (HURRIED_FLUSH_SECONDS if self.hurried else FINAL_FLUSH_SECONDS)
        if self._latest is not None:
            deadline = min(deadline, self._latest)
        if self.hurried:  # counted from here: what ended the run may lie seconds back
            self._outbox.hurry(min(deadline, self._delivery_ends))
        if not self.at_once:
            errand = _Errand(lambda: self._outbox.close(deadline), None, self.engine.lane.wake)
            self.engine.submit_aside(errand.run, None)
            await self.wait_until(lambda: errand.ended)
            if errand.give_up():
                self.engine.aside.abandon()
            if errand.error is not None:
                raise errand.error
            if errand.value is not None:
                report: DeliveryReport = errand.value
                return report
        return self._outbox.close(self.clock.monotonic())

    async def close(self) -> None:
        """Let go of threads and loop. What stops the run even now is heard, and raises nothing here."""
        for threads in (self.engine.threads, self.engine.aside):
            try:
                threads.close(self._closing_seconds())
            except BaseException as error:
                self.leave(error)
        try:
            await self.engine.lane.close(patient=not is_a(self.stopped, GeneratorExit))
        except BaseException as error:
            self.leave(error)
        self.engine.hear()


    def _closing_seconds(self) -> float:
        """How long threads that are still in something may be waited for."""
        if self.at_once or self._impatient:
            return 0.0
        if self._latest is None:
            return THREADS_SECONDS
        return min(THREADS_SECONDS, max(0.0, self._latest - self.clock.monotonic()))


class _Errand:
    """One function on a pool thread, and who waits for it."""

    def __init__(
        self, function: Callable[[], Any], late: Callable[[Any], None] | None, wake: Callable[[], None]
    ) -> None:
        self._function = function
        self._late = late
        self._wake = wake
        self._lock = allocate_lock()
        self._begun = False
        self._given_up = False
        self.ended = False
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self, _: Any) -> bool | None:
        """The job; True when it was given up while it ran."""
        with self._lock:
            if self._given_up:
                return None
            self._begun = True
        value, problem = None, None
        try:
            value = self._function()
        except BaseException as error:
            problem = error
        with self._lock:
            self.ended = True
            if not self._given_up:
                self.value, self.error = value, problem
                self._wake()
                return None
        if self._late is not None and problem is None:
            self._late(value)
        return True

    def give_up(self) -> bool:
        """Wait no more; whether a thread is still in it."""
        with self._lock:
            self._given_up = not self.ended
            return self._begun and not self.ended


# -- the three ways to run -----------------------------------------------------------------------------------------


def run_here(make: MakeStory, clock: Clock) -> Any:
    """Run a story in the calling thread; inside a running loop, in a helper thread that is waited for."""
    if running_loop() is not None:
        return _run_beside_loop(make, clock)
    story = make(OwnLoop(clock))
    driver = story.driver
    with Signals(driver.request_stop, interrupts=True, on_again=driver.request_leave):
        result = run_to_end(_through(story))
    return _outcome(story, result)


async def run_on_loop(make: MakeStory, clock: Clock) -> Any:
    """Run a story from a coroutine: its coroutines share the caller's loop, which is never blocked."""
    story = make(CallersLoop(clock))
    with Signals(story.driver.request_stop, interrupts=False):
        result = await _through(story)
    return _outcome(story, result)


def _run_beside_loop(make: MakeStory, clock: Clock) -> Any:
    """The plain form inside a running loop (a notebook): the loop waits, context and exceptions come along."""
    from threading import Event, Thread

    story = make(OwnLoop(clock))
    driver = story.driver
    ended = Event()
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.extend((run_to_end(_through(story)), None))
        except BaseException as error:
            outcome.extend((None, error))
        finally:
            ended.set()

    thread = Thread(target=copy_context().run, args=(work,), name="interactiveai_eval-run", daemon=True)
    with Signals(driver.request_stop, interrupts=True):  # before the thread runs, which may be stopped at once
        try:
            thread.start()
        except RuntimeError:  # no threads, as on wasm: plain functions need none, and the loop waits as it does anyway
            outcome.extend((run_to_end(_through(story)), None))
            ended.set()
        try:
            while not ended.wait(LOOK_SECONDS):
                pass  # a signal may have come meanwhile
        except BaseException as error:
            driver.engine.request(lambda leaving=error: driver.leave(leaving))  # type: ignore[misc]
            if not ended.wait(LEAVE_SECONDS):
                raise
    result, problem = outcome
    if problem is not None:
        raise problem
    return _outcome(story, result)


async def _through(story: Story) -> Any:
    try:
        return await story.go()
    finally:
        await story.driver.close()


def _outcome(story: Story, result: Any) -> Any:
    story.driver.engine.hear()  # a signal may have come after the last look, before the handlers went
    return story.outcome(result)


def with_result(stopped: BaseException, result: Any) -> BaseException:
    """The exception to raise for a run that ended in `stopped`: that one with `result` on it, if it can be."""
    if not is_a(stopped, StopIteration):  # which a coroutine cannot raise
        try:
            stopped.result = result  # type: ignore[attr-defined]
            if stopped.result is result:  # type: ignore[attr-defined]
                return stopped
        except BaseException as refusal:  # a class of the user's that takes no attributes, however it says so
            if is_a(refusal, KeyboardInterrupt):  # asked again: nobody waits
                raise
    text = f"the run ended in {type_name(stopped)}"
    problem: Any = RunStopped(text, result=result)
    if is_a(stopped, KeyboardInterrupt):
        problem = KeyboardInterrupt(text)
        problem.result = result
    problem.__cause__ = stopped
    return problem  # type: ignore[no-any-return]
