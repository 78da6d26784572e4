"""What many callers ask of shared connections that are treated roughly, and what must hold whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import random
import threading
import time
from collections import Counter
from typing import Any

import redis

from resilient_redis import Retry, Timeout

KEYS = 50
PATIENCE = 1.5
"""Seconds after which each call has ended, whatever happens."""

SLACK = 1.0
STACK = [Timeout(PATIENCE), Retry(attempts=4, wait_initial=0.005, wait_max=0.05), Timeout(0.4)]
HARD = [Timeout(0.4)]
"""Nothing is repeated: each fault is seen by somebody."""


def value_of(key: int) -> bytes:
    """One that no other key has; some are longer than a packet."""
    return f"<{key}>".encode() * (3000 if key % 10 == 0 else 1)


def prepare(straight: Any) -> None:
    """What the callers read, over a client that nothing happens to."""
    straight.flushall()
    straight.mset({f"k{key}": value_of(key) for key in range(KEYS)})


def open_files() -> int:
    """Sockets and files of this process."""
    return len(os.listdir("/proc/self/fd"))


class Callers:
    """``await Callers(client, seconds=..., seed=...).run(face_name)``, then `check`.

    Attributes:
        seen: what became of the calls.
        wrong: replies that were somebody else's; none of their bytes beyond a few.
        longest: seconds that the slowest call took.
    """

    def __init__(self, client: Any, *, seconds: float, seed: int, text: bool = False) -> None:
        self._client, self._seconds, self._seed, self._text = client, seconds, seed, text
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.longest = 0.0
        self._books: list[list[int]] = []  # of each worker's counter: acknowledged, unknown, last value

    async def run(self, *, threads: bool, workers: int = 12) -> None:
        """All of them, until the time is over."""
        self._books = [[0, 0, 0] for _ in range(workers)]
        until = time.monotonic() + self._seconds
        if not threads:
            async with asyncio.TaskGroup() as group:
                for number in range(workers):
                    group.create_task(self._work(number, until))
            return
        bugs: list[BaseException] = []
        crew = [threading.Thread(target=self._drive, args=(number, until, bugs)) for number in range(workers)]
        for one in crew:
            one.start()
        for one in crew:
            await asyncio.to_thread(one.join)
        if bugs:
            raise bugs[0]

    def _drive(self, number: int, until: float, bugs: list[BaseException]) -> None:
        """A coroutine over a sync client never suspends, so a thread can drive it."""
        try:
            with contextlib.suppress(StopIteration):
                self._work(number, until).send(None)
        except BaseException as bug:
            bugs.append(bug)

    async def _work(self, number: int, until: float) -> None:
        chance = random.Random(self._seed * 1000 + number)
        while time.monotonic() < until:
            began = time.monotonic()
            try:
                await self._ask(number, chance)
                self.seen["answered"] += 1
            except redis.RedisError as error:
                self.seen[f"{type(error).__name__} {getattr(error, 'delivery', '?')}"] += 1
                if "LOADING" not in str(error) and not inspect.iscoroutinefunction(self._client.execute_command):
                    time.sleep(0.001)  # a thread that spins on refusals starves the rest
            self.longest = max(self.longest, time.monotonic() - began)

    async def _ask(self, number: int, chance: random.Random) -> None:
        how = chance.choice(["get", "get", "mget", "echo", "set", "incr", "pipeline"])
        keys = chance.sample(range(KEYS), 3)
        client = self._client
        if how == "get":
            self._same(await _do(client.get(f"k{keys[0]}")), value_of(keys[0]))
        elif how == "mget":
            self._same(await _do(client.mget([f"k{key}" for key in keys])), [value_of(key) for key in keys])
        elif how == "echo":
            word = f"{number}-{chance.random()}".encode()
            self._same(await _do(client.echo(word)), word)
        elif how == "set":
            await self._set(number, chance)
        elif how == "incr":
            await self._count(number)
        else:
            pipe = client.pipeline(transaction=chance.random() < 0.5)
            for key in keys:
                pipe.get(f"k{key}")
            self._same(await _do(pipe.execute()), [value_of(key) for key in keys])

    async def _set(self, number: int, chance: random.Random) -> None:
        """Whoever is told that it is written reads it, since nobody else writes there."""
        word = f"{number}-{chance.random()}".encode()
        self._same(await _do(self._client.set(f"own{number}", word)), True)
        self._same(await _do(self._client.get(f"own{number}")), word)

    async def _count(self, number: int) -> None:
        book = self._books[number]
        try:
            value = await _do(self._client.incr(f"n{number}"))
        except redis.RedisError as error:
            book[1] += getattr(error, "delivery", "unknown") != "not_sent"
            raise
        book[0] += 1
        if not book[2] < value <= book[0] + book[1]:
            self.wrong.append(f"counter {number}: {value} after {book[2]}, acknowledged {book[0]} unknown {book[1]}")
        book[2] = value

    def _same(self, reply: Any, wanted: Any) -> None:
        if self._text and wanted is not True:
            wanted = [one.decode() for one in wanted] if isinstance(wanted, list) else wanted.decode()
        if reply != wanted:
            self.wrong.append(f"{repr(reply)[:60]} instead of {repr(wanted)[:60]}")

    def check(self, straight: Any, *, least: int = 10) -> None:
        """Each reply was its caller's, nothing was done twice or lost, and nobody waited for too long."""
        assert not self.wrong, (self.wrong[:5], len(self.wrong))
        assert self.seen["answered"] >= least, dict(self.seen)
        assert self.longest < PATIENCE + SLACK, (self.longest, dict(self.seen))
        for number, (acknowledged, unknown, _) in enumerate(self._books):
            done = int(straight.get(f"n{number}") or 0)
            assert acknowledged <= done <= acknowledged + unknown, (number, acknowledged, done, unknown)


async def _do(reply: Any) -> Any:
    return await reply if inspect.isawaitable(reply) else reply
