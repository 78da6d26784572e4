"""Whoever is cancelled, timed out or killed: nobody else gets his reply, and no connection is lost."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis
from both_sides import Side, TaskSide, ThreadSide, chance_of
from late_relay import LateRelay

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

CONNECTIONS, WORKERS, KEYS = 4, 16, 200
SLOW = 0.004
"""Seconds by which each reply is late: time enough to be cut off in the middle."""


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def slow_proxy(server: EmbeddedServer, proxy: FaultProxy) -> FaultProxy:
    """Replies are late and come in pieces; each key holds a value of its own, some longer than a piece."""
    with redis.Redis(host=server.host, port=server.port) as straight:
        straight.mset({f"k{key}": value_of(key) for key in range(KEYS)})
    proxy.delay(SLOW)
    return proxy


def value_of(key: int) -> bytes:
    return f"v{key}".encode() * (200 if key % 10 == 0 else 1)


def patience(chance: random.Random) -> float:
    """Seconds that a caller waits; some wait long enough on any machine."""
    return 10.0 if chance.random() < 0.3 else chance.uniform(0.0005, 16 * SLOW)


async def ask(side: Side, client: Any, chance: random.Random, seen: Counter[str]) -> None:
    """One question whose answer is known; a wrong one counts as wrong."""
    keys = chance.sample(range(KEYS), 3)
    values = [value_of(key) for key in keys]
    how = chance.choice(["get", "mget", "pipeline", "transaction"])
    if how == "get":
        wanted, right = side.do(client.get, f"k{keys[0]}"), values[0]
    elif how == "mget":
        wanted, right = side.do(client.mget, [f"k{key}" for key in keys]), values
    else:
        pipe = client.pipeline(transaction=how == "transaction")
        for key in keys:
            pipe.get(f"k{key}")
        wanted, right = side.do(pipe.execute), values
    reply = await wanted
    seen["right" if reply == right else "wrong"] += 1


def check(client: Any, server: EmbeddedServer, seen: Counter[str]) -> None:
    """No wrong reply, no connection lent for ever, none open that the pool does not know."""
    assert (seen["wrong"], seen["unlabelled"]) == (0, 0), dict(seen)
    assert seen["right"] > 50, dict(seen)
    assert seen["cut off"] > 20, dict(seen)
    stats = client.connection_pool.stats()
    shared = stats.lines.connected if stats.lines else 0  # lent for as long as it lives
    assert (stats.borrowed, stats.pending, stats.dialling, stats.closing) == (shared, 0, 0, 0)
    assert stats.size <= CONNECTIONS
    assert eventually(lambda: others_on(server) <= stats.size), f"{others_on(server)} open, {stats.size} in the pool"


def others_on(server: EmbeddedServer) -> int:
    """How many clients the server has, without the one that asks."""
    return server.execute("CLIENT", "LIST").count(b"id=") - 1


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.02)
    return condition()


async def test_tasks_cancelled_at_random(
    server: EmbeddedServer, slow_proxy: FaultProxy, protocol: int, strategy: str
) -> None:
    side, seen = TaskSide(), Counter[str]()
    client = side.client(
        slow_proxy.url, max_connections=CONNECTIONS, protocol=protocol, strategy=strategy, policies=[Timeout(10)]
    )

    async def work(worker: int) -> None:
        chance = chance_of(1, worker)
        for _ in range(25):
            task = asyncio.create_task(ask(side, client, chance, seen))
            await asyncio.wait([task], timeout=patience(chance))
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                seen["cut off"] += 1

    await side.together(work(worker) for worker in range(WORKERS))
    await ask(side, client, random.Random(0), seen)
    await asyncio.sleep(0.1)
    check(client, server, seen)
    await side.close()


async def test_calls_timed_out_at_random(
    side: Side, server: EmbeddedServer, slow_proxy: FaultProxy, protocol: int, strategy: str
) -> None:
    seen = Counter[str]()
    client = side.client(
        slow_proxy.url, max_connections=CONNECTIONS, protocol=protocol, strategy=strategy, policies=[Timeout(10)]
    )

    async def work(worker: int) -> None:
        chance = chance_of(2, worker)
        for _ in range(25):
            try:
                with client.overrides(timeout=patience(chance)):
                    await ask(side, client, chance, seen)
            except redis.RedisError as error:
                seen["cut off" if hasattr(error, "delivery") else "unlabelled"] += 1

    await side.together(work(worker) for worker in range(WORKERS))
    await ask(side, client, random.Random(0), seen)
    await side.pause(0.1)
    check(client, server, seen)


async def tell(side: Side, client: Any, chance: random.Random, seen: Counter[str]) -> None:
    """One write or read, whose reply is of a kind of its own; writes that are late are fenced off and repeated."""
    key = chance.randrange(KEYS)
    match chance.randrange(4):
        case 0:
            right = await side.do(client.set, f"k{key}", value_of(key)) is True
        case 1:
            right = await side.do(client.get, f"k{key}") == value_of(key)
        case 2:
            right = await side.do(client.mset, {f"k{key}": value_of(key), "other": 1}) is True
        case _:
            right = type(await side.do(client.rpush, f"list{key}", key)) is int
    seen["right" if right else "wrong"] += 1


async def test_tasks_cancelled_within_fences(server: EmbeddedServer, protocol: int, strategy: str) -> None:
    side, seen = TaskSide(), Counter[str]()
    with redis.Redis(host=server.host, port=server.port) as straight:
        straight.mset({f"k{key}": value_of(key) for key in range(KEYS)})
        straight.config_resetstat()
    with LateRelay(server.port, seed=5, share=0.3, seconds=0.1, resets=0.3) as relay:
        policies = [Retry(attempts=8, wait_initial=0.001, wait_max=0.002), Timeout(0.03)]
        client = side.client(
            relay.url, max_connections=CONNECTIONS, protocol=protocol, strategy=strategy, policies=policies
        )

        async def work(worker: int) -> None:
            chance = chance_of(5, worker)
            for _ in range(25):
                task = asyncio.create_task(tell(side, client, chance, seen))
                await asyncio.wait([task], timeout=10 if chance.random() < 0.4 else chance.uniform(0, 0.1))
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    seen["cut off"] += 1
                except redis.RedisError as error:
                    seen["failed" if hasattr(error, "delivery") else "unlabelled"] += 1

        await side.together(work(worker) for worker in range(WORKERS))
        await asyncio.sleep(0.2)
        check(client, server, seen)
        await side.close()
    assert b"cmdstat_client|kill" in server.execute("INFO", "commandstats"), "no fence: this proves nothing"


class Killed(BaseException):
    """Thrown into a thread from outside, as a signal handler or a debugger does."""


# Slow where it is shared: a waiter killed in `Bell.wait` swallows the ring, and the others wait out their deadline.
@pytest.mark.parametrize("strategy", ["pooled", pytest.param("multiplexed", marks=pytest.mark.slow)])
# A thread killed while it makes a socket leaves that to the collector, which tells: nobody has it in hand yet.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_threads_killed_at_random(
    server: EmbeddedServer, slow_proxy: FaultProxy, protocol: int, strategy: str
) -> None:
    side, seen = ThreadSide(), Counter[str]()
    client = side.client(
        slow_proxy.url, max_connections=CONNECTIONS, protocol=protocol, strategy=strategy, policies=[Timeout(10)]
    )
    over = threading.Event()
    guarded: dict[int, bool] = {}

    async def work(worker: int) -> None:
        chance, me = chance_of(3, worker), threading.get_ident()
        for _ in range(25):
            with contextlib.suppress(redis.RedisError):
                try:
                    guarded[me] = True
                    await ask(side, client, chance, seen)
                except Killed:
                    seen["cut off"] += 1
                finally:
                    guarded[me] = False

    def hunt() -> None:
        chance = random.Random(4)
        while not over.wait(0.003):
            prey = [thread for thread, inside in list(guarded.items()) if inside]
            if prey:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(chance.choice(prey)), ctypes.py_object(Killed)
                )

    hunter = threading.Thread(target=hunt)
    hunter.start()
    try:
        await side.together(_shielded(work(worker)) for worker in range(WORKERS))
    finally:
        over.set()
        hunter.join()
    await ask(side, client, random.Random(0), seen)
    check(client, server, seen)
    await side.close()


async def _shielded(work: Any) -> None:
    """A shot that comes a little late ends the worker; that is no bug."""
    with contextlib.suppress(Killed):
        await work
