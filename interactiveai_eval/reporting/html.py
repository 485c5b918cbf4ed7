"""Results as one HTML file that needs nothing else: no network and no other file.

The policy in its head lets a browser use the one style sheet and the one script, known by their hashes, and nothing
more. Every text goes through `escaped`, which makes it visible and escapes it for element text and quoted attributes
alike, or into a JSON block (`html_data`), so what the data says cannot change the structure of the page. Verdict,
figures and a first part of the items can be read where scripts do not run; the script puts one table over all items in
their place.
"""
from __future__ import annotations

from binascii import b2a_base64

from .._ids import sha256_hex
from .._version import __version__
from .html_data import LONGEST_TEXT, RunRows, text_limit
from .html_figures import cards_html, checks_html, comparison_html, failures_html, overview_html
from .html_items import items_html
from .html_script import SCRIPT
from .html_style import STYLE
from .html_text import STATIC_TEXT, escaped, link_html, scores_html
from .report import report_of
from .shown import counted, cut, name_text, one_line
from .text import labels_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from .report import Report

_STATIC_ROWS = 200  # that are there without the script, of all runs together; a made-up bound


class Page:
    """What a page shows: reports, with the runs that they are compared with, and what is known beyond these."""

    def __init__(
        self,
        reports: Sequence[Report],
        *,
        title: str = "",
        labels: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        spans: Mapping[str, Sequence[Any]] | None = None,
        links: Sequence[str] = (),
        home: str = "",
        overview: bool | None = None,
        bases: Sequence[int] = (),
    ) -> None:
        """`notes` stand below the labels; `spans` are for `RunRows`; `links` lead to each report's own page, `home` to
        the list of all; `overview` tells whether to begin with a table of all (by default where there are several);
        `bases` are the places of the runs that the script compares with at first, where there are no baselines.
        """
        self.reports = list(reports)
        for report in reports:
            if report.baseline is not None and self._place(report.baseline) is None:
                self.reports.append(report_of(report.baseline))
        self.labels = labels_of([report.record for report in self.reports]) if labels is None else labels
        self.notes = notes or [
            run_name if run_name != label else ""
            for run_name, label in zip((name_text(report.record.run_name) for report in self.reports), self.labels)
        ]
        self.spans = spans
        self.links = links
        self.home = home
        self.bases = bases
        self.overview = len(reports) != 1 if overview is None else overview
        self.title = title or (self.labels[0] if len(reports) == 1 else counted(len(reports), "experiment"))

    def baseline(self, report: Report) -> int | None:
        """The place of the report of what a report is compared with."""
        return None if report.baseline is None else self._place(report.baseline)

    def _place(self, record: Any) -> int | None:
        return next((place for place, known in enumerate(self.reports) if known.record is record), None)


def render_html(reports: Sequence[Report]) -> Iterator[str]:
    """The pieces of the page for one or several reports; several begin with a table of all.

    What would make the file too large is cut, and the page says so: texts, items of a run beyond 20,000.
    """
    return render_page(Page(reports))


def render_page(page: Page) -> Iterator[str]:
    """The pieces of a page; at its end it says how large it is."""
    size = 0
    for piece in _pieces(page):
        size += len(piece) if piece.isascii() else len(piece.encode("utf-8"))
        yield piece
    yield from _end(size)


# How all documents of ours begin, and hardly any other one.
DOCUMENT_START = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
)


def document_head(title: str) -> str:
    """The head of a document, with the policy that a browser enforces."""
    return (
        f"{DOCUMENT_START}{_digest(SCRIPT)}; "
        f"style-src {_digest(STYLE)}; base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
    )


def document_end(note: str) -> str:
    """What ends a document: a footer, and the script."""
    told = f"interactiveai_eval {__version__}" + (f". {note}" if note else "")
    return f"<footer>{escaped(told)}</footer>\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"


