"""Filters as users write them, checked and turned into the array form that servers take.

Three notations mean the same: the array form as JSON text, the object form of the documents as JSON text, and either
of them as Python values. Nothing that cannot be understood is left out: it is an error, never a wider run.
"""
from __future__ import annotations

import json

from .._clock import datetime_to_iso, iso_to_datetime
from .._strict_json import JSONError, from_json
from ..errors import ArgumentError, short_repr
from ..filter_language import COLUMNS, NAMES, TYPES, FilterError, read_conditions
from .dialects import snake_case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_OPTIONS = ("any of", "none of", "all of")
_NULLS = ("is null", "is not null")
# What a value of a column is as a condition, by kind of column: (type of a scalar, type of a list).
_PLAIN = {
    "string": ("string", "stringOptions"),
    "number": ("number", None),
    "boolean": ("boolean", None),
    "datetime": ("datetime", None),
    "array": ("arrayOptions", "arrayOptions"),
}
# The same for columns of which one member is meant.
_KEYED = {
    "metadata": ("stringObject", "categoryOptions"),
    "scores": ("numberObject", None),
    "categories": ("categoryOptions", "categoryOptions"),
    "booleans": ("booleanObject", None),
}


def read_filter(scope: str, given: Any) -> list[dict[str, Any]]:
    """The conditions of a filter in array form, with the servers' column names and times in UTC; [] for no filter.

    `scope` is "traces" or "observations". `given` is None, a text or Python values:

    - array form: `[{"type": "string", "column": "name", "operator": "=", "value": "chat"}]`;
    - object form: `{"user_id": "ada"}`, columns in snake_case or as the server writes them. A text, number or bool
      means equal, None "is null", a list for `tags` all of them and for texts any of them,
      `{"operator": ..., "value": ...}` just that, a list of those all of them. Metadata and scores have one level
      more: `{"metadata": {"tier": "pro"}}`.

    A date without a time is its midnight, a time without a zone is UTC in a text and local in a datetime.
    Raises ArgumentError for everything else.
    """
    if given is None:
        return []
    filter = _decoded(given) if isinstance(given, str) else given
    if isinstance(filter, dict):
        conditions = [
            condition for name, value in filter.items() for condition in _Column(given, scope, name).conditions(value)
        ]
    elif isinstance(filter, (list, tuple)):
        conditions = [_completed(given, condition) for condition in filter]
    else:
        raise ArgumentError("filter", given, f"must be an array or an object of conditions, such as {_EXAMPLE}")
    try:
        found = [_in_utc(condition.to_dict()) for condition in read_conditions(scope, conditions)]
    except FilterError as error:
        raise ArgumentError("filter", given, f"cannot be used: {error}") from None
    for condition in found:
        if condition["operator"] == "all of" and not condition["value"]:  # servers take it, and let everything through
            raise ArgumentError("filter", given, f"asks for all of nothing: name a value for {condition['column']!r}")
    return found


_EXAMPLE = '{"tags": ["production"]}'


def _decoded(text: str) -> Any:
    if not text.strip():
        return []
    try:
        value = from_json(text)
        json.loads(text, object_pairs_hook=_distinct)
        return value
    except (JSONError, _Repeated) as error:
        raise ArgumentError("filter", text, f"is no JSON text ({error}); write it like {_EXAMPLE}") from None


