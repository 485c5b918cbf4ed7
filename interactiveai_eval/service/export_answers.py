"""What a server says of an OTLP export: protobuf, JSON, or nothing, as the content shows.

Message and field numbers are those of opentelemetry-proto 1.x (ExportTraceServiceResponse).
"""
from __future__ import annotations

from .._strict_json import JSONError, from_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def read_export_answer(body: bytes) -> tuple[int, str]:
    """(number of spans that were refused, what the server says), (0, "") for an export that was taken.

    An object that is no OTLP answer counts as nothing said: servers of this family answer with their own queue's job.
    Raises ValueError for what is no answer at all.
    """
    text = body.lstrip()
    if not text:
        return 0, ""
    if body[:1] == b"\n" and text[:1] != b"{":  # the first field of a message
        return _from_protobuf(body)
    if text[:1] == b"<":
        raise ValueError("a web page")
    try:
        answer = from_json(text)
    except JSONError:
        raise ValueError("neither JSON nor protobuf") from None
    if not isinstance(answer, dict):
        raise ValueError(f"a JSON {type(answer).__name__}")
    partial = answer.get("partialSuccess", answer.get("partial_success"))
    if not isinstance(partial, dict):
        return 0, ""
    refused = partial.get("rejectedSpans", partial.get("rejected_spans")) or 0
    message = partial.get("errorMessage", partial.get("error_message")) or ""
    return _count(refused), str(message)


def _from_protobuf(body: bytes) -> tuple[int, str]:
    refused, message = 0, ""
    for field, value in _fields(body):
        if field == 1 and isinstance(value, bytes):  # partial_success
            for inner, content in _fields(value):
                if inner == 1 and isinstance(content, int):
                    refused = _count(content)
                elif inner == 2 and isinstance(content, bytes):
                    message = content.decode("utf-8", "replace")
    return refused, message


def _count(value: Any) -> int:
    """A number of spans; protobuf's JSON writes it as text. Raises ValueError."""
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
    if not (type(value) is int or is_digits) or not 0 <= int(value) < 2**63:
        raise ValueError("a number of refused spans that is none")
    return int(value)


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: numbers and values. Raises ValueError for what is no message."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        kind = tag & 7
        if kind == 0:
            number, at = _varint(body, at)
            yield tag >> 3, number
        elif kind in (1, 2, 5):
            length, at = _varint(body, at) if kind == 2 else (8 if kind == 1 else 4, at)
            if at + length > len(body):
                raise ValueError("a message that is cut off")
            yield tag >> 3, body[at : at + length]
            at += length
        else:
            raise ValueError("neither JSON nor protobuf")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(body) or shift > 63:
            raise ValueError("a message that is cut off")
        byte = body[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
