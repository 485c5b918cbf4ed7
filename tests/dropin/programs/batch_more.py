"""Batch evaluation in other settings: composites that fail, mappers that fail, plain filters, several pages, resuming."""
import json

from interactiveai import BatchEvaluationResumeToken, Evaluation, EvaluatorInputs, Interactive

client = Interactive(environment="production")
for number in range(5):
    with client.start_as_current_span(name=f"request {number}", input={"q": number}, metadata={"tier": "pro" if number % 2 else "free"}) as span:
        span.update(output=number)
        span.update_trace(user_id=f"user-{number}", session_id="session", version="v1")
client.flush()


def mapper(*, item):
    if item.user_id == "user-4":
        raise LookupError("not this one")
    return EvaluatorInputs(input=item.input, output=item.output, expected_output=None, metadata=item.metadata)


class Judge:
    async def __call__(self, *, input, output, expected_output, metadata, **kwargs):
        return Evaluation(name="judge", value="good" if output % 2 else "bad", comment="by the judge")


def flags(*, output, **kwargs):
    return [Evaluation(name="flag", value=1, data_type="BOOLEAN"), Evaluation(name="n", value=output, metadata={"own": [1]})]


def failing(*, evaluations, **kwargs):
    raise RuntimeError("composite")


def only(column, value, type="string", **more):
    return json.dumps([{"type": type, "column": column, "operator": "=", "value": value, **more}])


pro = client.run_batched_evaluation(
    scope="traces", mapper=mapper, evaluators=[Judge(), flags], composite_evaluator=failing, fetch_batch_size=2,
    filter=only("metadata", "pro", "stringObject", key="tier"),
)  # fmt: skip
assert (pro.total_items_processed, pro.total_scores_created, pro.total_composite_scores_created) == (2, 6, 0)
every = client.run_batched_evaluation(scope="traces", mapper=mapper, evaluators=[flags], fetch_batch_size=2, max_concurrency=1)
assert (every.total_items_processed, every.total_items_failed, len(every.failed_item_ids)) == (4, 1, 1)
none = client.run_batched_evaluation(scope="traces", mapper=mapper, evaluators=[flags], filter=only("name", "unknown"))
assert none.completed and none.total_items_fetched == 0
spans = client.run_batched_evaluation(
    scope="observations", mapper=lambda *, item: EvaluatorInputs(input=1, output=item.output),
    evaluators=[flags], filter=only("name", "request 3"), metadata={"run": 1},
)  # fmt: skip
assert spans.total_items_processed == 1
token = BatchEvaluationResumeToken(
    scope="traces", filter=only("environment", "production"), last_processed_timestamp="2020-01-01T00:00:00Z",
    last_processed_id="x", items_processed=0,
)  # fmt: skip
resumed = client.run_batched_evaluation(
    scope="traces", mapper=mapper, evaluators=[lambda *, output, **kwargs: Evaluation(name="resumed", value=output)],
    filter=only("environment", "production"), resume_from=token,
)  # fmt: skip
assert resumed.total_items_processed == 4
client.flush()
client.shutdown()
