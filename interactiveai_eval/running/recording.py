"""What is recorded of an item: its root span, its evaluators' spans, their scores, and what nested code adds.

The item span covers the task and nothing else; evaluators have spans of their own below it. All ids are derived from
the run and the item, so recording the same item again replaces what was there. Items that are neighbours in the data
have neighbouring ids: a database that keeps an index of ids in pages then writes a few of them for a batch, where ids
that are scattered would touch nearly every page there is.
"""
from __future__ import annotations

from _thread import allocate_lock
from contextlib import suppress

from .._ids import derived_id, parts_text, text_id, usual_parts_text
from .._log import warn
from .._strict_json import fields_to_json, to_attribute_text, to_json, well_formed
from ..errors import short_repr
from ..model import Evaluation
from ..service.scores import Unsendable, score_body
from ..tracing.attributes import ENVIRONMENT, INPUT, METADATA, OUTPUT, PROPAGATED_LIMIT, TYPE, cut, metadata_attributes
from ..tracing.otlp import SharedAttributes, encode_span
from ..tracing.spans import Span
from .parcels import Parcel
from .scoring import masked_evaluation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from ..model import EvaluatorFailure
    from ..tracing.spans import Tracer
    from .calls import UserFunction
    from .engine import Call
    from .failures import Failure
    from .items import Item
    from .measures import EvaluatorRun
    from .outbox import Outbox
    from .plan import Plan

SPAN_NAME = "experiment-item-run"
EXPERIMENT_ENVIRONMENT = "sdk-experiment"
_ITEMS_A_PLACE = 16  # share the first digits of their ids; the other 12 of a span's are enough to tell those apart


class ItemTrace:
    """The trace of one item under way; also the sink of all spans in it, until the item is done."""

    __slots__ = (
        "_digest",
        "_events",
        "_recorder",
        "carried",
        "closed",
        "sent",
        "silence",
        "span",
        "span_id",
        "trace_id",
    )

    span: Span

    def __init__(self, place: str, digest: str, recorder: Recorder) -> None:
        """All ids begin with `place`, four hexadecimal digits; the others are among the 64 of `digest`."""
        self.trace_id = trace_id = place + digest[4:32]
        self.span_id = place + digest[36:48]
        self._digest = digest
        # Why nothing of the item leaves the process, "" if it does.
        self.silence = silence = recorder.silence(trace_id)
        self.carried: Sequence[tuple[str, bytes]] = ()  # spans that came encoded from elsewhere, by id
        self._recorder = recorder
        self.closed = False  # whether the item is done, or was at least about to be recorded
        self.sent = not silence
        self._events: list[Any] = []  # ended spans, bodies of scores, (id, reason) of scores that cannot be sent

    def evaluator_span_id(self, position: int) -> str:
        """The id of the span of the evaluator at `position`."""
        return f"{self.span_id[:4]}{(int(self._digest[52:], 16) + position) & 0xFFFFFFFFFFFF:012x}"

    def score_id(self, known_as: str) -> str:
        """The id of the score that this text of parts tells from the others of the item."""
        return self.span_id[:4] + text_id(parts_text(self.trace_id) + known_as)[4:32]

    def add_span(self, span: Span) -> None:
        self._add(span)

    def add_score(self, body: dict[str, Any]) -> None:
        self._add(body)

    def skip_score(self, id: str, reason: str) -> None:
        self._add((id, reason))

    def _add(self, event: Any) -> None:
        # No lock is taken for it while the item is under way: a fork or a signal may come at any moment.
        self._events.append(event)
        if self.closed:
            self._recorder.deliver_late(self, self._taken())

    def close(self) -> list[Any]:
        """The events so far; what comes from now on is delivered on its own."""
        events = self._taken() if self._events else []
        self.closed = True
        return [*events, *self._taken()] if self._events else events

    def _taken(self) -> list[Any]:
        """The events so far, of which each is taken once, whoever asks at the same time."""
        taken, events = [], self._events
        with suppress(IndexError):
            while True:
                taken.append(events.pop())
        taken.reverse()
        return taken


def _by_kind(events: Iterable[Any]) -> tuple[list[Span], list[dict[str, Any]], list[tuple[str, str]]]:
    """The spans among the events of a trace, the scores, and those that cannot be sent."""
    spans: list[Span] = []
    scores: list[dict[str, Any]] = []
    unsendable: list[tuple[str, str]] = []
    for event in events:
        kind = type(event)
        if kind is dict:
            scores.append(event)
        elif kind is tuple:
            unsendable.append(event)
        else:
            spans.append(event)
    return spans, scores, unsendable


_NO_EVENTS: tuple[list[Span], list[dict[str, Any]], list[tuple[str, str]]] = [], [], []


