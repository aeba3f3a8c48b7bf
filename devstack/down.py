"""`make stop` and `make clean`: end the run that a lock file names. Needs nothing but Python's own library."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.errors import EmbeddedError
from devstack.lock import STOPPING_TAKES_S, DirectoryLock, owner, read
from devstack.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent


def stop(directory: Path) -> str:
    """Ask the run in a directory to stop and wait for it; returns a sentence on the outcome. Raises EmbeddedError."""
    holder = owner(read(directory / "lock"))
    if holder is None or not holder.alive():
        return f"Nothing runs in {directory}."
    holder.signal(signal.SIGTERM)
    if not wait_until(lambda: not holder.alive(), STOPPING_TAKES_S):
        raise EmbeddedError(f"process {holder.pid} did not stop within {STOPPING_TAKES_S:.0f} s")
    return f"Stopped process {holder.pid}."


def clean(directory: Path) -> str:
    """Remove a data directory that nobody uses. Raises EmbeddedError when it is in use or not one of ours."""
    if not directory.exists():
        return f"{directory} is not there."
    if not (directory / "lock").exists():
        raise EmbeddedError(f"{directory} was not made by ScopeKit: remove it by hand if you mean it")
    with DirectoryLock(directory):
        shutil.rmtree(directory)
    return f"Removed {directory}."


def main(argv: Sequence[str]) -> int:
    """Stop or clean; 0 when there is nothing left to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("stop", "clean"))
    what = parser.parse_args(argv).what
    directory = Path(os.environ.get("SCOPEKIT_DIR") or ROOT / ".scopekit").absolute()
    try:
        done = stop(directory) if what == "stop" else clean(directory)
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
