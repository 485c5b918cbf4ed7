"""The command line as a user meets it: real processes, their output, their exit codes and the files they leave."""
from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest

import interactiveai_eval
from interactiveai_eval.result import ExperimentResult

ROOT = os.path.dirname(next(iter(interactiveai_eval.__path__)))
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("INTERACTIVEAI_")},
    "PYTHONPATH": ROOT,
    "PYTHONIOENCODING": "utf-8",
    "PYTHONWARNINGS": "error",
}

TASKS = '''
import json
from pathlib import Path

def shout(*, item, **_):
    with open("calls.txt", "a") as calls:
        calls.write(item["input"] + "\\n")
    print("the task says hello\\n", end="")  # at once: two threads print side by side
    if item["input"] == "bad":
        raise ValueError("cannot shout\\nthis")
    return item["input"].upper()

class Judge:
    @staticmethod
    def exact(*, output, expected_output, **_):
        return {"name": "exact", "value": output == expected_output}

def slow(*, item, **_):
    import time
    time.sleep(0.5 if item["input"] == "a" else 0)

def slowly(*, output, **_):
    import time
    time.sleep(0.5)

def broken(*, output, **_):
    raise KeyError("judge")

def count(*, item_results):
    return {"name": "count", "value": len(item_results)}

def both(*, evaluations, **_):
    return {"name": "all", "value": all(e.value for e in evaluations)}

def experiment(context):
    return None

def wait(*, item, **_):
    if item["input"] == "last":
        import signal
        print("waiting", flush=True)
        signal.pause()
    return item["input"]

number = 5
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    items = [{"input": "a", "expected_output": "A"}, {"input": "b", "expected_output": "x"}]
    (tmp_path / "good.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "mixed.jsonl").write_text('{"input": "a"}\n{"input": "bad"}\n{"input": "c"}\n')
    return tmp_path


def command(folder, *arguments, **settings):
    environment = {**ENVIRONMENT, **settings.pop("environment", {})}
    return subprocess.run(
        [sys.executable, "-m", "interactiveai_eval", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        **settings,
    )


def refused(folder, *arguments):
    """The one line on stderr of a command that is used wrongly: nothing ran, nothing else is said."""
    done = command(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert not (folder / "calls.txt").exists()
    [line] = done.stderr.splitlines()
    return line


BAR = "\u2588" * 5 + "\u2591" * 5


def test_a_run_prints_its_report_and_passes(folder):
    done = command(
        folder, "run", "tasks:shout", "--data", "good.jsonl", "--evaluator", "tasks.py:Judge.exact",
        "--run-evaluator", "tasks.py:count", "--composite", "tasks:both", "--name", "Shouting", "--run-name", "one",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    shown, timing = done.stdout.split("\n\nTime  ")
    assert shown == (
        "the task says hello\n"
        "the task says hello\n"
        "DONE  Shouting: 2 items went through\n"
        "  run one\n"
        "\n"
        "Metric  n   mean  95 % interval     sd    p50    p90  distribution\n"
        f"exact   2  0.500  0.095 - 0.905  0.707  0.500  0.900  {BAR}\n"
        f"all     2  0.500  0.095 - 0.905  0.707  0.500  0.900  {BAR}\n"
        "count (run): 2.000\n"
        "\n"
        "Worst items\n"
        "  2. exact False, all False\n"
        "     input    b\n"
        "     expected x\n"
        "     output   B"
    )
    assert timing.count("\n") == 1


def test_items_that_fail_are_reported_and_give_exit_code_3(folder):
    done = command(folder, "run", "tasks:shout", "--data", "mixed.jsonl")

    assert done.returncode == 3
    assert "WITH ERRORS  shout: 2 items went through, 1 of 3 items failed\n" in done.stdout
    assert "      1 \xd7 task: ValueError (item 2)\n          cannot shout this\n" in done.stdout


def test_evaluators_that_fail_give_exit_code_3(folder):
    done = command(folder, "run", "tasks:shout", "--data", "good.jsonl", "--evaluator", "tasks:broken")

    assert done.returncode == 3
    assert "      2 \xd7 evaluator broken: KeyError (items 1, 2)\n          'judge'\n" in done.stdout


def test_machines_get_one_document_whatever_the_task_prints(folder):
    done = command(folder, "run", "tasks:shout", "--data", "mixed.jsonl", "--max-concurrency", "1", "--json")

    result = ExperimentResult.from_dict(json.loads(done.stdout))
    assert done.returncode == 3
    assert (result.name, [row.output for row in result.item_results]) == ("shout", ["A", "C"])
    assert [failure.index for failure in result.item_failures] == [1]
    assert done.stderr.count("the task says hello") == 3


def test_machines_get_errors_as_a_document_too(folder):
    done = command(folder, "run", "tasks:shout", "--data", "none.jsonl", "--json")

    assert done.returncode == 2
    assert done.stderr == "error: none.jsonl: no such file; check the path\n"
    assert json.loads(done.stdout) == {
        "error": {"type": "DataError", "message": "none.jsonl: no such file; check the path"}
    }


@pytest.mark.parametrize("wrong", [("nope",), ("run", "tasks:shout", "--nope"), ("check", "x.json")])
def test_machines_get_complaints_about_the_command_line_as_a_document(folder, wrong):
    done = command(folder, *wrong, "--json")

    error = json.loads(done.stdout)["error"]
    assert (done.returncode, done.stderr) == (2, f"error: {error['message']}\n") and error["type"] == "ArgumentError"


def test_items_come_from_stdin_and_are_checked_before_anything_runs(folder):
    run = ("run", "tasks:shout", "--data", "-", "--json")
    done = command(folder, *run, input='{"input": "a"}\n{"input": "b"}\n')
    assert [item["output"] for item in json.loads(done.stdout)["item_results"]] == ["A", "B"]

    done = command(folder, *run, input='{"input": "a"}\n{"in": "b"}\n')
    assert done.returncode == 2 and done.stderr.startswith("error: <stdin>, line 2: no 'input'")
    assert (folder / "calls.txt").read_text() == "a\nb\n"


def test_a_file_alone_is_its_experiment(folder):
    (folder / "alone.py").write_text(
        "def experiment(context):\n"
        "    return context.run_experiment(name='alone', data=[{'input': 1}], task=lambda item: 2)\n"
    )
    done = command(folder, "run", "alone.py")
    assert done.returncode == 0 and done.stdout.startswith("DONE  alone: 1 item")
    (folder / "other.py").write_text("def task(item):\n    return 1\n")
    assert "there is no 'experiment'; there is task" in refused(folder, "run", "other.py")


def test_results_are_saved_wherever_asked(folder):
    done = command(
        folder, "run", "tasks.py:shout", "--data", "good.jsonl", "--store", "s.db", "--output", "r.json",
        "--output", "r.html",
    )  # fmt: skip

    assert done.returncode == 0
    assert done.stderr == "saved r.json\nsaved r.html\n"
    assert [row.output for row in ExperimentResult.load(folder / "r.json").item_results] == ["A", "B"]
    assert "<h1>shout</h1>" in (folder / "r.html").read_text(encoding="utf-8")
    assert (folder / "s.db").read_bytes().startswith(b"SQLite format 3")


def test_a_finished_checkpoint_spares_the_calls(folder):
    arguments = ("run", "tasks:shout", "--data", "good.jsonl", "--run-name", "one", "--checkpoint", "c.json")

    first, second = command(folder, *arguments), command(folder, *arguments)

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert sorted((folder / "calls.txt").read_text().split()) == ["a", "b"]
    assert "2 items" in second.stdout


def test_a_stopped_run_saves_and_prints_what_it_has(folder):
    (folder / "items.jsonl").write_text('{"input": "first"}\n{"input": "last"}\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "interactiveai_eval", "run", "tasks:wait", "--data", "items.jsonl", "--output", "r.json",
         "--max-concurrency", "1"],
        cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)

    assert process.returncode == 3
    assert "error: the run was stopped (KeyboardInterrupt); this is what it has until then\nsaved r.json\n" in errors
    assert "Traceback" not in errors
    assert output.startswith("INCOMPLETE  wait: stopped after 2 items, 1 of 2 items failed\n") and "\n\nGo on\n" in output
    assert [row.output for row in ExperimentResult.load(folder / "r.json").item_results] == ["first"]


RUN = ("run", "tasks:shout", "--data", "good.jsonl")


def run_of(target):
    return ("run", target, "--data", "good.jsonl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: COMMAND (see python -m interactiveai_eval --help)"),
        (("fly",), "argument COMMAND: invalid choice: 'fly'"),
        (("run", "tasks:shout"), "the following arguments are required: --data (see python -m interactiveai_eval run"),
        ((*RUN, "--max-concurrency", "x"), "argument --max-concurrency: invalid"),
        ((*RUN, "--max-concurrency", "0"), "max_concurrency=0: "),
        ((*RUN, "--name", ""), "name='': "),
        ((*RUN, "--data", "good.txt"), "data='good.txt': must end in .jsonl, .json, .csv"),
        (run_of("tasks"), "TARGET='tasks': must look like module:function or file.py:function"),
        (run_of("nothing:f"), "TARGET='nothing:f': there is no module 'nothing' here or installed"),
        (run_of("./x.py:f"), "TARGET='./x.py:f': there is no file ./x.py"),
        (run_of("a-b:f"), "TARGET='a-b:f': 'a-b' is no module's name; a file's name ends in .py"),
        (run_of("tasks:shot"), "TARGET='tasks:shot': there is no 'shot'; there is Path, shout, Judge, "),
        (run_of("tasks:number"), "TARGET='tasks:number': is not a function but int"),
        ((*run_of("tasks:experiment"), "--evaluator", "x:y"), "--evaluator=['x:y']: experiment(context) says this itself"),
        ((*run_of("tasks:experiment"), "--max-concurrency", "2"), "--max-concurrency=2: experiment(context) says this"),
        ((*run_of("tasks:experiment"), "--max-concurrency", "50"), "--max-concurrency=50: experiment(context) says this"),
        ((*run_of("tasks:experiment"), "--task-retries", "2"), "--task-retries=2: experiment(context) says this itself"),
        ((*RUN, "--check", "accuracy"), "check='accuracy': at character 9: expected one of >= <= > < == !="),
        ((*RUN, "--check", "x.delta > 0"), "check='x.delta > 0': compares with a baseline; name one with --baseline"),
        ((*RUN, "--baseline", "none.json"), "baseline='none.json': cannot be read: No such file or directory"),
        ((*RUN, "--reduce", "max"), "reduce='max': must be 'mean', 'median', 'majority', 'pass_at(k)'"),
        ((*RUN, "--action-json", "no/r.json"), "--action-json='no/r.json': its folder does not exist"),
        (("report", "good.jsonl"), "good.jsonl: not a saved result: schema is None instead of"),
        (("report", "tasks.py"), "SAVED='tasks.py': a result can be loaded from .json or .jsonl; save it as that"),
        (("check", "none.json", "a > 1"), "SAVED='none.json': cannot be read: No such file or directory"),
        (run_of("tasks:count"), "task="),
        ((*RUN, "--evaluator", "x:y"), "--evaluator='x:y': there is no module 'x' here or installed"),
        ((*RUN, "--output", "r.pdf"), "--output='r.pdf': a result can be saved as .json, .jsonl, .csv, .md, .html, .xml, .txt; end"),
        ((*RUN, "--output", "no/r.json"), "--output='no/r.json': its folder does not exist or cannot be written to"),
        (("import", "t.jsonl"), "the following arguments are required: --store (see python -m interactiveai_eval import"),
        (("import", "none.jsonl", "--store", "s.db"), "none.jsonl: no such file; check the path"),
        (("export",), "the following arguments are required: --store (see python -m interactiveai_eval export"),
        (("export", "--store", "s.db"), "--store='s.db': there is no such file"),
        (("export", "--store", "tasks.py", "--output", "no/t.jsonl"), "--output='no/t.jsonl': its folder does not exist"),
        (("demo", "--limit", "0"), "--limit=0: must be from 1 to 40"),
        (("demo", "--limit", "41"), "--limit=41: must be from 1 to 40"),
        (("demo", "--output", "r.json"), "--output='r.json': several results can be saved as .md, .html, .xml, .txt; end the"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(folder, arguments, message):
    assert refused(folder, *arguments).startswith(f"error: {message}")


def test_a_bad_line_anywhere_in_the_data_runs_nothing(folder):
    (folder / "bad.jsonl").write_text('{"input": "a"}\n{"input": \n')

    assert refused(folder, "run", "tasks:shout", "--data", "bad.jsonl") == (
        "error: bad.jsonl, line 2: Expecting value at column 10; write one JSON object a line"
    )


def test_a_module_that_cannot_be_imported_says_where(folder):
    (folder / "sick.py").write_text("import json\n\nboom = {}['key']\n")
    (folder / "half.py").write_text("import no_such_thing\n")
    (folder / "typo.py").write_text("def f(:\n")
    (folder / "exits.py").write_text("raise SystemExit(7)\n")

    for target, reason in {
        "sick:f": "importing sick failed: KeyError: 'key' (sick.py, line 3)",
        "sick.py:f": "importing sick.py failed: KeyError: 'key' (sick.py, line 3)",
        "half:f": "importing half failed: ModuleNotFoundError: No module named 'no_such_thing' (half.py, line 1)",
        "typo.py:f": "importing typo.py failed: SyntaxError: invalid syntax (typo.py, line 1)",
        "exits.py:f": "importing exits.py failed: SystemExit: 7 (exits.py, line 1)",
    }.items():
        assert refused(folder, "run", target, "--data", "good.jsonl") == f"error: TARGET={target!r}: {reason}"


def test_a_file_is_loaded_once_and_takes_no_other_modules_place(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "json.py").write_text(
        "import beside\nprint('loaded', __name__ == 'json')\n"
        "def task(*, item, **_):\n    return beside.twice(item['input'])\n"
        "def length(*, output, **_):\n    return len(output)\n"
    )
    (folder / "sub" / "beside.py").write_text("def twice(text):\n    return text * 2\n")

    done = command(folder, "run", "sub/json.py:task", "--data", "good.jsonl", "--evaluator", "sub/json.py:length")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("loaded False\nDONE  task: ")
    assert "length  2  2.000  2.000 - 2.000" in done.stdout


def test_the_current_folder_is_importable_in_isolated_mode(folder):
    code = (
        f"import sys; sys.path.append({ROOT!r}); from interactiveai_eval.cli import main; "
        "sys.exit(main(['run', 'tasks:shout', '--data', 'good.jsonl']))"
    )

    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, encoding="utf-8")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("option", [("--store", "."), ("--store", "no/s.db"), ("--checkpoint", "good.jsonl")])
def test_a_store_or_checkpoint_that_cannot_be_used_gives_exit_code_2(folder, option):
    done = command(folder, "run", "tasks:shout", "--data", "good.jsonl", *option)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "calls.txt").exists()


def run_to_document(folder, *arguments):
    done = command(folder, "run", *arguments, "--json")
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_run_takes_the_settings_of_run_experiment(folder):
    code, document, _ = run_to_document(
        folder, "tasks:shout", "--data", "mixed.jsonl", "--repetitions", "2", "--task-retries", "1",
        "--rate-limit", "500", "--time-budget", "30", "--metadata", '{"model": "large"}', "--fail-on-error", "0.9",
    )  # fmt: skip

    assert code == 3 and document["metadata"] == {"model": "large"} and document["completed"]
    assert [(item["output"], item["repetition"]) for item in document["item_results"]] == [
        ("A", 0), ("A", 1), ("C", 0), ("C", 1),
    ]  # fmt: skip
    assert [(failure["index"], failure["attempts"]) for failure in document["item_failures"]] == [(1, 2), (1, 2)]


def test_a_run_takes_timeouts(folder):
    code, document, _ = run_to_document(
        folder, "tasks:slow", "--data", "good.jsonl", "--evaluator", "tasks:slowly",
        "--task-timeout", "0.2", "--evaluator-timeout", "0.1",
    )  # fmt: skip

    assert code == 3 and [failure["stage"] for failure in document["item_failures"]] == ["timeout"]
    (missed,) = document["item_results"][0]["evaluator_failures"]
    assert missed["message"] == "slowly did not finish within 0.1 s"


@pytest.mark.parametrize("option", [("--fail-on-error", "1"), ("--time-budget", "0.001")])
def test_a_run_that_its_limits_end_gives_exit_code_3(folder, option):
    code, document, said = run_to_document(folder, "tasks:shout", "--data", "mixed.jsonl", "--max-concurrency", "1", *option)

    assert code == 3 and not document["completed"] and len(document["item_results"]) < 2
    assert ("fail_on_error ends the run at 1" in said) == (option[0] == "--fail-on-error")


@pytest.mark.parametrize(
    "option, value, message",
    [
        ("--metadata", "{", "error: --metadata='{': is no JSON"),
        ("--metadata", "[1]", "error: metadata=[1]: must be a dict whose keys are distinct texts"),
        ("--fail-on-error", "2.5", "error: fail_on_error=2.5: must be True"),
        ("--fail-on-error", "many", "error: argument --fail-on-error: 'many' is no number (see "),
        ("--repetitions", "0", "error: repetitions=0: must be a whole number of at least 1"),
        ("--rate-limit", "fast", "error: argument --rate-limit: invalid float value: 'fast'"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line_and_exit_code_2(folder, option, value, message):
    assert message in refused(folder, "run", "tasks:shout", "--data", "good.jsonl", option, value)


def test_an_option_that_is_misspelt_is_told_by_the_command_that_lacks_it(folder):
    done = command(folder, "run", "tasks:shout", "--data", "good.jsonl", "--evaluater", "tasks:broken")

    assert done.returncode == 2
    assert "error: unknown argument --evaluater; did you mean --evaluator? (see python" in done.stderr
    assert done.stderr.endswith("interactiveai_eval run --help)\n")


def test_half_set_credentials_are_not_passed_over(folder):
    environment = {"INTERACTIVEAI_PUBLIC_KEY": "pk-lf-1"}

    done = command(folder, "run", "tasks:shout", "--data", "good.jsonl", environment=environment)

    assert done.returncode == 2
    assert "INTERACTIVEAI_SECRET_KEY is not set" in done.stderr


def test_a_terminal_without_unicode_gets_ascii(folder):
    arguments = ("run", "tasks:shout", "--data", "good.jsonl", "--evaluator", "tasks:Judge.exact", "--name", "exact")
    done = command(folder, *arguments, environment={"PYTHONIOENCODING": "ascii"})

    assert done.returncode == 0
    assert "DONE  exact: 2 items" in done.stdout and "  #####.....\n" in done.stdout


def test_a_reader_that_leaves_early_is_no_error(folder):
    environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": ""}
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "interactiveai_eval", "demo", "--limit", "1"],
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.PIPE,
        )

    assert (done.returncode, done.stderr) == (3, b"")


# -- import and export -------------------------------------------------------------------------------------------------


MOMENT = "2025-11-20T10:00:00.%03dZ"
TRACES = [
    {
        "id": f"t{n}",
        "timestamp": MOMENT % n,
        "tags": ["even"] if n % 2 == 0 else [],
        "input": "caf\u00e9",
        "observations": [{"id": f"o{n}", "type": "SPAN", "startTime": MOMENT % n}],
        "scores": [{"id": f"s{n}", "name": "acc", "value": n, "timestamp": MOMENT % n}],
    }
    for n in range(3)
]


@pytest.fixture
def traces(folder):
    """A folder with a file of three traces."""
    (folder / "t.jsonl").write_text("".join(json.dumps(trace) + "\n" for trace in TRACES))
    return folder


def test_traces_go_into_a_store_and_out_again(traces):
    first = command(traces, "import", "t.jsonl", "--store", "a.db")
    out = command(traces, "export", "--store", "a.db", "--output", "a.jsonl")
    second = command(traces, "import", "a.jsonl", "--store", "b.db")
    again = command(traces, "export", "--store", "b.db", "--output", "b.jsonl")

    assert (first.returncode, first.stdout, first.stderr) == (0, "imported 3 traces, 3 observations, 3 scores\n", "")
    assert (out.returncode, out.stdout, out.stderr) == (0, "", "exported 3 traces\n")
    assert (second.returncode, again.returncode) == (0, 0)
    assert (traces / "a.jsonl").read_bytes() == (traces / "b.jsonl").read_bytes()
    assert [json.loads(line)["id"] for line in (traces / "a.jsonl").read_text().splitlines()] == ["t0", "t1", "t2"]


def test_traces_come_from_stdin_and_go_to_stdout(traces):
    first = command(traces, "import", "-", "--store", "a.db", input=(traces / "t.jsonl").read_text())
    even = json.dumps([{"type": "arrayOptions", "column": "tags", "operator": "any of", "value": ["even"]}])
    out = command(traces, "export", "--store", "a.db", "--filter", even)

    assert (first.returncode, first.stderr) == (0, "")
    assert [json.loads(line)["id"] for line in out.stdout.splitlines()] == ["t0", "t2"]
    assert (out.returncode, out.stderr) == (0, "exported 2 traces\n")


def test_machines_get_counts_of_import_and_export(traces):
    first = command(traces, "import", "t.jsonl", "--store", "a.db", "--json")
    out = command(traces, "export", "--store", "a.db", "--output", "a.jsonl", "--json")
    both = command(traces, "export", "--store", "a.db", "--json")

    taken = {"acknowledged": 3, "pending": 0, "rejected": 0, "skipped": 0}
    imported = {"traces": taken, "observations": taken, "scores": taken}
    assert json.loads(first.stdout) == {"imported": imported, "problems": []}
    assert json.loads(out.stdout) == {"exported": 3, "output": os.path.join(os.path.realpath(traces), "a.jsonl")}
    assert (first.returncode, first.stderr, out.returncode, out.stderr) == (0, "", 0, "")
    assert (both.returncode, both.stderr) == (2, "error: --output='-': --json takes stdout; name a file\n")


def test_a_run_without_any_stdout_is_no_error(folder):
    ends_without = "import sys; sys.stdout = None; from interactiveai_eval.cli import main; sys.exit(main(sys.argv[1:]))"
    for option in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-c", ends_without, "run", "tasks:shout", "--data", "good.jsonl", *option],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            cwd=folder,
        )
        assert (done.returncode, done.stdout) == (0, "") and "error" not in done.stderr.lower()


def test_a_bad_line_of_traces_makes_no_store(traces):
    bad = (traces / "t.jsonl").read_text() + '{"id": "t9"}\n'
    (traces / "bad.jsonl").write_text(bad)
    message = "line 4: no 'timestamp'; a line is a trace as GET traces/{id} gives it"

    assert refused(traces, "import", "bad.jsonl", "--store", "a.db") == f"error: bad.jsonl, {message}"
    done = command(traces, "import", "-", "--store", "a.db", "--json", input=bad)

    assert (done.returncode, done.stderr) == (2, f"error: <stdin>, {message}\n")
    assert json.loads(done.stdout) == {"error": {"type": "DataError", "message": f"<stdin>, {message}"}}
    assert not (traces / "a.db").exists()


def test_an_empty_file_imports_nothing(folder):
    (folder / "t.jsonl").write_text("")

    done = command(folder, "import", "t.jsonl", "--store", "a.db")

    assert (done.returncode, done.stdout) == (0, "imported nothing\n")


EVERY_STORE_USER = [
    ("run", "tasks:shout", "--data", "good.jsonl"),
    ("batch", "--mapper", "tasks:shout", "--evaluator", "tasks:shout"),
    ("demo", "--limit", "1"),
    ("import", "t.jsonl"),
    ("export", "--output", "old.jsonl"),
]


@pytest.mark.parametrize("arguments", EVERY_STORE_USER)
def test_a_store_that_cannot_be_opened_gives_exit_code_2_with_every_command(traces, arguments):
    """Nothing was run: what the help says of 2."""
    (traces / "old.jsonl").write_text("old")
    (traces / "folder").mkdir()

    for store, reason in (("tasks.py", "store 'tasks.py': it is not an SQLite database"), ("folder", ".*is a")):
        message = refused(traces, *arguments, "--store", store)
        assert re.match(f"error: --store='{store}': {reason}", message)
    assert (traces / "old.jsonl").read_text() == "old"


def test_a_store_of_the_environment_that_cannot_be_opened_gives_exit_code_2(folder):
    environment = {"INTERACTIVEAI_BASE_URL": "local:tasks.py"}
    done = command(folder, "run", "tasks:shout", "--data", "good.jsonl", environment=environment)

    assert done.returncode == 2 and "store 'tasks.py': it is not an SQLite database" in done.stderr


@pytest.mark.parametrize("name", ["run", "demo", "import", "export"])
def test_every_command_explains_itself(folder, name):
    done = command(folder, name, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m interactiveai_eval {name}")
    assert "exit codes:" in done.stdout
    assert "--json" in done.stdout


def test_the_help_is_as_wide_as_the_environment_says(folder):
    narrow, wide = [command(folder, "demo", "--help", environment={"COLUMNS": columns}).stdout for columns in ("60", "160")]

    assert wide.partition("\n")[0].endswith("[--json]") and not narrow.partition("\n")[0].endswith("[--json]")


def test_the_version_is_printed(folder):
    done = command(folder, "--version")

    assert (done.returncode, done.stdout) == (0, f"{interactiveai_eval.__version__}\n")


def test_the_demonstration_compares_four_models(folder):
    done = command(folder, "demo")

    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if "accuracy: " in line] == [
        "  \u2022 accuracy: 0.225",
        "  \u2022 accuracy: 0.400",
        "  \u2022 accuracy: 0.350",
        "  \u2022 accuracy: 0.550",
    ]
    assert done.stdout.endswith(
        "Experiment          n  failed  accuracy  95 % interval\n"
        f"{chr(0x2500) * 17}  {chr(0x2500) * 2}  {chr(0x2500) * 6}  {chr(0x2500) * 8}  {chr(0x2500) * 13}\n"
        "6b_finetuning      40       0     0.225  0.123 - 0.375\n"
        "6b_verification    40       0     0.400  0.263 - 0.554\n"
        "175b_finetuning    40       0     0.350  0.221 - 0.505\n"
        "175b_verification  40       0     0.550  0.398 - 0.693\n"
        "\n"
        f"Report: {os.path.realpath(folder)}{os.sep}gsm8k-demo.html\n"
    )
    assert "<h1>4 experiments</h1>" in (folder / "gsm8k-demo.html").read_text(encoding="utf-8")


def test_the_demonstration_can_be_short_kept_and_read_by_machines(folder):
    done = command(folder, "demo", "--limit", "1", "--store", "s.db", "--output", "r.html", "--json")

    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert document["report"] == os.path.join(os.path.realpath(folder), "r.html")
    assert document["comparison"][3] == {
        "experiment": "175b_verification",
        "n": 1,
        "failed": 0,
        "metrics": [
            {
                "name": "accuracy",
                "kind": "boolean",
                "n": 1,
                "missing": 0,
                **dict.fromkeys(("value", "high", "min", "p50", "p90", "max"), 1.0),
                "low": pytest.approx(0.2065, abs=1e-4),
                "interval": "wilson",
                **dict.fromkeys(("stdev", "stderr", "unstable")),
                "labels": {},
            }
        ],
    }
    assert [ExperimentResult.from_dict(result).name for result in document["results"]] == [
        "6b_finetuning",
        "6b_verification",
        "175b_finetuning",
        "175b_verification",
    ]
    assert sorted(path.name for path in folder.iterdir() if path.suffix in (".html", ".db")) == ["r.html", "s.db"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--json", "--limit", "1"),
        ("demo", "--limit", "1"),
        ("run", "tasks:shout", "--data", "good.jsonl", "--json"),
        ("--version",),
        ("--help",),
        ("run", "--help"),
        ("export", "--store", "s.db"),
    ],
)
def test_a_full_disk_under_the_output_is_one_line_and_exit_code_3(folder, arguments):
    with interactiveai_eval.Interactive.local(str(folder / "s.db")) as client:
        client.start_span(name="one").end()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "interactiveai_eval", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=folder,
        )

    told = done.stderr.replace("the task says hello", "").strip()
    assert (done.returncode, told) == (3, "error: the output cannot be written: No space left on device")


SAVED = {
    "run": ("run", "tasks:shout", "--data", "good.jsonl", "--output", "new.json", "--output", "new.csv"),
    "run --json": ("run", "tasks:shout", "--data", "good.jsonl", "--json", "--output", "new.json"),
    "report": ("report", "old.json", "--output", "new.json"),
    "check": ("check", "old.json", "failure_rate <= 0.5", "--output", "new.html"),
    "batch": ("batch", "--mapper", "tasks:inputs", "--evaluator", "tasks:size", "--store", "s.db", "--output", "new.json"),
    "demo": ("demo", "--limit", "1", "--output", "new.html"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["gone", "full"])
@pytest.mark.parametrize("name", SAVED)
def test_files_are_saved_though_nobody_can_read_what_is_printed(folder, name, kind):
    if kind == "full" and not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    (folder / "tasks.py").write_text(
        TASKS.replace('print("the task says hello\\n", end="")', "pass")
        + "def inputs(item):\n    return {'input': 1, 'output': item.name}\ndef size(*, output):\n    return len(output)\n"
    )
    if name in ("report", "check"):
        with interactiveai_eval.Interactive.local() as client:
            result = client.run_experiment(name="old", data=[{"input": 1}], task=lambda item: 1)
            result.save(str(folder / "old.json"))
    if name == "batch":
        with interactiveai_eval.Interactive.local(str(folder / "s.db")) as client:
            client.start_span(name="one", output="x").end()
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "wb") if kind == "full" else open(writer, "wb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "interactiveai_eval", *SAVED[name]],
            cwd=folder, env=ENVIRONMENT, stdout=stream, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    if kind == "full":
        os.close(writer)

    told = [line for line in done.stderr.splitlines() if not line.startswith("saved ")]
    lost = ["error: the output cannot be written: No space left on device"] if kind == "full" else []
    assert (done.returncode, told) == (3, lost)
    named = [SAVED[name][place + 1] for place, word in enumerate(SAVED[name]) if word == "--output"]
    assert all((folder / path).stat().st_size for path in named)


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("--version",), ("check", "none.json", "a > 1", "--json")])
def test_a_reader_that_has_left_is_exit_code_3_for_what_is_said_of_commands_too(folder, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "interactiveai_eval", *arguments],
            cwd=folder, env=ENVIRONMENT, stdout=stream, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    assert done.returncode == 3 and done.stderr.count("\n") == ("--json" in arguments)


@pytest.mark.skipif(os.name == "nt", reason="closes a stream with sh")
@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("run tasks:shout --data - <&-", 2, "error: <stdin>: standard input is closed; name a file, or send it the lines"),
        ("import - --store n.db <&-", 2, "error: <stdin>: standard input is closed; name a file, or send it the lines"),
        ("export --store s.db >&-", 3, "error: the output cannot be written: standard output is closed"),
        ("export --store s.db >&- 2>&-", 3, ""),
        ("run tasks:shout --data good.jsonl >&-", 0, ""),
        ("run tasks:shout --data good.jsonl --json <&- >&- 2>&-", 0, ""),
        ("--help >&-", 0, ""),
        ("fly 2>&-", 2, ""),
    ],
)
def test_a_stream_that_is_closed_is_named_where_it_is_needed_and_else_stops_nothing(folder, line, code, told):
    with interactiveai_eval.Interactive.local(str(folder / "s.db")) as client:
        client.start_span(name="one").end()
    before = (folder / "s.db").read_bytes()

    done = subprocess.run(
        ["sh", "-c", f'"$0" -m interactiveai_eval {line}', sys.executable],
        cwd=folder, env=ENVIRONMENT, capture_output=True, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr.strip()) == (code, "", told)
    assert (folder / "s.db").read_bytes() == before and not (folder / "n.db").exists()


def test_lines_for_people_that_nobody_reads_end_no_command(folder):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "interactiveai_eval", *SAVED["run"]],
            cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=stream, text=True,
        )  # fmt: skip

    assert done.returncode == 0 and "DONE" in done.stdout
    assert (folder / "new.json").exists() and (folder / "new.csv").exists()


def test_a_file_that_cannot_be_saved_keeps_no_report_from_being_printed(folder):
    (folder / "deep").mkdir()
    (folder / "tasks.py").write_text(TASKS + "\ndef away(*, item):\n    import os\n    os.rmdir('deep')\n")
    (folder / "one.jsonl").write_text('{"input": "a"}\n')

    done = command(folder, "run", "tasks:away", "--data", "one.jsonl", "--json", "--output", "deep/new.json")

    assert done.returncode == 3 and done.stderr.startswith("error: ") and json.loads(done.stdout)["name"] == "away"
