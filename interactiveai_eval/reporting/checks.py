"""Checks: what a run must reach, as small expressions such as `accuracy >= 0.9`; in doubt a check fails.

    check   = operand operator number
    operand = run figure | metric [ "[" label "]" ] { "." field }
    metric, label = a bare name, or any text in quotes: "is it right?" >= 0.9, tone["very warm"] <= 10%

All expressions are read before anything else is done. A figure that is not there (no such metric, no value, no
baseline, no pairs) fails its check, and an incomplete run fails all.
"""
from __future__ import annotations

import operator
import re

from ..errors import ArgumentError, RegressionError
from ..model import Value
from ..tally import tally_of
from .comparison import compare
from .shown import name_text, score_text
from .summary import summarize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    from ..model import ExperimentRecord
    from .comparison import Comparison
    from .summary import Summary

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
_RUN: dict[str, Callable[[ExperimentRecord], float]] = {
    "failure_rate": lambda record: tally_of(record).failure_rate,
    "failures": lambda record: tally_of(record).failed,
    "items": lambda record: tally_of(record).given,
    "evaluator_failures": lambda record: _evaluator_failures(record),
    "undelivered": lambda record: record.delivery.pending + record.delivery.rejected,
    "duration_seconds": lambda record: record.duration_seconds,
}
# Counts of the comparison: run figures that need a baseline.
_RUN_CHANGES = ("added", "removed", "newly_failing", "recovered")

_name = re.compile(r"[^\W\d][\w-]*(?:\.[^\W\d][\w-]*)*")
_quoted = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_number = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,4})?)\s*(%?)")
_operator = re.compile(r">=|<=|==|!=|>|<")


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


class CheckOutcome(Value):
    """What became of one check: the `value` that was found (None: there is none), and a `reason` in words."""

    __slots__ = ("check", "value", "passed", "reason")
    check: Check
    value: float | None
    passed: bool
    reason: str

    def __init__(self, *, check: Check, value: float | None, passed: bool, reason: str) -> None:
        self._fill({"check": check, "value": value, "passed": passed, "reason": reason})


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
        self._take(re.compile(r"\]"), "]")
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
        found = self._take(_quoted, "the closing quote")[0]
        return re.sub(r"\\(.)", r"\1", found[1:-1], flags=re.DOTALL)

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
) -> CheckReport:
    """What became of the checks (texts, or read already); `summary` and `comparison` may be given where they are known.

    `result` is what the RegressionError shall carry instead of the record.

    Raises ArgumentError for an expression that cannot be read, and where there is none: a gate without checks would
    let everything through.
    """
    parsed = parse_checks(checks)
    if not parsed:
        raise ArgumentError("checks", (), "there is none; give at least one, such as 'accuracy >= 0.9'")
    summary = summarize(record, reduce=reduce) if summary is None else summary
    if comparison is None and baseline is not None and any(each.needs_baseline for each in parsed):
        comparison = compare(record, baseline, tolerance=tolerance, lower_is_better=lower_is_better, reduce=reduce)
    outcomes = [_outcome(each, record, summary, comparison) for each in parsed]
    reasons = [outcome.reason for outcome in outcomes if not outcome.passed]
    if not record.completed:
        reasons.insert(0, "the run is incomplete: what it has until then proves nothing")
    return CheckReport(outcomes=outcomes, reasons=reasons, result=record if result is None else result)


def _outcome(
    check: Check, record: ExperimentRecord, summary: Summary, comparison: Comparison | None
) -> CheckOutcome:
    value, missing = _found(check, record, summary, comparison)
    passed = value is not None and _COMPARE[check.operator](value, check.threshold)
    said = missing if value is None else f"it is {score_text(value)}{_basis(check, summary)}"
    return CheckOutcome(check=check, value=value, passed=passed, reason=f"{name_text(check.expression)}: {said}")


def _basis(check: Check, summary: Summary) -> str:
    """Over how many items a figure was taken, where those are not all."""
    estimate = summary.metrics.get(check.metric or "")
    if estimate is None or not estimate.missing or check.field in ("n", "missing"):
        return ""
    return f" (over {estimate.n:,} of {estimate.n + estimate.missing:,} items)"


def _found(
    check: Check, record: ExperimentRecord, summary: Summary, comparison: Comparison | None
) -> tuple[float | None, str]:
    """The figure that a check asks for, or None and why there is none."""
    if check.needs_baseline or (check.metric is not None and check.field == "delta"):
        if comparison is None:
            return None, "there is no baseline to compare with"
        if check.metric is None:
            return comparison.counts.get(check.field.replace("_", " "), 0), ""
        changes = comparison.metrics.get(check.metric)
        if changes is None or not changes.n:
            return None, f"no item has {check.metric!r} both here and in the baseline"
        if check.label is not None:
            return (changes.labels.get(check.label, 0.0), "") if changes.labels else (None, "it has no labels")
        return _number_or_none(getattr(changes, _CHANGES[check.field])), f"it has no {check.field}"
    if check.metric is None:
        return _RUN[check.field](record), ""
    estimate = summary.metrics.get(check.metric)
    if estimate is None:
        known = ", ".join(map(name_text, summary.metrics)) or "none"
        return None, f"there is no metric {check.metric!r}; there are {known}"
    if check.label is not None and check.field == "n":
        return estimate.labels.get(check.label, 0), ""
    if check.label is not None:
        return (estimate.shares.get(check.label, 0.0), "") if estimate.labels else (None, "it has no labels")
    return _number_or_none(getattr(estimate, _FIELDS[check.field])), f"it has no {check.field}"


def _number_or_none(value: Any) -> float | None:
    """What can be compared: no NaN, nothing infinite."""
    return value if value is not None and value - value == 0 else None


def _evaluator_failures(record: ExperimentRecord) -> int:
    return sum(row.failed_runs for row in record.evaluator_stats) + len(record.run_evaluator_failures)
