"""What a run costs on several workers, measured; and with these costs, what 10^6 to 10^9 items cost on up to 1,000.

    python -m tests.bench.scale [cost|simulate|all] [--items N] [--seed N]

`cost` runs real processes on this machine against a server that only counts. `simulate` draws the times of items, the
deaths of workers and the sizes of hashed shards from `--seed` and adds up the measured costs; nothing of it sleeps.
"""
from __future__ import annotations

import argparse
import random
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from math import exp, sqrt

from interactiveai_eval import Interactive
from interactiveai_eval.running.groups import GROUP_SECONDS
from interactiveai_eval.running.senders import BATCH_SECONDS as FLUSH_SECONDS
from interactiveai_eval.transports.base import Response
from interactiveai_eval.transports.fake import FakeTransport

WORKERS = (1, 2, 4)
# What the simulation assumes of the world, beside what is measured here.
ITEM_SECONDS, ITEM_SPREAD = (1.0, 0.005), 1.0  # a model call and a quick check: medians, and sigma of the logarithm
WORKER_LIFE_HOURS = 24.0  # a spot machine is taken away about once a day
RESTART_SECONDS = 60.0
SERVER_REQUESTS_A_SECOND = 200.0  # what a server of this family takes; a made-up figure


def items(n, seconds=0.0):
    for number in range(n):
        yield {"id": str(number), "input": {"n": number, "seconds": seconds}, "expected_output": number}


def task(*, item):
    """Works (not sleeps) for the item's seconds."""
    until = time.perf_counter() + item["input"]["seconds"]
    while time.perf_counter() < until:
        pass
    return item["input"]["n"]


def exact(*, output, expected_output):
    return output == expected_output


def counting():
    return FakeTransport(lambda request: Response(207, headers={}, body=b"{}"))


