"""What a batch evaluation returns: reading, printing, saving, and one result out of several shards."""
from __future__ import annotations

import json

import pytest

from interactiveai_eval import (
    ArgumentError,
    BatchEvaluationResult,
    BatchEvaluationResumeToken,
    BatchItemFailure,
    DataError,
    DeliveryProblem,
    DeliveryReport,
    Evaluation,
    EvaluatorStats,
    ExperimentResult,
)

TOKEN = BatchEvaluationResumeToken(
    scope="traces",
    filter='[{"type":"null","column":"userId","operator":"is null","value":""}]',
    last_processed_timestamp="2026-11-20T10:00:00.000000Z",
    last_processed_id="t3",
    items_processed=3,
    failed_ids=["t2"],
    run_id="run",
)


def result_of(**fields):
    """A completed run over two items."""
    known = {
        "total_items_fetched": 2,
        "total_items_processed": 2,
        "total_items_failed": 0,
        "total_scores_created": 2,
        "total_composite_scores_created": 0,
        "total_evaluations_failed": 0,
        "evaluator_stats": [EvaluatorStats(name="tone", total_runs=2, successful_runs=2, total_scores_created=2)],
        "resume_token": None,
        "completed": True,
        "duration_seconds": 0.5,
        "failed_item_ids": [],
        "error_summary": {},
        "has_more_items": False,
        "item_evaluations": {
            "t1": [Evaluation(name="tone", value="warm")],
            "t2": [Evaluation(name="tone", value=0.5, comment="so so")],
        },
    }
    return BatchEvaluationResult(**{**known, **fields})


def interrupted():
    """A run with something in every field, which stopped after three of many items."""
    return result_of(
        total_items_fetched=10,
        total_items_processed=2,
        total_items_failed=1,
        total_scores_created=3,
        total_composite_scores_created=2,
        total_evaluations_failed=2,
        evaluator_stats=[
            EvaluatorStats(
                name="tone",
                total_runs=2,
                successful_runs=1,
                failed_runs=1,
                total_scores_created=3,
                error_summary={"ValueError": 1},
                duration_seconds=0.25,
            ),
            EvaluatorStats(name="length"),
            EvaluatorStats(name="overall", total_runs=2, successful_runs=2, total_scores_created=2),
        ],
        resume_token=TOKEN,
        completed=False,
        duration_seconds=4.0,
        failed_item_ids=["t2"],
        error_summary={"KeyError": 1},
        has_more_items=True,
        item_evaluations={
            "t1": [Evaluation(name="tone", value=float("nan"), metadata={"judge": [1, None]})],
            "t3": [],
        },
        item_failures=[
            BatchItemFailure(item_id="t2", stage="mapper", error_type="KeyError", message="'x'", traceback="Trace..."),
            BatchItemFailure(
                item_id="t3", stage="evaluator", error_type="ValueError", message="no", evaluator="tone"
            ),
            BatchItemFailure(item_id=None, stage="item", error_type="DataError", message="no id"),
        ],
        delivery=DeliveryReport(
            by_kind={"scores": {"acknowledged": 3, "pending": 1, "rejected": 1, "skipped": 0}},
            problems=[DeliveryProblem(kind="scores", id="s", state="pending", reason="503", item_id="t1")],
        ),
        retry=TOKEN.replaced(only_failed=True),
    )


# -- reading -----------------------------------------------------------------------------------------------------------


def test_all_fields_of_the_page_are_read_by_attribute_and_by_key():
    result = interrupted()

    assert [(name, result[name]) for name in result.keys()][:13] == [
        ("total_items_fetched", 10),
        ("total_items_processed", 2),
        ("total_items_failed", 1),
        ("total_scores_created", 3),
        ("total_composite_scores_created", 2),
        ("total_evaluations_failed", 2),
        ("evaluator_stats", result.evaluator_stats),
        ("resume_token", TOKEN),
        ("completed", False),
        ("duration_seconds", 4.0),
        ("failed_item_ids", ["t2"]),
        ("error_summary", {"KeyError": 1}),
        ("has_more_items", True),
    ]
    assert (result_of().item_failures, result_of().delivery) == ([], DeliveryReport())


