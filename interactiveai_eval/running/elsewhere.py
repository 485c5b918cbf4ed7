"""What happens to an item in another process: task or mapper, then what judges it. A pure function of what travels.

No client, no transport and no lock travels. Spans that the functions open there, by whatever client they find, nest
below the item and come back with the result; the process that has the run delivers them.
"""
from __future__ import annotations

import time
from functools import partial

from .._clock import Clock
from .._contexts import copy_context
from .._ids import Ids
from ..batch_model import EvaluatorInputs
from ..tracing.attributes import ENVIRONMENT
from ..tracing.context import current, propagated
from ..tracing.otlp import SharedAttributes, encode_span
from ..tracing.spans import Span, Tracer
from .calls import own_arguments
from .remote import RemoteError, remote_error
from .scoring import evaluations_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .calls import UserFunction

    Order = tuple[Mapping[str, Any], "str | None", Sequence[str]]


class Instructions:
    """What all items of a run share; it travels with every group of them."""

    __slots__ = (
        "composite",
        "environment",
        "evaluator_timeout_seconds",
        "evaluators",
        "maps",
        "mask",
        "propagated",
        "task",
        "task_timeout_seconds",
    )

    def __init__(
        self,
        *,
        task: UserFunction,
        maps: bool,
        evaluators: Sequence[UserFunction],
        composite: UserFunction | None,
        task_timeout_seconds: float | None,
        evaluator_timeout_seconds: float | None,
        mask: Callable[..., Any] | None,
        propagated: Mapping[str, Any],
        environment: str,
    ) -> None:
        """`maps` tells that `task` gives EvaluatorInputs; `propagated` and `environment` are what spans carry."""
        self.task = task
        self.maps = maps
        self.evaluators = evaluators
        self.composite = composite
        self.task_timeout_seconds = task_timeout_seconds
        self.evaluator_timeout_seconds = evaluator_timeout_seconds
        self.mask = mask
        self.propagated = propagated
        self.environment = environment

    def seconds_for_one(self) -> float | None:
        """The longest that an item may take; None where a function may take as long as it wants."""
        judges = len(self.evaluators) + (self.composite is not None)
        if self.task_timeout_seconds is None or (judges and self.evaluator_timeout_seconds is None):
            return None
        return self.task_timeout_seconds + judges * (self.evaluator_timeout_seconds or 0.0)


class Outcome:
    """What became of one call there: `value` or `error`, when and how long, and what was recorded meanwhile.

    `seconds` beyond the timeout stand for a call that was given up. `changes` are those to the call's own span: its
    name or None, attributes, events, error message. `spans` are (id, encoded, whether it is below the item).
    """

    __slots__ = ("changes", "error", "scores", "seconds", "skipped", "spans", "start_ns", "value")

    def __init__(self, start_ns: int, seconds: float, value: Any, error: RemoteError | None) -> None:
        self.start_ns = start_ns
        self.seconds = seconds
        self.value = value
        self.error = error
        self.changes: tuple[str | None, dict[str, Any], list[Any], str | None] = (None, {}, [], None)
        self.spans: list[tuple[str, bytes, bool]] = []
        self.scores: list[dict[str, Any]] = []
        self.skipped: list[tuple[str, str]] = []

    def fails(self, timeout: float | None) -> bool:
        """Whether the call raised, or took longer than that."""
        return self.error is not None or (timeout is not None and self.seconds > timeout)

    def become(self, read: Callable[[Any], Any]) -> None:
        """Have `read(value)` as the value, or its error."""
        try:
            self.value = read(self.value)
        except BaseException as error:  # no such thing as is wanted, or the value's own code failed
            self.value, self.error = None, remote_error(error)


def run_group(instructions: Instructions, orders: Sequence[Order]) -> list[list[Outcome]]:
    """The outcomes of each item, in order: its first call's, those of the evaluators, the composite's if asked.

    An order is (values by name, trace id, ids of the spans of the calls); without a trace id nothing is recorded. What
    an item raises, its outcome holds. Must stay importable by name: it travels by reference.
    """
    return [_outcomes(instructions, *order) for order in orders]


