"""What a guarded function passes on to the pipelines and clients used inside it.

A context variable, so it follows the thread or the task. When its call ends a scope is closed rather than taken back:
a task that the function started and left running must not inherit a deadline that is long over, and setting the
variable once instead of twice is a third of what a guarded call costs.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import msgspec

from resilient_redis.calls import NO_DEADLINE, NO_OVERRIDES, Call


class Scope(msgspec.Struct, eq=False):
    """One guarded call that is under way, or one ``with overrides(...)`` block.

    Attributes:
        deadline: clock reading by which everything inside must have ended.
        plan: the plan that guards it. If that repeats, a `Retry` inside stands aside; if it has a fallback, one
            inside stands aside for the one nearer to the user. ``None`` for an overrides block.
        outer: the scope around it.
        overrides: what an ``overrides(...)`` block says, by plan.
        closed: the call has ended; the scope no longer holds.
    """

    deadline: float
    plan: Any
    outer: Scope | None
    overrides: dict[int, dict[str, Any]] | None = None
    closed: bool = False

    def close(self) -> None:
        """The call has ended. The plan is let go too: the variable may keep the scope for long."""
        self.closed = True
        self.plan = None


active_scope: ContextVar[Scope | None] = ContextVar("resilient_redis_scope", default=None)

get_scope, set_scope = active_scope.get, active_scope.set
"""Bound once. CPython binds a method anew at each call where its object is one that the module imports, and that would
be a sixth of what a guarded call costs."""


def open_scope() -> Scope | None:
    """The innermost scope that still holds."""
    scope = get_scope()
    while scope is not None and scope.closed:
        scope = scope.outer
    return scope


def apply_scope(scope: Scope | None, plan: Any, call: Call) -> None:
    """Let the scopes around ``call`` act on it, the outermost included."""
    call.overrides = overrides_for(plan, scope)
    while scope is not None:
        if not scope.closed:
            guard, deadline = scope.plan, scope.deadline
            if guard is not None and guard.runtime.clock is not plan.runtime.clock:
                deadline += plan.now() - guard.now()  # a fake clock around a real one, in tests
            call.deadline = min(call.deadline, deadline)
            if guard is not None:
                call.fallback_outside = call.fallback_outside or guard.fallback
                if guard.retries and overrides_for(guard, scope.outer).get("attempts") != 1:
                    call.retries_outside = True
        scope = scope.outer


def overrides_for(plan: object, scope: Scope | None) -> Any:
    """What the open ``overrides`` blocks say for ``plan``; the inner one wins where two name the same."""
    found = NO_OVERRIDES
    while scope is not None:
        if not scope.closed and scope.overrides is not None and id(plan) in scope.overrides:
            found = {**scope.overrides[id(plan)], **found}
        scope = scope.outer
    return found


def override_scope(plan: object, overrides: dict[str, Any], outer: Scope | None) -> Scope:
    """A scope that only carries overrides for ``plan``."""
    scope = Scope(NO_DEADLINE, None, outer)
    scope.overrides = {id(plan): overrides}
    return scope
