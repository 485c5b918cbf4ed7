"""The filter language of trace and observation lists as data: types, operators, columns, and one validating reader.

A filter is a JSON array of conditions that must all hold. The embedded store compiles what `parse_conditions` returns;
whoever wants to offer a friendlier notation translates it into such an array and has it judged here.
Source: WIRE.md sections 4.1 and 9.2.
"""
from __future__ import annotations

from ._clock import iso_to_datetime
from ._strict_json import JSONError, from_json
from .errors import short_repr
from .model import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_CONDITIONS = 200  # a made-up bound that keeps every compiled filter within SQLite's own limits

_TEXT = ("=", "contains", "does not contain", "starts with", "ends with")
_NUMBER = ("=", ">", "<", ">=", "<=")
_OPTIONS = ("any of", "none of")

# by type: (operators, shape of the value, whether `key` is needed, kinds of columns it fits)
TYPES: dict[str, tuple[tuple[str, ...], str, bool, tuple[str, ...]]] = {
    "datetime": ((">", "<", ">=", "<="), "datetime", False, ("datetime",)),
    "string": (_TEXT, "string", False, ("string",)),
    "stringOptions": (_OPTIONS, "strings", False, ("string",)),
    "arrayOptions": ((*_OPTIONS, "all of"), "strings", False, ("array",)),
    "categoryOptions": (_OPTIONS, "strings", True, ("categories", "metadata")),
    "number": (_NUMBER, "number", False, ("number",)),
    "numberObject": (_NUMBER, "number", True, ("scores", "metadata")),
    "stringObject": (_TEXT, "string", True, ("metadata",)),
    "boolean": (("=", "<>"), "boolean", False, ("boolean",)),
    "booleanObject": (("=", "<>"), "boolean", True, ("booleans",)),
    "null": (("is null", "is not null"), "empty", False, ()),
    "positionInTrace": (("=",), "position", True, ()),
}
_POSITIONS = ("root", "first", "last", "nthFromEnd", "nthFromStart")

# Rows of (column, kind, other names); the first other name is the label that the web pages show.
_SHARED = (
    ("id", "string", "ID"),
    ("name", "string", "Name"),
    ("environment", "string", "Environment"),
    ("userId", "string", "User ID"),
    ("sessionId", "string", "Session ID"),
    ("version", "string", "Version"),
    ("level", "string", "Level"),
    ("metadata", "metadata", "Metadata"),
    ("latency", "number", "Latency (s)"),
    ("inputTokens", "number", "Input Tokens"),
    ("outputTokens", "number", "Output Tokens"),
    ("totalTokens", "number", "Total Tokens", "tokens", "Tokens"),
    ("inputCost", "number", "Input Cost ($)"),
    ("outputCost", "number", "Output Cost ($)"),
    ("totalCost", "number", "Total Cost ($)"),
    ("scores_avg", "scores", "Scores (numeric)", "scores", "Scores"),
    ("score_categories", "categories", "Scores (categorical)"),
    ("score_booleans", "booleans", "Scores (boolean)"),
)
_ROWS: dict[str, tuple[tuple[str, ...], ...]] = {
    "traces": (
        *_SHARED,
        ("timestamp", "datetime", "Timestamp"),
        ("release", "string", "Release"),
        ("tags", "array", "Tags", "traceTags", "Trace Tags"),
        ("bookmarked", "boolean", "\u2b50\ufe0f"),
        ("warningCount", "number", "Warning Level Count"),
        ("errorCount", "number", "Error Level Count"),
        ("defaultCount", "number", "Default Level Count"),
        ("debugCount", "number", "Debug Level Count"),
    ),
    "observations": (
        *_SHARED,
        ("type", "string", "Type"),
        ("traceId", "string", "Trace ID"),
        ("traceName", "string", "Trace Name"),
        ("traceEnvironment", "string", "Trace Environment"),
        ("traceTags", "array", "Trace Tags"),
        ("parentObservationId", "string", "Parent Observation ID"),
        ("startTime", "datetime", "Start Time"),
        ("endTime", "datetime", "End Time"),
        ("timeToFirstToken", "number", "Time To First Token (s)"),
        ("tokensPerSecond", "number", "Tokens per second"),
        ("statusMessage", "string", "Status Message"),
        ("model", "string", "Model"),
        ("modelId", "string", "Model ID"),
        ("promptName", "string", "Prompt Name"),
        ("promptVersion", "number", "Prompt Version"),
        ("toolDefinitions", "number", "Available Tools"),
        ("toolCalls", "number", "Tool Calls"),
        ("toolNames", "array", "Tool Names"),
        ("calledToolNames", "array", "Called Tool Names"),
    ),
}
# scope: {column: kind}, and scope: {column, label or alias: column}
COLUMNS = {scope: {row[0]: row[1] for row in rows} for scope, rows in _ROWS.items()}
NAMES = {
    scope: {name: row[0] for row in rows for name in (row[0], *row[2:])} for scope, rows in _ROWS.items()
}
# GET v2/observations knows two of them by other names too.
NAMES["v2/observations"] = {**NAMES["observations"], "tags": "traceTags", "providedModelName": "model"}


