"""Results as documents: what comes back is what went in, and what cannot be understood is refused."""

from __future__ import annotations

import json

import pytest

from interactiveai_eval.errors import DataError
from interactiveai_eval.item_result import ExperimentItemResult
from interactiveai_eval.model import (
    DeliveryProblem,
    DeliveryReport,
    Evaluation,
    EvaluatorFailure,
    EvaluatorStats,
    ItemFailure,
)
from interactiveai_eval.reporting.documents import record_to_json
from interactiveai_eval.result import ExperimentResult
from interactiveai_eval.tally import RunTally


def row(*, value=True, item=None, output="Paris", **fields):
    return ExperimentItemResult(
        item={"input": "France"} if item is None else item,
        output=output,
        evaluations=[Evaluation(name="accuracy", value=value)],
        trace_id=None,
        dataset_run_id=None,
        **fields,
    )


def result_of(*rows, **fields):
    return ExperimentResult(name="Cities", run_name="run 1", item_results=list(rows), run_evaluations=[], **fields)


def everything():
    """A result with something in every field but the tally."""
    evaluation = Evaluation(
        name="tone",
        value="warm",
        comment="so so",
        metadata={"judge": [1, None]},
        data_type="CATEGORICAL",
        config_id="c",
    )
    failure = EvaluatorFailure(evaluator="judge", error_type="KeyError", message="'x'", traceback="Traceback ...")
    return ExperimentResult(
        name="Cities \u00e9",
        run_name="run 1",
        description="two\nlines",
        item_results=[
            ExperimentItemResult(
                item={"input": {"q": "France?"}, "expected_output": "Paris", "metadata": {"tags": ["eu"]}},
                output={"answer": "Paris", "sure": 0.9},
                evaluations=[evaluation],
                trace_id="ab" * 16,
                dataset_run_id="run-id",
                index=1,
                repetition=2,
                item_id="item-1",
                duration_seconds=0.25,
                attempts=2,
                evaluator_failures=[failure],
            )
        ],
        run_evaluations=[Evaluation(name="mean", value=0.5, comment="of one")],
        dataset_run_id="run-id",
        dataset_run_url="https://example.test/run",
        experiment_id="e1",
        item_failures=[
            ItemFailure(
                index=0,
                item={"input": None},
                stage="input",
                error_type="ValueError",
                message="no input",
                traceback="",
                repetition=1,
                item_id="item-0",
                attempts=0,
                trace_id="cd" * 16,
                duration_seconds=1.5,
            )
        ],
        run_evaluator_failures=[failure],
        evaluator_stats=[
            EvaluatorStats(
                name="judge",
                total_runs=2,
                successful_runs=1,
                failed_runs=1,
                total_scores_created=1,
                error_summary={"KeyError": 1},
                duration_seconds=0.1,
            )
        ],
        metadata={"model": "m1"},
        duration_seconds=3.5,
        delivery=DeliveryReport(
            by_kind={"scores": {"acknowledged": 3, "rejected": 1}},
            problems=[DeliveryProblem(kind="scores", id="s1", state="rejected", reason="400", item_id="item-1")],
        ),
        completed=False,
        resume_token={"position": [1, "x"]},
    )


def test_a_result_comes_back_from_its_document_whole():
    result = everything()

    assert ExperimentResult.from_dict(result.to_dict()) == result
    assert ExperimentResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_the_document_of_a_small_result_reads_like_this():
    assert result_of(row(index=0)).to_dict() == {
        "schema": "interactiveai_eval/experiment-result",
        "schema_version": 1,
        "name": "Cities",
        "run_name": "run 1",
        "description": None,
        "experiment_id": None,
        "dataset_run_id": None,
        "dataset_run_url": None,
        "metadata": {},
        "completed": True,
        "duration_seconds": 0.0,
        "run_evaluations": [],
        "run_evaluator_failures": [],
        "evaluator_stats": [],
        "delivery": {"acknowledged": 0, "pending": 0, "rejected": 0, "skipped": 0, "by_kind": {}, "problems": []},
        "resume_token": None,
        "tally": None,
        "shard": None,
        "item_failures": [],
        "item_results": [
            {
                "index": 0,
                "repetition": 0,
                "item_id": None,
                "item": {"input": "France"},
                "output": "Paris",
                "evaluations": [{"name": "accuracy", "value": True}],
                "evaluator_failures": [],
                "dataset_run_id": None,
                "trace_id": None,
                "duration_seconds": 0.0,
                "attempts": 1,
            }
        ],
    }


