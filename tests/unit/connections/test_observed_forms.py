from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from types import ModuleType

import pytest
import redis
import redis.asyncio

from resilient_redis.connections import aio_observed, observed

BOTH = [(observed, redis.Connection), (aio_observed, redis.asyncio.Connection)]


@pytest.mark.parametrize(("module", "base"), BOTH, ids=["sync", "asyncio"])
def test_a_connection_class_has_one_observing_form(module: ModuleType, base: type) -> None:
    assert module.observed(base) is module.observed(base)
    assert module.observed(module.observed(base)) is module.observed(base)
    derived = type("Derived", (base,), {})
    assert module.observed(derived) is not module.observed(base)
    assert issubclass(module.observed(derived), derived)


@pytest.mark.parametrize(("module", "base"), BOTH, ids=["sync", "asyncio"])
def test_a_connection_class_made_at_run_time_is_forgotten_with_its_maker(module: ModuleType, base: type) -> None:
    """kombu makes one for each channel."""
    made = type("Made", (base,), {})
    module.observed(made)
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_our_client_may_stand_in_redis_pys_place() -> None:
    """Some put it there to reach libraries that name ``redis.Redis`` themselves."""
    code = """
import redis, redis.asyncio, asyncio
import resilient_redis, resilient_redis.asyncio
from resilient_redis.testing import EmbeddedServer
redis.Redis = resilient_redis.ResilientRedis
redis.asyncio.Redis = resilient_redis.asyncio.ResilientRedis
async def main(url):
    async with redis.asyncio.Redis.from_url(url) as r:
        return await r.get("k"), await r.get("k")
with EmbeddedServer.start() as server, redis.Redis.from_url(server.url) as r:
    r.set("k", "v")
    print(r.get("k"), r.get("k"), *asyncio.run(main(server.url)))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["b'v'"] * 4, told.stderr
