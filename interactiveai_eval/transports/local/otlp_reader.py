"""OTLP trace exports, protobuf or JSON, as plain span values: strict about structure, bounded in depth.

Message and field numbers are those of opentelemetry-proto 1.x; unknown fields are skipped. What real servers accept and
refuse in JSON is in WIRE.md section 9.2: ids are taken as they are, missing ones refuse the whole export.
"""
from __future__ import annotations

import sys
from collections import namedtuple

from ..._strict_json import from_json, plain_float, to_plain
from .wire_values import LAST_NS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_MAX_DEPTH = 60  # of nested attribute values; a made-up bound, real ones have two or three levels
# The first bytes of an `AnyValue` field with a text: what they must be follows from their length.
_TEXT_HEADS = [bytes((0x12, size, 0x0A, size - 2)) if size > 1 else b"\xff" for size in range(128)]


class OTLPError(ValueError):
    """These bytes are not an OTLP trace export that we take."""


# The resource and the scope that a group of spans came from.
Source = namedtuple("Source", "resource scope_name scope_version scope_attributes")
# One span. Ids are text, times nanoseconds since 1970 or 0 if missing, attribute values plain JSON values,
# `events` pairs of a name and attributes.
Span = namedtuple(
    "Span", "source trace_id span_id parent_id name start_ns end_ns attributes status_code status_message events"
)


def read_protobuf(body: bytes) -> Iterator[Span]:
    """The spans of an encoded `ExportTraceServiceRequest`, one by one. Raises OTLPError, also after some of them."""
    try:
        yield from _Protobuf().spans(body)
    except (IndexError, TypeError, AttributeError, ValueError) as error:
        # A length that leads beyond the end, a text that is no UTF-8, a field with another wire type than it should.
        raise OTLPError(f"not an OTLP trace export: {error}") from None


