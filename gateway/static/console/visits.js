// The list of recent visits, and the form that makes or changes one.

import { call, serverNow } from "../shared/api.js";
import { byId, el } from "../shared/dom.js";
import { relative } from "../shared/format.js";
import { showProblem } from "../shared/problems.js";

const SHOWN = 50;
const STATUS = { finalizing: "Estimating", completed: "Estimated", failed: "Needs attention" };

export class VisitList {
  constructor() {
    this.list = byId("visit-list");
    this.current = null;
  }

  async refresh() {
    const { visits } = await call("GET", `/v1/visits?limit=${SHOWN}`);
    this.list.replaceChildren(...visits.map(visitLink));
    byId("no-visits").hidden = visits.length > 0;
    this.mark(this.current);
  }

  mark(visitId) {
    this.current = visitId;
    for (const link of this.list.querySelectorAll("a")) {
      if (link.dataset.visitId === visitId) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
}

function visitLink(visit) {
  const name = visit.title || visit.customer_name || visit.address || "Untitled visit";
  const where = [visit.customer_name, visit.address].filter((text) => text && text !== name).join(" · ");
  const status = STATUS[visit.status];
  return el("li", {},
    el("a", { href: `#visit=${visit.id}`, dataset: { visitId: visit.id } },
      el("span", { class: "visit-name" }, name),
      where && el("span", { class: "visit-where" }, where),
      el("span", { class: "visit-when" }, [relative(visit.created_at, serverNow()), status].filter(Boolean).join(" · "))));
}

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
