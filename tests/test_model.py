"""The nouns: small values that compare, print, travel and cannot be changed."""
from __future__ import annotations

import copy
import decimal
import enum
import fractions
import gc
import inspect
import json
import pickle
import sys
import threading

import pytest

from interactiveai_eval import (
    ArgumentError,
    BatchEvaluationResult,
    BatchEvaluationResumeToken,
    BatchItemFailure,
    DeliveryProblem,
    DeliveryReport,
    Evaluation,
    EvaluatorFailure,
    EvaluatorInputs,
    EvaluatorStats,
    ExperimentItemResult,
    ExperimentResult,
    Interactive,
    ItemFailure,
    errors,
)
from interactiveai_eval._strict_json import to_json
from interactiveai_eval.item_result import PackedResults, packed
from interactiveai_eval.model import ExperimentRecord, Value

EVALUATION = Evaluation(name="accuracy", value=0.5, comment="half", metadata={"k": [1]}, data_type="NUMERIC", config_id="c")
FAILURE = EvaluatorFailure(evaluator="judge", error_type="ValueError", message="boo", traceback="Traceback ...")
ITEM_RESULT = ExperimentItemResult(
    item={"input": 1},
    output="out",
    evaluations=[EVALUATION],
    trace_id="t",
    dataset_run_id="r",
    index=3,
    repetition=1,
    item_id="i",
    duration_seconds=0.25,
    attempts=2,
    evaluator_failures=[FAILURE],
)
ITEM_FAILURE = ItemFailure(
    index=3,
    item={"input": 1},
    stage="task",
    error_type="ValueError",
    message="boo",
    traceback="Traceback ...",
    repetition=1,
    item_id="i",
    attempts=2,
    trace_id="t",
    duration_seconds=0.25,
)
STATS = EvaluatorStats(
    name="judge",
    total_runs=3,
    successful_runs=2,
    failed_runs=1,
    total_scores_created=2,
    error_summary={"ValueError": 1},
    duration_seconds=0.5,
)
PROBLEM = DeliveryProblem(kind="scores", id="s", state="rejected", reason="no", item_id="i")
REPORT = DeliveryReport(
    by_kind={"scores": {"acknowledged": 2, "pending": 0, "rejected": 1, "skipped": 0}}, problems=[PROBLEM]
)
RECORD = ExperimentRecord(
    name="exp",
    run_name="run",
    description="d",
    item_results=[ITEM_RESULT],
    item_failures=[ITEM_FAILURE],
    run_evaluations=[EVALUATION],
    run_evaluator_failures=[FAILURE],
    evaluator_stats=[STATS],
    dataset_run_id="r",
    dataset_run_url="https://h/r",
    experiment_id="e",
    metadata={"k": 1},
    duration_seconds=1.5,
    delivery=REPORT,
)
RESULT = ExperimentResult(name="exp", run_name="run", item_results=[ITEM_RESULT], run_evaluations=[])
INPUTS = EvaluatorInputs(input={"q": 1}, output="out", metadata={"k": [1]})
BATCH_FAILURE = BatchItemFailure(item_id="i", stage="mapper", error_type="ValueError", message="boo")
TOKEN = BatchEvaluationResumeToken(
    scope="traces",
    filter=None,
    last_processed_timestamp="2026-11-20T10:00:00.000000Z",
    last_processed_id="i",
    items_processed=1,
    position={"time": "2026-11-20T10:00:00.000000Z", "ids": ["0123456789"]},
    failed_ids=["i"],
    counts={"failed": 1},
)
BATCH_RESULT = BatchEvaluationResult(
    total_items_fetched=2,
    total_items_processed=1,
    total_items_failed=1,
    total_scores_created=1,
    total_composite_scores_created=0,
    total_evaluations_failed=0,
    evaluator_stats=[STATS],
    resume_token=TOKEN,
    completed=False,
    duration_seconds=0.5,
    failed_item_ids=["i"],
    error_summary={"ValueError": 1},
    has_more_items=False,
    item_evaluations={"j": [EVALUATION]},
    item_failures=[BATCH_FAILURE],
    delivery=REPORT,
)

