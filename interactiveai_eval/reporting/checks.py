"""Checks: what a run must reach, as small expressions such as `accuracy >= 0.9`; in doubt a check fails.

    check   = operand operator number
    operand = run figure | metric [ "[" label "]" ] { "." field }
    metric, label = a bare name, or any text in quotes: "is it right?" >= 0.9, tone["very warm"] <= 10%

In quotes, \\n and \\t are a line feed and a tab, and a backslash stands before a quote or another backslash.

A metric is an evaluation of items, or where no item has one of that name, a run evaluation with its value alone.

All expressions are read before anything else is done. A figure that is not there (no such metric or label, no value,
no baseline, no pairs, no items for a rate, numbers and texts mixed) fails its check. An incomplete run fails all, and
so do items or evaluators that failed while no check says how many may.
"""
from __future__ import annotations

import operator
import re

from ..errors import ArgumentError, RegressionError
from ..model import Value
from ..tally import tally_of
from .comparison import UNKNOWN_ITEMS, compare, knows_its_items
from .shown import counted, name_text, score_text
from .summary import summarize, usable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from typing import Any, Union

    from ..model import ExperimentRecord
    from .comparison import Comparison
    from .summary import Summary

    Figure = tuple[Union[float, None], str]

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
# Field: the attribute of `Estimate` that it reads.
_FIELDS = {
    **{name: name for name in ("value", "n", "missing", "stdev", "stderr", "low", "high", "min", "p50", "p90", "max")},
    **{"mean": "value", "rate": "value", "median": "p50", "unstable": "unstable"},
}
# The same of `MetricComparison`: these need a baseline.
_CHANGES = {
    **{name: name for name in ("baseline", "delta", "improved", "regressed", "equal", "changed", "lost", "gained")},
    **{"p": "p", "paired": "n", "delta.low": "low", "delta.high": "high"},
}
_RUN: dict[str, Callable[[ExperimentRecord], float | None]] = {
    "failure_rate": lambda record: tally_of(record).failure_rate if tally_of(record).given else None,
    "failures": lambda record: tally_of(record).failed,
    "items": lambda record: tally_of(record).given,
    "evaluator_failures": lambda record: evaluator_failures(record),
    "undelivered": lambda record: record.delivery.pending + record.delivery.rejected,
    "duration_seconds": lambda record: record.duration_seconds,
}
# Counts of the comparison: run figures that need a baseline.
_RUN_CHANGES = ("added", "removed", "newly_failing", "recovered")
# A check of one of these alone judges the items that failed. "items" is not among them: it counts those, too.
_OF_FAILURES = ("failure_rate", "failures", "newly_failing")

_name = re.compile(r"[^\W\d][\w-]*(?:\.[^\W\d][\w-]*)*")
_quoted = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_number = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,4})?)\s*(%?)")
_escape = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "'": "'", "\\": "\\"}
_operator = re.compile(r">=|<=|==|!=|>|<")
_bracket = re.compile(r"\]")
_MIXED = "it is mixed: texts for some items and numbers for others have no figure in common"


class Check(Value):
    """One expression, read: which figure of which metric (None: of the run) is compared how with what."""

    __slots__ = ("expression", "metric", "label", "field", "operator", "threshold")
    expression: str
    metric: str | None
    label: str | None
    field: str
    operator: str
    threshold: float

    def __init__(self, **fields: Any) -> None:
        self._fill(fields)

    @property
    def needs_baseline(self) -> bool:
        """Whether it compares with a baseline."""
        return self.field in _RUN_CHANGES if self.metric is None else self.field in _CHANGES


    def speaks_of(self, *figures: str) -> bool:
        """Whether it is about one of these figures of the run."""
        return self.metric is None and self.field in figures


class CheckOutcome(Value):
    """What became of one check: the `value` that was found (None: there is none), and a `reason` in words."""

    __slots__ = ("check", "value", "passed", "reason")
    check: Check
    value: float | None
    passed: bool
    reason: str

    def __init__(self, *, check: Check, value: float | None, passed: bool, reason: str) -> None:
        self._fill({"check": check, "value": value, "passed": passed, "reason": reason})

    @property
    def found(self) -> str:
        """The value in as many digits as it takes to see on which side of the threshold it is."""
        return score_text(None) if self.value is None else _found_text(self.value, self.check)


