// The typed notes of the open visit.

import { Autosave } from "../shared/autosave.js";
import { byId } from "../shared/dom.js";
import { showProblem } from "../shared/problems.js";

const WORDS = { dirty: "", saving: "Saving…", saved: "Saved", unsaved: "Not saved yet. Trying again…" };

export class Notes {
  constructor(visit) {
    this.field = byId("notes");
    this.field.value = visit.details.notes;
    this.#say("dirty");
    const save = (notes, options) => visit.save({ notes }, options);
    this.autosave = new Autosave(this.field, save, (state, error) => this.#say(state, error));
  }

  flush() {
    return this.autosave.flush();
  }

  close() {
    this.autosave.close();
  }

  #say(state, error) {
    const status = byId("notes-state");
    status.textContent = error ? "Not saved" : WORDS[state];
    status.dataset.state = state;
    if (error) showProblem(error, "Couldn't save the notes");
  }
}
