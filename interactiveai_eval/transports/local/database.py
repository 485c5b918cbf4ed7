"""The SQLite file (or memory) below the store: opening with care, one lock, short transactions, errors that help.

Every statement of the store goes through `Database.read` or `Database.write`. What SQLite says when something is wrong
with the file becomes a `StoreError` that names the path, the reason and what to do.
"""
from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from threading import RLock, local
from weakref import WeakValueDictionary

from ..._log import warn
from ...errors import ClosedError, FeatureUnavailable, StoreError
from .schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION, WRONG_TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CHECKED_WHOLE_BYTES = 16 * 2**20  # a made-up bound: files up to here are checked page by page when opened

_LONGEST_FORK_WAIT_SECONDS = 1.0  # a made-up bound: a fork waits no longer for a request of another thread

# What SQLite's message contains: (reason, fix, whether the same request may succeed later). Texts, because 3.9 and 3.10
# do not show the error codes.
_REASONS = (
    ("locked", "another process is writing to it", "wait, or give a longer busy_timeout_seconds", True),
    ("busy", "another process is writing to it", "wait, or give a longer busy_timeout_seconds", True),
    ("disk is full", "the disk is full", "make room, then try again", True),
    ("readonly", "it cannot be written", "make the file and its folder writable, or use another path", False),
    ("unable to open", "the file or its folder cannot be used", "check permissions and open file limits", True),
    ("disk i/o", "the disk refuses to read or write it", "check the disk, its space and file size limits", True),
    ("not a database", "it is not an SQLite database", "give the path of a store, or of a new file", False),
    ("malformed", "it is damaged", "restore a copy; the file is left as it is", False),
    ("decode", "it is damaged", "restore a copy; the file is left as it is", False),
)


