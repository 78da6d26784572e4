"""A cancel at every pause of every path of the asyncio pool: nothing is lost, nothing is lent twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import redis.asyncio.client
from test_cancel_tools import (  # noqa: F401 - one is a fixture
    SCENARIOS,
    Body,
    Stage,
    by_dialling,
    by_waiting,
    by_waiting_in_vain,
    cancelled_after,
    cancelled_at,
    closing,
    disconnecting,
    from_idle,
    staged,
    stages_fixture,
    transaction,
    warming_up,
    with_validation,
)

pytestmark = pytest.mark.server

_RESET_HOLDS = "shield" in redis.asyncio.client.Pipeline.reset.__code__.co_names


@pytest.mark.parametrize("how", ["at once", "with the result", "twice"])
@pytest.mark.parametrize("ready", SCENARIOS, ids=lambda ready: ready.__name__)
async def test_a_cancel_at_each_pause_loses_nothing(
    stages: Callable[[], Stage], ready: Callable[[Stage], Awaitable[Body]], how: str
) -> None:
    if ready is transaction and how == "twice" and not _RESET_HOLDS:
        pytest.skip("a second cancel in this redis-py's own Pipeline.reset() loses the lease")
    for pause in range(60):
        async with staged(stages, ready) as (_, body):
            reached = await cancelled_at(body, pause, how)
        if not reached:
            return
    raise AssertionError("there is no end of pauses")


@pytest.mark.parametrize(
    "ready",
    [from_idle, by_waiting, by_waiting_in_vain, by_dialling, with_validation, warming_up, closing, disconnecting],
    ids=lambda ready: ready.__name__,
)
async def test_a_coroutine_that_is_thrown_away_at_a_pause_loses_nothing(
    stages: Callable[[], Stage], ready: Callable[[Stage], Awaitable[Body]]
) -> None:
    for pause in range(60):
        async with staged(stages, ready) as (_, body):
            reached = await cancelled_at(body, pause, "thrown away")
        if not reached:
            return
    raise AssertionError("there is no end of pauses")


@pytest.mark.parametrize("ready", SCENARIOS, ids=lambda ready: ready.__name__)
async def test_a_cancel_after_any_number_of_rounds_loses_nothing(
    stages: Callable[[], Stage], ready: Callable[[Stage], Awaitable[Body]]
) -> None:
    for rounds in [*range(12), *range(12, 60, 4)]:
        async with staged(stages, ready) as (_, body):
            running = await cancelled_after(body, rounds)
        if not running:
            return
