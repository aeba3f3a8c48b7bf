// Why a line is there: the photo, the second of the recording, or the words in the notes, in one dialog.

import { contentUrl } from "../console/card.js";
import { byId, el, icon } from "../shared/dom.js";
import { clock } from "../shared/format.js";

const LEAD_IN_MS = 400; // a word cut off at its start is hard to follow

/** A button that opens one piece of evidence; `visit` is where it comes from. */
export function evidenceChip(evidence, visit) {
  const [mark, words] = chipFace(evidence, visit);
  return el("button", { type: "button", class: "chip", dataset: { source: evidence.source },
    onclick: () => openEvidence(evidence, visit) }, icon(mark), el("span", {}, words));
}

function chipFace({ source, media_id, quote, start_ms }, visit) {
  const medium = visit.media.get(media_id);
  if (source === "photo") return ["image", [medium?.label || photoName(media_id, visit), quote && `“${shorten(quote)}”`].filter(Boolean).join(" ")];
  if (source === "audio") return ["play", quote ? `${clock(start_ms ?? 0)} “${shorten(quote)}”` : `Voice note at ${clock(start_ms ?? 0)}`];
  if (source === "label") return ["tag", `Label “${shorten(quote ?? "")}”`];
  return ["note", quote ? `Notes “${shorten(quote)}”` : "Notes"];
}

function photoName(mediaId, visit) {
  const index = visit.photos.findIndex((medium) => medium.id === mediaId);
  return index < 0 ? "Photo (removed)" : `Photo ${index + 1}`;
}

const shorten = (text) => (text.length > 48 ? `${text.slice(0, 46).trimEnd()}…` : text);

export function openEvidence(evidence, visit) {
  const medium = visit.media.get(evidence.media_id);
  if (evidence.media_id && !medium) return open("Removed", [el("p", {}, "This file was removed from the visit after the estimate was made."), quoted(evidence)]);
  if (evidence.source === "audio") return openAudio(evidence, medium);
  if (medium) return openPhoto(medium, evidence);
  return open("From your notes", [markedNotes(visit.details.notes, evidence.quote ?? "")]);
}

/** The photo, with its region when the evidence names one. A region is a model's guess and is called one. */
export function openPhoto(medium, { source = "photo", region = null, quote = null } = {}) {
  const frame = el("div", { class: "photo-frame" });
  const image = el("img", { src: contentUrl(medium.id, "view"), alt: medium.label || medium.original_name || "Photo of the visit" });
  image.addEventListener("load", () => (frame.dataset.loaded = "yes"));
  image.addEventListener("error", () => image.replaceWith(el("p", {}, "This photo can't be shown right now.")));
  frame.append(image);
  const notes = [];
  if (region) {
    frame.append(regionBox(region));
    notes.push(el("p", { class: "hint" }, "Approximate location"));
  }
  if (quote && source === "photo") notes.push(el("p", {}, "Text on label: ", el("strong", {}, quote)));
  if (quote && source === "label" && medium.label) notes.push(el("p", {}, "Your label: ", marked(medium.label, quote)));
  open(medium.label || medium.original_name || "Photo", [frame, ...notes], "photo");
}

function regionBox({ x, y, w, h }) {
  const box = el("div", { class: "region" });
  for (const [side, share] of Object.entries({ left: x, top: y, width: w, height: h })) box.style[side] = `${share * 100}%`;
  return box;
}

function openAudio(evidence, medium) {
  const from = Math.max(0, (evidence.start_ms ?? 0) - LEAD_IN_MS) / 1000;
  const player = el("audio", { controls: true, preload: "auto", src: contentUrl(medium.id), "aria-label": "Recording" });
  player.addEventListener("loadedmetadata", () => (player.currentTime = from), { once: true });
  const range = [evidence.start_ms, evidence.end_ms].filter((ms) => ms !== null && ms !== undefined).map(clock).join(" to ");
  open("From your voice note", [quoted(evidence), player, el("p", { class: "hint" }, [range, medium.original_name].filter(Boolean).join(" · "))]);
  player.play().catch(() => {}); // a browser may want a second tap; the controls are there
}

const quoted = ({ quote }) => (quote ? el("blockquote", {}, `“${quote}”`) : null);

function markedNotes(notes, quote) {
  const text = el("p", { class: "notes-text" }, marked(notes, quote));
  if (text.querySelector("mark")) return text;
  return el("div", {}, quoted({ quote }), el("p", { class: "hint" }, "The notes were changed after this estimate was made."));
}

/** `text` with `quote` in <mark>; spaces and case may differ between the two. */
function marked(text, quote) {
  const words = quote.trim().split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const found = quote.trim() && new RegExp(words.join("\\s+"), "iu").exec(text);
  if (!found) return [text];
  const end = found.index + found[0].length;
  return [text.slice(0, found.index), el("mark", {}, text.slice(found.index, end)), text.slice(end)];
}

function open(title, content, kind = "words") {
  const dialog = byId("evidence");
  byId("evidence-title").textContent = title;
  byId("evidence-body").replaceChildren(...content.filter(Boolean));
  dialog.dataset.kind = kind;
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("mark")?.scrollIntoView({ block: "center" });
}

/** Wire the dialog once: its button, a click beside it, and silence when it closes. */
export function setUpEvidence() {
  const dialog = byId("evidence");
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  byId("evidence-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => byId("evidence-body").replaceChildren());
}
