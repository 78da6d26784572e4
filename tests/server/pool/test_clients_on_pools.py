"""The pool alone: under redis-py's own clients, with everything that borrows. And under ours. On both shells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
import redis.asyncio

from resilient_redis import PoolTimeoutError
from resilient_redis.testing import FaultProxy

pytestmark = pytest.mark.server


@pytest.fixture
async def pool(bench: Any) -> AsyncIterator[Any]:
    """Two connections; after the test all are back."""
    made = bench.pool(max_connections=2, acquire_timeout=2)
    yield made
    stats = made.stats()
    assert (stats.borrowed, stats.pending, stats.validating) == (0, 0, 0)
    assert stats.size <= 2


@pytest.fixture(params=["redis-py's client", "our client"])
def client(request: pytest.FixtureRequest, bench: Any, pool: Any) -> Any:
    return bench.stock(pool) if request.param == "redis-py's client" else bench.client(pool)


async def test_it_is_a_true_pool_of_redis_py(bench: Any, pool: Any) -> None:
    assert isinstance(pool, bench.names.ConnectionPool)
    assert bench.stock(pool).connection_pool is pool


async def test_commands(bench: Any, pool: Any, client: Any) -> None:
    assert await bench.run(client.set, "k", "v")
    assert await bench.run(client.get, "k") == b"v"
    assert isinstance(await bench.error(client.incr, "k"), redis.ResponseError)
    assert await bench.run(client.delete, "k") == 1
    assert pool.stats().dials == 1


async def test_more_callers_than_connections(bench: Any, pool: Any, client: Any) -> None:
    replies = await bench.face.together([lambda: client.incr("n") for _ in range(60)])
    assert sorted(replies) == list(range(1, 61))
    assert pool.stats().dials <= 2


@pytest.mark.parametrize("transaction", [True, False], ids=["MULTI", "plain"])
async def test_pipelines(bench: Any, pool: Any, client: Any, transaction: bool) -> None:
    pipe = client.pipeline(transaction=transaction)
    assert await bench.run(pipe.incr("a").incr("a").get("a").execute) == [1, 2, b"2"]
    replies = await bench.run(client.pipeline(transaction=transaction).set("s", "x").incr("s").execute, False)
    assert replies[0] is True
    assert isinstance(replies[1], redis.ResponseError)
    assert isinstance(await bench.error(client.pipeline(transaction=transaction).incr("s").execute), redis.RedisError)
    assert pool.stats().closes == {}


async def test_transactions_with_watch(bench: Any, pool: Any, client: Any) -> None:
    await bench.run(client.set, "n", 5)

    def double(pipe: Any) -> Any:
        number = yield pipe.get("n")
        pipe.multi()
        pipe.set("n", int(number) * 2)

    await bench.face.transaction(client, double, "n")
    assert await bench.run(client.get, "n") == b"10"
    assert pool.stats().closes == {}


async def test_a_watch_that_is_left_alone_reaches_nobody(bench: Any, pool: Any, client: Any) -> None:
    pipe = client.pipeline()
    await bench.run(pipe.watch, "n")
    assert pool.stats().borrowed == 1
    await bench.run(pipe.reset)
    assert pool.stats().borrowed == 0
    await bench.run(client.set, "n", 1)
    assert await bench.run(client.pipeline().incr("n").execute) == [2]


async def test_pubsub(bench: Any, pool: Any, client: Any) -> None:
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    await bench.run(pubsub.subscribe, "news")
    await bench.run(client.publish, "news", "hello")
    message = None
    for _ in range(50):
        message = message or await bench.run(pubsub.get_message, timeout=0.1)
    assert message["data"] == b"hello"
    assert pool.stats().borrowed == 1
    await bench.run(pubsub.close if bench.is_sync else pubsub.aclose)
    assert pool.stats().borrowed == 0
    assert await bench.run(client.echo, "x") == b"x"


async def test_locks(bench: Any, pool: Any, client: Any) -> None:
    # (Each call may run in another thread of the test's.)
    lock, other = (client.lock("door", timeout=5, thread_local=False) for _ in range(2))
    assert await bench.run(lock.acquire)
    assert not await bench.run(other.acquire, blocking=False)
    assert await bench.run(lock.extend, 5)
    await bench.run(lock.release)
    assert await bench.run(other.acquire, blocking=False)
    await bench.run(other.release)


async def test_many_wait_for_a_lock(bench: Any, pool: Any, client: Any) -> None:
    def work() -> None:
        with client.lock("door", timeout=5, sleep=0.005):
            client.incr("n")

    async def awork() -> None:
        async with client.lock("door", timeout=5, sleep=0.005):
            await client.incr("n")

    ends = await bench.face.together([work if bench.is_sync else awork] * 8)
    assert ends == [None] * 8
    assert await bench.run(client.get, "n") == b"8"


async def test_scan_iter(bench: Any, pool: Any, client: Any) -> None:
    await bench.run(client.mset, {f"k{number}": number for number in range(50)})
    assert len(set(await bench.face.items(client.scan_iter("k*", count=7)))) == 50


async def test_monitor(bench: Any, pool: Any) -> None:
    client = bench.stock(pool)
    if bench.is_sync:

        def watch() -> str:
            with client.monitor() as monitor:
                client.set("seen", "v")
                return next(said["command"] for said in monitor.listen() if "seen" in said["command"])

    else:

        async def watch() -> str:
            async with client.monitor() as monitor:
                await client.set("seen", "v")
                async for said in monitor.listen():
                    if "seen" in said["command"]:
                        return said["command"]
            return ""

    assert await bench.run(watch) == "SET seen v"
    assert pool.stats().borrowed == 0
    assert await bench.run(client.get, "seen") == b"v"
    assert sum(pool.stats().closes.values()) == 1


async def test_scripts(bench: Any, pool: Any, client: Any) -> None:
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await bench.run(script, keys=["n"], args=[4]) == 4
    assert await bench.run(client.eval, "return 1", 0) == 1


async def test_blocking_commands_hold_their_connection(bench: Any, pool: Any, client: Any) -> None:
    job = bench.start(client.blpop, "queue", timeout=5)
    await bench.until(lambda: pool.stats().borrowed == 1)
    await bench.run(client.rpush, "queue", "x")
    assert await job.result() == (b"queue", b"x") or job.value == [b"queue", b"x"]


async def test_a_client_of_one_connection(bench: Any, pool: Any, client: Any) -> None:
    one = client.client()
    ids = {await bench.run(one.client_id) for _ in range(3)}
    assert len(ids) == 1
    assert pool.stats().borrowed == 1
    await bench.close_client(one)
    assert pool.stats().borrowed == 0


async def test_a_pool_of_redis_pys_clients_that_is_exhausted_says_so_in_their_words(bench: Any) -> None:
    pool = bench.pool(max_connections=1, acquire_timeout=0.05)
    held = await bench.get(pool, timeout=5)
    error = await bench.error(bench.stock(pool).get, "k")
    assert isinstance(error, PoolTimeoutError)
    assert isinstance(error, redis.exceptions.MaxConnectionsError)
    await bench.give(pool, held)


async def test_replies_that_are_cut_off_reach_nobody(bench: Any, proxy: FaultProxy) -> None:
    pool = bench.pool(proxy.url, max_connections=2)
    client = bench.stock(pool)
    await bench.run(client.set, "k", "mine")
    for _ in range(5):
        proxy.cut_after_request()
        assert isinstance(await bench.error(client.get, "k"), redis.ConnectionError)
        assert await bench.run(client.echo, "other") == b"other"
    assert pool.stats().borrowed == 0


async def test_two_clients_share_a_pool(bench: Any, pool: Any) -> None:
    stock, ours = bench.stock(pool), bench.client(pool)
    await bench.run(stock.set, "k", "v")
    assert await bench.run(ours.get, "k") == b"v"
    assert pool.stats().dials == 1


# Leases of our clients


async def test_a_lease_is_one_connection_and_gives_it_back(bench: Any, pool: Any) -> None:
    client = bench.client(pool)
    ids: list[int] = []

    def use(one: Any) -> None:
        ids.extend(one.client_id() for _ in range(3))
        assert pool.stats().borrowed == 1

    async def ause(one: Any) -> None:
        for _ in range(3):
            ids.append(await one.client_id())
        assert pool.stats().borrowed == 1

    await bench.run(bench.using(client.lease, use if bench.is_sync else ause))
    assert (len(ids), len(set(ids))) == (3, 1)
    assert (pool.stats().borrowed, pool.stats().available) == (0, 1)


async def test_a_lease_carries_a_transaction(bench: Any, pool: Any) -> None:
    client = bench.client(pool)
    await bench.run(client.set, "n", 1)

    def use(one: Any) -> Any:
        one.execute_command("WATCH", "n")
        client.set("n", 2)  # somebody else
        one.execute_command("MULTI")
        one.execute_command("INCR", "n")
        return one.execute_command("EXEC")

    async def ause(one: Any) -> Any:
        await one.execute_command("WATCH", "n")
        await client.set("n", 2)
        await one.execute_command("MULTI")
        await one.execute_command("INCR", "n")
        return await one.execute_command("EXEC")

    assert await bench.run(bench.using(client.lease, use if bench.is_sync else ause)) is None
    assert await bench.run(client.get, "n") == b"2"


async def test_a_lease_waits_no_longer_than_its_timeout(bench: Any) -> None:
    pool = bench.pool(max_connections=1)
    client = bench.client(pool)
    held = await bench.get(pool)
    error = await bench.error(bench.using(lambda: client.lease(timeout=0.05)))
    assert isinstance(error, PoolTimeoutError)
    await bench.give(pool, held)
    await bench.run(bench.using(client.lease))


async def test_a_lease_over_a_pool_of_redis_pys_works_too(bench: Any) -> None:
    stock = bench.face.keep(bench.names.ConnectionPool.from_url(bench.server.url))
    client = bench.client(stock)
    assert await bench.run(bench.using(client.lease, lambda one: one.ping()))


async def test_clients_have_this_pool_by_default(bench: Any) -> None:
    client = bench.face.client(bench.server.url, max_connections=3, min_idle=1, policies=[])
    assert isinstance(client.connection_pool, bench.Pool)
    assert (client.connection_pool.stats().max, client.connection_pool.stats().min) == (3, 1)
    by_name = bench.face.client(host=bench.server.host, port=bench.server.port, max_connections=4, policies=[])
    assert isinstance(by_name.connection_pool, bench.Pool)
    assert by_name.connection_pool.stats().max == 4
    assert await bench.run(by_name.ping)


async def test_options_in_the_url(bench: Any) -> None:
    pool = bench.pool(f"{bench.server.url}?max_connections=3&acquire_timeout=250ms&fifo=yes")
    assert (pool.options.max_connections, pool.options.acquire_timeout, pool.options.fifo) == (3, 0.25, True)
    await bench.stock_up(pool, 1)


@pytest.mark.parametrize("method", ["acquire", "get_connection", "warm_up", "disconnect", "aclose"])
async def test_another_loop_is_told(bench: Any, method: str) -> None:
    if bench.is_sync:
        pytest.skip("threads have no loops")
    pool = bench.pool()
    await bench.stock_up(pool, 1)

    def elsewhere() -> BaseException | None:
        async def main() -> BaseException | None:
            try:
                await getattr(pool, method)()
            except RuntimeError as error:
                return error
            return None

        return asyncio.run(main())

    error = await asyncio.to_thread(elsewhere)
    assert "belongs to another event loop" in str(error)
    await bench.stock_up(pool, 1)
    assert pool.stats().dials == 1


async def test_who_clears_up_after_a_loop_that_stands_still_is_let_in(bench: Any) -> None:
    if bench.is_sync:
        pytest.skip("threads have no loops")
    pool = bench.pool()
    loop = asyncio.new_event_loop()

    async def use() -> None:
        await bench.stock_up(pool, 1)

    try:
        await asyncio.to_thread(loop.run_until_complete, use())
        await pool.aclose()
        await asyncio.to_thread(loop.run_until_complete, asyncio.sleep(0))  # its transports close then
    finally:
        loop.close()
    assert pool.stats().state == "closed"
    await bench.until(lambda: not bench.sockets())
