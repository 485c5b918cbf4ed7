"""What a result offers by itself: reading, printing in short, saving and loading."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys

import pytest

from interactiveai_eval._atomic import write_atomically
from interactiveai_eval.errors import ArgumentError, DataError
from interactiveai_eval.item_result import ExperimentItemResult
from interactiveai_eval.model import Evaluation, ItemFailure
from interactiveai_eval.result import ExperimentResult


def capitals(**fields):
    """A result of two items that went through and one that failed."""
    rows = [
        ExperimentItemResult(
            index=index,
            item={"input": country, "expected_output": city},
            output=answer,
            evaluations=[Evaluation(name="accuracy", value=answer == city)],
            trace_id=None,
            dataset_run_id=None,
        )
        for index, (country, city, answer) in enumerate([("France", "Paris", "Paris"), ("Italy", "Rome", "Milan")])
    ]
    failure = ItemFailure(index=2, item={"input": "Atlantis"}, stage="task", error_type="KeyError", message="Atlantis")
    known = {
        "name": "Capital Cities",
        "run_name": "first try",
        "item_results": rows,
        "item_failures": [failure],
        "run_evaluations": [],
        "dataset_run_url": "https://example.test/run",
    }
    return ExperimentResult(**{**known, **fields})


def test_fields_are_read_by_attribute_and_by_key():
    """TRAPS D05: the documentation reads `result["dataset_run_url"]`."""
    result = capitals()

    assert result.dataset_run_url == result["dataset_run_url"] == "https://example.test/run"
    assert [row["output"] for row in result["item_results"]] == ["Paris", "Milan"]


def test_its_text_is_one_line_and_its_repr_stays_short():
    result = capitals()

    assert str(result) == "Capital Cities: 3 items, 1 failed, accuracy 0.500"
    assert repr(result) == ("<ExperimentResult 'Capital Cities', run 'first try': 2 item results, 1 item failures>")


def test_changing_what_it_was_made_from_does_not_change_it():
    """TRAPS D62: a run evaluator that cleared `item_results` emptied the returned result."""
    rows = list(capitals().item_results)
    result = capitals(item_results=rows)

    rows.clear()

    assert len(result.item_results) == 2
    result.item_results.clear()  # a real list, and the caller's own
    assert result.item_results == []


def test_it_can_be_pickled_and_changed_into_another():
    result = capitals()

    assert pickle.loads(pickle.dumps(result)) == result
    assert result.replaced(name="Cities").name == "Cities"
    assert type(result.replaced(name="Cities")) is ExperimentResult


def test_a_saved_result_is_loaded_as_it_was(tmp_path):
    result = capitals()

    result.save(tmp_path / "run.json")

    assert ExperimentResult.load(tmp_path / "run.json") == result
    assert ExperimentResult.load(str(tmp_path / "run.json")) == result


def test_an_html_report_is_saved_for_a_browser(tmp_path):
    capitals().save(tmp_path / "run.HTML")

    assert (tmp_path / "run.HTML").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("name", ["run.pickle", "run", "run.json.gz", ".json"])
def test_another_extension_is_refused_with_what_is_possible(tmp_path, name):
    with pytest.raises(ArgumentError, match=r"saved as \.json, \.jsonl, \.csv, \.md, \.html, \.xml, \.txt; end"):
        capitals().save(tmp_path / name)
    with pytest.raises(ArgumentError, match=r"loaded from \.json"):
        ExperimentResult.load(tmp_path / "run.html")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_saved_is_named_as_the_caller_named_it(tmp_path):
    """The message had the name of a temporary file. Nothing of it is left."""
    (tmp_path / "q.json").mkdir()

    with pytest.raises(OSError) as refused:
        capitals().save(tmp_path / "q.json")
    assert (refused.value.filename, refused.value.filename2) == (str(tmp_path / "q.json"), None)
    assert [path.name for path in tmp_path.iterdir()] == ["q.json"]


def test_saved_files_are_for_their_owner_only_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        capitals().save(tmp_path / "run.json")
        capitals().save(tmp_path / "run.html")
    finally:
        os.umask(before)

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_file_keeps_its_content_when_writing_fails(tmp_path):
    target = tmp_path / "run.json"
    target.write_text("old")

    def pieces():
        yield "half of the ne"
        raise RuntimeError("the disk burns")

    with pytest.raises(RuntimeError, match="the disk burns"):
        write_atomically(str(target), pieces())

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.json", "old")]


def test_saving_where_a_folder_is_leaves_nothing_behind(tmp_path):
    (tmp_path / "run.json").mkdir()

    with pytest.raises(OSError, match=r"run\.json"):
        capitals().save(tmp_path / "run.json")

    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_link_is_replaced_and_what_it_points_to_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run.json").symlink_to(tmp_path / "precious")

    capitals().save(tmp_path / "run.json")

    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "run.json").is_symlink()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", r"Expecting"),
        ("[1, 2]", r"not a saved result: \[1, 2\] instead of an object"),
        ('{"name": "x"}', r"schema is None instead of 'interactiveai_eval/experiment-result'"),
        ("\xff", "not UTF-8 at byte 0"),
    ],
)
def test_a_file_that_is_no_result_is_refused_by_name_and_reason(tmp_path, text, reason):
    path = tmp_path / "other.json"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(DataError, match=rf"other\.json: .*{reason}"):
        ExperimentResult.load(path)


def test_the_module_loads_nothing_of_the_reports_before_it_is_asked():
    code = "import sys; import interactiveai_eval.result; print([m for m in sys.modules if 'reporting' in m])"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


def test_a_report_for_a_folder_that_is_not_there_names_the_report(tmp_path, client):
    result = client.run_experiment(name="r", data=[], task=lambda item: 1)
    with pytest.raises(FileNotFoundError) as missing:
        result.save(tmp_path / "no" / "r.json")

    assert missing.value.filename == str(tmp_path / "no" / "r.json")
