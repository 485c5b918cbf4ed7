"""The embedded store: a whole server as a transport, in memory or in one SQLite file.

What flows: a `Request` comes to `LocalTransport.send`; `routes` finds its handler; `datasets`, `traces`,
`observations`, `scores`, `by_cursor` and `ingestion` answer it, with `listing` turning filters and pages into SQL,
`totals` counting without counting twice, and `otlp_reader` and `spans` turning OTLP into rows; `database` holds the one
connection. It answers like the real servers that WIRE.md section 9.2 describes wherever a client could tell the
difference, save that everything posted can be read back at once, that `includeArchived=true` lists archived data set
items, and that keys are not looked at (`transports/server.py` does that).
"""
from __future__ import annotations

import os

from ..._clock import Clock
from ..._ids import Ids
from ..base import Request, Response, Transport
from .database import Database
from .listing import FUNCTIONS
from .routes import answer
from .totals import Totals


class LocalTransport(Transport):
    """Answers the routes of both dialects from a store of its own.

    `path` is a file that is made, readable by its owner only, if it is not there or empty; None keeps the data in
    memory, where they end with this object. Several processes may use one file at once; a write waits
    `busy_timeout_seconds` for another one. `read_only` opens a file that is there, which it does not change, and makes
    none beside it: one of another user, say, or on a disk that takes no writes. `clock` tells times of arrival, `ids`
    draws ids. Safe to use from many threads and after a fork, which waits for the requests of other threads, each for a
    second at most. On Windows the permissions of the folder apply.

    Raises: StoreError when the file cannot be opened or used, FeatureUnavailable without the module sqlite3.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        busy_timeout_seconds: float = 30.0,
        read_only: bool = False,
    ) -> None:
        self.path = path
        self.ids = Ids() if ids is None else ids
        self.now_ns = (Clock() if clock is None else clock).time_ns
        self.totals = Totals()
        file = None if path is None else os.fsdecode(path)
        self.database = Database(file, busy_timeout_seconds, FUNCTIONS, read_only=read_only)

    def __repr__(self) -> str:
        return f"LocalTransport({'' if self.path is None else repr(os.fspath(self.path))})"

    def send(self, request: Request) -> Response:
        """The answer of the store. Raises StoreError when its file fails, ClosedError after `close`."""
        self.database.refuse_closed()
        return answer(self, request)

    def close(self) -> None:
        """Close the file; a store in memory is gone."""
        self.database.close()

    def __del__(self) -> None:
        # One that was forgotten gives back its file without a warning: every write is a transaction of its own.
        if "database" in self.__dict__:
            self.database.close()
