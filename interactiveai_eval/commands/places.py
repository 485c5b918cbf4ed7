"""Where a command finds its client: a store file, the server that the environment names, or memory."""
from __future__ import annotations

import os
from contextlib import contextmanager

from ..errors import ArgumentError, ConfigError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..client import Interactive


def client_for(store: str | None, *, must_exist: bool = False, **settings: Any) -> Interactive:
    """The client for a store file, for the server that the environment names, or for a store in memory."""
    from ..client import Interactive

    named = ("PUBLIC_KEY", "SECRET_KEY", "BASE_URL", "HOST")
    if store is None and any(os.environ.get(f"INTERACTIVEAI_{name}") for name in named):
        try:
            return Interactive(**settings)
        except StoreError as error:
            raise ConfigError(str(error)) from None
    return store_client(store, must_exist=must_exist)


def store_path(store: str | None) -> str | None:
    """The file that is the store: of --store, or else of the environment where that says local:PATH."""
    named = os.environ.get("INTERACTIVEAI_BASE_URL") or os.environ.get("INTERACTIVEAI_HOST") or ""
    if store is None and named:
        from ..config import LOCAL_SCHEME

        store = named[len(LOCAL_SCHEME) :] if named.startswith(LOCAL_SCHEME) else None
    return store or None


def store_client(path: str | None, *, must_exist: bool = False) -> Interactive:
    """The client for a store file, or for a store in memory. Raises ArgumentError where it cannot be opened."""
    from ..client import Interactive

    if path is not None and must_exist:
        _check_is_there(path)
    try:
        return Interactive.local(path)
    except StoreError as error:
        raise ArgumentError("--store", path, str(error)) from None


@contextmanager
def reading_client(path: str) -> Iterator[Interactive]:
    """The client for a store file that is only read, and may be one that cannot be written. Raises ArgumentError."""
    from ..client import Interactive
    from ..config import LOCAL_SCHEME
    from ..transports.local import LocalTransport

    _check_is_there(path)
    writable = all(os.access(place, os.W_OK) for place in (path, os.path.dirname(path) or "."))
    try:
        transport = LocalTransport(path, read_only=not writable)
    except StoreError as error:
        raise ArgumentError("--store", path, str(error)) from None
    with transport, Interactive(base_url=LOCAL_SCHEME + path, transport=transport) as client:
        yield client


def _check_is_there(path: str) -> None:
    if not os.path.isfile(path):
        fix = "is a folder; name the file in it" if os.path.isdir(path) else "there is no such file"
        raise ArgumentError("--store", path, fix)
