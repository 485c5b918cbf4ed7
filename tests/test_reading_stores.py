"""Stores that can only be read, of another user or on a disk that takes no writes: read as they are, nothing is made."""
from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import pytest

from interactiveai_eval import Interactive, LocalTransport, Request
from interactiveai_eval.errors import StoreError

from . import programs

# Commands are carried out by a user whom the permissions bind: as root by one that is known nowhere. Before that each
# is carried out once with another store, since the standard library may lie where root alone can read.
COMMANDS = """
import contextlib, io, json, os, sys
from interactiveai_eval.cli import main

def carried_out(store, site):
    told = []
    for command in (["export", "--store", store], ["report", "--store", store, "--output", site]):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            told.append([main(command)])
        told[-1] += [out.getvalue(), err.getvalue()]
    return told

store, usual, site = sys.argv[1:]
carried_out(usual, site + "0")
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(54321), os.setuid(54321)
print(json.dumps(carried_out(store, site)))
"""


@pytest.fixture
def place():
    """A folder that everybody may read, with one for a store and one that everybody may write to."""
    folder = Path(tempfile.mkdtemp())
    for path, mode in ((folder, 0o755), (folder / "there", 0o755), (folder / "out", 0o777)):
        path.mkdir(exist_ok=True)
        path.chmod(mode)
    yield folder
    (folder / "there").chmod(0o755)
    shutil.rmtree(folder)


def write(path, name, number):
    client = Interactive.local(str(path))
    client.run_experiment(name=name, data=[{"input": number}], task=lambda item: item["input"], experiment_id=name)
    return client


@contextlib.contextmanager
def only_readable(folder, mode=0o555):
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(mode)
    before = tree(folder)
    yield
    assert tree(folder) == before


def tree(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def read(place):
    write(place / "usual.db", "usual", 1000).close()
    arguments = (place / "there" / "s.db", place / "usual.db", place / "out" / "site")
    return json.loads(programs.run(COMMANDS, *map(str, arguments)))


@pytest.mark.parametrize("mode", [0o555, 0o777], ids=["a folder that takes no writes", "a folder that takes writes"])
def test_a_store_that_cannot_be_written_is_exported_and_browsed(place, mode):
    """A file of one's own beside another user's store would keep its owner from it."""
    write(place / "there" / "s.db", "first", 1).close()

    with only_readable(place / "there", mode):
        (exported, line, said), browsed = read(place)

    assert (exported, said) == (0, "exported 1 traces\n") and json.loads(line)["input"] == 1
    assert browsed == [0, f"1 run: {place / 'out' / 'site' / 'index.html'}\n", ""]


def test_what_its_owner_has_just_written_is_read_too(place):
    """It is in the log beside the file as long as the owner has the store open."""
    with write(place / "there" / "s.db", "first", 1) as client, only_readable(place / "there"):
        assert client.flush().pending == 0
        (exported, lines, _), (browsed, told, _) = read(place)

    assert (exported, len(lines.splitlines())) == (0, 1) and (browsed, told[:6]) == (0, "1 run:")


def test_writes_that_are_out_of_reach_are_said_by_both_commands_in_one_way(place):
    """A copy without the file that has the locks: the log cannot be read unless SQLite may make that one anew."""
    with write(place / "s.db", "first", 1):
        for name in ("s.db", "s.db-wal"):
            shutil.copy(place / name, place / "there" / name)
    with only_readable(place / "there"):
        told = read(place)

    path = str(place / "there" / "s.db")
    reason = f"--store={path!r}: store {path!r}: its last writes are in a file beside it, which cannot be read from there"
    fix = "open it once where it can be written, or copy it with the files beside it to such a place"
    assert told == [[2, "", f"error: {reason}; {fix}\n"]] * 2


def test_pages_for_a_folder_that_takes_none_are_wrong_use_before_any_work(place):
    write(place / "there" / "s.db", "first", 1).close()
    (place / "out" / "site").mkdir(mode=0o555)

    with only_readable(place / "there"):
        told = read(place)[1]

    fix = "is a folder that cannot be written to; name another one"
    assert told == [2, "", f"error: --output={str(place / 'out' / 'site')!r}: {fix}\n"]


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "it is empty"), (b"some text" * 100, "it is not an SQLite database"), (None, "No such file")]
)
def test_what_is_no_store_is_said_and_left_alone(tmp_path, content, told):
    if content is not None:
        (tmp_path / "s.db").write_bytes(content)

    with pytest.raises(StoreError, match=told):
        LocalTransport(tmp_path / "s.db", read_only=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([] if content is None else [content])


def test_a_store_that_is_opened_to_be_read_takes_no_writes(tmp_path):
    write(tmp_path / "s.db", "first", 1).close()

    with LocalTransport(tmp_path / "s.db", read_only=True) as store:
        with pytest.raises(StoreError, match=r"it cannot be written \(attempt to write a readonly database\)"):
            store.send(Request("POST", "/api/public/scores", body=b'{"name": "s", "value": 1, "traceId": "t"}'))
        assert store.send(Request("GET", "/api/public/traces")).status == 200
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


@pytest.mark.parametrize("closes", [False, True])
def test_a_write_of_another_process_meanwhile_is_an_error_and_no_half_of_it(tmp_path, closes):
    """No lock tells of it: whoever may not write beside the file cannot take any."""
    write(tmp_path / "s.db", "first", 1).close()

    with LocalTransport(tmp_path / "s.db", read_only=True) as store:
        assert store.send(Request("GET", "/api/public/traces")).status == 200
        with write(tmp_path / "s.db", "second", 2) as client:
            client.flush()
            if closes:
                client.close()
            with pytest.raises(StoreError, match="another process writes to it; try again, or read a copy of it"):
                store.send(Request("GET", "/api/public/traces"))
