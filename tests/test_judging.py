"""Gates from the command line: `run --check`, `compare`, `check`, `report`, and `experiment(context)`."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from interactiveai_eval import ArgumentError, Interactive, RunnerContext
from interactiveai_eval.cli import main
from interactiveai_eval.model import DeliveryReport
from interactiveai_eval.result import ExperimentResult
from interactiveai_eval.tally import RunTally

from .judged import result_of, row, scores
from .programs import environment

TASKS = '''
from interactiveai_eval import RegressionError

def task(*, item):
    if item["input"] == "bad":
        raise ValueError("cannot")
    return item["input"].upper()

def exact(*, output, expected_output):
    return output == expected_output

def broken(*, output):
    raise KeyError("judge")

def experiment(context):
    return context.run_experiment(name="ci", task=task, evaluators=[exact], metadata={"own": 1})

class Async:
    async def experiment(self, context):
        return await context.run_experiment_async(name="ci", task=task, evaluators=[exact])

experiment_async = Async().experiment

class Gate:
    def experiment(self, context):
        result = context.run_experiment(name="ci", task=task, evaluators=[exact])
        result.raise_for_checks("exact >= 0.9")

gate = Gate().experiment

class Nothing:
    def experiment(self, context):
        return {"no": "result"}

nothing = Nothing().experiment

class Bare:
    def experiment(self, context):
        raise RegressionError(result=None, metric="m", value=1, threshold=2)

bare = Bare().experiment
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "data.jsonl").write_text(
        '{"input": "a", "expected_output": "A"}\n{"input": "b", "expected_output": "B"}\n'
        '{"input": "c", "expected_output": "x"}\n'
    )
    (tmp_path / "mixed.jsonl").write_text('{"input": "a", "expected_output": "A"}\n{"input": "bad"}\n')
    scores([True, True, False], name="exact", run_name="now").save(tmp_path / "now.json")
    scores([True, False, False], name="exact", run_name="before").save(tmp_path / "before.jsonl")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("tasks", None)


def said(capsys, *arguments):
    """The exit code, and what stdout and stderr got."""
    code = main(list(arguments))
    return (code, *capsys.readouterr())


RUN = ("run", "tasks.py:task", "--data", "data.jsonl", "--evaluator", "tasks.py:exact")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((*RUN, "--check", "exact >= 0.6"), 0),
        ((*RUN, "--check", "exact >= 0.6", "--check", "exact >= 0.7"), 1),
        ((*RUN, "--check", "nothing >= 0"), 1),
        (("run", "tasks.py:task", "--data", "mixed.jsonl", "--check", "items == 2"), 1),
        (("run", "tasks.py:task", "--data", "mixed.jsonl", "--check", "failure_rate <= 0.5"), 0),
        (("run", "tasks.py:task", "--data", "mixed.jsonl", "--check", "failures == 0"), 1),
        ((*RUN, "--evaluator", "tasks.py:broken", "--check", "exact >= 0.6"), 1),
        ((*RUN, "--evaluator", "tasks.py:broken", "--check", "evaluator_failures <= 3"), 0),
        (("check", "now.json", "exact >= 0.6"), 0),
        (("check", "now.json", "exact >= 0.6", "exact >= 0.7"), 1),
        (("check", "now.json", "exact.delta > 0.3", "--baseline", "before.jsonl"), 0),
        (("check", "now.json", "exact.delta > 0.4", "--baseline", "before.jsonl"), 1),
        (("compare", "now.json", "before.jsonl"), 0),
        (("compare", "now.json", "before.jsonl", "--check", "newly_failing == 0", "--check", "exact.regressed == 0"), 0),
        (("compare", "before.jsonl", "now.json", "--check", "exact.regressed == 0"), 1),
        (("report", "now.json"), 0),
        (("report", "now.json", "before.jsonl", "--check", "exact >= 0.5"), 1),
        (("check", "now.json", "exact >="), 2),
        (("check", "now.json", "exact.delta >= 0"), 2),
        (("check", "none.json", "exact >= 0"), 2),
        (("compare", "now.json", "tasks.py"), 2),
        (("compare", "now.json", "before.jsonl", "--tolerance", "-1"), 2),
        (("compare", "now.json", "before.jsonl", "--lower-is-better", "cost"), 2),
        (("compare", "now.json", "before.jsonl", "--output", "x.pdf"), 2),
        (("report", "now.json", "before.jsonl", "--output", "x.csv"), 2),
        (("report", "now.json", "before.jsonl", "--action-json", "x.json"), 2),
    ],
)
def test_exit_codes(folder, capsys, arguments, code):
    """0 passed, 1 a check failed, 2 cannot be carried out, 3 not completed; what a check is about, it judges alone."""
    assert said(capsys, *arguments)[0] == code


def test_a_saved_run_leaves_with_the_code_of_the_run_itself(folder, capsys):
    """Half of the items failed: the run left with 3, `report` and `compare` of its file with 0."""
    mixed = ("run", "tasks.py:task", "--data", "mixed.jsonl", "--evaluator", "tasks.py:exact")
    for checks, word, code in (
        ((), "WITH ERRORS", 3),
        (("exact >= 0",), "FAILED", 1),
        (("exact >= 0", "items == 2"), "FAILED", 1),
        (("exact >= 0", "failure_rate <= 0.5"), "PASSED", 0),
        (("exact >= 0", "failures == 0"), "FAILED", 1),
    ):
        options = [word for each in checks for word in ("--check", each)]
        told = [said(capsys, *mixed, *options, "--output", "mixed.json", "--run-name", "r")]
        told.append(said(capsys, "report", "mixed.json", *options))
        told.append(said(capsys, "compare", "mixed.json", "mixed.json", *options))
        told += [said(capsys, "check", "mixed.json", *checks)] if checks else []

        assert {(found[0], found[1].partition("  ")[0]) for found in told} == {(code, word)}


def test_what_was_not_delivered_is_not_completed_in_the_headline_too(folder, capsys):
    scores([True], name="exact", delivery=DeliveryReport(by_kind={"scores": {"rejected": 1}})).save("lost.json")

    assert said(capsys, "check", "lost.json", "exact >= 1")[:2] == (
        3,
        "WITH ERRORS  Capitals: 1 check passed, 1 not delivered\n  1 not delivered (1 score)\n\n"
        "Checks\n  \u2713 exact >= 1: it is 1.000\n",
    )
    assert said(capsys, "check", "lost.json", "exact >= 1", "undelivered <= 1")[0] == 0


@pytest.mark.parametrize("command", ["compare", "report"])
def test_a_baseline_of_other_data_cannot_be_used(folder, capsys, command):
    result_of(row(0, {"exact": True}, item_id="other")).save("other.json")
    files = ("now.json", "other.json") if command == "compare" else ("now.json", "--baseline", "other.json")

    code, _, err = said(capsys, command, *files)

    told = "error: no item is both in this run and in the baseline: name results of the same data\n"
    assert (code, err) == (2, told)
    if command == "report":  # a check that fails says nothing of that
        assert said(capsys, command, *files, "--check", "exact >= 2")[::2] == (1, told)


@pytest.mark.parametrize("baseline", [(), ("--baseline", "first.json")])
def test_a_misspelt_metric_costs_no_run(folder, capsys, baseline):
    """All items had run when it was found out; the result was neither shown nor saved."""
    said(capsys, *RUN, "--output", "first.json")
    run = (*RUN, *baseline, "--check", "exact >= 0.6", "--lower-is-better", "exatc", "--lower-is-better", "exact")

    code, out, err = said(capsys, *run, "--output", "kept.json", "--output", "kept.md")

    assert (code, out.startswith("FAILED  task: 1 check passed, 1 objection\n")) == (1, True)
    assert err == (
        "saved kept.json\nsaved kept.md\nerror: --lower-is-better='exatc': is no metric; there are exact\n"
    )
    assert len(ExperimentResult.load("kept.json").item_results) == 3

    code, out, err = said(capsys, "report", "kept.json", *baseline, "--lower-is-better", "exatc", "--output", "r.md")
    assert (code, out, err) == (2, "", "error: --lower-is-better='exatc': is no metric; there are exact\n")
    assert not (folder / "r.md").exists()


@pytest.mark.parametrize("check", [(), ("--check", "exact >= 0.6")])
def test_a_run_with_a_misspelt_metric_fails_in_every_report_of_it(folder, capsys, check):
    """The exit code alone said so, beside reports that said PASSED."""
    run = (*RUN, *check, "--lower-is-better", "a`|<b>", "--action-json", "a.json")
    told = "--lower-is-better='a`|<b>': is no metric; there are exact"
    headline = f"{'1 check passed' if check else '3 items went through'}, 1 objection"
    kinds = ("r.txt", "r.md", "r.html", "r.xml")

    code, out, _ = said(capsys, *run, *(part for name in kinds for part in ("--output", name)))

    text, markdown, page, _ = ((folder / name).read_text(encoding="utf-8") for name in kinds)
    assert (code, out) == (1, text)
    assert text.startswith(f"FAILED  task: {headline}\n") and f"\n  \u2717 {told}\n" in text
    assert markdown.startswith(f"### \u274c `task`: {headline}\n")
    assert "\n- \u274c ``--lower-is-better='a`\\|<b>': is no metric; there are exact``\n" in markdown
    assert f'<p class="verdict poor">{headline}.</p>' in page and "a`|&lt;b&gt;&#39;: is no metric" in page
    suite = ElementTree.parse(folder / "r.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("tests")) == ("1", "5" if check else "4")
    failed = [(case.get("name"), case[0].get("message")) for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failed == [("nothing is objected to", told)]
    error = {"name": "RegressionError", "message": told, "is_regression": True}
    assert json.loads((folder / "a.json").read_text())["results"][0]["error"] == error
    code, out, _ = said(capsys, *run, "--json")
    report = json.loads(out)["report"]
    assert (code, report["verdict"]["status"], report["checks"]["passed"]) == (1, "failed", False)
    assert report["checks"]["reasons"] == [told]


def test_an_objection_and_failures_that_no_check_speaks_of_are_told_apart(folder, capsys):
    run = ("run", "tasks.py:task", "--data", "mixed.jsonl", "--evaluator", "tasks.py:exact", "--lower-is-better", "no")
    said(capsys, *run, "--check", "exact >= 0", "--output", "r.xml", "--output", "r.txt")

    headline = "FAILED  task: 1 check passed, 1 of 2 items failed, and no check says how many may, 1 objection\n"
    assert (folder / "r.txt").read_text(encoding="utf-8").startswith(headline)
    cases = ElementTree.parse(folder / "r.xml").getroot()[0].iter("testcase")
    assert [case.get("name") for case in cases][:3] == ["nothing is objected to", "failures are spoken of", "exact >= 0"]
    code, out, _ = said(capsys, *run)
    assert (code, out.startswith("FAILED  task: 1 item went through, 1 of 2 items failed, 1 objection\n")) == (1, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--baseline", "before.jsonl", "--tolerance", "-1"), "tolerance=-1.0: must be a number from 0"),
        (("--baseline", "before.jsonl", "--tolerance", "nan"), "tolerance=nan: must be a number from 0"),
        (("--tolerance", "0.1"), "--tolerance=0.1: compares with a baseline; name one with --baseline"),
        (("--tolerance", "nan"), "--tolerance=nan: compares with a baseline; name one with --baseline"),
        (("--baseline", "counts.json"), "baseline='counts.json': has counts only"),
    ],
)
def test_what_no_comparison_can_use_is_refused_before_any_work(folder, capsys, options, told):
    counts_only().save("counts.json")
    (folder / "tasks.py").write_text("raise SystemExit('it was run')\n")

    code, out, err = said(capsys, *RUN, *options, "--output", "r.json")

    assert (code, out) == (2, "") and err.startswith(f"error: {told}") and not (folder / "r.json").exists()


def test_a_run_that_kept_no_items_is_shown_and_saved_though_it_cannot_be_compared(folder, capsys):
    (folder / "counting.py").write_text(
        "def experiment(context):\n"
        "    run = context.run_experiment\n"
        "    return run(name='n', data=[{'input': 1}], task=lambda item: 1, keep_results=False)\n"
    )

    code, out, err = said(capsys, "run", "counting.py", "--baseline", "before.jsonl", "--output", "r.json")

    assert code == 1 and out.startswith("FAILED  n: 1 item went through, 1 objection\n") and (folder / "r.json").exists()
    assert err.startswith("saved r.json\nerror: --baseline='before.jsonl': is of no use: the run has counts only")


def counts_only():
    """A result that knows how many items it has, and none of them."""
    tally = RunTally()
    tally.succeeded = 3
    return result_of(tally=tally)


def test_items_that_were_not_kept_cannot_be_compared(folder, capsys):
    counts_only().save("counts.json")

    for files in (("now.json", "counts.json"), ("counts.json", "now.json")):
        code, _, err = said(capsys, "compare", *files)
        assert code == 2 and "has counts only" in err
    code, out, _ = said(capsys, "check", "now.json", "newly_failing == 0", "--baseline", "counts.json")
    assert code == 1 and "newly_failing == 0: a run has counts only" in out


def test_the_help_promises_no_lines_of_a_batch(capsys):
    """They are refused."""
    for command, promised in (("run", True), ("batch", False)):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert (".jsonl, .csv" in " ".join(capsys.readouterr().out.split())) is promised


def test_an_incomplete_run_is_not_completed_whatever_the_checks_say(folder, capsys):
    scores([True], name="exact", completed=False).save("part.json")

    assert said(capsys, "check", "part.json", "exact >= 0.5")[0] == 3
    assert said(capsys, "report", "part.json")[0] == 3


def test_check_says_what_was_found(folder, capsys):
    code, out, err = said(capsys, "check", "now.json", "exact >= 0.5", "exact.p50 < 1")

    assert (code, err) == (1, "")
    assert out == (
        "FAILED  Capitals: 1 of 2 checks failed\n  run now\n\nChecks\n  \u2713 exact >= 0.5: it is 0.667\n"
        "  \u2717 exact.p50 < 1: it is 1.000\n"
    )


def test_machines_get_one_document(folder, capsys):
    for arguments in (
        ("check", "now.json", "exact >= 0.9"),
        ("compare", "now.json", "before.jsonl", "--check", "exact >= 0.9"),
        ("report", "now.json", "--check", "exact >= 0.9"),
    ):
        code, out, _ = said(capsys, *arguments, "--json")
        document = json.loads(out)
        assert (code, document["schema"], document["checks"]["passed"]) == (1, "interactiveai_eval/report", False)
    several = json.loads(said(capsys, "report", "now.json", "before.jsonl", "--json")[1])
    assert [report["run_name"] for report in several["reports"]] == ["now", "before"]
    run = json.loads(said(capsys, *RUN, "--check", "exact >= 0.9", "--json")[1])
    assert run["schema"] == "interactiveai_eval/experiment-result"
    assert run["report"]["checks"]["reasons"] == ["exact >= 0.9: it is 0.667"]


def test_reports_are_saved_by_their_extension(folder, capsys):
    outputs = [word for name in ("r.md", "r.txt", "r.xml", "r.html", "r.json") for word in ("--output", name)]

    code, _, err = said(capsys, "compare", "now.json", "before.jsonl", "--check", "exact.delta > 0.5", *outputs)

    assert code == 1 and err.splitlines() == [f"saved {name}" for name in outputs[1::2]]
    assert "**+0.333**" in (folder / "r.md").read_text(encoding="utf-8")
    assert "+0.333" in (folder / "r.txt").read_text(encoding="utf-8")
    assert ElementTree.parse("r.xml").find("testsuite").get("failures") == "1"
    assert json.loads((folder / "r.json").read_text())["comparison"]["metrics"]["exact"]["improved"] == 1
    assert {oct(os.stat(name).st_mode & 0o777) for name in outputs[1::2]} == {"0o600"}


def test_a_run_is_compared_with_a_saved_one_and_saved_with_its_checks(folder, capsys):
    assert said(capsys, *RUN, "--output", "base.json", "--run-name", "base")[0] == 0

    code, out, _ = said(
        capsys, *RUN, "--baseline", "base.json", "--check", "exact.delta >= 0", "--output", "r.md", "--action-json", "a.json"
    )

    assert code == 0 and "Compared with base: 3 items in both" in out
    assert "`exact.delta >= 0`" in (folder / "r.md").read_text(encoding="utf-8")
    (result,) = json.loads((folder / "a.json").read_text())["results"]
    assert (result["script_path"], result["status"]) == ("tasks.py:task", "passed")
    assert len(result["experiment_result"]["item_results"]) == 3


def test_several_results_end_with_a_table(folder, capsys):
    out = said(capsys, "report", "now.json", "before.jsonl")[1]

    assert out.splitlines()[-2:] == [
        "now         3       0  0.667  0.208 - 0.939",
        "before      3       0  0.333  0.061 - 0.792",
    ]


def test_repetitions_are_reduced_as_asked(folder, capsys):
    rows = [row(n, {"ok": n == r}, repetition=r, item_id=str(n)) for n in range(2) for r in range(2)]
    result_of(*rows).save("twice.json")

    assert said(capsys, "check", "twice.json", "ok == 0.5")[0] == 0
    assert said(capsys, "check", "twice.json", "ok == 1", "--reduce", "pass_at(2)")[0] == 0


def test_a_terminal_gets_colours(folder):
    pty = pytest.importorskip("pty")

    def shown(**variables):
        reader, writer = pty.openpty()
        done = subprocess.run(
            [sys.executable, "-m", "interactiveai_eval", "check", "now.json", "exact >= 0.5"],
            env=environment(TERM="xterm", PYTHONIOENCODING="utf-8", **variables), stdout=writer, stderr=writer, check=True,
        )  # fmt: skip
        os.close(writer)
        text = os.read(reader, 10_000)
        os.close(reader)
        return done.returncode, text.startswith(b"\x1b[32mPASSED\x1b[0m"), b"\x1b" in text

    assert shown() == (0, True, True)
    assert shown(NO_COLOR="1") == (0, False, False)


# -- experiment(context) -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "code"),
    [("experiment", 0), ("experiment_async", 0), ("gate", 1), ("bare", 1), ("nothing", 2)],
)
def test_an_experiment_runs_itself(folder, capsys, target, code):
    found, out, err = said(capsys, "run", f"tasks.py:{target}", "--data", "data.jsonl", "--run-name", "ci 1")

    assert found == code
    if target in ("experiment", "experiment_async", "gate"):
        assert "exact   3  0.667" in out and "run ci 1" in out
    if target == "gate":
        assert err == "error: exact >= 0.9: it is 0.667\n"
        assert out.startswith("FAILED  ci: 3 items went through, 1 objection\n") and "\u2717 exact >= 0.9: it is 0.667\n" in out
    if target == "nothing":
        assert "experiment(context) gave back dict; it must return the result of context.run_experiment" in err


@pytest.mark.parametrize("option", [("--name", "foo"), ("--run-name", "foo"), ("--data", "data.jsonl")])
@pytest.mark.parametrize("kind", ["", "async"])
def test_an_option_that_the_call_of_an_experiment_passes_over_is_refused(folder, capsys, option, kind):
    """It was dropped without a word, where other options were refused."""
    (folder / "own.py").write_text(
        f"{kind} def experiment(context):\n"
        "    settings = {'name': 'own', 'run_name': 'r', 'data': [{'input': 1}], 'task': lambda item: 2}\n"
        f"    return {'await ' if kind else ''}context.run_experiment{'_async' if kind else ''}(**settings)\n".lstrip()
    )
    code, out, err = said(capsys, "run", "own.py", *option)
    told = f"{option[0]}={option[1]!r}: experiment(context) says this itself, in its call"
    assert (code, out, err) == (2, "", f"error: {told}\n")
    assert said(capsys, "run", "own.py")[0] == 0


@pytest.mark.parametrize(
    "option, value", [("--name", "foo"), ("--run-name", "foo"), ("--data", "data.jsonl"), ("--metadata", '{"a": 1}')]
)
@pytest.mark.parametrize("end", ["return result", "result.raise_for_checks('n > 1')"])
def test_an_option_that_an_experiment_never_asks_for_fails_its_run(folder, capsys, option, value, end):
    """It was dropped without a word where the experiment called its client, not the context."""
    (folder / "own.py").write_text(
        "def experiment(context):\n"
        "    settings = {'name': 'own', 'data': [{'input': 1}], 'task': lambda item: 2}\n"
        f"    result = context.client.run_experiment(**settings)\n    {end}\n"
    )
    code, out, err = said(capsys, "run", "own.py", option, value, "--output", "r.md")
    told = f"{option}={value!r}: had no effect: experiment(context) did not ask for it"
    assert code == 1 and out.startswith("FAILED  own: 1 item went through, ") and f"  \u2717 {told}\n" in out
    assert err.endswith(f"saved r.md\nerror: {told}\n") and told in (folder / "r.md").read_text(encoding="utf-8")


def test_an_experiment_that_asks_for_its_options_may_call_what_it_likes(folder, capsys):
    (folder / "own.py").write_text(
        "def experiment(context):\n"
        "    settings = {key: getattr(context, key) for key in ('name', 'run_name', 'data', 'metadata')}\n"
        "    return context.client.run_experiment(task=lambda item: 2, **settings)\n"
    )
    run = ("run", "own.py", "--name", "A", "--run-name", "R", "--data", "data.jsonl", "--metadata", '{"a": 1}')
    code, out, err = said(capsys, *run)
    assert (code, out.splitlines()[:2], err) == (0, ["DONE  A: 3 items went through", "  run R"], "")


def test_metadata_of_the_command_line_is_added_to_that_of_an_experiments_call(folder, capsys):
    run = ("run", "tasks.py:experiment", "--data", "data.jsonl", "--metadata", '{"sha": "1"}', "--output", "r.json")
    assert said(capsys, *run)[0] == 0
    assert ExperimentResult.load("r.json").metadata == {"sha": "1", "own": 1}


def test_an_experiment_may_make_its_own_of_what_it_is_told(folder, capsys):
    (folder / "own.py").write_text(
        "def experiment(context):\n"
        "    names = {'name': context.name + ' B', 'run_name': context.run_name + ' B', 'data': list(context.data)[:1]}\n"
        "    return context.run_experiment(task=lambda item: 1, **names)\n"
    )
    code, out, _ = said(capsys, "run", "own.py", "--name", "A", "--run-name", "R", "--data", "data.jsonl")
    assert code == 0 and out.startswith("DONE  A B: 1 item went through\n  run R B\n")


def test_an_experiment_without_data_says_what_is_missing(folder, capsys):
    code, _, err = said(capsys, "run", "tasks.py:experiment")

    assert code == 2 and err.startswith("error: data=None: give data= in the call, or to the RunnerContext")


def test_a_context_gives_what_the_call_leaves_out():
    with Interactive.local() as client:
        context = RunnerContext(
            client=client, data=[{"input": 1}], metadata={"sha": "1", "who": "ci"}, dataset_version="2026-01-01", name="ctx"
        )

        given = context.run_experiment(task=lambda item: 1)
        own = context.run_experiment(
            name="own", run_name="r", data=[{"input": 1}] * 2, task=lambda item: 1, metadata={"who": "me"}, repetitions=2
        )

    assert (given.name, len(given.item_results)) == ("ctx", 1)
    assert given.metadata == {"sha": "1", "who": "ci", "dataset_version": "2026-01-01"}
    assert (own.name, own.run_name, len(own.item_results)) == ("own", "r", 4)
    assert own.metadata == {"sha": "1", "who": "me", "dataset_version": "2026-01-01"}


def test_a_context_without_data_or_name_names_what_is_missing():
    with Interactive.local() as client:
        with pytest.raises(ArgumentError, match="data=None") as caught:
            RunnerContext(client=client, name="x").run_experiment(task=lambda item: 1)
        assert isinstance(caught.value, ValueError) and caught.value.argument == "data"
        with pytest.raises(ArgumentError, match="name=None"):
            RunnerContext(client=client, data=[]).run_experiment(task=lambda item: 1)
        assert RunnerContext(client=client, data=[], name="x").run_experiment(task=lambda item: 1).metadata == {}
