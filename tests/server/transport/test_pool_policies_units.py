"""redis-py's own pipelines, transactions, scripts and locks over a pool with policies."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from server_counts import count_of

from resilient_redis import CircuitBreaker, Fallback, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server


# --- pipelines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transaction", [True, False], ids=["MULTI", "plain"])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_pipeline_of_reads_is_repeated_as_one_unit(
    face: Any, client_of: Any, proxy: FaultProxy, transaction: bool, protocol: int
) -> None:
    client = client_of(proxy.url, protocol=protocol)
    await face.run(client.mset, {"a": 1, "b": 2})
    first = "MULTI" if transaction else "GET"
    proxy.cut_after_request(1, commands=[first])
    assert await face.run(client.pipeline(transaction=transaction).get("a").get("b").execute) == [b"1", b"2"]
    assert proxy.commands[first] == (2 if transaction else 3)  # the second GET was cut off unseen


@pytest.mark.parametrize("transaction", [True, False], ids=["MULTI", "plain"])
async def test_a_pipeline_that_writes_is_unknown_and_not_repeated(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer, transaction: bool
) -> None:
    client = client_of(proxy.url)
    proxy.cut_after_request(1, commands=["EXEC" if transaction else "INCRBY"])
    pipe = client.pipeline(transaction=transaction)
    error = await face.error(pipe.incr("n").incr("n").execute)
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert len(pipe) == 0
    assert count_of(server, "n") == (2 if transaction else 1)


@pytest.mark.parametrize("transaction", [True, False], ids=["MULTI", "plain"])
async def test_a_pipeline_that_was_never_sent_is_repeated(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer, transaction: bool
) -> None:
    client = client_of(proxy.url)
    proxy.inject("cut_before_request", 2, handshake=True)
    assert await face.run(client.pipeline(transaction=transaction).incr("n").incr("n").execute) == [1, 2]
    assert count_of(server, "n") == 2


async def test_a_pipeline_of_which_all_was_refused_is_repeated_and_of_which_a_part_ran_not(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    await face.run(client.ping)
    proxy.reply_error("LOADING Redis is loading the dataset in memory", 2, commands=["SET", "INCRBY"])
    assert await face.run(client.pipeline(transaction=False).set("k", "v").incr("n").execute) == [True, 1]
    proxy.reply_error("LOADING Redis is loading the dataset in memory", 1, commands=["INCRBY"])
    error = await face.error(client.pipeline(transaction=False).set("k", "v").incr("n").execute)
    assert type(error) is redis.BusyLoadingError
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert await face.run(client.get, "n") == b"1"


async def test_a_pipeline_has_its_own_fallback(face: Any, client_of: Any) -> None:
    dead = f"redis://127.0.0.1:{free_port()}"
    client = client_of(dead, [Fallback(None, pipeline=lambda call: [b"?"] * call.size), CircuitBreaker()])
    client.connection_pool.breakers["circuit_breaker"].isolate()
    assert await face.run(client.pipeline().get("a").get("b").execute) == [b"?", b"?"]
    assert await face.run(client.pipeline(transaction=False).get("a").execute) == [b"?"]
    plain = client_of(dead, [Fallback(None)])
    assert isinstance(await face.error(plain.pipeline().get("a").execute), redis.ConnectionError)


async def test_a_pipeline_that_stalls_ends_at_its_deadline(
    face: Any, client_of: Any, proxy: FaultProxy, stopwatch: Any
) -> None:
    client = client_of(proxy.url, [Timeout(0.3)])
    await face.run(client.ping)
    proxy.delay(30)
    with stopwatch() as watch:
        error = await face.error(client.pipeline().incr("n").execute)
    assert isinstance(error, redis.TimeoutError)
    assert watch.seconds < 5


async def test_modules_and_their_pipelines_are_guarded_too(face: Any, client_of: Any) -> None:
    client = client_of(f"redis://127.0.0.1:{free_port()}")
    assert (await face.error(client.json().get, "k")).attempts == 3
    if face.name == "sync":  # redis-py gives its asyncio client a pipeline for threads here
        pipe = client.json().pipeline()
        pipe.get("k")
        assert (await face.error(pipe.execute)).attempts == 3


# --- WATCH ------------------------------------------------------------------------------------------------------


async def test_the_first_watch_is_repeated_if_it_was_never_sent(face: Any, client_of: Any, proxy: FaultProxy) -> None:
    client = client_of(proxy.url)
    proxy.inject("cut_before_request", 2, handshake=True)
    pipe = client.pipeline()
    assert await face.run(pipe.watch, "k")
    pipe.multi()
    assert await face.run(pipe.set("k", 1).execute) == [True]


async def test_a_lost_watch_is_a_watch_error_and_overwrites_nobody(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    pipe = client.pipeline()
    await face.run(pipe.watch, "k")
    server.execute("SET", "k", "other")
    proxy.cut_after_request(1, commands=["GET"])
    error = await face.error(pipe.get, "k")
    assert isinstance(error, redis.WatchError)
    assert not pipe.watching
    assert server.execute("GET", "k") == b"$5\r\nother\r\n"
    assert proxy.connections_opened == 1  # nothing was sent over another one
    await face.run(pipe.reset)


async def test_a_connection_that_was_cut_while_watching_ends_the_transaction(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    pipe = client.pipeline()
    await face.run(pipe.watch, "k")
    pipe.multi()
    server.execute("SET", "k", "other")
    proxy.cut_all()
    await face.pause(0.05)
    error = await face.error(pipe.set("k", "mine").execute)
    assert isinstance(error, (redis.WatchError, redis.ConnectionError))
    assert server.execute("GET", "k") == b"$5\r\nother\r\n"


async def test_a_lost_exec_is_unknown_and_the_callable_does_not_run_again(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    runs: list[int] = []

    def body(pipe: Any) -> Any:
        runs.append(1)
        yield pipe.get("n")
        pipe.multi()
        pipe.incr("n")

    proxy.cut_after_request(1, commands=["EXEC"])
    error = await face.error(face.transaction, client, body, "n")
    assert isinstance(error, redis.ConnectionError)
    assert not isinstance(error, redis.WatchError)
    assert (error.delivery, error.attempts, runs) == ("unknown", 1, [1])
    assert count_of(server, "n") == 1


async def test_a_transaction_runs_again_when_its_watch_was_lost_before_exec(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)

    def body(pipe: Any) -> Any:
        yield pipe.get("n")
        pipe.multi()
        pipe.incr("n")

    proxy.cut_after_request(1, commands=["GET"])
    await face.transaction(client, body, "n")
    assert count_of(server, "n") == 1


# --- scripts and locks ------------------------------------------------------------------------------------------


async def test_a_script_is_loaded_where_it_is_missing_and_never_repeated(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    script = client.register_script("return redis.call('INCR', KEYS[1])")
    server.execute("SCRIPT", "FLUSH")
    assert await face.run(script, keys=["n"]) == 1
    proxy.cut_after_request(1, commands=["EVALSHA"])
    error = await face.error(script, keys=["n"])
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert count_of(server, "n") == 2


async def test_a_pipeline_loads_its_scripts(face: Any, client_of: Any, proxy: FaultProxy, server: Any) -> None:
    client = client_of(proxy.url)
    script = client.register_script("return redis.call('INCR', KEYS[1])")
    server.execute("SCRIPT", "FLUSH")
    pipe = client.pipeline()
    pipe.set("k", "v")
    await face.run(script, keys=["n"], client=pipe)
    assert await face.run(pipe.execute) == [True, 1]


async def test_looking_for_scripts_binds_a_pipeline_to_nothing(face: Any, client_of: Any, proxy: FaultProxy) -> None:
    client = client_of(proxy.url)
    pipe = client.pipeline(transaction=False).get("k")
    pipe.scripts.add(client.register_script("return 1"))
    proxy.cut_after_request(1, commands=["GET"])
    assert await face.run(pipe.execute) == [None]


async def test_a_lock_with_a_lost_reply_is_no_answer_at_all(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    lock = client.lock("door", timeout=5, thread_local=False)
    proxy.cut_after_request(1, commands=["SET"])
    error = await face.error(lock.acquire, blocking=False)
    assert (error.delivery, error.attempts) == ("unknown", 1)
    server.execute("DEL", "door")
    assert await face.run(lock.acquire)
    await face.run(lock.release)


# --- as other libraries use it ----------------------------------------------------------------------------------


async def test_a_job_is_queued_once_as_arq_queues_it(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    proxy.inject("cut_before_request", 1, handshake=True)
    proxy.cut_after_request(1, commands=["EXISTS"])
    outcomes = []
    for _ in range(3):
        pipe = client.pipeline(transaction=True)
        try:
            await face.run(pipe.watch, "job:1")
            if await face.run(pipe.exists, "job:1"):
                outcomes.append("known")
                continue
            pipe.multi()
            pipe.psetex("job:1", 10_000, b"work").zadd("queue", {"1": 1})
            await face.run(pipe.execute)
            outcomes.append("queued")
        except redis.WatchError:
            outcomes.append("again")
        finally:
            await face.run(pipe.reset)
    assert outcomes == ["again", "queued", "known"]
    assert server.execute("ZCARD", "queue") == b":1\r\n"


async def test_a_hit_is_counted_by_script_as_limits_counts_it(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url)
    hit = client.register_script(
        "local n = redis.call('INCR', KEYS[1]) redis.call('EXPIRE', KEYS[1], ARGV[1]) return n"
    )
    seen, told = 0, []
    proxy.inject("cut_after_request", None, rate=0.3, commands=["EVALSHA"])
    for _ in range(30):
        try:
            await face.run(hit, keys=["hits"], args=[60])
            seen += 1
        except redis.ConnectionError as error:
            told.append(error.delivery)  # type: ignore[attr-defined]
    assert (seen + len(told), set(told)) == (30, {"unknown"})
    assert seen <= count_of(server, "hits") <= 30
