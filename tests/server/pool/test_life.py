"""Life: idle timeout, lifetime, validation, upkeep, clock jumps, resize, drain, warm-up. On both shells."""

from __future__ import annotations

from typing import Any

import pytest

from resilient_redis.testing import FakeClock, FaultProxy

pytestmark = pytest.mark.server

SLACK = 0.5


# idle_timeout


async def test_idle_connections_end_after_idle_timeout_down_to_min_idle(
    bench: Any, timed: Any, shifted_clock: Any
) -> None:
    pool = timed(idle_timeout=60, min_idle=2)
    await bench.stock_up(pool, 5)
    shifted_clock.shift += 59
    await bench.run(pool.maintain)
    assert pool.stats().available == 5
    shifted_clock.shift += 2
    await bench.run(pool.maintain)
    assert (pool.stats().available, pool.stats().closes) == (2, {"idle": 3})
    await bench.until(lambda: len(bench.sockets()) == 2)


async def test_the_same_on_a_fake_clock(bench: Any) -> None:
    clock = FakeClock()
    pool = bench.pool(clock=clock, background=False, idle_timeout=60, min_idle=5)
    assert await bench.run(pool.warm_up)
    pool.resize(min_idle=2)
    clock.advance(59)
    await bench.run(pool.maintain)
    assert pool.stats().available == 5
    clock.advance(1)
    await bench.run(pool.maintain)
    assert (pool.stats().available, pool.stats().closes) == (2, {"idle": 3})


async def test_those_idle_longest_end_first(bench: Any, timed: Any, shifted_clock: Any) -> None:
    pool = timed(idle_timeout=60)
    first, second, third = await bench.fill(pool, 3)
    for connection in (second, first, third):
        await bench.give(pool, connection)
        shifted_clock.shift += 20
    shifted_clock.shift += 10  # 70, 50 and 30 seconds
    await bench.run(pool.maintain)
    assert await bench.fill(pool, 2) == [third, first]
    assert pool.stats().closes == {"idle": 1}
    await bench.give(pool, first, third)


async def test_without_idle_timeout_nothing_ends_for_idling(bench: Any, timed: Any, shifted_clock: Any) -> None:
    pool = timed(idle_timeout=None, max_lifetime=None)
    await bench.stock_up(pool, 3)
    shifted_clock.shift += 1e7
    await bench.run(pool.maintain)
    assert (pool.stats().available, pool.stats().closes) == (3, {})


async def test_a_lent_connection_does_not_idle(bench: Any, timed: Any, shifted_clock: Any) -> None:
    pool = timed(idle_timeout=60)
    held = await bench.get(pool)
    shifted_clock.shift += 100
    await bench.run(pool.maintain)
    assert await bench.ask(held, "PING") == b"PONG"
    await bench.give(pool, held)
    await bench.run(pool.maintain)
    assert pool.stats().available == 1


# max_lifetime


async def test_no_connection_is_lent_after_its_lifetime(bench: Any, timed: Any, shifted_clock: Any) -> None:
    for fifo in (False, True):
        pool = timed(max_lifetime=1800, idle_timeout=None, validate_after=None, fifo=fifo)
        old = await bench.fill(pool, 3)
        await bench.give(pool, *old)
        shifted_clock.shift += 1801
        new = await bench.fill(pool, 3)
        assert not set(new) & set(old)
        assert pool.stats().closes["lifetime"] >= 1
        await bench.run(pool.maintain)
        assert pool.stats().closes == {"lifetime": 3}
        await bench.give(pool, *new)


async def test_connections_opened_together_do_not_end_together(bench: Any, timed: Any, shifted_clock: Any) -> None:
    pool = timed(max_lifetime=1000, idle_timeout=None)
    await bench.stock_up(pool, 20)
    left = []
    for _ in range(3):
        shifted_clock.shift += {0: 898, 1: 52, 2: 52}[len(left)]  # 898, 950, 1002
        await bench.run(pool.maintain)
        left.append(pool.stats().available)
    assert (left[0], left[2]) == (20, 0)
    assert 0 < left[1] < 20


async def test_a_lent_connection_ends_when_it_comes_back(bench: Any, timed: Any, shifted_clock: Any) -> None:
    pool = timed(max_lifetime=1000)
    held = await bench.get(pool)
    shifted_clock.shift += 2000
    await bench.run(pool.maintain)
    assert await bench.ask(held, "PING") == b"PONG"
    await bench.give(pool, held)
    assert (pool.stats().available, pool.stats().closes) == (0, {"lifetime": 1})
    await bench.until(lambda: not bench.sockets())


