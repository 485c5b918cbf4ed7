"""Settings: arguments, then the environment, then defaults; what cannot be used is refused with its name and the fix."""
from __future__ import annotations

import contextlib
import copy
import json
import logging
import pickle
import pprint
import traceback
from base64 import b64encode

import pytest

from interactiveai_eval import (
    ArgumentError,
    ConfigError,
    FakeTransport,
    HTTPTransport,
    Interactive,
    LocalServer,
    Response,
)
from interactiveai_eval._strict_json import to_json

from .sockets import ScriptedServer, always, answer
from .test_otlp import export


@pytest.fixture
def client_of():
    """`client_of(**arguments)`: a client that sends nothing anywhere, closed in the end."""
    with contextlib.ExitStack() as opened:

        def make(**arguments):
            arguments.setdefault("transport", FakeTransport(lambda request: Response(200, body=b"{}")))
            return opened.enter_context(Interactive(**arguments))

        yield make


DEFAULTS = {
    "base_url": "https://app.interactive.ai",
    "public_key": None,
    "secret_key": None,
    "timeout_seconds": 5.0,
    "plain_http": False,
    "environment": None,
    "release": None,
    "additional_headers": {},
    "tracing_enabled": True,
    "sample_rate": 1.0,
    "mask": None,
    "flush_at": None,
    "flush_interval_seconds": None,
    "debug": False,
    "dialect": "platform",
    "project": None,
    "max_batch_bytes": None,
    "spans_path": None,
    "spool": None,
}


def settings_of(client):
    found = {name: getattr(client.config, name) for name in DEFAULTS}
    if found["secret_key"] is not None:
        found["secret_key"] = found["secret_key"].reveal()
    found["additional_headers"] = {name: value.reveal() for name, value in found["additional_headers"].items()}
    return found


def test_without_arguments_and_variables_there_are_the_defaults(client_of):
    assert settings_of(client_of()) == DEFAULTS


ARGUMENTS = [
    ("base_url", "https://eval.example:8443/team/a/", {"base_url": "https://eval.example:8443/team/a"}),
    ("base_url", "http://127.0.0.1", {"base_url": "http://127.0.0.1"}),
    ("host", "https://eval.example", {"base_url": "https://eval.example"}),
    ("public_key", "pk-1", {"public_key": "pk-1"}),
    ("secret_key", "sk-1", {"secret_key": "sk-1"}),
    ("timeout", 2.5, {"timeout_seconds": 2.5}),
    ("timeout", 30, {"timeout_seconds": 30.0}),
    ("environment", "staging", {"environment": "staging"}),
    ("release", "v7", {"release": "v7"}),
    ("additional_headers", {"X-Team": "a b"}, {"additional_headers": {"x-team": "a b"}}),
    ("tracing_enabled", False, {"tracing_enabled": False}),
    ("tracing_enabled", None, {"tracing_enabled": True}),
    ("sample_rate", 0.0, {"sample_rate": 0.0}),
    ("sample_rate", 0.25, {"sample_rate": 0.25}),
    ("sample_rate", 1, {"sample_rate": 1.0}),
    ("mask", len, {"mask": len}),
    ("flush_at", 7, {"flush_at": 7}),
    ("flush_at", 7.0, {"flush_at": 7}),
    ("flush_interval", 0.5, {"flush_interval_seconds": 0.5}),
    ("debug", True, {"debug": True}),
    ("dialect", "public", {"dialect": "public"}),
    ("project", ("org", "proj"), {"project": ("org", "proj")}),
    ("project", ["org", "proj"], {"project": ("org", "proj")}),
]


@pytest.mark.parametrize("argument, value, changed", ARGUMENTS)
def test_every_argument_has_its_setting(client_of, argument, value, changed):
    assert settings_of(client_of(**{argument: value})) == {**DEFAULTS, **changed}


