"""Forks from inside a running loop, and from beside it: the child gets a loop and connections of its own, and the
parent's loop, its epoll set and its connections stay as they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from fork_kit import Child, client_ids, shared_with_parent

from resilient_redis import CircuitBreaker, PoolClosedError, Retry, Timeout
from resilient_redis.asyncio import ResilientConnectionPool, ResilientRedis
from resilient_redis.pool.fork import InheritedConnectionError
from resilient_redis.testing import EmbeddedServer

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # 3.12 warns of forking with threads
]


class Load:
    """Tasks that borrow, give back, wait, dial and lose connections, and check each reply."""

    def __init__(self, url: str, most: int = 5, **options: Any) -> None:
        policies = [Retry(attempts=3), CircuitBreaker(fail_max=50), Timeout(2)]
        self.client = ResilientRedis.from_url(
            url, policies=policies, max_connections=most, acquire_timeout=10, **options
        )
        self.pool: Any = self.client.connection_pool
        self.wrong: list[Any] = []
        self.rounds = 0
        self._ending = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        jobs = [self._commands, self._commands, self._commands, self._pipelines, self._dials, self._leases]
        tasks = [asyncio.create_task(self._run(job, seed)) for seed, job in enumerate(jobs)]
        try:
            yield self
        finally:
            self._ending = True
            _, pending = await asyncio.wait(tasks, timeout=20)
            assert not pending
            await self.pool.aclose(timeout=5)

    async def _run(self, job: Any, seed: int) -> None:
        number = 0
        while not self._ending:
            number += 1
            try:
                await job(f"k{seed}", number)
            except Exception as error:
                self.wrong.append(error)
                return
            self.rounds += 1

    def _check(self, reply: Any, wanted: Any) -> None:
        if reply != wanted:
            self.wrong.append((reply, wanted))

    async def _commands(self, key: str, number: int) -> None:
        await self.client.set(key, f"{key}:{number}")
        self._check(await self.client.get(key), f"{key}:{number}".encode())

    async def _pipelines(self, key: str, number: int) -> None:
        async with self.client.pipeline() as pipe:
            replies = await pipe.set(key, number).get(key).echo(f"{key}:{number}").execute()
        self._check(replies, [True, str(number).encode(), f"{key}:{number}".encode()])

    async def _dials(self, key: str, number: int) -> None:
        async with self.pool.lease() as connection:
            await connection.disconnect()
        self._check(await self.client.echo(f"{key}:{number}"), f"{key}:{number}".encode())
        await asyncio.sleep(0.002)

    async def _leases(self, key: str, number: int) -> None:
        async with self.client.lease() as one:
            await one.set(key, number)
            self._check(await one.get(key), str(number).encode())
            await asyncio.sleep(0.001)


async def use(client: ResilientRedis) -> int:
    """In a child: commands, a pipeline and a lease over the inherited client; the id of its connection."""
    mine = f"child:{os.getpid()}"
    await client.set(mine, mine)
    assert await asyncio.gather(*(client.get(mine) for _ in range(3))) == [mine.encode()] * 3
    async with client.pipeline() as pipe:
        assert await pipe.echo("a").incr(f"{mine}:n").execute() == [b"a", 1]
    async with client.lease() as one:
        number = await one.client_id()
    stats = client.connection_pool.stats()
    assert (stats.borrowed, stats.pending) == (0, 0)
    return int(number)


async def test_many_forks_inside_a_loop_under_load(server: EmbeddedServer) -> None:
    load = Load(server.url)
    ids: list[int] = []
    async with load.running():
        await asyncio.gather(*(_forks(load, server, ids, 20) for _ in range(3)))
        before = load.rounds
    assert load.wrong == []
    assert before > 100
    assert len(ids) == len(set(ids)) == 60


async def _forks(load: Load, server: EmbeddedServer, ids: list[int], count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(random.random() * 0.005)
        dialling = load.pool.stats().dialling

        def child(dialling: int = dialling) -> int:
            assert shared_with_parent(server.port) <= dialling  # a socket that is being connected shows itself nowhere
            return asyncio.run(use(load.client))

        ids.append(await Child(child).await_())


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_hundreds_of_forks_inside_a_loop(server: EmbeddedServer) -> None:
    load = Load(server.url, min_idle=2, maintenance_interval=0.02, validate_after=0)
    ids: list[int] = []
    async with load.running():
        await asyncio.gather(*(_forks(load, server, ids, 200) for _ in range(3)))
    assert load.wrong == []
    assert len(ids) == len(set(ids)) == 600


async def test_forks_in_another_thread_while_the_loop_runs(server: EmbeddedServer) -> None:
    load = Load(server.url)
    found: list[Any] = []

    def forks() -> None:
        for _ in range(30):
            try:
                found.append(Child(lambda: asyncio.run(use(load.client))).wait())
            except BaseException as error:
                found.append(error)

    async with load.running():
        await asyncio.to_thread(forks)
    assert load.wrong == []
    assert [each for each in found if not isinstance(each, int)] == []
    assert len(set(found)) == 30


async def test_the_parents_connections_stay(own_server: EmbeddedServer) -> None:
    pool = ResilientConnectionPool.from_url(own_server.url, max_connections=4)
    client = ResilientRedis(connection_pool=pool, policies=[])
    lent = [await pool.get_connection() for _ in range(4)]
    for connection in lent[1:]:
        await pool.release(connection)
    parents = client_ids(own_server)

    async def in_the_child() -> list[int]:
        assert pool.stats().size == 0
        number = await use(client)
        await pool.release(lent[0])  # nobody's, here
        gc.collect()
        assert parents < client_ids(own_server)
        return [number, pool.stats().size]

    for _ in range(3):
        number, size = await Child(lambda: asyncio.run(in_the_child())).await_()
        assert number not in parents
        assert size <= 3
    assert client_ids(own_server) == parents
    assert (pool.stats().size, pool.stats().borrowed, pool.stats().closes) == (4, 1, {})
    lent = [lent[0], *[await pool.get_connection() for _ in range(3)]]
    for number, connection in enumerate(lent):
        await connection.send_command("ECHO", str(number))
        assert await connection.read_response() == str(number).encode()
        await pool.release(connection)
    await pool.aclose()
    assert client_ids(own_server) == set()


async def test_open_leases_are_of_no_use_in_the_child_and_go_on_in_the_parent(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[Retry(), CircuitBreaker(fail_max=1)])
    single = ResilientRedis(connection_pool=client.connection_pool, single_connection_client=True)
    parents = await single.client_id()
    news = client.pubsub()
    await news.subscribe("news")
    assert (await news.get_message(timeout=2))["type"] == "subscribe"
    await client.set("k", 1)
    pipe = client.pipeline()
    await pipe.watch("k")

    async def in_the_child() -> list[str]:
        told = []
        steps = (
            lambda: news.get_message(timeout=0.2),
            lambda: news.subscribe("other"),
            lambda: single.get("k"),
            lambda: single.get("k"),
        )
        for step in steps:
            with pytest.raises(InheritedConnectionError) as caught:
                await asyncio.wait_for(step(), 2)
            told.append(caught.value.delivery)
        pipe.multi()
        pipe.set("k", "child")
        with pytest.raises(redis.WatchError):
            await pipe.execute()
        await pipe.reset()
        await news.aclose()
        await single.aclose()
        assert await client.get("k") == b"1"
        assert await client.pubsub_numsub("news") == [(b"news", 1)]
        await client.publish("news", "from the child")
        return told

    assert await Child(lambda: asyncio.run(in_the_child())).await_() == ["not_sent"] * 4
    assert (await news.get_message(timeout=2))["data"] == b"from the child"
    assert await single.client_id() == parents
    pipe.multi()
    pipe.set("k", "parent")
    assert await pipe.execute() == [True]
    await news.aclose()
    await single.aclose()
    await client.connection_pool.aclose()


async def test_a_lock_that_a_task_holds_does_not_hold_up_the_child(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, single_connection_client=True, policies=[])
    task = asyncio.create_task(client.blpop("nothing", 1))
    await asyncio.sleep(0.2)

    async def in_the_child() -> str:
        with pytest.raises(InheritedConnectionError):
            await client.get("k")
        return "answered"

    assert await Child(lambda: asyncio.run(in_the_child())).await_(5) == "answered"
    assert await task is None
    await client.aclose()


async def test_children_of_children(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[], max_connections=2)
    first = await client.client_id()

    async def generation(left: int) -> list[int]:
        assert shared_with_parent(server.port) == 0
        mine = await client.client_id()
        below = await Child(lambda: asyncio.run(generation(left - 1))).await_() if left else []
        assert await client.client_id() == mine
        return [mine, *below]

    ids = [first, *await Child(lambda: asyncio.run(generation(3))).await_(), await client.client_id()]
    assert ids.pop() == first
    assert len(set(ids)) == 5
    await client.connection_pool.aclose()


async def test_over_tls(tls_server: EmbeddedServer) -> None:
    load = Load(tls_server.url, most=4)
    ids: list[int] = []
    async with load.running():
        for _ in range(10):
            await asyncio.sleep(random.random() * 0.02)
            ids.append(await Child(lambda: asyncio.run(use(load.client))).await_())
    assert load.wrong == []
    assert len(set(ids)) == 10


async def test_what_the_parent_closes_is_closed_though_a_child_lives_on(own_server: EmbeddedServer) -> None:
    """Also what was being dialled at the fork: the child has a copy of that socket and cannot know of it."""
    pool = ResilientConnectionPool.from_url(own_server.url, max_connections=4)
    lent = [await pool.get_connection() for _ in range(2)]
    dials = [asyncio.create_task(pool.get_connection()) for _ in range(2)]
    for _ in range(3):
        await asyncio.sleep(0)
    ready, go = os.pipe()
    child = Child(lambda: len(os.read(ready, 1)))
    lent += await asyncio.gather(*dials)
    assert len(client_ids(own_server)) == 4
    for connection in lent:
        await pool.release(connection)
    await pool.aclose()
    for _ in range(100):
        if not client_ids(own_server):
            break
        await asyncio.sleep(0.02)
    assert client_ids(own_server) == set()
    os.write(go, b"!")
    await child.await_()
    os.close(ready)
    os.close(go)


async def test_a_closed_pool_is_closed_in_the_child_and_in_another_loop(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[])
    await client.ping()
    await client.connection_pool.aclose()

    async def in_the_child() -> Any:
        with pytest.raises(PoolClosedError):
            await client.ping()
        return client.connection_pool.stats().state

    assert await Child(lambda: asyncio.run(in_the_child())).await_() == "closed"
    assert await asyncio.to_thread(asyncio.run, _state_in_another_loop(server)) == "closed"


async def _state_in_another_loop(server: EmbeddedServer) -> str:
    pools: list[Any] = []

    async def first() -> None:
        pools.append(ResilientConnectionPool.from_url(server.url))
        await pools[0].release(await pools[0].get_connection())
        await pools[0].aclose()

    async def second() -> str:
        with pytest.raises(PoolClosedError):
            await pools[0].get_connection()
        return str(pools[0].stats().state)

    def both() -> str:
        asyncio.run(first())
        return asyncio.run(second())

    return await asyncio.to_thread(both)


def test_a_fork_before_the_first_loop(server: EmbeddedServer) -> None:
    """What a preforking server does: the client is made at import, workers use it."""
    client = ResilientRedis.from_url(server.url, policies=[])
    children = [Child(lambda: asyncio.run(use(client))) for _ in range(3)]
    ids = [child.wait() for child in children]
    assert asyncio.run(_use_and_close(client)) not in ids
    assert len(set(ids)) == 3


async def _use_and_close(client: ResilientRedis) -> int:
    async with client:
        return await use(client)


def test_a_fork_after_a_loop_has_ended(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[])

    async def borrow() -> None:
        await client.ping()
        await client.aclose()

    asyncio.run(borrow())
    assert Child(lambda: asyncio.run(_use_and_close(client))).wait() > 0
    asyncio.run(borrow())


ORDERLY = """
    import asyncio, os, sys, threading
    from resilient_redis.asyncio import ResilientRedis

    async def in_the_child(client):
        await client.set("k", "child")

    async def begin():
        global client, news
        client = ResilientRedis.from_url(sys.argv[1], policies=[], max_connections=6)
        await asyncio.gather(*(client.ping() for _ in range(4)))
        news = client.pubsub()
        await news.subscribe("news")
        await news.get_message(timeout=2)

    async def dial():
        client.connection_pool.drain()
        await asyncio.gather(*(client.ping() for _ in range(4)))

    async def end():
        await client.publish("news", "hello")
        message = None
        while message is None or message["type"] != "message":
            message = await news.get_message(timeout=2)
        await news.aclose()
        await client.connection_pool.aclose()
        return message["data"]

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    do = lambda work: asyncio.run_coroutine_threadsafe(work, loop)
    do(begin()).result(5)
    for turn in range(8):
        dialled = do(dial())
        pid = os.fork()
        if pid == 0:
            asyncio.run(in_the_child(client))
            sys.exit(0)  # finalisers and all
        assert os.waitpid(pid, 0)[1] == 0
        dialled.result(5)
    print("the parent's loop is well:", do(end()).result(5))
    loop.call_soon_threadsafe(loop.stop)
"""


def test_a_child_that_ends_with_all_its_finalisers_leaves_the_parents_epoll_set_alone(server: EmbeddedServer) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(ORDERLY), server.url],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.stdout.strip().endswith("the parent's loop is well: b'hello'"), done.stderr
    assert done.stderr == ""


def test_threads_with_loops_of_their_own_and_a_fork(server: EmbeddedServer) -> None:
    ending = threading.Event()
    wrong: list[Any] = []

    async def work() -> None:
        async with ResilientRedis.from_url(server.url, policies=[Retry()]) as client:
            number = 0
            while not ending.is_set():
                number += 1
                reply = await client.echo(str(number))
                if reply != str(number).encode():
                    wrong.append(reply)
            await client.connection_pool.aclose()

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    client = ResilientRedis.from_url(server.url, policies=[])
    ids = [Child(lambda: asyncio.run(use(client))).wait() for _ in range(10)]
    ending.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(set(ids)) == 10
