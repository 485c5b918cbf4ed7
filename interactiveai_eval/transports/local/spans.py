"""OTLP spans as observation rows, and what they say about their traces (WIRE.md sections 2.9 and 9.2).

The spans of an export have few different sets of attribute names, so how names are read is worked out once for each.
"""
from __future__ import annotations

from .listing import LEVELS, OBSERVATION_TYPES
from .observations import usage_columns
from .traces import INPUT, NAME, OUTPUT, ROOT, TIME, Trace
from .wire_values import encode, environment_of, quoted, text_to_ns, text_to_value, value_to_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .otlp_reader import Source, Span

# What is read from which attributes; the first one that is there wins.
_FIELDS = {
    "type": ("langfuse.observation.type",),
    "input": ("langfuse.observation.input", "input.value", "gen_ai.input.messages"),
    "output": ("langfuse.observation.output", "output.value", "gen_ai.output.messages"),
    "environment": ("langfuse.environment", "deployment.environment.name", "deployment.environment"),
    "version": ("langfuse.version",),
    "level": ("langfuse.observation.level",),
    "status_message": ("langfuse.observation.status_message",),
    "metadata": ("langfuse.observation.metadata",),
    "completion_start": ("langfuse.observation.completion_start_time",),
    "model": (
        "langfuse.observation.model.name", "gen_ai.response.model", "gen_ai.request.model", "llm.model_name",
    ),
    "model_parameters": ("langfuse.observation.model.parameters",),
    "usage": ("langfuse.observation.usage_details",),
    "cost": ("langfuse.observation.cost_details",),
    "prompt_name": ("langfuse.observation.prompt.name",),
    "prompt_version": ("langfuse.observation.prompt.version",),
    "foreign_type": ("openinference.span.kind", "gen_ai.operation.name"),
    "as_root": ("langfuse.internal.as_root",),
    "release": ("langfuse.release",),
    "user_id": ("langfuse.user.id", "user.id"),
    "session_id": ("langfuse.session.id", "session.id", "gen_ai.conversation.id"),
    "tags": ("langfuse.trace.tags",),
    "public": ("langfuse.trace.public",),
    "trace_name": ("langfuse.trace.name",),
    "trace_input": ("langfuse.trace.input",),
    "trace_output": ("langfuse.trace.output",),
    "trace_metadata": ("langfuse.trace.metadata",),
}  # fmt: skip
_FIELD_OF = {name: field for field, names in _FIELDS.items() for name in names}
_DETAILS = frozenset(
    ("model", "model_parameters", "usage", "cost", "prompt_name", "prompt_version", "completion_start", "version",
     "status_message")
)  # fmt: skip
_OF_TRACE = frozenset(
    ("release", "user_id", "session_id", "tags", "public", "trace_name", "trace_input", "trace_output",
     "trace_metadata")
)  # fmt: skip
_FOREIGN_TYPES = {
    "LLM": "GENERATION", "chat": "GENERATION", "completion": "GENERATION", "text_completion": "GENERATION",
    "generate_content": "GENERATION", "embeddings": "EMBEDDING", "invoke_agent": "AGENT", "create_agent": "AGENT",
    "execute_tool": "TOOL",
}  # fmt: skip
_KNOWN_TYPES: dict[Any, str] = {name.lower(): name for name in OBSERVATION_TYPES}
_USAGE_PREFIXES = ("gen_ai.usage.", "llm.token_count.")
_USAGE_NAMES = {
    "input_tokens": "input", "prompt_tokens": "input", "prompt": "input", "output_tokens": "output",
    "completion_tokens": "output", "completion": "output", "total_tokens": "total",
}  # fmt: skip
_METADATA = "langfuse.observation.metadata."
_TRACE_METADATA = "langfuse.trace.metadata."
_EXPERIMENT = "langfuse.experiment."


class _Reading:
    """How one set of attribute names is read: which field comes from which attribute."""

    def __init__(self, names: Iterable[str], only_experiments: bool) -> None:
        self.fields: dict[str, str] = {}
        self.metadata: list[tuple[str, str]] = []  # with its key as the head of a JSON member, as in `kept`
        self.kept: list[tuple[str, str]] = []  # what stays readable under its own name
        self.trace_metadata: list[tuple[str, str]] = []
        self.usage: list[tuple[str, str]] = []
        for name in names:
            field = _FIELD_OF.get(name)
            if field is not None:
                order = _FIELDS[field]
                if field not in self.fields or order.index(name) < order.index(self.fields[field]):
                    self.fields[field] = name
            elif name.startswith(_METADATA):
                self.metadata.append((name, encode(name[len(_METADATA) :]) + ": "))
            elif name.startswith(_TRACE_METADATA):
                self.trace_metadata.append((name, name[len(_TRACE_METADATA) :]))
            if name.startswith(_USAGE_PREFIXES):
                key = name.split(".", 2)[2]
                self.usage.append((name, _USAGE_NAMES.get(key, key)))
            read_elsewhere = name.startswith("langfuse.") or field in ("input", "output", "user_id", "session_id")
            if name.startswith(_EXPERIMENT) or not (only_experiments or read_elsewhere):
                self.kept.append((name, encode(name) + ": "))
        find = self.fields.get
        # What nearly every span has; None finds nothing in the attributes.
        self.input, self.output = find("input"), find("output")
        self.type, self.environment = find("type"), find("environment")
        self.has_details = bool(self.usage) or not _DETAILS.isdisjoint(self.fields)
        self.says_of_trace = bool(self.trace_metadata) or not _OF_TRACE.isdisjoint(self.fields)
        self.updates_trace = bool(self.trace_metadata) or not (_OF_TRACE - {"release"}).isdisjoint(self.fields)


