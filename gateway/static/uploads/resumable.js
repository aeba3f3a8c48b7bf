// Sends a file by tus 1.0: announced once, then part by part from wherever the server says it stands.

import { Problem, sendBytes } from "../shared/api.js";

// A part is one of the server's own parts. A proxy that holds requests back until they are complete passes on each
// part as it is done, so that a cut costs one of them and never the file.
const PART = 5 * 1024 * 1024;
const TUS = { "tus-resumable": "1.0.0" };
const CHUNK = { ...TUS, "content-type": "application/offset+octet-stream" };
const STARTS_OVER = [404, 410]; // expired, or ended
const ASKS_AGAIN = [409, 460]; // the offset was wrong, or the bytes were damaged on their way
const QUESTIONS = 4;

/**
 * Send `file` to the end. `url` is where an earlier attempt began, or null; `onUrl(url)` is told of a new one and is
 * waited for; `onProgress(share)` as bytes go. Throws Problem.
 */
export async function sendResumably(file, metadata, url, { onUrl, onProgress, signal }) {
  const path = new URL("/v1/uploads", location);
  let offset = url && (await askOffset(url, signal));
  if (!Number.isInteger(offset)) {
    const header = await sendBytes("POST", path, null, { ...TUS, "upload-length": String(file.size),
      "upload-metadata": encode(metadata) }, { signal });
    [url, offset] = [header("location"), Number(header("upload-offset"))];
    await onUrl(url);
  }
  for (let questions = 0; offset < file.size; ) {
    try {
      offset = await sendPart(file, url, offset, { onProgress, signal });
    } catch (error) {
      if (!ASKS_AGAIN.includes(error.status) || ++questions > QUESTIONS) throw error;
      offset = (await askOffset(url, signal)) ?? fail();
    }
  }
}

async function sendPart(file, url, offset, { onProgress, signal }) {
  const part = file.slice(offset, offset + PART);
  const header = await sendBytes("PATCH", url, part, { ...CHUNK, "upload-offset": String(offset) },
    { signal, onProgress: (bytes) => onProgress((offset + bytes) / file.size) });
  return Number(header("upload-offset"));
}

/** How much the server has, or null when it knows of no such upload any more. */
async function askOffset(url, signal) {
  try {
    return Number((await sendBytes("HEAD", url, null, TUS, { signal }))("upload-offset"));
  } catch (error) {
    if (STARTS_OVER.includes(error.status)) return null;
    throw error;
  }
}

function fail() {
  throw new Problem({ title: "Interrupted", detail: "The upload was interrupted. It starts again.", status: 503 });
}

function encode(metadata) {
  return Object.entries(metadata).map(([name, value]) => `${name} ${base64(String(value))}`).join(",");
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
