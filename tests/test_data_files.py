"""Items from files: what is read, and that a bad file is refused before its first item is handed out."""

from __future__ import annotations

import os

import pytest

from interactiveai_eval.data_files import read_items
from interactiveai_eval.errors import ArgumentError, DataError


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def refusal(path):
    """What `read_items` says against the file; it must say so when called, not when the items are taken."""
    with pytest.raises(DataError) as caught:
        read_items(path)
    return str(caught.value).replace(f"{path.parent}{os.sep}", "")


def test_an_object_a_line(tmp_path):
    path = written(
        tmp_path,
        "d.jsonl",
        '{"input": "caf\u00e9", "expected_output": 1, "metadata": {"a": [1]}, "id": "x"}\r\n\n'
        '  {"input": {"q": false}}',
    )

    assert list(read_items(path)) == [
        {"input": "caf\u00e9", "expected_output": 1, "metadata": {"a": [1]}, "id": "x"},
        {"input": {"q": False}},
    ]
    assert list(read_items(str(path))) == list(read_items(path))


def test_a_list_of_objects(tmp_path):
    path = written(tmp_path, "d.JSON", '[{"input": 0}, {"input": "", "extra": null}]')

    assert list(read_items(path)) == [{"input": 0}, {"input": "", "extra": None}]


def test_rows_under_a_header(tmp_path):
    path = written(
        tmp_path,
        "d.csv",
        "id,input,expected_output,metadata,\r\n"
        '1,"two\nlines, and ""quotes""",[1],"{""tags"": [1]}",ignored\r\n'
        "\r\n"
        "2,,,[not json,\r\n"
        "3,007,x,,\r\n",
    )

    assert list(read_items(path)) == [
        {"id": "1", "input": 'two\nlines, and "quotes"', "expected_output": "[1]", "metadata": {"tags": [1]}},
        {"id": "2", "input": "", "metadata": "[not json"},
        {"id": "3", "input": "007", "expected_output": "x"},
    ]


@pytest.mark.parametrize(
    ("name", "text"), [("d.jsonl", '{"input": 1}\n'), ("d.json", '[{"input": 1}]'), ("d.csv", "input\n1\n")]
)
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, name, text):
    path = written(tmp_path, name, "\ufeff" + text)

    assert [str(item["input"]) for item in read_items(path)] == ["1"]


def test_items_are_taken_as_they_are_needed(tmp_path):
    items = read_items(written(tmp_path, "d.jsonl", '{"input": 1}\n{"input": 2}\n'))

    assert iter(items) is items
    assert next(items) == {"input": 1}
    items.close()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.jsonl", '{"input": 1}\n{"input": 2 3}\n', "d.jsonl, line 2: Expecting ',' delimiter at column 13; "),
        (
            "d.jsonl",
            '{"input": 1}\n\n{"output": 2}\n',
            "d.jsonl, line 3: no 'input', only 'output'; name what the task",
        ),
        ("d.jsonl", "{}", "d.jsonl, line 1: no 'input', only nothing; name what the task reads 'input'"),
        ("d.jsonl", '{"input": null}', "d.jsonl, line 1: input is null; name what the task reads 'input'"),
        ("d.jsonl", '"text"', "d.jsonl, line 1: 'text' is not an object; write {\"input\": ...}"),
        ("d.jsonl", '{"input": NaN}', "d.jsonl, line 1: NaN is not JSON; write one JSON object a line"),
        ("d.jsonl", b'{"input": 1}\n{"input": "\xe9"}', "d.jsonl, line 2: not UTF-8 at byte 11"),
        ("d.jsonl", '{"input": 1}'.encode("utf-16"), "d.jsonl, line 1: not UTF-8 at byte 0"),
        ("d.jsonl", '{"input": ' + "[" * 5000 + "]" * 5000 + "}", "d.jsonl, line 1: nested deeper than 200 levels"),
        ("d.jsonl", '{\n"input": 1\n}\n', "d.jsonl, line 1: Expecting property name"),
        ("d.jsonl", "\n\n", "d.jsonl: holds no items; give it at least one"),
        ("d.json", "[]", "d.json: holds no items; give it at least one"),
        ("d.json", '{"input": 1}', "d.json: {'input': 1} is not a list; write [{\"input\": ...}, ...]"),
        ("d.json", '[{"input": 1},\n {"input" 2}]', "d.json, Expecting ':' delimiter: line 2 column 11"),
        ("d.json", '[{"input": 1}, {"inputs": 2}]', "d.json, item 2: no 'input', only 'inputs'"),
        ("d.csv", "", "d.csv: holds no items"),
        ("d.csv", "input,expected_output\n", "d.csv: holds no items"),
        ("d.csv", "question;answer\n1;2\n", "d.csv, line 1: no column 'input', only 'question;answer'"),
        ("d.csv", "input,input\n1,2\n", "d.csv, line 1: two columns are named 'input'; rename one"),
        ("d.csv", 'input,b\n"x\ny",2\n1,2,3\n', "d.csv, line 4: 3 cells for 2 columns; put cells with commas, quotes"),
        ("d.csv", "input,b\n1\n", "d.csv, line 2: 1 cells for 2 columns"),
        ("d.csv", 'input\n"open\n', "d.csv, line 2: unexpected end of data; check the quotes"),
        ("d.csv", b"input\n1\n\xe9\n", "d.csv, line 3: not UTF-8 at byte 0; save it as UTF-8"),
        (
            "d.csv",
            "input\n" + "x" * 200_000,
            "d.csv, line 2: field larger than field limit (131072); save long cells as",
        ),
    ],
)
def test_a_bad_file_is_refused_with_line_and_reason(tmp_path, name, content, message):
    assert refusal(written(tmp_path, name, content)).startswith(message)


def test_an_error_in_the_last_line_is_found_before_the_first_item_is_handed_out(tmp_path):
    path = written(tmp_path, "d.jsonl", '{"input": 1}\n' * 10_000 + '{"input"')

    assert refusal(path).startswith("d.jsonl, line 10001: ")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    (tmp_path / "folder.jsonl").mkdir()

    assert refusal(tmp_path / "none.jsonl") == "none.jsonl: no such file; check the path"
    assert refusal(tmp_path / "folder.jsonl") == "folder.jsonl: is not a regular file; save it to a file first"


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")

    assert refusal(tmp_path / "pipe.jsonl") == "pipe.jsonl: is not a regular file; save it to a file first"


def test_another_extension_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"must end in \.jsonl, \.json, \.csv; convert the file"):
        read_items(written(tmp_path, "d.xlsx", "x"))


def test_a_file_that_changes_after_the_check_is_checked_again(tmp_path):
    path = written(tmp_path, "d.jsonl", '{"input": 1}\n')
    items = read_items(path)
    written(tmp_path, "d.jsonl", '{"inputs": 1}\n')

    with pytest.raises(DataError, match="line 1: no 'input', only 'inputs'"):
        next(items)


def test_a_long_file_is_read_in_constant_memory(tmp_path):
    import tracemalloc

    path = written(tmp_path, "d.jsonl", ('{"input": "' + "x" * 1000 + '"}\n') * 5_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_items(path)) == 5_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 500_000, "the file has five million bytes"
