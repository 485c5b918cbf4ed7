"""Exchanges written down, and played back without a server: one JSON line each, to be read and compared by people.

The first line says what the file is. What is written is chosen by name, and where a secret of the request turns up in
it all the same (a server may echo it, escaped in one way or another), it is replaced before the line is made.
"""
from __future__ import annotations

import os
import re
from _thread import allocate_lock
from binascii import a2b_base64, b2a_base64

from .._strict_json import JSONError, from_json, to_json
from ..errors import ArgumentError, ClosedError, ReplayError, TransportError
from .base import Request, Response, Transport, send_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

FORMAT = "interactiveai_eval recording"
VERSION = 1
# What is written of headers; everything else may carry a secret.
_REQUEST_HEADERS = ("content-type",)
_RESPONSE_HEADERS = ("content-type", "date", "retry-after", "retry-after-ms")
_SECRET_WORDS = ("auth", "cookie", "key", "token", "secret", "password", "credential", "session")
_HIDDEN = "***"


class RecordTransport(Transport):
    """Sends through `inner` and appends each exchange, an error too, to the new file at `path`."""

    def __init__(self, inner: Transport, path: str | os.PathLike[str]) -> None:
        """The file is readable by its owner only. Closing this closes `inner`.

        Raises ArgumentError when there is a file already, or none can be made.
        """
        self._inner = inner
        self.path = os.fsdecode(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        try:
            self._file: int | None = os.open(self.path, flags, 0o600)
        except FileExistsError:
            raise ArgumentError("path", self.path, "must name a file that is not there yet; delete it first") from None
        except OSError as error:
            raise ArgumentError("path", self.path, f"cannot be written ({error.strerror})") from None
        self._lock = allocate_lock()
        self._write({"format": FORMAT, "version": VERSION})

    def __repr__(self) -> str:
        return f"RecordTransport({self._inner!r}, {self.path!r})"

    def send(self, request: Request) -> Response:
        """The answer of `inner`, written down. Raises TransportError also when it cannot be."""
        try:
            response = self._inner.send(request)
        except TransportError as error:
            self._record(request, error)
            raise
        self._record(request, response)
        return response

    def send_each(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Response | TransportError]]:
        """What `inner` makes of many requests, written down in the order in which they are answered."""
        for request, answer in send_each(self._inner, requests):
            self._record(request, answer)
            yield request, answer

    def close(self) -> None:
        self._inner.close()
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _record(self, request: Request, answer: Response | TransportError) -> None:
        hide = _Hider(request)
        asked: dict[str, Any] = {"method": request.method, "path": hide.text(request.path)}
        if request.query:
            asked["query"] = [[hide.text(name), hide.text(value)] for name, value in request.query]
        asked.update(hide.content(request, _REQUEST_HEADERS))
        if isinstance(answer, Response):
            told: dict[str, Any] = {"status": answer.status, **hide.content(answer, _RESPONSE_HEADERS)}
        else:
            told = {"error": hide.text(str(answer)), "retryable": answer.retryable}
        self._write({"request": asked, "response": told})

    def _write(self, line: dict[str, Any]) -> None:
        data = (to_json(line) + "\n").encode("ascii")
        with self._lock:
            if self._file is None:
                raise ClosedError("this RecordTransport is closed")
            try:
                while data:
                    data = data[os.write(self._file, data) :]
            except OSError as error:
                raise TransportError(f"the recording {self.path!r} cannot be written ({error.strerror})") from None


