"""What an opened row shows: texts and their differences, errors, metrics, spans as bars, facts."""
from __future__ import annotations

OPENED_ROW = r"""
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
"""
