"""Copies of this package for other trees: as a folder, a zip or one file, with a manifest that tells what belongs in.

A copy is the same bytes whoever makes it, when and where. The sources are asked of the import system, so that a copy
can be copied again, also out of a zip or a single file.
"""
from __future__ import annotations

import os
from errno import EACCES, ENOENT, EPERM, EROFS

from ._ids import sha256_hex
from ._version import __version__
from .errors import ArgumentError, DataError, FeatureUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.machinery import ModuleSpec
    from typing import Any

    Files = dict[str, bytes]

DATA_FILES = ("LICENSE.txt", "demo/gsm8k_LICENSE.txt", "py.typed")
MANIFEST = "MANIFEST.json"
_SCHEMA = "interactiveai_eval/manifest"
_PACKAGE = "interactiveai_eval"


def package_files() -> Files:
    """The files of this package by path in it, `/` between the parts, in order; what was compiled is not among them.

    Raises DataError where only bytecode is at hand, or a loader that gives no files.
    """
    from importlib.util import find_spec

    root = find_spec(__package__)
    assert root is not None
    try:
        found = {path: _read(spec) for path, spec in _modules(root)}
        folder = os.path.dirname(root.origin or "")
        for path in DATA_FILES:
            found[path] = root.loader.get_data(os.path.join(folder, *path.split("/")))  # type: ignore[union-attr]
    except (AttributeError, OSError) as error:
        raise DataError(f"a copy of this package ({error}) needs the sources, which this installation lacks") from None
    return {path: found[path].replace(b"\r\n", b"\n") for path in sorted(found)}


def _modules(spec: ModuleSpec, place: str = "") -> Iterator[tuple[str, ModuleSpec]]:
    from importlib.machinery import PathFinder
    from pkgutil import iter_modules

    yield f"{place}__init__.py", spec
    loader: Any = spec.loader  # a single file's finds its parts itself
    places = spec.submodule_search_locations
    names = [info.name for info in iter_modules(places)] or getattr(loader, "children", lambda _: ())(spec.name)
    for name in names:
        full = f"{spec.name}.{name}"
        part = PathFinder.find_spec(full, places) or loader.find_spec(full)  # neither imports what it is in
        assert part is not None
        if part.submodule_search_locations is None:
            yield f"{place}{name}.py", part
        else:
            yield from _modules(part, f"{place}{name}/")


def _read(spec: ModuleSpec) -> bytes:
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise OSError(f"{spec.name} is there as bytecode only")
    data: bytes = spec.loader.get_data(spec.origin)  # type: ignore[union-attr]
    return data


# -- what belongs to a copy --------------------------------------------------------------------------------------------


def manifest_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """What a copy says of itself: version, licence, the SHA-256 of each file, and one of them all."""
    digests = {path: sha256_hex(data) for path, data in files.items()}
    return {
        "schema": _SCHEMA,
        "schema_version": 1,
        "name": _PACKAGE,
        "version": __version__,
        "licence": "MIT",
        "sha256": sha256_hex("".join(f"{digest}  {path}\n" for path, digest in digests.items()).encode()),
        "files": digests,
    }


def sbom() -> dict[str, Any]:
    """A CycloneDX document of this package, which has no components; the same whenever it is made."""
    component = {
        "type": "library",
        "bom-ref": f"{_PACKAGE}@{__version__}",
        "name": _PACKAGE,
        "version": __version__,
        "licenses": [{"license": {"id": "MIT"}}],
        "hashes": [{"alg": "SHA-256", "content": manifest_of(package_files())["sha256"]}],
    }
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component},
        "components": [],
        "dependencies": [{"ref": component["bom-ref"], "dependsOn": []}],
    }


# -- writing -----------------------------------------------------------------------------------------------------------


