// Keeps the console itself on this device, so that it opens without signal. VERSION and FILES stand above this: the
// server puts them there. Nothing else is kept: no answer of the API, no token, no photo.

const PAGE = "/";
const PREFIX = "shell-";
const NAME = PREFIX + VERSION;
const PATIENCE_MS = 3000; // on one bar of signal the page itself may take minutes
// Whose page is of this version. All of their files come from here: no page is ever made of two versions.
const served = new Set();

addEventListener("install", (event) => event.waitUntil(keep().then(() => skipWaiting())));
addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
addEventListener("fetch", (event) => {
  const { request, clientId } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (request.mode === "navigate" && pathname === PAGE) event.respondWith(page(event));
  else if (served.has(clientId) && FILES.includes(pathname)) event.respondWith(file(request));
});

async function keep() {
  const cache = await caches.open(NAME);
  await cache.addAll([PAGE, ...FILES].map((path) => new Request(path, { cache: "no-cache" })));
  if (isOurs(await kept(PAGE))) return;
  await caches.delete(NAME);
  throw new Error("The server has another version by now.");
}

async function forgetOthers() {
  const others = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME);
  await Promise.all(others.map((name) => caches.delete(name)));
}

/** The server's page; without signal, or while the server is away, the one that is kept. */
async function page(event) {
  const answer = await Promise.race([fetch(event.request).catch(() => null), late()]);
  const fresh = answer !== null && answer.status < 500;
  if (!fresh || isOurs(answer)) served.add(event.resultingClientId);
  return fresh ? answer : (await kept(PAGE)) ?? answer ?? fetch(event.request);
}

async function file(request) {
  return (await kept(request)) ?? fetch(request);
}

// Every answer says Vary: Origin, and a preload asks without one.
const kept = (request) => caches.match(request, { cacheName: NAME, ignoreVary: true });

// A proxy that compresses makes the tag a weak one.
const isOurs = (answer) => answer?.headers.get("etag")?.includes(VERSION) ?? false;

const late = () => new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, null));
