// Links for the customer: make one, see it once, replace it, end it, and watch what becomes of it.

import { call, serverNow } from "../shared/api.js";
import { announce, byId, el, icon } from "../shared/dom.js";
import { count, moment, relative } from "../shared/format.js";
import { copyText, showProblem } from "../shared/problems.js";
import { mailForm } from "./mail-form.js";
import { phoneDecision } from "./phone-decision.js";
import { threadOf } from "./thread.js";
import { sendRow } from "./send-link.js";
import { timelineOf } from "./timeline.js";
import { confirmPress } from "../shared/confirm-button.js";
import { drawDisplay, PhotoChoice, readDisplay, watchDisplay } from "./display.js";

const DID = {
  opened: "opened the estimate",
  accepted: "accepted the estimate",
  declined: "declined the estimate",
  changes_requested: "asked for changes",
  question: "asked a question",
};
const MAILS = { queued: "mail on its way to", sent: "mailed to", failed: "mail not delivered to" };
const HOUR = 3600;
const WEEK = 604_800;
const DECISIONS = { accepted: "Accepted", declined: "Declined", changes_requested: "Changes requested" };
const STATUSES = {
  ...DECISIONS,
  revoked: "Revoked",
  expired: "Expired",
  used_up: "No views left",
  opened: "Opened",
  sent: "Sent, not opened yet",
};

export class Shares {
  #listeners = new AbortController();
  #photos = new PhotoChoice();
  #open = new Set(); // shares whose story is being read
  #talking = new Set(); // shares whose thread is being read

