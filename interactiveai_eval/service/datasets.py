"""Data sets as users hold them: items to run on, runs to look at."""
from __future__ import annotations

from .._clock import iso_to_datetime
from .._paths import SEGMENT, is_segment
from .._strict_json import well_formed
from ..errors import ApiError, ArgumentError
from ..model import Value
from .dialects import snake_case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime
    from typing import Any

    from ..result import ExperimentResult
    from ..tracing.spans import CurrentSpan
    from .api import Api

PAGES_MOST = 1_000_000  # a made-up bound against servers that never say "last page"


class ServerObject(Value):
    """An object of the server: the fields we use by their snake_case names, the rest in `raw`; times are datetimes."""

    __slots__ = ("raw",)

    raw: dict[str, Any]
    _times: tuple[str, ...] = ("created_at", "updated_at")

    def __init__(self, raw: Mapping[str, Any], **more: Any) -> None:
        fields = {snake_case(key): value for key, value in raw.items()}
        for name in self._times:
            if isinstance(fields.get(name), str):
                fields[name] = _moment(fields[name])
        fields.update(more, raw=dict(raw))
        self._fill({name: fields.get(name) for name in self._fields})

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields if name != "raw")
        return f"{type(self).__name__}({shown})"


def _moment(text: str) -> Any:
    try:
        return iso_to_datetime(text)
    except ValueError:
        return text  # a server's odd time is no reason to lose the object


class Dataset(ServerObject):
    """A data set without its items."""

    __slots__ = (
        "id",
        "name",
        "description",
        "metadata",
        "input_schema",
        "expected_output_schema",
        "project_id",
        "created_at",
        "updated_at",
    )

    id: str
    name: str
    description: str | None
    metadata: Any
    input_schema: Any
    expected_output_schema: Any
    project_id: str
    created_at: datetime
    updated_at: datetime


class DatasetItemClient(ServerObject):
    """One item of a data set; `run` traces a run of it by hand. Deep and pickled copies have no client for that."""

    __slots__ = (
        "id",
        "input",
        "expected_output",
        "metadata",
        "status",
        "dataset_id",
        "dataset_name",
        "source_trace_id",
        "source_observation_id",
        "created_at",
        "updated_at",
        "_open_run",
    )

    id: str
    input: Any
    expected_output: Any
    metadata: Any
    status: str
    dataset_id: str
    dataset_name: str
    source_trace_id: str | None
    source_observation_id: str | None
    created_at: datetime
    updated_at: datetime
    _open_run: Callable[..., CurrentSpan] | None

    def __init__(self, raw: Mapping[str, Any], open_run: Callable[..., CurrentSpan] | None = None) -> None:
        super().__init__(raw)
        self._fill({"_open_run": open_run})

    def to_dict(self) -> dict[str, Any]:
        """What the item is, for reports and saved results."""
        return {name: getattr(self, name) for name in ("id", "input", "expected_output", "metadata")}

    def run(self, *, run_name: str, run_metadata: Any = None, run_description: str | None = None) -> CurrentSpan:
        """A context manager: opens a span in a new trace, links item and trace in the run, yields the span."""
        open_run: Callable[..., CurrentSpan] | None = getattr(self, "_open_run", None)
        if open_run is None:
            raise ArgumentError("item", self.id, "is a copy without a client; get it from client.get_dataset(...)")
        return open_run(self, run_name=run_name, run_metadata=run_metadata, run_description=run_description)


class DatasetRunItem(ServerObject):
    """One item's place in a run: which trace it led to."""

    __slots__ = (
        "id",
        "dataset_run_id",
        "dataset_run_name",
        "dataset_item_id",
        "trace_id",
        "observation_id",
        "created_at",
        "updated_at",
    )

    id: str
    dataset_run_id: str
    dataset_run_name: str
    dataset_item_id: str
    trace_id: str
    observation_id: str | None
    created_at: datetime
    updated_at: datetime


class DatasetRun(ServerObject):
    """A run of a data set."""

    __slots__ = ("id", "name", "description", "metadata", "dataset_id", "dataset_name", "created_at", "updated_at")

    id: str
    name: str
    description: str | None
    metadata: Any
    dataset_id: str
    dataset_name: str
    created_at: datetime
    updated_at: datetime


