"""One request while it is answered: its query, its body, and the ways to say no."""
from __future__ import annotations

from collections import namedtuple

from ..._strict_json import JSONError, from_json, to_plain, well_formed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Protocol

    from ..._ids import Ids
    from ..base import Request
    from .database import Database
    from .totals import Totals

    class Store(Protocol):
        """What handlers work with; a `LocalTransport`."""

        database: Database
        ids: Ids
        totals: Totals
        now_ns: Callable[[], int]


ORGANIZATION_ID = "local-organization"
PROJECT_ID = "local-project"


class Refusal(Exception):
    """The request is answered with this status and body (a JSON object, or plain text)."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def invalid(message: str, *path: str | int, code: str = "custom") -> Refusal:
    """400 for a request whose field at `path` is wrong."""
    return Refusal(
        400, {"message": "Invalid request data", "error": [{"code": code, "path": list(path), "message": message}]}
    )


def missing(what: str) -> Refusal:
    """404 for a thing that is not there."""
    return Refusal(404, {"message": f"{what} not found", "error": "LangfuseNotFoundError"})


# An answer whose status is not the usual one; it stands as it is in both dialects.
Answer = namedtuple("Answer", "status body")


class Page:
    """One page of a list."""

    def __init__(self, data: list[dict[str, Any]], *, page: int, limit: int, total: int) -> None:
        self.data = data
        self.meta = {"page": page, "limit": limit, "totalItems": total, "totalPages": -(-total // limit)}


class Call:
    """A routed request; `names` are the decoded names in its path, all keys are camelCase whatever the dialect."""

    def __init__(
        self, store: Store, request: Request, names: Sequence[str], rename: Callable[[str], str] | None = None
    ) -> None:
        self.store = store
        self.request = request
        self.names = names
        self.platform = rename is not None
        self._rename = rename
        self.query: dict[str, list[str]] = {}
        for name, value in request.query:
            self.query.setdefault(rename(name) if rename else name, []).append(well_formed(value))

    def one(self, name: str) -> str | None:
        """The query parameter `name`, None where it is absent. Refuses a parameter that is given twice."""
        values = self.query.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise invalid("Invalid input: expected string, received array", name, code="invalid_type")
        return values[0]

    def many(self, name: str) -> list[str] | None:
        """The values of a parameter that may repeat or hold a list with commas; None where it is absent."""
        values = self.query.get(name)
        return values[0].split(",") if values and len(values) == 1 else values

    def page_and_limit(self) -> tuple[int, int]:
        """The checked `page` (from 1) and `limit` (1 to 100, 50 by default)."""
        return self.number("page", 1, 2**53), self.number("limit", 50, 100)

    def number(self, name: str, default: int, largest: int) -> int:
        """The whole number from 1 to `largest` in a parameter; `default` where it is absent or empty."""
        text = self.one(name)
        if not text:
            return default
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
        if not 1 <= number <= largest:
            raise invalid(f"Invalid input: expected a whole number from 1 to {largest}", name, code="invalid_type")
        return number

    def body(self) -> Any:
        """The JSON body. Refuses what is no JSON."""
        try:
            value = from_json(self.request.body)
        except JSONError:
            raise Refusal(400, "Invalid JSON") from None
        if b"\\ud" in self.request.body or b"\\uD" in self.request.body:
            value = to_plain(value)  # halves of surrogate pairs have no place in a database
        return value

    def fields(self) -> dict[str, Any]:
        """The JSON body, which must be an object."""
        return self.as_fields(self.body())

    def as_fields(self, value: Any) -> dict[str, Any]:
        """`value`, which must be an object, with camelCase keys."""
        if type(value) is not dict:
            raise invalid("Invalid input: expected object", code="invalid_type")
        return {self._rename(key): each for key, each in value.items()} if self._rename else value


def text_field(fields: Mapping[str, Any], name: str, *, needed: bool = False) -> str | None:
    """The text `fields[name]`; None for a missing or null one. Refuses other types, and empty texts where needed."""
    value = fields.get(name)
    if value is None and not needed:
        return None
    if type(value) is not str or (needed and not value):
        raise invalid("Invalid input: expected string", name, code="invalid_type")
    return value


def path_name(name: str | None, field: str) -> str:
    """`name`, where it can stand in a path."""
    if not name or name in (".", ".."):
        raise invalid("Invalid input: names are not empty and neither '.' nor '..'", field)
    return name
