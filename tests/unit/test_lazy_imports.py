"""Importing the package costs next to nothing; what is used is imported when it is first named."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

import pytest

import resilient_redis
from resilient_redis import pipeline, policies
from resilient_redis.pool import budgets

PACKAGES = [resilient_redis, policies, pipeline, budgets]

MOST_FOR_A_CLIENT = 118
"""Modules that a client brings, beside redis-py's and those of the standard library. Measured on 2026-11-23: 112.
If it grows, look with ``python -X importtime`` for what a plain client does not use, and import that where it is used.
"""


def loaded_by(code: str) -> set[str]:
    """The modules that this code adds to those of ``import redis``."""
    script = (
        "import json, sys, redis, redis.asyncio, logging; before = set(sys.modules)\n"
        f"{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    found: list[str] = json.loads(done.stdout)
    return set(found)


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "resilient_redis"}


def test_importing_the_package_imports_nothing_else() -> None:
    assert loaded_by("import resilient_redis") == {"resilient_redis", "resilient_redis.lazily"}


def test_a_client_imports_only_what_it_uses() -> None:
    found = loaded_by("from resilient_redis import ResilientRedis; ResilientRedis(port=1)")
    unused = ["testing", "cli", "config", "pool.sentinel", "pool.shutdown", "policies.bulkhead", "policies.registry"]
    unused += ["pipeline.decorators", "asyncio", "pool.budgets.host", "pool.budgets.redis_lease", "__main__"]
    unused += ["pipeline.pipeline", "pipeline.async_driver", "pool.aio_pool", "connections.aio_observed"]
    unused += [
        "pool.sizing",
        "event_types",
        "client_pubsub",
        "client_monitor",
        "client_lock",
        "transport.multiplexed.options",
    ]
    assert {name for name in unused if f"resilient_redis.{name}" in found} == set()
    assert {"tenacity", "yaml", "prometheus_client", "opentelemetry", "difflib"} & found == set()
    assert len(ours(found)) <= MOST_FOR_A_CLIENT, sorted(ours(found))


@pytest.mark.parametrize("options", ["", "listeners=[lambda event: None], "])
def test_an_outage_imports_nothing(options: str) -> None:
    """There may be no descriptor left to read a file with."""
    code = (
        "from resilient_redis import CircuitBreaker, Fallback, ResilientRedis, Retry, Timeout\n"
        "retry = Retry(attempts=2, wait_initial=0.001, wait_max=0.001)\n"
        "stack = [Fallback(None), retry, CircuitBreaker(fail_max=2), Timeout(1)]\n"
        f"r = ResilientRedis(port=1, {options}policies=stack)\nbefore |= set(sys.modules)\n"
        "for _ in range(3): assert r.get('k') is None\n"
        "assert r.breakers['circuit_breaker'].state == 'open'"
    )
    assert ours(loaded_by(code)) == set()


def test_a_pool_that_is_exhausted_imports_nothing() -> None:
    code = (
        "from resilient_redis import ResilientRedis\n"
        "from resilient_redis.testing import EmbeddedServer\n"
        "with EmbeddedServer.start() as server:\n"
        "    r = ResilientRedis.from_url(server.url, max_connections=1, acquire_timeout=0.05, policies=[])\n"
        "    r.ping()\n    before |= set(sys.modules)\n    lent = r.connection_pool.get_connection()\n"
        "    try: r.ping()\n    except redis.exceptions.MaxConnectionsError: pass\n    else: raise SystemExit(1)\n"
        "    r.connection_pool.release(lent); r.connection_pool.close()"
    )
    assert ours(loaded_by(code)) == set()


@pytest.mark.parametrize("name", ["CallRejected", "FallbackUsed", "SubscriptionGap"])
def test_an_event_that_is_imported_late_is_the_same_for_all(name: str) -> None:
    for code in (
        f"from resilient_redis.events import {name} as it",
        f"from resilient_redis import events as e; it = e.{name}",
    ):
        loaded_by(f"{code}\nfrom resilient_redis import event_types\nassert it is event_types.{name}")


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_there_however_it_is_asked_for(package: Any) -> None:
    for name in package.__all__:
        assert name in dir(package)
        assert getattr(package, name) is getattr(importlib.import_module(package.__name__), name)
        namespace: dict[str, Any] = {}
        exec(f"from {package.__name__} import {name}", namespace)
        assert namespace[name] is getattr(package, name)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_each_name_has_a_home_and_each_home_a_name(package: Any) -> None:
    modules = {name for name, home in package._HOMES.items() if name == home}
    assert set(package._HOMES) - modules == set(package.__all__) - {"__version__"}


def test_a_star_import_brings_every_name() -> None:
    namespace: dict[str, Any] = {}
    exec("from resilient_redis import *", namespace)
    assert set(resilient_redis.__all__) <= set(namespace)


def test_a_name_that_is_not_there_is_an_attribute_error_as_ever() -> None:
    with pytest.raises(AttributeError, match="module 'resilient_redis' has no attribute 'Retyr'"):
        _ = resilient_redis.Retyr  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        exec("from resilient_redis import Retyr")


def test_threads_that_ask_at_once_get_the_same() -> None:
    code = (
        "import threading, resilient_redis\nseen, gate = [], threading.Barrier(8)\n"
        "def ask():\n    gate.wait()\n    seen.append(resilient_redis.ResilientRedis)\n"
        "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert len(seen) == 8 and len(set(seen)) == 1"
    )
    loaded_by(code)
