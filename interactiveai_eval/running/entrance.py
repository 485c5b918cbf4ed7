"""Lets a thread into the outbox once: what it hands in while it is inside waits until it comes out.

Code of the user's may begin on any thread at nearly any moment: a signal handler, or `__del__` and the end of a
generator while garbage is collected. When it ends a span or makes a score on a thread that is just then in the outbox,
which may hold its lock or be the one that sends, it must neither wait for that thread nor see half of what it does.
"""
from __future__ import annotations

from _thread import get_ident
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Action = Callable[[Any], object]


class Entrance:
    """Who is inside, and what they left at the door. No locks: each step is one that no other thread sees half of."""

    __slots__ = ("_inside", "_left")

    def __init__(self) -> None:
        self._inside: set[int] = set()
        self._left: deque[tuple[Action, Any]] = deque()

    def enter(self) -> bool:
        """Whether the calling thread, which was not inside, now is: it is to `leave` then."""
        me = get_ident()
        if me in self._inside:
            return False
        self._inside.add(me)
        return True

    def put_down(self, action: Action, argument: Any) -> None:
        """Have `action(argument)` done by a thread on its way out, soon: for one that is inside already."""
        self._left.append((action, argument))

    def work_off(self) -> None:
        """Do what was left at the door; the calling thread is inside, and holds no lock."""
        while self._left:
            try:
                action, argument = self._left.popleft()
            except IndexError:  # another thread was there first
                return
            action(argument)

    def leave(self) -> None:
        """Let the calling thread out, with nothing left behind."""
        while True:
            try:
                self.work_off()
            finally:
                self._inside.discard(get_ident())
            # What comes from here on is let in; what came before that is done by this thread as well.
            if not self._left or not self.enter():
                return

    def do(self, action: Action, argument: Any) -> None:
        """`action(argument)`, now or on the way out."""
        if self.enter():
            try:
                action(argument)
            finally:
                self.leave()
        else:
            self.put_down(action, argument)
