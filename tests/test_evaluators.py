"""The evaluators that come with the package, in real runs and by themselves."""
from __future__ import annotations

import functools
import pickle
import random

import pytest

from interactiveai_eval import ArgumentError, Interactive, evaluators
from interactiveai_eval.evaluators import edit_distance

from .judged import failed, result_of, row


def value_of(evaluator, output, expected=None):
    return evaluator(output=output, expected_output=expected).value


def comment_of(evaluator, output, expected=None):
    return evaluator(output=output, expected_output=expected).comment


def test_they_run_as_evaluators_of_an_experiment(client):
    result = client.run_experiment(
        name="titles",
        data=[{"input": "war and peace", "expected_output": "War and Peace"}, {"input": "emma", "expected_output": "Emma"}],
        task=lambda *, item: item["input"].title(),
        evaluators=[
            evaluators.exact(),
            evaluators.exact(ignore_case=True, name="folded"),
            evaluators.levenshtein(),
            evaluators.max_duration(60),
        ],
        run_evaluators=[evaluators.mean("exact"), evaluators.pass_rate("levenshtein", at_least=0.9)],
    )

    assert [{e.name: e.value for e in item.evaluations} for item in result.item_results] == [
        {"exact": False, "folded": True, "levenshtein": pytest.approx(12 / 13), "max_duration": True},
        {"exact": True, "folded": True, "levenshtein": 1.0, "max_duration": True},
    ]
    assert [(e.name, e.value) for e in result.run_evaluations] == [("mean exact", 0.5), ("pass_rate levenshtein", 1.0)]
    assert [row.name for row in result.evaluator_stats] == ["exact", "folded", "levenshtein", "max_duration"]
    assert result.item_results[0].evaluations[0].comment == "'War And Peace' instead of 'War and Peace'"


@pytest.mark.parametrize(
    ("evaluator", "output", "expected", "value"),
    [
        (evaluators.exact(), [1, {"a": 2}], [1, {"a": 2}], True),
        (evaluators.exact(), "a ", "a", False),
        (evaluators.exact(strip=True), "a ", "\ta", True),
        (evaluators.exact(), True, 1, False),
        (evaluators.exact(), None, None, None),
        (evaluators.contains(), "the answer is Paris", "Paris", True),
        (evaluators.contains(), "the answer is paris", "Paris", False),
        (evaluators.contains(ignore_case=True), "the answer is paris", "Paris", True),
        (evaluators.contains("42"), {"n": 42}, None, True),
        (evaluators.contains(), "x", None, None),
        (evaluators.regex(r"\d{4}"), "in 1984", None, True),
        (evaluators.regex(r"\d{4}", full=True), "in 1984", None, False),
        (evaluators.regex("PARIS", ignore_case=True), "paris", None, True),
        (evaluators.numeric(), "1,200.50", 1200.5, True),
        (evaluators.numeric(), 0.1 + 0.2, 0.3, False),
        (evaluators.numeric(relative=1e-9), 0.1 + 0.2, "0.3", True),
        (evaluators.numeric(absolute=2), 10, 12, True),
        (evaluators.numeric(absolute=2), 10, 12.5, False),
        (evaluators.numeric(), "1,2", 12, False),
        (evaluators.numeric(), "ten", 10, False),
        (evaluators.numeric(), True, 1, False),
        (evaluators.numeric(absolute=1e300), "inf", 1, False),
        (evaluators.numeric(), 1, "one", None),
        (evaluators.json_valid(), '{"a": [1, 2]}', None, True),
        (evaluators.json_valid(), '{"a": NaN}', None, False),
        (evaluators.json_valid(), "{'a': 1}", None, False),
        (evaluators.json_valid(), {"a": 1}, None, False),
        (evaluators.json_match(), '{"a": 1, "b": [1, 2]}', {"b": [1, 2], "a": 1.0}, 1.0),
        (evaluators.json_match(), '{"a": 1, "b": [1, 3]}', '{"a": 1, "b": [1, 2, 4]}', 0.5),
        (evaluators.json_match(), {"a": True}, {"a": 1}, 0.0),
        (evaluators.json_match(absolute=0.1), [1.05], [1], 1.0),
        (evaluators.json_match(), "no json", {}, 0.0),
        (evaluators.json_match(), {}, "no json", None),
        (evaluators.json_match(), {}, {}, 1.0),
        (evaluators.json_match(), {}, {"a": 1}, 0.0),
        (evaluators.list_overlap(), ["a", "b", "c", "d"], ["b", "a"], 2 / 3),
        (evaluators.list_overlap("precision"), ["a", "b", "c", "d"], ["b", "a"], 0.5),
        (evaluators.list_overlap("recall"), '["a", "b"]', ["b", "a", "a", "x"], 0.5),
        (evaluators.list_overlap("jaccard"), ["a", {"k": 1}], [{"k": 1}, "b"], 1 / 3),
        (evaluators.list_overlap(), [], [], 1.0),
        (evaluators.list_overlap("precision"), [], ["a"], 0.0),
        (evaluators.list_overlap(), "a, b", ["a"], 0.0),
        (evaluators.list_overlap(), ["a"], None, None),
        (evaluators.levenshtein(), "kitten", "sitting", 1 - 3 / 7),
        (evaluators.levenshtein(ignore_case=True), "ABC", "abc", 1.0),
        (evaluators.levenshtein(), "", "", 1.0),
        (evaluators.levenshtein(), "", "abc", 0.0),
        (evaluators.token_f1(), "The cat sat.", "the CAT sat on the mat", 2 * 3 / 9),
        (evaluators.token_f1(), "...", "!", 1.0),
        (evaluators.token_f1(), "a", "b", 0.0),
    ],
)
def test_what_they_say(evaluator, output, expected, value):
    found = value_of(evaluator, output, expected)

    assert found == (value if isinstance(value, bool) or value is None else pytest.approx(value))
    assert type(found) is type(value)


