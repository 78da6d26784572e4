"""A pytest plugin for redis-py's own tests: they import ours where they ask for redis-py's clients and pools.

Loaded with ``-p swap``. Only what the modules of the package ``tests`` import is swapped, whatever way they spell it:
redis-py itself, and ours over it, go on seeing the real classes. Each outcome is written to a file.

The environment says what to do:

- ``REDIS_PY_SUITE_MODE``: ``stock`` swaps nothing; ``default`` takes our clients and pools; ``bare`` the same with
  ``policies=[]``; ``adopted`` our clients over redis-py's pools.
- ``REDIS_PY_SUITE_RESULTS``: the file for the outcomes, JSON.
"""

from __future__ import annotations

import builtins
import json
import os
import types
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.connection
import redis.connection

import resilient_redis
import resilient_redis.asyncio as ours_aio
from resilient_redis.connections import aio_observed, observed

MODE = os.environ["REDIS_PY_SUITE_MODE"]
RESULTS = Path(os.environ["REDIS_PY_SUITE_RESULTS"])

_WORST = {"passed": 0, "skipped": 1, "failed": 2}
outcomes: dict[str, dict[str, str]] = {}


def _bare(kwargs: dict[str, Any]) -> dict[str, Any]:
    """``policies=[]``, where the test does not say by ``retry=`` how often to try."""
    pool = kwargs.get("connection_pool")
    said = kwargs if pool is None else getattr(pool, "connection_kwargs", {})
    if kwargs.get("policies") is None and said.get("retry") is None:
        kwargs["policies"] = []
    return kwargs


class BareRedis(resilient_redis.ResilientRedis):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **_bare(kwargs))


class AsyncBareRedis(ours_aio.ResilientRedis):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **_bare(kwargs))


def _swaps() -> list[tuple[Any, Any]]:
    """redis-py's object, and what stands for it."""
    sync: Any = BareRedis if MODE == "bare" else resilient_redis.ResilientRedis
    aio: Any = AsyncBareRedis if MODE == "bare" else ours_aio.ResilientRedis
    clients = [
        (redis.Redis, sync),
        (redis.from_url, sync.from_url),
        (redis.asyncio.Redis, aio),
        (redis.asyncio.from_url, aio.from_url),
    ]
    pools = [
        (redis.ConnectionPool, resilient_redis.ResilientConnectionPool),
        (redis.asyncio.ConnectionPool, ours_aio.ResilientConnectionPool),
    ]
    return {"stock": [], "adopted": clients}.get(MODE, clients + pools)


def _connection_swaps() -> list[tuple[Any, Any]]:
    """The tests of the pool ask of which class its connections are; ours are of a class below that one."""
    sides = [(redis.connection, observed.observed), (redis.asyncio.connection, aio_observed.observed)]
    names = ("Connection", "SSLConnection", "UnixDomainSocketConnection")
    pairs = [(getattr(module, name), ours(getattr(module, name))) for module, ours in sides for name in names]
    return pairs if MODE in {"default", "bare"} else []


_usual = _swaps()  # both are kept: what stands for what goes by identity
_for_pools = _usual + _connection_swaps()
_real = {id(ours): real for real, ours in _for_pools}


class Swapped(types.ModuleType):
    """A module of redis-py as the tests see it; what they set on it is set on the real one."""

    def __init__(self, module: types.ModuleType, pairs: list[tuple[Any, Any]]) -> None:
        super().__init__(module.__name__, module.__doc__)
        stand_ins = {id(real): ours for real, ours in pairs}
        vars(self).update(_module=module, _pairs=pairs, _stand_ins=stand_ins, _before={})

    def __getattr__(self, name: str) -> Any:
        value = getattr(vars(self)["_module"], name)
        if isinstance(value, types.ModuleType):
            return _seen(value, vars(self)["_pairs"])
        return vars(self)["_stand_ins"].get(id(value), value)

    def __setattr__(self, name: str, value: Any) -> None:
        module, before = vars(self)["_module"], vars(self)["_before"]
        if hasattr(module, name):
            before.setdefault(name, getattr(module, name))
        # Undoing a patch sets what was read before: the real one must come back there.
        setattr(module, name, _real.get(id(value), value))

    def __delattr__(self, name: str) -> None:
        """Patches are also undone in this way: they find nothing in the dictionary of a stand-in."""
        module, before = vars(self)["_module"], vars(self)["_before"]
        if name in before:
            setattr(module, name, before.pop(name))
        else:
            delattr(module, name)

    def __dir__(self) -> list[str]:
        return dir(vars(self)["_module"])


_modules: dict[tuple[str, int], Swapped] = {}


def _seen(module: types.ModuleType, pairs: list[tuple[Any, Any]]) -> types.ModuleType:
    if module.__name__.split(".")[0] != "redis" or isinstance(module, Swapped):
        return module
    return _modules.setdefault((module.__name__, id(pairs)), Swapped(module, pairs))


_import = builtins.__import__


def _import_for_tests(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    module = _import(name, globals, locals, fromlist, level)
    importer = str((globals or {}).get("__name__", "")).split(".")
    if importer[0] != "tests":
        return module
    return _seen(module, _for_pools if importer[-1] == "test_connection_pool" else _usual)


if MODE != "stock":
    builtins.__import__ = _import_for_tests


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    known = outcomes.get(report.nodeid)
    if known is not None and _WORST[known["outcome"]] >= _WORST[report.outcome]:
        return
    why = str(report.longrepr)[-3000:] if report.outcome == "failed" else ""
    outcomes[report.nodeid] = {"outcome": report.outcome, "why": why}


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        outcomes[report.nodeid] = {"outcome": "failed", "why": str(report.longrepr)[-3000:]}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    RESULTS.write_text(json.dumps(outcomes))
