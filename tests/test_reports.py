"""Reports of one model: text, Markdown, JUnit, CSV, JSON lines, JSON, a notebook's cell and the CI action's document."""
from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from interactiveai_eval import ArgumentError, BatchEvaluationResult, DataError, Interactive
from interactiveai_eval.model import DeliveryReport, Evaluation, EvaluatorFailure, EvaluatorStats
from interactiveai_eval.reporting.action import report_to_action
from interactiveai_eval.reporting.csv_table import render_csv
from interactiveai_eval.reporting.report import report_of, report_to_document
from interactiveai_eval.reporting.report_text import Style, render_text, terminal_style
from interactiveai_eval.result import ExperimentResult

from .judged import failed, result_of, row, scores


def everything():
    """A run with something in every part of a report, and its baseline."""
    rows = [
        row(
            index,
            {"ok": index % 4 != 0, "length": float(index), "tone": "warm" if index < 6 else "cold"},
            item_id=f"q{index}",
            output=f"said {index}",
            duration_seconds=0.1 * index,
            attempts=2 if index == 1 else 1,
        )
        for index in range(8)
    ]
    rows[2] = rows[2].replaced(
        evaluator_failures=[EvaluatorFailure(evaluator="judge", error_type="KeyError", message="'x'", traceback="T")]
    )
    result = result_of(
        *rows,
        item_failures=[failed(8, item_id="q8", message="no answer\nat all"), failed(9, stage="timeout", item_id="q9")],
        run_evaluations=[Evaluation(name="total", value=28.0, comment="of lengths")],
        evaluator_stats=[EvaluatorStats(name="judge", total_runs=8, failed_runs=1, error_summary={"KeyError": 1})],
        duration_seconds=2.5,
        run_name="run 7",
        experiment_id="ab" * 16,
    )
    before = [
        each.replaced(evaluations=[Evaluation(name="ok", value=True), Evaluation(name="tone", value="warm")])
        for each in rows
    ]
    return result, result_of(*before, name="Older")


def text_of(result, width=100, signs=True, **settings):
    return render_text(report_of(result, **settings), Style(width=width, signs=signs))


# -- the model ---------------------------------------------------------------------------------------------------------


def test_the_verdict_comes_first_and_says_what_counts():
    def verdict(result, *checks):
        found = report_of(result, checks=checks).verdict
        return found.status, found.text

    good = scores([True, True])
    assert verdict(good) == ("done", "2 items went through")
    assert verdict(good, "m >= 1", "items == 2") == ("passed", "2 checks passed")
    assert verdict(good, "m < 1", "items == 2") == ("failed", "1 of 2 checks failed")
    assert verdict(good.replaced(item_failures=[failed(2)])) == ("errors", "2 items went through, 1 of 3 items failed")
    assert verdict(good.replaced(item_failures=[failed(2)]), "m >= 1", "failures < 2") == ("passed", "2 checks passed, 1 of 3 items failed")
    assert verdict(good.replaced(item_failures=[failed(2)]), "m >= 1") == (
        "failed", "1 check passed, 1 of 3 items failed, and no check says how many may",
    )  # fmt: skip
    assert verdict(good.replaced(completed=False), "m >= 1") == ("incomplete", "stopped after 2 items")
    lost = DeliveryReport(by_kind={"scores": {"rejected": 2, "pending": 1}})
    assert verdict(good.replaced(delivery=lost)) == ("errors", "2 items went through, 3 not delivered")
    assert verdict(good.replaced(delivery=lost), "m >= 1") == ("errors", "1 check passed, 3 not delivered")
    assert verdict(good.replaced(delivery=lost), "m > 1") == ("failed", "1 of 1 check failed, 3 not delivered")
    assert verdict(good.replaced(delivery=lost), "undelivered < 4") == ("passed", "1 check passed, 3 not delivered")


def test_failures_are_grouped_by_stage_and_type():
    stats = [EvaluatorStats(name="judge", total_runs=500, failed_runs=400, error_summary={"OSError": 400})]
    result = result_of(
        item_failures=[failed(n, message=f"m{n}") for n in range(7)] + [failed(9, stage="timeout")], evaluator_stats=stats
    )

    groups = report_of(result).failures

    assert [(g.stage, g.evaluator, g.error_type, g.count, g.message) for g in groups] == [
        ("evaluator", "judge", "OSError", 400, ""),
        ("task", None, "ValueError", 7, "m0"),
        ("timeout", None, "ValueError", 1, "no"),
    ]
    assert groups[1].places == [0, 1, 2, 3, 4]


