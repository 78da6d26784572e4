"""A GET from a server on this machine, one caller and many tasks: `python -m benchmarks.get`."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
import redis.asyncio.retry
from redis.backoff import NoBackoff

from benchmarks import _clients as clients
from benchmarks import _stacks as stacks
from benchmarks._rounds import Effort, Result, Sample, Slice, Table, compare, run_alone, show
from resilient_redis.asyncio import ResilientRedis as AsyncResilientRedis
from resilient_redis.testing import EmbeddedServer

CALLS = 200
AsyncGet = Callable[[], Awaitable[Any]]


def one_after_another(get: clients.Get) -> Slice:
    """Seconds of wall time per call, and of CPU time of this process in the place of a latency."""

    def run() -> Sample:
        cpu, started = time.process_time(), time.perf_counter()
        for _ in itertools.repeat(None, CALLS):
            get()
        return Sample((time.perf_counter() - started) / CALLS, ((time.process_time() - cpu) / CALLS,))

    run()
    return run


def many_tasks(loop: asyncio.AbstractEventLoop, get: AsyncGet, tasks: int) -> Slice:
    """The same with ``tasks`` tasks of one loop."""
    each = max(1, CALLS // tasks) if tasks > 1 else CALLS
    calls = each * tasks

    async def caller() -> None:
        for _ in itertools.repeat(None, each):
            if await get() != clients.VALUE:
                raise AssertionError("a wrong reply")

    async def all_callers() -> None:
        await asyncio.gather(*(caller() for _ in range(tasks)))

    def run() -> Sample:
        cpu, started = time.process_time(), time.perf_counter()
        loop.run_until_complete(all_callers())
        return Sample((time.perf_counter() - started) / calls, ((time.process_time() - cpu) / calls,))

    run()
    return run


def sync_gets(port: int) -> dict[str, clients.Get]:
    """By name."""
    return {
        clients.DEFAULT: clients.bare(clients.pool(port, retries=True)),
        clients.BARE: clients.bare(clients.pool(port)),
        clients.OURS: clients.ours(clients.our_pool(port)),
        clients.PYBREAKER: clients.with_pybreaker(clients.pool(port)),
        clients.BY_HAND: clients.by_hand(clients.pool(port)),
    }


def async_gets(port: int, tasks: int) -> dict[str, AsyncGet]:
    """By name; a connection for each task, as many as it takes."""

    def pool(**options: Any) -> redis.asyncio.ConnectionPool:
        client = redis.asyncio.Redis(port=port, max_connections=max(100, tasks), **options)
        connections: redis.asyncio.ConnectionPool = client.connection_pool
        return connections

    def get(client: Any) -> AsyncGet:
        return lambda: client.get(clients.KEY)

    off = {"retry": redis.asyncio.retry.Retry(NoBackoff(), 0)}
    policies = stacks.ours(fallback=clients.FALLBACK, timeout=2)
    return {
        clients.DEFAULT: get(redis.asyncio.Redis(connection_pool=pool())),
        clients.BARE: get(redis.asyncio.Redis(connection_pool=pool(**off))),
        clients.OURS: get(AsyncResilientRedis(port=port, max_connections=max(100, tasks), policies=policies)),
    }


def run(effort: Effort) -> list[Table]:
    """One table for both worlds."""
    columns = ["callers", "client", "µs per GET", "best decile", "CPU µs", "time against bare", "all repetitions"]
    table = Table("GET, server on the same machine", columns, [])
    plan = {"rounds": 15 if effort.quick else 61, "repetitions": 1 if effort.quick else 3}
    with EmbeddedServer.start() as server:
        server.execute("SET", clients.KEY, clients.VALUE)
        slices = {name: one_after_another(get) for name, get in sync_gets(server.port).items()}
        table.rows += _rows("1 thread", compare(slices, base=clients.DEFAULT, **plan))
        for tasks in (1, 100):
            with asyncio.Runner() as runner:
                loop = runner.get_loop()
                gets = async_gets(server.port, tasks)
                slices = {name: many_tasks(loop, get, tasks) for name, get in gets.items()}
                label = "1 task" if tasks == 1 else f"{tasks} tasks"
                table.rows += _rows(label, compare(slices, base=clients.DEFAULT, **plan))
        table.notes.append(f"Server: {server.describe()}. CPU is that of the client's process.")
    table.notes.append(f"Bare is '{clients.DEFAULT}'. No goal yet: commands still go through redis-py's own path.")
    return [table]


def _rows(callers: str, results: list[Result]) -> list[list[object]]:
    return [
        [
            callers,
            result.name,
            result.median * 1e6,
            result.best * 1e6,
            result.percentile(0.5) * 1e6,
            result.ratio,
            "" if result.name == clients.DEFAULT else f"{show(result.ratios[0])} to {show(result.ratios[1])}",
        ]
        for result in results
    ]


if __name__ == "__main__":
    run_alone(run)
