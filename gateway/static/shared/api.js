// The server's JSON routes. Whatever goes wrong is thrown as a Problem, with words a person can act on.

const ANSWER_MS = 30_000;
const STALL_MS = 60_000; // an upload that moves no byte for this long is given up

// Never reached, too slow, somebody else is at it, too often, damaged on its way.
const PASSING = [0, 408, 423, 429, 460];
const CLOCK_MS = 2000; // a Date header is right to the second

// The server's clock less ours, in ms. An answer that was slow to come makes it smaller than it is, never larger.
let clockOffset = -Infinity;

/** Now, as the server's clock has it, in epoch ms. */
export function serverNow() {
  const trusted = Number.isFinite(clockOffset) && Math.abs(clockOffset) > CLOCK_MS;
  return Date.now() + (trusted ? clockOffset : 0);
}

/** problem+json, or what stands in for it when no answer came. `status` 0: never reached the server. */
export class Problem extends Error {
  constructor({ title, detail, status = 0, correlationId = "", retryAfter = null, members = {} }) {
    super(detail || title);
    Object.assign(this, { title, detail, status, correlationId, retryAfter, members });
  }

  /** Whether the same request may well succeed later. */
  get passing() {
    return PASSING.includes(this.status) || this.status >= 500;
  }

  /** Whether the bytes themselves were refused. A full storage is a 413 too, and may have room tomorrow. */
  get final() {
    return [415, 422].includes(this.status) || this.tooLarge;
  }

  get tooLarge() {
    return this.status === 413 && this.members.quota === undefined;
  }
}

const unreachable = () =>
  new Problem({ title: "No connection", detail: "The server could not be reached. Check your signal and try again." });

/** Read every page of a list: `name` is what its answers call it. Throws Problem. */
export async function callAll(path, name, limit) {
  const found = [];
  for (let after = null; ;) {
    const page = await call("GET", `${path}?limit=${limit}${after ? `&after=${encodeURIComponent(after)}` : ""}`);
    found.push(...page[name]);
    if (!page.has_more) return found;
    after = page.next;
  }
}

/** Ask for `path`; returns the JSON answer, or null when it has none. Throws Problem. */
export async function call(method, path, body, { headers = {}, signal, keepalive = false } = {}) {
  const deadline = AbortSignal.timeout(ANSWER_MS);
  let response, text, answer;
  try {
    response = await fetch(path, {
      method,
      keepalive,
      credentials: "same-origin",
      headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
    text = await response.text();
    answer = response.ok && text ? JSON.parse(text) : null; // what is no JSON was cut off, or is a hotel's sign-in page
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable();
  }
  setClock(response.headers.get("date"));
  if (!response.ok) throw problemOf(response.status, text, (name) => response.headers.get(name));
  return answer;
}

/**
 * Send bytes, telling `onProgress(sent)` as they go; returns a function that reads the answer's headers. Throws
 * Problem. fetch() cannot report upload progress; XMLHttpRequest can.
 */
export function sendBytes(method, path, body, headers, { onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(unreachable());
    const request = new XMLHttpRequest();
    let stall = 0;
    const watch = () => {
      clearTimeout(stall);
      stall = setTimeout(() => request.abort(), STALL_MS);
    };
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => {
      watch();
      onProgress?.(event.loaded);
    });
    request.addEventListener("loadend", () => {
      clearTimeout(stall);
      settle(request, resolve, reject);
    });
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    watch();
    request.send(body);
  });
}

function settle(request, resolve, reject) {
  if (request.status === 0) return reject(unreachable());
  const header = (name) => request.getResponseHeader(name);
  setClock(header("date"));
  if (request.status >= 400) return reject(problemOf(request.status, request.responseText, header));
  return resolve(header);
}

function problemOf(status, text, header) {
  const members = parse(text);
  const retry = Number.parseFloat(header("retry-after") ?? "");
  return new Problem({
    status,
    title: members.title || `The server answered ${status}`,
    detail: members.detail || "Try again. If it keeps happening, contact support with the reference below.",
    correlationId: members.correlation_id || header("x-correlation-id") || "",
    retryAfter: Number.isFinite(retry) ? retry * 1000 : null,
    members,
  });
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function setClock(date) {
  const server = Date.parse(date ?? "");
  if (Number.isFinite(server)) clockOffset = Math.max(clockOffset, server - Date.now());
}
