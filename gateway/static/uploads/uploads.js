// Files and recordings on their way to the server: kept on this device first, then sent three at a time until the
// server has them, through dead spots, reloads and restarts of the browser.

import { Problem, call } from "../shared/api.js";
import { contentTypeOf, kindOf, refusal } from "./file-kinds.js";
import { Chunks } from "./chunks.js";
import { readMedium, sendFile } from "./send-file.js";
import { dropRecording, sendChunks, sendRecording } from "./send-recording.js";
import { UploadStore, alone } from "./upload-store.js";

const AT_ONCE = 3;
const NAME_LENGTH = 255;
const REPORTED_EVERY = 5; // what the alert on upload failures counts
const LONGEST_PAUSE_MS = 60_000;
const ON_THE_WAY = ["saving", "saved", "waiting", "uploading", "paused"];
// What is kept of an item on the store.
const KEPT = ["mediaId", "visitId", "file", "contentType", "name", "kind", "sequence", "durationMs", "addedAt", "url",
  "attempts", "problem", "refused", "taken"];

/**
 * Emits "change" with `detail.item` whenever an item moves on. An item:
 * {mediaId, visitId, file, name, kind, contentType, sequence, durationMs, kept, state, progress, problem, medium},
 * state: recording (nobody's business yet), saving, saved (no signal), waiting, uploading, paused (goes on by itself),
 * stored, failed (try again) or refused (the server takes no such bytes, `refused`, or we would not even send them). `kept` says whether it outlives this page. A recording
 * has no file but chunks, which go up while it is made; `taken` says that the server has had one. Emits "cut" with
 * `detail.item` and `detail.problem` when no more of a recording can go up.
 */
export class Uploads extends EventTarget {
  #items = new Map();
  #sequences = new Map();
  #active = 0;
  #started = false;
  #store = new UploadStore("");

