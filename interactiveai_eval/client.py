"""`Interactive`: settings, a transport and a tracer wired into the use cases. No two clients share anything."""
from __future__ import annotations

import os
from _thread import RLock
from _weakref import ref

from ._clock import Clock
from ._ids import Ids, sha256_hex
from ._log import show_debug, warn
from .config import LOCAL_SCHEME, Secret, load_config
from .errors import ApiError, ArgumentError, ClosedError, ConfigError, NotFoundError
from .model import DeliveryReport
from .running.delivery import ClientDelivery
from .service.api import Api
from .service.scores import check_target
from .tracing.context import current
from .tracing.propagation import propagate_attributes
from .tracing.spans import CurrentSpan, Span, StartsSpans, Tracer, send_score
from .transports.base import Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from .batch_model import BatchEvaluationResumeToken
    from .batch_result import BatchEvaluationResult
    from .config import Config
    from .result import ExperimentResult
    from .running.services import Services
    from .service.datasets import (
        Dataset,
        DatasetClient,
        DatasetItemClient,
        DatasetRunPage,
        DatasetRunWithItems,
        DeletedRun,
    )

# 32 that deliver scores, and as many for the items' own requests, which would have to wait for these.
CLIENT_CONNECTIONS = 64
CLOSE_SECONDS = 30.0  # how long `close` waits for what is still to be delivered


