// A field that saves itself: soon after the last key, when it loses focus, and when the page goes away.

const QUIET_MS = 700;
const RETRY_MS = 5000;

/**
 * `save(value, {keepalive})` stores the value; `show(state)` gets "dirty", "saving", "saved" or "unsaved".
 * One save runs at a time; a failed one is tried again by itself. `flush()` resolves when the field is stored.
 */
export class Autosave {
  constructor(field, save, show) {
    Object.assign(this, { field, save, show });
    this.stored = field.value;
    this.timer = 0;
    this.running = null;
    this.listeners = new AbortController();
    const { signal } = this.listeners;
    field.addEventListener("input", () => this.#later(QUIET_MS, "dirty"), { signal });
    field.addEventListener("blur", () => this.flush().catch(() => {}), { signal });
    addEventListener("pagehide", () => this.#lastChance(), { signal });
    addEventListener("online", () => this.flush().catch(() => {}), { signal });
  }

  get dirty() {
    return this.field.value !== this.stored;
  }

  async flush() {
    clearTimeout(this.timer);
    while (this.dirty) await (this.running ??= this.#saveNow());
  }

  close() {
    this.#lastChance();
    clearTimeout(this.timer);
    this.listeners.abort();
  }

  async #saveNow() {
    const { value } = this.field;
    this.show("saving");
    try {
      await this.save(value, { keepalive: false });
      this.stored = value;
      this.show(this.dirty ? "dirty" : "saved");
    } catch (error) {
      // Jittered, so that a van full of phones coming back into signal does not knock at once.
      if (error.passing) this.#later(RETRY_MS * (0.7 + 0.6 * Math.random()), "unsaved");
      else this.show("unsaved", error);
      throw error;
    } finally {
      this.running = null;
    }
  }

  #later(ms, state) {
    this.show(state);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush().catch(() => {}), ms);
  }

  #lastChance() {
    if (this.dirty && !this.running) this.save(this.field.value, { keepalive: true }).catch(() => {});
  }
}
