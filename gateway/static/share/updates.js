// Tells the reader of an open page that the estimate has moved on: a newer version, an answer, the session's end.

const FIRST_MS = 5000;
const LONGEST_MS = 60_000;
const ANSWER_MS = 10_000;
const OVER = [403, 404, 410]; // the session has ended: nobody will tell us any more

const jittered = (ms) => ms * (0.8 + 0.4 * Math.random());

/** Show the thread as it is now, without touching what is being written below it. */
async function refreshThread(address) {
  const answer = await fetch(address, { signal: AbortSignal.timeout(ANSWER_MS), headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  const { messages } = await answer.json();
  document.getElementById("thread").replaceChildren(...messages.map(entryOf));
}

/** A message as the page's template shows it. */
function entryOf({ writer, is_ours: isOurs, body, sent }) {
  const [entry, words, fine] = ["li", "p", "p"].map((tag) => document.createElement(tag));
  entry.className = isOurs ? "ours" : "";
  [words.className, words.textContent] = ["lines", body];
  [fine.className, fine.textContent] = ["fine", `${writer} · ${sent}`];
  entry.append(words, fine);
  return entry;
}

/**
 * Ask `news` for {version, newest, decision, messages}, ever more rarely, while the page is looked at; say once what is new in
 * `place`. It ends with the session, half an hour at most.
 */
export function watchUpdates({ news, version, decision, messages }, place) {
  let shown = Number(messages);
  let wait = FIRST_MS;
  const say = (title, words) => {
    const [strong, text, link] = ["strong", "span", "a"].map((tag) => document.createElement(tag));
    [strong.textContent, text.textContent, link.textContent] = [title, ` ${words} `, "Show the latest"];
    link.href = location.pathname.replace(/\/(open|decision)$/, "");
    link.addEventListener("click", (event) => {
      event.preventDefault();
      location.replace(link.href);
    });
    const line = document.createElement("p");
    line.append(strong, text, link);
    place.className = "banner stale";
    place.replaceChildren(line);
    document.body.dataset.outdated = "yes";
  };
  const changed = async (found) => {
    if (found.messages !== shown) {
      await refreshThread(news.replace(/news$/, "thread"));
      [shown, wait] = [found.messages, FIRST_MS];
    }
    if (found.version > Number(version)) return say("This estimate was updated.", "A new version is here.");
    if (found.newest > Number(version)) return say("This estimate was updated.", "This version can no longer be accepted.");
    if ((found.decision ?? "") !== decision) return say("A response to this estimate was recorded.", "");
    return false;
  };
  const ask = async () => {
    if (document.hidden) return later();
    try {
      const answer = await fetch(news, { signal: AbortSignal.timeout(ANSWER_MS), headers: { accept: "application/json" } });
      if (OVER.includes(answer.status)) return say("This page timed out.", "Reopen the link to continue.");
      if (answer.ok && (await changed(await answer.json())) !== false) return undefined;
    } catch {
      // no signal, or a busy server: ask again later
    }
    wait = Math.min(wait * 1.5, LONGEST_MS);
    return later();
  };
  const later = () => setTimeout(ask, jittered(wait));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) wait = FIRST_MS;
  });
  later();
}
