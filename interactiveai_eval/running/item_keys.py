"""What a checkpoint knows an item by: a text that is the same in every process, and another one for what differs.

Two items with one key are one to the run: the second takes over what the first has come to. So whatever a task could
tell apart counts (1 and "1", a tuple and a list, private attributes), and what cannot be written out has no key at all.
"""
from __future__ import annotations

import copyreg
import os
import sys

from .._ids import sha256_hex
from .._strict_json import EXACT_INTEGER, MAX_NODES, is_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MAX_DEPTH = 200  # a made-up bound: a level of objects takes four frames, and Python has a thousand


def key_of(value: Any) -> str | None:
    """64 hexadecimal digits that stand for all that `value` holds; None when that cannot be told.

    Objects are read as `pickle` and `copy` read them. One without any content is known only to the process that has
    made it; so are locks, files, generators, and what was made of a class or function inside a function.
    """
    try:
        # The `ascii` of plain values is such a text already, and fifty times as fast.
        text = ascii(value) if is_plain(value, EXACT_INTEGER) else _Text().of(value)
    except KeyboardInterrupt:
        raise
    except BaseException:
        # The value's own code failed, or it is too deep or too large: no two of those are taken for one.
        return None
    return sha256_hex(text.encode("ascii"))


_new_object: Any = copyreg.__newobj__  # type: ignore[attr-defined]


class _Untold(Exception):
    """There is a part that has no text of its own."""


class _Text:
    """One text under way: how much has been read, and the objects on the way down (to see cycles)."""

    def __init__(self) -> None:
        self._left = MAX_NODES
        self._open: list[int] = []

    def of(self, value: Any) -> str:
        """The text of any value; the types are in it, and no two texts run into each other. Raises _Untold."""
        kind = type(value)
        if value is None or kind is str or kind is float or kind is bool or kind is bytes:
            return ascii(value)
        if kind is int:
            return hex(value)  # of any length: decimals have a limit
        self._left -= 1
        if self._left < 0 or len(self._open) >= MAX_DEPTH:
            raise _Untold
        if id(value) in self._open:
            return f"<up {len(self._open) - self._open.index(id(value))}>"
        self._open.append(id(value))
        try:
            return self._of_object(kind, value)
        finally:
            self._open.pop()

    def _of_object(self, kind: type, value: Any) -> str:
        if kind is dict:
            return "{" + self._of_pairs(value.copy().items()) + "}"
        if kind is list:
            return "[" + self._of_all(value) + "]"
        if kind is tuple:
            return "(" + self._of_all(value) + ")"
        if kind is set or kind is frozenset:
            return f"<{kind.__name__} " + ", ".join(sorted(self.of(member) for member in value.copy())) + ">"
        if isinstance(value, type) or kind.__name__ in ("function", "builtin_function_or_method"):
            return _of_global(value, value.__qualname__)
        reduce: Any = copyreg.dispatch_table.get(kind)
        parts: Any = value.__reduce_ex__(4) if reduce is None else reduce(value)
        if type(parts) is str:
            return _of_global(value, parts)
        made, arguments, state, members, pairs = [*parts, None, None, None][:5]
        content = arguments[1:] if made is _new_object else arguments
        if not content and state is None and members is None and pairs is None:
            raise _Untold  # one is like the other, and may still be something else to the task
        texts = [_of_global(made, made.__qualname__) if hasattr(made, "__qualname__") else self.of(made)]
        texts += [self.of(arguments), self.of(state)]
        if members is not None:
            texts.append("[" + self._of_all(members) + "]")
        if pairs is not None:
            texts.append("{" + self._of_pairs(pairs) + "}")
        return "<" + " ".join(texts) + ">"

    def _of_all(self, values: Iterable[Any]) -> str:
        return ", ".join([self.of(value) for value in values])

    def _of_pairs(self, pairs: Iterable[tuple[Any, Any]]) -> str:
        return ", ".join([f"{self.of(key)}: {self.of(value)}" for key, value in pairs])


def _of_global(value: Any, name: str) -> str:
    """The text of what a module has under a name. Raises _Untold when it is not to be found there."""
    module = getattr(value, "__module__", None)
    found = sys.modules.get(module) if isinstance(module, str) else None
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value:
        raise _Untold
    return f"<{module_of(value)!a} {name!a}>"


def module_of(thing: Any) -> str:
    """The name of the module that a function or class is from; a script is a module for others."""
    module = str(getattr(thing, "__module__", None))
    if module == "__main__":
        module = getattr(sys.modules.get(module), "__file__", None) or module
        module = os.path.splitext(os.path.basename(module))[0]
    return module
