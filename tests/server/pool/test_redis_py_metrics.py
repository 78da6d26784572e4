"""redis-py's OpenTelemetry metrics: what it records of its own pools, it records of ours."""

from __future__ import annotations

import gc
import importlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from otel_sdk import metric_points, metric_reader

pytest.importorskip("redis.observability", reason="redis-py has metrics from 7.4 on")
from redis.observability import providers, recorder
from redis.observability.attributes import get_pool_name
from redis.observability.config import MetricGroup, OTelConfig

if not hasattr(recorder, "record_connection_count"):
    pytest.skip("before redis-py 7.4 a pool is asked, and tells nothing", allow_module_level=True)


class Collector:
    """In place of redis-py's, which needs the SDK: adds up what it is told."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.times: dict[str, list[float]] = {"create": [], "wait": []}
        self.timeouts: Counter[str] = Counter()
        self.pools: set[str] = set()
        self.only: set[str] | None = None  # times of these; pools of tests before may dial in the background

    def record_connection_count(self, pool_name: str, connection_state: Any, counter: int) -> None:
        self.counts[pool_name, connection_state.value] += counter

    def record_connection_create_time(self, connection_pool: Any, duration_seconds: float) -> None:
        self._note("create", get_pool_name(connection_pool), duration_seconds)

    def record_connection_wait_time(self, pool_name: str, duration_seconds: float) -> None:
        self._note("wait", pool_name, duration_seconds)

    def _note(self, kind: str, name: str, seconds: float) -> None:
        self.pools.add(name)
        if self.only is None or name in self.only:
            self.times[kind].append(seconds)

    def record_connection_timeout(self, pool_name: str) -> None:
        self.timeouts[pool_name] += 1

    def __getattr__(self, name: str) -> Any:
        if name.startswith("record_"):
            return lambda *_, **__: None
        raise AttributeError(name)

    def states(self, pool: Any) -> tuple[int, int]:
        """Idle and used."""
        name = get_pool_name(pool)
        return self.counts[name, "idle"], self.counts[name, "used"]


@pytest.fixture
def recorders() -> Iterator[list[tuple[Any, str]]]:
    """Where redis-py keeps its collectors; empty before and after."""
    arecorder = importlib.import_module("redis.asyncio.observability.recorder")
    places = [(recorder, "_metrics_collector"), (arecorder, "_async_metrics_collector")]
    for module, name in places:
        setattr(module, name, None)
    providers._observability_instance = None
    yield places
    for module, name in places:
        setattr(module, name, None)
    providers._observability_instance = None


@pytest.fixture
def switch_on(recorders: list[tuple[Any, str]]) -> Any:
    """Metrics are off until it is called."""

    def on() -> Collector:
        collector = Collector()
        for module, name in recorders:
            setattr(module, name, collector)
        providers.get_observability_instance().init(OTelConfig(metric_groups=list(MetricGroup)))
        return collector

    return on


async def _play(bench: Any, pool: Any, collector: Collector) -> list[Any]:
    """Borrow, give back, close; the counts after each step."""
    seen = []
    lent = [await bench.run(pool.get_connection) for _ in range(3)]
    seen.append(collector.states(pool))
    for connection in lent[:2]:
        await bench.run(pool.release, connection)
    seen.append(collector.states(pool))
    again = await bench.run(pool.get_connection)
    seen.append(collector.states(pool))
    await bench.run(pool.release, again)
    await bench.run(pool.release, lent[2])
    seen.append(collector.states(pool))
    return seen


def named(pool: Any) -> Any:
    """asyncio pools have no id: to the metrics, all of a server are one. Here each is itself."""
    if not hasattr(pool, "_pool_id"):
        pool._pool_id = f"test{id(pool)}"
    return pool


def stock(bench: Any, kind: str) -> Any:
    return named(bench.face.keep(getattr(bench.names, kind).from_url(bench.server.url, max_connections=5)))


async def test_connections_are_counted_by_state_as_redis_pys_are(bench: Any, switch_on: Any) -> None:
    collector = switch_on()
    theirs = await _play(bench, stock(bench, "ConnectionPool"), collector)
    ours = await _play(bench, named(bench.pool(max_connections=5)), collector)
    assert ours == theirs == [(0, 3), (2, 1), (1, 2), (3, 0)]


async def test_times_are_measured_as_redis_pys_blocking_pool_measures_them(bench: Any, switch_on: Any) -> None:
    collector = switch_on()
    theirs, ours = stock(bench, "BlockingConnectionPool"), named(bench.pool(max_connections=5))
    collector.only = {get_pool_name(theirs), get_pool_name(ours)}
    for pool in (theirs, ours):
        await _play(bench, pool, collector)
        assert get_pool_name(pool) in collector.pools
    assert {kind: len(durations) for kind, durations in collector.times.items()} == {"create": 2 * 3, "wait": 2 * 4}
    assert all(0 < seconds < 5 for durations in collector.times.values() for seconds in durations)


async def test_what_is_closed_is_counted_no_more(bench: Any, switch_on: Any) -> None:
    collector = switch_on()
    pool = named(bench.pool())
    await bench.stock_up(pool, 3)
    lent = await bench.get(pool)
    assert collector.states(pool) == (2, 1)
    await bench.run(pool.disconnect, False)
    assert collector.states(pool) == (0, 1)
    await bench.ask(lent, "MULTI")
    await bench.give(pool, lent)
    assert collector.states(pool) == (0, 0)
    await bench.stock_up(pool, 2)
    pool.reset()
    await bench.stock_up(pool, 1)
    assert collector.states(pool) == (1, 0)
    await bench.close(pool)
    assert collector.states(pool) == (0, 0)


async def test_a_borrower_whose_time_is_over_is_counted(bench: Any, switch_on: Any) -> None:
    collector = switch_on()
    pool = named(bench.pool(max_connections=1, acquire_timeout=0.4))
    lent = await bench.get(pool)
    await bench.error(pool.get_connection)
    await bench.give(pool, lent)
    assert collector.timeouts == {get_pool_name(pool): 1}
    await bench.stock_up(pool, 1)
    assert collector.timeouts == {get_pool_name(pool): 1}


async def test_a_wait_is_measured(bench: Any, switch_on: Any) -> None:
    collector = switch_on()
    pool = named(bench.pool(max_connections=1))
    lent = await bench.get(pool)
    waiter = await bench.wait_for(pool, 1)
    await bench.face.pause(0.05)
    await bench.give(pool, lent)
    await bench.give(pool, await waiter.result())
    assert max(collector.times["wait"]) >= 0.05


async def test_metrics_may_be_switched_on_and_off_later(bench: Any, switch_on: Any) -> None:
    pool = named(bench.pool())
    lent = await bench.fill(pool, 1)
    await bench.stock_up(pool, 2)
    collector = switch_on()
    assert collector.states(pool) == (0, 0)
    await bench.run(pool.maintain)  # as it happens by itself
    assert collector.states(pool) == (2, 1)
    await bench.give(pool, *lent)
    assert collector.states(pool) == (3, 0)
    assert pool._careful
    providers.get_observability_instance().shutdown()
    await bench.run(pool.maintain)
    assert not pool._careful
    assert not pool._announces
    assert collector.states(pool) == (0, 0)


async def test_a_pool_that_is_gone_is_counted_no_more(bench: Any, switch_on: Any) -> None:
    collector = switch_on()
    pool = named(bench.Pool.from_url(bench.server.url, background=False))
    await bench.stock_up(pool, 2)
    name = get_pool_name(pool)
    assert collector.counts[name, "idle"] == 2
    await bench.run(pool.disconnect, False)
    connection = await bench.get(pool)
    assert collector.counts[name, "used"] == 1
    await bench.run(connection.disconnect)
    del pool, connection
    await bench.until(lambda: gc.collect() >= 0 and collector.counts[name, "used"] == 0)
    assert collector.counts[name, "idle"] == 0


async def test_metrics_that_fail_break_nothing(bench: Any, switch_on: Any) -> None:
    collector = switch_on()

    def fail(**_: Any) -> None:
        raise RuntimeError("the exporter is broken")

    collector.record_connection_count = collector.record_connection_wait_time = fail  # type: ignore[method-assign]
    pool = named(bench.pool())
    await bench.stock_up(pool, 2)
    assert pool.stats().available == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_counts_its_own(server: Any, switch_on: Any) -> None:
    from resilient_redis import ResilientConnectionPool

    collector = switch_on()
    with ResilientConnectionPool.from_url(server.url) as pool:
        lent = pool.get_connection()
        pool.release(pool.get_connection())
        child = os.fork()
        if child == 0:
            code = 1
            try:
                mine = pool.get_connection()
                code = 0 if collector.states(pool) == (0, 1) else 2
                pool.release(mine)
                code = code or (0 if collector.states(pool) == (1, 0) else 3)
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        pool.release(lent)
        assert collector.states(pool) == (2, 0)


async def test_the_count_can_be_asked_too(bench: Any) -> None:
    pool = named(bench.pool())
    lent = await bench.fill(pool, 2)
    await bench.give(pool, lent[0])
    stock = bench.names.ConnectionPool.from_url(bench.server.url)
    shapes = [sorted(attributes) for _, attributes in stock.get_connection_count()]
    assert [sorted(attributes) for _, attributes in pool.get_connection_count()] == shapes
    assert [count for count, _ in pool.get_connection_count()] == [1, 1]
    await bench.give(pool, lent[1])


async def test_the_sdk_sees_the_same_names_and_attributes(bench: Any, recorders: Any) -> None:
    metric_reader()
    providers.get_observability_instance().init(OTelConfig(metric_groups=list(MetricGroup)))
    shapes = {}
    for pool in (stock(bench, "BlockingConnectionPool"), named(bench.pool())):
        lent = await bench.run(pool.get_connection)
        await bench.run(pool.release, lent)
        mine = [
            (n, u, p)
            for n, u, p in metric_points()
            if p.attributes.get("db.client.connection.pool.name") == get_pool_name(pool)
        ]
        shapes[type(pool)] = sorted(
            (n, u, sorted(p.attributes), p.attributes.get("db.client.connection.state", "")) for n, u, p in mine
        )
        assert {(p.attributes["db.client.connection.state"], p.value) for n, _, p in mine if n.endswith(".count")} >= {
            ("idle", 1)
        }
    theirs, ours = shapes.values()
    assert [shape for shape in ours if shape not in theirs] == []
    assert {shape[0] for shape in ours} == {shape[0] for shape in theirs}
    assert {"db.client.connection.count", "db.client.connection.wait_time", "db.client.connection.create_time"} <= {
        shape[0] for shape in ours
    }
