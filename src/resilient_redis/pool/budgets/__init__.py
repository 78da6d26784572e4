"""Connection budgets: how many connections all processes together may open, and who enforces it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_redis.lazily import names_from

if TYPE_CHECKING:
    from resilient_redis.pool.budgets.base import Budget
    from resilient_redis.pool.budgets.chain import BudgetChain, combine
    from resilient_redis.pool.budgets.host import HostBudget
    from resilient_redis.pool.budgets.observer import ServerObserver, is_server_full
    from resilient_redis.pool.budgets.redis_lease import RedisBudget
    from resilient_redis.pool.budgets.static import StaticBudget

__all__ = [
    "Budget",
    "BudgetChain",
    "HostBudget",
    "RedisBudget",
    "ServerObserver",
    "StaticBudget",
    "combine",
    "is_server_full",
]

_HOMES = {
    "Budget": "base",
    "BudgetChain": "chain",
    "HostBudget": "host",
    "RedisBudget": "redis_lease",
    "ServerObserver": "observer",
    "StaticBudget": "static",
    "combine": "chain",
    "is_server_full": "observer",
}

if not TYPE_CHECKING:  # or a misspelt name would pass
    __getattr__, __dir__ = names_from(__name__, _HOMES)
