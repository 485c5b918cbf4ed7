"""Copies of this package for other trees: as a folder, a zip or one file, with a manifest that tells what belongs in.

A copy is the same bytes whoever makes it, when and where. The sources are asked of the import system, so that a copy
can be copied again, also out of a zip or a single file.
"""
from __future__ import annotations

import os

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
    if not name.isidentifier() or not name.isascii():
        raise ArgumentError("--name", name, "must be a Python identifier in ASCII")
    files = package_files()
    target = os.path.join(folder, name + {"folder": "", "zip": ".zip", "file": ".py"}[kind])
    if os.path.lexists(target):
        _refuse_foreign(target)
    os.makedirs(folder, exist_ok=True)
    fresh = os.path.join(folder, f".{os.urandom(12).hex()}.tmp")
    try:
        if kind == "folder":
            for path, data in _with_manifest(files).items():
                _write(os.path.join(fresh, *path.split("/")), data)
        else:
            _write(fresh, (_zip if kind == "zip" else _single_file)(name, files))
        _remove(target)
        os.rename(fresh, target)
    except BaseException:
        _remove(fresh)
        raise
    return target


def _refuse_foreign(target: str) -> None:
    try:
        findings = check_copy(target)["findings"]
    except DataError as error:
        raise ArgumentError("DEST", target, f"is no copy of this package and is left alone: {error}") from None
    if findings:
        raise ArgumentError("DEST", target, f"was changed by hand ({findings[0]}); remove it first")


def _write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o644)) as file:  # whatever the umask
        file.write(data)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        from shutil import rmtree

        rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _with_manifest(files: Files) -> Files:
    import json

    return {**files, MANIFEST: json.dumps(manifest_of(files), indent=1).encode("ascii") + b"\n"}


_ZIP_MAIN = "import sys\nfrom {name}.__main__ import _main\nsys.exit(_main())\n"


def _zipfile() -> tuple[Any, Any, Any]:
    try:
        from zipfile import BadZipFile, ZipFile, ZipInfo
    except ImportError as error:
        raise FeatureUnavailable("a copy as a zip", error.name or "zipfile") from None
    return ZipFile, ZipInfo, BadZipFile


def _zip(name: str, files: Files) -> bytes:
    """The archive, without times and without compression: that differs between builds of zlib, which may be missing."""
    from io import BytesIO

    ZipFile, ZipInfo, _ = _zipfile()
    made = BytesIO()
    members = {f"{name}/{path}": data for path, data in _with_manifest(files).items()}
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


def _single_file(name: str, files: Files) -> bytes:
    pieces = [
        f'"""{_PACKAGE} {__version__} in one file, made by `python -m {_PACKAGE} vendor --single-file`. MIT licence.',
        "\n\nIt can be imported under any name, also inside other packages, and run as a program. Its modules are",
        "\nloaded when they are first used, from this table by the standard library's own loader: no file is written,",
        "\nand tracebacks show their lines. The last line is the SHA-256 of all above it.",
        f'\n"""\nNAME = "{name}"\nFILES = {{\n',
    ]
    for path, data in _with_manifest(files).items():
        text = data.decode("ascii").replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        pieces.append(f'    "{path}": """\\\n{text}""",\n')
    made = "".join([*pieces, "}\n", _FILE_CODE]).encode("ascii")
    return made + _FILE_SEAL + sha256_hex(made).encode() + b"\n"


# -- checking ----------------------------------------------------------------------------------------------------------


def check_copy(path: str) -> dict[str, Any]:
    """What the copy at `path` is: its `path`, `version`, `findings` (why it is not intact) and `age` beside ours.

    `path` may be the folder that a copy was written into. Raises DataError when there is none.
    """
    found, manifest, findings = _contents(_place_of(path))
    known = isinstance(manifest, dict) and manifest.get("schema") == _SCHEMA and type(manifest.get("files")) is dict
    if not known or not str(manifest.get("version")).replace(".", "").isdecimal():
        raise DataError(f"{path}: its {MANIFEST} is not of a copy of this package")
    wanted: dict[str, str] = manifest["files"]
    findings += [f"{name} is missing" for name in wanted if name not in found]
    findings += [f"{name} does not belong to it" for name in found if name not in wanted]
    findings += [f"{name} was changed" for name in found if name in wanted and sha256_hex(found[name]) != wanted[name]]
    return {"path": _place_of(path), "version": manifest["version"], "age": _age(manifest), "findings": findings}


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
            raise DataError(f"{path}: holds {len(copies)} copies of this package; name one")
        return copies[0]
    return path


def _entries(path: str) -> list[str]:
    return os.listdir(path) if os.path.isdir(path) else []


def _contents(path: str) -> tuple[Files, Any, list[str]]:
    """The files of a copy, its manifest, and what is wrong with what holds them. Raises DataError."""
    from ._strict_json import JSONError, from_json

    findings: list[str] = []
    try:
        if os.path.isdir(path):
            files = _of_folder(path)
        elif path.endswith(".zip"):
            files, findings = _of_zip(path)
        else:
            files, findings = _of_single_file(path)
        return files, from_json(files.pop(MANIFEST)), findings
    except (OSError, KeyError, ValueError, SyntaxError, AttributeError, JSONError) as error:
        raise DataError(f"{path}: is no copy that `vendor` wrote ({type(error).__name__}: {error})") from None


def _of_folder(path: str) -> Files:
    found: Files = {}
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(each for each in folders if each != "__pycache__")
        for name in sorted(names):
            full = os.path.join(folder, name)
            with open(full, "rb") as file:
                found[os.path.relpath(full, path).replace(os.sep, "/")] = file.read()
    return found


def _of_zip(path: str) -> tuple[Files, list[str]]:
    ZipFile, _, BadZipFile = _zipfile()
    try:
        with ZipFile(path) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
    except BadZipFile as error:
        raise ValueError(str(error)) from None
    name = next(member for member in [*members, "/"] if "/" in member).partition("/")[0]
    main = members.pop("__main__.py", b"")
    findings = [] if main == _ZIP_MAIN.format(name=name).encode() else ["__main__.py of the archive was changed"]
    return {member[len(name) + 1 :]: data for member, data in members.items()}, findings


def _of_single_file(path: str) -> tuple[Files, list[str]]:
    import ast

    with open(path, "rb") as file:
        text = file.read()
    body, _, seal = text.rpartition(_FILE_SEAL)
    findings = [] if seal.strip().decode("ascii") == sha256_hex(body) else ["the file is not as it was written"]
    tables = [node.value for node in ast.parse(text).body if isinstance(node, ast.Assign)]
    table: dict[str, str] = next((ast.literal_eval(node) for node in tables if isinstance(node, ast.Dict)), {})
    return {name: data.encode("ascii") for name, data in table.items()}, findings
