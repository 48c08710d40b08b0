// The same associate at another hour, on another shift, in another role: two lists beside each other.
import { h } from "../dom.js";
import { failure, waiting } from "../shell.js";
import { capital, count, moment } from "../words.js";
import { associateField, field, local, moved, places, preview, ranked, seconds, selectField } from "./parts.js";

export async function show(body, { about, rest, current }) {
  const stale = about.now - about.last_event > 2 * 86400;
  const known = rest[0] ?? about.somebody ?? "";
  if (!current()) return;
  const start = rest[1] ? Number(rest[1]) : stale ? about.last_event + 60 : about.now;
  const values = name => [["", "Own"], ...(about.attributes[name] ?? []).map(value => [value, capital(value)])];
  const who = associateField(known, () => run());
  const sides = [0, 1].map(() => ({
    time: h("input", { class: "input", type: "datetime-local", value: local(start) }), role: selectField("Role", values("role")), shift: selectField("Shift", values("shift")), out: h("div", { class: "stack", "aria-live": "polite" }),
  }));
  // Twelve hours later, so that there is something to see.
  sides[1].time.value = local(start + 43200);
  for (const side of sides) for (const input of [side.time, side.role.input, side.shift.input]) input.addEventListener("change", () => run());
  const head = h("div", { class: "panel form" }, who.box, h("button", { class: "button main", type: "button", onclick: () => run() }, "Compare"));
  const summary = h("p", { class: "faint", role: "status" });
  body.replaceChildren(h("p", { class: "faint" }, "Both are previews by the release and the rules in force: neither is recorded nor counted."), head, summary,
    h("div", { class: "sides" }, sides.map((side, i) => h("section", { class: "panel stack", "aria-label": i ? "What if" : "As it is" }, h("h2", null, i ? "What if" : "As it is"), h("div", { class: "form" }, field("Time (UTC)", side.time), side.shift.box, side.role.box), side.out))));
  let turn = 0;
  async function run() {
    const mine = ++turn;
    for (const side of sides) side.out.replaceChildren(waiting("18rem"));
    try {
      const answers = await Promise.all(sides.map(async side => {
        const context = { time: seconds(side.time.value) };
        if (side.role.input.value) context.role = side.role.input.value;
        if (side.shift.input.value) context.shift = side.shift.input.value;
        return (await preview({ associate_id: who.input.value.trim() || null, context, limit: 10 })).before;
      }));
      if (mine !== turn || !current()) return;
      const [before, after] = answers.map(one => places(one.items));
      sides[0].out.replaceChildren(ranked(answers[0].items, item => after.has(item.page_id) ? h("span", { class: "badge" }, `also at ${after.get(item.page_id)}`) : h("span", { class: "badge bad" }, "− not there")));
      sides[1].out.replaceChildren(ranked(answers[1].items, (item, place) => moved(before.get(item.page_id), place + 1)));
      const fresh = [...after.keys()].filter(page => !before.has(page)).length;
      summary.textContent = `${count(fresh, "page")} of ${after.size} are other ones at ${moment(seconds(sides[1].time.value))}.`;
    } catch (error) { if (mine === turn) for (const side of sides) side.out.replaceChildren(failure(error, run)); }
  }
  await run();
}
