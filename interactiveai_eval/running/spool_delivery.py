"""What lies in a spool, delivered by a later process."""
from __future__ import annotations

import os

from ..errors import DataError
from .parcels import Parcel
from .spool import KINDS, Spool, read_spool_file, spool_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._clock import Clock
    from .outbox import Outbox


class Sent:
    """What became of a spool: `delivered` counts by kind, `problems` are what is left and why, file by file."""

    __slots__ = ("delivered", "problems")

    def __init__(self) -> None:
        self.delivered: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.problems: list[dict[str, Any]] = []


def send_spool(folder: str, new_outbox: Callable[[dict[str, Any]], Outbox], clock: Clock) -> Sent:
    """Deliver all that is in a spool, oldest first, with the ids that it has.

    What was acknowledged leaves the folder after that, and nothing else does. The first file of which a server takes
    nothing ends it: there is none. Files that cannot be read are among the problems.
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
        if not reached:
            sent.problems.append({"file": path, "reason": "not tried: nothing of the file before it was taken"})
            continue
        outbox = new_outbox(file.about)
        for kind, id, item_id, content in file.events:
            parts: dict[str, Any] = {kind: [(id, content) if kind == "spans" else content]}
            outbox.put(Parcel(item_id=item_id, **parts))
        report = outbox.close()
        left = {(problem.kind, problem.id) for problem in report.problems}
        remains = [event for event in file.events if event[:2] in left]
        for problem in report.problems:
            sent.problems.append({"file": path, **dict(problem.items())})
        for kind, row in report.by_kind.items():
            sent.delivered[kind] += row["acknowledged"]
        reached = bool(report.acknowledged or report.rejected)
        if len(remains) < len(file.events):
            spool = Spool(folder, {"server": file.server, **file.about}, clock)
            if remains:
                spool.write(remains)
            spool.remove(path)
    return sent
