"""The client at hand: `get_client` finds it, `observe` records calls with it."""
from __future__ import annotations

import os

from .client import Interactive, live_clients, registry
from .errors import ArgumentError, ConfigError, StoreError
from .tracing.context import current

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, overload

    from .tracing.spans import Tracer

    Function = TypeVar("Function", bound=Callable[..., Any])

_from_environment: list[Interactive] = []  # made by `get_client`, which is all that keeps them alive


def get_client(*, public_key: str | None = None) -> Interactive:
    """The one live client, or the one with `public_key`; a new one from the environment when there is none.

    Raises ConfigError when the environment has no credentials, ArgumentError when several clients are live and no key
    says which, or none has that key.
    """
    with registry:
        live = live_clients()
        matching = live if public_key is None else [client for client in live if client.config.public_key == public_key]
        if len(matching) == 1:
            return matching[0]
        keys = ", ".join(client.config.public_key or f"{client!r} without a key" for client in live)
        if matching:
            fix = f"{len(matching)} clients are live: {keys}; name the key of one, or close those that are done"
            raise ArgumentError("public_key", public_key, fix)
        if live:
            raise ArgumentError("public_key", public_key, f"no live client has it; there are {keys}")
        try:
            made = Interactive() if public_key is None else Interactive(public_key=public_key)
        except ConfigError:
            around = current.get()
            if public_key is not None or around is None or not around.tracer.adopts:
                raise
            made = Interactive.local()  # in a worker of a run, to which all spans go
        _from_environment[:] = [made]
        return made


if TYPE_CHECKING:

    @overload
    def observe(func: Function) -> Function: ...

    @overload
    def observe(
        func: None = None,
        *,
        name: str | None = None,
        as_type: str | None = None,
        capture_input: bool | None = None,
        capture_output: bool | None = None,
        transform_to_string: Callable[[Any], str] | None = None,
    ) -> Callable[[Function], Function]: ...


def observe(
    func: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    as_type: str | None = None,
    capture_input: bool | None = None,
    capture_output: bool | None = None,
    transform_to_string: Callable[[Any], str] | None = None,
) -> Any:
    """Decorate a function (plain, coroutine, generator): every call of it becomes a span.

    Calls inside a task of a run nest below the item. Arguments and result are recorded unless `capture_input` or
    `capture_output` is False (or INTERACTIVEAI_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED is, when it is decorated). Without
    any client and without credentials the function runs unrecorded, with one warning.
    """
    from .config import captures_by_default
    from .tracing.observe import Observed

    captures = captures_by_default(os.getenv)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return Observed(
            function,
            _find_tracer,
            name=name,
            as_type=as_type,
            capture_input=captures if capture_input is None else capture_input,
            capture_output=captures if capture_output is None else capture_output,
            transform_to_string=transform_to_string,
        ).wrap()

    return decorate if func is None else decorate(func)


def _find_tracer(public_key: str | None) -> Tracer | str:
    """The tracer of `get_client`, or why there is none: a decorated function works all the same."""
    try:
        return get_client(public_key=public_key)._tracer
    except (ConfigError, ArgumentError, StoreError) as problem:
        return str(problem)
