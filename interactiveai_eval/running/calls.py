"""How a user's function wants to be called: decided once from its signature, before the first item.

A function gets those of the offered values that it can take: by name where it names them (or takes `**kwargs`); a task
or mapper with one positional parameter gets the item there, whatever the parameter is called.
"""
from __future__ import annotations

from functools import partial

from .._copies import private_copy
from ..errors import ArgumentError, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

# What evaluators are offered; the second only by name.
EVALUATOR_VALUES = ("input", "output", "expected_output", "metadata")
EVALUATOR_MORE = ("item", "trace_id", "duration_seconds")

_COROUTINE_FLAGS = 0x80 | 0x100  # async def, types.coroutine
_VAR_POSITIONAL, _VAR_KEYWORDS = 0x04, 0x08
# Where our functions are that make evaluators: without parentheses they would be called with an output as a setting.
_MAKERS = [__name__.replace("running.calls", name) for name in ("evaluators", "llm_judge")]


class Parameter:
    """One parameter of a function: how it may be given, and whether it must."""

    __slots__ = ("by_keyword", "by_position", "name", "required")

    def __init__(self, name: str, *, by_position: bool, by_keyword: bool, required: bool) -> None:
        self.name = name
        self.by_position = by_position
        self.by_keyword = by_keyword
        self.required = required


class UserFunction:
    """A function of the user's, what it is called, and which of the offered values it gets."""

    __slots__ = ("by_keyword", "by_position", "function", "is_coroutine", "name")

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        by_position: tuple[str, ...],
        by_keyword: tuple[str, ...],
    ) -> None:
        self.function = function
        self.name = name
        self.by_position = by_position
        self.by_keyword = by_keyword
        self.is_coroutine = is_coroutine_function(function)


def bind(
    role: str,
    function: Any,
    *,
    offered: Sequence[str],
    only_if_named: Sequence[str] = (),
    sole_positional: str | None = None,
) -> UserFunction:
    """How to call `function`, which plays `role` (an argument's name), with values out of `offered`.

    `only_if_named` are offered too, but not to a bare `**kwargs`. `sole_positional` may be given as the one positional
    argument. Raises ArgumentError when it is not callable or needs something that is not offered.
    """
    if not callable(function):
        raise ArgumentError(role, function, "must be a function (or another callable)")
    name = display_name(function)
    if type_name(function) == "function" and function.__globals__.get("__name__") in _MAKERS:
        raise ArgumentError(role, function, f"makes an evaluator and is none; call it, as in {name}()")
    signature = _signature(function)
    if signature is None:  # a builtin that does not tell: it can only be tried
        if sole_positional is None:
            raise ArgumentError(role, function, "does not tell its parameters; wrap it in a function that names them")
        return UserFunction(function, name, (sole_positional,), ())
    parameters, takes_any_keyword, takes_any_position = signature
    known = (*offered, *only_if_named)
    if sole_positional is not None and not any(parameter.name == sole_positional for parameter in parameters):
        if _takes_it_by_position(parameters, takes_any_keyword, takes_any_position):
            return UserFunction(function, name, (sole_positional,), ())
        if not takes_any_keyword:
            raise ArgumentError(
                role, function, f"{name} takes no {sole_positional}: write it as {name}(*, {sole_positional}, **kwargs)"
            )
    missing = [parameter.name for parameter in parameters if parameter.required and parameter.name not in known]
    if missing:
        raise ArgumentError(
            role,
            function,
            f"{name} needs {', '.join(map(repr, missing))}, which is not offered; offered are {', '.join(known)}: "
            "rename the parameter, give it a default, or add **kwargs",
        )
    by_position: list[str] = []
    by_keyword: list[str] = []
    has_gap = False  # a positional-only parameter is left to its default: such ones after it cannot be given
    for parameter in parameters:
        if parameter.by_keyword:
            by_keyword += [parameter.name] * (parameter.name in known)
        elif parameter.name in known and not has_gap:
            by_position.append(parameter.name)
        else:
            has_gap = True
    if takes_any_keyword:
        by_keyword += [value for value in offered if value not in by_keyword and value not in by_position]
    return UserFunction(function, name, tuple(by_position), tuple(by_keyword))


def _takes_it_by_position(parameters: Sequence[Parameter], takes_any_keyword: bool, takes_any_position: bool) -> bool:
    """Whether the one value that a task gets can be its first positional argument, whatever that is called."""
    if not parameters:
        return takes_any_position and not takes_any_keyword
    first, *others = parameters
    if not first.by_position or any(parameter.required for parameter in others):
        return False
    return first.required or not takes_any_keyword


def bind_all(role: str, functions: Any, **how: Any) -> list[UserFunction]:
    """`bind` for a list of functions; their names are made unique by position (`exact`, `exact#2`)."""
    if callable(functions) or isinstance(functions, (str, bytes, dict)) or not hasattr(functions, "__iter__"):
        raise ArgumentError(role, functions, "must be a list of functions")
    bound = [bind(f"{role}[{position}]", function, **how) for position, function in enumerate(functions)]
    for position, function in enumerate(bound):
        _make_unique(function, bound[:position])
    return bound


