"""After a failover: connections to the old master are given up, so that the next dials ask anew where to go."""

from __future__ import annotations

from typing import Any

import redis.exceptions as rx

from resilient_redis.pool.face import PoolFace
from resilient_redis.transport.adopt import adopt

_AT_MOST_EVERY = 1.0
"""Seconds. Writes to a server that simply is a replica all get READONLY: they must not keep the pool dialling."""


def leads_astray(error: Exception) -> bool:
    """Does the error say that its connection leads to the wrong server?"""
    if isinstance(error, (rx.ReadOnlyError, rx.MasterDownError)):
        return True
    return getattr(error, "_word", "") == "READONLY"  # behind Sentinel it is another error: see `moved`


def renew(pool: Any) -> None:
    """Close what is idle, and what is lent once it comes back."""
    if not _is_due(pool):
        return
    if isinstance(pool, PoolFace):
        pool.drain()  # type: ignore[attr-defined] # both shells have it
    else:
        _retire_shared(pool)
        pool.disconnect(inuse_connections=False)


async def arenew(pool: Any) -> None:
    """Twin of `renew`."""
    if not _is_due(pool):
        return
    if isinstance(pool, PoolFace):
        pool.drain()  # type: ignore[attr-defined] # both shells have it
    else:
        _retire_shared(pool)
        await pool.disconnect(inuse_connections=False)


def _retire_shared(pool: Any) -> None:
    """A pool of redis-py's knows nothing of the shared connections, which are out for as long as they live."""
    lines = adopt(pool).lines
    if lines is not None:
        lines.retire("drain")


def _is_due(pool: Any) -> bool:
    state = adopt(pool)
    now = state.store.runtime.clock.monotonic()
    if now - state.renewed < _AT_MOST_EVERY:
        return False
    state.renewed = now
    return True
