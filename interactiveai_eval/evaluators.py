"""A small set of evaluators that need nothing else: each function makes one, to be put into `evaluators=[...]`.

    from interactiveai_eval import evaluators

    client.run_experiment(..., evaluators=[evaluators.exact(ignore_case=True), evaluators.max_duration(2.0)],
                          run_evaluators=[evaluators.pass_rate("exact")])

Where an item has no expected output, those that compare with one give no score (None), which counts as missing. All are
plain objects that can be sent to other processes, and take all that is offered, as `types.EvaluatorFunction` has it.
"""
from __future__ import annotations

import re
from math import isclose

from ._strict_json import JSONError, from_json, to_json, to_plain
from .errors import ArgumentError, short_repr
from .llm_judge import llm_judge as llm_judge
from .model import Evaluation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, Union

    from .item_result import ExperimentItemResult
    from .model import ItemFailure

    Judged = tuple[Union[bool, float, str, None], Union[str, None]]

_SHOWN = 5  # differences and labels that a comment names


class OutputEvaluator:
    """An evaluator of one output: `judge(output, expected_output, **settings)` gives a value and a comment.

    One that `compares` the two gives no score where no output is expected.
    """

    def __init__(self, name: Any, judge: Callable[..., Judged], *, compares: bool = False, **settings: Any) -> None:
        self.__name__ = _name(name)
        self._judge = judge
        self._compares = compares
        self._settings = settings

    def __call__(self, *, output: Any, expected_output: Any = None, **others: Any) -> Evaluation:
        if self._compares and expected_output is None:
            return Evaluation(name=self.__name__, value=None, comment="no expected output")
        value, comment = self._judge(output, expected_output, **self._settings)
        return Evaluation(name=self.__name__, value=value, comment=comment)

    def __repr__(self) -> str:
        return f"<evaluator {self.__name__!r}>"


class _DurationEvaluator(OutputEvaluator):
    """The same for how long the task took."""

    def __call__(self, *, duration_seconds: float | None = None, **others: Any) -> Evaluation:
        value, comment = self._judge(duration_seconds, **self._settings)
        return Evaluation(name=self.__name__, value=value, comment=comment)


class RunEvaluator:
    """An evaluator of a whole run: `judge(item_results, item_failures, **settings)` gives evaluations."""

    def __init__(self, name: Any, judge: Callable[..., list[Evaluation]], **settings: Any) -> None:
        self.__name__ = _name(name)
        self._judge = judge
        self._settings = settings

    def __call__(
        self, *, item_results: Sequence[ExperimentItemResult], item_failures: Sequence[ItemFailure] = (), **others: Any
    ) -> list[Evaluation]:
        return self._judge(self.__name__, item_results, item_failures, **self._settings)

    def __repr__(self) -> str:
        return f"<run evaluator {self.__name__!r}>"


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ArgumentError("name", name, "an evaluation needs a name, such as 'accuracy'")
    return name


def _number(argument: str, value: Any, *, least: float = 0.0, most: float = float("inf")) -> float:
    """`value` as a number. Raises ArgumentError for another thing, and outside of the bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        bounds = f"from {least:g}" + (f" to {most:g}" if most < float("inf") else "")
        raise ArgumentError(argument, value, f"must be a number {bounds}")
    return float(value)


# -- one output --------------------------------------------------------------------------------------------------------


def exact(*, ignore_case: bool = False, strip: bool = False, name: str = "exact") -> OutputEvaluator:
    """Whether output and expected output are equal; texts without regard to case or to white space around, if asked."""
    return OutputEvaluator(name, _exact, compares=True, ignore_case=ignore_case, strip=strip)


def _exact(output: Any, expected: Any, ignore_case: bool, strip: bool) -> Judged:
    given, wanted = (_folded(value, ignore_case, strip) for value in (output, expected))
    if isinstance(given, bool) is not isinstance(wanted, bool):
        return False, _instead(output, expected)  # True is no 1
    return (True, None) if given == wanted else (False, _instead(output, expected))


def _folded(value: Any, ignore_case: bool, strip: bool = False) -> Any:
    if isinstance(value, str):
        value = value.strip() if strip else value
        return value.casefold() if ignore_case else value
    return value


def _instead(output: Any, expected: Any) -> str:
    return f"{short_repr(output, 80)} instead of {short_repr(expected, 80)}"


def contains(text: str | None = None, *, ignore_case: bool = False, name: str = "contains") -> OutputEvaluator:
    """Whether the output has `text` in it, or the item's expected output where `text` is None."""
    if text is not None and (not isinstance(text, str) or not text):
        raise ArgumentError("text", text, "must be a text that is not empty, or None for the expected output")
    return OutputEvaluator(name, _contains, compares=text is None, text=text, ignore_case=ignore_case)


