"""Giving back: only what is lent, and only what is clean. On both shells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from resilient_redis import DialFailedError, Fallback, PoolReturnError, ResilienceError, Retry
from resilient_redis.testing import FaultProxy

pytestmark = pytest.mark.server


async def _works(bench: Any, pool: Any) -> None:
    """The pool is whole: everybody is served, and nobody by another's reply."""
    connections = await bench.fill(pool, pool.stats().max)
    assert len(set(connections)) == len(connections)
    for number, connection in enumerate(connections):
        assert await bench.ask(connection, "ECHO", number) == str(number).encode()
    await bench.give(pool, *connections)
    assert pool.stats().available == len(connections)


# Only what is clean, also where the dirt has not arrived yet


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_reply_that_is_still_on_its_way_reaches_nobody(bench: Any, server: Any, protocol: int) -> None:
    with FaultProxy(server.host, server.port) as proxy:
        pool = bench.pool(proxy.url, protocol=protocol, max_connections=1)
        client = bench.stock(pool)
        await bench.run(client.mset, {"mine": "1", "yours": "2"})
        proxy.delay(0.05)
        connection = await bench.get(pool)
        await bench.run(connection.send_command, "GET", "mine")
        await bench.give(pool, connection)
        assert await bench.run(client.get, "yours") == b"2"
        assert pool.stats().closes == {"unread": 1}


async def test_a_wrong_password_is_no_outage_for_those_who_wait_either(bench: Any, server: Any) -> None:
    pool = bench.pool(server.url, password="wrong", username="nobody", max_connections=4)
    kinds = set()
    for _ in range(6):
        error = await bench.error(pool.get_connection)
        kinds.add(getattr(error, "kind", type(error).__name__))
        if isinstance(error, DialFailedError):
            assert (str(error.kind), error.retry_after) == ("denied", None)
    client = bench.client(pool, policies=[Fallback("masked"), Retry(attempts=3)])
    assert isinstance(await bench.error(client.get, "a"), redis.ConnectionError)
    assert "wrong" not in repr(pool)
    assert len(kinds) == 2, kinds


# Only what is lent


async def test_giving_back_twice_is_an_error_that_harms_nobody(bench: Any) -> None:
    pool = bench.pool(max_connections=2)
    connection = await bench.get(pool)
    await bench.give(pool, connection)
    error = await bench.error(pool.release, connection)
    assert isinstance(error, PoolReturnError)
    assert isinstance(error, ResilienceError)
    assert isinstance(error, KeyError)
    assert "not lent" in str(error)
    assert (pool.stats().available, pool.stats().size) == (1, 1)
    await _works(bench, pool)


async def test_giving_back_what_another_has_meanwhile_is_his_to_give(bench: Any) -> None:
    """One connection goes round; the second return of the first borrower would take it from the second."""
    pool = bench.pool(max_connections=1)
    first = await bench.get(pool)
    await bench.give(pool, first)
    second = await bench.get(pool)
    assert second is first  # nobody can tell them apart by the object: that return counts as the second's
    await bench.give(pool, second)
    assert isinstance(await bench.error(pool.release, first), PoolReturnError)
    await _works(bench, pool)


async def test_giving_back_to_another_pool_is_an_error_that_harms_nobody(bench: Any) -> None:
    one, other = bench.pool(max_connections=1), bench.pool(max_connections=1)
    connection = await bench.get(one)
    assert isinstance(await bench.error(other.release, connection), PoolReturnError)
    assert await bench.ask(connection, "PING") == b"PONG"
    assert (one.stats().borrowed, other.stats().size) == (1, 0)
    await bench.give(one, connection)
    await _works(bench, one)
    await _works(bench, other)


async def test_giving_back_something_else_is_an_error(bench: Any) -> None:
    pool = bench.pool()
    stray = bench.names.Connection(host=bench.server.host, port=bench.server.port)
    for thing in (stray, object(), None, "connection"):
        assert isinstance(await bench.error(pool.release, thing), PoolReturnError)
    assert pool.stats().size == 0


async def test_a_connection_from_before_a_reset_is_closed_when_it_comes_back(bench: Any) -> None:
    pool = bench.pool()
    held = await bench.get(pool)
    pool.reset()
    await bench.give(pool, held)
    await bench.until(lambda: not bench.sockets())
    assert pool.stats().size == 0
    await bench.stock_up(pool, 1)


# Only what is clean


