"""The client as a whole: opening, closing, delivering, finding, scoring; and that nothing ever hangs."""
from __future__ import annotations

import asyncio
import datetime
import gc
import json
import logging
import os
import threading

import pytest

from interactiveai_eval import (
    ApiError,
    ArgumentError,
    ClosedError,
    ConfigError,
    FakeTransport,
    Interactive,
    InteractiveAI,
    NotFoundError,
    Response,
    Transport,
    TransportError,
    UnauthorizedError,
    get_client,
)
from interactiveai_eval.testing import CountingIds, ManualClock, recorded_spans

from .programs import run


def echo(*, item):
    return item["input"]


def answering(status=200, body=b"{}"):
    return FakeTransport(lambda request: Response(status, body=body))


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# -- opening and closing -----------------------------------------------------------------------------------------------


def test_a_client_is_a_context_manager_and_shows_where_it_leads(tmp_path):
    with Interactive.local() as client:
        assert repr(client) == "Interactive('local:')"
    assert repr(client) == "Interactive('local:', closed)"
    with Interactive(transport=answering(), base_url="https://h/p") as client:
        assert repr(client) == "Interactive('https://h/p')"
    assert InteractiveAI is Interactive


def test_leaving_a_client_delivers_what_it_holds(tmp_path):
    with Interactive.local(tmp_path / "store.db") as client:
        client.start_span(name="one").end()
        client.create_score(name="s", value=1, session_id="x")

    with Interactive.local(tmp_path / "store.db") as client:
        assert len(recorded_spans(client)) == 1 and client.api.scores()["meta"]["totalItems"] == 1


def test_closing_twice_is_fine_and_closes_only_transports_of_its_own():
    transport = answering()
    client = Interactive(transport=transport)
    client.close()
    client.close()
    client.shutdown()

    assert transport.send(None).status == 200  # the caller's transport stays open


CALLS = {
    "flush": {},
    "auth_check": {},
    "run_experiment": {"name": "x", "data": [], "task": echo},
    "run_experiment_async": {"name": "x", "data": [], "task": echo},
    "run_batched_evaluation": {"scope": "traces", "mapper": echo, "evaluators": []},
    "run_batched_evaluation_async": {"scope": "traces", "mapper": echo, "evaluators": []},
    "get_dataset": {"name": "x"},
    "create_dataset": {"name": "x"},
    "create_dataset_item": {"dataset_name": "x"},
    "get_dataset_runs": {"dataset_name": "x"},
    "get_dataset_run": {"dataset_name": "x", "run_name": "r"},
    "delete_dataset_run": {"dataset_name": "x", "run_name": "r"},
    "start_observation": {"name": "x"},
    "start_span": {"name": "x"},
    "start_generation": {"name": "x"},
    "create_event": {"name": "x"},
    "start_as_current_observation": {"name": "x"},
    "start_as_current_span": {"name": "x"},
    "start_as_current_generation": {"name": "x"},
    "update_current_span": {},
    "update_current_generation": {},
    "update_current_trace": {},
    "score_current_span": {"name": "x", "value": 1},
    "score_current_trace": {"name": "x", "value": 1},
    "get_current_trace_id": {},
    "get_current_observation_id": {},
    "get_current_traceparent": {},
    "create_score": {"name": "x", "value": 1, "session_id": "s"},
    "get_trace_url": {},
    "__enter__": {},
}
# What needs no server, or closes.
STILL_FINE = {"close", "shutdown", "local", "create_trace_id", "propagate_attributes"}


def test_every_public_method_is_in_the_table_of_calls():
    public = {name for name in dir(Interactive) if not name.startswith("_") and callable(getattr(Interactive, name))}

    assert public == {*CALLS, *STILL_FINE} - {"__enter__"}


@pytest.mark.parametrize("method", CALLS)
def test_after_close_every_call_raises_closed_error(method):
    """In the reference `flush` hangs for ever then (D41)."""
    client = Interactive.local()
    client.close()

    with pytest.raises(ClosedError, match="closed"):
        called = getattr(client, method)(**CALLS[method])
        if asyncio.iscoroutine(called):
            asyncio.run(called)


