"""OpenTelemetry's instrumentor for redis-py: the same work leaves the same spans as over redis-py's own clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from otel_sdk import spans_in_memory

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import CircuitBreaker, Retry, Timeout
from resilient_redis.testing import EmbeddedServer

instrumentation = pytest.importorskip("opentelemetry.instrumentation.redis")

pytestmark = pytest.mark.server

STACK = [Retry(attempts=3, wait_initial=0, wait_max=0), CircuitBreaker(), Timeout(2)]
KINDS = ["pooled", "multiplexed", "redis-py's over a pool with policies"]


@pytest.fixture
def spans() -> Iterator[Callable[[], list[Any]]]:
    """The spans since the last call."""
    provider, memory = spans_in_memory()

    def taken() -> list[Any]:
        done = [_shown(span) for span in memory.get_finished_spans()]
        memory.clear()
        return done

    taken.provider = provider  # type: ignore[attr-defined]
    yield taken
    provider.shutdown()


def _shown(span: Any) -> Any:
    events = [(event.name, event.attributes.get("exception.type")) for event in span.events]
    return span.name, span.kind.name, span.status.status_code.name, dict(span.attributes), events


@pytest.fixture
def instrument(spans: Any) -> Iterator[Callable[[], None]]:
    """Switch the instrumentor on, for every client; off when the test ends."""
    instrumentor = instrumentation.RedisInstrumentor()
    yield lambda: instrumentor.instrument(tracer_provider=spans.provider)
    instrumentor.uninstrument()


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, face: Any) -> Callable[..., Any]:
    """Makes a client of ours."""
    pools = (resilient_redis if face.name == "sync" else resilient_redis.asyncio).ResilientConnectionPool

    def make(url: str) -> Any:
        if request.param.startswith("redis-py"):
            return face.keep(face.names.Redis(connection_pool=face.keep(pools.from_url(url, policies=STACK))))
        return face.client(url, policies=STACK, strategy=request.param)

    return make


async def _work(face: Any, client: Any) -> None:
    await face.run(client.set, "k", "1")
    for _ in range(3):
        await face.run(client.get, "k")
    await face.run(client.lpush, "list", "1")
    assert isinstance(await face.error(client.get, "list"), redis.ResponseError)
    await face.run(client.blpop, ["nothing"], 0.01)
    for transaction in (False, True):
        await face.run(client.pipeline(transaction).set("k", 1).get("k").execute)
        pipe = client.pipeline(transaction).set("k", "x").incr("k")
        assert isinstance(await face.error(pipe.execute), redis.ResponseError)
        await face.run(client.set, "k", 1)

    def body(pipe: Any) -> Any:
        yield pipe.get("k")
        pipe.multi()
        pipe.set("k", 2)

    await face.transaction(client, body, "k")


async def test_the_same_work_leaves_the_same_spans(
    face: Any, make: Any, spans: Any, instrument: Any, server: EmbeddedServer
) -> None:
    theirs, ours = face.stock(server.url), make(server.url)
    for client in (theirs, ours):  # the second time is when short cuts are taken
        await _work(face, client)
        await face.run(client.flushall)
    instrument()
    left = []
    for client in (theirs, ours):
        spans()
        await _work(face, client)
        left.append(spans())
        await face.run(client.flushall)
    assert left[0]
    assert [span[:3] for span in left[1]] == [span[:3] for span in left[0]]
    assert left[1] == left[0]


async def test_once_it_is_off_short_cuts_are_taken_again(
    face: Any, make: Any, spans: Any, instrument: Any, server: EmbeddedServer
) -> None:
    client = make(server.url)
    instrument()
    await face.run(client.set, "k", "1")
    assert [span[0] for span in spans()] == ["SET"]
    instrumentation.RedisInstrumentor().uninstrument()
    await _work(face, client)
    assert spans() == []


async def test_one_client_alone_may_be_instrumented(face: Any, make: Any, spans: Any, server: EmbeddedServer) -> None:
    left = []
    for client in (face.stock(server.url), make(server.url)):
        await _work(face, client)
        await face.run(client.flushall)
        instrumentation.RedisInstrumentor.instrument_client(client, tracer_provider=spans.provider)
        await _work(face, client)
        left.append(spans())
        instrumentation.RedisInstrumentor.uninstrument_client(client)
        await face.run(client.flushall)
        assert spans() == []
    assert left[0]
    assert left[1] == left[0]


async def test_each_attempt_is_a_span(face: Any, spans: Any, instrument: Any, proxy: Any) -> None:
    """redis-py repeats within one span; here what was lost, and why, is seen."""
    instrument()
    for strategy in ("pooled", "multiplexed"):
        client = face.client(proxy.url, policies=STACK, strategy=strategy)
        await face.run(client.get, "k")
        spans()
        proxy.cut_after_request()
        await face.run(client.get, "k")
        assert [span[:3] for span in spans()] == [("GET", "CLIENT", "ERROR"), ("GET", "CLIENT", "UNSET")]
