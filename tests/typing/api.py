"""How calls should infer. Checked by mypy (`files` in pyproject.toml), never run: names need not exist at run time."""
from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

from typing_extensions import assert_type

from interactiveai_eval import (
    ApiError,
    BatchEvaluationResult,
    BatchEvaluationResumeToken,
    BatchItemFailure,
    DatasetClient,
    DatasetItemClient,
    DeliveryProblem,
    DeliveryReport,
    Evaluation,
    EvaluatorFailure,
    EvaluatorInputs,
    EvaluatorStats,
    ExperimentItemResult,
    ExperimentResult,
    FakeTransport,
    Interactive,
    InteractiveAI,
    ItemFailure,
    LocalServer,
    LocalTransport,
    RegressionError,
    Request,
    Response,
    RunnerContext,
    RunStopped,
    Span,
    Transport,
    create_evaluator_from_autoevals,
    evaluators,
    get_client,
    observe,
    propagate_attributes,
    rescore,
)
from interactiveai_eval.experiment import LocalExperimentItem, TaskFunction
from interactiveai_eval.testing import CountingIds, ManualClock, recorded_spans
from interactiveai_eval.types import (
    CompositeEvaluatorFunction,
    EvaluatorFunction,
    MapperFunction,
    MaskFunction,
    RunEvaluatorFunction,
    ScoreDataType,
    SpanLevel,
    TraceContext,
)

# -- clients -----------------------------------------------------------------------------------------------------------

client = Interactive.local()
assert_type(client, Interactive)
assert_type(Interactive(public_key="pk", secret_key="sk", timeout=2.5, sample_rate=0.5), Interactive)
assert_type(InteractiveAI(transport=LocalTransport("store.db")), Interactive)
assert_type(Interactive.local("store.db", clock=ManualClock(), ids=CountingIds()), Interactive)
assert_type(get_client(public_key="pk"), Interactive)
with Interactive.local() as entered:
    assert_type(entered, Interactive)
assert_type(client.flush(timeout=1), DeliveryReport)
assert_type(client.auth_check(), bool)
assert_type(Interactive.create_trace_id(seed="x"), str)
assert_type(client.get_trace_url(), str | None)
assert_type(client.get_current_trace_id(), str | None)
Interactive("pk")  # type: ignore[call-arg]
Interactive(timeout="5")  # type: ignore[arg-type]
Interactive(nonsense=1)  # type: ignore[call-arg]

# -- functions of users ------------------------------------------------------------------------------------------------


def plain_task(*, item: LocalExperimentItem) -> str:
    return str(item["input"])


async def awaited_task(*, item: DatasetItemClient, **kwargs: Any) -> dict[str, Any]:
    return {"answer": item.input}


def positional_task(case: dict[str, Any]) -> int:
    return len(case)


def evaluator(*, input: Any, output: str, expected_output: str | None, **kwargs: Any) -> Evaluation:
    return Evaluation(name="exact", value=output == expected_output)


async def awaited_evaluator(*, output: str) -> list[Evaluation]:
    return [Evaluation(name="length", value=len(output), comment="characters")]


def composite(*, evaluations: list[Evaluation]) -> dict[str, Any]:
    return {"name": "mean", "value": sum(float(e.value or 0) for e in evaluations)}


def run_evaluator(*, item_results: list[ExperimentItemResult], item_failures: list[ItemFailure]) -> float:
    return len(item_failures) / max(len(item_results), 1)


def mask(*, data: Any) -> Any:
    return data


class ProtocolTask:
    def __call__(self, *, item: Any, **kwargs: Any) -> Any:
        return item


as_task: TaskFunction = ProtocolTask()


def as_evaluator(
    *, input: Any, output: Any, expected_output: Any, metadata: dict[str, Any] | None, **kwargs: Any
) -> Evaluation:
    return Evaluation(name="e", value=1)


def as_mapper(*, item: Any, **kwargs: Any) -> EvaluatorInputs:
    return EvaluatorInputs(input=item.input, output=item.output)


typed_mapper: MapperFunction = as_mapper
typed_evaluator: EvaluatorFunction = as_evaluator
made_evaluators: list[EvaluatorFunction] = [
    evaluators.exact(),
    evaluators.max_duration(2.0),
    evaluators.llm_judge(str, ["yes", "no"]),
    create_evaluator_from_autoevals(str.split),
]
made_run_evaluators: list[RunEvaluatorFunction] = [evaluators.mean("exact"), evaluators.confusion()]
typed_mask: MaskFunction = mask


def as_run_evaluator(*, item_results: list[ExperimentItemResult], **kwargs: Any) -> list[Evaluation]:
    return [Evaluation(name="n", value=len(item_results))]


