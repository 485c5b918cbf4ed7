"""OTLP exports become plain span values; what is no export is refused, whatever the bytes."""
from __future__ import annotations

import json
import random
import struct

import pytest

from interactiveai_eval.transports.local import otlp_reader
from interactiveai_eval.transports.local.otlp_reader import OTLPError, read_json

TRACE, SPAN = bytes(range(16)), bytes(range(8))


def read_protobuf(body):
    return list(otlp_reader.read_protobuf(body))


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def field(number, content):
    """A field of a message: bytes and texts with their length, ints as varints, floats as doubles."""
    if isinstance(content, float):
        return varint(number << 3 | 1) + struct.pack("<d", content)
    if isinstance(content, int):
        return varint(number << 3) + varint(content & (2**64 - 1))
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def any_value(value):
    if isinstance(value, bool):
        return field(2, int(value))
    if isinstance(value, list):
        return field(5, b"".join(field(1, any_value(each)) for each in value))
    if isinstance(value, dict):
        return field(6, b"".join(field(1, key_value(*pair)) for pair in value.items()))
    if value is None:
        return b""
    numbers = {str: 1, int: 3, float: 4, bytes: 7}
    return field(numbers[type(value)], value)


def key_value(key, value):
    return field(1, key) + field(2, any_value(value))


def attributes(number, values):
    return b"".join(field(number, key_value(*pair)) for pair in values.items())


def span(trace_id=TRACE, span_id=SPAN, values=None, more=b"", name="work"):
    return field(1, trace_id) + field(2, span_id) + field(5, name) + attributes(9, values or {}) + more


def export(*spans, resource=None, scope=b""):
    scope_spans = field(1, scope) + b"".join(field(2, each) for each in spans)
    return field(1, field(1, attributes(1, resource or {})) + field(2, scope_spans))


VALUES = {
    "text": "caf\u00e9",
    "empty": "",
    "long": "x" * 126,
    "longer": "y" * 5000,
    "true": True,
    "false": False,
    "zero": 0,
    "minus": -7,
    "large": 2**62,
    "smallest": -(2**63),
    "half": 0.5,
    "list": ["a", 1, 2.5, False, ["b"]],
    "map": {"k": "v", "n": {"m": 1}},
    "bytes": b"\xff\x00",
    "nothing": None,
    "": "no name",
}
PLAIN = {**VALUES, "bytes": "/wA="}


def as_json_value(value):
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [as_json_value(each) for each in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": as_json_value(each)} for key, each in value.items()]}}
    if value is None:
        return {}
    if isinstance(value, bytes):
        return {"bytesValue": "/wA="}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def as_json(**fields):
    """A JSON export of one span."""
    one = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "work", **fields}
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}).encode()


def test_every_field_of_a_span_is_read():
    event = fixed64(1, 5) + field(2, "exception") + attributes(3, {"exception.type": "ValueError"})
    more = (
        field(3, "state")
        + field(4, b"\x01" * 8)
        + field(6, 1)
        + fixed64(7, 1_000)
        + fixed64(8, 2_000)
        + field(10, 3)
        + field(11, event)
        + field(13, b"a link")
        + field(15, field(2, "it broke") + field(3, 2))
        + varint(16 << 3 | 5)
        + b"\x00\x01\x00\x00"
    )
    scope = field(1, "my-scope") + field(2, "1.0") + attributes(3, {"public_key": "pk"})

    (found,) = read_protobuf(export(span(values=VALUES, more=more), resource={"service.name": "s"}, scope=scope))

    assert found.trace_id == "000102030405060708090a0b0c0d0e0f"
    assert found.span_id == "0001020304050607"
    assert found.parent_id == "01" * 8
    assert found.name == "work"
    assert (found.start_ns, found.end_ns) == (1_000, 2_000)
    assert found.attributes == PLAIN
    assert [type(value) for value in found.attributes.values()] == [type(value) for value in PLAIN.values()]
    assert (found.status_code, found.status_message) == (2, "it broke")
    assert found.events == [("exception", {"exception.type": "ValueError"})]
    assert found.source.resource == {"service.name": "s"}
    assert (found.source.scope_name, found.source.scope_version) == ("my-scope", "1.0")
    assert found.source.scope_attributes == {"public_key": "pk"}


