"""StaticBudget: divide the limit by the number of workers, and round down."""

from __future__ import annotations

from resilient_redis.pool.budgets.base import BaseBudget
from resilient_redis.pool.sizing import pool_size


class StaticBudget(BaseBudget):
    """This process may hold its even share of the limit, rounded down. Nothing is asked of anybody.

    The sum over all processes stays within the limit as long as at most ``workers`` processes run, and each has one
    budget (pools of a process share the object).

    Args:
        limit: connections over all workers.
        workers: the most processes that run at once, those being replaced included.
        reserve: connections of the limit that are left for others (a shell, a migration, monitoring).

    Raises:
        ConfigError: a number is out of its range, or nothing is left for a worker; the message has the arithmetic.

    >>> StaticBudget(250, workers=13, reserve=5).describe()
    'static budget: 0 of 18 taken here, (250 - 5) / 13 workers'
    """

    def __init__(self, limit: int, workers: int, reserve: int = 0) -> None:
        super().__init__()
        self._size = pool_size(limit, workers, reserve)

    @property
    def share(self) -> int:
        """Connections that this process may hold."""
        return self._size.max_connections

    def resize(self, limit: int, workers: int | None = None, reserve: int | None = None) -> None:
        """Change the numbers while running; what is held over the new share becomes surplus."""
        now = self._size
        self._size = pool_size(
            limit, now.workers if workers is None else workers, now.reserve if reserve is None else reserve
        )

    def describe(self) -> str:
        """Taken, share, and the arithmetic behind it."""
        size = self._size
        arithmetic = f"({size.limit} - {size.reserve}) / {size.workers} workers"
        return f"static budget: {self._held(size.max_connections)}, {arithmetic}"

    def _allowed(self) -> int:
        return self._size.max_connections
