"""Settings of a client: arguments first, then the environment, then defaults; checked here and nowhere else."""
from __future__ import annotations

from ._headers import header_problem
from ._paths import has_dots, is_segment
from .errors import ArgumentError, ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DEFAULT_BASE_URL = "https://app.interactive.ai"
DEFAULT_TIMEOUT_SECONDS = 5.0
# What any system's clocks can wait for: eleven days.
LONGEST_SECONDS = 1_000_000.0
DIALECTS = ("platform", "public")
LOCAL_SCHEME = "local:"

# Where build systems leave the commit, in the order in which they are asked.
_RELEASE_VARIABLES = (
    "INTERACTIVEAI_RELEASE",
    "RENDER_GIT_COMMIT",
    "CI_COMMIT_SHA",
    "CIRCLE_SHA1",
    "SOURCE_VERSION",
    "TRAVIS_COMMIT",
    "GIT_COMMIT",
    "GITHUB_SHA",
    "BITBUCKET_COMMIT",
    "BUILD_SOURCEVERSION",
    "DRONE_COMMIT_SHA",
)


class Secret:
    """A text that is never shown: `repr`, `str`, formatting and pickling do not give it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def if_any(self) -> Secret | None:
        """The secret, or None for an empty one."""
        return self if self._text else None

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not copied or pickled")


class Config:
    """The checked settings of one client, with their units; see CONTRACT.md section 1 for what each means."""

    __slots__ = (
        "base_url",
        "public_key",
        "secret_key",
        "timeout_seconds",
        "environment",
        "release",
        "additional_headers",
        "tracing_enabled",
        "sample_rate",
        "mask",
        "max_batch_bytes",
        "flush_at",
        "flush_interval_seconds",
        "debug",
        "dialect",
        "plain_http",
        "project",
        "spans_path",
        "spool",
    )

    additional_headers: dict[str, Secret]  # they may well carry tokens
    base_url: str
    debug: bool
    dialect: str
    environment: str | None
    flush_at: int | None
    flush_interval_seconds: float | None
    mask: Callable[..., Any] | None
    max_batch_bytes: int | None
    plain_http: bool  # whether keys may go unencrypted to another machine
    project: tuple[str, str] | None
    public_key: str | None
    release: str | None
    sample_rate: float
    secret_key: Secret | None
    spans_path: str | None  # where spans go instead of the usual endpoint, below the base URL
    spool: str | None  # the folder for what could not be delivered
    timeout_seconds: float
    tracing_enabled: bool

    @property
    def is_local(self) -> bool:
        """Whether the base URL names the embedded store."""
        return self.base_url.startswith(LOCAL_SCHEME)

    @property
    def local_path(self) -> str | None:
        """The file of the embedded store; None for one in memory."""
        return self.base_url[len(LOCAL_SCHEME) :] or None

    @property
    def path_prefix(self) -> str:
        """The path of the base URL, in front of every request's: "" or "/prefix"."""
        return "" if self.is_local else "".join(f"/{part}" for part in self.base_url.split("/")[3:] if part)

    def __repr__(self) -> str:
        # While it is built, when a traceback may show it, not all of them are there.
        names = [name for name in ("base_url", "public_key", "dialect") if hasattr(self, name)]
        return f"Config({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def load_config(
    argument: Callable[[str], Any], variable: Callable[[str], str | None], *, needs_keys: bool
) -> Config:
    """The settings for a client; `argument(name)` is what its caller gave (None = not given).

    `variable(name)` is the value of an environment variable, as of `os.getenv`. Both are functions, because a mapping
    would show the secrets in it to tools that print the locals of a traceback. `needs_keys` is False when the caller
    brings a transport. Raises ConfigError, ArgumentError.
    """
    given = _Lookup(argument, variable)
    config = Config()
    config.base_url = _base_url(
        given.text("base_url")
        or given.text("host")
        or given.text("base_url", "INTERACTIVEAI_BASE_URL", "INTERACTIVEAI_HOST")
        or _default_base_url(argument, variable if needs_keys else lambda _: None)
    )
    config.public_key = given.text("public_key", "INTERACTIVEAI_PUBLIC_KEY")
    if config.public_key is not None and not _is_visible_ascii(config.public_key):
        raise ArgumentError("public_key", config.public_key, "must be visible ASCII; is there a space or a line break?")
    config.secret_key = given.secret("secret_key", "INTERACTIVEAI_SECRET_KEY")
    config.timeout_seconds = given.number(
        "timeout", "INTERACTIVEAI_TIMEOUT", DEFAULT_TIMEOUT_SECONDS, above=0.0, most=LONGEST_SECONDS
    )
    config.environment = given.text("environment", "INTERACTIVEAI_TRACING_ENVIRONMENT")
    config.release = given.text("release", *_RELEASE_VARIABLES)
    config.tracing_enabled = given.flag("tracing_enabled", True) and given.variable_flag(
        "INTERACTIVEAI_TRACING_ENABLED", True
    )
    config.debug = given.flag("debug", False) or given.variable_flag("INTERACTIVEAI_DEBUG", False)
    config.plain_http = given.flag("plain_http", False) or given.variable_flag("INTERACTIVEAI_PLAIN_HTTP", False)
    config.sample_rate = given.number("sample_rate", "INTERACTIVEAI_SAMPLE_RATE", 1.0, least=0.0, most=1.0)
    flush_at = given.number("flush_at", "INTERACTIVEAI_FLUSH_AT", 0.0, least=1.0, is_whole=True)
    config.flush_at = int(flush_at) or None
    interval = given.number("flush_interval", "INTERACTIVEAI_FLUSH_INTERVAL", 0.0, above=0.0, most=LONGEST_SECONDS)
    config.flush_interval_seconds = interval or None
    config.additional_headers = given.headers("additional_headers")
    config.mask = _callable_or_none("mask", argument("mask"))
    config.project = _project(argument("project"))
    config.max_batch_bytes = int(given.number("", "INTERACTIVEAI_MAX_BATCH_SIZE_BYTES", 0.0, least=1000.0)) or None
    given.number("", "INTERACTIVEAI_MAX_EVENT_SIZE_BYTES", 0.0, least=1.0)  # the reference reads it too, for nothing
    config.spool = _folder("spool", argument("spool"))
    config.spans_path = _spans_path(variable("INTERACTIVEAI_OTEL_TRACES_EXPORT_PATH"))
    config.dialect = given.text("dialect") or ("public" if config.is_local else "platform")
    if config.dialect not in DIALECTS:
        raise ArgumentError("dialect", config.dialect, "must be one of " + ", ".join(DIALECTS))
    if needs_keys and not config.is_local and (config.public_key is None or config.secret_key is None):
        missing = "INTERACTIVEAI_PUBLIC_KEY" if config.public_key is None else "INTERACTIVEAI_SECRET_KEY"
        raise ConfigError(
            f"No credentials: {missing} is not set. Pass public_key= and secret_key=, or set the variables "
            "INTERACTIVEAI_PUBLIC_KEY and INTERACTIVEAI_SECRET_KEY; to work without a server use Interactive.local() "
            "or INTERACTIVEAI_BASE_URL=local:"
        )
    return config