VALUES = [EVALUATION, FAILURE, ITEM_RESULT, ITEM_FAILURE, STATS, PROBLEM, REPORT, RECORD, RESULT]
VALUES += [INPUTS, BATCH_FAILURE, TOKEN, BATCH_RESULT]
BY_KIND = pytest.mark.parametrize("value", VALUES, ids=[type(value).__name__ for value in VALUES])


# -- what all of them are ----------------------------------------------------------------------------------------------


@BY_KIND
def test_a_value_is_read_by_attribute_and_by_key(value):
    """As the reference's documentation does, and the reference cannot (D05)."""
    assert list(value.keys()) == [name for name, _ in value.items()]
    for name in value.keys():
        assert value[name] is getattr(value, name) is value.get(name) and name in value
    assert dict(value) == dict(value.items()) and [*value] == list(value.keys())
    assert value.get("nonsense", 5) == 5 and "nonsense" not in value and 5 not in value
    with pytest.raises(KeyError):
        value["nonsense"]


@BY_KIND
def test_a_value_cannot_be_changed(value):
    before = repr(value)
    for name in [*value.keys(), "something_new", "_fields"]:
        with pytest.raises(AttributeError, match=f"make a new one instead of setting '{name}'"):
            setattr(value, name, 1)
        with pytest.raises(AttributeError, match=f"'{name}' cannot be deleted"):
            delattr(value, name)
    with pytest.raises(TypeError):
        hash(value)

    assert repr(value) == before


@BY_KIND
def test_a_value_travels_unchanged(value):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        travelled = pickle.loads(pickle.dumps(value, protocol))
        assert travelled == value and type(travelled) is type(value) and repr(travelled) == repr(value)
    deep = copy.deepcopy(value)
    assert deep == value and deep is not value
    assert copy.copy(value) is value  # nothing in it can be changed


def test_errors_travel_with_all_that_they_know():
    """Process pools pickle what was raised; one that cannot be read there breaks the pool."""
    run = ExperimentResult(name="e", run_name="e", item_results=[ITEM_RESULT], run_evaluations=[])
    server = {"status_code": 503, "body": {"message": "no"}, "retry_after_seconds": 2.0}
    made = [
        errors.RegressionError(result=run, metric="m", value=0.5, threshold=0.9),
        errors.TooManyFailuresError("2 failed", result=run),
        errors.ArgumentError("n", -1, "must be a number from 0"),
        errors.FeatureUnavailable("a store", "sqlite3"),
        errors.TransportError("no answer", retryable=False, retry_after_seconds=1.0),
        errors.ReplayError("no such exchange"),
        errors.StoreError("it is damaged"),
        *[kind("no", **server) for kind in errors.ApiError.__subclasses__()],
        *[kind("no") for kind in (errors.ConfigError, errors.ClosedError, errors.DataError, errors.CheckpointError)],
    ]

    for error in made:
        for travelled in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error), copy.copy(error)):
            assert type(travelled) is type(error) and str(travelled) == str(error)
            assert vars(travelled) == vars(error) and travelled.args == error.args
    kinds = {type(error) for error in made}
    assert {kind for kind in vars(errors).values() if isinstance(kind, type) and not kind.__subclasses__()} == kinds - {
        errors.TransportError
    }


@BY_KIND
def test_a_value_is_equal_to_what_has_the_same_fields_and_to_nothing_else(value):
    assert value == copy.deepcopy(value) and not value != copy.deepcopy(value)
    assert value != dict(value) and value != 5
    assert all(value != other for other in VALUES if other is not value)


@BY_KIND
def test_a_value_takes_keywords_only(value):
    parameters = list(inspect.signature(type(value).__init__).parameters.values())[1:]

    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    with pytest.raises(TypeError):
        type(value)("positional")


@BY_KIND
def test_a_changed_value_is_a_new_one(value):
    name = next(iter(value.keys()))
    changed = value.replaced(**{name: "another"})

    assert changed[name] == "another" and changed != value and type(changed) is type(value)
    assert all(changed[other] == value[other] for other in value.keys() if other != name)
    with pytest.raises(TypeError, match="nonsense"):
        value.replaced(nonsense=1)


