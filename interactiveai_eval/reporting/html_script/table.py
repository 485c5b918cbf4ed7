"""The one table of items: its head, its order, and its rows, drawn as they are scrolled to."""
from __future__ import annotations

TABLE = r"""
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
"""