def test_json_and_protobuf_of_the_same_spans_read_alike():
    values = {key: value for key, value in VALUES.items() if key != "smallest"}
    listed = [{"key": key, "value": as_json_value(value)} for key, value in values.items()]
    body = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "n", "version": "1", "attributes": []},
                        "spans": [
                            {
                                "traceId": TRACE.hex(),
                                "spanId": SPAN.hex(),
                                "parentSpanId": "01" * 8,
                                "name": "work",
                                "startTimeUnixNano": "1000",
                                "endTimeUnixNano": 2000,
                                "attributes": listed,
                                "status": {"code": 2, "message": "m"},
                                "events": [{"name": "exception", "attributes": listed[:1]}],
                            }
                        ],
                    }
                ],
            }
        ]
    }
    event = field(2, "exception") + attributes(3, {"text": "caf\u00e9"})
    more = fixed64(7, 1000) + fixed64(8, 2000) + field(4, b"\x01" * 8) + field(15, field(2, "m") + field(3, 2))
    encoded = export(
        span(values=values, more=more + field(11, event)),
        resource={"service.name": "s"},
        scope=field(1, "n") + field(2, "1"),
    )

    assert read_json(json.dumps(body).encode()) == read_protobuf(encoded)


def test_what_spans_have_in_common_does_not_leak_between_them():
    """The reader remembers the attributes that spans begin with; here beginnings come, change and go."""
    shared = {"a": "1", "b": "2"}
    sets = [
        {**shared, "own": "x"}, {**shared, "own": "y"}, {**shared, "own": "z"}, {"a": "1"}, {}, {"a": "9", "b": "2"},
        {**shared}, {"b": "2", "a": "1"}, {**shared, "c": 3}, {**shared, "c": 4}, {"a": "1", "b": "2" * 200},
        {**shared, "a2": ""}, {"own": "alone"}, {**shared, "own": "last"},
    ]  # fmt: skip

    found = read_protobuf(export(*[span(values=values) for values in sets]))

    assert [each.attributes for each in found] == sets
    assert len({id(each.attributes) for each in found}) == len(sets)


@pytest.mark.parametrize("seed", range(20))
def test_any_attributes_in_any_order_are_read_as_they_were_written(seed):
    chance = random.Random(seed)
    names = ["n", "name.longer.than.that", "x" * 130, "\u00e9"]
    texts = ["", "a", "b" * 124, "b" * 125, "b" * 126, "b" * 127, "b" * 128, "b" * 300, "\u00e9" * 63]
    sets = []
    for _ in range(chance.randint(1, 40)):
        chosen = chance.sample(names, chance.randint(0, 4))
        sets.append({name: chance.choice([*texts, 1, 2.5, True, ["x"], None]) for name in chosen})

    found = read_protobuf(export(*[span(values=values) for values in sets]))

    assert [each.attributes for each in found] == sets


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b"", {"": None}), (field(1, "key"), {"key": None}), (field(2, any_value("v")), {"": "v"}),
        (field(2, any_value("v")) + field(1, "key"), {"key": "v"}), (field(1, "k") + field(3, 5), {"k": None}),
        (field(1, "k") + field(2, any_value("a")) + field(2, any_value("b")), {"k": "b"}),
        (field(1, "key") + field(2, field(9, 1) + field(1, "v")), {"key": "v"}),
        (field(1, "k") + field(2, any_value("v")) + field(9, b"more"), {"k": "v"}),
    ],
)  # fmt: skip
def test_attributes_of_unusual_make_are_read_too(raw, read):
    plain = attributes(9, {"k": "v", "key": "x", "z": "z"})

    for more in (field(9, raw), plain + field(9, raw), field(9, raw) + plain):
        (found,) = read_protobuf(export(span(more=more)))
        if more == field(9, raw):
            assert found.attributes == read
        assert set(found.attributes) >= set(read)


def test_the_last_of_equal_names_wins():
    twice = attributes(9, {"a": "1"}) + attributes(9, {"a": "2"})

    assert read_protobuf(export(span(more=twice)))[0].attributes == {"a": "2"}


@pytest.mark.parametrize("body", [b"", field(1, b""), field(1, field(2, b"")), field(7, b"unknown"), field(1000, 5)])
def test_an_export_without_spans_is_empty(body):
    assert read_protobuf(body) == []


