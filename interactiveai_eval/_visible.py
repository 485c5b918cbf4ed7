"""Texts from outside as a report, a terminal or a log may have them: visible, on one line, of a bounded length.

Items, outputs, names, comments and a server's words come from outside. A terminal obeys control characters, a reader
is fooled by invisible ones, and a line feed makes a line that nobody wrote: they become marks such as `<U+202E>`, or
spaces.
"""
from __future__ import annotations

import re

# Controls but tab and line feed, bidi marks, zero-width and filler characters, line separators, lone surrogates, tags,
# what is no character at all.
# Joiners (U+200C, U+200D) and variation selectors stay: emoji, Persian and Indic scripts need them.
_unseen = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff]"
)
_NAME_LIMIT = 200  # characters; a made-up number


def visible(text: str) -> str:
    """`text` with control and invisible characters as marks, `<U+001B>`; tabs and line feeds stay."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return _unseen.sub(_mark, text)


def _mark(found: re.Match[str]) -> str:
    return f"<U+{ord(found.group()):04X}>"


def one_line(text: str) -> str:
    """`visible(text)` on one line: runs of white space become one space."""
    return " ".join(visible(text).split())


def cut(text: str, limit: int) -> str:
    """The first `limit` characters, and how many more there were."""
    return text if len(text) <= limit else f"{text[:limit]} \u2026 [{len(text) - limit:,} more characters]"


def name_text(text: str) -> str:
    """A name (of an experiment, a metric, an error type ...) on one line, cut where no table could hold it."""
    return one_line(cut(text, _NAME_LIMIT))
