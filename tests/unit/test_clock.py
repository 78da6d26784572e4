from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from freezegun import freeze_time

from resilient_redis.clock import SYSTEM_CLOCK, SystemClock
from resilient_redis.testing.clock import FakeClock


def test_the_system_clock_is_monotonic_time() -> None:
    before = time.monotonic()
    now = SYSTEM_CLOCK.monotonic()
    assert before <= now <= time.monotonic()


def test_freezegun_moves_the_system_clock_wherever_it_was_made() -> None:
    read = SYSTEM_CLOCK.monotonic  # as plans keep it
    with freeze_time("2026-01-01") as frozen:
        before = read()
        frozen.tick(60)
        assert read() - before == 60


def test_the_system_clock_sleeps_and_waits_by_the_usual_means(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    SystemClock().sleep(1.5)
    assert slept == [1.5]
    event = threading.Event()
    assert SystemClock().wait(event, 0.0) is False
    event.set()
    assert SystemClock().wait(event, None) is True


async def test_the_system_clock_waits_for_a_future_without_cancelling_it() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    assert await SYSTEM_CLOCK.await_future(future, 0.0) is False
    assert not future.cancelled()
    future.set_result(None)
    assert await SYSTEM_CLOCK.await_future(future, None) is True


def test_a_fake_clock_moves_when_told() -> None:
    clock = FakeClock(start=5.0)
    clock.advance(1.5)
    assert clock.monotonic() == 6.5
    assert clock.sleeps == []


async def test_a_fake_clock_notes_every_wait_and_takes_no_time() -> None:
    clock = FakeClock()
    clock.sleep(1000)
    await clock.asleep(2000)
    assert clock.wait(threading.Event(), 3000) is False
    assert await clock.await_future(asyncio.get_running_loop().create_future(), 4000) is False
    assert clock.sleeps == [1000, 2000, 3000, 4000]
    assert clock.monotonic() == 10_000


async def test_a_fake_clock_does_not_wait_for_what_has_happened() -> None:
    clock, event = FakeClock(), threading.Event()
    event.set()
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    assert clock.wait(event, 9)
    assert await clock.await_future(future, 9)
    assert clock.sleeps == []


async def test_a_fake_clock_lets_other_tasks_run_before_time_passes() -> None:
    clock, future = FakeClock(), asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, None)
    assert await clock.await_future(future, 9)
    assert clock.monotonic() == 0


def test_a_fake_clock_loses_no_time_between_threads() -> None:
    clock = FakeClock()
    threads = [threading.Thread(target=lambda: [clock.advance(1) for _ in range(1000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() == 8000
