"""Totals of lists stay right, whoever writes between two pages, and cost no more than the pages themselves."""
from __future__ import annotations

import json
import random

import pytest

from interactiveai_eval._clock import ns_to_iso
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport

START = 1_763_632_800_000_000_000  # 2025-11-20T10:00:00Z
TIMES = {"traces": "timestamp", "observations": "startTime"}


def moment(number):
    """A time, ten to a millisecond."""
    return ns_to_iso(START + number * 100_000)


def listed(store, scope, conditions=(), **query):
    query = {**query, "filter": json.dumps(conditions)}
    response = store.send(Request("GET", f"/api/public/{scope}", query=tuple(query.items())))
    assert response.status == 200, response.body
    return json.loads(response.body)


def total(store, scope, *conditions):
    return listed(store, scope, conditions, limit="1")["meta"]["totalItems"]


def post(store, *events):
    batch = [{"id": "e", "timestamp": moment(0), "type": kind, "body": body} for kind, body in events]
    response = store.send(Request("POST", "/api/public/ingestion", body=json.dumps({"batch": batch}).encode()))
    assert json.loads(response.body)["errors"] == []


def since(scope, number, operator=">="):
    return {"type": "datetime", "column": TIMES[scope], "operator": operator, "value": moment(number)}


def make(store, number, **fields):
    trace = {"id": f"t{number}", "timestamp": moment(number), **fields}
    post(
        store,
        ("trace-create", trace),
        ("span-create", {"id": f"o{number}", "traceId": f"t{number}", "startTime": moment(number)}),
    )


OTHERS = {
    "traces": [
        [], [{"type": "string", "column": "name", "operator": "=", "value": "n"}],
        [{"type": "arrayOptions", "column": "tags", "operator": "any of", "value": ["x"]}],
        [{"type": "number", "column": "defaultCount", "operator": ">", "value": 1}],
        [{"type": "numberObject", "column": "scores_avg", "operator": ">", "value": 0, "key": "s"}],
        [{"type": "categoryOptions", "column": "score_categories", "operator": "none of", "value": ["a"], "key": "s"}],
    ],
    "observations": [
        [], [{"type": "string", "column": "traceName", "operator": "=", "value": "n"}],
        [{"type": "arrayOptions", "column": "traceTags", "operator": "none of", "value": ["x"]}],
        [{"type": "booleanObject", "column": "score_booleans", "operator": "=", "value": True, "key": "s"}],
    ],
}  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_totals_are_those_of_a_store_that_remembers_nothing(tmp_path, seed):
    """Two connections write to one file in turns; the first one lists, a third one is opened for every comparison."""
    rng = random.Random(seed)
    path = tmp_path / "s.db"
    with LocalTransport(path) as store, LocalTransport(path) as other:
        for number in range(30):
            make(store, number, name=rng.choice("nm"), tags=rng.choice([[], ["x"]]))
        for _ in range(40):
            writer, number = rng.choice([store, other]), rng.randrange(60)
            for _ in range(rng.randrange(3)):
                what = rng.randrange(5)
                if what == 0:
                    make(writer, number, name=rng.choice("nm"))
                elif what == 1:
                    post(writer, ("trace-create", {"id": f"t{number}", "timestamp": moment(rng.randrange(60)), "tags": ["x"]}))
                elif what == 2:
                    post(writer, ("span-update", {"id": f"o{number}", "startTime": moment(rng.randrange(60))}))
                else:
                    target = {"traceId": f"t{number}", **({"observationId": f"o{number}"} if what == 3 else {})}
                    post(writer, ("score-create", {"id": f"s{number}", "name": "s", "value": rng.choice([0, 1, "a"]), **target}))
                    post(writer, ("score-create", {"id": f"b{number}", "name": "s", "value": 1, "dataType": "BOOLEAN", **target}))
            scope = rng.choice(["traces", "observations"])
            conditions = [*rng.choice(OTHERS[scope]), *[
                since(scope, rng.randrange(-5, 65), rng.choice([">", ">=", "<", "<="])) for _ in range(rng.randrange(4))
            ]]  # fmt: skip
            found = total(store, scope, *conditions)
            with LocalTransport(path) as fresh:
                assert found == total(fresh, scope, *conditions), conditions


