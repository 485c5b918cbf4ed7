"""Spans: what is recorded while code runs, where it nests, and what it carries.

A `Span` is opened by a `Tracer`, filled while the code runs and handed to a sink when it ends. The current
span of a context (see `context`) is what nested spans take trace, sink and shared attributes from.
"""
from __future__ import annotations

from .._clock import datetime_to_iso, datetime_to_ns
from .._copies import private_copy
from .._log import warn
from .._strict_json import to_attribute_text, to_json
from ..errors import ArgumentError, ClosedError, error_text, is_a, traceback_text, type_name
from ..model import Evaluation
from ..service.scores import Unsendable, score_body
from .attributes import (
    AS_ROOT,
    ENVIRONMENT,
    INPUT,
    LEVEL,
    METADATA,
    OUTPUT,
    STATUS_MESSAGE,
    TRACE_METADATA,
    TYPE,
    cut,
    metadata_attributes,
    name_text,
    tag_texts,
)
from .context import current, make_current, propagated, restore_current

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextvars import Token
    from datetime import datetime
    from typing import Any, Protocol

    from .._clock import Clock
    from .._ids import Ids
    from .otlp import SharedAttributes

    class Sink(Protocol):
        """Where ended spans and scores go."""

        def add_span(self, span: Span) -> None:
            """Take a span that has ended."""

        def add_score(self, body: dict[str, Any]) -> None:
            """Take the body of a score."""

        def skip_score(self, id: str, reason: str) -> None:
            """Take note of a score that is never sent."""


OBSERVATION_TYPES = (
    "span",
    "generation",
    "event",
    "agent",
    "tool",
    "chain",
    "retriever",
    "embedding",
    "evaluator",
    "guardrail",
)
LEVELS = ("DEBUG", "DEFAULT", "WARNING", "ERROR")
MASKED = "<masking failed: value removed>"
ID_MOST = 800  # characters of an id that servers take (WIRE.md section 9.2)


