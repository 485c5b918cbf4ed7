// Runs pytest on CPython compiled to wasm: node wasm.mjs SITE ROOT PYTEST-ARGUMENTS...
// SITE has pytest unpacked, ROOT is the repository. No thread, no process, no socket; nothing comes from a network.
import { loadPyodide } from "pyodide";

const [site, root, ...args] = process.argv.slice(2);
const pyodide = await loadPyodide();
for (const [place, folder] of [["/site", site], ["/root", root]]) {
  pyodide.FS.mkdirTree(place);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: folder }, place);
}
pyodide.globals.set("arguments_", pyodide.toPy(args));

// First as it is: its event loop runs all the time. Plain runs work below it, and runs can be awaited.
await pyodide.runPythonAsync(`
import os, sys
sys.path[:0] = ["/root", "/site"]
sys.dont_write_bytecode = True
os.chdir("/root")
from interactiveai_eval import Interactive

async def coroutine(item):
    import asyncio
    await asyncio.sleep(0.001)
    return item["input"]

with Interactive.local() as client:
    settings = {"name": "wasm", "data": [{"input": n} for n in range(5)], "evaluators": [lambda *, output: output]}
    plain = client.run_experiment(task=lambda item: item["input"], **settings)
    awaited = await client.run_experiment_async(task=coroutine, **settings)
    for result in (plain, awaited):
        assert [item.output for item in result.item_results] == [0, 1, 2, 3, 4], result
        assert result.delivery.pending == 0 and result.delivery.acknowledged == 15, result.delivery
`);

// Then the tests, most of which use asyncio.run or let the package make a loop. The one of the platform belongs to
// JavaScript and cannot be run from inside Python, so they get asyncio's own without its selector: nothing to select.
const code = pyodide.runPython(`
import asyncio.base_events, asyncio.events, time

class NoSelector:
    def select(self, timeout):
        time.sleep(timeout or 0)
        return []

    def close(self):
        pass

class Loop(asyncio.base_events.BaseEventLoop):
    def __init__(self):
        super().__init__()
        self._selector = NoSelector()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass

class Policy(asyncio.events._BaseDefaultEventLoopPolicy):
    _loop_factory = Loop

asyncio.events._set_event_loop_policy(Policy())
asyncio.events._set_running_loop(None)
import pytest

# Tests that leave a client open: here the collector may finalize SQLite's connection before ours, which then warns.
forgotten = "ignore:unclosed database:ResourceWarning"
int(pytest.main(["-p", "no:faulthandler", "-W", forgotten, *arguments_]))
`);
process.exit(code);
