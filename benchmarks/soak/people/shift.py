"""The time in which people work: what is begun by its end is finished, and nothing is begun after it."""

import asyncio


class Shift:
    """One such time."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    def end(self) -> None:
        """Let nobody begin anything more."""
        self._over.set()

    async def pause(self, seconds: float) -> bool:
        """Wait so long; False as soon as the shift is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return True
        return False