def test_the_worst_items_are_those_with_the_lowest_scores():
    """A length says nothing about good and bad beside a metric from 0 to 1; those that got worse come first."""
    values = [(1, 500), (0, 9), (0.5, 1), (0, 3)]
    result = result_of(*[row(n, {"m": m, "length": length}, item_id=str(n)) for n, (m, length) in enumerate(values)])
    baseline = scores([1, 0, 0.5, 1])

    assert [(item.place, item.score) for item in report_of(result).worst] == [(1, 0.0), (3, 0.0), (2, 0.5)]
    worst = report_of(result, baseline=baseline).worst
    assert [(item.place, item.baseline is baseline.item_results[3]) for item in worst] == [(3, True), (1, False), (2, False)]
    assert [item.place for item in report_of(scores([5.0, 1.0, 9.0])).worst] == [1, 0]
    assert [item.place for item in report_of(scores([5.0, 1.0, 9.0]), lower_is_better=["m"]).worst] == [2, 0]
    assert report_of(scores([1, 1, 1])).worst == []


def test_a_report_is_a_document_with_a_schema_version():
    result, baseline = everything()

    document = report_to_document(report_of(result, baseline=baseline, checks=["ok >= 0.9", "ok.delta >= -1", "failures < 3"]))

    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["schema"], document["schema_version"]) == ("interactiveai_eval/report", 1)
    assert document["verdict"]["status"] == "failed"
    assert document["summary"]["metrics"]["ok"]["value"] == 0.75
    assert document["checks"]["reasons"] == [
        "1 evaluator call failed, and no check says how many may (evaluator_failures)", "ok >= 0.9: it is 0.750",
    ]  # fmt: skip
    assert document["checks"]["outcomes"][1]["value"] == -0.25
    assert document["comparison"]["metrics"]["ok"]["regressed"] == 2
    assert document["comparison"]["counts"]["added"] == 2
    assert [group["count"] for group in document["failures"]] == [1, 1, 1]
    assert document["worst"][0]["item_id"] == "q0"
    assert document["timing"]["retries"] == 1


def test_numbers_that_json_cannot_say_are_texts_in_a_document():
    document = report_to_document(report_of(scores([1.7e308, -1.7e308])))

    assert document["summary"]["metrics"]["m"]["stdev"] == "Infinity"


# -- text --------------------------------------------------------------------------------------------------------------


def test_the_text_of_a_report_from_top_to_bottom():
    result, baseline = everything()

    assert text_of(result, baseline=baseline, checks=["ok >= 0.9", "failure_rate <= 50%"]) == EVERYTHING


EVERYTHING = """\
FAILED  Capitals: 1 of 2 checks failed, 2 of 10 items failed, 1 evaluator call failed, and no check
  says how many may
  run run 7

Checks
  \u2717 ok >= 0.9: it is 0.750
  \u2713 failure_rate <= 50%: it is 0.200
  \u2717 1 evaluator call failed, and no check says how many may (evaluator_failures)

Metric  n   mean  95 % interval     sd    p50    p90  distribution
ok      8  0.750  0.409 - 0.929  0.463  1.000  1.000  \u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2591\u2591
length  8  3.500  1.452 - 5.548  2.449  3.500  6.300  0.000 \u2588\u2588\u2588 \u2588\u2588 \u2588\u2588\u2588 7.000
tone: warm 75.0% (6), cold 25.0% (2)
total (run): 28.000  of lengths

Compared with Older: 8 items in both
  Metric  baseline    now   delta     95 % interval      p  better  worse  equal
  ok         1.000  0.750  -0.250  -0.637 to +0.137  0.500       0      2      6  unclear
  length: only this run has it
  tone: 2 of 8 changed, warm -25.0%, cold +25.0%
  Items: 2 regressed, 2 changed, 2 added
  regressed: items 1, 5
  added: items 9, 10

Failures
      1 \xd7 task: ValueError (item 9)
          no answer at all
      1 \xd7 timeout: ValueError (item 10)
          no
      1 \xd7 evaluator judge: KeyError (item 3)
          'x'

Worst items
  1. ok False, length 0.000, tone warm
     input    question 0
     expected answer 0
     output   said 0
     before   said 0
  5. ok False, length 4.000, tone warm
     input    question 4
     expected answer 4
     output   said 4
     before   said 4

Time  2.5 s, 4.0 items/s, task p50/p90/max 350 ms/630 ms/700 ms, 1 retry, slowest evaluator judge 0
      ms a call"""


