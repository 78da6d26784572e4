"""Connections that send in a way of their own: nothing is claimed of them that is not known."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio

import resilient_redis.asyncio
from resilient_redis import Fallback, ResilientRedis, Retry, Timeout
from resilient_redis.connections import aio_observed
from resilient_redis.connections import observed as sync_observed

FAKE = fakeredis.FakeRedis().connection_pool.connection_class
FAKE_ASYNC = fakeredis.FakeAsyncRedis().connection_pool.connection_class


def fake_pool() -> Any:
    return redis.ConnectionPool(connection_class=FAKE, server=fakeredis.FakeServer(), host="fake", port=1)


def fake_async_pool() -> Any:
    server = fakeredis.FakeServer()
    return redis.asyncio.ConnectionPool(connection_class=FAKE_ASYNC, server=server, host="fake", port=1)


def test_a_sync_reply_that_came_too_late_is_a_timeout_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    read = FAKE.read_response

    def slow(self: Any, *args: Any, **options: Any) -> Any:
        time.sleep(0.15)
        return read(self, *args, **options)

    pool = fake_pool()
    client = ResilientRedis(connection_pool=pool, policies=[Timeout(0.05)])
    monkeypatch.setattr(FAKE, "read_response", slow)
    with pytest.raises(redis.TimeoutError, match="after its deadline") as caught:
        client.get("k")
    assert caught.value.delivery == "unknown"
    pool.disconnect()


async def test_an_asyncio_reply_that_takes_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: Any, *args: Any, **options: Any) -> Any:
        await asyncio.sleep(5)

    pool = fake_async_pool()
    client = resilient_redis.asyncio.ResilientRedis(connection_pool=pool, policies=[Timeout(0.05)])
    monkeypatch.setattr(FAKE_ASYNC, "read_response", never)
    began = time.monotonic()
    with pytest.raises(redis.TimeoutError):
        await client.get("k")
    assert time.monotonic() - began < 2
    await pool.disconnect()


def test_a_connection_class_that_sends_its_own_way_is_left_alone() -> None:
    class Own(redis.Connection):
        def send_packed_command(self, command: Any, check_health: bool = True) -> None: ...

    class OwnAsync(redis.asyncio.Connection):
        async def send_packed_command(self, command: Any, check_health: bool = True) -> None: ...

    assert sync_observed.observed(Own) is Own
    assert aio_observed.observed(OwnAsync) is OwnAsync
    assert not sync_observed.is_observed(Own)
    assert not aio_observed.is_observed(OwnAsync)


def test_a_connection_class_that_sends_as_redis_py_does_is_observed_once() -> None:
    class Own(redis.Connection): ...

    class OwnAsync(redis.asyncio.SSLConnection): ...

    for observed, cls in ((sync_observed.observed, Own), (aio_observed.observed, OwnAsync)):
        made = observed(cls)
        assert issubclass(made, cls)
        assert made is not cls
        assert observed(made) is made
        assert observed(cls) is made


@pytest.mark.parametrize("own_way", [False, True], ids=["observed", "unobserved"])
def test_a_reply_lost_on_any_connection_leaves_the_fate_unknown(own_way: bool) -> None:
    class Losing(FAKE):  # type: ignore[misc, valid-type]
        losing = False

        def read_response(self, *args: Any, **options: Any) -> Any:
            if self.losing:
                raise redis.ConnectionError("lost")
            return super().read_response(*args, **options)

    if own_way:

        class Losing(Losing):  # type: ignore[no-redef]
            def send_packed_command(self, command: Any, check_health: bool = True) -> None:
                super().send_packed_command(command, check_health)

    pool = redis.ConnectionPool(connection_class=Losing, server=fakeredis.FakeServer(), host="fake", port=1)
    client = ResilientRedis(connection_pool=pool, policies=[Retry(attempts=3, wait_initial=0, wait_max=0)])
    assert sync_observed.is_observed(pool.connection_class) is not own_way
    client.ping()
    for connection in pool._available_connections:
        connection.losing = True
    with pytest.raises(redis.ConnectionError) as write:
        client.incr("n")
    assert (write.value.delivery, write.value.attempts) == ("unknown", 1)


def test_a_dial_that_fails_on_an_unobserved_connection_is_not_called_not_sent() -> None:
    class Own(redis.Connection):
        def send_packed_command(self, command: Any, check_health: bool = True) -> None: ...

        def connect(self) -> None:
            raise redis.ConnectionError("down")

    pool = redis.ConnectionPool(connection_class=Own)
    client = ResilientRedis(connection_pool=pool, policies=[Retry(attempts=3, wait_initial=0, wait_max=0)])
    with pytest.raises(redis.ConnectionError) as caught:
        client.incr("n")
    assert (caught.value.delivery, caught.value.attempts) == ("unknown", 1)


def test_a_fake_server_that_is_down_is_an_outage() -> None:
    server = fakeredis.FakeServer()
    pool = redis.ConnectionPool(connection_class=FAKE, server=server, host="fake", port=1)
    client = ResilientRedis(connection_pool=pool, policies=[Fallback(b"?")])
    client.set("k", "v")
    server.connected = False
    assert client.get("k") == b"?"
    with pytest.raises(redis.ConnectionError):
        client.set("k", "w")
    server.connected = True
    assert client.get("k") == b"v"


def test_a_factory_in_place_of_a_class_is_left_alone() -> None:
    def make(**options: Any) -> Any:
        return FAKE(**options)

    pool = redis.ConnectionPool(connection_class=make, server=fakeredis.FakeServer(), host="fake", port=1)
    client = ResilientRedis(connection_pool=pool, policies=[Timeout(2)])
    assert client.set("k", "v")
    assert client.get("k") == b"v"
