"""The embedded store as a file and as a neighbour: opening, permissions, damage, other processes, threads, forks."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading

import pytest

import interactiveai_eval
from interactiveai_eval._clock import Clock
from interactiveai_eval._ids import Ids, derived_id
from interactiveai_eval.errors import ClosedError, FeatureUnavailable, StoreError, TransportError
from interactiveai_eval.transports.base import Request, Transport
from interactiveai_eval.transports.local import LocalTransport

ROOT = os.path.dirname(next(iter(interactiveai_eval.__path__)))
PUBLIC = "/api/public/"
SCOPED = "/api/platform/v1/organizations/o/projects/p/"


_opened = []


@pytest.fixture(autouse=True)
def _closed_in_the_end():
    yield
    while _opened:
        _opened.pop().close()


def opened(*arguments, **options):
    """A store that is closed when the test ends."""
    _opened.append(LocalTransport(*arguments, **options))
    return _opened[-1]


class FixedClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.ns = 1_763_632_800_000_000_000  # 2025-11-20T10:00:00Z

    def time_ns(self):
        return self.ns


class CountedIds(Ids):
    """Ids that count."""

    def __init__(self):
        self.drawn = 0

    def trace_id(self):
        self.drawn += 1
        return f"id-{self.drawn}"


def call(store, method, path, body=None, **query):
    """(status, decoded JSON body or text) of one request."""
    path = path if path.startswith("/") else PUBLIC + path
    encoded = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    response = store.send(Request(method, path, query=tuple(query.items()), body=encoded))
    is_json = response.headers["content-type"].startswith("application/json")
    return response.status, json.loads(response.body) if is_json else response.body.decode()


def put_score(store, name="s", **fields):
    return call(store, "POST", "scores", {"name": name, "value": 1, "traceId": "t", **fields})


def run_python(code, *arguments, timeout=None, **environment):
    """A second process; returns what it printed."""
    environment = {**os.environ, "PYTHONPATH": ROOT, **environment}
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, timeout=timeout
    )
    assert process.returncode == 0, process.stderr.decode()
    return process.stdout.decode()


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def refused(path, **options):
    """The error with which a store cannot be opened; it names the path."""
    with pytest.raises(StoreError) as caught:
        opened(path, **options)
    assert str(path) in str(caught.value)
    return caught.value


def test_it_is_a_transport():
    with LocalTransport() as store:
        assert isinstance(store, Transport)
        assert call(store, "GET", "health") == (200, {"status": "OK", "version": "local"})


def test_it_shows_its_path(tmp_path):
    assert repr(opened()) == "LocalTransport()"
    assert repr(opened(tmp_path / "s.db")) == f"LocalTransport({str(tmp_path / 's.db')!r})"


def test_two_stores_in_memory_share_nothing():
    first, second = opened(), opened()
    put_score(first, id="x")

    assert call(first, "GET", "v2/scores/x")[0] == 200
    assert call(second, "GET", "v2/scores/x")[0] == 404


def test_the_clock_and_the_ids_are_the_callers():
    with LocalTransport(clock=FixedClock(), ids=CountedIds()) as store:
        status, dataset = call(store, "POST", "v2/datasets", {"name": "qa"})

    assert status == 200
    assert dataset == {
        "id": "id-1",
        "name": "qa",
        "description": None,
        "metadata": None,
        "inputSchema": None,
        "expectedOutputSchema": None,
        "projectId": "local-project",
        "createdAt": "2025-11-20T10:00:00.000Z",
        "updatedAt": "2025-11-20T10:00:00.000Z",
    }


def test_closing_twice_is_fine_and_later_calls_say_so(tmp_path):
    for store in (opened(), opened(tmp_path / "s.db")):
        store.close()
        store.close()

        with pytest.raises(ClosedError, match="closed"):
            call(store, "GET", "health")


def test_a_file_keeps_what_was_posted(tmp_path):
    with LocalTransport(tmp_path / "s.db") as store:
        put_score(store, id="x")
    with LocalTransport(str(tmp_path / "s.db")) as store:
        assert call(store, "GET", "v2/scores/x")[1]["name"] == "s"


@pytest.mark.parametrize(
    "name",
    ["a b", "a'b", 'a"b', "caf\u00e9", "a?b", "a#b", "a%20b", "a&mode=ro", "file:x", ":memory:", "a;b", "x" * 240,
     "-wal", "a\\b" if os.name != "nt" else "ab"],
)  # fmt: skip
def test_names_of_files_mean_what_they_say(tmp_path, name, monkeypatch):
    for path in (tmp_path / name, name):
        monkeypatch.chdir(tmp_path)
        with LocalTransport(path) as store:
            put_score(store, id="x")

            assert (tmp_path / name).stat().st_size > 0
            assert {each.split(name)[0] for each in os.listdir(tmp_path)} == {""}


@pytest.mark.skipif(os.name == "nt", reason="no such permissions on Windows")
@pytest.mark.parametrize("umask", ["000", "022", "077", "777"])
def test_new_files_are_readable_by_their_owner_only(tmp_path, umask):
    """In a process of its own, since a umask belongs to all threads."""
    code = """
