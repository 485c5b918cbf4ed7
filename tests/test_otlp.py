"""Spans as OTLP/protobuf: read back by a small decoder of our own, and by the official classes where they are."""
from __future__ import annotations

import random
import struct

import pytest

from interactiveai_eval import FakeTransport, Interactive, Response
from interactiveai_eval.testing import CountingIds, ManualClock
from interactiveai_eval.tracing.otlp import CONTENT_TYPE, SharedAttributes, encode_export, encode_span

# -- a decoder written from the protobuf encoding and opentelemetry-proto, not from the encoder ------------------------


def fields_of(data):
    """(field number, wire type, value) of every field; fails on whatever does not add up."""
    position = 0

    def varint():
        nonlocal position
        number = shift = 0
        while True:
            byte = data[position]
            position += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                assert shift == 7 or byte, "a varint is longer than it needs to be"
                return number

    found = []
    while position < len(data):
        key = varint()
        number, wire = key >> 3, key & 7
        if wire == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(wire) or (varint() if wire == 2 else None)
            value = data[position : position + size]
            assert len(value) == size, "a field ends beyond its message"
            position += size
        found.append((number, wire, value))
    return found


def message(data, **schema):
    """A message as a dict; `schema` maps names to (number, reader) or (number, reader, "many")."""
    by_number = {number: (name, reader, bool(many)) for name, (number, reader, *many) in schema.items()}
    found = {name: [] for name, (_, _, *many) in schema.items() if many}
    for number, wire, value in fields_of(data):
        name, reader, many = by_number[number]
        wanted, convert = reader
        assert wire == wanted, f"{name} has wire type {wire}"
        if many:
            found[name].append(convert(value))
        else:
            assert name not in found, f"{name} comes twice"
            found[name] = convert(value)
    return found


TEXT = (2, lambda value: value.decode("utf-8"))
HEX = (2, bytes.hex)
UINT = (0, int)
BOOL = (0, bool)
INT64 = (0, lambda value: value - 2**64 if value >= 2**63 else value)
FIXED64 = (1, lambda value: struct.unpack("<Q", value)[0])
FIXED32 = (5, lambda value: struct.unpack("<I", value)[0])
DOUBLE = (1, lambda value: struct.unpack("<d", value)[0])


def any_value(data):
    found = message(data, text=(1, TEXT), bool=(2, BOOL), int=(3, INT64), double=(4, DOUBLE), array=(5, (2, array)))
    assert len(found) <= 1
    return next(iter(found.values()), None)


def array(data):
    return message(data, values=(1, (2, any_value), "many"))["values"]


def attributes(pairs):
    assert len(dict(pairs)) == len(pairs), "an attribute comes twice"
    return dict(pairs)


def key_value(data):
    found = message(data, key=(1, TEXT), value=(2, (2, any_value)))
    return found["key"], found["value"]


KEY_VALUES = (2, key_value)


def event(data):
    found = message(data, time=(1, FIXED64), name=(2, TEXT), attributes=(3, KEY_VALUES, "many"))
    return {**found, "attributes": attributes(found["attributes"])}


def status(data):
    return message(data, message=(2, TEXT), code=(3, UINT))


def span(data):
    found = message(
        data,
        trace_id=(1, HEX),
        span_id=(2, HEX),
        parent_span_id=(4, HEX),
        name=(5, TEXT),
        kind=(6, UINT),
        start=(7, FIXED64),
        end=(8, FIXED64),
        attributes=(9, KEY_VALUES, "many"),
        events=(11, (2, event), "many"),
        status=(15, (2, status)),
        flags=(16, FIXED32),
    )
    return {**found, "attributes": attributes(found["attributes"])}


def resource(data):
    return attributes(message(data, attributes=(1, KEY_VALUES, "many"))["attributes"])


def scope(data):
    found = message(data, name=(1, TEXT), version=(2, TEXT), attributes=(3, KEY_VALUES, "many"))
    return {**found, "attributes": attributes(found["attributes"])}


