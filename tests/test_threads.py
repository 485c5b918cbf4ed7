"""The pool of threads, where no run can be held still at the place that matters: between two looks of its watcher."""
from __future__ import annotations

import sys
from threading import Event, Semaphore, current_thread

import pytest

from interactiveai_eval._clock import Clock
from interactiveai_eval.running.engine import Engine
from interactiveai_eval.running.loops import OwnLoop
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


def test_what_came_before_a_pool_was_closed_is_done():
    """Its last thread finds nothing more, then something comes, then the pool is closed: nothing may be left behind."""
    done, over = [], Event()

    def remind():
        if done == [1]:
            pool.submit(done.append, 2)
            pool.close(0.0)
        elif done == [1, 2]:
            over.set()

    pool = Threads(1, remind, watches=False)
    pool.submit(done.append, 1)

    assert over.wait(20) and done == [1, 2]


def test_a_thread_that_was_woken_as_its_pool_was_closed_does_what_it_was_woken_for():
    """It wakes on its own time; the job that it was woken for is still there."""
    for _ in range(200):
        done, rests = [], Event()
        pool = Threads(1, rests.set, watches=False)
        pool.submit(done.append, 1)
        assert rests.wait(20)
        pool.submit(done.append, 2)
        pool.close(20)

        assert done == [1, 2]


def test_what_is_to_be_done_aside_is_done_by_whoever_brings_it_once_nobody_is_left_there():
    """A thread that a run no longer waits for may begin to fetch a page after its end."""
    engine = Engine(Threads(1), OwnLoop(Clock()))
    engine.aside.close()
    done = []

    engine.submit_aside(done.append, 1)

    assert done == [1]


def test_jobs_that_are_held_back_bring_no_more_threads_and_others_do():
    """However long they wait: what they wait for, more threads would only wait for as well."""
    asked, goes_on, begun = [], Event(), Semaphore(0)

    def job(_):
        begun.release()
        goes_on.wait(20)

    def is_held_back():
        asked.append(1)
        return len(asked) < 50

    pool = Threads(4)
    pool.is_held_back = is_held_back
    try:
        for _ in range(4):
            pool.submit(job, None)
        assert begun.acquire(timeout=20)
        first_of_many = begun.acquire(timeout=20), len(asked) >= 50
    finally:
        goes_on.set()
        pool.close()

    assert first_of_many == (True, True)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_job_that_somebody_else_takes_meanwhile_is_done_once(step):
    """At each step of `run_next` another one comes in between, as a thread that is on its way out may."""
    done, steps = [], []

    def between(frame, event, argument):
        if frame.f_code.co_name == "run_next" and event == "line":
            steps.append(event)
            if len(steps) == step:
                pool.run_next()
        return between

    pool = Threads(1, watches=False)
    pool.close()
    pool.submit(done.append, 1)
    before = sys.gettrace()
    sys.settrace(between)
    try:
        pool.run_next()
    finally:
        sys.settrace(before)

    assert done == [1]