  constructor() {
    super();
    addEventListener("online", () => this.wake());
    addEventListener("offline", () => this.#sleep());
  }

  /** Take up what this person left on the device. Throws Problem when another tab keeps it. */
  async restore(owner) {
    this.#store = new UploadStore(owner);
    let records = [];
    try {
      records = await this.#store.all();
    } catch (error) {
      if (error instanceof Problem) throw error;
      return; // a browser that keeps nothing has nothing to take up
    }
    for (const { problem, ...record } of records) this.#take({ ...record, problem: problem && new Problem(problem) });
  }

  /** Begin to send: the server has said that it is this person who is here. */
  start() {
    this.#started = true;
    this.#fill();
  }

  /** Numbers go on from what the visit already holds. */
  continueAfter(visitId, sequence) {
    this.#sequences.set(visitId, Math.max(sequence, this.#sequences.get(visitId) ?? 0));
  }

  lastSequence(visitId) {
    return this.#sequences.get(visitId) ?? 0;
  }

  of(visitId) {
    return [...this.#items.values()].filter((item) => item.visitId === visitId && item.state !== "recording");
  }

  /** How many of a visit's files are still under way. */
  pending(visitId) {
    return this.of(visitId).filter((item) => ON_THE_WAY.includes(item.state)).length;
  }

  failed(visitId) {
    return this.of(visitId).filter((item) => item.state === "failed").length;
  }

  /** The files that are not with the server yet. */
  get underWay() {
    return [...this.#items.values()].filter((item) => !["recording", "refused"].includes(item.state));
  }

  /** What is being recorded. */
  get recordings() {
    return [...this.#items.values()].filter((item) => item.state === "recording");
  }

  /** Whether closing the page now would lose a file. */
  get busy() {
    return this.underWay.some((item) => !item.kept);
  }

  add(visitId, file) {
    const contentType = contentTypeOf(file);
    const problem = refusal(file, contentType);
    const item = this.#take({ ...this.#newRecord(visitId, contentType, file.name || ""), file, problem, state: "saving" });
    if (item.problem) this.#move(item, "refused");
    else this.#keep(item).then(() => this.#ready(item));
    return item;
  }

  /** Take a recording as it is made: `add(blob)` each chunk, then `end(durationMs)`, or `discard()`. */
  record(visitId, contentType, name) {
    const item = this.#take({ ...this.#newRecord(visitId, contentType, name), file: null, state: "recording" });
    // Until it ends no other tab takes it up; after a crash the next one does.
    const ended = Promise.withResolvers();
    alone(item.mediaId, () => ended.promise);
    let added = this.#keep(item).then(() => this.#changed(item));
    return {
      add: (blob) => (added = added.then(() => this.#addChunk(item, blob))),
      end: (durationMs) => added.then(() => this.#keep(Object.assign(item, { durationMs }))).then(() => {
        ended.resolve();
        this.#ready(item);
      }),
      discard: () => added.then(() => this.remove(item)).then(ended.resolve),
    };
  }

  /** There is signal again: none waiting for the rest of a pause. */
  wake() {
    for (const item of this.#items.values()) if (["saved", "paused"].includes(item.state)) this.#ready(item);
  }

  retry(item) {
    Object.assign(item, { attempts: 0, refused: false });
    this.#ready(item);
  }

  remove(item) {
    item.abort.abort();
    this.#let(item);
    if (item.url) call("DELETE", item.url, undefined, { headers: { "tus-resumable": "1.0.0" } }).catch(() => {});
    if (!item.file) dropRecording(item).catch(() => {});
    this.#changed(item);
  }

  #newRecord(visitId, contentType, name) {
    return { mediaId: newId(), visitId, contentType, durationMs: null, addedAt: Date.now(), url: null, attempts: 0,
      name: name.slice(-NAME_LENGTH), kind: kindOf(contentType), sequence: this.#nextSequence(visitId), problem: null,
      refused: false, taken: false, kept: false };
  }

  #take(record) {
    const state = record.refused ? "refused" : navigator.onLine ? "waiting" : "saved";
    const item = { progress: 0, medium: null, kept: true, state, abort: new AbortController(), ...record };
    if (!item.file) item.chunks = new Chunks(this.#store, item.mediaId, item.kept);
    this.#items.set(item.mediaId, item);
    this.continueAfter(item.visitId, item.sequence);
    this.#changed(item);
    return item;
  }

  #nextSequence(visitId) {
    const next = this.lastSequence(visitId) + 1;
    this.#sequences.set(visitId, next);
    return next;
  }

  async #keep(item) {
    const record = Object.fromEntries(KEPT.map((name) => [name, item[name]]));
    try {
      await this.#store.put({ ...record, problem: item.problem && { ...item.problem } });
      item.kept = item.chunks?.kept ?? true;
    } catch {
      item.kept = false; // no room, or a private window: it is sent all the same, while the page is open
    }
  }

  /** Keep a chunk, and send what is here; without signal that is done later. */
  async #addChunk(item, blob) {
    const { kept } = item.chunks;
    await item.chunks.add(blob);
    if (kept !== item.chunks.kept) this.#changed(item);
    if (!this.#items.has(item.mediaId)) return;
    if (!navigator.onLine || !this.#started || item.trickle) return;
    const { signal } = item.abort;
    item.trickle = sendChunks(item, item.chunks, { signal, onTaken: () => this.#taken(item) })
      .catch((error) => error.status === 413 && this.#cut(item, error))
      .finally(() => (item.trickle = null));
  }

  async #taken(item) {
    if (!item.taken && this.#items.has(item.mediaId)) await this.#keep(Object.assign(item, { taken: true }));
  }

  #cut(item, problem) {
    this.dispatchEvent(new CustomEvent("cut", { detail: { item, problem } }));
  }

  #let(item) {
    this.#items.delete(item.mediaId);
    return this.#store.remove(item.mediaId).catch(() => {});
  }

  #ready(item) {
    if (!this.#items.has(item.mediaId) || item.state === "uploading") return;
    clearTimeout(item.timer);
    this.#move(item, navigator.onLine ? "waiting" : "saved");
    this.#fill();
  }

  #sleep() {
    for (const item of this.#items.values()) if (["waiting", "paused"].includes(item.state)) this.#ready(item);
  }

  #fill() {
    if (!this.#started) return;
    for (const item of this.#items.values()) {
      if (this.#active >= AT_ONCE) return;
      if (item.state === "waiting") this.#run(item);
    }
  }

  async #run(item) {
    this.#active += 1;
    Object.assign(item, { progress: 0, problem: null });
    this.#move(item, "uploading");
    try {
      item.medium = await alone(item.mediaId, () => this.#send(item));
      await this.#stored(item);
    } catch (error) {
      await this.#fail(item, error);
    } finally {
      this.#active -= 1;
      this.#fill();
    }
  }

  /** Returns the medium that it has become; null for a recording of nothing. */
  async #send(item) {
    if (item.kept && !(await this.#store.has(item.mediaId))) return readMedium(item); // another tab has sent it
    const { signal } = item.abort;
    const onProgress = (share) => this.#move(Object.assign(item, { progress: share }), "uploading");
    if (item.file) return sendFile(item, { onUrl: (url) => this.#keep(Object.assign(item, { url })), onProgress, signal });
    await item.trickle;
    return sendRecording(item, item.chunks, { onProgress, signal, onTaken: () => this.#taken(item),
      onCut: (problem) => this.#cut(item, problem) });
  }

  async #stored(item) {
    await this.#let(item); // the visit holds it now; hundreds of photos must not stay on the phone
    if (item.medium === null) return this.#changed(item);
    this.#move(item, "stored");
    if (item.attempts > 0) report(item, "stored");
  }

  async #fail(item, error) {
    if (!this.#items.has(item.mediaId)) return;
    item.problem = problemOf(error);
    const { passing, final, status } = item.problem;
    if (!navigator.onLine) return this.#move(item, "saved"); // no fault of the upload's
    item.attempts += 1;
    item.refused = final;
    if (item.kept) await this.#keep(item);
    const ended = !passing && status !== 401;
    if (ended || item.attempts % REPORTED_EVERY === 0) report(item, ended ? "refused" : "trying");
    if (!passing) return this.#move(item, item.refused ? "refused" : "failed");
    item.timer = setTimeout(() => this.#ready(item), error.retryAfter ?? pause(item.attempts));
    return this.#move(item, "paused");
  }

  #move(item, state) {
    item.state = state;
    this.#changed(item);
  }

  #changed(item) {
    this.dispatchEvent(new CustomEvent("change", { detail: { item } }));
  }
}

/** In words for the card. What no server said, such as a file that cannot be read just now, may pass. */
function problemOf(error) {
  if (!(error instanceof Problem)) return new Problem({ title: "Interrupted", detail: String(error.message ?? error) });
  const { status, detail, members } = error;
  return status === 415 ? new Problem({ title: "Not a photo or recording", status, detail, members }) : error;
}

/** 1, 2, 4 ... 60 s, each +/-30 %: it never gives up, and a van full of phones does not knock at once. */
const pause = (attempt) => Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** (attempt - 1)) * (0.7 + 0.6 * Math.random());

/** Tell the office that an upload had trouble. It must not make more trouble itself. */
function report({ visitId, mediaId, attempts, problem }, outcome) {
  const payload = { media_id: mediaId, attempts, outcome, status: problem?.status ?? 0 };
  call("POST", `/v1/visits/${visitId}/sync-events`, { event: "upload_failed", payload }).catch(() => {});
}

export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // plain http on a phone has no randomUUID
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
