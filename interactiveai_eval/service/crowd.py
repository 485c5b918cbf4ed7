"""The passes through one millisecond that holds more rows than a page: the one place where `reading` turns pages.

A page turned in a changing list can miss a row only if one that stood before it, on a page turned already, has gone.
The next pass does not meet that one. So a pass whose rows are all met again has missed nothing.
"""
from __future__ import annotations

from .lists import ms_to_time, unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .lists import Listed

# Made-up bounds. Pages in a row that may be empty although the server says that more follows; passes that may bring
# nothing new before the millisecond is left, on a server that gives equal times in another order each time.
EMPTY_PAGES = 3
QUIET_PASSES = 10


class Crowd:
    """Which page to ask for next, of how many rows (`at`, `rows_most`), and when it is enough."""

    def __init__(self, ms: int, rows_most: int) -> None:
        self.ms = ms
        self.rows_most = rows_most
        self._met_before: set[str] | None = None  # in the pass before this one
        self._quiet = 0
        self._expired = 0
        self._begin_pass()

    def _begin_pass(self) -> None:
        self.at: int | str | None = None
        self._met: set[str] = set()
        self._on_page: set[str] = set()
        self._cursors: set[str] = set()
        self._empty_pages = 0
        self._brought_news = self._repeats = False

    def rest(self, ids: frozenset[str]) -> frozenset[str]:
        """Those that are not rows of this millisecond: malformed rows without a time, which stand near it."""
        return ids - self._met

    def outlives(self, status_code: int) -> bool:
        """Whether a refusal with this status means an expired cursor; the pass begins anew, though not for ever."""
        if not isinstance(self.at, str) or status_code not in (400, 404, 410, 422) or self._expired >= EMPTY_PAGES:
            return False
        self._expired += 1
        self._begin_pass()
        return True

    def is_over(self, listed: Listed, brought_news: bool) -> bool:
        """Whether nothing was missed, now that this page is read, too; if not, `at` leads on.

        Raises ApiError for a server that gives the same page again and again.
        """
        keys = {row.key for row in listed.rows}
        is_first = self.at is None
        if keys and keys == self._on_page:
            self._repeats = True
        self._on_page = keys
        self._met |= keys
        self._empty_pages = 0 if keys else self._empty_pages + 1
        self._brought_news = self._brought_news or brought_news
        if listed.follows and 0 < len(listed.rows) < listed.rows_most:
            # It may leave out what did not fit on a page: with smaller ones nothing is left out.
            self.rows_most = len(listed.rows)
            self._met_before = None
            self._begin_pass()
            return False
        if listed.next in self._cursors:
            self._repeats = True
        elif (listed.follows or not listed.certain) and self._empty_pages <= EMPTY_PAGES:
            self.at = listed.next
            if isinstance(listed.next, str):
                self._cursors.add(listed.next)
            return False
        return self._pass_is_enough(is_first)

    def _pass_is_enough(self, was_one_page: bool) -> bool:
        self._quiet = 0 if self._brought_news else self._quiet + 1
        missed_nothing = was_one_page or (self._met_before is not None and self._met_before <= self._met)
        if missed_nothing and not self._repeats:
            return True
        if self._quiet >= QUIET_PASSES:
            if self._repeats:
                raise unusable(f"gives the same page again and again for {ms_to_time(self.ms)}")
            return True
        self._met_before = self._met
        self._begin_pass()
        return False
