// The same associate at another hour, on another shift, in another role, by another release: two lists beside each other.
import { get, post } from "../api.js";
import { h } from "../dom.js";
import { failure, waiting } from "../shell.js";
import { capital, count } from "../words.js";
import { associateField, field, local, moved, places, ranked, seconds, selectField } from "./parts.js";

// Of a group's effect on the score; smaller changes are not worth a word.
const NOTABLE = 0.05;

/** What spoke more or less for a page than in the other answer, the most first. */
function changes(item, other, groups) {
  if (!item.contributions || !other?.contributions) return null;
  const found = Object.entries(item.contributions).map(([key, value]) => [key, value - (other.contributions[key] ?? 0)]).filter(([, change]) => Math.abs(change) >= NOTABLE);
  found.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  return found.length ? h("p", { class: "small faint" }, found.slice(0, 2).map(([key, change]) => `${groups[key] ?? key}: ${change > 0 ? "+" : "−"}${Math.abs(change).toFixed(2)}`).join(", ")) : null;
}

export async function show(body, { about, rest, current }) {
  const { releases } = about.home ? await get("/v1/releases") : { releases: [] };
  if (!current()) return;
  const stale = about.now - about.last_event > 2 * 86400;
  const start = rest[1] ? Number(rest[1]) : stale ? about.last_event + 60 : about.now;
  const values = name => [["", "Own"], ...(about.attributes[name] ?? []).map(value => [value, capital(value)])];
  const others = [["", `Answers now (${about.release})`], ...releases.filter(one => one.name !== about.release).map(one => [one.name, one.name])];
  const who = associateField(rest[0] ?? about.somebody ?? "", () => run());
  const sides = [0, 1].map(() => ({
    time: h("input", { class: "input", type: "datetime-local", value: local(start) }), role: selectField("Role", values("role")), shift: selectField("Shift", values("shift")), release: selectField("Release", others), out: h("div", { class: "stack", "aria-live": "polite" }),
  }));
  // Twelve hours later, so that there is something to see.
  sides[1].time.value = local(start + 43200);
  for (const side of sides) for (const input of [side.time, side.role.input, side.shift.input, side.release.input]) input.addEventListener("change", () => run());
  const head = h("div", { class: "panel form" }, who.box, h("button", { class: "button main", type: "button", onclick: () => run() }, "Compare"));
  const summary = h("p", { class: "faint", role: "status" });
  body.replaceChildren(h("p", { class: "faint" }, "Both are previews by the rules in force: neither is recorded nor counted. Another release is loaded aside for as long as it is asked about."), head, summary,
    h("div", { class: "sides" }, sides.map((side, i) => h("section", { class: "panel stack", "aria-label": i ? "What if" : "As it is" }, h("h2", null, i ? "What if" : "As it is"), h("div", { class: "form" }, field("Time (UTC)", side.time), side.shift.box, side.role.box, others.length > 1 && side.release.box), side.out))));
  let turn = 0;
  async function run() {
    const mine = ++turn;
    for (const side of sides) side.out.replaceChildren(waiting("18rem"));
    summary.textContent = "";
    try {
      const answers = await Promise.all(sides.map(side => {
        const context = { time: seconds(side.time.value) };
        if (side.role.input.value) context.role = side.role.input.value;
        if (side.shift.input.value) context.shift = side.shift.input.value;
        return post("/v1/what-if", { instance: { associate_id: who.input.value.trim() || null, context, limit: 10 }, release: side.release.input.value || null });
      }));
      if (mine !== turn || !current()) return;
      const [before, after] = answers.map(one => places(one.items));
      const was = new Map(answers[0].items.map(item => [item.page_id, item]));
      sides[0].out.replaceChildren(ranked(answers[0].items, item => after.has(item.page_id) ? h("span", { class: "badge" }, `also at ${after.get(item.page_id)}`) : h("span", { class: "badge bad" }, "− not there")));
      sides[1].out.replaceChildren(ranked(answers[1].items, (item, place) => moved(before.get(item.page_id), place + 1), item => changes(item, was.get(item.page_id), about.groups)));
      const fresh = [...after.keys()].filter(page => !before.has(page)).length;
      const other = [...after].filter(([page, place]) => before.has(page) && before.get(page) !== place).length;
      const releasesSaid = answers[0].release === answers[1].release ? "" : ` By ${answers[1].release} instead of ${answers[0].release}.`;
      summary.textContent = `${count(fresh, "page")} of ${after.size} are other ones, ${other} stand elsewhere.${releasesSaid}`;
    } catch (error) { if (mine === turn) for (const side of sides) side.out.replaceChildren(failure(error, run)); }
  }
  await run();
}
