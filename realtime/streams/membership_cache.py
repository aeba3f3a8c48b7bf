"""The members of tenants with recently opened streams: a storm of resumes need not ask for each user."""

from collections.abc import Iterable

# With the 500 members that a reading has at most, some 40 MB in the worst case, and 2 MB as tenants are.
MOST_TENANTS = 1_000


class MembershipCache:
    """The members of each tenant, as far as they have been read, less those with a removal notified since."""

    def __init__(self) -> None:
        self._of: dict[str, set[str]] = {}

    def has(self, tenant_id: str, user_id: str) -> bool:
        """Whether a user is known to belong; another user may only be unknown."""
        return user_id in self._of.get(tenant_id, ())

    def put(self, tenant_id: str, user_ids: Iterable[str]) -> None:
        """Take the members as they were read; the tenant read longest ago makes room."""
        self._of.pop(tenant_id, None)
        self._of[tenant_id] = set(user_ids)
        if len(self._of) > MOST_TENANTS:
            del self._of[next(iter(self._of))]

    def remove(self, tenant_id: str, user_id: str) -> None:
        """Take note that a user belongs no longer."""
        self._of.get(tenant_id, set()).discard(user_id)

    def clear(self) -> None:
        """Forget everybody: removals may have been missed."""
        self._of.clear()
