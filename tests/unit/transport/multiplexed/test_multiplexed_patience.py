"""How long a reply may be due before its connection is cut: as long as the most patient caller waits."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
import redis
import redis.asyncio

from resilient_redis.clock import SystemClock
from resilient_redis.transport.multiplexed import aio_lines, lines
from resilient_redis.transport.multiplexed.options import Multiplexed


def make(side: str) -> Any:
    if side == "sync":
        return lines.Lines(redis.ConnectionPool(), Multiplexed(), SystemClock())
    return aio_lines.Lines(redis.asyncio.ConnectionPool(), Multiplexed(), time.monotonic)


@pytest.mark.parametrize("side", ["sync", "asyncio"])
@pytest.mark.parametrize(
    ("told", "patience"),
    [([], math.inf), ([2.0], 2.0), ([2.0, 5.0], 5.0), ([5.0, 2.0], 5.0), ([math.inf, 2.0], math.inf)],
)
def test_the_most_patient_caller_says_when_a_reply_is_overdue(side: str, told: list[float], patience: float) -> None:
    """A plan without a limit is more patient than all others, whichever comes first."""
    made = make(side)
    for seconds in told:
        made.allow(seconds)
    assert made.patience == patience
