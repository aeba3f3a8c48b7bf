// `@microsoft/fetch-event-source`, used as its README shows: node fetch_event_source.mjs URL TOKEN. It is for browsers,
// and asks for little of one.

globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

const { fetchEventSource } = await import("@microsoft/fetch-event-source");
const [url, token] = process.argv.slice(2);
const tell = (what) => console.log(JSON.stringify(what));

class Final extends Error {}

function read({ event, data, id }) {
  const value = JSON.parse(data);
  if (!event) tell({ type: value.type, id });
  else if (event === "hello") tell({ hello: value });
  else if (event === "end") tell({ end: value.reason });
}

await fetchEventSource(url, {
  headers: { authorization: `Bearer ${token}` },
  openWhenHidden: true,
  async onopen({ ok, status, headers }) {
    if (ok && headers.get("content-type")?.startsWith("text/event-stream")) return;
    tell({ stopped: status });
    throw new Final();
  },
  onmessage: read,
  onclose() {
    throw new Error("come back");
  },
  onerror(error) {
    if (error instanceof Final) throw error;
  },
}).catch((error) => {
  if (!(error instanceof Final)) throw error;
});
