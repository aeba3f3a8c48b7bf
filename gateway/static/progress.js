// Watches a visit's progress. All tabs of an origin that watch the same visit share one connection.
//
// 1 A tab hands on each event once and in the order of seq, whoever it came from.
// 2 Only the tab that holds the visit's lock is connected. The browser frees the lock with the tab, and the next tab
//   connects after its own last event; what others have by then they pass over.
// 3 The leader tells each event with the seq before it. Who lacks that one, or is new, reads the table up to it: a word
//   lost between tabs is a detour, not a gap.
// 4 The leader speaks at every heartbeat; from one long silent the lock is taken.
// 5 A tab that cannot share has a connection of its own.

const RETRY_CAP_MS = 30_000;
const POLL_MS = 2_000;
const ANSWER_MS = 10_000; // a stream without a word by then is held back on the way
const SILENCE_MS = 65_000; // two heartbeats
const BEAT_MS = 10_000;
const LEADERLESS_MS = 150_000; // a hidden leader's timers fire once a minute
const LAST_WORD_MS = 250; // for the end to arrive before the lock is free
const INBOX = 500; // words; any more are read from the table
const ENDINGS = ["completed", "failed", "cancelled"];
const PASSING = ["busy", "expired", "replaced"]; // come back
const FINAL = { 400: "revoked", 401: "expired", 403: "revoked", 404: "disabled" };
const START = { seq: 0, type: "snapshot" };

const jittered = (ms) => ms * (0.5 + Math.random());

/**
 * Follow `visitId`; returns `{close()}`.
 *
 * `onSnapshot(event)` has `payload: {job, steps}` as of `event.seq`: first.
 * `onEvent(event)` is each `{seq, type, job_id, payload, created_at}` after that. `onState`: connecting, live,
 * reconnecting, polling, idle. `onRole`: leading, following, alone. `onEnd(reason)`, once: completed, failed, cancelled,
 * expired (sign in again), revoked, disabled.
 *
 * The session's cookie opens the stream. From another origin give `base`, `headers()` with the Authorization, and
 * `fetchTicket()`, which resolves to a new ticket or throws an error with `status: 401` to end as expired. A ticket lasts
 * as long as its token.
 */
export function watchVisit(visitId, options) {
  const watch = new Watch(visitId, options);
  return { close: () => watch.close() };
}

class Watch {
  #on;
  #path;
  #seq = null; // of the last that was handed on
  #first = null; // the snapshot that a new tab begins with
  #ending = null; // how the latest job ended, if it has
  #state = "";
  #tabs = null;
  #leads = false;
  #free;
  #wait = new AbortController();
  #inbox = Promise.resolve();
  #waiting = 0;
  #spoke = 0;
  #heard = 0;
  #failures = 0;
  #retry = 1_000;
  #ticket = null;
  #timer = 0;
  #next = null; // what a pause waits to do
  #run = new AbortController();
  #life = new AbortController();

