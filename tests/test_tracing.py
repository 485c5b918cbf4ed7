"""Spans and scores of runs and of the user's own code: what they carry, where they nest, and that they arrive."""
from __future__ import annotations

import asyncio
import contextvars
import datetime
import functools
import gc
import inspect
import json
import logging
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from interactiveai_eval import (
    ArgumentError,
    ClosedError,
    Evaluation,
    Interactive,
    LocalTransport,
    Transport,
    TransportError,
    observe,
    propagate_attributes,
)
from interactiveai_eval.testing import CountingIds, ManualClock, recorded_spans

from .test_otlp import export


class Tap(Transport):
    """An embedded store that also keeps what was sent to it: `spans` decoded, `scores` as bodies."""

    def __init__(self):
        self._store = LocalTransport()
        self.requests = []
        self.spans_came = threading.Event()

    def send(self, request):
        self.requests.append(request)
        if request.path.endswith("otel/v1/traces"):
            self.spans_came.set()
        return self._store.send(request)

    def close(self):
        self._store.close()

    @property
    def spans(self):
        return [span for r in self.requests if r.path.endswith("otel/v1/traces") for span in export(r.body)[2]]

    @property
    def scores(self):
        batches = [json.loads(r.body)["batch"] for r in self.requests if r.path.endswith("ingestion")]
        return [event["body"] for batch in batches for event in batch]

    def span(self, name):
        (found,) = [span for span in self.spans if span["name"] == name]
        return found


@pytest.fixture
def tap():
    with Tap() as made:
        yield made


def tapped(tap, **settings):
    return Interactive(transport=tap, dialect="public", **settings)


def spans_by_name(client):
    found = {}
    for span in recorded_spans(client):
        assert span["name"] not in found, f"{span['name']} comes twice"
        found[span["name"]] = span
    return found


def run_one(client, task, item=None, **arguments):
    """A run of one item; its one result or failure."""
    arguments = {"name": "exp", "data": [item or {"input": 1}], "task": task, **arguments}
    result = client.run_experiment(**arguments)
    (outcome,) = [*result.item_results, *result.item_failures]
    return outcome


def echo(*, item):
    return item["input"]


def judge(*, output):
    return Evaluation(name="ok", value=True, comment="fine")


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# -- the item span -----------------------------------------------------------------------------------------------------


def test_the_item_span_is_what_servers_of_this_family_know(tap):
    """WIRE.md 2.9, for a local item; ids follow from the experiment id."""
    clock = ManualClock("2026-01-01T00:00:00Z")

    def task(*, item):
        clock.advance(2)
        return {"a": 1}

    with tapped(tap, clock=clock) as client:
        outcome = run_one(
            client,
            task,
            {"input": {"q": 1}, "expected_output": {"e": 1}, "metadata": {"row": 1, "deep": {"x": None}}},
            run_name="run 1",
            description="what for",
            metadata={"model": "m", "t": 1.5, "none": None},
            experiment_id="exp-1",
        )

    span = tap.span("experiment-item-run")
    assert span == {
        "trace_id": outcome.trace_id,
        "span_id": span["span_id"],
        "name": "experiment-item-run",
        "kind": 1,
        "start": 1_767_225_600_000_000_000,
        "end": 1_767_225_602_000_000_000,
        "flags": 0x100,
        "events": [],
        "attributes": {
            "langfuse.environment": "sdk-experiment",
            "langfuse.observation.type": "span",
            "langfuse.observation.input": '{"q": 1}',
            "langfuse.observation.output": '{"a": 1}',
            "langfuse.observation.metadata.row": 1,
            "langfuse.observation.metadata.deep": '{"x": null}',
            "langfuse.observation.metadata.model": "m",
            "langfuse.observation.metadata.t": "1.5",
            "langfuse.observation.metadata.experiment_name": "exp",
            "langfuse.observation.metadata.experiment_run_name": "run 1",
            "langfuse.experiment.id": "exp-1",
            "langfuse.experiment.name": "run 1",
            "langfuse.experiment.description": "what for",
            "langfuse.experiment.metadata": '{"model": "m", "t": 1.5, "none": null}',
            "langfuse.experiment.item.id": "7a160a56eccfdb86",
            "langfuse.experiment.item.expected_output": '{"e": 1}',
            "langfuse.experiment.item.metadata": '{"row": 1, "deep": {"x": null}}',
            "langfuse.experiment.item.root_observation_id": span["span_id"],
        },
    }


def test_the_item_span_of_a_data_set_item_names_data_set_item_and_run(tap):
    with tapped(tap) as client:
        client.create_dataset(name="set")
        item = client.create_dataset_item(dataset_name="set", id="item-1", input="q", metadata={"row": 1})

        result = client.get_dataset("set").run_experiment(name="exp", run_name="run 1", task=lambda *, item: "a")

    attributes = tap.span("experiment-item-run")["attributes"]
    assert {name: attributes[name] for name in attributes if "dataset" in name or name.endswith(".id")} == {
        "langfuse.experiment.id": result.dataset_run_id,
        "langfuse.experiment.dataset.id": item.dataset_id,
        "langfuse.experiment.item.id": "item-1",
        "langfuse.observation.metadata.dataset_id": item.dataset_id,
        "langfuse.observation.metadata.dataset_item_id": "item-1",
    }


def test_reserved_keys_win_over_run_metadata_and_that_over_item_metadata(client):
    """In the reference an item can rename the experiment (D58)."""
    run_one(
        client,
        echo,
        {"input": 1, "metadata": {"experiment_name": "HACK", "experiment_run_name": "HACK", "who": "item", "row": 1}},
        run_name="run 1",
        metadata={"who": "run", "experiment_name": "HACK"},
    )

    metadata = spans_by_name(client)["experiment-item-run"]["metadata"]
    assert {key: metadata[key] for key in ("experiment_name", "experiment_run_name", "who", "row")} == {
        "experiment_name": "exp",
        "experiment_run_name": "run 1",
        "who": "run",
        "row": 1,
    }


@pytest.mark.parametrize(
    "metadata, attributes",
    [
        ("words", {"": "words"}),
        ([1, {2}], {"": "[1, [2]]"}),
        ({}, {}),
        ({1: "a", "1": "b", None: True}, {".1": "a", ".1#2": "b", ".null": True}),
        ({"n": 2**70, "f": 0.5, "t": "\ud800", "none": None}, {".n": str(2**70), ".f": "0.5", ".t": "\ufffd"}),
    ],
)
def test_item_metadata_of_any_kind_is_recorded(tap, metadata, attributes):
    with tapped(tap) as client:
        run_one(client, echo, {"input": 1, "metadata": metadata})

    prefix = "langfuse.observation.metadata"
    found = {
        name[len(prefix) :]: value
        for name, value in tap.span("experiment-item-run")["attributes"].items()
        if name.startswith(prefix) and "experiment" not in name
    }
    assert found == attributes


@pytest.mark.parametrize("value, text", [(0, "0"), (False, "false"), ("", ""), ([], "[]"), ("\ud800", "\ufffd")])
def test_inputs_and_outputs_that_count_as_false_are_recorded(tap, value, text):
    with tapped(tap) as client:
        run_one(client, lambda *, item: value, {"input": value, "expected_output": value})

    attributes = tap.span("experiment-item-run")["attributes"]
    assert attributes["langfuse.observation.input"] == text
    assert attributes["langfuse.observation.output"] == text
    assert attributes["langfuse.experiment.item.expected_output"] == text


def test_an_output_of_none_is_not_recorded(tap):
    with tapped(tap) as client:
        run_one(client, lambda *, item: None)

    assert "langfuse.observation.output" not in tap.span("experiment-item-run")["attributes"]


def test_ten_megabytes_of_output_are_recorded_whole(client):
    run_one(client, lambda *, item: "x" * 10_000_000)

    assert len(spans_by_name(client)["experiment-item-run"]["output"]) == 10_000_000


def test_the_input_is_recorded_even_when_the_task_fails(client):
    """The reference's failed spans have neither input nor metadata (D54)."""

    def task(*, item):
        raise ValueError("boo")

    failure = run_one(client, task, {"input": {"q": 1}, "expected_output": 2, "metadata": {"row": 7}})

    span = spans_by_name(client)["experiment-item-run"]
    assert (span["traceId"], span["input"], span["output"]) == (failure.trace_id, {"q": 1}, "Error: boo")
    assert (span["level"], span["statusMessage"], span["metadata"]["row"]) == ("ERROR", "boo", 7)
    (event,) = span["metadata"]["events"]
    assert event["name"] == "exception" and event["attributes"]["exception.type"] == "ValueError"
    assert event["attributes"]["exception.message"] == "boo" and "in task" in event["attributes"]["exception.stacktrace"]


