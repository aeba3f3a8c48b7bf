// Where a company has no live progress, the run is asked after instead.

const EVERY_MS = 3000;

export class JobPoll {
  #timer = 0;

  /** `ask()` reads the job again and may throw; it is asked while `wanted()`. */
  constructor(ask, wanted) {
    Object.assign(this, { ask, wanted });
  }

  /** Ask from now on, until the run is over. */
  open() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), EVERY_MS * (0.8 + 0.4 * Math.random()));
  }

  close() {
    clearTimeout(this.#timer);
  }

  async #tick() {
    try {
      if (!document.hidden) await this.ask();
    } catch {
      // The next one may pass; a run that failed is told by its own state.
    }
    if (this.wanted()) this.open();
  }
}
