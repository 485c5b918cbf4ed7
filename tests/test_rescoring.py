"""`rescore`: recorded outputs are judged again, the task does not run, and nothing of the recorded run is lost."""
from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from interactiveai_eval import ArgumentError, DataError, Evaluation, ExperimentResult, Interactive, rescore

from .programs import start

ITEMS = [
    {"input": number, "expected_output": 2 * number, "metadata": {"odd": bool(number % 2)}} for number in range(4)
]


def double(*, item):
    if item["input"] == 2:
        raise ValueError("no")
    return 2 * item["input"]


def exact(*, output, expected_output):
    return output == expected_output


@pytest.fixture
def recorded(client):
    return client.run_experiment(name="e", run_name="r", data=ITEMS, task=double, evaluators=[exact])


@pytest.fixture
def client():
    with Interactive.local() as client:
        yield client


def test_outputs_are_judged_again_and_the_rest_stays(recorded):
    async def size(*, output, metadata):
        await asyncio.sleep(0)
        return {"name": "size", "value": output, "metadata": metadata}

    def ill(**kwargs):
        raise RuntimeError("judge is ill")

    def total(*, item, evaluations):
        return {"name": "total", "value": item["input"] + sum(each.value for each in evaluations)}

    def failed(*, item_results, item_failures):
        return {"name": "failed", "value": len(item_failures) / (len(item_results) + len(item_failures))}

    again = rescore(recorded, [size, ill], composite_evaluator=total, run_evaluators=[failed, ill])

    changed = ("item_results", "run_evaluations", "run_evaluator_failures", "evaluator_stats", "duration_seconds", "delivery")
    assert {name: value for name, value in again.items() if name not in changed} == {
        name: value for name, value in recorded.items() if name not in changed
    }
    assert [
        result.replaced(evaluations=[], evaluator_failures=[]) for result in again.item_results
    ] == [result.replaced(evaluations=[], evaluator_failures=[]) for result in recorded.item_results]
    assert [[(each.name, each.value) for each in result.evaluations] for result in again.item_results] == [
        [("size", 0), ("total", 0)], [("size", 2), ("total", 3)], [("size", 6), ("total", 9)]
    ]  # fmt: skip
    assert again.item_results[1].evaluations[0].metadata == {"odd": True}
    assert {failure.evaluator for result in again.item_results for failure in result.evaluator_failures} == {"ill"}
    assert [(row.name, row.total_runs, row.failed_runs) for row in again.evaluator_stats] == [
        ("size", 3, 0), ("ill", 3, 3), ("total", 3, 0)
    ]  # fmt: skip
    assert [(each.name, each.value) for each in again.run_evaluations] == [("failed", 0.25)]
    assert [failure.evaluator for failure in again.run_evaluator_failures] == ["ill"]
    assert again.completed and again.delivery.acknowledged == 0


def test_evaluators_see_what_was_recorded_and_change_nothing(recorded):
    seen = []

    def look(*, item, trace_id, duration_seconds):
        seen.append((item["input"], trace_id, duration_seconds))
        item.clear()
        return True

    rescore(recorded, [look], max_concurrency=1)

    assert seen == [
        (result.item["input"], result.trace_id, result.duration_seconds) for result in recorded.item_results
    ]


def test_a_saved_result_is_read_from_its_file_and_can_be_saved_and_compared_again(recorded, tmp_path):
    recorded.save(tmp_path / "e.json")

    for path in (tmp_path / "e.json", str(tmp_path / "e.json")):
        again = rescore(path, [exact])
        again.save(tmp_path / "again.json")
        assert ExperimentResult.load(tmp_path / "again.json").item_results == recorded.item_results


def test_without_a_client_nothing_is_sent_and_with_one_scores_go_to_the_recorded_traces_once(client, recorded):
    def close(*, output):
        return [Evaluation(name="close", value=output), Evaluation(name="close", value=0.5), float("nan"), None]

    def mean(*, item_results):
        return {"name": "mean", "value": 1.0}

    before = client.api.scores()["meta"]["totalItems"]
    rescore(recorded, [close])
    assert client.api.scores()["meta"]["totalItems"] == before

    for _ in range(2):
        again = rescore(recorded, [close], run_evaluators=[mean], client=client)
        assert (again.delivery.acknowledged, again.delivery.skipped) == (3 * 2 + 1, 3)
    rows = client.api.scores()["data"]
    assert len(rows) == before + 7
    traces = {result.trace_id for result in recorded.item_results}
    assert {row["traceId"] for row in rows if row["name"] == "close"} == traces
    assert {row["environment"] for row in rows} == {"sdk-experiment"}
    assert sum(row["name"] == "exact" for row in rows) == 3  # those of the experiment are still there


def test_with_tracing_off_scores_are_counted_as_skipped(recorded):
    with Interactive(tracing_enabled=False, base_url="local:") as silent:
        again = rescore(recorded, [exact], client=silent)

    assert (again.delivery.acknowledged, again.delivery.skipped) == (0, 3)


