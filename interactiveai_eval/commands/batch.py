"""`batch`: recorded traces or observations, evaluated."""
from __future__ import annotations

import sys
from contextlib import redirect_stdout

from ..errors import ArgumentError, ConfigError, DataError, NotFoundError
from .console import check_place, print_json, print_text, say
from .endings import NOT_COMPLETED, PASSED, as_far_as_it_comes
from .judging import declare_output
from .options import declare_shard, metadata_from, shard_from
from .places import client_for
from .targets import load_target, look_here_too

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..batch_result import BatchEvaluationResult

_NOTES = """\
A TARGET is module:function or file.py:function, see the command run. Scores are stored on the items. What is left when
the command ends early is in the saved result: --resume takes it up. With --checkpoint the same command goes on, also
after a kill, and scores nothing twice. Shards are told apart by item ids: 0/3, 1/3 and 2/3 are all items, each once.
"""


def _declare_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mapper", metavar="TARGET", required=True, help="a function that takes item and gives evaluator inputs"
    )
    parser.add_argument(
        "--evaluator", metavar="TARGET", action="append", required=True, help="judges one item; may be repeated"
    )
    parser.add_argument("--composite", metavar="TARGET", help="combines the evaluations of one item")
    parser.add_argument("--scope", choices=("traces", "observations"), default="traces", help="(default: traces)")
    parser.add_argument("--filter", metavar="JSON", help="only items that match: a list of conditions, or an object")
    parser.add_argument(
        "--dataset-run", metavar=("DATASET", "RUN"), nargs=2, help="the traces of this run of a data set"
    )
    parser.add_argument("--full-traces", action="store_true", help="each trace with its observations and scores")
    declare_shard(parser)
    parser.add_argument("--metadata", metavar="JSON", help="an object that all scores carry")
    parser.add_argument("--max-items", metavar="N", type=int, help="attempt no more than so many items")
    parser.add_argument("--max-concurrency", metavar="N", type=int, default=50, help="items at a time (default: 50)")
    parser.add_argument("--time-budget", metavar="SECONDS", type=float, help="end in time, with a token that goes on")
    parser.add_argument("--resume", metavar="FILE", help="go on from this token, or from the one in this saved result")
    parser.add_argument("--checkpoint", metavar="PATH", help="keep the token here; the same command continues")
    parser.add_argument("--store", metavar="PATH", help="the SQLite file that has the items")
    declare_output(parser, lines=False)


def _batch(options: argparse.Namespace) -> int:
    from ..reporting.files import batch_format

    for path in options.output:
        batch_format(path)
        check_place(path)
    look_here_too()
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        settings = {
            "scope": options.scope,
            "mapper": load_target("--mapper", options.mapper),
            "evaluators": [load_target("--evaluator", text) for text in options.evaluator],
            "composite_evaluator": options.composite and load_target("--composite", options.composite),
            "filter": options.filter,
            "dataset_run": options.dataset_run,
            "full_traces": options.full_traces,
            "shard": options.shard if options.resume else shard_from(options),
            "metadata": metadata_from(options.metadata),
            "max_items": options.max_items,
            "max_concurrency": options.max_concurrency,
            "time_budget": options.time_budget,
            "resume_from": None if options.resume is None else _resume_token(options.resume),
            "checkpoint": options.checkpoint,
            "progress": not options.json and sys.stderr is not None and sys.stderr.isatty(),
        }
        with client_for(options.store, must_exist=True) as client:
            if client.config.is_local and client.config.local_path is None:
                raise ConfigError("there is nothing to evaluate: give --store, or set the INTERACTIVEAI_... variables")
            try:
                result: BatchEvaluationResult = as_far_as_it_comes(client.run_batched_evaluation, settings)
            except NotFoundError:
                if options.dataset_run is None:
                    raise
                what = "there is no such run of a data set here"
                raise ArgumentError("--dataset-run", " ".join(options.dataset_run), what) from None
    try:
        for path in options.output:
            result.save(path)
            say(f"saved {path}")
    finally:  # the files come first: whoever reads the text may have left, or the disk under it may be full
        if options.json:
            print_json(result.to_dict())
            options.json = False  # the one document is out; what failed is a line on stderr alone
        else:
            print_text(str(result), sys.stdout)
    lost = result.delivery.pending + result.delivery.rejected
    failed = result.total_items_failed + result.total_evaluations_failed
    return NOT_COMPLETED if failed or lost or not result.completed else PASSED


def _resume_token(path: str) -> Any:
    """The token in a file, or the one of the result that is saved there."""
    from .._strict_json import JSONError, from_json
    from ..batch_model import BatchEvaluationResumeToken
    from ..batch_result import BatchEvaluationResult

    try:
        with open(path, "rb") as file:
            document = from_json(file.read())
        if not isinstance(document, dict) or "item_evaluations" not in document:
            return BatchEvaluationResumeToken.from_dict(document)
        token = BatchEvaluationResult.from_dict(document).retry_token()
    except OSError as error:
        raise ArgumentError("--resume", path, f"cannot be read: {error.strerror}") from None
    except (JSONError, DataError) as error:
        raise ArgumentError("--resume", path, f"cannot be used: {error}") from None
    if token is None:
        raise ArgumentError("--resume", path, "is of a run that has nothing left to do")
    return token


COMMANDS = {
    "batch": (_NOTES, _declare_batch, _batch),
}
