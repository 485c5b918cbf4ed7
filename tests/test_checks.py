"""Checks: the little language of gates, which in doubt fails."""
from __future__ import annotations

import pytest

from interactiveai_eval import ArgumentError, Evaluation, Interactive, RegressionError
from interactiveai_eval.model import EvaluatorFailure
from interactiveai_eval.reporting.report import report_of
from interactiveai_eval.reporting.report_text import render_text
from interactiveai_eval.tally import RunTally

from .judged import failed, published, result_of, row, scores


def value_of(result, expression, **settings):
    return result.check(expression, **settings).outcomes[0].value


def test_all_checks_must_pass():
    result = scores([True, True, True, False], name="accuracy")

    passed, failing = result.check("accuracy >= 0.75", "failure_rate <= 1%"), result.check("accuracy >= 0.9", "accuracy.n == 4")

    assert (passed.passed, passed.reasons, bool(passed)) == (True, [], True)
    assert (failing.passed, failing.reasons, bool(failing)) == (False, ["accuracy >= 0.9: it is 0.750"], False)
    assert [outcome.passed for outcome in failing.outcomes] == [False, True]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("m >= 0", 2.5),
        ("m.mean >= 0", 2.5),
        ("m.n > 0", 4),
        ("m.missing == 1", 1),
        ("m.p50 > 0", 2.5),
        ("m.p90 > 0", 3.7),
        ("m.min > 0", 1.0),
        ("m.max > 0", 4.0),
        ("m.stdev > 0", 1.2909944487358056),
        ("m.low > 0", 0.4457397432),
        ("m.high > 0", 4.5542602567),
        ("failure_rate > 0", 1 / 6),
        ("failures > 0", 1),
        ("items > 0", 6),
        ("evaluator_failures == 0", 0),
        ("undelivered == 0", 0),
        ("duration_seconds < 1e3", 0.0),
        ("  m\t>=2.5  ", 2.5),
        ('"m".p50 > 0', 2.5),
        ("'m'.delta.low <= 1", -0.5456116),
        ("m.delta <= 1", 0.25),
        ("m.delta.high <= 1", 1.0456116),
        ("m.p <= 1", 1.0),
        ("m.improved > 0", 1),
        ("m.regressed == 0", 0),
        ("m.paired == 4", 4),
        ("m.baseline > 0", 2.25),
        ("added == 0", 0),
        ("removed == 0", 0),
        ("newly_failing == 1", 1),
        ("recovered == 0", 0),
    ],
)
def test_what_can_be_asked_for(expression, value):
    result = result_of(*scores([1, 2, 3, 4, None]).item_results, item_failures=[failed(5, item_id="5")])
    baseline = scores([1, 2, 3, 3, None, 7])

    assert value_of(result, expression, baseline=baseline) == pytest.approx(value, abs=1e-6)


def test_labels_are_asked_for_by_their_share():
    result, baseline = scores(["warm", "warm", "very cold", "warm"]), scores(["warm"] * 4)

    assert value_of(result, "m[warm] >= 0.5") == 0.75
    assert value_of(result, 'm["very cold"].n == 1') == 1
    assert value_of(result, "m[ 'very cold' ] <= 1%", baseline=baseline) == 0.25
    assert value_of(baseline, 'm["very cold"] <= 1%', baseline=result) == 0.0, "the baseline has it"
    assert value_of(result, "m[warm].delta >= -0.5", baseline=baseline) == -0.25
    assert value_of(scores([1.0]), "m[warm] >= 0") is None, "a number has no labels"


@pytest.mark.parametrize("name", ["is it right?", 'say "hi"', "a.b", "failure_rate", "back\\slash", "\u65e5\u672c", "x\ny"])
def test_every_name_can_be_quoted(name):
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'

    assert value_of(scores([3.0], name=name), f"{quoted} >= 1") == 3.0


def test_a_line_feed_and_a_tab_of_a_name_can_be_written_as_escapes():
    """On a command line "a\\nb" was taken for "anb", and the check failed for a metric that is there."""
    assert value_of(scores([3.0], name="a\nb\tc"), r'"a\nb\tc" >= 1') == 3.0
    assert value_of(scores([3.0], name=r"a\nb"), r"'a\\nb' >= 1") == 3.0
    assert value_of(scores(["it's\n"]), r"m['it\'s\n'] >= 1") == 1.0


