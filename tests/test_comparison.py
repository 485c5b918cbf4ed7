"""A result against a baseline: paired by item, with intervals and p values, and what became of each item."""
from __future__ import annotations

import pytest

from interactiveai_eval import ArgumentError

from .judged import failed, published, result_of, row, scores


def statuses(comparison):
    return [(change.item_id, change.status) for change in comparison.changes]


def test_rates_are_compared_item_by_item():
    candidate, baseline = scores([1, 1, 1, 1, 0, 0], name="ok"), scores([0, 0, 0, 1, 1, 0], name="ok")

    comparison = candidate.compare(baseline)

    metric = comparison.metrics["ok"]
    assert (metric.n, metric.value, metric.baseline) == (6, pytest.approx(4 / 6), pytest.approx(2 / 6))
    assert metric.delta == pytest.approx(1 / 3)
    # A third of 2.5706, Student's t for five degrees of freedom, to both sides.
    assert (metric.low, metric.high) == pytest.approx((-0.5235273, 1.1901939), abs=1e-6)
    assert metric.p == pytest.approx(0.625)
    assert (metric.improved, metric.regressed, metric.equal, metric.verdict) == (3, 1, 2, "")
    assert comparison.counts == {"improved": 3, "equal": 2, "regressed": 1}


def test_a_difference_of_rates_is_between_minus_one_and_one_and_so_is_its_interval():
    """Three items: Student's t for two degrees of freedom reaches from -2.10 to 0.77."""
    rates = scores([False, False, True]).compare(scores([True, True, True])).metrics["m"]
    numbers = scores([0, 0, 1]).compare(scores([1, 1, 1])).metrics["m"]

    assert (rates.delta, rates.low, rates.high) == pytest.approx((-2 / 3, -1.0, 0.767551))
    assert (numbers.low, numbers.high) == pytest.approx((-2.100884, 0.767551))


def test_items_are_paired_by_id_whatever_their_order():
    candidate = result_of(row(0, {"m": 5}, item_id="b"), row(1, {"m": 1}, item_id="a"), row(2, {"m": 9}, item_id="new"))
    baseline = result_of(row(0, {"m": 1}, item_id="a"), row(1, {"m": 2}, item_id="b"), row(2, {"m": 3}, item_id="gone"))

    comparison = candidate.compare(baseline)

    assert statuses(comparison) == [("b", "improved"), ("a", "equal"), ("new", "added"), ("gone", "removed")]
    change = comparison.changes[0]
    assert (change.place, change.baseline_place, change.deltas, change.changes) == (0, 1, {"m": 3.0}, {"m": (2.0, 5.0)})
    assert (comparison.paired, comparison.metrics["m"].n) == (2, 2)
    assert [c.baseline_place for c in comparison.with_status("removed")] == [2]


def test_items_of_one_id_are_told_apart_by_their_order():
    """Local items of equal input have one id: it is derived from the input."""
    candidate = result_of(*[row(index, {"m": value}, item_id="same") for index, value in enumerate([1, 5, 3])])
    baseline = result_of(*[row(index, {"m": value}, item_id="same") for index, value in enumerate([1, 2])])

    assert statuses(candidate.compare(baseline)) == [("same", "equal"), ("same", "improved"), ("same", "added")]


def test_items_without_ids_are_paired_by_place():
    comparison = result_of(row(0, {"m": 1}), row(1, {"m": 2})).compare(result_of(row(0, {"m": 1}), row(1, {"m": 3})))

    assert [change.status for change in comparison.changes] == ["equal", "regressed"]


def test_failures_have_statuses_of_their_own():
    candidate = result_of(
        row(0, {"m": 1}, item_id="a"),
        row(2, {"m": 1}, item_id="c"),
        item_failures=[failed(1, item_id="b"), failed(3, item_id="d")],
    )
    baseline = result_of(
        row(0, {"m": 1}, item_id="a"),
        row(1, {"m": 1}, item_id="b"),
        item_failures=[failed(2, item_id="c"), failed(3, item_id="d")],
    )

    comparison = candidate.compare(baseline)

    assert statuses(comparison) == [("a", "equal"), ("b", "newly failing"), ("c", "recovered"), ("d", "failing")]
    assert (comparison.failure_rate, comparison.baseline_failure_rate) == (0.5, 0.5)
    metric = comparison.metrics["m"]
    assert (metric.n, metric.lost, metric.gained) == (1, 1, 1)