def test_what_a_client_has_handed_out_is_closed_with_it():
    with Interactive.local() as client:
        client.create_dataset(name="set")
        item = client.create_dataset_item(dataset_name="set", input=1)
        dataset = client.get_dataset("set")
        opened = client.start_as_current_span(name="later")

    for act in (
        lambda: item.run(run_name="r"),
        lambda: dataset.run_experiment(name="x", task=echo),
        lambda: asyncio.run(dataset.run_experiment_async(name="x", task=echo)),
        opened.__enter__,
    ):
        with pytest.raises(ClosedError):
            act()
    assert len(dataset) == 1 and item.input == 1  # values stay values


def test_closing_in_the_middle_of_a_run_ends_it_with_everything_accounted_for():
    started, gate = threading.Event(), threading.Event()
    outcome = []

    def task(*, item):
        started.set()
        gate.wait(10)
        return item["input"]

    client = Interactive.local()
    running = threading.Thread(
        target=lambda: outcome.append(
            client.run_experiment(name="x", data=[{"input": i} for i in range(5)], task=task, max_concurrency=2)
        )
    )
    running.start()
    started.wait(10)
    client.close()
    gate.set()
    running.join(20)

    (result,) = outcome
    assert len(result.item_results) == 5
    assert result.delivery.by_kind["spans"] == {"acknowledged": 0, "pending": 5, "rejected": 0, "skipped": 0}
    assert {problem.reason for problem in result.delivery.problems} == {"the store in memory is closed"}


def test_a_client_that_nobody_holds_is_let_go():
    client = Interactive(transport=answering(), public_key="forgotten")
    del client
    gc.collect()

    with Interactive.local(public_key="other") as other:
        assert get_client() is other


# -- delivery ----------------------------------------------------------------------------------------------------------


def test_a_report_adds_up_to_what_was_handed_in():
    def handler(request):
        if request.path.endswith("otel/v1/traces"):
            return Response(503)
        events = json.loads(request.body)["batch"]
        bad = [event for event in events if event["body"]["name"] == "bad"]
        body = {"successes": [], "errors": [{"id": event["id"], "status": 400, "message": "no"} for event in bad]}
        return Response(207, body=json.dumps(body).encode())

    with Interactive(transport=FakeTransport(handler), dialect="public", ids=CountingIds()) as client:
        for name, value in (("good", 1), ("good", True), ("bad", 1), ("nan", float("nan")), ("none", None)):
            client.create_score(name=name, value=value, session_id="s", score_id=f"{name}-{value}")
        client.start_span(name="lost").end()
        report = client.flush()
        again = client.flush()

    assert report.by_kind == {
        "scores": {"acknowledged": 2, "pending": 0, "rejected": 1, "skipped": 2},
        "spans": {"acknowledged": 0, "pending": 1, "rejected": 0, "skipped": 0},
    }
    assert (report.acknowledged, report.pending, report.rejected, report.skipped) == (2, 1, 1, 2)
    problems = sorted((problem.kind, problem.id, problem.state) for problem in report.problems)
    assert problems == [
        ("scores", "bad-1", "rejected"),
        ("scores", "nan-nan", "skipped"),
        ("scores", "none-None", "skipped"),
        ("spans", f"{2:016x}", "pending"),
    ]
    assert again.by_kind == report.by_kind


def test_flush_without_anything_to_deliver_is_an_empty_report(client):
    report = client.flush(timeout=1.5)

    assert (report.by_kind, report.problems, report.acknowledged) == ({}, [], 0)


def test_what_could_not_be_delivered_is_delivered_later():
    class Flaky(Transport):
        up = False

        def send(self, request):
            if not self.up:
                raise TransportError("nobody there", request=request)
            return Response(200, body=b"{}")

    with Interactive(transport=Flaky(), dialect="public") as client:
        client.start_span(name="one").end()
        before = client.flush()
        Flaky.up = True
        after = client.flush()

    assert (before.pending, before.acknowledged) == (1, 0) and (after.pending, after.acknowledged) == (0, 1)


