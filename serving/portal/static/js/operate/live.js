// Counters of the server, as they move.
import { get } from "../api.js";
import { h, s } from "../dom.js";
import { failure } from "../shell.js";
import { ago, FALLBACKS, milliseconds, moment, SOURCES } from "../words.js";

const EVERY = 2000, KEPT = 90;
const total = counts => Object.values(counts).reduce((sum, one) => sum + one, 0);
const errors = counts => Object.entries(counts).reduce((sum, [status, one]) => sum + (status >= "500" ? one : 0), 0);

/** A quantile from the buckets that filled between two looks; NaN if nothing happened. */
export function quantile(now, before, share) {
  const all = now.count - (before?.count ?? 0);
  if (all <= 0) return NaN;
  let below = 0, low = 0;
  for (let i = 0; i < now.bounds.length; i++) {
    const upTo = now.counts[i] - (before?.counts[i] ?? 0);
    if (upTo >= share * all) return low + (now.bounds[i] - low) * (upTo === below ? 1 : (share * all - below) / (upTo - below));
    [below, low] = [upTo, now.bounds[i]];
  }
  return low;
}

function chart(label, series, unit) {
  const width = 300, height = 88, all = series.flat().filter(Number.isFinite);
  const top = Math.max(...all, 1e-9) * 1.15;
  const line = values => values.map((value, i) => [width * (KEPT - values.length + i) / (KEPT - 1), Number.isFinite(value) ? height - height * value / top : null]);
  const path = points => points.reduce((text, [x, y], i) => y === null ? text : `${text}${i && points[i - 1][1] !== null ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`, "");
  const main = line(series[0]);
  const first = main.find(point => point[1] !== null);
  const latest = all.length ? unit(series[0].findLast(Number.isFinite) ?? 0) : "no data yet";
  return s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${label}, the last ${KEPT * EVERY / 60000} minutes; now ${latest}` },
    s("line", { x1: 0, x2: width, y1: height, y2: height }), s("line", { x1: 0, x2: width, y1: height / 2, y2: height / 2, "stroke-dasharray": "3 4" }),
    first && series.length === 1 && s("path", { class: "area", d: `${path(main)}L${width} ${height}L${first[0].toFixed(1)} ${height}z` }),
    s("path", { d: path(main) }), series[1] && s("path", { class: "second", d: path(line(series[1])) }));
}

const tile = (label, value, ...more) => h("section", { class: "panel tile", "aria-label": label }, h("h2", { class: "small faint" }, label), h("p", { class: "value" }, value), more);

function shares(title, counts, words) {
  const rows = Object.entries(counts).sort((a, b) => b[1] - a[1]).slice(0, 8), all = total(counts) || 1;
  return h("section", { class: "panel stack", "aria-label": title }, h("h2", null, title),
    rows.length ? rows.map(([name, value]) => h("div", { class: "bar", vars: { share: (value / all).toFixed(3) } }, h("span", null, words[name] ?? name), h("i"), h("b", null, value.toLocaleString("en-GB")))) : h("p", { class: "faint" }, "Nothing yet."));
}

const HOW = { none: "full answers", cold_start: "cold starts", no_store: "without the store", blended: "without the ranker", lists: "from precomputed lists", trend: "by trend alone" };
const OUTCOMES = { new: "new", repeated: "known already", rejected: "rejected" };
const KINDS = { impression: "answers seen", view: "answers opened", complete: "answers completed" };

export async function show(body, { current }) {
  let looks = [], timer = 0;
  const draw = () => {
    const now = looks.at(-1);
    // Rates over the last looks, so that single requests do not flicker.
    const pairs = looks.map((look, i) => [look, looks[Math.max(i - 4, 0)]]).slice(1);
    const rate = of => pairs.map(([a, b]) => Math.max(of(a) - of(b), 0) / Math.max(a.time - b.time, 0.1));
    const requests = rate(look => look.recommend.count), events = rate(look => look.events.new ?? 0);
    const half = pairs.map(([a, b]) => quantile(a.recommend, b.recommend, 0.5)), most = pairs.map(([a, b]) => quantile(a.recommend, b.recommend, 0.99));
    const perSecond = value => `${value.toFixed(value < 10 ? 1 : 0)} a second`;
    const failed = errors(now.responses), answered = total(now.responses) || 1, instances = total(now.instances) || 1;
    const lesser = instances - (now.instances.none ?? 0);
    const seen = now.feedback.impression ?? 0, opened = now.feedback.view ?? 0;
    body.replaceChildren(
      h("p", { class: "faint" }, `Since this process began, read every ${EVERY / 1000} seconds. Release ${now.release}, made ${ago(now.time - now.release_created)}, from a log that ends ${moment(now.release_last_event)}.`),
      h("div", { class: "tiles" },
        tile("Recommendations", [(requests.at(-1) ?? 0).toFixed(1), h("small", null, "calls a second")], chart("Calls a second", [requests], perSecond), h("p", { class: "small faint" }, `${now.recommend.count.toLocaleString("en-GB")} in all`)),
        tile("Time to answer", [milliseconds(half.findLast(Number.isFinite) ?? quantile(now.recommend, null, 0.5)), h("small", null, "half of them")], chart("Time to answer", [half, most], milliseconds),
          h("p", { class: "legend" }, h("span", null, h("i"), "half"), h("span", null, h("i", { class: "second" }), `99 in 100: ${milliseconds(most.findLast(Number.isFinite) ?? quantile(now.recommend, null, 0.99))}`))),
        tile("Events", [(events.at(-1) ?? 0).toFixed(1), h("small", null, "new a second")], chart("New events a second", [events], perSecond), h("p", { class: "small faint" }, Object.entries(OUTCOMES).map(([key, text]) => `${(now.events[key] ?? 0).toLocaleString("en-GB")} ${text}`).join(", ")))),
      h("div", { class: "tiles small" },
        tile("Server errors", failed.toLocaleString("en-GB"), h("p", { class: "small" }, h("span", { class: `badge ${failed ? "bad" : "good"}` }, failed ? `▲ ${(100 * failed / answered).toFixed(2)} % of answers` : "✓ none")), h("p", { class: "small faint" }, `${now.in_flight} under way`)),
        tile("Less than the full answer", `${(100 * lesser / instances).toFixed(1)} %`, Object.entries(now.instances).filter(([name]) => name !== "none").map(([name, value]) => h("p", { class: "small", title: FALLBACKS[name] }, `${value.toLocaleString("en-GB")} ${HOW[name] ?? name}`))),
        tile("Store", now.store_down === null ? "None" : now.store_down ? "Away" : "Up", h("p", { class: "small" }, h("span", { class: `badge ${now.store_down ? "bad" : now.store_down === null ? "" : "good"}` }, now.store_down === null ? "events are not kept" : now.store_down ? "✕ answers do without it" : "✓ answers")), h("p", { class: "small faint" }, now.log_age_seconds === null ? "" : `its log was read ${ago(now.log_age_seconds)}; ${now.store_errors} errors`)),
        tile("Opened of those seen", seen ? `${(100 * opened / seen).toFixed(1)} %` : "–", Object.entries(KINDS).map(([key, text]) => h("p", { class: "small faint" }, `${(now.feedback[key] ?? 0).toLocaleString("en-GB")} ${text}`)))),
      h("div", { class: "tiles wide" },
        shares("Pages shown, by the source that found them", now.items, SOURCES),
        h("section", { class: "panel stack", "aria-label": "Where the time goes" }, h("h2", null, "Where the time goes"), Object.entries(now.stages).map(([name, mean]) => h("div", { class: "bar", vars: { share: (mean / (Math.max(...Object.values(now.stages)) || 1)).toFixed(3) } }, h("span", null, name), h("i"), h("b", null, milliseconds(mean)))))));
  };
  const look = async () => {
    try {
      looks = [...looks, await get("/v1/metrics")].slice(-KEPT);
      if (!current()) return;
      if (looks.length > 1 && looks.at(-1).recommend.count < looks.at(-2).recommend.count) looks = looks.slice(-1);
      draw();
    } catch (error) { if (!current()) return; if (!looks.length) { body.replaceChildren(failure(error, look)); return; } }
    if (current()) timer = setTimeout(look, EVERY);
  };
  await look();
  return () => clearTimeout(timer);
}
