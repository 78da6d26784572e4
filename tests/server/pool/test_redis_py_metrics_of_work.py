"""redis-py's OpenTelemetry metrics switched on: the same work leaves the same counts as over redis-py's own clients."""

from __future__ import annotations

import contextlib
import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from cache_relay import CacheRelay
from otel_sdk import metric_points, metric_reader

pytest.importorskip("redis.observability", reason="redis-py has metrics from 7.4 on")
from redis.observability import providers, recorder
from redis.observability.config import MetricGroup, OTelConfig

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import CircuitBreaker, Retry, Timeout
from resilient_redis.testing import EmbeddedServer

if not hasattr(recorder, "record_connection_count"):
    pytest.skip("before redis-py 7.4 a pool is asked, and tells nothing", allow_module_level=True)

pytestmark = pytest.mark.server

STACK = [Retry(attempts=3, wait_initial=0, wait_max=0), CircuitBreaker(), Timeout(2)]
KINDS = ["pooled", "multiplexed", "redis-py's over a pool with policies"]
OF_POOLS = ("connection_count", "connection_create_time", "connection_wait_time", "connection_closed")
"""What depends on how a pool keeps its connections: see test_redis_py_metrics.py."""


class Collector:
    """In place of redis-py's, which needs the SDK: writes down what it is told, but for times and places."""

    def __init__(self) -> None:
        self.told: Counter[Any] = Counter()
        self.durations: list[float] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("record_"):
            raise AttributeError(name)
        return lambda **facts: self._note(name.removeprefix("record_"), facts)

    def _note(self, kind: str, facts: dict[str, Any]) -> None:
        if kind in OF_POOLS:
            return
        if "duration_seconds" in facts:
            self.durations.append(facts["duration_seconds"])
        told = {name: _shown(value) for name, value in facts.items() if name not in _PLACES}
        self.told[kind, tuple(sorted(told.items()))] += 1


_PLACES = {"duration_seconds", "server_port", "network_peer_port", "connection_pool", "lag_seconds"}


def _shown(value: Any) -> str:
    return type(value).__name__ if isinstance(value, Exception) else str(value)


@pytest.fixture
def switch_on() -> Iterator[Callable[[], Collector]]:
    """Metrics are off until it is called, and again with the next call's collector."""
    arecorder = importlib.import_module("redis.asyncio.observability.recorder")
    places = [(recorder, "_metrics_collector"), (arecorder, "_async_metrics_collector")]
    providers._observability_instance = None

    def on() -> Collector:
        collector = Collector()
        for module, name in places:
            setattr(module, name, collector)
        providers.get_observability_instance().init(OTelConfig(metric_groups=list(MetricGroup)))
        return collector

    yield on
    for module, name in places:
        setattr(module, name, None)
    providers._observability_instance = None


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, face: Any) -> Callable[..., Any]:
    """Makes a client of ours."""
    pools = (resilient_redis if face.name == "sync" else resilient_redis.asyncio).ResilientConnectionPool

    def make(url: str, **options: Any) -> Any:
        if request.param.startswith("redis-py"):
            pool = face.keep(pools.from_url(url, policies=STACK, **options))
            return face.keep(face.names.Redis(connection_pool=pool))
        return face.client(url, policies=STACK, strategy=request.param, **options)

    return make


async def _quietly(face: Any, *args: Any) -> None:
    with contextlib.suppress(redis.RedisError):
        await face.run(*args)


async def _commands(face: Any, client: Any) -> None:
    await face.run(client.set, "k", "1")
    for _ in range(5):
        await face.run(client.get, "k")
    await face.run(client.incrby, "k", 3)
    await face.run(client.hset, "h", "f", "v")
    await face.run(client.hgetall, "h")
    await face.run(client.zadd, "z", {"a": 1})
    await face.run(client.eval, "return 1", 0)
    await face.run(client.config_get, "maxmemory")
    await face.run(client.blpop, ["nothing"], 0.01)
    await face.items(client.scan_iter())


async def _errors(face: Any, client: Any) -> None:
    await face.run(client.lpush, "list", "1")
    await _quietly(face, client.get, "list")
    await _quietly(face, client.execute_command, "NOT-A-COMMAND")
    await _quietly(face, client.evalsha, "0" * 40, 0)
    await _quietly(face, client.execute_command, "GET", object())