VARIABLES = [
    ("INTERACTIVEAI_BASE_URL", "https://eval.example/", {"base_url": "https://eval.example"}),
    ("INTERACTIVEAI_HOST", "https://eval.example", {"base_url": "https://eval.example"}),
    ("INTERACTIVEAI_PUBLIC_KEY", "pk-1", {"public_key": "pk-1"}),
    ("INTERACTIVEAI_SECRET_KEY", "sk-1", {"secret_key": "sk-1"}),
    ("INTERACTIVEAI_TIMEOUT", "2.5", {"timeout_seconds": 2.5}),
    ("INTERACTIVEAI_TRACING_ENVIRONMENT", "staging", {"environment": "staging"}),
    ("INTERACTIVEAI_TRACING_ENABLED", "False", {"tracing_enabled": False}),
    ("INTERACTIVEAI_TRACING_ENABLED", " 0 ", {"tracing_enabled": False}),
    ("INTERACTIVEAI_TRACING_ENABLED", "true", {}),
    ("INTERACTIVEAI_SAMPLE_RATE", "0", {"sample_rate": 0.0}),
    ("INTERACTIVEAI_SAMPLE_RATE", "0.25", {"sample_rate": 0.25}),
    ("INTERACTIVEAI_FLUSH_AT", "7", {"flush_at": 7}),
    ("INTERACTIVEAI_FLUSH_INTERVAL", "0.5", {"flush_interval_seconds": 0.5}),
    ("INTERACTIVEAI_DEBUG", "TRUE", {"debug": True}),
    ("INTERACTIVEAI_OTEL_TRACES_EXPORT_PATH", "collect/v1", {"spans_path": "/collect/v1"}),
    ("INTERACTIVEAI_MAX_BATCH_SIZE_BYTES", "250000", {"max_batch_bytes": 250_000}),
    ("INTERACTIVEAI_MAX_EVENT_SIZE_BYTES", "250000", {}),
    ("INTERACTIVEAI_RELEASE", "v7", {"release": "v7"}),
    ("RENDER_GIT_COMMIT", "c0ffee", {"release": "c0ffee"}),
    ("CI_COMMIT_SHA", "c0ffee", {"release": "c0ffee"}),
    ("CIRCLE_SHA1", "c0ffee", {"release": "c0ffee"}),
    ("SOURCE_VERSION", "c0ffee", {"release": "c0ffee"}),
    ("TRAVIS_COMMIT", "c0ffee", {"release": "c0ffee"}),
    ("GIT_COMMIT", "c0ffee", {"release": "c0ffee"}),
    ("GITHUB_SHA", "c0ffee", {"release": "c0ffee"}),
    ("BITBUCKET_COMMIT", "c0ffee", {"release": "c0ffee"}),
    ("BUILD_SOURCEVERSION", "c0ffee", {"release": "c0ffee"}),
    ("DRONE_COMMIT_SHA", "c0ffee", {"release": "c0ffee"}),
    ("INTERACTIVEAI_TIMEOUT", "", {}),
    ("INTERACTIVEAI_TRACING_ENABLED", "", {}),
]


@pytest.fixture(autouse=True)
def no_commit_of_a_build(monkeypatch):
    for name, _, _ in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable, text, changed", VARIABLES)
def test_every_variable_has_its_setting(client_of, monkeypatch, variable, text, changed):
    """Floats are fine everywhere, and an empty variable is none; the reference reads the timeout as an integer (D46)."""
    monkeypatch.setenv(variable, text)

    assert settings_of(client_of()) == {**DEFAULTS, **changed}


@pytest.mark.parametrize(
    "argument, value, variable, text",
    [
        ("base_url", "https://argument.example", "INTERACTIVEAI_BASE_URL", "https://variable.example"),
        ("host", "https://argument.example", "INTERACTIVEAI_BASE_URL", "https://variable.example"),
        ("public_key", "argument", "INTERACTIVEAI_PUBLIC_KEY", "variable"),
        ("secret_key", "argument", "INTERACTIVEAI_SECRET_KEY", "variable"),
        ("timeout", 1.0, "INTERACTIVEAI_TIMEOUT", "9"),
        ("environment", "argument", "INTERACTIVEAI_TRACING_ENVIRONMENT", "variable"),
        ("release", "argument", "INTERACTIVEAI_RELEASE", "variable"),
        ("sample_rate", 0.0, "INTERACTIVEAI_SAMPLE_RATE", "0.5"),
        ("flush_at", 1, "INTERACTIVEAI_FLUSH_AT", "9"),
        ("flush_interval", 0.1, "INTERACTIVEAI_FLUSH_INTERVAL", "9"),
    ],
)
def test_an_argument_beats_the_environment(client_of, monkeypatch, argument, value, variable, text):
    alone = settings_of(client_of(**{argument: value}))
    monkeypatch.setenv(variable, text)

    assert settings_of(client_of(**{argument: value})) == alone