class _Hider:
    """Takes the secrets of one request out of whatever is written about it, in whatever spelling they stand there.

    A text in which one can only be read by undoing escapes is hidden as a whole.
    """

    def __init__(self, request: Request) -> None:
        found: set[str] = set()
        for name, value in request.headers.items():
            lower = name.lower()
            if "public" in lower or not any(word in lower for word in _SECRET_WORDS):
                continue
            for part in (value, *value.split(), *value.replace(";", " ").replace("=", " ").split()):
                found.add(part)
                found.update(_unpacked(part))
        # Short pieces, such as "Basic", would hide half the text.
        secrets = [secret for secret in found if len(secret) >= 6]
        packed = [each for secret in secrets for each in _packed(secret)]
        foreign = [secret.encode().decode("latin-1") for secret in secrets if not secret.isascii()]
        self._secrets = sorted({*secrets, *packed, *foreign}, key=len, reverse=True)

    def __repr__(self) -> str:
        return "_Hider()"

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return _HIDDEN if self._is_in(text) else text

    def body(self, data: bytes) -> tuple[Any, bytes]:
        """What a body says in JSON, or _NO_JSON, and its bytes."""
        value = _value_of(data)
        try:
            text, coding = data.decode("utf-8"), "utf-8"
        except UnicodeDecodeError:
            text, coding = data.decode("latin-1"), "latin-1"
        if self._is_in(text):
            data = self.text(text).encode(coding)
            value = self._value(value)
        return value, data

    def content(self, message: Request | Response, names: tuple[str, ...]) -> dict[str, Any]:
        """The headers with these names, and the body in the form that reads best."""
        lower = {name.lower(): value for name, value in message.headers.items()}
        headers = {name: self.text(lower[name]) for name in names if name in lower}
        content: dict[str, Any] = {"headers": headers} if headers else {}
        if not message.body:
            return content
        value, body = self.body(message.body)
        if value is not _NO_JSON and _value_of(to_json(value).encode()) == value:
            return {**content, "json": value}
        try:
            return {**content, "text": body.decode("utf-8")}
        except UnicodeDecodeError:
            return {**content, "base64": b2a_base64(body, newline=False).decode("ascii")}

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self.text(name): self._value(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, str):
            return self.text(value)
        return _HIDDEN if value is not _NO_JSON and self._is_in(str(value)) else value

    def _is_in(self, text: str) -> bool:
        return any(secret in reading for reading in _readings(text) for secret in self._secrets)


def _readings(text: str) -> Iterator[str]:
    """The text, and what it says once escapes are undone, some of which may stand in others (a made-up four deep)."""
    yield text
    seen, last = {text}, [text]
    for _ in range(4):
        found = {reading for each in last for reading in (_of_json(each), _of_url(each), _of_html(each))} - seen
        yield from found
        seen |= found
        last = list(found)


