"""One page of the rows between two times, from whichever endpoint lists them: what `reading` asks, page by page.

Source of what servers take and give: WIRE.md sections 2.7, 2.8, 9.1 and 9.2.
"""
from __future__ import annotations

from collections import namedtuple

from .._clock import datetime_to_ns, iso_to_datetime, ns_to_iso
from .._ids import item_digest
from .._strict_json import to_json
from ..errors import ApiError, NotFoundError
from .whole_traces import ALL_FIELDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .api import Api

LARGEST_PAGE = 100  # rows, the most that servers give
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # the calendar: years 1 to 9999

# by scope: the column and field of a row's time, and the plain parameters for from (inclusive) and to (exclusive)
_TIMES = {
    "traces": ("timestamp", "fromTimestamp", "toTimestamp"),
    "observations": ("startTime", "fromStartTime", "toStartTime"),
}
_ABSENT = (404, 405, 410, 501)  # how servers say that they do not have an endpoint

# `value` as it came; `key` tells it apart: the digest of its id, or of all of it where it has none; `ms` is its time,
# None where it has none; `problem` says what is wrong with a malformed row, and is "" for others.
class Row(namedtuple("Row", "value key ms problem")):
    """One row."""

    __slots__ = ()

    @classmethod
    def of(cls, value: Any, *, ms: int | None, no_time: str = "") -> Row:
        """The row of what a server sent, at this time; `no_time` is what is wrong when it has none."""
        if not isinstance(value, dict):
            return cls(value, _digest(value), None, f"it is {type(value).__name__}, not an object")
        id = value.get("id")
        if type(id) is not str or not id:
            return cls(value, _digest(value), ms, "it has no id")
        return cls(value, item_digest(id), ms, no_time if ms is None else "")


class Listed:
    """One answer. `next` leads to the page after this one, should there be one; `rows_most` is how many fit on a page.

    `follows` is whether the server says that there is more, `certain` whether it may be believed if it says no.
    """

    __slots__ = ("certain", "follows", "next", "rows", "rows_most")

    def __init__(
        self, rows: list[Row], *, rows_most: int, follows: bool, next: int | str | None, certain: bool = True
    ) -> None:
        self.rows = rows
        self.rows_most = rows_most
        self.follows = follows
        self.next = next
        self.certain = certain

    def times(self) -> list[int]:
        """The times of the rows that have one, in milliseconds."""
        return [row.ms for row in self.rows if row.ms is not None]


class Lists:
    """The rows of one scope, "traces" or "observations", that fulfil `conditions` (array form)."""

    def __init__(self, api: Api, scope: str, conditions: Sequence[Mapping[str, Any]]) -> None:
        self._api = api
        self._scope = scope
        self._conditions = list(conditions)
        self._by_cursor = False
        self._counts = False  # the server has told of more rows than it gave, so its totals are totals

    @property
    def numbers_pages(self) -> bool:
        """Whether a page can be asked for by its number, as far as is known."""
        return not self._by_cursor

    def ask(
        self,
        start_ms: int | None,
        end_ms: int | None,
        *,
        limit: int,
        ascending: bool,
        at: int | str | None = None,
        core: bool = False,
    ) -> Listed:
        """The rows from `start_ms` on and before `end_ms`: the first page, or the one that a `next` of before leads to.

        Observations come in the server's order, whatever `ascending` says. `core` asks for no more of a trace than its
        names and times.
        """
        column, start_name, end_name = _TIMES[self._scope]
        query: dict[str, Any] = {"limit": limit}
        bounds = []
        for name, operator, ms in ((start_name, ">=", start_ms), (end_name, "<", end_ms)):
            if ms is not None and FIRST_MS <= ms <= LAST_MS:
                query[name] = ms_to_time(ms)
                bounds.append(time_bound(self._scope, operator, query[name]))
        if self._conditions:
            # A filter makes servers forget plain parameters about the columns that it speaks of; some forget them all.
            query["filter"] = to_json([*self._conditions, *bounds])
        if self._scope == "traces":
            query["orderBy"] = f"timestamp.{'asc' if ascending else 'desc'}"
            if core:
                query["fields"] = "core"
        answer = self._answer(query, at)
        rows = [
            Row.of(
                each,
                ms=time_to_ms(each.get(column)) if isinstance(each, dict) else None,
                no_time=f"it has no time at {column!r}",
            )
            for each in answer["data"]
        ]
        if self._by_cursor:
            cursor = answer["meta"]["cursor"] or None
            return Listed(rows, rows_most=limit, follows=cursor is not None, next=cursor)
        return self._numbered(rows, answer["meta"], at if isinstance(at, int) else 1, limit)

    def _answer(self, query: Mapping[str, Any], at: int | str | None) -> dict[str, Any]:
        if self._scope == "traces":
            return self._api.traces(any_rows=True, page=at or 1, **query)
        refusal = None
        if not self._by_cursor:
            try:
                return self._api.observations(any_rows=True, page=at or 1, **query)
            except ApiError as error:
                if error.status_code not in _ABSENT:
                    raise
                refusal = error
        cursor = at if isinstance(at, str) else None
        try:
            answer = self._api.observations_by_cursor(any_rows=True, fields=ALL_FIELDS, cursor=cursor, **query)
        except ApiError as error:
            if refusal is not None and error.status_code in _ABSENT:
                raise refusal from None
            raise
        self._by_cursor = True
        return answer

    def _numbered(self, rows: list[Row], meta: Mapping[str, Any], page: int, limit: int) -> Listed:
        """The answer of a server that numbers its pages. That a page is short says nothing; its `meta` does."""
        clamped = meta["limit"]
        rows_most = min(limit, clamped) if _is_count(clamped) and clamped > 0 else limit
        total, pages = meta["totalItems"], meta["totalPages"]
        until_here = (page - 1) * rows_most + len(rows)
        exceeds = _is_count(total) and total > until_here
        if exceeds:
            self._counts = True
        follows = exceeds or (page < pages if _is_count(pages) else bool(rows))
        agrees = not _is_count(total) or total >= until_here
        certain = not rows or (agrees and (self._counts or len(rows) < rows_most))
        return Listed(rows, rows_most=rows_most, follows=follows, next=page + 1, certain=certain)