class DatasetRunWithItems(DatasetRun):
    """A run of a data set with its `dataset_run_items`."""

    __slots__ = ("dataset_run_items",)

    dataset_run_items: list[DatasetRunItem]


class PageMeta(Value):
    """Where a page stands: counted from 1."""

    __slots__ = ("page", "limit", "total_items", "total_pages")

    page: int
    limit: int
    total_items: int
    total_pages: int

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._fill({name: meta.get(key) for name, key in _META})


_META = (("page", "page"), ("limit", "limit"), ("total_items", "totalItems"), ("total_pages", "totalPages"))


class DatasetRunPage(Value):
    """One page of runs: `data` and `meta`."""

    __slots__ = ("data", "meta")

    data: list[DatasetRun]
    meta: PageMeta

    def __init__(self, page: Mapping[str, Any]) -> None:
        self._fill({"data": [DatasetRun(row) for row in page["data"]], "meta": PageMeta(page["meta"])})


class DeletedRun(ServerObject):
    """The answer to deleting a run."""

    __slots__ = ("message",)

    message: str


class DatasetClient:
    """A data set with its items, in the server's order: iterate it, take its `len`, run experiments on it."""

    def __init__(
        self, dataset: Dataset, items: list[DatasetItemClient], run_experiment: tuple[Callable[..., Any], ...]
    ) -> None:
        """`run_experiment` is the pair of the client's plain and awaitable forms."""
        self._dataset = dataset
        self._run_experiment, self._run_experiment_async = run_experiment
        self.items = items

    def __iter__(self) -> Iterator[DatasetItemClient]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __repr__(self) -> str:
        return f"DatasetClient(name={self._dataset.name!r}, {len(self.items)} items)"

    def run_experiment(self, **arguments: Any) -> ExperimentResult:
        """Like `Interactive.run_experiment`, with this data set as `data`."""
        result: ExperimentResult = self._run_experiment(data=self, **_without_data(arguments))
        return result

    async def run_experiment_async(self, **arguments: Any) -> ExperimentResult:
        """Like `run_experiment`, awaited."""
        result: ExperimentResult = await self._run_experiment_async(data=self, **_without_data(arguments))
        return result


def _without_data(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    if "data" in arguments:
        raise ArgumentError("data", arguments["data"], "is this data set; leave it out, or call client.run_experiment")
    return arguments


def check_name(argument: str, name: Any) -> str:
    """`name` if it can stand for a data set or run in a path. Raises ArgumentError."""
    if not is_segment(name):
        raise ArgumentError(argument, name, f"must be {SEGMENT}")
    if "\0" in name or well_formed(name) != name:
        raise ArgumentError(argument, name, "must not have NUL characters or lone surrogates: no server can keep them")
    return name  # type: ignore[no-any-return]


def all_pages(fetch: Callable[[int], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of all pages, each once; `fetch(page)` gets one. The server's meta says which is the last.

    What is made while we read moves rows to the next page, so that some come twice.
    """
    seen = set()
    for page in range(1, PAGES_MOST):
        found = fetch(page)
        for row in found["data"]:
            row_id = row.get("id")
            if row_id is None or row_id not in seen:
                yield row
            seen.add(row_id)
        last = found["meta"]["totalPages"]
        if not isinstance(last, int):
            raise ApiError(f"page {page} does not say how many pages there are", status_code=200, body=found["meta"])
        if page >= last or not found["data"]:
            return


def run_item_rows(api: Api, run: Mapping[str, Any], dataset_name: str, run_name: str) -> Iterable[dict[str, Any]]:
    """The items of a data set run: some servers send them with the run, others list them apart."""
    rows = run.get("datasetRunItems", run.get("dataset_run_items"))
    if rows is not None:
        return list(rows)
    dataset_id = run.get("datasetId") or run.get("dataset_id") or ""
    return all_pages(lambda page: api.dataset_run_items(dataset_id, dataset_name, run_name, page=page, limit=100))
