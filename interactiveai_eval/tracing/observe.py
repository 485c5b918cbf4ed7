"""`@observe`: every call of a function becomes a span, with its arguments as input and its result as output."""
from __future__ import annotations

import sys
from functools import wraps

from .._log import warn
from ..errors import ArgumentError, error_text, is_a, traceback_text, type_name
from .context import current, make_current, restore_current
from .spans import OBSERVATION_TYPES, CurrentSpan, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .spans import Tracer

# What a call may be told besides its own arguments; taken out before the function sees them.
_TRACE_ID = "interactiveai_trace_id"
_PARENT_ID = "interactiveai_parent_observation_id"
_PUBLIC_KEY = "interactiveai_public_key"


class Observed:
    """How calls of one function are recorded; `wrap` gives the function to put in its place.

    `find_tracer(public_key)` gives the tracer at the time of a call, or says why there is none: then the function just
    runs, and the reason is logged once.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        find_tracer: Callable[[str | None], Tracer | str],
        *,
        name: str | None,
        as_type: str | None,
        capture_input: bool,
        capture_output: bool,
        transform_to_string: Callable[[Any], str] | None,
    ) -> None:
        """Raises ArgumentError for a type that there is not."""
        if as_type is not None and as_type not in OBSERVATION_TYPES:
            raise ArgumentError("as_type", as_type, "must be one of " + ", ".join(OBSERVATION_TYPES))
        self._function = function
        self._find_tracer = find_tracer
        self._name = str(name or getattr(function, "__name__", type(function).__name__))
        self._as_type = as_type or "span"
        self._capture_input = capture_input
        self._capture_output = capture_output
        self._join = transform_to_string
        self._is_method = _first_parameter(function) in ("self", "cls")
        self._warned = False

    def wrap(self) -> Callable[..., Any]:
        """The function that records. Coroutines, generators and async generators that it returns stay what they are."""
        import inspect

        function = self._function
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def observed_coroutine(*args: Any, **kwargs: Any) -> Any:
                opened = self._open(args, kwargs)
                if opened is None:
                    return await function(*args, **kwargs)
                with opened as span:
                    return self._keep(span, await function(*args, **kwargs))

            return observed_coroutine

        @wraps(function)
        def observed_function(*args: Any, **kwargs: Any) -> Any:
            opened = self._open(args, kwargs)
            if opened is None:
                return function(*args, **kwargs)
            with opened as span:
                result = function(*args, **kwargs)
                goes_on: Any
                if inspect.isgenerator(result):
                    goes_on = self._stream(_StreamSpan(self, span), result)
                elif inspect.isasyncgen(result):
                    goes_on = self._stream_async(_StreamSpan(self, span), result)
                elif inspect.iscoroutine(result):
                    goes_on = self._await(span, result)
                else:
                    return self._keep(span, result)
                opened.keep_open()
                return goes_on

        return observed_function

    def _open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CurrentSpan | None:
        trace_id = kwargs.pop(_TRACE_ID, None)
        parent_id = kwargs.pop(_PARENT_ID, None)
        public_key = kwargs.pop(_PUBLIC_KEY, None)
        around = current.get()
        if around is not None and not around.tracer.closed and public_key is None:
            tracer: Tracer | str = around.tracer
        else:
            tracer = self._find_tracer(public_key)
        if isinstance(tracer, str):
            if not self._warned:
                self._warned = True
                warn(f"@observe records nothing of {self._name}: {tracer}")
            return None
        found = tracer
        context = None
        if trace_id is not None:
            context = {"trace_id": trace_id, **({} if parent_id is None else {"parent_span_id": parent_id})}
        fields: dict[str, Any] = {}
        if self._capture_input:
            fields["input"] = {"args": list(args[1:] if self._is_method else args), "kwargs": dict(kwargs)}
        return _CallSpan(lambda: found.start(self._name, as_type=self._as_type, trace_context=context, **fields))

    def _keep(self, span: Span, result: Any) -> Any:
        if self._capture_output and result is not None:
            span.update(output=result)
        return result

    async def _await(self, span: Span, coroutine: Any) -> Any:
        with _CallSpan(lambda: span):
            return self._keep(span, await coroutine)

    def _stream(self, kept: _StreamSpan, stream: Any) -> Any:
        """The generator's items; the span is open until it is used up or dropped, and current while its code runs."""
        step, sent, span = stream.send, None, kept.span
        with kept:
            try:
                while True:
                    with _Inside(span):
                        item = step(sent)
                    kept.add(item)
                    try:
                        step, sent = stream.send, (yield item)
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:  # given to the generator, whose business it is
                        step, sent = stream.throw, thrown
            except StopIteration as stop:
                return stop.value
            finally:
                with _Inside(span):
                    stream.close()

    async def _stream_async(self, kept: _StreamSpan, stream: Any) -> Any:
        step, sent, span = stream.asend, None, kept.span
        with kept:
            try:
                while True:
                    with _Inside(span):
                        item = await step(sent)
                    kept.add(item)
                    try:
                        step, sent = stream.asend, (yield item)
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:  # given to the generator, whose business it is
                        step, sent = stream.athrow, thrown
            except StopAsyncIteration:
                return
            finally:
                with _Inside(span):
                    await stream.aclose()

    def _end_stream(self, span: Span, kept: list[Any], error: BaseException | None) -> None:
        if self._capture_output:
            span.update(output=self._joined(kept))
        if error is not None and is_a(error, Exception):
            _record(span, error)
        span.end()

    def _joined(self, kept: list[Any]) -> Any:
        if self._join is not None:
            try:
                return self._join(kept)
            except Exception as error:
                # The stream itself was fine, so nobody else is told.
                warn(f"@observe: transform_to_string of {self._name} raised {type_name(error)}: {error}")
                return kept
        return "".join(kept) if kept and all(isinstance(item, str) for item in kept) else kept


def _record(span: Span, error: BaseException) -> None:
    """A call's failure: its status is what the exception says, not of what type it is, as in the reference."""
    message = error_text(error) or type_name(error)
    span.record_error(error, traceback=traceback_text(error), status_message=message)


class _CallSpan(CurrentSpan):
    """The span of one call."""

    __slots__ = ()

    def _leave(self, span: Span, error: BaseException | None) -> None:
        if error is not None and not is_a(error, GeneratorExit):
            _record(span, error)


class _StreamSpan:
    """Gathers a stream's items and ends its span with them, whatever the stream ends with."""

    __slots__ = ("_begun", "_items", "_observed", "span")

    def __init__(self, observed: Observed, span: Span) -> None:
        self.span = span
        self._observed = observed
        self._begun = False
        self._items: list[Any] = []

    def add(self, item: Any) -> None:
        if self._observed._capture_output:
            self._items.append(item)

    def __enter__(self) -> None:
        self._begun = True

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._observed._end_stream(self.span, self._items, error)

    def __del__(self) -> None:
        # The stream was dropped before its first step: nothing of it ran, but it was called.
        if not self._begun and not sys.is_finalizing():
            self.span.end()


class _Inside:
    """Makes a span current while a generator's own code runs, not while its consumer's does."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._token = make_current(self._span)

    def __exit__(self, *exc_info: Any) -> None:
        restore_current(self._token, self._span)


def _first_parameter(function: Callable[..., Any]) -> str | None:
    import inspect

    try:
        return next(iter(inspect.signature(function).parameters), None)
    except (TypeError, ValueError):
        return None  # a builtin that does not tell