def test_closing_says_what_it_could_not_deliver(caplog):
    with Interactive(transport=answering(503), dialect="public", base_url="https://h") as client:
        client.start_span(name="one").end()

    assert warnings_in(caplog) == ["Interactive('https://h', closed): 1 scores and spans could not be delivered"]


PROGRAM = """
    import sys
    from interactiveai_eval import Interactive

    def main():
        client = Interactive.local(sys.argv[1])
        client.create_score(name="s", value=1, session_id="x")
        with client.start_as_current_span(name="one"):
            if sys.argv[2] == "exit":
                sys.exit(0)
        if sys.argv[2] == "global":
            globals()["client"] = client
        if sys.argv[2] == "thread":
            import threading
            threading.Thread(target=client.start_span(name="two").end).start()

    main()
"""


@pytest.mark.parametrize("ending, spans", [("return", 1), ("global", 1), ("exit", 1), ("thread", 2)])
def test_a_script_that_ends_without_flush_delivers(tmp_path, ending, spans):
    """A real process, whether its client is still held or not."""
    run(PROGRAM, str(tmp_path / "store.db"), ending)

    with Interactive.local(tmp_path / "store.db") as client:
        assert len(recorded_spans(client)) == spans and client.api.scores()["meta"]["totalItems"] == 1


def test_a_script_whose_server_hangs_ends_all_the_same():
    """The wait at the end of the interpreter is bounded: the clock says that it is over, and is looked at twice a second."""
    said = run(
        """
        import threading
        from interactiveai_eval import Interactive, Transport
        from interactiveai_eval.testing import ManualClock

        class Hanging(Transport):
            def send(self, request):
                clock.advance(60)
                threading.Event().wait()

        clock = ManualClock()
        client = Interactive(transport=Hanging(), dialect="public", clock=clock)
        client.start_span(name="one").end()
        print("done")
        """
    )

    assert said == "done\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_forked_child_delivers_its_own_and_leaves_the_parents_to_the_parent(tmp_path):
    """In the reference the child's `flush` waits for ever for a thread that is not there (D41)."""
    said = run(
        """
        import os, sys, warnings
        from interactiveai_eval import Interactive

        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
        client = Interactive.local(sys.argv[1], flush_interval=60)
        client.start_span(name="parent").end()
        child = os.fork()
        if child == 0:
            client.start_span(name="child").end()
            print(client.flush().by_kind["spans"]["acknowledged"], flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(client.flush().by_kind["spans"]["acknowledged"])
        """,
        str(tmp_path / "store.db"),
    )

    assert said == "1\n1\n"
    with Interactive.local(tmp_path / "store.db") as client:
        assert sorted(span["name"] for span in recorded_spans(client)) == ["child", "parent"]


# -- finding clients ---------------------------------------------------------------------------------------------------


def test_get_client_finds_the_one_live_client():
    with Interactive.local() as client:
        assert get_client() is client


def test_get_client_finds_clients_by_key():
    with Interactive.local(public_key="one") as one, Interactive.local(public_key="two") as two:
        assert get_client(public_key="one") is one and get_client(public_key="two") is two
        with pytest.raises(ArgumentError, match="2 clients are live: one, two; name the key of one"):
            get_client()
        with pytest.raises(ArgumentError, match=r"public_key='three': no live client has it; there are one, two"):
            get_client(public_key="three")


def test_two_clients_of_one_key_cannot_be_told_apart():
    with Interactive.local(public_key="same"), Interactive.local(public_key="same"):
        with pytest.raises(ArgumentError, match="2 clients are live: same, same; name the key of one"):
            get_client(public_key="same")


def test_closed_clients_are_forgotten():
    with Interactive.local(public_key="one"):
        pass
    with Interactive.local(public_key="two") as two:
        assert get_client() is two


def test_get_client_makes_one_from_the_environment_and_keeps_it(monkeypatch):
    monkeypatch.setenv("INTERACTIVEAI_BASE_URL", "local:")
    monkeypatch.setenv("INTERACTIVEAI_TRACING_ENVIRONMENT", "staging")

    made = get_client()
    gc.collect()

    assert get_client() is made and made.config.environment == "staging"
    made.close()
    again = get_client(public_key="pk")
    assert again is not made and again.config.public_key == "pk"
    again.close()