def export(data):
    """(resource attributes, scope, spans) of an export with one of each."""
    (resource_spans,) = message(data, resource_spans=(1, (2, bytes), "many"))["resource_spans"]
    outer = message(resource_spans, resource=(1, (2, resource)), scope_spans=(2, (2, bytes), "many"))
    (scope_spans,) = outer["scope_spans"]
    inner = message(scope_spans, scope=(1, (2, scope)), spans=(2, (2, span), "many"))
    return outer["resource"], inner["scope"], inner["spans"]


# -- spans -------------------------------------------------------------------------------------------------------------


class Made:
    """A span as the encoder wants it."""

    def __init__(self, **fields):
        self.trace_id = "0123456789abcdef0123456789abcdef"
        self.id = "fedcba9876543210"
        self.parent_id = None
        self.name = "n"
        self.start_ns = 1
        self.end_ns = 2
        self.attributes = {}
        self.shared = ()
        self.events = []
        self.error_message = None
        vars(self).update(fields)


def encoded_value(value):
    return span(encode_span(Made(attributes={"k": value})))["attributes"]["k"]


def test_every_field_of_a_span_stands_where_the_protocol_wants_it():
    made = Made(
        parent_id="00000000000000aa",
        name="task \u00e9",
        start_ns=1_763_632_800_000_000_001,
        end_ns=1_763_632_800_500_000_002,
        attributes={"langfuse.observation.type": "span", "n": 5},
        events=[(1_763_632_800_000_000_003, "exception", {"exception.type": "ValueError", "exception.escaped": "False"})],
        error_message="ValueError: boo",
    )

    assert span(encode_span(made)) == {
        "trace_id": "0123456789abcdef0123456789abcdef",
        "span_id": "fedcba9876543210",
        "parent_span_id": "00000000000000aa",
        "name": "task \u00e9",
        "kind": 1,
        "start": 1_763_632_800_000_000_001,
        "end": 1_763_632_800_500_000_002,
        "attributes": {"langfuse.observation.type": "span", "n": 5},
        "events": [
            {
                "time": 1_763_632_800_000_000_003,
                "name": "exception",
                "attributes": {"exception.type": "ValueError", "exception.escaped": "False"},
            }
        ],
        "status": {"code": 2, "message": "ValueError: boo"},
        "flags": 0x100,
    }


def test_a_root_span_without_an_error_has_no_parent_and_no_status():
    """UNSET is the absence of a status, and an empty parent id is none."""
    assert span(encode_span(Made())) == {
        "trace_id": "0123456789abcdef0123456789abcdef",
        "span_id": "fedcba9876543210",
        "name": "n",
        "kind": 1,
        "start": 1,
        "end": 2,
        "attributes": {},
        "events": [],
        "flags": 0x100,
    }


VALUES = [
    ("", ""),
    ("text", "text"),
    ("\u00e9\u4e2d\U0001f600\x00\u2028", "\u00e9\u4e2d\U0001f600\x00\u2028"),
    ("a\ud800b", "a\ufffdb"),
    ("\ud83d\ude00", "\U0001f600"),
    (True, True),
    (False, False),
    (0, 0),
    (1, 1),
    (-1, -1),
    (127, 127),
    (128, 128),
    (16_383, 16_383),
    (16_384, 16_384),
    (2**53, 2**53),
    (2**63 - 1, 2**63 - 1),
    (-(2**63), -(2**63)),
    (2**63, "9223372036854775808"),
    (-(2**63) - 1, "-9223372036854775809"),
    (10**5000, "<integer of 16610 bits>"),
    (0.0, 0.0),
    (-1.5, -1.5),
    (1e300, 1e300),
    (float("inf"), float("inf")),
    ([], []),
    (["a", 1, -2, 2.5, True, ""], ["a", 1, -2, 2.5, True, ""]),
    (("a", ("b", [])), ["a", ["b", []]]),
    ([None, "a"], [None, "a"]),
    ({"a": {1}}, '{"a": [1]}'),
    (b"bytes", "bytes"),
]


@pytest.mark.parametrize("value, expected", VALUES, ids=range(len(VALUES)))
def test_every_type_of_attribute_is_read_back(value, expected):
    found = encoded_value(value)

    assert found == expected and type(found) is type(expected)


