"""Every name that redis-py's pools have, per version of redis-py, and what ours do with it.

A redis-py with a name that is not in these tables fails here: somebody has to decide what it means for our pools.
"""

from __future__ import annotations

import inspect
from abc import ABC
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import redis.asyncio

from resilient_redis import ResilientConnectionPool
from resilient_redis.asyncio import ResilientConnectionPool as AsyncResilientConnectionPool
from resilient_redis.pool.adoption import make_resilient

INSTALLED = tuple(int(part) for part in redis.__version__.split(".")[:2])
PYTHON = {*dir(object), *dir(type("Empty", (ABC,), {})), "__firstlineno__", "__static_attributes__"}


@dataclass(frozen=True)
class Row:
    """What we do with a name.

    Attributes:
        does: "inherited": redis-py's, untouched. "ours": overridden, same arguments. "view": to be read; what redis-py
            writes there is ignored. "kept": an attribute with redis-py's meaning. "absent": our pools have no use for
            it, and have it not.
        since: the first redis-py, from 6.4, that has it.
        why: for what is not as in redis-py.
    """

    does: str
    since: tuple[int, int] = (6, 4)
    why: str = ""


BLOCKING = "of BlockingConnectionPool: every pool of ours waits, see acquire_timeout"
LEDGER = "a copy of what the ledger knows"

BOTH = {
    "SENSITIVE_REPR_KEYS": Row("inherited", (7, 4), "not needed: our repr has numbers and the address only"),
    "OMIT_REPR_KEYS": Row("inherited", (8, 1), "not needed: our repr has numbers and the address only"),
    "_available_connections": Row("view", why=LEDGER),
    "_in_use_connections": Row("view", why=LEDGER),
    "_event_dispatcher": Row("kept"),
    "_lock": Row("kept", why="renewed in a forked child; asyncio: also for a new loop"),
    "_mock": Row("inherited"),
    "__del__": Row("ours", (7, 4), "takes the connections out of the metrics"),
    "connection_class": Row("kept", why="made an observing one"),
    "disconnect": Row("ours", why="a lent connection is cut off, and closed for good when it comes back"),
    "from_url": Row("inherited"),
    "get_connection": Row("ours", why="the old arguments are taken without a warning"),
    "get_encoder": Row("inherited"),
    "make_connection": Row("ours", why="counts nothing: the ledger does"),
    "max_connections": Row("ours", why="setting it is resize()"),
    "re_auth_callback": Row("ours", why="connections being opened get the new credentials too"),
    "release": Row("ours", why="giving back what is not lent is a PoolReturnError"),
    "reset": Row("ours", why="what is lent is closed when it comes back"),
    "set_retry": Row("ours", why="asyncio: also for connections to come"),
    "himport_registry": Row("kept", (8, 1)),
    "timeout": Row("absent", why=BLOCKING),
    "_in_maintenance": Row("absent", (7, 0), BLOCKING),
    "set_in_maintenance": Row("absent", (7, 0), BLOCKING),
}

SYNC = {
    **BOTH,
    "connection_kwargs": Row("kept", why="looked at for each dial"),
    "_cache_factory": Row("kept"),
    "_checkpid": Row("ours", why="does nothing: a hook of os.fork has done it"),
    "_connections": Row("absent", why=BLOCKING),
    "_created_connections": Row("view", why=LEDGER),
    "_fork_lock": Row("kept", why="renewed in a forked child, and not used"),
    "cache": Row("kept"),
    "close": Row("ours", why="for good; redis-py's pool may be used again"),
    "get_protocol": Row("inherited"),
    "owns_connection": Row("ours"),
    "pid": Row("kept"),
    "pool": Row("absent", why=BLOCKING),
    "queue_class": Row("absent", why=BLOCKING),
    "_connection_kwargs": Row("kept", (7, 0)),
    "_get_free_connections": Row("ours", (7, 0)),
    "_get_in_use_connections": Row("ours", (7, 0)),
    "_get_pool_lock": Row("inherited", (7, 0)),
    "_locked": Row("absent", (7, 0), BLOCKING),
    "_maint_notifications_pool_handler": Row("kept", (7, 0)),
    "_should_update_connection": Row("inherited", (7, 0)),
    "_update_connection_kwargs_for_maint_notifications": Row("inherited", (7, 0)),
    "_update_maint_notifications_configs_for_connections": Row("ours", (7, 0), "idle connections leave the pool"),
    "disconnect_free_connections": Row("ours", (7, 0), "idle connections leave the pool"),
    "maint_notifications_enabled": Row("inherited", (7, 0)),
    "update_active_connections_for_reconnect": Row("inherited", (7, 0)),
    "update_connection_kwargs": Row("inherited", (7, 0)),
    "update_connection_settings": Row("inherited", (7, 0)),
    "update_connections_settings": Row("inherited", (7, 0)),
    "update_maint_notifications_config": Row("inherited", (7, 0)),
    "_oss_cluster_maint_notifications_handler": Row("kept", (7, 2)),
    "_pool_id": Row("kept", (7, 2)),
    "get_connection_count": Row("ours", (7, 2), "also before redis-py 7.2"),
    "__enter__": Row("ours", (8, 1), "also before redis-py 8.1"),
    "__exit__": Row("ours", (8, 1), "also before redis-py 8.1"),
}

