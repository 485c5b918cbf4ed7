"""The filter language as data: what is taken, what is refused, and in which words."""
from __future__ import annotations

import json

import pytest

from interactiveai_eval.filter_language import COLUMNS, MAX_CONDITIONS, TYPES, Condition, FilterError, parse_conditions

FITTING = {
    "string": {"type": "string", "operator": "=", "value": "x"},
    "datetime": {"type": "datetime", "operator": ">", "value": "2026-11-20T10:00:00Z"},
    "number": {"type": "number", "operator": ">", "value": 1.5},
    "boolean": {"type": "boolean", "operator": "=", "value": True},
    "array": {"type": "arrayOptions", "operator": "any of", "value": ["x"]},
    "metadata": {"type": "stringObject", "operator": "=", "value": "x", "key": "k"},
    "scores": {"type": "numberObject", "operator": ">=", "value": 0.5, "key": "k"},
    "categories": {"type": "categoryOptions", "operator": "any of", "value": ["x"], "key": "k"},
    "booleans": {"type": "booleanObject", "operator": "<>", "value": False, "key": "k"},
}
ALL_COLUMNS = [(scope, column) for scope in COLUMNS for column in COLUMNS[scope]]


def refused(scope, value):
    """The message of the refusal of a filter, given as text or as a JSON value."""
    with pytest.raises(FilterError) as caught:
        parse_conditions(scope, value if isinstance(value, str) else json.dumps(value))
    return caught.value


@pytest.mark.parametrize("text", ["", "[]"])
def test_no_conditions_are_a_filter_too(text):
    assert parse_conditions("traces", text) == ()


@pytest.mark.parametrize(("scope", "column"), ALL_COLUMNS)
def test_every_column_takes_a_condition_of_its_kind(scope, column):
    condition = {**FITTING[COLUMNS[scope][column]], "column": column}

    assert parse_conditions(scope, json.dumps([condition])) == (Condition(**condition),)
    assert parse_conditions(scope, json.dumps([condition]))[0].to_dict() == condition


@pytest.mark.parametrize(("scope", "column"), ALL_COLUMNS)
def test_every_column_can_be_asked_for_missing_values(scope, column):
    for operator in ("is null", "is not null"):
        condition = {"type": "null", "column": column, "operator": operator, "value": ""}

        assert parse_conditions(scope, json.dumps([condition])) == (Condition(**condition),)


@pytest.mark.parametrize(("scope", "column"), ALL_COLUMNS)
def test_a_type_that_does_not_fit_the_column_is_refused(scope, column):
    kind = COLUMNS[scope][column]
    for other, condition in FITTING.items():
        if kind not in TYPES[condition["type"]][3]:
            error = refused(scope, [{**condition, "column": column}])

            assert f"Invalid filter type '{condition['type']}' for column '{column}'" in str(error), other
            assert error.body["error"] == "InvalidRequestError"


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "positionInTrace"])
def test_every_operator_of_a_type_is_taken_and_every_other_one_refused(kind):
    operators, shape, keyed, fits = TYPES[kind]
    column = next(name for name, sort in COLUMNS["traces"].items() if not fits or sort in fits)
    values = {"datetime": "2026-01-01", "string": "x", "strings": ["x"], "number": 1, "boolean": True, "empty": ""}
    base = {"type": kind, "column": column, "value": values[shape], **({"key": "k"} if keyed else {})}
    for operator in {operator for row in TYPES.values() for operator in row[0]} | {"!=", "in", ""}:
        text = json.dumps([{**base, "operator": operator}])
        if operator in operators:
            assert parse_conditions("traces", text)[0].operator == operator
        else:
            assert "operator: Invalid option: expected one of" in str(refused("traces", text))


@pytest.mark.parametrize(
    ("scope", "name", "column"),
    [
        ("traces", "Tags", "tags"),
        ("traces", "traceTags", "tags"),
        ("traces", "Trace Tags", "tags"),
        ("observations", "Trace Tags", "traceTags"),
        ("observations", "Model ID", "modelId"),
    ],
)
def test_labels_and_aliases_name_columns_too(scope, name, column):
    condition = {**FITTING[COLUMNS[scope][column]], "column": name}

    assert parse_conditions(scope, json.dumps([condition]))[0].column == column


@pytest.mark.parametrize(("name", "column"), [("tokens", "totalTokens"), ("Tokens", "totalTokens")])
def test_tokens_are_all_tokens(name, column):
    condition = {"type": "number", "column": name, "operator": ">", "value": 1}

    for scope in COLUMNS:
        assert parse_conditions(scope, json.dumps([condition]))[0].column == column


