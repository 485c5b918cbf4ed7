"""What every transport promises, whatever stands behind it. A new one joins `TRANSPORTS`.

Each is given with an empty service behind it, so that the same requests have the same answers.
"""
from __future__ import annotations

import contextlib
import json
import random
import threading
import time

import pytest

from interactiveai_eval import (
    ClosedError,
    FakeTransport,
    FaultTransport,
    HTTPTransport,
    LocalServer,
    LocalTransport,
    RecordTransport,
    Request,
    Response,
    RetryTransport,
    Transport,
    TransportError,
)

from ..sockets import ScriptedServer, serving


def local_in_memory(tmp_path, opened):
    return LocalTransport()


def local_in_a_file(tmp_path, opened):
    return LocalTransport(tmp_path / "store.db")


def fake_before_a_store(tmp_path, opened):
    return FakeTransport(opened.enter_context(LocalTransport()).send)


class Passing(Transport):
    """The smallest wrapper: behaviour is added by wrapping, so a wrapper must keep all promises of what it wraps."""

    def __init__(self, inner):
        self._inner = inner

    def send(self, request):
        return self._inner.send(request)

    def close(self):
        self._inner.close()


def wrapped(tmp_path, opened):
    return Passing(LocalTransport())


class WithKeys(Passing):
    """Sends the keys along, as a client does."""

    def send(self, request):
        headers = {**request.headers, "authorization": "Basic cGstbG9jYWw6c2stbG9jYWw="}
        sent = Request(request.method, request.path, query=request.query, headers=headers, body=request.body)
        return self._inner.send(sent)


def http_to_a_server(tmp_path, opened):
    return WithKeys(HTTPTransport(opened.enter_context(LocalServer()).base_url))


def retrying(tmp_path, opened):
    return RetryTransport(LocalTransport())


def recording(tmp_path, opened):
    return RecordTransport(LocalTransport(), tmp_path / "recording.jsonl")


def without_faults(tmp_path, opened):
    return FaultTransport(LocalTransport(), seed=1)


def over_a_socket(tmp_path, opened):
    store = opened.enter_context(LocalTransport())
    server = opened.enter_context(ScriptedServer(serving(store)))
    return HTTPTransport(server.url, timeout_seconds=30)


def over_a_socket_retrying(tmp_path, opened):
    return RetryTransport(over_a_socket(tmp_path, opened))


TRANSPORTS = [
    local_in_memory, local_in_a_file, fake_before_a_store, wrapped, retrying, recording, without_faults, over_a_socket,
    over_a_socket_retrying, http_to_a_server,
]  # fmt: skip

DIALECTS = {"public": "/api/public/", "platform": "/api/platform/v1/organizations/o/projects/p/"}


@pytest.fixture(params=TRANSPORTS, ids=lambda made: made.__name__)
def transport(request, tmp_path):
    with contextlib.ExitStack() as opened:
        made = request.param(tmp_path, opened)
        opened.callback(made.close)
        yield made


class Service:
    """Requests in one dialect, answers as Python values; for data sets, which both have in the same places."""

    def __init__(self, transport, dialect):
        self.send = transport.send
        self.dialect = dialect
        self.prefix = DIALECTS[dialect]

    def _exchange(self, method, path, **fields):
        response = self.send(Request(method, self.prefix + path, **fields))
        assert response.status in (200, 201), (response.status, response.body)
        answer = json.loads(response.body)
        return answer["data"] if self.dialect == "platform" else answer

    def _post(self, path, **body):
        body = {key if self.dialect == "platform" else camel(key): value for key, value in body.items()}
        return self._exchange("POST", path, body=json.dumps(body).encode())

    def make_set(self, name, **fields):
        answer = self._post("datasets" if self.dialect == "platform" else "v2/datasets", name=name, **fields)
        return answer["dataset"] if self.dialect == "platform" else answer

    def get_set(self, encoded_name):
        path = "datasets/" if self.dialect == "platform" else "v2/datasets/"
        answer = self._exchange("GET", path + encoded_name)
        return answer["dataset"] if self.dialect == "platform" else answer

    def make_item(self, name, **fields):
        answer = self._post("dataset-items", dataset_name=name, **fields)
        return answer["item"] if self.dialect == "platform" else answer

    def items(self, *query):
        answer = self._exchange("GET", "dataset-items", query=query)
        return answer["items"] if self.dialect == "platform" else answer["data"]

    @property
    def set_name(self):
        return "dataset_name" if self.dialect == "platform" else "datasetName"


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