def captures_by_default(variable: Callable[[str], str | None]) -> bool:
    """Whether `observe` records arguments and results of functions that do not say."""
    return _Lookup(lambda _: None, variable).variable_flag("INTERACTIVEAI_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED", True)


class _Lookup:
    """Arguments, then variables; an empty variable counts as unset."""

    def __init__(self, argument: Callable[[str], Any], variable: Callable[[str], str | None]) -> None:
        self._argument = argument
        self._variable = variable

    def text(self, argument: str, *variables: str) -> str | None:
        value = self._argument(argument)
        if value is not None:
            if not isinstance(value, str):
                raise ArgumentError(argument, type(value).__name__, "must be a text")
            return value or None
        for variable in variables:
            found = self._variable(variable)
            if found:
                return found
        return None

    def secret(self, argument: str, variable: str) -> Secret | None:
        name, value = argument, self._argument(argument)
        if value is None:
            name, value = variable, Secret(self._variable(variable) or "")
        if not isinstance(value, Secret):
            raise ArgumentError(argument, type(value).__name__, "must be a text")
        if not value.reveal().isprintable():
            raise ConfigError(f"{name} holds a line break or another control character; pass the key alone")
        return value.if_any()

    def number(
        self,
        argument: str,
        variable: str,
        default: float,
        *,
        above: float | None = None,
        least: float | None = None,
        most: float | None = None,
        is_whole: bool = False,
    ) -> float:
        name, value = argument, self._argument(argument)
        if value is None:
            name, value = variable, self._variable(variable) or None
        if value is None:
            return default
        try:
            if isinstance(value, bool):
                raise TypeError
            number = float(value)
            if is_whole and number % 1:
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise ArgumentError(name, value, "must be a whole number" if is_whole else "must be a number") from None
        if (
            number - number != 0.0
            or (above is not None and number <= above)
            or (least is not None and number < least)
            or (most is not None and number > most)
        ):
            bounds = [
                f"{sign} {bound:g}"
                for sign, bound in ((">", above), (">=", least), ("<=", most))
                if bound is not None
            ]
            raise ArgumentError(name, value, "must be a finite number " + " and ".join(bounds))
        return number

    def headers(self, argument: str) -> dict[str, Secret]:
        """Values are in no local of a frame from which an error goes out."""
        if self._argument(argument) is None:
            return {}
        try:
            found = {
                name: (_header_problem(name, value), Secret(value))
                for name, value in dict(self._argument(argument)).items()
            }
        except (TypeError, ValueError):
            kind = type(self._argument(argument)).__name__
            raise ArgumentError(argument, kind, "must map header names to texts") from None
        for name, (problem, _) in found.items():
            if problem is not None:
                raise ArgumentError(argument, name, problem)
        return {name.lower(): value for name, (_, value) in found.items()}

    def flag(self, argument: str, default: bool) -> bool:
        value = self._argument(argument)
        if value is not None and not isinstance(value, bool):
            raise ArgumentError(argument, value, "must be True or False")
        return default if value is None else value

    def variable_flag(self, variable: str, default: bool) -> bool:
        text = (self._variable(variable) or "").strip().lower()
        if not text:
            return default
        if text in ("true", "1", "yes", "on"):
            return True
        if text in ("false", "0", "no", "off"):
            return False
        raise ArgumentError(variable, text, "must be true or false")