def test_lines_fit_into_the_terminal_and_figures_that_do_not_are_left_out():
    result, baseline = everything()
    result = result.replaced(name="N" * 30 + " " + "word " * 40)

    for width in (40, 60, 80, 120):
        lines = text_of(result, width=width, baseline=baseline).splitlines()
        assert max(map(len, lines[1:])) <= width, max(lines[1:], key=len)
        assert any(line.startswith("ok ") and "0.750" in line for line in lines)


def test_long_texts_of_others_are_cut():
    said = [Evaluation(name="n" * 9_999, value=1, comment="c" * 999_999)]
    result = result_of(row(0, {"m": 0, "k": "l" * 9_999}, output="o" * 999_999), row(1, {"m": 1}), run_evaluations=said)

    assert len(text_of(result.replaced(item_failures=[failed(2, message="x" * 999_999)]))) < 5_000


class Place(int):
    """A place in the data whose look-ups count as calls."""

    def __hash__(self):
        return int.__hash__(self)


def many(n, shape):
    """Runs with `n` names of metrics: all of one item, or one of each item, or of evaluators that failed for it."""
    if shape == "one item":
        rows = [row(Place(0), {f"m{each}": each % 3 for each in range(n)}, item_id="0")]
    elif shape == "one an item":
        rows = [row(Place(each), {f"m{each}": each % 3}, item_id=str(each)) for each in range(n)]
    else:
        failures = [EvaluatorFailure(evaluator=f"m{each}", error_type="E", message="no") for each in range(n)]
        rows = [row(Place(0), item_id="0", evaluator_failures=failures)]
    stats = [EvaluatorStats(name=f"m{each}", total_runs=1, failed_runs=1) for each in range(n)]
    return result_of(*rows, evaluator_stats=stats), result_of(*rows, run_name="before")


@pytest.mark.parametrize(("shape", "n"), [("one item", 60), ("one an item", 60), ("evaluators that failed", 300)])
def test_twice_the_names_are_twice_the_work(shape, n, tmp_path):
    """A table of all metrics is left out: it has as many cells as names times items."""

    def work(n):
        result, baseline = many(n, shape)
        calls, before = 0, sys.getprofile()

        def count(frame, event, argument):
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            result.format(include_item_results=True)
            for extension in ("txt", "md", "html", "xml"):
                result.save(tmp_path / f"r.{extension}", baseline=baseline, checks=["m0 >= 0", "m1.delta >= 0"])
        finally:
            sys.setprofile(before)
        return calls

    work(1)  # loads what is loaded at first use
    assert work(2 * n) <= 2.3 * work(n)


def test_wide_characters_take_two_columns():
    lines = text_of(scores([1.0, 2.0], name="\u65e5\u672c")).splitlines()

    assert lines[2].startswith("Metric  n") and lines[3].startswith("\u65e5\u672c    2")


def test_without_unicode_there_is_ascii():
    result, baseline = everything()

    text = text_of(result, signs=False, baseline=baseline, checks=["ok >= 0.9"])

    assert text.isascii()
    assert "  x ok >= 0.9" in text and "########.." in text and "0.000 @@@ @@ @@@ 7.000" in text


class Stream:
    def __init__(self, terminal, encoding="utf-8"):
        self.encoding = encoding
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def test_colours_are_for_terminals_that_want_them():
    """Source: no-color.org: any value of NO_COLOR that is not empty."""
    terminal, pipe = Stream(True), Stream(False)

    def coloured(stream, **environment):
        return terminal_style(stream, environment).colour

    assert coloured(terminal, TERM="xterm") and coloured(terminal, TERM="xterm", NO_COLOR="")
    assert not coloured(pipe, TERM="xterm")
    assert not coloured(terminal, TERM="xterm", NO_COLOR="1")
    assert not coloured(terminal, TERM="dumb") and not coloured(None, TERM="xterm")
    assert terminal_style(Stream(False, "ascii"), {}).signs is False
    assert terminal_style(Stream(False, None), {}).signs is False
    painted = render_text(report_of(scores([True])), Style(colour=True))
    assert painted.startswith("\x1b[32mDONE\x1b[0m  Capitals")
    assert re.sub("\x1b\\[[0-9]+m", "", painted) == text_of(scores([True]))


