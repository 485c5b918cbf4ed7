"""What arrives in batches: OTLP exports, and the events of older clients (WIRE.md section 9.2)."""
from __future__ import annotations

from io import BytesIO

from ...errors import FeatureUnavailable
from . import observations, traces
from .exchange import Answer, Refusal, invalid, text_field
from .listing import LEVELS, OBSERVATION_TYPES
from .otlp_reader import OTLPError, Span, read_json, read_protobuf
from .schema import OBSERVATIONS, SCORES
from .scores import score_row
from .spans import Export
from .wire_values import columns_of, encode, environment_of, merged_metadata, ns_to_text, text_to_ns, value_to_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from .exchange import Call

_LARGEST_INFLATED_BYTES = 256 * 2**20  # a made-up bound: sixteen times what real servers call oversized


def receive_spans(call: Call) -> dict[str, Any]:
    """POST otel/v1/traces."""
    spans = _spans(call)
    version = call.request.headers.get("x-langfuse-ingestion-version", "")
    if spans and version and not (version.isdecimal() and int(version) <= 4):
        raise Refusal(400, {"error": f"Unsupported x-langfuse-ingestion-version: {version[:40]!r}. Maximum: 4"})
    store = call.store
    with store.database.write() as connection:
        export = Export(traces.load(connection, {span.trace_id for span in spans}), store.now_ns())
        for span in spans:
            export.add(span)
        OBSERVATIONS.save(connection, export.rows)
        traces.save(connection, export.traces.values())
    return {}


def _spans(call: Call) -> list[Span]:
    headers, body = call.request.headers, call.request.body
    content_type = headers.get("content-type", "").lower()
    if "gzip" in headers.get("content-encoding", ""):
        body = _inflated(body)
    try:
        if "application/x-protobuf" in content_type:
            return read_protobuf(body)
        if "application/json" in content_type:
            return read_json(body)
    except OTLPError as error:
        raise Refusal(400, {"error": f"Failed to parse OTel trace: {error}"}) from None
    raise Refusal(400, {"error": "Invalid content type"})


def _inflated(body: bytes) -> bytes:
    try:
        import zlib

        from ..inflating import TooLarge, Unfinished, inflate
    except ImportError:
        raise FeatureUnavailable("a compressed request", "zlib") from None
    found, data, at = BytesIO(), memoryview(body), 0
    try:
        while at < len(body):
            at = inflate(data, at, 31, found, _LARGEST_INFLATED_BYTES)
    except (TooLarge, Unfinished, zlib.error) as error:
        told = str(error) or "cut off, or too large"
        raise Refusal(400, {"error": f"Failed to decompress request body: {told}"}) from None
    return found.getvalue()


def receive_events(call: Call) -> Answer:
    """POST ingestion: one bad event does not hurt the others."""
    batch = call.fields().get("batch")
    if type(batch) is not list:
        refusal = invalid("Invalid input: expected array", "batch", code="invalid_type")
        raise Refusal(400, {"message": refusal.body["message"], "errors": refusal.body["error"]})
    events = _Events(call)
    successes, errors = [], []
    for event in batch:
        name = event.get("id") if type(event) is dict else None
        try:
            if events.add(event):
                successes.append({"id": name, "status": 201})
        except Refusal as refusal:
            problem = refusal.body["error"][0]["message"]
            errors.append({"id": name, "status": 400, "message": "Invalid request data", "error": problem})
    events.save()
    return Answer(207, {"successes": successes, "errors": errors})


def receive_one(call: Call) -> dict[str, Any]:
    """POST traces, spans, generations, events; PATCH spans, generations: one event, as the oldest clients send it."""
    noun = call.request.path.rpartition("/")[2]
    fields = call.fields()
    if noun != "events" and call.request.method == "POST":
        fields["id"] = text_field(fields, "id") or call.store.ids.trace_id()
    fields.setdefault("id", fields.get(f"{noun[:-1]}Id"))  # spanId, generationId
    verb = "create" if call.request.method == "POST" else "update"
    events = _Events(call)
    events.add({"id": "", "timestamp": ns_to_text(call.store.now_ns()), "type": f"{noun[:-1]}-{verb}", "body": fields})
    events.save()
    return {"id": fields["id"]}


