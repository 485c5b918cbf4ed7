"""Evaluations and scores as the bodies that the score endpoints take."""
from __future__ import annotations

from .._clock import ns_to_iso
from .._strict_json import SAFE_INTEGER, well_formed
from ..errors import ArgumentError
from ..model import Evaluation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Unsendable(ValueError):
    """This value is never sent; the message says why."""


def score_body(
    evaluation: Evaluation, *, id: str, timestamp_ns: int, environment: str | None = None, **target: str | None
) -> dict[str, Any]:
    """The body of one score, camelCase keys, without those that are None.

    `target` names what is scored: trace_id, with or without observation_id; session_id; or dataset_run_id.
    A bool is sent as 1 or 0 with data type BOOLEAN (servers refuse JSON true and false), metadata that is not a
    mapping inside one. Raises Unsendable for None, NaN, infinities and integers that a double cannot hold exactly.
    """
    value, data_type = _sendable(evaluation.value, evaluation.data_type)
    body: dict[str, Any] = {"id": id}
    for name, named in target.items():
        if named is not None:
            body[_TARGETS[name]] = named
    body["name"] = well_formed(evaluation.name)
    body["value"] = value
    if evaluation.comment is not None:
        body["comment"] = well_formed(evaluation.comment)
    metadata = evaluation.metadata
    if metadata is not None:
        body["metadata"] = metadata if isinstance(metadata, dict) else {"metadata": metadata}
    if evaluation.config_id is None or evaluation.data_type is not None:
        body["dataType"] = data_type
    if evaluation.config_id is not None:
        body["configId"] = evaluation.config_id
    if environment is not None:
        body["environment"] = environment
    body["timestamp"] = ns_to_iso(timestamp_ns)
    return body


_TARGETS = {
    "trace_id": "traceId",
    "observation_id": "observationId",
    "session_id": "sessionId",
    "dataset_run_id": "datasetRunId",
}


def check_target(**target: str | None) -> None:
    """Raise ArgumentError unless the target of a score is one that servers take."""
    given = [name for name in _TARGETS if target.get(name) is not None]
    if given == ["observation_id"]:
        raise ArgumentError("observation_id", target["observation_id"], "needs the trace_id of its trace too")
    if len([name for name in given if name != "observation_id"]) != 1:
        raise ArgumentError("trace_id", target.get("trace_id"), "give one of trace_id, session_id and dataset_run_id")


def _sendable(value: Any, data_type: str | None) -> tuple[Any, str]:
    if value is None:
        raise Unsendable("value is None: evaluated, but no score")
    if value is True or value is False:
        return int(value), data_type or "BOOLEAN"
    if isinstance(value, str):
        return well_formed(value), data_type or "CATEGORICAL"
    if isinstance(value, int) and not -SAFE_INTEGER <= value <= SAFE_INTEGER:
        try:
            exact = float(value)
        except OverflowError:
            raise Unsendable("value is larger than any number that servers take") from None
        if int(exact) != value:
            raise Unsendable(f"value {value} has no exact form as a double")
        return exact, data_type or "NUMERIC"
    if value - value != 0:
        raise Unsendable(f"value is {value}")
    return value, data_type or "NUMERIC"