@pytest.fixture(params=DIALECTS)
def service(request, transport):
    return Service(transport, request.param)


def encoded(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())


# -- requests and responses --------------------------------------------------------------------------------------------


def test_a_response_is_a_plain_value(transport):
    response = transport.send(Request("GET", "/api/public/projects"))

    assert type(response) is Response and type(response.status) is int and type(response.body) is bytes
    assert response.status == 200 and "data" in json.loads(response.body)
    assert all(type(name) is str and name == name.lower() and type(text) is str for name, text in response.headers.items())
    assert response.headers["content-type"].startswith("application/json")


def test_a_request_is_left_as_it_is_and_can_be_sent_again(service):
    headers = {"content-type": "application/json", "x-extra": "ignored"}
    body = json.dumps({"name": "set"}).encode()
    path = service.prefix + ("datasets" if service.dialect == "platform" else "v2/datasets")
    request = Request("POST", path, query=(("unknown", "ignored"),), headers=headers, body=body)

    first, second = service.send(request), service.send(request)

    assert (request.method, request.path, request.query) == ("POST", path, (("unknown", "ignored"),))
    assert request.headers is headers and headers == {"content-type": "application/json", "x-extra": "ignored"}
    assert request.body is body
    assert first.status == second.status in (200, 201) and first is not second
    assert json.loads(first.body).keys() == json.loads(second.body).keys()


def test_a_response_does_not_change_when_more_is_sent(service):
    service.make_set("set")
    request = Request("GET", service.prefix + "dataset-items", query=((service.set_name, "set"),))
    before = service.send(request)
    kept = before.status, dict(before.headers), before.body
    service.make_item("set", input=1)
    service.send(request)

    assert (before.status, before.headers, before.body) == kept


def test_requests_need_no_headers_and_no_body(transport):
    assert transport.send(Request("GET", "/api/public/health")).status == 200
    assert Request("GET", "/x").headers == {} and Request("GET", "/x").body == b"" and Request("GET", "/x").query == ()


def test_requests_and_responses_show_neither_headers_nor_bodies():
    """Headers carry credentials, bodies the users' data."""
    request = Request("POST", "/p", headers={"authorization": "geheim"}, body=b"geheim", query=(("q", "geheim"),))

    assert repr(request) == "Request(POST /p, 6 bytes)"
    assert repr(Response(200, headers={"set-cookie": "geheim"}, body=b"geheim")) == "Response(200, 6 bytes)"


# -- every answer is an answer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("GET", "v2/datasets/nowhere", b"", 404),
        ("POST", "v2/datasets", b"{", 400),
        ("POST", "v2/datasets", b"\xff", 400),
        ("POST", "v2/datasets", b"[]", 400),
        ("POST", "v2/datasets", b'{"name": ""}', 400),
        ("POST", "v2/datasets", b'{"name": 5}', 400),
        ("POST", "v2/datasets", b"[" * 100_000, 400),
        ("PATCH", "v2/datasets", b"{}", 405),
        ("GET", "nonsense", b"", 404),
        ("GET", "v2/datasets/%FF", b"", 400),
        ("GET", "v2/datasets/%2E%2E", b"", 400),
        ("GET", "traces?page=1", b"", 404),
        ("POST", "scores", b'{"name": "s"}', 400),
        ("POST", "otel/v1/traces", b"garbage", 400),
        ("POST", "ingestion", b"{}", 400),
    ],
)
def test_errors_of_the_service_are_answers(transport, method, path, body, status):
    """`send` raises only when no answer came."""
    headers = {"content-type": "application/json"}

    response = transport.send(Request(method, DIALECTS["public"] + path, headers=headers, body=body))

    assert response.status == status and type(response.body) is bytes and "content-type" in response.headers


@pytest.mark.parametrize("path", ["/", "", "/api", "/api/public", "/api/public/", "//api/public/traces", "/etc/passwd"])
def test_paths_outside_the_service_are_answered(transport, path):
    assert transport.send(Request("GET", path)).status == 404


