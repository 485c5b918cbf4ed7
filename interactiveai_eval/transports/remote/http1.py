"""HTTP/1.1 as bytes: what goes out, and a strict reader of what comes back. Nothing here knows a socket.

Strict because a lenient reader can be made to take one server's bytes for another request's answer: whatever could be
read in two ways is refused, and the connection with it.
"""
from __future__ import annotations

from functools import lru_cache
from io import BytesIO

try:
    import zlib

    from ..inflating import PIECE_BYTES, TooLarge, Unfinished, inflate
except ImportError:  # then nothing is asked for compressed
    zlib = None  # type: ignore[assignment]

from ..._headers import TOKEN, header_problem, is_token
from ..._version import __version__
from ...errors import ArgumentError
from ..base import Response
from ..sealed_headers import SealedHeaders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..base import Request

# Made-up bounds, well above what servers send.
MAX_HEAD_BYTES = 65_536
MAX_LINE_BYTES = 8_192
MAX_HEADERS = 100
MAX_INTERIM = 4  # 1xx answers before the real one
MAX_CHUNK_LINE_BYTES = 256
GZIP_FROM_BYTES = 1024  # below that, compressing costs more than it saves
MEMO_ENTRIES = 64
IN_ONE_GO_BYTES = 1_048_576

_PATH = frozenset("-._~%/:@!$&'()*+,;=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_QUERY = _PATH - frozenset("%/:@!$&'()*+,;=")


class BadReply(Exception):
    """What came back is no answer, or only a part of one. `retryable` tells whether another try may end better."""

    def __init__(self, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable


class Outgoing:
    """The bytes of one request. They carry the keys, so that a traceback that shows locals must not show them."""

    __slots__ = ("data", "is_head")

    def __init__(self, data: bytes, is_head: bool) -> None:
        self.data = data
        self.is_head = is_head

    def __repr__(self) -> str:
        return f"Outgoing({len(self.data)} bytes)"


class Writer:
    """Turns requests into bytes. Heads are built once for each method, path and set of headers."""

    __slots__ = ("_head", "_netloc")

    def __init__(self, netloc: str, *, before_path: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """`before_path` makes the absolute form for a proxy, `headers` go with every request."""
        accepted = "gzip, deflate" if zlib is not None else "identity"
        defaults = {
            "accept": "*/*",
            "accept-encoding": accepted,
            "user-agent": f"interactiveai_eval/{__version__}",
            **dict(headers),
        }

        @lru_cache(MEMO_ENTRIES)
        def head(
            method: str,
            path: str,
            query: tuple[tuple[str, str], ...],
            extra: tuple[tuple[str, str], ...],
            sealed: SealedHeaders | tuple[tuple[str, str], ...],
        ) -> bytes:
            if not is_token(method):
                raise ArgumentError("method", method, "must be a method's name, such as GET")
            lines = [f"{method} {before_path}{request_target(path, query)} HTTP/1.1", f"host: {netloc}"]
            given = sealed if isinstance(sealed, tuple) else tuple(sealed.reveal().items())
            lines += [f"{name}: {value}" for name, value in {**defaults, **lower_headers((*given, *extra))}.items()]
            return ("\r\n".join(lines) + "\r\n").encode("ascii")

        # Heads and headers carry keys, so they are kept where no walk over attributes shows them.
        self._head = head
        self._netloc = netloc

    def __repr__(self) -> str:
        return f"Writer({self._netloc})"

    def outgoing(
        self, request: Request, extra: tuple[tuple[str, str], ...] = (), body: bytes | None = None
    ) -> Outgoing:
        """The bytes of `request`, with `extra` headers and `body` in place of its own, if given.

        Raises ArgumentError for what cannot be sent as it is, such as line breaks in a header.
        """
        try:
            head = self._head(request.method, request.path, tuple(request.query), extra, _sealed(request))
        except ArgumentError as refused:
            raise refused.with_traceback(None) from None  # a traceback that shows locals must not show them
        body = request.body if body is None else body
        if body or request.method not in ("GET", "HEAD", "DELETE"):
            return Outgoing(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body), request.method == "HEAD")
        return Outgoing(head + b"\r\n", request.method == "HEAD")


def _sealed(request: Request) -> SealedHeaders | tuple[tuple[str, str], ...]:
    """The headers as what they are known by; by themselves where one object serves many requests."""
    given = request.sealed_headers
    return given if isinstance(given, SealedHeaders) else tuple(given.items())


def lower_headers(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The headers with lower-case names. Raises ArgumentError for one that cannot be sent; values are never shown."""
    found: dict[str, str] = {}
    for name, value in headers:
        problem = header_problem(name, value)
        if problem is not None:
            raise ArgumentError("headers", name, problem)
        found[name.lower()] = value
    return found


def request_target(path: str, query: Sequence[tuple[str, str]]) -> str:
    """Path and query as they stand in the request line; whatever is not encoded yet is."""
    path = path or "/"
    if not path.startswith("/") or any(character < " " or character == "\x7f" for character in path):
        raise ArgumentError("path", path, "must begin with '/' and have no control characters")
    target = _quoted(path, _PATH)
    return f"{target}?{'&'.join([f'{_quoted(n, _QUERY)}={_quoted(v, _QUERY)}' for n, v in query])}" if query else target


def _quoted(text: str, safe: frozenset[str]) -> str:
    if safe.issuperset(text):
        return text
    return "".join(
        [chr(byte) if chr(byte) in safe else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass")]
    )


class _Head:
    """The head of an answer, read."""

    __slots__ = ("encoding", "framing", "headers", "keeps_alive", "length", "status")

    framing: str  # "length", "chunked", "none" or "end"
    keeps_alive: bool

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.length = 0
        self.encoding = headers.get("content-encoding", "identity").strip().lower()


class Reader:
    """Makes readers of answers for one transport, and remembers the last heads: most answers begin like the last."""

    def __init__(self, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self.heads: dict[bytes, _Head] = {}

    def head(self, raw: bytes) -> _Head:
        """The head that `raw` is, without the empty line at its end. Raises BadReply."""
        head = self.heads.get(raw)
        if head is None:
            head = _parsed_head(raw)
            if len(self.heads) >= MEMO_ENTRIES:
                self.heads.clear()
            self.heads[raw] = head
        return head


class Reply:
    """One answer, as its bytes come: `feed` them until it returns True, then `response` and `reusable` are there."""

    __slots__ = (
        "_body",
        "_buffer",
        "_head",
        "_interim",
        "_is_head",
        "_raw",
        "_reader",
        "_room",
        "_size",
        "begun",
        "excess",
        "reusable",
    )

    def __init__(self, reader: Reader, is_head: bool) -> None:
        self._reader = reader
        self._is_head = is_head
        self._head: _Head | None = None
        self._buffer = b""  # not understood yet
        self._body: bytes | BytesIO = b""  # what came in one piece stands for itself
        self._size = 0  # bytes in it
        self._room = 0  # still to come of the current chunk, with the line break behind it
        self._raw = 0
        self._interim = 0
        self.begun = False  # whether any byte came
        self.excess = False  # whether bytes came that are not part of an answer without a body
        self.reusable = False

    def feed(self, data: bytes) -> bool:
        """Take what came; no bytes mean that the peer sends no more. True once the answer is whole.

        Raises BadReply.
        """
        if not data:
            return self._ended()
        self.begun = True
        if self._head is None:
            if self._buffer:
                data = self._buffer + data
            while True:
                end = data.find(b"\r\n\r\n")
                if end < 0 or end > MAX_HEAD_BYTES:
                    _check_beginning(data)
                    self._buffer = data
                    return False
                head = self._reader.head(data[:end])
                data = data[end + 4 :]
                if head.status >= 200:
                    break
                self._interim += 1
                if head.status == 101 or self._interim > MAX_INTERIM:
                    raise BadReply(f"{self._interim} interim answers, the last one {head.status}, and no real one")
                self._buffer = b""
                if not data:
                    return False
            self._head, self._buffer = head, b""
            if self._is_head or head.framing == "none":
                self.excess = bool(data)
                self.reusable = head.keeps_alive and not data
                return True
            if head.length > self._reader.max_body_bytes:
                raise self._too_large(head.length)
        else:
            head = self._head
        if head.framing == "chunked":
            return self._feed_chunks(data)
        self._add(data)
        if head.framing == "length":
            if self._size < head.length:
                return False
            self.reusable = head.keeps_alive and self._size == head.length
            return True
        if self._size > self._reader.max_body_bytes:
            raise self._too_large(self._size)
        return False

    def response(self) -> Response:
        """The answer, decoded. Raises BadReply when the body is not what the head says."""
        head = self._head
        assert head is not None
        body = self._body if isinstance(self._body, bytes) else self._body.getvalue()
        if head.framing == "length" and len(body) > head.length:
            body = body[: head.length]
        if head.encoding not in ("identity", "") and body:
            body = _decoded(head.encoding, body, self._reader.max_body_bytes)
        return Response(head.status, headers=dict(head.headers), body=body)

    def _add(self, data: bytes) -> None:
        """Let the body grow. Pieces in a list, joined in the end, would need twice the memory and more CPU."""
        if not self._size:
            self._body = data
        else:
            if isinstance(self._body, bytes):
                first, self._body = self._body, BytesIO()
                self._body.write(first)
            self._body.write(data)
        self._size += len(data)

    def _ended(self) -> bool:
        if self._head is not None and self._head.framing == "end":
            return True
        if not self.begun:
            raise BadReply("the connection was closed without an answer", retryable=True)
        raise BadReply("the answer ends in the middle", retryable=True)

    def _feed_chunks(self, data: bytes) -> bool:
        """RFC 9112 section 7.1: size line, bytes, line break, ...; then a chunk of size 0 and trailers."""
        limit = self._reader.max_body_bytes
        self._raw += len(data)
        if self._raw > 2 * limit + MAX_HEAD_BYTES:
            raise self._too_large(self._raw)
        data = self._buffer + data
        at = 0
        while True:
            if self._room > 2:
                part = data[at : at + self._room - 2]
                self._add(part)
                self._room -= len(part)
                at += len(part)
            if self._room:
                ending = data[at : at + self._room]
                if self._room > 2 or len(ending) < self._room:
                    break
                if ending != b"\r\n":
                    raise BadReply("a chunk is longer than it says")
                at += 2
                self._room = 0
            end = data.find(b"\r\n", at, at + MAX_CHUNK_LINE_BYTES)
            if end < 0:
                if len(data) - at >= MAX_CHUNK_LINE_BYTES or b"\n" in data[at:]:
                    raise BadReply("the size of a chunk cannot be read")
                break
            size = _chunk_size(data[at:end])
            if not size:
                return self._feed_trailers(data, end + 2, at)
            if self._size + size > limit:
                raise self._too_large(self._size + size)
            at = end + 2
            self._room = size + 2
        self._buffer = data[at:]
        return False

    def _feed_trailers(self, data: bytes, at: int, last_chunk_at: int) -> bool:
        """What follows the last chunk: lines up to an empty one. They are checked, and not used."""
        end = at if data.startswith(b"\r\n", at) else data.find(b"\r\n\r\n", at)
        if end < 0:
            if len(data) - at > MAX_LINE_BYTES:
                raise BadReply("too much follows the last chunk")
            self._buffer = data[last_chunk_at:]
            return False
        if end > at:
            _parsed_lines(data[at:end].split(b"\r\n"))
        rest = data[end + (2 if end == at else 4) :]
        assert self._head is not None
        self.reusable = self._head.keeps_alive and not rest
        return True

    def _too_large(self, size: int) -> BadReply:
        limit = self._reader.max_body_bytes
        return BadReply(f"the answer has {size} bytes or more, the limit is {limit}; ask for fewer rows at once")


def _check_beginning(data: bytes) -> None:
    """Refuse early what will not become the head of an answer."""
    if not data.startswith(b"HTTP/1.") and not b"HTTP/1.".startswith(data):
        hint = "TLS; does the base URL need https://?" if data[:1] in (b"\x15", b"\x16") else "is this an HTTP server?"
        raise BadReply(f"the answer is not HTTP/1.x ({hint})")
    if len(data) > MAX_HEAD_BYTES:
        raise BadReply(f"the head of the answer has more than {MAX_HEAD_BYTES} bytes")
    if b"\n" in data.replace(b"\r\n", b""):
        raise BadReply("the head of the answer has a line that does not end in CR LF")


def _parsed_head(raw: bytes) -> _Head:
    _check_beginning(raw)
    first, *lines = raw.split(b"\r\n")
    version, status, after = first[:8], first[9:12], first[12:13]
    if (
        version not in (b"HTTP/1.1", b"HTTP/1.0")
        or first[8:9] != b" "
        or not (len(status) == 3 and status.isdigit() and b"100" <= status < b"600")
        or after not in (b"", b" ")
        or len(first) > MAX_LINE_BYTES
        or b"\r" in first
        or b"\0" in first
    ):
        raise BadReply("the status line of the answer cannot be read")
    headers, repeated = _parsed_lines(lines)
    head = _Head(int(status), headers)
    tokens = [token.strip().lower() for token in headers.get("connection", "").split(",")]
    is_new = version == b"HTTP/1.1"
    head.keeps_alive = "close" not in tokens if is_new else "keep-alive" in tokens
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if length is not None or coding.lower() != "chunked" or "transfer-encoding" in repeated or not is_new:
            raise BadReply("the answer says in two ways, or in an unknown one, where it ends")
        head.framing = "chunked"
    elif length is not None:
        if "content-length" in repeated or not (length.isascii() and length.isdigit()) or len(length) > 18:
            raise BadReply("the answer has a Content-Length that is not one number")
        head.framing, head.length = "length", int(length)
    else:
        head.framing = "end"
    if head.status < 200 or head.status in (204, 304) or (head.framing == "length" and not head.length):
        head.framing = "none"  # the first three have no body whatever their headers say
    if "content-encoding" in repeated:
        raise BadReply("the answer is encoded more than once")
    return head


def _parsed_lines(lines: Sequence[bytes]) -> tuple[dict[str, str], set[str]]:
    """Header lines as a mapping, repeated ones joined by commas; and the names that were repeated."""
    if len(lines) > MAX_HEADERS:
        raise BadReply(f"the answer has more than {MAX_HEADERS} headers")
    headers: dict[str, str] = {}
    repeated: set[str] = set()
    for line in lines:
        raw_name, colon, value = line.partition(b":")
        if not colon or not raw_name or raw_name.translate(None, TOKEN):
            raise BadReply("a header of the answer cannot be read")  # also a folded one, which begins with a space
        if len(line) > MAX_LINE_BYTES or b"\r" in value or b"\n" in value or b"\0" in value:
            raise BadReply("a header of the answer is too long, or has a line break or a NUL in it")
        name, text = raw_name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")
        if name in headers:
            repeated.add(name)
            text = f"{headers[name]}, {text}"
        headers[name] = text
    return headers, repeated


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].rstrip(b" \t")
    is_number = 1 <= len(digits) <= 15 and not digits.translate(None, b"0123456789abcdefABCDEF")
    if not is_number or b"\r" in line or b"\n" in line:
        raise BadReply("the size of a chunk cannot be read")
    return int(digits, 16)


def _decoded(encoding: str, body: bytes, limit: int) -> bytes:
    """The body without its one content coding, cut off at `limit` before it can fill the memory."""
    if encoding not in ("gzip", "x-gzip", "deflate") or zlib is None:
        raise BadReply(f"the answer is encoded as {encoding[:40]!r}, which was not asked for")
    # "deflate" is in zlib's wrapping; some servers leave that out.
    is_bare = encoding == "deflate" and not (body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0)
    bits = 31 if encoding != "deflate" else -15 if is_bare else 15
    found = BytesIO()
    try:
        if len(body) <= PIECE_BYTES:  # most answers; what comes of one does not fill the memory
            decoder = zlib.decompressobj(bits)
            decoded = decoder.decompress(body, min(limit, IN_ONE_GO_BYTES))
            if decoder.eof and not decoder.unused_data:
                return decoded
        end = inflate(memoryview(body), 0, bits, found, limit)
    except zlib.error as error:
        raise BadReply(f"the answer is not the {encoding} it says: {error}", retryable=True) from None
    except TooLarge:
        reason = f"the answer decodes to more than {limit} bytes, the limit; ask for fewer rows at once"
        raise BadReply(reason) from None
    except Unfinished:
        raise BadReply(f"the {encoding} of the answer ends in the middle", retryable=True) from None
    if end < len(body):
        raise BadReply(f"something follows the {encoding} of the answer")
    return found.getvalue()


CAN_COMPRESS = zlib is not None


def gzipped(body: bytes) -> bytes:
    """`body` as gzip, quickly rather than small."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
