"""The command line: arguments in, calls of the package, text or one JSON document and an exit code out.

A command is a row in `_COMMANDS`: its help, the function that declares its arguments and the one that carries it out.
"""
from __future__ import annotations

import argparse
import os
import sys
from contextlib import contextmanager, redirect_stdout

from .console import OutputLost as _OutputLost
from .console import check_output as _check_output
from .console import check_place as _check_place
from .console import print_json as _print_json
from .console import print_text as _print
from .console import say as _say
from .console import turn_off_stdout as _turn_off_stdout
from .console import writing as _writing
from .errors import (
    ArgumentError,
    CheckpointError,
    ConfigError,
    DataError,
    EvalError,
    RegressionError,
    RunStopped,
    StoreError,
)
from .judging import (
    CHECK_FAILED,
    CHECK_NOTES,
    NOT_COMPLETED,
    PASSED,
    USAGE,
    Judge,
    declare_check,
    declare_compare,
    declare_judging,
    declare_output,
    declare_report,
    judge_one,
    report_or_browse,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, NoReturn

    from .batch_result import BatchEvaluationResult
    from .client import Interactive
    from .result import ExperimentResult

    Command = tuple[str, str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]

_EXIT_CODES = """\
exit codes:
  0  everything went through, and all checks passed
  1  a check failed
  2  the command line, a target, the data, the store or the checkpoint cannot be used; nothing was run
  3  could not complete: an item or an evaluator failed (and no check says how many may), the run was stopped,
     something was not delivered, or a report or server could not be used
"""

_RUN_NOTES = """\
A TARGET is module:function or file.py:function; modules are looked up in the current folder too, and beside file.py.
The data file is .jsonl, .json or .csv (UTF-8) with input and, if there is, expected_output and metadata. It is checked
to its end before anything runs. Without --store, results go to the server that the INTERACTIVEAI_... variables name,
or else to a store in memory that ends with the command.
"""

_SERVE_NOTES = """\
The first line of the output is `Serving http://HOST:PORT`. Clients need that address and the two keys. Beyond loopback
the secret key must be one of your own.
"""

_BATCH_NOTES = """\
A TARGET is module:function or file.py:function, see the command run. Scores are stored on the items. What is left when
the command ends early is in the saved result: --resume takes it up. With --checkpoint the same command goes on, also
after a kill, and scores nothing twice. Shards are told apart by item ids: 0/3, 1/3 and 2/3 are all items, each once.
"""

_TRACES_NOTES = """\
A line of the file is one trace with its observations and scores, as GET /api/public/traces/{id} gives it. A file is
checked to its end before anything is stored, and may be imported again: ids are kept. An export appears whole or not at
all, oldest trace first.
"""

_SPOOL_NOTES = """\
The folder is the one that a client was given as spool=. It may have been carried to another machine: everything is
delivered with the ids that it has, so twice does no harm. What the server has acknowledged leaves the folder, all else
stays. The server is that of the INTERACTIVEAI_... variables.
"""

_VENDOR_NOTES = """\
The copy has the licence, the version and a SHA-256 of every file, and is the same bytes whenever it is made. A copy
that is there is replaced, unless it was changed. --check ends with exit code 1 where a copy is not intact.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command (by default that of the process) and return its exit code; errors are a line on stderr.

    Raises SystemExit where argparse does: for --help, --version and arguments that cannot be parsed.
    """
    try:
        options, unknown = _parser().parse_known_args(arguments)
        if unknown:
            options.parser.error(_unknown_text(options.parser, unknown[0]))
        return _carry_out(options)
    except BrokenPipeError:
        _turn_off_stdout()  # whoever read our output has left
    except _OutputLost as lost:
        _turn_off_stdout()
        _say(f"error: the output cannot be written: {lost}")
    return NOT_COMPLETED


def _carry_out(options: argparse.Namespace) -> int:
    try:
        code: int = options.execute(options)
        with _writing():
            if sys.stdout is not None:
                sys.stdout.flush()
        return code
    except (ArgumentError, ConfigError, DataError) as error:
        return _failed(error, options, USAGE)
    except RegressionError as error:
        return _failed(error, options, CHECK_FAILED)
    except CheckpointError as error:
        return _failed(error, options, NOT_COMPLETED if hasattr(error, "result") else USAGE)
    except (BrokenPipeError, _OutputLost):
        raise
    except (EvalError, OSError) as error:
        return _failed(error, options, NOT_COMPLETED)
    except KeyboardInterrupt as stop:
        return _failed(stop, options, NOT_COMPLETED)
    except Exception:
        # A defect of ours: the traceback is what a report of it needs.
        import traceback

        traceback.print_exc()
        return NOT_COMPLETED


def _failed(error: BaseException, options: argparse.Namespace, code: int) -> int:
    from .reporting.shown import one_line

    told = "interrupted before there was a result" if isinstance(error, KeyboardInterrupt) else str(error)
    message = one_line(told or type(error).__name__)
    _say(f"error: {message}")
    if options.json:
        _print_json({"error": {"type": type(error).__name__, "message": message}})
    return code


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"python -m {__package__}",
        description="Evaluate language models and anything else that maps inputs to outputs.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, (summary, notes, declare, execute) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"{notes}\n{_EXIT_CODES}" if notes else _EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        declare(command)
        command.add_argument("--json", action="store_true", help="write one JSON document to stdout, nothing else")
        command.set_defaults(execute=execute, parser=command)
    return parser


def _unknown_text(parser: argparse.ArgumentParser, option: str) -> str:
    """The complaint about an option that the command does not have, with the one that was probably meant."""
    from difflib import get_close_matches

    known = parser.format_usage().replace("[", " ").replace("]", " ").split()
    close = get_close_matches(option, [word for word in known if word.startswith("--")], 1)
    return f"unknown argument {option}" + (f"; did you mean {close[0]}?" if close else "")


class _Version(argparse.Action):
    """Reads the version only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from . import __version__

        _print(__version__, sys.stdout)
        parser.exit()


def _count_or_share(text: str) -> float:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


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
    parser.add_argument("--data", metavar="FILE", help="the items: .jsonl, .json or .csv")
    for option, what in (("--evaluator", "judges one output"), ("--run-evaluator", "judges the whole run")):
        parser.add_argument(option, metavar="TARGET", action="append", default=[], help=f"{what}; may be repeated")
    parser.add_argument("--composite", metavar="TARGET", help="combines the evaluations of one item")
    parser.add_argument("--name", help="of the experiment; by default the task's")
    parser.add_argument("--run-name", metavar="NAME", help="of this run; by default the name and the time")
    parser.add_argument("--max-concurrency", metavar="N", type=int, default=50, help="items at a time (default: 50)")
    for name, metavar, kind, default, what in _RUN_SETTINGS:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, metavar=metavar, type=kind, default=default, help=what)
    _declare_shard(parser)
    parser.add_argument("--experiment-id", metavar="ID", help="the id that all shards of a run share")
    parser.add_argument("--metadata", metavar="JSON", help="an object to note with the run")
    parser.add_argument("--store", metavar="PATH", help="keep the run in this SQLite file")
    parser.add_argument("--checkpoint", metavar="PATH", help="note finished items here; the same command continues")
    declare_judging(parser)
    declare_output(parser)


def _run(options: argparse.Namespace) -> int:
    from functools import partial

    from .model import ExperimentRecord
    from .runner_context import run_with_context
    from .targets import load_target, wants_context

    for path in options.output:
        _check_output(path)
    judge = Judge(options)
    _look_here_too()
    # What the user's code prints must not mix with the document.
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        task = load_target("TARGET", options.target)
        alone = wants_context(task)
        settings = _context_settings(options) if alone else _settings(task, options)
        with _client(options.store) as client:
            run = partial(run_with_context, task, client) if alone else client.run_experiment
            try:
                regression, result = None, _as_far_as_it_comes(run, settings)
            except RegressionError as error:
                regression, result = error, error.result
                if not isinstance(result, ExperimentRecord):
                    raise
                _say(f"error: {error}")
    report = judge.report(result)
    if options.json:
        judge.print_json(result, report)
        options.json = False  # the one document is out; what fails from here on is a line on stderr alone
    else:
        judge.print_text(report)
    judge.save(result, script=options.target)
    code = judge.exit_code(report)
    return CHECK_FAILED if code == PASSED and regression is not None else code


def _settings(task: Callable[..., Any], options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `run_experiment` for a task."""
    from .data_files import read_items
    from .targets import load_target

    if options.data is None:
        options.parser.error("the following arguments are required: --data")
    return {
        "name": options.name if options.name is not None else options.target.rpartition(":")[2],
        "run_name": options.run_name,
        "data": read_items(options.data),
        "task": task,
        "evaluators": [load_target("--evaluator", text) for text in options.evaluator],
        "run_evaluators": [load_target("--run-evaluator", text) for text in options.run_evaluator],
        "composite_evaluator": options.composite and load_target("--composite", options.composite),
        "max_concurrency": options.max_concurrency,
        "metadata": _metadata(options.metadata),
        "checkpoint": options.checkpoint,
        "experiment_id": options.experiment_id,
        "shard": _shard_of(options),
        "progress": not options.json and sys.stderr is not None and sys.stderr.isatty(),
        **{name: getattr(options, name) for name, *_ in _RUN_SETTINGS},
    }


def _context_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the context of an `experiment(context)` is made of; evaluators and the like it names itself."""
    from .data_files import read_items

    defaults: dict[str, Any] = {"evaluator": [], "run_evaluator": []}
    defaults.update(dict.fromkeys(("composite", "checkpoint", "experiment_id", "shard")))
    defaults.update({name: default for name, _, _, default, _ in _RUN_SETTINGS})
    for name, default in defaults.items():
        if getattr(options, name) != default:
            option = "--" + name.replace("_", "-")
            raise ArgumentError(option, getattr(options, name), "experiment(context) says this itself, in its call")
    data = None if options.data is None else read_items(options.data)
    metadata = _metadata(options.metadata)
    return {"name": options.name, "run_name": options.run_name, "data": data, "metadata": metadata}


def _look_here_too() -> None:
    """Have modules found in the current folder, which python -I and -P leave out."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())


def _as_far_as_it_comes(run: Callable[..., Any], settings: dict[str, Any]) -> Any:
    """The result of `run(**settings)`, or as much of it as there is when the run is stopped."""
    try:
        return run(**settings)
    except (KeyboardInterrupt, SystemExit, RunStopped) as stop:
        result = getattr(stop, "result", None)
        if result is None:
            raise
        reason = "SIGTERM" if isinstance(stop, SystemExit) else str(stop) or type(stop).__name__
        _say(f"error: the run was stopped ({reason}); this is what it has until then")
        return result.replaced(completed=False)


def _exit_code(results: Iterable[ExperimentResult]) -> int:
    from .tally import tally_of

    for result in results:
        lost = result.delivery.pending + result.delivery.rejected
        failures = tally_of(result).failed + sum(row.failed_runs for row in result.evaluator_stats)
        if failures or result.run_evaluator_failures or lost or not result.completed:
            return NOT_COMPLETED
    return PASSED


def _client(store: str | None, *, must_exist: bool = False, **settings: Any) -> Interactive:
    """The client for a store file, for the server that the environment names, or for a store in memory."""
    from .client import Interactive

    named = ("PUBLIC_KEY", "SECRET_KEY", "BASE_URL", "HOST")
    if store is None and any(os.environ.get(f"INTERACTIVEAI_{name}") for name in named):
        try:
            return Interactive(**settings)
        except StoreError as error:
            raise ConfigError(str(error)) from None
    return _store(store, must_exist=must_exist)


def _store(path: str | None, *, must_exist: bool = False) -> Interactive:
    """The client for a store file, or for a store in memory. Raises ArgumentError where it cannot be opened."""
    from .client import Interactive

    if path is not None and must_exist and not os.path.isfile(path):
        fix = "is a folder; name the file in it" if os.path.isdir(path) else "there is no such file"
        raise ArgumentError("--store", path, fix)
    try:
        return Interactive.local(path)
    except StoreError as error:
        raise ArgumentError("--store", path, str(error)) from None


def _declare_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", metavar="N", type=int, help="only the first N of the 40 problems")
    parser.add_argument("--store", metavar="PATH", help="keep the runs in this SQLite file")
    parser.add_argument(
        "--output", metavar="FILE", default="gsm8k-demo.html", help="the report (default: gsm8k-demo.html, right here)"
    )


def _demo(options: argparse.Namespace) -> int:
    from .demo.gsm8k import run_demo, sample
    from .reporting.files import format_for, write_atomically
    from .reporting.text import comparison_table

    _check_output(options.output, several=True)
    known = len(sample())
    if options.limit is not None and not 1 <= options.limit <= known:
        raise ArgumentError("--limit", options.limit, f"must be from 1 to {known}")
    results = []
    with _store(options.store) as client:
        for result in run_demo(client, limit=options.limit):
            results.append(result)
            if not options.json:
                _print(result.format(), sys.stdout)
    target, render = format_for(options.output, several=True)
    write_atomically(target, render(results))
    if options.json:
        _print_json(
            {
                "report": os.path.abspath(target),
                "comparison": [_figures(result) for result in results],
                "results": [result.to_dict() for result in results],
            }
        )
    else:
        _print(f"\n{comparison_table(results)}\n\nReport: {os.path.abspath(target)}", sys.stdout)
    return _exit_code(results)


def _figures(result: ExperimentResult) -> dict[str, Any]:
    """A row of the comparison for machines."""
    from .reporting.summary import estimates_of
    from .tally import tally_of

    tally = tally_of(result)
    metrics = [dict(estimate.items()) for estimate in estimates_of(result)]
    return {"experiment": result.name, "n": tally.given, "failed": tally.failed, "metrics": metrics}


def _declare_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mapper", metavar="TARGET", required=True, help="a function that takes item and gives evaluator inputs"
    )
    parser.add_argument(
        "--evaluator", metavar="TARGET", action="append", default=[], help="judges one item; may be repeated"
    )
    parser.add_argument("--composite", metavar="TARGET", help="combines the evaluations of one item")
    parser.add_argument("--scope", choices=("traces", "observations"), default="traces", help="(default: traces)")
    parser.add_argument("--filter", metavar="JSON", help="only items that match: a list of conditions, or an object")
    parser.add_argument(
        "--dataset-run", metavar=("DATASET", "RUN"), nargs=2, help="the traces of this run of a data set"
    )
    parser.add_argument("--full-traces", action="store_true", help="each trace with its observations and scores")
    _declare_shard(parser)
    parser.add_argument("--metadata", metavar="JSON", help="an object that all scores carry")
    parser.add_argument("--max-items", metavar="N", type=int, help="attempt no more than so many items")
    parser.add_argument("--max-concurrency", metavar="N", type=int, default=50, help="items at a time (default: 50)")
    parser.add_argument("--time-budget", metavar="SECONDS", type=float, help="end in time, with a token that goes on")
    parser.add_argument("--resume", metavar="FILE", help="go on from this token, or from the one in this saved result")
    parser.add_argument("--checkpoint", metavar="PATH", help="keep the token here; the same command continues")
    parser.add_argument("--store", metavar="PATH", help="the SQLite file that has the items")
    declare_output(parser)


