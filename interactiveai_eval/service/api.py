"""The endpoints, one method each: builds the request, reads the answer, nothing more.

Shapes are those of the public API with camelCase keys unless a method says otherwise; `dialects` rewrites them for the
platform. Every method may raise ApiError (the server says no, or answers what this endpoint does not answer) and
TransportError (no answer came).
"""
from __future__ import annotations

from _thread import allocate_lock

from .._clock import Clock
from .._forks import renew_locks_in_children
from .._log import debug, warn
from .._paths import SEGMENT, is_segment
from .._strict_json import JSONError, from_json, to_json
from ..errors import (
    AccessDeniedError,
    ApiError,
    ArgumentError,
    MethodNotAllowedError,
    NotFoundError,
    UnauthorizedError,
    short_repr,
)
from ..transports.base import Request, Response, send_each
from ..transports.retry_after import retry_after_seconds
from ..transports.sealed_headers import SealedHeaders
from .answers import a_list, a_page, a_page_by_cursor, a_page_of_any, a_page_of_any_by_cursor, an_object, as_it_is
from .batch_answers import read_batch_answer
from .dialects import PlatformDialect, PublicDialect, Routed
from .export_answers import read_export_answer
from .whole_traces import ALL_FIELDS, trace_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, TypeVar

    from ..config import Secret
    from ..transports.base import Transport

    T = TypeVar("T")

_ERRORS = {401: UnauthorizedError, 403: AccessDeniedError, 404: NotFoundError, 405: MethodNotAllowedError}
JSON = "application/json"
_SPANS = ("otel", "v1", "traces")
_SCORES = ("scores",)
_OF_BOTH = "limit name userId version environment filter "
_OF_OBSERVATIONS = f"{_OF_BOTH}type traceId level parentObservationId fromStartTime toStartTime "
_PARAMETERS = {
    kind: frozenset(names.split())
    for kind, names in {
        "traces": f"{_OF_BOTH}page sessionId fromTimestamp toTimestamp orderBy tags release fields",
        "observations": f"{_OF_OBSERVATIONS}page",
        "observations_by_cursor": f"{_OF_OBSERVATIONS}cursor fields expandMetadata parseIoAsJson",
        "scores": "page cursor limit name userId environment filter fields fromTimestamp toTimestamp source operator "
        "value scoreIds configId queueId sessionId datasetRunId traceId observationId dataType traceTags",
    }.items()
}


class Rejection:
    """One of many things sent together that the server refused: which, why, and whether that `may_pass`."""

    __slots__ = ("id", "may_pass", "reason")

    def __init__(self, id: str, reason: str, *, may_pass: bool = False) -> None:
        self.id = id
        self.reason = reason
        self.may_pass = may_pass


