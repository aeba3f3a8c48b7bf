// The chunks of one recording that the server does not have yet: on this device's store, and in memory where that fails.

export class Chunks {
  #loose = new Map();
  #gone = new Set(); // a store that fails to let one go would have it sent again and again
  #made = 0;
  #stored;

  /** `stored`: whether the store has some already. */
  constructor(store, mediaId, stored) {
    Object.assign(this, { store, mediaId });
    this.#stored = stored;
  }

  /** Whether all of them outlive this page. */
  get kept() {
    return this.#loose.size === 0;
  }

  async add(blob) {
    const number = (this.#made += 1);
    this.#loose.set(number, blob);
    await this.store.putChunk(this.mediaId, number, blob).then(() => this.#isStored(number), () => {});
  }

  /** Throws when the store cannot be read, and something is there: a recording is not joined without it. */
  async all() {
    const stored = this.#stored ? await this.store.chunks(this.mediaId) : [];
    const loose = [...this.#loose].map(([number, blob]) => ({ number, blob }));
    const here = [...stored, ...loose].filter(({ number }) => !this.#gone.has(number));
    return here.sort((one, other) => one.number - other.number);
  }

  async remove(number) {
    this.#gone.add(number);
    this.#loose.delete(number);
    await this.store.removeChunk(this.mediaId, number).catch(() => {});
  }

  #isStored(number) {
    this.#stored = true;
    this.#loose.delete(number);
  }
}