@BY_KIND
def test_a_value_becomes_an_object_of_its_fields_in_json(value):
    encoded = json.loads(to_json(value))

    if not hasattr(value, "to_dict"):  # which makes a document of its own
        assert list(encoded) == list(value.keys())


def test_deep_copies_share_nothing_that_can_be_changed():
    deep = copy.deepcopy(ITEM_RESULT)
    deep.item["input"] = "changed"
    deep.evaluations.clear()

    assert ITEM_RESULT.item == {"input": 1} and ITEM_RESULT.evaluations == [EVALUATION]


def test_values_of_ones_own_are_made_like_ours():
    """The base does equality, repr, access and travelling for subclasses too."""

    class Verdict(Value):
        __slots__ = ("grade", "why")

        def __init__(self, *, grade, why=""):
            self._fill({"grade": grade, "why": why})

    class Longer(Verdict):
        __slots__ = ("more",)

        def __init__(self, *, grade, more):
            super().__init__(grade=grade)
            self._fill({"more": more})

    assert repr(Longer(grade=1, more=2)) == "Longer(grade=1, why='', more=2)"
    assert Verdict(grade=1) == Verdict(grade=1) != Verdict(grade=2)
    assert Longer(grade=1, more=2) != Verdict(grade=1)


# -- how they read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, shown",
    [
        (Evaluation(name="e", value=1), "Evaluation(name='e', value=1)"),
        (Evaluation(name="e", value=None, comment="c"), "Evaluation(name='e', value=None, comment='c')"),
        (
            EVALUATION,
            "Evaluation(name='accuracy', value=0.5, comment='half', metadata={'k': [1]}, data_type='NUMERIC', config_id='c')",
        ),
        (
            FAILURE,
            "EvaluatorFailure(evaluator='judge', error_type='ValueError', message='boo', traceback='Traceback ...')",
        ),
        (
            ITEM_RESULT,
            "ExperimentItemResult(index=3, item_id='i', item={'input': 1}, repetition=1, output='out', evaluations="
            f"[{EVALUATION!r}], evaluator_failures=[{FAILURE!r}], attempts=2, trace_id='t', dataset_run_id='r', "
            "duration_seconds=0.25)",
        ),
        (
            ITEM_FAILURE,
            "ItemFailure(index=3, item_id='i', item={'input': 1}, repetition=1, stage='task', error_type='ValueError', "
            "message='boo', traceback='Traceback ...', attempts=2, trace_id='t', duration_seconds=0.25)",
        ),
        (
            STATS,
            "EvaluatorStats(name='judge', total_runs=3, successful_runs=2, failed_runs=1, total_scores_created=2, "
            "error_summary={'ValueError': 1}, duration_seconds=0.5)",
        ),
        (PROBLEM, "DeliveryProblem(kind='scores', id='s', item_id='i', state='rejected', reason='no')"),
        (
            REPORT,
            "DeliveryReport(acknowledged=2, pending=0, rejected=1, skipped=0, by_kind={'scores': {'acknowledged': 2, "
            f"'pending': 0, 'rejected': 1, 'skipped': 0}}}}, problems=[{PROBLEM!r}])",
        ),
        (RESULT, "<ExperimentResult 'exp', run 'run': 1 item results, 0 item failures>"),
        (INPUTS, "EvaluatorInputs(input={'q': 1}, output='out', expected_output=None, metadata={'k': [1]})"),
        (
            BATCH_FAILURE,
            "BatchItemFailure(item_id='i', stage='mapper', error_type='ValueError', message='boo', traceback='', "
            "evaluator=None)",
        ),
        (
            TOKEN,
            "BatchEvaluationResumeToken(scope='traces', filter=None, "
            "last_processed_timestamp='2026-11-20T10:00:00.000000Z', last_processed_id='i', items_processed=1, "
            "position={'time': '2026-11-20T10:00:00.000000Z', 'ids': ['0123456789']}, failed_ids=['i'], "
            "counts={'failed': 1})",
        ),
        (BATCH_RESULT, "<BatchEvaluationResult: 1 items processed, 1 failed, incomplete>"),
        (
            BATCH_RESULT.replaced(completed=True, has_more_items=True),
            "<BatchEvaluationResult: 1 items processed, 1 failed, completed, more items>",
        ),
    ],
)
def test_a_value_prints_in_the_order_in_which_one_thinks_of_it(value, shown):
    assert repr(value) == shown


