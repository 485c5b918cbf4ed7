"""Figures of metrics: right for any numbers, with intervals, repetitions counted once."""
from __future__ import annotations

import math
import sys

import pytest

from interactiveai_eval import ArgumentError
from interactiveai_eval.reporting.resampling import bootstrap_interval, permutation_p
from interactiveai_eval.reporting.statistics import (
    histogram,
    incomplete_beta,
    mean_and_stdev,
    quantile,
    t_quantile_95,
)
from interactiveai_eval.tally import MetricTally, RunTally

from .judged import failed, result_of, row, scores

MOST = sys.float_info.max


def test_the_figures_of_a_rate():
    metric = scores([True] * 81 + [False] * 182).summary().metrics["m"]

    assert (metric.kind, metric.n, metric.missing, metric.interval) == ("boolean", 263, 0, "wilson")
    assert (metric.value, metric.low, metric.high) == pytest.approx((0.308, 0.2553, 0.3662), abs=5e-5)
    assert metric.stdev == pytest.approx(math.sqrt(81 * 182 / (263 * 262)))
    assert metric.stderr == pytest.approx(metric.stdev / math.sqrt(263))
    assert (metric.min, metric.p50, metric.p90, metric.max) == (0.0, 0.0, 1.0, 1.0)


def test_the_figures_of_numbers():
    metric = scores([5.1, 4.9, 4.7, 4.6, 5.0]).summary().metrics["m"]

    assert (metric.kind, metric.n, metric.interval) == ("numeric", 5, "t")
    assert (metric.value, metric.stdev) == pytest.approx((4.86, 0.2073644135332772))
    # 2.776445105 is the 0.975 quantile for four degrees of freedom.
    spread = 2.7764451051977987 * 0.2073644135332772 / math.sqrt(5)
    assert (metric.low, metric.high) == pytest.approx((4.86 - spread, 4.86 + spread), rel=1e-12)
    assert (metric.p50, metric.p90, metric.max) == (4.9, pytest.approx(5.06), 5.1)


def test_labels_have_shares_and_nothing_to_average():
    metric = scores(["warm", "cold", "warm", None, "warm"]).summary().metrics["m"]

    assert (metric.kind, metric.n, metric.missing, metric.value, metric.low) == ("categorical", 4, 1, None, None)
    assert list(metric.shares.items()) == [("warm", 0.75), ("cold", 0.25)]


def test_what_is_no_usable_value_is_missing():
    """None, NaN, infinities, an integer beyond all floats, and an item that the evaluator failed on."""
    values = [1.0, None, math.nan, math.inf, 10**400, 3.0]
    metric = result_of(*scores(values).item_results, row(6)).summary().metrics["m"]

    assert (metric.n, metric.missing, metric.value) == (2, 5, 2.0)


def test_one_value_has_no_spread_and_none_has_no_figures():
    one, none = scores([7.5]).summary().metrics["m"], scores([None]).summary().metrics["m"]

    assert (one.value, one.p50, one.stdev, one.stderr, one.low, one.interval) == (7.5, 7.5, None, None, None, None)
    assert (none.kind, none.n, none.missing, none.value, none.p50) == ("empty", 0, 1, None, None)
    assert result_of().summary().metrics == {} and result_of().summary().failure_rate == 0.0


@pytest.mark.parametrize(
    ("numbers", "mean", "stdev"),
    [
        ([0.1] * 3, 0.1, 0.0),
        ([MOST] * 5, MOST, 0.0),
        ([MOST, MOST / 2], MOST * 0.75, MOST / 4 * math.sqrt(2)),
        ([MOST, -MOST], 0.0, math.inf),
        ([1e-310, 3e-310], 2e-310, 1e-310 * math.sqrt(2)),
        ([1e9 + 1, 1e9 + 2, 1e9 + 3], 1e9 + 2, 1.0),
        ([1e16, 1e16 + 2, 1e16 + 4], 1e16 + 2, 2.0),
        ([5e-324, 0.0], 0.0, 5e-324),
    ],
)
def test_no_size_of_numbers_is_too_much(numbers, mean, stdev):
    """Sums do not overflow, squares neither, digits do not cancel, equal numbers have exactly their own mean."""
    found = mean_and_stdev(numbers)

    assert found == (pytest.approx(mean, rel=1e-13, abs=0), pytest.approx(stdev, rel=1e-9, abs=1e-323))


def test_failures_are_a_rate_of_their_own():
    summary = result_of(row(0, {"m": 1}), row(1, {"m": 0}), item_failures=[failed(2), failed(3)]).summary()

    assert (summary.given, summary.failed, summary.failure_rate) == (4, 2, 0.5)
    assert (summary.metrics["m"].n, summary.metrics["m"].missing) == (2, 0)


def repeated(*items, name="m"):
    """A result in which each item has several repetitions."""
    rows = [
        row(index, {name: value}, repetition=repetition, item_id=str(index))
        for index, values in enumerate(items)
        for repetition, value in enumerate(values)
    ]
    return result_of(*rows)


T, F = True, False


