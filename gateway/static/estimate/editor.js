// Editing an estimate: its lines and terms with live totals, saved as the next version from a named one.

import { call } from "../shared/api.js";
import { announce, byId, el, icon } from "../shared/dom.js";
import { changeList } from "../console/changes.js";
import { confirmPress } from "../shared/confirm-button.js";
import { draftOf, forgetDraft, keepDraft } from "./drafts.js";
import { COLUMNS, EditedLine } from "./edited-line.js";
import { EditedTerms } from "./edited-terms.js";
import { setUpKeys } from "./editing-keys.js";
import { money, missing } from "../shared/format.js";
import { symbolOf } from "../shared/number-input.js";
import { showProblem } from "../shared/problems.js";
import { totalsOf } from "./totals.js";

const UNITS = ["each", "ft", "lf", "sq ft", "square", "hour", "day", "sheet", "gal", "bag", "load", "job"];
const MOST_LINES = 500;
const LINE_FIELD = /^lines\.(\d+)\.(.+)$/;

export class Editor {
  #lines;
  #terms;
  #list = el("ul", { class: "edit-lines" });
  #sums = el("dl", { "aria-live": "polite" });
  #missing = el("p", { class: "not-in-total" });
  #moved = el("div", { class: "moved", role: "alert", hidden: true });
  #faults = el("div", { class: "edit-faults", role: "alert", hidden: true });
  #save = el("button", { type: "submit", class: "primary" }, icon("check"), el("span", {}, "Save changes"));

