// The operators' page: the stream names what has changed, and that is taken from the page as the server draws it now;
// a click asks why, and is done there.

import { call } from "../shared/api.js";
import { byId } from "../shared/dom.js";

const NEWS_MS = 8000;
const LOAD_MS = 10_000;

/** What each button does: the words of its question, and the request. */
const ACTIONS = {
  "retry-cause": (button) => ({
    title: "Retry these jobs?",
    text: causeOf(button).cause,
    path: "/ops/dead/retry",
    body: causeOf(button),
    most: lettersOf(button),
    done: ({ done, kept }) => `${done} queued again${kept ? `, ${kept} left: their visits have other jobs` : ""}.`,
  }),
  "discard-cause": (button) => ({
    title: "Discard these jobs?",
    text: `They stay failed and leave this list. ${causeOf(button).cause}`,
    path: "/ops/dead/discard",
    body: causeOf(button),
    most: lettersOf(button),
    done: ({ done }) => `${done} discarded.`,
  }),
  retry: (button) => ({
    title: "Retry this job?",
    text: button.getAttribute("aria-label"),
    path: `/ops/dead/${letterOf(button)}/retry`,
    body: {},
    done: () => "Queued again.",
  }),
  discard: (button) => ({
    title: "Discard this job?",
    text: "It stays failed and leaves this list.",
    path: `/ops/dead/${letterOf(button)}/discard`,
    body: {},
    done: () => "Discarded.",
  }),
  pause: ({ dataset }) => ({
    title: "Pause the whole queue?",
    text: "No new jobs start. Running jobs continue.",
    path: "/ops/queue/pause",
    body: { name: dataset.name },
    done: () => "Paused.",
  }),
  resume: ({ dataset }) => ({
    title: dataset.name.startsWith("engine:") ? "Close this breaker?" : "Resume the queue?",
    text: dataset.name,
    path: "/ops/queue/resume",
    body: { name: dataset.name },
    done: () => "Resumed.",
  }),
  flag: ({ dataset }) => ({
    title: `Turn ${dataset.flag} ${dataset.on === "true" ? "off" : "on"}?`,
    text: `For ${dataset.who}, within a second.`,
    path: "/ops/flags/set",
    body: { tenant_id: dataset.tenant, flag: dataset.flag, on: dataset.on !== "true" },
    done: ({ now }) => (now === (dataset.on !== "true") ? "Changed." : "The flag is killed. The change applies once it is restored."),
  }),
  kill: ({ dataset }) => ({
    title: `Turn ${dataset.flag} off for all tenants?`,
    text: "Tenants that have it on get it back when you restore it.",
    path: "/ops/flags/kill",
    body: { flag: dataset.flag },
    done: ({ tenants }) => `Off for ${tenants} tenants until restored.`,
  }),
  restore: ({ dataset }) => ({
    title: `Turn ${dataset.flag} on again?`,
    text: "For the tenants that had it on.",
    path: "/ops/flags/restore",
    body: { flag: dataset.flag },
    done: ({ tenants }) => `On again for ${tenants} tenants.`,
  }),
};

const lettersOf = (button) => Number(button.closest("[data-cause]").dataset.letters);
const letterOf = (button) => button.closest("[data-letter]").dataset.letter;

function causeOf(button) {
  const { jobType, errorCode, cause } = button.closest("[data-cause]").dataset;
  return { job_type: jobType, error_code: errorCode, cause };
}

byId("board").addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-act]");
  if (!button) return;
  const action = ACTIONS[button.dataset.act](button);
  const reason = await ask(action);
  if (reason === null) return;
  try {
    say(action.done(await perform(action, reason)));
  } catch (problem) {
    say(problem.message, "failed");
  }
});

/** Do it; what is too much for one transaction is done batch by batch, up to as many as the page showed. */
async function perform({ path, body, most, done: words }, reason) {
  const answer = await call("POST", path, { ...body, reason });
  while (answer.next && answer.done + answer.kept < most) {
    say(`${words(answer)} Going on…`);
    const { done, kept, next } = await call("POST", path, { ...body, reason, after: answer.next });
    Object.assign(answer, { done: answer.done + done, kept: answer.kept + kept, next });
  }
  return answer;
}

/** Ask whether and why; null when it is to be left. */
function ask({ title, text }) {
  const dialog = byId("ask");
  byId("ask-title").textContent = title;
  byId("ask-text").textContent = text;
  byId("ask-reason").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const closed = () => resolve(dialog.returnValue === "yes" ? byId("ask-reason").value : null);
    dialog.addEventListener("close", closed, { once: true });
  });
}

let silence;

function say(text, state = "done") {
  const news = byId("news");
  news.dataset.state = state;
  news.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (news.textContent = ""), NEWS_MS);
}

/** The page as it is drawn now: a document of its own, in which nothing runs. Null when it cannot be had. */
function load() {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", "/ops");
    request.responseType = "document";
    request.timeout = LOAD_MS;
    request.onload = () => resolve(request.status === 200 ? request.response : null);
    request.onerror = request.ontimeout = () => resolve(null);
    request.send();
  });
}

const due = new Set();
let loading = false;

/** Bring these sections up to date; what comes meanwhile is brought after them, what fails with the next word. */
async function refresh(names) {
  for (const name of names) due.add(name);
  if (loading) return;
  loading = true;
  while (due.size) {
    const wanted = [...due];
    due.clear();
    const page = await load();
    if (!page) {
      for (const name of wanted) due.add(name);
      break;
    }
    for (const name of wanted) show(name, page.getElementById(name));
  }
  loading = false;
}

/** Put a section's new drawing in place; what was open stays open, what had the focus keeps it, what was scrolled too. */
function show(name, drawn) {
  const section = byId(name);
  const open = keysOf(section, "details[open][data-key]");
  const focused = document.activeElement?.closest(`#${name} [data-key]`)?.dataset.key;
  const scrolled = [...section.querySelectorAll(".scroll")].map(({ scrollTop, scrollLeft }) => [scrollLeft, scrollTop]);
  section.replaceChildren(...drawn.childNodes);
  for (const details of section.querySelectorAll("details[data-key]")) details.open = open.includes(details.dataset.key);
  section.querySelectorAll(".scroll").forEach((region, at) => region.scrollTo(...(scrolled[at] ?? [0, 0])));
  if (focused) section.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

const keysOf = (section, selector) => [...section.querySelectorAll(selector)].map(({ dataset }) => dataset.key);

function mark(state, text) {
  byId("connection").dataset.state = state;
  byId("connection").textContent = text;
}

const source = new EventSource("/ops/live");
source.onopen = () => mark("live", "Live");
source.onerror = () => mark("away", source.readyState === EventSource.CLOSED ? "Signed out; reload" : "Reconnecting");
source.addEventListener("away", () => mark("away", "Database unavailable"));
source.onmessage = ({ data }) => {
  mark("live", "Live");
  refresh(JSON.parse(data));
};