def page_top(kicker: str, link: str = "") -> str:
    """The line above the title."""
    shown = f'<a href="{escaped(link)}">{escaped(kicker)}</a>' if link else escaped(kicker)
    return f'<header class="top"><p class="kicker">{shown}</p></header>\n'


def _digest(text: str) -> str:
    digest = b2a_base64(bytes.fromhex(sha256_hex(text.encode("ascii"))), newline=False).decode("ascii")
    return f"'sha256-{digest}'"


def _pieces(page: Page) -> Iterator[str]:
    yield document_head(page.title)
    yield "<body>\n<main>\n" + page_top("All runs" if page.home else "Evaluation report", page.home)
    if len(page.reports) == 1 or not page.overview:
        level = "h1"
    else:
        level = "h2"
        yield f"<h1>{escaped(page.title)}</h1>\n"
        lines = zip(page.labels, (report.summary for report in page.reports))
        yield from overview_html([(label, f"#run-{n}", "", summary) for n, (label, summary) in enumerate(lines, 1)])
    tables = [RunRows(report.record, page.spans) for report in page.reports]
    rows = _STATIC_ROWS // max(1, len(tables))
    limit = text_limit([length for table in tables for length in table.text_lengths()])
    for place, table in enumerate(tables):
        yield from _section(page, place, table, level if not place else "h2", rows if rows >= 10 else 0)
    if limit < LONGEST_TEXT:
        told = f"cut at {limit:,} characters" if limit else "left out"
        yield f'<p class="note">To keep this file usable, inputs and outputs are {told}.</p>\n'
    for place, (report, label, table) in enumerate(zip(page.reports, page.labels, tables)):
        link = page.links[place] if page.links else ""
        yield f'<script type="application/json" class="run-data" data-name="{escaped(label)}">'
        yield from table.block(limit, report.comparison, name=name_text(label), page=link)
        yield "</script>\n"


def _section(page: Page, place: int, table: RunRows, level: str, rows: int) -> Iterator[str]:
    report, label = page.reports[place], page.labels[place]
    record, base = report.record, page.baseline(report)
    first = page.bases[place] if page.bases else base
    chosen = f' data-base="{first + 1}"' if first is not None else ""
    yield f'<section class="run" id="run-{place + 1}"{chosen}>\n<{level}>{escaped(label)}</{level}>\n'
    if page.notes[place]:
        yield f'<p class="run-name">{escaped(page.notes[place])}</p>\n'
    if record.description:
        yield f'<p class="lead">{escaped(cut(record.description, STATIC_TEXT))}</p>\n'
    if record.dataset_run_url and not record.dataset_run_url.startswith("local:"):  # which no browser can open
        yield f"<p>{link_html(one_line(record.dataset_run_url))}</p>\n"
    poor = " poor" if report.verdict.status in ("failed", "incomplete", "errors") else ""
    yield f'<p class="verdict{poor}">{escaped(report.verdict.text[:1].upper() + report.verdict.text[1:])}.</p>\n'
    if report.undelivered:
        yield f'<p class="note">{escaped(one_line(report.undelivered))}.</p>\n'
    if report.resume:
        yield f'<p class="note">To go on: {escaped(report.resume)}.</p>\n'
    yield from checks_html(report)
    yield '<dl class="cards">\n'
    yield from cards_html(report, place + 1, "first to last span" if page.home else "duration")
    yield "</dl>\n"
    if report.comparison is not None and base is not None:
        yield from comparison_html(report.comparison, page.labels[base], f"{place + 1}-{base + 1}")
    if record.run_evaluations:
        yield f"<h3>Run evaluations</h3>\n{scores_html(record.run_evaluations)}\n"
    yield from failures_html(report.failures)
    yield from items_html(report, place + 1, table, rows)
    yield "</section>\n"


def _end(size: int) -> Iterator[str]:
    whole = size + len(SCRIPT) + 200
    yield document_end(f"One file of {size_text(whole)}; it loads nothing and sends nothing.")


def size_text(size: int) -> str:
    """`340 KB`, `1.2 MB`."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3)):,} KB"