class Recorder:
    """Records the items of one run."""

    def __init__(
        self,
        plan: Plan,
        *,
        tracer: Tracer,
        outbox: Outbox,
        experiment_id: str,
        run_name: str,
        propagated: Mapping[str, Any],
        silence: Callable[[str], str],
    ) -> None:
        """`propagated` are the caller's propagated attributes; see `ClientDelivery.silence`."""
        self._plan = plan
        self._tracer = tracer
        self._outbox = outbox
        self._experiment_id = experiment_id
        self._run_name = run_name
        self._seed = f"{len(experiment_id)}:{experiment_id}:"
        # Runs begin at places of their own: else all their first items would crowd into the same few digits.
        self._first_place = int(text_id(self._seed)[:4], 16)
        self._propagated = dict(propagated)
        self.silence = silence
        self._over = False
        self._lock = allocate_lock()
        self._shared_by_id: dict[str, SharedAttributes] = {}
        self._long: set[str] = set()
        self._run_metadata = {
            **(metadata_attributes(METADATA, tracer.masked(plan.metadata)) if plan.metadata else {}),
            f"{METADATA}.experiment_name": well_formed(plan.name),
            f"{METADATA}.experiment_run_name": well_formed(run_name),
        }

    def begin(self, number: int, repetition: int, key: str) -> ItemTrace:
        """The trace for one run of an item: always a new one, whatever span is current; its ids depend on all three."""
        digest = text_id(f"{self._seed}{number}:{repetition}:{key}")
        return ItemTrace(f"{(self._first_place + number // _ITEMS_A_PLACE) & 0xFFFF:04x}", digest, self)

    def close(self) -> None:
        """From now on, late spans and scores go to the client instead of this run."""
        self._over = True

    def open_item(self, trace: ItemTrace, item: Item, dataset_run_id: str | None) -> None:
        """Open the root span, with its input recorded before the task runs."""
        now = self._tracer.clock.time_ns()
        span = trace.span = Span(self._tracer, trace, SPAN_NAME, trace.trace_id, trace.span_id, None, (), now)
        if not trace.sent:
            return
        put = span.attributes
        put[TYPE] = "span"
        shared: dict[str, Any] = {
            "langfuse.experiment.item.id": item.id,
            "langfuse.experiment.item.root_observation_id": trace.span_id,
        }
        if item.input is not None:
            masked = self._tracer.masked(item.input)
            put[INPUT] = item.input_text if masked is item.input else to_attribute_text(masked)
        metadata = self._tracer.masked(item.metadata)
        if metadata is not None:
            put.update(metadata_attributes(METADATA, metadata))
            shared["langfuse.experiment.item.metadata"] = self._carried("item metadata", to_attribute_text(metadata))
        put.update(self._run_metadata)  # what the run says wins over what the item says
        if item.dataset_id is not None:
            put[f"{METADATA}.dataset_id"] = shared["langfuse.experiment.dataset.id"] = item.dataset_id
            put[f"{METADATA}.dataset_item_id"] = item.id
        if item.expected_output is not None:
            put["langfuse.experiment.item.expected_output"] = self._tracer.text(item.expected_output)
        if self._plan.description is not None:
            put["langfuse.experiment.description"] = self._tracer.text(self._plan.description)
        put.update(self._propagated)
        span.shared = span.inherited = (self._run_attributes(dataset_run_id), SharedAttributes(shared))

    def end_item(self, trace: ItemTrace, output: Any, end_ns: int) -> None:
        """End the root span of an item that is sent, at the end of the task."""
        if output is not None:
            trace.span.attributes[OUTPUT] = self._tracer.text(output)
        trace.span.end(end_time=end_ns)

    def fail_item(self, trace: ItemTrace, failure: Failure) -> None:
        """End the root span as failed."""
        trace.span.fail(failure.error_type, failure.message, traceback=failure.traceback)
        if trace.sent:
            trace.span.attributes[OUTPUT] = self._tracer.text(f"Error: {failure.message}")
            trace.span.end()

    def open_evaluator(self, trace: ItemTrace, function: UserFunction, position: int) -> Span:
        """The span in which an evaluator of an item that is sent runs."""
        now, span_id = self._tracer.clock.time_ns(), trace.evaluator_span_id(position)
        inherited = trace.span.inherited
        span = Span(self._tracer, trace, function.name, trace.trace_id, span_id, trace.span_id, inherited, now)
        span.attributes[TYPE] = "evaluator"
        span.attributes.update(self._propagated)
        return span

    def end_evaluator(
        self,
        trace: ItemTrace,
        span: Span,
        call: Call,
        function: UserFunction,
        evaluations: list[Evaluation],
        ran: EvaluatorRun,
        failure: EvaluatorFailure | None,
    ) -> None:
        """End the span of `open_evaluator` and score the item span with what it came to."""
        if failure is not None:
            span.fail(failure.error_type, failure.message, traceback=failure.traceback)
        elif evaluations:
            shown = [_shown(masked_evaluation(self._tracer, evaluation)) for evaluation in evaluations]
            span.attributes[OUTPUT] = fields_to_json(shown[0], _SHOWN) if len(shown) == 1 else to_json(shown)
        if call.start_ns:
            span.start_ns = call.start_ns
        span.end(end_time=span.start_ns + int(call.seconds * 1e9))
        for number, evaluation in enumerate(evaluations):
            if evaluation.value is not None:
                known_as = usual_parts_text(f"{ran.position}:{function.name}", evaluation.name, str(number))
                score_id = trace.score_id(known_as)
                ran.scores -= not self._add_score(trace, evaluation, score_id)

    def _add_score(self, trace: ItemTrace, evaluation: Evaluation, score_id: str) -> bool:
        """Whether it is one that can be sent."""
        try:
            body = experiment_score(
                self._tracer, evaluation, score_id, trace_id=trace.trace_id, observation_id=trace.span_id
            )
        except Unsendable as reason:
            trace.skip_score(score_id, f"{evaluation.name}: {reason}")
            return False
        trace.add_score(body)
        return True

    def finish(self, trace: ItemTrace, item_id: str, runs: Sequence[EvaluatorRun]) -> Parcel | None:
        """All that the item has to deliver, None for nothing; what is left out on purpose is counted.

        `runs` are those of its evaluators; the scores of an item that is not sent are not counted as theirs.
        """
        events = trace.close()
        spans, scores, unsendable = _by_kind(events) if events else _NO_EVENTS
        for score_id, reason in unsendable:
            self._outbox.counts.problem("scores", "skipped", score_id, reason, item_id)
        if not trace.sent:
            unsent_scores = len(scores)
            for ran in runs:
                unsent_scores += ran.scores
                ran.scores = 0
            self._outbox.counts.skip(trace.silence, 1 + len(runs) + len(spans) + len(trace.carried), unsent_scores)
            del trace.span  # spans know their sink: without the cycle, all of an item is freed as it ends
            return None
        encoded = [(span.id, encode_span(span)) for span in spans]
        del trace.span
        # A tuple of tuples of plain values: while it waits, the collector of garbage does not follow it.
        return Parcel(spans=(*encoded, *trace.carried), scores=scores, item_id=item_id)

    def deliver_late(self, trace: ItemTrace, events: list[Any]) -> None:
        """Deliver, or count, what was ended or made after its item was done; never blocks."""
        spans, scores, unsendable = _by_kind(events)
        sink, counts = self._tracer.sink, self._outbox.counts
        if self._over:
            for span in spans:
                sink.add_span(span)
            for body in scores:
                sink.add_score(body)
            for score_id, reason in unsendable:
                sink.skip_score(score_id, reason)
            return
        for score_id, reason in unsendable:
            counts.problem("scores", "skipped", score_id, reason)
        if not trace.sent:
            counts.skip(trace.silence, len(spans), len(scores))
        elif spans or scores:
            encoded = [(span.id, encode_span(span)) for span in spans]
            self._outbox.put(Parcel(spans=encoded, scores=scores), may_wait=False)

    def _run_attributes(self, dataset_run_id: str | None) -> SharedAttributes:
        """What all spans of the run carry; made once for each experiment id there is."""
        experiment_id = dataset_run_id or self._experiment_id
        with self._lock:
            shared = self._shared_by_id.get(experiment_id)
            if shared is None:
                attributes = {
                    ENVIRONMENT: EXPERIMENT_ENVIRONMENT,
                    "langfuse.experiment.id": experiment_id,
                    "langfuse.experiment.name": self._carried("run name", well_formed(self._run_name)),
                }
                if self._plan.metadata:
                    text = self._tracer.text(self._plan.metadata)
                    attributes["langfuse.experiment.metadata"] = self._carried("metadata", text)
                shared = self._shared_by_id[experiment_id] = SharedAttributes(attributes)
            return shared

    def _carried(self, what: str, text: str) -> str:
        """The text that nested spans carry: cut at the limit, with one warning a run for each thing that is cut."""
        if len(text) > PROPAGATED_LIMIT and what not in self._long:
            self._long.add(what)
            warn(
                f"experiment {short_repr(self._plan.name)}: {what} has {len(text)} characters; experiment attributes "
                f"are cut at {PROPAGATED_LIMIT}, the item span's metadata keeps it whole"
            )
        return cut(text)


def run_score_id(run: str, place: int, name: str) -> str:
    """The id of the score that is at `place` among those of a whole run: sent again, it replaces the first."""
    return derived_id(run, "run", str(place), name)[:32]


def experiment_score(tracer: Tracer, evaluation: Evaluation, score_id: str, **target: str | None) -> dict[str, Any]:
    """The body of a score of an experiment's, masked, as of now. Raises Unsendable, and what a mask raises."""
    return score_body(
        masked_evaluation(tracer, evaluation),
        id=score_id,
        timestamp_ns=tracer.clock.time_ns(),
        environment=EXPERIMENT_ENVIRONMENT,
        **target,
    )


_SHOWN = {name: f'"{name}": ' for name in ("name", "value", "comment", "metadata")}


def _shown(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as the output of its evaluator's span."""
    shown = {"name": evaluation.name, "value": evaluation.value}
    if evaluation.comment is not None:
        shown["comment"] = evaluation.comment
    if evaluation.metadata is not None:
        shown["metadata"] = evaluation.metadata
    return shown
