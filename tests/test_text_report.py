"""The text report: one result in full, a line about it, a table of several, and the figures they print."""

from __future__ import annotations

import pytest

from interactiveai_eval.item_result import ExperimentItemResult
from interactiveai_eval.model import (
    DeliveryReport,
    Evaluation,
    EvaluatorFailure,
    EvaluatorStats,
    ItemFailure,
)
from interactiveai_eval.reporting.statistics import estimate_of, wilson_interval
from interactiveai_eval.reporting.text import comparison_table, encodable
from interactiveai_eval.result import ExperimentResult
from interactiveai_eval.tally import MetricTally, RunTally

RULE = "\u2500" * 50


def row(index, evaluations=(), *, item=None, output="Paris", **fields):
    return ExperimentItemResult(
        index=index,
        item={"input": "France", "expected_output": "Paris"} if item is None else item,
        output=output,
        evaluations=[Evaluation(name=name, value=value) for name, value in evaluations],
        trace_id=None,
        dataset_run_id=None,
        **fields,
    )


def result_of(*rows, name="Capital Cities", run_name="", **fields):
    fields.setdefault("run_evaluations", [])
    return ExperimentResult(name=name, run_name=run_name, item_results=list(rows), **fields)


def accuracy_of(right, n, **fields):
    return result_of(*[row(index, [("accuracy", index < right)]) for index in range(n)], **fields)


def test_the_report_of_a_run_in_one_look():
    """TRAPS D01: real line breaks, and a rate for booleans."""
    assert accuracy_of(85, 100).format() == (
        f"{RULE}\n"
        "\U0001f4ca Capital Cities\n"
        "100 items\n"
        "Evaluations:\n"
        "  \u2022 accuracy\n"
        "Average Scores:\n"
        "  \u2022 accuracy: 0.850"
    )


def test_a_run_without_evaluations_has_no_empty_sections():
    """TRAPS D01: the heading of the averages was printed over nothing."""
    assert result_of(row(0)).format() == f"{RULE}\n\U0001f4ca Capital Cities\n1 item"
    assert result_of().format() == f"{RULE}\n\U0001f4ca Capital Cities\n0 items"


def test_every_section_that_has_something_to_say():
    result = result_of(
        row(0, [("tone", "warm"), ("length", 5)]),
        row(1, [("length", 7.5), ("tone", "cold"), ("accuracy", None)]),
        run_name="try 7",
        description="Which city\nis it?",
        item_failures=[
            ItemFailure(index=3, item={}, stage="timeout", error_type="TimeoutError", message="no answer\nafter 5 s")
        ],
        run_evaluations=[
            Evaluation(name="mean_length", value=6.25, comment="of two"),
            Evaluation(name="ok", value=True),
        ],
        run_evaluator_failures=[EvaluatorFailure(evaluator="trend", error_type="KeyError", message="'x'")],
        evaluator_stats=[
            EvaluatorStats(name="tone", total_runs=2, successful_runs=2),
            EvaluatorStats(name="judge", total_runs=2, failed_runs=2, error_summary={"KeyError": 1, "OSError": 1}),
        ],
        delivery=DeliveryReport(by_kind={"scores": {"acknowledged": 4, "rejected": 1}}),
        completed=False,
        dataset_run_url="https://example.test/run",
    )

    assert result.format() == (
        f"{RULE}\n"
        "\U0001f4ca Capital Cities\n"
        "Run name: try 7\n"
        "Which city is it?\n"
        "3 items, 1 failed\n"
        "Incomplete: the run stopped before all items were done\n"
        "Evaluations:\n"
        "  \u2022 tone\n"
        "  \u2022 length\n"
        "  \u2022 accuracy\n"
        "Average Scores:\n"
        "  \u2022 length: 6.250\n"
        "Labels:\n"
        "  \u2022 tone: warm 1, cold 1\n"
        "Run Evaluations:\n"
        "  \u2022 mean_length: 6.250\n"
        "    \U0001f4ad of two\n"
        "  \u2022 ok: True\n"
        "  \u2022 trend: KeyError: 'x'\n"
        "Failed Items:\n"
        "  \u2022 Item 4 (timeout): TimeoutError: no answer after 5 s\n"
        "Failed Evaluators:\n"
        "  \u2022 judge: 2 of 2 calls (KeyError 1, OSError 1)\n"
        "Delivery:\n"
        "  \u2022 4 acknowledged, 0 pending, 1 rejected, 0 skipped\n"
        "  \u2022 1 not delivered (1 score)\n"
        "\U0001f517 Dataset Run:\n"
        "   https://example.test/run"
    )


