// Releases: what they are, two beside each other, and making another one current.
import { get, id, post } from "../api.js";
import { h, icon } from "../dom.js";
import { dialog, empty, failure, toast } from "../shell.js";
import { count, figure, size, stamp } from "../words.js";
import { table } from "./parts.js";
import { openReport } from "./quality.js";

const HEADLINES = [["ndcg", "NDCG@10"], ["hr", "Hit rate@10"], ["auc", "AUC"], ["calibration_error", "Calibration error"], ["lift_over_best_source", "Lift over the best source"], ["coverage", "Catalogue shown"]];
const LOWER = new Set(["log_loss", "calibration_error"]);
const COMPARED = [["ndcg", "NDCG@10"], ["hr", "Hit rate@10"], ["mrr", "MRR@10"], ["auc", "AUC"], ["log_loss", "Log loss"], ["calibration_error", "Calibration error"], ["shortlist_recall", "Recall of the shortlist"], ["coverage", "Catalogue shown"], ["lift_over_best_source", "Lift over the best source"], ["true_preference", "True preference"]];
const KINDS = { bootstrap: "from scratch", daily: "daily candidates", weekly: "weekly embeddings", monthly: "monthly ranker" };
const facts = pairs => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));

async function publish(release, now, older, again) {
  const ndcg = [now?.metrics.ndcg, release.metrics.ndcg];
  const content = h("div", { class: "stack" },
    h("p", null, h("strong", null, release.name), " will answer from now on", now ? [" instead of ", h("strong", null, now.name)] : "", "."),
    h("ul", { class: "stack" },
      h("li", null, `Made ${stamp(release.created)} (${KINDS[release.kind] ?? release.kind})${older ? ": older than what answers now." : "."}`),
      ndcg.every(Number.isFinite) && h("li", null, `NDCG@10 of ${figure(release.metrics.ndcg)}; ${figure(now.metrics.ndcg)} now.`),
      h("li", null, "Its files are checked first; if one is damaged, nothing changes."),
      h("li", null, "Every server of this HOME loads it within seconds. Requests under way end with the old one. Events and rules stay.")),
    now && h("p", { class: "faint small" }, `To undo it, publish ${now.name} again.`));
  if (!await dialog(older ? "Roll back?" : "Publish?", content, [["Cancel", null], [older ? "Roll back" : "Publish", true, "danger"]])) return;
  try {
    await post(`/v1/releases/${id(release.name)}:publish`);
    toast(`${release.name} is current; the server loads it.`);
    const until = Date.now() + 60000;
    for (;;) {
      const found = (await get("/v1/releases")).releases.find(one => one.name === release.name);
      if (found?.serving || Date.now() > until) { if (found?.serving) toast(`${release.name} answers.`); break; }
      await new Promise(resolve => { setTimeout(resolve, 500); });
    }
  } catch (error) { toast(error.message); }
  again();
}

function panel(release, releases, body, again) {
  const now = releases.find(one => one.serving), { lineage } = release;
  // The list has the newest first.
  const older = now && releases.indexOf(release) > releases.indexOf(now);
  const previous = releases.find(one => one.name === lineage.parent);
  const inherited = Object.entries(lineage.inherited);
  const more = h("details", { ontoggle: async () => {
    if (!more.open || more.children.length > 1) return;
    try {
      const found = await get(`/v1/releases/${id(release.name)}`);
      more.append(h("div", { class: "stack" }, facts([["Files", count(found.files, "file")], ["Size", size(found.bytes)], ["Digest", found.digest.slice(0, 16)], ["Code", lineage.code], ["Run", lineage.run], ["Data", lineage.data.span ? lineage.data.span.map(one => new Date(1000 * one).toISOString().slice(0, 10)).join(" to ") : null]]),
        found.reports.length > 0 && h("div", { class: "line" }, found.reports.map(kind => openReport(release.name, kind))),
        h("p", { class: "small faint" }, inherited.length ? `Taken over: ${inherited.map(([part, from]) => `${part} from ${from}`).join(", ")}.` : "Every part was made for this release.")));
    } catch (error) { more.append(failure(error)); }
  } }, h("summary", null, "Lineage and files"));
  return h("section", { class: `panel release ${release.serving ? "on" : ""}`, "aria-label": `Release ${release.name}` },
    h("header", null,
      h("div", { class: "line" }, h("h2", { class: "break" }, release.name), release.serving && h("span", { class: "badge good" }, icon("done"), "answers now"), release.current && !release.serving && h("span", { class: "badge warn" }, "current, being loaded")),
      h("div", { class: "line" }, releases.length > 1 && h("a", { class: "button low", href: `#/releases/${id((previous && previous !== release ? previous : now !== release ? now : releases.find(one => one !== release)).name)}/${id(release.name)}` }, "Compare"),
        !release.current && h("button", { class: "button low", type: "button", onclick: () => publish(release, now, older, again) }, older ? "Roll back to it" : "Publish"))),
    h("p", { class: "faint" }, `Made ${stamp(release.created)}, ${KINDS[release.kind] ?? release.kind}${lineage.parent ? `, after ${lineage.parent}` : ""}.`),
    facts(HEADLINES.map(([key, label]) => [label, release.metrics[key] === undefined ? null : figure(release.metrics[key])])), more);
}

