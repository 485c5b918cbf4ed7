"""What tests of other people's code are given: a clock that refuses what it cannot do."""
from __future__ import annotations

import pytest

from interactiveai_eval import ArgumentError
from interactiveai_eval.testing import ManualClock


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf")])
def test_a_clock_does_not_go_back(seconds):
    clock = ManualClock()
    clock.advance(2)

    with pytest.raises(ArgumentError, match=r"^seconds="):
        clock.advance(seconds)
    assert clock.monotonic() == 2.0


@pytest.mark.parametrize("start", ["yesterday", "", 7, None])
def test_a_start_that_is_no_time_is_refused(start):
    with pytest.raises(ArgumentError, match=r"^start=.* must be a time like 2026-01-01T00:00:00Z$"):
        ManualClock(start)
