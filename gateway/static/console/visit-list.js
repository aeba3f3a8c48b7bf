// The list of visits: searched, filtered by state, and read page by page.

import { call, serverNow } from "../shared/api.js";
import { byId, el } from "../shared/dom.js";
import { relative } from "../shared/format.js";
import { showProblem } from "../shared/problems.js";

const PAGE = 50;
const TYPING_MS = 250;
const STATES = {
  estimating: "Estimating",
  failed: "Needs attention",
  draft: "Draft",
  sent: "Sent",
  opened: "Opened",
  accepted: "Accepted",
  declined: "Declined",
  changes_requested: "Changes requested",
  expired: "Expired",
  used_up: "No views left",
  revoked: "Revoked",
};

export class VisitList {
  #next = null; // where the next page begins
  #reading = new AbortController();
  #typing = 0;

  constructor() {
    this.list = byId("visit-list");
    this.current = null;
    this.search = byId("visit-search");
    this.state = byId("visit-state");
    this.more = byId("more-visits");
    this.state.append(...Object.entries(STATES).map(([value, text]) => el("option", { value }, text)));
    this.search.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#readAnew(), TYPING_MS);
    });
    this.state.addEventListener("change", () => this.#readAnew());
    this.more.addEventListener("click", () => this.#readMore());
  }

  /** Read the list from its beginning. */
  async refresh() {
    this.#reading.abort();
    this.#reading = new AbortController();
    const { signal } = this.#reading;
    const { visits, next } = await this.#page(null, signal).catch((error) => {
      if (signal.aborted) return {};
      throw error;
    });
    if (!visits) return;
    this.list.replaceChildren(...visits.map(visitLink));
    byId("visit-filters").hidden = visits.length === 0 && !this.#filtered;
    byId("no-visits").hidden = visits.length > 0;
    byId("no-visits").textContent = this.#filtered ? "No visits match." : "Your visits will be listed here.";
    this.#reached(next);
  }

  mark(visitId) {
    this.current = visitId;
    for (const link of this.list.querySelectorAll("a")) {
      if (link.dataset.visitId === visitId) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  get #filtered() {
    return this.search.value.trim() !== "" || this.state.value !== "";
  }

  #page(after, signal) {
    const query = new URLSearchParams({ limit: PAGE });
    if (this.search.value.trim()) query.set("q", this.search.value.trim());
    if (this.state.value) query.set("state", this.state.value);
    if (after) query.set("after", after);
    return call("GET", `/v1/visits?${query}`, undefined, { signal });
  }

  #readAnew() {
    this.refresh().catch((error) => showProblem(error, "Couldn't list the visits"));
  }

  async #readMore() {
    this.more.disabled = true;
    const { signal } = this.#reading;
    try {
      const { visits, next } = await this.#page(this.#next, signal);
      const links = visits.map(visitLink);
      this.list.append(...links);
      this.#reached(next);
      links[0]?.querySelector("a").focus();
    } catch (error) {
      if (!signal.aborted) showProblem(error, "Couldn't list more visits");
    } finally {
      this.more.disabled = false;
    }
  }

  #reached(next) {
    this.#next = next;
    this.more.hidden = next === null;
    this.mark(this.current);
  }
}

function visitLink(visit) {
  const name = visit.title || visit.customer_name || visit.address || "Untitled visit";
  const where = [visit.customer_name, visit.address].filter((text) => text && text !== name).join(" · ");
  const state = STATES[visit.state];
  return el("li", {},
    el("a", { href: `#visit=${visit.id}`, dataset: { visitId: visit.id } },
      el("span", { class: "visit-name" }, name),
      where && el("span", { class: "visit-where" }, where),
      el("span", { class: "visit-when" }, relative(visit.created_at, serverNow()),
        state && el("span", { class: "badge", dataset: { state: visit.state } }, state))));
}
