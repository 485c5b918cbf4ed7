"""The journal of a run: one line for each finished item, so that a killed run goes on where it was.

A line holds the item's result and everything that it has to deliver; a second line says that all of that has arrived.
Lines are appended and never changed, so a kill can only tear the last one, which is dropped on opening.
"""
from __future__ import annotations

import os
from functools import partial
from heapq import heappop
from io import FileIO
from threading import Lock

from .._ids import derived_id
from .._log import warn
from .._strict_json import EXACT_INTEGER, SAFE_INTEGER, JSONError, from_json, number_to_text, text_to_number, to_json
from ..errors import CheckpointError, error_text
from ..item_result import ExperimentItemResult
from ..model import Evaluation, EvaluatorFailure
from .calls import attribute
from .file_locks import close_in_forks, in_use, lock, unlock
from .item_keys import module_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

FORMAT = "interactiveai_eval.checkpoint"
VERSION = 2  # version 1 knew items by what was recorded of them, which is the same for 1 and "1"


class Finished:
    """What the journal knows of one finished item."""

    __slots__ = ("delivered", "entry")

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self.delivered = False


class _Equal:
    """The finished runs of equal items, by number, that nobody has taken over yet."""

    __slots__ = ("_lowest_first", "changed", "runs")

    def __init__(self) -> None:
        self.runs: dict[int, Finished] = {}  # all there will be, once the first is taken
        self._lowest_first: list[int] | None = None  # a heap of their numbers, with some that are taken already
        self.changed: dict[int, int] = {}  # the numbers of items whose own one went to another

    def take(self, index: int) -> tuple[int, Finished | None]:
        """See `Checkpoint.take`."""
        if index in self.runs:
            return index, self.runs.pop(index)
        number = self.changed.pop(index, index)
        if not self.runs:
            return number, None
        if self._lowest_first is None:
            self._lowest_first = sorted(self.runs)
        taken = heappop(self._lowest_first)
        while taken not in self.runs:
            taken = heappop(self._lowest_first)
        self.changed[taken] = number
        return taken, self.runs.pop(taken)


