"""Which handler answers which request, in both dialects: the dialect is names and an envelope around one answer.

Source: WIRE.md sections 2.1 to 2.6 ("platform": snake_case, `{"data": ...}`) and 9.2 ("public": camelCase, bare).
"""
from __future__ import annotations

import re

from ..base import Request, Response
from . import by_cursor, datasets, ingestion, observations, scores, traces
from .exchange import ORGANIZATION_ID, PROJECT_ID, Answer, Call, Page, Refusal, path_name
from .wire_values import camel_case, encode, snake_case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .exchange import Store

_PUBLIC = "/api/public/"
_PLATFORM = re.compile(r"/api/platform/v1/organizations/[^/]+/projects/[^/]+/").match
_MEBIBYTE = 2**20


def largest_body(path: str, unlimited: int = 2**62) -> tuple[int, str]:
    """(bytes, the same for humans) of the largest body that is taken at `path`, by the end of it."""
    if path.endswith("/otel/v1/traces"):
        return unlimited, f"{unlimited // _MEBIBYTE}mb"
    return (4_718_592, "4.5mb") if path.endswith(("/ingestion", "/dataset-items")) else (_MEBIBYTE, "1mb")


def _projects(call: Call) -> dict[str, Any]:
    organization = {"id": ORGANIZATION_ID, "name": "local"}
    project = {"id": PROJECT_ID, "name": "local", "orgId": ORGANIZATION_ID, "organization": organization}
    return {"data": [{**project, "metadata": {}}]}


def _health(call: Call) -> dict[str, Any]:
    return {"status": "OK", "version": "local"}


# (path in the public dialect, path in the platform dialect, name in its envelope, handlers); * stands for one name
_ROUTES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("otel/v1/traces", "", "", {"POST": ingestion.receive_spans}),
    ("ingestion", "", "", {"POST": ingestion.receive_events}),
    ("scores", "scores", "score", {"GET": scores.list_scores, "POST": scores.post_score}),
    ("scores/*", "scores/*", "score", {"GET": scores.get_score, "DELETE": scores.delete_score}),
    ("dataset-run-items", "dataset-run-items", "run_item",
     {"GET": datasets.list_run_items, "POST": datasets.put_run_item}),
    ("traces", "", "", {"GET": traces.list_traces, "POST": ingestion.receive_one}),
    ("spans", "", "", {"POST": ingestion.receive_one, "PATCH": ingestion.receive_one}),
    ("generations", "", "", {"POST": ingestion.receive_one, "PATCH": ingestion.receive_one}),
    ("events", "", "", {"POST": ingestion.receive_one}),
    ("sessions", "", "", {"GET": traces.list_sessions}),
    ("sessions/*", "", "", {"GET": traces.get_session}),
    ("traces/*", "", "", {"GET": traces.get_trace}),
    ("observations", "", "", {"GET": observations.list_observations}),
    ("observations/*", "", "", {"GET": observations.get_observation}),
    ("v2/observations", "", "", {"GET": by_cursor.list_observations}),
    ("v2/scores", "", "", {"GET": scores.list_scores_v2}),
    ("v2/scores/*", "", "", {"GET": scores.get_score}),
    ("v3/scores", "", "", {"GET": by_cursor.list_scores}),
    ("experiments", "", "", {"GET": by_cursor.list_experiments}),
    ("experiment-items", "", "", {"GET": by_cursor.list_experiment_items}),
    ("v2/datasets", "datasets", "dataset", {"GET": datasets.list_datasets, "POST": datasets.put_dataset}),
    ("v2/datasets/*", "datasets/*", "dataset", {"GET": datasets.get_dataset}),
    ("datasets/*/runs", "datasets/*/runs", "run", {"GET": datasets.list_runs}),
    ("datasets/*/runs/*", "datasets/*/runs/*", "run", {"GET": datasets.get_run, "DELETE": datasets.delete_run}),
    ("dataset-items", "dataset-items", "item", {"GET": datasets.list_items, "POST": datasets.put_item}),
    ("dataset-items/*", "dataset-items/*", "item", {"GET": datasets.get_item, "DELETE": datasets.delete_item}),
    ("projects", "", "", {"GET": _projects}),
    ("health", "", "", {"GET": _health}),
)  # fmt: skip
_PUBLIC_ROUTES = {public: (name, handlers) for public, _, name, handlers in _ROUTES}
_PLATFORM_ROUTES = {platform: (name, handlers) for _, platform, name, handlers in _ROUTES if platform}
_NOT_FOUND = (
    "<!DOCTYPE html><html><head><title>404: This page could not be found</title></head>"
    "<body><h1>404</h1><h2>This page could not be found.</h2></body></html>"
)


