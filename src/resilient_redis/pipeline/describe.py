"""The stack in words, with every effective number."""

from __future__ import annotations

from collections.abc import Iterable

from resilient_redis.pipeline.plan import Plan
from resilient_redis.policies.base import Layer
from resilient_redis.policies.breaker_layer import CircuitBreakerLayer


def describe_plan(plan: Plan, below: Iterable[str]) -> str:
    """One numbered line a policy, outermost first, then one line for each thing in ``below``."""
    lines = [f"{number}. {_line(layer)}" for number, layer in enumerate(plan.layers, start=1)]
    if not lines:
        lines = ["(no policies: one attempt, nothing repeated, nothing masked)"]
    return "\n".join([*lines, *(f"-> {line}" for line in (*plan.notes, *below))])


def _line(layer: Layer) -> str:
    policy = layer.policy
    name = getattr(policy, "name", None)
    title = type(policy).__name__ + (f" {name!r}" if name else "")
    state = f" [{layer.state}]" if isinstance(layer, CircuitBreakerLayer) else ""
    return f"{title}: {policy.describe()}{state}"


def breakers_of(plan: Plan) -> dict[str, CircuitBreakerLayer]:
    """The circuits of ``plan`` by label."""
    return {layer.policy.label: layer for layer in plan.layers if isinstance(layer, CircuitBreakerLayer)}