def test_a_body_over_the_limit_is_an_answer(service):
    body = json.dumps({service.set_name: "set", "input": "x" * 5_000_000}).encode()

    assert service.send(Request("POST", service.prefix + "dataset-items", body=body)).status == 413


def test_whatever_is_sent_is_answered(transport):
    """Requests made of random pieces; none may raise."""
    rng = random.Random(7)
    pieces = ["api", "public", "platform", "v1", "v2", "datasets", "traces", "%00", "%", "..", "", "\u00e9", "dataset-items", "x y"]
    bodies = [b"", b"{}", b"null", b'{"name": null}', b"\x00", b'{"a": 1e999}', b'"' + b"x" * 1000 + b'"']
    for _ in range(300):
        path = "/" + "/".join(rng.choices(pieces, k=rng.randrange(6)))
        query = tuple((rng.choice(["page", "limit", "filter", "\u00e9"]), rng.choice(["", "0", "x", "[]"])) for _ in range(2))
        response = transport.send(
            Request(rng.choice(["GET", "POST", "PUT", "DELETE", "X"]), path, query=query, body=rng.choice(bodies))
        )
        assert 200 <= response.status < 500, path


# -- what goes through -------------------------------------------------------------------------------------------------


ODD = ["plain", "with space", "a/b", "a%2Fb", "100%", "?a=1&b=2#c", "+", "\u00e9\u4e2d\U0001f600", "..a", "~!*'();:@$,[]"]


@pytest.mark.parametrize("name", ODD)
def test_names_in_paths_are_decoded_once(service, name):
    made = service.make_set(name)

    assert service.get_set(encoded(name))["id"] == made["id"]


@pytest.mark.parametrize("name", ODD)
def test_query_values_are_taken_as_they_are(service, name):
    service.make_set(name)
    service.make_item(name, id="one", input=1)
    service.make_set("other")

    assert [item["id"] for item in service.items((service.set_name, name))] == ["one"]


def test_query_pairs_may_repeat(transport):
    first = transport.send(Request("GET", "/api/public/traces", query=(("tags", "a"), ("tags", "b"))))
    second = transport.send(Request("GET", "/api/public/traces", query=(("limit", "1"), ("limit", "2"))))

    assert (first.status, second.status) == (200, 400)  # a list of tags, and two limits


def test_text_of_any_kind_goes_through_bodies(service):
    text = "\u00e9\u4e2d\U0001f600\x00\x1f\u2028\u202e\"\\/</script>"
    service.make_set("set")
    service.make_item("set", id="one", input={text: [text]}, metadata={"deep": {"k": text}})

    (item,) = service.items((service.set_name, "set"))
    assert item["input"] == {text: [text]} and item["metadata"] == {"deep": {"k": text}}


def test_large_bodies_go_through_both_ways(service):
    """Four megabytes in, and eight back."""
    service.make_set("set")
    for number in range(2):
        service.make_item("set", id=f"i{number}", input="x" * 4_000_000)

    items = service.items((service.set_name, "set"), ("limit", "100"))
    assert [len(item["input"]) for item in items] == [4_000_000] * 2


def test_binary_bodies_go_through(transport):
    """Every byte there is, in an OTLP export: one span with one text and one byte attribute."""

    def field(tag, content):
        size, length = len(content), b""
        while size > 127:
            length += bytes((size & 0x7F | 0x80,))
            size >>= 7
        return tag + length + bytes((size,)) + content

    value = field(b"\x0a", b"k") + field(b"\x12", field(b"\x3a", bytes(range(256)) * 100))
    span = field(b"\x0a", bytes(15) + b"\x01") + field(b"\x12", bytes(7) + b"\x02") + field(b"\x4a", value)
    body = field(b"\x0a", field(b"\x12", field(b"\x12", span)))
    headers = {"content-type": "application/x-protobuf"}

    response = transport.send(Request("POST", "/api/public/otel/v1/traces", headers=headers, body=body))

    assert response.status == 200
    trace = transport.send(Request("GET", "/api/public/traces/" + "0" * 31 + "1"))
    (observation,) = json.loads(trace.body)["observations"]
    assert observation["metadata"]["attributes"]["k"].startswith("AAECAwQF")  # bytes are shown as base64


