"""Our figures against SciPy's and statsmodels', on random data; CI runs this where they are installed."""
from __future__ import annotations

import random

import pytest

numpy = pytest.importorskip("numpy")
stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")
proportion = pytest.importorskip("statsmodels.stats.proportion")
contingency = pytest.importorskip("statsmodels.stats.contingency_tables")

from interactiveai_eval.reporting.resampling import bootstrap_interval, permutation_p  # noqa: E402
from interactiveai_eval.reporting.statistics import (  # noqa: E402
    incomplete_beta,
    mean_and_stdev,
    quantile,
    t_interval,
    t_quantile_95,
    wilson_interval,
)

from .judged import scores  # noqa: E402


@pytest.fixture
def source():
    return random.Random(20260101)


def numbers_of(source, n):
    kind = source.randrange(4)
    if kind == 0:
        return [source.gauss(0, 1) for _ in range(n)]
    if kind == 1:
        return [source.lognormvariate(3, 2) for _ in range(n)]
    if kind == 2:
        return [float(source.randrange(6)) for _ in range(n)]
    return [1e9 + source.random() for _ in range(n)]


def test_wilson_intervals(source):
    for _ in range(300):
        n = source.randrange(1, 5000)
        right = source.randrange(n + 1)
        assert wilson_interval(right, n) == pytest.approx(
            proportion.proportion_confint(right, n, method="wilson"), abs=1e-12
        )


def test_the_incomplete_beta_function(source):
    for _ in range(500):
        a, b = (10 ** source.uniform(-1, 4) for _ in range(2))
        x = source.random()
        assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-14)


def test_students_t():
    for degrees in [*range(1, 60), 99, 1000, 12_345, 10**6]:
        assert t_quantile_95(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)


def test_means_deviations_and_their_intervals(source):
    for _ in range(200):
        numbers = numbers_of(source, source.randrange(2, 400))
        mean, stdev = mean_and_stdev(numbers)
        exact = numpy.array(numbers, dtype=numpy.longdouble)
        assert mean == pytest.approx(float(exact.mean()), rel=1e-14)
        assert stdev == pytest.approx(float(exact.std(ddof=1)), rel=1e-9)
        if stdev:
            wanted = stats.t.interval(0.95, len(numbers) - 1, loc=mean, scale=stats.sem(exact).astype(float))
            assert t_interval(mean, stdev, len(numbers)) == pytest.approx(wanted, rel=1e-9)


def test_quantiles(source):
    for _ in range(200):
        ordered = sorted(numbers_of(source, source.randrange(1, 300)))
        for share in (0.0, 0.5, 0.9, 1.0, source.random()):
            assert quantile(ordered, share) == pytest.approx(float(numpy.quantile(ordered, share)), rel=1e-12)


def test_exact_permutation_tests(source):
    """As SciPy's `permutation_test` of paired samples, which looks at all sign changes too."""

    def mean_difference(x, y, axis):
        return numpy.mean(x - y, axis=axis)

    for _ in range(25):
        n = source.randrange(2, 11)
        ours, theirs = numbers_of(source, n), numbers_of(source, n)
        wanted = stats.permutation_test(
            (ours, theirs), mean_difference, permutation_type="samples", vectorized=True, n_resamples=2**n
        )
        found = permutation_p([x - y for x, y in zip(ours, theirs)], seed=0)
        assert found == pytest.approx(wanted.pvalue, abs=1e-12)


def test_random_permutation_tests_come_near_to_the_exact_one(source):
    """12 pairs can be looked at in full; 40 with the same outcomes repeated are drawn on both sides."""

    def mean_difference(x, y, axis):
        return numpy.mean(x - y, axis=axis)

    for _ in range(5):
        ours, theirs = ([source.gauss(shift, 1) for _ in range(40)] for shift in (0.25, 0.0))
        wanted = stats.permutation_test(
            (ours, theirs), mean_difference, permutation_type="samples", vectorized=True, n_resamples=20_000, rng=1
        )
        found = permutation_p([x - y for x, y in zip(ours, theirs)], seed=1)
        assert found == pytest.approx(wanted.pvalue, abs=0.02)


def test_passes_and_failures_against_mcnemars_exact_test(source):
    for _ in range(100):
        up, down = source.randrange(60), source.randrange(60)
        if up + down:
            wanted = contingency.mcnemar([[0, up], [down, 0]], exact=True).pvalue
            assert permutation_p([1.0] * up + [-1.0] * down, seed=0) == pytest.approx(wanted, rel=1e-9)


def test_paired_intervals(source):
    for _ in range(100):
        n = source.randrange(3, 120)
        ours = [source.gauss(1, 2) for _ in range(n)]
        theirs = [value + source.gauss(0.1, 0.5) for value in ours]
        found = scores(ours).compare(scores(theirs)).metrics["m"]
        wanted = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-9)


def test_bootstrap_intervals(source):
    for _ in range(3):
        numbers = [source.lognormvariate(0, 1) for _ in range(80)]
        wanted = stats.bootstrap((numbers,), numpy.mean, method="percentile", n_resamples=5_000, rng=2).confidence_interval
        width = wanted.high - wanted.low
        assert bootstrap_interval(numbers, seed=3) == pytest.approx((wanted.low, wanted.high), abs=0.1 * width)
