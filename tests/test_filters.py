"""Filters as users write them: three notations, one meaning, and no nonsense that widens a run."""
from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone

import pytest

from interactiveai_eval import ArgumentError
from interactiveai_eval.service.filters import read_filter


def condition(type, column, operator, value, **key):
    return {"type": type, "column": column, "operator": operator, "value": value, **key}


TAGGED = condition("arrayOptions", "tags", "all of", ["production"])
USER = condition("string", "userId", "=", "user123")
SINCE = condition("datetime", "timestamp", ">", "2024-01-01T00:00:00Z")


@pytest.mark.parametrize("nothing", [None, "", "  ", "[]", "{}", [], {}, ()])
def test_no_filter_is_no_condition(nothing):
    assert read_filter("traces", nothing) == []


@pytest.mark.parametrize(
    "given, conditions",
    [
        ('{"tags": ["production"]}', [TAGGED]),
        ('{"user_id": "user123", "timestamp": {"operator": ">", "value": "2024-01-01"}}', [USER, SINCE]),
    ],
)
def test_the_examples_of_the_page_mean_what_they_say(given, conditions):
    assert read_filter("traces", given) == read_filter("traces", json.loads(given)) == conditions


@pytest.mark.parametrize("form", [lambda conditions: conditions, json.dumps, tuple])
def test_the_array_form_goes_through_as_it_is(form):
    conditions = [
        TAGGED,
        condition("stringObject", "metadata", "starts with", "p", key="tier"),
        condition("numberObject", "scores_avg", ">=", 0.5, key="accuracy"),
        condition("null", "sessionId", "is null", ""),
    ]

    assert read_filter("traces", form(conditions)) == conditions


@pytest.mark.parametrize(
    "given, conditions",
    [
        ({"name": "chat"}, [condition("string", "name", "=", "chat")]),
        ({"name": ["chat", "mail"]}, [condition("stringOptions", "name", "any of", ["chat", "mail"])]),
        ({"name": {"operator": "contains", "value": "a"}}, [condition("string", "name", "contains", "a")]),
        (
            {"name": {"operator": "none of", "value": ("a", "b")}},
            [condition("stringOptions", "name", "none of", ["a", "b"])],
        ),
        ({"sessionId": None}, [condition("null", "sessionId", "is null", "")]),
        ({"session_id": {"operator": "is not null"}}, [condition("null", "sessionId", "is not null", "")]),
        ({"tags": "a"}, [condition("arrayOptions", "tags", "all of", ["a"])]),
        ({"tags": {"b", "a"}}, [condition("arrayOptions", "tags", "all of", ["a", "b"])]),
        ({"tags": {"operator": "any of", "value": ["a"]}}, [condition("arrayOptions", "tags", "any of", ["a"])]),
        ({"latency": 2}, [condition("number", "latency", "=", 2)]),
        ({"total_cost": {"operator": "<", "value": 0.5}}, [condition("number", "totalCost", "<", 0.5)]),
        ({"bookmarked": True}, [condition("boolean", "bookmarked", "=", True)]),
        ({"metadata": {"tier": "pro"}}, [condition("stringObject", "metadata", "=", "pro", key="tier")]),
        (
            {"metadata": {"a": 1, "b": True, "c": ["x"], "d": {"operator": "contains", "value": "y"}}},
            [
                condition("numberObject", "metadata", "=", 1, key="a"),
                condition("stringObject", "metadata", "=", "true", key="b"),
                condition("categoryOptions", "metadata", "any of", ["x"], key="c"),
                condition("stringObject", "metadata", "contains", "y", key="d"),
            ],
        ),
        (
            {"scores_avg": {"accuracy": {"operator": ">", "value": 0.5}}},
            [condition("numberObject", "scores_avg", ">", 0.5, key="accuracy")],
        ),
        ({"score_booleans": {"ok": False}}, [condition("booleanObject", "score_booleans", "=", False, key="ok")]),
        (
            {"score_categories": {"label": "good"}},
            [condition("categoryOptions", "score_categories", "any of", ["good"], key="label")],
        ),
        (
            {"timestamp": [{"operator": ">=", "value": date(2026, 1, 1)}, {"operator": "<", "value": "2026-02-01"}]},
            [
                condition("datetime", "timestamp", ">=", "2026-01-01T00:00:00Z"),
                condition("datetime", "timestamp", "<", "2026-02-01T00:00:00Z"),
            ],
        ),
    ],
)
def test_the_object_form_says_it_shorter(given, conditions):
    assert read_filter("traces", given) == conditions


@pytest.mark.parametrize(
    "moment, text",
    [
        ("2026-11-20T10:00:00", "2026-11-20T10:00:00Z"),
        ("2026-11-20 10:00:00.5", "2026-11-20T10:00:00.500000Z"),
        ("2026-11-20T10:00:00+02:00", "2026-11-20T10:00:00+02:00"),
        (datetime(2026, 11, 20, 10, tzinfo=timezone.utc), "2026-11-20T10:00:00Z"),
        (datetime(2026, 11, 20, 10, tzinfo=timezone(timedelta(hours=-1))), "2026-11-20T10:00:00-01:00"),
    ],
)
def test_times_go_out_with_a_zone(moment, text):
    """Servers answer 400 to a time without one (WIRE.md section 9.2)."""
    found = read_filter("observations", {"start_time": {"operator": ">=", "value": moment}})

    assert found == [condition("datetime", "startTime", ">=", text)]