def test_an_item_without_input_has_a_span_that_says_so(client):
    failure = run_one(client, echo, {"expected_output": 1})

    span = spans_by_name(client)["experiment-item-run"]
    assert (span["traceId"], span["level"], span["environment"]) == (failure.trace_id, "ERROR", "sdk-experiment")
    assert span["statusMessage"].startswith("the item has no input")


def test_attempts_that_failed_are_events_of_a_span_that_did_not():
    attempts = []

    def task(*, item):
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError(f"attempt {len(attempts)}")
        return "at last"

    with Interactive.local(clock=ManualClock(jumps=True)) as client:
        run_one(client, task, task_retries=2)
        span = spans_by_name(client)["experiment-item-run"]

    assert (span["level"], span["output"]) == ("DEFAULT", "at last")
    assert [event["attributes"]["exception.message"] for event in span["metadata"]["events"]] == [
        "attempt 1",
        "attempt 2",
    ]


def test_the_item_span_ends_with_the_task_and_evaluators_have_their_own():
    """In the reference the item span lasts until the last evaluator is done (D56)."""
    clock = ManualClock("2026-01-01T00:00:00Z")

    def task(*, item):
        clock.advance(2)

    def slow(*, output):
        clock.advance(50)
        return 1

    def composite(*, evaluations):
        clock.advance(7)
        return 1

    with Interactive.local(clock=clock) as client:
        run_one(client, task, evaluators=[slow], composite_evaluator=composite)
        spans = spans_by_name(client)

    assert {name: (span["startTime"][17:23], span["endTime"][17:23]) for name, span in spans.items()} == {
        "experiment-item-run": ("00.000", "02.000"),
        "slow": ("02.000", "52.000"),
        "composite": ("52.000", "59.000"),
    }


# -- evaluators --------------------------------------------------------------------------------------------------------


def test_evaluators_have_spans_of_their_type_below_the_item(client):
    def broken(*, output):
        raise ZeroDivisionError("oh")

    def several(*, output):
        return [0.5, {"name": "label", "value": "x", "metadata": {"k": 1}}]

    def nothing(*, output):
        return None

    def composite(*, evaluations):
        return len(evaluations)

    outcome = run_one(client, echo, evaluators=[judge, several, broken, nothing], composite_evaluator=composite)

    spans = spans_by_name(client)
    root = spans.pop("experiment-item-run")
    assert root["parentObservationId"] is None
    assert {name: (span["type"], span["level"], span["output"]) for name, span in spans.items()} == {
        "judge": ("EVALUATOR", "DEFAULT", {"name": "ok", "value": True, "comment": "fine"}),
        "several": (
            "EVALUATOR",
            "DEFAULT",
            [{"name": "several", "value": 0.5}, {"name": "label", "value": "x", "metadata": {"k": 1}}],
        ),
        "broken": ("EVALUATOR", "ERROR", None),
        "nothing": ("EVALUATOR", "DEFAULT", None),
        "composite": ("EVALUATOR", "DEFAULT", {"name": "composite", "value": 3}),
    }
    assert {span["parentObservationId"] for span in spans.values()} == {root["id"]}
    assert {span["traceId"] for span in spans.values()} == {outcome.trace_id}
    assert spans["broken"]["statusMessage"] == "oh"


def test_evaluators_of_the_same_name_have_spans_of_their_own(client):
    run_one(client, echo, evaluators=[lambda *, output: 1, lambda *, output: 2])

    assert sorted(spans_by_name(client)) == ["<lambda>", "<lambda>#2", "experiment-item-run"]


def test_spans_inside_an_evaluator_nest_below_it(client):
    def thorough(*, output):
        with client.start_as_current_observation(name="model call", as_type="generation", model="m"):
            client.create_event(name="thought")
        return 1

    run_one(client, echo, evaluators=[thorough, judge])

    spans = spans_by_name(client)
    assert spans["model call"]["parentObservationId"] == spans["thorough"]["id"]
    assert spans["thought"]["parentObservationId"] == spans["model call"]["id"]
    assert spans["judge"]["parentObservationId"] == spans["experiment-item-run"]["id"]


# -- one environment ---------------------------------------------------------------------------------------------------


def test_everything_of_an_experiment_has_one_environment(tap):
    """In the reference nested spans and scores carry the client's own (D43)."""

    def task(*, item):
        with client.start_as_current_span(name="nested") as span:
            span.score(name="on span", value=1)
            client.score_current_trace(name="on trace", value=1)
            client.create_score(name="by hand", value=1, trace_id=span.trace_id)
        return 1

    def thorough(*, output):
        client.start_span(name="below evaluator").end()
        return 1

    with tapped(tap, environment="staging") as client:
        run_one(client, task, evaluators=[thorough], run_evaluators=[lambda *, item_results: 1])
        with client.start_as_current_span(name="outside") as span:
            span.score(name="outside", value=1)
        client.create_score(name="session", value=1, session_id="s")

    assert {span["name"]: span["attributes"]["langfuse.environment"] for span in tap.spans} == {
        "experiment-item-run": "sdk-experiment",
        "nested": "sdk-experiment",
        "thorough": "sdk-experiment",
        "below evaluator": "sdk-experiment",
        "outside": "staging",
    }
    assert {score["name"]: score["environment"] for score in tap.scores} == {
        "on span": "sdk-experiment",
        "on trace": "sdk-experiment",
        "by hand": "sdk-experiment",
        "thorough": "sdk-experiment",
        "<lambda>": "sdk-experiment",
        "outside": "staging",
        "session": "staging",
    }


def test_without_an_environment_spans_outside_runs_name_none(tap):
    with tapped(tap) as client:
        client.start_span(name="outside").end()
        client.create_score(name="s", value=1, session_id="s")

    assert tap.span("outside")["attributes"] == {"langfuse.observation.type": "span"}
    assert "environment" not in tap.scores[0]


# -- the user's own spans ----------------------------------------------------------------------------------------------


def test_all_ways_to_open_a_span_nest_where_they_are_opened(client):
    def task(*, item):
        with client.start_as_current_span(name="with") as outer:
            client.start_span(name="started").end()
            with client.start_span(name="started, then with"):
                client.start_observation(name="tool", as_type="tool").end()
            outer.start_span(name="child").end()
            with outer.start_as_current_span(name="child with"):
                client.create_event(name="event")
            with outer.start_as_current_generation(name="child generation"):
                outer.create_event(name="child event")
            with outer.start_as_current_observation(name="retriever", as_type="retriever"):
                outer.start_observation(name="chain", as_type="chain").end()
            outer.start_generation(name="started generation").end()
        with client.start_as_current_generation(name="generation"):
            client.start_generation(name="inner generation").end()

    run_one(client, task)

    spans = spans_by_name(client)
    names = {span["id"]: name for name, span in spans.items()}
    root = "experiment-item-run"
    assert {name: (span["type"], names.get(span["parentObservationId"])) for name, span in spans.items()} == {
        root: ("SPAN", None),
        "with": ("SPAN", root),
        "started": ("SPAN", "with"),
        "started, then with": ("SPAN", "with"),
        "tool": ("TOOL", "started, then with"),
        "child": ("SPAN", "with"),
        "child with": ("SPAN", "with"),
        "event": ("EVENT", "child with"),
        "child generation": ("GENERATION", "with"),
        "child event": ("EVENT", "with"),
        "retriever": ("RETRIEVER", "with"),
        "chain": ("CHAIN", "with"),
        "started generation": ("GENERATION", "with"),
        "generation": ("GENERATION", root),
        "inner generation": ("GENERATION", "generation"),
    }
    assert len({span["traceId"] for span in spans.values()}) == 1


@pytest.mark.parametrize(
    "kind",
    "span generation event agent tool chain retriever embedding evaluator guardrail".split(),
)
def test_every_type_of_observation_arrives_as_that_type(client, kind):
    client.start_observation(name="one", as_type=kind).end()

    assert spans_by_name(client)["one"]["type"] == kind.upper()


