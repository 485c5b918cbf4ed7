"""Tells how far a run is: to the user's own function, or as a line on stderr."""
from __future__ import annotations

import sys
from _thread import allocate_lock

from .._log import warn
from ..errors import error_text
from ..model import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._clock import Clock

# Made-up figures: as often as an eye can follow on a terminal, seldom enough for a log file.
TERMINAL_SECONDS = 0.1
LOG_SECONDS = 10.0


class ProgressDetails(Value):
    """How far a run is: items `done` (of `total`, None when unknown), how many of them `failed`, and for how long."""

    __slots__ = ("name", "done", "total", "failed", "elapsed_seconds")

    name: str
    done: int
    total: int | None
    failed: int
    elapsed_seconds: float

    def __init__(self, *, name: str, done: int, failed: int, total: int | None, elapsed_seconds: float) -> None:
        self._fill({"name": name, "done": done, "failed": failed, "total": total, "elapsed_seconds": elapsed_seconds})

    def __str__(self) -> str:
        share = f"{self.done}/{self.total}" if self.total is not None else str(self.done)
        rate = self.done / self.elapsed_seconds if self.elapsed_seconds > 0 else 0.0
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.name}: {share} items{failed}, {rate:.1f}/s"


class Progress:
    """Calls the hook after every item, one call at a time; a hook that raises is told once and called no more."""

    def __init__(self, hook: Any, *, name: str, total: int | None, clock: Clock) -> None:
        """`hook` is a function of ProgressDetails, True for a line on stderr, or False."""
        self.hook: Callable[[ProgressDetails], None] | None
        self.hook = StderrLine(clock) if hook is True else hook if callable(hook) else None
        self._name = name
        self._total = total
        self._clock = clock
        self._started = clock.monotonic()
        self._lock = allocate_lock()
        self._done = 0
        self._failed = 0

    def item_done(self, *, failed: bool) -> None:
        """Count one item."""
        if self.hook is None:
            return
        with self._lock:
            self._done += 1
            self._failed += failed
            self._call(self.hook)

    def _call(self, hook: Callable[[ProgressDetails], None]) -> None:
        details = ProgressDetails(
            name=self._name,
            done=self._done,
            failed=self._failed,
            total=self._total,
            elapsed_seconds=self._clock.monotonic() - self._started,
        )
        try:
            hook(details)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a SystemExit of the hook's ends the hook, not the run
            self.hook = None
            warn(f"progress hook raised {type(error).__name__}: {error_text(error)}; it is not called again")

    def end(self) -> None:
        """Finish the line on stderr, if there is one."""
        if isinstance(self.hook, StderrLine):
            self.hook.end()


class StderrLine:
    """One line that is rewritten on a terminal; a line now and then elsewhere. Never fails a run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next = clock.monotonic()
        self._last: ProgressDetails | None = None
        self._width = 0

    def __call__(self, details: ProgressDetails) -> None:
        self._last = details
        now = self._clock.monotonic()
        terminal = _is_terminal()
        if now >= self._next:
            self._next = now + (TERMINAL_SECONDS if terminal else LOG_SECONDS)
            self._write(details, "\r" if terminal else "", "" if terminal else "\n")

    def end(self) -> None:
        """Write the last figures and end the line."""
        if self._last is not None:
            self._write(self._last, "\r" if _is_terminal() else "", "\n")

    def _write(self, details: ProgressDetails, before: str, after: str) -> None:
        text = str(details).encode("ascii", "replace").decode("ascii")
        text = "".join([character if character >= " " else "?" for character in text])
        padding = " " * (self._width - len(text)) if before else ""
        self._width = len(text)
        try:
            sys.stderr.write(before + text + padding + after)
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            # stderr is closed, gone or None (services, pythonw): there is nobody to tell, which is no error.
            self._last = None


def _is_terminal() -> bool:
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, ValueError):
        return False
