"""huey over ResilientRedis: tasks from one side, a consumer with threads on the other, through faults."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from integration_jobs import POLICIES, do
from integration_kit import Heard, Tally, Weather, any_fault, assert_unknown, eventually, hidden, unhurried

from resilient_redis import ResilientConnectionPool, ResilientRedis
from resilient_redis.testing import FaultProxy

huey = pytest.importorskip("huey")
storage = pytest.importorskip("huey.storage")

pytestmark = pytest.mark.integrations

NAMES = [f"job{number:02}" for number in range(40)]


@pytest.fixture
def queue(proxy: FaultProxy, heard: Heard) -> Iterator[Any]:
    """The lines that a user changes: the storage's client class, and the pool."""

    class ResilientStorage(storage.RedisStorage):  # type: ignore[misc]
        redis_client = staticmethod(functools.partial(ResilientRedis, policies=POLICIES, listeners=[heard]))

    with ResilientConnectionPool.from_url(proxy.url, max_lifetime=0.1) as pool:
        yield huey.Huey("work", storage_class=ResilientStorage, connection_pool=pool, read_timeout=1)


@pytest.fixture
def task(queue: Any) -> Any:
    return queue.task()(do)


class Consumer:
    """A consumer with two threads in this process; it leaves the signals alone."""

    def __init__(self, queue: Any) -> None:
        self._consumer = queue.create_consumer(workers=2, periodic=False, scheduler_interval=1, max_delay=0.2)
        self._consumer._set_signal_handlers = lambda: None

    def __enter__(self) -> None:
        self._consumer.start()

    def __exit__(self, *_: object) -> None:
        self._consumer.stop(graceful=True)


def test_huey_does_every_task_once_and_notices_nothing(
    queue: Any, task: Any, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    with Weather(proxy, hidden("HGET")), Consumer(queue):
        results = [task(name) for name in unhurried(NAMES)]
        assert eventually(lambda: len(tally()) >= len(NAMES))
    assert tally() == NAMES
    assert [result.get(blocking=True, timeout=2) for result in results] == [f"{name} done" for name in NAMES]
    assert heard.repeats > 0
    assert queue.storage.pool.stats().borrowed == 0


def test_huey_does_no_task_twice_and_loses_only_what_it_was_told_of(
    queue: Any, task: Any, proxy: FaultProxy, tally: Tally, heard: Heard
) -> None:
    acknowledged = set()
    with Weather(proxy, any_fault()), Consumer(queue):
        for name in unhurried(NAMES):
            try:
                task(name)
            except redis.RedisError as error:
                assert_unknown(error)
            else:
                acknowledged.add(name)
        assert eventually(lambda: _left(queue) == 0)
    ran = tally()
    assert len(ran) == len(set(ran))
    lost = acknowledged - set(ran)  # huey takes a task off its list with BRPOP: at most once
    assert len(lost) <= heard.failed("BRPOP")
    assert heard.failures > 0
    assert queue.storage.pool.stats().borrowed == 0


def _left(queue: Any) -> int | None:
    try:
        return int(queue.pending_count())
    except redis.RedisError:
        return None
