"""Forked children have a pool of their own, whatever the parent's threads were doing; the parent notices nothing."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.connection
from fork_kit import Child, client_ids, fails, forked, shared_with_parent, sockets_to, until, use
from fork_load import Load, fork_under_load

from resilient_redis import ResilientConnectionPool, ResilientRedis, Retry
from resilient_redis.connections import observed
from resilient_redis.pool import fork
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
    threads = [threading.Thread(target=fails, args=(pool.get_connection,)) for _ in range(3)]
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
    thread = threading.Thread(target=fails, args=(pool.get_connection,))
    thread.start()
    assert until(lambda: sockets_to(silent.port))
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
