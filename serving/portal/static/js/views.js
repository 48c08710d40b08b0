// The views of the portal: home, one page, search.
import { get, id, pageDetails } from "./api.js";
import { card, lead, meta, row } from "./cards.js";
import { cover } from "./cover.js";
import { h, icon } from "./dom.js";
import { act, now, refresh, session, when } from "./session.js";
import { announce, empty, failure, toast, waiting } from "./shell.js";
import { capital, count, day, FALLBACKS, minutes } from "./words.js";

const origin = (_, place) => ({ request_id: session.answer.request_id, release: session.answer.release, position: place + 1 });

function greeting() {
  const hour = new Date(1000 * when()).getUTCHours();
  return hour < 4 ? "Hello" : hour < 12 ? "Good morning" : hour < 18 ? "Good afternoon" : "Good evening";
}

function hello(first) {
  const { profile, answer, guest } = session;
  const attributes = { ...profile?.attributes };
  if (session.role) attributes.role = session.role;
  if (session.shift) attributes.shift = session.shift;
  const labels = [attributes.role && capital(attributes.role), attributes.shift && `${capital(attributes.shift)} shift`, attributes.department && capital(attributes.department), attributes.store && `Store ${attributes.store}`, attributes.region].filter(Boolean);
  const words = answer.fallback === "cold_start" ? "Nothing is known of you yet, so these pages rest on your role, your shift and what is popular. Open one: the rows follow at once."
    : "Picked from what you opened, what your colleagues open next, and what is popular around you now.";
  return h("section", { class: "hello", "aria-labelledby": "greeting" },
    h("div", { class: "words" },
      h("h1", { id: "greeting", tabindex: "-1" }, `${greeting()}${guest ? ", and welcome" : ""}`), h("p", null, words),
      h("ul", { class: "facts" }, labels.map(text => h("li", { class: "badge" }, text)), profile && h("li", { class: "badge good" }, `${count(profile.opened, "page")} opened`))),
    first && lead(first, origin(first, 0)));
}

/** The rows as they are now. Keeps where each row was scrolled to, and the place that had the focus. */
export function home(main) {
  const { answer, profile } = session;
  const scrolled = new Map([...main.querySelectorAll("[data-row]")].map(one => [one.dataset.row, one.querySelector(".cards").scrollLeft]));
  const active = main.contains(document.activeElement) ? document.activeElement : null;
  const focused = active?.closest("[data-row]")?.dataset.row;
  const place = focused ? [...active.closest(".cards")?.children ?? []].indexOf(active.closest("li")) : -1;
  const inLead = active?.closest(".lead");
  const [list, ...others] = answer.carousels.length ? answer.carousels : [{ key: "for_you", title: "For you", items: answer.items }];
  const first = list?.key === "for_you" ? list.items[0] : null;
  const rest = first ? list.items.slice(1) : list?.items ?? [];
  const at = key => key === focused && place >= 0 ? place : undefined;
  const parts = [hello(first)];
  if (answer.fallback && answer.fallback !== "cold_start") parts.push(empty("Less than usual", FALLBACKS[answer.fallback] ?? answer.fallback, "info", "warn"));
  if (!first && !rest.length) parts.push(empty("Nothing new for you", "Every page that fits was opened or taken out. Search the pages, or come back after the next release."));
  if (rest.length) parts.push(row({ ...list, items: rest }, (item, i) => origin(item, i + (first ? 1 : 0)), at(list.key)));
  for (const one of others) parts.push(row(one, origin, at(one.key)));
  if (profile?.history.length) parts.push(row({ key: "history", title: "Opened lately", reason: "What the rows above start from", items: profile.history.slice(0, 12) }, null, at("history")));
  main.replaceChildren(...parts);
  if (inLead) main.querySelector(".lead h3 a")?.focus({ preventScroll: true });
  for (const [key, left] of scrolled) { const list = main.querySelector(`[data-row="${CSS.escape(key)}"] .cards`); if (list) list.scrollLeft = left; }
}

function rating(page_id, from) {
  const box = h("fieldset", { class: "stars" }, h("legend", null, "How useful is it?"),
    h("div", null, [1, 2, 3, 4, 5].map(value => h("label", null, h("input", {
      type: "radio", name: "stars", class: "unseen", value: String(value), "aria-label": count(value, "star"),
      onchange: () => act("rating", page_id, from, { rating: value }).then(() => toast("Thank you. Your rating counts from now on."), error => toast(error.message)),
    }), icon("star")))));
  return box;
}

function toggle(label, look, type, page_id, from) {
  const button = h("button", { class: "button", type: "button", "aria-pressed": "false", onclick: async () => {
    button.disabled = true;
    try { await act(type, page_id, from); button.setAttribute("aria-pressed", "true"); toast(`${label}d`); }
    catch (error) { button.disabled = false; toast(error.message); }
  } }, icon(look), label);
  return button;
}

function next() {
  const rows = session.answer?.carousels ?? [];
  const items = rows[0]?.items.slice(0, 8) ?? [];
  return items.length ? row({ key: "next", title: "Next for you", reason: "As of a moment ago: it knows what you just did", items }, origin) : null;
}

