// The pieces of one recording that the server does not have yet: on this device's shelf, and in memory where that fails.

export class Pieces {
  #loose = new Map();
  #gone = new Set(); // a shelf that fails to let one go would have it sent again and again
  #made = 0;
  #shelved;

  /** `shelved`: whether the shelf has some already. */
  constructor(shelf, mediaId, shelved) {
    Object.assign(this, { shelf, mediaId });
    this.#shelved = shelved;
  }

  /** Whether all of them outlive this page. */
  get kept() {
    return this.#loose.size === 0;
  }

  async add(blob) {
    const number = (this.#made += 1);
    this.#loose.set(number, blob);
    await this.shelf.putPiece(this.mediaId, number, blob).then(() => this.#isShelved(number), () => {});
  }

  /** Throws when the shelf cannot be read, and something is there: a recording is not joined without it. */
  async all() {
    const shelved = this.#shelved ? await this.shelf.pieces(this.mediaId) : [];
    const loose = [...this.#loose].map(([number, blob]) => ({ number, blob }));
    const here = [...shelved, ...loose].filter(({ number }) => !this.#gone.has(number));
    return here.sort((one, other) => one.number - other.number);
  }

  async remove(number) {
    this.#gone.add(number);
    this.#loose.delete(number);
    await this.shelf.removePiece(this.mediaId, number).catch(() => {});
  }

  #isShelved(number) {
    this.#shelved = true;
    this.#loose.delete(number);
  }
}
