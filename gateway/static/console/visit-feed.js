// What happens to the open visit, as it happens: the stream, and the part of a run that went before it.

import { call } from "../shared/api.js";
import { byId } from "../shared/dom.js";
import { watchVisit } from "../progress.js";

const PAGE = 500;
const QUIET_MS = 3000;
const STATES = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  polling: "Checking every few seconds",
  idle: "Up to date",
  off: "Not live",
};
const FINAL = ["disabled", "revoked"]; // nobody will tell us any more

/**
 * Follows `visitId`. `onSnapshot({job, steps})` comes first, once; then `onEvent(event)`, each event once and in
 * order, those of a run already under way first.
 *
 * A stream is over when its run is. Customers answer later, so from then on new events are asked for now and then
 * while the page is looked at, and a new run opens the stream again.
 */
export class VisitFeed {
  #watch = null;
  #held = null; // live events that wait until the earlier ones of the run are read
  #seen = []; // ranges of seq handed on; one range means that nothing was missed
  #position = 0;
  #timer = 0;
  #closed = false;

  constructor(visitId, { onSnapshot, onEvent, onProblem }) {
    Object.assign(this, { visitId, onSnapshot, onEvent, onProblem });
    this.open();
  }

  /** Open the stream, unless it is open. */
  open() {
    if (this.#watch !== null) return;
    clearTimeout(this.#timer);
    this.#say("connecting");
    this.#watch = watchVisit(this.visitId, {
      onEvent: (event) => (this.#held ? this.#held.push(event) : this.#hand(event)),
      onSnapshot: (snapshot) => this.#start(snapshot),
      onState: (state) => this.#say(state),
      onEnd: (reason) => this.#over(reason),
    });
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#watch?.close();
  }

  /** A page that knows nothing yet begins with the snapshot; the lines of a run under way are read from the table. */
  async #start({ seq, payload }) {
    const begin = this.#position;
    if (begin === 0) {
      this.#position = seq;
      this.onSnapshot(payload);
      if (!["queued", "running"].includes(payload.job?.status)) return;
    }
    this.#held ??= [];
    await this.#replay(begin, seq, begin === 0 ? payload.job.id : null);
    const held = this.#held ?? [];
    this.#held = null;
    for (const event of held) this.#hand(event);
  }

  /** Hand on what the table has of `after..until`; of `jobId` alone, when the rest is known from elsewhere. */
  async #replay(after, until, jobId) {
    try {
      for (let page = { has_more: true }; page.has_more && after < until && !this.#closed; ) {
        page = await this.#page(after);
        for (const event of page.events) this.#hand(event, jobId === null || event.job_id === jobId);
        after = page.events.at(-1)?.seq ?? until;
      }
    } catch (error) {
      if (!this.#closed) this.onProblem(error);
    }
  }

  #page(after) {
    return call("GET", `/v1/visits/${this.visitId}/events?after=${after}&limit=${PAGE}`);
  }

  #hand(event, wanted = true) {
    const last = this.#seen.at(-1);
    if (this.#closed || (last && event.seq <= last[1])) return;
    if (last && event.seq === last[1] + 1) last[1] = event.seq;
    else this.#seen.push([event.seq, event.seq]);
    this.#position = event.seq;
    byId("connection").dataset.seen = this.#seen.map(([from, to]) => `${from}-${to}`).join(",");
    if (wanted) this.onEvent(event);
  }

  #over(reason) {
    this.#watch?.close();
    this.#watch = null;
    if (this.#closed) return;
    const final = FINAL.includes(reason);
    this.#say(final ? "off" : "idle");
    if (!final) this.#later();
  }

  #later() {
    this.#timer = setTimeout(() => this.#askQuietly(), QUIET_MS * (0.8 + 0.4 * Math.random()));
  }

  async #askQuietly() {
    if (document.hidden) return this.#later();
    try {
      const { events } = await this.#page(this.#position);
      if (this.#closed || this.#watch !== null) return undefined;
      if (events.some((event) => event.type === "job.queued" && !event.background)) return this.open();
      for (const event of events) this.#hand(event);
    } catch (error) {
      if (error.status === 401) return this.onProblem(error);
    }
    return this.#later();
  }

  #say(state) {
    if (this.#closed) return;
    const pill = byId("connection");
    pill.dataset.state = state;
    byId("connection-text").textContent = STATES[state] ?? state;
  }
}
