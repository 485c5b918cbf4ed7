"""Results for tests of figures and reports, made without running anything."""
from __future__ import annotations

import functools
import gzip
import json
import os

from interactiveai_eval.demo.gsm8k import accuracy
from interactiveai_eval.item_result import ExperimentItemResult
from interactiveai_eval.model import Evaluation, ItemFailure
from interactiveai_eval.result import ExperimentResult


def row(index, values=None, *, item_id=None, item=None, output="out", **fields):
    """An item that went through; `values` maps metrics to values."""
    return ExperimentItemResult(
        index=index,
        item_id=item_id,
        item={"input": f"question {index}", "expected_output": f"answer {index}"} if item is None else item,
        output=output,
        evaluations=[Evaluation(name=name, value=value) for name, value in (values or {}).items()],
        trace_id=None,
        dataset_run_id=None,
        **fields,
    )


def failed(index, *, stage="task", error_type="ValueError", message="no", item_id=None, **fields):
    """An item that did not go through."""
    return ItemFailure(
        index=index, item={}, stage=stage, error_type=error_type, message=message, item_id=item_id, **fields
    )


def result_of(*rows, name="Capitals", run_name="", **fields):
    """A result of these rows."""
    fields.setdefault("run_evaluations", [])
    return ExperimentResult(name=name, run_name=run_name or name, item_results=list(rows), **fields)


def scores(values, name="m", **fields):
    """A result with one value of a metric for each item, by id."""
    rows = [row(index, {name: value}, item_id=str(index)) for index, value in enumerate(values)]
    return result_of(*rows, **fields)


@functools.cache
def published(model):
    """A GSM8K run as published: 1,319 problems, judged by their final numbers; source: data/README.md."""
    with gzip.open(os.path.join(os.path.dirname(__file__), "data", "gsm8k_model_solutions.jsonl.gz"), "rb") as lines:
        problems = [json.loads(line) for line in lines]
    rows = [
        ExperimentItemResult(
            index=index,
            item_id=f"gsm8k-{index}",
            item={"input": problem["question"], "expected_output": problem["ground_truth"]},
            output=problem[model]["solution"],
            evaluations=[accuracy(output=problem[model]["solution"], expected_output=problem["ground_truth"])],
            trace_id=None,
            dataset_run_id=None,
        )
        for index, problem in enumerate(problems)
    ]
    return result_of(*rows, name=model)
