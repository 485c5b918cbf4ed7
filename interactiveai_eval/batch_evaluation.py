"""`run_batched_evaluation`: evaluate recorded traces or observations, each exactly once, and give back one result.

The story is in `_Run.go`: find out where to begin, let every item through, deliver, build the result and the token.
What happens to one item is told in `running.batch_items`, what is done is kept in `running.book`.
"""
from __future__ import annotations

from ._contexts import copy_context
from ._ids import derived_id, item_digest
from ._log import warn
from ._strict_json import to_json
from .batch_model import BatchEvaluationResumeToken, EvaluatorInputs
from .batch_result import BatchEvaluationResult
from .errors import ApiError, ArgumentError, CheckpointError, DataError, TransportError, error_text
from .model import EvaluatorStats
from .running.batch_items import BatchItems
from .running.batch_plan import SCOPES
from .running.book import Book
from .running.driver import Driver, run_here, run_on_loop, with_result
from .running.measures import UsualSeconds
from .running.pages import PageSource
from .running.progress import Progress
from .running.remote import RemoteLane, shares_memory
from .running.schedule import Schedule
from .running.waits import Rhythm
from .service.lists import time_bound, time_to_ms
from .service.reading import Position, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .running.batch_plan import BatchPlan
    from .running.groups import GroupLane
    from .running.loops import Lane
    from .running.services import Services
    from .running.token_files import TokenFile
    from .service.run_traces import RunTraces
    from .types import CompositeEvaluatorFunction, MapperFunction

__all__ = [
    "BatchEvaluationResult",
    "BatchEvaluationResumeToken",
    "CompositeEvaluatorFunction",
    "EvaluatorInputs",
    "EvaluatorStats",
    "MapperFunction",
]


