"""Reading by key: what is there all the time comes exactly once, whatever servers and other writers do meanwhile."""
from __future__ import annotations

import itertools
import json
import logging
import random
import threading

import pytest

from interactiveai_eval import (
    ApiError,
    ArgumentError,
    Interactive,
    LocalTransport,
    NotFoundError,
    Request,
    Response,
    Transport,
    TransportError,
)
from interactiveai_eval._clock import datetime_to_ns, iso_to_datetime
from interactiveai_eval._ids import item_digest
from interactiveai_eval.errors import DataError
from interactiveai_eval.service.lists import Row, ms_to_time, time_to_ms
from interactiveai_eval.service.reading import Position, Reader
from interactiveai_eval.service.two_pages import following

START = 1_763_632_800_000  # 2025-11-20T10:00:00Z
NOW = START + 3_600_000
PREFIX = "/api/public/"
TIME = {"traces": "timestamp", "observations": "startTime"}


def time_of(ms, micros=0):
    """`ms` after the start, with microseconds that lists do not show."""
    return f"{ms_to_time(START + ms)[:-1]}{micros:03d}Z"


def answered(body, status=200):
    return Response(status, body=json.dumps(body).encode())


class Server(Transport):
    """The embedded store behind a server that does as it likes: subclasses change what is asked and what is answered.

    `most` is how many rows it puts on a page; the store is asked to leave out the rows that were `deleted`.
    """

    def __init__(self, scope="traces", rows=(), *, most=100):
        self.scope = scope
        self.most = most
        self.store = LocalTransport()
        self.deleted = set()
        self.asked = []  # the queries of lists
        self.api = Interactive(transport=self, dialect="public").api
        self.add(rows)

    def add(self, rows, **fields):
        """Write {id: milliseconds after the start}, or pairs, with `fields`."""
        kind = "trace-create" if self.scope == "traces" else "span-create"
        bodies = [{"id": id, TIME[self.scope]: time_of(ms, hash_of(id)), **fields} for id, ms in dict(rows).items()]
        batch = [{"id": f"e-{each['id']}", "timestamp": time_of(0), "type": kind, "body": each} for each in bodies]
        if batch:
            body = json.dumps({"batch": batch}).encode()
            headers = {"content-type": "application/json"}
            assert self.store.send(Request("POST", PREFIX + "ingestion", headers=headers, body=body)).status == 207

    def send(self, request):
        query = dict(request.query)
        self.asked.append({"path": request.path[len(PREFIX) :], **query})
        refusal = self.before(self.asked[-1])
        if refusal is not None:
            return refusal
        query = self.asks(query)
        query["limit"] = str(min(int(query["limit"]), self.most))
        if self.deleted:
            gone = {"type": "stringOptions", "column": "id", "operator": "none of", "value": sorted(self.deleted)}
            query["filter"] = json.dumps([*json.loads(query.get("filter", "[]")), gone])
        answer = self.store.send(Request("GET", request.path, query=tuple(query.items())))
        assert answer.status == 200, answer.body
        return answered(self.answers(json.loads(answer.body), query))

    def before(self, asked):
        """What happens before a request is answered; a response takes the place of the answer."""

    def asks(self, query):
        return query

    def answers(self, answer, query):
        return answer

    def reader(self, page_size=3, *, conditions=(), now=NOW, **more):
        return Reader(self.api, self.scope, conditions, page_size=page_size, now=lambda: now * 1_000_000, **more)

    def read(self, page_size=3, **more):
        """The ids of all pages."""
        return ids(self.reader(page_size, **more))


def hash_of(id):
    """Microseconds, 0 to 999: rows of one millisecond stand in any order."""
    return sum(map(ord, id)) * 37 % 1000


def pages(reader):
    for _ in range(5000):
        page = reader.read()
        yield page
        if page.last:
            return
    raise AssertionError("the reader does not end")


def ids(reader):
    return [row["id"] for page in pages(reader) for row in page.rows]


SEVEN = {f"r{number}": 10 * number for number in range(7)}
TIED = {f"r{number}": number // 4 for number in range(30)}
CROWDED = {f"r{number}": 50 if 2 < number < 45 else 2 * number for number in range(50)}
EQUAL = {f"r{number}": 5 for number in range(24)}
ALL = [{}, {"a": 1}, SEVEN, TIED, CROWDED, EQUAL]
SCOPES = ["traces", "observations"]


# -- all rows, each once -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("rows", ALL, ids=len)
@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 100, 5000])
def test_every_row_comes_once(scope, rows, page_size):
    assert sorted(Server(scope, rows).read(page_size)) == sorted(rows)


