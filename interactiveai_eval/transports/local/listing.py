"""Filters, plain parameters and pages of trace and observation lists, as SQL.

All SQL is built from the tables in this file; what comes from a request is bound as a parameter.
"""
from __future__ import annotations

from ..._clock import datetime_to_ns, iso_to_datetime
from ..._strict_json import well_formed
from ...filter_language import Condition, FilterError, parse_conditions
from .exchange import Page, Refusal, invalid
from .wire_values import LAST_NS, columns_of, metadata_number, metadata_text, text_to_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .exchange import Call

_MOST_PARAMETERS = 30_000  # SQLite takes 32,766 since 3.32
_FEW_CARRIERS = 1000  # a made-up bound: traces with a tag that are found in about the time that a page takes


def _own(alias: str, names: str) -> dict[str, str]:
    """SQL of columns that are named like their filter columns, but in snake_case."""
    return {name: f"{alias}.{column}" for name, column in columns_of(names)}


def _of_trace(sql: str) -> str:
    return f"(SELECT {sql} FROM observations o WHERE o.trace_id = t.id)"


def _of_owner(sql: str) -> str:
    return f"(SELECT {sql} FROM traces t WHERE t.id = o.trace_id)"


_AMOUNTS = _own("o", "inputTokens outputTokens totalTokens inputCost outputCost totalCost")
# column: SQL of its value; for an array column, of the id of the trace whose tags it has
_SQL: dict[str, dict[str, str]] = {
    "traces": {
        **_own("t", "id name environment userId sessionId version release metadata"),
        "timestamp": "t.start_ns",
        "tags": "t.id",
        "bookmarked": "0",
        "level": (
            "(SELECT o.level FROM observations o WHERE o.trace_id = t.id ORDER BY o.level = 'ERROR' DESC, "
            "o.level = 'WARNING' DESC, o.level = 'DEFAULT' DESC LIMIT 1)"
        ),
        **{
            f"{level.lower()}Count": _of_trace(f"count(CASE o.level WHEN '{level}' THEN 1 END)")
            for level in ("WARNING", "ERROR", "DEFAULT", "DEBUG")
        },
        "latency": _of_trace("(max(coalesce(o.end_ns, o.start_ns)) - min(o.start_ns)) / 1e9"),
        **{name: _of_trace(f"total({column})") for name, column in _AMOUNTS.items()},
    },
    "observations": {
        **_own("o", "id type name traceId environment level statusMessage version model"),
        **_own("o", "promptName promptVersion metadata"),
        "parentObservationId": "o.parent_id",
        "startTime": "o.start_ns",
        "endTime": "o.end_ns",
        "modelId": "NULL",
        "traceName": _of_owner("t.name"),
        "traceEnvironment": _of_owner("t.environment"),
        "userId": _of_owner("t.user_id"),
        "sessionId": _of_owner("t.session_id"),
        "traceTags": "o.trace_id",
        **dict.fromkeys(("toolDefinitions", "toolCalls"), "0"),
        **dict.fromkeys(("toolNames", "calledToolNames"), "''"),
        "latency": "(o.end_ns - o.start_ns) / 1e9",
        "timeToFirstToken": "(o.completion_start_ns - o.start_ns) / 1e9",
        "tokensPerSecond": "o.output_tokens * 1e9 / (o.end_ns - o.start_ns)",
        **_AMOUNTS,
    },
}
_SCORED = {"traces": "s.trace_id = t.id", "observations": "s.trace_id = o.trace_id AND s.observation_id = o.id"}
_FROM = {"traces": "traces t", "observations": "observations o"}
_TEXT = {
    "=": "{} = ?",
    "contains": "instr({}, ?) > 0",
    "does not contain": "instr({}, ?) = 0",
    "starts with": "instr({}, ?) = 1",
    "ends with": "ends_with({}, ?)",
}
# Plain query parameters: (type of the condition, column, operator)
_PLAIN = {
    "traces": {
        "fromTimestamp": ("datetime", "timestamp", ">="),
        "toTimestamp": ("datetime", "timestamp", "<"),
        "tags": ("arrayOptions", "tags", "all of"),
        "environment": ("stringOptions", "environment", "any of"),
        **{name: ("string", name, "=") for name in "userId name sessionId version release".split()},
    },
    "observations": {
        "fromStartTime": ("datetime", "startTime", ">="),
        "toStartTime": ("datetime", "startTime", "<"),
        "environment": ("stringOptions", "environment", "any of"),
        **{name: ("string", name, "=") for name in "userId name type traceId level version".split()},
        "parentObservationId": ("string", "parentObservationId", "="),
    },
}
OBSERVATION_TYPES = (
    "SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "GUARDRAIL", "EMBEDDING",
)  # fmt: skip
LEVELS = ("DEBUG", "DEFAULT", "WARNING", "ERROR")
_ENUMS = {"type": OBSERVATION_TYPES, "level": LEVELS}


