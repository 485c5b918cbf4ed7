"""Traces written to a file and read back: nothing is lost, nothing changes, and a bad file sends nothing."""
from __future__ import annotations

import io
import json
import os

import pytest

from interactiveai_eval import ApiError, ArgumentError, DataError, FakeTransport, Interactive, Response
from interactiveai_eval.stores.trace_files import export_traces, import_traces, read_traces
from interactiveai_eval.transports.local import LocalTransport

MOMENT = "2025-11-20T10:00:00.%03dZ"


def post(api, *events):
    """Make traces ("trace-create"), observations and scores from their bodies."""
    batch = [{"id": str(n), "timestamp": MOMENT % 0, "type": kind, "body": body} for n, (kind, body) in enumerate(events)]
    assert api.send_events(batch) == []


def exported(api, **settings):
    """(the lines as values, the text) of an export."""
    stream = io.StringIO()
    count = export_traces(api, stream, **settings)
    text = stream.getvalue()
    assert text.count("\n") == count
    return [json.loads(line) for line in text.splitlines()], text


def ids(api, **settings):
    return [trace["id"] for trace in exported(api, **settings)[0]]


def imported(path):
    """(the report, what an empty store exports after importing the file)."""
    with Interactive.local() as other:
        report = import_traces(other.api, path)
        return report, exported(other.api)[1]


def written(folder, *rows):
    path = folder / "traces.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


FULL = {
    "id": "t1", "timestamp": MOMENT % 5, "name": "chat", "userId": "ann", "sessionId": "s-1", "release": "r1",
    "tags": ["a", "b"], "public": True, "environment": "prod", "version": "v1", "input": {"q": [1, 2.5, None]},
    "output": "text", "metadata": {"tier": "pro", "n": 7},
    "observations": [
        {
            "id": "o1", "traceId": "t1", "type": "GENERATION", "name": "llm", "startTime": MOMENT % 6,
            "endTime": MOMENT % 9, "completionStartTime": MOMENT % 7, "parentObservationId": "o0", "level": "WARNING",
            "statusMessage": "slow", "environment": "prod", "version": "v2", "input": [], "output": 0,
            "metadata": {"deep": {"k": "7"}}, "model": "m-1", "modelParameters": {"temperature": 0.5},
            "usageDetails": {"input": 3, "output": 4, "total": 7}, "costDetails": {"input": 0.25, "total": 0.25},
            "promptName": "p", "promptVersion": 3,
        },
    ],
    "scores": [
        {
            "id": "c1", "traceId": "t1", "observationId": None, "name": "acc", "value": 0.5, "stringValue": None,
            "dataType": "NUMERIC", "source": "API", "environment": "prod", "timestamp": MOMENT % 8,
            "comment": "half right", "metadata": {"by": "x"}, "configId": None, "queueId": None,
        },
        {
            "id": "c2", "traceId": "t1", "observationId": "o1", "name": "ok", "value": 1.0, "stringValue": "True",
            "dataType": "BOOLEAN", "source": "ANNOTATION", "environment": "default", "timestamp": MOMENT % 9,
            "comment": None, "metadata": {}, "configId": "cf", "queueId": "qu",
        },
        {
            "id": "c3", "traceId": "t1", "observationId": None, "name": "mood", "value": 0.0, "stringValue": "7",
            "dataType": "CATEGORICAL", "source": "API", "environment": "default", "timestamp": MOMENT % 9,
            "comment": None, "metadata": "note", "configId": None, "queueId": None,
        },
        {
            "id": "c4", "traceId": "t1", "observationId": None, "name": "why", "value": 0.0, "stringValue": "because",
            "dataType": "TEXT", "source": "API", "environment": "default", "timestamp": MOMENT % 9,
            "comment": None, "metadata": {}, "configId": None, "queueId": None,
        },
    ],
}  # fmt: skip
SMALL = {"id": "t", "timestamp": MOMENT % 0}


# -- a round trip ------------------------------------------------------------------------------------------------------


