"""Everything at once: borrowers, faults, cancels, drains and resizes by chance, from a seed that is printed.

``RESILIENT_REDIS_HAMMER_SEED=...`` plays one seed again, as far as threads can be played again.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import operator
import os
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis
import redis.asyncio

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import PoolTimeoutError
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = [pytest.mark.server, pytest.mark.timeout(150)]

MOST = 6
THREADS, TASKS = 24, 100
KEYS, SPACE = 8, 10**9
"""Counters, and how far apart they begin: no reply of one can be taken for another's."""
PATIENCE = 10.0
BUSY = operator.attrgetter("borrowed", "pending", "dialling", "closing", "validating")
REST = 0.03
"""Seconds at most after a failure: a tight loop of refusals would leave no time for anything else."""

for_seconds = pytest.mark.parametrize(
    "seconds", [pytest.param(3.5, id="short"), pytest.param(45.0, id="long", marks=pytest.mark.slow)]
)


class Score:
    """What happened. Wrong replies, and errors that are not redis-py's, stand in ``wrong``."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.wrong: list[str] = []
        self.did, self.failed, self.faults = Counter[str](), Counter[str](), Counter[str]()
        self.replies: list[list[int]] = [[] for _ in range(KEYS)]
        self.unknown: list[list[str]] = [[] for _ in range(KEYS)]
        """Errors of increments that may have been done."""
        self._lock = threading.Lock()

    def chance(self, whose: Any) -> random.Random:
        return random.Random(f"{whose} {self.seed}")

    def add(self, counts: Counter[str], what: str) -> None:
        with self._lock:
            counts[what] += 1

    def expect(self, what: str, got: Any, wanted: Any) -> None:
        self.add(self.did, what)
        if got != wanted:
            self.wrong.append(f"{what}: {got!r} instead of {wanted!r}")

    def met(self, error: BaseException) -> None:
        self.add(self.failed, type(error).__name__)
        if not isinstance(error, (redis.RedisError, asyncio.CancelledError)):
            self.wrong.append("".join(traceback.format_exception(error)))


@pytest.fixture
def score() -> Score:
    seed = int(os.environ.get("RESILIENT_REDIS_HAMMER_SEED", random.SystemRandom().randrange(10**6)))
    print("seed", seed)
    return Score(seed)


def make_client(Client: Any, proxy: FaultProxy, score: Score, **options: Any) -> Any:
    """A client over a pool of ours, the pool's options by chance."""
    rng = score.chance("options")
    chosen: dict[str, Any] = {"acquire_timeout": rng.choice([0.05, 0.1, 0.3]), "min_idle": rng.choice([0, 2])}
    chosen |= {"validate_after": rng.choice([0, 0.01, 10]), "max_lifetime": rng.choice([0.2, 60])}
    chosen |= {"fifo": rng.random() < 0.5, "maintenance_interval": rng.choice([0.1, 60])}
    print(chosen)
    sockets = {"socket_timeout": 0.15, "socket_connect_timeout": 0.15, "client_name": "hammer"}
    face: Any = resilient_redis if issubclass(Client, redis.Redis) else resilient_redis.asyncio
    pool = face.ResilientConnectionPool.from_url(proxy.url, max_connections=MOST, **chosen, **sockets)
    return Client(connection_pool=pool, **options)


async def now(result: Any) -> Any:
    """Either shell's; what threads call has its result at once."""
    return await result if inspect.isawaitable(result) else result


# What goes wrong


