"""Connections that are out for too long: who borrowed them, and where in the code."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import redis

from resilient_redis import events as told
from resilient_redis.events import logger
from resilient_redis.pool.slots import Slot, State

_INSIDE = tuple(f"{Path(inside).parent}{os.sep}" for inside in (Path(__file__).parent, redis.__file__))
"""Folders whose frames are not the borrower's own code."""

_FRAMES = 3
"""Frames of the borrower's code that are kept: the place, and who called it."""


def caller() -> str:
    """The place in the code that is borrowing: file, line and function, innermost first."""
    frame = sys._getframe(1)
    places: list[str] = []
    while frame is not None and len(places) < _FRAMES:
        code = frame.f_code
        if not code.co_filename.startswith(_INSIDE) and "contextlib" not in code.co_filename:
            places.append(f"{Path(code.co_filename).name}:{frame.f_lineno} in {code.co_name}")
        if frame.f_back is None:
            break
        frame = frame.f_back
    return " < ".join(places) or "unknown"


def report(pool: Any, now: float) -> None:
    """Report every lease that is out for longer than the pool's threshold, once."""
    threshold = pool.options.leak_threshold
    if threshold is None:
        return
    for slot in list(pool._ledger.leased.values()):
        if slot.state is State.LEASED and not slot.reported and now - slot.since >= threshold:
            slot.reported = True
            place = slot.place or "before leak detection was on"
            logger.warning(
                "pool %s: a connection is out for %.3g s, borrowed at %s", pool.name, now - slot.since, place
            )
            if pool.events.heard:
                pool.events.emit(told.LeakSuspected("pool", pool.name, now - slot.since, place))


def report_return(pool: Any, slot: Slot, now: float) -> None:
    """A lease that was reported has come back after all."""
    slot.reported = False
    place = slot.place or "unknown"
    logger.info("pool %s: the connection borrowed at %s is back after %.3g s", pool.name, place, now - slot.since)
    if pool.events.heard:
        pool.events.emit(told.LeakReturned("pool", pool.name, now - slot.since, place))