def _declare_shard(parser: argparse.ArgumentParser) -> None:
    what = "only part K (from 0) of N disjoint parts; K may name an environment variable (default: INTERACTIVEAI_SHARD)"
    parser.add_argument("--shard", metavar="K/N", type=_shard, help=what)


def _shard_of(options: argparse.Namespace) -> tuple[int, int] | None:
    """The shard that the option says, or else INTERACTIVEAI_SHARD. Raises ArgumentError."""
    text = os.environ.get("INTERACTIVEAI_SHARD")
    if options.shard is not None or not text:
        found: tuple[int, int] | None = options.shard
        return found
    try:
        return _shard(text)
    except argparse.ArgumentTypeError as error:
        raise ArgumentError("INTERACTIVEAI_SHARD", text, str(error)) from None


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    try:
        # A name stands for the index that the engine of a job tells each of its processes, JOB_COMPLETION_INDEX say.
        shard = int(os.environ.get(part, part)), int(parts)
    except ValueError:
        shard = 0, 0
    if not 0 <= shard[0] < shard[1]:
        told = f" ({part} is {os.environ[part]!r})" if part in os.environ else ""
        fix = "must be K/N, the part K (from 0, or the variable that has it) of N parts, such as 0/3"
        raise argparse.ArgumentTypeError(f"{text!r}: {fix}{told}")
    return shard