def _outcomes(
    instructions: Instructions, given: Mapping[str, Any], trace_id: str | None, span_ids: Sequence[str]
) -> list[Outcome]:
    values = dict(given)
    tracer = _Recorder(instructions)

    def call(function: UserFunction, timeout: float | None, names_span: str) -> Outcome:
        place = len(outcomes)
        if trace_id is None:
            return tracer.call(function, values, timeout, None)
        parent_id = span_ids[0] if place else None
        return tracer.call(function, values, timeout, (names_span, trace_id, span_ids[place], parent_id))

    outcomes: list[Outcome] = []
    timeout = instructions.task_timeout_seconds
    first = call(instructions.task, timeout, "")
    outcomes.append(first)
    if first.fails(timeout):
        return outcomes
    if instructions.maps:
        first.become(EvaluatorInputs.of)
        if first.error is not None:
            return outcomes
        values.update(first.value.items())
    else:
        values["output"], values["duration_seconds"] = first.value, first.seconds
    found: list[Any] = []
    judges, timeout = list(instructions.evaluators), instructions.evaluator_timeout_seconds
    while judges:
        for function in judges:
            judged = call(function, timeout, function.name)
            outcomes.append(judged)
            if not judged.fails(timeout):
                judged.become(partial(evaluations_from, name=function.name))
                found += judged.value or ()
            if judged.error is not None and "builtins.KeyboardInterrupt" in judged.error.type_names:
                return outcomes
        if instructions.composite is None or judges == [instructions.composite] or not found:
            break
        values["evaluations"] = list(found)
        judges = [instructions.composite]
    return outcomes


class _Recorder(Tracer):
    """The tracer of one item: takes over what any client of this process starts inside of it."""

    adopts = True

    def __init__(self, instructions: Instructions) -> None:
        super().__init__(clock=Clock(), ids=Ids(), sink=None, mask=instructions.mask, environment=None)  # type: ignore[arg-type]
        self._propagated = instructions.propagated
        self._inherited = (SharedAttributes({ENVIRONMENT: instructions.environment}),)
        self._outcome: Outcome | None = None  # of the call under way
        self.sink = self

    def call(
        self, function: UserFunction, values: Mapping[str, Any], timeout: float | None, place: tuple[Any, ...] | None
    ) -> Outcome:
        """Call a function inside of a span at `place`: its name, trace id, id and parent id; None: outside of any."""
        span = None
        if place is not None:
            name, trace_id, span_id, parent_id = place
            span = Span(self, self, name, trace_id, span_id, parent_id, self._inherited, self.clock.time_ns())
        context = copy_context()
        context.run(current.set, span)
        context.run(propagated.set, self._propagated)
        outcome = self._outcome = Outcome(self.clock.time_ns(), 0.0, None, None)
        started = time.perf_counter()
        try:
            arguments, keywords = own_arguments(function, values)
            attempt = _Attempt(lambda: context.run(_complete, function.function, arguments, keywords))
            outcome.value, outcome.error = attempt.result(timeout)
        except BaseException as error:  # what copies of the user's values raise
            outcome.error = remote_error(error)
        outcome.seconds = time.perf_counter() - started
        self._outcome = None
        if span is not None:
            renamed = None if span.name == name else span.name
            outcome.changes = (renamed, span.attributes, list(span.events), span.error_message)
        return outcome

    def add_span(self, span: Span) -> None:
        """Take a span that has ended; what all spans of the run carry is added when it has come back."""
        outcome = self._outcome
        if outcome is not None:
            is_nested, span.shared = bool(span.shared), ()
            outcome.spans.append((span.id, encode_span(span), is_nested))

    def add_score(self, body: dict[str, Any]) -> None:
        """Take the body of a score."""
        if self._outcome is not None:
            self._outcome.scores.append(body)

    def skip_score(self, id: str, reason: str) -> None:
        """Take note of a score that is never sent."""
        if self._outcome is not None:
            self._outcome.skipped.append((id, reason))


class _Attempt:
    """A function that may have to be given up: then it goes on alone, in a thread that ends with the process."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._value: Any = None
        self._error: BaseException | None = None

    def result(self, timeout: float | None) -> tuple[Any, RemoteError | None]:
        """(value, error), both None when `timeout` seconds were not enough."""
        if timeout is None:
            self._run()
        else:
            from threading import Thread

            thread = Thread(target=self._run, name="interactiveai_eval-call", daemon=True)
            thread.start()
            thread.join(timeout)
            if thread.is_alive():
                return None, None
        return self._value, None if self._error is None else remote_error(self._error)

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error


def _complete(function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """What a function comes to: coroutines run to their end in a loop of their own, what streams becomes a list."""
    value = function(*arguments, **keywords)
    kind = type(value)
    if hasattr(kind, "gi_code") and not value.gi_code.co_flags & 0x100:
        return list(value)
    if hasattr(kind, "__await__") or hasattr(kind, "ag_code") or hasattr(kind, "gi_code"):
        from asyncio import run

        return run(_awaited(value))
    return value


async def _awaited(value: Any) -> Any:
    if hasattr(type(value), "ag_code"):
        return [each async for each in value]
    return await value
