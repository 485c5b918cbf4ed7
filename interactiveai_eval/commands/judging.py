"""What `run`, `compare`, `check` and `report` share: how results are compared, checked, shown and saved.

All that can be wrong with checks, baselines and files is found before any work.
"""
from __future__ import annotations

import os
import sys

from ..errors import ArgumentError, DataError
from .console import check_place, print_json, print_text, say, writing
from .endings import CHECK_FAILED, NOT_COMPLETED, PASSED, USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..reporting.report import Report


def declare_judging(parser: argparse.ArgumentParser, *, check: bool = True, baseline: bool = True) -> None:
    """The options by which results are compared and checked."""
    if check:
        parser.add_argument(
            "--check", metavar="EXPR", action="append", default=[], help="what it must reach; may be repeated"
        )
    if baseline:
        parser.add_argument("--baseline", metavar="SAVED", help="compare with this saved result")
    parser.add_argument("--tolerance", metavar="X", type=float, help="differences up to X count as equal (default: 0)")
    parser.add_argument(
        "--lower-is-better", metavar="METRIC", action="append", default=[], help="such as a cost; may be repeated"
    )
    parser.add_argument(
        "--reduce", metavar="HOW", default="mean", help="repetitions: mean, median, majority, pass_at(k) or pass_all(k)"
    )
    parser.add_argument("--action-json", metavar="FILE", help="write what langfuse/experiment-action puts out")


def declare_output(parser: argparse.ArgumentParser, *, lines: bool = True) -> None:
    """Where results and reports are saved; `lines` tells whether as JSON lines, too, which only experiments are."""
    kinds = f".json, {'.jsonl, ' if lines else ''}.csv, .md, .html, .txt, .xml (JUnit)"
    parser.add_argument(
        "--output", metavar="FILE", action="append", default=[], help=f"save it: {kinds}; may be repeated"
    )


_CODES = {
    "passed": PASSED, "done": PASSED, "failed": CHECK_FAILED, "incomplete": NOT_COMPLETED, "errors": NOT_COMPLETED
}  # fmt: skip