const sign = (difference, lower) => { const better = lower ? difference < 0 : difference > 0; return [better ? "better" : "worse", `${better ? "▲" : "▼"} ${better ? "better" : "worse"}`]; };
const signed = value => `${value > 0 ? "+" : value < 0 ? "−" : "±"}${figure(Math.abs(value))}`;

/** One line: both values, the difference, and a verdict where it is clear. */
function line(label, a, b, { lower = false, intervals = null } = {}) {
  if (!Number.isFinite(a) || !Number.isFinite(b)) return [label, figure(a), figure(b), "–", "one lacks it"];
  const difference = b - a;
  const clear = intervals ? intervals[0][1] < intervals[1][0] || intervals[1][1] < intervals[0][0] : Math.abs(difference) > 1e-9;
  const [look, text] = sign(difference, lower);
  const verdict = Math.abs(difference) <= 1e-9 ? "= the same" : clear || !intervals ? h("span", { class: look }, text) : h("span", { class: "faint" }, `≈ ${text.slice(2)}, within the intervals`);
  return [label, figure(a), figure(b), h("span", { class: Math.abs(difference) > 1e-9 && (clear || !intervals) ? look : "" }, signed(difference)), verdict];
}

async function compare(body, names, releases) {
  const [first, second] = await Promise.all(names.map(name => get(`/v1/releases/${id(name)}`)));
  const choose = place => h("label", { class: "field" }, place ? "With" : "Compare", (() => {
    const input = h("select", { class: "input", onchange: () => { const now = [...names]; now[place] = input.value; location.hash = `#/releases/${now.map(id).join("/")}`; } }, releases.map(one => h("option", { value: one.name }, `${one.name}${one.serving ? " (answers now)" : ""}`)));
    input.value = names[place];
    return input;
  })());
  const head = [["", ""], ["First", "n"], ["Second", "n"], ["Difference", "n"], ["Second is", ""]];
  const evaluations = [first.evaluation, second.evaluation];
  const parts = [h("p", null, h("a", { class: "button quiet low", href: "#/releases" }, icon("back"), "All releases")), h("div", { class: "panel form" }, choose(0), choose(1))];
  parts.push(h("section", { class: "panel stack" }, h("h2", null, "As a whole"), table("Figures of both", head, COMPARED.filter(([key]) => key in first.metrics || key in second.metrics).map(([key, label]) => line(label, first.metrics[key], second.metrics[key], { lower: LOWER.has(key) })))));
  if (evaluations.every(Boolean)) {
    const rows = kind => Object.keys({ ...evaluations[0][kind], ...evaluations[1][kind] }).map(name => { const [a, b] = evaluations.map(one => one[kind]?.[name]); return line(name.replaceAll("_", " "), a?.ndcg, b?.ndcg, { intervals: a?.ndcg_interval && b?.ndcg_interval ? [a.ndcg_interval, b.ndcg_interval] : null }); });
    parts.push(h("section", { class: "panel stack" }, h("h2", null, "By cohort"), table("NDCG@10 of each cohort", head, rows("cohorts")), h("p", { class: "faint small" }, "Each was judged on its own holdout. A difference within the 95 % intervals may be chance.")),
      h("section", { class: "panel stack" }, h("h2", null, "By source"), table("NDCG@10 of each source alone", head, rows("sources"))));
  }
  body.replaceChildren(...parts);
}

export async function show(body, { about, rest, current }) {
  if (!about.home) return void body.replaceChildren(empty("One release is mounted", `This server serves ${about.release}. Releases are listed, compared and rolled back where it runs with a HOME (--home); in a cluster, by the rollout.`));
  const draw = async () => {
    const { releases } = await get("/v1/releases");
    if (!current()) return;
    if (rest.length === 2) return compare(body, rest, releases);
    body.replaceChildren(h("p", { class: "faint" }, `${count(releases.length, "release")} kept, newest data first. One answers; the others can be gone back to.`), ...releases.map(one => panel(one, releases, body, draw)));
  };
  await draw();
}