def test_everything_that_can_be_told_of_a_generation_is_read_back():
    class Prompt:
        name = "greeting"
        version = 3

    clock = ManualClock("2026-01-01T00:00:00Z")
    with Interactive.local(clock=clock) as client:
        with client.start_as_current_generation(name="call", model="m-1", input=[{"role": "user"}]) as generation:
            clock.advance(1)
            generation.update(
                output={"text": "hi"},
                metadata={"a": 1, "b": {"c": 2}},
                version="v1",
                level="WARNING",
                status_message="slow",
                completion_start_time=datetime.datetime(2026, 1, 1, 0, 0, 0, 500_000, datetime.timezone.utc),
                model_parameters={"temperature": 0},
                usage_details={"input": 3, "output": 4},
                cost_details={"total": 0.5},
                prompt=Prompt(),
            )
            assert generation.update(metadata={"d": 4}) is generation
        span = spans_by_name(client)["call"]

    assert {key: span[key] for key in ("model", "input", "output", "version", "level", "statusMessage")} == {
        "model": "m-1",
        "input": [{"role": "user"}],
        "output": {"text": "hi"},
        "version": "v1",
        "level": "WARNING",
        "statusMessage": "slow",
    }
    assert {key: span["metadata"][key] for key in "abd"} == {"a": 1, "b": {"c": 2}, "d": 4}
    assert (span["modelParameters"], span["promptName"], span["promptVersion"]) == ({"temperature": 0}, "greeting", 3)
    assert span["usageDetails"] == {"input": 3, "output": 4, "total": 7} and span["costDetails"] == {"total": 0.5}
    assert (span["timeToFirstToken"], span["latency"]) == (0.5, 1.0)


def test_what_is_recorded_is_what_the_value_was_then(client):
    rows = [1]
    with client.start_as_current_span(name="one", input=rows) as span:
        rows.append(2)
        span.update(output=rows)
        rows.append(3)

    recorded = spans_by_name(client)["one"]
    assert (recorded["input"], recorded["output"]) == ([1], [1, 2])


def test_an_event_has_no_duration():
    clock = ManualClock()
    with Interactive.local(clock=clock) as client:
        event = client.create_event(name="event", input="x", level="DEBUG")
        clock.advance(5)
        assert event.end() is event
        span = spans_by_name(client)["event"]

    assert span["startTime"] == span["endTime"] and span["level"] == "DEBUG"


def test_an_exception_in_a_with_block_is_recorded_and_goes_on(client):
    with pytest.raises(KeyError), client.start_as_current_span(name="outer"):
        with client.start_span(name="inner"):
            raise KeyError("k")

    spans = spans_by_name(client)
    assert [spans[name]["level"] for name in ("outer", "inner")] == ["ERROR", "ERROR"]
    assert spans["inner"]["statusMessage"] == "KeyError: 'k'"  # as the reference has it
    assert client.get_current_trace_id() is None


def test_a_with_block_can_leave_its_span_open(client):
    with client.start_as_current_observation(name="open", end_on_exit=False) as span:
        pass
    assert recorded_spans(client) == []

    span.update(output="later").end()

    assert spans_by_name(client)["open"]["output"] == "later"


def test_ending_twice_counts_once(client):
    span = client.start_span(name="one")

    assert span.end() is span and span.end() is span
    assert len(recorded_spans(client)) == 1
    assert client.flush().by_kind["spans"]["acknowledged"] == 1


def test_current_ids_are_those_of_the_innermost_span(client):
    assert (client.get_current_trace_id(), client.get_current_observation_id()) == (None, None)
    assert client.get_current_traceparent() is None
    with client.start_as_current_span(name="outer") as outer, client.start_as_current_span(name="inner") as inner:
        assert client.get_current_trace_id() == outer.trace_id == inner.trace_id
        assert client.get_current_observation_id() == inner.id != outer.id
        assert client.get_current_traceparent() == inner.traceparent == f"00-{inner.trace_id}-{inner.id}-01"


def test_a_task_has_the_items_span_as_its_current_one(client):
    """So it can hand the `traceparent` to a service that it calls."""
    found = {}

    def task(*, item):
        found.update(
            trace_id=client.get_current_trace_id(),
            span_id=client.get_current_observation_id(),
            traceparent=client.get_current_traceparent(),
        )

    outcome = run_one(client, task)

    root = spans_by_name(client)["experiment-item-run"]
    assert found == {
        "trace_id": outcome.trace_id,
        "span_id": root["id"],
        "traceparent": f"00-{outcome.trace_id}-{root['id']}-01",
    }


def test_a_given_trace_can_be_joined(client):
    trace_id, parent_id = "0123456789abcdef0123456789abcdef", "00000000000000aa"
    with client.start_as_current_span(name="elsewhere"):
        client.start_span(name="with parent", trace_context={"trace_id": trace_id, "parent_span_id": parent_id}).end()
        with client.start_as_current_span(name="root", trace_context={"trace_id": trace_id}):
            client.start_span(name="below root").end()

    spans = spans_by_name(client)
    places = {name: (span["traceId"], span["parentObservationId"]) for name, span in spans.items()}
    assert places["with parent"] == (trace_id, parent_id)
    assert places["root"] == (trace_id, None)
    assert places["below root"] == (trace_id, spans["root"]["id"])


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"trace_id": "short"},
        {"trace_id": "0123456789ABCDEF0123456789ABCDEF"},
        {"trace_id": "0" * 32},
        {"trace_id": 5},
        {"trace_id": "0123456789abcdef0123456789abcdef", "parent_span_id": "x"},
        {"trace_id": "0123456789abcdef0123456789abcdef", "parent_span_id": "0" * 16},
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_a_trace_that_cannot_be_is_not_joined(client, context):
    with pytest.raises(ArgumentError, match="trace_context="):
        client.start_span(name="one", trace_context=context)


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda client: client.start_observation(name="x", as_type="bogus"), "as_type='bogus': must be one of span, gen"),
        (lambda client: client.start_span(name="x", level="LOUD"), "level='LOUD': must be one of DEBUG, DEFAULT"),
        (lambda client: observe(as_type="bogus")(len), "as_type='bogus': must be one of span"),
    ],
)
def test_types_and_levels_that_there_are_not_are_refused(client, act, message):
    with pytest.raises(ArgumentError, match=message):
        act(client)


def test_names_and_ids_that_are_no_text_become_text(tap):
    """A tracing call must not break the program that it watches."""
    with tapped(tap) as client:
        with client.start_as_current_span(name=None) as span:
            span.update(name=7).update_trace(name=5, user_id=6, session_id=True, tags="one", version=2)

    attributes = tap.span("7")["attributes"]
    assert {name: attributes[name] for name in attributes if "observation" not in name} == {
        "langfuse.trace.name": "5",
        "user.id": "6",
        "session.id": "true",
        "langfuse.version": 2,
        "langfuse.trace.tags": ["one"],
    }


def test_spans_take_values_of_any_kind(client):
    class Hostile:
        def __str__(self):
            raise OSError("no")

        __repr__ = __hash__ = __eq__ = __len__ = __iter__ = __str__

    class HostileError(Exception):
        __str__ = Hostile.__str__

    with pytest.raises(HostileError), client.start_as_current_span(name="one", input=Hostile()) as span:
        span.update(output=[Hostile()], metadata={(1, 2): Hostile()})
        raise HostileError

    recorded = spans_by_name(client)["one"]
    assert (recorded["input"], recorded["output"], recorded["metadata"]["[1, 2]"]) == ("<Hostile>", ["<Hostile>"], "<Hostile>")
    assert recorded["statusMessage"] == "HostileError: <HostileError whose text cannot be had>"


# -- context -----------------------------------------------------------------------------------------------------------


def test_context_is_carried_into_threads_and_coroutines(client):
    def note(name):
        client.start_span(name=name).end()

    async def step(name):
        await asyncio.sleep(0)
        note(name)

    async def task(*, item):
        await asyncio.gather(step("gathered 1"), step("gathered 2"))
        await asyncio.ensure_future(step("task"))
        await asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, note, "executor")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, note, "pool").result()

    def plain(*, output):
        note("plain evaluator")
        return 1

    async def coroutine(*, output):
        await step("coroutine evaluator")
        return 1

    run_one(client, task, evaluators=[plain, coroutine])

    spans = spans_by_name(client)
    names = {span["id"]: name for name, span in spans.items()}
    root = "experiment-item-run"
    assert {name: names.get(span["parentObservationId"]) for name, span in spans.items()} == {
        root: None,
        "gathered 1": root,
        "gathered 2": root,
        "task": root,
        "executor": root,
        "pool": root,
        "plain": root,
        "coroutine": root,
        "plain evaluator": "plain",
        "coroutine evaluator": "coroutine",
    }


