"""What a batch evaluation costs: traces a second, wall time against the slowest stage, memory at any size.

    python -m tests.bench.bench_batch [rate|pipeline|memory] [--repeats N] [--most N]

Every figure is the median over processes of their own, which take turns.
"""
from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def record(client, count, size):
    """Store traces a millisecond apart with about `size` characters each."""
    for first in range(0, count, 500):
        bodies = [
            {
                "id": f"t{i}",
                "timestamp": f"2025-11-{1 + i // 86_400_000:02}T{i // 3_600_000 % 24:02}:{i // 60_000 % 60:02}:"
                f"{i // 1000 % 60:02}.{i % 1000:03}Z",
                "input": {"n": i, "text": "x" * (size // 2)},
                "output": "y" * (size // 2),
            }
            for i in range(first, min(count, first + 500))
        ]
        client.api.send_events(
            [{"id": f"e{b['id']}", "timestamp": b["timestamp"], "type": "trace-create", "body": b} for b in bodies]
        )


def mapper(item):
    return {"input": item.input, "output": item.output}


def one(*, input, output):
    return 1.0


def length(*, input, output):
    return {"name": "length", "value": len(output)}


def sleeper(*, input, output):
    time.sleep(0.02)
    return 1.0


def rate(where, count):
    """Traces of 1 KB a second, two evaluators, both scores stored; and CPU a trace in microseconds."""
    from interactiveai_eval import Interactive

    with tempfile.TemporaryDirectory() as folder:
        with Interactive.local(os.path.join(folder, "eval.db") if where == "file" else None) as client:
            record(client, count, 1000)
            cpu, wall = time.process_time(), time.perf_counter()
            result = client.run_batched_evaluation(
                scope="traces", mapper=mapper, evaluators=[one, length], keep_evaluations=False
            )
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert result.delivery.acknowledged == 2 * count
    return {"rate": count / wall, "us": cpu / count * 1e6}


def pipeline(page):
    """Wall time over that of the slowest stage: pages of 50 ms, scores of 5 ms, evaluators of 20 ms, 2,000 traces."""
    from interactiveai_eval import Interactive, LocalTransport

    class Slow(LocalTransport):
        is_slow = False

        def send(self, request):
            if self.is_slow:
                time.sleep(0.05 if request.method == "GET" else 0.005)
            return super().send(request)

    server = Slow()
    with Interactive(transport=server, dialect="public") as client:
        record(client, 2000, 10)
        server.is_slow = True
        wall = time.perf_counter()
        result = client.run_batched_evaluation(
            scope="traces", mapper=mapper, evaluators=[sleeper], fetch_batch_size=page, max_concurrency=50
        )
        wall = time.perf_counter() - wall
    assert result.delivery.acknowledged == 2000
    return {"ratio": wall / max(2000 / page * 0.05, 2000 / 50 * 0.02)}


def memory(count):
    """Growth of resident memory in a run over a SQLite file, and its seconds."""
    from interactiveai_eval import Interactive

    with tempfile.TemporaryDirectory() as folder:
        with Interactive.local(os.path.join(folder, "eval.db")) as client:
            record(client, count, 10)
            gc.collect()
            before, most, seen = resident_mb(), [0.0], [0]

            def hook(item_id, evaluations):
                seen[0] += 1
                if seen[0] % 1000 == 0:
                    most[0] = max(most[0], resident_mb())

            wall = time.perf_counter()
            client.run_batched_evaluation(
                scope="traces", mapper=mapper, evaluators=[one], fetch_batch_size=100, keep_evaluations=False, on_item=hook
            )
            wall = time.perf_counter() - wall
    return {"mb": most[0] - before, "seconds": wall}


def resident_mb():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


# -- tables ------------------------------------------------------------------------------------------------------------


def in_process(*arguments):
    command = [sys.executable, "-m", "tests.bench.bench_batch", "--one", *map(str, arguments)]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def table(title, cases, figures, repeats):
    found = {case: [] for case in cases}
    for _ in range(repeats):
        for case in cases:
            found[case].append(in_process(*case))
    print(f"{title}, medians of {repeats}")
    for case, runs in found.items():
        cells = [f"{statistics.median(run[name] for run in runs):10.2f} {unit}" for name, unit in figures.items()]
        print(f"  {' '.join(map(str, case[1:])):<16}" + "".join(cells))
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", choices=("rate", "pipeline", "memory"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--most", type=int, default=100_000, help="traces in the largest memory run")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, *arguments = options.one
        arguments = [int(a) if a.isdigit() else a for a in arguments]
        print(json.dumps({"rate": rate, "pipeline": pipeline, "memory": memory}[name](*arguments)))
        return
    if options.table in (None, "rate"):
        cases = [("rate", where, n) for where in ("memory", "file") for n in (4000, 16000)]
        table("Traces of 1 KB, two scores each", cases, {"rate": "traces/s", "us": "us of CPU"}, options.repeats)
    if options.table in (None, "pipeline"):
        title = "2,000 traces, pages 50 ms, scores 5 ms, evaluators 20 ms: wall over the slowest stage, by page size"
        table(title, [("pipeline", 50), ("pipeline", 100)], {"ratio": "x"}, options.repeats)
    if options.table in (None, "memory"):
        sizes = [n for n in (10_000, 100_000, 1_000_000) if n <= options.most]
        table("Growth of memory, nothing kept", [("memory", n) for n in sizes], {"mb": "MB", "seconds": "s"}, 1)


if __name__ == "__main__":
    main()
