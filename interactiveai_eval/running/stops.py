"""Ctrl-C and SIGTERM while a run is under way: the first asks the run to stop, the second leaves at once."""
from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

SIGTERM_EXIT = 143  # 128 + SIGTERM, what a shell reports of a process that it ended


class Signals:
    """`with Signals(on_stop, interrupts=...)`: calls `on_stop(error)` with the exception that the run should end in.

    Only the main thread can hear signals, and only handlers that the application left at their defaults are replaced,
    and that of `asyncio.run`, which is heard only between two steps of its loop; elsewhere this does nothing. On exit
    the former handlers are back.
    """

    def __init__(
        self,
        on_stop: Callable[[BaseException], None],
        *,
        interrupts: bool,
        on_again: Callable[[BaseException], bool] | None = None,
    ) -> None:
        """`interrupts` is False where somebody else answers Ctrl-C (`asyncio.run` does, for what it runs).

        `on_again(error)` is asked at the second signal; without its True, and at every later one, the error is raised.
        """
        self._on_stop = on_stop
        self._on_again = on_again
        self._interrupts = interrupts
        self._stopping = False
        self._before: list[tuple[int, Any]] = []
        self._process = os.getpid()

    def __enter__(self) -> Signals:
        import threading

        if threading.current_thread() is not threading.main_thread():
            return self
        try:
            import signal
        except ImportError:
            return self  # this Python has no signals, so nobody can send one
        wanted: list[tuple[int, Any]] = [(signal.SIGTERM, signal.SIG_DFL)]
        if self._interrupts:
            wanted.append((signal.SIGINT, signal.default_int_handler))
        for number, default in wanted:
            before = signal.getsignal(number)
            if before is default or (number == signal.SIGINT and _is_of_asyncio(before)):
                try:
                    self._before.append((number, signal.signal(number, self._heard)))
                except ValueError:
                    return self  # an embedded interpreter whose "main" thread is not the process's
        return self

    def __exit__(self, *exc_info: Any) -> None:
        import signal

        for number, handler in self._before:
            if signal.getsignal(number) == self._heard:
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        import signal

        if os.getpid() != self._process and number == signal.SIGTERM:
            # A child that was forked meanwhile, a pool's worker say, which is told to end: there is no run in it.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        error: BaseException = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(SIGTERM_EXIT)
        if self._stopping:
            on_again, self._on_again = self._on_again, None
            if on_again is not None and on_again(error):
                return
            raise error
        self._stopping = True
        self._on_stop(error)


def _is_of_asyncio(handler: Any) -> bool:
    """Whether a handler was set by `asyncio.run` (Python 3.11 and later)."""
    return getattr(getattr(handler, "func", None), "__module__", None) == "asyncio.runners"
