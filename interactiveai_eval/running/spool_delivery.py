"""What lies in a spool, delivered by a later process."""
from __future__ import annotations

import os
from functools import partial

from ..errors import ArgumentError, DataError
from .lanes import event_id
from .parcels import Parcel
from .spool import FILE_EVENTS, KINDS, Spool, read_spool_file, spool_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._clock import Clock
    from ..model import DeliveryReport
    from .outbox import Outbox
    from .spool import Event, SpoolFile


class Sent:
    """What became of a spool: `delivered` counts by kind, `problems` are what is left and why, file by file.

    `kept` are files that could not be removed, and why: what was delivered of them is there still.
    """

    __slots__ = ("delivered", "kept", "problems")

    def __init__(self) -> None:
        self.delivered: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.problems: list[dict[str, Any]] = []
        self.kept: list[dict[str, str]] = []


def send_spool(folder: str, new_outbox: Callable[[dict[str, Any]], Outbox], clock: Clock) -> Sent:
    """Deliver all that is in a spool, oldest first, with the ids that it has.

    What was acknowledged leaves the folder after that, if that can be written, and nothing else does. The first events
    of which a server takes nothing end it: there is none. Files that cannot be read are among the problems.
    """
    sent = Sent()
    reached = True
    for path in spool_paths(folder):
        try:
            file = read_spool_file(path)
        except DataError as error:
            if os.path.exists(path):  # else another process has delivered it
                sent.problems.append({"file": path, "reason": str(error)})
            continue
        remains: list[Event] = []
        for at in range(0, len(file.events), FILE_EVENTS):
            events = file.events[at : at + FILE_EVENTS]
            if reached:
                left, report = _delivered(events, new_outbox(file.about))
                remains += left
                sent.problems += [{"file": path, **dict(problem.items())} for problem in report.problems]
                for kind, row in report.by_kind.items():
                    sent.delivered[kind] += row["acknowledged"]
                reached = bool(report.acknowledged or report.rejected)
            else:
                remains += file.events[at:]
                reason = "not tried: nothing of the file before it was taken"
                if at:
                    reason = f"its last {len(file.events) - at} events were not tried: nothing before them was taken"
                sent.problems.append({"file": path, "reason": reason})
                break
        if len(remains) < len(file.events):
            try:
                _replace(file, remains, folder, clock)
            except (ArgumentError, OSError) as error:  # of a medium that is only read, say
                reason = error.fix if isinstance(error, ArgumentError) else str(error.strerror)
                sent.kept.append({"file": path, "reason": reason})
    return sent


def _replace(file: SpoolFile, remains: list[Event], folder: str, clock: Clock) -> None:
    """Have what remains of a file in the folder, in place of it. Raises ArgumentError or OSError, with it as it was."""
    spool = Spool(folder, {"server": file.server, **file.about}, clock)
    written = spool.write(remains)
    try:
        spool.remove(file.path)
    except OSError:
        for each in written:
            spool.remove(each)
        raise


def _delivered(events: list[Event], outbox: Outbox) -> tuple[list[Event], DeliveryReport]:
    """Those that a server has not acknowledged, and what became of all; of so few a report leaves nobody out."""
    judged: set[int] = set()
    names = []
    for place, (kind, id, item_id, content) in enumerate(events):
        event = (id, content) if kind == "spans" else content
        names.append((kind, event_id(event)))
        parts: dict[str, Any] = {kind: [event]}
        outbox.put(Parcel(item_id=item_id, arrived=partial(judged.add, place), **parts))
    report = outbox.close()
    refused = {(problem.kind, problem.id) for problem in report.problems if problem.state != "pending"}
    # Where a server does not say which it refused, it may have been any of them.
    return [
        event
        for place, (event, name) in enumerate(zip(events, names))
        if place not in judged or name in refused or (name[0], "") in refused
    ], report