import os, sys
os.umask(int(sys.argv[2], 8))
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport
store = LocalTransport(sys.argv[1])
store.send(Request("POST", "/api/public/v2/datasets", body=b'{"name": "x"}'))
folder = os.path.dirname(sys.argv[1])
print(sorted((name, oct(os.stat(os.path.join(folder, name)).st_mode)[-3:]) for name in os.listdir(folder)))
"""

    printed = run_python(code, str(tmp_path / "s.db"), umask)

    assert printed.strip() == "[('s.db', '600'), ('s.db-shm', '600'), ('s.db-wal', '600')]"


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "s.db").touch()

    with LocalTransport(tmp_path / "s.db") as store:
        assert put_score(store)[0] == 200


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_an_empty_file_becomes_private_and_a_store_keeps_its_mode(tmp_path):
    path = tmp_path / "s.db"
    path.touch()
    path.chmod(0o644)

    opened(path).close()
    assert mode_of(path) == 0o600

    path.chmod(0o640)
    opened(path).close()
    assert mode_of(path) == 0o640


def test_a_folder_is_no_store(tmp_path):
    error = refused(tmp_path)

    assert "is a folder" in str(error)
    assert isinstance(error, TransportError) and not error.retryable


def test_a_missing_folder_is_named(tmp_path):
    error = refused(tmp_path / "no" / "s.db")

    assert f"make the folder {str(tmp_path / 'no')!r} first" in str(error)


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()

    assert "cannot be made" in str(refused(tmp_path / "file" / "s.db"))


@pytest.mark.parametrize(("path", "reason"), [("a\0b", "cannot be made"), ("x" * 5000, "cannot be made"), ("", "folder")])
def test_a_path_that_no_system_takes_is_refused(path, reason):
    with pytest.raises(StoreError, match=reason):
        LocalTransport(path)


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "fifo"])
def test_links_and_special_files_are_refused_and_left_alone(tmp_path, kind):
    path, target = tmp_path / "s.db", tmp_path / "other"
    if kind != "dangling":
        LocalTransport(target).close()
    if kind == "hard link":
        os.link(target, path)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.symlink(target, path)
    before = sorted(os.listdir(tmp_path))

    assert "link" in str(refused(path))
    assert sorted(os.listdir(tmp_path)) == before


@contextlib.contextmanager
def as_nobody():
    """Without the rights of root, which ignores permissions; yields a folder that such a user can use."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o777)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_folder_that_cannot_be_written_is_named():
    with as_nobody() as folder:
        os.mkdir(f"{folder}/closed", 0o500)

        assert "choose a folder that can be written" in str(refused(f"{folder}/closed/s.db"))


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("mode", [0o400, 0o000])
def test_a_file_that_cannot_be_written_is_refused_when_it_is_opened(mode):
    with as_nobody() as folder:
        path = f"{folder}/s.db"
        LocalTransport(path).close()
        os.chmod(path, mode)

        error = refused(path)

    assert "cannot be" in str(error)


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path):
    path = tmp_path / "s.db"
    path.write_bytes(b"my notes, not a database\n" * 100)

    assert "not an SQLite database" in str(refused(path))
    assert path.read_bytes() == b"my notes, not a database\n" * 100
    assert os.listdir(tmp_path) == ["s.db"]


