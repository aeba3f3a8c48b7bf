// A button that asks to be pressed again before it does what cannot be undone.

import { announce } from "./dom.js";

const ARMED_MS = 4000;

export function confirmPress(button, question, act) {
  const label = button.lastChild;
  const calm = label.textContent;
  let timer = 0;
  const disarm = () => {
    clearTimeout(timer);
    delete button.dataset.armed;
    label.textContent = calm;
  };
  button.addEventListener("click", () => {
    if (button.dataset.armed) {
      disarm();
      return act();
    }
    button.dataset.armed = "yes";
    label.textContent = question;
    announce(question);
    timer = setTimeout(disarm, ARMED_MS);
    return undefined;
  });
  button.addEventListener("blur", disarm);
}
