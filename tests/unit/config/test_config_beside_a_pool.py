"""A pool that code hands in wins over what file and variables say of the address."""

from __future__ import annotations

from typing import Any

import pytest

import resilient_redis
import resilient_redis.asyncio
from resilient_redis import ConfigError

POLICIES = {"policies": [{"type": "timeout", "seconds": 1}]}


@pytest.fixture(params=[resilient_redis, resilient_redis.asyncio], ids=["sync", "asyncio"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("more", [{}, {"url": "redis://elsewhere:1"}, {"options": {"host": "elsewhere"}}])
@pytest.mark.parametrize("environ", [{}, {"REDIS_URL": "redis://elsewhere:1"}, {"REDIS_HOST": "elsewhere"}])
def test_a_pool_of_code_is_used_whatever_address_is_configured(
    side: Any, more: dict[str, Any], environ: dict[str, str]
) -> None:
    pool = side.ResilientConnectionPool(host="here", port=7)
    client = side.ResilientRedis.from_config({**POLICIES, **more}, environ=environ, connection_pool=pool)
    assert client.connection_pool is pool
    assert pool.connection_kwargs["host"] == "here"
    assert [type(policy).__name__ for policy in client.policies] == ["Timeout"]


def test_no_pool_of_code_is_none(side: Any) -> None:
    client = side.ResilientRedis.from_config({**POLICIES, "url": "redis://there:1"}, environ={}, connection_pool=None)
    assert client.connection_pool.connection_kwargs["host"] == "there"


def test_pool_options_of_a_file_do_not_fit_a_pool_of_code(side: Any) -> None:
    pool = side.ResilientConnectionPool()
    with pytest.raises(ConfigError, match="min_idle: the pool in connection_pool has it already"):
        side.ResilientRedis.from_config({"pool": {"min_idle": 2}}, environ={}, connection_pool=pool)