def test_items_that_run_side_by_side_do_not_mix(client):
    """All tasks are inside their spans at once, in both kinds of task."""
    meeting = threading.Barrier(10, timeout=5)
    gathered = []

    def plain(*, item):
        with client.start_as_current_span(name=f"plain {item['input']}") as span:
            meeting.wait()
            client.start_span(name=f"plain below {item['input']}").end()
        return span.trace_id

    async def coroutine(*, item):
        with client.start_as_current_span(name=f"coroutine {item['input']}") as span:
            gathered.append(1)
            while len(gathered) < 10:
                await asyncio.sleep(0)
            client.start_span(name=f"coroutine below {item['input']}").end()
        return span.trace_id

    for kind, task in (("plain", plain), ("coroutine", coroutine)):
        result = client.run_experiment(name=kind, data=[{"input": i} for i in range(10)], task=task)
        assert [item.output for item in result.item_results] == [item.trace_id for item in result.item_results]
        spans = {span["name"]: span for span in recorded_spans(client)}
        for number in range(10):
            assert spans[f"{kind} below {number}"]["parentObservationId"] == spans[f"{kind} {number}"]["id"]
            assert spans[f"{kind} below {number}"]["traceId"] == spans[f"{kind} {number}"]["traceId"]


@pytest.mark.parametrize("form", ["plain", "plain in a loop", "awaitable"])
def test_every_item_begins_a_trace_even_below_a_current_span(form):
    """In the reference that depends on whether a loop runs (D57)."""
    with Interactive.local() as client:
        arguments = {"name": "exp", "data": [{"input": 1}, {"input": 2}], "task": echo, "evaluators": [judge]}
        seen = []

        def after(*, item_results):
            seen.append(client.get_current_trace_id())

        async def awaitable():
            with client.start_as_current_span(name="outer") as outer:
                result = await client.run_experiment_async(**arguments, run_evaluators=[after])
                return outer, result, client.get_current_observation_id()

        async def in_a_loop():
            return plain()

        def plain():
            with client.start_as_current_span(name="outer") as outer:
                result = client.run_experiment(**arguments, run_evaluators=[after])
                return outer, result, client.get_current_observation_id()

        outer, result, current = {
            "plain": plain,
            "plain in a loop": lambda: asyncio.run(in_a_loop()),
            "awaitable": lambda: asyncio.run(awaitable()),
        }[form]()
        spans = recorded_spans(client)

    traces = [item.trace_id for item in result.item_results]
    assert len({*traces, outer.trace_id}) == 3 and current == outer.id and seen == [None]
    assert {span["traceId"] for span in spans if span["name"] == "judge"} == set(traces)
    assert {span["parentObservationId"] for span in spans if span["name"] == "experiment-item-run"} == {None}


def test_a_span_that_is_left_in_another_context_does_no_harm_there(client):
    """A generator that is closed elsewhere leaves its `with` block there."""

    def generator():
        with client.start_as_current_span(name="in generator"):
            yield 1

    def close_elsewhere():
        with client.start_as_current_span(name="elsewhere") as span:
            opened.close()
            assert client.get_current_observation_id() == span.id

    opened = generator()
    next(opened)
    contextvars.Context().run(close_elsewhere)

    spans = spans_by_name(client)
    assert (spans["in generator"]["level"], spans["elsewhere"]["level"]) == ("DEFAULT", "DEFAULT")


# -- observe -----------------------------------------------------------------------------------------------------------


def test_observe_records_calls_arguments_and_results(client):
    @observe
    def plain(a, *, b=2):
        return inner(a) + b

    @observe()
    def inner(x):
        return x

    @observe(name="renamed", as_type="tool")
    async def coroutine(a):
        await asyncio.sleep(0)
        return {"a": a}

    class Box:
        @observe
        def method(self, a):
            return a

        @classmethod
        @observe
        def class_method(cls, a):
            return a

        @staticmethod
        @observe
        def static_method(a):
            return a

    def task(*, item):
        plain(1, b=3)
        box = Box()
        assert (box.method(4), box.class_method(5), box.static_method(6)) == (4, 5, 6)
        assert asyncio.run(coroutine("x")) == {"a": "x"}

    run_one(client, task)

    spans = spans_by_name(client)
    names = {span["id"]: name for name, span in spans.items()}
    root = spans.pop("experiment-item-run")["name"]
    assert {
        name: (span["type"], names[span["parentObservationId"]], span["input"], span["output"])
        for name, span in spans.items()
    } == {
        "plain": ("SPAN", root, {"args": [1], "kwargs": {"b": 3}}, 4),
        "inner": ("SPAN", "plain", {"args": [1], "kwargs": {}}, 1),
        "renamed": ("TOOL", root, {"args": ["x"], "kwargs": {}}, {"a": "x"}),
        "method": ("SPAN", root, {"args": [4], "kwargs": {}}, 4),
        "class_method": ("SPAN", root, {"args": [5], "kwargs": {}}, 5),
        "static_method": ("SPAN", root, {"args": [6], "kwargs": {}}, 6),
    }


def test_observed_functions_stay_what_they_are(client):
    @observe
    async def coroutine():
        """What it does."""

    @observe
    def plain(a: int) -> str:
        """What it does."""
        return str(a)

    assert inspect.iscoroutinefunction(coroutine) and not inspect.iscoroutinefunction(plain)
    bare = plain.__wrapped__
    assert (plain.__name__, plain.__doc__, bare(5)) == ("plain", bare.__doc__, "5")  # under -OO there are no docstrings


def test_observed_functions_are_tasks_and_evaluators_like_others(client):
    @observe
    def task(*, item):
        return item["input"] + 1

    @observe
    async def evaluator(*, output, expected_output):
        return output == expected_output

    outcome = run_one(client, task, {"input": 1, "expected_output": 2}, evaluators=[evaluator])

    assert [(e.name, e.value) for e in outcome.evaluations] == [("evaluator", True)]
    assert sorted(span["name"] for span in recorded_spans(client)) == [
        "evaluator",
        "evaluator",
        "experiment-item-run",
        "task",
    ]


def test_observed_errors_are_recorded_and_go_on(client):
    @observe
    def plain():
        raise ValueError("plain")

    @observe
    async def coroutine():
        raise ValueError("coroutine")

    @observe
    def stream():
        yield 1
        raise ValueError("stream")

    @observe
    async def stream_async():
        yield 1
        raise ValueError("stream_async")

    async def consume():
        return [item async for item in stream_async()]

    for act in (plain, lambda: asyncio.run(coroutine()), lambda: list(stream()), lambda: asyncio.run(consume())):
        with pytest.raises(ValueError):
            act()

    spans = spans_by_name(client)
    assert {name: (span["level"], span["statusMessage"], span["output"]) for name, span in spans.items()} == {
        "plain": ("ERROR", "plain", None),
        "coroutine": ("ERROR", "coroutine", None),
        "stream": ("ERROR", "stream", [1]),
        "stream_async": ("ERROR", "stream_async", [1]),
    }


def test_an_observed_generator_has_one_span_around_all_its_steps(client):
    @observe
    def letters():
        for letter in "abc":
            client.create_event(name=f"inside {letter}")
            yield letter
        return "end"

    @observe(transform_to_string=lambda items: "+".join(map(str, items)))
    async def numbers():
        for number in (1, 2):
            client.create_event(name=f"inside {number}")
            yield number

    def consumer():
        found = []
        for letter in letters():
            client.create_event(name=f"outside {letter}")
            found.append(letter)
        return found

    async def consume():
        return [number async for number in numbers()]

    assert consumer() == ["a", "b", "c"] and asyncio.run(consume()) == [1, 2]
    spans = spans_by_name(client)
    assert (spans["letters"]["output"], spans["numbers"]["output"]) == ("abc", "1+2")
    for name in ("inside a", "inside b", "inside c"):
        assert spans[name]["parentObservationId"] == spans["letters"]["id"]
    assert spans["inside 2"]["parentObservationId"] == spans["numbers"]["id"]
    assert spans["outside a"]["parentObservationId"] is None


