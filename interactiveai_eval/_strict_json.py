"""Any Python value as strict JSON text, and JSON text from outside as plain values.

One encoder serves span attributes, score bodies, data set bodies, checkpoints and saved results. It never raises
and never writes what a strict parser refuses. Values that are JSON already take the C encoder's fast path; all
others are first made plain by `to_plain`, whose docstring is the table of fallbacks.
"""
from __future__ import annotations

import json
import sys

from .errors import type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

MAX_DEPTH = 100  # deeper values are cut; the C parsers of some Pythons die at 10,000, users read ten
MAX_NODES = 2_000_000  # a made-up bound: far beyond what anyone reads, small enough to stay out of swap
MAX_TEXT = 200_000_000  # characters in all, a made-up bound: one large text may stand in a value a thousand times
CONTAINER_NODES = 8  # what an object or container counts in `to_plain`: it takes so much longer than a number
SAFE_INTEGER = 2**53 - 1  # beyond it JavaScript rounds, so such integers travel as decimal text
EXACT_INTEGER = 2**2048  # files that we read again keep integers up to this: 617 digits, which every Python reads

# Programs that allow more recursion let the C parser of Python 3.11 and older run over the end of the stack.
_SAFE_RECURSION = 10_000
_LONGEST_DECIMAL_BITS = 10_000
_FEW, _SHORT = 20, 1_000_000  # far below all bounds
_MAX_DIGITS = 4000  # str() of a longer integer raises in newer Pythons


def _made_once() -> Callable[[Any], str]:
    """`JSONEncoder.encode`, which makes its C encoder anew for every value; made once, it takes half the time."""
    encode: Callable[[Any], str] = json.JSONEncoder(allow_nan=False).encode
    probe = ["\u20ac", 0.1, None, {"a": [True, 1]}]
    try:
        make: Any = json.encoder.c_make_encoder  # type: ignore[attr-defined]
        ascii_text: Any = json.encoder.encode_basestring_ascii
        into_parts = make(None, None, ascii_text, None, ": ", ", ", False, False, False)
        same = "".join(into_parts(probe, 0)) == encode(probe)
    except (AttributeError, TypeError):
        return encode  # a Python without the C encoder, or with another one
    return (lambda value: "".join(into_parts(value, 0))) if same else encode


_encode = _made_once()
_quoted: Callable[[str], str] = json.encoder.encode_basestring_ascii
_encode_utf8: Callable[[Any], str] = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode


def to_json(value: Any, *, largest: int = SAFE_INTEGER) -> str:
    """Strict ASCII JSON text of any value; separators `", "` and `": "`, insertion order; see `to_plain`."""
    try:
        if is_plain(value, largest):
            text = _encode(value)
            if "\\ud" not in text or _pairs_are_whole(value):
                return text
    except (ValueError, RuntimeError):
        # NaN, an infinity, or another thread changed the value under our hands.
        return _encode(to_plain(value, largest=largest))
    return _encode(to_plain(value, largest=largest))


def fields_to_json(fields: Mapping[str, Any], keys: Mapping[str, str]) -> str:
    """`to_json` of an object of which `keys` has the texts of the names, with colon and space.

    For thousands of small objects with the same few names: it takes a third of the time.
    """
    parts = []
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            text = _quoted(value)
            if "\\ud" in text:
                text = to_json(value)
        elif kind is float and value - value == 0.0:
            text = float.__repr__(value)
        else:
            text = to_json(value)
        parts.append(keys[name] + text)
    return "{" + ", ".join(parts) + "}"


def is_plain(value: Any, largest: int) -> bool:
    """Whether the C encoder writes `value` as we promise: plain types, text keys, small integers, not too deep."""
    if type(value) is dict and len(value) < _FEW:  # as most are: some fields with a text or a number each
        for key, member in value.items():
            kind = type(member)
            if type(key) is not str:
                break
            if kind is str:
                if len(member) > _SHORT:
                    break
            elif kind is int:
                if not -largest <= member <= largest:
                    break
            elif kind is not float and kind is not bool and member is not None:
                break
        else:
            return True
    level = [value]
    nodes = characters = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            kind = type(node)
            if kind is str:
                characters += len(node)
                continue
            if node is None or kind is float or kind is bool:
                continue
            if kind is dict:
                for key in node:
                    if type(key) is not str:
                        return False
                nodes += len(node)
                if nodes > MAX_NODES:
                    return False
                below.extend(node.values())
            elif kind is list or kind is tuple:
                nodes += len(node)
                if nodes > MAX_NODES:  # asked before they are laid out: a list in itself 1,000 times has 10**9 soon
                    return False
                below.extend(node)
            elif kind is not int or not -largest <= node <= largest:
                return False
        if characters > MAX_TEXT:
            return False
        if not below:
            return True
        level = below
    return False


