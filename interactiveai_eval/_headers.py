"""Which headers can be sent: one rule for those that a client is given and those that go out."""
from __future__ import annotations

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TOKENS = frozenset(TOKEN.decode())
_VISIBLE = frozenset(map(chr, [9, *range(32, 127)]))
_OURS = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


def is_token(text: str) -> bool:
    """Whether it can name a header or a method."""
    return bool(text) and _TOKENS.issuperset(text)


def header_problem(name: str, value: str) -> str | None:
    """Why a header cannot be sent, in words that do not show its value; None if it can."""
    if not is_token(name):
        return "is not a header's name"
    if not _VISIBLE.issuperset(value):
        return "must have a value of visible ASCII, without line breaks"
    return "is set by the transport; leave it out" if name.lower() in _OURS else None