def test_an_observed_generator_can_be_sent_to_thrown_at_and_closed(client):
    heard = []

    @observe
    def plain():
        try:
            heard.append((yield 1))
            yield 2
        except KeyError as error:
            heard.append(error.args[0])
            yield 3
        finally:
            client.create_event(name="tidying up")

    @observe
    async def asynchronous():
        try:
            heard.append((yield 1))
            yield 2
        except KeyError as error:
            heard.append(error.args[0])
            yield 3

    opened = plain()
    assert (next(opened), opened.send("sent"), opened.throw(KeyError("thrown"))) == (1, 2, 3)
    opened.close()

    async def use():
        opened = asynchronous()
        found = [await opened.__anext__(), await opened.asend("asent"), await opened.athrow(KeyError("athrown"))]
        await opened.aclose()
        return found

    assert asyncio.run(use()) == [1, 2, 3]
    assert heard == ["sent", "thrown", "asent", "athrown"]
    spans = spans_by_name(client)
    assert [(spans[name]["output"], spans[name]["level"]) for name in ("plain", "asynchronous")] == [
        ([1, 2, 3], "DEFAULT"),
        ([1, 2, 3], "DEFAULT"),
    ]
    assert spans["tidying up"]["parentObservationId"] == spans["plain"]["id"]


def test_a_generators_return_value_comes_through(client):
    @observe
    def inner():
        yield 1
        return "result"

    def outer():
        return (yield from inner())

    opened = outer()
    next(opened)
    with pytest.raises(StopIteration) as ended:
        next(opened)

    assert ended.value.value == "result"


def test_a_generator_that_is_dropped_ends_its_span(client):
    @observe
    def endless():
        while True:
            yield 1

    opened = endless()
    next(opened)
    del opened
    gc.collect()

    assert spans_by_name(client)["endless"]["level"] == "DEFAULT"


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_a_generator_that_is_dropped_before_its_first_step_has_a_span(client, kind):
    """It was called, with its arguments: that nothing of it ran is what there is to see."""

    @observe
    def generator(number):
        yield number

    @observe
    async def async_generator(number):
        yield number

    with client.start_as_current_span(name="root"):
        stream = (generator if kind == "generator" else async_generator)(5)
        del stream
        gc.collect()

    root, span = sorted(recorded_spans(client), key=lambda span: span["name"] != "root")
    assert span["parentObservationId"] == root["id"] and span["output"] is None
    assert span["input"] == {"args": [5], "kwargs": {}}


def test_a_generator_whose_tidying_up_fails_ends_its_span_as_failed(client):
    def breaks():
        raise ValueError("cannot tidy up")

    @observe
    def plain():
        try:
            yield "a"
        finally:
            breaks()

    @observe
    async def asynchronous():
        try:
            yield "a"
        finally:
            breaks()

    opened = plain()
    next(opened)
    with pytest.raises(ValueError, match="cannot tidy up"):
        opened.close()

    async def use():
        opened = asynchronous()
        await opened.__anext__()
        with pytest.raises(ValueError, match="cannot tidy up"):
            await opened.aclose()

    asyncio.run(use())
    spans = spans_by_name(client)
    for name in ("plain", "asynchronous"):
        found = [spans[name][field] for field in ("output", "level", "statusMessage")]
        assert found == ["a", "ERROR", "cannot tidy up"]


@observe
def module_level(a, b=1):
    return a * b


class Callable:
    async def __call__(self, a):
        await asyncio.sleep(0)
        return a


def test_partials_callable_objects_and_functions_that_return_streams_are_observed(client):
    def generator(a):
        yield a

    async def double(a):
        return 2 * a

    assert observe(functools.partial(module_level.__wrapped__, 3), name="partial")(b=4) == 12
    assert asyncio.run(observe(Callable())(5)) == 5
    assert list(observe(lambda: generator(6), name="stream")()) == [6]
    assert asyncio.run(observe(functools.partial(double, 7), name="partial coroutine")()) == 14

    assert {name: span["output"] for name, span in spans_by_name(client).items()} == {
        "partial": 12,
        "Callable": 5,
        "stream": [6],
        "partial coroutine": 14,
    }


def test_observe_leaves_out_what_it_is_told_to(client):
    @observe(capture_input=False)
    def no_input(a):
        return a

    @observe(capture_output=False)
    def no_output(a):
        return a

    @observe(capture_output=False)
    def no_stream():
        yield "x"

    no_input(1), no_output(2), list(no_stream())

    spans = spans_by_name(client)
    assert {name: (span["input"], span["output"]) for name, span in spans.items()} == {
        "no_input": (None, 1),
        "no_output": ({"args": [2], "kwargs": {}}, None),
        "no_stream": ({"args": [], "kwargs": {}}, None),
    }


def test_observe_can_be_told_to_record_nothing_by_default(client, monkeypatch):
    monkeypatch.setenv("INTERACTIVEAI_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED", "False")

    @observe
    def silent(a):
        return a

    @observe(capture_output=True)
    def open_hearted(a):
        return a

    silent(1), open_hearted(2)

    spans = spans_by_name(client)
    assert [(spans[name]["input"], spans[name]["output"]) for name in ("silent", "open_hearted")] == [
        (None, None),
        (None, 2),
    ]


def test_an_observed_call_can_join_a_trace(client):
    trace_id, parent_id = client.create_trace_id(seed="one"), "00000000000000aa"

    @observe
    def joined(a):
        return a

    joined(1, interactiveai_trace_id=trace_id, interactiveai_parent_observation_id=parent_id)

    span = spans_by_name(client)["joined"]
    assert (span["traceId"], span["parentObservationId"]) == (trace_id, parent_id)
    assert span["input"] == {"args": [1], "kwargs": {}}


def test_a_transform_that_fails_does_not_break_the_stream(client, caplog):
    @observe(transform_to_string=lambda items: 1 / 0)
    def stream():
        yield "a"

    assert list(stream()) == ["a"]
    assert spans_by_name(client)["stream"]["output"] == ["a"]
    assert warnings_in(caplog) == ["@observe: transform_to_string of stream raised ZeroDivisionError: division by zero"]


def test_observed_functions_run_without_a_client_and_say_so_once(caplog):
    @observe
    def alone(a):
        return a

    assert [alone(i) for i in range(100)] == list(range(100))
    (said,) = warnings_in(caplog)
    assert said.startswith("@observe records nothing of alone: No credentials")


def test_observed_functions_run_below_a_span_of_a_client_that_was_closed():
    @observe
    def alone(a):
        return a

    client = Interactive.local()
    with client.start_as_current_span(name="outer"):
        client.close()
        assert alone(1) == 1


def test_an_observed_call_can_name_its_client():
    @observe
    def named(a):
        return a

    with Interactive.local(public_key="one") as one, Interactive.local(public_key="two") as two:
        named(1, interactiveai_public_key="two")
        assert (len(recorded_spans(one)), len(recorded_spans(two))) == (0, 1)


# -- scores ------------------------------------------------------------------------------------------------------------


def test_scores_of_evaluators_carry_trace_and_observation(client):
    """The reference's observation scores carry no trace (D51)."""
    outcome = run_one(client, echo, evaluators=[judge, lambda *, output: "label"], run_evaluators=[lambda *, item_results: 1])

    root = spans_by_name(client)["experiment-item-run"]
    scores = {score["name"]: score for score in client.api.trace(outcome.trace_id)["scores"]}
    assert {
        name: (score["traceId"], score["observationId"], score["dataType"], score["value"], score["comment"])
        for name, score in scores.items()
    } == {
        "ok": (outcome.trace_id, root["id"], "BOOLEAN", 1.0, "fine"),
        "<lambda>": (outcome.trace_id, root["id"], "CATEGORICAL", 0.0, None),
    }
    assert scores["<lambda>"]["stringValue"] == "label"


def test_run_level_scores_are_stored_with_the_experiment(client):
    """For local data too; the reference stores them only for data set runs (D53)."""
    result = client.run_experiment(
        name="exp",
        data=[{"input": 1}],
        task=echo,
        run_evaluators=[lambda *, item_results: {"name": "n", "value": 1}],
        experiment_id="exp-1",
    )

    (score,) = client.api.scores(datasetRunId="exp-1")["data"]
    assert (score["name"], score["value"], score["environment"]) == ("n", 1.0, "sdk-experiment")
    assert result.run_evaluations == [Evaluation(name="n", value=1)]


