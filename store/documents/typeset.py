"""The process behind `store.documents.typesetter`: reads one document, sets it in type, writes the PDF, ends.

It is confined before it opens one: no credential, no network, no file but fonts and the directory of its pictures. Its
CPU time, memory and files are limited by the kernel.
"""

import json
import sys
from pathlib import Path

import typst

from store.sandbox.confinement import confine

MAIN = "main.typ"
FONTS = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
MEMORY_BYTES = 2 * 1024**3
CPU_SECONDS = 20


def main() -> None:
    """Serve the one request on the input."""
    request = json.load(sys.stdin.buffer)
    root = Path(request["directory"])
    confine(MEMORY_BYTES, readable=[root, *FONTS], cpu_seconds=CPU_SECONDS)
    # Words go in as data: nothing a customer or contractor wrote is ever read as markup.
    values = {"values": json.dumps(request["values"])}
    pdf = typst.compile(root / MAIN, root=root, sys_inputs=values)
    sys.stdout.buffer.write(pdf)


if __name__ == "__main__":
    main()
