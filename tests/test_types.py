"""A program for the reference SDK works after changing its imports: the places, and the documented examples.

The examples are those of the experiments page and of the reference's docstrings, told again with stand-ins for models
and services. What fails there and is documented all the same (dict evaluations, `result["..."]`) works here.
"""
from __future__ import annotations

import asyncio
import importlib
import inspect
import statistics
import sys
import typing

import pytest

import interactiveai_eval
from interactiveai_eval import Evaluation, Interactive, get_client, observe
from interactiveai_eval.testing import recorded_spans

ARTICLES = [
    {"input": "The river rose for three days before the bridge was closed.", "expected_output": "The bridge closed."},
    {"input": "A short one.", "expected_output": "Short."},
]
CAPITALS = {"France": "Paris", "Italy": "Rome", "Peru": "Lima"}
QUESTIONS = [{"input": f"What is the capital of {land}?", "expected_output": city} for land, city in CAPITALS.items()]


class Reply:
    """What a chat model's client returns."""

    def __init__(self, text):
        message = type("Message", (), {"content": text})
        self.choices = [type("Choice", (), {"message": message})]


class ChatClient:
    """A stand-in for a model's client; awaited like one."""

    class chat:
        class completions:
            @staticmethod
            async def create(*, model, messages, temperature=0.0):
                await asyncio.sleep(0)
                question = messages[0]["content"]
                for land, city in CAPITALS.items():
                    if land in question:
                        return Reply(f"The capital of {land} is {city}.")
                return Reply("7" if question.startswith("Rate") else f"An answer to: {question}")


chat_client = ChatClient()


async def ask(question):
    reply = await chat_client.chat.completions.create(model="m", messages=[{"role": "user", "content": question}])
    return reply.choices[0].message.content


def same(expected, output):
    return output.strip().lower() == expected.strip().lower()


def with_items(client, name, items):
    client.create_dataset(name=name)
    for number, item in enumerate(items):
        client.create_dataset_item(dataset_name=name, id=f"{name}-{len(items) - number}", **item)
    return client.get_dataset(name)


def scores_of(result):
    return [[(e.name, e.value, e.comment) for e in item.evaluations] for item in result.item_results]


# -- import places -----------------------------------------------------------------------------------------------------


PLACES = {
    "batch_evaluation": [
        "BatchEvaluationResult",
        "BatchEvaluationResumeToken",
        "CompositeEvaluatorFunction",
        "EvaluatorInputs",
        "EvaluatorStats",
        "MapperFunction",
    ],
    "experiment": [
        "Evaluation",
        "EvaluatorFunction",
        "ExperimentData",
        "ExperimentItem",
        "ExperimentItemResult",
        "ExperimentResult",
        "LocalExperimentItem",
        "RunEvaluatorFunction",
        "TaskFunction",
        "create_evaluator_from_autoevals",
    ],
    "types": [
        "CompositeEvaluatorFunction",
        "Evaluation",
        "EvaluatorFunction",
        "ExperimentData",
        "ExperimentItem",
        "LocalExperimentItem",
        "MapperFunction",
        "MaskFunction",
        "RunEvaluatorFunction",
        "ScoreDataType",
        "SpanLevel",
        "TaskFunction",
        "TraceContext",
    ],
}


@pytest.mark.parametrize("place", PLACES)
def test_names_are_where_the_reference_has_them_and_at_the_top(place):
    """Some of the reference's documented places do not exist (D12)."""
    module = importlib.import_module(f"interactiveai_eval.{place}")
    for name in PLACES[place]:
        assert getattr(module, name) is getattr(interactiveai_eval, name)
        assert name in module.__all__


@pytest.mark.parametrize("place", PLACES)
def test_whatever_a_place_offers_is_at_the_top_too(place):
    module = importlib.import_module(f"interactiveai_eval.{place}")

    assert set(module.__all__) <= set(interactiveai_eval.__all__)


def test_the_places_can_be_starred():
    for place in PLACES:
        namespace = {}
        exec(f"from interactiveai_eval.{place} import *", namespace)
        assert set(PLACES[place]) <= set(namespace)


