// Makes elements. Text is always text: nothing here, or anywhere in the portal, parses HTML.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, one] of Object.entries(value)) element.style.setProperty(`--${key}`, one);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

/** An element: h("p", {class: "faint"}, "text", other). */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
/** The same in SVG. */
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

const ICONS = {
  sun: "M12 4V2m0 20v-2m8-8h2M2 12h2m13.7-5.7 1.4-1.4M4.9 19.1l1.4-1.4m0-11.4L4.9 4.9m14.2 14.2-1.4-1.4M16 12a4 4 0 1 1-8 0 4 4 0 0 1 8 0z",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  search: "M11 18a7 7 0 1 1 0-14 7 7 0 0 1 0 14zm5.2-1.8L21 21",
  video: "M8 5.5v13l11-6.5z", article: "M6 3h8l4 4v14H6zM9 12h6M9 16h6M9 8h2",
  checklist: "M4 6l1.5 1.5L8 5M4 12l1.5 1.5L8 11M4 18l1.5 1.5L8 17M12 6h8M12 12h8M12 18h8",
  quiz: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4m0 3v.2", simulation: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  news: "M4 10v4h3l7 4V6l-7 4zM17 9.5a4 4 0 0 1 0 5M7 14v5h3v-3.5", page: "M6 3h12v18H6z",
  left: "M15 5l-7 7 7 7", right: "M9 5l7 7-7 7", up: "M12 19V5m-6 6 6-6 6 6", down: "M12 5v14m-6-6 6 6 6-6", same: "M6 10h12M6 14h12",
  close: "M6 6l12 12M18 6 6 18", back: "M19 12H5m6-6-6 6 6 6", spark: "M12 3l2 6.5L20.5 12 14 14.5 12 21l-2-6.5L3.5 12 10 9.5z",
  star: "M12 3.5l2.6 5.4 5.9.8-4.3 4.1 1.1 5.9-5.3-2.9-5.3 2.9 1.1-5.9L3.5 9.7l5.9-.8z",
  heart: "M12 20s-7.5-4.6-7.5-10A4.2 4.2 0 0 1 12 7.5 4.2 4.2 0 0 1 19.5 10c0 5.4-7.5 10-7.5 10z", mark: "M7 4h10v16l-5-4-5 4z",
  done: "M5 12.5l4.5 4.5L19 7.5", warn: "M12 4 2.5 20h19zM12 10v4m0 3v.2", info: "M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18zm0-10v6m0-9v.2",
  pulse: "M3 12h4l3-8 4 16 3-8h4", layers: "M12 3l9 5-9 5-9-5zM3 13l9 5 9-5", why: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4m0 3v.2M12 22a10 10 0 1 1 0-20 10 10 0 0 1 0 20z",
  sliders: "M4 7h9m4 0h3M4 17h3m4 0h9M15 5v4M9 15v4", shield: "M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6zM8.5 12l2.5 2.5 4.5-5", rules: "M5 4h14v16H5zM8 9h8M8 13h8M8 17h4", file: "M6 3h8l4 4v14H6zM14 3v4h4",
};

/** A small drawing, hidden from screen readers: the words beside it say it. */
export const icon = name => s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: ICONS[name] ?? ICONS.page }));
export const hasIcon = name => name in ICONS;

/** A random name that nobody guesses; also where the page is not served over TLS. */
export function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), one => one.toString(16).padStart(2, "0")).join("");
}

/** Calls `act` once `ms` have passed without another call. */
export function later(act, ms) {
  let timer;
  return (...given) => { clearTimeout(timer); timer = setTimeout(() => act(...given), ms); };
}
