"""TLS of the HTTP transport, with certificates made for these tests (tests/data/tls; valid until 2124 unless they say not)."""
from __future__ import annotations

import pathlib
import re
import socket
import ssl
import sys

import pytest

from interactiveai_eval import ArgumentError, ConfigError, HTTPTransport, Request, TransportError

from .sockets import ScriptedServer, always, answer, reset
from .test_config import walked

TLS = pathlib.Path(__file__).parent / "data" / "tls"
CA = str(TLS / "ca.pem")


def tls_server(script=None, certificate="server", **settings):
    """A scripted server that speaks TLS with one of the certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.pem")
    for name, value in settings.items():
        setattr(context, name, value)
    if settings.get("verify_mode"):
        context.load_verify_locations(CA)
    server = ScriptedServer(script or always(answer(b"{}")), wrap=lambda peer: context.wrap_socket(peer, server_side=True))
    server.url = server.url.replace("http:", "https:")
    return server


def refused(server, path="/x", **settings):
    settings.setdefault("ca_file", CA)
    with server, HTTPTransport(server.url, timeout_seconds=5, **settings) as transport:
        with pytest.raises(TransportError) as caught:
            transport.send(Request("GET", path, headers={"authorization": "geheim"}))
    assert server.requests == []
    return caught.value


def test_requests_go_over_one_verified_connection():
    with tls_server() as server, HTTPTransport(server.url, ca_file=CA) as transport:
        big = Request("POST", "/x", body=bytes(3_000_000))
        assert [transport.send(Request("GET", "/x")).body for _ in range(3)] == [b"{}"] * 3
        assert transport.send(big).body == b"{}"
        assert [outcome.body for _, outcome in transport.send_each([Request("GET", "/x")] * 20 + [big])] == [b"{}"] * 21
        assert len(server.requests[3]) > 3_000_000


def test_large_answers_come_over_tls_both_ways_of_sending():
    with tls_server(always(answer(b"x" * 5_000_000))) as server, HTTPTransport(server.url, ca_file=CA) as transport:
        assert len(transport.send(Request("GET", "/x")).body) == 5_000_000
        assert [len(outcome.body) for _, outcome in transport.send_each([Request("GET", "/x")] * 3)] == [5_000_000] * 3


def test_the_environment_may_name_the_authorities():
    with tls_server() as server:
        with HTTPTransport(server.url, variable={"SSL_CERT_FILE": CA}.get) as transport:
            # OpenSSL reads the variable itself; what is injected here only decides what is checked and said.
            with pytest.raises(TransportError, match=f"is not among SSL_CERT_FILE={CA}"):
                transport.send(Request("GET", "/x"))
        with HTTPTransport(server.url, variable={"SSL_CERT_FILE": "/nowhere.pem"}.get) as transport:
            with pytest.raises(ConfigError, match=r"SSL_CERT_FILE='/nowhere.pem': there is no such file"):
                transport.send(Request("GET", "/x"))


def test_the_environment_may_name_the_authorities_for_real(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", CA)
    with tls_server() as server, HTTPTransport(server.url) as transport:
        assert transport.send(Request("GET", "/x")).status == 200


def test_a_context_of_ones_own_is_used_if_it_verifies():
    with tls_server() as server:
        with HTTPTransport(server.url, ssl_context=ssl.create_default_context(cafile=CA)) as transport:
            assert transport.send(Request("GET", "/x")).status == 200
    careless = ssl.create_default_context()
    careless.check_hostname = False
    with pytest.raises(ArgumentError, match=r"ssl_context=.*: must verify certificates and host names"):
        HTTPTransport("https://h", ssl_context=careless)
    careless.verify_mode = ssl.CERT_NONE
    with pytest.raises(ArgumentError, match="must verify"):
        HTTPTransport("https://h", ssl_context=careless)


@pytest.mark.parametrize(
    "certificate, settings, told",
    [
        ("server", {"ca_file": str(TLS / "weak.pem")}, r"its authority is not among ca_file=.*weak.pem; pass ca_file="),
        ("expired", {}, "its certificate has expired; or this machine's clock is wrong"),
        ("early", {}, "its certificate is not valid yet; or this machine's clock is wrong"),
        ("elsewhere", {}, "its certificate is for other addresses"),
    ],
)
def test_a_certificate_that_is_not_right_stops_everything(certificate, settings, told):
    """E01-E03: never tried again, nothing sent, nothing relaxed."""
    error = refused(tls_server(certificate=certificate), **settings)

    assert not error.retryable
    assert re.search(rf"127.0.0.1: its certificate was not accepted \(.*\): {told}", str(error)), error


def test_a_certificate_for_another_name_is_refused():
    with tls_server(certificate="elsewhere") as server:
        with HTTPTransport(server.url.replace("127.0.0.1", "localhost"), ca_file=CA) as transport:
            with pytest.raises(TransportError, match="its certificate is for other hosts"):
                transport.send(Request("GET", "/x"))


def test_an_authority_that_is_not_marked_as_one_critically():
    """E04: Python 3.13 demands it; that is explained, and not relaxed."""
    server = tls_server(certificate="careless")
    if sys.version_info >= (3, 13):
        assert "lacks a critical 'basic constraints'" in str(refused(server, ca_file=str(TLS / "weak.pem")))
    else:
        with server, HTTPTransport(server.url, ca_file=str(TLS / "weak.pem")) as transport:
            assert transport.send(Request("GET", "/x")).status == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused():
    """E05: by our own context, and after the fact with one that allows it."""
    settings = {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1}
    assert not refused(tls_server(**settings)).retryable
    lenient = ssl.create_default_context(cafile=CA)
    lenient.minimum_version = ssl.TLSVersion.TLSv1
    lenient.set_ciphers("DEFAULT:@SECLEVEL=0")
    server = tls_server(**settings)
    assert "TLS" in str(refused(server, ca_file=None, ssl_context=lenient))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_is_shown_where_it_is_wanted(version):
    """E06."""
    wanted = {"verify_mode": ssl.CERT_REQUIRED, "maximum_version": version}
    for given in (
        str(TLS / "client.pem"),
        (str(TLS / "client.crt"), str(TLS / "client.pem")),
        (str(TLS / "client.crt"), str(TLS / "client-locked.key"), "opensesame"),
    ):
        with tls_server(**wanted) as server, HTTPTransport(server.url, ca_file=CA, client_certificate=given) as transport:
            assert transport.send(Request("GET", "/x")).status == 200
            assert "opensesame" not in "".join(walked(transport))
    with tls_server(**wanted) as server, HTTPTransport(server.url, ca_file=CA) as transport:
        with pytest.raises(TransportError) as caught:
            transport.send(Request("GET", "/x"))
        assert "certificate" in str(caught.value) or "lost" in str(caught.value) or "closed" in str(caught.value)


def test_files_that_cannot_be_used_are_named_before_any_request():
    with pytest.raises(ConfigError, match=r"ca_file=/nowhere.pem: cannot be read as certificates in PEM form"):
        HTTPTransport("https://h", ca_file="/nowhere.pem")
    with pytest.raises(ConfigError, match=r"ca_file=.*client-locked.key: cannot be read as certificates"):
        HTTPTransport("https://h", ca_file=str(TLS / "client-locked.key"))
    with pytest.raises(ConfigError, match=r"client_certificate='/nowhere.pem': must be a PEM file") as caught:
        HTTPTransport("https://h", client_certificate=("/nowhere.pem", "/k.pem", "opensesame"))
    assert "opensesame" not in str(caught.value)


def test_hints_at_the_wrong_scheme():
    """E07."""
    with ScriptedServer(lambda s, p, n: (p.recv(1000), p.sendall(answer(b"what?", "400 Bad Request")))) as server:
        with HTTPTransport(server.url.replace("http:", "https:"), ca_file=CA) as transport:
            with pytest.raises(TransportError, match="does the base URL need http://, or another port"):
                transport.send(Request("GET", "/x"))
    with tls_server() as server, HTTPTransport(server.url.replace("https:", "http:")) as transport:
        with pytest.raises(TransportError, match=r"does the base URL need https://|connection was") as caught:
            transport.send(Request("GET", "/x"))
        assert "geheim" not in str(caught.value)


def test_a_handshake_that_stalls_is_given_up():
    """E08."""
    with ScriptedServer(lambda s, p, n: s.ended.wait(10)) as server:
        with HTTPTransport(server.url.replace("http:", "https:"), ca_file=CA, timeout_seconds=0.1) as transport:
            with pytest.raises(TransportError, match=r"no answer within 0.1 s \(TLS with 127.0.0.1\)"):
                transport.send(Request("GET", "/x"))


def test_a_server_that_hangs_up_during_the_handshake_may_be_tried_again():
    with ScriptedServer(lambda s, p, n: (p.recv(10), reset(p))) as server:
        with HTTPTransport(server.url.replace("http:", "https:"), ca_file=CA) as transport:
            with pytest.raises(TransportError, match="closed the connection during TLS") as caught:
                transport.send(Request("GET", "/x"))
            assert caught.value.retryable


def test_a_body_that_ends_with_a_cut_connection_is_cut():
    """E14: without TLS's own goodbye somebody else may have ended it."""

    def script(goodbye):
        def play(server, peer, number):
            server.read(peer)
            peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n{}")
            if goodbye:
                peer.unwrap()
            else:
                peer.shutdown(socket.SHUT_RDWR)

        return play

    with tls_server(script(True)) as server, HTTPTransport(server.url, ca_file=CA) as transport:
        assert transport.send(Request("GET", "/x")).body == b"{}"
    with tls_server(script(False)) as server, HTTPTransport(server.url, ca_file=CA) as transport:
        with pytest.raises(TransportError, match=r"eof occurred|closed|lost|unexpected eof") as caught:
            transport.send(Request("GET", "/x"))
        assert caught.value.retryable


def test_many_connections_share_one_context(monkeypatch):
    """Each context costs 20 ms; S23."""
    made = []
    real = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda *a, **k: made.append(1) or real(*a, **k))
    with tls_server() as server, HTTPTransport(server.url, ca_file=CA, max_connections=4) as transport:
        assert len(list(transport.send_each([Request("GET", "/x")] * 8))) == 8
        assert server.connections == 4 and made == [1]


def test_without_the_module_ssl_https_says_so(monkeypatch):
    from interactiveai_eval import FeatureUnavailable

    monkeypatch.setitem(sys.modules, "ssl", None)
    with HTTPTransport("https://127.0.0.1:1") as transport, pytest.raises(FeatureUnavailable):
        transport.send(Request("GET", "/x"))
    with pytest.raises(FeatureUnavailable, match="https needs the standard module 'ssl'"):
        HTTPTransport("https://127.0.0.1:1", ca_file=CA)