def write_copy(folder: str, *, name: str = _PACKAGE, kind: str = "folder") -> str:
    """Write a copy named `name` into `folder`, which is made if need be; the path of the copy.

    `kind`: "folder", "zip" (runs as a program too) or "file" (one module). A copy that is there is replaced if it is
    intact; anything else there is an ArgumentError.
    """
    _check_name(name)
    files = _with_manifest(package_files())
    target = os.path.join(folder, name + {"folder": "", "zip": ".zip", "file": ".py"}[kind])
    if os.path.lexists(target):
        _refuse_foreign(target)
    try:
        _make_folder(folder)
    except (FileExistsError, NotADirectoryError):
        raise ArgumentError("DEST", folder, "must be a folder, or the name for a new one") from None
    except OSError as error:
        raise ArgumentError("DEST", folder, f"cannot be made a folder: {error.strerror}") from None
    fresh = os.path.join(folder, f".{os.urandom(12).hex()}.tmp")
    try:
        if kind == "folder":
            for path, data in files.items():
                _write(os.path.join(fresh, *path.split("/")), data)
        else:
            _write(fresh, (_zip if kind == "zip" else _single_file)(name, files))
        _remove(target)
        os.rename(fresh, target)
    except BaseException as error:
        _remove(fresh)
        if isinstance(error, OSError) and error.errno in (EACCES, ENOENT, EPERM, EROFS):
            raise ArgumentError("DEST", folder, f"cannot be written to: {error.strerror}") from None
        raise
    return target


def _check_name(name: str) -> None:
    from keyword import iskeyword

    if not name.isidentifier() or not name.isascii() or iskeyword(name):
        raise ArgumentError("--name", name, "must be a Python identifier in ASCII, and no keyword")
    if name == "__main__" or _is_standard(name):
        raise ArgumentError("--name", name, "is a module of Python's own, which the copy would hide; choose another")


def _is_standard(name: str) -> bool:
    import sys
    from importlib.machinery import PathFinder
    from sysconfig import get_path

    if sys.version_info >= (3, 10):
        return name in sys.stdlib_module_names
    library = get_path("stdlib")
    parts = PathFinder.find_spec(name, [library, os.path.join(library, "lib-dynload")])
    return name in sys.builtin_module_names or parts is not None


def _refuse_foreign(target: str) -> None:
    if os.path.isdir(target) and MANIFEST not in os.listdir(target):  # also one that merely has a copy in it
        fix = f"is a folder without the {MANIFEST} of a copy and is left alone; choose another --name, or another DEST"
        raise ArgumentError("DEST", target, fix)
    try:
        findings = check_copy(target)["findings"]
    except DataError as error:
        raise ArgumentError("DEST", target, f"is no copy of this package and is left alone: {error}") from None
    if findings:
        raise ArgumentError("DEST", target, f"was changed by hand ({findings[0]}); remove it first")


def _make_folder(path: str) -> None:
    """Have a folder there, of which no new part may be written to by others, whatever the umask."""
    if not os.path.isdir(path or "."):
        _make_folder(os.path.dirname(path.rstrip(os.sep)))
        os.mkdir(path, 0o755)


def _write(path: str, data: bytes) -> None:
    _make_folder(os.path.dirname(path))
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o644)) as file:  # whatever the umask
        file.write(data)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        from shutil import rmtree

        rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _with_manifest(files: Files) -> Files:
    return {**files, MANIFEST: _json_bytes(manifest_of(files))}


def _json_bytes(manifest: Mapping[str, Any]) -> bytes:
    import json

    return json.dumps(manifest, indent=1).encode("ascii") + b"\n"


_ZIP_MAIN = "import sys\nfrom {name}.__main__ import _main\nsys.exit(_main())\n"


def _zipfile() -> tuple[Any, Any]:
    try:
        from zipfile import ZipFile, ZipInfo
    except ImportError as error:
        raise FeatureUnavailable("a copy as a zip", error.name or "zipfile") from None
    return ZipFile, ZipInfo


def _zip(name: str, files: Files) -> bytes:
    """The archive, without times and without compression: that differs between builds of zlib, which may be missing."""
    from io import BytesIO

    ZipFile, ZipInfo = _zipfile()
    made = BytesIO()
    members = {f"{name}/{path}": data for path, data in files.items()}
    with ZipFile(made, "w") as archive:
        for path, data in {"__main__.py": _ZIP_MAIN.format(name=name).encode(), **members}.items():
            member = ZipInfo(path)  # of 1980-01-01
            member.create_system, member.external_attr = 3, 0o100644 << 16
            archive.writestr(member, data)
    return made.getvalue()


