// An input that suggests (the ARIA combobox pattern with a list).
import { h, later } from "./dom.js";

let made = 0;
/** `load(text)` gives [{value, label, note}]; `pick(choice)` gets one; `enter(text)` gets what was typed and entered. */
export function combobox(input, { load, pick, enter, wait = 120 }) {
  const name = `suggest-${++made}`;
  const list = h("ul", { class: "suggest", id: name, role: "listbox", hidden: true, "aria-label": "Suggestions" });
  let choices = [], at = -1, turn = 0;
  for (const [key, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": name, autocomplete: "off", spellcheck: "false" })) input.setAttribute(key, value);
  input.after(list);

  const close = () => { turn++; list.hidden = true; at = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };
  const choose = place => { const choice = choices[place]; close(); pick(choice); };
  const mark = place => {
    at = place;
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === at)));
    if (at < 0) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", list.children[at].id);
    list.children[at].scrollIntoView({ block: "nearest" });
  };
  const ask = async () => {
    const mine = ++turn;
    let found;
    try { found = await load(input.value.trim()); } catch { found = []; }
    if (mine !== turn || document.activeElement !== input) return;
    choices = found;
    list.replaceChildren(...found.map((choice, i) => h("li", { id: `${name}-${i}`, role: "option", "aria-selected": "false", onmousedown: event => { event.preventDefault(); choose(i); } }, choice.label, choice.note && h("span", null, choice.note))));
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(Boolean(found.length)));
    mark(-1);
  };
  input.addEventListener("input", later(ask, wait));
  input.addEventListener("focus", () => { input.select(); ask(); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", event => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) return ask();
      const step = event.key === "ArrowDown" ? 1 : -1;
      mark((at + step + choices.length + (at < 0 && step < 0 ? 1 : 0)) % choices.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (!list.hidden && at >= 0) choose(at);
      else { close(); enter(input.value.trim()); }
    } else if (event.key === "Escape" && !list.hidden) { event.preventDefault(); close(); }
  });
}
