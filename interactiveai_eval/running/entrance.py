"""Lets a thread into the outbox once: what it hands in while it is inside waits until it comes out.

Code of the user's may begin on any thread at nearly any moment: a signal handler, or `__del__` and the end of a
generator while garbage is collected. When it ends a span or makes a score on a thread that is just then in the outbox,
which may hold its lock or be the one that sends, it must neither wait for that thread nor see half of what it does.
"""
from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from threading import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any

    Action = Callable[[Any], object]


class Entrance:
    """Who is inside, and what they left at the door. No thread waits for another here."""

    __slots__ = ("_left", "_marks")

    def __init__(self) -> None:
        self._marks = local()
        self._left: deque[tuple[Action, Any]] = deque()

    def mark(self) -> LockType:
        """Locked as long as the calling thread is inside, by a `with` statement: no interrupt can leave it so."""
        found: LockType = self._marks.__dict__.setdefault("mark", allocate_lock())
        return found

    def work_off(self) -> None:
        """Do what was left at the door; the calling thread is inside, and holds no other lock."""
        while self._left:
            try:
                action, argument = self._left.popleft()
            except IndexError:  # another thread was there first
                return
            action(argument)

    def clear(self) -> None:
        """`work_off`, for a thread that is on its way out."""
        while self._left:  # what comes from here on is let in
            with self.mark():
                self.work_off()

    def do(self, action: Action, argument: Any, on_the_way_out: Action) -> Any:
        """What `action(argument)` returns. None when this thread is inside: then `on_the_way_out(argument)` is done."""
        mark = self.mark()
        if mark.locked():
            self._left.append((on_the_way_out, argument))
            return None
        try:
            with mark:
                return action(argument)
        finally:
            self.clear()
