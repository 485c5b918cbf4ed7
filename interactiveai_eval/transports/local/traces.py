"""Traces: their rows, and the JSON objects that clients see."""
from __future__ import annotations

from .exchange import PROJECT_ID, Page, Refusal, invalid, missing
from .listing import conditions_of, select_page
from .observations import load as load_observations
from .observations import shown as shown_observation
from .schema import TRACES
from .scores import load as load_scores
from .scores import shown as shown_score
from .wire_values import columns_of, encode, merged_metadata, metadata_value, ns_to_text, text_to_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

    from .exchange import Call

# Bits of `given`: which fields were said of the trace itself, so that a root span cannot overwrite them, and whether
# its root span was seen, so that other spans cannot overwrite what that one said.
NAME, INPUT, OUTPUT, TIME, ROOT = 1, 2, 4, 8, 16

_SAME = columns_of("id name userId sessionId release version environment")
_ORDERS = {
    **{name: f"t.{column}" for name, column in columns_of("id name userId release version public sessionId")},
    "timestamp": "t.start_ns",
    "bookmarked": "NULL",
}
# Long texts that nobody asked for are not read.
_SELECT_CORE = TRACES.select.replace("t.input, t.output, t.metadata", "NULL, NULL, NULL")
_GROUPS = frozenset(("io", "scores", "observations", "metrics"))


class Trace:
    """One row in the making. Attributes are the columns; `tags` is a set, `input`, `output`, `metadata` stored text."""

    __slots__ = TRACES.columns

    def __init__(self, id: str, start_ns: int, environment: str, created_ns: int) -> None:
        self.id = id
        self.start_ns = start_ns
        self.environment = environment
        self.created_ns = created_ns
        self.given = self.public = 0
        self.name: str | None = None
        self.input: str | None = None
        self.output: str | None = None
        self.metadata: str | None = None
        self.user_id: str | None = None
        self.session_id: str | None = None
        self.release: str | None = None
        self.version: str | None = None
        self.tags: set[str] | None = None

    def give(self, name: str | None, input: str | None, output: str | None) -> None:
        """Set what is said of the trace itself."""
        if name is not None:
            self.name, self.given = name, self.given | NAME
        if input is not None:
            self.input, self.given = input, self.given | INPUT
        if output is not None:
            self.output, self.given = output, self.given | OUTPUT

    def add_tags(self, tags: Iterable[str]) -> None:
        """Tags only ever come to a trace."""
        self.tags = {*(self.tags or ()), *tags}

    def add_metadata(self, metadata: str | None) -> None:
        """Merge a JSON object, key by key."""
        self.metadata = merged_metadata(self.metadata, metadata)


def load(connection: Any, ids: Collection[str]) -> dict[str, Trace]:
    """The traces with these ids that are there."""
    found = {}
    for row in _select_in(connection, f"SELECT {TRACES.select} FROM traces t WHERE t.id IN", ids):
        trace = Trace.__new__(Trace)
        for name, value in zip(TRACES.columns, row):
            setattr(trace, name, value)
        trace.tags = set(text_to_value(row[-1])) if row[-1] else None
        found[trace.id] = trace
    return found


def save(connection: Any, traces: Iterable[Trace]) -> None:
    """Write rows; what has the same id is replaced."""
    rows: list[tuple[Any, ...]] = []
    tags = []
    for t in traces:
        row: tuple[Any, ...] = (
            t.id, t.start_ns, t.name, t.environment, t.given, t.created_ns, t.input, t.output, t.metadata,
        )  # fmt: skip
        if t.user_id or t.session_id or t.release or t.version or t.public or t.tags:
            shown_tags = encode(sorted(t.tags)) if t.tags else None
            rows.append((*row, t.user_id, t.session_id, t.release, t.version, t.public, shown_tags))
            tags += [(tag, t.id) for tag in t.tags or ()]
        else:
            rows.append(row)
    TRACES.save(connection, rows)
    connection.executemany("INSERT OR IGNORE INTO trace_tags (tag, trace_id) VALUES (?, ?)", tags)


def list_traces(call: Call) -> Page:
    """GET traces: newest first unless `orderBy` says otherwise; `fields` chooses what is worked out."""
    conditions = conditions_of(call, "traces")
    order = _order(call.one("orderBy"))
    asked = call.one("fields")
    groups = _GROUPS.intersection(asked.split(",")) if asked else _GROUPS
    columns = TRACES.select if "io" in groups else _SELECT_CORE
    with call.store.database.read() as connection:
        rows, page = select_page(connection, call, "traces", columns, conditions, order)
        ids = [row[0] for row in rows]
        observations = _grouped(
            connection, "SELECT trace_id, id, start_ns, end_ns, total_cost FROM observations WHERE trace_id IN",
            ids if groups & {"observations", "metrics"} else (),
        )  # fmt: skip
        scores = _grouped(
            connection, "SELECT trace_id, id FROM scores WHERE trace_id IN", ids if "scores" in groups else ()
        )
    page.data = [
        shown(TRACES.named(row), observations.get(row[0], []), scores.get(row[0], []), groups) for row in rows
    ]
    return page


