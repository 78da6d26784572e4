"""The same commands give the same replies as redis-py's own client gives without any fault, type by type."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from differential_commands import SEQUENCES, Asked
from hypothesis import HealthCheck, given, settings

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import Retry
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

POLICIES = [Retry(attempts=4, wait_initial=0, wait_max=0)]
REFUSALS = {
    "loading": "LOADING Redis is loading the dataset in memory",
    "oom": "OOM command not allowed when used memory > 'maxmemory'.",
}


class Pair:
    """redis-py's client on database 0, ours on database 1 behind a proxy."""

    def __init__(
        self, server: EmbeddedServer, proxy: FaultProxy, strategy: str, *, is_async: bool, **options: Any
    ) -> None:
        self.proxy = proxy
        self.runner = asyncio.Runner() if is_async else None
        stock = redis.asyncio.Redis if is_async else redis.Redis
        ours = resilient_redis.asyncio.ResilientRedis if is_async else resilient_redis.ResilientRedis
        self.theirs = stock.from_url(server.url, **options)
        self.ours = ours.from_url(proxy.url.replace("/0", "/1"), policies=POLICIES, strategy=strategy, **options)

    def run(self, function: Any, *args: Any, **options: Any) -> Any:
        """Call it on this side."""

        async def call() -> Any:
            reply = function(*args, **options)
            return await reply if inspect.isawaitable(reply) else reply

        return self.runner.run(call()) if self.runner else function(*args, **options)

    def ask(self, client: Any, asked: Asked) -> Any:
        """The reply, or the error as its class and words."""
        try:
            if asked.batch:
                transaction, raises = asked.args
                pipe = client.pipeline(transaction=transaction)
                for one in asked.batch:
                    getattr(pipe, one.method)(*one.args, **dict(one.options))
                return [told(reply) for reply in self.run(pipe.execute, raise_on_error=raises)]
            return self.run(getattr(client, asked.method), *asked.args, **dict(asked.options))
        except redis.RedisError as error:
            # A pipeline's message has its commands' keys in it; ours has not.
            return (type(error), "" if asked.batch else str(error))

    def arm(self, fault: str | None) -> None:
        """Let it befall the next request of ours."""
        if fault in REFUSALS:
            self.proxy.reply_error(REFUSALS[fault])
        elif fault is not None:
            self.proxy.inject(fault)

    def disarm(self) -> None:
        """What was not met befalls nobody later. (Some commands are refused before they are sent.)"""
        self.proxy.heal()

    def close(self) -> None:
        for client in (self.theirs, self.ours):
            self.run(client.aclose if self.runner else client.close)
            self.run(client.connection_pool.disconnect)
        if self.runner:
            self.runner.close()


def told(reply: Any) -> Any:
    """An error among the replies, as what can be compared."""
    return type(reply) if isinstance(reply, Exception) else reply


def same(mine: Any, theirs: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(mine) is not type(theirs):
        return False
    if isinstance(mine, dict):
        return list(mine) == list(theirs) and all(same(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, (list, tuple)):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    if isinstance(mine, set):
        return same(sorted(mine, key=repr), sorted(theirs, key=repr))
    return bool(mine == theirs)


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[True, False], ids=["text", "bytes"])
def decode(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[False, True], ids=["sync", "asyncio"])
def pair(
    request: pytest.FixtureRequest,
    server: EmbeddedServer,
    proxy: FaultProxy,
    protocol: int,
    decode: bool,
    strategy: str,
) -> Iterator[Pair]:
    pair = Pair(server, proxy, strategy, is_async=request.param, protocol=protocol, decode_responses=decode)
    yield pair
    pair.close()


def play(pair: Pair, sequence: list[Asked], met: Counter[str]) -> None:
    """Both do all of it; ``met`` counts the faults that ours came through."""
    pair.run(pair.theirs.flushall)
    for asked in sequence:
        theirs = pair.ask(pair.theirs, asked)
        pair.arm(asked.fault)
        mine = pair.ask(pair.ours, asked)
        if asked.fault and "armed: nothing" in repr(pair.proxy):
            met[asked.kind] += 1
        pair.disarm()
        assert same(mine, theirs), f"{asked}: {mine!r} instead of {theirs!r}"


def test_the_same_replies_with_and_without_faults(pair: Pair, strategy: str) -> None:
    met: Counter[str] = Counter()
    examples = 30 if strategy == "pooled" else 15

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(sequence=SEQUENCES)
    def agree(sequence: list[Asked]) -> None:
        play(pair, sequence, met)

    agree()
    assert min(met[kind] for kind in ("read", "idempotent", "other")) > 0, met
    assert met.total() > 10, met


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_replies_for_long(pair: Pair) -> None:
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(sequence=SEQUENCES)
    def agree(sequence: list[Asked]) -> None:
        play(pair, sequence, Counter())

    agree()
