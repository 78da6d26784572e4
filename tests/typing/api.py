"""Never run: mypy and pyright check that signatures and types survive our decorators and calls."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import assert_type

import redis
import redis.asyncio

from resilient_redis import (
    CircuitBreaker,
    Fallback,
    ResiliencePipeline,
    ResilientRedis,
    Retry,
    Timeout,
    fallback,
    resilient,
)
from resilient_redis.asyncio import ResilientRedis as AsyncResilientRedis


@fallback(None)
def sync_function(user: str, count: int = 1) -> int:
    return count + len(user)


@fallback("")
async def coroutine_function(user: str) -> bytes:
    return user.encode()


@fallback(0.5)
def returns_awaitable(user: str) -> Awaitable[int]:
    raise NotImplementedError(user)


@resilient([Retry(on=redis.ConnectionError), Timeout(1)])
def kept(user: str) -> int:
    return len(user)


assert_type(sync_function("ada", count=2), int | None)
assert_type(kept("ada"), int)
sync_function(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
kept(user=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

client: redis.Redis = ResilientRedis.from_url(
    "redis://localhost", policies=[Fallback(None), Retry(attempts=3), CircuitBreaker(), Timeout("250ms")]
)
async_client: redis.asyncio.Redis = AsyncResilientRedis(policies=[])
pipeline = ResiliencePipeline([Timeout(1)])


async def use() -> None:
    assert_type(await coroutine_function("ada"), bytes | str)
    assert_type(await returns_awaitable("ada"), int | float)
    assert_type(pipeline.call(kept, "ada"), int)
    answer: bytes | str = await pipeline.acall(coroutine_function, "ada")
    print(answer)