def test_the_saved_text_is_the_same_document_with_a_line_for_each_item():
    result = everything().replaced(item_results=[row(index=0), row(index=1)])

    text = "".join(record_to_json(result))

    assert json.loads(text) == result.to_dict()
    assert text.isascii()
    assert [line[:14] for line in text.split("\n") if line.startswith('  {"index": ')][1:] == [
        '  {"index": 0,',
        '  {"index": 1,',
    ]


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        None,
        0,
        1,
        -1.5,
        1e300,
        "",
        "True",
        "NaN",
        2**53,
        -(2**70),
        float("inf"),
        pytest.param(10**5000, id="huge"),
    ],
)
def test_every_value_of_an_evaluation_keeps_its_kind(value):
    """TRAPS D52: booleans became numbers, and NaN the label "NaN"."""
    document = json.loads("".join(record_to_json(result_of(row(value=value)))))

    back = ExperimentResult.from_dict(document).item_results[0].evaluations[0].value

    assert (type(back), back) == (type(value), value)


def test_nan_stays_a_number():
    back = ExperimentResult.from_dict(result_of(row(value=float("nan"))).to_dict()).item_results[0].evaluations[0]

    assert back.value != back.value


class Hostile:
    def __getattr__(self, name):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "output",
    [{1, 2}, b"\xff", pytest.param(Hostile(), id="hostile"), "\ud800", float("nan"), object, {(1, 2): 3}, 2**2000],
    ids=repr,
)
def test_any_output_can_be_written_and_read(output):
    result = result_of(row(output=output))

    text = "".join(record_to_json(result))

    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    assert ExperimentResult.from_dict(json.loads(text)).to_dict() == result.to_dict()


@pytest.mark.parametrize("extension", [".json", ".jsonl"])
def test_integers_come_back_as_integers(tmp_path, extension):
    """Ids of 64 bits are common outputs; browsers would round them, but these files are read by this package."""
    numbers = {"ids": [2**53, -(2**64), 10**600], "item": 2**63 - 1}
    result = result_of(row(output=numbers, item={"input": 2**63}), metadata={"seed": 2**60})

    result.save(tmp_path / f"r{extension}")
    back = ExperimentResult.load(tmp_path / f"r{extension}")

    assert (back.item_results[0].output, back.item_results[0].item) == (numbers, {"input": 2**63})
    assert back.metadata == {"seed": 2**60} and back.to_dict() == result.to_dict()


def test_an_output_that_holds_itself_is_cut():
    cycle = []
    cycle.append(cycle)

    assert result_of(row(output=cycle)).to_dict()["item_results"][0]["output"] == ["<cycle>"]


def test_a_long_output_is_kept_whole():
    text = "x" * 10_000_000

    assert result_of(row(output=text)).to_dict()["item_results"][0]["output"] == text


def test_document_and_result_share_nothing():
    item = {"input": {"q": ["France"]}}
    result = result_of(row(item=item), metadata={"tags": ["a"]})
    document = result.to_dict()
    back = ExperimentResult.from_dict(document)

    document["metadata"]["tags"].clear()
    document["item_results"][0]["item"]["input"]["q"].clear()

    assert item == {"input": {"q": ["France"]}}
    assert back.metadata == {"tags": ["a"]}
    assert back.item_results[0].item == item


