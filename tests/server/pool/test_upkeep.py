"""Upkeep: it finds the dead, keeps min_idle, and survives clocks that jump. On both shells."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

pytestmark = pytest.mark.server


async def test_upkeep_finds_the_dead_and_leaves_the_others_alone(bench: Any, timed: Any) -> None:
    pool = timed(min_idle=3)
    assert await bench.run(pool.warm_up)
    ids = bench.sockets()
    before = bench.calls("ping")
    bench.kill(min(ids))
    await bench.rest()
    await bench.run(pool.maintain)
    assert pool.stats().available == 3
    assert len(bench.sockets() & ids) == 2
    assert bench.calls("ping") == before
    assert sum(pool.stats().closes.values()) == 1


async def test_a_server_that_closes_what_lay_idle_is_well_though_that_was_used_only_once(
    bench: Any, timed: Any
) -> None:
    pool = timed()
    await bench.stock_up(pool, 2)
    bench.kill()
    await bench.rest()
    await bench.run(pool.maintain)
    assert (pool.stats().size, pool.stats().closes) == (0, {"eof": 2})
    assert pool.health().status == "healthy"
    assert "last dial failed" not in repr(pool)


async def test_upkeep_keeps_the_order(bench: Any, timed: Any) -> None:
    pool = timed()
    first, second, third = await bench.fill(pool, 3)
    await bench.give(pool, first, second, third)
    await bench.run(pool.maintain)
    assert await bench.fill(pool, 3) == [third, second, first]
    await bench.give(pool, first, second, third)


async def test_upkeep_happens_by_itself(bench: Any) -> None:
    pool = bench.pool(min_idle=1, idle_timeout=0.1, maintenance_interval=0.05)
    await bench.stock_up(pool, 4)
    await bench.until(lambda: pool.stats().available == 1)
    await bench.until(lambda: len(bench.sockets()) == 1)
    assert set(pool.stats().closes) == {"idle"}


async def test_without_background_borrowers_do_the_upkeep(bench: Any, timed: Any, shifted_clock: Any) -> None:
    if not bench.is_sync:
        pytest.skip("asyncio needs no thread for it")
    pool = timed(min_idle=2, idle_timeout=60, maintenance_interval=15, background=False)
    await bench.stock_up(pool, 1)
    assert pool.stats().size == 1
    shifted_clock.shift += 16
    await bench.stock_up(pool, 1)
    assert pool.stats().available == 2
    shifted_clock.shift += 61
    bench.kill()
    await bench.stock_up(pool, 1)
    assert pool.stats().available == 2


async def test_a_failing_upkeep_is_tried_again(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    pool = bench.pool(min_idle=1, maintenance_interval=0.03)
    genuine, failed = pool._bury_the_dead, []

    def fail_twice() -> None:
        if len(failed) < 2:
            failed.append(1)
            raise RuntimeError("a bug")
        genuine()

    pool._bury_the_dead = fail_twice
    await bench.stock_up(pool, 1)
    await bench.until(lambda: len(failed) == 2)
    bench.kill()
    await bench.until(lambda: pool.stats().available >= 1 and pool.stats().dials == 2)
    assert "upkeep of pool" in caplog.text


@pytest.mark.parametrize("jump", [1e6, -1e6], ids=["forward", "back"])
async def test_upkeep_survives_a_clock_that_jumps(bench: Any, shifted_clock: Any, jump: float) -> None:
    pool = bench.pool(clock=shifted_clock, maintenance_interval=0.05, min_idle=1, idle_timeout=None, max_lifetime=None)
    client = bench.client(pool)
    rounds: list[int] = []
    genuine = pool._bury_the_dead
    pool._bury_the_dead = lambda: (rounds.append(1), genuine())
    await bench.run(client.set, "k", "v")
    await bench.until(lambda: len(rounds) >= 2)
    shifted_clock.shift += jump
    seen = len(rounds)
    await bench.until(lambda: len(rounds) >= seen + 3)
    seen = len(rounds)
    await asyncio.sleep(0.3)
    assert len(rounds) - seen <= 10  # at its usual pace, and not a million rounds late
    assert await bench.run(client.get, "k") == b"v"
    stats = pool.stats()
    assert stats.wait_seconds >= 0
    assert stats.oldest_lease is None
    bench.kill()
    await bench.until(lambda: pool.stats().available >= 1 and pool.stats().dials >= 2)


@pytest.mark.parametrize("jump", [1e6, -1e6], ids=["forward", "back"])
async def test_borrowers_survive_a_clock_that_jumps(bench: Any, timed: Any, shifted_clock: Any, jump: float) -> None:
    pool = timed(max_connections=2)
    client = bench.client(pool)
    connections = await bench.fill(pool, 2)
    await bench.give(pool, *connections)
    shifted_clock.shift += jump
    held = await bench.fill(pool, 2)
    waiter = await bench.wait_for(pool, 1, client.set, name="k", value="v")
    await bench.give(pool, *held)
    assert await waiter.result()
    await bench.run(pool.maintain)
    assert await bench.run(client.get, "k") == b"v"
    assert pool.stats().borrowed == 0


async def test_a_forgotten_pool_goes(bench: Any) -> None:
    pool = bench.Pool.from_url(bench.server.url, client_name=bench.client_name, maintenance_interval=0.02)
    await bench.stock_up(pool, 2)
    await asyncio.sleep(0.05)
    await bench.run(pool.disconnect)
    gone = weakref.ref(pool)
    del pool

    def collected() -> bool:
        gc.collect()
        return gone() is None

    await bench.until(collected)
