from __future__ import annotations

from resilient_redis import Bulkhead, CircuitBreaker, Fallback, ResiliencePipeline, Retry, Timeout
from resilient_redis.testing.clock import FakeClock

NOTE = "-> a guarded function (a sync one cannot be interrupted: deadlines are cooperative there)"


def test_describe_has_the_stack_in_order_with_every_effective_number() -> None:
    policies = [
        Fallback([]),
        Retry(attempts=2, on=OSError),
        CircuitBreaker(name="cache", reset_timeout=1, reset_timeout_max=60),
        Timeout("250ms"),
        Bulkhead(20, max_waiting=5),
    ]
    assert ResiliencePipeline(policies, clock=FakeClock()).describe().splitlines() == [
        "1. Fallback: []; plain reads only",
        "2. Retry: 2 attempts, waits 0..0.025 s doubling to 0.5 s (full jitter), 5 s in all, on OSError",
        "3. CircuitBreaker 'cache': opens after 5 failures in a row, for 1 s growing to 60 s; "
        "1 probe at a time, 1 success closes it [closed]",
        "4. Timeout: 0.25 s for each pass through it",
        "5. Bulkhead: 20 calls at once, 5 more wait up to 1 s",
        NOTE,
    ]


def test_describe_shows_a_circuits_state_as_it_is_now() -> None:
    pipeline = ResiliencePipeline([CircuitBreaker()], clock=FakeClock())
    assert "[closed]" in pipeline.describe()
    pipeline.breakers["circuit_breaker"].isolate()
    assert "[isolated]" in pipeline.describe()


def test_describe_of_nothing_says_what_that_means() -> None:
    assert ResiliencePipeline([]).describe().splitlines() == [
        "(no policies: one attempt, nothing repeated, nothing masked)",
        NOTE,
    ]


def test_repr_has_the_order() -> None:
    pipeline = ResiliencePipeline([Fallback(0), Retry(on=OSError, name="twice"), Timeout(1)])
    assert repr(pipeline) == "<ResiliencePipeline fallback > twice > timeout>"
    assert repr(ResiliencePipeline([])) == "<ResiliencePipeline empty>"


def test_breakers_are_found_by_name_or_type_name() -> None:
    named = ResiliencePipeline([CircuitBreaker(fail_max=2, name="a"), CircuitBreaker(fail_max=9, name="b")])
    assert list(named.breakers) == ["a", "b"]
    assert list(ResiliencePipeline([CircuitBreaker(), Timeout(1)]).breakers) == ["circuit_breaker"]
    assert ResiliencePipeline([Timeout(1)]).breakers == {}