def test_traces_come_oldest_first_and_observations_newest_first():
    """The one order that servers promise for each (WIRE.md section 9.2)."""
    up, down = Server("traces", SEVEN).reader(), Server("observations", SEVEN).reader()

    assert (ids(up), up.direction) == ([f"r{number}" for number in range(7)], "asc")
    assert (ids(down), down.direction) == ([f"r{number}" for number in range(6, -1, -1)], "desc")


def test_a_page_says_where_it_leads_row_by_row():
    reader = Server(rows={"a": 0, "b": 0, "c": 1, "d": 2}).reader(3)

    page = reader.read()

    assert [row["id"] for row in page.rows] == ["a", "b", "c"] and not page.last and page.problems == {}
    assert page.position == reader.position == Position(time=ms_to_time(START + 1), ids=[item_digest("c")])
    assert [page.after(count).to_dict() for count in range(4)] == [
        {"time": None, "ids": []},
        {"time": "2025-11-20T10:00:00.000Z", "ids": [item_digest("a")]},
        {"time": "2025-11-20T10:00:00.000Z", "ids": sorted([item_digest("a"), item_digest("b")])},
        {"time": "2025-11-20T10:00:00.001Z", "ids": [item_digest("c")]},
    ]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("rows", [SEVEN, TIED, CROWDED], ids=len)
def test_reading_on_from_the_position_after_any_row_gives_the_rest(scope, rows):
    """Also in the middle of a millisecond that holds more rows than a page."""
    server = Server(scope, rows)
    reader = server.reader(4)
    found = []
    for page in pages(reader):
        for count in range(len(page.rows) + 1):
            position = Position.from_dict(json.loads(json.dumps(page.after(count).to_dict())))
            rest = server.read(4, position=position, upper=reader.upper)
            done = found + [row["id"] for row in page.rows[:count]]
            assert sorted(done + rest) == sorted(rows)
        found += [row["id"] for row in page.rows]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_short_page_is_not_taken_for_the_last(scope):
    """The reference ends after 5 of 12 rows when the server gives fewer than asked (D21)."""
    for rows in ALL:
        assert sorted(Server(scope, rows, most=2).read(50)) == sorted(rows)


def test_no_more_is_asked_than_servers_give_nor_more_often_than_needed():
    """Twelve rows are four pages of three and, before them, the newest row (D23)."""
    server = Server(rows={f"r{number:02d}": number for number in range(12)})
    server.read(3)
    large = Server(rows=SEVEN)
    large.read(5000)

    assert [query["limit"] for query in server.asked] == ["1", "3", "4", "4", "4"]
    assert [query["limit"] for query in large.asked] == ["1", "100"]


def test_most_makes_a_page_smaller():
    reader = Server(rows=SEVEN).reader(5)

    assert [[row["id"] for row in reader.read(most).rows] for most in (2, None, 1)] == [
        ["r0", "r1"],
        ["r2", "r3", "r4", "r5", "r6"],
        [],
    ]


def test_after_the_last_page_nothing_is_asked():
    server = Server(rows=SEVEN)
    reader = server.reader(100)
    first, asked = reader.read(), len(server.asked)

    again = reader.read()

    assert first.last and (again.rows, again.position, again.last, len(server.asked)) == ([], first.position, True, asked)


# -- bounds and filters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
def test_what_comes_after_the_start_is_left_out_and_a_fast_clock_of_the_server_loses_nothing(scope):
    rows = {**SEVEN, "ahead": 7_200_000}
    server = Server(scope, rows)
    reader = server.reader(2)
    page = reader.read()
    server.add({"later": 7_200_001})

    assert sorted([row["id"] for row in page.rows] + ids(reader)) == sorted(rows)
    assert reader.upper == "2025-11-20T12:00:00.000Z"


def test_the_upper_bound_is_now_where_nothing_is_newer_and_stays_as_it_is_given():
    server = Server(rows=SEVEN)
    reader = server.reader()
    assert reader.upper is None
    reader.read()

    assert reader.upper == "2025-11-20T11:00:00.000Z"
    assert server.read(upper="2025-11-20T10:00:00.020999Z") == ["r0", "r1", "r2"]
    with pytest.raises(ArgumentError, match="upper='soon': must be a time"):
        server.reader(upper="soon")


