"""Functions that travel to other processes, and what a store shows of a run: the same wherever it ran."""
from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import time

from interactiveai_eval import Evaluation, get_client, observe
from interactiveai_eval.demo.gsm8k import accuracy, final_number
from interactiveai_eval.stores.trace_files import export_traces

RECORDED = os.path.join(os.path.dirname(__file__), "data", "gsm8k_model_solutions.jsonl.gz")
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def gsm8k(limit=None):
    """Items of GSM8K with the recorded solutions of all four models, each an item of its own."""
    with gzip.open(RECORDED, "rt", encoding="utf-8") as lines:
        problems = [json.loads(line) for line in lines][:limit]
    return [
        {
            "id": f"{number}:{model}",
            "input": problem["question"],
            "expected_output": problem["ground_truth"],
            "metadata": {"model": model, "solution": problem[model]["solution"]},
        }
        for number, problem in enumerate(problems)
        for model in MODELS
    ]


@observe(as_type="tool")
def look_up(solution):
    return final_number(solution)


def solve(*, item):
    """The recorded solution, with spans of both kinds and marks on the item's own span on the way."""
    client = get_client()
    with client.start_as_current_generation(name="model", model=item["metadata"]["model"], input=item["input"]) as call:
        look_up(item["metadata"]["solution"])
        call.update(output=item["metadata"]["solution"])
        call.score(name="inner", value=len(item["metadata"]["solution"]))
    client.update_current_span(level="WARNING")
    client.update_current_trace(user_id="ada", tags=["far"])
    return item["metadata"]["solution"]


def length(*, output, trace_id):
    client = get_client()
    with client.start_as_current_span(name="measure") as span:
        assert span.trace_id == trace_id == client.get_current_trace_id()
        return {"name": "length", "value": len(output)}


async def is_short(*, output):
    await asyncio.sleep(0)
    return len(output) < 300


def strict(*, output, metadata):
    if "6b" in metadata["model"] and len(output) > 600:
        raise ValueError("too long")
    yield Evaluation(name="strict", value=float("nan") if len(output) > 500 else 1, comment="seen")


def overall(*, evaluations):
    return sum(1 for evaluation in evaluations if evaluation.value is True)


SOLVING = {
    "name": "far",
    "task": solve,
    "evaluators": [accuracy, length, is_short, strict],
    "composite_evaluator": overall,
    "experiment_id": "the same",
    "run_name": "far and near",
    "metadata": {"commit": "abc"},
}


def told(result):
    """What a result says, but for times: the texts of NaN are equal where NaN is not."""
    rows = [
        [each.index, each.item_id, each.item, each.output, repr(each.evaluations), each.trace_id, each.attempts]
        + [(failure.evaluator, failure.error_type, failure.message) for failure in each.evaluator_failures]
        for each in result.item_results
    ]
    failed = [(each.index, each.stage, each.error_type, each.message, each.attempts) for each in result.item_failures]
    stats = [row.replaced(duration_seconds=0.0) for row in result.evaluator_stats]
    return rows, failed, stats, result.delivery.by_kind


def picture(client):
    """All traces of the store with observations and scores, but for times and the ids of nested spans."""
    file = io.StringIO()
    export_traces(client.api, file, None)
    shown = {}
    for trace in map(json.loads, file.getvalue().splitlines()):
        names = {each["id"]: each["name"] for each in trace["observations"]}
        fields = ("name", "type", "level", "input", "output", "metadata", "model", "environment", "statusMessage")
        observations = [
            json.dumps([{name: each.get(name) for name in fields}, names.get(each["parentObservationId"])])
            for each in trace["observations"]
        ]
        scores = [
            json.dumps([names.get(score.get("observationId")), score["name"], score["value"], score.get("comment")])
            for score in trace["scores"]
        ]
        head = [trace.get(name) for name in ("name", "input", "output", "userId", "tags", "metadata", "environment")]
        shown[trace["id"]] = head, sorted(observations), sorted(scores)
    return shown


def square(*, item):
    return item["input"] ** 2


def is_even(*, output):
    return output % 2 == 0


def sleeps(*, item):
    time.sleep(item["input"])
    return item["input"]


def sleeps_over(*, output):
    time.sleep(output)
    return True


def gives_a_lock(*, item):
    import threading

    return threading.Lock() if item["input"] == 1 else item["input"]


def process(*, item):
    time.sleep(item.get("metadata") or 0)
    return os.getpid()


def hides(*, data):
    return "hidden" if isinstance(data, str) else data


def dies_at(*, item):
    """Ends its process the first time that it sees the item with this file."""
    path = item["metadata"]
    if path is not None and not os.path.exists(path):
        with open(path, "x"):
            pass
        os._exit(3)
    time.sleep(0.02)
    return item["input"]


def mapper(item):
    if item.input == 3:
        return "no inputs"
    return {"input": item.input, "output": item.output, "metadata": {"latency": item.latency}}


def judge(*, output, trace_id, item):
    if output == 5:
        raise ValueError("five")
    return [Evaluation(name="size", value=output), Evaluation(name="known", value=item.id == trace_id)]


async def mean(*, evaluations, item):
    await asyncio.sleep(0)
    return len(evaluations) + len(item.tags)


def slow_mapper(item):
    time.sleep(item.input)
    return {"input": item.input, "output": item.output}
