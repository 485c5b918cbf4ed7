"""Files that appear in one step."""
from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def write_atomically(
    path: str, pieces: Iterable[str], *, place: Callable[[str, str], None] = os.replace
) -> None:
    """Write a file of mode 0600 that appears in one step: whatever fails, `path` holds the old content or the new.

    A link at `path` is replaced, not followed. `place(written, path)` puts it there. Raises OSError, and whatever
    making the pieces raises.
    """
    # The name says nothing of the target: together they could be too long for the file system.
    temporary = os.path.join(os.path.dirname(path), f".{os.urandom(12).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for extra in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, extra, 0)
    try:
        descriptor = os.open(temporary, flags, 0o600)
    except OSError as error:
        raise type(error)(error.errno, f"{error.strerror} (where the file is to be made)", path) from None
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(descriptor)
        place(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, temporary):
            raise type(error)(error.errno, error.strerror, path) from None  # that name says nothing to the caller
        raise