def test_names_of_letters_need_no_quotes():
    assert value_of(scores([3.0], name="gr\xf6\xdfe_1-b"), "gr\xf6\xdfe_1-b >= 1") == 3.0


@pytest.mark.parametrize(("sign", "passes"), [(">=", [2, 3]), ("<=", [1, 2]), (">", [3]), ("<", [1]), ("==", [2]), ("!=", [1, 3])])
def test_the_six_comparisons(sign, passes):
    assert [value for value in (1, 2, 3) if scores([value]).check(f"m {sign} 2").passed] == passes


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("accuracy >= 0", "accuracy >= 0: there is no metric 'accuracy'; there are m, tone, none"),
        ("none >= 0", "none >= 0: it has no value"),
        ("tone >= 0", "tone >= 0: it has no value"),
        ("m.low != 5", "m.low != 5: it has no low"),
        ("m.stdev != 5", "m.stdev != 5: it has no stdev"),
        ("m.unstable < 1", "m.unstable < 1: it has no unstable"),
        ("m.delta >= -100", "m.delta >= -100: there is no baseline to compare with"),
        ("added == 0", "added == 0: there is no baseline to compare with"),
    ],
)
def test_what_cannot_be_found_out_fails(expression, reason):
    result = result_of(row(0, {"m": 1, "tone": "warm", "none": None}))

    report = result.check(expression)

    assert (report.passed, report.reasons) == (False, [reason])


def test_a_reason_has_the_digits_that_it_takes(tmp_path):
    """With three decimals each of these would say that the check is right the other way round."""
    before, after = scores([0.9] * 10, name="acc"), scores([0.88] * 10, name="acc")
    expected = {
        "acc.delta >= -0.02": "-0.020000000000000018",
        "acc >= 0.8800001": "0.880",
        "acc > 0.88": "0.880",
        "acc == 0.8799999": "0.880",
        "acc != 0.88": "0.880",
        "acc.baseline <= 0.8999": "0.900",
    }

    assert after.check(*expected, baseline=before).reasons == [f"{each}: it is {expected[each]}" for each in expected]
    assert scores([0.1 + 0.2]).check("m <= 0.3").reasons == ["m <= 0.3: it is 0.30000000000000004"]
    assert scores([0.89996]).check("m >= 0.9").reasons == ["m >= 0.9: it is 0.89996"]
    assert scores([4.0001e-5]).check("m <= 4e-5").reasons == ["m <= 4e-5: it is 4.0001e-05"]

    after.save(tmp_path / "r.md", baseline=before, checks=["acc.delta >= -0.02"])
    assert "| `acc.delta >= -0.02` | -0.020000000000000018 |" in (tmp_path / "r.md").read_text(encoding="utf-8")


def test_a_delta_without_pairs_fails():
    report = scores([1.0]).check("m.delta >= -100", baseline=result_of(row(0, {"m": 1}, item_id="another")))

    assert report.reasons == ["m.delta >= -100: no item has 'm' both here and in the baseline"]


def test_a_rate_of_no_items_passes_no_gate():
    """A filter that matches nothing, or an empty file of data, looked like a run in which nothing failed."""
    with Interactive.local() as client:
        nothing = [
            client.run_experiment(name="n", data=[], task=lambda item: 1),
            client.run_batched_evaluation(scope="traces", mapper=lambda item: {}, evaluators=[lambda: 1]),
            result_of(tally=RunTally()),
        ]

    for result in nothing:
        report = result.check("failure_rate <= 0.01", "items == 0", "failures == 0", "undelivered == 0")
        assert report.reasons == ["failure_rate <= 0.01: a run without items has no failure_rate"]


def test_an_incomplete_run_passes_no_gate():
    """Half of the items prove nothing about the other half."""
    report = scores([True] * 5, completed=False).check("m >= 0.5")

    assert not report.passed and "incomplete" in report.reasons[0] and report.outcomes[0].passed
    with pytest.raises(RegressionError, match="incomplete"):
        report.raise_for_checks()


