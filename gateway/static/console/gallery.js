// The photos and recordings of the open visit, each in its own card, in the order they were taken.

import { Card } from "./card.js";
import { byId } from "../shared/dom.js";
import { openPhoto } from "../estimate/evidence.js";
import { kindOf } from "../uploads/file-kinds.js";
import { showProblem } from "../shared/problems.js";

export class Gallery {
  #cards = new Map();
  #listeners = new AbortController();

  constructor(visit, uploads) {
    Object.assign(this, { visit, uploads });
    const { signal } = this.#listeners;
    visit.addEventListener("media", () => this.draw(), { signal });
    uploads.addEventListener("change", ({ detail }) => detail.item.visitId === visit.id && this.#follow(detail.item), { signal });
    this.draw();
  }

  close() {
    this.#listeners.abort();
    for (const card of this.#cards.values()) card.close();
  }

  draw() {
    const items = new Map(this.uploads.of(this.visit.id).map((item) => [item.mediaId, item]));
    const wanted = new Set([...this.visit.media.keys(), ...items.keys()]);
    for (const [id, card] of this.#cards) if (!wanted.has(id)) this.#take(id, card);
    for (const id of wanted) this.#show(id, items.get(id), this.visit.media.get(id));
    this.#counts();
  }

  /** An upload moved on: only its own card changes, so that a hundred files stay cheap. */
  #follow(item) {
    if (item.state === "stored") return this.visit.hold(item.medium);
    if (!this.uploads.of(this.visit.id).includes(item)) return this.draw();
    this.#show(item.mediaId, item, this.visit.media.get(item.mediaId));
    return this.#counts();
  }

  #show(id, item, medium) {
    const kind = medium?.media_type ?? (item.kind || kindOf(item.contentType) || "photo");
    const known = this.#cards.get(id);
    if (known && known.kind !== kind) this.#take(id, known); // the file was not what it was called
    const card = this.#cards.get(id) ?? this.#add(id, kind, medium?.sequence ?? item?.sequence ?? Infinity);
    card.show({ item, medium });
  }

  #add(id, kind, sequence) {
    const item = () => this.uploads.of(this.visit.id).find(({ mediaId }) => mediaId === id);
    const card = new Card(id, kind, {
      retry: () => this.uploads.retry(item()),
      remove: () => this.#remove(id, item()),
      open: () => openPhoto(this.visit.media.get(id)),
      saveLabel: (text, options) => this.visit.saveLabel(id, text, options),
    });
    this.#cards.set(id, card);
    const list = byId(kind === "audio" ? "recordings" : "photos");
    card.element.dataset.sequence = sequence;
    list.insertBefore(card.element, [...list.children].find((other) => Number(other.dataset.sequence) > sequence) ?? null);
    return card;
  }

  async #remove(id, item) {
    try {
      if (this.visit.media.has(id)) await this.visit.remove(id);
      if (item) this.uploads.remove(item);
    } catch (error) {
      showProblem(error, "Couldn't remove the file");
    }
  }

  #take(id, card) {
    card.close();
    this.#cards.delete(id);
  }

  #counts() {
    const kinds = [...this.#cards.values()].map((card) => card.kind);
    byId("photos").hidden = !kinds.includes("photo");
    byId("recordings").hidden = !kinds.includes("audio");
  }

  /** Labels typed but not yet stored. */
  async flush() {
    await Promise.all([...this.#cards.values()].map((card) => card.label.flush()));
  }
}