ASYNC = {
    **BOTH,
    "connection_kwargs": Row("kept", why="looked at for each dial"),
    "_condition": Row("absent", why=BLOCKING),
    "aclose": Row("ours", why="for good; redis-py's pool may be used again"),
    "can_get_connection": Row("ours"),
    "encoder_class": Row("kept"),
    "ensure_connection": Row("ours", why="only connects: a connection is checked before it is lent"),
    "get_available_connection": Row("ours", why="an idle one or PoolTimeoutError: none is lent that is not open"),
    "update_active_connections_for_reconnect": Row("inherited", (7, 0)),
    "get_connection_count": Row("ours", (7, 3), "also before redis-py 7.3"),
    "get_protocol": Row("inherited", (8, 0)),
    "_in_maintenance": Row("absent", (8, 1), BLOCKING),
    "set_in_maintenance": Row("absent", (8, 1), BLOCKING),
    "_connection_kwargs": Row("kept", (8, 1)),
    "_disconnect_connections": Row("ours", (8, 1), "idle connections leave the pool"),
    "_get_free_connections": Row("ours", (8, 1)),
    "_get_in_use_connections": Row("ours", (8, 1)),
    "_get_pool_lock": Row("inherited", (8, 1)),
    "_maint_notifications_pool_handler": Row("kept", (8, 1)),
    "_maintenance_notifications_connection_class_supported": Row("inherited", (8, 1)),
    "_maintenance_notifications_supported": Row("inherited", (8, 1)),
    "_maybe_pool_lock": Row("absent", (8, 1), BLOCKING),
    "_on_close": Row("inherited", (8, 1)),
    "_oss_cluster_maint_notifications_handler": Row("kept", (8, 1)),
    "_run_proactive_reconnect_without_locking": Row("inherited", (8, 1)),
    "_set_in_maintenance": Row("inherited", (8, 1)),
    "_should_update_connection": Row("inherited", (8, 1)),
    "_update_connection_kwargs_for_maint_notifications": Row("inherited", (8, 1)),
    "_update_connections_settings_without_locking": Row("inherited", (8, 1)),
    "_update_maint_notifications_configs_for_connections": Row("ours", (8, 1), "idle connections leave the pool"),
    "apply_moving_notification": Row("inherited", (8, 1)),
    "cleanup_moving_notification": Row("inherited", (8, 1)),
    "maint_notifications_enabled": Row("inherited", (8, 1)),
    "run_proactive_reconnect": Row("inherited", (8, 1)),
    "update_connection_kwargs": Row("inherited", (8, 1)),
    "update_connection_settings": Row("inherited", (8, 1)),
    "update_connections_settings": Row("inherited", (8, 1)),
    "update_maint_notifications_config": Row("inherited", (8, 1)),
    "__aenter__": Row("ours", (8, 1), "also before redis-py 8.1"),
    "__aexit__": Row("ours", (8, 1), "also before redis-py 8.1"),
}

SIDES = {
    "sync": (redis, ResilientConnectionPool, SYNC),
    "asyncio": (redis.asyncio, AsyncResilientConnectionPool, ASYNC),
}
ROWS = [(side, name) for side, (_, _, table) in SIDES.items() for name in table]


def names_of(module: Any) -> set[str]:
    """What the pools of redis-py have: methods, properties, and attributes of new ones."""
    found: set[str] = set()
    for pool in (module.ConnectionPool, module.BlockingConnectionPool):
        found |= {*dir(pool), *vars(pool())}
    return found - PYTHON


