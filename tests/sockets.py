"""Servers for tests of the wire: loopback sockets that play given bytes, byte for byte."""
from __future__ import annotations

import contextlib
import socket
import struct
import threading
from urllib.parse import parse_qsl

from interactiveai_eval import Request


def answer(body=b"{}", status="200 OK", headers=()):
    """An HTTP answer with that body, as bytes."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def read_request(peer, buffer=b""):
    """(request bytes, bytes behind it) of one request with a Content-Length or without a body; None at the end."""
    while b"\r\n\r\n" not in buffer:
        more = peer.recv(65536)
        if not more:
            return None
        buffer += more
    head, _, rest = buffer.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(rest) < length:
        more = peer.recv(65536)
        if not more:
            return None
        rest += more
    return head + b"\r\n\r\n" + rest[:length], rest[length:]


def reset(peer):
    """Close so that the other side sees a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


class ScriptedServer:
    """Answers with `script(server, peer, number)` on a thread for each connection; `number` counts connections from 0.

    `requests` lists the bytes of all requests that the scripts read with `read`; what a script raises other than
    OSError is raised at the end of the `with` statement.
    """

    def __init__(self, script, *, wrap=None, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, 0))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.requests = []
        self.connections = 0
        self.ended = threading.Event()  # set when the test is over: what a script waits for instead of sleeping
        self._script = script
        self._wrap = wrap
        self._problems = []
        self._peers = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in list(self._threads):
            thread.join(0.2 if exc_info[0] else 5)
            with contextlib.suppress(OSError):
                for peer in self._peers:
                    peer.close()
        if self._problems and exc_info[0] is None:
            raise self._problems[0]

    def read(self, peer):
        """The next request on this connection, remembered; None at its end."""
        found = read_request(peer)
        if found is not None:
            self.requests.append(found[0])
        return found and found[0]

    def _accept(self):
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            thread = threading.Thread(target=self._serve, args=(peer, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer, number):
        peer.settimeout(10)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers.append(peer)
        try:
            if self._wrap is not None:
                peer = self._wrap(peer)
                self._peers.append(peer)
            self._script(self, peer, number)
        except OSError:
            pass  # the client went away, which many tests are about
        except Exception as problem:
            self._problems.append(problem)
        finally:
            peer.close()


def always(reply):
    """A script that answers every request with the same bytes."""

    def script(server, peer, number):
        while server.read(peer) is not None:
            peer.sendall(reply)

    return script


def replies(*given):
    """A script that answers the requests, over all connections, with these bytes one after the other."""
    left = list(given)

    def script(server, peer, number):
        while server.read(peer) is not None:
            peer.sendall(left.pop(0) if len(left) > 1 else left[0])

    return script


def serving(transport):
    """A script that has a transport answer: the smallest HTTP server there can be."""

    def script(server, peer, number):
        while True:
            found = server.read(peer)
            if found is None:
                return
            head, _, body = found.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            path, _, query = target.partition("?")
            headers = dict(line.split(": ", 1) for line in lines)
            pairs = tuple(parse_qsl(query, keep_blank_values=True))
            response = transport.send(Request(method, path, query=pairs, headers=headers, body=body))
            told = [f"{name}: {value}" for name, value in response.headers.items() if name != "content-length"]
            peer.sendall(answer(response.body, f"{response.status} Whatever", told))

    return script