@pytest.mark.parametrize(
    "first, second",
    [
        ("INTERACTIVEAI_BASE_URL", "INTERACTIVEAI_HOST"),
        ("INTERACTIVEAI_RELEASE", "RENDER_GIT_COMMIT"),
        ("GIT_COMMIT", "GITHUB_SHA"),
    ],
)
def test_variables_for_the_same_setting_have_an_order(client_of, monkeypatch, first, second):
    monkeypatch.setenv(first, "https://first.example")
    monkeypatch.setenv(second, "https://second.example")

    settings = settings_of(client_of())
    assert "https://first.example" in (settings["base_url"], settings["release"])


def test_tracing_is_off_when_either_says_so(client_of, monkeypatch):
    monkeypatch.setenv("INTERACTIVEAI_TRACING_ENABLED", "true")
    assert not client_of(tracing_enabled=False).config.tracing_enabled
    monkeypatch.setenv("INTERACTIVEAI_TRACING_ENABLED", "false")
    assert not client_of(tracing_enabled=True).config.tracing_enabled


NUMBER = "must be a finite number "
URL = "must look like https://host[:port][/prefix], or local: or local:PATH"


@pytest.mark.parametrize(
    "argument, value, message",
    [
        ("base_url", "eval.example", f"base_url='eval.example': {URL}"),
        ("base_url", "ftp://eval.example", f"base_url='ftp://eval.example': {URL}"),
        ("base_url", "https://", f"base_url='https://': {URL}"),
        ("base_url", "https:///path", f"base_url='https:///path': {URL}"),
        ("base_url", "https://u:geheim@h/p", "base_url='***@h/p': must not carry credentials; pass the keys"),
        ("base_url", "u:geheim@h", "base_url='***@h': must not carry credentials; pass the keys"),
        ("base_url", "https://h/?key=geheim", "base_url='https://h/': must have no query, fragment, backslash, space"),
        ("base_url", "https://h/#geheim", "base_url='https://h/': must have no query, fragment, backslash, space"),
        ("base_url", "https://h\r\nx", "must have no query, fragment, backslash, space or control character"),
        ("base_url", "https://h\\p", "must have no query, fragment, backslash, space or control character"),
        ("base_url", "https://h/../x", "base_url='https://h/../x': must have no '.' or '..' in its path"),
        ("base_url", "https://h/a/%2E./x", "base_url='https://h/a/%2E./x': must have no '.' or '..' in its path"),
        ("base_url", 5, "base_url='int': must be a text"),
        ("public_key", "pk 1", "public_key='pk 1': must be visible ASCII; is there a space or a line break?"),
        ("public_key", "pk\r\nX-Evil: 1", "must be visible ASCII; is there a space or a line break?"),
        ("public_key", "pk\u00e9", "must be visible ASCII"),
        ("secret_key", 5, "secret_key='int': must be a text"),
        ("timeout", 0, f"timeout=0: {NUMBER}> 0"),
        ("timeout", -1.5, f"timeout=-1.5: {NUMBER}> 0"),
        ("timeout", "soon", "timeout='soon': must be a number"),
        ("timeout", [1], "timeout=[1]: must be a number"),
        ("timeout", float("nan"), f"timeout=nan: {NUMBER}> 0"),
        ("timeout", float("inf"), f"timeout=inf: {NUMBER}> 0"),
        ("timeout", 10**400, "must be a number"),
        ("timeout", 1e10, f"timeout=10000000000.0: {NUMBER}> 0 and <= 1e+06"),
        ("flush_interval", 1e10, f"flush_interval=10000000000.0: {NUMBER}> 0 and <= 1e+06"),
        ("timeout", True, "timeout=True: must be a number"),
        ("tracing_enabled", "no", "tracing_enabled='no': must be True or False"),
        ("debug", 1, "debug=1: must be True or False"),
        ("transport", 5, "transport=5: must have send(request), as a Transport has; or None for HTTP"),
        ("flush_at", 2.5, "flush_at=2.5: must be a whole number"),
        ("sample_rate", 1.5, f"sample_rate=1.5: {NUMBER}>= 0 and <= 1"),
        ("sample_rate", -0.1, f"sample_rate=-0.1: {NUMBER}>= 0 and <= 1"),
        ("flush_at", 0, f"flush_at=0: {NUMBER}>= 1"),
        ("flush_at", float("inf"), "flush_at=inf: must be a whole number"),
        ("flush_interval", 0, f"flush_interval=0: {NUMBER}> 0"),
        ("environment", 5, "environment='int': must be a text"),
        ("release", 5, "release='int': must be a text"),
        ("additional_headers", "X: y", "additional_headers='str': must map header names to texts"),
        ("additional_headers", {"X Y": "z"}, "additional_headers='X Y': names and values must be visible ASCII texts"),
        ("additional_headers", {"X": "geheim\n"}, "additional_headers='X': names and values must be visible ASCII"),
        ("additional_headers", {"X": 5}, "additional_headers='X': names and values must be visible ASCII texts"),
        ("additional_headers", {"": "x"}, "additional_headers='': names and values must be visible ASCII texts"),
        ("additional_headers", {"Host": "geheim"}, "additional_headers='Host': is set by the transport; leave it out"),
        ("additional_headers", {"content-length": "5"}, "additional_headers='content-length': is set by the transport"),
        ("additional_headers", {"x(y)": "geheim"}, "additional_headers='x(y)': is not a header's name"),
        ("mask", "stars", "mask='stars': must be a function mask(data=...)"),
        ("dialect", "klingon", "dialect='klingon': must be one of platform, public"),
        ("project", "proj", "project='proj': must be a pair (organisation id, project id)"),
        ("project", ("org", ""), "project=('org', ''): must be a pair (organisation id, project id)"),
        ("project", ("..", "proj"), "project=('..', 'proj'): must be a pair (organisation id, project id), neither empty, '.' or '..'"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_by_name(client_of, argument, value, message):
    with pytest.raises(ArgumentError) as refused:
        client_of(**{argument: value})

    assert message in str(refused.value) and isinstance(refused.value, ValueError)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    "variable, text, message",
    [
        ("INTERACTIVEAI_BASE_URL", "eval.example", URL),
        ("INTERACTIVEAI_HOST", "ftp://eval.example", URL),
        ("INTERACTIVEAI_PUBLIC_KEY", "pk-1\n", "must be visible ASCII; is there a space or a line break?"),
        ("INTERACTIVEAI_TIMEOUT", "soon", "INTERACTIVEAI_TIMEOUT='soon': must be a number"),
        ("INTERACTIVEAI_TIMEOUT", "0", f"INTERACTIVEAI_TIMEOUT='0': {NUMBER}> 0"),
        ("INTERACTIVEAI_TIMEOUT", "nan", f"INTERACTIVEAI_TIMEOUT='nan': {NUMBER}> 0"),
        ("INTERACTIVEAI_SAMPLE_RATE", "1.5", f"INTERACTIVEAI_SAMPLE_RATE='1.5': {NUMBER}>= 0 and <= 1"),
        ("INTERACTIVEAI_SAMPLE_RATE", "half", "INTERACTIVEAI_SAMPLE_RATE='half': must be a number"),
        ("INTERACTIVEAI_FLUSH_AT", "0", f"INTERACTIVEAI_FLUSH_AT='0': {NUMBER}>= 1"),
        ("INTERACTIVEAI_FLUSH_AT", "inf", "INTERACTIVEAI_FLUSH_AT='inf': must be a whole number"),
        ("INTERACTIVEAI_FLUSH_INTERVAL", "-1", f"INTERACTIVEAI_FLUSH_INTERVAL='-1': {NUMBER}> 0"),
        ("INTERACTIVEAI_MAX_BATCH_SIZE_BYTES", "999", f"INTERACTIVEAI_MAX_BATCH_SIZE_BYTES='999': {NUMBER}>= 1000"),
        ("INTERACTIVEAI_MAX_BATCH_SIZE_BYTES", "2.5 MB", "INTERACTIVEAI_MAX_BATCH_SIZE_BYTES='2.5 MB': must be a number"),
        ("INTERACTIVEAI_MAX_EVENT_SIZE_BYTES", "big", "INTERACTIVEAI_MAX_EVENT_SIZE_BYTES='big': must be a number"),
        ("INTERACTIVEAI_TRACING_ENABLED", "maybe", "INTERACTIVEAI_TRACING_ENABLED='maybe': must be true or false"),
        ("INTERACTIVEAI_DEBUG", "2", "INTERACTIVEAI_DEBUG='2': must be true or false"),
        ("INTERACTIVEAI_OTEL_TRACES_EXPORT_PATH", "a/../b", "must have no '.' or '..' in it"),
        ("INTERACTIVEAI_OTEL_TRACES_EXPORT_PATH", "a?b", "INTERACTIVEAI_OTEL_TRACES_EXPORT_PATH='a?b': must be a path"),
    ],
)
def test_variables_that_cannot_be_used_are_refused_by_name(client_of, monkeypatch, variable, text, message):
    monkeypatch.setenv(variable, text)

    with pytest.raises(ArgumentError) as refused:
        client_of()

    assert message in str(refused.value)


@pytest.mark.parametrize(
    "keys, missing",
    [
        ({}, "INTERACTIVEAI_PUBLIC_KEY"),
        ({"public_key": "pk"}, "INTERACTIVEAI_SECRET_KEY"),
        ({"secret_key": "sk"}, "INTERACTIVEAI_PUBLIC_KEY"),
        ({"public_key": "", "secret_key": ""}, "INTERACTIVEAI_PUBLIC_KEY"),
    ],
)
def test_missing_keys_are_an_error_that_names_both_variables_and_the_way_without(keys, missing):
    """The reference goes on as a client that loses everything (D60)."""
    with pytest.raises(ConfigError) as refused:
        Interactive(**keys)

    said = str(refused.value)
    assert said.startswith(f"No credentials: {missing} is not set.")
    for wanted in ("INTERACTIVEAI_PUBLIC_KEY", "INTERACTIVEAI_SECRET_KEY", "Interactive.local()"):
        assert wanted in said


@pytest.mark.parametrize("key", ["sk-tell\n", "sk-\ttell", "\x00sk-tell", "sk-tell\x7f"])
@pytest.mark.parametrize("variable", [None, "INTERACTIVEAI_SECRET_KEY"])
def test_a_secret_key_with_a_control_character_is_refused_and_not_shown(monkeypatch, key, variable):
    """It came out of a file with its line break, and no server would know it."""
    if variable and "\x00" not in key:
        monkeypatch.setenv(variable, key)
    settings = {} if variable and "\x00" not in key else {"secret_key": key}

    with pytest.raises(ConfigError) as refused:
        Interactive(public_key="pk-1", **settings)
    name = variable if not settings else "secret_key"
    assert str(refused.value) == f"{name} holds a line break or another control character; pass the key alone"
    frames = traceback.TracebackException.from_exception(refused.value, capture_locals=True).format()
    assert "tell" not in "".join(frames).split("in __init__", 1)[-1]


@pytest.mark.parametrize("name", ["base_url", "host", "INTERACTIVEAI_BASE_URL", "INTERACTIVEAI_HOST"])
def test_an_empty_address_is_refused_and_does_not_mean_the_public_server(monkeypatch, name):
    """A variable that was to name the own server and came out empty must not send keys and data elsewhere."""
    settings = {name: ""} if name.islower() else {}
    if not settings:
        monkeypatch.setenv(name, "")

    with pytest.raises((ArgumentError, ConfigError)) as refused:
        Interactive(public_key="pk-1", secret_key="sk-1", **settings)
    assert str(refused.value).startswith(name) and "https://app.interactive.ai" in str(refused.value)


def test_the_environment_can_choose_the_embedded_store(monkeypatch, tmp_path):
    monkeypatch.setenv("INTERACTIVEAI_BASE_URL", "local:")
    with Interactive() as client:
        assert client.auth_check() and not list(tmp_path.iterdir())

    monkeypatch.setenv("INTERACTIVEAI_BASE_URL", f"local:{tmp_path / 'a store.db'}")
    with Interactive() as client:
        client.create_dataset(name="kept")
    with Interactive.local(tmp_path / "a store.db") as client:
        assert client.get_dataset("kept").name == "kept"


@pytest.mark.parametrize("path", ["", b""])
def test_a_store_without_a_name_is_refused(path):
    """It would be one in memory, and everything lost."""
    with pytest.raises(ArgumentError, match="must name a file; None keeps everything in memory"):
        Interactive.local(path)


def test_settings_reach_the_wire():
    transport = FakeTransport(lambda request: Response(200, body=b"{}"))
    with Interactive(
        transport=transport,
        base_url="https://eval.example/team//a/",
        public_key="pk",
        secret_key="s\u00e9cret",
        additional_headers={"X-Gateway": "token"},
        environment="staging",
        release="v7",
    ) as client:
        client.start_span(name="one").end()

    (request,) = transport.requests
    assert request.path == "/team/a/api/public/otel/v1/traces"
    assert request.headers == {
        "authorization": "Basic cGs6c8OpY3JldA==",
        "x-interactiveai-public-key": "pk",
        "x-interactiveai-sdk-name": "python",
        "x-gateway": "token",
        "content-type": "application/x-protobuf",
    }
    resource, scope, _ = export(request.body)
    assert (resource["langfuse.environment"], resource["langfuse.release"]) == ("staging", "v7")
    assert scope["attributes"] == {"public_key": "pk"}


def test_spans_can_be_sent_to_another_place(monkeypatch):
    monkeypatch.setenv("INTERACTIVEAI_OTEL_TRACES_EXPORT_PATH", "/collector/v1/traces")
    transport = FakeTransport(lambda request: Response(200))
    with Interactive(transport=transport, base_url="https://eval.example/team") as client:
        client.start_span(name="one").end()

    assert [(request.method, request.path) for request in transport.requests] == [("POST", "/team/collector/v1/traces")]


@pytest.mark.parametrize("host", ["192.168.1.5:3000", "10.0.0.1", "web:3000", "localhost.example.com", "127.0.0.1.example.com", "[fd00::1]",
                                  "127.999.0.1", "127.0.0.256", "127.0.0.08"])  # fmt: skip
def test_keys_go_to_another_machine_unencrypted_only_if_that_is_allowed(host, monkeypatch):
    """S14."""
    settings = {"public_key": "pk", "secret_key": "sk", "base_url": f"http://{host}/x"}
    with pytest.raises(ConfigError, match=r"is not https.*plain_http=True or the variable INTERACTIVEAI_PLAIN_HTTP"):
        Interactive(**settings)
    Interactive(**settings, plain_http=True).close()
    monkeypatch.setenv("INTERACTIVEAI_PLAIN_HTTP", "true")
    Interactive(**settings).close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:3000", "http://localhost", "http://[::1]:3000", "http://a.localhost", "https://eval.example"])
def test_this_machine_and_https_need_no_leave(url):
    with Interactive(public_key="pk", secret_key="sk", base_url=url) as client:
        assert (client.config.base_url, client.config.plain_http) == (url, False)


# -- secrets -----------------------------------------------------------------------------------------------------------


SECRET = "geheim-4711"
SCORE = {"id": "s", "name": "n", "value": 1, "timestamp": "2026-01-01T00:00:00Z"}
FORMS = (SECRET, "cGs6Z2VoZWltLTQ3MTE=", SECRET[::-1], "token-4711")


def walked(value, depth=6, seen=None):
    """Everything that a debugger would show of an object: its attributes, slots and members, level by level."""
    seen = set() if seen is None else seen
    if id(value) in seen or depth == 0:
        return []
    seen.add(id(value))
    found = [repr(value), str(value)]
    inner = list(getattr(value, "__dict__", {}).items())
    if isinstance(value, dict):
        inner += list(value.items())
    elif isinstance(value, (list, tuple, set)):
        inner += list(enumerate(value))
    if type(value).__name__ != "Secret":
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        inner += [(name, getattr(value, name, None)) for name in slots if isinstance(name, str)]
    for name, member in inner:
        found += [repr(name), *walked(member, depth - 1, seen)]
    return found


def shown_by_everything(client):
    yield from walked(client)
    yield from walked(client.config)
    yield from (f"{client}", f"{client!r}", f"{client.config.secret_key:>20}")
    yield pprint.pformat(vars(client))
    yield from (to_json(client), to_json(client.config), to_json({"c": client.config.secret_key}))
    yield json.dumps(vars(client), default=str)
    for act in (pickle.dumps, copy.deepcopy, copy.copy):
        for value in (client, client.config, client.config.secret_key, client.api):
            try:
                yield repr(act(value))
            except (TypeError, AttributeError, pickle.PicklingError) as error:
                yield str(error)


def test_secrets_are_shown_by_nothing(client_of):
    client = client_of(
        public_key="pk", secret_key=SECRET, base_url="https://h", additional_headers={"x-proxy-auth": "token-4711"}
    )

    shown = "\n".join(shown_by_everything(client))

    assert not [form for form in FORMS if form in shown] and "***" in shown


def test_secrets_are_shown_by_nothing_after_requests_either():
    """What the transport keeps of a request's head, of a proxy's and of a client certificate's password."""
    script = always(answer(b'{"data": [{"id": "p", "orgId": "o"}]}'))
    headers = {"x-proxy-auth": "token-4711"}
    with ScriptedServer(script) as server:
        with Interactive(public_key="pk", secret_key=SECRET, base_url=server.url, additional_headers=headers) as client:
            assert client.auth_check()
            shown = "\n".join(shown_by_everything(client))
        proxied = HTTPTransport("http://h", proxy=server.url.replace("//", f"//u:{SECRET}@"))
        shown += "\n".join(walked(proxied))

    assert SECRET.encode() not in server.requests[0] and b"cGs6Z2VoZWltLTQ3MTE=" in server.requests[0]
    forms = (*FORMS, b64encode(b"u:" + SECRET.encode()).decode())
    assert not [form for form in forms if form in shown] and "***" in shown


def test_secrets_are_in_no_error_and_in_no_local_of_a_traceback(monkeypatch, caplog):
    """Error trackers print the locals of every frame."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("INTERACTIVEAI_SECRET_KEY", SECRET)

    def failures():
        for arguments in (
            {},
            {"public_key": "pk", "timeout": "soon"},
            {"public_key": "pk", "base_url": "nonsense"},
            {"public_key": "pk\n"},
        ):
            try:
                Interactive(**arguments)
            except ValueError as error:
                yield error
        client = Interactive(transport=FakeTransport(lambda request: Response(401, body=b"{}")), public_key="pk")
        with client:
            for act in (lambda: client.get_dataset("x"), lambda: client.create_dataset(name="")):
                try:
                    act()
                except Exception as error:
                    yield error
            client.create_score(name="s", value=1, session_id="x")
            yield ValueError(client.flush())

    found = list(failures())
    assert len(found) == 7
    for error in found:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True)
        # The frame of this test holds the canary; what is told of it starts at our own code.
        told = "".join(frames.format()).split("in __init__", 1)[-1]
        assert not [form for form in FORMS if form in told]
        assert not [form for form in FORMS if form in repr(vars(error)) + repr(error.args)]
    assert not [form for form in FORMS if form in caplog.text]


def test_a_secret_given_as_argument_is_in_no_local_of_our_frames():
    with pytest.raises(ArgumentError) as refused:
        Interactive(public_key="pk", secret_key=SECRET, timeout="soon")

    ours = [frame for frame in refused.traceback if "interactiveai_eval" in str(frame.path)]
    assert len(ours) >= 2
    for frame in ours:
        assert SECRET not in repr(dict(frame.locals))


CANARY = "canary-4711"


def told_by(refused):
    """The error's text, and what the frames of the package have in their locals."""
    ours = [repr(dict(frame.locals)) for frame in refused.traceback if str(frame.path) != __file__]
    assert ours
    return "".join([str(refused.value), *ours])


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": "soon", "additional_headers": {"x-token": CANARY}},
        {"base_url": "http://192.0.2.1", "additional_headers": {"x-token": CANARY}},
        {"additional_headers": {"x-token": CANARY + "\n"}},
        {"additional_headers": [(1, CANARY)]},
        {"additional_headers": CANARY},
        {"base_url": f"https://u:{CANARY}@127.0.0.1"},
        {"base_url": f"https://127.0.0.1/?key={CANARY}"},
        {"base_url": None, "host": f"https://127.0.0.1/#{CANARY}"},
    ],
)
def test_no_setting_that_may_hold_a_secret_is_in_a_local_of_our_frames(settings):
    with pytest.raises((ArgumentError, ConfigError)) as refused:
        Interactive(**{"public_key": "pk", "secret_key": SECRET, "base_url": "https://127.0.0.1", **settings})

    assert CANARY not in told_by(refused)


