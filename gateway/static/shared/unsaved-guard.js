// Whether the page may be left: what is still on its way, and whether it outlives this page.

import { byId } from "./dom.js";
import { count } from "./format.js";

/** Says it under the capture buttons, for all visits together: a phone in a pocket sends no file by itself. */
export class UnsavedGuard {
  #sent = false;

  constructor(uploads) {
    this.uploads = uploads;
    uploads.addEventListener("change", ({ detail }) => {
      this.#sent ||= detail.item.state === "stored";
      this.#show();
    });
    for (const type of ["online", "offline"]) addEventListener(type, () => this.#show());
  }

  #show() {
    const note = byId("unsaved-note");
    const [state, words] = this.#words(this.uploads.underWay);
    note.hidden = words === "";
    note.dataset.state = state;
    if (note.textContent !== words) note.textContent = words; // it is read aloud when it changes
  }

  #words(items) {
    const { recordings } = this.uploads;
    if (recordings.some(({ kept, chunks }) => !kept || !chunks.kept)) return ["stay", "Keep this page open. Your recording is not saved yet."];
    if (recordings.length > 0) return ["saved", "Keep this page open. Your recording so far is saved."];
    const loose = items.filter((item) => !item.kept).length;
    if (loose > 0) return ["stay", `Keep this page open: ${count(loose, "file is", "files are")} not saved yet.`];
    if (items.length > 0) return ["saved", `You can close this page: ${count(items.length, "file is", "files are")} saved on this device. ${this.#next()}`];
    return this.#sent ? ["done", "Everything is uploaded. You can close this page."] : ["done", ""];
  }

  #next() {
    return navigator.onLine ? "Leave it open to finish uploading." : "Uploads when you're back online with ScopeKit open.";
  }
}
