"""Errors of user code as texts: type, message, traceback. Bounded, and total on exceptions that fail themselves."""
from __future__ import annotations

from ..errors import error_text, type_name
from .engine import RETURNED, TIMED_OUT
from .remote import RemoteError, users_traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Call

MESSAGE_LIMIT = 10_000


class Failure:
    """What is kept of an error: no exception object, so no frames and no locals stay alive."""

    __slots__ = ("error_type", "message", "traceback")

    def __init__(self, error_type: str, message: str, traceback: str = "") -> None:
        self.error_type = error_type
        self.message = message
        self.traceback = traceback


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception of user code amounts to; our own frames are left out of its traceback."""
    message = error_text(error)[:MESSAGE_LIMIT]
    if type(error) is RemoteError:
        return Failure(error.error_type, message, error.traceback)
    return Failure(type_name(error), message, users_traceback(error))


def timeout_failure(what: str, call: Call) -> Failure:
    """The failure of a call that took too long, or that an executor had no worker for."""
    if never_began(call):
        return Failure("NoWorkerFree", f"no worker was free: {what} was not called, as all workers are in other calls")
    return Failure("TimeoutError", f"{what} did not finish within {call.timeout_seconds:g} s")


def overran(call: Call) -> bool:
    """Whether a call took too long: it was given up, or it held the loop that gives calls up."""
    if call.ending != RETURNED or call.timeout_seconds is None:
        return call.ending == TIMED_OUT
    return call.error is None and call.seconds > call.timeout_seconds


def never_began(call: Call) -> bool:
    """Whether a call that was given up only waited for a worker of the executor."""
    return not call.start_ns and not call.is_coroutine


def cancelled_failure(what: str, last: Failure | None = None) -> Failure:
    """The failure of a call that was ended because the run stops; `last` is that of the attempt before, if any."""
    message = f"the run stopped before {what} finished"
    if last is None:
        return Failure("Cancelled", message)
    told = f"{message}; its last attempt failed with {last.error_type}: {last.message}"
    return Failure("Cancelled", told[:MESSAGE_LIMIT], last.traceback)
