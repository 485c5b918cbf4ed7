"""Items from a file: .jsonl, .json or .csv with `input` and, if there is, `expected_output`, `metadata` and more.

A file is checked to its end before the first item is handed out, so that a typing error in its last line costs no
model call. For .jsonl and .csv that means reading it twice, in constant memory.
"""
from __future__ import annotations

import os
import re

from ._strict_json import JSONError, from_json
from .errors import ArgumentError, DataError, short_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Rows = Iterator[tuple[str, Any]]

_BOM = b"\xef\xbb\xbf"


def read_items(path: str | os.PathLike[str], called: str | None = None) -> Iterator[dict[str, Any]]:
    """The items of a file, as dicts with all their keys, in the file's order.

    - .jsonl: an object on each line; empty lines are passed over.
    - .json: a list of objects.
    - .csv: a header line, one item a row, cells are texts. A `metadata` cell that is a JSON object or list is parsed;
      an empty cell other than the input's is left out.

    The text is UTF-8, with or without a byte order mark. Every item needs an `input` that is not null.
    Errors name the file, or what it is `called`.
    Raises DataError, before the first item, with file, line, reason and fix, also for a file without items;
    ArgumentError for another extension.
    """
    name = os.fsdecode(path)
    extension = os.path.splitext(name)[1].lower()
    if extension not in _READERS:
        raise ArgumentError("data", name, f"must end in {', '.join(_READERS)}; convert the file to one of these")
    check_is_file(name)
    read, called = _READERS[extension], called or name
    n = 0
    for _ in checked(read(name), called, _problem):
        n += 1
    if n == 0:
        raise DataError(f"{called}: holds no items; give it at least one")
    return checked(read(name), called, _problem)


def check_is_file(name: str) -> None:
    """Raise DataError where there is no file that can be read twice."""
    if not os.path.isfile(name):
        fix = "save it to a file first" if os.path.exists(name) else "check the path"
        raise DataError(f"{name}: {'is not a regular file' if os.path.exists(name) else 'no such file'}; {fix}")


def checked(rows: Rows, name: str, find_problem: Callable[[Any], str | None]) -> Iterator[Any]:
    """The rows of the file called `name` without their places. Raises DataError where there is a problem."""
    try:
        for place, row in rows:
            problem = find_problem(row)
            if problem:
                raise DataError(f"{name}, {place}: {problem}")
            yield row
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error}); check the file and its mode") from None


def _problem(row: Any) -> str | None:
    if not isinstance(row, dict):
        return f'{short_repr(row, 40)} is not an object; write {{"input": ...}}'
    if row.get("input") is None:
        found = ", ".join(short_repr(key, 40) for key in list(row)[:8]) or "nothing"
        reason = "input is null" if "input" in row else f"no 'input', only {found}"
        return f"{reason}; name what the task reads 'input'"
    return None


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    with open(name, "rb") as file:
        for number, line in enumerate(file, 1):
            yield number, line[3:] if number == 1 and line.startswith(_BOM) else line


def read_json_lines(path: str, name: str | None = None) -> Rows:
    """(place, value) of each line that is not empty; `name` is how errors call the file. Raises DataError, OSError."""
    name = path if name is None else name
    for number, line in _lines(path):
        if line.strip():
            try:
                row = from_json(line.strip())
            except JSONError as error:
                raise DataError(f"{name}, line {number}: {_reason(error)}; write one JSON object a line") from None
            yield f"line {number}", row


def _read_json(name: str) -> Rows:
    with open(name, "rb") as file:
        text = file.read()
    try:
        rows = from_json(text[3:] if text.startswith(_BOM) else text)
    except JSONError as error:
        raise DataError(f"{name}, {error}; write a JSON list of objects") from None
    if not isinstance(rows, list):
        raise DataError(f'{name}: {short_repr(rows, 40)} is not a list; write [{{"input": ...}}, ...]')
    for number, row in enumerate(rows, 1):
        yield f"item {number}", row


def _reason(error: JSONError) -> str:
    """What is wrong with one line: the parser counts lines inside it, where there is only one."""
    return re.sub(r": line 1 column (\d+) \(char \d+\)$", r" at column \1", str(error))


def _read_csv(name: str) -> Rows:
    import csv

    reader = csv.reader(_decoded_lines(name), strict=True)
    try:
        header = next(reader, [])
        known = [column for column in header if column]
        if len(set(known)) < len(known):
            twice = next(column for column in known if known.count(column) > 1)
            raise DataError(f"{name}, line 1: two columns are named {short_repr(twice, 40)}; rename one")
        if header and "input" not in known:
            found = ", ".join(short_repr(column, 40) for column in known[:8])
            raise DataError(f"{name}, line 1: no column 'input', only {found}; name what the task reads 'input'")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{name}, line {reader.line_num}: {len(cells)} cells for {len(header)} columns; "
                    "put cells with commas, quotes or line breaks in double quotes"
                )
            pairs = zip(header, cells)
            row: dict[str, Any] = {column: cell for column, cell in pairs if column and (cell or column == "input")}
            if "metadata" in row:
                row["metadata"] = _metadata(row["metadata"])
            yield f"line {reader.line_num}", row
    except csv.Error as error:
        fix = "save long cells as .jsonl" if "limit" in str(error) else "check the quotes"
        raise DataError(f"{name}, line {reader.line_num}: {error}; {fix}") from None


def _decoded_lines(name: str) -> Iterator[str]:
    for number, line in _lines(name):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{name}, line {number}: not UTF-8 at byte {error.start}; save it as UTF-8") from None


def _metadata(cell: str) -> Any:
    if not cell.lstrip().startswith(("{", "[")):
        return cell
    try:
        return from_json(cell)
    except JSONError:
        # Only whole JSON is parsed; a text may begin with a bracket.
        return cell


_READERS: dict[str, Callable[[str], Rows]] = {".jsonl": read_json_lines, ".json": _read_json, ".csv": _read_csv}
