"""TLS: the one context of a transport, and what its errors mean. `ssl` is imported when a server wants it."""
from __future__ import annotations

import os
from _thread import allocate_lock

from ...config import Secret
from ...errors import ArgumentError, ConfigError, FeatureUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext
    from typing import Any, Union

    # A file with certificate and key, or (certificate, key), or (certificate, key, password).
    ClientCertificate = Union[str, tuple[str, str], tuple[str, str, str]]


def sealed(client_certificate: ClientCertificate | None) -> tuple[str | Secret, ...]:
    """Certificate, key and password, as far as they are given; no traceback shows the last one."""
    parts = (client_certificate,) if isinstance(client_certificate, str) else client_certificate or ()
    return (*parts[:2], *map(Secret, parts[2:]))


class Tls:
    """The TLS context of one transport, made when it is first used, and where its authorities are from, in words."""

    def __init__(
        self,
        given: SSLContext | None,
        ca_file: str | None,
        client_certificate: tuple[str | Secret, ...],
        variable: Callable[[str], str | None],
    ) -> None:
        """Raises ArgumentError for a `given` context that does not verify, ConfigError for files of no use."""
        if given is not None and not (given.verify_mode == 2 and given.check_hostname):
            raise ArgumentError("ssl_context", given, "must verify certificates and host names")
        self._made = None if given is None else (given, "the given ssl_context")
        self._settings = ca_file, client_certificate, variable
        self._making: dict[int, Any] = {}  # a lock for each process: one that was held during a fork stays held
        if given is None and (ca_file is not None or client_certificate):
            self._made = tls_context(*self._settings)  # files that cannot be used are an error now

    def at_hand(self) -> tuple[SSLContext, str]:
        """The context and the words. Raises ConfigError, FeatureUnavailable."""
        with self._making.setdefault(os.getpid(), allocate_lock()):
            if self._made is None:
                self._made = tls_context(*self._settings)
            return self._made


def tls_context(
    ca_file: str | None, client_certificate: tuple[str | Secret, ...], variable: Callable[[str], str | None]
) -> tuple[SSLContext, str]:
    """A context that verifies, from TLS 1.2 on, and the words for where its authorities come from.

    Authorities: `ca_file`, else what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else those of the system. Raises
    ConfigError for files that cannot be used, FeatureUnavailable without the module ssl.
    """
    try:
        import ssl
    except ImportError as error:
        raise FeatureUnavailable("https", error.name or "ssl") from None

    source = "the system's authorities"
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        named = variable(name)
        if ca_file is None and named:
            # ssl itself would ignore one that is not there, and then blame the server.
            if not os.path.exists(named):
                raise ConfigError(f"{name}={named!r}: there is no such file; correct the variable or unset it")
            source = f"{name}={named}"
    if ca_file is not None:
        source = f"ca_file={ca_file}"
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read as certificates in PEM form ({error})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ssl.OPENSSL_VERSION_INFO >= (3,):
        # Without TLS's own goodbye an answer may be cut. Python 3.9 lets it pass, and has no name for this option.
        context.options &= ~_IGNORE_UNEXPECTED_EOF
    if client_certificate:
        try:
            plain = (part.reveal() if isinstance(part, Secret) else part for part in client_certificate)
            context.load_cert_chain(*plain)
        except (OSError, TypeError) as error:
            raise ConfigError(
                f"client_certificate={client_certificate[0]!r}: must be a PEM file with certificate and key, or "
                f"(certificate, key), or (certificate, key, password) ({type(error).__name__}: {error})"
            ) from None
    return context, source


_IGNORE_UNEXPECTED_EOF = 0x80
_HINTS = {
    10: "its certificate has expired; or this machine's clock is wrong",
    9: "its certificate is not valid yet; or this machine's clock is wrong",
    18: "its certificate is signed by itself; pass ca_file= if it is yours",
    19: "its authority is not among {source}; pass ca_file= with its certificate",
    20: "its authority is not among {source}; pass ca_file= with its certificate",
    62: "its certificate is for other hosts",
    64: "its certificate is for other addresses",
    89: "its authority's certificate lacks a critical 'basic constraints', which Python demands from 3.13 on; the "
    "authority must be issued anew",
}


def tls_reason(error: Exception, source: str) -> tuple[str, bool]:
    """What an error of the module ssl means in words, and whether another try may end better."""
    code = getattr(error, "verify_code", None)
    if code is not None:
        told = getattr(error, "verify_message", None) or "refused"
        hint = _HINTS.get(code, f"authorities: {{source}}; code {code}").format(source=source)
        return f"its certificate was not accepted ({told}): {hint}", False
    reason = str(getattr(error, "reason", None) or error).replace("_", " ").lower()
    if "wrong version number" in reason or "http request" in reason or "record layer" in reason:
        return f"it does not speak TLS there ({reason}); does the base URL need http://, or another port?", False
    if "certificate required" in reason or "bad certificate" in reason or "handshake failure" in reason:
        return f"it wants a client certificate or other TLS settings ({reason}); pass client_certificate=", False
    if "eof" in reason:
        return f"it closed the connection during TLS ({reason})", True
    return f"TLS failed ({reason})", False
