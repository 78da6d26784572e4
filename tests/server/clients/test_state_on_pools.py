"""Live state hangs on the pool: which clients share a circuit, and which policies apply."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, CircuitOpenError, ConfigError, Fallback, Retry, Timeout
from resilient_redis.events import (
    AttemptFailed,
    CallRejected,
    CircuitChanged,
    FallbackUsed,
    RetriesExhausted,
    RetryScheduled,
)
from resilient_redis.testing import EmbeddedServer, FakeClock, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server


def pool_of(face: Any, server: Any) -> Any:
    return face.keep(face.names.ConnectionPool(host=server.host, port=server.port))


async def test_the_same_policy_object_over_one_pool_is_one_circuit(face: Any, server: EmbeddedServer) -> None:
    pool, circuit = pool_of(face, server), CircuitBreaker()
    one = face.client(connection_pool=pool, policies=[circuit])
    other = face.client(connection_pool=pool, policies=[circuit, Timeout(1)])
    one.breakers["circuit_breaker"].isolate()
    assert isinstance(await face.error(other.get, "k"), CircuitOpenError)


async def test_equal_but_distinct_objects_are_two_circuits(face: Any, server: EmbeddedServer) -> None:
    pool = pool_of(face, server)
    one = face.client(connection_pool=pool, policies=[CircuitBreaker()])
    other = face.client(connection_pool=pool, policies=[CircuitBreaker()])
    one.breakers["circuit_breaker"].isolate()
    assert await face.run(other.get, "k") is None


async def test_the_same_name_over_one_pool_is_one_circuit(face: Any, server: EmbeddedServer) -> None:
    pool = pool_of(face, server)
    one = face.client(connection_pool=pool, policies=[CircuitBreaker(name="db")])
    other = face.client(connection_pool=pool, policies=[CircuitBreaker(name="db")])
    one.breakers["db"].isolate()
    assert isinstance(await face.error(other.get, "k"), CircuitOpenError)


async def test_the_same_name_over_two_pools_is_two_circuits(face: Any, server: EmbeddedServer) -> None:
    one = face.client(server.url, policies=[CircuitBreaker(name="db")])
    other = face.client(server.url, policies=[CircuitBreaker(name="db")])
    one.breakers["db"].isolate()
    assert await face.run(other.get, "k") is None


async def test_one_name_with_two_definitions_is_an_error(face: Any, server: EmbeddedServer) -> None:
    pool = pool_of(face, server)
    face.client(connection_pool=pool, policies=[CircuitBreaker(name="db", fail_max=3)])
    with pytest.raises(ConfigError, match="'db' is already defined"):
        face.client(connection_pool=pool, policies=[CircuitBreaker(name="db", fail_max=4)])


async def test_a_client_without_policies_uses_those_of_its_pool(face: Any, server: EmbeddedServer) -> None:
    owner = face.client(server.url, policies=[Fallback(b"?"), CircuitBreaker()])
    guest = face.client(connection_pool=owner.connection_pool)
    assert guest.policies == owner.policies
    owner.breakers["circuit_breaker"].isolate()
    assert await face.run(guest.get, "k") == b"?"


async def test_policies_on_both_pool_and_client_are_an_error(face: Any, server: EmbeddedServer) -> None:
    owner = face.client(server.url, policies=[Timeout(1)])
    with pytest.raises(ConfigError, match="this pool has policies of its own"):
        face.client(connection_pool=owner.connection_pool, policies=[Timeout(2)])


async def test_clients_by_default_over_one_pool_share_one_circuit(face: Any, server: EmbeddedServer) -> None:
    pool = pool_of(face, server)
    one, other = face.client(connection_pool=pool), face.client(connection_pool=pool)
    one.breakers["circuit_breaker"].isolate()
    assert isinstance(await face.error(other.get, "k"), CircuitOpenError)


async def test_a_client_made_for_each_call_keeps_the_circuit_open(face: Any) -> None:
    pool = face.keep(face.names.ConnectionPool(host="127.0.0.1", port=free_port()))
    circuit = CircuitBreaker(fail_max=3, reset_timeout=60)
    kinds = [type(await face.error(face.Client(connection_pool=pool, policies=[circuit]).get, "k")) for _ in range(5)]
    assert kinds == [redis.ConnectionError] * 3 + [CircuitOpenError] * 2


# --- events and overrides ---------------------------------------------------------------------------------------


async def test_listeners_hear_the_whole_story(face: Any) -> None:
    heard: list[Any] = []
    client = face.client(
        host="127.0.0.1",
        port=free_port(),
        policies=[Fallback(None), Retry(attempts=2, wait_initial=0, wait_max=0), CircuitBreaker(fail_max=2)],
        listeners=[heard.append],
    )
    assert await face.run(client.get, "k") is None
    assert await face.run(client.get, "k") is None
    first = [AttemptFailed, RetryScheduled, AttemptFailed, CircuitChanged, RetriesExhausted, FallbackUsed]
    assert [type(event) for event in heard] == [*first, CallRejected, FallbackUsed]
    failed = next(event for event in heard if isinstance(event, AttemptFailed))
    assert (failed.command, failed.attempt, failed.kind, failed.delivery) == ("GET", 1, "unreachable", "not_sent")


async def test_a_removed_listener_hears_no_more_and_a_broken_one_breaks_nothing(face: Any, caplog: Any) -> None:
    heard: list[Any] = []

    def broken(_event: Any) -> None:
        raise RuntimeError("listener")

    client = face.client(host="127.0.0.1", port=free_port(), policies=[Fallback(None)], listeners=[broken])
    client.add_listener(heard.append)
    assert await face.run(client.get, "k") is None
    client.remove_listener(heard.append)
    before = len(heard)
    assert await face.run(client.get, "k") is None
    assert len(heard) == before > 0
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1


async def test_overrides_hold_inside_the_block_and_nowhere_else(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[Fallback(b"usual"), Retry(attempts=3, wait_initial=0, wait_max=0)])
    other = face.client(proxy.url, policies=[Fallback(b"other")])
    proxy.refuse()
    attempts: list[int] = []
    client.add_listener(lambda event: attempts.append(event.attempt) if isinstance(event, AttemptFailed) else None)
    with client.overrides(fallback=b"special", attempts=1):
        assert await face.run(client.get, "k") == b"special"
        assert await face.run(other.get, "k") == b"other"
    assert attempts == [1]
    assert await face.run(client.get, "k") == b"usual"
    assert attempts == [1, 1, 2, 3]


async def test_overrides_hold_for_pipelines_too(face: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    client = face.client(proxy.url, policies=[Timeout(20)])
    await face.run(client.ping)
    proxy.delay(2)
    pipe = client.pipeline()
    pipe.get("k")
    with stopwatch() as watch, client.overrides(timeout=0.2):
        assert isinstance(await face.error(pipe.execute), redis.TimeoutError)
    assert watch.seconds < 1.8


async def test_a_fake_clock_reopens_the_circuit_of_a_real_server(face: Any, proxy: FaultProxy) -> None:
    clock = FakeClock()
    client = face.client(proxy.url, policies=[CircuitBreaker(fail_max=1, reset_timeout=60)], clock=clock)
    proxy.refuse()
    assert isinstance(await face.error(client.get, "k"), redis.ConnectionError)
    proxy.heal()
    error = await face.error(client.get, "k")
    assert isinstance(error, CircuitOpenError)
    assert error.retry_after == pytest.approx(60)
    clock.advance(61)
    assert await face.run(client.get, "k") is None
    assert client.breakers["circuit_breaker"].state == "closed"


async def test_describe_names_every_number_and_what_is_underneath(face: Any, server: EmbeddedServer) -> None:
    client = face.client(
        server.url, policies=[Fallback(None), Retry(attempts=4), CircuitBreaker(fail_max=7), Timeout(0.35)]
    )
    text = client.describe()
    for part in ("4 attempts", "7", "0.35 s", "redis-py's own retries: off", str(server.port)):
        assert part in text


async def test_an_instrumentor_that_patches_the_class_sees_one_call_per_attempt(
    face: Any, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenTelemetry's does, even if it comes after the client was made."""
    client = face.client(proxy.url, policies=[Retry(attempts=3, wait_initial=0, wait_max=0)])
    await face.run(client.ping)
    seen: list[Any] = []
    stock = face.names.Redis.execute_command

    def traced(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(args)
        return stock(self, *args, **options)

    monkeypatch.setattr(face.names.Redis, "execute_command", traced)
    proxy.cut_after_request(2)
    assert await face.run(client.get, "k") is None
    assert seen == [("GET", "k")] * 3


async def test_an_instrumentor_that_patches_pipelines_sees_one_call_per_attempt(
    face: Any, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = redis.client if face.name == "sync" else redis.asyncio.client
    client = face.client(proxy.url, policies=[Retry(attempts=3, wait_initial=0, wait_max=0)])
    await face.run(client.ping)
    seen: list[int] = []
    stock = names.Pipeline.execute

    def traced(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(len(self.command_stack))
        return stock(self, *args, **options)

    monkeypatch.setattr(names.Pipeline, "execute", traced)
    proxy.cut_after_request(1)
    pipe = client.pipeline(transaction=False)
    pipe.get("a")
    pipe.get("b")
    assert await face.run(pipe.execute) == [None, None]
    assert seen == [2, 2]