def defining_class(cls: type[Any], name: str) -> type[Any] | None:
    return next((base for base in cls.__mro__ if name in vars(base)), None)


def is_ours(cls: type[Any] | None) -> bool:
    return cls is not None and cls.__module__.startswith("resilient_redis.")


@pytest.mark.parametrize("side", SIDES)
def test_the_table_knows_every_name_of_redis_pys_pools(side: str) -> None:
    module, _, table = SIDES[side]
    unknown = names_of(module) - set(table)
    assert not unknown, f"redis-py {redis.__version__} has {sorted(unknown)}: say in this table what our pools do"


@pytest.mark.parametrize(("side", "name"), ROWS)
def test_a_name_is_there_from_the_version_that_the_table_says(side: str, name: str) -> None:
    module, _, table = SIDES[side]
    has = name in names_of(module)
    assert has == (table[name].since <= INSTALLED), (
        f"redis-py {redis.__version__}: {name} is {(has and 'there') or 'not'}"
    )


@pytest.mark.parametrize(("side", "name"), ROWS)
def test_our_pools_do_with_a_name_what_the_table_says(side: str, name: str) -> None:
    _, ours, table = SIDES[side]
    row, pool = table[name], ours()
    if row.since > INSTALLED and row.does in ("inherited", "kept"):
        return
    by = defining_class(ours, name)
    if row.does == "inherited":
        assert by is not None
        assert not is_ours(by)
        assert by.__module__.startswith("redis.")
    elif row.does == "ours":
        assert is_ours(by)
    elif row.does == "view":
        assert is_ours(by)
        before = getattr(pool, name)
        setattr(pool, name, object())
        assert getattr(pool, name) == before
    elif row.does == "kept":
        assert name in vars(pool) or not is_ours(by)
        assert hasattr(pool, name)
    else:
        assert row.does == "absent"
        assert not hasattr(pool, name)


@pytest.mark.parametrize(("side", "name"), ROWS)
def test_what_differs_has_a_reason(side: str, name: str) -> None:
    row = SIDES[side][2][name]
    assert row.why or row.does in ("inherited", "kept", "ours")


def _functions(side: str) -> list[str]:
    module, _, table = SIDES[side]
    return [
        name
        for name, row in table.items()
        if row.does == "ours" and callable(getattr(module.ConnectionPool, name, None)) and name != "__del__"
    ]


@pytest.mark.parametrize(("side", "name"), [(side, name) for side in SIDES for name in _functions(side)])
def test_what_is_ours_takes_redis_pys_arguments(side: str, name: str) -> None:
    module, ours, _ = SIDES[side]
    theirs = inspect.signature(getattr(module.ConnectionPool, name)).parameters
    mine = inspect.signature(getattr(ours, name)).parameters
    kinds = {parameter.kind for parameter in mine.values()}
    for parameter in theirs.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL or name in ("__exit__", "__aexit__"):
            assert inspect.Parameter.VAR_POSITIONAL in kinds
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            assert inspect.Parameter.VAR_KEYWORD in kinds
        elif inspect.Parameter.VAR_KEYWORD not in kinds:
            assert parameter.name in mine, parameter.name
            assert mine[parameter.name].default == parameter.default
    required = [p for p in mine.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    assert {p.name for p in required} <= set(theirs)


@pytest.mark.parametrize("side", SIDES)
def test_they_are_pools_of_redis_py(side: str) -> None:
    module, ours, _ = SIDES[side]
    assert issubclass(ours, module.ConnectionPool)
    assert isinstance(ours.from_url("redis://localhost:1/2"), module.ConnectionPool)


@pytest.mark.parametrize("side", SIDES)
def test_a_fresh_pool_of_redis_pys_can_become_ours(side: str) -> None:
    """By a change of its class; Python allows that for the same layout only, which depends on redis-py's bases."""
    module, ours, _ = SIDES[side]
    pool = module.ConnectionPool()
    make_resilient(pool, {"max_connections": 3})
    assert type(pool) is ours
    assert pool.stats().max == 3


def test_the_interface_of_sync_pools_is_complete() -> None:
    assert not getattr(ResilientConnectionPool, "__abstractmethods__", ())
    assert not getattr(AsyncResilientConnectionPool, "__abstractmethods__", ())
