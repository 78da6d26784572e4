"""A wrong argument is told when the policy is made, by its field: not by the first call, and not in the outage."""

from __future__ import annotations

from typing import Any

import pybreaker
import pytest

from resilient_redis import Bulkhead, CircuitBreaker, ConfigError, Fallback, Policy, Retry, Timeout

FIRST: dict[type[Policy], dict[str, Any]] = {
    Bulkhead: {"max_concurrent": 1},
    CircuitBreaker: {},
    Fallback: {"value": None},
    Retry: {},
    Timeout: {"seconds": 1},
}


@pytest.mark.parametrize("policy", FIRST, ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("name", [5, 0, ["cache"], [], b"cache", True])
def test_a_name_is_text(policy: type[Policy], name: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{policy.__name__}\.name: .* is no text; ") as caught:
        policy(**FIRST[policy], name=name)
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("commands", ["GET"], "give values by name"),
        ("commands", "GET", "give values by name"),
        ("commands", None, "give values by name"),
        ("commands", {1: None}, "give values by name"),
        ("function", 5, r"give a function\(call, error\)"),
        ("pipeline", "ab", "give one of the pipeline's length"),
        ("pipeline", {"GET": 1}, "give one of the pipeline's length"),
    ],
)
def test_a_fallback_that_could_not_answer_is_told_at_once(field: str, value: Any, remedy: str) -> None:
    with pytest.raises(ConfigError, match=rf"^Fallback\.{field}: .*{remedy}") as caught:
        Fallback(**{"value": None, field: value})
    assert caught.value.field == field


def test_the_shorter_spellings_check_the_same() -> None:
    with pytest.raises(ConfigError, match=r"^Fallback\.function: "):
        Fallback.using("GET")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^Fallback\.commands: "):
        Fallback.per_command("GET")  # type: ignore[arg-type]


def test_a_fallbacks_values_are_not_told() -> None:
    with pytest.raises(ConfigError) as caught:
        Fallback(commands={1: "secret"})  # type: ignore[dict-item]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("repeat", [[], {}, None, 1])
def test_repeat_is_one_of_its_words(repeat: Any) -> None:
    with pytest.raises(ConfigError, match=r"^Retry\.repeat: .* never, read, idempotent, checked, always"):
        Retry(repeat=repeat)


def test_a_circuit_needs_a_time_to_stay_open() -> None:
    with pytest.raises(ConfigError, match=r"^CircuitBreaker\.reset_timeout: None is no duration"):
        CircuitBreaker(reset_timeout=None)  # type: ignore[arg-type]


def test_who_hears_events_is_no_listener_of_pybreaker() -> None:
    with pytest.raises(ConfigError, match=r"^CircuitBreaker\.listeners: .* is given to the client, as listeners=$"):
        CircuitBreaker(listeners=[print])  # type: ignore[list-item]


def test_a_listener_of_pybreaker_need_not_be_a_subclass() -> None:
    class Duck:
        def heard(self, *args: object) -> None: ...

        before_call = failure = success = state_change = heard

    duck: Any = Duck()
    assert CircuitBreaker(listeners=[duck, pybreaker.CircuitBreakerListener()]).listeners[0] is duck
