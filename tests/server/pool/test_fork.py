"""Forked children have a pool of their own, whatever the parent's threads were doing; the parent notices nothing."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.connection
from redis.cache import CacheConfig
from test_fork_helpers import Child, client_ids, forked, shared_with_parent, sockets_to

import resilient_redis.asyncio
from resilient_redis import Bulkhead, CircuitBreaker, PoolClosedError, ResilientConnectionPool, ResilientRedis, Retry
from resilient_redis import Timeout as CallTimeout
from resilient_redis.connections import observed
from resilient_redis.pool import fork, maintenance
from resilient_redis.pool.budgets import HostBudget
from resilient_redis.pool.fork import InheritedConnectionError
from resilient_redis.testing import EmbeddedServer

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),  # 3.12 warns of forking with threads
]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks wait for dials as long as it takes: on a machine that is busy enough none is quick."""
    monkeypatch.setattr(observed, "CONNECTING", 10.0)
    monkeypatch.setattr(observed, "SHAKING_HANDS", 10.0)


class Load:
    """Threads that borrow, give back, wait, dial and lose connections, and check each reply."""

    def __init__(self, url: str, most: int = 5, **options: Any) -> None:
        self.client = ResilientRedis.from_url(
            url,
            policies=[Retry(attempts=3), CircuitBreaker(fail_max=50), CallTimeout(2)],
            max_connections=most,
            acquire_timeout=10,
            **options,
        )
        self.pool: Any = self.client.connection_pool
        self.wrong: list[Any] = []
        self.rounds = 0
        self._ending = threading.Event()
        jobs = [self._commands, self._commands, self._commands, self._pipelines, self._dials, self._leases]
        self._threads = [threading.Thread(target=self._run, args=(job, seed)) for seed, job in enumerate(jobs)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads)
        self.pool.close(timeout=5)

    def _run(self, job: Callable[[str, int], None], seed: int) -> None:
        number = 0
        while not self._ending.is_set():
            number += 1
            try:
                job(f"k{seed}", number)
            except Exception as error:
                self.wrong.append(error)
                return
            self.rounds += 1

    def _check(self, reply: Any, wanted: Any) -> None:
        if reply != wanted:
            self.wrong.append((reply, wanted))

    def _commands(self, key: str, number: int) -> None:
        self.client.set(key, f"{key}:{number}")
        self._check(self.client.get(key), f"{key}:{number}".encode())

    def _pipelines(self, key: str, number: int) -> None:
        with self.client.pipeline() as pipe:
            pipe.set(key, number)
            pipe.get(key)
            pipe.echo(f"{key}:{number}")
            self._check(pipe.execute(), [True, str(number).encode(), f"{key}:{number}".encode()])

    def _dials(self, key: str, number: int) -> None:
        with self.pool.lease() as connection:
            connection.disconnect()  # it is lost, so somebody has to dial
        self._check(self.client.echo(f"{key}:{number}"), f"{key}:{number}".encode())

    def _leases(self, key: str, number: int) -> None:
        with self.client.lease() as one:
            one.set(key, number)
            self._check(one.get(key), str(number).encode())
            time.sleep(0.001)


def use(client: ResilientRedis) -> int:
    """In a child: commands, a pipeline and a lease over the inherited client; the id of its connection."""
    mine = f"child:{os.getpid()}"
    client.set(mine, mine)
    assert client.get(mine) == mine.encode()
    with client.pipeline() as pipe:
        assert pipe.echo("a").incr(f"{mine}:n").execute() == [b"a", 1]
    with client.lease() as one:
        assert one.get(mine) == mine.encode()
        number = one.client_id()
    pool: Any = client.connection_pool
    assert _until(lambda: pool.stats().dialling == 0)  # the child's own upkeep may be opening a spare one
    assert (pool.stats().borrowed, pool.stats().pending) == (0, 0)
    return int(number)


def fork_under_load(load: Load, port: int, count: int, at_once: int = 3) -> list[int]:
    """Fork again and again at random moments; the ids of the children's connections."""

    def child() -> int:
        assert shared_with_parent(port) == 0
        return use(load.client)

    alive: list[Child] = []
    ids = []
    for _ in range(count):
        time.sleep(random.random() * 0.004)
        alive.append(Child(child))
        if len(alive) >= at_once:
            ids.append(alive.pop(0).wait())
    return ids + [one.wait() for one in alive]


