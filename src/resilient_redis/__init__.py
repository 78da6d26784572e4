"""Resilience middleware for Redis, built by composing policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_redis.lazily import names_from

if TYPE_CHECKING:
    from resilient_redis.calls import CommandClass
    from resilient_redis.client import ResilientRedis
    from resilient_redis.errors import (
        BulkheadFullError,
        CallTimeoutError,
        CircuitOpenError,
        ConfigError,
        ConnectionStateLostError,
        DialFailedError,
        FenceRefusedError,
        PipelineOrderWarning,
        PoolClosedError,
        PoolReturnError,
        PoolSaturatedError,
        PoolTimeoutError,
        RejectedError,
        ResilienceError,
    )
    from resilient_redis.listeners import register_listener
    from resilient_redis.pipeline import ResiliencePipeline, fallback, resilient
    from resilient_redis.policies import (
        Bulkhead,
        CircuitBreaker,
        Fallback,
        Layer,
        Policy,
        Retry,
        Timeout,
        register_policy,
    )
    from resilient_redis.pool.health import PoolHealth
    from resilient_redis.pool.options import PoolOptions
    from resilient_redis.pool.priority import priority
    from resilient_redis.pool.sentinel import ResilientSentinelConnectionPool
    from resilient_redis.pool.shutdown import close_on_signals
    from resilient_redis.pool.sizing import PoolSize, pool_size
    from resilient_redis.pool.stats import PoolStats
    from resilient_redis.pool.sync_pool import ResilientConnectionPool
    from resilient_redis.transport.multiplexed.options import Multiplexed

__version__ = "0.1.0"

__all__ = [
    "Bulkhead",
    "BulkheadFullError",
    "CallTimeoutError",
    "CircuitBreaker",
    "CircuitOpenError",
    "CommandClass",
    "ConfigError",
    "ConnectionStateLostError",
    "DialFailedError",
    "Fallback",
    "FenceRefusedError",
    "Layer",
    "Multiplexed",
    "PipelineOrderWarning",
    "Policy",
    "PoolClosedError",
    "PoolHealth",
    "PoolOptions",
    "PoolReturnError",
    "PoolSaturatedError",
    "PoolSize",
    "PoolStats",
    "PoolTimeoutError",
    "RejectedError",
    "ResilienceError",
    "ResiliencePipeline",
    "ResilientConnectionPool",
    "ResilientRedis",
    "ResilientSentinelConnectionPool",
    "Retry",
    "Timeout",
    "close_on_signals",
    "fallback",
    "pool_size",
    "priority",
    "register_listener",
    "register_policy",
    "resilient",
]

_HOMES = {
    "Bulkhead": "policies.bulkhead",
    "BulkheadFullError": "errors",
    "CallTimeoutError": "errors",
    "CircuitBreaker": "policies.breaker",
    "CircuitOpenError": "errors",
    "CommandClass": "calls",
    "ConfigError": "errors",
    "ConnectionStateLostError": "errors",
    "DialFailedError": "errors",
    "Fallback": "policies.fallback",
    "FenceRefusedError": "errors",
    "Layer": "policies.base",
    "Multiplexed": "transport.multiplexed.options",
    "PipelineOrderWarning": "errors",
    "Policy": "policies.base",
    "PoolClosedError": "errors",
    "PoolHealth": "pool.health",
    "PoolOptions": "pool.options",
    "PoolReturnError": "errors",
    "PoolSaturatedError": "errors",
    "PoolSize": "pool.sizing",
    "PoolStats": "pool.stats",
    "PoolTimeoutError": "errors",
    "RejectedError": "errors",
    "ResilienceError": "errors",
    "ResiliencePipeline": "pipeline.pipeline",
    "ResilientConnectionPool": "pool.sync_pool",
    "ResilientRedis": "client",
    "ResilientSentinelConnectionPool": "pool.sentinel",
    "Retry": "policies.retry",
    "Timeout": "policies.timeout",
    "calls": "calls",
    "close_on_signals": "pool.shutdown",
    "errors": "errors",
    "events": "events",
    "fallback": "pipeline.decorators",
    "pipeline": "pipeline",
    "policies": "policies",
    "pool": "pool",
    "pool_size": "pool.sizing",
    "priority": "pool.priority",
    "register_listener": "listeners",
    "register_policy": "policies.registry",
    "resilient": "pipeline.decorators",
}

if not TYPE_CHECKING:  # or a misspelt name would pass
    __getattr__, __dir__ = names_from(__name__, _HOMES)
