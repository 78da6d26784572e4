"""One file a policy: its value, its defaults and the reasons for them, and its layer."""

from resilient_redis.policies.base import (
    Again,
    Become,
    Decision,
    Layer,
    Policy,
    Reject,
    Replace,
    Runtime,
    Supply,
    Ticket,
    Wait,
)
from resilient_redis.policies.breaker import CircuitBreaker
from resilient_redis.policies.breaker_layer import CircuitBreakerLayer
from resilient_redis.policies.bulkhead import Bulkhead
from resilient_redis.policies.fallback import Fallback
from resilient_redis.policies.registry import register_policy
from resilient_redis.policies.retry import Retry
from resilient_redis.policies.timeout import Timeout

__all__ = [
    "Again",
    "Become",
    "Bulkhead",
    "CircuitBreaker",
    "CircuitBreakerLayer",
    "Decision",
    "Fallback",
    "Layer",
    "Policy",
    "Reject",
    "Replace",
    "Retry",
    "Runtime",
    "Supply",
    "Ticket",
    "Timeout",
    "Wait",
    "register_policy",
]
