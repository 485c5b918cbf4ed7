"""Where we differ from the reference on purpose. Each function takes what both left and makes equal what one trap explains.

Nothing else may differ. Numbers are those of the reference's known defects; the two letters are ours.
"""
from __future__ import annotations

ITEM = "experiment-item-run"


def d43_one_environment(reference, ours):
    """The reference's scores of an experiment, and spans below an item's, have the client's environment."""
    for trace in reference["traces"]:
        if trace["environment"] == "sdk-experiment":
            for row in _below(trace):
                for each in (row, *row["scores"]):
                    each["environment"] = "sdk-experiment"
    for score in reference["scores"]:
        if score["datasetRunId"]:
            score["environment"] = "sdk-experiment"


def d52_booleans_are_booleans(reference, ours):
    """A bare True arrives as the number 1.0 from the reference."""
    for trace in ours["traces"]:
        for row in _below(trace):
            for score in row["scores"]:
                if score["name"] == "truth" and score.pop("stringValue") == "True":
                    score["dataType"] = "NUMERIC"


def d53_one_id_for_a_local_run(reference, ours):
    """The reference draws one for every item, and keeps run-level evaluations of local runs nowhere."""
    for one in (reference, ours):
        for trace in one["traces"]:
            for row in _below(trace):
                said = (row["metadata"] or {}).get("attributes", {})
                if "langfuse.experiment.id" in said and "langfuse.experiment.dataset.id" not in said:
                    said["langfuse.experiment.id"] = "<experiment>"
    ours["scores"] = [score for score in ours["scores"] if (score["datasetRunId"] or "<run ").startswith("<run ")]


def d54_failed_items_are_recorded(reference, ours):
    """The reference leaves out the input and the metadata of an item that fails."""
    for one in (reference, ours):
        for trace in one["traces"]:
            (top, *_) = trace["observations"]
            if top["name"] == ITEM and top["level"] == "ERROR":
                for row in (trace, top):
                    row["input"] = None
                    kept = ("attributes", "events", "resourceAttributes", "scope")
                    row["metadata"] = {key: row["metadata"][key] for key in kept if key in row["metadata"]}


def d56_evaluators_have_spans(reference, ours):
    """In the reference evaluators run inside the item's span, unseen, and make it longer."""
    for trace in ours["traces"]:
        for top in trace["observations"]:
            if top["name"] == ITEM:
                top["observations"] = [row for row in top["observations"] if row["type"] != "EVALUATOR"]


def a_failed_calls_tell_where(reference, ours):
    """A function that is observed and fails leaves its exception as an event; in the reference only its text."""
    for trace in ours["traces"]:
        for row in _below(trace):
            if row["name"] in ("failing", "model call"):
                row["metadata"].pop("events", None)


def b_item_metadata_of_any_kind(reference, ours):
    """The reference leaves out metadata of an item that are no mapping."""
    for trace in ours["traces"]:
        for row in (trace, *trace["observations"]):
            if row["metadata"].get("metadata") == "not a dict" and trace["name"] == ITEM:
                row["metadata"].pop("metadata")


EXCEPTIONS = (
    d43_one_environment,
    d52_booleans_are_booleans,
    d53_one_id_for_a_local_run,
    d54_failed_items_are_recorded,
    d56_evaluators_have_spans,
    a_failed_calls_tell_where,
    b_item_metadata_of_any_kind,
)


def _below(row):
    yield row
    for each in row["observations"]:
        yield from _below(each)
