"""Values of every kind as inputs, outputs and metadata of spans, data set items and scores."""
import collections
import dataclasses
import datetime
import enum
import pathlib
import uuid

from interactiveai import Interactive

client = Interactive(mask=lambda *, data: data.replace("secret", "***") if isinstance(data, str) else data)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Plain:
    def __init__(self):
        self.a = 1
        self.b = [2]


UTC = datetime.timezone.utc
VALUES = {
    "true": True, "zero": 0, "five": 5, "half": 0.5, "large": 2**53, "text": "just text", "json text": '{"j": 1}',
    "digits": "007", "number text": "7", "true text": "true", "empty": "", "unicode": "\u00e9\u4e2d\U0001f600", "list": [1, [2, None]],
    "tuple": (1, 2), "set": {1}, "frozenset": frozenset([1]), "range": range(3), "deque": collections.deque([1]),
    "aware": datetime.datetime(2025, 1, 2, 3, 4, 5, 678900, tzinfo=UTC), "date": datetime.date(2025, 1, 2),
    "zone": datetime.datetime(2025, 1, 2, 3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=5))),
    "path": pathlib.Path("/a/b"), "uuid": uuid.UUID(int=5), "bytes": b"text", "enum": Colour.RED, "dataclass": Point(1, 2.5),
    "plain": Plain(), "error": ValueError("boo"), "int keys": {1: "a", None: "b"}, "deep": {"a": {"b": {"c": [1, {"d": ()}]}}},
    "dates": {datetime.date(2025, 1, 2): 1}, "masked": "the secret word", "masked deep": {"k": "secret"},
}  # fmt: skip
for name, value in VALUES.items():
    with client.start_as_current_span(name=name, input=value, metadata={"value": value, "other": 1}) as span:
        span.update(output=[value])

client.create_dataset(name="values", metadata=[1, {"a": None}])
for number, name in enumerate(("true", "zero", "half", "text", "json text", "number text", "unicode", "list", "tuple", "deep", "aware", "date")):
    client.create_dataset_item(dataset_name="values", id=f"v-{number}", input=VALUES[name], expected_output=[VALUES[name]])
trace_id = client.create_trace_id(seed="scores")
for number, value in enumerate((1, 2.5, "word", -3, 10**20, "7", "")):
    client.create_score(name=f"score {number}", value=value, trace_id=trace_id, metadata={"n": [value]}, comment=str(value))
client.start_span(name="for the scores", trace_context={"trace_id": trace_id}).end()
client.flush()
client.shutdown()
