"""What `contextvars` offers and this package uses, for Pythons that lack it."""
from __future__ import annotations

from _thread import _local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Here(_local):
    def __init__(self) -> None:
        self.values: dict[ContextVar, Any] = {}  # replaced by each `set`, never changed


_here = _Here()


class ContextVar:
    """Like the standard one; a default must be given."""

    def __init__(self, name: str, *, default: Any) -> None:
        self.name = name
        self._default = default

    def get(self) -> Any:
        return _here.values.get(self, self._default)

    def set(self, value: Any) -> Token:
        token = Token(self, _here.values.get(self, Token.MISSING))
        _here.values = {**_here.values, self: value}
        return token

    def reset(self, token: Token) -> None:
        kept = {variable: value for variable, value in _here.values.items() if variable is not self}
        _here.values = kept if token.old_value is Token.MISSING else {**kept, self: token.old_value}


class Token:
    """What `ContextVar.set` returns: the way back."""

    MISSING: Any = object()

    def __init__(self, var: ContextVar, old_value: Any) -> None:
        self.var = var
        self.old_value = old_value


class Context:
    """Like the standard one, as far as `run` and `copy`."""

    def __init__(self, values: dict[ContextVar, Any]) -> None:
        self._values = values

    def copy(self) -> Context:
        return Context(self._values)

    def run(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        outside, _here.values = _here.values, self._values
        try:
            return function(*arguments, **keywords)
        finally:
            self._values, _here.values = _here.values, outside


def copy_context() -> Context:
    """A copy of this thread's context."""
    return Context(_here.values)
