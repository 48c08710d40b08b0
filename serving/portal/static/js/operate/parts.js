// What several parts of the operator's side use.
import { get, id, post } from "../api.js";
import { combobox } from "../combobox.js";
import { h } from "../dom.js";
import { SOURCES } from "../words.js";

/** A field that suggests associates. */
export function associateField(value, done, label = "Associate") {
  const input = h("input", { class: "input", maxlength: "256", placeholder: "An id", value });
  const box = h("label", { class: "field" }, label, input);
  combobox(input, {
    load: async text => (await get(`/v1/associates?query=${id(text === value ? "" : text)}&limit=12`)).associates.map(one => ({ value: one.associate_id, label: one.associate_id, note: [one.role, one.shift].filter(Boolean).join(", ") })),
    pick: choice => { input.value = choice.value; done?.(choice.value); }, enter: text => done?.(text),
  });
  return { box, input };
}

export function selectField(label, options, value = "") {
  const input = h("select", { class: "input" }, options.map(([key, text]) => h("option", { value: key }, text)));
  input.value = value;
  return { box: h("label", { class: "field" }, label, input), input };
}

export const field = (label, input) => h("label", { class: "field" }, label, input);

/** Seconds for a moment typed into datetime-local, read as UTC; and back. */
export const seconds = text => Date.parse(`${text}Z`) / 1000;
export const local = at => new Date(1000 * at).toISOString().slice(0, 16);

/** The list that a question would get by the rules in force and others. A preview: it is neither recorded nor counted. */
export async function preview(instance, rules = {}) {
  return post("/v1/rules/preview", { rules, instance });
}

/** A ranked list. `note(item, place)` gives what stands at the right, `more(item)` what stands below. */
export function ranked(items, note, more) {
  return h("ol", { class: "ranked" }, items.map((item, place) => h("li", { "data-page": item.page_id }, h("b", null, String(place + 1)),
    h("div", null, h("strong", null, item.title || item.page_id), h("span", null, item.reason), more?.(item)), note?.(item, place))));
}

/** By how much a page moved, in words and with a sign, not by colour alone. */
export function moved(before, after) {
  if (before === undefined || before === null) return h("span", { class: "badge good" }, "+ new");
  if (after === undefined || after === null) return h("span", { class: "badge bad" }, "− gone");
  if (after === before) return h("span", { class: "badge" }, "same place");
  return after < before ? h("span", { class: "badge good" }, `▲ up ${before - after}`) : h("span", { class: "badge warn" }, `▼ down ${after - before}`);
}
export const places = items => new Map(items.map((item, place) => [item.page_id, place + 1]));
export const source = name => SOURCES[name] ?? name;

export function table(caption, head, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", null, h("caption", null, caption),
    h("thead", null, h("tr", null, head.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)))),
    h("tbody", null, rows.map(cells => h("tr", null, cells.map((cell, i) => i ? h("td", { class: head[i][1] }, cell) : h("th", { scope: "row" }, cell)))))));
}