def test_get_client_without_any_credentials_says_what_is_missing():
    with pytest.raises(ConfigError, match="No credentials: INTERACTIVEAI_PUBLIC_KEY is not set"):
        get_client()


def test_threads_that_ask_for_a_client_at_once_get_the_same(monkeypatch):
    monkeypatch.setenv("INTERACTIVEAI_BASE_URL", "local:")
    meeting = threading.Barrier(16, timeout=10)
    found = []

    def ask():
        meeting.wait()
        found.append(get_client())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(client) for client in found}) == 1
    found[0].close()


# -- scores by hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target, keys",
    [
        ({"trace_id": "t"}, {"traceId": "t"}),
        ({"trace_id": "t", "observation_id": "o"}, {"traceId": "t", "observationId": "o"}),
        ({"session_id": "s"}, {"sessionId": "s"}),
        ({"dataset_run_id": "r"}, {"datasetRunId": "r"}),
    ],
)
def test_a_score_has_one_of_four_targets(target, keys):
    transport = answering(207, b'{"successes": [], "errors": []}')
    with Interactive(
        transport=transport, dialect="public", clock=ManualClock("2026-01-02T03:04:05Z"), ids=CountingIds()
    ) as client:
        client.create_score(name="quality", value=0.5, comment="c", metadata={"k": 1}, **target)

    (event,) = json.loads(transport.requests[0].body)["batch"]
    assert event == {
        "id": f"{1:016x}",
        "timestamp": "2026-01-02T03:04:05.000000Z",
        "type": "score-create",
        "body": {
            "id": f"{1:016x}",
            **keys,
            "name": "quality",
            "value": 0.5,
            "comment": "c",
            "metadata": {"k": 1},
            "dataType": "NUMERIC",
            "timestamp": "2026-01-02T03:04:05.000000Z",
        },
    }


def test_on_the_platform_a_score_is_a_request_of_its_own_in_snake_case():
    def handler(request):
        if request.method == "GET":
            return Response(200, body=b'{"data": [{"id": "proj", "orgId": "org"}]}')
        return Response(201, body=json.dumps({"data": {"id": json.loads(request.body)["id"]}}).encode())

    transport = FakeTransport(handler)
    with Interactive(transport=transport, clock=ManualClock("2026-01-02T03:04:05Z")) as client:
        for number in (1, 2):
            client.create_score(name="s", value=True, trace_id="t", observation_id="o", score_id=f"id {number}")

    posted = [(request.path, json.loads(request.body)) for request in transport.requests if request.method == "POST"]
    assert posted == [
        (
            "/api/platform/v1/organizations/org/projects/proj/scores",
            {
                "id": f"id {number}",
                "trace_id": "t",
                "observation_id": "o",
                "name": "s",
                "value": 1,
                "data_type": "BOOLEAN",
                "timestamp": "2026-01-02T03:04:05.000000Z",
            },
        )
        for number in (1, 2)
    ]


@pytest.mark.parametrize(
    "value, sent, data_type",
    [
        (True, 1, "BOOLEAN"),
        (False, 0, "BOOLEAN"),
        (3, 3, "NUMERIC"),
        (-0.5, -0.5, "NUMERIC"),
        (2**53 - 1, 2**53 - 1, "NUMERIC"),
        (2**53, float(2**53), "NUMERIC"),
        (2**60, float(2**60), "NUMERIC"),
        ("good", "good", "CATEGORICAL"),
        ("", "", "CATEGORICAL"),
        ("a\ud800", "a\ufffd", "CATEGORICAL"),
        ("NaN", "NaN", "CATEGORICAL"),
    ],
)
def test_the_type_of_a_score_follows_from_its_value(value, sent, data_type):
    """In the reference booleans arrive as numbers (D52)."""
    transport = answering(207, b'{"successes": [], "errors": []}')
    with Interactive(transport=transport, dialect="public") as client:
        client.create_score(name="s", value=value, session_id="x")

    body = json.loads(transport.requests[0].body)["batch"][0]["body"]
    assert (body["value"], type(body["value"]), body["dataType"]) == (sent, type(sent), data_type)


