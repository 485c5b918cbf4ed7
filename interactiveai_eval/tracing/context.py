"""What a context (of a thread, a task, a call) carries: its current span, and what new spans take over."""
from __future__ import annotations

from .._contexts import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token
    from typing import Any

_NOTHING: Mapping[str, Any] = {}
current: ContextVar[Any] = ContextVar("interactiveai_eval_span", default=None)  # a Span or None
propagated: ContextVar[Mapping[str, Any]] = ContextVar("interactiveai_eval_propagated", default=_NOTHING)


def restore_current(token: Token[Any], span: Any) -> None:
    """Undo `current.set(span)`; in another context (a generator closed elsewhere) only as far as it shows there."""
    try:
        current.reset(token)
    except ValueError:
        if current.get() is span:
            current.set(None if token.old_value is token.MISSING else token.old_value)
