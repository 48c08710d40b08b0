// What validation found in the data, and the reports of each release.
import { get, id, token } from "../api.js";
import { h, icon } from "../dom.js";
import { empty, failure, toast } from "../shell.js";
import { count, day, figure, stamp } from "../words.js";
import { table } from "./parts.js";

const KINDS = { evaluation: "Evaluation report", validation: "Validation report", embeddings: "Map of the pages" };

/** Opens a report. It is of no origin there: the server sends it into a sandbox. With a token it is saved instead. */
export function openReport(release, kind) {
  const path = `/v1/releases/${id(release)}/reports/${kind}`;
  if (!token.get()) return h("a", { class: "button low", href: path, target: "_blank", rel: "noopener" }, icon("file"), KINDS[kind]);
  return h("button", { class: "button low", type: "button", onclick: async () => {
    try {
      const answer = await fetch(path, { headers: { Authorization: `Bearer ${token.get()}` } });
      if (!answer.ok) throw new Error("The report cannot be had.");
      const link = h("a", { href: URL.createObjectURL(await answer.blob()), download: `${release}-${kind}.html` });
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) { toast(error.message); }
  } }, icon("file"), `Save: ${KINDS[kind]}`);
}

function findings(found) {
  if (!found.validated) return empty("Not validated here", "No run has validated data into this HOME.");
  if (!found.findings.length) return empty("The data keep the contract", `The last validation${found.day ? `, of ${found.day},` : ""} found nothing to say.`, "shield");
  const grade = one => one.acknowledged ? h("span", { class: "badge" }, "acknowledged") : one.stops ? h("span", { class: "badge bad" }, "✕ pauses") : h("span", { class: "badge warn" }, "! warns");
  return h("section", { class: "panel stack" }, h("h2", null, `${count(found.findings.length, "finding")}${found.day ? ` on ${found.day}` : ""}`),
    table("What the last validation found", [["Where", ""], ["", ""], ["What", ""], ["What to do", ""]], found.findings.map(one => [one.where ?? "", grade(one), h("div", null, one.what ?? "", h("p", { class: "small faint" }, one.how_far ?? "")), one.acknowledged || one.advice || ""])));
}

function quality(evaluation) {
  const rows = [["two stages", evaluation.two_stage], ["sources blended, no ranker", evaluation.blend], ...Object.entries(evaluation.sources ?? {}).sort((a, b) => b[1].ndcg - a[1].ndcg)].filter(([, one]) => one);
  const most = Math.max(...rows.map(([, one]) => one.ndcg));
  return h("section", { class: "panel stack" }, h("h2", null, "How well it finds the page that is opened next"),
    h("p", { class: "faint small" }, "NDCG@10 on the holdout: the two stages, and each source alone."),
    rows.map(([name, one]) => h("div", { class: "bar", vars: { share: (one.ndcg / most).toFixed(3) } }, h("span", null, name.replaceAll("_", " ")), h("i"), h("b", null, figure(Math.round(1e4 * one.ndcg) / 1e4)))));
}

export async function show(body, { about, current }) {
  if (!about.home) return void body.replaceChildren(empty("One release is mounted", "Findings and reports are beside a HOME (--home); in a cluster they are artifacts of the pipeline's runs."));
  const [found, { releases }] = await Promise.all([
    get("/v1/findings").then(findings, failure), get("/v1/releases")]);
  const details = await Promise.all(releases.map(one => get(`/v1/releases/${id(one.name)}`)));
  if (!current()) return;
  const now = details.find(one => one.serving) ?? details[0];
  const age = about.now - about.last_event;
  body.replaceChildren(
    h("p", null, h("span", { class: `badge ${age > 2 * 86400 ? "warn" : "good"}` }, age > 2 * 86400 ? "! the log ends some days ago" : "✓ the log is fresh"), ` Its last event is of ${day(about.last_event)}.`),
    found, ...(now?.evaluation ? [quality(now.evaluation)] : []),
    h("section", { class: "panel stack" }, h("h2", null, "Reports"), h("ul", { class: "stack" }, details.map(one => h("li", { class: "line" }, h("strong", { class: "break" }, one.name), h("span", { class: "faint small" }, stamp(one.created)),
      one.reports.length ? one.reports.map(kind => openReport(one.name, kind)) : h("span", { class: "faint small" }, "no report is kept with it"))))));
}
