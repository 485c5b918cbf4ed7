"""Runs plain functions on an executor that the user brought: threads, processes, or a cluster behind the same face.

In this process a call keeps its context. Elsewhere only the function and its arguments travel: there is no client and
no current span there, and spans that the function opens with a client of its own are that client's.
"""
from __future__ import annotations

import time
from _thread import allocate_lock

from ..errors import ArgumentError, error_text, short_repr, traceback_without, type_name
from .engine import TIMED_OUT, type_has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from .calls import UserFunction
    from .engine import Call


# How long an executor has to show that a function arrives at its workers. A made-up figure: longer than processes need
# to start, and short for a pool whose workers all hang since an earlier run.
CHECK_SECONDS = 30.0
_OURS = __name__.rpartition(".")[0].rpartition(".")[0]


class RemoteError(Exception):
    """An error that was raised in another process: its type and traceback as texts, since the object cannot travel.

    `type_names` are the names of its class and of that class's bases, with their modules.
    """

    def __init__(self, error_type: str, message: str, traceback: str, type_names: Sequence[str]) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.traceback = traceback
        self.type_names = tuple(type_names)

    def __reduce__(self) -> Any:
        return RemoteError, (self.error_type, str(self), self.traceback, self.type_names)


def shares_memory(executor: Any) -> bool:
    """Whether calls on `executor` run in this process, as far as its class tells."""
    names = {kind.__name__ for kind in type(executor).__mro__}
    return "ThreadPoolExecutor" in names and "InterpreterPoolExecutor" not in names  # whose threads share nothing


