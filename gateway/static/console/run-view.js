// A run on the page: its stages with counts, the time it takes, its lines as they are drafted, and how it went.

import { serverNow } from "../shared/api.js";
import { announce, byId, el, icon } from "../shared/dom.js";
import { clock, count, moment, quantity, timeOfDay, took } from "../shared/format.js";
import { reference } from "../shared/problems.js";
import { STEPS, isActive } from "./run-state.js";

const TICK_MS = 500;
const WORDS = {
  gather: "Collecting photos, recordings and notes",
  transcribe: "Transcribing voice notes",
  look: "Analyzing photos",
  draft: "Drafting line items",
  price: "Matching your prices",
  total: "Calculating totals",
  save: "Saving the estimate",
};

const STALLED = {
  no_worker: ["Waiting", "Nothing is working on estimates right now. Yours keeps its place and starts by itself."],
  paused: ["Paused", "Estimates are on hold for everyone right now. Yours keeps its place and starts by itself."],
  worker_silent: ["Held up", "The work on your estimate has stopped answering. It goes on by itself, from where it was."],
};

export class RunView {
  #ticker = 0;
  #said = "";

  constructor() {
    this.rows = new Map(STEPS.map((name) => [name, stageRow(name)]));
    byId("stages").replaceChildren(...[...this.rows.values()].map(({ element }) => element));
    byId("drafted").replaceChildren();
  }

  /** Draw `run`, or nothing for null. */
  show(run) {
    this.run = run;
    byId("run").hidden = run === null || run.status === "completed";
    clearInterval(this.#ticker);
    if (run === null) return;
    byId("run").dataset.status = run.status;
    this.#head(run);
    for (const name of STEPS) drawStage(this.rows.get(name), run.steps[name], isActive(run));
    this.#lines(run.lines);
    this.#tick();
    if (isActive(run)) this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  close() {
    clearInterval(this.#ticker);
  }

  #head(run) {
    const [title, detail] = headline(run);
    byId("run-title").textContent = title;
    byId("run-detail").textContent = detail;
    byId("run-detail").hidden = detail === "";
    byId("run-cancel").hidden = !isActive(run);
    byId("run-cancel").disabled = run.cancelling;
    byId("run-again").hidden = isActive(run);
    byId("stages").hidden = !isActive(run) && Object.keys(run.steps).length === 0;
    const failed = run.status === "failed" && run.correlationId !== "";
    byId("run-reference").replaceChildren(...(failed ? [reference(run.correlationId)] : []));
    const now = `${title}. ${detail}`;
    if (now !== this.#said) announce(now);
    this.#said = now;
  }

  #lines(lines) {
    const list = byId("drafted");
    if (list.children.length > lines.length) list.replaceChildren();
    for (const line of lines.slice(list.children.length)) {
      list.append(el("li", {}, el("span", {}, line.description), el("span", { class: "amount" }, `${quantity(line.quantity)} ${line.unit}`)));
    }
    byId("drafted-block").hidden = lines.length === 0;
    byId("drafted-count").textContent = count(lines.length, "line");
  }

  #tick() {
    const { since, until } = this.run;
    const end = until ? Date.parse(until) : serverNow();
    byId("run-time").textContent = clock(end - Date.parse(since));
  }
}

function headline(run) {
  if (run.cancelling && isActive(run)) return ["Stopping…", "This can take a few seconds."];
  if (run.stalled && isActive(run)) return STALLED[run.stalled] ?? ["Waiting", "It goes on by itself."];
  switch (run.status) {
    case "queued":
      if (Date.parse(run.runAt) > serverNow()) return ["Scheduled", `Starts ${moment(run.runAt)}.`];
      return run.position > 1
        ? ["Queued", `${count(run.position - 1, "estimate")} ahead of yours.`]
        : ["Queued", "Starting shortly."];
    case "retrying": {
      const when = run.runAt ? `at ${timeOfDay(run.runAt)}` : "in a moment";
      return ["Trying again", `${reason(run)} Nothing is lost: ${when} it goes on from where it was.`];
    }
    case "failed":
      return ["Couldn't make the estimate", reason(run)];
    case "cancelled":
      return ["You stopped this estimate", "Your photos, recordings and notes are kept."];
    default:
      return [run.attempt > 1 ? `Making your estimate (attempt ${run.attempt} of ${run.maxAttempts})` : "Making your estimate", ""];
  }
}

function reason(run) {
  const text = run.error.trim();
  if (!text) return "Something went wrong. Try again.";
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function stageRow(name) {
  const number = el("span", { class: "stage-count" });
  const mark = el("span", { class: "stage-mark" });
  const bar = el("progress", { class: "stage-bar", max: 1, value: 0, hidden: true, "aria-label": WORDS[name] });
  const element = el("li", { class: "stage", dataset: { step: name } },
    mark, el("span", { class: "stage-name" }, WORDS[name]), number, bar);
  return { element, mark, number, bar };
}

function drawStage({ element, mark, number, bar }, step, active) {
  const status = step?.status ?? "waiting";
  const shown = status === "running" && !active ? "stopped" : status;
  if (element.dataset.status !== shown) {
    element.dataset.status = shown;
    mark.replaceChildren(...markOf(shown));
    if (shown === "running") element.setAttribute("aria-current", "step");
    else element.removeAttribute("aria-current");
  }
  number.textContent = figures(step, shown);
  bar.hidden = shown !== "running" || !(step.total > 1);
  if (!bar.hidden) Object.assign(bar, { max: step.total, value: step.done });
}

function markOf(status) {
  const words = { completed: "Done", running: "Now", stopped: "Stopped", waiting: "Waiting" }[status];
  const shape = { completed: icon("check"), running: el("span", { class: "spinner" }), stopped: icon("close") }[status];
  return [shape ?? el("span", { class: "dot" }), el("span", { class: "visually-hidden" }, `${words}: `)];
}

function figures(step, status) {
  if (!step) return "";
  const counted = step.total > 1 ? `${step.done ?? 0} of ${step.total}` : "";
  if (status === "completed") return [counted, step.ms === undefined ? "" : took(step.ms)].filter(Boolean).join(" · ");
  return counted;
}
