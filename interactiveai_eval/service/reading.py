"""Reads all traces or observations that match, each once, while others write: by time and id, not by page number.

What flows: `Reader.read` asks for the rows from its position on, in order of time, hands out those that it has not seen
and moves its position to the last of them; so rows that come or go elsewhere shift nothing. Only inside a millisecond
that holds more rows than a page it turns pages (`crowd`). `lists` asks the server.
"""
from __future__ import annotations

from .._log import warn
from ..errors import ApiError, ArgumentError, DataError, short_repr
from ..model import Value
from .crowd import EMPTY_PAGES, Crowd
from .lists import FIRST_MS, LARGEST_PAGE, LAST_MS, Lists, ms_to_time, time_to_ms, unusable
from .two_pages import OVERLAP, ask_two

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from .api import Api
    from .lists import Listed, Row

ASCENDING, DESCENDING = "asc", "desc"
# A page is slow if it takes so long, and waited for if the next one is wanted within this share of that time; made-up
# figures.
SLOW_NS, AT_ONCE = 10_000_000, 0.25
SETTLING_ROUNDS = 10  # a made-up bound: first pages that may change while the server's order is found out


class Position(Value):
    """Where a reader is: all rows before `time` are done, and at `time` those with `ids`; "before" in its direction.

    `time` is ISO text in UTC with milliseconds and `Z`, None at the start. `ids` are digests (`item_digest`), those of
    malformed rows included.
    """

    __slots__ = ("time", "ids")

    time: str | None
    ids: frozenset[str]

    def __init__(self, *, time: str | None = None, ids: Iterable[str] = ()) -> None:
        self._fill({"time": time, "ids": frozenset(ids)})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: {"time": ..., "ids": [...]}."""
        return {"time": self.time, "ids": sorted(self.ids)}

    @classmethod
    def from_dict(cls, fields: Any) -> Position:
        """The position of which `to_dict` made `fields`. Raises DataError for anything else."""
        found = fields if isinstance(fields, dict) else {}
        time, ids = found.get("time"), found.get("ids")
        ms = time_to_ms(time)
        if not isinstance(ids, list) or any(type(each) is not str for each in ids) or (ms is None and time is not None):
            raise DataError(f"position: {short_repr(fields)} is not {{'time': ISO text or null, 'ids': [texts]}}")
        return cls(time=None if ms is None else ms_to_time(ms), ids=ids)

    def advanced(self, steps: Iterable[tuple[int | None, str]], direction: str) -> Position:
        """The position once rows of these times (milliseconds) and keys are done, too; it never moves backwards.

        A row without a time is kept with those of the last moment, as it may stand at that, before it or after it.
        """
        ms, ids = time_to_ms(self.time), set(self.ids)
        timeless = set()
        for each, key in steps:
            if each is None:
                timeless.add(key)
            elif ms is None or (each > ms if direction == ASCENDING else each < ms):
                ms, ids = each, {key}
            elif each == ms:
                ids.add(key)
        return Position(time=None if ms is None else ms_to_time(ms), ids=ids | timeless)


class Way:
    """Where a page leads, row by row. It holds none of the rows, so that it can be kept for as long as they are open.

    `position` is the reader's once all rows of this page and of those before are done. `direction` belongs to this
    way's positions: in which to read on from them, None as long as the server has not shown its order.
    """

    __slots__ = ("_before", "_ends", "_onward", "_steps", "direction", "position")

    def __init__(self, trail: Trail, position: Position, *, is_settled: bool) -> None:
        self._before = trail.before
        self._onward = trail.direction
        self._steps = trail.steps
        self._ends = trail.ends
        self.position = position
        self.direction = trail.direction if is_settled else None

    def after(self, count: int) -> Position:
        """The position once the first `count` rows of the page are done."""
        if count >= len(self._ends) - 1:
            return self.position
        return self._before.advanced(self._steps[: self._ends[count]], self._onward)


class Page(Value):
    """What one `read` found: `rows` that are new, in reading order; there may be none although more follow.

    `problems` says what is wrong with malformed rows, by their place in `rows`: no object, no id, no time. Rows without
    an id are told apart by what they hold, so equal ones count once. `last` says that nothing follows.
    """

    __slots__ = ("rows", "problems", "last", "way")

    rows: list[Any]
    problems: dict[int, str]
    last: bool
    way: Way

    def __init__(self, *, rows: list[Any], problems: dict[int, str], last: bool, way: Way) -> None:
        self._fill({"rows": rows, "problems": problems, "last": last, "way": way})

    @property
    def position(self) -> Position:
        """That of its way."""
        return self.way.position

    @property
    def direction(self) -> str | None:
        """That of its way."""
        return self.way.direction

    def after(self, count: int) -> Position:
        """The position once the first `count` rows of this page are done."""
        return self.way.after(count)


class Trail:
    """What rows that were asked for from the position `before` on come to: `fresh` are new, known ones lie between."""

    def __init__(
        self, rows: Iterable[Row], before: Position, direction: str, also_known: Iterable[str] = ()
    ) -> None:
        self.before = before
        self.direction = direction
        self.steps: list[tuple[int | None, str]] = []
        self.ends = [0]  # how many steps the first 0, 1, 2 ... new rows are
        self.fresh: list[Row] = []
        known = {*before.ids, *also_known}
        for row in rows:
            self.steps.append((row.ms, row.key))
            if row.key not in known:
                known.add(row.key)
                self.fresh.append(row)
                self.ends.append(len(self.steps))
        self.end = before.advanced(self.steps, direction)

    def page(self, *, last: bool, is_settled: bool = True, position: Position | None = None) -> Page:
        """The page, which leads to its own end or, if it is given, to `position`."""
        return Page(
            rows=[row.value for row in self.fresh],
            problems={place: row.problem for place, row in enumerate(self.fresh) if row.problem},
            last=last,
            way=Way(self, self.end if position is None else position, is_settled=is_settled),
        )


class Reader:
    """All rows of `scope` ("traces" or "observations") that fulfil `conditions` (array form), a page at a time.

    Rows that come, go or change meanwhile are all right: what is there from start to end, with its time unchanged, is
    given exactly once. Only the ids of one moment are held; a row whose time is changed may come again, or not at all.

    Traces are read oldest first; observations, for which servers take no order, newest first. A server that lists them
    the other way round whatever it is asked is read in its own way, as soon as it has listed two times and so shown
    it; until then all that was read is of one time, and reading begins anew at the other end, without those rows.
    The direction belongs to a position as `upper` does, the last time that is read (ISO text). That one is settled at
    the first read: the time of the newest row or `now()` (nanoseconds), whichever is later, since servers' clocks may
    be ahead.

    Not for several threads at once.
    """

    def __init__(
        self,
        api: Api,
        scope: str,
        conditions: Sequence[Mapping[str, Any]],
        *,
        page_size: int,
        now: Callable[[], int],
        upper: str | None = None,
        position: Position | None = None,
        direction: str | None = None,
    ) -> None:
        upper_ms = LAST_MS if upper is None else time_to_ms(upper)
        if upper_ms is None:
            raise ArgumentError("upper", upper, "must be a time such as 2026-01-31T10:00:00.000Z")
        self._lists = Lists(api, scope, conditions)
        self._scope = scope
        self._page_size = page_size
        self._now = now
        self._upper_ms = upper_ms
        self.upper = None if upper is None else ms_to_time(upper_ms)
        self.position = Position() if position is None else position
        self.direction = direction or (ASCENDING if scope == "traces" else DESCENDING)
        self._is_settled = direction is not None  # the server has shown its order
        self._read_before_turn: frozenset[str] = frozenset()
        self._at: int | str | None = None
        self._empty_pages = 0
        self._crowd: Crowd | None = None
        self._is_over = False
        self._read_at = 0  # when the last page was there
        self._is_waited_for = False  # whether reading is what the run spends its time on
        self._follow_on = True  # second pages, so far

    def read(self, most: int | None = None) -> Page:
        """The next page, of about `most` rows if that is less than the page size; one request, at first two or more.

        Where pages are slow and always waited for, two are asked for at once and given as one.

        ApiError and TransportError leave the reader as it was: calling again asks again. That a server ignores order,
        filter or page numbers is an ApiError, too. After the last page come empty ones that are last as well.
        """
        began = self._now()
        if self.upper is None:
            self._upper_ms = self._newest_ms()
            self.upper = ms_to_time(self._upper_ms)
        if self._is_over or self._is_beyond(time_to_ms(self.position.time)):
            return Trail((), self.position, self.direction).page(last=True, is_settled=self._is_settled)
        size = max(1, min(LARGEST_PAGE, self._page_size, self._page_size if most is None else most))
        fits_two = most is None or most >= 2 * size
        page = self._onward(size, two=fits_two) if self._crowd is None else self._through(self._crowd)
        self.position, self._is_over = page.position, page.last
        ended = self._now()
        took = ended - began
        self._is_waited_for = took >= SLOW_NS and began - self._read_at < AT_ONCE * took
        self._read_at = ended
        return page

    def _newest_ms(self) -> int:
        """The time of the newest row or of now."""
        times: list[int] = []
        for limit in (1, LARGEST_PAGE):  # should the first row be malformed
            listed = self._lists.ask(None, None, limit=limit, ascending=False, core=True)
            times = listed.times()
            if times or not listed.rows:
                break
        return min(max([*times, self._now() // 1_000_000]), LAST_MS)

    def _onward(self, size: int, *, two: bool) -> Page:
        """A page from the position on, or two. Known rows come first on it, so there is room for some."""
        room = min(LARGEST_PAGE, size + min(size, len(self.position.ids)))
        two = two and self._is_waited_for and self._follow_on and self._is_settled and room > OVERLAP
        if two and self._at is None and self._lists.numbers_pages:
            span, ascending = self._left(self.direction), self.direction == ASCENDING
            listed, self._follow_on = ask_two(self._lists, *span, limit=room, ascending=ascending)
        else:
            listed = self._ask(*self._left(self.direction), limit=room, at=self._at)
        direction, position, is_settled = self.direction, self.position, self._is_settled
        if not is_settled:
            direction, listed, is_settled = self._settled(listed, room)
        turns = direction != self.direction
        read_before_turn = self._read_before_turn
        if turns:
            read_before_turn |= position.ids
            position = Position()
        rows = _checked(listed, direction, *self._left(direction, position))
        trail = Trail(rows, position, direction, read_before_turn)
        times = listed.times()
        moved = trail.end.time != position.time
        last = not listed.follows and listed.certain
        at, empty_pages = None, 0
        if turns and self.position.time is not None:
            last = False  # what lies beyond the old position was not asked for
        elif not moved and not trail.fresh and times:
            self._crowd = None if last else Crowd(times[0], min(LARGEST_PAGE, 2 * size))
        elif not moved and (self._at is not None or not trail.fresh):
            # No row tells a time to go on from: the page is empty, or all that is new on it is malformed.
            at = listed.next
            empty_pages = 0 if trail.fresh else self._empty_pages + 1
            last = last or empty_pages > EMPTY_PAGES
        self._at, self._empty_pages = at, empty_pages
        if turns:
            order = "ascending" if direction == ASCENDING else "descending"
            warn(f"the server lists {self._scope} in {order} order of time whatever it is asked, and is read so")
        self.direction, self._is_settled, self._read_before_turn = direction, is_settled, read_before_turn
        return trail.page(last=last, is_settled=is_settled)

    def _through(self, crowd: Crowd) -> Page:
        """One page inside a crowded millisecond; the position leaves it when no row can have been missed."""
        span = (crowd.ms, crowd.ms + 1)
        try:
            listed = self._ask(*span, limit=crowd.rows_most, at=crowd.at)
        except ApiError as error:
            if not crowd.outlives(error.status_code):
                raise
            listed = self._ask(*span, limit=crowd.rows_most)
        rows = _checked(listed, self.direction, *span)
        trail = Trail(rows, self.position, self.direction, self._read_before_turn)
        is_settled = self._is_settled
        if not crowd.is_over(listed, bool(trail.fresh)):
            return trail.page(last=False, is_settled=is_settled)
        self._crowd = None
        beyond = crowd.ms + (1 if self.direction == ASCENDING else -1)
        if self._is_beyond(beyond):
            return trail.page(last=True, is_settled=is_settled)
        position = Position(time=ms_to_time(beyond), ids=crowd.rest(trail.end.ids))
        return trail.page(last=False, is_settled=is_settled, position=position)

    # -- what is asked ---------------------------------------------------------------------------------------------

    def _ask(self, start_ms: int | None, end_ms: int | None, *, limit: int, at: int | str | None = None) -> Listed:
        return self._lists.ask(start_ms, end_ms, limit=limit, ascending=self.direction == ASCENDING, at=at)

    def _left(self, direction: str, position: Position | None = None) -> tuple[int | None, int]:
        """What is left to read from a position on: from (inclusive) and to (exclusive), in milliseconds."""
        ms = time_to_ms((self.position if position is None else position).time)
        if direction == ASCENDING:
            return ms, self._upper_ms + 1
        return None, (self._upper_ms if ms is None else min(ms, self._upper_ms)) + 1

    def _is_beyond(self, ms: int | None) -> bool:
        """Whether there can be no row at `ms` or after it."""
        return ms is not None and (ms > self._upper_ms if self.direction == ASCENDING else ms < FIRST_MS)

    # -- servers that do as they like ------------------------------------------------------------------------------

    def _settled(self, listed: Listed, limit: int) -> tuple[str, Listed, bool]:
        """The direction in which the server lists, as far as this page shows it; that page; and whether it does."""
        for _ in range(SETTLING_ROUNDS):
            times = listed.times()
            if times and times[0] != times[-1]:
                return (ASCENDING if times[0] < times[-1] else DESCENDING), listed, True
            if not times or (not listed.follows and listed.certain):
                return self.direction, listed, False
            # A page of one moment shows no order. If a row comes before it, now and after the page was given once more,
            # the server began at the other end.
            before = self._keys_before(times[0])
            if not before:
                return self.direction, listed, False
            here = times[0]
            listed = self._ask(*self._left(self.direction), limit=limit)
            if set(listed.times()) == {here} and before & self._keys_before(here):
                return (DESCENDING if self.direction == ASCENDING else ASCENDING), listed, True
        raise unusable("changes its first page again and again, so that its order cannot be made out")

    def _keys_before(self, ms: int) -> set[str]:
        """The key of a row that is left to read and comes before `ms` in the direction, if there is one."""
        start_ms, end_ms = self._left(self.direction)
        span = (start_ms, ms) if self.direction == ASCENDING else (ms + 1, end_ms)
        return {row.key for row in _checked(self._ask(*span, limit=1), self.direction, *span)}


def _checked(listed: Listed, direction: str, start_ms: int | None, end_ms: int) -> list[Row]:
    """The rows, all of which are within the bounds and in order. Raises ApiError for others."""
    before = None
    for ms in listed.times():
        if ms >= end_ms or (start_ms is not None and ms < start_ms):
            raise unusable(f"lists one of {ms_to_time(ms)}, which it was asked to leave out: it ignores the filter")
        if before is not None and (ms < before if direction == ASCENDING else ms > before):
            raise unusable(f"lists {ms_to_time(ms)} after {ms_to_time(before)}: it ignores the order of time")
        before = ms
    return listed.rows