def test_everything_that_a_store_can_hold_goes_through(client, tmp_path):
    path = written(tmp_path, FULL)

    report = import_traces(client.api, path)

    assert exported(client.api)[0] == [FULL]
    assert report.by_kind == {
        "traces": {"acknowledged": 1, "pending": 0, "rejected": 0, "skipped": 0},
        "observations": {"acknowledged": 1, "pending": 0, "rejected": 0, "skipped": 0},
        "scores": {"acknowledged": 4, "pending": 0, "rejected": 0, "skipped": 0},
    }
    assert client.api.trace("t1")["latency"] == 0.003  # worked out from what was imported


def test_what_a_run_leaves_is_the_same_after_export_and_import(client, tmp_path):
    client.run_experiment(
        name="run",
        data=[{"input": n, "expected_output": "x"} for n in range(5)],
        task=lambda *, item: {"n": item["input"]} if item["input"] else 1 / 0,
        evaluators=[lambda *, output: {"name": "big", "value": output["n"] > 2, "comment": "c", "metadata": {"k": "1"}}],
    )
    with client.start_as_current_span(name="agent", as_type="agent", input="007", metadata={"a": "true", "b": {"c": "1"}}):
        client.update_current_trace(tags=["y", "x"], user_id="u", public=True)
    client.flush()
    path = tmp_path / "first.jsonl"

    assert export_traces(client.api, path) == 6
    assert imported(path)[1] == path.read_text()


@pytest.mark.parametrize(
    "text",
    ["7", '"7"', '"\\"7\\""', "true", "null", "[1]", '{"a": "1"}', " 7", "", "1e999", "12345678901234567890", "1.0", "-0",
     "NaN", "\u00e9\U0001f600\u2028", '"', "plain", '""'],
)  # fmt: skip
def test_texts_that_look_like_json_are_read_as_before(client, tmp_path, text):
    """Servers turn "7" into 7, so what was read as a text must be sent in quotes."""
    io_fields = {"input": text, "output": [text], "metadata": {"k": text, "deep": {"k": text}}}
    post(
        client.api,
        ("trace-create", {**SMALL, **io_fields}),
        ("tool-create", {"id": "o", "traceId": "t", "startTime": MOMENT % 1, "modelParameters": text, **io_fields}),
        ("score-create", {"id": "s", "traceId": "t", "name": "n", "value": text, "metadata": text, "comment": text}),
    )
    path = tmp_path / "t.jsonl"
    export_traces(client.api, path)

    assert imported(path)[1] == path.read_text()


def test_every_type_of_observation_goes_through(client, tmp_path):
    kinds = "span generation event agent tool chain retriever evaluator guardrail embedding".split()
    post(
        client.api,
        ("trace-create", SMALL),
        *[(f"{kind}-create", {"id": kind, "traceId": "t", "startTime": MOMENT % 0}) for kind in kinds],
    )
    path = tmp_path / "t.jsonl"
    export_traces(client.api, path)
    rows, text = json.loads(path.read_text())["observations"], path.read_text()

    assert [row["type"] for row in rows] == sorted(kind.upper() for kind in kinds)
    assert imported(path)[1] == text


def test_importing_again_changes_nothing(client, tmp_path):
    path = written(tmp_path, FULL)

    first = import_traces(client.api, path), exported(client.api)
    second = import_traces(client.api, path), exported(client.api)

    assert first == second


def test_a_store_that_already_holds_something_gets_more(client, tmp_path):
    post(client.api, ("trace-create", {**SMALL, "tags": ["old"], "metadata": {"k": 1, "old": 2}, "userId": "u"}))
    import_traces(client.api, written(tmp_path, {**SMALL, "tags": ["new"], "metadata": {"k": 3}, "name": "n"}))

    (trace,) = exported(client.api)[0]
    assert (trace["tags"], trace["metadata"], trace["userId"], trace["name"]) == (["new", "old"], {"k": 3, "old": 2}, "u", "n")


