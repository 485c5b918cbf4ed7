"""A run against another, item by item: the figures of each metric, and a plot of the items that changed."""
from __future__ import annotations

TWO_RUNS = r"""
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
"""