def test_a_database_of_another_program_stays_as_it_is(tmp_path):
    path = tmp_path / "s.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE mine (x)")
        other.commit()
    before = path.read_bytes()

    assert "another program" in str(refused(path))
    assert path.read_bytes() == before


def altered(path, *statements):
    """A store after these statements."""
    LocalTransport(path).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_newer_schema_is_refused_with_both_numbers(tmp_path):
    altered(tmp_path / "s.db", "PRAGMA user_version=2")

    assert "schema version is 2, the newest known here is 1" in str(refused(tmp_path / "s.db"))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON scores BEGIN DELETE FROM traces; END",
        "CREATE VIEW v AS SELECT * FROM traces",
        "CREATE TABLE more (x)",
        "DROP TABLE trace_tags",
        "DROP INDEX traces_by_start",
        "ALTER TABLE scores ADD COLUMN surprise TEXT",
    ],
)
def test_a_store_with_other_tables_triggers_or_views_is_refused(tmp_path, statement):
    altered(tmp_path / "s.db", statement)

    assert "its tables are not those of a store" in str(refused(tmp_path / "s.db"))


def filled(path):
    """A closed store with some rows in it."""
    with LocalTransport(path) as store:
        for number in range(200):
            put_score(store, id=f"score-{number}", comment="c" * 100)


@pytest.mark.parametrize("where", [0.2, 0.4, 0.6, 0.8])
def test_a_damaged_file_is_refused_and_kept(tmp_path, where):
    path = tmp_path / "s.db"
    filled(path)
    content = bytearray(path.read_bytes())
    start = int(len(content) * where)
    content[start : start + 4096] = b"\xa5" * 4096
    path.write_bytes(content)

    assert "damaged" in str(refused(path))
    assert path.read_bytes() == content


@pytest.mark.parametrize("pages", [1, 2, 5, 10])
def test_a_cut_file_is_refused_and_kept(tmp_path, pages):
    path = tmp_path / "s.db"
    filled(path)
    os.truncate(path, pages * 4096 - 1000)
    content = path.read_bytes()

    refused(path)

    assert path.read_bytes() == content


def test_changed_bytes_never_lead_to_another_error(tmp_path):
    """One byte in every 64 is changed in turn; the store works or says in its own words why not."""
    path = tmp_path / "s.db"
    filled(path)
    content = path.read_bytes()
    outcomes = set()
    for position in range(0, min(len(content), 30_000), 64):
        changed = bytearray(content)
        changed[position] ^= 0xFF
        path.write_bytes(changed)
        for side in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}{side}")
        try:
            with LocalTransport(path) as store:
                call(store, "GET", "v2/scores")
            outcomes.add("works")
        except StoreError as error:
            assert str(path) in str(error)
            outcomes.add("refused")

    assert outcomes == {"works", "refused"}


