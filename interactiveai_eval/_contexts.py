"""Context variables: those of the standard library, or where its compiled part is missing, one set for each thread.

Without that part there is no asyncio either, so that threads are all that could have a context.
"""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import ContextVar as ContextVar
    from contextvars import copy_context as copy_context
else:
    try:
        from contextvars import ContextVar as ContextVar
        from contextvars import copy_context as copy_context
    except ImportError:
        from ._thread_contexts import ContextVar as ContextVar
        from ._thread_contexts import copy_context as copy_context
