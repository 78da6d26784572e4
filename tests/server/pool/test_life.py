"""Life: idle timeout, lifetime, validation, upkeep, clock jumps, resize, drain, warm-up. On both shells."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
import redis

from resilient_redis import ConfigError
from resilient_redis.testing import FakeClock, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server

SLACK = 0.25


@pytest.fixture
def timed(bench: Any, shifted_clock: Any) -> Any:
    """Makes pools whose time a test can shift, and that nobody maintains but the test."""

    def make(url: str | None = None, **options: Any) -> Any:
        defaults = {"clock": shifted_clock, "maintenance_interval": "30d", "acquire_timeout": 5}
        return bench.pool(url, **{**defaults, **options})

    return make


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


async def test_validate_after_0_asks_each_time_but_not_a_new_one(bench: Any, timed: Any) -> None:
    pool = timed(validate_after=0)
    before = bench.calls("ping")
    await bench.stock_up(pool, 1)
    assert bench.calls("ping") == before
    for _ in range(3):
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


# Upkeep


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
    assert pool.stats().closes == {"idle": 3}


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
    await bench.until(lambda: pool.stats().available == 1 and pool.stats().dials == 2)
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
    await bench.until(lambda: pool.stats().available == 1 and pool.stats().dials >= 2)


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


# resize


async def test_resize_up_serves_those_who_wait(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    waiters = [await bench.wait_for(pool, count) for count in (1, 2, 3)]
    pool.resize(3)
    first, second = await waiters[0].result(), await waiters[1].result()
    assert (pool.stats().max, pool.stats().borrowed, pool.stats().pending) == (3, 3, 1)
    await bench.give(pool, held, first, second, )
    await bench.give(pool, await waiters[2].result())
    assert len(bench.sockets()) == 3


async def test_resize_down_closes_what_is_idle_now(bench: Any) -> None:
    pool = bench.pool(max_connections=4)
    await bench.stock_up(pool, 4)
    pool.resize(2)
    await bench.rest()
    assert (pool.stats().available, pool.stats().closes) == (2, {"resize": 2})
    await bench.until(lambda: len(bench.sockets()) == 2)


async def test_resize_down_closes_what_is_lent_when_it_comes_back(bench: Any) -> None:
    pool = bench.pool(max_connections=4)
    held = await bench.fill(pool, 4)
    pool.resize(2)
    waiter = await bench.wait_for(pool, 1)
    for connection in held:
        assert await bench.ask(connection, "PING") == b"PONG"
    await bench.give(pool, held[0], held[1])
    await bench.rest()
    assert (pool.stats().size, pool.stats().closes, waiter.done) == (2, {"resize": 2}, False)
    await bench.give(pool, held[2])
    assert await waiter.result() is held[2]
    await bench.give(pool, held[2], held[3])
    assert (pool.stats().available, pool.stats().closes) == (2, {"resize": 2})


async def test_resize_under_load_loses_nothing(bench: Any) -> None:
    pool = bench.pool(max_connections=8)
    client = bench.client(pool)
    jobs = [bench.start(client.incr, "n") for _ in range(20)]
    for most in (2, 5, 1, 8, 3):
        pool.resize(most)
        jobs += [bench.start(client.incr, "n") for _ in range(20)]
        await asyncio.sleep(0.01)
    replies = [await job.result() for job in jobs]
    assert sorted(replies) == list(range(1, 121))
    await bench.rest()
    assert len(bench.sockets()) <= 3
    assert (pool.stats().borrowed, pool.stats().pending) == (0, 0)


async def test_resize_takes_min_idle_along(bench: Any) -> None:
    pool = bench.pool(max_connections=8, min_idle=4)
    pool.resize(3)
    assert (pool.stats().max, pool.stats().min) == (3, 3)
    pool.resize(min_idle=1)
    assert (pool.stats().max, pool.stats().min, pool.options.min_idle) == (3, 1, 1)
    pool.max_connections = 6  # redis-py's attribute
    assert (pool.stats().max, pool.max_connections) == (6, 6)
    await bench.stock_up(pool, 1)


@pytest.mark.parametrize("wrong", [{"max_connections": 0}, {"max_connections": 2, "min_idle": 3}, {"min_idle": -1}])
async def test_bounds_out_of_range_change_nothing(bench: Any, wrong: dict[str, int]) -> None:
    pool = bench.pool(max_connections=5, min_idle=1)
    with pytest.raises(ConfigError):
        pool.resize(**wrong)
    assert (pool.stats().max, pool.stats().min) == (5, 1)


# drain


async def test_drain_begins_a_new_generation(bench: Any) -> None:
    pool = bench.pool(max_connections=4)
    held = await bench.get(pool)
    others = await bench.fill(pool, 2)
    await bench.give(pool, *others)
    old = bench.sockets()
    pool.drain()
    await bench.rest()
    assert (pool.stats().generation, pool.stats().available, pool.stats().borrowed) == (1, 0, 1)
    assert await bench.ask(held, "PING") == b"PONG"  # lent ones go on
    fresh = await bench.get(pool)
    assert await bench.id_of(fresh) not in old
    await bench.give(pool, held)  # and end when given back
    await bench.give(pool, fresh)
    assert (pool.stats().available, pool.stats().closes) == (1, {"drain": 3})
    await bench.until(lambda: len(bench.sockets()) == 1)
    assert not bench.sockets() & old


async def test_drain_serves_those_who_wait_by_new_connections(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    old = bench.sockets()
    waiter = await bench.wait_for(pool, 1)
    pool.drain()
    assert not waiter.done
    await bench.give(pool, held)
    fresh = await waiter.result()
    assert await bench.id_of(fresh) not in old
    await bench.give(pool, fresh)


async def test_a_dial_begun_before_the_drain_is_not_kept(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url)
    proxy.delay(0.03)
    job = bench.start(pool.acquire)
    await bench.until(lambda: proxy.connections_opened == 1)
    pool.drain()
    proxy.delay(0)
    await bench.give(pool, await job.result())
    assert pool.stats().closes == {"drain": 1}


async def test_drain_under_load_fails_nobody(bench: Any) -> None:
    pool = bench.pool(max_connections=4)
    client = bench.client(pool)
    jobs = []
    for _ in range(5):
        jobs += [bench.start(client.incr, "n") for _ in range(20)]
        await asyncio.sleep(0.005)
        pool.drain()
    assert sorted([await job.result() for job in jobs]) == list(range(1, 101))
    assert pool.stats().generation == 5


# warm_up


async def test_warm_up_opens_distinct_connections(bench: Any) -> None:
    pool = bench.pool(min_idle=4)
    warm = await bench.run(pool.warm_up)
    assert (bool(warm), warm.wanted, warm.opened, warm.idle, warm.errors) == (True, 4, 4, 4, ())
    assert len(bench.sockets()) == 4
    again = await bench.run(pool.warm_up)
    assert (bool(again), again.opened, again.idle) == (True, 0, 4)
    assert len(bench.sockets()) == 4


async def test_warm_up_opens_what_is_missing(bench: Any) -> None:
    pool = bench.pool(min_idle=4)
    await bench.stock_up(pool, 3)
    assert (await bench.run(pool.warm_up)).opened == 1
    assert len(bench.sockets()) == 4


async def test_warm_up_says_what_failed_and_does_not_insist(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, min_idle=4)
    proxy.accept_then_reset()
    warm = await bench.run(pool.warm_up)
    assert (bool(warm), warm.opened, warm.idle) == (False, 0, 0)
    assert isinstance(warm.errors[0], redis.ConnectionError)
    assert proxy.connections_opened == 1
    await bench.error(pool.acquire)
    for _ in range(6):
        await bench.error(pool.acquire)
    opened = proxy.connections_opened
    warm = await bench.run(pool.warm_up)  # in the pause it does not dial, and says why
    assert not warm
    assert isinstance(warm.errors[0], redis.ConnectionError)
    assert proxy.connections_opened <= opened + 1


async def test_warm_up_keeps_what_succeeded(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, min_idle=3)
    job = bench.start(pool.warm_up)
    await bench.until(lambda: pool.stats().available >= 1)
    await job.result()
    await bench.run(pool.disconnect)
    proxy.inject("cut_before_request", 1, handshake=True)
    warm = await bench.run(pool.warm_up)
    assert (bool(warm), len(warm.errors)) == (False, 1)
    await asyncio.sleep(0.02)
    assert await bench.run(pool.warm_up)
    assert pool.stats().available == 3


async def test_warm_up_opens_one_after_the_other(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, min_idle=3)
    proxy.delay(0.02)
    most = 0
    job = bench.start(pool.warm_up)
    while not job.done:
        most = max(most, pool.stats().dialling)
        await asyncio.sleep(0.001)
    assert await job.result()
    assert most == 1


async def test_warm_up_ends_at_its_timeout(bench: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    pool = bench.pool(proxy.url, min_idle=3)
    proxy.black_hole()
    with stopwatch() as watch:
        warm = await bench.run(pool.warm_up, timeout=0.15)
    assert 0.14 <= watch.seconds < 0.15 + SLACK
    assert (bool(warm), warm.opened) == (False, 0)
    assert warm.errors


async def test_a_pool_that_needs_none_is_warm(bench: Any) -> None:
    assert await bench.run(bench.pool().warm_up)


async def test_a_dead_server_keeps_no_warm_up_waiting(bench: Any, stopwatch: Any) -> None:
    pool = bench.pool(f"redis://127.0.0.1:{free_port()}", min_idle=2)
    with stopwatch() as watch:
        assert not await bench.run(pool.warm_up)
    assert watch.seconds < 1
