"""A plan: a list of policies bound and compiled once, shared by all calls.

The quiet path: while every layer is calm (breakers closed with no failure counted, no permits to take), a call that
succeeds would change nothing anywhere. So it runs with no hook at all: one look at each breaker, one look at the
clock. Only when it fails is the full machinery built, with the first attempt already in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from resilient_redis.calls import NO_DEADLINE, Call
from resilient_redis.pipeline.flight import Flight
from resilient_redis.pipeline.scope import Scope, apply_scope
from resilient_redis.policies.base import ALWAYS_CALM, Layer, Policy, Runtime
from resilient_redis.policies.fallback import Fallback
from resilient_redis.policies.retry import Retry


class Surface(Protocol):
    """Something a plan can guard: Redis commands, pipelines, or plain functions."""

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe the call. Only made when a layer has to know."""
        ...

    def run(self, args: Any, options: dict[str, Any], deadline: float) -> Any:
        """Do it once, ending by ``deadline`` (a clock reading; ``inf`` for none). A coroutine in asyncio."""
        ...


class Quiet(NamedTuple):
    """A moment in which all layers were calm.

    Attributes:
        watched: the layers that can stop being calm, with the token that says they have not.
        tokens: for all layers, what ``enter`` would have answered.
        timeout: seconds to the nearest deadline; ``inf`` for none.
    """

    watched: tuple[tuple[Layer, object], ...]
    tokens: tuple[object, ...]
    timeout: float


class Plan:
    """Bound policies, outermost first. Immutable but for the cached quiet moment; safe for threads and tasks."""

    def __init__(self, policies: Sequence[Policy], layers: Sequence[Layer], runtime: Runtime) -> None:
        self.policies = tuple(policies)
        self.layers = tuple(layers)
        self.runtime = runtime
        self.now = runtime.clock.monotonic
        self.retries = any(isinstance(policy, Retry) and policy._attempts > 1 for policy in policies)
        self.fallback = any(isinstance(policy, Fallback) for policy in policies)
        self.quiet: Quiet | None = self._look()

    def refresh(self) -> None:
        """Look again whether all layers are calm. A stale answer is harmless: each call checks the tokens."""
        self.quiet = self._look()

    def _look(self) -> Quiet | None:
        tokens: list[object] = []
        watched: list[tuple[Layer, object]] = []
        timeout = NO_DEADLINE
        for layer in self.layers:
            calm = layer.calm
            if calm is None:
                return None
            if calm is ALWAYS_CALM:
                tokens.append(None)
            else:
                tokens.append(calm)
                watched.append((layer, calm))
            if layer.timeout is not None:
                timeout = min(timeout, layer.timeout)
        return Quiet(tuple(watched), tuple(tokens), timeout)

    def start(self, surface: Surface, args: Any, options: dict[str, Any], allowance: float, scope: Scope | None) -> Flight:
        """A call at the top of the pipeline."""
        call = surface.call(args, options)
        call.started = self.now()
        call.allowance = allowance
        if scope is not None:
            apply_scope(scope, self, call)
            seconds = call.overrides.get("deadline")
            if seconds is not None:
                call.deadline = min(call.deadline, call.started + seconds)
        return Flight(self.layers, call, self.runtime.events)

    def resume(
        self, surface: Surface, args: Any, options: dict[str, Any], quiet: Quiet, started: float, error: Exception
    ) -> Flight:
        """A call whose first attempt was made by the quiet path, and failed."""
        call = surface.call(args, options)
        call.started = started
        flight = Flight(self.layers, call, self.runtime.events)
        flight.enter_calm(quiet.tokens, started)
        flight.fail(error)
        return flight
