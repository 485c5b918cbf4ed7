"""Every error that this package raises on purpose; nothing here imports anything of ours.

What the user's own code raises is not an error of ours: it becomes data in a result (see `model.py`).
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class EvalError(Exception):
    """The root of the tree: catch it to catch everything that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call the class with the text alone, which is not what our errors are made of.
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[EvalError], args: tuple[Any, ...]) -> EvalError:
    """An error from another process, or a copy: its fields follow."""
    return kind.__new__(kind, *args)


class ArgumentError(EvalError, ValueError):
    """An argument cannot be used; the message names it, its value and what to pass instead."""

    def __init__(self, argument: str, value: Any, fix: str) -> None:
        super().__init__(f"{argument}={short_repr(value)}: {fix}")
        self.argument = argument
        self.fix = fix


class ConfigError(EvalError, ValueError):
    """The client cannot be built from these arguments and this environment."""


class ClosedError(EvalError, RuntimeError):
    """The client or transport was closed before this call."""


class FeatureUnavailable(EvalError, RuntimeError):
    """This Python lacks a standard module that the feature needs."""

    def __init__(self, feature: str, module: str) -> None:
        super().__init__(f"{feature} needs the standard module {module!r}, which this Python lacks")
        self.feature = feature
        self.module = module


class DataError(EvalError, ValueError):
    """A data file or a saved result cannot be read; the message names the place in it and the reason."""


class CheckpointError(EvalError, ValueError):
    """A checkpoint file cannot be used for this run; the file is left as it was."""


class TransportError(EvalError):
    """No answer came. `retryable` tells whether the same request may succeed later."""

    def __init__(
        self, message: str, *, request: Any = None, retryable: bool = True, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.request = request
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds


class ReplayError(TransportError):
    """A recording cannot be read, or holds no answer to this request; the message names the file and the place."""

    def __init__(self, message: str, *, request: Any = None) -> None:
        super().__init__(message, request=request, retryable=False)


class StoreError(TransportError):
    """The embedded store cannot be opened, read or written; the message names its path."""


class ApiError(EvalError):
    """The server answered, and the answer is no (or is not what this endpoint answers).

    `status_code` is the HTTP status, `body` the decoded answer (JSON value or text), `retry_after_seconds` what the
    server asks to wait, if it does.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        body: Any = None,
        request: Any = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.body = body
        self.request = request
        self.retry_after_seconds = retry_after_seconds

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later: the server is busy or failing, or its answer was garbled."""
        status = self.status_code
        return status in (408, 409, 425, 429) or (status >= 500 and status not in (501, 505)) or status < 300


class UnauthorizedError(ApiError):
    """401: the keys are not accepted."""


class AccessDeniedError(ApiError):
    """403: the keys may not do this."""


class NotFoundError(ApiError):
    """404: there is no such thing on the server."""


class MethodNotAllowedError(ApiError):
    """405: the server does not offer this operation."""


class RunStopped(EvalError):
    """A run ended before its time; `result` is what it has until then."""

    def __init__(self, message: str, *, result: Any) -> None:
        super().__init__(message)
        self.result = result


class TooManyFailuresError(RunStopped):
    """`fail_on_error` was reached."""


class RegressionError(EvalError):
    """A run is not good enough: `result` of it, and which metric had which value against which threshold.

    `message` wins as the text, else metric and value make it, where both are known.
    """

    def __init__(
        self,
        *,
        result: Any,
        metric: str | None = None,
        value: float | None = None,
        threshold: float | None = None,
        message: str | None = None,
    ) -> None:
        if message is None:
            message = "Experiment regression detected"
            if metric is not None and value is not None:
                message = f"Regression of {metric}: {value}" + ("" if threshold is None else f", wanted {threshold}")
        super().__init__(message)
        self.message = message
        self.result = result
        self.metric = metric
        self.value = value
        self.threshold = threshold


_name_of_type = type.__dict__["__name__"].__get__
_traceback_of = BaseException.__dict__["__traceback__"].__get__


def type_name(value: Any) -> str:
    """The name of the type of `value`; never raises, as no metaclass is asked."""
    name: str = _name_of_type(type(value))
    return name


def is_a(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    """`isinstance` that never raises: it asks the type alone, `__class__` may be a property of the user's."""
    return issubclass(type(error), kinds)


def short_repr(value: Any, limit: int = 120) -> str:
    """`repr(value)` for a message: one line, at most `limit` characters, never raises."""
    try:
        text = repr(value)
    except BaseException:
        # The user's own __repr__ failed, whatever it raised; the type still names the culprit.
        text = f"<{type_name(value)}>"
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def error_text(error: BaseException) -> str:
    """The text of an exception; never raises."""
    try:
        return str.__str__(str(error))  # of a subclass of str, the text alone
    except BaseException:
        # The exception's own __str__ failed, whatever it raised; its type must do.
        return f"<{type_name(error)} whose text cannot be had>"


def traceback_text(error: BaseException, limit: int = 60) -> str:
    """The traceback of an exception as text, bounded; never raises."""
    import traceback

    trace = _traceback_of(error)
    try:
        return "".join(traceback.format_exception(type(error), error, trace, limit=-limit))[-20_000:]
    except BaseException:
        # The exception's own __str__ or __repr__ failed: its type and place are still worth telling.
        frames = "".join(traceback.format_tb(trace, limit=-limit))
        return f"Traceback (most recent call last):\n{frames}{type_name(error)}: <text cannot be had>"


def traceback_without(error: BaseException, package: str, limit: int = 60) -> str:
    """Like `traceback_text`, without the frames of `package` before the first that is not its own."""
    trace = _traceback_of(error)
    while trace is not None and _is_of(trace.tb_frame.f_globals.get("__name__"), package):
        trace = trace.tb_next
    return traceback_text(BaseException.with_traceback(error, trace), limit)


def _is_of(module: Any, package: str) -> bool:
    return type(module) is str and module.startswith(package + ".")
