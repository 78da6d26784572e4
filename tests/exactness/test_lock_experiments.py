"""Locks whose replies are lost or late: nobody is told that he has not what he has, or has what he has not."""

from __future__ import annotations

import pytest
import redis
from both_sides import Side
from late_relay import LateRelay

from resilient_redis import Retry, Timeout
from resilient_redis.testing import FaultProxy

pytestmark = pytest.mark.server

THRICE = [Retry(attempts=3, wait_initial=0.005, wait_max=0.01), Timeout(2)]
HASTY = [Retry(attempts=3, wait_initial=0.005, wait_max=0.01), Timeout(0.15)]
LATE = 0.6
"""Seconds after which an original arrives: long after its caller has given it up."""


@pytest.mark.parametrize("fault", ["cut_after_request", "half_reply"])
async def test_a_lock_whose_reply_was_lost_is_ours(
    side: Side, strategy: str, proxy: FaultProxy, straight: redis.Redis, fault: str
) -> None:
    lock = side.client(proxy.url, strategy=strategy, policies=THRICE).lock("lock", timeout=30)
    proxy.inject(fault, 1, commands=["SET"])
    assert await side.do(lock.acquire, blocking=False, token="mine") is True
    assert straight.get("lock") == b"mine"
    await side.do(lock.release)
    assert straight.get("lock") is None


async def test_a_lock_that_did_not_answer_in_time_is_never_said_to_be_anothers(
    side: Side, strategy: str, relay: LateRelay, straight: redis.Redis
) -> None:
    """The token of a request that arrives late must not stand there with nobody knowing."""
    client = side.client(relay.url, strategy=strategy, policies=HASTY)
    await side.do(client.ping)
    lock = client.lock("lock", timeout=30)
    relay.hold_next(LATE)
    try:
        got = await side.do(lock.acquire, blocking=False, token="mine")
    except redis.RedisError as error:
        got = error.delivery
    await side.pause(LATE + 0.1)
    there = straight.get("lock") == b"mine"
    assert got in (True, "unknown")
    assert there or got == "unknown"


async def test_a_lock_that_is_anothers_is_anothers_whatever_was_lost(
    side: Side, strategy: str, proxy: FaultProxy, straight: redis.Redis
) -> None:
    straight.set("lock", "theirs")
    lock = side.client(proxy.url, strategy=strategy, policies=THRICE).lock("lock", timeout=30)
    proxy.cut_after_request(commands=["SET"])
    try:
        got = await side.do(lock.acquire, blocking=False, token="mine")
    except redis.RedisError as error:
        got = error.delivery
    assert got in (False, "unknown")
    assert straight.get("lock") == b"theirs"


async def test_a_lock_that_cannot_be_fenced_is_unknown(
    side: Side, strategy: str, relay: LateRelay, straight: redis.Redis
) -> None:
    """The key is empty, and the request may still arrive."""
    straight.execute_command("ACL", "SETUSER", "plain", "on", "nopass", "~*", "+@all", "-client")
    client = side.client(relay.url, strategy=strategy, policies=HASTY, username="plain", password="any")
    await side.do(client.ping)
    relay.hold_next(LATE)
    with pytest.raises(redis.RedisError) as caught:
        await side.do(client.lock("lock", timeout=30).acquire, blocking=False, token="mine")
    assert caught.value.delivery == "unknown"
    assert straight.get("lock") is None
    await side.pause(LATE + 0.1)
    assert straight.get("lock") == b"mine"
    straight.execute_command("ACL", "DELUSER", "plain")


@pytest.mark.parametrize("fault", ["cut_after_request", "half_reply", "cut_before_request"])
async def test_a_lock_given_back_with_a_lost_reply_is_free(
    side: Side, strategy: str, proxy: FaultProxy, straight: redis.Redis, fault: str
) -> None:
    lock = side.client(proxy.url, strategy=strategy, policies=THRICE).lock("lock", timeout=30)
    await side.do(lock.acquire, token="mine")
    proxy.inject(fault, 1, commands=["EVALSHA"])
    await side.do(lock.release)
    assert straight.get("lock") is None
