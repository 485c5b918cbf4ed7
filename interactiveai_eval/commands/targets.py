"""Functions by name: what the command line is told to run, as `module:function` or `file.py:function`.

This is the one file that loads code by name, the user's own.
"""
from __future__ import annotations

import os
import sys

from ..errors import ArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def load_target(argument: str, text: str) -> Callable[..., Any]:
    """The function behind `module:function` or `file.py:function`; `Class.method` and other dotted names work too.

    Raises ArgumentError that names `argument` and says what is wrong.
    """
    if text.endswith(".py") and argument == "TARGET":
        text += ":experiment"
    source, _, names = text.rpartition(":")
    if not source or not names:
        raise ArgumentError(argument, text, "must look like module:function or file.py:function")
    try:
        found: Any = _module_in_file(source) if source.endswith(".py") else _module_named(source)
    except ArgumentError as error:
        raise ArgumentError(argument, text, error.fix) from None
    except (Exception, SystemExit) as error:
        # The user's module ran and failed.
        raise ArgumentError(argument, text, f"importing {source} failed: {_where(error)}") from None
    for name in names.split("."):
        if not hasattr(found, name):
            known = ", ".join(key for key, held in vars(found).items() if key[:1] != "_" and callable(held))
            fix = f"there is no {name!r}; there is {known}" if known else f"there is no {name!r}"
            raise ArgumentError(argument, text, fix)
        found = getattr(found, name)
    if not callable(found):
        raise ArgumentError(argument, text, f"is not a function but {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _module_named(name: str) -> ModuleType:
    from importlib import import_module

    if not all(part.isidentifier() for part in name.split(".")):
        raise ArgumentError("module", name, f"{name!r} is no module's name; a file's name ends in .py")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, one that it needs is not
        raise ArgumentError("module", name, f"there is no module {error.name!r} here or installed") from None


def _module_in_file(path: str) -> ModuleType:
    """The module of a file, loaded once however many targets name it; its folder becomes importable."""
    from importlib.util import module_from_spec, spec_from_file_location

    full = os.path.abspath(path)
    name = os.path.splitext(os.path.basename(full))[0]
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == full:
        return loaded
    if loaded is not None:
        name = f"{name}@{full}"  # tasks.py must not take the place of another module
        if name in sys.modules:
            return sys.modules[name]
    spec = spec_from_file_location(name, full)
    if not os.path.isfile(full) or spec is None or spec.loader is None:
        raise ArgumentError("file", path, f"there is no file {path}")
    if os.path.dirname(full) not in sys.path:
        sys.path.insert(0, os.path.dirname(full))
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _where(error: BaseException) -> str:
    """`ValueError: bad (tasks.py, line 3)`: the error and the place that raised it."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    at = f" ({os.path.basename(place.tb_frame.f_code.co_filename)}, line {place.tb_lineno})" if place else ""
    return f"{type(error).__name__}: {error}" + ("" if isinstance(error, SyntaxError) else at)


def wants_context(task: Callable[..., Any]) -> bool:
    """Whether `task` is an `experiment(context)`, which runs the experiment itself."""
    if getattr(task, "__name__", "") != "experiment":
        return False
    from inspect import signature

    return "context" in signature(task).parameters


def look_here_too() -> None:
    """Have modules found in the current folder, which python -I and -P leave out."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