async def _pipelines(face: Any, client: Any) -> None:
    await face.run(client.set, "k", "1")
    for transaction in (False, True):
        await face.run(client.pipeline(transaction).set("k", 1).get("k").execute)
        await _quietly(face, client.pipeline(transaction).set("k", "x").incr("k").get("k").execute)
        await _quietly(face, client.pipeline(transaction).lpush("k", "x").execute, False)
    await face.run(client.pipeline().execute)  # nothing in it

    def body(pipe: Any) -> Any:
        yield pipe.get("k")
        pipe.multi()
        pipe.set("k", 2)

    await face.transaction(client, body, "k")


async def _streams(face: Any, client: Any) -> None:
    await face.run(client.xadd, "s", {"f": "v"})
    await face.run(client.xread, {"s": "0"})
    await face.run(client.xgroup_create, "s", "g", "0")
    await face.run(client.xreadgroup, "g", "me", {"s": ">"})


async def _messages(face: Any, client: Any) -> None:
    subscriber = client.pubsub()
    await face.run(subscriber.subscribe, "news")
    await face.run(subscriber.get_message, False, 2.0)
    await face.run(client.publish, "news", "hello")
    await face.run(subscriber.get_message, False, 2.0)
    await face.run(getattr(subscriber, "aclose", subscriber.close))


WORK = {"commands": _commands, "errors": _errors, "pipelines": _pipelines, "streams": _streams, "messages": _messages}


@pytest.mark.parametrize("work", WORK)
async def test_the_same_work_leaves_the_same_counts(
    face: Any, make: Any, switch_on: Any, server: EmbeddedServer, work: str
) -> None:
    theirs, ours = face.stock(server.url), make(server.url)
    for client in (theirs, ours):  # the second time is when short cuts are taken
        await WORK[work](face, client)
        await face.run(client.flushall)
    told = []
    for client in (theirs, ours):
        collector = switch_on()
        await WORK[work](face, client)
        told.append(Counter(collector.told))
        assert all(0 <= seconds < 5 for seconds in collector.durations)
        providers.get_observability_instance().shutdown()
        await face.run(client.flushall)
    assert told[1] == told[0]
    assert told[0]


def test_hits_and_misses_of_the_client_side_cache_are_counted(server: EmbeddedServer, switch_on: Any) -> None:
    from redis.cache import CacheConfig

    relay = CacheRelay(server.host, server.port)
    options: dict[str, Any] = {"port": relay.port, "protocol": 3}
    told = []
    for client in (
        redis.Redis(**options, cache_config=CacheConfig()),
        resilient_redis.ResilientRedis(**options, cache_config=CacheConfig(), policies=STACK),
    ):
        client.set("k", "value")
        collector = switch_on()
        for _ in range(3):
            client.get("k")
        client.get("none")
        told.append(Counter(collector.told))
        providers.get_observability_instance().shutdown()
        client.close()
    relay.close()
    assert told[1] == told[0]
    assert {kind for kind, _ in told[0]} == {"csc_request", "csc_network_saved", "operation_duration"}


async def test_every_failed_attempt_is_counted_once(face: Any, switch_on: Any, proxy: Any) -> None:
    """redis-py counts one error for all attempts, and a duration for each that it repeats. Here each attempt is its
    own: an error if it failed, a duration if it did not.
    """
    for strategy in ("pooled", "multiplexed"):
        client = face.client(proxy.url, policies=STACK, strategy=strategy)
        for _ in range(2):
            await face.run(client.get, "k")
        for failures, expected in ((1, {"error_count": 1, "operation_duration": 1}), (3, {"error_count": 3})):
            collector = switch_on()
            proxy.cut_after_request(n=failures)
            await _quietly(face, client.get, "k")
            counts: Counter[str] = Counter()
            for (kind, _), count in collector.told.items():
                counts[kind] += count
            assert counts == expected
            providers.get_observability_instance().shutdown()


async def test_the_sdk_exports_the_same(face: Any, make: Any, switch_on: Any, server: EmbeddedServer) -> None:
    metric_reader()
    switch_on()
    recorder.reset_collector()
    importlib.import_module("redis.asyncio.observability.recorder").reset_collector()
    exported = []
    for client in (face.stock(server.url), make(server.url)):
        before = _exported()
        for work in (_commands, _errors, _pipelines, _streams):
            await work(face, client)
        exported.append(_exported() - before)
        await face.run(client.flushall)
    assert exported[1] == exported[0]
    assert exported[0]


def _exported() -> Counter[Any]:
    """What was counted so far, by name and attributes."""
    found: Counter[Any] = Counter()
    for name, unit, point in metric_points():
        if ".connection." not in name:
            facts = tuple(sorted((key, str(value)) for key, value in point.attributes.items()))
            found[name, unit, facts] += getattr(point, "count", 0) or getattr(point, "value", 0)
    return found
