"""What a pool makes of its budget: who waits for it is told of it, and it is asked for more in time. On both shells."""

from __future__ import annotations

import asyncio
import gc
import math
from typing import Any

import pytest

import resilient_redis.asyncio
from resilient_redis import CircuitBreaker, PoolTimeoutError, ResilientConnectionPool
from resilient_redis.pool.budgets.base import BaseBudget
from resilient_redis.testing import EmbeddedServer

pytestmark = [pytest.mark.server, pytest.mark.timeout(60)]


class Purse(BaseBudget):
    """A budget that the test fills, or that fills itself when it is maintained."""

    def __init__(self, allowed: int = 0, *, grows: bool = False) -> None:
        super().__init__()
        self.allowed, self._grows, self.maintained = allowed, grows, 0

    def _allowed(self) -> int:
        return self.allowed

    def due(self, now: float) -> bool:
        return self._grows

    def maintain(self, now: float) -> None:
        self.maintained += 1
        if self._grows:
            self.allowed = 5

    def describe(self) -> str:
        return f"purse: {self._held(self.allowed)}"


async def test_who_waits_for_the_budget_is_told_of_it_and_no_circuit_counts_it(bench: Any) -> None:
    pool = bench.pool(budget=Purse(), acquire_timeout=0.2)
    client = bench.client(pool, policies=[CircuitBreaker(fail_max=1)])
    for _ in range(2):
        error = await bench.error(client.ping)
        assert isinstance(error, PoolTimeoutError)
        assert "no more allowed (purse: 0 of 0 taken here)" in str(error)
        assert str(error).endswith(
            "the budget allows no more; raise the budget, or let fewer processes have a part in it; "
            "max_connections is not what limits"
        )


async def test_health_and_numbers_know_of_a_budget_that_allows_no_more(bench: Any) -> None:
    purse = Purse(1)
    pool = bench.pool(budget=purse, max_connections=10)
    held = await bench.get(pool)
    assert (pool.stats().allowed, pool.health().status) == (10, "healthy")
    waiter = await bench.wait_for(pool, 1)
    await bench.until(lambda: pool.stats().allowed == 1)
    health = pool.health()
    assert (health.status, health.reasons[0]) == (
        "critical",
        "the budget allows no more connections now (purse: 1 of 1 taken here)",
    )
    assert health.advice[0].startswith("raise the budget")
    assert "no more allowed" in repr(pool)
    purse.allowed = 2
    await bench.give(pool, held, await waiter.result())
    assert pool.stats().allowed == 10
    assert "no more allowed" not in repr(pool)


async def test_a_budget_that_can_grow_is_asked_as_soon_as_somebody_waits_for_it(bench: Any) -> None:
    purse = Purse(1, grows=True)
    purse.interval = math.inf
    pool = bench.pool(budget=purse, maintenance_interval="30d", acquire_timeout=5)
    held = await bench.fill(pool, 3)
    assert purse.maintained >= 1
    await bench.give(pool, *held)


async def test_without_a_thread_borrowers_maintain_the_budget_as_often_as_it_wants(
    bench: Any, timed: Any, shifted_clock: Any
) -> None:
    if not bench.is_sync:
        pytest.skip("asyncio needs no thread for it")
    purse = Purse(1)
    purse.interval = 5.0
    pool = timed(budget=purse, background=False)
    await bench.stock_up(pool, 1)
    assert purse.maintained == 0
    for rounds in (1, 2):
        shifted_clock.shift += 6
        await bench.stock_up(pool, 1)
        assert purse.maintained == rounds


async def test_several_pools_of_one_budget_give_up_their_last_connections_too(bench: Any) -> None:
    purse = Purse(3)
    pools = [bench.pool(budget=purse, maintenance_interval="30d") for _ in range(3)]
    for pool in pools:
        await bench.stock_up(pool, 1)
    purse.allowed = 1
    for pool in pools:
        await bench.run(pool.maintain)
        await bench.until(lambda pool=pool: pool.stats().closing == 0)
    assert (purse.taken, len(bench.sockets())) == (1, 1)
    purse.allowed = 3
    for pool in pools:
        await bench.stock_up(pool, 1)
    assert purse.taken == 3


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("closed", [True, False])
def test_a_pool_that_is_forgotten_leaves_the_budget_what_it_had(server: EmbeddedServer, closed: bool) -> None:
    purse = Purse(4)

    def use() -> None:
        pool = ResilientConnectionPool.from_url(server.url, budget=purse)
        held = [pool.get_connection() for _ in range(3)]
        pool.release(held.pop())
        pool.release(held.pop())
        if closed:
            pool.close()
        assert purse.taken == (1 if closed else 3)

    use()  # what is still lent is forgotten with it
    gc.collect()
    assert purse.taken == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_so_does_one_of_asyncio_that_python_finds(server: EmbeddedServer) -> None:
    purse = Purse(4)

    async def use() -> None:
        pool = resilient_redis.asyncio.ResilientConnectionPool.from_url(server.url, budget=purse)
        await pool.release(await pool.get_connection())

    async def main() -> None:
        await use()
        assert purse.taken == 1
        await asyncio.sleep(0.01)
        gc.collect()
        assert purse.taken == 0

    asyncio.run(main())
