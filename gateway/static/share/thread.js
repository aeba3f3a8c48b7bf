// A link's thread: what its customer asked, and the answers of the company.

import { call, callAll } from "../shared/api.js";
import { el } from "../shared/dom.js";
import { moment } from "../shared/format.js";
import { showProblem } from "../shared/problems.js";

/** A fold with the thread and a field for an answer; `open` is a set of share ids that stay open through a refresh. */
export function threadOf(share, open) {
  const list = el("ol", { class: "timeline" });
  const field = el("textarea", { rows: 2, maxLength: 2000, required: true, "aria-label": "Your answer" });
  const form = el("form", { class: "thread-answer" }, field, el("button", { type: "submit", class: "small" }, "Send answer"));
  const fold = el("details", { class: "timeline-fold" }, el("summary", {}, share.unanswered ? "Questions (1 new)" : "Questions"), list, form);
  const draw = async () => {
    const questions = await callAll(`/v1/shares/${share.id}/questions`, "questions", 200);
    list.replaceChildren(...(questions.length > 0 ? questions.map((each) => entry(each, share)) : [el("li", { class: "hint" }, "No questions yet.")]));
  };
  const attempt = async (act, problem) => {
    try {
      await act();
      await draw();
    } catch (error) {
      showProblem(error, problem);
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = field.value.trim();
    if (body === "") return undefined;
    return attempt(async () => {
      await call("POST", `/v1/shares/${share.id}/questions`, { body });
      form.reset();
    }, "Couldn't send the answer");
  });
  fold.addEventListener("toggle", () => {
    if (!fold.open) return open.delete(share.id);
    open.add(share.id);
    return attempt(() => {}, "Couldn't load the questions");
  });
  fold.open = open.has(share.id) || share.unanswered;
  return fold;
}

function entry({ kind, name, body, sent_at: sent }, share) {
  const writer = kind === "answer" ? "You" : name || share.recipient || "Your customer";
  return el("li", {}, el("b", {}, writer), el("p", {}, body), el("span", { class: "hint" }, moment(sent)));
}