class _Protobuf:
    """One decoding, which remembers what spans have in common."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}  # attribute names by their encoded form
        # Attributes that begin every span alike, encoded and decoded; they are found by comparing two spans.
        self._common = b"\0"
        self._common_attributes: dict[str, Any] = {}
        self._previous = (b"", 0)
        self._comparisons_left = 8

    def spans(self, body: bytes) -> Iterator[Span]:
        for resource_spans in _numbered(body, 1):
            resource = self._attributes(_numbered(resource_spans, 1), 1)
            for scope_spans in _numbered(resource_spans, 2):
                scopes = _numbered(scope_spans, 1)
                name, version = [_last_text(scopes, number) for number in (1, 2)]
                source = Source(resource, name, version, self._attributes(scopes, 3))
                for span in _numbered(scope_spans, 2):
                    yield self._span(source, span)

    def _attributes(self, messages: Iterable[bytes], number: int) -> dict[str, Any]:
        """The attributes in the fields `number` of all `messages`."""
        return dict([self._key_value(raw) for message in messages for raw in _numbered(message, number)])

    def _span(self, source: Source, data: bytes) -> Span:
        """One span. Most of the time of an export is spent in this loop, most of it on attributes with short texts."""
        trace_id = span_id = None
        parent_id = name = message = ""
        start_ns = end_ns = code = 0
        attributes: dict[str, Any] = {}
        events: list[tuple[str, dict[str, Any]]] = []
        names = self._names
        position, end = 0, len(data)
        if data.startswith(b"\x0a\x10") and data.startswith(b"\x12\x08", 18):
            trace_id, span_id, position = data[2:18].hex(), data[20:28].hex(), 28
        while position < end:
            tag = data[position]
            if tag == 0x4A:
                if not attributes:
                    if data.startswith(self._common, position):
                        attributes = self._common_attributes.copy()
                        position += len(self._common)
                        continue
                    if self._comparisons_left:
                        self._compare(data, position)
                size = data[position + 1]
                start = position + 2
                if size > 127:
                    size, start = _varint(data, position + 1)
                position = start + size
                middle = start + 2 + (data[start + 1] if size > 1 else 0)
                key = names.get(data[start:middle])
                value_size = position - middle - 2
                if key is not None and 0 <= value_size < 128 and data.startswith(_TEXT_HEADS[value_size], middle):
                    attributes[key] = data[middle + 4 : position].decode()
                else:
                    key, value = self._key_value(data[start:position])
                    attributes[key] = value
                continue
            if tag == 0x39 and position + 18 <= end and data[position + 9] == 0x41:
                start_ns = int.from_bytes(data[position + 1 : position + 9], "little")
                end_ns = int.from_bytes(data[position + 10 : position + 18], "little")
                position += 18
                continue
            number, position, value = _field(data, position)
            if number == 1:
                trace_id = value.hex()
            elif number == 2:
                span_id = value.hex()
            elif number == 4:
                parent_id = value.hex()
            elif number == 5:
                name = value.decode()
            elif number == 7:
                start_ns = value
            elif number == 8:
                end_ns = value
            elif number == 11:
                events.append((_last_text((value,), 2), self._attributes((value,), 3)))
            elif number == 15:
                message = _last_text((value,), 2)
                code = ([0] + [found for number, found in _fields(value) if number == 3])[-1]
        if position != end:
            raise OTLPError("a field ends beyond its message")
        if trace_id is None or span_id is None:
            raise OTLPError("a span lacks its trace id or its span id")
        if max(start_ns, end_ns) > LAST_NS:  # such times count as missing
            start_ns, end_ns = [ns if ns <= LAST_NS else 0 for ns in (start_ns, end_ns)]
        return Span(source, trace_id, span_id, parent_id, name, start_ns, end_ns, attributes, code, message, events)

    def _compare(self, newer: bytes, first: int) -> None:
        """Find what the attributes of two spans begin with; `first` is the position of the first one."""
        self._comparisons_left -= 1
        older, begin = self._previous
        self._previous = (newer, first)
        stop = begin
        while stop < len(older) and older[stop] == 0x4A:
            size, start = _varint(older, stop + 1)
            if not newer.startswith(older[begin : start + size], first):
                break
            stop = start + size
        if stop > begin:
            self._common = older[begin:stop]
            self._common_attributes = dict([self._key_value(raw) for raw in _numbered(self._common, 9)])

    def _key_value(self, raw: bytes, depth: int = 0) -> tuple[str, Any]:
        middle = 2 + raw[1] if len(raw) > 5 and raw[0] == 0x0A else len(raw)
        if raw[middle : middle + 1] == b"\x12":  # nearly always: a short key, then a value
            head = raw[:middle]
            key = self._names.get(head)
            if key is None and raw[1] < 128:
                key = self._names[head] = head[2:].decode()
            size, start = _varint(raw, middle + 1)
            if key is not None and start + size == len(raw):
                return key, self._value(raw[start:], depth)
        key, value = "", None
        for number, field in _fields(raw):
            if number == 1:
                key = field.decode()
            elif number == 2:
                value = self._value(field, depth)
        return key, value

    def _value(self, data: bytes, depth: int) -> Any:
        """The plain value of an `AnyValue`."""
        if depth > _MAX_DEPTH:
            raise OTLPError("attribute values are nested too deep")
        value: Any = None
        for number, field in _fields(data):
            if number == 1:
                value = field.decode()
            elif number == 2:
                value = field != 0
            elif number == 3:
                value = field - 2**64 if field >> 63 else field
            elif number == 4:
                value = plain_float(memoryview(field.to_bytes(8, sys.byteorder)).cast("d")[0])
            elif number == 5:
                value = [self._value(each, depth + 1) for each in _numbered(field, 1)]
            elif number == 6:
                value = dict([self._key_value(each, depth + 1) for each in _numbered(field, 1)])
            elif number == 7:
                value = _base64(field)
        return value


def _numbered(data: bytes, wanted: int) -> list[Any]:
    """The fields of a message with one number."""
    return [value for number, value in _fields(data) if number == wanted]


def _last_text(messages: Iterable[bytes], wanted: int) -> str:
    found = [value for message in messages for value in _numbered(message, wanted)]
    text: str = found[-1].decode() if found else ""
    return text


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of the fields of a message."""
    position, end = 0, len(data)
    while position < end:
        number, position, value = _field(data, position)
        yield number, value
    if position != end:
        raise OTLPError("a field ends beyond its message")


