"""Where ids come from: drawn at random, or derived from what they stand for.

A derived id is the reason why work that is done twice (a rerun, a resume, a retry) lands once.
"""
from __future__ import annotations

import os
from binascii import b2a_base64
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


DIGEST_LENGTH = 10  # 60 bits: in one run of ten billion, one of 100,000 items is mistaken for another


class Ids:
    """Random ids from the operating system. Subclass it to count or to repeat them."""

    def trace_id(self) -> str:
        """32 lower-case hexadecimal digits."""
        return os.urandom(16).hex()

    def span_id(self) -> str:
        """16 lower-case hexadecimal digits."""
        return os.urandom(8).hex()


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data`, 64 hexadecimal digits. It names things, it protects nothing."""
    global _sha256
    if _sha256 is None:
        _sha256 = _find_sha256()
    digest: str = _sha256(data).hexdigest()
    return digest


def derived_id(*parts: str) -> str:
    """64 hexadecimal digits that depend on all parts and on where one ends and the next begins."""
    return text_id(parts_text(*parts))


def parts_text(*parts: str) -> str:
    """What `derived_id` makes the id of; texts of parts can be joined, so that those of thousands are made once."""
    return "".join([f"{len(part)}:{part}" for part in parts])


@lru_cache(256)
def usual_parts_text(*parts: str) -> str:
    """The same, remembered: for parts that come with every item, such as names of evaluators."""
    return parts_text(*parts)


def text_id(text: str) -> str:
    """The id that is derived from a `parts_text`."""
    try:
        data = text.encode()
    except UnicodeEncodeError:  # what JSON lets through
        data = text.encode("utf-8", "surrogatepass")
    return sha256_hex(data)


def is_in_shard(item_id: str, shard: tuple[int, int] | None) -> bool:
    """Whether an item is in part k of n, `shard` being (k, n): a matter of its id alone, the same in every process."""
    if shard is None:
        return True
    part, parts = shard
    return int(sha256_hex(item_id.encode("utf-8", "surrogatepass"))[:15], 16) % parts == part


def item_digest(item_id: str) -> str:
    """Ten characters that stand for an id where ids are only compared."""
    start = bytes.fromhex(sha256_hex(item_id.encode("utf-8", "surrogatepass"))[:16])
    return b2a_base64(start, newline=False).decode("ascii")[:DIGEST_LENGTH]


_sha256: Any = None


def _find_sha256() -> Any:
    # Python's own comes first, as in `random`: the OpenSSL that `hashlib` loads takes 3 MB, for a few short texts.
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]
    except ImportError:
        return _find_older_sha256()
    return sha256


def _find_older_sha256() -> Any:
    """What Pythons before 3.12 have, or those that were built with OpenSSL's alone."""
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        import hashlib
        from functools import partial

        # An OpenSSL that is told to allow only what is certified wants to hear that nothing is protected by these ids.
        return partial(hashlib.sha256, usedforsecurity=False)
    return sha256
