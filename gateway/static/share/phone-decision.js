// A decision that the customer took by phone, recorded by the contractor as such.

import { call } from "../shared/api.js";
import { el } from "../shared/dom.js";
import { showProblem } from "../shared/problems.js";

const DECISIONS = [["accepted", "Accepted"], ["declined", "Declined"], ["changes_requested", "Changes requested"]];

/** A fold with the form; `recorded` is called once the decision stands. */
export function phoneDecision(share, estimate, recorded) {
  const decision = el("select", { name: "decision" }, DECISIONS.map(([value, words]) => el("option", { value }, words)));
  const name = el("input", { type: "text", name: "name", required: true, maxLength: 200, value: share.recipient });
  const option = estimate.options.length > 0
    && el("select", { name: "option" }, estimate.options.map((each) => el("option", { value: each, selected: each === estimate.chosen_option }, each)));
  const form = el("form", { class: "thread-answer" },
    field("Decision", decision), option && field("Option", option), field("Decided by", name),
    el("button", { type: "submit", class: "small" }, "Record decision"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await call("POST", `/v1/shares/${share.id}/decision`, {
        decision: decision.value,
        name: name.value.trim(),
        content_hash: estimate.content_hash,
        ...(option && { option: option.value }),
      });
      await recorded();
    } catch (error) {
      showProblem(error, "Couldn't record the decision");
    }
  });
  return el("details", { class: "timeline-fold" }, el("summary", {}, "Decided by phone"), form);
}

function field(label, control) {
  return el("label", { class: "field" }, el("span", {}, label), control);
}