def test_changing_what_it_was_made_from_does_not_change_it():
    evaluations, failed = {"t1": []}, ["t2"]
    result = result_of(item_evaluations=evaluations, failed_item_ids=failed)

    evaluations.clear()
    failed.clear()

    assert (result.item_evaluations, result.failed_item_ids) == ({"t1": []}, ["t2"])


def test_failed_items_are_run_again_by_the_retry_token():
    """CONTRACT section 8: a completed run has no resume token, but may have failed items."""
    again = TOKEN.replaced(only_failed=True)

    assert result_of(retry=again).retry_token() is again
    assert result_of(resume_token=TOKEN, completed=False).retry_token() is TOKEN
    assert result_of().retry_token() is None


# -- printing ----------------------------------------------------------------------------------------------------------


def test_a_completed_run_prints_in_the_layout_of_the_reference():
    rule = "=" * 60
    assert str(result_of()) == f"""\
{rule}
Batch Evaluation Results
{rule}

Status: Completed
Duration: 0.50s

Items fetched: 2
Items processed: 2
Success rate: 100.0%

Scores created: 2
Total scores: 2

Evaluator Performance:
  tone:
    Runs: 2/2 (100.0% success)
    Scores created: 2

Performance:
  Throughput: 4.00 items/second
  Avg scores per item: 1.00
{rule}"""


def test_a_run_with_everything_in_it_prints_what_went_wrong_and_how_to_go_on():
    """The rate is of the three items that were attempted, not of the ten that were fetched (TRAPS D23)."""
    rule = "=" * 60
    assert str(interrupted()) == f"""\
{rule}
Batch Evaluation Results
{rule}

Status: Incomplete
Duration: 4.00s

Items fetched: 10
Items processed: 2
Items failed: 1
Success rate: 66.7%

Scores created: 3
Composite scores: 2
Total scores: 5

Evaluator Performance:
  tone:
    Runs: 1/2 (50.0% success)
    Scores created: 3
    Failed runs: 1
  length:
    Runs: 0
  overall:
    Runs: 2/2 (100.0% success)
    Scores created: 2

Performance:
  Throughput: 0.50 items/second
  Avg scores per item: 1.50

Errors encountered:
  KeyError: 1

Delivery:
  3 acknowledged, 1 pending, 1 rejected, 0 skipped
  2 not delivered (2 scores): 503

Warning: Evaluation incomplete
  Last processed: 2026-11-20T10:00:00.000000Z
  Items processed: 3
  Use resume_from parameter to continue
{rule}"""


def test_a_run_over_nothing_prints_no_rates():
    rule = "=" * 60
    empty = result_of(
        total_items_fetched=0,
        total_items_processed=0,
        total_scores_created=0,
        evaluator_stats=[],
        duration_seconds=0.0,
        item_evaluations={},
    )

    assert str(empty) == f"""\
{rule}
Batch Evaluation Results
{rule}

Status: Completed
Duration: 0.00s

Items fetched: 0
Items processed: 0

Scores created: 0
Total scores: 0
{rule}"""


@pytest.mark.parametrize(
    "fields, end",
    [
        ({}, ["  Avg scores per item: 1.00"]),
        (
            {"has_more_items": True, "resume_token": TOKEN},
            ["", "Note: More items available beyond max_items limit", "  Use resume_from parameter to continue"],
        ),
        ({"has_more_items": True}, ["", "Note: More items available beyond max_items limit"]),
        ({"completed": False}, ["", "Warning: Evaluation incomplete"]),
        (
            {"completed": False, "resume_token": TOKEN.replaced(last_processed_timestamp="", items_processed=0)},
            ["", "Warning: Evaluation incomplete", "  Items processed: 0", "  Use resume_from parameter to continue"],
        ),
    ],
)
def test_the_last_lines_say_what_is_left(fields, end):
    lines = str(result_of(**fields)).split("\n")

    assert lines[-1 - len(end) : -1] == end


