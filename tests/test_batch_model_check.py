"""Batch evaluation against a model: seeded sequences of calls that fail, are stopped and go on, on a server that others use.

The model is the set of ids that were there all the time: each has one score in the end, nothing else has more than one,
and what a call has finished no later call evaluates again.
"""
from __future__ import annotations

import os
import random
import threading
from collections import Counter

import pytest

from interactiveai_eval import ApiError, BatchEvaluationResumeToken, Interactive, Request, Response, TransportError
from interactiveai_eval.transports.local import LocalTransport

from .test_batch import exact, mapper, moment

SEEDS_A_TEST = 100
SEQUENCES = int(os.environ.get("MODEL_SEQUENCES", "200"))  # CI asks for 2,000
CALM = 25  # after so many calls of a shard nothing fails and nobody else writes any more


class Busy(LocalTransport):
    """A server on which others write between two list requests, and which fails now and then.

    Rows come; others go, are edited, or get another time. `order` is the one in which it lists traces, whatever it is
    asked (None: as asked); `by_cursor`: it has only the list of observations that is read by cursors.
    """

    def __init__(self, dice, scope):
        super().__init__()
        self.dice = dice
        self.scope = scope
        self.order = dice.choice([None, None, "timestamp.asc", "timestamp.desc"]) if scope == "traces" else None
        self.by_cursor = scope == "observations" and dice.random() < 0.5
        self.others = None  # their client, while they are busy
        self.come = self.written = 0
        self.may_go, self.may_change, self.may_move = [], [], []
        self.gone = set()

    def send(self, request):
        busy = self.others is not None
        _, _, id = request.path.partition(f"/{self.scope}/")
        if request.method == "POST":
            return self._take(request) if busy else super().send(request)
        if id in self.gone:
            return Response(404, body=b'{"message": "gone"}')
        if not request.path.endswith(f"/{self.scope}"):
            return super().send(request)
        if self.by_cursor and not request.path.endswith("/v2/observations"):
            return Response(404, body=b'{"message": "no such endpoint"}')
        if busy:
            trouble = self.dice.random()
            if trouble < 0.1:
                return Response(400 if trouble < 0.05 else 503, body=b'{"message": "not now"}')
            if trouble < 0.15:
                raise TransportError("reset")
            self._let_others_write()
        if self.order is not None:
            query = [(name, self.order if name == "orderBy" else value) for name, value in request.query]
            request = Request(request.method, request.path, query=tuple(query), headers=request.headers)
        return super().send(request)

    def _take(self, request):
        """Scores: some are lost on the way there, and sometimes the answer is."""
        trouble = self.dice.random()
        if trouble < 0.05:
            raise TransportError("lost")
        response = super().send(request)
        if trouble < 0.1:
            raise TransportError("the answer is lost")
        return response

    def _let_others_write(self):
        dice = self.dice
        if dice.random() < 0.3:
            self.come += 1
            self.write(f"n{self.come}", dice.randrange(20))
        if self.may_go and dice.random() < 0.2:
            id = self.may_go.pop()
            self.gone.add(id)
            self.write(id, 0, name="out")
        if self.may_change and dice.random() < 0.2:
            id, ms = dice.choice(self.may_change)
            self.write(id, ms, level="WARNING") if self.scope == "observations" else self.write(id, ms, release="2")
        if self.may_move and dice.random() < 0.2:
            self.write(self.may_move.pop(), dice.randrange(20))

    def write(self, id, ms, **more):
        """Store a row, as others do."""
        others, self.others = self.others, None
        body = {"id": id, "input": id, "output": id, "name": "in", **more}
        if self.scope == "traces":
            bodies = [("trace-create", {**body, "timestamp": moment(ms)})]
        else:
            span = {**body, "traceId": f"of-{id}", "startTime": moment(ms)}
            bodies = [("trace-create", {"id": f"of-{id}", "timestamp": moment(0)}), ("span-create", span)]
        events = []
        for kind, each in bodies:
            self.written += 1
            events.append({"id": f"e{self.written}", "timestamp": moment(0), "type": kind, "body": each})
        assert self.client.api.send_events(events) == []
        self.others = others


