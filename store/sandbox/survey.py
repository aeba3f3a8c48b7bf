"""Finds out which walls this machine gives a helper: `python -m store.sandbox.survey` prints those it lacks."""

import asyncio
import json
import subprocess
import sys

from config.logging import get_logger
from store.sandbox.confinement import confine
from store.sandbox.pipe import command, surroundings

_log = get_logger(__name__)
_SECONDS = 20.0
_MEMORY_BYTES = 1 << 30


async def missing_walls() -> list[str]:
    """Return the names of the walls that helpers go without here. Raises OSError when no helper can be started."""
    return await asyncio.to_thread(_survey)


def _survey() -> list[str]:
    # Waited for in a thread: an asyncio subprocess whose task is cancelled while it dies leaves its pipe open.
    try:
        done = subprocess.run(  # noqa: S603 - our own module, by our own interpreter
            command("store.sandbox.survey"),
            **surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError("a confined helper did not end in time") from None
    if done.returncode != 0:
        raise OSError(f"a confined helper ended with status {done.returncode}")
    walls: list[str] = json.loads(done.stdout)
    return walls


async def warn_of_missing_walls() -> None:
    """Log the walls that helpers go without on this machine, if any."""
    try:
        missing = await missing_walls()
    except (OSError, ValueError) as error:
        _log.error("The sandbox cannot be tested", error=type(error).__name__)
    else:
        if missing:
            _log.warning("The sandbox lacks isolation layers on this machine", missing=missing)


if __name__ == "__main__":
    json.dump(confine(_MEMORY_BYTES), sys.stdout)
