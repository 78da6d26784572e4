"""Shared connections after a failover: a reply says that the server is the wrong one, and the next one is dialled."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

import resilient_redis.asyncio
from resilient_redis import Timeout
from resilient_redis.testing import FaultProxy
from resilient_redis.transport.adopt import adopt

pytestmark = pytest.mark.server


@pytest.mark.parametrize("whose", ["ours", "redis-py's"])
async def test_a_reply_of_a_replica_moves_the_shared_connection(face: Any, proxy: FaultProxy, whose: str) -> None:
    ours = resilient_redis if face.name == "sync" else resilient_redis.asyncio
    pool_class = ours.ResilientConnectionPool if whose == "ours" else face.names.ConnectionPool
    pool = face.keep(pool_class.from_url(proxy.url))
    client = face.keep(face.Client(connection_pool=pool, policies=[Timeout(2)], strategy="multiplexed"))
    assert await face.run(client.set, "k", "v") is True
    proxy.reply_error("READONLY You can't write against a read only replica.", commands=["SET"])
    assert isinstance(await face.error(client.set, "k", "w"), redis.ReadOnlyError)
    lines = adopt(pool).lines
    deadline = time.monotonic() + 5
    while lines.stats().ends != {"drain": 1}:
        assert time.monotonic() < deadline, lines.stats()
        await face.pause(0.01)
    assert await face.run(client.set, "k", "w") is True
    assert (proxy.connections_opened, lines.stats().connected) == (2, 1)
