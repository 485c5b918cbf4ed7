"""Batch evaluation: every recorded item once, whatever happens on the way; scores, counts and tokens that are exact."""
from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import random
import signal
import subprocess
import threading
import tracemalloc
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from interactiveai_eval import (
    ApiError,
    ArgumentError,
    BatchEvaluationResult,
    BatchEvaluationResumeToken,
    CheckpointError,
    EvaluatorInputs,
    FakeTransport,
    Interactive,
    LocalServer,
    NotFoundError,
    Response,
    TransportError,
)
from interactiveai_eval.demo.gsm8k import accuracy
from interactiveai_eval.demo.gsm8k_sample import MODELS
from interactiveai_eval.testing import ManualClock
from interactiveai_eval.transports.local import LocalTransport

from . import programs
from .programs import start

RECORDED = Path(__file__).parent / "data" / "gsm8k_model_solutions.jsonl.gz"


def moment(ms):
    return f"2025-11-20T10:{ms // 60_000:02}:{ms // 1000 % 60:02}.{ms % 1000:03}Z"


def record(client, *traces):
    """Store traces: bodies of "trace-create"."""
    events = [
        {"id": f"e-{body['id']}", "timestamp": body["timestamp"], "type": "trace-create", "body": body}
        for body in traces
    ]
    for first in range(0, len(events), 500):
        assert client.api.send_events(events[first : first + 500]) == []


def trace(number, ms=None, **more):
    ms = number if ms is None else ms
    return {"id": f"t{number:03}", "timestamp": moment(ms), "input": number, "output": str(number), **more}


