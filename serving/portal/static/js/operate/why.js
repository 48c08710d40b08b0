// Why did this associate see this page at that moment?
import { get, id } from "../api.js";
import { h } from "../dom.js";
import { empty, failure, waiting } from "../shell.js";
import { capital, count, FALLBACKS, figure, moment } from "../words.js";
import { associateField, field, source } from "./parts.js";

function groups(features) {
  return h("div", { class: "stack" }, features.map(group => h("details", null, h("summary", null, `${group.title} (${group.facts.length})`), h("dl", { class: "facts" }, group.facts.map(fact => h("div", null, h("dt", null, fact.name), h("dd", null, figure(fact.value))))))));
}

function answer(found) {
  const context = Object.entries(found.context);
  const logged = found.items.some(item => item.features);
  return h("section", { class: "panel stack", "aria-label": "The answer" },
    h("div", { class: "line" }, h("h2", null, moment(found.time)), h("span", { class: "badge break" }, found.associate_id || "nobody named"), found.fallback && h("span", { class: "badge warn", title: FALLBACKS[found.fallback] }, found.fallback)),
    h("p", { class: "faint break" }, `Release ${found.release}, request ${found.request_id}`),
    found.fallback && h("p", null, FALLBACKS[found.fallback]),
    context.length > 0 && h("dl", { class: "facts" }, context.map(([name, value]) => h("div", null, h("dt", null, capital(name)), h("dd", null, value)))),
    h("div", { class: "line" }, h("a", { class: "button low", href: `#/what-if/${id(found.associate_id)}/${found.time}` }, "What if, from here?")),
    h("ol", { class: "ranked" }, found.items.map(item => h("li", { "data-page": item.page_id }, h("b", null, String(item.position)),
      h("div", { class: "stack" }, h("div", null, h("strong", null, item.title), h("span", null, item.reason)), h("span", null, `Source: ${source(item.source)}. Probability of being opened: ${(100 * item.score).toFixed(1)} %.${item.propensity < 1 ? ` Shown here with probability ${figure(item.propensity)}.` : ""}`), item.features && groups(item.features)),
      h("span", { class: "badge" }, item.page_id)))),
    !logged && h("p", { class: "faint small" }, "What the ranker saw is recorded for a share of the answers (WAYMARK_SERVING_LOG_FEATURES), and for those that asked to be explained; not for this one."),
    logged && h("p", { class: "faint small" }, "Numbers as the ranker saw them: scores relative to the best candidate, places, times and counts on a log scale."));
}

export async function show(body, { about, rest }) {
  if (!about.store) return void body.replaceChildren(empty("Answers are not recorded", "This server has no store. Start it with --home, or with --store."));
  const [kind, given = ""] = rest;
  const found = h("div", { class: "stack" });
  const go = (what, value) => { if (value) location.hash = `#/why/${what}/${id(value)}`; };
  const { box, input } = associateField(kind === "associate" ? given : "", value => go("associate", value));
  const request = h("input", { class: "input", maxlength: "64", placeholder: "From an answer or a log", value: kind === "request" ? given : "" });
  body.replaceChildren(
    h("form", { class: "panel form", onsubmit: event => { event.preventDefault(); request.value.trim() && document.activeElement !== input ? go("request", request.value.trim()) : go("associate", input.value.trim()); } }, box, field("or a request id", request), h("button", { class: "button main" }, "Look it up")), found);
  if (!kind) return void found.replaceChildren(empty("Look up an answer", "Choose an associate to see what was shown lately, or give the request id of one answer.", "why"));
  found.replaceChildren(waiting());
  try {
    if (kind === "request") return void found.replaceChildren(answer(await get(`/v1/answers/${id(given)}`)));
    const { answers } = await get(`/v1/associates/${id(given)}/answers?limit=30`);
    found.replaceChildren(...(answers.length ? [h("h2", null, `${count(answers.length, "answer")} to ${given}, newest first`), h("ol", { class: "stack" }, answers.map(one => h("li", { class: "panel stack" },
      h("div", { class: "line" }, h("a", { href: `#/why/request/${id(one.request_id)}` }, moment(one.time)), one.fallback && h("span", { class: "badge warn" }, one.fallback)), h("p", { class: "small faint" }, one.pages.join(" · ")))))]
      : [empty("No answer is kept", "This associate has not been answered lately, or asked to be forgotten.")]));
  } catch (error) { found.replaceChildren(error.status === 404 ? empty("No such answer", "Answers are kept for a while only. Check the request id, or look by associate.") : failure(error)); }
}
