"""Resilience middleware for Redis, built by composing policies."""

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
    "register_policy",
    "resilient",
]
