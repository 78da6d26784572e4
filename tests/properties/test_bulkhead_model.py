"""The bulkhead against a model: permits, places in the queue, and every order of arm, wake, cancel and release."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from resilient_redis.calls import Call, Kind, Outcome, Verdict
from resilient_redis.errors import BulkheadFullError
from resilient_redis.events import Events
from resilient_redis.policies import Bulkhead, Reject, Wait
from resilient_redis.policies.base import Runtime
from resilient_redis.policies.bulkhead import BulkheadLayer
from resilient_redis.testing.clock import FakeClock

CALL = Call("GET", "command")
OUTCOMES = [
    Outcome(CALL, "value"),
    Outcome(CALL, error=ConnectionError(), kind=Kind.UNREACHABLE, verdict=Verdict.FAILURE),
    Outcome(CALL, error=TypeError(), kind=Kind.PROGRAMMING, verdict=Verdict.NEITHER),
]


@dataclass(eq=False)
class Waiter:
    ticket: Any
    armed: bool = False
    granted: bool = False  # as the model says
    woken: int = 0


class Waiting(RuleBasedStateMachine):
    """Calls come, queue, give up, are woken, and leave, in any order."""

    @initialize(most=st.integers(1, 3), places=st.integers(0, 4))
    def build(self, most: int, places: int) -> None:
        self.policy = Bulkhead(most, max_waiting=places, max_wait=7)
        self.layer = BulkheadLayer(self.policy, Runtime(FakeClock(), None, Events()))  # type: ignore[arg-type]
        self.permits: list[Any] = []
        self.waiters: list[Waiter] = []  # with a ticket that was neither used nor cancelled
        self.queue: deque[Waiter] = deque()  # the model's

    @rule(times=st.integers(1, 4))
    def enter(self, times: int) -> None:
        for _ in range(times):
            self.enter_one()

    def enter_one(self) -> None:
        free = len(self.permits) + sum(waiter.granted for waiter in self.waiters) < self.policy.max_concurrent
        room = len(self.queue) < self.policy.max_waiting
        answer = self.layer.enter(CALL)
        if free:
            assert not isinstance(answer, (Reject, Wait))
            self.permits.append(answer)
        elif room:
            assert isinstance(answer, Wait)
            assert answer.ticket.limit == 7
            waiter = Waiter(answer.ticket)
            self.waiters.append(waiter)
            self.queue.append(waiter)
        else:
            assert isinstance(answer, Reject)
            assert type(answer.error) is BulkheadFullError

    @precondition(lambda self: any(not waiter.armed for waiter in self.waiters))
    @rule(data=st.data())
    def arm(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from([waiter for waiter in self.waiters if not waiter.armed]))
        waiter.armed = True
        assert waiter.ticket.arm(lambda: self.wake(waiter)) is waiter.granted

    def wake(self, waiter: Waiter) -> None:
        assert not self.layer.lock.locked(), "a waiter is woken with the lock held"
        waiter.woken += 1

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Its time is over, or its caller is cancelled: it may have been granted in the same moment."""
        waiter = data.draw(st.sampled_from(self.waiters))
        self.waiters.remove(waiter)
        assert waiter.ticket.cancel() is waiter.granted
        if waiter.granted:
            self.permits.append(waiter.ticket.token)
        else:
            self.queue.remove(waiter)
            assert isinstance(waiter.ticket.refusal(), Reject)

    @precondition(lambda self: any(waiter.granted for waiter in self.waiters))
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """A waiter that was woken, or told so by arm, uses its permit."""
        waiter = data.draw(st.sampled_from([waiter for waiter in self.waiters if waiter.granted]))
        self.waiters.remove(waiter)
        self.permits.append(waiter.ticket.token)

    @precondition(lambda self: self.permits)
    @rule(outcome=st.sampled_from([None, *OUTCOMES]), times=st.integers(1, 3))
    def leave(self, outcome: Outcome | None, times: int) -> None:
        for _ in range(min(times, len(self.permits))):
            token = self.permits.pop()
            if self.queue:  # the longest waiter gets it, and nobody else
                self.queue.popleft().granted = True
            if outcome is None:
                self.layer.release(token)
            else:
                self.layer.exit(token, outcome)

    @invariant()
    def every_permit_is_held_by_somebody(self) -> None:
        held = len(self.permits) + sum(waiter.granted for waiter in self.waiters)
        assert self.layer.running == held <= self.policy.max_concurrent
        assert [waiter.ticket for waiter in self.queue] == list(self.layer.queue)
        assert not self.queue or held == self.policy.max_concurrent, "somebody waits although a place is free"

    @invariant()
    def granted_once_and_told_once(self) -> None:
        for waiter in self.waiters:
            assert waiter.ticket.granted is waiter.granted
            assert waiter.woken <= (1 if waiter.granted and waiter.armed else 0)

    def teardown(self) -> None:
        if not hasattr(self, "layer"):
            return
        for waiter in list(self.waiters):
            if waiter.ticket.cancel():
                self.permits.append(waiter.ticket.token)
        for token in self.permits:
            self.layer.release(token)
        assert self.layer.running == 0
        assert not self.layer.queue
        self.layer.release(self.layer.enter(CALL))
        assert self.layer.running == 0


class Armed(Waiting):
    """All arm at once, as the drivers do: then each grant wakes exactly one."""

    def enter_one(self) -> None:
        known = len(self.waiters)
        super().enter_one()
        for waiter in self.waiters[known:]:
            waiter.armed = True
            assert waiter.ticket.arm(lambda waiter=waiter: self.wake(waiter)) is False

    @invariant()
    def each_grant_wakes(self) -> None:
        assert all(waiter.woken == waiter.granted for waiter in self.waiters)


MANY = settings(max_examples=100, stateful_step_count=50)


def test_the_bulkhead_is_what_the_model_says() -> None:
    run_state_machine_as_test(Waiting, settings=MANY)


def test_each_grant_wakes_one_waiter() -> None:
    run_state_machine_as_test(Armed, settings=MANY)