def get_trace(call: Call) -> dict[str, Any]:
    """GET traces/{id}: with its observations and scores."""
    name = call.names[0]
    with call.store.database.read() as connection:
        row = connection.execute(f"SELECT {TRACES.select} FROM traces t WHERE t.id = ?", (name,)).fetchone()
        if row is None:
            raise missing("Trace")
        observations = load_observations(connection, "trace_id", name)
        scores = load_scores(connection, "trace_id", name)
    times = [(name, each["id"], each["start_ns"], each["end_ns"], each["total_cost"]) for each in observations]
    found = shown(TRACES.named(row), times, [], _GROUPS)
    found["observations"] = [shown_observation(each) for each in observations]
    found["scores"] = [shown_score(each) for each in scores]
    return found


_SESSIONS = "SELECT session_id, min(created_ns), max(environment) FROM traces WHERE"


def list_sessions(call: Call) -> Page:
    """GET sessions: newest first."""
    number, limit = call.page_and_limit()
    with call.store.database.read() as connection:
        found = connection.execute(f"{_SESSIONS} session_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
    page = [_session(*row) for row in found[(number - 1) * limit : number * limit]]
    return Page(page, page=number, limit=limit, total=len(found))


def get_session(call: Call) -> dict[str, Any]:
    """GET sessions/{id}: with its traces, newest first."""
    with call.store.database.read() as connection:
        found = connection.execute(f"{_SESSIONS} session_id = ? GROUP BY 1", call.names[:1]).fetchone()
        if found is None:
            raise missing("Session")
        sql = f"SELECT {TRACES.select} FROM traces t WHERE t.session_id = ? ORDER BY {_order(None)}"
        rows = connection.execute(sql, call.names[:1]).fetchall()
    of_session = [shown(TRACES.named(row), [], [], frozenset(("io",))) for row in rows]
    return {**_session(*found), "traces": of_session}


def _session(id: str, created_ns: int, environment: str) -> dict[str, Any]:
    return {"id": id, "createdAt": ns_to_text(created_ns), "projectId": PROJECT_ID, "environment": environment}


def shown(
    row: dict[str, Any], observations: list[Any], scores: list[Any], groups: frozenset[str]
) -> dict[str, Any]:
    """The JSON object of a row; what is not in `groups` reads as servers say "not asked for"."""
    latency = cost = -1.0
    if "metrics" in groups:
        ends = [end if end is not None else start for _, _, start, end, _ in observations]
        latency = (max(ends) - min([each[2] for each in observations])) / 1e9 if observations else 0.0
        cost = float(sum([each[4] or 0 for each in observations]))
    io = "io" in groups
    return {
        **{name: row[column] for name, column in _SAME},
        "timestamp": ns_to_text(row["start_ns"]),
        "input": text_to_value(row["input"]) if io else None,
        "output": text_to_value(row["output"]) if io else None,
        "metadata": (metadata_value(row["metadata"]) or {}) if io else {},
        "tags": text_to_value(row["tags"]) or [],
        "public": bool(row["public"]),
        "bookmarked": False,
        "projectId": PROJECT_ID,
        "externalId": None,
        "htmlPath": f"/project/{PROJECT_ID}/traces/{row['id']}",
        "latency": latency,
        "totalCost": cost,
        "observations": [each[1] for each in observations] if "observations" in groups else [],
        "scores": [each[1] for each in scores],
        "createdAt": ns_to_text(row["created_ns"]),
        "updatedAt": ns_to_text(row["created_ns"]),
    }


def _order(text: str | None) -> str:
    column, _, direction = (text or "timestamp.desc").partition(".")
    if direction.lower() not in ("asc", "desc"):
        raise invalid("Invalid option: expected column.asc or column.desc", "orderBy", code="invalid_value")
    if column not in _ORDERS:
        raise Refusal(400, {"message": f"Invalid order by column: {column}", "error": "InvalidRequestError"})
    direction = direction.upper()
    return f"{_ORDERS[column]} {direction}, t.id {direction}"


def _grouped(connection: Any, select: str, ids: Collection[str]) -> dict[str, list[Any]]:
    """Rows of `select ... IN (ids)`, by their first column."""
    found: dict[str, list[Any]] = {}
    for row in _select_in(connection, select, ids):
        found.setdefault(row[0], []).append(row)
    return found


def _select_in(connection: Any, select: str, ids: Collection[str]) -> list[Any]:
    """The rows of `select (?, ?, ...)`, in pieces that every SQLite takes."""
    rows = []
    rest = list(ids)
    while rest:
        some, rest = rest[:500], rest[500:]
        rows += connection.execute(f"{select} ({', '.join('?' * len(some))})", some).fetchall()
    return rows
