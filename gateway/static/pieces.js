// The pieces of one recording that the server does not have yet: on this device's shelf, and in memory where that fails.

export class Pieces {
  #loose = new Map();
  #gone = new Set(); // a shelf that fails to let one go would have it sent again and again
  #made = 0;

  constructor(shelf, mediaId) {
    Object.assign(this, { shelf, mediaId });
  }

  /** Whether all of them outlive this page. */
  get kept() {
    return this.#loose.size === 0;
  }

  async add(blob) {
    const number = (this.#made += 1);
    this.#loose.set(number, blob);
    await this.shelf.putPiece(this.mediaId, number, blob).then(() => this.#loose.delete(number), () => {});
  }

  async all() {
    const shelved = await this.shelf.pieces(this.mediaId).catch(() => []);
    const loose = [...this.#loose].map(([number, blob]) => ({ number, blob }));
    const here = [...shelved, ...loose].filter(({ number }) => !this.#gone.has(number));
    return here.sort((one, other) => one.number - other.number);
  }

  async remove(number) {
    this.#gone.add(number);
    this.#loose.delete(number);
    await this.shelf.removePiece(this.mediaId, number).catch(() => {});
  }
}
