"""The traces of a data set run, a page at a time, in the order in which they were linked."""
from __future__ import annotations

from .datasets import run_item_rows
from .dialects import snake_case
from .lists import Row, time_to_ms
from .reading import ASCENDING, Page, Position, Trail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .api import Api


class RunTraces:
    """Reads like `reading.Reader`, but rows are only {"id": trace id}: what is in a trace is asked for one by one.

    `upper` is what a reader has; a run is read as it stands at the first `read`.
    """

    upper: str | None = None

    def __init__(self, api: Api, dataset_name: str, run_name: str, *, page_size: int, position: Position) -> None:
        self._api = api
        self._names = dataset_name, run_name
        self._page_size = page_size
        self.position = position
        self._rows: list[Row] | None = None

    def read(self, most: int | None = None) -> Page:
        """The next page, of at most `most` rows. Raises what the server answers; NotFoundError for no such run."""
        if self._rows is None:
            self._rows = self._all_rows()
        size = self._page_size if most is None else max(1, min(most, self._page_size))
        rows, self._rows = self._rows[:size], self._rows[size:]
        page = Trail(rows, self.position, ASCENDING).page(last=not self._rows)
        self.position = page.position
        return page

    def _all_rows(self) -> list[Row]:
        """A row for each trace that is left, by time and then by key."""
        dataset_name, run_name = self._names
        run = self._api.dataset_run(dataset_name, run_name)
        items = run_item_rows(self._api, run, dataset_name, run_name)
        rows: dict[str, Row] = {}
        for item in items:
            fields = {snake_case(name): value for name, value in item.items()}  # the dialects name them differently
            row = Row.of({"id": fields.get("trace_id")}, ms=time_to_ms(fields.get("created_at")) or 0)
            rows.setdefault(row.key, row)
        after = time_to_ms(self.position.time)
        left = [row for row in rows.values() if after is None or (row.ms or 0) >= after]
        return sorted(left, key=lambda row: (row.ms, row.key))
