"""`spool`: what a client could not deliver, shown or delivered."""
from __future__ import annotations

import sys

from ..errors import ConfigError, DataError
from .console import print_json, print_text, say
from .endings import NOT_COMPLETED, PASSED
from .places import client_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

_NOTES = """\
The folder is the one that a client was given as spool=. It may have been carried to another machine: everything is
delivered with the ids that it has, so twice does no harm. What the server has acknowledged leaves the folder, if that
can be written; all else stays. The server is that of the INTERACTIVEAI_... variables.
"""


def _declare_spool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="list|send", choices=("list", "send"), help="show it, or deliver it")
    parser.add_argument("folder", metavar="DIR", help="the folder that a client had as its spool")
    parser.add_argument("--store", metavar="PATH", help="deliver into this SQLite file")
    parser.add_argument("--dialect", choices=("platform", "public"), help="of the server (default: platform)")


def _spool(options: argparse.Namespace) -> int:
    return _list_spool(options) if options.action == "list" else _send_spool(options)


def _list_spool(options: argparse.Namespace) -> int:
    from ..reporting.shown import one_line
    from ..running.spool import read_spool_file, spool_paths

    files, problems = [], []
    for path in spool_paths(options.folder):
        try:
            file = read_spool_file(path)
        except DataError as error:
            problems.append({"file": path, "reason": str(error)})
        else:
            files.append({"file": path, "made": file.made, "server": file.server, **file.counts()})
    if options.json:
        print_json({"files": files, "problems": problems})
    else:
        for row in files:
            what = ", ".join([f"{row[kind]} {kind}" for kind in ("spans", "scores", "links") if row[kind]])
            print_text(f"{one_line(str(row['file']))}  {one_line(str(row['made']))}  {what}", sys.stdout)
        for problem in problems:
            say(f"error: {problem['reason']}")
    return NOT_COMPLETED if problems else PASSED


def _send_spool(options: argparse.Namespace) -> int:
    from ..running.spool_delivery import send_spool

    with client_for(options.store, dialect=options.dialect) as client:
        if client.config.is_local and client.config.local_path is None:  # what is delivered there is gone with us
            raise ConfigError("where to? Set the INTERACTIVEAI_... variables, or give --store")
        sent = send_spool(options.folder, client._delivery.new_outbox, client.clock)
    if options.json:
        print_json({"delivered": sent.delivered, "problems": sent.problems, "kept": sent.kept})
    else:
        print_text("delivered " + ", ".join([f"{n} {kind}" for kind, n in sent.delivered.items()]), sys.stdout)
        for problem in sent.problems:
            what = f"{problem['kind'][:-1]} {problem['id']} is {problem['state']}: " if "kind" in problem else ""
            say(f"error: {what}{problem['reason']}")
        for kept in sent.kept:
            say(f"note: {kept['file']} cannot be removed, and what it holds was sent ({kept['reason']})")
    return NOT_COMPLETED if sent.problems else PASSED


COMMANDS = {
    "spool": (_NOTES, _declare_spool, _spool),
}
