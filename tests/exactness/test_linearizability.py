"""Behind a network that delays and reorders, what callers are told fits together; plain retries do not manage that."""

from __future__ import annotations

from typing import Any

import pytest
from both_sides import Side, chance_of
from late_relay import LateRelay
from linear_work import GAMES, TIMEOUT, Game, Histories

from resilient_redis import Multiplexed, Retry, Timeout
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

WORKERS = 5
LATE = {"pooled": 0.15, "multiplexed": 0.18}
"""So many of the packets. One of a shared connection has several commands in it, so there are fewer."""
KEYS = {"pooled": 4, "multiplexed": 8}
"""Where a connection is shared all of its commands are late or lost at once, and what is unknown makes the search
long: more keys have shorter histories."""
LONG_KEYS = {"pooled": 4, "multiplexed": 20}
OURS = [Retry(attempts=6, wait_initial=0.002, wait_max=0.01, total_time=10), Timeout(TIMEOUT)]


async def play(
    side: Side, kind: type[Game], client: Any, straight: Any, operations: int, seed: int, keys: int
) -> tuple[Histories, list[str]]:
    """The histories of so many keys, and those of them that nothing explains."""
    histories = Histories()
    game = kind(side, histories)

    async def work(worker: int) -> None:
        chance = chance_of(seed, worker)
        for number in range(operations):
            await game.move(client, f"key{chance.randrange(keys)}", f"{worker}:{number}", chance)

    await side.together(work(worker) for worker in range(WORKERS))
    await side.pause(0.35)  # until the last original has arrived
    for key in range(keys):
        await game.last_look(straight, f"key{key}")
    return histories, histories.broken(kind.step, kind.start)


def client_of(side: Side, relay: LateRelay, strategy: str, resets: float) -> Any:
    """One of ours behind the relay.

    One shared connection keeps all in order as long as it lives; of two, one's requests overtake the other's.
    """
    shared = Multiplexed(connections=1 if resets else 2)
    chosen = shared if strategy == "multiplexed" else "pooled"
    return side.client(relay.url, strategy=chosen, max_connections=4, policies=OURS, decode_responses=True)


@pytest.mark.parametrize("resets", [0.0, 0.5], ids=["late", "late or lost"])
@pytest.mark.parametrize("kind", GAMES.values(), ids=list(GAMES))
async def test_ours_is_linearizable(
    side: Side, strategy: str, server: EmbeddedServer, kind: type[Game], resets: float
) -> None:
    with LateRelay(server.port, seed=1, share=LATE[strategy], resets=resets) as relay:
        client = client_of(side, relay, strategy, resets)
        straight = side.stock(server.url, decode_responses=True)
        histories, broken = await play(side, kind, client, straight, 40, seed=1, keys=KEYS[strategy])
        assert relay.held > 5, "nothing was late: this proves nothing"
    assert histories.fates["answered"] > 100, dict(histories.fates)
    assert broken == [], "\n".join(broken)


@pytest.mark.parametrize("kind", GAMES.values(), ids=list(GAMES))
async def test_plain_retries_are_not(side: Side, server: EmbeddedServer, kind: type[Game]) -> None:
    """Or the test above could not fail."""
    for seed in range(5):
        server.execute("FLUSHALL")
        with LateRelay(server.port, seed=seed, share=LATE["pooled"]) as relay:
            options = {"socket_timeout": TIMEOUT, "max_connections": 100, "decode_responses": True}
            client = side.stock(relay.url, retries=6, **options)
            _, broken = await play(side, kind, client, side.stock(server.url, decode_responses=True), 40, seed, keys=4)
            if broken:
                return
    raise AssertionError("redis-py's retries went unnoticed")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", GAMES.values(), ids=list(GAMES))
@pytest.mark.parametrize("seed", range(10, 20))
async def test_ours_is_linearizable_for_long(
    side: Side, strategy: str, server: EmbeddedServer, kind: type[Game], seed: int
) -> None:
    resets = seed % 2 / 2
    with LateRelay(server.port, seed=seed, share=LATE[strategy], resets=resets) as relay:
        client = client_of(side, relay, strategy, resets)
        straight = side.stock(server.url, decode_responses=True)
        _, broken = await play(side, kind, client, straight, 200, seed, keys=LONG_KEYS[strategy])
    assert broken == [], "\n".join(broken)