# The module that a single file is. It has no `exec`: its loader is the standard one, given other bytes.
_FILE_CODE = r'''
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader


class _Part(SourceFileLoader):
    # The loader of one module below `root`, and the finder of its siblings; only where the bytes come from is its own.

    def __init__(self, root, name):
        self.root = root
        part = name[len(root) + 1 :].replace(".", "/")
        self.is_folder = not part or part + "/__init__.py" in FILES
        path = "/".join(filter(None, (HERE, part, "__init__" if self.is_folder else "")))
        super().__init__(name, path + ".py")

    def get_data(self, path):
        inside = path[len(HERE) + 1 :].replace("\\", "/")
        if inside not in FILES:
            raise OSError(f"{path} is not in {HERE}")
        return FILES[inside].encode()

    def path_stats(self, path):
        raise OSError("no file of its own, so no bytecode beside it")

    def children(self, name):
        place = "".join(part + "/" for part in name[len(self.root) + 1 :].split(".") if part)
        inside = [path[len(place) :] for path in FILES if path.startswith(place) and path.endswith(".py")]
        return sorted({path.split("/")[0].replace(".py", "") for path in inside} - {"__init__"})

    def spec(self):
        made = ModuleSpec(self.name, self, origin=self.path, is_package=self.is_folder)
        made.has_location = True
        return made

    def find_spec(self, name, path=None, target=None):
        part = name[len(self.root) + 1 :].replace(".", "/")
        known = name.startswith(self.root + ".") and {part + ".py", part + "/__init__.py"} & FILES.keys()
        return _Part(self.root, name).spec() if known else None


HERE = __file__
if __name__ == "__main__":
    from importlib.util import module_from_spec

    part = _Part(NAME, NAME)
    sys.modules[NAME] = package = module_from_spec(part.spec())
    sys.meta_path.append(part)
    part.exec_module(package)
    start = part.find_spec(NAME + ".__main__")
    start.loader.exec_module(main := module_from_spec(start))
    sys.exit(main._main())
part = __loader__ = _Part(__name__, __name__)
__spec__.loader, __spec__.origin, __spec__.submodule_search_locations = part, part.path, []
__path__, __package__ = [], __name__
sys.meta_path.append(part)
part.exec_module(sys.modules[__name__])
'''
_FILE_SEAL = b"# sha256 "
_MADE_BY = f"made by `python -m {_PACKAGE} vendor --single-file`"


def _single_file(name: str, files: Files) -> bytes:
    pieces = [
        f'"""{_PACKAGE} {__version__} in one file, {_MADE_BY}. MIT licence.',
        "\n\nIt can be imported under any name, also inside other packages, and run as a program. Its modules are",
        "\nloaded when they are first used, from this table by the standard library's own loader: no file is written,",
        "\nand tracebacks show their lines. The last line is the SHA-256 of all above it.",
        f'\n"""\nNAME = "{name}"\nFILES = {{\n',
    ]
    for path, data in files.items():
        text = data.decode("ascii").replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        pieces.append(f'    "{path}": """\\\n{text}""",\n')
    made = "".join([*pieces, "}\n", _FILE_CODE]).encode("ascii")
    return made + _FILE_SEAL + sha256_hex(made).encode() + b"\n"


# -- checking ----------------------------------------------------------------------------------------------------------


