"""The checkpoint of a batch evaluation: one file with the token, replaced in one step."""
from __future__ import annotations

import os

from ..batch_model import BatchEvaluationResumeToken
from ..errors import CheckpointError, DataError
from ..reporting.files import write_atomically


def read_token(path: str) -> BatchEvaluationResumeToken | None:
    """The token in a checkpoint file; None when there is no file yet. Raises CheckpointError."""
    if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe would wait for ever
        raise CheckpointError(f"checkpoint {path!r} cannot be used: it is no regular file; name another")
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"checkpoint {path!r} cannot be read: {error.strerror}; name another file") from error
    if not os.access(path, os.W_OK):
        raise CheckpointError(f"checkpoint {path!r} cannot be written: it is read-only; name another file")
    try:
        return BatchEvaluationResumeToken.from_json(text)
    except DataError as error:
        raise CheckpointError(f"checkpoint {path!r} is no checkpoint of a batch evaluation: {error}") from None


def write_token(path: str, token: BatchEvaluationResumeToken) -> None:
    """Replace the file's token. Raises CheckpointError; the file then holds the former one."""
    try:
        write_atomically(path, [token.to_json()])
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path!r} cannot be written: {error.strerror}; name a file in a folder that can be written"
        ) from error