class FilterError(ValueError):
    """The filter is refused; `body` is the JSON body of the 400 with which a server says so."""

    def __init__(self, message: str, body: dict[str, Any]) -> None:
        super().__init__(message)
        self.body = body


class Condition(Value):
    """One condition. `column` is the canonical name, `key` is "" unless the type needs one."""

    __slots__ = ("column", "key", "operator", "type", "value")
    column: str
    key: str
    operator: str
    type: str
    value: Any

    def __init__(self, *, type: str, column: str, operator: str, value: Any, key: str = "") -> None:
        self._fill({"type": type, "column": column, "operator": operator, "value": value, "key": key})

    def to_dict(self) -> dict[str, Any]:
        """The condition as it stands in the JSON array."""
        found = {"type": self.type, "column": self.column, "operator": self.operator, "value": self.value}
        return {**found, "key": self.key} if TYPES[self.type][2] else found


def parse_conditions(scope: str, text: str) -> tuple[Condition, ...]:
    """The conditions of a filter in array form; "" and "[]" are no conditions. `scope` is a key of `NAMES`.

    Raises: FilterError for everything that a server refuses, and for a type that does not fit its column (the
    servers seen answer 500 to that, or 400 in newer versions).
    """
    if not text:
        return ()
    try:
        value = from_json(text)
    except JSONError as error:
        raise _refusal([(("filter",), "custom", f"Invalid JSON in filter parameter: {error}")]) from None
    return read_conditions(scope, value)


def read_conditions(scope: str, value: Any) -> tuple[Condition, ...]:
    """Like `parse_conditions`, of the decoded JSON value."""
    if type(value) is not list:
        raise _refusal([(("filter",), "invalid_type", f"Invalid input: expected array, received {_kind_of(value)}")])
    if len(value) > MAX_CONDITIONS:
        raise _refusal([(("filter",), "too_big", f"Too many conditions: at most {MAX_CONDITIONS}")])
    problems = [
        (("filter", position, field), code, message)
        for position, condition in enumerate(value)
        for field, code, message in _problems(condition)
    ]
    if problems:
        raise _refusal(problems)
    return tuple([_fitted(scope, condition) for condition in value])


