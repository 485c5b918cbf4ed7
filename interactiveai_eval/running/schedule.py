"""Takes work from a source and keeps a bounded number of flows on their way until there is no more.

Work is pulled lazily: the next piece is taken when a place is free, on a pool thread (never on an event loop), by one
thread at a time. Nothing waits for a whole page or batch.
"""
from __future__ import annotations

from _thread import allocate_lock

from ..errors import is_a

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import Any

    from .engine import Engine, Flow
    from .waits import Rhythm


class Source:
    """Where work comes from. `take` may block; it is called by one thread at a time."""

    def take(self) -> Any:
        """The next piece of work, END, or LATER when there is none yet: the source then calls `Schedule.more`."""
        raise TypeError


END: Any = object()
LATER: Any = object()


class AsyncSource:
    """Work that only an event loop can pull, in `context`."""

    context: Context

    async def take(self) -> Any:
        """The next piece of work, or END."""
        raise TypeError


class Schedule:
    """One run over a source: `limit` flows at a time, each start a turn of `rhythm`.

    `may_start()` is asked before each piece of work is taken; its False ends the run early, unless all of `total` (if
    that is known) were taken by then.
    """

    def __init__(
        self,
        engine: Engine,
        source: Source | AsyncSource,
        make_flow: Callable[[Any], Flow],
        *,
        limit: int,
        rhythm: Rhythm | None = None,
        may_start: Callable[[], bool] | None = None,
        total: int | None = None,
        interrupted: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`interrupted(error)` is told of a KeyboardInterrupt out of the source, which also becomes `source_error`."""
        self._engine = engine
        self._source = source
        self._is_async = isinstance(source, AsyncSource)
        engine.lane.serves_source = self._is_async
        self._make_flow = make_flow
        self._limit = limit
        self._rhythm = rhythm
        self._alarm_set = False
        self._taker: Any = None
        self._may_start = may_start
        self._left = total
        self._interrupted = interrupted
        self._lock = allocate_lock()
        self._on_their_way = 0
        self._taking = False
        # Whether a pump is on its way. It fills all the places that are free by then: the same few lines of code for
        # item after item take a processor less time than as many items each from its end to the next one's beginning.
        self._asked = False
        self._given_up = False
        self._more_came = False  # since the last LATER was asked for
        self._is_left = False
        self._left_alone = False  # the thread that takes hangs in the source and is no longer waited for
        self.exhausted = False
        self.halted = False
        self.source_error: BaseException | None = None
        self.defect: BaseException | None = None  # an error of our own in a flow
        self._when_ended = self._flow_ended  # bound once, not for each flow

    def start(self) -> None:
        """Begin to take work."""
        self._engine.submit(self._pump, None)

    def is_over(self) -> bool:
        """Whether all work is done, or it is halted and what was on its way has ended."""
        with self._lock:
            if self._on_their_way == 0:
                return self.halted or (self.exhausted and not self._taking)
            return self._given_up

    def give_up(self) -> None:
        """Wait no longer for what is on its way."""
        self._given_up = True
        self._engine.lane.wake()

    def leave(self) -> None:
        """Wait no longer for the source, in which a thread may hang; what it still raises is nobody's business."""
        with self._lock:
            self._is_left = True
            self._left_alone = self._taking and isinstance(self._source, Source)
        if self._left_alone:
            self._engine.threads.abandon()

    def more(self) -> None:
        """Take again: a source that said LATER has something now; from any thread."""
        with self._lock:
            self._more_came = True
        self._engine.submit(self._pump, None)

    def halt(self) -> None:
        """Take no more work; what is on its way goes on."""
        self.halted = True
        self._engine.lane.wake()

    def _pump(self, _: Any) -> bool | None:
        """Start flows while there are free places and work; True when this thread was given up meanwhile."""
        with self._lock:
            self._asked = False
            may_take = self._may_take()
        while may_take:
            if self._is_async:
                self._engine.lane.post(self._begin_take, None)
                return None
            try:
                work = self._source.take()
            except BaseException as error:
                self._source_failed(error)
                work = END
            may_take = self._took(work)
        if self._taken_out:
            self._engine.lane.wake()
        return self._left_alone or None

    def _source_failed(self, error: BaseException) -> None:
        if self._is_left:
            return  # nobody waits for the source any more, which may be cancelled now
        self.source_error = error
        if is_a(error, KeyboardInterrupt) and self._interrupted is not None:
            self._interrupted(error)

    def _may_take(self) -> bool:
        """Whether the calling thread is now the one that takes; the lock is held."""
        if self._taking or self._on_their_way >= self._limit or self._taken_out:
            return False
        if self._may_start is not None and not self._may_start():
            self.exhausted = self._left == 0
            self.halted = not self.exhausted
            return False
        if self._rhythm is not None and not self._is_time(self._rhythm.next_turn):
            return False
        self._taking = True
        return True

    def _took(self, work: Any) -> bool:
        """Start the flow of what was taken; whether the calling thread is to take another."""
        with self._lock:
            self._taking = False
            if work is LATER:
                # What came between the source's answer and now is not overlooked.
                again, self._more_came = self._more_came, False
                return again and self._may_take()
            self._more_came = False
            if work is END:
                self.exhausted = True
            if self.exhausted or self.halted or self._engine.stopping:
                return False
            self._on_their_way += 1
            if self._rhythm is not None:
                self._rhythm.take_turn()
            if self._left is not None:
                self._left -= 1
            may_take = self._may_take()
        self._engine.start(self._make_flow(work), self._when_ended)
        return may_take

    @property
    def _taken_out(self) -> bool:
        """Whether nothing more is taken, for whatever reason."""
        return self.exhausted or self.halted or self._engine.stopping

    def _flow_ended(self, error: BaseException | None) -> None:
        if error is not None and self.defect is None:
            self.defect = error
            self.halted = True
        with self._lock:
            self._on_their_way -= 1
            over = self._on_their_way == 0
            ask = not self._asked and not self._taken_out
            if ask:
                self._asked = True
        if over:
            self._engine.lane.wake()
        if ask:
            self._engine.submit(self._pump, None)

    def _is_time(self, turn: float) -> bool:
        """Whether another flow may start now; if not, the pump is called again when it may."""
        if self._engine.clock.monotonic() >= turn:
            return True
        if not self._alarm_set:
            self._alarm_set = True
            self._engine.alarm(turn, self._pump_again)
        return False

    def _pump_again(self) -> None:
        self._alarm_set = False
        self._engine.submit(self._pump, None)

    # -- sources that need a loop: on the loop's thread ------------------------------------------------------------

    def _begin_take(self, _: Any) -> None:
        assert isinstance(self._source, AsyncSource)
        if self._engine.stopping:
            with self._lock:
                self._taking = False
            return
        taking = self._take_async()
        try:
            self._taker = self._engine.lane.start(taking, self._source.context)
        except BaseException as error:
            # A signal came first, or the caller's loop refused to make a task: that ends the data.
            if not self._engine.lane.has_task_of(taking):
                taking.close()
                self._source_failed(error)
                self._taken(END)
            if not is_a(error, Exception):
                raise
        else:
            self._taker.add_done_callback(self._taker_ended)

    async def _take_async(self) -> None:
        assert isinstance(self._source, AsyncSource)
        try:
            work = await self._source.take()
        except BaseException as error:
            self._source_failed(error)
            work = END
        self._taken(work)

    def _taker_ended(self, taker: Any) -> None:
        """Take the end of a taker that somebody cancelled before its first step as the end of the data."""
        if taker is self._taker:
            from asyncio import CancelledError

            self._source_failed(CancelledError())
            self._taken(END)

    def _taken(self, work: Any) -> None:
        self._engine.lane.ended(self._taker)
        self._taker = None
        if self._took(work):
            self._engine.lane.post(self._begin_take, None)
        elif self._taken_out:
            self._engine.lane.wake()
