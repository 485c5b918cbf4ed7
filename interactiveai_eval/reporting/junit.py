"""Reports as JUnit XML, which CI systems show: one test for each check and one for each item.

A check that failed is a failure, an item that failed an error, and so is an item whose evaluator failed. Scores are
properties: which of them are good enough is what checks are for.
"""
from __future__ import annotations

from .shown import item_number, name_text, score_text, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..item_result import ExperimentItemResult
    from ..model import EvaluatorFailure, ItemFailure
    from .report import Report

_escapes = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\t": "&#9;"})
_TEXT_LIMIT = 20_000


def render_junit(reports: Sequence[Report]) -> Iterator[str]:
    """The pieces of the document: one suite for each report."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n'
    for report in reports:
        yield from _suite(report)
    yield "</testsuites>\n"


def _suite(report: Report) -> Iterator[str]:
    record, outcomes = report.record, report.checks.outcomes if report.checks is not None else []
    of_the_run = report.checks.of_the_run[not record.completed :] if report.checks is not None else []
    failures = sum(not outcome.passed for outcome in outcomes) + (not record.completed) + len(of_the_run)
    errors = len(record.item_failures) + sum(bool(row.evaluator_failures) for row in record.item_results)
    tests = len(outcomes) + len(of_the_run) + (not record.completed)
    tests += len(record.item_results) + len(record.item_failures)
    suite = _e(name_text(record.name))
    yield (
        f'<testsuite name="{suite}" tests="{tests}" failures="{failures}" errors="{errors}" skipped="0" '
        f'time="{record.duration_seconds:.3f}">\n'
    )
    yield from _properties({"run_name": record.run_name, "verdict": report.verdict.text, **_figures(report)})
    if not record.completed:
        yield from _case(suite, "the run is complete", 0.0, [("failure", "incomplete", report.verdict.text, "")])
    for reason in of_the_run:
        name = "nothing is objected to" if reason in report.objections else "failures are spoken of"
        yield from _case(f"{suite}.checks", name, 0.0, [("failure", "check", reason, "")])
    for outcome in outcomes:
        trouble = [] if outcome.passed else [("failure", "check", outcome.reason, "")]
        yield from _case(f"{suite}.checks", outcome.check.expression, 0.0, trouble)
    for result in record.item_results:
        scores = {each.name: score_text(each.value) for each in result.evaluations}
        yield from _case(
            f"{suite}.items",
            _item_name(result),
            result.duration_seconds,
            [("error", each.error_type, _said(each), each.traceback) for each in result.evaluator_failures[:1]],
            scores,
        )
    for failure in record.item_failures:
        trouble = [("error", failure.error_type, f"{failure.stage}: {failure.message}", failure.traceback)]
        yield from _case(f"{suite}.items", _item_name(failure), failure.duration_seconds, trouble)
    yield "</testsuite>\n"


def _figures(report: Report) -> dict[str, str]:
    return {name: score_text(each.value) for name, each in report.summary.metrics.items() if each.value is not None}


def _item_name(row: ExperimentItemResult | ItemFailure) -> str:
    name = f"item {item_number(row.index, row.repetition)}"
    return f"{name} ({row.item_id})" if row.item_id is not None else name


def _said(failure: EvaluatorFailure) -> str:
    return f"evaluator {failure.evaluator}: {failure.message}"


def _case(
    group: str,
    name: str,
    seconds: float,
    troubles: Sequence[tuple[str, str, str, str]],
    properties: dict[str, str] | None = None,
) -> Iterator[str]:
    head = f'<testcase classname="{group}" name="{_e(name_text(name))}" time="{seconds:.3f}"'
    if not troubles and not properties:
        yield f"{head}/>\n"
        return
    yield f"{head}>\n"
    yield from _properties(properties or {})
    for kind, error_type, message, text in troubles:
        yield f'<{kind} type="{_e(name_text(error_type))}" message="{_e(message[:_TEXT_LIMIT])}">'
        yield f"{_e(text[-_TEXT_LIMIT:])}</{kind}>\n"
    yield "</testcase>\n"


def _properties(pairs: dict[str, str]) -> Iterator[str]:
    if pairs:
        yield "<properties>\n"
        for name, value in pairs.items():
            yield f'<property name="{_e(name_text(name))}" value="{_e(name_text(value))}"/>\n'
        yield "</properties>\n"


def _e(text: str) -> str:
    """`text` for an attribute or an element: characters that XML 1.0 cannot say are shown as marks."""
    return visible(text).translate(_escapes)
