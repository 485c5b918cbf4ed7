"""What a context (of a thread, a task, a call) carries: its current span, and what new spans take over."""
from __future__ import annotations

from .._contexts import ContextVar, copy_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token
    from typing import Any

_NOTHING: Mapping[str, Any] = {}
current: ContextVar[Any] = ContextVar("interactiveai_eval_span", default=None)  # a Span or None
propagated: ContextVar[Mapping[str, Any]] = ContextVar("interactiveai_eval_propagated", default=_NOTHING)


def make_current(span: Any) -> Token[Any]:
    """Have a span current in this context; what `restore_current` takes."""
    token: Token[Any] = change(current.set, span)
    return token


def restore_current(token: Token[Any], span: Any) -> None:
    """Undo `make_current(span)`; in another context (a generator closed elsewhere) only as far as it shows there."""
    try:
        change(current.reset, token)
    except ValueError:
        if current.get() is span:
            make_current(None if token.old_value is token.MISSING else token.old_value)


def change(action: Callable[[Any], Any], argument: Any) -> Any:
    """`action(argument)` of a context variable, in which garbage may be collected.

    What that ends (a generator of @observe) may change the context too. Up to Python 3.11 it would thereby free what
    the interrupted change is at work on, and the process would crash; a copy of the context holds it meanwhile.
    """
    return _holding(copy_context(), action, argument)


def _holding(_: Any, action: Callable[[Any], Any], argument: Any) -> Any:
    return action(argument)