def ends_with(text: str | None, end: str) -> bool | None:
    """SQL function; NULL for NULL."""
    return None if text is None else text.endswith(end)


FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "ends_with": (2, ends_with),
    "metadata_text": (2, metadata_text),
    "metadata_number": (2, metadata_number),
}


def conditions_of(call: Call, scope: str, names: str | None = None) -> list[Condition]:
    """What the request asks for: its filter, and the plain parameters about columns that the filter leaves alone.

    `names` is the scope whose names of columns the filter may use, by default `scope`.
    """
    try:
        found = list(parse_conditions(names or scope, call.one("filter") or ""))
    except FilterError as error:
        raise Refusal(400, error.body) from None
    filtered = {condition.column for condition in found}
    for name, (kind, column, operator) in _PLAIN[scope].items():
        value: Any = call.one(name) if kind in ("string", "datetime") else call.many(name)
        if value is None:
            continue
        if kind == "datetime" and text_to_ns(value) is None:
            raise invalid("Invalid ISO datetime", name, code="invalid_format")
        if name in _ENUMS and value not in _ENUMS[name]:
            raise invalid(f"Invalid option: expected one of {'|'.join(_ENUMS[name])}", name, code="invalid_value")
        if column not in filtered:
            found.append(Condition(type=kind, column=column, operator=operator, value=value))
    return found


def select_page(
    connection: Any, call: Call, scope: str, columns: str, conditions: list[Condition], order: str
) -> tuple[list[tuple[Any, ...]], Page]:
    """The rows of the requested page, and the page without its data."""
    page, limit = call.page_and_limit()
    source, parameters = source_of(connection, scope, conditions)
    total = call.store.totals.total(connection, scope, conditions)
    return page_of(connection, source, parameters, columns, order, page, limit, total)


def source_of(connection: Any, scope: str, conditions: list[Condition]) -> tuple[str, list[Any]]:
    """What follows FROM in a query for the rows that fulfil the conditions, with its parameters."""
    parts = [_compiled(connection, scope, each) for each in conditions if each.type != "positionInTrace"]
    where = " AND ".join([sql for sql, _ in parts]) or "1"
    parameters = [well_formed(each) if type(each) is str else each for _, some in parts for each in some]
    refuse_too_many(parameters, "filter")
    return f"{_FROM[scope]} WHERE {where}", parameters


def refuse_too_many(parameters: list[Any], field: str) -> None:
    """Refuse what SQLite could not take in one statement."""
    if len(parameters) > _MOST_PARAMETERS:
        raise invalid(f"Too many values: at most {_MOST_PARAMETERS}", field, code="too_big")


def page_of(
    connection: Any,
    source: str,
    parameters: list[Any],
    columns: str,
    order: str,
    page: int,
    limit: int,
    total: int | None = None,
) -> tuple[list[tuple[Any, ...]], Page]:
    """The rows of one page of `SELECT columns FROM source`, and the page without its data; counts without a `total`."""
    if total is None:
        (total,) = connection.execute(f"SELECT count(*) FROM {source}", parameters).fetchone()
    offset = (page - 1) * limit
    rows = []
    if offset < total:
        sql = f"SELECT {columns} FROM {source} ORDER BY {order} LIMIT ? OFFSET ?"
        rows = connection.execute(sql, [*parameters, limit, offset]).fetchall()
    return rows, Page([], page=page, limit=limit, total=total)