class CheckReport(Value):
    """All checks of a run: `passed` when each one has, else `reasons` says why not, one text a failure."""

    __slots__ = ("passed", "outcomes", "reasons", "_result")
    passed: bool
    outcomes: list[CheckOutcome]
    reasons: list[str]
    _result: Any

    def __init__(self, *, outcomes: list[CheckOutcome], reasons: list[str], result: Any = None) -> None:
        self._fill({"passed": not reasons, "outcomes": outcomes, "reasons": reasons, "_result": result})

    def __bool__(self) -> bool:
        return self.passed

    @property
    def of_the_run(self) -> list[str]:
        """The reasons that are of no single check."""
        return self.reasons[: len(self.reasons) - sum(not outcome.passed for outcome in self.outcomes)]

    @property
    def said(self) -> list[tuple[bool, str]]:
        """What a report says line by line: whether it is good, and the words; what is of no single check comes last."""
        outcomes = [(outcome.passed, outcome.reason) for outcome in self.outcomes]
        return outcomes + [(False, reason) for reason in self.of_the_run]

    def raise_for_checks(self) -> None:
        """Raise RegressionError with the result and the first check that failed, if any has."""
        if self.passed:
            return
        figures: dict[str, Any] = {}
        for outcome in self.outcomes:
            if not outcome.passed:
                check = outcome.check
                figures = {"metric": check.metric or check.field, "value": outcome.value, "threshold": check.threshold}
                break
        raise RegressionError(result=self._result, message="; ".join(self.reasons), **figures)


