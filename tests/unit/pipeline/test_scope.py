from __future__ import annotations

import contextvars

import pytest

from resilient_redis import Fallback, ResiliencePipeline, Retry, Timeout
from resilient_redis.calls import NO_DEADLINE, NO_OVERRIDES, Call
from resilient_redis.pipeline.plan import Plan
from resilient_redis.pipeline.scope import Scope, apply_scope, open_scope, override_scope
from resilient_redis.policies import Policy


def guarding(*policies: Policy) -> Plan:
    return ResiliencePipeline(list(policies)).plan


PLAN, OTHER = guarding(), guarding()
RETRIES, MASKS = guarding(Retry(on=OSError)), guarding(Fallback(None))


def scope(
    outer: Scope | None = None, deadline: float = NO_DEADLINE, plan: Plan | None = None, closed: bool = False
) -> Scope:
    return Scope(deadline, plan, outer, closed=closed)


def applied(top: Scope | None, deadline: float = NO_DEADLINE, plan: object = PLAN) -> Call:
    call = Call("GET", "command", deadline=deadline)
    apply_scope(top, plan, call)
    return call


def test_no_scope_holds_in_a_fresh_context() -> None:
    assert contextvars.Context().run(open_scope) is None


def test_no_scope_holds_after_a_call_however_it_ended() -> None:
    def in_a_context() -> tuple[Scope | None, ...]:
        pipeline, seen = ResiliencePipeline([Timeout(60)]), []
        seen.append(pipeline.call(open_scope))
        seen.append(open_scope())
        with pytest.raises(ZeroDivisionError):
            pipeline.call(lambda: 1 // 0)
        seen.append(open_scope())
        return tuple(seen)

    inside, after_success, after_failure = contextvars.Context().run(in_a_context)
    assert inside is not None
    assert (after_success, after_failure) == (None, None)


def test_no_scope_changes_nothing() -> None:
    call = applied(None, deadline=5.0)
    assert (call.deadline, call.retries_outside, call.fallback_outside) == (5.0, False, False)
    assert call.overrides is NO_OVERRIDES


def test_the_nearest_deadline_of_all_scopes_holds() -> None:
    assert applied(scope(scope(deadline=3.0), deadline=9.0)).deadline == 3.0
    assert applied(scope(scope(deadline=9.0), deadline=3.0)).deadline == 3.0
    assert applied(scope(deadline=3.0), deadline=1.0).deadline == 1.0


def test_what_any_scope_says_reaches_the_call() -> None:
    call = applied(scope(scope(scope(plan=MASKS)), plan=RETRIES))
    assert (call.retries_outside, call.fallback_outside) == (True, True)


def test_a_closed_scope_says_nothing_any_more() -> None:
    call = applied(scope(scope(plan=MASKS, closed=True), deadline=1.0, plan=RETRIES, closed=True))
    assert (call.deadline, call.retries_outside, call.fallback_outside) == (NO_DEADLINE, False, False)


def test_a_closed_scope_does_not_hide_an_open_one_around_it() -> None:
    assert applied(scope(scope(deadline=3.0), deadline=1.0, closed=True)).deadline == 3.0


def test_overrides_are_for_their_plan_only() -> None:
    top = override_scope(PLAN, {"attempts": 1}, None)
    assert applied(top).overrides == {"attempts": 1}
    assert applied(top, plan=OTHER).overrides == {}


def test_overrides_reach_through_other_scopes() -> None:
    top = scope(override_scope(OTHER, {"attempts": 9}, override_scope(PLAN, {"attempts": 1}, None)))
    assert applied(top).overrides == {"attempts": 1}


def test_the_innermost_overrides_win() -> None:
    top = override_scope(PLAN, {"attempts": 1}, override_scope(PLAN, {"attempts": 2}, None))
    assert applied(top).overrides["attempts"] == 1


def test_overrides_add_up() -> None:
    top = override_scope(PLAN, {"timeout": 3.0}, override_scope(PLAN, {"attempts": 2, "timeout": 9.0}, None))
    assert applied(top).overrides == {"timeout": 3.0, "attempts": 2}


def test_a_plan_that_makes_one_attempt_leaves_repeating_to_those_inside() -> None:
    assert not applied(scope(plan=guarding(Retry(attempts=1)))).retries_outside
    assert not applied(scope(override_scope(RETRIES, {"attempts": 1}, None), plan=RETRIES)).retries_outside
    assert applied(scope(override_scope(RETRIES, {"attempts": 2}, None), plan=RETRIES)).retries_outside


def test_overrides_bound_no_time_and_repeat_nothing() -> None:
    call = applied(override_scope(PLAN, {"timeout": 1.0}, None))
    assert (call.deadline, call.retries_outside, call.fallback_outside) == (NO_DEADLINE, False, False)