class _Origin:
    """What all spans of one resource and scope share."""

    def __init__(self, source: Source) -> None:
        resource = source.resource
        self.source = source
        self.only_experiments = source.scope_name.startswith("langfuse-sdk")
        self.readings: dict[tuple[str, ...], _Reading] = {}
        named = [resource[name] for name in _FIELDS["environment"] if name in resource]
        self.environment = environment_of(named[0] if named else None)
        self.release = value_to_text(resource.get("langfuse.release"))
        self.version = value_to_text(resource.get("service.version"))
        scope = {"name": source.scope_name, "version": source.scope_version, "attributes": source.scope_attributes}
        self.metadata_end = encode({"resourceAttributes": resource, "scope": scope})[1:]
        # What is said of a trace by nearly every root span, and by nearly every other.
        self.by_root = (True, self.version, self.release, None)
        self.by_others = (False, None, self.release, None)


class Export:
    """The rows of one export: hand in the spans one by one, then `tell` the traces, then write both.

    Nothing of a span itself is kept, and nothing stored is needed before `tell`: the store is held for a short while.
    """

    def __init__(self, now_ns: int) -> None:
        self.rows: list[tuple[Any, ...]] = []
        # Beside each row: whether it is of a root span; version, release and attributes that it gives its trace.
        self._said: list[tuple[bool, str | None, str | None, tuple[dict[str, Any], _Reading] | None]] = []
        self._now_ns = now_ns
        self._origin: _Origin | None = None

    def trace_ids(self) -> set[str]:
        """The ids of all traces that the spans are of."""
        return {row[1] for row in self.rows}

    def add(self, span: Span) -> None:
        """Add the row of `span`, and note what it says of its trace."""
        origin = self._origin
        if origin is None or origin.source is not span.source:
            origin = self._origin = _Origin(span.source)
        attributes = span.attributes
        names = tuple(attributes)
        reading = origin.readings.get(names)
        if reading is None:
            reading = origin.readings[names] = _Reading(names, origin.only_experiments)
        find, fields = attributes.get, reading.fields
        start_ns = span.start_ns or span.end_ns or self._now_ns
        given, made = find(reading.input), find(reading.output)
        input_text = given if type(given) is str else value_to_text(given)
        output_text = made if type(made) is str else value_to_text(made)
        named = find(reading.type)
        kind = (_KNOWN_TYPES.get(named) if type(named) is str else None) or _type(attributes, fields)
        level = "ERROR" if span.status_code == 2 else "DEFAULT"
        if "level" in fields and attributes[fields["level"]] in LEVELS:
            level = attributes[fields["level"]]
        environment = find(reading.environment)
        environment = origin.environment if environment is None else environment_of(environment)
        metadata = self._metadata(span, reading, origin)
        row: tuple[Any, ...] = (
            span.span_id, span.trace_id, span.parent_id or None, kind, span.name, start_ns, span.end_ns or start_ns,
            level, environment, self._now_ns, input_text, output_text, metadata,
        )  # fmt: skip
        if reading.has_details or span.status_message or origin.version:
            row += _details(span, reading, origin)
        self.rows.append(row)
        is_root = not span.parent_id or ("as_root" in fields and _is_true(attributes[fields["as_root"]]))
        if "version" not in fields and not reading.says_of_trace:
            self._said.append(origin.by_root if is_root else origin.by_others)
            return
        # The attribute is also the span's own version, so servers take it for the trace's only beside another update of
        # the trace (langfuse, OtelIngestionProcessor.ts, `hasTraceUpdates`).
        version = _text(attributes, fields, "version") if is_root or reading.updates_trace else None
        said = (attributes, reading) if reading.says_of_trace else None
        self._said.append((is_root, version or (origin.version if is_root else None), origin.release, said))

    def tell(self, traces: dict[str, Trace]) -> None:
        """Change the traces, by id, as the spans say, in their order; those that are not there yet are made."""
        for row, (is_root, version, release, said) in zip(self.rows, self._said):
            trace_id, name, start_ns, environment = row[1], row[4], row[5], row[8]
            trace = traces.get(trace_id)
            if trace is None:
                trace = traces[trace_id] = Trace(trace_id, start_ns, environment, self._now_ns)
            elif start_ns < trace.start_ns and not trace.given & TIME:
                trace.start_ns = start_ns
            trace.version = version or trace.version
            if is_root:
                given = trace.given
                trace.given = given | ROOT
                trace.environment = environment
                trace.release = release or trace.release
                input_text, output_text, metadata = row[10:13]
                if not given & NAME:
                    trace.name = name
                if input_text is not None and not given & INPUT:
                    trace.input = input_text
                if output_text is not None and not given & OUTPUT:
                    trace.output = output_text
                trace.add_metadata(metadata)
            else:
                trace.release = trace.release or release
            if said is not None:
                _say_of_trace(trace, *said)

    def _metadata(self, span: Span, reading: _Reading, origin: _Origin) -> str:
        """The JSON text of the row's metadata; of equal keys a reader takes the last one."""
        attributes = span.attributes
        parts = []
        if "metadata" in reading.fields:
            parts = [_as_object_text(attributes[reading.fields["metadata"]])[1:-1]]
        for name, head in reading.metadata:
            value = attributes[name]
            parts.append(head + (quoted(value) if type(value) is str else encode(value)))
        if reading.kept:
            values = [(head, attributes[name]) for name, head in reading.kept]
            texts = [head + quoted(value if type(value) is str else encode(value)) for head, value in values]
            parts.append(f'"attributes": {{{", ".join(texts)}}}')
        if span.events:
            events = [{"name": name, "attributes": said} for name, said in span.events if name == "exception"]
            parts.append(f'"events": {encode(events)}')
        parts.append(origin.metadata_end)
        return "{" + ", ".join([part for part in parts if part])