def test_what_is_nowhere_is_an_error_with_its_name():
    for place in ("", ".batch_evaluation", ".experiment", ".types"):
        with pytest.raises(AttributeError, match="Nonsense"):
            importlib.import_module(f"interactiveai_eval{place}").Nonsense  # noqa: B018
    with pytest.raises(ImportError, match="Nonsense"):
        exec("from interactiveai_eval import Nonsense")


def test_the_types_say_what_they_are():
    types = interactiveai_eval.types
    assert typing.get_args(types.ScoreDataType) == ("NUMERIC", "CATEGORICAL", "BOOLEAN")
    assert typing.get_args(types.SpanLevel) == ("DEBUG", "DEFAULT", "WARNING", "ERROR")
    item: types.LocalExperimentItem = {"input": 1, "expected_output": 2, "metadata": {"k": 1}}
    assert types.LocalExperimentItem(input=1) == {"input": 1} and item["input"] == 1
    assert sorted(types.LocalExperimentItem.__annotations__) == ["expected_output", "input", "metadata"]


def test_protocols_describe_functions_by_keyword():
    types = interactiveai_eval.types
    expected = {
        types.TaskFunction: ["item"],
        types.EvaluatorFunction: ["input", "output", "expected_output", "metadata"],
        types.CompositeEvaluatorFunction: ["input", "output", "expected_output", "metadata", "evaluations"],
        types.RunEvaluatorFunction: ["item_results"],
        types.MapperFunction: ["item"],
        types.MaskFunction: ["data"],
    }
    for protocol, names in expected.items():
        parameters = list(inspect.signature(protocol.__call__).parameters.values())[1:]
        keyword = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        assert keyword == names, protocol


# The reference's parameters, in its order. Ours may have more.
SIGNATURES = {
    "Interactive": "public_key secret_key base_url host timeout debug tracing_enabled flush_at flush_interval environment "
    "release sample_rate mask additional_headers",
    "Interactive.run_experiment": "name run_name description data task evaluators composite_evaluator run_evaluators "
    "max_concurrency metadata",
    "Interactive.get_dataset": "name fetch_items_page_size",
    "Interactive.create_dataset": "name description metadata input_schema expected_output_schema",
    "Interactive.create_dataset_item": "dataset_name input expected_output metadata source_trace_id "
    "source_observation_id status id",
    "Interactive.get_dataset_runs": "dataset_name page limit",
    "Interactive.get_dataset_run": "dataset_name run_name",
    "Interactive.delete_dataset_run": "dataset_name run_name",
    "Interactive.create_score": "name value session_id dataset_run_id trace_id observation_id score_id data_type comment "
    "config_id metadata timestamp",
    "Interactive.create_trace_id": "seed",
    "Interactive.get_trace_url": "trace_id",
    "Interactive.auth_check": "",
    "Span.update": "name input output metadata version level status_message completion_start_time model "
    "model_parameters usage_details cost_details prompt",
    "Span.update_trace": "name user_id session_id version input output metadata tags public",
    "Span.end": "end_time",
    "DatasetItemClient.run": "run_name run_metadata run_description",
    "Evaluation": "name value comment metadata data_type config_id",
    "ExperimentItemResult": "item output evaluations trace_id dataset_run_id",
    "ExperimentResult": "name run_name description item_results run_evaluations dataset_run_id dataset_run_url",
    "ExperimentResult.format": "include_item_results",
    "observe": "func name as_type capture_input capture_output transform_to_string",
    "propagate_attributes": "user_id session_id metadata version tags trace_name as_baggage",
    "get_client": "public_key",
    "create_evaluator_from_autoevals": "autoevals_evaluator kwargs",
}


@pytest.mark.parametrize("path", SIGNATURES)
def test_every_parameter_of_the_reference_is_taken(path):
    target = interactiveai_eval
    for name in path.split("."):
        target = getattr(target, name)

    assert set(SIGNATURES[path].split()) <= set(inspect.signature(target).parameters)