class Database:
    """One connection, shared by all threads of a process behind a lock; a forked child opens its own.

    SQLite's memory must not be copied in the middle of a request: a fork takes the lock first, as far as it can.
    """

    def __init__(
        self,
        path: str | None,
        busy_timeout_seconds: float,
        functions: dict[str, tuple[int, Callable[..., Any]]],
        *,
        read_only: bool = False,
    ) -> None:
        """`read_only` opens a file that is there, and neither makes nor changes it or one beside it."""
        try:
            import sqlite3
        except ImportError as error:
            raise FeatureUnavailable("the embedded store", error.name or "sqlite3") from None
        self._sqlite3 = sqlite3
        # The second one is how a damaged text or table name shows itself.
        self.errors = (sqlite3.Error, UnicodeDecodeError)
        self._timeout = busy_timeout_seconds
        self._functions = functions
        self._shown = "the store in memory" if path is None else f"store {path!r}"
        self._path = None if path is None else os.path.abspath(path)
        self._closed = False
        self._read_only = read_only
        self._is_still = False  # nobody is to write to it while it is read, which no lock could tell
        self._identity: tuple[int, ...] | None = None
        self._lock = RLock()
        self._torn = False  # copied by a fork in the middle of a request
        _heed_forks(self)
        with self._lock:
            self._open()

    def read(self) -> _Transaction:
        """`with database.read() as connection`: one unchanging view of the data."""
        return _Transaction(self, "BEGIN")

    def write(self) -> _Transaction:
        """`with database.write() as connection`: all statements take effect, or (after an exception) none."""
        return _Transaction(self, "BEGIN IMMEDIATE")

    def close(self) -> None:
        """Close the connection; after a fork only this process's own."""
        self._closed = True
        if os is None:  # the interpreter ends, and takes modules and connections along
            return
        if self._pid == os.getpid():
            with self._lock:
                self._connection.close()

    def refuse_closed(self) -> None:
        """Raise ClosedError after `close`."""
        if self._closed:
            raise ClosedError(f"{self._shown} is closed")

    def failure(self, error: BaseException) -> StoreError:
        """The StoreError for what SQLite raised."""
        text = str(error)
        for fragment, reason, fix, retryable in _REASONS:
            if fragment in text.lower():
                return StoreError(f"{self._shown}: {reason} ({text}); {fix}", retryable=retryable)
        return StoreError(f"{self._shown}: {text or type(error).__name__}", retryable=False)

    def damage(self) -> StoreError | None:
        """The StoreError for a value whose type does not fit its column; None where all fit. Reads everything."""
        with self.read() as connection:
            for table, column, wrong in WRONG_TYPES:
                if connection.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():
                    reason = f"it is damaged (wrong type in {table}.{column})"
                    return self._refused(reason, "restore a copy; the file is left as it is")
        return None

    def _refused(self, reason: str, fix: str) -> StoreError:
        return StoreError(f"{self._shown}: {reason}; {fix}", retryable=False)

    def _open(self) -> None:
        target = ":memory:"
        if self._path is not None:
            # mode=rw: a file that vanishes in this moment is an error, not made anew with SQLite's own permissions.
            mode = "mode=rw"
            if self._read_only:
                mode = self._way_to_read(self._path)
            else:
                self._prepare_file(self._path)
            target = f"file:{_percent_encoded(self._path)}?{mode}"
            self._identity = self._seen()
        try:
            self._connection = self._sqlite3.connect(
                target, timeout=self._timeout, isolation_level=None, check_same_thread=False, uri=True
            )
            try:
                self._set_up()
            except BaseException:
                self._connection.close()
                raise
        except self.errors as error:
            raise self.failure(error) from error
        self._pid = os.getpid()

    def _way_to_read(self, path: str) -> str:
        """How SQLite is to open a file that it must not write to, nor make a file beside it."""
        try:
            found = os.lstat(path)
        except OSError as error:
            raise self._refused(f"it cannot be read ({error.strerror})", "check the path") from error
        self._check_kind(found)
        self._is_still = not _size_of(path + "-wal")
        if _size_of(path + "-journal") or not (self._is_still or os.path.exists(path + "-shm")):
            fix = "open it once where it can be written, or copy it with the files beside it to such a place"
            raise self._refused("its last writes are in a file beside it, which cannot be read from there", fix)
        # Without a log the file is all there is; SQLite, which would make one, is told that nobody writes. That this
        # holds is seen to, see `_seen`. With a log there are the locks of whoever writes it.
        return "mode=ro&immutable=1" if self._is_still else "mode=ro&readonly_shm=1"

    def _check_kind(self, found: os.stat_result) -> None:
        if stat.S_ISDIR(found.st_mode):
            raise self._refused("it is a folder", "give the path of a file") from None
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            # A link could lead the data elsewhere, and two names of one database ruin it.
            fix = "give the path of a file with one name"
            raise self._refused("it is a link, or not a regular file", fix) from None

    def _prepare_file(self, path: str) -> None:
        """Make the file readable by its owner only, or see that what is there can be a store."""
        try:
            # SQLite would make it with the process's umask; its side files copy the mode of this one.
            made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            found = os.lstat(path)
            self._check_kind(found)
            if not found.st_size:
                # By its name: closing a second descriptor would give up the locks of a connection in this process.
                with suppress(OSError):  # one that belongs to somebody else is used as it is
                    os.chmod(path, 0o600)
        except (OSError, ValueError) as error:
            folder = os.path.dirname(path)
            there = os.path.isdir(folder)
            fix = "choose a folder that can be written" if there else f"make the folder {folder!r} first"
            raise self._refused(f"it cannot be made ({error})", fix) from error
        else:
            try:
                if hasattr(os, "fchmod"):
                    os.fchmod(made, 0o600)  # a umask may have taken even the owner's permissions away
            finally:
                os.close(made)

    def _set_up(self) -> None:
        connection = self._connection
        for name, (arity, function) in self._functions.items():
            connection.create_function(name, arity, function, deterministic=True)
        # Pages of 8 KB, which only new databases get, take rows of about 1 KB a sixth quicker than the default of 4 KB.
        for pragma in "trusted_schema=OFF cell_size_check=ON mmap_size=0 temp_store=MEMORY page_size=8192".split():
            connection.execute(f"PRAGMA {pragma}")
        if self._path is not None:
            if self._is_new() and self._read_only:  # a file that is not ours is refused before the first write
                raise self._refused("it is empty", "give the path of a store")
            if os.path.getsize(self._path) <= _CHECKED_WHOLE_BYTES:
                (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise self._refused(f"it is damaged ({found})", "restore a copy; the file is left as it is")
            if self._read_only:
                return
            self._switch_to_wal()
            connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA if self._is_new() else ():
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        # Written even where it stands already: it shows now, not at the first score, whether the file takes writes.
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")

    def _is_new(self) -> bool:
        """Whether the database is empty. Refuses one whose tables are not exactly ours: no triggers, no views."""
        connection = self._connection
        found = connection.execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
        statements = {sql for (sql,) in found}
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not statements and not application:
            return True
        if application != APPLICATION_ID:
            raise self._refused("it is a database of another program", "give the path of a store, or of a new file")
        if version > SCHEMA_VERSION:
            raise self._refused(
                f"its schema version is {version}, the newest known here is {SCHEMA_VERSION}",
                "use a newer version of this package",
            )
        if statements != set(SCHEMA):
            raise self._refused("its tables are not those of a store", "restore a copy; the file is left as it is")
        return False

    def _switch_to_wal(self) -> None:
        """Use write-ahead logging; file systems without shared memory keep the rollback journal.

        The switch needs the file for itself and does not wait for it, so it is tried again until the time is over.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                (mode,) = self._connection.execute("PRAGMA journal_mode=WAL").fetchone()
                if mode != "wal" and self._path is not None:
                    warn(f"{self._shown}: its file system has no write-ahead log; a slower journal is used")
                return
            except self._sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(0.005)

    def lock_for_fork(self) -> Any:
        """The lock, taken; None where a request holds it for too long."""
        lock = self._lock
        wait_seconds = max(0.0, min(self._timeout, _LONGEST_FORK_WAIT_SECONDS))
        return lock if lock.acquire(timeout=wait_seconds) else None

    def look_after_fork(self) -> None:
        """In the child: a lock that is still taken now belongs to a thread that is not there."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock, self._torn = RLock(), True

    def _own(self) -> None:
        """Give this process a connection of its own: SQLite's locks belong to the process that took them."""
        if self._torn:
            raise self._refused(
                "another thread was using it when this process was forked", "build a LocalTransport after the fork"
            )
        if self._path is None:
            self._pid = os.getpid()  # the memory was copied with the process
            return
        # Closing comes first: as long as the inherited connection is open, SQLite takes its locks for our own.
        self._connection.close()
        self._open()

    def _seen(self) -> tuple[int, ...] | None:
        """Which file is at the path, None where there is none; of one that is to stay as it is also its state."""
        assert self._path is not None
        try:
            found = os.lstat(self._path)
        except OSError:
            return None
        state = (found.st_size, found.st_mtime_ns, _size_of(self._path + "-wal")) if self._is_still else ()
        return (found.st_dev, found.st_ino, *state)

    def _check_file(self) -> None:
        """A deleted file can be written for hours without an error, and all is lost in the end."""
        if self._path is not None and (seen := self._seen()) != self._identity:
            if seen is not None and self._identity is not None and seen[:2] == self._identity[:2]:
                raise self._refused("another process writes to it", "try again, or read a copy of it")
            raise self._refused("it was deleted or replaced while in use", "build a new LocalTransport")


class _Transaction:
    """One transaction under the lock of its database."""

    __slots__ = ("_begin", "_database")

    def __init__(self, database: Database, begin: str) -> None:
        self._database = database
        self._begin = begin

    def __enter__(self) -> Any:
        database = self._database
        database._lock.acquire()
        try:
            database.refuse_closed()
            if database._pid != os.getpid():
                database._own()
            database._check_file()
            database._connection.execute(self._begin)
        except BaseException as error:
            database._lock.release()
            if isinstance(error, database.errors):
                raise database.failure(error) from error
            raise
        return database._connection

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        database = self._database
        connection = database._connection
        try:
            if error is None:
                connection.execute("COMMIT")
        except database.errors as failed:
            error = failed
        finally:
            try:
                if error is None and database._is_still:
                    database._check_file()  # what was read may be half of another process's write
                # A full disk may have rolled back already.
                if error is not None and connection.in_transaction:
                    connection.execute("ROLLBACK")
            finally:
                database._lock.release()
        if isinstance(error, database.errors):
            raise database.failure(error) from error


# Hooks of forks belong to the process and cannot be taken back, so there is one set of them for all stores.
_living: WeakValueDictionary[int, Database] = WeakValueDictionary()
_forking = local()  # in `taken`: the locks that this thread took, for each fork that it is in
_hooked = False


def _heed_forks(database: Database) -> None:
    """From now on no fork copies `database` in the middle of a request, as far as that can be waited for."""
    global _hooked
    _living[id(database)] = database
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        os.register_at_fork(
            before=_take_locks, after_in_parent=_give_locks_back, after_in_child=_give_locks_back_in_child
        )


def _all_living() -> list[Database]:
    """In one order for all threads, so that two forks at once do not wait for each other."""
    found = [reference() for reference in _living.valuerefs()]
    return sorted([each for each in found if each is not None], key=id)


def _take_locks() -> None:
    taken: list[Any] = []
    if not hasattr(_forking, "taken"):
        _forking.taken = []
    _forking.taken.append(taken)
    for database in _all_living():
        lock = database.lock_for_fork()
        if lock is not None:
            taken.append(lock)


def _give_locks_back() -> None:
    for lock in _forking.taken.pop():
        lock.release()


def _give_locks_back_in_child() -> None:
    if getattr(_forking, "taken", None):  # servers in C may fork without saying so before
        _give_locks_back()
    for database in _all_living():
        database.look_after_fork()


def _size_of(path: str) -> int:
    """How large a file is, 0 where there is none."""
    return os.path.getsize(path) if os.path.exists(path) else 0


def _percent_encoded(path: str) -> str:
    """The path part of a file: URI, whatever bytes the name has."""
    if os.name == "nt":
        path = "/" + path.replace("\\", "/")
    plain = b"/:._-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join([chr(byte) if byte in plain else f"%{byte:02X}" for byte in os.fsencode(path)])
