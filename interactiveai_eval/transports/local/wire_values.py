"""Values as they stand on the wire and in the tables: names, times, texts that may be JSON, usage numbers."""
from __future__ import annotations

import json
import re

from ..._clock import datetime_to_ns, iso_to_datetime, ns_to_iso
from ..._strict_json import SAFE_INTEGER, to_json
from ..._strict_json import text_to_value as text_to_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

LAST_NS = 2**63 - 1  # the year 2262; what SQLite can hold

quoted: Callable[[str], str] = json.encoder.encode_basestring  # the JSON text of a text, in C where there is C
_encode: Callable[[Any], str] = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode
_moment = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]+))?(Z|z|[+-][0-9]{2}:?[0-9]{2})"
).fullmatch
_environment = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}").fullmatch
_seconds: dict[str, int] = {}  # whole seconds already read: requests carry many times of the same second


def snake_case(name: str) -> str:
    """`sourceTraceId` as `source_trace_id`."""
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def columns_of(names: str) -> tuple[tuple[str, str], ...]:
    """(name, column) of JSON names whose columns are called alike."""
    return tuple([(name, snake_case(name)) for name in names.split()])


def camel_case(name: str) -> str:
    """`source_trace_id` as `sourceTraceId`."""
    return re.sub("_([a-z])", lambda found: found[1].upper(), name)


def encode(value: Any) -> str:
    """JSON text of a value that came out of a strict parser, so that it needs no second look in general."""
    try:
        return _encode(value)
    except ValueError:  # 1e999 is strict JSON, and an infinity to every parser
        return to_json(value)


def text_to_ns(text: object) -> int | None:
    """Nanoseconds since 1970 of an ISO 8601 text with a zone; None for everything else."""
    found = _moment(text) if type(text) is str else None
    if found is None:
        return None
    whole, fraction, zone = found.groups()
    key = whole + zone
    seconds_ns = _seconds.get(key)
    if seconds_ns is None:
        try:
            seconds_ns = datetime_to_ns(iso_to_datetime(key))
        except (ValueError, OverflowError):  # the 31st of February, or a zone that leads out of the calendar
            return None
        if len(_seconds) > 1000:
            _seconds.clear()
        _seconds[key] = seconds_ns
    ns = seconds_ns + int(fraction[:9].ljust(9, "0")) if fraction else seconds_ns
    return max(-LAST_NS, min(ns, LAST_NS))


def ns_to_text(ns: int | None) -> str | None:
    """ISO 8601 text in UTC with milliseconds and a `Z`."""
    return None if ns is None else ns_to_iso(ns)[:23] + "Z"


def value_to_text(value: Any) -> str | None:
    """How a JSON value is kept where texts and other values share a column: texts as they are, others as JSON."""
    return value if value is None or type(value) is str else encode(value)


def metadata_value(metadata: str | None) -> Any:
    """Metadata as it is read back: texts one level down that look like JSON change too."""
    value = text_to_value(metadata)
    if type(value) is dict:
        return {key: text_to_value(each) if type(each) is str else each for key, each in value.items()}
    return value


def metadata_text(metadata: str | None, key: str) -> str:
    """The value of `key` as the text that filters compare; "" where there is none."""
    if not metadata or encode(key) not in metadata:
        return ""
    value = text_to_value(metadata)
    found = value.get(key) if type(value) is dict else None
    if found is None:
        return ""
    return found if type(found) is str else json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def metadata_number(metadata: str | None, key: str) -> float | None:
    """The value of `key` as a number; None where it is none."""
    value = text_to_value(metadata_text(metadata, key))
    return float(value) if type(value) in (int, float) else None


def merged_metadata(older: str | None, newer: str | None) -> str | None:
    """Both metadata objects in one; the newer wins key by key."""
    if not older or not newer:
        return newer or older
    first, second = text_to_value(older), text_to_value(newer)
    return encode({**first, **second}) if type(first) is dict and type(second) is dict else newer


def environment_of(value: object) -> str:
    """`value` where it is a valid environment name, else "default"."""
    return value if type(value) is str and _environment(value) else "default"


def amounts(details: object) -> dict[str, Any]:
    """The finite numbers of a usage or cost object, with their `total`; {} where there are none."""
    if type(details) is not dict:
        return {}
    found = {
        key: value
        for key, value in details.items()
        if type(value) in (int, float) and -SAFE_INTEGER <= value <= SAFE_INTEGER
    }
    if found and "total" not in found:
        found["total"] = _sum(list(found.values()))
    return found


def part_of(details: Mapping[str, Any], part: str) -> Any:
    """The sum of the numbers whose name contains `part`; None where there is none."""
    found = [value for key, value in details.items() if part in key.lower()]
    return _sum(found) if found else None


def _sum(numbers: list[Any]) -> Any:
    """Their sum, as a float where an integer would not fit into the tables."""
    total = sum(numbers)
    return total if -SAFE_INTEGER <= total <= SAFE_INTEGER else float(total)
