// The rules: a JSON document, tried on a question before it is put in force.
import { get, id, send } from "../api.js";
import { h, later } from "../dom.js";
import { dialog, failure, toast, waiting } from "../shell.js";
import { capital, count } from "../words.js";
import { associateField, field, local, moved, preview, seconds, selectField } from "./parts.js";

const SNIPPETS = {
  "Pin a page": about => ({ pins: [{ name: "welcome week", page: about.page, position: 1 }] }),
  "Boost a topic": about => ({ boosts: [{ name: "season", pages: { topics: [about.topic] }, factor: 2 }] }),
  "Block a topic": about => ({ blocks: [{ name: "under review", pages: { topics: [about.topic] } }] }),
  "Spread topics": () => ({ topics: { most: 3, first: 10 } }),
};
const text = document => JSON.stringify(document, null, 2);

export async function show(body, { about, current }) {
  let version, inForce;
  const load = async () => { const { data, headers } = await send("GET", "/v1/rules"); inForce = text(data); version = headers.get("etag"); };
  await load();
  const first = about.somebody ?? "";
  if (!current()) return;
  const editor = h("textarea", { class: "input code", id: "document", spellcheck: "false", autocomplete: "off", "aria-describedby": "said", value: inForce });
  const said = h("p", { id: "said", class: "small", role: "status" });
  const result = h("div", { class: "stack" });
  const who = associateField(first, () => tryIt(), "Try it on");
  const shift = selectField("Shift", [["", "Own"], ...(about.attributes.shift ?? []).map(value => [value, capital(value)])]);
  const time = h("input", { class: "input", type: "datetime-local", value: local(about.now - about.last_event > 172800 ? about.last_event + 60 : about.now) });
  const save = h("button", { class: "button main", type: "button", disabled: true, onclick: () => put() }, "Put in force");
  const reset = h("button", { class: "button", type: "button", disabled: true, onclick: () => { editor.value = inForce; tryIt(); } }, "Discard");
  let turn = 0, good = null, shown = [];

  const tell = (message, bad) => {
    said.textContent = message;
    said.className = `small ${bad ? "worse" : "faint"}`;
    editor.setAttribute("aria-invalid", String(bad));
  };
  function parse() {
    try { return JSON.parse(editor.value || "{}"); }
    catch (error) { tell(`✕ Not JSON: ${error.message}`, true); return undefined; }
  }
  function lists(found) {
    const before = new Map(found.before.items.map((item, i) => [item.page_id, i + 1])), after = new Map(found.after.items.map((item, i) => [item.page_id, i + 1]));
    const by = new Map(found.moves.map(move => [move.page_id, move.rules.map(rule => `${rule.rule}: ${rule.effect}`).join("; ")]));
    shown = found.before.items;
    const one = (item, place, note, why) => h("li", { "data-page": item.page_id }, h("b", null, String(place)), h("div", null, h("strong", null, item.title || item.page_id), h("span", null, why || item.reason)), note);
    return [found.warnings.length ? h("div", { class: "notice warn" }, h("ul", { class: "stack" }, found.warnings.map(warning => h("li", null, `! ${warning}`)))) : null,
      h("p", { class: "faint", role: "status" }, found.moves.length ? `${count(found.moves.length, "place")} would change.` : "Nothing would change for this associate."),
      h("div", { class: "sides near" },
        h("section", { class: "stack", "aria-label": "Before" }, h("h3", null, "In force"), h("ol", { class: "ranked" }, found.before.items.map((item, i) => one(item, i + 1, after.has(item.page_id) ? null : moved(i + 1, null))))),
        h("section", { class: "stack", "aria-label": "After" }, h("h3", null, "With these rules"), h("ol", { class: "ranked" }, found.after.items.map((item, i) => one(item, i + 1, moved(before.get(item.page_id), i + 1), by.get(item.page_id))))))].filter(Boolean);
  }
  async function tryIt() {
    const mine = ++turn, rules = parse();
    good = null;
    save.disabled = true;
    reset.disabled = editor.value === inForce;
    if (rules === undefined) return;
    const context = { time: seconds(time.value) };
    if (shift.input.value) context.shift = shift.input.value;
    try {
      const found = await preview({ associate_id: who.input.value.trim() || null, context, limit: 10 }, rules);
      if (mine !== turn || !current()) return;
      good = rules;
      save.disabled = editor.value === inForce;
      tell(editor.value === inForce ? "These are in force." : "✓ Valid. Not in force yet.", false);
      result.replaceChildren(...lists(found));
    } catch (error) {
      if (mine !== turn || !current()) return;
      if (error.status === 400) tell(`✕ ${error.message.replace(/^rules\./, "")}`, true);
      else result.replaceChildren(failure(error, tryIt));
    }
  }
  async function put() {
    if (!good || !await dialog("Put these rules in force?", h("p", null, "They hold for every associate from the next request on, on every server of this store. What was shown stays recorded."), [["Cancel", null], ["Put in force", true, "main"]])) return;
    try {
      const { headers } = await send("PUT", "/v1/rules", good, { headers: version ? { "If-Match": version } : {} });
      version = headers.get("etag");
      inForce = editor.value;
      toast("The rules are in force.");
    } catch (error) {
      if (error.status !== 412) return tell(`✕ ${error.message}`, true);
      const mine = editor.value;
      if (await dialog("Somebody changed the rules meanwhile", h("p", null, "Nothing was overwritten. Load theirs to look at them (yours are copied below the editor's undo), or keep yours here and compare."), [["Keep mine", null], ["Load theirs", true, "main"]])) { await load(); editor.value = inForce; } else { await load(); editor.value = mine; }
    }
    tryIt();
  }
  async function insert(make) {
    const rules = parse();
    if (rules === undefined) return;
    const page = shown.at(-1)?.page_id ?? "P1";
    const topic = (await get(`/v1/pages/${id(page)}`).catch(() => null))?.topic ?? "topic";
    for (const [name, value] of Object.entries(make({ page, topic }))) rules[name] = Array.isArray(value) ? [...rules[name] ?? [], ...value.map(one => ({ ...one, name: unique(rules, one.name) }))] : value;
    editor.value = text(rules);
    editor.focus();
    tryIt();
  }
  const unique = (rules, name) => { const taken = new Set(Object.values(rules).flat().map(one => one?.name)); for (let i = 1; ; i++) { const tried = i > 1 ? `${name} ${i}` : name; if (!taken.has(tried)) return tried; } };

  editor.addEventListener("input", later(tryIt, 350));
  // Tab leaves the editor, as everywhere; two spaces are typed by hand.
  for (const input of [time, shift.input]) input.addEventListener("change", tryIt);
  result.replaceChildren(waiting("20rem"));
  body.replaceChildren(h("p", { class: "faint" }, "What hides a page always wins; then pins, then required pages that are due, then scores with boosts. An empty document means the defaults."),
    h("div", { class: "sides editing" },
      h("section", { class: "panel stack", "aria-label": "The document" }, h("label", { class: "field", for: "document" }, "Rules (JSON)", editor), said,
        h("div", { class: "line" }, save, reset), h("div", { class: "line", role: "group", "aria-label": "Add a rule" }, h("span", { class: "small faint" }, "Add:"), Object.entries(SNIPPETS).map(([label, make]) => h("button", { class: "button low", type: "button", onclick: () => insert(make) }, label)))),
      h("section", { class: "panel stack", "aria-label": "Preview" }, h("h2", null, "Preview"), h("div", { class: "form" }, who.box, shift.box, field("Time (UTC)", time)), result)));
  if (!about.store) { save.hidden = true; tell("This server has no store: rules can be tried, not put in force.", false); }
  await tryIt();
}
