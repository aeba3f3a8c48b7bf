// The form that makes or changes a visit.

import { byId } from "../shared/dom.js";
import { showProblem } from "../shared/problems.js";

/** The dialog with title, customer and address; `onSave(fields)` does the saving and may throw Problem. */
export class VisitForm {
  #onSave = null;

  constructor() {
    this.dialog = byId("visit-dialog");
    this.form = byId("visit-form");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("visit-form-cancel").addEventListener("click", () => this.dialog.close());
  }

  open(heading, values, onSave) {
    this.#onSave = onSave;
    byId("visit-form-title").textContent = heading;
    this.form.reset();
    for (const field of this.#fields()) field.value = values[field.name] ?? "";
    this.dialog.showModal();
  }

  async #submit() {
    const button = byId("visit-form-save");
    button.disabled = true;
    try {
      await this.#onSave(Object.fromEntries(this.#fields().map((field) => [field.name, field.value.trim()])));
      this.dialog.close();
    } catch (error) {
      this.dialog.close(); // the error box lies under a modal dialog; what was typed stays in the form
      showProblem(error, "Couldn't save the visit");
    } finally {
      button.disabled = false;
    }
  }

  #fields() {
    return [...this.form.elements].filter((field) => field.name);
  }
}
