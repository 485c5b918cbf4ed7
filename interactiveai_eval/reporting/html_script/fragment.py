"""What is chosen and opened, kept in the fragment of the address."""
from __future__ import annotations

FRAGMENT = r"""
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
"""
