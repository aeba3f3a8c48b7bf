// The price book: search it, take it in from a file, give it out as one.

import { Problem, call } from "../shared/api.js";
import { announce, byId, el } from "../shared/dom.js";
import { count, money } from "../shared/format.js";

const WAIT_MS = 200; // after the last key
const ERRORS_SHOWN = 8;

export class PriceBook {
  #dialog = byId("price-book");
  #turn = 0;
  #timer = 0;
  #currency = "USD";

  /** Wire the dialog once; `currency` is the tenant's. */
  constructor(currency) {
    this.#currency = currency;
    byId("open-price-book").addEventListener("click", () => this.#open());
    byId("open-price-book").disabled = false; // not before: a click while the page loads would be lost
    byId("price-book-close").addEventListener("click", () => this.#dialog.close());
    byId("price-book-query").addEventListener("input", () => this.#soon());
    byId("price-book-file").addEventListener("change", ({ target }) => this.#import(target));
  }

  #open() {
    byId("price-book-news").hidden = true;
    this.#dialog.showModal();
    this.#search();
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#search(), WAIT_MS);
  }

  async #search() {
    const turn = (this.#turn += 1);
    const query = byId("price-book-query").value.trim();
    try {
      const { price_items: items } = await call("GET", `/v1/price-items?${new URLSearchParams({ q: query })}`);
      if (turn === this.#turn) this.#draw(items, query);
    } catch (error) {
      this.#say(error.message);
    }
  }

  #draw(items, query) {
    const none = query ? `No items match “${query}”.` : "Your price book is empty. Import a file to fill it.";
    byId("price-book-items").replaceChildren(...(items.length > 0 ? items.map((item) => this.#row(item)) : [el("li", { class: "hint" }, none)]));
  }

  #row({ description, unit, unit_price: price, code, category }) {
    return el("li", { class: "price-item" },
      el("span", {}, el("b", {}, description), el("span", { class: "hint" }, [code, category].filter(Boolean).join(" · "))),
      el("span", { class: "line-amount" }, `${money(price, this.#currency)} / ${unit}`));
  }

  async #import(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    try {
      const response = await fetch("/v1/price-items/import", { method: "POST", credentials: "same-origin", headers: { "content-type": "text/csv" }, body: file });
      const answer = await response.json();
      if (!response.ok) throw new Problem({ title: answer.title, detail: answer.detail, status: response.status, members: answer });
      this.#say(`${count(answer.added, "item")} added, ${answer.updated} updated.`);
      this.#search();
    } catch (error) {
      this.#say(error.message, error.members?.errors ?? []);
    }
  }

  #say(text, errors = []) {
    const rows = errors.slice(0, ERRORS_SHOWN).map(({ line, field, message }) => el("li", {}, el("b", {}, `Line ${line}, ${field}: `), message));
    if (errors.length > ERRORS_SHOWN) rows.push(el("li", {}, `and ${errors.length - ERRORS_SHOWN} more`));
    byId("price-book-news").replaceChildren(el("p", {}, text), el("ul", {}, rows));
    byId("price-book-news").dataset.kind = errors.length > 0 ? "errors" : "news";
    byId("price-book-news").hidden = false;
    announce(text);
  }
}
