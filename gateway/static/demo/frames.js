// The stream of a visit as it comes over the wire, on a connection of its own, which can be cut.

const LINES = 18;
const jittered = (ms) => ms * (0.5 + Math.random());

/** Follow `visitId` and write its lines into `target`; returns `{cut()}`. */
export function showFrames(visitId, target) {
  const lines = [];
  let lastId = "";
  let retry = 1_000;
  let connection = new AbortController();
  const write = (...more) => {
    lines.push(...more);
    lines.splice(0, Math.max(0, lines.length - LINES));
    target.textContent = lines.join("\n");
  };
  const take = (line) => {
    write(line);
    const [name, value] = line.split(/: (.*)/s, 2);
    if (name === "id") lastId = value;
    if (name === "retry") retry = Number(value);
  };

  async function connect() {
    connection = new AbortController();
    const headers = lastId ? { "last-event-id": lastId } : {};
    write(`> GET /v1/visits/${visitId}/progress`, ...(lastId ? [`> Last-Event-ID: ${lastId}`] : []));
    const answer = await fetch(`/v1/visits/${visitId}/progress`, { headers, signal: connection.signal });
    write(`< ${answer.status}`);
    if (answer.status !== 200) return false;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return !/"reason":"(?!busy|replaced)/.test(lines.at(-1));
      const whole = (rest + value).split("\n");
      rest = whole.pop();
      whole.filter(Boolean).forEach(take);
    }
  }

  async function follow() {
    for (let on = true; on; ) {
      try {
        on = await connect();
      } catch {
        write("- cut -");
      }
      if (on) await new Promise((done) => setTimeout(done, jittered(retry)));
    }
  }

  follow();
  return { cut: () => connection.abort() };
}
