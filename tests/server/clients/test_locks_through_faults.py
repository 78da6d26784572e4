"""A lock whose reply was lost is looked into."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

STACK: list[Any] = [Retry(attempts=3, wait_initial=0.01, wait_max=0.02), Timeout(0.4)]
PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3])


@PROTOCOLS
@pytest.mark.parametrize("decode_responses", [False, True])
async def test_a_lock_whose_reply_was_lost_is_ours(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, protocol: int, decode_responses: bool
) -> None:
    client = face.client(proxy.url, policies=STACK, protocol=protocol, decode_responses=decode_responses)
    await face.run(client.ping)
    lock = client.lock("job", timeout=5, thread_local=False)
    proxy.cut_after_request(commands=["SET"])
    assert await face.run(lock.acquire, blocking=False) is True
    assert await face.run(lock.owned)
    await face.run(lock.release)
    assert await face.run(client.get, "job") is None


@pytest.mark.parametrize("repeat", ["checked", "always"])
async def test_it_is_looked_into_whatever_the_retry_may_repeat(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, repeat: Any
) -> None:
    """A second SET NX would find our own token and say no; a second release would find nothing to release."""
    client = face.client(proxy.url, policies=[Retry(attempts=3, wait_initial=0.01, repeat=repeat), Timeout(0.4)])
    await face.run(client.ping)
    lock = client.lock("job", timeout=5, thread_local=False)
    proxy.cut_after_request(commands=["SET"])
    assert await face.run(lock.acquire, blocking=False) is True
    proxy.cut_after_request(commands=["EVALSHA"])
    await face.run(lock.release)
    assert await face.run(client.get, "job") is None
    assert proxy.faults == {"cut_after_request": 2}


@PROTOCOLS
async def test_a_lock_whose_request_never_arrived_is_acquired_anew(
    face: Any, proxy: FaultProxy, server: EmbeddedServer, protocol: int
) -> None:
    client = face.client(proxy.url, policies=STACK, protocol=protocol)
    await face.run(client.ping)
    proxy.cut_before_request(commands=["SET"])
    assert await face.run(client.lock("job", timeout=5).acquire, blocking=False) is True


async def test_a_lock_that_timed_out_never_appears_later_with_nobody_owning_it(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=STACK)
    await face.run(client.ping)
    lock = client.lock("job", timeout=5, thread_local=False)
    proxy.hold_requests(commands=["SET"])
    assert await face.run(lock.acquire, blocking=False) is True
    await face.run(lock.release)
    proxy.release()
    await face.pause(0.1)
    assert await face.run(client.get, "job") is None


async def test_a_lost_reply_does_not_make_somebody_elses_lock_ours(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=STACK)
    other = face.stock(server.url)
    await face.run(other.set, "job", "theirs")
    await face.run(client.ping)
    proxy.cut_after_request(commands=["SET"])
    assert await face.run(client.lock("job", timeout=5).acquire, blocking=False) is False


async def test_a_lock_that_cannot_be_looked_into_is_an_error_and_never_false(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=STACK)
    await face.run(client.ping)
    proxy.cut_after_request(commands=["SET"])
    proxy.cut_before_request(n=None, commands=["GET", "CLIENT LIST"])
    error = await face.error(client.lock("job", timeout=5).acquire, blocking=False)
    assert (type(error), error.delivery) == (redis.ConnectionError, "unknown")


async def test_without_a_fence_the_token_itself_is_proof_enough_and_its_absence_is_none(face: Any) -> None:
    with EmbeddedServer.start() as server, FaultProxy(server.host, server.port) as proxy:
        server.execute("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-client|kill", "-client|list")
        client = face.client(proxy.url, policies=STACK, username="app", password="secret")
        await face.run(client.ping)
        proxy.cut_after_request(commands=["SET"])
        assert await face.run(client.lock("one", timeout=5).acquire, blocking=False) is True
        proxy.hold_requests(commands=["SET"])
        error = await face.error(client.lock("two", timeout=5).acquire, blocking=False)
        assert (type(error), error.delivery) == (redis.TimeoutError, "unknown")


async def test_a_release_whose_reply_was_lost_is_done(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=STACK)
    lock = client.lock("job", timeout=5, thread_local=False)
    await face.run(lock.acquire)
    proxy.cut_after_request(commands=["EVALSHA"])
    await face.run(lock.release)
    assert await face.run(client.get, "job") is None


async def test_a_release_after_the_lock_may_have_run_out_is_unknown(
    face: Any, proxy: FaultProxy, server: EmbeddedServer
) -> None:
    client = face.client(proxy.url, policies=STACK)
    lock = client.lock("job", timeout=0.2, thread_local=False)
    await face.run(lock.acquire)
    await face.pause(0.3)
    proxy.cut_after_request(commands=["EVALSHA"])
    assert (await face.error(lock.release)).delivery == "unknown"


async def test_a_release_that_never_arrived_is_made_again(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=STACK)
    lock = client.lock("job", timeout=5, thread_local=False)
    await face.run(lock.acquire)
    proxy.cut_before_request(commands=["EVALSHA"])
    await face.run(lock.release)
    assert await face.run(client.get, "job") is None


async def test_a_lost_reply_to_extend_is_unknown(face: Any, proxy: FaultProxy, server: EmbeddedServer) -> None:
    client = face.client(proxy.url, policies=STACK)
    lock = client.lock("job", timeout=5, thread_local=False)
    await face.run(lock.acquire)
    proxy.cut_after_request(commands=["EVALSHA"])
    assert (await face.error(lock.extend, 5)).delivery == "unknown"


async def test_a_lock_class_of_the_users_own_is_used(face: Any, server: EmbeddedServer) -> None:
    client = face.client(server.url)
    own = type("Own", (face.names.lock.Lock,), {})
    assert type(client.lock("job", lock_class=own)) is own
    assert type(client.lock("job", 5, 0.1, True, None, own)) is own
