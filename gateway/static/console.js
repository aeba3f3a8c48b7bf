// The capture console: opens the visit that the address names, and wires what stays from visit to visit.

import { Problem, call } from "./api.js";
import { Branding } from "./branding.js";
import { Desk } from "./desk.js";
import { byId } from "./dom.js";
import { setUpEvidence } from "./evidence.js";
import { PriceBook } from "./price-book.js";
import { LeaveNote } from "./leave-note.js";
import { clearProblems, showProblem } from "./problems.js";
import { Recorder } from "./recorder.js";
import { pressTwice } from "./twice.js";
import { Uploads } from "./uploads.js";
import { VisitForm, VisitList } from "./visits.js";
import { Visit } from "./visit.js";

const uploads = new Uploads();
new LeaveNote(uploads);
const list = new VisitList();
const form = new VisitForm();
const recorder = new Recorder((file, durationMs) => desk?.addRecording(file, durationMs));

let desk = null;
let flags = {};
let opening = new AbortController();

const named = () => /^#visit=([0-9a-f-]{36})$/i.exec(location.hash)?.[1] ?? null;

async function openNamed() {
  opening.abort();
  opening = new AbortController();
  const { signal } = opening;
  const id = named();
  if (recorder.recording) recorder.stop(); // kept, with the visit it was made for
  desk?.close();
  desk = null;
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
    const visit = await Visit.open(id, signal);
    if (signal.aborted) return;
    byId("visit").hidden = false;
    byId("connection").hidden = false;
    desk = new Desk(visit, { uploads, flags, onStatus: refreshList });
    scrollTo(0, 0);
  } catch (error) {
    if (signal.aborted) return;
    byId("welcome").hidden = false;
    showProblem(error, "Visit not opened");
  } finally {
    if (!signal.aborted) byId("main").removeAttribute("aria-busy");
  }
}

const refreshList = () => list.refresh().catch(showProblem);

function newVisit() {
  form.open("New visit", {}, async (fields) => {
    const visit = await call("POST", "/v1/visits", fields);
    location.hash = `visit=${visit.id}`;
    refreshList();
  });
}

function editVisit() {
  const { visit } = desk;
  form.open("Visit details", visit.details, async (fields) => {
    await visit.save(fields);
    refreshList();
  });
}

function addFiles(files) {
  if (desk) return desk.addFiles(files);
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
  byId("to-visits").addEventListener("click", () => (location.hash = ""));
  byId("ask-estimate").addEventListener("click", () => desk?.askForEstimate());
  byId("run-again").addEventListener("click", () => desk?.askForEstimate());
  pressTwice(byId("run-cancel"), "Really stop?", () => desk?.cancel());
  addEventListener("beforeunload", (event) => (uploads.busy || recorder.recording || desk?.unsaved) && event.preventDefault());
}

async function start() {
  setUpEvidence();
  setUpFiles();
  setUpButtons();
  try {
    const me = await call("GET", "/v1/me");
    byId("tenant-name").textContent = me.tenant.name;
    new PriceBook(me.tenant.currency);
    new Branding(me.role);
    await uploads.restore(`${me.tenant.id}/${me.user_id}`);
    flags = { estimation: me.flags.visits?.ai_estimation_enabled === true, progress: me.flags.visits?.ws_progress_enabled === true };
    addEventListener("hashchange", openNamed); // not before: what was named meanwhile would be asked for twice
    await Promise.all([list.refresh(), openNamed()]);
  } catch (error) {
    showProblem(error, "Not started");
  }
}

start();
