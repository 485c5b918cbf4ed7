"""`compare`, `check` and `report`: saved results judged again, or the runs of a store as pages."""
from __future__ import annotations

import os
import sys

from ..errors import ArgumentError
from .console import check_output, check_place, print_json, print_text
from .endings import PASSED
from .judging import Judge, declare_judging, declare_output, document_of, saved
from .places import reading_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ..reporting.report import Report

_NOTES = """\
A check is such as "accuracy >= 0.9", "accuracy.low > 80%", "tone[rude] <= 1%", "failure_rate <= 0.01" or, with a
baseline, "accuracy.delta >= -0.02" or "newly_failing == 0". Names with other signs stand in quotes within the quotes.
What cannot be found out fails, and so do items and evaluators that failed while no check says how many may
(failure_rate, failures, newly_failing; evaluator_failures). SAVED is a result that was saved as .json or .jsonl.
"""


def _declare_compare(parser: argparse.ArgumentParser) -> None:
    """The arguments of `compare`."""
    parser.add_argument("saved", metavar="CANDIDATE", help="a saved result")
    parser.add_argument("baseline", metavar="BASELINE", help="the saved result to compare it with")
    declare_judging(parser, baseline=False)
    declare_output(parser)


def _declare_check(parser: argparse.ArgumentParser) -> None:
    """The arguments of `check`."""
    parser.add_argument("saved", metavar="SAVED", help="a saved result")
    parser.add_argument("check", metavar="EXPR", nargs="+", help="what it must reach")
    declare_judging(parser, check=False)
    declare_output(parser)


def _declare_report(parser: argparse.ArgumentParser) -> None:
    """The arguments of `report`."""
    parser.add_argument("saved", metavar="SAVED", nargs="*", help="saved results")
    what = "browse this SQLite file's runs: --output is a folder then (default: eval-runs for eval.db)"
    parser.add_argument("--store", metavar="PATH", help=what)
    declare_judging(parser)
    declare_output(parser)


def _judge_one(options: argparse.Namespace) -> int:
    """Carry out `compare` and `check`."""
    options.saved = [options.saved]
    return _report_several(options)


def _report_or_browse(options: argparse.Namespace) -> int:
    """Carry out `report`: of saved results, or of all runs of a store."""
    if options.store is None:
        if not options.saved:
            options.parser.error("name saved results, or a store with --store")
        return _report_several(options)
    for name in ("saved", "check", "baseline", "action_json"):
        if getattr(options, name):
            fix = "is about saved results, --store about a store; give one or the other"
            raise ArgumentError(name, getattr(options, name), fix)
    if len(options.output) > 1:
        raise ArgumentError("--output", ", ".join(options.output), "must name one folder for the pages, not several")
    from ..stores.run_browser import write_site

    folder = options.output[0] if options.output else os.path.splitext(os.path.basename(options.store))[0] + "-runs"
    with reading_client(options.store) as client:
        written = write_site(client.api, folder)
    if options.json:
        print_json(written)
    else:
        count = "1 run" if written["runs"] == 1 else f"{written['runs']} runs"
        print_text(f"{count}: {os.path.join(written['folder'], 'index.html')}", sys.stdout)
    return PASSED


def _report_several(options: argparse.Namespace) -> int:
    """Carry out `report` of saved results: each one's report, then a table of all where there are several."""
    several = len(options.saved) > 1
    for path in options.output:
        if path.lower().endswith(".json"):
            check_place(path)
        else:
            check_output(path, several=several)
    if several and options.action_json is not None:
        raise ArgumentError("--action-json", options.action_json, "holds one run; name one SAVED")
    judge = Judge(options)
    results = [saved("SAVED", path) for path in options.saved]
    for error in judge.unusable(*results):
        raise error
    reports = [judge.report(result) for result in results]
    try:
        judge.save_reports(results, reports)
    finally:  # as after a run: the files come first
        _print_reports(options, judge, reports)
    return max(map(judge.exit_code, reports))


def _print_reports(options: argparse.Namespace, judge: Judge, reports: list[Report]) -> None:
    if options.json:
        print_json(document_of(reports))
        options.json = False
        return
    for place, report in enumerate(reports):
        if place:
            print_text("", sys.stdout)
        judge.print_text(report)
    if len(reports) > 1:
        from ..reporting.text import comparison_table

        print_text("\n" + comparison_table([report.record for report in reports]), sys.stdout)


COMMANDS = {
    "compare": (_NOTES, _declare_compare, _judge_one),
    "check": (_NOTES, _declare_check, _judge_one),
    "report": (_NOTES, _declare_report, _report_or_browse),
}