@pytest.mark.usefixtures("patient")
def test_hundreds_of_forks_under_load(server: EmbeddedServer) -> None:
    with Load(server.url) as load:
        ids = fork_under_load(load, server.port, 150)
        before = load.rounds
        assert load.client.ping()
    assert load.wrong == []
    assert before > 150
    assert len(set(ids)) == len(ids)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("patient")
def test_thousands_of_forks_under_load(server: EmbeddedServer) -> None:
    with Load(server.url, min_idle=2, maintenance_interval=0.01, validate_after=0) as load:
        ids = fork_under_load(load, server.port, 2000)
    assert load.wrong == []
    assert len(set(ids)) == len(ids)


def test_the_parents_connections_and_books_stay_as_they_were(own_server: EmbeddedServer) -> None:
    pool = ResilientConnectionPool.from_url(own_server.url, max_connections=4)
    client = ResilientRedis(connection_pool=pool, policies=[])
    lent = [pool.get_connection() for _ in range(4)]
    for connection in lent[:3]:
        pool.release(connection)
    parents = client_ids(own_server)
    assert len(parents) == 4

    def child() -> int:
        assert pool.stats().size == 0
        assert client.client_id() not in parents
        assert parents <= client_ids(own_server)
        return pool.stats().size

    assert [forked(child) for _ in range(5)] == [1] * 5
    assert client_ids(own_server) == parents
    stats = pool.stats()
    assert (stats.size, stats.borrowed, stats.available, stats.closes) == (4, 1, 3, {})
    for number, connection in enumerate([lent[3], *[pool.get_connection() for _ in range(3)]]):
        connection.send_command("ECHO", str(number))
        assert connection.read_response() == str(number).encode()
    assert client_ids(own_server) == parents
    pool.close()


def test_finalisers_in_the_child_disturb_nobody(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[], max_connections=3)
    held: dict[str, Any] = {"news": client.pubsub(), "pipe": client.pipeline()}
    held["news"].subscribe("news")
    assert held["news"].get_message(timeout=2)["type"] == "subscribe"
    held["pipe"].watch("k")

    def child() -> int:
        use(client)
        held.clear()
        gc.collect()
        return client.connection_pool.stats().borrowed

    assert forked(child) == 0
    held["pipe"].multi()
    held["pipe"].set("k", "v")
    assert held["pipe"].execute() == [True]
    client.publish("news", "hello")
    assert held["news"].get_message(timeout=2)["data"] == b"hello"
    held["news"].close()
    client.connection_pool.close()


# Leases that were open


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
    while not client.connection_pool.stats().borrowed or not _blocked(server):
        time.sleep(0.005)

    def child() -> str:
        with pytest.raises(InheritedConnectionError):
            client.get("k")  # the lock of this client is taken by a thread that is not here
        return "answered"

    assert Child(child).wait(5) == "answered"
    thread.join()
    client.close()


def _blocked(server: EmbeddedServer) -> bool:
    return b"blocked_clients:0" not in server.execute("INFO", "clients")


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


# Who forks, and how often


def test_children_of_children(server: EmbeddedServer) -> None:
    client = ResilientRedis.from_url(server.url, policies=[], max_connections=2)
    first = client.client_id()

    def generation(left: int) -> list[int]:
        assert shared_with_parent(server.port) == 0
        mine = client.client_id()
        below = forked(lambda: generation(left - 1)) if left else []
        assert client.client_id() == mine
        return [mine, *below]

    ids = [first, *forked(lambda: generation(4)), client.client_id()]
    assert ids.pop() == first
    assert len(set(ids)) == 6
    client.connection_pool.close()


_shared: Any = None


def _in_a_worker(number: int) -> tuple[int, int, bytes]:
    _shared.set(f"job:{number}", number)
    return os.getpid(), _shared.client_id(), _shared.get(f"job:{number}")


def test_a_multiprocessing_pool(server: EmbeddedServer) -> None:
    global _shared  # noqa: PLW0603 - multiprocessing finds it by its name
    _shared = ResilientRedis.from_url(server.url, policies=[Retry()])
    parents = _shared.client_id()
    with Load(server.url) as load, multiprocessing.get_context("fork").Pool(4) as workers:
        done = workers.map(_in_a_worker, range(100), chunksize=5)
    assert load.wrong == []
    assert [value for _, _, value in done] == [str(number).encode() for number in range(100)]
    connection_of = {pid: number for pid, number, _ in done}
    assert len(set(connection_of.values())) == len(connection_of)
    assert parents not in connection_of.values()
    assert _shared.client_id() == parents
    _shared.connection_pool.close()


