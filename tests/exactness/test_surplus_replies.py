"""A reply too many is nobody's: not the next step's on the same connection either."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from both_sides import Side

from resilient_redis import Retry
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

PATIENT = [Retry(attempts=5, wait_initial=0.001, wait_max=0.002)]


@pytest.fixture
def straight(server: EmbeddedServer) -> Iterator[redis.Redis]:
    with redis.Redis(host=server.host, port=server.port) as client:
        yield client


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("command", ["WATCH", "GET"])
async def test_within_watch_no_step_takes_it(
    side: Side, make: Any, proxy: FaultProxy, straight: redis.Redis, command: str, protocol: int
) -> None:
    """What a body reads, it writes: a wrong reply there ends up in the data."""
    straight.set("n", 1)
    client = make(proxy.url, policies=PATIENT, protocol=protocol)
    seen: list[Any] = []

    async def body(pipe: Any) -> None:
        seen.append(await side.do(pipe.get, "n"))
        seen.append(await side.do(pipe.get, "n"))
        pipe.multi()
        pipe.set("m", seen[-1])

    proxy.inject("extra_reply", 1, commands=[command])
    with contextlib.suppress(redis.RedisError):
        await side.transaction(client, body, "n")
    assert set(seen) <= {b"1"}
    assert straight.get("m") in (None, b"1")


@pytest.mark.parametrize("transaction", [True, False])
async def test_a_pipeline_of_reads_is_repeated_elsewhere(
    side: Side, make: Any, proxy: FaultProxy, straight: redis.Redis, transaction: bool
) -> None:
    straight.set("k", "value")
    pipe = make(proxy.url, policies=PATIENT).pipeline(transaction=transaction)
    pipe.get("k")
    pipe.strlen("k")
    proxy.inject("extra_reply", 1, commands=["EXEC" if transaction else "STRLEN"])
    assert await side.do(pipe.execute) == [b"value", 5]


@pytest.mark.parametrize("fault", ["garbage", "extra_reply", "half_reply", "cut_after_request"])
async def test_a_bad_answer_to_unwatch_hides_nothing(side: Side, strategy: str, proxy: FaultProxy, fault: str) -> None:
    """A connection that cannot be un-watched is closed, and the watch ends with it."""
    client = side.client(proxy.url, strategy=strategy, policies=PATIENT)

    async def body(pipe: Any) -> None:
        await side.do(pipe.get, "n")
        raise KeyError("the user's own")

    proxy.inject(fault, 1, commands=["UNWATCH"])
    with pytest.raises(KeyError, match="the user's own"):
        await side.transaction(client, body, "n")
    assert client.connection_pool.stats().borrowed == 0
    assert await side.do(client.get, "n") is None


async def test_among_replies_that_are_due_it_is_somebodys(
    side: Side, strategy: str, proxy: FaultProxy, straight: redis.Redis
) -> None:
    """The limit of shared connections: replies are told apart by their order alone, and RESP has nothing else.

    So exactness runs leave surplus replies out there. What a caller is told may be his neighbour's; that nothing is
    applied twice stays true even then. A connection that is somebody's alone is found out before its next command.
    """
    client = side.client(proxy.url, strategy=strategy, policies=PATIENT)
    told: list[Any] = []
    failed: list[Any] = []

    async def work() -> None:
        for number in range(150):
            if number % 10 == 0 and "armed: nothing" in repr(proxy):
                proxy.extra_reply()
            try:
                told.append(await side.do(client.incr, "n"))
            except redis.ConnectionError as error:
                failed.append(error.delivery)

    await side.together(work() for _ in range(8))
    proxy.heal()
    assert proxy.faults["extra_reply"] > 20
    assert set(failed) <= {"unknown"}
    assert (b"surplus" in told) is (strategy == "multiplexed")
    assert len(told) <= int(straight.get("n") or 0) <= len(told) + len(failed)
