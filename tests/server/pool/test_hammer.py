"""Everything at once: borrowers, faults, cancels, drains and resizes by chance, from a seed that is printed.

``RESILIENT_REDIS_HAMMER_SEED=...`` plays one seed again, as far as threads can be played again.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.retry
import redis.retry
from redis.backoff import NoBackoff

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import PoolTimeoutError
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

MOST = 6
THREADS, TASKS = 24, 100
KEYS, SPACE = 8, 10**9
"""Counters, and how far apart they begin: no reply of one can be taken for another's."""
PATIENCE = 10.0
OPTIONS = {"max_connections": MOST, "socket_timeout": 0.15, "socket_connect_timeout": 0.15, "client_name": "hammer"}

for_seconds = pytest.mark.parametrize(
    "seconds", [pytest.param(3.5, id="short"), pytest.param(45.0, id="long", marks=[pytest.mark.slow])]
)
pytestmark = [pytest.mark.server, pytest.mark.timeout(150)]


class Score:
    """What happened. Wrong replies, and errors that are not redis-py's, stand in ``wrong``."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.wrong: list[str] = []
        self.did: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.replies: list[list[int]] = [[] for _ in range(KEYS)]
        """What the counters answered."""
        self.unknown: Counter[int] = Counter()
        """Increments that may or may not have been done."""

    def expect(self, what: str, got: Any, *allowed: Any) -> None:
        self.did[what] += 1
        if got not in allowed:
            self.wrong.append(f"{what}: {got!r} instead of {allowed!r}")

    def met(self, error: BaseException) -> None:
        self.failed[type(error).__name__] += 1
        if not isinstance(error, (redis.RedisError, asyncio.CancelledError)):
            self.wrong.append(f"{error!r} is not redis-py's; from {error.__traceback__ and _place(error)}")

    def show(self, pool: Any) -> None:
        print(f"seed {self.seed}: did {dict(self.did)}, failed {dict(self.failed)}, faults {dict(self.faults)}")
        print(pool, pool.stats())


def _place(error: BaseException) -> str:
    import traceback

    return " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(traceback.extract_tb(error.__traceback__)))


@pytest.fixture
def score() -> Score:
    seed = int(os.environ.get("RESILIENT_REDIS_HAMMER_SEED", random.SystemRandom().randrange(10**6)))
    print("seed", seed)
    return Score(seed)


# What goes wrong


@contextlib.contextmanager
def faults(proxy: FaultProxy, score: Score) -> Iterator[None]:
    """The network fails for 50 to 100 ms, again and again; all is well when the block ends."""
    rng, over = random.Random(f"faults {score.seed}"), threading.Event()
    table: dict[str, tuple[Callable[[], Any], ...]] = {
        "cut": (proxy.cut_all,),
        "refuse": (proxy.refuse,),
        "refuse and cut": (proxy.refuse, proxy.cut_all),
        "reset new": (proxy.accept_then_reset, proxy.cut_all),
        "black hole": (proxy.black_hole,),
        "drop replies": (proxy.drop_replies,),
        "late": (lambda: proxy.delay(rng.uniform(0.01, 0.3)),),  # longer than the socket's timeout, too
        "trickle": (lambda: proxy.trickle(3, 0.001),),
        "cut before": (lambda: proxy.cut_before_request(3, handshake=True),),
        "cut after": (lambda: proxy.cut_after_request(3),),
        "half": (lambda: proxy.half_reply(3),),
        "error": (lambda: proxy.reply_error("LOADING reading the dataset", 3),),
    }

    def play() -> None:
        while not over.wait(rng.uniform(0.01, 0.15)):
            name = rng.choice(list(table))
            for fault in table[name]:
                fault()
            score.faults[name] += 1
            over.wait(rng.uniform(0.05, 0.1))
            proxy.heal()

    thread = threading.Thread(target=play, name="faults")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        proxy.heal()


def meddle(pool: Any, rng: random.Random, score: Score) -> Any:
    """What an operator does to a pool in use; to be awaited if it can be."""
    name = rng.choice(["drain", "resize", "resize", "disconnect", "disconnect idle", "maintain"])
    score.faults[name] += 1
    if name == "resize":
        return pool.resize(rng.randint(3, 8))
    if name.startswith("disconnect"):
        return pool.disconnect(inuse_connections=name == "disconnect")
    return getattr(pool, name)()


# What is done, for threads


def use(client: redis.Redis, token: str, rng: random.Random, score: Score) -> None:
    """Set and get a key that nobody else has; or a connection of one's own, with one of several ends."""
    pool: Any = client.connection_pool
    if rng.random() < 0.5:
        score.expect("set", client.set(token, token), True)
        score.expect("get", client.get(token), token.encode())
        return
    patience, rank = rng.uniform(0, 0.1), rng.choice(["high", "normal", "low", None])
    connection = pool.acquire(timeout=patience, priority=rank)
    try:
        end = rng.choice(["clean", "clean", "broken", "unread"])
        connection.send_command("ECHO", token)
        if end != "unread":
            score.expect("echo", connection.read_response(), token.encode())
        if end == "broken":
            connection.disconnect()
    finally:
        pool.release(connection)


