// Watches a visit's progress: a stream while that works, pages every few seconds while it does not. Every event is
// handed on once and in order, across reconnects, restarts and both ways of getting it.

const RETRY_MS = 1_000;
const RETRY_CAP_MS = 30_000;
const POLL_MS = 2_000;
const ANSWER_MS = 10_000; // a stream that has said nothing by then is held back by something on the way
const STREAM_AGAIN_MS = 30_000; // while polling, how long until the stream is tried once more
const FAILURES_TO_POLL = 2;
const ENDINGS = { "job.completed": "completed", "job.failed": "failed", "job.cancelled": "cancelled" };
const PASSING = ["busy", "expired"]; // ends that only mean: come back

const jittered = (ms) => ms * (0.5 + Math.random());

/**
 * Follow `visitId`; returns `{close()}`.
 *
 * `onSnapshot(event)` has `payload: {job, steps}` as it stood at `event.seq`: first, and whenever a stream had to start
 * afresh. `onEvent(event)` is each `{seq, type, job_id, payload, created_at}` after that. `onState(state)` is one of
 * connecting, live, reconnecting, polling, idle. `onEnd(reason)` comes once, when there is no more to come: completed,
 * failed, cancelled, expired (sign in again), revoked or disabled.
 *
 * The session's cookie opens the stream. From another origin give `base`, `headers()` with the Authorization, and
 * `fetchTicket()`, which resolves to a new single-use ticket: an EventSource cannot send headers. It may throw an error
 * with `status: 401` to end the watch as expired.
 */
export function watchVisit(visitId, options) {
  const watch = new Watch(visitId, options);
  watch.stream();
  return { close: () => watch.close() };
}

class Watch {
  #on;
  #path;
  #seq = null; // of the last event or snapshot handed on
  #ending = null; // how the latest job ended, if it has
  #state = "";
  #failures = 0;
  #source = null;
  #timer = 0;
  #next = null; // what a running timer waits to do, where being online again makes the wait needless
  #abort = new AbortController();

  constructor(visitId, options) {
    this.#on = options;
    this.#path = `${options.base ?? ""}/v1/visits/${visitId}`;
    globalThis.addEventListener?.("online", () => this.#next?.(), { signal: this.#abort.signal });
  }

  close() {
    this.#abort.abort();
    this.#rest();
  }

  async stream() {
    this.#rest();
    if (this.#state !== "polling") this.#say(this.#state ? "reconnecting" : "connecting");
    const query = new URLSearchParams();
    if (this.#seq !== null) query.set("last_event_id", this.#seq);
    try {
      if (this.#on.fetchTicket) query.set("ticket", await this.#on.fetchTicket());
    } catch (error) {
      return error?.status === 401 ? this.#finish("expired") : this.#failed();
    }
    if (!this.#abort.signal.aborted) this.#listen(`${this.#path}/progress?${query}`);
  }

  #listen(url) {
    const source = new EventSource(url, { withCredentials: !this.#on.fetchTicket });
    this.#source = source;
    this.#timer = setTimeout(() => this.#failed(), ANSWER_MS);
    source.onmessage = ({ data }) => this.#hand(JSON.parse(data));
    source.onerror = () => {
      // The browser reconnects by itself, but not after any other answer than a stream, and never with a new ticket.
      if (source.readyState === EventSource.CLOSED) this.#failed();
      else if (this.#on.fetchTicket) this.#later(RETRY_MS, () => this.stream());
      else this.#say("reconnecting");
    };
    source.addEventListener("open", ({ data }) => {
      if (data === undefined) return; // the browser's own `open`, which a refusal has too
      clearTimeout(this.#timer);
      this.#failures = 0;
      this.#say("live");
    });
    source.addEventListener("drain", () => this.#say("reconnecting"));
    source.addEventListener("end", ({ data }) => {
      const { reason } = JSON.parse(data);
      if (!PASSING.includes(reason)) this.#finish(reason);
      // A new try finds out whether there is a newer cookie. A browser that is refused comes back by itself.
      else if (reason === "expired" || this.#on.fetchTicket) this.#failed();
    });
  }

  #failed() {
    if (this.#abort.signal.aborted) return;
    if (this.#ending) return this.#finish(this.#ending); // 204: all has been seen
    this.#failures += 1;
    this.#say(this.#state === "polling" ? "polling" : "reconnecting");
    const wait = Math.min(RETRY_CAP_MS, RETRY_MS * 2 ** (this.#failures - 1));
    const mayPoll = !this.#on.fetchTicket || this.#on.headers;
    this.#later(wait, () => (mayPoll && this.#failures >= FAILURES_TO_POLL ? this.#poll(Date.now()) : this.stream()));
  }

  async #poll(since) {
    this.#rest();
    const answer = await this.#page();
    if (this.#abort.signal.aborted) return;
    if (answer === null || answer.status >= 500 || answer.status === 429) return this.#failed();
    if (answer.status === 401) return this.#finish("expired");
    if (!answer.ok) return this.#finish(answer.status === 404 ? "disabled" : "revoked");
    this.#say("polling");
    const { events, has_more: more } = answer.page;
    for (const event of events) this.#hand(event);
    if (this.#abort.signal.aborted) return;
    if (more) return this.#poll(since);
    if (this.#ending) return this.#finish(this.#ending);
    if (Date.now() - since > STREAM_AGAIN_MS) return this.stream();
    this.#later(POLL_MS, () => this.#poll(since));
  }

  async #page() {
    try {
      const answer = await fetch(`${this.#path}/events?after=${this.#seq ?? 0}`, {
        credentials: this.#on.fetchTicket ? "omit" : "include",
        headers: (await this.#on.headers?.()) ?? {},
        signal: AbortSignal.any([this.#abort.signal, AbortSignal.timeout(ANSWER_MS)]),
      });
      return { ok: answer.ok, status: answer.status, page: answer.ok ? await answer.json() : null };
    } catch {
      return null;
    }
  }

  #hand(event) {
    const snapshot = event.type === "snapshot";
    if (this.#abort.signal.aborted || (!snapshot && this.#seq !== null && event.seq <= this.#seq)) return;
    this.#seq = event.seq;
    if (snapshot) this.#ending = ENDINGS[`job.${event.payload.job?.status}`] ?? null;
    if (event.type.startsWith("job.")) this.#ending = ENDINGS[event.type] ?? null;
    (snapshot ? this.#on.onSnapshot : this.#on.onEvent)?.(event);
  }

  #finish(reason) {
    this.close();
    this.#say("idle");
    this.#on.onEnd?.(reason);
  }

  #say(state) {
    if (state !== this.#state) this.#on.onState?.((this.#state = state));
  }

  #later(ms, next) {
    this.#rest();
    this.#next = next;
    this.#timer = setTimeout(next, jittered(ms));
  }

  #rest() {
    clearTimeout(this.#timer);
    this.#next = null;
    this.#source?.close();
    this.#source = null;
  }
}
