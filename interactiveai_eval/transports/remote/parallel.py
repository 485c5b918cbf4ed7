"""Many requests under way at once on one thread: a thread for each would cost more than the requests themselves."""
from __future__ import annotations

import select
from collections import deque

from ...errors import TransportError
from .connections import Answered, Unanswered
from .http1 import BadReply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..base import Request, Response
    from .connections import Connection, Deadline, Pool
    from .http1 import Outgoing, Reader, Reply

LOOK_SECONDS = 0.25  # how often the deadlines of all are looked at
OPENING_SECONDS = 0.005  # and how often what is being opened


class Flight:
    """One request under way."""

    __slots__ = ("connection", "deadline", "fresh", "outgoing", "reply", "request")

    connection: Connection
    reply: Reply

    def __init__(self, request: Request, outgoing: Outgoing, deadline: Deadline) -> None:
        self.request = request
        self.outgoing = outgoing
        self.deadline = deadline
        self.fresh = False  # whether it goes out again, after a kept connection that was dead


class Parallel:
    """Sends requests over all connections that a pool can spare, and hands out what becomes of them."""

    def __init__(
        self,
        pool: Pool,
        reader: Reader,
        requests: Iterable[Request],
        flight_of: Callable[[Request], Flight],
        failed: Callable[[Request, Unanswered | BadReply], TransportError],
    ) -> None:
        """`flight_of` makes bytes of a request and starts its time, `failed` an error of what went wrong."""
        self._pool = pool
        self._reader = reader
        self._source = iter(requests)
        self._is_drained = False
        self._flight_of = flight_of
        self._failed = failed
        self._poll = select.poll()
        self._flights: dict[int, Flight] = {}  # by descriptor, those that have been under way longest first
        self._waiting: deque[Flight] = deque()  # pulled, and without a connection
        self._outcomes: deque[tuple[Request, Response | TransportError]] = deque()

    def outcomes(self) -> Iterator[tuple[Request, Response | TransportError]]:
        """Each request with its answer or error, as they come. Raises ClosedError."""
        try:
            look_at = 0.0
            while True:
                self._begin_what_can_be()
                yield from self._handed_out()
                if not self._flights:
                    if self._is_drained and not self._waiting:
                        return
                    continue
                ready = self._poll.poll(1000 * (OPENING_SECONDS if self._pool.opening else LOOK_SECONDS))
                for descriptor, _ in ready:
                    self._advance(descriptor)
                now = next(iter(self._flights.values())).deadline.clock.monotonic() if self._flights else 0.0
                if not ready or now >= look_at:
                    look_at = now + LOOK_SECONDS
                    self._give_up_the_late(now)
                yield from self._handed_out()
        finally:
            for flight in self._flights.values():
                self._pool.drop(flight.connection)

    def _handed_out(self) -> Iterator[tuple[Request, Response | TransportError]]:
        while self._outcomes:
            yield self._outcomes.popleft()

    def _next(self) -> Flight | None:
        """The next to be sent; None when all have been."""
        if self._waiting:
            return self._waiting.popleft()
        return self._pulled()

    def _pulled(self) -> Flight | None:
        for request in self._source:
            return self._flight_of(request)
        self._is_drained = True
        return None

    def _begin_what_can_be(self) -> None:
        """Begin requests on connections that can be had at once; wait for one only if none is under way."""
        while True:
            if self._flights and self._pool.opens_slowly and not self._pool.has_idle:
                self._have_more_opened()
                return
            flight = self._next()
            if flight is None:
                return
            try:
                connection = self._pool.take_now(
                    flight.deadline, fresh=flight.fresh, waits=not self._flights, streamed=True
                )
            except (Unanswered, BadReply) as problem:
                self._end(flight, self._failed(flight.request, problem))
                return  # to be handed out before more is pulled
            if connection is None:
                self._waiting.appendleft(flight)
                return
            self._begin(flight, connection)

    def _have_more_opened(self) -> None:
        """Pull a request for each connection that may yet be opened, and have these opened meanwhile."""
        while True:
            if len(self._waiting) > self._pool.opening:
                if not self._pool.open_soon(self._waiting[-1].deadline):
                    return
            else:
                flight = self._pulled()
                if flight is None:
                    return
                self._waiting.append(flight)

    def _begin(self, flight: Flight, connection: Connection, polled: int | None = None) -> None:
        flight.connection = connection
        descriptor = connection.fileno() if polled is None else polled
        try:
            flight.reply = connection.begin(flight.outgoing, self._reader, flight.deadline)
        except BaseException as problem:
            if polled is not None:
                self._poll.unregister(polled)
            self._pool.drop(connection)
            self._fail(flight, problem)
        else:
            self._flights[descriptor] = flight
            if polled is None:
                self._poll.register(descriptor, select.POLLIN)

    def _advance(self, descriptor: int) -> None:
        """Read what came for one; when it is answered, its connection goes on with the next."""
        flight = self._flights[descriptor]
        try:
            if not flight.connection.advance(flight.reply, flight.deadline):
                return
            answer = flight.reply.response()
        except BaseException as problem:
            self._drop(descriptor)
            self._fail(flight, problem)
            return
        self._end(flight, answer)
        if not flight.reply.reusable:
            self._drop(descriptor)
            return
        following = None if self._pool.is_wanted else self._next()
        del self._flights[descriptor]
        if following is None:
            self._poll.unregister(descriptor)
            self._pool.put(flight.connection)
        else:
            flight.connection.is_used = True
            self._begin(following, flight.connection, descriptor)

    def _drop(self, descriptor: int) -> None:
        flight = self._flights.pop(descriptor)
        self._poll.unregister(descriptor)
        self._pool.drop(flight.connection)

    def _fail(self, flight: Flight, problem: BaseException) -> None:
        if isinstance(problem, Unanswered) and problem.unheard and not flight.fresh:
            flight.fresh = True
            self._waiting.append(flight)
        elif isinstance(problem, (Unanswered, BadReply)):
            self._end(flight, self._failed(flight.request, problem))
        elif isinstance(problem, Answered):
            try:
                self._end(flight, problem.reply.response())
            except BadReply as bad:
                self._fail(flight, bad)
        else:
            raise problem

    def _end(self, flight: Flight, outcome: Response | TransportError) -> None:
        self._outcomes.append((flight.request, outcome))

    def _give_up_the_late(self, now: float) -> None:
        for descriptor, flight in list(self._flights.items()):
            if flight.deadline.at <= now:
                self._drop(descriptor)
                self._fail(flight, flight.deadline.missed("waiting for the answer"))
