"""Borrowing a connection from a pool and giving it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio

from benchmarks.micro._groups import Function, Group
from resilient_redis import ResilientConnectionPool
from resilient_redis.asyncio import ResilientConnectionPool as AsyncResilientConnectionPool

PLAIN, BLOCKING = "redis-py ConnectionPool", "redis-py BlockingConnectionPool"
OURS, NOTHING = "ResilientConnectionPool", "two empty calls"

port = 0  # set by whoever started a server


def groups() -> list[Group]:
    """For threads and for asyncio. They need a server, for redis-py's pools hand out connected connections only."""
    shared: dict[str, Any] = {"base": PLAIN, "floor": NOTHING, "unit": 1e-6}
    note = "psycopg_pool took 5.1 µs in the project's first research, on this machine."
    return [
        Group("borrow", "Borrow and give back, threads", False, make=_sync, notes=[note], **shared),
        Group("borrow-asyncio", "Borrow and give back, asyncio", True, make=_aio, **shared),
    ]


def _sync() -> dict[str, Callable[[], Function]]:
    return {
        NOTHING: lambda: _two_calls,
        PLAIN: lambda: _cycle(redis.ConnectionPool(port=port)),
        BLOCKING: lambda: _cycle(redis.BlockingConnectionPool(port=port)),
        OURS: lambda: _cycle(ResilientConnectionPool(port=port)),
    }


def _aio() -> dict[str, Callable[[], Function]]:
    return {
        NOTHING: lambda: _two_awaits,
        PLAIN: lambda: _async_cycle(redis.asyncio.ConnectionPool(port=port)),
        BLOCKING: lambda: _async_cycle(redis.asyncio.BlockingConnectionPool(port=port)),
        OURS: lambda: _async_cycle(AsyncResilientConnectionPool(port=port)),
    }


def _cycle(pool: Any) -> Function:
    def cycle() -> None:
        pool.release(pool.get_connection())

    return cycle


def _async_cycle(pool: Any) -> Function:
    async def cycle() -> None:
        await pool.release(await pool.get_connection())

    return cycle


def _nothing() -> None: ...


def _two_calls() -> None:
    _nothing()
    _nothing()


async def _async_nothing() -> None: ...


async def _two_awaits() -> None:
    await _async_nothing()
    await _async_nothing()
