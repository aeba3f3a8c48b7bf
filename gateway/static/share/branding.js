// What the company's documents look like: words, one colour, a logo. Owners and administrators set it.

import { call, sendBytes } from "../shared/api.js";
import { announce, byId, el } from "../shared/dom.js";
import { confirmPress } from "../shared/confirm-button.js";
import { drawDisplay, readDisplay, watchDisplay } from "./display.js";

const LOGO = "/v1/branding/logo";

export class Branding {
  #dialog = byId("branding");
  #form = byId("branding-form");
  #colour = byId("branding-accent");
  #accent = null; // null: the standard colour, which is the field's own default
  #drawn = 0;

  /** Wire the dialog once; whoever may not change it is not shown the way in. */
  constructor(role) {
    byId("open-branding").hidden = role === "member";
    byId("open-branding").addEventListener("click", () => this.#open());
    byId("branding-close").addEventListener("click", () => this.#dialog.close());
    byId("branding-standard").addEventListener("click", () => this.#setAccent(null));
    this.#colour.addEventListener("input", () => this.#setAccent(this.#colour.value));
    byId("branding-logo-file").addEventListener("change", ({ target }) => this.#sendLogo(target));
    confirmPress(byId("branding-logo-remove"), "Remove the logo?", () => this.#removeLogo());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    watchDisplay("branding", () => {});
    for (const zone of Intl.supportedValuesOf("timeZone")) byId("branding-zones").append(el("option", { value: zone }));
  }

  async #open() {
    this.#dialog.showModal();
    byId("branding-save").disabled = true; // until what is to be changed is known
    await this.#attempt("", async () => {
      const brand = await call("GET", "/v1/branding");
      this.#draw(brand);
      byId("branding-save").disabled = false;
    });
  }

  #draw(brand) {
    for (const field of this.#words()) field.value = brand[field.name];
    this.#setAccent(brand.accent);
    drawDisplay("branding", brand.display);
    this.#drawLogo(brand.has_logo);
  }

  #setAccent(accent) {
    this.#accent = accent;
    this.#colour.value = accent ?? this.#colour.defaultValue;
    byId("branding-standard").disabled = accent === null;
  }

  #drawLogo(has) {
    this.#drawn += 1; // another address, or the browser would show the logo before
    byId("branding-logo").hidden = !has;
    byId("branding-logo-remove").hidden = !has;
    if (has) byId("branding-logo").src = `${LOGO}?v=${this.#drawn}`;
  }

  #save() {
    const words = Object.fromEntries(this.#words().map((field) => [field.name, field.value]));
    return this.#attempt("Saved.", async () => {
      this.#draw(await call("PATCH", "/v1/branding", { ...words, accent: this.#accent, display: readDisplay("branding") }));
    });
  }

  async #sendLogo(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    await this.#attempt("Logo saved.", async () => {
      await sendBytes("PUT", LOGO, file, { "content-type": file.type || "application/octet-stream" });
      this.#drawLogo(true);
    });
  }

  #removeLogo() {
    return this.#attempt("Logo removed.", async () => {
      await call("DELETE", LOGO);
      this.#drawLogo(false);
    });
  }

  /** Do it and say so; or say what the server had against it, at the fields it names. */
  async #attempt(done, act) {
    this.#form.setAttribute("aria-busy", "true");
    this.#mark([]);
    try {
      await act();
      this.#say(done);
    } catch (error) {
      const errors = error.members?.errors ?? [];
      this.#say(error.message, errors, "errors");
      this.#mark(errors.map(({ field }) => field));
    } finally {
      this.#form.removeAttribute("aria-busy");
    }
  }

  #mark(names) {
    const fields = [...this.#words(), this.#colour];
    for (const field of fields) field.setAttribute("aria-invalid", String(names.includes(field.name)));
    fields.find((field) => names.includes(field.name))?.focus();
  }

  #say(text, errors = [], kind = "news") {
    const news = byId("branding-news");
    const rows = errors.map(({ field, message }) => el("li", {}, el("b", {}, `${this.#labelOf(field)}: `), message));
    news.replaceChildren(el("p", {}, text), el("ul", {}, rows));
    news.dataset.kind = kind;
    news.hidden = text === "";
    announce(text);
  }

  #labelOf(name) {
    return this.#form.elements[name]?.labels[0].textContent ?? name;
  }

  #words() {
    return [...this.#form.elements].filter((field) => field.name && field !== this.#colour);
  }
}
