"""`propagate_attributes`: what all spans of a stretch of code carry."""
from __future__ import annotations

from .._log import warn
from .._strict_json import to_attribute_text
from .attributes import PROPAGATED_LIMIT, TRACE_METADATA, cut, metadata_attributes, tag_texts
from .context import change, current, propagated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token
    from typing import Any


class propagate_attributes:  # a function to its users, as in the reference
    """`with propagate_attributes(user_id=...)`: set trace attributes on the current span and all spans opened inside.

    Texts are cut at 200 characters (with one warning a call), as servers that index them do. `metadata` maps names to
    texts. `as_baggage` is accepted and has no effect: nothing here adds headers to other libraries' requests.
    """

    def __init__(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        version: str | None = None,
        tags: list[str] | None = None,
        trace_name: str | None = None,
        as_baggage: bool = False,
    ) -> None:
        texts = {
            "user.id": user_id,
            "session.id": session_id,
            "langfuse.version": version,
            "langfuse.trace.name": trace_name,
            **(metadata_attributes(TRACE_METADATA, metadata) if metadata else {}),
        }
        # Kept whole: what is cut before it is masked may show a half of a secret that no mask knows.
        attributes: dict[str, Any]
        attributes = {key: to_attribute_text(value) for key, value in texts.items() if value is not None}
        long = [key for key, text in attributes.items() if len(text) > PROPAGATED_LIMIT]
        if tags is not None:
            attributes["langfuse.trace.tags"] = [cut(tag) for tag in tag_texts(tags)]
            long += ["a tag"] if max(map(len, tag_texts(tags)), default=0) > PROPAGATED_LIMIT else []
        if long:
            warn(f"propagate_attributes: cut at {PROPAGATED_LIMIT} characters: {', '.join(long)}")
        self._attributes = attributes
        self._tokens: list[Token[Mapping[str, Any]]] = []

    def __enter__(self) -> None:
        self._tokens.append(change(propagated.set, {**propagated.get(), **self._attributes}))
        span = current.get()
        if span is not None:
            carried = span.tracer.propagated()
            span.attributes.update((key, carried[key]) for key in self._attributes)

    def __exit__(self, *exc_info: Any) -> None:
        token = self._tokens.pop()
        try:
            change(propagated.reset, token)
        except ValueError:
            # Left in another context than entered (a generator closed elsewhere): nothing was set in this one.
            return
