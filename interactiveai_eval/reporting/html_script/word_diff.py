"""What two texts differ in, word by word: [[-1 only in the old, 0 in both, 1 only in the new; text], ...]."""
from __future__ import annotations

WORD_DIFF = r"""
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
"""
