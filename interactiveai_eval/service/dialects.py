"""Two ways to say the same request: "public" as it stands, "platform" as the InteractiveAI platform routes it.

`Api` always speaks public. The platform dialect is a table of rewritten paths, snake_case bodies and unwrapped
answers (WIRE.md section 2.1); what is not in the table goes out unchanged.
"""
from __future__ import annotations

from .._paths import percent_encoded
from .._strict_json import fields_to_json, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

PUBLIC_PREFIX = "/api/public"



class Routed:
    """How a request goes out, and how its answer comes back in public form."""

    __slots__ = ("body", "path", "query", "unwrap")

    def __init__(
        self,
        path: str,
        query: Sequence[tuple[str, str]],
        body: Mapping[str, Any] | None,
        unwrap: Callable[[Any], Any] | None = None,
    ) -> None:
        self.path = path
        self.query = query
        self.body = body
        self.unwrap = unwrap


class PublicDialect:
    """Requests as they are: /api/public/..., camelCase. Scores go in batches."""

    batches_scores = True

    def route(
        self,
        method: str,
        segments: Sequence[str],
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
    ) -> Routed:
        """The request for the endpoint named by `segments` (decoded, without the prefix)."""
        return Routed("/".join([PUBLIC_PREFIX, *map(percent_encoded, segments)]), query, body)

    def body_of(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a routed request has as its body."""
        return body

    def encoded(self, body: Mapping[str, Any]) -> bytes:
        """`body_of` as JSON."""
        return to_json(body).encode("ascii")


class PlatformDialect(PublicDialect):
    """Requests as the platform takes them; `find_project` tells (organisation id, project id) once it is needed."""

    batches_scores = False

    def __init__(self, find_project: Callable[[], tuple[str, str]]) -> None:
        self._find_project = find_project
        self._known_base = ("", ""), ""

    def route(
        self,
        method: str,
        segments: Sequence[str],
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
    ) -> Routed:
        if list(segments) == ["projects"]:
            return Routed("/api/platform/v1/projects", query, body)
        for pattern, target, wrapper in _ROUTES_BY_METHOD.get((method, segments[0], len(segments)), ()):
            names = _match(pattern, segments)
            if names is None:
                continue
            parts = [percent_encoded(names.pop(0)) if part == "*" else part for part in target]
            return Routed(
                "/".join([self._base(), *parts]),
                [(snake_case(name), value) for name, value in query],
                None if body is None else self.body_of(body),
                wrapper,
            )
        return super().route(method, segments, query, body)

    def body_of(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {snake_case(name): value for name, value in body.items()}

    def encoded(self, body: Mapping[str, Any]) -> bytes:
        return fields_to_json(body, _key_texts).encode("ascii")

    def _base(self) -> str:
        organization, project = self._find_project()
        if self._known_base[0] != (organization, project):
            path = f"/api/platform/v1/organizations/{percent_encoded(organization)}/projects/{percent_encoded(project)}"
            self._known_base = (organization, project), path
        return self._known_base[1]


def _match(pattern: Sequence[str], segments: Sequence[str]) -> list[str] | None:
    if len(pattern) != len(segments):
        return None
    if any(part not in ("*", segment) for part, segment in zip(pattern, segments)):
        return None
    return [segment for part, segment in zip(pattern, segments) if part == "*"]


def snake_case(name: str) -> str:
    """`datasetName` as `dataset_name`."""
    found = _snaked.get(name)
    if found is None:
        found = "".join([f"_{letter.lower()}" if letter.isupper() else letter for letter in name])
        if len(_snaked) < _SNAKED_KEPT:
            _snaked[name] = found
    return found


_snaked: dict[str, str] = {}  # names of fields: there are few, and each comes again and again
_SNAKED_KEPT = 500


class _KeyTexts(dict[str, str]):
    """Names of fields as they begin a field in JSON."""

    def __missing__(self, name: str) -> str:
        text = f"{to_json(snake_case(name))}: "
        if len(self) < _SNAKED_KEPT:
            self[name] = text
        return text


_key_texts = _KeyTexts()


def _one(name: str) -> Callable[[Any], Any]:
    return lambda answer: answer["data"][name]


def _many(name: str) -> Callable[[Any], Any]:
    return lambda answer: {"data": answer["data"][name], "meta": answer["data"]["meta"]}


def _whole(answer: Any) -> Any:
    return answer["data"]


_ROUTES: tuple[tuple[str, tuple[str, ...], tuple[str, ...], Callable[[Any], Any]], ...] = (
    ("GET", ("v2", "datasets"), ("datasets",), _many("datasets")),
    ("POST", ("v2", "datasets"), ("datasets",), _one("dataset")),
    ("GET", ("v2", "datasets", "*"), ("datasets", "*"), _one("dataset")),
    ("GET", ("datasets", "*", "runs"), ("datasets", "*", "runs"), _many("runs")),
    ("GET", ("datasets", "*", "runs", "*"), ("datasets", "*", "runs", "*"), _one("run")),
    ("DELETE", ("datasets", "*", "runs", "*"), ("datasets", "*", "runs", "*"), _whole),
    ("GET", ("dataset-items",), ("dataset-items",), _many("items")),
    ("POST", ("dataset-items",), ("dataset-items",), _one("item")),
    ("GET", ("dataset-items", "*"), ("dataset-items", "*"), _one("item")),
    ("DELETE", ("dataset-items", "*"), ("dataset-items", "*"), _whole),
    ("GET", ("dataset-run-items",), ("dataset-run-items",), _many("run_items")),
    ("POST", ("dataset-run-items",), ("dataset-run-items",), _one("run_item")),
    ("POST", ("scores",), ("scores",), _whole),
    ("DELETE", ("scores", "*"), ("scores", "*"), _whole),
)
_ROUTES_BY_METHOD: dict[tuple[str, str, int], list[tuple[tuple[str, ...], tuple[str, ...], Callable[[Any], Any]]]] = {}
for _method, _pattern, _target, _wrapper in _ROUTES:
    _ROUTES_BY_METHOD.setdefault((_method, _pattern[0], len(_pattern)), []).append((_pattern, _target, _wrapper))
