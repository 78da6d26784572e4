"""``pool.reset()``, redis-py's, while others use the pool: what they wait for comes, nothing is lost. Both shells."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.testing import FaultProxy

pytestmark = [pytest.mark.server, pytest.mark.timeout(60)]


class Counted:
    """A budget that only counts."""

    def __init__(self) -> None:
        self.taken = 0

    def attach(self, pool_name: str) -> None: ...

    def take(self) -> bool:
        self.taken += 1
        return True

    def give(self) -> None:
        self.taken -= 1

    def surplus(self) -> int:
        return 0

    def due(self, _: float) -> bool:
        return False

    def maintain(self, _: float) -> None: ...

    def describe(self) -> str:
        return "counted"


async def test_whoever_waits_is_served_by_a_new_connection(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    waiter = await bench.wait_for(pool, 1)
    pool.reset()
    got = await waiter.result()
    assert got is not held
    await bench.give(pool, held, got)
    assert (pool.stats().borrowed, pool.stats().pending) == (0, 0)


async def test_a_dial_under_way_is_made_anew_and_what_it_brings_comes_back_to_the_pool(
    bench: Any, proxy: FaultProxy
) -> None:
    pool = bench.pool(proxy.url, max_connections=2)
    proxy.delay(0.3)
    borrower = bench.start(pool.acquire)
    await bench.until(lambda: proxy.connections_opened == 1)
    pool.reset()
    proxy.delay(0)
    got = await borrower.result()
    assert pool.stats().borrowed == 1
    await bench.give(pool, got)
    await bench.until(lambda: pool.stats().closing == 0)
    stats = pool.stats()
    assert (stats.size, stats.available, stats.closes) == (1, 1, {"drain": 1})
    await bench.until(lambda: proxy.open_connections == 1)


async def test_what_was_lent_is_closed_when_it_comes_back_and_counts_no_more(bench: Any) -> None:
    budget = Counted()
    pool = bench.pool(max_connections=2, budget=budget)
    held = await bench.fill(pool, 2)
    await bench.give(pool, held[0])
    pool.reset()
    await bench.until(lambda: budget.taken == 0)
    assert pool.stats().size == 0
    await bench.give(pool, held[1])
    await bench.until(lambda: not bench.sockets())
    await bench.stock_up(pool, 2)
    assert (pool.stats().size, budget.taken) == (2, 2)
    await bench.close(pool)
    assert budget.taken == 0


async def test_counts_go_on(bench: Any) -> None:
    pool = bench.pool()
    await bench.stock_up(pool, 2)
    before = pool.stats()
    pool.reset()
    after = pool.stats()
    assert (after.borrows, after.dials) == (before.borrows, before.dials) == (2, 2)


async def test_shared_connections_are_left_too(bench: Any) -> None:
    pool = bench.pool()
    client = bench.client(pool, strategy="multiplexed")
    assert await bench.run(client.ping)
    before = bench.sockets()
    pool.reset()
    assert await bench.run(client.ping)
    await bench.until(lambda: not before & bench.sockets())
    assert pool.stats().size == 1
    await bench.close_client(client)
