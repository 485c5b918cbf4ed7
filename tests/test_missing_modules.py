"""Pythons that lack a module: the package is imported, what does not need it works, what does names it (L32-L34)."""
from __future__ import annotations

import ast

import pytest

from .programs import ROOT
from .test_package import in_python

# What each lacks of the features below; everything else must work.
NOTHING: tuple[str, ...] = ()
STORES = (
    "embedded store", "batch", "store in a file", "traces to a file", "the demo", "commands on files", "commands on stores"
)  # fmt: skip
NETWORK = ("HTTPTransport", "LocalServer", "HTTP", "HTTPS")
MISSING = {
    "ssl": ("HTTPS",),
    "sqlite3": STORES,
    "zlib": NOTHING,
    "ctypes": NOTHING,
    "_socket": ("coroutines", *NETWORK),
    "select": ("coroutines", *NETWORK),
    "_multiprocessing": NOTHING,
    "_hashlib": NOTHING,
    "_sha256 _sha2": NOTHING,
    "_contextvars": ("coroutines",),
    "fcntl": NOTHING,
    "resource": NOTHING,
    "unicodedata": NOTHING,
    "_decimal": NOTHING,
    "_datetime": NOTHING,
    "_json": NOTHING,
    "_asyncio": NOTHING,
    "_uuid": NOTHING,
    "_queue": NOTHING,
    "_random": ("drawing samples",),
    "_struct": ("a copy as a zip", "HTTPS"),
    "ssl sqlite3 _socket select _contextvars _struct": (*STORES, *NETWORK, "coroutines", "a copy as a zip"),
    "zlib _hashlib _random _decimal _datetime _json": ("drawing samples",),
}
PROGRAM = r"""
    import os

    class Lacking:
        def find_spec(self, name, path=None, target=None):
            if name in lacking:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    lacking = {lacking!r}
    for name in lacking:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Lacking())

    import interactiveai_eval as package

    failed = {}
    for name in package.__all__:
        try:
            getattr(package, name)
        except package.FeatureUnavailable as error:
            failed[name] = error.module
    answer = lambda request: package.Response(200, body=b"{}")
    fake = lambda: package.Interactive(transport=package.FakeTransport(answer), project=("o", "p"))
    items = [{"input": n} for n in range(3)]

    async def coroutine(item):
        return item["input"]

    def run(client, **more):
        with client:
            settings = {"name": "x", "data": items, "task": lambda item: item["input"], **more}
            result = client.run_experiment(evaluators=[lambda *, output: output / 2], **settings)
        assert [item.output for item in result.item_results] == [0, 1, 2], result.item_failures
        assert (result.delivery.pending, result.delivery.acknowledged) == (0, 9), result.delivery
        return result

    def filled():
        client = package.Interactive.local()
        with client.start_as_current_span(name="s", input="caf\u00e9 \u6f22", output=0.5):
            assert client.get_current_trace_id()
        client.flush()
        return client

    def batch():
        evaluate = {"mapper": lambda item: {"input": item.input, "output": item.output}, "evaluators": [lambda *, output: output]}
        with filled() as client:
            result = client.run_batched_evaluation(scope="traces", checkpoint="batch.json", **evaluate)
        assert result.completed and result.delivery.acknowledged == 1, result

    def traces():
        from interactiveai_eval.stores.trace_files import export_traces
        with filled() as client:
            assert export_traces(client.api, "traces.jsonl", None) == 1

    def copy(kind):
        from interactiveai_eval.vendoring import check_copy, write_copy
        assert check_copy(write_copy("copies", kind=kind))["findings"] == []

    def command(*arguments):
        import io
        from interactiveai_eval.cli import main
        kept, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), io.StringIO(), io.StringIO()
        try:
            code = main(list(arguments))
            said = sys.stderr.getvalue()
        finally:
            sys.stdout, sys.stderr = kept
        feature, needs, module = said.partition(" needs the standard module ")
        if needs:
            raise package.FeatureUnavailable(feature[len("error: "):], module.split("'")[1])
        assert code == 0, (arguments, said)

    def on_files():
        write("calc.py", "def task(item):\n    return item['input']\ndef same(*, output, input):\n    return output == input\n")
        write("items.csv", "input\none\ntwo\n")
        for n in range(2):
            command("run", "calc.py:task", "--data", "items.csv", "--evaluator", "calc.py:same", "--output", f"c{n}.json")

    def on_results():
        run(fake()).save("one.json")
        command("report", "one.json", "--output", "one.md")
        command("check", "one.json", "failure_rate <= 0")
        command("compare", "one.json", "one.json")
        command("vendor", "vendored")

    def write(name, text):
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)

    def on_stores():
        run(package.Interactive.local("runs.db"))
        command("export", "--store", "runs.db", "--output", "runs.jsonl")
        command("import", "runs.jsonl", "--store", "again.db")
        write("judge.py", "def inputs(item):\n    return {'input': item.input, 'output': item.output}\ndef one(*, output):\n    return 1\n")
        command("batch", "--mapper", "judge.py:inputs", "--evaluator", "judge.py:one", "--store", "again.db")
        command("report", "--store", "again.db", "--output", "site")

    def spool():
        refuse = lambda request: package.Response(503, body=b"{}")
        transport = package.FakeTransport(refuse)
        with package.Interactive(transport=transport, project=("o", "p"), spool="spooled") as client:
            client.create_score(name="s", value=1.0, trace_id="0" * 32)
            assert client.flush(timeout=0.01).pending == 1
        command("spool", "list", "spooled")

    def recording():
        with package.RecordTransport(package.FakeTransport(answer), "recording.jsonl") as transport:
            one = transport.send(package.Request("GET", "/api/public/traces"))
        with package.ReplayTransport("recording.jsonl") as transport:
            assert transport.send(package.Request("GET", "/api/public/traces")).body == one.body

    def over_http(scheme="http"):
        with package.LocalServer(package.FakeTransport(answer), head_seconds=0.2) as server:
            with package.HTTPTransport(server.url.replace("http", scheme, 1)) as transport:
                try:
                    assert transport.send(package.Request("GET", "/api/public/health")).body == b"{}"
                except package.TransportError as error:
                    assert scheme == "https", error

    def statistics():
        one, other = run(fake()), run(fake(), task=lambda item: item["input"] + 1 - 1)
        assert one.summary() and one.compare(other) and one.check("failure_rate <= 0").passed
        one.summary(interval="bootstrap")

    features = {
        "a run": lambda: run(fake(), checkpoint="a.checkpoint", task_retries=1, task_timeout=30),
        "embedded store": lambda: run(package.Interactive.local()),
        "store in a file": lambda: run(package.Interactive.local("s.db")),
        "reports": lambda: [run(fake()).save(f"r.{kind}") for kind in "json jsonl csv md html xml txt".split()] and run(fake()).format(include_item_results=True),
        "batch": batch,
        "traces to a file": traces,
        "coroutines": lambda: run(fake(), task=coroutine),
        "a copy": lambda: (copy("folder"), copy("file")),
        "a copy as a zip": lambda: copy("zip"),
        "the demo": lambda: command("demo", "--limit", "2"),
        "commands on files": on_files,
        "commands on results": on_results,
        "commands on stores": on_stores,
        "the spool": spool,
        "recordings": recording,
        "HTTP": over_http,
        "HTTPS": lambda: over_http("https"),
        "drawing samples": statistics,
        "ids from a seed": lambda: fake().create_trace_id(seed="s"),
    }
    warned, sys.stderr = sys.stderr, open("errors.txt", "w")
    try:
        for name, feature in features.items():
            try:
                feature()
            except package.FeatureUnavailable as error:
                assert str(error) == f"{error.feature} needs the standard module {error.module!r}, which this Python lacks"
                failed[name] = error.module
    finally:
        sys.stderr.close()
        sys.stderr = warned
    print(failed)
"""


@pytest.mark.parametrize("missing", MISSING)
def test_only_what_needs_a_missing_module_fails_and_its_error_names_it(missing, tmp_path):
    """As hardened and minimal builds are. Each feature is used for real, in a process that cannot import the modules."""
    lacking = missing.split()

    said = in_python(PROGRAM.replace("{lacking!r}", repr(lacking)), "-I", "-S", "-B", path=ROOT, cwd=tmp_path)

    failed = ast.literal_eval(said.splitlines()[-1])
    assert set(failed) == set(MISSING[missing]) and set(failed.values()) <= set(lacking)
