"""Sync and asyncio are twins: the same names, parameters, defaults and descriptions."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import client, client_pipeline, client_pubsub
from resilient_redis.asyncio import client as aclient
from resilient_redis.asyncio import pipeline as apipeline
from resilient_redis.asyncio import pubsub as apubsub
from resilient_redis.connections import aio_observed, observed
from resilient_redis.transport import aio_surfaces, surfaces

CLASSES = [
    (client.ResilientRedis, aclient.ResilientRedis),
    (client_pipeline.ResilientPipeline, apipeline.ResilientPipeline),
    (client_pubsub.ResilientPubSub, apubsub.ResilientPubSub),
    (surfaces.CommandSurface, aio_surfaces.CommandSurface),
    (surfaces.PipelineSurface, aio_surfaces.PipelineSurface),
    (surfaces.StepSurface, aio_surfaces.StepSurface),
    (surfaces.PubSubSurface, aio_surfaces.PubSubSurface),
]


def own_functions(cls: type[Any]) -> dict[str, Any]:
    found = {}
    for name, value in vars(cls).items():
        function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if inspect.isfunction(function):
            found[name] = function
    return found


# Where redis-py's two faces differ: what ends a PubSub, and the asyncio one's `connect`; and only a task is cancelled.
ONE_SIDED = {
    "ResilientPubSub": {"reset", "aclose", "connect"},
    "ResilientRedis": {"close", "aclose", "initialize", "__aexit__"},
}


# redis.asyncio's own names two more arguments by position (see `tests/drop_in/test_from_url.py`).
OF_REDIS_PY = {"from_url"}


def shape(function: Any) -> list[tuple[str, str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(each.name, str(each.kind), each.default) for each in parameters]


@pytest.mark.parametrize(("sync", "twin"), CLASSES, ids=lambda cls: cls.__name__)
def test_twins_define_the_same_methods(sync: type[Any], twin: type[Any]) -> None:
    extra = ONE_SIDED.get(sync.__name__, set())
    assert set(own_functions(sync)) - extra == set(own_functions(twin)) - extra


@pytest.mark.parametrize(("sync", "twin"), CLASSES, ids=lambda cls: cls.__name__)
def test_twins_take_the_same_arguments_with_the_same_defaults(sync: type[Any], twin: type[Any]) -> None:
    ours, theirs = own_functions(sync), own_functions(twin)
    for name in (ours.keys() & theirs.keys()) - OF_REDIS_PY:
        assert shape(ours[name]) == shape(theirs[name]), name


@pytest.mark.parametrize(("sync", "twin"), [(observed, aio_observed), (surfaces, aio_surfaces)])
def test_twin_modules_define_the_same_names(sync: ModuleType, twin: ModuleType) -> None:
    def public(module: ModuleType) -> set[str]:
        return {
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
        }

    # A sync connection bounds each read by itself; an asyncio one is bounded by a timer around the exchange.
    only_one_side = {"DeadlineSocket"}
    assert public(sync) - only_one_side == public(twin) - only_one_side


def test_the_asyncio_package_has_the_clients_names() -> None:
    assert set(resilient_redis.asyncio.__all__) == {
        "close_on_signals",
        "ResilientConnectionPool",
        "ResilientPipeline",
        "ResilientPubSub",
        "ResilientRedis",
        "ResilientSentinelConnectionPool",
    }
    assert resilient_redis.asyncio.ResilientRedis.__name__ == resilient_redis.ResilientRedis.__name__
