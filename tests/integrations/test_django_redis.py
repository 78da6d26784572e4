"""django-redis over ResilientRedis: Django's cache, counters and locks, through faults."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from integration_jobs import POLICIES
from integration_kit import Heard, Weather, any_fault, assert_unknown, hidden, unhurried

from resilient_redis import CircuitBreaker, CircuitOpenError, Fallback, ResilientConnectionPool, ResilientRedis
from resilient_redis.testing import FaultProxy

pytest.importorskip("django_redis")
django_cache = pytest.importorskip("django.core.cache")
django_conf = pytest.importorskip("django.conf")

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def caches(proxy: FaultProxy, heard: Heard, policies: list[Any]) -> dict[str, Any]:
    """What a user writes into settings.py, but for the listener and the short life."""
    return {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": proxy.url,
            "OPTIONS": {
                "REDIS_CLIENT_CLASS": "resilient_redis.ResilientRedis",
                "REDIS_CLIENT_KWARGS": {"policies": policies, "listeners": [heard]},
                "CONNECTION_POOL_CLASS": "resilient_redis.ResilientConnectionPool",
                "CONNECTION_POOL_KWARGS": {"max_lifetime": 0.1},
            },
        }
    }


@pytest.fixture
def policies() -> list[Any]:
    return POLICIES


@pytest.fixture
def cache(proxy: FaultProxy, heard: Heard, policies: list[Any]) -> Iterator[Any]:
    if not django_conf.settings.configured:
        django_conf.settings.configure()
    from django.test import override_settings

    with override_settings(CACHES=caches(proxy, heard, policies)):
        cache = django_cache.caches["default"]
        yield cache
        cache.client.get_client().connection_pool.close()


def test_django_redis_builds_our_client_over_our_pool(cache: Any) -> None:
    client = cache.client.get_client()
    assert type(client) is ResilientRedis
    assert type(client.connection_pool) is ResilientConnectionPool


def test_the_cache_is_right_and_notices_nothing(cache: Any, proxy: FaultProxy, heard: Heard) -> None:
    with Weather(proxy, hidden("GET", "MGET")):
        for number in range(80):
            cache.set(f"key{number}", {"number": number}, timeout=60)
            assert cache.get(f"key{number}") == {"number": number}
            assert cache.get("nothing") is None
        found = cache.get_many([f"key{number}" for number in range(80)])
    assert found == {f"key{number}": {"number": number} for number in range(80)}
    assert heard.repeats > 0
    assert cache.client.get_client().connection_pool.stats().borrowed == 0


def test_a_counter_is_as_high_as_was_acknowledged_and_a_part_of_what_is_unknown(
    cache: Any, proxy: FaultProxy, heard: Heard
) -> None:
    cache.set("hits", 0, timeout=None)
    acknowledged = unknown = 0
    with Weather(proxy, any_fault()):
        end = time.monotonic() + 2
        while time.monotonic() < end:
            try:
                cache.incr("hits")
            except redis.RedisError as error:
                assert_unknown(error)
                unknown += 1
            else:
                acknowledged += 1
    assert unknown > 0
    assert acknowledged <= cache.get("hits") <= acknowledged + unknown
    assert heard.failures > 0


def test_a_lock_is_held_by_one(cache: Any, proxy: FaultProxy) -> None:
    with Weather(proxy, hidden("GET")):
        for _ in range(20):
            with cache.lock("work", timeout=5):
                assert not cache.lock("work", timeout=5).acquire(blocking=False)


class TestAnOutage:
    @pytest.fixture
    def policies(self) -> list[Any]:
        return [Fallback(None), CircuitBreaker(fail_max=3)]

    def test_reads_miss_writes_say_so_and_the_circuit_is_one_for_all_threads(
        self, cache: Any, proxy: FaultProxy, heard: Heard
    ) -> None:
        cache.set("key", "value")
        proxy.refuse()
        proxy.cut_all()
        assert [cache.get("key") for _ in range(5)] == [None] * 5
        with pytest.raises(CircuitOpenError):
            cache.set("key", "other")
        another = type(cache)(proxy.url, cache._params)  # as each thread of Django gets its own
        assert another.client.get_client().breakers["circuit_breaker"].state == "open"
        assert another.get("key") is None


def test_djangos_own_backend_takes_a_pool_with_policies(proxy: FaultProxy, heard: Heard) -> None:
    if not django_conf.settings.configured:
        django_conf.settings.configure()
    from django.test import override_settings

    options = {"pool_class": "resilient_redis.ResilientConnectionPool", "policies": POLICIES, "max_lifetime": 0.1}
    backend = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": proxy.url, "OPTIONS": options}
    with override_settings(CACHES={"default": backend}):
        cache = django_cache.caches["default"]
        pool = cache._cache._get_connection_pool(write=True)
        pool.events.add(heard)
        with Weather(proxy, hidden("GET", "MGET")):
            for name in unhurried([f"key{number}" for number in range(50)]):
                cache.set(name, {"name": name})
                assert cache.get(name) == {"name": name}
        assert cache.add("count", 0)
        assert cache.incr("count") == 1
        pool.close()
    assert heard.repeats > 0
