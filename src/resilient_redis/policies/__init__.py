"""One file a policy: its value, its defaults and the reasons for them, and its layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilient_redis.lazily import names_from

if TYPE_CHECKING:
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

_HOMES = {
    "Again": "base",
    "Become": "base",
    "Bulkhead": "bulkhead",
    "CircuitBreaker": "breaker",
    "CircuitBreakerLayer": "breaker_layer",
    "Decision": "base",
    "Fallback": "fallback",
    "Layer": "base",
    "Policy": "base",
    "Reject": "base",
    "Replace": "base",
    "Retry": "retry",
    "Runtime": "base",
    "Supply": "base",
    "Ticket": "base",
    "Timeout": "timeout",
    "Wait": "base",
    "register_policy": "registry",
}

if not TYPE_CHECKING:  # or a misspelt name would pass
    __getattr__, __dir__ = names_from(__name__, _HOMES)