def test_twins_and_contexts_show_the_parameters_of_the_plain_forms(client):
    def shown(function):
        return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}

    plain, context = shown(client.run_experiment), interactiveai_eval.RunnerContext(client=client)
    assert shown(client.run_experiment_async) == plain and plain["max_concurrency"] == 50
    assert shown(client.run_batched_evaluation_async) == shown(client.run_batched_evaluation)
    for function in (context.run_experiment, context.run_experiment_async):
        assert shown(function) == {**plain, "name": None, "data": None}
    assert inspect.iscoroutinefunction(client.run_experiment_async)


# -- run_experiment ----------------------------------------------------------------------------------------------------


def test_the_basic_example_with_local_data(client, capsys):
    """Dict evaluations; in the reference nothing of them is stored (D02)."""

    def shorten(*, item, **kwargs):
        return f"Summary: {item['input'][:10]}..."

    def output_length(*, input, output, expected_output=None, **kwargs):
        return {"name": "output_length", "value": len(output), "comment": f"{len(output)} characters"}

    result = client.run_experiment(
        name="Summaries",
        description="How long they are",
        data=ARTICLES,
        task=shorten,
        evaluators=[output_length],
    )
    print(f"Processed {len(result.item_results)} items")
    for item_result in result.item_results:
        print(item_result.item["input"][:3], item_result.output, item_result.evaluations)

    assert capsys.readouterr().out == (
        "Processed 2 items\n"
        "The Summary: The river ... [Evaluation(name='output_length', value=22, comment='22 characters')]\n"
        "A s Summary: A short on... [Evaluation(name='output_length', value=22, comment='22 characters')]\n"
    )
    assert client.api.scores(name="output_length")["meta"]["totalItems"] == 2


def test_the_advanced_example_with_an_awaited_model_and_run_level_averages(client):
    async def answer(*, item, **kwargs):
        return await ask(item["input"])

    def accuracy(*, input, output, expected_output=None, **kwargs):
        if expected_output and expected_output.lower() in output.lower():
            return {"name": "accuracy", "value": 1.0, "comment": "Correct answer"}
        return {"name": "accuracy", "value": 0.0, "comment": "Incorrect answer"}

    def toxicity(*, input, output, expected_output=None, **kwargs):
        score = 0.1
        return {"name": "toxicity", "value": score, "comment": f"Level: {'high' if score > 0.7 else 'low'}"}

    def average_accuracy(*, item_results, **kwargs):
        found = [e.value for result in item_results for e in result.evaluations if e.name == "accuracy"]
        return {
            "name": "average_accuracy",
            "value": sum(found) / len(found) if found else 0,
            "comment": f"Average over {len(found)} items",
        }

    result = client.run_experiment(
        name="Safety and accuracy",
        description="Both at once",
        data=QUESTIONS,
        task=answer,
        evaluators=[accuracy, toxicity],
        run_evaluators=[average_accuracy],
        max_concurrency=5,
        metadata={"model": "m", "temperature": 0.7},
    )

    assert scores_of(result) == [[("accuracy", 1.0, "Correct answer"), ("toxicity", 0.1, "Level: low")]] * 3
    assert result.run_evaluations == [
        Evaluation(name="average_accuracy", value=1.0, comment="Average over 3 items")
    ]


def test_the_example_with_a_data_set_links_the_run_and_has_its_url_by_key(client):
    """`result["..."]` is a TypeError in the reference (D05)."""
    dataset = with_items(client, "my-eval-dataset", QUESTIONS)

    result = dataset.run_experiment(
        name="Production model",
        description="Monthly",
        task=lambda *, item, **kwargs: item.expected_output,
        evaluators=[lambda *, output, expected_output, **kwargs: {"name": "accuracy", "value": output == expected_output}],
    )

    assert f"View results: {result['dataset_run_url']}".endswith(f"/datasets/{dataset.id}/runs/{result.dataset_run_id}")


# -- DatasetClient.run_experiment --------------------------------------------------------------------------------------


