"""Connection budgets: how many connections all processes together may open, and who enforces it."""

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