def test_a_stopped_run_says_how_to_go_on():
    def resume(token):
        return report_of(scores([1], completed=False, resume_token=token)).resume

    assert resume({"run_name": "r", "experiment_id": "e", "checkpoint": "c.json"}) == (
        "the same call with checkpoint='c.json' continues where it was"
    )
    assert resume({"checkpoint": None}).startswith("nothing was noted to go on from")
    assert text_of(scores([1], completed=False)).startswith("INCOMPLETE  Capitals: stopped after 1 item\n")


NASTY = "a\x1b[31mb\x07c\rd\u202ee\x9bf\u2028g\ud800h</script><b>`|`\n# x\n@me \ufffe"


def nasty():
    """Everything that comes from outside is hostile."""
    return result_of(
        row(0, {NASTY: True}, item={"input": NASTY, "expected_output": NASTY}, output=NASTY, item_id=NASTY),
        row(1, {NASTY: False, "tone": NASTY}, item={"input": NASTY}, output={NASTY: [NASTY]}, item_id="b"),
        name=NASTY,
        run_name=NASTY,
        item_failures=[failed(2, error_type=NASTY, message=NASTY, stage="task", traceback=NASTY, item_id="c")],
        run_evaluations=[Evaluation(name=NASTY, value=NASTY, comment=NASTY)],
        run_evaluator_failures=[EvaluatorFailure(evaluator=NASTY, error_type=NASTY, message=NASTY)],
        dataset_run_url=NASTY,
    )


def nasty_settings():
    quoted = '"' + NASTY.replace("\\", "\\\\") + '"'
    return {"baseline": nasty(), "checks": [f"{quoted} >= 0.9", f"{quoted}[x] > 1"]}


@pytest.mark.parametrize("extension", [".txt", ".md", ".xml", ".html"])
def test_what_the_data_says_cannot_steer_a_reader(tmp_path, extension):
    nasty().save(tmp_path / f"report{extension}", **nasty_settings())

    text = (tmp_path / f"report{extension}").read_text(encoding="utf-8")
    assert [sign for sign in text if sign not in "\n\ufe0f" and not sign.isprintable()] == []
    assert "<U+001B>" in text or "&lt;U+001B&gt;" in text


def test_what_the_data_says_cannot_forge_a_line_of_text():
    lines = text_of(nasty(), **nasty_settings()).splitlines()

    ours = ("WITH ", "FAILED", "Checks", "Metric", "Compared", "Failures", "Worst", "a<U+001B>", "tone: ", "  ")
    assert [line for line in lines if line and not line.startswith(ours)] == []


# -- Markdown ----------------------------------------------------------------------------------------------------------


def test_a_comment_for_a_pull_request(tmp_path):
    result, baseline = everything()

    result.save(tmp_path / "r.md", baseline=baseline, checks=["ok >= 0.9", "failure_rate <= 50%"])

    text = (tmp_path / "r.md").read_text(encoding="utf-8")
    assert text.startswith(
        "### \u274c `Capitals`: 1 of 2 checks failed, 2 of 10 items failed, 1 evaluator call failed, and no check "
        "says how many may\n"
        "\n"
        "|  | Check | Found |\n"
        "| --- | --- | --- |\n"
        "| \u274c | `ok >= 0.9` | 0.750 |\n"
        "| \u2705 | `failure_rate <= 50%` | 0.200 |\n"
        "\n"
        "- \u274c 1 evaluator call failed, and no check says how many may (evaluator_failures)\n"
        "\n"
        "| Metric | n | Mean | 95 % interval | SD | p50 | p90 |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| `ok` | 8 | **0.750** | 0.409 \u2013 0.929 | 0.463 | 1.000 | 1.000 |\n"
    )
    assert "| `tone` | `warm` 75.0%, `cold` 25.0% |\n" in text
    assert "| `ok` | 1.000 | 0.750 | **-0.250** | -0.637 to +0.137 | 0.500 | 0 | 2 | 6 |\n" in text
    assert "- 2 regressed: items 1, 5\n" in text
    assert "| 1 | timeout | `ValueError` | `no` | item 10 |\n" in text
    assert text.endswith("Run `run 7`. 2.5 s (4.0 items/s).\n")