def test_a_fork_in_a_thread_of_the_parent(server: EmbeddedServer) -> None:
    with Load(server.url) as load:
        found: list[int] = []

        def forks() -> None:
            found.extend(forked(lambda: use(load.client)) for _ in range(10))

        threads = [threading.Thread(target=forks) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert load.wrong == []
    assert len(set(found)) == 20


def test_a_fork_while_dials_hang(black_hole: Any) -> None:
    host, port = black_hole.address
    pool = ResilientConnectionPool(host=host, port=port, socket_connect_timeout=3, max_connections=4)
    threads = [threading.Thread(target=_fails, args=(pool.get_connection,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while pool.stats().dialling < 1:
        time.sleep(0.002)

    def child() -> str:
        assert pool.stats().dialling == 0
        with pytest.raises(redis.RedisError):
            pool.acquire(timeout=0.2)
        return pool.stats().state

    assert Child(child).wait(5) == "open"
    for thread in threads:
        thread.join()
    pool.close()


def _fails(function: Callable[[], Any]) -> None:
    with pytest.raises(redis.RedisError):
        function()


def test_no_descriptor_is_left_at_the_fork(server: EmbeddedServer) -> None:
    def crowded() -> int:
        client = ResilientRedis.from_url(server.url, policies=[], max_connections=3)
        assert client.ping()
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        held = []
        read, write = os.pipe()
        with pytest.raises(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        pid = os.fork()
        if pid == 0:
            for descriptor in held:
                os.close(descriptor)
            shared, size = shared_with_parent(server.port), client.connection_pool.stats().size
            fine = shared == 0 and size == 0 and client.ping()
            os._exit(0 if fine else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert client.ping()
        os.close(read)
        os.close(write)
        return status

    assert forked(crowded) == 0


def test_sockets_are_severed_though_no_descriptor_is_left() -> None:
    def crowded() -> list[bool]:
        pairs = [socket.socketpair() for _ in range(3)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        with pytest.raises(OSError):
            while True:
                os.dup(0)
        fork.sever([ours.fileno() for ours, _ in pairs])
        for ours, _ in pairs:
            with pytest.raises(OSError):
                ours.send(b"x")
        return [theirs.recv(1) == b"" for _, theirs in pairs]

    assert forked(crowded) == [True] * 3


def test_a_fork_while_tls_shakes_hands_with_nobody(
    peer: Callable[..., Any], tls_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork does not wait for ever for such a dial; its socket is closed in the child all the same."""
    monkeypatch.setattr(observed, "SHAKING_HANDS", 0.05)
    monkeypatch.setattr(observed, "CONNECTING", 0.05)
    went = threading.Event()
    silent = peer(lambda _: went.wait(10))
    pool = ResilientConnectionPool.from_url(f"rediss://127.0.0.1:{silent.port}?ssl_ca_certs={tls_files.ca}")
    thread = threading.Thread(target=_fails, args=(pool.get_connection,))
    thread.start()
    assert _until(lambda: sockets_to(silent.port))
    time.sleep(0.1)
    assert forked(lambda: shared_with_parent(silent.port)) == 0
    went.set()
    silent.close()
    thread.join()
    pool.close()


@pytest.mark.usefixtures("patient")
def test_over_tls(tls_server: EmbeddedServer) -> None:
    with Load(tls_server.url, most=4) as load:
        ids = fork_under_load(load, tls_server.port, 12)
        with load.client.lease() as one:
            parents = one.client_id()

            def child() -> int:
                with pytest.raises(InheritedConnectionError):
                    one.get("k")
                return load.client.client_id()

            assert forked(child) not in {*ids, parents}
            assert one.client_id() == parents
    assert load.wrong == []
    assert len(set(ids)) == len(ids)


# What else belongs to a pool


def test_upkeep_goes_on_in_both(server: EmbeddedServer) -> None:
    pool = ResilientConnectionPool.from_url(server.url, min_idle=2, maintenance_interval=0.05, max_connections=4)
    client = ResilientRedis(connection_pool=pool, policies=[])
    assert _until(lambda: pool.stats().available >= 2)

    def child() -> list[str]:
        assert not any(thread.name == "resilient-redis-upkeep" for thread in threading.enumerate())
        assert client.ping()
        assert _until(lambda: pool.stats().available >= 2)
        return [thread.name for thread in threading.enumerate()]

    for _ in range(5):
        assert "resilient-redis-upkeep" in forked(child)
    pool.drain()
    assert _until(lambda: pool.stats().available >= 2)
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
            assert _until(lambda client=client, each=each: client.ping() and each.stats().available >= 2)
        return [thread.name for thread in threading.enumerate()]

    assert forked(child) == ["MainThread"]
    pool.close()
    wanting.close()


class _NoThread(threading.Thread):
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def _until(condition: Callable[[], Any], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.005)
    return False


class Purse:
    """A budget that writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answers = {"take": True, "surplus": 0, "due": False, "describe": "a purse"}

        def hear(*args: Any) -> Any:
            if name != "due":  # the thread for the upkeep asks when it likes
                self.heard.append(name)
            return answers.get(name)

        if name.startswith("_") or name == "interval":
            raise AttributeError(name)
        return hear


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
        assert _fails(pool.get_connection) is None  # one here, one in the parent
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
    assert _until(lambda: pool.stats().state != "open")

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
    assert _until(lambda: _blocked(server))
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


# Forks that Python does not hear of: uWSGI's


def _fork_in_c() -> int:
    """Forks when the other threads sleep.

    A thread that waits for the interpreter's lock at that moment leaves the lock's condition variable half used in the
    child, where nobody repairs it: CPython itself then hangs there (15 of 1,340 forks beside a busy upkeep thread).
    """
    time.sleep(0.05)
    return int(ctypes.PyDLL(None).fork())


class ForkedInC(Child):
    """A child in which none of Python's hooks is run."""

    fork = staticmethod(_fork_in_c)


@pytest.fixture(params=["memory", "process id"])
def witness(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a child is noticed: by memory that is empty there, or by its process id."""
    if request.param == "process id":
        monkeypatch.setattr(fork, "witness", fork._PidWitness())
    elif isinstance(fork.witness, fork._PidWitness):
        pytest.skip("this system has no such memory")


@pytest.mark.usefixtures("witness")
def test_a_fork_without_hooks(server: EmbeddedServer) -> None:
    purse: Any = Purse()
    client = ResilientRedis.from_url(server.url, policies=[], max_connections=3, budget=purse, background=False)
    parents = client.client_id()

    def child() -> list[Any]:
        assert fork.witness[0] == 0
        mine = client.client_id()
        assert fork.witness[0]
        assert client.client_id() == mine
        below = ForkedInC(lambda: [client.client_id(), shared_with_parent(server.port)]).wait()
        return [[mine, shared_with_parent(server.port)], below, purse.heard]

    (mine, shared), (below, shared_below), heard = ForkedInC(child).wait()
    assert (shared, shared_below) == (0, 0)
    assert len({parents, mine, below}) == 3
    assert heard == ["attach", "take", "after_fork", "attach", "take"]
    assert client.client_id() == parents
    client.connection_pool.close()


@pytest.mark.usefixtures("witness")
@pytest.mark.parametrize("ask", ["acquire", "close", "disconnect", "warm_up"])
def test_whatever_is_asked_first_after_a_fork_without_hooks(own_server: EmbeddedServer, ask: str) -> None:
    pool = ResilientConnectionPool.from_url(own_server.url, max_connections=3, min_idle=1)
    lent = pool.get_connection()
    pool.release(pool.get_connection())
    parents = client_ids(own_server)

    def child() -> int:
        getattr(pool, ask)()
        return shared_with_parent(own_server.port)

    assert ForkedInC(child).wait() == 0
    assert client_ids(own_server) == parents
    lent.send_command("PING")
    assert lent.read_response() == b"PONG"
    pool.release(lent)
    pool.close()


def test_a_fork_without_hooks_leaves_the_upkeep_thread_behind_too(server: EmbeddedServer) -> None:
    """uWSGI with threads: the master may have one."""

    def parent() -> bool:
        client = ResilientRedis.from_url(server.url, policies=[], min_idle=2, maintenance_interval=0.5)
        assert _until(lambda: client.connection_pool.stats().available >= 2)

        def child() -> bool:
            client.ping()
            return _until(lambda: client.connection_pool.stats().available >= 2)

        return bool(ForkedInC(child).wait())

    assert all(forked(parent) for _ in range(3)), "no thread kept the child's pool warm"


def test_asyncio_after_a_fork_without_hooks(server: EmbeddedServer) -> None:
    client = resilient_redis.asyncio.ResilientRedis.from_url(server.url, policies=[])

    async def ask() -> int:
        return int(await client.client_id())

    def parent() -> list[int]:
        loop = asyncio.new_event_loop()
        mine = loop.run_until_complete(ask())
        theirs = ForkedInC(lambda: asyncio.run(ask())).wait()
        return [mine, theirs, loop.run_until_complete(ask())]

    mine, theirs, again = forked(parent)
    assert mine == again != theirs
