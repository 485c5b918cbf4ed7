"""Experiments over local items, with evaluators of every shape, some of which fail."""
import asyncio
import functools

from interactiveai import Evaluation, Interactive, observe
from interactiveai.experiment import create_evaluator_from_autoevals

client = Interactive()
items = [
    {"input": {"n": 1}, "expected_output": 2, "metadata": {"row": 0, "tier": "pro"}},
    {"input": {"n": 2}, "expected_output": 4},
    {"input": {"n": 3}, "expected_output": 7, "metadata": {"row": 2}},
    {"input": "text", "expected_output": None},
]


@observe
def failing(value):
    raise ValueError(f"{value} is not a number")


def task(*, item, **kwargs):
    with client.start_as_current_span(name="double", input=item["input"]) as span:
        if item["input"] == "text":
            failing(item["input"])
        span.update(output=item["input"]["n"] * 2)
        return item["input"]["n"] * 2


def exact(*, input, output, expected_output, metadata, **kwargs):
    return Evaluation(name="exact", value=1.0 if output == expected_output else 0.0, comment=f"got {output}")


async def several(*, input, output, expected_output=None, metadata=None):
    await asyncio.sleep(0)
    return [
        Evaluation(name="size", value=output),
        Evaluation(name="truth", value=True),
        Evaluation(name="label", value="small" if output < 5 else "large", data_type="CATEGORICAL"),
        Evaluation(name="even", value=1, data_type="BOOLEAN", metadata={"why": [1, {"a": None}]}),
    ]


class Closeness:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, *, output, expected_output, **kwargs):
        return Evaluation(name="closeness", value=1 - abs(output - expected_output) / self.scale, comment=None)


def with_threshold(threshold, *, output, **kwargs):
    return Evaluation(name="over", value=1.0 if output > threshold else 0.0)


def broken(*, input, output, **kwargs):
    raise RuntimeError("this evaluator never works")


class Judged:
    name, score, metadata = "judged", 0.5, {"rationale": "half"}


def autoevals_like(input, output, expected, **kwargs):
    return Judged()


def combined(*, input, output, expected_output, metadata, evaluations):
    numbers = [each.value for each in evaluations if each.name in ("exact", "closeness")]
    return Evaluation(name="combined", value=sum(numbers) / len(numbers), comment=f"of {len(numbers)}")


def mean(*, item_results, **kwargs):
    found = [each.value for result in item_results for each in result.evaluations if each.name == "exact"]
    return Evaluation(name="mean", value=sum(found) / len(found), comment=f"{len(found)} items")


async def spread(*, item_results, **kwargs):
    return [Evaluation(name="smallest", value=min(result.output for result in item_results))]


result = client.run_experiment(
    name="doubling",
    run_name="doubling, first run",
    description="doubles numbers",
    data=items,
    task=task,
    evaluators=[
        exact, several, Closeness(10), functools.partial(with_threshold, 3), broken,
        lambda *, output, **kwargs: Evaluation(name="lambda", value=output),
        create_evaluator_from_autoevals(autoevals_like),
    ],
    composite_evaluator=combined,
    run_evaluators=[mean, spread],
    max_concurrency=2,
    metadata={"model": "doubler", "temperature": "0"},
)  # fmt: skip
assert result.run_name == "doubling, first run" and result.dataset_run_id is None
assert sorted(each.output for each in result.item_results) == [2, 4, 6]
assert {each.name for each in result.run_evaluations} == {"mean", "smallest"}
assert "doubling" in result.format(include_item_results=True)


async def slow_task(*, item, **kwargs):
    await asyncio.sleep(0)
    return f"answer to {item['input']}"


async def in_a_loop():
    return client.run_experiment(name="in a loop", data=[{"input": "q"}], task=slow_task)


inside = asyncio.run(in_a_loop())
assert inside.item_results[0].output == "answer to q" and inside.run_name.startswith("in a loop - ")
client.flush()
client.shutdown()
