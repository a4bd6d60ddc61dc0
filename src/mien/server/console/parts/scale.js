// Charts: scores on the calibrated scale, and bars over time. SVG, drawn anew when its room changes.

import { h, s } from "./dom.js";
import { score as shown } from "./words.js";

const HEIGHT = 230;
// Where a scale without histograms begins: scores below tell nothing more.
const LOWEST = -0.3;
const PAD = { left: 12, right: 12, top: 34, bottom: 46 };

/** An SVG that is redrawn at its own pixels; its height is fixed, so that nothing jumps. */
function responsive(height, label, draw) {
  const svg = s("svg", { class: "chart", role: "img", "aria-label": label, height });
  const redraw = () => {
    const width = Math.floor(svg.clientWidth);
    if (!width) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren(...draw(width).filter(Boolean));
  };
  new ResizeObserver(redraw).observe(svg);
  return svg;
}

function outline(edges, heights, x, y) {
  const steps = heights.map((value, k) => `L${x(edges[k])} ${y(value)}L${x(edges[k + 1])} ${y(value)}`);
  return `M${x(edges[0])} ${y(0)}${steps.join("")}L${x(edges.at(-1))} ${y(0)}Z`;
}

/** Shares of a histogram's counts, each curve of its own area 1. */
function shares(counts) {
  const total = counts.reduce((sum, value) => sum + value, 0);
  return counts.map((value) => (total > 0 ? value / total : 0));
}

function ticks(low, high) {
  const all = [];
  const step = high - low > 0.7 ? 0.2 : 0.1;
  for (let tick = Math.ceil(low / step - 1e-9); tick * step <= high + 1e-9; tick += 1) all.push(tick * step);
  return all;
}

/** A label that stays inside the chart. */
function flag(at, row, text, kind, width) {
  const half = text.length * 3.6 + 6;
  const middle = Math.min(Math.max(at, half), width - half);
  return s("text", { x: middle, y: row, class: `flag ${kind}`, "text-anchor": "middle" }, text);
}

/** The caption of the scale, by what is drawn behind the needle. */
function legend(histograms, curve) {
  if (histograms) return [h("span", { class: "key non-mated" }, "different people"), h("span", { class: "key mated" }, "the same person")];
  return curve.length ? h("span", { class: "key mated" }, "probability of the same person, from 0 to 1") : "This model has no calibration.";
}

/**
 * The scale of scores, with what mated and non-mated comparisons give behind it.
 *
 * A calibration without histograms shows its curve of probabilities instead.
 *
 * @param {{calibration: {histograms: {edges: number[], mated: number[], non_mated: number[]}|null, curve: {score: number, probability: number}[]}|null, threshold: number, score?: number|null}} facts
 */
export function scoreScale({ calibration, threshold, score = null }) {
  const histograms = calibration?.histograms ?? null;
  const curve = histograms ? [] : (calibration?.curve ?? []).filter((point) => point.score >= LOWEST);
  const low = Math.min(histograms ? histograms.edges[0] : LOWEST, score ?? threshold, threshold);
  const high = histograms ? histograms.edges.at(-1) : 1;
  const mated = histograms ? shares(histograms.mated) : [];
  const others = histograms ? shares(histograms.non_mated) : [];
  const most = Math.max(...mated, ...others, 1e-9);
  const text = score === null ? `Threshold ${shown(threshold)} on the scale of scores.`
    : `Score ${shown(score)}, threshold ${shown(threshold)}: ${score >= threshold ? "above" : "below"} the threshold.`;
  const svg = responsive(HEIGHT, text, (width) => {
    const x = (value) => PAD.left + ((value - low) / (high - low)) * (width - PAD.left - PAD.right);
    const floor = HEIGHT - PAD.bottom;
    const y = (value) => floor - (value / most) * (floor - PAD.top - 8);
    const at = x(threshold);
    return [
      histograms && s("path", { class: "non-mated", d: outline(histograms.edges, others, x, y) }),
      histograms && s("path", { class: "mated", d: outline(histograms.edges, mated, x, y) }),
      curve.length > 1 && s("path", { class: "mated", d: `M${x(curve[0].score)} ${floor}${curve.map((point) => `L${x(point.score)} ${floor - point.probability * (floor - PAD.top - 8)}`).join("")}L${x(curve.at(-1).score)} ${floor}Z` }),
      s("line", { class: "axis", x1: PAD.left, x2: width - PAD.right, y1: floor, y2: floor }),
      ...ticks(low, high).map((tick) => s("text", { class: "tick", x: x(tick), y: floor + 16, "text-anchor": "middle" }, tick.toFixed(1))),
      s("line", { class: "limit", x1: at, x2: at, y1: PAD.top, y2: floor }),
      flag(at, floor + 36, `threshold ${shown(threshold)}`, "limit", width),
      score !== null && s("line", { class: "needle", x1: x(score), x2: x(score), y1: PAD.top - 6, y2: floor }),
      score !== null && s("circle", { class: "needle", cx: x(score), cy: floor, r: 5 }),
      score !== null && flag(x(score), 18, `score ${shown(score)}`, "needle", width),
    ];
  });
  return h("figure", { class: "scale" }, svg,
    h("figcaption", { class: "legend" }, legend(histograms, curve)));
}

/** Small bars over time. */
export function bars(values, label) {
  const tall = 40;
  const most = Math.max(...values, 1);
  return responsive(tall, label, (width) => {
    const step = width / values.length;
    return values.map((value, k) => {
      const high = value > 0 ? Math.max(2, (value / most) * (tall - 4)) : 1;
      return s("rect", { class: value > 0 ? "bar-on" : "bar-off", x: k * step + 0.5, y: tall - high, width: Math.max(1, step - 1.5), height: high, rx: 1 });
    });
  });
}
