"""Behind a network that delays and reorders, what callers are told fits together; plain retries do not manage that."""

from __future__ import annotations

from typing import Any

import pytest
from both_sides import Side, chance_of
from late_relay import LateRelay
from linear_work import GAMES, TIMEOUT, Game, Histories

from resilient_redis import Retry, Timeout
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

WORKERS, KEYS = 5, 4
LATE = 0.15
OURS = [Retry(attempts=6, wait_initial=0.002, wait_max=0.01, total_time=10), Timeout(TIMEOUT)]


async def play(
    side: Side, kind: type[Game], client: Any, straight: Any, operations: int, seed: int
) -> tuple[Histories, list[str]]:
    """The histories, and those of them that nothing explains."""
    histories = Histories()
    game = kind(side, histories)

    async def work(worker: int) -> None:
        chance = chance_of(seed, worker)
        for number in range(operations):
            await game.move(client, f"key{chance.randrange(KEYS)}", f"{worker}:{number}", chance)

    await side.together(work(worker) for worker in range(WORKERS))
    await side.pause(0.35)  # until the last original has arrived
    for key in range(KEYS):
        await game.last_look(straight, f"key{key}")
    return histories, histories.broken(kind.step, kind.start)


@pytest.mark.parametrize("resets", [0.0, 0.5], ids=["late", "late or lost"])
@pytest.mark.parametrize("kind", GAMES.values(), ids=list(GAMES))
async def test_ours_is_linearizable(side: Side, server: EmbeddedServer, kind: type[Game], resets: float) -> None:
    with LateRelay(server.port, seed=1, share=LATE, resets=resets) as relay:
        client = side.client(relay.url, max_connections=4, policies=OURS, decode_responses=True)
        straight = side.stock(server.url, decode_responses=True)
        histories, broken = await play(side, kind, client, straight, 40, seed=1)
        assert relay.held > 5, "nothing was late: this proves nothing"
    assert histories.fates["answered"] > 100, dict(histories.fates)
    assert broken == [], "\n".join(broken)


@pytest.mark.parametrize("kind", GAMES.values(), ids=list(GAMES))
async def test_plain_retries_are_not(side: Side, server: EmbeddedServer, kind: type[Game]) -> None:
    """Or the test above could not fail."""
    for seed in range(5):
        server.execute("FLUSHALL")
        with LateRelay(server.port, seed=seed, share=LATE) as relay:
            options = {"socket_timeout": TIMEOUT, "max_connections": 100, "decode_responses": True}
            client = side.stock(relay.url, retries=6, **options)
            _, broken = await play(side, kind, client, side.stock(server.url, decode_responses=True), 40, seed)
            if broken:
                return
    raise AssertionError("redis-py's retries went unnoticed")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", GAMES.values(), ids=list(GAMES))
@pytest.mark.parametrize("seed", range(10, 20))
async def test_ours_is_linearizable_for_long(side: Side, server: EmbeddedServer, kind: type[Game], seed: int) -> None:
    with LateRelay(server.port, seed=seed, share=LATE, resets=seed % 2 / 2) as relay:
        client = side.client(relay.url, max_connections=4, policies=OURS, decode_responses=True)
        straight = side.stock(server.url, decode_responses=True)
        _, broken = await play(side, kind, client, straight, 200, seed)
    assert broken == [], "\n".join(broken)