@pytest.mark.parametrize(
    "act",
    [
        lambda: HTTPTransport("https://192.0.2.1", proxy=f"socks5://u:{CANARY}@127.0.0.1:1"),
        lambda: HTTPTransport("https://192.0.2.1", proxy=f"http://127.0.0.1:1@u:{CANARY}"),
        lambda: HTTPTransport("https://192.0.2.1", variable=lambda name: f"ftp://u:{CANARY}@h" if name == "HTTPS_PROXY" else None),
        lambda: HTTPTransport("https://192.0.2.1", client_certificate=("/nowhere", "/nowhere", CANARY)),
        lambda: HTTPTransport(f"https://u:{CANARY}@192.0.2.1"),
        lambda: LocalServer(secret_key=CANARY + "\n"),
        lambda: LocalServer(secret_key=CANARY, port="x"),
    ],
)
def test_no_secret_of_a_transport_or_a_server_is_in_a_local_of_our_frames(act):
    with pytest.raises((ArgumentError, ConfigError)) as refused:
        act()

    assert CANARY not in told_by(refused)


@pytest.mark.parametrize(
    "act",
    [
        lambda api: api.send_spans(b"export", "application/x-protobuf", 1),
        lambda api: api.send_scores([SCORE]),
        lambda api: list(api.send_each_score([SCORE])),
        lambda api: api.projects(),
    ],
)
def test_no_secret_is_in_a_local_of_a_frame_that_a_request_goes_through(act):
    """S02: also for tools that walk through the values of locals instead of printing them."""

    def breaks(request):
        raise ZeroDivisionError

    settings = {"public_key": "pk", "secret_key": SECRET, "dialect": "public", "transport": FakeTransport(breaks)}
    with Interactive(**settings, additional_headers={"x": "token-4711"}) as client:
        with pytest.raises(ZeroDivisionError) as broken:
            act(client.api)

    ours = [frame for frame in broken.traceback if "interactiveai_eval" in str(frame.path)]
    assert len(ours) >= 2
    for frame in ours:
        told = [text for name, value in frame.locals.items() for text in walked(value)]
        assert not [form for form in FORMS for text in told if form in text]


