"""Where coroutines run: on the caller's own event loop, or on one that is made in the caller's thread when needed.

asyncio is imported only when something awaitable shows up: it is the dearest import of the standard library, and
some hardened Pythons cannot import it at all.
"""
from __future__ import annotations

import sys
from collections import deque
from threading import Condition

from .threads import Threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor, Future
    from typing import Any

    from .._clock import Clock

# How long the run waits for coroutines that it has cancelled.
GRACE_SECONDS = 1.0
# The longest that a thread waits in one go. A signal that comes between a thread's last look and its wait, or that the
# system hands to another thread, does not end the wait: Python runs its handler when the main thread wakes up.
LOOK_SECONDS = 0.25


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if any; never imports asyncio, never raises."""
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


class Lane:
    """What both lanes offer: `post` from any thread runs a function on the loop, `wake` ends the owner's `wait`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.loop: asyncio.AbstractEventLoop | None = None
        self.begin: Callable[[Any], None]  # what is done with a call; whoever posts some sets it
        self._inbox: deque[Any] = deque()  # calls to begin, and (function, argument) of what else is to be done
        self._tasks: set[asyncio.Task[Any]] = set()
        self._posted = False  # the owner has been called and has not looked yet: calling again would be waste
        self._woken = False
        self.expects_coroutines = False  # whether some will come: a loop can be made meanwhile
        self.serves_source = False  # whether the data comes by the loop, too: it has its turn between two coroutines
        # Like `start`, with the first step made by now; None if it was the last. Not there on every lane.
        self.start_at_once: Callable[[Any, Any], asyncio.Task[Any] | None] | None = None
        clock.watch(self.wake)

    def post(self, function: Callable[[Any], None], argument: Any) -> None:
        """Have `function(argument)` called on the loop's thread, soon and in order; it must not raise."""
        self._inbox.append((function, argument))
        self.remind()

    def post_call(self, call: Any) -> None:
        """Have `begin(call)` called like a function of `post`; the loop's thread is called with the next `remind`."""
        self._inbox.append(call)

    def remind(self) -> None:
        """Call the loop's thread if anything waits for it."""
        if self._inbox and not self._posted:
            self._posted = True
            self._call_owner()

    def wake(self) -> None:
        """End the owner's current or next `wait`; from any thread and from signal handlers."""
        self._woken = True
        self._posted = True
        self._call_owner()

    async def wait(self, deadline: float | None) -> None:
        """Return after a `wake`, or when the clock reaches `deadline`; spurious returns are allowed."""
        raise TypeError

    @property
    def is_running(self) -> bool:
        """Whether the owner's thread runs the loop right now, and perhaps a coroutine of the user's."""
        return False

    async def close(self, *, patient: bool = True) -> None:
        """Cancel the lane's tasks and wait a moment for them, unless nobody is `patient`; let go of the loop."""
        raise TypeError

    def start(self, coroutine: Any, context: Any) -> asyncio.Task[Any]:
        """A task of this lane for `coroutine`, with `context` as its context; on the loop's thread only."""
        assert self.loop is not None
        task: asyncio.Task[Any] = context.run(self.loop.create_task, coroutine)
        self._tasks.add(task)
        return task

    def has_task_of(self, coroutine: Any) -> bool:
        """Whether the loop has a task for it, also where `start` was kept from giving that back."""
        import asyncio

        return any(task.get_coro() is coroutine for task in asyncio.all_tasks(self.loop))

    def ended(self, task: asyncio.Task[Any]) -> None:
        """Forget a task of `start`; called by its coroutine at its very end, which is cheaper than a callback."""
        self._tasks.discard(task)

    def _call_owner(self) -> None:
        """Make the owner's thread call `_answer` soon."""
        raise TypeError

    def _end_wait(self) -> None:
        """Make `wait` return; on the owner's thread."""
        raise TypeError

    def _answer(self) -> None:
        self._posted = False  # falls before the inbox is read, so that nothing posted from now on is overlooked
        inbox = self._inbox
        while inbox:
            posted = inbox.popleft()
            if type(posted) is tuple:
                function, argument = posted
                function(argument)
            else:
                self.begin(posted)
        if self._woken:
            self._end_wait()

    async def _let_go(self) -> None:
        """Cancel what still runs and give it a moment; what ignores that is left behind."""
        await _cancelled(self._tasks)


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> Iterable[Any]:
    """Cancel tasks and give them a moment; those that ignore it come back."""
    import asyncio

    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    return (await asyncio.wait(tasks, timeout=GRACE_SECONDS))[1] if tasks else ()