class Interactive(StartsSpans):
    """A client of one project on one server, or of an embedded store (`Interactive.local()`).

    `dialect` is "platform" for the InteractiveAI platform (the default) or "public" for Langfuse-compatible servers
    (the default for the embedded store, which answers both). Arguments beat environment variables, which beat defaults.
    Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        *,
        public_key: str | None = None,
        secret_key: str | None = None,
        base_url: str | None = None,
        host: str | None = None,
        timeout: float | None = None,
        environment: str | None = None,
        release: str | None = None,
        additional_headers: Mapping[str, str] | None = None,
        tracing_enabled: bool | None = True,
        sample_rate: float | None = None,
        mask: Callable[..., Any] | None = None,
        flush_at: int | None = None,
        flush_interval: float | None = None,
        debug: bool = False,
        transport: Transport | None = None,
        dialect: str | None = None,
        project: tuple[str, str] | None = None,
        spool: str | os.PathLike[str] | None = None,
        plain_http: bool | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        """Raises ConfigError without keys and without a transport, ArgumentError for values that cannot be used.

        `base_url` may be `local:` or `local:PATH` for the embedded store; `host` is its deprecated name. `timeout` and
        `flush_interval` are seconds. `spool` is a folder that keeps what could not be delivered. `plain_http` allows
        keys and data to go to another machine over http://. A `transport` that is given stays the caller's to close.
        `clock` and `ids` are for tests (see `testing`).
        """
        if isinstance(secret_key, str):
            secret_key = Secret(secret_key)  # type: ignore[assignment]
        settings = dict(locals()).get
        del base_url, host, additional_headers  # from here on no traceback can show what secrets there are in them
        if transport is not None and not callable(getattr(transport, "send", None)):
            raise ArgumentError("transport", transport, "must have send(request), as a Transport has; or None for HTTP")
        self.config: Config = load_config(settings, os.getenv, needs_keys=transport is None)
        self._closed = False
        if clock is not None and not isinstance(clock, Clock):
            raise ArgumentError("clock", clock, "must be a Clock, such as testing.ManualClock")
        self.clock = clock or Clock()
        self._owns_transport = transport is None
        self._transport = _transport_for(self.config, self.clock) if transport is None else transport
        self.api = Api(
            self._transport,
            dialect=self.config.dialect,
            headers=_headers(self.config),
            prefix=self.config.path_prefix,
            project=self.config.project,
            where=self.config.base_url,
            log_requests=self.config.debug,
            spans_path=self.config.spans_path,
            clock=self.clock,
        )
        if self.config.debug:
            show_debug()
        self._delivery = ClientDelivery(self.config, self.api, self.clock)
        self._tracer = Tracer(
            clock=self.clock,
            ids=ids or Ids(),
            sink=self._delivery,
            mask=self.config.mask,
            environment=self.config.environment,
        )
        with registry:
            clients[:] = map(ref, [*live_clients(), self])

    @classmethod
    def local(cls, path: str | os.PathLike[str] | None = None, **settings: Any) -> Interactive:
        """A client of the embedded store: in memory, or in the SQLite file at `path`. No keys, no network.

        `settings` are those of `Interactive`. Raises StoreError when the file cannot be used.
        """
        file = "" if path is None else os.fsdecode(path)
        if path is not None and not file:
            raise ArgumentError("path", path, "must name a file; None keeps everything in memory")
        return cls(base_url=LOCAL_SCHEME + file, **settings)

    def __repr__(self) -> str:
        if not hasattr(self, "config"):
            return "Interactive(...)"  # not built yet: the traceback of a refused argument shows it
        return f"Interactive({self.config.base_url!r}{', closed' if self._closed else ''})"

    def __enter__(self) -> Interactive:
        self._check_open()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()

    def close(self) -> None:
        """Deliver what is queued (at most half a minute), then refuse every further call. Calling it again is fine."""
        if self._closed:
            return
        self._closed = self._tracer.closed = True
        report = self._delivery.close(self.clock.monotonic() + CLOSE_SECONDS)
        if report.pending:
            kept = self._delivery.whereabouts(report)
            warn(f"{self!r}: {report.pending} scores and spans could not be delivered{kept}")
        if self._owns_transport:
            self._transport.close()

    shutdown = close

    def flush(self, timeout: float | None = None) -> DeliveryReport:
        """Deliver what was queued outside of runs, for at most `timeout` seconds; what became of all of it so far."""
        self._check_open()
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout < 0):
            raise ArgumentError("timeout", timeout, "must be seconds, or None for as long as it takes")
        return self._delivery.flush(None if timeout is None else self.clock.monotonic() + timeout)

    def auth_check(self) -> bool:
        """Whether the server accepts the keys. Other trouble than a refusal is raised."""
        self._check_open()
        try:
            return bool(self.api.projects())
        except ApiError as error:
            if error.status_code in (401, 403):
                return False
            raise

    # -- experiments -----------------------------------------------------------------------------------------------

    def run_experiment(
        self,
        *,
        name: str,
        run_name: str | None = None,
        description: str | None = None,
        data: Any,
        task: Callable[..., Any],
        evaluators: Sequence[Callable[..., Any]] = (),
        composite_evaluator: Callable[..., Any] | None = None,
        run_evaluators: Sequence[Callable[..., Any]] = (),
        max_concurrency: int = 50,
        metadata: Mapping[str, Any] | None = None,
        repetitions: int = 1,
        task_timeout: float | None = None,
        evaluator_timeout: float | None = None,
        task_retries: int = 0,
        retry_on: Any = None,
        rate_limit: float | None = None,
        fail_on_error: bool | float | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        time_budget: float | Callable[[], float] | None = None,
        executor: Any = None,
        executor_group: int | None = None,
        progress: bool | Callable[..., Any] = False,
        experiment_id: str | None = None,
        keep_results: bool = True,
        on_result: Callable[[Any], Any] | None = None,
        shard: tuple[int, int] | None = None,
    ) -> ExperimentResult:
        """Run `task` on every item of `data`, evaluate every output, trace and score it all.

        `data`: any iterable or async iterable of items (dicts or objects with `input`, `expected_output`, `metadata`),
        or a data set; pulled lazily, plain iterators on a thread of ours. `run_name`: default "{name} - {UTC time}".
        Functions are plain or `async`; plain ones run on threads, at most `max_concurrency` items at a time; each gets
        copies of what it can take: task `item`; evaluators `input, output, expected_output, metadata` (also `item,
        trace_id, duration_seconds` if named); the composite these four, `item` and `evaluations`; run evaluators
        `item_results` (also `item_failures`). For what evaluators may return see `running.scoring.evaluations_from`.

        A failing task is an entry of `item_failures`, a failing evaluator one of `evaluator_failures`; neither stops
        the run. `repetitions` runs each item so often; a data set run shows the one that was linked last.
        `task_timeout`, `evaluator_timeout`: seconds a call; a plain function cannot be killed: it is left to finish
        alone, and a coroutine that blocks its thread is told of when it returns. `task_retries` more attempts (after
        0.5, 1, 2 ... s) for errors that match `retry_on` (exception types or a predicate; default all). `rate_limit`:
        attempts a second, evenly spaced, retries included. `fail_on_error`: True (the first), a count (int) or a share
        (float, 1.0 for all) of failed items that ends the run. `checkpoint`: a file by which a killed run goes on;
        finished items are not run again (outputs come back as JSON values); functions of other names are refused.
        `time_budget`: seconds for all, or a function that says how many milliseconds are left; the rest is left for a
        later call. `executor`: a `concurrent.futures.Executor`. Threads get single calls of plain functions; one that
        overran keeps its worker until it ends, and once all have, what waits one timeout more fails as NoWorkerFree.
        Other executors get whole items, `executor_group` at a time (default: as measured), one after the other,
        coroutines included; functions, mask, items and outputs must be picklable; what times out there goes on alone
        in a thread. Spans nested in an item come back with it, but for those that outlive it. Items of a worker that
        is lost are run once more, then fail with the executor's error.
        `progress`: True for a line on stderr, or a function of one details object. `experiment_id`: the id from which
        all others are derived.
        `on_result` receives each result or failure as it comes (what it raises ends the run), `keep_results=False`
        keeps only counts. `shard=(k, n)`: the k-th (from 0) of n disjoint parts of the data, told apart by item ids;
        all n get the same `data` and `experiment_id` (and by default the run name that follows from it), may run
        anywhere and again, and `ExperimentResult.merge` makes one result of theirs.

        Raises ArgumentError (a ValueError) before any work; TooManyFailuresError for `fail_on_error`; RunStopped when
        `data` raises; KeyboardInterrupt on Ctrl-C and SystemExit(143) on SIGTERM: all with the result so far as
        `.result`.
        """
        from .experiment import run_experiment
        from .running.plan import DEFAULTS, REQUIRED, Plan

        self._check_open()
        given = locals()
        return run_experiment(Plan({key: given[key] for key in (*REQUIRED, *DEFAULTS)}), self._services())

    async def run_experiment_async(self, **arguments: Any) -> ExperimentResult:
        """Like `run_experiment`, awaited: coroutines run on the caller's loop, which is never blocked.

        When it is cancelled, the CancelledError has the result. On Python 3.9 and 3.10 whoever awaits a task of it sees
        another CancelledError, with ours as its `__context__`. A SystemExit in a task that user code makes ends the
        caller's loop, as asyncio has it.
        """
        from .experiment import run_experiment_async
        from .running.plan import Plan

        self._check_open()
        return await run_experiment_async(Plan(arguments), self._services())

    run_experiment_async.__wrapped__ = run_experiment  # type: ignore[attr-defined]  # shows its parameters

    def run_batched_evaluation(
        self,
        *,
        scope: str,
        mapper: Callable[..., Any],
        evaluators: Sequence[Callable[..., Any]],
        filter: Any = None,
        fetch_batch_size: int = 50,
        max_items: int | None = None,
        max_retries: int = 3,
        composite_evaluator: Callable[..., Any] | None = None,
        max_concurrency: int = 50,
        metadata: Mapping[str, Any] | None = None,
        resume_from: BatchEvaluationResumeToken | None = None,
        verbose: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        time_budget: float | Callable[[], float] | None = None,
        executor: Any = None,
        executor_group: int | None = None,
        rate_limit: float | None = None,
        evaluator_timeout: float | None = None,
        progress: bool | Callable[..., Any] = False,
        run_id: str | None = None,
        shard: tuple[int, int] | None = None,
        dataset_run: tuple[str, str] | None = None,
        full_traces: bool = False,
        keep_evaluations: bool = True,
        on_item: Callable[..., Any] | None = None,
    ) -> BatchEvaluationResult:
        """Evaluate recorded traces or observations, each once, and store the scores on them.

        `scope`: "traces" or "observations". `mapper(item)` gives EvaluatorInputs, or a dict with `input`, `output` and
        maybe `expected_output` and `metadata`; `item` has the server's fields by attribute or key (see
        `service.records`). Evaluators get those four, and `item`, `trace_id` and `duration_seconds` (the recorded
        latency) if they name them; the composite `evaluations` and `item`; see `run_experiment`. `filter`: conditions
        as JSON text or Python values, a list of conditions or the object form (`service.filters.read_filter`).
        `fetch_batch_size`: rows a request, at most 100. `max_items` counts items that are attempted. `max_retries`:
        more attempts of a fetch, after 1, 2, 4 ... s or what the server asks for. `metadata` goes onto all scores.
        `verbose` or `progress`: True for a line on stderr; `progress` may be a function of one details object.
        `time_budget`: as for an experiment, and so is `executor`, but that spans opened in other processes stay there;
        `rate_limit`: items a second.

        What is left when the call ends early is in `result.resume_token`, which `resume_from` takes up; items that
        failed are tried again first, and those that fail once more then after all others. `checkpoint`: a file that
        always holds such a token: after a kill, the same call goes on, and score ids, which are derived from `run_id`
        (default: drawn) and the item, land once; a file that another run has is refused. An item whose evaluators
        failed counts as processed: no token repeats it, a new run does.
        `shard=(k, n)`: the k-th (from 0) of n disjoint parts. `dataset_run=(data set, run)`: the traces of that run.
        `full_traces`: mappers get traces with their observations and scores. `keep_evaluations=False` keeps counts
        only, at most 10,000 failures; `on_item(item_id, evaluations)` receives what each item got (what it raises
        ends the run).

        Raises ArgumentError (a ValueError) and CheckpointError before any work; ApiError when the server refuses the
        first page; KeyboardInterrupt on Ctrl-C and SystemExit(143) on SIGTERM with the result so far as `.result`.
        A page that cannot be read later on ends the run with a result whose `completed` is False.
        """
        from .batch_evaluation import run_batched_evaluation
        from .running.batch_plan import DEFAULTS, REQUIRED, BatchPlan

        self._check_open()
        given = locals()
        return run_batched_evaluation(BatchPlan({key: given[key] for key in (*REQUIRED, *DEFAULTS)}), self._services())

    async def run_batched_evaluation_async(self, **arguments: Any) -> BatchEvaluationResult:
        """Like `run_batched_evaluation`, awaited: coroutines run on the caller's loop, which is never blocked."""
        from .batch_evaluation import run_batched_evaluation_async
        from .running.batch_plan import BatchPlan

        self._check_open()
        return await run_batched_evaluation_async(BatchPlan(arguments), self._services())

    run_batched_evaluation_async.__wrapped__ = run_batched_evaluation  # type: ignore[attr-defined]

    def _services(self) -> Services:
        from .running.services import Services

        self._check_open()
        return Services(
            api=self.api,
            base_url=self.config.base_url,
            clock=self.clock,
            environment=self.config.environment,
            tracer=self._tracer,
            make_outbox=self._delivery.outbox_of_run,
            silence=self._delivery.silence,
            warn_of_silence=self._delivery.warn_of_silence,
        )

    # -- data sets -------------------------------------------------------------------------------------------------

    def get_dataset(
        self, name: str, *, fetch_items_page_size: int | None = 50, include_archived: bool = False
    ) -> DatasetClient:
        """The data set called `name` with its items, in the server's order. NotFoundError when there is none."""
        from .service.datasets import Dataset, DatasetClient, all_pages, check_name

        self._check_open()
        check_name("name", name)
        size = 50 if fetch_items_page_size is None else fetch_items_page_size
        if not isinstance(size, int) or not 1 <= size <= 100:
            raise ArgumentError("fetch_items_page_size", size, "must be from 1 to 100")
        dataset = Dataset(self.api.dataset(name))
        rows = all_pages(
            lambda page: self.api.dataset_items(name, page=page, limit=size, archived=include_archived)
        )
        items = [self._item(row) for row in rows if include_archived or row.get("status") != "ARCHIVED"]
        return DatasetClient(dataset, items, (self.run_experiment, self.run_experiment_async))

    def create_dataset(
        self,
        *,
        name: str,
        description: str | None = None,
        metadata: Any = None,
        input_schema: Any = None,
        expected_output_schema: Any = None,
    ) -> Dataset:
        """Create a data set, or update the one of that name."""
        from .service.datasets import Dataset, check_name

        self._check_open()
        body = {
            "name": check_name("name", name),
            "description": description,
            "metadata": metadata,
            "inputSchema": input_schema,
            "expectedOutputSchema": expected_output_schema,
        }
        return Dataset(self.api.create_dataset(_without_none(body)))

    def create_dataset_item(
        self,
        *,
        dataset_name: str,
        input: Any = None,
        expected_output: Any = None,
        metadata: Any = None,
        source_trace_id: str | None = None,
        source_observation_id: str | None = None,
        status: Any = None,
        id: str | None = None,
    ) -> DatasetItemClient:
        """Create an item of a data set, or update the one with that `id` (what is None keeps its old value).

        `status` is "ACTIVE" or "ARCHIVED".
        """
        from .service.datasets import check_name

        self._check_open()
        status = getattr(status, "value", status)
        if status not in (None, "ACTIVE", "ARCHIVED"):
            raise ArgumentError("status", status, "must be 'ACTIVE' or 'ARCHIVED'")
        body = {
            "datasetName": check_name("dataset_name", dataset_name),
            "input": input,
            "expectedOutput": expected_output,
            "metadata": metadata,
            "sourceTraceId": source_trace_id,
            "sourceObservationId": source_observation_id,
            "status": status,
            "id": id,
        }
        try:
            return self._item(self.api.create_dataset_item(_without_none(body)))
        except NotFoundError as error:
            if id is not None:
                error.args = (f"{error}; is {id!r} an item of another data set? Ids belong to the whole store",)
            raise

    def get_dataset_runs(
        self, *, dataset_name: str, page: int | None = None, limit: int | None = None
    ) -> DatasetRunPage:
        """One page of the runs of a data set, newest first, as `data` and `meta`."""
        from .service.datasets import DatasetRunPage, check_name

        self._check_open()
        check_name("dataset_name", dataset_name)
        return DatasetRunPage(self.api.dataset_runs(dataset_name, page=page, limit=limit))

    def get_dataset_run(self, *, dataset_name: str, run_name: str) -> DatasetRunWithItems:
        """One run of a data set with its `dataset_run_items`. NotFoundError when there is none."""
        from .service.datasets import DatasetRunItem, DatasetRunWithItems, check_name, run_item_rows

        self._check_open()
        check_name("dataset_name", dataset_name)
        raw = self.api.dataset_run(dataset_name, check_name("run_name", run_name))
        rows = run_item_rows(self.api, raw, dataset_name, run_name)
        return DatasetRunWithItems(raw, dataset_run_items=[DatasetRunItem(row) for row in rows])

    def delete_dataset_run(self, *, dataset_name: str, run_name: str) -> DeletedRun:
        """Delete a run of a data set; its traces stay."""
        from .service.datasets import DeletedRun, check_name

        self._check_open()
        check_name("dataset_name", dataset_name)
        return DeletedRun(self.api.delete_dataset_run(dataset_name, check_name("run_name", run_name)))

    def _item(self, raw: dict[str, Any]) -> DatasetItemClient:
        from .service.datasets import DatasetItemClient

        return DatasetItemClient(raw, self._run_item)

    def _run_item(
        self, item: DatasetItemClient, *, run_name: str, run_metadata: Any, run_description: str | None
    ) -> CurrentSpan:
        from .running.by_hand import run_by_hand
        from .service.datasets import check_name

        self._check_open()
        return run_by_hand(
            item,
            self._tracer,
            self._delivery,
            run_name=check_name("run_name", run_name),
            run_metadata=run_metadata,
            run_description=run_description,
        )

    # -- spans -----------------------------------------------------------------------------------------------------

    def start_observation(
        self, *, name: str, as_type: str = "span", trace_context: Mapping[str, str] | None = None, **fields: Any
    ) -> Span:
        """A span that runs from now on, below the current one; end it with `end` or a `with` statement.

        `as_type` is one of `tracing.spans.OBSERVATION_TYPES`; `trace_context` ({"trace_id", "parent_span_id"}) joins a
        given trace; `fields` are those of `Span.update`. An event has no duration.
        """
        span = self._tracer.start(name, as_type=as_type, trace_context=trace_context, **fields)
        return span.end(end_time=span.start_ns) if as_type == "event" else span

    def start_as_current_observation(
        self,
        *,
        name: str,
        as_type: str = "span",
        trace_context: Mapping[str, str] | None = None,
        end_on_exit: bool | None = True,
        **fields: Any,
    ) -> CurrentSpan:
        """The same for a `with` statement: the span is current inside it, and ends with it unless told otherwise."""
        self._check_open()
        return CurrentSpan(
            lambda: self._tracer.start(name, as_type=as_type, trace_context=trace_context, **fields),
            end_on_exit=end_on_exit is not False,
        )

    # The reference's documentation calls it on the client; it acts on whatever is current.
    propagate_attributes = staticmethod(propagate_attributes)

    def update_current_span(self, **fields: Any) -> None:
        """`Span.update` on the current span."""
        span = self._current("update_current_span")
        if span is not None:
            span.update(**fields)

    update_current_generation = update_current_span

    def update_current_trace(self, **fields: Any) -> None:
        """`Span.update_trace` on the current span."""
        span = self._current("update_current_trace")
        if span is not None:
            span.update_trace(**fields)

    def score_current_span(self, *, name: str, value: Any, **details: Any) -> None:
        """`Span.score` on the current span."""
        span = self._current("score_current_span")
        if span is not None:
            span.score(name=name, value=value, **details)

    def score_current_trace(self, *, name: str, value: Any, **details: Any) -> None:
        """`Span.score_trace` on the current span."""
        span = self._current("score_current_trace")
        if span is not None:
            span.score_trace(name=name, value=value, **details)

    def get_current_trace_id(self) -> str | None:
        """The trace id of the current span, or None."""
        self._check_open()
        span = self._own_current()
        return None if span is None else span.trace_id

    def get_current_observation_id(self) -> str | None:
        """The id of the current span, or None."""
        self._check_open()
        span = self._own_current()
        return None if span is None else span.id

    def get_current_traceparent(self) -> str | None:
        """The W3C `traceparent` header for requests of the current span, or None."""
        self._check_open()
        span = self._own_current()
        return None if span is None else span.traceparent

    def create_score(
        self,
        *,
        name: str,
        value: Any,
        session_id: str | None = None,
        dataset_run_id: str | None = None,
        trace_id: str | None = None,
        observation_id: str | None = None,
        score_id: str | None = None,
        data_type: str | None = None,
        comment: str | None = None,
        config_id: str | None = None,
        metadata: Any = None,
        timestamp: datetime | None = None,
    ) -> None:
        """Queue a score for delivery (see `flush`) on a trace, an observation (with its trace), a session or a run.

        Raises ArgumentError for a target, value or type that no server takes.
        """
        self._check_open()
        target = {
            "trace_id": trace_id,
            "observation_id": observation_id,
            "session_id": session_id,
            "dataset_run_id": dataset_run_id,
        }
        check_target(**target)
        tracer, sink, environment = self._tracer, self._tracer.sink, self.config.environment
        current = self._own_current()
        if current is not None and current.trace_id == trace_id:  # it goes with the rest of this item
            tracer, sink, environment = current.tracer, current.sink, current.environment
        send_score(
            tracer,
            sink,
            name,
            value,
            target,
            environment,
            score_id=score_id,
            data_type=data_type,
            comment=comment,
            config_id=config_id,
            metadata=metadata,
            timestamp=timestamp,
        )

    @staticmethod
    def create_trace_id(*, seed: str | None = None) -> str:
        """A trace id: random, or always the same for the same `seed`."""
        return Ids().trace_id() if seed is None else sha256_hex(seed.encode("utf-8", "surrogatepass"))[:32]

    def get_trace_url(self, *, trace_id: str | None = None) -> str | None:
        """Where a trace (default: the current one) can be looked at; None without a trace."""
        self._check_open()
        trace_id = trace_id or self.get_current_trace_id()
        if trace_id is None:
            return None
        return f"{self.config.base_url}/project/{self.api.project_id()}/traces/{trace_id}"

    # -- plumbing --------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self!r} was closed before this call")

    def _own_current(self) -> Span | None:
        span = current.get()
        return span if span is not None and (span.tracer is self._tracer or span.tracer.adopts) else None

    def _current(self, what: str) -> Span | None:
        self._check_open()
        span = self._own_current()
        if span is None:
            warn(f"{what}: no span of this client is current here, so nothing is recorded")
        return span


