"""The head of an HTTP request, read strictly: what could be understood in two ways is refused (RFC 9112)."""
from __future__ import annotations

import re

MOST_HEAD_BYTES = 65_536
_MOST_HEADERS = 100
_MOST_PARAMETERS = 1000
# Linear: no two neighbouring repetitions can take the same character. A bare CR or LF, a folded line, a space before
# the colon, a control character, a fragment or a target that is no path fits nowhere.
_whole = re.compile(
    rb"([A-Z]{1,20}) (/[!\"$-~]*) HTTP/1\.([01])\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)\r\n"
).fullmatch
# A second one of these could be meant for somebody else.
_SINGLE = frozenset("authorization content-encoding content-length content-type host origin transfer-encoding".split())


class BadHead(Exception):
    """The request cannot be read: `status` says why to the client, whose connection must end, as `text` to a human."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class Head:
    """A request without its body: see `Request`; `length` counts the bytes of the body that follows."""

    __slots__ = ("expects", "headers", "keep_alive", "length", "method", "path", "query")

    def __init__(self, data: bytes) -> None:
        """Read `data`, which ends with the empty line. Raises BadHead."""
        if len(data) > MOST_HEAD_BYTES:
            raise BadHead(431, "Request Header Fields Too Large")
        found = _whole(data)
        if found is None:
            raise BadHead(400, "Bad Request")
        method, target, minor, lines = found.groups()
        self.method = method.decode("ascii")
        path, _, query = target.decode("ascii").partition("?")
        self.path = path
        self.query: tuple[tuple[str, str], ...] = _pairs(query) if query else ()
        self.headers = headers = _headers(lines.decode("latin-1"))
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers:
            raise BadHead(400 if "content-length" in headers else 411, "Content-Length Required")
        if not (length.isdecimal() and len(length) < 20):  # latin-1 has no decimals but these ten
            raise BadHead(400, "Bad Request")
        self.length = int(length)
        self.keep_alive = minor == b"1" and "close" not in headers.get("connection", "").lower()
        self.expects = headers.get("expect", "").lower()
        if self.expects not in ("", "100-continue"):
            raise BadHead(417, "Expectation Failed")


def _headers(lines: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    split = lines.split("\r\n")
    split.pop()  # what follows the last line
    if len(split) > _MOST_HEADERS:
        raise BadHead(431, "Request Header Fields Too Large")
    for line in split:
        name, _, value = line.partition(":")
        name = name.lower()
        value = value.strip(" \t")
        if name in headers:
            if name in _SINGLE:
                raise BadHead(400, "Bad Request")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def _pairs(query: str) -> tuple[tuple[str, str], ...]:
    from urllib.parse import parse_qsl

    try:
        found = parse_qsl(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise BadHead(400, "Bad Request") from None
    return tuple(found)
