// Talks to the server; says in plain words what went wrong, and notices when it is back.
import { randomName } from "./dom.js";

const TOKEN = "waymark.token";
const listeners = new Set();
let down = false;
let askForToken = async () => false;

/** What a person is told; `retry` says whether trying again may help. */
export class Problem extends Error {
  constructor(message, { status = 0, retry = true } = {}) { super(message); this.status = status; this.retry = retry; }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: value => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};
/** `ask` gets the server's words and resolves to whether there is a token to try now. */
export const onTokenNeeded = ask => { askForToken = ask; };
/** `listen(isDown)` is called when the server goes and when it comes back. */
export const onConnection = listen => { listeners.add(listen); return () => listeners.delete(listen); };

function change(now) {
  if (now === down) return;
  down = now;
  for (const listen of listeners) listen(down);
  if (down) setTimeout(look, 1000);
}

async function look() {
  try {
    const answer = await fetch("/v2/health/ready", { cache: "no-store" });
    if (answer.ok) return change(false);
  } catch { /* Still away. */ }
  setTimeout(look, 1000);
}

async function problem(answer) {
  let said = "";
  try { said = (await answer.json()).error ?? ""; } catch { /* Not ours. */ }
  const { status } = answer;
  if (status === 503 || status === 504) return new Problem(`The server cannot answer just now${said ? `: ${said}` : ""}.`, { status });
  if (status >= 500) return new Problem(`The server failed at this. Its log has it under ${answer.headers.get("x-request-id") ?? "this moment"}.`, { status });
  return new Problem(said || `The server refused this (${status}).`, { status, retry: false });
}

/** Sends a request; gives the parsed answer and its headers. Throws a Problem. */
export async function send(method, path, body, { headers = {}, signal, keepalive } = {}) {
  for (let attempt = 0; ; attempt++) {
    const given = { Accept: "application/json", ...headers };
    if (token.get()) given.Authorization = `Bearer ${token.get()}`;
    if (body !== undefined) given["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, { method, headers: given, body: body === undefined ? undefined : JSON.stringify(body), signal, keepalive });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      change(true);
      throw new Problem("The server cannot be reached. This page goes on by itself once it is back.");
    }
    if (answer.status === 401 && attempt === 0 && await askForToken((await answer.clone().json().catch(() => ({}))).error)) continue;
    if (!answer.ok) throw await problem(answer);
    change(false);
    return { data: answer.status === 204 ? null : await answer.json(), headers: answer.headers };
  }
}
export const get = async (path, options) => (await send("GET", path, undefined, options)).data;
export const post = async (path, body, options) => (await send("POST", path, body, options)).data;
export const id = text => encodeURIComponent(text);

export async function predict(instance, options) {
  return (await post("/v1/models/waymark:predict", { instances: [instance] }, options)).predictions[0];
}

/** Details of pages by their ids, asked for once each. */
export const known = new Map();
export async function pageDetails(ids) {
  const wanted = [...new Set(ids)].filter(one => !known.has(one));
  for (let start = 0; start < wanted.length; start += 100) {
    const query = wanted.slice(start, start + 100).map(one => `ids=${id(one)}`).join("&");
    for (const page of (await get(`/v1/pages?${query}`)).pages) known.set(page.page_id, page);
  }
}

// Events wait here until the server has them on disk. Each has an id of its own: sending twice is safe.
let waiting = [];
let sending = false;
/** Tells the server what happened; resolves once it knows, or throws and sends it later. */
export async function tell(...events) {
  waiting.push(...events.map(event => ({ event_id: randomName(), ...event })));
  return flush();
}
export async function flush(options) {
  if (sending || !waiting.length) return;
  sending = true;
  const now = waiting.slice(0, 1000);
  try {
    await post("/v1/events", { events: now }, options);
    waiting = waiting.filter(event => !now.includes(event));
  } catch (error) {
    // What the server will never take need not wait.
    if (!error.retry) waiting = waiting.filter(event => !now.includes(event));
    throw error;
  } finally { sending = false; }
  if (waiting.length) await flush();
}
onConnection(isDown => { if (!isDown) flush().catch(() => {}); });
addEventListener("pagehide", () => { flush({ keepalive: true }).catch(() => {}); });
