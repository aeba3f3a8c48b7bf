// The visit that is open: what the server holds of it, and who wants to know when that changes.

import { call } from "../shared/api.js";

/** Emits "media", "details", "job" and "estimate" when that part changed. */
export class Visit extends EventTarget {
  #readings = new Set();
  #turn = 0;
  #answered = 0;

  static async open(id, signal) {
    const visit = new Visit(await call("GET", `/v1/visits/${id}`, undefined, { signal }));
    if (visit.estimate) visit.estimate = await call("GET", `/v1/visits/${id}/estimate`, undefined, { signal });
    return visit;
  }

  constructor({ media, job, estimate, ...details }) {
    super();
    this.id = details.id;
    this.details = details;
    this.media = new Map(media.map((medium) => [medium.id, medium]));
    this.job = job;
    this.estimate = estimate;
  }

  get name() {
    return this.details.title || this.details.customer_name || this.details.address || "Untitled visit";
  }

  /** As they are numbered on the page and in the estimate's own notes. */
  get photos() {
    return [...this.media.values()]
      .filter((medium) => medium.media_type === "photo")
      .sort((one, other) => (one.sequence ?? Infinity) - (other.sequence ?? Infinity));
  }

  get lastSequence() {
    return Math.max(0, ...[...this.media.values()].map((medium) => medium.sequence ?? 0));
  }

  /** Whether there is anything an estimate could rest on. */
  get hasContent() {
    return this.media.size > 0 || this.details.notes.trim() !== "";
  }

  get jobIsActive() {
    return this.job !== null && ["queued", "running"].includes(this.job.status);
  }

  async save(changes, { keepalive = false } = {}) {
    const saved = await call("PATCH", `/v1/visits/${this.id}`, changes, { keepalive });
    Object.assign(this.details, saved);
    this.#tell("details");
  }

  hold(medium) {
    this.media.set(medium.id, medium);
    for (const changes of this.#readings) changes.set(medium.id, medium);
    this.#tell("media");
  }

  async saveLabel(mediaId, label, { keepalive = false } = {}) {
    this.hold(await call("PATCH", `/v1/media/${mediaId}`, { label }, { keepalive }));
  }

  async remove(mediaId) {
    await call("DELETE", `/v1/media/${mediaId}`);
    this.forget(mediaId);
  }

  forget(mediaId) {
    for (const changes of this.#readings) changes.set(mediaId, null);
    if (this.media.delete(mediaId)) this.#tell("media");
  }

  /** Another device added something: read the list again. What changes here meanwhile is newer than the answer. */
  async refreshMedia() {
    const [turn, changes] = [++this.#turn, new Map()];
    this.#readings.add(changes);
    try {
      const { media } = await call("GET", `/v1/visits/${this.id}/media`);
      if (turn < this.#answered) return;  // a later reading has come first
      this.#answered = turn;
      this.media = new Map(media.map((medium) => [medium.id, medium]));
      for (const [id, medium] of changes) {
        if (medium) this.media.set(id, medium);
        else this.media.delete(id);
      }
    } finally {
      this.#readings.delete(changes);
    }
    this.#tell("media");
  }

  async requestEstimate(idempotencyKey) {
    const headers = { "idempotency-key": idempotencyKey };
    this.follow(await call("POST", `/v1/visits/${this.id}/estimate`, {}, { headers }));
  }

  async cancelJob() {
    this.follow(await call("POST", `/v1/jobs/${this.job.id}/cancel`, {}));
  }

  async refreshJob() {
    if (this.job) this.follow(await call("GET", `/v1/jobs/${this.job.id}`));
  }

  follow(job) {
    this.job = job;
    this.#tell("job");
  }

  async refreshEstimate() {
    this.estimate = await call("GET", `/v1/visits/${this.id}/estimate`);
    this.#tell("estimate");
  }

  #tell(part) {
    this.dispatchEvent(new Event(part));
  }
}
