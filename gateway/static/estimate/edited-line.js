// One line of an estimate while it is edited: its fields, its place, its amount.

import { clean, plain } from "../shared/decimal.js";
import { el, icon } from "../shared/dom.js";
import { money } from "../shared/format.js";
import { amountOf } from "./totals.js";

let fields = 0;

export class EditedLine {
  /** `line` is one of the estimate, or nothing for a new one; `editor` is told of every change. */
  constructor(line, editor) {
    this.editor = editor;
    this.id = line?.id ?? null;
    this.category = line?.category ?? null;
    this.values = {
      description: line?.description ?? "",
      quantity: line?.quantity ?? "1",
      unit: line?.unit ?? "each",
      unit_price: line?.unit_price ?? "",
      option: line?.option ?? "",
      learn: false,
    };
    this.#priceBefore = this.values.unit_price;
    this.element = this.#draw();
    this.drawOptions();
    this.drawAmount();
  }

  #priceBefore;
  #amount;
  #elsewhere = el("span", { class: "hint", hidden: true }, "Not in this total");
  #option;
  #learn;

  /** As the server takes it. */
  get asSent() {
    const { unit_price: price, ...values } = this.values;
    return { ...values, id: this.id, category: this.category, unit_price: price.trim() === "" ? null : clean(price), quantity: clean(values.quantity) };
  }

  focus() {
    this.element.querySelector("input").focus();
  }

  drawAmount() {
    const amount = amountOf(this.values);
    this.#amount.textContent = amount === null ? "No price" : money(plain(amount, 2), this.editor.currency);
    this.#learn.hidden = this.values.unit_price === this.#priceBefore || this.values.unit_price.trim() === "";
  }

  /** A line of an option that is not the chosen one is offered, and not in the total. */
  drawCounted(counted) {
    this.#elsewhere.hidden = counted;
  }

  drawOptions() {
    const { options } = this.editor;
    if (!options.includes(this.values.option)) this.values.option = "";
    const choices = [["", "In every option"], ...options.map((name) => [name, `Only in “${name}”`])];
    this.#option.replaceChildren(...choices.map(([value, text]) => el("option", { value, selected: value === this.values.option }, text)));
    this.#option.closest(".field").hidden = options.length === 0;
  }

  #draw() {
    this.#amount = el("output", { class: "edit-amount" });
    this.#option = this.#input("select", "option", {});
    this.#learn = el("label", { class: "learn" },
      el("input", { type: "checkbox", onchange: ({ target }) => (this.values.learn = target.checked) }), "Save this price to my price book");
    return el("li", { class: "edit-line" },
      this.#field("What is to be done", "edit-description", this.#input("input", "description", { maxlength: "500", required: true })),
      this.#field("How many", "edit-quantity", this.#input("input", "quantity", { inputmode: "decimal", required: true })),
      this.#field("Unit", "edit-unit", this.#input("input", "unit", { maxlength: "32", list: "units", required: true })),
      this.#field("Price each", "edit-price", this.#input("input", "unit_price", { inputmode: "decimal", placeholder: "None yet" })),
      this.#field("Offered", "edit-option", this.#option),
      el("div", { class: "edit-foot" }, this.#amount, this.#elsewhere, this.#learn, this.#buttons()));
  }

  #field(label, kind, input) {
    return el("p", { class: `field ${kind}` }, el("label", { for: input.id }, label), input);
  }

  #input(tag, name, props) {
    fields += 1;
    const change = ({ target }) => {
      this.values[name] = target.value;
      this.editor.changed(this);
    };
    return el(tag, { id: `edit-${fields}`, name, autocomplete: "off", ...(tag === "input" ? { type: "text", value: this.values[name] } : {}), ...props, oninput: change });
  }

  #buttons() {
    const button = (mark, label, act) => el("button", { type: "button", class: "quiet square", "aria-label": label, onclick: act }, icon(mark));
    return el("div", { class: "edit-buttons" },
      button("up", "Move up", () => this.editor.move(this, -1)),
      button("down", "Move down", () => this.editor.move(this, 1)),
      button("trash", "Remove the line", () => this.editor.remove(this)));
  }
}
