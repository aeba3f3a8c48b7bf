// What differs between two versions of an estimate, as a list a person reads.

import { el } from "../shared/dom.js";
import { money, percent, quantity } from "../shared/format.js";

const FIELDS = { description: "Description", category: "Trade", quantity: "Qty", unit: "Unit", unit_price: "Unit price", option: "Include in" };
const TERMS = { tax_rate: "Tax", markup_rate: "Markup", discount_rate: "Discount", discount_fixed: "Discount", options: "Options", chosen_option: "Selected option" };
const DONE = { added: "Added", removed: "Removed", changed: "Changed" };

/** The differences as the server tells them. */
export function changeList({ changes, terms }, currency) {
  const rows = [...changes.map((change) => lineChange(change, currency)), ...terms.map((term) => termChange(term, currency))];
  return el("ul", { class: "changes" }, rows.length > 0 ? rows : [el("li", {}, "No changes visible to the customer.")]);
}

function lineChange({ change, description, before, after }, currency) {
  const whole = change === "changed" ? null : inWords(after ?? before, currency);
  return el("li", { dataset: { change } },
    el("p", {}, el("span", { class: "badge" }, DONE[change]), " ", el("b", {}, description), whole && `, ${whole}`),
    change === "changed" && Object.keys(after).map((name) => step(FIELDS[name], shown(name, before[name], currency), shown(name, after[name], currency))));
}

const termChange = ({ term, before, after }, currency) =>
  el("li", { dataset: { change: "changed" } }, step(TERMS[term], shown(term, before, currency), shown(term, after, currency)));

const step = (name, before, after) => el("p", {}, `${name}: `, el("del", {}, before), " → ", el("ins", {}, after));

const inWords = (line, currency) => `${quantity(line.quantity)} ${line.unit}, ${shown("unit_price", line.unit_price, currency)}`;

function shown(name, value, currency) {
  if (name === "unit_price" || name === "discount_fixed") return value === null ? "no price" : money(value, currency);
  if (name.endsWith("_rate")) return value === null ? "none" : percent(value);
  if (name === "quantity") return quantity(value);
  if (Array.isArray(value)) return value.join(", ") || "none";
  return value || (name === "option" ? "all options" : "none");
}
