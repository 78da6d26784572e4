"""Pipelines as one unit, locks, scripts, iterators: what is repeated, what is masked, and what never is."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, CircuitOpenError, Fallback, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server

THRICE = Retry(attempts=3, wait_initial=0, wait_max=0)


def dead(face: Any, *policies: Any) -> Any:
    return face.client(host="127.0.0.1", port=free_port(), policies=list(policies))


# --- pipelines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_pipeline_of_reads_is_repeated_as_one(face: Any, proxy: FaultProxy, transaction: bool) -> None:
    client = face.client(proxy.url, policies=[THRICE])
    await face.run(client.mset, {"a": "1", "b": "2"})
    proxy.cut_after_request(2, commands=["MULTI"] if transaction else ["GET"])
    pipe = client.pipeline(transaction=transaction)
    pipe.get("a")
    pipe.get("b")
    assert await face.run(pipe.execute) == [b"1", b"2"]
    assert len(pipe.command_stack) == 0


async def test_a_pipeline_with_one_write_is_not_repeated(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=[THRICE])
    await face.run(client.set, "a", "1")
    proxy.cut_after_request(1, commands=["INCRBY"])
    pipe = client.pipeline(transaction=False)
    pipe.get("a")
    pipe.incr("n")
    error = await face.error(pipe.execute)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert server.execute("GET", "n") == b"$1\r\n1\r\n"


async def test_a_pipeline_of_writes_that_was_never_sent_is_repeated(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[THRICE])
    proxy.inject("cut_before_request", 2, handshake=True)
    pipe = client.pipeline()
    pipe.incr("n")
    pipe.incr("n")
    assert await face.run(pipe.execute) == [1, 2]


async def test_a_pipeline_is_empty_and_usable_after_any_end(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[CircuitBreaker(fail_max=1, reset_timeout=60)])
    pipe = client.pipeline()
    pipe.set("a", 1)
    proxy.refuse()
    assert isinstance(await face.error(pipe.execute), redis.ConnectionError)
    assert len(pipe.command_stack) == 0
    pipe.set("a", 2)
    assert isinstance(await face.error(pipe.execute), CircuitOpenError)
    assert len(pipe.command_stack) == 0
    proxy.heal()
    client.breakers["circuit_breaker"].reset()
    pipe.set("a", 3).get("a")
    assert await face.run(pipe.execute) == [True, b"3"]


async def test_a_failed_pipeline_gives_its_connection_back(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[THRICE, Timeout(1)], max_connections=1)
    for _ in range(5):
        proxy.cut_after_request(3)
        pipe = client.pipeline()
        pipe.incr("n")
        await face.error(pipe.execute)
        proxy.heal()
    assert await face.run(client.ping)


async def test_errors_inside_a_pipeline_are_redis_pys(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url)
    await face.run(client.set, "text", "x")
    pipe = client.pipeline(transaction=False)
    pipe.incr("n")
    pipe.lpush("text", 1)
    replies = await face.run(pipe.execute, raise_on_error=False)
    assert replies[0] == 1
    assert isinstance(replies[1], redis.ResponseError)


async def test_an_empty_pipeline_is_an_empty_list_even_with_a_dead_server(face: Any) -> None:
    assert await face.run(dead(face).pipeline().execute) == []


async def test_a_pipeline_is_masked_only_by_a_fallback_for_pipelines(face: Any) -> None:
    plain = dead(face, Fallback(None)).pipeline()
    plain.get("a")
    assert isinstance(await face.error(plain.execute), redis.ConnectionError)
    told = dead(face, Fallback(None, pipeline=[b"x", b"y"])).pipeline()
    told.get("a")
    told.get("b")
    assert await face.run(told.execute) == [b"x", b"y"]
    computed = dead(face, Fallback(None, pipeline=lambda call: [None] * call.size)).pipeline()
    computed.get("a")
    computed.get("b")
    computed.get("c")
    assert await face.run(computed.execute) == [None] * 3


async def test_a_pipelines_fallback_of_another_length_is_not_used(face: Any) -> None:
    pipe = dead(face, Fallback(None, pipeline=[b"x"])).pipeline()
    pipe.get("a")
    pipe.get("b")
    error = await face.error(pipe.execute)
    assert isinstance(error, redis.ConnectionError)
    assert any("1 instead of 2" in note for note in error.__notes__)


# --- what is masked, and in which shape -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "args", "answer"),
    [
        ("get", ("k",), None),
        ("mget", ("a", "b", "c"), [None] * 3),
        ("hmget", ("h", ["a", "b"]), [None] * 2),
        ("hgetall", ("h",), {}),
        ("smembers", ("s",), set()),
        ("lrange", ("l", 0, -1), []),
        ("zrange", ("z", 0, -1), []),
        ("keys", ("*",), []),
        ("xrange", ("x",), []),
    ],
)
async def test_a_masked_read_keeps_the_shape_that_callers_unpack(
    face: Any, command: str, args: tuple[Any, ...], answer: Any
) -> None:
    client = dead(face, Fallback(None))
    assert await face.run(getattr(client, command), *args) == answer


@pytest.mark.parametrize(
    ("command", "args", "options"),
    [
        ("set", ("k", "v"), {}),
        ("set", ("k", "v"), {"nx": True}),
        ("setnx", ("k", "v"), {}),
        ("incr", ("k",), {}),
        ("delete", ("k",), {}),
        ("ping", (), {}),
        ("scan", (), {}),
        ("eval", ("return 1", 0), {}),
        ("watch_", (), {}),
    ],
)
async def test_writes_and_steps_of_protocols_are_never_masked_by_default(
    face: Any, command: str, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    client = dead(face, Fallback(b"made up"))
    function = client.pipeline().watch if command == "watch_" else getattr(client, command)
    if command == "watch_":
        args = ("k",)
    assert isinstance(await face.error(function, *args, **options), redis.ConnectionError)


async def test_writes_are_masked_when_told_but_never_a_claim(face: Any) -> None:
    client = dead(face, Fallback(True, writes=True))
    assert await face.run(client.set, "k", "v") is True
    assert isinstance(await face.error(client.set, "k", "v", nx=True), redis.ConnectionError)
    assert isinstance(await face.error(client.eval, "return 1", 0), redis.ConnectionError)


async def test_scan_iter_goes_through_the_policies_page_by_page(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[Fallback(None), THRICE])
    await face.run(client.mset, {f"k{number}": "v" for number in range(50)})
    proxy.cut_after_request(2, commands=["SCAN"])
    keys = await face.items(client.scan_iter(count=10))
    assert sorted(keys) == sorted(f"k{number}".encode() for number in range(50))


async def test_scan_iter_fails_rather_than_ending_early(face: Any) -> None:
    client = dead(face, Fallback([]))
    with pytest.raises(redis.ConnectionError):
        await face.items(client.scan_iter())


# --- locks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policies", [[Fallback(True)], [Fallback(True, writes=True)], [Fallback(b"x"), THRICE]])
async def test_a_lock_on_a_dead_server_is_neither_had_nor_refused(face: Any, policies: list[Any]) -> None:
    client = dead(face, *policies)
    error = await face.error(client.lock("l").acquire, blocking=False)
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "not_sent"


async def test_no_fallback_stands_for_what_a_lock_holds(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    """Never False: the server holds our lock. And never True by a fallback: it was not looked into."""
    client = face.client(proxy.url, policies=[Fallback(True, writes=True), THRICE])
    await face.run(client.ping)
    proxy.cut_after_request(commands=["SET"])
    proxy.cut_before_request(None, commands=["GET"])
    error = await face.error(client.lock("l", timeout=5).acquire, blocking=False)
    assert isinstance(error, redis.ConnectionError)
    assert error.delivery == "unknown"
    assert server.execute("EXISTS", "l") == b":1\r\n"


async def test_a_release_whose_server_died_raises(face: Any, own_server: EmbeddedServer) -> None:
    client = face.client(own_server.url, policies=[Fallback(True, writes=True), Timeout(2)])
    lock = client.lock("l", timeout=5, thread_local=False)
    assert await face.run(lock.acquire) is True
    own_server.kill()
    assert isinstance(await face.error(lock.release), redis.ConnectionError)


async def test_locks_work(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url)
    first = client.lock("l", timeout=5, thread_local=False)
    second = client.lock("l", timeout=5, thread_local=False)
    assert await face.run(first.acquire)
    assert await face.run(second.acquire, blocking=False) is False
    assert await face.run(first.owned)
    assert await face.run(first.extend, 5)
    await face.run(first.release)
    assert await face.run(second.acquire, blocking=False) is True
    await face.run(second.release)


# --- scripts ----------------------------------------------------------------------------------------------------


async def test_a_registered_script_is_loaded_when_the_server_does_not_know_it(
    face: Any, server: EmbeddedServer
) -> None:
    client = face.client(server.url)
    server.execute("SCRIPT", "FLUSH")
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await face.run(script, keys=["n"], args=[5]) == 5
    server.execute("SCRIPT", "FLUSH")
    assert await face.run(script, keys=["n"], args=[5]) == 10


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_script_in_a_pipeline_is_loaded_with_it(face: Any, server: EmbeddedServer, transaction: bool) -> None:
    client = face.client(server.url)
    server.execute("SCRIPT", "FLUSH")
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    pipe = client.pipeline(transaction=transaction)
    pipe.set("n", 1)
    await face.run(script, keys=["n"], args=[5], client=pipe)
    assert await face.run(pipe.execute) == [True, 6]


async def test_a_script_in_a_pipeline_that_was_never_sent_is_loaded_on_the_next_attempt(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    server.execute("SCRIPT", "FLUSH")
    client = face.client(proxy.url, policies=[THRICE])
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    pipe = client.pipeline()
    await face.run(script, keys=["n"], args=[5], client=pipe)
    proxy.inject("cut_before_request", 2, handshake=True)
    assert await face.run(pipe.execute) == [5]


async def test_a_script_whose_reply_was_lost_is_not_run_again(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=[THRICE])
    script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    await face.run(script, keys=["n"], args=[0])
    proxy.cut_after_request(commands=["EVALSHA"])
    error = await face.error(script, keys=["n"], args=[5])
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert server.execute("GET", "n") == b"$1\r\n5\r\n"


async def test_any_error_of_a_script_leaves_its_fate_unknown(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[THRICE])
    await face.run(client.ping)
    proxy.reply_error("LOADING Redis is loading the dataset in memory", 1, commands=["EVAL"])
    error = await face.error(client.eval, "return 1", 0)
    assert (error.delivery, proxy.commands["EVAL"]) == ("unknown", 1)
