"""Options whose text is read as a value."""
from __future__ import annotations

import argparse

from ..errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def shard_from(text: str) -> tuple[int, int]:
    """The part and the number of parts; argparse reports what is no shard."""
    part, _, parts = text.partition("/")
    try:
        shard = int(part), int(parts)
    except ValueError:
        shard = 0, 0
    if not 0 <= shard[0] < shard[1]:
        raise argparse.ArgumentTypeError(f"{text!r}: must be K/N, the part K (from 0) of N parts, such as 0/3")
    return shard


def metadata_from(text: str | None) -> Any:
    """What --metadata says in JSON, None where it was not given. Raises ArgumentError."""
    from .._strict_json import JSONError, from_json

    try:
        return None if text is None else from_json(text)
    except JSONError as error:
        raise ArgumentError("--metadata", text, f"is no JSON: {error}") from None
