// What the customer sees: the fields of this choice, in a form, and the photos that a link shows.

import { byId, el } from "../shared/dom.js";

/** Fill the fields named `prefix`-... with a choice. */
export function drawDisplay(prefix, { quantities, prices, markup, photos }) {
  byId(`${prefix}-detail`).value = prices === "unit" && !quantities ? "line" : prices;
  byId(`${prefix}-quantities`).checked = quantities;
  byId(`${prefix}-markup`).value = markup;
  byId(`${prefix}-photos-shown`).checked = photos;
  settle(prefix);
}

/** Read the choice from the fields. */
export function readDisplay(prefix) {
  return {
    quantities: byId(`${prefix}-quantities`).checked,
    prices: byId(`${prefix}-detail`).value,
    markup: byId(`${prefix}-markup`).value,
    photos: byId(`${prefix}-photos-shown`).checked,
  };
}

/** Unit prices mean nothing without their quantities. */
export function watchDisplay(prefix, changed, signal) {
  const fields = ["detail", "quantities", "markup", "photos-shown"].map((name) => byId(`${prefix}-${name}`));
  for (const field of fields) {
    field.addEventListener("change", () => {
      settle(prefix);
      changed();
    }, { signal });
  }
}

function settle(prefix) {
  const unit = byId(`${prefix}-detail`).value === "unit";
  byId(`${prefix}-quantities`).disabled = unit;
  if (unit) byId(`${prefix}-quantities`).checked = true;
}

/** The cited photos of an estimate, each with a tick; `changed` is called on each change. */
export class PhotoChoice {
  #block = byId("share-photos");

  draw({ lines }, changed) {
    const cited = new Set(lines.flatMap((line) => line.evidence.filter(({ source }) => source === "photo").map((each) => each.media_id)));
    const kept = new Set(this.hidden);
    const rows = [...cited].filter(Boolean).map((id, index) => {
      const tick = el("input", { type: "checkbox", value: id, checked: !kept.has(id), onchange: changed });
      const image = el("img", { src: `/v1/media/${id}/content?size=thumb`, alt: "", width: 72, height: 72, loading: "lazy" });
      return el("li", {}, el("label", {}, tick, image, el("span", {}, `Photo ${index + 1}`)));
    });
    this.#block.querySelector("ul").replaceChildren(...rows);
    this.show(true);
  }

  show(wanted) {
    this.#block.hidden = !wanted || this.#block.querySelector("li") === null;
  }

  get hidden() {
    return [...this.#block.querySelectorAll("input:not(:checked)")].map((tick) => tick.value);
  }
}
