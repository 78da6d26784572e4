"""Exact too when the server itself is the fault: it refuses, it is killed, it freezes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis
from both_sides import Side, chance_of
from exact_claims import Claims, Pops
from exact_kinds import WRITES
from exact_work import Increments, Pipelines, Pushes, Scripts, Transactions, Watched, Workload

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

WORKERS = 6
LEAST_SPELLS, MOST_ROUNDS = 2, 40
PATIENT = [Retry(attempts=60, wait_initial=0.003, wait_max=0.05, total_time=30), Timeout(0.3)]
Spell = Callable[[EmbeddedServer], Awaitable[None]]


async def out_of_memory(server: EmbeddedServer) -> None:
    """Writes that need memory are refused: a pipeline may then be done in part."""
    server.execute("CONFIG", "SET", "maxmemory", "1")
    await asyncio.sleep(0.02)
    server.execute("CONFIG", "SET", "maxmemory", "0")


async def made_a_replica(server: EmbeddedServer) -> None:
    """As in a failover: for a while it takes no writes, in the middle of transactions too."""
    server.execute("REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(0.02)
    server.execute("REPLICAOF", "NO", "ONE")


async def scripts_forgotten(server: EmbeddedServer) -> None:
    """NOSCRIPT, as after a failover."""
    server.execute("SCRIPT", "FLUSH")


async def clients_killed(server: EmbeddedServer) -> None:
    """The server ends all connections, wherever they stand."""
    server.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def frozen(server: EmbeddedServer) -> None:
    """It stops answering; what it was sent meanwhile it does when it goes on, though nobody waits for it any more."""
    server.pause()
    await asyncio.sleep(0.35)
    server.resume()


async def killed_and_restarted(server: EmbeddedServer) -> None:
    """It dies without a word and comes back with what it had acknowledged."""
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(0.05)
    await asyncio.to_thread(server.restart)


@contextlib.asynccontextmanager
async def spells(server: EmbeddedServer, kinds: list[Spell], seed: int, calm: float) -> AsyncIterator[list[Spell]]:
    """Spells of all kinds while the block runs, which is given those that were cast."""
    chance, over, done = random.Random(seed), asyncio.Event(), list[Spell]()

    async def cast() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), chance.uniform(0.5 * calm, 1.5 * calm))
                return
            done.append(chance.choice(kinds))
            await done[-1](server)

    casting = asyncio.create_task(cast())
    try:
        yield done
    finally:
        over.set()
        await casting


async def play(
    side: Side,
    strategy: str,
    kind: type[Workload],
    server: EmbeddedServer,
    spell_kinds: list[Spell],
    operations: int,
    calm: float,
) -> Workload:
    """Rounds of so many operations by each worker, until some spells were cast: shared connections are quick."""
    with redis.Redis(host=server.host, port=server.port, socket_timeout=5) as straight:
        workload = kind(side, straight)
        workload.prepare(WORKERS * operations * MOST_ROUNDS)
        client = side.client(server.url, strategy=strategy, max_connections=4, policies=PATIENT)
        async with spells(server, spell_kinds, seed=1, calm=calm) as cast:
            for start in range(0, WORKERS * MOST_ROUNDS, WORKERS):
                await side.together(
                    workload.work(client, worker, operations, lambda: None, chance_of(1, worker))
                    for worker in range(start, start + WORKERS)
                )
                if len(cast) >= LEAST_SPELLS:
                    break
        workload.check()
        assert len(cast) >= LEAST_SPELLS, "next to nothing happened, so it would prove nothing"
    return workload


REFUSING: list[Spell] = [out_of_memory, made_a_replica, scripts_forgotten, clients_killed]
# A lock is settled past the client, and a listener must not lose his connection.
REPEATABLE = [kind for name, kind in WRITES.items() if name not in ("lock", "PUBLISH")]


@pytest.mark.parametrize("kind", REPEATABLE, ids=[kind.name for kind in REPEATABLE])
async def test_when_the_server_refuses_now_and_then(
    side: Side, strategy: str, server: EmbeddedServer, kind: type[Workload]
) -> None:
    workload = await play(side, strategy, kind, server, REFUSING, 100, calm=0.02)
    assert workload.book.counts["acknowledged"] > 100, workload.book.counts


@pytest.mark.parametrize("kind", [Increments, Pushes, Transactions, Pops], ids=lambda kind: kind.name)
async def test_when_the_server_is_killed_and_comes_back(
    side: Side, strategy: str, durable_server: EmbeddedServer, kind: type[Workload]
) -> None:
    workload = await play(side, strategy, kind, durable_server, [killed_and_restarted], 60, calm=0.3)
    assert workload.book.counts["acknowledged"] > 200, workload.book.counts


@pytest.mark.parametrize("kind", [Pushes, Scripts, Pipelines, Claims, Watched], ids=lambda kind: kind.name)
async def test_when_the_server_freezes(
    side: Side, strategy: str, own_server: EmbeddedServer, kind: type[Workload]
) -> None:
    workload = await play(side, strategy, kind, own_server, [frozen], 40 if kind is Watched else 80, calm=0.1)
    assert workload.book.counts["acknowledged"] > 200, workload.book.counts
