"""The nouns of a batch evaluation: what a mapper returns, what failed, the token that goes on, and what all comes to.

`EvaluatorInputs` is made by users, the others by the run.
"""
from __future__ import annotations

import json

from ._ids import DIGEST_LENGTH, sha256_hex
from ._strict_json import JSONError, from_json, to_json, to_plain
from .errors import ArgumentError, DataError, short_repr, type_name
from .model import DeliveryReport, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from .model import Evaluation, EvaluatorStats

SCHEMA = "interactiveai_eval/resume-token"
SCHEMA_VERSION = 1
MAX_TOKEN_BYTES = 4096  # a token fits into a cookie, an environment variable, a cell of a table
MAX_FAILED_BYTES = 2048  # of these for failed ids, some fifty: they must not leave the position without room
MAX_OWN_BYTES = 1024  # of these for the caller's own texts (filter, run id, data set run); longer ones come on top


class EvaluatorInputs(Value):
    """What a mapper makes of a trace or observation, and what evaluators get."""

    __slots__ = ("input", "output", "expected_output", "metadata")

    input: Any
    output: Any
    expected_output: Any
    metadata: dict[str, Any] | None

    def __init__(
        self, *, input: Any, output: Any, expected_output: Any = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self._fill({"input": input, "output": output, "expected_output": expected_output, "metadata": metadata})

    @classmethod
    def of(cls, returned: Any) -> EvaluatorInputs:
        """What a mapper returned: EvaluatorInputs as they are, or a mapping with `input`, `output` and maybe the rest.

        Raises TypeError for everything else; the message says what came and what should.
        """
        if isinstance(returned, EvaluatorInputs):
            return returned
        if not (hasattr(returned, "keys") and hasattr(returned, "__getitem__")):
            raise TypeError(
                f"the mapper returned {short_repr(returned)} ({type_name(returned)}); "
                "return EvaluatorInputs or a dict with 'input' and 'output'"
            )
        keys = list(returned.keys())
        unknown = [key for key in keys if key not in cls._fields]
        missing = [key for key in ("input", "output") if key not in keys]
        if unknown or missing:
            problem = f"unknown key {unknown[0]!r}" if unknown else f"no key {missing[0]!r}"
            raise TypeError(
                f"the mapper returned a mapping with {problem}: {short_repr(returned)}; "
                f"evaluator inputs have {', '.join(cls._fields)}"
            )
        return cls(**{key: returned[key] for key in keys})


class BatchItemFailure(Value):
    """One thing that went wrong with one item.

    `stage` is "fetch" (the item could not be read), "item" (what came is no item), "mapper", "evaluator" (`evaluator`
    says which; the item itself still counts as processed) or "cancelled". `item_id` is None where an item came
    without one; `traceback` is text.
    """

    __slots__ = ("item_id", "stage", "error_type", "message", "traceback", "evaluator")

    item_id: str | None
    stage: str
    error_type: str
    message: str
    traceback: str
    evaluator: str | None

    def __init__(
        self,
        *,
        item_id: str | None,
        stage: str,
        error_type: str,
        message: str,
        traceback: str = "",
        evaluator: str | None = None,
    ) -> None:
        self._fill(
            {
                "item_id": item_id,
                "stage": stage,
                "error_type": error_type,
                "message": message,
                "traceback": traceback,
                "evaluator": evaluator,
            }
        )


class BatchEvaluationResumeToken(Value):
    """Where a batch evaluation stands, so that a later call goes on from there: `resume_from=token`.

    The first five are the reference's: kept as they are given, and judged by the run that uses them. The others are
    set by runs of this package, and are checked at once:

    - `run_id`: score ids are derived from it, so that what is evaluated twice lands once.
    - `upper`: ISO 8601 text of the upper time bound that was fixed when the run began. `lower`: that of a lower one,
      from a token of the reference.
    - `direction`: the order in which rows are read, "asc" or "desc"; None: not known yet.
    - `position`: {"time": ISO 8601 text, "ids": [`item_digest` of every item at that time that is done]}; all items
      before that time (in `direction`) are done. None: nothing is done.
    - `failed_ids`: done items that failed, to be tried again before all others; but the last `failed_again` of them,
      which failed when they were tried again or were cut off by the end of a call, after all others: else those that
      never succeed, or take too long, could take up all that a call may attempt. `only_failed`: nothing but those is
      left.
    - `counts`: cumulative counts by name. `evaluators_fingerprint`: a short text that changes with the evaluators.
    - `shard`: (k, n). `dataset_run`: (data set name, run name).

    `to_json` has at most 4 KB, however many items there are; see `advanced`.
    """

    __slots__ = (
        "scope",
        "filter",
        "last_processed_timestamp",
        "last_processed_id",
        "items_processed",
        "run_id",
        "upper",
        "lower",
        "direction",
        "position",
        "failed_ids",
        "failed_again",
        "only_failed",
        "counts",
        "evaluators_fingerprint",
        "shard",
        "dataset_run",
    )

    scope: str
    filter: str | None
    last_processed_timestamp: str
    last_processed_id: str
    items_processed: int
    run_id: str | None
    upper: str | None
    lower: str | None
    direction: str | None
    position: dict[str, Any] | None
    failed_ids: list[str]
    failed_again: int
    only_failed: bool
    counts: dict[str, int]
    evaluators_fingerprint: str | None
    shard: tuple[int, int] | None
    dataset_run: tuple[str, str] | None

    def __init__(
        self,
        *,
        scope: str,
        filter: str | None,
        last_processed_timestamp: str,
        last_processed_id: str,
        items_processed: int,
        run_id: str | None = None,
        upper: str | None = None,
        lower: str | None = None,
        direction: str | None = None,
        position: Mapping[str, Any] | None = None,
        failed_ids: Sequence[str] = (),
        failed_again: int = 0,
        only_failed: bool = False,
        counts: Mapping[str, int] | None = None,
        evaluators_fingerprint: str | None = None,
        shard: Sequence[int] | None = None,
        dataset_run: Sequence[str] | None = None,
    ) -> None:
        """Raises ArgumentError for what cannot be one of our own fields."""
        ours = {
            "run_id": run_id,
            "upper": upper,
            "lower": lower,
            "direction": direction,
            "position": position,
            "failed_ids": failed_ids,
            "failed_again": failed_again,
            "only_failed": only_failed,
            "counts": {} if counts is None else counts,
            "evaluators_fingerprint": evaluators_fingerprint,
            "shard": shard,
            "dataset_run": dataset_run,
        }
        self._fill(
            {
                "scope": scope,
                "filter": filter,
                "last_processed_timestamp": last_processed_timestamp,
                "last_processed_id": last_processed_id,
                "items_processed": items_processed,
                **{name: _OURS[name](name, value) for name, value in ours.items()},
            }
        )

    def replaced(self, **changes: Any) -> Any:
        """The same token with some fields changed, checked like a new one; it may not fit any more."""
        return BatchEvaluationResumeToken(**{**dict(self.items()), **changes})

    def advanced(
        self,
        *,
        position: Mapping[str, Any],
        last_id: str,
        items_processed: int,
        failed_ids: Sequence[str],
        counts: Mapping[str, int],
        failed_again: int = 0,
    ) -> BatchEvaluationResumeToken:
        """The token moved on to `position`, or this very token when the one moved on would not fit.

        `failed_ids` are all done items that failed, those that this token has included, by their real ids. The run
        calls it for each finished, unbroken prefix:

            moved = token.advanced(position=..., ...)
            held_back = moved is token

        A token that is held back is not wrong, only behind: a later prefix may fit again (another time, fewer ids at
        it), and what lies beyond it is evaluated again on resume, with the same score ids.
        """
        # Asked first: a hundred thousand ids are not to be checked for each step of the run.
        if DIGEST_LENGTH * len(position["ids"]) > MAX_TOKEN_BYTES or len(failed_ids) > MAX_FAILED_BYTES:
            return self
        moved: BatchEvaluationResumeToken = self.replaced(
            position=position,
            last_processed_timestamp=position["time"],
            last_processed_id=last_id,
            items_processed=items_processed,
            failed_ids=failed_ids,
            failed_again=failed_again,
            counts=counts,
        )
        return moved if moved.fits() else self

    def by_tries(self) -> tuple[list[str], list[str]]:
        """The failed ids that were tried once, and those that were tried again in vain, the least recent first."""
        once = max(0, len(self.failed_ids) - self.failed_again)
        return self.failed_ids[:once], self.failed_ids[once:]

    def fits(self) -> bool:
        """Whether the token keeps to its 4 KB, and its failed ids to their share of them.

        Of the caller's own texts (filter, run id, data set run) no more than 1 KB counts: with longer ones the token
        is as much longer, since it could never move otherwise.
        """
        if len(to_json(self.failed_ids)) > MAX_FAILED_BYTES:
            return False
        own = len(to_json([self.filter, self.run_id, self.dataset_run]))
        return len(self.to_json()) <= MAX_TOKEN_BYTES + max(0, own - MAX_OWN_BYTES)

    def to_dict(self) -> dict[str, Any]:
        """The token as plain values (what JSON can say) without empty fields, with a schema version and a checksum."""
        fields = {name: value for name, value in self.items() if name in _REFERENCE or value not in _EMPTY}
        if self.position is not None:
            # In one text the digests take the least room.
            fields["position"] = {"time": self.position["time"], "ids": "".join(self.position["ids"])}
        document = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **to_plain(fields)}
        return {**document, "checksum": _checksum(document)}

    def to_json(self) -> str:
        """`to_dict` as ASCII text."""
        return to_json(self.to_dict())

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> BatchEvaluationResumeToken:
        """The token of a document made by `to_dict`.

        Raises DataError (a ValueError) for what is no token, was changed or damaged, or is of a newer version.
        """
        _check_document(document)
        missing = [name for name in _REFERENCE if name not in document]
        if missing:
            raise DataError(f"resume token: {missing[0]} is missing")
        fields = {name: value for name, value in to_plain(document).items() if name in cls._fields}
        position = fields.get("position")
        if isinstance(position, dict) and isinstance(position.get("ids"), str):
            ids = position["ids"]
            digests = [ids[start : start + DIGEST_LENGTH] for start in range(0, len(ids), DIGEST_LENGTH)]
            fields["position"] = {**position, "ids": digests}
        try:
            return cls(**fields)
        except ArgumentError as error:
            raise DataError(f"resume token: {error}") from None

    @classmethod
    def from_json(cls, text: str | bytes) -> BatchEvaluationResumeToken:
        """The token of a text made by `to_json`. Raises DataError like `from_dict`."""
        if not isinstance(text, (str, bytes, bytearray)):
            raise DataError(f"not a resume token: {short_repr(text, 40)} instead of a JSON text")
        try:
            document = from_json(text)
        except JSONError as error:
            raise DataError(f"not a resume token: {error}") from None
        return cls.from_dict(document)

    def __repr__(self) -> str:
        fields = [(name, value) for name, value in self.items() if name in _REFERENCE or value not in _EMPTY]
        return f"BatchEvaluationResumeToken({', '.join(f'{name}={value!r}' for name, value in fields)})"