@pytest.mark.parametrize(
    "table, change, path",
    [
        ("traces", "start_ns = 'abc'", "traces"),
        ("traces", "start_ns = 9e300", "traces"),
        ("traces", "created_ns = 'q'", "traces"),
        ("traces", "input = x'ff00'", "traces"),
        ("traces", "name = x'00'", "traces"),
        ("observations", "start_ns = 'abc'", "traces"),
        ("observations", "end_ns = 'x'", "traces"),
        ("observations", "total_cost = 'abc'", "traces"),
        ("observations", "end_ns = 'x'", "observations"),
        ("observations", "output = x'ff'", "observations"),
        ("scores", "timestamp_ns = 'x'", "v2/scores"),
        ("scores", "metadata = x'ff'", "v2/scores"),
        ("datasets", "created_ns = 1.5", "v2/datasets"),
        ("datasets", "metadata = x'ff'", "v2/datasets/qa"),
        ("dataset_items", "input = x'00'", "dataset-items"),
    ],
)
def test_values_of_the_wrong_type_are_damage(tmp_path, table, change, path):
    """SQLite keeps a text where a number belongs, and bytes where a text belongs."""
    with LocalTransport(tmp_path / "s.db") as store:
        span = {"id": "o", "traceId": "t", "startTime": "2025-11-20T10:00:00Z", "metadata": {"k": 1}}
        events = [("trace-create", {"id": "t", "name": "n", "input": "i"}), ("span-create", span)]
        now = "2025-11-20T10:00:00Z"
        batch = [{"id": kind, "timestamp": now, "type": kind, "body": body} for kind, body in events]
        assert call(store, "POST", "ingestion", {"batch": batch})[0] == 207
        put_score(store, metadata={"k": 1})
        call(store, "POST", "v2/datasets", {"name": "qa"})
        call(store, "POST", "dataset-items", {"datasetName": "qa", "input": "x"})
    altered(tmp_path / "s.db", f"UPDATE {table} SET {change}")
    store = opened(tmp_path / "s.db")

    with pytest.raises(StoreError, match=rf"s\.db.*damaged \(wrong type in {table}\.{change.split()[0]}\)"):
        call(store, "GET", path)


def test_a_missing_sqlite3_is_named():
    code = """
import sys
sys.modules["sqlite3"] = None
from interactiveai_eval.transports.local import LocalTransport
try:
    LocalTransport()
except Exception as error:
    print(type(error).__name__, error)
"""

    printed = run_python(code)

    assert printed == f"{FeatureUnavailable.__name__} the embedded store needs the standard module 'sqlite3', " + (
        "which this Python lacks\n"
    )


def test_importing_the_store_does_not_load_sqlite():
    code = "import sys, interactiveai_eval.transports.local; print([m for m in sys.modules if 'sqlite' in m])"

    assert run_python(code) == "[]\n"


def test_a_write_waits_for_another_process_and_then_says_why(tmp_path):
    path = tmp_path / "s.db"
    store = opened(path, busy_timeout_seconds=0.05)
    code = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StoreError) as caught:
            put_score(store)
        refusal = refused(path, busy_timeout_seconds=0.05)
        status, _ = call(store, "GET", "v2/scores")
        other.communicate("done\n")

    assert str(path) in str(caught.value)
    assert "another process is writing to it" in str(caught.value)
    assert caught.value.retryable and refusal.retryable
    assert status == 200  # readers do not wait for writers
    assert put_score(store)[0] == 200


def test_a_store_can_be_opened_whenever_another_makes_it_meanwhile(tmp_path):
    """It was found to have tables and yet to have none, when they came between two looks at the file."""

    def make(path):
        with contextlib.suppress(StoreError), LocalTransport(path, busy_timeout_seconds=0.01):
            pass  # while the first one has the file for itself it is busy

    def opened(path, step):
        """Open a store while another makes it after so many statements; how many there are."""
        done = 0

        def watch(frame, event, function):
            nonlocal done
            if event == "c_return" and function.__name__ == "execute":
                done += 1
                if done == step:
                    other = threading.Thread(target=make, args=[path])
                    other.start()
                    other.join()

        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            LocalTransport(path).close()
        finally:
            sys.setprofile(before)
        return done

    looks = 14  # after these it has the file for itself, and others wait
    assert opened(str(tmp_path / "alone.db"), 0) > looks
    for step in range(1, looks + 1):
        opened(str(tmp_path / f"{step}.db"), step)


def test_several_processes_write_to_one_file_at_once(tmp_path):
    """They also race for making it."""
    code = """
import json, sys
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport
path, process = sys.argv[1:]
sys.stdin.readline()
with LocalTransport(path) as store:
    for number in range(25):
        body = {"name": "n", "value": 1, "sessionId": "s", "id": f"{process}-{number}"}
        response = store.send(Request("POST", "/api/public/scores", body=json.dumps(body).encode()))
        assert response.status == 200, response.body
"""
    path = str(tmp_path / "s.db")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, path, str(number)],
            env={**os.environ, "PYTHONPATH": ROOT},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(4)
    ]
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()

    with LocalTransport(path) as store:
        assert call(store, "GET", "v2/scores", limit="1")[1]["meta"]["totalItems"] == 100


