"""Copies of the package for other trees: complete, the same bytes again, working, and able to say whether intact."""
from __future__ import annotations

import json
import os
import py_compile
import shutil
import subprocess
import sys
import zipfile

import pytest

from interactiveai_eval import __version__
from interactiveai_eval.cli import main
from interactiveai_eval.vendoring import check_copy, manifest_of, package_files, write_copy

from .programs import ROOT, environment
from .test_package import PACKAGE, in_python, offences, smoke, zipped

KINDS = {"folder": [], "zip": ["--zip"], "file": ["--single-file"]}
ENDS = {"folder": "", "zip": ".zip", "file": ".py"}


def everything(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ran(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)], cwd=cwd, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """One copy of each kind, named `iae`, in a folder of its own."""
    folder = tmp_path_factory.mktemp("copies")
    return {kind: write_copy(str(folder / kind), name="iae", kind=kind) for kind in KINDS}


@pytest.fixture
def copied(copies, tmp_path):
    """Such a copy to spoil."""

    def take(kind):
        target = tmp_path / f"iae{ENDS[kind]}"
        (shutil.copytree if kind == "folder" else shutil.copyfile)(copies[kind], target)
        return target

    return take


def test_all_files_of_the_package_are_found_through_the_import_system():
    """What is forgotten here is missing from every copy."""
    wanted = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]

    assert package_files() == {path.relative_to(PACKAGE).as_posix(): path.read_bytes() for path in wanted}


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_the_same_bytes_whenever_it_is_made(kind, copies, tmp_path, capsys):
    """L15: from another folder, with another umask, by the command or the function; nobody else may write to it."""
    before = os.umask(0)
    try:
        assert main(["vendor", str(tmp_path / "new" / "place"), "--name", "iae", *KINDS[kind]]) == 0
    finally:
        os.umask(before)

    made = tmp_path / "new" / "place"
    assert everything(made) == everything(made.__class__(copies[kind]).parent)
    assert {path.stat().st_mode & 0o022 for path in (tmp_path / "new").rglob("*")} == {0}
    assert (tmp_path / "new").stat().st_mode & 0o022 == 0
    assert sorted(os.listdir(made)) == [f"iae{ENDS[kind]}"]
    assert capsys.readouterr().out == f"{made / f'iae{ENDS[kind]}'}: {__version__}, intact, the same as this one\n"


@pytest.mark.parametrize("source", ["zip", "file"])
def test_a_copy_copies_itself_whatever_it_is_loaded_from(source, copies, tmp_path):
    for kind, option in KINDS.items():
        ran(copies[source], "vendor", tmp_path / kind, "--name", "iae", *option, cwd=tmp_path)
        assert everything(tmp_path / kind) == everything(tmp_path.__class__(copies[kind]).parent)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_copy_works_inside_other_packages(kind, copied, tmp_path):
    """L01, L03, L04; none needs its bytecode, writes any, or knows the package's usual name."""
    target = copied(kind)
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    path = [target] if kind == "zip" else [tmp_path]
    if kind != "zip":
        shutil.move(target, place)
    importing = "import iae as package" if kind == "zip" else "import a.b.iae as package"
    source = smoke(importing) + "    assert 'interactiveai_eval' not in sys.modules\n"

    assert in_python(source, "-I", "-S", "-B", path=path[0]) == "smoke test passed\n"
    assert not list(tmp_path.rglob("*.pyc"))


def test_the_demo_runs_from_a_single_file_and_tracebacks_show_its_lines(copies, tmp_path):
    assert "accuracy" in ran("-I", "-S", copies["file"], "demo", "--limit", "1", cwd=tmp_path)
    source = """
    import iae.commands.targets, traceback
    try:
        iae.commands.targets.load_target("x", "nonsense")
    except ValueError:
        print(traceback.format_exc())
    """

    assert "    raise ArgumentError(" in in_python(source, "-I", "-S", path=tmp_path.__class__(copies["file"]).parent)


