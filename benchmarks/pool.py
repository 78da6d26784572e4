"""The pool alone: waiting, and coming back after an outage: `python -m benchmarks pool`.

Borrowing and giving back is in `benchmarks.micro.borrow`.
"""

from __future__ import annotations

import asyncio
import bisect
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio

from benchmarks._crowd import Crowd, crowd_slice, tasks_slice
from benchmarks._rounds import Effort, Result, Slice, Table, compare
from benchmarks._suite import Report
from benchmarks.contenders import KEY, VALUE
from resilient_redis import ResilientConnectionPool
from resilient_redis.asyncio import ResilientConnectionPool as AsyncResilientConnectionPool
from resilient_redis.testing import EmbeddedServer

OURS = "ResilientConnectionPool"
PLAIN = "redis-py ConnectionPool"
BLOCKING = "redis-py BlockingConnectionPool"

SHORT_OF = 19  # the guide's connections per worker
THREADS, TASKS = 64, 100
OUTAGE_TASKS = 200
DEAD = 5.0
STEP = 0.01


def run(effort: Effort) -> Report:
    """Both."""
    with EmbeddedServer.start() as server:
        server.execute("SET", KEY, VALUE)
        tables = _waiting(server.port, effort)
    return Report([*tables, _coming_back(effort)])


# Wait for a connection


def _waiting(port: int, effort: Effort) -> list[Table]:
    """redis-py's plain pool does not wait: it has a connection for everybody."""
    crowd = Crowd(THREADS)
    pools: dict[str, Any] = {
        BLOCKING: redis.BlockingConnectionPool(port=port, max_connections=SHORT_OF, timeout=60),
        f"{PLAIN}, {THREADS} connections": redis.ConnectionPool(port=port, max_connections=THREADS),
        OURS: ResilientConnectionPool(port=port, max_connections=SHORT_OF, acquire_timeout=60),
    }
    seconds = 0.3 if effort.quick else 1.0
    slices: dict[str, Slice] = {name: crowd_slice(crowd, _bare(pool), seconds) for name, pool in pools.items()}
    plan = {"rounds": 3, "repetitions": 1} if effort.quick else {"rounds": 9, "repetitions": 1}
    tables = [_waits(f"GET by {THREADS} threads over {SHORT_OF} connections", compare(slices, base=BLOCKING, **plan))]
    crowd.stop()
    for pool in pools.values():
        pool.disconnect()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        theirs: dict[str, Any] = {
            BLOCKING: redis.asyncio.BlockingConnectionPool(port=port, max_connections=SHORT_OF, timeout=60),
            f"{PLAIN}, {TASKS} connections": redis.asyncio.ConnectionPool(port=port, max_connections=TASKS),
            OURS: AsyncResilientConnectionPool(port=port, max_connections=SHORT_OF, acquire_timeout=60),
        }
        rounds = {name: tasks_slice(loop, _get(pool), seconds) for name, pool in theirs.items()}
        results = compare(rounds, base=BLOCKING, **plan)
        for pool in theirs.values():
            runner.run(pool.disconnect())
    tables.append(_waits(f"GET by {TASKS} tasks over {SHORT_OF} connections", results))
    return tables


def _bare(pool: Any) -> Callable[[], Any]:
    client = redis.Redis(connection_pool=pool)
    return lambda: client.get(KEY)


def _get(pool: Any) -> Callable[[], Awaitable[Any]]:
    client = redis.asyncio.Redis(connection_pool=pool)
    return lambda: client.get(KEY)


