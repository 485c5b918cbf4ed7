"""What a server holds after a program, as one JSON value without ids and times: equal for programs that did the same.

Ids become words that say what they are ids of, so that the same links are equal; lists whose order depends on timing
are sorted.
"""
from __future__ import annotations

import json

from interactiveai_eval.transports.base import Request

_TIMES = frozenset("timestamp startTime endTime createdAt updatedAt latency timeToFirstToken htmlPath projectId".split())


def held(transport):
    """{"traces", "scores", "datasets"} of everything that is stored behind `transport`."""
    return _Dump(transport).whole()


class _Dump:
    def __init__(self, transport):
        self._transport = transport
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
            for item in dataset["items"]:
                self._words[item["id"]] = f"<item {json.dumps(item['input'])}>"
            for run in dataset["runs"]:
                self._words[run["id"]] = f"<run {run['name']}>"
        for trace in traces:
            self._words[trace["id"]] = f"<trace {trace['name']} {json.dumps(trace['input'])[:60]}>"
            for row in trace["observations"]:
                self._words[row["id"]] = f"<{row['type']} {row['name']} {json.dumps(row['input'])[:60]}>"
        return self._named(
            {
                "traces": _sorted([self._trace(trace, scores) for trace in traces]),
                "scores": _sorted([_bare(score) for score in scores if not score["traceId"]]),
                "datasets": [self._dataset(dataset) for dataset in datasets],
            }
        )

    def _trace(self, trace, scores):
        scores = [score for score in scores if score["traceId"] == trace["id"]]
        found = _bare(trace)
        found.pop("scores")
        rows = found.pop("observations")
        ids = {row["id"] for row in rows}
        tops = [row for row in rows if row["parentObservationId"] not in ids]
        found["observations"] = _sorted([self._below(row, rows, scores) for row in tops])
        found["scores"] = _sorted([_bare(score) for score in scores if score["observationId"] not in ids])
        return found

    def _below(self, row, rows, scores):
        found = _bare(row)
        found["completionStartTime"] = found["completionStartTime"] is not None
        found["scores"] = _sorted([_bare(score) for score in scores if score["observationId"] == row["id"]])
        below = [each for each in rows if each["parentObservationId"] == row["id"]]
        found["observations"] = _sorted([self._below(each, rows, scores) for each in below])
        return found

    def _dataset(self, dataset):
        found = _bare(dataset)
        found["items"] = [_bare(item) for item in dataset["items"]]
        found["runs"] = [
            {**_bare(run), "datasetRunItems": _sorted([_bare(item) for item in run["datasetRunItems"]])}
            for run in dataset["runs"]
        ]
        return found

    def _named(self, value):
        """`value` with words in the place of ids."""
        if isinstance(value, dict):
            return {key: self._named(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._named(each) for each in value]
        if isinstance(value, str):
            for id, word in self._words.items():
                value = value.replace(id, word)
        return value

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


def _bare(row):
    """`row` without its own times and its own id, and without who sent it."""
    found = {key: value for key, value in row.items() if key not in _TIMES and key not in ("id", "trace")}
    if isinstance(found.get("metadata"), dict) and "resourceAttributes" in found["metadata"]:
        sender = found["metadata"]["resourceAttributes"]
        for name in ("service.instance.id", "telemetry.sdk.name", "telemetry.sdk.version"):
            sender.pop(name, None)
        found["metadata"]["scope"].pop("version")
    for event in (found.get("metadata") or {}).get("events", ()) if isinstance(found.get("metadata"), dict) else ():
        event["attributes"].pop("exception.stacktrace")
    return found


def _sorted(rows):
    def key(row):
        return *[json.dumps(row.get(name)) for name in ("name", "input", "output")], json.dumps(row, sort_keys=True)

    return sorted(rows, key=key)


def _encoded(name):
    return "".join(f"%{byte:02X}" for byte in name.encode())


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
