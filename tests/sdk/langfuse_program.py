"""Run by `test_sdks` under a Python that has langfuse 3, 4 or 5, against a server named by the environment.

Data set and local experiments, batch evaluation, spans and scores; then everything is read back with the SDK itself.
"""
from __future__ import annotations

from datetime import datetime, timedelta, timezone

from langfuse import Evaluation, Langfuse
from langfuse.batch_evaluation import EvaluatorInputs

try:
    from langfuse import __version__ as version
except ImportError:
    from langfuse.version import __version__ as version

MAJOR = int(version.partition(".")[0])
client = Langfuse()
assert client.auth_check()

# -- a data set and experiments on it and without it -------------------------------------------------------------------

client.create_dataset(name="qa/1 \u00e9", description="questions", metadata={"owner": "team"})
for number in range(3):
    client.create_dataset_item(
        dataset_name="qa/1 \u00e9", id=f"item-{number}", input={"n": number}, expected_output=2 * number, metadata={"row": number}
    )
dataset = client.get_dataset("qa/1 \u00e9")
assert [item.id for item in dataset.items] == ["item-2", "item-1", "item-0"]
assert dataset.items[1].input == {"n": 1} and dataset.items[1].expected_output == 2


def task(*, item, **kwargs):
    given = item["input"] if isinstance(item, dict) else item.input
    with client.start_as_current_observation(name="doubling", as_type="generation", input=given, model="m") as span:
        span.update(output=given["n"] * 2, usage_details={"input": 3, "output": 4})
    return given["n"] * 2


def exact(*, output, expected_output=None, **kwargs):
    return Evaluation(name="exact", value=float(output == expected_output), comment="compared")


async def label(*, output, **kwargs):
    return [Evaluation(name="label", value="even"), Evaluation(name="sure", value=True, data_type="BOOLEAN")]


def total(*, item_results, **kwargs):
    return Evaluation(name="total", value=float(len(item_results)))


begun = datetime.now(timezone.utc) - timedelta(minutes=1)
result = dataset.run_experiment(
    name="exp", run_name="run \u00e9", description="d", task=task, evaluators=[exact, label], run_evaluators=[total], metadata={"model": "m"}
)
assert sorted(each.output for each in result.item_results) == [0, 2, 4]
local = client.run_experiment(name="local", data=[{"input": {"n": 7}, "expected_output": 14}], task=task, evaluators=[exact])
trace_ids = {each.trace_id for each in [*result.item_results, *local.item_results]}
client.flush()

# -- batch evaluation --------------------------------------------------------------------------------------------------


def mapper(*, item):
    return EvaluatorInputs(input=item.input, output=item.output, expected_output=None, metadata={"id": item.id})


def length(*, output, **kwargs):
    return Evaluation(name="length", value=float(len(str(output))))


if MAJOR < 5:
    batch = client.run_batched_evaluation(scope="traces", mapper=mapper, evaluators=[length], metadata={"run": "b"})
    assert batch.completed and batch.total_items_processed == 4, batch
    filter = '[{"type": "string", "column": "type", "operator": "=", "value": "GENERATION"}]'
    batch = client.run_batched_evaluation(scope="observations", mapper=mapper, evaluators=[length], filter=filter)
else:
    filter = '[{"type": "string", "column": "type", "operator": "=", "value": "GENERATION"}]'
    batch = client.run_batched_evaluation(mapper=mapper, evaluators=[length], filter=filter, fetch_batch_size=3)
assert batch.completed and batch.total_items_processed == 4, batch
client.create_score(name="by hand", value=0.5, trace_id=result.item_results[0].trace_id, metadata={"who": "me"})
client.flush()

# -- reading it back ---------------------------------------------------------------------------------------------------

api = client.api
names = {"exact", "label", "sure", "total", "length", "by hand"}
if MAJOR < 5:
    traces = api.trace.list(limit=100)
    assert {trace.id for trace in traces.data} == trace_ids and traces.meta.total_items == 4
    whole = api.trace.get(result.item_results[0].trace_id)
    assert {row.name for row in whole.observations} >= {"experiment-item-run", "doubling"}
    assert {score.name for score in whole.scores} == names - {"total"}
    run = client.get_dataset_run(dataset_name="qa/1 \u00e9", run_name="run \u00e9")  # the plain call leaves the / as it is
    assert {item.dataset_item_id for item in run.dataset_run_items} == {"item-0", "item-1", "item-2"}
    assert result.dataset_run_id == run.id
    listed = api.dataset_run_items.list(dataset_id=dataset.id, run_name="run \u00e9")
    assert {item.trace_id for item in listed.data} == {each.trace_id for each in result.item_results}
    scores = api.score_v_2.get(limit=100) if MAJOR == 3 else api.scores.get_many(limit=100)
    assert {score.name for score in scores.data} == names
    observations = api.observations if MAJOR == 3 else api.legacy.observations_v1
    assert observations.get_many(type="GENERATION").meta.total_items == 4
if MAJOR > 3:
    rows = api.observations.get_many(type="GENERATION", fields="core,basic,io,model,usage", limit=2)
    assert len(rows.data) == 2 and rows.meta.cursor
    rest = api.observations.get_many(type="GENERATION", fields="core,io", limit=10, cursor=rows.meta.cursor)
    assert len(rest.data) == 2 and rest.meta.cursor is None
    assert rows.data[0].usage_details["input"] == 3 and rows.data[0].input.startswith('{"n": ')
    v3 = api.scores_v3 if MAJOR == 4 else api.scores
    read = v3.get_many_v3 if hasattr(v3, "get_many_v3") else v3.get_many
    found = {(score.name, str(score.value)) for score in read(limit=100, fields="details,subject").data}
    assert {name for name, _ in found} == names and {("sure", "True"), ("label", "even"), ("total", "3.0")} <= found
    experiments = api.experiments.list(from_start_time=begun, fields="core,metadata,scores").data
    by_name = {each.name: each for each in experiments}
    assert by_name["run \u00e9"].item_count == 3 and by_name["run \u00e9"].dataset_id == dataset.id
    assert by_name["run \u00e9"].metadata == {"model": "m"}, by_name
    fields = "core,dataset,io,itemMetadata,scores"
    items = api.experiments.list_items(from_start_time=begun, experiment_name="run \u00e9", fields=fields).data
    assert {(item.experiment_item_id, item.trace_id) for item in items} == {
        (each.item.id, each.trace_id) for each in result.item_results
    }
    assert {item.output for item in items} == {"0", "2", "4"} and all(item.scores for item in items)
client.shutdown()
print(version)
