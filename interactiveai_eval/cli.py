"""The command line: arguments in, calls of the package, text or one JSON document and an exit code out.

A command is a row in `_COMMANDS` and a row in the `COMMANDS` of a file in `commands/`: its notes, the function that
declares its arguments and the one that carries it out. That file is loaded where the command is named.
"""
from __future__ import annotations

import argparse
import os
import sys

from .commands.console import OutputLost, check_apart, flush, print_json, print_text, say, turn_off
from .commands.endings import CHECK_FAILED, EXIT_CODES, NOT_COMPLETED, USAGE
from .errors import ArgumentError, CheckpointError, ConfigError, DataError, EvalError, RegressionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    Command = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]

_COMMANDS = {
    "run": "Run an experiment over a data file.",
    "batch": "Evaluate recorded traces or observations.",
    "serve": "Serve a store over HTTP, to any client, until Ctrl-C or SIGTERM.",
    "import": "Put traces from a file into a store.",
    "export": "Write the traces of a store to a file.",
    "compare": "Compare a saved result with another.",
    "check": "Check a saved result.",
    "report": "Report saved results, or browse a store.",
    "spool": "Show or deliver what a client could not deliver.",
    "demo": "Compare four recorded language models on grade-school mathematics.",
    "vendor": "Copy this package into another tree.",
}


def _command(name: str) -> Command:
    """What `COMMANDS` says of a command; import statements stand in full, so that freezing tools see them."""
    if name == "run":
        from .commands import run as module
    elif name == "batch":
        from .commands import batch as module  # type: ignore[no-redef]
    elif name == "serve":
        from .commands import serve as module  # type: ignore[no-redef]
    elif name in ("import", "export"):
        from .commands import stores as module  # type: ignore[no-redef]
    elif name in ("compare", "check", "report"):
        from .commands import reports as module  # type: ignore[no-redef]
    elif name == "spool":
        from .commands import spool as module  # type: ignore[no-redef]
    elif name == "demo":
        from .commands import demo as module  # type: ignore[no-redef]
    else:
        from .commands import vendor as module  # type: ignore[no-redef]
    return module.COMMANDS[name]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command (by default that of the process) and return its exit code; errors are a line on stderr.

    Raises SystemExit where argparse does: for --help, --version and arguments that cannot be parsed.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        options, unknown = _parser(given).parse_known_args(given)
        if unknown:
            options.parser.error(_unknown_text(options.parser, unknown[0]))
        return _carry_out(options)
    except BrokenPipeError:
        turn_off(sys.stdout)  # whoever read our output has left
    except OutputLost as lost:
        turn_off(sys.stdout)
        say(f"error: the output cannot be written: {lost}")
    return NOT_COMPLETED


def _carry_out(options: argparse.Namespace) -> int:
    try:
        check_apart(options)
        code: int = options.execute(options)
        flush()
        return code
    except (ArgumentError, ConfigError, DataError) as error:
        return _failed(error, options, USAGE)
    except RegressionError as error:
        return _failed(error, options, CHECK_FAILED)
    except CheckpointError as error:
        return _failed(error, options, NOT_COMPLETED if hasattr(error, "result") else USAGE)
    except (BrokenPipeError, OutputLost):
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
    say(f"error: {message}")
    if options.json:
        _print_error(type(error).__name__, message)
    return code


def _print_error(kind: str, message: str) -> None:
    print_json({"error": {"type": kind, "message": message}})
    flush()


class _Help(argparse.RawDescriptionHelpFormatter):
    """argparse's, told its width: it would load `shutil` to ask for it, for each argument that is declared."""

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, **{"width": _columns() - 2, **more})


def _columns() -> int:
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size().columns or 80
    except OSError:
        return 80


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, and a document where that `is_asked_for`."""

    is_asked_for = False

    def print_help(self, file: Any = None) -> None:
        """As argparse does, which says nothing of a help that could not be written."""
        print_text(self.format_help().rstrip("\n"), sys.stdout)
        flush()

    def error(self, message: str) -> NoReturn:
        message = f"{message} (see {self.prog} --help)"
        say(f"error: {message}")
        if self.is_asked_for:
            _print_error("ArgumentError", message)
        self.exit(USAGE)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for these arguments: of the commands that they do not name it knows no more than the help."""
    parser = _Parser(
        prog=f"python -m {__package__}",
        description="Evaluate language models and anything else that maps inputs to outputs.",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    parser.is_asked_for = "--json" in arguments
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary,
            formatter_class=_Help,
            allow_abbrev=False,
        )
        command.is_asked_for = parser.is_asked_for
        if name in arguments:
            notes, declare, execute = _command(name)
            command.epilog = f"{notes}\n{EXIT_CODES}" if notes else EXIT_CODES
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

        print_text(__version__, sys.stdout)
        flush()
        parser.exit()