def test_items_are_shown_on_request():
    first = row(0, [("accuracy", True)]).replaced(
        evaluations=[Evaluation(name="accuracy", value=1.0, comment="well done"), Evaluation(name="exact", value=True)],
        trace_id="ab" * 16,
    )
    second = row(
        2,
        item={"input": {"q": "Italy", "hint": "caf\u00e9"}},
        output="Rome,\nI think",
        evaluator_failures=[EvaluatorFailure(evaluator="judge", error_type="KeyError", message="'x'")],
    )

    assert result_of(first, second).format(include_item_results=True).split(RULE)[0] == (
        "1. Item 1:\n"
        "   Input:    France\n"
        "   Expected: Paris\n"
        "   Actual:   Paris\n"
        "   Scores:\n"
        "     \u2022 accuracy: 1.000\n"
        "       \U0001f4ad well done\n"
        "     \u2022 exact: True\n"
        f"   Trace:    {'ab' * 16}\n"
        "\n"
        "3. Item 3:\n"
        '   Input:    {"q": "Italy", "hint": "caf\u00e9"}\n'
        "   Actual:   Rome,\n"
        "             I think\n"
        "   Failed Evaluators:\n"
        "     \u2022 judge: KeyError: 'x'\n"
        "\n"
    )


def test_repetitions_of_an_item_are_told_apart():
    text = result_of(row(0), row(0, repetition=1)).format(include_item_results=True)

    assert [line for line in text.split("\n") if line.startswith("1.")] == ["1. Item 1:", "1. Item 1, repetition 2:"]


def test_results_made_by_hand_are_numbered_by_their_place():
    """The reference's results know no index; programs that build them leave it out."""
    text = result_of(row(0), row(0)).format(include_item_results=True)

    assert "1. Item 1:" in text
    assert "2. Item 2:" in text


class ItemObject:
    input = "France"
    expected_output = "Paris"


class AngryItem:
    @property
    def input(self):
        raise RuntimeError("no")


def test_items_may_be_objects_even_angry_ones():
    text = result_of(row(0, item=ItemObject()), row(1, item=AngryItem())).format(include_item_results=True)

    assert "   Input:    France\n   Expected: Paris\n" in text
    assert "2. Item 2:\n   Actual:   Paris" in text


def test_only_the_first_failures_are_listed_unless_items_are_asked_for():
    failures = [ItemFailure(index=i, item={}, stage="task", error_type="E", message=f"m{i}") for i in range(25)]
    result = result_of(item_failures=failures)

    assert "  \u2022 Item 10 (task): E: m9\n  \u2022 15 more" in result.format()
    assert "  \u2022 Item 25 (task): E: m24" in result.format(include_item_results=True)


def test_an_average_over_a_part_says_of_how_many():
    result = result_of(row(0, [("length", 4)]), row(1, [("length", None)]), row(2))

    assert "  \u2022 length: 4.000 (of 1 value)" in result.format()


def test_results_that_were_not_kept_print_their_figures():
    kept = accuracy_of(2, 4)
    tally = RunTally()
    for result in kept.item_results:
        tally.add_result(result.evaluations)

    assert result_of(tally=tally).format() == kept.format()


def test_what_the_data_says_cannot_steer_the_terminal():
    """Escape sequences, a bell, a return, a reversed text, a C1 control, a line separator, a lone surrogate."""
    nasty = "a\x1b[31mb\x07c\rd\u202ee\x9bf\u2028g\ud800h"
    result = result_of(
        row(0, [(nasty, nasty)], item={"input": nasty}, output=nasty), name=nasty, run_name=nasty, description=nasty
    )

    text = result.format(include_item_results=True) + str(result) + comparison_table([result])

    assert [sign for sign in text if sign != "\n" and not sign.isprintable()] == []
    assert "a<U+001B>[31mb<U+0007>c<U+000D>d<U+202E>e<U+009B>f<U+2028>g<U+D800>h" in text
    assert text.encode("utf-8")


def test_no_control_character_reaches_the_terminal():
    controls = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"]

    text = result_of(row(0, output="|".join(controls))).format(include_item_results=True)

    assert "|".join(f"<U+{ord(control):04X}>" for control in controls) in text


