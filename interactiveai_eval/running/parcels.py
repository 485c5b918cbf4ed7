"""What one item has to deliver, on its way from the run to the outbox."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Parcel:
    """What one item has to deliver: encoded spans and score bodies, each with its id. `arrived` is called once."""

    __slots__ = ("arrived", "item_id", "links", "open", "scores", "spans")

    def __init__(
        self,
        *,
        spans: Sequence[tuple[str, bytes]] = (),
        scores: Sequence[dict[str, Any]] = (),
        links: Sequence[dict[str, Any]] = (),
        item_id: str | None = None,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        self.spans = spans
        self.scores = scores
        self.links = links
        self.item_id = item_id
        self.arrived = arrived
        self.open = 0  # portions without a verdict

    @property
    def events(self) -> int:
        """How many spans, scores and links it holds."""
        return len(self.spans) + len(self.scores) + len(self.links)