def _field(data: bytes, position: int) -> tuple[int, int, Any]:
    """(number, position behind it, value) of a field: bytes if it has a length, else an unsigned integer."""
    tag = data[position]
    position += 1
    if tag > 127:
        tag, position = _varint(data, position - 1)
    wire = tag & 7
    if wire == 2:
        size = data[position]
        position += 1
        if size > 127:
            size, position = _varint(data, position - 1)
        stop = position + size
        return tag >> 3, stop, data[position:stop]
    if wire == 0:
        value, position = _varint(data, position)
        return tag >> 3, position, value
    if wire not in (1, 5):
        raise OTLPError(f"wire type {wire} is not used by OTLP")
    stop = position + (8 if wire == 1 else 4)
    return tag >> 3, stop, int.from_bytes(data[position:stop], "little")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position` and the position behind it. Raises IndexError at the end of the data."""
    byte = data[position]
    if byte < 128:
        return byte, position + 1
    number = byte & 0x7F
    for shift in range(7, 70, 7):
        position += 1
        byte = data[position]
        number |= (byte & 0x7F) << shift
        if byte < 128:
            return number & 0xFFFFFFFFFFFFFFFF, position + 1
    raise OTLPError("a number is longer than ten bytes")


def _base64(data: bytes) -> str:
    import binascii

    return binascii.b2a_base64(data, newline=False).decode("ascii")


def read_json(body: bytes) -> list[Span]:
    """The spans of an export in OTLP/JSON. Raises OTLPError."""
    found = []
    try:
        export = from_json(body)
        if b"\\ud" in body or b"\\uD" in body:
            export = to_plain(export)  # halves of surrogate pairs have no UTF-8 form
        for resource_spans in _list(export, "resourceSpans"):
            resource = _json_attributes(resource_spans.get("resource") or {})
            for scope_spans in _list(resource_spans, "scopeSpans"):
                scope = scope_spans.get("scope") or {}
                name, version = [_string(scope, field, "") for field in ("name", "version")]
                source = Source(resource, name, version, _json_attributes(scope))
                found += [_json_span(source, span) for span in _list(scope_spans, "spans")]
    except (AttributeError, TypeError, ValueError) as error:
        # No JSON, or something else where an object should be.
        raise OTLPError(f"not an OTLP trace export: {error}") from None
    return found


def _json_span(source: Source, span: dict[str, Any]) -> Span:
    status = span.get("status") or {}
    return Span(
        source,
        _string(span, "traceId"),
        _string(span, "spanId"),
        _string(span, "parentSpanId", ""),
        _string(span, "name", ""),
        _nanos(span.get("startTimeUnixNano")),
        _nanos(span.get("endTimeUnixNano")),
        _json_attributes(span),
        2 if status.get("code") in (2, "STATUS_CODE_ERROR") else 0,
        _string(status, "message", ""),
        [(_string(event, "name", ""), _json_attributes(event)) for event in _list(span, "events")],
    )


def _list(parent: dict[str, Any], field: str) -> list[Any]:
    value = parent.get(field)
    if value is not None and type(value) is not list:
        raise OTLPError(f"{field} must be an array")
    return value or []


def _string(parent: dict[str, Any], field: str, default: str | None = None) -> str:
    value = parent.get(field)
    if value is None and default is not None:
        return default
    if type(value) is not str:
        raise OTLPError(f"{field} must be text")
    return value


def _nanos(value: Any) -> int:
    """Nanoseconds given as a number or as decimal text; 0 for what is neither."""
    if type(value) is str and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    return int(value) if type(value) in (int, float) and 0 < value <= LAST_NS else 0


def _json_attributes(parent: dict[str, Any], field: str = "attributes", depth: int = 0) -> dict[str, Any]:
    return {_string(each, "key", ""): _json_value(each.get("value") or {}, depth) for each in _list(parent, field)}


def _json_value(value: dict[str, Any], depth: int) -> Any:
    """The plain value of an `AnyValue`."""
    if depth > _MAX_DEPTH:
        raise OTLPError("attribute values are nested too deep")
    for kind, content in value.items():
        if kind == "arrayValue":
            return [_json_value(each, depth + 1) for each in _list(content, "values")]
        if kind == "kvlistValue":
            return _json_attributes(content, "values", depth + 1)
        if kind == "intValue" and type(content) is str and content.lstrip("-").isdecimal() and len(content) < 21:
            return int(content)
        if type(content) in (str, bool, int, float):
            return plain_float(content) if type(content) is float else content
    return None