@pytest.mark.parametrize(
    "processed, failed, shown",
    [(9999, 1, "99.9%"), (10_000, 0, "100.0%"), (1, 9999, "0.1%"), (0, 5, "0.0%"), (1, 2, "33.3%")],
)
def test_only_all_is_a_hundred_percent_and_only_nothing_zero(processed, failed, shown):
    result = result_of(total_items_processed=processed, total_items_failed=failed)

    assert f"Success rate: {shown}\n" in str(result)


def test_no_name_from_outside_forges_a_line():
    stats = [EvaluatorStats(name="tone\n  fake: \u001b[31m", total_runs=1, successful_runs=1)]
    lines = str(result_of(evaluator_stats=stats, error_summary={"Bad\nStatus: Completed": 1})).split("\n")

    assert "  tone fake: <U+001B>[31m:" in lines and "  Bad Status: Completed: 1" in lines
    assert lines.count("Status: Completed") == 1


# -- documents ---------------------------------------------------------------------------------------------------------


def same(found, wanted):
    """NaN is equal to nothing, so texts are compared."""
    return type(found) is type(wanted) and [repr(part) for part in found.items()] == [
        repr(part) for part in wanted.items()
    ]


def test_a_result_becomes_a_document_of_plain_values():
    assert result_of(failed_item_ids=["t9"]).to_dict() == {
        "schema": "interactiveai_eval/batch-result",
        "schema_version": 1,
        "completed": True,
        "has_more_items": False,
        "duration_seconds": 0.5,
        "total_items_fetched": 2,
        "total_items_processed": 2,
        "total_items_failed": 0,
        "total_scores_created": 2,
        "total_composite_scores_created": 0,
        "total_evaluations_failed": 0,
        "error_summary": {},
        "evaluator_stats": [
            {
                "name": "tone",
                "total_runs": 2,
                "successful_runs": 2,
                "failed_runs": 0,
                "total_scores_created": 2,
                "error_summary": {},
                "duration_seconds": 0.0,
            }
        ],
        "resume_token": None,
        "retry": None,
        "run_id": None,
        "shard": None,
        "delivery": {
            "acknowledged": 0,
            "pending": 0,
            "rejected": 0,
            "skipped": 0,
            "by_kind": {},
            "problems": [],
        },
        "failed_item_ids": ["t9"],
        "item_failures": [],
        "item_evaluations": {
            "t1": [{"name": "tone", "value": "warm"}],
            "t2": [{"name": "tone", "value": 0.5, "comment": "so so"}],
        },
    }


@pytest.mark.parametrize("made", [result_of(), interrupted()])
def test_a_result_comes_back_from_documents_and_files_as_it_was(made, tmp_path):
    made.save(tmp_path / "batch.json")

    assert same(BatchEvaluationResult.load(tmp_path / "batch.json"), made)
    assert same(BatchEvaluationResult.from_dict(made.to_dict()), made)
    assert json.loads((tmp_path / "batch.json").read_text()) == made.to_dict()


def test_a_file_has_a_line_for_each_item(tmp_path):
    """So that large results can be searched and compared with the tools that people have."""
    result_of().save(tmp_path / "batch.json")

    assert (tmp_path / "batch.json").read_text().endswith(
        """\
"failed_item_ids": [],
"item_failures": [],
"item_evaluations": {
  "t1": [{"name": "tone", "value": "warm"}],
  "t2": [{"name": "tone", "value": 0.5, "comment": "so so"}]
}
}
"""
    )


def test_what_was_read_is_ones_own():
    document = result_of().to_dict()
    result = BatchEvaluationResult.from_dict(document)

    document["item_evaluations"].clear()
    document["error_summary"]["x"] = 1

    assert result == result_of()


def test_another_extension_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"the result of a batch evaluation can be saved as \.json"):
        result_of().save(tmp_path / "batch.jsonl")
    with pytest.raises(ArgumentError, match=r"a result can be loaded from \.json"):
        BatchEvaluationResult.load(tmp_path / "batch.html")
    with pytest.raises(ArgumentError, match="must be a text or a path"):
        result_of().save(5)

    assert list(tmp_path.iterdir()) == []


