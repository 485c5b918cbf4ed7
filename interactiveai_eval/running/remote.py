"""Runs plain functions on an executor that the user brought: threads, processes, or a cluster behind the same face.

In this process a call keeps its context. Elsewhere only the function and its arguments travel: there is no client and
no current span there, and spans that the function opens with a client of its own are that client's.
"""
from __future__ import annotations

import time
from _thread import allocate_lock

from ..errors import ArgumentError, error_text, short_repr, traceback_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .calls import UserFunction
    from .engine import Call


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


class RemoteLane:
    """Calls on `executor`, a `concurrent.futures.Executor`.

    Nobody tells when a worker takes up a call, so workers are counted: with a pool of four, the first four calls that
    have not ended are under way, and the others wait. A call that is given up makes room as one that ended does, so
    that a pool whose workers all hang still lets every call come to its timeout.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._shares_memory = any(kind.__name__ == "ThreadPoolExecutor" for kind in type(executor).__mro__)
        workers = getattr(executor, "_max_workers", None)
        self._workers: int | None = workers if isinstance(workers, int) and workers > 0 else None  # None: unknown
        self._futures: dict[int, Any] = {}
        self._lock = allocate_lock()
        self._in_order = allocate_lock()  # the executor gets calls in the order in which workers are counted for them
        self._started: Callable[[Call], None] | None = None
        self._under_way: set[int] = set()
        self._waiting: dict[int, Call] = {}

    def check(self, functions: Sequence[UserFunction]) -> None:
        """Raise ArgumentError unless the executor can carry these functions to where it runs them."""
        if self._shares_memory:
            return
        for function in functions:
            if function.is_coroutine:
                continue
            try:
                self._executor.submit(_arrived, function.function).result()
            except Exception as error:
                raise ArgumentError(
                    "executor",
                    self._executor,
                    f"cannot carry {function.name} to its workers ({type(error).__name__}: {short_repr(str(error))}); "
                    "define it at the top level of an importable module",
                ) from error

    def begin(
        self,
        call: Call,
        started: Callable[[Call], None],
        done: Callable[[Call, Any, BaseException | None, float], None],
    ) -> None:
        """Start a call; `done(call, value, error, seconds)` is called once, on any thread.

        `started(call)` is called before that, as soon as a worker is free for the call, if that can be told.
        """
        submitted = time.perf_counter()

        def finished(future: Any) -> None:
            try:
                value, error, seconds = future.result()
            except BaseException as raised:  # the worker died, the executor was shut down, the call was cancelled
                value, error, seconds = None, raised, time.perf_counter() - submitted
            if type(error) is RemoteError and "builtins.KeyboardInterrupt" in error.type_names:
                error = KeyboardInterrupt(str(error))  # it stops a run from wherever it comes
            call.start_ns = time.time_ns() - int(seconds * 1e9)
            done(call, value, error, seconds)
            self._gone(call)

        if self._workers is None:  # perhaps one that calls here and now: its calls must not wait for each other
            future = self._submitted(call, started)
        else:
            with self._in_order:
                future = self._submitted(call, started)
        if isinstance(future, BaseException):
            done(call, None, future, 0.0)
            self._gone(call)
            return
        self._futures[id(call)] = future
        future.add_done_callback(finished)

    def _submitted(self, call: Call, started: Callable[[Call], None]) -> Any:
        """The future of a call, or the error of an executor that takes none."""
        with self._lock:
            has_worker = self._workers is None or len(self._under_way) < self._workers
            self._started = started
            if has_worker:
                self._under_way.add(id(call))
            else:
                self._waiting[id(call)] = call
        if has_worker:
            call.start_ns = time.time_ns()
            started(call)
        try:
            if self._shares_memory:
                return self._executor.submit(_called_here, call)
            return self._executor.submit(call_elsewhere, call.function, call.arguments, call.keywords)
        except BaseException as error:  # broken or closed; RuntimeError in most cases
            return error

    def cancel(self, call: Call) -> None:
        """Withdraw a call that has not begun; one that runs is left to finish alone."""
        future = self._futures.get(id(call))
        if future is not None:
            future.cancel()
        self._gone(call)

    def _gone(self, call: Call) -> None:
        """Give the worker of a call that has ended, however, to the one that has waited longest."""
        following = None
        with self._lock:
            self._futures.pop(id(call), None)
            self._waiting.pop(id(call), None)
            if id(call) in self._under_way:
                self._under_way.remove(id(call))
                if self._waiting:
                    following = self._waiting.pop(next(iter(self._waiting)))
                    self._under_way.add(id(following))
        if following is not None and self._started is not None:
            following.start_ns = time.time_ns()
            self._started(following)


def _arrived(function: Any) -> bool:
    return callable(function)


def _called_here(call: Call) -> tuple[Any, BaseException | None, float]:
    started = time.perf_counter()
    try:
        value = call.context.run(call.function, *call.arguments, **call.keywords)
        if hasattr(type(value), "gi_code"):
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
        if hasattr(type(value), "gi_code"):
            value = list(value)
    except BaseException as error:
        names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
        remote = RemoteError(type(error).__name__, error_text(error), traceback_text(error), names)
        return None, remote, time.perf_counter() - started
    return value, None, time.perf_counter() - started
