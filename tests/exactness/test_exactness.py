"""Nothing is applied twice, nothing acknowledged is lost, and what is said of a failure is true."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from both_sides import Side, chance_of
from exact_faults import CUTS, SQUALLS, STORMS, Storm, Weather, storms
from exact_kinds import READS, WRITES
from exact_work import Workload

from resilient_redis import CircuitBreaker, Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

WORKERS = 6
CONNECTIONS = 3
# A storm keeps the few connections busy: who waits for one in vain is to try again, or reads would fail for that.
PATIENT = [Retry(attempts=40, wait_initial=0.003, wait_max=0.03, total_time=30, retry_rejected=True), Timeout(0.3)]
# The default stack, but for a circuit that is waited for: a run that is over while it is open would prove little.
DEFAULTS = [
    Retry(attempts=10, wait_initial=0.005, wait_max=0.05, total_time=5, retry_rejected=True),
    CircuitBreaker(fail_max=5, reset_timeout=0.02, reset_timeout_max=0.1),
    Timeout(0.5),
]
CAUGHT = ["INCR", "RPUSH", "EVAL", "MULTI", "pipeline", "SET NX", "ZREM", "LMOVE", "PUBLISH", "WATCH"]
PASSING: list[Storm] = list(STORMS.values())


@contextlib.contextmanager
def straight_to(server: EmbeddedServer) -> Iterator[redis.Redis]:
    with redis.Redis(host=server.host, port=server.port) as client:
        yield client


async def run(
    side: Side, workload: Workload, client: Any, proxy: FaultProxy, weather: Weather, operations: int, seed: int
) -> None:
    """All workers at once, each with its own source of chance.

    No reply too many befalls a shared connection: among replies that are due it cannot be told from them, as
    `test_among_replies_that_are_due_it_is_somebodys` shows.
    """
    workload.prepare(WORKERS * operations)
    faults = CUTS if side.shares(client) else workload.faults

    def work(worker: int) -> Any:
        chance = chance_of(seed, worker)

        def before() -> None:
            weather.strike(proxy, chance, workload.targets, faults)

        return workload.work(client, worker, operations, before, chance)

    await side.together(work(worker) for worker in range(WORKERS))
    proxy.heal()


async def calm_again(side: Side, client: Any) -> None:
    """Until a call comes through, and with it the circuit is closed."""
    for _ in range(100):
        with contextlib.suppress(redis.RedisError):
            await side.do(client.ping)
            return
        await asyncio.sleep(0.05)
    pytest.fail("nothing comes through, though no fault is left")


def weather_of(kind: type[Workload]) -> Weather:
    return SQUALLS if kind.takes_refusals else Weather(cuts=SQUALLS.cuts, handshake_cuts=SQUALLS.handshake_cuts)


@pytest.mark.parametrize("kind", WRITES.values(), ids=list(WRITES))
async def test_through_faults_at_every_stage(
    side: Side, make: Any, server: EmbeddedServer, proxy: FaultProxy, kind: type[Workload]
) -> None:
    with straight_to(server) as straight:
        client = make(proxy.url, max_connections=CONNECTIONS, policies=DEFAULTS)
        acknowledged = 0
        for seed in range(1, 9):
            straight.flushall()
            workload = kind(side, straight)
            await run(side, workload, client, proxy, weather_of(kind), 25, seed=seed)
            workload.check()
            acknowledged += workload.book.counts["acknowledged"]
            if acknowledged >= 3:
                return
            await calm_again(side, client)  # else the circuit is open, and all is refused within milliseconds
        pytest.fail(f"next to nothing was acknowledged, so it would prove nothing: {workload.book.counts}")


@pytest.mark.parametrize("kind", WRITES.values(), ids=list(WRITES))
async def test_through_passing_storms(
    side: Side, make: Any, server: EmbeddedServer, proxy: FaultProxy, kind: type[Workload]
) -> None:
    with straight_to(server) as straight:
        workload = kind(side, straight)
        client = make(proxy.url, max_connections=CONNECTIONS, policies=PATIENT)
        async with storms(proxy, PASSING, seed=2):
            await run(side, workload, client, proxy, Weather(), 40, seed=2)
        workload.check()
        assert workload.book.counts["acknowledged"] > 60, workload.book.counts


@pytest.mark.parametrize("kind", READS.values(), ids=list(READS))
async def test_no_read_fails_while_faults_pass(
    side: Side, make: Any, server: EmbeddedServer, proxy: FaultProxy, kind: type[Workload]
) -> None:
    with straight_to(server) as straight:
        workload = kind(side, straight)
        client = make(proxy.url, max_connections=CONNECTIONS, policies=PATIENT)
        async with storms(proxy, PASSING, seed=3):
            await run(side, workload, client, proxy, weather_of(kind), 40, seed=3)
        workload.check()


@pytest.mark.parametrize(
    "name", ["INCR", "RPUSH", "EVAL", "MULTI", "pipeline", "SET NX", "ZREM", "LMOVE", "PUBLISH", "WATCH"]
)
async def test_the_books_catch_plain_repeating(
    side: Side, server: EmbeddedServer, proxy: FaultProxy, name: str
) -> None:
    """Or the tests above could not fail."""
    with straight_to(server) as straight:
        client = side.stock(proxy.url, retries=5, socket_timeout=0.5)
        for seed in range(5):  # by chance it may get away with a few
            straight.flushall()
            workload = WRITES[name](side, straight)
            await run(side, workload, client, proxy, Weather(cuts=0.4), 40, seed=seed)
            workload.book.unlabelled.clear()  # what it says of its failures is another matter
            if is_caught(workload):
                return
        pytest.fail("nothing was caught")


def is_caught(workload: Workload) -> bool:
    try:
        workload.check()
    except AssertionError as error:
        return re.search(r"twice|applied|told|nobody|by two|to two", str(error)) is not None
    return False


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [*WRITES.values(), *READS.values()], ids=[*WRITES, *READS])
@pytest.mark.parametrize("connections", [2, 8])
async def test_thousands_through_all_of_it(
    side: Side, strategy: str, server: EmbeddedServer, proxy: FaultProxy, kind: type[Workload], connections: int
) -> None:
    with straight_to(server) as straight:
        workload = kind(side, straight)
        client = side.client(proxy.url, strategy=strategy, max_connections=connections, policies=PATIENT)
        async with storms(proxy, PASSING, seed=connections):
            await run(side, workload, client, proxy, weather_of(kind), 800, seed=connections)
        workload.check()
