// Editing an estimate: its lines and terms with live totals, saved as the next version from a named one.

import { call } from "../shared/api.js";
import { announce, byId, el, icon } from "../shared/dom.js";
import { changeList } from "../console/changes.js";
import { EditedLine } from "./edited-line.js";
import { EditedTerms } from "./edited-terms.js";
import { count, money } from "../shared/format.js";
import { showProblem } from "../shared/problems.js";
import { reckon } from "./totals.js";

const UNITS = ["each", "ft", "lf", "sq ft", "square", "hour", "day", "sheet", "gal", "bag", "load", "job"];

export class Editor {
  #lines;
  #terms;
  #list = el("ul", { class: "edit-lines" });
  #sums = el("dl", { "aria-live": "polite" });
  #missing = el("p", { class: "not-in-total" });
  #moved = el("div", { class: "moved", role: "alert", hidden: true });
  #save = el("button", { type: "submit", class: "primary" }, icon("check"), el("span", {}, "Save as the next version"));

  /** `onEnd()` is called when the edit was saved or given up. */
  constructor(visit, onEnd) {
    Object.assign(this, { visit, onEnd, base: visit.estimate, dirty: false });
    this.currency = this.base.currency;
    this.#terms = new EditedTerms(this.base, this);
    this.#lines = this.base.lines.map((line) => new EditedLine(line, this));
    byId("estimate-body").replaceChildren(this.#form());
    this.#draw();
  }

  get options() {
    return this.#terms.options;
  }

  changed(line = null) {
    this.dirty = true;
    line?.drawAmount();
    this.#drawSums();
  }

  optionsChanged() {
    for (const line of this.#lines) line.drawOptions();
    this.changed();
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
    const line = new EditedLine(null, this);
    this.#lines.push(line);
    this.changed();
    this.#draw();
    line.focus();
  }

  #form() {
    const form = el("form", { id: "edit-form", autocomplete: "off", onsubmit: (event) => this.#submit(event) },
      this.#moved,
      el("datalist", { id: "units" }, UNITS.map((unit) => el("option", { value: unit }))),
      this.#list,
      el("button", { type: "button", id: "edit-add", onclick: () => this.#add() }, icon("plus"), "Add a line"),
      this.#terms.element,
      el("footer", { class: "totals" }, this.#sums, this.#missing),
      el("div", { class: "row edit-actions" }, this.#save,
        el("button", { type: "button", class: "quiet", onclick: () => this.#end() }, "Discard the changes")));
    return form;
  }

  #draw() {
    this.#list.replaceChildren(...this.#lines.map((line) => line.element));
    this.#drawSums();
  }

  #drawSums() {
    const option = this.#terms.chosen;
    const sums = reckon(this.#lines.map((line) => line.values), this.#terms.asSent, option);
    for (const line of this.#lines) line.drawCounted(line.values.option === "" || line.values.option === option);
    const row = (name, value, kind = "") => el("div", { class: kind }, el("dt", {}, name), el("dd", {}, money(value, this.currency)));
    this.#sums.replaceChildren(...[
      row("Subtotal", sums.subtotal),
      Number(sums.markup) > 0 && row("Markup", sums.markup),
      Number(sums.discount) > 0 && row("Discount", `-${sums.discount}`),
      row("Tax", sums.tax),
      row(option ? `Total with “${option}”` : "Total", sums.total, "grand"),
    ].filter(Boolean));
    this.#missing.textContent = sums.unpriced > 0 ? `${count(sums.unpriced, "line has", "lines have")} no price and ${sums.unpriced === 1 ? "is" : "are"} not in this total.` : "";
    this.#save.disabled = this.#lines.length === 0;
  }

  async #submit(event) {
    event.preventDefault();
    this.#save.disabled = true;
    const edit = { ...this.#terms.asSent, lines: this.#lines.map((line) => line.asSent) };
    try {
      await call("PUT", `/v1/estimates/${this.base.id}/lines`, edit, { headers: { "if-match": `"${this.base.version}"` } });
    } catch (error) {
      this.#save.disabled = false;
      if (error.status === 409 && error.members.latest) return this.#showMoved(error.members);
      return showProblem(error, "Not saved");
    }
    announce("Saved as the next version");
    await this.#end();
  }

  /** Somebody else saved first: what they changed, and whether to go on from theirs or to put this edit on top. */
  #showMoved({ latest, changes, terms }) {
    this.#moved.replaceChildren(
      el("h3", {}, `Version ${latest.version} was saved meanwhile`),
      changeList({ changes, terms }, this.currency),
      el("div", { class: "row" },
        el("button", { type: "button", onclick: () => this.#end() }, "Take theirs, drop mine"),
        el("button", { type: "button", onclick: () => this.#rebase() }, "Keep mine, on top of theirs")));
    this.#moved.hidden = false;
    this.#moved.scrollIntoView({ block: "nearest" });
  }

  /** Lines go on from the newest version's lines of the same words; the next save replaces that version. */
  async #rebase() {
    this.#save.disabled = true; // a save before the answer would still replace the version before
    try {
      this.base = await call("GET", `/v1/visits/${this.visit.id}/estimate`);
    } catch (error) {
      return showProblem(error, "The newest version could not be read");
    } finally {
      this.#save.disabled = this.#lines.length === 0;
    }
    const left = [...this.base.lines];
    for (const line of this.#lines) {
      const at = left.findIndex(({ description }) => description === line.values.description);
      line.id = at < 0 ? null : left.splice(at, 1)[0].id;
    }
    this.#moved.hidden = true;
    announce(`Your changes now stand on version ${this.base.version}`);
  }

  async #end() {
    try {
      await this.visit.refreshEstimate();
    } catch (error) {
      showProblem(error, "The estimate could not be read");
    }
    this.onEnd();
  }
}