def _contains(output: Any, expected: Any, text: str | None, ignore_case: bool) -> Judged:
    wanted = expected if text is None else text
    found = _folded(str(wanted), ignore_case) in _folded(str(output), ignore_case)
    return found, None if found else f"{short_repr(wanted, 80)} is not in it"


def regex(pattern: str, *, ignore_case: bool = False, full: bool = False, name: str = "regex") -> OutputEvaluator:
    """Whether the output matches a regular expression somewhere, or as a whole with `full`."""
    try:
        compiled = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise ArgumentError("pattern", pattern, f"is no regular expression: {error}") from None
    return OutputEvaluator(name, _regex, pattern=compiled, full=full)


def _regex(output: Any, expected: Any, pattern: re.Pattern[str], full: bool) -> Judged:
    found = pattern.fullmatch(str(output)) if full else pattern.search(str(output))
    return found is not None, None if found else "no match"


def numeric(*, absolute: float = 0.0, relative: float = 0.0, name: str = "numeric") -> OutputEvaluator:
    """Whether output and expected output are the same number, up to an absolute or relative (of the larger) difference.

    Texts that are numbers count ("1,200.5" too); what is no number is not the same.
    """
    settings = {"absolute": _number("absolute", absolute), "relative": _number("relative", relative, most=1.0)}
    return OutputEvaluator(name, _numeric, compares=True, **settings)


_grouped = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")


def _numeric(output: Any, expected: Any, absolute: float, relative: float) -> Judged:
    given, wanted = _as_number(output), _as_number(expected)
    if wanted is None:
        return None, f"the expected output {short_repr(expected, 80)} is no number"
    if given is None:
        return False, f"{short_repr(output, 80)} is no number"
    same = isclose(given, wanted, rel_tol=relative, abs_tol=absolute)
    return same, None if same else _instead(output, expected)


def _as_number(value: Any) -> float | None:
    if isinstance(value, str):
        value = value.strip()
        value = value.replace(",", "") if _grouped.fullmatch(value) else value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number - number == 0.0 and not isinstance(value, bool) else None


def json_valid(*, name: str = "json_valid") -> OutputEvaluator:
    """Whether the output is strict JSON (no NaN, no comments); a comment says what is wrong and where."""
    return OutputEvaluator(name, _json_valid)


def _json_valid(output: Any, expected: Any) -> Judged:
    if not isinstance(output, (str, bytes)):
        return False, f"{type(output).__name__} instead of a text"
    try:
        from_json(output)
    except JSONError as error:
        return False, str(error)
    return True, None


def json_match(*, absolute: float = 0.0, relative: float = 0.0, name: str = "json_match") -> OutputEvaluator:
    """The share of equal values (leaves) in output and expected output, 1 where the two are equal.

    Texts are read as JSON; numbers may differ as in `numeric`. The comment names the first differences by their path.
    """
    settings = {"absolute": _number("absolute", absolute), "relative": _number("relative", relative, most=1.0)}
    return OutputEvaluator(name, _json_match, compares=True, **settings)


