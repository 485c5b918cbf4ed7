"""Runs plain functions on an executor that the user brought: threads, processes, or a cluster behind the same face.

In this process a call keeps its context. Elsewhere only the function and its arguments travel: there is no client and
no current span there, and spans that the function opens with a client of its own are that client's.
"""
from __future__ import annotations

import time

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
    """Calls on `executor`, a `concurrent.futures.Executor`."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._shares_memory = any(kind.__name__ == "ThreadPoolExecutor" for kind in type(executor).__mro__)
        self._futures: dict[int, Any] = {}

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

    def begin(self, call: Call, done: Callable[[Call, Any, BaseException | None, float], None]) -> None:
        """Start a call; `done(call, value, error, seconds)` is called once, on any thread."""
        call.start_ns = time.time_ns()
        started = time.perf_counter()

        def finished(future: Any) -> None:
            self._futures.pop(id(call), None)
            try:
                value, error, seconds = future.result()
            except BaseException as raised:  # the worker died, the executor was shut down, the call was cancelled
                value, error, seconds = None, raised, time.perf_counter() - started
            done(call, value, error, seconds)

        try:
            if self._shares_memory:
                future = self._executor.submit(_called_here, call)
            else:
                future = self._executor.submit(call_elsewhere, call.function, call.arguments, call.keywords)
        except BaseException as error:  # a broken or closed executor; RuntimeError in most cases
            done(call, None, error, 0.0)
            return
        self._futures[id(call)] = future
        future.add_done_callback(finished)

    def cancel(self, call: Call) -> None:
        """Withdraw a call that has not begun; one that runs is left to finish alone."""
        future = self._futures.pop(id(call), None)
        if future is not None:
            future.cancel()


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
