"""A pub/sub object that loses its connection says so, at the right moment, and comes back without a stampede."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from typing import Any

import pytest
import redis

from resilient_redis import CircuitBreaker, DialFailedError, Retry, Timeout
from resilient_redis.events import SubscriptionGap
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

QUICK = [Retry(attempts=3, wait_initial=0.01, wait_max=0.05), Timeout(1)]


async def next_message(face: Any, pubsub: Any, seconds: float = 3.0) -> Any:
    """The next message; what the server confirms is passed over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = await face.run(pubsub.get_message, ignore_subscribe_messages=True, timeout=0.2)
        if found is not None:
            return found
    raise AssertionError("no message came")


async def settled(face: Any, pubsub: Any, number: int = 1) -> None:
    """Take the confirmations of the first subscriptions."""
    for _ in range(number):
        assert (await face.run(pubsub.get_message, timeout=3))["type"].endswith("subscribe")


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_gap_is_told_in_order_and_once(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, protocol: int
) -> None:
    events: list[Any] = []
    story: list[Any] = []
    client = face.client(proxy.url, protocol=protocol, policies=QUICK, listeners=[events.append])
    pubsub = face.keep(client.pubsub(gap_handler=story.append))
    await face.run(pubsub.subscribe, "a", "b")
    await face.run(pubsub.psubscribe, "p*")
    await settled(face, pubsub, 3)
    server.execute("PUBLISH", "a", "before")
    story.append((await next_message(face, pubsub))["data"])
    assert pubsub.gaps == 0
    proxy.cut_all()
    for _ in range(3):  # the three confirmations, as redis-py hands them out
        found = await face.run(pubsub.get_message, timeout=1)
        assert found["type"] in ("subscribe", "psubscribe")
    server.execute("PUBLISH", "pattern", "after")
    story.append((await next_message(face, pubsub))["data"])
    before, gap, after = story
    assert (before, after) == (b"before", b"after")
    assert isinstance(gap, SubscriptionGap)
    assert (gap.policy, gap.channels, gap.patterns, gap.shard_channels) == ("pubsub", 2, 1, 0)
    assert 0 <= gap.seconds < 3
    assert pubsub.gaps == 1
    assert [event for event in events if isinstance(event, SubscriptionGap)] == [gap]


@pytest.mark.parametrize("protocol", [2, 3])
async def test_what_is_published_once_the_gap_is_told_arrives(
    face: Any, server: EmbeddedServer, peer: Any, protocol: int
) -> None:
    """The gap is told when the server has confirmed: who loads anew in the handler misses nothing after that."""
    lines: list[socket.socket] = []

    def slow_line(sock: socket.socket) -> None:
        """Passes everything on, requests a moment late: SUBSCRIBE arrives well after it was sent."""
        with socket.create_connection((server.host, server.port)) as upstream:
            lines.append(sock)
            back = threading.Thread(target=_pass_on, args=(upstream, sock, 0.0), daemon=True)
            back.start()
            _pass_on(sock, upstream, 0.02)

    def load_anew(_gap: SubscriptionGap) -> None:
        server.execute("PUBLISH", "z", "published in the handler")

    client = face.client(f"redis://127.0.0.1:{peer(slow_line).port}", protocol=protocol, policies=QUICK)
    pubsub = face.keep(client.pubsub(gap_handler=load_anew))
    await face.run(pubsub.subscribe, "a")
    await face.run(pubsub.psubscribe, "z*")
    await settled(face, pubsub, 2)
    for line in lines:
        line.shutdown(socket.SHUT_RDWR)
    assert (await next_message(face, pubsub))["data"] == b"published in the handler"


def _pass_on(source: socket.socket, target: socket.socket, delay: float) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            time.sleep(delay)
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


