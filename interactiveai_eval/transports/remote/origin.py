"""Where requests go: the server's origin, and the proxy on the way to it, by the environment's rules."""
from __future__ import annotations

from ...config import Secret
from ...errors import ArgumentError, ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PORTS = {"http": 80, "https": 443}
_BYTES = frozenset(map(str, range(256)))
_HOST = frozenset("-._0123456789abcdefghijklmnopqrstuvwxyz")


class Origin:
    """Scheme, host and port; two of them are the same server when they are equal."""

    __slots__ = ("host", "port", "scheme")

    def __init__(self, scheme: str, host: str, port: int) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port

    @property
    def netloc(self) -> str:
        """`host` or `host:port` as in a URL: IPv6 in brackets, the scheme's own port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def address(self) -> str:
        """`host:port`, always with the port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine by its name alone."""
        return self.host in ("localhost", "::1") or self.host.endswith(".localhost") or _is_ipv4_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and str(self) == str(other)

    __hash__ = None  # type: ignore[assignment]


def _is_ipv4_loopback(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part in _BYTES for part in parts)


def parse_origin(text: str) -> Origin | None:
    """The origin that an absolute http or https URL begins with; None when it is none, or can be read in two ways."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _PORTS or any(ord(c) <= 32 or ord(c) == 127 or c == "\\" for c in text):
        return None
    netloc = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    if netloc.startswith("["):
        host, bracket, port = netloc[1:].partition("]")
        if not bracket or not _is_ipv6(host) or (port and not port.startswith(":")):
            return None
        port = port[1:]
    else:
        host, _, port = netloc.partition(":")
        host = _ascii_host(host)
        if not host or not _HOST.issuperset(host) or host.startswith("."):
            return None
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        return None
    return Origin(scheme, host.lower(), int(port or _PORTS[scheme]))


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def _is_ipv6(host: str) -> bool:
    address, _, zone = host.partition("%")
    return ":" in address and not address.lower().strip("0123456789abcdef:.") and zone.isalnum() == bool(zone)


class Proxy:
    """A proxy: where it is, and what it wants to be told."""

    __slots__ = ("authorization", "origin")

    def __init__(self, origin: Origin, authorization: Secret | None) -> None:
        self.origin = origin
        self.authorization = authorization

    def __repr__(self) -> str:
        return f"Proxy({self.origin})"


def proxy_for(origin: Origin, given: Secret | None, variable: Callable[[str], str | None]) -> Proxy | None:
    """The proxy for `origin`: the one that is `given` ("" for none), else by the environment's variables.

    `HTTPS_PROXY` or `HTTP_PROXY` by the scheme, then `ALL_PROXY`; `NO_PROXY` excepts hosts. Lower-case names win. In a
    CGI program `HTTP_PROXY` is a header of somebody's request, and is not looked at. Raises ConfigError.
    """
    if given is not None:
        return None if given.if_any() is None else _parse_proxy("proxy", given)
    if origin.is_loopback or bypasses(origin, variable("no_proxy") or variable("NO_PROXY") or ""):
        return None
    for name in (f"{origin.scheme}_proxy", "all_proxy"):
        is_forged = name == "http_proxy" and variable("REQUEST_METHOD") is not None
        for spelled in (name,) if is_forged else (name, name.upper()):
            found = Secret((variable(spelled) or "").strip()).if_any()
            if found is not None:
                return _parse_proxy(spelled, found)
    return None


def _parse_proxy(name: str, text: Secret) -> Proxy:
    """What is secret in the text is in no local here, for who shows those of a traceback."""
    origin, authorization, shown = _read_proxy(text.reveal())
    if origin is None:
        raise ConfigError(f"{name}={shown!r}: must look like http://[user:password@]host:port; other kinds of proxies "
                          "(https, SOCKS, PAC) are not supported")  # fmt: skip
    return Proxy(origin, authorization)


def _read_proxy(text: str) -> tuple[Origin | None, Secret | None, str]:
    """Where it is, what it wants to be told, and what of the text may be shown: not what may be a password."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    userinfo, at, place = rest.rpartition("@")
    origin = parse_origin(f"{scheme}://{place}") if scheme.lower() == "http" else None
    shown = f"{scheme}://***@{place.partition(':')[0]}" if at else f"{scheme}://{place}"
    if not userinfo:
        return origin, None, shown
    from binascii import b2a_base64
    from urllib.parse import unquote_to_bytes

    user, _, password = userinfo.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return origin, Secret("Basic " + b2a_base64(pair, newline=False).decode("ascii")), shown


def bypasses(origin: Origin, no_proxy: str) -> bool:
    """Whether `NO_PROXY` excepts `origin`.

    Entries, separated by commas or spaces: `*`; a host, which also excepts what is below it (`example.com`,
    `.example.com` and `*.example.com` are the same); an address, IPv6 with or without brackets; a network
    (`10.0.0.0/8`); each with a `:port` if need be. Dots at the end do not count.
    """
    host = origin.host.rstrip(".")
    for entry in no_proxy.replace(",", " ").split():
        if entry == "*":
            return True
        name, port = _split_entry(entry.lower())
        if port and port != str(origin.port):
            continue
        if "/" in name:
            if _is_in_network(host, name):
                return True
            continue
        name = _ascii_host(name.lstrip("*").strip("."))
        if name and (host == name or host.endswith("." + name) or _same_address(host, name)):
            return True
    return False


def _split_entry(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.lstrip(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _same_address(host: str, name: str) -> bool:
    return ":" in host and ":" in name and _is_in_network(host, name)


def _is_in_network(host: str, network: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def require_origin(argument: str, text: Secret) -> Origin:
    """The origin of `text`. Raises ArgumentError."""
    origin = None if "@" in text.reveal() else parse_origin(text.reveal())
    if origin is None:
        shown = text.reveal().rpartition("@")[2]
        raise ArgumentError(argument, shown, "must look like https://host[:port], without credentials")
    return origin
