"""The circuit breaker against a model made of a few numbers, under calls that overlap in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import given, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from resilient_redis.calls import Call, Kind, Outcome, Verdict
from resilient_redis.clock import Clock
from resilient_redis.errors import CircuitOpenError
from resilient_redis.events import Events
from resilient_redis.policies import CircuitBreaker, CircuitBreakerLayer, Reject
from resilient_redis.policies.base import Runtime
from resilient_redis.policies.windows import CountWindow, TimeWindow
from resilient_redis.testing.clock import FakeClock

CALL = Call("GET", "command")
PATIENCE = 60  # seconds after which a probe that did not come back is given up for lost


class Excluded(Exception):
    pass


OUTCOMES: dict[str, tuple[Outcome, str]] = {
    "value": (Outcome(CALL, "value"), "success"),
    "error reply": (
        Outcome(CALL, error=redis.ResponseError("WRONGTYPE"), kind=Kind.COMMAND, verdict=Verdict.SUCCESS),
        "success",
    ),
    "lost": (
        Outcome(CALL, error=redis.ConnectionError("lost"), kind=Kind.UNREACHABLE, verdict=Verdict.FAILURE),
        "failure",
    ),
    "late": (Outcome(CALL, error=redis.TimeoutError("late"), kind=Kind.TIMED_OUT, verdict=Verdict.FAILURE), "failure"),
    "excluded": (Outcome(CALL, error=Excluded(), kind=Kind.FOREIGN, verdict=Verdict.FAILURE), "success"),
    "bug": (Outcome(CALL, error=TypeError(), kind=Kind.PROGRAMMING, verdict=Verdict.NEITHER), "neither"),
    "excluded refusal": (Outcome(CALL, error=Excluded(), kind=Kind.BULKHEAD_FULL, verdict=Verdict.NEITHER), "neither"),
}

# Whole numbers of seconds, and a time window of 10 s (slices of 1 s), so that the model need not know of slices.
consecutive = st.builds(
    CircuitBreaker,
    fail_max=st.integers(1, 3),
    reset_timeout=st.sampled_from([2, 4]),
    reset_timeout_max=st.sampled_from([None, 4, 13, 64]),
    success_threshold=st.integers(1, 3),
    half_open_max=st.integers(1, 3),
    slow_call=st.sampled_from([None, None, 3]),
    exclude=st.just(Excluded),
)
rates = st.builds(
    lambda window, **rest: CircuitBreaker(**window, **rest),
    window=st.sampled_from([{"window_calls": 4}, {"window_calls": 6}, {"window_time": 10}]),
    fail_max=st.sampled_from([None, None, 4]),
    failure_rate=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    minimum_calls=st.integers(1, 4),
    reset_timeout=st.sampled_from([2, 4]),
    reset_timeout_max=st.sampled_from([None, 16]),
    success_threshold=st.integers(1, 2),
    half_open_max=st.integers(1, 2),
    slow_call=st.sampled_from([None, 3]),
    exclude=st.just(Excluded),
)


@dataclass
class Model:
    """What the breaker's documentation says, in numbers."""

    policy: CircuitBreaker
    now: float = 0.0
    state: str = "closed"
    stay: int = 0  # number of this stay in a state
    since: float = 0.0
    probed: float = 0.0
    open_for: float = 0.0
    in_a_row: int = 0
    good_probes: int = 0
    ended: list[tuple[float, bool]] = field(default_factory=list)  # calls of this closed stay: when, failed

    def turn(self, state: str) -> None:
        self.state, self.stay, self.since = state, self.stay + 1, self.now
        self.in_a_row = self.good_probes = 0
        self.ended = []
        if state == "closed":
            self.open_for = float(self.policy.reset_timeout)

    def may_enter(self, probes: int) -> bool | float | None:
        """True, or what the refusal says of the time to wait."""
        if self.state == "isolated":
            return None
        if self.state == "open":
            if self.now < self.since + self.open_for:
                return self.since + self.open_for - self.now
            self.turn("half-open")
            self.probed = self.now
        elif self.state == "half-open" and probes >= self.policy.half_open_max:
            if self.now < self.probed + max(PATIENCE, self.open_for):
                return None
            self.turn("half-open")  # they never came back
        if self.state == "half-open":
            self.probed = self.now
        return True

    def end(self, stay: int, failed: bool) -> None:
        if stay != self.stay:
            return
        if self.state == "half-open" and failed:
            longest = self.policy.reset_timeout_max or self.policy.reset_timeout
            self.open_for = min(2 * self.open_for, float(longest))
            self.turn("open")
        elif self.state == "half-open":
            self.good_probes += 1
            if self.good_probes == self.policy.success_threshold:
                self.turn("closed")
        else:
            self.ended.append((self.now, failed))
            self.in_a_row = self.in_a_row + 1 if failed else 0
            if failed and (self.in_a_row == self.policy.fail_max or self.rate_too_high()):
                self.turn("open")

    def rate_too_high(self) -> bool:
        policy = self.policy
        if policy.failure_rate is None:
            return False
        if policy.window_time is not None:
            window = [failed for when, failed in self.ended if when >= self.now - float(policy.window_time)]
        else:
            window = [failed for _, failed in self.ended][-(policy.window_calls or 100) :]
        return len(window) >= policy.minimum_calls and sum(window) / len(window) >= policy.failure_rate


