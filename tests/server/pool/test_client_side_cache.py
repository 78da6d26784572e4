"""redis-py's client-side cache, switched on for real, over our clients and under policies.

Threads only: redis-py has none for asyncio, see the last test.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from cache_relay import CacheRelay
from redis.cache import CacheConfig

import resilient_redis.asyncio
from resilient_redis import Fallback, ResilientConnectionPool, ResilientRedis, Retry, Timeout
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

STACK = [Retry(attempts=3, wait_initial=0, wait_max=0), Timeout(2)]


@pytest.fixture
def relay(server: EmbeddedServer) -> Iterator[CacheRelay]:
    made = CacheRelay(server.host, server.port)
    yield made
    made.close()


@pytest.fixture(params=["pooled", "multiplexed", "redis-py's over a pool with policies"])
def cached(request: pytest.FixtureRequest, relay: CacheRelay) -> Iterator[Callable[..., Any]]:
    """Makes clients with a cache."""
    made: list[Any] = []

    def make(policies: Any = STACK, **options: Any) -> Any:
        given = {"protocol": 3, "decode_responses": True, "cache_config": CacheConfig(max_size=100), **options}
        given = {"host": "127.0.0.1", "port": relay.port, "policies": policies, **given}
        if request.param.startswith("redis-py"):
            client: Any = redis.Redis(connection_pool=ResilientConnectionPool(**given))
        else:
            client = ResilientRedis(strategy=request.param, **given)
        made.append(client)
        return client

    yield make
    for client in made:
        stats = client.connection_pool.stats()
        client.connection_pool.close()
        assert (stats.borrowed, stats.pending) == (0, 0)


@pytest.fixture
def other(server: EmbeddedServer) -> Iterator[Any]:
    """Somebody else, who changes things."""
    with redis.Redis.from_url(server.url, decode_responses=True) as made:
        yield made


def reads(server: EmbeddedServer, name: str = "get") -> int:
    for line in server.execute("INFO", "commandstats").split(b"\r\n"):
        if line.startswith(b"cmdstat_%s:" % name.encode()):
            return int(line.split(b"calls=")[1].split(b",")[0])
    return 0


def soon(look: Callable[[], Any], value: Any) -> None:
    deadline = time.monotonic() + 5
    while look() != value:
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.002)


# --- what a cache is for ---------------------------------------------------------------------------------------------


def test_what_was_read_is_not_asked_again(cached: Any, server: EmbeddedServer) -> None:
    client = cached()
    client.set("k", "1")
    before = reads(server)
    assert [client.get("k") for _ in range(5)] == ["1"] * 5
    assert reads(server) == before + 1


def test_a_change_and_a_delete_are_heard(cached: Any, other: Any) -> None:
    client = cached()
    for value in ("1", "2", "3"):
        other.set("k", value)
        soon(lambda: client.get("k"), value)
    other.delete("k")
    soon(lambda: client.get("k"), None)


def test_a_lost_connection_takes_the_cache_with_it_and_the_next_one_hears_again(
    cached: Any, other: Any, relay: CacheRelay, server: EmbeddedServer
) -> None:
    client = cached()
    other.set("k", "1")
    assert client.get("k") == "1"
    relay.cut()
    other.set("k", "2")  # nobody is told
    soon(lambda: client.get("k"), "2")
    assert relay.dials >= 2
    before = reads(server)
    assert client.get("k") == "2"
    assert reads(server) == before
    other.set("k", "3")
    soon(lambda: client.get("k"), "3")


def test_a_fallback_is_never_cached(cached: Any, other: Any, relay: CacheRelay) -> None:
    client = cached([Fallback("?"), Timeout(2)])
    other.set("k", "1")
    relay.refuses = True
    assert [client.get("k") for _ in range(3)] == ["?"] * 3
    assert client.get_cache().size == 0
    relay.refuses = False
    soon(lambda: client.get("k"), "1")


def test_an_error_is_never_cached_and_the_next_read_does_not_wait_for_it(cached: Any, other: Any) -> None:
    client = cached([Timeout(30)], socket_timeout=30)
    other.rpush("k", "1")
    for _ in range(3):
        with pytest.raises(redis.ResponseError):
            client.get("k")
    assert client.get_cache().size == 0
    other.delete("k")
    other.set("k", "1")
    assert client.get("k") == "1"
    assert client.connection_pool.stats().dials == 1


def test_readers_of_one_key_do_not_wait_for_each_other(cached: Any, other: Any) -> None:
    client = cached([Timeout(30)], socket_timeout=30)
    other.mset({"a": "0", "b": "0"})
    failures: list[Any] = []

    def work() -> None:
        try:
            for _ in range(150):
                assert client.get("a").isdigit()
                assert client.hget("h", "f") in (None, "v")
                assert client.get("b").isdigit()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    value = 0
    while any(thread.is_alive() for thread in threads):
        value += 1
        other.mset({"a": value, "b": value})
        other.hset("h", "f", "v")
        time.sleep(0.001)
    assert failures == []
    soon(lambda: (client.get("a"), client.get("b")), (str(value), str(value)))


# --- what must be asked all the same ---------------------------------------------------------------------------------


def plant(client: Any, key: str, value: Any) -> None:
    """As if a push were late: the cache says something that is true no more."""
    entries = [entry for entry in client.get_cache().collection.values() if key in entry.cache_key.redis_keys]
    assert entries
    for entry in entries:
        entry.cache_value = value


def test_what_is_watched_is_read_from_the_server(cached: Any, other: Any) -> None:
    """A stale value under WATCH would let EXEC overwrite somebody's write."""
    client = cached()
    other.set("k", "1")
    client.get("k")
    plant(client, "k", "stale")
    assert client.get("k") == "stale"
    with client.pipeline() as pipe:
        pipe.watch("k")
        assert pipe.get("k") == "1"
        pipe.unwatch()


