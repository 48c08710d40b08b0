// Numbers, times and sources in words.
export const SOURCES = {
  transitions: "what is opened after what", ease: "what the same people open (EASE)", item_knn: "what the same people open (neighbours)",
  two_tower: "taste as a whole (two-tower)", skip_gram: "what shares a session", content: "the same topic and text",
  series: "the order of the catalogue", trend_role: "popular in the role", trend_shift: "popular on the shift",
  trend_hour: "popular at this hour", trend_1d: "popular today", trend_7d: "popular this week", trend_30d: "popular this month",
  popularity: "popular ever", catalogue: "the catalogue",
};
export const FALLBACKS = {
  cold_start: "Nothing is known of this associate yet: the list rests on role, shift and what is popular.",
  no_store: "The store is away: what happened since the release is not seen.",
  blended: "Time was short: ordered by the sources, without the ranker.",
  lists: "Time had run out: a list that was made with the release.",
  trend: "Time had run out: what is opened most.",
};
export const capital = text => text ? text[0].toUpperCase() + text.slice(1) : text;
export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en-GB")} ${number === 1 ? one : many}`;
export function minutes(seconds) {
  if (!seconds) return "";
  return seconds < 60 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
export function milliseconds(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  return seconds >= 1 ? `${seconds.toFixed(2)} s` : `${(1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
}
const options = { timeZone: "UTC" };
export const day = seconds => new Date(1000 * seconds).toLocaleDateString("en-GB", { ...options, day: "numeric", month: "short", year: "numeric" });
export const clock = seconds => new Date(1000 * seconds).toLocaleTimeString("en-GB", { ...options, hour: "2-digit", minute: "2-digit" });
export const moment = seconds => `${day(seconds)}, ${clock(seconds)} UTC`;
export const stamp = iso => moment(Date.parse(iso) / 1000);
export const size = bytes => bytes > 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
export function figure(value) {
  if (typeof value !== "number") return String(value ?? "–");
  if (Number.isInteger(value)) return value.toLocaleString("en-GB");
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(4).replace(/0+$/, "").replace(/\.$/, "");
}
export function ago(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86400)} days ago`;
}