def parse_checks(expressions: Iterable[Any]) -> list[Check]:
    """The checks behind the expressions. Raises ArgumentError that says where one cannot be read, and why."""
    if isinstance(expressions, str):
        expressions = [expressions]
    return [each if isinstance(each, Check) else _Reader(each).check() for each in expressions]


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, text: Any) -> None:
        self.text = text
        if not isinstance(text, str):
            raise ArgumentError("check", text, "must be a text such as 'accuracy >= 0.9'")
        self.at = 0

    def check(self) -> Check:
        metric, names = self._operand()
        label, more = self._label()
        field = ".".join(names + more) or "value"
        if metric is None:
            metric, field = self._split(names, more, label)
        known = ("value", "delta", "n") if label is not None else (*_FIELDS, *_CHANGES)
        if metric is not None and field not in known:
            raise self._problem(f"there is no figure {field!r}; there are {', '.join(known)}", self._field_at)
        sign = self._take(_operator, "one of >= <= > < == !=")[0]
        number = self._take(_number, "a number, such as 0.9 or 90%")
        threshold = float(number[1]) / (100.0 if number[2] else 1.0)
        self._space()
        if self.at < len(self.text):
            raise self._problem("nothing more may follow")
        if threshold - threshold != 0.0:
            raise self._problem("the number is beyond what can be compared")
        return Check(
            expression=self.text.strip(), metric=metric, label=label, field=field, operator=sign, threshold=threshold
        )

    def _operand(self) -> tuple[str | None, list[str]]:
        """A quoted metric and its fields so far, or None and the names of a bare operand."""
        self._space()
        self._field_at = self.at
        if self.text[self.at : self.at + 1] in ('"', "'"):
            return self._text(), self._fields()
        return None, self._take(_name, "a metric; put quotes around other names")[0].split(".")

    def _label(self) -> tuple[str | None, list[str]]:
        self._space()
        if self.text[self.at : self.at + 1] != "[":
            return None, []
        self.at += 1
        self._space()
        quoted = self.text[self.at : self.at + 1] in ('"', "'")
        label = self._text() if quoted else self._take(_name, "a label; put quotes around other texts")[0]
        self._take(_bracket, "]" if quoted else '] after the label; put quotes around other texts, as in ["New York"]')
        return label, self._fields()

    def _fields(self) -> list[str]:
        self._space()
        if self.text[self.at : self.at + 1] != ".":
            return []
        self.at += 1
        self._field_at = self.at
        return self._take(_name, "a figure such as n or delta")[0].split(".")

    def _split(self, names: list[str], more: list[str], label: str | None) -> tuple[str | None, str]:
        """The metric and the field of a bare operand: `accuracy.delta.low` is accuracy and delta.low."""
        if label is not None:
            return ".".join(names), ".".join(more) or "value"
        if len(names) == 1 and (names[0] in _RUN or names[0] in _RUN_CHANGES):
            return None, names[0]
        return names[0], ".".join(names[1:]) or "value"

    def _text(self) -> str:
        found = self._take(_quoted, "the closing quote")
        return _escape.sub(lambda escape: self._escaped(escape, found.start() + 1), found[0][1:-1])

    def _escaped(self, escape: re.Match[str], start: int) -> str:
        if escape[1] not in _ESCAPES:
            fix = r"a backslash stands before n, t, a quote or another backslash: \\ is one of its own"
            raise self._problem(fix, start + escape.start())
        return _ESCAPES[escape[1]]

    def _take(self, pattern: re.Pattern[str], wanted: str) -> re.Match[str]:
        self._space()
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self._problem(f"expected {wanted}")
        self.at = found.end()
        return found

    def _space(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def _problem(self, why: str, at: int | None = None) -> ArgumentError:
        return ArgumentError("check", self.text, f"at character {(self.at if at is None else at) + 1}: {why}")


def check(
    record: ExperimentRecord,
    checks: Iterable[Any],
    *,
    baseline: ExperimentRecord | None = None,
    comparison: Comparison | None = None,
    summary: Summary | None = None,
    lower_is_better: Collection[str] = (),
    tolerance: float = 0.0,
    reduce: str = "mean",
    result: Any = None,
    objections: Sequence[str] = (),
) -> CheckReport:
    """What became of the checks (texts, or read already); `summary` and `comparison` may be given where they are known.

    `result` is what the RegressionError shall carry instead of the record. `objections` are reasons of the caller's
    why the run is not good enough, whatever the checks say.

    Raises ArgumentError for an expression that cannot be read, and where there is none: a gate without checks would
    let everything through.
    """
    parsed = parse_checks(checks)
    if not parsed and not objections:
        raise ArgumentError("checks", (), "there is none; give at least one, such as 'accuracy >= 0.9'")
    summary = summarize(record, reduce=reduce) if summary is None else summary
    asked = any(each.needs_baseline or each.label is not None for each in parsed)
    known = baseline is not None and knows_its_items(record) and knows_its_items(baseline)
    if comparison is None and baseline is not None and known and asked:
        comparison = compare(record, baseline, tolerance=tolerance, lower_is_better=lower_is_better, reduce=reduce)
    lacking = "there is no baseline to compare with" if baseline is None else f"a run {UNKNOWN_ITEMS}"
    outcomes = [_outcome(each, _Found(record, summary, comparison, lacking)) for each in parsed]
    reasons = [] if record.completed else ["the run is incomplete: what it has until then proves nothing"]
    reasons += objections
    reasons += _unspoken(record, parsed) if parsed else []
    reasons += [outcome.reason for outcome in outcomes if not outcome.passed]
    return CheckReport(outcomes=outcomes, reasons=reasons, result=record if result is None else result)


def evaluator_failures(record: ExperimentRecord) -> int:
    """How many calls of evaluators failed, those of the run included."""
    kept = sum([len(row.evaluator_failures) for row in record.item_results])
    return max(kept, sum([row.failed_runs for row in record.evaluator_stats])) + len(record.run_evaluator_failures)


def _unspoken(record: ExperimentRecord, checks: Sequence[Check]) -> list[str]:
    """What failed although no check says how many may: figures of what is left prove nothing about that."""
    tally, calls = tally_of(record), evaluator_failures(record)
    reasons = []
    if tally.failed and not any(each.speaks_of(*_OF_FAILURES) for each in checks):
        of_all = f"{tally.failed:,} of {counted(tally.given, 'item')}"
        reasons.append(f"{of_all} failed, and no check says how many may (failure_rate, failures)")
    if calls and not any(each.speaks_of("evaluator_failures") for each in checks):
        of_all = counted(calls, "evaluator call")
        reasons.append(f"{of_all} failed, and no check says how many may (evaluator_failures)")
    return reasons


def _outcome(check: Check, found: _Found) -> CheckOutcome:
    value, missing = found.figure(check)
    passed = value is not None and _COMPARE[check.operator](value, check.threshold)
    said = missing if value is None else f"it is {_found_text(value, check)}{_basis(check, found.summary)}"
    return CheckOutcome(check=check, value=value, passed=passed, reason=f"{name_text(check.expression)}: {said}")


def _found_text(value: float, check: Check) -> str:
    """A figure as everywhere, with more digits where those would stand on the other side of the threshold."""
    compare = _COMPARE[check.operator]
    form = "f" if 0.0005 <= abs(value) < 1e15 else "g"
    for text in (score_text(value), *(f"{value:.{digits}{form}}" for digits in range(4, 17))):
        if compare(float(text), check.threshold) is compare(value, check.threshold):
            return text
    return repr(value)


def _basis(check: Check, summary: Summary) -> str:
    """Over how many items a figure was taken, where those are not all."""
    estimate = summary.metrics.get(check.metric or "")
    if estimate is None or not estimate.missing or check.field in ("n", "missing"):
        return ""
    return f" (over {estimate.n:,} of {estimate.n + estimate.missing:,} items)"


class _Found:
    """Where figures are looked up; each method gives one, or None and why there is none."""

    def __init__(
        self, record: ExperimentRecord, summary: Summary, comparison: Comparison | None, lacking: str
    ) -> None:
        self.record = record
        self.summary = summary
        self.comparison = comparison
        self.lacking = lacking

    def figure(self, check: Check) -> Figure:
        """The figure that a check asks for."""
        if check.metric is None:
            if check.needs_baseline:
                return self._count(check.field)
            return _RUN[check.field](self.record), f"a run without items has no {check.field}"
        if check.metric not in self.summary.metrics and self._of_run(check.metric):
            return self._run_evaluation(check)
        if check.label is not None and (unseen := self._unseen(check.metric, check.label)):
            return None, unseen
        return self._change(check) if check.needs_baseline else self._estimate(check)

    def _count(self, field: str) -> Figure:
        if self.comparison is None:
            return None, self.lacking
        if not self.comparison.paired and field in ("newly_failing", "recovered"):
            return None, "no item is both here and in the baseline"
        return self.comparison.counts.get(field.replace("_", " "), 0), ""

    def _estimate(self, check: Check) -> Figure:
        estimate = self.summary.metrics.get(check.metric or "")
        if estimate is None:
            names = dict.fromkeys([*self.summary.metrics, *(each.name for each in self.record.run_evaluations)])
            return None, f"there is no metric {check.metric!r}; there are {_listed(names)}"
        if check.label is not None:
            counts = estimate.labels if check.field == "n" else estimate.shares
            return counts.get(check.label, 0), ""
        if estimate.is_mixed and check.field not in ("n", "missing", "unstable"):
            return None, _MIXED
        return _number_or_none(getattr(estimate, _FIELDS[check.field])), f"it has no {check.field}"

    def _change(self, check: Check) -> Figure:
        if self.comparison is None:
            return None, self.lacking
        changes = self.comparison.metrics.get(check.metric or "")
        if changes is None or not changes.n:
            return None, f"no item has {check.metric!r} both here and in the baseline"
        if check.label is not None:
            return changes.labels.get(check.label, 0.0), ""
        if check.field not in ("paired", "lost", "gained"):
            estimate = self.summary.metrics.get(check.metric or "")
            if (changes.labels and changes.kind != "categorical") or (estimate is not None and estimate.is_mixed):
                return None, _MIXED
            if changes.kind == "categorical" and check.field in ("improved", "regressed"):
                return None, f"labels are equal or changed, none is {check.field}"
        return _number_or_none(getattr(changes, _CHANGES[check.field])), f"it has no {check.field}"

    def _unseen(self, metric: str, label: str) -> str:
        """Why nothing can be said of a label that no item has, in neither run: it may be misspelt."""
        estimate = self.summary.metrics.get(metric)
        seen = dict.fromkeys(estimate.labels if estimate is not None else ())
        if self.comparison is not None and metric in self.comparison.metrics:
            seen.update(dict.fromkeys(self.comparison.metrics[metric].labels))
        if estimate is None or label in seen:
            return ""
        return f"no item has the label {label!r}; there are {_listed(seen)}" if seen else "it has no labels"

    def _of_run(self, name: str) -> list[Any]:
        return [each.value for each in self.record.run_evaluations if each.name == name]

    def _run_evaluation(self, check: Check) -> Figure:
        value, *others = self._of_run(check.metric or "")
        if others:
            return None, f"there are {len(others) + 1:,} run evaluations of that name"
        if check.field not in ("value", "mean", "rate"):
            return None, f"a run evaluation has a value alone, no {check.field}"
        value = usable(value)
        if check.label is not None:
            return (1.0, "") if value == check.label else (None, f"it is {score_text(value)}")
        if isinstance(value, str):
            return None, f"it is the text {name_text(value)!r}"
        return (None, "it has no value") if value is None else (float(value), "")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(name_text, names)) or "none"


def _number_or_none(value: Any) -> float | None:
    """What can be compared: no NaN, nothing infinite."""
    return value if value is not None and value - value == 0 else None
