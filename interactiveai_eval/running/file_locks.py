"""Locks that keep two runs from one checkpoint, where the platform has such locks.

A lock belongs to an open file and ends with the process, however that ends.
"""
from __future__ import annotations

import os
from weakref import WeakSet

from ..errors import CheckpointError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Holder(Protocol):
        """Something with a locked file open."""

        def close_in_child(self) -> None:
            """After a fork: let go of the copy of the file, with which a child would keep its lock after our end."""


def has_locks() -> bool:
    """Whether this platform has them."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        return False
    return True


def lock(file: Any) -> bool:
    """Take the lock of an open file, or of a descriptor; False when somebody else has it."""
    try:
        import fcntl
    except ImportError:
        return True  # no advisory locks on this platform
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def in_use(path: str) -> CheckpointError:
    """The error for a checkpoint that another run has."""
    return CheckpointError(f"checkpoint {path!r} is in use by another process; wait for it or name another file")


def unlock(file: Any) -> None:
    """Let go of the lock, also where a child that was forked a moment ago still has its copy of the file."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_UN)


# Hooks of forks belong to the process and cannot be taken back, so there is one for all.
_holders: WeakSet[Holder] = WeakSet()
_hooked = False


def close_in_forks(holder: Holder) -> None:
    """Have `holder.close_in_child()` called in every child that is forked from now on."""
    global _hooked
    _holders.add(holder)
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        os.register_at_fork(after_in_child=_close_all)


def _close_all() -> None:
    for holder in list(_holders):
        holder.close_in_child()