def test_nan_is_a_double_like_others():
    assert encoded_value(float("nan")) != encoded_value(float("nan"))


def test_attributes_that_are_none_are_left_out_and_the_others_keep_their_order():
    made = Made(attributes={"b": 1, "gone": None, "a": 2}, events=[(5, "e", {"x": None})])

    found = span(encode_span(made))

    assert list(found["attributes"].items()) == [("b", 1), ("a", 2)] and found["events"][0]["attributes"] == {}


@pytest.mark.parametrize("size", [0, 1, 119, 120, 127, 128, 16_383, 16_384, 20_000, 2_097_152])
def test_lengths_of_any_size_are_right(size):
    """Lengths take one byte up to 127, two up to 16,383, then more; each level around the text has one of its own."""
    text = "x" * size
    made = Made(name=text, attributes={"k": text, "after": 1}, events=[(1, text, {"k": text})], error_message=text)

    found = span(encode_span(made))

    assert (found["name"], found["attributes"]["k"], found["status"]["message"]) == (text, text, text)
    assert found["attributes"]["after"] == 1 and found["events"][0]["attributes"] == {"k": text}


def test_names_of_attributes_may_be_long_and_of_any_script():
    """More names than are remembered, and longer ones."""
    names = [*(f"key {i}" for i in range(2500)), "k" * 300, "\u4e2d", "a\ud800", ""]

    found = span(encode_span(Made(attributes=dict.fromkeys(names, 1))))

    assert list(found["attributes"]) == [*names[:-2], "a\ufffd", ""]


def test_shared_attributes_come_before_the_spans_own():
    shared = SharedAttributes({"run": "r", "n": 1}), SharedAttributes({"item": "i", "gone": None})

    for number in range(2):
        made = Made(shared=shared, attributes={"own": number})
        assert list(span(encode_span(made))["attributes"].items()) == [
            ("run", "r"),
            ("n", 1),
            ("item", "i"),
            ("own", number),
        ]


def test_an_export_has_one_resource_and_one_scope_around_its_spans():
    spans = [encode_span(Made(id=f"{number:016x}")) for number in (1, 2, 3)]

    encoded = encode_export(
        spans,
        resource={"service.name": "s", "langfuse.release": None, "n": 5},
        scope_name="scope",
        scope_version="1.2",
        scope_attributes={"public_key": "pk"},
    )

    found_resource, found_scope, found_spans = export(encoded)
    assert found_resource == {"service.name": "s", "n": 5}
    assert found_scope == {"name": "scope", "version": "1.2", "attributes": {"public_key": "pk"}}
    assert [found["span_id"] for found in found_spans] == [f"{number:016x}" for number in (1, 2, 3)]


def test_an_export_without_spans_is_well_formed():
    encoded = encode_export([], resource={}, scope_name="", scope_version="", scope_attributes={})

    assert export(encoded) == ({}, {"name": "", "version": "", "attributes": {}}, [])


def test_what_a_client_sends_says_who_sent_it():
    """WIRE.md 2.9: resource, scope and content type as servers of this family know them."""
    transport = FakeTransport(lambda request: Response(200, body=b"{}"))
    client = Interactive(
        transport=transport,
        public_key="pk-1",
        environment="staging",
        release="v7",
        clock=ManualClock("2026-01-01T00:00:00Z"),
        ids=CountingIds(),
    )
    with client, client.start_as_current_span(name="work", input={"q": 1}):
        pass

    (request,) = transport.requests
    assert (request.method, request.path) == ("POST", "/api/public/otel/v1/traces")
    assert request.headers["content-type"] == CONTENT_TYPE == "application/x-protobuf"
    found_resource, found_scope, found_spans = export(request.body)
    version = found_scope.pop("version")
    assert found_resource == {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "interactiveai_eval",
        "telemetry.sdk.version": version,
        "service.name": "unknown_service:python",
        "langfuse.environment": "staging",
        "langfuse.release": "v7",
    }
    assert found_scope == {"name": "interactiveai-sdk", "attributes": {"public_key": "pk-1"}}
    assert found_spans == [
        {
            "trace_id": f"{1:032x}",
            "span_id": f"{2:016x}",
            "name": "work",
            "kind": 1,
            "start": 1_767_225_600_000_000_000,
            "end": 1_767_225_600_000_000_000,
            "attributes": {
                "langfuse.observation.type": "span",
                "langfuse.environment": "staging",
                "langfuse.observation.input": '{"q": 1}',
            },
            "events": [],
            "flags": 0x100,
        }
    ]


