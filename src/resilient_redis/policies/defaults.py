"""The stack of a client that names no policies."""

from __future__ import annotations

from resilient_redis.policies.base import Policy
from resilient_redis.policies.breaker import CircuitBreaker
from resilient_redis.policies.retry import Retry
from resilient_redis.policies.timeout import Timeout

DEFAULT_TIMEOUT = 5.0
"""Seconds per attempt where redis-py has no socket_timeout; redis-py 8's own default."""


def default_stack(socket_timeout: float | None, retry: Retry | None = None) -> tuple[Policy, ...]:
    """Retry, circuit breaker and timeout, with fresh objects.

    Numbers: three tries bridge a restart of a proxy or a dropped connection; the circuit's short first pause notices a
    quick recovery, its growth spares a server that stays down.

    Args:
        socket_timeout: redis-py's, in seconds; ``None`` for `DEFAULT_TIMEOUT`.
        retry: instead of the usual one.

    >>> [policy.type_name for policy in default_stack(None)]
    ['retry', 'circuit_breaker', 'timeout']
    """
    timeout = socket_timeout or DEFAULT_TIMEOUT
    total = max(5.0, 2.0 * timeout)  # or an attempt that times out could never be repeated
    retry = retry or Retry(attempts=3, wait_initial=0.025, wait_max=0.5, total_time=total)
    return retry, CircuitBreaker(fail_max=5, reset_timeout=1.0, reset_timeout_max=60.0), Timeout(timeout)
