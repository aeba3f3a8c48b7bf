"""Cost limits: how often a user, and all users of a company together, may ask for the costliest work.

They only spread load, so they are this process's own. `store.fair_share` bounds what runs at the same time; these bound
what is asked for in a row.
"""

from dataclasses import dataclass

from gateway.http.limits.rate_limit_fields import note
from gateway.http.limits.rate_limiter import RateLimiter
from store.errors import RatePolicy, TooMany

# A company has as much as so many of its users who do nothing else.
COMPANY_FACTOR = 5


@dataclass(frozen=True)
class Cost:
    """Something costly: a user's `burst` at once, then `per_second`."""

    name: str
    burst: float
    per_second: float

    @property
    def policy(self) -> RatePolicy:
        """The same as clients are told of it."""
        return RatePolicy(self.name.replace(" ", "-"), int(self.burst), round(self.burst / self.per_second))


# A passcode is hashed with argon2: 24 ms of a processor and 19 MiB each.
PASSCODE_SHARES = Cost("shares with a passcode", burst=20, per_second=0.2)
# In pages of 500 events: a page is a query, and some milliseconds to write.
HISTORY_PAGES = Cost("pages of events", burst=200, per_second=5)
# A price book as a file, either way: a second for 50,000 items.
PRICE_FILES = Cost("price book files", burst=20, per_second=0.1)
COSTS = (PASSCODE_SHARES, HISTORY_PAGES, PRICE_FILES)

# Health reports an address may ask for: monitors ask every few seconds, and share an address at most with each other.
HEALTH_BURST, HEALTH_PER_SECOND = 60, 2


class CostLimits:
    """The buckets of one process."""

    def __init__(self) -> None:
        self.health = RateLimiter(burst=HEALTH_BURST, per_second=HEALTH_PER_SECOND)
        self._of_users = {cost: RateLimiter(burst=cost.burst, per_second=cost.per_second) for cost in COSTS}
        self._of_companies = {
            cost: RateLimiter(burst=COMPANY_FACTOR * cost.burst, per_second=COMPANY_FACTOR * cost.per_second)
            for cost in COSTS
        }

    def spend(self, cost: Cost, who: tuple[str, str], tries: float = 1) -> None:
        """Take `tries`, at most a user's burst, from the buckets of `who`: a company and its user.

        Raises `TooMany`, and takes nothing, when one of the two has too few.
        """
        company, user = who
        tries = min(tries, cost.burst)
        buckets = ((self._of_users[cost], user), (self._of_companies[cost], company))
        if wait := max(limiter.wait(key, tries) for limiter, key in buckets):
            raise TooMany(
                "You ask for this too often. Wait a moment and try again.", retry_after=wait, policy=cost.policy
            )
        self.charge(cost, who, tries)

    def charge(self, cost: Cost, who: tuple[str, str], tries: float) -> None:
        """Take a cost that is known only afterwards; the next `spend` waits for it."""
        company, user = who
        self._of_users[cost].take(user, tries)
        self._of_companies[cost].take(company, tries)
        note(cost.policy, *min(self._of_users[cost].left(user), self._of_companies[cost].left(company)))
