"""The tables of the store, and how rows get into the three big ones.

In every table the long texts stand last, so that rows can be sifted without reading them. Ids are those of the whole
store, as real servers know them by project: a span whose id stands in another trace already takes that one's place.
"""
from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

APPLICATION_ID = 0x69616531  # "iae1": marks our files
SCHEMA_VERSION = 1


class Table:
    """One of the big tables. Rows are tuples of the `core` and `text` columns, with or without `details` behind them.

    Most rows have nothing in `details`. They are written with a shorter statement, because binding the NULLs would
    take a third of the time of an insert.
    """

    def __init__(self, name: str, core: str, details: str, texts: str) -> None:
        self.sql = f"CREATE TABLE {name} ({core}, {details}, {texts})"
        short = [column.split()[0] for column in f"{core}, {texts}".split(", ")]
        self.columns = (*short, *[column.split()[0] for column in details.split(", ")])
        self.select = ", ".join([f"{name[0]}.{column}" for column in self.columns])  # the alias is the first letter
        self._inserts = {}
        for columns in (short, self.columns):
            marks = ", ".join("?" * len(columns))
            self._inserts[len(columns)] = f"INSERT OR REPLACE INTO {name} ({', '.join(columns)}) VALUES ({marks})"

    def save(self, connection: Any, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write rows. What has the same id (the first column) is replaced; of equal ids the last one stays.

        A row that replaces another one gets a new rowid, the largest so far: `totals` sees by it that rows changed.
        """
        last = {row[0]: row for row in rows}.values()
        for length, insert in self._inserts.items():
            connection.executemany(insert, [row for row in last if len(row) == length])

    def named(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """A row of `select`, by column."""
        return dict(zip(self.columns, row))


TRACES = Table(
    "traces",
    "id TEXT PRIMARY KEY, start_ns INTEGER NOT NULL, name TEXT, environment TEXT NOT NULL, given INTEGER NOT NULL, "
    "created_ns INTEGER NOT NULL",
    "user_id TEXT, session_id TEXT, release TEXT, version TEXT, public INTEGER NOT NULL DEFAULT 0, tags TEXT",
    "input TEXT, output TEXT, metadata TEXT",
)
OBSERVATIONS = Table(
    "observations",
    "id TEXT PRIMARY KEY, trace_id TEXT, parent_id TEXT, type TEXT NOT NULL, name TEXT, start_ns INTEGER NOT NULL, "
    "end_ns INTEGER, level TEXT NOT NULL, environment TEXT NOT NULL, created_ns INTEGER NOT NULL",
    "status_message TEXT, version TEXT, completion_start_ns INTEGER, model TEXT, prompt_name TEXT, "
    "prompt_version INTEGER, input_tokens NUMERIC, output_tokens NUMERIC, total_tokens NUMERIC, input_cost REAL, "
    "output_cost REAL, total_cost REAL, usage_details TEXT, cost_details TEXT, model_parameters TEXT",
    "input TEXT, output TEXT, metadata TEXT",
)
SCORES = Table(
    "scores",
    "id TEXT PRIMARY KEY, trace_id TEXT, observation_id TEXT, name TEXT NOT NULL, value REAL NOT NULL, "
    "string_value TEXT, data_type TEXT NOT NULL, source TEXT NOT NULL, environment TEXT NOT NULL, "
    "timestamp_ns INTEGER NOT NULL, created_ns INTEGER NOT NULL",
    "session_id TEXT, run_id TEXT, config_id TEXT, queue_id TEXT",
    "comment TEXT, metadata TEXT",
)

_BOOKKEEPING = "number INTEGER PRIMARY KEY, created_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL, id TEXT NOT NULL"
SCHEMA = (
    TRACES.sql,
    "CREATE INDEX traces_by_start ON traces (start_ns, id)",
    "CREATE INDEX traces_by_name ON traces (name, start_ns)",
    "CREATE TABLE trace_tags (tag TEXT, trace_id TEXT, PRIMARY KEY (tag, trace_id)) WITHOUT ROWID",
    OBSERVATIONS.sql,
    "CREATE INDEX observations_by_trace ON observations (trace_id)",
    "CREATE INDEX observations_by_start ON observations (start_ns, id)",
    "CREATE INDEX observations_by_name ON observations (name, start_ns)",
    SCORES.sql,
    "CREATE INDEX scores_by_trace ON scores (trace_id)",
    "CREATE INDEX scores_by_time ON scores (timestamp_ns)",
    f"CREATE TABLE datasets ({_BOOKKEEPING}, name TEXT NOT NULL UNIQUE, "
    "description TEXT, metadata TEXT, input_schema TEXT, expected_output_schema TEXT)",
    f"CREATE TABLE dataset_items ({_BOOKKEEPING} UNIQUE, dataset_id TEXT NOT NULL, status TEXT, source_trace_id TEXT, "
    "source_observation_id TEXT, input TEXT, expected_output TEXT, metadata TEXT)",
    "CREATE INDEX dataset_items_by_dataset ON dataset_items (dataset_id, number)",
    f"CREATE TABLE dataset_runs ({_BOOKKEEPING} UNIQUE, dataset_id TEXT NOT NULL, name TEXT NOT NULL, "
    "description TEXT, metadata TEXT)",
    "CREATE INDEX dataset_runs_by_dataset ON dataset_runs (dataset_id, number)",
    f"CREATE TABLE dataset_run_items ({_BOOKKEEPING}, run_id TEXT NOT NULL, item_id TEXT NOT NULL, "
    "trace_id TEXT NOT NULL, observation_id TEXT, UNIQUE (run_id, item_id))",
)

# What SQLite's types of values may be in a column of a declared type; any column may be NULL as far as this goes.
_FITTING = {"TEXT": "'text'", "INTEGER": "'integer'", "REAL": "'real'", "NUMERIC": "'integer', 'real'"}
# (table, column, condition of the rows whose value there is of another type)
WRONG_TYPES = tuple(
    [
        (table, name, f"typeof({name}) NOT IN ('null', {_FITTING[kind]})")
        for table, columns in re.findall(r"CREATE TABLE (\w+) \((.*)\)", "\n".join(SCHEMA))
        for name, kind in re.findall(r"(\w+) (TEXT|INTEGER|REAL|NUMERIC)", columns)
    ]
)