def _json_match(output: Any, expected: Any, absolute: float, relative: float) -> Judged:
    try:
        given = from_json(output) if isinstance(output, (str, bytes)) else to_plain(output)
    except JSONError as error:
        return 0.0, f"the output is no JSON: {error}"
    try:
        wanted = from_json(expected) if isinstance(expected, (str, bytes)) else to_plain(expected)
    except JSONError as error:
        return None, f"the expected output is no JSON: {error}"
    total, differences = 0, []
    for path, left, right in _leaves("$", given, wanted):
        total += 1
        if left is _ABSENT or right is _ABSENT:
            differences.append(f"{path} is {'missing' if left is _ABSENT else 'too much'}")
        elif not _same_leaf(left, right, absolute, relative):
            differences.append(f"{path}: {_instead(left, right)}")
    more = f"; {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    comment = "; ".join(differences[:_SHOWN]) + more if differences else None
    return (total - len(differences)) / total, comment


_ABSENT: Any = object()


def _leaves(path: str, given: Any, wanted: Any) -> Iterator[tuple[str, Any, Any]]:
    """(path, value here, value there) of every leaf of either side."""
    todo = [(path, given, wanted)]
    while todo:
        where, left, right = todo.pop()
        if isinstance(left, dict) and isinstance(right, dict) and (left or right):
            names = list(dict.fromkeys([*right, *left]))
            todo += [(f"{where}.{n}", left.get(n, _ABSENT), right.get(n, _ABSENT)) for n in reversed(names)]
        elif isinstance(left, list) and isinstance(right, list) and (left or right):
            for n in reversed(range(max(len(left), len(right)))):
                pair = (side[n] if n < len(side) else _ABSENT for side in (left, right))
                todo.append((f"{where}[{n}]", *pair))
        else:
            yield where, left, right


def _same_leaf(left: Any, right: Any, absolute: float, relative: float) -> bool:
    numbers = [isinstance(side, (int, float)) and not isinstance(side, bool) for side in (left, right)]
    if all(numbers):
        return left == right or isclose(left, right, rel_tol=relative, abs_tol=absolute)
    return type(left) is type(right) and bool(left == right)


def list_overlap(measure: str = "f1", *, name: str | None = None) -> OutputEvaluator:
    """How far two lists have the same members, in any order: "f1", "precision", "recall" or "jaccard", from 0 to 1.

    Its metric is "list_overlap", of another measure than "f1" "list_overlap_recall" and so on, unless `name` says more.
    Members that occur several times count as often; a text is read as a JSON list. Two empty lists agree fully.
    """
    if measure not in _MEASURES:
        raise ArgumentError("measure", measure, f"must be one of {', '.join(_MEASURES)}")
    made = "list_overlap" if measure == "f1" else f"list_overlap_{measure}"
    return OutputEvaluator(made if name is None else name, _list_overlap, compares=True, measure=measure)


_MEASURES = ("f1", "precision", "recall", "jaccard")


def _list_overlap(output: Any, expected: Any, measure: str) -> Judged:
    given, wanted = _members(output), _members(expected)
    if wanted is None:
        return None, f"the expected output {short_repr(expected, 80)} is no list"
    if given is None:
        return 0.0, f"{short_repr(output, 80)} is no list"
    lacking = [member for member in wanted if wanted[member] > given.get(member, 0)]
    comment = f"missing: {', '.join(member[:40] for member in lacking[:_SHOWN])}" if lacking else None
    return _overlap(given, wanted, measure), comment


def _members(value: Any) -> dict[str, int] | None:
    """How often each member occurs, as JSON text; None for what is no list."""
    if isinstance(value, (str, bytes)):
        try:
            value = from_json(value)
        except JSONError:
            return None
    if not isinstance(value, (list, tuple, set, frozenset)):
        return None
    return _counts(to_json(member) for member in value)


