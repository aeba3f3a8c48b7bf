// Tax, markup, discount and options of an estimate while it is edited.

import { clean, scaled, toPercent, toShare } from "../shared/decimal.js";
import { el } from "../shared/dom.js";

const SETS = [[], ["Good", "Better"], ["Good", "Better", "Best"]];

export class EditedTerms {
  constructor(estimate, editor) {
    this.editor = editor;
    this.options = estimate.options;
    this.chosen = estimate.chosen_option;
    this.values = {
      tax: toPercent(estimate.tax_rate),
      markup: toPercent(estimate.markup_rate),
      kind: estimate.discount_rate === null ? "amount" : "rate",
      discount: estimate.discount_rate === null ? estimate.discount_fixed : toPercent(estimate.discount_rate),
    };
    this.element = this.#draw();
  }

  #chosen;

  /** As the server takes it, and `reckon` too; what is not a number counts as none. */
  get asSent() {
    return {
      tax_rate: toShare(this.values.tax) ?? "0",
      markup_rate: toShare(this.values.markup) ?? "0",
      discount: this.#discount,
      options: this.options,
      ...(this.options.length > 0 ? { chosen_option: this.chosen } : {}),
    };
  }

  get #discount() {
    if (this.values.kind === "rate") return { rate: toShare(this.values.discount) ?? "0" };
    return { amount: scaled(this.values.discount, 2) === null ? "0" : clean(this.values.discount) };
  }

  #draw() {
    const kinds = [["amount", "sum"], ["rate", "%"]];
    this.#chosen = el("select", { id: "edit-chosen", onchange: ({ target }) => this.#choose(target.value) });
    const element = el("fieldset", { class: "edit-terms" }, el("legend", { class: "visually-hidden" }, "Tax, markup, discount and options"),
      field("Markup in %", "edit-markup", this.#input("edit-markup", "markup")),
      field("Discount", "edit-discount", el("span", { class: "discount" }, this.#input("edit-discount", "discount"),
        el("select", { "aria-label": "Kind of discount", onchange: ({ target }) => this.#set("kind", target.value) },
          kinds.map(([value, text]) => el("option", { value, selected: value === this.values.kind }, text))))),
      field("Tax in %", "edit-tax", this.#input("edit-tax", "tax")),
      field("Options for the customer", "edit-options", this.#sets()),
      field("Counted in the total", "edit-chosen", this.#chosen));
    this.#drawChosen();
    return element;
  }

  #input(id, name) {
    return el("input", { id, type: "text", inputmode: "decimal", autocomplete: "off", value: this.values[name], oninput: ({ target }) => this.#set(name, target.value) });
  }

  /** Names given elsewhere stay a choice of their own. */
  #sets() {
    const sets = SETS.some((set) => same(set, this.options)) ? SETS : [...SETS, this.options];
    return el("select", { id: "edit-options", onchange: ({ target }) => this.#offer(sets[target.value]) },
      sets.map((set, index) => el("option", { value: String(index), selected: same(set, this.options) }, set.join(", ") || "None: one price")));
  }

  #set(name, value) {
    this.values[name] = value;
    this.editor.changed();
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

const same = (one, other) => one.join("\n") === other.join("\n");
const field = (label, id, input) => el("p", { class: "field" }, el("label", { for: id }, label), input);
