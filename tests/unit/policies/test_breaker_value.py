"""A circuit breaker as a value: what it takes, what it says of itself."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pybreaker
import pytest
import redis

from resilient_redis import CircuitBreaker, ConfigError
from resilient_redis.policies.breaker import CircuitBreakerSpec
from resilient_redis.policies.windows import CountWindow, TimeWindow


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        *(
            ({name: 0}, name, ["0", "whole number of 1 or more"])
            for name in ("fail_max", "success_threshold", "half_open_max", "minimum_calls")
        ),
        *(
            ({name: 1.0}, name, ["1.0", "whole number"])
            for name in ("fail_max", "success_threshold", "half_open_max", "minimum_calls")
        ),
        ({"fail_max": True}, "fail_max", ["True", "whole number"]),
        ({"fail_max": None}, "fail_max", ["None", "failure_rate"]),
        *(
            ({name: 0}, name, ["0", "more than 0 seconds"])
            for name in ("reset_timeout", "reset_timeout_max", "slow_call")
        ),
        *(({name: "60"}, name, ["'60'", '"60s"']) for name in ("reset_timeout", "reset_timeout_max", "slow_call")),
        ({"reset_timeout": math.inf}, "reset_timeout", ["inf", "finite"]),
        ({"reset_timeout": 5, "reset_timeout_max": 4}, "reset_timeout_max", ["4", "not be below reset_timeout"]),
        ({"failure_rate": 0}, "failure_rate", ["0", "above 0 and up to 1"]),
        ({"failure_rate": 1.01}, "failure_rate", ["1.01", "such as 0.5"]),
        ({"failure_rate": 50}, "failure_rate", ["50", "such as 0.5"]),
        ({"failure_rate": "0.5"}, "failure_rate", ["'0.5'", "such as 0.5"]),
        ({"failure_rate": math.nan}, "failure_rate", ["nan", "such as 0.5"]),
        ({"failure_rate": True}, "failure_rate", ["True", "such as 0.5"]),
        ({"window_calls": 100}, "failure_rate", ["a window needs the rate"]),
        ({"window_time": 10}, "failure_rate", ["a window needs the rate"]),
        ({"failure_rate": 0.5, "window_calls": 50, "window_time": 5}, "window_time", ["not both"]),
        ({"failure_rate": 0.5, "window_calls": 0}, "window_calls", ["0", "whole number"]),
        ({"failure_rate": 0.5, "window_calls": 19}, "window_calls", ["19", "minimum_calls (20)"]),
        ({"failure_rate": 0.5, "window_time": 0}, "window_time", ["0", "more than 0 seconds"]),
        ({"failure_rate": 0.5, "window_time": "x"}, "window_time", ["'x'", "number and a unit"]),
        ({"exclude": "no.such.Error"}, "exclude", ["'no.such.Error'", "cannot be imported"]),
        ({"exclude": 3}, "exclude", ["3", "predicate"]),
        ({"listeners": pybreaker.CircuitBreakerListener()}, "listeners", ["CircuitBreakerListener", "listeners=[...]"]),
        ({"breaker": CircuitBreaker()}, "breaker", ["no pybreaker.CircuitBreaker", "leave it out"]),
        ({"breaker": "cache"}, "breaker", ["'cache'", "no pybreaker.CircuitBreaker"]),
        (
            {"breaker": pybreaker.CircuitBreaker(), "listeners": [pybreaker.CircuitBreakerListener()]},
            "listeners",
            ["would not be used beside breaker=", "give it to the pybreaker object"],
        ),
        (
            {"breaker": pybreaker.CircuitBreaker(), "state_storage": pybreaker.CircuitMemoryStorage("closed")},
            "state_storage",
            ["would not be used beside breaker="],
        ),
    ],
    ids=lambda value: None if isinstance(value, list) else " ".join(value),
)
def test_breaker_refuses_a_bad_value(values: dict[str, Any], field: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        CircuitBreaker(**values)
    assert caught.value.field.removeprefix("CircuitBreaker.") == field
    assert all(word in str(caught.value) for word in [f"CircuitBreaker.{field}", *words]), caught.value


@pytest.mark.parametrize(
    ("values", "kind", "size"),
    [
        ({}, type(None), None),
        ({"failure_rate": 0.5}, CountWindow, 100),
        ({"failure_rate": 0.5, "minimum_calls": 250}, CountWindow, 250),
        ({"failure_rate": 0.5, "window_calls": 30}, CountWindow, 30),
        ({"failure_rate": 0.5, "window_time": 30}, TimeWindow, None),
    ],
)
def test_the_window_is_what_was_asked_for(values: dict[str, Any], kind: type, size: int | None) -> None:
    window = CircuitBreaker(**values).new_window()
    assert type(window) is kind
    if isinstance(window, CountWindow):
        assert window._results.maxlen == size


@pytest.mark.parametrize(
    "policy",
    [
        CircuitBreaker(),
        CircuitBreaker(
            fail_max=3,
            reset_timeout="1s",
            reset_timeout_max=60,
            success_threshold=2,
            half_open_max=4,
            failure_rate=0.5,
            window_calls=40,
            minimum_calls=30,
            slow_call="250ms",
            exclude=[redis.DataError],
            name="cache",
        ),
        CircuitBreaker(fail_max=None, failure_rate=0.5, window_time="30s"),
    ],
)
def test_breaker_goes_to_its_spec_and_back(policy: CircuitBreaker) -> None:
    spec = msgspec.json.decode(msgspec.json.encode(policy.to_spec()), type=CircuitBreakerSpec)
    assert CircuitBreaker.from_spec(spec) == policy


def test_the_spec_has_the_policys_defaults() -> None:
    assert CircuitBreaker.from_spec(CircuitBreakerSpec()) == CircuitBreaker()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"listeners": [pybreaker.CircuitBreakerListener()]}, "listeners"),
        ({"state_storage": pybreaker.CircuitMemoryStorage("closed")}, "state_storage"),
        ({"breaker": pybreaker.CircuitBreaker()}, "breaker"),
        ({"exclude": lambda error: True}, "exclude"),
    ],
)
def test_to_spec_refuses_by_name_what_only_code_can_hold(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"circuit_breaker.{field}: only code can hold") as caught:
        CircuitBreaker(**values).to_spec()
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        (CircuitBreaker(), "opens after 5 failures in a row, for 60 s; 1 probe at a time, 1 success closes it"),
        (
            CircuitBreaker(reset_timeout=1, reset_timeout_max=60, success_threshold=2, half_open_max=3),
            "opens after 5 failures in a row, for 1 s growing to 60 s; 3 probes at a time, 2 successes close it",
        ),
        (
            CircuitBreaker(fail_max=None, failure_rate=0.25, slow_call=1, exclude=KeyError),
            "opens after 25% failures in the last 100 calls (from 20 calls on), for 60 s; "
            "1 probe at a time, 1 success closes it; slower than 1 s is a failure; not KeyError",
        ),
        (
            CircuitBreaker(failure_rate=0.5, window_time="30s", minimum_calls=10),
            "opens after 5 failures in a row or 50% failures in the last 30 s (from 10 calls on), for 60 s; "
            "1 probe at a time, 1 success closes it",
        ),
        (
            CircuitBreaker.from_pybreaker(pybreaker.CircuitBreaker(fail_max=3, reset_timeout=7)),
            "opens after 3 failures in a row, for 7 s; 1 probe at a time, 1 success closes it; "
            "mirrored to a pybreaker object",
        ),
    ],
)
def test_describe_has_every_effective_number(policy: CircuitBreaker, line: str) -> None:
    assert policy.describe() == line