def test_the_question_answering_example_on_a_data_set(client, capsys):
    dataset = with_items(client, "qa-evaluation-set", [*QUESTIONS, {"input": "What is the meaning of it?"}])

    def answer_questions(*, item, **kwargs):
        question = item.input
        return next((city.upper() for land, city in CAPITALS.items() if land in question), "who knows")

    def accuracy(*, input, output, expected_output=None, **kwargs):
        if not expected_output:
            return {"name": "accuracy", "value": None, "comment": "No expected output"}
        correct = same(expected_output, output)
        return {"name": "accuracy", "value": 1.0 if correct else 0.0, "comment": "Correct" if correct else "Incorrect"}

    result = dataset.run_experiment(
        name="QA v2", description="On the curated questions", task=answer_questions, evaluators=[accuracy]
    )
    print(f"Evaluated {len(result['item_results'])} questions")

    assert capsys.readouterr().out == "Evaluated 4 questions\n"
    assert sorted(map(str, scores_of(result))) == [
        "[('accuracy', 1.0, 'Correct')]",
        "[('accuracy', 1.0, 'Correct')]",
        "[('accuracy', 1.0, 'Correct')]",
        "[('accuracy', None, 'No expected output')]",
    ]
    assert client.api.scores(name="accuracy")["meta"]["totalItems"] == 3  # no score for what was not judged
    assert "https" not in result.format() and result.dataset_run_url in result.format()


def test_the_content_example_with_lists_of_evaluations_and_key_access(client, capsys):
    items = [
        {"input": "a tweet", "metadata": {"type": "tweet"}},
        {"input": "a blog post", "metadata": {"type": "blog"}},
        {"input": "something"},
    ]
    dataset = with_items(client, "content-generation-benchmark", items)

    async def generate_content(*, item, **kwargs):
        return await ask(item.input)

    def quality(*, input, output, expected_output=None, metadata=None, **kwargs):
        kind = metadata.get("type", "general") if metadata else "general"
        words = len(output.split())
        least = {"blog": 300, "tweet": 4, "summary": 100}.get(kind, 50)
        return [
            {"name": "word_count", "value": words, "comment": f"Generated {words} words"},
            {"name": "meets_length", "value": words >= least, "comment": f"At least {least} words for {kind}"},
        ]

    def diversity(*, item_results, **kwargs):
        words = [word for result in item_results for word in result["output"].lower().split()]
        ratio = len(set(words)) / len(words) if words else 0
        return {"name": "vocabulary_diversity", "value": ratio, "comment": f"{ratio:.2%} of {len(words)}"}

    result = dataset.run_experiment(
        name="Diversity",
        task=generate_content,
        evaluators=[quality],
        run_evaluators=[diversity],
        max_concurrency=3,
        metadata={"model": "m", "temperature": 0.7},
    )
    for number, item_result in enumerate(result["item_results"]):
        print(f"Item {number + 1}: {[e['value'] for e in item_result['evaluations']]}")

    # Items come newest first, as servers list them.
    assert capsys.readouterr().out == "Item 1: [4, False]\nItem 2: [6, False]\nItem 3: [5, True]\n"
    assert result.run_evaluations == [
        Evaluation(name="vocabulary_diversity", value=8 / 15, comment="53.33% of 15")
    ]


def test_two_models_on_one_data_set_are_two_runs_of_it(client):
    dataset = with_items(client, "model-benchmark", QUESTIONS)

    def accuracy(*, output, expected_output, **kwargs):
        return {"name": "accuracy", "value": same(expected_output, output)}

    def fluency(*, output, **kwargs):
        return {"name": "fluency", "value": len(output.split())}

    results = [
        dataset.run_experiment(name=name, description=name, task=task, evaluators=[accuracy, fluency])
        for name, task in (
            ("Baseline", lambda *, item, **kwargs: item.expected_output),
            ("Custom", lambda *, item, **kwargs: "Rome"),
        )
    ]

    assert [sum(e.value for item in r.item_results for e in item.evaluations if e.name == "accuracy") for r in results] == [
        3,
        1,
    ]
    assert len({result.dataset_run_url for result in results}) == 2
    assert len(client.get_dataset_runs(dataset_name="model-benchmark").data) == 2


# -- tasks and evaluators ----------------------------------------------------------------------------------------------


