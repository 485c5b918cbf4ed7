"""Checks of single arguments: each returns the value in the form that is used, or raises ArgumentError."""
from __future__ import annotations

import os
import sys

from ..errors import ArgumentError, error_text, short_repr, type_name
from .calls import is_coroutine_function, takes_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def known(function: str, arguments: Mapping[str, Any], required: Sequence[str], defaults: Mapping[str, Any]) -> Any:
    """The arguments with the defaults of those that are not given. Raises TypeError as a call by keyword would."""
    unknown = [name for name in arguments if name not in defaults and name not in required]
    missing = [name for name in required if name not in arguments]
    if unknown or missing:
        problem = f"no argument {unknown[0]!r}" if unknown else f"a missing argument: {missing[0]!r}"
        raise TypeError(f"{function} has {problem}")
    return {**defaults, **arguments}


def text(argument: str, value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ArgumentError(argument, value, "must be a text that is not empty")
    return value


def optional_text(argument: str, value: Any) -> str | None:
    """A text; None when it is empty or None."""
    if value is not None and not isinstance(value, str):
        raise ArgumentError(argument, value, "must be a text or None")
    return value or None


def optional_id(argument: str, value: Any) -> str | None:
    """A text that is not empty, or None."""
    return None if value is None else text(argument, value)


def mapping(argument: str, value: Any) -> dict[str, Any]:
    """A copy of a dict whose keys are texts; empty for None."""
    if value is None:
        return {}
    try:
        pairs = [(str(key), member) for key, member in dict(value).items()]
    except Exception:
        pairs = [("", None)] * 2  # no mapping, or one that fails itself: refused below
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ArgumentError(argument, value, "must be a dict whose keys are distinct texts")
    return found


def whole_number(argument: str, value: Any, *, least: int) -> int:
    """A whole number of at least `least`; True and False are none."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__") or value < least:
        raise ArgumentError(argument, value, f"must be a whole number of at least {least}")
    return int(value)


def positive_number(argument: str, value: Any) -> float | None:
    """A finite number above 0, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
        raise ArgumentError(argument, value, "must be a number above 0, or None")
    return float(value)


def time_budget(value: Any) -> float | None:
    """Seconds, from a number of them or from a function that says how many milliseconds are left; or None.

    The function is asked once, now. Where nothing is left the run ends at once, with its token, instead of failing.
    """
    if not callable(value):
        return positive_number("time_budget", value)
    try:
        left = value()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        problem = f"{type_name(error)}: {error_text(error)}"
        fix = f"is called without arguments for the milliseconds left; it raised {problem}"
        raise ArgumentError("time_budget", value, fix) from error
    if isinstance(left, bool) or not isinstance(left, (int, float)) or not abs(left) <= sys.float_info.max:
        fix = f"must be seconds, or a function that gives milliseconds; it gave {short_repr(left)}"
        raise ArgumentError("time_budget", value, fix)
    return max(float(left), 0.001) / 1000.0


def path(argument: str, value: Any) -> str | None:
    """A path as text, or None."""
    if value is None:
        return None
    try:
        found = os.fspath(value)
    except TypeError:
        raise ArgumentError(argument, value, "must be a path") from None
    if not isinstance(found, str) or not found:
        raise ArgumentError(argument, value, "must be a path as text")
    if "\0" in found:
        raise ArgumentError(argument, value, "must be a path; no system has names with a NUL character")
    return found


def executor(value: Any) -> Any:
    """A `concurrent.futures.Executor`, or what has its `submit`; or None."""
    if value is not None and not callable(getattr(value, "submit", None)):
        raise ArgumentError("executor", value, "must be a concurrent.futures.Executor")
    return value


def shard(value: Any) -> tuple[int, int] | None:
    """(k, n) with 0 <= k < n, or None."""
    if value is None:
        return None
    whole = isinstance(value, (tuple, list)) and len(value) == 2 and all(type(part) is int for part in value)
    if not whole or not 0 <= value[0] < value[1]:
        raise ArgumentError("shard", value, "must be (k, n): the k-th (from 0) of n parts")
    return value[0], value[1]


def flag(argument: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(argument, value, "must be True or False")
    return value


def progress_hook(argument: str, value: Any) -> Any:
    """True, False, or a plain function of one `ProgressDetails`."""
    if isinstance(value, bool):
        return value
    if not callable(value):
        raise ArgumentError(argument, value, "must be True, False or a function of one details object")
    return hook(argument, value, "one details object")


def hook(argument: str, value: Any, takes: str, *, count: int = 1) -> Any:
    """A plain function of what `takes` says, `count` arguments, or None.

    What is async is refused: nobody would await it. Where only the first call shows that, it raises ArgumentError.
    """
    if value is None:
        return None
    if not callable(value):
        raise ArgumentError(argument, value, f"must be a function of {takes}")
    if not takes_arguments(value, count):
        raise ArgumentError(argument, value, f"is called with {takes}; write it so that it takes that by position")
    refusal = ArgumentError(argument, value, "must be a plain function: what is async would not be awaited")
    if is_coroutine_function(value):
        raise refusal

    def called(*details: Any) -> Any:
        answer = value(*details)
        kind = type(answer)
        if hasattr(kind, "__await__") or hasattr(kind, "ag_code") or hasattr(kind, "gi_code"):
            if hasattr(kind, "close"):
                answer.close()  # else Python says once more that it was never awaited
            raise refusal
        return answer

    return called