class RemoteLane:
    """Calls on `executor`, a `concurrent.futures.Executor`.

    Nobody tells when a worker takes up a call, so workers are counted: with a pool of four, the first four calls that
    have not ended are under way, and the others wait. A call that is given up keeps its worker until it really ends:
    who waits behind it is not under way. Once every worker is in a call that overran its timeout, those that wait are
    given one timeout more to get one.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._shares_memory = shares_memory(executor)
        workers = getattr(executor, "_max_workers", None)
        if workers is None:
            workers = getattr(executor, "num_workers", None)  # as mpi4py calls it
        self._workers: int | None = workers if isinstance(workers, int) and workers > 0 else None  # None: unknown
        self._lock = allocate_lock()
        self._in_order = allocate_lock()  # the executor gets calls in the order in which workers are counted for them
        self._end_within: Callable[[Call, float | None], None] | None = None
        self._futures: dict[Call, Any] = {}
        self._under_way: set[Call] = set()
        self._waiting: dict[Call, None] = {}
        self._overrun: set[Call] = set()  # those under way that timed out: how long they keep their workers is unknown

    @property
    def workers(self) -> int | None:
        """How many calls the executor runs at once; None if it does not tell."""
        return self._workers

    def check(self, functions: Sequence[UserFunction], *, coroutines: bool = False) -> None:
        """Raise ArgumentError unless the executor can carry these functions to where it runs them.

        `coroutines` tells whether coroutine functions go there too.
        """
        if self._shares_memory:
            return
        for function in functions:
            if function.is_coroutine and not coroutines:
                continue
            asked = None
            try:
                asked = self._executor.submit(_arrived, function.function)
                asked.result(CHECK_SECONDS)
            except Exception as error:
                if asked is not None and not asked.done():
                    asked.cancel()
                    return  # nobody was free to answer: the calls will find out for themselves
                raise ArgumentError(
                    "executor",
                    self._executor,
                    f"cannot carry {function.name} to its workers "
                    f"({type_name(error)}: {short_repr(error_text(error))}); define it at the top level of an "
                    "importable module, or use loky or dask, which carry it",
                ) from error

    def begin(
        self,
        call: Call,
        end_within: Callable[[Call, float | None], None],
        done: Callable[[Call, Any, BaseException | None, float], None],
    ) -> None:
        """Start a call; see `engine.Elsewhere.begin`. Its `start_ns` stays 0 until a worker is counted for it."""
        submitted = time.perf_counter()

        def finished(future: Any) -> None:
            try:
                value, error, seconds = future.result()
            except BaseException as raised:  # the worker died, the executor was shut down, the call was cancelled
                value, error, seconds = None, raised, time.perf_counter() - submitted
            if type(error) is RemoteError and "builtins.KeyboardInterrupt" in error.type_names:
                error = KeyboardInterrupt(str(error))  # it stops a run from wherever it comes
            if call.ending is None:
                call.start_ns = time.time_ns() - int(seconds * 1e9)
            done(call, value, error, seconds)
            self._gone(call)

        self._end_within = end_within
        if self._workers is None:  # perhaps one that calls here and now: its calls must not wait for each other
            future = self._submitted(call)
        else:
            with self._in_order:
                future = self._submitted(call)
        if future is None or isinstance(future, BaseException):
            done(call, None, future, 0.0)
            self._gone(call)
            return
        with self._lock:
            self._futures[call] = future
        future.add_done_callback(finished)
        if call.ending is not None:  # given up while `submit` had not returned
            self.cancel(call)

    def _submitted(self, call: Call) -> Any:
        """The future of a call, None if it was given up, or the error of an executor that takes none."""
        with self._lock:
            if call.ending is not None:
                return None
            if self._workers is None or len(self._under_way) < self._workers:
                self._get_under_way(call)
            else:
                self._waiting[call] = None
                self._bound_waiting((call,))
        try:
            if self._shares_memory:
                return self._executor.submit(_called_here, call)
            return self._executor.submit(call_elsewhere, call.function, call.arguments, call.keywords)
        except BaseException as error:  # broken or closed; RuntimeError in most cases
            return error

    def _get_under_way(self, call: Call) -> None:
        """Count a worker for a call, whose time begins; the lock is held."""
        self._under_way.add(call)
        if call.ending == TIMED_OUT:  # and could not be taken out of the executor's queue any more
            self._overrun.add(call)
        elif call.ending is None and self._end_within is not None:
            call.start_ns = time.time_ns()
            self._end_within(call, call.timeout_seconds)

    def _bound_waiting(self, calls: Iterable[Call]) -> None:
        """Let calls wait no longer than one timeout if all workers are in overrun calls; the lock is held."""
        if len(self._overrun) == self._workers and self._end_within is not None:
            longest = max(call.timeout_seconds or 0.0 for call in self._overrun)
            for call in calls:
                self._end_within(call, call.timeout_seconds or longest)

    def cancel(self, call: Call) -> None:
        """Withdraw a call that has not begun; one that runs is left to finish alone, and has its worker until then."""
        with self._lock:
            future = self._futures.get(call)
        if future is None:
            return  # it has ended meanwhile, or is being submitted: `begin` looks afterwards
        if future.cancel():
            call.start_ns = 0  # it was counted as under way, but somebody else's call has the worker
            return
        with self._lock:
            if call in self._under_way and call.ending == TIMED_OUT:
                self._overrun.add(call)
                self._bound_waiting(self._waiting)

    def _gone(self, call: Call) -> None:
        """Give the worker of a call that has really ended to the one that has waited longest."""
        with self._lock:
            self._futures.pop(call, None)
            self._waiting.pop(call, None)
            if call not in self._under_way:
                return
            was_stuck = len(self._overrun) == self._workers
            self._under_way.remove(call)
            self._overrun.discard(call)
            if was_stuck and self._end_within is not None:
                for waiting in self._waiting:
                    self._end_within(waiting, None)
            if self._waiting:
                following = next(iter(self._waiting))
                del self._waiting[following]
                self._get_under_way(following)
                self._bound_waiting(self._waiting)


def _arrived(function: Any) -> bool:
    return callable(function)


def _called_here(call: Call) -> tuple[Any, BaseException | None, float]:
    started = time.perf_counter()
    try:
        value = call.context.run(call.function, *call.arguments, **call.keywords)
        if type_has(value, "gi_code"):
            value = call.context.run(list, value)
    except BaseException as error:
        return None, error, time.perf_counter() - started
    return value, None, time.perf_counter() - started


def call_elsewhere(
    function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[Any, BaseException | None, float]:
    """One call in another process: (value, error, seconds). Must stay importable by name: it travels by reference."""
    started = time.perf_counter()
    try:
        value = function(*arguments, **keywords)
        if type_has(value, "gi_code"):
            value = list(value)
    except BaseException as error:
        return None, remote_error(error), time.perf_counter() - started
    return value, None, time.perf_counter() - started


def remote_error(error: BaseException) -> RemoteError:
    """What travels of an error."""
    try:
        names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
    except Exception:
        # A metaclass of the user's does not tell.
        names = []
    return RemoteError(type_name(error), error_text(error), users_traceback(error), names)


def users_traceback(error: BaseException) -> str:
    """The traceback of an error as text, without our own frames before the first of the user's."""
    return traceback_without(error, _OURS)