@pytest.mark.parametrize(
    "value, reason",
    [
        (float("nan"), "value is nan"),
        (float("inf"), "value is inf"),
        (-float("inf"), "value is -inf"),
        (None, "value is None: evaluated, but no score"),
        (10**400, "value is larger than any number that servers take"),
        (2**53 + 1, "value 9007199254740993 has no exact form as a double"),
    ],
)
def test_values_that_no_server_takes_are_skipped_and_counted(value, reason):
    """Never rounded, and never the text "NaN" (D52)."""
    transport = answering()
    with Interactive(transport=transport, dialect="public") as client:
        client.create_score(name="s", value=value, session_id="x", score_id="own")
        report = client.flush()

    assert transport.requests == [] and report.skipped == 1
    assert [(p.kind, p.id, p.state, p.reason) for p in report.problems] == [("scores", "own", "skipped", reason)]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "trace_id=None: give one of trace_id, session_id and dataset_run_id"),
        ({"trace_id": "t", "session_id": "s"}, "give one of trace_id, session_id and dataset_run_id"),
        ({"observation_id": "o"}, "observation_id='o': needs the trace_id of its trace too"),
        ({"trace_id": "t", "name": ""}, "name='': an evaluation needs a name"),
        ({"trace_id": "t", "name": 5}, "name=5: the name of an evaluation must be a text"),
        ({"trace_id": "t", "value": [1]}, "value=[1]: must be a number, a text, a bool or None"),
        ({"trace_id": "t", "data_type": "SOME"}, "data_type='SOME': must be one of NUMERIC, CATEGORICAL, BOOLEAN"),
        ({"trace_id": "t", "value": 0.5, "data_type": "BOOLEAN"}, "value=0.5: does not fit data_type='BOOLEAN'"),
        ({"trace_id": "t", "value": "x", "data_type": "NUMERIC"}, "value='x': does not fit data_type='NUMERIC'"),
    ],
)
def test_scores_that_cannot_be_are_refused_at_once(client, arguments, message):
    with pytest.raises(ArgumentError) as refused:
        client.create_score(**{"name": "s", "value": 1, **arguments})

    assert message in str(refused.value) and client.flush().by_kind == {}


def test_a_scores_time_is_its_own_or_now():
    transport = answering(207, b'{"successes": [], "errors": []}')
    moment = datetime.datetime(2025, 12, 31, 23, 59, 59, 123456, datetime.timezone.utc)
    with Interactive(transport=transport, dialect="public", clock=ManualClock("2026-01-02T03:04:05Z")) as client:
        client.create_score(name="own", value=1, session_id="x", timestamp=moment)
        client.create_score(name="now", value=1, session_id="x")

    bodies = [event["body"] for event in json.loads(transport.requests[0].body)["batch"]]
    assert [body["timestamp"] for body in bodies] == ["2025-12-31T23:59:59.123456Z", "2026-01-02T03:04:05.000000Z"]


def test_a_score_with_a_configuration_leaves_the_type_to_it(client):
    """As the API wants it: the configuration says the type."""
    transport = answering(207, b'{"successes": [], "errors": []}')
    with Interactive(transport=transport, dialect="public") as other:
        other.create_score(name="s", value=1, session_id="x", config_id="c")
        other.create_score(name="s", value=1, session_id="x", config_id="c", data_type="NUMERIC")

    bodies = [event["body"] for event in json.loads(transport.requests[0].body)["batch"]]
    assert ["dataType" in body for body in bodies] == [False, True]


# -- the rest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seed, trace_id",
    [
        ("seed", "19b25856e1c150ca834cffc8b59b23ad"),
        ("x" * 1000, "44f8354494a5ba03ba1792a8d3e9c534"),
        ("h\u00e9llo", "3c48591d8d098a4538f5e013dfcf406e"),
    ],
)
def test_a_trace_id_from_a_seed_is_the_reference_sdks(seed, trace_id):
    """Recorded from the reference, so that both derive the same id from an application's own."""
    assert Interactive.create_trace_id(seed=seed) == trace_id