def _compiled(connection: Any, scope: str, condition: Condition) -> tuple[str, list[Any]]:
    """One condition as SQL and its parameters. As in SQL, a missing value matches only "is null"."""
    kind, operator, value = condition.type, condition.operator, condition.value
    column = _SQL[scope].get(condition.column, "1")
    marks = ", ".join("?" * len(value)) if type(value) is list else ""
    if kind == "null" and condition.column in ("tags", "traceTags"):
        return f"({column} IN (SELECT trace_id FROM trace_tags)) IS {'NOT ' if operator == 'is null' else ''}TRUE", []
    if kind == "null":
        return f"{column} {operator.upper()}", []
    if kind == "string":
        return _TEXT[operator].format(column), [value]
    if kind == "stringObject":
        return _TEXT[operator].format(f"metadata_text({column}, ?)"), [condition.key, value]
    if kind == "datetime":
        return _compiled_datetime(column, operator, value)
    if kind == "number":
        return f"{column} {operator} ?", [_number(value)]
    if kind == "boolean":
        return f"{column} {operator} ?", [int(value)]
    if kind == "stringOptions":
        return f"{column} {'IN' if operator == 'any of' else 'NOT IN'} ({marks})", value
    if kind == "arrayOptions":
        return _compiled_tags(connection, column, operator, value)
    if condition.column == "metadata":
        if kind == "numberObject":
            return f"metadata_number({column}, ?) {operator} ?", [condition.key, _number(value)]
        no = "" if operator == "any of" else "NOT "
        return f"metadata_text({column}, ?) {no}IN ({marks})", [condition.key, *value]
    scores = f"FROM scores s WHERE {_SCORED[scope]} AND s.name = ? AND s.data_type"
    if kind == "numberObject":
        return f"(SELECT avg(s.value) {scores} IN ('NUMERIC', 'BOOLEAN')) {operator} ?", [condition.key, _number(value)]
    if kind == "booleanObject":
        return f"EXISTS (SELECT 1 {scores} = 'BOOLEAN' AND s.value {operator} ?)", [condition.key, int(value)]
    no = "" if operator == "any of" else "NOT "
    return f"{no}EXISTS (SELECT 1 {scores} = 'CATEGORICAL' AND s.string_value IN ({marks}))", [condition.key, *value]


def _number(value: float) -> float:
    """`value` as SQLite can take it."""
    return value if -LAST_NS <= value <= LAST_NS else float("inf") if value > 0 else float("-inf")


def _compiled_datetime(column: str, operator: str, value: str) -> tuple[str, list[Any]]:
    return f"{column} {'>=' if operator[0] == '>' else '<'} ?", [_datetime_bound(operator, value)]


def _datetime_bound(operator: str, value: str) -> int:
    """The first nanosecond that fulfils > or >=, or no longer fulfils < or <=. Times are compared in milliseconds."""
    milliseconds = datetime_to_ns(iso_to_datetime(value)) // 1_000_000
    return max(-LAST_NS, min((milliseconds + (operator in (">", "<="))) * 1_000_000, LAST_NS))


def datetime_range(conditions: list[Condition]) -> tuple[int, int]:
    """(before, last): conditions on one time hold for what is later than `before` and not later than `last`."""
    bounds = [(each.operator[0], _datetime_bound(each.operator, each.value) - 1) for each in conditions]
    before = [bound for sign, bound in bounds if sign == ">"]
    last = [bound for sign, bound in bounds if sign == "<"]
    return max([-LAST_NS - 1, *before]), min([LAST_NS, *last])


def _compiled_tags(connection: Any, column: str, operator: str, tags: list[str]) -> tuple[str, list[Any]]:
    """A condition on tags. Few carriers of the tags are found at once; of many, looking at traces in their order finds
    a page soon, where gathering the carriers for every page would make reading all of them cost their square.
    """
    tags = sorted({well_formed(tag) for tag in tags})
    carriers = f"FROM trace_tags g WHERE g.tag IN ({', '.join('?' * len(tags))})"
    here = f"{carriers} AND g.trace_id = {column}"
    if operator == "none of":
        return f"NOT EXISTS (SELECT 1 {here})", tags
    if not tags:
        return "1", []
    few = _have_few_carriers(connection, tags)
    if operator == "any of":
        return f"{column} IN (SELECT g.trace_id {carriers})" if few else f"EXISTS (SELECT 1 {here})", tags
    gathered = f"{column} IN (SELECT g.trace_id {carriers} GROUP BY g.trace_id HAVING count(*) = ?)"
    return gathered if few else f"(SELECT count(*) {here}) = ?", [*tags, len(tags)]


def _have_few_carriers(connection: Any, tags: list[str]) -> bool:
    tags = tags[:_FEW_CARRIERS]  # either answer is right, one is quicker: of so many tags, some will do
    carriers = f"SELECT 1 FROM trace_tags WHERE tag IN ({', '.join('?' * len(tags))}) LIMIT {_FEW_CARRIERS}"
    (found,) = connection.execute(f"SELECT count(*) FROM ({carriers})", tags).fetchone()
    return bool(found < _FEW_CARRIERS)