async def test_without_max_lifetime_none_ends_for_its_age(bench: Any, timed: Any, shifted_clock: Any) -> None:
    pool = timed(max_lifetime=None, idle_timeout=None)
    await bench.stock_up(pool, 1)
    shifted_clock.shift += 1e9
    await bench.give(pool, await bench.get(pool))
    assert pool.stats().dials == 1


# Validation


async def test_no_ping_inside_validate_after_and_one_after_it(bench: Any, timed: Any, shifted_clock: Any) -> None:
    pool = timed(validate_after=15)
    client = bench.client(pool)
    await bench.stock_up(pool, 3)
    before = bench.calls("ping")
    for _ in range(20):
        shifted_clock.shift += 1
        await bench.run(client.get, "k")
    shifted_clock.shift += 14
    await bench.run(client.get, "k")
    assert bench.calls("ping") == before
    shifted_clock.shift += 16
    await bench.run(client.get, "k")
    assert bench.calls("ping") == before + 1
    await bench.run(client.get, "k")
    assert bench.calls("ping") == before + 1
    assert pool.stats().dials == 3


async def test_validate_after_0_asks_each_time_but_not_what_has_just_come(
    bench: Any, timed: Any, shifted_clock: Any
) -> None:
    pool = timed(validate_after=0)
    before = bench.calls("ping")
    await bench.stock_up(pool, 1)
    assert bench.calls("ping") == before
    for _ in range(3):
        shifted_clock.shift += 0.01
        await bench.give(pool, await bench.get(pool))
    assert bench.calls("ping") == before + 3


async def test_without_validate_after_nobody_is_asked(bench: Any, timed: Any, shifted_clock: Any) -> None:
    pool = timed(validate_after=None, idle_timeout=None, max_lifetime=None)
    await bench.stock_up(pool, 1)
    before = bench.calls("ping")
    shifted_clock.shift += 1e6
    await bench.give(pool, await bench.get(pool))
    assert bench.calls("ping") == before


@pytest.mark.parametrize("dead", [1, 20])
async def test_black_holed_idle_connections_are_replaced_inside_the_deadline(
    bench: Any, timed: Any, shifted_clock: Any, proxy: FaultProxy, stopwatch: Any, dead: int
) -> None:
    pool = timed(proxy.url, validate_after=15, acquire_timeout=1)
    await bench.stock_up(pool, dead)
    shifted_clock.shift += 16
    proxy.black_hole()  # what was open is dead without a word; what is dialled now goes elsewhere
    pool.connection_kwargs["port"] = bench.server.port
    with stopwatch() as watch:
        connection = await bench.get(pool)
    assert watch.seconds < 1 + SLACK
    assert await bench.ask(connection, "PING") == b"PONG"
    assert pool.stats().closes["validation"] >= 1
    await bench.give(pool, connection)


async def test_a_borrower_whose_connection_is_asked_is_counted(
    bench: Any, timed: Any, shifted_clock: Any, proxy: FaultProxy
) -> None:
    pool = timed(proxy.url, validate_after=15)
    await bench.stock_up(pool, 1)
    shifted_clock.shift += 16
    proxy.delay(0.1)
    job = bench.start(pool.acquire)
    await bench.until(lambda: pool.stats().validating == 1)
    assert (pool.stats().size, pool.stats().borrowed, pool.stats().available) == (1, 0, 0)
    await bench.give(pool, await job.result())


@pytest.mark.parametrize("fifo", [False, True], ids=["lifo", "fifo"])
async def test_a_connection_that_the_server_closed_is_found_for_free(bench: Any, timed: Any, fifo: bool) -> None:
    pool = timed(fifo=fifo)
    client = bench.client(pool, policies=[])  # nothing is repeated
    for dead, alive in ((1, 0), (3, 0), (2, 2)):
        await bench.run(pool.disconnect)
        await bench.stock_up(pool, dead + alive)
        before = bench.calls("ping")
        bench.kill(*sorted(bench.sockets())[:dead])
        await bench.rest()
        for _ in range(4):
            assert await bench.run(client.set, "k", "v")
        assert bench.calls("ping") == before