def _of_json(text: str) -> str:
    if "\\" not in text:
        return text
    return _escape.sub(_sign, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _of_url(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _of_html(text: str) -> str:
    if "&" not in text:
        return text
    from html import unescape

    return unescape(text)


_escape = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)


def _sign(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else found[3]


def _packed(secret: str) -> Iterator[str]:
    """How base64 writes a secret that begins at its first, second or third byte; what it shares signs with left out."""
    data = secret.encode()
    for before, first in enumerate((0, 2, 3)):
        text = b2a_base64(b"\0" * before + data, newline=False).decode("ascii")[first : (before + len(data)) * 8 // 6]
        yield text
        yield text.replace("+", "-").replace("/", "_")


def _unpacked(text: str) -> list[str]:
    """What is in base64, as in `Basic cGs6c2s=`: the password; the user's name is no secret."""
    try:
        plain = a2b_base64(text)
    except ValueError:
        return []
    try:
        whole = plain.decode("utf-8")
    except UnicodeDecodeError:
        whole = plain.decode("latin-1")
    return [whole, whole.partition(":")[2]]


class ReplayTransport(Transport):
    """Answers from a recording. Requests may come in any order; those that are alike get their answers in order.

    Alike are requests with the same method, path, query (in any order) and body (JSON in any spelling).
    """

    def __init__(self, path: str | os.PathLike[str], *, key: Callable[[Request], Any] | None = None) -> None:
        """`key` gives what must be equal for requests to be alike, in place of the above; it must be hashable.

        Raises ReplayError, with the number of the line, when the file is no recording.
        """
        self.path = os.fsdecode(path)
        self._key = key or _request_key
        self._lock = allocate_lock()
        self._closed = False
        self._answers: dict[Any, list[Response | TransportError]] = {}
        self._played: dict[Any, int] = {}
        number = 0
        try:
            with open(self.path, "rb") as file:
                for number, line in enumerate(file, 1):
                    self._take(number, line)
        except OSError as error:
            raise ReplayError(f"the recording {self.path!r} cannot be read ({error.strerror})") from None
        if not number:
            raise ReplayError(f"{self.path!r} is empty, and so no recording")

    def __repr__(self) -> str:
        return f"ReplayTransport({self.path!r})"

    def send(self, request: Request) -> Response:
        """The recorded answer, or the recorded error. Raises ReplayError when there is none, or none is left."""
        if self._closed:
            raise ClosedError("this ReplayTransport is closed")
        key = self._key(request)
        with self._lock:
            answers = self._answers.get(key, [])
            played = self._played[key] = self._played.get(key, 0) + 1
        if played > len(answers):
            raise ReplayError(self._reason(request, len(answers)), request=request)
        answer = answers[played - 1]
        if isinstance(answer, TransportError):
            raise TransportError(str(answer), request=request, retryable=answer.retryable)
        return answer

    def close(self) -> None:
        self._closed = True

    def _reason(self, request: Request, recorded: int) -> str:
        asked = f"{request.method} {request.path}"
        if recorded:
            return f"{self.path!r} has {recorded} answers to this {asked}, and it was sent once more"
        alike = sum([len(found) for key, found in self._answers.items() if key[:2] == (request.method, request.path)])
        other = f"{alike} with another query or body" if alike else "none for this method and path"
        return f"{self.path!r} has no answer to this {asked} ({other}); record it again, or give a key="

    def _take(self, number: int, line: bytes) -> None:
        try:
            row = from_json(line)
            if number == 1:
                if row != {"format": FORMAT, "version": VERSION}:
                    raise ValueError(f"it is not {FORMAT}, version {VERSION}")
                return
            asked, told = row["request"], row["response"]
            query = tuple([(str(name), str(value)) for name, value in asked.get("query", ())])
            headers = dict(asked.get("headers", {}))
            request = Request(asked["method"], asked["path"], query=query, headers=headers, body=_body(asked))
            if "error" in told:
                answer: Response | TransportError = TransportError(told["error"], retryable=told["retryable"] is True)
            else:
                answer = Response(int(told["status"]), headers=dict(told.get("headers", {})), body=_body(told))
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            reason = f"there is no {problem}" if isinstance(problem, KeyError) else problem
            raise ReplayError(f"{self.path!r}, line {number}: no recorded exchange ({reason})") from None
        self._answers.setdefault(self._key(request), []).append(answer)


def _body(message: Any) -> bytes:
    if "json" in message:
        return to_json(message["json"]).encode("ascii")
    if "base64" in message:
        return a2b_base64(message["base64"])
    return str(message.get("text", "")).encode("utf-8", "surrogatepass")


def _request_key(request: Request) -> tuple[Any, ...]:
    hide = _Hider(request)
    value, body = hide.body(request.body)
    content = body if value is _NO_JSON else _frozen(value)  # without JSON every byte counts
    query = tuple(sorted([(hide.text(name), hide.text(value)) for name, value in request.query]))
    return request.method, hide.text(request.path), query, content


_NO_JSON: Any = object()


def _value_of(body: bytes) -> Any:
    """What a body says in JSON, or _NO_JSON."""
    try:
        return from_json(body)
    except JSONError:
        return _NO_JSON


def _frozen(value: Any) -> Any:
    """A JSON value that can be a key, the same for all orders of keys."""
    if isinstance(value, dict):
        return "object", frozenset([(name, _frozen(each)) for name, each in value.items()])
    if isinstance(value, list):
        return "array", tuple([_frozen(each) for each in value])
    return type(value) is bool, value
