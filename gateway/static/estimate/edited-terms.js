// Tax, markup, discount and options of an estimate while it is edited.

import { toPercent, toShare } from "../shared/decimal.js";
import { el } from "../shared/dom.js";
import { NumberField } from "./number-field.js";

const SETS = [[], ["Good", "Better"], ["Good", "Better", "Best"]];
const NAMES = { tax_rate: "Tax", markup_rate: "Markup", discount: "Discount" };
const DISCOUNTS = { amount: "money", rate: "discount" };

export class EditedTerms {
  /** `terms` are those of the estimate or of a draft. */
  constructor(terms, editor) {
    this.editor = editor;
    this.options = terms.options;
    this.chosen = terms.chosen_option;
    this.#draw(terms);
  }

  #numbers = {};
  #kind;
  #chosen;

  /** As the server takes it, and `totalsOf` too; a number that cannot be read is undefined. */
  get asSent() {
    return {
      tax_rate: share(this.#numbers.tax_rate.value),
      markup_rate: share(this.#numbers.markup_rate.value),
      discount: this.#discount,
      options: this.options,
      ...(this.options.length > 0 ? { chosen_option: this.chosen } : {}),
    };
  }

  /** As it is kept on this device: every field as it was typed. */
  get draft() {
    const { tax_rate: tax, markup_rate: markup, discount } = this.#numbers;
    return { typed: { tax: tax.typed, markup: markup.typed, discount: discount.typed, kind: this.#kind.value }, options: this.options, chosen_option: this.chosen };
  }

  get faults() {
    return Object.entries(this.#numbers).filter(([, { error }]) => error).map(([field, { error }]) => ({ field, message: error }));
  }

  nameOf(field) {
    return NAMES[field.split(".")[0]] ?? field.replaceAll("_", " ");
  }

  showFault(field, message) {
    this.#numbers[field.split(".")[0]]?.show(message);
  }

  focus(field) {
    this.#numbers[field.split(".")[0]]?.input.focus();
  }

  get #discount() {
    const { value } = this.#numbers.discount;
    return this.#kind.value === "rate" ? { rate: share(value) } : { amount: value };
  }

  #draw(terms) {
    const { tax, markup, discount, kind } = terms.typed ?? typedOf(terms);
    const number = (field, id, what, typed) => new NumberField({ id, kind: what, symbol: this.editor.symbol, typed, empty: "0",
      named: () => NAMES[field], onInput: () => this.editor.changed() });
    this.#numbers.tax_rate = number("tax_rate", "edit-tax", "tax", tax);
    this.#numbers.markup_rate = number("markup_rate", "edit-markup", "markup", markup);
    this.#numbers.discount = number("discount", "edit-discount", DISCOUNTS[kind], discount);
    this.#numbers.discount.onInput = () => this.#discountTyped();
    this.#kind = el("select", { "aria-label": "Discount in", onchange: () => this.#discountIn(this.#kind.value) },
      [["amount", this.editor.symbol], ["rate", "%"]].map(([value, text]) => el("option", { value, selected: value === kind }, text)));
    this.#chosen = el("select", { id: "edit-chosen", onchange: ({ target }) => this.#choose(target.value) });
    this.element = this.#fields();
    this.#drawChosen();
  }

  #fields() {
    const { tax_rate: tax, markup_rate: markup, discount } = this.#numbers;
    return el("fieldset", { class: "edit-terms" }, el("legend", { class: "visually-hidden" }, "Tax, markup, discount and options"),
      field("Markup (%)", markup.input.id, markup.input, markup.hint),
      field("Discount", discount.input.id, el("span", { class: "discount" }, discount.input, this.#kind), discount.hint),
      field("Tax (%)", tax.input.id, tax.input, tax.hint),
      field("Options for the customer", "edit-options", this.#sets()),
      field("Selected option", "edit-chosen", this.#chosen));
  }

  /** A sign that is typed says what kind of discount it is: "10%" is no sum, "$10" no percentage. */
  #discountTyped() {
    const { typed } = this.#numbers.discount;
    if (typed.includes("%")) this.#discountIn("rate");
    else if (typed.includes(this.editor.symbol)) this.#discountIn("amount");
    else this.editor.changed();
  }

  #discountIn(kind) {
    this.#kind.value = kind;
    this.#numbers.discount.kind = DISCOUNTS[kind];
    this.#numbers.discount.show();
    this.editor.changed();
  }

  /** Names given elsewhere stay a choice of their own. */
  #sets() {
    const sets = SETS.some((set) => same(set, this.options)) ? SETS : [...SETS, this.options];
    return el("select", { id: "edit-options", onchange: ({ target }) => this.#offer(sets[target.value]) },
      sets.map((set, index) => el("option", { value: String(index), selected: same(set, this.options) }, set.join(", ") || "No options")));
  }

  #offer(options) {
    this.options = options;
    if (!options.includes(this.chosen)) this.chosen = options[0] ?? "";
    this.#drawChosen();
    this.editor.optionsChanged();
  }

  #choose(name) {
    this.chosen = name;
    this.editor.changed();
  }

  #drawChosen() {
    this.#chosen.replaceChildren(...this.options.map((name) => el("option", { value: name, selected: name === this.chosen }, name)));
    this.#chosen.closest(".field")?.toggleAttribute("hidden", this.options.length === 0);
  }
}

function typedOf({ tax_rate: tax, markup_rate: markup, discount_rate: rate, discount_fixed: fixed }) {
  const discount = rate === null ? { kind: "amount", discount: fixed } : { kind: "rate", discount: toPercent(rate) };
  return { tax: toPercent(tax), markup: toPercent(markup), ...discount };
}

const share = (percent) => (percent === undefined ? undefined : toShare(percent));
const same = (one, other) => one.join("\n") === other.join("\n");
const field = (label, id, input, hint = null) => el("p", { class: "field" }, el("label", { for: id }, label), input, hint);