@pytest.mark.parametrize("scope", ["traces", "observations"])
def test_the_change_of_one_row_is_seen(scope):
    """It takes the place of the row that was written last: nothing but its own number tells."""
    with LocalTransport() as store:
        for number in (0, 100):
            make(store, number)
        before = [total(store, scope, since(scope, bound)) for bound in (0, 50, 100)]
        if scope == "traces":
            post(store, ("trace-create", {"id": "t100", "timestamp": moment(10)}))
        else:
            post(store, ("span-update", {"id": "o100", "startTime": moment(10)}))

        assert before == [2, 1, 1]
        assert [total(store, scope, since(scope, bound)) for bound in (0, 50, 100)] == [2, 0, 0]


def steps_of_reading_all(scope, n):
    """How much SQLite works to read `n` rows by key, ten at a time, with a score written after each page."""
    with LocalTransport() as store:
        post(store, *[("trace-create", {"id": f"t{i}", "timestamp": moment(10 * i)}) for i in range(n)])
        post(store, *[("span-create", {"id": f"o{i}", "startTime": moment(10 * i)}) for i in range(n)])
        steps = []
        store.database._connection.set_progress_handler(lambda: steps.append(1), 20)
        seen, bound, operator = set(), (0 if scope == "traces" else 10 * n), (">=" if scope == "traces" else "<=")
        while True:
            page = listed(store, scope, [since(scope, bound, operator)], limit="10", orderBy="timestamp.asc", fields="core")
            seen |= {row["id"] for row in page["data"]}
            assert page["meta"]["totalItems"] == n - len(seen) + len(page["data"])
            if page["meta"]["totalPages"] == 1:
                break
            bound = 10 * int(page["data"][-1]["id"][1:])
            post(store, ("score-create", {"id": "s", "name": "s", "value": 1, "traceId": "t0"}))
        assert len(seen) == n
        store.database._connection.set_progress_handler(None, 0)
        return len(steps)


@pytest.fixture(scope="module")
def tagged():
    """1,200 traces: all have the tag x, every second one y, every hundredth z."""
    tags = [["x", *["y"] * (n % 2 == 0), *["z"] * (n % 100 == 0)] for n in range(1200)]
    with LocalTransport() as store:
        post(store, *[("trace-create", {"id": f"t{n}", "timestamp": moment(n), "tags": tags[n]}) for n in range(1200)])
        yield store


@pytest.mark.parametrize(
    ("operator", "value", "count", "newest"),
    [
        ("any of", ["x"], 1200, "t1199"), ("any of", ["y"], 600, "t1198"), ("any of", ["y", "x", "x"], 1200, "t1199"),
        ("any of", ["y", "z", "\ud800"], 600, "t1198"), ("all of", ["x"], 1200, "t1199"), ("all of", ["x", "y"], 600, "t1198"),
        ("all of", ["z", "x", "y"], 12, "t1100"), ("all of", ["z"], 12, "t1100"), ("none of", ["y"], 600, "t1199"),
        ("none of", ["x"], 0, None), ("none of", [], 1200, "t1199"), ("any of", ["x"] + [f"a{n}" for n in range(29_000)], 1200, "t1199"),
    ],
)  # fmt: skip
def test_many_and_few_traces_with_a_tag_are_found(tagged, operator, value, count, newest):
    condition = {"type": "arrayOptions", "column": "tags", "operator": operator, "value": value}
    page = listed(tagged, "traces", [condition], limit="1")

    assert (page["meta"]["totalItems"], [row["id"] for row in page["data"]]) == (count, [newest] if newest else [])


def test_a_page_of_a_common_tag_does_not_look_at_all_traces(tagged):
    """Gathering everything that has the tag for every page would make reading all of them cost their square."""
    condition = {"type": "arrayOptions", "column": "tags", "operator": "any of", "value": ["x"]}
    listed(tagged, "traces", [condition], limit="1")
    steps = []
    tagged.database._connection.set_progress_handler(lambda: steps.append(1), 100)
    listed(tagged, "traces", [condition], limit="10", fields="core")
    tagged.database._connection.set_progress_handler(None, 0)

    assert len(steps) < 250  # hundreds of steps: 164 here, 390 with all of them gathered


@pytest.mark.parametrize("scope", ["traces", "observations"])
def test_reading_four_times_as_much_by_key_costs_four_times_as_much(scope):
    """Counting all that is left for each page would make it eight times and more."""
    small, large = [steps_of_reading_all(scope, n) for n in (250, 1000)]

    assert large < 4.5 * small