def test_repetitions_count_as_one_item_each():
    """Ten repetitions of two items are two items, not twenty: the interval says how little is known."""
    metric = repeated([T] * 10, [F] * 10).summary().metrics["m"]

    assert (metric.n, metric.value, metric.interval, metric.unstable) == (2, 0.5, "wilson", 0.0)
    assert (metric.low, metric.high) == pytest.approx((0.0945, 0.9055), abs=1e-4)


@pytest.mark.parametrize(
    ("reduce", "values"),
    [
        ("mean", [1.0, 0.75, 0.5, 0.0]),
        ("median", [1.0, 1.0, 0.5, 0.0]),
        ("majority", [1.0, 1.0, 0.0, 0.0]),
        ("pass_at(1)", [1.0, 0.75, 0.5, 0.0]),
        ("pass_at(2)", [1.0, 1.0, 5 / 6, 0.0]),
        ("pass_all(2)", [1.0, 0.5, 1 / 6, 0.0]),
        (" pass_all( 4 ) ", [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_how_repetitions_become_one_value(reduce, values):
    """pass_at: one minus the share of k of the four that all fail; pass_all: the share of k that all pass."""
    result = repeated([T, T, T, T], [T, T, T, F], [T, F, T, F], [F, F, F, F])

    metric = result.summary(reduce=reduce).metrics["m"]

    assert metric.value == pytest.approx(sum(values) / 4)
    assert (metric.n, metric.max, metric.unstable) == (4, max(values), 0.5)


def test_rates_of_repeated_items_have_an_interval_inside_0_and_1():
    metric = repeated([T, T], [T, T], [T, F]).summary().metrics["m"]

    assert (metric.kind, metric.interval, metric.high) == ("boolean", "t", 1.0)


def test_too_few_repetitions_for_k_are_missing_and_other_metrics_go_by_the_mean():
    result = repeated([T, T, T], [T, F])
    lengths = repeated([1.0, 3.0], [5.0, 5.0]).summary(reduce="pass_at(3)").metrics["m"]

    metric = result.summary(reduce="pass_at(3)").metrics["m"]

    assert (metric.n, metric.missing) == (1, 1)
    assert lengths.value == 3.5


def test_labels_of_repetitions_go_by_majority():
    metric = repeated(["a", "b", "b"], ["a", "a", "b"], ["c", "a"]).summary().metrics["m"]

    assert metric.labels == {"b": 1, "a": 1, "c": 1} and metric.unstable == 1.0


@pytest.mark.parametrize("reduce", ["max", "pass_at(0)", "pass_at", "pass_at(x)", "", None, 3])
def test_another_reduction_is_refused(reduce):
    with pytest.raises(ArgumentError, match=r"reduce=.*: must be 'mean', 'median', 'majority', 'pass_at"):
        scores([1]).summary(reduce=reduce)


def test_another_interval_is_refused():
    with pytest.raises(ArgumentError, match="interval='wald': must be 't' or 'bootstrap'"):
        scores([1]).summary(interval="wald")


def test_a_bootstrap_is_as_its_seed_says():
    result = scores([1.0, 2.0, 2.5, 9.0, 4.0, 3.0] * 5)
    first, again = (result.summary(interval="bootstrap", seed=4).metrics["m"] for _ in range(2))

    assert first.interval == "bootstrap" and (first.low, first.high) == (again.low, again.high)
    assert first.low < first.value < first.high
    assert (first.low, first.high) != tuple(result.summary(interval="bootstrap", seed=5).metrics["m"][k] for k in ("low", "high"))
    assert first.high - first.low == pytest.approx(result.summary().metrics["m"].high - result.summary().metrics["m"].low, rel=0.15)
    assert bootstrap_interval([1.0], seed=0) is None
    low, high = bootstrap_interval([MOST, MOST / 2, MOST], seed=0)
    assert MOST / 2 <= low <= high <= MOST


def test_booleans_and_numbers_of_one_metric_are_averaged_together():
    metric = scores([True, 0.5, False]).summary().metrics["m"]

    assert (metric.kind, metric.value, metric.interval) == ("mixed", 0.5, "t")


def test_results_made_by_hand_are_items_of_their_own():
    """They have no index: two rows of index 0 are not repetitions of one item."""
    assert result_of(row(0, {"m": 1}), row(0, {"m": 3})).summary().metrics["m"].n == 2


def test_a_run_whose_results_were_not_kept_has_figures_all_the_same():
    tally = RunTally()
    for result in scores([1.5, 2.5, 8.0, None]).item_results:
        tally.add_result(result.evaluations)
    tally.add_failure()

    summary, kept = result_of(tally=tally).summary(), scores([1.5, 2.5, 8.0, None]).summary().metrics["m"]

    metric = summary.metrics["m"]
    assert (summary.given, summary.failed) == (5, 1)
    assert [metric[name] for name in ("n", "missing", "value", "min", "max")] == [3, 1, 4.0, 1.5, 8.0]
    assert (metric.stdev, metric.low, metric.high) == pytest.approx((kept.stdev, kept.low, kept.high))


def test_a_tally_keeps_the_digits_of_numbers_that_lie_close():
    tally = MetricTally("m")
    for value in (1e9 + 1, 1e9 + 2, 1e9 + 3):
        tally.add(value)

    assert tally.stdev == pytest.approx(1.0)
    assert MetricTally("m").stdev is None
    tally.add(1e200)
    assert tally.stdev is None, "beyond what a float can hold"


def test_quantiles_and_histograms():
    assert [quantile([1.0, 2.0, 4.0], share) for share in (0, 0.25, 0.5, 0.9, 1)] == pytest.approx([1, 1.5, 2, 3.6, 4])
    assert quantile([-MOST, MOST], 0.5) == 0.0
    assert histogram([0.0, 0.1, 0.5, 1.0], 2) == [(0.0, 0.5, 2), (0.5, 1.0, 2)]
    assert histogram([3.0, 3.0], 4) == [(3.0, 3.0, 2)]
    assert histogram([], 4) == []
    assert sum(count for _, _, count in histogram([-MOST, MOST, 1.0], 10)) == 3


def test_every_number_is_in_the_part_whose_edges_hold_it():
    numbers = [place / 7 for place in range(-100, 100)]

    for low, high, count in histogram(numbers, 9)[:-1]:
        assert count == sum(low <= number < high for number in numbers)


@pytest.mark.parametrize(
    ("degrees", "value"),
    [(1, 12.706204736), (2, 4.30265273), (10, 2.228138852), (30, 2.042272456), (1000, 1.962339081), (10**7, 1.959964222)],
)
def test_students_t_is_that_of_the_tables(degrees, value):
    assert t_quantile_95(degrees) == pytest.approx(value, abs=5e-9)


def test_the_incomplete_beta_function_at_known_points():
    assert incomplete_beta(2, 3, 0.5) == pytest.approx(0.6875, abs=1e-15)
    assert incomplete_beta(1, 1, 0.25) == pytest.approx(0.25, abs=1e-15)
    assert (incomplete_beta(2, 3, 0.0), incomplete_beta(2, 3, 1.0)) == (0.0, 1.0)
    assert incomplete_beta(0.5, 0.5, 0.5) == pytest.approx(0.5, abs=1e-14)


# -- the permutation test ----------------------------------------------------------------------------------------------


def test_a_permutation_test_of_few_pairs_looks_at_all_exchanges():
    """Five differences up: one of 32 ways is as large, and its mirror image."""
    assert permutation_p([1.0, 2.0, 3.0, 4.0, 5.0], seed=0) == 2 / 32
    assert permutation_p([1.0, -1.5], seed=0) == 1.0
    assert permutation_p([], seed=0) == permutation_p([0.0, 0.0], seed=0) == 1.0


def test_passes_and_failures_are_mcnemars_exact_test():
    """Source: the binomial distribution: 2 * (1 + 10 + 45) / 2**10 for 2 of 10."""
    assert permutation_p([1.0] * 8 + [-1.0] * 2 + [0.0] * 50, seed=0) == pytest.approx(112 / 1024)
    assert permutation_p([0.5] * 4 + [-0.5] * 4, seed=0) == 1.0
    assert permutation_p([1.0] * 5, seed=0) == 1 / 16 and permutation_p([1.0] * 6 + [-1.0], seed=0) == 16 / 128
    assert permutation_p([1.0] * 1_000, seed=0) == 2.0**-999
    for up, down in ((530, 470), (531, 470)):  # counted, and by the beta function
        n = up + down
        exact = 2 * sum(math.comb(n, k) for k in range(down + 1)) / 2**n
        assert permutation_p([1.0] * up + [-1.0] * down, seed=0) == pytest.approx(exact, rel=1e-9)
    assert 0 < permutation_p([1.0] * 40_000 + [-1.0] * 39_000, seed=0) < 0.001


def test_many_pairs_are_exchanged_at_random_as_the_seed_says():
    differences = [math.sin(place) + 0.2 for place in range(60)]

    p = permutation_p(differences, seed=1)

    assert p == permutation_p(differences, seed=1)
    assert p == pytest.approx(permutation_p(differences, seed=2), abs=0.02)
    assert permutation_p([abs(each) for each in differences], seed=1) == pytest.approx(1 / 10_001)


def test_very_many_pairs_need_no_drawing():
    """5,001 pairs: what is drawn for the first 5,000 of them is hardly another figure."""
    differences = [math.sin(place * 1.7) + 0.02 for place in range(5001)]

    assert permutation_p(differences, seed=1) == permutation_p(differences, seed=2)
    assert permutation_p(differences, seed=1) == pytest.approx(permutation_p(differences[:5000], seed=1), abs=0.01)
    # One pair outweighs all others: the sum is as large when the rest of it happens to be, which is no bell of 1e9.
    assert permutation_p([1e9, *differences], seed=1) == pytest.approx(0.0228, abs=0.006)


def test_sums_that_are_equal_but_for_rounding_count_as_equal():
    """0.1 + 0.2 - 0.3 is not zero in floats; the exact answer is that every way is as large as nothing."""
    assert permutation_p([0.1, 0.2, -0.3], seed=0) == 1.0
    assert permutation_p([MOST, -MOST, MOST / 2], seed=0) == 1.0