class Api:
    """Calls of one server over one transport; safe to use from many threads."""

    def __init__(
        self,
        transport: Transport,
        *,
        dialect: str = "public",
        headers: Mapping[str, Secret] | None = None,
        prefix: str = "",
        project: tuple[str, str] | None = None,
        where: str = "the server",
        spans_path: str | None = None,
        log_requests: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """`headers` go with every request, and are shown nowhere else; `prefix` is the path of the base URL; `where`
        names the server in errors; `project` skips discovery; `spans_path` takes the place of the OTLP endpoint's;
        `log_requests` logs each request's method, path and status (never headers or bodies) for debugging.
        """
        self._log_requests = log_requests
        self._clock = clock or Clock()
        self._transport = transport
        self._headers = dict(headers or {})
        self._sealed: dict[str | None, SealedHeaders] = {}  # by content type
        self._prefix = prefix
        self._where = where
        self._project = project
        self._discovering = allocate_lock()
        self._original: Api | None = None
        self._is_repeated = False
        self._deadline: Callable[[], float | None] = _none
        self._renews_lock = False
        self._spans_path = spans_path or PublicDialect().route("POST", _SPANS).path
        self._dialect = PublicDialect() if dialect == "public" else PlatformDialect(self._discover)

    def used_by(self, deadline: Callable[[], float | None], *, repeats: bool = False) -> Api:
        """The same server, for a user who wants no answer after `deadline()`, and who `repeats` requests if need be."""
        view = Api.__new__(Api)
        view.__dict__.update(self.__dict__)
        view._original, view._deadline, view._is_repeated = self._original or self, deadline, repeats
        if isinstance(self._dialect, PlatformDialect):  # to find the project takes a request, which is the view's own
            view._dialect = PlatformDialect(view._discover)
        return view

    # -- projects --------------------------------------------------------------------------------------------------

    def projects(self) -> list[dict[str, Any]]:
        """The projects that the keys belong to: [{"id", "name", "orgId", ...}]."""
        found = self._json("GET", ("projects",), shape=a_list)
        return [row for row in found if isinstance(row, dict)]

    def project_id(self) -> str:
        """The id of the project, from the settings or from the server."""
        return self._discover()[1]

    def _discover(self) -> tuple[str, str]:
        """(organisation id, project id), asked for once however many threads need it."""
        home = self._original or self
        if home._project is not None:
            return home._project
        if not home._renews_lock:
            home._renews_lock = True
            renew_locks_in_children(home, "_discovering")
        with home._discovering:
            if home._project is None:
                found = self.projects()
                if len(found) != 1 or not found[0].get("id"):
                    reached = f"these keys reach {len(found)} projects; pass project=(organisation id, project id)"
                    raise ApiError(f"{self._where}: {reached}", status_code=200, body=found)
                organization = found[0].get("organization")
                other_place = organization.get("id") if isinstance(organization, dict) else None
                place = str(found[0].get("orgId") or other_place or ""), str(found[0]["id"])
                in_paths = place if isinstance(home._dialect, PlatformDialect) or place[0] else place[1:]
                if not all(map(is_segment, in_paths)):
                    reached = f"names the project {place!r}, which no path can hold; pass project="
                    raise ApiError(f"{self._where}: {reached}", status_code=200, body=found)
                home._project = place
            return home._project

    # -- data sets -------------------------------------------------------------------------------------------------

    def create_dataset(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create or update (by name) a data set: {"id", "name", "description", "metadata", ...}."""
        return self._json("POST", ("v2", "datasets"), body=body, shape=an_object)

    def datasets(self, *, page: int, limit: int) -> dict[str, Any]:
        """One page of data sets, newest first."""
        return self._json("GET", ("v2", "datasets"), [("page", str(page)), ("limit", str(limit))], shape=a_page)

    def dataset(self, name: str) -> dict[str, Any]:
        """The data set of that name. NotFoundError when there is none."""
        return self._json("GET", ("v2", "datasets", name), shape=an_object)

    def create_dataset_item(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create or update (by id) an item of a data set; fields that are left out keep their old values."""
        return self._json("POST", ("dataset-items",), body=body, shape=an_object)

    def dataset_items(self, dataset_name: str, *, page: int, limit: int, archived: bool = False) -> dict[str, Any]:
        """One page of items: {"data": [...], "meta": {"page", "limit", "totalItems", "totalPages"}}.

        `archived` asks the embedded store for archived items too; other servers ignore the parameter.
        """
        query = [("datasetName", dataset_name), ("page", str(page)), ("limit", str(limit))]
        if archived:
            query.append(("includeArchived", "true"))
        return self._json("GET", ("dataset-items",), query, shape=a_page)

    def dataset_runs(self, dataset_name: str, *, page: int | None, limit: int | None) -> dict[str, Any]:
        """One page of the runs of a data set, newest first."""
        query = [(name, str(value)) for name, value in (("page", page), ("limit", limit)) if value is not None]
        return self._json("GET", ("datasets", dataset_name, "runs"), query, shape=a_page)

    def dataset_run(self, dataset_name: str, run_name: str) -> dict[str, Any]:
        """One run; a public server puts its items into "datasetRunItems"."""
        return self._json("GET", ("datasets", dataset_name, "runs", run_name), shape=an_object)

    def delete_dataset_run(self, dataset_name: str, run_name: str) -> dict[str, Any]:
        """Delete a run and its items: {"message"}."""
        return self._json("DELETE", ("datasets", dataset_name, "runs", run_name), shape=an_object)

    def dataset_run_items(
        self, dataset_id: str, dataset_name: str, run_name: str, *, page: int, limit: int
    ) -> dict[str, Any]:
        """One page of what a run consists of; public servers look at the data set's id, the platform at its name."""
        query = [
            ("datasetId", dataset_id),
            ("datasetName", dataset_name),
            ("runName", run_name),
            ("page", str(page)),
            ("limit", str(limit)),
        ]
        return self._json("GET", ("dataset-run-items",), query, shape=a_page)

    def create_dataset_run_item(self, body: Mapping[str, Any]) -> str:
        """Link an item to a trace in a run, which is made on first use; the id of that run."""
        answer = self._json("POST", ("dataset-run-items",), body=body, shape=an_object)
        run_id = answer.get("datasetRunId") or answer.get("dataset_run_id")
        if not isinstance(run_id, str):
            raise ApiError(f"{self._where} linked an item but names no run", status_code=200, body=answer)
        return run_id

    # -- reading ---------------------------------------------------------------------------------------------------

    def traces(self, *, any_rows: bool = False, **query: Any) -> dict[str, Any]:
        """One page of traces; parameters as the server names them: page, limit, orderBy, filter, tags, ...

        A filter is the array form as JSON text, or any other notation that `run_batched_evaluation` takes.
        Others raise ArgumentError, here and in the lists below: servers ignore them and give more than was meant.
        Rows that are no objects make it an ApiError unless there may be `any_rows`.
        """
        shape = a_page_of_any if any_rows else a_page
        return self._json("GET", ("traces",), _query(_known("traces", query)), shape=shape)

    def trace(self, trace_id: str) -> dict[str, Any]:
        """One trace with its observations and scores; on servers without this endpoint, put together from those."""
        try:
            return self._json("GET", ("traces", _given_id("trace_id", trace_id)), shape=an_object)
        except ApiError as error:
            if not _is_without(error):
                raise
            named: dict[str, Any] = {"traceId": trace_id, "limit": 100}
            rows = _all(lambda cursor: self.observations_by_cursor(**named, fields=ALL_FIELDS, cursor=cursor))
            if not rows:
                message = f"GET traces/{trace_id} on {self._where}: there are no observations of it"
                raise NotFoundError(message, status_code=404, body=error.body) from None
            return trace_of(trace_id, rows, _all(lambda cursor: self.scores(**named, cursor=cursor)))

    def observations(self, *, any_rows: bool = False, **query: Any) -> dict[str, Any]:
        """One page of observations; parameters as the server names them."""
        shape = a_page_of_any if any_rows else a_page
        return self._json("GET", ("observations",), _query(_known("observations", query)), shape=shape)

    def observations_by_cursor(self, *, any_rows: bool = False, **query: Any) -> dict[str, Any]:
        """Up to `limit` observations, newest first, after those that `cursor` stands for: {"data", "meta"}.

        `meta["cursor"]` leads to the next page and is None on the last one. Other parameters as the server names them.
        Input and output, which are texts there, become what other lists make of them.
        """
        shape = a_page_of_any_by_cursor if any_rows else a_page_by_cursor
        return self._json("GET", ("v2", "observations"), _query(_known("observations_by_cursor", query)), shape=shape)

    def observation(self, observation_id: str) -> dict[str, Any]:
        """One observation; `lists.find` finds it where there is no such endpoint, too."""
        return self._json("GET", ("observations", _given_id("observation_id", observation_id)), shape=an_object)

    def scores(self, **query: Any) -> dict[str, Any]:
        """One page of scores; parameters as the server names them.

        A server that pages by cursor has no totals: `meta["cursor"]` leads on, and `page` there cannot be beyond 1.
        """
        query = _known("scores", query)
        if query.get("cursor") is None:
            try:
                return self._json("GET", ("v2", "scores"), _query(query), shape=a_page)
            except ApiError as error:
                if not _is_without(error) or query.get("page") not in (None, 1):
                    raise
        query.pop("page", None)
        return self._json("GET", ("v3", "scores"), _query(query), shape=a_page)

    # -- delivering ------------------------------------------------------------------------------------------------

    @property
    def batches_scores(self) -> bool:
        """Whether many scores go out in one request."""
        return self._dialect.batches_scores

    def send_scores(self, bodies: Sequence[Mapping[str, Any]]) -> list[Rejection]:
        """Deliver scores (`service.scores.score_body`) and return those that were refused.

        On a server that takes batches this is one request; else one a score, and an error leaves the rest unsent.
        """
        if not self._dialect.batches_scores:
            return [refused for refused in map(self._send_score, bodies) if refused is not None]
        events = [
            {"id": body["id"], "timestamp": body["timestamp"], "type": "score-create", "body": body} for body in bodies
        ]
        return self.send_events(events)

    def send_events(self, events: Sequence[Mapping[str, Any]]) -> list[Rejection]:
        """Deliver ingestion events ({"id", "timestamp", "type", "body"}) and return those that were refused."""
        answer = self._json("POST", ("ingestion",), body={"batch": list(events)}, shape=as_it_is, acknowledges=True)
        try:
            refused, nameless = read_batch_answer(answer, [event["id"] for event in events])
        except ValueError as problem:
            raise ApiError(f"POST ingestion on {self._where}: {problem}", status_code=207, body=answer) from None
        named = [Rejection(id, told_in(row), may_pass=_is_busy(row.get("status"))) for id, row in refused.items()]
        return named + [Rejection("", told_in(row)) for row in nameless]

    def _send_score(self, body: Mapping[str, Any]) -> Rejection | None:
        routed = self._dialect.route("POST", _SCORES, (), body)
        return self._score_verdict(body, routed, self._exchange(self._request("POST", routed)))

    def _score_verdict(self, body: Mapping[str, Any], routed: Routed, response: Response) -> Rejection | None:
        try:
            answer = self._answer("POST", _SCORES, routed, response, an_object, acknowledges=True)
        except ApiError as error:
            if error.status_code == 409:
                return self._read_back(body, error)
            # A page instead of JSON: no score is meant, there is no such service at this place.
            if error.status_code != 404 or not isinstance(error.body, dict):
                raise
            return Rejection(body["id"], str(error))
        echoed = answer.get("id", body["id"])
        if echoed != body["id"]:
            raise ApiError(
                f"POST scores on {self._where}: score {body['id']} was sent, the answer is about {echoed!r}",
                status_code=200,
                body=answer,
            )
        return None

    def _read_back(self, body: Mapping[str, Any], conflict: ApiError) -> Rejection | None:
        """A score that was in the way of the same one, sent again, has arrived."""
        try:
            stored = self._json("GET", ("v2", "scores", body["id"]), shape=an_object)
        except ApiError:
            raise conflict from None
        values = (stored.get("value"), stored.get("stringValue"))
        same = all(stored.get(name) == body.get(name) for name in ("name", "traceId", "observationId"))
        if same and body["value"] in values:
            return None
        return Rejection(body["id"], f"{conflict}; another score has its id")

    def send_each_score(
        self, bodies: Iterable[Mapping[str, Any]]
    ) -> Iterator[tuple[Mapping[str, Any], Rejection | Exception | None]]:
        """Each score with what became of it, as the answers come; one request a score, bodies are pulled lazily.

        Transports that can have several of them under way at once. Raises what keeps all of them from being sent.
        """
        # What all of them have in common; before anything is under way, as the project may have to be asked for.
        routed = self._dialect.route("POST", _SCORES)
        path, headers, encoded = self._prefix + routed.path, self._headers_of(JSON), self._dialect.encoded
        asked: dict[int, Mapping[str, Any]] = {}

        def requests() -> Iterator[Request]:
            for body in bodies:
                request = Request("POST", path, headers=headers, body=encoded(body), deadline=self._deadline())
                asked[id(request)] = body
                yield request

        for request, answer in send_each(self._transport, requests()):
            body = asked.pop(id(request))
            if not isinstance(answer, Response):
                yield body, answer
                continue
            self._note(request, answer)
            try:
                verdict: Rejection | Exception | None = self._score_verdict(body, routed, answer)
            except ApiError as error:
                verdict = error
            yield body, verdict

    def send_links(
        self, bodies: Sequence[Mapping[str, Any]], linked: Callable[[Mapping[str, Any], str], None] | None = None
    ) -> list[Rejection]:
        """Link items to traces, one request each; like `send_scores`. `linked` is told the run of each."""
        for body in bodies:
            run_id = self.create_dataset_run_item(body)
            if linked is not None:
                linked(body, run_id)
        return []

    def send_spans(self, export: bytes, content_type: str, count: int) -> list[Rejection]:
        """Deliver an encoded OTLP export of `count` spans; those that were refused, without ids: it says how many."""
        path = self._prefix + self._spans_path
        request = Request(
            "POST", path, headers=self._headers_of(content_type), body=export, deadline=self._deadline()
        )
        response = self._exchange(request)
        if not 200 <= response.status < 300:
            raise self._error(response, "POST", "/".join(_SPANS))
        try:
            refused, message = read_export_answer(response.body)
        except ValueError as problem:
            raise ApiError(
                f"POST {'/'.join(_SPANS)} on {self._where}: {problem}, not an answer of this service: "
                + short_repr(response.body[:80]),
                status_code=response.status,
                body=response.body[:1000],
            ) from None
        if message and not refused:
            warn(f"{self._where} took all spans and says: {short_repr(message, 300)}")
        return [Rejection("", message or "refused")] * min(refused, count)

    # -- plumbing --------------------------------------------------------------------------------------------------

    def _json(
        self,
        method: str,
        segments: Sequence[str],
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        *,
        shape: Callable[[Any], T],
        acknowledges: bool = False,
    ) -> T:
        """The answer in public form and in `shape`. One that only `acknowledges` may be empty or any object at all."""
        routed = self._dialect.route(method, segments, query, body)
        response = self._exchange(self._request(method, routed))
        return self._answer(method, segments, routed, response, shape, acknowledges=acknowledges)

    def _answer(
        self,
        method: str,
        segments: Sequence[str],
        routed: Routed,
        response: Response,
        shape: Callable[[Any], T],
        *,
        acknowledges: bool,
    ) -> T:
        operation = "/".join(segments)
        if not 200 <= response.status < 300:
            raise self._error(response, method, operation)
        try:
            answer = from_json(response.body or b"{}") if acknowledges else from_json(response.body)
            wrapped = not acknowledges or (not isinstance(answer, list) and "data" in an_object(answer))
            if wrapped and routed.unwrap is not None:
                answer = routed.unwrap(answer)
            return shape(answer)
        except (ValueError, KeyError, TypeError, IndexError) as problem:
            raise ApiError(
                f"{method} {operation} on {self._where}: not an answer of this service ({problem}): "
                + short_repr(response.body[:80]),
                status_code=response.status,
                body=response.body[:1000],
            ) from None

    def _request(self, method: str, routed: Routed) -> Request:
        has_body = routed.body is not None
        return Request(
            method,
            self._prefix + routed.path,
            query=tuple(routed.query),
            headers=self._headers_of(JSON if has_body else None),
            body=to_json(routed.body).encode("ascii") if has_body else b"",
            deadline=self._deadline(),
            is_repeated=self._is_repeated,
        )

    def _exchange(self, request: Request) -> Response:
        response = self._transport.send(request)
        self._note(request, response)
        return response

    def _note(self, request: Request, response: Response) -> None:
        if self._log_requests:
            debug(f"{request.method} {request.path} on {self._where}: {response.status}, {len(response.body)} bytes")

    def _headers_of(self, content_type: str | None) -> SealedHeaders:
        found = self._sealed.get(content_type)
        if found is None:
            own = {} if content_type is None else {"content-type": content_type}
            found = self._sealed[content_type] = SealedHeaders({**self._headers, **own})
        return found

    def _error(self, response: Response, method: str, operation: str) -> ApiError:
        try:
            body = from_json(response.body)
        except JSONError:
            body = response.body[:1000].decode("utf-8", "replace")
        told = short_repr(told_in(body), 300)
        if isinstance(body, str) and _is_page(body):
            fits = f": this server does not offer {method} /{operation}"
            told = "an HTML page" + (fits if response.status == 404 else ", not an answer of this service")
        kind = _ERRORS.get(response.status, ApiError)
        error = kind(
            f"{method} {operation} on {self._where} was answered {response.status}: {told}",
            status_code=response.status,
            body=body,
            retry_after_seconds=retry_after_seconds(response.headers, self._clock.time_ns()),
        )
        if response.status == 401:
            key = self._headers.get("x-interactiveai-public-key")
            error.args = (f"{error}; are these its keys? The public key is {key.reveal() if key else 'not given'}",)
        if _is_without(error):
            error.args = (f"{error}; what this server has instead are observations (by cursor) and scores",)
        return error


def _none() -> None:
    """No deadline."""


def _all(page_at: Callable[[str | None], dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows of a list that pages by cursor."""
    from .crowd import EMPTY_PAGES

    rows: list[dict[str, Any]] = []
    cursors: set[str | None] = {None}
    cursor, empty_pages = None, 0
    while True:
        page = page_at(cursor)
        rows += page["data"]
        empty_pages = 0 if page["data"] else empty_pages + 1
        cursor = page["meta"].get("cursor")
        # The last page has none; one that leads back would lead round for ever, and so would pages without rows.
        if cursor in cursors or empty_pages > EMPTY_PAGES:
            return rows
        cursors.add(cursor)


def _is_page(text: str) -> bool:
    """Whether a body is what a web server shows to people."""
    return text.lstrip("\ufeff \t\r\n")[:14].lower().startswith(("<!doctype html", "<html"))


def _is_without(error: ApiError) -> bool:
    """Whether the server says that it does not have this endpoint, because of the way in which it stores traces."""
    return error.status_code == 404 and isinstance(error.body, dict) and "events_only" in told_in(error.body)


def _is_busy(status: Any) -> bool:
    """Whether an event with this status may be taken at another time."""
    return type(status) is int and status >= 400 and status != 409 and ApiError("", status_code=status).retryable


def told_in(body: Any) -> str:
    """What the body of a refusal says, with the places it names: `Invalid request data: limit: too large`."""
    if not isinstance(body, dict):
        return str(body)
    told = [body.get("message")]
    details = body.get("error", body.get("errors"))
    for detail in details if isinstance(details, list) else [details]:
        if isinstance(detail, dict):
            path = ".".join(map(str, detail["path"])) if isinstance(detail.get("path"), list) else ""
            detail = f"{path}: {detail.get('message')}" if path else detail.get("message")
        told.append(detail)
    return ": ".join([part for part in told if isinstance(part, str) and part]) or "refused"


def _known(kind: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """The query of a list, whose parameters are all ones that servers know; a filter becomes the text they take."""
    for name, value in query.items():
        if name not in _PARAMETERS[kind]:
            fix = f"is no parameter of {kind}; there are {', '.join(sorted(_PARAMETERS[kind]))}"
            raise ArgumentError(name, value, fix)
    filter = query.get("filter")
    if filter is None or (isinstance(filter, str) and filter.lstrip()[:1] != "{"):
        return dict(query)
    if kind == "scores":  # whose columns we have no list of
        return {**query, "filter": filter if isinstance(filter, str) else to_json(filter)}
    from .filters import read_filter

    return {**query, "filter": to_json(read_filter(kind.partition("_")[0], filter))}


def _given_id(name: str, id: Any) -> str:
    """An id that names one thing: with an empty one, or with None, servers are asked for another."""
    if not is_segment(id):
        raise ArgumentError(name, id, f"must be an id, {SEGMENT}")
    return id  # type: ignore[no-any-return]


def _query(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Decoded query pairs: None left out, sequences repeated."""
    pairs: list[tuple[str, str]] = []
    for name, value in given.items():
        if value is not None:
            pairs += [(name, str(each)) for each in (value if isinstance(value, (list, tuple)) else (value,))]
    return pairs
