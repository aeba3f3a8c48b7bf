// Passkeys: a button asks the browser for a credential, and its form carries the answer to the server.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");

async function begin(address, body) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  const options = await answer.json();
  options.challenge = bytes(options.challenge);
  for (const one of [...(options.excludeCredentials ?? []), ...(options.allowCredentials ?? [])]) one.id = bytes(one.id);
  if (options.user) options.user.id = bytes(options.user.id);
  return { publicKey: options };
}

function asJson({ id, type, rawId, response }) {
  const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
  const told = Object.fromEntries(parts.filter((part) => response[part]).map((part) => [part, text(response[part])]));
  return JSON.stringify({ id, type, rawId: text(rawId), response: told });
}

function wire(form, obtain) {
  const problem = form.querySelector("[role=alert]");
  form.addEventListener("submit", async (event) => {
    if (form.elements.credential.value) return;
    event.preventDefault();
    problem.hidden = true;
    try {
      form.elements.credential.value = asJson(await obtain());
      form.submit();
    } catch (error) {
      problem.textContent = error.name === "NotAllowedError" ? "The passkey was not used. Try again." : error.message;
      problem.hidden = false;
    }
  });
  form.hidden = !window.PublicKeyCredential;
}

for (const form of document.querySelectorAll("[data-passkey=use]")) {
  wire(form, async () => navigator.credentials.get(await begin("/sign-in/passkey/begin", { next: form.dataset.next })));
}
for (const form of document.querySelectorAll("[data-passkey=add]")) {
  wire(form, async () => navigator.credentials.create(await begin("/company/you/passkeys/begin", {})));
}
