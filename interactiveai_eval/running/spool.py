"""A folder for what could not be delivered: files of JSON lines that a later process, perhaps elsewhere, delivers.

A file begins with what it is and how many events follow; then comes a line an event, with the id that it had and
keeps. It appears whole or not at all, can be read by its owner alone, and is never written again: whoever delivers it
removes it. Credentials are in none.
"""
from __future__ import annotations

import os
from errno import EIO, ENOSPC
from itertools import count

from .._atomic import write_atomically
from .._clock import ns_to_iso
from .._strict_json import JSONError, from_json, to_json
from ..errors import ArgumentError, DataError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from .._clock import Clock

    Event = tuple[str, str, str | None, Any]  # kind, id, item id, content: bytes of a span, or a body

FORMAT = "interactiveai_eval spool"
VERSION = 1
SUFFIX = ".jsonl"
KINDS = ("spans", "scores", "links")
# No file is larger than this, save for a single event that is; made-up figures.
FILE_BYTES = 8_000_000
FILE_EVENTS = 5_000


class Spool:
    """The folder as a client writes to it; `about` is what its spans say of where they come from."""

    def __init__(self, folder: str, about: dict[str, Any], clock: Clock) -> None:
        """Raises ArgumentError for a folder that cannot be made or written to."""
        self.folder = folder
        self._about = about
        self._clock = clock
        self._numbers = count(1)
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        except OSError as error:
            raise ArgumentError("spool", folder, f"must be a folder that can be written: {error.strerror}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ArgumentError("spool", folder, "must be a folder that can be written")

    def write(self, events: Sequence[Event]) -> list[str]:
        """The files that hold these events from now on, even if the machine stops. Raises OSError, having kept none."""
        files: list[str] = []
        try:
            for lines in _portions(events):
                files.append(self._write_file(lines))
        except OSError:
            for file in files:
                self.remove(file)
            raise
        return files

    def remove(self, file: str) -> None:
        """Remove a file whose events have arrived; no matter if somebody else has done so."""
        try:
            os.unlink(file)
        except FileNotFoundError:
            return

    def _write_file(self, lines: list[str]) -> str:
        now = self._clock.time_ns()
        name = f"{now}-{os.getpid()}-{next(self._numbers)}-{os.urandom(4).hex()}"
        header = {"format": FORMAT, "version": VERSION, "made": ns_to_iso(now), **self._about, "events": len(lines)}
        file = os.path.join(self.folder, name + SUFFIX)
        write_atomically(file, [f"{line}\n" for line in (to_json(header), *lines)])
        try:
            _sync_folder(self.folder)
        except OSError:
            self.remove(file)
            raise
        return file


class SpoolFile:
    """One file as it was read: `about` is what its spans say of their origin, `events` what it holds, in order."""

    __slots__ = ("about", "events", "made", "path", "server")

    def __init__(self, path: str, header: dict[str, Any], events: list[Event]) -> None:
        self.path = path
        self.made = str(header.get("made"))
        self.server = header.get("server")
        self.about = {name: header[name] for name in ("environment", "release") if isinstance(header.get(name), str)}
        self.events = events

    def counts(self) -> dict[str, int]:
        """How many events of each kind there are."""
        return {kind: len([event for event in self.events if event[0] == kind]) for kind in KINDS}


def spool_paths(folder: str) -> list[str]:
    """The files of a spool, oldest first. Raises DataError for what is no folder."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise DataError(f"spool {folder}: cannot be read: {error.strerror}") from None
    return [os.path.join(folder, name) for name in sorted(names, key=_age) if name.endswith(SUFFIX) and name[0] != "."]


def read_spool_file(path: str) -> SpoolFile:
    """Raises DataError for a file that cannot be read, is torn, or is none of ours; it names file, line and reason."""
    try:
        if not os.path.isfile(path) and os.path.exists(path):  # reading a pipe would wait for ever
            raise DataError(f"{path}: is no regular file; it is left alone")
        with open(path, "rb") as stream:
            *lines, rest = stream.read().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    header = _line(path, 1, lines[0] if lines else rest)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path}: line 1 is not the beginning of a spool file; it is left alone")
    if header.get("version") != VERSION:
        raise DataError(f"{path}: is of version {header.get('version')!r}, this package reads {VERSION}")
    count = header.get("events")
    if rest or type(count) is not int or count != len(lines) - 1:
        raise DataError(f"{path}: is torn: it holds {len(lines) - 1} whole events of {count!r}; it is left as it is")
    events = [_event(path, place, _line(path, place, line)) for place, line in enumerate(lines[1:], 2)]
    return SpoolFile(path, header, events)


def _portions(events: Iterable[Event]) -> Iterator[list[str]]:
    """The lines of one file after the other."""
    lines: list[str] = []
    size = 0
    for event in events:
        line = to_json(_fields(event))
        if lines and (size + len(line) > FILE_BYTES or len(lines) >= FILE_EVENTS):
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield lines


def _fields(event: Event) -> dict[str, Any]:
    kind, id, item_id, content = event
    fields: dict[str, Any] = {"kind": kind, "id": id}
    if item_id is not None:
        fields["item_id"] = item_id
    if kind == "spans":
        from binascii import b2a_base64

        # As it was encoded for the wire: trace id and span id come first there.
        return {**fields, "trace_id": content[2:18].hex(), "span": b2a_base64(content, newline=False).decode("ascii")}
    return {**fields, "body": content}


def _line(path: str, place: int, line: bytes) -> Any:
    try:
        return from_json(line)
    except JSONError as error:
        raise DataError(f"{path}: line {place} is not JSON: {error}; the file is left as it is") from None


def _event(path: str, place: int, fields: Any) -> Event:
    from binascii import Error, a2b_base64

    found = fields if isinstance(fields, dict) else {}
    kind, id, body = found.get("kind"), found.get("id"), found.get("body")
    try:
        content = a2b_base64(found["span"].encode("ascii")) if kind == "spans" else body
    except (KeyError, AttributeError, UnicodeError, Error):
        content = None
    if kind == "spans" and (content is None or content[:2] != b"\n\x10" or content[20:28].hex() != id):
        content = None  # a span of ours begins with its ids
    names = {"spans": (), "scores": ("id", "name", "timestamp"), "links": ("traceId", "runName")}.get(str(kind))
    if names is None or type(id) is not str or content is None:
        raise DataError(f"{path}: line {place} is no event; the file is left as it is")
    if names and (not isinstance(content, dict) or any(type(content.get(name)) is not str for name in names)):
        raise DataError(f"{path}: line {place} is not one of the {kind}: it needs {', '.join(names)}")
    item_id = found.get("item_id")
    return str(kind), id, item_id if isinstance(item_id, str) else None, content


def _age(name: str) -> tuple[int, str]:
    first = name.partition("-")[0]
    return (int(first) if first.isdigit() and len(first) < 30 else 0), name


def _sync_folder(folder: str) -> None:
    """Have the name of a new file last; not every system can. Raises OSError where the disk fails."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (EIO, ENOSPC):
            raise
    finally:
        os.close(descriptor)
