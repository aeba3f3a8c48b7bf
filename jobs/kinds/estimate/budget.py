"""How much model calls may cost, a job's and a tenant's month's: asked before each call."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from jobs.kinds.estimate.errors import OverBudget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from config.settings import Settings
    from jobs.kinds.estimate.model import ModelCall
    from store.queue.spending import Spent


@dataclass(frozen=True, slots=True)
class Limits:
    """USD; None is without a limit. A tenant's own month, where it has one, comes before the setting."""

    per_job: Decimal | None = None
    per_month: Decimal | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take them from the settings."""
        return cls(settings.model_budget_per_job, settings.model_budget_per_month)


NO_LIMITS = Limits()


@dataclass(slots=True)
class Budget:
    """One attempt's view of the spending; earlier attempts of the job count, too."""

    limits: Limits
    job: Decimal = Decimal(0)
    month: Decimal = Decimal(0)

    @classmethod
    def of(cls, limits: Limits, spent: Spent) -> Self:
        """Begin with the spending that the database knows."""
        month = limits.per_month if spent.month_limit is None else spent.month_limit
        return cls(Limits(limits.per_job, month), spent.job, spent.month)

    def require(self) -> None:
        """Raise `OverBudget` when nothing is left for another call."""
        if self.limits.per_job is not None and self.job >= self.limits.per_job:
            raise OverBudget(
                f"This estimate has used {self.job:.2f} USD of model calls and may use {self.limits.per_job:.2f}. "
                "Make it from fewer photos and recordings, or ask for a larger budget (MODEL_BUDGET_PER_JOB)."
            )
        if self.limits.per_month is not None and self.month >= self.limits.per_month:
            raise OverBudget(
                f"Your company has used {self.month:.2f} USD of model calls this month and may use "
                f"{self.limits.per_month:.2f}. Ask for a larger budget, or wait for the next month."
            )

    def spend(self, calls: Iterable[ModelCall]) -> None:
        """Count calls that were just made."""
        cost = sum((call.cost for call in calls if call.cost is not None), start=Decimal(0))
        self.job += cost
        self.month += cost
