"""The one logger of this package; `logging` is imported when there is something to say, not before."""
from __future__ import annotations

# Whatever name the package was vendored under.
_NAME = "interactiveai_eval"


def warn(message: str) -> None:
    """Log a warning."""
    import logging

    logging.getLogger(_NAME).warning(message)


def debug(message: str) -> None:
    """Log what only a search for a fault wants to know."""
    import logging

    logging.getLogger(_NAME).debug(message)


def show_debug() -> None:
    """Let debug messages through: to stderr, unless the application has handlers of its own."""
    import logging

    logger = logging.getLogger(_NAME)
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())
