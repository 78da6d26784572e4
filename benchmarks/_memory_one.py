"""The memory of one client, or of one pool, in a process of its own.

`python -m benchmarks._memory_one callers|connections <name> <number>`
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import redis
import redis.asyncio

from benchmarks._machine import allow_many_sockets
from benchmarks.contenders import KEY, VALUE, Place, contenders
from resilient_redis import ResilientConnectionPool
from resilient_redis.asyncio import ResilientConnectionPool as AsyncResilientConnectionPool
from resilient_redis.testing import EmbeddedServer

NOTHING = "nothing: a task that waits"
POOLS: dict[str, Any] = {
    "redis-py ConnectionPool": redis.ConnectionPool,
    "ResilientConnectionPool": ResilientConnectionPool,
    "redis-py ConnectionPool, asyncio": redis.asyncio.ConnectionPool,
    "ResilientConnectionPool, asyncio": AsyncResilientConnectionPool,
}
PAGE = os.sysconf("SC_PAGE_SIZE")
SETTLING = 0.5


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


async def of_callers(name: str, number: int, server: EmbeddedServer) -> dict[str, Any]:
    """All callers at once, while the server is stopped."""
    get, over = await _client(name, Place(server.port, number, deadline=60, filled=False))
    await get()
    before = resident()
    over.clear()
    await asyncio.to_thread(server.pause)
    tasks = [asyncio.ensure_future(get()) for _ in range(number)]
    await asyncio.sleep(SETTLING)
    waiting = resident()
    await asyncio.to_thread(server.resume)
    over.set()
    await asyncio.gather(*tasks)
    return {
        "name": name,
        "kilobytes": (waiting - before) / number / 1000,
        "connections": _connections(server),
    }


async def _client(name: str, place: Place) -> tuple[Callable[[], Awaitable[Any]], asyncio.Event]:
    over = asyncio.Event()
    over.set()
    if name == NOTHING:
        return over.wait, over
    contender = next(one for one in contenders() if one.name == name)
    return (await contender.aopen(place)).get, over


def _connections(server: EmbeddedServer) -> int:
    """Those of the server, but for the one that asks."""
    lines = server.execute("INFO", "clients").decode().split("\r\n")
    return next(int(line.partition(":")[2]) for line in lines if line.startswith("connected_clients")) - 1


async def of_connections(name: str, number: int, server: EmbeddedServer) -> dict[str, Any]:
    """Borrow so many from a pool, give them back, and look; what the first one loads is not counted."""
    pool = POOLS[name](port=server.port, max_connections=number)
    await _done(pool.release(await _done(pool.get_connection())))
    before = resident()
    borrowed = [await _done(pool.get_connection()) for _ in range(number)]
    for connection in borrowed:
        await _done(pool.release(connection))
    del borrowed, connection
    return {"name": name, "kilobytes": (resident() - before) / (number - 1) / 1000, "connections": number}


async def _done(made: Any) -> Any:
    return await made if inspect.isawaitable(made) else made


if __name__ == "__main__":
    allow_many_sockets()
    measure = of_callers if sys.argv[1] == "callers" else of_connections
    with EmbeddedServer.start(args=("--maxclients", "19000")) as stage:
        stage.execute("SET", KEY, VALUE)
        print(json.dumps(asyncio.run(measure(sys.argv[2], int(sys.argv[3]), stage))), flush=True)