class Checkpoint:
    """An open journal of one run; `header` says which run that is."""

    def __init__(self, path: str, fixed: Mapping[str, Any], drawn: Mapping[str, Any]) -> None:
        """Open or begin the journal at `path`.

        `fixed` is what this call says of its run: a journal that says otherwise is refused (None says nothing).
        `drawn` is used by the call that begins the journal where `fixed` is silent, and taken over by later ones.
        Raises CheckpointError when the file is no journal, of another run, damaged in the middle, of a newer version,
        in use by another process, or cannot be written; the file is then as it was.
        """
        self._path = path
        self._lock = Lock()
        self._finished: dict[tuple[str, int], _Equal] = {}
        self._torn = False
        self._warned = False
        self._file = _open(path)
        close_in_forks(self)
        try:
            if not lock(self._file):
                raise in_use(path)
            self.header = self._read({name: value for name, value in fixed.items() if value is not None}, drawn)
        except OSError as error:  # no file at all, such as a pipe; or a disk that cannot be read
            self._file.close()
            raise CheckpointError(f"checkpoint {path!r} cannot be read: {error.strerror}; name another file") from error
        except BaseException:
            self._file.close()
            raise

    def take(self, key: str, repetition: int, index: int) -> tuple[int, Finished | None]:
        """The number of an item among equal ones, and its finished run, each once; None when it has to be run.

        `key` is `Item.key`, `index` the item's place in the data. That is its number, too, unless an equal item has
        taken over the run of that number: then the two change numbers, so that no number stands for two runs.
        """
        with self._lock:
            equal = self._finished.get((key, repetition))
            return (index, None) if equal is None else equal.take(index)

    def add(self, key: str, repetition: int, number: int, entry: Mapping[str, Any]) -> None:
        """Write down a finished item; `number` is that of `take`."""
        self._append({"key": key, "repetition": repetition, "number": number, **entry})

    def mark_delivered(self, key: str, repetition: int, number: int) -> None:
        """Write down that everything of this item has arrived; never raises: unmarked, it is only sent once more."""
        try:
            self._append({"delivered": [key, repetition, number]})
        except CheckpointError as error:
            if not self._warned:
                self._warned = True
                warn(f"{error}; what has arrived may be sent again on resume, with the same ids")

    def close(self) -> None:
        """Close the file; what was written stays. Never raises, as the result of the run is on its way out."""
        with self._lock:
            try:
                if not self._file.closed:
                    unlock(self._file)
                self._file.close()
            except OSError as error:  # a network disk that finds out only now
                warn(f"checkpoint {self._path!r} cannot be closed: {error.strerror}")

    def close_in_child(self) -> None:
        """See `file_locks`."""
        try:
            self._file.close()
        except OSError as error:
            warn(f"checkpoint {self._path!r} cannot be closed in a child process: {error.strerror}")

    def _append(self, line: Mapping[str, Any]) -> None:
        text = to_json(line, largest=EXACT_INTEGER).encode("ascii") + b"\n"
        with self._lock:
            if self._file.closed:
                self._append_late(text)
                return
            if self._torn:
                raise CheckpointError(f"checkpoint {self._path!r} cannot be written: its last line is torn")
            rest = memoryview(text)
            try:
                while rest:
                    rest = rest[self._file.write(rest) or 0 :]
            except OSError as error:
                self._cut_off(len(text) - len(rest))
                raise CheckpointError(f"checkpoint {self._path!r} cannot be written: {error.strerror}") from error

    def _append_late(self, text: bytes) -> None:
        """Write down what arrived after the run, if the journal is still there as it was and nobody has it open.

        If not, no matter: it will be sent again on resume, with the same ids.
        """
        try:
            with open(self._path, "r+b", buffering=0) as file:
                if not lock(file):
                    return
                try:
                    is_ours = from_json(file.readline()) == self.header
                    file.seek(-1, os.SEEK_END)
                    if is_ours and file.read() == b"\n":
                        file.write(text)
                finally:
                    unlock(file)
        except (OSError, JSONError) as problem:
            raise CheckpointError(f"checkpoint {self._path!r} cannot be written: {problem}") from problem

    def _cut_off(self, written: int) -> None:
        """Take back the part of a line that was written, so that what follows is not appended to it."""
        if not written:
            return
        try:
            self._file.truncate(self._file.tell() - written)
            self._file.seek(0, os.SEEK_END)
        except OSError:
            self._torn = True  # nothing more is written: the next opening drops the torn line

    def _read(self, fixed: Mapping[str, Any], drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Read what is there, drop a torn last line, and leave the file ready for appending."""
        self._file.seek(0)
        start = self._file.read(len(_START))
        if start != _START[: len(start)]:
            raise self._foreign()
        self._file.seek(0)
        header: dict[str, Any] | None = None
        found: dict[tuple[str, int, int], Finished] = {}
        whole = 0
        for number, line in enumerate(_lines(self._file), 1):
            if not line.endswith(b"\n"):
                break  # torn by a kill
            try:
                entry = from_json(line)
                if header is None:
                    header = self._checked(entry, fixed, drawn)
                elif "delivered" in entry:
                    found[tuple(entry["delivered"])].delivered = True
                else:
                    _check(entry, len(header["evaluators"]))
                    found.setdefault((entry["key"], entry["repetition"], entry["number"]), Finished(entry))
            except CheckpointError:
                raise
            except (ValueError, LookupError, TypeError, AttributeError) as problem:  # JSONError is a ValueError
                raise CheckpointError(
                    f"checkpoint {self._path!r}, line {number}: not a journal line ({error_text(problem)}); "
                    "name another file, or delete this one to begin anew"
                ) from None
            whole += len(line)
        for (key, repetition, number), finished in found.items():
            self._finished.setdefault((key, repetition), _Equal()).runs[number] = finished
        self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)
        if header is None:
            header = {"format": FORMAT, "version": VERSION, **drawn, **fixed}
            self._append(header)
        return header

    def _checked(self, header: Any, fixed: Mapping[str, Any], drawn: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise self._foreign()
        if header.get("version") != VERSION:
            raise CheckpointError(
                f"checkpoint {self._path!r} has version {header.get('version')!r}, this package reads {VERSION}; "
                "name another file, or delete this one to begin anew"
            )
        for name, value in fixed.items():
            # As it was written: JSON has no lone surrogates.
            if from_json(to_json(header.get(name))) != from_json(to_json(value)):
                raise CheckpointError(
                    f"checkpoint {self._path!r} is of another run: its {name} is {header.get(name)!r}, this call's is "
                    f"{value!r}; call with the same {name}, or name another file"
                )
        _check_types(header, {"evaluators": (list,), **{name: (str,) for name in drawn}})
        return header

    def _foreign(self) -> CheckpointError:
        return CheckpointError(f"checkpoint {self._path!r} is not a checkpoint file; name another file")


_START = f'{{"format": "{FORMAT}"'.encode("ascii")


def _lines(file: FileIO) -> Iterator[bytes]:
    """The lines from the file's position on, read in large pieces."""
    torn = b""
    while piece := file.read(1_000_000):
        *whole, torn = (torn + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if torn:
        yield torn


def _open(path: str) -> FileIO:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        return FileIO(os.open(path, flags, 0o600), "r+")  # unbuffered: a full disk shows at the line that it hits
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path!r} cannot be opened: {error.strerror}; name a file in a folder that can be written"
        ) from error