def test_small_differences_can_be_called_equal():
    candidate, baseline = scores([0.50, 0.60, 0.70]), scores([0.51, 0.50, 0.70])

    assert candidate.compare(baseline).counts == {"regressed": 1, "improved": 1, "equal": 1}
    assert candidate.compare(baseline, tolerance=0.02).counts == {"improved": 1, "equal": 2}
    for tolerance in (-1, float("nan"), float("inf"), True, "0.1"):
        with pytest.raises(ArgumentError, match=r"tolerance=.*: must be a number from 0"):
            candidate.compare(baseline, tolerance=tolerance)


def test_less_can_be_better():
    candidate, baseline = scores([1.0, 2.0] * 6, name="cost"), scores([2.0, 3.5] * 6, name="cost")

    plain, turned = candidate.compare(baseline), candidate.compare(baseline, lower_is_better=["cost"])

    assert (plain.metrics["cost"].regressed, plain.metrics["cost"].verdict) == (12, "worse")
    assert (turned.metrics["cost"].improved, turned.metrics["cost"].verdict) == (12, "better")
    assert turned.metrics["cost"].delta == -1.25
    with pytest.raises(ArgumentError, match="lower_is_better='price': is no metric; there are cost"):
        candidate.compare(baseline, lower_is_better=["price"])


def test_labels_change_and_their_shares_shift():
    comparison = scores(["a", "a", "b", "c"]).compare(scores(["a", "b", "b", "b"]))

    metric = comparison.metrics["m"]
    assert (metric.delta, metric.p, metric.changed, metric.equal, metric.verdict) == (None, None, 2, 2, "changed")
    assert metric.labels == {"a": 0.25, "b": -0.5, "c": 0.25}
    assert comparison.counts == {"equal": 2, "changed": 2}


def test_an_item_that_is_better_and_worse_has_regressed():
    candidate = result_of(row(0, {"a": 1, "b": 0}, item_id="x"))
    baseline = result_of(row(0, {"a": 0, "b": 1}, item_id="x"))

    assert statuses(candidate.compare(baseline)) == [("x", "regressed")]


def test_metrics_of_one_side_are_named_with_what_they_lack():
    comparison = scores([1, 2], name="new").compare(scores([1, 2], name="old"))

    assert [(m.name, m.n, m.delta, m.lost, m.gained) for m in comparison.metrics.values()] == [
        ("new", 0, None, 0, 2),
        ("old", 0, None, 2, 0),
    ]


def test_repetitions_are_reduced_before_they_are_compared():
    def twice(values):
        return result_of(*[row(0, {"m": value}, repetition=n, item_id="x") for n, value in enumerate(values)])

    comparison = twice([True, False]).compare(twice([False, False]))

    assert (comparison.metrics["m"].n, comparison.metrics["m"].delta) == (1, 0.5)
    assert comparison.metrics["m"].low is None, "one pair has no spread"


def test_nothing_and_values_at_the_end_of_floats_can_be_compared():
    most = 1.7976931348623157e308

    assert result_of().compare(result_of()).counts == {}
    assert scores([]).compare(scores([1.0])).counts == {"removed": 1}
    assert scores([most, 1.0]).compare(scores([-most, 1.0])).metrics["m"].delta == most / 2


def test_what_is_no_result_is_refused_as_a_baseline():
    for judge in (
        lambda: scores([1]).compare("baseline.json"),
        lambda: scores([1]).check("m >= 1", baseline="baseline.json"),
        lambda: scores([1]).save("report.md", baseline="baseline.json"),
    ):
        with pytest.raises(ArgumentError, match=r"baseline='baseline.json': must be a result, of a run or loaded"):
            judge()


def test_the_published_runs_differ_for_sure():
    """The worked comparison: 1,319 problems, 306 better and 79 worse."""
    metric = published("175b_verification").compare(published("6b_verification")).metrics["accuracy"]

    assert (metric.n, metric.improved, metric.regressed, metric.equal) == (1319, 306, 79, 934)
    assert (metric.value, metric.baseline) == (pytest.approx(742 / 1319), pytest.approx(515 / 1319))
    assert metric.delta == pytest.approx(227 / 1319)
    assert (metric.low, metric.high) == pytest.approx((0.1444, 0.1998), abs=5e-5)
    assert metric.p < 1e-30 and metric.verdict == "better"
