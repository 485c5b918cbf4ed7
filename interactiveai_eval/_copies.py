"""Copies for functions of the user's, so that what one of them changes no other sees."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

_IMMUTABLE = frozenset((str, int, float, bool, type(None), bytes, complex))
IMMUTABLE_IDS = frozenset(map(id, _IMMUTABLE))  # a class of the user's may have a metaclass that cannot be hashed
_FEW = 16  # members that are quicker looked at one by one than all by the type


def private_copy(value: Any) -> Any:
    """A copy of `value` that shares nothing changeable with it; what stands in it twice is one thing in the copy too.

    Plain dicts, lists and tuples are copied here, other objects by `copy.deepcopy`; what cannot be copied
    (clients, locks, files, generators) is shared.
    """
    kind = type(value)
    if id(kind) in IMMUTABLE_IDS:
        return value
    try:
        if kind is dict or kind is list:
            copy = value.copy()  # in one step: another thread may be changing the original
            members = copy.values() if kind is dict else copy
            if len(copy) > _FEW:
                if _are_immutable(members):
                    return copy
            else:  # the same, without a call: this is done for every value of every function
                for member in members:
                    kind = type(member)
                    if kind is not str and kind is not int and kind is not float and id(kind) not in IMMUTABLE_IDS:
                        break
                else:
                    return copy
            _copy_members(copy, {id(value): copy})
            return copy
        return _copied(value, {})
    except RecursionError:
        return _deep_copy(value, {})


def _are_immutable(members: Collection[Any]) -> bool:
    """Whether nothing in a container can be changed."""
    if len(members) > _FEW:
        try:
            return _IMMUTABLE.issuperset(map(type, members))
        except Exception:
            return False  # one has a class that cannot be hashed
    for member in members:
        kind = type(member)
        # The types of most members are asked about first.
        if kind is not str and kind is not int and kind is not float and id(kind) not in IMMUTABLE_IDS:
            return False
    return True


def _copy_members(copy: Any, made: dict[int, Any]) -> None:
    """Make a dict or list whose members are those of the original a copy of its own.

    `made` has the copies of the containers so far, by the id of the original.
    """
    for place, member in copy.items() if type(copy) is dict else enumerate(copy):
        kind = type(member)
        if kind is dict or kind is list:
            inner = made.get(id(member))
            if inner is None:
                inner = made[id(member)] = member.copy()
                if not _are_immutable(inner.values() if kind is dict else inner):
                    _copy_members(inner, made)
            copy[place] = inner
        elif kind is not str and id(kind) not in IMMUTABLE_IDS:
            copy[place] = _copied(member, made)


def _copied(value: Any, made: dict[int, Any]) -> Any:
    """The copy of a value that is no dict or list itself, or of one in a tuple."""
    kind = type(value)
    if id(kind) in IMMUTABLE_IDS:
        return value
    if id(value) in made:
        return made[id(value)]
    if kind is dict or kind is list:
        copy = made[id(value)] = value.copy()
        _copy_members(copy, made)
        return copy
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
