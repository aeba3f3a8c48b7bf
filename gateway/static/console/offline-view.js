// A visit that cannot be read for want of signal: its files on this device, and room for more.

import { byId } from "../shared/dom.js";
import { Gallery } from "./gallery.js";
import { remembered } from "./last-session.js";
import { Visit } from "./visit.js";

const SOON_MS = 5000;

export class OfflineView {
  /** `id` as the address names it; what else is known of the visit is what this device remembers. */
  constructor(id, uploads) {
    const known = remembered().visit;
    const { name, lastSequence } = known?.id === id ? known : { name: "Visit", lastSequence: 0 };
    this.visit = new Visit({ id, title: name, notes: "", media: [], job: null, estimate: null });
    uploads.continueAfter(id, lastSequence);
    this.gallery = new Gallery(this.visit, uploads);
    byId("visit-title").textContent = name;
    byId("visit-where").textContent = "";
    byId("visit").dataset.signal = "none";
  }

  close() {
    this.gallery.close();
    delete byId("visit").dataset.signal;
  }
}

/** Resolves when the device says that it is online, or after a while: it may be, and no server behind it. */
export function signalAgain(aborted = new AbortController().signal) {
  return new Promise((resolve) => {
    const over = AbortSignal.any([aborted, AbortSignal.timeout(SOON_MS * (0.7 + 0.6 * Math.random()))]);
    over.addEventListener("abort", resolve, { once: true });
    addEventListener("online", resolve, { once: true, signal: over });
  });
}