NOTHING = {
    **dict.fromkeys(("true", "false", "numbers", "missing", "total", "squares"), 0),
    **dict.fromkeys(("first", "least", "most")),
    "labels": {},
}


def test_the_figures_of_results_that_were_not_kept_come_back():
    tally = RunTally()
    tally.add_result([Evaluation(name="accuracy", value=True), Evaluation(name="tone", value="warm")])
    tally.add_result([Evaluation(name="accuracy", value=None), Evaluation(name="length", value=2.5)])
    tally.add_failure()
    result = result_of(tally=tally)

    back = ExperimentResult.from_dict(result.to_dict())

    assert back.to_dict() == result.to_dict()
    assert back.format() == result.format()
    assert back.to_dict()["tally"] == {
        "succeeded": 2,
        "failed": 1,
        "metrics": [
            {**NOTHING, "name": "accuracy", "true": 1, "missing": 1},
            {**NOTHING, "name": "tone", "labels": {"warm": 1}},
            {**NOTHING, "name": "length", "numbers": 1, "total": 2.5, "first": 2.5, "least": 2.5, "most": 2.5},
        ],
    }


def test_fields_that_a_later_version_adds_are_passed_over():
    document = {**result_of(row()).to_dict(), "weather": "fine"}

    assert ExperimentResult.from_dict(document) == result_of(row())


def test_what_has_a_default_may_be_missing():
    document = {
        "schema": "interactiveai_eval/experiment-result",
        "schema_version": 1,
        "name": "Cities",
        "run_name": "run 1",
        "item_results": [],
        "run_evaluations": [],
    }

    assert ExperimentResult.from_dict(document) == result_of()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other/thing"}, "schema is 'other/thing' instead of 'interactiveai_eval/experiment-result'"),
        ({"schema_version": 2}, "saved in version 2, this package reads up to 1; update the package"),
        ({"schema_version": "1"}, "schema_version: '1' is not a whole number from 1"),
        ({"schema_version": True}, "schema_version: True is not a whole number from 1"),
        ({"name": None}, "name: None is not a text"),
        ({"completed": 1}, "completed: 1 is not true or false"),
        ({"duration_seconds": "1"}, "duration_seconds: '1' is not a number"),
        ({"metadata": []}, r"metadata: \[\] is not an object"),
        ({"item_results": {}}, "item_results: {} is not a list"),
        ({"item_results": [1]}, r"item_results\[0\]: 1 is not an object"),
        ({"item_results": [{}]}, r"item_results\[0\]\.index: is missing"),
        ({"run_evaluations": [{"name": "a"}]}, r"run_evaluations\[0\]\.value: is missing"),
        ({"run_evaluations": [{"name": "", "value": 1}]}, r"run_evaluations\[0\]\.name: name='': an evaluation needs"),
        ({"run_evaluations": [{"name": "a", "value": [1]}]}, r"run_evaluations\[0\]\.value: \[1\] is not a number"),
        ({"run_evaluations": [{"name": "a", "value": {"number": "x"}}]}, r"value: {'number': 'x'} is not a number"),
        ({"delivery": {"by_kind": {"scores": 1}, "problems": []}}, "delivery.by_kind.scores: 1 is not an object"),
        ({"evaluator_stats": [{"name": "a", "error_summary": {5: 1}}]}, "error_summary: the key 5 is not a text"),
        ({"tally": {"succeeded": 1.5, "failed": 0, "metrics": []}}, "tally.succeeded: 1.5 is not a whole number"),
    ],
)
def test_a_malformed_document_is_refused_with_the_field(change, message):
    with pytest.raises(DataError, match=message):
        ExperimentResult.from_dict({**result_of().to_dict(), **change})


def test_a_missing_field_is_named():
    document = result_of().to_dict()
    del document["run_name"]

    with pytest.raises(ValueError, match=r"^run_name: is missing$"):
        ExperimentResult.from_dict(document)
