"""What lost connections do to commands, counted: a thousand of them when asked for with -m slow, else a few dozen."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis
from both_sides import Side, chance_of
from exact_books import Book
from exact_faults import CUTS

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer, FaultProxy

pytestmark = pytest.mark.server

WORKERS = 8
POLICIES = [Retry(attempts=30, wait_initial=0.001, wait_max=0.02, total_time=30, retry_rejected=True), Timeout(2)]
ADD = "return redis.call('RPUSH', KEYS[1], ARGV[1])"


class Mixture:
    """Reads and writes by turns, as services have them; each write puts its own id into a list, once."""

    def __init__(self, side: Side, client: Any) -> None:
        self.side, self.client = side, client
        self.reads, self.writes = Book("reads"), Book("writes")

    async def one(self, unique: str, number: int) -> None:
        """One of six kinds of call."""
        client, do = self.client, self.side.do
        match number % 6:
            case 0:
                await self.writes.note(unique, lambda: do(client.rpush, "list", unique))
            case 1:
                await self.reads.note(unique, lambda: do(client.get, "k"))
            case 2:
                await self.writes.note(unique, lambda: do(client.eval, ADD, 1, "list", unique))
            case 3:
                await self.writes.note(unique, lambda: do(self._pipeline(unique, transaction=True)))
            case 4:
                await self.reads.note(unique, lambda: do(client.lrange, "none", 0, -1))
            case _:
                await self.writes.note(unique, lambda: do(self._pipeline(unique, transaction=False)))

    def _pipeline(self, unique: str, *, transaction: bool) -> Callable[[], Any]:
        pipe = self.client.pipeline(transaction=transaction)
        pipe.rpush("list", unique)
        pipe.get("k")
        execute: Callable[[], Any] = pipe.execute
        return execute

    def figures(self, applied: Counter[str]) -> dict[str, int]:
        """What must not be."""
        return {
            "applied twice": sum(times > 1 for times in applied.values()),
            "acknowledged and lost": len(self.writes.of("acknowledged") - set(applied)),
            "never sent, and there": len((self.writes.of("not_sent") | self.writes.of("rejected")) & set(applied)),
            "failed reads": len(self.reads.fates) - self.reads.counts["acknowledged"],
            "unlabelled": len(self.reads.unlabelled) + len(self.writes.unlabelled),
        }


async def lose(side: Side, client: Any, proxy: FaultProxy, losses: int) -> Mixture:
    """All workers go on until so many connections were lost."""
    mixture = Mixture(side, client)

    async def work(worker: int) -> None:
        chance, number = chance_of(7, worker), worker
        while sum(proxy.faults.values()) < losses:
            strike(proxy, chance)
            await mixture.one(f"{worker}:{number}", number)
            number += 1

    await side.together(work(worker) for worker in range(WORKERS))
    proxy.heal()
    return mixture


def strike(proxy: FaultProxy, chance: random.Random) -> None:
    """Before about every eighth call; one at a time."""
    if chance.random() < 0.12 and "armed: nothing" in repr(proxy):
        proxy.inject(chance.choice(CUTS))


@pytest.fixture(params=[60, pytest.param(1000, marks=pytest.mark.slow)])
def losses(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.timeout(300)
async def test_of_a_thousand_lost_connections_none_does_harm(
    side: Side, strategy: str, server: EmbeddedServer, proxy: FaultProxy, losses: int
) -> None:
    """Its figures are shown with ``-rP``."""
    client = side.client(proxy.url, strategy=strategy, max_connections=4, policies=POLICIES)
    mixture = await lose(side, client, proxy, losses)
    with redis.Redis(host=server.host, port=server.port) as straight:
        found = mixture.figures(Counter(one.decode() for one in straight.lrange("list", 0, -1)))
    print(losses, "lost:", found, dict(mixture.writes.counts), dict(mixture.reads.counts))
    assert set(found.values()) == {0}, (found, mixture.reads.errors.most_common(3))
    assert mixture.writes.counts["acknowledged"] > losses


async def test_redis_pys_own_retries_apply_some_twice(side: Side, server: EmbeddedServer, proxy: FaultProxy) -> None:
    """Or the test above could not fail."""
    mixture = await lose(side, side.stock(proxy.url, retries=5), proxy, 60)
    with redis.Redis(host=server.host, port=server.port) as straight:
        found = mixture.figures(Counter(one.decode() for one in straight.lrange("list", 0, -1)))
    assert found["applied twice"] > 5
