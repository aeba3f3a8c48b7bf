// The error box: what went wrong, what to do, and the reference that finds it in the logs.

import { Problem } from "./api.js";
import { byId, el, icon } from "./dom.js";

/** Show `error`; a repeated one replaces its twin. Aborted requests are no problem. */
export function showProblem(error, doing = "") {
  if (error?.name === "AbortError") return;
  if (!(error instanceof Problem)) {
    showProblem(new Problem({ title: "Something went wrong on this page", detail: String(error?.message ?? error) }), doing);
    throw error;
  }
  if (error.status === 401) return showSignIn(error);
  const box = problemBox(error, doing);
  const list = byId("problems");
  for (const old of list.children) if (old.dataset.key === box.dataset.key) old.remove();
  list.append(box);
  while (list.children.length > 3) list.firstElementChild.remove();
}

export function clearProblems() {
  byId("problems").replaceChildren();
}

function problemBox(problem, doing) {
  const title = doing ? `${doing}: ${problem.title}` : problem.title;
  const box = el("div", { class: "problem", role: "alert", dataset: { key: title, status: problem.status } });
  const close = el(
    "button",
    { type: "button", class: "quiet square", "aria-label": "Dismiss", onclick: () => box.remove() },
    icon("close"),
  );
  const fields = (problem.members.errors ?? []).map(({ field, message }) =>
    el("li", {}, el("b", {}, field), ` ${message}`),
  );
  box.append(
    icon("alert"),
    el(
      "div",
      { class: "problem-text" },
      el("h2", {}, title),
      el("p", {}, problem.detail),
      fields.length > 0 && el("ul", {}, fields),
      problem.correlationId && reference(problem.correlationId),
    ),
    close,
  );
  return box;
}

/** The id that finds a failure in the logs, with a button that copies it. */
export function reference(correlationId) {
  const copy = el("button", { type: "button", class: "quiet small" }, icon("copy"), "Copy");
  copy.addEventListener("click", () => copyText(correlationId, copy));
  return el("p", { class: "reference" }, "Reference ", el("code", {}, correlationId), copy);
}

/** Copy, and say so on the button. */
export async function copyText(text, button) {
  const label = button.lastChild;
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(text);
    label.textContent = "Copied";
  } catch {
    label.textContent = "Select and copy";
  }
  setTimeout(() => (label.textContent = before), 2000);
}

function showSignIn(problem) {
  byId("app").hidden = true;
  byId("sign-in").hidden = false;
  byId("sign-in-reason").textContent = problem.detail;
}