def _metadata(text: str | None) -> Any:
    from ._strict_json import JSONError, from_json

    try:
        return None if text is None else from_json(text)
    except JSONError as error:
        raise ArgumentError("--metadata", text, f"is no JSON: {error}") from None


def _batch(options: argparse.Namespace) -> int:
    from .reporting.files import batch_format
    from .targets import load_target

    for path in options.output:
        batch_format(path)
        _check_place(path)
    _look_here_too()
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        settings = {
            "scope": options.scope,
            "mapper": load_target("--mapper", options.mapper),
            "evaluators": [load_target("--evaluator", text) for text in options.evaluator],
            "composite_evaluator": options.composite and load_target("--composite", options.composite),
            "filter": options.filter,
            "dataset_run": options.dataset_run,
            "full_traces": options.full_traces,
            "shard": options.shard if options.resume else _shard_of(options),
            "metadata": _metadata(options.metadata),
            "max_items": options.max_items,
            "max_concurrency": options.max_concurrency,
            "time_budget": options.time_budget,
            "resume_from": None if options.resume is None else _resume_token(options.resume),
            "checkpoint": options.checkpoint,
            "progress": not options.json and sys.stderr is not None and sys.stderr.isatty(),
        }
        with _client(options.store, must_exist=True) as client:
            result: BatchEvaluationResult = _as_far_as_it_comes(client.run_batched_evaluation, settings)
    if options.json:
        _print_json(result.to_dict())
        options.json = False  # the one document is out; what fails from here on is a line on stderr alone
    else:
        _print(str(result), sys.stdout)
    for path in options.output:
        result.save(path)
        _say(f"saved {path}")
    lost = result.delivery.pending + result.delivery.rejected
    failed = result.total_items_failed + result.total_evaluations_failed
    return NOT_COMPLETED if failed or lost or not result.completed else PASSED


