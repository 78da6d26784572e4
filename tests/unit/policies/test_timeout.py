from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from resilient_redis import ConfigError, Timeout
from resilient_redis.policies.timeout import TimeoutSpec

from .kit import bind, command


def lowered(policy: Timeout, **facts: Any) -> float:
    call = command(**facts)
    bench = bind(policy)
    assert bench.layer.enter(call) is None
    return call.deadline


@pytest.mark.parametrize("seconds", [0.25, "250ms", timedelta(milliseconds=250)])
def test_a_timeout_sets_the_deadline_from_now(seconds: Any) -> None:
    assert lowered(Timeout(seconds)) == 1000.25


@pytest.mark.parametrize(("deadline", "expected"), [(1000.1, 1000.1), (1009.0, 1001.0)])
def test_a_timeout_only_lowers(deadline: float, expected: float) -> None:
    assert lowered(Timeout(1), deadline=deadline) == expected


def test_a_blocking_commands_own_time_comes_on_top() -> None:
    assert lowered(Timeout(1), allowance=5.0) == 1006.0


def test_a_command_that_blocks_for_ever_has_no_deadline() -> None:
    assert lowered(Timeout(1), allowance=math.inf) == math.inf


def test_a_timeout_can_be_overridden_for_one_call() -> None:
    assert lowered(Timeout(1), overrides={"timeout": 3.0}) == 1003.0


def test_each_pass_through_it_counts_anew() -> None:
    bench = bind(Timeout(1))
    for expected in (1001.0, 1003.0):
        call = command()
        bench.layer.enter(call)
        assert call.deadline == expected
        bench.clock.advance(2)


def test_a_timeout_has_no_part_in_how_a_call_ends() -> None:
    assert bind(Timeout(1)).layer.watches_success is False


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, ["0", "give more than 0"]),
        ("0s", ["'0s'", "give more than 0"]),
        (-1, ["-1", "0 or more"]),
        (math.inf, ["inf", "finite"]),
        (math.nan, ["nan", "finite"]),
        ("250", ["'250'", '"250ms"']),
        (None, ["None", "seconds as a number"]),
        (True, ["True", "seconds as a number"]),
    ],
)
def test_a_timeout_refuses_a_bad_value(seconds: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Timeout(seconds)
    assert caught.value.field.removeprefix("Timeout.") == "seconds"
    assert all(word in str(caught.value) for word in ["Timeout.seconds", *words])


def test_a_timeout_needs_its_seconds() -> None:
    with pytest.raises(TypeError, match="seconds"):
        Timeout()  # type: ignore[call-arg]


@pytest.mark.parametrize("policy", [Timeout(0.25), Timeout("2m", name="whole")])
def test_a_timeout_goes_to_its_spec_and_back(policy: Timeout) -> None:
    spec = policy.to_spec()
    assert isinstance(spec, TimeoutSpec)
    assert Timeout.from_spec(spec) == policy


def test_from_spec_reads_text() -> None:
    assert Timeout.from_spec(TimeoutSpec(seconds="250ms")) == Timeout(0.25)


def test_describe_has_the_effective_seconds() -> None:
    assert Timeout("1.5m").describe() == "90 s for each pass through it"
    assert Timeout(1, name="whole").label == "whole"
    assert Timeout(1).label == "timeout"
