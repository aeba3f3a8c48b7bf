// What happens to the open visit, as it happens: the stream, and the part of a run that went before it.

import { call } from "./api.js";
import { byId } from "./dom.js";
import { watchVisit } from "./progress.js";

const PAGE = 500;
const STATES = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  polling: "Checking every few seconds",
  idle: "Up to date",
};

/**
 * Follows `visitId`. `onSnapshot({job, steps})` comes first and after each fresh start; then `onEvent(event)`, each
 * event once and in order, those of a run already under way first. `onEnd(reason)` when the stream is over.
 */
export class Live {
  #watch;
  #held = null; // live events that wait until the earlier ones of the run are read
  #seen = []; // ranges of seq handed on; one range means that nothing was missed
  #closed = false;

  constructor(visitId, { onSnapshot, onEvent, onEnd, onProblem }) {
    Object.assign(this, { visitId, onSnapshot, onEvent, onEnd, onProblem });
    this.#say("connecting");
    this.#watch = watchVisit(visitId, {
      onEvent: (event) => (this.#held ? this.#held.push(event) : this.#hand(event)),
      onSnapshot: (snapshot) => this.#start(snapshot),
      onState: (state) => this.#say(state),
      onEnd: (reason) => this.onEnd(reason),
    });
  }

  close() {
    this.#closed = true;
    this.#watch.close();
  }

  /** The snapshot tells where the run stands; its drafted lines are read from the table. */
  async #start({ seq, payload }) {
    this.onSnapshot(payload);
    if (!["queued", "running"].includes(payload.job?.status)) return;
    this.#held ??= [];
    try {
      for (const event of await this.#history(seq)) this.#hand(event);
    } catch (error) {
      this.onProblem(error);
    }
    const held = this.#held ?? [];
    this.#held = null;
    for (const event of held) this.#hand(event);
  }

  async #history(until) {
    const events = [];
    let after = 0;
    for (let more = true; more && after < until && !this.#closed; ) {
      const page = await call("GET", `/v1/visits/${this.visitId}/events?after=${after}&limit=${PAGE}`);
      events.push(...page.events.filter((event) => event.seq <= until));
      after = page.events.at(-1)?.seq ?? until;
      more = page.has_more;
    }
    return events;
  }

  #hand(event) {
    const last = this.#seen.at(-1);
    if (this.#closed || (last && event.seq <= last[1])) return;
    if (last && event.seq === last[1] + 1) last[1] = event.seq;
    else this.#seen.push([event.seq, event.seq]);
    byId("connection").dataset.seen = this.#seen.map(([from, to]) => `${from}-${to}`).join(",");
    this.onEvent(event);
  }

  #say(state) {
    if (this.#closed) return;
    const pill = byId("connection");
    pill.dataset.state = state;
    byId("connection-text").textContent = STATES[state] ?? state;
  }
}
