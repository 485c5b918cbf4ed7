"""A row of the table, and how it is opened and reached: by a click, or by keys."""
from __future__ import annotations

ROW = r"""
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
"""
