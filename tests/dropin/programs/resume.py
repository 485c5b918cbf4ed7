"""A batch evaluation goes on from a token: nothing before its position is scored."""
import time

from interactiveai import BatchEvaluationResumeToken, Evaluation, EvaluatorInputs, Interactive

client = Interactive()
for number in range(4):
    with client.start_as_current_span(name=f"step {number}", input=number, output=number):
        time.sleep(0.005)
client.flush()

found = []


def mapper(*, item):
    found.append(item)
    return EvaluatorInputs(input=item.input, output=item.output)


def one(*, output, **kwargs):
    return Evaluation(name="first pass", value=output)


first = client.run_batched_evaluation(scope="traces", mapper=mapper, evaluators=[one])
assert first.completed and first.resume_token is None
found.sort(key=lambda trace: trace.timestamp)
token = BatchEvaluationResumeToken(
    scope="traces",
    filter=None,
    last_processed_timestamp=found[1].timestamp.isoformat(),
    last_processed_id=found[1].id,
    items_processed=2,
)


def two(*, output, **kwargs):
    return Evaluation(name="after the token", value=output)


rest = client.run_batched_evaluation(scope="traces", mapper=mapper, evaluators=[two], resume_from=token)
assert rest.completed and rest.total_items_processed == 2
client.flush()
client.shutdown()
