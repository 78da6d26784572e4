"""What else belongs to a pool, after a fork: its upkeep, budget, cache, credentials, circuits."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import pytest
import redis
import redis.connection
from fork_kit import Child, Purse, fails, forked, has_a_blocked_client, sockets_to, until, use
from fork_load import Load
from redis.cache import CacheConfig

from resilient_redis import Bulkhead, PoolClosedError, ResilientConnectionPool, ResilientRedis
from resilient_redis.pool import maintenance
from resilient_redis.pool.budgets import HostBudget
from resilient_redis.testing import EmbeddedServer

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # 3.12 warns of forking with threads
]


def test_upkeep_goes_on_in_both(server: EmbeddedServer) -> None:
    pool = ResilientConnectionPool.from_url(server.url, min_idle=2, maintenance_interval=0.05, max_connections=4)
    client = ResilientRedis(connection_pool=pool, policies=[])
    assert until(lambda: pool.stats().available >= 2)

    def child() -> list[str]:
        assert not any(thread.name == "resilient-redis-upkeep" for thread in threading.enumerate())
        assert client.ping()
        assert until(lambda: pool.stats().available >= 2)
        return [thread.name for thread in threading.enumerate()]

    for _ in range(5):
        assert "resilient-redis-upkeep" in forked(child)
    pool.drain()
    assert until(lambda: pool.stats().available >= 2)
    pool.close()


def test_without_a_thread_upkeep_is_the_borrowers(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not allowed, or not to be had: the process may have as many threads as it gets."""
    pool = ResilientConnectionPool.from_url(
        server.url, min_idle=2, maintenance_interval=0.02, max_connections=4, background=False
    )
    wanting = ResilientConnectionPool.from_url(server.url, min_idle=2, maintenance_interval=0.02, max_connections=4)

    def child() -> list[str]:
        monkeypatch.setattr(maintenance.threading, "Thread", _NoThread)
        for each in (pool, wanting):
            client = ResilientRedis(connection_pool=each, policies=[])
            assert until(lambda client=client, each=each: client.ping() and each.stats().available >= 2)
        return [thread.name for thread in threading.enumerate()]

    assert forked(child) == ["MainThread"]
    pool.close()
    wanting.close()


class _NoThread(threading.Thread):
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_budget_is_told_and_used_anew(server: EmbeddedServer, tmp_path: Any) -> None:
    purse: Any = Purse()
    pool = ResilientConnectionPool.from_url(server.url, budget=purse)
    ResilientRedis(connection_pool=pool, policies=[]).ping()
    assert purse.heard == ["attach", "take"]

    def child() -> list[str]:
        ResilientRedis(connection_pool=pool, policies=[]).ping()
        return purse.heard

    assert forked(child) == ["attach", "take", "after_fork", "attach", "take"]
    assert purse.heard == ["attach", "take"]
    pool.close()


def test_a_host_budget_counts_parent_and_children(server: EmbeddedServer, tmp_path: Any) -> None:
    budget = HostBudget(tmp_path, limit=2)
    pool = ResilientConnectionPool.from_url(server.url, budget=budget, acquire_timeout=0.2, name="orders")
    connection = pool.get_connection()

    def child() -> tuple[int, list[str]]:
        assert budget.taken == 0
        own = pool.get_connection()
        assert fails(pool.get_connection) is None  # one here, one in the parent
        pool.release(own)
        return budget.taken, list(budget.pools)

    assert forked(child) == [1, ["orders"]]
    assert budget.taken == 1
    pool.release(connection)
    pool.close()
    assert budget.taken == 0
    budget.close()


@pytest.mark.parametrize("timeout", [0, 5])
def test_a_pool_that_is_closed_or_closing_is_closed_in_the_child(server: EmbeddedServer, timeout: float) -> None:
    pool = ResilientConnectionPool.from_url(server.url)
    connection = pool.get_connection()
    closing = threading.Thread(target=pool.close, args=(timeout,))
    closing.start()
    assert until(lambda: pool.stats().state != "open")

    def child() -> str:
        with pytest.raises(PoolClosedError):
            pool.get_connection()
        assert pool.close(timeout=5)
        return pool.stats().state

    assert forked(child) == "closed"
    pool.release(connection)
    closing.join()


def test_a_cache_is_empty_in_the_child(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server tells the parent's connections what is not true any more; nobody would tell the child."""
    monkeypatch.setattr(redis.connection.CacheProxyConnection, "MIN_ALLOWED_VERSION", "1.0.0")
    monkeypatch.setattr(redis.connection.CacheProxyConnection, "DEFAULT_SERVER_NAME", _server_name(server))
    client = ResilientRedis.from_url(server.url, protocol=3, cache_config=CacheConfig(), policies=[])
    client.set("k", "old")
    assert client.get("k") == b"old"
    ready, go = os.pipe()

    def child() -> list[str]:
        os.read(ready, 1)
        return [client.get("k").decode() for _ in range(2)]

    one = Child(child)
    server.execute("SET", "k", "new")
    os.write(go, b"!")
    assert one.wait() == ["new", "new"]
    assert client.get("k") == b"new"
    os.close(ready)
    os.close(go)
    client.connection_pool.close()


def _server_name(server: EmbeddedServer) -> str:
    with redis.Redis.from_url(server.url, protocol=3) as probe:
        hello = probe.execute_command("HELLO", 3)
    return str(hello.get(b"server", hello.get("server", b"redis")), "utf-8")


def test_places_in_a_bulkhead_are_the_parents_own(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[Bulkhead(1)])
    thread = threading.Thread(target=client.blpop, args=("nothing", 1))
    thread.start()
    assert until(lambda: has_a_blocked_client(server))
    assert forked(client.ping) is True
    thread.join()
    client.connection_pool.close()


def test_a_signal_ends_a_child_that_borrows(server: EmbeddedServer) -> None:
    """A child that is killed in mid-command takes nothing with it."""
    with Load(server.url) as load:
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                while True:
                    load.client.incr("n")
            time.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert load.wrong == []


def test_descriptors_do_not_pile_up(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[], max_connections=3)

    def child() -> int:
        for _ in range(20):
            assert forked(lambda: use(client) > 0)
            client.ping()
        return len(sockets_to(server.port))

    assert forked(child) == 1
    client.connection_pool.close()
