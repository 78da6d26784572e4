"""redis-py's own clients over a pool with policies: what becomes of a command when the network or the server fails."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import redis.asyncio.sentinel
import redis.sentinel
from server_counts import count_of

import resilient_redis
from resilient_redis import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    ConfigError,
    Fallback,
    PoolReturnError,
    PoolTimeoutError,
    Retry,
    Timeout,
)
from resilient_redis.events import AttemptFailed, FallbackUsed, RetryScheduled
from resilient_redis.pool import aio_sentinel
from resilient_redis.pool import sentinel as sync_sentinel
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port
from resilient_redis.transport.lease_base import LeaseBase

pytestmark = pytest.mark.server

QUICK = Retry(attempts=3, wait_initial=0, wait_max=0)
STACK = [QUICK, Timeout(2)]


# --- repeating --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request", "half_reply"])
async def test_a_read_whose_reply_is_lost_is_repeated(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer, fault: str, protocol: int
) -> None:
    server.execute("SET", "k", "v")
    client = client_of(proxy.url, protocol=protocol)
    proxy.inject(fault, 2, commands=["GET"])
    assert await face.run(client.get, "k") == b"v"
    assert proxy.commands["GET"] == 3


async def test_a_counter_whose_reply_is_lost_is_unknown_and_not_repeated(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    proxy.cut_after_request(1, commands=["INCRBY"])
    error = await face.error(client.incr, "n")
    assert type(error) is redis.ConnectionError
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert any("INCRBY" in note for note in error.__notes__)
    assert count_of(server, "n") == 1


async def test_a_write_that_leaves_the_same_state_and_reply_is_repeated(
    face: Any, client_of: Any, proxy: FaultProxy
) -> None:
    client = client_of(proxy.url)
    proxy.cut_after_request(1, commands=["SET"])
    assert await face.run(client.set, "k", "v") is True
    assert proxy.commands["SET"] == 2


async def test_dials_that_fail_are_repeated_whatever_the_command(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    proxy.inject("cut_before_request", 2, handshake=True)
    assert await face.run(client.incr, "n") == 1
    assert count_of(server, "n") == 1


async def test_a_dead_port_is_tried_as_often_as_the_retry_says(face: Any, client_of: Any) -> None:
    client = client_of(f"redis://127.0.0.1:{free_port()}")
    error = await face.error(client.incr, "n")
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, error.attempts) == ("not_sent", 3)


async def test_without_a_retry_there_is_one_attempt_with_stamps(face: Any, client_of: Any, proxy: FaultProxy) -> None:
    client = client_of(proxy.url, [])
    proxy.cut_after_request(1, commands=["GET"])
    error = await face.error(client.get, "k")
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert await face.run(client.get, "k") is None


@pytest.mark.parametrize("fault", ["cut_after_request", "LOADING"])
async def test_no_connection_is_held_while_waiting_for_another_attempt(
    face: Any, client_of: Any, proxy: FaultProxy, fault: str
) -> None:
    client = client_of(proxy.url)
    pool, borrowed = client.connection_pool, []
    pool.events.add(lambda event: borrowed.append(pool.stats().borrowed) if type(event) is RetryScheduled else None)
    if fault == "LOADING":
        proxy.reply_error("LOADING Redis is loading the dataset in memory", 1, commands=["GET"])
    else:
        proxy.inject(fault, 1, commands=["GET"])
    assert await face.run(client.get, "k") is None
    assert borrowed == [0]


async def test_an_error_reply_leaves_as_it_is_and_the_connection_stays(
    face: Any, client_of: Any, server: EmbeddedServer
) -> None:
    client = client_of(server.url)
    await face.run(client.set, "k", "text")
    error = await face.error(client.incr, "k")
    assert isinstance(error, redis.ResponseError)
    assert error.attempts == 1
    stats = client.connection_pool.stats()
    assert (stats.dials, stats.size, stats.closes) == (1, 1, {})


async def test_readonly_gives_up_the_connections_and_asks_again(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    await face.run(client.ping)
    proxy.reply_error("READONLY You can't write against a read only replica.", 1, commands=["INCRBY"])
    assert await face.run(client.incr, "n") == 1
    assert client.connection_pool.stats().generation == 1
    assert count_of(server, "n") == 1


async def test_a_scan_goes_on_through_lost_replies(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    for number in range(50):
        server.execute("SET", f"k{number}", "v")
    client = client_of(proxy.url)
    proxy.cut_after_request(2, commands=["SCAN"])
    found = await face.items(client.scan_iter(count=10))
    assert {f"k{number}".encode() for number in range(50)} == set(found)


async def test_a_blocking_command_has_its_own_time_on_top(face: Any, client_of: Any, server: EmbeddedServer) -> None:
    client = client_of(server.url, [Timeout(0.4)])
    assert await face.run(client.blpop, "empty", 1) is None
    assert await face.run(client.echo, "x") == b"x"


# --- deadlines --------------------------------------------------------------------------------------------------


async def test_a_timeout_ends_a_stall(face: Any, client_of: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    client = client_of(proxy.url, [Timeout(0.3)])
    await face.run(client.ping)
    proxy.delay(30)
    with stopwatch() as watch:
        error = await face.error(client.incr, "n")
    assert isinstance(error, redis.TimeoutError)
    assert error.delivery == "unknown"
    assert 0.2 < watch.seconds < 5
    proxy.heal()
    assert await face.run(client.echo, "x") == b"x"


async def test_a_timeout_ends_a_dial_into_a_black_hole(
    face: Any, client_of: Any, black_hole: Any, stopwatch: Any
) -> None:
    host, port = black_hole.address
    client = client_of(f"redis://{host}:{port}", [Timeout(0.3)])
    with stopwatch() as watch:
        error = await face.error(client.incr, "n")
    assert isinstance(error, redis.RedisError)
    assert error.delivery == "not_sent"
    assert watch.seconds < 5
    await face.run(client.connection_pool.disconnect)


async def test_a_timeout_ends_the_wait_for_a_connection(face: Any, client_of: Any, server: EmbeddedServer) -> None:
    client = client_of(server.url, [Timeout(0.2)], max_connections=1)
    pool = client.connection_pool
    held = await face.run(pool.acquire)
    error = await face.error(client.get, "k")
    assert isinstance(error, (PoolTimeoutError, redis.ConnectionError, redis.TimeoutError))
    assert error.delivery == "not_sent"
    await face.run(pool.release, held)
    assert await face.run(client.get, "k") is None


# --- fallbacks and circuits -------------------------------------------------------------------------------------


async def test_an_open_circuit_answers_with_the_fallback_and_nobody_dials(
    face: Any, client_of: Any, proxy: FaultProxy
) -> None:
    client = client_of(proxy.url, [Fallback(None), CircuitBreaker()])
    client.connection_pool.breakers["circuit_breaker"].isolate()
    assert await face.run(client.get, "k") is None
    assert await face.run(client.mget, "a", "b") == [None, None]
    assert await face.run(client.hgetall, "h") == {}
    error = await face.error(client.incr, "n")
    assert isinstance(error, CircuitOpenError)
    assert (error.delivery, error.attempts) == ("not_sent", 0)
    assert (proxy.connections_opened, client.connection_pool.stats().dials) == (0, 0)


async def test_a_circuit_opens_after_failures_and_is_one_for_all_clients_over_the_pool(
    face: Any, pool_of: Any, proxy: FaultProxy
) -> None:
    pool = pool_of(proxy.url, [CircuitBreaker(fail_max=2)])
    proxy.cut_after_request(None, commands=["GET"])
    kinds = []
    for _ in range(3):
        client = face.keep(face.names.Redis(connection_pool=pool))
        kinds.append(type(await face.error(client.get, "k")))
    assert kinds == [redis.ConnectionError, redis.ConnectionError, CircuitOpenError]
    assert proxy.commands["GET"] == 2
    assert pool.breakers["circuit_breaker"].state == "open"
    assert pool.health().status != "healthy"


async def test_a_fallback_answers_reads_only(face: Any, client_of: Any) -> None:
    client = client_of(f"redis://127.0.0.1:{free_port()}", [Fallback.per_command({"GET": b"?"})])
    assert await face.run(client.get, "k") == b"?"
    assert isinstance(await face.error(client.scan), redis.ConnectionError)
    assert isinstance(await face.error(client.set, "k", "v"), redis.ConnectionError)
    assert isinstance(await face.error(client.set, "k", "v", nx=True), redis.ConnectionError)


async def test_a_full_bulkhead_refuses(face: Any, client_of: Any, proxy: FaultProxy) -> None:
    client = client_of(proxy.url, [Bulkhead(1)])
    await face.run(client.ping)
    proxy.delay(0.3)
    replies = await face.together([lambda: client.get("k") for _ in range(3)])
    assert replies.count(None) == 1
    assert sum(isinstance(reply, resilient_redis.BulkheadFullError) for reply in replies) == 2


async def test_listeners_of_the_pool_hear_the_story(face: Any, client_of: Any) -> None:
    heard: list[Any] = []
    retry = Retry(attempts=2, wait_initial=0, wait_max=0)
    client = client_of(f"redis://127.0.0.1:{free_port()}", [Fallback(None), retry])
    client.connection_pool.events.add(heard.append)
    assert await face.run(client.get, "k") is None
    kinds = [type(event) for event in heard if isinstance(event, (AttemptFailed, RetryScheduled, FallbackUsed))]
    assert kinds == [AttemptFailed, RetryScheduled, AttemptFailed, FallbackUsed]


# --- whose policies ---------------------------------------------------------------------------------------------


async def test_a_client_of_ours_over_it_uses_the_policies_once(face: Any, pool_of: Any) -> None:
    pool = pool_of(f"redis://127.0.0.1:{free_port()}")
    client = face.client(connection_pool=pool)
    assert client.policies == pool.policies == tuple(STACK)
    assert (await face.error(client.get, "k")).attempts == 3
    assert (await face.error(client.pipeline().get("k").execute)).attempts == 3


async def test_a_client_of_ours_borrows_plain_connections(face: Any, pool_of: Any, server: EmbeddedServer) -> None:
    pool = pool_of(server.url)
    client = face.client(connection_pool=pool)
    assert await face.run(client.set, "k", 1)
    pipe = client.pipeline()
    await face.run(pipe.watch, "k")
    assert not isinstance(pipe.connection, LeaseBase)
    await face.run(pipe.reset)
    one = face.client(connection_pool=pool, single_connection_client=True)
    assert await face.run(one.get, "k") == b"1"
    await face.run(one.close if face.name == "sync" else one.aclose)


async def test_policies_on_pool_and_client_are_an_error(face: Any, pool_of: Any, server: EmbeddedServer) -> None:
    with pytest.raises(ConfigError, match="this pool has policies of its own"):
        face.client(connection_pool=pool_of(server.url), policies=[Timeout(1)])


async def test_two_who_say_how_to_retry_are_an_error(face: Any, pool_of: Any, server: EmbeddedServer) -> None:
    from redis.backoff import NoBackoff

    with pytest.raises(ConfigError, match="retry="):
        pool_of(server.url, retry=face.retry_class(NoBackoff(), 3))
    pool = pool_of(server.url)
    client = face.keep(face.names.Redis(connection_pool=pool))
    with pytest.raises(ConfigError, match="set_retry"):
        client.set_retry(face.retry_class(NoBackoff(), 3))
    assert pool.connection_kwargs["retry"].get_retries() == 0
    assert await face.run(client.echo, "x") == b"x"


async def test_a_wrong_policy_is_an_error(face: Any, pool_of: Any, server: EmbeddedServer) -> None:
    with pytest.raises(ConfigError, match="policies"):
        pool_of(server.url, [Timeout])


async def test_a_pool_tells_its_policies(face: Any, pool_of: Any, server: EmbeddedServer) -> None:
    pool = pool_of(server.url, [Fallback(None), *STACK, CircuitBreaker(name="db")], max_connections=7)
    assert isinstance(pool, face.names.ConnectionPool)
    assert [policy.label for policy in pool.policies] == ["fallback", "retry", "timeout", "db"]
    assert list(pool.breakers) == ["db"]
    assert "at most 7 connections" in pool.describe()
    pool.breakers["db"].isolate()
    assert any("db" in reason for reason in pool.health().reasons)


# --- the pool's own ways ----------------------------------------------------------------------------------------


async def test_without_policies_the_pool_lends_plain_connections(
    face: Any, pool_of: Any, server: EmbeddedServer
) -> None:
    pool = pool_of(server.url, None)
    connection = await face.run(pool.get_connection)
    assert not isinstance(connection, LeaseBase)
    await face.run(pool.release, connection)


async def test_by_hand_a_lease_is_used_like_a_connection(face: Any, pool_of: Any, server: EmbeddedServer) -> None:
    pool = pool_of(server.url)
    lease = await face.run(pool.get_connection)
    assert (pool.stats().borrowed, lease.is_connected, lease.port) == (0, False, server.port)
    await face.run(lease.send_command, "ECHO", "x")
    assert await face.run(lease.read_response) == b"x"
    assert (pool.stats().borrowed, lease.is_connected) == (1, True)
    await face.run(pool.release, lease)
    assert isinstance(await face.error(pool.release, lease), PoolReturnError)
    assert isinstance(await face.error(lease.send_command, "PING"), redis.ConnectionError)


async def test_acquire_and_lease_of_the_pool_give_plain_connections(
    face: Any, pool_of: Any, server: EmbeddedServer
) -> None:
    pool = pool_of(server.url)
    connection = await face.run(pool.acquire)
    assert not isinstance(connection, LeaseBase)
    await face.run(pool.release, connection)


async def test_a_lease_shows_no_password(face: Any, pool_of: Any) -> None:
    pool = pool_of("redis://user:hunter2@127.0.0.1:1")
    lease = await face.run(pool.get_connection)
    assert "hunter2" not in f"{lease!r} {lease} {pool!r} {pool.describe()}"
    await face.run(pool.release, lease)


async def test_from_pool_and_a_subclass_of_the_pool_work_too(face: Any, proxy: FaultProxy, pool_of: Any) -> None:
    base = type(pool_of(proxy.url, None))

    class Own(base):  # type: ignore[misc, valid-type] # as libraries derive theirs from BlockingConnectionPool
        def greet(self) -> str:
            return "hello"

    pool = face.keep(Own.from_url(proxy.url, policies=STACK))
    assert pool.greet() == "hello"
    client = face.names.Redis.from_pool(pool)
    proxy.cut_after_request(1, commands=["GET"])
    assert await face.run(client.get, "k") is None
    assert proxy.commands["GET"] == 2
    assert pool.stats().borrowed == 0


async def test_a_sentinel_pool_may_have_policies_too(face: Any, proxy: FaultProxy) -> None:
    sentinel = (redis.sentinel if face.name == "sync" else redis.asyncio.sentinel).Sentinel([])

    def found(_: str) -> Any:
        return proxy.host, proxy.port

    async def afound(_: str) -> Any:
        return found(_)

    sentinel.discover_master = found if face.name == "sync" else afound
    pools = (sync_sentinel if face.name == "sync" else aio_sentinel).ResilientSentinelConnectionPool
    client = face.keep(sentinel.master_for("m", connection_pool_class=pools, policies=STACK))
    assert type(client) is face.names.Redis
    proxy.cut_after_request(1, commands=["GET"])
    assert await face.run(client.get, "k") is None
    assert proxy.commands["GET"] == 2
