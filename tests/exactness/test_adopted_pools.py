"""A client of ours over somebody else's pool of redis-py's: what it says of a command is as true there."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from both_sides import Side
from redis.backoff import NoBackoff

from resilient_redis import Retry
from resilient_redis.testing import FaultProxy

pytestmark = pytest.mark.server

THRICE = [Retry(attempts=3, wait_initial=0.005, wait_max=0.01, retry_rejected=True)]


@pytest.fixture
def pool(side: Side, proxy: FaultProxy) -> Any:
    """A pool of redis-py's."""
    return side.StockPool.from_url(proxy.url)


async def lose_a_reply(side: Side, client: Any, proxy: FaultProxy, straight: redis.Redis) -> None:
    """An increment whose reply is lost is unknown, and is there once."""
    proxy.cut_after_request(commands=["INCRBY"])
    with pytest.raises(redis.ConnectionError) as caught:
        await side.do(client.incr, "n")
    assert (caught.value.delivery, straight.get("n")) == ("unknown", b"1")


async def test_over_a_pool_that_nobody_has_used(
    side: Side, strategy: str, pool: Any, proxy: FaultProxy, straight: redis.Redis
) -> None:
    client = side.keep(side.Client(connection_pool=pool, strategy=strategy, policies=THRICE))
    await side.do(client.ping)
    await lose_a_reply(side, client, proxy, straight)


@pytest.mark.parametrize("used", [False, True])
async def test_only_the_connections_of_a_pool_that_nobody_has_used_are_shared(
    side: Side, pool: Any, proxy: FaultProxy, used: bool
) -> None:
    """What redis-py has dialled before does not observe as ours do: each call then has one of its own, as if pooled.

    So the tests below, over pools in use, say of the multiplexed strategy that this way back from it is exact.
    """
    if used:
        await side.do(side.keep(side.Stock(connection_pool=pool)).ping)
    client = side.keep(side.Client(connection_pool=pool, strategy="multiplexed", policies=THRICE))
    await side.do(client.set, "k", "v")
    proxy.delay(0.05)
    await side.together(side.do(client.get, "k") for _ in range(5))
    assert (proxy.connections_opened == 1) is not used


async def test_over_a_pool_that_is_in_use_already(
    side: Side, strategy: str, pool: Any, proxy: FaultProxy, straight: redis.Redis
) -> None:
    """Its connections were made before anybody thought of us."""
    before = side.keep(side.Stock(connection_pool=pool))
    await side.do(before.ping)
    client = side.keep(side.Client(connection_pool=pool, strategy=strategy, policies=THRICE))
    await lose_a_reply(side, client, proxy, straight)


async def test_over_a_pool_with_a_connection_lent_to_another(
    side: Side, strategy: str, pool: Any, proxy: FaultProxy, straight: redis.Redis
) -> None:
    before = side.keep(side.Stock(connection_pool=pool))
    subscriber = before.pubsub()
    await side.do(subscriber.subscribe, "news")
    pipe = before.pipeline()
    await side.do(pipe.watch, "key")
    client = side.keep(side.Client(connection_pool=pool, strategy=strategy, policies=THRICE))
    await side.do(pipe.reset)  # now it comes back
    await lose_a_reply(side, client, proxy, straight)
    await side.do(subscriber.close if side.name == "threads" else subscriber.aclose)


async def test_whose_connection_class_is_changed_by_another_later(
    side: Side, strategy: str, proxy: FaultProxy, straight: redis.Redis
) -> None:
    """rq and kombu do such things, to our own pools too."""
    client = side.client(proxy.url, strategy=strategy, policies=THRICE)
    client.connection_pool.connection_class = side.StockPool.from_url(proxy.url).connection_class
    await side.do(client.ping)
    await lose_a_reply(side, client, proxy, straight)


async def test_whose_retries_are_set_by_another_later(
    side: Side, strategy: str, pool: Any, proxy: FaultProxy, straight: redis.Redis
) -> None:
    client = side.keep(side.Client(connection_pool=pool, strategy=strategy, policies=THRICE))
    await side.do(client.ping)
    pool.set_retry(side.retry_class(NoBackoff(), 5))
    await lose_a_reply(side, client, proxy, straight)


async def test_a_read_over_a_pool_that_is_in_use_already_is_repeated(
    side: Side, strategy: str, pool: Any, proxy: FaultProxy, straight: redis.Redis
) -> None:
    before = side.keep(side.Stock(connection_pool=pool))
    await side.do(before.set, "k", "v")
    client = side.keep(
        side.Client(connection_pool=pool, strategy=strategy, policies=[Retry(attempts=3, wait_initial=0, wait_max=0)])
    )
    proxy.cut_after_request(commands=["GET"])
    assert await side.do(client.get, "k") == b"v"