@pytest.mark.parametrize("column", ["scores", "Scores", "Scores (numeric)", "scores_avg"])
def test_numeric_scores_have_four_names(column):
    condition = {**FITTING["scores"], "column": column}

    for scope in COLUMNS:
        assert parse_conditions(scope, json.dumps([condition]))[0].column == "scores_avg"


@pytest.mark.parametrize(
    ("scope", "column"),
    [
        ("traces", "input"), ("traces", "output"), ("traces", "start_time"), ("traces", "startTime"),
        ("traces", "user_id"), ("traces", "TAGS"), ("traces", ""), ("observations", "timestamp"),
        ("observations", "tags"), ("observations", "release"), ("observations", "input"),
    ],
)  # fmt: skip
def test_unknown_columns_do_not_match(scope, column):
    error = refused(scope, [{"type": "string", "column": column, "operator": "=", "value": "x"}])

    assert str(error) == f"Column {column!r} does not match any column of {scope}"
    assert error.body == {"message": str(error), "error": "InvalidRequestError"}


@pytest.mark.parametrize(
    ("value", "received"),
    [
        ({"tags": ["production"]}, "object"),
        ({"type": "string", "column": "name", "operator": "=", "value": "x"}, "object"),
        (None, "null"), ("name", "string"), (5, "number"), (True, "boolean"),
    ],
)  # fmt: skip
def test_only_an_array_is_a_filter(value, received):
    error = refused("traces", json.dumps(value))

    assert str(error) == f"filter: Invalid input: expected array, received {received}"
    assert error.body == {
        "message": "Invalid request data",
        "error": [
            {
                "code": "invalid_type",
                "path": ["filter"],
                "message": f"Invalid input: expected array, received {received}",
            }
        ],
    }


@pytest.mark.parametrize("text", ["{", "tags", "[{]", "[NaN]", "'[]'", "[]]", "\u00e4", "[" * 5000])
def test_text_that_is_not_json_is_refused_as_such(text):
    error = refused("traces", text)

    assert "Invalid JSON in filter parameter" in str(error)
    assert "Invalid JSON in filter parameter" in error.body["error"][0]["message"]


NAME = {"type": "string", "column": "name", "operator": "=", "value": "x"}


def without(field):
    return {name: value for name, value in NAME.items() if name != field}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("x", "filter[0]: Invalid input: expected object, received string"),
        (None, "filter[0]: Invalid input: expected object, received null"),
        ([], "filter[0]: Invalid input: expected object, received array"),
        ({}, "filter[0].type: Invalid input: type must be one of datetime, string, stringOptions, "),
        (without("type"), "filter[0].type: Invalid input: type must be one of"),
        ({**NAME, "type": "text"}, "filter[0].type: Invalid input: type must be one of"),
        ({**NAME, "type": 5}, "filter[0].type: Invalid input: type must be one of"),
        ({**NAME, "type": ["string"]}, "filter[0].type: Invalid input: type must be one of"),
        (without("column"), "filter[0].column: Invalid input: expected string, received undefined"),
        ({**NAME, "column": None}, "filter[0].column: Invalid input: expected string, received null"),
        (without("operator"), 'filter[0].operator: Invalid option: expected one of "="|"contains"|'),
        ({**NAME, "operator": "!="}, 'filter[0].operator: Invalid option: expected one of "="|"contains"|'),
        ({**NAME, "operator": ["="]}, 'filter[0].operator: Invalid option: expected one of "="|"contains"|'),
        (without("value"), "filter[0].value: Invalid input: expected string, received undefined"),
        ({**NAME, "value": None}, "filter[0].value: Invalid input: expected string, received null"),
        ({**NAME, "value": 5}, "filter[0].value: Invalid input: expected string, received number"),
        ({**NAME, "value": ["x"]}, "filter[0].value: Invalid input: expected string, received array"),
        ({**FITTING["number"], "column": "latency", "value": "5"}, "expected number, received string"),
        ({**FITTING["number"], "column": "latency", "value": True}, "expected number, received boolean"),
        ({**FITTING["number"], "column": "latency", "value": None}, "expected number, received null"),
        ({**FITTING["boolean"], "column": "bookmarked", "value": 1}, "expected boolean, received number"),
        ({**FITTING["boolean"], "column": "bookmarked", "value": "true"}, "expected boolean, received string"),
        ({**FITTING["datetime"], "column": "timestamp", "value": ""}, "expected date, received ''"),
        ({**FITTING["datetime"], "column": "timestamp", "value": "yesterday"}, "expected date, received 'yesterday'"),
        ({**FITTING["datetime"], "column": "timestamp", "value": "2026-02-31"}, "expected date, received '2026-02-31'"),
        ({**FITTING["datetime"], "column": "timestamp", "value": 5}, "expected date, received 5"),
        ({**FITTING["array"], "column": "tags", "value": "x"}, "expected array of strings, received string"),
        ({**FITTING["array"], "column": "tags", "value": [1]}, "expected array of strings, received array"),
        ({**FITTING["array"], "column": "tags", "value": []}, "Value array must not be empty"),
        ({"type": "stringOptions", "column": "name", "operator": "none of", "value": []}, "must not be empty"),
        ({"type": "stringOptions", "column": "name", "operator": "any of", "value": "x"}, "expected array of strings"),
        ({**FITTING["metadata"], "column": "metadata", "key": None}, "filter[0].key: Invalid input: expected string"),
        ({**FITTING["scores"], "column": "scores_avg", "key": 5}, "filter[0].key: Invalid input: expected string"),
        ({"type": "stringObject", "column": "metadata", "operator": "=", "value": "x"}, "filter[0].key: Invalid input"),
        ({"type": "null", "column": "name", "operator": "is null"}, 'filter[0].value: Invalid input: expected ""'),
        ({"type": "null", "column": "name", "operator": "is null", "value": None}, 'Invalid input: expected ""'),
        ({"type": "null", "column": "name", "operator": "is null", "value": "x"}, 'Invalid input: expected ""'),
        ({"type": "positionInTrace", "column": "x", "operator": "=", "key": "middle"}, "filter[0].key: Invalid option"),
        ({"type": "positionInTrace", "column": "x", "operator": "=", "key": "nthFromEnd"}, "Position must be a number"),
        (
            {"type": "positionInTrace", "column": "x", "operator": "=", "key": "nthFromStart", "value": 0},
            "Position must be a number >= 1",
        ),
    ],
)
def test_a_malformed_condition_is_refused_where_it_is_wrong(condition, message):
    error = refused("traces", [condition])

    assert message in str(error)
    assert str(error).startswith("filter[0]")
    assert error.body["message"] == "Invalid request data"
    assert error.body["error"][0]["path"][:2] == ["filter", 0]