def run(n, seconds, executor=None, **settings):
    """(wall seconds, CPU seconds of the coordinator, server requests, KB sent) of one run."""
    transport = counting()
    with Interactive(transport=transport) as client:
        if executor is not None:  # its processes are up, and have imported what they need
            client.run_experiment(name="warm", data=items(64), task=task, evaluators=[exact], executor=executor)
        transport.requests.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        result = client.run_experiment(
            name="bench",
            data=items(n, seconds),
            task=task,
            evaluators=[exact],
            executor=executor,
            max_concurrency=256,
            keep_results=False,
            **settings,
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert result.tally.succeeded == n, result
    return wall, cpu, len(transport.requests), sum(len(request.body) for request in transport.requests) / 1024


def measure(n):
    """The costs of one item, in seconds, requests and KB; prints them."""
    print(f"{'':34}{'wall us/item':>14}{'coordinator us/item':>21}{'requests/1000':>15}{'KB sent/1000':>14}")

    def row(name, count, seconds, executor=None, **settings):
        wall, cpu, requests, sent = run(count, seconds, executor, **settings)
        told = f"{wall / count * 1e6:>14,.0f}{cpu / count * 1e6:>21,.0f}"
        print(f"{name:34}{told}{requests / count * 1e3:>15.1f}{sent / count * 1e3:>14,.0f}")
        return cpu / count, requests / count, sent / count

    row("in one process, empty task", n, 0.0)
    costs = None
    for seconds in (0.0, 0.005):
        for workers in WORKERS:
            with ProcessPoolExecutor(workers) as pool:
                many = n if not seconds else max(200, n // 10)
                found = row(f"{workers} workers, {seconds * 1e3:.0f} ms of work", many, seconds, pool)
                costs = found if costs is None else costs
    with ProcessPoolExecutor(2) as pool:
        row("2 workers, one item a group", n, 0.0, pool, executor_group=1)
    kept = memory(n)
    print(f"memory of a kept result: {kept:.1f} KB; with keep_results=False: none")
    print(f"resume token of a batch: {token_size(1):,} bytes with one failed item, {token_size(250):,} with 250\n")
    return {"coordinator": costs[0], "requests": costs[1], "kb_sent": costs[2], "kb_kept": kept}


def memory(n):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Interactive(transport=counting()) as client:
        result = client.run_experiment(name="kept", data=items(10 * n), task=task, evaluators=[exact])
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(0.1, (after - before) / len(result.item_results))


def token_size(failures):
    """Bytes of the token after a batch with so many failed items; it names as many as fit into 4 KB."""
    with Interactive.local() as client:
        for number in range(failures):
            client.start_span(name="t", input=number, output=number).end()
        client.flush()
        result = client.run_batched_evaluation(scope="traces", mapper=lambda item: 1 / 0, evaluators=[exact])
    token = result.retry_token()
    return 0 if token is None else len(token.to_json())


# -- the simulation ----------------------------------------------------------------------------------------------------


def simulate(costs, seed):
    """For each kind of item a table with one coordinator, and one of shards without any."""
    draw = random.Random(seed)
    print(
        f"coordinator {costs['coordinator'] * 1e6:,.0f} us an item; in full batches {costs['requests'] * 1e3:.1f} requests "
        f"and {costs['kb_sent'] * 1e3:,.0f} KB for 1,000 items, else two requests a second of each process; a worker lives "
        f"{WORKER_LIFE_HOURS:g} h and is back after {RESTART_SECONDS:g} s; seed {seed}"
    )
    for median in ITEM_SECONDS:
        mean = median * exp(ITEM_SPREAD**2 / 2)
        work = Work(draw, costs, mean, mean * sqrt(exp(ITEM_SPREAD**2) - 1))
        for title, story in (("one coordinator, executor=", work.coordinated), ("shards with checkpoints", work.sharded)):
            print(f"\n{title}, items of {mean:.3g} s on average")
            print(
                f"{'items':>6}{'workers':>9}{'hours':>11}{'of ideal':>9}{'coordinator':>12}{'requests/s':>12}{'deaths':>8}"
                f"{'redone h':>10}{'no checkpoint':>15}{'kept GB':>9}  next bottleneck"
            )
            for exponent in range(6, 10):
                for workers in (1, 10, 100, 1000):
                    print(f"10^{exponent:<3}{workers:>9,}{story(10**exponent, workers)}")


class Work:
    """Items whose times are drawn, and what they cost."""

    def __init__(self, draw, costs, mean, deviation):
        self.draw, self.costs, self.mean, self.deviation = draw, costs, mean, deviation

    def coordinated(self, n, workers):
        """Workers take the next group when they are free; the coordinator takes in every item."""
        each = self.costs["coordinator"]
        seconds = max(self._seconds(n) / workers, n * each)
        deaths = _poisson(self.draw, seconds * workers / 3600 / WORKER_LIFE_HOURS)
        redone = deaths * (max(self.mean, GROUP_SECONDS) + RESTART_SECONDS)
        seconds += redone / workers
        return self._row(n, workers, seconds, 1, deaths, redone, redone, n * each / seconds)

    def sharded(self, n, workers):
        """Every worker has the items whose hash is its own, and nobody helps the slowest."""
        longest, deaths, redone, without = 0.0, 0, 0.0, 0.0
        for _ in range(workers):
            share = max(0.0, self.draw.gauss(n / workers, sqrt(n / workers * (1 - 1 / workers))))
            seconds = self._seconds(share) + share * self.costs["coordinator"]
            died = _poisson(self.draw, seconds / 3600 / WORKER_LIFE_HOURS)
            again = died * (self.mean + RESTART_SECONDS)  # what was on its way; without a checkpoint half of what it had
            longest, deaths, redone = max(longest, seconds + again), deaths + died, redone + again
            without += died * (seconds / 2 + RESTART_SECONDS)
        return self._row(n, workers, longest, workers, deaths, redone, without, 0.0)

    def _seconds(self, n):
        return max(n * self.mean / 2, self.draw.gauss(n * self.mean, sqrt(n) * self.deviation))

    def _row(self, n, workers, seconds, processes, deaths, redone, without, busy):
        rate = n / seconds
        requests = rate * self.costs["requests"] + processes * 2 * min(rate / processes, 1 / FLUSH_SECONDS)
        ideal = n * self.mean / workers / seconds
        bottleneck = "workers"
        if busy > 0.5:
            bottleneck = "coordinator: use shards"
        elif requests > SERVER_REQUESTS_A_SECOND:
            full = rate * self.costs["requests"] > SERVER_REQUESTS_A_SECOND
            bottleneck = "server" if full else "server: longer INTERACTIVEAI_FLUSH_INTERVAL"
        kept = n * self.costs["kb_kept"] / 1e6
        return (
            f"{seconds / 3600:>11,.1f}{ideal:>9.0%}{busy:>12.0%}{requests:>12,.1f}{deaths:>8,}{redone / 3600:>10,.1f}"
            f"{without / 3600:>15,.0f}{kept:>9,.0f}  {bottleneck}"
        )


def _poisson(draw, mean):
    if mean > 50:
        return max(0, round(draw.gauss(mean, sqrt(mean))))
    count, left = 0, draw.expovariate(1.0)
    while left < mean:
        count, left = count + 1, left + draw.expovariate(1.0)
    return count


# What `measure` found on two busy cores, Python 3.11; `simulate` alone goes by it.
KNOWN = {"coordinator": 140e-6, "requests": 0.008, "kb_sent": 1.13, "kb_kept": 4.1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("cost", "simulate", "all"), default="all")
    parser.add_argument("--items", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    costs = KNOWN if options.part == "simulate" else measure(options.items)
    if options.part != "cost":
        simulate(costs, options.seed)


if __name__ == "__main__":
    main()