def as_composite(
    *,
    input: Any = None,
    output: Any = None,
    expected_output: Any = None,
    metadata: dict[str, Any] | None = None,
    evaluations: list[Evaluation],
    **kwargs: Any,
) -> Evaluation:
    return evaluations[0]


typed_run_evaluator: RunEvaluatorFunction = as_run_evaluator
typed_composite: CompositeEvaluatorFunction = as_composite

# -- experiments -------------------------------------------------------------------------------------------------------

items: list[LocalExperimentItem] = [{"input": 1, "expected_output": 2, "metadata": {"k": 1}}]
result = client.run_experiment(
    name="x",
    data=items,
    task=plain_task,
    evaluators=[evaluator, awaited_evaluator],
    composite_evaluator=composite,
    run_evaluators=(run_evaluator,),
    metadata={"model": "m", "temperature": 0.5},
)
assert_type(result, ExperimentResult)
assert_type(result.item_results, list[ExperimentItemResult])
assert_type(result.item_failures, list[ItemFailure])
assert_type(result.run_evaluations, list[Evaluation])
assert_type(result.evaluator_stats, list[EvaluatorStats])
assert_type(result.delivery, DeliveryReport)
assert_type(result.delivery.pending, int)
assert_type(result.delivery.problems, list[DeliveryProblem])
assert_type(result.dataset_run_url, str | None)
assert_type(result.completed, bool)
assert_type(result.duration_seconds, float)
assert_type(result.format(include_item_results=True), str)
assert_type(ExperimentResult.load("result.json"), ExperimentResult)
assert_type(result["name"], Any)
for item_result in result.item_results:
    assert_type(item_result.output, Any)
    assert_type(item_result.index, int)
    assert_type(item_result.evaluations, list[Evaluation])
    assert_type(item_result.evaluations[0].value, bool | int | float | str | None)
    assert_type(item_result.evaluator_failures, list[EvaluatorFailure])
for item_failure in result.item_failures:
    assert_type((item_failure.stage, item_failure.attempts), tuple[str, int])


def generated() -> Iterator[dict[str, Any]]:
    yield {"input": 1}


async def generated_async() -> AsyncIterator[dict[str, Any]]:
    yield {"input": 1}


async def awaited() -> None:
    assert_type(await client.run_experiment_async(name="x", data=generated_async(), task=awaited_task), ExperimentResult)


client.run_experiment(name="x", data=generated(), task=positional_task, max_concurrency=5, task_timeout=2.5)
client.run_experiment(name="x", data=[], task=lambda *, item: item, fail_on_error=0.5, progress=True)
client.run_experiment(name="x", data=[])  # type: ignore[call-arg]
client.run_experiment(name="x", data=[], task="task")  # type: ignore[arg-type]
client.run_experiment("x", data=[], task=plain_task)  # type: ignore[call-arg]
create_evaluator_from_autoevals(object(), model="m")

try:
    client.run_experiment(name="x", data=[], task=plain_task)
except RunStopped as stopped:
    assert_type(stopped.result, Any)
except ApiError as error:
    assert_type(error.status_code, int)

# -- evaluations -------------------------------------------------------------------------------------------------------

Evaluation(name="e", value=None, comment=None, metadata={"k": 1}, data_type="BOOLEAN", config_id=None)
Evaluation("e", 1)  # type: ignore[call-arg]
Evaluation(name="e")  # type: ignore[call-arg]
Evaluation(name="e", value=[1])  # type: ignore[arg-type]
data_type: ScoreDataType = "NUMERIC"
wrong_data_type: ScoreDataType = "SCORE"  # type: ignore[assignment]
level: SpanLevel = "WARNING"

# -- data sets ---------------------------------------------------------------------------------------------------------

dataset = client.get_dataset("set", fetch_items_page_size=10)
assert_type(dataset, DatasetClient)
assert_type(dataset.items, list[DatasetItemClient])
assert_type(len(dataset), int)
assert_type(dataset.run_experiment(name="x", task=awaited_task), ExperimentResult)
for item in dataset:
    assert_type(item, DatasetItemClient)
    assert_type(item.id, str)
    assert_type(item.created_at, datetime)
    with item.run(run_name="r", run_metadata={"k": 1}) as item_span:
        assert_type(item_span, Span)
assert_type(client.create_dataset(name="set").metadata, Any)
assert_type(client.create_dataset_item(dataset_name="set", input=1).expected_output, Any)
assert_type(client.get_dataset_runs(dataset_name="set").meta.total_items, int)
assert_type(client.get_dataset_run(dataset_name="set", run_name="r").dataset_run_items[0].trace_id, str)
assert_type(client.delete_dataset_run(dataset_name="set", run_name="r").message, str)