def __getattr__(name: str) -> Any:
    # The types that other places import from here; `typing` is loaded only for those who ask.
    if name in __all__:
        from . import types

        return getattr(types, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run_batched_evaluation(plan: BatchPlan, services: Services) -> BatchEvaluationResult:
    """Run a checked plan and wait for it; works inside a running loop too."""
    result: BatchEvaluationResult = run_here(lambda lane: _Run(plan, services, lane), services.clock)
    return result


async def run_batched_evaluation_async(plan: BatchPlan, services: Services) -> BatchEvaluationResult:
    """Run a checked plan from a coroutine, whose loop goes on."""
    result: BatchEvaluationResult = await run_on_loop(lambda lane: _Run(plan, services, lane), services.clock)
    return result


class _Run:
    """One batch evaluation under way."""

    def __init__(self, plan: BatchPlan, services: Services, lane: Lane) -> None:
        self._plan = plan
        self._services = services
        self._clock = services.clock
        self._groups = self._groups_elsewhere()
        self._remote = self._groups or (None if plan.executor is None else RemoteLane(plan.executor))
        self._file = None if plan.checkpoint is None else _token_file(plan.checkpoint)
        self._goes_on = False  # with what the checkpoint says
        self._outbox = services.make_outbox()
        self._outbox.expect_scores_alone()
        self.driver = Driver(lane, self._outbox, threads=plan.max_concurrency, remote=self._remote)
        if self._groups is not None:
            self._groups.engine = self.driver.engine
        self._api = services.api.used_by(self.driver.patience_ends, repeats=True)
        self._schedule: Schedule | None = None
        self._context = copy_context()  # the caller's

    async def go(self) -> BatchEvaluationResult:
        """The whole run."""
        try:
            return await self._go_through(self._begin())
        finally:
            if self._file is not None:
                self._file.close()

    async def _go_through(self, begun: BatchEvaluationResumeToken) -> BatchEvaluationResult:
        plan, driver = self._plan, self.driver
        deadline = driver.set_time_budget(plan.time_budget_seconds)
        await driver.in_thread(lambda: self._prepare(begun))
        self._services.warn_of_silence()
        pages = self._pages(begun)
        book = self._open_book(begun, pages)
        usual = UsualSeconds()
        first, last = begun.by_tries()
        progress = Progress(plan.progress, name=f"evaluating {plan.scope}", total=plan.max_items, clock=self._clock)
        source = PageSource(
            driver.engine,
            pages,
            book,
            more=lambda: None if self._schedule is None else self._schedule.more(),
            max_retries=plan.max_retries,
            max_items=plan.max_items,
            shard=begun.shard,
            first=first,
            last=last,
        )
        self._schedule = Schedule(
            driver.engine,
            source,
            self._items(begun, book, progress, None if deadline is None else usual).run,
            limit=plan.max_concurrency,
            rhythm=None if plan.rate_limit is None else Rhythm(self._clock, plan.rate_limit),
            may_start=None if deadline is None else lambda: self._clock.monotonic() + usual.guess() < deadline,
        )
        await driver.let_through(self._schedule)
        progress.end()
        return await self._finish(book, source, begun)

    # -- the way there ---------------------------------------------------------------------------------------------

    def _begin(self) -> BatchEvaluationResumeToken:
        """Where to begin: the token of the call, that of the checkpoint, or one of a fresh run.

        Raises ArgumentError or CheckpointError for one that does not fit this call.
        """
        plan = self._plan
        given = plan.resume_from if self._file is None else self._file.open()
        self._goes_on = self._file is not None and given is not None
        fingerprint = derived_id(*plan.scoring_names)[:16]
        if given is not None and given.run_id is not None:
            try:
                self._check_fits(given, fingerprint)
            except ArgumentError as error:
                if plan.checkpoint is None:
                    raise
                raise CheckpointError(f"checkpoint {plan.checkpoint!r} is of another run: {error}") from None
            return given
        begun = BatchEvaluationResumeToken(
            scope=plan.scope,
            filter=to_json(plan.conditions) if plan.conditions else None,
            last_processed_timestamp="",
            last_processed_id="",
            items_processed=0,
            run_id=plan.run_id or self._services.tracer.ids.trace_id(),
            evaluators_fingerprint=fingerprint,
            shard=plan.shard,
            dataset_run=plan.dataset_run,
        )
        return begun if given is None else self._as_ours(given, begun)

    def _check_fits(self, token: BatchEvaluationResumeToken, fingerprint: str) -> None:
        """The token is what counts: an argument that says something else is an error."""
        plan = self._plan
        fix = "the token is of a run with {}: leave the argument out, give the same, or begin a new run"
        if token.scope != plan.scope:
            raise ArgumentError("scope", plan.scope, fix.format(repr(token.scope)))
        if plan.filter_given is not None and to_json(plan.conditions) != to_json(_filter_of(token)):
            raise ArgumentError("filter", plan.filter_given, fix.format(token.filter))
        for name in ("shard", "dataset_run", "run_id"):
            given = getattr(plan, name)
            if given is not None and given != token[name]:
                raise ArgumentError(name, given, fix.format(repr(token[name])))
        if token.evaluators_fingerprint != fingerprint:
            raise ArgumentError("evaluators", plan.scoring_names, "the token is of a run with other evaluators")

    def _as_ours(
        self, token: BatchEvaluationResumeToken, begun: BatchEvaluationResumeToken
    ) -> BatchEvaluationResumeToken:
        """A token of the reference's five fields, judged: it goes on from its time, but for the item it names."""
        plan, time, last_id = self._plan, token.last_processed_timestamp, token.last_processed_id
        if token.scope not in SCOPES or token.scope != plan.scope:
            raise ArgumentError("resume_from", token, f"its scope is not {plan.scope!r}")
        if not isinstance(time, str) or (time and time_to_ms(time) is None):
            raise ArgumentError("resume_from", token, "its last_processed_timestamp is neither a time nor empty")
        if not isinstance(last_id, str):
            raise ArgumentError("resume_from", token, "its last_processed_id is no text")
        if type(token.items_processed) is not int or token.items_processed < 0:
            raise ArgumentError("resume_from", token, "its items_processed is no whole number from 0")
        conditions = _filter_of(token)
        if plan.filter_given is not None and to_json(plan.conditions) != to_json(conditions):
            raise ArgumentError("filter", plan.filter_given, f"the token is of a run with {token.filter}")
        ours: BatchEvaluationResumeToken = begun.replaced(
            filter=to_json(conditions) if conditions else None,
            last_processed_timestamp=time,
            last_processed_id=last_id,
            items_processed=token.items_processed,
            lower=time or None,
            counts={"processed": token.items_processed},
        )
        return ours

    def _prepare(self, begun: BatchEvaluationResumeToken) -> None:
        """Ask the executor and write the checkpoint for the first time, either of which may take its time."""
        if self._remote is not None:
            self._remote.check([self._plan.mapper, *self._plan.scoring_functions])
        if self._file is not None:
            # Before the first score: whoever goes on after a kill derives the same ids for it.
            self._file.write(begun)

    def _groups_elsewhere(self) -> GroupLane | None:
        """Where items run that leave this process."""
        plan = self._plan
        if plan.executor is None or shares_memory(plan.executor):
            return None
        from .running.elsewhere import Instructions
        from .running.groups import GroupLane

        instructions = Instructions(
            task=plan.mapper,
            maps=True,
            evaluators=plan.evaluators,
            composite=plan.composite,
            task_timeout_seconds=plan.evaluator_timeout_seconds,
            evaluator_timeout_seconds=plan.evaluator_timeout_seconds,
            mask=None,
            propagated={},
            environment="",
        )
        return GroupLane(plan, instructions)

    def _pages(self, begun: BatchEvaluationResumeToken) -> Reader | RunTraces | None:
        """The reader, at the token's position; None when only failed items are left."""
        plan, position = self._plan, Position()
        if begun.only_failed:
            return None
        if begun.position is not None:
            position = Position.from_dict(begun.position)
        elif begun.last_processed_id:
            position = Position(ids=[item_digest(begun.last_processed_id)])
        if begun.dataset_run is not None:
            from .service.run_traces import RunTraces

            return RunTraces(self._api, *begun.dataset_run, page_size=plan.page_size, position=position)
        conditions = _filter_of(begun)
        if begun.lower is not None:
            conditions.append(time_bound(begun.scope, ">=", begun.lower))
        return Reader(
            self._api,
            begun.scope,
            conditions,
            page_size=plan.page_size,
            now=self._clock.time_ns,
            upper=begun.upper,
            position=position,
            direction=begun.direction,
        )

    def _open_book(self, begun: BatchEvaluationResumeToken, pages: Reader | RunTraces | None) -> Book:
        return Book(
            begun,
            upper=lambda: begun.upper if pages is None else pages.upper,
            save=None if self._file is None else self._file.write,
            stop=self.driver.stop,
            engine=self.driver.engine,
            evaluator_names=self._plan.scoring_names,
            keep=self._plan.keep_evaluations,
        )

    def _items(
        self, begun: BatchEvaluationResumeToken, book: Book, progress: Progress, usual: UsualSeconds | None
    ) -> BatchItems:
        services = self._services
        assert begun.run_id is not None
        return BatchItems(
            self._plan,
            run_id=begun.run_id,
            engine=self.driver.engine,
            api=self._api,
            tracer=services.tracer,
            outbox=self._outbox,
            silence=services.silence(None),
            context=self._context,
            stop=self.driver.stop,
            environment=services.environment,
            book=book,
            progress=progress,
            usual=usual,
            elsewhere=self._groups,
        )

    # -- the way back ----------------------------------------------------------------------------------------------

    async def _finish(
        self, book: Book, source: PageSource, begun: BatchEvaluationResumeToken
    ) -> BatchEvaluationResult:
        """Deliver what is left, in bounded time, and put result and token together."""
        schedule, plan = self._schedule, self._plan
        assert schedule is not None
        error = schedule.source_error
        completed = source.gave_all and book.attempted == source.taken
        if isinstance(error, (ApiError, TransportError)):
            times = "1 attempt" if source.attempts == 1 else f"{source.attempts} attempts"
            reason = f"{error_text(error)} (after {times})"
            book.fetch_failed(type(error).__name__, reason)
            if not _is_refused(error, book.total_fetched):
                how = "go on with the result's resume_token"
                warn(f"batch evaluation: reading {plan.scope} ended early: {reason}; {how}")
        has_more = await self._has_more(source) if completed else not source.is_empty
        delivery = await self.driver.deliver()
        all_done = book.all_done
        book.conclude(out_of_time=plan.time_budget_seconds is not None and self.driver.stopped is None)
        await self.driver.in_thread(book.close)
        if not book.is_closed:  # nobody waits for errands any more; one small file is written all the same
            book.close()
        token = book.token()
        has_more = has_more or not (completed or all_done)  # what was cancelled is left, too
        goes_on = self._goes_on or plan.resume_from is not None
        untouched = plan.max_items == 0 and goes_on  # nothing was asked for: the token still holds
        remains = has_more or not all_done or untouched
        if self._goes_on and completed and not (remains or book.attempted):
            warn(
                f"checkpoint {plan.checkpoint!r}: its run is complete, so nothing was evaluated; "
                "items that came since, and evaluators that failed, need a new run with another file"
            )
        if book.counts["failed"]:
            attempted = book.counts["processed"] + book.counts["failed"]
            warn(f"batch evaluation: {book.counts['failed']} of {attempted} items failed; see result.item_failures")
        return BatchEvaluationResult(
            total_items_fetched=book.total_fetched,
            total_items_processed=book.counts["processed"],
            total_items_failed=book.counts["failed"],
            total_scores_created=book.counts["scores"],
            total_composite_scores_created=book.counts["composite_scores"],
            total_evaluations_failed=book.counts["evaluations_failed"],
            evaluator_stats=book.stats(),
            resume_token=token if remains else None,
            completed=completed,
            duration_seconds=self._clock.monotonic() - self.driver.began,
            failed_item_ids=book.failed_item_ids,
            error_summary=book.error_summary,
            has_more_items=has_more,
            item_evaluations=book.evaluations,
            item_failures=book.failures,
            delivery=delivery,
            retry=None if remains else book.retry(),
            run_id=begun.run_id,
            shard=begun.shard,
        )

    async def _has_more(self, source: PageSource) -> bool:
        """Whether items are left that match; True when the server does not tell."""
        found: list[bool] = []

        async def look() -> None:
            found.append(await source.has_more())

        if self._plan.max_items == 0:
            return False  # as the contract has it: nothing is fetched
        try:
            await self.driver.flow(look())
        except (ApiError, TransportError):
            return True
        return found[0] if found else True

    def outcome(self, result: BatchEvaluationResult) -> BatchEvaluationResult:
        """The result, or what ended the run early raised with the result on it."""
        assert self._schedule is not None
        stopped, error = self.driver.stopped, self._schedule.source_error
        if stopped is None and error is not None:
            refused = _is_refused(error, result.total_items_fetched)
            if refused or not isinstance(error, (ApiError, TransportError)):
                stopped = error  # the server will have nothing to do with it, or a defect of ours
        if stopped is None:
            return result
        raise with_result(stopped, result)


def _is_refused(error: BaseException, fetched: int) -> bool:
    """Whether the server will have nothing to do with this run."""
    return isinstance(error, ApiError) and not error.retryable and not fetched


def _token_file(path: str) -> TokenFile:
    from .running.token_files import TokenFile

    return TokenFile(path)


def _filter_of(token: BatchEvaluationResumeToken) -> list[dict[str, Any]]:
    if token.filter is None:
        return []
    from .service.filters import read_filter

    try:
        return list(read_filter(token.scope, token.filter))
    except (ArgumentError, DataError) as error:
        raise ArgumentError("resume_from", token, f"its filter cannot be used: {error}") from None
