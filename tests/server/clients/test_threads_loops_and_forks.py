"""One client in many threads, one policy in many event loops, one process that forks."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import warnings
from typing import Any

import pytest
import redis

import resilient_redis.asyncio
from resilient_redis import Bulkhead, CircuitBreaker, CircuitOpenError, Fallback, ResilientRedis, Retry, Timeout
from resilient_redis.testing import EmbeddedServer
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server


async def test_many_callers_at_once_each_get_their_own_answer(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=[Fallback(b"!"), Retry(), CircuitBreaker(), Timeout(2)])
    keys = [f"k{number}" for number in range(400)]
    await face.run(client.mset, {key: f"v:{key}" for key in keys})
    for part in range(0, 400, 50):
        answers = await face.together([lambda key=key: client.get(key) for key in keys[part : part + 50]])
        assert answers == [f"v:{key}".encode() for key in keys[part : part + 50]]


async def test_cancelled_calls_leave_no_stray_reply_behind(server: EmbeddedServer) -> None:
    async with resilient_redis.asyncio.ResilientRedis.from_url(
        server.url, policies=[CircuitBreaker(fail_max=1), Timeout(2)], max_connections=4
    ) as client:
        await client.mset({f"k{number}": number for number in range(20)})
        for number in range(40):
            task = asyncio.create_task(client.blpop("nothing", 3) if number % 2 else client.get("k0"))
            await asyncio.sleep(0.001 * (number % 5))
            task.cancel()
            await asyncio.wait([task], timeout=1)
            assert task.done()
            assert await client.get(f"k{number % 20}") == str(number % 20).encode()
        assert client.breakers["circuit_breaker"].state == "closed"


def test_one_policy_object_serves_clients_of_several_loops_and_threads(server: EmbeddedServer) -> None:
    circuit, places = CircuitBreaker(fail_max=3, reset_timeout=60), Bulkhead(2, max_waiting=50, max_wait=5)
    wrong: list[Any] = []

    async def in_a_loop(seed: int) -> None:
        async with resilient_redis.asyncio.ResilientRedis.from_url(
            server.url, policies=[Retry(), circuit, places, Timeout(2)]
        ) as client:
            for number in range(20):
                key = f"k:{seed}:{number}"
                await client.set(key, number)
                answers = await asyncio.gather(*(client.get(key) for _ in range(5)))
                if answers != [str(number).encode()] * 5:
                    wrong.append(answers)

    threads = [threading.Thread(target=lambda seed=seed: asyncio.run(in_a_loop(seed))) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_one_sync_client_serves_many_threads_over_few_connections(server: EmbeddedServer) -> None:
    pool = redis.BlockingConnectionPool.from_url(server.url, max_connections=3, timeout=10)
    client = ResilientRedis(connection_pool=pool, policies=[Bulkhead(3, max_waiting=50, max_wait=10), Timeout(10)])
    errors: list[Exception] = []

    def work(seed: int) -> None:
        try:
            for number in range(30):
                client.set(f"k{seed}", f"{seed}:{number}")
                assert client.get(f"k{seed}") == f"{seed}:{number}".encode()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    pool.disconnect()
    assert errors == []


def in_a_forked_child(function: Any, seconds: float = 15.0) -> int:
    """Exit code of a child that runs ``function``; -9 if it hung."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forking with threads
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -9


def test_a_forked_child_uses_connections_of_its_own(server: EmbeddedServer) -> None:
    with ResilientRedis.from_url(server.url, policies=[Retry(), CircuitBreaker(), Timeout(2)]) as client:
        client.set("k", "parent")
        parents = client.client_id()

        def child() -> None:
            assert client.get("k") == b"parent"
            assert client.client_id() != parents
            client.set("child", "was here")

        assert in_a_forked_child(child) == 0
        assert client.client_id() == parents
        assert client.get("child") == b"was here"


def test_a_forked_child_keeps_working_while_the_parents_threads_do(server: EmbeddedServer) -> None:
    with ResilientRedis.from_url(
        server.url, policies=[Fallback(None), Retry(), CircuitBreaker(), Timeout(2)]
    ) as client:
        client.set("k", "v")
        ending = threading.Event()
        wrong: list[Any] = []

        def load() -> None:
            while not ending.is_set():
                answer = client.get("k")
                if answer != b"v":
                    wrong.append(answer)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()

        def child() -> None:
            with ResilientRedis.from_url(server.url, policies=client.policies) as own:
                for _ in range(20):
                    assert own.get("k") == b"v"

        codes = [in_a_forked_child(child) for _ in range(3)]
        ending.set()
        for thread in threads:
            thread.join(10)
        assert (codes, wrong) == ([0, 0, 0], [])


def test_an_open_circuit_is_open_in_the_child_too() -> None:
    with ResilientRedis(port=free_port(), policies=[CircuitBreaker(fail_max=1, reset_timeout=60)]) as client:
        with pytest.raises(redis.ConnectionError):
            client.get("k")

        def child() -> None:
            with pytest.raises(CircuitOpenError):
                client.get("k")

        assert in_a_forked_child(child) == 0
