"""What befalls the traffic: faults armed at random before a request, and storms that pass over all of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from resilient_redis.testing import FaultProxy

CUTS = ("cut_before_request", "cut_after_request", "half_reply", "garbage")
"""The connection ends at some stage of one request, or is good for nothing more."""
CUTS_AND_SURPLUS = (*CUTS, "extra_reply")
"""Also a reply too many. In the middle of a pipeline nobody could tell it from the next."""

REFUSALS = (
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN The cluster is down",
)
"""What a server answers before it runs a command."""


@dataclass(frozen=True)
class Weather:
    """How likely each kind of fault is before one request."""

    cuts: float = 0.0
    handshake_cuts: float = 0.0
    refusals: float = 0.0

    def strike(
        self,
        proxy: FaultProxy,
        chance: random.Random,
        targets: tuple[str, ...] = (),
        faults: tuple[str, ...] = CUTS,
    ) -> None:
        """Perhaps arm a fault for the next request, or for the next of one of the targets, whoever sends it.

        One at a time: while a circuit is open they would pile up, and nothing would ever come through again.
        """
        if "armed: nothing" not in repr(proxy):
            return
        luck = chance.random()
        if luck < self.cuts:
            proxy.inject(chance.choice(faults), 1, commands=[chance.choice(targets)] if targets else ())
        elif luck < self.cuts + self.handshake_cuts:
            proxy.inject(chance.choice(CUTS[:3]), 1, handshake=True)
        elif luck < self.cuts + self.handshake_cuts + self.refusals:
            proxy.reply_error(chance.choice(REFUSALS), 1)


CALM = Weather()
SQUALLS = Weather(cuts=0.2, handshake_cuts=0.1, refusals=0.1)

Storm = Callable[[FaultProxy, random.Random], None]


def reset_all(proxy: FaultProxy, chance: random.Random) -> None:
    """Every connection is reset, wherever it stands."""
    proxy.cut_all()


def refuse_and_reset(proxy: FaultProxy, chance: random.Random) -> None:
    """As after a crash of the server: nothing there, nobody listens."""
    proxy.refuse()
    proxy.cut_all()


def reset_on_accept(proxy: FaultProxy, chance: random.Random) -> None:
    """A proxy without a server behind it."""
    proxy.accept_then_reset()
    proxy.cut_all()


def black_hole(proxy: FaultProxy, chance: random.Random) -> None:
    """Nothing passes either way, and nobody says so."""
    proxy.black_hole()


def lost_replies(proxy: FaultProxy, chance: random.Random) -> None:
    """Requests arrive, replies do not."""
    proxy.drop_replies()


def slow_replies(proxy: FaultProxy, chance: random.Random) -> None:
    """Replies come, some of them after their deadline."""
    proxy.delay(chance.uniform(0.0, 0.4))


STORMS: dict[str, Storm] = {
    storm.__name__: storm
    for storm in (reset_all, refuse_and_reset, reset_on_accept, black_hole, lost_replies, slow_replies)
}


@contextlib.asynccontextmanager
async def storms(
    proxy: FaultProxy, kinds: list[Storm], seed: int, *, calm: float = 0.1, rough: float = 0.08
) -> AsyncIterator[None]:
    """Storms of all kinds pass while the block runs, with calm spells between them; afterwards all is well."""
    chance = random.Random(seed)
    over = asyncio.Event()

    async def blow() -> None:
        while not over.is_set():
            await _wait(over, chance.uniform(0, 2 * calm))
            if not over.is_set():
                chance.choice(kinds)(proxy, chance)
                await _wait(over, chance.uniform(0, 2 * rough))
                proxy.heal()

    blowing = asyncio.create_task(blow())
    try:
        yield
    finally:
        over.set()
        await blowing
        proxy.heal()


async def _wait(over: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)
