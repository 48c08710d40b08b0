// Cards and rows of them: links, reasons, impressions, the keyboard.
import { known, tell } from "./api.js";
import { cover } from "./cover.js";
import { h, icon } from "./dom.js";
import { act, event, session } from "./session.js";
import { toast } from "./shell.js";
import { why } from "./why.js";
import { day, minutes } from "./words.js";

const SEEN_MS = 600;
const seen = new Set();
let queue = [], timer = 0;

function impression(item, origin) {
  const key = `${origin.request_id} ${item.page_id}`;
  if (seen.has(key) || !session.about.store) return;
  seen.add(key);
  queue.push(event("impression", item.page_id, origin));
  clearTimeout(timer);
  timer = setTimeout(() => { const now = queue; queue = []; tell(...now).catch(() => {}); }, 800);
}
// A card counts as seen once half of it was in view for a while, and once only.
const pending = new WeakMap();
const watcher = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    clearTimeout(pending.get(target));
    if (isIntersecting) pending.set(target, setTimeout(() => { watcher.unobserve(target); target.seen?.(); }, SEEN_MS));
  }
}, { threshold: 0.5 });
addEventListener("pagehide", () => { if (queue.length) tell(...queue).catch(() => {}); queue = []; });

export const details = item => ({ ...known.get(item.page_id), page_id: item.page_id, title: item.title || known.get(item.page_id)?.title || item.page_id });
export const meta = page => [page.format, minutes(page.duration_seconds)].filter(Boolean).join(" · ");
const link = (page, origin) => h("a", { href: `#/page/${encodeURIComponent(page.page_id)}`, onclick: () => { session.origin = origin ? { ...origin, page_id: page.page_id } : null; } }, page.title);

const reason = item => item.reason && h("p", { class: "reason" }, icon("spark"), h("span", null, item.reason));
// The reason of a required page says its date already.
const due = item => item.due && !/\bdue\b/.test(item.reason ?? "") && h("p", { class: "due" }, `Due ${day(Date.parse(item.due) / 1000)}`);

function skip(item, origin) {
  return async () => {
    try { await act("skip", item.page_id, origin); toast("Taken out. The rows moved on."); } catch (error) { toast(error.message); }
  };
}

/** A card. With an `origin` (the answer and the place in it) it is a recommendation; without, a plain page. */
export function card(item, origin) {
  const page = details(item);
  const box = h("li", { class: "card", "data-page": page.page_id },
    cover(page),
    h("div", { class: "text" }, h("h3", null, link(page, origin)), h("p", { class: "meta" }, meta(page)), reason(item), due(item)),
    origin && h("div", { class: "acts" },
      h("button", { class: "button quiet low", type: "button", "aria-label": `Why this? ${page.title}`, onclick: () => why(item) }, "Why this?"),
      session.about.store && h("button", { class: "button quiet low round", type: "button", "aria-label": `Not for me: ${page.title}`, title: "Not for me", onclick: skip(item, origin) }, icon("close"))));
  if (origin) { box.seen = () => impression(item, origin); watcher.observe(box); }
  return box;
}

/** The first page of the list, larger. */
export function lead(item, origin) {
  const page = details(item);
  const box = h("article", { class: "lead", "data-page": page.page_id }, cover(page),
    h("div", { class: "text" },
      h("p", { class: "small faint" }, "First for you"),
      h("h3", null, link(page, origin)), h("p", { class: "meta small faint" }, meta(page)), reason(item), due(item),
      h("div", { class: "line" },
        h("a", { class: "button main", href: `#/page/${encodeURIComponent(page.page_id)}`, "aria-label": `Open ${page.title}`, onclick: () => { session.origin = { ...origin, page_id: page.page_id }; } }, "Open"),
        h("button", { class: "button quiet", type: "button", "aria-label": `Why this? ${page.title}`, onclick: () => why(item) }, "Why this?"),
        session.about.store && h("button", { class: "button quiet round", type: "button", "aria-label": `Not for me: ${page.title}`, title: "Not for me", onclick: skip(item, origin) }, icon("close")))));
  box.seen = () => impression(item, origin);
  watcher.observe(box);
  return box;
}

/** One stop for Tab; the arrow keys, Home and End go along the row. */
function rove(list) {
  const stops = () => [...list.children].map(one => [...one.querySelectorAll("a, button")]);
  const current = at => stops().forEach((found, i) => found.forEach(one => { one.tabIndex = i === at ? 0 : -1; }));
  current(0);
  list.addEventListener("focusin", ({ target }) => { const at = stops().findIndex(found => found.includes(target)); if (at >= 0) current(at); });
  list.addEventListener("keydown", press => {
    const all = stops(), at = all.findIndex(found => found.includes(document.activeElement));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[press.key];
    if (to === undefined || at < 0) return;
    press.preventDefault();
    const next = all[Math.min(Math.max(to, 0), all.length - 1)];
    next[0].focus({ preventScroll: true });
    next[0].closest("li").scrollIntoView({ block: "nearest", inline: "nearest" });
  });
}

/** A named row. `origin(item, place)` gives where an item comes from; null for plain pages. */
export function row({ key, title, reason: because, items }, origin, focus) {
  const name = `row-${key}`;
  const list = h("ul", { class: "cards", "aria-labelledby": name }, items.map((item, place) => card(item, origin?.(item, place))));
  const turn = (label, way, sign) => h("button", { class: "button round low", type: "button", tabindex: "-1", "aria-hidden": "true", title: label, onclick: () => list.scrollBy({ left: 0.85 * sign * list.clientWidth, behavior: "smooth" }) }, icon(way));
  rove(list);
  const box = h("section", { class: "row", "data-row": key, "aria-labelledby": name },
    h("header", null, h("div", null, h("h2", { id: name }, title), because && h("p", null, because)), h("div", { class: "arrows" }, turn("Back", "left", -1), turn("On", "right", 1))), list);
  if (focus !== undefined) queueMicrotask(() => list.children[Math.min(focus, items.length - 1)]?.querySelector("a")?.focus({ preventScroll: true }));
  return box;
}
