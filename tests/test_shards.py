"""Parts of a run, made anywhere and perhaps twice, and the one result that they come to."""
from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

import interactiveai_eval
from interactiveai_eval import ArgumentError, Evaluation, ExperimentResult, Interactive, rescore
from interactiveai_eval.testing import ManualClock

ROOT = os.path.dirname(next(iter(interactiveai_eval.__path__)))
DATA = [{"id": f"item {i % 11}", "input": i, "expected_output": i % 3} for i in range(13)]


def task(*, item):
    if item["input"] == 5:
        raise ValueError("five")
    return item["input"] % 4


def right(*, output, expected_output):
    return output == expected_output


def fragile(*, input):
    if input == 7:
        raise KeyError("seven")
    return [Evaluation(name="size", value=input / 3), Evaluation(name="kind", value="odd" if input % 2 else "even")]


def total(*, item_results):
    return [Evaluation(name="none", value=None), Evaluation(name="total", value=len(item_results))]


def run(client, shard=None, data=DATA, **settings):
    known = {
        "name": "sharded",
        "data": data,
        "task": task,
        "evaluators": [right, fragile],
        "repetitions": 2,
        "experiment_id": "one run",
        "run_name": "sharded - one run",
        "description": "in parts",
        "metadata": {"commit": "abc"},
    }
    return client.run_experiment(**{**known, **settings}, shard=shard)


def client_of_this_time():
    return Interactive.local(clock=ManualClock())


def stored(client):
    """All that the store has, without the times at which it came."""
    traces = client.api.traces(limit=100)["data"]
    scores = client.api.scores(limit=100)["data"]
    return sorted(trace["id"] for trace in traces), sorted((s["id"], s["name"], str(s["value"])) for s in scores)


@pytest.mark.parametrize("parts", [1, 3, 20])
@pytest.mark.parametrize("keep", [True, False])
def test_merged_shards_are_what_one_run_gives(parts, keep):
    """Results, failures, statistics, delivery and summary; more parts than items leave some empty."""
    with client_of_this_time() as one:
        whole = run(one, keep_results=keep)
        in_one = stored(one)
    with client_of_this_time() as several:
        results = [run(several, (part, parts), keep_results=keep, run_name=None) for part in range(parts)]
        in_parts = stored(several)

    merged = ExperimentResult.merge(reversed(results))

    assert in_parts == in_one
    if keep:
        assert merged == whole
        assert merged.summary() == whole.summary()
    else:
        names = ["succeeded", "failed"]
        assert [getattr(merged.tally, name) for name in names] == [getattr(whole.tally, name) for name in names]
        for name, metric in whole.tally.metrics.items():
            found = merged.tally.metrics[name]
            assert (found.n, found.labels, found.least, found.most) == (
                metric.n,
                metric.labels,
                metric.least,
                metric.most,
            )
            assert [found.mean, found.stdev] == [
                pytest.approx(metric.mean) if metric.mean is not None else None,
                pytest.approx(metric.stdev) if metric.stdev is not None else None,
            ]


def test_shards_are_disjoint_and_repetitions_and_equal_ids_stay_together(client):
    results = [run(client, (part, 4)) for part in range(4)]
    places = [[(each.index, each.repetition) for each in (*r.item_results, *r.item_failures)] for r in results]

    assert sorted(place for found in places for place in found) == [(index, repetition) for index in range(13) for repetition in (0, 1)]
    shard_of = {index: part for part, found in enumerate(places) for index, _ in found}
    assert shard_of[0] == shard_of[11] and shard_of[1] == shard_of[12]
    assert len(set(shard_of.values())) == 4


def test_async_data_is_cut_in_the_same_parts(client):
    async def source():
        for item in DATA:
            yield item

    one, other = run(client, (1, 3), data=source()), run(client, (1, 3))

    assert [each.trace_id for each in one.item_results] == [each.trace_id for each in other.item_results] != []


def test_items_that_cannot_be_read_are_in_one_shard(client):
    """Their id is a text that may differ from process to process."""
    broken = [object() for _ in range(6)]
    results = [run(client, (part, 2), data=broken, repetitions=1) for part in (0, 1)]

    assert sorted(failure.index for result in results for failure in result.item_failures) == list(range(6))
    assert [len(result.item_failures) for result in results] == [
        len(run(client, (part, 2), data=[object() for _ in range(6)], repetitions=1).item_failures) for part in (0, 1)
    ]


