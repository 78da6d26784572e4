"""What a guarded function passes on to the pipelines and clients used inside it.

A context variable, so it follows the thread or the task. A scope is closed when its call ends: a task that the
function started and left running must not inherit a deadline that is long over.
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
        retries: somebody outside repeats; a `Retry` inside stands aside.
        fallback: a fallback outside is nearer to the user; one inside stands aside.
        overrides: what ``overrides(...)`` blocks say, by plan.
        closed: the call has ended; the scope no longer holds.
    """

    deadline: float
    retries: bool
    fallback: bool
    outer: Scope | None
    overrides: dict[int, dict[str, Any]] | None = None
    closed: bool = False


active_scope: ContextVar[Scope | None] = ContextVar("resilient_redis_scope", default=None)


def apply_scope(scope: Scope | None, plan: object, call: Call) -> None:
    """Let the scopes around ``call`` act on it, the outermost included."""
    while scope is not None:
        if not scope.closed:
            if scope.deadline < call.deadline:
                call.deadline = scope.deadline
            call.retries_outside = call.retries_outside or scope.retries
            call.fallback_outside = call.fallback_outside or scope.fallback
            if call.overrides is NO_OVERRIDES and scope.overrides is not None:
                call.overrides = scope.overrides.get(id(plan), NO_OVERRIDES)
        scope = scope.outer


def override_scope(plan: object, overrides: dict[str, Any], outer: Scope | None) -> Scope:
    """A scope that only carries overrides for ``plan``."""
    scope = Scope(NO_DEADLINE, False, False, outer)
    scope.overrides = {id(plan): overrides}
    return scope
