"""Rounds of WATCH, and transactions, over a network that fails on command: what ends, what is run anew, what never."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from server_counts import count_of

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

THRICE = [Retry(attempts=3, wait_initial=0.01, wait_max=0.02), Timeout(2)]


async def test_a_lost_exec_does_not_run_the_callable_again(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=THRICE)
    await face.run(client.set, "n", 0)
    runs = 0

    def add(pipe: Any) -> Any:
        nonlocal runs
        runs += 1
        yield pipe.get("n")
        pipe.multi()
        pipe.incr("n")

    proxy.cut_after_request(commands=["EXEC"])
    error = await face.error(face.transaction, client, add, "n")
    assert isinstance(error, redis.ConnectionError)
    assert not isinstance(error, redis.WatchError)
    assert (error.delivery, runs, count_of(server, "n")) == ("unknown", 1, 1)


async def test_a_changed_key_runs_the_callable_again(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=THRICE)
    await face.run(client.set, "n", 0)
    runs = 0

    def add(pipe: Any) -> Any:
        nonlocal runs
        runs += 1
        value = int((yield pipe.get("n")))
        if runs == 1:
            server.execute("SET", "n", 10)
        pipe.multi()
        pipe.set("n", value + 1)

    assert await face.transaction(client, add, "n") == [True]
    assert (runs, count_of(server, "n")) == (2, 11)


@pytest.mark.parametrize("fault", ["cut_before_request", "cut_after_request", "half_reply"])
async def test_a_lost_watch_ends_in_a_watch_error(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, fault: str
) -> None:
    client = face.client(proxy.url, policies=THRICE)
    await face.run(client.set, "n", 5)
    pipe = client.pipeline()
    await face.run(pipe.watch, "n")
    proxy.inject(fault, 1, commands=["GET"])
    error = await face.error(pipe.get, "n")
    assert isinstance(error, redis.WatchError)
    assert proxy.commands["GET"] == 1
    server.execute("SET", "n", 6)
    assert count_of(server, "n") == 6
    await face.run(pipe.reset)


async def test_a_watch_that_was_refused_is_repeated(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=THRICE)
    proxy.reply_error("LOADING Redis is loading the dataset in memory", 2, commands=["WATCH"])
    pipe = client.pipeline()
    assert await face.run(pipe.watch, "n")
    assert pipe.watching
    assert proxy.commands["WATCH"] == 3
    await face.run(pipe.reset)


async def test_a_transaction_survives_a_lost_watch(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=THRICE)
    await face.run(client.set, "n", 0)
    runs = 0

    def add(pipe: Any) -> Any:
        nonlocal runs
        runs += 1
        value = int((yield pipe.get("n")))
        pipe.multi()
        pipe.set("n", value + 1)

    proxy.cut_before_request(commands=["GET"])
    assert await face.transaction(client, add, "n") == [True]
    assert (runs, count_of(server, "n")) == (2, 1)


async def test_a_transaction_against_a_dead_server_ends(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=THRICE)
    await face.run(client.set, "n", 0)
    proxy.refuse()
    proxy.cut_all()
    runs = 0

    def add(pipe: Any) -> Any:
        nonlocal runs
        runs += 1
        yield pipe.get("n")
        pipe.multi()
        pipe.incr("n")

    error = await face.error(face.transaction, client, add, "n")
    assert isinstance(error, redis.ConnectionError)
    assert runs == 0


async def test_another_clients_write_after_a_lost_watch_is_never_overwritten(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=THRICE)
    await face.run(client.set, "n", 0)
    pipe = client.pipeline()
    await face.run(pipe.watch, "n")
    assert await face.run(pipe.get, "n") == b"0"
    proxy.cut_all()
    await face.pause(0.05)
    server.execute("SET", "n", 100)
    pipe.multi()
    pipe.set("n", 1)
    error = await face.error(pipe.execute)
    assert isinstance(error, (redis.ConnectionError, redis.WatchError))
    assert count_of(server, "n") == 100
