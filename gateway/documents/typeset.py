"""The process behind `gateway.documents.typesetter`: reads one document, sets it in type, writes the PDF, ends.

It holds no credential and asks nobody for anything; what it may cost is limited by the kernel.
"""

import base64
import json
import resource
import sys
import tempfile
from pathlib import Path

import typst

from store.media.sandbox import confine

TEMPLATE = Path(__file__).parents[1] / "templates" / "share" / "estimate.typ"
MEMORY_BYTES = 2 * 1024**3
CPU_SECONDS = 20


def main() -> None:
    """Serve the one request on the input."""
    confine(MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    request = json.load(sys.stdin.buffer)
    with tempfile.TemporaryDirectory(prefix="scopekit-paper-") as directory:
        root = Path(directory)
        (root / "main.typ").write_bytes(TEMPLATE.read_bytes())
        for name, body in request["pictures"].items():
            (root / name).write_bytes(base64.b64decode(body))
        # Words go in as data: nothing a customer or contractor wrote is ever read as markup.
        pdf = typst.compile(root / "main.typ", root=root, sys_inputs={"values": json.dumps(request["values"])})
    sys.stdout.buffer.write(pdf)


if __name__ == "__main__":
    main()