def test_columns_are_those_of_the_scope_under_all_their_names():
    for name in ("traceTags", "trace_tags", "Trace Tags"):
        assert read_filter("observations", {name: ["a"]})[0]["column"] == "traceTags"
    for name in ("tags", "Tags", "traceTags"):
        assert read_filter("traces", {name: ["a"]})[0]["column"] == "tags"


@pytest.mark.parametrize(
    "given, message",
    [
        ("{", "is no JSON text"),
        ("tags=production", "is no JSON text"),
        ('{"latency": NaN}', "is no JSON text"),
        ('{"name": "a", "name": "b"}', "the name 'name' stands twice"),
        ('[{"type": "string", "type": "null", "column": "name", "operator": "=", "value": ""}]', "stands twice"),
        ("null", "must be an array or an object"),
        ("7", "must be an array or an object"),
        (7, "must be an array or an object"),
        (b"[]", "must be an array or an object"),
        ('"{}"', "must be an array or an object"),
        ({"tag": ["a"]}, "has no column 'tag'; traces have id, name, .*tags"),
        ({7: "a"}, "has no column 7"),
        ({"startTime": "2026-01-01"}, "has no column 'startTime'"),
        ({"name": {"operator": "!=", "value": "a"}}, "'name' has no operator '!='; it has =, contains"),
        ({"name": {"operator": ["="], "value": "a"}}, "has no operator"),
        ({"name": {"value": "a"}}, 'takes a value, or {"operator": ..., "value": ...}'),
        ({"name": {"operator": "=", "value": "a", "more": 1}}, "takes a value, or"),
        ({"name": {}}, "takes a value, or"),
        ({"name": 7}, "expected string, received number"),
        ({"name": []}, "must not be empty"),
        ({"name": ["a", 7]}, "expected array of strings"),
        ({"name": [{"operator": "=", "value": "a"}, "b"]}, "expected array of strings"),
        ({"tags": []}, "asks for all of nothing"),
        ([{**TAGGED, "value": []}], "asks for all of nothing"),
        ({"tags": [["a"]]}, "expected array of strings"),
        ({"tags": [None]}, "expected array of strings"),
        ({"latency": "2"}, "expected number, received string"),
        ({"latency": True}, "expected number, received boolean"),
        ({"latency": float("nan")}, "expected number"),
        ({"latency": [1, 2]}, "'latency' has no operator 'any of'"),
        ({"bookmarked": "true"}, "expected boolean, received string"),
        ({"timestamp": "2026-01-01"}, "no two times are equal"),
        ({"timestamp": {"operator": ">", "value": "yesterday"}}, "expected date"),
        ({"timestamp": {"operator": ">", "value": ""}}, "expected date"),
        ({"timestamp": {"operator": "=", "value": "2026-01-01"}}, "has no operator '='; it has >, <, >=, <="),
        ({"metadata": "pro"}, "needs the name of what is meant"),
        ({"metadata": {}}, "needs the name of what is meant"),
        ({"metadata": {"operator": "=", "value": "a"}}, "needs the name of what is meant"),
        ({"metadata": {"a": None}}, "asked for null as a whole only"),
        ({"metadata": {"a": {"b": "c"}}}, "takes a value, or"),
        ({"scores_avg": 0.5}, "needs the name of what is meant"),
        ([{"column": "name", "operator": "=", "value": "a"}], r"filter\[0\].type: Invalid input: type must be one of"),
        ([TAGGED, "tags"], r"filter\[1\]: Invalid input: expected object, received string"),
        ([[TAGGED]], r"filter\[0\]: Invalid input: expected object, received array"),
        ([condition("string", "tags", "=", "a")], "Invalid filter type 'string' for column 'tags'"),
        ([condition("string", "input", "=", "a")], "Column 'input' does not match any column of traces"),
        ([condition("string", "name", ">", "a")], "Invalid option: expected one of"),
        ([condition("stringObject", "metadata", "=", "a")], "key: Invalid input: expected string, received undefined"),
        ([condition("string", "name", "=", "a", key="k")], "of type 'string' with a key, which takes none"),
        ([{**TAGGED, "values": []}], "has a condition with the unknown key 'values'"),
        ([condition("null", "name", "is null", "x")], 'expected ""'),
        ([TAGGED] * 201, "Too many conditions: at most 200"),
    ],
)
def test_what_cannot_be_understood_is_an_error_that_says_why(given, message):
    with pytest.raises(ArgumentError, match=message) as refused:
        read_filter("traces", given)

    assert refused.value.argument == "filter" and isinstance(refused.value, ValueError)


def test_a_filter_selects_in_the_store_what_it_says(client):
    client.create_score(name="q", value=1, trace_id="0" * 32)
    for number, (name, tier) in enumerate([("a", "pro"), ("b", "free"), ("c", "pro")]):
        with client.start_as_current_span(name=name, trace_context={"trace_id": f"{number + 1:032x}"}) as span:
            span.update_trace(name=name, tags=[name, "all"], metadata={"tier": tier})
    client.flush()

    def names(given):
        rows = client.api.traces(filter=json.dumps(read_filter("traces", given)))["data"]
        return sorted(row["name"] or "" for row in rows)

    assert names({"tags": ["all", "b"]}) == ["b"]
    assert names({"metadata": {"tier": "pro"}}) == ["a", "c"]
    assert names({"name": {"operator": "none of", "value": ["a"]}, "tags": "all"}) == ["b", "c"]
