// What became of a link: each time it was opened, what was looked at, what was answered.

import { callAll } from "../shared/api.js";
import { el } from "../shared/dom.js";
import { moment } from "../shared/format.js";
import { showProblem } from "../shared/problems.js";

const DID = {
  opened: "Opened",
  photo: "Viewed a photo",
  pdf: "Downloaded the PDF",
  certificate: "Downloaded the certificate",
  accepted: "Accepted",
  declined: "Declined",
  changes_requested: "Asked for changes",
  question: "Asked a question",
  answer: "You answered",
  version: "You sent the newest version",
  rotated: "You replaced the link",
  locked: "Locked after five wrong passcodes; replace the link if nobody you know tried",
  revoked: "You revoked the link",
};
// What happened to a mail has its address beside it, and the reason of a failure.
const MAILED = {
  mailed: "Sent by mail to",
  mail_queued: "Mail on its way to",
  mail_failed: "Mail not delivered to",
};
const WITH = { phone: "on a phone", tablet: "on a tablet", desktop: "on a computer", bot: "by a program" };

/** A fold that reads the story when it is opened; `open` is a set of share ids that stay open through a refresh. */
export function timelineOf(share, open) {
  const list = el("ol", { class: "timeline" });
  const fold = el("details", { class: "timeline-fold" }, el("summary", {}, "Activity"), list);
  const read = async () => {
    try {
      const events = await callAll(`/v1/shares/${share.id}/timeline`, "events", 500);
      list.replaceChildren(...(events.length > 0 ? events.map(entry) : [el("li", { class: "hint" }, "No activity yet.")]));
    } catch (error) {
      showProblem(error, "Couldn't load activity");
    }
  };
  fold.addEventListener("toggle", () => {
    if (!fold.open) return open.delete(share.id);
    open.add(share.id);
    return read();
  });
  fold.open = open.has(share.id);
  return fold;
}

function entry(event) {
  const where = [WITH[event.user_agent_class], event.address_prefix && `from ${event.address_prefix}`].filter(Boolean);
  const detail = MAILED[event.kind] ? event.detail : event.detail && `by ${event.detail}`;
  const what = [MAILED[event.kind] ?? DID[event.kind] ?? event.kind, detail].filter(Boolean).join(" ");
  return el("li", {}, el("b", {}, what), el("span", { class: "hint" }, [moment(event.happened_at), ...where].join(" · ")));
}
