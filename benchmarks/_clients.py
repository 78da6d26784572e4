"""Sync Redis clients to compare, all for the same server, each with a pool of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pybreaker
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry as RedisRetry

from benchmarks import _stacks as stacks
from resilient_redis import ResilientConnectionPool, ResilientRedis

KEY, VALUE = "bench", b"x" * 100
FALLBACK = b"fallback"
Get = Callable[[], Any]

BARE = "redis-py, retries off"
DEFAULT = "redis-py as it comes"
OURS = "resilient_redis, full stack"
PYBREAKER = "redis-py + pybreaker.call"
BY_HAND = "redis-py + tenacity + pybreaker by hand"


def pool(port: int, *, retries: bool = False, **options: Any) -> redis.ConnectionPool:
    """The pool that ``redis.Redis`` makes, with redis-py's retries off unless asked for."""
    if not retries:
        options["retry"] = RedisRetry(NoBackoff(), 0)
    connections: redis.ConnectionPool = redis.Redis(port=port, max_connections=100, **options).connection_pool
    return connections


def our_pool(port: int, **options: Any) -> redis.ConnectionPool:
    """The pool that ``ResilientRedis`` makes."""
    connections: redis.ConnectionPool = ResilientConnectionPool(port=port, max_connections=100, **options)
    return connections


def bare(connections: redis.ConnectionPool) -> Get:
    """redis-py."""
    client = redis.Redis(connection_pool=connections)
    return lambda: client.get(KEY)


def with_pybreaker(connections: redis.ConnectionPool) -> Get:
    """redis-py inside ``breaker.call``, as pybreaker's documentation shows it."""
    client, breaker = redis.Redis(connection_pool=connections), pybreaker.CircuitBreaker(fail_max=5, reset_timeout=60)
    return lambda: breaker.call(client.get, KEY)


def by_hand(connections: redis.ConnectionPool, *, reset_timeout: float = 60) -> Get:
    """redis-py inside tenacity and pybreaker, with a fallback."""
    client = redis.Redis(connection_pool=connections)
    get = stacks.by_hand(client.get, reset_timeout=reset_timeout, default=FALLBACK)
    return lambda: get(KEY)


def ours(connections: redis.ConnectionPool, *, reset_timeout: float = 60, timeout: float = 2) -> Get:
    """ResilientRedis with the full stack of the README; the fallback is told apart from a reply.

    The deadline is long where speed is measured: opening 100 connections at once on a busy machine may take 0.25 s.
    """
    policies = stacks.ours(reset_timeout=reset_timeout, fallback=FALLBACK, timeout=timeout)
    client = ResilientRedis(connection_pool=connections, policies=policies)
    return lambda: client.get(KEY)
