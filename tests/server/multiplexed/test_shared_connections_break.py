"""A shared connection that breaks, stalls, or says too much: who is told what, and who never notices."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, Fallback, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

ONCE: list[Any] = [Timeout(2)]
TWICE: list[Any] = [Retry(attempts=2, wait_initial=0.01, wait_max=0.02), Timeout(0.4)]


async def test_a_reset_ends_what_was_sent_as_unknown(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.ping)
    proxy.cut_after_request(commands=["INCRBY"])
    replies = await face.together([lambda: client.incr("n") for _ in range(20)])
    errors = [reply for reply in replies if isinstance(reply, Exception)]
    assert errors
    assert {type(error) for error in errors} == {redis.ConnectionError}
    assert {error.delivery for error in errors} == {"unknown"}
    assert isinstance(await face.run(client.incr, "n"), int)
    assert client.connection_pool.stats().lines.ends == {"lost": 1}


async def test_what_was_not_sent_yet_goes_over_the_next_connection_unnoticed(
    shared: Any, face: Any, proxy: FaultProxy
) -> None:
    client = shared(proxy.url, ONCE, lines={"max_in_flight": 1})
    await face.run(client.ping)
    proxy.cut_after_request(commands=["INCRBY"])
    replies = await face.together([lambda: client.incr("n") for _ in range(10)])
    errors = [reply for reply in replies if isinstance(reply, Exception)]
    assert [error.delivery for error in errors] == ["unknown"]
    assert sorted(reply for reply in replies if not isinstance(reply, Exception)) == list(range(2, 11))
    assert proxy.connections_opened == 2


async def test_reads_are_repeated_and_nobody_notices_a_reset(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url)
    await face.run(client.set, "k", "v")
    proxy.cut_after_request(commands=["GET"])
    replies = await face.together([lambda: client.get("k") for _ in range(30)])
    assert replies == [b"v"] * 30
    assert proxy.connections_opened == 2


async def test_one_lost_connection_is_one_failure_to_the_circuit(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, [CircuitBreaker(fail_max=2, reset_timeout=60), Timeout(2)])
    await face.run(client.ping)
    proxy.delay(0.2, direction="requests")  # or threads come one after the other
    proxy.cut_before_request(commands=["GET"])
    replies = await face.together([lambda: client.get("k") for _ in range(20)])
    assert sum(isinstance(reply, redis.ConnectionError) for reply in replies) > 2
    assert client.breakers["circuit_breaker"].state == "closed"
    assert await face.run(client.get, "k") is None


async def test_a_server_that_falls_silent_is_left_once_its_oldest_reply_is_overdue(
    shared: Any, face: Any, proxy: FaultProxy, stopwatch: Any
) -> None:
    client = shared(proxy.url, [Timeout(0.3)])
    await face.run(client.ping)
    proxy.lose_reply(commands=["GET"])
    with stopwatch() as watch:
        replies = await face.together([lambda: client.get("k") for _ in range(10)])
    assert 0.2 <= watch.seconds <= 1.5
    assert {type(reply) for reply in replies} == {redis.TimeoutError}
    assert {reply.delivery for reply in replies} == {"unknown"}
    assert await face.run(client.get, "k") is None
    assert client.connection_pool.stats().lines.cut == 1


async def test_a_call_with_little_time_does_not_cut_off_the_others(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.set, "k", "v")
    proxy.delay_reply(0.3, commands=["GET"])

    async def hasty() -> Any:
        with client.overrides(timeout=0.05):
            return await face.error(client.get, "k")

    error = await hasty()
    assert isinstance(error, redis.TimeoutError)
    assert error.delivery == "unknown"
    assert await face.run(client.get, "k") == b"v"
    assert client.connection_pool.stats().lines.opened == 1


async def test_a_black_hole_instead_of_a_dial_sends_nothing(shared: Any, face: Any, proxy: FaultProxy) -> None:
    proxy.black_hole()
    client = shared(proxy.url, [Timeout(0.2)])
    error = await face.error(client.incr, "n")
    assert isinstance(error, redis.TimeoutError)
    assert error.delivery == "not_sent"


async def test_half_a_reply_and_a_closed_connection_is_no_answer(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.set, "k", "v" * 100)
    proxy.half_reply(commands=["GET"])
    error = await face.error(client.get, "k")
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "unknown"
    assert await face.run(client.get, "k") == b"v" * 100


async def test_garbage_ends_the_connection_and_is_nobodys_answer(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.set, "k", "v")
    proxy.delay(0.2, direction="requests")  # or threads come one after the other
    proxy.garbage(commands=["GET"])
    errors = await face.together([lambda: client.get("k") for _ in range(5)])
    assert all(isinstance(error, redis.ConnectionError) and error.delivery == "unknown" for error in errors)
    assert await face.run(client.get, "k") == b"v"
    assert client.connection_pool.stats().lines.ends == {"unread": 1}


async def test_a_surplus_reply_is_nobodys_answer(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.mset, {"a": "A", "b": "B"})
    proxy.extra_reply(commands=["GET"])
    replies = [await face.error(client.get, "a")]
    assert isinstance(replies[0], redis.ConnectionError)
    assert [await face.run(client.get, key) for key in "abab"] == [b"A", b"B", b"A", b"B"]


async def test_a_reply_while_nobody_asks_ends_the_connection(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, ONCE)
    await face.run(client.mset, {"a": "A", "b": "B"})
    proxy.extra_reply(seconds=0.05, commands=["GET"])
    assert await face.run(client.get, "a") == b"A"
    await face.pause(0.2)
    assert [await face.run(client.get, key) for key in "abab"] == [b"A", b"B", b"A", b"B"]
    assert client.connection_pool.stats().lines.opened == 2


async def test_push_messages_are_nobodys_answer(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, ONCE, protocol=3)
    await face.run(client.mset, {"a": "A", "b": "B"})
    proxy.push(n=3, commands=["GET"])
    replies = await face.together([lambda key=key: client.get(key) for key in "abababab"])
    assert replies == [b"A", b"B"] * 4
    assert client.connection_pool.stats().lines.opened == 1


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_write_that_is_repeated_cannot_be_undone_by_its_late_original(
    shared: Any, face: Any, proxy: FaultProxy, protocol: int
) -> None:
    client = shared(proxy.url, TWICE, protocol=protocol, decode_responses=True)
    await face.run(client.ping)
    proxy.hold_requests(commands=["SET"])
    assert await face.run(client.set, "k", "v1") is True
    assert await face.run(client.set, "k", "v2") is True
    proxy.release()
    await face.pause(0.1)
    assert await face.run(client.get, "k") == "v2"


async def test_a_dead_connection_is_cut_off_once_for_all_its_callers(
    shared: Any, face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = shared(proxy.url, [TWICE[0], Timeout(1.5)])  # thirty threads start, and start again, in that time
    await face.run(client.ping)
    server.execute("CONFIG", "RESETSTAT")
    proxy.hold_requests(commands=["SET"])
    replies = await face.together([lambda key=key: client.set(f"k{key}", "v") for key in range(30)])
    assert replies == [True] * 30
    stats = server.execute("INFO", "commandstats").decode()
    kills = [line for line in stats.splitlines() if "client|kill" in line]
    assert len(kills) == 1
    assert "calls=1," in kills[0]


async def test_what_may_not_run_twice_is_not_repeated(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, TWICE)
    await face.run(client.ping)
    proxy.cut_after_request(commands=["INCRBY"])
    error = await face.error(client.incr, "n")
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert await face.run(client.get, "n") == b"1"


async def test_without_a_server_every_caller_is_told_and_the_dial_counts_once(
    shared: Any, face: Any, proxy: FaultProxy
) -> None:
    proxy.black_hole()  # refused at once, threads would come one after the other
    stack = [CircuitBreaker(fail_max=2, reset_timeout=60), Timeout(2)]
    client = shared(proxy.url, stack, socket_timeout=0.3, socket_connect_timeout=0.3)
    errors = await face.together([lambda: client.get("k") for _ in range(20)])
    assert all(isinstance(error, redis.RedisError) and error.delivery == "not_sent" for error in errors)
    assert client.breakers["circuit_breaker"].state == "closed"
    assert client.connection_pool.stats().dial_failures == 1


async def test_the_next_call_after_an_outage_gets_through(shared: Any, face: Any, own_server: EmbeddedServer) -> None:
    client = shared(own_server.url, [Fallback("?"), Retry(attempts=5, wait_initial=0.05, wait_max=0.2), Timeout(1)])
    await face.run(client.set, "k", "v")
    own_server.kill()
    assert await face.run(client.get, "k") == "?"
    own_server.restart()
    assert await face.run(client.set, "k", "w") is True
    assert await face.run(client.get, "k") == b"w"


async def test_a_reader_who_does_not_keep_up_is_not_flooded(shared: Any, face: Any, peer: Callable[..., Any]) -> None:
    """The peer shakes hands and then reads no more: what is filed waits, and then it is refused."""
    client = shared(f"redis://127.0.0.1:{peer(deaf).port}", [Timeout(0.3)], lines={"max_unsent": 5}, protocol=2)
    value = "v" * 60_000
    errors = await face.together([lambda: client.set("k", value) for _ in range(200)])
    deliveries = {(type(error).__name__, error.delivery) for error in errors}
    assert ("PoolSaturatedError", "not_sent") in deliveries
    assert ("TimeoutError", "unknown") in deliveries


def deaf(sock: socket.socket) -> None:
    """Answers what is asked in a handshake, and nothing afterwards."""
    while (data := sock.recv(65536)) and b"CLIENT" in data.upper():
        sock.sendall(b"+OK\r\n" * (data.upper().count(b"\r\nCLIENT\r\n") - 1) or b"")
        sock.sendall(b":7\r\n" if b"\r\nID\r\n" in data.upper() else b"+OK\r\n")
    import time

    time.sleep(1)