def test_the_task_examples(client):
    def plain(*, item, **kwargs):
        return f"generated from: Summarize: {item['input']}"

    async def careful(*, item, **kwargs):
        try:
            if "Peru" in item["input"]:
                raise ConnectionError("no answer")
            return await ask(item["input"])
        except ConnectionError:
            return "Error: Could not process item"

    def either(*, item, **kwargs):
        text = item["input"] if isinstance(item, dict) else item.input
        return "question" if text.endswith("?") else "statement"

    def outputs(task, data):
        return [r.output for r in client.run_experiment(name="tasks", data=data, task=task).item_results]

    assert outputs(plain, ARTICLES[1:]) == ["generated from: Summarize: A short one."]
    assert outputs(careful, QUESTIONS)[1:] == ["The capital of Italy is Rome.", "Error: Could not process item"]
    mixed = [*ARTICLES, *with_items(client, "questions", QUESTIONS)]
    assert outputs(either, mixed) == ["statement", "statement", "question", "question", "question"]


def test_the_evaluator_examples(client):
    def several(*, input, output, expected_output=None, **kwargs):
        results = [{"name": "output_length", "value": len(output), "comment": f"{len(output)} characters"}]
        results.append({"name": "sentiment", "value": 0.75, "comment": "Sentiment score: 0.75"})
        return results

    async def judged_by_a_model(*, input, output, expected_output=None, **kwargs):
        said = await ask(f"Rate this from 1 to 10: {input} {output}" if "short" in input else output)
        try:
            return {"name": "quality", "value": float(said.strip()), "comment": f"rated {float(said)}/10"}
        except ValueError:
            return {"name": "quality", "value": None, "comment": "Could not parse the rating"}

    def by_difficulty(*, input, output, metadata=None, **kwargs):
        difficulty = metadata.get("difficulty", "medium") if metadata else "medium"
        enough = len(output) >= {"easy": 5, "medium": 10, "hard": 15}[difficulty]
        return {"name": f"meets_{difficulty}_requirement", "value": enough}

    data = [{**ARTICLES[0], "metadata": {"difficulty": "hard"}}, ARTICLES[1]]
    result = client.run_experiment(
        name="judges",
        data=data,
        task=lambda *, item, **kwargs: item["input"][:12],
        evaluators=[several, judged_by_a_model, by_difficulty],
    )

    assert [[(name, value) for name, value, _ in item] for item in scores_of(result)] == [
        [("output_length", 12), ("sentiment", 0.75), ("quality", None), ("meets_hard_requirement", False)],
        [("output_length", 12), ("sentiment", 0.75), ("quality", 7.0), ("meets_medium_requirement", True)],
    ]
    assert all(item.evaluator_failures == [] for item in result.item_results)


def test_the_evaluation_examples(client):
    def accuracy(*, input, output, expected_output=None, **kwargs):
        if not expected_output:
            return Evaluation(name="accuracy", value=None, comment="No expected output")
        correct = same(expected_output, output)
        return Evaluation(name="accuracy", value=1.0 if correct else 0.0, comment="Right" if correct else "Wrong")

    def comprehensive(*, input, output, expected_output=None, **kwargs):
        return [
            Evaluation(name="length", value=len(output), comment=f"{len(output)} chars"),
            Evaluation(name="has_greeting", value="hello" in output.lower(), comment="Contains greeting"),
            Evaluation(name="quality", value=0.85, comment="High", metadata={"confidence": 0.92, "model": "m"}),
        ]

    def sentiment(*, input, output, **kwargs):
        return Evaluation(name="sentiment", value="positive", comment="Cheerful", data_type="CATEGORICAL")

    def outside_service(*, input, output, **kwargs):
        try:
            raise ConnectionError("down")
        except ConnectionError as error:
            return Evaluation(
                name="external_score",
                value=None,
                comment=f"API unavailable: {error}",
                metadata={"error": str(error), "retry_count": 3},
            )

    result = client.run_experiment(
        name="evaluations",
        data=[{"input": "x", "expected_output": "Hello there"}, {"input": "y"}],
        task=lambda *, item, **kwargs: "hello there",
        evaluators=[accuracy, comprehensive, sentiment, outside_service],
    )

    first, second = scores_of(result)
    assert first == [
        ("accuracy", 1.0, "Right"),
        ("length", 11, "11 chars"),
        ("has_greeting", True, "Contains greeting"),
        ("quality", 0.85, "High"),
        ("sentiment", "positive", "Cheerful"),
        ("external_score", None, "API unavailable: down"),
    ]
    assert second[0] == ("accuracy", None, "No expected output")
    stored = {score["name"]: score for score in client.api.trace(result.item_results[0].trace_id)["scores"]}
    assert {name: score["dataType"] for name, score in stored.items()} == {
        "accuracy": "NUMERIC",
        "length": "NUMERIC",
        "has_greeting": "BOOLEAN",
        "quality": "NUMERIC",
        "sentiment": "CATEGORICAL",
    }
    assert stored["quality"]["metadata"] == {"confidence": 0.92, "model": "m"}


