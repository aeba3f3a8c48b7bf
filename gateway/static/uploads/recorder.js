// A voice note: start, watch the level move, stop and keep it, or discard it. It is handed on chunk by chunk.

import { Problem } from "../shared/api.js";
import { announce, byId } from "../shared/dom.js";
import { clock } from "../shared/format.js";
import { showProblem } from "../shared/problems.js";

const FORMATS = ["audio/webm;codecs=opus", "audio/mp4"]; // the second is what an iPhone records
const TICK_MS = 200;
const CHUNK_MS = 3000; // what a dead battery costs

/** Wires the recording panel; `begin(contentType, name)` gives who takes the chunks: {add, end, discard}. */
export class Recorder {
  #starting = null; // while the browser asks whether it may
  #recorder = null;
  #stream = null;
  #audio = null;
  #startedAt = 0;
  #ticker = 0;
  #discarded = false;

  constructor(begin) {
    this.begin = begin;
    this.panel = byId("recording");
    byId("record").addEventListener("click", () => this.start().catch((error) => this.#refuse(error)));
    byId("record-stop").addEventListener("click", () => this.stop());
    byId("record-discard").addEventListener("click", () => this.discard());
  }

  get recording() {
    return this.#starting !== null || this.#recorder !== null;
  }

  async start() {
    if (this.recording) return;
    if (!navigator.mediaDevices?.getUserMedia || !globalThis.MediaRecorder) throw new DOMException("", "NotSupportedError");
    const { signal } = (this.#starting = new AbortController());
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ audio: { noiseSuppression: true, echoCancellation: true } });
      signal.throwIfAborted();
      this.#record();
    } catch (error) {
      this.#letGo();
      throw error;
    } finally {
      this.#starting = null;
    }
    this.#show(true);
    announce("Recording");
  }

  stop() {
    this.#starting?.abort();
    this.#recorder?.stop();
  }

  discard() {
    this.#discarded = true;
    this.stop();
  }

  #record() {
    const mimeType = FORMATS.find((format) => MediaRecorder.isTypeSupported(format));
    this.#discarded = false;
    this.#recorder = new MediaRecorder(this.#stream, mimeType ? { mimeType } : {});
    this.#watchLevel();
    this.#recorder.start(CHUNK_MS);
    this.#startedAt = performance.now();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    const type = this.#recorder.mimeType || FORMATS[0];
    const note = this.begin(type, nameAt(new Date(), type)); // last: nobody would end one that did not start
    this.#recorder.addEventListener("dataavailable", ({ data }) => data.size > 0 && note.add(data));
    this.#recorder.addEventListener("stop", () => this.#finish(note));
  }

  #finish(note) {
    const durationMs = Math.round(performance.now() - this.#startedAt);
    this.#letGo();
    this.#show(false);
    announce(this.#discarded ? "Recording discarded" : "Recording kept");
    if (this.#discarded) note.discard();
    else note.end(durationMs);
  }

  /** The microphone is off, whatever had been begun. */
  #letGo() {
    clearInterval(this.#ticker);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#audio?.close();
    this.#recorder = this.#stream = this.#audio = null;
  }

  #watchLevel() {
    this.#audio = new AudioContext();
    this.analyser = this.#audio.createAnalyser();
    this.analyser.fftSize = 512;
    this.samples = new Uint8Array(this.analyser.fftSize);
    this.#audio.createMediaStreamSource(this.#stream).connect(this.analyser);
  }

  #tick() {
    byId("record-time").textContent = clock(performance.now() - this.#startedAt);
    this.analyser.getByteTimeDomainData(this.samples);
    const loudest = this.samples.reduce((most, sample) => Math.max(most, Math.abs(sample - 128)), 0) / 128;
    byId("record-level").value = Math.min(1, loudest * 1.6);
  }

  #show(on) {
    this.panel.hidden = !on;
    byId("capture-buttons").hidden = on;
    byId("record-time").textContent = clock(0);
    byId(on ? "record-stop" : "record").focus();
  }

  #refuse(error) {
    const details = {
      NotAllowedError: "Microphone is blocked. Allow it in the address bar, then try again.",
      NotFoundError: "No microphone was found. You can add a recording as a file instead.",
      NotSupportedError: "This browser cannot record here. You can add a recording as a file instead.",
    };
    const detail = details[error.name];
    showProblem(detail ? new Problem({ title: "Not recording", detail }) : error);
  }
}

function nameAt(date, type) {
  const stamp = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" }).format(date);
  return `Voice note ${stamp.replaceAll(":", ".")}.${type.startsWith("audio/webm") ? "webm" : "m4a"}`;
}