/** One page. Opening it is a view: sent once, and the next rows know of it. */
export async function page(main, page_id, current) {
  main.replaceChildren(waiting("16rem"), waiting("20rem"));
  let found;
  try { found = await get(`/v1/pages/${id(page_id)}`); }
  catch (error) {
    if (!current()) return;
    return main.replaceChildren(error.status === 404 ? empty("No such page", "The release that is served does not hold it; it may have been retired.") : failure(error, () => page(main, page_id, current)), h("p", null, h("a", { href: "#/" }, "Back to the rows")));
  }
  await pageDetails(found.similar.map(one => one.page_id));
  if (!current()) return;
  const from = session.origin?.page_id === page_id ? session.origin : null;
  session.origin = null;
  const opened = now();
  const complete = h("button", { class: "button main", type: "button", onclick: async () => {
    complete.disabled = true;
    try {
      await act("complete", page_id, from, { progress: 1, dwell_seconds: Math.max(Math.round(now() - opened), 1) });
      complete.replaceChildren(icon("done"), "Completed"); complete.classList.remove("main"); toast("Completed. The rows moved on.");
    } catch (error) { complete.disabled = false; toast(error.message); }
  } }, icon("done"), "Mark as complete");
  const facts = [["Topic", found.topic && capital(found.topic)], ["Format", found.format && capital(found.format)], ["Takes", minutes(found.duration_seconds)],
    ["Since", found.published_at && day(Date.parse(found.published_at) / 1000)], ["For", found.roles.length ? found.roles.join(", ") : "everybody"],
    ["Required for", found.mandatory_for.join(", ")], ["Due within", found.due_days && count(found.due_days, "day")], ["Again after", found.recertify_days && count(found.recertify_days, "day")]].filter(([, value]) => value);
  const upNext = h("div", { id: "next" }, next());
  const title = h("h1", { tabindex: "-1" }, found.title || found.page_id);
  main.replaceChildren(
    h("p", null, h("a", { class: "button quiet low", href: "#/" }, icon("back"), "All rows")),
    h("article", { class: "reading" },
      h("div", { class: "stack" }, cover(found), title, h("p", { class: "faint" }, meta(found)),
        found.retired && empty("Retired", "This page is not recommended any more.", "info", "warn"),
        h("p", { class: "body" }, found.body || "This page has no text in the catalogue.")),
      h("aside", { class: "stack" },
        h("div", { class: "panel stack" }, h("h2", null, "Done with it?"),
          session.about.store ? [complete, rating(page_id, from), h("div", { class: "line" }, toggle("Like", "heart", "like", page_id, from), toggle("Save", "mark", "bookmark", page_id, from)),
            h("button", { class: "button quiet low", type: "button", onclick: () => act("skip", page_id, from).then(() => { toast("Taken out. The rows moved on."); location.hash = "#/"; }, error => toast(error.message)) }, "Not for me")]
            : h("p", { class: "faint" }, "This server takes no events: it has no store.")),
        h("div", { class: "panel stack" }, h("h2", null, "About"), h("dl", null, facts.map(([name, value]) => [h("dt", null, name), h("dd", null, value)])),
          found.prerequisites.length > 0 && h("div", { class: "stack" }, h("h3", null, "Do first"), h("ul", null, found.prerequisites.map(one => h("li", null, h("a", { href: `#/page/${encodeURIComponent(one.page_id)}` }, one.title || one.page_id))))))),
    ),
    found.similar.length ? row({ key: "similar", title: "About the same", reason: "By topic and text", items: found.similar }) : h("span", { hidden: true }),
    upNext);
  document.title = `${found.title || found.page_id} · Waymark`;
  title.focus({ preventScroll: true });
  scrollTo(0, 0);
  const renew = () => { if (current()) upNext.replaceChildren(...[next()].filter(Boolean)); };
  try {
    if (session.about.store) await act("view", page_id, from);
    else if (!session.answer) await refresh();
  } catch (error) { if (current()) toast(error.message); }
  renew();
  return renew;
}

/** Pages that a query finds. */
export async function search(main, query, current) {
  const title = h("h1", { tabindex: "-1" }, query ? `Pages for '${query}'` : "Search the pages");
  main.replaceChildren(title, waiting("14rem"));
  title.focus({ preventScroll: true });
  try {
    const found = await get(`/v1/pages?query=${id(query)}&limit=60`);
    await pageDetails(found.pages.map(one => one.page_id));
    if (!current()) return;
    document.title = `${query} · Waymark`;
    const words = found.total ? `${count(found.total, "page")} found${found.total > found.pages.length ? `, the first ${found.pages.length} here` : ""}` : "";
    main.replaceChildren(h("p", null, h("a", { class: "button quiet low", href: "#/" }, icon("back"), "All rows")), title,
      ...(found.total ? [h("p", { class: "faint" }, words), h("ul", { class: "cards wrap" }, found.pages.map(one => card(one)))]
        : [empty("Nothing found", "No title, topic or id holds all of these words. Try fewer, or the beginning of a word.", "search")]));
    title.focus({ preventScroll: true });
    announce(words || "Nothing found");
  } catch (error) { if (current()) main.replaceChildren(title, failure(error, () => search(main, query, current))); }
}