  constructor(visitId, options) {
    this.#on = options;
    this.#path = `${options.base ?? ""}/v1/visits/${visitId}`;
    const listen = (name, heed) => globalThis.addEventListener(name, heed, { signal: this.#life.signal });
    listen("online", () => this.#wake(Infinity));
    listen("visibilitychange", () => this.#wake(Date.now() - this.#heard));
    listen("pagehide", () => this.#leave());
    listen("pageshow", ({ persisted }) => persisted && this.#join());
    this.#say("connecting");
    this.#join();
  }

  close(lastWord) {
    this.#life.abort();
    this.#leave(lastWord);
  }

  async #join(steal) {
    this.#wait.abort();
    this.#wait = new AbortController();
    const { signal } = this.#wait;
    try {
      if (this.#on.fetchTicket && !this.#on.headers) throw new Error("cannot read the table");
      if (!steal) this.#follow();
      await navigator.locks.request(this.#path, steal ? { steal } : { signal }, () => {
        if (!signal.aborted) return new Promise((free) => this.#lead("leading", free));
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.name === "AbortError") return this.#join(); // another took the lead
      this.#leave();
      this.#lead("alone");
    }
  }

  #leave(lastWord) {
    this.#rest();
    this.#wait.abort();
    this.#leads = false;
    this.#tabs?.close();
    this.#tabs = null;
    const free = () => this.#free?.();
    lastWord ? setTimeout(free, LAST_WORD_MS) : free();
  }

  #lead(role, free) {
    this.#free = free;
    this.#leads = true;
    this.#call("onRole", role);
    this.#tell({ first: this.#first });
    this.#connect();
  }

  #follow() {
    this.#rest();
    this.#leads = false;
    this.#tabs ??= new BroadcastChannel(this.#path);
    this.#tabs.onmessage = ({ data }) => this.#hear(data);
    this.#tabs.postMessage({ hello: true });
    this.#call("onRole", "following");
    this.#expect(jittered(LEADERLESS_MS), () => this.#join(true));
  }

  #tell(word) {
    if (!this.#leads || !this.#tabs) return;
    this.#spoke = Date.now();
    this.#tabs.postMessage({ at: this.#seq, state: this.#state, ...word });
  }

  #hear(word) {
    if (word.hello) return this.#tell({ first: this.#first });
    if (this.#leads || (this.#waiting >= INBOX && !word.end)) return;
    this.#expect(jittered(LEADERLESS_MS), () => this.#join(true));
    this.#waiting += 1;
    this.#inbox = this.#inbox.then(() => this.#heed(word)).finally(() => (this.#waiting -= 1));
  }

  async #heed({ first, back, event, after, at, state, end }) {
    if (this.#isDeaf()) return;
    this.#say(state);
    if (first && (this.#seq === null || back)) this.#hand(first);
    if (this.#seq !== null) await this.#reach(after ?? at);
    if (this.#isDeaf()) return;
    if (event && this.#seq !== null) this.#hand(event);
    if (end) this.#finish(end);
  }

  async #reach(seq) {
    for (let wait = 250; this.#seq < seq && !this.#isDeaf(); wait = Math.min(2 * wait, RETRY_CAP_MS)) {
      const { status, events } = await this.#page(this.#life.signal);
      if (this.#isDeaf() || this.#refused(status)) return;
      events?.forEach((event) => this.#hand(event));
      if (events?.length === 0) this.#seq = seq; // what was there has been deleted
      if (!events) await new Promise((done) => setTimeout(done, jittered(wait)));
    }
  }

  #isDeaf() {
    return this.#leads || !this.#tabs;
  }

  async #connect() {
    const signal = this.#begin();
    if (this.#state === "live") this.#say("reconnecting");
    try {
      const query = new URLSearchParams();
      if (this.#seq !== null) query.set("last_event_id", this.#seq);
      if (this.#on.fetchTicket) query.set("ticket", (this.#ticket ??= await this.#on.fetchTicket()));
      // An EventSource hides heartbeats, and so a dead connection.
      const answer = await this.#ask(`/progress?${query}`, {}, signal);
      if (answer.status === 204) return this.#finish(this.#ending ?? "completed");
      if (answer.status === 401) this.#ticket = null;
      if (this.#refused(answer.status, this.#on.fetchTicket)) return;
      if (answer.ok) await this.#read(answer.body.pipeThrough(new TextDecoderStream()).getReader(), signal);
    } catch (error) {
      if (!signal.aborted && error.status === 401) return this.#finish("expired");
    }
    if (!signal.aborted) this.#failed();
  }

  async #read(reader, signal) {
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      this.#heard = Date.now();
      if (this.#state === "live") this.#expect(SILENCE_MS);
      if (this.#heard - this.#spoke > BEAT_MS) this.#tell();
      const messages = (rest + value).split("\n\n");
      rest = messages.pop();
      for (const message of messages) if (!signal.aborted) this.#take(message);
    }
  }

  #take(message) {
    const { event, data, retry } = Object.fromEntries(message.split("\n").map((line) => line.split(/: (.*)/s, 2)));
    if (retry) this.#retry = Number(retry);
    if (!data) return;
    const value = JSON.parse(data);
    if (value.reason === "expired") this.#ticket = null;
    if (!event) return this.#pass(value);
    if (event === "hello") {
      this.#failures = 0;
      this.#expect(SILENCE_MS);
      this.#say("live");
    } else if (event === "drain" || PASSING.includes(value.reason)) this.#say("reconnecting");
    else if (event === "end") this.#finish(value.reason);
  }

  async #poll(until) {
    const signal = this.#begin();
    const { status, events, has_more: more } = await this.#page(signal);
    if (signal.aborted || this.#refused(status)) return;
    if (!events) return this.#connect();
    this.#say("polling");
    this.#tell();
    if (this.#seq === null) this.#pass(START);
    for (const event of events) this.#pass(event);
    if (signal.aborted) return;
    if (more) return this.#poll(until);
    if (this.#ending) return this.#finish(this.#ending);
    if (Date.now() > until) return this.#connect();
    this.#later(jittered(POLL_MS), () => this.#poll(until));
  }

  async #page(signal) {
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
      const answer = await this.#ask(`/events?after=${this.#seq ?? 0}`, await this.#on.headers?.(), limit);
      return { status: answer.status, ...(answer.ok && (await answer.json())) };
    } catch {
      return {};
    }
  }

  #ask(path, headers, signal) {
    const credentials = this.#on.fetchTicket ? "omit" : "include";
    return fetch(this.#path + path, { cache: "no-store", credentials, headers, signal });
  }

  /** Finish after a final answer; that a ticket was late is none. */
  #refused(status, ticket) {
    if (!FINAL[status] || (ticket && status === 401)) return false;
    this.#finish(FINAL[status]);
    return true;
  }

  #failed() {
    this.#rest();
    if (this.#ending) return this.#finish(this.#ending); // all has been seen
    this.#failures += 1;
    if (this.#state === "live") this.#say("reconnecting");
    const pause = Math.min(RETRY_CAP_MS, 1_000 * 2 ** (this.#failures - 1));
    const poll = this.#failures >= 2 && (this.#on.headers || !this.#on.fetchTicket);
    const again = () => (poll ? this.#poll(Date.now() + pause) : this.#connect());
    this.#later(Math.max(this.#retry, this.#failures > 1 && jittered(pause)), again);
  }

  /** The page is back: do not wait, nor trust a stream that was silent. */
  #wake(silence) {
    if (this.#next) this.#next();
    else if (this.#state === "live" && this.#leads && silence > SILENCE_MS / 2) this.#connect();
  }

  #begin() {
    this.#rest();
    this.#run = new AbortController();
    this.#expect(ANSWER_MS);
    return this.#run.signal;
  }

  #later(ms, next) {
    this.#rest();
    this.#next = next;
    this.#timer = setTimeout(next, ms);
  }

  #expect(ms, otherwise = () => this.#failed()) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(otherwise, ms);
  }

  #rest() {
    this.#run.abort();
    clearTimeout(this.#timer);
    this.#next = null;
  }

  #pass(event) {
    const after = this.#seq;
    if (!this.#hand(event)) return;
    this.#tell(event.type === "snapshot" ? { first: event, back: event.seq < after } : { event, after });
  }

  #hand(event) {
    const { seq, type, payload } = event;
    const snapshot = type === "snapshot";
    if (this.#life.signal.aborted || (!snapshot && seq <= this.#seq)) return false;
    this.#seq = seq;
    if (snapshot) this.#first = event;
    const status = snapshot ? payload?.job?.status : type.startsWith("job.") && type.slice(4);
    if (status !== false) this.#ending = ENDINGS.includes(status) ? status : null;
    if (event !== START) this.#call(snapshot ? "onSnapshot" : "onEvent", event);
    return true;
  }

  #finish(reason) {
    if (this.#life.signal.aborted) return;
    if (reason !== "expired" || !this.#on.fetchTicket) this.#tell({ first: this.#first, end: reason });
    this.close(true);
    this.#say("idle");
    this.#call("onEnd", reason);
  }

  #say(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#tell();
    this.#call("onState", state);
  }

  /** A fault of the page's is none of the connection. */
  #call(name, value) {
    try {
      this.#on[name]?.(value);
    } catch (error) {
      reportError(error);
    }
  }
}
