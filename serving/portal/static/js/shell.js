// What every page has: theme, announcements, dialogs, the banner when the server is away, signing in.
import { onConnection, onTokenNeeded, token } from "./api.js";
import { h, icon } from "./dom.js";

const toasts = h("div", { class: "toasts" });
const said = h("div", { class: "unseen", role: "status", "aria-live": "polite" });

/** Tells screen readers, and nobody else. */
export function announce(text) { said.textContent = ""; requestAnimationFrame(() => { said.textContent = text; }); }
/** Tells everybody, for a while. */
export function toast(text) {
  const one = h("p", { class: "toast" }, text);
  toasts.append(one);
  announce(text);
  setTimeout(() => one.remove(), 4500);
}

/** A dialog; resolves to the `value` of the button that closed it, null for none. `actions`: [label, value, class]. */
export function dialog(title, content, actions = [["Close", null]]) {
  return new Promise(resolve => {
    const name = `dialog-${Date.now()}`;
    let answer = null;
    const close = value => { answer = value; box.close(); };
    const box = h("dialog", { "aria-labelledby": name, onclose: () => { box.remove(); resolve(answer); }, onclick: event => { if (event.target === box) close(null); } },
      h("div", null,
        h("header", null, h("h2", { id: name }, title), h("button", { class: "button quiet round low", type: "button", "aria-label": "Close", onclick: () => close(null) }, icon("close"))),
        content,
        h("footer", null, actions.map(([label, value, look]) => h("button", { class: `button ${look ?? ""}`, type: "button", onclick: () => close(typeof value === "function" ? value() : value) }, label)))));
    document.body.append(box);
    box.showModal();
  });
}

/** Something that went wrong, with a way on. */
export function failure(error, again) {
  return h("div", { class: "notice bad", role: "alert" }, icon("warn"),
    h("div", null, h("h2", null, "That did not work"), h("p", null, error.message)),
    again && error.retry !== false && h("button", { class: "button", type: "button", onclick: again }, "Try again"));
}
/** Nothing to show, and why. */
export function empty(title, text, look = "info", kind = "") {
  return h("div", { class: `notice ${kind}` }, icon(look), h("div", null, h("h2", null, title), text && h("p", { class: "faint" }, text)));
}
export const waiting = (height = "9rem") => { const box = h("div", { class: "wait", "aria-hidden": "true" }); box.style.height = height; return box; };

const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
function themeButton() {
  const button = h("button", { class: "button quiet round", type: "button" });
  const show = () => {
    button.replaceChildren(icon(dark() ? "sun" : "moon"));
    button.setAttribute("aria-label", dark() ? "Use the light theme" : "Use the dark theme");
  };
  button.addEventListener("click", () => {
    const now = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = now;
    try { localStorage.setItem("waymark.theme", now); } catch { /* It holds for this page. */ }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
  return button;
}

let asking = null;
function askForToken(reason) {
  asking ??= (async () => {
    const input = h("textarea", { class: "input code", rows: 4, id: "token", autocomplete: "off", spellcheck: "false" });
    input.style.minHeight = "7rem";
    const content = h("div", { class: "stack" }, h("p", null, "This server asks for a token. It is kept in this tab only."), reason && h("p", { class: "faint small" }, reason),
      h("label", { class: "field", for: "token" }, "Token (JWT)", input));
    const given = await dialog("Sign in", content, [["Cancel", null], ["Sign in", () => input.value.trim(), "main"]]);
    token.set(given);
    return Boolean(given);
  })().finally(() => { asking = null; });
  return asking;
}

/** Puts it all into the page. */
export function install() {
  document.body.append(toasts, said);
  document.querySelector(".top .end").append(themeButton());
  // The part of the address after # names a view.
  document.querySelector(".skip").addEventListener("click", event => { event.preventDefault(); document.getElementById("main").focus(); });
  onTokenNeeded(askForToken);
  const banner = h("p", { class: "banner", role: "alert" }, "The server cannot be reached. Trying again…");
  onConnection(isDown => {
    if (isDown) document.querySelector(".top").after(banner);
    else { banner.remove(); toast("The server is back."); }
  });
}