def test_the_repr_of_an_evaluation_makes_it_again():
    assert eval(repr(EVALUATION)) == EVALUATION  # a test may


# -- evaluations -------------------------------------------------------------------------------------------------------


class Scalar:
    """As numpy's scalars are; no number to Python."""

    dtype = "x"

    def __init__(self, inner):
        self._inner = inner

    def item(self):
        return self._inner


class OneElement(Scalar):
    """As numpy's arrays are."""

    def __len__(self):
        return 1


class ManyElements:
    def item(self):
        raise ValueError("can only convert an array of size 1")


class Grade(enum.Enum):
    GOOD = "good"
    TWO = 2
    NESTED = (1, 2)


class TextGrade(str, enum.Enum):
    GOOD = "good"


class NumberGrade(enum.IntEnum):
    TWO = 2


class Text(str):
    pass


class Number(float):
    pass


@pytest.mark.parametrize(
    "given, value",
    [
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("good", "good"),
        (None, None),
        (10**400, 10**400),
        (Text("good"), "good"),
        (Number(0.5), 0.5),
        (Grade.GOOD, "good"),
        (Grade.TWO, 2),
        (TextGrade.GOOD, "good"),
        (NumberGrade.TWO, 2),
        (decimal.Decimal("0.25"), 0.25),
        (fractions.Fraction(1, 4), 0.25),
        (Scalar(0.5), 0.5),
        (Scalar(True), True),
        (Scalar("label"), "label"),
        (OneElement(3), 3),
    ],
)
def test_a_value_is_made_plain(given, value):
    """Numpy's scalars, decimals and members of enums become what they stand for."""
    found = Evaluation(name="e", value=given).value

    assert found == value and type(found) is type(value)


def test_nan_and_infinities_are_kept_as_they_are():
    """They are evaluations; only sending them is out of the question."""
    assert Evaluation(name="e", value=float("inf")).value == float("inf")
    assert Evaluation(name="e", value=float("nan")).value != Evaluation(name="e", value=float("nan")).value


@pytest.mark.parametrize(
    "value", [[1], {"a": 1}, (1, 2), {1}, b"x", object(), 1j, ManyElements(), Scalar([1]), Grade.NESTED, len]
)
def test_what_is_no_score_is_refused(value):
    with pytest.raises(ArgumentError, match=r"value=.*must be a number, a text, a bool or None"):
        Evaluation(name="e", value=value)


@pytest.mark.parametrize(
    "data_type, given, kept",
    [
        ("NUMERIC", 1, 1),
        ("NUMERIC", True, True),
        ("numeric", 0.5, 0.5),
        ("BOOLEAN", True, True),
        ("BOOLEAN", 1, True),
        ("BOOLEAN", 0.0, False),
        ("CATEGORICAL", "x", "x"),
        ("CATEGORICAL", 5, "5"),
        ("CATEGORICAL", None, None),
    ],
)
def test_a_data_type_that_is_given_shapes_the_value(data_type, given, kept):
    found = Evaluation(name="e", value=given, data_type=data_type)

    assert found.value == kept and type(found.value) is type(kept) and found.data_type == data_type.upper()


def test_a_data_type_may_be_a_member_of_an_enum():
    class ScoreDataType(enum.Enum):
        BOOLEAN = "BOOLEAN"

    assert Evaluation(name="e", value=1, data_type=ScoreDataType.BOOLEAN).data_type == "BOOLEAN"


