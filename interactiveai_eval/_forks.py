"""Locks in forked children: one that another thread held at the fork is held for ever there, by nobody."""
from __future__ import annotations

import os
from _thread import allocate_lock
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def renew_locks_in_children(owner: Any, *names: str) -> None:
    """Give `owner` new locks under these names in every child that is forked from now on."""
    if not hasattr(os, "register_at_fork"):
        return
    found = ref(owner)  # nobody is kept alive for this

    def renew() -> None:
        here = found()
        for name in () if here is None else names:
            setattr(here, name, allocate_lock())

    os.register_at_fork(after_in_child=renew)