class CallersLoop(Lane):
    """The lane of the awaitable forms: coroutines run beside the caller's own on the loop that runs already."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.loop = running_loop()
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self, deadline: float | None) -> None:
        assert self.loop is not None
        if not self._woken:
            self._waiter = self.loop.create_future()
            timer = None
            if deadline is not None:
                timer = self.loop.call_later(self.clock.seconds_until(deadline), self._end_wait)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        self._woken = False

    async def close(self, *, patient: bool = True) -> None:
        self.clock.unwatch(self.wake)
        if patient:
            await self._let_go()
        else:
            for task in list(self._tasks):
                task.cancel()

    def _call_owner(self) -> None:
        assert self.loop is not None
        try:
            self.loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            self._inbox.clear()  # the loop was closed under us: its owner has left, nobody waits any more

    def _end_wait(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class OwnLoop(Lane):
    """The lane of the plain forms: the calling thread waits, and runs a loop of its own once there is a coroutine.

    `wait` never suspends, so a coroutine that awaits nothing else can be driven by `run_to_end`.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._condition = Condition()
        self._in_loop = False
        self._helpers: list[Executor] = []  # of the loop, for `asyncio.to_thread`, once that is asked for

    async def wait(self, deadline: float | None) -> None:
        while not self._woken:
            self._posted = False
            if self.loop is None and (self._inbox or self.expects_coroutines):
                self.loop = _new_loop()
                self.start_at_once = None if self.serves_source else _beginner(self.loop, self._tasks)
                _lend_helpers(self.loop, self._helpers)
            if deadline is not None and self.clock.monotonic() >= deadline:
                break
            if self.loop is not None:
                self._run_loop(deadline)
                continue
            with self._condition:
                if not self._woken and not self._inbox:
                    self._condition.wait(self._seconds(deadline))
        self._posted = self._woken = False

    async def close(self, *, patient: bool = True) -> None:
        self.clock.unwatch(self.wake)
        loop = self.loop
        if loop is None:
            return
        try:
            closing = loop.create_task(self._let_go())
            while not closing.done():
                try:
                    loop.run_until_complete(closing)
                except SystemExit as error:
                    _leave_to_its_task(error)
            for helpers in self._helpers:
                helpers.shutdown()
        finally:
            self.loop = None
            loop.close()

    async def _let_go(self) -> None:
        """The same, and all that user code has left on this loop, which is ours alone: tasks and async generators."""
        import asyncio

        assert self.loop is not None
        for task in await _cancelled(asyncio.all_tasks() - {asyncio.current_task()}):
            # It ends with its loop, and is a failure in the result: asyncio need not say so on stderr as well.
            task._log_destroy_pending = False
        await asyncio.wait([asyncio.ensure_future(self.loop.shutdown_asyncgens())], timeout=GRACE_SECONDS)

    def _run_loop(self, deadline: float | None) -> None:
        """Run the loop until `wake` or until `deadline`."""
        loop = self.loop
        assert loop is not None
        with self._condition:
            self._in_loop = True
        loop.call_soon(self._answer)
        timer = loop.call_later(self._seconds(deadline), loop.stop)
        try:
            loop.run_forever()
        except SystemExit as error:
            _leave_to_its_task(error)
        finally:
            with self._condition:
                self._in_loop = False
            timer.cancel()

    @property
    def is_running(self) -> bool:
        return self._in_loop

    def _seconds(self, deadline: float | None) -> float:
        """How long to wait now, in real seconds."""
        return LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, self.clock.seconds_until(deadline))

    def _call_owner(self) -> None:
        with self._condition:
            if self._in_loop and self.loop is not None:
                self.loop.call_soon_threadsafe(self._answer)
            else:
                self._condition.notify_all()

    def _end_wait(self) -> None:
        if self._in_loop and self.loop is not None:  # not while `close` runs it: that has an end of its own
            self.loop.stop()


def _leave_to_its_task(error: SystemExit) -> None:
    """Raise what came out of a loop unless a coroutine raised it, whose task has it for those that await it.

    asyncio ends the loop for that as well. What a signal handler raised is meant for the run, wherever it came up.
    """
    import signal

    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    their_code = {getattr(getattr(handler, "__func__", handler), "__code__", None) for handler in handlers}
    is_of_a_task, trace = False, error.__traceback__
    while trace is not None:
        code, trace = trace.tb_frame.f_code, trace.tb_next
        is_of_a_task = is_of_a_task or bool(code.co_flags & 0x80)  # async def
        if code in their_code:
            raise error
    if not is_of_a_task:
        raise error


