// Files on their way to the server: three at once, each tried again by itself, then by hand under the same id.

import { Problem, upload } from "./api.js";

const AT_ONCE = 3;
const ATTEMPTS = 4;
const LARGEST = 104_857_600;
const NAME_LENGTH = 255;

// Browsers on some desktops name no type for HEIC, and phones name audio in their own ways.
const TYPES = {
  "image/jpeg": "photo", "image/png": "photo", "image/webp": "photo", "image/heic": "photo", "image/heif": "photo",
  "audio/webm": "audio", "audio/mp4": "audio", "audio/aac": "audio", "audio/mpeg": "audio",
};
const OTHER_NAMES = { "audio/x-m4a": "audio/mp4", "audio/m4a": "audio/mp4", "audio/mp3": "audio/mpeg",
  "video/webm": "audio/webm", "image/jpg": "image/jpeg" };
const EXTENSIONS = { jpg: "image/jpeg", jpeg: "image/jpeg", png: "image/png", webp: "image/webp", heic: "image/heic",
  heif: "image/heif", weba: "audio/webm", webm: "audio/webm", m4a: "audio/mp4", mp4: "audio/mp4", aac: "audio/aac",
  mp3: "audio/mpeg" };

/** The content type a file is sent as, or "" for one we do not take. */
export function contentTypeOf(file) {
  const given = file.type.toLowerCase();
  const bare = given.split(";")[0].trim();
  if (TYPES[bare]) return given;
  return OTHER_NAMES[bare] ?? EXTENSIONS[file.name?.split(".").pop().toLowerCase()] ?? "";
}

export const kindOf = (contentType) => TYPES[contentType.split(";")[0]] ?? "";

/**
 * Emits "change" with `detail.item` whenever an item moves on. An item:
 * {mediaId, visitId, file, name, kind, contentType, sequence, durationMs, state, progress, problem, medium},
 * state: waiting, uploading, paused (goes on by itself), stored, failed (try again) or refused (it would never pass).
 */
export class Uploads extends EventTarget {
  #items = new Map();
  #sequences = new Map();
  #active = 0;

  /** Numbers go on from what the visit already holds. */
  continueAfter(visitId, sequence) {
    this.#sequences.set(visitId, Math.max(sequence, this.#sequences.get(visitId) ?? 0));
  }

  of(visitId) {
    return [...this.#items.values()].filter((item) => item.visitId === visitId);
  }

  /** How many of a visit's files are still under way. */
  pending(visitId) {
    return this.of(visitId).filter((item) => ["waiting", "uploading", "paused"].includes(item.state)).length;
  }

  failed(visitId) {
    return this.of(visitId).filter((item) => item.state === "failed").length;
  }

  /** Whether closing the page now would lose a file. */
  get busy() {
    return [...this.#items.values()].some((item) => item.state !== "refused");
  }

  add(visitId, file, { durationMs = null } = {}) {
    const contentType = contentTypeOf(file);
    const item = {
      mediaId: newId(), visitId, file, contentType, durationMs, attempts: 0, progress: 0, problem: null, medium: null,
      name: (file.name || "").slice(-NAME_LENGTH), kind: kindOf(contentType), state: "waiting",
      sequence: this.#nextSequence(visitId), abort: new AbortController(),
    };
    this.#items.set(item.mediaId, item);
    item.problem = refusal(file, contentType);
    if (item.problem) item.state = "refused";
    this.#changed(item);
    this.#fill();
    return item;
  }

  retry(item) {
    item.attempts = 0;
    this.#wait(item);
  }

  remove(item) {
    item.abort.abort();
    this.#items.delete(item.mediaId);
    this.#changed(item);
  }

  #nextSequence(visitId) {
    const next = (this.#sequences.get(visitId) ?? 0) + 1;
    this.#sequences.set(visitId, next);
    return next;
  }

  #fill() {
    for (const item of this.#items.values()) {
      if (this.#active >= AT_ONCE) return;
      if (item.state === "waiting") this.#run(item);
    }
  }

  async #run(item) {
    this.#active += 1;
    Object.assign(item, { state: "uploading", progress: 0, problem: null, attempts: item.attempts + 1 });
    this.#changed(item);
    try {
      item.medium = await send(item, (share) => this.#progress(item, share));
      item.state = "stored";
      this.#items.delete(item.mediaId); // the visit holds it now; hundreds of photos must not stay in memory
    } catch (error) {
      this.#fail(item, error);
    } finally {
      this.#active -= 1;
    }
    if (item.state === "stored" || this.#items.has(item.mediaId)) this.#changed(item);
    this.#fill();
  }

  #progress(item, share) {
    item.progress = share;
    this.#changed(item);
  }

  #fail(item, error) {
    item.problem = error.status === 415 ? notWhatItSays(error) : error;
    item.state = error.passing || error.status === 401 ? "failed" : "refused";
    if (error.passing && item.attempts < ATTEMPTS) {
      item.state = "paused";
      setTimeout(() => this.#wait(item), error.retryAfter ?? pause(item.attempts));
    }
  }

  #wait(item) {
    if (!this.#items.has(item.mediaId) || !["paused", "failed"].includes(item.state)) return;
    item.state = "waiting";
    this.#changed(item);
    this.#fill();
  }

  #changed(item) {
    this.dispatchEvent(new CustomEvent("change", { detail: { item } }));
  }
}

/** 1, 2, 4 s, each +/-30 %. */
const pause = (attempt) => 1000 * 2 ** (attempt - 1) * (0.7 + 0.6 * Math.random());

function send(item, onProgress) {
  const headers = {
    "content-type": item.contentType,
    "x-media-id": item.mediaId, // the same on every retry: a file that did arrive is not stored twice
    "x-sequence": String(item.sequence),
    "x-file-name": encodeURIComponent(item.name),
  };
  if (item.durationMs !== null) headers["x-duration-ms"] = String(item.durationMs);
  return upload(`/v1/visits/${item.visitId}/media`, item.file, headers, onProgress, item.abort.signal);
}

function refusal(file, contentType) {
  if (!contentType) {
    return new Problem({ title: "Not a kind we take", detail: "Photos can be JPEG, PNG, WebP or HEIC; audio WebM, MP4, AAC or MP3." });
  }
  if (file.size === 0) return new Problem({ title: "Empty", detail: "This file holds nothing." });
  if (file.size > LARGEST) return new Problem({ title: "Too large", detail: "A file may have at most 100 MB." });
  return null;
}

/** The server speaks of types and bytes, to programmers. */
function notWhatItSays({ members }) {
  const found = members.found?.split("/")[1].toUpperCase();
  const detail = found ? `Inside it is ${found}: rename it and add it again.` : "It holds no photo and no recording.";
  return new Problem({ title: "Not what its name says", detail });
}

export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // plain http on a phone has no randomUUID
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
