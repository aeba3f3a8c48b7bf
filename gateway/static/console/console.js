// The capture console: opens the visit that the address names, and wires what stays from visit to visit.

import { Problem, call } from "../shared/api.js";
import { Branding } from "../share/branding.js";
import { OfflineView, signalAgain } from "./offline-view.js";
import { VisitPage } from "./visit-page.js";
import { announce, byId } from "../shared/dom.js";
import { setUpEvidence } from "../estimate/evidence.js";
import { PriceBook } from "../estimate/price-book.js";
import { UnsavedGuard } from "../shared/unsaved-guard.js";
import { clearProblems, showProblem } from "../shared/problems.js";
import { Recorder } from "../uploads/recorder.js";
import { remember, remembered } from "./last-session.js";
import { confirmPress } from "../shared/confirm-button.js";
import { Uploads } from "../uploads/uploads.js";
import { VisitForm } from "./visit-form.js";
import { VisitList } from "./visit-list.js";
import { Visit } from "./visit.js";

const uploads = new Uploads();
new UnsavedGuard(uploads);
const list = new VisitList();
const form = new VisitForm();
const recorder = new Recorder((contentType, name) => {
  const note = uploads.record(view.visit.id, contentType, name);
  rememberVisit();
  return note;
});

let view = null; // the open visit: a VisitPage, or an OfflineView as long as it cannot be read
let flags = {};
let opening = new AbortController();

const named = () => /^#visit=([0-9a-f-]{36})$/i.exec(location.hash)?.[1] ?? null;

async function openNamed() {
  opening.abort();
  opening = new AbortController();
  const { signal } = opening;
  const id = named();
  if (recorder.recording) recorder.stop(); // kept, with the visit it was made for
  view?.close();
  view = null;
  clearProblems();
  list.mark(id);
  byId("app").dataset.view = id ? "visit" : "visits";
  byId("visit").hidden = true;
  byId("welcome").hidden = id !== null;
  byId("connection").hidden = true;
  document.title = "ScopeKit";
  if (id === null) return;
  byId("main").setAttribute("aria-busy", "true");
  try {
    await openVisitPage(id, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (error.passing) {
      openOfflineView(id, signal);
    } else {
      byId("welcome").hidden = false;
      showProblem(error, "Couldn't open the visit");
    }
  } finally {
    if (!signal.aborted) byId("main").removeAttribute("aria-busy");
  }
}

async function openVisitPage(id, signal) {
  const visit = await Visit.open(id, signal);
  if (signal.aborted) return;
  view?.close();
  byId("visit").hidden = false;
  byId("connection").hidden = false;
  view = new VisitPage(visit, { uploads, flags, onStatus: refreshList });
  rememberVisit();
  scrollTo(0, 0);
}

/** What is here of a visit is shown at once, and the rest as soon as there is signal; a recording is not cut off. */
async function openOfflineView(id, signal) {
  view = new OfflineView(id, uploads);
  byId("visit").hidden = false;
  while (!signal.aborted) {
    await signalAgain(signal);
    if (signal.aborted || recorder.recording) continue;
    try {
      await openVisitPage(id, signal);
      clearProblems();
      uploads.wake();
      return refreshList();
    } catch (error) {
      if (!error.passing && !signal.aborted) return showProblem(error, "Couldn't open the visit");
    }
  }
}

/** For a page that opens without signal. */
function rememberVisit() {
  const { id, name } = view.visit;
  remember({ visit: { id, name, lastSequence: uploads.lastSequence(id) } });
}

/** Beside an open visit the list is not worth a word about the signal. */
const refreshList = () => list.refresh().catch((error) => (error.passing && named() ? undefined : showProblem(error)));

function newVisit() {
  form.open("New visit", {}, async (fields) => {
    const visit = await call("POST", "/v1/visits", fields);
    location.hash = `visit=${visit.id}`;
    refreshList();
  });
}

function editVisit() {
  const { visit } = view;
  form.open("Visit details", visit.details, async (fields) => {
    await visit.save(fields);
    refreshList();
  });
}

/** It goes into the bin; what this device still had to send of it goes with it. */
async function deleteVisit() {
  const { id } = view.visit;
  try {
    await call("DELETE", `/v1/visits/${id}`);
  } catch (error) {
    return showProblem(error, "Couldn't delete the visit");
  }
  announce("Visit deleted. Find it under Deleted visits for 30 days.");
  location.hash = "";
  return refreshList();
}

function addFiles(files) {
  if (view) {
    for (const file of files) uploads.add(view.visit.id, file);
    return rememberVisit();
  }
  return showProblem(new Problem({ title: "No visit is open", detail: "Start or open a visit, then add the files again." }));
}

/** Files arrive from the two inputs, from a drop anywhere on the page, or from the clipboard. */
function setUpFiles() {
  for (const id of ["pick-files", "take-photo"]) {
    byId(id).addEventListener("change", ({ target }) => {
      addFiles(target.files);
      target.value = "";
    });
  }
  const zone = byId("capture");
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // else a file dropped beside the zone would replace the page
    zone.dataset.over = "yes";
  });
  for (const type of ["dragleave", "drop"]) {
    addEventListener(type, (event) => (event.relatedTarget === null || type === "drop") && delete zone.dataset.over);
  }
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    addFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => event.clipboardData?.files.length && addFiles(event.clipboardData.files));
}

