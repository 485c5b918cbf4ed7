"""`run`: an experiment over a data file."""
from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager, redirect_stdout

from ..errors import ArgumentError, RegressionError
from .console import check_output, say
from .endings import as_far_as_it_comes
from .judging import Judge, declare_judging, declare_output
from .options import declare_shard, metadata_from, shard_from, stdin_file
from .places import client_for
from .targets import load_target, look_here_too, wants_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

_NOTES = """\
A TARGET is module:function or file.py:function; modules are looked up in the current folder too, and beside file.py.
file.py alone is its experiment(context), a function that runs the experiment itself with what the context has.
The data file is .jsonl, .json or .csv (UTF-8) with input and, if there is, expected_output and metadata. It is checked
to its end before anything runs. Without --store, results go to the server that the INTERACTIVEAI_... variables name,
or else to a store in memory that ends with the command.
"""


def _count_or_share(text: str) -> float:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


_MAX_CONCURRENCY = 50
# Options of `run` that are arguments of `run_experiment` as they are: name, metavar, type, default, help.
_RUN_SETTINGS: Sequence[tuple[str, str, Callable[[str], float], int | None, str]] = (
    ("repetitions", "N", int, 1, "run each item so often (default: 1)"),
    ("task_timeout", "SECONDS", float, None, "give a call of the task up after so long"),
    ("evaluator_timeout", "SECONDS", float, None, "the same for a call of an evaluator"),
    ("task_retries", "N", int, 0, "more attempts where the task fails (default: 0)"),
    ("rate_limit", "N", float, None, "at most so many attempts a second"),
    ("fail_on_error", "N", _count_or_share, None, "stop at so many failed items, or at a share of them such as 0.5"),
    ("time_budget", "SECONDS", float, None, "end in time; with --checkpoint the same command continues"),
)


def _declare_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="the task: a function that takes item")
    parser.add_argument("--data", metavar="FILE", help="the items: .jsonl, .json or .csv; - is .jsonl from stdin")
    for option, what in (("--evaluator", "judges one output"), ("--run-evaluator", "judges the whole run")):
        parser.add_argument(option, metavar="TARGET", action="append", default=[], help=f"{what}; may be repeated")
    parser.add_argument("--composite", metavar="TARGET", help="combines the evaluations of one item")
    parser.add_argument("--name", help="of the experiment; by default the task's")
    parser.add_argument("--run-name", metavar="NAME", help="of this run; by default the name and the time")
    what = f"items at a time (default: {_MAX_CONCURRENCY})"
    parser.add_argument("--max-concurrency", metavar="N", type=int, help=what)
    for name, metavar, kind, default, what in _RUN_SETTINGS:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, metavar=metavar, type=kind, default=default, help=what)
    declare_shard(parser)
    parser.add_argument("--experiment-id", metavar="ID", help="the id that all shards of a run share")
    parser.add_argument("--metadata", metavar="JSON", help="an object to note with the run")
    parser.add_argument("--store", metavar="PATH", help="keep the run in this SQLite file")
    parser.add_argument("--checkpoint", metavar="PATH", help="note finished items here; the same command continues")
    declare_judging(parser)
    declare_output(parser)


def _run(options: argparse.Namespace) -> int:
    from functools import partial

    from ..model import ExperimentRecord
    from ..reporting.shown import one_line
    from ..runner_context import ToldContext, run_with_context

    for path in options.output:
        check_output(path)
    judge = Judge(options)
    look_here_too()
    # What the user's code prints must not mix with the document.
    with redirect_stdout(sys.stderr if options.json else sys.stdout), _data_of(options) as data:
        task = load_target("TARGET", options.target)
        alone = wants_context(task)
        settings = (_context_settings if alone else _settings)(options, data)
        with client_for(options.store) as client:
            context = ToldContext(client=client, **settings) if alone else None
            run = partial(run_with_context, task, context) if context else partial(client.run_experiment, task=task)
            try:
                result = as_far_as_it_comes(run, {} if context else settings)
            except RegressionError as regression:
                result = regression.result
                if not isinstance(result, ExperimentRecord):
                    raise
                say(f"error: {regression}")
                judge.object_to([one_line(str(regression))])
    # The work is done: what it has given is shown and saved, with what is wrong; the lines on stderr come last.
    found = [*judge.unusable(result), *(context.passed_over() if context else [])]
    unusable = [one_line(str(error)) for error in found]
    judge.object_to(unusable)
    report = judge.report(result)
    try:
        judge.save(result, script=options.target)
    finally:  # the files come first: whoever reads the text may have left, or the disk under it may be full
        if options.json:
            judge.print_json(result, report)
            options.json = False  # the one document is out; what failed is a line on stderr alone
        else:
            judge.print_text(report)
    code = judge.exit_code(report)
    for each in unusable:
        say(f"error: {each}")
    return code


@contextmanager
def _data_of(options: argparse.Namespace) -> Iterator[Callable[[], Any]]:
    """How to get at the items of --data, which are checked then."""
    from ..data_files import read_items

    if options.data != "-":
        yield lambda: None if options.data is None else read_items(options.data)
    else:
        with stdin_file("stdin.jsonl") as path:
            yield lambda: read_items(path, "<stdin>")


def _settings(options: argparse.Namespace, data: Callable[[], Any]) -> dict[str, Any]:
    """The arguments of `run_experiment` for a task."""
    if options.data is None:
        options.parser.error("the following arguments are required: --data")
    return {
        "name": options.name if options.name is not None else options.target.rpartition(":")[2],
        "run_name": options.run_name,
        "data": data(),
        "evaluators": [load_target("--evaluator", text) for text in options.evaluator],
        "run_evaluators": [load_target("--run-evaluator", text) for text in options.run_evaluator],
        "composite_evaluator": options.composite and load_target("--composite", options.composite),
        "max_concurrency": _MAX_CONCURRENCY if options.max_concurrency is None else options.max_concurrency,
        "metadata": metadata_from(options.metadata),
        "checkpoint": options.checkpoint,
        "experiment_id": options.experiment_id,
        "shard": shard_from(options),
        "progress": not options.json and sys.stderr is not None and sys.stderr.isatty(),
        **{name: getattr(options, name) for name, *_ in _RUN_SETTINGS},
    }


def _context_settings(options: argparse.Namespace, data: Callable[[], Any]) -> dict[str, Any]:
    """What the context of an `experiment(context)` is made of; evaluators and the like it names itself."""
    defaults: dict[str, Any] = {"evaluator": [], "run_evaluator": []}
    defaults.update(dict.fromkeys(("composite", "max_concurrency", "checkpoint", "experiment_id", "shard")))
    defaults.update({name: default for name, _, _, default, _ in _RUN_SETTINGS})
    for name, default in defaults.items():
        if getattr(options, name) != default:
            option = "--" + name.replace("_", "-")
            raise ArgumentError(option, getattr(options, name), "experiment(context) says this itself, in its call")
    said = {name: getattr(options, name) for name in ("name", "run_name", "data", "metadata")}
    return {**said, "data": data(), "metadata": metadata_from(options.metadata), "options": said}


COMMANDS = {
    "run": (_NOTES, _declare_run, _run),
}
