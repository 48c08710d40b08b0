// A cover for a page without a picture: its topic's colour, a drawing of its own, its format.
import { h, hasIcon, icon, s } from "./dom.js";

// Without the yellows and olives, on which white cannot be read or which look dull.
const HUES = [6, 22, 38, 52, 132, 146, 160, 176, 192, 208, 224, 240, 256, 270, 286, 302, 320, 340];

function mix(text) {
  let value = 2166136261;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 16777619) >>> 0;
  value = Math.imul(value ^ value >>> 15, 2246822507) >>> 0;
  return (value ^ value >>> 13) >>> 0;
}
function drawer(seed) {
  let state = seed || 1;
  return (low, high) => { state = Math.imul(state ^ state >>> 15, 1 | state) + 0x6d2b79f5 >>> 0; return low + (high - low) * ((state ^ state >>> 14) >>> 0) / 4294967296; };
}
const white = opacity => ({ fill: "#fff", "fill-opacity": opacity.toFixed(2) });
const stroke = (opacity, width) => ({ fill: "none", stroke: "#fff", "stroke-opacity": opacity.toFixed(2), "stroke-width": width.toFixed(1) });

const DRAWINGS = [
  draw => { const x = draw(190, 300), y = draw(20, 150); return [1, 2, 3, 4, 5].map(i => s("circle", { cx: x, cy: y, r: 24 * i, ...stroke(0.3 - 0.04 * i, 9) })); },
  draw => { const height = draw(14, 30), length = draw(70, 120); return [0, 1, 2, 3, 4].map(i => s("path", { d: `M-20 ${40 + 32 * i} q ${length / 2} ${-height} ${length} 0 t ${length} 0 t ${length} 0 t ${length} 0 t ${length} 0`, ...stroke(0.1 + 0.04 * i, 8) })); },
  draw => { const lean = draw(40, 110); return [0, 1, 2, 3].map(i => { const x = draw(110, 320), width = draw(12, 44); return s("path", { d: `M${x} 0h${width}L${x + width - lean} 180h${-width}z`, ...white(draw(0.07, 0.2)) }); }); },
  draw => Array.from({ length: 24 }, (_, i) => { const size = draw(4, 15); return s("circle", { cx: 136 + 34 * (i % 6), cy: 20 + 46 * Math.floor(i / 6), r: size, ...white(draw(0.08, 0.26)) }); }),
  draw => Array.from({ length: 15 }, (_, i) => { const x = 130 + 42 * (i % 5), y = 12 + 56 * Math.floor(i / 5); return s("path", { d: ["M0 0h40a40 40 0 0 1-40 40z", "M40 40H0A40 40 0 0 1 40 0z", "M0 0h40v40z", "M20 0a20 20 0 1 1 0 40z"][Math.floor(draw(0, 4))], transform: `translate(${x} ${y})`, ...white(draw(0.07, 0.24)) }); }),
  draw => { const base = draw(70, 110); return [0, 1, 2].map(i => s("path", { d: `M-10 180V${base + 26 * i + 20}L${draw(50, 110)} ${base + 26 * i - draw(10, 60)}L${draw(140, 200)} ${base + 26 * i + 10}L${draw(220, 290)} ${base + 26 * i - draw(10, 50)}L340 ${base + 26 * i + 20}V180z`, ...white(0.1 + 0.05 * i) })); },
];

/** The hue of a topic: the same everywhere. */
export const hue = topic => HUES[mix(topic || "?") % HUES.length];

export function cover(page) {
  const seed = mix(page.page_id ?? "");
  const shade = hue(page.topic);
  return h("div", { class: "cover", vars: { hue: shade, turn: shade < 60 ? -34 : 30 }, "aria-hidden": "true" },
    s("svg", { class: "art", viewBox: "0 0 320 180", preserveAspectRatio: "xMaxYMid slice" }, DRAWINGS[mix(`drawing of ${page.topic}`) % DRAWINGS.length](drawer(seed))),
    page.format && h("span", { class: "format" }, icon(hasIcon(page.format) ? page.format : "page")),
    page.topic && h("span", { class: "topic" }, page.topic));
}