def _resume_token(path: str) -> Any:
    """The token in a file, or the one of the result that is saved there."""
    from ._strict_json import JSONError, from_json
    from .batch_model import BatchEvaluationResumeToken
    from .batch_result import BatchEvaluationResult

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


def _declare_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="PATH", help="serve this SQLite file, old or new; by default memory")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="(default: 0, one that is free)")
    parser.add_argument("--public-key", metavar="KEY", default="pk-local", help="(default: pk-local)")
    parser.add_argument("--secret-key", metavar="KEY", default="sk-local", help="(default: sk-local)")


def _serve(options: argparse.Namespace) -> int:
    import signal
    from threading import Event

    from .transports.local import LocalTransport
    from .transports.server import LocalServer

    ended = Event()
    # Also where the process was started in the background of a shell, which has Ctrl-C ignored there.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        store = LocalTransport(options.store)
    except StoreError as error:
        raise ArgumentError("--store", options.store, str(error)) from None
    keys = {"public_key": options.public_key, "secret_key": options.secret_key}
    with store, LocalServer(store, host=options.host, port=options.port, **keys) as server:
        if options.json:
            _print_json({"url": server.url, "public_key": server.public_key})
        else:
            _print(f"Serving {server.url}", sys.stdout)
        with _writing():
            if sys.stdout is not None:
                sys.stdout.flush()
        while not ended.wait(1.0 if os.name == "nt" else None):  # Windows hears no signal while it waits
            pass
    return PASSED


