"""Throughput and latency against the size of the pool: `python -m benchmarks pool_curve`.

With ``python -m benchmarks.pool_curve --write-docs`` nothing is measured: the tables of the recorded run go into
docs/pool-sizing.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks._crowd import AsyncGet, Crowd, Get, crowd_slice, tasks_slice
from benchmarks._delay import far_away
from benchmarks._rounds import Effort, Result, Table, compare, show
from benchmarks._suite import Report
from benchmarks.contenders import KEY, VALUE
from resilient_redis.testing import EmbeddedServer

OURS = True
"""True: the curve of `ResilientConnectionPool`. False: of redis-py's BlockingConnectionPool."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 100)
THREADS = 64
TASKS = 100
AWAY = 0.003
PATIENCE = 60.0  # nobody is refused: a refusal would be a very quick call

PAGE = Path(__file__).parents[1] / "docs" / "pool-sizing.md"
BEGIN = "<!-- pool_curve: made by `python -m benchmarks.pool_curve --write-docs`, do not edit -->"
END = "<!-- pool_curve: end -->"


def pool_name() -> str:
    """Whose curve it is."""
    return "ResilientConnectionPool" if OURS else f"BlockingConnectionPool of redis-py {redis.__version__}"


def pool_factory(port: int, size: int) -> redis.ConnectionPool:
    """A pool of at most ``size`` connections, whose borrowers wait for as long as it takes."""
    options: dict[str, Any] = {"port": port, "max_connections": size, "retry": Retry(NoBackoff(), 0)}
    if not OURS:
        return redis.BlockingConnectionPool(timeout=PATIENCE, **options)
    from resilient_redis import ResilientConnectionPool

    pool: redis.ConnectionPool = ResilientConnectionPool(acquire_timeout=PATIENCE, **options)
    return pool


def async_pool_factory(port: int, size: int) -> redis.asyncio.ConnectionPool:
    """The same for asyncio."""
    retry = redis.asyncio.retry.Retry(NoBackoff(), 0)
    options: dict[str, Any] = {"port": port, "max_connections": size, "retry": retry}
    if not OURS:
        return redis.asyncio.BlockingConnectionPool(timeout=PATIENCE, **options)
    from resilient_redis.asyncio import ResilientConnectionPool

    pool: redis.asyncio.ConnectionPool = ResilientConnectionPool(acquire_timeout=PATIENCE, **options)
    return pool


def run(effort: Effort) -> Report:
    """A table for each crowd and distance."""
    before = _processor_seconds()
    with EmbeddedServer.start() as server, far_away(server.host, server.port, AWAY) as far:
        server.execute("SET", KEY, VALUE)
        places = {"on the same machine": server.port, f"{AWAY * 1000:g} ms away": far}
        tables = [
            *(_table(f"{THREADS} threads, server {place}", _threads(port, effort)) for place, port in places.items()),
            *(_table(f"{TASKS} asyncio tasks, server {place}", _tasks(port, effort)) for place, port in places.items()),
        ]
        tables[0].notes.append(f"Pool: {pool_name()}. Server: {server.describe()}.")
    if before is not None and (after := _processor_seconds()) is not None:
        busy, spent, all_of_it = (late - early for early, late in zip(before, after, strict=True))
        others = max(0.0, busy - spent) / all_of_it
        tables[-1].notes.append(
            f"Processes that are not part of this used {others:.0%} of all processor time meanwhile."
        )
    return Report(tables)


def _processor_seconds() -> tuple[float, float, float] | None:
    """Processor time since the machine started that was used by all, by us and our ended children, and that there was.

    A neighbour who takes a core bends the curve, and a load average cannot tell him from us. ``None``: not Linux.
    """
    try:
        ticks = [int(field) for field in Path("/proc/stat").read_text(encoding="utf-8").split()[1:9]]
    except OSError:
        return None
    user, nice, system, idle, waiting, interrupts, soft_interrupts, stolen = ticks
    busy = user + nice + system + interrupts + soft_interrupts + stolen
    second = os.sysconf("SC_CLK_TCK")
    return busy / second, sum(os.times()[:4]), (busy + idle + waiting) / second


def _plan(effort: Effort) -> tuple[tuple[int, ...], float, dict[str, int]]:
    """Sizes, seconds of a slice, and how often."""
    if effort.quick:
        return (1, 8, 64), 0.15, {"rounds": 3, "repetitions": 1}
    # Long slices: a caller that starves must have the time to show it.
    return SIZES, 1.0, {"rounds": 5, "repetitions": 3}


def _threads(port: int, effort: Effort) -> list[Result]:
    sizes, seconds, plan = _plan(effort)
    crowd = Crowd(THREADS)
    pools = {str(size): pool_factory(port, size) for size in sizes}
    slices = {size: crowd_slice(crowd, _bare(pool), seconds) for size, pool in pools.items()}
    results = compare(slices, base=str(sizes[0]), **plan)
    crowd.stop()
    for pool in pools.values():
        pool.disconnect()
    return results


def _tasks(port: int, effort: Effort) -> list[Result]:
    sizes, seconds, plan = _plan(effort)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        pools = {str(size): async_pool_factory(port, size) for size in sizes}
        slices = {size: tasks_slice(loop, _get(pool), seconds, TASKS) for size, pool in pools.items()}
        results = compare(slices, base=str(sizes[0]), **plan)
        for pool in pools.values():
            runner.run(pool.disconnect())
    return results


def _bare(pool: redis.ConnectionPool) -> Get:
    client = redis.Redis(connection_pool=pool)
    return lambda: client.get(KEY)


def _get(pool: redis.asyncio.ConnectionPool) -> AsyncGet:
    client = redis.asyncio.Redis(connection_pool=pool)
    return lambda: client.get(KEY)


def _table(title: str, results: list[Result]) -> Table:
    columns = ["connections", "calls/s", "times that of one", "all repetitions", "p50 ms", "p99 ms"]
    rows: list[list[Any]] = [
        [
            result.name,
            1 / result.median,
            1 / result.ratio,
            "" if result is results[0] else f"{show(1 / result.ratios[1])} to {show(1 / result.ratios[0])}",
            result.percentile(0.5) * 1000,
            result.percentile(0.99) * 1000,
        ]
        for result in results
    ]
    return Table(title, columns, rows)


def write_docs() -> None:
    """Put the recorded run into the page, between its two markers."""
    from benchmarks.__main__ import LATEST

    recorded = json.loads(LATEST.read_text(encoding="utf-8"))
    suite, machine = recorded["suites"]["pool_curve"], recorded["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if "redis" in name)
    told = (
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']}; {machine['python']}; {packages}. "
        f"Run at {suite['at']}, load average at the start {suite['load']}.\n"
    )
    tables = [Table(**table).markdown() for table in suite["tables"]]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text("\n".join([before + BEGIN, "", told, *tables, END]) + after, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write-docs"]:
        sys.exit("usage: python -m benchmarks.pool_curve --write-docs; to measure: python -m benchmarks pool_curve")
    write_docs()
