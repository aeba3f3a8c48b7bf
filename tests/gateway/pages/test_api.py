"""How the page's own code sends bytes."""

import subprocess

from tests.browser.conftest import require
from tests.product import ROOT

_CALLED_OFF = """
let sent = 0;
globalThis.XMLHttpRequest = class { upload = new EventTarget(); send() { sent += 1; } };
const { sendBytes } = await import("./gateway/static/shared/api.js");
const called = sendBytes("POST", "/chunks", "x", {}, { signal: AbortSignal.abort() });
const refused = await called.catch((problem) => problem);
console.log(`${refused.constructor.name} ${sent}`);
"""


def test_what_was_called_off_before_it_began_is_not_sent() -> None:
    """A piece of a recording that is discarded while the piece is fetched from the shelf never leaves the device."""
    require("node")
    command = ["node", "--input-type=module", "--eval", _CALLED_OFF]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=60)
    assert run.stdout.split() == ["Problem", "0"]