def test_a_newest_row_without_a_time_does_not_hide_the_newest_time():
    class Odd(Server):
        def answers(self, answer, query):
            for row in answer["data"]:
                if row["id"] == "odd":
                    row["timestamp"] = None
            return answer

    reader = Odd(rows={"a": 0, "ahead": 7_200_000, "odd": 7_200_001}).reader(10)
    reader.read()

    assert reader.upper == "2025-11-20T12:00:00.000Z"


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("rows", [SEVEN, EQUAL], ids=len)
def test_conditions_stay_in_force_those_on_times_too(scope, rows):
    """Servers drop plain parameters about columns that the filter speaks of (WIRE.md section 9.2)."""
    server = Server(scope, rows)
    server.add({f"x{number}": number for number in range(0, 60, 5)}, name="x")
    conditions = [
        {"type": "datetime", "column": TIME[scope], "operator": ">=", "value": time_of(5)},
        {"type": "datetime", "column": TIME[scope], "operator": "<", "value": time_of(45)},
        {"type": "null", "column": "name", "operator": "is null", "value": ""},
    ]

    found = server.read(2, conditions=conditions)

    assert sorted(found) == sorted(id for id, ms in rows.items() if 5 <= ms < 45)


def test_plain_bounds_go_out_always_and_conditions_only_with_a_filter():
    server = Server(rows=SEVEN)
    server.read(4)
    plain = server.asked[-1]
    server.read(4, conditions=[{"type": "string", "column": "name", "operator": "=", "value": "n"}])

    assert plain == {
        "path": "traces", "page": "1", "limit": "5", "orderBy": "timestamp.asc",
        "fromTimestamp": "2025-11-20T10:00:00.030Z", "toTimestamp": "2025-11-20T11:00:00.001Z",
    }  # fmt: skip
    assert json.loads(server.asked[-1]["filter"]) == [
        {"type": "string", "column": "name", "operator": "=", "value": "n"},
        {"type": "datetime", "column": "timestamp", "operator": "<", "value": "2025-11-20T11:00:00.001Z"},
    ]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_the_ends_of_the_calendar_are_times_like_others(time, direction):
    """More rows than a page at the first or last moment that can be written."""

    class Edge(Server):
        def send(self, request):
            query = dict(request.query)
            start, end = query.get("fromTimestamp", ""), query.get("toTimestamp", "a")
            rows = [{"id": f"r{number}", "timestamp": time} for number in range(9) if start <= time < end]
            limit, page = int(query["limit"]), int(query["page"])
            meta = {"page": page, "limit": limit, "totalItems": len(rows), "totalPages": -(-len(rows) // limit)}
            return answered({"data": rows[(page - 1) * limit : page * limit], "meta": meta})

    assert sorted(Edge().read(2, direction=direction)) == [f"r{number}" for number in range(9)]


# -- other endpoints, other orders -------------------------------------------------------------------------------------


class CursorsOnly(Server):
    """As newer servers are in the mode "events_only" (WIRE.md section 9.1)."""

    def before(self, asked):
        if asked["path"] in ("observations", "traces"):
            return answered({"message": "not available in events_only"}, 404)


@pytest.mark.parametrize("most", [2, 100])
def test_a_server_that_knows_cursors_only_is_read_by_them(most):
    for rows in ALL:
        server = CursorsOnly("observations", rows, most=most)
        assert sorted(server.read(3)) == sorted(rows)
        assert [query["path"] for query in server.asked].count("observations") == 1
        assert "io" in server.asked[-1]["fields"].split(",")  # else there is neither input nor output


def test_a_server_that_has_neither_endpoint_says_so_with_its_first_word():
    class Nothing(Server):
        def before(self, asked):
            return answered({"message": f"no {asked['path']}"}, 404)

    with pytest.raises(NotFoundError, match="no observations"):
        Nothing("observations").read()
    with pytest.raises(NotFoundError, match="no traces"):
        Nothing("traces").read()


def test_a_cursor_that_expires_costs_another_pass_and_no_row():
    """D10. One that always expires is an error in the end."""

    class Forgetful(CursorsOnly):
        chance = 0.3
        dice = random.Random(1)

        def before(self, asked):
            if "cursor" in asked and self.dice.random() < self.chance:
                return answered({"message": "Invalid cursor"}, 400)
            return super().before(asked)

    server = Forgetful("observations", EQUAL)
    assert sorted(server.read(4)) == sorted(EQUAL)
    server.chance = 1
    with pytest.raises(ApiError, match="Invalid cursor"):
        server.read(4)


def test_a_cursor_that_leads_back_is_an_error():
    class Circling(CursorsOnly):
        def answers(self, answer, query):
            if "cursor" in answer["meta"] and len(answer["data"]) == 4:
                self.first = getattr(self, "first", answer["meta"]["cursor"])
                answer["meta"]["cursor"] = self.first
            return answer

    with pytest.raises(ApiError, match="gives the same page again and again"):
        Circling("observations", EQUAL, most=4).read(4)


class OneOrder(Server):
    """Lists in one order whatever it is asked, pages by itself, and gives equal times in an order of its own."""

    def __init__(self, scope="traces", rows=(), *, descending, dice=None):
        self.descending = descending
        self.dice = dice
        super().__init__(scope, rows)

    def asks(self, query):
        self.limit, self.page = int(query["limit"]), int(query["page"])
        return {**query, "limit": "100", "page": "1"}

    def answers(self, answer, query):
        rows = answer["data"]
        if self.dice is not None:
            self.dice.shuffle(rows)
        rows.sort(key=lambda row: row[TIME[self.scope]], reverse=self.descending)
        pages = -(-len(rows) // self.limit)
        meta = {"page": self.page, "limit": self.limit, "totalItems": len(rows), "totalPages": pages}
        return {"data": rows[(self.page - 1) * self.limit : self.page * self.limit], "meta": meta}


@pytest.mark.parametrize("scope, descending", [("traces", True), ("traces", False), ("observations", False)])
@pytest.mark.parametrize("page_size", [1, 3, 10])
def test_a_server_that_ignores_the_order_is_read_in_its_own(scope, descending, page_size, caplog):
    """Also where the first page is one moment and shows no order (FAULTS.md D09)."""
    rows = {**TIED, **{f"n{number}": 90 for number in range(5)}, **{f"o{number}": -90 for number in range(5)}}
    server = OneOrder(scope, rows, descending=descending)
    reader = server.reader(page_size)

    page = reader.read()
    rest = Reader(server.api, scope, [], page_size=page_size, now=lambda: 0, upper=reader.upper, position=page.position,
                  direction=reader.direction)  # fmt: skip

    assert sorted([row["id"] for row in page.rows] + ids(rest)) == sorted(rows)
    assert reader.direction == ("desc" if descending else "asc")
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == (descending == (scope == "traces"))


def test_a_row_that_arrives_before_the_first_ones_does_not_turn_the_reader():
    class Late(Server):
        def before(self, asked):
            if len(self.asked) == 3:  # after the newest row and the first page
                self.add({"early": -5})

    server = Late(rows=EQUAL)
    reader = server.reader(3)

    assert ids(reader)[0] == "early" and reader.direction == "asc"


def test_a_row_that_comes_before_the_first_ones_and_goes_again_does_not_turn_the_reader():
    class Brief(Server):
        def before(self, asked):
            if len(self.asked) == 3:
                self.add({"brief": -5})
            elif len(self.asked) == 4:
                self.deleted.add("brief")

    rows = {**EQUAL, **{f"later{number}": 10 + number for number in range(5)}}
    reader = Brief(rows=rows).reader(3)

    assert (sorted(ids(reader)), reader.direction) == (sorted(rows), "asc")


def test_rows_in_no_order_of_time_are_an_error():
    class Mixing(Server):
        def answers(self, answer, query):
            answer["data"][1:] = answer["data"][:0:-1]
            return answer

    with pytest.raises(ApiError, match=r"lists 2025-11-20T10:00:00\.050Z after 2025-11-20T10:00:00\.060Z: it ignores the order"):
        Mixing(rows=SEVEN).read(7)


def test_a_server_that_turns_round_in_the_middle_is_an_error():
    class Turning(Server):
        def asks(self, query):
            return {**query, "orderBy": "timestamp.desc"} if len(self.asked) > 2 else query

    with pytest.raises(ApiError, match="ignores the order of time"):
        Turning(rows=SEVEN).read(3)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("page_size", [1, 3])
def test_a_server_that_ignores_bounds_is_an_error(scope, page_size):
    """Whoever ignores ours may ignore the user's filter as well; a wider run is none that was asked for."""

    class Deaf(Server):
        def asks(self, query):
            return {name: value for name, value in query.items() if not name.startswith(("from", "to"))}

    with pytest.raises(ApiError, match="which it was asked to leave out: it ignores the filter"):
        Deaf(scope, SEVEN).read(page_size)


def test_a_server_that_ignores_page_numbers_is_an_error_where_they_are_needed():
    """D02."""

    class Stuck(Server):
        def asks(self, query):
            return {**query, "page": "1"}

    assert Stuck(rows=SEVEN).read(3) == list(SEVEN)
    with pytest.raises(ApiError, match=r"gives the same page again and again for 2025-11-20T10:00:00\.005Z"):
        Stuck(rows=EQUAL).read(3)


def test_equal_times_may_come_in_another_order_each_time():
    """Ties have no promised order (WIRE.md section 9.2)."""
    server = OneOrder(rows=EQUAL, descending=False, dice=random.Random(5))

    assert sorted(server.read(4)) == sorted(EQUAL)


# -- what servers say of their pages -----------------------------------------------------------------------------------


class Telling(Server):
    """Changes the meta of every page."""

    def __init__(self, rows, tell, **more):
        self.tell = tell
        super().__init__(rows=rows, **more)

    def answers(self, answer, query):
        answer["meta"] = self.tell(dict(answer["meta"]), len(answer["data"]))
        return answer


@pytest.mark.parametrize(
    "tell",
    [
        lambda meta, count: {},
        lambda meta, count: {**meta, "totalPages": None, "totalItems": None},
        lambda meta, count: {**meta, "limit": 99},
        lambda meta, count: {**meta, "limit": "3", "page": None},
        lambda meta, count: {**meta, "totalItems": meta["totalItems"] + 3, "totalPages": meta["totalPages"] + 1},
        lambda meta, count: {**meta, "totalItems": 1000, "totalPages": 1000},
        lambda meta, count: {**meta, "totalItems": count, "totalPages": 1},
        lambda meta, count: {**meta, "totalItems": 0, "totalPages": 0},
        lambda meta, count: {**meta, "totalItems": -1, "totalPages": True},
    ],
    ids=["nothing", "no totals", "another limit", "texts", "too many", "far too many", "one page", "none", "nonsense"],
)  # fmt: skip
@pytest.mark.parametrize("rows", ALL, ids=len)
def test_wrong_totals_neither_hide_rows_nor_keep_the_reader_for_ever(tell, rows):
    """D07. Real servers count too many observations until their tables are merged (WIRE.md section 9.2)."""
    for page_size in (1, 3, 7):
        server = Telling(rows, tell)
        assert sorted(server.read(page_size)) == sorted(rows)
        assert len(server.asked) < 40 + 5 * len(rows)


class Truncating(Server):
    """Leaves out what is more than three rows of a page."""

    def answers(self, answer, query):
        del answer["data"][3:]
        return answer


@pytest.mark.parametrize("rows", ALL, ids=len)
def test_a_server_that_cuts_its_pages_short_loses_none_of_the_rest(rows):
    """D08: the next page begins after what the one before should have held."""
    assert sorted(Truncating(rows=rows).read(10)) == sorted(rows)


def test_a_server_that_gives_more_than_it_was_asked_is_all_right():
    class Generous(Server):
        def asks(self, query):
            return {**query, "limit": "100"}

    for rows in ALL:
        assert sorted(Generous(rows=rows).read(3)) == sorted(rows)


def test_empty_pages_in_between_are_passed_and_not_for_ever():
    """D07."""

    class Blank(Server):
        blank = 3

        def answers(self, answer, query):
            if len(self.asked) > 1 and int(query["page"]) <= self.blank:
                answer["data"] = []
                answer["meta"].update(totalItems=100, totalPages=100)
            return answer

    server = Blank(rows=EQUAL)
    assert set(server.read(3)) <= set(EQUAL)
    server.blank, server.asked = 100, []
    assert server.read(3) == [] and len(server.asked) < 20


def test_rows_that_come_twice_on_a_page_count_once():
    """D01."""

    class Stammering(Server):
        def answers(self, answer, query):
            answer["data"] = [row for row in answer["data"] for _ in range(2)]
            return answer

    for rows in ALL:
        assert sorted(Stammering(rows=rows).read(3)) == sorted(rows)


# -- malformed rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [1, 2, 5, 50])
@pytest.mark.parametrize("rows", [SEVEN, TIED], ids=len)
def test_a_malformed_row_is_handed_out_once_and_takes_nothing_along(page_size, rows):
    """The reference stops for ever at one row with a bad time (FAULTS.md section 1)."""
    odd = {"r2": None, "r3": "text", "r5": {"id": "r5", "timestamp": "soon"}, "r6": {"id": 6, "timestamp": time_of(6)}}

    class Odd(Server):
        def answers(self, answer, query):
            answer["data"] = [odd.get(row["id"], row) if len(self.asked) > 1 else row for row in answer["data"]]
            return answer

    odd["r6"]["timestamp"] = time_of(rows["r6"])
    found, problems = [], []
    for page in pages(Odd(rows=rows).reader(page_size)):
        found += page.rows
        problems += [(page.rows[place], text) for place, text in page.problems.items()]

    good = [row["id"] for row in found if row not in odd.values()]
    assert sorted(good) == sorted(set(rows) - set(odd))
    assert sorted(problems, key=str) == sorted(
        [
            (None, "it is NoneType, not an object"),
            ("text", "it is str, not an object"),
            (odd["r5"], "it has no time at 'timestamp'"),
            (odd["r6"], "it has no id"),
        ],
        key=str,
    )
    assert len(found) == len(rows)


def test_pages_of_malformed_rows_alone_are_walked_through():
    class Hopeless(Server):
        def answers(self, answer, query):
            answer["data"] = [row["id"] for row in answer["data"]]
            return answer

    found = [row for page in pages(Hopeless(rows=TIED).reader(3)) for row in page.rows]

    assert sorted(found) == sorted(TIED)


def test_other_callers_of_the_lists_still_get_objects_only():
    class Odd(Server):
        def answers(self, answer, query):
            return {**answer, "data": [None]}

    with pytest.raises(ApiError, match="something else than objects"):
        Odd(rows=SEVEN).api.traces(page=1, limit=5)


# -- inside one moment -------------------------------------------------------------------------------------------------


def test_a_row_that_slips_to_pages_already_turned_is_found_even_if_it_does_so_in_two_passes():
    """Two rows are on a page. Whenever the next page would show it, rows before it are deleted; so a second pass that
    brings nothing new proves nothing. One that meets everything of the pass before does.
    """

    class Hiding(Server):
        hidden = 0

        def before(self, asked):
            start = (int(asked["page"]) - 1) * 2
            live = [id for id in self.order if id not in self.deleted]
            place = live.index("target")
            if self.hidden < 2 and start and start <= place < start + 2:
                self.hidden += 1
                self.deleted.update(live[: place - start + 1])

    rows = {**{f"r{number}": 5 for number in range(12)}, "target": 5}
    server = Hiding(rows=rows, most=2)
    server.order = sorted(rows, key=lambda id: (hash_of(id), id))

    assert "target" in server.read(1) and server.hidden == 2


# -- stopping and going on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [lambda: TransportError("cut"), lambda: ApiError("down", status_code=503)])
@pytest.mark.parametrize("scope", SCOPES)
def test_an_error_goes_through_and_leaves_the_reader_as_it_was(error, scope):
    class Failing(Server):
        def before(self, asked):
            if len(self.asked) % 3 == 1:
                raise error()

    for rows in ALL:
        reader = Failing(scope, rows).reader(3)
        found, failures, last = [], 0, False
        while not last:
            before = reader.position
            try:
                page = reader.read()
            except (TransportError, ApiError):
                failures += 1
                assert reader.position == before
                continue
            found += [row["id"] for row in page.rows]
            last = page.last
        assert sorted(found) == sorted(rows) and failures


@pytest.mark.parametrize(
    "fields",
    [None, [], "x", {}, {"time": "soon", "ids": []}, {"time": 5, "ids": []}, {"time": None, "ids": None},
     {"time": None, "ids": [1]}, {"time": "2025-11-20T10:00:00Z", "ids": "abc"}],
)  # fmt: skip
def test_what_is_no_position_is_refused(fields):
    with pytest.raises(DataError, match=r"position: .* is not"):
        Position.from_dict(fields)


def test_a_position_is_plain_json_and_comes_back():
    position = Position(time="2025-11-20T10:00:00.000Z", ids=["b", "a"])

    assert position.to_dict() == {"time": "2025-11-20T10:00:00.000Z", "ids": ["a", "b"]}
    assert Position.from_dict(json.loads(json.dumps(position.to_dict()))) == position
    assert Position.from_dict({"time": "2025-11-20T11:00:00.0009+01:00", "ids": ["a", "b"]}) == position
    assert Position.from_dict(Position().to_dict()) == Position()


def test_a_position_never_moves_backwards():
    position = Position(time=ms_to_time(START), ids=["a"])

    assert position.advanced([(START - 1, "b")], "asc") == position
    assert position.advanced([(START + 1, "b")], "desc") == position
    assert position.advanced([(START, "b"), (None, "c")], "asc").ids == {"a", "b", "c"}


def test_a_position_behind_the_upper_bound_has_nothing_to_ask():
    server = Server(rows=SEVEN)

    assert server.read(position=Position(time=ms_to_time(NOW)), upper=ms_to_time(START)) == [] and server.asked == []


def test_a_row_that_moves_while_its_moment_is_read_comes_once():
    """D05, as far as memory goes: only the ids of one moment are held."""
    server = Server(rows={"a": 0, "b": 1, "c": 2})
    reader = server.reader(2)
    first = reader.read()
    server.add({"b": 7})

    assert [row["id"] for row in first.rows] + ids(reader) == ["a", "b", "c"]


# -- a model of everything at once -------------------------------------------------------------------------------------


class Busy(Server):
    """Rows come and go before every request; some requests fail; pages are small and numbered or not."""

    def __init__(self, chance):
        self.chance = chance
        self.moments = chance.choice([1, 2, 6, 40, 1000])
        self.counter = itertools.count()
        self.cursors_only = False
        super().__init__(chance.choice(SCOPES), most=chance.choice([1, 2, 3, 5, 100, 100]))
        self.live = {}
        self.grow(chance.randrange(25))
        self.stable = set(self.live)
        self.cursors_only = self.scope == "observations" and chance.random() < 0.3
        self.order = chance.choice(["desc", "asc", None, None]) if self.scope == "traces" else None
        self.writes_left = 25
        self.fails = chance.choice([0, 0.1])

    def grow(self, count):
        rows = {f"r{next(self.counter)}": self.chance.randrange(self.moments) for _ in range(count)}
        self.live.update(rows)
        self.add(rows)

    def before(self, asked):
        if self.writes_left > 0 and self.chance.random() < 0.5:
            self.writes_left -= 1
            self.grow(self.chance.randrange(3))
            for id in self.chance.sample(sorted(self.live), min(len(self.live), self.chance.randrange(3))):
                if self.chance.random() < 0.3:
                    self.add({id: self.live[id]}, name="changed")
                else:
                    self.deleted.add(id)
                    del self.live[id]
                    self.stable.discard(id)
        if self.chance.random() < self.fails:
            raise TransportError("cut")
        if self.cursors_only and asked["path"] == "observations":
            return answered({"message": "not available"}, 404)

    def asks(self, query):
        return {**query, "orderBy": f"timestamp.{self.order}"} if self.order else query


def check(seed, kind=None):
    chance = random.Random(seed)
    server = (kind or Busy)(chance)
    page_size = chance.randrange(1, 8)
    reader = server.reader(page_size)
    found, stops_left = [], 5
    for _ in range(3000):
        try:
            page = reader.read(chance.choice([None, None, 1, 2]))
        except TransportError:
            continue
        stops = stops_left > 0 and chance.random() < 0.2
        done = chance.randrange(len(page.rows) + 1) if stops else len(page.rows)
        found += [row["id"] for row in page.rows[:done]]
        if page.last and done == len(page.rows):
            break
        if stops:
            stops_left -= 1
            token = json.loads(json.dumps(page.after(done).to_dict()))
            position = Position.from_dict(token)
            # A direction that was not learned from a page is not kept either.
            direction = reader.direction if position.time else None
            page_size = chance.randrange(1, 8)
            reader = server.reader(page_size, position=position, upper=reader.upper, direction=direction)
    else:
        raise AssertionError("the reader does not end")

    assert sorted(server.stable - set(found)) == []
    assert len(found) == len(set(found))


@pytest.mark.parametrize("first", range(0, 600, 10))
def test_what_is_there_all_the_time_comes_exactly_once(first):
    """Ten random servers each: ties, inserts, deletes, changes, failures, clamped pages, stops after any row."""
    for seed in range(first, first + 10):
        try:
            check(seed)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error


def test_milliseconds_are_what_positions_know():
    """Lists show milliseconds and order by more: rows of one millisecond are one moment."""
    server = Server(rows=EQUAL)
    shown = {row["timestamp"] for row in server.api.traces(page=1, limit=100)["data"]}

    assert shown == {time_of(5)[:-4] + "Z"}
    assert datetime_to_ns(iso_to_datetime(server.reader(100).read().position.time)) == (START + 5) * 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T10:00:00.000Z",
        "2026-01-31T10:00:59.999Z",
        "2026-01-31T10:01:00.001Z",
        "2026-01-31T10:01:60.001Z",
        "2026-01-31T10:01:0\u0661.001Z",
        "2026-01-31T10:01:+1.001Z",
        "2026-01-31T10:01:01.0010",
        "2026-01-31T10:01:01,001Z",
        "2026-01-31T10:01:01.001999Z",
        "2026-02-31T10:01:01.001Z",
    ],
)
def test_a_time_is_the_same_whatever_was_read_before_it(text):
    """Times of one minute are read by what they add to it."""
    known = {}
    for before in ("1999-12-31T23:59:59.999Z", "2026-01-31T10:00:30.000Z", "2026-01-31T10:01:30.000Z"):
        assert time_to_ms(before) is not None
        known[before] = time_to_ms(text)
    try:
        plain = datetime_to_ns(iso_to_datetime(text)) // 1_000_000
    except ValueError:
        plain = None

    assert set(known.values()) == {plain}


# -- two pages at a time -----------------------------------------------------------------------------------------------


class Slow(Server):
    """Each list request takes 20 ms of `now`; several may come at once."""

    def __init__(self, *details, **more):
        self.ms = NOW
        self.lock = threading.RLock()
        super().__init__(*details, **more)

    def send(self, request):
        with self.lock:
            return super().send(request)

    def before(self, asked):
        self.ms += 20
        return super().before(asked)

    def reader(self, page_size=3, **more):
        return Reader(self.api, self.scope, (), page_size=page_size, now=lambda: self.ms * 1_000_000, **more)


@pytest.mark.parametrize("scope", SCOPES)
def test_pages_that_are_slow_and_waited_for_are_read_two_at_a_time(scope):
    server = Slow(scope, {f"r{number:02d}": number for number in range(40)})
    read = [len(page.rows) for page in pages(server.reader(10))]

    assert read == [10, 10, 17, 3]
    assert [query["page"] for query in server.asked].count("2") == 2


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("rows", ALL, ids=len)
def test_every_row_comes_once_from_slow_servers_too(scope, rows):
    for page_size in (1, 2, 3, 7, 100):
        assert sorted(Slow(scope, rows).read(page_size)) == sorted(rows)
        assert sorted(Slow(scope, rows, most=2).read(page_size)) == sorted(rows)


def test_whoever_takes_long_over_a_page_or_wants_few_rows_gets_one_at_a_time():
    server = Slow(rows={f"r{number:02d}": number for number in range(40)})
    patient, modest = server.reader(10), server.reader(10)
    for _ in range(4):
        patient.read()
        server.ms += 20
        modest.read(10)

    assert [query["page"] for query in server.asked].count("2") == 0


def test_a_second_page_that_is_refused_is_asked_for_no_more_and_is_no_error():
    class Refusing(Slow):
        def before(self, asked):
            super().before(asked)
            return answered({"message": "slowly"}, 429) if asked["page"] == "2" else None

    server = Refusing(rows={f"r{number:02d}": number for number in range(60)})

    assert len(server.read(10)) == 60
    assert [query["page"] for query in server.asked].count("2") == 1


class SlowAndBusy(Slow, Busy):
    pass


@pytest.mark.parametrize("first", range(0, 100, 10))
def test_what_is_there_all_the_time_comes_exactly_once_from_slow_servers_too(first):
    for seed in range(first, first + 10):
        try:
            check(seed, SlowAndBusy)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error


def test_a_second_page_is_used_only_if_it_cannot_have_missed_a_row():
    """A list that changes between two looks at parts of it, rows of equal times in any order each time."""
    chance, used = random.Random(7), 0
    for _ in range(3000):
        ascending, size = chance.random() < 0.5, chance.randrange(3, 9)

        def listed(times, ascending=ascending):
            order = sorted(times, key=lambda id: (times[id] if ascending else -times[id], chance.random()))
            return [Row(None, id, times[id], "") for id in order]

        times = {f"r{number}": chance.randrange(chance.choice([2, 9, 99])) for number in range(2 * size)}
        first = listed(times)[:size]
        stay = {id: ms for id, ms in times.items() if chance.random() < 0.9}
        come = {f"n{number}": chance.randrange(30) for number in range(chance.randrange(3))}
        second = listed({**stay, **come})[size - 2 : 2 * size - 4]
        more = following(first, second, ascending=ascending)
        if more:
            used += 1
            found = {row.key for row in [*first, *more]}
            end = more[-1].ms
            before = [id for id, ms in stay.items() if (ms < end if ascending else ms > end)]
            assert found >= set(before)

    assert used > 500
