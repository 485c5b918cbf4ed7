"""What the answers of the endpoints must look like; each raises ValueError for an answer that does not."""
from __future__ import annotations

from .._strict_json import text_to_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def as_it_is(answer: Any) -> Any:
    """Anything."""
    return answer


def an_object(answer: Any) -> dict[str, Any]:
    """An object, whatever it holds."""
    if not isinstance(answer, dict):
        raise ValueError(f"the answer is {type(answer).__name__}, not an object")
    return answer


def a_list(answer: Any) -> list[Any]:
    """What the list at "data" holds."""
    found: list[Any] = _part(answer, "data", list)
    return found


def a_page(answer: Any) -> dict[str, Any]:
    """A page of objects with its meta in camelCase, whichever way the server spells it."""
    return _of_objects(a_page_of_any(answer))


def a_page_of_any(answer: Any) -> dict[str, Any]:
    """`a_page` whose rows may be anything."""
    meta = _part(answer, "meta", dict)
    camel = {
        "page": meta.get("page"),
        "limit": meta.get("limit"),
        "totalItems": meta.get("totalItems", meta.get("total_items")),
        "totalPages": meta.get("totalPages", meta.get("total_pages")),
    }
    return {"data": a_list(answer), "meta": {**meta, **camel}}


def a_page_by_cursor(answer: Any) -> dict[str, Any]:
    """A page of observations by cursor, whose input and output, which are texts there, are as other lists have them."""
    return _of_objects(a_page_of_any_by_cursor(answer))


def a_page_of_any_by_cursor(answer: Any) -> dict[str, Any]:
    """`a_page_by_cursor` whose rows may be anything."""
    meta = _part(answer, "meta", dict)
    cursor = meta.get("cursor")
    if cursor is not None and not isinstance(cursor, str):
        raise ValueError("the answer has no text at 'cursor'")
    return {"data": _with_values(a_list(answer)), "meta": {**meta, "cursor": cursor}}


def _with_values(rows: list[Any]) -> list[Any]:
    """`rows` of v2/observations, in which input and output are texts, with what other lists make of these."""
    for row in [each for each in rows if isinstance(each, dict)]:
        texts = [name for name in ("input", "output") if isinstance(row.get(name), str)]
        row.update({name: text_to_value(row[name]) for name in texts})
    return rows


def _part(answer: Any, name: str, kind: type) -> Any:
    part = an_object(answer).get(name)
    if not isinstance(part, kind):
        raise ValueError(f"the answer has no {kind.__name__} at {name!r}")
    return part


def _of_objects(page: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(row, dict) for row in page["data"]):
        raise ValueError("a page holds something else than objects")
    return page