def test_what_the_data_says_cannot_forge_a_line():
    forged = f"x\n{RULE}\n\U0001f4ca Fake\n1 item"

    lines = result_of(
        row(0, [(forged, forged)], item={"input": forged}, output=forged), name=forged, description=forged
    ).format(include_item_results=True)

    assert [line for line in lines.split("\n") if line.startswith((RULE, "1 item", "\U0001f4ca"))] == [
        RULE,
        f"\U0001f4ca x {RULE} \U0001f4ca Fake 1 item",
        "1 item",
    ]


def test_long_values_are_cut_with_a_mark():
    text = result_of(row(0, output="x" * 1_234_567)).format(include_item_results=True)

    assert "x \u2026 [1,233,567 more characters]" in text
    assert len(text) < 2000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"),
        (0, "0.000"),
        (-0.12345, "-0.123"),
        (0.00012, "0.00012"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (3e20, "3e+20"),
        (-(10**400), "-1e400"),
        ("\ud800 x\ny", "<U+D800> x y"),
        (None, "\u2013"),
    ],
)
def test_every_score_has_a_short_text(value, text):
    shown = result_of(row(0, [("m", value)])).format(include_item_results=True)

    assert f"     \u2022 m: {text}\n" in shown


def test_several_results_side_by_side():
    results = [accuracy_of(742, 1319, name="175b"), accuracy_of(1, 4, name="\u5c0f")]

    assert comparison_table(results) == (
        "Experiment      n  failed  accuracy  95 % interval\n"
        f"{RULE[:10]}  {RULE[:5]}  {RULE[:6]}  {RULE[:8]}  {RULE[:13]}\n"
        "175b        1,319       0     0.563  0.536 - 0.589\n"
        "\u5c0f              4       0     0.250  0.046 - 0.699"
    )


def test_a_table_has_a_column_for_each_metric_and_a_dash_where_there_is_none():
    failure = ItemFailure(index=1, item={}, stage="task", error_type="E", message="m")
    results = [
        result_of(row(0, [("length", 3)]), name="a"),
        result_of(row(0, [("ok", False)]), item_failures=[failure], name="b"),
    ]

    assert comparison_table(results).split("\n") == [
        "Experiment  n  failed  length     ok  95 % interval",
        f"{RULE[:10]}  \u2500  {RULE[:6]}  {RULE[:6]}  {RULE[:5]}  {RULE[:13]}",
        "a           1       0   3.000      -              -",
        "b           2       1       -  0.000  0.000 - 0.793",
    ]


def test_experiments_of_one_name_are_told_apart_by_their_run():
    table = comparison_table([accuracy_of(1, 2, run_name="monday"), accuracy_of(2, 2, run_name="tuesday")])

    assert [line.split()[0] for line in table.split("\n")[2:]] == ["monday", "tuesday"]


def test_a_stream_without_our_signs_gets_others():
    text = f"{RULE[:2]} \u2022 \u2026 \U0001f517 caf\u00e9 \u65e5"

    assert encodable(text, "utf-8") == text
    assert encodable(text, "latin-1") == "-- * ... -> caf\u00e9 \\u65e5"
    assert encodable(text, "ascii") == encodable(text, None) == "-- * ... -> caf\\xe9 \\u65e5"


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_those_of_the_literature(right, n, low, high):
    """Source: Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3."""
    assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_intervals_stay_inside_and_are_mirrored():
    for n in (1, 7, 1000):
        assert wilson_interval(0, n)[0] == 0.0
        assert wilson_interval(n, n)[1] == 1.0
        low, high = wilson_interval(n // 3, n)
        assert wilson_interval(n - n // 3, n) == pytest.approx((1 - high, 1 - low))
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_an_estimate_knows_what_kind_of_metric_it_is():
    tally = MetricTally("m")
    for value in (True, False, True, None, float("nan")):
        tally.add(value)

    estimate = estimate_of(tally)

    assert (estimate.kind, estimate.n, estimate.missing) == ("boolean", 3, 2)
    assert (estimate.low, estimate.value, estimate.high) == pytest.approx((0.2077, 2 / 3, 0.9385), abs=1e-4)
    tally.add(0.5)
    assert (estimate_of(tally).kind, estimate_of(tally).value, estimate_of(tally).low) == ("mixed", 0.625, None)