def _problems(condition: Any) -> list[tuple[str, str, str]]:
    """(field, code, message) of all that is wrong with the shape of one condition; its column is judged later."""
    if type(condition) is not dict:
        return [("", "invalid_type", f"Invalid input: expected object, received {_kind_of(condition)}")]
    kind = condition.get("type")
    if type(kind) is not str or kind not in TYPES:
        return [("type", "invalid_union", f"Invalid input: type must be one of {', '.join(TYPES)}")]
    operators, shape, keyed, _ = TYPES[kind]
    found = []
    for field in ("column", "key") if keyed else ("column",):
        if type(condition.get(field)) is not str:
            received = _kind_of(condition[field]) if field in condition else "undefined"
            found.append((field, "invalid_type", f"Invalid input: expected string, received {received}"))
    operator = condition.get("operator")
    if operator not in operators:
        expected = "|".join(f'"{name}"' for name in operators)
        found.append(("operator", "invalid_value", f"Invalid option: expected one of {expected}"))
    wrong = _value_problem(shape, condition)
    if wrong:
        found.append(("value", "invalid_value", wrong))
    if shape == "position" and condition.get("key") not in _POSITIONS:
        found.append(("key", "invalid_value", f"Invalid option: expected one of {', '.join(_POSITIONS)}"))
    return found


def _value_problem(shape: str, condition: dict[str, Any]) -> str:
    """What is wrong with the value, "" if nothing is."""
    value = condition.get("value")
    received = _kind_of(value) if "value" in condition else "undefined"
    if shape == "position":
        needed = condition.get("key") in ("nthFromEnd", "nthFromStart")
        fine = "value" not in condition or _is_number(value)
        return "" if fine and not (needed and (value is None or value < 1)) else "Position must be a number >= 1"
    if shape == "empty":
        return "" if value == "" and type(value) is str else 'Invalid input: expected ""'
    if shape == "strings":
        if type(value) is not list or any(type(option) is not str for option in value):
            return f"Invalid input: expected array of strings, received {received}"
        needs_one = condition["type"] == "stringOptions" or (
            condition["type"] == "arrayOptions" and condition.get("operator") == "any of"
        )
        return "Value array must not be empty" if needs_one and not value else ""
    if shape == "datetime":
        try:
            iso_to_datetime(value if type(value) is str else "")
        except ValueError:
            return f"Invalid input: expected date, received {short_repr(value)}"
        return ""
    fine = _is_number(value) if shape == "number" else type(value) is (str if shape == "string" else bool)
    return "" if fine else f"Invalid input: expected {shape}, received {received}"


def _fitted(scope: str, condition: dict[str, Any]) -> Condition:
    """The condition with its canonical column."""
    kind, name = condition["type"], condition["column"]
    fits = TYPES[kind][3]
    column, columns = NAMES[scope].get(name), COLUMNS[scope.rpartition("/")[2]]
    if kind == "positionInTrace":
        column = name  # servers do not look at it
    if column is None:
        raise _mismatch(f"Column {short_repr(name)} does not match any column of {scope}")
    if fits and columns[column] not in fits:
        expected = ", ".join(other for other, row in TYPES.items() if columns[column] in row[3])
        raise _mismatch(f"Invalid filter type '{kind}' for column '{name}': expected {expected}")
    return Condition(
        type=kind,
        column=column,
        operator=condition["operator"],
        value=condition.get("value"),
        key=condition["key"] if TYPES[kind][2] else "",
    )


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value - value == 0.0)


def _kind_of(value: Any) -> str:
    """The word for a JSON value in the servers' messages."""
    if value is None:
        return "null"
    if _is_number(value):
        return "number"
    return {bool: "boolean", str: "string", list: "array", dict: "object"}.get(type(value), "number")


def _refusal(problems: list[tuple[tuple[Any, ...], str, str]]) -> FilterError:
    issues = [
        {"code": code, "path": [part for part in path if part != ""], "message": text} for path, code, text in problems
    ]
    first = problems[0]
    where = "".join(f"[{part}]" if type(part) is int else f".{part}" for part in first[0][1:] if part != "")
    return FilterError(f"filter{where}: {first[2]}", {"message": "Invalid request data", "error": issues})


def _mismatch(message: str) -> FilterError:
    return FilterError(message, {"message": message, "error": "InvalidRequestError"})