def _declare_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the traces, one a line as export writes them; - reads stdin")
    parser.add_argument("--store", metavar="PATH", required=True, help="put them into this SQLite file, old or new")


def _import(options: argparse.Namespace) -> int:
    from .trace_files import send_traces

    with _traces_in(options.file) as traces, _store(options.store) as client:
        report = send_traces(client.api, traces)
    if options.json:
        _print_json({"imported": report.by_kind, "problems": [dict(problem.items()) for problem in report.problems]})
    else:
        taken = [f"{report.by_kind[kind]['acknowledged']} {kind}" for kind in report.by_kind]
        _print(f"imported {', '.join(taken) or 'nothing'}", sys.stdout)
        for problem in report.problems:
            _say(f"error: {problem.kind[:-1]} {problem.id} was refused: {problem.reason}")
    return NOT_COMPLETED if report.rejected else PASSED


@contextmanager
def _traces_in(file: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The checked traces of a file, or of stdin, which is kept in a file meanwhile because it is read twice."""
    from shutil import copyfileobj
    from tempfile import TemporaryDirectory

    from .trace_files import read_traces

    if file != "-":
        yield read_traces(file)
        return
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "stdin")
        with open(path, "wb") as copy:
            copyfileobj(sys.stdin.buffer, copy)
        yield read_traces(path, "<stdin>")


def _declare_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="PATH", required=True, help="the SQLite file that has the traces")
    parser.add_argument("--output", metavar="FILE", default="-", help="where to; - is stdout (default: -)")
    parser.add_argument("--filter", metavar="JSON", help="only traces that match, an array of conditions")


def _export(options: argparse.Namespace) -> int:
    from .trace_files import export_traces

    to_stdout = options.output == "-"
    if to_stdout and options.json:
        raise ArgumentError("--output", "-", "--json takes stdout; name a file")
    if not to_stdout:
        _check_place(options.output)
    with _store(options.store, must_exist=True) as client:
        exported = export_traces(client.api, sys.stdout if to_stdout else options.output, options.filter)
    if options.json:
        _print_json({"exported": exported, "output": os.path.abspath(options.output)})
    else:
        _say(f"exported {exported} traces")
    return PASSED


def _declare_spool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="list|send", choices=("list", "send"), help="show it, or deliver it")
    parser.add_argument("folder", metavar="DIR", help="the folder that a client had as its spool")
    parser.add_argument("--store", metavar="PATH", help="deliver into this SQLite file")
    parser.add_argument("--dialect", choices=("platform", "public"), help="of the server (default: platform)")


def _spool(options: argparse.Namespace) -> int:
    return _list_spool(options) if options.action == "list" else _send_spool(options)


def _list_spool(options: argparse.Namespace) -> int:
    from .running.spool import read_spool_file, spool_paths

    files, problems = [], []
    for path in spool_paths(options.folder):
        try:
            file = read_spool_file(path)
        except DataError as error:
            problems.append({"file": path, "reason": str(error)})
        else:
            files.append({"file": path, "made": file.made, "server": file.server, **file.counts()})
    if options.json:
        _print_json({"files": files, "problems": problems})
    else:
        for row in files:
            what = ", ".join([f"{row[kind]} {kind}" for kind in ("spans", "scores", "links") if row[kind]])
            _print(f"{row['file']}  {row['made']}  {what}", sys.stdout)
        for problem in problems:
            _say(f"error: {problem['reason']}")
    return NOT_COMPLETED if problems else PASSED


def _send_spool(options: argparse.Namespace) -> int:
    from .running.spool import send_spool

    with _client(options.store, dialect=options.dialect) as client:
        if client.config.is_local and client.config.local_path is None:  # what is delivered there is gone with us
            raise ConfigError("where to? Set the INTERACTIVEAI_... variables, or give --store")
        sent = send_spool(options.folder, client._delivery.new_outbox, client.clock)
    if options.json:
        _print_json({"delivered": sent.delivered, "problems": sent.problems})
    else:
        _print("delivered " + ", ".join([f"{n} {kind}" for kind, n in sent.delivered.items()]), sys.stdout)
        for problem in sent.problems:
            what = f"{problem['kind'][:-1]} {problem['id']} is {problem['state']}: " if "kind" in problem else ""
            _say(f"error: {what}{problem['reason']}")
    return NOT_COMPLETED if sent.problems else PASSED


def _declare_vendor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dest", metavar="DEST", nargs="?", help="the folder that the copy is put into")
    parser.add_argument("--name", default="interactiveai_eval", help="of the copy (default: interactiveai_eval)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--zip", dest="kind", action="store_const", const="zip", help="as NAME.zip, a program too")
    kinds.add_argument("--single-file", dest="kind", action="store_const", const="file", help="as one module, NAME.py")
    kinds.add_argument("--check", action="store_true", help="say whether the copy at DEST is intact, and how old it is")
    parser.add_argument("--sbom", metavar="FILE", help="write a CycloneDX document of the package")


def _vendor(options: argparse.Namespace) -> int:
    import json

    from .reporting.files import write_atomically
    from .vendoring import check_copy, sbom, write_copy

    if options.dest is None and (options.check or options.sbom is None):
        raise ArgumentError("DEST", options.dest, "name the folder")
    told: dict[str, Any] = {}
    if options.check:
        told = check_copy(options.dest)
    elif options.dest is not None:
        told = check_copy(write_copy(options.dest, name=options.name, kind=options.kind or "folder"))
    if options.sbom is not None:
        _check_place(options.sbom)
        write_atomically(options.sbom, [json.dumps(sbom(), indent=1), "\n"])
        told["sbom"] = options.sbom
    if options.json:
        _print_json(told)
    elif "path" in told:
        state = f"{len(told['findings'])} findings" if told["findings"] else "intact"
        _print("\n".join([f"{told['path']}: {told['version']}, {state}, {told['age']}", *told["findings"]]), sys.stdout)
    return CHECK_FAILED if told.get("findings") else PASSED


_COMMANDS: dict[str, Command] = {
    "run": ("Run an experiment over a data file.", _RUN_NOTES, _declare_run, _run),
    "batch": ("Evaluate recorded traces or observations.", _BATCH_NOTES, _declare_batch, _batch),
    "serve": ("Serve a store over HTTP, to any client, until Ctrl-C or SIGTERM.", _SERVE_NOTES, _declare_serve, _serve),
    "import": ("Put traces from a file into a store.", _TRACES_NOTES, _declare_import, _import),
    "export": ("Write the traces of a store to a file.", _TRACES_NOTES, _declare_export, _export),
    "compare": ("Compare a saved result with another.", CHECK_NOTES, declare_compare, judge_one),
    "check": ("Check a saved result.", CHECK_NOTES, declare_check, judge_one),
    "report": ("Report saved results, or browse a store.", CHECK_NOTES, declare_report, report_or_browse),
    "spool": ("Show or deliver what a client could not deliver.", _SPOOL_NOTES, _declare_spool, _spool),
    "demo": ("Compare four recorded language models on grade-school mathematics.", "", _declare_demo, _demo),
    "vendor": ("Copy this package into another tree.", _VENDOR_NOTES, _declare_vendor, _vendor),
}
