"""A real Chromium, driven over WebDriver by the standard library; tests that need it skip where there is none."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1200,900",
]
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "ArrowUp": "\ue013", "ArrowDown": "\ue015", "Tab": "\ue004"}


def find_programs():
    """(driver, browser), or None where either is missing."""
    driver = shutil.which("chromedriver")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return (driver, browser) if driver and browser else None


class Browser:
    """One window of a browser with a profile of its own. Use it in `with`."""

    def __init__(self, *flags):
        self._flags = flags

    def __enter__(self):
        driver, browser = find_programs()
        self._session = ""
        self._profile = tempfile.mkdtemp()
        self._driver = subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        port = next(int(line.rsplit(" ", 1)[1].rstrip(".\n")) for line in self._driver.stdout if "successfully" in line)
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        options = {"binary": browser, "args": [*FLAGS, *self._flags, f"--user-data-dir={self._profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"}}
        try:
            session = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self.__exit__()  # no driver is left behind where the browser does not start
            raise
        self._session = f"/session/{session['sessionId']}"
        return self

    def __exit__(self, *error):
        if self._session:
            self._ask("DELETE", "")
        self._connection.close()
        self._driver.terminate()
        self._driver.wait()
        self._driver.stdout.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _ask(self, method, path, body=None):
        payload = None if method == "GET" or method == "DELETE" else json.dumps(body or {})
        self._connection.request(method, self._session + path, payload, {"content-type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{answer['error']}: {answer['message']}")
        return answer

    def open(self, path, fragment=""):
        """Load a file as if no page had been there before."""
        self._ask("POST", "/url", {"url": "about:blank"})
        self._ask("POST", "/url", {"url": Path(path).resolve().as_uri() + (f"#{fragment}" if fragment else "")})

    def run(self, script, *arguments):
        """What the body of a function gives back."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script):
        """Wait until the expression is true, for ten seconds at most."""
        end = time.monotonic() + 10
        while not self.run(f"return Boolean({script})"):
            assert time.monotonic() < end, script

    def texts(self, selector):
        """The texts of the elements that are shown."""
        script = "return [...document.querySelectorAll(arguments[0])].filter(e => e.offsetParent).map(e => e.innerText)"
        return self.run(script, selector)

    def click(self, selector):
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        self._ask("POST", f"/element/{next(iter(found.values()))}/click")

    def press(self, *keys):
        """Press keys one after the other, wherever the focus is: names as in `KEYS`, or characters."""
        actions = []
        for key in keys:
            value = KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def resize(self, width, height):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def command(self, name, **parameters):
        """A command of the browser's own protocol."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def log(self, kind):
        """What was logged since the last call: "browser" (messages of pages) or "performance" (its protocol)."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": kind})]

    def requested(self):
        """The addresses that pages asked for since the last call, blocked or not; not those of the browser's own."""
        events = [json.loads(entry)["message"] for entry in self.log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in sent if each["documentURL"].startswith("file:")]

    def screenshot(self, path):
        Path(path).write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))
