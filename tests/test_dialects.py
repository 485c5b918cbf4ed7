"""Servers of both dialects and of both ways to store traces: what is there works, what is not is a clear error."""
from __future__ import annotations

import json

import pytest

from interactiveai_eval import ApiError, FakeTransport, Interactive, NotFoundError, Response, TransportError
from interactiveai_eval.transports.base import Request, Transport
from interactiveai_eval.transports.local import LocalTransport

P = "/api/platform/v1/organizations/org/projects/proj"


class EventsOnly(Transport):
    """A store in the write mode that new servers have (WIRE.md section 9.1): no traces, lists by cursor."""

    ABSENT = ("traces", "observations", "sessions", "scores", "v2/scores", "datasets", "dataset-run-items")

    def __init__(self):
        self.inner = LocalTransport()
        self.requests = []

    def send(self, request):
        self.requests.append(request)
        path = request.path[len("/api/public/") :]
        if path == "v3/scores":
            return self.scores(request)
        if request.method == "GET" and any(path == name or path.startswith(f"{name}/") for name in self.ABSENT):
            told = f"GET {path} is not available when the server runs in events_only mode"
            return Response(404, body=json.dumps({"message": told, "error": "LangfuseNotFoundError"}).encode())
        return self.inner.send(request)

    def scores(self, request):
        """A page of one, so that there are cursors to follow."""
        query = dict(request.query)
        page = int(query.get("cursor") or 1)
        named = tuple((name, query[name]) for name in ("traceId",) if name in query)
        asked = Request("GET", "/api/public/v2/scores", query=(*named, ("limit", "1"), ("page", str(page))))
        answer = json.loads(self.inner.send(asked).body)
        more = page < answer["meta"]["totalPages"]
        meta = {"limit": 1, **({"cursor": str(page + 1)} if more else {})}
        return Response(200, body=json.dumps({"data": answer["data"], "meta": meta}).encode())


@pytest.fixture
def server():
    return EventsOnly()


@pytest.fixture
def new(server):
    with Interactive(transport=server, dialect="public") as client:
        yield client


def record(client):
    with client.start_as_current_span(name="question", input={"q": 1}) as span:
        span.update_trace(tags=["a"], user_id="u")
        with client.start_as_current_observation(name="answer", as_type="generation", input="q"):
            pass
        span.update(output="forty-two", metadata={"k": "v"})
    for i in range(3):
        client.create_score(name=f"s{i}", value=i, trace_id=span.trace_id)
    client.flush()
    return span


def test_a_trace_is_put_together_where_a_server_keeps_none(new, server):
    """The same fields as those of a server that does keep traces, from pages of observations and scores."""
    span = record(new)
    with Interactive(transport=server.inner, dialect="public") as old:
        whole = old.api.trace(span.trace_id)

    made = new.api.trace(span.trace_id)

    assert (made["id"], made["name"], made["input"], made["output"]) == (span.trace_id, "question", {"q": 1}, "forty-two")
    assert made["timestamp"] == whole["timestamp"] and made["environment"] == whole["environment"]
    assert {row["id"] for row in made["observations"]} == {row["id"] for row in whole["observations"]}
    assert [row["name"] for row in made["observations"]] == ["question", "answer"]
    assert sorted(row["name"] for row in made["scores"]) == ["s0", "s1", "s2"]


def test_a_trace_without_observations_is_not_found_where_a_server_keeps_none(new):
    with pytest.raises(NotFoundError, match="there are no observations of it"):
        new.api.trace("0" * 32)


def test_cursors_without_end_and_without_rows_end():
    asked = []

    def answer(request):
        asked.append(request.path)
        if len(asked) > 100:
            raise TransportError("asked for ever", retryable=False)
        if "/traces/" in request.path:
            return Response(404, body=b'{"message": "not available in events_only mode"}')
        return Response(200, body=json.dumps({"data": [], "meta": {"cursor": f"c{len(asked)}"}}).encode())

    with Interactive(transport=FakeTransport(answer), dialect="public") as client:
        with pytest.raises(NotFoundError, match="there are no observations of it"):
            client.api.trace("0" * 32)


