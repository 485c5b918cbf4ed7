"""How many rows a list has in all, without counting them anew for every page.

Whoever reads everything by key asks for page 1 again and again, each time with a higher (or lower) bound of time.
Counting all that is left each time would make reading n rows cost n * n. So the last total of each filter is remembered
and corrected by the rows between the old and the new bound, which are about one page.
"""
from __future__ import annotations

from ...filter_language import COLUMNS
from .listing import datetime_range, source_of
from .wire_values import LAST_NS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...filter_language import Condition

_TIMES = {"traces": ("timestamp", "t.start_ns"), "observations": ("startTime", "o.start_ns")}
_OF_SCORES = ("scores", "categories", "booleans")
_MOST_KNOWN = 50  # a made-up bound: different filters whose totals are remembered

# Every save of a trace or an observation, in whatever process, raises the largest rowid of its table (see `Table`);
# tags are written with their trace, and nothing of this is ever deleted. VACUUM, which may number rows anew, raises the
# schema version. Scores raise nothing, so that evaluating does not forget what reading needs.
_MARK = """
    SELECT (SELECT max(rowid) FROM traces), (SELECT max(rowid) FROM observations),
           (SELECT schema_version FROM pragma_schema_version)
"""


class Totals:
    """The totals of one store. Called inside a transaction, whose lock and unchanging view it relies on."""

    def __init__(self) -> None:
        # filter without times: (mark, time before the first row, time of the last row, total)
        self._known: dict[tuple[Any, ...], tuple[Any, int, int, int]] = {}

    def total(self, connection: Any, scope: str, conditions: list[Condition]) -> int:
        """How many rows of `scope` fulfil the conditions."""
        name, column = _TIMES[scope]
        before, last = datetime_range([each for each in conditions if each.column == name and each.type == "datetime"])
        rest = [each for each in conditions if each.column != name or each.type != "datetime"]
        count = _Count(connection, column, *source_of(connection, scope, rest))
        if before >= last:
            return 0
        if any(COLUMNS[scope].get(each.column) in _OF_SCORES for each in conditions):
            return count.between(before, last)
        mark = connection.execute(_MARK).fetchone()
        known_mark, known_before, known_last, total = self._known.get(count.key, (None, 0, 0, 0))
        if known_mark == mark:
            total += count.between(known_last, last) - count.between(known_before, before)
        else:
            total = count.between(before, last)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[count.key] = mark, before, last, total
        return total


class _Count:
    """Counts the rows of a source by time."""

    def __init__(self, connection: Any, column: str, source: str, parameters: list[Any]) -> None:
        self.key = (source, *parameters)
        self._connection = connection
        self._column = column

    def between(self, before: int, last: int) -> int:
        """How many rows are later than `before` and not later than `last`; where time goes back, less than none."""
        if before == last:
            return 0
        if before > last:
            return -self.between(last, before)
        source, *parameters = self.key
        for bound, operator, open_end in ((before, ">", -LAST_NS - 1), (last, "<=", LAST_NS)):
            if bound != open_end:  # a bound that leaves nothing out would only lead the query planner astray
                source += f" AND {self._column} {operator} ?"
                parameters.append(bound)
        (found,) = self._connection.execute(f"SELECT count(*) FROM {source}", parameters).fetchone()
        return int(found)
