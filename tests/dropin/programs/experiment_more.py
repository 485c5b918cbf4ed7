"""Experiments in other settings: async, an environment, spans of evaluators, metadata that collide, in a running loop."""
import asyncio

from interactiveai import Evaluation, Interactive, propagate_attributes

client = Interactive(environment="staging", release="r9")
client.create_dataset(name="words")
for number, word in enumerate(("one", "two", "three")):
    client.create_dataset_item(dataset_name="words", id=f"w-{number}", input=word, expected_output=len(word), metadata="not a dict")
dataset = client.get_dataset("words")


async def task(*, item, **kwargs):
    await asyncio.sleep(0)
    with client.start_as_current_span(name="outer"):
        with client.start_as_current_observation(name="inner", as_type="tool", input=1) as tool:
            tool.update(output=2)
        client.update_current_trace(tags=["seen"], user_id="u")
        client.score_current_trace(name="inside", value=1)
    return len(item.input) if hasattr(item, "input") else len(item["input"])


async def exact(*, input, output, expected_output, metadata, **kwargs):
    return Evaluation(name="exact", value=1.0 if output == expected_output else 0.0)


def nothing(*, output, **kwargs):
    return []


def failing_composite(*, input, output, expected_output, metadata, evaluations):
    raise RuntimeError("no composite")


def good_composite(*, input, output, expected_output, metadata, evaluations):
    return [Evaluation(name="first", value=evaluations[0].value), Evaluation(name="count", value=len(evaluations))]


def failing_run_evaluator(*, item_results, **kwargs):
    raise RuntimeError("no run evaluation")


result = dataset.run_experiment(
    name="lengths", run_name="a", task=task, evaluators=[exact, nothing], composite_evaluator=good_composite,
    run_evaluators=[failing_run_evaluator, lambda *, item_results, **kwargs: Evaluation(name="n", value=len(item_results))],
    metadata={"model": "m", "number": 5, "share": 0.5, "flag": True, "deep": {"a": [1]}, "none": None},
)  # fmt: skip
assert [each.name for each in result.run_evaluations] == ["n"]
assert all({e.name for e in each.evaluations} == {"exact", "first", "count"} for each in result.item_results)


async def in_a_loop():
    return dataset.run_experiment(name="lengths", run_name="b", task=task, evaluators=[exact], composite_evaluator=failing_composite)


assert len(asyncio.run(in_a_loop()).item_results) == 3
with propagate_attributes(user_id="around", session_id="s", tags=["p"]):
    client.run_experiment(name="propagated", run_name="c", data=[{"input": "x"}], task=task)
client.run_experiment(name="no items", run_name="d", data=[{"input": "one"}, {"input": "two"}], task=lambda *, item: item["input"])
client.flush()
client.shutdown()
