"""What batch evaluation promises, claim by claim: servers that do as they like, user code that returns what it likes.

Each claim is the opposite of a defect that was seen in the SDK which this package replaces.
"""
from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import Counter
from urllib.parse import unquote

import pytest

from interactiveai_eval import (
    ApiError,
    ArgumentError,
    BatchEvaluationResumeToken,
    Evaluation,
    EvaluatorInputs,
    FakeTransport,
    Interactive,
    Request,
    Response,
    TransportError,
)
from interactiveai_eval.testing import ManualClock
from interactiveai_eval.transports.local import LocalTransport

from .test_batch import Ailing, exact, filled, mapper, moment, record, run, scored, stored_scores, trace


class Bent(LocalTransport):
    """A server with habits: `order` in which it lists whatever it is asked, the most rows it gives (`cap`), what
    happens before its nth list request (`before(n)`, which may return a status or raise) and to its answers.
    """

    def __init__(self, *, order=None, cap=None, before=None, answer=None):
        super().__init__()
        self.order, self.cap, self.before, self.answer = order, cap, before, answer
        self.queries = []

    def send(self, request):
        listed = request.path.rsplit("/", 1)[-1] in ("traces", "observations")
        if request.method != "GET" or not listed:
            return super().send(request)
        query = dict(request.query)
        self.queries.append(query)
        status = None if self.before is None else self.before(len(self.queries))
        if status:
            return Response(status, body=b'{"message": "no"}')
        if self.order is not None:
            query["orderBy"] = self.order
        if self.cap is not None:
            query["limit"] = str(min(int(query["limit"]), self.cap))
        response = super().send(
            Request(request.method, request.path, query=tuple(query.items()), headers=request.headers)
        )
        if self.answer is None or response.status != 200:
            return response
        return Response(200, body=json.dumps(self.answer(json.loads(response.body))).encode())


def impatient(transport):
    """A client for which waits pass at once."""
    return Interactive(transport=transport, dialect="public", clock=ManualClock(jumps=True))


def ids(count, first=0):
    return {f"t{number:03}" for number in range(first, first + count)}


def all_once(client, count, first=0):
    every = scored(client)
    return {id for id, _ in every} == ids(count, first) and set(every.values()) == {1}


def fails_at(number):
    """A server that breaks down at its nth list request and comes back with `up`."""
    state = {"down": True}
    server = Bent(before=lambda n: 503 if state["down"] and n >= number else None)
    return server, lambda: state.update(down=False)