DIRTY: list[tuple[str, tuple[Any, ...]]] = [
    ("multi", ("MULTI",)),
    ("watch", ("WATCH", "k")),
    ("subscribed", ("SUBSCRIBE", "news")),
    ("subscribed", ("PSUBSCRIBE", "n*")),
    ("subscribed", ("SSUBSCRIBE", "news")),
    ("monitor", ("MONITOR",)),
    ("db", ("SELECT", 3)),
    ("tracking", ("CLIENT", "TRACKING", "ON")),
    ("reply_off", ("CLIENT", "REPLY", "OFF")),
]


@pytest.mark.parametrize(("cause", "words"), DIRTY, ids=[" ".join(map(str, words)) for _, words in DIRTY])
async def test_a_connection_in_a_state_is_closed_and_the_cause_counted(
    bench: Any, cause: str, words: tuple[Any, ...]
) -> None:
    pool = bench.pool(max_connections=1, protocol=3)
    connection = await bench.get(pool)
    if cause in {"subscribed", "reply_off"}:  # no reply, or one that is a push
        await bench.run(connection.send_command, *words)
    else:
        await bench.ask(connection, *words)
    await bench.give(pool, connection)
    assert pool.stats().closes == {cause: 1}
    await bench.until(lambda: not bench.sockets())
    await _works(bench, pool)


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "on its way"])
async def test_a_reply_that_nobody_read_reaches_nobody(bench: Any, arrived: bool) -> None:
    pool = bench.pool(max_connections=1)
    await bench.run(bench.client(pool).set, "secret", "of the first")
    connection = await bench.get(pool)
    await bench.run(connection.send_command, "GET", "secret")
    if arrived:
        await asyncio.sleep(0.03)
    await bench.give(pool, connection)
    await asyncio.sleep(0.03)
    await _works(bench, pool)
    assert sum(pool.stats().closes.values()) == 1


async def test_half_a_reply_reaches_nobody(bench: Any, proxy: Any) -> None:
    pool = bench.pool(proxy.url, max_connections=1)
    client = bench.client(pool)
    proxy.half_reply()
    assert isinstance(await bench.error(client.echo, "first"), redis.ConnectionError)
    assert await bench.run(client.echo, "second") == b"second"
    await _works(bench, pool)


async def test_a_closed_connection_is_counted_lost_and_replaced(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    connection = await bench.get(pool)
    await bench.run(connection.disconnect)
    await bench.give(pool, connection)
    assert pool.stats().closes == {"lost": 1}
    await _works(bench, pool)


async def test_a_waiter_gets_a_new_connection_in_place_of_a_dirty_one(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    held = await bench.get(pool)
    waiter = await bench.wait_for(pool, 1)
    await bench.ask(held, "MULTI")
    await bench.give(pool, held)
    fresh = await waiter.result()
    assert fresh is not held
    assert await bench.ask(fresh, "ECHO", "mine") == b"mine"
    await bench.give(pool, fresh)
    assert pool.stats().closes == {"multi": 1}


async def test_states_that_were_ended_are_clean(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    connection = await bench.get(pool)
    for words in (("WATCH", "k"), ("UNWATCH",), ("MULTI",), ("DISCARD",), ("SELECT", 3), ("SELECT", 0)):
        await bench.ask(connection, *words)
    await bench.give(pool, connection)
    assert pool.stats().closes == {}
    assert await bench.get(pool) is connection
    await bench.give(pool, connection)


async def test_an_exception_in_a_lease_gives_the_connection_back(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    client = bench.client(pool)

    def fail(_: Any) -> None:
        raise ZeroDivisionError

    for lease in (pool.lease, client.lease):
        assert isinstance(await bench.error(bench.using(lease, fail)), ZeroDivisionError)
        assert (pool.stats().borrowed, pool.stats().available) == (0, 1)
    await _works(bench, pool)


async def test_a_lease_of_a_client_that_is_left_in_a_transaction_is_closed(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    client = bench.client(pool)
    await bench.run(bench.using(client.lease, lambda one: one.execute_command("WATCH", "k")))
    assert pool.stats().closes == {"watch": 1}
    await _works(bench, pool)


async def test_giving_back_in_asyncio_does_not_wait_for_anything(bench: Any) -> None:
    if bench.is_sync:
        pytest.skip("of asyncio")
    pool = bench.pool(max_connections=2)
    clean, dirty = await bench.fill(pool, 2)
    await bench.ask(dirty, "MULTI")
    for connection in (clean, dirty):
        with pytest.raises(StopIteration):
            pool.release(connection).send(None)
    await bench.rest()
    await _works(bench, pool)
