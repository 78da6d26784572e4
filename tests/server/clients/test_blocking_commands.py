"""Commands that block take their own time, and a grace; 0 is for ever, on a connection that notices a dead peer."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
import redis

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

THRICE = Retry(attempts=3, wait_initial=0, wait_max=0)

BLOCKING: dict[str, tuple[tuple[Any, ...], Any]] = {
    "BLPOP": (("BLPOP", "none", 0.7), None),
    "BRPOP": (("BRPOP", "none", "0.7"), None),
    "BLMOVE": (("BLMOVE", "none", "other", "LEFT", "RIGHT", 0.7), None),
    "BRPOPLPUSH": (("BRPOPLPUSH", "none", "other", 0.7), None),
    "BLMPOP": (("BLMPOP", 0.7, 1, "none", "LEFT"), None),
    "BZPOPMIN": (("BZPOPMIN", "none", 0.7), None),
    "BZMPOP": (("BZMPOP", 0.7, 1, "none", "MIN"), None),
    "XREAD": (("XREAD", "BLOCK", 700, "STREAMS", "none", "$"), None),
    "WAIT": (("WAIT", 1, 700), 0),
}


def limits(protocol: int = 2) -> dict[str, Any]:
    """All of them shorter than the commands. A server looks for commands whose time is over every 0.1 s only."""
    return {"policies": [THRICE, Timeout(0.6)], "socket_timeout": 0.65, "protocol": protocol}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", BLOCKING)
async def test_a_blocking_command_takes_its_own_time_whatever_the_timeouts(
    face: Any, proxy: FaultProxy, name: str, protocol: int, stopwatch: Any
) -> None:
    client = face.client(proxy.url, **limits(protocol))
    words, empty = BLOCKING[name]
    with stopwatch() as watch:
        reply = await face.run(client.execute_command, *words)
    assert reply == empty or reply == {} or reply == []
    assert 0.6 < watch.seconds < 3
    assert proxy.commands[name] == 1


async def test_a_consumer_group_waits_too(face: Any, server: EmbeddedServer, stopwatch: Any) -> None:
    client = face.client(server.url, **limits())
    server.execute("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    with stopwatch() as watch:
        assert await face.run(client.xreadgroup, "g", "me", {"s": ">"}, block=700) in ([], {})
    assert 0.6 < watch.seconds < 3


async def test_the_grace_is_what_the_timeouts_say(face: Any, proxy: FaultProxy, stopwatch: Any) -> None:
    client = face.client(proxy.url, **limits())
    await face.run(client.ping)
    proxy.drop_replies()
    with stopwatch() as watch:
        error = await face.error(client.blpop, "jobs", 0.7)
    assert isinstance(error, redis.TimeoutError)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert 1 < watch.seconds < 3


@pytest.mark.parametrize("protocol", [2, 3])
async def test_zero_is_for_ever(face: Any, server: EmbeddedServer, protocol: int) -> None:
    client = face.client(server.url, **limits(protocol))
    waiting = asyncio.create_task(face.run(client.blpop, "jobs", 0))
    await face.pause(1)
    assert not waiting.done()
    server.execute("RPUSH", "jobs", "one")
    assert list(await asyncio.wait_for(waiting, 5)) == [b"jobs", b"one"]
    assert await face.run(client.set, "k", "v") is True


async def test_in_a_pipeline_their_times_add_up(face: Any, server: EmbeddedServer, stopwatch: Any) -> None:
    client = face.client(server.url, **limits())
    pipe = client.pipeline(transaction=False)
    pipe.blpop("none", 0.4)
    pipe.set("k", "v")
    pipe.xread({"none": "$"}, block=400)
    with stopwatch() as watch:
        replies = await face.run(pipe.execute)
    assert replies[:2] == [None, True]
    assert 0.7 < watch.seconds < 4


async def test_in_a_transaction_nothing_blocks(face: Any, server: EmbeddedServer, stopwatch: Any) -> None:
    client = face.client(server.url, **limits())
    pipe = client.pipeline()
    pipe.blpop("none", 0)
    pipe.set("k", "v")
    with stopwatch() as watch:
        assert await face.run(pipe.execute) == [None, True]
    assert watch.seconds < 2


async def test_a_transaction_that_gets_no_reply_does_not_wait_for_its_blocking_commands(
    face: Any, proxy: FaultProxy, stopwatch: Any
) -> None:
    client = face.client(proxy.url, **limits())
    await face.run(client.ping)
    proxy.drop_replies()
    pipe = client.pipeline()
    pipe.blpop("none", 30)
    with stopwatch() as watch:
        assert isinstance(await face.error(pipe.execute), redis.TimeoutError)
    assert watch.seconds < 3


async def test_one_whose_connection_is_lost_is_not_repeated(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, **limits())
    server.execute("RPUSH", "jobs", "one", "two")
    proxy.cut_after_request(commands=["BLPOP"])
    error = await face.error(client.blpop, "jobs", 5)
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert server.execute("LLEN", "jobs") == b":1\r\n"


async def test_one_that_only_reads_is_repeated(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, **limits())
    server.execute("XADD", "s", "1-1", "a", "b")
    proxy.cut_after_request(2, commands=["XREAD"])
    found = await face.run(client.xread, {"s": "0"}, block=1000)
    assert found
    assert proxy.commands["XREAD"] == 3


async def test_a_killed_connection_ends_a_wait_without_end(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, **limits())
    waiting = asyncio.create_task(face.error(client.blpop, "jobs", 0))
    await face.pause(0.3)
    server.execute("CLIENT", "KILL", "TYPE", "normal")
    error = await asyncio.wait_for(waiting, 5)
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "unknown"


async def test_a_cancelled_wait_takes_nothing_afterwards(face: Any, server: EmbeddedServer) -> None:
    if face.name == "sync":
        pytest.skip("threads cannot be cancelled")
    client = face.client(server.url, max_connections=1, **limits())
    waiting = asyncio.create_task(client.blpop("jobs", 0))
    await asyncio.sleep(0.2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    until = time.monotonic() + 3
    while b"cmd=blpop" in server.execute("CLIENT", "LIST") and time.monotonic() < until:
        await asyncio.sleep(0.02)  # the server hears of it a moment later
    server.execute("RPUSH", "jobs", "one")
    assert server.execute("LLEN", "jobs") == b":1\r\n"
    assert list(await client.blpop("jobs", 1)) == [b"jobs", b"one"]


async def test_the_connection_under_a_wait_without_end_is_kept_alive(face: Any, server: EmbeddedServer) -> None:
    """So that the system notices a peer that is gone; see docs/timeouts.md."""
    options = {} if int(redis.__version__.split(".")[0]) >= 8 else {"socket_keepalive": True}
    client = face.client(server.url, policies=[], **options)
    await face.run(client.ping)
    pool = client.connection_pool
    connection = await pool.get_connection() if face.name == "asyncio" else pool.get_connection()
    sock: Any = connection._writer.get_extra_info("socket") if face.name == "asyncio" else connection._sock
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
    await face.run(pool.release, connection)