def test_debug_logs_requests_without_what_they_carry(caplog):
    with Interactive.local(debug=True) as client:
        client.create_dataset(name="secret name", description="secret text")

    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert caplog.messages[0].startswith("POST /api/public/v2/datasets on local:: 200, ")
    assert "secret" not in caplog.text


def test_a_base_url_of_http_is_reached_over_sockets():
    with ScriptedServer(always(answer(b'{"data": [{"id": "p", "orgId": "o"}]}'))) as server:
        with Interactive(public_key="pk", secret_key="sk", base_url=server.url + "/prefix/") as client:
            assert client.auth_check()

        assert server.requests[0].startswith(b"GET /prefix/api/platform/v1/projects HTTP/1.1\r\n")
        assert b"\r\nauthorization: Basic cGs6c2s=\r\n" in server.requests[0]


def test_with_tracing_off_local_experiments_reach_for_no_server():
    with ScriptedServer(always(answer())) as server:
        with Interactive(public_key="pk", secret_key="sk", base_url=server.url, tracing_enabled=False) as client:
            result = client.run_experiment(name="off", data=[{"input": 1}], task=lambda item: 2)

        assert result.item_results[0].output == 2 and result.delivery.acknowledged == 0
        assert server.connections == 0


def test_the_largest_batch_can_be_set_from_outside(monkeypatch):
    from interactiveai_eval import FakeTransport, Response

    monkeypatch.setenv("INTERACTIVEAI_MAX_BATCH_SIZE_BYTES", "5000")
    server = FakeTransport(lambda request: Response(200, body=b'{"errors": []}'))
    with Interactive(transport=server, dialect="public") as client:
        client.run_experiment(name="b", data=[{"input": "x" * 1000}] * 40, task=lambda item: item["input"])

    assert len(server.requests) >= 10 and max(len(request.body) for request in server.requests) < 15_000
