// A new link on its way from this device: the system's share sheet, a text message, a mail, or a QR code to be scanned.

import { byId, el, icon } from "../shared/dom.js";
import { showProblem } from "../shared/problems.js";

/** Ways to send `share.url`, with the words filled in. It leaves by what the person picks, and by nothing else. */
export function sendRow(share) {
  const title = `Your estimate from ${byId("tenant-name").textContent}`;
  const text = `${share.recipient ? `Hello ${share.recipient}, h` : "H"}ere is your estimate:`;
  const both = encodeURIComponent(`${text} ${share.url}`);
  const code = el("div", { class: "qr-code", hidden: true });
  const sheet = el("button", { type: "button", class: "primary" }, icon("send"), "Send");
  sheet.addEventListener("click", async () => {
    try {
      await navigator.share({ title, text, url: share.url });
    } catch (error) {
      if (error.name !== "AbortError") showProblem(error, "Couldn't open the share sheet");
    }
  });
  const draw = el("button", { type: "button", class: "quiet" }, "QR code");
  draw.addEventListener("click", () => drawCode(share, code));
  return el("div", { class: "send-link" },
    el("p", { class: "row" },
      "share" in navigator && sheet,
      el("a", { class: "button", href: `sms:?&body=${both}` }, "Text message"),
      el("a", { class: "button", href: `mailto:?subject=${encodeURIComponent(title)}&body=${both}` }, "Your mail program"),
      draw),
    code);
}

async function drawCode(share, place) {
  try {
    const answer = await fetch(`/v1/shares/${share.id}/qr`, {
      method: "POST",
      credentials: "same-origin",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: share.token }),
    });
    if (!answer.ok) throw new Error("The code could not be drawn. Try again.");
    const address = URL.createObjectURL(await answer.blob());
    const picture = el("img", { src: address, alt: "QR code of the link", width: 240, height: 240 });
    picture.addEventListener("load", () => URL.revokeObjectURL(address));
    place.replaceChildren(picture, el("p", { class: "hint" }, "The customer scans this with the camera of their phone."));
    place.hidden = false;
  } catch (error) {
    showProblem(error, "Couldn't draw the QR code");
  }
}