@pytest.mark.parametrize(
    "body", [b"{}", b'{"resourceSpans":[]}', b'{"resource_spans":[{}]}', b'{"resourceSpans":[{"scopeSpans":[]}]}',
             b'{"resourceSpans":null}', b'{"resourceSpans":[{"resource":null,"scopeSpans":[{"scope":null}]}]}']
)  # fmt: skip
def test_a_json_export_without_spans_is_empty(body):
    assert read_json(body) == []


@pytest.mark.parametrize("kind", ["trace", "span"])
def test_a_span_without_ids_refuses_the_export(kind):
    body = field(2, SPAN) if kind == "trace" else field(1, TRACE)

    with pytest.raises(OTLPError, match="lacks its trace id or its span id"):
        read_protobuf(export(span(), body))


def test_spans_are_decoded_one_by_one_so_that_not_all_of_an_export_need_be_in_memory():
    spans = otlp_reader.read_protobuf(export(span(name="a"), span(name="b"), b"\xff"))

    assert [next(spans).name, next(spans).name] == ["a", "b"]
    with pytest.raises(OTLPError):
        next(spans)


def test_short_and_empty_ids_are_taken_as_they_are():
    found = read_protobuf(export(span(b"", b"\x00"), span(b"\x00" * 16, b"\x00" * 8)))

    assert [(each.trace_id, each.span_id) for each in found] == [("", "00"), ("00" * 16, "00" * 8)]


@pytest.mark.parametrize("text", ["ABCDEF", "q83vEjRWeJA=", "", "short", "0" * 32])
def test_json_ids_are_taken_as_they_are(text):
    assert read_json(as_json(traceId=text))[0].trace_id == text


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": None}, {"traceId": 5}, {"spanId": 7}, {"spanId": ["x"]}, {"attributes": {}}, {"attributes": {"a": 1}},
        {"attributes": "x"}, {"attributes": [5]}, {"attributes": [{"key": 5}]}, {"attributes": [{"key": "k", "value": 5}]},
        {"events": {}}, {"status": "OK"}, {"attributes": [{"key": "k", "value": {"intValue": "--5"}}]}, {"name": 5}, {"parentSpanId": 5},
    ],
)  # fmt: skip
def test_a_json_span_of_another_shape_refuses_the_export(fields):
    with pytest.raises(OTLPError):
        read_json(as_json(**fields))


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"x"', b"{", b"\xff", b'{"resourceSpans":{}}',
                                  b'{"resourceSpans":[5]}', b'{"resourceSpans":[{"scopeSpans":[null]}]}', b"[" * 9999])  # fmt: skip
def test_json_that_is_no_export_is_refused(body):
    with pytest.raises(OTLPError):
        read_json(body)


@pytest.mark.parametrize(
    ("given", "read"),
    [("1000", 1000), (1000, 1000), (1e3, 1000), ("", 0), ("x", 0), (None, 0), (-5, 0), ("-5", 0), (True, 0),
     (2**63, 0), ("9" * 30, 0), (1e300, 0), ({"high": 1, "low": 2}, 0), ("\u0663", 0)],
)  # fmt: skip
def test_json_times_are_numbers_or_decimal_texts(given, read):
    assert read_json(as_json(startTimeUnixNano=given))[0].start_ns == read


def test_times_that_do_not_fit_count_as_missing():
    more = fixed64(7, 2**63) + fixed64(8, 5)

    (found,) = read_protobuf(export(span(more=more)))

    assert (found.start_ns, found.end_ns) == (0, 5)


@pytest.mark.parametrize("code", ["STATUS_CODE_ERROR", 2])
def test_json_knows_the_error_status_by_number_and_by_name(code):
    assert read_json(as_json(status={"code": code}))[0].status_code == 2
    assert read_json(as_json(status={"code": 1}))[0].status_code == 0


def test_values_that_strict_json_has_no_word_for_become_text():
    numbers = {"nan": float("nan"), "up": float("inf"), "down": float("-inf")}

    (found,) = read_protobuf(export(span(values=numbers)))

    assert found.attributes == {"nan": "NaN", "up": "Infinity", "down": "-Infinity"}


def test_halves_of_surrogate_pairs_in_json_are_replaced():
    assert read_json(as_json(name="a\ud800b"))[0].name == "a\ufffdb"


def deep_protobuf(depth):
    """A list in a list in a list; encoded from the inside."""
    value = field(1, "x")
    for _ in range(depth):
        value = field(5, field(1, value))
    return export(field(1, TRACE) + field(2, SPAN) + field(9, field(1, "k") + field(2, value)))


