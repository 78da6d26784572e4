"""A retry as a value: what it takes, what it says of itself."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
import redis
from tenacity import retry_if_exception_type, stop_after_attempt, wait_fixed

from resilient_redis import ConfigError, Retry
from resilient_redis.policies.retry import RetrySpec


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"attempts": 0}, "attempts", ["0", "give 1 or more"]),
        ({"attempts": -1}, "attempts", ["-1", "1 turns repeating off"]),
        ({"attempts": 2.0}, "attempts", ["2.0", "give 1 or more"]),
        ({"attempts": True}, "attempts", ["True", "give 1 or more"]),
        ({"wait_initial": -1}, "Retry.wait_initial", ["-1", "0 or more"]),
        ({"wait_initial": "25"}, "Retry.wait_initial", ["'25'", '"25ms"']),
        ({"wait_max": 0.01}, "wait_max", ["0.01", "must not be below wait_initial"]),
        ({"wait_max": None}, "Retry.wait_max", ["None", "seconds as a number"]),
        ({"total_time": "soon"}, "Retry.total_time", ["'soon'", "number and a unit"]),
        ({"total_time": math.nan}, "Retry.total_time", ["nan", "finite"]),
        ({"on": 5}, "on", ["5", "exception type", "predicate"]),
        ({"on": int}, "on", ["int", "exception type"]),
        ({"on": "no.such.Error"}, "on", ["'no.such.Error'", "module and class"]),
        ({"wait": 0.5}, "wait", ["0.5", "tenacity.wait_fixed(1)"]),
        ({"stop": 3}, "stop", ["3", "tenacity.stop_after_attempt(3)"]),
        ({"retry": "always"}, "retry", ["'always'", "tenacity.retry_if_exception_type"]),
    ],
)
def test_retry_refuses_a_bad_value(values: dict[str, Any], field: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Retry(**values)
    message = str(caught.value)
    name = next(iter(values))
    assert caught.value.field.removeprefix("Retry.") == field.removeprefix("Retry.") == name
    assert all(word in message for word in [f"Retry.{name}", *words]), message


def test_retry_is_immutable_and_hashable() -> None:
    policy = Retry(on=OSError)
    with pytest.raises(AttributeError):
        policy.attempts = 9  # type: ignore[misc]
    assert len({policy, Retry(on=OSError)}) == 1


@pytest.mark.parametrize(
    "policy",
    [
        Retry(),
        Retry(attempts=5, wait_initial="10ms", wait_max=1, total_time=2, retry_rejected=True, name="r"),
        Retry(on=(redis.ConnectionError, TimeoutError)),
    ],
)
def test_retry_goes_to_its_spec_and_back(policy: Retry) -> None:
    spec = policy.to_spec()
    again = msgspec.json.decode(msgspec.json.encode(spec), type=RetrySpec)
    assert Retry.from_spec(again) == policy


def test_the_spec_has_the_policys_defaults() -> None:
    assert Retry.from_spec(RetrySpec()) == Retry()


def test_dotted_names_come_from_on() -> None:
    assert Retry(on=[redis.ConnectionError, OSError]).to_spec().on == [  # type: ignore[attr-defined]
        "redis.exceptions.ConnectionError",
        "builtins.OSError",
    ]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Retry(wait=lambda state: 1.0), ["retry.wait", "only code can hold"]),
        (Retry(stop=lambda state: True, name="mine"), ["mine.stop", "only code can hold"]),
        (Retry(retry=retry_if_exception_type(OSError)), ["retry.retry", "only code can hold"]),
        (Retry(on=lambda error: True), ["retry.on", "only code can hold <lambda>"]),
    ],
)
def test_to_spec_refuses_by_name_what_only_code_can_hold(policy: Retry, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        policy.to_spec()
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        (Retry(), "3 attempts, waits 0..0.025 s doubling to 0.5 s (full jitter), 5 s in all"),
        (
            Retry(attempts=2, on=(OSError, redis.TimeoutError), retry_rejected=True, total_time=math.inf),
            "2 attempts, waits 0..0.025 s doubling to 0.5 s (full jitter), on OSError, TimeoutError, "
            "also after a full pool or bulkhead",
        ),
        (
            Retry(wait=wait_fixed(1), stop=stop_after_attempt(4), retry=retry_if_exception_type(OSError)),
            "attempts until stop, waits by wait_fixed, stops by stop_after_attempt, if retry_if_exception_type",
        ),
    ],
)
def test_describe_has_every_effective_number(policy: Retry, line: str) -> None:
    assert policy.describe() == line


def test_a_retry_around_a_function_needs_to_know_what_to_repeat() -> None:
    assert not Retry().names_what_to_repeat
    assert Retry(on=OSError).names_what_to_repeat
    assert Retry(retry=retry_if_exception_type(OSError)).names_what_to_repeat
