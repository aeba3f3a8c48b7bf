// The files that are on their way, kept on this device (IndexedDB) until the server has them.

const NAME = "scopekit";
const STORE = "uploads";
const ALONE = "scopekit-upload-";

/** One person's shelf. A browser that cannot keep anything has one all the same: `put` then throws. */
export class Shelf {
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

  remove(mediaId) {
    return this.#ask("readwrite", (store) => store.delete(mediaId));
  }

  async #ask(mode, request) {
    const database = await (this.#opened ??= open());
    const transaction = database.transaction(STORE, mode, { durability: "strict" });
    const asked = request(transaction.objectStore(STORE));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? asked.error);
    });
    return asked.result;
  }
}

/** Do `work` while no other tab does anything with this file. */
export function alone(mediaId, work) {
  if (!navigator.locks) return work(); // plain http; the server keeps two senders apart as well
  return navigator.locks.request(ALONE + mediaId, work);
}

function open() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "mediaId" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}
