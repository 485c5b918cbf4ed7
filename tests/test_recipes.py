"""The recipes for work that one process does not do: several real processes against one real server."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from interactiveai_eval import ExperimentResult, Interactive, LocalServer

ROOT = os.path.dirname(os.path.dirname(__file__))


@pytest.fixture
def server():
    with LocalServer() as made:
        yield made


@pytest.fixture
def start(server, tmp_path):
    """Starts a recipe as its engine would: a process of its own, told where the server is by the environment."""
    shutil.copytree(os.path.join(os.path.dirname(__file__), "recipes"), tmp_path, dirs_exist_ok=True)
    items = [{"input": f"{n} * {n}", "expected_output": n * n if n % 3 else 0} for n in range(30)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    environment = {
        **os.environ,
        "PYTHONPATH": ROOT,
        "INTERACTIVEAI_BASE_URL": server.url,
        "INTERACTIVEAI_PUBLIC_KEY": server.public_key,
        "INTERACTIVEAI_SECRET_KEY": server.secret_key,
    }
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)

    def started(recipe, **more):
        command = [sys.executable, recipe]
        if recipe.endswith(".sh"):
            command = ["sh", "-ec", (tmp_path / recipe).read_text().replace("python3", sys.executable)]
        return subprocess.Popen(command, cwd=tmp_path, env={**environment, **more}, text=True, **pipes)

    return started


def ended(*processes, sends=None):
    """(exit code, stdout) of each; `sends` is what the one process is told."""
    answers = [process.communicate(sends, timeout=60) for process in processes]
    assert all("Traceback" not in err for _, err in answers), answers
    return [(process.returncode, out) for process, (out, _) in zip(processes, answers)]


def all_of(server):
    return Interactive(base_url=server.url, public_key=server.public_key, secret_key=server.secret_key)


def test_an_indexed_job_gives_one_result_although_one_of_its_processes_ran_twice(server, start, tmp_path):
    jobs = [start("indexed_job.sh", RUN="job 7", JOB_COMPLETION_INDEX=str(index)) for index in (0, 1, 2, 3)]
    assert [code for code, _ in ended(*jobs)] == [0, 0, 0, 0]
    assert ended(start("indexed_job.sh", RUN="job 7", JOB_COMPLETION_INDEX="2"))[0][0] == 0
    for _ in range(2):
        assert ended(start("after_job.py")) == [(0, "")]

    result = ExperimentResult.load(tmp_path / "result.json")
    with all_of(server) as client:
        traces = client.api.traces(limit=1)["meta"]["totalItems"]
        scores = client.api.scores(limit=1)["meta"]["totalItems"]
    assert [each.output for each in result.item_results] == [n * n for n in range(30)]
    assert [evaluation.value for evaluation in result.run_evaluations] == [21 / 30]
    assert (result.completed, traces, scores) == (True, 30, 31)


def test_a_state_machine_passes_the_token_along_until_there_is_none(server, start):
    with all_of(server) as client:
        for number in range(30):
            client.start_span(name="recorded", input=number, output=number).end()
    states = [{"run": "machine 3", "shard": [part, 2]} for part in (0, 1)]
    first_steps = [json.dumps(state) for state in states]
    rounds = 0
    while states:
        rounds += 1
        steps = [start("step.py") for _ in states]
        answers = [ended(step, sends=json.dumps(state))[0] for step, state in zip(steps, states)]
        assert [code for code, _ in answers] == [0] * len(states)
        states = [state for state in map(json.loads, (out for _, out in answers)) if state["token"] is not None]
    ended(start("step.py"), sends=first_steps[0])  # a step that the machine tries again, late

    with all_of(server) as client:
        found = [client.api.scores(limit=100, page=page)["data"] for page in (1, 2)]
    assert rounds >= 3 and len({score["traceId"] for page in found for score in page}) == 30
    assert sum(map(len, found)) == 30


def test_a_cron_job_goes_on_until_it_is_complete(server, start, tmp_path):
    both = ended(start("cron.sh"), start("cron.sh"))  # one finds the other at work
    assert sorted(code for code, _ in both) == [2, 3]
    codes = []
    while not codes or (codes[-1] == 3 and len(codes) < 10):
        codes += [code for code, _ in ended(start("cron.sh"))]

    with all_of(server) as client:
        meta = client.api.scores(limit=1)["meta"], client.api.traces(limit=1)["meta"]
    assert codes == [*[3] * (len(codes) - 1), 0]
    assert ExperimentResult.load(tmp_path / "result.json").completed
    assert [each["totalItems"] for each in meta] == [30, 30]
