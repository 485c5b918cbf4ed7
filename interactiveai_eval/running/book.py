"""What of a batch evaluation is done: every item that came through in an unbroken row from the start, and no other.

An item is done when its scores have arrived, or when it failed (then the token names it). From what is done the token
is made with which a later call goes on, so that nothing is skipped; what it repeats lands on the same score ids. At the
end of a call the token names what was cut off, too, where others behind it are done: those are not done again.
"""
from __future__ import annotations

from _thread import allocate_lock
from collections import deque, namedtuple

from ..batch_model import BatchItemFailure
from ..errors import CheckpointError
from ..service.reading import Position
from .measures import EvaluatorRun, StatsRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..batch_model import BatchEvaluationResumeToken
    from ..model import Evaluation, EvaluatorStats
    from ..service.reading import Page, Way
    from .engine import Engine

# What was done since the checkpoint was written is done again after a kill; so it is written again and again, but
# takes a twentieth of the time at most, however slow the disk is, and is no older than some seconds. Made-up figures.
SAVE_SHARE = 0.05
SAVE_SECONDS_LEAST, SAVE_SECONDS_MOST = 0.02, 5.0
# How long the last writer waits for the one before.
CLOSE_SECONDS = 1.0
# More failed ids than a token can hold (2 KB, four bytes each at least), even when those that it came with succeed.
FAILED_IDS_KEPT = 1_100
# How many failures are kept where evaluations are not: what is kept must not grow with the run. A made-up figure.
FAILURES_KEPT = 10_000
COUNTS = ("processed", "failed", "scores", "composite_scores", "evaluations_failed")


class BatchWork:
    """One row to be evaluated, at its `place` in a `stretch` of the book.

    `row` is None when it must be fetched by its id first, `problem` says what is wrong with a malformed row.
    """

    __slots__ = ("id", "place", "problem", "row", "stretch")

    def __init__(self, id: str | None, *, row: Any, problem: str = "", stretch: Any = None, place: int = 0) -> None:
        self.id = id
        self.row = row
        self.problem = problem
        self.stretch = stretch
        self.place = place


class Outcome:
    """What became of one item: its failure or its evaluations, and the runs of the evaluators on it."""

    __slots__ = ("composite_scores", "evaluations", "failure", "given_by", "gone", "runs", "scores", "troubles")

    def __init__(self) -> None:
        self.failure: BatchItemFailure | None = None
        self.gone = False  # the server has no such item any more
        self.evaluations: list[Evaluation] = []
        self.runs: list[EvaluatorRun] = []
        self.given_by: list[EvaluatorRun] = []  # for each evaluation, the run that gave it
        self.troubles: list[BatchItemFailure] = []  # of evaluators
        self.scores = 0  # accepted for delivery, of evaluators
        self.composite_scores = 0

    def ending(self) -> Ending:
        """The part of it that the token needs, so that an item whose scores are on their way holds nothing else."""
        failed = self.failure is not None
        counts = int(not failed), int(failed), self.scores, self.composite_scores, len(self.troubles)
        return Ending(counts, failed, self.gone)


# `counts`: what an item adds to COUNTS, in that order; `gone`: the server has no such item any more.
Ending = namedtuple("Ending", "counts failed gone")


class _Stretch:
    """The rows of one page: what is done of them, and how many from the start are. What they hold is not kept."""

    __slots__ = ("done", "front", "number", "open", "way")

    def __init__(self, number: int, page: Page) -> None:
        self.number = number
        self.way = page.way
        self.done: list[Any] = [None] * len(page.rows)
        self.open = len(page.rows)  # rows that have not ended, whether done or not
        self.front = 0