async def test_shard_channels_and_handlers_come_back(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    heard: list[Any] = []
    client = face.client(proxy.url, policies=QUICK)
    pubsub = face.keep(client.pubsub(ignore_subscribe_messages=True))
    if not hasattr(pubsub, "ssubscribe"):
        pytest.skip("this redis-py's asyncio has no shard channels")
    await face.run(pubsub.ssubscribe, shard=lambda found: heard.append(found["data"]))
    await face.run(pubsub.subscribe, plain=lambda found: heard.append(found["data"]))
    for _ in range(2):
        await face.run(pubsub.get_message, timeout=1)
    proxy.cut_all()
    await face.run(pubsub.get_message, timeout=1)
    server.execute("SPUBLISH", "shard", "one")
    server.execute("PUBLISH", "plain", "two")
    until = time.monotonic() + 3
    while len(heard) < 2 and time.monotonic() < until:
        await face.run(pubsub.get_message, timeout=0.1)
    assert sorted(heard) == [b"one", b"two"]
    assert pubsub.gaps == 1


async def test_the_first_subscription_is_no_gap(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=QUICK)
    proxy.inject("cut_before_request", 2, handshake=True)
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    assert pubsub.gaps == 0


async def test_a_subscription_that_finds_the_connection_lost_leads_to_a_gap_too(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=QUICK)
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    proxy.cut_all()
    await face.pause(0.1)
    await face.run(pubsub.subscribe, "b")  # noticed here, or by the next reader
    kinds = [(await face.run(pubsub.get_message, timeout=1))["type"] for _ in range(2)]
    assert kinds == ["subscribe"] * 2
    server.execute("PUBLISH", "a", "one")
    assert (await next_message(face, pubsub))["data"] == b"one"
    assert pubsub.gaps == 1


async def test_a_custom_push_handler_is_kept_and_the_gap_told(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    if face.name == "asyncio":
        pushes: list[Any] = []

        async def handler(response: Any) -> None:
            pushes.append(response)
    else:
        pushes = []

        def handler(response: Any) -> None:  # type: ignore[misc]
            pushes.append(response)

    client = face.client(proxy.url, protocol=3, policies=QUICK)
    pubsub = face.keep(client.pubsub(push_handler_func=handler))
    await face.run(pubsub.subscribe, "a")
    await face.run(pubsub.get_message, timeout=0.5)
    proxy.cut_all()
    for _ in range(3):
        await face.run(pubsub.get_message, timeout=0.3)
    server.execute("PUBLISH", "a", "one")
    until = time.monotonic() + 3
    while [b"message", b"a", b"one"] not in pushes and time.monotonic() < until:
        await face.run(pubsub.get_message, timeout=0.2)
    assert [b"message", b"a", b"one"] in pushes
    assert pubsub.gaps == 1
    # The handler was that pub/sub's, not its connection's.
    await face.run(pubsub.aclose if face.name == "asyncio" else pubsub.close)
    other = face.keep(client.pubsub())
    await face.run(other.subscribe, "a")
    await settled(face, other)
    server.execute("PUBLISH", "a", "two")
    assert (await next_message(face, other))["data"] == b"two"


async def test_a_server_that_stays_away_is_not_dialled_over_and_over(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[])
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    proxy.accept_then_reset()
    proxy.cut_all()
    opened, refusals, errors = proxy.connections_opened, 0, 0
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        error = await face.error(pubsub.get_message, timeout=0.02)
        assert isinstance(error, (redis.ConnectionError, redis.TimeoutError))
        errors += 1
        refusals += isinstance(error, DialFailedError)
    assert errors > 8
    assert refusals > 3
    assert proxy.connections_opened - opened < 25
    assert pubsub.subscribed
    proxy.heal()
    until = time.monotonic() + 5
    while not pubsub.gaps and time.monotonic() < until:
        with contextlib.suppress(redis.ConnectionError):
            await face.run(pubsub.get_message, timeout=0.5)
    assert pubsub.gaps == 1


async def test_waits_between_tries_say_so_and_send_nothing(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[CircuitBreaker(fail_max=1, reset_timeout=60)])
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    proxy.refuse()
    proxy.cut_all()
    await face.error(pubsub.get_message, timeout=1)  # notices the loss
    for _ in range(6):
        await face.error(pubsub.get_message, timeout=0)
    errors = [await face.error(pubsub.get_message, timeout=0) for _ in range(30)]
    refused = [error for error in errors if isinstance(error, DialFailedError)]
    assert refused
    assert all(error.delivery == "not_sent" and 0 < error.retry_after <= 2 for error in refused)


async def test_a_blocked_reader_ends_when_it_is_closed(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url, policies=QUICK)
    pubsub = client.pubsub()
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    reading = asyncio.create_task(face.items(pubsub.listen()))
    await face.pause(0.1)
    began = time.monotonic()
    await face.run(pubsub.aclose if face.name == "asyncio" else pubsub.close)
    assert await asyncio.wait_for(reading, 5) == []
    assert time.monotonic() - began < 2
    assert await face.run(client.ping)


async def test_a_reader_in_a_wait_between_tries_ends_when_it_is_closed(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[])
    pubsub = client.pubsub()
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    proxy.accept_then_reset()
    proxy.cut_all()
    pubsub._comeback._failures = 50  # far from the first try
    pubsub._comeback._next = client._plan.now() + 60
    reading = asyncio.create_task(face.run(pubsub.get_message, timeout=None))
    await face.pause(0.2)
    assert not reading.done()
    began = time.monotonic()
    await face.run(pubsub.aclose if face.name == "asyncio" else pubsub.close)
    assert await asyncio.wait_for(reading, 5) is None
    assert time.monotonic() - began < 2


async def test_a_reader_that_dials_ends_when_it_is_closed(face: Any, proxy: FaultProxy) -> None:
    client = face.client(proxy.url, policies=[Timeout(1)])
    pubsub = client.pubsub()
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    proxy.black_hole()
    proxy.cut_all()
    reading = asyncio.create_task(face.run(pubsub.get_message, timeout=None))
    await face.pause(0.2)
    began = time.monotonic()
    await face.run(pubsub.aclose if face.name == "asyncio" else pubsub.close)
    assert time.monotonic() - began < 0.5
    assert await asyncio.wait_for(reading, 5) is None
    proxy.heal()
    assert await face.run(client.ping)


async def test_a_reader_cancelled_while_it_dials_leaves_a_whole_connection(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    if face.name == "sync":
        pytest.skip("threads cannot be cancelled")
    client = face.client(proxy.url, policies=[Timeout(5)])
    pubsub = face.keep(client.pubsub())
    await pubsub.subscribe("a")
    await settled(face, pubsub)
    proxy.delay(0.1)
    proxy.cut_all()
    for _ in range(8):  # at other moments of the handshake and the subscription
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.06):
                await pubsub.get_message(timeout=None)
    found = await pubsub.get_message(timeout=3)
    assert (found["type"], found["channel"]) == ("subscribe", b"a")
    server.execute("PUBLISH", "a", "one")
    assert (await next_message(face, pubsub))["data"] == b"one"
    assert pubsub.gaps == 1


async def test_a_health_check_without_an_answer_is_a_lost_connection(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=QUICK, health_check_interval=0.2)
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    until = time.monotonic() + 0.7
    while time.monotonic() < until:  # answered: nothing happens
        assert await face.run(pubsub.get_message, timeout=0.05) is None
    assert pubsub.gaps == 0
    proxy.drop_replies()  # the connection stands, but nothing comes any more
    until = time.monotonic() + 5
    while not pubsub.gaps and time.monotonic() < until:
        try:
            await face.run(pubsub.get_message, timeout=0.1)
        except (redis.ConnectionError, redis.TimeoutError):
            proxy.heal()
    assert pubsub.gaps == 1
    server.execute("PUBLISH", "a", "one")
    assert (await next_message(face, pubsub))["data"] == b"one"


async def test_what_may_not_be_subscribed_any_more_is_said_and_the_rest_kept(
    face: Any, own_server: EmbeddedServer
) -> None:
    own_server.execute("ACL", "SETUSER", "bob", "on", ">secret", "+@all", "~*", "&*")
    url = own_server.url.replace("redis://", "redis://bob:secret@")
    client = face.client(url, policies=QUICK)
    pubsub = face.keep(client.pubsub())
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    own_server.execute("ACL", "SETUSER", "bob", "resetchannels", "&other")  # and the server cuts the connection
    assert isinstance(await face.error(pubsub.get_message, timeout=1), redis.ResponseError)
    own_server.execute("ACL", "SETUSER", "bob", "allchannels")
    until = time.monotonic() + 5
    while not pubsub.gaps and time.monotonic() < until:
        try:
            await face.run(pubsub.get_message, timeout=1)
        except redis.RedisError:
            await face.pause(0.05)
    own_server.execute("PUBLISH", "a", "one")
    assert (await next_message(face, pubsub))["data"] == b"one"


async def test_a_gap_handler_may_fail_and_the_subscription_stands(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    def fail(_gap: SubscriptionGap) -> None:
        raise LookupError("of the user's own")

    client = face.client(proxy.url, policies=QUICK)
    pubsub = face.keep(client.pubsub(gap_handler=fail))
    await face.run(pubsub.subscribe, "a")
    await settled(face, pubsub)
    proxy.cut_all()
    assert isinstance(await face.error(pubsub.get_message, timeout=1), LookupError)
    server.execute("PUBLISH", "a", "one")
    assert (await next_message(face, pubsub))["data"] == b"one"