def _pairs_are_whole(value: Any) -> bool:
    """Whether the escaped surrogates in the text of `value` are all halves of a pair."""
    try:
        _encode_utf8(value).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def to_attribute_text(value: Any) -> str:
    """A span attribute's text: a string as it is (without lone surrogates), everything else as JSON."""
    if type(value) is str:
        return well_formed(value)
    return str(to_plain(value)) if issubclass(type(value), str) else to_json(value)


def well_formed(text: str) -> str:
    """`text` with every lone surrogate replaced by U+FFFD, so that it has a UTF-8 form."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def to_plain(value: Any, *, largest: int = SAFE_INTEGER) -> Any:
    """`value` out of dicts, lists, strings, numbers, booleans and None only; never raises.

    `largest` is the greatest integer that stays one: `EXACT_INTEGER` for what Python alone reads again.

    | value | becomes |
    |---|---|
    | int beyond +-`largest`, 2**53 - 1 | decimal text; beyond 4,000 digits "<integer of N bits>" |
    | NaN, infinities | "NaN", "Infinity", "-Infinity" |
    | text with lone surrogates | the same with U+FFFD in their place |
    | bytes, bytearray, memoryview | text where it is UTF-8, else "base64:..." |
    | tuple, range, deque, other sequences | list |
    | set, frozenset | list, sorted by the JSON text of its members |
    | mapping | object; keys as text, a key that is taken gets "#2", "#3" ... |
    | datetime, date, time | ISO 8601 text (a naive datetime is local time) |
    | timedelta | seconds as a number |
    | Decimal, Fraction, complex, UUID, path | text |
    | Enum | its value |
    | namedtuple | list; dataclass, attrs and plain objects: object of their public fields |
    | pydantic model | its `model_dump()` |
    | numpy-like scalar or array | `item()` / `tolist()` |
    | exception | "Type: message" |
    | class, function, module, generator, open file, anything else | "<name>" |
    | what refers to itself, lies deeper than 100 levels | "<cycle>", "<too deep>" |
    | what comes after 2,000,000 values (250,000 objects) or 200,000,000 characters | "<too large>" |

    What is no Exception passes through (KeyboardInterrupt, the alarm of a test tool): it is meant for the program.
    """
    return _Plainer(largest).convert(value)


class _Plainer:
    """One conversion: its budget of nodes, and the objects on the way down (to see cycles)."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.nodes_left = MAX_NODES
        self.text_left = MAX_TEXT
        self.open: set[int] = set()

    def convert(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        if kind is str:
            self.text_left -= len(value)
            return well_formed(value) if self.text_left >= 0 else "<too large>"
        if value is None or kind is bool:
            return value
        if kind is int:
            return _plain_int(value, self.largest)
        if kind is float:
            return plain_float(value)
        self.nodes_left -= CONTAINER_NODES
        if self.nodes_left < 0:
            return "<too large>"
        if depth >= MAX_DEPTH:
            return "<too deep>"
        if id(value) in self.open:
            return "<cycle>"
        self.open.add(id(value))
        try:
            return self._convert_object(value, depth)
        except Exception:
            # Hostile or half-built objects: their own code failed while we looked at them.
            return _tag(value)
        finally:
            self.open.discard(id(value))

    def _convert_object(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            # A copy in one step, since another thread may be changing it; a subclass could have a say in `copy`.
            return self._mapping(value.copy().items() if type(value) is dict else list(dict.items(value)), depth)
        if isinstance(value, (list, tuple)):
            return self._sequence(value, depth)
        if isinstance(value, (set, frozenset)):
            members = frozenset.copy(value) if isinstance(value, frozenset) else set.copy(value)
            return sorted(self._sequence(members, depth), key=_encode)
        if isinstance(value, str):
            enum_value = getattr(value, "_value_", None)
            return well_formed(str.__str__(value if enum_value is None else enum_value))
        if isinstance(value, int):
            return _plain_int(int.__index__(value), self.largest)
        if isinstance(value, float):
            return plain_float(float.__float__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return _plain_bytes(bytes(value))
        if isinstance(value, BaseException):
            return well_formed(f"{type_name(value)}: {value}")
        if isinstance(value, (type, _MODULE)) or callable(getattr(type(value), "__get__", None)):
            return _tag(value)
        named = _NAMED.get(f"{type(value).__module__}.{type(value).__name__}")
        if named is not None:
            return self.convert(named(value), depth + 1)
        return self._by_shape(value, depth)

    def _by_shape(self, value: Any, depth: int) -> Any:
        """Objects known by what they offer: looked up on the type, so that no instance can pretend."""
        kind = type(value)
        for mro in kind.__mro__:
            if mro.__module__ == "enum" and mro.__name__ == "Enum":
                return self.convert(value.value, depth + 1)
            named = _NAMED.get(f"{mro.__module__}.{mro.__name__}")
            if named is not None:
                return self.convert(named(value), depth + 1)
        if hasattr(kind, "model_dump"):
            return self.convert(value.model_dump(), depth + 1)
        if hasattr(kind, "to_dict") and kind.__module__.partition(".")[0] == __name__.partition(".")[0]:
            return self.convert(value.to_dict(), depth + 1)
        if hasattr(kind, "tolist"):  # arrays and array scalars
            return self.convert(value.tolist(), depth + 1)
        if hasattr(kind, "item") and hasattr(kind, "dtype"):
            return self.convert(value.item(), depth + 1)
        if hasattr(kind, "__getitem__") and hasattr(kind, "keys") and hasattr(kind, "__len__"):
            return self._mapping(((key, value[key]) for key in value.keys()), depth)
        if hasattr(kind, "__iter__") and hasattr(kind, "__len__"):
            return self._sequence(value, depth)
        if hasattr(kind, "__next__"):  # files, streams, cursors: looking at them would use them up
            return _tag(value)
        fields = _public_fields(value)
        return self._mapping(fields.items(), depth) if fields else _tag(value)

    def _sequence(self, members: Any, depth: int) -> list[Any]:
        found = []
        for member in members:
            if self.nodes_left < 0:
                found.append("<too large>")
                break
            self.nodes_left -= 1
            found.append(self.convert(member, depth + 1))
        return found

    def _mapping(self, pairs: Any, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        numbers: dict[str, int] = {}
        for key, member in pairs:
            if self.nodes_left < 0:
                found["<too large>"] = True
                break
            self.nodes_left -= 1
            name = self._key(key)
            if name in found:
                number = numbers.get(name, 1) + 1
                while f"{name}#{number}" in found:
                    number += 1
                numbers[name] = number
                name = f"{name}#{number}"
            found[name] = self.convert(member, depth + 1)
        return found

    def _key(self, key: Any) -> str:
        if type(key) is str:
            return well_formed(key)
        plain = self.convert(key, MAX_DEPTH - 3)
        return plain if isinstance(plain, str) else _encode(plain)


def _plain_int(value: int, largest: int) -> Any:
    if -largest <= value <= largest:
        return value
    if value.bit_length() < _MAX_DIGITS * 3:  # 3.3 bits a digit
        try:
            return str(value)
        except ValueError:
            # The program allows fewer digits than Python's own default.
            return f"<integer of {value.bit_length()} bits>"
    return f"<integer of {value.bit_length()} bits>"


def plain_float(value: float) -> Any:
    """`value`, or the text that stands for NaN and the infinities."""
    if value - value == 0.0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _plain_bytes(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        import binascii

        return "base64:" + binascii.b2a_base64(value, newline=False).decode("ascii")


def _public_fields(value: Any) -> dict[str, Any]:
    """The attributes of an object that do not begin with an underscore, slots included."""
    fields: dict[str, Any] = {}
    for kind in reversed(type(value).__mro__):
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if not name.startswith("_") and hasattr(value, name):
                fields[name] = getattr(value, name)
    try:
        own = dict.copy(object.__getattribute__(value, "__dict__"))  # another thread may be changing it
    except AttributeError:
        own = {}
    fields.update((name, member) for name, member in own.items() if isinstance(name, str) and name[:1] != "_")
    return fields


def _tag(value: Any) -> str:
    try:
        name = getattr(value, "__name__", None) if isinstance(value, type) or callable(value) else None
    except Exception:
        # Its own code failed; its type still tells what it is.
        name = None
    return well_formed(f"<{name if type(name) is str else type_name(value)}>")


def _plain_datetime(value: Any) -> str:
    from ._clock import datetime_to_iso

    try:
        return datetime_to_iso(value)
    except (ValueError, OverflowError, OSError):
        # At the ends of the calendar local time has no offset.
        text: str = value.isoformat()
        return text


_MODULE = type(json)
_NAMED: dict[str, Callable[[Any], Any]] = {
    "datetime.datetime": _plain_datetime,
    "datetime.date": lambda value: value.isoformat(),
    "datetime.time": lambda value: value.isoformat(),
    "datetime.timedelta": lambda value: value.total_seconds(),
    "decimal.Decimal": str,
    "fractions.Fraction": str,
    "builtins.complex": str,
    "uuid.UUID": str,
    "pathlib.PurePath": str,
    "pathlib._local.PurePath": str,
    "_pydatetime.datetime": _plain_datetime,
    "_pydecimal.Decimal": str,
}


class JSONError(ValueError):
    """Text that is not JSON that we take; the message says where or why."""


def from_json(text: str | bytes) -> Any:
    """The value of strict JSON text: UTF-8, no NaN or Infinity, at most `MAX_DEPTH` * 2 levels.

    Raises JSONError.
    """
    try:
        if isinstance(text, (bytes, bytearray)):
            text = bytes(text).decode("utf-8")
        brackets = text.count("[") + text.count("{")
        if brackets > MAX_DEPTH * 2 and _is_risky() and _depth(text) > MAX_DEPTH * 2:
            raise RecursionError
        value = _decode(text)
        # One limit on every Python: their own ones differ, from a thousand levels to many.
        if brackets > MAX_DEPTH * 2 and _is_deeper(value, MAX_DEPTH * 2):
            raise RecursionError
        return value
    except JSONError:
        raise
    except UnicodeDecodeError as error:
        raise JSONError(f"not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise JSONError(str(error)) from None
    except RecursionError:
        raise JSONError(f"nested deeper than {MAX_DEPTH * 2} levels") from None


def text_to_value(text: str | None) -> Any:
    """A text as servers read it back: one that looks like JSON becomes what it looks like (WIRE.md section 9.2)."""
    if not text or text.lstrip()[:1] not in '{["-0123456789tfn':
        return text
    try:
        value = from_json(text)
    except JSONError:
        return text
    # Servers keep numbers that a double cannot hold as the text that they are.
    if type(value) is int and not -SAFE_INTEGER <= value <= SAFE_INTEGER:
        return text
    return text if type(value) is float and value - value != 0.0 else value


def _is_risky() -> bool:
    """Whether the parser may run out of stack before it gives up: wasm has little, and then no exception but an end."""
    return sys.getrecursionlimit() > _SAFE_RECURSION or sys.platform in ("emscripten", "wasi")


def _depth(text: str) -> int:
    """How deep the brackets of a JSON text are nested; those inside strings do not count."""
    depth = deepest = 0
    for outside in text.replace("\\\\", "").replace('\\"', "").split('"')[::2]:
        for character in outside:
            if character in "[{":
                depth += 1
                deepest = max(deepest, depth)
            elif character in "]}":
                depth -= 1
    return deepest


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether containers of parsed JSON are nested more than `levels` deep."""
    level = [value]
    for _ in range(levels):
        level = [
            member
            for node in level
            for member in (node.values() if type(node) is dict else node)
            if type(member) is dict or type(member) is list
        ]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> Any:
    raise JSONError(f"{name} is not JSON")


_decode: Callable[[str], Any] = json.JSONDecoder(parse_constant=_refuse_constant).decode


def number_to_text(value: float) -> str:
    """A text that `text_to_number` turns back into the same number."""
    if isinstance(value, int) and value.bit_length() > _LONGEST_DECIMAL_BITS:
        return hex(value)  # Python refuses to write or read very long decimals, but not hexadecimals
    return str(value)


def text_to_number(text: str) -> float:
    """The number of a text. Raises ValueError when it is none, TypeError when it is no text."""
    try:
        return int(text, 0)
    except ValueError:
        return float(text)