# -- threads -----------------------------------------------------------------------------------------------------------


def test_many_threads_may_send_at_once(service):
    service.make_set("set")
    problems, meeting = [], threading.Barrier(8, timeout=10)

    def work(number):
        try:
            meeting.wait()
            for round in range(10):
                service.make_item("set", id=f"{number}-{round}", input=[number, round])
                assert service.get_set("set")["name"] == "set"
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    items = service.items((service.set_name, "set"), ("limit", "100"))
    assert sorted(item["id"] for item in items) == sorted(f"{n}-{r}" for n in range(8) for r in range(10))
    assert all(item["id"] == "{}-{}".format(*item["input"]) for item in items)


def test_many_requests_may_be_given_at_once(service):
    service.make_set("set")
    path, name = service.prefix + "dataset-items", service.set_name
    requests = [
        Request("POST", path, body=json.dumps({name: "set", "id": f"i{n}", "input": n}).encode())
        for n in range(20)
    ]
    requests.insert(7, Request("GET", "/api/public/nonsense"))
    transport = service.send.__self__

    outcomes = list(transport.send_each(iter(requests)))

    assert {id(request) for request, _ in outcomes} == {id(request) for request in requests} and len(outcomes) == 21
    assert {answer.status for request, answer in outcomes if request.method == "POST"} <= {200, 201}
    assert [answer.status for request, answer in outcomes if request.method == "GET"] == [404]
    found = service.items((service.set_name, "set"), ("limit", "100"))
    assert sorted(item["id"] for item in found) == sorted(f"i{n}" for n in range(20))


def test_many_requests_are_pulled_as_they_go_out(transport):
    """Not all at once: there may be a million."""
    pulled = []

    def endless():
        while True:
            pulled.append(1)
            yield Request("GET", "/api/public/projects")

    outcomes = transport.send_each(endless())
    for _ in range(50):
        _, answer = next(outcomes)
        assert answer.status == 200
    outcomes.close()

    assert 50 <= len(pulled) <= 50 + 2 * 32
    assert transport.send(Request("GET", "/api/public/projects")).status == 200


# -- the end -----------------------------------------------------------------------------------------------------------


def test_closing_twice_is_fine_and_sending_afterwards_says_closed(transport):
    transport.close()
    transport.close()

    for request in (Request("GET", "/api/public/projects"), Request("POST", "/nonsense", body=b"\xff")):
        with pytest.raises(ClosedError, match="closed"):
            transport.send(request)


def test_a_transport_is_a_context_manager(transport):
    with transport as entered:
        assert entered is transport and transport.send(Request("GET", "/api/public/projects")).status == 200
    with pytest.raises(ClosedError):
        transport.send(Request("GET", "/api/public/projects"))


def test_closing_while_others_send_ends_in_an_answer_or_an_error_of_ours(transport):
    """Never in a hang, never in an error of the module behind it."""
    outcomes, started = [], threading.Barrier(5, timeout=10)

    def work():
        started.wait()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                transport.send(Request("GET", "/api/public/projects"))
                transport.send(Request("POST", "/api/public/v2/datasets", body=b'{"name": "set"}'))
            except (ClosedError, TransportError) as error:
                outcomes.append(type(error))
                return
            except BaseException as error:
                outcomes.append(repr(error))
                return

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    transport.close()
    for thread in threads:
        thread.join(20)

    assert len(outcomes) == 4 and set(outcomes) <= {ClosedError, TransportError}


# -- the base ----------------------------------------------------------------------------------------------------------


def test_a_transport_of_ones_own_needs_only_send():
    class Constant(Transport):
        def send(self, request):
            return Response(204)

    with Constant() as constant:
        assert constant.send(Request("GET", "/")).status == 204
    constant.close()
    with pytest.raises(TypeError, match="Unwritten must define send"):
        type("Unwritten", (Transport,), {})().send(Request("GET", "/"))


def test_a_fake_remembers_what_came_in_the_order_of_arrival():
    fake = FakeTransport(lambda request: Response(200 if request.method == "GET" else 405))
    requests = [Request("GET", "/a"), Request("PUT", "/b", body=b"x")]

    assert [fake.send(request).status for request in requests] == [200, 405]
    assert fake.requests == requests
