"""Results in the shapes that langfuse/experiment-action reads and writes (its result_json, schema version v1).

The shapes are closed: an absent value is left out, and nothing else may be added.
Source: schemas/result-json.v1.schema.json and the Python runner of that repository.
"""
from __future__ import annotations

from .._strict_json import to_plain
from .report import failed_items_text
from .shown import cut, item_part, name_text, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..item_result import ExperimentItemResult
    from ..model import Evaluation, ExperimentRecord
    from .report import FailureGroup, Report

SCHEMA_VERSION = "v1"


def result_to_action(record: ExperimentRecord) -> dict[str, Any]:
    """The result as the action's `experiment_result`: items that went through, with their evaluations."""
    return {
        **_present(record, "experiment_id", "run_name", "dataset_run_id"),
        "item_results": [_item(result) for result in record.item_results],
        "run_evaluations": [_evaluation(evaluation) for evaluation in record.run_evaluations],
    }


def report_to_action(report: Report, *, script: str, metadata: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The whole document that the action puts out, for a run of the one script that is named.

    Its status is "regression" where a check failed, "error" where the run was stopped or, without checks, something
    failed, else "passed". The shape has no place for items that failed but the `details` of an error.
    """
    record, verdict = report.record, report.verdict
    status = {"failed": "regression", "incomplete": "error", "errors": "error"}.get(verdict.status, "passed")
    error = None
    if status != "passed":
        reasons = report.checks.reasons if report.checks is not None else [verdict.text]
        name = {"failed": "RegressionError", "incomplete": "RunStopped"}.get(verdict.status, "ItemsFailed")
        message = one_line("; ".join(reasons or [verdict.text]))
        error = {"name": name, "message": message, "is_regression": status == "regression"}
        if report.failures:
            error["details"] = "\n".join(map(_group_text, report.failures))
    url = record.dataset_run_url
    return {
        "schema_version": SCHEMA_VERSION,
        "action_metadata": {str(name): str(value) for name, value in (metadata or {}).items()},
        "results": [
            {
                "script_path": script,
                "script_name": record.name,
                "runtime": "python",
                "duration_ms": record.duration_seconds * 1000.0,
                "status": status,
                "langfuse_experiment_url": url if url and url.startswith(("http://", "https://")) else None,
                "error": error,
                "experiment_result": result_to_action(record),
            }
        ],
    }


def _group_text(group: FailureGroup) -> str:
    where = f"evaluator {name_text(group.evaluator)}" if group.evaluator is not None else group.stage
    items = f" ({failed_items_text(group)})" if group.places else ""
    return f"{group.count:,} x {where}, {group.error_type}: {one_line(cut(group.message, 300))}{items}"


def _item(result: ExperimentItemResult) -> dict[str, Any]:
    parts = {name: item_part(result.item, name) for name in ("input", "expected_output", "metadata")}
    item: Any = to_plain(result.item)
    if not isinstance(item, dict):
        item = {name: to_plain(value) for name, value in parts.items() if value is not None}
    if result.item_id is not None:
        item.setdefault("id", result.item_id)
    return {
        "item": item,
        "input": to_plain(parts["input"]),
        "expected_output": to_plain(parts["expected_output"]),
        "output": to_plain(result.output),
        "evaluations": [_evaluation(evaluation) for evaluation in result.evaluations],
        **_present(result, "trace_id", "dataset_run_id"),
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    value: Any = to_plain(evaluation.value)
    if isinstance(value, str) and not isinstance(evaluation.value, str):
        value = None  # a number that JSON cannot say
    metadata = to_plain(evaluation.metadata)
    return {
        "name": to_plain(evaluation.name),
        "value": value,
        **_present(evaluation, "comment", "data_type", "config_id"),
        **({"metadata": metadata} if isinstance(metadata, dict) else {}),
    }


def _present(value: Any, *names: str) -> dict[str, Any]:
    held = {name: getattr(value, name) for name in names}
    return {name: to_plain(each) for name, each in held.items() if each is not None}