def test_a_single_file_has_nothing_that_a_policy_scanner_stops_at(copies):
    """Its loader is the standard one, given other bytes: no `exec`, and only a file knows where it is."""
    with open(copies["file"], encoding="ascii") as file:
        source = file.read()

    assert set(offences(source)) <= {"__file__", "__path__"} and len(source) > 500_000


def test_two_single_files_share_nothing(copies, tmp_path):
    for name in ("one", "two"):
        shutil.copyfile(copies["file"], tmp_path / f"{name}.py")

    source = """
    import one, two

    assert one.Interactive is not two.Interactive
    print(one.Interactive.__module__, two.Interactive.__module__, sorted({name.partition(".")[0] for name in sys.modules} & {"iae"}))
    """
    assert in_python(source, path=tmp_path) == "one.client two.client []\n"


def test_a_bytecode_only_package_says_that_it_cannot_be_copied(tmp_path):
    """L09: it works all the same."""
    archive = zipped(tmp_path)
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "compiled")
    ran("-m", "compileall", "-q", "-b", "compiled", cwd=tmp_path)
    for source in (tmp_path / "compiled").rglob("*.py"):
        source.unlink()

    said = in_python(
        smoke("import interactiveai_eval as package")
        + """
    from interactiveai_eval.cli import main
    sys.stderr = sys.stdout
    print(main(["vendor", "copy"]))
    """,
        path=tmp_path / "compiled",
        cwd=tmp_path,
    )

    assert "a copy of this package (interactiveai_eval is there as bytecode only) needs the sources" in said
    assert said.endswith("\n2\n") and not (tmp_path / "copy").exists()


# -- checking ----------------------------------------------------------------------------------------------------------


def rewritten(path, change):
    """The zip at `path` with its files changed."""
    with zipfile.ZipFile(path) as file:
        files = {name: file.read(name) for name in file.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)


@pytest.mark.parametrize(
    "spoil, finding",
    [
        (lambda files: files.update({"iae/model.py": files["iae/model.py"] + b"\n"}), "model.py was changed"),
        (lambda files: files.pop("iae/demo/gsm8k.py"), "demo/gsm8k.py is missing"),
        (lambda files: files.update({"iae/more.py": b""}), "more.py does not belong to it"),
        (lambda files: files.update({"__main__.py": b"boo"}), "__main__.py of the archive was changed"),
        (lambda files: files.update({"evil.py": b"boo"}), "evil.py does not belong to it"),
        (lambda files: files.update({"model.py": b"boo"}), "model.py does not belong to it"),
    ],
)
def test_a_spoilt_zip_is_found_out(copied, spoil, finding, capsys):
    target = copied("zip")
    rewritten(target, spoil)

    assert main(["vendor", str(target), "--check"]) == 1
    assert capsys.readouterr().out == (
        f"{target}: {__version__}, not intact (2 findings), the same as this one\n{finding}\n"
        "the archive is not as it was written\n"
    )


def flipped(data, at, mask=1):
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


