"""Headers on their way to the one place that writes them."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..config import Secret


class SealedHeaders:
    """Headers of which some are secrets, which only `reveal` shows; never changed, so one serves many requests."""

    __slots__ = ("_pairs",)

    def __init__(self, headers: Mapping[str, str | Secret]) -> None:
        self._pairs = tuple(headers.items())

    def __repr__(self) -> str:
        return f"SealedHeaders({', '.join(name for name, _ in self._pairs)})"

    def reveal(self) -> dict[str, str]:
        """The headers as they are sent."""
        return {name: value if isinstance(value, str) else value.reveal() for name, value in self._pairs}