def run_to_end(coroutine: Any) -> Any:
    """The value of a coroutine whose awaits never suspend (see `OwnLoop.wait`)."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a plain form awaited something that suspends")


def _lend_helpers(loop: asyncio.AbstractEventLoop, lent: list[Executor]) -> None:
    """Have `_set_helpers` called as soon as a loop asks for threads of its own, and what comes of it put into `lent`.

    Few runs do, and what it loads takes as long as the start of a run.
    """
    run_in_executor = loop.run_in_executor

    def run_in_helpers(executor: Any, function: Any, *arguments: Any) -> Any:
        if executor is None and not lent and vars(loop)["_default_executor"] is None:
            lent.append(_set_helpers(loop))
        return run_in_executor(executor, function, *arguments)

    try:
        vars(loop)["_default_executor"]
        loop.run_in_executor = run_in_helpers  # type: ignore[assignment, method-assign]
    except Exception:  # a loop that is none of asyncio's own, and refuses in a way of its own
        lent.append(_set_helpers(loop))


def _set_helpers(loop: asyncio.AbstractEventLoop) -> Executor:
    """Give a loop threads for `asyncio.to_thread` that hold nobody back: daemons, waited for no longer than a moment.

    asyncio's own would keep the run, and then the interpreter, until the last function has returned.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    class Helpers(ThreadPoolExecutor):  # asyncio insists on this type
        def __init__(self) -> None:
            super().__init__()
            self._threads_of_ours = Threads(self._max_workers)
            self._over = False

        def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
            if self._over:
                raise RuntimeError("the run whose loop this is has ended")
            future: Future[Any] = Future()
            self._threads_of_ours.submit(_fulfil, (future, function, arguments, keywords))
            if self._threads_of_ours.inline:  # no threads in this Python: here and now
                self._threads_of_ours.run_next()
            return future

        def shutdown(self, wait: bool = True, **_: Any) -> None:
            self._over = True
            self._threads_of_ours.close(GRACE_SECONDS if wait else 0.0)

    helpers = Helpers()
    loop.set_default_executor(helpers)
    return helpers


def _fulfil(job: tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]) -> None:
    future, function, arguments, keywords = job
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = function(*arguments, **keywords)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(value)


def _new_loop() -> asyncio.AbstractEventLoop:
    from ..errors import FeatureUnavailable

    try:
        import asyncio
    except ImportError as error:
        raise FeatureUnavailable("running coroutines", error.name or "asyncio") from None
    if running_loop() is not None:
        feature = "a plain run with coroutines inside a running loop (await the form that ends in _async instead)"
        raise FeatureUnavailable(feature, "_thread")
    return asyncio.new_event_loop()


def _beginner(
    loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]
) -> Callable[[Any, Any], asyncio.Task[Any] | None] | None:
    """What `Lane.start_at_once` is on a loop of ours, if it can be. Tasks that go on are put into `tasks`.

    Most functions end in their first step, and a turn of the loop costs more than all else that a task does. Python
    makes it at once from 3.12 on; in older ones it is what a new task asks its loop to do soon, if that is written in
    Python.
    """
    from asyncio import BaseEventLoop, Task

    made: Any = Task
    is_eager, takes_context = sys.version_info >= (3, 12), sys.version_info >= (3, 11)
    if not is_eager:
        if not issubclass(type(loop), BaseEventLoop):
            return None
        try:
            loop.call_soon = loop.call_soon  # type: ignore[method-assign]
            del loop.call_soon
        except Exception:  # a loop that lets nothing be put in place of its own
            return None
    asked: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = []

    def ask(callback: Callable[..., Any], *arguments: Any, context: Any = None) -> None:
        asked.append((callback, arguments, context))

    def start_at_once(coroutine: Any, context: Any) -> asyncio.Task[Any] | None:
        task: asyncio.Task[Any]
        if is_eager:
            task = made(coroutine, loop=loop, context=context, eager_start=True)
        else:
            try:
                loop.call_soon = ask  # type: ignore[assignment, method-assign]
                if takes_context:
                    task = made(coroutine, loop=loop, context=context)
                else:
                    task = context.run(made, coroutine, loop=loop)
                del loop.call_soon
            except BaseException:  # a signal, at any step: without its own method the loop would never end
                vars(loop).pop("call_soon", None)
                raise
            for callback, arguments, around in asked:
                if getattr(callback, "__self__", None) is task:
                    step, within = callback, around
                else:  # of a finalizer that the collector of garbage ran meanwhile
                    loop.call_soon(callback, *arguments, context=around)
            asked.clear()
            within.run(step)
        if task.done():
            return None
        tasks.add(task)
        return task

    return start_at_once
