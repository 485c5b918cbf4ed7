"""What mappers get: the server's objects by attribute, nothing dropped, nothing made up."""
from __future__ import annotations

import copy
import pickle
from datetime import datetime, timezone

import pytest

from interactiveai_eval.service.records import ObservationRecord, ScoreRecord, TraceRecord

TRACE = {
    "id": "t1",
    "timestamp": "2026-11-20T10:00:00.123Z",
    "userId": "ada",
    "input": {"userId": "inner"},
    "metadata": {"createdAt": "text"},
    "tags": ["a"],
    "observations": [{"id": "o1", "traceId": "t1", "startTime": "2026-11-20T10:00:01Z"}, "o2"],
    "scores": [{"id": "s1", "value": 0.5}],
    "somethingNew": 7,
}


def test_fields_have_both_names_as_attributes_and_as_keys():
    trace = TraceRecord(TRACE)

    assert trace.user_id == trace.userId == trace["user_id"] == trace["userId"] == trace.get("user_id") == "ada"
    assert trace.something_new == trace.somethingNew == trace["something_new"] == 7
    assert "user_id" in trace and "userId" in trace and "nothing" not in trace
    assert list(trace) == list(TRACE) and len(trace) == len(TRACE) and dict(trace)["id"] == "t1"


def test_times_are_datetimes_and_what_users_wrote_stays_as_it_is():
    trace = TraceRecord(TRACE)

    assert trace.timestamp == datetime(2026, 11, 20, 10, 0, 0, 123000, tzinfo=timezone.utc)
    assert (trace.input, trace.metadata) == ({"userId": "inner"}, {"createdAt": "text"})
    assert TraceRecord({"timestamp": "long ago"}).timestamp == "long ago"


def test_what_a_trace_holds_is_records_too():
    trace = TraceRecord(TRACE)

    assert trace.observations == [ObservationRecord(TRACE["observations"][0]), "o2"]
    assert trace.observations[0].start_time == datetime(2026, 11, 20, 10, 0, 1, tzinfo=timezone.utc)
    assert trace.scores == [ScoreRecord({"id": "s1", "value": 0.5})] and trace.scores[0].comment is None


def test_promised_fields_are_none_where_the_server_left_them_out_and_others_are_errors():
    observation = ObservationRecord({"id": "o1"})

    assert observation.parent_observation_id is None and observation["statusMessage"] is None
    assert observation.get("odd", 3) == 3 and not hasattr(observation, "session_id")
    with pytest.raises(AttributeError, match="this ObservationRecord has no 'outptu'"):
        _ = observation.outptu
    with pytest.raises(KeyError):
        _ = observation["outptu"]


def test_records_cannot_be_changed_and_travel():
    trace = TraceRecord(TRACE)

    with pytest.raises(AttributeError, match="cannot be changed"):
        trace.name = "other"
    assert pickle.loads(pickle.dumps(trace)) == copy.deepcopy(trace) == trace != TraceRecord({})
    assert repr(TraceRecord({"id": "t"})) == "TraceRecord({'id': 't'})"


def test_a_copy_shares_nothing_and_a_record_that_stands_twice_is_one_thing_in_it():
    """Every function of the user's gets a copy of its own."""
    record = TraceRecord({"id": "t", "metadata": {"k": [1]}, "tags": ["a"]})

    both = copy.deepcopy([record, record])

    assert both[0] == record and both[0] is both[1] is not record
    both[0].metadata["k"].append(2)
    both[0].tags.clear()
    assert record.raw == {"id": "t", "metadata": {"k": [1]}, "tags": ["a"]}
