// A field for an amount, a quantity or a percentage: it says under itself what it cannot read, and never guesses.

import { el } from "../shared/dom.js";
import { readNumber } from "../shared/number-input.js";

let fields = 0;

export class NumberField {
  /** `named()` is how an error names it: "Line 2: price". `empty` is what an empty field stands for: null, a value, or undefined where a number is required. */
  constructor({ kind, symbol, typed, empty, onInput, named, ...props }) {
    Object.assign(this, { kind, symbol, empty, onInput, named });
    fields += 1;
    this.hint = el("span", { class: "field-error", id: `number-error-${fields}`, hidden: true });
    this.input = el("input", { id: `number-${fields}`, type: "text", inputmode: "decimal", autocomplete: "off", value: typed, "aria-describedby": this.hint.id, ...props,
      oninput: () => this.#typed(), onchange: () => this.#left() });
  }

  get typed() {
    return this.input.value;
  }

  set typed(text) {
    this.input.value = text;
    this.#left();
  }

  /** A plain decimal string, or what an empty field stands for; undefined while there is an error. */
  get value() {
    return this.#read().value;
  }

  get error() {
    return this.#read().error ?? "";
  }

  /** Show `message`, or the field's own error; "" when there is none. */
  show(message = this.error) {
    showFieldError(this.input, this.hint, message && `${this.named()}. ${message}`);
  }

  #read() {
    if (this.typed.trim() === "" && this.empty !== undefined) return { value: this.empty };
    return readNumber(this.typed, this.kind, this.symbol);
  }

  #typed() {
    if (this.error === "") this.show();
    this.onInput(this);
  }

  /** What was read stands in the field: "1/2" as 0.5, so that nobody finds out on the document. */
  #left() {
    const { value } = this.#read();
    if (value !== undefined) this.input.value = value ?? "";
    afterPress(() => this.show());
  }
}

let pressed = false;
addEventListener("pointerdown", () => (pressed = true), { capture: true });
for (const type of ["pointerup", "pointercancel"]) addEventListener(type, () => (pressed = false), { capture: true });

/** Not between press and release: an error that appears there moves the button away from under the pointer. */
function afterPress(act) {
  if (pressed) addEventListener("click", act, { once: true });
  else act();
}

export function showFieldError(input, hint, message) {
  hint.textContent = message;
  hint.hidden = message === "";
  if (message) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}
