// One line of an estimate while it is edited: its fields, its place, its amount, and what is still to be confirmed.

import { plain } from "../shared/decimal.js";
import { el, icon } from "../shared/dom.js";
import { money, sentence } from "../shared/format.js";
import { NumberField, showFieldError } from "./number-field.js";
import { amountOf } from "./totals.js";

let fields = 0;

/** The columns in order, as they are pasted and as an error names them. */
export const COLUMNS = ["description", "quantity", "unit", "unit_price"];
const NAMES = { description: "description", quantity: "qty", unit: "unit", unit_price: "price", option: "option" };
const REQUIRED = { description: "Enter a description.", unit: "Enter a unit, such as each or sq ft." };

export class EditedLine {
  /** `line` is one of the estimate or of a draft, or nothing for a new one; `editor` is told of every change. */
  constructor(line, editor) {
    this.editor = editor;
    this.id = line?.id ?? null;
    this.category = line?.category ?? null;
    this.reasons = line?.review_reasons ?? [];
    this.choices = line?.match?.choices ?? [];
    this.values = {
      description: line?.description ?? "",
      unit: line?.unit ?? "each",
      option: line?.option ?? "",
      learn: line?.learn ?? false,
      confirmed: line?.confirmed ?? false,
    };
    this.#priceBefore = line?.price_before ?? line?.unit_price ?? "";
    this.element = this.#draw(line);
    this.drawOptions();
    this.drawAmount();
  }

  #priceBefore;
  #texts = {};
  #numbers = {};
  #place = 1;
  #amount;
  #elsewhere = el("span", { class: "hint", hidden: true }, "Not in this total");
  #option;
  #learn;

