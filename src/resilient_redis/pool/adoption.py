"""Clients make their pool through redis-py's own constructor; here it becomes one of ours before it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import redis
import redis.asyncio

from resilient_redis.durations import Duration
from resilient_redis.errors import ConfigError
from resilient_redis.pool.face import PoolFace
from resilient_redis.pool.options import PoolOptions, take_options
from resilient_redis.pool.priority import Priority

_NO_LIMIT = 2**31
"""What redis-py 6 and 7 put where no ``max_connections`` was given."""


def separate_options(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pool's options, and redis-py's keyword arguments.

    Raises:
        ConfigError: there are options for a pool that was made before.
    """
    rest = dict(kwargs)
    options = take_options(rest)
    if rest.get("connection_pool") is not None:
        options.pop("max_connections", None)  # redis-py ignores it then, too
        if options:
            name = min(options)
            raise ConfigError(f"{name}: the pool in connection_pool has it already; give it to that pool", field=name)
    return options, rest


def make_resilient(pool: Any, options: dict[str, Any]) -> None:
    """Turn a pool of redis-py's that was just made, and has no connection yet, into one of ours.

    Its class is changed, not the object: redis-py has told its event dispatcher, its cache and its handlers for
    maintenance notifications of this very object.
    """
    given = dict(options)
    if given.get("max_connections") is None:
        given.pop("max_connections", None)
        if pool.max_connections < _NO_LIMIT:
            given["max_connections"] = pool.max_connections
    checked = PoolOptions(**given)
    ours = _our_form(type(pool))
    if ours is not None:
        pool.__class__ = ours
        pool._set_up(checked, None)


def _our_form(kind: type[Any]) -> type[Any] | None:
    # Imported here: a sync client has no use for the pool of asyncio, which is a tenth of what it would import.
    if kind is redis.ConnectionPool:
        from resilient_redis.pool import sync_pool

        return sync_pool.ResilientConnectionPool
    if kind is redis.asyncio.ConnectionPool:
        from resilient_redis.pool import aio_pool

        return aio_pool.ResilientConnectionPool
    return None


def is_ours(pool: Any) -> bool:
    """Is it a pool of this library?"""
    return isinstance(pool, PoolFace)


@contextmanager
def leased(pool: Any, timeout: Duration | None, priority: Priority | None) -> Iterator[Any]:
    """A connection of any pool for a block; a pool of redis-py's knows neither timeout nor priority."""
    connection = pool.acquire(timeout=timeout, priority=priority) if is_ours(pool) else pool.get_connection()
    try:
        yield connection
    finally:
        pool.release(connection)


@asynccontextmanager
async def aio_leased(pool: Any, timeout: Duration | None, priority: Priority | None) -> AsyncIterator[Any]:
    """Twin of `leased`."""
    ours = is_ours(pool)
    connection = await (pool.acquire(timeout=timeout, priority=priority) if ours else pool.get_connection())
    try:
        yield connection
    finally:
        await pool.release(connection)
