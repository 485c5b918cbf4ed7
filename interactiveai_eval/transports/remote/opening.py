"""How connections come to be: an address that answers, the proxy's leave, TLS."""
from __future__ import annotations

import socket
from _thread import allocate_lock, start_new_thread

from .connections import Connection, Unanswered, os_reason
from .http1 import BadReply, Outgoing, Reader
from .tls import tls_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..._clock import Clock
    from .connections import Deadline
    from .origin import Origin, Proxy
    from .tls import Tls

# A made-up figure: one address of several gets at least so long to answer.
LEAST_CONNECT_SECONDS = 0.25
WANTS_CREDENTIALS = "it wants credentials, or others than it got; give them as http://user:password@host:port"


class Opener:
    """Opens connections to one server, through the proxy if there is one, with TLS if the server wants it."""

    def __init__(self, origin: Origin, proxy: Proxy | None, tls: Tls | None, clock: Clock) -> None:
        self._origin = origin
        self._proxy = proxy
        self._tls = tls
        self._clock = clock

    def open(self, deadline: Deadline) -> Connection:
        """A new connection. Raises Unanswered, ConfigError, FeatureUnavailable."""
        context, source = (None, None) if self._tls is None else self._tls.at_hand()
        if self._proxy is None:
            sock = connect(self._origin, deadline)
        else:
            try:
                sock = connect(self._proxy.origin, deadline)
            except Unanswered as problem:
                raise Unanswered(f"proxy: {problem}", retryable=problem.retryable) from None
        if source is None:
            return Connection(sock, None, self._clock)
        if self._proxy is not None:
            self._tunnel(self._proxy, Connection(sock, None, self._clock), deadline)
        return Connection(with_tls(sock, context, source, self._origin.host, deadline), source, self._clock)

    def _tunnel(self, proxy: Proxy, connection: Connection, deadline: Deadline) -> None:
        """Have the proxy connect to the server. Raises Unanswered; the connection is closed then."""
        where = proxy.origin.address
        try:
            lines = [f"CONNECT {self._origin.address} HTTP/1.1", f"host: {self._origin.address}"]
            if proxy.authorization is not None:
                lines.append(f"proxy-authorization: {proxy.authorization.reveal()}")
            asked = Outgoing(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"), True)
            del lines  # a traceback that shows locals must not show it
            reply = connection.exchange(asked, Reader(0), deadline)
            status = reply.response().status
            if status < 300 and reply.excess:
                raise BadReply("something came before TLS began")
            if not 200 <= status < 300:
                told = WANTS_CREDENTIALS if status == 407 else "it does not connect to this server"
                raise Unanswered(f"{told} ({status})", retryable=status >= 500)
        except (Unanswered, BadReply) as problem:
            connection.close()
            raise Unanswered(f"proxy {where}: {problem}", retryable=problem.retryable) from None
        except BaseException:
            connection.close()
            raise


def connect(origin: Origin, deadline: Deadline) -> socket.socket:
    """A socket to the first address of `origin` that answers. Raises Unanswered."""
    addresses = _addresses(origin, deadline)
    told = ""
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        left = deadline.left(f"connecting to {origin.address}")
        # An address that swallows packets must leave time for those after it.
        share = max(left / (len(addresses) - number), min(LEAST_CONNECT_SECONDS, left))
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            told = os_reason(error)
            continue
        try:
            sock.settimeout(share)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.connect(address)
        except OSError as error:
            sock.close()
            told = f"no connection within {share:.3g} s" if isinstance(error, socket.timeout) else os_reason(error)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise Unanswered(f"{origin.address} cannot be reached ({told or 'it has no address'})")


def _addresses(origin: Origin, deadline: Deadline) -> list[Any]:
    """What `getaddrinfo` says, which may hang for long: it runs on a thread that can be left behind."""

    # As bytes: of a text the codec for international names is asked, which loads tables and needs `unicodedata`.
    host = origin.host.encode()

    def look_up(flags: int) -> list[Any]:
        return socket.getaddrinfo(host, origin.port, 0, socket.SOCK_STREAM, 0, flags)

    try:
        return look_up(socket.AI_NUMERICHOST)
    except OSError:
        found: list[Any] = []
    done = allocate_lock()
    done.acquire()

    def look_up_and_tell() -> None:
        try:
            found.append(look_up(0))
        except Exception as error:
            found.append(error)
        done.release()

    doing = f"looking up {origin.host}"
    try:
        start_new_thread(look_up_and_tell, ())
    except RuntimeError:
        look_up_and_tell()  # no threads here, so the time cannot be bounded
    if not done.acquire(timeout=deadline.left(doing)):
        raise deadline.missed(doing)
    if isinstance(found[0], Exception):
        raise Unanswered(f"the address of {origin.host} cannot be found ({os_reason(found[0])})")
    return found[0]  # type: ignore[no-any-return]


def with_tls(sock: socket.socket, context: Any, source: str, host: str, deadline: Deadline) -> socket.socket:
    """`sock` with TLS on it, for the server `host`. Raises Unanswered; the socket is closed then."""
    doing = f"TLS with {host}"
    wrapped: Any = None
    try:
        sock.settimeout(deadline.left(doing))
        wrapped = context.wrap_socket(sock, server_hostname=host.encode(), suppress_ragged_eofs=False)
        if wrapped.version() not in ("TLSv1.2", "TLSv1.3"):
            raise Unanswered(f"{host} offers no TLS 1.2, but {wrapped.version()}", retryable=False)
        return wrapped  # type: ignore[no-any-return]
    except socket.timeout:
        sock.close()
        raise deadline.missed(doing) from None
    except (OSError, ValueError) as error:
        sock.close()
        if isinstance(error, ConnectionError):
            raise Unanswered(f"{host} closed the connection during TLS ({os_reason(error)})") from None
        reason, retryable = tls_reason(error, source)
        raise Unanswered(f"{host}: {reason}", retryable=retryable) from None
    except BaseException:
        sock.close()
        if wrapped is not None:
            wrapped.close()
        raise