TAMPERED = {**TOKEN.to_dict(), "filter": None}


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"schema": "interactiveai_eval/experiment-result"}, "not a saved result: schema is 'interactiveai_eval/exp"),
        ({"schema_version": 2}, "^schema_version: the result was saved in version 2, this package reads up to 1; update the package"),
        ({"total_items_fetched": "2"}, "^total_items_fetched: '2' is not a whole number"),
        ({"completed": ...}, "^completed: is missing"),
        ({"error_summary": {"KeyError": "1"}}, r"^error_summary\.KeyError: '1' is not a whole number"),
        ({"evaluator_stats": [{}]}, r"^evaluator_stats\[0\]\.name: is missing"),
        ({"item_evaluations": []}, r"^item_evaluations: \[\] is not an object"),
        ({"item_evaluations": {"t1": {}}}, r"^item_evaluations\['t1'\]: \{\} is not a list"),
        ({"item_evaluations": {"t1": [{"name": "x", "value": []}]}}, r"^item_evaluations\['t1'\]\[0\]\.value: \[\] is"),
        ({"item_failures": [{"item_id": "t1", "stage": 5}]}, r"^item_failures\[0\]\.error_type: is missing"),
        ({"failed_item_ids": [5]}, r"^failed_item_ids\[0\]: 5 is not a text"),
        ({"resume_token": TAMPERED}, "^resume_token: resume token: it was changed or damaged"),
        ({"retry": 5}, "^retry: not a resume token: 5 instead of an object"),
    ],
)
def test_a_document_that_cannot_be_understood_is_refused_by_field(fields, message, tmp_path):
    document = {name: value for name, value in {**result_of().to_dict(), **fields}.items() if value is not ...}
    with pytest.raises(DataError, match=message):
        BatchEvaluationResult.from_dict(document)
    (tmp_path / "batch.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"batch\.json: " + message.lstrip("^")):
        BatchEvaluationResult.load(tmp_path / "batch.json")


def test_the_two_kinds_of_results_are_not_taken_for_each_other():
    experiment = ExperimentResult(name="x", run_name="x", item_results=[], run_evaluations=[])

    with pytest.raises(DataError, match="instead of 'interactiveai_eval/batch-result'"):
        BatchEvaluationResult.from_dict(experiment.to_dict())
    with pytest.raises(DataError, match="instead of 'interactiveai_eval/experiment-result'"):
        ExperimentResult.from_dict(result_of().to_dict())


# -- merging -----------------------------------------------------------------------------------------------------------


def shard(*ids, **fields):
    return result_of(
        total_items_fetched=len(ids),
        total_items_processed=len(ids),
        item_evaluations={item_id: [Evaluation(name="tone", value=1)] for item_id in ids},
        **fields,
    )


def test_merged_shards_add_up():
    stats = {"total_runs": 3, "successful_runs": 2, "failed_runs": 1, "total_scores_created": 2}
    problem = DeliveryProblem(kind="scores", id="s", state="pending", reason="503")
    failure = BatchItemFailure(item_id="c", stage="mapper", error_type="KeyError", message="'x'")
    first = shard(
        "a",
        "b",
        total_items_failed=1,
        total_composite_scores_created=1,
        total_evaluations_failed=1,
        evaluator_stats=[
            EvaluatorStats(name="tone", error_summary={"ValueError": 1}, duration_seconds=0.5, **stats),
            EvaluatorStats(name="tone#2", total_runs=1, successful_runs=1),
        ],
        duration_seconds=2.5,
        failed_item_ids=["c"],
        error_summary={"KeyError": 1},
        item_failures=[failure],
        delivery=DeliveryReport(
            by_kind={"scores": {"acknowledged": 1, "pending": 1, "rejected": 0, "skipped": 0}}, problems=[problem]
        ),
    )
    second = shard(
        "d",
        total_items_failed=2,
        total_evaluations_failed=1,
        evaluator_stats=[
            EvaluatorStats(name="tone", error_summary={"ValueError": 1, "OSError": 1}, duration_seconds=0.25, **stats),
            EvaluatorStats(name="tone#2", total_runs=4, successful_runs=4),
        ],
        duration_seconds=1.0,
        failed_item_ids=["e", "f"],
        error_summary={"OSError": 1, "KeyError": 1},
        delivery=DeliveryReport(by_kind={"scores": {"acknowledged": 2, "pending": 0, "rejected": 0, "skipped": 0}}),
    )

    assert dict(BatchEvaluationResult.merge([first, second])) == {
        "total_items_fetched": 3,
        "total_items_processed": 3,
        "total_items_failed": 3,
        "total_scores_created": 4,
        "total_composite_scores_created": 1,
        "total_evaluations_failed": 2,
        "evaluator_stats": [
            EvaluatorStats(
                name="tone",
                total_runs=6,
                successful_runs=4,
                failed_runs=2,
                total_scores_created=4,
                error_summary={"ValueError": 2, "OSError": 1},
                duration_seconds=0.75,
            ),
            EvaluatorStats(name="tone#2", total_runs=5, successful_runs=5),
        ],
        "resume_token": None,
        "completed": True,
        "duration_seconds": 2.5,
        "failed_item_ids": ["c", "e", "f"],
        "error_summary": {"KeyError": 2, "OSError": 1},
        "has_more_items": False,
        "item_evaluations": {item_id: [Evaluation(name="tone", value=1)] for item_id in ("a", "b", "d")},
        "item_failures": [failure],
        "delivery": DeliveryReport(
            by_kind={"scores": {"acknowledged": 3, "pending": 1, "rejected": 0, "skipped": 0}}, problems=[problem]
        ),
        "retry": None,
        "run_id": None,
        "shard": None,
    }


def test_a_merged_result_is_complete_when_all_are_and_has_more_when_one_has():
    complete, stopped = shard("a"), shard("b", completed=False, resume_token=TOKEN)
    limited = shard("c", has_more_items=True, resume_token=TOKEN, retry=TOKEN)

    for parts, completed, has_more in (
        ([complete, limited], True, True),
        ([complete, stopped], False, False),
        ([limited, stopped], False, True),
        ([stopped], False, False),
    ):
        merged = BatchEvaluationResult.merge(iter(parts))
        assert (merged.completed, merged.has_more_items) == (completed, has_more)
        assert merged.resume_token is None and merged.retry_token() is None  # each shard is resumed with its own


def test_rows_of_other_evaluators_stay_apart():
    """Added up are rows of the same position and name."""
    swapped = [EvaluatorStats(name=name, total_runs=1) for name in ("length", "tone", "overall")]
    merged = BatchEvaluationResult.merge([shard("a"), shard("b", evaluator_stats=swapped)])

    assert [(row.name, row.total_runs) for row in merged.evaluator_stats] == [
        ("tone", 2),
        ("length", 1),
        ("tone", 1),
        ("overall", 1),
    ]


def test_merged_results_share_no_lists():
    first = shard("a")
    merged = BatchEvaluationResult.merge([first])

    merged.item_evaluations["a"].clear()

    assert first == shard("a")


@pytest.mark.parametrize(
    "parts, message",
    [
        ([shard("a", "b"), shard("c"), shard("b")], "item 'b' is in results 0 and 2; merge results of disjoint runs"),
        ([shard("a"), shard("b", failed_item_ids=["a"])], "item 'a' is in results 0 and 1"),
        ([shard("a", failed_item_ids=["c"]), shard("b", failed_item_ids=["c"])], "item 'c' is in results 0 and 1"),
        ([], r"results=\[\]: must be a list of at least one BatchEvaluationResult"),
        (shard("a"), "results=<BatchEvaluationResult: .*>: must be a list of at least one"),
        ([shard("a"), None], "must be a list of at least one"),
        ([{"completed": True}], "must be a list of at least one"),
        (None, "results=None: must be a list"),
        (5, "results=5: must be a list"),
    ],
    ids=range(9),
)
def test_what_would_not_add_up_is_refused(parts, message):
    with pytest.raises(ArgumentError, match=message):
        BatchEvaluationResult.merge(parts)


def test_the_same_result_twice_is_refused_even_when_it_is_the_same_object():
    result = shard("a")

    with pytest.raises(ArgumentError, match="item 'a' is in results 0 and 1"):
        BatchEvaluationResult.merge([result, result])