def test_nothing_of_the_data_is_markup_in_a_comment():
    """Outside of code spans there are our own words only: no link, mention, tag or row of anybody else's."""
    from interactiveai_eval.reporting.markdown import render_markdown

    text = "".join(render_markdown([report_of(nasty(), **nasty_settings())]))

    outside = re.sub(r"(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", text)
    assert not re.search(r"@me|<b>|script|U\+", outside)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    widths = {len(re.split(r"(?<!\\)\|", line)) for line in rows}
    assert widths <= set(range(4, 13)) and all(line.endswith(" |") for line in rows)


def test_a_comment_stays_small_whatever_the_run():
    rows = [row(n, {f"m{n % 30}": "x" * 500 if n % 2 else n}, output="y" * 9000, item_id=str(n)) for n in range(3000)]
    failures = [failed(3000 + n, error_type=f"E{n}", message="z" * 9000) for n in range(300)]
    from interactiveai_eval.reporting.markdown import render_markdown

    assert len("".join(render_markdown([report_of(result_of(*rows, item_failures=failures))]))) < 65_536


# -- JUnit -------------------------------------------------------------------------------------------------------------


def test_checks_and_items_are_tests_of_a_suite(tmp_path):
    result, baseline = everything()

    result.save(tmp_path / "r.xml", baseline=baseline, checks=["ok >= 0.9", "failure_rate <= 50%"])

    (suite,) = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "time")} == {
        "name": "Capitals", "tests": "13", "failures": "2", "errors": "3", "time": "2.500",
    }  # fmt: skip
    cases = suite.findall("testcase")
    assert len(cases) == 13
    assert [(case.get("name"), child.tag, child.get("message")) for case in cases for child in case if child.tag != "properties"] == [
        ("failures are spoken of", "failure", "1 evaluator call failed, and no check says how many may (evaluator_failures)"),
        ("ok >= 0.9", "failure", "ok >= 0.9: it is 0.750"),
        ("item 3 (q2)", "error", "evaluator judge: 'x'"),
        ("item 9 (q8)", "error", "task: no answer\nat all"),
        ("item 10 (q9)", "error", "timeout: no"),
    ]
    assert [(p.get("name"), p.get("value")) for p in cases[3].find("properties")] == [
        ("ok", "False"), ("length", "0.000"), ("tone", "warm"),
    ]  # fmt: skip


def test_an_incomplete_run_fails_its_suite():
    from interactiveai_eval.reporting.junit import render_junit

    (suite,) = ElementTree.fromstring("".join(render_junit([report_of(scores([1], completed=False))])))

    assert (suite.get("failures"), suite.get("tests")) == ("1", "2")
    assert suite.find("testcase/failure").get("type") == "incomplete"


def test_hostile_texts_leave_the_document_as_it_is():
    from interactiveai_eval.reporting.junit import render_junit

    def skeleton(result, **settings):
        text = "".join(render_junit([report_of(result, **settings)]))
        return [element.tag for element in ElementTree.fromstring(text).iter()]

    harmless = skeleton(
        nasty().replaced(name="x", item_results=[row(0, {"a": True}), row(1, {"a": False, "b": "x"})]),
        baseline=scores([1]),
        checks=["a >= 0.9", "a[x] > 1"],
    )
    assert skeleton(nasty(), **nasty_settings()) == harmless


# -- CSV and JSON lines ------------------------------------------------------------------------------------------------


def rows_of(result, **settings):
    return list(csv.reader(io.StringIO("".join(render_csv(result, **settings)))))


def test_a_table_has_a_row_for_each_item():
    result, _ = everything()

    head, first, *_, last = rows_of(result)

    assert head == [
        "index", "repetition", "item_id", "status", "input", "expected_output", "output", "ok", "length", "tone",
        "error_type", "error_message", "attempts", "duration_seconds", "trace_id",
    ]  # fmt: skip
    assert first == ["0", "0", "q0", "ok", "question 0", "answer 0", "said 0", "false", "0.0", "warm", "", "", "1", "0.0", ""]
    assert last[:4] == ["9", "0", "q9", "timeout"] and last[10:12] == ["ValueError", "no"]
    assert rows_of(result)[3][3] == "evaluator"
    assert len(rows_of(result)) == 11


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "  =1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20a", " \uff1d1", "=cmd|' /C calc'!A0"],
)
def test_a_text_is_no_formula(text):
    """Wherever it stands: an input, an output, a label, the name of a metric."""
    result = result_of(row(0, {text: text}, item={"input": text}, output=text, item_id=text))

    head, cells = rows_of(result)

    assert [cell for cell in (*head, *cells) if cell.lstrip(" ").startswith(text.lstrip(" ")[0])] == []
    assert (head[7], cells[2], cells[4], cells[6], cells[7]) == ("'" + text,) * 5
    assert rows_of(result, raw=True)[1][6] == text


