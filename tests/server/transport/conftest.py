"""redis-py's own clients over pools with policies, for the tests of these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import Retry, Timeout

STACK = [Retry(attempts=3, wait_initial=0, wait_max=0), Timeout(2)]


@pytest.fixture
async def pool_of(face: Any) -> AsyncIterator[Callable[..., Any]]:
    """Makes pools with policies; when the test ends nothing may be lent."""
    made: list[Any] = []
    pools = (resilient_redis if face.name == "sync" else resilient_redis.asyncio).ResilientConnectionPool

    def make(url: str, policies: Any = STACK, **options: Any) -> Any:
        made.append(face.keep(pools.from_url(url, policies=policies, **options)))
        return made[-1]

    yield make
    await face.close()
    for pool in made:
        stats = pool.stats()
        assert (stats.borrowed, stats.pending) == (0, 0)


@pytest.fixture
def client_of(face: Any, pool_of: Any) -> Callable[..., Any]:
    """Makes redis-py's own clients over such pools."""

    def make(url: str, policies: Any = STACK, *, single: bool = False, **options: Any) -> Any:
        pool = pool_of(url, policies, **options)
        return face.keep(face.names.Redis(connection_pool=pool, single_connection_client=single))

    return make
