// The open visit on the page: capture on one side, the estimate and its links on the other, events between them.

import { serverNow } from "../shared/api.js";
import { announce, byId, reveal } from "../shared/dom.js";
import { draftOf } from "../estimate/drafts.js";
import { Editor } from "../estimate/editor.js";
import { drawEstimate } from "../estimate/estimate.js";
import { count } from "../shared/format.js";
import { Gallery } from "./gallery.js";
import { JobPoll } from "./job-poll.js";
import { VisitFeed } from "./visit-feed.js";
import { Notes } from "./notes.js";
import { showProblem } from "../shared/problems.js";
import { RunView } from "./run-view.js";
import { advance, isActive, runOf, withSteps } from "./run-state.js";
import { Shares } from "../share/shares.js";
import { newId } from "../uploads/uploads.js";

export class VisitPage {
  #listeners = new AbortController();
  #idempotencyKey = null;
  #live = null;
  #openedAt = serverNow();
  editor = null;

  /** `flags` are the tenant's; `onStatus()` is told when the list of visits should be read again. */
  constructor(visit, { uploads, flags, onStatus }) {
    Object.assign(this, { visit, uploads, flags, onStatus });
    uploads.continueAfter(visit.id, visit.lastSequence);
    this.gallery = new Gallery(visit, uploads);
    this.notes = new Notes(visit);
    this.shares = new Shares(visit);
    this.runView = new RunView();
    this.run = this.#runToShow(visit.job);
    this.#listen();
    this.#drawDetails();
    this.#drawRun();
    this.#drawEstimate();
    if (visit.estimate && draftOf(visit.id)) this.#edit();
    if (!flags.progress) this.shares.refresh().catch(showProblem);
    this.#live = this.#follow();
  }

  /** Whether leaving would lose changes to the estimate: only where this device keeps no draft of them. */
  get unsaved() {
    return this.editor !== null && this.editor.dirty && !this.editor.kept;
  }

  close() {
    this.#listeners.abort();
    this.editor?.close();
    for (const part of [this.#live, this.gallery, this.notes, this.shares, this.runView]) part.close();
  }

  async askForEstimate() {
    const button = byId("ask-estimate");
    button.disabled = true;
    byId("run-again").disabled = true;
    try {
      await Promise.all([this.notes.flush(), this.gallery.flush()]);
      // The same key until the server has answered: a lost answer must not start a second run.
      this.#idempotencyKey ??= newId();
      await this.visit.requestEstimate(this.#idempotencyKey);
      this.#idempotencyKey = null;
      reveal(byId("run"));
    } catch (error) {
      if (!error.passing) this.#idempotencyKey = null;
      showProblem(error, "Couldn't start the estimate");
    } finally {
      byId("run-again").disabled = false;
      this.#drawAsk();
    }
  }

  async cancel() {
    try {
      await this.visit.cancelJob();
    } catch (error) {
      showProblem(error, "Couldn't stop the estimate");
    }
  }

  #listen() {
    const { signal } = this.#listeners;
    this.visit.addEventListener("details", () => this.#drawDetails(), { signal });
    this.visit.addEventListener("media", () => this.#drawAsk(), { signal });
    this.visit.addEventListener("job", () => this.#jobAnswered(), { signal });
    this.visit.addEventListener("estimate", () => this.#drawEstimate(), { signal });
    this.uploads.addEventListener("change", () => this.#drawAsk(), { signal });
    byId("notes").addEventListener("input", () => this.#drawAsk(), { signal });
  }

  #follow() {
    if (this.flags.progress) {
      return new VisitFeed(this.visit.id, {
        onSnapshot: (snapshot) => this.#start(snapshot),
        onEvent: (event) => this.#apply(event),
        onProblem: showProblem,
      });
    }
    byId("connection").hidden = true;
    const poll = new JobPoll(() => this.visit.refreshJob(), () => isActive(this.run));
    if (isActive(this.run)) poll.open();
    return poll;
  }

  /** Events follow from here; what came between reading the visit and now is read again. */
  #start({ job, steps }) {
    this.visit.refreshMedia().catch(showProblem);
    this.shares.refresh().catch(showProblem);
    const before = this.visit.job;
    if (!job) return;
    this.visit.job = job;
    if (this.visit.jobIsActive) {
      this.#setRun(withSteps(runOf(job), steps));
    } else if (before?.id !== job.id || before.status !== job.status) {
      this.#setRun(runOf(job));
      this.#finished();
    }
  }

  #apply(event) {
    // Where no stream gets through, the page is told the visit's whole past; it has read that already.
    if (Date.parse(event.created_at) < this.#openedAt && event.job_id !== this.run?.jobId) return undefined;
    if (event.type.startsWith("media.")) return this.#mediaElsewhere(event);
    if (event.type.startsWith("share.")) return this.shares.notice(event).catch(showProblem);
    if (event.type === "job.queued" && !event.background && this.run?.jobId !== event.job_id) this.#adopt(event);
    if (this.run === null) return undefined;
    const before = this.run;
    this.#setRun(advance(this.run, event));
    if (isActive(before) && !isActive(this.run)) this.#finished();
    return undefined;
  }

  /** A run began, here or on another device; its event may be faster than the answer to our request. */
  #adopt(event) {
    this.run = runOf({ id: event.job_id, status: "queued", created_at: event.created_at });
    this.visit.job = { id: event.job_id, status: "queued" };
  }

  #mediaElsewhere({ type, payload }) {
    if (type === "media.removed") this.visit.forget(payload.media_id);
    else if (!this.visit.media.has(payload.media_id)) this.visit.refreshMedia().catch(showProblem);
  }

  #jobAnswered() {
    const { job } = this.visit;
    const before = this.run;
    const known = before?.jobId === job.id;
    if (known && this.flags.progress) {
      this.#setRun({ ...before, position: job.position ?? null, cancelling: Boolean(job.cancel_requested) });
    } else {
      this.#setRun(runOf(job));
    }
    if (isActive(this.run)) this.#live.open();
    else if (known && isActive(before)) this.#finished();
  }

  async #finished() {
    this.visit.job = { ...this.visit.job, status: this.run.status };
    this.onStatus();
    if (this.run.status !== "completed") return;
    try {
      await this.visit.refreshEstimate();
      announce("The estimate is ready");
      if (!isTyping()) reveal(byId("estimate"));
    } catch (error) {
      showProblem(error, "The estimate is ready, but couldn't be loaded");
    }
  }

  #runToShow(job) {
    if (job === null || job.status === "completed") return null;
    // An estimate newer than a failed run makes that run old news.
    const overtaken = this.visit.estimate && Date.parse(this.visit.estimate.created_at) > Date.parse(job.created_at);
    return overtaken ? null : runOf(job);
  }

  #setRun(run) {
    this.run = run;
    this.#drawRun();
  }

