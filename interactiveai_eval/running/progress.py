"""Tells how far a run is: to the user's own function, or as a line on stderr."""
from __future__ import annotations

import os
import sys
from _thread import allocate_lock

from .._log import warn
from .._visible import cut
from ..errors import error_text, type_name
from ..model import Value
from ..tally import RunTally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._clock import Clock
    from ..model import Evaluation

# Made-up figures: as often as an eye can follow on a terminal, seldom enough for a log file.
TERMINAL_SECONDS = 0.1
LOG_SECONDS = 10.0
_LINE_MOST = 2_000  # characters

# Running means that a line has room for.
_MEANS_SHOWN = 3


class ProgressDetails(Value):
    """How far a run is: items `done` (of `total`, None when unknown), how many of them `failed`, and for how long.

    `means` maps metrics of numbers and booleans to their mean so far. `remaining_seconds` is a guess from the pace
    until now, None where there is none.
    """

    __slots__ = ("name", "done", "total", "failed", "elapsed_seconds", "means")

    name: str
    done: int
    total: int | None
    failed: int
    elapsed_seconds: float
    means: dict[str, float]

    def __init__(
        self,
        *,
        name: str,
        done: int,
        failed: int,
        total: int | None,
        elapsed_seconds: float,
        means: dict[str, float] | None = None,
    ) -> None:
        counts = {"name": name, "done": done, "failed": failed, "total": total, "elapsed_seconds": elapsed_seconds}
        self._fill({**counts, "means": {} if means is None else means})

    @property
    def remaining_seconds(self) -> float | None:
        """How long the rest will take at the pace until now."""
        if self.total is None or not self.done or self.elapsed_seconds <= 0:
            return None
        return self.elapsed_seconds / self.done * max(self.total - self.done, 0)

    def __str__(self) -> str:
        share = f"{self.done}/{self.total}" if self.total is not None else str(self.done)
        rate = self.done / self.elapsed_seconds if self.elapsed_seconds > 0 else 0.0
        parts = [f"{self.name}: {share} items", *([f"{self.failed} failed"] if self.failed else []), f"{rate:.1f}/s"]
        parts += [f"{name} {mean:.3f}" for name, mean in list(self.means.items())[:_MEANS_SHOWN]]
        rest = self.remaining_seconds
        if rest and rest >= 1.0:
            minutes, seconds = divmod(round(rest), 60)
            hours, minutes = divmod(minutes, 60)
            parts.append(f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left")
        return ", ".join(parts)


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
        self._tally = RunTally()

    def item_done(self, *, failed: bool, evaluations: Iterable[Evaluation] = ()) -> None:
        """Count one item and its evaluations."""
        if self.hook is None:
            return
        with self._lock:
            self._done += 1
            self._failed += failed
            self._tally.add_result(evaluations)
            self._call(self.hook)

    def _call(self, hook: Callable[[ProgressDetails], None]) -> None:
        details = ProgressDetails(
            name=self._name,
            done=self._done,
            failed=self._failed,
            total=self._total,
            elapsed_seconds=self._clock.monotonic() - self._started,
            means={name: each.mean for name, each in self._tally.metrics.items() if each.mean is not None},
        )
        try:
            hook(details)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a SystemExit of the hook's ends the hook, not the run
            self.hook = None
            warn(f"progress hook raised {type_name(error)}: {error_text(error)}; it is not called again")

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
        text = cut(str(details), _LINE_MOST).encode("ascii", "replace").decode("ascii")
        text = "".join([character if " " <= character <= "~" else "?" for character in text])
        if before:  # a line that wraps could not be written over
            text = text[: _columns() - 1]
        padding = " " * (self._width - len(text)) if before else ""
        self._width = len(text)
        try:
            sys.stderr.write(before + text + padding + after)
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            # stderr is closed, gone or None (services, pythonw): there is nobody to tell, which is no error.
            self._last = None


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (AttributeError, ValueError, OSError):
        return 80


def _is_terminal() -> bool:
    try:
        return bool(sys.stderr.isatty())
    except (AttributeError, ValueError):
        return False
