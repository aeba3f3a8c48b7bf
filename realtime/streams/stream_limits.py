"""How many streams there may be: per user, per tenant and in this process."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

Refusal = Literal["process", "tenant", "user"]
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)


@dataclass(frozen=True)
class Limits:
    """The most streams open at once. A browser's tabs share one, so 32 a user is many devices."""

    per_user: int = 32
    per_tenant: int = 5_000
    per_process: int = 20_000


class StreamLimiter:
    """Counts open streams; a count that falls to nothing is forgotten."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[str] = Counter()
        self.total = 0

    def acquire(self, tenant_id: str, user_id: str) -> Refusal | None:
        """Count one more stream in, or return the limit that is reached."""
        refusal = self._reached(tenant_id, user_id)
        if refusal is None:
            self._open[tenant_id] += 1
            self._open[user_id] += 1
            self.total += 1
        return refusal

    def release(self, tenant_id: str, user_id: str) -> None:
        """Count one stream out."""
        self._open[tenant_id] -= 1
        self._open[user_id] -= 1
        self.total -= 1
        self._forget(tenant_id, user_id)

    def _reached(self, tenant_id: str, user_id: str) -> Refusal | None:
        if self.total >= self._limits.per_process:
            return "process"
        if self._open.get(tenant_id, 0) >= self._limits.per_tenant:
            return "tenant"
        return "user" if self._open.get(user_id, 0) >= self._limits.per_user else None

    def _forget(self, *keys: str) -> None:
        for key in keys:
            if self._open[key] <= 0:
                del self._open[key]
