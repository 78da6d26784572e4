"""Each workload is written once, as coroutines: threads drive them by hand, asyncio runs them as tasks.

A coroutine over a sync client never suspends: what it awaits has happened already. So a thread can drive it.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
import redis.retry
from redis.backoff import NoBackoff

import resilient_redis
import resilient_redis.asyncio

Work = Coroutine[Any, Any, Any]


def drive(work: Work) -> Any:
    """Run a coroutine to its end in this thread."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a workload of threads waited for something that is not there yet")


class Side:
    """One of the two: makes clients, runs workers side by side."""

    name: str
    Client: Any
    Stock: Any
    Pool: Any
    StockPool: Any
    retry_class: Any

    def __init__(self) -> None:
        self._made: list[Any] = []

    def client(self, url: str, **options: Any) -> Any:
        """One of ours; closed at the end."""
        return self.keep(self.Client.from_url(url, **options))

    def sharing(self, url: str, **options: Any) -> Any:
        """One of ours whose callers share a connection."""
        return self.client(url, strategy="multiplexed", **options)

    def shares(self, client: Any) -> bool:
        """Do its callers share a connection?"""
        return isinstance(client, self.Client) and "shared connection" in client.describe()

    def over_pool(self, url: str, **options: Any) -> Any:
        """redis-py's own over a pool of ours that has the policies."""
        return self.keep(self.Stock(connection_pool=self.Pool.from_url(url, **options)))

    def stock(self, url: str, *, retries: int = 0, **options: Any) -> Any:
        """redis-py's own, repeating so many times."""
        return self.keep(self.Stock.from_url(url, retry=self.retry_class(NoBackoff(), retries), **options))

    def keep(self, client: Any) -> Any:
        """Close it at the end."""
        self._made.append(client)
        return client

    async def do(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call it, and await what it gives if that can be awaited."""
        reply = function(*args, **options)
        return await reply if inspect.isawaitable(reply) else reply

    async def transaction(self, client: Any, body: Callable[[Any], Work], *keys: str) -> Any:
        """``client.transaction`` with a body that is a coroutine on both sides."""
        raise NotImplementedError

    async def pause(self, seconds: float) -> None:
        """Wait, inside a workload."""
        raise NotImplementedError

    async def together(self, workers: Iterable[Work]) -> None:
        """Run all, a thread or a task each; the first bug among them is raised."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close all clients."""
        raise NotImplementedError


class ThreadSide(Side):
    name = "threads"
    Client = resilient_redis.ResilientRedis
    Stock = redis.Redis
    Pool = resilient_redis.ResilientConnectionPool
    StockPool = redis.ConnectionPool
    retry_class = redis.retry.Retry

    async def transaction(self, client: Any, body: Callable[[Any], Work], *keys: str) -> Any:
        return client.transaction(lambda pipe: drive(body(pipe)), *keys)

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    async def together(self, workers: Iterable[Work]) -> None:
        bugs: list[BaseException] = []

        def run(work: Work) -> None:
            try:
                drive(work)
            except BaseException as bug:
                bugs.append(bug)

        threads = [threading.Thread(target=run, args=(work,)) for work in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        if bugs:
            raise bugs[0]

    async def close(self) -> None:
        for client in self._made:
            client.close()
            client.connection_pool.disconnect()


class TaskSide(Side):
    name = "tasks"
    Client = resilient_redis.asyncio.ResilientRedis
    Stock = redis.asyncio.Redis
    Pool = resilient_redis.asyncio.ResilientConnectionPool
    StockPool = redis.asyncio.ConnectionPool
    retry_class = redis.asyncio.retry.Retry

    async def transaction(self, client: Any, body: Callable[[Any], Work], *keys: str) -> Any:
        return await client.transaction(body, *keys)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def together(self, workers: Iterable[Work]) -> None:
        async with asyncio.TaskGroup() as group:
            for work in workers:
                group.create_task(work)

    async def close(self) -> None:
        for client in self._made:
            await client.aclose()
            await client.connection_pool.disconnect()


SIDES: dict[str, type[Side]] = {side.name: side for side in (ThreadSide, TaskSide)}


def chance_of(seed: int, worker: int) -> random.Random:
    """A worker's own source of chance, so that each does the same in every run."""
    return random.Random(seed * 1000 + worker)
