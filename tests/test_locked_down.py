"""Locked-down machines: nothing can be written, nobody has a name or a home, streams are closed, OpenSSL refuses."""
from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from .programs import ROOT
from .test_package import PACKAGE

# An experiment and a batch evaluation of what it has recorded, seen on stderr, told on stdout where there is one; its
# argument is a folder for files, or "" for none. Ids and times are fixed, so that two machines can be compared.
WORK = """
import os, sys
from interactiveai_eval import Interactive
from interactiveai_eval.testing import CountingIds, ManualClock

folder, done = sys.argv[1], sys.argv[2]
place = lambda name: os.path.join(folder, name) if folder else None
with Interactive.local(place("store.db"), clock=ManualClock(), ids=CountingIds()) as client:
    result = client.run_experiment(
        name="caf\\u00e9 \\U0001f600",
        data=[{"input": f"\\u6f22 {number}", "expected_output": number} for number in range(5)],
        task=lambda item: int(item["input"][-1]),
        evaluators=[lambda *, output, expected_output: (output == expected_output, "na\\u00efve")],
        max_concurrency=1,
        experiment_id="fixed",
        progress=True,
        checkpoint=place("run.checkpoint"),
    )
    batch = client.run_batched_evaluation(
        scope="traces",
        mapper=lambda item: {"input": item.input, "output": item.output},
        evaluators=[lambda *, output: output],
        verbose=True,
        run_id="fixed",
        checkpoint=place("batch.json"),
    )
    scores = sorted(row["id"] for row in client.api.scores(limit=100)["data"])
assert len(result.item_results) == 5 and result.completed and batch.completed, (result, batch)
assert (result.delivery.acknowledged, batch.delivery.acknowledged, len(scores)) == (15, 5, 10)
told = [result.format(include_item_results=True), str(batch), *scores]
if folder:
    result.save(place("result.json"))
    result.save(place("result.html"))
    batch.save(place("batch-result.json"))
os.write(int(done), repr(told).encode("ascii", "backslashreplace"))
"""


@contextlib.contextmanager
def machine():
    """A folder that everybody can read, with the package (read-only, not compiled) and `empty`, a place to stand."""
    folder = Path(tempfile.mkdtemp())
    try:
        shutil.copytree(PACKAGE, folder / "interactiveai_eval", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "empty").mkdir()
        for path in [*folder.rglob("*"), folder]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
    finally:
        for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            path.chmod(0o755)
        shutil.rmtree(folder)


def tree(folder):
    return sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def work(folder, *flags, before="", files="", cwd=None, streams=None, **variables):
    """Run WORK with nothing in the environment but `variables`; what it told, as text."""
    told, end = os.pipe()
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{before}\n{WORK}"
    try:
        done = subprocess.run(
            [sys.executable, "-S", *flags, "-W", "error", "-c", program, files, str(end)],
            env=variables,
            cwd=cwd or folder,
            pass_fds=[end],
            timeout=60,
            **(streams or {"capture_output": True, "stdin": subprocess.DEVNULL}),
        )
        os.close(end)
        end = None
        with open(told, "rb", closefd=False) as pipe:
            text = pipe.read().decode("ascii")
    finally:
        os.close(told)
        if end is not None:
            os.close(end)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return text


@pytest.fixture(scope="module")
def usual():
    """What WORK tells where nothing is locked down."""
    return work(ROOT)


@pytest.fixture(scope="module")
def usual_with_files(tmp_path_factory):
    """The same with files: what a checkpoint can name has other ids."""
    return work(ROOT, files=str(tmp_path_factory.mktemp("files")))


# -- no place, no name -------------------------------------------------------------------------------------------------

# Whatever would change something on a disk, and looking for a home. sqlite3.connect is the store in memory.
JAIL = """
import os, sys
seen = []
def watch(event, arguments):
    writes = event == "open" and (isinstance(arguments[1], str) and set("wax+") & set(arguments[1]) or (arguments[2] or 0) & 3)
    changes = event.partition(".")[0] in ("shutil", "tempfile", "socket", "subprocess") or event in (
        "os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.chmod", "os.chown", "os.utime", "os.truncate",
        "os.fork", "os.exec", "os.posix_spawn", "os.system", "os.putenv", "os.unsetenv", "os.chdir", "pwd.getpwuid")
    if writes or changes:
        seen.append((event, str(arguments)[:200]))
sys.addaudithook(watch)
"""
AT_THE_END = "\nassert seen == [], seen\nopen(os.devnull, 'w').close()\nassert len(seen) == 1"


