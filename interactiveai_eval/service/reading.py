"""Reads all traces or observations of a filter, each once, while others write: by time and id, never by page number.

What flows: `Reader.read` asks for the rows from its position on, in order of time, hands out those that it has not seen
and moves its position to the last of them. Only inside one millisecond that holds more rows than a page, where servers
promise no order, it turns pages, and goes through them again until two passes are equal.
Source of what servers do: WIRE.md sections 2.7, 2.8 and 9.2.
"""
from __future__ import annotations

import json
from collections import deque

from .._clock import datetime_to_ns, iso_to_datetime, ns_to_iso
from .._strict_json import to_json
from ..errors import ApiError
from ..model import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .api import Api

ASCENDING, DESCENDING = "ascending", "descending"
LARGEST_PAGE = 100  # rows, the most that servers give
# Made-up figures: ids that are remembered against rows that come again at another time; pages in a row that may be
# empty although the server says that there is more; passes through one crowded millisecond.
RECENT_IDS = 10_000
EMPTY_PAGES = 3
PASSES = 20
BEGINNINGS = 10  # attempts to find out in which order a server gives a first page that does not show it

_TIME = {"traces": "timestamp", "observations": "startTime"}


class Position(Value):
    """Where a reader is: it is done with all that comes before `ms`, and at `ms` with the rows called `ids`.

    `ms` is milliseconds since 1970 UTC, None at the very beginning.
    """

    __slots__ = ("ms", "ids")

    ms: int | None
    ids: frozenset[str]

    def __init__(self, ms: int | None = None, ids: frozenset[str] = frozenset()) -> None:
        self._fill({"ms": ms, "ids": ids})


class Page(Value):
    """What one `read` found: `rows` that are new, `malformed` ones that cannot be told apart, and where they lead.

    `position` is reached when all rows of this page and of those before are done; `last` says that nothing follows.
    """

    __slots__ = ("rows", "malformed", "position", "last")

    rows: list[dict[str, Any]]
    malformed: list[Any]
    position: Position
    last: bool

    def __init__(self, *, rows: list[dict[str, Any]], malformed: list[Any], position: Position, last: bool) -> None:
        self._fill({"rows": rows, "malformed": malformed, "position": position, "last": last})


class _Crowd:
    """The way through a millisecond with more rows than a page."""

    def __init__(self, ms: int, seen: set[str]) -> None:
        self.ms = ms
        self.seen = seen
        self.page = 1
        self.cursor: str | None = None
        self.passes = 0
        self.met: set[str] = set()  # in this pass
        self.met_before: set[str] | None = None  # in the pass before

    def begin_anew(self) -> None:
        """Forget this pass."""
        self.page, self.cursor, self.met = 1, None, set()

    def end_pass(self) -> bool:
        """Begin another pass; whether that is needless.

        One page is the truth of a moment. Of several, rows may have slipped to a page that we had turned already,
        because others were deleted. Then the next pass does not meet those others again: two equal passes missed
        nothing.
        """
        is_over = self.page == 1 or self.met == self.met_before
        self.met_before = self.met
        self.passes += 1
        self.begin_anew()
        return is_over


