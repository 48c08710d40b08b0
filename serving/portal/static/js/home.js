// The associate's side: who is looking, and which view is shown.
import { get, id, onConnection } from "./api.js";
import { combobox } from "./combobox.js";
import { h, icon } from "./dom.js";
import { begin, look, newGuest, now, onAnswer, refresh, remember, session, stale } from "./session.js";
import { announce, failure, install, waiting } from "./shell.js";
import { capital, count, moment } from "./words.js";
import { home, page, search } from "./views.js";

const main = document.getElementById("main");
const bar = h("form", { class: "viewer", "aria-label": "Who is looking" });
let view = 0, renew = null, ready = false;

const rows = h("div", { class: "stack" });
rows.style.gap = "2rem";

function select(name, label, options) {
  const input = h("select", { class: "input", id: name, onchange: () => { session[name] = input.value; changed(); } }, options.map(([value, text]) => h("option", { value }, text)));
  input.value = session[name];
  return h("label", { class: "field" }, label, input);
}

let drawn = "";
function viewer() {
  const { about } = session;
  // Drawn anew only for somebody else: a person may be typing into it.
  const key = JSON.stringify([session.who, session.guest, session.role, session.shift, session.hour, session.profile?.attributes]);
  if (key === drawn) return;
  drawn = key;
  const who = h("input", { class: "input", id: "associate", maxlength: "256", placeholder: "Somebody new" });
  who.value = session.guest ? "" : session.who;
  const own = name => session.profile?.attributes[name];
  const attribute = name => [["", own(name) ? `Own (${own(name)})` : "Own"], ...(about.attributes[name] ?? []).map(value => [value, capital(value)])];
  const hours = [["", "Now"], ...[6, 9, 12, 15, 18, 22, 2].map(hour => [String(hour), `${String(hour).padStart(2, "0")}:00`])];
  // With a token of one's own there is nobody else to look as.
  const mine = Boolean(about.associate_id);
  bar.replaceChildren(mine ? h("p", { class: "who break" }, `Signed in as ${session.who}`) : h("label", { class: "field who", for: "associate" }, "Look as", who), select("role", "Role", attribute("role")), select("shift", "Shift", attribute("shift")), select("hour", "Time of day", hours),
    ...(mine ? [] : [h("button", { class: "button", type: "button", id: "somebody", onclick: () => { newGuest(); choose(""); } }, "Somebody new")]));
  if (!mine) combobox(who, {
    load: async text => (await get(`/v1/associates?query=${id(text === session.who ? "" : text)}&limit=12`)).associates.map(one => ({ value: one.associate_id, label: one.associate_id, note: [one.role, one.shift && `${one.shift} shift`].filter(Boolean).join(", ") })),
    pick: choice => choose(choice.value), enter: choose,
  });
}
bar.addEventListener("submit", event => event.preventDefault());

function choose(who) {
  session.role = session.shift = "";
  look(who);
  location.hash = "#/";
  changed();
}

async function changed() {
  if (ready) remember();
  const mine = ++view;
  renew = null;
  const { hash } = location;
  const current = () => mine === view;
  const [, kind, rest = ""] = hash.match(/^#\/(page|search)\/(.*)$/s) ?? [];
  let name = rest;
  try { name = decodeURIComponent(rest); } catch { /* Typed by hand. */ }
  try {
    if (!ready) { main.replaceChildren(waiting("5rem"), waiting("17rem"), waiting("15rem")); await begin(); ready = true; }
    if (!current()) return;
    remember();
    if (kind === "search") return await search(main, name, current);
    if (kind === "page") { if (!session.answer) await refresh(); if (current()) renew = await page(main, name, current); return; }
    document.title = "Waymark";
    if (!bar.isConnected) main.replaceChildren(bar, rows);
    if (!session.answer) { if (!bar.children.length) viewer(); rows.replaceChildren(waiting("17rem"), waiting("15rem"), waiting("15rem")); }
    else home(rows);
    await refresh();
    if (current()) announce(session.answer.fallback === "cold_start" ? "Rows for somebody new" : `Rows for ${session.who}`);
  } catch (error) {
    if (!current()) return;
    const again = failure(error, changed);
    if (ready && !kind) { if (!bar.isConnected) main.replaceChildren(bar, rows); rows.replaceChildren(again); } else main.replaceChildren(again);
  }
}

onAnswer(() => {
  const shown = document.activeElement?.closest(".viewer") && document.activeElement.id;
  viewer();
  if (shown) document.getElementById(shown)?.focus({ preventScroll: true });
  if (bar.isConnected) home(rows);
  renew?.();
  performance.mark("waymark.ready");
  const { about, answer } = session;
  document.getElementById("foot").replaceChildren(h("span", null, `Release ${answer.release}`), h("span", null, count(about.pages, "page")),
    h("span", null, stale() ? `Seen as of ${moment(now())}, where its log ends` : moment(now())));
});

document.getElementById("find").append(icon("search"));
document.getElementById("find").addEventListener("submit", event => { event.preventDefault(); });
const query = document.getElementById("query");
const seek = text => { if (text) location.hash = `#/search/${encodeURIComponent(text)}`; };
combobox(query, {
  load: async text => text.length < 2 ? [] : (await get(`/v1/pages?query=${id(text)}&limit=8`)).pages.map(one => ({ value: one.page_id, label: one.title || one.page_id, note: [one.topic, one.format].filter(Boolean).join(" · ") })),
  pick: choice => { query.value = ""; query.blur(); session.origin = null; location.hash = `#/page/${encodeURIComponent(choice.value)}`; }, enter: seek,
});
addEventListener("hashchange", changed);
onConnection(isDown => { if (!isDown) changed(); });
install();
changed();
