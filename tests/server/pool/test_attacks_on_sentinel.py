"""Shared connections behind Sentinel: the master moves while hundreds of calls are under way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio.sentinel
import redis.sentinel
from redis.backoff import NoBackoff
from sentinel_cluster import SERVICE, Cluster, until

from resilient_redis import Retry, Timeout
from resilient_redis.pool import aio_sentinel, sentinel
from resilient_redis.testing import ServerNotFoundError, find_server

pytestmark = [pytest.mark.server, pytest.mark.timeout(90)]

CALLERS = {"sync": 24, "asyncio": 200}
PATIENCE = 1.0
STACK: list[Any] = [Timeout(PATIENCE), Retry(attempts=5, wait_initial=0.02, wait_max=0.2), Timeout(0.4)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Of one test alone."""
    try:
        find_server(prefer="redis-server")
    except ServerNotFoundError:
        pytest.skip("needs a redis-server, which can be a sentinel")
    with Cluster() as made:
        yield made


class Crowd:
    """Callers that count, each on a key of its own, and read words that nobody else has.

    Attributes:
        seen: what became of the calls.
        wrong: what cannot be.
        longest: seconds of the slowest call.
    """

    def __init__(self, face: Any, client: Any) -> None:
        self._face, self._client = face, client
        self._over = False
        self.seen: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self.longest = 0.0
        self.books: list[list[int]] = []  # of each caller: acknowledged, unknown

    async def run(self) -> None:
        """Until `stop`."""
        count = CALLERS[self._face.name]
        self.books = [[0, 0] for _ in range(count)]
        if self._face.name == "asyncio":
            await asyncio.gather(*(self._call(number) for number in range(count)))
            return
        threads = [threading.Thread(target=self._drive, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)

    def stop(self) -> None:
        self._over = True

    def _drive(self, number: int) -> None:
        """Over a sync client nothing suspends, so a thread can drive it."""
        with contextlib.suppress(StopIteration):
            self._call(number).send(None)

    async def _call(self, number: int) -> None:
        while not self._over:
            await self._timed(self._count, number)
            await self._timed(self._echo, number)
            if self._face.name == "sync":
                time.sleep(0.002)
            else:
                await asyncio.sleep(0.002)

    async def _timed(self, work: Any, number: int) -> None:
        began = time.monotonic()
        try:
            await work(number)
            self.seen["answered"] += 1
        except redis.RedisError as error:
            self.seen[f"{type(error).__name__} {error.delivery}"] += 1  # type: ignore[attr-defined]
        self.longest = max(self.longest, time.monotonic() - began)

    async def _count(self, number: int) -> None:
        book = self.books[number]
        try:
            value = await self._do(self._client.incr(f"n{number}"))
        except redis.RedisError as error:
            book[1] += error.delivery != "not_sent"  # type: ignore[attr-defined]
            raise
        book[0] += 1
        if not 0 < value <= sum(book):
            self.wrong.append((number, value, list(book)))

    async def _echo(self, number: int) -> None:
        word = f"{number} {time.monotonic()}".encode()
        reply = await self._do(self._client.echo(word))
        if reply != word:
            self.wrong.append((reply, word))

    async def _do(self, reply: Any) -> Any:
        return reply if self._face.name == "sync" else await reply


def client_of(face: Any, cluster: Cluster) -> Any:
    names, ours = (redis.sentinel, sentinel) if face.name == "sync" else (redis.asyncio.sentinel, aio_sentinel)
    once = face.retry_class(NoBackoff(), 0)
    manager = names.Sentinel(cluster.addresses, sentinel_kwargs={"socket_timeout": 0.3, "retry": once})
    for one in manager.sentinels:
        face.keep(one)
    pool = ours.ResilientSentinelConnectionPool(SERVICE, manager, socket_connect_timeout=0.3)
    client = face.keep(face.Client(connection_pool=pool, policies=STACK, strategy="multiplexed"))
    face.keep(pool)
    return client


def move(cluster: Cluster) -> None:
    """The replica becomes the master, and the master its replica."""
    host, port = cluster.addresses[0]
    with redis.Redis(host=host, port=port) as one, redis.Redis(port=cluster.replica.port) as replica:
        one.execute_command("SENTINEL", "FAILOVER", SERVICE)
        until(lambda: replica.role()[0] == b"master", "the replica is not promoted")
        until(lambda: one.sentinel_master(SERVICE)["port"] == cluster.replica.port, "a sentinel does not know it")
    with redis.Redis(port=cluster.master.port) as old:
        until(lambda: old.role()[0] == b"slave", "the old master does not follow")


@pytest.mark.parametrize("how", ["killed", pytest.param("moved", marks=pytest.mark.slow)])
async def test_a_failover_under_hundreds_of_shared_calls_gives_each_his_own_reply_and_does_nothing_twice(
    face: Any, cluster: Cluster, how: str
) -> None:
    client = client_of(face, cluster)
    await face.run(client.ping)
    assert client.connection_pool.stats().lines.connected == 1
    crowd = Crowd(face, client)
    calling = asyncio.ensure_future(crowd.run())
    await face.pause(0.5)
    await asyncio.to_thread(cluster.fail_over if how == "killed" else lambda: move(cluster))
    before = crowd.seen["answered"]
    deadline = time.monotonic() + 10
    while crowd.seen["answered"] < before + 200 and time.monotonic() < deadline:
        await face.pause(0.05)
    crowd.stop()
    await calling
    assert not crowd.wrong, crowd.wrong[:5]
    assert crowd.seen["answered"] >= before + 200, dict(crowd.seen)
    assert crowd.longest < PATIENCE + 1, (crowd.longest, dict(crowd.seen))
    with redis.Redis(port=cluster.replica.port) as straight:
        done = [int(straight.get(f"n{number}") or 0) for number in range(len(crowd.books))]
    for number, book in enumerate(crowd.books):  # what was acknowledged last may be lost: it was not replicated yet
        assert 0 < done[number] <= sum(book), (number, done[number], book)
    lines = client.connection_pool.stats().lines
    assert (lines.connected, lines.in_flight, lines.unsent) == (1, 0, 0)
