"""What one item has to deliver, on its way from the run to the outbox."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Parcel:
    """What one item has to deliver: encoded spans and score bodies, each with its id. `arrived` is called once."""

    __slots__ = ("arrived", "item_id", "links", "open", "scores", "spans")

    def __init__(
        self,
        *,
        spans: list[tuple[str, bytes]] | None = None,
        scores: list[dict[str, Any]] | None = None,
        links: list[dict[str, Any]] | None = None,
        item_id: str | None = None,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        self.spans = [] if spans is None else spans
        self.scores = [] if scores is None else scores
        self.links = [] if links is None else links
        self.item_id = item_id
        self.arrived = arrived
        self.open = 0  # portions without a verdict

    @property
    def events(self) -> int:
        """How many spans, scores and links it holds."""
        return len(self.spans) + len(self.scores) + len(self.links)
