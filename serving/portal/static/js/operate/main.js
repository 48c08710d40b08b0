// The operator's side: which part is shown. Each part is loaded when it is opened.
import { get, onConnection } from "../api.js";
import { h, icon } from "../dom.js";
import { announce, failure, install, waiting } from "../shell.js";
import { count } from "../words.js";

const PARTS = [
  ["live", "Live", "pulse"], ["releases", "Releases", "layers"], ["why", "Why this page?", "why"],
  ["what-if", "What if?", "sliders"], ["quality", "Data and quality", "shield"], ["rules", "Rules", "rules"],
];
const main = document.getElementById("main");
let turn = 0, leave = null, about = null;

async function show() {
  const [, name = "live", ...rest] = location.hash.match(/^#\/([^/]+)\/?(.*)$/) ?? [];
  const part = PARTS.find(([key]) => key === name) ?? PARTS[0];
  const mine = ++turn;
  leave?.();
  leave = null;
  document.title = `${part[1]} · Waymark`;
  document.getElementById("side").replaceChildren(...PARTS.map(([key, label, look]) => h("li", null, h("a", { href: `#/${key}`, "aria-current": key === part[0] && "page" }, icon(look), label))));
  const title = h("h1", { tabindex: "-1" }, part[1]);
  const body = h("div", { class: "stack" }, waiting());
  body.style.gap = "1.25rem";
  main.replaceChildren(title, body);
  try {
    const [module] = await Promise.all([import(`./${part[0]}.js`), about ?? get("/v1/about").then(found => { about = found; })]);
    document.getElementById("foot").replaceChildren(h("span", null, `Release ${about.release}`), h("span", null, count(about.pages, "page")), h("span", null, about.store ? "" : "No store: events and answers are not kept"));
    if (mine !== turn) return;
    const done = await module.show(body, { about, rest: (rest[0] ?? "").split("/").filter(Boolean).map(decodeURIComponent), current: () => mine === turn });
    if (mine !== turn) return done?.();
    leave = done;
    announce(part[1]);
  } catch (error) { if (mine === turn) body.replaceChildren(failure(error, show)); }
}

addEventListener("hashchange", () => { show(); main.focus({ preventScroll: true }); scrollTo(0, 0); });
onConnection(isDown => { if (!isDown) { about = null; show(); } });
install();
show();