  constructor(visit) {
    this.visit = visit;
    this.form = byId("share-form");
    byId("share-recipient").defaultValue = visit.details.customer_name ?? "";
    this.form.reset();
    byId("share-news").hidden = true;
    byId("share-link").hidden = true;
    byId("share-link").replaceChildren();
    byId("share-list").replaceChildren();
    const { signal } = this.#listeners;
    this.form.addEventListener("submit", (event) => this.#submit(event), { signal });
    // What is wrong must be seen, also when it stands in the folded part.
    this.form.addEventListener("invalid", ({ target }) => target.closest("details")?.setAttribute("open", ""), { capture: true, signal });
    byId("share-in-person").addEventListener("click", () => this.#handOver(), { signal });
    visit.addEventListener("estimate", () => this.#newVersion(), { signal });
    watchDisplay("share", () => this.#linkPreview(), signal);
    this.#companyDisplay().catch(showProblem);
    byId("share").hidden = visit.estimate === null;
  }

  close() {
    this.#listeners.abort();
  }

  async refresh() {
    const { estimate } = this.visit;
    byId("share").hidden = estimate === null;
    if (estimate === null) return;
    const { shares } = await call("GET", `/v1/estimates/${estimate.id}/shares`);
    if (this.#listeners.signal.aborted) return;
    byId("share-list").replaceChildren(...shares.map((share) => this.#row(share)));
    byId("share-list-block").hidden = shares.length === 0;
    this.#warn(estimate);
    this.#photos.draw(estimate, () => this.#linkPreview());
    this.#linkPreview();
    byId("share-locked").hidden = !shares.some((share) => share.decision?.decision === "accepted" && share.estimate_id === estimate.id);
    byId("share-older").hidden = estimate.version === 1;
  }

  /** A new link shows what the company's links show, until something else is chosen. */
  async #companyDisplay() {
    const { display } = await call("GET", "/v1/branding");
    if (this.#listeners.signal.aborted) return;
    drawDisplay("share", display);
    this.#linkPreview();
  }

  #display() {
    return { ...readDisplay("share"), hidden_photos: this.#photos.hidden };
  }

  #linkPreview() {
    if (this.visit.estimate === null) return;
    const display = this.#display();
    this.#photos.show(display.photos);
    byId("share-preview").href = `/v1/estimates/${this.visit.estimate.id}/preview?${new URLSearchParams(display)}`;
  }

  /** Lines that still ask to be confirmed are named before the estimate is sent. */
  #warn({ lines }) {
    const open = lines.filter((line) => line.review_reasons.length > 0).length;
    byId("share-confirm").hidden = open === 0;
    byId("share-confirm").textContent = `${count(open, "line is", "lines are")} not confirmed yet. Check ${open === 1 ? "it" : "them"} with Edit before you send the estimate.`;
  }

  /** The link on the page, if any, is to a version that can no longer be accepted: not one to copy now. */
  #newVersion() {
    byId("share-link").hidden = true;
    byId("share-link").replaceChildren();
    byId("share-news").hidden = true;
    this.refresh().catch(showProblem);
  }

  /** A share was opened or decided just now. */
  async notice(event) {
    await this.refresh();
    if (event.type === "share.mailed") return;
    const { recipient, share_id: shareId, decision } = event.payload;
    const who = recipient || this.#recipientOf(shareId) || "Your customer";
    if (event.type === "share.answer") return;
    const did = event.type === "share.question" ? DID.question : DID[decision ?? "opened"];
    const news = byId("share-news");
    news.hidden = false;
    news.dataset.decision = decision ?? "";
    byId("share-news-text").textContent = `${who} ${did}.`;
    announce(`${who} ${did}.`);
  }

  #recipientOf(shareId) {
    return byId("share-list").querySelector(`[data-share-id="${CSS.escape(shareId)}"]`)?.dataset.recipient;
  }

  async #submit(event) {
    event.preventDefault();
    const button = byId("share-make");
    button.disabled = true;
    try {
      const share = await call("POST", `/v1/estimates/${this.visit.estimate.id}/shares`, this.#wishes());
      const display = this.#display();
      this.form.reset();
      drawDisplay("share", display);
      this.#showLink(share);
      await this.refresh();
    } catch (error) {
      showProblem(error, "Couldn't create the link");
    } finally {
      button.disabled = false;
    }
  }

  #wishes() {
    const { recipient, expires_in: expiry, passcode, max_views: views } = this.form.elements;
    return {
      recipient: recipient.value.trim(),
      expires_in: Number(expiry.value),
      display: this.#display(),
      ...(passcode.value && { passcode: passcode.value }),
      ...(views.value && { max_views: Number(views.value) }),
    };
  }

  /** The only time the link is shown: the server keeps its hash alone. */
  #showLink(share, note = "") {
    const field = el("input", { type: "text", readOnly: true, id: "share-url", value: share.url, "aria-label": "Link for the customer" });
    field.addEventListener("focus", () => field.select());
    const copy = el("button", { type: "button", class: "primary" }, icon("copy"), "Copy link");
    copy.addEventListener("click", () => copyText(share.url, copy));
    byId("share-link").replaceChildren(
      el("p", { class: "share-link-title" }, icon("check"), share.recipient ? `Link for ${share.recipient}` : "Your link"),
      el("div", { class: "share-url-row" }, field, copy,
        el("a", { class: "button", id: "share-open", href: share.url, target: "_blank", rel: "noopener noreferrer" }, icon("open"), "Open")),
      el("p", { class: "hint" }, `${note}Copy it now. It is shown only once. It expires ${moment(share.expires_at)}.`),
      sendRow(share),
      mailForm(share, () => this.refresh()));
    byId("share-link").hidden = false;
    copy.focus();
    announce("Link created");
  }

  #row(share) {
    const now = serverNow();
    const { state, status, decision } = share;
    const views = share.max_views ? `${share.views} of ${count(share.max_views, "view")}` : count(share.views, "view");
    const locked = share.has_passcode ? "passcode" : "";
    const how = decision?.taken === "phone" ? "by phone" : decision?.taken === "in_person" ? "in person" : "";
    const answer = status === "revoked" && decision ? DECISIONS[decision.decision].toLowerCase() : "";
    const until = state === "revoked" ? "" : `${Date.parse(share.expires_at) > now ? "expires" : "expired"} ${relative(share.expires_at, now)}`;
    return el("li", { class: "share", dataset: { shareId: share.id, recipient: share.recipient, state: status } },
      el("p", { class: "share-name" }, share.recipient || "No name"),
      el("span", { class: "badge", dataset: { state: status } }, STATUSES[status]),
      el("p", { class: "hint" }, [`version ${share.version}`, answer, decision?.option, how, views, locked, until].filter(Boolean).join(" · ")),
      share.mail && el("p", { class: "hint", dataset: { mail: share.mail.state } },
        [`${MAILS[share.mail.state]} ${share.mail.to}`, share.mail.reason].filter(Boolean).join(": ")),
      decision?.message && el("blockquote", {}, `“${decision.message}”`),
      el("p", { class: "row share-acts" },
        this.#isBehind(share) && this.#sendButton(share),
        ["ready", "expired"].includes(state) && this.#rotateButton(share, state === "expired" ? { expires_in: WEEK } : {}),
        state === "ready" && share.mail && this.#reminders(share),
        state === "ready" && this.#revokeButton(share)),
      state === "ready" && el("details", { class: "more" }, el("summary", {}, "Send by mail"), mailForm(share, () => this.refresh())),
      this.#isOpen(share) && phoneDecision(share, this.visit.estimate, () => this.refresh()),
      threadOf(share, this.#talking),
      timelineOf(share, this.#open));
  }

  #isOpen({ state, decision, estimate_id: id }) {
    return state !== "revoked" && decision === null && id === this.visit.estimate.id;
  }

  /** The customer reads and signs on this device: a link of its own, good for an hour, takes the console's place. */
  async #handOver() {
    const button = byId("share-in-person");
    button.disabled = true;
    try {
      const wishes = { recipient: this.#wishes().recipient, expires_in: HOUR, in_person: true, display: this.#display() };
      const { url } = await call("POST", `/v1/estimates/${this.visit.estimate.id}/shares`, wishes);
      location.assign(url);
    } catch (error) {
      showProblem(error, "Couldn't open the estimate");
    } finally {
      button.disabled = false;
    }
  }

  /** Whether the link shows an older version that was not accepted. */
  #isBehind({ state, version, decision }) {
    return state !== "revoked" && version < this.visit.estimate.version && decision?.decision !== "accepted";
  }

  #sendButton(share) {
    const { id, version } = this.visit.estimate;
    const button = el("button", { type: "button", class: "small" }, icon("send"), `Send version ${version}`);
    confirmPress(button, `Show version ${version} at this link?`, async () => {
      try {
        await call("PATCH", `/v1/shares/${share.id}`, { estimate_id: id });
        await this.refresh();
      } catch (error) {
        showProblem(error, "Couldn't send the version");
      }
    });
    return button;
  }

  /** For a link that was lost, went to the wrong person, or has expired. */
  #rotateButton(share, wishes) {
    const button = el("button", { type: "button", class: "quiet small" }, icon("retry"), "New link");
    confirmPress(button, "Replace the old link?", async () => {
      try {
        this.#showLink(await call("POST", `/v1/shares/${share.id}/rotate`, wishes), "The old link no longer works. ");
        await this.refresh();
      } catch (error) {
        showProblem(error, "Couldn't replace the link");
      }
    });
    return button;
  }

  /** Whether a customer who was mailed the link is reminded of it. */
  #reminders(share) {
    const box = el("input", { type: "checkbox", checked: share.reminders });
    box.addEventListener("change", async () => {
      try {
        await call("PATCH", `/v1/shares/${share.id}`, { reminders: box.checked });
      } catch (error) {
        box.checked = !box.checked;
        showProblem(error, "Couldn't change the reminders");
      }
    });
    return el("label", { class: "reminders" }, box, "Remind the customer");
  }

  #revokeButton(share) {
    const button = el("button", { type: "button", class: "quiet small" }, icon("close"), "Revoke");
    confirmPress(button, "Revoke this link?", async () => {
      try {
        await call("POST", `/v1/shares/${share.id}/revoke`, {});
        await this.refresh();
      } catch (error) {
        showProblem(error, "Couldn't revoke the link");
      }
    });
    return button;
  }
}