def test_a_task_scores_its_spans_and_its_trace(client):
    def task(*, item):
        with client.start_as_current_span(name="nested") as span:
            span.score(name="span.score", value=1, comment="c", metadata={"m": 1}, data_type="NUMERIC")
            span.score_trace(name="span.score_trace", value="good")
            client.score_current_span(name="score_current_span", value=True)
            client.score_current_trace(name="score_current_trace", value=0.5, score_id="own-id")
            client.create_score(name="create_score", value=2, trace_id=span.trace_id, observation_id=span.id)

    outcome = run_one(client, task)

    nested = spans_by_name(client)["nested"]["id"]
    scores = {score["name"]: score for score in client.api.trace(outcome.trace_id)["scores"]}
    assert {name: (score["observationId"], score["dataType"]) for name, score in scores.items()} == {
        "span.score": (nested, "NUMERIC"),
        "span.score_trace": (None, "CATEGORICAL"),
        "score_current_span": (nested, "BOOLEAN"),
        "score_current_trace": (None, "NUMERIC"),
        "create_score": (nested, "NUMERIC"),
    }
    assert (scores["span.score"]["comment"], scores["span.score"]["metadata"]) == ("c", {"m": 1})
    assert scores["score_current_trace"]["id"] == "own-id"


def test_scores_that_no_server_takes_are_skipped_and_counted(client):
    def task(*, item):
        client.score_current_span(name="nan", value=float("nan"))

    result = client.run_experiment(
        name="exp",
        data=[{"input": 1}],
        task=task,
        evaluators=[lambda *, output: [float("inf"), Evaluation(name="huge", value=10**400)]],
    )

    assert result.delivery.by_kind["scores"] == {"acknowledged": 0, "pending": 0, "rejected": 0, "skipped": 3}
    assert [(p.state, p.reason) for p in result.delivery.problems if p.kind == "scores"] == [
        ("skipped", "value is nan"),
        ("skipped", "<lambda>: value is inf"),
        ("skipped", "huge: value is larger than any number that servers take"),
    ]


# -- updates -----------------------------------------------------------------------------------------------------------


def test_the_current_span_and_its_trace_are_updated(client):
    def task(*, item):
        client.update_current_trace(
            name="trace name",
            user_id="u",
            session_id="s",
            version="v",
            input="trace in",
            output={"trace": "out"},
            metadata={"k": {"deep": 1}},
            tags=["b", "a", "b"],
            public=True,
        )
        with client.start_as_current_generation(name="call"):
            client.update_current_generation(model="m", usage_details={"input": 1})
            client.update_current_span(metadata={"from": "current"})

    outcome = run_one(client, task)

    trace = client.api.trace(outcome.trace_id)
    assert {key: trace[key] for key in ("name", "userId", "sessionId", "input", "output", "tags", "public")} == {
        "name": "trace name",
        "userId": "u",
        "sessionId": "s",
        "input": "trace in",
        "output": {"trace": "out"},
        "tags": ["a", "b"],
        "public": True,
    }
    assert trace["metadata"]["k"] == {"deep": 1}
    call = spans_by_name(client)["call"]
    assert (call["model"], call["usageDetails"], call["metadata"]["from"]) == ("m", {"input": 1, "total": 1}, "current")


def test_without_a_current_span_updates_and_scores_say_so_and_do_nothing(client, caplog):
    client.update_current_span(output=1)
    client.update_current_trace(name="x")
    client.score_current_span(name="s", value=1)
    client.score_current_trace(name="s", value=1)

    assert [said.partition(":")[0] for said in warnings_in(caplog)] == [
        "update_current_span",
        "update_current_trace",
        "score_current_span",
        "score_current_trace",
    ]
    assert client.flush().by_kind == {}


# -- propagation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "plain in a loop", "awaitable"])
def test_propagated_attributes_reach_all_spans_of_a_run(tap, form):
    def task(*, item):
        client.start_span(name="nested").end()

    def thorough(*, output):
        client.start_span(name="below evaluator").end()
        return 1

    with tapped(tap) as client:
        arguments = {"name": "exp", "data": [{"input": 1}], "task": task, "evaluators": [thorough]}

        def propagated():
            return propagate_attributes(
                user_id="u", session_id="s", version="v", trace_name="t", tags=["a"], metadata={"k": "m", "n": 1}
            )

        def plain():
            with propagated():
                client.run_experiment(**arguments)
            client.start_span(name="after").end()

        async def in_a_loop():
            plain()

        async def awaitable():
            with propagated():
                await client.run_experiment_async(**arguments)
            client.start_span(name="after").end()

        {
            "plain": plain,
            "plain in a loop": lambda: asyncio.run(in_a_loop()),
            "awaitable": lambda: asyncio.run(awaitable()),
        }[form]()

    expected = {
        "user.id": "u",
        "session.id": "s",
        "langfuse.version": "v",
        "langfuse.trace.name": "t",
        "langfuse.trace.tags": ["a"],
        "langfuse.trace.metadata.k": "m",
        "langfuse.trace.metadata.n": "1",
    }
    found = {span["name"]: {n: v for n, v in span["attributes"].items() if n in expected} for span in tap.spans}
    assert found == {
        "experiment-item-run": expected,
        "nested": expected,
        "thorough": expected,
        "below evaluator": expected,
        "after": {},
    }


def test_propagated_attributes_nest_and_end(tap):
    inner = propagate_attributes(session_id="inner", metadata={"b": "2"})
    with tapped(tap) as client, client.start_as_current_span(name="outer"):
        with propagate_attributes(user_id="u", session_id="outer", metadata={"a": "1"}):
            client.start_span(name="one").end()
            with inner, inner:
                client.start_span(name="two").end()
            client.start_span(name="three").end()
        client.start_span(name="four").end()

    def propagated(name):
        attributes = tap.span(name)["attributes"]
        return {key: value for key, value in attributes.items() if key != "langfuse.observation.type"}

    one = {"user.id": "u", "session.id": "outer", "langfuse.trace.metadata.a": "1"}
    two = {**one, "session.id": "inner", "langfuse.trace.metadata.b": "2"}
    assert [propagated(name) for name in ("one", "two", "three", "four")] == [one, two, one, {}]
    assert propagated("outer") == two  # the span that was current takes them over, and keeps them


def test_long_propagated_texts_are_cut_with_one_warning(tap, caplog):
    with tapped(tap) as client, propagate_attributes(user_id="u" * 300, trace_name="t" * 200, tags=["x" * 201, "y"]):
        for number in range(20):
            client.start_span(name=f"s{number}").end()

    attributes = tap.span("s7")["attributes"]
    assert attributes["user.id"] == "u" * 200 and attributes["langfuse.trace.name"] == "t" * 200
    assert attributes["langfuse.trace.tags"] == ["x" * 200, "y"]
    assert warnings_in(caplog) == ["propagate_attributes: cut at 200 characters: user.id, a tag"]


def test_long_experiment_attributes_are_cut_once_and_kept_whole_in_the_metadata(tap, caplog):
    """In the reference they vanish, with a warning an item and evaluator (D59)."""
    item = {"input": 1, "expected_output": "e" * 500, "metadata": {"note": "i" * 300}}
    with tapped(tap) as client:
        client.run_experiment(
            name="exp",
            run_name="r" * 280,
            data=[item] * 5,
            task=lambda *, item: client.start_span(name="nested").end() and 1,
            evaluators=[judge, judge, judge],
            metadata={"prompt": "p" * 300},
        )

    items = [span["attributes"] for span in tap.spans if span["name"] == "experiment-item-run"]
    for attributes in items:
        assert attributes["langfuse.experiment.name"] == "r" * 200
        assert attributes["langfuse.experiment.metadata"] == '{"prompt": "' + "p" * 188
        assert attributes["langfuse.experiment.item.metadata"] == '{"note": "' + "i" * 190
        assert attributes["langfuse.experiment.item.expected_output"] == "e" * 500
        assert attributes["langfuse.observation.metadata.experiment_run_name"] == "r" * 280
        assert attributes["langfuse.observation.metadata.prompt"] == "p" * 300
        assert attributes["langfuse.observation.metadata.note"] == "i" * 300
    assert len(items) == 5
    assert [said.partition(" has ")[0] for said in warnings_in(caplog)] == [
        "experiment 'exp': item metadata",
        "experiment 'exp': run name",
        "experiment 'exp': metadata",
    ]


# -- masks -------------------------------------------------------------------------------------------------------------


CANARY = "canary-7f3a"