  #drawRun() {
    this.runView.show(this.run);
    this.#drawAsk();
  }

  /** An edit in progress is not drawn over; its save is told of a newer version. */
  #drawEstimate() {
    if (this.editor === null) drawEstimate(this.visit, () => this.#edit());
    this.#drawAsk();
  }

  #edit() {
    this.editor = new Editor(this.visit, () => {
      this.editor = null;
      this.#drawEstimate();
    });
  }

  #drawDetails() {
    const { customer_name: customer, address } = this.visit.details;
    byId("visit-title").textContent = this.visit.name;
    document.title = `${this.visit.name} · ScopeKit`;
    byId("visit-where").textContent = [customer, address].filter((text) => text && text !== this.visit.name).join(" · ");
    this.#drawAsk();
  }

  #drawAsk() {
    const shown = this.run !== null && this.run.status !== "completed";
    byId("ask").hidden = shown;
    byId("ask").dataset.again = this.visit.estimate ? "yes" : "no";
    const [possible, words] = this.#mayAsk();
    byId("ask-estimate").disabled = !possible;
    byId("run-again").disabled = !possible;
    byId("ask-label").textContent = this.visit.estimate ? "Re-run estimate" : "Make estimate";
    byId("ask-reason").textContent = words;
  }

  #mayAsk() {
    const pending = this.uploads.pending(this.visit.id);
    const failed = this.uploads.failed(this.visit.id);
    if (this.flags.estimation === false) return [false, "Estimates are turned off for your company."];
    if (this.uploads.recordings.length > 0) return [false, "Stop the recording first."];
    if (pending > 0) return [false, `Waiting for ${count(pending, "upload")} to finish.`];
    if (!this.visit.hasContent && byId("notes").value.trim() === "") return [false, "Add a photo, a voice note or notes first."];
    if (failed > 0) return [true, `${count(failed, "file was", "files were")} not uploaded and won't be included.`];
    return [true, this.#content()];
  }

  #content() {
    const kinds = [...this.visit.media.values()].map((medium) => medium.media_type);
    const photos = kinds.filter((kind) => kind === "photo").length;
    const recordings = kinds.length - photos;
    const parts = [photos && count(photos, "photo"), recordings && count(recordings, "voice note"), byId("notes").value.trim() && "your notes"];
    return `From ${parts.filter(Boolean).join(", ")}.`;
  }
}

/** Whether moving the page would take somebody's sentence from under their hands. */
const isTyping = () => document.activeElement?.matches("textarea, input[type=text]");
