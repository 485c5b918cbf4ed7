"""How long a server asks to be left alone: `Retry-After` in all its forms."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Who asks for more asks by mistake, and would silence a client for good; a made-up bound, as quotas may be by the day.
LONGEST_SECONDS = 86_400.0


def retry_after_seconds(headers: Mapping[str, str], now_ns: int) -> float | None:
    """The wait that `Retry-After-Ms` or `Retry-After` asks for; None when neither makes sense.

    A date counts from the date of the answer itself, so that a clock that is wrong here or there does no harm; only
    without one it counts from `now_ns`.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if text and len(text) <= 20 and text.isascii() and text.replace(".", "", 1).isdigit():
            return _sensible(float(text) * unit)
    text = headers.get("retry-after", "")
    if not any(character.isalpha() for character in text) or len(text) > 64:
        return None
    until = _http_date(text)
    if until is None:
        return None
    now = _http_date(headers.get("date", ""))
    return _sensible(max(0.0, until - (now_ns / 1e9 if now is None else now)))


def _sensible(seconds: float) -> float | None:
    return seconds if seconds <= LONGEST_SECONDS else None


def _http_date(text: str) -> float | None:
    """Seconds since 1970 of a date as HTTP writes it."""
    from datetime import timezone
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)).timestamp()
