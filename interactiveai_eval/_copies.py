"""Copies for functions of the user's, so that what one of them changes no other sees."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_IMMUTABLE = frozenset((str, int, float, bool, type(None), bytes, complex))
IMMUTABLE_IDS = frozenset(map(id, _IMMUTABLE))  # a class of the user's may have a metaclass that cannot be hashed


def private_copy(value: Any) -> Any:
    """A copy of `value` that shares nothing changeable with it; what stands in it twice is one thing in the copy too.

    Plain dicts, lists and tuples are copied here, other objects by `copy.deepcopy`; what cannot be copied
    (clients, locks, files, generators) is shared.
    """
    # Whether all members are immutable is asked in one C call: most dicts and lists of real items are flat.
    kind = type(value)
    if id(kind) in IMMUTABLE_IDS:
        return value
    try:
        if kind is dict or kind is list:
            copy = value.copy()  # in one step: another thread may be changing the original
            if not _are_immutable(copy.values() if kind is dict else copy):
                _copy_members(copy, {id(value): copy})
            return copy
        return _copied(value, {})
    except RecursionError:
        return _deep_copy(value, {})


def _are_immutable(members: Iterable[Any]) -> bool:
    try:
        return _IMMUTABLE.issuperset(map(type, members))
    except Exception:
        # One has a class that cannot be hashed.
        return False


def _copy_members(copy: Any, made: dict[int, Any]) -> None:
    """Make a dict or list whose members are those of the original a copy of its own."""
    for place, member in copy.items() if type(copy) is dict else enumerate(copy):
        if id(type(member)) not in IMMUTABLE_IDS:
            copy[place] = _copied(member, made)


def _copied(value: Any, made: dict[int, Any]) -> Any:
    """The copy of `value`; `made` has the copies of the containers so far, by the id of the original."""
    kind = type(value)
    if kind is dict or kind is list:
        copy = made.get(id(value))
        if copy is None:
            copy = made[id(value)] = value.copy()
            if not _are_immutable(copy.values() if kind is dict else copy):
                _copy_members(copy, made)
        return copy
    if id(kind) in IMMUTABLE_IDS:
        return value
    if id(value) in made:
        return made[id(value)]
    if kind is tuple:
        if _are_immutable(value):
            return value
        members = tuple([_copied(member, made) for member in value])
        return made.setdefault(id(value), members)  # a tuple in itself, by way of a list, is there by now
    return _deep_copy(value, made)


def _deep_copy(value: Any, made: dict[int, Any]) -> Any:
    from copy import deepcopy

    try:
        return deepcopy(value, made)
    except KeyboardInterrupt:
        raise
    except BaseException:
        # The user's object refuses to be copied, in whatever way; a shared object is better than a failed item.
        return value