class Tracer:
    """Opens spans for one client; `sink` takes those that belong to no run.

    One that `adopts` takes over the spans that tracers of other clients start inside of its own.
    """

    adopts = False

    def __init__(
        self, *, clock: Clock, ids: Ids, sink: Sink, mask: Callable[..., Any] | None, environment: str | None
    ) -> None:
        self.clock = clock
        self.ids = ids
        self.sink = sink
        self.environment = environment
        self.closed = False
        self.mask = mask
        self._warned = False  # that the mask returned None

    def start(
        self,
        name: str,
        *,
        as_type: str = "span",
        parent: Span | None = None,
        trace_context: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Span:
        """A span that runs from now on.

        It nests below `parent`, else joins `trace_context` ({"trace_id", "parent_span_id"}), else nests below the
        current span if that is of this client, else begins a trace. `fields` are those of `Span.update`.
        """
        around = current.get()
        if around is not None and around.tracer.adopts and around.tracer is not self:
            taken: Span = around.tracer.start(
                name, as_type=as_type, parent=parent, trace_context=trace_context, **fields
            )
            return taken
        if self.closed:
            raise ClosedError("this client is closed: no span can be started")
        if as_type not in OBSERVATION_TYPES:
            raise ArgumentError("as_type", as_type, "must be one of " + ", ".join(OBSERVATION_TYPES))
        if parent is None and trace_context is None:
            parent = around if around is not None and around.tracer is self else None
        parent_id: str | None
        if parent is not None:
            trace_id, parent_id, sink, shared = parent.trace_id, parent.id, parent.sink, parent.inherited
        else:
            trace_id, parent_id = _joined(trace_context, self.ids)
            sink, shared = self.sink, ()
        span = Span(self, sink, name_text(name), trace_id, self.ids.span_id(), parent_id, shared, self.clock.time_ns())
        span.attributes[TYPE] = as_type
        if parent is None and trace_context is not None:
            span.attributes[AS_ROOT] = True  # its trace has a name and an input by it, though it may have a parent
        if not shared and self.environment is not None:
            span.attributes[ENVIRONMENT] = self.environment
        span.attributes.update(self.propagated())
        if fields:
            span.update(**fields)
        return span

    @property
    def masks(self) -> bool:
        """Whether there is a mask."""
        return self.mask is not None

    def text(self, value: Any) -> str:
        """What is recorded of a value: masked, and as the text of an attribute."""
        return to_attribute_text(self.masked(value))

    def masked(self, value: Any) -> Any:
        """`value` as the client's mask leaves it; a fixed text when the mask itself fails.

        The mask gets a copy: many write the stars into what they are given, and that is still in use here.
        """
        if self.mask is None or value is None:
            return value
        try:
            masked = self.mask(data=private_copy(value))
            if masked is None and not self._warned:
                self._warned = True
                warn(f"the mask returned None for {type(value).__name__}, which is sent as null; is a return missing?")
            return masked
        except KeyboardInterrupt:
            raise
        except BaseException:
            # The mask is the user's promise that nothing private leaves: if it fails, however, nothing leaves.
            return MASKED

    def propagated(self) -> Mapping[str, Any]:
        """The attributes that new spans take over from `propagate_attributes`; metadata masked, texts then cut."""
        found = propagated.get()
        if not found:
            return found
        return {
            key: value if type(value) is list else cut(self.text(value) if key.startswith(TRACE_METADATA) else value)
            for key, value in found.items()
        }


class StartsSpans:
    """The short forms of `start_observation` and `start_as_current_observation`, which a subclass defines."""

    __slots__ = ()

    def start_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> Span:
        """A span that runs from now on; end it with `end` or a `with` statement."""
        raise TypeError

    def start_as_current_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> CurrentSpan:
        """A span for a `with` statement, current inside it."""
        raise TypeError

    def start_span(self, name: str, **fields: Any) -> Span:
        """Like `start_observation` with type span."""
        return self.start_observation(name=name, **fields)

    def start_generation(self, *, name: str, **fields: Any) -> Span:
        """Like `start_observation` with type generation (a model call)."""
        return self.start_observation(name=name, as_type="generation", **fields)

    def create_event(self, *, name: str, **fields: Any) -> Span:
        """Like `start_observation` with type event, which has no duration."""
        return self.start_observation(name=name, as_type="event", **fields)

    def start_as_current_span(self, *, name: str, **fields: Any) -> CurrentSpan:
        """Like `start_as_current_observation` with type span."""
        return self.start_as_current_observation(name=name, **fields)

    def start_as_current_generation(self, *, name: str, **fields: Any) -> CurrentSpan:
        """Like `start_as_current_observation` with type generation."""
        return self.start_as_current_observation(name=name, as_type="generation", **fields)


class Span(StartsSpans):
    """One observation on its way: fill it with `update`, finish it with `end` (or use it in a `with` statement).

    `trace_id` (32 hexadecimal digits) and `id` (16) are known from the start.
    """

    __slots__ = (
        "_token",
        "attributes",
        "end_ns",
        "error_message",
        "events",
        "id",
        "inherited",
        "name",
        "parent_id",
        "shared",
        "sink",
        "start_ns",
        "trace_id",
        "tracer",
    )

    def __init__(
        self,
        tracer: Tracer,
        sink: Sink,
        name: str,
        trace_id: str,
        id: str,
        parent_id: str | None,
        shared: tuple[SharedAttributes, ...],
        start_ns: int,
    ) -> None:
        self.tracer = tracer
        self.sink = sink
        self.name = name
        self.trace_id = trace_id
        self.id = id
        self.parent_id = parent_id
        self.shared = shared
        self.inherited = shared
        self.start_ns = start_ns
        self.end_ns = 0
        self.attributes: dict[str, Any] = {}
        self.events: Sequence[tuple[int, str, dict[str, Any]]] = ()
        self.error_message: str | None = None
        self._token: Token[Span | None] | None = None

    def __repr__(self) -> str:
        return f"Span(name={self.name!r}, trace_id={self.trace_id!r}, id={self.id!r})"

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` header that makes another service's spans children of this one."""
        return f"00-{self.trace_id}-{self.id}-01"

    def update(
        self,
        *,
        name: str | None = None,
        input: Any = None,
        output: Any = None,
        metadata: Any = None,
        version: str | None = None,
        level: str | None = None,
        status_message: str | None = None,
        completion_start_time: datetime | None = None,
        model: str | None = None,
        model_parameters: Mapping[str, Any] | None = None,
        usage_details: Mapping[str, int] | None = None,
        cost_details: Mapping[str, float] | None = None,
        prompt: Any = None,
    ) -> Span:
        """Set what is not None and return the span; the value is recorded now, so later changes to it do not show.

        A mapping as metadata sets one entry a key and leaves the others.
        """
        text = self.tracer.text
        put = self.attributes
        if name is not None:
            self.name = name_text(name)
        if input is not None:
            put[INPUT] = text(input)
        if output is not None:
            put[OUTPUT] = text(output)
        if metadata is not None:
            put.update(metadata_attributes(METADATA, self.tracer.masked(metadata)))
        if version is not None:
            put["langfuse.version"] = version
        if level is not None:
            if level not in LEVELS:
                raise ArgumentError("level", level, "must be one of " + ", ".join(LEVELS))
            put[LEVEL] = level
        if status_message is not None:
            put[STATUS_MESSAGE] = text(status_message)
        if completion_start_time is not None:
            moment = _moment("completion_start_time", completion_start_time)
            put["langfuse.observation.completion_start_time"] = to_json(datetime_to_iso(moment))
        if model is not None:
            put["langfuse.observation.model.name"] = model
        if model_parameters is not None:
            put["langfuse.observation.model.parameters"] = text(model_parameters)
        if usage_details is not None:
            put["langfuse.observation.usage_details"] = to_json(usage_details)
        if cost_details is not None:
            put["langfuse.observation.cost_details"] = to_json(cost_details)
        if prompt is not None:
            put["langfuse.observation.prompt.name"] = getattr(prompt, "name", None)
            put["langfuse.observation.prompt.version"] = getattr(prompt, "version", None)
        return self

    def update_trace(
        self,
        *,
        name: str | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        version: str | None = None,
        input: Any = None,
        output: Any = None,
        metadata: Any = None,
        tags: list[str] | None = None,
        public: bool | None = None,
    ) -> Span:
        """Set what is not None on the trace of this span and return the span."""
        text = self.tracer.text
        values = {
            "langfuse.trace.name": name if name is None else name_text(name),
            "user.id": user_id if user_id is None else name_text(user_id),
            "session.id": session_id if session_id is None else name_text(session_id),
            "langfuse.version": version,
            "langfuse.trace.input": None if input is None else text(input),
            "langfuse.trace.output": None if output is None else text(output),
            "langfuse.trace.tags": None if tags is None else tag_texts(tags),
            "langfuse.trace.public": None if public is None else bool(public),
        }
        self.attributes.update((key, value) for key, value in values.items() if value is not None)
        if metadata is not None:
            self.attributes.update(metadata_attributes(TRACE_METADATA, self.tracer.masked(metadata)))
        return self

    def record_error(self, error: BaseException, *, traceback: str = "", status_message: str | None = None) -> None:
        """Mark the span as failed, with the exception as an event; `traceback` is text."""
        self.fail(type_name(error), error_text(error), traceback=traceback, status_message=status_message)

    def fail(self, error_type: str, message: str, *, traceback: str = "", status_message: str | None = None) -> None:
        """Mark the span as failed with an error that is known by its type and texts."""
        self.note_error(error_type, message, traceback=traceback)
        message = self.tracer.text(message)
        self.error_message = f"{error_type}: {message}"
        self.attributes[LEVEL] = "ERROR"
        self.attributes[STATUS_MESSAGE] = message if status_message is None else self.tracer.text(status_message)

    def note_error(self, error_type: str, message: str, *, traceback: str = "") -> None:
        """Record an error as an event; the span itself has not failed by it (an attempt that is made again)."""
        text = self.tracer.text
        event = {"exception.type": error_type, "exception.message": text(message), "exception.escaped": "False"}
        if traceback:
            event["exception.stacktrace"] = text(traceback)
        self.events = [*self.events, (self.tracer.clock.time_ns(), "exception", event)]

    def end(self, *, end_time: int | None = None) -> Span:
        """Finish the span (at `end_time` in ns since 1970, default now) and return it; a second call does nothing.

        Raises ArgumentError for an `end_time` that is no such number.
        """
        if not self.end_ns:
            if end_time is not None and (type(end_time) is not int or not 0 <= end_time < 2**63):
                raise ArgumentError("end_time", end_time, "must be nanoseconds since 1970, such as time.time_ns()")
            now = self.tracer.clock.time_ns() if end_time is None else end_time
            self.end_ns = max(now, self.start_ns)
            self.sink.add_span(self)
        return self

    def score(self, *, name: str, value: Any, **details: Any) -> None:
        """Score this observation; `details` are those of `Interactive.create_score` without the target."""
        self._score(name, value, {"trace_id": self.trace_id, "observation_id": self.id}, details)

    def score_trace(self, *, name: str, value: Any, **details: Any) -> None:
        """Score the trace of this span; otherwise like `score`."""
        self._score(name, value, {"trace_id": self.trace_id}, details)

    @property
    def environment(self) -> str | None:
        """The environment of this span and of the scores on it: the experiment's inside a run, else the client's."""
        for shared in self.shared:
            if ENVIRONMENT in shared.attributes:
                return shared.attributes[ENVIRONMENT]  # type: ignore[no-any-return]
        return self.attributes.get(ENVIRONMENT)

    def _score(self, name: str, value: Any, target: Mapping[str, str], details: Mapping[str, Any]) -> None:
        send_score(self.tracer, self.sink, name, value, target, self.environment, **details)

    def start_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> Span:
        """A child span that runs from now on; `fields` are those of `update`. An event has no duration."""
        child = self.tracer.start(name, as_type=as_type, parent=self, **fields)
        return child.end(end_time=child.start_ns) if as_type == "event" else child

    def start_as_current_observation(self, *, name: str, as_type: str = "span", **fields: Any) -> CurrentSpan:
        """A child for a `with` statement, current inside it."""
        return CurrentSpan(lambda: self.tracer.start(name, as_type=as_type, parent=self, **fields))

    def __enter__(self) -> Span:
        self._token = make_current(self)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        token, self._token = self._token, None
        if token is not None:
            restore_current(token, self)
        self._leave(error)
        self.end()

    def _leave(self, error: BaseException | None) -> None:
        """Record what a `with` block ended with. A generator that is closed before its end has not failed."""
        if error is not None and not is_a(error, GeneratorExit):
            named = f"{type_name(error)}: {error_text(error)}"
            self.record_error(error, traceback=traceback_text(error), status_message=named)


class CurrentSpan:
    """Opens a span on entry, keeps it current inside, ends it on exit unless told not to."""

    __slots__ = ("_end_on_exit", "_open", "_span", "_token")

    def __init__(self, open_span: Callable[[], Span], *, end_on_exit: bool = True) -> None:
        self._open = open_span
        self._end_on_exit = end_on_exit

    def __enter__(self) -> Span:
        self._span = self._open()
        self._token = make_current(self._span)
        return self._span

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        restore_current(self._token, self._span)
        self._leave(self._span, error)
        if self._end_on_exit or error is not None:
            self._span.end()

    def _leave(self, span: Span, error: BaseException | None) -> None:
        span._leave(error)

    def keep_open(self) -> None:
        """Leave the span open on exit, unless by an error: somebody else ends it."""
        self._end_on_exit = False


def send_score(
    tracer: Tracer,
    sink: Sink,
    name: str,
    value: Any,
    target: Mapping[str, str | None],
    environment: str | None,
    *,
    score_id: str | None = None,
    data_type: str | None = None,
    comment: str | None = None,
    config_id: str | None = None,
    metadata: Any = None,
    timestamp: datetime | None = None,
) -> None:
    """Hand a score to `sink`; one that is never sent (NaN, None) is noted there with the reason.

    Raises ArgumentError for what no server takes, ClosedError after the client was closed.
    """
    if tracer.closed:
        raise ClosedError("this client is closed: no score can be made")
    for argument, text in (("score_id", score_id), ("config_id", config_id), *target.items()):
        if text is not None and (not isinstance(text, str) or not 0 < len(text) <= ID_MOST):
            raise ArgumentError(argument, text, f"must be a text of 1 to {ID_MOST} characters")
    evaluation = Evaluation(
        name=name,
        value=tracer.text(value) if tracer.masks and isinstance(value, str) else value,
        comment=tracer.masked(comment),
        metadata=tracer.masked(metadata),
        data_type=data_type,
        config_id=config_id,
    )
    moment = tracer.clock.time_ns() if timestamp is None else datetime_to_ns(_moment("timestamp", timestamp))
    score_id = score_id or tracer.ids.span_id()
    try:
        body = score_body(evaluation, id=score_id, timestamp_ns=moment, environment=environment, **target)
    except Unsendable as reason:
        sink.skip_score(score_id, str(reason))
    else:
        sink.add_score(body)


def _moment(argument: str, value: Any) -> datetime:
    """`value` if it is a datetime that can be told on the wire. Raises ArgumentError."""
    try:
        datetime_to_ns(value)
    except (AttributeError, TypeError, ValueError, OverflowError, OSError):
        raise ArgumentError(argument, value, "must be a datetime from the year 2 to 9998") from None
    return value  # type: ignore[no-any-return]


def _joined(trace_context: Mapping[str, str] | None, ids: Ids) -> tuple[str, str | None]:
    if trace_context is None:
        return ids.trace_id(), None
    if not hasattr(trace_context, "get"):
        raise ArgumentError("trace_context", trace_context, "must be a dict with trace_id and perhaps parent_span_id")
    trace_id = trace_context.get("trace_id")
    parent_id = trace_context.get("parent_span_id")
    if trace_id is None or not _is_hex(trace_id, 32):
        raise ArgumentError("trace_context", trace_context, "needs a trace_id of 32 lower-case hexadecimal digits")
    if parent_id is not None and not _is_hex(parent_id, 16):
        raise ArgumentError("trace_context", trace_context, "its parent_span_id must have 16 hexadecimal digits")
    return trace_id, parent_id


def _is_hex(text: Any, length: int) -> bool:
    return isinstance(text, str) and len(text) == length and {"0"} != set(text) <= set("0123456789abcdef")