def test_the_run_evaluator_examples(client):
    def average(*, item_results, **kwargs):
        if not item_results:
            return {"name": "avg_accuracy", "value": 0.0, "comment": "No results"}
        values = [e.value for result in item_results for e in result.evaluations if e.name == "accuracy"]
        if not values:
            return {"name": "avg_accuracy", "value": None, "comment": "No accuracy evaluations found"}
        mean = sum(values) / len(values)
        return {"name": "avg_accuracy", "value": mean, "comment": f"{len(values)} items: {mean:.2%}"}

    def summary(*, item_results, **kwargs):
        if not item_results:
            return []
        lengths = [len(str(result.output)) for result in item_results]
        return [
            {"name": "avg_output_length", "value": sum(lengths) / len(lengths)},
            {"name": "max_output_length", "value": max(lengths)},
            {"name": "processing_success_rate", "value": 1.0, "comment": f"{len(item_results)} items"},
        ]

    async def themes(*, item_results, **kwargs):
        outputs = "\n".join(f"{number}. {result.output}" for number, result in enumerate(item_results, 1))
        return {"name": "thematic_analysis", "value": await ask(f"Themes of {outputs}"), "comment": "by a model"}

    def spread(*, item_results, **kwargs):
        by_metric = {}
        for result in item_results:
            for evaluation in result.evaluations:
                if isinstance(evaluation.value, (int, float)):
                    by_metric.setdefault(evaluation.name, []).append(evaluation.value)
        return [
            {"name": f"{metric}_variance", "value": statistics.variance(values), "comment": f"{len(values)} items"}
            for metric, values in by_metric.items()
            if len(values) > 1
        ]

    def run(data):
        result = client.run_experiment(
            name="aggregates",
            data=data,
            task=lambda *, item, **kwargs: item["input"],
            evaluators=[lambda *, output, **kwargs: {"name": "accuracy", "value": float(output)}],
            run_evaluators=[average, summary, themes, spread],
        )
        return [(e.name, e.value) for e in result.run_evaluations]

    assert run([{"input": "1"}, {"input": "0"}]) == [
        ("avg_accuracy", 0.5),
        ("avg_output_length", 1.0),
        ("max_output_length", 1),
        ("processing_success_rate", 1.0),
        ("thematic_analysis", "An answer to: Themes of 1. 1\n2. 0"),
        ("accuracy_variance", 0.5),
    ]
    assert run([]) == [("avg_accuracy", 0.0), ("thematic_analysis", "An answer to: Themes of ")]


