"""Spans as OTLP/protobuf bytes: pure functions of plain values, nothing of a protobuf library.

Message and field numbers are those of opentelemetry-proto 1.x (`ExportTraceServiceRequest` and below); CI decodes
what comes out with the real generated classes and compares field by field.
"""
from __future__ import annotations

import sys

from .._strict_json import to_json, to_plain, well_formed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Protocol

    class SpanLike(Protocol):
        """What a span must have to be encoded; ids are hexadecimal text, times nanoseconds since 1970 UTC."""

        trace_id: str
        id: str
        parent_id: str | None
        name: str
        start_ns: int
        end_ns: int
        shared: tuple[SharedAttributes, ...]
        error_message: str | None

        @property
        def attributes(self) -> Mapping[str, Any]:
            """Values of any kind by name; None means absent."""

        @property
        def events(self) -> Sequence[tuple[int, str, Mapping[str, Any]]]:
            """(time in ns, name, attributes) of each event."""


CONTENT_TYPE = "application/x-protobuf"
_KIND_INTERNAL_AND_TIMES = b"\x30\x01\x39"  # kind (6) = INTERNAL, then the tag of start_time_unix_nano (7)
_FLAGS_SAMPLED_KNOWN = b"\x85\x01\x00\x01\x00\x00"  # flags (16) = 0x100: whether the parent is remote is known: no
_INT64 = 2**63


class SharedAttributes:
    """Attributes that many spans carry: encoded once, the first time they are needed."""

    __slots__ = ("_encoded", "attributes")

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self.attributes = attributes
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The attributes as fields of a span."""
        if self._encoded is None:
            self._encoded = b"".join(_attribute_fields(b"\x4a", self.attributes))
        return self._encoded


def encode_export(
    spans: Iterable[bytes],
    *,
    resource: Mapping[str, Any],
    scope_name: str,
    scope_version: str,
    scope_attributes: Mapping[str, Any],
) -> bytes:
    """An `ExportTraceServiceRequest` with one resource, one scope and the given encoded spans, in their order."""
    scope = b"".join(
        [
            _text(b"\x0a", scope_name),
            _text(b"\x12", scope_version),
            *_attribute_fields(b"\x1a", scope_attributes),
        ]
    )
    scope_spans = [b"\x0a", _varint(len(scope)), scope]
    for span in spans:
        scope_spans += (b"\x12", _varint(len(span)), span)
    encoded_resource = b"".join(_attribute_fields(b"\x0a", resource))
    body = b"".join(scope_spans)
    resource_spans = b"".join(
        (b"\x0a", _varint(len(encoded_resource)), encoded_resource, b"\x12", _varint(len(body)), body)
    )
    return b"".join((b"\x0a", _varint(len(resource_spans)), resource_spans))


def encode_span(span: SpanLike) -> bytes:
    """One `Span` message, without tag and length. Attributes that are None are left out."""
    parts = [b"\x0a\x10", bytes.fromhex(span.trace_id), b"\x12\x08", bytes.fromhex(span.id)]
    if span.parent_id:
        parts += (b"\x22\x08", bytes.fromhex(span.parent_id))
    parts += (
        _text(b"\x2a", span.name),
        _KIND_INTERNAL_AND_TIMES,
        span.start_ns.to_bytes(8, "little"),
        b"\x41",
        span.end_ns.to_bytes(8, "little"),
    )
    for shared in span.shared:
        parts.append(shared.encoded)
    parts += _attribute_fields(b"\x4a", span.attributes)
    for time_ns, name, attributes in span.events:
        time = time_ns.to_bytes(8, "little")
        event = b"".join((b"\x09", time, _text(b"\x12", name), *_attribute_fields(b"\x1a", attributes)))
        parts += (b"\x5a", _varint(len(event)), event)
    if span.error_message is not None:
        status = _text(b"\x12", span.error_message) + b"\x18\x02"
        parts += (b"\x7a", _varint(len(status)), status)
    parts.append(_FLAGS_SAMPLED_KNOWN)
    return b"".join(parts)


_keys: dict[str, bytes] = {}  # attribute names in their encoded form: there are few, and each comes again and again
_KEYS_KEPT = 2000
_LONGEST_KEY_KEPT = 200


def _attribute_fields(tag: bytes, attributes: Mapping[str, Any]) -> list[bytes]:
    """One `KeyValue` field with `tag` for each attribute that is not None."""
    parts: list[bytes] = []
    for name, value in attributes.items():
        if value is None:
            continue
        key = _keys.get(name)
        if key is None:
            key = _text(b"\x0a", name)
            if len(_keys) < _KEYS_KEPT and len(name) <= _LONGEST_KEY_KEPT:
                _keys[name] = key
        if type(value) is str and value.isascii():
            length = len(value)
            whole = len(key) + length + 4
            if whole < 128:  # as most are: every length is one byte
                parts += (tag, _ONE_BYTE[whole], key, _SHORT_TEXT[length], value.encode("ascii"))
                continue
        encoded = _any_value(value)
        length = len(encoded)
        head = b"\x12" + _varint(length)
        parts += (tag, _varint(len(key) + len(head) + length), key, head, encoded)
    return parts


def _double(value: float) -> bytes:
    """The eight bytes of a number, the lowest first; by hand, as `struct` is a compiled module that may be missing."""
    native = memoryview(bytearray(8)).cast("d")
    native[0] = value
    return native.tobytes() if sys.byteorder == "little" else native.tobytes()[::-1]


def _any_value(value: Any) -> bytes:
    """An `AnyValue` message: text, bool, int64, double, none, or an array of these; anything else as its text."""
    kind = type(value)
    if kind is str:
        return _text(b"\x0a", value)
    if kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if kind is int:
        if -_INT64 <= value < _INT64:
            return b"\x18" + _varint(value & 0xFFFFFFFFFFFFFFFF)
        return _text(b"\x0a", to_plain(value))
    if kind is float:
        return b"\x21" + _double(value)
    if kind is list or kind is tuple:
        members = b"".join([b"\x0a" + _varint(len(each)) + each for each in map(_any_value, value)])
        return b"\x2a" + _varint(len(members)) + members
    if value is None:
        return b""
    plain = to_plain(value)
    return _text(b"\x0a", plain if type(plain) is str else to_json(plain))


def _text(tag: bytes, text: str) -> bytes:
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:  # protobuf strings are UTF-8, which has no half of a surrogate pair
        encoded = well_formed(text).encode("utf-8")
    return tag + _varint(len(encoded)) + encoded


_ONE_BYTE = [bytes((number,)) for number in range(128)]
# what stands before a short text of so many bytes in a `KeyValue`: it is the value, and in the value the text
_SHORT_TEXT = [bytes((0x12, number + 2, 0x0A, number)) for number in range(126)]


def _varint(number: int) -> bytes:
    if number < 128:
        return _ONE_BYTE[number]
    if number < 16384:
        return bytes((number & 0x7F | 0x80, number >> 7))
    found = bytearray()
    while number > 127:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