def test_scores_are_read_where_a_server_lists_them_by_cursor_only(new):
    record(new)

    page = new.api.scores(limit=1)

    assert len(page["data"]) == 1 and page["meta"]["cursor"] == "2"
    assert new.api.scores(limit=1, cursor="2")["data"] != page["data"]
    with pytest.raises(ApiError, match="events_only"):
        new.api.scores(page=2)


def test_observations_are_evaluated_where_a_server_keeps_no_traces(new, server):
    record(new)

    result = new.run_batched_evaluation(
        scope="observations",
        mapper=lambda *, item: {"input": item.input, "output": item.output},
        evaluators=[lambda *, input, **_: input == "q"],
        filter=[{"type": "string", "column": "name", "operator": "=", "value": "answer"}],
    )

    assert (result.total_items_processed, result.delivery.acknowledged, result.completed) == (1, 1, True)


def test_a_data_set_is_run_where_a_server_keeps_no_traces(new):
    new.create_dataset(name="qa")
    new.create_dataset_item(dataset_name="qa", id="i", input=1)

    result = new.get_dataset("qa").run_experiment(name="d", task=lambda item: 1, evaluators=[lambda *, output: output])

    assert result.delivery.by_kind["links"]["acknowledged"] == 1 and result.delivery.pending == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get_dataset_runs(dataset_name="qa"),
        lambda client: client.get_dataset_run(dataset_name="qa", run_name="r"),
        lambda client: client.api.traces(),
        lambda client: client.api.observations(),
    ],
)
def test_what_a_server_does_not_have_is_an_error_that_says_so_and_what_there_is(new, ask):
    with pytest.raises(NotFoundError, match=r"events_only mode.*; what this server has instead are observations"):
        ask(new)


def test_one_missing_trace_is_no_sign_of_a_server_without_traces(client):
    with pytest.raises(NotFoundError) as missing:
        client.api.trace("0" * 32)

    assert "instead" not in str(missing.value)


# -- the platform ------------------------------------------------------------------------------------------------------


def platform(projects):
    def answer(request):
        if request.path.endswith("/api/platform/v1/projects"):
            return Response(200, body=json.dumps({"data": projects}).encode())
        return Response(201, body=b'{"data": {}}')

    return FakeTransport(answer)


def test_scores_wait_for_the_project_and_ask_for_it_once():
    server = platform([{"id": "proj", "orgId": "org"}])
    with Interactive(transport=server) as client:
        for i in range(20):
            client.create_score(name="s", value=i, trace_id="a" * 32)
        assert client.flush().acknowledged == 20

    assert [request.path for request in server.requests] == ["/api/platform/v1/projects", *[f"{P}/scores"] * 20]


@pytest.mark.parametrize("place", [("..", "proj"), ("org", "."), ("", "proj")])
def test_a_project_that_a_server_names_to_lead_elsewhere_is_an_error(place):
    """S16, S35: a response chooses no path."""
    server = platform([{"id": place[1], "orgId": place[0]}])
    with Interactive(transport=server) as client, pytest.raises(ApiError, match=r"names the project .*; pass project="):
        client.get_dataset("d")

    assert [request.path for request in server.requests] == ["/api/platform/v1/projects"]


def test_a_project_without_an_organisation_will_do_where_paths_name_none():
    server = FakeTransport(lambda request: Response(200, body=b'{"data": [{"id": "proj", "name": "x"}]}'))
    with Interactive(transport=server, dialect="public", base_url="http://127.0.0.1:1") as client:
        assert client.get_trace_url(trace_id="a" * 32) == f"http://127.0.0.1:1/project/proj/traces/{'a' * 32}"


