"""Nodes of the page, and numbers, differences and durations as text."""
from __future__ import annotations

VALUES = r"""
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
"""