def stars(*, data):
    """A mask as users write them: over texts, dicts and lists."""
    if isinstance(data, str):
        return data.replace(CANARY, "***")
    if isinstance(data, dict):
        return {key: stars(data=value) for key, value in data.items()}
    return [stars(data=each) for each in data] if isinstance(data, list) else data


class Secretive(Exception):
    pass


@pytest.mark.parametrize("kind", ["local", "data set"])
def test_the_mask_sees_everything_that_leaves(tap, kind):
    """A canary in every place where content can stand; none may be in any request."""
    item = {
        "input": {"q": CANARY},
        "expected_output": [CANARY],
        "metadata": {"note": CANARY, "deep": {"x": [CANARY]}},
    }

    def task(*, item):
        with client.start_as_current_generation(
            name="nested",
            input=CANARY,
            metadata={"k": CANARY},
            status_message=CANARY,
            model_parameters={"user": CANARY},
        ) as span:
            span.update(output=[CANARY]).update_trace(input=CANARY, output=CANARY, metadata={"k": CANARY})
            span.score(name="s", value=CANARY, comment=CANARY, metadata={"k": CANARY})
            with pytest.raises(Secretive), span.start_as_current_span(name="failing"):
                raise Secretive(CANARY)
        with propagate_attributes(metadata={"k": CANARY}):
            client.start_span(name="propagated").end()
        observed(CANARY, key=CANARY)
        if item["input"] if isinstance(item, dict) else item.input:
            attempts.append(1)
            if len(attempts) % 2:
                raise Secretive(CANARY)  # the first attempt is an event of the span
        return {"answer": CANARY}

    @observe
    def observed(a, *, key):
        return a + key

    def failing_task(*, item):
        raise Secretive(CANARY)

    def evaluator(*, output):
        return Evaluation(name="e", value=1, comment=CANARY, metadata={"k": [CANARY]})

    def failing_evaluator(*, output):
        raise Secretive(CANARY)

    attempts = []
    with tapped(tap, mask=stars, clock=ManualClock(jumps=True)) as client:
        if kind == "data set":
            client.create_dataset(name="set")
            client.create_dataset_item(dataset_name="set", id="i", **item)
            data = client.get_dataset("set")
            tap.requests.clear()
            with data.items[0].run(run_name="by hand", run_metadata={"k": CANARY}) as span:
                span.update(output=CANARY)
        else:
            data = [item]
        for each in (task, failing_task):
            client.run_experiment(
                name="exp",
                data=data,
                task=each,
                task_retries=1,
                evaluators=[evaluator, failing_evaluator],
                run_evaluators=[lambda *, item_results: {"name": "r", "value": 1, "comment": CANARY}],
                metadata={"note": CANARY},
            )

    leaked = [request.path for request in tap.requests if CANARY.encode() in request.body]
    assert leaked == [] and sum(b"***" in request.body for request in tap.requests) >= 2
    assert {span["name"] for span in tap.spans} >= {"nested", "failing", "propagated", "observed", "failing_evaluator"}


def test_a_mask_that_fails_lets_nothing_out(tap):
    def broken(*, data):
        raise ValueError(CANARY)

    with tapped(tap, mask=broken) as client:
        outcome = run_one(client, lambda *, item: CANARY, {"input": CANARY, "metadata": {"k": CANARY}}, evaluators=[judge])
        with pytest.raises(Secretive), client.start_as_current_span(name="outside", input=CANARY):
            raise Secretive(CANARY)

    fixed = "<masking failed: value removed>"
    attributes = tap.span("experiment-item-run")["attributes"]
    assert attributes["langfuse.observation.input"] == attributes["langfuse.observation.output"] == fixed
    assert attributes["langfuse.observation.metadata"] == attributes["langfuse.experiment.item.metadata"] == fixed
    assert tap.scores[0]["comment"] == fixed and outcome.evaluations[0].comment == "fine"
    assert tap.span("outside")["status"]["message"] == f"Secretive: {fixed}"
    assert not any(CANARY.encode() in request.body for request in tap.requests)


def test_a_mask_that_writes_into_what_it_gets_changes_nothing_here(client):
    def in_place(*, data):
        if isinstance(data, dict):
            data.clear()
        return data

    item = {"input": {"q": 1}, "expected_output": {"e": 1}, "metadata": {"m": 1}}
    with Interactive.local(mask=in_place) as masking:
        outcome = run_one(
            masking,
            lambda *, item: dict(item["input"]),
            item,
            evaluators=[lambda *, input, output, metadata: [input["q"], output["q"], metadata["m"]]],
        )

    assert item == {"input": {"q": 1}, "expected_output": {"e": 1}, "metadata": {"m": 1}}
    assert outcome.output == {"q": 1} and [e.value for e in outcome.evaluations] == [1, 1, 1]


@pytest.mark.parametrize("masked", [5, None, {"k": object()}, "\ud800", float("nan")])
def test_a_mask_may_return_anything(tap, masked):
    with tapped(tap, mask=lambda *, data: masked) as client:
        run_one(client, echo, {"input": "in", "metadata": {"a": 1}}, evaluators=[judge])
        client.create_score(name="text", value="label", comment="c", session_id="s")
        report = client.flush()

    assert report.by_kind["scores"]["acknowledged"] == 1
    assert [score["name"] for score in tap.scores] == ["ok", "text"]


def test_a_mask_that_returns_none_is_told_once(tap, caplog):
    """Most likely a return is missing, and everything is sent as null."""
    with tapped(tap, mask=lambda *, data: None) as client:
        run_one(client, echo, {"input": "in", "metadata": {"a": 1}}, evaluators=[judge])

    message = "the mask returned None for dict, which is sent as null; is a return missing?"
    assert [record.getMessage() for record in caplog.records if "mask" in record.getMessage()] == [message]


# -- sampling, and off -------------------------------------------------------------------------------------------------


def traffic(tap):
    return [(request.method, request.path) for request in tap.requests]


def busy(client):
    """Everything that could send something: a run, spans and scores outside."""
    result = client.run_experiment(
        name="exp",
        data=[{"input": i} for i in range(3)],
        task=lambda *, item: client.start_span(name="nested").end() and client.score_current_span(name="s", value=1),
        evaluators=[judge],
    )
    with client.start_as_current_span(name="outside") as span:
        span.score(name="outside", value=1)
    return result


def test_a_sample_rate_of_zero_sends_nothing_and_counts_everything(tap):
    """In the reference 0.0 means 1.0 (D46)."""
    with tapped(tap, sample_rate=0.0) as client:
        result = busy(client)
        report = client.flush()

    assert traffic(tap) == []
    assert result.delivery.by_kind["scores"] == {"acknowledged": 0, "pending": 0, "rejected": 0, "skipped": 6}
    assert result.delivery.skipped == sum(map(sum, (row.values() for row in result.delivery.by_kind.values()))) == 15
    assert report.by_kind["spans"]["skipped"] == 1 and report.by_kind["scores"]["skipped"] == 1
    assert len({item.trace_id for item in result.item_results}) == 3


def test_half_a_sample_has_whole_traces(tap):
    with tapped(tap, sample_rate=0.5) as client:
        client.create_dataset(name="set")
        for number in range(40):
            client.create_dataset_item(dataset_name="set", id=f"i{number}", input=number)
        tap.requests.clear()
        result = client.get_dataset("set").run_experiment(
            name="exp",
            task=lambda *, item: client.start_span(name="nested").end() and 1,
            evaluators=[judge],
            experiment_id="exp-5",
        )
        run = client.get_dataset_run(dataset_name="set", run_name=result.run_name)

    traces = {}
    for span in tap.spans:
        traces.setdefault(span["trace_id"], set()).add(span["name"])
    assert 5 < len(traces) < 35
    assert set(map(frozenset, traces.values())) == {frozenset(["experiment-item-run", "nested", "judge"])}
    assert {score["traceId"] for score in tap.scores} == set(traces) == {row.trace_id for row in run.dataset_run_items}
    skipped = 40 - len(traces)
    assert [result.delivery.by_kind[kind]["skipped"] for kind in ("links", "scores")] == [skipped, skipped]
    assert result.delivery.by_kind["spans"]["acknowledged"] == 3 * len(traces)


