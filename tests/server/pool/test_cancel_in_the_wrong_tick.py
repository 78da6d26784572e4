"""Cancels, disconnects and closes of the asyncio pool in the very round of the loop in which something comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import redis
from test_cancel_tools import MOST, Stage, audit, quiet, stages_fixture  # noqa: F401 - one is a fixture

from resilient_redis.testing import FaultProxy

pytestmark = pytest.mark.server


async def test_many_cancels_in_the_tick_of_their_grants(stages: Callable[[], Stage]) -> None:
    """Each connection that comes back is granted to a borrower who is cancelled in that very round of the loop."""
    stage = stages()
    pool = stage.make()
    for count in (1, 2, 5):
        await stage.lease(MOST)
        borrowers = [asyncio.create_task(pool.acquire(timeout=1)) for _ in range(count)]
        await asyncio.sleep(0)
        await stage.give_back()
        for borrower in borrowers:
            borrower.cancel()
        await asyncio.wait(borrowers)
        assert all(borrower.cancelled() for borrower in borrowers)
    await audit(stage)
    assert pool.stats().dials == MOST
    await pool.aclose()


async def test_disconnect_in_the_tick_in_which_dials_are_planned(stages: Callable[[], Stage]) -> None:
    """The dials' tasks are cancelled before their first step."""
    stage = stages()
    pool = stage.make()
    borrowers = [asyncio.create_task(pool.acquire(timeout=1)) for _ in range(MOST)]
    await asyncio.sleep(0)
    assert pool.stats().dialling
    await pool.disconnect()
    stage.leases = await asyncio.gather(*borrowers)
    await audit(stage)
    await pool.aclose()


@pytest.mark.parametrize("rounds", range(0, 24, 3))
async def test_disconnect_does_not_raise_in_a_warm_up(stages: Callable[[], Stage], rounds: int) -> None:
    stage = stages()
    pool = stage.make(min_idle=MOST)
    warm_up = asyncio.create_task(pool.warm_up())
    for _ in range(rounds):
        await asyncio.sleep(0)
    await pool.disconnect()
    result = await warm_up
    assert result.wanted == MOST
    assert bool(result) == (result.idle == MOST)
    await audit(stage)
    await pool.aclose()


async def test_two_who_close_are_both_told_when_all_is_back(stages: Callable[[], Stage]) -> None:
    stage = stages()
    pool = stage.make()
    await stage.lease(2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    closers = [asyncio.create_task(pool.aclose(5)) for _ in range(2)]
    await asyncio.sleep(0.02)
    await stage.give_back()
    assert await asyncio.gather(*closers) == [True, True]
    assert loop.time() - began < 1


@pytest.mark.parametrize("rounds", range(0, 24, 3))
async def test_nothing_is_left_when_aclose_returns(stages: Callable[[], Stage], rounds: int) -> None:
    stage = stages()
    pool = stage.make(min_idle=1)
    borrowers = [asyncio.create_task(pool.acquire(timeout=1)) for _ in range(MOST + 2)]
    for _ in range(rounds):
        await asyncio.sleep(0)
    await pool.aclose()
    assert not pool._dials
    await asyncio.wait(borrowers)
    for borrower in borrowers:
        if borrower.exception() is None:
            await pool.release(borrower.result())
        else:
            assert isinstance(borrower.exception(), redis.ConnectionError)
    await quiet(pool)
    assert not pool._ledger.slots
    until = time.monotonic() + 5
    while stage.on_server() and time.monotonic() < until:
        await asyncio.sleep(0.01)  # the server hears of it a moment later
    assert not stage.on_server()


async def test_a_dial_is_nobodys_and_ends_idle_when_its_borrower_was_cancelled(
    stages: Callable[[], Stage], proxy: FaultProxy
) -> None:
    stage = stages()
    pool = stage.make(proxy.url)
    proxy.delay(0.05)
    borrower = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0.01)
    borrower.cancel()
    await asyncio.wait([borrower])
    proxy.heal()
    await quiet(pool)
    assert (pool.stats().available, pool.stats().dials) == (1, 1)
    await audit(stage)
    await pool.aclose()