def test_the_answers_of_a_server_can_be_imported_as_they_are(client, tmp_path):
    """Also with what only a server knows; scores that an evaluator of the server made become ones of the API."""
    post(client.api, ("trace-create", SMALL), ("score-create", {"id": "s", "traceId": "t", "name": "n", "value": 1}))
    trace = client.api.trace("t")
    trace["scores"][0]["source"] = "EVAL"
    path = written(tmp_path, trace)

    assert imported(path)[1] == exported(client.api)[1]


# -- order and memory --------------------------------------------------------------------------------------------------


def test_traces_come_oldest_first_and_ties_by_id(client):
    """The file has milliseconds, so what differs in less is a tie. More ties than a page has rows are fine."""
    moments = {f"{n * 7919 % 500:03}": f"2025-11-20T10:00:00.{n % 3:03}{n * 31 % 1000:03}Z" for n in range(500)}
    post(client.api, *[("trace-create", {"id": id, "timestamp": moment}) for id, moment in moments.items()])

    assert ids(client.api) == sorted(moments, key=lambda id: (moments[id][:23], id))


def test_observations_and_scores_are_in_the_order_of_their_times(client):
    post(
        client.api,
        ("trace-create", SMALL),
        *[("span-create", {"id": id, "traceId": "t", "startTime": f"2025-11-20T10:00:00.{us:06}Z"})
          for id, us in (("c", 1001), ("b", 1002), ("a", 2000))],
        *[("score-create", {"id": id, "traceId": "t", "name": "n", "value": 1, "timestamp": MOMENT % ms})
          for id, ms in (("z", 1), ("y", 1), ("x", 2))],
    )  # fmt: skip

    (trace,) = exported(client.api)[0]
    assert [[row["id"] for row in trace[part]] for part in ("observations", "scores")] == [["b", "c", "a"], ["y", "z", "x"]]


def test_a_filter_chooses(client):
    post(client.api, *[("trace-create", {"id": f"t{n}", "timestamp": MOMENT % n, "tags": ["x"] * (n % 2)}) for n in range(6)])
    tags = {"type": "arrayOptions", "column": "tags", "operator": "any of", "value": ["x"]}
    late = {"type": "datetime", "column": "timestamp", "operator": ">", "value": MOMENT % 2}

    assert ids(client.api, filter=[tags]) == ["t1", "t3", "t5"]
    assert ids(client.api, filter=json.dumps([tags, late])) == ["t3", "t5"]
    assert ids(client.api, filter='{"tags": ["x"]}') == ids(client.api, filter={"tags": "x"}) == ["t1", "t3", "t5"]
    assert ids(client.api, filter=[]) == [f"t{n}" for n in range(6)]


@pytest.mark.parametrize("filter", ["{", "null", '{"nope": ["x"]}', [{"column": "tags"}], {"tags": []}, 5])
def test_a_filter_that_is_none_is_refused(client, filter, tmp_path):
    with pytest.raises(ArgumentError, match="filter="):
        export_traces(client.api, tmp_path / "t.jsonl", filter)
    assert list(tmp_path.iterdir()) == []


