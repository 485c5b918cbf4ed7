"""The pool of threads, where no run can be held still at the place that matters: between two looks of its watcher."""
from __future__ import annotations

from threading import Event, current_thread

from interactiveai_eval.running.threads import Threads


def test_work_that_comes_just_as_the_watcher_stops_watching_opens_its_gate_once():
    """Twice in a row: a watcher that went on without passing its gate found it open, and whoever opened it died."""
    came, trouble, all_done = [], [], Event()

    def done(number):
        if number == 3:
            all_done.set()

    def remind():
        if not current_thread().name.endswith("-watcher") or pool.is_watched or len(came) == 3:
            return
        came.append(len(came) + 1)
        try:
            pool.submit(done, came[-1])
        except RuntimeError as error:
            trouble.append(error)
            all_done.set()

    pool = Threads(1, remind)
    try:
        pool.submit(done, 0)
        assert all_done.wait(20)
    finally:
        pool.close()

    assert trouble == [] and came == [1, 2, 3]
