// Drafts: what was typed into an estimate and not saved yet, kept on this device until it is saved or discarded.

const PREFIX = "scopekit.edit.";
const KEPT_MS = 14 * 24 * 60 * 60 * 1000;

/** `draft` is {base: {id, version}, lines, terms}. A full or forbidden storage keeps nothing; the page itself still does. */
export function keepDraft(visitId, draft) {
  try {
    localStorage.setItem(PREFIX + visitId, JSON.stringify({ ...draft, at: Date.now() }));
    return true;
  } catch {
    return false;
  }
}

export function draftOf(visitId) {
  try {
    const draft = JSON.parse(localStorage.getItem(PREFIX + visitId));
    if (draft && Date.now() - draft.at < KEPT_MS) return draft;
  } catch {
    // forbidden, or not ours
  }
  forgetDraft(visitId);
  return null;
}

export function forgetDraft(visitId) {
  try {
    localStorage.removeItem(PREFIX + visitId);
  } catch {
    // forbidden: nothing was kept either
  }
}