def test_keys_of_two_projects_lose_no_score_and_say_how_to_choose():
    """In the reference every routed request fails with an error of its own making, and the scores are dropped (D66)."""
    projects = [{"id": "proj", "orgId": "org"}, {"id": "other", "orgId": "org"}]
    with Interactive(transport=platform(projects)) as client:
        client.create_score(name="s", value=1, trace_id="a" * 32)
        report = client.flush()
        assert report.pending == 1
        assert "these keys reach 2 projects; pass project=(organisation id, project id)" in report.problems[0].reason
    server = platform(projects)
    with Interactive(transport=server, project=("org", "proj")) as client:
        client.create_score(name="s", value=1, trace_id="a" * 32)
        assert client.flush().acknowledged == 1

    assert [request.path for request in server.requests] == [f"{P}/scores"]


def test_a_project_that_could_not_be_asked_for_is_asked_for_again():
    """The reference hands the failure on as that of the request (D72)."""
    answers = [503, 200]
    requests = []

    def answer(request):
        requests.append(request)
        if request.method == "GET":
            return Response(answers.pop(0), body=b'{"data": [{"id": "proj", "orgId": "org"}]}')
        return Response(201)

    with Interactive(transport=FakeTransport(answer)) as client:
        client.create_score(name="s", value=1, trace_id="a" * 32)
        assert client.flush().acknowledged == 1


def test_names_of_project_and_organisation_are_encoded_in_paths():
    server = platform([])
    with Interactive(transport=server, project=("o/../x", "p q")) as client:
        client.create_score(name="s", value=1, trace_id="a" * 32)
        client.flush()

    assert server.requests[0].path == "/api/platform/v1/organizations/o%2F..%2Fx/projects/p%20q/scores"


@pytest.mark.parametrize("dialect", ["platform", "public"])
def test_no_get_has_a_body(dialect):
    """The reference sends `{}` with pages, which some proxies and servers refuse (D71)."""
    store, requests = LocalTransport(), []

    class Seen(Transport):
        def send(self, request):
            requests.append(request)
            return store.send(request)

    with Interactive(transport=Seen(), dialect=dialect) as client:
        record(client)
        client.create_dataset(name="qa")
        client.create_dataset_item(dataset_name="qa", id="i", input=1)
        client.get_dataset("qa").run_experiment(name="d", run_name="r", task=lambda item: 1)
        client.get_dataset_runs(dataset_name="qa")
        client.get_dataset_run(dataset_name="qa", run_name="r")
        client.run_batched_evaluation(
            scope="traces", mapper=lambda item: {"input": 1, "output": 1}, evaluators=[lambda *, output: 1], full_traces=True
        )
        client.auth_check()

    asked = [request for request in requests if request.method == "GET"]
    assert len(asked) > 8 and all(not request.body and "content-type" not in request.headers for request in asked)


def test_two_clients_of_one_key_share_nothing():
    """In the reference the second one talks to the first one's host with the first one's secret (D65)."""
    first, second = platform([{"id": "proj", "orgId": "org"}]), platform([{"id": "proj", "orgId": "org"}])
    with Interactive(transport=first, public_key="pk", secret_key="one", base_url="https://one.example/a/") as one:
        with Interactive(transport=second, public_key="pk", secret_key="two", base_url="https://two.example") as two:
            for client in (one, two):
                client.create_score(name="s", value=1, trace_id="a" * 32)
                client.flush()
            urls = [client.get_trace_url(trace_id="t") for client in (one, two)]

    assert urls == ["https://one.example/a/project/proj/traces/t", "https://two.example/project/proj/traces/t"]
    assert {request.path for request in first.requests} == {"/a/api/platform/v1/projects", f"/a{P}/scores"}
    assert {request.path for request in second.requests} == {"/api/platform/v1/projects", f"{P}/scores"}
    assert len({request.headers["authorization"] for request in [*first.requests, *second.requests]}) == 2


def test_auth_check_tells_a_refusal_from_trouble():
    for status, expected in ((200, True), (401, False), (403, False)):
        with Interactive(transport=FakeTransport(lambda r, s=status: Response(s, body=b'{"data": [{}]}'))) as client:
            assert client.auth_check() is expected

    def gone(request):
        raise TransportError("connection refused by example.test:443")

    with Interactive(transport=FakeTransport(gone)) as client:
        with pytest.raises(TransportError, match="refused"):
            client.auth_check()
