"""Pythons that lack a module: the package is imported, what does not need it works, what does names it (L32-L34)."""
from __future__ import annotations

import ast

import pytest

from .programs import ROOT
from .test_package import in_python

# What each lacks of the features below; everything else must work.
NOTHING: tuple[str, ...] = ()
STORES = ("embedded store", "batch", "store in a file", "traces to a file")
NETWORK = ("HTTPTransport", "LocalServer")
MISSING = {
    "ssl": NOTHING,
    "sqlite3": STORES,
    "zlib": NOTHING,
    "ctypes": NOTHING,
    "_socket": ("coroutines", *NETWORK),
    "select": ("coroutines", *NETWORK),
    "_multiprocessing": NOTHING,
    "_hashlib": NOTHING,
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
    "_random": NOTHING,
    "_struct": ("a copy as a zip",),
    "ssl sqlite3 _socket select _contextvars _struct": (*STORES, *NETWORK, "coroutines", "a copy as a zip"),
    "zlib _hashlib _random _decimal _datetime _json": NOTHING,
}
PROGRAM = """
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
        with client.start_as_current_span(name="s", input="caf\\u00e9 \\u6f22", output=0.5):
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

    def demo():
        from interactiveai_eval.cli import main
        out, sys.stdout = sys.stdout, open("demo.txt", "w", encoding="utf-8")
        try:
            assert main(["demo", "--limit", "2"]) == 0 or "sqlite3" in lacking
        finally:
            sys.stdout.close()
            sys.stdout = out


    features = {
        "a run": lambda: run(fake(), checkpoint="a.checkpoint", task_retries=1, task_timeout=30),
        "embedded store": lambda: run(package.Interactive.local()),
        "store in a file": lambda: run(package.Interactive.local("s.db")),
        "reports": lambda: [run(fake()).save(name) for name in ("r.json", "r.html")] and run(fake()).format(include_item_results=True),
        "batch": batch,
        "traces to a file": traces,
        "coroutines": lambda: run(fake(), task=coroutine),
        "a copy": lambda: (copy("folder"), copy("file")),
        "a copy as a zip": lambda: copy("zip"),
        "the demo": demo,
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
