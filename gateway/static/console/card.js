// One photo or recording on the page, from the moment it is chosen until it is stored, and after.

import { Autosave } from "../shared/autosave.js";
import { el, icon } from "../shared/dom.js";
import { clock, fileSize } from "../shared/format.js";
import { showProblem } from "../shared/problems.js";
import { confirmPress } from "../shared/confirm-button.js";

export const contentUrl = (mediaId, size = "") => `/v1/media/${mediaId}/content${size && `?size=${size}`}`;

/**
 * `actions`: retry(), remove(), open() for a photo, saveLabel(text, options). `show({item, medium})` draws the state:
 * `item` is the upload, if this page made it; `medium` what the server holds, once it does.
 */
export class Card {
  constructor(mediaId, kind, actions) {
    this.actions = actions;
    this.kind = kind;
    this.media = kind === "audio" ? el("div", { class: "player" }) : el("div", { class: "thumb" });
    this.name = el("p", { class: "file-name" });
    this.state = el("p", { class: "state" });
    this.bar = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Upload" });
    this.retryButton = el("button", { type: "button", class: "small", hidden: true, onclick: actions.retry }, icon("retry"), "Try again");
    this.labelState = el("span", { class: "saved-state", role: "status" });
    const label = this.#labelField(mediaId);
    this.element = el("li", { class: `card ${kind}`, dataset: { mediaId } }, this.media, this.bar,
      el("div", { class: "card-text" }, this.name, el("div", { class: "states" }, this.state, this.labelState), this.retryButton, label),
      this.#removeButton());
  }

  show({ item, medium }) {
    const state = stateOf(item, medium);
    const name = medium?.original_name || item?.name || (this.kind === "audio" ? "Voice note" : "Photo");
    this.element.dataset.state = state.key;
    this.element.setAttribute("aria-label", name);
    this.name.textContent = [name, lengthOf(item, medium)].filter(Boolean).join(" · ");
    this.#say(state);
    this.bar.hidden = state.key !== "uploading";
    this.bar.value = item?.progress ?? 0;
    this.retryButton.hidden = state.key !== "failed" && !mayPassAgain(item);
    this.labelRow.hidden = !medium;
    if (medium && !this.label.dirty) this.#fillLabel(medium.label ?? "");
    this.#picture(item, medium);
  }

  close() {
    this.label.close();
    this.#letPreviewGo();
    this.element.remove();
  }

  #say({ words, mark }) {
    if (this.state.textContent === words) return;
    this.state.replaceChildren(icon(mark), words);
  }

  #labelField(mediaId) {
    const id = `label-${mediaId}`;
    const field = el("textarea", { id, rows: 1, class: "label", maxLength: 1000, autocomplete: "off", enterkeyhint: "done",
      placeholder: "Add a label" });
    this.labelRow = el("div", { class: "label-row", hidden: true },
      el("label", { class: "visually-hidden", for: id }, "Label"), field);
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // a label wraps but is one line
      field.blur();
    });
    this.label = new Autosave(field, this.actions.saveLabel, (state, error) => {
      this.labelState.textContent = { saving: "Saving…", saved: "Label saved", unsaved: "Label not saved yet" }[state] ?? "";
      if (error) showProblem(error, "Label not saved");
    });
    return this.labelRow;
  }

  #fillLabel(text) {
    this.label.field.value = text;
    this.label.stored = text;
  }

  #removeButton() {
    const button = el("button", { type: "button", class: "quiet remove", "aria-label": "Remove" }, icon("trash"), el("span"));
    confirmPress(button, "Remove?", this.actions.remove);
    return button;
  }

  #picture(item, medium) {
    const ready = medium ? "stored" : "local";
    if (this.shown === ready) return;
    this.shown = ready;
    if (this.kind === "audio") this.#player(medium);
    else this.#thumbnail(item, medium);
  }

  #player(medium) {
    if (!medium || medium.status !== "stored") return this.media.replaceChildren(icon("mic"));
    // Its head alone is read, so that the player shows the length before it plays.
    return this.media.replaceChildren(
      ...(medium.duration_ms ? [el("span", { class: "hint" }, `Length ${clock(medium.duration_ms)}`)] : []),
      el("audio", { controls: true, preload: "metadata", src: contentUrl(medium.id), "aria-label": "Play the recording" }));
  }

  #thumbnail(item, medium) {
    const placeholder = el("span", { class: "no-picture" }, icon("image"));
    if (medium && medium.status !== "stored") return this.media.replaceChildren(placeholder);
    const image = el("img", { alt: "", decoding: "async" });
    const button = el("button", { type: "button", class: "open-photo", "aria-label": "Open the photo", disabled: !medium,
      onclick: this.actions.open }, image);
    // A browser that cannot show HEIC itself shows the server's JPEG once that is there.
    image.addEventListener("error", () => image.replaceWith(placeholder));
    if (!medium) {
      image.src = this.preview = URL.createObjectURL(item.file);
      return this.media.replaceChildren(button);
    }
    image.addEventListener("load", () => this.#letPreviewGo());
    if (this.preview) return this.#exchange(button, image, medium);
    image.loading = "lazy";
    image.src = contentUrl(medium.id, "thumb");
    return this.media.replaceChildren(button);
  }

  /** The preview stays until the server's picture is there: no flicker while it is made. */
  #exchange(button, image, medium) {
    const put = () => this.media.replaceChildren(button);
    image.addEventListener("load", put);
    image.addEventListener("error", put);
    image.src = contentUrl(medium.id, "thumb");
  }

  #letPreviewGo() {
    if (this.preview) URL.revokeObjectURL(this.preview);
    this.preview = null;
  }
}

/** The same bytes are refused again, unless they were damaged on their way. */
const mayPassAgain = (item) => item?.refused && item.problem?.status === 422;

function lengthOf(item, medium) {
  const ms = medium?.duration_ms ?? item?.durationMs;
  if (ms) return clock(ms);
  return !medium && item?.file ? fileSize(item.file.size) : "";
}

function stateOf(item, medium) {
  if (medium?.status === "needs_attention") return { key: "attention", mark: "alert", words: `Needs attention: ${medium.problem}` };
  if (medium?.note) return { key: "stored", mark: "alert", words: `Stored. ${medium.note}` };
  if (medium) return { key: "stored", mark: "check", words: "Stored" };
  const states = {
    saving: { key: "waiting", mark: "clock", words: "Saving on this device…" },
    saved: { key: "waiting", mark: "clock", words: "Saved on this device" },
    waiting: { key: "waiting", mark: "clock", words: "Waiting" },
    uploading: { key: "uploading", mark: "up", words: item.progress < 1 ? `Uploading ${Math.floor(item.progress * 100)}%` : "Checking…" },
    paused: { key: "waiting", mark: "clock", words: "Couldn't upload yet. Trying again…" },
    failed: { key: "failed", mark: "alert", words: `Not uploaded. ${item.problem?.detail ?? ""}` },
    refused: { key: "refused", mark: "alert", words: `Needs attention: ${item.problem?.title}. ${item.problem?.detail}` },
  };
  return states[item.state] ?? states.waiting;
}