def test_trace_ids_without_a_seed_differ():
    found = {Interactive.create_trace_id() for _ in range(100)}

    assert len(found) == 100 and all(len(each) == 32 and int(each, 16) for each in found)


def test_a_trace_url_leads_to_project_and_trace():
    transport = answering(200, b'{"data": [{"id": "proj-1", "orgId": "org"}]}')
    with Interactive(transport=transport, base_url="https://eval.example/") as client:
        assert client.get_trace_url() is None
        assert client.get_trace_url(trace_id="abc") == "https://eval.example/project/proj-1/traces/abc"
        with client.start_as_current_span(name="one") as span:
            assert client.get_trace_url() == f"https://eval.example/project/proj-1/traces/{span.trace_id}"

    assert [request.path for request in transport.requests].count("/api/platform/v1/projects") == 1  # asked once


def test_a_named_project_is_not_asked_for():
    """The reference fails when the keys reach two (D66)."""
    transport = answering(201, b'{"data": {"dataset": {"id": "d", "name": "set"}}}')
    with Interactive(transport=transport, project=("org 1", "proj/2")) as client:
        client.create_dataset(name="set")
        assert client.get_trace_url(trace_id="t").endswith("/project/proj/2/traces/t")

    assert [request.path for request in transport.requests] == [
        "/api/platform/v1/organizations/org%201/projects/proj%2F2/datasets"
    ]


@pytest.mark.parametrize("projects, count", [(b"[]", 0), (b'[{"id": "a"}, {"id": "b"}]', 2), (b"[5]", 0)])
def test_keys_that_reach_no_or_several_projects_say_so(projects, count):
    with Interactive(transport=answering(200, b'{"data": ' + projects + b"}")) as client:
        with pytest.raises(ApiError, match=rf"these keys reach {count} projects; pass project="):
            client.create_dataset(name="set")


def test_auth_check_says_whether_the_keys_are_taken(client):
    assert client.auth_check()
    for status in (401, 403):
        with Interactive(transport=answering(status)) as refused:
            assert not refused.auth_check()
    with Interactive(transport=answering(500)) as broken, pytest.raises(ApiError, match="answered 500"):
        broken.auth_check()


@pytest.mark.parametrize(
    "status, body, kind, message",
    [
        (400, b'{"message": "Invalid request data", "error": []}', ApiError, "answered 400: 'Invalid request data'"),
        (401, b'{"message": "no"}', UnauthorizedError, "answered 401: 'no'"),
        (404, b"<!DOCTYPE html><html>", NotFoundError, "404: an HTML page: this server does not offer POST /v2/datasets"),
        (502, b"\n<HTML>gone", ApiError, "answered 502: an HTML page, not an answer of this service"),
        (413, b"Body exceeded 1mb limit", ApiError, "answered 413: 'Body exceeded 1mb limit'"),
        (302, b"", ApiError, "answered 302: ''"),
        (200, b"<html>a login page</html>", ApiError, "not an answer of this service (Expecting value"),
        (200, b"[]", ApiError, "the answer is list, not an object"),
        (200, b'{"a": NaN}', ApiError, "not an answer of this service (NaN is not JSON)"),
        (200, b"\xff", ApiError, "not an answer of this service (not UTF-8 at byte 0)"),
        (200, b"[" * 100_000, ApiError, "not an answer of this service (nested deeper than 200 levels)"),
        (500, b"\xff\x00", ApiError, "answered 500"),
    ],
)
def test_answers_that_are_no_are_errors_that_tell_status_and_body(status, body, kind, message):
    with Interactive(transport=answering(status, body), dialect="public", base_url="https://h") as client:
        with pytest.raises(kind) as refused:
            client.create_dataset(name="set")

    assert message in str(refused.value) and refused.value.status_code == status
    assert status == 200 or "<" not in str(refused.value)
    assert "POST v2/datasets on https://h" in str(refused.value)


