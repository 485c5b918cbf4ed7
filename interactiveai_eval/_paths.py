"""What may stand in the path of a request: one rule for names, ids and prefixes, whoever they come from."""
from __future__ import annotations

from ._strict_json import well_formed
from .errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SEGMENT = "a text that is not empty, '.' or '..'"
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def is_segment(text: Any) -> bool:
    """Whether `text` can name one thing in a path: with a dot segment for a name the path is another one."""
    return isinstance(text, str) and bool(text.strip()) and text not in (".", "..")


def has_dots(path: str) -> bool:
    """Whether a path, encoded or not, has a segment `.` or `..`."""
    return not {".", ".."}.isdisjoint(path.lower().replace("%2e", ".").split("/"))


def percent_encoded(text: str) -> str:
    """`text` as one path segment: everything but letters, digits and `-._~` is encoded.

    Raises ArgumentError for what is none.
    """
    if not is_segment(text):
        raise ArgumentError("path", text, f"a name or id in it must be {SEGMENT}")
    return "".join([chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in well_formed(text).encode()])
