// The estimate as a document: what is in it, what is not, why, and what it costs.

import { serverNow } from "../shared/api.js";
import { byId, el, icon } from "../shared/dom.js";
import { evidenceChip } from "./evidence.js";
import { versionList } from "./versions.js";
import { count, missing, money, percent, quantity, relative, sentence } from "../shared/format.js";

/** Draw the visit's estimate into its section, or hide the section when there is none. */
export function drawEstimate(visit, onEdit) {
  const { estimate } = visit;
  byId("estimate").hidden = estimate === null;
  if (estimate === null) return byId("estimate-body").replaceChildren();
  return byId("estimate-body").replaceChildren(
    ...[head(estimate, onEdit), coverage(estimate), ...groups(estimate, visit), totals(estimate), ...others(estimate, visit), versionList(visit)].filter(Boolean));
}

function head(estimate, onEdit) {
  const confirm = estimate.lines.filter((line) => toConfirm(line)).length;
  const made = [`Version ${estimate.version}`, relative(estimate.created_at, serverNow()), `${estimate.engine} engine`];
  return el("header", { class: "estimate-head" },
    el("button", { type: "button", id: "edit-estimate", onclick: onEdit }, icon("edit"), "Edit"),
    el("p", { class: "estimate-total" }, money(estimate.total, estimate.currency)),
    el("p", { class: "estimate-facts" }, [count(estimate.line_count, "line"),
      estimate.unpriced_count > 0 && `${estimate.unpriced_count} without a price`,
      confirm > 0 && `${confirm} to confirm`].filter(Boolean).join(" · ")),
    estimate.summary && el("p", { class: "summary" }, estimate.summary),
    el("p", { class: "hint" }, made.join(" · ")));
}

function coverage({ coverage: notes }) {
  if (notes.length === 0) return null;
  return el("aside", { class: "coverage", "aria-label": "What we used" },
    icon("info"), el("div", {}, el("h3", {}, "What we used"), el("ul", {}, notes.map((note) => el("li", {}, note)))));
}

function groups(estimate, visit) {
  const byCategory = new Map();
  for (const line of estimate.lines.filter(({ option }) => option === "" || option === estimate.chosen_option)) {
    const name = sentence(line.category || "General");
    byCategory.set(name, [...(byCategory.get(name) ?? []), line]);
  }
  return [...byCategory].map(([name, lines]) =>
    el("section", { class: "category" }, el("h3", {}, name),
      el("ul", { class: "lines" }, lines.map((line) => lineRow(line, estimate, visit)))));
}

function lineRow(line, { currency }, visit) {
  const priced = line.unit_price !== null;
  const number = quantity(line.quantity);
  const each = line.unit === "each" && priced ? number : `${number} ${line.unit}`;
  return el("li", { class: "line", dataset: { position: line.position, priced, review: toConfirm(line) } },
    el("p", { class: "line-name" }, line.description, toConfirm(line) && el("span", { class: "badge" }, "Confirm")),
    el("p", { class: "line-amount" }, priced ? money(line.amount, currency) : el("span", { class: "badge unpriced" }, "No price")),
    el("p", { class: "line-sum" }, priced ? `${each} × ${money(line.unit_price, currency)}` : each),
    toConfirm(line) && el("ul", { class: "reasons" }, line.review_reasons.map((reason) => el("li", {}, sentence(reason)))),
    evidenceRow(line, visit),
    why(line));
}

/** Whether the contractor is asked to look at a line again; they say that they did in the editor. */
export const toConfirm = (line) => line.review_reasons.length > 0;

function evidenceRow(line, visit) {
  if (line.evidence.length === 0) return el("p", { class: "hint no-evidence" }, "Not from the visit’s photos, recordings or notes.");
  return el("div", { class: "chips" }, line.evidence.map((evidence) => evidenceChip(evidence, visit)));
}

function why(line) {
  const facts = [...matchFacts(line.match, line.unit_price), ...assumed(line.assumptions), ...sureness(line.confidence)];
  if (facts.length === 0) return null;
  return el("details", { class: "why" }, el("summary", {}, "Why"), el("ul", {}, facts.map((fact) => el("li", {}, fact))));
}

// The name of a match where somebody on site named the price; see jobs/kinds/estimate/steps/pricing.py.
const SAID = "said";

function matchFacts(match, price) {
  if (match?.choices?.length) return [`Closest in your price book: ${match.choices.map(({ name }) => name).join(", ")}. Choose one when you edit the line.`];
  if (match?.name === SAID) return ["Price as it was said or typed on site."];
  if (!match) return [price === null ? "No match in your price book." : "Price entered by hand."];
  const facts = [`${price === null ? "Closest in your price book" : "Price from your price book"}: ${match.name} (${percent(rounded(match.score))} match).`];
  if (match.runner_up) facts.push(`Next closest: ${match.runner_up} (${percent(rounded(match.runner_up_score))} match).`);
  return facts;
}

const rounded = (share) => Math.round(share * 100) / 100;
const assumed = (assumptions) => assumptions.map((text) => `Assumed: ${text}`);
const sureness = (confidence) => (confidence === null || confidence === undefined ? [] : [`Confidence: ${percent(rounded(confidence))}.`]);

function totals(estimate) {
  const row = (name, value, kind = "") => el("div", { class: kind }, el("dt", {}, name), el("dd", {}, money(value, estimate.currency)));
  return el("footer", { class: "totals" },
    el("dl", {}, ...[
      row("Subtotal", estimate.subtotal),
      Number(estimate.markup) > 0 && row(`Markup ${percent(estimate.markup_rate)}`, estimate.markup),
      Number(estimate.discount) > 0 && row("Discount", `-${estimate.discount}`),
      row(`Tax ${percent(estimate.tax_rate)}`, estimate.tax),
      row(estimate.chosen_option ? `Total with “${estimate.chosen_option}”` : "Total", estimate.total, "grand"),
    ].filter(Boolean)),
    estimate.unpriced_count > 0 && el("p", { class: "not-in-total" }, missing(estimate.unpriced_count)));
}

/** What the other options hold; an edit chooses which one is counted. */
function others(estimate, visit) {
  return estimate.options.filter((name) => name !== estimate.chosen_option).map((name) =>
    el("section", { class: "category other-option" }, el("h3", {}, `Option: ${name}`),
      el("ul", { class: "lines" }, estimate.lines.filter(({ option }) => option === name).map((line) => lineRow(line, estimate, visit)))));
}
