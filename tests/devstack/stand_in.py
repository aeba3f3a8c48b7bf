"""A stand-in for the gateway or a worker: small enough to start a hundred times, honest about signals.

`python -m tests.devstack.stand_in web` answers 200 on $PORT; `... worker` only waits; `... deaf` ignores SIGTERM;
`... dies` ends with exit code 3.
"""

from __future__ import annotations

import http.server
import os
import signal
import sys
import threading


class Ready(http.server.BaseHTTPRequestHandler):
    """Answers every GET with 200 and the environment variable named by the path."""

    def do_GET(self) -> None:
        """Answer."""
        body = os.environ.get(self.path.removeprefix("/"), "").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Keep quiet."""


def main(role: str) -> int:
    """Play a role until SIGTERM."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: None if role == "deaf" else asked.set())
    sys.stdout.write(f"{role} is here\n")
    sys.stdout.flush()
    if role == "dies":
        return 3
    if role == "web":
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ready)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    while not asked.wait(0.05):
        pass
    sys.stdout.write(f"{role} leaves\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
