"""What a run costs: CPU and memory an item, wall time against the physical limit, time to import and to first result.

    python -m tests.bench.run [cost|overlap|memory|start] [--repeats N]

Every figure is the median over processes of their own, which take turns, so that a drift of the machine hits all alike.
`floor` is the same work in a bare asyncio loop with a semaphore.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


# -- the work ----------------------------------------------------------------------------------------------------------


def items(n):
    for i in range(n):
        yield {"input": {"question": f"What is {i} + {i}?", "n": i}, "expected_output": str(2 * i), "metadata": {"row": i}}


async def task(*, item, **kwargs):
    return str(2 * item["input"]["n"])


def exact(*, input, output, expected_output=None, metadata=None, **kwargs):
    from interactiveai_eval import Evaluation

    return Evaluation(name="exact", value=1.0 if output == expected_output else 0.0)


def length(*, input, output, expected_output=None, metadata=None, **kwargs):
    from interactiveai_eval import Evaluation

    return Evaluation(name="length", value=float(len(output)))


def sleeper(seconds, kind):
    if kind == "plain":
        return lambda **kwargs: time.sleep(seconds)

    async def wait(**kwargs):
        await asyncio.sleep(seconds)

    return wait


# -- one measurement, in a process of its own --------------------------------------------------------------------------


def measured(call):
    cpu, wall = time.process_time(), time.perf_counter()
    value = call()
    return value, time.process_time() - cpu, time.perf_counter() - wall


def cost(where, n):
    """CPU an item, in microseconds: "off" (tracing off, nothing sent), "memory" or "file" (all traced and stored)."""
    data = list(items(n))
    if where == "floor":
        _, cpu, _ = measured(lambda: asyncio.run(floor(data)))
        return {"us": cpu / n * 1e6}
    from interactiveai_eval import Interactive

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "eval.db") if where == "file" else None
        with Interactive.local(path, tracing_enabled=where != "off") as client:
            arguments = {"name": "bench", "task": task, "evaluators": [exact, length]}
            client.run_experiment(data=data[:10], **arguments)  # loads what is loaded lazily
            result, cpu, _ = measured(lambda: client.run_experiment(data=data, **arguments))
        assert len(result.item_results) == n and (where == "off" or result.delivery.acknowledged == 5 * n)
    return {"us": cpu / n * 1e6}


async def floor(data):
    from interactiveai_eval import Evaluation

    places = asyncio.Semaphore(50)
    results = []

    async def one(item):
        async with places:
            output = await task(item=item)
            found = [e(input=item["input"], output=output, expected_output=item["expected_output"]) for e in (exact, length)]
            results.append((item, output, found, Evaluation))

    await asyncio.gather(*[one(item) for item in data])


def overlap(what, kind):
    """Wall time of 200 items of 0.1 s (or two evaluators of 0.05 s), 50 at a time, over 0.4 s."""
    from interactiveai_eval import Interactive

    arguments = {"task": task, "evaluators": []}
    if what == "task":
        arguments["task"] = sleeper(0.1, kind)
    else:
        arguments["evaluators"] = [sleeper(0.05, kind), sleeper(0.05, kind)]
    with Interactive.local() as client:
        client.run_experiment(name="bench", data=list(items(2)), task=task)
        _, _, wall = measured(
            lambda: client.run_experiment(name="bench", data=list(items(200)), max_concurrency=50, **arguments)
        )
    return {"ratio": wall / 0.4}


def memory(kept, n):
    """Peak memory over that before the run, in KB an item; the items come from a generator."""
    from interactiveai_eval import Interactive

    seen = [0]

    def count(result):
        seen[0] += 1

    with tempfile.TemporaryDirectory() as folder:
        with Interactive.local(os.path.join(folder, "eval.db")) as client:
            arguments = {"name": "bench", "task": task, "evaluators": [exact, length]}
            client.run_experiment(data=items(500), **arguments)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            more = {} if kept == "kept" else {"keep_results": False, "on_result": count}
            client.run_experiment(data=items(n), **arguments, **more)
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"kb": (after - before) / n, "mb": (after - before) / 1024}


def start(source):
    """Whole process, in milliseconds."""
    command = {
        "bare": ["-I", "-S", "-c", "pass"],
        "import interactiveai_eval": ["-c", "import interactiveai_eval"],
        "Interactive, Evaluation": ["-c", "from interactiveai_eval import Interactive, Evaluation"],
        "demo --limit 1": ["-m", "interactiveai_eval", "demo", "--limit", "1", "--output", os.devnull + ".html"],
    }[source]
    return command


# -- tables ------------------------------------------------------------------------------------------------------------


def in_process(*arguments):
    command = [sys.executable, "-m", "tests.bench.run", "--one", *map(str, arguments)]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def medians(cases, repeats, figure):
    rows = {case: [] for case in cases}
    for _ in range(repeats):
        for case in cases:
            rows[case].append(in_process(*case)[figure])
    return {case: statistics.median(found) for case, found in rows.items()}


def table_cost(repeats):
    sizes = (1000, 5000, 20000, 50000)
    found = medians([("cost", where, n) for n in sizes for where in ("floor", "off", "memory", "file")], repeats, "us")
    print(f"CPU an item in us, medians of {repeats}; x floor")
    print(f"{'items':>8} {'floor':>8} {'tracing off':>16} {'memory':>16} {'SQLite file':>16}")
    for n in sizes:
        base = found["cost", "floor", n]
        cells = [f"{found['cost', w, n]:8.1f} ({found['cost', w, n] / base:4.1f}x)" for w in ("off", "memory", "file")]
        print(f"{n:>8} {base:8.1f} " + " ".join(f"{cell:>16}" for cell in cells))


def table_overlap(repeats):
    found = medians([("overlap", what, kind) for what in ("task", "evaluators") for kind in ("plain", "coroutine")], repeats, "ratio")
    print(f"200 items of 0.1 s, 50 at a time: wall over the limit of 0.4 s, medians of {repeats}")
    for (_, what, kind), ratio in found.items():
        print(f"  {kind:>10} {what:<12} {ratio:5.3f}")


def table_memory(repeats):
    n = 100_000
    found = medians([("memory", kept, n) for kept in ("kept", "streamed")], repeats, "mb")
    print(f"{n} items from a generator, into a SQLite file: growth of peak memory, medians of {repeats}")
    for (_, kept, _), mb in found.items():
        print(f"  {kept:>10} {mb:8.1f} MB {mb * 1024 / n:8.2f} KB an item")


def table_start(repeats):
    sources = ("bare", "import interactiveai_eval", "Interactive, Evaluation", "demo --limit 1")
    rows = {source: [] for source in sources}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": ROOT, "PYTHONPYCACHEPREFIX": os.path.join(folder, "cache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for turn in range(repeats * 5 + 1):
            for source in sources:
                arguments = start(source)
                if source == "demo --limit 1":
                    arguments = [*arguments[:-1], os.path.join(folder, "report.html")]
                elif source != "bare":
                    arguments = ["-S", *arguments]
                began = time.perf_counter()
                subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True, cwd=folder)
                if turn:  # the first round writes the byte code
                    rows[source].append((time.perf_counter() - began) * 1000)
    print(f"whole process in ms, medians of {repeats * 5}; over a bare interpreter")
    bare = statistics.median(rows["bare"])
    for source in sources:
        found = statistics.median(rows[source])
        print(f"  {source:<28} {found:7.1f} {found - bare:+8.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", choices=("cost", "overlap", "memory", "start"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, *arguments = options.one
        arguments = [int(a) if a.isdigit() else a for a in arguments]
        print(json.dumps({"cost": cost, "overlap": overlap, "memory": memory}[name](*arguments)))
        return
    tables = {"cost": table_cost, "overlap": table_overlap, "memory": table_memory, "start": table_start}
    for name, table in tables.items():
        if options.table in (None, name):
            table(options.repeats)
            print()


if __name__ == "__main__":
    main()
