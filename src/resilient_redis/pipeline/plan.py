"""A plan: a list of policies bound and compiled once, shared by all calls.

The quiet path: while every layer is calm (breakers closed with no failure counted, no permits to take), a call that
succeeds would change nothing anywhere. So it runs with no hook at all: one look at each breaker before and after, one
look at the clock. Only when it fails is the full machinery built, with the first attempt already in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from resilient_redis.calls import NO_DEADLINE, Call, LeftBehind, Outcome
from resilient_redis.pipeline.flight import Flight
from resilient_redis.pipeline.scope import Scope, apply_scope
from resilient_redis.pipeline.shut import shut_of
from resilient_redis.policies.base import ALWAYS_CALM, Decision, Layer, Policy, Runtime
from resilient_redis.policies.fallback import Fallback
from resilient_redis.policies.retry import Retry


class Surface(Protocol):
    """Something a plan can guard: Redis commands, pipelines, or plain functions."""

    def call(self, args: Any, options: dict[str, Any]) -> Call:
        """Describe the call. Only made when a layer has to know."""
        ...

    def run(self, args: Any, options: dict[str, Any], deadline: float, behind: list[LeftBehind] | None = None) -> Any:
        """Do it once, ending by ``deadline`` (a clock reading; ``inf`` for none). A coroutine in asyncio.

        Before it sends, it cuts off the connections in ``behind``, and takes them out.
        """
        ...


class Quiet(msgspec.Struct, frozen=True, eq=False):
    """A moment in which all layers were calm.

    Attributes:
        watched: the layers that can stop being calm, with the token that says they have not.
        tokens: for all layers, what ``enter`` would have answered.
        timeout: seconds to the nearest deadline; ``inf`` for none.
        hears: told of each success, with the clock's reading at its start; False if a layer has to see more of it.
            ``None``: nobody needs to know.
        layer: the first of ``watched``, with its ``token``: nearly every plan has just one, and a loop over one costs
            twice as much as a look at it.
        several: there are more, so `holds` has to be asked.
    """

    watched: tuple[tuple[Layer, object], ...]
    tokens: tuple[object, ...]
    timeout: float
    hears: Callable[[float], bool] | None
    layer: Layer
    token: object
    several: bool

    def holds(self) -> bool:
        """Are all of them still calm? Asked twice in each call, if there are several."""
        return all(layer.calm is token for layer, token in self.watched)


class _Nobody(Layer):
    """Stands for the watched layer where there is none."""

    calm = ALWAYS_CALM

    def __init__(self) -> None:
        pass


_NOBODY: tuple[Layer, object] = (_Nobody(), ALWAYS_CALM)


class Hooks(NamedTuple):
    """The hooks of one layer that are overridden; the others are None and cost nothing."""

    enter: Callable[[Call], Any] | None
    exit: Callable[[Any, Outcome], Decision] | None
    watches_success: bool


class Plan:
    """Bound policies, outermost first. Immutable but for the cached quiet moment; safe for threads and tasks."""

    notes: tuple[str, ...] = ()
    """What ``describe()`` says of it besides its layers."""

    def __init__(self, policies: Sequence[Policy], layers: Sequence[Layer], runtime: Runtime) -> None:
        self.policies = tuple(policies)
        self.layers = tuple(layers)
        self.runtime = runtime
        self.now = runtime.clock.monotonic
        self.retries = any(isinstance(policy, Retry) and policy._attempts > 1 for policy in policies)
        self.fallback = any(isinstance(policy, Fallback) for policy in policies)
        self.hooks = tuple(_hooks(layer) for layer in layers)
        self.shut = shut_of(self.layers, runtime)
        self.no_tokens: list[Any] = [None] * len(self.layers)
        self.no_levels: list[float] = [NO_DEADLINE] * len(self.layers)
        self._restless: Layer | None = None
        self._hears = _hearing(self.layers, self.now)
        self.quiet: Quiet | None = self._look()

    def _may_be_calm(self) -> bool:
        """A quick look, since most calls come here because one certain layer is not calm."""
        restless = self._restless
        if restless is not None and restless.calm is None:
            return False
        for layer, _ in () if self.quiet is None else self.quiet.watched:
            if layer.calm is None:
                self._restless = layer
                return False
        return True

    def _look(self) -> Quiet | None:
        tokens: list[object] = []
        watched: list[tuple[Layer, object]] = []
        timeout = NO_DEADLINE
        for layer in self.layers:
            calm = layer.calm
            if calm is None:
                self._restless = layer
                return None
            if calm is ALWAYS_CALM:
                tokens.append(None)
            else:
                tokens.append(calm)
                watched.append((layer, calm))
            if layer.timeout is not None:
                timeout = min(timeout, layer.timeout)
        layer, token = watched[0] if watched else _NOBODY
        return Quiet(tuple(watched), tuple(tokens), timeout, self._hears, layer, token, len(watched) > 1)

    def start(
        self, surface: Surface, args: Any, options: dict[str, Any], allowance: float, scope: Scope | None
    ) -> Flight:
        """A call at the top of the pipeline, on the full path.

        Looks whether all layers have become calm, for the next call. A stale answer is harmless: each call compares
        the tokens.
        """
        if scope is None and self._may_be_calm():
            self.quiet = self._look()
        call = surface.call(args, options)
        call.started = self.now()
        call.allowance = allowance
        if scope is not None:
            apply_scope(scope, self, call)
            seconds = call.overrides.get("deadline")
            if seconds is not None:
                call.deadline = min(call.deadline, call.started + seconds)
        return Flight(self, call)

    def resume(self, surface: Surface, args: Any, options: dict[str, Any], quiet: Quiet, started: float) -> Flight:
        """A call that the quiet path began: it failed, or a layer stopped being calm while it was under way."""
        call = surface.call(args, options)
        call.started = started
        flight = Flight(self, call)
        flight.enter_calm(quiet.tokens, started)
        return flight


def _hooks(layer: Layer) -> Hooks:
    cls = type(layer)
    return Hooks(
        None if cls.enter is Layer.enter else layer.enter,
        None if cls.exit is Layer.exit else layer.exit,
        layer.watches_success,
    )


def _hearing(layers: Sequence[Layer], now: Callable[[], float]) -> Callable[[float], bool] | None:
    """Tells the layers that count successes of those on the quiet path."""
    notes = tuple(layer.note for layer in layers if layer.note is not None)
    slow = min((layer.slow for layer in layers), default=NO_DEADLINE)
    if not notes and slow == NO_DEADLINE:
        return None
    if len(notes) == 1:
        return _hearing_one(notes[0], slow, now)

    def hears(started: float) -> bool:
        ended = now()
        if ended - started > slow:
            return False
        for note in notes:
            note(ended)
        return True

    return hears


def _hearing_one(note: Callable[[float], object], slow: float, now: Callable[[], float]) -> Callable[[float], bool]:
    """The same for the one layer that nearly every plan has, without a loop."""

    def hears(started: float) -> bool:
        ended = now()
        if ended - started > slow:
            return False
        note(ended)
        return True

    return hears