def test_comments_name_what_is_different():
    assert comment_of(evaluators.json_match(), '{"a": {"b": 1}, "c": [1]}', {"a": {"b": 2, "d": 0}, "c": []}) == (
        "$.a.b: 1 instead of 2; $.a.d is missing; $.c[0] is too much"
    )
    assert comment_of(evaluators.list_overlap(), ["a"], ["b", "c", "a"]) == 'missing: "b", "c"'
    assert "line 1 column " in comment_of(evaluators.json_valid(), "[1, 2")
    assert comment_of(evaluators.json_match(), list(range(9)), list(range(10, 19))).endswith("; 4 more")


def test_a_deep_answer_is_no_way_to_break_the_comparison():
    deep, deeper = ("[" * levels + "]" * levels for levels in (50, 50_000))

    assert value_of(evaluators.json_match(), deep, deep) == 1.0
    assert value_of(evaluators.json_match(), deeper, deep) == 0.0
    assert "deep" in comment_of(evaluators.json_match(), deeper, deep)


def test_edit_distances_are_those_of_the_table():
    """The bit-parallel way against the plain table, on random texts."""

    def table(left, right):
        above = list(range(len(right) + 1))
        for i, a in enumerate(left, 1):
            row = [i]
            for j, b in enumerate(right, 1):
                row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
            above = row
        return above[-1]

    source = random.Random(7)
    for _ in range(300):
        left, right = ("".join(source.choices("abc\xe9", k=source.randrange(90))) for _ in range(2))
        assert edit_distance(left, right) == table(left, right)
    assert edit_distance("a" * 20_000, "b" * 20_001) == 20_001


def results(*rows):
    return {"item_results": result_of(*rows).item_results, "item_failures": [failed(9)]}