def test_nesting_is_bounded():
    assert read_protobuf(deep_protobuf(50))
    with pytest.raises(OTLPError, match="nested too deep"):
        read_protobuf(deep_protobuf(5000))
    value = {"stringValue": "x"}
    for _ in range(70):
        value = {"arrayValue": {"values": [value]}}
    with pytest.raises(OTLPError, match="nested"):
        read_json(as_json(attributes=[{"key": "k", "value": value}]))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x0a", ""),
        (b"\x0a\x05abc", "ends beyond"),
        (b"\x0b", "wire type 3"),
        (b"\xff" * 11, "longer than ten bytes"),
        (field(1, 5), ""),
        (export(field(1, TRACE) + field(2, SPAN) + b"\x4a\x7fabc"), ""),
        (export(field(1, TRACE) + field(2, 5)), ""),
        (export(span(name=b"\xff\xfe")), "utf-8"),
        (export(span(more=field(9, field(1, b"\xff") + field(2, b"")))), "utf-8"),
    ],
)
def test_bytes_that_are_no_export_are_refused(body, reason):
    with pytest.raises(OTLPError, match=f"not an OTLP trace export.*{reason}"):
        read_protobuf(body)


def whole_export():
    event = field(2, "exception") + attributes(3, {"exception.type": "E"})
    more = fixed64(7, 1000) + fixed64(8, 2000) + field(11, event) + field(15, field(2, "m") + field(3, 2))
    return export(span(values=VALUES, more=more), span(values=VALUES), span(), resource={"service.name": "s"})


def test_no_cut_and_no_flipped_byte_leads_to_another_error():
    """Only OTLPError comes out: every cut of an export, then thousands of changed bytes."""
    body = whole_export()
    chance = random.Random(7)
    broken = [body[:end] for end in range(len(body))]
    for _ in range(4000):
        changed = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        broken.append(bytes(changed))
    refusals = 0
    for each in broken:
        try:
            read_protobuf(each)
        except OTLPError:
            refusals += 1

    assert refusals > len(body) - 10


def test_the_official_classes_agree():
    """Where `opentelemetry-proto` is installed: what they encode is read, value by value."""
    trace = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")
    common = pytest.importorskip("opentelemetry.proto.common.v1.common_pb2")
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

    def official(value):
        if isinstance(value, list):
            return common.AnyValue(array_value=common.ArrayValue(values=[official(each) for each in value]))
        if isinstance(value, dict):
            pairs = [common.KeyValue(key=key, value=official(each)) for key, each in value.items()]
            return common.AnyValue(kvlist_value=common.KeyValueList(values=pairs))
        if value is None:
            return common.AnyValue()
        names = {str: "string", bool: "bool", int: "int", float: "double", bytes: "bytes"}
        return common.AnyValue(**{f"{names[type(value)]}_value": value})

    pairs = [common.KeyValue(key=key, value=official(value)) for key, value in VALUES.items()]
    status = trace.Status(code=trace.Status.STATUS_CODE_ERROR, message="m")
    event = trace.Span.Event(name="exception", time_unix_nano=5, attributes=pairs[:2])
    one = trace.Span(
        trace_id=TRACE, span_id=SPAN, parent_span_id=b"\x01" * 8, name="work", kind=1, start_time_unix_nano=1000,
        end_time_unix_nano=2000, attributes=pairs, status=status, events=[event], flags=256, trace_state="s",
        links=[trace.Span.Link(trace_id=TRACE, span_id=SPAN)], dropped_attributes_count=1,
    )  # fmt: skip
    scope = common.InstrumentationScope(name="n", version="1", attributes=pairs[:1])
    request = service.ExportTraceServiceRequest(
        resource_spans=[trace.ResourceSpans(scope_spans=[trace.ScopeSpans(scope=scope, spans=[one, one])])]
    )

    first, second = read_protobuf(request.SerializeToString())

    assert first == second
    assert first.attributes == PLAIN
    assert (first.trace_id, first.span_id, first.parent_id) == (TRACE.hex(), SPAN.hex(), "01" * 8)
    assert (first.start_ns, first.end_ns, first.status_code, first.status_message) == (1000, 2000, 2, "m")
    assert first.events == [("exception", {"text": "caf\u00e9", "empty": ""})]
    assert first.source.scope_attributes == {"text": "caf\u00e9"}