@pytest.mark.parametrize("part", range(SEQUENCES // SEEDS_A_TEST))
def test_stopping_and_going_on_agrees_with_a_model(part, tmp_path):
    """Drawn are scope, page size, ties, the server's order, rows that come, go, change and move
    in time, failing lists, mappers and scores, limits, stops at a random item, shards, and tokens or checkpoints.
    """
    for seed in range(part * SEEDS_A_TEST, (part + 1) * SEEDS_A_TEST):
        there, scores, again = sequence(seed, tmp_path / f"{seed}.json")

        assert {id for id, _ in scores} >= there, seed
        assert set(scores.values()) <= {1}, seed
        assert again == [], seed


def sequence(seed, path):
    """(ids that were there all the time, scores by item and name, ids that were evaluated again in vain)."""
    dice = random.Random(seed)
    server = Busy(dice, dice.choice(["traces", "traces", "observations"]))
    with Interactive(transport=server, dialect="public") as client:
        server.client = client
        spread = dice.choice([1, 3, 14])
        stay = {f"s{number}": dice.randrange(spread) for number in range(dice.randrange(1, 14))}
        go = {f"g{number}": dice.randrange(spread) for number in range(dice.randrange(4))}
        move = {f"m{number}": dice.randrange(spread) for number in range(dice.randrange(3))}
        for id, ms in {**stay, **go, **move}.items():
            server.write(id, ms)
        server.may_go, server.may_move, server.may_change = list(go), list(move), list(stay.items())
        again, parts = [], dice.choice([1, 1, 2, 3])
        for part in range(parts):
            server.others = client
            settings = {"shard": None if parts == 1 else (part, parts)}
            if dice.random() < 0.25:
                settings["checkpoint"] = path.with_suffix(f".{part}")
            evaluate(client, server, dice, settings, again)
        server.others = None
        # A server that lists in another order than it is asked may show so only after some items, which are then met
        # again; and what has got another time may come again, too. Both land on the same ids.
        turned = server.order == "timestamp.desc"
        return set(stay), scored(client), [] if turned else [id for id in again if id[0] != "m"]


def evaluate(client, server, dice, settings, again):
    """One shard, call after call, until nothing of it is left."""
    lock, finished, token, page = threading.Lock(), set(), None, dice.choice([1, 2, 3, 5, 50])
    for call in range(2 * CALM):
        if call > CALM:
            server.others = None
        calm = call > CALM
        stop_at = dice.randrange(1, 6) if not calm and dice.random() < 0.3 else None
        how, told = dice.choice([RuntimeError, RuntimeError, KeyboardInterrupt]), []

        def mapping(item, calm=calm):
            with lock:
                if item.id in finished:
                    again.append(item.id)
                unlucky = not calm and dice.random() < 0.1
            if unlucky:
                raise ValueError("unlucky")
            return mapper(item)

        def hook(item_id, evaluations, stop_at=stop_at, how=how, told=told):
            told.append(item_id)
            if len(told) == stop_at:
                raise how("stop here")

        first = token is None
        try:
            result = client.run_batched_evaluation(
                scope=server.scope,
                mapper=mapping,
                evaluators=[exact],
                filter=[{"type": "string", "column": "name", "operator": "=", "value": "in"}] if first else None,
                fetch_batch_size=page,
                max_items=dice.choice([None, None, 1, 2, 5]),
                max_retries=0,
                max_concurrency=dice.choice([1, 3]),
                on_item=hook,
                resume_from=None if "checkpoint" in settings else token,
                **settings,
            )
        except (RuntimeError, KeyboardInterrupt, ApiError) as stopped:
            result = stopped.result
        else:
            if not result.delivery.pending:
                finished.update(result.item_evaluations)  # all that it began came to its end, too
        token = result.resume_token or result.retry_token()
        assert result.completed or token is not None
        if token is None:
            return
        assert BatchEvaluationResumeToken.from_json(token.to_json()) == token
    raise AssertionError(f"no end after {call} calls")


def scored(client):
    """How many scores each item has, by item and score name."""
    found, page = Counter(), 1
    while True:
        answer = client.api.scores(page=page, limit=100)
        found.update((row.get("observationId") or row["traceId"], row["name"]) for row in answer["data"])
        if page >= answer["meta"]["totalPages"]:
            return found
        page += 1