  /** What it counts: numbers as plain decimals, or undefined while they cannot be read. */
  get counted() {
    return { option: this.values.option, quantity: this.#numbers.quantity.value, unit_price: this.#numbers.unit_price.value };
  }

  /** As the server takes it; only where `faults` is empty. */
  get asSent() {
    const { quantity, unit_price: price } = this.counted;
    return { ...this.values, id: this.id, category: this.category, quantity, unit_price: price };
  }

  /** As it is kept on this device: every field as it was typed. */
  get draft() {
    return {
      ...this.values, id: this.id, category: this.category, review_reasons: this.reasons, match: { choices: this.choices },
      quantity: this.#numbers.quantity.typed, unit_price: this.#numbers.unit_price.typed, price_before: this.#priceBefore,
    };
  }

  /** What cannot be saved: [{field, message}]. */
  get faults() {
    const empty = Object.keys(this.#texts).filter((name) => this.values[name].trim() === "");
    return [
      ...empty.map((name) => ({ field: name, message: REQUIRED[name] })),
      ...Object.entries(this.#numbers).filter(([, { error }]) => error).map(([name, { error }]) => ({ field: name, message: error })),
    ];
  }

  nameOf(field) {
    return `Line ${this.#place}: ${NAMES[field] ?? field.replaceAll("_", " ")}`;
  }

  showFault(field, message) {
    if (this.#numbers[field]) return this.#numbers[field].show(message);
    const text = this.#texts[field];
    return text && showFieldError(text.input, text.hint, message && `${this.nameOf(field)}. ${message}`);
  }

  focus(field = "description") {
    (this.#numbers[field] ?? this.#texts[field])?.input.focus();
  }

  /** Put pasted text into a column. */
  fill(column, text) {
    if (this.#numbers[column]) this.#numbers[column].typed = text;
    else this.#texts[column].input.value = this.values[column] = text.trim().slice(0, this.#texts[column].input.maxLength);
    this.drawAmount();
  }

  standAt(place) {
    this.#place = place;
    this.element.setAttribute("aria-label", `Line ${place}`);
    for (const number of Object.values(this.#numbers)) if (!number.hint.hidden) number.show();
  }

  drawAmount() {
    const { quantity, unit_price: price } = this.counted;
    const amount = amountOf({ quantity, unit_price: price });
    if (amount !== null) this.#amount.textContent = money(plain(amount, 2), this.editor.currency);
    else this.#amount.textContent = price === null ? "No price" : "–";
    this.#learn.hidden = !price || price === this.#priceBefore;
  }

  /** A line of an option that is not the chosen one is offered, and not in the total. */
  drawCounted(counted) {
    this.#elsewhere.hidden = counted;
  }

  drawOptions() {
    const { options } = this.editor;
    if (!options.includes(this.values.option)) this.values.option = "";
    const choices = [["", "All options"], ...options.map((name) => [name, `Only in “${name}”`])];
    this.#option.replaceChildren(...choices.map(([value, text]) => el("option", { value, selected: value === this.values.option }, text)));
    this.#option.closest(".field").hidden = options.length === 0;
  }

  #draw(line) {
    this.#amount = el("output", { class: "edit-amount" });
    const named = (name) => ({ name, named: () => this.nameOf(name), onInput: () => this.#changed() });
    this.#numbers.quantity = new NumberField({ kind: "quantity", typed: line?.quantity ?? "1", ...named("quantity") });
    this.#numbers.unit_price = new NumberField({ kind: "money", symbol: this.editor.symbol, typed: line?.unit_price ?? "", empty: null,
      placeholder: "None", ...named("unit_price") });
    this.#option = el("select", { id: nextId(), name: "option", oninput: ({ target }) => this.#set("option", target.value) });
    this.#learn = this.#tick("learn", "Save to my price book");
    return el("li", { class: "edit-line" },
      this.#text("Description", "description", { maxlength: "500" }),
      field("Qty", "quantity", this.#numbers.quantity),
      this.#text("Unit", "unit", { maxlength: "32", list: "units" }),
      field("Unit price", "unit_price", this.#numbers.unit_price),
      this.#amount,
      el("p", { class: "field edit-option" }, el("label", { for: this.#option.id }, "Include in"), this.#option),
      el("div", { class: "edit-foot" }, this.#confirm(), this.#elsewhere, this.#learn),
      this.#buttons());
  }

  #text(label, name, props) {
    const hint = el("span", { class: "field-error", id: nextId(), hidden: true });
    const input = el("input", { id: nextId(), name, type: "text", autocomplete: "off", value: this.values[name], "aria-describedby": hint.id, ...props,
      oninput: ({ target }) => {
        this.showFault(name, "");
        this.#set(name, target.value);
      } });
    this.#texts[name] = { input, hint };
    return field(label, name, { input, hint });
  }

  /** The reasons to look again, and the tick that says it was done. */
  #confirm() {
    if (this.reasons.length === 0) return null;
    return el("div", { class: "edit-confirm" },
      el("ul", { class: "reasons" }, this.reasons.map((reason) => el("li", {}, sentence(reason)))),
      this.#offered(),
      this.#tick("confirmed", "Confirmed"));
  }

  /** The items of the price book that may be meant: one press takes the item's unit and price. */
  #offered() {
    if (this.choices.length === 0) return null;
    const label = ({ name, unit, unit_price: price }) => `${name}, ${money(price, this.editor.currency)} / ${unit}`;
    return el("div", { class: "chips", role: "group", "aria-label": "From your price book" },
      this.choices.map((choice) => el("button", { type: "button", class: "chip", onclick: () => this.#take(choice) }, el("span", {}, label(choice)))));
  }

  #take(choice) {
    this.fill("unit", choice.unit);
    this.fill("unit_price", choice.unit_price);
    this.#changed();
  }

  #tick(name, label) {
    return el("label", { class: "tick" },
      el("input", { type: "checkbox", checked: this.values[name], onchange: ({ target }) => this.#set(name, target.checked) }), label);
  }

  #set(name, value) {
    this.values[name] = value;
    this.#changed();
  }

  #changed() {
    this.drawAmount();
    this.editor.changed();
  }

  #buttons() {
    const button = (mark, label, act) => el("button", { type: "button", class: "quiet square", "aria-label": label, onclick: act }, icon(mark));
    return el("div", { class: "edit-buttons" },
      button("up", "Move up", () => this.editor.move(this, -1)),
      button("down", "Move down", () => this.editor.move(this, 1)),
      button("trash", "Delete line", () => this.editor.remove(this)));
  }
}

const field = (label, name, { input, hint }) => el("p", { class: `field edit-${name}` }, el("label", { for: input.id }, label), input, hint);

function nextId() {
  fields += 1;
  return `edit-${fields}`;
}
