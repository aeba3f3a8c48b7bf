// The versions of an estimate: who made which, and what each changed.

import { call, callAll, serverNow } from "../shared/api.js";
import { changeList } from "../console/changes.js";
import { byId, el } from "../shared/dom.js";
import { count, money, relative } from "../shared/format.js";
import { showProblem } from "../shared/problems.js";

/** A folded list that is read when it is opened. */
export function versionList(visit) {
  const list = el("ul", { class: "versions" });
  const details = el("details", { id: "versions" }, el("summary", {}, `${count(visit.estimate.version, "version")}`), list);
  details.addEventListener("toggle", () => details.open && fill(list, visit).catch(showProblem), { once: true });
  return details;
}

async function fill(list, visit) {
  const versions = await callAll(`/v1/visits/${visit.id}/estimates`, "versions", 200);
  list.replaceChildren(...versions.map(row));
}

function row({ id, version, edited, engine, total, currency, line_count: lines, created_at: created }) {
  const by = edited ? "edited by hand" : `by the ${engine} engine`;
  return el("li", { class: "version" },
    el("p", {}, el("b", {}, `Version ${version}`), `, ${money(total, currency)}`),
    el("p", { class: "hint" }, `${count(lines, "line")} · ${by} · ${relative(created, serverNow())}`),
    version > 1 && el("button", { type: "button", class: "small", onclick: () => showChanges(id, version, currency).catch(showProblem) }, "What changed"));
}

async function showChanges(id, version, currency) {
  const compared = await call("GET", `/v1/estimates/${id}/changes`);
  const dialog = byId("evidence");
  byId("evidence-title").textContent = `Version ${compared.from.version} to ${version}`;
  byId("evidence-body").replaceChildren(
    changeList(compared, currency),
    el("p", { class: "hint" }, `Total: ${money(compared.from.total, currency)} → ${money(compared.to.total, currency)}`));
  dialog.dataset.kind = "words";
  dialog.showModal();
}
