"""Copies for functions of the user's, so that what one of them changes no other sees."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# By id, as a class of the user's may have a metaclass that cannot be hashed.
IMMUTABLE_IDS = frozenset(map(id, (str, int, float, bool, type(None), bytes, complex)))


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
            for member in copy.values() if kind is dict else copy:
                kind = type(member)
                # The types of most members are asked about first: it is done for every value of every function.
                if kind is not str and kind is not float and kind is not int and id(kind) not in IMMUTABLE_IDS:
                    _copy_members(copy, {id(value): copy})
                    break
            return copy
        return _copied(value, {})
    except RecursionError:
        return _deep_copy(value, {})


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
                for each in inner.values() if kind is dict else inner:
                    kind = type(each)
                    if kind is not str and kind is not float and kind is not int and id(kind) not in IMMUTABLE_IDS:
                        _copy_members(inner, made)
                        break
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
        for member in value:
            if id(type(member)) not in IMMUTABLE_IDS:
                break
        else:
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
