"""The page around the table: choices of runs, filter, modes, theme, and what happens when another run is chosen."""
from __future__ import annotations

PAGE = r"""
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
"""