def test_numbers_stay_numbers_and_values_are_json():
    result = result_of(row(0, {"m": -1.5, "n": -3, "input": 10**30}, item={"input": {"a": [1]}}, output=-2))

    head, cells = rows_of(result)

    assert (cells[4], cells[6], cells[7], cells[8]) == ('{"a": [1]}', "-2", "-1.5", "-3")
    assert head[9] == "input (score)"


def test_numbers_stand_bare_and_what_no_cell_can_say_of_one_is_a_text():
    """SECURITY S48. "-inf" would be a formula, and a number in quotes of its own is none."""
    inf = float("inf")
    result = result_of(row(0, {"big": 10**400, "yes": True}, item={"input": -inf, "expected_output": inf}, output=-0.5))

    _, cells = table_of(result)
    assert cells[:9] == ["0", "0", "", '"ok"', '"\'-Infinity"', '"Infinity"', "-0.5", "1" + "0" * 400, "true"]
    assert table_of(result, raw=True)[1][4] == '"-Infinity"'


@pytest.mark.parametrize("text", ["a;=1", "a\t=1", "a; @b", "a;\"=1", "a,=1", "a\r\n=1"])
def test_no_text_makes_a_cell_of_its_own_where_semicolons_and_tabs_part_cells_too(text):
    """As in LibreOffice's import, which by default splits at all three and heeds quotes."""
    result = result_of(row(0, {text: text}, item={"input": text, "expected_output": text}, output=text, item_id=text))

    for line in table_of(result):
        assert [cell for cell in line if cell.lstrip('"').startswith(("=", "@"))] == []
        assert len(line) == 13


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\uff1d"])
@pytest.mark.parametrize("part", [";", "\t", "; "])
def test_no_text_makes_a_formula_where_a_program_parts_cells_at_semicolons_or_tabs_alone(part, mark):
    """As it does within quotes, too, in a line that begins with a bare number."""
    text = f"a{part}{mark}1+1{part}b"
    result = result_of(row(0, {text: text}, item={"input": text, "expected_output": text}, output=text, item_id=text))
    whole = "".join(render_csv(result))

    for line in csv.reader(io.StringIO(whole, newline=""), delimiter=part[0]):
        assert [cell for cell in line if cell.strip(' "').startswith(mark)] == []
    assert text in "".join(render_csv(result, raw=True))


def table_of(result, **settings):
    """The cells, with their quotes, for a reader that takes commas, semicolons and tabs for separators."""
    whole = "".join(render_csv(result, **settings))
    lines = re.findall(r'((?:"(?:[^"]|"")*"|[^"\r\n])*)\r\n', whole)
    assert "".join(line + "\r\n" for line in lines) == whole
    return [re.findall(r'(?:^|(?<=[,;\t]))("(?:[^"]|"")*"|[^",;\t]*)(?=[,;\t]|$)', line) for line in lines]


def test_texts_with_quotes_and_line_feeds_come_back_whole():
    text = 'say "hi",\nthen; go\u2028\x1b[31m'

    assert rows_of(result_of(row(0, {}, output=text)))[1][6] == text
    assert rows_of(result_of(row(0, {}, output="a\x00b\ud800")))[1][6] == "a\ufffdb\ufffd"


def test_saving_a_raw_table_has_to_be_asked_for(tmp_path):
    result = result_of(row(0, output="=1"))
    result.save(tmp_path / "safe.csv")
    result.save(tmp_path / "raw.csv", raw=True)

    assert ",\"'=1\"," in (tmp_path / "safe.csv").read_text() and ',"=1",' in (tmp_path / "raw.csv").read_text()


