"""Observations: their rows, and the JSON objects that clients see."""
from __future__ import annotations

from .exchange import PROJECT_ID, missing
from .listing import conditions_of, select_page
from .schema import OBSERVATIONS
from .wire_values import amounts, columns_of, encode, metadata_value, ns_to_text, part_of, text_to_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .exchange import Call, Page

NEWEST_FIRST = "o.start_ns DESC, o.id DESC"
_SAME = columns_of("id traceId type name level statusMessage environment version model promptName promptVersion")


def usage_columns(usage: object, cost: object) -> tuple[Any, ...]:
    """The values of the columns from `input_tokens` to `cost_details`."""
    tokens, costs = amounts(usage), amounts(cost)
    return (
        part_of(tokens, "input"),
        part_of(tokens, "output"),
        tokens.get("total"),
        part_of(costs, "input"),
        part_of(costs, "output"),
        costs.get("total"),
        encode(tokens) if tokens else None,
        encode(costs) if costs else None,
    )


def load(connection: Any, column: str, value: str) -> list[dict[str, Any]]:
    """The rows whose `column` is `value`, by start."""
    sql = f"SELECT {OBSERVATIONS.select} FROM observations o WHERE o.{column} = ? ORDER BY o.start_ns, o.id"
    return [OBSERVATIONS.named(row) for row in connection.execute(sql, (value,))]


def list_observations(call: Call) -> Page:
    """GET observations: newest first, whatever `orderBy` says."""
    conditions = conditions_of(call, "observations")
    with call.store.database.read() as connection:
        rows, page = select_page(connection, call, "observations", OBSERVATIONS.select, conditions, NEWEST_FIRST)
    page.data = [shown(OBSERVATIONS.named(row)) for row in rows]
    return page


def get_observation(call: Call) -> dict[str, Any]:
    """GET observations/{id}."""
    with call.store.database.read() as connection:
        found = load(connection, "id", call.names[0])
    if not found:
        raise missing("Observation")
    return shown(found[0])


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """The JSON object of a row."""
    start, end, first = row["start_ns"], row["end_ns"], row["completion_start_ns"]
    costs = {"input": row["input_cost"], "output": row["output_cost"], "total": row["total_cost"]}
    tokens = {part: row[f"{part}_tokens"] or 0 for part in costs}
    return {
        **{name: row[column] for name, column in _SAME},
        "projectId": PROJECT_ID,
        "startTime": ns_to_text(start),
        "endTime": ns_to_text(end),
        "completionStartTime": ns_to_text(first),
        "parentObservationId": row["parent_id"],
        "input": text_to_value(row["input"]),
        "output": text_to_value(row["output"]),
        "metadata": metadata_value(row["metadata"]) or {},
        "modelParameters": text_to_value(row["model_parameters"]),
        "usage": {"unit": "TOKENS", **tokens, **{f"{part}Cost": cost for part, cost in costs.items()}},
        "usageDetails": text_to_value(row["usage_details"]) or {},
        "costDetails": text_to_value(row["cost_details"]) or {},
        **{f"calculated{part.title()}Cost": cost for part, cost in costs.items()},
        **dict.fromkeys(("modelId", "promptId", "inputPrice", "outputPrice", "totalPrice")),
        "latency": None if end is None else (end - start) / 1e9,
        "timeToFirstToken": None if first is None else (first - start) / 1e9,
        "createdAt": ns_to_text(row["created_ns"]),
        "updatedAt": ns_to_text(row["created_ns"]),
    }