def known_as(function: Any) -> str:
    """What a journal knows a function by: its module and qualified name, which stay when its code is mended.

    The plain arguments of partials count too (a model's name, say), as a digest: one may be a key.
    """
    told: list[str] = []
    while isinstance(function, partial):
        given = [*enumerate(function.args), *sorted(function.keywords.items())]
        told += [f"{name}={value!r}" for name, value in given if type(value) in (str, int, float, bool)]
        function = function.func
    names = attribute(function, "__qualname__"), type(function).__qualname__
    place = module_of(function).partition("@")[0].rpartition(".")[2]
    digest = f" with arguments {derived_id(*told)[:8]}" if told else ""
    return f"{place}.{names[0] if isinstance(names[0], str) else names[1]}{digest}"


def result_to_entry(result: ExperimentItemResult) -> dict[str, Any]:
    """The part of a journal line that `entry_to_result` reads."""
    return {
        "output": result.output,
        "evaluations": [_evaluation_to_entry(evaluation) for evaluation in result.evaluations],
        "evaluator_failures": [dict(failure.items()) for failure in result.evaluator_failures],
        "trace_id": result.trace_id,
        "dataset_run_id": result.dataset_run_id,
        "item_id": result.item_id,
        "duration_seconds": result.duration_seconds,
        "attempts": result.attempts,
    }


def entry_to_result(entry: Mapping[str, Any], item: Any, index: int) -> ExperimentItemResult:
    """The result that a journal line holds, for `item` at its place of today."""
    return ExperimentItemResult(
        item=item,
        index=index,
        repetition=entry["repetition"],
        output=entry["output"],
        evaluations=[_evaluation_from_entry(fields) for fields in entry["evaluations"]],
        evaluator_failures=[EvaluatorFailure(**fields) for fields in entry["evaluator_failures"]],
        trace_id=entry["trace_id"],
        dataset_run_id=entry["dataset_run_id"],
        item_id=entry["item_id"],
        duration_seconds=entry["duration_seconds"],
        attempts=entry["attempts"],
    )


_TYPES: dict[str, tuple[type, ...]] = {
    "key": (str,),
    "repetition": (int,),
    "number": (int,),
    "evaluations": (list,),
    "evaluator_failures": (list,),
    "trace_id": (str,),
    "dataset_run_id": (str, type(None)),
    "item_id": (str,),
    "duration_seconds": (int, float),
    "attempts": (int,),
    "evaluator_runs": (list,),
    "spans": (list,),
    "scores": (list,),
}


def _check(entry: Any, rows: int) -> None:
    """Raises TypeError, ValueError, LookupError or AttributeError unless all that is read of a result's line is there.

    `rows` is how many evaluators there are. A file that somebody has edited is refused as a whole and left as it was:
    what was read of it until then could be half of an item.
    """
    from binascii import a2b_base64

    _check_types(entry, _TYPES)
    entry_to_result(entry, None, 0)
    for ran in entry["evaluator_runs"]:
        _check_types(ran, {0: (int,), 1: (int, float), 2: (int,), 3: (str, type(None))})
        if not 0 <= ran[0] < rows:
            raise ValueError(f"there is no evaluator {ran[0]}")
    for span_id, encoded in entry["spans"]:
        _check_types([span_id], {0: (str,)})
        a2b_base64(encoded)
    for body in entry["scores"]:
        _check_types(body, {"id": (str,)})


def _check_types(fields: Any, types: Mapping[Any, tuple[type, ...]]) -> None:
    for name, wanted in types.items():
        if type(fields[name]) not in wanted:
            raise TypeError(f"{name} is {fields[name]!r:.50}")


def _evaluation_to_entry(evaluation: Evaluation) -> dict[str, Any]:
    entry = {name: value for name, value in evaluation.items() if value is not None}
    value = evaluation.value
    if isinstance(value, (int, float)) and (value - value != 0 or abs(value) > SAFE_INTEGER):
        entry["value"] = {"number": number_to_text(value)}  # JSON has no NaN, and readers round large integers
    return entry


def _evaluation_from_entry(entry: Mapping[str, Any]) -> Evaluation:
    fields = {"value": None, **entry}
    if isinstance(fields["value"], dict):
        fields["value"] = text_to_number(fields["value"]["number"])
    return Evaluation(**fields)