def _counts(members: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for member in members:
        counts[member] = counts.get(member, 0) + 1
    return counts


def _overlap(given: dict[str, int], wanted: dict[str, int], measure: str) -> float:
    common = sum(min(count, wanted.get(member, 0)) for member, count in given.items())
    ours, theirs = sum(given.values()), sum(wanted.values())
    if not ours and not theirs:
        return 1.0
    whole = {"precision": ours, "recall": theirs, "jaccard": ours + theirs - common, "f1": (ours + theirs) / 2}[measure]
    return common / whole if whole else 0.0


def levenshtein(*, ignore_case: bool = False, name: str = "levenshtein") -> OutputEvaluator:
    """How near two texts are: 1 minus the edits (insert, delete, replace) between them by the longer one's length."""
    return OutputEvaluator(name, _levenshtein, compares=True, ignore_case=ignore_case)


def _levenshtein(output: Any, expected: Any, ignore_case: bool) -> Judged:
    left, right = (_folded(str(value), ignore_case) for value in (output, expected))
    longer = max(len(left), len(right))
    return (1.0 - edit_distance(left, right) / longer if longer else 1.0), None


def edit_distance(left: str, right: str) -> int:
    """Levenshtein's distance. A column of the table is one integer, so that long texts take no long time.

    Source: Myers, Journal of the ACM 46 (1999); Hyyro, "Explaining and extending the bit-parallel algorithm" (2001).
    """
    if not left:
        return len(right)
    places: dict[str, int] = {}
    for place, sign in enumerate(left):
        places[sign] = places.get(sign, 0) | 1 << place
    mask = (1 << len(left)) - 1
    last = 1 << (len(left) - 1)
    up, down, distance = mask, 0, len(left)  # where the column grows and shrinks by one
    for sign in right:
        equal = places.get(sign, 0)
        vertical = equal | down
        horizontal = (((equal & up) + up) ^ up) | equal
        grows, shrinks = (down | ~(horizontal | up)) & mask, up & horizontal
        distance += bool(grows & last) - bool(shrinks & last)
        grows, shrinks = (grows << 1 | 1) & mask, shrinks << 1 & mask
        up, down = (shrinks | ~(vertical | grows)) & mask, grows & vertical
    return distance


def token_f1(*, name: str = "token_f1") -> OutputEvaluator:
    """The harmonic mean of precision and recall over words, without regard to case and punctuation."""
    return OutputEvaluator(name, _token_f1, compares=True)


def _token_f1(output: Any, expected: Any) -> Judged:
    given, wanted = (_counts(re.findall(r"\w+", str(value).casefold())) for value in (output, expected))
    return _overlap(given, wanted, "f1"), None


def max_duration(seconds: float, *, name: str = "max_duration") -> OutputEvaluator:
    """Whether the task took no longer than so many seconds."""
    return _DurationEvaluator(name, _max_duration, seconds=_number("seconds", seconds))


def _max_duration(duration: float | None, seconds: float) -> Judged:
    return (None, "no duration") if duration is None else (duration <= seconds, f"{duration:.3f} s")


# -- a whole run -------------------------------------------------------------------------------------------------------


def mean(metric: str, *, name: str | None = None) -> RunEvaluator:
    """The mean of a metric's numbers and booleans over the items that have one; None where none has.

    A metric that is not there, as one that is misspelt, is a failure of the evaluator; so it is for `pass_rate`.
    """
    return RunEvaluator(f"mean {_metric(metric)}" if name is None else name, _mean, metric=metric)


def _mean(name: str, results: Any, failures: Any, metric: str) -> list[Evaluation]:
    from .reporting.statistics import mean_and_stdev

    numbers = [float(value) for value in _values(results, metric) if not isinstance(value, str)]
    value = mean_and_stdev(numbers)[0] if numbers else None
    return [Evaluation(name=name, value=value, comment=f"of {len(numbers)} values")]


def pass_rate(
    metric: str, *, at_least: float | None = None, failures_count: bool = True, name: str | None = None
) -> RunEvaluator:
    """The share of items whose metric is true, or a number from `at_least` on.

    Items without a value count as not passed, and so do items that failed unless `failures_count` is False.
    """
    if at_least is not None:
        at_least = _number("at_least", at_least, least=float("-inf"))
    made = f"pass_rate {_metric(metric)}" if name is None else name
    return RunEvaluator(made, _pass_rate, metric=metric, at_least=at_least, failures_count=failures_count)


def _pass_rate(
    name: str, results: Any, failures: Any, metric: str, at_least: float | None, failures_count: bool
) -> list[Evaluation]:
    values = _values(results, metric)
    passed = [
        value is True if at_least is None else not isinstance(value, str) and float(value) >= at_least
        for value in values
    ]
    total = len(results) + (len(failures) if failures_count else 0)
    comment = f"{sum(passed)} of {total}"
    return [Evaluation(name=name, value=sum(passed) / total if total else None, comment=comment)]


def _metric(metric: Any) -> str:
    if not isinstance(metric, str) or not metric:
        raise ArgumentError("metric", metric, "must be the name of an evaluation, such as 'exact'")
    return metric


def _values(results: Sequence[ExperimentItemResult], metric: str) -> list[Any]:
    from .reporting.summary import usable

    found = [usable(each.value) for result in results for each in result.evaluations if each.name == metric]
    if results and not found:
        names = dict.fromkeys(each.name for result in results for each in result.evaluations)
        raise ArgumentError("metric", metric, f"no item has it; there are {', '.join(names) or 'none'}")
    return [value for value in found if value is not None]


def confusion(*, positive: str | None = None, name: str = "confusion") -> RunEvaluator:
    """How labels are mistaken for each other, where outputs and expected outputs are labels.

    Gives "accuracy", and "precision", "recall" and "f1": of the `positive` label, else the plain means over all
    expected labels. Their names begin with `name`; the metadata of the first has the matrix, as {expected: {output:
    count}}.
    """
    if positive is not None and not isinstance(positive, str):
        raise ArgumentError("positive", positive, "must be one of the labels, or None for the means over all")
    return RunEvaluator(name, _confusion, positive=positive)


def _confusion(name: str, results: Any, failures: Any, positive: str | None) -> list[Evaluation]:
    from .reporting.shown import item_part

    matrix: dict[str, dict[str, int]] = {}
    for result in results:
        expected = item_part(result.item, "expected_output")
        if expected is not None:
            row = matrix.setdefault(_label(expected), {})
            row[_label(result.output)] = row.get(_label(result.output), 0) + 1
    total = sum(sum(row.values()) for row in matrix.values())
    right = sum(row.get(label, 0) for label, row in matrix.items())
    known = dict.fromkeys([*matrix, *(label for row in matrix.values() for label in row)])
    if total and positive is not None and positive not in known:
        raise ArgumentError("positive", positive, f"no item has that label; there are {', '.join(known)}")
    labels = list(matrix) if positive is None else [positive]
    scores = [_label_scores(matrix, label) for label in labels]
    said = "; ".join(f"{label}: {', '.join(f'{k} {n}' for k, n in row.items())}" for label, row in matrix.items())
    accuracy = right / total if total else None
    made = [Evaluation(name=f"{name} accuracy", value=accuracy, comment=said or None, metadata=matrix)]
    for place, measure in enumerate(("precision", "recall", "f1")):
        value = sum(score[place] for score in scores) / len(scores) if total and scores else None
        made.append(Evaluation(name=f"{name} {measure}", value=value))
    return made


def _label(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value)


def _label_scores(matrix: Mapping[str, Mapping[str, int]], label: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of one label; 0 where nothing was called it, or is it."""
    right = matrix.get(label, {}).get(label, 0)
    called = sum(row.get(label, 0) for row in matrix.values())
    are = sum(matrix.get(label, {}).values())
    return (
        right / called if called else 0.0,
        right / are if are else 0.0,
        2 * right / (called + are) if called + are else 0.0,
    )
