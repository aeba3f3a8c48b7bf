"""How many streams there may be: per user, per tenant and in this process."""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The most streams open at once. A browser's tabs share one, so 32 a user is many devices."""

    per_user: int = 32
    per_tenant: int = 5_000
    per_process: int = 20_000


class Caps:
    """Counts open streams; a count that falls to nothing is forgotten."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self.total = 0

    def take(self, tenant_id: str, user_id: str) -> bool:
        """Count one more stream in; False when a limit is reached."""
        full = (
            self.total >= self._limits.per_process
            or self._open[tenant_id] >= self._limits.per_tenant
            or self._open[user_id] >= self._limits.per_user
        )
        if full:
            self._forget(tenant_id, user_id)
            return False
        self._open.update((tenant_id, user_id))
        self.total += 1
        return True

    def give_back(self, tenant_id: str, user_id: str) -> None:
        """Count one stream out."""
        self._open.subtract((tenant_id, user_id))
        self.total -= 1
        self._forget(tenant_id, user_id)

    def _forget(self, *keys: str) -> None:
        for key in keys:
            if self._open[key] <= 0:
                del self._open[key]
