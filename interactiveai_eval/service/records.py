"""Traces and observations as mappers get them: the server's JSON objects, read by attribute.

Nothing is dropped and nothing is made up: fields that this version does not know are there under their names, and a
field that the documents promise is None where the server left it out.
"""
from __future__ import annotations

from collections.abc import Mapping

from .._clock import iso_to_datetime
from .._copies import private_copy
from .dialects import snake_case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# What the documents promise (WIRE.md sections 2.7 and 2.8), by the names of the wire.
_TRACE_FIELDS = (
    "id timestamp name input output sessionId release version userId metadata tags public environment htmlPath "
    "latency totalCost observations scores createdAt updatedAt projectId externalId bookmarked"
)
_OBSERVATION_FIELDS = (
    "id traceId type name startTime endTime completionStartTime model modelParameters input version metadata output "
    "usage usageDetails costDetails level statusMessage parentObservationId promptId promptName promptVersion modelId "
    "inputPrice outputPrice totalPrice calculatedInputCost calculatedOutputCost calculatedTotalCost latency "
    "timeToFirstToken environment createdAt updatedAt projectId"
)
_SCORE_FIELDS = (
    "id traceId observationId sessionId datasetRunId name value stringValue dataType comment metadata configId "
    "environment source timestamp authorUserId queueId createdAt updatedAt"
)
_TIMES = frozenset(("timestamp", "startTime", "endTime", "completionStartTime", "createdAt", "updatedAt"))


class Record(Mapping[str, "Any"]):
    """One object of the server, by attribute or by key, each under both names: `record.user_id`, `record["userId"]`.

    Times are aware datetimes, `observations` and `scores` of a trace are lists of records; input, output and metadata
    are the plain values that came. Iterating gives the names of the wire. `raw` is the object as it came; it is shared,
    not copied. Raises AttributeError or KeyError for names that neither the server nor the documents know.
    """

    __slots__ = ("raw",)

    _known: Mapping[str, str] = {}
    raw: Mapping[str, Any]

    def __init__(self, raw: Mapping[str, Any]) -> None:
        object.__setattr__(self, "raw", raw)

    def __getitem__(self, name: str) -> Any:
        raw = self.raw
        key = name if name in raw else self._known.get(name, name)
        if key in raw:
            value = raw[key]
        elif name in self._known:
            return None
        else:
            key = next((each for each in raw if snake_case(each) == name), None)  # type: ignore[assignment]
            if key is None:
                raise KeyError(name)
            value = raw[key]
        if key in _TIMES and isinstance(value, str):
            return _moment(value)
        kind = _NESTED.get(key)
        if kind is not None and isinstance(value, list):
            return [kind(each) if isinstance(each, dict) else each for each in value]
        return value

    def __getattr__(self, name: str) -> Any:
        if name == "raw" or name.startswith("__"):  # asked for by Python itself, for each copy; or before it is there
            raise AttributeError(name)
        if name in self.raw and name not in _MADE_MORE_OF:
            return self.raw[name]
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this {type(self).__name__} has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: {name!r} is what the server said")

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.raw!r})"

    def __deepcopy__(self, memo: Any) -> Any:
        return type(self)(private_copy(self.raw))  # many times quicker than by way of `__reduce__`

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.raw,)


def _names(fields: str) -> dict[str, str]:
    """Both names of each field, each with the name of the wire."""
    wire = fields.split()
    return {**{snake_case(name): name for name in wire}, **{name: name for name in wire}}


class TraceRecord(Record):
    """A trace."""

    __slots__ = ()
    _known = _names(_TRACE_FIELDS)


class ObservationRecord(Record):
    """An observation: a span, a generation or an event."""

    __slots__ = ()
    _known = _names(_OBSERVATION_FIELDS)


class ScoreRecord(Record):
    """A score of a trace that was fetched in full."""

    __slots__ = ()
    _known = _names(_SCORE_FIELDS)


_NESTED: dict[str, type[Record]] = {"observations": ObservationRecord, "scores": ScoreRecord}


_MADE_MORE_OF = _TIMES | _NESTED.keys()


def _moment(text: str) -> Any:
    try:
        return iso_to_datetime(text)
    except ValueError:
        return text  # a server's odd time is no reason to lose the object