def test_json_lines_are_read_back_whole(tmp_path):
    result, _ = everything()
    result.save(tmp_path / "r.jsonl")

    lines = (tmp_path / "r.jsonl").read_bytes().splitlines()
    assert len(lines) == 12 and [next(iter(json.loads(line))) for line in lines[1:4]] == ["item_failure", "item_failure", "item_result"]
    assert b"".join(lines).isascii()
    assert ExperimentResult.load(tmp_path / "r.jsonl").to_dict() == result.to_dict()


@pytest.mark.parametrize("lacking", [slice(1, None), slice(-1, None), slice(-2, None), slice(1, 2), slice(5, 6)], ids=str)
def test_json_lines_that_lack_lines_are_no_smaller_run(tmp_path, lacking):
    """A file cut between two lines had nothing wrong with it but its length."""
    everything()[0].save(tmp_path / "r.jsonl")
    lines = (tmp_path / "r.jsonl").read_bytes().splitlines(keepends=True)
    del lines[lacking]
    (tmp_path / "r.jsonl").write_bytes(b"".join(lines))

    with pytest.raises(DataError, match="not all of the result is there"):
        ExperimentResult.load(tmp_path / "r.jsonl")


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], "not a saved result"),
        (["5"], "not a saved result: 5"),
        (["{"], "line 1: "),
        (['{"schema": "x"}', "{}"], "schema is 'x'"),
        (["HEAD", '{"other": 1}'], "line 2: is neither an item_result nor an item_failure"),
        (["HEAD", "", "[]"], "line 3: is neither"),
        (["HEAD", '{"item_result": {}}', '{"end": {"item_failures": 0, "item_results": 1}}'], "item_results[0].index: is missing"),
        (["HEAD"], "its end line is missing"),
        (["HEAD", '{"item_result": {}}', '{"end": {"item_failures": 0, "item_results": 2}}'], "its end line says"),
        (["HEAD", '{"end": 5}'], "its end line says 5"),
        (["HEAD", '{"end": {"item_failures": 0, "item_results": 0}}', '{"item_result": {}}'], "line 3: comes after the end line"),
    ],
)
def test_broken_json_lines_are_refused_with_the_place(tmp_path, lines, problem):
    result_of().save(tmp_path / "r.jsonl")
    head = (tmp_path / "r.jsonl").read_text().splitlines()[0]
    (tmp_path / "r.jsonl").write_text("\n".join(head if line == "HEAD" else line for line in lines))

    with pytest.raises(DataError) as caught:
        ExperimentResult.load(tmp_path / "r.jsonl")
    assert str(tmp_path / "r.jsonl") in str(caught.value) and problem in str(caught.value)


def test_a_report_that_cannot_be_made_leaves_the_old_file(tmp_path):
    (tmp_path / "r.md").write_text("old")

    with pytest.raises(ArgumentError):
        scores([1]).save(tmp_path / "r.md", checks=["m >="])

    assert os.listdir(tmp_path) == ["r.md"] and (tmp_path / "r.md").read_text() == "old"


# -- notebooks, batches, the CI action ---------------------------------------------------------------------------------


class Skeleton(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))

    def handle_data(self, data):
        self.text += data


