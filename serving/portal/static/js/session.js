// Who is looking, when, and what the server answered them.
import { get, id, pageDetails, predict, tell } from "./api.js";
import { randomName } from "./dom.js";

const DAY = 86400;
const GUEST = "waymark.guest";
const loaded = performance.now();
const listeners = new Set();
let turn = 0;

export const session = { about: null, who: null, guest: false, role: "", shift: "", hour: "", profile: null, answer: null, skipped: [], origin: null };

/** `listen()` is called after every new answer. */
export const onAnswer = listen => listeners.add(listen);

const guestName = () => { let name = sessionStorage.getItem(GUEST); if (!name) { name = `guest-${randomName().slice(0, 8)}`; sessionStorage.setItem(GUEST, name); } return name; };
export const newGuest = () => sessionStorage.removeItem(GUEST);

/** Epoch seconds: the clock or, where the log ended days ago, a clock that runs on from its end. */
export function now() {
  const { about, profile } = session;
  const start = stale() ? about.last_event + 60 : about.now;
  return Math.max(start + (performance.now() - loaded) / 1000, (profile?.latest ?? 0) + 1);
}
export const stale = () => session.about.now - session.about.last_event > 2 * DAY;

/** When the question is asked: now, or the next time that it is the hour chosen. */
export function when() {
  if (session.hour === "") return now();
  const begin = Math.floor(now() / DAY) * DAY + 3600 * Number(session.hour);
  return begin >= now() ? begin : begin + DAY;
}

export function instance(more = {}) {
  const context = { time: when() };
  if (session.role) context.role = session.role;
  if (session.shift) context.shift = session.shift;
  return { associate_id: session.who, context, exclude: session.skipped.slice(-100), ...more };
}

export async function begin() {
  const given = new URLSearchParams(location.search);
  for (const name of ["role", "shift", "hour"]) session[name] = given.get(name) ?? "";
  session.about ??= await get("/v1/about");
  const { associate_id, somebody } = session.about;
  // Whose token it is; or whoever the address names; or somebody with a history, which shows more.
  look(associate_id ?? given.get("as") ?? somebody ?? "");
}

/** Look as another associate; "" is somebody new. */
export function look(who) {
  const name = who || guestName();
  if (name !== session.who) { session.skipped = []; session.answer = session.profile = null; }
  session.who = name;
  session.guest = !who;
}
export function remember() {
  const given = new URLSearchParams({ as: session.guest ? "" : session.who });
  for (const name of ["role", "shift", "hour"]) if (session[name]) given.set(name, session[name]);
  history.replaceState(null, "", `?${given}${location.hash}`);
}

/** Asks anew; what was asked before and comes later is dropped. */
export async function refresh() {
  const mine = ++turn, { who } = session;
  const profiled = get(`/v1/associates/${id(who)}`).catch(error => { if (error.status === 403) return null; throw error; });
  let question = instance({ carousels: true, limit: 11 });
  let [profile, answer] = await Promise.all([profiled, predict(question)]);
  if (mine !== turn) return;
  session.profile = profile;
  if ((profile?.latest ?? 0) >= question.context.time) {
    // Something was done at a later time than this page knew of: ask as of then.
    question = instance({ carousels: true, limit: 11 });
    answer = await predict(question);
  }
  const shown = [...answer.items, ...answer.carousels.flatMap(row => row.items)].map(item => item.page_id);
  await pageDetails([...shown, ...(profile?.history ?? []).slice(0, 12).map(page => page.page_id)]);
  if (mine !== turn) return;
  session.answer = answer;
  for (const listen of listeners) listen();
}

/** An event of this associate; with `origin`, of the answer that led to it. */
export function event(type, page_id, origin, more = {}) {
  const known = origin ? { request_id: origin.request_id, position: origin.position, release: origin.release } : {};
  return { associate_id: session.who, page_id, event_type: type, timestamp: now(), ...known, ...more };
}

/** Tells what the associate did, then asks anew: the next rows know of it. */
export async function act(type, page_id, origin, more) {
  if (!session.about.store) return;
  if (type === "skip") session.skipped.push(page_id);
  await tell(event(type, page_id, origin, more));
  await refresh();
}