def bind_composite(function: Any, evaluators: Sequence[UserFunction], **how: Any) -> UserFunction | None:
    """`bind` for the composite evaluator, if there is one; its name is none of the evaluators'."""
    if function is None:
        return None
    composite = bind("composite_evaluator", function, **how)
    _make_unique(composite, evaluators)
    return composite


def _make_unique(function: UserFunction, others: Sequence[UserFunction]) -> None:
    taken = {other.name for other in others}
    name, number = function.name, 1
    while name in taken:
        number += 1
        name = f"{function.name}#{number}"
    function.name = name


def own_arguments(function: UserFunction, values: Mapping[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments of one call, as copies of its own."""
    by_keyword = {}
    for name in function.by_keyword:
        value = values[name]
        if type(value) is not str and value is not None:
            value = private_copy(value)
        by_keyword[name] = value
    return [private_copy(values[name]) for name in function.by_position] if function.by_position else (), by_keyword


def chosen(function: UserFunction, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of one call, out of all that is offered."""
    return [values[name] for name in function.by_position], {name: values[name] for name in function.by_keyword}


def display_name(function: Any) -> str:
    """What a function is called in results: its name, that of what a partial wraps, or that of its class."""
    function = _without_partials(function)
    name = attribute(function, "__name__")
    return name if isinstance(name, str) and name else type_name(function)


def attribute(thing: Any, name: str) -> Any:
    """An attribute, None if there is none or the user's own code fails on the way to it."""
    try:
        return getattr(thing, name, None)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None


def _without_partials(function: Any) -> Any:
    """What a partial wraps, however often; other objects (a mock, say) have a `func` that means something else."""
    while isinstance(function, partial):
        function = function.func
    return function


def is_coroutine_function(function: Any) -> bool:
    """Whether calling `function` gives a coroutine. What is missed is found out when it returns one."""
    function = _without_partials(function)
    for candidate in (function, attribute(function, "__func__"), attribute(type(function), "__call__")):
        code = attribute(candidate, "__code__")
        if code is not None:
            return bool(code.co_flags & _COROUTINE_FLAGS)
    return False


def takes_arguments(function: Any, count: int) -> bool:
    """Whether a function can be called with so many arguments by position; True where it does not tell."""
    signature = _signature(function)
    if signature is None:
        return True
    parameters, _, takes_any_position = signature
    places = [parameter for parameter in parameters if parameter.by_position]
    needed = [parameter for parameter in parameters if parameter.required]
    return (takes_any_position or count <= len(places)) and needed == [each for each in places[:count] if each.required]


def _signature(function: Any) -> tuple[list[Parameter], bool, bool] | None:
    """(parameters, takes **kwargs, takes *args); None when the function does not tell."""
    try:
        return _told_signature(function)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None  # its own code failed while we looked


def _told_signature(function: Any) -> tuple[list[Parameter], bool, bool] | None:
    """`_signature` of a function that lets us look.

    Plain functions and methods are read from their code object: `inspect` costs 15 ms to import.
    """
    calls = [kind.__dict__["__call__"] for kind in type(function).__mro__ if "__call__" in kind.__dict__]
    if calls and isinstance(calls[0], (staticmethod, classmethod)):  # which `inspect` takes for methods
        return _told_signature(function.__call__)
    inner = getattr(function, "__func__", function)
    code = getattr(inner, "__code__", None)
    if code is None or type(inner).__name__ != "function" or hasattr(inner, "__signature__"):
        return _inspected(function)
    if hasattr(inner, "__wrapped__") and code.co_flags & (_VAR_KEYWORDS | _VAR_POSITIONAL):
        return _inspected(function)  # a decorator that passes on what it gets: what it wraps tells what it takes
    positional = code.co_varnames[: code.co_argcount]
    keyword_only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    required = len(positional) - len(inner.__defaults__ or ())
    parameters = [
        Parameter(name, by_position=True, by_keyword=place >= code.co_posonlyargcount, required=place < required)
        for place, name in enumerate(positional)
    ]
    defaults = inner.__kwdefaults__ or {}
    parameters += [
        Parameter(name, by_position=False, by_keyword=True, required=name not in defaults) for name in keyword_only
    ]
    if inner is not function:  # a bound method: its first parameter is taken
        parameters = parameters[1:]
    return parameters, bool(code.co_flags & _VAR_KEYWORDS), bool(code.co_flags & _VAR_POSITIONAL)


def _inspected(function: Any) -> tuple[list[Parameter], bool, bool] | None:
    import inspect

    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return None
    kinds = inspect.Parameter
    # What `functools.singledispatch` makes, whose first argument has no name.
    is_dispatched = type(function).__name__ == "function" and hasattr(function, "dispatch")
    parameters = [
        Parameter(
            parameter.name,
            by_position=parameter.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD),
            by_keyword=parameter.kind in (kinds.KEYWORD_ONLY, kinds.POSITIONAL_OR_KEYWORD)
            and not (is_dispatched and place == 0),
            required=parameter.default is parameter.empty,
        )
        for place, parameter in enumerate(found)
        if parameter.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    ]
    return (
        parameters,
        any(parameter.kind is kinds.VAR_KEYWORD for parameter in found),
        any(parameter.kind is kinds.VAR_POSITIONAL for parameter in found),
    )