def test_numbers_that_no_double_holds_are_no_numbers():
    assert "expected number, received number" in str(
        refused("traces", '[{"type":"number","column":"latency","operator":">","value":1e999}]')
    )


def test_all_problems_of_all_conditions_are_listed():
    error = refused("traces", [NAME, {"type": "number", "operator": "~", "value": "x"}, {}])

    assert [(issue["path"], issue["code"]) for issue in error.body["error"]] == [
        (["filter", 1, "column"], "invalid_type"),
        (["filter", 1, "operator"], "invalid_value"),
        (["filter", 1, "value"], "invalid_value"),
        (["filter", 2, "type"], "invalid_union"),
    ]
    assert str(error).startswith("filter[1].column: ")


def test_a_filter_has_a_bounded_number_of_conditions():
    assert len(parse_conditions("traces", json.dumps([NAME] * MAX_CONDITIONS))) == MAX_CONDITIONS
    assert "Too many conditions" in str(refused("traces", [NAME] * (MAX_CONDITIONS + 1)))


def test_what_does_not_belong_to_a_condition_is_left_out():
    found = parse_conditions("traces", json.dumps([{**NAME, "key": "ignored", "more": 1}]))

    assert found == (Condition(type="string", column="name", operator="=", value="x"),)


@pytest.mark.parametrize(
    ("key", "value"), [("root", None), ("first", 3), ("last", None), ("nthFromEnd", 1), ("nthFromStart", 7)]
)
def test_positions_in_a_trace_are_well_formed_conditions(key, value):
    condition = {"type": "positionInTrace", "column": "whatever", "operator": "=", "key": key}
    if value is not None:
        condition["value"] = value

    assert parse_conditions("observations", json.dumps([condition])) == (
        Condition(type="positionInTrace", column="whatever", operator="=", key=key, value=value),
    )


@pytest.mark.parametrize("operator", ["none of", "all of"])
def test_an_array_may_be_compared_with_no_options_at_all(operator):
    condition = {"type": "arrayOptions", "column": "tags", "operator": operator, "value": []}

    assert parse_conditions("traces", json.dumps([condition]))[0].value == []


@pytest.mark.parametrize("value", ["2026-11-20", "2026-11-20T10:00:00", "2026-11-20T10:00:00.123456789+02:00"])
def test_dates_in_filters_need_neither_time_nor_zone(value):
    condition = {"type": "datetime", "column": "timestamp", "operator": "<", "value": value}

    assert parse_conditions("traces", json.dumps([condition]))[0].value == value
