"""What looks guarded and is not gets an error, not silence."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
import redis.asyncio

import resilient_redis.asyncio
from resilient_redis import (
    ConfigError,
    Fallback,
    ResiliencePipeline,
    ResilientConnectionPool,
    ResilientRedis,
    Timeout,
    fallback,
)
from resilient_redis.testing.clock import FakeClock


async def answer() -> int:
    return 42


@pytest.mark.parametrize("forced_full_path", [False, True])
def test_a_coroutine_function_in_a_sync_call_is_a_type_error(forced_full_path: bool) -> None:
    pipeline = ResiliencePipeline([Fallback(0), Timeout(1)], clock=FakeClock())
    with pytest.raises(TypeError, match="acall"):
        if forced_full_path:
            with pipeline.overrides(timeout=1):
                pipeline.call(answer)
        else:
            pipeline.call(answer)


def test_generators_cannot_be_guarded() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    for function in (numbers, later):
        with pytest.raises(ConfigError, match="generator"):
            fallback([])(function)


def test_a_dropped_pipeline_is_not_kept_alive_by_its_last_call() -> None:
    pipeline = ResiliencePipeline([Timeout(1)], clock=FakeClock())
    pipeline.call(int)
    plan = weakref.ref(pipeline.plan)
    del pipeline
    gc.collect()
    assert plan() is None


@pytest.mark.parametrize("pool", [redis.asyncio.ConnectionPool, resilient_redis.asyncio.ResilientConnectionPool])
def test_a_pool_for_asyncio_cannot_serve_threads(pool: type) -> None:
    with pytest.raises(
        ConfigError, match=r"^connection_pool: .* for asyncio .* resilient_redis\.ResilientConnectionPool$"
    ):
        ResilientRedis(connection_pool=pool())


@pytest.mark.parametrize("pool", [redis.ConnectionPool, ResilientConnectionPool])
def test_a_pool_for_threads_cannot_serve_asyncio(pool: type) -> None:
    with pytest.raises(ConfigError, match=r"^connection_pool: .* for threads .* resilient_redis\.asyncio\."):
        resilient_redis.asyncio.ResilientRedis(connection_pool=pool())
