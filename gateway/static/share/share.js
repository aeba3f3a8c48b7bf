// Comforts of the customer's page; everything works without them.

import { setUpPad } from "./signature-pad.js";
import { watchUpdates } from "./updates.js";

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    const button = form.querySelector("button[type=submit]");
    if (button.getAttribute("aria-disabled") === "true") return event.preventDefault();
    button.setAttribute("aria-disabled", "true");
  });
}
// A page brought back by the browser must be usable again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

const options = document.querySelector("form[data-options]");
if (options) {
  options.querySelector("button").hidden = true;
  options.addEventListener("change", () => options.requestSubmit());
}

const print = document.querySelector("[data-print]");
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}

const pad = document.querySelector("[data-pad]");
if (pad) setUpPad(pad);
if (document.body.dataset.news) watchUpdates(document.body.dataset, document.getElementById("news"));

const dialog = document.querySelector("dialog.large");
if (dialog) {
  const [image, caption] = [dialog.querySelector("img"), dialog.querySelector("p")];
  for (const link of document.querySelectorAll("a[data-photo]")) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const { alt } = link.querySelector("img");
      [image.src, image.alt, caption.textContent] = [link.href, alt, alt];
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target === image) dialog.close();
  });
  dialog.addEventListener("close", () => image.removeAttribute("src"));
}
