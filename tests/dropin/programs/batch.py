"""Batch evaluation of recorded traces and observations: filters, composites, metadata, failures, a bound."""
import json

from interactiveai import Evaluation, EvaluatorInputs, Interactive

client = Interactive()
for number in range(6):
    with client.start_as_current_span(name="chat", input={"q": number}) as span:
        with span.start_as_current_generation(name="llm", input=f"prompt {number}", model="m") as generation:
            generation.update(output=f"answer {number}")
        span.update(output=f"answer {number}")
        span.update_trace(tags=["production"] if number % 2 else ["test"], user_id=f"user-{number % 3}", metadata={"n": number})
client.flush()


def trace_mapper(*, item):
    return EvaluatorInputs(input=item.input, output=item.output, expected_output=None, metadata={"trace_id": item.id})


async def observation_mapper(*, item):
    return EvaluatorInputs(input=item.input, output=item.output, expected_output="answer 0", metadata={"type": item.type})


def length(*, input, output, expected_output, metadata):
    return Evaluation(name="length", value=len(output), comment="characters")


async def words(*, input, output, expected_output, metadata, **kwargs):
    return [Evaluation(name="words", value=len(output.split())), Evaluation(name="kind", value="short")]


def picky(*, output, **kwargs):
    if output.endswith("3"):
        raise ValueError("three is not liked")
    return Evaluation(name="picky", value=1.0, metadata={"own": 1, "both": "evaluation"})


def combined(*, input, output, expected_output, metadata, evaluations):
    return Evaluation(name="combined", value=sum(each.value for each in evaluations if each.name != "kind"))


result = client.run_batched_evaluation(
    scope="traces",
    mapper=trace_mapper,
    filter=json.dumps([{"type": "arrayOptions", "column": "tags", "operator": "all of", "value": ["production"]}]),
    evaluators=[length, words, picky],
    composite_evaluator=combined,
    fetch_batch_size=2,
    max_concurrency=2,
    metadata={"run": "r1", "both": "call"},
)
assert result.completed and (result.total_items_processed, result.total_items_failed) == (3, 0)
assert (result.total_evaluations_failed, result.total_composite_scores_created) == (1, 3)
assert {stats.name for stats in result.evaluator_stats} >= {"length", "words", "picky"}

observed = client.run_batched_evaluation(
    scope="observations",
    mapper=observation_mapper,
    filter=json.dumps([{"type": "string", "column": "type", "operator": "=", "value": "GENERATION"}]),
    evaluators=[length],
    verbose=True,
)
assert observed.completed and observed.total_items_processed == 6


def refusing(*, item):
    if item.input == {"q": 2}:
        raise KeyError("no such field")
    return trace_mapper(item=item)


partly = client.run_batched_evaluation(scope="traces", mapper=refusing, evaluators=[picky], max_items=10)
assert (partly.total_items_processed, partly.total_items_failed) == (5, 1) and partly.error_summary == {"KeyError": 1}
client.flush()
client.shutdown()
