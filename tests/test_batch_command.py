"""The command `batch`: the same evaluation from a shell, with files and exit codes instead of values and exceptions."""
from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from interactiveai_eval import BatchEvaluationResult, BatchEvaluationResumeToken, Interactive
from interactiveai_eval.cli import main

from . import programs
from .test_batch import record, scored, stored_scores, trace

JUDGE = """
import os
import time

def inputs(item):
    return {"input": item.input, "output": item.output}

def inputs_of_all(item):
    return {"input": sorted(each.name for each in item.observations), "output": item.output}

def long(*, output):
    return len(str(output))

def ill(*, output):
    raise RuntimeError("judge is ill")

def slow(*, input, output):
    if "HURRY" not in os.environ and input > 2:
        open(os.environ.get("READY", os.devnull), "w").close()
        time.sleep(20)
    return 1.0

def names(*, input):
    return ",".join(input)

def both(*, item, evaluations):
    return {"name": "both", "value": sum(each.value for each in evaluations) + item.timestamp.year}
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("judge.py").write_text(JUDGE)
    with Interactive.local("traces.db") as client:
        record(client, *[trace(number) for number in range(8)])


def batch(*more, mapper="inputs", evaluator="long"):
    evaluators = [] if evaluator is None else ["--evaluator", f"judge.py:{evaluator}"]
    return main(["batch", "--mapper", f"judge.py:{mapper}", *evaluators, "--store", "traces.db", *more])


def test_all_that_went_through_is_exit_code_0_and_saved_as_often_as_wanted(capsys):
    assert batch("--output", "a.json", "--output", "b.json", "--scope", "traces") == 0

    assert "Items processed: 8" in capsys.readouterr().out
    assert BatchEvaluationResult.load("a.json") == BatchEvaluationResult.load("b.json")


def test_metadata_and_a_composite_reach_the_scores():
    assert batch("--metadata", '{"run": "nightly"}', "--composite", "judge.py:both", "--max-concurrency", "2") == 0

    with Interactive.local("traces.db") as client:
        rows = client.api.trace("t003")["scores"]
    assert {row["name"]: (row["value"], row["metadata"]) for row in rows} == {
        "long": (1.0, {"run": "nightly"}),
        "both": (2026.0, {"run": "nightly"}),
    }


def test_shards_take_all_items_once():
    for part in ("0/3", "1/3", "2/3"):
        assert batch("--shard", part) == 0

    with Interactive.local("traces.db") as client:
        every = scored(client)
    assert len(every) == 8 and set(every.values()) == {1}


@pytest.mark.parametrize("wrong", ["3/3", "1", "a/b", "-1/2", "0/0", "0/2/3"])
def test_what_is_no_shard_is_a_usage_error(wrong, capsys):
    with pytest.raises(SystemExit) as refused:
        batch(f"--shard={wrong}")

    assert refused.value.code == 2 and f"'{wrong}': must be K/N" in capsys.readouterr().err


def test_the_traces_of_a_data_set_run_are_read_whole(capsys):
    with Interactive.local("traces.db") as client:
        client.create_dataset(name="d")
        client.create_dataset_item(dataset_name="d", id="one", input=1)
        client.run_experiment(name="e", run_name="r", data=client.get_dataset("d"), task=lambda *, item: item.input)

    run = ("--dataset-run", "d", "r", "--full-traces", "--json")
    assert batch(*run, mapper="inputs_of_all", evaluator="names") == 0
    (evaluations,) = json.loads(capsys.readouterr().out)["item_evaluations"].values()
    assert "experiment-item-run" in evaluations[0]["value"]


def test_a_failure_is_exit_code_3_and_json_is_one_document(capsys):
    assert batch("--evaluator", "judge.py:ill", "--json") == 3

    document = json.loads(capsys.readouterr().out)
    assert (document["total_items_processed"], document["total_evaluations_failed"]) == (8, 8)


def test_a_time_budget_is_exit_code_3_and_the_rest_is_done_later_by_token_or_checkpoint(monkeypatch):
    limits = ("--time-budget", "0.4", "--max-concurrency", "1")
    assert batch(*limits, "--output", "early.json", evaluator="slow") == 3
    early = BatchEvaluationResult.load("early.json")
    assert not early.completed and early.has_more_items
    Path("token.json").write_text(early.resume_token.to_json())
    assert batch(*limits, "--checkpoint", "eval.json", evaluator="slow") == 3

    monkeypatch.setenv("HURRY", "1")
    assert batch("--resume", "token.json", "--output", "rest.json", evaluator="slow") == 0
    assert batch("--checkpoint", "eval.json", evaluator="slow") == 0

    rest = BatchEvaluationResult.load("rest.json")
    assert early.total_items_processed + rest.total_items_processed == 8
    assert BatchEvaluationResumeToken.from_json(Path("eval.json").read_bytes()).items_processed == 8
    with Interactive.local("traces.db") as client:
        assert len(stored_scores(client)) == 2 * 8  # of two runs


def test_going_on_from_a_saved_result_and_what_cannot_be_used(capsys):
    assert batch("--max-items", "3", "--output", "first.json") == 0
    assert batch("--resume", "first.json", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["total_items_processed"] == 5

    Path("nothing.json").write_text("{}")
    Path("readonly.json").write_text("{")
    for wrong in (
        ["--resume", "nothing.json"],
        ["--resume", "none.json"],
        ["--resume", "readonly.json"],
        ["--filter", "{"],
        ["--store", "none.db"],
        ["--output", "result.pdf"],
        ["--output", "nowhere/result.json"],
        ["--evaluator", "judge.py:nobody"],
        ["--mapper", "judge.py:nobody"],
        ["--metadata", "{"],
        ["--metadata", "[1]"],
        ["--max-items", "-1"],
        ["--time-budget", "0"],
        ["--dataset-run", "d", ".."],
        ["--dataset-run", "d", "r", "--scope", "observations"],
        ["--full-traces", "--scope", "observations"],
        ["--resume", "first.json", "--checkpoint", "eval.json"],
        ["--resume", "first.json", "--shard", "0/2"],
        ["--checkpoint", "first.json"],
        ["--checkpoint", "nowhere/eval.json"],
    ):
        assert batch(*wrong) == 2, wrong
        assert capsys.readouterr().err.startswith("error: ")


def test_without_a_store_there_is_nothing_to_evaluate(capsys):
    """A store in memory would be empty, and a run over it complete."""
    assert main(["batch", "--mapper", "judge.py:inputs", "--evaluator", "judge.py:long"]) == 2
    assert "nothing to evaluate: give --store" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["batch", "--mapper", "judge.py:inputs", "--store", "traces.db"])
    assert ended.value.code == 2 and "--evaluator" in capsys.readouterr().err


def test_a_run_of_a_data_set_that_is_not_there_is_a_usage_error(capsys):
    assert batch("--dataset-run", "capitals", "v9") == 2
    error = "error: --dataset-run='capitals v9': there is no such run of a data set here\n"
    assert capsys.readouterr().err == error


def test_nothing_left_to_do_is_said():
    assert batch("--output", "all.json") == 0
    assert batch("--resume", "all.json") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_a_signal_stops_saves_a_result_that_goes_on(number):
    command = [
        sys.executable, "-m", "interactiveai_eval", "batch", "--mapper", "judge.py:inputs", "--evaluator", "judge.py:slow",
        "--store", "traces.db", "--max-concurrency", "2", "--checkpoint", "eval.json", "--output", "early.json", "--json",
    ]  # fmt: skip
    environment = programs.environment(READY="ready")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as program:
        while not Path("ready").exists():
            assert program.poll() is None, program.communicate()
            time.sleep(0.01)
        program.send_signal(number)
        out, err = program.communicate(timeout=30)

    assert program.returncode == 3, err
    early = BatchEvaluationResult.load("early.json")
    assert json.loads(out)["total_items_processed"] == early.total_items_processed < 8 and "stopped" in err
    Path("judge.py").write_text(JUDGE.replace("time.sleep(20)", "pass"))
    for more in (["--checkpoint", "eval.json"], ["--resume", "early.json"]):
        assert batch(*more, evaluator="slow") == 0
    with Interactive.local("traces.db") as client:
        every = scored(client)
    assert len(every) == 8 and set(every.values()) == {1}  # both went on in the same run