def check_copy(path: str) -> dict[str, Any]:
    """What the copy at `path` is: its `path`, `version`, `findings` (why it is not intact) and `age` beside ours.

    `unchecked` is what nobody could look at, and `version` is None where the damage took it. `path` may be the folder
    that a copy was written into. Raises DataError when there is none.
    """
    place = _place_of(path)
    try:
        files, findings, unchecked, was_written_here = _contents(place)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file or folder") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    told = files.pop(MANIFEST, b"")
    manifest = _manifest_in(told)
    if manifest is None and not was_written_here:
        raise DataError(f"{path}: is no copy that `vendor` wrote: it has no {MANIFEST} of this package")
    if manifest is None:
        version, age, found = None, "of a version that cannot be told", [f"{MANIFEST} was changed or is missing"]
    else:
        version, age = manifest["version"], _age(manifest)
        wanted: dict[str, str] = manifest["files"]
        found = [f"{name} is missing" for name in wanted if name not in files]
        found += [f"{name} does not belong to it" for name in files if name not in wanted]
        found += [f"{name} was changed" for name in files if name in wanted and sha256_hex(files[name]) != wanted[name]]
        if not found and _manifest_bytes(files, manifest) != told:
            found = [f"{MANIFEST} was changed"]
    findings = found + findings
    return {"path": place, "version": version, "age": age, "findings": findings, "unchecked": unchecked}


def _manifest_bytes(files: Files, manifest: Mapping[str, Any]) -> bytes:
    """The manifest as it was written beside these files, if its version is theirs."""
    import json

    version = manifest["version"]
    made = {**manifest_of({path: files[path] for path in manifest["files"]}), "version": version}
    return _json_bytes(made) if json.dumps(version).encode() in files.get("_version.py", b"") else b""


def _manifest_in(data: bytes) -> dict[str, Any] | None:
    from ._strict_json import JSONError, from_json

    try:
        told = from_json(data)
    except (ValueError, JSONError):
        return None
    known = isinstance(told, dict) and told.get("schema") == _SCHEMA and type(told.get("files")) is dict
    return told if known and str(told.get("version")).replace(".", "").isdecimal() else None


def _age(manifest: Mapping[str, Any]) -> str:
    theirs, ours = ([int(part or 0) for part in text.split(".")] for text in (manifest["version"], __version__))
    if theirs != ours:
        return f"{'older' if theirs < ours else 'newer'} than this one, {__version__}"
    same = manifest.get("sha256") == manifest_of(package_files())["sha256"]
    return "the same as this one" if same else "of this version, with other files than this one"


def _place_of(path: str) -> str:
    """The copy itself, where `path` is it or the folder that it is in."""
    if os.path.isdir(path) and MANIFEST not in os.listdir(path):
        inside = [os.path.join(path, entry) for entry in sorted(os.listdir(path))]
        copies = [each for each in inside if each.endswith((".zip", ".py")) or MANIFEST in _entries(each)]
        if len(copies) != 1:
            several = f"holds {len(copies)} files or folders that may be one; name it"
            raise DataError(f"{path}: {several if copies else 'holds no copy of this package'}")
        return copies[0]
    return path


def _entries(path: str) -> list[str]:
    return os.listdir(path) if os.path.isdir(path) else []


def _contents(path: str) -> tuple[Files, list[str], list[str], bool]:
    """The files of a copy, what is wrong with what holds them, what was not checked, and whether `vendor` wrote it.

    The last is told from marks that one change cannot take all away, so that what is damaged is not taken for foreign.
    """
    if os.path.isdir(path):
        files, compiled = _of_folder(path)
        mark = _SCHEMA.encode()
        return files, *_bytecode(path, files, compiled), MANIFEST in files and mark in files.get("vendoring.py", b"")
    with open(path, "rb") as file:
        data = file.read()
    files, findings, was_written_here = (_of_zip if path.endswith(".zip") else _of_single_file)(data)
    return files, findings, [], was_written_here


def _of_folder(path: str) -> tuple[Files, list[str]]:
    """The files below `path`, and the paths of those in folders for bytecode."""
    found: Files = {}
    compiled: list[str] = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        links = [each for each in folders if os.path.islink(os.path.join(folder, each))]  # not walked
        for name in sorted([*names, *links]):
            full = os.path.join(folder, name)
            inside = os.path.relpath(full, path).replace(os.sep, "/")
            if "__pycache__" in inside.split("/")[:-1]:
                compiled.append(inside)
            elif name in links:
                found[inside] = b""
            else:
                with open(full, "rb") as file:
                    found[inside] = file.read()
    return found, compiled