class Book:
    """Counts for the result, and the token; safe from many threads.

    `save(token)` writes the checkpoint, None when there is none; an error of it goes to `stop`.
    """

    def __init__(
        self,
        token: BatchEvaluationResumeToken,
        *,
        upper: Callable[[], str | None],
        save: Callable[[BatchEvaluationResumeToken], None] | None,
        stop: Callable[[BaseException], None],
        engine: Engine,
        evaluator_names: Sequence[str],
        keep: bool,
    ) -> None:
        """`upper()` is the reader's upper bound, once that is settled."""
        self._token = token
        self._upper = upper
        self._save = save
        self._stop = stop
        self._engine = engine
        self._clock = engine.clock
        self._keep = keep
        self._rows = [StatsRow(name) for name in evaluator_names]
        self._lock = allocate_lock()
        self._saving = allocate_lock()
        self._next_save = 0.0
        self._save_is_set = False
        self._stretches: deque[_Stretch] = deque()
        self._opened = 0
        # Of all calls of the run, for the token: the unbroken row of what is done.
        self._behind: dict[str, int] = {**dict.fromkeys(COUNTS, 0), **token.counts}
        first, again = token.by_tries()
        self._failed: dict[str, None] = dict.fromkeys(first)
        self._failed_again: dict[str, None] = dict.fromkeys(again)
        self._cut_off: dict[tuple[int, int], str] = {}  # of this call: ids by number of the stretch and place
        self._cut_off_again = False  # of those that the token names, one was
        self._overflows = False  # more have failed than a token can ever hold: it stays where it is
        self._last_id = token.last_processed_id
        # Where that row ends: the last page that is done, None as long as the first of this call is not.
        self._behind_way: Way | None = None
        # Of this call, for the result.
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self.attempted = 0  # items that came to their end, and were not cancelled
        self.total_fetched = 0
        self.failed_item_ids: list[str] = []
        self.failures: list[BatchItemFailure] = []
        self.error_summary: dict[str, int] = {}
        self.evaluations: dict[str, list[Evaluation]] = {}

    # -- what comes ------------------------------------------------------------------------------------------------

    def open(self, page: Page) -> _Stretch:
        """The next page in reading order."""
        with self._lock:
            self._opened += 1
            stretch = _Stretch(self._opened, page)
            self._stretches.append(stretch)
            self._advance()
        return stretch

    @staticmethod
    def distance(first: _Stretch | None, last: _Stretch | None) -> int:
        """How many pages lie between two stretches; None is before all of them."""
        return (last.number if last is not None else 0) - (first.number if first is not None else 0)

    def fetched(self, count: int) -> None:
        """Count rows that are ours."""
        with self._lock:
            self.total_fetched += count

    def pass_over(self, stretch: _Stretch, place: int) -> None:
        """A row that is none of ours."""
        with self._lock:
            stretch.done[place] = _NOTHING
            stretch.open -= 1
            self._advance()

    # -- what becomes of it ----------------------------------------------------------------------------------------

    def ended(self, work: BatchWork, outcome: Outcome, ending: Ending) -> bool:
        """Take what became of an item into the result; whether it is done is another matter.

        True when its page is through: its scores are wanted there soon, for the checkpoint and for a quick end.
        """
        with self._lock:
            if work.stretch is not None:
                work.stretch.open -= 1
            for name, count in zip(COUNTS, ending.counts):
                if count:
                    self.counts[name] += count
            for run in outcome.runs:
                self._rows[run.position].add(run)
            failure = outcome.failure
            self.attempted += failure is None or failure.stage != "cancelled"
            if failure is not None:
                self.error_summary[failure.error_type] = self.error_summary.get(failure.error_type, 0) + 1
                if work.id is not None and (self._keep or len(self.failed_item_ids) < FAILURES_KEPT):
                    self.failed_item_ids.append(work.id)
            elif self._keep and work.id is not None:
                self.evaluations[work.id] = outcome.evaluations
            for each in outcome.troubles if failure is None else [failure, *outcome.troubles]:
                if self._keep or len(self.failures) < FAILURES_KEPT:
                    self.failures.append(each)
            if work.stretch is None:
                return self._save is not None
            return not work.stretch.open

    def fetch_failed(self, error_type: str, message: str) -> None:
        """Note that a page could not be read, which ends the run."""
        with self._lock:
            self.failures.append(
                BatchItemFailure(item_id=None, stage="fetch", error_type=error_type, message=message)
            )
            self.error_summary[error_type] = self.error_summary.get(error_type, 0) + 1

    def done(self, work: BatchWork, ending: Ending) -> None:
        """Its scores have arrived, or it failed: it will not be asked for again."""
        with self._lock:
            if work.stretch is None:
                self._settle(work.id, ending)
            else:
                work.stretch.done[work.place] = (work.id, ending)
                self._advance()
        if self._save is not None:
            self._write_in_time()

    def cut_off(self, work: BatchWork) -> None:
        """It was begun, and ended by the end of the run."""
        with self._lock:
            if work.id is None:
                return  # nothing to name it by
            if work.stretch is not None:
                self._cut_off[work.stretch.number, work.place] = work.id
                return
            self._cut_off_again = True
            if self._failed.pop(work.id, self) is None:  # others first, lest it takes all the time again
                self._failed_again[work.id] = None

    def conclude(self, *, out_of_time: bool) -> None:
        """Follow what is done past what was cut off, which the token names from here on, as far as that fits.

        Ids that were cut off come with those that failed again, after all others. When time has run out before
        anything was done, even what nothing follows is named: with the same items again, the next call would end so.
        """
        with self._lock:
            self._moved()
            last = self._last_done()
            if last is None and out_of_time and not self.attempted:
                last = max(self._cut_off, default=None)
            while self._stretches:
                first = self._stretches[0]
                place = first.number, first.front
                if last is None or place > last or place not in self._cut_off:
                    return
                self._failed_again[self._cut_off[place]] = None
                self._behind["failed"] += 1  # as long as it is named; see `_settle`
                first.done[first.front] = _NOTHING
                self._advance()
                self._moved()

    def _last_done(self) -> tuple[int, int] | None:
        """Stretch number and place of the last item that is done behind others that are not; the lock is held."""
        for stretch in reversed(self._stretches):
            for place in reversed(range(stretch.front, len(stretch.done))):
                if stretch.done[place] is not None and stretch.done[place] is not _NOTHING:
                    return stretch.number, place
        return None

    def _settle(self, item_id: str | None, ending: Ending) -> None:
        """Take an item into the token; the lock is held."""
        for name, count in zip(COUNTS, ending.counts):
            if count:
                self._behind[name] += count
        if item_id is None:
            return
        self._last_id = item_id
        had_failed = item_id in self._failed or item_id in self._failed_again
        if had_failed:  # tried again: it had been counted
            self._behind["failed"] -= 1
            self._failed.pop(item_id, None)
            self._failed_again.pop(item_id, None)
        if not ending.failed or (had_failed and ending.gone):
            return
        self._overflows = self._overflows or len(self._failed) + len(self._failed_again) >= FAILED_IDS_KEPT
        if not self._overflows:
            (self._failed_again if had_failed else self._failed)[item_id] = None

    def _advance(self) -> None:
        """Follow the unbroken row of what is done; the lock is held."""
        while self._stretches:
            stretch = self._stretches[0]
            while stretch.front < len(stretch.done) and stretch.done[stretch.front] is not None:
                found = stretch.done[stretch.front]
                if found is not _NOTHING:
                    self._settle(*found)
                    stretch.done[stretch.front] = _NOTHING
                stretch.front += 1
            if stretch.front < len(stretch.done):
                return
            self._behind_way = stretch.way
            self._stretches.popleft()
            self._moved()  # page by page, so that a token which will not fit later has come as far as it can

    # -- the token -------------------------------------------------------------------------------------------------

    @property
    def all_done(self) -> bool:
        """Whether nothing that was opened or taken up again is still open."""
        with self._lock:
            return not self._stretches and not self._cut_off_again

    def token(self) -> BatchEvaluationResumeToken:
        """With this a later call goes on after what is done; it never moves backwards."""
        with self._lock:
            return self._moved()

    def retry(self) -> BatchEvaluationResumeToken | None:
        """With this a later call runs the failed items again; None when there are none that have an id.

        Those alone, or, when the token could not name them all, all that follows the last that it names.
        """
        with self._lock:
            token = self._moved()
            failed_ids = [*self._failed, *self._failed_again]
            if not failed_ids:
                return None
            if self._overflows or failed_ids != token.failed_ids:
                return token
            only_failed: BatchEvaluationResumeToken = token.replaced(only_failed=True)
            return only_failed

    def _moved(self) -> BatchEvaluationResumeToken:
        """The token, moved on as far as it can be; the lock is held."""
        if self._overflows:
            return self._token
        token = self._token.replaced(upper=self._upper())
        failed_ids, counts = [*self._failed, *self._failed_again], dict(self._behind)
        position, direction = self._place()
        if position.time is not None:
            self._token = token.replaced(direction=direction).advanced(
                position=position.to_dict(),
                last_id=self._last_id,
                items_processed=counts["processed"],
                failed_ids=failed_ids,
                failed_again=len(self._failed_again),
                counts=counts,
            )
        else:
            moved = token.replaced(failed_ids=failed_ids, failed_again=len(self._failed_again), counts=counts)
            self._token = moved if moved.fits() else token
        return self._token

    def _place(self) -> tuple[Position, str | None]:
        """Where the unbroken row ends in this call, and in which direction to go on from there; the lock is held."""
        if self._stretches and self._stretches[0].front:
            first = self._stretches[0]
            return first.way.after(first.front), first.way.direction
        if self._behind_way is not None:
            return self._behind_way.position, self._behind_way.direction
        return Position(), None

    def _write_in_time(self) -> None:
        """Write the checkpoint now, or as soon as it is time.

        What arrives in one answer is told item by item: what comes after a write must not wait for the next answer.
        """
        now = self._clock.monotonic()
        if now >= self._next_save and self._saving.acquire(False):
            try:
                self._write_now()
            finally:
                self._saving.release()
        elif not self._save_is_set:
            self._save_is_set = True
            at = max(self._next_save, now + SAVE_SECONDS_LEAST)
            self._engine.alarm(at, lambda: self._engine.submit_aside(self._write_again, None))

    def _write_again(self, _: None) -> None:
        self._save_is_set = False
        self._write_in_time()

    def _write_now(self) -> None:
        """Write the checkpoint; `_saving` is held."""
        if self._save is None:
            return
        try:
            began = self._clock.monotonic()
            self._save(self.token())
            ended = self._clock.monotonic()
            wait = (ended - began) / SAVE_SHARE
            self._next_save = ended + min(max(wait, SAVE_SECONDS_LEAST), SAVE_SECONDS_MOST)
        except CheckpointError as error:
            self._save = None
            self._stop(error)

    def close(self) -> None:
        """Write the checkpoint a last time: what ends later must not touch a file that may be another run's by then."""
        if self._saving.acquire(True, CLOSE_SECONDS):  # else somebody writes, on a disk that hangs
            try:
                self._write_now()
            finally:
                self._saving.release()
        self._save = None

    @property
    def is_closed(self) -> bool:
        """Whether nothing will be written any more."""
        return self._save is None

    def stats(self) -> list[EvaluatorStats]:
        """One row an evaluator by position, then the composite's."""
        with self._lock:
            return [row.stats() for row in self._rows]


_NOTHING = object()
