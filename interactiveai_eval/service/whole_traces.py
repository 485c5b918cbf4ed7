"""A trace put together from its observations and scores, for servers that keep no traces (WIRE.md section 9.1)."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

ALL_FIELDS = "core,basic,time,io,metadata,model,usage,prompt,metrics"  # of v2/observations; else input is left out
# a field of the trace, and those of its root observation that may have it, in this order
_FROM_ROOT = (
    ("name", ("traceName", "name")),
    ("input", ("input",)),
    ("output", ("output",)),
    ("metadata", ("metadata",)),
    ("userId", ("userId",)),
    ("sessionId", ("sessionId",)),
    ("release", ("release",)),
    ("version", ("version",)),
    ("tags", ("traceTags", "tags")),
    ("public", ("public",)),
    ("environment", ("environment",)),
)


def trace_of(
    trace_id: str, observations: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The trace as GET traces/{id} gives it: what is not of an observation is its root's, the first that has no parent.

    Observations come oldest first.
    """
    ids = {row.get("id") for row in observations}

    def place(row: Mapping[str, Any]) -> tuple[str, bool, str]:
        return str(row.get("startTime")), row.get("parentObservationId") in ids, str(row.get("id"))

    rows = sorted(observations, key=place)
    root = next((row for row in rows if row.get("parentObservationId") not in ids), rows[0])
    found: dict[str, Any] = {"id": trace_id, "timestamp": rows[0].get("startTime")}
    for field, names in _FROM_ROOT:
        found[field] = next((root[name] for name in names if root.get(name) is not None), None)
    found.update({"tags": found["tags"] or [], "public": bool(found["public"])})
    return {**found, "observations": list(rows), "scores": list(scores)}