class BatchEvaluationRecord(Value):
    """All that a batch evaluation leaves behind, as plain fields.

    `batch_result.BatchEvaluationResult` adds what can be done with it.

    `total_items_processed` and `total_items_failed` add up to the items that were attempted. The two totals of scores
    count what was accepted for delivery, `delivery` says what arrived. `total_evaluations_failed` counts evaluators
    and the composite. `evaluator_stats` has a row for each evaluator by position, then one for the composite.
    `resume_token` is None when nothing remains. `error_summary` counts failed items by error type,
    and the page that could not be read.
    `has_more_items`: whether items are left that match. `item_evaluations` maps item ids to evaluations, the
    composite's last; `item_failures` says why items and evaluators failed. `retry` is for `retry_token`. `run_id`
    is what a call and those that go on from its token share, `shard` the part of the items that the run is about; both
    are for `merge`.
    """

    __slots__ = (
        "total_items_fetched",
        "total_items_processed",
        "total_items_failed",
        "total_scores_created",
        "total_composite_scores_created",
        "total_evaluations_failed",
        "evaluator_stats",
        "resume_token",
        "completed",
        "duration_seconds",
        "failed_item_ids",
        "error_summary",
        "has_more_items",
        "item_evaluations",
        "item_failures",
        "delivery",
        "retry",
        "run_id",
        "shard",
    )

    total_items_fetched: int
    total_items_processed: int
    total_items_failed: int
    total_scores_created: int
    total_composite_scores_created: int
    total_evaluations_failed: int
    evaluator_stats: list[EvaluatorStats]
    resume_token: BatchEvaluationResumeToken | None
    completed: bool
    duration_seconds: float
    failed_item_ids: list[str]
    error_summary: dict[str, int]
    has_more_items: bool
    item_evaluations: dict[str, list[Evaluation]]
    item_failures: list[BatchItemFailure]
    delivery: DeliveryReport
    retry: BatchEvaluationResumeToken | None
    run_id: str | None
    shard: tuple[int, int] | None

    def __init__(
        self,
        *,
        total_items_fetched: int,
        total_items_processed: int,
        total_items_failed: int,
        total_scores_created: int,
        total_composite_scores_created: int,
        total_evaluations_failed: int,
        evaluator_stats: list[EvaluatorStats],
        resume_token: BatchEvaluationResumeToken | None,
        completed: bool,
        duration_seconds: float,
        failed_item_ids: list[str],
        error_summary: dict[str, int],
        has_more_items: bool,
        item_evaluations: dict[str, list[Evaluation]],
        item_failures: list[BatchItemFailure] | None = None,
        delivery: DeliveryReport | None = None,
        retry: BatchEvaluationResumeToken | None = None,
        run_id: str | None = None,
        shard: tuple[int, int] | None = None,
    ) -> None:
        self._fill(
            {
                "total_items_fetched": total_items_fetched,
                "total_items_processed": total_items_processed,
                "total_items_failed": total_items_failed,
                "total_scores_created": total_scores_created,
                "total_composite_scores_created": total_composite_scores_created,
                "total_evaluations_failed": total_evaluations_failed,
                "evaluator_stats": evaluator_stats,
                "resume_token": resume_token,
                "completed": completed,
                "duration_seconds": duration_seconds,
                "failed_item_ids": failed_item_ids,
                "error_summary": error_summary,
                "has_more_items": has_more_items,
                "item_evaluations": item_evaluations,
                "item_failures": [] if item_failures is None else item_failures,
                "delivery": DeliveryReport() if delivery is None else delivery,
                "retry": retry,
                "run_id": run_id,
                "shard": shard,
            }
        )