def test_a_pass_rate_counts_what_failed_and_what_has_no_value():
    items = results(row(0, {"ok": True, "m": 0.8}), row(1, {"ok": False, "m": "high"}), row(2, {"ok": None, "m": 0.4}))

    (strict,) = evaluators.pass_rate("ok")(**items)
    (lenient,) = evaluators.pass_rate("m", at_least=0.5, failures_count=False)(**items)

    assert (strict.name, strict.value, strict.comment) == ("pass_rate ok", 0.25, "1 of 4")
    assert (lenient.value, lenient.comment) == (pytest.approx(1 / 3), "1 of 3")
    assert evaluators.pass_rate("ok", name="p")(item_results=[])[0].value is None


def test_a_mean_is_over_the_numbers_that_there_are():
    (found,) = evaluators.mean("m")(**results(row(0, {"m": 1}), row(1, {"m": True}), row(2, {"m": "x"}), row(3)))

    assert (found.name, found.value, found.comment) == ("mean m", 1.0, "of 2 values")
    assert evaluators.mean("none")(item_results=[])[0].value is None


def labelled(*pairs):
    return results(
        *[row(n, item={"input": n, "expected_output": want}, output=given) for n, (want, given) in enumerate(pairs)]
    )


PAIRS = [("cat", "cat"), ("cat", "cat"), ("cat", "dog"), ("dog", "dog"), ("dog", "cat"), ("dog", "emu"), (None, "cat")]


def test_a_confusion_matrix_has_precision_recall_and_f1():
    """By hand: cats 2 of 3 called, 2 of 3 found; dogs 1 of 2 and 1 of 3."""
    found = {e.name: e for e in evaluators.confusion()(**labelled(*PAIRS))}

    assert found["confusion accuracy"].value == 0.5
    assert found["confusion accuracy"].metadata == {"cat": {"cat": 2, "dog": 1}, "dog": {"dog": 1, "cat": 1, "emu": 1}}
    assert found["confusion precision"].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["confusion recall"].value == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found["confusion f1"].value == pytest.approx((2 / 3 + 2 / 5) / 2)


def test_a_confusion_matrix_for_one_label():
    found = [e.value for e in evaluators.confusion(positive="dog")(**labelled(*PAIRS))]

    assert found == pytest.approx([0.5, 1 / 2, 1 / 3, 2 / 5])
    assert [e.value for e in evaluators.confusion()(item_results=[])] == [None] * 4


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: evaluators.exact(name=""), "name=''"),
        (lambda: evaluators.contains(""), "text=''"),
        (lambda: evaluators.contains(5), "text=5"),
        (lambda: evaluators.regex("("), "is no regular expression"),
        (lambda: evaluators.regex(None), "is no regular expression"),
        (lambda: evaluators.numeric(absolute=-1), "absolute=-1"),
        (lambda: evaluators.numeric(relative=1.5), "relative=1.5: must be a number from 0 to 1"),
        (lambda: evaluators.json_match(absolute="0"), "absolute='0'"),
        (lambda: evaluators.json_match(absolute=float("nan")), "absolute=nan"),
        (lambda: evaluators.list_overlap("f2"), "must be one of f1, precision, recall, jaccard"),
        (lambda: evaluators.max_duration(-1), "seconds=-1"),
        (lambda: evaluators.max_duration(True), "seconds=True"),
        (lambda: evaluators.mean(""), "metric=''"),
        (lambda: evaluators.pass_rate(None), "metric=None"),
        (lambda: evaluators.pass_rate("m", at_least="x"), "at_least='x'"),
        (lambda: evaluators.confusion(positive=3), "positive=3"),
    ],
)
def test_bad_arguments_are_refused_when_they_are_made(make, problem):
    with pytest.raises(ArgumentError) as caught:
        make()

    assert problem in str(caught.value)


