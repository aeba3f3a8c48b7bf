// One file from this device to the server, if the visit does not hold its bytes already.

import { call } from "../shared/api.js";
import { sendResumably } from "./resumable.js";

const HASHED = 32 * 1024 * 1024; // a hash needs the file in memory

/** Returns the medium that the file has become; `onUrl` and `onProgress` as in sendResumably. Throws Problem. */
export async function sendFile(item, { onUrl, onProgress, signal }) {
  const sha256 = await hashOf(item.file);
  const same = sha256 && (await heldAlready(item, sha256, signal));
  if (same) return readMedium({ mediaId: same });
  try {
    await sendResumably(item.file, metadataOf(item, sha256), item.url, { onUrl, onProgress, signal });
  } catch (error) {
    // The answer to an earlier attempt was lost on its way, and the file was not.
    if (error.status !== 409) throw error;
    return readMedium(item).catch(() => { throw error; });
  }
  return readMedium(item);
}

export const readMedium = ({ mediaId }) => call("GET", `/v1/media/${mediaId}`);

function metadataOf(item, sha256) {
  const said = { visit_id: item.visitId, media_id: item.mediaId, filetype: item.contentType, filename: item.name,
    sequence: item.sequence, duration_ms: item.durationMs, sha256 };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== null && value !== ""));
}

async function hashOf(file) {
  if (!crypto.subtle || file.size > HASHED) return null;
  const hash = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The id under which the visit already holds these bytes: whoever adds a photo twice on a bad line pays once. */
async function heldAlready({ visitId }, sha256, signal) {
  const { present } = await call("POST", `/v1/visits/${visitId}/media/check`, { sha256: [sha256] }, { signal });
  return present[0]?.media_id ?? null;
}