@dataclass
class UnderWay:
    token: Any
    stay: int
    began: float


def runtime(clock: Clock) -> Runtime:
    return Runtime(clock, None, Events())  # type: ignore[arg-type] # a breaker leaves nothing to chance


class Overlapping(RuleBasedStateMachine):
    """Calls enter now and end later, in any order; time passes; hands intervene."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: dict[int, object] = {}

    def start(self, policy: CircuitBreaker) -> None:
        self.policy = policy
        self.clock = FakeClock()
        self.layer = CircuitBreakerLayer(policy, runtime(self.clock))
        self.model = Model(policy)
        self.model.turn("closed")
        self.calls: list[UnderWay] = []

    def probes(self) -> int:
        return sum(call.stay == self.model.stay for call in self.calls)

    @rule(times=st.integers(1, 4))
    def enter(self, times: int) -> None:
        for _ in range(times):
            self.enter_one()

    def enter_one(self) -> bool:
        answer = self.layer.enter(CALL)
        allowed = self.model.may_enter(self.probes())
        if allowed is not True:
            assert isinstance(answer, Reject), f"{self.model} refuses, the layer does not"
            assert type(answer.error) is CircuitOpenError
            assert answer.error.retry_after == allowed
            return False
        assert not isinstance(answer, Reject), f"{self.model} admits, the layer refuses"
        self.calls.append(UnderWay(answer, self.model.stay, self.model.now))
        return True

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), how=st.sampled_from([*OUTCOMES, "value", "lost", "lost", "lost"]), times=st.integers(1, 3))
    def exit(self, data: st.DataObject, how: str, times: int) -> None:
        for _ in range(min(times, len(self.calls))):
            self.end_one(self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1))), how)

    def end_one(self, call: UnderWay, how: str) -> None:
        outcome, verdict = OUTCOMES[how]
        assert self.layer.exit(call.token, outcome) is None
        slow = self.policy.slow_call is not None and self.model.now - call.began > float(self.policy.slow_call)
        if verdict != "neither":
            self.model.end(call.stay, verdict == "failure" or slow)

    @precondition(lambda self: self.layer.calm is not None)
    @rule(seconds=st.sampled_from([0, 0, 1, 4]), times=st.integers(1, 3))
    def quiet_calls(self, seconds: int, times: int) -> None:
        """As a plan makes them: past the hooks, unless it was slow."""
        for _ in range(times):
            token, stay, call = self.layer.calm, self.model.stay, Call("GET", "command", started=self.model.now)
            if token is None:
                return
            self.wait(seconds)
            slow = self.policy.slow_call is not None and seconds > float(self.policy.slow_call)
            assert slow == (seconds > self.layer.slow)
            if slow:
                assert self.layer.exit(token, Outcome(call, "value")) is None
            elif self.layer.note is not None:
                self.layer.note(self.clock.monotonic())
            self.model.end(stay, slow)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Cancelled."""
        self.layer.release(self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1))).token)

    @rule(seconds=st.sampled_from([1, 1, 1, 2, 4, 8, 13, PATIENCE, PATIENCE]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.model.now += seconds

    @precondition(lambda self: self.model.state == "open")
    @rule(early=st.booleans())
    def enter_at_the_reset(self, early: bool) -> None:
        """To the moment, or a second before it."""
        left = self.model.since + self.model.open_for - self.model.now - early
        if left > 0:
            self.clock.advance(left)
            self.model.now += left
        self.enter_one()

    @rule(seconds=st.integers(0, 3), how=st.sampled_from(["value", "value", "lost", "late", "error reply"]))
    def one_call(self, seconds: int, how: str) -> None:
        if self.enter_one():
            self.wait(seconds)
            self.end_one(self.calls.pop(), how)

    @rule(chance=st.integers(0, 5))
    def isolate(self, chance: int) -> None:
        if chance == 0:
            self.layer.isolate()
            self.model.turn("isolated")

    @rule(chance=st.integers(0, 3))
    def reset(self, chance: int) -> None:
        if chance == 0 or self.model.state == "isolated":
            self.layer.reset()
            self.model.turn("closed")

    # --- what must always hold ---

    @invariant()
    def shows_the_same(self) -> None:
        model, layer = self.model, self.layer
        assert layer.state == model.state
        assert layer.fail_counter == model.in_a_row
        left = max(0.0, model.since + model.open_for - model.now) if model.state == "open" else None
        assert layer.retry_after == left

    @invariant()
    def never_more_probes_than_permitted(self) -> None:
        if self.model.state == "half-open":
            assert self.probes() <= self.policy.half_open_max
            assert self.layer._machine.probes == self.probes(), "a permit was lost, or is held twice"

    @invariant()
    def growth_is_bounded(self) -> None:
        first, last = (
            float(self.policy.reset_timeout),
            float(self.policy.reset_timeout_max or self.policy.reset_timeout),
        )
        assert first <= self.layer._machine.open_for <= last
        assert self.layer._machine.open_for == self.model.open_for

    @invariant()
    def calm_means_that_a_success_changes_nothing(self) -> None:
        layer = self.layer
        simple = self.policy.failure_rate is None and self.policy.slow_call is None
        assert (layer.calm is not None) == (self.model.state == "closed" and self.model.in_a_row == 0)
        if layer.calm is None:
            return
        token, before = layer.calm, self.snapshot()
        for stay, known in self.tokens.items():
            assert stay == self.model.stay or known is not token, "the token outlived a change of state"
        self.tokens[self.model.stay] = token
        if not simple:
            return  # it counts successes: see `quiet_calls`
        assert layer.enter(CALL) is token
        assert layer.note is None
        layer.exit(token, OUTCOMES["value"][0])
        assert self.snapshot() == before

    def snapshot(self) -> tuple[Any, ...]:
        machine = self.layer._machine
        return self.layer.calm, *(getattr(machine, name) for name in sorted(vars(machine)))

    def teardown(self) -> None:
        """However it went: once every call has ended and the time is over, a call goes through again."""
        if not hasattr(self, "layer"):
            return
        for number, call in enumerate(self.calls):
            if number % 2:
                self.layer.release(call.token)
            else:
                self.layer.exit(call.token, OUTCOMES["bug"][0])
        self.calls = []
        if self.model.state == "isolated":
            assert isinstance(self.layer.enter(CALL), Reject)
            self.layer.reset()
            self.model.turn("closed")
        self.clock.advance(self.layer.retry_after or 0.0)
        self.model.now = self.clock.monotonic()
        for _ in range(2 * self.policy.success_threshold):
            assert self.enter_one()
            call = self.calls.pop()
            self.layer.exit(call.token, OUTCOMES["value"][0])
            self.model.end(call.stay, failed=False)
        assert self.layer.state == "closed"


class InARow(Overlapping):
    @initialize(policy=consecutive)
    def build(self, policy: CircuitBreaker) -> None:
        self.start(policy)


class ByRate(Overlapping):
    @initialize(policy=rates)
    def build(self, policy: CircuitBreaker) -> None:
        self.start(policy)


MANY = settings(max_examples=150, stateful_step_count=60)


@pytest.mark.parametrize("machine", [InARow, ByRate])
def test_the_breaker_is_what_the_model_says(machine: type[Overlapping]) -> None:
    run_state_machine_as_test(machine, settings=MANY)


ends = st.lists(st.tuples(st.booleans(), st.sampled_from([0, 0, 0, 1, 1, 2, 5, 12])), max_size=60)


@given(size=st.integers(1, 8), ends=ends)
def test_a_count_window_holds_the_last_calls(size: int, ends: list[tuple[bool, int]]) -> None:
    window = CountWindow(size)
    for number, (failed, _) in enumerate(ends, 1):
        window.add(failed, 0.0)
        held = [failed for failed, _ in ends[:number]][-size:]
        assert window.totals(0.0) == (len(held), sum(held))
    window.clear()
    assert window.totals(0.0) == (0, 0)


@given(seconds=st.sampled_from([0.1, 1.0, 10.0, 60.0]), ends=ends, start=st.sampled_from([0.0, 12345.678]))
def test_a_time_window_holds_the_last_seconds(seconds: float, ends: list[tuple[bool, int]], start: float) -> None:
    """Whatever is younger than the window is held, whatever is older than 1.1 windows is not."""
    window, now, held = TimeWindow(seconds), start, []
    for failed, tenths in ends:
        now += tenths * seconds / 10
        window.add(failed, now)
        held.append((now, failed))
        now += seconds / 40
        calls, failures = window.totals(now)
        surely = [failed for when, failed in held if now - when < seconds * 0.999]
        perhaps = [failed for when, failed in held if now - when < seconds * 1.101]
        assert len(surely) <= calls <= len(perhaps)
        assert sum(surely) <= failures <= sum(perhaps)
    assert len(window._slices) <= window.SLICES + 1


@given(first=st.floats(0.001, 100), factor=st.floats(1, 1e6), failures=st.integers(1, 60))
def test_the_open_time_doubles_up_to_its_bound(first: float, factor: float, failures: int) -> None:
    longest = first * factor
    clock = FakeClock()
    policy = CircuitBreaker(fail_max=1, reset_timeout=first, reset_timeout_max=longest)
    layer = CircuitBreakerLayer(policy, runtime(clock))
    expected = first
    layer.exit(layer.enter(CALL), OUTCOMES["lost"][0])
    for _ in range(failures):
        assert layer.retry_after == pytest.approx(expected)
        clock.advance(expected * 1.000001)  # now and since are floats
        probe = layer.enter(CALL)
        assert not isinstance(probe, Reject)
        layer.exit(probe, OUTCOMES["lost"][0])
        expected = min(2 * expected, longest)
    assert layer._machine.open_for <= longest


@pytest.mark.parametrize("takes", [3.0, 5.0])
def test_probes_into_a_black_hole_are_few_and_grow_rarer(takes: float) -> None:
    """The default stack: open for 1 s growing to 60 s, and an attempt that times out after 5 s."""
    clock = FakeClock()
    layer = CircuitBreakerLayer(CircuitBreaker(fail_max=1, reset_timeout=1, reset_timeout_max=60), runtime(clock))
    layer.exit(layer.enter(CALL), OUTCOMES["late"][0])
    calls: list[tuple[float, Any]] = []
    admitted = most = 0
    for _ in range(1200):  # five minutes, a call every quarter of a second
        clock.advance(0.25)
        now = clock.monotonic()
        while calls and now >= calls[0][0] + takes:
            layer.exit(calls.pop(0)[1], OUTCOMES["late"][0])
        token = layer.enter(CALL)
        if not isinstance(token, Reject):
            calls.append((now, token))
            admitted += 1
            most = max(most, len(calls))
    assert most <= 1
    assert admitted < 20  # with doubling, 1 + 2 + 4 + … + 60: nine or ten