def test_a_pipeline_is_not_answered_from_the_cache(cached: Any, other: Any) -> None:
    client = cached()
    other.set("k", "1")
    client.get("k")
    plant(client, "k", "stale")
    assert client.pipeline().get("k").execute() == ["1"]
    assert client.pipeline(transaction=False).get("k").execute() == ["1"]


def test_a_key_that_is_a_number_is_heard_of(cached: Any, other: Any) -> None:
    client = cached()
    for value in ("1", "2"):
        other.set("7", value)
        soon(lambda: client.get(7), value)


def test_a_key_beyond_ascii_is_heard_of(cached: Any, other: Any) -> None:
    client = cached()
    for value in ("1", "2"):
        other.set("clé", value)
        soon(lambda: client.get("clé"), value)
        soon(lambda: client.get("clé".encode()), value)


def test_a_key_in_another_encoding_is_heard_of(cached: Any, server: EmbeddedServer) -> None:
    client = cached(encoding="latin-1")
    with redis.Redis.from_url(server.url, encoding="latin-1") as other:
        for value in ("1", "2"):
            other.set("clé", value)
            soon(lambda: client.get("clé"), value)


def test_numbers_that_python_takes_for_equal_are_told_apart(cached: Any, other: Any) -> None:
    client = cached()
    other.mset({"1": "one", "1.0": "one point nought"})
    for _ in range(2):
        assert client.get(1) == client.get("1") == "one"
        assert client.get(1.0) == "one point nought"


def test_two_fields_of_a_hash_are_told_apart(cached: Any, other: Any) -> None:
    client = cached()
    other.hset("h", mapping={"a": "1", "b": "2"})
    for _ in range(2):
        assert (client.hget("h", "a"), client.hget("h", "b")) == ("1", "2")


def test_a_caller_who_changes_what_it_got_changes_nothing_else(cached: Any, other: Any) -> None:
    client = cached()
    other.rpush("l", "1")
    for _ in range(3):
        got = client.lrange("l", 0, -1)
        assert got == ["1"]
        got.append("mine")


def test_what_is_read_raw_is_not_what_was_decoded(cached: Any, other: Any) -> None:
    client = cached()
    other.set("k", "1")
    for _ in range(2):
        assert client.get("k") == "1"
        assert client.execute_command("GET", "k", keys=["k"], NEVER_DECODE=[]) == b"1"


# --- two at one socket -----------------------------------------------------------------------------------------------


def test_a_reply_that_its_borrower_awaits_is_not_taken_by_somebody_who_looks_for_pushes(
    relay: CacheRelay, other: Any
) -> None:
    other.set("k", "1")
    options: dict[str, Any] = {"protocol": 3, "decode_responses": True, "cache_config": CacheConfig()}
    with ResilientConnectionPool(host="127.0.0.1", port=relay.port, **options) as pool:
        client = redis.Redis(connection_pool=pool)
        client.get("k")
        keeper = pool.get_connection()  # the one that read it
        keeper.send_command("PING")
        time.sleep(0.05)  # its reply lies there
        assert client.get("k") == "1"
        assert keeper.read_response() == "PONG"
        pool.release(keeper)
        assert pool.stats().closes == {}


def test_a_subscriber_on_such_a_pool_loses_no_message(cached: Any, other: Any) -> None:
    client = cached()
    other.set("k", "1")
    client.get("k")
    subscriber = client.pubsub(ignore_subscribe_messages=True)
    subscriber.subscribe("news")
    soon(lambda: other.publish("news", "0"), 1)
    for number in range(1, 4):
        other.publish("news", str(number))
        client.get("k")
    seen: list[Any] = []
    deadline = time.monotonic() + 5
    while len(seen) < 4 and time.monotonic() < deadline:
        message = subscriber.get_message(timeout=1)
        if message is not None:
            seen.append(message["data"])
    subscriber.close()
    assert seen == ["0", "1", "2", "3"]


# --- where there is none ---------------------------------------------------------------------------------------------


def test_a_multiplexed_client_with_a_cache_shares_nothing_and_says_so(relay: CacheRelay) -> None:
    pytest.importorskip("hiredis", reason="without it that is the cause that is told")
    options: dict[str, Any] = {"protocol": 3, "cache_config": CacheConfig(), "strategy": "multiplexed"}
    with ResilientRedis(host="127.0.0.1", port=relay.port, **options) as client:
        client.set("k", "1")
        assert "nothing is shared" in client.describe()
        assert "client-side cache" in client.describe()
        assert client.connection_pool.stats().lines is None


def test_asyncio_refuses_the_option_as_redis_py_does() -> None:
    kinds: list[Any] = [redis.asyncio.Redis, resilient_redis.asyncio.ResilientRedis]
    for kind in kinds:
        with pytest.raises(TypeError, match="cache_config"):
            kind(cache_config=CacheConfig())
