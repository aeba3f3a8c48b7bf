"""Finds out which walls this machine gives a helper: `python -m store.sandbox.survey` prints those it lacks."""

import asyncio
import json
import sys

from config.logging import get_logger
from store.sandbox.confinement import confine
from store.sandbox.pipe import command, surroundings

_log = get_logger(__name__)
_SECONDS = 20.0
_MEMORY_BYTES = 1 << 30


async def missing_walls() -> list[str]:
    """Return the names of the walls that helpers go without here. Raises OSError when no helper can be started."""
    process = await asyncio.create_subprocess_exec(
        *command("store.sandbox.survey"),
        **surroundings(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise OSError(f"a confined helper ended with status {process.returncode}")
    walls: list[str] = json.loads(told)
    return walls


async def warn_of_missing_walls() -> None:
    """Log what helpers go without on this machine, if anything."""
    try:
        missing = await missing_walls()
    except (OSError, ValueError, TimeoutError) as error:
        _log.error("The helpers' sandbox cannot be tried", error=type(error).__name__)
    else:
        if missing:
            _log.warning("The helpers' sandbox lacks walls on this machine", missing=missing)


if __name__ == "__main__":
    json.dump(confine(_MEMORY_BYTES), sys.stdout)
