"""Reading by key: every row once, whatever the server does with order, pages and rows while we read."""
from __future__ import annotations

import json
import random

import pytest

from interactiveai_eval import ApiError, FakeTransport, Interactive, Response
from interactiveai_eval._clock import datetime_to_ns, iso_to_datetime, ns_to_iso
from interactiveai_eval.service.reading import Position, Reader

NOW = 1_800_000_000_000  # milliseconds; all rows are older unless a test says otherwise


def iso(ms):
    return ns_to_iso(ms * 1_000_000)[:-4] + "Z"


def ms_of(text):
    return datetime_to_ns(iso_to_datetime(text)) // 1_000_000


class Server:
    """Lists rows as real servers do: one order, ties in an order of their own, pages by number or by cursor."""

    def __init__(self, rows=(), *, seed=0, cap=100, order=None, filters=True, cursor_only=False):
        self.rows = dict(rows)  # id: milliseconds
        self.seed = seed
        self.cap = cap
        self.order = order  # None: as asked, newest first where nobody can ask
        self.filters = filters
        self.cursor_only = cursor_only
        self.before_each = lambda: None
        self.transport = FakeTransport(self.answer)

    def answer(self, request):
        self.before_each()
        query = dict(request.query)
        traces = request.path.endswith("/traces")
        if self.cursor_only and request.path.endswith("public/observations"):
            return Response(404, body=b'{"message": "no such route"}')
        found = [(ms, id) for id, ms in self.rows.items() if self.fits(ms, json.loads(query.get("filter", "[]")))]
        order = self.order or (query["orderBy"].rpartition(".")[2] if traces else "desc")
        found.sort(key=lambda row: (row[0], random.Random(f"{self.seed} {row[1]}").random()), reverse=order == "desc")
        limit = min(int(query["limit"]), self.cap)
        page = int(query.get("cursor", query.get("page", 1)))
        time = "timestamp" if traces else "startTime"
        data = [{"id": id, time: iso(ms)} for ms, id in found[(page - 1) * limit : page * limit]]
        pages = -(-len(found) // limit)
        if request.path.endswith("v2/observations"):
            meta = {"cursor": str(page + 1)} if page < pages else {}
        else:
            meta = {"page": page, "limit": limit, "totalItems": len(found), "totalPages": pages}
        return Response(200, body=json.dumps({"data": data, "meta": meta}).encode())

    def fits(self, ms, conditions):
        compare = {">=": lambda bound: ms >= bound, "<": lambda bound: ms < bound}
        return not self.filters or all(compare[each["operator"]](ms_of(each["value"])) for each in conditions)

    def reader(self, scope="traces", *, page_size=3, **more):
        client = Interactive(transport=self.transport, dialect="public")
        return Reader(client.api, scope, [], page_size=page_size, now_ns=NOW * 1_000_000, **more)


def ids(reader):
    """All that a reader gives, page by page until the last."""
    found = []
    for _ in range(10_000):
        page = reader.read()
        found += [row["id"] for row in page.rows]
        if page.last:
            return found
    raise AssertionError("the reader does not end")


SEVEN = {f"r{number}": 1000 * number for number in range(7)}
TIED = {f"r{number}": 1000 * (number // 4) for number in range(30)}
CROWDED = {f"r{number}": 5000 if 2 < number < 45 else number for number in range(50)}


@pytest.mark.parametrize("scope", ["traces", "observations"])
@pytest.mark.parametrize("rows", [{}, {"a": 1}, SEVEN, TIED, CROWDED])
@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 100])
def test_every_row_comes_once(scope, rows, page_size):
    assert sorted(ids(Server(rows).reader(scope, page_size=page_size))) == sorted(rows)


def test_traces_come_oldest_first_and_observations_newest_first():
    """The one order that the server promises for each (WIRE.md section 9.2)."""
    assert ids(Server(SEVEN).reader("traces")) == [f"r{number}" for number in range(7)]
    assert ids(Server(SEVEN).reader("observations")) == [f"r{number}" for number in reversed(range(7))]


@pytest.mark.parametrize("rows", [SEVEN, TIED, CROWDED, {f"r{number}": 5000 for number in range(9)}])
@pytest.mark.parametrize("scope, order", [("traces", "desc"), ("traces", "asc"), ("observations", "asc")])
def test_a_server_that_does_not_heed_the_order_is_read_in_its_own(scope, order, rows):
    newest = {f"n{number}": 9000 for number in range(5)}  # a first page that shows no order
    oldest = {f"o{number}": -9000 for number in range(5)}
    rows = {**rows, **newest, **oldest}

    assert sorted(ids(Server(rows, order=order).reader(scope))) == sorted(rows)


def test_a_server_that_knows_cursors_only_is_read_by_them():
    for rows in (SEVEN, TIED, CROWDED):
        server = Server(rows, cursor_only=True)
        assert sorted(ids(server.reader("observations"))) == sorted(rows)
        assert server.transport.requests[-1].path.endswith("/v2/observations")


def test_a_short_page_is_not_taken_for_the_last():
    """The reference ends after 5 of 12 rows when the server gives fewer than asked (D21)."""
    server = Server(SEVEN, cap=2)

    assert sorted(ids(server.reader(page_size=50))) == sorted(SEVEN)


def test_no_page_is_larger_than_servers_allow():
    server = Server(SEVEN)
    ids(server.reader(page_size=5000))

    assert max(int(dict(request.query)["limit"]) for request in server.transport.requests) == 100


def test_rows_from_after_the_start_are_left_out_and_a_fast_server_clock_loses_none():
    ahead = {**SEVEN, "ahead": NOW + 3_600_000}
    server = Server(ahead)
    reader = server.reader()
    first = reader.read()
    server.rows["later"] = NOW + 3_600_001

    assert [row["id"] for row in first.rows] + ids(reader) == [*SEVEN, "ahead"]
    assert reader.upper_ms == NOW + 3_600_001


def test_a_server_that_does_not_heed_filters_is_an_error():
    with pytest.raises(ApiError, match=r"gives a row of 1970-01-01T00:00:00\.000Z, which the filter excludes"):
        ids(Server(SEVEN, filters=False).reader())


def test_rows_in_no_order_are_an_error():
    class Shuffling(Server):
        def answer(self, request):
            page = json.loads(super().answer(request).body)
            page["data"][1:] = page["data"][:0:-1]
            return Response(200, body=json.dumps(page).encode())

    with pytest.raises(ApiError, match="gives rows in no order of time"):
        ids(Shuffling(SEVEN).reader(page_size=7))


def test_empty_pages_that_are_said_not_to_be_the_last_have_an_end():
    empty = json.dumps({"data": [], "meta": {"page": 1, "limit": 3, "totalItems": 9, "totalPages": 9}}).encode()
    client = Interactive(transport=FakeTransport(lambda request: Response(200, body=empty)), dialect="public")

    with pytest.raises(ApiError, match="says that there is more, and gives 3 empty pages"):
        ids(Reader(client.api, "traces", [], page_size=3, now_ns=0))


def test_a_malformed_row_is_told_apart_and_takes_nothing_along():
    class Odd(Server):
        def answer(self, request):
            page = json.loads(super().answer(request).body)
            page["data"].insert(1, {"id": "odd", "timestamp": "soon"})
            return Response(200, body=json.dumps(page).encode())

    reader = Odd(SEVEN).reader(page_size=7)
    page = reader.read()

    assert [row["id"] for row in page.rows] == list(SEVEN)
    assert page.malformed == [{"id": "odd", "timestamp": "soon"}] and page.last


def test_an_error_leaves_the_reader_where_it_was():
    server, chance = Server(TIED), random.Random(3)

    def fail():
        if chance.random() < 0.4:
            raise ApiError("down", status_code=503)

    server.before_each = fail
    reader = server.reader()
    found = []
    for _ in range(1000):
        try:
            page = reader.read()
        except ApiError:
            continue
        found += [row["id"] for row in page.rows]
        if page.last:
            break

    assert sorted(found) == sorted(TIED)


def test_conditions_of_the_user_stay_in_force():
    server = Server(SEVEN)
    client = Interactive(transport=server.transport, dialect="public")
    mine = {"type": "datetime", "column": "timestamp", "operator": ">=", "value": iso(3000)}

    assert ids(Reader(client.api, "traces", [mine], page_size=2, now_ns=NOW * 10**6)) == ["r3", "r4", "r5", "r6"]


@pytest.mark.parametrize("seed", range(600))
def test_what_is_there_all_the_time_comes_exactly_once(seed):
    """Random servers, pages, ties, inserts, deletes and changes while we read, and stops at random points."""
    chance = random.Random(seed)
    scope = chance.choice(["traces", "observations"])
    spread = chance.choice([1, 3, 10, 1000])
    server = Server(
        {f"r{number}": chance.randrange(spread) for number in range(chance.randrange(40))},
        seed=seed,
        cap=chance.choice([2, 3, 100]),
        order=chance.choice([None, None, "asc", "desc"]),
        cursor_only=scope == "observations" and chance.random() < 0.3,
    )
    stable, number = set(server.rows), [1000]

    def disturb():
        if number[0] > 1015:
            return  # whoever writes into one millisecond for ever cannot be read to an end
        if chance.random() < 0.4:
            number[0] += 1
            server.rows[f"n{number[0]}"] = chance.choice([chance.randrange(spread), NOW + 5])
        if chance.random() < 0.3 and server.rows:
            gone = chance.choice(sorted(server.rows))
            stable.discard(gone)
            del server.rows[gone]

    server.before_each = disturb
    page_size = chance.randrange(1, 8)
    reader = server.reader(scope, page_size=page_size)
    found, last = [], False
    while not last:
        page = reader.read(chance.choice([None, 1, 2]))
        found += [row["id"] for row in page.rows]
        last = page.last
        if chance.random() < 0.2 and page.position == reader.position and reader.direction:
            ms, known = page.position.ms, frozenset(page.position.ids)
            if ms is not None and page.rows and reader._crowd is None:  # not inside a crowd: that begins anew
                reader = server.reader(
                    scope,
                    page_size=page_size,
                    position=Position(ms, known),
                    upper_ms=reader.upper_ms,
                    direction=reader.direction,
                )

    assert stable <= set(found), f"{sorted(stable - set(found))} were skipped"
    assert len(found) == len(set(found))