  /** `onEnd()` is called when the edit was saved or discarded. An unsaved edit of this visit is taken up again. */
  constructor(visit, onEnd) {
    const draft = draftOf(visit.id);
    const { id, version, currency } = visit.estimate;
    Object.assign(this, { visit, onEnd, base: draft?.base ?? { id, version }, currency, symbol: symbolOf(currency), kept: true, dirty: draft !== null });
    this.#terms = new EditedTerms(draft?.terms ?? visit.estimate, this);
    this.#lines = (draft?.lines ?? visit.estimate.lines).map((line) => new EditedLine(line, this));
    byId("estimate-body").replaceChildren(this.#form(draft !== null));
    byId("visit").dataset.editing = "yes";
    setUpKeys(this.#list, { below: (...where) => this.#below(...where), next: (line) => this.#next(line), fillFrom: (...cells) => this.#fillFrom(...cells) });
    this.#draw();
  }

  get options() {
    return this.#terms.options;
  }

  /** Every change is kept on this device at once: a closed page or a wrong tap loses nothing. */
  changed() {
    this.dirty = true;
    this.kept = keepDraft(this.visit.id, { base: this.base, lines: this.#lines.map((line) => line.draft), terms: this.#terms.draft });
    if (this.#allFaults().length === 0) this.#faults.hidden = true;
    this.#drawSums();
  }

  optionsChanged() {
    for (const line of this.#lines) line.drawOptions();
    this.changed();
  }

  close() {
    delete byId("visit").dataset.editing;
  }

  move(line, by) {
    const from = this.#lines.indexOf(line);
    const to = from + by;
    if (to < 0 || to >= this.#lines.length) return;
    this.#lines.splice(to, 0, ...this.#lines.splice(from, 1));
    this.changed();
    this.#draw();
    line.element.querySelector(`[aria-label="Move ${by < 0 ? "up" : "down"}"]`).focus();
    announce(`Line ${to + 1} of ${this.#lines.length}`);
  }

  remove(line) {
    const at = this.#lines.indexOf(line);
    this.#lines.splice(at, 1);
    this.changed();
    this.#draw();
    (this.#lines[at] ?? this.#lines.at(-1))?.focus();
  }

  #add() {
    if (this.#lines.length >= MOST_LINES) return announce(`An estimate has at most ${MOST_LINES} lines`);
    const line = new EditedLine(null, this);
    this.#lines.push(line);
    this.changed();
    this.#draw();
    return line.focus();
  }

  #at = (element) => this.#lines.findIndex((line) => line.element === element);

  /** Enter: the same column of the next line, or a new line below the last. */
  #below(element, column, by) {
    const to = this.#at(element) + by;
    if (to === this.#lines.length) this.#add();
    else this.#lines[to]?.focus(column);
  }

  #next(element) {
    const line = this.#lines[this.#at(element) + 1];
    line?.focus();
    return line !== undefined;
  }

  /** Pasted cells fill the lines from here on; lines that are missing are made. */
  #fillFrom(element, column, rows) {
    const from = this.#at(element);
    const taken = rows.slice(0, MOST_LINES - from);
    taken.forEach((cells, row) => {
      const line = (this.#lines[from + row] ??= new EditedLine(null, this));
      COLUMNS.slice(column).forEach((name, cell) => cells[cell] !== undefined && line.fill(name, cells[cell]));
    });
    this.changed();
    this.#draw();
    announce(taken.length < rows.length ? `An estimate has at most ${MOST_LINES} lines; the rest was not pasted` : `${taken.length} lines pasted`);
  }

  #form(resumed) {
    const discard = el("button", { type: "button", class: "quiet" }, icon("close"), "Discard changes");
    discard.addEventListener("click", () => !this.dirty && this.#end());
    confirmPress(discard, "Discard all changes?", () => this.#end());
    const heads = ["Description", "Qty", "Unit", "Unit price", "Amount"].map((name) => el("span", {}, name));
    return el("form", { id: "edit-form", autocomplete: "off", noValidate: true, onsubmit: (event) => this.#submit(event) },
      resumed && el("p", { class: "resumed", role: "status" }, "Your unsaved changes are back."),
      this.#moved,
      el("datalist", { id: "units" }, UNITS.map((unit) => el("option", { value: unit }))),
      el("div", { class: "edit-heads", "aria-hidden": "true" }, heads),
      this.#list,
      el("button", { type: "button", id: "edit-add", onclick: () => this.#add() }, icon("plus"), "Add a line"),
      el("p", { class: "hint paste-hint" }, "Enter goes to the next line. Rows copied from a spreadsheet can be pasted."),
      this.#terms.element,
      el("footer", { class: "totals" }, this.#sums, this.#missing),
      this.#faults,
      el("div", { class: "row edit-actions" }, this.#save, discard));
  }

  #draw() {
    this.#lines.forEach((line, index) => line.standAt(index + 1));
    this.#list.replaceChildren(...this.#lines.map((line) => line.element));
    this.#drawSums();
  }

  /** No sum is shown that leaves out what cannot be read. */
  #drawSums() {
    const option = this.#terms.chosen;
    for (const line of this.#lines) line.drawCounted(line.values.option === "" || line.values.option === option);
    this.#save.disabled = this.#lines.length === 0;
    const unread = [...this.#lines, this.#terms].flatMap((part) => part.faults.map(({ field }) => part.nameOf(field))).filter((name) => !/description|unit$/.test(name));
    const sums = unread.length > 0 ? null : totalsOf(this.#lines.map((line) => line.counted), this.#terms.asSent, option);
    this.#sums.replaceChildren(...this.#sumRows(sums, option));
    this.#missing.textContent = sums ? missing(sums.unpriced) : `The total appears once ${unread[0]} can be read.`;
    this.#missing.hidden = this.#missing.textContent === "";
  }

  #sumRows(sums, option) {
    const row = (name, value, kind = "") => el("div", { class: kind }, el("dt", {}, name), el("dd", {}, value === null ? "–" : money(value, this.currency)));
    const total = option ? `Total with “${option}”` : "Total";
    if (sums === null) return [row(total, null, "grand")];
    return [
      row("Subtotal", sums.subtotal),
      Number(sums.markup) > 0 && row("Markup", sums.markup),
      Number(sums.discount) > 0 && row("Discount", `-${sums.discount}`),
      row("Tax", sums.tax),
      row(total, sums.total, "grand"),
    ].filter(Boolean);
  }

  /** Every field that cannot be saved, as [{part, field, message}]. */
  #allFaults() {
    return [...this.#lines, this.#terms].flatMap((part) => part.faults.map((fault) => ({ part, ...fault })));
  }

  /** What cannot be saved stands at its field, and all of it above the button; the first is gone to. */
  #show(faults) {
    for (const { part, field, message } of faults) part.showFault(field, message);
    this.#faults.replaceChildren(el("p", {}, "Not saved yet. Please check:"),
      el("ul", {}, faults.map(({ part, field, message }) => el("li", {}, el("button", { type: "button", class: "link", onclick: () => part.focus(field) }, part.nameOf(field)), ` ${message}`))));
    this.#faults.hidden = false;
    faults[0].part.focus(faults[0].field);
  }

  async #submit(event) {
    event.preventDefault();
    const faults = this.#allFaults();
    if (faults.length > 0) return this.#show(faults);
    this.#faults.hidden = true;
    this.#save.disabled = true;
    const edit = { ...this.#terms.asSent, lines: this.#lines.map((line) => line.asSent) };
    try {
      await call("PUT", `/v1/estimates/${this.base.id}/lines`, edit, { headers: { "if-match": `"${this.base.version}"` } });
    } catch (error) {
      this.#save.disabled = false;
      return this.#refused(error);
    }
    announce("Changes saved");
    return this.#end();
  }

  #refused(error) {
    if (error.status === 412 && error.members.latest) return this.#showMoved(error.members);
    const faults = error.status === 422 ? (error.members.errors ?? []).map((fault) => this.#placed(fault)) : [];
    return faults.length > 0 ? this.#show(faults) : showProblem(error, "Not saved");
  }

  /** A field as the server names it, at its place on the page. */
  #placed({ field, message }) {
    const [, index, name] = LINE_FIELD.exec(field) ?? [];
    return name ? { part: this.#lines[index], field: name, message } : { part: this.#terms, field, message };
  }

  /** Somebody else saved first: what they changed, and whether to go on from theirs or to put this edit on top. */
  #showMoved({ latest, changes, terms }) {
    this.#moved.replaceChildren(
      el("h3", {}, `Someone else saved version ${latest.version}`),
      changeList({ changes, terms }, this.currency),
      el("div", { class: "row" },
        el("button", { type: "button", onclick: () => this.#end() }, "Use their version"),
        el("button", { type: "button", onclick: () => this.#rebase() }, "Keep my changes")));
    this.#moved.hidden = false;
    this.#moved.scrollIntoView({ block: "nearest" });
  }

  /** Lines go on from the newest version's lines of the same words; the next save replaces that version. */
  async #rebase() {
    this.#save.disabled = true; // a save before the answer would still replace the version before
    let newest;
    try {
      newest = await call("GET", `/v1/visits/${this.visit.id}/estimate`);
    } catch (error) {
      return showProblem(error, "Couldn't load the newest version");
    } finally {
      this.#save.disabled = this.#lines.length === 0;
    }
    const left = [...newest.lines];
    for (const line of this.#lines) {
      const at = left.findIndex(({ description }) => description === line.values.description);
      line.id = at < 0 ? null : left.splice(at, 1)[0].id;
    }
    this.base = { id: newest.id, version: newest.version };
    this.changed();
    this.#moved.hidden = true;
    announce(`Your changes are now on top of version ${this.base.version}`);
  }

  async #end() {
    forgetDraft(this.visit.id);
    this.close();
    try {
      await this.visit.refreshEstimate();
    } catch (error) {
      showProblem(error, "Couldn't load the estimate");
    }
    this.onEnd();
  }
}
