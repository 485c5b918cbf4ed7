"""The data blocks as runs of rows: read when first shown, paired with the rows of another run, and what filters ask."""
from __future__ import annotations

DATA = r"""
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
"""