class Judge:
    """Checks, baseline and settings of a command, read; and what is shown, saved and returned by them."""

    def __init__(self, options: argparse.Namespace) -> None:
        from ..reporting.checks import parse_checks
        from ..reporting.comparison import UNKNOWN_ITEMS, check_tolerance, knows_its_items
        from ..reporting.summary import reduction

        self._options = options
        self._checks = parse_checks(options.check)
        reduction(options.reduce)
        self._needing = [each.expression for each in self._checks if each.needs_baseline]
        baseline = None if options.baseline is None else saved("baseline", options.baseline)._record()
        if baseline is None:
            for argument, values in (("check", self._needing), ("--tolerance", [options.tolerance])):
                if values and values[0] is not None:
                    raise ArgumentError(argument, values[0], "compares with a baseline; name one with --baseline")
        elif not self._needing and not knows_its_items(baseline):
            raise ArgumentError("baseline", options.baseline, f"{UNKNOWN_ITEMS}; name a result that has them")
        tolerance = 0.0 if options.tolerance is None else options.tolerance
        check_tolerance(tolerance)
        if options.action_json is not None:
            check_place(options.action_json, "--action-json")
        self._settings: dict[str, Any] = {
            "baseline": baseline,
            "checks": self._checks,
            "tolerance": tolerance,
            "lower_is_better": options.lower_is_better,
            "reduce": options.reduce,
            "objections": [],
        }

    def unusable(self, *results: Any) -> list[ArgumentError]:
        """What of baseline and settings these results cannot be judged by. It is left out from here on."""
        from ..reporting.comparison import UNKNOWN_ITEMS, knows_its_items
        from ..reporting.summary import summarize

        records = [result._record() for result in results]
        found, baseline, lower = [], self._settings["baseline"], self._settings["lower_is_better"]
        if baseline is not None and not self._needing and not all(map(knows_its_items, records)):
            found.append(ArgumentError("--baseline", self._options.baseline, f"is of no use: the run {UNKNOWN_ITEMS}"))
            self._settings["baseline"] = None
        if lower:
            sides = [*records, baseline] if baseline is not None else records
            summaries = [summarize(record, reduce=self._options.reduce) for record in sides]
            known = dict.fromkeys(name for summary in summaries for name in summary.metrics)
            fix = f"is no metric; there are {', '.join(known) or 'none'}"
            found += [ArgumentError("--lower-is-better", name, fix) for name in lower if name not in known]
            self._settings["lower_is_better"] = [name for name in lower if name in known]
        return found

    def object_to(self, reasons: Iterable[str]) -> None:
        """Have the run fail in every report of it, for reasons that no check knows of."""
        self._settings["objections"] = [*self._settings["objections"], *reasons]

    def report(self, result: Any) -> Report:
        """The report of a result."""
        from ..reporting.report import report_of

        return report_of(result._record(), **self._settings)

    def print_text(self, report: Report) -> None:
        """Print the report, of `check` the checks alone."""
        from ..reporting.report_text import render_text, terminal_style

        style = terminal_style(sys.stdout, os.environ)
        print_text(render_text(report, style, checks_only=self._options.command == "check"), sys.stdout)

    def print_json(self, result: Any, report: Report) -> None:
        """Print the whole result as JSON, with the report where there is more to it than the result."""
        from ..reporting.documents import record_to_json
        from ..reporting.report import report_to_document

        if report.checks is None and report.comparison is None:
            with writing():
                if sys.stdout is not None:
                    sys.stdout.writelines(record_to_json(result))
        else:
            print_json({**result.to_dict(), "report": report_to_document(report)})

    def save(self, result: Any, *, script: str) -> None:
        """Write what --output and --action-json name for a run."""
        from .._atomic import write_atomically
        from ..reporting.files import format_for

        for path in self._options.output:
            target, render = format_for(path)
            write_atomically(target, render([result._record()], **self._settings))
            say(f"saved {path}")
        if self._options.action_json is not None:
            from .._strict_json import to_json
            from ..reporting.action import report_to_action

            document = report_to_action(self.report(result), script=script)
            write_atomically(self._options.action_json, [to_json(document), "\n"])
            say(f"saved {self._options.action_json}")

    def save_reports(self, results: Sequence[Any], reports: Sequence[Report]) -> None:
        """Write what --output names for saved results: a `.json` has the reports then."""
        from .._atomic import write_atomically
        from ..reporting.files import format_for

        for path in self._options.output:
            if path.lower().endswith(".json"):
                from .._strict_json import to_json

                write_atomically(path, [to_json(document_of(reports)), "\n"])
            else:
                target, render = format_for(path)
                write_atomically(target, render([result._record() for result in results], **self._settings))
            say(f"saved {path}")

    def exit_code(self, report: Report) -> int:
        """What the headline says as a code, for a run as for its saved result; 2 for 0 where no item is in BASELINE."""
        code = _CODES[report.verdict.status]
        if report.comparison is None or report.comparison.paired:
            return code
        say("error: no item is both in this run and in the baseline: name results of the same data")
        return USAGE if code == PASSED else code


def document_of(reports: Sequence[Report]) -> dict[str, Any]:
    """The report as a document, or several under one head."""
    from ..reporting.report import SCHEMA, SCHEMA_VERSION, report_to_document

    documents = [report_to_document(report) for report in reports]
    if len(documents) == 1:
        return documents[0]
    return {"schema": f"{SCHEMA}s", "schema_version": SCHEMA_VERSION, "reports": documents}


def saved(argument: str, path: str) -> Any:
    """The result that is saved in a file, of an experiment or of a batch evaluation.

    Raises ArgumentError for a file that cannot be read, DataError for what is no result.
    """
    from ..batch_result import BatchEvaluationResult
    from ..reporting.documents import BATCH_SCHEMA
    from ..reporting.files import read_saved
    from ..result import ExperimentResult

    def read(document: Any) -> Any:
        of_batch = isinstance(document, dict) and document.get("schema") == BATCH_SCHEMA
        return (BatchEvaluationResult if of_batch else ExperimentResult).from_dict(document)

    try:
        return read_saved(path, read, lines=True)
    except OSError as error:
        raise ArgumentError(argument, path, f"cannot be read: {error.strerror}") from None
    except DataError:
        raise
    except ArgumentError as error:
        raise ArgumentError(argument, path, error.fix) from None
