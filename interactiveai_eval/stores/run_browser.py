"""The runs of a store as a small static site: a list, a page for each run, and one that compares any two.

It works from a folder, without a server or a network: a page never reads another, so what the comparison needs of each
run is in its page, as far as a bound allows. Names of files are made of hashes, never of names of the user's.
"""
from __future__ import annotations

import os
from collections import Counter

from .._atomic import write_atomically
from .._ids import sha256_hex
from ..errors import ArgumentError
from ..reporting.html import DOCUMENT_START, Page, document_end, document_head, page_top, render_page, size_text
from ..reporting.html_figures import overview_html
from ..reporting.html_text import escaped
from ..reporting.report import report_of
from ..reporting.shown import counted, name_text
from ..tally import tally_of
from .stored_runs import read_run, stored_runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from ..reporting.report import Report
    from ..reporting.summary import Summary
    from ..service.api import Api
    from .stored_runs import StoredRun

_COMPARED_ROWS = 50_000  # items of all runs in the page that compares; a made-up bound


class _Line:
    """What the list shows of one run."""

    def __init__(self, run: StoredRun, summary: Summary, compared: int | None) -> None:
        """`compared` is the run's number in the page that compares, None where it is not in there."""
        self.run = run
        self.summary = summary
        self.compared = compared
        self.group = run.dataset_name, () if run.dataset_name is not None else tuple(sorted(summary.metrics))


def write_site(api: Api, folder: str) -> dict[str, Any]:
    """Write the site over all runs of a store and say how many runs, files and bytes it has.

    The folder is made (mode 0700) where there is none; pages of ours in it are replaced one by one, others are left
    alone. Raises ArgumentError where the folder cannot be used or has foreign pages of the same names, OSError, and
    what the API raises.
    """
    runs = stored_runs(api)
    for name in ("index.html", "compare.html", *map(_file, runs)):
        if not _may_be_replaced(os.path.join(folder, name)):
            raise ArgumentError("--output", folder, f"has a page {name} that is none of ours; name another folder")
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
    except OSError as error:
        raise ArgumentError("--output", folder, f"is no folder and cannot be made one: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise ArgumentError("--output", folder, "is a folder that cannot be written to; name another one")
    lines: list[_Line] = []
    kept: list[Report] = []
    sizes: list[int] = []
    room = _COMPARED_ROWS

    def write(name: str, pieces: Iterator[str]) -> None:
        path = os.path.join(folder, name)
        write_atomically(path, pieces)
        sizes.append(os.path.getsize(path))

    for run, label in zip(runs, _labels(runs)):
        record, spans = read_run(api, run)
        report = report_of(record)
        home = "index.html"
        write(_file(run), render_page(Page([report], labels=[label], notes=[_note(run)], spans=spans, home=home)))
        room -= tally_of(record).given
        if room >= 0:
            kept.append(report)
        lines.append(_Line(run, report.summary, len(kept) if room >= 0 else None))
    if len(kept) > 1:
        places = [line.run for line in lines if line.compared is not None]
        page = Page(
            kept,
            labels=_labels(places),
            title="Compare runs",
            notes=[_note(run) for run in places],
            links=[_file(run) for run in places],
            home="index.html",
            overview=False,
            bases=_bases([line for line in lines if line.compared is not None]),
        )
        write("compare.html", render_page(page))
    write("index.html", _index(lines, sum(sizes)))
    return {"folder": os.path.abspath(folder), "runs": len(runs), "files": len(sizes), "bytes": sum(sizes)}


def _may_be_replaced(path: str) -> bool:
    """Whether nothing is there, or a page of ours."""
    start = DOCUMENT_START.encode("ascii")
    try:
        with open(path, "rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return not os.path.lexists(path)


def _bases(lines: Sequence[_Line]) -> list[int]:
    """For each run the place of the one that it is compared with at first: the next older one of its group."""
    bases = []
    for place, line in enumerate(lines):
        older = (n for n in range(place + 1, len(lines)) if lines[n].group == line.group)
        bases.append(next(older, place + 1 if place + 1 < len(lines) else place - 1))
    return bases


def _file(run: StoredRun) -> str:
    return f"run-{sha256_hex(run.id.encode('utf-8', 'surrogatepass'))[:24]}.html"


def _labels(runs: Sequence[StoredRun]) -> list[str]:
    """Experiments by their names; runs that share one, or are of a data set, by their own, with the time if need be."""
    names = Counter(run.name for run in runs)
    run_names = Counter(run.run_name for run in runs)
    return [
        name_text(run.name)
        if names[run.name] == 1 and run.dataset_name is None
        else name_text(run.run_name) + (f" ({name_text(run.started)})" if run_names[run.run_name] > 1 else "")
        for run in runs
    ]


def _note(run: StoredRun) -> str:
    what = "" if run.dataset_name is None else f", data set {name_text(run.dataset_name)}"
    return f"{name_text(run.run_name)}{what}, {_minute(run)}"


def _minute(run: StoredRun) -> str:
    return name_text(run.started)[:16].replace("T", " ")


def _index(lines: Sequence[_Line], size: int) -> Iterator[str]:
    yield document_head("Runs")
    yield "<body>\n<main>\n" + page_top("Run browser")
    yield f"<h1>{counted(len(lines), 'run')}</h1>\n"
    compared = [line for line in lines if line.compared is not None]
    if len(compared) > 1:
        yield '<p><a href="compare.html#run=1&amp;base=2">Compare any two runs</a></p>\n'
        if len(compared) < len(lines):
            yield f'<p class="note">The newest {len(compared):,} can be compared.</p>\n'
    if not lines:
        yield '<p class="lead">This store has no runs yet.</p>\n'
    groups: dict[Any, list[_Line]] = {}
    for line in lines:
        groups.setdefault(line.group, []).append(line)
    for (dataset_name, _), members in groups.items():
        title = "Experiments" if dataset_name is None else f"Data set {name_text(dataset_name)}"
        yield f'<section class="group">\n<h2>{escaped(title)}</h2>\n'
        labels = _labels([line.run for line in members])
        before: list[_Line | None] = [*members[1:], None]
        yield from overview_html(
            [
                (label, _file(line.run), _told(line, older), line.summary)
                for label, line, older in zip(labels, members, before)
            ]
        )
        yield "</section>\n"
    yield document_end(f"{counted(len(lines), 'run')} in {size_text(size)}.")


def _told(line: _Line, older: _Line | None) -> str:
    """When a run began, and a link to its comparison with the one before it."""
    told = f'<span class="note">{escaped(_minute(line.run))}</span>'
    if older is None or older.compared is None or line.compared is None:
        return told
    address = f"compare.html#run={line.compared}&amp;base={older.compared}"
    return f'{told} <a class="note" href="{address}">compare</a>'
