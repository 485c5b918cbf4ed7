"""Two pages at a time, where a run spends its time on waiting for pages: the second is asked for with the first.

Where the second page begins is known before the first has come only by number, and a number counts from rows that may
come or go between the two answers. So it is asked to begin two rows before the end of the first, and is used only if
that shows that nothing can lie between them.
"""
from __future__ import annotations

from .lists import Listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .lists import Lists, Row

OVERLAP = 2  # rows: the last of the first page has one before it that is of an earlier time, unless times are equal


def ask_two(
    lists: Lists, start_ms: int | None, end_ms: int | None, *, limit: int, ascending: bool
) -> tuple[Listed, bool]:
    """Like `lists.ask`, with the rows of the next page too if they are sure to follow; and whether they were.

    Raises what the first request raises. What the second does is never an error.
    """
    from threading import Thread

    found: list[Listed] = []

    def ask() -> None:
        try:
            found.append(lists.ask(start_ms, end_ms, limit=limit - OVERLAP, ascending=ascending, at=2))
        except Exception:
            return  # the same rows are asked for again, by a request that tells what is wrong

    beside = Thread(target=ask, name="interactiveai_eval-page", daemon=True)
    try:
        beside.start()
    except RuntimeError:  # no threads here
        return lists.ask(start_ms, end_ms, limit=limit, ascending=ascending), False
    try:
        first = lists.ask(start_ms, end_ms, limit=limit, ascending=ascending)
    finally:
        beside.join()  # it must not outlive the run, and has as long for its answer as the first
    if not first.follows:
        return first, True
    more = following(first.rows, found[0].rows, ascending=ascending) if found else None
    if more is None:
        return first, False
    second = found[0]
    both = [*first.rows, *more]
    return Listed(both, rows_most=first.rows_most, follows=second.follows, next=None, certain=second.certain), True


def following(first: list[Row], second: list[Row], *, ascending: bool) -> list[Row] | None:
    """The rows of `second` that come after `first`, some of which may be the last of that; None if any can be missing.

    Each page is an unbroken part of the list as it was at its time. `first` has all rows before the time of its last
    one. So if `second` begins before that time, it has all that are there from then on, whatever else came or went.
    """
    if not first or not second:
        return None
    end, begins = first[-1].ms, second[0].ms
    if end is None or begins is None or not (begins < end if ascending else begins > end):
        return None
    for place, row in enumerate(second):
        if row.ms is not None and (row.ms >= end if ascending else row.ms <= end):
            return second[place:]
    return []
