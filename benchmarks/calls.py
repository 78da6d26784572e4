"""Where a GET goes: which functions it calls, and what each takes: `python -m benchmarks calls`.

For whoever wants to know what limits a figure. A profiler makes calls dearer than other work, so its times are shares,
not times; the number of calls is the same in each run.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks._rounds import Effort, Table
from benchmarks._suite import Report
from benchmarks.contenders import KEY, VALUE, Contender, Place, ready
from resilient_redis.testing import EmbeddedServer

WHO = ("redis-py as it comes", "resilient_redis, pooled", "resilient_redis, multiplexed")
MOST = 8


def run(effort: Effort) -> Report:
    """How many calls a GET makes, and for each side of ours the functions that take most."""
    times = 200 if effort.quick else 3000
    counts = Table("Function calls for one GET", ["client", "threads", "asyncio"], [])
    report = Report([counts])
    with EmbeddedServer.start() as server:
        server.execute("SET", KEY, VALUE)
        for name in WHO:
            row: list[Any] = [name]
            for side, measure in (("threads", of_threads), ("asyncio", of_tasks)):
                contender = next((one for one in ready(side) if one.name == name), None)
                stats = None if contender is None else measure(contender, Place(server.port), times)
                row.append(None if stats is None else _calls(stats) / times)
                if stats is not None:
                    report.raw.append({"contender": name, "side": side, "calls": _calls(stats) / times})
                    report.tables.append(_table(f"{name}, {side}", stats, times))
            counts.rows.append(row)
    counts.notes.append(
        "Functions of Python and of C, one caller, as cProfile counts them. In asyncio the event loop's are among them."
    )
    return report


def of_threads(contender: Contender, place: Place, times: int) -> pstats.Stats:
    """One thread."""
    client = contender.open(place)
    for _ in range(50):
        client.get()
    profiler = cProfile.Profile()
    profiler.runcall(_repeat, client.get, times)
    client.close()
    return pstats.Stats(profiler)


def of_tasks(contender: Contender, place: Place, times: int) -> pstats.Stats:
    """One task, with all that the loop does for it."""
    profiler = cProfile.Profile()
    with asyncio.Runner() as runner:
        client = runner.run(contender.aopen(place))
        runner.run(_arepeat(client.get, 50))
        profiler.enable()
        runner.run(_arepeat(client.get, times))
        profiler.disable()
        runner.run(_closed(client.close))
    return pstats.Stats(profiler)


def _repeat(get: Callable[[], Any], times: int) -> None:
    for _ in range(times):
        get()


async def _arepeat(get: Callable[[], Awaitable[Any]], times: int) -> None:
    for _ in range(times):
        await get()


async def _closed(close: Callable[[], Awaitable[Any]]) -> None:
    await close()


def _calls(stats: Any) -> int:
    found: int = stats.total_calls
    return found


def _table(title: str, stats: Any, times: int) -> Table:
    """Those that take most by themselves, without what they call."""
    whole = stats.total_tt
    rows = [
        [_where(function), calls / times, 100 * own / whole, own / times * 1e6]
        for function, (_, calls, own, _, _) in stats.stats.items()
    ]
    rows.sort(key=lambda row: -row[2])
    return Table(f"Where a GET goes: {title}", ["function", "calls", "% of all", "own µs, profiled"], rows[:MOST])


def _where(function: tuple[str, int, str]) -> str:
    file, _, name = function
    if file == "~":
        return f"`{name.strip('<>')}`"
    parts = Path(file).parts[-2:]
    return f"`{'/'.join(parts)}: {name}`"