def _waits(title: str, results: list[Result]) -> Table:
    base = next(result for result in results if result.name == BLOCKING)
    columns = ["pool under redis-py's client", "calls/s", "p50 ms", "p99 ms", "p99 by time, ms", "max ms"]
    columns += ["p99 by time, ratio", "max, ratio"]
    rows: list[list[Any]] = []
    for result in results:
        by_time, longest = result.percentile_by_time(0.99), result.percentile(1.0)
        figures = [result.percentile(0.5) * 1000, result.percentile(0.99) * 1000, by_time * 1000, longest * 1000]
        ratios = [by_time / base.percentile_by_time(0.99), longest / base.percentile(1.0)]
        rows.append([result.name, 1 / result.median, *figures, *ratios])
    notes = [
        f"A call is the wait for a connection and a GET on the same machine. Ratios are against {BLOCKING}.",
        "By time: each call weighed by how long it took, so what a caller is in at a moment picked at random. Counted "
        "by calls, a caller that starves for a second made one, and those that starve it thousands: p50 and p99 do not "
        "see it. redis-py's blocking pool serves few callers fast, and lets the others wait.",
        "Goal: a tenth of the wait in redis-py's blocking pool.",
    ]
    return Table(title, columns, rows, notes)


# Come back after an outage


def _coming_back(effort: Effort) -> Table:
    columns = [
        "pool",
        "opened in the first second",
        f"most in {STEP * 1000:g} ms",
        "dials while it was dead",
        "all served after s",
    ]
    dead = 0.8 if effort.quick else DEAD
    makers: dict[str, Callable[[int, Any], Any]] = {
        "redis.asyncio.Redis as it comes": lambda port, cls: redis.asyncio.Redis(
            connection_pool=redis.asyncio.ConnectionPool(
                connection_class=cls, port=port, max_connections=1000, retry=redis.asyncio.Redis().get_retry()
            )
        ),
        **{
            f"{OURS}, {size} connections": lambda port, cls, size=size: redis.asyncio.Redis(
                connection_pool=AsyncResilientConnectionPool(connection_class=cls, port=port, max_connections=size)
            )
            for size in ((100,) if effort.quick else (100, SHORT_OF))
        },
    }
    table = Table(f"{OUTAGE_TASKS} tasks, the server dead for {dead:g} s", columns, [])
    for name, make in makers.items():
        table.rows.append([name, *asyncio.run(_outage(make, dead))])
    table.notes.append(
        "Goals: at most the pool's size in the first second, at most 5 in any 10 ms. "
        "Each task calls GET again 5 ms after an answer or an error."
    )
    return table


async def _outage(make: Callable[[int, Any], Any], dead: float) -> list[Any]:
    tried: list[float] = []
    opened: list[float] = []

    class Counting(redis.asyncio.Connection):
        async def _connect(self) -> None:
            tried.append(time.perf_counter())
            await super()._connect()
            opened.append(time.perf_counter())

    with EmbeddedServer.start() as server:
        client = make(server.port, Counting)
        served: dict[int, float] = {}
        over = asyncio.Event()

        async def caller(number: int) -> None:
            while not over.is_set():
                try:
                    await client.get(KEY)
                    served[number] = time.perf_counter()
                except redis.RedisError:
                    pass
                await asyncio.sleep(0.005)

        tasks = [asyncio.create_task(caller(number)) for number in range(OUTAGE_TASKS)]
        await asyncio.sleep(1.0)
        server.kill()
        killed = time.perf_counter()
        await asyncio.sleep(dead)
        await asyncio.to_thread(server.restart)
        back = time.perf_counter()
        firsts: dict[int, float] = {}
        while len(firsts) < OUTAGE_TASKS and time.perf_counter() < back + 15:
            await asyncio.sleep(0.002)
            for number, moment in served.items():
                if moment > back:
                    firsts.setdefault(number, moment)
        await asyncio.sleep(max(0.0, back + 1.1 - time.perf_counter()))
        over.set()
        await asyncio.gather(*tasks)
        await client.connection_pool.disconnect()
    began = back - 0.5  # the server takes connections a little before restart() returns
    early = sorted(moment for moment in opened if began <= moment < back + 1)
    all_served = max(firsts.values()) - back if len(firsts) == OUTAGE_TASKS else None
    return [len(early), _most_in(early, STEP), sum(killed < moment < began for moment in tried), all_served]


def _most_in(moments: list[float], step: float) -> int:
    return max((bisect.bisect_left(moments, moment + step) - index for index, moment in enumerate(moments)), default=0)