def find(api: Api, scope: str, id: str) -> dict[str, Any]:
    """The trace or observation with this id. Raises NotFoundError when there is none, and what the server answers.

    Some servers list observations and have no endpoint for a single one: there the list tells.
    """
    if scope == "traces":
        return api.trace(id)
    try:
        return api.observation(id)
    except ApiError as error:
        if error.status_code not in _ABSENT:
            raise
        own_id = {"type": "string", "column": "id", "operator": "=", "value": id}
        rows = Lists(api, scope, [own_id]).ask(None, None, limit=1, ascending=False).rows
        if not rows:
            raise NotFoundError(f"there is no observation {id!r}", status_code=404) from error
        if rows[0].key != item_digest(id):
            raise unusable(f"lists another one for the id {id!r}: it ignores the filter") from error
        found: dict[str, Any] = rows[0].value
        return found


def time_bound(scope: str, operator: str, time: str) -> dict[str, Any]:
    """The condition (array form) that bounds the time of a scope's rows."""
    return {"type": "datetime", "column": _TIMES[scope][0], "operator": operator, "value": time}


def unusable(what: str) -> ApiError:
    """The error for a server whose rows cannot be read, each once, because it does `what`."""
    return ApiError(f"not every row can be read once, as the server {what}", status_code=200)


def ms_to_time(ms: int) -> str:
    """ISO 8601 text in UTC with milliseconds and a `Z`."""
    return ns_to_iso(ms * 1_000_000)[:23] + "Z"


def time_to_ms(text: Any) -> int | None:
    """Milliseconds since 1970 of an ISO 8601 text; None for everything else."""
    global _minute_read
    if type(text) is not str:
        return None
    minute, rest = text[:17], text[17:19] + text[20:23]
    # Servers write 2026-01-31T10:00:00.000Z, and rows come in order of time: most are of the minute of the last one.
    is_usual = len(text) == 24 and text[19] == "." and text[23] == "Z" and rest.isdigit() and rest.isascii()
    last, began = _minute_read  # one read, one write: threads may overwrite each other's, never mix them
    if is_usual and minute == last and rest < "60":
        return began + int(rest)
    try:
        ms = datetime_to_ns(iso_to_datetime(text)) // 1_000_000
    except (ValueError, OverflowError):
        return None
    if not FIRST_MS <= ms <= LAST_MS:
        return None
    if is_usual:
        _minute_read = minute, ms - int(rest)
    return ms


_minute_read: tuple[str, int] = ("", 0)


def _digest(value: Any) -> str:
    return item_digest(f"malformed:{to_json(value)}")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
