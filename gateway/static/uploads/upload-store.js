// The files that are on their way, and recordings chunk by chunk, kept on this device (IndexedDB) until the server has
// them.

import { Problem } from "../shared/api.js";

const NAME = "scopekit";
const VERSION = 2;
const STORE = "uploads";
const CHUNKS = "chunks";
const ALONE = "scopekit-upload-";

/** One person's store. A browser that cannot keep anything has one all the same: `put` then throws. */
export class UploadStore {
  #opened = null;

  constructor(owner) {
    this.owner = owner;
  }

  /** What this person left here, oldest first. */
  async all() {
    const records = await this.#ask("readonly", (store) => store.getAll());
    return records.filter(({ owner }) => owner === this.owner).sort((one, other) => one.addedAt - other.addedAt);
  }

  async has(mediaId) {
    return (await this.#ask("readonly", (store) => store.count(mediaId))) > 0;
  }

  put(record) {
    return this.#ask("readwrite", (store) => store.put({ ...record, owner: this.owner }));
  }

  async remove(mediaId) {
    await this.#ask("readwrite", (store) => store.delete(mediaId));
    await this.#ask("readwrite", (chunks) => chunks.delete(chunksOf(mediaId)), CHUNKS);
  }

  /** The chunks of a recording that are here, in their order: {number, blob}. */
  chunks(mediaId) {
    return this.#ask("readonly", (chunks) => chunks.getAll(chunksOf(mediaId)), CHUNKS);
  }

  putChunk(mediaId, number, blob) {
    return this.#ask("readwrite", (chunks) => chunks.put({ mediaId, number, blob }), CHUNKS);
  }

  removeChunk(mediaId, number) {
    return this.#ask("readwrite", (chunks) => chunks.delete([mediaId, number]), CHUNKS);
  }

  async #ask(mode, request, name = STORE) {
    const database = await (this.#opened ??= open(() => (this.#opened = null)));
    const transaction = database.transaction(name, mode, { durability: "strict" });
    const asked = request(transaction.objectStore(name));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? asked.error);
    });
    return asked.result;
  }
}

const chunksOf = (mediaId) => IDBKeyRange.bound([mediaId], [mediaId, []]); // an array is more than any number

/** Do `work` while no other tab does anything with this file. */
export function alone(mediaId, work) {
  if (!navigator.locks) return work(); // plain http; the server keeps two senders apart as well
  return navigator.locks.request(ALONE + mediaId, work);
}

/**
 * `onGone()` is told when the connection is no longer good and another one may be. While it waits for an older tab
 * another one would wait behind it, and nobody be told.
 */
function open(onGone) {
  return new Promise((resolve, reject) => {
    let blocked = false;
    const asked = indexedDB.open(NAME, VERSION);
    asked.onupgradeneeded = () => {
      const { result: database } = asked;
      const missing = (name) => !database.objectStoreNames.contains(name);
      if (missing(STORE)) database.createObjectStore(STORE, { keyPath: "mediaId" });
      if (missing(CHUNKS)) database.createObjectStore(CHUNKS, { keyPath: ["mediaId", "number"] });
    };
    asked.onsuccess = () => {
      const { result: database } = asked;
      if (blocked) {
        database.close();
        return onGone();
      }
      database.onclose = onGone;
      database.onversionchange = () => {
        database.close(); // else the tab of a newer version waits for this one
        onGone();
      };
      return resolve(database);
    };
    asked.onerror = () => {
      onGone();
      reject(asked.error);
    };
    asked.onblocked = () => {
      blocked = true;
      reject(new Problem({ title: "ScopeKit is open in an older tab", detail:
        "Close the other ScopeKit tabs and reload this page to get to the files saved on this device." }));
    };
  });
}