@contextlib.contextmanager
def faults(proxy: FaultProxy, score: Score) -> Iterator[None]:
    """The network fails for 50 to 100 ms, again and again; all is well when the block ends."""
    rng, over = score.chance("faults"), threading.Event()
    table: dict[str, Callable[[], Any]] = {
        "cut": proxy.cut_all,
        "refuse": lambda: (proxy.refuse(), proxy.cut_all()),
        "reset new": lambda: (proxy.accept_then_reset(), proxy.cut_all()),
        "black hole": proxy.black_hole,
        "drop replies": proxy.drop_replies,
        "late": lambda: proxy.delay(rng.uniform(0.01, 0.3)),  # longer than the socket's timeout, too
        "trickle": lambda: proxy.trickle(3, 0.001),
        "cut before": lambda: proxy.cut_before_request(3, handshake=True),
        "cut after": lambda: proxy.cut_after_request(3),
        "half": lambda: proxy.half_reply(3),
        "error": lambda: proxy.reply_error("LOADING reading the dataset", 3),
    }

    def play() -> None:
        while not over.wait(rng.uniform(0.02, 0.2)):
            name = rng.choice(list(table))
            score.add(score.faults, name)
            table[name]()
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


async def meddle(client: Any, _token: str, rng: random.Random, score: Score) -> None:
    """What an operator does to a pool in use."""
    pool = client.connection_pool
    name = rng.choice(["drain", "resize", "resize", "change", "disconnect", "disconnect idle", "maintain", "reset"])
    score.add(score.faults, name)
    if name == "resize":
        pool.resize(rng.randint(3, 8))
    elif name == "change":
        pool.change(replace(pool.options, max_dials=rng.randint(1, 4), max_waiting=rng.choice([2, 50, None])))
    elif name.startswith("disconnect"):
        await now(pool.disconnect(inuse_connections=name == "disconnect"))
    else:
        await now(getattr(pool, name)())


# What is done


async def use(client: Any, token: str, rng: random.Random, score: Score) -> None:
    """Set and get a key that nobody else has; or a connection of one's own, with one of several ends."""
    pool = client.connection_pool
    if rng.random() < 0.5:
        score.expect("set", await now(client.set(token, token)), True)
        score.expect("get", await now(client.get(token)), token.encode())
        return
    rank = rng.choice(["high", "normal", "low", None])
    connection = await now(pool.acquire(timeout=rng.uniform(0, 0.1), priority=rank))
    try:
        await now(connection.send_command("ECHO", token))
        if rng.random() < 0.75:  # else it comes back with a reply on its way
            score.expect("echo", await now(connection.read_response()), token.encode())
        if rng.random() < 0.25:
            await now(connection.disconnect())
    finally:
        await now(pool.release(connection))


async def count(client: Any, _token: str, rng: random.Random, score: Score) -> None:
    key = rng.randrange(KEYS)
    try:
        score.replies[key].append(await now(client.incr(f"n{key}")))
    except BaseException as error:
        if getattr(error, "delivery", "unknown") == "unknown":
            score.unknown[key].append(repr(error))
        raise
    score.add(score.did, "incr")


def in_threads(client: Any, work: Callable[..., Any], score: Score, seconds: float) -> None:
    end = time.monotonic() + seconds

    def repeat(index: int, once: Callable[..., Any], pause: float = 0.0) -> None:
        rng, turns = score.chance(index), itertools.count()
        while time.monotonic() < end:
            try:
                once(client, f"{index}:{next(turns)}", rng, score).send(None)
            except StopIteration:
                time.sleep(rng.uniform(0, pause))
            except Exception as error:
                score.met(error)
                time.sleep(rng.uniform(0, REST))

    with ThreadPoolExecutor(THREADS + 1) as threads:
        jobs = [threads.submit(repeat, index, work) for index in range(THREADS)]
        jobs.append(threads.submit(repeat, -1, meddle, 0.2))
    for job in jobs:
        job.result()


async def in_tasks(client: Any, work: Callable[..., Any], score: Score, seconds: float) -> None:
    end = time.monotonic() + seconds
    running: dict[int, asyncio.Task[None]] = {}

    async def repeat(index: int, once: Callable[..., Any], pause: float = 0.0) -> None:
        rng, turns = score.chance(index), itertools.count()
        while time.monotonic() < end:
            task = running[index] = asyncio.create_task(once(client, f"{index}:{next(turns)}", rng, score))
            await asyncio.wait([task])
            if error := asyncio.CancelledError() if task.cancelled() else task.exception():
                score.met(error)
            await asyncio.sleep(rng.uniform(0, REST if error else pause))

    async def cancel() -> None:
        rng = score.chance("cancel")
        while time.monotonic() < end:
            await asyncio.sleep(rng.uniform(0, 0.01))
            for _ in range(rng.randrange(4)):
                running[rng.choice(list(running))].cancel()

    await asyncio.gather(*(repeat(index, work) for index in range(TASKS)), repeat(-1, meddle, 0.2), cancel())