def _bytecode(root: str, files: Files, paths: list[str]) -> tuple[list[str], list[str]]:
    """Findings about bytecode, which Python runs without a look at the source, and what only other Pythons can check.

    It is read and compared, and not run. A file without a source beside its folder is never run, and does not belong.
    """
    import sys

    findings: list[str] = []
    others: dict[str, int] = {}
    for path in paths:
        place, _, name = path.rpartition("__pycache__/")
        stem, _, rest = name.partition(".")
        tag, _, level = rest[: -len(".pyc")].partition(".opt-")
        source = f"{place}{stem}.py"
        if not rest.endswith(".pyc") or source not in files or level not in ("", "1", "2"):
            findings.append(f"{path} does not belong to it")
        elif tag != sys.implementation.cache_tag:
            others[tag] = others.get(tag, 0) + 1
        elif not _is_compiled(os.path.join(root, *path.split("/")), files[source], int(level or 0)):
            findings.append(f"{path} is not what this Python makes of {stem}.py")
    return findings, [f"not checked: bytecode of {tag} in __pycache__ ({count} files)" for tag, count in others.items()]


def _is_compiled(path: str, source: bytes, level: int) -> bool:
    from importlib.machinery import SourceFileLoader, SourcelessFileLoader

    try:
        code: Any = SourcelessFileLoader("part", path).get_code("part")
        made: Any = SourceFileLoader("part", path).source_to_code(source, path, _optimize=level)
    except (ImportError, OSError, SyntaxError, EOFError, ValueError, TypeError):
        return False
    return _is_same_code(code, made)


def _is_same_code(one: Any, other: Any) -> bool:
    # 3.11 compares code without its table of exception handlers, so that one could be moved unseen.
    tables = ("co_exceptiontable", "co_stacksize")
    return (
        one == other
        and all(getattr(one, name, None) == getattr(other, name, None) for name in tables)
        and all(_is_same_code(a, b) for a, b in zip(one.co_consts, other.co_consts) if hasattr(a, "co_consts"))
    )


_MEMBER = b"PK\x03\x04"


def _of_zip(data: bytes) -> tuple[Files, list[str], bool]:
    """The members by their own heads, which damage elsewhere leaves alone; all other bytes by writing them again."""
    members: Files = {}
    at = data.find(_MEMBER)
    while at >= 0:
        size, long, more = (int.from_bytes(data[at + a : at + b], "little") for a, b in ((18, 22), (26, 28), (28, 30)))
        start = at + 30 + long + more
        member = data[at + 30 : at + 30 + long].decode("ascii", "backslashreplace").replace("\0", "?")
        members[member] = data[start : start + size]
        at = data.find(_MEMBER, at + 30)
    name = next((member for member in members if member.endswith("/" + MANIFEST)), "/").partition("/")[0]
    files = {member[len(name) + 1 :]: members[member] for member in members if member.startswith(name + "/")}
    main = _ZIP_MAIN.format(name=name).encode()
    findings = [] if members.pop("__main__.py", b"") == main else ["__main__.py of the archive was changed"]
    findings += [f"{member} does not belong to it" for member in members if not member.startswith(name + "/")]
    named = b"/" + MANIFEST.encode() in data and b"/vendoring.py" in data
    was_written_here = named or _ZIP_MAIN.partition(".")[2].encode() in data
    if was_written_here and _zip(name, files) != data:
        findings.append("the archive is not as it was written")
    return files, findings, was_written_here


def _of_single_file(text: bytes) -> tuple[Files, list[str], bool]:
    import ast

    body, _, seal = text.rpartition(_FILE_SEAL)
    findings = [] if seal.strip() == sha256_hex(body).encode() else ["the file is not as it was written"]
    try:
        tables = [node.value for node in ast.parse(text).body if isinstance(node, ast.Assign)]
        table: dict[str, str] = next((ast.literal_eval(node) for node in tables if isinstance(node, ast.Dict)), {})
        files = {name: data.encode("ascii") for name, data in table.items()}
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError):
        files = {}
    mark = f'"schema": "{_SCHEMA}"'.encode()
    return files, findings, _MADE_BY.encode() in text or (mark in text and b"\nFILES = {\n" in text)