@pytest.mark.parametrize(
    "data_type, value, message",
    [
        ("BOOLEAN", 0.5, "value=0.5: does not fit data_type='BOOLEAN'"),
        ("BOOLEAN", "true", "value='true': does not fit data_type='BOOLEAN'"),
        ("NUMERIC", "1", "value='1': does not fit data_type='NUMERIC'"),
        ("SCORE", 1, "data_type='SCORE': must be one of NUMERIC, CATEGORICAL, BOOLEAN"),
        (5, 1, "data_type=5: must be one of NUMERIC, CATEGORICAL, BOOLEAN"),
    ],
)
def test_a_data_type_that_does_not_fit_is_refused(data_type, value, message):
    with pytest.raises(ArgumentError) as refused:
        Evaluation(name="e", value=value, data_type=data_type)

    assert str(refused.value) == message


@pytest.mark.parametrize("name", ["", "  ", "\n", None, 5, b"e", ["e"]])
def test_an_evaluation_has_a_name(name):
    with pytest.raises(ArgumentError, match="name="):
        Evaluation(name=name, value=1)


def test_names_and_comments_become_plain_text():
    found = Evaluation(name=TextGrade.GOOD, value=1, comment=ValueError("why"))

    assert (found.name, type(found.name), found.comment) == ("good", str, "why")


def test_a_changed_evaluation_is_checked_like_a_new_one():
    assert EVALUATION.replaced(comment=5).comment == "5"
    with pytest.raises(ArgumentError, match="must be a number"):
        EVALUATION.replaced(value=[1])


def test_an_evaluation_needs_name_and_value():
    for arguments in ({}, {"name": "e"}, {"value": 1}, {"name": "e", "value": 1, "nonsense": 1}):
        with pytest.raises(TypeError):
            Evaluation(**arguments)


# -- counts ------------------------------------------------------------------------------------------------------------


def test_the_totals_of_a_report_are_the_sums_of_its_kinds():
    report = DeliveryReport(
        by_kind={
            "spans": {"acknowledged": 3, "pending": 1, "rejected": 0, "skipped": 2},
            "scores": {"acknowledged": 1, "pending": 0, "rejected": 4, "skipped": 0},
        }
    )

    assert (report.acknowledged, report.pending, report.rejected, report.skipped) == (4, 1, 4, 2)
    assert DeliveryReport() == DeliveryReport(by_kind={}, problems=[]) and DeliveryReport().acknowledged == 0


def test_a_value_reads_like_a_mapping():
    evaluation = Evaluation(name="tone", value=1, comment="c")
    assert dict(evaluation) == dict(evaluation.items()) == dict(zip(evaluation, evaluation.values()))
    assert list(evaluation) == list(evaluation.keys()) and len(evaluation) == len(evaluation.values()) == 6
    assert "name" in evaluation and "nix" not in evaluation and {**evaluation}["comment"] == "c"
    assert evaluation.get("name") == evaluation["name"] == "tone" and evaluation.get("nix", 5) == 5
    with pytest.raises(KeyError):
        evaluation["nix"]


# -- results that are kept ---------------------------------------------------------------------------------------------


class Graded(Evaluation):
    """What a user may return: it stays what it is."""


FULL = Evaluation(name="f", value=None, comment="c", metadata={"k": [1]})


@pytest.mark.parametrize("evaluations", [[], [EVALUATION], [EVALUATION, FULL], [FULL, Graded(name="g", value=1)]])
@pytest.mark.parametrize("failures", [[], [FAILURE]])
def test_a_kept_result_reads_as_it_did_and_its_lists_are_real_and_its_own(evaluations, failures):
    fields = {"item": {"input": 1}, "output": "o", "trace_id": None, "dataset_run_id": None}
    plain = ExperimentItemResult(
        evaluations=[*evaluations], evaluator_failures=[*failures], index=7, item_id="i", duration_seconds=0.5, **fields
    )
    kept, again, other = packed(plain), packed(plain), packed(plain)

    assert kept == plain and repr(kept) == repr(plain) and pickle.loads(pickle.dumps(again)) == plain
    assert [getattr(packed(plain), field) for field in plain] == plain.values() and copy.deepcopy(other) == plain
    assert not hasattr(packed(plain), "nix")
    assert [type(each) for each in kept.evaluations] == [type(each) for each in evaluations]
    assert all(mine.metadata is given.metadata for mine, given in zip(kept.evaluations, evaluations))
    assert kept.evaluations is kept["evaluations"] and kept.evaluator_failures is kept["evaluator_failures"]
    kept.evaluations.append(FULL)
    kept.evaluator_failures.append(FAILURE)
    assert (kept.evaluations, kept.evaluator_failures) == ([*evaluations, FULL], [*failures, FAILURE])


