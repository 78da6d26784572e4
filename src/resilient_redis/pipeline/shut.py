"""The quick way while a circuit is open: what would be refused, and answered by a fallback, is answered.

Refusals come by the thousand in an outage, when the service needs its time for something else. Whoever listens to
events, a call inside a guarded function, and all but plain commands and functions go the whole way through the layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resilient_redis.policies.base import Layer, Runtime
from resilient_redis.policies.breaker_layer import CircuitBreakerLayer
from resilient_redis.policies.fallback import UNSET, FallbackLayer
from resilient_redis.policies.retry import RetryLayer
from resilient_redis.policies.timeout import TimeoutLayer

_TRANSPARENT = (RetryLayer, TimeoutLayer)
"""Layers that a refusal by a circuit passes as it is."""


class Shut:
    """A circuit with a fallback outside of it. Safe for threads and tasks.

    Args:
        runtime: of the plan.
        circuit: it refuses while it is open.
        fallback: the innermost one around it.
    """

    __slots__ = ("_circuit", "_events", "_fallback", "_now")

    def __init__(self, runtime: Runtime, circuit: CircuitBreakerLayer, fallback: FallbackLayer) -> None:
        self._now = runtime.clock.monotonic
        self._events = runtime.events
        self._circuit = circuit
        self._fallback = fallback

    def answer(self, surface: Any, args: Any) -> Any:
        """What the caller gets; ``UNSET``: go through the layers."""
        if self._events.heard or not self._circuit.refuses(self._now()):
            return UNSET
        plain = getattr(surface, "plain", None)  # only surfaces of single commands have it
        words = None if plain is None else plain(args)
        return UNSET if words is None else self._fallback.mask(words)

    def answer_function(self) -> Any:
        """What the caller of a guarded function gets; ``UNSET``: go through the layers."""
        if self._events.heard or not self._circuit.refuses(self._now()):
            return UNSET
        return self._fallback.mask_function()


def shut_of(layers: Sequence[Layer], runtime: Runtime) -> Shut | None:
    """The quick way through these layers; ``None`` if there is none."""
    fallback: FallbackLayer | None = None
    for layer in layers:
        kind = type(layer)
        if kind is FallbackLayer:
            fallback = layer  # type: ignore[assignment] # its very class was asked
        elif kind is CircuitBreakerLayer:
            if fallback is None or fallback.policy.function is not None:
                return None
            return Shut(runtime, layer, fallback)  # type: ignore[arg-type] # likewise
        elif kind not in _TRANSPARENT:
            return None
    return None