def test_the_reference_clients_way_of_saying_it_works(client):
    """All arguments of the reference's constructor that this package has, by keyword."""
    with Interactive(
        public_key="pk",
        secret_key="sk",
        base_url="local:",
        timeout=5,
        debug=False,
        tracing_enabled=True,
        flush_at=10,
        flush_interval=0.5,
        environment="e",
        release="r",
        sample_rate=1.0,
        mask=lambda *, data, **kwargs: data,
        additional_headers={"X-A": "b"},
    ) as made:
        assert made.auth_check()
    with pytest.raises(TypeError):
        Interactive("pk")


@pytest.mark.parametrize("timeout", ["x", -1, True])
def test_a_flush_that_cannot_be_timed_is_refused(timeout):
    with Interactive.local() as client, pytest.raises(ArgumentError, match=r"timeout=.*must be seconds"):
        client.flush(timeout=timeout)


# -- reading -----------------------------------------------------------------------------------------------------------


def test_observations_are_read_by_cursor():
    clock = ManualClock()
    with Interactive.local(clock=clock) as client:
        for name in "abc":
            client.start_span(name=name).end()
            clock.advance(1)
        client.flush()

        first = client.api.observations_by_cursor(limit=2)
        second = client.api.observations_by_cursor(limit=2, cursor=first["meta"]["cursor"])

    assert [row["name"] for row in (*first["data"], *second["data"])] == ["c", "b", "a"]
    assert second["meta"] == {"cursor": None}


@pytest.mark.parametrize("body", [b"{}", b'{"data": [1], "meta": {}}', b'{"data": [], "meta": {"cursor": 5}}', b'{"data": []}'])
def test_an_answer_that_is_no_page_by_cursor_is_an_api_error(body):
    with Interactive(transport=answering(body=body)) as client, pytest.raises(ApiError):
        client.api.observations_by_cursor()


@pytest.mark.parametrize("kind", ["traces", "observations", "observations_by_cursor", "scores"])
def test_a_parameter_that_no_server_knows_is_refused_before_a_request(kind):
    """A server ignores it, so a slip of the pen would give everything."""
    asked = []
    client = Interactive(transport=FakeTransport(asked.append), dialect="public")

    with pytest.raises(ArgumentError, match=rf"nmae='x': is no parameter of {kind}; there are .*\bname\b"):
        getattr(client.api, kind)(nmae="x")

    assert asked == []


def test_lists_of_the_api_take_every_notation_of_a_filter(client):
    for name in ("a", "b"):
        client.start_span(name=name).end()
    client.flush()
    array = [{"type": "string", "column": "name", "operator": "=", "value": "b"}]
    for filter in (array, {"name": "b"}, '{"name": "b"}', json.dumps(array)):
        for read in (client.api.traces, client.api.observations):
            assert [row["name"] for row in read(filter=filter)["data"]] == ["b"], filter
    assert client.api.scores(filter=[])["data"] == []
    with pytest.raises(ArgumentError, match="has no column 'nope'"):
        client.api.traces(filter={"nope": 1})


@pytest.mark.parametrize("id", [None, "", " ", 5, ".", ".."])
def test_what_is_read_by_id_needs_one(client, id):
    """GET traces/None is a question about another trace, GET traces/ and traces/.. about all of them (S16)."""
    for name in ("trace", "observation"):
        with pytest.raises(ArgumentError, match=f"{name}_id=.* must be an id"):
            getattr(client.api, name)(id)


def test_an_id_that_another_data_set_has_is_named(client):
    for name in ("one", "two"):
        client.create_dataset(name=name)
    client.create_dataset_item(dataset_name="one", id="i", input=1)

    with pytest.raises(NotFoundError, match="is 'i' an item of another data set"):
        client.create_dataset_item(dataset_name="two", id="i", input=1)


def test_a_clock_that_is_none_is_refused_at_once():
    with pytest.raises(ArgumentError, match="clock='x': must be a Clock"):
        Interactive.local(clock="x")


def test_none_is_no_tag(client):
    span = client.start_span(name="tagged")
    span.update_trace(tags=["a", None]).end()
    client.flush()

    assert client.api.trace(span.trace_id)["tags"] == ["a"]
