// What this device remembers of the last time there was signal, so that the console opens without: who was here, and
// which visit was open. No token: whoever has no session can send nothing.

const KEY = "scopekit-last";

export function remember(what) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...remembered(), ...what }));
  } catch {
    // a private window: it opens with signal only
  }
}

/** {me, visit: {id, name, lastSequence}}, each if it is known. */
export function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}
