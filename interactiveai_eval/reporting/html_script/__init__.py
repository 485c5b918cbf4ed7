"""The script of the HTML report, as text: plain ES2019, no library, nothing that leaves the page.

The page is complete without it for reading; the script replaces the static tables by one that sorts, filters, compares
and opens rows. It reads the JSON blocks that `html_data` writes, whose texts are visible and safe already, and puts
them into the page as text nodes only. Its state is the fragment of the address, so that a link shows what was seen.

The pieces, a file each, make one text with one scope, in this order: names are declared before what runs on loading.
"""
from __future__ import annotations

from .data import DATA
from .fragment import FRAGMENT
from .opened_row import OPENED_ROW
from .page import PAGE
from .row import ROW
from .table import TABLE
from .two_runs import TWO_RUNS
from .values import VALUES
from .word_diff import WORD_DIFF

_BEGIN = r"""
"use strict";
(() => {
const STEP = 100; // rows drawn at a time: more come when the last is scrolled to
const ON_PAPER = 1000; // rows that a printed page has
const METRICS = 5; // columns of the table: further metrics are in the opened rows
const DIFF_CELLS = 4000000; // the largest table that a word diff may fill
const FIELDS = ["number", "key", "id", "stage", "input", "expected", "output", "evaluations", "seconds", "attempts",
  "trace", "errors", "metadata", "spans"];
const MODES = [
  ["all", "All", "Every item"],
  ["failed", "Not passed", "Items that did not go through, or have a metric that is False"],
  ["errors", "Errors", "Items that did not go through, or have an evaluator that failed"],
  ["changed", "Changed", "Items whose output or metrics differ from the other run's"],
  ["regressed", "Regressed", "Items that have a lower metric than in the other run, or newly fail"],
];
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const main = find("main");
const blocks = all("script.run-data");
const loaded = [];
"""
_END = r"""
if (blocks.length) {
  readFragment();
  setUp();
  refresh(false);
  const opened = find("tr.item.open", body);
  if (opened && opened.getBoundingClientRect().bottom > innerHeight * 0.7) opened.scrollIntoView({block: "start"});
} else {
  find(".top").append(themeButton);
  readFragment();
  showTheme();
}
})();
"""

SCRIPT = _BEGIN + VALUES + DATA + WORD_DIFF + FRAGMENT + PAGE + TABLE + ROW + OPENED_ROW + TWO_RUNS + _END