def test_traces_that_are_deleted_or_come_meanwhile_do_no_harm():
    """Each line is there once, the deleted one not at all."""
    with LocalTransport() as store:

        def answer(request):
            if request.path.endswith("/traces/t1"):
                return Response(404, body=b'{"message": "Trace not found"}')
            if request.path.endswith("/traces/t3"):
                post(behind.api, *[("trace-create", {"id": f"u{n}", "timestamp": MOMENT % n}) for n in (3, 9)])
            return store.send(request)

        with Interactive(transport=FakeTransport(answer)) as client, Interactive(transport=store) as behind:
            post(behind.api, *[("trace-create", {"id": f"t{n}", "timestamp": MOMENT % (n // 2)}) for n in range(250)])
            found = ids(client.api)

    assert len(found) == len(set(found)) >= 249 and "t1" not in found
    assert {f"t{n}" for n in range(250)} - set(found) == {"t1"}


def test_a_server_that_does_not_keep_the_order_is_noticed():
    with LocalTransport() as store:

        def answer(request):
            request.query = tuple(pair for pair in request.query if pair[0] != "orderBy")
            return store.send(request)

        with Interactive(transport=FakeTransport(answer)) as client:
            post(client.api, *[("trace-create", {"id": f"t{n}", "timestamp": MOMENT % n}) for n in range(3)])
            with pytest.raises(ApiError, match="the server ignores the order or the filter of traces"):
                exported(client.api)


def test_a_file_appears_whole_or_not_at_all(client, tmp_path):
    path = written(tmp_path, "old")
    with Interactive(transport=FakeTransport(lambda request: Response(500, body=b"{}"))) as broken, pytest.raises(ApiError):
        export_traces(broken.api, path)
    assert path.read_text() == "old\n"

    assert export_traces(client.api, str(path)) == 0
    assert (path.read_text(), os.listdir(tmp_path), imported(path)[1]) == ("", ["traces.jsonl"], "")


def test_many_traces_need_little_memory(tmp_path):
    import tracemalloc

    with Interactive.local(tmp_path / "a.db") as client, Interactive.local(tmp_path / "b.db") as other:
        for n in range(100):
            post(client.api, ("trace-create", {"id": f"t{n}", "timestamp": MOMENT % 0, "input": "x" * 100_000}))
        tracemalloc.start()
        try:
            export_traces(client.api, tmp_path / "t.jsonl")
            _, writing = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            import_traces(other.api, tmp_path / "t.jsonl")
            _, reading = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert other.api.traces(limit=1)["meta"]["totalItems"] == 100
    assert writing < 2_000_000 and reading < 6_000_000, "the file has ten million bytes, a batch one"


# -- bad files ---------------------------------------------------------------------------------------------------------


def with_observation(**fields):
    return {**SMALL, "observations": [{"id": "o", "type": "SPAN", "startTime": MOMENT % 0, **fields}]}


def with_score(**fields):
    return {**SMALL, "scores": [{"id": "s", "name": "n", "value": 1, "timestamp": MOMENT % 0, **fields}]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"id": ', "Expecting value at column 7; write one JSON object a line"),
        ("[]", "[] is not an object; a line is a trace as GET traces/{id} gives it"),
        ({}, "no 'id'; a line is a trace as GET"),
        ({"id": "t"}, "no 'timestamp'; a line is a trace as GET"),
        ({"id": "", "timestamp": MOMENT % 0}, "id: '' is not a text, at least one character"),
        ({**SMALL, "timestamp": "2025-11-20"}, "timestamp: '2025-11-20' is not a time with a zone, such as 2026-01-31T"),
        ({**SMALL, "timestamp": "2025-11-20T10:00:00"}, "timestamp: '2025-11-20T10:00:00' is not a time with a zone"),
        ({**SMALL, "timestamp": "2025-02-30T10:00:00Z"}, "timestamp: '2025-02-30T10:00:00Z' is not a time with a zone"),
        ({**SMALL, "timestamp": 5}, "timestamp: 5 is not a time with a zone"),
        ({**SMALL, "name": 5}, "name: 5 is not a text"),
        ({**SMALL, "tags": "x"}, "tags: 'x' is not a list of texts"),
        ({**SMALL, "tags": [1]}, "tags: [1] is not a list of texts"),
        ({**SMALL, "public": 1}, "public: 1 is not true or false"),
        ({**SMALL, "observations": ["o1"]}, "observations[0]: 'o1' is not an object"),
        ({**SMALL, "scores": {}}, "scores: {} is not a list; write the scores of the trace, or []"),
        (with_observation(type="span"), "observations[0]: type: 'span' is not one of SPAN, GENERATION, "),
        (with_observation(type=[]), "observations[0]: type: [] is not one of SPAN, GENERATION, "),
        (with_observation(startTime=None), "observations[0]: no 'startTime'"),
        (with_observation(endTime="soon"), "observations[0]: endTime: 'soon' is not a time with a zone"),
        (with_observation(level="BAD"), "observations[0]: level: 'BAD' is not one of DEBUG, DEFAULT, WARNING, ERROR"),
        (with_observation(usageDetails={"input": "3"}), "observations[0]: usageDetails: {'input': '3'} is not an object of"),
        (with_observation(promptVersion="3"), "observations[0]: promptVersion: '3' is not a whole number"),
        (with_observation(traceId="other"), "observations[0]: traceId: 'other' is another trace"),
        (with_score(id="x" * 801), "scores[0]: id: "),
        (with_score(name=""), "scores[0]: name: '' is not a text, at least one character"),
        (with_score(value=None), "scores[0]: value: None is not a number"),
        (with_score(value="a", dataType="NUMERIC"), "scores[0]: value: 'a' is not a number"),
        (with_score(value=True), "scores[0]: value: True is not a number"),
        (with_score(value=2, dataType="BOOLEAN"), "scores[0]: value: 2 is not 0 or 1"),
        (with_score(value=1, dataType="CATEGORICAL"), "scores[0]: value: 1 is not a text"),
        (with_score(value="x" * 501, dataType="TEXT"), "scores[0]: value: "),
        (with_score(dataType="ODD"), "scores[0]: dataType: 'ODD' is not one of NUMERIC, BOOLEAN, CATEGORICAL, TEXT, CORRE"),
        ('{"id": "t", "timestamp": "2025-11-20T10:00:00Z", "scores": [{"id": "s", "name": "n", "value": 1e999, "timestamp": '
         '"2025-11-20T10:00:00Z"}]}', "scores[0]: value: inf is not a number"),
        (with_observation(input="x" * 5_000_000), "observation:o takes 5000"),
    ],
)  # fmt: skip
def test_a_bad_line_anywhere_is_named_and_nothing_is_sent(tmp_path, row, message):
    path = written(tmp_path, FULL, "", row)
    sent = FakeTransport(lambda request: Response(500))

    with Interactive(transport=sent) as client, pytest.raises(DataError) as caught:
        import_traces(client.api, path)

    assert str(caught.value).startswith(f"{path}, line 3: {message}")
    assert sent.requests == []


def test_a_missing_file_is_refused(client, tmp_path):
    with pytest.raises(DataError, match="no such file; check the path"):
        import_traces(client.api, tmp_path / "none.jsonl")


def test_a_file_can_have_another_name_in_errors(tmp_path):
    with pytest.raises(DataError, match=r"^<stdin>, line 1: 'no' is not an object"):
        read_traces(written(tmp_path, '"no"'), name="<stdin>")


def test_what_a_server_refuses_is_counted_and_named(tmp_path):
    def answer(request):
        events = json.loads(request.body)["batch"]
        errors = [{"id": event["id"], "status": 400, "message": "no"} for event in events if event["body"]["id"] == "c2"]
        return Response(207, body=json.dumps({"successes": [], "errors": errors}).encode())

    with Interactive(transport=FakeTransport(answer)) as client:
        report = import_traces(client.api, written(tmp_path, FULL))

    assert (report.acknowledged, report.rejected) == (5, 1)
    assert [(problem.kind, problem.id, problem.reason) for problem in report.problems] == [("scores", "c2", "no")]


def test_a_server_that_refuses_some_and_does_not_say_which_ends_an_import(tmp_path):
    """As what was taken cannot be told; sending all of it again loses nothing."""
    server = FakeTransport(lambda request: Response(207, body=b'{"accepted": 5, "rejected": 1, "errors": []}'))
    with Interactive(transport=server) as client, pytest.raises(ApiError, match="refuses some of 6 events"):
        import_traces(client.api, written(tmp_path, FULL))


def test_batches_stay_below_what_servers_take(tmp_path):
    sizes = []

    def answer(request):
        sizes.append(len(request.body))
        return Response(207, body=b'{"successes": [], "errors": []}')

    rows = [{"id": f"t{n}", "timestamp": MOMENT % 0, "input": "x" * (4_700_000 if n == 3 else 300_000)} for n in range(10)]
    with Interactive(transport=FakeTransport(answer)) as client:
        report = import_traces(client.api, written(tmp_path, *rows))

    assert report.acknowledged == 10
    assert [size // 100_000 for size in sizes] == [9, 47, 9, 9]
