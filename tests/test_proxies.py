"""Which proxy is used, what it is told, and what becomes of its errors; SECURITY_CASES.md S20, FAULTS.md E10-E13."""
from __future__ import annotations

import socket
import threading

import pytest

from interactiveai_eval import ConfigError, HTTPTransport, Request, TransportError
from interactiveai_eval.transports.remote.origin import bypasses, parse_origin, proxy_for

from .sockets import ScriptedServer, always, answer
from .test_tls import CA, tls_server


def proxied(base_url, **variables):
    found = proxy_for(parse_origin(base_url), None, variables.get)
    return found and str(found.origin)


@pytest.mark.parametrize(
    "base_url, variables, proxy",
    [
        ("https://h", {}, None),
        ("https://h", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://h", {"https_proxy": "http://p:3128"}, "http://p:3128"),
        ("https://h", {"https_proxy": "http://low", "HTTPS_PROXY": "http://up"}, "http://low"),
        ("https://h", {"https_proxy": "", "HTTPS_PROXY": "http://up"}, "http://up"),
        ("https://h", {"https_proxy": " "}, None),
        ("https://h", {"HTTP_PROXY": "http://p"}, None),
        ("https://h", {"HTTPS_PROXY": "p:3128"}, "http://p:3128"),
        ("https://h", {"HTTPS_PROXY": "HTTP://user:pw@p:3128/"}, "http://p:3128"),
        ("https://h", {"HTTPS_PROXY": "http://[::1]:3128"}, "http://[::1]:3128"),
        ("https://h", {"ALL_PROXY": "http://all"}, "http://all"),
        ("https://h", {"ALL_PROXY": "http://all", "HTTPS_PROXY": "http://p"}, "http://p"),
        ("http://h", {"HTTP_PROXY": "http://p"}, "http://p"),
        ("http://h", {"http_proxy": "http://p"}, "http://p"),
        ("http://h", {"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}, None),  # the header `Proxy:` of a request
        ("http://h", {"http_proxy": "http://p", "REQUEST_METHOD": "GET"}, "http://p"),
        ("https://h", {"HTTPS_PROXY": "http://p", "REQUEST_METHOD": "GET"}, "http://p"),
        ("https://h", {"HTTPS_PROXY": "http://p", "NO_PROXY": "h"}, None),
        ("https://h", {"HTTPS_PROXY": "http://p", "no_proxy": "h"}, None),
        ("http://localhost:3000", {"HTTP_PROXY": "http://p"}, None),
        ("http://127.0.0.1:3000", {"ALL_PROXY": "http://p"}, None),
        ("http://[::1]:3000", {"HTTP_PROXY": "http://p"}, None),
    ],
)
def test_the_environment_names_the_proxy(base_url, variables, proxy):
    assert proxied(base_url, **variables) == proxy


@pytest.mark.parametrize("text", ["https://p", "socks5://p:1080", "http://", "http://p:x", "http://u:geheim@p:99999", "http://p q", "pac+http://p"])
def test_other_proxies_are_refused_without_showing_their_password(text):
    with pytest.raises(ConfigError, match=r"HTTPS_PROXY=.*: must look like http://") as caught:
        proxied("https://h", HTTPS_PROXY=text)
    assert "geheim" not in str(caught.value)


NO_PROXY = [
    ("b\u00fccher.example", "b\u00fccher.example", True),
    ("a.xn--bcher-kva.example", ".B\u00dcCHER.example", True),
    ("a.example", "\u00e9.example,a.example", True),
    ("xn--.example", "\u00e9" * 80, False),
    ("api.example.com", "example.com", True), ("example.com", "example.com", True), ("example.com", ".example.com", True),
    ("api.example.com", ".example.com", True), ("api.example.com", "*.example.com", True), ("a.b.example.com", "*.example.com", True),
    ("badexample.com", "example.com", False), ("example.com.evil.net", "example.com", False), ("example.com", "api.example.com", False),
    ("example.com.", "example.com", True), ("example.com", "example.com.", True), ("EXAMPLE.com", "example.COM", True),
    ("example.com", "*", True), ("example.com", "", False), ("example.com", ",, ,", False), ("example.com", ".", False),
    ("example.com", "other.net, example.com", True), ("example.com", "other.net example.com", True),
    ("example.com:8443", "example.com:8443", True), ("example.com:8443", "example.com:443", False), ("example.com", "example.com:443", True),
    ("10.1.2.3", "10.0.0.0/8", True), ("11.1.2.3", "10.0.0.0/8", False), ("10.1.2.3", "10.1.2.3", True), ("10.1.2.3", "10.1.2.9/24", True),
    ("110.1.2.3", "10.1.2.3", False), ("example.com", "10.0.0.0/8", False), ("10.1.2.3", "nonsense/8", False), ("10.1.2.3", "10.0.0.0/99", False),
    ("[2001:db8::1]", "2001:db8::1", True), ("[2001:db8::1]", "[2001:db8::1]", True), ("[2001:db8::1]", "2001:DB8:0::1", True),
    ("[2001:db8::1]", "2001:db8::/32", True), ("[2001:db9::1]", "2001:db8::/32", False), ("[2001:db8::1]:8443", "[2001:db8::1]:8443", True),
    ("[2001:db8::1]:8443", "[2001:db8::1]:443", False), ("[2001:db8::1]", "*", True), ("10.1.2.3:81", "10.0.0.0/8", True),
]  # fmt: skip


@pytest.mark.parametrize("host, no_proxy, is_excepted", NO_PROXY)
def test_no_proxy_excepts(host, no_proxy, is_excepted):
    """E12: the standard library's matcher misses `*.x`, networks, bare IPv6 and dots at the end."""
    assert bypasses(parse_origin(f"https://{host}"), no_proxy) == is_excepted


def forwarding(server, peer, number, told=b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"):
    """A proxy: answers CONNECT, then passes bytes on to `server.target`."""
    server.read(peer)
    peer.sendall(told)
    with socket.create_connection(("127.0.0.1", server.target)) as onward:

        def back():
            while True:
                data = onward.recv(65536)
                if not data:
                    return
                peer.sendall(data)

        thread = threading.Thread(target=lambda: _until_closed(back))
        thread.start()
        while True:
            data = peer.recv(65536)
            if not data:
                break
            onward.sendall(data)
        onward.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _until_closed(work):
    try:
        work()
    except OSError:
        pass  # one of the two ends went away, which is how it ends


def test_https_goes_through_a_tunnel_and_credentials_to_where_they_belong():
    """S20, L42: the proxy hears its own credentials, the server those of the request; verification is the server's."""
    with tls_server() as server, ScriptedServer(forwarding) as proxy:
        proxy.target = server.port
        given = proxy.url.replace("//", "//us%40er:p%3Aw@")
        with HTTPTransport(server.url, ca_file=CA, proxy=given) as transport:
            for _ in range(3):
                assert transport.send(Request("GET", "/x", headers={"authorization": "geheim"})).status == 200
            assert [outcome.status for _, outcome in transport.send_each([Request("GET", "/x")] * 3)] == [200] * 3
        address = f"127.0.0.1:{server.port}"
        assert proxy.requests[0].decode() == (
            f"CONNECT {address} HTTP/1.1\r\nhost: {address}\r\nproxy-authorization: Basic dXNAZXI6cDp3\r\n\r\n"
        )
        assert all(b"proxy-authorization" not in request for request in server.requests) and len(server.requests) == 6


def test_http_goes_to_the_proxy_in_absolute_form():
    """L43."""
    with ScriptedServer(always(answer(b"through"))) as proxy:
        given = proxy.url.replace("//", "//user:pw@")
        with HTTPTransport("http://server.test:8080", proxy=given) as transport:
            assert transport.send(Request("GET", "/x", query=(("a", "b"),))).body == b"through"
        head = proxy.requests[0].decode()
        assert head.startswith("GET http://server.test:8080/x?a=b HTTP/1.1\r\nhost: server.test:8080\r\n")
        assert "\r\nproxy-authorization: Basic dXNlcjpwdw==\r\n" in head


@pytest.mark.parametrize(
    "told, reason, retryable",
    [
        (answer(b"", "407 Proxy Authentication Required"), "it wants credentials, or others than it got", False),
        (answer(b"no", "403 Forbidden"), r"it does not connect to this server \(403\)", False),
        (answer(b"no", "502 Bad Gateway"), r"it does not connect to this server \(502\)", True),
        (b"", "the connection was closed without an answer", True),
        (b"nonsense", "the answer is not HTTP/1.x", False),
        (b"HTTP/1.1 200 OK\r\n\r\nevil", "something came before TLS began", False),
        (b"HTTP/1.1 200 OK\r\n", "the answer ends in the middle", True),
    ],
)
def test_what_goes_wrong_at_the_proxy_names_the_proxy(told, reason, retryable):
    """E10, E11, S24."""

    def script(server, peer, number):
        server.read(peer)
        peer.sendall(told)

    with ScriptedServer(script) as proxy:
        with HTTPTransport("https://server.test", ca_file=CA, proxy=proxy.url.replace("//", "//user:geheim@")) as transport:
            with pytest.raises(TransportError, match=rf"^GET /x on https://server.test: proxy {proxy.url[7:]}: {reason}") as caught:
                transport.send(Request("GET", "/x"))
    assert caught.value.retryable == retryable and "geheim" not in str(caught.value)


def test_a_proxy_that_is_not_there_or_says_nothing():
    with ScriptedServer(lambda s, p, n: s.ended.wait(10)) as proxy:
        with HTTPTransport("https://server.test", ca_file=CA, proxy=proxy.url, timeout_seconds=0.1) as transport:
            with pytest.raises(TransportError, match=r"proxy .*: no answer within 0.1 s"):
                transport.send(Request("GET", "/x"))
        url = proxy.url
    with HTTPTransport("https://server.test", ca_file=CA, proxy=url) as transport:
        with pytest.raises(TransportError, match=rf"proxy: {url[7:]} cannot be reached \(Connection refused\)"):
            transport.send(Request("GET", "/x"))


def test_a_407_over_plain_http_names_the_proxy():
    with ScriptedServer(always(answer(b"", "407 Proxy Authentication Required"))) as proxy:
        with HTTPTransport("http://server.test", proxy=proxy.url) as transport:
            with pytest.raises(TransportError, match=f"proxy {proxy.url[7:]}: it wants credentials"):
                transport.send(Request("GET", "/x"))
            ((_, outcome),) = transport.send_each([Request("POST", "/x")])
            assert "it wants credentials" in str(outcome)


@pytest.mark.parametrize(
    "text, origin",
    [
        ("https://h", "https://h"), ("HTTPS://H:443/p?q#f", "https://h"), ("http://h:8080", "http://h:8080"), ("http://[::1]", "http://[::1]"),
        ("http://[fe80::1%eth0]:1", "http://[fe80::1%eth0]:1"), ("https://m\u00fcnchen.test", "https://xn--mnchen-3ya.test"), ("https://a_b.c-d.e", "https://a_b.c-d.e"),
        ("h", None), ("//h", None), ("ftp://h", None), ("https://", None), ("https:///p", None), ("https://h:0", None), ("https://h:65536", None),
        ("https://h:x", None), ("https://h:\u0661", None), ("http://[::1]evil", None), ("http://[evil]", None), ("http://[::1", None), ("http://u@h", None),
        ("http://good\\@evil", None), ("http://h\t", None), ("http://h\n", None), (" http://h", None), ("http://a b", None), ("http://a,b", None),
        ("http://.h", None), ("http://h%41", None), ("http://\u2100.test", None),
    ],
)  # fmt: skip
def test_origins_are_read_in_one_way_or_not_at_all(text, origin):
    """S15."""
    found = parse_origin(text)

    assert (found and str(found)) == origin
