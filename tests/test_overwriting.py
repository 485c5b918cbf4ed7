"""No command writes over a file that it reads, or over one that it writes as something else: nothing runs, nothing is lost."""
from __future__ import annotations

import os

import pytest

from interactiveai_eval import Interactive
from interactiveai_eval.cli import main

CODE = """
def task(item):
    return item["input"]

def inputs(item):
    return {"input": item.input, "output": item.output}

def exact(*, output, expected_output=None):
    return output == expected_output
"""
RUN = ("run", "mine.py:task", "--data", "data.jsonl", "--evaluator", "mine.py:exact")
BATCH = ("batch", "--mapper", "mine.py:inputs", "--evaluator", "mine.py:exact", "--store", "s.json")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The files of a user, among them links and a store that another process has open: its last writes are beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "data.jsonl").write_text('{"input": "a", "expected_output": "a"}\n')
    with Interactive.local("s.json") as client:
        run = {"name": "r", "data": [{"input": 1}], "task": lambda item: 1}
        result = client.run_experiment(**run)
        for name in ("saved.json", "saved.jsonl", "before.json"):
            result.save(name)
        inputs = lambda item: {"input": item.input, "output": item.output}  # noqa: E731
        batch = client.run_batched_evaluation(scope="traces", mapper=inputs, evaluators=[lambda *, output: 1], max_items=0)
        batch.save("batch.json")
        os.symlink("data.jsonl", "link.jsonl")
        os.link("before.json", "twin.json")
        (tmp_path / "here").symlink_to(".")
        yield tmp_path


def contents(folder):
    return {
        path.name: (path.lstat().st_ino, path.read_bytes())
        for path in folder.iterdir()
        if path.is_file() and not path.name.endswith("-shm") and path.suffix != ".pyc"
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("export", "--store", "s.json", "--output", "s.json"), "--output='s.json': is also the store"),
        (("export", "--store", "s.json", "--output", "here/s.json"), "--output='here/s.json': is also the store"),
        (("export", "--store", "s.json", "--output", "s.json-wal"), "--output='s.json-wal': is also the store"),
        (("export", "--store", "s.json", "--output", "s.json-shm"), "--output='s.json-shm': is also the store"),
        (("report", "--store", "s.json", "--output", "s.json"), "--output='s.json': is also the store"),
        (("demo", "--limit", "1", "--store", "new.html", "--output", "new.html"), "--output='new.html': is also the store"),
        ((*RUN, "--output", "data.jsonl"), "--output='data.jsonl': is also the data"),
        ((*RUN, "--output", "link.jsonl"), "--output='link.jsonl': is also the data"),
        ((*RUN, "--checkpoint", "data.jsonl"), "--checkpoint='data.jsonl': is also the data"),
        ((*RUN, "--store", "s.json", "--output", "s.json"), "--output='s.json': is also the store"),
        ((*RUN, "--store", "new.json", "--checkpoint", "new.json"), "--checkpoint='new.json': is also the store"),
        ((*RUN, "--checkpoint", "c.json", "--output", "c.json"), "--output='c.json': is also the checkpoint"),
        ((*RUN, "--baseline", "before.json", "--output", "before.json"), "--output='before.json': is also the baseline"),
        ((*RUN, "--baseline", "before.json", "--output", "twin.json"), "--output='twin.json': is also the baseline"),
        ((*RUN, "--output", "r.md", "--output", "./r.md"), "--output='./r.md': is also what --output names"),
        ((*RUN, "--output", "r.json", "--action-json", "r.json"), "--action-json='r.json': is also what --output names"),
        ((*RUN, "--action-json", "mine.py"), "--action-json='mine.py': is also the code that runs"),
        ((*BATCH, "--output", "s.json"), "--output='s.json': is also the store"),
        ((*BATCH, "--checkpoint", "c.json", "--output", "c.json"), "--output='c.json': is also the checkpoint"),
        ((*BATCH, "--resume", "batch.json", "--output", "batch.json"), "--output='batch.json': is also the token to go on"),
        ((*BATCH, "--output", "r.md", "--output", "r.md"), "--output='r.md': is also what --output names"),
        (("report", "before.json", "saved.json", "--output", "saved.json"), "--output='saved.json': is also a saved result"),
        (("compare", "saved.jsonl", "before.json", "--output", "before.json"), "--output='before.json': is also the baseline"),
        (("check", "saved.json", "items == 1", "--output", "saved.json"), "--output='saved.json': is also a saved result"),
        (("vendor", "--check", "data.jsonl", "--sbom", "data.jsonl"), "--sbom='data.jsonl': is also the copy"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_an_output_that_is_another_file_of_the_command_is_refused_before_any_work(folder, capsys, arguments, told):
    before = contents(folder)

    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and err.startswith(f"error: {told}") and "name another file" in err
    assert contents(folder) == before


def test_the_store_that_the_environment_names_is_not_written_over(folder, capsys, monkeypatch):
    monkeypatch.setenv("INTERACTIVEAI_BASE_URL", "local:s.json")
    before = contents(folder)

    assert main([*RUN, "--output", "s.json"]) == 2
    assert capsys.readouterr().err.startswith("error: --output='s.json': is also the store")
    assert contents(folder) == before


def test_files_that_are_read_twice_and_outputs_of_their_own_are_fine(folder, capsys):
    """A module may be named like a file; a baseline may be the candidate."""
    (folder / "mine").write_text("")
    run = ("run", "mine:task", "--data", "data.jsonl", "--evaluator", "mine:exact", "--checkpoint", "c.json")

    assert main([*run, "--output", "r.md", "--output", "r.json", "--store", "s.json", "--action-json", "a.json"]) == 0
    assert main(["compare", "r.json", "r.json", "--output", "compared.json"]) == 0
