// "Why this?": the reason, the page it rests on, what moved the score.
import { predict } from "./api.js";
import { h } from "./dom.js";
import { instance, session } from "./session.js";
import { dialog, failure, waiting } from "./shell.js";
import { SOURCES } from "./words.js";

/** Bars of what speaks for and against a page. */
function effects(contributions) {
  const rows = Object.entries(contributions).filter(([, value]) => Math.abs(value) >= 0.005);
  const most = Math.max(0.5, ...rows.map(([, value]) => Math.abs(value)));
  return h("div", { class: "stack", role: "list", "aria-label": "What moved its place" }, rows.map(([key, value]) =>
    h("div", { class: `bar both ${value < 0 ? "against" : ""}`, role: "listitem", vars: { share: (Math.abs(value) / most).toFixed(3) } },
      h("span", null, session.about.groups[key] ?? key), h("i"), h("b", null, `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}`, h("span", { class: "unseen" }, value > 0 ? " for it" : " against it")))));
}

/** What rules did to a page. */
const moves = found => found?.length ? h("ul", { class: "stack" }, found.map(move => h("li", null, h("strong", null, move.rule), ` ${move.effect}`))) : null;

function evidence(item) {
  return h("div", { class: "stack" },
    h("p", null, h("strong", null, item.reason)),
    item.evidence && h("p", null, "It rests on ", h("a", { href: `#/page/${encodeURIComponent(item.evidence.page_id)}`, onclick: click => click.target.closest("dialog")?.close() }, item.evidence.title || item.evidence.page_id), ", which was opened before."),
    h("p", { class: "faint" }, `Source: ${SOURCES[item.source] ?? item.source}.`));
}

export function why(item) {
  const more = h("div", { class: "stack" }, waiting());
  const ask = async () => {
    try {
      // Asked for by its own: the explanation costs more than the list.
      const answer = await predict(instance({ explain: true, limit: 100 }));
      const found = answer.items.find(one => one.page_id === item.page_id);
      more.replaceChildren(...[
        found?.contributions && h("h3", null, "What moved its place"), found?.contributions && effects(found.contributions),
        found?.contributions && h("p", { class: "faint small" }, "Each bar is how much the ranker's score would change without this group. Groups act together, so the bars do not add up."),
        found?.moves?.length && h("h3", null, "What the rules did"), moves(found?.moves),
        !found && h("p", { class: "faint" }, "It is on this row alone, and not among the first hundred of the list."),
      ].filter(Boolean));
    } catch (error) { more.replaceChildren(failure(error, ask)); }
  };
  ask();
  return dialog(`Why '${item.title || item.page_id}'?`, h("div", { class: "stack" }, evidence(item), more));
}
