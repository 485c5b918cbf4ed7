"""The script of the HTML report, as text: plain ES2019, no library, nothing that leaves the page.

The page is complete without it for reading; the script replaces the static tables by one that sorts, filters, compares
and opens rows. It reads the JSON blocks that `html_data` writes, whose texts are visible and safe already, and puts
them into the page as text nodes only. Its state is the fragment of the address, so that a link shows what was seen.
"""
from __future__ import annotations

SCRIPT = r"""
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

// -- small things ----------------------------------------------------------------------------------------------------

function make(tag, attributes, ...children) {
  const drawn = tag === "svg" || tag === "path" || tag === "circle";
  const node = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "click") node.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}

const grouped = n => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
const counted = (n, noun) => grouped(n) + " " + noun + (n === 1 ? "" : "s");
const isNumber = value => typeof value === "number" || typeof value === "boolean";
const sign = delta => delta > 0 ? "\u25b2" : delta < 0 ? "\u25bc" : "=";
// How much better a difference is: 0 within the tolerance, below 0 for the worse.
const gain = (run, metric, delta) => Math.abs(delta) <= run.tolerance ? 0 : run.lower[metric] ? -delta : delta;
const trend = gained => gained > 0 ? "better" : gained < 0 ? "worse" : "same";

function scoreText(value, whole) {
  if (value === null || value === undefined) return "\u2013";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return value;
  const size = Math.abs(value);
  if (whole && size < 1e15) return String(value);
  return size === 0 || (size >= 0.0005 && size < 1e15) ? value.toFixed(3) : value.toPrecision(3);
}

function signed(value) {
  return (value < 0 ? "\u2212" : value > 0 ? "+" : "") + scoreText(Math.abs(value));
}

function durationText(seconds) {
  if (seconds === null) return "\u2013";
  if (seconds < 0.0009995) return Math.round(seconds * 1e6) + " \u00b5s";
  if (seconds < 0.9995) return Math.round(seconds * 1000) + " ms";
  if (seconds < 59.95) return seconds.toFixed(1) + " s";
  return Math.floor(seconds / 60) + " min " + Math.floor(seconds % 60) + " s";
}

// -- the data --------------------------------------------------------------------------------------------------------

function runAt(place) {
  if (!loaded[place]) {
    const run = JSON.parse(blocks[place].textContent);
    run.byKey = new Map();
    run.rows = run.rows.map((cells, at) => {
      const row = {place: at, pair: null};
      FIELDS.forEach((name, column) => { row[name] = cells[column] === undefined ? null : cells[column]; });
      row.errors = row.errors || [];
      row.spans = row.spans || [];
      row.evaluations = row.evaluations || [];
      row.values = run.metrics.map(() => null);
      for (const [metric, value] of [...row.evaluations].reverse()) row.values[metric] = value;
      row.failed = Boolean(row.stage) || row.values.includes(false);
      run.byKey.set(row.key, row);
      return row;
    });
    run.whole = run.metrics.map((_, metric) => run.rows.every(({values}) =>
      typeof values[metric] !== "number" || Number.isInteger(values[metric])));
    loaded[place] = run;
  }
  return loaded[place];
}

// What each row of `run` has against its partner in `base`: one delta a metric, null where there is none.
function pairUp(run, base) {
  const columns = base && run.metrics.map(metric => base.metrics.indexOf(metric));
  for (const row of run.rows) {
    const other = base ? base.byKey.get(row.key) : undefined;
    row.pair = null;
    if (!other) continue;
    const old = columns.map(column => column < 0 ? null : other.values[column]);
    const deltas = row.values.map((value, metric) =>
      isNumber(value) && isNumber(old[metric]) ? Number(value) - Number(old[metric]) : null);
    const newlyFailing = Boolean(row.stage) && !other.stage;
    row.pair = {
      other, old, deltas,
      regressed: newlyFailing || deltas.some((delta, metric) => delta !== null && gain(run, metric, delta) < 0),
      changed: Boolean(row.stage) !== Boolean(other.stage) || row.output !== other.output ||
        row.values.some((value, metric) => value !== old[metric]),
    };
  }
}

const inMode = {
  all: () => true,
  failed: row => row.failed,
  errors: row => Boolean(row.stage) || row.errors.length > 0,
  changed: row => row.pair !== null && row.pair.changed,
  regressed: row => row.pair !== null && row.pair.regressed,
};

// A filter's words must all be found; `accuracy=false` and `length>=10` speak of a metric, `seconds>1` of the time.
function matcher(text, run) {
  const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map(word => {
    const [, name, operator, wanted] = /^(.+?)(<=|>=|!=|=|<|>)(.+)$/.exec(word) || [];
    const metric = run.metrics.findIndex(known => known.toLowerCase().replace(/\s+/g, "") === name);
    if (name && (metric >= 0 || name === "seconds")) {
      return row => compares(metric >= 0 ? row.values[metric] : row.seconds, operator, wanted);
    }
    return row => searched(row).includes(word);
  });
  return row => tests.every(test => test(row));
}

function compares(value, operator, wanted) {
  if (value === null) return operator === "!=";
  const same = String(value).toLowerCase() === wanted || (isNumber(value) && Number(value) === Number(wanted));
  if (operator === "=") return same;
  if (operator === "!=") return !same;
  if (same) return operator.length === 2;
  return operator[0] === "<" ? Number(value) < Number(wanted) : Number(value) > Number(wanted);
}

function searched(row) {
  if (row.text === undefined) {
    const comments = row.evaluations.map(found => found.slice(1).filter(part => typeof part === "string").join(" "));
    const errors = row.errors.map(error => error.slice(0, 3).join(" "));
    const own = [row.number, row.id, row.trace, row.input, row.expected, row.output, row.metadata];
    row.text = [...own, ...comments, ...errors].filter(Boolean).join("\n").toLowerCase();
  }
  return row.text;
}

// -- the word diff ---------------------------------------------------------------------------------------------------

const wordsOf = text => text.match(/\s+|[\p{L}\p{N}_]+|[^\s]/gu) || [];

// [[-1 only in the old, 0 in both, 1 only in the new; text], ...], or null where the texts are too long.
function wordDiff(old, text) {
  const a = wordsOf(old), b = wordsOf(text);
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const n = a.length - start - end, m = b.length - start - end;
  if ((n + 1) * (m + 1) > DIFF_CELLS) return null;
  const width = m + 1, common = new Uint16Array((n + 1) * width);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      common[i * width + j] = a[start + i] === b[start + j] ? common[(i + 1) * width + j + 1] + 1
        : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const parts = [];
  const put = (kind, word) => {
    const last = parts[parts.length - 1];
    if (last && last[0] === kind) last[1] += word;
    else parts.push([kind, word]);
  };
  a.slice(0, start).forEach(word => put(0, word));
  for (let i = 0, j = 0; i < n || j < m;) {
    if (i < n && j < m && a[start + i] === b[start + j]) { put(0, a[start + i]); i++; j++; }
    else if (i < n && (j >= m || common[(i + 1) * width + j] >= common[i * width + j + 1])) put(-1, a[start + i++]);
    else put(1, b[start + j++]);
  }
  a.slice(a.length - end).forEach(word => put(0, word));
  return tidied(parts);
}

// What was taken out before what was put in; spaces and signs between two changes are no text that stayed.
function tidied(parts) {
  const found = [];
  let gone = "", come = "";
  const close = () => {
    if (gone) found.push([-1, gone]);
    if (come) found.push([1, come]);
    gone = come = "";
  };
  parts.forEach(([kind, text], place) => {
    const between = (gone || come) && place < parts.length - 1 && !/[\p{L}\p{N}]/u.test(text);
    if (kind === 0 && !between) {
      close();
      found.push([0, text]);
    }
    if (kind < 0 || (kind === 0 && between)) gone += text;
    if (kind > 0 || (kind === 0 && between)) come += text;
  });
  close();
  return found;
}

// How much of two texts is common, from 0 to 1: below a half, a diff shows less than the texts do.
function likeness(parts, old, text) {
  const same = parts.reduce((sum, [kind, part]) => kind ? sum : sum + part.length, 0);
  return 2 * same / Math.max(1, old.length + text.length);
}

function diffNodes(parts) {
  const tags = {"-1": "del", "1": "ins"};
  return parts.map(([kind, text]) => kind ? make(tags[kind], null, text) : text);
}

// -- state in the fragment -------------------------------------------------------------------------------------------

const state = {run: 0, base: -1, mode: "all", sort: "", query: "", open: new Set(), theme: ""};

// What a run was compared with when the page was made: -1 for nothing.
const usualBase = place => Number((find("#run-" + (place + 1)) || main).dataset.base || 0) - 1;

function readFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  const anchor = /^run-(\d+)/.exec(location.hash.slice(1));
  const place = text => blocks[Number(text) - 1] ? Number(text) - 1 : -1;
  state.run = Math.max(0, place(anchor ? anchor[1] : given.get("run") || "1"));
  state.base = place(given.get("base") || "");
  if (!given.get("base")) state.base = usualBase(state.run);
  if (state.base === state.run) state.base = -1;
  state.mode = MODES.some(([mode]) => mode === given.get("mode")) ? given.get("mode") : "all";
  if (state.base < 0 && (state.mode === "changed" || state.mode === "regressed")) state.mode = "all";
  state.sort = given.get("sort") || "";
  state.query = given.get("q") || "";
  state.open = new Set((given.get("open") || "").split(".").filter(Boolean).map(n => Number(n) - 1));
  state.theme = ["dark", "light"].includes(given.get("theme")) ? given.get("theme") : "";
}

function writeFragment() {
  const found = new URLSearchParams();
  const put = (name, value) => { if (value) found.set(name, value); };
  put("run", state.run ? String(state.run + 1) : "");
  put("base", state.base !== usualBase(state.run) ? String(state.base + 1) : "");
  put("mode", state.mode !== "all" ? state.mode : "");
  put("sort", state.sort);
  put("q", state.query);
  put("open", [...state.open].map(n => n + 1).join("."));
  put("theme", state.theme);
  const text = found.toString();
  if (text !== location.hash.slice(1)) history.replaceState(null, "", "#" + text);
}

// -- the page around the table ---------------------------------------------------------------------------------------

const isDark = () => state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const themeButton = make("button", {class: "quiet", id: "theme", type: "button", click: () => {
  state.theme = isDark() ? "light" : "dark";
  showTheme();
  writeFragment();
}});

function showTheme() {
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
}

const names = blocks.map((block, place) => block.dataset.name || "Run " + (place + 1));
const chosen = (label, id, first, set) => {
  const list = make("select", {id});
  if (first) list.append(make("option", {value: "0"}, first));
  names.forEach((name, place) => list.append(make("option", {value: String(place + 1)}, name)));
  list.addEventListener("change", () => set(Number(list.value) - 1));
  return [make("label", {for: id}, label), list];
};
function choose(place) {
  if (state.base === usualBase(state.run) || state.base === place) state.base = usualBase(place);
  state.run = place;
  refresh(true);
}
const runChoice = chosen("Run", "run-choice", "", choose);
const baseChoice = chosen("Compared with", "base-choice", "nothing", place => { state.base = place; refresh(true); });
const search = make("input", {type: "search", id: "filter", placeholder: "Filter  ( / )", spellcheck: "false",
  autocomplete: "off", "aria-label": "Filter items by words, or by a metric such as accuracy=false",
  title: "Words that must all be found; a metric: accuracy=false, length>=10; seconds>1"});
const modeButtons = MODES.map(([mode, , hint]) => make("button", {type: "button", class: "mode", title: hint,
  "data-mode": mode, click: () => { state.mode = mode; draw(); }}));
const count = make("p", {class: "note", id: "count", role: "status", "aria-live": "polite"});
const head = make("thead");
const body = make("tbody");
const table = make("table", {class: "items live", "aria-label": "Items"}, head, body);
const more = make("button", {type: "button", class: "more", click: () => extend()});
const pairPanel = make("div", {id: "pair"});
const items = make("section", {id: "items", "aria-label": "Items"},
  pairPanel,
  make("div", {class: "toolbar"},
    make("div", {class: "modes", role: "group", "aria-label": "Which items"}, ...modeButtons), search),
  count, table, more);

let shown = [], drawn = 0, current = 0;

search.addEventListener("input", () => { state.query = search.value.trim(); draw(); });

function setUp() {
  find(".top").append(themeButton);
  if (blocks.length > 1) {
    find("section.run").before(make("div", {class: "choices"}, ...runChoice, ...baseChoice));
  }
  all(".static").forEach(node => node.remove());
  find("footer").before(items);
  if (window.IntersectionObserver) {
    new IntersectionObserver(seen => { if (seen.some(each => each.isIntersecting)) extend(); }, {rootMargin: "600px"})
      .observe(more);
  }
  all('a[href^="#run-"]').forEach(link => link.addEventListener("click", event => {
    const [, place, failure] = /^#run-(\d+)(-failure)?/.exec(link.getAttribute("href"));
    event.preventDefault();
    state.mode = failure ? "errors" : "all";
    if (failure) state.query = "";
    choose(Number(place) - 1);
    (failure ? items : find("#run-" + place)).scrollIntoView({block: "start"});
  }));
  addEventListener("hashchange", () => { readFragment(); refresh(false); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  addEventListener("beforeprint", () => extend(Math.max(drawn, ON_PAPER)));
  document.addEventListener("keydown", onKey);
  table.addEventListener("click", event => {
    const line = event.target.closest("tr.item");
    if (line && !event.target.closest("a") && !String(getSelection())) toggle(line);
  });
}

// Everything anew, as another run or partner was chosen.
function refresh(closing) {
  if (closing) state.open.clear();
  if (state.base === state.run) state.base = -1;
  const run = runAt(state.run);
  const base = state.base < 0 ? null : runAt(state.base);
  pairUp(run, base);
  if (!base && (state.mode === "changed" || state.mode === "regressed")) state.mode = "all";
  all("section.run").forEach((section, place) => { section.hidden = place !== state.run; });
  all("[data-pair]").forEach(part => { part.hidden = part.dataset.pair !== (state.run + 1) + "-" + (state.base + 1); });
  all(".comparison tbody tr").forEach((line, place) => line.classList.toggle("chosen", place === state.run));
  runChoice[1].value = String(state.run + 1);
  baseChoice[1].value = String(state.base + 1);
  all("option", baseChoice[1]).forEach(option => { option.disabled = option.value === String(state.run + 1); });
  search.value = state.query;
  showTheme();
  items.hidden = !run.rows.length; // they were not kept, or there were none
  showPairs(run, base);
  showHead(run, base);
  draw();
}

function showHead(run, base) {
  const columns = [["number", "#"], ["input", "Input"], ["expected", "Expected"], ["output", "Output"],
    ...run.metrics.slice(0, METRICS).map((metric, place) => ["m" + (place + 1), metric]), ["seconds", "Time"]];
  head.textContent = "";
  head.append(make("tr", null, ...columns.map(([name, label]) => {
    const kind = name[0] === "m" || name === "seconds" ? "value-column" : name === "number" ? "place" : name;
    return make("th", {scope: "col", class: kind, "data-column": name}, make("button", {type: "button", click: () => {
      const rising = name[0] === "m" ? ["", "-" + name, name] : ["", name, "-" + name];
      state.sort = rising[(rising.indexOf(state.sort) + 1) % 3];
      draw();
    }}, make("span", null, label)));
  })));
  table.classList.toggle("many", run.metrics.length > 3);
  table.classList.toggle("paired", Boolean(base));
}

const sortKey = name => {
  if (name[0] === "m") return row => row.values[Number(name.slice(1)) - 1];
  if (name === "number") return row => row.place;
  return row => row[name];
};

function sorted(rows, run) {
  const falling = state.sort[0] === "-";
  const name = falling ? state.sort.slice(1) : state.sort;
  const metrics = run.metrics.map((_, place) => "m" + (place + 1));
  const known = ["number", "input", "expected", "output", "seconds", ...metrics];
  if (!known.includes(name)) return rows;
  const key = sortKey(name);
  const order = (a, b) => {
    const left = key(a), right = key(b);
    if (left === null || left === undefined) return right === null || right === undefined ? a.place - b.place : 1;
    if (right === null || right === undefined) return -1;
    const [x, y] = isNumber(left) && isNumber(right) ? [Number(left), Number(right)] : [String(left), String(right)];
    return x === y ? a.place - b.place : (x < y) !== falling ? -1 : 1;
  };
  return rows.slice().sort(order);
}

function draw() {
  const run = runAt(state.run);
  const matches = matcher(state.query, run);
  const found = run.rows.filter(matches);
  shown = sorted(found.filter(inMode[state.mode]), run);
  modeButtons.forEach((button, place) => {
    const [mode, label] = MODES[place];
    const needsPair = mode === "changed" || mode === "regressed";
    button.hidden = needsPair && state.base < 0;
    button.setAttribute("aria-pressed", String(state.mode === mode));
    button.textContent = "";
    button.append(label + " ", make("span", {class: "n"}, grouped(found.filter(inMode[mode]).length)));
  });
  all("th", head).forEach(cell => {
    const falling = state.sort === "-" + cell.dataset.column;
    const rising = state.sort === cell.dataset.column;
    if (falling || rising) cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  const part = shown.length === run.rows.length ? "" : grouped(shown.length) + " of ";
  const notes = [part + counted(run.rows.length, "item")], rest = run.metrics.length - METRICS;
  if (run.left_out) notes.push(grouped(run.left_out) + " more are not in this file");
  if (rest > 0) notes.push(counted(rest, "more metric") + " in the opened rows");
  count.textContent = notes.join(", ");
  body.textContent = "";
  drawn = current = 0;
  const firstOpen = shown.findIndex(row => state.open.has(row.place));
  extend(Math.max(STEP, firstOpen + 1));
  writeFragment();
}

function extend(least) {
  const run = runAt(state.run);
  const until = Math.min(shown.length, least || drawn + STEP);
  const lines = document.createDocumentFragment();
  for (; drawn < until; drawn++) {
    const row = shown[drawn];
    const line = rowLine(row, run, drawn);
    lines.append(line);
    if (state.open.has(row.place)) { mark(line, true); lines.append(detailLine(row, run, line)); }
  }
  body.append(lines);
  more.hidden = drawn >= shown.length;
  more.textContent = "Show more (" + grouped(shown.length - drawn) + " left)";
}

// -- one row ---------------------------------------------------------------------------------------------------------

const preview = text => make("div", {class: "preview"}, text === null ? "" : text.slice(0, 300));

function rowLine(row, run, at) {
  const kind = row.stage ? " failed" : row.errors.length ? " erring" : "";
  const button = make("button", {type: "button", class: "opener", tabindex: at === current ? "0" : "-1",
    "aria-expanded": "false", "aria-label": "Item " + row.number + (row.stage ? ", failed" : "")}, row.number);
  const line = make("tr", {class: "item" + kind, "data-at": String(at)},
    make("th", {scope: "row", class: "place", title: row.id}, button),
    make("td", {"data-label": "Input", class: "input"}, preview(row.input)),
    make("td", {"data-label": "Expected", class: "expected"}, preview(row.expected)),
    make("td", {"data-label": "Output", class: "output"},
      row.stage ? errorLine(row.errors[0], row.stage) : preview(row.output)));
  run.metrics.slice(0, METRICS).forEach((metric, place) => {
    line.append(make("td", {"data-label": metric, class: "value-column"}, ...valueNodes(row, run, place)));
  });
  line.append(make("td", {"data-label": "Time", class: "value-column time"}, durationText(row.seconds)));
  return line;
}

function valueNodes(row, run, metric) {
  const value = row.values[metric], whole = run.whole[metric];
  const nodes = [scoreNode(value, whole)];
  const delta = row.pair ? row.pair.deltas[metric] : null;
  if (delta !== null && delta !== 0) {
    const old = row.pair.old[metric];
    nodes.push(make("span", {class: "delta " + trend(gain(run, metric, delta)), title: "was " + scoreText(old, whole)},
      sign(delta) + (typeof value === "boolean" ? "" : " " + scoreText(Math.abs(delta), whole))));
  }
  return nodes;
}

function scoreNode(value, whole) {
  const kind = value === true ? " yes" : value === false ? " no" : value === null ? " none" : "";
  return make("span", {class: "score" + kind}, scoreText(value, whole));
}

const errorLine = (error, stage) => make("div", {class: "preview error"},
  make("b", null, error ? error[1] : stage), error ? " " + error[2].slice(0, 300) : "");

function mark(line, open) {
  line.classList.toggle("open", open);
  find(".opener", line).setAttribute("aria-expanded", String(open));
}

function toggle(line) {
  const row = shown[Number(line.dataset.at)];
  const open = !state.open.has(row.place);
  if (open) state.open.add(row.place);
  else state.open.delete(row.place);
  mark(line, open);
  if (open) line.after(detailLine(row, runAt(state.run), line));
  else line.nextElementSibling.remove();
  moveTo(Number(line.dataset.at));
  writeFragment();
}

function moveTo(at) {
  if (at < 0 || at >= shown.length) return;
  if (at >= drawn) extend();
  const old = find('tr.item[data-at="' + current + '"] .opener', body);
  if (old) old.tabIndex = -1;
  current = at;
  const button = find('tr.item[data-at="' + at + '"] .opener', body);
  button.tabIndex = 0;
  button.focus({preventScroll: true});
  button.closest("tr").scrollIntoView({block: "nearest"});
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  const line = target.closest && target.closest("tr[data-at]");
  const at = line ? Number(line.dataset.at) : -1;
  if (target === search) {
    if (event.key === "Escape") {
      if (search.value) { search.value = state.query = ""; draw(); } else search.blur();
    } else if (event.key === "ArrowDown" || event.key === "Enter") moveTo(0);
    else return;
  } else if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName || "")) return;
  else if (event.key === "/") { search.focus(); search.select(); }
  else if (at < 0 || !body.contains(target)) return;
  else if (event.key === "ArrowDown") moveTo(at + 1);
  else if (event.key === "ArrowUp" && at === 0) search.focus();
  else if (event.key === "ArrowUp") moveTo(at - 1);
  else if (event.key === "Escape") {
    const own = find('tr.item[data-at="' + at + '"]', body);
    if (own.classList.contains("open")) toggle(own);
  } else return;
  event.preventDefault();
}

// -- an opened row ---------------------------------------------------------------------------------------------------

const box = (label, ...content) => make("div", {class: "box"}, make("h4", null, label), ...content);
const textBox = text => make("div", {class: "value"}, text === null ? "" : text);

function detailLine(row, run, line) {
  const id = "detail-" + row.place;
  find(".opener", line).setAttribute("aria-controls", id);
  const base = state.base < 0 ? null : runAt(state.base);
  const parts = [make("div", {class: "texts"},
    box("Input", textBox(row.input)),
    row.expected === null ? null : box("Expected", textBox(row.expected)),
    row.stage ? null : outputBox(row, base))];
  if (row.errors.length) parts.push(box("Errors", ...row.errors.map(errorNode)));
  if (row.evaluations.length) parts.push(box("Metrics", scoresNode(row, run)));
  if (row.spans.length) parts.push(box("Spans", waterfall(row.spans)));
  if (row.metadata !== null) parts.push(box("Metadata", dataBox(row.metadata)));
  const facts = [["Item", row.id], ["Trace", row.trace], ["Time", durationText(row.seconds)],
    ["Attempts", row.attempts === null ? null : String(row.attempts)]].filter(fact => fact[1] !== null);
  parts.push(make("dl", {class: "facts"}, ...facts.map(([name, value]) =>
    make("div", null, make("dt", null, name), make("dd", null, value)))));
  if (run.page) {
    const link = make("a", {href: run.page + "#open=" + (row.place + 1)}, "In full on the run's own page");
    parts.push(make("p", null, link));
  }
  return make("tr", {class: "detail", id, "data-at": line.dataset.at},
    make("td", {colspan: String(line.children.length)}, ...parts));
}

// The output as it is, or with its differences from the expected one or from the other run's.
function outputBox(row, base) {
  const content = make("div", {class: "value"});
  const text = row.output === null ? "" : row.output;
  const views = [["Text", null]];
  if (row.expected !== null) views.push(["Against expected", row.expected]);
  const other = row.pair ? row.pair.other : null;
  if (other && !other.stage) views.push(["Against " + base.name, other.output === null ? "" : other.output]);
  const buttons = views.map(([label, old]) =>
    make("button", {type: "button", class: "view", click: () => show(label, old)}, label));
  function show(label, old) {
    const parts = old === null ? null : wordDiff(old, text);
    content.textContent = "";
    if (old !== null && !parts) content.append(make("p", {class: "note"}, "Too long for a word diff."));
    content.append(...(parts ? diffNodes(parts) : [text]));
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(views[place][0] === label)));
  }
  const worth = views.slice(1).reverse().find(([, old]) => {
    const parts = old === text ? null : wordDiff(old, text);
    return parts && likeness(parts, old, text) >= 0.5;
  });
  show(...(worth || views[0]));
  const choice = make("div", {class: "views", role: "group", "aria-label": "How the output is shown"}, ...buttons);
  return box("Output", buttons.length > 1 ? choice : null, content);
}

const dataBox = text => make("div", {class: "value data"}, text);
const errorNode = ([who, type, message, traceback]) => make("div", {class: "problem"},
  make("p", {class: "error"}, make("b", null, who), " " + type), textBox(message),
  traceback ? make("details", null, make("summary", null, "Traceback"), dataBox(traceback)) : null);

function scoresNode(row, run) {
  const lines = row.evaluations.map(([metric, value, comment, metadata]) => {
    const cells = [scoreNode(value, run.whole[metric])];
    if (row.pair) cells.push(wasNode(row.pair, run, metric));
    return make("tr", null, make("th", {scope: "row"}, run.metrics[metric]),
      ...cells.map(cell => make("td", {class: "value-column"}, cell)),
      make("td", {class: "comment"}, comment || "", metadata ? dataBox(metadata) : null));
  });
  return make("table", {class: "metrics"}, make("tbody", null, ...lines));
}

function wasNode(pair, run, metric) {
  const delta = pair.deltas[metric], was = "was " + scoreText(pair.old[metric], run.whole[metric]);
  const kind = delta === null ? "same" : trend(gain(run, metric, delta));
  return make("span", {class: "delta " + kind}, (delta === null ? "" : sign(delta) + " ") + was);
}

// Spans as [name, type, depth, start, end (ms from the first), error]: bars on one scale, below each other.
function waterfall(spans) {
  const whole = Math.max(...spans.map(span => span[4]), 0.001);
  return make("ol", {class: "spans"}, ...spans.map(([name, type, depth, start, end, error]) => {
    const bar = make("i", {class: error ? "bad" : ""});
    bar.style.marginLeft = 100 * start / whole + "%";
    bar.style.width = "max(2px, " + 100 * (end - start) / whole + "%)";
    const label = make("span", {class: "span-name"}, name);
    label.style.paddingLeft = Math.min(depth, 12) * 0.9 + "rem";
    return make("li", {title: error || type}, label, make("span", {class: "kind"}, type.toLowerCase()),
      make("span", {class: "lane"}, bar), make("span", {class: "time"}, durationText((end - start) / 1000)),
      error ? make("span", {class: "error"}, error) : null);
  }));
}

// -- two runs, item by item ------------------------------------------------------------------------------------------

function showPairs(run, base) {
  pairPanel.textContent = "";
  if (!base) return;
  const pairs = run.rows.filter(row => row.pair);
  const made = all('[data-pair="' + (state.run + 1) + "-" + (state.base + 1) + '"] .changes');
  for (const cell of made) { // figures are there already, from a better statistician
    const metric = run.metrics.indexOf(cell.dataset.metric);
    if (metric >= 0 && !cell.children.length) cell.append(dotPlot(...gains(run, metric, pairs)));
  }
  if (made.length) return;
  const only = [run.rows.length - pairs.length, base.rows.length - pairs.length];
  const failing = pairs.filter(row => row.stage && !row.pair.other.stage).length;
  const recovered = pairs.filter(row => !row.stage && row.pair.other.stage).length;
  const facts = [[pairs.length, "in both"], [only[0], "only here"], [only[1], "only there"], [failing, "newly failing"],
    [recovered, "recovered"]].filter(([n]) => n).map(([n, what]) => grouped(n) + " " + what);
  pairPanel.append(make("h3", null, "Against " + base.name),
    make("p", {class: "note"}, "Items: " + (facts.join(", ") || "none") + ". Means over those in both."));
  const lines = run.metrics.map((metric, place) => pairLine(run, place, pairs)).filter(Boolean);
  if (lines.length) {
    const heads = ["Metric", "Here", "There", "Difference", "Better", "Worse", "Equal", "Changes"];
    const cells = heads.map((head, n) => make("th", {scope: "col", class: n && n < 7 ? "value-column" : ""}, head));
    const table = make("table", {class: "pairs"}, make("thead", null, make("tr", null, ...cells)),
      make("tbody", null, ...lines));
    pairPanel.append(make("div", {class: "wide"}, table));
  }
}

// What the items of both runs have gained in a metric, and whether all of it are truth values.
function gains(run, metric, pairs) {
  const both = pairs.filter(row => row.pair.deltas[metric] !== null);
  const whole = both.every(row => typeof row.values[metric] === "boolean");
  return [both.map(row => gain(run, metric, row.pair.deltas[metric])), whole];
}

function pairLine(run, metric, pairs) {
  const both = pairs.filter(row => row.pair.deltas[metric] !== null);
  if (!both.length) return null;
  const mean = values => values.reduce((sum, value) => sum + Number(value), 0) / values.length;
  const [gained, whole] = gains(run, metric, pairs);
  const delta = mean(both.map(row => row.pair.deltas[metric]));
  const counts = [[d => d > 0, "better"], [d => d < 0, "worse"], [d => d === 0, ""]].map(([test, kind]) => {
    const n = gained.filter(test).length;
    return make("span", {class: n ? kind : ""}, grouped(n));
  });
  const cells = [...[row => row.values[metric], row => row.pair.old[metric]].map(of => scoreText(mean(both.map(of)))),
    make("span", {class: "delta " + trend(run.lower[metric] ? -delta : delta)}, sign(delta) + " " + signed(delta)),
    ...counts];
  return make("tr", null, make("th", {scope: "row"}, run.metrics[metric]),
    ...cells.map(cell => make("td", {class: "value-column"}, cell)),
    make("td", {class: "changes"}, dotPlot(gained, whole)));
}

// A mark for each item that changed: those for the worse left of the line, for the better right, further out for more.
function dotPlot(gained, whole) {
  const bins = 18, tall = 5, step = 9;
  const most = Math.max(...gained.map(Math.abs), 1e-300);
  const stacks = {worse: [], better: []};
  for (const amount of gained) {
    if (!amount) continue;
    const stack = stacks[trend(amount)];
    const bin = whole ? 0 : Math.min(bins - 1, Math.floor(Math.abs(amount) / most * bins));
    stack[bin] = (stack[bin] || 0) + 1;
  }
  const totals = Object.values(stacks).map(stack => stack.reduce((sum, n) => sum + n, 0));
  const largest = Math.max(0, ...[...stacks.worse, ...stacks.better].filter(Boolean));
  const unit = Math.max(1, Math.ceil(largest / (whole ? tall * bins : tall)));
  const width = 2 * bins * step + 16, height = tall * step + 3, middle = width / 2;
  const plot = make("svg", {class: "dots", viewBox: "0 0 " + width + " " + height, width, height, role: "img",
    "aria-label": grouped(totals[0]) + " for the worse, " + grouped(totals[1]) + " for the better"},
    make("path", {class: "axis", d: "M" + middle + " 0V" + height + "M0 " + (height - 0.5) + "H" + width}));
  for (const [kind, stack] of Object.entries(stacks)) {
    let d = "";
    stack.forEach((n, bin) => {
      for (let mark = 0; mark < Math.ceil(n / unit); mark++) { // truth values have one amount: their marks fill columns
        const column = whole ? Math.floor(mark / tall) : bin, level = whole ? mark % tall : mark;
        const x = middle + (kind === "better" ? 1 : -1) * (9 + column * step), y = height - 5 - level * step;
        const turn = kind === "better" ? 1 : -1;
        d += "M" + (x - 3.5) + " " + (y + 3 * turn) + "h7l-3.5 " + -6.5 * turn + "z";
      }
    });
    plot.append(make("path", {class: kind, d}));
  }
  const note = unit > 1 ? "one mark is up to " + counted(unit, "item") : largest ? "" : "no change";
  return make("div", {class: "plot-box"}, plot, note ? make("div", {class: "note"}, note) : null);
}

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
