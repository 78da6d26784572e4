"""The worst case of a call, by hand and against what the retry layer really does."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import redis
import tenacity
from hypothesis import given, settings
from hypothesis import strategies as some

from resilient_redis import Bulkhead, CircuitBreaker, Fallback, ResiliencePipeline, Retry, Timeout
from resilient_redis.config.lint_tenacity import longest_wait, most_attempts
from resilient_redis.config.lint_worst_case import longest_waits, worst_case
from resilient_redis.pipeline.scope import open_scope
from resilient_redis.policies.base import Policy
from resilient_redis.testing import FakeClock

TABLE: list[tuple[list[Policy], float, float]] = [
    ([], 1, 10),
    ([Timeout(1)], 1, 1),
    ([Timeout(20)], 1, 10),
    ([Retry(attempts=1)], 1, 10),
    ([Retry(attempts=3), Timeout(1)], 3, 3.075),
    ([Retry(attempts=3, total_time=1), Timeout(1)], 3, 2),
    ([Timeout(2), Retry(attempts=3), Timeout(1)], 3, 2),
    ([Fallback(0), CircuitBreaker(), Retry(attempts=2), Timeout(1)], 2, 2.025),
    ([Retry(attempts=3), Retry(attempts=2), Timeout("100ms")], 6, 0.75),
    ([Bulkhead(1), Timeout(1)], 1, 1),
    ([Bulkhead(1, max_waiting=5, max_wait=2), Timeout(1)], 1, 3),
    ([Timeout(1), Bulkhead(1, max_waiting=5, max_wait=2)], 1, 1),
    ([Retry(stop=tenacity.stop_after_delay(1)), Timeout(1)], math.inf, math.inf),
    ([Retry(wait=tenacity.wait_fixed(1)), Timeout(1)], 3, 5),
    ([Retry(wait=tenacity.wait_fixed(1), total_time=2), Timeout(1)], 3, 3),
    ([Retry(wait=lambda state: 1.0), Timeout(1)], 3, 6),
    ([Retry(stop=tenacity.stop_after_attempt(4)), Timeout(1)], 4, 4.175),
    ([Retry(stop=tenacity.stop_after_attempt(4), attempts=2), Timeout(1)], 2, 2.025),
    ([Retry(attempts=10**9), Timeout(1)], 10**9, 6),
]


@pytest.mark.parametrize(("policies", "sends", "seconds"), TABLE)
def test_the_arithmetic(policies: list[Policy], sends: float, seconds: float) -> None:
    worst = worst_case(policies, 10)
    assert worst.sends == sends
    assert worst.seconds == pytest.approx(seconds)


def test_nothing_that_ends_an_exchange_means_no_limit() -> None:
    worst = worst_case([Retry(attempts=3)], math.inf)
    assert worst.seconds == math.inf
    assert worst.steps == (
        "one exchange: no limit",
        "retry: 3 x no limit + waits of 0.075 s = no limit, 3 sends",
    )


def test_the_steps_say_what_total_time_cuts() -> None:
    worst = worst_case([Retry(attempts=9, total_time=2, name="often"), Timeout(1)], 5)
    assert worst.steps[-1] == "often: 9 x 1 s + waits of 2.275 s, none begun after 2 s = 3 s, 9 sends"


@given(
    attempts=some.integers(1, 12),
    initial=some.floats(0.001, 1),
    grows=some.floats(1, 50),
)
def test_the_waits_are_the_upper_bounds_of_the_backoff(attempts: int, initial: float, grows: float) -> None:
    from resilient_redis.policies.backoff import full_jitter

    class Most:
        def random(self) -> float:
            return 1.0

    longest = initial * grows
    drawn = sum(full_jitter(made, initial, longest, Most()) for made in range(1, attempts))  # type: ignore[arg-type]
    assert longest_waits(Retry(attempts=attempts, wait_initial=initial, wait_max=longest)) == pytest.approx(drawn)


_FEW = some.floats(0, 3)
_GROWING = {"max": some.floats(0, 9), "exp_base": some.floats(1, 3)}
_WAITS = some.recursive(
    some.one_of(
        some.builds(tenacity.wait_fixed, _FEW),
        some.builds(lambda low, more: tenacity.wait_random(low, low + more), _FEW, _FEW),
        some.builds(tenacity.wait_incrementing, some.floats(-1, 2), some.floats(-1, 2), _FEW),
        some.builds(tenacity.wait_exponential, multiplier=_FEW, min=_FEW, **_GROWING),
        some.builds(tenacity.wait_random_exponential, multiplier=_FEW, **_GROWING),
        some.builds(tenacity.wait_exponential_jitter, jitter=_FEW, **_GROWING),
        some.just(tenacity.wait_none()),
    ),
    lambda inner: some.one_of(
        some.builds(tenacity.wait_combine, inner, inner), some.builds(tenacity.wait_chain, inner, inner)
    ),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(_WAITS, some.integers(1, 1200))
def test_no_wait_of_tenacity_s_is_longer_than_its_bound(wait: Any, attempt: int) -> None:
    bound = longest_wait(wait, attempt)
    state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type]
    state.attempt_number = attempt
    assert bound < math.inf
    assert all(float(wait(state)) <= bound * (1 + 1e-9) + 1e-9 for _ in range(5))


def test_what_is_not_known_has_no_bound() -> None:
    assert longest_wait(lambda state: 1.0, 1) == most_attempts(tenacity.stop_after_delay(3)) == math.inf
    assert most_attempts(tenacity.stop_all(tenacity.stop_after_attempt(2), tenacity.stop_after_attempt(5))) == 5


_LAYERS = some.lists(
    some.one_of(
        some.builds(Timeout, some.floats(0.05, 5)),
        some.builds(
            Retry,
            attempts=some.integers(1, 4),
            wait_initial=some.floats(0, 0.5),
            wait_max=some.floats(0.5, 1),
            total_time=some.one_of(some.floats(0.1, 20), some.just(math.inf)),
            on=some.just(OSError),
        ),
        some.builds(
            Retry,
            wait=_WAITS,
            stop=some.integers(1, 4).map(tenacity.stop_after_attempt),
            total_time=some.one_of(some.floats(0.1, 20), some.just(math.inf)),
            on=some.just(OSError),
        ),
        some.just(CircuitBreaker(fail_max=1000)),
        some.just(Bulkhead(5, max_waiting=2, max_wait=1)),
    ),
    max_size=5,
)


@pytest.mark.filterwarnings("ignore::resilient_redis.PipelineOrderWarning")
@settings(max_examples=300, deadline=None)
@given(_LAYERS, some.floats(0.01, 3), some.lists(some.floats(0, 1), min_size=1, max_size=8), some.integers())
def test_no_call_is_worse_than_the_worst_case(
    policies: list[Policy], exchange: float, parts: list[float], seed: int
) -> None:
    """A function that always fails, each time after some part of what it may take, deadline and all."""
    clock, sends = FakeClock(), 0
    pipeline = ResiliencePipeline(policies, clock=clock, rng=random.Random(seed))

    def fail() -> None:
        nonlocal sends
        scope = open_scope()
        assert scope is not None
        left = max(0.0, scope.deadline - clock.monotonic())
        clock.advance(min(exchange * parts[sends % len(parts)], left))
        sends += 1
        raise OSError

    with pytest.raises((OSError, redis.RedisError)):
        pipeline.call(fail)
    worst = worst_case(policies, exchange)
    assert sends <= worst.sends
    assert clock.monotonic() <= worst.seconds * (1 + 1e-9) + 1e-9


@pytest.mark.filterwarnings("ignore::resilient_redis.PipelineOrderWarning")
def test_the_worst_case_is_reached_by_a_call_that_always_takes_all_its_time() -> None:
    clock = FakeClock()
    policies: list[Policy] = [Retry(attempts=3, wait_initial=0, wait_max=0, on=OSError), Timeout("250ms")]

    def hang() -> None:
        clock.advance(0.25)
        raise OSError

    with pytest.raises(OSError):
        ResiliencePipeline(policies, clock=clock).call(hang)
    assert clock.monotonic() == worst_case(policies, 1).seconds == 0.75