InteractiveAI = Interactive


clients: list[ref[Interactive]] = []  # what `at_hand.get_client` chooses from; weak, so that nobody is kept alive
registry = RLock()  # one thread at a time may look up or make clients, else two make one each


def live_clients() -> list[Interactive]:
    """The clients that somebody holds and nobody has closed; `registry` is held."""
    held = [found() for found in clients]
    return [client for client in held if client is not None and not client._closed]


def _transport_for(config: Config, clock: Clock) -> Transport:
    """The one place that picks a transport."""
    if config.is_local:
        from .transports.local import LocalTransport

        return LocalTransport(config.local_path, clock=clock)
    from .transports.remote import HTTPTransport
    from .transports.retry import RetryTransport

    http = HTTPTransport(
        config.base_url, timeout_seconds=config.timeout_seconds, max_connections=CLIENT_CONNECTIONS, clock=clock
    )
    if not (http.origin.scheme == "https" or http.origin.is_loopback or config.plain_http):
        raise ConfigError(
            f"{http.origin} is not https, so that keys and data could be read on the way. Use https://, or allow it "
            "with plain_http=True or the variable INTERACTIVEAI_PLAIN_HTTP=true"
        )
    return RetryTransport(http, clock=clock)


def _headers(config: Config) -> dict[str, Secret]:
    headers = {"x-interactiveai-sdk-name": Secret("python"), **config.additional_headers}
    if config.public_key is not None and config.secret_key is not None:
        from binascii import b2a_base64

        pair = f"{config.public_key}:{config.secret_key.reveal()}".encode()
        headers["authorization"] = Secret("Basic " + b2a_base64(pair, newline=False).decode("ascii"))
        headers["x-interactiveai-public-key"] = Secret(config.public_key)
    return headers


def _without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}

