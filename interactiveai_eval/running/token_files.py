"""The checkpoint of a batch evaluation: one file with the token, replaced in one step."""
from __future__ import annotations

import os
from io import FileIO

from .._atomic import write_atomically
from .._log import warn
from ..batch_model import BatchEvaluationResumeToken
from ..errors import CheckpointError, DataError
from .file_locks import close_in_forks, has_locks, in_use, lock, unlock


class TokenFile:
    """The checkpoint at `path`, which one run has for itself from `open` to `close`.

    The lock is one of the file itself, which is another one after each write: that one is locked before it takes the
    place of the one before, so there is no moment without a lock and no second file beside the checkpoint.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: FileIO | None = None  # the one at `path`, locked; None as long as there is none
        self._closed = False

    def open(self) -> BatchEvaluationResumeToken | None:
        """The token in the file; None when there is no file yet. Raises CheckpointError; the file stays as it is."""
        path = self._path
        if os.path.islink(path):  # links are not followed, and the first write would replace it
            leads = os.path.realpath(path)
            raise CheckpointError(f"checkpoint {path!r} is a link; name the file that it leads to: {leads!r}")
        if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe would wait for ever
            raise CheckpointError(f"checkpoint {path!r} cannot be used: it is no regular file; name another")
        try:
            self._file = self._opened()
            if self._file is None:
                return None
            text = self._file.read()
            if not has_locks():
                self._let_go()  # there, an open file may not be replaced either
        except OSError as error:
            raise CheckpointError(f"checkpoint {path!r} cannot be read: {error.strerror}; name another file") from error
        if not os.access(path, os.W_OK):
            raise CheckpointError(f"checkpoint {path!r} cannot be written: it is read-only; name another file")
        try:
            return BatchEvaluationResumeToken.from_json(text)
        except DataError as error:
            raise CheckpointError(f"checkpoint {path!r} is no checkpoint of a batch evaluation: {error}") from None

    def _opened(self) -> FileIO | None:
        """The file at the path, locked. Raises CheckpointError when another run has it."""
        close_in_forks(self)
        while True:
            try:
                file = FileIO(self._path)
            except FileNotFoundError:
                return None
            if not lock(file):
                file.close()
                raise in_use(self._path)
            if _is_at(file, self._path):
                return file
            file.close()  # another run has written, or deleted it, between our two looks

    def write(self, token: BatchEvaluationResumeToken) -> None:
        """Replace the file's token. Raises CheckpointError; the file then holds the former one."""
        path = self._path
        try:
            can_link = has_locks() and hasattr(os, "link")  # which wasm has not
            write_atomically(path, [token.to_json()], place=self._place if can_link else os.replace)
        except FileExistsError:
            raise in_use(path) from None
        except OSError as error:
            raise CheckpointError(
                f"checkpoint {path!r} cannot be written: {error.strerror}; name a file in a folder that can be written"
            ) from error

    def _place(self, written: str, path: str) -> None:
        """Put a written file at the path, locked. Raises FileExistsError where another run was quicker."""
        file = FileIO(written)
        try:
            lock(file)
            if self._file is None:
                _link(written, path)
            else:
                os.replace(written, path)
        except BaseException:
            file.close()
            raise
        before, self._file = self._file, file
        if before is not None:
            before.close()
        if self._closed:  # this write hung while the run ended
            self._let_go()

    def close(self) -> None:
        """Let another run have the file. Never raises, as the result of the run is on its way out."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        file = self._file
        if file is not None and not file.closed:
            try:
                unlock(file)
                file.close()
            except OSError as error:
                warn(f"checkpoint {self._path!r} cannot be closed: {error.strerror}")

    def close_in_child(self) -> None:
        """See `file_locks`."""
        if self._file is not None:
            self._file.close()


def _is_at(file: FileIO, path: str) -> bool:
    """Whether that file is the one at this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _link(written: str, path: str) -> None:
    """Put a written file at a path at which there is none. Raises FileExistsError."""
    try:
        os.link(written, path)
    except FileExistsError:
        raise
    except OSError:
        os.replace(written, path)  # a file system without links
    else:
        os.unlink(written)