def _type(attributes: dict[str, Any], fields: dict[str, str]) -> str:
    """The type of a span that does not name one of ours."""
    foreign = str(attributes[fields["foreign_type"]]) if "foreign_type" in fields else ""
    found = _FOREIGN_TYPES.get(foreign, foreign.upper())
    return found if found in OBSERVATION_TYPES else "GENERATION" if "model" in fields else "SPAN"


def _text(attributes: dict[str, Any], fields: dict[str, str], field: str) -> str | None:
    return value_to_text(attributes[fields[field]]) if field in fields else None


def _as_object_text(value: Any) -> str:
    """Metadata in one attribute as the JSON text of an object."""
    value = text_to_value(value_to_text(value))
    return encode(value if type(value) is dict else {"metadata": value})


def _is_true(value: Any) -> bool:
    return value is True or value == "true"


def _details(span: Span, reading: _Reading, origin: _Origin) -> tuple[Any, ...]:
    """The values of the columns from `status_message` to the end."""
    attributes, fields = span.attributes, reading.fields

    def text(field: str) -> str | None:
        return _text(attributes, fields, field)

    version = text_to_value(text("prompt_version"))
    usage = text_to_value(text("usage")) or {
        key: text_to_value(value_to_text(attributes[name])) for name, key in reading.usage
    }
    completion_start = text("completion_start")
    return (
        text("status_message") or span.status_message or None,
        text("version") or origin.version,
        text_to_ns(text_to_value(completion_start)),
        text("model"),
        text("prompt_name"),
        version if type(version) is int else None,
        *usage_columns(usage, text_to_value(text("cost"))),
        text("model_parameters"),
    )


def _say_of_trace(trace: Trace, attributes: dict[str, Any], reading: _Reading) -> None:
    fields = reading.fields
    trace.give(*[_text(attributes, fields, field) for field in ("trace_name", "trace_input", "trace_output")])
    trace.user_id = _text(attributes, fields, "user_id") or trace.user_id
    trace.session_id = _text(attributes, fields, "session_id") or trace.session_id
    trace.release = _text(attributes, fields, "release") or trace.release
    if "trace_metadata" in fields:
        trace.add_metadata(_as_object_text(attributes[fields["trace_metadata"]]))
    if "public" in fields:
        trace.public = int(_is_true(attributes[fields["public"]]))
    if "tags" in fields:
        tags = attributes[fields["tags"]]
        if type(tags) is str:
            listed = text_to_value(tags)
            tags = listed if type(listed) is list else tags.split(",")
        if type(tags) is list:
            trace.add_tags([str(value_to_text(tag)).strip() for tag in tags if tag is not None])
    if reading.trace_metadata:
        trace.add_metadata(encode({key: attributes[name] for name, key in reading.trace_metadata}))
