"""What a run needs of its client."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .._clock import Clock
    from ..service.api import Api
    from ..tracing.spans import Tracer
    from .outbox import Outbox

ALWAYS_SAMPLED = "0" * 32  # a trace id that every sample has but an empty one, in which runs are not either


class Services:
    """Everything of a client that its runs use."""

    __slots__ = (
        "api",
        "base_url",
        "clock",
        "environment",
        "make_outbox",
        "silence",
        "tracer",
        "warn_of_silence",
    )

    def __init__(
        self,
        *,
        api: Api,
        base_url: str,
        clock: Clock,
        environment: str | None,
        tracer: Tracer,
        make_outbox: Callable[[], Outbox],
        silence: Callable[[str | None], str],
        warn_of_silence: Callable[[], None],
    ) -> None:
        self.api = api
        self.base_url = base_url
        self.clock = clock
        self.environment = environment
        self.tracer = tracer
        self.make_outbox = make_outbox
        self.silence = silence
        self.warn_of_silence = warn_of_silence
