"""Items for a batch evaluation, out of pages that are fetched ahead while earlier ones are evaluated."""
from __future__ import annotations

from _thread import allocate_lock
from collections import deque

from .._ids import is_in_shard
from ..errors import ApiError, TransportError
from .book import BatchWork
from .engine import Pause
from .schedule import END, LATER, Source
from .waits import fetch_wait_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from ..service.reading import Page
    from .book import Book
    from .engine import Engine

    class Pages(Protocol):
        """What `Reader` of `service.reading` does, and `RunTraces` of `service.run_traces`."""

        def read(self, most: int | None = None) -> Page:
            """The next page; blocks."""


# How many whole pages may wait behind the one that is being taken: enough that nobody waits for the server when
# evaluating is what takes time, little enough to hold.
PAGES_AHEAD = 2


class PageSource(Source):
    """Items that failed before, the rows of page after page, items that failed again; at most `max_items` in all.

    ApiError and TransportError are met with `max_retries` more attempts after growing waits; what fails then ends the
    source: `take` raises it, after all that was fetched before. `more()` is called when there is something to take for
    whoever was told LATER.
    """

    def __init__(
        self,
        engine: Engine,
        pages: Pages | None,
        book: Book,
        *,
        more: Callable[[], None],
        max_retries: int,
        max_items: int | None,
        shard: tuple[int, int] | None,
        first: Sequence[str],
        last: Sequence[str],
    ) -> None:
        """`first` and `last` are ids that failed before; `pages` is None when there is nothing between them."""
        self._engine = engine
        self._pages = pages
        self._book = book
        self._more = more
        self._max_retries = max_retries
        self._left = max_items
        self._shard = shard
        self._lock = allocate_lock()
        self._waiting: deque[BatchWork] = deque(BatchWork(id, row=None) for id in first)
        self._last: deque[BatchWork] = deque(BatchWork(id, row=None) for id in last)
        self._fetching = False
        self._ended = pages is None
        self._error: BaseException | None = None
        self.attempts = 0  # of the fetch that failed in the end
        self.taken = 0

    def take(self) -> Any:
        with self._lock:
            if self._left == 0:
                return END
            waiting = self._waiting or (self._last if self._ended else ())
            found = waiting.popleft() if waiting else END if self._ended else LATER
            error = self._error if found is LATER else None
            if isinstance(found, BatchWork):
                self.taken += 1
                if self._left is not None:
                    self._left -= 1
            fetch = self._wants_page()
            self._fetching = self._fetching or fetch
        if error is not None:
            raise error
        if fetch:
            self._engine.start(self._fetch(), self._fetched, aside=True)
        return found

    def _wants_page(self) -> bool:
        """Whether to fetch another page now; the lock is held."""
        if self._fetching or self._ended or self._error is not None:
            return False
        if self._left is not None and self._left <= len(self._waiting):
            return False  # no more are fetched than are needed
        waiting = self._waiting
        return not waiting or self._book.distance(waiting[0].stretch, waiting[-1].stretch) < PAGES_AHEAD

    @property
    def is_empty(self) -> bool:
        """Whether all that match were taken, as far as the server has said by now; what failed again counts as that."""
        with self._lock:
            return self._ended and not self._waiting

    @property
    def gave_all(self) -> bool:
        """Whether all that match, or as many of them as are wanted, were taken."""
        return self._left == 0 or self.is_empty

    async def has_more(self) -> bool:
        """Whether items are left that match; asks the server if it has not said so. Raises what the server answers.

        For when `take` has ended. What is found here will not be evaluated, and is not counted as fetched.
        """
        while not self._waiting and not self._ended and not self._engine.stopping:
            await self._read(most=1)
        return not self.is_empty

    async def _fetch(self) -> None:
        """The flow of one page."""
        with self._lock:
            most = None if self._left is None else self._left - len(self._waiting)
        self._book.fetched(await self._read(most))

    async def _read(self, most: int | None) -> int:
        """Have the next page wait, after as many attempts as allowed; how many rows of it are ours."""
        assert self._pages is not None
        attempt = 0
        while not self._engine.stopping:
            attempt += 1
            try:
                page = self._pages.read(most)
            except (ApiError, TransportError) as error:
                if attempt > self._max_retries or not error.retryable:
                    self.attempts = attempt
                    raise
                await Pause(fetch_wait_seconds(attempt, error))
            else:
                return self._add(page)
        return 0

    def _add(self, page: Page) -> int:
        stretch = self._book.open(page)
        work = []
        for place, row in enumerate(page.rows):
            id = row.get("id") if isinstance(row, dict) else None
            id = id if isinstance(id, str) and id else None
            if is_in_shard(id or repr(row), self._shard):
                problem = page.problems.get(place, "")
                work.append(BatchWork(id, row=row, problem=problem, stretch=stretch, place=place))
            else:
                self._book.pass_over(stretch, place)
        with self._lock:
            self._waiting += work
            self._ended = page.last
        return len(work)

    def _fetched(self, error: BaseException | None) -> None:
        with self._lock:
            self._fetching = False
            self._error = error
        self._more()