@pytest.mark.parametrize("evaluations", [[], [EVALUATION], [Graded(name="g", value=1)]])
@pytest.mark.parametrize("failures", [[], [FAILURE]])
def test_packed_results_come_as_they_were_in_the_order_of_the_data(evaluations, failures):
    places = [(1, 1), (0, 1), (1, 0), (0, 0)]
    plain = [
        ExperimentItemResult(
            item=None, output=number, trace_id=None, dataset_run_id=None, index=index, repetition=number,
            evaluations=[*evaluations] if index else [], evaluator_failures=failures if number else [],
        )
        for index, number in places
    ]  # fmt: skip
    kept = PackedResults()
    for each in plain:
        kept.add(packed(each))

    assert kept.in_order() == sorted(plain, key=lambda each: (each.index, each.repetition))


@pytest.mark.parametrize("field, size", [("evaluations", 0), ("evaluations", 1), ("evaluator_failures", 0)])
def test_two_threads_that_read_a_result_for_the_first_time_get_one_list(field, size):
    """At each step of the one's reading the other one comes in between; what it appended was lost."""

    def read_at(step):
        """Whether the first reading has so many steps; then another thread reads before it makes that one."""
        plain = ExperimentItemResult(
            item=1, output=1, trace_id=None, dataset_run_id=None,
            evaluations=[EVALUATION] * size, evaluator_failures=[FAILURE] * size,
        )  # fmt: skip
        result = packed(plain)
        steps, lists = [], []

        def between(frame, event, argument):
            frame.f_trace_opcodes = True
            steps.append(event)
            if len(steps) == step:
                other = threading.Thread(target=lambda: lists.append(getattr(result, field)))
                other.start()
                other.join()
            return between

        before = sys.gettrace()
        sys.settrace(between)
        try:
            lists.append(getattr(result, field))
        finally:
            sys.settrace(before)
        lists.append(getattr(result, field))
        assert len({id(each) for each in lists}) == 1, f"another one at step {step}"
        return len(lists) == 3

    steps = 1
    while read_at(steps):
        steps += 1
    assert steps > 10


class Scored(ExperimentItemResult):
    @property
    def score(self):
        return self.output.missing


def test_a_property_of_a_users_type_says_its_own_error():
    result = Scored(item={}, output=1, evaluations=[], trace_id=None, dataset_run_id=None)
    with pytest.raises(AttributeError, match="'int' object has no attribute 'missing'"):
        print(result.score)


def test_plain_fields_of_a_packed_result_are_read_without_unpacking_it():
    kept = [
        packed(ExperimentItemResult(item=1, output=1, evaluations=[EVALUATION], trace_id="t", dataset_run_id=None))
        for _ in range(100)
    ]
    gc.collect()
    before = len(gc.get_objects())
    assert {(each.trace_id, each.index, each.attempts) for each in kept} == {("t", 0, 1)}
    gc.collect()
    assert len(gc.get_objects()) < before + 50
    assert kept[0].evaluations == [EVALUATION]


def test_a_result_that_nobody_has_read_is_one_object_for_the_garbage_collector_to_follow():
    """What it follows it follows again and again, the more often the more there is: a run would not be flat."""
    data = [{"input": i} for i in range(500)]
    judges = [lambda *, output: Evaluation(name="a", value=output), lambda *, output: Evaluation(name="b", value="t")]

    def followed():
        gc.collect()
        return len(gc.get_objects())

    with Interactive.local() as client:
        client.run_experiment(name="warm", data=data[:5], task=lambda *, item: item["input"], evaluators=judges)
        before = followed()
        result = client.run_experiment(name="x", data=data, task=lambda *, item: item["input"], evaluators=judges)
        grown = followed() - before

    assert grown < 1.5 * len(data)
    assert result.item_results[7].evaluations == [Evaluation(name="a", value=7), Evaluation(name="b", value="t")]
