"""Programs written for the reference leave the same with us: only the name in their imports is changed.

What the reference leaves was recorded; with IAE_SDK_PYTHON_REFERENCE, a Python that has it, it is run again.
"""
from __future__ import annotations

import pytest

from .exceptions import EXCEPTIONS, d53_one_id_for_a_local_run
from .held import differences, in_order
from .runs import PROGRAMS, REFERENCE, left_by, recorded


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_for_the_reference_leaves_the_same_with_us(program):
    """The same traces, observations, attributes, scores and run items, apart from ids, times and `EXCEPTIONS`."""
    reference, ours = recorded()[program], left_by(program)
    for exception in EXCEPTIONS:
        exception(reference, ours)

    assert list(differences(in_order(reference), in_order(ours))) == []


@pytest.mark.parametrize("left_out", EXCEPTIONS, ids=lambda exception: exception.__name__)
def test_every_exception_is_needed(left_out):
    """One that nothing needs any more could hide something else."""
    program = "experiment_more" if left_out.__name__.startswith("b_") else "experiment_local"
    reference, ours = recorded()[program], left_by(program)
    for exception in EXCEPTIONS:
        if exception is not left_out:
            exception(reference, ours)

    assert list(differences(in_order(reference), in_order(ours))) != []


@pytest.mark.skipif(not REFERENCE, reason="IAE_SDK_PYTHON_REFERENCE names no Python that has the reference")
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_reference_leaves_what_was_recorded(program):
    then, now = recorded()[program], left_by(program, REFERENCE)
    d53_one_id_for_a_local_run(then, now)  # its ids differ from run to run

    assert list(differences(in_order(then), in_order(now))) == []
