"""Seen: numbers that add up, health, one line that tells the story, and no password anywhere. On both shells."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import logging
import traceback
from typing import Any

import pytest

from resilient_redis import CircuitBreaker, PoolClosedError, PoolSaturatedError, PoolStats, PoolTimeoutError, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server


# stats()


async def test_the_numbers_of_now(bench: Any) -> None:
    pool = bench.pool(max_connections=3, min_idle=1, name="orders")
    held = await bench.fill(pool, 3)
    await bench.give(pool, held[2])
    stats = pool.stats()
    assert isinstance(stats, PoolStats)
    assert (stats.name, stats.state) == ("orders", "open")
    assert (stats.size, stats.available, stats.borrowed, stats.pending) == (3, 1, 2, 0)
    assert (stats.max, stats.min, stats.allowed) == (3, 1, 3)
    assert (stats.dialling, stats.closing, stats.validating, stats.generation) == (0, 0, 0, 0)
    assert stats.usage == pytest.approx(2 / 3)
    assert stats.oldest_lease >= 0
    await bench.give(pool, *held[:2])
    assert pool.stats().oldest_lease is None


async def test_the_numbers_until_now(bench: Any) -> None:
    pool = bench.pool(max_connections=1, max_waiting=1)
    held = await bench.get(pool)
    assert (pool.stats().borrows, pool.stats().dials) == (1, 1)
    before = pool.stats()
    waiter = await bench.wait_for(pool, 1)
    assert isinstance(await bench.error(pool.acquire), PoolSaturatedError)
    await asyncio.sleep(0.05)
    await bench.give(pool, held)
    await bench.give(pool, await waiter.result())
    stats = pool.stats()
    assert (stats.borrows, stats.waits - before.waits) == (2, 1)
    assert stats.longest_wait >= 0.05
    assert stats.wait_seconds >= stats.longest_wait
    assert stats.mean_wait == pytest.approx(stats.wait_seconds / stats.waits)
    assert (stats.dials, stats.dial_failures, stats.timeouts) == (1, 0, 0)
    assert 0 < stats.dial_seconds < 5
    assert stats.refusals == {"saturated": 1}
    held = await bench.get(pool)
    assert isinstance(await bench.error(pool.acquire, timeout=0.01), PoolTimeoutError)
    assert (pool.stats().timeouts, pool.stats().waits - before.waits) == (1, 2)
    await bench.give(pool, held)
    await bench.close(pool)
    assert isinstance(await bench.error(pool.acquire), PoolClosedError)
    assert pool.stats().refusals == {"saturated": 1, "closed": 1}
    assert pool.stats().borrows == 3  # those of connections that are gone count on


async def test_the_numbers_add_up_under_load(bench: Any, sampler: Any) -> None:
    pool = bench.pool(max_connections=4)
    client = bench.client(pool)
    seen: list[PoolStats] = []

    def look() -> int:
        seen.append(pool.stats())
        return 0

    with sampler(look):
        jobs = []
        for _ in range(6):
            jobs += [bench.start(client.incr, "n") for _ in range(25)]
            await asyncio.sleep(0.005)
            pool.drain()
        for job in jobs:
            await job.result()
    await bench.rest()
    stats = pool.stats()
    assert stats.borrows == 150
    assert (stats.borrowed, stats.pending, stats.dialling, stats.closing) == (0, 0, 0, 0)
    assert stats.size == stats.available == stats.dials - sum(stats.closes.values())
    assert stats.closes == {"drain": sum(stats.closes.values())}
    for one in seen:
        counts = (one.size, one.available, one.borrowed, one.pending, one.dialling, one.closing, one.validating)
        assert min(counts) >= 0
        assert one.size + one.dialling + one.closing <= 4
        assert one.size == one.available + one.borrowed + one.validating
    for earlier, later in itertools.pairwise(seen):
        assert earlier.borrows <= later.borrows
        assert earlier.dials <= later.dials
        assert earlier.waits <= later.waits


async def test_failed_dials_are_counted(bench: Any) -> None:
    pool = bench.pool(f"redis://127.0.0.1:{free_port()}")
    await bench.error(pool.acquire)
    stats = pool.stats()
    assert (stats.dials, stats.dial_failures, stats.dial_seconds, stats.size) == (0, 1, 0, 0)
    assert stats.closes == {}


async def test_dialling_and_waiting_are_seen(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url)
    proxy.delay(0.05)
    job = bench.start(pool.acquire)
    await bench.until(lambda: proxy.connections_opened == 1)
    stats = pool.stats()
    assert (stats.dialling, stats.pending, stats.size, stats.borrowed) == (1, 1, 0, 0)
    assert "1 dialling" in repr(pool)
    await bench.give(pool, await job.result())
    assert pool.stats().mean_dial >= 0.05


async def test_stats_are_a_frozen_value(bench: Any) -> None:
    pool = bench.pool()
    before = pool.stats()
    await bench.stock_up(pool, 1)
    assert (before.size, before.closes) == (0, {})
    assert pool.stats() != before
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.size = 3
    assert PoolStats(**json.loads(json.dumps(pool.stats().to_dict()))).size == 1


# health()


@pytest.mark.parametrize(
    ("lent", "status"), [(0, "healthy"), (7, "healthy"), (8, "warning"), (9, "warning"), (10, "critical")]
)
async def test_health_is_warning_over_70_percent_and_critical_over_90(bench: Any, lent: int, status: str) -> None:
    pool = bench.pool(max_connections=10)
    held = await bench.fill(pool, lent)
    health = pool.health()
    assert (health.status, health.usage) == (status, lent / 10)
    assert any(f"{lent} of 10 connections are in use" in reason for reason in health.reasons)
    assert bool(health.advice) == (status != "healthy")
    await bench.give(pool, *held)
    assert pool.health().status == "healthy"


async def test_health_tells_of_those_who_wait(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    assert any("nobody waits" in reason for reason in pool.health().reasons)
    waiter = await bench.wait_for(pool, 1)
    assert any("1 borrower waiting" in reason for reason in pool.health().reasons)
    assert any("max_connections" in advice for advice in pool.health().advice)
    await bench.give(pool, held)
    await bench.give(pool, await waiter.result())


async def test_health_tells_of_a_server_that_cannot_be_reached(bench: Any) -> None:
    pool = bench.pool(f"redis://127.0.0.1:{free_port()}")
    for _ in range(6):
        await bench.error(pool.acquire)
    health = pool.health()
    assert health.status != "healthy"
    assert "the last dial failed (ConnectionError)" in health.reasons[0]
    assert "the pool's size is not the cause" in health.advice[0]


async def test_a_clients_health_knows_its_circuits(bench: Any) -> None:
    pool = bench.pool()
    client = bench.client(pool, policies=[CircuitBreaker(name="orders")])
    assert client.health().status == "healthy"
    client.breakers["orders"].isolate()
    assert client.health().status == "critical"
    assert "orders" in client.health().reasons[0]
    assert pool.health().status == "healthy"  # it cannot know


# repr, errors


async def test_repr_tells_the_story_in_one_line(bench: Any) -> None:
    pool = bench.pool(max_connections=3, name="orders")
    assert repr(pool) == "<ResilientConnectionPool pool 'orders': 0/3 leased, 0 idle>"
    first, second = await bench.fill(pool, 2)
    await bench.give(pool, second)
    assert "1/3 leased, 1 idle" in repr(pool)
    pool.resize(1)
    await bench.rest()
    waiter = await bench.wait_for(pool, 1)
    assert "1/1 leased, 0 idle, 1 waiting, oldest lease" in repr(pool)
    await bench.give(pool, first)
    await bench.give(pool, await waiter.result())
    await bench.close(pool)
    assert repr(pool) == "<ResilientConnectionPool pool 'orders': closed, 0/1 leased, 0 idle>"


async def test_repr_tells_of_a_failed_dial(bench: Any) -> None:
    pool = bench.pool(f"redis://127.0.0.1:{free_port()}")
    for _ in range(6):
        await bench.error(pool.acquire)
    assert "last dial failed (ConnectionError)" in repr(pool)
    assert "\n" not in repr(pool)


async def test_repr_of_a_pool_half_made_does_not_raise(bench: Any) -> None:
    assert "not ready" in repr(bench.Pool.__new__(bench.Pool))


async def test_a_timeouts_message_has_the_numbers(bench: Any) -> None:
    pool = bench.pool(max_connections=2, name="orders")
    held = await bench.fill(pool, 2)
    waiter = await bench.wait_for(pool, 1)
    message = str(await bench.error(pool.acquire, timeout=0.05))
    for part in ("pool 'orders'", "2/2 leased, 0 idle", "1 waiting", "oldest lease", "waited 0.0", "max_connections"):
        assert part in message
    await bench.give(pool, held[0])
    await bench.give(pool, held[1], await waiter.result())


async def test_who_may_not_wait_is_told_so(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    message = str(await bench.error(pool.acquire, timeout=0))
    assert "1/1 leased, 0 idle" in message
    assert "left no time to wait" in message
    await bench.give(pool, held)


async def test_a_timeout_in_an_outage_blames_the_server_and_not_the_size(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, max_connections=5)
    held = await bench.get(pool)
    proxy.refuse()
    message = str(await bench.error(pool.acquire, timeout=1))
    assert "last dial failed (ConnectionError)" in message
    assert "the pool's size is not the cause" in message
    await bench.give(pool, held)


# Passwords


async def test_no_password_is_ever_shown(bench: Any, caplog: pytest.LogCaptureFixture, events: list[Any]) -> None:
    caplog.set_level(logging.DEBUG)
    right, wrong = "Right-Horse-1", "Wrong-Horse-2"
    shown: list[str] = []

    def show(*things: Any) -> None:
        for thing in things:
            shown.extend((repr(thing), str(thing)))
            if isinstance(thing, BaseException):
                shown.append("".join(traceback.format_exception(thing)))
                shown.append(repr(vars(thing)))

    with EmbeddedServer.start(password=right) as server:
        for password, query in ((right, ""), (wrong, ""), (wrong, f"?password={wrong}")):
            auth = f":{password}@" if not query else ""
            pool = bench.pool(
                f"redis://{auth}{server.host}:{server.port}/0{query}",
                max_connections=1,
                min_idle=1,
                leak_threshold=0.01,
                acquire_timeout=0.3,
                maintenance_interval="30d",
            )
            pool.events.add(events.append)
            client = bench.client(pool, policies=[CircuitBreaker(fail_max=1), Timeout(1)], listeners=[events.append])
            show(pool, client, pool.options, pool.name, client.describe())
            if password == right:
                held = await bench.get(pool)
                await asyncio.sleep(0.02)
                await bench.run(pool.maintain)
                show(await bench.error(pool.acquire, timeout=0.01), held)
                show(await bench.error(client.get, "k"))
                await bench.give(pool, held)
                show(await bench.error(pool.release, held))
            else:
                show(await bench.error(client.get, "k"), await bench.error(client.get, "k"))
                for _ in range(6):
                    show(await bench.error(pool.acquire))
                warm = await bench.run(pool.warm_up)
                assert not warm
                show(warm, *warm.errors)
            await bench.run(pool.maintain)
            show(pool, pool.stats(), pool.stats().to_dict(), pool.health(), client.health())
            await bench.close(pool)
            show(pool, pool.health(), await bench.error(pool.acquire))
    show(*events)
    assert events
    for text in (*shown, caplog.text):
        assert "Horse" not in text