def filled(count, transport=None):
    client = Interactive(transport=transport or LocalTransport(), dialect="public")
    record(client, *[trace(number, number // 3) for number in range(count)])
    return client


def mapper(item):
    return {"input": item.input, "output": item.output}


class Ailing:
    """A mapper that fails for these inputs, until it is left none."""

    def __init__(self, *inputs):
        self.inputs = inputs

    def __call__(self, item):
        if item.input in self.inputs:
            raise ValueError("not today")
        return mapper(item)


def exact(*, input, output):
    return float(str(input) == str(output))


def scored(client):
    """How many scores each trace has, by trace and score name."""
    return Counter((trace_id, name) for trace_id, name, _ in stored_scores(client).values())


def stored_scores(client):
    """All scores: trace, name and value by id."""
    rows, page = [], 1
    while True:
        answer = client.api.scores(page=page, limit=100)
        rows += [(row["id"], (row["traceId"], row["name"], row["value"])) for row in answer["data"]]
        if page >= answer["meta"]["totalPages"]:
            break
        page += 1
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def run(client, **more):
    return client.run_batched_evaluation(**{"scope": "traces", "mapper": mapper, "evaluators": [exact], **more})


# -- the whole of it ---------------------------------------------------------------------------------------------------


@pytest.mark.needs("patience")
def test_recorded_solutions_of_four_models_are_judged_by_tag_as_published():
    """5,276 traces, up to five of them at one millisecond; source of the counts: data/README.md."""
    with gzip.open(RECORDED, "rt", encoding="utf-8") as lines:
        problems = [json.loads(line) for line in lines]
    with Interactive.local() as client:
        record(
            client,
            *[
                {
                    "id": f"{place}-{model}",
                    "timestamp": moment(place * 4 // 5),
                    "input": problem["question"],
                    "output": problem[model]["solution"],
                    "metadata": {"truth": problem["ground_truth"]},
                    "tags": [model],
                }
                for place, problem in enumerate(problems)
                for model in MODELS
            ],
        )

        def read(item):
            return EvaluatorInputs(input=item.input, output=item.output, expected_output=item.metadata["truth"])

        right = {}
        for model in MODELS:
            result = run(client, mapper=read, evaluators=[accuracy], filter=json.dumps({"tags": [model]}))
            assert (result.total_items_processed, result.completed, result.has_more_items) == (1319, True, False)
            right[model] = sum(each[0].value for each in result.item_evaluations.values())
        every = scored(client)

    assert right == {"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458, "175b_verification": 742}
    assert len(every) == 5276 and set(every.values()) == {1}


@pytest.mark.parametrize("form", ["plain", "awaited", "threads of the user's"])
def test_an_item_is_mapped_evaluated_and_scored(form):
    from concurrent.futures import ThreadPoolExecutor

    async def slow(*, output, **kwargs):
        await asyncio.sleep(0)
        return {"name": "slow", "value": len(str(output)), "metadata": {"run": "own", "k": 1}, "comment": "c"}

    def weighted(*, item, evaluations):
        return {"name": "weighted", "value": item.timestamp.year + sum(each.value for each in evaluations)}

    settings = {
        "scope": "traces",
        "mapper": mapper,
        "evaluators": [exact, slow],
        "composite_evaluator": weighted,
        "metadata": {"run": "all"},
    }
    with filled(7) as client, ThreadPoolExecutor(2) as pool:
        if form == "awaited":
            result = asyncio.run(client.run_batched_evaluation_async(**settings))
        else:
            result = client.run_batched_evaluation(**settings, executor=pool if form.startswith("threads") else None)
        whole = client.api.trace("t005")
        every = scored(client)

    assert (result.total_items_fetched, result.total_items_processed, result.total_items_failed) == (7, 7, 0)
    assert (result.total_scores_created, result.total_composite_scores_created) == (14, 7)
    assert [(row.name, row.total_runs, row.total_scores_created) for row in result.evaluator_stats] == [
        ("exact", 7, 7), ("slow", 7, 7), ("weighted", 7, 7)
    ]  # fmt: skip
    assert set(every.values()) == {1} and len(every) == 21
    values = {score["name"]: (score["value"], score["metadata"]) for score in whole["scores"]}
    assert values["exact"] == (1.0, {"run": "all"}) and values["weighted"] == (2027.0, {"run": "all"})
    assert values["slow"] == (1.0, {"run": "all", "k": 1})
    assert result.delivery.acknowledged == 21 and result.completed and result.resume_token is None
    assert [each.name for each in result.item_evaluations["t005"]] == ["exact", "slow", "weighted"]


def test_scores_of_observations_carry_their_trace(client):
    with client.start_as_current_observation(name="root") as root:
        with client.start_as_current_observation(name="inner", as_type="generation", input=1, output="1"):
            pass
    client.flush()

    result = run(client, scope="observations", filter=[
        {"type": "string", "column": "name", "operator": "=", "value": "inner"}
    ])  # fmt: skip

    (observation,) = result.item_evaluations
    (score,) = client.api.scores()["data"]
    assert (score["observationId"], score["traceId"]) == (observation, root.trace_id)


# -- limits and going on -----------------------------------------------------------------------------------------------


@pytest.mark.needs("patience")
@pytest.mark.parametrize("page", [1, 2, 4, 12, 50])
@pytest.mark.parametrize("most", [1, 4, 5, 12, 13])
def test_max_items_counts_attempts_and_the_token_goes_on_after_them(page, most):
    """TRAPS D19, D23; FAULTS D17: a third of the items fail, no page is a multiple of anything."""

    def some(*, input, output):
        return 1.0

    def mapping(item):
        if item.input % 3 == 0:
            raise ValueError("no")
        return mapper(item)

    with filled(12) as client:
        token, attempts, calls = None, 0, 0
        while True:
            result = run(
                client, mapper=mapping, evaluators=[some], fetch_batch_size=page, max_items=most, resume_from=token
            )
            calls += 1
            attempted = result.total_items_processed + result.total_items_failed
            attempts += attempted
            if calls == 1:
                assert attempted == min(most, 12) and result.has_more_items == (most < 12)
            assert result.completed and result.total_items_fetched == attempted <= most
            token = result.resume_token
            if token is None:
                break
            assert BatchEvaluationResumeToken.from_json(token.to_json()) == token
        every = scored(client)

    assert {id for id, _ in every} == {f"t{number:03}" for number in range(12) if number % 3}
    assert sorted(result.retry_token().failed_ids) == ["t000", "t003", "t006", "t009"]
    assert set(every.values()) <= {1} and attempts <= 12 + 2 * 4 + most


def test_items_that_never_succeed_keep_no_others_from_their_turn():
    """Each is tried again once before what is new, and then after it; so calls for one item come to the end, too."""
    tried = []

    def mapping(item):
        tried.append(item.id)
        if item.id in ("t000", "t001"):
            raise ValueError("never")
        return mapper(item)

    with filled(4) as client:
        token, ends = None, []
        while not ends or token is not None:
            result = run(client, mapper=mapping, max_items=1, resume_from=token)
            token = result.resume_token
            ends.append(result.has_more_items)
        whole = run(client, mapper=mapping, resume_from=result.retry_token().replaced(only_failed=False))

    assert tried[:6] == ["t000", "t000", "t001", "t001", "t002", "t003"]
    assert ends == [True] * 5 + [False] and result.retry_token().failed_again == 2
    assert sorted(tried[6:]) == ["t000", "t001"] and whole.completed


def test_failed_items_take_turns_where_there_is_room_for_one():
    """An item that heals comes to its turn, though another one that never does stands before it."""
    broken = {"t000", "t001"}

    def mapping(item):
        if item.id in broken:
            raise ValueError("no")
        return mapper(item)

    with filled(3) as client:
        result = run(client, mapper=mapping)
        broken.remove("t001")
        calls = 0
        while result.retry_token().failed_ids != ["t000"]:
            calls += 1
            result = run(client, mapper=mapping, max_items=1, resume_from=result.resume_token or result.retry_token())

    assert calls <= 3


def test_no_items_are_asked_for_when_none_are_wanted():
    with filled(3) as client:
        result = run(client, max_items=0)

    assert (result.total_items_fetched, result.completed, result.has_more_items) == (0, True, False)
    assert result.resume_token is None


def test_failed_items_are_tried_again_first_and_alone():
    mapping = Ailing(2, 5)
    with filled(8) as client:
        first = run(client, mapper=mapping, max_concurrency=1)  # they are named as they failed
        mapping.inputs = ()
        second = run(client, mapper=mapping, resume_from=first.retry_token())
        every = scored(client)

    assert first.failed_item_ids == ["t002", "t005"] and first.error_summary == {"ValueError": 2}
    assert [(each.item_id, each.stage, each.message) for each in first.item_failures] == [
        ("t002", "mapper", "not today"), ("t005", "mapper", "not today")
    ]  # fmt: skip
    assert first.completed and first.resume_token is None
    assert sorted(second.item_evaluations) == ["t002", "t005"] and second.retry_token() is None
    assert len(every) == 8 and set(every.values()) == {1}


@pytest.mark.needs("patience")
def test_more_failures_than_a_token_can_name_are_found_again_by_reading_on():
    """It stays before the first that it cannot name, at 4 KB, and keeps no list that grows with the run."""
    broken = [True]

    def mapping(item):
        if broken[0]:
            raise ValueError("not today")
        return mapper(item)

    with filled(1300) as client:
        first = run(client, mapper=mapping, keep_evaluations=False, fetch_batch_size=100)
        token = first.retry_token()
        assert (first.total_items_failed, first.completed, first.resume_token) == (1300, True, None)
        assert len(token.to_json()) <= 4096 and 100 < len(token.failed_ids) < 1000
        broken[0] = False
        second = run(client, mapper=mapping, resume_from=token)
        every = scored(client)

    assert second.total_items_processed == second.total_items_fetched == 1300 and second.retry_token() is None
    assert len(every) == 1300 and set(every.values()) == {1}


def test_a_call_that_wants_nothing_keeps_the_token(tmp_path):
    with filled(6) as client:
        token = run(client, max_items=2).resume_token

        assert run(client, max_items=0, resume_from=token).resume_token == token
        path = tmp_path / "token.json"
        begun = run(client, max_items=2, checkpoint=path)
        asked = run(client, max_items=0, checkpoint=path)
        assert asked.resume_token == begun.resume_token and not asked.has_more_items


def test_what_cannot_be_sent_is_counted_nowhere_as_a_score():
    def odd(*, input, output):
        return [float("nan"), None, {"name": "fine", "value": 1}]

    with filled(2) as client:
        result = run(client, evaluators=[odd])

    assert result.total_scores_created == result.evaluator_stats[0].total_scores_created == 2
    assert (result.delivery.acknowledged, result.delivery.skipped) == (2, 2)


def test_a_token_is_authoritative():
    """TRAPS D07, D08, D18."""
    with filled(6) as client:
        token = run(client, max_items=2).resume_token
        for more, named in [
            ({"scope": "observations"}, "scope"),
            ({"filter": {"tags": ["x"]}}, "filter"),
            ({"evaluators": [exact, exact]}, "evaluators"),
            ({"shard": (0, 2)}, "shard"),
            ({"run_id": "another"}, "run_id"),
        ]:
            with pytest.raises(ArgumentError, match=named):
                run(client, resume_from=token, **more)
        with pytest.raises(ArgumentError, match="resume_from"):
            run(client, resume_from="token")

        assert run(client, resume_from=token).total_items_processed == 4


def test_a_token_of_the_reference_goes_on_from_its_time():
    token = BatchEvaluationResumeToken(
        scope="traces",
        filter=None,
        last_processed_timestamp=moment(1),
        last_processed_id="t004",
        items_processed=5,
    )
    with filled(9) as client:
        result = run(client, resume_from=token)

        assert sorted(result.item_evaluations) == ["t003", "t005", "t006", "t007", "t008"]
        with pytest.raises(ArgumentError, match="last_processed_timestamp"):
            run(client, resume_from=token.replaced(last_processed_timestamp="soon"))


def test_shards_are_disjoint_and_complete_and_merge():
    with filled(40) as client:
        results = [run(client, shard=(part, 3)) for part in range(3)]
        every = scored(client)

    merged = BatchEvaluationResult.merge(results)
    assert merged.total_items_processed == 40 and len(merged.item_evaluations) == 40
    assert all(result.total_items_processed for result in results)
    assert len(every) == 40 and set(every.values()) == {1}


def test_a_shard_that_is_missing_is_noticed_by_merge(caplog):
    with filled(40) as client:
        results = [run(client, shard=(part, 3)) for part in range(3)]
    saved = [BatchEvaluationResult.from_dict(result.to_dict()) for result in results]

    assert BatchEvaluationResult.merge(saved).completed and not caplog.messages
    assert not BatchEvaluationResult.merge(saved[:2]).completed
    [told] = caplog.messages
    assert told.endswith("these shards are missing: 2/3")


@pytest.mark.parametrize("kept", [True, False])
def test_a_shard_that_ran_twice_has_the_effect_of_one(kept):
    """A worker of an indexed job that was started anew: the scores land on the same ids, and count once."""
    how = {"run_id": "nightly", "keep_evaluations": kept}
    with filled(40) as client:
        results = [run(client, shard=(part, 3), **how) for part in range(3)]
        again = run(client, shard=(1, 3), **how)
        every = scored(client)

    merged = BatchEvaluationResult.merge([*results, again])
    assert (merged.total_items_processed, merged.total_scores_created, merged.completed) == (40, 40, True)
    assert len(merged.item_evaluations) == (40 if kept else 0) and len(every) == 40 and set(every.values()) == {1}


@pytest.mark.parametrize("shards", [None, 2])
def test_a_merge_of_calls_that_went_on_with_one_another_is_as_complete_as_the_last(shards):
    parts = []
    with filled(9) as client:
        for number in range(shards or 1):
            first = run(client, max_items=2, shard=None if shards is None else (number, shards))
            parts += [first, run(client, max_items=1, resume_from=first.resume_token)]
        unfinished = BatchEvaluationResult.merge(parts)
        parts += [run(client, resume_from=part.resume_token) for part in parts[1::2]]

    assert (unfinished.completed, unfinished.has_more_items) == (True, True)  # `max_items` has ended it on purpose
    merged = BatchEvaluationResult.merge(parts)
    assert (merged.total_items_processed, merged.completed, merged.has_more_items) == (9, True, False)
    assert "More items" not in str(merged)


def test_what_was_tried_again_takes_the_place_of_the_failure_in_a_merge():
    mapping = Ailing(1, 4)
    with filled(6) as client:
        first = run(client, mapper=mapping)
        mapping.inputs = ()
        again = run(client, mapper=mapping, resume_from=first.retry_token())
        whole = run(client)

    merged = BatchEvaluationResult.merge([first, again])
    assert (first.total_items_failed, merged.total_items_failed, merged.item_failures) == (2, 0, [])
    assert (merged.total_items_fetched, merged.total_items_processed, merged.error_summary) == (6, 6, {})
    assert merged.completed and merged.item_evaluations == whole.item_evaluations
    for wrong in ([again, first], [first, whole], [first, again, again]):
        with pytest.raises(ArgumentError, match="each once"):
            BatchEvaluationResult.merge(wrong)


# -- servers and user code that fail -----------------------------------------------------------------------------------


class Failing(LocalTransport):
    """Answers the list requests that `fails(number)` says with an error; the number counts them from 1."""

    def __init__(self, fails):
        super().__init__()
        self.fails = fails
        self.lists = 0

    def send(self, request):
        if request.method == "GET" and request.path.endswith("/traces"):
            self.lists += 1
            problem = self.fails(self.lists)
            if isinstance(problem, Exception):
                raise problem
            if problem:
                return Response(problem, body=b'{"message": "no"}')
        return super().send(request)


def test_a_page_that_cannot_be_read_ends_the_run_with_a_token_that_reads_on():
    server = Failing(lambda number: 500 if server.down and number > 3 else None)
    server.down = True
    with filled(12, server) as client:
        first = run(client, fetch_batch_size=3, max_retries=0)
        server.down = False
        second = run(client, fetch_batch_size=3, resume_from=first.resume_token)
        every = scored(client)

    assert not first.completed and first.has_more_items and 0 < first.total_items_processed < 12
    assert [(each.stage, each.item_id) for each in first.item_failures] == [("fetch", None)]
    assert "after 1 attempt)" in first.item_failures[0].message
    assert second.completed and first.total_items_processed + second.total_items_processed == 12
    assert len(every) == 12 and set(every.values()) == {1}


@pytest.mark.needs("patience")
@pytest.mark.parametrize("problem", [503, 429, TransportError("reset")])
def test_a_fetch_that_fails_once_is_tried_again(problem):
    server = Failing(lambda number: problem if number == 3 else None)
    with filled(6, server) as client:
        result = run(client, fetch_batch_size=3)

    assert result.completed and result.total_items_processed == 6


@pytest.mark.parametrize("asked_for, waits", [(None, [1, 2, 4]), ("3", [3, 3, 4])])
def test_fetches_are_tried_again_after_1_2_4_seconds_or_what_the_server_asks_for(asked_for, waits):
    """Jitter goes downwards only, at most 10 %; the clock is the run's."""
    clock = ManualClock(jumps=True)
    at = []

    class Unwilling(LocalTransport):
        def send(self, request):
            if request.method == "GET" and request.path.endswith("/traces"):
                at.append(clock.monotonic())
                headers = {} if asked_for is None else {"retry-after": asked_for}
                return Response(503, headers=headers, body=b"{}")
            return super().send(request)

    with Interactive(transport=Unwilling(), dialect="public", clock=clock) as client:
        result = run(client)

    waited = [later - earlier for earlier, later in zip(at, at[1:])]
    assert len(waited) == 3 and not result.completed and "after 4 attempts" in result.item_failures[0].message
    assert all(0.9 * wait <= found <= wait + 0.001 for found, wait in zip(waited, waits)), waited


def test_a_request_that_the_server_refuses_at_once_is_an_error():
    with filled(3, Failing(lambda number: 400)) as client, pytest.raises(ApiError) as refused:
        run(client)

    assert refused.value.status_code == 400 and refused.value.result.total_items_fetched == 0


def test_a_malformed_row_fails_alone():
    class Odd(LocalTransport):
        def send(self, request):
            response = super().send(request)
            if request.method == "GET" and request.path.endswith("/traces"):
                answer = json.loads(response.body)
                answer["data"] = [None if row.get("id") == "t001" else row for row in answer["data"]]
                return Response(response.status, body=json.dumps(answer).encode(), headers=response.headers)
            return response

    with filled(3, Odd()) as client:
        result = run(client)

    assert (result.total_items_processed, result.total_items_failed) == (2, 1)
    assert [(each.item_id, each.stage, each.error_type) for each in result.item_failures] == [
        (None, "item", "MalformedItem")
    ]


def test_failures_are_counted_where_they_belong():
    def broken(*, input, output):
        raise RuntimeError("judge is ill")

    def bad_composite(*, evaluations):
        return object()

    def nothing(item):
        return None

    with filled(4) as client:
        result = run(client, evaluators=[exact, broken], composite_evaluator=bad_composite)
        mapped = run(client, mapper=nothing)

    assert (result.total_items_processed, result.total_items_failed, result.total_evaluations_failed) == (4, 0, 8)
    assert [(row.name, row.failed_runs) for row in result.evaluator_stats] == [
        ("exact", 0), ("broken", 4), ("bad_composite", 4)
    ]  # fmt: skip
    assert {each.evaluator for each in result.item_failures} == {"broken", "bad_composite"}
    assert result.total_scores_created == 4 and mapped.total_items_failed == 4
    assert mapped.error_summary == {"TypeError": 4}


@pytest.mark.parametrize(
    "more, named",
    [
        ({"scope": "sessions"}, "scope"),
        ({"mapper": 5}, "mapper"),
        ({"evaluators": exact}, "evaluators"),
        ({"filter": "{nonsense"}, "filter"),
        ({"filter": {"tags": {"operator": "~", "value": 1}}}, "filter"),
        ({"fetch_batch_size": 0}, "fetch_batch_size"),
        ({"max_items": -1}, "max_items"),
        ({"max_items": "5"}, "max_items"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"metadata": [1]}, "metadata"),
        ({"shard": (2, 2)}, "shard"),
        ({"time_budget": 0}, "time_budget"),
        ({"rate_limit": -1}, "rate_limit"),
        ({"on_item": 5}, "on_item"),
        ({"on_item": asyncio.sleep}, "on_item.*plain function"),
        ({"progress": asyncio.sleep}, "progress.*plain function"),
        ({"keep_evaluations": 1}, "keep_evaluations"),
        ({"verbose": "yes"}, "verbose"),
        ({"dataset_run": "run"}, "dataset_run"),
        ({"dataset_run": ("d", "r"), "filter": {"tags": ["x"]}}, "dataset_run"),
        ({"full_traces": True, "scope": "observations"}, "full_traces"),
        ({"composite_evaluator": lambda *, unheard_of: 1}, "composite_evaluator"),
    ],
)
def test_bad_arguments_are_refused_before_any_request(more, named):
    server = Failing(lambda number: None)
    with Interactive(transport=server, dialect="public") as client:
        with pytest.raises(ArgumentError, match=named):
            run(client, **more)

    assert server.lists == 0


# -- other ways to choose and to keep ----------------------------------------------------------------------------------


def test_evaluations_stream_to_a_hook_and_are_not_kept():
    seen = {}
    with filled(9) as client:
        result = run(client, keep_evaluations=False, on_item=seen.__setitem__)

    assert result.item_evaluations == {} and result.total_items_processed == 9
    assert sorted(seen) == [f"t{number:03}" for number in range(9)]
    assert all(evaluations[0].value == 1.0 for evaluations in seen.values())


def test_items_whose_scores_are_on_their_way_are_held_no_longer():
    """A few thousand may wait for a slow server, and recorded traces are large: here 3.6 MB, of which little is left."""
    answered, held, is_slow = threading.Event(), [], []

    class Slow(LocalTransport):
        def send(self, request):
            if request.method == "POST" and is_slow:
                answered.wait(20)
            return super().send(request)

    def measure(item_id, evaluations):
        if item_id == "t059":
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
            answered.set()

    with Interactive(transport=Slow(), dialect="public") as client:
        record(client, *[trace(number, output="x" * 60_000) for number in range(60)])
        is_slow.append(True)
        tracemalloc.start()
        try:
            result = run(
                client, fetch_batch_size=10, max_concurrency=1, keep_evaluations=False, on_item=measure, max_items=60
            )
        finally:
            tracemalloc.stop()

    assert result.delivery.acknowledged == 60 and held[0] < 2_000_000, held


def test_a_hook_that_raises_ends_the_run_with_its_result():
    def full(item_id, evaluations):
        raise OSError("disk full")

    with filled(200) as client, pytest.raises(OSError, match="disk full") as stopped:
        run(client, on_item=full, max_concurrency=1)

    token = stopped.value.result.resume_token
    assert token is not None and not stopped.value.result.completed


def test_a_run_that_is_stopped_at_its_last_item_is_complete():
    def last(item_id, evaluations):
        if item_id == "t002":
            raise OSError("disk full")

    with filled(3) as client, pytest.raises(OSError, match="disk full") as stopped:
        run(client, on_item=last, max_concurrency=1)

    result = stopped.value.result
    assert (result.completed, result.has_more_items, result.resume_token) == (True, False, None)


def test_full_traces_have_their_observations(client):
    with client.start_as_current_observation(name="root", input=1, output="1"):
        with client.start_as_current_observation(name="inner"):
            pass
    client.flush()

    result = run(
        client,
        full_traces=True,
        mapper=lambda item: {"input": sorted(each.name for each in item.observations), "output": 1},
        evaluators=[lambda *, input: len(input)],
    )

    (evaluations,) = result.item_evaluations.values()
    assert evaluations[0].value == 2


@pytest.mark.parametrize("id", [".", ".."])
def test_a_row_whose_id_would_lead_elsewhere_fails_alone_and_is_not_asked_for(id):
    """S16, S35."""
    row = {"id": id, "timestamp": moment(0)}
    answers = {"/api/public/traces": {"data": [row], "meta": {"page": 1, "limit": 50, "totalItems": 1, "totalPages": 1}}}
    server = FakeTransport(lambda request: Response(200, body=json.dumps(answers.get(request.path, {"id": "t"})).encode()))
    with Interactive(transport=server, dialect="public") as client:
        result = run(client, full_traces=True)

    assert [(failure.item_id, failure.stage, failure.error_type) for failure in result.item_failures] == [(id, "fetch", "ArgumentError")]
    assert {request.path for request in server.requests} == {"/api/public/traces"} and result.completed


def test_the_traces_of_a_data_set_run_are_evaluated(client):
    client.create_dataset(name="d")
    for number in range(5):
        client.create_dataset_item(dataset_name="d", input=number)
    experiment = client.run_experiment(
        name="e", run_name="r", data=client.get_dataset("d"), task=lambda *, item: str(item.input)
    )
    client.run_experiment(name="other", data=[{"input": 1}], task=lambda *, item: 2)

    parts, token = [], None
    for _ in range(3):
        parts.append(run(client, dataset_run=("d", "r"), max_items=2, resume_from=token))
        token = parts[-1].resume_token

    evaluated = [each for part in parts for each in part.item_evaluations]
    assert sorted(evaluated) == sorted(each.trace_id for each in experiment.item_results)
    assert [part.has_more_items for part in parts] == [True, True, False] and token is None


@pytest.mark.parametrize("dialect", ["platform", "public"])
@pytest.mark.parametrize("over_http", [False, True])
def test_a_data_set_run_is_evaluated_in_both_dialects_also_over_http(over_http, dialect):
    with ExitStack() as opened:
        if over_http:
            url = opened.enter_context(LocalServer()).url
            reached = {"public_key": "pk-local", "secret_key": "sk-local", "base_url": url}
        else:
            reached = {"transport": LocalTransport()}
        client = opened.enter_context(Interactive(dialect=dialect, **reached))
        client.create_dataset(name="d")
        for number in range(3):
            client.create_dataset_item(dataset_name="d", input=number)
        experiment = client.run_experiment(
            name="e", run_name="r", data=client.get_dataset("d"), task=lambda *, item: str(item.input)
        )

        result = run(client, dataset_run=("d", "r"))

    assert sorted(result.item_evaluations) == sorted(each.trace_id for each in experiment.item_results)
    assert (result.total_items_fetched, result.total_items_failed, result.completed) == (3, 0, True)


def test_a_data_set_run_that_is_not_there_is_an_error(client):
    client.create_dataset(name="d")
    with pytest.raises(NotFoundError):
        run(client, dataset_run=("d", "nobody"))


@pytest.mark.needs("patience")
def test_a_time_budget_ends_the_run_with_a_token():
    released = threading.Event()

    def slow(*, input, output):
        if input > 2:
            released.wait(20)
        return 1.0

    with filled(30) as client:
        first = run(client, evaluators=[slow], time_budget=0.5, max_concurrency=4)
        released.set()
        second = run(client, evaluators=[slow], resume_from=first.resume_token)
        every = scored(client)

    assert not first.completed and first.has_more_items
    assert second.completed and len(every) == 30 and set(every.values()) == {1}


@pytest.mark.needs("patience")
@pytest.mark.parametrize("max_concurrency", [4, 1])
@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_an_item_that_takes_longer_than_the_time_budget_holds_up_no_other(tmp_path, max_concurrency, with_checkpoint):
    """It is the oldest, and cut off; what was done beside it is not done again, what comes after it comes first."""
    clock, calls, late, parts = ManualClock(), [], threading.Event(), []
    others = threading.Semaphore(0)

    def judge(*, input):
        calls.append(input)
        if input != 0:
            others.release()
        elif not late.is_set():
            for _ in range(29 if max_concurrency > 1 else 0):
                assert others.acquire(timeout=20)
            clock.advance(9.1)  # what is left of ten seconds is for delivery
            late.wait(20)
        return 1.0

    with Interactive(transport=LocalTransport(), dialect="public", clock=clock) as client:
        record(client, *[trace(number, number // 3) for number in range(30)])
        path = tmp_path / "eval.json" if with_checkpoint else None
        for rest in (True, False):
            parts.append(
                run(
                    client,
                    evaluators=[judge],
                    time_budget=10.0,
                    max_concurrency=max_concurrency,
                    checkpoint=path,
                    resume_from=parts[0].resume_token if parts and not with_checkpoint else None,
                )
            )
            late.set()
            assert (parts[-1].resume_token is not None) is parts[-1].has_more_items is rest
        every = scored(client)

    done = 29 if max_concurrency > 1 else 0
    assert [part.total_items_processed for part in parts] == [done, 30 - done]
    assert sorted(calls) == sorted([0, *range(30)]) and calls[-1] == 0
    assert len(every) == 30 and set(every.values()) == {1}
    if max_concurrency > 1:
        assert BatchEvaluationResult.merge(parts).total_items_processed == 30


# -- checkpoints -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_goes_on_and_ends(tmp_path):
    path = tmp_path / "eval.json"
    with filled(10) as client:
        first = run(client, checkpoint=path, max_items=4)
        second = run(client, checkpoint=path)
        third = run(client, checkpoint=path)
        every = scored(client)

    assert [each.total_items_processed for each in (first, second, third)] == [4, 6, 0]
    assert second.completed and third.completed and len(every) == 10 and set(every.values()) == {1}
    assert (path.stat().st_mode & 0o777) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"schema": "other"}', b"\xff\xfe", b"x" * 1_000_000])
def test_a_file_that_is_no_checkpoint_stays_as_it_is(tmp_path, content):
    path = tmp_path / "eval.json"
    path.write_bytes(content)
    with filled(3) as client:
        with pytest.raises(CheckpointError, match=r"eval\.json"):
            run(client, checkpoint=path)
        assert scored(client) == {}

    assert path.read_bytes() == content


@pytest.mark.parametrize("dangling", [True, False])
def test_a_checkpoint_that_is_a_link_is_refused_and_stays_one(tmp_path, dangling):
    """It would be replaced by a file; and one that leads nowhere was said to be in use, for ever."""
    path, target = tmp_path / "link.json", tmp_path / "eval.json"
    path.symlink_to(target)
    with filled(3) as client:
        if not dangling:
            run(client, checkpoint=target, max_items=1)
        with pytest.raises(CheckpointError, match=r"link\.json' is a link; name the file that it leads to: .*eval\.json'"):
            run(client, checkpoint=path)
        result = run(client, checkpoint=target)

    assert path.is_symlink() and result.total_items_processed == (3 if dangling else 2)


def test_all_that_has_arrived_is_in_the_checkpoint_soon_whatever_comes_next(tmp_path):
    """What one answer acknowledges is told item by item, and only the first of them found it time to write."""
    path, told, patience = tmp_path / "eval.json", [], threading.Event()

    def judge(*, input):
        if input == 12:
            for _ in range(500):
                told.append(json.loads(path.read_text())["items_processed"])
                if told[-1] == 12:
                    break
                patience.wait(0.02)
        return 1

    with Interactive(transport=LocalTransport(), dialect="public", flush_interval=0.3) as client:
        record(client, *[trace(number) for number in range(20)])
        run(client, evaluators=[judge], max_concurrency=1, checkpoint=path)

    assert told[-1] == 12


def test_a_checkpoint_of_a_run_that_is_complete_says_so(tmp_path, caplog):
    with filled(3) as client:
        run(client, checkpoint=tmp_path / "eval.json", max_items=1)
        run(client, checkpoint=tmp_path / "eval.json")
        assert not caplog.messages
        record(client, trace(7, timestamp="2999-01-01T00:00:00.000Z"))  # after the bound that was fixed at the start
        again = run(client, checkpoint=tmp_path / "eval.json")

    [told] = caplog.messages
    assert "eval.json" in told and "is complete" in told and "another file" in told
    assert (again.completed, again.total_items_fetched) == (True, 0)


def test_a_checkpoint_of_another_run_stays_as_it_is(tmp_path):
    path = tmp_path / "eval.json"
    with filled(3) as client:
        run(client, checkpoint=path, max_items=1)
        content = path.read_bytes()
        with pytest.raises(CheckpointError, match="scope"):
            run(client, scope="observations", checkpoint=path)
        with pytest.raises(CheckpointError, match="cannot be"):
            run(client, checkpoint=tmp_path)
        with pytest.raises(CheckpointError, match="folder"):
            run(client, checkpoint=tmp_path / "none" / "eval.json")

    assert path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everything")
def test_a_checkpoint_that_may_only_be_read_is_refused_before_any_score(tmp_path):
    path = tmp_path / "eval.json"
    with filled(3) as client:
        run(client, checkpoint=path, max_items=1)
        content = path.read_bytes()
        path.chmod(0o400)
        with pytest.raises(CheckpointError, match="read-only"):
            run(client, checkpoint=path)
        assert len(scored(client)) == 1

    assert path.read_bytes() == content


@pytest.mark.needs("patience")
def test_an_answer_that_comes_after_the_run_does_not_touch_its_checkpoint(tmp_path):
    """The file may be another run's by then."""
    path = tmp_path / "eval.json"
    released = threading.Event()

    class Slow(LocalTransport):
        def send(self, request):
            if self.is_slow and request.method == "POST":
                released.wait(20)
            return super().send(request)

    server = Slow()
    server.is_slow = False
    with filled(3, server) as client:
        server.is_slow = True
        result = run(client, checkpoint=path, time_budget=0.5)
        content = path.read_bytes()
        released.set()
        for thread in threading.enumerate():
            if thread.name == "interactiveai_eval-sender":
                thread.join(20)

    assert result.delivery.pending == 3 and result.resume_token.position is None
    assert path.read_bytes() == content


@pytest.mark.needs("locks")
def test_two_runs_with_one_checkpoint_are_refused(tmp_path):
    """In this process or another, from the first write on; whoever comes later goes on."""
    path, inner = tmp_path / "eval.json", []

    def again(item_id, evaluations):
        with pytest.raises(CheckpointError, match=r"eval\.json' is in use by another") as refused:
            run(client, checkpoint=path)
        inner.append(refused.value)

    with filled(3) as client:
        run(client, checkpoint=path, max_items=1, on_item=again)
        run(client, checkpoint=path, max_items=1, on_item=again)  # from a file that was there
        result = run(client, checkpoint=path)

    assert len(inner) == 2 and result.completed and result.total_items_processed == 1
    assert os.listdir(tmp_path) == ["eval.json"]


HOLDING = """
    import sys, threading
    from interactiveai_eval import Interactive

    def judge(*, input, output):
        print("at work", flush=True)
        threading.Event().wait(60)

    with Interactive.local(sys.argv[1]) as client:
        client.run_batched_evaluation(
            scope="traces", mapper=lambda item: {"input": item.input, "output": item.output}, evaluators=[judge],
            checkpoint=sys.argv[2],
        )
"""


def test_a_checkpoint_that_another_process_has_is_refused_until_that_is_dead(tmp_path):
    store, path = tmp_path / "traces.db", tmp_path / "eval.json"

    def judge(*, input, output):
        return 1.0

    with Interactive.local(store) as client:
        record(client, trace(1))
        program = start(HOLDING, str(store), str(path))
        assert program.stdout.readline() == "at work\n"
        content = path.read_bytes()
        with pytest.raises(CheckpointError, match="is in use by another process; wait for it or name another file"):
            run(client, evaluators=[judge], checkpoint=path)
        assert path.read_bytes() == content
        program.kill()
        program.communicate()
        assert run(client, evaluators=[judge], checkpoint=path).total_items_processed == 1


def test_of_two_runs_that_begin_one_checkpoint_at_once_one_is_refused(tmp_path):
    path, ended = tmp_path / "eval.json", []
    both = threading.Barrier(2)

    def meet(item_id, evaluations):
        both.wait(5)

    def work(client):
        try:
            ended.append(run(client, checkpoint=path, on_item=meet).completed)
        except CheckpointError as error:
            both.abort()
            ended.append("in use" in str(error))
        except threading.BrokenBarrierError:
            ended.append("left")

    with filled(1) as one, filled(1) as other:
        threads = [threading.Thread(target=work, args=(client,)) for client in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(map(str, ended)) == ["True", "left"] and os.listdir(tmp_path) == ["eval.json"]


def test_a_platform_without_locks_has_checkpoints_too(tmp_path):
    out = programs.run(
        """
        import os, sys
        sys.modules["fcntl"] = None
        from interactiveai_eval import Interactive

        with Interactive.local() as client:
            for name in "abc":
                with client.start_as_current_span(name=name):
                    pass
            client.flush()
            for _ in range(3):
                result = client.run_batched_evaluation(
                    scope="traces", mapper=lambda item: {"input": 1, "output": 1}, evaluators=[lambda *, input: 1],
                    checkpoint=sys.argv[1], max_items=2,
                )
                files = "/proc/self/fd"
                print(result.total_items_processed, len(os.listdir(files)) if os.path.isdir(files) else 0)
        """,
        str(tmp_path / "eval.json"),
    )

    assert [line.split()[0] for line in out.splitlines()] == ["2", "1", "0"]
    assert len({line.split()[1] for line in out.splitlines()}) == 1  # no file stays open


def test_a_pipe_is_no_checkpoint(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with filled(1) as client, pytest.raises(CheckpointError, match="no regular file"):
        run(client, checkpoint=tmp_path / "pipe")


STOPPED = """
    import sys, threading
    from interactiveai_eval import BatchEvaluationResumeToken, Interactive

    def mapper(item):
        return {"input": item.input, "output": item.output}

    def judge(*, input, output):
        if input == 20:
            print("waiting", flush=True)
            threading.Event().wait(60)
        return 1.0

    client = Interactive.local(sys.argv[1])
    try:
        client.run_batched_evaluation(
            scope="traces", mapper=mapper, evaluators=[judge], fetch_batch_size=10, max_concurrency=2
        )
    except (KeyboardInterrupt, SystemExit) as stop:
        print(type(stop).__name__, flush=True)
        open(sys.argv[2], "w").write(stop.result.resume_token.to_json())
"""


@pytest.mark.parametrize("number, name", [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "SystemExit")])
def test_a_run_that_is_stopped_by_a_signal_has_a_token_that_goes_on(tmp_path, number, name):
    store, saved = tmp_path / "traces.db", tmp_path / "token.json"
    with Interactive.local(store) as client:
        record(client, *[trace(each, each // 3) for each in range(40)])
    program = start(STOPPED, str(store), str(saved))
    assert program.stdout.readline() == "waiting\n"
    program.send_signal(number)
    out, err = program.communicate(timeout=30)
    assert out == f"{name}\n", err

    def judge(*, input, output):
        return 1.0

    with Interactive.local(store) as client:
        token = BatchEvaluationResumeToken.from_json(saved.read_text())
        rest = run(client, evaluators=[judge], resume_from=token)
        every = scored(client)

    assert rest.completed and "t020" in rest.item_evaluations and rest.total_items_processed < 40
    assert len(every) == 40 and set(every.values()) == {1}


AWAITED = """
    import asyncio, sys
    from interactiveai_eval import Interactive

    async def judge(*, input, output):
        if input == 5:
            print("waiting", flush=True)
            await asyncio.sleep(60)
        return 1.0

    async def main(client):
        try:
            await client.run_batched_evaluation_async(
                scope="traces", mapper=lambda item: {"input": item.input, "output": item.output}, evaluators=[judge],
                max_concurrency=2, checkpoint=sys.argv[2],
            )
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit) as stop:
            print(stop.result.resume_token.items_processed, flush=True)
            raise

    asyncio.run(main(Interactive.local(sys.argv[1])))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_awaited_run_that_is_stopped_has_its_checkpoint_and_its_result(tmp_path, number):
    store, path = tmp_path / "traces.db", tmp_path / "eval.json"
    with Interactive.local(store) as client:
        record(client, *[trace(each) for each in range(8)])
    program = start(AWAITED, str(store), str(path))
    assert program.stdout.readline() == "waiting\n"
    program.send_signal(number)
    out, err = program.communicate(timeout=30)

    assert program.returncode != 0 and out, err
    assert BatchEvaluationResumeToken.from_json(path.read_bytes()).items_processed == int(out) < 8

    def judge(*, input, output):
        return 1.0

    with Interactive.local(store) as client:
        assert run(client, evaluators=[judge], checkpoint=path).completed
        every = scored(client)
    assert len(every) == 8 and set(every.values()) == {1}


def test_items_whose_evaluators_are_cancelled_along_with_the_run_are_not_done(tmp_path):
    """`asyncio.run` cancels all tasks at Ctrl-C, evaluators before the run or after it: none of them has failed."""
    path, waiting = tmp_path / "eval.json", []

    async def judge(*, input, output):
        if waiting is not None:
            waiting.append(input)
            await asyncio.sleep(60)
        return 1.0

    async def main(client):
        settings = {"scope": "traces", "mapper": mapper, "evaluators": [judge], "checkpoint": path}
        task = asyncio.ensure_future(client.run_batched_evaluation_async(**settings))
        while len(waiting) < 20:
            await asyncio.sleep(0.01)
        for each in asyncio.all_tasks() - {asyncio.current_task()}:
            each.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with filled(20) as client:
        asyncio.run(main(client))
        waiting = None
        result = run(client, evaluators=[judge], checkpoint=path)
        every = scored(client)

    assert result.total_items_processed == 20 and len(every) == 20


KILLED = """
    import sys, time
    from interactiveai_eval import Interactive

    def mapper(item):
        return {"input": item.input, "output": item.output}

    def exact(*, input, output):
        time.sleep(0.004)
        return float(str(input) == output)

    with Interactive.local(sys.argv[1]) as client:
        print("begun", flush=True)
        result = client.run_batched_evaluation(
            scope="traces", mapper=mapper, evaluators=[exact], checkpoint=sys.argv[2],
            fetch_batch_size=10, max_concurrency=4,
        )
        print("ended", result.completed, flush=True)
"""
KILLS = 30
ITEMS = 6000


def test_runs_that_are_killed_again_and_again_end_with_the_scores_of_an_undisturbed_one(tmp_path):
    """SIGKILL at thirty random moments, all of them before the end; then once more to the end."""
    store, checkpoint = tmp_path / "traces.db", tmp_path / "eval.json"
    with Interactive.local(store) as client:
        record(client, *[trace(number, number // 7) for number in range(ITEMS)])
    copy = tmp_path / "undisturbed.db"
    copy.write_bytes(store.read_bytes())
    dice, reached = random.Random(7), set()
    for _ in range(KILLS):
        program = start(KILLED, str(store), str(checkpoint))
        assert program.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            program.communicate(timeout=dice.uniform(0.0, 0.3))
        program.kill()
        program.communicate()
        assert program.returncode == -signal.SIGKILL
        if checkpoint.exists():
            token = BatchEvaluationResumeToken.from_json(checkpoint.read_bytes())
            reached.add(token.items_processed)
    assert max(reached) > 0 and len(reached) > 5  # they were killed at work, and went on from where they were

    program = start(KILLED, str(store), str(checkpoint))
    out, err = program.communicate(timeout=120)
    assert out == "begun\nended True\n", err

    def exact(*, input, output):
        return float(str(input) == output)

    with Interactive.local(copy) as client:
        run(client, evaluators=[exact], run_id=token.run_id)
        undisturbed = stored_scores(client)
    with Interactive.local(store) as client:
        found = stored_scores(client)
    assert found == undisturbed and len(found) == ITEMS


DELIVERING = """
    import sys
    from threading import Event
    from interactiveai_eval import Interactive
    from interactiveai_eval.transports.local import LocalTransport

    judged, asked, asked_for_more = [], [], Event()

    class Slow(LocalTransport):
        # Takes the first scores once all items are judged and more were asked for; never answers what comes next.
        def send(self, request):
            if request.path.endswith("/ingestion"):
                asked.append(request)
                is_first = asked[0] is request
                asked_for_more.wait(20)
                if not is_first:
                    print("kept", len(judged), flush=True)
                    Event().wait(60)
            answer = super().send(request)
            if len(judged) == 120 and request.method == "GET":
                asked_for_more.set()
            return answer

    def exact(*, input, output):
        judged.append(input)
        return float(str(input) == output)

    with Interactive(transport=Slow(sys.argv[1]), dialect="public", flush_interval=60) as client:
        client.run_batched_evaluation(
            scope="traces", mapper=lambda item: {"input": item.input, "output": item.output}, evaluators=[exact],
            checkpoint=sys.argv[2], fetch_batch_size=200, max_items=120, max_concurrency=1,
        )
"""


def test_what_arrives_in_a_long_final_delivery_is_in_the_checkpoint_soon_and_a_kill_then_repeats_nothing_of_it(tmp_path):
    """Nothing is left to do but to wait for the server; what it has acknowledged is written all the same."""
    store, path, judged = tmp_path / "traces.db", tmp_path / "eval.json", []
    with filled(140, LocalTransport(store)):
        pass
    program = start(DELIVERING, str(store), str(path))
    assert program.stdout.readline() == "kept 120\n"
    for _ in range(500):
        if json.loads(path.read_text())["items_processed"] == 100:
            break
        threading.Event().wait(0.02)
    program.kill()
    program.communicate()
    assert BatchEvaluationResumeToken.from_json(path.read_bytes()).items_processed == 100

    def judge(*, input, output):
        judged.append(input)
        return float(str(input) == output)

    judge.__name__ = "exact"
    with Interactive(transport=LocalTransport(store), dialect="public") as client:
        result = run(client, evaluators=[judge], checkpoint=path)
        every = scored(client)
    assert len(judged) == 40 and result.delivery.acknowledged == 40
    assert len(every) == 140 and set(every.values()) == {1}


def test_an_item_hook_that_cannot_be_called_is_refused_before_any_work():
    with filled(1) as client, pytest.raises(ArgumentError, match=r"on_item=.*: is called with an item's id and"):
        run(client, on_item=lambda evaluations: None)
