"""Pipelines over a shared connection: one piece on the wire, and redis-py's meaning of every reply."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from resilient_redis import Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

ONCE: list[Any] = [Timeout(2)]


async def run(face: Any, client: Any, fill: Any, *, transaction: bool = True, **options: Any) -> Any:
    """Fill a pipeline and execute it."""
    pipe = client.pipeline(transaction=transaction)
    fill(pipe)
    return await face.run(pipe.execute, **options)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("transaction", [True, False])
async def test_a_pipelines_replies_are_those_of_a_pooled_client(
    shared: Any, face: Any, server: EmbeddedServer, transaction: bool, protocol: int
) -> None:
    def fill(pipe: Any) -> None:
        pipe.set("k", 1).get("k").incr("k").hset("h", "a", 1).hgetall("h").lpush("l", 1, 2).lrange("l", 0, -1)
        pipe.zadd("z", {"m": 1.5}).zrange("z", 0, -1, withscores=True).get("none").delete("l", "h")

    client = shared(server.url, protocol=protocol)
    pooled = face.client(server.url, policies=ONCE, protocol=protocol)
    found = await run(face, client, fill, transaction=transaction)
    await face.run(pooled.flushall)
    assert found == await run(face, pooled, fill, transaction=transaction)
    assert found[:3] == [True, b"1", 2]
    assert client.connection_pool.stats().size == 1


async def test_a_pipeline_is_contiguous_among_other_callers(shared: Any, face: Any, server: EmbeddedServer) -> None:
    client = shared(server.url)
    await face.run(client.ping)

    def ten(pipe: Any) -> None:
        for _ in range(10):
            pipe.incr("n")

    async def pipelines() -> list[Any]:
        return [await run(face, client, ten, transaction=False) for _ in range(10)]

    async def singles() -> None:
        for _ in range(10):
            await face.together([lambda: client.incr("n") for _ in range(10)])

    found, _ = await asyncio.gather(pipelines(), singles())
    assert all(replies == list(range(replies[0], replies[0] + 10)) for replies in found)
    assert client.connection_pool.stats().lines.opened == 1


async def test_a_long_pipeline_has_a_connection_of_its_own(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, lines={"max_pipeline": 5})
    assert await run(face, client, lambda pipe: [pipe.incr("n") for _ in range(5)]) == [1, 2, 3, 4, 5]
    assert proxy.connections_opened == 1
    assert len(await run(face, client, lambda pipe: [pipe.incr("n") for _ in range(6)])) == 6
    assert proxy.connections_opened == 2


async def test_a_pipeline_of_large_values_has_too(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url, lines={"large": 1000})
    await face.run(client.ping)
    assert await run(face, client, lambda pipe: [pipe.set(f"k{n}", "v" * 400) for n in range(4)]) == [True] * 4
    assert proxy.connections_opened == 2


async def test_an_error_in_the_middle_is_in_its_place(shared: Any, face: Any, server: EmbeddedServer) -> None:
    client = shared(server.url)

    def fill(pipe: Any) -> None:
        pipe.set("k", "text").lpush("k", 1).get("k")

    for transaction in (True, False):
        replies = await run(face, client, fill, transaction=transaction, raise_on_error=False)
        assert (replies[0], replies[2]) == (True, b"text")
        assert isinstance(replies[1], redis.ResponseError)
        with pytest.raises(redis.ResponseError, match=r"Command # 2 \(LPUSH\)") as caught:
            await run(face, client, fill, transaction=transaction)
        assert caught.value.delivery == "unknown"  # type: ignore[attr-defined] # a part of it ran


async def test_a_pipeline_that_was_refused_as_a_whole_is_rejected(
    shared: Any, face: Any, server: EmbeddedServer
) -> None:
    client = shared(server.url, ONCE)
    await face.run(client.set, "k", "text")
    with pytest.raises(redis.ResponseError) as caught:
        await run(face, client, lambda pipe: pipe.lpush("k", 1).sadd("k", 1), transaction=False)
    assert caught.value.delivery == "rejected"  # type: ignore[attr-defined]


async def test_a_transaction_that_is_refused_while_queueing_did_nothing(
    shared: Any, face: Any, server: EmbeddedServer
) -> None:
    client = shared(server.url, ONCE)
    with pytest.raises(redis.ResponseError) as caught:
        await run(face, client, lambda pipe: pipe.set("k", 1).execute_command("GET"))
    assert caught.value.delivery == "rejected"  # type: ignore[attr-defined]
    assert await face.run(client.get, "k") is None


async def test_a_lost_pipeline_is_unknown_and_not_repeated(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url)
    await face.run(client.ping)
    proxy.cut_after_request(commands=["EXEC"])
    with pytest.raises(redis.ConnectionError) as caught:
        await run(face, client, lambda pipe: pipe.incr("n").incr("n"))
    assert (caught.value.delivery, caught.value.attempts) == ("unknown", 1)  # type: ignore[attr-defined]
    assert await face.run(client.get, "n") == b"2"


async def test_a_pipeline_of_reads_is_repeated(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url)
    await face.run(client.set, "k", "v")
    proxy.cut_after_request(commands=["GET"])
    assert await run(face, client, lambda pipe: pipe.get("k").exists("k"), transaction=False) == [b"v", 1]
    assert proxy.connections_opened == 2


async def test_watch_and_transaction_use_a_connection_of_their_own(shared: Any, face: Any, server: Any) -> None:
    client = shared(server.url)
    await face.run(client.set, "n", 1)

    def body(pipe: Any) -> Any:
        found = yield pipe.get("n")
        pipe.multi()
        pipe.set("n", int(found) + 1)

    await face.transaction(client, body, "n")
    assert await face.run(client.get, "n") == b"2"


async def test_registered_scripts_work_in_pipelines(shared: Any, face: Any, server: EmbeddedServer) -> None:
    client = shared(server.url)
    script = client.register_script("return redis.call('INCR', KEYS[1])")
    pipe = client.pipeline()
    await face.run(script, keys=["n"], client=pipe)
    assert await face.run(pipe.execute) == [1]
    assert await face.run(script, keys=["n"]) == 2


async def test_callers_at_once_may_all_use_pipelines(shared: Any, face: Any, proxy: FaultProxy) -> None:
    client = shared(proxy.url)

    def job() -> Any:
        pipe = client.pipeline()
        pipe.incr("n").incr("n")
        return pipe.execute()

    replies = await face.together([job for _ in range(30)])
    assert sorted(replies) == [[number, number + 1] for number in range(1, 61, 2)]
    assert proxy.connections_opened == 1