# -- resuming ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [None, "timestamp.desc"])
@pytest.mark.parametrize("spread", [1, 4, 20])
@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_page_that_fails_in_the_middle_loses_and_repeats_nothing_whatever_the_order_and_the_ties(order, spread, failing):
    """D13, D14, D17; FAULTS D06: 20 traces, pages of 5, `spread` at one time; the server may list newest first."""
    server, up = fails_at(failing)
    server.order = order
    seen = Counter()

    def mapping(item):
        seen[item.id] += 1
        return mapper(item)

    with Interactive(transport=server, dialect="public") as client:
        record(client, *[trace(number, number // spread) for number in range(20)])
        first = run(client, mapper=mapping, fetch_batch_size=5, max_retries=0)
        assert not first.completed and first.resume_token is not None
        up()
        second = run(client, mapper=mapping, fetch_batch_size=5, resume_from=first.resume_token)

        assert second.completed and all_once(client, 20)
        assert first.total_items_processed + second.total_items_processed == 20
    assert set(seen.values()) == {1}


def test_observations_are_resumed_by_the_column_that_servers_know():
    """D15: a server that refuses unknown columns; 40 observations, a quarter done by the first call."""
    with Interactive.local() as client:
        for number in range(40):
            with client.start_as_current_observation(name="step", input=number, output=str(number)):
                pass
        client.flush()
        first = run(client, scope="observations", fetch_batch_size=5, max_items=10)
        second = run(client, scope="observations", fetch_batch_size=5, resume_from=first.resume_token)

    assert (first.total_items_processed, second.total_items_processed) == (10, 30)
    assert not set(first.item_evaluations) & set(second.item_evaluations)


def test_failed_items_before_and_after_the_last_success_are_in_the_token_and_evaluated_on_resume():
    """D16."""
    mapping = Ailing(3, 9)
    with filled(20) as client:
        first = run(client, mapper=mapping, max_items=10)
        assert first.resume_token.failed_ids == ["t003", "t009"]
        mapping.inputs = ()
        run(client, mapper=mapping, resume_from=first.resume_token)

        assert all_once(client, 20)


def test_a_failure_on_the_first_page_gives_a_token_that_asks_for_no_empty_time():
    """D17."""
    server, up = fails_at(1)
    with filled(4, server) as client:
        first = run(client, max_retries=0)
        up()
        second = run(client, resume_from=first.resume_token)

    assert second.total_items_processed == 4
    assert not [query for query in server.queries if '"value": ""' in query.get("filter", "")]


def test_a_resumed_run_that_fails_at_once_keeps_position_and_counts():
    """D17: tokens never move backwards."""
    server, up = fails_at(4)
    with filled(12, server) as client:
        first = run(client, fetch_batch_size=3, max_retries=0)
        second = run(client, fetch_batch_size=3, max_retries=0, resume_from=first.resume_token)
        assert second.resume_token == first.resume_token and second.resume_token.items_processed > 0
        up()
        third = run(client, fetch_batch_size=3, resume_from=second.resume_token)

        assert third.completed and all_once(client, 12)


def test_the_filter_of_the_first_call_holds_for_all_resumed_ones():
    """D07, D08, D18: in the documented object form, and not repeated."""
    with Interactive.local() as client:
        record(client, *[trace(number, tags=["in"] if number % 2 else []) for number in range(12)])
        result = run(client, filter='{"tags": ["in"]}', max_items=2)
        done = set(result.item_evaluations)
        while result.resume_token is not None:
            assert json.loads(result.resume_token.filter)[0]["column"] == "tags"
            result = run(client, max_items=2, resume_from=result.resume_token)
            done |= set(result.item_evaluations)

    assert done == {f"t{number:03}" for number in range(1, 12, 2)}


@pytest.mark.parametrize("raised", [SystemExit(3), GeneratorExit(), StopIteration(), KeyError("x"), None])
def test_what_an_evaluator_raises_never_ends_the_batch(raised):
    """D19: also a CancelledError."""
    from asyncio import CancelledError

    def ill(*, input, output):
        raise CancelledError if raised is None else raised

    with filled(3) as client:
        result = run(client, evaluators=[exact, ill])

    assert (result.total_items_processed, result.total_evaluations_failed, result.completed) == (3, 3, True)


def test_a_token_travels_as_json_and_stays_below_4_kb():
    """D19; FAULTS D13."""
    with filled(300) as client:
        token = run(client, max_items=290).resume_token

    text = token.to_json()
    assert len(text) < 4096 and BatchEvaluationResumeToken.from_json(text) == token
    with pytest.raises(ValueError, match="checksum"):
        BatchEvaluationResumeToken.from_json(text.replace('"scope": "traces"', '"scope": "observations"'))


def test_a_token_resumes_what_others_have_changed_meanwhile():
    """FAULTS D11: rows came before and behind the position, and one that was left is gone."""
    with filled(12) as client:
        first = run(client, fetch_batch_size=4, max_items=6)
        done = set(first.item_evaluations)
        left = sorted(ids(12) - done)
        record(client, trace(100, 0), {**trace(0, 3), "id": left[-1], "tags": ["changed"]})
        second = run(client, resume_from=first.resume_token)

        assert set(second.item_evaluations) >= set(left) and not done & set(second.item_evaluations)


# -- servers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble", [ConnectionRefusedError("refused"), TransportError("timed out"), 408, 409, 425, 429, 500, 502, 503, 504]
)
def test_trouble_on_the_way_is_tried_again(trouble):
    """D20."""

    def before(number):
        if number == 2:
            if isinstance(trouble, int):
                return trouble
            raise TransportError(str(trouble)) if isinstance(trouble, OSError) else trouble
        return None

    with impatient(Bent(before=before)) as client:
        record(client, *[trace(number) for number in range(6)])
        result = run(client, fetch_batch_size=3)

    assert result.completed and result.total_items_processed == 6


def test_unreadable_json_is_tried_again_too():
    """D20."""
    spoilt = []

    class Torn(LocalTransport):
        def send(self, request):
            response = super().send(request)
            if request.method == "GET" and request.path.endswith("/traces") and not spoilt:
                spoilt.append(request)
                return Response(200, body=response.body[:-9])
            return response

    with impatient(Torn()) as client:
        record(client, *[trace(number) for number in range(4)])
        result = run(client)

    assert spoilt and result.completed and result.total_items_processed == 4


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_a_refusal_for_good_ends_the_run_with_a_token_and_is_not_tried_again(status):
    """D20: and the number of attempts that is told is the one that was made."""
    server = Bent(before=lambda n: status if n > 2 else None)
    with Interactive(transport=server, dialect="public") as client:
        record(client, *[trace(number) for number in range(12)])
        result = run(client, fetch_batch_size=3)

    assert not result.completed and result.resume_token is not None and len(server.queries) == 3
    assert "after 1 attempt)" in result.item_failures[-1].message


@pytest.mark.parametrize("cap", [1, 5, 100])
def test_a_server_that_gives_smaller_pages_than_it_is_asked_is_read_to_the_end(cap):
    """D21; FAULTS D07, D08: 12 traces, pages of 10 cut to 5."""
    with filled(12, Bent(cap=cap)) as client:
        result = run(client, fetch_batch_size=10)

        assert result.completed and not result.has_more_items and all_once(client, 12)


def test_no_more_rows_are_asked_than_servers_give():
    """D21: a page size above the documented most is brought down, not refused."""
    server = Bent(before=lambda n: 400 if int(server.queries[-1]["limit"]) > 100 else None)
    with filled(3, server) as client:
        assert run(client, fetch_batch_size=1000).total_items_processed == 3


def test_rows_that_arrive_between_pages_are_not_counted_twice_and_shift_nothing():
    """D22; FAULTS D03: newer ones and older ones."""
    arrived = []

    def before(number):
        server.before = None
        arrived.append(number)
        record(client, trace(200 + number, 0), trace(300 + number, 3_000_000))
        server.before = before

    server = Bent()
    with filled(12, server) as client:
        server.before = before
        result = run(client, fetch_batch_size=3)
        every = scored(client)

    assert len(arrived) > 3 and ids(12) <= {id for id, _ in every} and set(every.values()) == {1}
    assert result.total_items_processed == len(result.item_evaluations) == len(every)


def test_rows_that_vanish_between_pages_take_no_others_along():
    """FAULTS D04: they leave the filter, which for a reader is the same; a reader by page number skips one for each."""
    gone = []

    def before(number):
        if number > 1 and len(gone) < 4:
            server.before = None
            gone.append(f"t{len(gone):03}")
            record(client, {**trace(len(gone) - 1), "tags": ["out"]})
            server.before = before

    server = Bent()
    with Interactive(transport=server, dialect="public") as client:
        record(client, *[trace(number, tags=["in"]) for number in range(20)])
        server.before = before
        result = run(client, filter={"tags": ["in"]}, fetch_batch_size=3)

    assert len(gone) == 4 and set(result.item_evaluations) >= ids(16, first=4)


def test_a_row_that_is_edited_while_others_are_read_is_evaluated_once():
    """FAULTS D05: its content changes, not its time."""

    def before(number):
        server.before = None
        record(client, {**trace(0), "name": f"edit {number}"}, {**trace(11, 3), "name": f"edit {number}"})
        server.before = before

    server = Bent()
    with filled(12, server) as client:
        server.before = before
        run(client, fetch_batch_size=3)

        assert all_once(client, 12)


def test_rows_that_come_twice_on_a_page_are_evaluated_once():
    """FAULTS D01."""
    with filled(5, Bent(answer=lambda page: {**page, "data": [row for row in page["data"] for _ in (1, 2)]})) as client:
        result = run(client)

        assert (result.total_items_fetched, result.total_items_processed) == (5, 5) and all_once(client, 5)


def test_a_thousand_equal_times_are_read_in_small_pages():
    """FAULTS D06."""
    with Interactive.local() as client:
        record(client, *[trace(number, 7) for number in range(1000)])
        result = run(client, keep_evaluations=False)

        assert result.total_items_processed == 1000 and len(scored(client)) == 1000


@pytest.mark.parametrize("clock", ["2015-11-20T10:00:00Z", "2035-11-20T10:00:00Z"])
def test_a_clock_that_is_ten_years_off_loses_nothing(clock):
    """FAULTS D14, D15."""
    with Interactive(transport=LocalTransport(), dialect="public", clock=ManualClock(clock)) as client:
        record(client, *[trace(number) for number in range(12)])
        first = run(client, fetch_batch_size=3, max_items=5)
        run(client, fetch_batch_size=3, resume_from=first.resume_token)

        assert all_once(client, 12)


def test_times_are_utc_whatever_the_zone_of_the_machine_and_the_season(monkeypatch):
    """FAULTS D19: an hour that comes twice, a leap day, the turn of the year."""
    import time

    times = ["2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z", "2024-02-29T23:59:59.999Z", "2025-12-31T23:59:59.999Z"]
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        with Interactive.local() as client:
            record(client, *[{**trace(number), "timestamp": each} for number, each in enumerate(times)])
            first = run(client, fetch_batch_size=1, max_items=2)
            second = run(client, fetch_batch_size=1, resume_from=first.resume_token)

            assert all_once(client, 4)
        assert [*first.item_evaluations, *second.item_evaluations] == ["t002", "t000", "t001", "t003"]
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.parametrize("page", [2, 50])
def test_a_server_with_cursors_only_is_read_by_them_and_asked_for_input_and_output(page):
    """The only list of observations of newer servers; without `fields` it leaves out what mappers need."""
    rows = [
        {"id": f"o{n}", "traceId": f"t{n}", "startTime": moment(n), "input": n, "output": str(n)} for n in range(9)
    ]
    stored = []

    def handler(request):
        query = dict(request.query)
        if request.method == "POST":
            stored.extend(event["body"] for event in json.loads(request.body)["batch"])
            events = json.loads(request.body)["batch"]
            return Response(207, body=json.dumps({"successes": [{"id": e["id"], "status": 201} for e in events], "errors": []}).encode())
        if not request.path.endswith("/v2/observations"):
            return Response(404, body=b'{"message": "no such endpoint"}')
        asked = json.loads(query.get("filter", "[]"))
        found = [
            row
            for row in reversed(rows)
            if all(row["id"] == each["value"] for each in asked if each["column"] == "id")
            and query.get("fromStartTime", "") <= row["startTime"] and row["startTime"] < query.get("toStartTime", "9")
        ]
        start = int(query.get("cursor", 0))
        end = start + int(query["limit"])
        wanted = query.get("fields", "core").split(",")
        data = [row if "io" in wanted else {**row, "input": None, "output": None} for row in found[start:end]]
        meta = {"cursor": str(end) if end < len(found) else None}
        return Response(200, body=json.dumps({"data": data, "meta": meta}).encode())

    broken = {2, 7, 8}

    def mapping(item):
        if item.input in broken:
            raise ValueError("not today")
        return mapper(item)

    with Interactive(transport=FakeTransport(handler), dialect="public") as client:
        settings = {"scope": "observations", "fetch_batch_size": page, "mapper": mapping}
        first = run(client, max_items=4, **settings)
        broken.discard(7)
        second = run(client, resume_from=first.resume_token, **settings)
        broken.clear()
        rows.remove(next(row for row in rows if row["id"] == "o8"))  # and that one is gone meanwhile
        third = run(client, resume_from=second.retry_token(), **settings)

    assert first.failed_item_ids == ["o8", "o7"] and second.failed_item_ids == ["o8", "o2"]
    assert (third.total_items_processed, third.failed_item_ids, third.retry_token()) == (1, ["o8"], None)
    assert Counter(score["observationId"] for score in stored) == Counter(row["id"] for row in rows)
    assert all(score["value"] == 1.0 and score["traceId"] == "t" + score["observationId"][1:] for score in stored)


# -- counting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "count, most, page, attempted, more",
    [(12, 12, 6, 12, False), (12, 3, 50, 3, True), (12, 4, 12, 4, True), (12, 5, 4, 5, True), (12, 0, 5, 0, False)],
)
def test_max_items_counts_attempts_and_more_is_what_is_left(count, most, page, attempted, more):
    """D23: three of the items fail, and count as attempted."""

    def mapping(item):
        if item.input in (0, 1, 4):
            raise ValueError("no")
        return mapper(item)

    with filled(count) as client:
        result = run(client, mapper=mapping, max_items=most, fetch_batch_size=page)

    assert result.total_items_processed + result.total_items_failed == result.total_items_fetched == attempted
    assert (result.has_more_items, result.completed) == (more, True)
    if attempted:
        rate = 100 * result.total_items_processed / attempted
        assert f"Success rate: {rate:.1f}%" in str(result)


def test_an_aligned_end_costs_no_empty_request():
    """D23: 12 items, pages of 3. On a busy machine a page may be slow by its clock, and the next be asked for in two."""
    server = Bent()
    with Interactive(transport=server, dialect="public", clock=ManualClock(jumps=True)) as client:
        record(client, *[trace(number) for number in range(12)])
        run(client, fetch_batch_size=3)

    assert len(server.queries) <= 1 + 4  # one looks for the newest


def test_an_unwanted_run_asks_for_nothing():
    """D23."""
    server = Bent()
    with filled(12, server) as client:
        result = run(client, max_items=0)

    assert server.queries == [] and result.completed and not result.has_more_items


# -- what user code returns --------------------------------------------------------------------------------------------


def returned_by(value):
    """The evaluations of one trace, and the result, for an evaluator that returns `value`."""
    with filled(1) as client:
        result = run(client, evaluators=[lambda *, input, output: value])
    return result.item_evaluations.get("t000"), result


@pytest.mark.parametrize(
    "value, found",
    [
        ({"name": "n", "value": 1}, [("n", 1)]),
        ([Evaluation(name="a", value=1), {"name": "b", "value": 2}], [("a", 1), ("b", 2)]),
        (0.5, [("<lambda>", 0.5)]),
        (True, [("<lambda>", True)]),
        ("good", [("<lambda>", "good")]),
        ((0.5, "half"), [("<lambda>", 0.5)]),
        (None, []),
        ((each for each in [1, 2]), [("<lambda>", 1), ("<lambda>", 2)]),
        ({"name": "n", "value": None}, [("n", None)]),
        ({"name": "n", "value": 1, "metadata": ["a", "list"]}, [("n", 1)]),
    ],
)
def test_documented_ways_to_return_evaluations_all_count(value, found):
    """D02, D29, D30: none fails the item; None is kept and neither sent nor counted."""
    evaluations, result = returned_by(value)

    assert [(each.name, each.value) for each in evaluations] == found
    created = sum(each is not None for _, each in found)
    assert result.total_scores_created == result.delivery.acknowledged == created
    assert (result.total_items_failed, result.total_evaluations_failed) == (0, 0)


@pytest.mark.parametrize("value", [object(), {"value": 1}, {"name": "n"}, [object()], b"bytes", [1, object()]])
def test_what_is_no_evaluation_is_a_failure_of_its_evaluator_alone(value):
    """D29."""
    evaluations, result = returned_by(value)

    assert evaluations == [] and result.total_scores_created == 0
    assert (result.total_items_processed, result.total_items_failed, result.total_evaluations_failed) == (1, 0, 1)
    assert result.item_failures[0].evaluator == "<lambda>" and result.item_failures[0].message


@pytest.mark.parametrize(
    "mapping",
    [
        lambda trace: {"input": trace.input, "output": trace.output},
        lambda item: EvaluatorInputs(input=item["input"], output=item["output"]),
        lambda *, item: mapper(item),
        lambda **kwargs: mapper(kwargs["item"]),
        type("Mapper", (), {"__call__": lambda self, whatever: mapper(whatever)})(),
    ],
)
def test_a_mapper_may_name_its_argument_as_it_likes_and_return_a_dict(mapping):
    """D03, D28."""
    with filled(2) as client:
        assert run(client, mapper=mapping).total_items_processed == 2


@pytest.mark.parametrize("returned", [None, {}, {"input": 1}, {"input": 1, "output": 2, "more": 3}, 5])
def test_what_a_mapper_may_not_return_fails_the_item_and_blames_no_evaluator(returned):
    """D28: with evaluators and without."""
    for evaluators in ([exact], []):
        with filled(2) as client:
            result = run(client, mapper=lambda item: returned, evaluators=evaluators)
        assert (result.total_items_failed, result.total_evaluations_failed) == (2, 0)
        assert {failure.stage for failure in result.item_failures} == {"mapper"}


def test_a_mapper_that_holds_the_loop_past_its_timeout_has_timed_out():
    """As a task and an evaluator do: that its value came in the end makes it no success."""
    clock = ManualClock()

    async def holds(item):
        clock.advance(6 if item["id"] == "t000" else 1)
        return mapper(item)

    with filled(2) as store, Interactive(transport=store._transport, dialect="public", clock=clock) as client:
        result = run(client, mapper=holds, evaluator_timeout=5, max_concurrency=1)

    (failure,) = result.item_failures
    assert (failure.item_id, failure.stage) == ("t000", "mapper")
    assert failure.message == "the mapper did not finish within 5 s"


@pytest.mark.parametrize(
    "composite",
    [
        lambda *, item, evaluations: {"name": "c", "value": item.timestamp.year},
        lambda *, input, output, expected_output, metadata, evaluations: Evaluation(name="c", value=len(evaluations)),
        lambda *, evaluations: [Evaluation(name="c", value=1), {"name": "d", "value": 2}],
        lambda **kwargs: sorted(kwargs)[0],
    ],
)
def test_a_composite_gets_what_it_names_and_all_that_it_gives_is_kept(composite):
    """D04, D27."""
    with filled(2) as client:
        result = run(client, composite_evaluator=composite)
        stored = len(stored_scores(client))

    row = result.evaluator_stats[-1]
    assert (row.total_runs, row.failed_runs, result.total_evaluations_failed) == (2, 0, 0)
    assert result.total_composite_scores_created == row.total_scores_created
    assert sum(map(len, result.item_evaluations.values())) == stored == 2 + row.total_scores_created


def test_failures_of_a_composite_are_counted_in_a_row_of_its_own():
    """D27: all or nothing for an item."""

    def bad(*, evaluations):
        return [Evaluation(name="c", value=1), object()]

    with filled(3) as client:
        result = run(client, composite_evaluator=bad)
        assert {name for _, name in scored(client)} == {"exact"}

    assert (result.total_evaluations_failed, result.total_composite_scores_created) == (3, 0)
    assert (result.evaluator_stats[-1].name, result.evaluator_stats[-1].failed_runs) == ("bad", 3)
    assert all([each.name for each in found] == ["exact"] for found in result.item_evaluations.values())


def test_two_evaluators_of_one_name_have_a_row_and_a_score_each():
    """D26."""
    with filled(3) as client:
        result = run(client, evaluators=[lambda *, input: 1, lambda *, input: 2])
        assert len(stored_scores(client)) == 6

    assert [(row.name, row.total_runs) for row in result.evaluator_stats] == [("<lambda>", 3), ("<lambda>#2", 3)]


def test_evaluators_may_name_the_item_its_trace_and_its_duration():
    """CONTRACT section 2."""
    seen = []

    def look(*, item, trace_id, duration_seconds):
        seen.append((item.id, trace_id, duration_seconds))
        return 1

    with Interactive.local() as client:
        with client.start_as_current_observation(name="root", input=1, output="1") as root:
            pass
        client.flush()
        run(client, evaluators=[look])
        run(client, scope="observations", evaluators=[look])

    assert [(item, found) for item, found, _ in seen] == [(root.trace_id,) * 2, (root.id, root.trace_id)]
    assert all(seconds >= 0 for _, _, seconds in seen)


def test_the_same_run_id_overwrites_and_a_fresh_run_does_not():
    """D31."""
    with filled(3) as client:
        for run_id in ("nightly", "nightly", None, None):
            run(client, run_id=run_id)

        assert set(scored(client).values()) == {3}  # of "nightly", and of each fresh one


def test_numbers_that_are_none_are_never_sent_and_are_counted():
    with filled(1) as client:
        result = run(client, evaluators=[lambda *, input: [math.nan, math.inf, -math.inf, 10**400, 1]])

        assert [value for _, _, value in stored_scores(client).values()] == [1]
    assert (result.delivery.acknowledged, result.delivery.skipped) == (1, 4)


# -- pace, memory, noise -----------------------------------------------------------------------------------------------


def test_an_item_of_a_later_page_need_not_wait_for_the_slowest_of_an_earlier_one():
    """D35: pages are no barriers, and are fetched while others are evaluated."""
    reached = threading.Event()

    def judge(*, input, output):
        if input == 0:
            assert reached.wait(20), "the next pages wait for this item"
        if input == 7:
            reached.set()
        return 1.0

    with filled(9) as client:
        result = run(client, evaluators=[judge], fetch_batch_size=3, max_concurrency=3)

    assert result.total_scores_created == 9


def test_only_a_few_pages_are_fetched_ahead():
    """D35, D68: however slow evaluating is, memory holds some pages, not all."""
    server, released, fetched = Bent(), threading.Event(), []

    def judge(*, input, output):
        if not fetched:
            threading.Timer(0.3, lambda: (fetched.append(len(server.queries)), released.set())).start()
        released.wait(20)
        return 1.0

    with filled(60, server) as client:
        run(client, evaluators=[judge], fetch_batch_size=3, max_concurrency=2)

    assert fetched[0] <= 6


def test_without_kept_evaluations_nothing_in_the_result_grows_with_the_run():
    """D68."""
    sizes = {}
    for count in (20, 200):
        with filled(count) as client:
            result = run(client, keep_evaluations=False)
        sizes[count] = sum(len(value) for _, value in result.items() if isinstance(value, (list, dict)))
        assert result.total_items_processed == count

    assert sizes[20] == sizes[200]


def test_a_recorded_traceback_begins_in_the_users_code():
    """D69: no "no running event loop" before it, in coroutines and in plain functions."""

    async def ill(*, output):
        raise KeyError("own")

    def bad(item):
        raise KeyError("own")

    with filled(1) as client:
        result = run(client, evaluators=[ill])
        mapped = run(client, mapper=bad)

    for failure in (*result.item_failures, *mapped.item_failures):
        assert failure.traceback.startswith("Traceback (most recent call last):\n  File \"" + __file__)
        assert "event loop" not in failure.traceback and failure.traceback.count("Traceback") == 1


def test_many_failures_are_one_line_in_the_log_and_all_in_the_result(caplog):
    """D70."""
    def ill(*, output):
        raise RuntimeError("judge is ill")

    def mapping(item):
        if item.input % 2:
            raise ValueError("no")
        return mapper(item)

    with caplog.at_level(logging.DEBUG), filled(50) as client:
        result = run(client, mapper=mapping, evaluators=[ill])

    assert len(caplog.records) <= 3
    assert len(result.failed_item_ids) == 25 and len(result.item_failures) == 50
    assert all(failure.item_id and failure.message for failure in result.item_failures)


def test_verbose_shows_how_far_it_is_and_leaves_logging_alone(capsys):
    """D06."""
    before = logging.getLogger("interactiveai_eval").level, list(logging.getLogger("interactiveai_eval").handlers)
    with filled(5) as client:
        run(client, verbose=True)
        shown = capsys.readouterr()
        run(client)

    assert "evaluating traces: 5 items" in shown.err and shown.out == "" and capsys.readouterr().err == ""
    assert before == (logging.getLogger("interactiveai_eval").level, list(logging.getLogger("interactiveai_eval").handlers))


def test_a_filter_that_makes_no_sense_never_widens_the_run():
    """D07: a resumed token with one, too."""
    for wrong in ("{nonsense", "5", '{"tagz": ["a"]}', {"tags": {"operator": "~", "value": 1}}, [{"column": "tags"}]):
        server = Bent()
        with filled(2, server) as client:
            with pytest.raises(ArgumentError, match="filter"):
                run(client, filter=wrong)
            token = BatchEvaluationResumeToken(
                scope="traces",
                filter=wrong if isinstance(wrong, str) else json.dumps(wrong),
                last_processed_timestamp="",
                last_processed_id="",
                items_processed=0,
            )
            with pytest.raises(ArgumentError, match="filter"):
                run(client, resume_from=token)
        assert server.queries == []


def test_bounds_and_filters_reach_the_server_as_valid_json():
    server = Bent()
    with filled(6, server) as client:
        run(client, filter={"name": {"operator": "=", "value": 'a "quoted" name'}}, fetch_batch_size=2)

    for query in server.queries:
        for condition in json.loads(unquote(query["filter"])):
            assert set(condition) >= {"type", "column", "operator", "value"}


def test_with_tracing_off_items_are_evaluated_and_their_scores_counted_as_skipped():
    store = LocalTransport()
    with Interactive(transport=store, dialect="public") as client:
        record(client, *[trace(number) for number in range(3)])
        result = run(Interactive(transport=store, dialect="public", tracing_enabled=False))

        assert scored(client) == {}
    assert (result.total_items_processed, result.total_scores_created, result.delivery.skipped) == (3, 0, 3)
    assert result.completed and result.resume_token is None


def test_the_first_request_that_is_refused_for_good_is_raised():
    with filled(2, Bent(before=lambda n: 403)) as client, pytest.raises(ApiError) as refused:
        run(client)

    assert refused.value.status_code == 403 and refused.value.result.resume_token is not None


class Streaming(LocalTransport):
    """Has two requests on their way at once, and looks at a checkpoint before each score: as it moves, or a while after."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.seen = []

    def send_each(self, requests):
        under_way = []
        for request in requests:
            under_way.append(request)
            if len(under_way) == 2:
                yield under_way[0], self.send(under_way.pop(0))
        for request in under_way:
            yield request, self.send(request)

    def send(self, request):
        if request.path.endswith("/scores"):
            last = time.monotonic() + 0.1
            while self.processed() == max(self.seen, default=-1) and time.monotonic() < last:
                time.sleep(0.001)
            self.seen.append(self.processed())
        return super().send(request)

    def processed(self):
        return json.loads(self.path.read_text())["items_processed"]


def test_a_checkpoint_moves_while_scores_go_out_in_one_stream(tmp_path):
    """A stream of scores may last as long as the run."""
    server = Streaming(tmp_path / "run.json")
    filled(30, server)
    with Interactive(transport=server, project=("o", "p")) as client:
        result = client.run_batched_evaluation(
            scope="traces",
            mapper=mapper,
            evaluators=[exact],
            checkpoint=server.path,
            fetch_batch_size=10,
            max_concurrency=1,  # scores come in the order of the items
        )

    assert result.delivery.acknowledged == 30
    assert 10 <= max(server.seen) < 30


@pytest.mark.parametrize("asks_for_item", [False, True])
def test_what_a_mapper_does_to_its_item_is_seen_by_nobody_else(asks_for_item):
    """Where no evaluator asks for the item the mapper has the only one, and is given no copy of it."""
    seen = []

    def spoiling(*, item):
        inputs = EvaluatorInputs(input=item.input, output=[item.output])
        item.raw.update(id="other", traceId="other", latency=9.0)
        return inputs

    def by_item(*, input, output, item, trace_id):
        seen.append((item.id, trace_id))
        return Evaluation(name="s", value=1)

    def by_values(*, input, output, trace_id):
        seen.append((trace_id, trace_id))
        output.append("spoiled")
        return Evaluation(name="s", value=1)

    def after(*, input, output):
        assert len(output) == 1
        return []

    server = LocalTransport()
    with filled(3, server) as client:
        result = client.run_batched_evaluation(
            scope="traces", mapper=spoiling, evaluators=[by_item if asks_for_item else by_values, after]
        )
        ids = [row["id"] for row in client.api.traces(page=1, limit=100)["data"]]
        scores = [row["traceId"] for row in client.api.scores(page=1, limit=100)["data"]]

    assert result.total_evaluations_failed == 0
    assert sorted(seen) == sorted((id, id) for id in ids) and sorted(scores) == sorted(ids)
