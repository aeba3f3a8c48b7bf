// A recording to the server, chunk by chunk: while it is made, and what is left of it afterwards.

import { call, sendBytes } from "../shared/api.js";
import { readMedium } from "./send-file.js";

const pathOf = ({ visitId, mediaId }) => `/v1/visits/${visitId}/recordings/${mediaId}`;

/**
 * Send the chunks that are here, in their order, until none is left; each goes once the server has it, which `onTaken()`
 * is told of and is waited for. Throws Problem.
 */
export async function sendChunks(item, chunks, { onProgress, onTaken, signal }) {
  for (let waiting = await chunks.all(); waiting.length > 0; waiting = await chunks.all()) {
    for (const [index, { number, blob }] of waiting.entries()) {
      const headers = { "content-type": item.contentType, "x-sequence": String(number) };
      await sendBytes("POST", `${pathOf(item)}/chunks`, blob, headers, { signal });
      await onTaken();
      await chunks.remove(number);
      onProgress?.((index + 1) / waiting.length);
    }
  }
}

/**
 * Send what is left and join it; returns the medium, or null when nothing was ever recorded. What was lost with a page
 * that could keep nothing is lost: the rest is worth having. So it is when no more fits, which `onCut(problem)` is told.
 */
export async function sendRecording(item, chunks, options) {
  try {
    await sendChunks(item, chunks, options).catch((error) => cut(error, options));
    return await join(item, options);
  } catch (error) {
    // The answer to an earlier attempt was lost on its way, and the recording was not.
    if (error.status !== 409) throw error;
    return readMedium(item).catch(() => { throw error; });
  }
}

function cut(error, { onCut }) {
  if (!error.tooLarge) throw error;
  onCut(error);
}

/** Discarded: what the server has of it goes. */
export const dropRecording = (item) => call("DELETE", pathOf(item));

async function join(item, { signal }) {
  const said = { original_name: item.name, sequence: item.sequence, duration_ms: item.durationMs, accept_gaps: true };
  try {
    return await call("POST", `${pathOf(item)}/finalize`, said, { signal });
  } catch (error) {
    if (error.status === 404 && !item.taken) return null;
    throw error;
  }
}