class Reader:
    """The rows of one scope ("traces" or "observations") that fulfil `conditions` (array form), page by page.

    Traces are read oldest first; observations, of which servers offer one order only, newest first, and so are traces
    of a server that does not heed the order. `upper_ms` bounds what is read: rows from then on, which may still be
    arriving, are left out. It is settled at the first `read` if it is not given, and `direction` with it.
    """

    def __init__(
        self,
        api: Api,
        scope: str,
        conditions: Sequence[Mapping[str, Any]],
        *,
        page_size: int,
        now_ns: int,
        position: Position | None = None,
        upper_ms: int | None = None,
        direction: str | None = None,
    ) -> None:
        self._api = api
        self._scope = scope
        self._conditions = list(conditions)
        self._page_size = min(page_size, LARGEST_PAGE)
        self._now_ns = now_ns
        self._by_cursor = False
        self._turned = direction is not None
        self._beginnings = 0 if direction is None else BEGINNINGS
        self._crowd: _Crowd | None = None
        self._recent: set[str] = set()
        self._recent_order: deque[str] = deque()
        self._empty_pages = 0
        self.position = Position() if position is None else position
        self.upper_ms = upper_ms
        self.direction = direction or (ASCENDING if scope == "traces" else DESCENDING)

    def read(self, most: int | None = None) -> Page:
        """The next page, of `most` rows if that is less than the page size; blocks for a few requests.

        ApiError and TransportError leave the reader where it was: the next call asks again. A server that does not heed
        filter or order is an ApiError too.
        """
        if self.upper_ms is None:
            self.upper_ms = self._upper()
        size = self._page_size if most is None else max(1, min(most, self._page_size))
        while True:
            page = self._through_crowd(size) if self._crowd is not None else self._onward(size)
            if page is not None:
                return page

    # -- steps: None when another request is needed -----------------------------------------------------------------

    def _onward(self, size: int) -> Page | None:
        """One request from the position on."""
        at = self.position
        lower, upper = self._bounds(at.ms)
        rows, malformed, more = self._fetch(lower, upper, size, page=1 + self._empty_pages)
        times = [ms for ms, _ in rows]
        if not self._is_in_order(times) or (more and self._begins_at_the_wrong_end(times)):
            return None
        self._check_bounds(times, lower, upper)
        if not rows and more:
            self._empty_pages += 1
            if self._empty_pages > EMPTY_PAGES:
                raise self._unusable(f"says that there is more, and gives {EMPTY_PAGES} empty pages")
            return self._page([], malformed, at, last=False) if malformed else None
        self._empty_pages = 0
        fresh = [row for ms, row in rows if not (ms == at.ms and row["id"] in at.ids)]
        if more and rows and times[0] == times[-1] == at.ms:
            self._crowd = _Crowd(times[-1], set(at.ids))
            return None
        if rows:
            last_ms = times[-1]
            ids = {row["id"] for ms, row in rows if ms == last_ms}
            self.position = Position(last_ms, frozenset(ids | at.ids if last_ms == at.ms else ids))
        return self._page(fresh, malformed, self.position, last=not more)

    def _through_crowd(self, size: int) -> Page | None:
        """One page inside a crowded millisecond; the position stays before it until nothing new comes."""
        crowd = self._crowd
        assert crowd is not None
        try:
            rows, malformed, more = self._fetch(crowd.ms, crowd.ms + 1, LARGEST_PAGE, page=crowd.page)
        except ApiError as error:
            if crowd.cursor is None or error.status_code != 400:
                raise
            crowd.begin_anew()  # the cursor has expired
            return None
        self._check_bounds([ms for ms, _ in rows], crowd.ms, crowd.ms + 1)
        fresh = []
        for _, row in rows:
            crowd.met.add(row["id"])
            if row["id"] not in crowd.seen:
                crowd.seen.add(row["id"])
                fresh.append(row)
        if more and rows:
            crowd.page += 1
        elif crowd.end_pass():
            self._crowd = None
            self.position = Position(crowd.ms + (1 if self.direction == ASCENDING else -1))
        elif crowd.passes >= PASSES:
            raise self._unusable(f"gives other rows in each of {PASSES} passes through {_iso(crowd.ms)}")
        return self._page(fresh, malformed, self.position, last=False) if fresh or malformed else None

    def _page(self, fresh: list[dict[str, Any]], malformed: list[Any], position: Position, *, last: bool) -> Page:
        """The page without what came before at another time, as rows do that are changed while we read."""
        rows = []
        for row in fresh:
            if row["id"] not in self._recent:
                rows.append(row)
                self._recent.add(row["id"])
                self._recent_order.append(row["id"])
        while len(self._recent_order) > RECENT_IDS:
            self._recent.discard(self._recent_order.popleft())
        unknown = []
        for row in malformed:
            text = to_json(row)
            if text not in self._recent:
                unknown.append(row)
                self._recent.add(text)
                self._recent_order.append(text)
        return Page(rows=rows, malformed=unknown, position=position, last=last)

    # -- what is asked and what comes ------------------------------------------------------------------------------

    def _upper(self) -> int:
        """Just behind the newest row and the present, whichever is later: servers' clocks may be ahead of ours."""
        rows, _, _ = self._fetch(None, None, 1, page=1, order="desc")
        newest = max((ms + 1 for ms, _ in rows), default=0)
        return max(newest, self._now_ns // 1_000_000 + 1)

    def _bounds(self, ms: int | None) -> tuple[int | None, int | None]:
        """From (inclusive) and to (exclusive) in milliseconds, for what is left from `ms` on."""
        if self.direction == ASCENDING:
            return ms, self.upper_ms
        return None, self.upper_ms if ms is None else ms + 1

    def _fetch(
        self, lower: int | None, upper: int | None, size: int, *, page: int, order: str | None = None
    ) -> tuple[list[tuple[int, dict[str, Any]]], list[Any], bool]:
        """(rows with their milliseconds, malformed rows, whether there is more) of one request."""
        column = _TIME[self._scope]
        conditions = [
            *self._conditions,
            *[
                {"type": "datetime", "column": column, "operator": operator, "value": _iso(bound)}
                for operator, bound in ((">=", lower), ("<", upper))
                if bound is not None
            ],
        ]
        query: dict[str, Any] = {"limit": size}
        if conditions:
            query["filter"] = json.dumps(conditions)
        answer = self._ask(query, page, order or ("asc" if self.direction == ASCENDING else "desc"))
        rows, malformed = [], []
        for row in answer["data"]:
            ms = _milliseconds(row.get(column)) if isinstance(row, dict) else None
            if ms is None or not isinstance(row.get("id"), str) or not row["id"]:
                malformed.append(row)
            else:
                rows.append((ms, row))
        return rows, malformed, self._has_more(answer, page)

    def _ask(self, query: dict[str, Any], page: int, order: str) -> dict[str, Any]:
        if self._scope == "traces":
            return self._api.traces(page=page, orderBy=f"timestamp.{order}", **query)
        if not self._by_cursor:
            try:
                return self._api.observations(page=page, **query)
            except ApiError as error:
                if error.status_code not in (404, 405, 410, 501):
                    raise
                self._by_cursor = True  # newer servers have the other endpoint alone
        cursor = self._crowd.cursor if self._crowd is not None and page > 1 else None
        answer = self._api.observations_by_cursor(**query, **({} if cursor is None else {"cursor": cursor}))
        if self._crowd is not None:
            self._crowd.cursor = answer["meta"]["cursor"]
        return answer

    def _has_more(self, answer: Mapping[str, Any], page: int) -> bool:
        """By what the server says of its pages, and not by how many rows it gave: it may give fewer than asked."""
        meta = answer["meta"]
        if "cursor" in meta:
            return meta["cursor"] is not None
        pages = meta.get("totalPages")
        return page < pages if isinstance(pages, int) else bool(answer["data"])

    # -- servers that do as they like ------------------------------------------------------------------------------

    def _is_in_order(self, times: list[int]) -> bool:
        """Whether rows came in the order that we go by; False when we go by the server's from now on."""
        ascending = all(a <= b for a, b in zip(times, times[1:]))
        descending = all(a >= b for a, b in zip(times, times[1:]))
        if ascending if self.direction == ASCENDING else descending:
            return True
        if not (ascending or descending):
            raise self._unusable("gives rows in no order of time")
        if self.position.ms is not None or self._beginnings >= BEGINNINGS:
            raise self._unusable("changes the order of rows between two requests")
        self._beginnings += 1
        self._turned = True
        self.direction = ASCENDING if ascending else DESCENDING
        return False

    def _begins_at_the_wrong_end(self, times: list[int]) -> bool:
        """Whether a first page of one millisecond, which shows no order, is not where we wanted to begin; we turn then.

        The largest page shows the order, unless that millisecond fills it. Then two questions tell: whether there are
        older rows, and newer ones. Both means that some arrived between the requests, and we begin anew.
        """
        if self._turned or self.position.ms is not None or not times or times[0] != times[-1]:
            return False
        here, ascending = times[0], self.direction == ASCENDING
        lower, upper = self._bounds(None)
        rows, _, _ = self._fetch(lower, upper, LARGEST_PAGE, page=1)
        shown = [ms for ms, _ in rows]
        if shown and shown[0] != shown[-1]:
            if self._is_in_order(shown):
                self._turned = True
                return False
            return True
        older, _, _ = self._fetch(None, here, 1, page=1)
        newer, _, _ = self._fetch(here + 1, self.upper_ms, 1, page=1)
        self._beginnings += 1
        if older and newer and self._beginnings < BEGINNINGS:
            return True
        self._turned = True
        if (older and not newer) if ascending else (newer and not older):
            self.direction = DESCENDING if ascending else ASCENDING
            return True
        return False

    def _check_bounds(self, times: list[int], lower: int | None, upper: int | None) -> None:
        for ms in times:
            if (lower is not None and ms < lower) or (upper is not None and ms >= upper):
                raise self._unusable(f"gives a row of {_iso(ms)}, which the filter excludes: it does not heed filters")

    def _unusable(self, problem: str) -> ApiError:
        return ApiError(f"the server {problem}; its {self._scope} cannot be read exactly", status_code=200, body=None)


def _iso(ms: int) -> str:
    return f"{ns_to_iso(ms * 1_000_000)[:-4]}Z"


def _milliseconds(text: Any) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime_to_ns(iso_to_datetime(text)) // 1_000_000
    except (ValueError, OverflowError):
        return None