class _Events:
    """One batch: events become scores at once; changes of traces and observations wait for the transaction."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._store = call.store
        self._now_ns = call.store.now_ns()
        self._scores: list[tuple[Any, ...]] = []
        self._changes: list[Callable[[Any], None]] = []

    def add(self, event: Any) -> bool:
        """Whether the event is worth mentioning in the answer. Raises Refusal."""
        event = self._call.as_fields(event)
        body, kind = event.get("body"), event.get("type")
        event_ns = text_to_ns(event.get("timestamp"))
        if type(event.get("id")) is not str or event_ns is None or type(kind) is not str:
            raise invalid("Invalid input: an event has id, timestamp (with zone), type and body", code="invalid_type")
        if kind == "sdk-log":
            return False
        body = self._call.as_fields(body)
        if kind == "score-create":
            self._scores.append(score_row(self._store, body, self._now_ns))
            return True
        if kind == "trace-create":
            self._changes.append(self._trace_change(body, event_ns))
            return True
        noun, _, verb = kind.rpartition("-")
        if verb not in ("create", "update") or noun.upper() not in (*OBSERVATION_TYPES, "OBSERVATION"):
            raise invalid(f"Invalid input: unknown type {kind[:80]!r}", "type", code="invalid_union")
        self._changes.append(self._observation_change(body, noun.upper(), event_ns))
        return True

    def save(self) -> None:
        """Write everything in one transaction."""
        with self._store.database.write() as connection:
            SCORES.save(connection, self._scores)
            for change in self._changes:
                change(connection)

    def _trace_change(self, body: Mapping[str, Any], event_ns: int) -> Callable[[Any], None]:
        texts = {field: text_field(body, name) for name, field in _TRACE_TEXTS}
        trace_id, name = text_field(body, "id") or self._store.ids.trace_id(), text_field(body, "name")
        tags = body.get("tags")
        if tags is not None and (type(tags) is not list or any(type(tag) is not str for tag in tags)):
            raise invalid("Invalid input: expected array of strings", "tags", code="invalid_type")
        start_ns = text_to_ns(body.get("timestamp"))
        environment = environment_of(body.get("environment"))
        now_ns = self._now_ns  # a closure over `self`, which holds it, would keep the body until the next collection

        def change(connection: Any) -> None:
            trace = traces.load(connection, (trace_id,)).get(trace_id)
            if trace is None:
                trace = traces.Trace(trace_id, event_ns, environment, now_ns)
            if start_ns is not None:
                trace.start_ns, trace.given = start_ns, trace.given | traces.TIME
            if body.get("environment") is not None:
                trace.environment = environment
            for field, text in texts.items():
                if text is not None:
                    setattr(trace, field, text)
            trace.give(name, *[value_to_text(body.get(field)) for field in ("input", "output")])
            trace.add_metadata(_metadata_text(body))
            trace.add_tags(tags or ())
            if type(body.get("public")) is bool:
                trace.public = int(body["public"])
            traces.save(connection, [trace])

        return change

    def _observation_change(self, body: Mapping[str, Any], kind: str, event_ns: int) -> Callable[[Any], None]:
        observation_id = text_field(body, "id", needed=True) or ""
        given: dict[str, Any] = {column: text_field(body, name) for name, column in _OBSERVATION_TEXTS}
        given.update({column: text_to_ns(body.get(name)) for name, column in _OBSERVATION_TIMES.items()})
        given.update({name: value_to_text(body.get(name)) for name in ("input", "output")})
        given["type"] = str(body.get("type", "")).upper() if kind == "OBSERVATION" else kind
        if given["type"] not in OBSERVATION_TYPES:
            raise invalid("Invalid input: unknown type", "type", code="invalid_value")
        if body.get("level") is not None and body["level"] not in LEVELS:
            raise invalid(f"Invalid option: expected one of {'|'.join(LEVELS)}", "level", code="invalid_value")
        given["level"] = body.get("level")
        given["environment"] = None if body.get("environment") is None else environment_of(body["environment"])
        given["model_parameters"] = value_to_text(body.get("modelParameters"))
        version = body.get("promptVersion")
        given["prompt_version"] = version if type(version) is int and abs(version) < 2**63 else None
        usage: Any = body.get("usage")
        usage = usage if type(usage) is dict else {}
        amounts = observations.usage_columns(
            body.get("usageDetails") or {part: usage.get(name) for name, part in _USAGE.items() if name in usage},
            body.get("costDetails") or {part: usage[f"{part}Cost"] for part in _PARTS if f"{part}Cost" in usage},
        )
        given.update(zip(_USAGE_COLUMNS, amounts))
        now_ns = self._now_ns

        def change(connection: Any) -> None:
            stored = observations.load(connection, "id", observation_id)
            row = dict.fromkeys(OBSERVATIONS.columns)
            row.update(id=observation_id, start_ns=event_ns, level="DEFAULT", environment="default")
            row.update(stored[0] if stored else {"created_ns": now_ns})
            row.update({column: value for column, value in given.items() if value is not None})
            row["metadata"] = merged_metadata(row["metadata"], _metadata_text(body))
            OBSERVATIONS.save(connection, [tuple(row.values())])

        return change


_TRACE_TEXTS = columns_of("userId sessionId release version")
_OBSERVATION_TEXTS = (
    ("parentObservationId", "parent_id"), *columns_of("traceId name statusMessage version model promptName"),
)  # fmt: skip
_OBSERVATION_TIMES = {"startTime": "start_ns", "endTime": "end_ns", "completionStartTime": "completion_start_ns"}
_PARTS = ("input", "output", "total")
_USAGE = {
    **{part: part for part in _PARTS}, "promptTokens": "input", "completionTokens": "output", "totalTokens": "total",
}  # fmt: skip
_USAGE_COLUMNS = (
    *[f"{part}_tokens" for part in _PARTS], *[f"{part}_cost" for part in _PARTS], "usage_details", "cost_details",
)  # fmt: skip


def _metadata_text(body: Mapping[str, Any]) -> str | None:
    """The metadata of an event, always an object where there is any."""
    metadata = body.get("metadata")
    if metadata is None:
        return None
    return encode(metadata if type(metadata) is dict else {"metadata": metadata})
