// npm's `eventsource`: node eventsource.mjs URL TOKEN. Tells what it sees as JSON lines.

import { EventSource } from "eventsource";

const [url, token] = process.argv.slice(2);
const tell = (what) => console.log(JSON.stringify(what));
const authorized = (input, init) =>
  fetch(input, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } });

const source = new EventSource(url, { fetch: authorized });
source.onmessage = ({ data, lastEventId }) => tell({ type: JSON.parse(data).type, id: lastEventId });
source.addEventListener("hello", ({ data }) => tell({ hello: JSON.parse(data) }));
source.addEventListener("end", ({ data }) => tell({ end: JSON.parse(data).reason }));
source.onerror = ({ code }) => source.readyState === source.CLOSED && tell({ stopped: code });
