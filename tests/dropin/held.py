"""What a server holds after a program, as one JSON value without ids and times: equal for programs that did the same.

Ids become words that say what they are ids of, so that the same links are equal; `in_order` sorts what came in an order
that timing makes.
"""
from __future__ import annotations

import json
import re

from interactiveai_eval.transports.base import Request

_TIMES = frozenset("timestamp startTime endTime createdAt updatedAt latency timeToFirstToken htmlPath projectId".split())
_SENDER = ("service.instance.id", "telemetry.sdk.name", "telemetry.sdk.version")
_moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|\+00:00)")


def held(transport, source):
    """{"traces", "scores", "datasets"} of all that is stored behind `transport`; `source` is the program's text."""
    return _Dump(transport, source).whole()


class _Dump:
    def __init__(self, transport, source):
        self._transport = transport
        self._source = source
        self._words = {}

    def whole(self):
        traces = [self._get(f"traces/{row['id']}") for row in self._pages("traces")]
        datasets = self._pages("v2/datasets")
        scores = self._pages("v2/scores")
        for dataset in datasets:
            name = _encoded(dataset["name"])
            dataset["items"] = self._pages("dataset-items", datasetName=dataset["name"], includeArchived="true")
            dataset["runs"] = [
                self._get(f"datasets/{name}/runs/{_encoded(run['name'])}") for run in self._pages(f"datasets/{name}/runs")
            ]
            self._words[dataset["id"]] = f"<data set {dataset['name']}>"
            for run in dataset["runs"]:
                self._words[run["id"]] = f"<run {run['name']}>"
        for trace in traces:
            self._words[trace["id"]] = f"<trace {_told(trace)}>"
            for row in trace["observations"]:
                self._words[row["id"]] = f"<{row['type']} {_told(row)}>"
        found = {
            "traces": [self._trace(trace, scores) for trace in traces],
            "scores": [_bare(score) for score in scores if not score["traceId"]],
            "datasets": [self._dataset(dataset) for dataset in datasets],
        }
        text = _moment.sub("<time>", json.dumps(found))
        for id, word in self._words.items():
            text = text.replace(f'"{id}"', json.dumps(word))
        return json.loads(text)

    def _trace(self, trace, scores):
        scores = [score for score in scores if score["traceId"] == trace["id"]]
        found = _bare(trace)
        found.pop("scores")
        rows = found.pop("observations")
        ids = {row["id"] for row in rows}
        tops = [row for row in rows if row["parentObservationId"] not in ids]
        for row in tops:
            # The reference makes up the id of a parent where only a trace is joined.
            if f'"{row["parentObservationId"]}"' not in self._source:
                row["parentObservationId"] = None
        found["observations"] = [self._below(row, rows, scores) for row in tops]
        found["scores"] = [_bare(score) for score in scores if score["observationId"] not in ids]
        return found

    def _below(self, row, rows, scores):
        found = _bare(row)
        found["completionStartTime"] = found["completionStartTime"] is not None
        found["scores"] = [_bare(score) for score in scores if score["observationId"] == row["id"]]
        below = [each for each in rows if each["parentObservationId"] == row["id"]]
        found["observations"] = [self._below(each, rows, scores) for each in below]
        return found

    def _dataset(self, dataset):
        items = [{**_bare(item), "id": item["id"]} for item in dataset["items"]]
        runs = [{**_bare(run), "datasetRunItems": [_bare(item) for item in run["datasetRunItems"]]} for run in dataset["runs"]]
        return {**_bare(dataset), "items": items, "runs": runs}

    def _get(self, path, **query):
        response = self._transport.send(Request("GET", f"/api/public/{path}", query=tuple(query.items())))
        assert response.status == 200, response.body
        return json.loads(response.body)

    def _pages(self, path, **query):
        rows, page = [], 1
        while True:
            answer = self._get(path, page=str(page), limit="100", **query)
            rows += answer["data"]
            if page >= answer["meta"]["totalPages"]:
                return rows
            page += 1


def _told(row):
    """What tells a trace or an observation from others in the words for its id."""
    said = row["metadata"].get("attributes", {}) if isinstance(row["metadata"], dict) else {}
    return f"{row['name']} {said.get('langfuse.experiment.item.id') or json.dumps(row['input'])[:60]}"


def _bare(row):
    """`row` without its own times and its own id, and without who sent it and where the code lies."""
    found = {key: value for key, value in row.items() if key not in _TIMES and key not in ("id", "trace")}
    metadata = found.get("metadata")
    if isinstance(metadata, dict) and "resourceAttributes" in metadata:
        sender = {key: value for key, value in metadata["resourceAttributes"].items() if key not in _SENDER}
        scope = {key: value for key, value in metadata["scope"].items() if key != "version"}
        found["metadata"] = {**metadata, "resourceAttributes": sender, "scope": scope}
        for event in metadata.get("events", ()):
            event["attributes"].pop("exception.stacktrace", None)
    return found


def in_order(value):
    """`value` with every list of objects in an order of its own."""
    if isinstance(value, dict):
        return {key: in_order(each) for key, each in value.items()}
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return sorted(map(in_order, value), key=_key)
    return value


def _key(row):
    return [json.dumps(row.get(name)) for name in ("name", "input", "output")], json.dumps(row, sort_keys=True)


def differences(first, second, at=""):
    """(place, first, second) of all that differs, in words for a test's message."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted({*first, *second}):
            yield from differences(first.get(key, "<absent>"), second.get(key, "<absent>"), f"{at}.{key}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, (one, two) in enumerate(zip(first, second)):
            yield from differences(one, two, f"{at}[{number}]")
    elif first != second or type(first) is not type(second):
        yield at, first, second


def _encoded(name):
    return "".join(f"%{byte:02X}" for byte in name.encode())
