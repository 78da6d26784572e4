"""Errors of others, met on the way of a command: they are not the server's answer to it, and prove nothing about it."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from both_sides import Side

from resilient_redis import CircuitOpenError, PoolTimeoutError, Retry
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

THRICE = [Retry(attempts=3, wait_initial=0.005, wait_max=0.01)]
EARLIER = [
    redis.exceptions.ReadOnlyError("You can't write against a read only replica."),
    redis.exceptions.ExecAbortError("Transaction discarded because of previous errors."),
    redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    redis.exceptions.NoScriptError("No matching script."),
    redis.exceptions.WatchError("Watched variable changed."),
    redis.exceptions.AuthenticationError("invalid username-password pair"),
    redis.exceptions.ConnectionError("Connection refused."),
    redis.exceptions.TimeoutError("Timeout connecting to server"),
]


@pytest.fixture(params=EARLIER, ids=lambda error: type(error).__name__)
def earlier(request: pytest.FixtureRequest) -> Exception:
    """What is being handled when the call is made; it says of itself that it was never sent."""
    error: Any = request.param
    error.delivery = "not_sent"
    return error


@pytest.mark.parametrize("fault", ["half_reply", "cut_after_request"])
async def test_a_lost_reply_in_a_handler_is_unknown(
    side: Side, make: Any, proxy: FaultProxy, straight: redis.Redis, earlier: Exception, fault: str
) -> None:
    client = make(proxy.url, policies=THRICE)
    await side.do(client.ping)
    proxy.inject(fault)
    try:
        raise earlier
    except redis.RedisError:
        with pytest.raises(redis.ConnectionError) as caught:
            await side.do(client.incr, "n")
    assert (caught.value.delivery, straight.get("n")) == ("unknown", b"1")


async def test_a_pipeline_done_in_part_in_a_handler_is_not_repeated(
    side: Side, make: Any, server: EmbeddedServer, straight: redis.Redis, earlier: Exception
) -> None:
    client = make(server.url, policies=THRICE)
    straight.rpush("jobs", "a", "b", "c")
    straight.config_set("maxmemory", 1)
    pipe = client.pipeline(transaction=False)
    pipe.lpop("jobs")
    pipe.set("k", "v")
    try:
        raise earlier
    except redis.RedisError:
        with pytest.raises(redis.exceptions.OutOfMemoryError) as caught:
            await side.do(pipe.execute)
    assert (caught.value.delivery, straight.llen("jobs")) == ("unknown", 2)


async def test_a_lost_exec_in_a_handler_is_unknown(
    side: Side, make: Any, proxy: FaultProxy, straight: redis.Redis, earlier: Exception
) -> None:
    pipe = make(proxy.url, policies=THRICE).pipeline()
    pipe.incr("n")
    proxy.half_reply(commands=["EXEC"])
    try:
        raise earlier
    except redis.RedisError:
        with pytest.raises(redis.ConnectionError) as caught:
            await side.do(pipe.execute)
    assert (caught.value.delivery, straight.get("n")) == ("unknown", b"1")


MADE_BY_A_CALLBACK = [
    redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
    redis.exceptions.ReadOnlyError("You can't write against a read only replica."),
    redis.exceptions.DataError("Invalid input"),
    redis.exceptions.MaxConnectionsError("Too many connections"),
    CircuitOpenError("another server's circuit is open"),
    PoolTimeoutError("another pool is exhausted"),
]


@pytest.mark.parametrize("made", MADE_BY_A_CALLBACK, ids=lambda error: type(error).__name__)
async def test_an_error_of_a_response_callback_comes_after_the_effect(
    side: Side, make: Any, server: EmbeddedServer, straight: redis.Redis, made: Exception
) -> None:
    """It may do other work, on other servers. The command itself has been applied by then."""
    client = make(server.url, policies=[Retry(attempts=3, wait_initial=0, wait_max=0, retry_rejected=True)])
    calls = 0

    def callback(reply: Any, **_: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise made
        return reply

    client.set_response_callback("INCRBY", callback)
    with pytest.raises(type(made)) as caught:
        await side.do(client.incr, "n")
    assert (caught.value.delivery, straight.get("n")) == ("unknown", b"1")
