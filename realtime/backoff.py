"""How long to wait before trying again: doubling, capped, and never in step with the others."""

from random import Random


class Backoff:
    """Delays in seconds: the first is 0, then between half and the whole of first_s, 2 first_s, ... cap_s."""

    def __init__(self, first_s: float, cap_s: float, random: Random) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._random = random
        self.attempts = 0

    def next(self) -> float:
        """Return the delay before the next attempt."""
        self.attempts += 1
        if self.attempts == 1:
            return 0.0
        whole = min(self._cap_s, self._first_s * 2.0 ** min(self.attempts - 2, 30))
        return whole * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again after a success."""
        self.attempts = 0