# -- spans -------------------------------------------------------------------------------------------------------------

context: TraceContext = {"trace_id": "0" * 31 + "1"}
with client.start_as_current_span(name="s", input=1, trace_context=context) as span:
    assert_type(span, Span)
    assert_type(span.trace_id, str)
    assert_type(span.update(output={"a": 1}, level=level), Span)
    assert_type(span.update_trace(tags=["a"], user_id="u").end(), Span)
    span.score(name="s", value=0.5, comment="c")
    with span.start_as_current_generation(name="g", model="m") as generation:
        assert_type(generation, Span)
    with span.start_span(name="child") as child:
        assert_type(child, Span)
with client.start_as_current_observation(name="tool", as_type="tool") as tool, contextlib.ExitStack() as stack:
    assert_type(tool, Span)
    assert_type(stack.enter_context(client.start_as_current_generation(name="g")), Span)
with propagate_attributes(user_id="u", metadata={"k": "v"}), client.propagate_attributes(session_id="s"):
    pass
assert_type(client.start_span(name="s").traceparent, str)
assert_type(recorded_spans(client), list[dict[str, Any]])
client.create_score(name="s", value=True, trace_id="t", timestamp=datetime.now())


@observe
def observed(a: int) -> str:
    return str(a)


@observe(name="n", as_type="generation", capture_input=False)
async def observed_coroutine(a: int) -> str:
    return str(a)


assert_type(observed(1), str)
observed("x")  # type: ignore[arg-type]


async def use() -> None:
    assert_type(await observed_coroutine(1), str)


# -- transports --------------------------------------------------------------------------------------------------------


class Wrapping(Transport):
    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    def send(self, request: Request) -> Response:
        assert_type(request.query, tuple[tuple[str, str], ...])
        response = self.inner.send(Request(request.method, request.path, headers={"a": "b"}, body=b""))
        assert_type((response.status, response.body), tuple[int, bytes])
        return response


def answer(request: Request) -> Response:
    return Response(404 if request.method == "GET" else 405)


assert_type(FakeTransport(answer).requests, list[Request])
with Wrapping(LocalTransport()) as wrapping:
    Interactive(transport=wrapping)

# -- batch evaluations -------------------------------------------------------------------------------------------------

token = BatchEvaluationResumeToken(
    scope="traces", filter=None, last_processed_timestamp="", last_processed_id="", items_processed=0
)
assert_type(BatchEvaluationResumeToken.from_json(token.to_json()), BatchEvaluationResumeToken)
assert_type(EvaluatorInputs(input=1, output=2).metadata, "dict[str, Any] | None")
batch = BatchEvaluationResult.load("batch.json")
assert_type(batch, BatchEvaluationResult)
assert_type(BatchEvaluationResult.merge([batch]), BatchEvaluationResult)
assert_type(batch.item_evaluations, "dict[str, list[Evaluation]]")
assert_type(batch.item_failures[0], BatchItemFailure)
assert_type(batch.retry_token(), "BatchEvaluationResumeToken | None")

# -- a server ----------------------------------------------------------------------------------------------------------

with LocalServer(LocalTransport(), port=0, secret_key="own") as server:
    assert_type(server.base_url, str)
    assert_type(Interactive(base_url=server.url, public_key=server.public_key, secret_key=server.secret_key), Interactive)

# -- figures, comparisons, checks --------------------------------------------------------------------------------------

saved = ExperimentResult.load("run.json")
assert_type(saved.summary(reduce="pass_at(3)").metrics["accuracy"].value, "float | None")
comparison = saved.compare(saved, tolerance=0.01)
assert_type(comparison.metrics["accuracy"].p, "float | None")
assert_type([change.status for change in comparison.with_status("regressed")], list[str])
assert_type(saved.check("accuracy >= 0.9", baseline=batch).passed, bool)
assert_type(batch.check("accuracy >= 0.9").reasons, list[str])
try:
    saved.raise_for_checks("accuracy >= 0.9", baseline=saved)
except RegressionError as regression:
    assert_type(regression.threshold, "float | None")
with Interactive.local() as ci_client:
    ci_context = RunnerContext(client=ci_client, data=[{"input": 1}], metadata={"sha": "1"})
    exact = evaluators.exact(ignore_case=True)
    assert_type(ci_context.run_experiment(name="x", task=print, evaluators=[exact]), ExperimentResult)
assert_type(rescore("result.json", [lambda *, output: 1], max_concurrency=2), ExperimentResult)