# -- the official classes ----------------------------------------------------------------------------------------------


def official_value(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [official_value(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def official_attributes(pairs):
    return {pair.key: official_value(pair.value) for pair in pairs}


def official(data):
    """The same three as `export`, from the generated classes."""
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    request = service.ExportTraceServiceRequest.FromString(data)
    (resource_spans,) = request.resource_spans
    (scope_spans,) = resource_spans.scope_spans
    found = []
    for each in scope_spans.spans:
        fields = {
            "trace_id": each.trace_id.hex(),
            "span_id": each.span_id.hex(),
            "name": each.name,
            "kind": each.kind,
            "start": each.start_time_unix_nano,
            "end": each.end_time_unix_nano,
            "attributes": official_attributes(each.attributes),
            "events": [
                {
                    "time": one.time_unix_nano,
                    "name": one.name,
                    "attributes": official_attributes(one.attributes),
                }
                for one in each.events
            ],
            "flags": each.flags,
        }
        if each.parent_span_id:
            fields["parent_span_id"] = each.parent_span_id.hex()
        if each.HasField("status"):
            fields["status"] = {"code": each.status.code, "message": each.status.message}
        assert not each.trace_state and not each.links and not each.dropped_attributes_count
        found.append(fields)
    scope_fields = {
        "name": scope_spans.scope.name,
        "version": scope_spans.scope.version,
        "attributes": official_attributes(scope_spans.scope.attributes),
    }
    return official_attributes(resource_spans.resource.attributes), scope_fields, found


def random_value(rng, depth=0):
    kinds = ["text", "long", "bool", "int", "big", "double", "none", *(["list"] if depth < 3 else [])]
    kind = rng.choice(kinds)
    if kind == "text":
        return "".join(rng.choices("ab \u00e9\u4e2d\U0001f600\ud800\x00\n", k=rng.randrange(20)))
    if kind == "long":
        return "\u00e9x" * rng.randrange(20_000)
    if kind == "list":
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {
        "bool": rng.random() < 0.5,
        "int": rng.randrange(-1000, 1000),
        "big": rng.randrange(-(2**64), 2**64),
        "double": rng.uniform(-1e9, 1e9),
        "none": None,
    }[kind]


def random_span(rng):
    return Made(
        trace_id=f"{rng.getrandbits(128):032x}",
        id=f"{rng.getrandbits(64):016x}",
        parent_id=rng.choice([None, f"{rng.getrandbits(64):016x}"]),
        name=str(random_value(rng)),
        start_ns=rng.randrange(2**63),
        end_ns=rng.randrange(2**63),
        attributes={f"a{i}": random_value(rng) for i in range(rng.randrange(8))},
        shared=(SharedAttributes({"run": random_value(rng)}),),
        events=[(rng.randrange(2**63), "exception", {"m": random_value(rng)}) for _ in range(rng.randrange(3))],
        error_message=rng.choice([None, "", "E: m\ud800"]),
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_official_classes_read_the_same_as_our_decoder(seed):
    """Runs where opentelemetry-proto is installed; any span, field by field."""
    pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    rng = random.Random(seed)
    encoded = encode_export(
        [encode_span(random_span(rng)) for _ in range(10)],
        resource={"r": random_value(rng)},
        scope_name="s\u00e9",
        scope_version="1",
        scope_attributes={"public_key": random_value(rng)},
    )

    assert official(encoded) == export(encoded)


def test_the_official_classes_agree_with_every_literal():
    for value, expected in VALUES:
        encoded = encode_export(
            [encode_span(Made(attributes={"k": value}))],
            resource={},
            scope_name="",
            scope_version="",
            scope_attributes={},
        )
        assert official(encoded)[2][0]["attributes"]["k"] == expected
