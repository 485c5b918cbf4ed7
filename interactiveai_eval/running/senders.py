"""The threads that send: as many as have something to wait for, none when there is nothing to do."""
from __future__ import annotations

from threading import Thread, current_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .backlog import Backlog
    from .entrance import Entrance
    from .lanes import Flight

BATCH_SECONDS = 1.0  # how long less than a batch waits for more; a made-up figure


class Senders:
    """Threads of ours that take flights from a backlog and `deliver` them."""

    def __init__(
        self,
        backlog: Backlog,
        deliver: Callable[[Flight], None],
        entrance: Entrance,
        flush_interval_seconds: float,
    ) -> None:
        self._backlog = backlog
        self._deliver = deliver
        self._entrance = entrance
        self._flush_interval = flush_interval_seconds
        self.threads: set[Thread] = set()
        self.can_start = True
        self._idle = 0  # senders that wait for more
        self._is_timed = False  # one of them sends what waits when the interval is over

    def rouse(self) -> None:
        """Have as many senders as there is work for; the lock is held, and let go while a thread is started."""
        backlog = self._backlog
        if backlog.closed or not self.can_start:
            return
        backlog.is_roused = True  # until a sender looks for work; it rouses the next one
        if not any([lane.is_due() for lane in backlog.lanes]):
            if not self.threads and any([lane.queue for lane in backlog.lanes]):
                self._start_sender()
        elif self._idle:
            backlog.work.notify()
        elif len(self.threads) < 1 + sum([lane.wanted() for lane in backlog.lanes]):
            self._start_sender()

    def _start_sender(self) -> None:
        sender = Thread(target=self._run_sender, name="interactiveai_eval-sender", daemon=True)
        self.threads.add(sender)
        # A thread that begins may collect garbage before it is said to have begun, and come here by that.
        self._backlog.lock.release()
        try:
            sender.start()
            failed = False
        except RuntimeError:
            failed = True
        finally:
            self._backlog.lock.acquire()
        if failed:
            self.threads.discard(sender)
            self.can_start = bool(self.threads)  # none here, or no more: callers send if nobody else does
            if not self.can_start:
                self._backlog.pressure.hold_nobody_back()

    def _run_sender(self) -> None:
        """Send batches as they are due, the rest when the interval is over; leave when there is nothing to do."""
        backlog, entrance = self._backlog, self._entrance
        entrance.enter()
        try:
            while True:
                entrance.work_off()
                with backlog.lock:
                    flight = backlog.take() or self._wait_for_work()
                    if flight is None:
                        return
                    self.rouse()
                try:
                    self._deliver(flight)
                except SystemExit:  # of a transport: what it had is kept
                    continue
        finally:
            with backlog.lock:
                self.threads.discard(current_thread())
                self.rouse()  # there may be work again
                backlog.change.notify_all()
            entrance.leave()

    def _wait_for_work(self) -> Flight | None:
        """What is due within the interval, or waits at its end; the lock is held."""
        backlog = self._backlog
        is_timer = not self._is_timed
        self._is_timed = True
        self._idle += 1
        try:
            roused = backlog.work.wait_for(backlog.has_work, self._flush_interval)
        finally:
            self._idle -= 1
            if is_timer:
                self._is_timed = False
        if not roused and not self._is_timed:
            backlog.make_urgent()
        return backlog.take()
