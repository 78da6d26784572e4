"""Many threads whose patience ends at once do not hold each other up."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from resilient_redis import PoolTimeoutError, ResilientConnectionPool
from resilient_redis.testing import EmbeddedServer

pytestmark = pytest.mark.server

CROWD = 300


def test_a_crowd_that_waits_in_vain_asks_for_one_audit(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    audits: list[float] = []
    errors: list[BaseException] = []
    with ResilientConnectionPool.from_url(server.url, max_connections=1, background=False) as pool:
        held = pool.acquire()
        audit = pool._audit

        def counted() -> None:
            audits.append(time.monotonic())
            audit()

        monkeypatch.setattr(pool, "_audit", counted)

        def wait() -> None:
            try:
                pool.acquire(timeout=0.3)
            except PoolTimeoutError as error:
                errors.append(error)

        crowd = [threading.Thread(target=wait) for _ in range(CROWD)]
        began = time.monotonic()
        for one in crowd:
            one.start()
        for one in crowd:
            one.join(20)
        took = time.monotonic() - began
        pool.release(held)
    assert len(errors) == CROWD
    assert 1 <= len(audits) <= 1 + took / 0.4  # at most one in half a second


def test_an_audit_still_finds_a_slot_that_is_lost(server: EmbeddedServer, shifted_clock: Any) -> None:
    with ResilientConnectionPool.from_url(server.url, max_connections=1, background=False, clock=shifted_clock) as pool:
        connection = pool.acquire()
        pool._ledger.leased.pop(connection)  # as after an exception in the wrong moment
        for _ in range(2):
            with pytest.raises(PoolTimeoutError):
                pool.acquire(timeout=0.01)
            shifted_clock.shift += 6
        pool.release(pool.acquire(timeout=1))
        assert pool.stats().closes == {"interrupted": 1}
