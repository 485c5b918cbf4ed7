"""A bounded pool of threads for the user's plain functions, cheap for fast ones and fully parallel for slow ones.

Waking a thread for every call costs more than most calls. So one awake thread takes call after call from a queue,
and the others sleep. A watcher looks at the queue every millisecond while it is not empty: if no call has ended since
its last look and the process was idle, the awake threads are blocked, and it wakes or starts one more, then two, four,
eight ... up to the limit. Fifty calls that sleep 0.1 s therefore all run within a few milliseconds, and ten thousand
calls that return at once are run by one thread with hardly a switch.
"""
from __future__ import annotations

import time
from _thread import allocate_lock
from collections import deque
from threading import Condition, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Job = tuple[Callable[[Any], "bool | None"], Any]

# A made-up figure: long against a switch of threads (0.05 ms), short against anything that waits for a network.
TICK_SECONDS = 0.001
# What a look without progress counts while the process computes: threads that wait for the interpreter's lock are no
# reason for more of them, a long computation in C beside it may be one.
BUSY_EVIDENCE = 0.05
# How long `close` waits for threads that are on their way out.
LEAVE_SECONDS = 2.0


class Threads:
    """Runs jobs on at most `limit` daemon threads, in the order of `submit`.

    A job is (function, argument) and must not raise; it returns True when it was abandoned while it ran.
    Works without threads too: when not one can be started, jobs wait in the queue until the owner calls `run_next`.
    """

    def __init__(
        self, limit: int, remind: Callable[[], None] | None = None, *, watches: bool = True
    ) -> None:
        """`remind()` is called when the queue runs empty, and at least every millisecond while `is_watched`.

        Without `watches` each job brings another thread, up to the limit.
        """
        self.limit = limit
        self.remind = remind
        self.is_held_back: Callable[[], bool] = bool  # whether jobs wait for what more threads would only wait for, too
        self.call_owner: Callable[[], None] | None = None  # called when a job waits and this Python starts no threads
        self.inline = False  # True when this Python starts no threads
        self._queue: deque[Job] = deque()
        self._state = Condition()
        self._sleeping: list[_Worker] = []
        self._alive = 0
        self._awake = 0
        self._coming = 0  # woken or started, and not there yet
        self._abandoned = 0
        self._ended = 0  # jobs that have ended; only compared with itself
        self._watching = False
        self._watcher: _Watcher | None = None
        self._watchable = watches  # False also when there was no thread left for the watcher
        self._closed = False

    def submit(self, function: Callable[[Any], bool | None], argument: Any) -> None:
        """Have `function(argument)` called on a thread of the pool."""
        self._queue.append((function, argument))
        # Reading without the lock is safe: a worker that is about to sleep looks at the queue again under the lock,
        # and while the watcher watches nothing that waits is forgotten.
        if self._awake == 0 or not self._watching:
            with self._state:
                if not self.inline and not self._closed:
                    self._attend()
            if self.inline and self.call_owner is not None:
                self.call_owner()

    @property
    def is_watched(self) -> bool:
        """Whether more jobs wait, and somebody looks at them every millisecond."""
        return self._watching and bool(self._queue)

    @property
    def is_closed(self) -> bool:
        """Whether all threads were let go, so that who comes now may come in vain."""
        return self._closed

    def run_next(self) -> bool:
        """Run the next job that waits, here and now; whether there was one. For Pythons without threads."""
        try:
            function, argument = self._queue.popleft()
        except IndexError:  # a thread that is on its way out may have been there first
            return False
        function(argument)
        return True

    def abandon(self) -> None:
        """Stop counting one thread: it hangs in user code, is left to finish alone, and another may take its place."""
        with self._state:
            self._abandoned += 1
            self._awake -= 1
            if self._queue and not self._closed:
                self._wake(1)

    def close(self, seconds: float = LEAVE_SECONDS) -> None:
        """Let all threads go; returns when all but the abandoned ones have left, or after so many seconds."""
        with self._state:
            self._closed = True
            for worker in self._sleeping:
                worker.gate.release()
            self._sleeping.clear()
            if self._watcher is not None and not self._watching:
                self._watching = True
                self._watcher.gate.release()
            self._state.wait_for(lambda: self._alive <= self._abandoned and self._watcher is None, seconds)

    def _attend(self) -> None:
        """See to it that somebody comes to the queue; the lock is held."""
        if self._awake == 0 or not self._watchable:
            self._wake(1)
        if not self._watching and self._watchable and not self.inline:
            try:
                if self._watcher is None:
                    self._watcher = _Watcher(self)
            except RuntimeError:
                self._watchable = False
                return
            self._watching = True
            self._watcher.gate.release()

    def _wake(self, wanted: int) -> None:
        """Wake or start up to `wanted` workers; the lock is held."""
        while wanted > 0 and self._sleeping:
            self._awake += 1
            self._coming += 1
            self._sleeping.pop().gate.release()
            wanted -= 1
        while wanted > 0 and self._alive - self._abandoned < self.limit:
            if not self._start_worker():
                return
            wanted -= 1

    def _start_worker(self) -> bool:
        self._alive += 1
        self._awake += 1
        self._coming += 1
        try:
            _Worker(self)
        except RuntimeError:
            # No more threads here: go on with those there are, or without any.
            self._alive -= 1
            self._awake -= 1
            self._coming -= 1
            self.limit = self._alive - self._abandoned
            self.inline = self.limit == 0
            return False
        return True