DAMAGE = {
    "bytes after it": lambda data: data + b"x",
    "bytes before it": lambda data: b"#!/bin/sh\n" + data,
    "the first byte": lambda data: flipped(data, 0),
    "a byte of a file": lambda data: flipped(data, data.index(b"class Secret")),
    "a byte of the manifest": lambda data: flipped(data, data.index(b'"schema": "interactiveai_eval/manifest"') + 3),
    "the name of the manifest": lambda data: flipped(data, data.index(b"iae/MANIFEST.json") + 6),
    "an entry said to be encrypted": lambda data: flipped(data, data.index(b"PK\x01\x02") + 8),
    "an entry said to be compressed": lambda data: flipped(data, data.index(b"PK\x01\x02") + 10, 99),
    "an entry of a newer format": lambda data: flipped(data, data.index(b"PK\x01\x02") + 6, 0xFF),
    "rights in the directory": lambda data: flipped(data, data.index(b"PK\x01\x02") + 40),
    "the size of the directory": lambda data: flipped(data, len(data) - 10),
    "the last byte": lambda data: flipped(data, len(data) - 1),
    "the end cut off": lambda data: data[: len(data) // 2],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_zip_is_not_intact_wherever_the_damage_is(copied, damage, capsys):
    """What zip tools overlook counts too; no damage makes it a foreign file, or ends in a traceback."""
    target = copied("zip")
    target.write_bytes(DAMAGE[damage](target.read_bytes()))

    assert main(["vendor", str(target), "--check"]) == 1
    said = capsys.readouterr()
    assert ", not intact (" in said.out and "the archive is not as it was written" in said.out and said.err == ""


def test_no_flipped_bit_of_a_zip_outside_the_texts_is_overlooked(copied):
    target = copied("zip")
    whole = target.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    for at in [*range(0, 60, 7), *range(directory, len(whole), (len(whole) - directory) // 8), *range(len(whole) - 22, len(whole), 3)]:
        target.write_bytes(flipped(whole, at, 1 << at % 8))
        assert check_copy(str(target))["findings"], at


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_copy_that_no_longer_parses_is_not_intact_and_not_foreign(copied, kind, capsys):
    target = copied(kind)
    inside = target / "MANIFEST.json" if kind == "folder" else target
    inside.write_bytes(inside.read_bytes().replace(b'"schema": ', b'"schema" "', 1).replace(b"FILES = {", b"FILES = [", 1))

    assert main(["vendor", str(target), "--check"]) == 1
    assert f"{target}: a copy, not intact (" in capsys.readouterr().out


def python_compiled(target, *flags):
    """Compiled by an interpreter that imports it, as everyday use does."""
    source = "import iae.cli, iae.model, iae.transports.local"
    ran("-S", *flags, "-c", source, cwd=target.parent)
    return sorted(path.relative_to(target).as_posix() for path in target.rglob("*.pyc"))


def test_bytecode_that_importing_left_is_compared_and_is_no_finding(copied):
    target = copied("folder")
    assert len(python_compiled(target)) > 20 and len(python_compiled(target, "-O")) > 40

    told = check_copy(str(target))
    assert (told["findings"], told["unchecked"]) == ([], [])


def test_bytecode_that_was_not_made_of_its_source_is_a_finding(copied, tmp_path):
    """Python runs it without a look at the source: what is in it counts, not its head."""
    target = copied("folder")
    compiled = next(path for path in python_compiled(target) if path.startswith("__pycache__/model."))
    head = (target / compiled).read_bytes()[:16]
    (tmp_path / "other.py").write_text("print('boo')\n")
    other = target / "__pycache__" / f"other.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(str(tmp_path / "other.py"), str(other), doraise=True)
    (target / compiled).write_bytes(head + other.read_bytes()[16:])

    assert check_copy(str(target))["findings"] == [
        f"{compiled} is not what this Python makes of model.py",
        f"__pycache__/{other.name} does not belong to it",
    ]
    (target / compiled).write_bytes(b"no bytecode")
    assert f"{compiled} is not what this Python makes of model.py" in check_copy(str(target))["findings"]


def test_bytecode_of_other_pythons_is_said_to_be_unchecked(copied, capsys):
    target = copied("folder")
    (target / "__pycache__").mkdir(exist_ok=True)
    (target / "__pycache__" / "model.cpython-27.pyc").write_bytes(b"boo")
    (target / "__pycache__" / "cli.cpython-27.opt-2.pyc").write_bytes(b"boo")

    assert main(["vendor", str(target), "--check"]) == 0
    assert capsys.readouterr().out == (
        f"{target}: {__version__}, intact, the same as this one\n"
        "not checked: bytecode of cpython-27 in __pycache__ (2 files)\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be given there")
def test_names_of_foreign_files_forge_no_line_and_steer_no_terminal(copied, capsys):
    """SECURITY S45: whoever can put a file beside ours chooses its name."""
    target = copied("folder")
    (target / "\x1b]0;title\x07\x9b31m\u202e\niae: intact").write_text("")

    assert main(["vendor", str(target), "--check"]) == 1
    head, *findings = capsys.readouterr().out.splitlines()
    assert head.startswith(f"{target}: {__version__}, not intact")
    assert findings == ["<U+001B>]0;title<U+0007><U+009B>31m<U+202E> iae: intact does not belong to it"]


def test_a_linked_folder_in_a_copy_is_found_out(copied, tmp_path):
    """It can be imported from, and whoever walks the tree does not come by."""
    target = copied("folder")
    (target / "more").symlink_to(tmp_path, target_is_directory=True)

    assert check_copy(str(target))["findings"] == ["more does not belong to it"]


@pytest.mark.parametrize("path", ["model.py", "LICENSE.txt", "transports/local/__init__.py"])
def test_one_changed_byte_in_a_folder_is_found_out(copied, path):
    """S79."""
    target = copied("folder")
    data = bytearray((target / path).read_bytes())
    data[len(data) // 2] ^= 1
    (target / path).write_bytes(data)

    assert check_copy(str(target.parent))["findings"] == [f"{path} was changed"]


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, "in its code"])
def test_one_changed_byte_in_a_single_file_is_found_out(copied, at):
    target = copied("file")
    data = bytearray(target.read_bytes())
    place = data.index(b"a", int(len(data) * at) if isinstance(at, float) else data.rindex(b"no file of its own"))
    data[place : place + 1] = b"b"
    target.write_bytes(data)

    assert "the file is not as it was written" in check_copy(str(target))["findings"]


@pytest.mark.parametrize(
    "version, more, age",
    [
        ("0.0.9", "", f"older than this one, {__version__}"),
        ("99.0.0", "", f"newer than this one, {__version__}"),
        (__version__, "# otherwise\n", "of this version, with other files than this one"),
        (__version__, "", "the same as this one"),
    ],
)
def test_a_copy_tells_how_old_it_is(copied, version, more, age):
    target = copied("folder")
    text = (target / "_version.py").read_text().replace(__version__, version) + more
    (target / "_version.py").write_text(text)
    manifest = manifest_of({**package_files(), "_version.py": text.encode()})
    (target / "MANIFEST.json").write_text(json.dumps({**manifest, "version": version}, indent=1) + "\n")

    assert check_copy(str(target)) == {"path": str(target), "version": version, "age": age, "findings": [], "unchecked": []}


@pytest.mark.parametrize("old, new", [("MIT", "MIS"), (__version__, "9.9.9"), ('"sha256": "', '"sha256": "0'), ("\n ", "\n\t")])
def test_a_changed_manifest_is_a_finding_though_the_files_are_as_they_were(copied, old, new):
    target = copied("folder")
    text = (target / "MANIFEST.json").read_text()
    (target / "MANIFEST.json").write_text(text.replace(old, new, 1))

    assert check_copy(str(target))["findings"] == ["MANIFEST.json was changed"]


@pytest.mark.parametrize("what", ["no place", "an empty folder", "text.py", "text.zip", "a foreign folder", "list.py"])
def test_what_is_no_copy_is_an_error_of_one_line(what, tmp_path, capsys):
    (tmp_path / "an empty folder").mkdir()
    (tmp_path / "a foreign folder").mkdir()
    (tmp_path / "a foreign folder" / "MANIFEST.json").write_text("[]")
    for name in ("text.py", "text.zip"):
        (tmp_path / name).write_text("some text")
    (tmp_path / "list.py").write_text("x = []\n")

    assert main(["vendor", str(tmp_path / what), "--check"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / what}: ") and said.count("\n") == 1 and "Error" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_an_intact_copy_is_replaced_and_a_changed_one_is_not(kind, copied, tmp_path, capsys):
    """An update must not lose what somebody has patched."""
    target = copied(kind)
    assert main(["vendor", str(tmp_path), "--name", "iae", *KINDS[kind]]) == 0
    if kind == "zip":
        rewritten(target, lambda files: files.update({"iae/patched.py": b""}))
    else:
        with open(target / "model.py" if kind == "folder" else target, "a") as file:
            file.write("# patched\n")
    patched = everything(tmp_path)

    assert main(["vendor", str(tmp_path), "--name", "iae", *KINDS[kind]]) == 2
    assert "was changed by hand" in capsys.readouterr().err and everything(tmp_path) == patched


@pytest.mark.parametrize("inside", [(), ("notes.txt",), ("notes.txt", "mine.py"), ("notes.txt", "a copy")])
def test_a_folder_of_the_users_is_never_replaced(inside, copied, tmp_path, capsys):
    """One that held a copy and other things was taken for that copy and replaced as a whole."""
    folder = tmp_path / "lib" / "evals"
    folder.mkdir(parents=True)
    for name in inside:
        copied("folder").rename(folder / "inner") if name == "a copy" else (folder / name).write_text("mine")
    before = everything(tmp_path)

    assert main(["vendor", str(tmp_path / "lib"), "--name", "evals"]) == 2
    told = "is a folder without the MANIFEST.json of a copy and is left alone; choose another --name, or another DEST"
    assert capsys.readouterr().err == f"error: DEST={str(folder)!r}: {told}\n"
    assert everything(tmp_path) == before

    if inside == ("notes.txt",):
        assert main(["vendor", str(folder), "--check"]) == 2
        assert capsys.readouterr().err == f"error: {folder}: holds no copy of this package\n"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc takes no folders, of root neither")
@pytest.mark.parametrize(("place", "told"), [("/proc/new", "cannot be made a folder: "), ("/proc/self/fd", "")])
def test_a_place_that_cannot_be_written_to_is_wrong_use(place, told, capsys):
    assert main(["vendor", place]) == 2
    assert capsys.readouterr().err.startswith(f"error: DEST={place!r}: {told or 'cannot be written to'}")


@pytest.mark.parametrize("place", ["a file", "a file/below"])
def test_a_place_that_is_no_folder_is_refused(place, tmp_path, capsys):
    (tmp_path / "a file").write_text("")

    assert main(["vendor", str(tmp_path / place)]) == 2
    assert capsys.readouterr().err == f"error: DEST={str(tmp_path / place)!r}: must be a folder, or the name for a new one\n"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["d", "--name", "a-b"], "Python identifier"),
        (["d", "--name", "class"], "no keyword"),
        (["d", "--name", "os"], "a module of Python's own"),
        (["d", "--name", "sys"], "a module of Python's own"),
        (["d", "--name", "email"], "a module of Python's own"),
        (["d", "--name", "_json"], "a module of Python's own"),
        (["d", "--name", "__main__"], "a module of Python's own"),
        ([], "name the folder"),
        (["--check"], "name the folder"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_before_anything_is_written(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(["vendor", *arguments]) == 2
    assert said in capsys.readouterr().err and os.listdir(tmp_path) == []


def test_a_disk_that_is_full_leaves_the_old_copy_and_nothing_else(copied, tmp_path):
    """A file-size limit stands for the full disk: writing fails half way."""
    copied("zip")
    before = everything(tmp_path)
    program = f"""
    import resource, signal
    from interactiveai_eval.vendoring import write_copy
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        write_copy({str(tmp_path)!r}, name="iae", kind="zip")
    except OSError as error:
        print(type(error).__name__)
    """

    assert in_python(program, "-I", "-S", "-B", path=ROOT) == "OSError\n"
    assert everything(tmp_path) == before


def test_the_bill_of_materials_has_no_components_and_is_the_same_again(tmp_path, copies):
    """L14."""
    for name in ("one.json", "two.json"):
        assert main(["vendor", "--sbom", str(tmp_path / name), "--json"]) == 0

    document = json.loads((tmp_path / "one.json").read_text())
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert (document["bomFormat"], document["specVersion"], document["components"]) == ("CycloneDX", "1.5", [])
    component = document["metadata"]["component"]
    assert (component["version"], component["licenses"]) == (__version__, [{"license": {"id": "MIT"}}])
    manifest = json.loads((tmp_path.__class__(copies["folder"]) / "MANIFEST.json").read_text())
    assert component["hashes"] == [{"alg": "SHA-256", "content": manifest["sha256"]}]
