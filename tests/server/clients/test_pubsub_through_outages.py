"""Pub/sub subscribes and reconnects through the policies."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, CircuitOpenError, Fallback, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy
from resilient_redis.testing.servers import free_port

pytestmark = pytest.mark.server


async def message(face: Any, pubsub: Any, seconds: float = 5.0) -> Any:
    """The next message that is one; connection errors meanwhile are waited out."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            found = await face.run(pubsub.get_message, ignore_subscribe_messages=True, timeout=0.2)
        except (redis.ConnectionError, redis.TimeoutError):
            await face.pause(0.1)
            continue
        if found is not None:
            return found
    return None


async def publish_until_heard(face: Any, server: EmbeddedServer, pubsub: Any, text: str) -> Any:
    """Messages sent while nobody is subscribed are lost, so say it again until it arrives."""
    for _ in range(20):
        server.execute("PUBLISH", "news", text)
        found = await message(face, pubsub, 0.5)
        if found is not None:
            return found
    return None


@pytest.mark.parametrize("protocol", [2, 3])
async def test_messages_arrive(face: Any, server: EmbeddedServer, protocol: int) -> None:
    client = face.client(server.url, protocol=protocol, policies=[Timeout(1)])
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "news")
    await face.run(pubsub.psubscribe, "n*")
    await face.pause(0.1)
    assert await face.run(client.publish, "news", "one") == 2
    got = [await message(face, pubsub), await message(face, pubsub)]
    assert {found["type"] for found in got} == {"message", "pmessage"}
    assert {found["data"] for found in got} == {b"one"}


async def test_handlers_and_listen(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url)
    pubsub = face.keep(client.pubsub(ignore_subscribe_messages=True))
    heard: list[Any] = []
    await face.run(pubsub.subscribe, news=lambda found: heard.append(found["data"]))
    await face.pause(0.1)
    server.execute("PUBLISH", "news", "one")
    until = time.monotonic() + 5
    while not heard and time.monotonic() < until:
        await face.run(pubsub.get_message, timeout=0.2)
    assert heard == [b"one"]


async def test_waiting_for_a_message_is_no_timeout(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=[Timeout(0.2)], socket_timeout=0.3)
    pubsub = face.keep(client.pubsub(ignore_subscribe_messages=True))
    await face.run(pubsub.subscribe, "news")
    waiting = asyncio.create_task(face.run(pubsub.get_message, timeout=3))
    await face.pause(0.3)
    first = await waiting if waiting.done() else None  # the confirmation of the subscription is one message
    waiting = waiting if first is None else asyncio.create_task(face.run(pubsub.get_message, timeout=3))
    await face.pause(0.6)
    server.execute("PUBLISH", "news", "one")
    found = await asyncio.wait_for(waiting, 5)
    if found is None:
        found = await message(face, pubsub)
    assert found["data"] == b"one"


@pytest.mark.parametrize("protocol", [2, 3])
async def test_after_a_kill_and_restart_it_is_subscribed_again(
    face: Any, own_server: EmbeddedServer, protocol: int
) -> None:
    client = face.client(
        own_server.url,
        protocol=protocol,
        policies=[Retry(attempts=3), CircuitBreaker(fail_max=5, reset_timeout=0.2), Timeout(0.5)],
    )
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "news")
    assert (await publish_until_heard(face, own_server, pubsub, "before"))["data"] == b"before"
    own_server.kill()
    with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
        for _ in range(3):
            await face.run(pubsub.get_message, timeout=0.2)
    assert pubsub.subscribed
    own_server.restart()
    assert (await publish_until_heard(face, own_server, pubsub, "after"))["data"] == b"after"
    assert own_server.execute("PUBSUB", "NUMSUB", "news").endswith(b":1\r\n")


async def test_a_lost_connection_is_replaced_without_the_caller_noticing(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=[Retry(attempts=3, wait_initial=0.01), Timeout(1)])
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "news")
    assert (await publish_until_heard(face, server, pubsub, "one"))["data"] == b"one"
    proxy.cut_all()
    for _ in range(3):  # raises nothing
        await face.run(pubsub.get_message, timeout=0.1)
    assert (await publish_until_heard(face, server, pubsub, "two"))["data"] == b"two"


async def test_subscribing_is_repeated(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=[Retry(attempts=3, wait_initial=0.01), Timeout(1)])
    proxy.inject("cut_before_request", 2, handshake=True)
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "news")
    assert (await publish_until_heard(face, server, pubsub, "one"))["data"] == b"one"


async def test_an_open_circuit_refuses_to_subscribe(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=[CircuitBreaker()])
    client.breakers["circuit_breaker"].isolate()
    pubsub = face.keep(client.pubsub())
    assert isinstance(await face.error(pubsub.subscribe, "news"), CircuitOpenError)


async def test_subscribing_is_never_masked(face: Any) -> None:
    client = face.client(host="127.0.0.1", port=free_port(), policies=[Fallback(None, writes=True)])
    pubsub = face.keep(client.pubsub())
    assert isinstance(await face.error(pubsub.subscribe, "news"), redis.ConnectionError)


async def test_a_failed_reconnect_counts_for_the_circuit_of_all(face: Any, own_server: EmbeddedServer) -> None:
    client = face.client(own_server.url, policies=[CircuitBreaker(fail_max=2, reset_timeout=60), Timeout(0.5)])
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "news")
    await message(face, pubsub, 0.2)
    own_server.kill()
    for _ in range(4):
        await face.error(pubsub.get_message, timeout=0.1)
    assert isinstance(await face.error(client.get, "k"), CircuitOpenError)


def test_the_worker_thread_of_a_pubsub_survives_a_restart(own_server: EmbeddedServer) -> None:
    from resilient_redis import ResilientRedis

    heard: list[Any] = []
    with ResilientRedis.from_url(own_server.url, policies=[Retry(attempts=3), Timeout(0.5)]) as client:
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(news=lambda found: heard.append(found["data"]))
        thread = pubsub.run_in_thread(sleep_time=0.05, daemon=True, exception_handler=lambda *_: time.sleep(0.05))
        try:
            own_server.kill()
            time.sleep(0.3)
            own_server.restart()
            until = time.monotonic() + 6
            while not heard and time.monotonic() < until:
                own_server.execute("PUBLISH", "news", "after")
                time.sleep(0.05)
        finally:
            thread.stop()
            thread.join(5)
            pubsub.close()
    assert heard
    assert set(heard) == {b"after"}