@pytest.mark.parametrize("evaluators, skipped", [([exact], 4), (None, 1)])
def test_in_an_empty_sample_scores_of_the_run_are_skipped_too(recorded, evaluators, skipped):
    """Those of its items were, and a run does the same with its own."""
    with Interactive.local(sample_rate=0.0) as client:
        again = rescore(recorded, evaluators, run_evaluators=[lambda *, item_results: 1], client=client)
        assert client.api.scores()["meta"]["totalItems"] == 0

    assert again.delivery.skipped == skipped
    assert {problem.reason for problem in again.delivery.problems} == {"the trace is not sampled"}


def test_an_executor_and_a_timeout_are_used(recorded):
    released, names = threading.Event(), []

    def slow(*, output):
        names.append(threading.current_thread().name)
        released.wait(20 if output == 2 else 0)
        return 1

    with ThreadPoolExecutor(4, thread_name_prefix="mine") as pool:
        again = rescore(recorded, [slow], executor=pool, evaluator_timeout=0.3)
        released.set()

    assert [failure.error_type for result in again.item_results for failure in result.evaluator_failures] == ["TimeoutError"]
    assert all(name.startswith("mine") for name in names)


def test_it_runs_inside_a_running_loop_and_tells_how_far_it_is(recorded):
    told = []

    async def main():
        return rescore(recorded, [exact], progress=told.append)

    assert asyncio.run(main()).item_results == recorded.item_results
    assert [details.done for details in told] == [1, 2, 3]


def test_a_result_of_nothing_is_judged_as_nothing(client):
    empty = client.run_experiment(name="e", data=[], task=double)

    assert rescore(empty, [exact], run_evaluators=[lambda *, item_results: len(item_results)]).run_evaluations[0].value == 0


def test_an_item_whose_evaluators_all_fail_has_no_composite(recorded):
    def ill(**kwargs):
        raise RuntimeError("judge is ill")

    again = rescore(recorded, [ill], composite_evaluator=lambda *, evaluations: 1)

    assert [row.total_runs for row in again.evaluator_stats] == [3, 0]


def test_what_cannot_be_judged_is_refused_before_any_call(client, recorded, tmp_path):
    counts = client.run_experiment(name="e", data=ITEMS, task=double, keep_results=False)
    (tmp_path / "torn.json").write_text("{")
    calls = []

    def judge(*, output):
        calls.append(output)

    for given, more, error, message in [
        (counts, {}, ArgumentError, "keep_results=False"),
        (5, {}, ArgumentError, "saved_result"),
        (tmp_path / "e.txt", {}, ArgumentError, r"\.json"),
        (tmp_path / "none.json", {}, OSError, "none.json"),
        (tmp_path / "torn.json", {}, DataError, "torn.json"),
        (recorded, {"evaluators": judge}, ArgumentError, "evaluators"),
        (recorded, {"evaluators": [lambda *, unheard_of: 1]}, ArgumentError, "unheard_of"),
        (recorded, {"composite_evaluator": 5}, ArgumentError, "composite_evaluator"),
        (recorded, {"run_evaluators": [5]}, ArgumentError, "run_evaluators"),
        (recorded, {"max_concurrency": 0}, ArgumentError, "max_concurrency"),
        (recorded, {"evaluator_timeout": -1}, ArgumentError, "evaluator_timeout"),
        (recorded, {"executor": 5}, ArgumentError, "executor"),
        (recorded, {"progress": 5}, ArgumentError, "progress"),
        (recorded, {"client": 5}, ArgumentError, "client"),
    ]:
        with pytest.raises(error, match=message):
            rescore(given, **{"evaluators": [judge], **more})
    assert calls == []


STOPPED = """
    import sys, threading
    from interactiveai_eval import rescore

    def judge(*, output):
        if output == 2:
            print("waiting", flush=True)
            threading.Event().wait(60)
        return 1.0

    try:
        rescore(sys.argv[1], [judge], max_concurrency=1, run_evaluators=[lambda *, item_results: 1])
    except KeyboardInterrupt as stop:
        stop.result.save(sys.argv[2])
"""


def test_stopped_by_a_signal_it_has_what_was_judged_and_the_rest_as_failures(recorded, tmp_path):
    saved, partial = tmp_path / "e.json", Path(tmp_path / "partial.json")
    recorded.save(saved)
    program = start(STOPPED, str(saved), str(partial))
    assert program.stdout.readline() == "waiting\n"
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=30)

    result = ExperimentResult.load(partial)
    assert [each.index for each in result.item_results] == [0], err
    assert [(each.index, each.stage) for each in result.item_failures] == [(1, "cancelled"), (2, "task"), (3, "cancelled")]
    assert not result.completed and result.run_evaluations == []