class _Worker:
    """One thread: takes jobs until there are none, then sleeps until woken."""

    def __init__(self, pool: Threads) -> None:
        self._pool = pool
        self.gate = allocate_lock()
        self.gate.acquire()
        Thread(target=self._work, name="interactiveai_eval-worker", daemon=True).start()

    def _work(self) -> None:
        pool = self._pool
        take = pool._queue.popleft
        with pool._state:
            pool._coming -= 1
        while True:
            try:
                function, argument = take()
            except IndexError:
                if pool.remind is not None:
                    pool.remind()
                if not self._sleep():
                    return
                continue
            abandoned = function(argument)
            function = argument = None  # type: ignore[assignment]  # a sleeping thread must not keep an item alive
            pool._ended += 1
            if abandoned:
                with pool._state:
                    pool._abandoned -= 1
                    pool._awake += 1

    def _sleep(self) -> bool:
        """Wait for the next job; False when this thread should leave."""
        pool = self._pool
        with pool._state:
            if pool._queue:  # `close`, too, lets nobody go as long as something waits
                return True
            surplus = pool._alive - pool._abandoned > pool.limit
            if pool._closed or surplus:
                self._leave()
                return False
            pool._awake -= 1
            pool._sleeping.append(self)
        self.gate.acquire()
        with pool._state:
            pool._coming -= 1
            if pool._closed and not pool._queue:  # it may have been woken for something before
                pool._awake += 1  # `close` does not count, `_leave` does
                self._leave()
                return False
        return True

    def _leave(self) -> None:
        pool = self._pool
        pool._alive -= 1
        pool._awake -= 1
        pool._state.notify_all()


class _Watcher:
    """The thread that sees that waiting jobs make no progress."""

    def __init__(self, pool: Threads) -> None:
        self._pool = pool
        self.gate = allocate_lock()
        self.gate.acquire()
        Thread(target=self._watch, name="interactiveai_eval-watcher", daemon=True).start()

    def _watch(self) -> None:
        pool = self._pool
        while True:
            self.gate.acquire()
            # Not `pool._watching`: as soon as that is False somebody may open the gate again, and set it.
            evidence, more, watching = 0.0, 1, True
            while watching:
                ended, worked = pool._ended, time.process_time()
                time.sleep(TICK_SECONDS)
                with pool._state:
                    if pool._closed:
                        pool._watcher = None
                        pool._state.notify_all()
                        return
                    if not pool._queue:
                        pool._watching = watching = False
                    elif pool._ended != ended or pool.is_held_back():
                        evidence, more = 0.0, 1
                    elif not pool._coming:
                        # Threads that have just been woken are busy getting there: that says nothing against more.
                        busy = more == 1 and time.process_time() - worked > TICK_SECONDS / 2
                        evidence += BUSY_EVIDENCE if busy else 1.0
                        if evidence >= 1.0:
                            pool._wake(min(more, len(pool._queue)))
                            evidence, more = 0.0, more * 2
                if pool.remind is not None:
                    pool.remind()
