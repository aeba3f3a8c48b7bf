// A link by mail: the address, the company's own words, a look at the letter, and off it goes.

import { call } from "../shared/api.js";
import { announce, el, icon } from "../shared/dom.js";
import { showProblem } from "../shared/problems.js";

const WORDS = 2000;

/** The form for one share; `onSent` is called when the mail is queued. */
export function mailForm(share, onSent) {
  const address = el("input", { type: "text", inputmode: "email", name: "to", required: true, maxLength: 320, autocomplete: "off",
    value: share.mail?.to ?? "", placeholder: "maria@example.com", "aria-label": "Email address of the customer" });
  const message = el("textarea", { name: "message", rows: 3, maxLength: WORDS,
    placeholder: "Your usual words", "aria-label": "Message" });
  const look = el("div", { class: "mail-look", hidden: true });
  const preview = el("button", { type: "button", class: "quiet" }, icon("open"), "Preview");
  preview.addEventListener("click", () => showPreview(share, message.value.trim(), look));
  const send = el("button", { type: "submit", class: "primary" }, icon("send"), "Send mail");
  const form = el("form", { class: "mail-form", autocomplete: "off" },
    el("p", { class: "field" }, address), el("p", { class: "field" }, message),
    el("p", { class: "row" }, send, preview), look);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      await call("POST", `/v1/shares/${share.id}/mails`, { to: address.value.trim(), message: message.value.trim() });
      announce(`Mail to ${address.value.trim()} is on its way`);
      await onSent();
    } catch (error) {
      showProblem(error, "Couldn't send the mail");
    } finally {
      send.disabled = false;
    }
  });
  return form;
}

/** The letter as its receiver sees it; its title is the subject. */
function showPreview(share, message, look) {
  const frame = el("iframe", { title: "The mail", src: `/v1/shares/${share.id}/mail-preview?${new URLSearchParams({ message })}` });
  const subject = el("p", { class: "hint" });
  frame.addEventListener("load", () => {
    subject.textContent = `Subject: ${frame.contentDocument?.title ?? ""}`;
  });
  look.replaceChildren(subject, frame);
  look.hidden = false;
}