def test_a_notebook_shows_the_figures():
    result, _ = everything()

    seen = Skeleton(result._repr_html_())

    assert seen.text.startswith("Capitals: 8 items went through, 2 of 10 items failed")
    assert "ok80.7500.409 \u2013 0.929" in seen.text and "warm 75.0%, cold 25.0%" in seen.text
    assert {tag for tag, attrs in seen.tags} == {"p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert {tag for tag, attrs in Skeleton(nasty()._repr_html_()).tags} <= {tag for tag, attrs in seen.tags}


def batch(**settings):
    """An evaluation of four traces: two are small, one is not, one cannot be mapped."""
    with Interactive.local() as client:
        for number in range(4):
            with client.start_as_current_span(name="n", input=number, output=number) as span:
                span.update_trace(input=number, output=number)
        client.flush()
        return client.run_batched_evaluation(
            scope="traces",
            mapper=lambda item: {"input": item.input, "output": item.output} if item.input != 3 else 1 / 0,
            evaluators=[lambda *, output: {"name": "small", "value": output < 2}],
            **settings,
        )


def test_a_batch_that_kept_nothing_is_judged_by_its_counts():
    result = batch(keep_evaluations=False)

    assert result.check("failure_rate == 0.25", "items == 4").passed
    assert result.check("failures < 2", "small >= 0").reasons == ["small >= 0: there is no metric 'small'; there are none"]


def test_a_batch_is_judged_like_an_experiment(tmp_path):
    result = batch()

    assert result.summary().metrics["small"].value == pytest.approx(2 / 3)
    report = result.check("small >= 0.6", "failure_rate <= 0.25", "small >= 0.9")
    assert [outcome.passed for outcome in report.outcomes] == [True, True, False]
    assert result.compare(result).counts == {"equal": 3, "failing": 1}
    for extension in (".md", ".txt", ".xml", ".csv", ".html", ".json"):
        result.save(tmp_path / f"b{extension}")
    assert BatchEvaluationResult.load(tmp_path / "b.json") == result
    assert "`small`" in (tmp_path / "b.md").read_text(encoding="utf-8")
    with pytest.raises(ArgumentError, match=r"saved as \.json, \.csv"):
        result.save(tmp_path / "b.jsonl")


def test_the_ci_action_gets_the_shapes_that_it_knows():
    """Source: schemas/result-json.v1.schema.json of langfuse/experiment-action; every object in it is closed."""
    result = result_of(
        row(0, {"ok": True, "m": float("nan")}, item_id="a", item={"input": 1, "expected_output": 2, "metadata": {"k": 1}}),
        row(1, {"ok": None}, item="bare"),
        name="Capitals",
        experiment_id="e1",
        run_evaluations=[Evaluation(name="n", value="x", comment="c", data_type="CATEGORICAL", metadata={"a": 1})],
        duration_seconds=1.5,
        dataset_run_url="https://example.test/run",
    )

    document = report_to_action(report_of(result, checks=["ok >= 2"]), script="exp.py", metadata={"sha": "1"})

    assert document == {
        "schema_version": "v1",
        "action_metadata": {"sha": "1"},
        "results": [
            {
                "script_path": "exp.py",
                "script_name": "Capitals",
                "runtime": "python",
                "duration_ms": 1500.0,
                "status": "regression",
                "langfuse_experiment_url": "https://example.test/run",
                "error": {"name": "RegressionError", "message": "ok >= 2: it is 1.000 (over 1 of 2 items)", "is_regression": True},
                "experiment_result": result.model_dump(),
            }
        ],
    }
    assert result.model_dump() == {
        "experiment_id": "e1",
        "run_name": "Capitals",
        "item_results": [
            {
                "item": {"input": 1, "expected_output": 2, "metadata": {"k": 1}, "id": "a"},
                "input": 1,
                "expected_output": 2,
                "output": "out",
                "evaluations": [{"name": "ok", "value": True}, {"name": "m", "value": None}],
            },
            {"item": {}, "input": None, "expected_output": None, "output": "out", "evaluations": [{"name": "ok", "value": None}]},
        ],
        "run_evaluations": [
            {"name": "n", "value": "x", "comment": "c", "data_type": "CATEGORICAL", "metadata": {"a": 1}}
        ],
    }
    assert json.dumps(document, allow_nan=False)


@pytest.mark.parametrize(
    ("fields", "checks", "status", "error"),
    [
        ({}, ["m >= 1"], "passed", None),
        ({}, [], "passed", None),
        ({"item_failures": [failed(1)]}, [], "error", "ItemsFailed"),
        ({"item_failures": [failed(1)]}, ["m >= 1"], "regression", "RegressionError"),
        ({"item_failures": [failed(1)]}, ["failures < 2"], "passed", None),
        ({}, ["m > 1"], "regression", "RegressionError"),
        ({"completed": False}, ["m >= 1"], "error", "RunStopped"),
    ],
)
def test_the_ci_action_is_told_how_it_ended(fields, checks, status, error):
    found = report_to_action(report_of(scores([1], **fields), checks=checks), script="exp.py")["results"][0]

    assert (found["status"], found["error"] and found["error"]["name"]) == (status, error)


def test_the_ci_action_is_told_which_items_failed():
    """Its shape of a result has no place for them: without this nine failed items of ten were not in the document."""
    result = result_of(row(0, {"m": 1}), item_failures=[failed(n, message="no\nkey") for n in range(1, 10)])

    error = report_to_action(report_of(result), script="exp.py")["results"][0]["error"]

    assert error == {
        "name": "ItemsFailed",
        "message": "1 item went through, 9 of 10 items failed",
        "is_regression": False,
        "details": "9 x task, ValueError: no key (items 2, 3, 4, 5, 6, ...)",
    }
