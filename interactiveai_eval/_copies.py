"""Copies for functions of the user's, so that what one of them changes no other sees."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IMMUTABLE = frozenset((str, int, float, bool, type(None), bytes, complex))
_all_immutable = IMMUTABLE.issuperset


def private_copy(value: Any) -> Any:
    """A copy of `value` that shares nothing changeable with it.

    Plain dicts, lists and tuples are copied here, other objects by `copy.deepcopy`; what cannot be copied
    (clients, locks, files, generators) is shared.
    """
    try:
        return _copied(value)
    except RecursionError:
        return _deep_copy(value)


def _copied(value: Any) -> Any:
    # Whether all members are immutable is asked in one C call: most dicts and lists of real items are flat.
    kind = type(value)
    if kind is dict:
        copy = value.copy()
        if not _all_immutable(map(type, value.values())):
            for key, member in value.items():
                if type(member) not in IMMUTABLE:
                    copy[key] = _copied(member)
        return copy
    if kind is list:
        if _all_immutable(map(type, value)):
            return value.copy()
        return [_copied(member) for member in value]
    if kind in IMMUTABLE:
        return value
    if kind is tuple:
        return value if _all_immutable(map(type, value)) else tuple([_copied(member) for member in value])
    return _deep_copy(value)


def _deep_copy(value: Any) -> Any:
    from copy import deepcopy

    try:
        return deepcopy(value)
    except Exception:
        # The user's object refuses to be copied; a shared object is better than a failed item.
        return value
