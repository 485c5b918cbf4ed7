"""Connections of one transport: opened in bounded time, kept for the next request, dropped when they may be stale."""
from __future__ import annotations

import os
import select
import socket
from _thread import allocate_lock, start_new_thread
from threading import Condition

from ...errors import ClosedError
from .http1 import BadReply, Reply
from .tls import tls_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..._clock import Clock
    from .http1 import Outgoing, Reader

# A made-up figure: servers and the boxes in between forget idle connections after a minute, some without a word.
IDLE_SECONDS = 30.0
TLS_PIECE_BYTES = 65_536
# How much is read at once. Measured: with more, memory goes back to the system and comes from it for every piece, at
# several times the cost of reading.
READ_BYTES = 65_536
CAN_POLL = hasattr(select, "poll")  # Windows cannot


class Unanswered(Exception):
    """A request that got no answer. `unheard`: on a kept connection that was dead before a byte came back."""

    def __init__(self, reason: str, *, retryable: bool = True, unheard: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.unheard = unheard


class Answered(Exception):
    """A request that has its answer before it was sent as a whole; the connection is of no more use."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("answered early")
        self.reply = reply


class Deadline:
    """The one moment by which everything about a request must be over; `seconds` is how long that was at first."""

    __slots__ = ("at", "clock", "seconds")

    def __init__(self, clock: Clock, at: float, seconds: float) -> None:
        self.clock = clock
        self.at = at
        self.seconds = seconds

    def left(self, doing: str) -> float:
        """The seconds left, which are more than none. Raises Unanswered, which names what was going on."""
        left = self.at - self.clock.monotonic()
        if left <= 0.0:
            raise self.missed(doing)
        return left

    def missed(self, doing: str) -> Unanswered:
        """The error of a request that ran out of time."""
        return Unanswered(f"no answer within {self.seconds:g} s ({doing})")


class Connection:
    """One socket to a server or a proxy, for one request at a time."""

    def __init__(self, sock: socket.socket, tls_source: str | None, clock: Clock) -> None:
        self._socket = sock
        self._tls_source = tls_source
        self._clock = clock
        self._poll: Any = None
        self.is_used = False  # whether it has carried a request before
        self.is_streamed = False  # whether a stream has it
        self._never_waits = False  # whether its socket does not wait
        self._rested = (0.0, 0)

    def exchange(self, outgoing: Outgoing, reader: Reader, deadline: Deadline) -> Reply:
        """Send a request and read its answer. Raises Unanswered, BadReply."""
        self._never_waits = False
        reply = Reply(reader, outgoing.is_head)
        sock = self._socket
        doing = "sending the request"
        try:
            try:
                self._send(outgoing, deadline)
            except OSError as error:
                return self._early_answer(reply, error, deadline)
            doing = "waiting for the answer"
            while True:
                sock.settimeout(deadline.left(doing))
                if reply.feed(sock.recv(READ_BYTES)):
                    return reply
        except (OSError, BadReply) as problem:
            raise self._trouble(problem, reply, deadline, doing) from None

    def begin(self, outgoing: Outgoing, reader: Reader, deadline: Deadline) -> Reply:
        """Send a request without waiting for its answer, which `advance` reads as it comes.

        Raises Unanswered, Answered.
        """
        reply = Reply(reader, outgoing.is_head)
        sock = self._socket
        try:
            if not self._never_waits:
                sock.settimeout(0.0)
                self._never_waits = True
            try:
                sent = sock.send(outgoing.data)
            except OSError as error:
                if not _has_to_wait(error):
                    raise
                sent = 0
            if sent < len(outgoing.data):
                self._never_waits = False
                self._send(outgoing, deadline, sent)
                sock.settimeout(0.0)
                self._never_waits = True
        except OSError as error:
            try:
                early = self._early_answer(reply, error, deadline)
            except OSError as problem:
                raise self._trouble(problem, reply, deadline, "sending the request") from None
            raise Answered(early) from None
        return reply

    def advance(self, reply: Reply, deadline: Deadline) -> bool:
        """Read what has come for a request that was begun; True once the answer is whole. Raises Unanswered, BadReply.
        """
        try:
            while not reply.feed(self._socket.recv(READ_BYTES)):
                if self._tls_source is None:
                    return False
            return True
        except (OSError, BadReply) as problem:
            if isinstance(problem, OSError) and _has_to_wait(problem):
                return False
            raise self._trouble(problem, reply, deadline, "waiting for the answer") from None

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._socket.fileno()

    def _send(self, outgoing: Outgoing, deadline: Deadline, sent: int = 0) -> None:
        """Send a request from its byte `sent` on; the bytes, which carry keys, in no local: Ctrl-C may come here."""
        sock = self._socket
        size = len(outgoing.data)
        if self._tls_source is None or size <= TLS_PIECE_BYTES:
            sock.settimeout(deadline.left("sending the request"))
            sock.sendall(outgoing.data[sent:])
            return
        for at in range(sent, size, TLS_PIECE_BYTES):  # over TLS each piece would have the whole time to itself
            sock.settimeout(deadline.left("sending the request"))
            sock.sendall(outgoing.data[at : at + TLS_PIECE_BYTES])

    def _early_answer(self, reply: Reply, error: OSError, deadline: Deadline) -> Reply:
        """The answer of a server that had seen enough before the request was sent (an early 413), or `error`."""
        try:
            # What has arrived is at hand, and no more will come.
            self._socket.settimeout(0.0 if isinstance(error, socket.timeout) else deadline.left("reading the answer"))
            while not reply.feed(self._socket.recv(READ_BYTES)):
                pass
        except (OSError, BadReply, Unanswered):
            raise error from None
        reply.reusable = False
        return reply

    def _trouble(self, problem: Exception, reply: Reply, deadline: Deadline, doing: str) -> Exception:
        """What to raise for what a socket, or the reader of an answer, raised."""
        unheard = self.is_used and not reply.begun
        if isinstance(problem, socket.timeout):
            return deadline.missed(doing)
        if isinstance(problem, BadReply):
            return Unanswered(str(problem), unheard=True) if unheard else problem
        if self._tls_source is None or isinstance(problem, ConnectionError):
            return Unanswered(f"the connection was lost ({os_reason(problem)})", unheard=unheard)
        reason, retryable = tls_reason(problem, self._tls_source)
        return Unanswered(reason, retryable=retryable, unheard=unheard)

    def rest(self) -> None:
        """Note that it is idle from now on."""
        self.is_used = True
        self._rested = self._clock.monotonic(), self._clock.time_ns()

    def is_fresh(self) -> bool:
        """Whether it may carry another request: not idle for long on either clock, not closed, nothing unread."""
        monotonic, wall_ns = self._rested
        # After a freeze of the whole machine only the wall clock has moved on.
        if abs(self._clock.monotonic() - monotonic) > IDLE_SECONDS:
            return False
        if abs(self._clock.time_ns() - wall_ns) > IDLE_SECONDS * 1e9:
            return False
        if CAN_POLL:
            if self._poll is None:
                self._poll = select.poll()
                self._poll.register(self._socket, select.POLLIN)
            if not self._poll.poll(0):
                return True
            if self._tls_source is None:
                return False
        try:  # over TLS what is readable may be no data at all, but a session ticket
            self._socket.settimeout(0.0)
            self._socket.recv(1)
        except OSError as error:
            return _has_to_wait(error)
        return False

    def close(self) -> None:
        """Give the socket back; its errors tell nothing any more."""
        try:
            self._socket.close()
        except OSError:
            self._socket.detach()


class Pool:
    """At most `most` connections, those that rested last first; a forked child begins with none.

    Streams, which take all that they can get, have at most `most_streamed` of them.
    """

    def __init__(
        self,
        most: int,
        open_connection: Callable[[Deadline], Connection],
        *,
        most_streamed: int,
        opens_slowly: bool = False,
    ) -> None:
        """`opens_slowly` says that opening takes longer than starting a thread for it."""
        self.opens_slowly = opens_slowly
        self._most = most
        self._most_streamed = min(most, most_streamed)
        self._open_connection = open_connection
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._idle: list[Connection] = []
        self._count = 0  # in use and idle
        self._streamed = 0
        self._waiting = 0
        self.opening = 0  # of those that `open_soon` began
        self._lock = allocate_lock()
        self._freed = Condition(self._lock)

    def take(self, deadline: Deadline, *, fresh: bool = False) -> Connection:
        """A connection for one request, a `fresh` one if asked; give it back with `put` or `drop`.

        Raises Unanswered when none can be had in time, ClosedError after `close`.
        """
        taken = self.take_now(deadline, fresh=fresh, waits=True)
        assert taken is not None
        return taken

    @property
    def has_idle(self) -> bool:
        """Whether a connection is there for the taking."""
        return bool(self._idle)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a connection."""
        return self._waiting > 0

    def take_now(
        self, deadline: Deadline, *, fresh: bool = False, waits: bool = False, streamed: bool = False
    ) -> Connection | None:
        """Like `take`, but None when one can only be had by waiting for it; `streamed` for a stream."""
        if self._pid != os.getpid():
            # The sockets are the parent's, and a lock may have been held when it forked. Closing a copy of a socket
            # says nothing to the server.
            for left in self._idle:
                left.close()
            self._begin()
        while True:
            with self._lock:
                while not self._closed and (
                    (streamed and self._streamed >= self._most_streamed)
                    or (not self._idle and self._count >= self._most)
                ):
                    if not waits:
                        return None
                    self._waiting += 1
                    try:
                        self._freed.wait(deadline.left(f"waiting for one of {self._most} connections"))
                    finally:
                        self._waiting -= 1
                if self._closed:
                    raise ClosedError("this HTTPTransport is closed")
                idle = self._idle.pop() if self._idle else None
                if idle is None:
                    self._count += 1
                else:
                    idle.is_streamed = streamed
                self._streamed += streamed
            if idle is None:
                break
            try:
                if not fresh and idle.is_fresh():
                    return idle
            except BaseException:
                self.drop(idle)
                raise
            self.drop(idle)
        try:
            opened = self._open_connection(deadline)
        except BaseException:
            self.drop(None, streamed=streamed)
            raise
        opened.is_streamed = streamed
        return opened

    def open_soon(self, deadline: Deadline) -> bool:
        """Have one more opened on a thread, to be found among the idle ones; False when that cannot be."""
        with self._lock:
            if self._closed or self._count >= self._most or self._streamed + self.opening >= self._most_streamed:
                return False
            self._count += 1
            self.opening += 1
        try:
            start_new_thread(self._open_and_put, (deadline,))
        except RuntimeError:  # no threads here
            self.opening -= 1
            self.drop(None)
            return False
        return True

    def _open_and_put(self, deadline: Deadline) -> None:
        try:
            self.put(self._open_connection(deadline))
        except Exception:
            # Whoever opens the next one on his own thread meets the same, and hears of it.
            self.drop(None)
        finally:
            with self._lock:
                self.opening -= 1

    def put(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        connection.rest()
        with self._lock:
            if not self._closed:
                self._streamed -= connection.is_streamed
                connection.is_streamed = False
                self._idle.append(connection)
                if self._waiting:
                    self._freed.notify_all()  # for some of them it may be of no use
                return
        self.drop(connection)

    def drop(self, connection: Connection | None, *, streamed: bool = False) -> None:
        """Close a connection that cannot be kept; None for one that was never made."""
        if connection is not None:
            connection.close()
            streamed = connection.is_streamed
        with self._lock:
            self._count -= 1
            self._streamed -= streamed
            if self._waiting:
                self._freed.notify_all()

    def close(self) -> None:
        """Close what is idle, refuse whoever waits or comes; what is under way ends on its own."""
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            self._freed.notify_all()
        for connection in idle:
            self.drop(connection)


def _has_to_wait(error: OSError) -> bool:
    """Whether a socket that does not wait says that there is nothing yet, or no room."""
    # By name, so that `ssl` need not be there.
    return isinstance(error, BlockingIOError) or type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


def os_reason(error: BaseException) -> str:
    """What an error of the system says, without its number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