def test_the_composite_examples(client):
    def weighted(*, input, output, expected_output, metadata, evaluations):
        weights = {"accuracy": 0.5, "relevance": 0.3, "safety": 0.2}
        found = [(e.value, weights[e.name]) for e in evaluations if e.name in weights]
        total = sum(value * weight for value, weight in found) / sum(weight for _, weight in found)
        return Evaluation(name="composite_score", value=round(total, 3), comment=f"of {len(evaluations)} metrics")

    def thresholds(*, input, output, expected_output, metadata, evaluations):
        failing = [e.name for e in evaluations if e.value < {"accuracy": 0.7, "safety": 0.9}.get(e.name, 0)]
        return Evaluation(
            name="passes_all_checks",
            value=not failing,
            comment=f"Failed: {', '.join(failing)}" if failing else "All checks passed",
            data_type="BOOLEAN",
        )

    async def asked(*, input, output, expected_output, metadata, evaluations):
        said = "\n".join(f"- {e.name}: {e.value}" for e in evaluations)
        return Evaluation(name="llm_composite_score", value=float(await ask(f"Rate {said}")), comment="by a model")

    def in_context(*, input, output, expected_output, metadata, evaluations):
        weights = {"accuracy": 0.7} if metadata and metadata.get("importance") == "high" else {"accuracy": 0.5}
        return {"name": "weighted", "value": sum(e.value * weights.get(e.name, 0) for e in evaluations)}

    def last_of(composite):
        result = client.run_experiment(
            name="composites",
            data=[{"input": 1, "metadata": {"importance": "high"}}],
            task=lambda *, item, **kwargs: 1,
            evaluators=[
                lambda *, output, **kwargs: {"name": "accuracy", "value": 1.0},
                lambda *, output, **kwargs: {"name": "safety", "value": 0.5},
            ],
            composite_evaluator=composite,
        )
        return scores_of(result)[0][-1]

    assert last_of(weighted) == ("composite_score", 0.857, "of 2 metrics")
    assert last_of(thresholds) == ("passes_all_checks", False, "Failed: safety")
    assert last_of(asked) == ("llm_composite_score", 7.0, "by a model")
    assert last_of(in_context) == ("weighted", 0.7, None)


def test_an_autoevals_scorer_becomes_an_evaluator(client):
    from interactiveai_eval.experiment import create_evaluator_from_autoevals

    class Score:
        name, score, metadata = "Levenshtein", 0.5, {"why": "half"}

    class Levenshtein:
        def _name(self):
            return "Levenshtein"

        def __call__(self, *, input, output, expected, factor=1):
            return Score() if (output, expected, factor) == ("a", "ab", 2) else None

    result = client.run_experiment(
        name="autoevals",
        data=[{"input": 1, "expected_output": "ab"}],
        task=lambda *, item, **kwargs: "a",
        evaluators=[create_evaluator_from_autoevals(Levenshtein(), factor=2)],
    )

    assert scores_of(result) == [[("Levenshtein", 0.5, None)]]
    assert [row.name for row in result.evaluator_stats] == ["Levenshtein"]


# -- results -----------------------------------------------------------------------------------------------------------


def test_the_result_examples(client, tmp_path):
    result = client.run_experiment(
        name="Capital Cities",
        data=QUESTIONS,
        task=lambda *, item, **kwargs: item["expected_output"],
        evaluators=[lambda *, output, expected_output, **kwargs: {"name": "accuracy", "value": float(output == expected_output)}],
        run_evaluators=[lambda *, item_results, **kwargs: {"name": "rate", "value": 0.25}],
    )

    (tmp_path / "report.txt").write_text(result.format(include_item_results=True), encoding="utf-8")
    report = (tmp_path / "report.txt").read_text(encoding="utf-8").splitlines()
    assert "3 items" in report and any("Paris" in line for line in report)
    assert "\\n" not in result.format() and "accuracy: 1.000" in result.format()
    assert any(evaluation["value"] < 0.5 for evaluation in result.run_evaluations)
    for item_result in result.item_results:
        assert isinstance(item_result.item, dict) and item_result.item.get("expected_output") == item_result.output
        assert len(item_result.trace_id) == 32 and item_result.dataset_run_id is None


@pytest.mark.needs("threads")  # the task is a coroutine
def test_run_experiment_works_inside_a_running_loop_like_in_a_notebook(client):
    async def cell():
        return client.run_experiment(name="cell", data=QUESTIONS, task=lambda *, item, **kwargs: ask(item["input"]))

    assert [item.output for item in asyncio.run(cell()).item_results][0] == "The capital of France is Paris."


# -- tracing and data sets ---------------------------------------------------------------------------------------------


