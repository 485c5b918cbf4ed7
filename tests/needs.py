"""What a test needs of the platform, read off its code: nobody has to remember a mark, and none can be out of date."""
from __future__ import annotations

import functools
import importlib.util
import inspect
import types

# What a test that refers to one of these needs: modules by name, what comes from them by the module it is from.
_MODULES = {
    "subprocess": "processes",
    "tests.programs": "processes",
    "multiprocessing": "processes",
    "concurrent.futures.process": "processes",
    "signal": "processes",
    "threading": "threads",
    "_thread": "threads",
    "concurrent.futures.thread": "threads",
    "socket": "sockets",
    "socketserver": "sockets",
    "http.server": "sockets",
    "http.client": "sockets",
    "urllib.request": "sockets",
    "ssl": "sockets",
    "sqlite3": "sqlite",
}
# The same by what is said: attributes, and what a function imports for itself.
_WORDS = {
    **{name: need for name, need in _MODULES.items() if "." not in name},
    "ProcessPoolExecutor": "processes",
    "fork": "processes",
    "geteuid": "processes",
    "setuid": "processes",
    "mkfifo": "processes",
    "ThreadPoolExecutor": "threads",
    "to_thread": "threads",
    "run_in_executor": "threads",
}
NEEDS = sorted({*_MODULES.values(), "locks", "patience", "sources"})


def needs_of(item) -> set[str]:
    """What a collected test needs: its function, its fixtures, and whatever of the tests' code these use."""
    used = [item.function, *(each.func for found in item._fixtureinfo.name2fixturedefs.values() for each in found)]
    if hasattr(item, "callspec"):
        used += item.callspec.params.values()
    explicit = {name for mark in item.iter_markers("needs") for name in mark.args}
    return explicit.union(*map(_needs_of, used))


def _needs_of(value) -> frozenset[str]:
    kind = type(value)  # not `isinstance`, which asks the value: some of the tests' values are hostile
    return _needs_of_code(value) if issubclass(kind, (type, types.FunctionType, functools.partial)) else frozenset()


@functools.cache
def _needs_of_code(value) -> frozenset[str]:
    found: set[str] = set()
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        known = (types.ModuleType, types.FunctionType, type, functools.partial, staticmethod, classmethod)
        if id(value) in seen or not issubclass(type(value), known):
            continue
        seen.add(id(value))
        name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str) and name in _MODULES:
            found.add(_MODULES[name])
        if isinstance(name, str) and name.endswith((".transports.server", ".transports.remote")):
            found.add("sockets")
        value = inspect.unwrap(value) if callable(value) else value
        if not _is_ours(value):
            continue
        if isinstance(value, type):
            waiting += vars(value).values()
        elif isinstance(value, functools.partial):
            waiting.append(value.func)
        elif isinstance(value, types.FunctionType):
            waiting += [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
            words = set(_words_of(value.__code__))
            found |= {_WORDS[word] for word in words if word in _WORDS and word not in value.__globals__}
            waiting += [value.__globals__[word] for word in words if word in value.__globals__]
    return frozenset(found)


def _is_ours(value) -> bool:
    module = getattr(value.func if isinstance(value, functools.partial) else value, "__module__", None) or ""
    return module.partition(".")[0] == __name__.partition(".")[0]


def _is_filled(cell) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _words_of(code):
    """All names that code refers to, in functions inside it too, and its string constants (a module may be named)."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _words_of(constant)


@functools.cache
def lacking() -> frozenset[str]:
    """What this platform does not have."""
    found = set()
    try:
        import _thread

        ready = _thread.allocate_lock()
        ready.acquire()
        _thread.start_new_thread(ready.release, ())
        ready.acquire()
    except (ImportError, RuntimeError):
        found.add("threads")
    try:
        import subprocess

        if not subprocess._can_fork_exec:
            found |= {"processes", "sockets"}
    except (ImportError, AttributeError):
        pass  # before 3.12 there is no such attribute, and no such platform
    if importlib.util.find_spec("_sqlite3") is None:
        found.add("sqlite")
    if not _has_locks():
        found.add("locks")
    return frozenset(found)


def _has_locks() -> bool:
    """Whether a locked file is locked for another opening of it too; on wasm `flock` is there and does nothing."""
    import tempfile

    try:
        import fcntl
    except ImportError:
        return False
    with tempfile.NamedTemporaryFile() as file, open(file.name) as again:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