def test_each_of_them_takes_all_that_evaluators_are_offered(client):
    """CONTRACT 2, and `types.EvaluatorFunction`: a caller of its own need not know which of it one looks at."""
    of_outputs = [evaluators.exact(), evaluators.contains(), evaluators.regex("4"), evaluators.numeric()]
    of_outputs += [evaluators.json_valid(), evaluators.json_match(), evaluators.list_overlap()]
    of_outputs += [evaluators.levenshtein(), evaluators.token_f1(), evaluators.max_duration(1)]
    of_outputs += [evaluators.llm_judge(lambda prompt: "Answer: no", ["yes", "no"], name="llm_judge")]
    of_runs = [evaluators.mean("m"), evaluators.pass_rate("m"), evaluators.confusion()]
    four = {"input": "2 + 2", "output": "4", "expected_output": "5", "metadata": {"level": 1}}
    more = {"item": {"input": "2 + 2"}, "trace_id": None, "duration_seconds": 0.5}

    assert {each.__name__.split(" ")[0] for each in of_outputs + of_runs} == {
        name
        for name, each in vars(evaluators).items()
        if getattr(each, "__annotations__", {}).get("return") in ("OutputEvaluator", "RunEvaluator", "LLMJudge")
    }
    assert [each(**four).value for each in of_outputs] == [
        False, False, True, False, True, 0.0, None, 0.0, 0.0, None, "no"
    ]  # fmt: skip
    assert [each(**four, **more).value for each in of_outputs][-2:] == [True, "no"]
    for each in of_runs:
        assert each(item_results=[row(0, {"m": 1})], item_failures=[], data=None)[0].name.startswith(each.__name__)


def test_they_can_be_sent_to_other_processes():
    for evaluator in (evaluators.exact(), evaluators.regex("a+"), evaluators.max_duration(1), evaluators.confusion()):
        assert repr(pickle.loads(pickle.dumps(evaluator))) == repr(evaluator)


def test_the_metric_is_called_as_its_evaluator():
    assert evaluators.list_overlap().__name__ == "list_overlap"
    assert evaluators.list_overlap("recall").__name__ == "list_overlap_recall"
    assert evaluators.list_overlap("recall", name="found").__name__ == "found"


@pytest.mark.parametrize("make", [evaluators.exact, evaluators.llm_judge, evaluators.max_duration], ids=lambda make: make.__name__)
def test_a_forgotten_pair_of_parentheses_is_told_before_any_work(make):
    """Called with outputs, what makes an evaluator failed once for each item."""
    called = []
    fix = rf"evaluators\[0\]=.*: makes an evaluator and is none; call it, as in {make.__name__}\(\)"
    with Interactive.local() as client:
        with pytest.raises(ArgumentError, match=fix):
            client.run_experiment(name="x", data=[{"input": 1}], task=called.append, evaluators=[make])
        with pytest.raises(ArgumentError, match=fix):
            client.run_batched_evaluation(scope="traces", mapper=called.append, evaluators=[make])
        with pytest.raises(ArgumentError, match=r"run_evaluators\[0\]=.*call it, as in confusion"):
            client.run_experiment(name="x", data=[{"input": 1}], task=called.append, run_evaluators=[evaluators.confusion])
    assert called == []


def test_an_evaluator_of_ones_own_may_wrap_ours():
    """`wraps` gives it our module's name."""

    @functools.wraps(evaluators.exact())
    def mine(*, output):
        return output == 1

    with Interactive.local() as client:
        result = client.run_experiment(name="x", data=[{"input": 1}], task=lambda *, item: 1, evaluators=[mine])

    assert result.item_results[0].evaluations[0].value is True


@pytest.mark.parametrize(
    ("evaluator", "message"),
    [
        (evaluators.mean("nope"), "metric='nope': no item has it; there are ok"),
        (evaluators.pass_rate("nope"), "metric='nope': no item has it; there are ok"),
        (evaluators.confusion(positive="zzz"), "positive='zzz': no item has that label; there are dog, cat, emu"),
    ],
    ids=repr,
)
def test_what_is_misspelt_is_a_failure_and_no_zero(evaluator, message):
    rows = [row(0, {"ok": True}, item={"expected_output": "dog"}, output="cat")]
    rows.append(row(1, item={"expected_output": "cat"}, output="emu"))

    with pytest.raises(ArgumentError) as caught:
        evaluator(item_results=rows)
    assert str(caught.value) == message
