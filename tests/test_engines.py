"""Engines that users bring, real ones: what comes back is what a run in this process gives.

`.ci/engines` gives each an environment of its own; where an engine is not installed its tests are skipped.
"""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from interactiveai_eval import Interactive

from . import far

ROOT = os.path.dirname(os.path.dirname(__file__))
# How many of GSM8K's 1,319 problems, with four solutions each: more where an engine is tried for its own sake.
PROBLEMS = 300 if os.environ.get("ENGINE") else 20


@contextmanager
def of_processes():
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(2) as pool:
        yield pool


@contextmanager
def of_loky():
    loky = pytest.importorskip("loky")
    with loky.ProcessPoolExecutor(2, timeout=60) as pool:
        yield pool


@contextmanager
def of_dask():
    """Two worker processes on loopback."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster, distributed.Client(cluster) as client, client.get_executor() as pool:
        yield pool


ENGINES = {"processes": of_processes, "loky": of_loky, "dask": of_dask}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    with ENGINES[request.param]() as pool:
        yield pool


@pytest.fixture(scope="module")
def here():
    """What the run gives in this process, and what its store shows."""
    with Interactive.local() as client:
        result = client.run_experiment(data=far.gsm8k(PROBLEMS), **far.SOLVING)
        return far.told(result), far.picture(client)


def test_four_models_are_judged_as_they_are_here(engine, here):
    """Evaluation by evaluation and span by span, those included that the functions open far away."""
    with Interactive.local() as client:
        result = client.run_experiment(data=far.gsm8k(PROBLEMS), executor=engine, max_concurrency=100, **far.SOLVING)

        assert far.told(result) == here[0]
        assert far.picture(client) == here[1]


def test_dask_loses_a_worker_and_no_item(tmp_path):
    """One of two workers is gone in mid-run: its items are run again, and those of the other are not."""
    items = [{"input": number, "metadata": str(tmp_path / "died") if number == 7 else None} for number in range(40)]
    with of_dask() as pool, Interactive.local() as client:
        result = client.run_experiment(
            name="lost", data=items, task=far.dies_at, executor=pool, executor_group=2, max_concurrency=10
        )

    assert (tmp_path / "died").exists()
    assert [each.output for each in result.item_results] == list(range(40)) and result.item_failures == []


@pytest.mark.parametrize("name", ["processes", "loky"])
def test_engines_that_break_with_a_worker_say_so_in_the_failures(name, tmp_path):
    """They take nothing more once a worker has died: what was on its way fails with their error, after a second try."""
    items = [{"input": number, "metadata": str(tmp_path / "died") if number == 5 else None} for number in range(12)]
    with ENGINES[name]() as pool, Interactive.local() as client:
        result = client.run_experiment(
            name="lost", data=items, task=far.dies_at, executor=pool, executor_group=1, max_concurrency=2
        )

    wanted = {"processes": "BrokenProcessPool", "loky": "TerminatedWorkerError"}[name]
    assert {failure.error_type for failure in result.item_failures} == {wanted}
    assert len(result.item_results) + len(result.item_failures) == 12 and result.item_results[0].output == 0


MPI = """
    import sys
    from mpi4py.futures import MPIPoolExecutor
    from interactiveai_eval import Interactive
    from tests import far

    if __name__ == "__main__":
        items = far.gsm8k(int(sys.argv[1]))
        shown = []
        with MPIPoolExecutor() as pool:
            for executor in (None, pool):
                with Interactive.local() as client:
                    result = client.run_experiment(data=items, executor=executor, max_concurrency=100, **far.SOLVING)
                    shown.append((far.told(result), far.picture(client)))
        print(len(result.item_results), shown[0] == shown[1])
"""


def test_mpi_judges_as_it_is_judged_here(tmp_path):
    pytest.importorskip("mpi4py")
    if shutil.which("mpiexec") is None:
        pytest.skip("there is no mpiexec")
    from textwrap import dedent

    (tmp_path / "program.py").write_text(dedent(MPI))
    environment = {**os.environ, "PYTHONPATH": ROOT, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    loopback = ["--oversubscribe", "--mca", "btl", "self,vader", "--mca", "oob_tcp_if_include", "lo"]
    ended = subprocess.run(
        ["mpiexec", *loopback, "-n", "3", sys.executable, "-m", "mpi4py.futures", "program.py", str(PROBLEMS)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )

    count = 4 * PROBLEMS
    assert ended.stdout.split()[-1:] == ["True"], ended.stderr
    assert count * 0.9 < int(ended.stdout.split()[0]) <= count