class _Repeated(ValueError):
    """A name stands twice in one object, where parsers drop one of the two values in silence."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Repeated(f"the name {next(name for name in names if names.count(name) > 1)!r} stands twice in an object")
    return found


def _completed(given: Any, condition: Any) -> Any:
    """A condition of the array form with plain values: times as texts, sets and tuples as lists, "" for null."""
    if not isinstance(condition, dict):
        return condition  # refused by `read_conditions`, with its place
    unknown = [key for key in condition if key not in ("type", "column", "operator", "value", "key")]
    if unknown:
        raise ArgumentError("filter", given, f"has a condition with the unknown key {unknown[0]!r}")
    found = {key: _plain(value) for key, value in condition.items()}
    if found.get("type") == "null" and found.get("value") is None:
        found["value"] = ""  # servers insist on it
    if "key" in found and type(found.get("type")) is str and not TYPES.get(found["type"], ("", "", True))[2]:
        raise ArgumentError("filter", given, f"has a condition of type {found['type']!r} with a key, which takes none")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, set, frozenset)):
        return sorted(value, key=str) if not isinstance(value, tuple) else list(value)
    if hasattr(value, "isoformat"):
        return datetime_to_iso(value) if hasattr(value, "tzinfo") else value.isoformat()
    return value


def _in_utc(condition: dict[str, Any]) -> dict[str, Any]:
    """The condition with its time as servers take it: with a zone."""
    if condition["type"] == "datetime":
        condition["value"] = datetime_to_iso(iso_to_datetime(condition["value"]))
    return condition


class _Column:
    """One member of the object form: its column, and what its value means there."""

    def __init__(self, given: Any, scope: str, name: Any) -> None:
        self._given = given
        self._name = name
        column = NAMES[scope].get(name) if isinstance(name, str) else None
        if column is None:
            column = next((each for each in COLUMNS[scope] if snake_case(each) == name), None)
        if column is None:
            columns = ", ".join(map(snake_case, COLUMNS[scope]))
            raise ArgumentError("filter", given, f"has no column {short_repr(name)}; {scope} have {columns}")
        self._column = column
        self._kind = COLUMNS[scope][column]

    def conditions(self, value: Any) -> list[dict[str, Any]]:
        """What `value` asks of this column."""
        if self._kind not in _KEYED or value is None:
            return self._of(_plain(value), None)
        if not isinstance(value, dict) or _is_condition(value) or not value:
            raise self._error(f'needs the name of what is meant: {{"{self._name}": {{"NAME": {short_repr(value)}}}}}')
        return [condition for key, member in value.items() for condition in self._of(_plain(member), key)]

    def _of(self, value: Any, key: Any) -> list[dict[str, Any]]:
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            return [condition for each in value for condition in self._of(each, key)]
        if isinstance(value, dict):
            if not _is_condition(value):
                raise self._error('takes a value, or {"operator": ..., "value": ...}')
            return [self._condition(value["operator"], _plain(value.get("value")), key)]
        if value is None:
            return [self._condition("is null", "", key)]
        if self._kind == "datetime":
            raise self._error('takes {"operator": ..., "value": ...} with one of > < >= <=: no two times are equal')
        if isinstance(value, list):
            return [self._condition("all of" if self._kind == "array" else "any of", value, key)]
        if self._kind in ("array", "categories"):
            return [self._condition("all of" if self._kind == "array" else "any of", [value], key)]
        return [self._condition("=", value, key)]

    def _condition(self, operator: Any, value: Any, key: Any) -> dict[str, Any]:
        scalar, several = _PLAIN.get(self._kind) or _KEYED[self._kind]
        if operator in _NULLS:
            if key is not None:
                raise self._error("can be asked for null as a whole only, not for one name in it")
            return {"type": "null", "column": self._column, "operator": operator, "value": ""}
        kind = several if operator in _OPTIONS else scalar
        if self._kind == "metadata" and operator not in _OPTIONS:
            if isinstance(value, bool):
                value = "true" if value else "false"  # metadata are compared as texts
            elif isinstance(value, (int, float)):
                kind = "numberObject"
        if kind is None or operator not in TYPES[kind][0]:
            offered = [*TYPES[scalar][0], *(TYPES[several][0] if several and several != scalar else ())]
            raise self._error(f"has no operator {short_repr(operator)}; it has {', '.join(offered)}")
        found = {"type": kind, "column": self._column, "operator": operator, "value": value}
        if key is not None:
            found["key"] = key
        return found

    def _error(self, problem: str) -> ArgumentError:
        return ArgumentError("filter", self._given, f"{self._name!r} {problem}")


def _is_condition(value: Mapping[str, Any]) -> bool:
    """Whether an object is `{"operator": ..., "value": ...}`, the value left out for null."""
    return set(value) == {"operator", "value"} or (set(value) == {"operator"} and value["operator"] in _NULLS)
