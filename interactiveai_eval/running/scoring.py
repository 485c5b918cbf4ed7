"""What evaluators return, made into `Evaluation`s at one place."""
from __future__ import annotations

from ..errors import ArgumentError, short_repr, type_name
from ..model import Evaluation, plain_score_value
from .calls import display_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BARE = (bool, int, float, str)
_KEYS = ("name", "value", "comment", "metadata", "data_type", "config_id")
# A made-up bound against endless iterables; real evaluators return a handful.
EVALUATIONS_MOST = 10_000


class UnreadableEvaluation(TypeError):
    """An evaluator returned something that is no evaluation; the message says what, and what would be one."""


def evaluations_from(returned: Any, name: str) -> list[Evaluation]:
    """The evaluations in what the evaluator called `name` returned; the list is new, the order kept.

    Taken are: an Evaluation, a mapping with `name` and `value`, a bare bool, number or text (called `name`), a pair of
    a bare value and a comment (text or None), an object with `name` and `score` (autoevals) or `name` and `value`,
    None (no evaluation), and any other iterable of these. Raises UnreadableEvaluation, ArgumentError.
    """
    if type(returned) is Evaluation:
        return [returned]
    if returned is None:
        return []
    found: list[Evaluation] = []
    _collect(returned, name, found, 0)
    return found


def _collect(returned: Any, name: str, found: list[Evaluation], depth: int) -> None:
    if isinstance(returned, Evaluation):
        found.append(returned)
    elif returned is None:
        return
    elif isinstance(returned, _BARE):
        found.append(Evaluation(name=name, value=returned))
    elif hasattr(returned, "keys") and hasattr(returned, "__getitem__"):
        found.append(_from_mapping(returned))
    elif _is_pair(returned):
        found.append(Evaluation(name=name, value=returned[0], comment=returned[1]))
    elif hasattr(returned, "name") and (hasattr(returned, "score") or hasattr(returned, "value")):
        found.append(_from_object(returned, name))
    elif _is_scalar(returned):
        found.append(Evaluation(name=name, value=plain_score_value(returned)))
    elif hasattr(returned, "__iter__") and not isinstance(returned, (bytes, bytearray, memoryview)) and depth < 3:
        for number, member in enumerate(returned, 1):
            _collect(member, name, found, depth + 1)
            if number > EVALUATIONS_MOST or len(found) > EVALUATIONS_MOST:
                raise UnreadableEvaluation(f"returned more than {EVALUATIONS_MOST} evaluations")
    else:
        raise UnreadableEvaluation(
            f"returned {short_repr(returned)} ({type_name(returned)}); return an Evaluation, a dict with 'name' "
            "and 'value', a number, text or bool, (value, comment), a list of these, or None"
        )


def _is_pair(returned: Any) -> bool:
    return (
        isinstance(returned, tuple)
        and len(returned) == 2
        and (returned[1] is None or isinstance(returned[1], str))
        and (
            (returned[0] is None and returned[1] is not None)  # no score, and why
            or isinstance(returned[0], _BARE)
            or _is_scalar(returned[0])
        )
    )


def _is_scalar(returned: Any) -> bool:
    """Whether `plain_score_value` knows this object as one number or text (numpy scalars, decimals, enum members)."""
    if hasattr(type(returned), "__len__"):
        return False
    try:
        plain_score_value(returned)
    except (ArgumentError, TypeError, ValueError):
        return False
    return True


def _from_mapping(returned: Any) -> Evaluation:
    keys = list(returned.keys())
    unknown = [key for key in keys if key not in _KEYS]
    missing = [key for key in _KEYS[:2] if key not in keys]
    if unknown or missing:
        problem = f"unknown key {unknown[0]!r}" if unknown else f"no key {missing[0]!r}"
        raise UnreadableEvaluation(
            f"returned a mapping with {problem}: {short_repr(returned)}; an evaluation has {', '.join(_KEYS)}"
        )
    return Evaluation(**{key: returned[key] for key in keys})


def _from_object(returned: Any, name: str) -> Evaluation:
    value = returned.score if hasattr(returned, "score") else returned.value
    metadata = getattr(returned, "metadata", None)
    comment = getattr(returned, "comment", None)
    if comment is None and isinstance(metadata, dict):
        comment = metadata.get("comment")
    return Evaluation(
        name=returned.name or name,
        value=value,
        comment=comment,
        metadata=metadata,
        data_type=getattr(returned, "data_type", None),
        config_id=getattr(returned, "config_id", None),
    )


def create_evaluator_from_autoevals(autoevals_evaluator: Any, **kwargs: Any) -> Any:
    """An evaluator function around an autoevals scorer, which wants `expected` and returns `name` and `score`.

    `kwargs` go to the scorer with every call. An awaitable scorer gives an awaitable, which the run awaits.
    """
    if not callable(autoevals_evaluator):
        raise ArgumentError("autoevals_evaluator", autoevals_evaluator, "must be a scorer of autoevals")

    def evaluator(*, input: Any, output: Any, expected_output: Any = None, metadata: Any = None, **more: Any) -> Any:
        return autoevals_evaluator(input=input, output=output, expected=expected_output, **kwargs)

    scorer_name = getattr(autoevals_evaluator, "_name", None)
    name = scorer_name() if callable(scorer_name) else display_name(autoevals_evaluator)
    evaluator.__name__ = evaluator.__qualname__ = str(name)
    return evaluator