def test_off_means_off(tap, caplog):
    """In the reference links go out with trace ids of zeros, and scores count as created (D47, D60)."""
    with tapped(tap) as client:
        client.create_dataset(name="set")
        client.create_dataset_item(dataset_name="set", id="i", input=1)

    with tapped(tap, tracing_enabled=False) as client:
        data = client.get_dataset("set")
        tap.requests.clear()
        result = client.run_experiment(
            name="exp",
            data=data,
            task=lambda *, item: client.start_span(name="nested").end() and client.get_current_trace_id(),
            evaluators=[judge],
            run_evaluators=[lambda *, item_results: 1],
        )
        with data.items[0].run(run_name="by hand") as span:
            span.score(name="s", value=1)
        report = client.flush()

    assert traffic(tap) == []
    (item,) = result.item_results
    assert item.output == item.trace_id and int(item.trace_id, 16) and int(span.trace_id, 16)
    assert [result.delivery.by_kind[kind]["skipped"] for kind in ("links", "scores")] == [1, 2]
    assert result.delivery.skipped == sum(map(sum, (row.values() for row in result.delivery.by_kind.values()))) == 6
    assert (report.skipped, report.acknowledged) == (3, 0)
    assert {kind: row["skipped"] for kind, row in report.by_kind.items()} == {"links": 1, "spans": 1, "scores": 1}
    assert warnings_in(caplog) == [
        "tracing is disabled: spans, links and scores of this client are not sent, only counted as skipped",
    ]
    assert (result.dataset_run_id, result.dataset_run_url) == (None, None)


# -- late, and apart ---------------------------------------------------------------------------------------------------


def test_spans_that_end_after_their_item_or_their_run_are_delivered(client):
    kept = []

    def task(*, item):
        kept.append(client.start_span(name=f"late {item['input']}"))
        if item["input"] == 1:
            kept[0].update(output="after its item").end()
            kept[0].score(name="late", value=1)

    result = client.run_experiment(
        name="exp", data=[{"input": 0}, {"input": 1}], task=task, max_concurrency=1, evaluators=[judge]
    )
    kept[1].update(output="after the run").end()
    kept[1].score(name="later", value=1)

    spans = {span["name"]: span for span in recorded_spans(client)}
    assert [spans[name]["output"] for name in ("late 0", "late 1")] == ["after its item", "after the run"]
    assert [spans[name]["traceId"] for name in ("late 0", "late 1")] == [item.trace_id for item in result.item_results]
    assert [score["name"] for score in client.api.scores(name="later")["data"]] == ["later"]
    assert [score["name"] for score in client.api.scores(name="late")["data"]] == ["late"]
    assert spans["late 1"]["environment"] == "sdk-experiment"


def test_two_clients_share_nothing():
    """In the reference a second client of the same key silently is the first one (D65)."""
    with Interactive.local(public_key="pk", environment="one") as one, Interactive.local(
        public_key="pk", environment="two"
    ) as two:

        def task(*, item):
            with two.start_as_current_span(name="two in one") as span:
                assert (one.get_current_trace_id(), two.get_current_trace_id()) == (None, span.trace_id)
                one.start_span(name="one in two").end()
            two.score_current_span(name="lost", value=1)

        outcome = run_one(one, task)
        ones, twos = spans_by_name(one), spans_by_name(two)

    assert (sorted(ones), sorted(twos)) == (["experiment-item-run", "one in two"], ["two in one"])
    assert twos["two in one"]["traceId"] != outcome.trace_id and twos["two in one"]["environment"] == "two"


def test_a_span_that_ends_after_its_client_was_closed_is_not_an_error(caplog):
    client = Interactive.local()
    span = client.start_span(name="late")
    client.close()

    span.update(output=1).end()
    with pytest.raises(ClosedError):
        span.score(name="s", value=1)
    with pytest.raises(ClosedError):
        span.start_span(name="child")

    assert [said.split(":")[0] for said in warnings_in(caplog)] == [
        "a client was closed before one of its spans ended",
    ]


def test_spans_of_a_client_that_nobody_keeps_are_delivered(tap):
    def forget():
        client = tapped(tap, flush_interval=0.01)
        with client.start_as_current_span(name="kept"):
            pass
        return client.start_span(name="longer"), weakref.ref(client)

    span, client = forget()

    assert client() is None  # nothing of ours holds it, so `get_client` does not find it either
    assert tap.spans_came.wait(10) and tap.span("kept")
    tap.spans_came.clear()
    span.end()
    assert tap.spans_came.wait(10) and tap.span("longer")


def test_a_transport_that_fails_breaks_no_traced_code(caplog):
    class Down(Transport):
        def send(self, request):
            raise TransportError("nobody there", request=request)

    with Interactive(transport=Down(), dialect="public", clock=ManualClock()) as client:
        with client.start_as_current_span(name="one") as span:
            span.score(name="s", value=1)
        report = client.flush()

    assert (report.pending, report.acknowledged) == (2, 0)
    assert {problem.reason for problem in report.problems} == {"nobody there"}


def test_counting_ids_stand_in_tests():
    with Interactive.local(ids=CountingIds()) as client, client.start_as_current_span(name="a") as outer:
        inner = client.start_span(name="b")

    assert (outer.trace_id, outer.id, inner.id) == (f"{1:032x}", f"{2:016x}", f"{3:016x}")


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_mask_that_fails_with_more_than_an_exception_hides_the_value_too(error):
    def mask(*, data):
        raise error("secret")

    with Interactive.local(mask=mask) as client:
        result = client.run_experiment(name="m", data=[{"input": "private"}], task=lambda item: "private")
        (trace,) = client.api.traces()["data"]

    assert result.completed
    assert (trace["input"], trace["output"]) == ("<masking failed: value removed>",) * 2


def test_a_propagated_value_is_masked_before_it_is_cut():
    """Half a secret at the cut is a secret that no mask knows."""

    def mask(*, data):
        return data.replace("SECRET-TOKEN", "***") if isinstance(data, str) else data

    with Interactive.local(mask=mask) as client:
        with propagate_attributes(metadata={"key": "p" * 195 + "SECRET-TOKEN"}):
            with client.start_as_current_span(name="s"):
                pass
        client.flush()
        (trace,) = client.api.traces()["data"]

    assert trace["metadata"]["key"] == "p" * 195 + "***"


def test_a_description_is_masked(tap):
    def mask(*, data):
        return data.replace("SECRET", "***") if isinstance(data, str) else data

    with tapped(tap, mask=mask) as client:
        client.create_dataset(name="set")
        client.create_dataset_item(dataset_name="set", id="i", input=1)
        dataset = client.get_dataset("set")
        dataset.run_experiment(name="e", run_name="r", description="SECRET", task=lambda item: 1)
        with dataset.items[0].run(run_name="by hand", run_description="SECRET"):
            pass

    assert [b"SECRET" in request.body for request in tap.requests] == [False] * len(tap.requests)
    with tapped(tap) as client:
        runs = client.get_dataset_runs(dataset_name="set").data
    assert [run.description for run in runs] == ["***", "***"]


@pytest.mark.parametrize("end_time", [-5, 2**70, 1.5, "now", True])
def test_a_span_cannot_end_at_what_is_no_time(client, end_time):
    span = client.start_span(name="s")
    with pytest.raises(ArgumentError, match=r"must be nanoseconds since 1970"):
        span.end(end_time=end_time)

    assert span.end() is span


@pytest.mark.parametrize("moment", ["now", 5, datetime.datetime.min])
def test_what_is_no_moment_is_refused_with_its_name(client, moment):
    with pytest.raises(ArgumentError, match=r"timestamp=.*must be a datetime"):
        client.create_score(name="s", value=1, session_id="x", timestamp=moment)
    with pytest.raises(ArgumentError, match=r"completion_start_time=.*must be a datetime"):
        client.start_span(name="s", completion_start_time=moment)


@pytest.mark.parametrize("target", [{"score_id": 5}, {"score_id": "q" * 900}, {"trace_id": 7}, {"config_id": b"c"}])
def test_an_id_that_no_server_takes_is_refused_with_its_name(client, target):
    (name,) = target
    with pytest.raises(ArgumentError, match=rf"{name}=.*must be a text of 1 to 800 characters"):
        client.create_score(**{"name": "s", "value": 1, "trace_id": "t", **target})


def test_a_span_that_joins_a_trace_names_it_though_it_has_a_parent_elsewhere(client):
    context = {"trace_id": "a" * 32, "parent_span_id": "b" * 16}
    with client.start_as_current_span(name="here", input="in", trace_context=context):
        pass
    client.flush()

    trace = client.api.trace("a" * 32)
    assert (trace["name"], trace["input"], trace["observations"][0]["parentObservationId"]) == ("here", "in", "b" * 16)
