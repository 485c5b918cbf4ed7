"""When nobody answers, or the keys are refused: what there is to send is kept then, without asking for each of it."""
from __future__ import annotations

# So many requests in a row that nobody answers mean that nobody will, for a while: the rest is kept without asking,
# but for one request in so many seconds. Made-up figures.
SILENT_REQUESTS, PROBE_SECONDS = 8, 1.0
_NEVER = float("inf")


class Silence:
    """Of the last `requests` none got an answer, the last of all for `reason`; for whoever holds the outbox's lock."""

    __slots__ = ("_probe_at", "reason", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.reason = ""
        self._probe_at = 0.0

    def goes_on(self, reason: str, now: float) -> None:
        """Count a request that got no answer."""
        self.requests += 1
        self.reason = reason
        self._probe_at = now + PROBE_SECONDS

    @property
    def is_known(self) -> bool:
        """Whether nobody is expected to answer."""
        return self.requests >= SILENT_REQUESTS

    def reason_not_to_ask(self, now: float) -> str | None:
        """Why there is no use in asking just now, None when there may be."""
        if not self.is_known:
            return None
        if now < self._probe_at:
            return self.reason
        self._probe_at = now + PROBE_SECONDS
        return None

    def try_again(self) -> None:
        """Ask as before, unless it is barred."""
        if self._probe_at < _NEVER:
            self.requests = 0

    def bar(self, reason: str) -> None:
        """Do not ask at all."""
        self.requests, self.reason, self._probe_at = SILENT_REQUESTS, reason, _NEVER

    def lift(self) -> None:
        """Ask again where it was barred."""
        if self._probe_at == _NEVER:
            self.requests, self._probe_at = 0, 0.0

    @property
    def bar_reason(self) -> str | None:
        """Why nothing is sent; None if it is."""
        return self.reason if self.requests and self._probe_at == _NEVER else None