def answer(store: Store, request: Request) -> Response:
    """The response to `request`. Raises StoreError when the database fails or holds what no store writes."""
    try:
        return _answer(store, request)
    except Refusal as refusal:
        return _response(refusal.status, refusal.body)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # SQLite keeps a text in a column of integers, and SQL of others may have put one there. So that lists of
        # sound values cost nothing more, the search for it begins when something did not work.
        damage = store.database.damage()
        if damage is None:
            raise
        raise damage from error


def _answer(store: Store, request: Request) -> Response:
    path, platform = request.path, None
    if path.startswith(_PUBLIC):
        path, routes = path[len(_PUBLIC) :], _PUBLIC_ROUTES
    elif path == "/api/platform/v1/projects":
        path, routes = "projects", _PUBLIC_ROUTES
    else:
        platform = _PLATFORM(path)
        if platform is None:
            raise Refusal(404, _NOT_FOUND)
        path, routes = path[platform.end() :], _PLATFORM_ROUTES
    pattern, names = _matched(path, routes)
    if pattern is None:
        raise Refusal(404, _NOT_FOUND)
    name, handlers = routes[pattern]
    handler = handlers.get(request.method)
    if handler is None:
        raise Refusal(405, {"message": "Method not allowed", "error": "MethodNotAllowedError"})
    largest, shown = largest_body(request.path)
    if len(request.body) > largest:
        raise Refusal(413, f"Body exceeded {shown} limit")
    found = handler(Call(store, request, names, camel_case if platform else None))
    if isinstance(found, Answer):
        return _response(found.status, found.body)
    if platform:
        return _response(201 if request.method == "POST" else 200, {"data": _enveloped(name, found)})
    return _response(200, {"data": found.data, "meta": found.meta} if isinstance(found, Page) else found)


def _matched(path: str, routes: dict[str, Any]) -> tuple[str | None, list[str]]:
    """The pattern of `routes` that fits, and the decoded names in the path."""
    if path in routes and "*" not in path:
        return path, []
    segments = path.split("/")
    for pattern in routes:
        parts = pattern.split("/")
        if len(parts) == len(segments) and all(
            segment if part == "*" else part == segment for part, segment in zip(parts, segments)
        ):
            return pattern, [_decoded(segment) for part, segment in zip(parts, segments) if part == "*"]
    return None, []


def _decoded(segment: str) -> str:
    """A path segment without its percent signs. Refuses what is no UTF-8, and names that mean a folder."""
    try:
        encoded = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), segment.encode())
        return path_name(encoded.decode(), "path")
    except UnicodeError:
        raise Refusal(400, "Bad Request") from None


def _enveloped(name: str, found: Any) -> Any:
    """What stands below `data` in the platform dialect; a lone id or message stands there bare."""
    if isinstance(found, Page):
        return {f"{name}s": [_snaked(each) for each in found.data], "meta": _snaked(found.meta)}
    return {name: _snaked(found)} if len(found) > 1 else found


def _snaked(found: dict[str, Any]) -> dict[str, Any]:
    """`found` with its own keys in snake_case; what lies below is the users'."""
    return {snake_case(key): value for key, value in found.items()}


def _response(status: int, body: Any) -> Response:
    kind = "application/json"
    if type(body) is str:
        kind = "text/html" if body is _NOT_FOUND else "text/plain"
    text = body if type(body) is str else encode(body)
    return Response(status, headers={"content-type": f"{kind}; charset=utf-8"}, body=text.encode("utf-8", "replace"))
