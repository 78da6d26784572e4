"""``from_url`` of the asyncio client takes what redis-py's takes, in the same places."""

from __future__ import annotations

import pytest

from resilient_redis.asyncio import ResilientRedis
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server


@pytest.mark.parametrize("closes", [True, False])
async def test_who_closes_the_pool_may_be_said_and_is_deprecated(server: EmbeddedServer, closes: bool) -> None:
    with pytest.deprecated_call():
        client = ResilientRedis.from_url(server.url, auto_close_connection_pool=closes)
    assert client.auto_close_connection_pool is closes
    assert await client.ping()
    await client.aclose()
    assert client.connection_pool.stats().size == (0 if closes else 1)
    await client.connection_pool.aclose()


async def test_a_client_by_url_closes_its_pool() -> None:
    assert ResilientRedis.from_url("redis://localhost:1").auto_close_connection_pool is True


async def test_a_single_connection_may_be_asked_for_by_position(server: EmbeddedServer) -> None:
    async with ResilientRedis.from_url(server.url, True) as client:
        assert client.single_connection_client
        assert await client.client_id() == await client.client_id()