# Loads of the standard library what WORK uses: it may lie where root alone can read. Then root becomes nobody known.
BECOME_UNKNOWN = """
import os, sys
if os.geteuid() == 0:
    kept, path = sys.argv, list(sys.path)
    sys.argv = ["", "", str(os.open(os.devnull, os.O_WRONLY))]
    sys.path.insert(0, {root!r})
    exec({work!r})
    sys.argv, sys.path[:] = kept, path
    for name in [name for name in sys.modules if name.startswith("interactiveai_eval")]:
        del sys.modules[name]
    os.setgroups([]), os.setgid(54321), os.setuid(54321)
"""


@pytest.mark.parametrize("flags", [(), ("-B",), ("-I",)])
def test_a_read_only_disk_an_unknown_user_and_no_home_are_enough(flags, usual):
    """L20, L21. As root the test becomes a user without a name, whom the permissions bind."""
    with machine() as folder:
        before = tree(folder)

        assert work(folder, *flags, before=BECOME_UNKNOWN.format(root=str(ROOT), work=WORK), cwd=folder / "empty") == usual
        assert tree(folder) == before


def test_nothing_is_opened_for_writing_or_changed_unless_it_is_asked_for(usual, monkeypatch):
    """L20, L24, S10: an audit hook sees every attempt, also those that a permission would stop."""
    monkeypatch.setitem(globals(), "WORK", WORK + AT_THE_END)

    assert work(ROOT, "-I", "-B", before=JAIL) == usual


# -- streams, locales, umask -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before",
    [
        "import sys; sys.stdin = sys.stdout = sys.stderr = None",
        "import sys; sys.stdout.close(); sys.stderr.close()",
        "import os; os.close(1); os.close(2)",
        "import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), 2)",
        "import os, sys; reading, writing = os.pipe(); os.close(reading); os.dup2(writing, 2)",
    ],
    ids=["none", "closed objects", "closed numbers", "full", "nobody reads"],
)
def test_streams_that_are_missing_closed_or_full_stop_nothing(before, usual):
    """L31: pythonw, services, daemons. Progress is asked for and has nowhere to go."""
    # Python itself complains at its end of a stream that it cannot flush: what has been told by then is what counts.
    left = f"{before}\nimport os, sys\n"
    told = work(ROOT, "-I", before=left + "import atexit; atexit.register(os._exit, 0)")

    assert told == usual


@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_a_process_that_starts_without_its_streams_works(closed, usual_with_files):
    """The numbers are free then, and the first files that are opened get them: the store is not mistaken for a stream."""
    closing = " ".join(f"{number}>&-" for number in closed)
    with tempfile.TemporaryDirectory() as folder:
        program = WORK.replace("os.write(int(done)", "os.write(os.open(done, os.O_WRONLY | os.O_CREAT)")
        command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}", folder, f"{folder}/told"]
        subprocess.run(["sh", "-c", f'"$@" {closing}', "sh", *command], check=True, timeout=60, env={})

        assert Path(folder, "told").read_text() == usual_with_files


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
        {"LC_ALL": "no_such.place", "TZ": "nonsense/place", "LANG": "\udcff"},
        {"PYTHONUTF8": "1", "PYTHONHASHSEED": "0"},
    ],
    ids=["bytes only", "ascii streams", "turkish", "nonsense", "utf-8 mode"],
)
def test_no_locale_time_zone_or_encoding_changes_a_result(variables, usual_with_files, tmp_path):
    """L28: what is told is the same, and files are UTF-8 or ASCII whatever the locale says."""
    assert work(ROOT, files=str(tmp_path), **variables) == usual_with_files
    assert "na\u00efve" in (tmp_path / "result.html").read_text(encoding="utf-8")
    (tmp_path / "result.json").read_text(encoding="ascii")