_REFERENCE = BatchEvaluationResumeToken._fields[:5]
_EMPTY: tuple[Any, ...] = (None, [], {}, False)
_sorted_encode: Callable[[Any], str] = json.JSONEncoder(allow_nan=False, sort_keys=True).encode


def _checksum(document: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that notice a change, whatever the order of keys; they keep nobody from forging."""
    return sha256_hex(_sorted_encode(to_plain(document)).encode("ascii"))[:16]


def _check_document(document: Any) -> None:
    if not isinstance(document, dict):
        raise DataError(f"not a resume token: {short_repr(document, 40)} instead of an object")
    if document.get("schema") != SCHEMA:
        raise DataError(
            f"not a resume token: schema is {short_repr(document.get('schema'), 60)} instead of {SCHEMA!r}"
        )
    version = document.get("schema_version")
    if type(version) is not int or version < 1:
        raise DataError(f"resume token: schema_version {short_repr(version, 40)} is not a whole number from 1")
    if version > SCHEMA_VERSION:
        raise DataError(
            f"resume token: it was made in version {version}, this package reads up to {SCHEMA_VERSION}; "
            "update the package"
        )
    rest = {name: value for name, value in document.items() if name != "checksum"}
    if document.get("checksum") != _checksum(rest):
        raise DataError("resume token: it was changed or damaged, its checksum does not match; use an earlier one")


# -- what our own fields may hold: each function returns the token's own copy, or raises ArgumentError -----------------


def _text(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    raise ArgumentError(name, value, "must be a text or None")


def _direction(name: str, value: Any) -> Any:
    if value is None or (isinstance(value, str) and value in ("asc", "desc")):
        return value
    raise ArgumentError(name, value, "must be 'asc', 'desc' or None")


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ArgumentError(name, value, "must be True or False")


def _texts(name: str, value: Any) -> list[str]:
    if isinstance(value, (list, tuple)) and all(isinstance(member, str) for member in value):
        return list(value)
    raise ArgumentError(name, value, "must be a list of texts")


def _count(name: str, value: Any) -> int:
    if type(value) is int and value >= 0:
        return value
    raise ArgumentError(name, value, "must be a whole number from 0")


def _position(name: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, dict) and set(value) == {"time", "ids"} and isinstance(value["time"], str):
        ids = value["ids"]
        digests = isinstance(ids, list) and all(isinstance(each, str) and len(each) == DIGEST_LENGTH for each in ids)
        if digests:
            return {"time": value["time"], "ids": list(ids)}
    raise ArgumentError(name, value, "must be {'time': text, 'ids': [item_digest(id), ...]} or None")


def _counts(name: str, value: Any) -> dict[str, int]:
    whole = isinstance(value, dict) and all(isinstance(key, str) for key in value)
    if whole and all(type(count) is int and count >= 0 for count in value.values()):
        return dict(value)
    raise ArgumentError(name, value, "must be a dict of texts and whole numbers from 0")


def _shard(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    pair = isinstance(value, (list, tuple)) and len(value) == 2 and all(type(part) is int for part in value)
    if pair and 0 <= value[0] < value[1]:
        return value[0], value[1]
    raise ArgumentError(name, value, "must be (k, n): the k-th (from 0) of n parts")


def _dataset_run(name: str, value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(part, str) for part in value):
        return value[0], value[1]
    raise ArgumentError(name, value, "must be (data set name, run name)")


_OURS: dict[str, Callable[[str, Any], Any]] = {
    "run_id": _text,
    "upper": _text,
    "lower": _text,
    "direction": _direction,
    "position": _position,
    "failed_ids": _texts,
    "failed_again": _count,
    "only_failed": _flag,
    "counts": _counts,
    "evaluators_fingerprint": _text,
    "shard": _shard,
    "dataset_run": _dataset_run,
}