def test_a_shard_that_runs_twice_has_the_effect_of_one():
    with client_of_this_time() as once, client_of_this_time() as twice:
        first = [run(once, (part, 2)) for part in (0, 1)]
        again = [run(twice, (part, 2)) for part in (0, 1, 1)]

        assert ExperimentResult.merge(again) == ExperimentResult.merge(first)
        assert stored(twice) == stored(once)


def test_of_a_shard_that_ran_twice_the_last_completed_one_counts(client):
    first, second = (run(client, (part, 2)) for part in (0, 1))
    killed = second.replaced(completed=False, item_results=[], resume_token={"checkpoint": "b"})
    later = second.replaced(duration_seconds=1000.0)

    assert ExperimentResult.merge([first, second, killed]) == ExperimentResult.merge([first, second])
    assert ExperimentResult.merge([first, later, killed, second]).duration_seconds < 1000.0
    assert not ExperimentResult.merge([first, killed]).completed


def test_a_merge_that_lacks_a_shard_is_not_completed(client):
    merged = ExperimentResult.merge([run(client, (0, 2))])

    assert not merged.completed and merged.resume_token is None and merged.shard is None


def test_run_evaluators_judge_the_merged_run_and_their_scores_land_once():
    def run_scores(client):
        found = client.api.scores(limit=100)["data"]
        return [(each["id"], each["value"]) for each in found if each["name"] == "total"]

    with client_of_this_time() as one, client_of_this_time() as several:
        whole = run(one, run_evaluators=[total])
        results = [run(several, (part, 3)) for part in range(3)]
        for _ in range(2):
            merged = rescore(ExperimentResult.merge(results), None, run_evaluators=[total], client=several)

        assert merged == whole
        assert run_scores(several) == run_scores(one) and len(run_scores(one)) == 1
        assert rescore(ExperimentResult.merge(results[:2]), None, run_evaluators=[total]).run_evaluations == []


def test_a_shard_says_of_which_run_evaluators_it_cannot_judge(client):
    with pytest.raises(ArgumentError, match=r"run_evaluators=\['total'\]: judge whole runs, not shards: rescore"):
        run(client, (0, 2), run_evaluators=[total])


def test_shards_of_a_run_need_the_id_that_they_share(client):
    with pytest.raises(ArgumentError, match="experiment_id=None: is what the shards of a run have in common"):
        run(client, (0, 2), experiment_id=None)


@pytest.mark.parametrize("wrong", [(2, 2), (-1, 2), (0, 0), "0/2", (0.0, 2), 1])
def test_what_is_no_shard_is_refused_before_any_work(client, wrong):
    with pytest.raises(ArgumentError, match=r"shard=.*: must be \(k, n\)"):
        run(client, wrong)


def test_shards_of_a_data_set_share_its_run(client):
    client.create_dataset(name="d")
    for number in range(6):
        client.create_dataset_item(dataset_name="d", id=f"n{number}", input=number)
    data = client.get_dataset("d")
    results = [
        client.run_experiment(name="e", data=data, task=lambda item: item.input, experiment_id="x", shard=(part, 3))
        for part in range(3)
    ]

    merged = ExperimentResult.merge(results)
    linked = client.get_dataset_run(dataset_name="d", run_name="e - x").dataset_run_items

    assert [each.output for each in merged.item_results] == [each.input for each in data] and len(linked) == 6
    assert merged.dataset_run_id is not None and merged.dataset_run_url is not None


def test_a_shard_is_saved_and_loaded_and_travels(client, tmp_path):
    result = run(client, (1, 3), data=[{"input": n} for n in range(9)])
    result.save(tmp_path / "part.json")

    assert ExperimentResult.load(tmp_path / "part.json").shard == (1, 3)
    assert pickle.loads(pickle.dumps(result)).shard == (1, 3)
    with pytest.raises(interactiveai_eval.errors.DataError, match="shard: "):
        ExperimentResult.from_dict({**result.to_dict(), "shard": [3, 3]})


def test_a_shard_goes_on_by_its_own_checkpoint(client, tmp_path):
    ran = []

    def counted(*, item):
        ran.append(item["input"])
        return item["input"]

    settings = {"task": counted, "repetitions": 1, "checkpoint": tmp_path / "journal"}
    first = run(client, (0, 2), **settings)
    again = run(client, (0, 2), **settings)

    assert len(ran) == len(first.item_results) > 0
    assert again.item_results == first.item_results


