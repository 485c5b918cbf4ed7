"""The one logger of this package; `logging` is imported when there is something to say, not before."""
from __future__ import annotations

# Whatever name the package was vendored under.
_NAME = "interactiveai_eval"
_LINE_BYTES = 8_000  # with the time and the names that a handler puts before it still less than 8 KiB


def warn(message: str) -> None:
    """Log a warning: one line, in which no text from outside can pass for another."""
    import logging

    logging.getLogger(_NAME).warning(_line(message))


def debug(message: str) -> None:
    """Log what only a search for a fault wants to know, like `warn`."""
    import logging

    logger = logging.getLogger(_NAME)
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug(_line(message))


def _line(message: str) -> str:
    from ._visible import one_line

    text = one_line(message[:_LINE_BYTES])
    data = text.encode("utf-8")
    if len(message) <= _LINE_BYTES and len(data) <= _LINE_BYTES:
        return text
    return data[:_LINE_BYTES].decode("utf-8", "ignore") + " ..."


def show_debug() -> None:
    """Let debug messages through: to stderr, unless the application has handlers of its own."""
    import logging

    logger = logging.getLogger(_NAME)
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())