# What must hold afterwards


async def until(look: Callable[[], Any], good: Callable[[Any], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not good(seen := look()):
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.005)


async def hammer(client: Any, work: Any, server: EmbeddedServer, proxy: FaultProxy, score: Score, secs: float) -> None:
    pool, clients = client.connection_pool, lambda: server.execute("CLIENT", "LIST")
    is_sync = isinstance(pool, redis.ConnectionPool)
    with faults(proxy, score):
        await now((in_threads if is_sync else in_tasks)(client, work, score, secs))
    print(f"did {dict(score.did)}, failed {dict(score.failed)}, faults {dict(score.faults)}", pool.stats(), sep="\n")
    assert score.wrong == []
    assert score.did.total() > 0  # how many is the machine's business
    pool.resize(MOST)
    await until(pool.stats, lambda stats: not any(BUSY(stats)))
    await asyncio.sleep(1)  # the longest pause after a failed dial
    pool.connection_kwargs.update(socket_timeout=5, socket_connect_timeout=5)  # a busy machine is no failure
    pool.drain()
    held = [await now(pool.acquire(timeout=5)) for _ in range(MOST)]
    with pytest.raises(PoolTimeoutError):
        await now(pool.acquire(timeout=0))
    for index, connection in enumerate(held):
        await now(connection.send_command("ECHO", f"last {index}"))
    assert [await now(connection.read_response()) for connection in held] == [b"last %d" % n for n in range(MOST)]
    await until(clients, lambda seen: seen.count(b" name=hammer ") == MOST)
    for connection in held:
        await now(pool.release(connection))
    await until(pool.stats, lambda stats: not any(BUSY(stats)))
    assert pool.stats().size <= MOST
    assert await now(pool.close(1) if is_sync else pool.aclose(1))
    await until(clients, lambda seen: seen.count(b" name=hammer ") == 0)


@for_seconds
async def test_threads_hammer_the_pool_and_no_reply_goes_astray(
    server: Any, proxy: Any, score: Any, seconds: Any
) -> None:
    await hammer(make_client(redis.Redis, proxy, score), use, server, proxy, score, seconds)


@for_seconds
async def test_tasks_hammer_the_pool_and_no_reply_goes_astray(
    server: Any, proxy: Any, score: Any, seconds: Any
) -> None:
    await hammer(make_client(redis.asyncio.Redis, proxy, score), use, server, proxy, score, seconds)


@for_seconds
@pytest.mark.parametrize("face_of", [resilient_redis, resilient_redis.asyncio], ids=["sync", "asyncio"])
async def test_exact_counts_under_hammer(server: Any, proxy: Any, score: Any, face_of: Any, seconds: Any) -> None:
    with redis.Redis.from_url(proxy.url) as plain:
        plain.mset({f"n{key}": key * SPACE for key in range(KEYS)})
        client = make_client(face_of.ResilientRedis, proxy, score, policies=[])
        await hammer(client, count, server, proxy, score, seconds)
        final = [int(value) for value in plain.mget([f"n{key}" for key in range(KEYS)])]
    for key, told in enumerate(score.replies):
        done, unknown = final[key] - key * SPACE, len(score.unknown[key])
        print(f"n{key}: acknowledged {len(told)}, done {done}, unknown {unknown}")
        assert len(set(told)) == len(told), "one reply for two increments"
        assert all(key * SPACE < reply <= final[key] for reply in told)
        assert len(told) <= done <= len(told) + unknown
