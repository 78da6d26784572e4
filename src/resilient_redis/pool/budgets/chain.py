"""Several budgets as one: a connection needs a slot of each."""

from __future__ import annotations

from resilient_redis.errors import ConfigError
from resilient_redis.pool.budgets.base import Budget


class BudgetChain:
    """Take from all budgets or from none. Put those that are cheap to ask, and that refuse most often, first.

    >>> from resilient_redis.pool.budgets import StaticBudget
    >>> both = combine(StaticBudget(10, 2), StaticBudget(3, 1))
    >>> [both.take() for _ in range(4)], [budget.taken for budget in both.budgets]
    ([True, True, True, False], [3, 3])
    """

    def __init__(self, *budgets: Budget) -> None:
        if not budgets:
            raise ConfigError("combine: give at least one budget", field="budgets")
        self.budgets = budgets

    @property
    def interval(self) -> float:
        """The shortest interval of its members."""
        return min(getattr(budget, "interval", float("inf")) for budget in self.budgets)

    def attach(self, pool_name: str) -> None:
        """To all."""
        for budget in self.budgets:
            budget.attach(pool_name)

    def take(self) -> bool:
        """From all; when one refuses, what the earlier ones granted goes back."""
        for number, budget in enumerate(self.budgets):
            if not budget.take():
                for granted in self.budgets[:number]:
                    granted.give()
                return False
        return True

    def give(self) -> None:
        """To all."""
        for budget in self.budgets:
            budget.give()

    def maintain(self, now: float) -> None:
        """All, one after the other."""
        for budget in self.budgets:
            budget.maintain(now)

    def due(self, now: float) -> bool:
        """Has one of them something to do?"""
        asked = (getattr(budget, "due", None) for budget in self.budgets)
        return any(due(now) for due in asked if due is not None)

    def surplus(self) -> int:
        """The strictest: closing one connection gives a slot back to each."""
        return max(budget.surplus() for budget in self.budgets)

    def note_server_full(self) -> None:
        """To all that listen."""
        for budget in self.budgets:
            note = getattr(budget, "note_server_full", None)
            if note is not None:
                note()

    def describe(self) -> str:
        """All, in order."""
        return " + ".join(budget.describe() for budget in self.budgets)

    def after_fork(self) -> None:
        """All."""
        for budget in self.budgets:
            budget.after_fork()

    def close(self) -> None:
        """All."""
        for budget in self.budgets:
            budget.close()

    def __repr__(self) -> str:
        return f"<BudgetChain: {self.describe()}>"


def combine(*budgets: Budget) -> BudgetChain:
    """One budget that grants what all of ``budgets`` grant.

    Raises:
        ConfigError: none was given.
    """
    return BudgetChain(*budgets)