CHANGES = {
    "name": "other",
    "run_name": "other",
    "experiment_id": "other",
    "description": None,
    "metadata": {},
    "dataset_run_id": "other",
    "evaluator_stats": [],
    "shard": (1, 3),
}


@pytest.mark.parametrize("field", CHANGES)
def test_results_of_other_runs_are_refused_by_the_field_that_differs(client, field):
    first, second = (run(client, (part, 2)).replaced(dataset_run_id="d") for part in (0, 1))

    with pytest.raises(ArgumentError, match=rf"{field} is .* in results\[0\] and .* in results\[1\]"):
        ExperimentResult.merge([first, second.replaced(**{field: CHANGES[field]})])


def test_shards_of_other_data_are_refused_where_they_overlap(client):
    first, second = run(client, (0, 2)), run(client, (1, 2))
    moved = second.replaced(item_results=[each.replaced(index=first.item_results[0].index) for each in second.item_results])

    with pytest.raises(ArgumentError, match=r"index \d+ is in results\[0\] and results\[1\]"):
        ExperimentResult.merge([first, moved])


@pytest.mark.parametrize("wrong", [[], None, 5, [None]])
def test_what_is_no_list_of_results_is_refused(wrong):
    with pytest.raises(ArgumentError, match="must be a list of at least one ExperimentResult"):
        ExperimentResult.merge(wrong)


def test_whole_runs_and_kept_with_counted_results_do_not_merge(client):
    with pytest.raises(ArgumentError, match=r"results\[0\] is of a whole run: its shard is None"):
        ExperimentResult.merge([run(client)])
    with pytest.raises(ArgumentError, match=r"tally is None in results\[0\]"):
        ExperimentResult.merge([run(client, (0, 2)), run(client, (1, 2), keep_results=False)])


# -- the command line --------------------------------------------------------------------------------------------------

TASKS = "def double(*, item): return item['input'] * 2\n"


def command(folder, *arguments, **environment):
    (folder / "tasks.py").write_text(TASKS)
    (folder / "data.jsonl").write_text("".join(f'{{"input": {n}}}\n' for n in range(8)))
    known = {name: value for name, value in os.environ.items() if not name.startswith("INTERACTIVEAI_")}
    return subprocess.run(
        [sys.executable, "-m", "interactiveai_eval", "run", "tasks.py:double", "--data", "data.jsonl", *arguments],
        env={**known, "PYTHONPATH": ROOT, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_a_jobs_processes_are_told_their_shard_by_option_or_variable(tmp_path):
    """A Kubernetes indexed job has JOB_COMPLETION_INDEX; how many there are is said, not guessed."""
    ways = [
        (("--shard", "0/3"), {}),
        ((), {"INTERACTIVEAI_SHARD": "1/3"}),
        ((), {"INTERACTIVEAI_SHARD": "JOB_COMPLETION_INDEX/3", "JOB_COMPLETION_INDEX": "2"}),
    ]
    for number, (arguments, environment) in enumerate(ways):
        ended = command(tmp_path, "--experiment-id", "x", "--output", f"{number}.json", *arguments, **environment)
        assert ended.returncode == 0, ended.stderr

    merged = ExperimentResult.merge(ExperimentResult.load(tmp_path / f"{number}.json") for number in range(3))

    assert merged.completed and [each.output for each in merged.item_results] == [2 * n for n in range(8)]


@pytest.mark.parametrize(
    "arguments, environment, complaint",
    [
        (["--shard", "NOWHERE/3"], {}, "'NOWHERE/3': must be K/N"),
        (["--shard", "INDEX/3"], {"INDEX": "3"}, "(INDEX is '3')"),
        ([], {"INTERACTIVEAI_SHARD": "3"}, "INTERACTIVEAI_SHARD='3': '3': must be K/N"),
        (["--shard", "0/3"], {}, "experiment_id=None"),
    ],
)
def test_a_shard_that_cannot_be_known_is_a_usage_error(tmp_path, arguments, environment, complaint):
    ended = command(tmp_path, *arguments, **environment)

    assert ended.returncode == 2 and complaint in ended.stderr