def test_many_threads_use_one_store(tmp_path):
    for store in (opened(), opened(tmp_path / "s.db")):
        failures = []

        def work(thread, store=store, failures=failures):
            for number in range(30):
                status, _ = put_score(store, id=f"{thread}-{number}", sessionId="s", traceId=None)
                listed, _ = call(store, "GET", "v2/scores", limit="10")
                if (status, listed) != (200, 200):
                    failures.append((status, listed))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        assert call(store, "GET", "v2/scores", limit="1")[1]["meta"]["totalItems"] == 180
        store.close()


FORK = """
import json, os, sys, threading
from interactiveai_eval.errors import StoreError
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport
store = LocalTransport(*sys.argv[1:2], busy_timeout_seconds=float(os.environ.get("BUSY_TIMEOUT", "30")))
def put(name):
    body = json.dumps({"name": name, "value": 1, "sessionId": "s", "id": name}).encode()
    return store.send(Request("POST", "/api/public/scores", body=body)).status
def names():
    return sorted(row["name"] for row in json.loads(store.send(Request("GET", "/api/public/v2/scores")).body)["data"])
def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_goes_on_with_a_file(tmp_path):
    """Its threads too, all at once; and the parent goes on as well."""
    code = f"""{FORK}
put("parent")
def work():
    threads = [threading.Thread(target=put, args=(f"child-{{number}}",)) for number in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(names()) == 5, names()
    store.close()
in_child(work)
put("parent again")
print(names())
"""

    printed = run_python(code, str(tmp_path / "s.db"))

    assert printed == "['child-0', 'child-1', 'child-2', 'child-3', 'parent', 'parent again']\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on_with_a_copy_of_the_memory():
    code = f"""{FORK}
put("parent")
def work():
    put("child")
    assert names() == ["child", "parent"]
in_child(work)
print(names())
"""

    assert run_python(code) == "['parent']\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_in_the_middle_of_a_request_is_an_error_not_a_hang(tmp_path):
    code = f"""{FORK}
inside, done = threading.Event(), threading.Event()
def hold():
    with store.database.write():
        inside.set()
        done.wait()
thread = threading.Thread(target=hold)
thread.start()
inside.wait()
def work():
    try:
        put("child")
    except StoreError as error:
        assert "build a LocalTransport after the fork" in str(error), error
    else:
        raise AssertionError("no error")
try:
    in_child(work)
finally:
    done.set()
thread.join()
print("fine")
"""

    for arguments in ([], [str(tmp_path / "s.db")]):
        assert run_python(code, *arguments, BUSY_TIMEOUT="0.01") == "fine\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_waits_for_the_request_of_another_thread(tmp_path):
    code = f"""{FORK}
done = threading.Event()
def keep_busy():
    while not done.is_set():
        put("parent")
thread = threading.Thread(target=keep_busy)
thread.start()
try:
    for _ in range(10):
        in_child(lambda: put("child"))
finally:
    done.set()
thread.join()
print("fine")
"""

    for arguments in ([], [str(tmp_path / "s.db")]):
        assert run_python(code, *arguments) == "fine\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_thread_can_fork_in_the_middle_of_its_own_request(tmp_path):
    code = f"""{FORK}
with store.database.write():
    in_child(lambda: None)
put("parent")
in_child(lambda: put("child"))
print(names())
"""

    assert run_python(code, str(tmp_path / "s.db")) == "['child', 'parent']\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_two_threads_can_fork_at_once(tmp_path):
    code = f"""{FORK}
other = LocalTransport()
def fork_often():
    for _ in range(10):
        in_child(lambda: (put("child"), other.send(Request("GET", "/api/public/v2/scores"))))
threads = [threading.Thread(target=fork_often) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
put("parent")
print(names())
"""

    assert run_python(code, str(tmp_path / "s.db"), timeout=30) == "['child', 'parent']\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete open files")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_deleted_in_use_is_noticed(tmp_path, replaced):
    path = tmp_path / "s.db"
    store = opened(path)
    path.unlink()
    if replaced:
        path.write_bytes(b"something else")

    for method in ("GET", "POST"):
        with pytest.raises(StoreError, match="deleted or replaced while in use") as caught:
            call(store, method, "v2/datasets", {"name": "x"})
        assert not caught.value.retryable
    assert path.exists() == replaced


def test_a_full_disk_is_named_and_the_store_keeps_what_it_has(tmp_path):
    store = opened(tmp_path / "s.db")
    put_score(store, id="before")
    store.database._connection.execute("PRAGMA max_page_count=60")

    with pytest.raises(StoreError, match="the disk is full") as caught:
        put_score(store, id="after", comment="c" * 500_000)

    assert caught.value.retryable
    assert call(store, "GET", "v2/scores/after")[0] == 404
    assert call(store, "GET", "v2/scores/before")[0] == 200
    assert put_score(store, id="small")[0] == 200


@pytest.mark.skipif(os.name == "nt", reason="needs resource limits")
def test_a_file_size_limit_is_a_store_error(tmp_path):
    code = """
import json, resource, sys
from interactiveai_eval.errors import StoreError
from interactiveai_eval.transports.base import Request
from interactiveai_eval.transports.local import LocalTransport
store = LocalTransport(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
body = json.dumps({"name": "n", "value": 1, "sessionId": "s", "comment": "c" * 900_000}).encode()
try:
    store.send(Request("POST", "/api/public/scores", body=body))
except StoreError as error:
    print(error)
"""

    assert str(tmp_path / "s.db") in run_python(code, str(tmp_path / "s.db"))


@pytest.mark.skipif(os.name == "nt", reason="needs resource limits")
def test_running_out_of_file_descriptors_is_a_store_error_that_passes(tmp_path):
    code = """
import os, resource, sqlite3, sys
from interactiveai_eval.errors import StoreError
from interactiveai_eval.transports.local import LocalTransport
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
try:
    LocalTransport(sys.argv[1])
except StoreError as error:
    print("refused")
for each in held:
    os.close(each)
LocalTransport(sys.argv[1]).close()
print("works")
"""

    assert run_python(code, str(tmp_path / "s.db")) == "refused\nworks\n"


def test_a_request_takes_effect_as_a_whole_or_not_at_all():
    """The second event fails inside SQLite; the first one must not stay."""
    store = opened()
    store.database._connection.execute("CREATE TEMP TRIGGER t BEFORE INSERT ON traces BEGIN SELECT raise(FAIL, 'no'); END")
    event = {"timestamp": "2026-11-20T10:00:00Z"}
    batch = [
        {**event, "id": "1", "type": "score-create", "body": {"id": "x", "name": "n", "value": 1, "traceId": "t"}},
        {**event, "id": "2", "type": "trace-create", "body": {"id": "t"}},
    ]

    with pytest.raises(StoreError):
        call(store, "POST", "ingestion", {"batch": batch})

    assert call(store, "GET", "v2/scores/x")[0] == 404


def test_loading_extensions_and_attached_files_stay_off(tmp_path):
    store = opened(tmp_path / "s.db")

    with pytest.raises(sqlite3.OperationalError, match="not authorized"):
        store.database._connection.execute("SELECT load_extension('x')")
    assert store.database._connection.execute("PRAGMA trusted_schema").fetchone() == (0,)


UNKNOWN = [
    ("GET", "/"), ("GET", "/api/public"), ("GET", "/api/public/"), ("GET", "/api/public/nothing"),
    ("GET", "/api/public/v2/datasets/"), ("GET", "/api/public/v2/datasets/a/b"), ("GET", "/api/public/traces/a/b"),
    ("GET", "/api/platform/v1/organizations/o/projects/p/traces"), ("GET", "/api/platform/v1/organizations/o/projects"),
    ("GET", "/api/platform/v1/organizations//projects/p/datasets"), ("GET", "/prefix/api/public/traces"),
    ("POST", "/api/public/datasets/*/runs/x/y"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), UNKNOWN)
def test_unknown_routes_answer_with_a_page_for_people(method, path):
    response = opened().send(Request(method, path))

    assert response.status == 404
    assert response.headers["content-type"].startswith("text/html")
    assert response.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "v2/datasets/x"), ("PUT", "v2/datasets"), ("PUT", "traces"), ("GET", "ingestion"),
     ("GET", "otel/v1/traces"), ("POST", "observations"), ("PATCH", "scores"), ("POST", "health")],
)  # fmt: skip
def test_known_routes_refuse_other_methods(method, path):
    assert call(opened(), method, path) == (
        405,
        {"message": "Method not allowed", "error": "MethodNotAllowedError"},
    )


@pytest.mark.parametrize("path", ["v2/datasets", "scores", "ingestion", "dataset-items", "dataset-run-items"])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"name": NaN}', b"\x1f\x8b\x08", b"[" * 5000])
def test_broken_json_is_refused_in_plain_text(path, body):
    assert call(opened(), "POST", path, body) == (400, "Invalid JSON")


@pytest.mark.parametrize("path", ["v2/datasets", "scores", "ingestion", "dataset-items", "dataset-run-items"])
@pytest.mark.parametrize("body", [b"5", b'"x"', b"null", b"true"])
def test_a_body_that_is_no_object_is_refused(path, body):
    status, answer = call(opened(), "POST", path, body)

    assert status == 400
    assert answer["message"] == "Invalid request data"


@pytest.mark.parametrize(
    ("path", "largest", "shown"),
    [("scores", 2**20, "1mb"), ("v2/datasets", 2**20, "1mb"), ("dataset-run-items", 2**20, "1mb"),
     ("ingestion", 4_718_592, "4.5mb"), ("dataset-items", 4_718_592, "4.5mb")],
)  # fmt: skip
def test_bodies_over_the_limit_are_refused(path, largest, shown):
    store = opened()

    assert call(store, "POST", path, b"5" + b" " * (largest - 1))[0] == 400
    assert call(store, "POST", path, b"5" + b" " * largest) == (413, f"Body exceeded {shown} limit")
    scoped = SCOPED + path.replace("v2/", "")
    if path != "ingestion":
        assert call(store, "POST", scoped, b"5" + b" " * largest)[0] == 413


@pytest.mark.parametrize("path", ["v2/datasets/%zz%ff", "v2/datasets/%C3%28"])
def test_path_segments_that_are_no_utf8_are_refused(path):
    assert call(opened(), "GET", path) == (400, "Bad Request")


def test_projects_are_one_in_both_dialects():
    store = opened()
    project = {
        "id": "local-project",
        "name": "local",
        "orgId": "local-organization",
        "organization": {"id": "local-organization", "name": "local"},
        "metadata": {},
    }

    assert call(store, "GET", "/api/platform/v1/projects") == (200, {"data": [project]})
    assert call(store, "GET", "projects") == (200, {"data": [project]})


def test_texts_that_are_not_well_formed_are_stored_with_replacement_characters():
    store = opened()
    body = b'{"name": "a\\ud800b", "value": "\\udfff", "comment": "\\u0000", "sessionId": "s", "id": "x"}'

    assert call(store, "POST", "scores", body)[0] == 200
    _, score = call(store, "GET", "v2/scores/x")

    assert (score["name"], score["stringValue"], score["comment"]) == ("a\ufffdb", "\ufffd", "\0")
    assert call(store, "GET", "v2/scores", name="a\ud800b")[1]["meta"]["totalItems"] == 1
    assert call(store, "GET", "v2/datasets/a\ud800b") == (400, "Bad Request")


def test_a_run_id_follows_from_its_data_set_and_name():
    store = opened(ids=CountedIds())
    call(store, "POST", "v2/datasets", {"name": "d"})
    call(store, "POST", "dataset-items", {"datasetName": "d", "id": "i"})

    _, item = call(store, "POST", "dataset-run-items", {"runName": "r", "datasetItemId": "i", "traceId": "t"})

    assert item["datasetRunId"] == derived_id("id-1", "r")
