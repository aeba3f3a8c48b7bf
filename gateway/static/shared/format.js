// Values as a person reads them. Money and quantities come as exact decimal strings and are never made floats.

const language = document.documentElement.lang || "en";

export function money(amount, currency) {
  return new Intl.NumberFormat(language, { style: "currency", currency }).format(amount);
}

export function quantity(value) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: 3 }).format(value);
}

export function percent(share) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 3 }).format(share);
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** What a total leaves out; "" when nothing. */
export function missing(unpriced) {
  if (unpriced === 0) return "";
  return `${count(unpriced, "line has", "lines have")} no price and ${unpriced === 1 ? "is" : "are"} not in this total.`;
}

/** Milliseconds as 0:07, 12:30 or 1:02:03. */
export function clock(ms) {
  const total = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const tail = String(seconds).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** How long a finished step took: 1 s, 42 s, 1:05. Nobody waits for less than a second. */
export function took(ms) {
  return ms < 60_000 ? `${Math.max(1, Math.round(ms / 1000))} s` : clock(ms);
}

export function fileSize(bytes) {
  if (bytes < 1_000_000) return `${Math.max(1, Math.round(bytes / 1000))} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** "just now", "5 min ago", "in 3 days". `now` is in epoch ms. */
export function relative(iso, now) {
  const seconds = (Date.parse(iso) - now) / 1000;
  const steps = [["day", 86_400], ["hour", 3600], ["minute", 60]];
  const [unit, size] = steps.find(([, length]) => Math.abs(seconds) >= length) ?? [null, 1];
  if (!unit) return "just now";
  return new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

export function moment(iso) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
}

export function timeOfDay(iso) {
  return new Intl.DateTimeFormat(language, { timeStyle: "medium" }).format(new Date(iso));
}

export function sentence(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : "";
}