def _default_base_url(argument: Callable[[str], Any], variable: Callable[[str], str | None]) -> str:
    """The default where nothing was said; an address that came out empty meant another server than that."""
    for name in ("base_url", "host"):
        if argument(name) == "":
            raise ArgumentError(name, "", f"must not be empty; leave it out for {DEFAULT_BASE_URL}")
    for name in ("INTERACTIVEAI_BASE_URL", "INTERACTIVEAI_HOST"):
        if variable(name) == "":
            raise ConfigError(f"{name} is empty: set it to the server's address, or unset it for {DEFAULT_BASE_URL}")
    return DEFAULT_BASE_URL


def _base_url(text: str) -> str:
    if text.startswith(LOCAL_SCHEME):
        return text
    if "@" in text:
        text = "***@" + text.rpartition("@")[2]  # also for who shows the locals of a traceback
        raise ArgumentError("base_url", text, "must not carry credentials; pass the keys")
    if any(character in text for character in "?#\\") or any(ord(c) <= 32 or ord(c) == 127 for c in text):
        # A query may hold a token, so it is not shown.
        text = text.partition("?")[0].partition("#")[0]
        raise ArgumentError("base_url", text, "must have no query, fragment, backslash, space or control character")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("http", "https") or not rest.partition("/")[0]:
        raise ArgumentError("base_url", text, "must look like https://host[:port][/prefix], or local: or local:PATH")
    if has_dots(rest):
        raise ArgumentError("base_url", text, "must have no '.' or '..' in its path; write the path that is meant")
    return text.rstrip("/")


def _spans_path(text: str | None) -> str | None:
    if text and (not _is_visible_ascii(text) or any(character in text for character in "?#\\")):
        raise ArgumentError("INTERACTIVEAI_OTEL_TRACES_EXPORT_PATH", text, "must be a path of visible ASCII")
    if text and has_dots(text):
        raise ArgumentError("INTERACTIVEAI_OTEL_TRACES_EXPORT_PATH", text, "must have no '.' or '..' in it")
    return "/" + text.lstrip("/") if text else None


def _is_visible_ascii(text: str) -> bool:
    return all(32 < ord(character) < 127 for character in text)


def _header_problem(name: Any, value: Any) -> str | None:
    bad = not isinstance(name, str) or not isinstance(value, str) or not name
    if bad or not all(32 <= ord(c) < 127 for c in name + value) or any(c in name for c in " :"):
        return "names and values must be visible ASCII texts"
    return header_problem(name, value)


def _folder(argument: str, value: Any) -> str | None:
    if hasattr(value, "__fspath__"):
        value = value.__fspath__()
    if value is not None and (not isinstance(value, str) or not value or "\0" in value):
        raise ArgumentError(argument, value, "must name a folder")
    return value


def _callable_or_none(argument: str, value: Any) -> Callable[..., Any] | None:
    if value is not None and not callable(value):
        raise ArgumentError(argument, value, "must be a function mask(data=...)")
    return value  # type: ignore[no-any-return]


def _project(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_segment, value)):
        return value[0], value[1]
    raise ArgumentError("project", value, "must be a pair (organisation id, project id), neither empty, '.' or '..'")
