"""The threads that send: as many as have something to wait for, none when there is nothing to do."""
from __future__ import annotations

from threading import Thread, current_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .backlog import Backlog
    from .entrance import Entrance
    from .lanes import Flight

# How long a new thread waits for the one that started it; an interrupt may have carried that off.
STARTER_SECONDS = 0.1
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
        self.coming: set[Thread] = set()  # those that are being started
        self._is_wanted = False  # another one is to be started
        self.can_start = True
        self._idle = 0  # senders that wait for more
        self._is_timed = False  # one of them sends what waits when the interval is over

    def rouse(self) -> None:
        """Have as many senders as there is work for; the lock is held, and `start_wanted` is to follow without it."""
        backlog = self._backlog
        if backlog.closed or not self.can_start:
            return
        backlog.is_roused = True  # until a sender looks for work; it rouses the next one
        if not any([lane.is_due() for lane in backlog.lanes]):
            if not (self.threads or self.coming) and any([lane.queue for lane in backlog.lanes]):
                self._is_wanted = True
        elif self._idle:
            backlog.work.notify()
        elif len(self.threads) + len(self.coming) < 1 + sum([lane.wanted() for lane in backlog.lanes]):
            self._is_wanted = True

    def start_wanted(self) -> None:
        """Start the thread that `rouse` wants, if it wants one.

        Without the lock: as a thread begins, and before it is said to have begun, it may collect garbage that comes to
        the outbox.
        """
        if not self._is_wanted:
            return
        lock = self._backlog.lock
        with lock:
            if not self._is_wanted:
                return
            self._is_wanted = False
            sender = Thread(target=self._run_sender, name="interactiveai_eval-sender", daemon=True)
            self.coming.add(sender)
        try:
            sender.start()
        except RuntimeError:
            with lock:
                self.coming.discard(sender)
                self.can_start = bool(self.threads)  # none here, or no more: callers send if nobody else does
                if not self.can_start:
                    self._backlog.pressure.hold_nobody_back()
            return
        with lock:
            if sender in self.coming:
                self._begins(sender)
            self._backlog.work.notify_all()

    def _begins(self, sender: Thread) -> None:
        self.coming.discard(sender)
        self.threads.add(sender)

    def forget_unborn(self) -> None:
        """Wait no more for threads that an interrupt kept from being started; the lock is held."""
        self.coming = {sender for sender in self.coming if sender.ident is not None}

    def _run_sender(self) -> None:
        """Send batches as they are due, the rest when the interval is over; leave when there is nothing to do."""
        with self._entrance.mark():
            self._send_until_done()
        self._entrance.clear()

    def _send_until_done(self) -> None:
        backlog, me = self._backlog, current_thread()
        with backlog.lock:  # the older batch, which whoever started this may have taken, goes out first
            backlog.work.wait_for(lambda: me not in self.coming, STARTER_SECONDS)
            self._begins(me)
        try:
            while True:
                self._entrance.work_off()
                with backlog.lock:
                    flight = backlog.take() or self._wait_for_work()
                    if flight is None:
                        return
                    self.rouse()
                self.start_wanted()
                try:
                    self._deliver(flight)
                except SystemExit:  # of a transport: what it had is kept
                    continue
        finally:
            with backlog.lock:
                self.threads.discard(me)
                self.rouse()  # there may be work again
                backlog.change.notify_all()
            self.start_wanted()

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