@pytest.mark.parametrize("umask", ["000", "077", "777"])
def test_what_is_written_is_its_owners_alone_whatever_the_umask(umask, usual_with_files, tmp_path):
    """L28, S51: the store with its side files, the checkpoints, the results; and nothing beside what was asked for."""
    assert work(ROOT, before=f"import os; os.umask(0o{umask})", files=str(tmp_path)) == usual_with_files

    names = {"store.db", "run.checkpoint", "batch.json", "result.json", "result.html", "batch-result.json"}
    assert set(os.listdir(tmp_path)) == names
    assert {stat.S_IMODE(path.stat().st_mode) & 0o177 for path in tmp_path.iterdir()} == {0}


# -- OpenSSL that allows only what is certified ------------------------------------------------------------------------

FIPS = """
openssl_conf = setup
[setup]
providers = providers
alg_section = algorithms
[providers]
default = default_provider
[default_provider]
activate = 1
[algorithms]
default_properties = fips=yes
"""


# Python's own SHA-256, which some builds lack: then OpenSSL's is all there is.
NOT_ITS_OWN = "sys.modules['_sha2'] = sys.modules['_sha256'] = None\n"


def test_a_python_without_a_sha256_of_its_own_has_the_same_ids(usual):
    assert work(ROOT, before=NOT_ITS_OWN) == usual


@pytest.mark.parametrize("lacking", [(), ("_sha2", "_sha256")], ids=["own digests", "only those of OpenSSL"])
def test_an_openssl_that_refuses_every_digest_changes_no_id(usual, tmp_path, lacking):
    """L34, L35: ids are SHA-256 and protect nothing, so Python's own will do, and OpenSSL's where it is told so."""
    (tmp_path / "openssl.cnf").write_text(FIPS)
    refuses = f"import sys\nfor name in {lacking}: sys.modules[name] = None\n" + (
        "import hashlib\ntry:\n    hashlib.md5(b'')\nexcept ValueError:\n    pass\n"
        "else:\n    import os; os.write(int(__import__('sys').argv[2]), b'not refused'); os._exit(0)\n"
    )

    told = work(ROOT, before=refuses, files="", OPENSSL_CONF=str(tmp_path / "openssl.cnf"))

    if told == "not refused":
        pytest.skip("this OpenSSL does not know default_properties")
    assert told == usual


# -- no network --------------------------------------------------------------------------------------------------------

LISTEN = """
import os, sys
heard = []
def listen(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ssl.", "ftplib.", "smtplib.")):
        heard.append((event, str(arguments)[:100]))
sys.addaudithook(listen)
"""
OFFLINE = """
import os
from interactiveai_eval import FakeTransport, Interactive, Response
from interactiveai_eval.cli import main

async def coroutine(item):
    return item["input"]

def runs(client):
    for task in (lambda item: item["input"], coroutine):
        result = client.run_experiment(name="x", data=[{"input": 1}], task=task, evaluators=[lambda *, output: output])
        assert result.item_results[0].output == 1

with Interactive.local() as client:
    runs(client)
with Interactive(transport=FakeTransport(lambda request: Response(200, body=b"{}")), project=("o", "p")) as client:
    runs(client)
assert main(["demo", "--limit", "1", "--output", os.path.join(sys.argv[1], "report.html")]) == 0
# asyncio wakes its loop through a pair of sockets inside the process; they have no address.
strange = [entry for entry in heard if entry[0] != "socket.__new__" or "1, 1, 0" not in entry[1] and "AF_UNIX" not in entry[1]]
assert strange == [], strange
import socket
try:
    socket.getaddrinfo("127.0.0.1", 80)
finally:
    assert heard[-1][0] == "socket.getaddrinfo"  # it would have been heard
os.write(int(sys.argv[2]), b"quiet")
"""


def test_no_offline_run_looks_up_a_name_or_connects_to_anything(monkeypatch, tmp_path):
    """L45: the hook hears what a firewall would only stop; runs of both kinds, the embedded store, fakes, the demo."""
    monkeypatch.setitem(globals(), "WORK", OFFLINE)

    assert work(ROOT, "-I", before=LISTEN, files=str(tmp_path), PYTHONIOENCODING="utf-8") == "quiet"