def count(client: Any, _token: str, rng: random.Random, score: Score) -> None:
    key = rng.randrange(KEYS)
    try:
        score.replies[key].append(client.incr(f"n{key}"))
        score.did["incr"] += 1
    except Exception as error:
        _note(error, key, score)
        raise


def _note(error: BaseException, key: int, score: Score) -> None:
    if getattr(error, "delivery", "unknown") == "unknown":
        score.unknown[key] += 1


def hammer_threads(client: Any, work: Any, proxy: FaultProxy, score: Score, seconds: float) -> None:
    end = time.monotonic() + seconds
    pool = client.connection_pool

    def repeat(index: int, once: Callable[[random.Random, int], Any], pause: float = 0.0) -> None:
        rng, turn = random.Random(f"{index} {score.seed}"), 0
        while time.monotonic() < end:
            try:
                once(rng, turn)
            except Exception as error:
                score.met(error)
            turn += 1
            time.sleep(rng.uniform(0, pause))

    jobs = [
        threading.Thread(
            target=repeat, args=(index, lambda rng, turn, index=index: work(client, f"{index}:{turn}", rng, score))
        )
        for index in range(THREADS)
    ]
    jobs.append(threading.Thread(target=repeat, args=(-1, lambda rng, _: meddle(pool, rng, score), 0.1)))
    with faults(proxy, score):
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()


# The same for asyncio


async def ause(client: Any, token: str, rng: random.Random, score: Score) -> None:
    pool = client.connection_pool
    if rng.random() < 0.5:
        score.expect("set", await client.set(token, token), True)
        score.expect("get", await client.get(token), token.encode())
        return
    patience, rank = rng.uniform(0, 0.1), rng.choice(["high", "normal", "low", None])
    connection = await pool.acquire(timeout=patience, priority=rank)
    try:
        end = rng.choice(["clean", "clean", "broken", "unread"])
        await connection.send_command("ECHO", token)
        if end != "unread":
            score.expect("echo", await connection.read_response(), token.encode())
        if end == "broken":
            await connection.disconnect()
    finally:
        await pool.release(connection)


async def acount(client: Any, _token: str, rng: random.Random, score: Score) -> None:
    key = rng.randrange(KEYS)
    try:
        score.replies[key].append(await client.incr(f"n{key}"))
        score.did["incr"] += 1
    except BaseException as error:
        _note(error, key, score)
        raise


async def hammer_tasks(client: Any, work: Any, proxy: FaultProxy, score: Score, seconds: float) -> None:
    end = time.monotonic() + seconds
    pool = client.connection_pool
    running: dict[int, asyncio.Task[None]] = {}

    async def repeat(index: int) -> None:
        rng, turn = random.Random(f"{index} {score.seed}"), 0
        while time.monotonic() < end:
            task = running[index] = asyncio.create_task(work(client, f"{index}:{turn}", rng, score))
            await asyncio.wait([task])
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                score.met(error)
            turn += 1

    async def disturb() -> None:
        rng = random.Random(f"disturb {score.seed}")
        while time.monotonic() < end:
            for _ in range(rng.randrange(4)):
                running[rng.choice(list(running))].cancel()
            if rng.random() < 0.1:
                done = meddle(pool, rng, score)
                if inspect.isawaitable(done):
                    await done
            await asyncio.sleep(rng.uniform(0, 0.01))

    with faults(proxy, score):
        async with asyncio.TaskGroup() as group:
            for index in range(TASKS):
                group.create_task(repeat(index))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            group.create_task(disturb())
