"""What was open when its process forked: of no use in the child, and as before in the parent."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import pytest
import redis
import redis.connection
from fork_kit import Child, client_ids, forked, has_a_blocked_client, use

from resilient_redis import CircuitBreaker, ResilientConnectionPool, ResilientRedis, Retry
from resilient_redis.pool.fork import InheritedConnectionError
from resilient_redis.testing import EmbeddedServer

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # 3.12 warns of forking with threads
]


def test_an_open_pubsub_is_of_no_use_in_the_child_and_goes_on_in_the_parent(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[CircuitBreaker(fail_max=1)])
    news = client.pubsub()
    news.subscribe("news")
    assert news.get_message(timeout=2)["type"] == "subscribe"

    def child() -> list[str]:
        told = []
        for attempt in (lambda: news.get_message(timeout=0.2), lambda: news.subscribe("other"), news.ping):
            with pytest.raises(InheritedConnectionError, match="parent") as caught:
                attempt()
            told.append(caught.value.delivery)
        news.close()
        assert client.pubsub_numsub("news") == [(b"news", 1)]  # the parent's; and no circuit is open
        own = client.pubsub()
        own.subscribe("news")
        assert own.get_message(timeout=2)["type"] == "subscribe"
        client.publish("news", "from the child")
        assert own.get_message(timeout=2)["data"] == b"from the child"
        own.close()
        return told

    assert forked(child) == ["not_sent"] * 3
    assert news.get_message(timeout=2)["data"] == b"from the child"
    client.publish("news", "still here")
    assert news.get_message(timeout=2)["data"] == b"still here"
    news.close()
    client.connection_pool.close()


def test_a_single_connection_client_is_of_no_use_in_the_child(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, single_connection_client=True, policies=[CircuitBreaker(fail_max=1)])
    parents = client.client_id()

    def child() -> int:
        for _ in range(3):
            with pytest.raises(InheritedConnectionError):
                client.get("k")
        other = ResilientRedis(connection_pool=client.connection_pool)  # its policies, its circuit
        assert other.client_id() != parents
        size = other.connection_pool.stats().size
        client.close()
        return size

    assert forked(child) == 1
    assert client.client_id() == parents
    client.close()


def test_a_lock_that_another_thread_holds_does_not_hold_up_the_child(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, single_connection_client=True, policies=[])
    thread = threading.Thread(target=client.blpop, args=("nothing", 1))
    thread.start()
    while not client.connection_pool.stats().borrowed or not has_a_blocked_client(server):
        time.sleep(0.005)

    def child() -> str:
        with pytest.raises(InheritedConnectionError):
            client.get("k")  # the lock of this client is taken by a thread that is not here
        return "answered"

    assert Child(child).wait(5) == "answered"
    thread.join()
    client.close()


def test_a_watch_is_lost_in_the_child_and_holds_in_the_parent(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[Retry()])
    client.set("k", 1)
    with client.pipeline() as pipe:
        pipe.watch("k")
        assert pipe.get("k") == b"1"

        def child() -> str:
            pipe.multi()
            pipe.set("k", "child")
            with pytest.raises(redis.WatchError):
                pipe.execute()
            return client.get("k").decode()

        assert forked(child) == "1"
        pipe.multi()
        pipe.set("k", "parent")
        assert pipe.execute() == [True]
    assert client.get("k") == b"parent"
    client.connection_pool.close()


def test_a_lease_of_this_very_thread_is_given_back_on_both_sides(own_server: EmbeddedServer) -> None:
    pool = ResilientConnectionPool.from_url(own_server.url, max_connections=1, acquire_timeout=2)
    connection = pool.get_connection()
    parents = client_ids(own_server)

    def child() -> list[int]:
        with pytest.raises(redis.ConnectionError):
            connection.send_command("PING")
        pool.release(connection)
        pool.release(connection)  # it is nobody's here: once more does no harm
        with pool.lease() as own:
            own.send_command("CLIENT", "ID")
            return [own.read_response(), pool.stats().size]

    number, size = forked(child)
    assert number not in parents
    assert size == 1
    connection.send_command("PING")
    assert connection.read_response() == b"PONG"
    pool.release(connection)
    with pool.lease() as again:
        assert again is connection
    assert client_ids(own_server) == parents
    pool.close()


def test_a_block_that_both_sides_leave(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[])
    with client.lease() as one:
        parents = one.client_id()
        one_child = Child(lambda: _leave(client, one))
        assert one_child.wait() != parents
        assert one.client_id() == parents
    assert client.connection_pool.stats().closes == {}
    client.connection_pool.close()


def _leave(client: ResilientRedis, one: Any) -> int:
    client.connection_pool.release(one.connection)
    return use(client)
