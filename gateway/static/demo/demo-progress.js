// Shows what one tab of many is told: its part, its connection, and how long each event took.

import { call } from "../shared/api.js";
import { byId, el } from "../shared/dom.js";
import { watchVisit } from "../progress.js";
import { showFrames } from "./frames.js";

const BARS = 90;
const LINES = 10;
const KEPT = 500; // latencies that the figures are of
const EVERY_MS = 100;
const FULL_MS = 25; // the bars' height, until something is slower
const STATES = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  polling: "Checking every few seconds",
  idle: "Ended",
};
const ROLES = {
  leading: ["This tab leads", "It holds the one connection and tells the other tabs. Close it, and another tab leads at once."],
  following: ["This tab follows", "Another tab holds the connection; this one hears of every event from it."],
  alone: ["This tab is on its own", "This browser cannot share a connection between tabs, so each has its own."],
};

const newest = [];
const latencies = []; // of what happened while this tab was open
let visitId = new URLSearchParams(location.search).get("visit");
let lastSeq = null;
let received = 0;
let gaps = 0;
let steady = 0;
let drawing = false;
let frames = null;

await begin();

async function begin() {
  if (!visitId) {
    visitId = (await insert("demo.event", 0))?.visit_id;
    if (!visitId) return;
    history.replaceState(null, "", `?visit=${visitId}`);
  }
  byId("another").href = location.href;
  watchVisit(visitId, { onSnapshot: ({ seq }) => (lastSeq = seq), onEvent: take, onState, onRole, onEnd });
  byId("one").addEventListener("click", () => insert("demo.event", 1));
  byId("burst").addEventListener("click", () => insert("demo.event", 100));
  byId("steady").addEventListener("click", () => keepInserting(!steady));
  byId("end").addEventListener("click", () => insert("job.completed", 1));
  byId("show-frames").addEventListener("click", () => {
    frames ??= showFrames(visitId, byId("frames"));
    byId("show-frames").hidden = true;
    byId("cut").hidden = false;
    byId("frames").hidden = false;
  });
  byId("cut").addEventListener("click", () => frames.cut());
}

async function insert(type, count) {
  try {
    const answer = await call("POST", "/demo/progress/events", { visit_id: visitId, type, count });
    byId("problem").hidden = true;
    return answer;
  } catch (problem) {
    keepInserting(false);
    byId("problem").hidden = false;
    byId("problem").textContent = problem.message;
    return null;
  }
}

function keepInserting(on) {
  clearInterval(steady);
  steady = on ? setInterval(() => insert("demo.event", 1), EVERY_MS) : 0;
  byId("steady").setAttribute("aria-pressed", String(on));
  byId("steady").textContent = on ? "Stop inserting" : "Keep inserting";
}

function take(event) {
  const created = epochMs(event.created_at);
  const took = created < performance.timeOrigin ? null : performance.timeOrigin + performance.now() - created;
  if (lastSeq !== null && event.seq !== lastSeq + 1) gaps += 1;
  lastSeq = event.seq;
  received += 1;
  newest.unshift({ seq: event.seq, type: event.type, took });
  newest.length = Math.min(newest.length, LINES);
  if (took !== null) latencies.push(took);
  if (latencies.length > KEPT) latencies.shift();
  if (!drawing) requestAnimationFrame(draw);
  drawing = true;
}

/** Date.parse stops at milliseconds; the server says microseconds. */
function epochMs(text) {
  const [, micros = "0"] = /\.\d{3}(\d{1,3})/.exec(text) ?? [];
  return Date.parse(text) + Number(`0.${micros}`);
}

function draw() {
  drawing = false;
  const sorted = latencies.toSorted((a, b) => a - b);
  byId("last").textContent = lastSeq;
  byId("received").textContent = received;
  byId("median").textContent = ms(sorted[Math.floor(sorted.length / 2)]);
  byId("most").textContent = ms(sorted[Math.floor(sorted.length * 0.99)]);
  drawBars(latencies.slice(-BARS));
  byId("log").replaceChildren(
    ...newest.map(({ seq, type, took }) =>
      el("li", {}, el("span", {}, `#${seq}`), el("span", {}, type), el("span", {}, took === null ? "before" : ms(took))),
    ),
  );
  if (gaps) byId("gaps").textContent = `${gaps} times an event was not the one after the last.`;
  byId("gaps").dataset.gaps = gaps;
}

function drawBars(shown) {
  const full = Math.max(FULL_MS, ...shown);
  byId("scale").textContent = `full height: ${ms(full)}`;
  byId("bars").replaceChildren(
    ...shown.map((took) => {
      const bar = el("i", { class: took > FULL_MS ? "slow" : "" });
      bar.style.height = `${(100 * took) / full}%`;
      return bar;
    }),
  );
}

const ms = (value) => (value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);

function onState(state) {
  byId("state").dataset.state = state;
  byId("state").textContent = STATES[state] ?? state;
}

function onRole(role) {
  const [title, text] = ROLES[role];
  byId("role-panel").dataset.role = role;
  byId("role").textContent = title;
  byId("role-text").textContent = text;
}

function onEnd(reason) {
  keepInserting(false);
  for (const id of ["one", "burst", "steady", "end"]) byId(id).hidden = true;
  byId("again").hidden = false;
  byId("role").textContent = `The stream has ended: ${reason}`;
  byId("role-text").textContent = "No tab holds a connection any more, and none will ask again.";
  byId("role-panel").dataset.role = "following";
}
