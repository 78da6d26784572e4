"""redis-py's own pub/sub, monitor and single-connection clients over a pool with policies; and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from typing import Any

import pytest
import redis
from server_counts import count_of

from resilient_redis import Bulkhead, CircuitBreaker, CircuitOpenError, Fallback, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port
from resilient_redis.transport.lease_base import LeaseBase

pytestmark = pytest.mark.server

QUICK = Retry(attempts=3, wait_initial=0, wait_max=0)


async def close(face: Any, made: Any) -> None:
    await face.run(made.close if face.name == "sync" else made.aclose)


# --- pub/sub and monitor ----------------------------------------------------------------------------------------


async def message_from(face: Any, pubsub: Any) -> Any:
    """The next message of a publisher; what is told about subscriptions is passed over."""
    for _ in range(200):
        message = await face.run(pubsub.get_message, ignore_subscribe_messages=True, timeout=0.05)
        if message is not None:
            return message
    raise AssertionError("no message came")


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_pubsub_subscribes_again_after_its_connection_is_lost(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer, protocol: int
) -> None:
    client = client_of(proxy.url, protocol=protocol)
    pubsub = client.pubsub()
    await face.run(pubsub.subscribe, "news")
    await face.run(pubsub.psubscribe, "n*")
    while server.execute("PUBSUB", "NUMPAT") != b":1\r\n":
        await face.pause(0.01)
    server.execute("PUBLISH", "news", "one")
    assert (await message_from(face, pubsub))["data"] == b"one"
    assert (await message_from(face, pubsub))["type"] == "pmessage"
    proxy.cut_all()
    proxy.inject("cut_before_request", 1, handshake=True)  # the first way back fails, too
    for _ in range(100):
        await face.run(pubsub.get_message, timeout=0.02)
        if server.execute("PUBLISH", "news", "two") == b":2\r\n":
            break
    assert (await message_from(face, pubsub))["data"] == b"two"
    await close(face, pubsub)


async def test_subscribing_again_is_part_of_reconnecting_and_needs_no_permit_of_its_own(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url, [QUICK, Bulkhead(1)])
    pubsub = client.pubsub()
    await face.run(pubsub.subscribe, "news")
    proxy.cut_all()
    for _ in range(100):
        await face.run(pubsub.get_message, timeout=0.02)
        if server.execute("PUBLISH", "news", "two") == b":1\r\n":
            break
    assert (await message_from(face, pubsub))["data"] == b"two"
    await close(face, pubsub)


async def test_a_pubsub_that_cannot_dial_raises_and_no_fallback_answers(face: Any, client_of: Any) -> None:
    client = client_of(f"redis://127.0.0.1:{free_port()}", [Fallback(None), QUICK])
    pubsub = client.pubsub()
    error = await face.error(pubsub.subscribe, "news")
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, error.attempts) == ("not_sent", 3)
    await close(face, pubsub)


async def test_a_pubsub_may_subscribe_while_another_task_reads(
    face: Any, client_of: Any, server: EmbeddedServer
) -> None:
    client = client_of(server.url)
    pubsub = client.pubsub()
    await face.run(pubsub.subscribe, "a")
    reading = asyncio.ensure_future(message_from(face, pubsub))
    await face.pause(0.02)
    await face.run(pubsub.subscribe, "b")
    for _ in range(100):
        if server.execute("PUBLISH", "b", "hello") == b":1\r\n":
            break
        await face.pause(0.01)
    assert (await reading)["channel"] == b"b"
    await close(face, pubsub)


async def test_a_push_handler_is_heeded_though_it_is_set_before_there_is_a_connection(
    face: Any, client_of: Any, server: EmbeddedServer
) -> None:
    client = client_of(server.url, protocol=3)
    heard: list[Any] = []

    def note(message: Any) -> None:
        heard.append(message)

    async def anote(message: Any) -> None:
        heard.append(message)

    pubsub = client.pubsub(push_handler_func=note if face.name == "sync" else anote)
    await face.run(pubsub.subscribe, "news")
    await face.run(pubsub.get_message, timeout=1)
    assert heard[0][0] == b"subscribe"
    await close(face, pubsub)


async def test_a_monitor_starts_through_the_policies(face: Any, client_of: Any, proxy: FaultProxy) -> None:
    client = client_of(proxy.url)
    proxy.inject("cut_before_request", 2, handshake=True)
    monitor = client.monitor()
    if face.name == "sync":
        await face.run(monitor.__enter__)
    else:
        await monitor.__aenter__()
    await face.run(client.echo, "x")
    seen = ""
    while "ECHO" not in seen:
        seen = (await face.run(monitor.next_command))["command"]
    if face.name == "sync":
        await face.run(monitor.__exit__, None, None, None)
    else:
        await monitor.__aexit__(None, None, None)


# --- clients with a single connection ---------------------------------------------------------------------------


async def test_a_single_connection_client_that_cannot_dial_raises_and_no_fallback_answers(
    face: Any, client_of: Any
) -> None:
    client = client_of(f"redis://127.0.0.1:{free_port()}", [Fallback(None), QUICK], single=True)
    error = await face.error(client.get, "k")
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, error.attempts) == ("not_sent", 3)


async def test_a_single_connection_client_stays_on_its_connection_and_repeats_nothing(
    face: Any, client_of: Any, proxy: FaultProxy
) -> None:
    client = client_of(proxy.url, single=True)
    numbers = {await face.run(client.client_id) for _ in range(3)}
    assert len(numbers) == 1
    proxy.cut_after_request(1, commands=["GET"])
    error = await face.error(client.get, "k")
    assert (error.delivery, error.attempts) == ("unknown", 1)
    assert await face.run(client.get, "k") is None  # it had no state: the next command may have another connection
    assert await face.run(client.client_id) not in numbers


async def test_a_single_connection_client_that_lost_its_state_says_so(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url, single=True)
    await face.run(client.execute_command, "SELECT", 5)
    await face.run(client.set, "k", "five")
    proxy.cut_after_request(1, commands=["GET"])
    await face.error(client.get, "k")
    error = await face.error(client.set, "k", "zero")
    assert isinstance(error, redis.ConnectionError)
    assert (error.delivery, "(db) is lost" in str(error)) == ("not_sent", True)
    assert server.execute("EXISTS", "k") == b":0\r\n"


async def test_a_single_connection_client_is_refused_by_an_open_circuit(
    face: Any, client_of: Any, server: EmbeddedServer
) -> None:
    client = client_of(server.url, [Fallback(None), CircuitBreaker()], single=True)
    assert await face.run(client.get, "k") is None
    client.connection_pool.breakers["circuit_breaker"].isolate()
    assert isinstance(await face.error(client.get, "k"), CircuitOpenError)


# --- nothing is lost --------------------------------------------------------------------------------------------


async def test_a_failed_call_leaves_no_lease_for_the_garbage_collector(
    face: Any, client_of: Any, proxy: FaultProxy
) -> None:
    if face.name == "asyncio":
        pytest.skip("asyncio's streams keep their last exception, and all it has come through")
    client = client_of(proxy.url, [CircuitBreaker(fail_max=9)])

    def fail() -> None:
        for call in (lambda: client.get("k"), lambda: client.pipeline().incr("n").execute()):
            with contextlib.suppress(redis.ConnectionError):
                call()

    proxy.cut_after_request(None, commands=["GET", "MULTI"])
    fail()
    gc.collect()
    gc.disable()
    try:
        fail()
        client.connection_pool.breakers["circuit_breaker"].isolate()
        fail()
        here = client.connection_pool  # tests before this one may have left some of theirs
        assert [one for one in gc.get_objects() if isinstance(one, LeaseBase) and one.pool is here] == []
    finally:
        gc.enable()


async def test_no_reply_goes_astray_and_no_connection_is_lost_under_timeouts_and_cuts(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    for number in range(20):
        server.execute("SET", f"k{number}", f"v{number}")
    client = client_of(proxy.url, [Timeout(0.05)], max_connections=4, socket_connect_timeout=1)
    proxy.inject("cut_after_request", None, rate=0.1)
    proxy.inject("delay_reply", None, rate=0.1, detail="0.1")
    wrong: list[Any] = []
    right: list[Any] = []

    def check(number: int, reply: Any) -> None:
        (right if reply == f"v{number}".encode() else wrong).append((number, reply))

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(25):
            number = rng.randrange(20)
            try:
                check(number, client.get(f"k{number}"))
            except redis.RedisError:
                continue

    async def awork(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(25):
            number = rng.randrange(20)
            try:
                check(number, await client.get(f"k{number}"))
            except redis.RedisError:
                continue

    jobs = [lambda seed=seed: (work if face.name == "sync" else awork)(seed) for seed in range(8)]
    assert [reply for reply in await face.together(jobs) if reply is not None] == []
    assert wrong == []
    assert right


async def test_nothing_is_applied_twice_and_what_is_told_is_true(
    face: Any, client_of: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = client_of(proxy.url, [QUICK, Timeout(2)], max_connections=4)
    for fault in ("cut_before_request", "cut_after_request", "half_reply"):
        proxy.inject(fault, None, rate=0.05)
    proxy.inject("cut_before_request", None, rate=0.05, handshake=True)
    told: dict[str, str] = {}

    def jobs(worker: int) -> Any:
        for number in range(30):
            key = f"{worker}:{number}"
            yield key, (lambda key=key: client.incr(key))
            yield f"p:{key}", (lambda key=key: client.pipeline().incr(f"p:{key}").execute())
            yield f"q:{key}", (lambda key=key: client.pipeline(transaction=False).incr(f"q:{key}").execute())

    def work(worker: int) -> None:
        for key, job in jobs(worker):
            try:
                job()
                told[key] = "done"
            except redis.ConnectionError as error:
                told[key] = error.delivery  # type: ignore[attr-defined]

    async def awork(worker: int) -> None:
        for key, job in jobs(worker):
            try:
                await job()
                told[key] = "done"
            except redis.ConnectionError as error:
                told[key] = error.delivery  # type: ignore[attr-defined]

    await face.together([lambda worker=worker: (work if face.name == "sync" else awork)(worker) for worker in range(6)])
    assert len(told) == 540
    applied = {key: count_of(server, key) for key in told}
    assert {applied[key] for key, what in told.items() if what == "done"} == {1}
    assert {applied[key] for key, what in told.items() if what == "unknown"} == {0, 1}
    assert {applied[key] for key, what in told.items() if what in ("not_sent", "rejected")} <= {0}


async def test_cancelled_tasks_lose_no_connection_and_leave_no_reply_to_others(
    client_of: Any, face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    if face.name == "sync":
        pytest.skip("threads cannot be cancelled")
    for number in range(20):
        server.execute("SET", f"k{number}", f"v{number}")
    client = client_of(proxy.url, max_connections=3)
    proxy.delay(0.003)
    rng = random.Random(4)
    done = 0
    for _ in range(15):
        numbers = [rng.randrange(20) for _ in range(12)]
        tasks = [asyncio.ensure_future(client.get(f"k{number}")) for number in numbers]
        await asyncio.sleep(rng.random() * 0.012)
        for task in rng.sample(tasks, 6):
            task.cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        for number, reply in zip(numbers, replies, strict=True):
            if not isinstance(reply, asyncio.CancelledError):
                assert reply == f"v{number}".encode()
                done += 1
    assert done
    assert client.connection_pool.stats().borrowed == 0