function setUpButtons() {
  for (const button of document.querySelectorAll("[data-new-visit]")) button.addEventListener("click", newVisit);
  byId("edit-visit").addEventListener("click", editVisit);
  confirmPress(byId("delete-visit"), "Delete this visit?", deleteVisit);
  byId("to-visits").addEventListener("click", () => (location.hash = ""));
  byId("ask-estimate").addEventListener("click", () => view?.askForEstimate());
  byId("run-again").addEventListener("click", () => view?.askForEstimate());
  confirmPress(byId("run-cancel"), "Stop the estimate?", () => view?.cancel());
  uploads.addEventListener("cut", ({ detail: { item, problem } }) => {
    if (item.state === "recording") recorder.stop();
    showProblem(problem, "Recording stopped");
  });
  addEventListener("beforeunload", (event) => (uploads.busy || recorder.recording || view?.unsaved) && event.preventDefault());
}

const ownerOf = (me) => me && `${me.tenant.id}/${me.user_id}`;

async function askWhoIsHere() {
  const { user_id, role, flags, tenant: { id, name, is_test, currency } } = await call("GET", "/v1/me");
  const me = { user_id, role, flags, tenant: { id, name, is_test, currency } }; // no more than opening needs
  const before = remembered();
  const same = ownerOf(before.me) === ownerOf(me);
  remember({ me, visit: same ? before.visit : null }); // somebody else's visit is not theirs to see
  return me;
}

/** Without an answer it is whoever was here last: what they left on this device is theirs to see and to add to. */
async function whoIsHere() {
  try {
    return { me: await askWhoIsHere(), confirmed: true };
  } catch (error) {
    const { me } = remembered();
    if (!error.passing || !me) throw error;
    return { me, confirmed: false };
  }
}

/** Once there is an answer: what is here is sent, unless it is somebody else's by now. */
async function confirm(owner) {
  for (;;) {
    await signalAgain();
    try {
      return ownerOf(await askWhoIsHere()) === owner ? uploads.start() : location.reload();
    } catch (error) {
      if (!error.passing) return showProblem(error, "Uploads are paused");
    }
  }
}

/** The company's page leads here to what is set in a dialog. */
function openNamedDialog() {
  const button = { "#branding": "open-branding", "#prices": "open-price-book" }[location.hash];
  if (button) byId(button).click();
}

async function start() {
  setUpEvidence();
  setUpFiles();
  setUpButtons();
  navigator.serviceWorker?.register("/service-worker.js").catch(() => {}); // a private window
  try {
    const { me, confirmed } = await whoIsHere();
    byId("tenant-name").textContent = me.tenant.name;
    byId("test-company").hidden = !me.tenant.is_test;
    new PriceBook(me.tenant.currency);
    new Branding(me.role);
    openNamedDialog();
    const blocked = await uploads.restore(ownerOf(me)).catch((error) => error);
    if (confirmed) uploads.start();
    else confirm(ownerOf(me));
    flags = { estimation: me.flags.visits?.ai_estimation_enabled === true, progress: me.flags.visits?.ws_progress_enabled === true };
    addEventListener("hashchange", openNamed); // not before: what was named meanwhile would be asked for twice
    await Promise.all([refreshList(), openNamed()]);
    if (blocked) showProblem(blocked); // not before: a visit opens without the problems of the last one
  } catch (error) {
    showProblem(error, "ScopeKit couldn't start");
  }
}

start();
