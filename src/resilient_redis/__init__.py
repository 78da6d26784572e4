"""Resilience middleware for Redis, built by composing policies."""

from resilient_redis.client import ResilientRedis
from resilient_redis.errors import (
    BulkheadFullError,
    CallTimeoutError,
    CircuitOpenError,
    ConfigError,
    PipelineOrderWarning,
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

__version__ = "0.1.0"

__all__ = [
    "Bulkhead",
    "BulkheadFullError",
    "CallTimeoutError",
    "CircuitBreaker",
    "CircuitOpenError",
    "ConfigError",
    "Fallback",
    "Layer",
    "PipelineOrderWarning",
    "Policy",
    "RejectedError",
    "ResilienceError",
    "ResiliencePipeline",
    "ResilientRedis",
    "Retry",
    "Timeout",
    "fallback",
    "register_policy",
    "resilient",
]
