"""What was compressed, decoded piece by piece: in no more memory than may come of it, in time that goes by its size.

Loaded only where there is `zlib`.
"""
from __future__ import annotations

import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BytesIO

PIECE_BYTES = 65_536
_FIRST_BYTES = 1024  # a stream of which there are many is short


class Unfinished(Exception):
    """The stream ends in the middle."""


class TooLarge(Exception):
    """More would come of it than may."""


def inflate(data: memoryview, at: int, bits: int, out: BytesIO, limit: int) -> int:
    """Decode the one stream that begins at `at` to the end of `out`; where it ends.

    `bits` are those of `zlib.decompressobj`. Raises zlib.error, Unfinished, and TooLarge for an `out` beyond `limit`.
    """
    decoder = zlib.decompressobj(bits)
    size, piece = _FIRST_BYTES, memoryview(b"")
    while True:
        if not piece:
            piece = data[at : at + size]
            at += len(piece)
            size = min(2 * size, PIECE_BYTES)
        decoded = decoder.decompress(piece, PIECE_BYTES)
        if out.tell() + len(decoded) > limit:
            raise TooLarge
        out.write(decoded)
        if decoder.eof:
            return at - len(decoder.unused_data)
        if not piece and len(decoded) < PIECE_BYTES:
            raise Unfinished
        piece = memoryview(decoder.unconsumed_tail)
