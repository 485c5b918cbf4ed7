"""`demo`: four recorded language models, compared."""
from __future__ import annotations

import os
import sys

from ..errors import ArgumentError
from .console import check_output, print_json, print_text
from .endings import NOT_COMPLETED, PASSED
from .places import store_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from typing import Any

    from ..result import ExperimentResult


def _declare_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", metavar="N", type=int, help="only the first N of the 40 problems")
    parser.add_argument("--store", metavar="PATH", help="keep the runs in this SQLite file")
    parser.add_argument(
        "--output", metavar="FILE", default="gsm8k-demo.html", help="the report (default: gsm8k-demo.html, right here)"
    )


def _demo(options: argparse.Namespace) -> int:
    from .._atomic import write_atomically
    from ..demo.gsm8k import run_demo, sample
    from ..reporting.files import format_for
    from ..reporting.text import comparison_table

    check_output(options.output, several=True)
    known = len(sample())
    if options.limit is not None and not 1 <= options.limit <= known:
        raise ArgumentError("--limit", options.limit, f"must be from 1 to {known}")
    with store_client(options.store) as client:
        results = list(run_demo(client, limit=options.limit))
    target, render = format_for(options.output, several=True)
    write_atomically(target, render(results))
    if options.json:
        print_json(
            {
                "report": os.path.abspath(target),
                "comparison": [_figures(result) for result in results],
                "results": [result.to_dict() for result in results],
            }
        )
    else:
        for result in results:
            print_text(result.format(), sys.stdout)
        print_text(f"\n{comparison_table(results)}\n\nReport: {os.path.abspath(target)}", sys.stdout)
    return _exit_code(results)


def _figures(result: ExperimentResult) -> dict[str, Any]:
    """A row of the comparison for machines."""
    from ..reporting.summary import estimates_of
    from ..tally import tally_of

    tally = tally_of(result)
    metrics = [dict(estimate.items()) for estimate in estimates_of(result)]
    return {"experiment": result.name, "n": tally.given, "failed": tally.failed, "metrics": metrics}


def _exit_code(results: Iterable[ExperimentResult]) -> int:
    from ..tally import tally_of

    for result in results:
        lost = result.delivery.pending + result.delivery.rejected
        failures = tally_of(result).failed + sum(row.failed_runs for row in result.evaluator_stats)
        if failures or result.run_evaluator_failures or lost or not result.completed:
            return NOT_COMPLETED
    return PASSED


COMMANDS = {
    "demo": ("", _declare_demo, _demo),
}
