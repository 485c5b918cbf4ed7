"""The names of span attributes, and values in the form in which attributes carry them."""
from __future__ import annotations

from .._strict_json import to_attribute_text, to_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TYPE = "langfuse.observation.type"
INPUT = "langfuse.observation.input"
OUTPUT = "langfuse.observation.output"
METADATA = "langfuse.observation.metadata"
LEVEL = "langfuse.observation.level"
STATUS_MESSAGE = "langfuse.observation.status_message"
ENVIRONMENT = "langfuse.environment"
AS_ROOT = "langfuse.internal.as_root"
TRACE_METADATA = "langfuse.trace.metadata"

# The longest text that servers index; longer ones are cut where they are propagated.
PROPAGATED_LIMIT = 200


def cut(text: str) -> str:
    """`text` as it may be propagated: at most 200 characters."""
    return text if len(text) <= PROPAGATED_LIMIT else text[:PROPAGATED_LIMIT]


def metadata_attributes(prefix: str, metadata: Any) -> dict[str, Any]:
    """Span attributes of metadata: one a key for a mapping (text, integer and bool as they are), else one in all."""
    if type(metadata) is dict:
        metadata = metadata.copy()  # another thread may be changing it
    if type(metadata) is not dict or not all([type(name) is str for name in metadata]):
        plain = to_plain(metadata)
        if type(plain) is not dict:
            return {prefix: to_attribute_text(metadata)}
        metadata = plain  # its names are texts, each there once
    return {
        f"{prefix}.{name}": value if type(value) in (int, bool) else to_attribute_text(value)
        for name, value in metadata.items()
        if value is not None
    }


def name_text(value: Any) -> str:
    """A name or an id as text, whatever was given for it."""
    return value if type(value) is str else to_attribute_text(value)


def tag_texts(tags: Any) -> list[str]:
    """Tags as texts; a lone text is one tag, not as many as it has letters, and None is none."""
    return [to_attribute_text(tag) for tag in ([tags] if isinstance(tags, str) else tags) if tag is not None]
