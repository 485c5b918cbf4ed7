"""`serve`: a store over HTTP."""
from __future__ import annotations

import os
import sys

from ..errors import ArgumentError, StoreError
from .console import flush, print_json, print_text
from .endings import PASSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_NOTES = """\
The first line of the output is `Serving http://HOST:PORT`. Clients need that address and the two keys. Beyond loopback
the secret key must be one of your own: others see options in the list of processes, the environment they do not.
"""


def _declare_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", metavar="PATH", help="serve this SQLite file, old or new; by default memory")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="(default: 0, one that is free)")
    parser.add_argument("--public-key", metavar="KEY", help="(default: INTERACTIVEAI_PUBLIC_KEY, or pk-local)")
    parser.add_argument("--secret-key", metavar="KEY", help="(default: INTERACTIVEAI_SECRET_KEY, or sk-local)")


def _serve(options: argparse.Namespace) -> int:
    import signal

    told, teller = os.pipe()
    if os.name != "nt":
        os.set_blocking(teller, False)
    # Python's own handler writes there, below all code: one of ours could interrupt what it would wait for.
    signal.set_wakeup_fd(teller, warn_on_full_buffer=False)
    try:
        # Also where the process was started in the background of a shell, which has Ctrl-C ignored there.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        _serve_until(told, options)
    finally:
        signal.set_wakeup_fd(-1)
        os.close(told)
        os.close(teller)
    return PASSED


def _serve_until(told: int, options: argparse.Namespace) -> None:
    """Serve until something can be read from the descriptor `told`."""
    from ..transports.local import LocalTransport
    from ..transports.server import DEFAULT_KEYS, LocalServer

    try:
        store = LocalTransport(options.store)
    except StoreError as error:
        raise ArgumentError("--store", options.store, str(error)) from None
    keys = {
        "public_key": _key(options.public_key, "INTERACTIVEAI_PUBLIC_KEY", DEFAULT_KEYS[0]),
        "secret_key": _key(options.secret_key, "INTERACTIVEAI_SECRET_KEY", DEFAULT_KEYS[1]),
    }
    with store, LocalServer(store, host=options.host, port=options.port, **keys) as server:
        if options.json:
            is_default = server.secret_key == DEFAULT_KEYS[1]
            print_json({"url": server.url, "public_key": server.public_key, "default_secret": is_default})
        else:
            print_text(f"Serving {server.url}", sys.stdout)
        flush()
        os.read(told, 1)


def _key(given: str | None, variable: str, default: str) -> Any:
    return (os.environ.get(variable) or default) if given is None else given


COMMANDS = {
    "serve": (_NOTES, _declare_serve, _serve),
}