def test_a_reason_says_over_how_many_items():
    assert scores([0.5, None, None]).check("m > 1").reasons == ["m > 1: it is 0.500 (over 1 of 3 items)"]


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "at character 1: expected a metric; put quotes around other names"),
        ("accuracy", "at character 9: expected one of >= <= > < == !="),
        ("accuracy = 1", "at character 10: expected one of"),
        ("accuracy >= high", "at character 13: expected a number, such as 0.9 or 90%"),
        ("accuracy >= nan", "at character 13: expected a number"),
        ("accuracy >= 1e999", "at character 18: the number is beyond what can be compared"),
        ("accuracy >= 1 or true", "at character 15: nothing more may follow"),
        ("accuracy.p75 >= 1", "at character 1: there is no figure 'p75'; there are value, n, missing,"),
        ('"a b".p75 >= 1', "at character 7: there is no figure 'p75'"),
        ('"open >= 1', "at character 1: expected the closing quote"),
        (r'"a\d" >= 1', r"at character 3: a backslash stands before n, t, a quote or another backslash: \\ is one of its own"),
        (r"tone['\a'] >= 1", "at character 7: a backslash stands before"),
        ("tone[warm >= 1", "at character 11: expected ]"),
        ("lab[New York] >= 1", 'at character 9: expected ] after the label; put quotes around other texts, as in ["New York"]'),
        ("tone[warm].p90 >= 1", "there is no figure 'p90'; there are value, delta, n"),
        ("is it right >= 1", "at character 4: expected one of"),
        ("__import__('os') > 1", "at character 11: expected one of"),
        (0.9, "must be a text such as 'accuracy >= 0.9'"),
        (None, "must be a text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(expression, problem):
    with pytest.raises(ArgumentError) as caught:
        scores([1]).check("m >= 1", expression)

    assert caught.value.argument == "check" and problem in str(caught.value)


def test_no_checks_at_all_are_no_gate():
    with pytest.raises(ArgumentError, match="there is none; give at least one, such as"):
        scores([1]).check()


def test_a_failed_gate_raises_with_the_run_and_the_figures():
    result = scores([True, False], name="accuracy")

    with pytest.raises(RegressionError) as caught:
        result.raise_for_checks("accuracy >= 0.5", "accuracy >= 0.9", "accuracy.n > 5")

    error = caught.value
    assert error.result is result
    assert (error.metric, error.value, error.threshold) == ("accuracy", 0.5, 0.9)
    assert str(error) == "accuracy >= 0.9: it is 0.500; accuracy.n > 5: it is 2.000"
    assert result.raise_for_checks("accuracy >= 0.5") is None


def test_the_text_of_a_regression():
    assert str(RegressionError(result=1)) == "Experiment regression detected"
    assert str(RegressionError(result=1, metric="m", value=0.5, threshold=0.9)) == "Regression of m: 0.5, wanted 0.9"
    assert str(RegressionError(result=1, metric="m", value=0.5)) == "Regression of m: 0.5"
    assert str(RegressionError(result=1, metric="m")) == "Experiment regression detected"
    error = RegressionError(result=1, metric="m", value=0.5, message="too bad")
    assert str(error) == error.message == "too bad"


def test_failures_that_no_check_speaks_of_fail_the_gate():
    """Nine of ten items failed, and the one that was left passed for all."""
    result = result_of(row(0, {"m": 1}), item_failures=[failed(n) for n in range(1, 10)])
    reason = "9 of 10 items failed, and no check says how many may (failure_rate, failures)"

    assert result.check("m >= 1").reasons == [reason]
    assert result.check("m >= 1", "items == 10", "evaluator_failures == 0").reasons == [reason]
    assert result.check("m >= 1", "failures <= 9").passed and result.check("m >= 1", "failure_rate <= 0.9").passed
    assert result.check("m >= 1", "failure_rate <= 1%").reasons == ["failure_rate <= 1%: it is 0.900"]
    assert result.check("m >= 1", "newly_failing == 0", baseline=result).passed
    with pytest.raises(RegressionError, match="9 of 10 items failed"):
        result.raise_for_checks("m >= 1")


def test_evaluators_that_failed_must_be_spoken_of_too():
    trouble = EvaluatorFailure(evaluator="judge", error_type="KeyError", message="x")
    result = result_of(row(0, {"m": 1}, evaluator_failures=[trouble]), run_evaluator_failures=[trouble])

    assert result.check("m >= 1", "failures == 0").reasons == [
        "2 evaluator calls failed, and no check says how many may (evaluator_failures)"
    ]
    assert result.check("m >= 1", "evaluator_failures <= 2").passed


@pytest.mark.parametrize("expression", ["newly_failing == 0", "removed == 0", "m.regressed == 0", "m.delta >= 0"])
def test_items_that_were_not_kept_cannot_be_found_out_about(expression):
    """Without items nothing is newly failing: a run with keep_results=False passed whatever it did."""
    full = scores([1, 1])
    with Interactive.local() as client:
        counts = client.run_experiment(
            name="x", data=[{"input": 1}] * 2, task=lambda *, item: 1, evaluators=[lambda *, output: {"name": "m", "value": 1}], keep_results=False
        )

    for result, baseline in ((full, counts), (counts, full)):
        report = result.check(expression, baseline=baseline)
        assert not report.passed and "were not kept" in report.reasons[0]
        with pytest.raises(ArgumentError, match="keep_results=True"):
            result.compare(baseline)
    assert counts.check("items == 2", "m >= 0", baseline=full).reasons == []


def test_nothing_is_newly_failing_where_no_item_is_in_both():
    report = scores([1.0]).check("newly_failing == 0", baseline=result_of(row(0, {"m": 1}, item_id="another")))

    assert report.reasons == ["newly_failing == 0: no item is both here and in the baseline"]


def test_a_metric_of_numbers_and_texts_has_no_figure():
    """Nine answers of ten were the text "n/a", and the gate looked at the number that was left."""
    result, numbers = scores([1.0, *["n/a"] * 9]), scores([0.5] * 10)
    estimate = result.summary().metrics["m"]

    assert (estimate.kind, estimate.n, estimate.value, estimate.low, estimate.max) == ("mixed", 10, None, None, None)
    for expression in ("m >= 0.9", "m.low >= 0", "m.max >= 1", "m.delta >= 0", "m.regressed == 0", "m.p <= 1"):
        (reason,) = result.check(expression, baseline=numbers).reasons
        assert "it is mixed" in reason
    assert result.check("m.n == 10", "m[n/a] == 90%".replace("n/a", '"n/a"')).passed
    assert "1 number beside the texts" in render_text(report_of(result))
    assert "mixed" in numbers.check("m.regressed == 0", baseline=result).reasons[0]
    assert "none is regressed" in scores(["a"]).check("m.regressed == 0", baseline=scores(["b"])).reasons[0]


def test_a_label_that_no_item_has_is_taken_for_misspelt():
    result = scores(["rude", "warm", "warm"], name="tone")

    assert result.check("tone[rud] <= 1%").reasons == ["tone[rud] <= 1%: no item has the label 'rud'; there are warm, rude"]
    assert not result.check("tone[rud].n == 0").passed
    assert not result.check("tone[rud].delta <= 0", baseline=result).passed


def test_run_evaluations_are_checked_by_their_value():
    evaluations = [("mean m", 0.75), ("verdict", "good"), ("none", None), ("twice", 1), ("twice", 2), ("m", 5.0)]
    made = [Evaluation(name=name, value=value) for name, value in evaluations]
    result = scores([1.0]).replaced(run_evaluations=made)

    assert value_of(result, '"mean m" >= 0.7') == 0.75
    assert value_of(result, "verdict[good] == 1") == 1.0
    assert value_of(result, "m >= 1") == 1.0, "the items' metric comes first"
    reasons = {
        '"mean m".low >= 0': "a run evaluation has a value alone, no low",
        "verdict >= 0": "it is the text 'good'",
        "verdict[bad] <= 0": "it is good",
        "none >= 0": "it has no value",
        "twice >= 0": "there are 2 run evaluations of that name",
        "other >= 0": "there is no metric 'other'; there are m, mean m, verdict, none, twice",
    }
    assert result.check(*reasons).reasons == [f"{expression}: {reason}" for expression, reason in reasons.items()]


def test_a_hundred_thousand_signs_are_read_in_linear_time():
    for expression in ('"' * 100_000, "a." * 50_000, "\\" * 100_000, " " * 100_000 + "x", '"' + "\\" * 100_000):
        with pytest.raises(ArgumentError):
            scores([1]).check(expression)


def test_the_published_runs_as_a_gate():
    candidate, baseline = published("175b_verification"), published("6b_verification")

    report = candidate.check("accuracy >= 0.55", "accuracy.delta.low > 0", "accuracy.low >= 0.55", baseline=baseline)

    assert report.reasons == ["accuracy.low >= 0.55: it is 0.536"]
