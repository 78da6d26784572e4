"""Flask-Limiter, and limits under it, over a pool of ours with policies: it names redis.Redis itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from integration_jobs import POLICIES
from integration_kit import Heard, Weather, any_fault, hidden

from resilient_redis import CircuitBreaker, ResilientConnectionPool, Timeout
from resilient_redis.asyncio import ResilientConnectionPool as AsyncResilientConnectionPool
from resilient_redis.events import CallRejected
from resilient_redis.testing import FaultProxy

flask = pytest.importorskip("flask")
flask_limiter = pytest.importorskip("flask_limiter")

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

LIMIT = 100


@pytest.fixture
def policies() -> list[Any]:
    return POLICIES


@pytest.fixture
def pool(proxy: FaultProxy, heard: Heard, policies: list[Any]) -> Iterator[ResilientConnectionPool]:
    with ResilientConnectionPool.from_url(proxy.url, policies=policies, max_lifetime=0.1) as pool:
        pool.events.add(heard)
        yield pool


def make_app(pool: ResilientConnectionPool, **options: Any) -> Any:
    """What a user writes."""
    app = flask.Flask(__name__)
    limiter = flask_limiter.Limiter(
        lambda: "everybody",
        app=app,
        storage_uri="redis://",
        storage_options={"connection_pool": pool},
        **options,
    )

    @app.get("/")
    @limiter.limit(f"{LIMIT} per hour")
    def index() -> str:
        return "welcome"

    return app.test_client()


@pytest.mark.parametrize("strategy", ["fixed-window", "moving-window", "sliding-window-counter"])
def test_exactly_the_limit_is_let_through_and_nobody_notices(
    strategy: str, pool: ResilientConnectionPool, proxy: FaultProxy, heard: Heard
) -> None:
    visitor = make_app(pool, strategy=strategy)
    with Weather(proxy, hidden("GET", "TTL")):
        codes = []
        for _ in range(LIMIT + 20):
            codes.append(visitor.get("/").status_code)
            time.sleep(0.004)
    assert codes == [200] * LIMIT + [429] * 20
    assert heard.repeats > 0
    assert pool.stats().borrowed == 0


async def test_limits_lets_exactly_the_limit_through_in_asyncio(proxy: FaultProxy, heard: Heard) -> None:
    storages, strategies = pytest.importorskip("limits.aio.storage"), pytest.importorskip("limits.aio.strategies")
    pool = AsyncResilientConnectionPool.from_url(proxy.url, policies=POLICIES, max_lifetime=0.1)
    pool.events.add(heard)
    storage = storages.RedisStorage("async+redis://", connection_pool=pool, implementation="redispy")
    limiter = strategies.FixedWindowRateLimiter(storage)
    limit = pytest.importorskip("limits").parse(f"{LIMIT} per hour")
    with Weather(proxy, hidden("GET", "TTL")):
        passed = []
        for _ in range(LIMIT + 20):
            passed.append(await limiter.hit(limit, "everybody"))
            await asyncio.sleep(0.004)
    assert passed == [True] * LIMIT + [False] * 20
    assert heard.repeats > 0
    await pool.aclose()


def test_a_hit_whose_fate_is_unknown_is_not_counted_twice(
    pool: ResilientConnectionPool, proxy: FaultProxy, heard: Heard
) -> None:
    visitor = make_app(pool)
    passed = unknown = 0
    with Weather(proxy, any_fault()):
        for _ in range(4 * LIMIT):
            code = visitor.get("/").status_code
            if code == 429:
                break
            passed += code == 200
            unknown += code == 500
            time.sleep(0.004)
    assert passed <= LIMIT <= passed + unknown
    assert 0 < unknown <= heard.failures


class TestAnOutage:
    @pytest.fixture
    def policies(self) -> list[Any]:
        return [CircuitBreaker(fail_max=2), Timeout(0.2)]

    def test_after_the_circuit_has_opened_requests_no_longer_wait_for_a_dead_server(
        self, pool: ResilientConnectionPool, proxy: FaultProxy, heard: Heard
    ) -> None:
        visitor = make_app(pool, swallow_errors=True)
        proxy.black_hole()
        began = time.monotonic()
        assert [visitor.get("/").status_code for _ in range(30)] == [200] * 30
        assert time.monotonic() - began < 3  # each would have waited for 0.2 s, else
        assert heard.failures == 2
        assert heard.count(CallRejected) > 0