def test_the_tracing_examples(client):
    with client.start_as_current_span(name="process-query") as span:
        span.update(output="result")
        with span.start_as_current_span(name="sub-operation") as child:
            child.update(output="sub-result")
    with client.start_as_current_observation(name="web-search", as_type="tool") as tool:
        tool.update(output=["a", "b"])
    with client.start_as_current_generation(name="answer-query", model="m") as generation:
        generation.update(output="answer")
        client.score_current_span(name="relevance", value=0.85, data_type="NUMERIC", comment="Mostly relevant")
    plain = client.start_span(name="process-data")
    try:
        plain.update(output="result")
    finally:
        plain.end()
    client.create_event(name="process-event")
    trace_id = client.create_trace_id(seed="session-456")
    with client.start_as_current_span(name="process-request", trace_context={"trace_id": trace_id}):
        assert client.get_trace_url().endswith(f"/project/local-project/traces/{trace_id}")

    spans = {span["name"]: span for span in recorded_spans(client)}
    assert {name: (span["type"], span["output"]) for name, span in spans.items()} == {
        "process-query": ("SPAN", "result"),
        "sub-operation": ("SPAN", "sub-result"),
        "web-search": ("TOOL", ["a", "b"]),
        "answer-query": ("GENERATION", "answer"),
        "process-data": ("SPAN", "result"),
        "process-event": ("EVENT", None),
        "process-request": ("SPAN", None),
    }
    assert client.api.scores(name="relevance")["data"][0]["observationId"] == spans["answer-query"]["id"]


def test_the_propagation_example_calls_it_on_the_client(client):
    """Which the reference's client does not have."""
    with client.start_as_current_span(name="workflow"):
        client.start_span(name="early").end()
        with client.propagate_attributes(user_id="user_123", session_id="s", metadata={"experiment": "variant_a"}):
            with client.start_span(name="llm_call"), client.start_generation(name="completion"):
                pass

    spans = {span["name"]: span for span in recorded_spans(client)}
    trace = client.api.trace(spans["workflow"]["traceId"])
    assert (trace["userId"], trace["sessionId"], trace["metadata"]["experiment"]) == ("user_123", "s", "variant_a")
    assert spans["completion"]["parentObservationId"] == spans["llm_call"]["id"]


def test_the_observe_examples():
    @observe()
    def main_process():
        return sub_process()

    @observe()
    def sub_process():
        return "result"

    @observe(name="answer-generation", as_type="generation")
    async def generate_answer(query):
        return await ask(query)

    with Interactive.local() as client:
        assert get_client() is client
        assert main_process() == "result" and asyncio.run(generate_answer("hm")) == "An answer to: hm"
        spans = {span["name"]: span for span in recorded_spans(client)}

    assert spans["sub_process"]["parentObservationId"] == spans["main_process"]["id"]
    assert (spans["answer-generation"]["type"], spans["answer-generation"]["output"]) == ("GENERATION", "An answer to: hm")


def test_the_data_set_examples(client, capsys):
    client.create_dataset(name="capital_cities")
    client.create_dataset_item(
        dataset_name="capital_cities",
        input={"input": {"country": "Italy"}},
        expected_output={"expected_output": "Rome"},
        metadata={"foo": "bar"},
    )
    dataset = client.get_dataset("capital_cities")
    for item in dataset.items:
        print(item.input)

    assert capsys.readouterr().out == "{'input': {'country': 'Italy'}}\n"
    for name in ("id", "name", "description", "metadata", "project_id", "created_at", "updated_at", "items"):
        assert hasattr(dataset, name)
    with pytest.raises(AttributeError, match="nonsense"):
        dataset.nonsense  # noqa: B018


def test_the_score_examples(client):
    trace_id = "abcdef1234567890abcdef1234567890"
    with client.start_as_current_span(name="one", trace_context={"trace_id": trace_id}) as span:
        pass
    client.create_score(name="accuracy", value=0.92, trace_id=trace_id, data_type="NUMERIC", comment="High accuracy")
    client.create_score(
        name="sentiment", value="positive", trace_id=trace_id, observation_id=span.id, data_type="CATEGORICAL"
    )
    client.flush()

    scores = {score["name"]: score for score in client.api.trace(trace_id)["scores"]}
    assert scores["accuracy"]["value"] == 0.92 and scores["sentiment"]["stringValue"] == "positive"


def test_these_examples_import_nothing_but_this_package():
    """A typo in an import place would otherwise be found by nobody."""
    assert "interactiveai" not in sys.modules
